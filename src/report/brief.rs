//! A plan for people: one line for each container, network or volume, with every reason, old → new.

use std::collections::BTreeMap;

use super::change::{Change, Mark, changes};
use super::{Report, visible};
use crate::model::{Action, Held};

/// What a report's plan does, a line a thing; empty where it does nothing and holds nothing.
pub fn of(report: &Report) -> String {
    let mut text = String::new();
    for change in changes(report) {
        line(&mut text, &told(&change));
    }
    let plans = report.rounds.iter().map(|round| &round.plan);
    for action in plans.clone().flat_map(|plan| &plan.steps).map(|step| &step.action) {
        // What stands behind a change and takes its time.
        if matches!(action, Action::Pull { .. } | Action::Build { .. }) {
            line(&mut text, &format!("  · {action}"));
        }
    }
    for held in report.held() {
        line(&mut text, &held_line(held));
    }
    for warning in plans.flat_map(|plan| &plan.warnings) {
        line(&mut text, &format!("  ! {warning}"));
    }
    text
}

fn told(change: &Change) -> String {
    let (mark, word) = match change.mark {
        Mark::Remove => ('-', "remove"),
        Mark::Replace => ('±', "replace"),
        Mark::Change => ('~', "change"),
        Mark::Create => ('+', "create"),
    };
    let details = visible::line(&change.details.join("; ")).into_owned();
    let details = if details.is_empty() { String::new() } else { format!(": {details}") };
    let origin = change.origin.as_ref();
    let origin = origin.map_or_else(String::new, |it| format!(" ({}:{})", it.file, it.line));
    format!("  {mark} {word} {}{details}{origin}", change.name)
}

fn held_line(held: &Held) -> String {
    let origin = held.drift.origin.as_ref();
    let origin = origin.map_or_else(String::new, |it| format!(" ({}:{})", it.file, it.line));
    format!("  = held {}: {}{origin}: {}", held.drift.resource, held.drift.reason, held.why)
}

fn line(text: &mut String, said: &str) {
    text.push_str(said);
    text.push('\n');
}

/// How many things are changed in which way, over all reports: `2 of 12 targets change: create 1, replace 3, held 1`.
pub fn totals(reports: &[Report]) -> String {
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    let (mut touched, mut unknown) = (0, 0);
    for report in reports {
        let changes = changes(report);
        touched += usize::from(!changes.is_empty());
        unknown += usize::from(report.failure.is_some());
        for change in changes {
            let word = match change.mark {
                Mark::Remove => "remove",
                Mark::Replace => "replace",
                Mark::Change => "change",
                Mark::Create => "create",
            };
            *counts.entry(word).or_default() += 1;
        }
        let held = report.held().count();
        if held > 0 {
            *counts.entry("held").or_default() += held;
        }
    }
    let order = ["create", "change", "replace", "remove", "held"];
    let said: Vec<String> =
        order.iter().filter_map(|word| Some(format!("{word} {}", counts.get(word)?))).collect();
    let what = if said.is_empty() { String::new() } else { format!(": {}", said.join(", ")) };
    let unknown =
        if unknown == 0 { String::new() } else { format!("; {unknown} could not be looked at") };
    format!("{touched} of {} change{what}{unknown}", count(reports.len()))
}

fn count(number: usize) -> String {
    if number == 1 { "1 target".to_owned() } else { format!("{number} targets") }
}
