//! Containers that run before a service starts (`pre_start`): jobs that it waits for, one after the other.
//!
//! *Guarantees:* each runs to its end, on each host of the service, before the service's containers start, and again
//! when the hook or the service changes (other than in number). *Caveats:* a job sees the service's mounts by what the
//! manifest says of them; anonymous volumes are its own.

use std::collections::BTreeMap;

use crate::model::project::{Deploy, Link, PreStart, Project, Service};
use crate::model::{Digest, ServiceName};

/// Label of a job: a digest of the service that it runs for.
const LABEL: &str = "moorline.before";

/// The project with a job in place of each such container. What cannot be one stays, for who refuses it.
pub fn jobs(mut project: Project) -> Project {
    // The usual project has none, and is handed back as it came, without a copy.
    let hooked = |service: &&Service| !service.pre_start.is_empty() && is_possible(service);
    if !project.services.values().any(|service| hooked(&service)) {
        return project;
    }
    let mut made = BTreeMap::new();
    for (name, service) in &mut project.services {
        if !hooked(&&*service) {
            continue;
        }
        let hooks = std::mem::take(&mut service.pre_start);
        let owner =
            Owner { project: project.name.as_str(), name, service, digest: digest(service) };
        let mut last: Option<ServiceName> = None;
        for (index, hook) in hooks.into_iter().enumerate() {
            // A service's name with such an end is one too.
            // The dots keep it out of the way: a manifest that has a service `web.pre_start.0` of its own asks for that
            // very collision.
            let Ok(job) = ServiceName::parse(&format!("{name}.pre_start.{index}")) else {
                continue;
            };
            made.insert(job.clone(), owner.job(hook, last.as_ref()));
            // One after the other, as the list stands: the Specification runs them in order, and a migration may need
            // the one before.
            last = Some(job);
        }
        service.depends_on.extend(last.map(completed));
    }
    project.services.extend(made);
    project
}

/// Whether a service is such a job.
pub(super) fn is_job(service: &Service) -> bool {
    service.labels.contains_key(LABEL)
}

/// Whether its hooks can be run: the reference cannot run them once a replica either.
fn is_possible(service: &Service) -> bool {
    service.pre_start.iter().all(|hook| !hook.per_replica && hook.env_file.is_empty())
}

/// The service whose preparations are made into jobs.
struct Owner<'a> {
    project: &'a str,
    name: &'a ServiceName,
    service: &'a Service,
    digest: Digest,
}

impl Owner<'_> {
    /// One entry of `pre_start` as a service of its own that runs once for each definition of its owner. What the entry does not
    /// say is the owner's: image, variables, mounts, dependencies. It publishes no ports, has one replica, and is not
    /// restarted by the Engine: a failed one is the planner's affair.
    ///
    /// An image that is built has no name in the manifest. The job must build it alike, or one of the two would find
    /// the other's and call it changed. What the entry says wins; the rest is the owner's, so that a migration finds
    /// the database where the service does. Ports are published by the service itself, whose older version may still run
    /// meanwhile. It counts by its end, not by its health: a check would only hold back those that wait.
    fn job(&self, hook: PreStart, before: Option<&ServiceName>) -> Service {
        let mut job = *hook.container;
        let owner = self.service;
        if job.image.is_empty() || job.image == owner.image {
            let built = || format!("{}-{}", self.project, self.name);
            job.image = if owner.image.is_empty() { built() } else { owner.image.clone() };
            job.build.clone_from(&owner.build);
            job.pull_policy.clone_from(&owner.pull_policy);
        }
        for (variable, value) in &owner.environment {
            job.environment.entry(variable.clone()).or_insert_with(|| value.clone());
        }
        let taken = |target: &str| job.volumes.iter().any(|volume| volume.target == target);
        let shared: Vec<_> =
            owner.volumes.iter().filter(|volume| !taken(&volume.target)).cloned().collect();
        job.volumes.extend(shared);
        job.depends_on.clone_from(&owner.depends_on);
        job.depends_on.extend(before.cloned().map(completed));
        job.deploy = owner.deploy.as_ref().map(|deploy| Deploy {
            mode: "global".to_owned(),
            placement: deploy.placement.clone(),
            ..Deploy::default()
        });
        job.labels.insert(LABEL.to_owned(), self.digest.to_string());
        job.restart = "no".to_owned();
        job.container_name.clear();
        job.ports.clear();
        job.scale = None;
        job.healthcheck = None;
        job
    }
}

/// A service's digest, but for how many there are of it and how they are replaced.
fn digest(service: &Service) -> Digest {
    let mut service = service.clone();
    // Another count is no other definition: the job has done its work for it, and is not run again.
    service.scale = None;
    if let Some(deploy) = &mut service.deploy {
        (deploy.replicas, deploy.update_config, deploy.rollback_config) = (None, None, None);
    }
    service.deploy = service.deploy.filter(|deploy| *deploy != Deploy::default());
    // A service is plain data: it can always be written.
    Digest::of(serde_json::to_string(&service).unwrap_or_default().as_bytes())
}

/// The dependency on a job's end with code 0.
fn completed(job: ServiceName) -> (ServiceName, Link) {
    let condition = "service_completed_successfully".to_owned();
    (job, Link { condition, ..Link::default() })
}
