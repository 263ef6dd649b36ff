//! Rules between the resources of a model: what is referred to exists, nothing contradicts itself.

use std::collections::{BTreeMap, BTreeSet};

use super::convert::Parts;
use super::normalize;
use crate::model::{Diagnostic, Diagnostics, Location, Origins, Service, ServiceName, Severity};

/// Problems before those that come with advice that takes time.
/// Finding the nearest of a thousand names for each of a thousand unknown ones is a million comparisons.
const MAX_ADVISED: usize = 100;

/// Replicas of one service: far more than an Engine can run, and few enough to plan.
pub(super) const MAX_REPLICAS: usize = 10_000;

/// Services of a circle that are all named.
/// A circle of a thousand would be a page of names, of which the first and the last few already show where it is.
const MAX_SHOWN: usize = 20;

/// Checks the services that are enabled.
pub(super) struct Checks<'a> {
    pub(super) parts: &'a Parts,
    pub(super) enabled: &'a BTreeSet<ServiceName>,
    pub(super) origins: &'a Origins,
    pub(super) problems: &'a mut Diagnostics,
}

impl Checks<'_> {
    /// Reports everything that is inconsistent.
    ///
    /// Only services that are enabled are looked at, so that a stack with a profile that is off can be deployed
    /// although that part of it is not finished.
    pub(super) fn run(&mut self) {
        let parts = self.parts;
        let mut containers: BTreeMap<&str, &ServiceName> = BTreeMap::new();
        for (name, service) in
            parts.services.iter().filter(|(name, _)| self.enabled.contains(*name))
        {
            self.service(name, service);
            if service.container_name.is_empty() {
                continue;
            }
            if let Some(other) = containers.insert(&service.container_name, name) {
                let message = format!(
                    "the container name {:?} is used by the service {other} too",
                    service.container_name
                );
                self.report(name, "container_name", message, "");
            }
        }
        for (key, secret) in &parts.secrets {
            if !secret.external && secret.file.is_empty() && secret.environment.is_empty() {
                let path = format!("secrets.{key}");
                let location = self.origins.nearest(&path).unwrap_or_else(|| Location::file(""));
                let message = "the secret needs a file or a variable";
                let help = "write file: or environment:";
                self.problems.push(Diagnostic::error(location, message).at(path).help(help));
            }
        }
        self.cycles();
    }

    fn report(
        &mut self,
        name: &ServiceName,
        attribute: &str,
        message: impl Into<String>,
        help: &str,
    ) {
        let path = if attribute.is_empty() {
            format!("services.{name}")
        } else {
            format!("services.{name}.{attribute}")
        };
        let location = self.origins.nearest(&path).unwrap_or_else(|| Location::file(""));
        self.problems.push(Diagnostic::error(location, message).at(path).help(help));
    }

    /// Whether one of a service's attributes was reported already, so that what follows from it is not.
    ///
    /// One mistake is one problem: a service whose image could not be read is not also called one without an image.
    fn is_known_wrong(&self, name: &ServiceName, attributes: &[&str]) -> bool {
        let is_about = |path: &str| {
            let below = path.strip_prefix("services.").and_then(|p| p.strip_prefix(name.as_str()));
            let attribute = below.and_then(|below| below.strip_prefix('.'));
            attribute.is_some_and(|attribute| attributes.contains(&attribute))
        };
        let mut errors = self.problems.0.iter().filter(|p| p.severity == Severity::Error);
        errors.any(|problem| is_about(&problem.path))
    }

    fn service(&mut self, name: &ServiceName, service: &Service) {
        let is_empty =
            service.image.is_empty() && service.build.is_none() && service.provider.is_none();
        if is_empty && !self.is_known_wrong(name, &["extends", "image", "build"]) {
            let message = format!("the service {name} has neither an image nor a build");
            self.report(name, "", message, "add image: or build:");
        }
        if !service.network_mode.is_empty() && !service.networks.is_empty() {
            let message = "network_mode and networks exclude each other";
            self.report(name, "network_mode", message, "keep one of the two");
        }
        let test = service.healthcheck.as_ref().and_then(|check| check.test.first());
        if test.is_some_and(|first| !matches!(first.as_str(), "CMD" | "CMD-SHELL" | "NONE")) {
            let help = "write CMD, CMD-SHELL or NONE first, or the whole command as one text";
            let message = "the list must begin with CMD, CMD-SHELL or NONE";
            self.report(name, "healthcheck.test", message, help);
        }
        self.build(name, service);
        self.references(name, service);
        self.dependencies(name, service);
        self.amounts(name, service);
        self.mounts(name, service);
    }

    /// A context that is another service's image asks for that service to be built first (Compose Build Specification,
    /// `additional_contexts`).
    fn build(&mut self, name: &ServiceName, service: &Service) {
        let Some(build) = &service.build else { return };
        if !build.dockerfile.is_empty() && !build.dockerfile_inline.is_empty() {
            let message = "dockerfile and dockerfile_inline exclude each other";
            self.report(name, "build.dockerfile_inline", message, "keep one of the two");
        }
        if !build.platforms.is_empty()
            && !service.platform.is_empty()
            && !build.platforms.contains(&service.platform)
        {
            let message = format!("the service's platform {} is not among them", service.platform);
            self.report(name, "build.platforms", message, "add it");
        }
        for (context, target) in &build.additional_contexts {
            let Some(target) = target.strip_prefix("service:") else { continue };
            let attribute = format!("build.additional_contexts.{context}");
            match self.enabled.get(target).and_then(|target| self.parts.services.get(target)) {
                None => {
                    let message = format!("there is no service {target}");
                    self.report(name, &attribute, message, "");
                }
                Some(other) if other.build.is_none() => {
                    let message = format!("the service {target} has no build");
                    self.report(name, &attribute, message, "");
                }
                Some(_) => {}
            }
        }
        for (index, secret) in build.secrets.iter().enumerate() {
            if !self.parts.secrets.contains_key(&secret.source) {
                let attribute = format!("build.secrets.{index}");
                self.undefined(name, &attribute, "secret", &secret.source);
            }
        }
    }

    /// Something is used that nothing declares.
    ///
    /// The nearest name is offered, since mostly a letter is wrong.
    fn undefined(&mut self, name: &ServiceName, attribute: &str, noun: &str, key: &str) {
        if self.problems.is_full() {
            return;
        }
        let known: Vec<&str> = match noun {
            "network" => self.parts.networks.keys().map(String::as_str).collect(),
            "volume" => self.parts.volumes.keys().map(String::as_str).collect(),
            "config" => self.parts.configs.keys().map(String::as_str).collect(),
            "secret" => self.parts.secrets.keys().map(String::as_str).collect(),
            _ => self.parts.models.keys().map(String::as_str).collect(),
        };
        let known = known.into_iter().take(self.names_to_offer());
        let help = match crate::yaml::nearest(key, known) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("declare it under {noun}s: at the top level"),
        };
        let message = format!("the {noun} {key:?} is not declared");
        self.report(name, attribute, message, &help);
    }

    /// Names that a word is compared with: among hundreds of problems nobody looks for advice on one.
    fn names_to_offer(&self) -> usize {
        if self.problems.0.len() < MAX_ADVISED { usize::MAX } else { 0 }
    }

    /// Whether every network, volume, config and secret that a service uses is declared at the top (Compose Specification: "must be
    /// declared"). The default network need not be.
    ///
    /// The Engine would make a volume of an unknown name without a word, and a service with a misspelt one would start
    /// with no data.
    fn references(&mut self, name: &ServiceName, service: &Service) {
        let parts = self.parts;
        for key in service.networks.keys().filter(|key| !parts.networks.contains_key(*key)) {
            self.undefined(name, &format!("networks.{key}"), "network", key);
        }
        for (index, volume) in service.volumes.iter().enumerate() {
            let is_named = volume.kind == "volume" && !volume.source.is_empty();
            if is_named && !parts.volumes.contains_key(&volume.source) {
                self.undefined(name, &format!("volumes.{index}"), "volume", &volume.source);
            }
        }
        for (index, config) in service.configs.iter().enumerate() {
            if !parts.configs.contains_key(&config.source) {
                self.undefined(name, &format!("configs.{index}"), "config", &config.source);
            }
        }
        for (index, secret) in service.secrets.iter().enumerate() {
            if !parts.secrets.contains_key(&secret.source) {
                self.undefined(name, &format!("secrets.{index}"), "secret", &secret.source);
            }
        }
        for key in service.models.keys().filter(|key| !parts.models.contains_key(*key)) {
            self.undefined(name, &format!("models.{key}"), "model", key);
        }
    }

    /// Whether every service that another one names, in `depends_on` or by sharing something with it, is there and enabled.
    /// What is broken itself is told elsewhere.
    ///
    /// A service that is there and switched off gets another advice than one that is not there at all: to activate its
    /// profile.
    fn dependencies(&mut self, name: &ServiceName, service: &Service) {
        for (attribute, other, _) in normalize::implied(service) {
            if ServiceName::parse(&other).is_err() {
                self.report(name, &attribute, format!("{other:?} is no service"), "");
            }
        }
        for (other, link) in &service.depends_on {
            if self.enabled.contains(other) || self.parts.broken.contains(other) {
                continue;
            }
            let is_disabled = self.parts.services.contains_key(other);
            if is_disabled && !link.required {
                continue;
            }
            if self.problems.is_full() {
                return;
            }
            let attribute = Self::why(service, other);
            if is_disabled {
                let message = format!("the service {other} is not enabled by any profile");
                self.report(
                    name,
                    &attribute,
                    message,
                    "activate its profile, or write required: false",
                );
            } else if link.required || !is_disabled {
                let names = self.parts.services.keys().map(ServiceName::as_str);
                let names = names.take(self.names_to_offer());
                let help = crate::yaml::nearest(other.as_str(), names)
                    .map_or(String::new(), |near| format!("did you mean {near:?}?"));
                self.report(name, &attribute, format!("there is no service {other}"), &help);
            }
        }
    }

    /// The attribute by which a service depends on another.
    ///
    /// Shared namespaces are asked first: whoever writes `network_mode: service:db` looks for the mistake there.
    fn why(service: &Service, other: &ServiceName) -> String {
        let named = |value: &str| value.strip_prefix("service:") == Some(other.as_str());
        let first = |value: &String| value.split(':').next() == Some(other.as_str());
        for (value, attribute) in [
            (&service.network_mode, "network_mode"),
            (&service.ipc, "ipc"),
            (&service.pid, "pid"),
            (&service.uts, "uts"),
            (&service.cgroup, "cgroup"),
        ] {
            if named(value) {
                return attribute.to_owned();
            }
        }
        if let Some(index) = service.volumes_from.iter().position(first) {
            return format!("volumes_from.{index}");
        }
        if let Some(index) = service.links.iter().position(first) {
            return format!("links.{index}");
        }
        format!("depends_on.{other}")
    }

    /// Counts and limits that contradict each other, or that no host could have.
    ///
    /// The older attributes and those below `deploy` were two worlds once, for Engines with and without Swarm. The
    /// Specification wants both to agree where both are said, and which of them would win is nothing to guess.
    fn amounts(&mut self, name: &ServiceName, service: &Service) {
        let deploy = service.deploy.as_ref();
        if let (Some(scale), Some(replicas)) = (service.scale, deploy.and_then(|d| d.replicas))
            && scale != replicas
        {
            let message = "scale and deploy.replicas say different numbers";
            self.report(name, "scale", message, "keep deploy.replicas");
        }
        if MAX_REPLICAS < service.replicas() as usize {
            // Said here, before anything looks at each of them.
            let attribute = if service.scale.is_some() { "scale" } else { "deploy.replicas" };
            let count = service.replicas();
            let message = format!("{count} replicas are more than {MAX_REPLICAS}");
            self.report(name, attribute, message, "ask for fewer");
        }
        if service.replicas() > 1 && !service.container_name.is_empty() {
            let message = "several containers cannot have one container_name";
            self.report(name, "container_name", message, "remove it, or run one replica");
        }
        let limits = deploy.and_then(|deploy| deploy.resources.limits.as_ref());
        let reservations = deploy.and_then(|deploy| deploy.resources.reservations.as_ref());
        let pairs = [
            (f64::from(service.cpus.0), limits.map(|l| f64::from(l.cpus.0)), "cpus", "limits.cpus"),
            (
                whole(service.mem_limit.0),
                limits.map(|l| whole(l.memory.0)),
                "mem_limit",
                "limits.memory",
            ),
            (whole(service.pids_limit), limits.map(|l| whole(l.pids)), "pids_limit", "limits.pids"),
            (
                whole(service.mem_reservation.0),
                reservations.map(|r| whole(r.memory.0)),
                "mem_reservation",
                "reservations.memory",
            ),
        ];
        for (own, deployed, attribute, other) in pairs {
            if own != 0.0 && deployed.is_some_and(|deployed| (own - deployed).abs() > f64::EPSILON)
            {
                let message =
                    format!("{attribute} and deploy.resources.{other} say different amounts");
                let help = format!("write deploy.resources.{other} only");
                self.report(name, attribute, message, &help);
            }
        }
    }

    /// Two mounts at one place are refused by the Engine when the container is made, after its predecessor was stopped.
    fn mounts(&mut self, name: &ServiceName, service: &Service) {
        let mut targets: BTreeMap<&str, String> = BTreeMap::new();
        let tmpfs = service.tmpfs.iter().enumerate().map(|(index, tmpfs)| {
            (tmpfs.split(':').next().unwrap_or_default(), format!("tmpfs.{index}"))
        });
        let volumes = service
            .volumes
            .iter()
            .enumerate()
            .map(|(index, volume)| (volume.target.as_str(), format!("volumes.{index}")));
        for (target, attribute) in tmpfs.chain(volumes) {
            if let Some(other) = targets.insert(target, attribute.clone()) {
                let message = format!("{target} is mounted by {other} too");
                self.report(name, &attribute, message, "");
            }
        }
    }

    /// Reports services that wait for each other in a circle: each circle once.
    ///
    /// A circle can never start: each waits for another one. It is told as a way through all its members, because no
    /// line of the file shows it.
    fn cycles(&mut self) {
        let parts = self.parts;
        let mut done: BTreeSet<&ServiceName> = BTreeSet::new();
        for start in parts.services.keys().filter(|name| self.enabled.contains(*name)) {
            let mut way: Vec<&ServiceName> = Vec::new();
            let mut on_way: BTreeSet<&ServiceName> = BTreeSet::new();
            let mut stack: Vec<(&ServiceName, bool)> = vec![(start, false)];
            while let Some((name, is_left)) = stack.pop() {
                if is_left {
                    way.pop();
                    on_way.remove(name);
                    done.insert(name);
                    continue;
                }
                if on_way.contains(name) {
                    let message =
                        format!("services wait for each other in a circle: {}", circle(&way, name));
                    self.report(name, "depends_on", message, "remove one of the dependencies");
                    return;
                }
                if done.contains(name) {
                    continue;
                }
                way.push(name);
                on_way.insert(name);
                stack.push((name, true));
                let service = parts.services.get(name);
                for next in service.into_iter().flat_map(|service| service.depends_on.keys()) {
                    if self.enabled.contains(next) {
                        stack.push((next, false));
                    }
                }
            }
        }
    }
}

/// The circle that closes at a service, as text; of a long one its beginning and end.
///
/// `a -> b -> a`: the member at which it closes stands at both ends.
fn circle(way: &[&ServiceName], closes: &ServiceName) -> String {
    let names: Vec<&str> = way
        .iter()
        .skip_while(|name| **name != closes)
        .map(|name| name.as_str())
        .chain([closes.as_str()])
        .collect();
    match names.as_slice() {
        [first, second, .., last_but_one, last] if names.len() > MAX_SHOWN => {
            let left_out = names.len() - 4;
            format!("{first} -> {second} -> … {left_out} more … -> {last_but_one} -> {last}")
        }
        names => names.join(" -> "),
    }
}

/// As a number with a fraction, to be compared with one.
#[expect(clippy::cast_precision_loss, reason = "only compared for being equal")]
fn whole(number: i64) -> f64 {
    number as f64
}
