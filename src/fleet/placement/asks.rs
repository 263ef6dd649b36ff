//! From manifests and observations to what placement takes, and from its answer to what one host is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Ask, Constraint, Mode, Placement, ReplicaKey, Resources, Seen, ServiceKey, Sitting};
use crate::config::fleet_file::Stack;
use crate::config::quantity::parse_thousandths;
use crate::config::settings::Labels;
use crate::model::project::Volume;
use crate::model::{
    ContainerState, Desired, Diagnostic, Diagnostics, HealthCheckState, HostName, Location,
    ManifestTree, Observed, ObservedContainer, Ownership, Project, Replica, Service, ServiceName,
    Timestamp, TreePath,
};

/// Host folders that are the system's and hold no state of a service.
const SYSTEM_FOLDERS: [&str; 10] =
    ["/boot", "/dev", "/etc", "/lib", "/proc", "/run", "/sys", "/tmp", "/usr", "/var/run"];

/// What the services of a stack ask of placement. Constraints that cannot be understood are errors.
pub fn asks(
    stack: &Stack,
    project: &Project,
    tree: &ManifestTree,
    hosts: &BTreeMap<HostName, Labels>,
) -> (Vec<Ask>, Diagnostics) {
    let mut problems = Diagnostics::default();
    let chosen = stack.hosts.select(hosts);
    let asks = project
        .services
        .iter()
        .map(|(name, service)| {
            let reading = Reading { stack, project, tree, name, service };
            reading.ask(chosen.clone(), &mut problems)
        })
        .collect();
    (asks, problems)
}

/// Whether a service says how many of it there are in the fleet.
fn says_how_many(service: &Service) -> bool {
    let deploy = service.deploy.as_ref();
    service.scale.is_some()
        || deploy.is_some_and(|deploy| !deploy.mode.is_empty() || deploy.replicas.is_some())
}

/// Whether a project asks for placement at all. One that does not runs whole on each of its hosts.
pub fn is_asked(project: &Project) -> bool {
    project.services.values().any(|service| {
        let placement = service.deploy.as_ref().map(|deploy| &deploy.placement);
        says_how_many(service)
            || placement.is_some_and(|it| !it.constraints.is_empty() || !it.preferences.is_empty())
    })
}

struct Reading<'a> {
    stack: &'a Stack,
    project: &'a Project,
    tree: &'a ManifestTree,
    name: &'a ServiceName,
    service: &'a Service,
}

