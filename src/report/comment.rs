//! The comment on a pull request: what merging it would do, verdict first. Plain values in, Markdown out, within the
//! forge's size and without secrets.

use std::collections::BTreeSet;

use super::markdown::{Writer, code, plain};
use super::mask::{SecretSet, mask, without};
use crate::model::{CommitState, Digest, HostName, Revision, StackName};

/// What a forge's comments may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// Bytes at most; the strictest way in which any forge could count.
    pub limit: usize,
    /// Whether `<details>` folds; elsewhere headings part the plans.
    pub folds: bool,
}

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
    /// The plan as the command line shows it; `+`, `-` and `!` at the beginning of lines are coloured.
    pub plan_text: String,
    /// Consequences: replacement, downtime, volumes, new names.
    pub warnings: Vec<String>,
    /// What is left alone, and why.
    pub held: Vec<String>,
    /// Why there is no plan, or what is wrong with the manifest (`file:line: message`).
    pub problems: Vec<String>,
}

/// A stack's plan in one word. Ordered from what a reviewer should see first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The manifest is refused.
    Refused,
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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
    /// Of the whole plan.
    pub plan_hash: Digest,
    /// Remarks on how it was planned.
    pub notes: Vec<String>,
    /// Whether it still holds.
    pub freshness: Freshness,
}

impl PlanComment {
    /// State and words of the status `moorline/plan`: failure when a manifest is refused, error when a host could not
    /// be seen, success otherwise.
    pub fn status(&self) -> (CommitState, String) {
        let whole = (!self.refused.is_empty()).then_some(Verdict::Refused);
        let worst = self.stacks.iter().map(|stack| stack.verdict).chain(whole).min();
        let state = match worst {
            Some(Verdict::Refused) => CommitState::Failure,
            Some(Verdict::Unseen) => CommitState::Error,
            _ if self.freshness != Freshness::Fresh => CommitState::Error,
            _ => CommitState::Success,
        };
        let words = match &self.freshness {
            Freshness::Fresh => self.verdict(),
            Freshness::Stale(why) => format!("the plan is stale: {why}"),
        };
        (state, words)
    }

