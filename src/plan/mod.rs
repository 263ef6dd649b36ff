//! Drift and policy in; ordered steps, and what is deliberately left alone, out.
//!
//! The planner is a function: the same input gives the same bytes. It never waits, asks or logs; it names only
//! resources that it was shown, and everything that it decides not to do is in [`Plan::held`] with its reason.
//!
//! A replacement keeps the old container until the new ones of its service are up: the new one is made under a passing
//! name, the old one stops (before or after the new one starts), and only when all new ones are up are the old ones
//! removed and the names handed over. A pass that is cut off anywhere leaves containers from which the next pass can tell how far it
//! came; nothing else is remembered.

mod approve;
mod claims;
mod foresee;
mod ground;
mod numbering;
mod order;
mod place;
mod remove;
mod replica;
mod steps;
mod update;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use crate::drift::{Cures, Findings};
use crate::model::{
    ContainerId, Desired, DesiredReplica, DesiredService, Drift, Held, HeldBecause, Observed,
    ObservedContainer, Plan, Policy, Reason, Replica, Resource, ServiceName, Slowed, StackName,
    Timestamp,
};

pub use foresee::foresee;
pub(crate) use ground::bound_device;
pub use words::{hash, render, summary, to_json};

use ground::Ground;
use place::Standing;
use steps::{Cause, Drafts, Node};

/// Everything that a plan depends on.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// What Git asks.
    pub desired: &'a Desired,
    /// What the host runs.
    pub observed: &'a Observed,
    /// How they differ.
    pub findings: &'a Findings,
    /// What the operator allows.
    pub policy: &'a Policy,
    /// Replicas whose recovery is slowed down.
    pub brakes: &'a BTreeMap<Replica, Brake>,
    /// Differences that were cured before, and are still there.
    pub cures: &'a Cures,
    /// Whether this revision was reached before.
    pub phase: Phase,
    /// Whether what was rolled back is tried again.
    pub resolve: Resolve,
    /// The first target of the host that is not in sync with its commit yet: no volume is removed before it is.
    pub unsettled: Option<&'a StackName>,
    /// The time, for comparing with the brakes.
    pub now: Timestamp,
}

/// Whether this revision was reached before: then what differs now is drift on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// A deployment is on its way.
    Deploy,
    /// The host was at this revision; it is to be kept there.
    Keep,
}

/// Whether what was rolled back is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolve {
    /// Held until a commit changes it.
    Hold,
    /// Tried once more, because an operator asked.
    Retry,
}

/// A replica's recovery is slowed down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brake {
    /// Not before.
    pub until: Timestamp,
    /// Why.
    pub why: Slowed,
}

/// Makes the plan.
pub fn make(input: Input<'_>) -> Plan {
    let mut planner = Planner::new(input);
    planner.admit_drifts();
    planner.lay_ground();
    planner.remove_containers();
    for service in order::by_dependency(input.desired) {
        planner.plan_service(&service);
    }
    planner.note_folder();
    planner.remove_networks_and_volumes();
    planner.remove_files();
    planner.yield_names();
    planner.keep_claims_apart();
    planner.drafts.put_last(&planner.last);
    planner.finish()
}

/// A plan in the making.
struct Planner<'a> {
    input: Input<'a>,
    drafts: Drafts,
    ground: Ground,
    held: BTreeSet<Held>,
    warnings: BTreeSet<String>,
    /// Drifts that may be acted on, by replica.
    replicas: BTreeMap<Replica, Vec<&'a Drift>>,
    /// Drifts that may be acted on, of everything else.
    others: Vec<&'a Drift>,
    containers: BTreeMap<&'a ContainerId, &'a ObservedContainer>,
    /// Containers that stood for a replica before its keeper.
    superseded: BTreeMap<&'a Replica, Vec<&'a ObservedContainer>>,
    /// Replicas on which nothing is done, and why.
    stuck: BTreeMap<Replica, HeldBecause>,
    /// Where each replica stands once the steps so far are done.
    standing: BTreeMap<Replica, Standing>,
    /// Replicas that get another container or a restart in this plan.
    renewed: BTreeSet<Replica>,
    /// Steps that come after all others: they remove data.
    last: BTreeSet<Node>,
}

