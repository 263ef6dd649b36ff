//! One comparison's surroundings: which container stands for which replica, and who is called what.

use std::collections::{BTreeMap, BTreeSet};

use super::sheet::host::Naming;
use crate::model::{
    AdoptPolicy, ContainerState, Desired, DesiredReplica, DesiredService, HealthCheckState,
    Observed, ObservedContainer, Ownership, Policy, Replica, pattern,
};

/// What is compared, and what was found out about it once.
#[derive(Debug)]
pub(super) struct Look<'a> {
    pub(super) desired: &'a Desired,
    pub(super) observed: &'a Observed,
    pub(super) policy: &'a Policy,
    /// The container that stands for each replica.
    pub(super) keepers: BTreeMap<Replica, &'a ObservedContainer>,
    /// Names by container id: a keeper's is the one that its replica asks for.
    names: BTreeMap<&'a str, String>,
    /// Network names by id.
    networks: BTreeMap<&'a str, &'a str>,
    /// Manifest keys of networks by name on the host.
    keys: BTreeMap<&'a str, &'a str>,
    /// Names that containers hold which are not ours to touch.
    taken: BTreeSet<&'a str>,
}

impl<'a> Look<'a> {
    /// Finds a keeper for each replica that has candidates.
    pub(super) fn new(desired: &'a Desired, observed: &'a Observed, policy: &'a Policy) -> Self {
        let mut look = Self {
            desired,
            observed,
            policy,
            keepers: BTreeMap::new(),
            names: BTreeMap::new(),
            networks: BTreeMap::new(),
            keys: BTreeMap::new(),
            taken: BTreeSet::new(),
        };
        let mut candidates: BTreeMap<&Replica, Vec<&ObservedContainer>> = BTreeMap::new();
        for container in &observed.containers {
            match &container.replica {
                Some(replica) if look.may_touch(container) => {
                    candidates.entry(replica).or_default().push(container);
                }
                _ if look.may_touch(container) => {}
                _ => {
                    look.taken.insert(&container.name);
                }
            }
        }
        for (replica, mut containers) in candidates {
            let Some((service, wanted)) = wanted(desired, replica) else { continue };
            containers.sort_by_key(|container| rank(desired, service, wanted, container));
            if let Some(keeper) = containers.first() {
                look.keepers.insert(replica.clone(), keeper);
            }
        }
        look.learn_names();
        look
    }

    /// Ids of containers and networks with the names that people know them by: inspect shows either, depending on how the
    /// container was made.
    ///
    /// `--network container:web` is kept by the Engine as `container:<id>`. A container that shares with one that was
    /// just replaced still names the old id: then the name that is asked for and the id that is there differ, which is
    /// the very difference that matters.
    fn learn_names(&mut self) {
        for container in &self.observed.containers {
            self.names.insert(container.id.as_str(), container.id.to_string());
            if !self.may_touch(container) {
                self.names.insert(container.id.as_str(), container.name.clone());
            }
        }
        for (replica, keeper) in &self.keepers {
            if let Some((_, wanted)) = wanted(self.desired, replica) {
                self.names.insert(keeper.id.as_str(), wanted.name.clone());
            }
        }
        for (name, network) in &self.observed.networks {
            self.networks.insert(network.id.as_str(), name);
        }
        for (key, network) in &self.desired.networks {
            self.keys.insert(network.spec.name.as_str(), key);
        }
    }

    /// Whether containers that something else made in this project are taken over.
    pub(super) fn adopts(&self) -> bool {
        self.policy.adopt == AdoptPolicy::Adopt
    }

    /// Whether a container may be changed: it is ours, or foreign and to be adopted.
    pub(super) fn may_touch(&self, container: &ObservedContainer) -> bool {
        !container.one_off && self.owns(&container.ownership)
    }

    /// Whether a container of this ownership may be changed.
    fn owns(&self, ownership: &Ownership) -> bool {
        match ownership {
            Ownership::Ours => true,
            Ownership::Foreign => self.adopts(),
            Ownership::Neighbour(_) | Ownership::OtherRepository(_) | Ownership::Unrelated => false,
        }
    }

