//! What a pass would do, in the words of a pull request's comment: numbers, consequences, what is held.

use std::collections::{BTreeMap, BTreeSet};

use super::Report;
use super::comment::{Counts, StackPlan, Verdict};
use crate::model::{Action, Digest, Plan, Resource, Severity, Step};
use crate::plan;

/// Whether the target branch has the stack already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Novelty {
    /// It has.
    Known,
    /// The pull request brings it.
    New,
    /// The pull request takes it away.
    Gone,
}

/// One stack on one host, as the comment shows it.
pub fn of(report: &Report, novelty: Novelty) -> StackPlan {
    let last = report.rounds.last().map(|round| &*round.plan);
    let mut problems: Vec<String> = report.problems.0.iter().map(ToString::to_string).collect();
    let refused = report.problems.has_errors();
    if let Some(failure) = report.failure.as_ref().filter(|_| !refused) {
        problems.push(failure.message.clone());
    }
    let steps = last.is_some_and(|plan| !plan.steps.is_empty());
    let held = last.is_some_and(|plan| !plan.held.is_empty());
    let verdict = match (refused, report.failure.is_some()) {
        (true, _) => Verdict::Refused,
        (false, true) => Verdict::Unseen,
        (false, false) if steps => Verdict::Changes,
        (false, false) if held => Verdict::Held,
        (false, false) => Verdict::Unchanged,
    };
    StackPlan {
        name: report.target.stack.clone(),
        host: report.target.host.clone(),
        verdict,
        counts: last.map_or(Counts::default(), counts),
        plan_text: last.map_or(String::new(), plan::render),
        warnings: last.map_or(Vec::new(), |plan| warnings(plan, novelty)),
        held: report
            .held()
            .map(|held| format!("{} {}: {}", held.drift.resource, held.drift.reason, held.why))
            .collect(),
        problems,
    }
}

/// One digest over the plans of all stacks, and over why there is none.
pub fn hash(reports: &[&Report]) -> Digest {
    let mut text = String::new();
    for report in reports {
        text.push_str(&report.target.to_string());
        for round in &report.rounds {
            text.push_str(plan::hash(&round.plan).as_str());
        }
        let errors = report.problems.0.iter().filter(|one| one.severity == Severity::Error);
        text.extend(errors.map(ToString::to_string));
        text.push('\n');
    }
    Digest::of(text.as_bytes())
}

/// What becomes of one container.
#[derive(Default)]
struct Fate {
    made: bool,
    removed: bool,
    changed: bool,
}

/// The fate of each container: replicas by their name, others by the container's.
fn fates(plan: &Plan) -> BTreeMap<String, Fate> {
    let mut fates: BTreeMap<String, Fate> = BTreeMap::new();
    for step in &plan.steps {
        let Some(name) = whose(step) else { continue };
        let fate = fates.entry(name).or_default();
        match &step.action {
            Action::Create { .. } => fate.made = true,
            Action::Remove { .. } => fate.removed = true,
            _ => fate.changed = true,
        }
    }
    fates
}

/// Whose step it is, if it is a container's and changes it.
fn whose(step: &Step) -> Option<String> {
    let container = match &step.action {
        Action::Create { name, .. } => name.as_str(),
        Action::Remove { container, .. }
        | Action::Connect { container, .. }
        | Action::Disconnect { container, .. }
        | Action::Start { container }
        | Action::Restart { container, .. }
        | Action::Unpause { container }
        | Action::Stop { container, .. }
        | Action::Rename { container, .. }
        | Action::Update { container, .. } => container.name(),
        Action::Pull { .. }
        | Action::Build { .. }
        | Action::CreateNetwork(_)
        | Action::RemoveNetwork { .. }
        | Action::CreateVolume(_)
        | Action::RemoveVolume { .. }
        | Action::PutFiles { .. }
        | Action::RemoveFiles { .. }
        | Action::Upload { .. }
        | Action::RunHook { .. }
        | Action::AwaitHealthy { .. }
        | Action::AwaitCompletion { .. }
        | Action::Delay { .. } => return None,
    };
    Some(step.replica.as_ref().map_or_else(|| container.to_owned(), ToString::to_string))
}

/// Containers, networks and volumes, by what becomes of them.
pub fn counts(plan: &Plan) -> Counts {
    let mut counts = Counts::default();
    for fate in fates(plan).values() {
        match (fate.made, fate.removed, fate.changed) {
            (true, true, _) => counts.replace += 1,
            (true, false, _) => counts.create += 1,
            (false, true, _) => counts.remove += 1,
            (false, false, true) => counts.change += 1,
            (false, false, false) => {}
        }
    }
    // A network or volume of one name that goes and comes is another one afterwards.
    let (mut made, mut removed) = (BTreeSet::new(), BTreeSet::new());
    for step in &plan.steps {
        match &step.action {
            Action::CreateNetwork(spec) => drop(made.insert(("network", spec.name.as_str()))),
            Action::CreateVolume(spec) => drop(made.insert(("volume", spec.name.as_str()))),
            Action::RemoveNetwork { name, .. } => drop(removed.insert(("network", name.as_str()))),
            Action::RemoveVolume { name } => drop(removed.insert(("volume", name.as_str()))),
            _ => {}
        }
    }
    counts.replace += made.intersection(&removed).count();
    counts.create += made.difference(&removed).count();
    counts.remove += removed.difference(&made).count();
    counts
}

fn warnings(plan: &Plan, novelty: Novelty) -> Vec<String> {
    let mut warnings = plan.warnings.clone();
    let replaced: Vec<String> = fates(plan)
        .into_iter()
        .filter(|(_, fate)| fate.made && fate.removed)
        .map(|(name, _)| name)
        .collect();
    match replaced.as_slice() {
        [] => {}
        [one] => warnings.push(format!("{one} is replaced")),
        many => warnings.push(format!("{} are replaced", many.join(", "))),
    }
    let mut seen = BTreeSet::new();
    for step in &plan.steps {
        let warning = match &step.action {
            Action::CreateVolume(spec) if novelty == Novelty::Known => {
                format!("volume {} is new, and empty", spec.name)
            }
            Action::Rename { container, name } if is_final(plan, name) => {
                format!("{} is called {name} from then on", container.name())
            }
            _ => continue,
        };
        if seen.insert(warning.clone()) {
            warnings.push(warning);
        }
    }
    let volumes: Vec<String> = plan
        .held
        .iter()
        .filter(|held| matches!(held.drift.resource, Resource::Volume(_)))
        .map(|held| format!("{} {}, and is left as it is", held.drift.resource, held.drift.reason))
        .collect();
    warnings.extend(volumes);
    match novelty {
        Novelty::New => warnings.push("the stack is new here".to_owned()),
        Novelty::Gone => warnings.push("the stack is no longer in the repository".to_owned()),
        Novelty::Known => {}
    }
    warnings
}

/// Whether a name is more than a passing one: nothing in the plan makes or removes what bears it.
fn is_final(plan: &Plan, name: &str) -> bool {
    !plan.steps.iter().any(|step| match &step.action {
        Action::Create { .. } | Action::Remove { .. } => {
            whose(step).is_some_and(|whose| name.contains(&whose))
        }
        _ => false,
    })
}
