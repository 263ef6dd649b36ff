//! What a commit is told: one line a stack, and one for all.

use crate::fleet::WaitingOn;
use crate::fleet::waves::Gate;
use crate::model::{
    CommitState, CommitStatus, Health, HeldBecause, HostName, Outcome, Progress, StackName, Sync,
};

use super::{Report, Wait};

/// How the description of a target begins that is on its way.
const DEPLOYING: &str = "deploying";

/// What is said where nothing is asked for.
pub const NOTHING_TO_DO: &str = "nothing to do: no stacks";

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

/// The status of one target that was looked at.
pub fn of_report(context: String, report: &Report) -> CommitStatus {
    let progress = progress_of(report);
    CommitStatus { progress, ..line_of(context, state(report), &line(report)) }
}

/// The status of a target that failed, and is not well yet.
pub fn failed(context: String, line: &Line) -> CommitStatus {
    let progress = Some(Progress::Failed);
    CommitStatus { progress, ..line_of(context, CommitState::Failure, &line.text) }
}

/// The roll-up for branch protection: the worst of all stacks. A repository without stacks is in sync.
pub fn roll_up(statuses: &[CommitStatus]) -> CommitStatus {
    let worst = statuses.iter().min_by_key(|status| std::cmp::Reverse(rank(status.state)));
    let (state, description) = match worst {
        None => (CommitState::Success, NOTHING_TO_DO.to_owned()),
        Some(worst) if worst.state == CommitState::Success => {
            (CommitState::Success, format!("{} in sync", count(statuses.len(), "stack")))
        }
        Some(worst) => {
            let name = worst.context.strip_prefix("moorline/").unwrap_or(&worst.context);
            (worst.state, format!("{name}: {}", worst.description))
        }
    };
    line_of("moorline".to_owned(), state, &description)
}

/// A status of one line, cut to what every forge takes.
pub fn line_of(context: String, state: CommitState, text: &str) -> CommitStatus {
    CommitStatus { context, state, description: cut(text), link: None, progress: None }
}

/// The status of a stack whose steps are being carried out.
pub fn deploying(context: String) -> CommitStatus {
    let progress = Some(Progress::Deploying);
    CommitStatus { progress, ..line_of(context, CommitState::Pending, DEPLOYING) }
}

/// The status of a stack that is kept from the commit.
pub fn waiting(context: String, wait: &Wait) -> CommitStatus {
    let progress = Some(progress_while(wait));
    CommitStatus { progress, ..line_of(context, wait.state, &wait.to_string()) }
}

/// How far a target is, by its report; `None` where the state says it.
fn progress_of(report: &Report) -> Option<Progress> {
    match (state(report), effective_wait(report)) {
        (CommitState::Success | CommitState::Error, _) => None,
        (_, Some(wait)) => Some(progress_while(wait)),
        (CommitState::Pending, None) => Some(Progress::Deploying),
        (CommitState::Failure, None) => Some(Progress::Failed),
    }
}

fn progress_while(wait: &Wait) -> Progress {
    match &wait.on {
        WaitingOn::Gate(Gate::Stopped { .. }) => Progress::Stopped,
        // A rollback in force is the end of a deployment that did not get there.
        WaitingOn::Rollback(_) => Progress::Failed,
        _ if wait.state == CommitState::Failure => Progress::Failed,
        _ => Progress::Waiting,
    }
}

/// What is written of a status: where it is one host's, the word for machines stands at the end of its line.
pub fn written(status: &CommitStatus) -> String {
    let is_one_hosts = status.context.contains('@');
    match status.progress.filter(|_| is_one_hosts) {
        None => status.description.clone(),
        Some(progress) => {
            let word = format!(" [{}]", progress.word());
            let text = cut_to(&status.description, DESCRIPTION_CHARS.saturating_sub(word.len()));
            text + &word
        }
    }
}