    /// Whether a network or volume that the stack asks for by name is its own, or shared with a stack of its
    /// repository.
    pub(super) fn shares(&self, ownership: &Ownership) -> bool {
        matches!(ownership, Ownership::Neighbour(_)) || self.owns(ownership)
    }

    /// Whether a container that is not ours holds a name.
    pub(super) fn is_name_taken(&self, name: &str) -> bool {
        self.taken.contains(name)
    }

    /// Whether a container that is not ours stands for a replica.
    ///
    /// Two containers of one number would both answer to the service's name in DNS, with one of them unknown to whoever
    /// made the other.
    pub(super) fn is_number_taken(&self, replica: &Replica) -> bool {
        self.observed.containers.iter().any(|container| {
            container.replica.as_ref() == Some(replica)
                && !container.one_off
                && !self.may_touch(container)
        })
    }

    /// Whether a replica asks for a name.
    pub(super) fn needs_name(&self, name: &str) -> bool {
        self.desired
            .services
            .values()
            .flat_map(|service| service.replicas.values())
            .any(|replica| replica.name == name)
    }

    /// Whether the operator left a field to others.
    pub(super) fn ignores(&self, path: &str) -> bool {
        self.policy.ignore.iter().any(|pattern| pattern::fits(pattern, path))
    }

    /// A network's key in the manifest; its name for one that the manifest does not know.
    pub(super) fn network_key<'n>(&'n self, name: &'n str) -> &'n str {
        self.keys.get(name).copied().unwrap_or(name)
    }
}

impl Naming for Look<'_> {
    fn container(&self, reference: &str) -> String {
        self.names.get(reference).cloned().unwrap_or_else(|| reference.to_owned())
    }

    fn network(&self, reference: &str) -> String {
        self.networks.get(reference).map_or_else(|| reference.to_owned(), |name| (*name).to_owned())
    }
}

/// The replica that a manifest asks for, with its service.
pub(super) fn wanted<'a>(
    desired: &'a Desired,
    replica: &Replica,
) -> Option<(&'a DesiredService, &'a DesiredReplica)> {
    let service = desired.services.get(&replica.service)?;
    Some((service, service.replicas.get(&replica.number)?))
}

/// Order in which containers are preferred as a replica's: made from what is asked for, by us, in the best state, newest.
///
/// Several stand for one replica in the middle of an update, or after a pass that was cut off. That one is kept which
/// is nearest to the goal: a keeper that is not what is asked for would be replaced by what is already there. The id
/// comes last, so that two looks at one host never disagree.
fn rank<'c>(
    desired: &Desired,
    service: &DesiredService,
    wanted: &DesiredReplica,
    container: &'c ObservedContainer,
) -> (bool, bool, bool, u8, std::cmp::Reverse<crate::model::Timestamp>, &'c str) {
    let leaving = matches!(container.state, ContainerState::Removing | ContainerState::Dead);
    let other = !desired.is_seal_of(&wanted.replica, container.spec_label.as_deref());
    let state = match (container.state, container.health) {
        (ContainerState::Exited(0), _) if service.may_complete || service.is_job => 0,
        (ContainerState::Running, HealthCheckState::Healthy | HealthCheckState::None) => 0,
        (ContainerState::Running, HealthCheckState::Starting) => 1,
        (ContainerState::Paused, _) => 2,
        (ContainerState::Restarting, _) => 3,
        (ContainerState::Running, HealthCheckState::Unhealthy) => 4,
        (ContainerState::Exited(0), _) => 5,
        (ContainerState::Exited(_), _) => 6,
        (ContainerState::Created, _) => 7,
        (ContainerState::Unknown, _) => 8,
        (ContainerState::Removing, _) => 9,
        (ContainerState::Dead, _) => 10,
    };
    let stranger = !container.vouched;
    (
        leaving,
        other,
        stranger,
        state,
        std::cmp::Reverse(container.created_at),
        container.id.as_str(),
    )
}
