//! What operators do by hand: restart, pull, build. Each is a plan, carried out as every other one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Engines, Listeners, Seen, Wish, host_data, target_waves};
use crate::daemon::Setup;
use crate::docker::FoundContainer;
use crate::model::{
    Action, ContainerHandle, Desired, Ending, HostName, ImagePolicy, Plan, Reason, Replica,
    RepositoryName, Revision, ServiceName, StackName, Step, StepId, StepOutcome,
};
use crate::reconcile;
use crate::report::Target;

/// How long a container is given to end that says nothing of it, as Engines do.
const USUAL_GRACE: Duration = Duration::from_secs(10);
/// How long a container without a health check must stay up.
const MONITOR: Duration = Duration::from_secs(2);

/// What was done on one host.
#[derive(Debug)]
pub struct ByHand {
    /// The stack there.
    pub target: Target,
    /// What was to be done.
    pub plan: Arc<Plan>,
    /// What became of it, one outcome a step.
    pub outcomes: Vec<StepOutcome>,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum HandsError {
    /// Nothing runs there.
    #[error("no container of {what} was found")]
    Nothing {
        /// What was looked for.
        what: String,
        /// Stacks that are there.
        known: BTreeSet<String>,
    },
    /// A host cannot be seen.
    #[error("host {host} cannot be seen: {why}")]
    Unseen {
        /// Which.
        host: HostName,
        /// Why.
        why: String,
    },
}

/// A container of a stack, and where it is.
#[derive(Debug)]
pub struct OnHost {
    /// The host.
    pub host: HostName,
    /// The container.
    pub container: FoundContainer,
}

/// Containers of a stack on all hosts, by service and number; only those of a service, where one is named. Hosts that cannot
/// be seen are told beside.
///
/// # Errors
/// When there is none.
pub async fn containers_of(
    engines: &Engines,
    stack: &StackName,
    service: Option<&ServiceName>,
) -> Result<(Vec<OnHost>, Vec<HandsError>), HandsError> {
    let (mut found, mut unseen, mut known) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (host, engine) in engines {
        let seen = match engine {
            Ok(engine) => engine.found_containers().await.map_err(|error| error.to_string()),
            Err(failure) => Err(failure.message.clone()),
        };
        match seen {
            Ok(all) => {
                known.extend(all.iter().filter_map(|one| one.stack.clone()));
                let own = all.into_iter().filter(|one| is_of(one, stack, service));
                found.extend(own.map(|container| OnHost { host: host.clone(), container }));
            }
            Err(why) => unseen.push(HandsError::Unseen { host: host.clone(), why }),
        }
    }
    if found.is_empty() {
        if let Some(error) = unseen.into_iter().next() {
            return Err(error);
        }
        let what = match service {
            Some(service) => format!("service {service} of stack {stack}"),
            None => format!("stack {stack}"),
        };
        return Err(HandsError::Nothing { what, known });
    }
    found.sort_by(|a, b| place(a).cmp(&place(b)));
    Ok((found, unseen))
}

fn place(one: &OnHost) -> (Option<&str>, u32, &HostName) {
    let number = one.container.number.as_deref().and_then(|text| text.parse().ok());
    (one.container.service.as_deref(), number.unwrap_or(0), &one.host)
}

/// Ours by the label, or the Compose project of that name.
fn is_of(one: &FoundContainer, stack: &StackName, service: Option<&ServiceName>) -> bool {
    let name = one.stack.as_deref().or(one.project.as_deref());
    name == Some(stack.as_str())
        && service.is_none_or(|service| one.service.as_deref() == Some(service.as_str()))
}

/// Restarts a stack's running containers, one after the other: the next one goes when the one before is up, and healthy.
///
/// # Errors
/// When there is nothing of ours to restart.
pub async fn restart(
    setup: &Setup,
    engines: &Engines,
    (stack, service): (&StackName, Option<&ServiceName>),
    listeners: &Listeners,
    stop: &CancellationToken,
) -> Result<Vec<ByHand>, HandsError> {
    let (found, unseen) = containers_of(engines, stack, service).await?;
    if let Some(error) = unseen.into_iter().next() {
        return Err(error);
    }
    let mut hosts: BTreeMap<HostName, Vec<FoundContainer>> = BTreeMap::new();
    for OnHost { host, container } in found {
        if container.stack.is_some() && container.running {
            hosts.entry(host).or_default().push(container);
        }
    }
    if hosts.is_empty() {
        let what = format!("stack {stack} that Moorline keeps and that runs");
        return Err(HandsError::Nothing { what, known: BTreeSet::new() });
    }
    let mut done = Vec::new();
    for (host, containers) in hosts {
        let Some(Ok(engine)) = engines.get(&host) else { continue };
        let repository = containers.iter().find_map(|one| one.repository.clone());
        let Some(target) = target(repository.as_deref(), stack, host) else { continue };
        let limit = setup.settings.limits.progress;
        let plan = Arc::new(Plan {
            stack: stack.clone(),
            revision: Revision::none(),
            steps: restarts(&containers, limit),
            held: Vec::new(),
            warnings: Vec::new(),
        });
        let outcomes = carry_out(setup, engine, (&target, &plan), listeners, stop).await;
        done.push(ByHand { target, plan, outcomes });
    }
    Ok(done)
}

fn target(repository: Option<&str>, stack: &StackName, host: HostName) -> Option<Target> {
    let repository = RepositoryName::parse(repository?).ok()?;
    Some(Target { repository, stack: stack.clone(), host })
}

fn restarts(containers: &[FoundContainer], limit: Duration) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for one in containers {
        let Some(id) = one.id.clone() else { continue };
        let container = ContainerHandle::Observed { id, name: one.name.clone() };
        let grace = one.grace.unwrap_or(USUAL_GRACE);
        add(&mut steps, Action::Restart { container: container.clone(), grace }, replica(one));
        let ending = Ending::Counts;
        let wait = Action::AwaitHealthy { container, monitor: MONITOR, ending, limit };
        add(&mut steps, wait, replica(one));
    }
    steps
}

