//! What was foreseen against what was done: the law that a plan tells the whole truth.

use std::collections::BTreeMap;
use std::path::Path;

use moorline::model::Outcome;
use moorline::report::Report;
use serde_json::Value;

/// A step in words, and what became of it; `None` for one that is only foreseen.
pub type Done = (String, Option<String>);

/// The steps of all rounds of a report, in order.
pub fn steps(report: &Report) -> Vec<Done> {
    let mut all = Vec::new();
    for round in &report.rounds {
        for step in &round.plan.steps {
            let outcome = round.outcomes.iter().find(|outcome| outcome.step == step.id);
            let outcome = outcome.map(|outcome| match &outcome.outcome {
                Outcome::Done => "done".to_owned(),
                other => other.to_string(),
            });
            all.push((step.action.to_string(), outcome));
        }
    }
    all
}

/// Says in what the prediction and the deeds differ. Up to the first step that failed each step was foreseen, in its
/// place; where none failed nothing else was foreseen. What follows a failure is planned when the failure is seen.
pub fn differences(foreseen: &[String], done: &[Done]) -> Option<String> {
    let failed = done.iter().position(|(_, outcome)| outcome.as_deref() != Some("done"));
    let upto = failed.map_or(done.len(), |at| at + 1);
    let told: Vec<&String> =
        foreseen.iter().take(if failed.is_some() { upto } else { usize::MAX }).collect();
    let made: Vec<&String> = done[..upto].iter().map(|(step, _)| step).collect();
    if told == made {
        return None;
    }
    let lines = |all: &[&String]| all.iter().map(|line| format!("{line}\n")).collect::<String>();
    let (told, made) = (lines(&told), lines(&made));
    let diff = similar::TextDiff::from_lines(&told, &made);
    Some(diff.unified_diff().header("foreseen", "done").context_radius(20).to_string())
}

/// What `moorline plan --output json` foresees of one target.
#[derive(Debug, Default)]
pub struct Foreseen {
    steps: Vec<String>,
    /// What keeps it back, in one word; empty when nothing does.
    waits: String,
    /// Whether it could not be planned.
    unseen: bool,
    /// Whether it leaves alone what an operator's `moorline sync` tries once more.
    holds_a_failure: bool,
}

/// Reads `moorline plan --output json`, by target (`shop@local`).
pub fn read_plan(printed: &str) -> BTreeMap<String, Foreseen> {
    let json: Value = serde_json::from_str(printed).unwrap_or_default();
    let reports = json["reports"].as_array().cloned().unwrap_or_default();
    let of = |report: &Value| {
        let rounds = report["rounds"].as_array().cloned().unwrap_or_default();
        let steps = rounds.iter().flat_map(|round| {
            let steps = round["plan"]["steps"].as_array().cloned().unwrap_or_default();
            steps.into_iter().map(|step| step["text"].as_str().unwrap_or_default().to_owned())
        });
        let held = rounds.last().map_or_else(Value::default, |round| round["plan"]["held"].clone());
        let held = held.as_array().cloned().unwrap_or_default();
        let reason = |held: &Value| held["because"].to_string();
        let is_failure = |it: String| it.contains("rolled-back") || it.contains("update-paused");
        Foreseen {
            holds_a_failure: held.iter().map(reason).any(is_failure),
            steps: steps.collect(),
            waits: report["wait"]["on"].as_str().unwrap_or_default().to_owned(),
            unseen: !report["failure"].is_null(),
        }
    };
    let name = |it: &Value| format!("{}@{}", text(&it["stack"]), text(&it["host"]));
    reports.iter().map(|report| (name(report), of(report))).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What the journal of a data folder says was done, by target, from its line `from` on; and how many lines it has.
pub fn read_journal(data: &Path, from: usize) -> (BTreeMap<String, Vec<Done>>, usize) {
    let journal = std::fs::read_to_string(data.join("journal.jsonl")).unwrap_or_default();
    let mut done: BTreeMap<String, Vec<Done>> = BTreeMap::new();
    for line in journal.lines().skip(from) {
        let entry: Value = serde_json::from_str(line).unwrap();
        let steps = entry["steps"].as_array().cloned().unwrap_or_default();
        let steps = steps.iter().map(|step| {
            (text(&step["action"]).to_owned(), Some(text(&step["outcome"]).to_owned()))
        });
        let target = format!("{}@{}", text(&entry["stack"]), text(&entry["host"]));
        done.entry(target).or_default().extend(steps);
    }
    (done, journal.lines().count())
}

/// Every target's prediction against what was done there; what differs without a reason that has a name.
pub fn all_differences(
    foreseen: &BTreeMap<String, Foreseen>,
    done: &BTreeMap<String, Vec<Done>>,
) -> Vec<String> {
    let nothing = (Foreseen::default(), Vec::new());
    let names: std::collections::BTreeSet<&String> = foreseen.keys().chain(done.keys()).collect();
    let has_failed = |steps: &Vec<Done>| steps.iter().any(|(_, it)| it.as_deref() != Some("done"));
    let anything_failed = done.values().any(has_failed) || foreseen.values().any(|it| it.unseen);
    let mut found = Vec::new();
    for name in names {
        let told = foreseen.get(name).unwrap_or(&nothing.0);
        let made = done.get(name).unwrap_or(&nothing.1);
        match told.waits.as_str() {
            // Nothing is done while it waits; and what was said to wait for others may be let go on by them.
            "" | "gate" | "approval" if !made.is_empty() => {}
            // It was said that it waits, and for what; meanwhile the commit before is kept, which is not planned here.
            waits if !waits.is_empty() => continue,
            _ => {}
        }
        // A plan tells what the daemon does by itself; `moorline sync` is an operator's word for one more attempt.
        if told.holds_a_failure && told.steps.is_empty() {
            continue;
        }
        // It comes after one that failed, or its host fell silent: its turn never came.
        if made.is_empty() && (anything_failed || told.unseen) {
            continue;
        }
        let expected = without_shared(&told.steps, name, done);
        if let Some(difference) = differences(&expected, made) {
            found.push(format!("{name}: what was done is not what was foreseen\n{difference}"));
        }
    }
    found
}

/// What was foreseen of a target, without what stacks of its host share and another one of them brought first: an image, a
/// network, a volume.
pub fn without_shared(
    foreseen: &[String],
    target: &str,
    done: &BTreeMap<String, Vec<Done>>,
) -> Vec<String> {
    let host = target.split('@').nth(1).unwrap_or_default();
    let is_neighbour = |other: &String| other != target && other.ends_with(&format!("@{host}"));
    let others = done.iter().filter(|(other, _)| is_neighbour(other));
    let brought: Vec<&String> = others
        .flat_map(|(_, steps)| steps)
        .map(|(step, _)| step)
        .filter(|it| is_shared(it))
        .collect();
    let own = done.get(target).map_or(&[][..], Vec::as_slice);
    let is_own = |step: &String| own.iter().any(|(it, _)| it == step);
    let expected = foreseen.iter().filter(|step| !brought.contains(step) || is_own(step));
    expected.cloned().collect()
}

fn is_shared(step: &str) -> bool {
    ["pull ", "build ", "create network ", "create volume "]
        .iter()
        .any(|verb| step.starts_with(verb))
}
