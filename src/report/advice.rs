//! The next command to type: what somebody who is woken at night does first.

use crate::fleet::WaitingOn;
use crate::model::{
    Action, CommitState, Drift, Health, Held, HeldBecause, Outcome, Reason, Remedy, Resource,
    ServiceName, Step, StepOutcome,
};

use super::{Report, status as verdict};

/// What is to be typed next about a target; nothing where nobody needs to do anything.
pub fn next(report: &Report) -> Option<String> {
    let stack = &report.target.stack;
    let about = |verb: &str| Some(format!("moorline {verb} {stack}"));
    if let Some(failure) = &report.failure {
        return match failure.remedy {
            Remedy::NewRevision => Some("moorline validate".to_owned()),
            Remedy::Retry | Remedy::Operator => Some("moorline hosts".to_owned()),
        };
    }
    if let Some(wait) = &report.wait {
        return Some(waiting(&wait.on, report));
    }
    match verdict::state(report) {
        CommitState::Success => None,
        CommitState::Pending => about("events --follow"),
        CommitState::Failure | CommitState::Error => trouble(report).or_else(|| about("plan")),
    }
}

fn waiting(on: &WaitingOn, report: &Report) -> String {
    let stack = &report.target.stack;
    match on {
        WaitingOn::Brake(_) => format!("moorline resume {stack}"),
        WaitingOn::Suspension(_) | WaitingOn::Gate(_) => format!("moorline plan {stack}"),
        WaitingOn::Window(_) => format!("moorline sync {stack} --now"),
        WaitingOn::Rollback(_) => format!("moorline history {stack}"),
        WaitingOn::Manifest(_) => "moorline validate".to_owned(),
        WaitingOn::Room(_) => "moorline hosts".to_owned(),
        WaitingOn::Data(_) | WaitingOn::Approval(_) => format!("moorline plan {stack}"),
        WaitingOn::Unreadable { .. } => "moorline doctor".to_owned(),
    }
}

/// What is wrong, and who tells more about it: the service's own log where it is the service.
fn trouble(report: &Report) -> Option<String> {
    let stack = &report.target.stack;
    if let Some(command) = report.held().find_map(missing) {
        return Some(command);
    }
    let logs = |service: &ServiceName| format!("moorline logs {stack} {service}");
    if let Some(step) = failed(report) {
        return Some(match (&step.action, &step.replica) {
            // Which tags there are, or why the registry does not say.
            (Action::Pull { .. }, _) => format!("moorline outdated {stack}"),
            (Action::AwaitHealthy { .. } | Action::AwaitCompletion { .. }, Some(replica)) => {
                logs(&replica.service)
            }
            // What never ran wrote nothing.
            _ => format!("moorline history {stack} --steps"),
        });
    }
    let degraded = report.services.iter().find(|(_, health)| **health == Health::Degraded);
    if let Some((service, _)) = degraded {
        return Some(logs(service));
    }
    report.remaining.iter().find_map(ended).map(|service| logs(&service))
}

/// The first step that failed in what was done last.
fn failed(report: &Report) -> Option<&Step> {
    let round = report.rounds.last()?;
    let is_failed = |it: &&StepOutcome| matches!(it.outcome, Outcome::Failed { .. });
    let outcome = round.outcomes.iter().find(is_failed)?;
    round.plan.steps.iter().find(|step| step.id == outcome.step)
}

/// What somebody has to make by hand.
fn missing(held: &Held) -> Option<String> {
    if held.why != HeldBecause::ExternalMissing {
        return None;
    }
    match &held.drift.resource {
        Resource::Network(name) => Some(format!("docker network create {name}")),
        Resource::Volume(name) => Some(format!("docker volume create {name}")),
        Resource::Replica { .. } | Resource::Container { .. } | Resource::Service(_) => None,
    }
}

/// The service whose process is the trouble.
fn ended(drift: &Drift) -> Option<ServiceName> {
    let is_own = matches!(
        drift.reason,
        Reason::Stopped { .. }
            | Reason::Unhealthy
            | Reason::Restarting
            | Reason::JobFailed { .. }
            | Reason::NotStarted
    );
    match &drift.resource {
        Resource::Replica { replica, .. } if is_own => Some(replica.service.clone()),
        _ => None,
    }
}