impl Reading<'_> {
    fn ask(&self, hosts: BTreeSet<HostName>, problems: &mut Diagnostics) -> Ask {
        let deploy = self.service.deploy.as_ref();
        let placement = deploy.map(|deploy| &deploy.placement);
        let is_global = deploy.is_some_and(|deploy| deploy.mode.starts_with("global"));
        let spread = placement.into_iter().flat_map(|placement| &placement.preferences);
        let most = placement.map_or(0, |placement| placement.max_replicas_per_node);
        Ask {
            key: ServiceKey { stack: self.stack.name.clone(), service: self.name.clone() },
            // Who says nothing runs on each host that the stack names.
            mode: if is_global || !says_how_many(self.service) {
                Mode::Global
            } else {
                Mode::Replicated(self.service.replicas())
            },
            hosts,
            reserved: self.reserved(),
            constraints: self.constraints(problems),
            spread: spread.map(|preference| label(&preference.spread).to_owned()).collect(),
            max_per_host: u32::try_from(most).ok().filter(|most| 0 < *most),
            priority: self.stack.priority,
            state: self.state(),
            exclusive: self.exclusive(),
            beside: self.beside(),
        }
    }

    fn reserved(&self) -> Resources {
        let deploy = self.service.deploy.as_ref();
        let reservations = deploy.and_then(|deploy| deploy.resources.reservations.as_ref());
        let cpus = reservations.map_or(0.0, |reservations| reservations.cpus.0);
        let memory = reservations.map_or(0, |reservations| reservations.memory.0);
        let memory = if memory == 0 { self.service.mem_reservation.0 } else { memory };
        Resources {
            cpus: parse_thousandths(&format!("{cpus:.3}")).unwrap_or_default(),
            memory: u64::try_from(memory).unwrap_or_default(),
        }
    }

    fn constraints(&self, problems: &mut Diagnostics) -> Vec<Constraint> {
        let placement = self.service.deploy.as_ref().map(|deploy| &deploy.placement);
        let texts = placement.into_iter().flat_map(|placement| &placement.constraints);
        let mut constraints = Vec::new();
        for (number, text) in texts.enumerate() {
            match Constraint::parse(text) {
                Ok(constraint) => constraints.push(constraint),
                Err(problem) => {
                    let path =
                        format!("services.{}.deploy.placement.constraints.{number}", self.name);
                    let place = self.project.origins.nearest(&path);
                    let place =
                        place.unwrap_or_else(|| Location::file(self.stack.path.to_string()));
                    problems.push(Diagnostic::error(place, problem.to_string()).at(path));
                }
            }
        }
        constraints
    }

    /// Volumes, by their names on the host, and host folders that hold what Git does not.
    fn state(&self) -> BTreeSet<String> {
        let mounts = self.service.volumes.iter().filter(|mount| !mount.source.is_empty());
        mounts
            .filter_map(|mount| match mount.kind.as_str() {
                "volume" => self.volume(&mount.source),
                "bind" if !mount.read_only => self.folder(&mount.source),
                _ => None,
            })
            .collect()
    }

    fn volume(&self, key: &str) -> Option<String> {
        match self.project.volumes.get(key) {
            Some(volume) => is_on_one_host(volume).then(|| volume.name.clone()),
            None => Some(key.to_owned()),
        }
    }

    fn folder(&self, source: &str) -> Option<String> {
        match self.project.below_root(source) {
            Some(below) => (!self.is_in_git(below)).then(|| source.to_owned()),
            None => {
                let is_system = SYSTEM_FOLDERS.iter().any(|folder| {
                    source
                        .strip_prefix(folder)
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                });
                (!is_system).then(|| source.to_owned())
            }
        }
    }

    /// A path below the project's root that is a file or a folder of the commit.
    fn is_in_git(&self, below: &str) -> bool {
        // The project's root is the stack's folder, or one above it that its files name.
        let candidates = [self.stack.path.join(below), TreePath::parse(below)];
        candidates
            .iter()
            .flatten()
            .any(|path| self.tree.file(path).is_some() || self.tree.is_folder(path))
    }

    /// Host ports that do not vary, and the container's own name.
    fn exclusive(&self) -> BTreeSet<String> {
        let ports = self.service.ports.iter().filter(|port| {
            !port.published.is_empty() && port.published != "0" && !port.published.contains('-')
        });
        let mut exclusive: BTreeSet<String> = ports
            .map(|port| {
                let protocol = if port.protocol.is_empty() { "tcp" } else { &port.protocol };
                let address = if port.host_ip.is_empty() || port.host_ip == "0.0.0.0" {
                    String::new()
                } else {
                    format!("{}:", port.host_ip)
                };
                format!("port {address}{}/{protocol}", port.published)
            })
            .collect();
        if !self.service.container_name.is_empty() {
            exclusive.insert(format!("name {}", self.service.container_name));
        }
        exclusive
    }

    fn beside(&self) -> Option<ServiceName> {
        let modes = [&self.service.network_mode, &self.service.ipc, &self.service.pid];
        let shared = modes.iter().filter_map(|mode| mode.strip_prefix("service:"));
        let volumes = self.service.volumes_from.iter();
        let volumes = volumes
            .filter(|from| !from.starts_with("container:"))
            .filter_map(|from| from.split(':').next());
        shared.chain(volumes).find_map(|name| ServiceName::parse(name).ok())
    }
}

/// `node.labels.zone` and `engine.labels.zone` are the host's label `zone`.
fn label(text: &str) -> &str {
    text.strip_prefix("node.labels.")
        .or_else(|| text.strip_prefix("engine.labels."))
        .unwrap_or(text)
}

/// Whether a volume's data is on the host that has it: not so for network file systems and other drivers.
fn is_on_one_host(volume: &Volume) -> bool {
    let kind = volume.driver_opts.get("type").map_or("", String::as_str);
    let is_network = kind.starts_with("nfs") || matches!(kind, "cifs" | "smb3" | "9p" | "ceph");
    matches!(volume.driver.as_str(), "" | "local") && !is_network
}