    /// One line: `2 stacks change: 3 to create, 1 to replace`.
    pub fn verdict(&self) -> String {
        if let Some(first) = self.refused.first() {
            return format!("cannot be planned: {first}");
        }
        let refused = self.with(Verdict::Refused);
        let unseen = self.with(Verdict::Unseen);
        if 0 < refused {
            return format!("{} refused", stacks(refused));
        }
        if 0 < unseen {
            return format!("{} could not be planned", stacks(unseen));
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
}

fn stacks(count: usize) -> String {
    if count == 1 { "1 stack".to_owned() } else { format!("{count} stacks") }
}

/// The comment. Secrets are masked before anything is laid out, and once more in the finished text.
pub fn plan(comment: &PlanComment, dialect: Dialect, secrets: &SecretSet) -> String {
    let comment = masked(comment.clone(), secrets);
    let footer = footer(&comment);
    let mut out = Writer::new(dialect, footer.len());
    out.line(&format!("## Moorline: {}", plain(&comment.verdict())));
    if let Freshness::Stale(why) = &comment.freshness {
        out.blank();
        out.line(&format!("⚠️ **This plan is stale**: {}", plain(why)));
    }
    for refusal in &comment.refused {
        out.blank();
        out.line(&format!("❌ {}", plain(refusal)));
    }
    if !comment.stacks.is_empty() {
        out.blank();
        table(&mut out, &comment.stacks);
    }
    bullets(&mut out, "Warnings", &comment.stacks, |stack| &stack.warnings);
    let mut order: Vec<&StackPlan> =
        comment.stacks.iter().filter(|stack| stack.verdict != Verdict::Unchanged).collect();
    order.sort_by_key(|stack| {
        (stack.verdict, std::cmp::Reverse(stack.counts.remove + stack.counts.replace))
    });
    for stack in order {
        section(&mut out, stack);
    }
    out.close("`moorline plan` shows them");
    // Our own marks between letters stay.
    without(&format!("{}{footer}", out.finish()), secrets)
}

/// The comment's last words, when the pull request is closed or no longer concerns any stack.
pub fn withdrawn(why: &str, secrets: &SecretSet) -> String {
    without(&format!("## Moorline: plan withdrawn\n\n{}\n", plain(&mask(why, secrets))), secrets)
}

fn table(out: &mut Writer, stacks: &[StackPlan]) {
    out.line("| stack | host | verdict | create | change | replace | remove |");
    out.line("|---|---|---|--:|--:|--:|--:|");
    let mut rows: Vec<&StackPlan> = stacks.iter().collect();
    rows.sort_by_key(|stack| stack.verdict);
    let mut left = rows.len();
    for stack in rows {
        let Counts { create, change, replace, remove } = stack.counts;
        let row = format!(
            "| {} | {} | {} | {create} | {change} | {replace} | {remove} |",
            code(stack.name.as_str()),
            code(stack.host.as_str()),
            stack.verdict.mark(),
        );
        // Half of the room is for the plans.
        if !out.line_within(&row, 2) {
            break;
        }
        left -= 1;
    }
    if 0 < left {
        out.blank();
        out.line(&format!("… and {} more", self::stacks(left)));
    }
}

impl Verdict {
    fn mark(self) -> &'static str {
        match self {
            Self::Refused => "❌ refused",
            Self::Unseen => "❔ host not seen",
            Self::Changes => "✏️ changes",
            Self::Held => "✋ held",
            Self::Unchanged => "✅ nothing to do",
        }
    }
}

fn bullets(out: &mut Writer, title: &str, stacks: &[StackPlan], of: fn(&StackPlan) -> &[String]) {
    if stacks.iter().all(|stack| of(stack).is_empty()) {
        return;
    }
    out.blank();
    out.line(&format!("**{title}**"));
    out.blank();
    // What holds for a stack on several hosts is said once.
    let mut said = BTreeSet::new();
    for stack in stacks {
        for text in of(stack) {
            if !said.insert((&stack.name, text)) {
                continue;
            }
            let line = format!("- ⚠️ {}: {}", code(stack.name.as_str()), plain(text));
            // A quarter of the room is always left for the plans.
            if !out.line_within(&line, 4) {
                out.line("- …");
                return;
            }
        }
    }
}

fn section(out: &mut Writer, stack: &StackPlan) {
    let title = format!("{} on {}: {}", stack.name, stack.host, stack.summary());
    let mut before: Vec<String> = Vec::new();
    before.extend(stack.problems.iter().map(|text| format!("- ❌ {}", plain(text))));
    before.extend(stack.held.iter().map(|text| format!("- ✋ held: {}", plain(text))));
    out.section(&title, &before, &stack.plan_text);
}

impl StackPlan {
    fn summary(&self) -> String {
        match self.verdict {
            Verdict::Refused => "refused".to_owned(),
            Verdict::Unseen => "the host could not be seen".to_owned(),
            Verdict::Changes => self.counts.words(),
            Verdict::Held => "held".to_owned(),
            Verdict::Unchanged => "nothing to do".to_owned(),
        }
    }
}

fn footer(comment: &PlanComment) -> String {
    let notes = comment.notes.iter().map(|note| plain(note) + "\n\n");
    let last = format!(
        "Head {} on base {}, plan {}. Nothing of this pull request was executed.\n",
        code(comment.head.short()),
        code(comment.base.short()),
        code(comment.plan_hash.short()),
    );
    let words: Vec<String> =
        std::iter::once("\n---\n".to_owned()).chain(notes).chain([last]).collect();
    words.concat()
}

fn masked(mut comment: PlanComment, secrets: &SecretSet) -> PlanComment {
    let hide = |texts: &mut Vec<String>| {
        for text in texts {
            *text = mask(text, secrets);
        }
    };
    hide(&mut comment.notes);
    hide(&mut comment.refused);
    for stack in &mut comment.stacks {
        stack.plan_text = mask(&stack.plan_text, secrets);
        hide(&mut stack.warnings);
        hide(&mut stack.held);
        hide(&mut stack.problems);
    }
    if let Freshness::Stale(why) = &mut comment.freshness {
        *why = mask(why, secrets);
    }
    comment
}
