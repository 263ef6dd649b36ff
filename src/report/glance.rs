//! The stacks of a repository at a glance, for one host and for a thousand.

use std::collections::BTreeMap;

use crate::model::{RepositoryName, Revision, StackName};

use super::{Report, advice, status as verdict};

/// Targets above which `status` counts instead of naming each.
pub const MANY: usize = 60;
/// Targets that are named although they are counted, because they are not well.
const NAMED: usize = 30;

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// One line a target.
    Verdicts,
    /// Its replicas too.
    Replicas,
    /// One line a stack, and those that are not well.
    Counts,
}

/// What is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Glimpse<'a> {
    /// The repository.
    pub repository: &'a RepositoryName,
    /// Its newest commit.
    pub revision: &'a Revision,
    /// The first line of that commit's message.
    pub subject: &'a str,
}

/// What runs where, of one repository; nothing where nothing does.
pub fn of_repository(of: Glimpse<'_>, reports: &[&Report], detail: Detail) -> String {
    let mut text = String::new();
    if reports.is_empty() {
        return text;
    }
    push(&mut text, &format!("{} at {} {}", of.repository, of.revision.short(), of.subject));
    match detail {
        Detail::Counts => counted(&mut text, reports),
        Detail::Verdicts | Detail::Replicas => {
            // What is wrong comes first: it is what somebody looks for.
            let mut reports = reports.to_vec();
            reports.sort_by_key(|report| std::cmp::Reverse(verdict::rank(verdict::state(report))));
            for report in reports {
                one(&mut text, report, of.revision, detail);
            }
        }
    }
    text
}

fn push(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn one(text: &mut String, report: &Report, head: &Revision, detail: Detail) {
    let state = verdict::state(report);
    let at = if report.revision == *head {
        String::new()
    } else {
        format!(" at {}", report.revision.short())
    };
    push(text, &format!("  {}{at}  {state}  {}", report.target, verdict::line(report)));
    if let Some(command) = advice::next(report).filter(|_| detail == Detail::Replicas) {
        push(text, &format!("    next: {command}"));
    }
    if detail == Detail::Replicas {
        for replica in &report.replicas {
            push(text, &format!("    {replica}"));
        }
    }
}

/// One line a stack, then the targets that are not well.
fn counted(text: &mut String, reports: &[&Report]) {
    let mut stacks: BTreeMap<&StackName, Vec<&Report>> = BTreeMap::new();
    for report in reports {
        stacks.entry(&report.target.stack).or_default().push(report);
    }
    for (stack, own) in stacks {
        let good = own.iter().filter(|report| report.is_good()).count();
        push(text, &format!("  {stack}  {good} of {} hosts in sync", own.len()));
        let mut bad: Vec<&&Report> = own.iter().filter(|report| !report.is_good()).collect();
        bad.sort_by_key(|report| std::cmp::Reverse(verdict::state(report) as u8));
        for report in bad.iter().take(NAMED) {
            let (host, state) = (&report.target.host, verdict::state(report));
            push(text, &format!("    {host}  {state}  {}", verdict::line(report)));
            if let Some(command) = advice::next(report) {
                push(text, &format!("      next: {command}"));
            }
        }
        if NAMED < bad.len() {
            push(text, &format!("    and {} more (--all names them)", bad.len() - NAMED));
        }
    }
}
