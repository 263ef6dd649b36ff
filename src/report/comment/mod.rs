//! The comment on a pull request: what merging it would do, dangers first. Plain values in, Markdown out, within the
//! forge's size and without secrets.

mod groups;
mod json;
mod layout;

use std::collections::BTreeSet;

pub use json::to_json;
pub use layout::{outcome, plan, withdrawn};

use super::change::Change;
use super::danger::{Danger, Risk};
pub use super::markdown::Dialect;
use super::markdown::visible;
use crate::model::{CommitState, Digest, HostName, Location, Revision, StackName};

/// The page of a manifest's place at the pull request's head; `None` where there is none to point at.
pub type Links<'a> = &'a dyn Fn(&Location) -> Option<String>;

/// What merging would do to one stack on one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackPlan {
    /// The stack.
    pub name: StackName,
    /// The host.
    pub host: HostName,
    /// In one word.
    pub verdict: Verdict,
    /// In numbers.
    pub counts: Counts,
    /// What a reviewer must not overlook, worst first.
    pub dangers: Vec<Danger>,
    /// What becomes of each container, network and volume.
    pub changes: Vec<Change>,
    /// Files of the repository that containers see and that change.
    pub files: Vec<FileChange>,
    /// The plan as the command line shows it.
    pub plan_text: String,
    /// Consequences that are no danger: new names, whose turn it is.
    pub warnings: Vec<String>,
    /// What keeps all of it back after the merge, and until when: a suspension, a window, an approval.
    pub waits: Option<String>,
    /// What is left alone, and why.
    pub held: Vec<String>,
    /// Why there is no plan, what is wrong with the manifest, what cannot be had.
    pub problems: Vec<Problem>,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What, beginning with its place where it has one: `shop/compose.yaml:3:5: error: unknown attribute "imag"`.
    pub text: String,
    /// Where.
    pub origin: Option<Location>,
}

/// A file of the repository that containers see and that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// Its path.
    pub path: String,
    /// Its unified diff; `None` where its content may not be shown.
    pub diff: Option<String>,
}

/// A stack's plan in one word. Ordered from what a reviewer should see first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The manifest is refused.
    Refused,
    /// Something that it asks for cannot be had.
    Impossible,
    /// The host could not be seen.
    Unseen,
    /// Something would be done.
    Changes,
    /// Nothing would be done, because policy holds it.
    Held,
    /// Nothing to do.
    Unchanged,
}

/// A stack's plan in numbers of containers, networks and volumes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Counts {
    /// Made.
    pub create: usize,
    /// Changed in place.
    pub change: usize,
    /// Replaced.
    pub replace: usize,
    /// Removed.
    pub remove: usize,
}

/// Whether the plan still holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Freshness {
    /// It was just made.
    Fresh,
    /// It could not be renewed, and why.
    Stale(String),
}

/// Everything that the comment says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanComment {
    /// Why there is no plan of the whole: conflicts, a fleet file that is refused.
    pub refused: Vec<String>,
    /// All stacks that are touched, on all hosts.
    pub stacks: Vec<StackPlan>,
    /// The commit of the target branch that it was planned on.
    pub base: Revision,
    /// The pull request's head.
    pub head: Revision,
    /// Of the whole plan; `None` when it was refused.
    pub plan_hash: Option<Digest>,
    /// Remarks on how it was planned.
    pub notes: Vec<String>,
    /// Whether it still holds.
    pub freshness: Freshness,
}

impl PlanComment {
    /// State and words of the status `moorline/plan`: failure when a manifest is refused or something that it asks for
    /// cannot be had, error when a host could not be seen, success otherwise. The worst danger, or the first error, comes first.
    pub fn status(&self) -> (CommitState, String) {
        let whole = (!self.refused.is_empty()).then_some(Verdict::Refused);
        let worst = self.stacks.iter().map(|stack| stack.verdict).chain(whole).min();
        let state = match worst {
            Some(Verdict::Refused | Verdict::Impossible) => CommitState::Failure,
            Some(Verdict::Unseen) => CommitState::Error,
            _ if self.freshness != Freshness::Fresh => CommitState::Error,
            _ => CommitState::Success,
        };
        let words = match &self.freshness {
            Freshness::Fresh => self.verdict(),
            Freshness::Stale(why) => format!("the plan is stale: {why}"),
        };
        (state, visible(&words))
    }

    /// One line: `danger: shop: volume shop_data is removed with its data; 2 stacks change: 3 to create, 1 to replace`.
    pub fn verdict(&self) -> String {
        let summary = self.summary();
        match self.worst() {
            Some((stack, danger)) if !self.is_refused() => {
                format!("danger: {}: {}; {summary}", stack.name, danger.text)
            }
            _ => summary,
        }
    }

    /// The verdict in a few words, without any reason: `1 stack refused`. The reasons stand below it.
    pub(super) fn headline(&self) -> String {
        let whole = self.outline();
        match whole.split_once(": ") {
            Some((verdict, _)) if self.is_refused() || self.unseen() => verdict.to_owned(),
            // For what, and until when, stands below it.
            _ if self.all_waits() => format!("{whole}, later"),
            _ => whole,
        }
    }

