//! Falls and recoveries of replicas: what counts as one, and how long one that falls again and again is given.

use std::collections::{BTreeMap, BTreeSet};

use crate::drift::Findings;
use crate::model::{
    Cure, Desired, Drift, Observed, Plan, Reason, Replica, Resource, Slowed, Timestamp,
};
use crate::plan::Brake;
use crate::schedule::{Attempts, Fall, Recoveries, Verdict};

/// Restarts by the Engine's own policy count as falls too.
pub(super) fn watch_restarts(
    recoveries: &mut Recoveries,
    findings: &Findings,
    observed: &Observed,
    now: Timestamp,
) {
    for (replica, id) in &findings.keepers {
        if let Some(container) = observed.containers.iter().find(|c| c.id == *id) {
            recoveries.record_restarts(replica, container.restart_count, now);
        }
    }
}

pub(super) fn brakes(
    recoveries: &Recoveries,
    desired: &Desired,
    now: Timestamp,
) -> BTreeMap<Replica, Brake> {
    let replicas = desired.services.values().flat_map(|service| service.replicas.values());
    replicas
        .filter_map(|one| {
            let why = match recoveries.verdict(&one.replica, now) {
                Verdict::Go => return None,
                Verdict::Wait(_) => Slowed::FailedJustNow,
                Verdict::Degraded(_) => {
                    let failures = recoveries.of(&one.replica).map_or(0, Attempts::failures);
                    Slowed::KeepsFailing { failures }
                }
            };
            let until = recoveries.verdict(&one.replica, now).until()?;
            Some((one.replica.clone(), Brake { until, why }))
        })
        .collect()
}

/// Notes which replicas this plan brings back, so that one that falls again and again is given time.
pub(super) fn remember_recoveries(
    recoveries: &mut Recoveries,
    plan: &Plan,
    (findings, observed): (&Findings, &Observed),
    now: Timestamp,
) {
    let served: BTreeSet<&Replica> =
        plan.steps.iter().filter_map(|step| step.replica.as_ref()).collect();
    let mut fallen: BTreeMap<&Replica, Fall> = BTreeMap::new();
    for drift in &findings.drifts {
        if let Resource::Replica { replica, .. } = &drift.resource
            && let Some(fall) = fall(drift)
            && !by_hand(drift, observed)
            && served.contains(replica)
        {
            fallen.insert(replica, fall);
        }
    }
    for (replica, fall) in fallen {
        recoveries.record(replica, fall, now);
    }
}

/// Whether somebody stopped, killed or paused it on purpose: that is no failure, and it comes back at once however
/// often.
fn by_hand(drift: &Drift, observed: &Observed) -> bool {
    let Resource::Replica { container: Some(id), .. } = &drift.resource else { return false };
    let stopped = || observed.containers.iter().any(|one| one.id == *id && one.stopped_by_hand);
    drift.reason == Reason::Paused || stopped()
}

/// How a replica came to be down, as far as its drift tells. A missing one counts only when it was there before.
fn fall(drift: &Drift) -> Option<Fall> {
    if drift.cure != Cure::Revive {
        return None;
    }
    match &drift.reason {
        // 137 and 143 are the kill and the stop signal: someone's hand, or the host's memory.
        Reason::Stopped { exit_code: 0 | 137 | 143 } | Reason::Paused => Some(Fall::Accident),
        Reason::Stopped { .. } | Reason::Unhealthy | Reason::JobFailed { .. } => Some(Fall::Crash),
        Reason::NotStarted => Some(Fall::Crash),
        _ => None,
    }
}
