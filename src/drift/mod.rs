//! What is asked for against what is there, field by field.
//!
//! In come [`Desired`], [`Observed`] and the operator's [`Policy`]; out come [`Findings`]: every difference with its
//! reason, its cure and the manifest's place, and each service's health. Nothing is decided here about order or
//! about what may be done: that is the planner's. What could not be seen gives neither "missing" nor "orphaned".

use std::collections::{BTreeMap, BTreeSet};

mod adopt;
mod container;
mod contents;
mod cures;
mod defaults;
mod gaps;
mod look;
mod mask;
mod resources;
mod sheet;
mod state;
mod table;

pub use adopt::{data_of, last_state, recall_builds, settle};
pub(crate) use contents::is_of_files;
pub(crate) use cures::observed_value;
pub use cures::{CURES_MAX, Cures};
pub(crate) use defaults::with_image;
pub use mask::{hidden_in, is_secret_name};
pub use sheet::witness::with_asked;
pub use table::{Effect, Row, markdown, rows};

use self::gaps::Gaps;
use self::look::Look;
use crate::model::{
    ContainerId, Cure, Desired, DesiredReplica, DesiredService, Drift, Health, ImageRef, Observed,
    ObservedContainer, Ownership, Policy, Reason, Replica, Resource, ServiceName,
};

/// What one look found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Every difference, sorted; the same input gives the same bytes. Empty when in sync.
    pub drifts: Vec<Drift>,
    /// How each asked-for service is doing.
    pub health: BTreeMap<ServiceName, Health>,
    /// The container that stands for each replica that has one (its keeper): the one that is compared, changed,
    /// started. Others with the same number are `Superseded`.
    pub keepers: BTreeMap<Replica, ContainerId>,
    /// Replicas of which nothing can be said, because a gap covers them: neither created nor removed.
    pub unseen: BTreeSet<Replica>,
    /// Images that must be pulled or built before containers are made from them (absent, moved at the registry,
    /// or built from other files).
    pub stale_images: BTreeSet<ImageRef>,
}

/// Compares what a stack asks of a host with what the host runs.
///
/// Reasons and cures:
/// - a replica without container: `Missing` (`NotRun` for a job), cure `Create`; cure `None` when a container that
///   is not ours holds its name or number;
/// - state: `NotStarted`, `Stopped`, `Paused`, `Unhealthy`, `JobFailed`, `LeftBehind` are cured by `Revive`; `Restarting` by `None`
///   (the Engine is at it); `Broken` by `Replace` (`None` while the Engine removes it);
/// - fields: `Changed` is cured `InPlace` for limits and restart policy that the Engine can change live, else by
///   `Replace`; `Disconnected`, `Attached`, `EndpointChanged` and `Renamed` are cured `InPlace`;
/// - `ImageMoved`, `BuildChanged` on a replica: `Replace`; on a service, as `ImageMissing`: `Create` (pull or build first);
/// - `Surplus`, `Orphaned`, `Superseded`: `Remove`; `Foreign`: `None`;
/// - networks and volumes: `Missing` is cured by `Create` (external: `None`), `Changed` by `Replace`, `Orphaned` by
///   `Remove`, `Foreign` by `None`.
pub fn detect(desired: &Desired, observed: &Observed, policy: &Policy) -> Findings {
    let look = Look::new(desired, observed, policy);
    let unseen = Gaps::new(&observed.gaps);
    let mut found = Findings::default();
    for (name, service) in &desired.services {
        let mut worst = Health::Healthy;
        for replica in service.replicas.values() {
            worst = worst.max(one_replica(&look, &unseen, (service, replica), &mut found));
        }
        found.health.insert(name.clone(), worst);
    }
    others(&look, &mut found.drifts);
    resources::networks(&look, &unseen, &mut found.drifts);
    resources::volumes(&look, &unseen, &mut found.drifts);
    found.stale_images = resources::images(&look, &unseen, &mut found.drifts);
    found.drifts.sort();
    found.drifts.dedup();
    found
}

