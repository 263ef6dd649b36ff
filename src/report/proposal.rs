//! What a pass would do, in the words of a pull request's comment: numbers, dangers, changes, what is held.

use std::collections::BTreeSet;

use super::change::{Mark, changes, fates};
use super::comment::{Counts, FileChange, Problem, StackPlan, Verdict};
pub use super::danger::Novelty;
use super::danger::{Danger, Risk, dangers};
use super::{Report, Wait};
use crate::fleet::WaitingOn;
use crate::model::{Action, Digest, Held, HeldBecause, Plan, Severity};
use crate::plan;

/// What is known of a stack besides its report.
#[derive(Debug, Clone)]
pub struct Circumstances {
    /// Whether the target branch has it.
    pub novelty: Novelty,
    /// Folder of Moorline's own data on the host.
    pub data: String,
    /// What the pull request allows itself, and what else was seen beside the report.
    pub dangers: Vec<Danger>,
    /// Whether what stays behind here is told where it is taken up anew.
    pub is_told_elsewhere: bool,
    /// Containers of other stacks that the same pull request stops: what they hold is free then.
    pub given_up: BTreeSet<String>,
    /// Files that containers see and that change.
    pub files: Vec<FileChange>,
}

/// Containers that a report's plans stop or remove, by name.
pub fn stopped(report: &Report) -> BTreeSet<String> {
    let steps = report.rounds.iter().flat_map(|round| &round.plan.steps);
    let names = steps.filter_map(|step| match &step.action {
        Action::Stop { container, .. } | Action::Remove { container, .. } => {
            Some(container.name().to_owned())
        }
        _ => None,
    });
    names.collect()
}

/// What cannot be had, each once: whoever only waits for another obstacle is not named beside it.
fn obstacles<'a>(report: &'a Report, given_up: &BTreeSet<String>) -> Vec<&'a Held> {
    let is_free = |why: &HeldBecause| matches!(why, HeldBecause::PortTaken { container, .. } if given_up.contains(container));
    let all = || report.held().filter(|held| held.why.is_obstacle() && !is_free(root(&held.why)));
    let follows = |held: &Held| {
        let cause = root(&held.why);
        *cause != held.why && all().any(|other| other.why == *cause)
    };
    all().filter(|held| !follows(held)).collect()
}

/// What it comes from, where it is only held because of another one.
fn root(why: &HeldBecause) -> &HeldBecause {
    match why {
        HeldBecause::WaitsFor { why: Some(inner), .. }
        | HeldBecause::WaitsForReplica { why: Some(inner), .. } => root(inner),
        _ => why,
    }
}

/// What is held at first, and goes on once a container of another stack has given up a host port.
fn after_others(report: &Report) -> impl Iterator<Item = String> + '_ {
    let first = report.rounds.first().into_iter().flat_map(|round| &round.plan.held);
    let last: Vec<&Held> = report.held().collect();
    first.filter(move |held| !last.contains(held)).filter_map(|held| match &held.why {
        HeldBecause::PortTaken { port, container, .. } => Some(format!(
            "{} starts once {container} has given up port {port}",
            held.drift.resource
        )),
        _ => None,
    })
}

/// One stack on one host, as the comment shows it.
pub fn of(report: &Report, around: Circumstances) -> StackPlan {
    let Circumstances { novelty, data, dangers: given, is_told_elsewhere, given_up, files } =
        around;
    let of = |severity| report.problems.0.iter().filter(move |it| it.severity == severity);
    let mut problems: Vec<Problem> = of(Severity::Error)
        .map(|it| Problem { text: it.to_string(), origin: Some(it.location.clone()) })
        .collect();
    let refused = report.problems.has_errors();
    if let Some(failure) = report.failure.as_ref().filter(|_| !refused) {
        problems.push(Problem { text: failure.message.clone(), origin: None });
    }
    let obstacles: Vec<Problem> = obstacles(report, &given_up).into_iter().map(obstacle).collect();
    let is_impossible = !obstacles.is_empty();
    problems.extend(obstacles);
    let plans = || report.rounds.iter().map(|round| &*round.plan);
    let steps = plans().any(|plan| !plan.steps.is_empty());
    let held = plans().any(|plan| !plan.held.is_empty());
    let verdict = match (refused, report.failure.is_some()) {
        (true, _) => Verdict::Refused,
        (false, true) => Verdict::Unseen,
        (false, false) if is_impossible => Verdict::Impossible,
        (false, false) if steps => Verdict::Changes,
        (false, false) if held => Verdict::Held,
        (false, false) => Verdict::Unchanged,
    };
    let own = dangers(report, novelty, &data).into_iter();
    let own = own.filter(|danger| danger.risk != Risk::DataLeft || !is_told_elsewhere);
    let mut dangers: Vec<Danger> = given.into_iter().chain(own).collect();
    dangers.sort();
    dangers.dedup();
    let mut said: BTreeSet<String> = dangers.iter().map(|danger| danger.text.clone()).collect();
    if dangers.iter().any(|danger| danger.risk == Risk::Downtime) {
        // Each container's absence is in its service's.
        let steps = plans().flat_map(|plan| &plan.steps);
        let replicas = steps.filter_map(|step| step.replica.as_ref());
        said.extend(replicas.map(plan::down_while_replaced));
    }
    let mut warnings = warnings(report, novelty, &said);
    // They keep nothing from being done.
    warnings.extend(of(Severity::Warning).map(ToString::to_string));
    StackPlan {
        name: report.target.stack.clone(),
        host: report.target.host.clone(),
        verdict,
        counts: counts(plans()),
        dangers,
        changes: changes(report),
        files,
        plan_text: plan_text(report),
        warnings,
        waits: report.wait.as_ref().filter(|wait| !is_turn(wait)).map(Wait::in_full),
        held: left_alone(report, &given_up),
        problems,
    }
}