fn replica(one: &FoundContainer) -> Option<Replica> {
    let service = ServiceName::parse(one.service.as_deref()?).ok()?;
    let number = one.number.as_deref()?.parse().ok()?;
    Some(Replica { service, number })
}

/// Adds a step after all before it.
fn add(steps: &mut Vec<Step>, action: Action, replica: Option<Replica>) {
    let after = steps.last().map(|step| step.id).into_iter().collect();
    let number = u32::try_from(steps.len()).unwrap_or(u32::MAX).saturating_add(1);
    let (id, because, origin) = (StepId(number), Reason::ByHand, None);
    steps.push(Step { id, action, replica, because, origin, after });
}

/// What is fetched or built anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renew {
    /// Images of registries.
    Pulled,
    /// Images that are built from the repository.
    Built,
}

/// Fetches or builds the images of stacks anew on their hosts. Containers stay as they are: the next pass sees that the image
/// is another one.
///
/// # Errors
/// A host that cannot be seen.
pub async fn renew(
    setup: &Setup,
    (seen, wish): (&[Seen], &Wish),
    what: Renew,
    listeners: &Listeners,
    stop: &CancellationToken,
) -> Result<Vec<ByHand>, HandsError> {
    let engines = match super::connect(setup).await {
        Ok(engines) => engines,
        Err(error) => {
            return Err(HandsError::Nothing { what: error.to_string(), known: BTreeSet::new() });
        }
    };
    let mut done = Vec::new();
    for repository in seen {
        for target in target_waves(setup, repository, wish).into_iter().flatten() {
            let engine = match engines.get(&target.host) {
                Some(Ok(engine)) => engine,
                Some(Err(failure)) => {
                    let why = failure.message.clone();
                    return Err(HandsError::Unseen { host: target.host, why });
                }
                None => continue,
            };
            let Some(stack) = repository.commit.stack_of(&target) else { continue };
            let revision = &repository.commit.revision;
            let data = host_data(setup, &target.host);
            let written = stack.write(&target, revision, &data, &engine.facts());
            let steps = written.desired.map_or_else(Vec::new, |desired| renewals(&desired, what));
            let plan = Arc::new(Plan {
                stack: target.stack.clone(),
                revision: revision.clone(),
                steps,
                held: Vec::new(),
                warnings: Vec::new(),
            });
            let outcomes = carry_out(setup, engine, (&target, &plan), listeners, stop).await;
            done.push(ByHand { target, plan, outcomes });
        }
    }
    Ok(done)
}

fn renewals(desired: &Desired, what: Renew) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut known = BTreeSet::new();
    for service in desired.services.values() {
        let platform = service
            .replicas
            .values()
            .next()
            .map_or_else(String::new, |replica| replica.spec.platform.clone());
        let image = service.image.clone();
        let action = match (&service.image_policy, what) {
            (ImagePolicy::Build(build), Renew::Built) => {
                Action::Build { image, build: build.clone() }
            }
            (ImagePolicy::Build(_), Renew::Pulled)
            | (ImagePolicy::Never, _)
            | (_, Renew::Built) => continue,
            (
                ImagePolicy::PullMissing | ImagePolicy::PullAlways | ImagePolicy::PullEvery(_),
                Renew::Pulled,
            ) => Action::Pull { image, platform: platform.clone() },
        };
        if known.insert((service.image.clone(), platform)) {
            let number = u32::try_from(steps.len()).unwrap_or(u32::MAX).saturating_add(1);
            let (id, because, origin) = (StepId(number), Reason::ByHand, None);
            steps.push(Step { id, action, replica: None, because, origin, after: BTreeSet::new() });
        }
    }
    steps
}

async fn carry_out(
    setup: &Setup,
    engine: &crate::docker::Engine,
    (target, plan): (&Target, &Arc<Plan>),
    listeners: &Listeners,
    stop: &CancellationToken,
) -> Vec<StepOutcome> {
    reconcile::by_hand(plan, engine, &setup.settings.limits, listeners(target), stop).await
}