/// One replica: its container if it has one, and how it is doing.
fn one_replica(
    look: &Look<'_>,
    unseen: &Gaps<'_>,
    (service, wanted): (&DesiredService, &DesiredReplica),
    found: &mut Findings,
) -> Health {
    let Some(keeper) = look.keepers.get(&wanted.replica).copied() else {
        if unseen.replica(wanted) {
            found.unseen.insert(wanted.replica.clone());
            return Health::Unknown;
        }
        found.drifts.push(missing(look, service, wanted));
        return Health::Missing;
    };
    found.keepers.insert(wanted.replica.clone(), keeper.id.clone());
    let resource =
        Resource::Replica { replica: wanted.replica.clone(), container: Some(keeper.id.clone()) };
    let (state, health) = state::judge(service, keeper, look.observed);
    if let Some((reason, cure)) = state.or_else(|| state::left_behind(keeper, look.observed)) {
        let origin = service.origin.clone();
        found.drifts.push(Drift { resource: resource.clone(), reason, cure, origin });
    }
    let name = &wanted.replica.service;
    for difference in container::compare(look, service, wanted, keeper) {
        let contents::Difference { attribute, reason, cure } = difference;
        if look.ignores(&format!("services.{name}.{attribute}")) {
            continue;
        }
        let origin = resources::origin(service, &attribute);
        found.drifts.push(Drift { resource: resource.clone(), reason, cure, origin });
    }
    health
}

/// A replica without a container. Nothing is made where something that is not ours holds its name or number.
fn missing(look: &Look<'_>, service: &DesiredService, wanted: &DesiredReplica) -> Drift {
    let held = look.is_name_taken(&wanted.name) || look.is_number_taken(&wanted.replica);
    Drift {
        resource: Resource::Replica { replica: wanted.replica.clone(), container: None },
        reason: if service.is_job { Reason::NotRun } else { Reason::Missing },
        cure: if held { Cure::None } else { Cure::Create },
        origin: service.origin.clone(),
    }
}

/// Containers that stand for no replica: surplus, orphaned, superseded, foreign.
fn others(look: &Look<'_>, out: &mut Vec<Drift>) {
    let kept: BTreeSet<&ContainerId> = look.keepers.values().map(|keeper| &keeper.id).collect();
    for container in &look.observed.containers {
        if kept.contains(&container.id) || container.one_off {
            continue;
        }
        let Some((reason, cure)) = other(look, container) else { continue };
        let service = container
            .replica
            .as_ref()
            .and_then(|replica| look.desired.services.get(&replica.service));
        out.push(Drift {
            resource: resource_of(look, container, &reason),
            reason,
            cure,
            origin: service.and_then(|service| service.origin.clone()),
        });
    }
}

/// What a container is that stands for no replica, and whether it may go.
///
/// A service that the manifest has no more is orphaned; a number above the count is surplus; a second one of the same number
/// is superseded, by whichever of them is nearer to what is asked for. What is not ours is never removed, and is spoken of only
/// where it is in the way.
fn other(look: &Look<'_>, container: &ObservedContainer) -> Option<(Reason, Cure)> {
    if !look.may_touch(container) {
        let concerns =
            container.ownership != Ownership::Unrelated || look.needs_name(&container.name);
        return concerns.then_some((Reason::Foreign, Cure::None));
    }
    let service = container
        .replica
        .as_ref()
        .map(|replica| (look.desired.services.get(&replica.service), replica.number));
    match service {
        // Taking a stack over is no leave to remove what the manifest never knew.
        None | Some((None, _)) if container.ownership != Ownership::Ours => {
            Some((Reason::Foreign, Cure::None))
        }
        None | Some((None, _)) => Some((Reason::Orphaned, Cure::Remove)),
        Some((Some(service), number)) if service.replicas.contains_key(&number) => {
            Some((Reason::Superseded, Cure::Remove))
        }
        Some((Some(_), _)) => Some((Reason::Surplus, Cure::Remove)),
    }
}

/// Surplus and superseded containers are replicas still; the others are only containers.
fn resource_of(look: &Look<'_>, container: &ObservedContainer, reason: &Reason) -> Resource {
    let is_replica = matches!(reason, Reason::Surplus | Reason::Superseded);
    match (&container.replica, is_replica && look.may_touch(container)) {
        (Some(replica), true) => {
            Resource::Replica { replica: replica.clone(), container: Some(container.id.clone()) }
        }
        (Some(_) | None, _) => {
            Resource::Container { id: container.id.clone(), name: container.name.clone() }
        }
    }
}
