//! What a commit is told: one line a stack, and one for all.

use crate::model::{CommitState, CommitStatus, Health, HostName, Outcome, StackName, Sync};

use super::{Report, Wait};

/// How the description of a target begins that is on its way.
pub const DEPLOYING: &str = "deploying";
/// How the description of a target begins that follows one which did not get there.
pub const STOPPED: &str = "stopped: ";

/// The longest description that every forge takes.
const DESCRIPTION_CHARS: usize = 140;

/// Whether a context names the host too: daemons that keep one host each must not overwrite each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming<'a> {
    /// `moorline/STACK`.
    Stack,
    /// `moorline/STACK@HOST`.
    StackAtHost(&'a HostName),
}

/// The name under which a stack's status stands.
pub fn context(stack: &StackName, naming: Naming<'_>) -> String {
    match naming {
        Naming::Stack => format!("moorline/{stack}"),
        Naming::StackAtHost(host) => format!("moorline/{stack}@{host}"),
    }
}

/// The status of one stack from its reports, one a host. The worst state wins; its first reason is said.
pub fn of_stack(stack: &StackName, reports: &[&Report], naming: Naming<'_>) -> CommitStatus {
    let context = context(stack, naming);
    let worst = reports.iter().max_by_key(|report| rank(state(report)));
    let (state, description) = match worst {
        None => (CommitState::Pending, "waiting for the first look".to_owned()),
        Some(worst) if state(worst) == CommitState::Success => {
            (CommitState::Success, success(reports))
        }
        Some(worst) => (state(worst), named(worst, reports.len())),
    };
    CommitStatus { context, state, description: cut(&description), link: None }
}

/// The roll-up for branch protection: the worst of all stacks. A repository without stacks is in sync.
pub fn roll_up(statuses: &[CommitStatus]) -> CommitStatus {
    let worst = statuses.iter().max_by_key(|status| rank(status.state));
    let (state, description) = match worst {
        None => (CommitState::Success, "nothing to do: no stacks".to_owned()),
        Some(worst) if worst.state == CommitState::Success => {
            (CommitState::Success, format!("{} in sync", count(statuses.len(), "stack")))
        }
        Some(worst) => {
            let name = worst.context.strip_prefix("moorline/").unwrap_or(&worst.context);
            (worst.state, format!("{name}: {}", worst.description))
        }
    };
    CommitStatus {
        context: "moorline".to_owned(),
        state,
        description: cut(&description),
        link: None,
    }
}

/// A status of one line, cut to what every forge takes.
pub fn line_of(context: String, state: CommitState, text: &str) -> CommitStatus {
    CommitStatus { context, state, description: cut(text), link: None }
}

/// The state that a report asks for.
pub fn state(report: &Report) -> CommitState {
    if report.failure.is_some() || report.sync == Sync::Unknown {
        return CommitState::Error;
    }
    if let Some(wait) = effective_wait(report) {
        return wait.state;
    }
    let failed = report.outcomes().any(|outcome| matches!(outcome, Outcome::Failed { .. }));
    match (report.sync, report.health) {
        (Sync::Synced, Health::Healthy | Health::Suspended) => CommitState::Success,
        (Sync::Synced, Health::Progressing) => CommitState::Pending,
        (_, Health::Progressing) if !failed && report.is_under_way => CommitState::Pending,
        _ if report.is_under_way && !failed => CommitState::Pending,
        _ => CommitState::Failure,
    }
}

/// What keeps the commit from being deployed, unless something worse is to be said.
fn effective_wait(report: &Report) -> Option<&Wait> {
    report.wait.as_ref().filter(|_| report.health != Health::Degraded)
}

/// The order in which states hide each other.
pub(super) fn rank(state: CommitState) -> u8 {
    match state {
        CommitState::Success => 0,
        CommitState::Pending => 1,
        CommitState::Failure => 2,
        CommitState::Error => 3,
    }
}

fn success(reports: &[&Report]) -> String {
    let hosts = count(reports.len(), "host");
    let empty = reports.iter().all(|report| report.services.is_empty());
    if empty { format!("nothing to do on {hosts}") } else { format!("in sync on {hosts}") }
}

fn named(report: &Report, hosts: usize) -> String {
    let line = line(report);
    if hosts > 1 { format!("{}: {line}", report.target.host) } else { line }
}

/// A report's verdict in one line without the host's name.
pub fn line(report: &Report) -> String {
    if let Some(failure) = &report.failure {
        return failure.message.lines().next().unwrap_or_default().to_owned();
    }
    if let Some(wait) = effective_wait(report) {
        return wait.to_string();
    }
    let first_failure = report.failures().next();
    if let Some((text, error)) = first_failure {
        let error = error.lines().next().unwrap_or_default();
        return format!("failed: {text}: {error}");
    }
    match state(report) {
        CommitState::Success => "in sync".to_owned(),
        CommitState::Pending => match report.waiting_for() {
            Some(what) => format!("{DEPLOYING}: {what}"),
            None => DEPLOYING.to_owned(),
        },
        CommitState::Failure | CommitState::Error => out_of_sync(report),
    }
}

fn out_of_sync(report: &Report) -> String {
    let held = report.held().next();
    let drifts = report.remaining.len();
    if let Some(held) = held.filter(|held| held.why.is_rollback()) {
        return format!("{}: {}", held.drift.resource, held.why);
    }
    if let Some(service) = report.first_degraded() {
        return format!("degraded: {service}");
    }
    match report.remaining.first() {
        Some(first) => {
            let more = drifts.saturating_sub(1);
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            let why = held
                .filter(|held| held.drift == *first)
                .map_or(String::new(), |held| format!(" (held: {})", held.why));
            format!("out of sync: {} {}{why}{more}", first.resource, first.reason)
        }
        None => format!("{}", report.health),
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Cuts a text to what every forge takes.
fn cut(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= DESCRIPTION_CHARS {
        return line.to_owned();
    }
    let mut short: String = line.chars().take(DESCRIPTION_CHARS - 1).collect();
    short.push('…');
    short
}
