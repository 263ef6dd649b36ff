//! What a pass would do, in the words of a pull request's comment: numbers, dangers, changes, what is held.

use std::collections::BTreeSet;

use super::Report;
use super::change::{Mark, changes, fates, whose};
use super::comment::{Counts, FileChange, Problem, StackPlan, Verdict};
pub use super::danger::Novelty;
use super::danger::{Danger, Risk, dangers};
use crate::model::{Action, Digest, Held, Plan, Severity};
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
    /// Files that containers see and that change.
    pub files: Vec<FileChange>,
}

/// One stack on one host, as the comment shows it.
pub fn of(report: &Report, around: Circumstances) -> StackPlan {
    let Circumstances { novelty, data, dangers: given, is_told_elsewhere, files } = around;
    let told = report.problems.0.iter();
    let mut problems: Vec<Problem> = told
        .map(|it| Problem { text: it.to_string(), origin: Some(it.location.clone()) })
        .collect();
    let refused = report.problems.has_errors();
    if let Some(failure) = report.failure.as_ref().filter(|_| !refused) {
        problems.push(Problem { text: failure.message.clone(), origin: None });
    }
    let obstacles: Vec<Problem> =
        report.held().filter(|held| held.why.is_obstacle()).map(obstacle).collect();
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
    let said: BTreeSet<&str> = dangers.iter().map(|danger| danger.text.as_str()).collect();
    let warnings = warnings(report, novelty, &said);
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
        held: report.held().filter(|held| !held.why.is_obstacle()).map(said_of).collect(),
        problems,
    }
}

/// The steps, round by round: what a later round does is only seen once the one before is done.
fn plan_text(report: &Report) -> String {
    plan::render(&report.rounds.iter().map(|round| &*round.plan).collect::<Vec<_>>())
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

/// One digest over the plans of all stacks; `None` where one of them was refused, because there is no plan then.
pub fn hash(reports: &[&Report]) -> Option<Digest> {
    let mut text = String::new();
    for report in reports {
        let mut problems = report.problems.0.iter();
        if problems.any(|problem| problem.severity == Severity::Error) {
            return None;
        }
        text.push_str(&report.target.to_string());
        for round in &report.rounds {
            text.push_str(plan::hash(&round.plan).as_str());
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
fn warnings(report: &Report, novelty: Novelty, said: &BTreeSet<&str>) -> Vec<String> {
    let mut warnings = Vec::new();
    match novelty {
        Novelty::New => warnings.push("the stack is new here".to_owned()),
        Novelty::Gone => warnings.push("the stack is no longer in the repository".to_owned()),
        Novelty::Left => warnings.push("the stack is asked for on other hosts only".to_owned()),
        Novelty::Known => {}
    }
    if let Some(wait) = &report.wait {
        warnings.push(wait.in_full());
    }
    let mut seen = BTreeSet::new();
    for plan in report.rounds.iter().map(|round| &*round.plan) {
        let others = plan.warnings.iter().filter(|text| !said.contains(text.as_str()));
        let renamed = plan.steps.iter().filter_map(|step| match &step.action {
            Action::Rename { container, name } if is_final(plan, name) => {
                Some(format!("{} is called {name} from then on", container.name()))
            }
            _ => None,
        });
        for text in others.cloned().chain(renamed) {
            if seen.insert(text.clone()) {
                warnings.push(text);
            }
        }
    }
    warnings
}

/// Whether a name is more than a passing one: nothing in the plan makes or removes what bears it.
fn is_final(plan: &Plan, name: &str) -> bool {
    !plan.steps.iter().any(|step| match &step.action {
        Action::Create { .. } | Action::Remove { .. } => {
            whose(step).is_some_and(|(_, whose)| name.contains(&whose))
        }
        _ => false,
    })
}