/// The steps, round by round: what a later round does is only seen once the one before is done.
fn plan_text(report: &Report) -> String {
    plan::render(&report.rounds.iter().map(|round| &*round.plan).collect::<Vec<_>>())
}

/// What policy or the moment leaves alone; what cannot be had is told apart.
fn left_alone(report: &Report, given_up: &BTreeSet<String>) -> Vec<String> {
    let told = obstacles(report, given_up);
    let is_told = |held: &Held| {
        held.why.is_obstacle() && told.iter().any(|other| other.why == *root(&held.why))
    };
    report.held().filter(|held| !is_told(held)).map(said_of).collect()
}

/// What is held, and why.
fn said_of(held: &Held) -> String {
    let Held { drift, why } = held;
    format!("{} {}: {why}", drift.resource, drift.reason)
}

/// What cannot be had, with its place first.
fn obstacle(held: &Held) -> Problem {
    let origin = held.drift.origin.clone();
    let place = origin.as_ref().map_or(String::new(), |at| format!("{at}: "));
    Problem { text: format!("{place}{}", said_of(held)), origin }
}

/// One digest over what the plans of all stacks do, whichever commit the merge will be; `None` where one of them was
/// refused, because there is no plan then.
pub fn hash(reports: &[&Report]) -> Option<Digest> {
    let mut text = String::new();
    for report in reports {
        let mut problems = report.problems.0.iter();
        if problems.any(|problem| problem.severity == Severity::Error) {
            return None;
        }
        text.push_str(&report.target.to_string());
        for round in &report.rounds {
            text.push_str(plan::digest_of_deeds(&round.plan).as_str());
        }
        text.push('\n');
    }
    Some(Digest::of(text.as_bytes()))
}

/// Containers, networks and volumes, by what becomes of them.
pub fn counts<'a>(plans: impl IntoIterator<Item = &'a Plan>) -> Counts {
    let mut counts = Counts::default();
    for mark in fates(plans).values().filter_map(super::change::Fate::mark) {
        match mark {
            Mark::Create => counts.create += 1,
            Mark::Change => counts.change += 1,
            Mark::Replace => counts.replace += 1,
            Mark::Remove => counts.remove += 1,
        }
    }
    counts
}

/// Remarks that are no danger; what is `said` as one is not said again.
fn warnings(report: &Report, novelty: Novelty, said: &BTreeSet<String>) -> Vec<String> {
    let mut warnings = Vec::new();
    match novelty {
        Novelty::New => warnings.push("the stack is new here".to_owned()),
        Novelty::Gone => warnings.push("the stack is no longer in the repository".to_owned()),
        Novelty::Left => warnings.push("the stack is asked for on other hosts only".to_owned()),
        Novelty::Known => {}
    }
    if let Some(wait) = report.wait.as_ref().filter(|wait| is_turn(wait)) {
        warnings.push(wait.in_full());
    }
    warnings.extend(after_others(report));
    let mut seen = BTreeSet::new();
    for plan in report.rounds.iter().map(|round| &*round.plan) {
        let others = plan.warnings.iter().filter(|text| !said.contains(text.as_str()));
        for text in others.cloned() {
            if seen.insert(text.clone()) {
                warnings.push(text);
            }
        }
    }
    warnings
}

/// Whether it is only the turn of others: nothing but they themselves keeps it back, and they are in the same plan.
fn is_turn(wait: &Wait) -> bool {
    matches!(wait.on, WaitingOn::Gate(_))
}
