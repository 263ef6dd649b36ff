//! Stacks to which the same happens: shown once.

use super::{Counts, StackPlan, Verdict};
use crate::report::danger::Risk;

/// Stacks that are alike but for their names and hosts.
pub(super) struct Group<'a> {
    /// The first of them, which stands for all.
    pub(super) first: &'a StackPlan,
    /// All of them.
    pub(super) all: Vec<&'a StackPlan>,
}

/// What makes two stacks alike: everything that is shown of them, without their names.
#[derive(PartialEq)]
struct Likeness {
    verdict: Verdict,
    counts: Counts,
    texts: Vec<String>,
}

/// Groups, the most dangerous first: by danger, then by verdict, then by how much goes.
pub(super) fn groups(stacks: &[StackPlan]) -> Vec<Group<'_>> {
    let mut found: Vec<(Likeness, Group<'_>)> = Vec::new();
    for stack in stacks {
        let likeness = likeness(stack);
        match found.iter_mut().find(|(known, _)| *known == likeness) {
            Some((_, group)) => group.all.push(stack),
            None => found.push((likeness, Group { first: stack, all: vec![stack] })),
        }
    }
    let mut groups: Vec<Group<'_>> = found.into_iter().map(|(_, group)| group).collect();
    groups.sort_by_key(|group| {
        let gone = group.first.counts.remove + group.first.counts.replace;
        let (verdict, risk) = (group.first.verdict, group.first.risk());
        let rank = match (verdict, risk) {
            (Verdict::Refused | Verdict::Impossible, _) => 0,
            (_, Some(_)) => 1,
            _ => 2,
        };
        (rank, risk.map_or(u8::MAX, order), verdict, std::cmp::Reverse(gone))
    });
    groups
}

fn order(risk: Risk) -> u8 {
    risk as u8
}

fn likeness(stack: &StackPlan) -> Likeness {
    // Files are compared as they are: where they differ the stacks are not alike.
    let files = stack.files.iter().map(|file| {
        format!("{} {}", nameless(stack, &file.path), file.diff.as_deref().unwrap_or_default())
    });
    let dangers = stack.dangers.iter().map(|danger| danger.text.as_str());
    let changes = stack.changes.iter().flat_map(|change| {
        std::iter::once(change.name.as_str()).chain(change.details.iter().map(String::as_str))
    });
    let problems = stack.problems.iter().map(|problem| &problem.text);
    let others = stack.warnings.iter().chain(&stack.waits).chain(&stack.held).chain(problems);
    let texts = dangers.chain(changes).chain(others.map(String::as_str));
    let texts = texts.map(|text| nameless(stack, text)).chain(files);
    Likeness { verdict: stack.verdict, counts: stack.counts, texts: texts.collect() }
}

fn nameless(stack: &StackPlan, text: &str) -> String {
    text.replace(stack.name.as_str(), "\u{1}").replace(stack.host.as_str(), "\u{2}")
}

/// `shop on edge-1`, `shop on edge-1 and edge-2`, `site-001 on edge-1 and 87 more like it`.
pub(super) fn title(stacks: &[&StackPlan]) -> String {
    let Some(first) = stacks.first() else { return String::new() };
    let same_stack = stacks.iter().all(|stack| stack.name == first.name);
    if same_stack {
        let hosts: Vec<&str> = stacks.iter().map(|stack| stack.host.as_str()).collect();
        let hosts = match hosts.as_slice() {
            [only] => (*only).to_owned(),
            [one, other] => format!("{one} and {other}"),
            many => format!("{} and {} more hosts", first.host, many.len() - 1),
        };
        return format!("{} on {hosts}", first.name);
    }
    format!("{} on {} and {} more like it", first.name, first.host, stacks.len() - 1)
}

impl Group<'_> {
    /// Names and hosts of all but the first.
    pub(super) fn others(&self) -> Vec<String> {
        let rest = self.all.iter().skip(1);
        rest.map(|stack| format!("{}@{}", stack.name, stack.host)).collect()
    }
}