/// How far a status that was read says its target to be: its word, or how daemons said it that had none yet.
pub fn read_progress(status: &CommitStatus) -> Option<Progress> {
    let (text, word) = split_word(&status.description);
    status.progress.or(word).or_else(|| {
        let begins = |word: Progress| text.starts_with(word.word());
        match status.state {
            CommitState::Success | CommitState::Error => None,
            CommitState::Pending if begins(Progress::Deploying) => Some(Progress::Deploying),
            CommitState::Pending => Some(Progress::Waiting),
            CommitState::Failure if begins(Progress::Stopped) => Some(Progress::Stopped),
            CommitState::Failure => Some(Progress::Failed),
        }
    })
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
        // What crashed is not well before it has run for a while: no green, and no hope, between two crashes.
        _ if report.crashed().is_some() => CommitState::Failure,
        (Sync::Synced, Health::Progressing) => CommitState::Pending,
        (_, Health::Progressing) if !failed && report.is_under_way => CommitState::Pending,
        _ if report.is_under_way && !failed => CommitState::Pending,
        _ => CommitState::Failure,
    }
}

/// What keeps the commit from being deployed, unless something worse is to be said.
pub fn effective_wait(report: &Report) -> Option<&Wait> {
    report.wait.as_ref().filter(|_| report.health != Health::Degraded)
}

/// A description as people say it, without the word for machines.
pub fn without_word(description: &str) -> &str {
    split_word(description).0
}

fn split_word(description: &str) -> (&str, Option<Progress>) {
    let line = description.trim_end();
    let parts = line.strip_suffix(']').and_then(|line| line.rsplit_once(" ["));
    match parts.and_then(|(text, word)| Some((text, Progress::parse(word)?))) {
        Some((text, word)) => (text, Some(word)),
        None => (line, None),
    }
}

/// The order in which states hide each other.
pub fn rank(state: CommitState) -> u8 {
    match state {
        CommitState::Success => 0,
        CommitState::Pending => 1,
        CommitState::Failure => 2,
        CommitState::Error => 3,
    }
}

/// What is said where all hosts are as they should be.
pub fn success(reports: &[&Report]) -> String {
    let hosts = count(reports.len(), "host");
    let empty = reports.iter().all(|report| report.services.is_empty());
    if empty { format!("nothing to do on {hosts}") } else { format!("in sync on {hosts}") }
}

/// How much a line tells of what went wrong, from least to most: what only shows that something did gives way to what says
/// how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// What is seen at this instant.
    Seen,
    /// A step that failed, with the reason.
    Failed,
    /// What was done about it: it was taken back, or is held.
    Settled,
}

/// A failure in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How much it tells.
    pub weight: Weight,
    /// The line, without the host's name.
    pub text: String,
}

/// A failing report's verdict in one line, with how much it tells.
pub fn failing(report: &Report) -> Line {
    let is_settled = report.held().any(|held| held.why.is_rollback());
    let weight = if is_settled {
        Weight::Settled
    } else if report.failures().next().is_some() {
        Weight::Failed
    } else {
        Weight::Seen
    };
    Line { weight, text: line(report) }
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
    let drifts = report.remaining.len();
    if let Some(words) = rolled_back(report) {
        return words;
    }
    if let Some(service) = report.first_degraded() {
        return format!("degraded: {service}");
    }
    if let Some(one) = report.crashed() {
        return format!(
            "crashed: {}-{} ended by itself and is brought back",
            one.service, one.number
        );
    }
    match report.remaining.first() {
        Some(first) => {
            let more = drifts.saturating_sub(1);
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            let why = report
                .held()
                .find(|held| held.drift == *first)
                .map_or(String::new(), |held| format!(" (held: {})", held.why));
            format!("out of sync: {} {}{why}{more}", first.resource, first.reason)
        }
        None => format!("{}", report.health),
    }
}

/// What was taken back, and what serves in its place.
fn rolled_back(report: &Report) -> Option<String> {
    report.held().find_map(|held| match &held.why {
        HeldBecause::RolledBack { reason, error, serves, replica } => {
            let resource = || held.drift.resource.to_string();
            let who = replica.as_ref().map_or_else(resource, ToString::to_string);
            let why =
                if error.is_empty() { reason.to_string() } else { format!("{reason}: {error}") };
            Some(format!("{who} rolled back, {serves} serves: {why}"))
        }
        _ => None,
    })
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Cuts a text to what every forge takes.
fn cut(text: &str) -> String {
    cut_to(text, DESCRIPTION_CHARS)
}

fn cut_to(text: &str, most: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= most {
        return line.to_owned();
    }
    let mut short: String = line.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}
