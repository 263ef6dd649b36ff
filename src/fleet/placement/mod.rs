//! Which replica sits on which host, and why.
//!
//! *Guarantees.* Reservations never add up to more than a host has, times its overcommit (only what cannot move, because
//! its data is there or its host is silent, may). A replica that sits well stays: adding hosts or replicas moves nobody,
//! losing a host moves only its own. The order of inputs does not matter.
//!
//! *Assumptions.* What is known to run on a silent host is among the seats: silence takes no seat away.
//!
//! *Caveats.* A named volume exists once a stack: every replicated service that mounts it sits where it is, and never
//! moves by itself. `mode: global` has one volume a host instead.

mod asks;
mod claim;
mod constraint;
mod desk;
mod explain;
mod room;
mod score;

use std::collections::{BTreeMap, BTreeSet};

pub use crate::config::settings::Returning;
pub use asks::{asks, confine, is_asked, seen};
pub use constraint::{Constraint, ConstraintProblem};
pub use explain::{Moved, Obstacle, Waiting, Why};
pub use room::{HostRoom, HostSight, Resources, capacity, sight};

use crate::model::{HostName, Replica, ServiceName, StackName, Timestamp};

/// A service of a stack.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceKey {
    /// The stack.
    pub stack: StackName,
    /// The service.
    pub service: ServiceName,
}

/// A replica of a stack.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplicaKey {
    /// The stack.
    pub stack: StackName,
    /// The replica.
    pub replica: Replica,
}

/// How many, and how spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// So many over all hosts of the stack.
    Replicated(u32),
    /// One on each host that the constraints allow.
    Global,
}

/// What a service asks of placement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Which service.
    pub key: ServiceKey,
    /// How many.
    pub mode: Mode,
    /// The stack's hosts.
    pub hosts: BTreeSet<HostName>,
    /// What one replica reserves.
    pub reserved: Resources,
    /// All must hold (`deploy.placement.constraints`).
    pub constraints: Vec<Constraint>,
    /// Host labels over whose values replicas are spread, the first one first (`deploy.placement.preferences`).
    pub spread: Vec<String>,
    /// `deploy.placement.max_replicas_per_node`.
    pub max_per_host: Option<u32>,
    /// Who gets room first: the higher.
    pub priority: i32,
    /// Volumes of the stack, and host folders with state, that its containers mount. Ignored for `global`.
    pub state: BTreeSet<String>,
    /// What only one container of a host can have: `port 80/tcp`, `name shop-web`.
    pub exclusive: BTreeSet<String>,
    /// A service whose namespaces or volumes it shares: it must sit on the same host.
    pub beside: Option<ServiceName>,
}

/// A replica that is on a host, as last seen there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seat {
    /// The host.
    pub host: HostName,
    /// When its container was made.
    pub since: Timestamp,
    /// Its container was made, and never started: it holds nothing yet that another one may have.
    pub is_only_made: bool,
}

/// The hosts, and what is on them.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// Hosts by name.
    pub hosts: BTreeMap<HostName, HostRoom>,
    /// Where each replica is, as last seen: several places when it is doubled.
    pub seats: BTreeMap<ReplicaKey, BTreeSet<Seat>>,
    /// Hosts on which a stack's volume (or state folder) exists, by stack and name.
    pub volumes: BTreeMap<(StackName, String), BTreeSet<HostName>>,
    /// What becomes of replicas whose lost host returns.
    pub returning: Returning,
}

impl World {
    /// Adds what was seen of a stack on a host.
    pub fn join(&mut self, stack: &StackName, host: &HostName, seen: &Seen) {
        for (replica, sitting) in &seen.seats {
            let key = ReplicaKey { stack: stack.clone(), replica: replica.clone() };
            let seat = Seat {
                host: host.clone(),
                since: sitting.since,
                is_only_made: sitting.is_only_made,
            };
            self.seats.entry(key).or_default().insert(seat);
        }
        for volume in &seen.volumes {
            let hosts = self.volumes.entry((stack.clone(), volume.clone())).or_default();
            hosts.insert(host.clone());
        }
    }
}

/// What was seen of one stack on one host. Each target of a fleet keeps one: it is as small as it can be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its replicas, sorted.
    pub seats: Box<[(Replica, Sitting)]>,
    /// Its volumes and state folders, sorted.
    pub volumes: Box<[String]>,
}

/// A replica's container on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sitting {
    /// Since when it is there.
    pub since: Timestamp,
    /// It runs and is not known to be ill, or it is done.
    pub serves: bool,
    /// It was made, and never started.
    pub is_only_made: bool,
}

impl Seen {
    /// Whether a replica is there and serves.
    pub fn serves(&self, replica: &Replica) -> bool {
        self.of(replica).is_some_and(|sitting| sitting.serves)
    }

    fn of(&self, replica: &Replica) -> Option<&Sitting> {
        let place = self.seats.binary_search_by(|(known, _)| known.cmp(replica)).ok()?;
        self.seats.get(place).map(|(_, sitting)| sitting)
    }

    /// Whether a replica is there.
    pub fn has(&self, replica: &Replica) -> bool {
        self.of(replica).is_some()
    }
}

/// Who sits where, and who waits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    /// The hosts of each replica (one; for `global` one number may sit on many), and why there.
    pub seats: BTreeMap<ReplicaKey, BTreeMap<HostName, Why>>,
    /// Replicas without a host, and what is in their way.
    pub waiting: Vec<Waiting>,
    /// Replicas that moved and do not serve yet where they were put: whoever has them keeps them until they do. Only who
    /// keeps looking fills this in.
    pub coming: BTreeSet<ReplicaKey>,
}

impl Placement {
    /// Numbers of a service's replicas on a host.
    pub fn numbers_on(&self, host: &HostName, key: &ServiceKey) -> BTreeSet<u32> {
        let bound = |number| ReplicaKey {
            stack: key.stack.clone(),
            replica: Replica { service: key.service.clone(), number },
        };
        self.seats
            .range(bound(0)..=bound(u32::MAX))
            .filter(|(_, hosts)| hosts.contains_key(host.as_str()))
            .map(|(seat, _)| seat.replica.number)
            .collect()
    }

    /// Replicas of a stack on a host, and why they are there.
    pub fn on<'a>(
        &'a self,
        host: &'a HostName,
        stack: &'a StackName,
    ) -> impl Iterator<Item = (&'a Replica, &'a Why)> {
        self.of_stack(stack)
            .filter_map(move |(seat, hosts)| Some((&seat.replica, hosts.get(host.as_str())?)))
    }

    /// Hosts that have something of a stack.
    pub fn hosts_of(&self, stack: &StackName) -> BTreeSet<&HostName> {
        self.of_stack(stack).flat_map(|(_, hosts)| hosts.keys()).collect()
    }

    fn of_stack(
        &self,
        stack: &StackName,
    ) -> impl Iterator<Item = (&ReplicaKey, &BTreeMap<HostName, Why>)> {
        self.seats.iter().filter(move |(key, _)| key.stack == *stack)
    }
}

/// Seats every replica that is asked for.
pub fn place(world: &World, asks: &[Ask]) -> Placement {
    desk::place(world, asks)
}