    /// Without the danger, and with what keeps it back: `1 stack changes: 1 to replace; waits: change freeze`.
    pub fn summary(&self) -> String {
        match (self.is_refused() || self.unseen(), self.waiting().as_slice()) {
            (true, _) | (_, []) => self.outline(),
            (_, [only]) if self.all_waits() => format!("{}; {only}", self.outline()),
            _ if self.all_waits() => format!("{}; all of it waits", self.outline()),
            _ => format!("{}; part of it waits", self.outline()),
        }
    }

    /// What keeps changes back after the merge, each once.
    fn waiting(&self) -> Vec<&str> {
        let waits = self.changing().filter_map(|stack| stack.waits.as_deref());
        waits.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Whether nothing changes at once.
    pub(super) fn all_waits(&self) -> bool {
        self.changing().all(|stack| stack.waits.is_some()) && !self.waiting().is_empty()
    }

    fn changing(&self) -> impl Iterator<Item = &StackPlan> {
        self.stacks.iter().filter(|stack| stack.verdict == Verdict::Changes)
    }

    /// `2 stacks change: 3 to create, 1 to replace`.
    fn outline(&self) -> String {
        if let Some(first) = self.refused.first() {
            return format!("cannot be planned: {first}");
        }
        for (verdict, verb) in [
            (Verdict::Refused, "refused"),
            (Verdict::Impossible, "cannot work"),
            (Verdict::Unseen, "could not be planned"),
        ] {
            let count = self.with(verdict);
            if 0 < count {
                let first = self.stacks.iter().find(|stack| stack.verdict == verdict);
                let why = first.and_then(|stack| stack.problems.first());
                let why = why.map_or(String::new(), |why| format!(": {}", why.text));
                return format!("{} {verb}{why}", stacks(count));
            }
        }
        let (changing, held) = (self.with(Verdict::Changes), self.with(Verdict::Held));
        match (changing, held) {
            (0, 0) => "nothing to do".to_owned(),
            (0, held) => format!("nothing to do, {} held", stacks(held)),
            (changing, _) => {
                let verb = if changing == 1 { "changes" } else { "change" };
                format!("{} {verb}: {}", stacks(changing), self.total().words())
            }
        }
    }

    /// Whether a host could not be seen.
    pub fn unseen(&self) -> bool {
        0 < self.with(Verdict::Unseen)
    }

    /// Whether there is nothing to show: no stack is touched.
    pub fn is_silent(&self) -> bool {
        self.stacks.is_empty() && self.refused.is_empty()
    }

    /// Whether merging would change something, or cannot be said to change nothing.
    pub fn changes_something(&self) -> bool {
        self.is_refused() || self.stacks.iter().any(|stack| stack.verdict != Verdict::Unchanged)
    }

    fn is_refused(&self) -> bool {
        !self.refused.is_empty() || 0 < self.with(Verdict::Refused) + self.with(Verdict::Impossible)
    }

    /// The worst danger of all.
    fn worst(&self) -> Option<(&StackPlan, &Danger)> {
        let all = self
            .stacks
            .iter()
            .flat_map(|stack| stack.dangers.iter().map(move |danger| (stack, danger)));
        all.min_by_key(|(stack, danger)| (danger.risk, &stack.name, &stack.host))
    }

    fn with(&self, verdict: Verdict) -> usize {
        let of_it = self.stacks.iter().filter(|stack| stack.verdict == verdict);
        // A stack on several hosts is one stack.
        of_it.map(|stack| &stack.name).collect::<BTreeSet<_>>().len()
    }

    fn total(&self) -> Counts {
        self.stacks.iter().fold(Counts::default(), |sum, stack| Counts {
            create: sum.create + stack.counts.create,
            change: sum.change + stack.counts.change,
            replace: sum.replace + stack.counts.replace,
            remove: sum.remove + stack.counts.remove,
        })
    }
}

impl StackPlan {
    /// The worst sort of danger.
    pub fn risk(&self) -> Option<Risk> {
        self.dangers.iter().map(|danger| danger.risk).min()
    }
}

impl Counts {
    /// `3 to create, 1 to replace`.
    pub fn words(self) -> String {
        let Self { create, change, replace, remove } = self;
        let parts =
            [(create, "create"), (change, "change"), (replace, "replace"), (remove, "remove")];
        let said: Vec<String> = parts
            .iter()
            .filter(|(count, _)| 0 < *count)
            .map(|(count, verb)| format!("{count} to {verb}"))
            .collect();
        if said.is_empty() { "no steps".to_owned() } else { said.join(", ") }
    }

    /// In one column of a table: `+2 ~1 ↻1 −0`.
    pub fn signs(self) -> String {
        let Self { create, change, replace, remove } = self;
        format!("+{create} ~{change} ↻{replace} −{remove}")
    }
}

fn stacks(count: usize) -> String {
    if count == 1 { "1 stack".to_owned() } else { format!("{count} stacks") }
}