/// What was observed of a stack on one host: its replicas, and its volumes.
pub fn seen(observed: &Observed) -> Seen {
    let (mut seats, mut volumes) = (BTreeMap::new(), BTreeSet::new());
    for container in &observed.containers {
        if container.one_off || !matches!(container.ownership, Ownership::Ours) {
            continue;
        }
        let Some(replica) = container.replica.clone() else { continue };
        // Where a replica is doubled, the older one says since when it is there.
        let own = Sitting {
            since: container.created_at,
            serves: serves(container),
            is_only_made: container.state == ContainerState::Created,
        };
        let sitting = seats.entry(replica).or_insert(own);
        sitting.since = own.since.min(sitting.since);
        sitting.serves |= own.serves;
        sitting.is_only_made &= own.is_only_made;
        // A folder of the host that a container mounts holds its state there, whether or not it runs.
        let folders = container.mounts.values().filter(|mount| mount.kind == "bind");
        volumes.extend(folders.map(|mount| mount.source.clone()));
    }
    let ours = observed.volumes.iter().filter(|(_, volume)| volume.ownership == Ownership::Ours);
    volumes.extend(ours.map(|(name, _)| name.clone()));
    // A container that was listed and could not be inspected sits where it is.
    for replica in observed.gaps.iter().filter_map(|gap| gap.replica.clone()) {
        seats.entry(replica).or_insert(Sitting {
            since: Timestamp::default(),
            serves: false,
            is_only_made: false,
        });
    }
    Seen { seats: seats.into_iter().collect(), volumes: volumes.into_iter().collect() }
}

fn serves(container: &ObservedContainer) -> bool {
    match container.state {
        ContainerState::Running => {
            matches!(container.health, HealthCheckState::None | HealthCheckState::Healthy)
        }
        ContainerState::Exited(code) => code == 0,
        _ => false,
    }
}

/// Leaves of what a stack asks only what placement put on a host. Services without a replica there stay, empty, so that
/// what is left of them is surplus; networks and volumes that nobody there uses go. A volume that is there stays asked
/// for: it holds data, and is nobody's to prune because its service sits elsewhere now.
pub fn confine(desired: &mut Desired, placement: &Placement, host: &HostName, observed: &Observed) {
    for (name, service) in &mut desired.services {
        let key = ServiceKey { stack: desired.stack.clone(), service: name.clone() };
        let numbers = placement.numbers_on(host, &key);
        let is_here = |number: u32| {
            observed.containers.iter().any(|container| {
                let replica = container.replica.as_ref();
                replica.is_some_and(|it| it.service == *name && it.number == number)
            })
        };
        let is_elsewhere = |number: u32| {
            let replica = Replica { service: name.clone(), number };
            let key = ReplicaKey { stack: desired.stack.clone(), replica };
            let has_seat = placement.seats.get(&key).is_some_and(|hosts| !hosts.is_empty());
            has_seat && !placement.coming.contains(&key)
        };
        // What is here stays for as long as it is nowhere else: nothing is removed because nobody knows where to put it.
        let stays =
            |number: u32| numbers.contains(&number) || (is_here(number) && !is_elsewhere(number));
        if !service.replicas.keys().all(|number| stays(*number)) {
            Arc::make_mut(service).replicas.retain(|number, _| stays(*number));
        }
    }
    let is_empty = |name: &ServiceName| {
        desired.services.get(name).is_none_or(|service| service.replicas.is_empty())
    };
    let elsewhere: BTreeSet<ServiceName> =
        desired.services.keys().filter(|name| is_empty(name)).cloned().collect();
    for service in desired.services.values_mut() {
        // Nothing of it is on this host: there is nothing to wait for here.
        if service.depends_on.keys().any(|name| elsewhere.contains(name)) {
            Arc::make_mut(service).depends_on.retain(|name, _| !elsewhere.contains(name));
        }
    }
    let specs = || desired.services.values().flat_map(|service| service.replicas.values());
    let networks: BTreeSet<&str> =
        specs().flat_map(|replica| replica.spec.endpoints.keys()).map(String::as_str).collect();
    let volumes: BTreeSet<&str> = specs()
        .flat_map(|replica| replica.spec.host.mountings())
        .filter_map(|mounting| mounting.volume())
        .collect();
    let keep_networks: BTreeSet<String> = desired
        .networks
        .iter()
        .filter(|(_, network)| networks.contains(network.spec.name.as_str()))
        .map(|(key, _)| key.clone())
        .collect();
    let keep_volumes: BTreeSet<String> = desired
        .volumes
        .iter()
        .filter(|(_, volume)| {
            let name = volume.spec.name.as_str();
            volumes.contains(name) || observed.volumes.contains_key(name)
        })
        .map(|(key, _)| key.clone())
        .collect();
    desired.networks.retain(|key, _| keep_networks.contains(key));
    desired.volumes.retain(|key, _| keep_volumes.contains(key));
}
