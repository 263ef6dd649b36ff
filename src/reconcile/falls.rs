//! How replicas fall, and what is remembered of it: who falls again and again is degraded, and given time.

use std::collections::{BTreeMap, BTreeSet};

use crate::drift::Findings;
use crate::model::{
    Action, Cure, Desired, Drift, Health, Observed, Outcome, Plan, Reason, Replica, Resource,
    Slowed, StepOutcome, Timestamp,
};
use crate::plan::Brake;
use crate::report::Report;
use crate::schedule::{Attempts, Fall, Recoveries, Verdict};

/// How containers failed that a wait was for, by name: an Engine keeps no more than a code, and that is our own once we have
/// stopped it.
#[derive(Debug, Default)]
pub(super) struct Causes(BTreeMap<String, String>);

impl Causes {
    /// Keeps what failed waits told.
    pub(super) fn learn(&mut self, plan: &Plan, outcomes: &[StepOutcome]) {
        for outcome in outcomes {
            let step = plan.steps.iter().find(|step| step.id == outcome.step);
            let waited = step.and_then(|step| match &step.action {
                Action::AwaitHealthy { container, .. } => Some(container),
                _ => None,
            });
            if let (Some(container), Outcome::Failed { error, .. }) = (waited, &outcome.outcome) {
                let line: Vec<&str> = error.lines().map(str::trim).collect();
                self.0.insert(container.name().to_owned(), line.join(" "));
            }
        }
    }

    /// Has what is seen say what is known. What is gone is forgotten.
    pub(super) fn tell(&mut self, observed: &mut Observed) {
        self.0.retain(|name, _| observed.containers.iter().any(|one| one.name == *name));
        for container in &mut observed.containers {
            if let Some(cause) = self.0.get(&container.name) {
                container.last_words.clone_from(cause);
            }
        }
    }
}

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

/// A service one of whose replicas fails again and again is degraded, whatever it does at this instant.
pub(super) fn mark_degraded(report: &mut Report, recoveries: &Recoveries, now: Timestamp) {
    let degraded: Vec<_> =
        report.services.keys().filter(|name| recoveries.has_degraded(name, now)).cloned().collect();
    for name in degraded {
        report.services.insert(name, Health::Degraded);
        report.health = report.health.max(Health::Degraded);
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
pub(super) fn remember(
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
            && !is_untried(drift, observed)
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

/// Whether nobody tried to start it yet: a pass was cut off between making and starting it.
fn is_untried(drift: &Drift, observed: &Observed) -> bool {
    let Resource::Replica { container: Some(id), .. } = &drift.resource else { return false };
    drift.reason == Reason::NotStarted
        && observed.containers.iter().any(|one| one.id == *id && one.error.is_empty())
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