impl<'a> Planner<'a> {
    /// Nothing is decided yet.
    ///
    /// Lookups by id are made once: the planner asks for containers by id several times for each drift.
    fn new(input: Input<'a>) -> Self {
        Self {
            input,
            drafts: Drafts::default(),
            ground: Ground::default(),
            held: BTreeSet::new(),
            warnings: BTreeSet::new(),
            replicas: BTreeMap::new(),
            others: Vec::new(),
            containers: input.observed.containers.iter().map(|c| (&c.id, c)).collect(),
            superseded: superseded(input),
            stuck: BTreeMap::new(),
            standing: BTreeMap::new(),
            renewed: BTreeSet::new(),
            last: BTreeSet::new(),
        }
    }

    /// A service that the manifest asks for; `None` for one that it has no more.
    fn service(&self, name: &ServiceName) -> Option<&'a DesiredService> {
        self.input.desired.services.get(name).map(AsRef::as_ref)
    }

    /// A replica that the manifest asks for, and its service.
    fn desired(&self, replica: &Replica) -> Option<(&'a DesiredService, &'a DesiredReplica)> {
        let service = self.service(&replica.service)?;
        Some((service, service.replicas.get(&replica.number)?))
    }

    /// The container that stands for a replica, if it is ours to touch.
    ///
    /// One that stands there and is not ours is no keeper: the replica is then missing as well as blocked, and held
    /// with the reason.
    fn keeper(&self, replica: &Replica) -> Option<&'a ObservedContainer> {
        let id = self.input.findings.keepers.get(replica)?;
        self.containers.get(id).copied().filter(|container| self.may_touch(container))
    }

    /// Containers that stood for a replica before its keeper.
    fn predecessors(&self, replica: &Replica) -> Vec<&'a ObservedContainer> {
        self.superseded.get(replica).cloned().unwrap_or_default()
    }

    /// Leaves a drift alone, and says why. Whoever waits for its replica waits for that reason: the first one, since later ones
    /// mostly follow from it.
    fn hold(&mut self, drift: &Drift, why: HeldBecause) {
        if let Resource::Replica { replica, .. } = &drift.resource {
            self.stuck.entry(replica.clone()).or_insert_with(|| why.clone());
        }
        self.held.insert(Held { drift: drift.clone(), why });
    }

    /// Numbers the steps. Held drifts and warnings are sorted and said once each, so that the same input gives the same bytes.
    ///
    /// Sets and not lists on the way here: the same is held by two rules at times, and is said once.
    fn finish(self) -> Plan {
        Plan {
            stack: self.input.desired.stack.clone(),
            revision: self.input.desired.revision.clone(),
            steps: self.drafts.number(),
            held: self.held.into_iter().collect(),
            warnings: self.warnings.into_iter().collect(),
        }
    }
}

/// They are told by drift and not by name: `docker rename` would be enough to break a rule about names.
fn superseded(input: Input<'_>) -> BTreeMap<&Replica, Vec<&ObservedContainer>> {
    let drifts = input.findings.drifts.iter();
    let ids: BTreeSet<&ContainerId> =
        drifts.filter(|drift| drift.reason == Reason::Superseded).filter_map(concerned).collect();
    let mut found: BTreeMap<&Replica, Vec<&ObservedContainer>> = BTreeMap::new();
    for container in input.observed.containers.iter().filter(|one| ids.contains(&one.id)) {
        if let Some(replica) = &container.replica {
            found.entry(replica).or_default().push(container);
        }
    }
    found
}

/// The container that a drift is about, if it is about one.
fn concerned(drift: &Drift) -> Option<&ContainerId> {
    match &drift.resource {
        Resource::Replica { container, .. } => container.as_ref(),
        Resource::Container { id, .. } => Some(id),
        Resource::Network(_) | Resource::Volume(_) | Resource::Service(_) => None,
    }
}

/// What the steps of one drift have in common.
fn cause(drift: &Drift) -> Cause {
    let replica = match &drift.resource {
        Resource::Replica { replica, .. } => Some(replica.clone()),
        _ => None,
    };
    Cause { replica, because: drift.reason.clone(), origin: drift.origin.clone() }
}
