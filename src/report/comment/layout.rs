//! The comment as Markdown: verdict and danger, a table that a phone can show, each stack's changes in colours, and beneath,
//! folded, the steps.

use super::groups::{Group, groups, title};
use super::{Dialect, Freshness, Links, PlanComment, StackPlan, Verdict};
use crate::model::Location;
use crate::report::change::{Change, Mark};
use crate::report::danger::Danger;
use crate::report::markdown::{Writer, code, plain, visible};
use crate::report::mask::{SecretSet, mask};

/// The comment. Secrets are masked before anything is laid out, and once more in the finished text.
pub fn plan(
    comment: &PlanComment,
    dialect: Dialect,
    links: Links<'_>,
    secrets: &SecretSet,
) -> String {
    let comment = masked(comment.clone(), secrets);
    let footer = footer(&comment);
    let mut out = Writer::new(dialect, footer.len());
    head(&mut out, &comment, links);
    let groups = groups(&comment.stacks);
    waits(&mut out, &groups);
    dangers(&mut out, &groups, links);
    if !comment.stacks.is_empty() {
        out.blank();
        table(&mut out, &groups);
    }
    let shown = groups.iter().filter(|group| group.first.verdict != Verdict::Unchanged);
    for group in shown.clone() {
        changes(&mut out, group, links);
    }
    for group in shown {
        folded(&mut out, group);
    }
    out.close("`moorline plan` shows them");
    visible(&mask(&format!("{}{footer}", out.finish()), secrets))
}

/// The comment's last words, when the pull request is closed or no longer concerns any stack.
pub fn withdrawn(why: &str, secrets: &SecretSet) -> String {
    let why = visible(&mask(why, secrets));
    mask(&format!("## Moorline: plan withdrawn\n\n{}\n", plain(&why)), secrets)
}

/// The comment once the pull request is merged: what became of it, and the plan as it was shown, folded.
pub fn outcome(
    (mark, words): (&str, &str),
    shown: &str,
    dialect: Dialect,
    secrets: &SecretSet,
) -> String {
    let words = plain(&visible(&mask(words, secrets)));
    let mut out = Writer::new(dialect, 0);
    out.line(&format!("## Moorline: {mark} {words}"));
    out.enclosed("The plan as it was before the merge", shown);
    visible(&mask(&out.finish(), secrets))
}

fn head(out: &mut Writer, comment: &PlanComment, links: Links<'_>) {
    let danger = !comment.is_refused() && comment.worst().is_some();
    let (mark, words) = match (comment.is_refused(), danger) {
        (true, _) => ("❌ ", comment.headline()),
        (false, true) => ("🔴 **Danger** · ", comment.headline()),
        (false, false) => ("", comment.headline()),
    };
    out.line(&format!("## Moorline: {mark}{}", plain(&words)));
    if let Freshness::Stale(why) = &comment.freshness {
        out.blank();
        out.line(&format!("❔ **This plan is stale**: {}", plain(why)));
    }
    for refusal in &comment.refused {
        out.blank();
        out.line(&format!("❌ {}", plain(refusal)));
    }
    for stack in &comment.stacks {
        for problem in &stack.problems {
            out.blank();
            let place = problem.origin.as_ref().filter(|at| !at.file.is_empty());
            let said = place.and_then(|at| problem.text.strip_prefix(&format!("{at}: ")));
            let text = match (place, said) {
                (Some(at), Some(said)) => format!("{} {}", link(at, links), plain(said)),
                _ => plain(&problem.text),
            };
            if !out.line_within(&format!("❌ {}: {text}", code(stack.name.as_str())), 4) {
                return;
            }
        }
    }
}

/// What the merge alone does not do, and until when: the first thing to know of everything below.
fn waits(out: &mut Writer, groups: &[Group<'_>]) {
    let mut found: Vec<(&str, Vec<&StackPlan>)> = Vec::new();
    for group in groups.iter().filter(|group| group.first.verdict == Verdict::Changes) {
        let Some(why) = &group.first.waits else { continue };
        match found.iter_mut().find(|(known, _)| known == why) {
            Some((_, stacks)) => stacks.extend(&group.all),
            None => found.push((why, group.all.clone())),
        }
    }
    for (why, stacks) in found {
        out.blank();
        out.line_within(&format!("✋ {}: {}", plain(&title(&stacks)), plain(why)), 4);
    }
}

/// What a reviewer must not overlook, worst first, over all stacks.
fn dangers(out: &mut Writer, groups: &[Group<'_>], links: Links<'_>) {
    // The same danger of several stacks is one line, also where they differ in something else.
    let mut all: Vec<(&Danger, Vec<&StackPlan>)> = Vec::new();
    for group in groups {
        for danger in &group.first.dangers {
            match all.iter_mut().find(|(known, _)| *known == danger) {
                Some((_, stacks)) => stacks.extend(&group.all),
                None => all.push((danger, group.all.clone())),
            }
        }
    }
    if all.is_empty() {
        return;
    }
    all.sort_by_key(|(danger, _)| danger.risk);
    out.blank();
    out.line("**Danger**");
    out.blank();
    for (danger, stacks) in all {
        let place =
            danger.origin.as_ref().map_or(String::new(), |at| format!(" ({})", link(at, links)));
        let line = format!("- 🔴 {}: {}{place}", plain(&title(&stacks)), plain(&danger.text));
        // A quarter of the room is always left for the plans.
        if !out.line_within(&line, 4) {
            out.line("- …");
            return;
        }
    }
}

/// Three narrow columns: the widest words wrap between themselves.
fn table(out: &mut Writer, groups: &[Group<'_>]) {
    out.line("| stack | changes | |");
    out.line("|---|---|---|");
    let mut left: usize = groups.iter().map(|group| group.all.len()).sum();
    for group in groups {
        let waits = group.first.waits.is_some() && group.first.verdict == Verdict::Changes;
        let later = if waits { "✋ " } else { "" };
        let verdict = match group.first.risk() {
            Some(risk)
                if !matches!(group.first.verdict, Verdict::Refused | Verdict::Impossible) =>
            {
                format!("{later}🔴 {}", risk.word())
            }
            _ if waits => "✋ later".to_owned(),
            _ => group.first.verdict.mark().to_owned(),
        };
        let row = format!(
            "| {} | `{}` | {verdict} |",
            plain(&title(&group.all)),
            group.first.counts.signs()
        );
        // Half of the room is for the plans.
        if !out.line_within(&row, 2) {
            break;
        }
        left -= group.all.len();
    }
    if 0 < left {
        out.blank();
        out.line(&format!("… and {} more", super::stacks(left)));
    }
}

impl Verdict {
    fn mark(self) -> &'static str {
        match self {
            Self::Refused => "❌ refused",
            Self::Impossible => "❌ cannot work",
            Self::Unseen => "❔ host not seen",
            Self::Changes => "changes",
            Self::Held => "✋ held",
            Self::Unchanged => "✅ nothing to do",
        }
    }
}

/// One line a container in a fence that colours, and below it the places in the manifests, which wrap.
fn changes(out: &mut Writer, group: &Group<'_>, links: Links<'_>) {
    let stack = group.first;
    let notes: Vec<String> = stack
        .held
        .iter()
        .map(|text| format!("- ✋ held: {}", plain(text)))
        .chain(stack.warnings.iter().map(|text| format!("- {}", plain(text))))
        .collect();
    if stack.changes.is_empty() && notes.is_empty() {
        return;
    }
    let mut lines: Vec<String> = stack.changes.iter().map(line).collect();
    lines.dedup();
    let text = lines.join("\n");
    let title = format!("**{}** `{}`", plain(&title(&group.all)), stack.counts.signs());
    let mut places: Vec<&Location> = Vec::new();
    for place in stack.changes.iter().filter_map(|change| change.origin.as_ref()) {
        let known = places.iter().any(|one| (&one.file, one.line) == (&place.file, place.line));
        if !known && places.len() < MOST_PLACES {
            places.push(place);
        }
    }
    let places: Vec<String> = places.iter().map(|place| link(place, links)).collect();
    let mut before = vec![title];
    if !places.is_empty() {
        before.push(format!("at {}", places.join(", ")));
    }
    out.fenced(&before, &notes, &text);
}

/// Places that are named of one stack; the fence names them all by their containers.
const MOST_PLACES: usize = 12;

/// `! web-1  image web:1 → web:2, env LOG_LEVEL info → debug`.
fn line(change: &Change) -> String {
    let (sign, word) = match change.mark {
        Mark::Remove => ('-', "removed"),
        Mark::Replace => ('!', "replaced"),
        Mark::Change => ('!', "changed"),
        Mark::Create => ('+', "new"),
    };
    let details = change.details.join(", ");
    let between = if details.is_empty() { "" } else { ": " };
    format!("{sign} {} {word}{between}{details}", change.name)
}

/// `file:line`, as a link where there is a page for it.
fn link(place: &Location, links: Links<'_>) -> String {
    let text =
        if place.line == 0 { place.file.clone() } else { format!("{}:{}", place.file, place.line) };
    match links(place) {
        Some(link) => format!("[{}]({})", code(&text), link.replace([' ', '(', ')', '<', '>'], "")),
        None => code(&text),
    }
}

/// The files' diffs and the steps, folded.
fn folded(out: &mut Writer, group: &Group<'_>) {
    let stack = group.first;
    let others = group.others();
    if !others.is_empty() {
        let title = format!("The {} more like {} on {}", others.len(), stack.name, stack.host);
        let listed: Vec<String> = others.iter().map(|name| code(name)).collect();
        out.section(&title, &[listed.join(", ")], "");
    }
    for file in &stack.files {
        let title = format!("{}: {} changes", stack.name, file.path);
        match &file.diff {
            Some(diff) => out.section(&title, &[], diff),
            None => {
                out.section(&title, &["Its content is a secret, and not shown.".to_owned()], "");
            }
        }
    }
    if !stack.plan_text.is_empty() {
        out.section(&format!("{}: {}", title(&group.all), stack.summary()), &[], &stack.plan_text);
    }
}

impl StackPlan {
    fn summary(&self) -> String {
        match self.verdict {
            Verdict::Refused => "refused".to_owned(),
            Verdict::Impossible => "cannot work".to_owned(),
            Verdict::Unseen => "the host could not be seen".to_owned(),
            Verdict::Changes => self.counts.words(),
            Verdict::Held => "held".to_owned(),
            Verdict::Unchanged => "nothing to do".to_owned(),
        }
    }
}

/// The base is not named: a new one alone does not change a plan, and is no reason to edit a comment.
fn footer(comment: &PlanComment) -> String {
    let notes = comment.notes.iter().map(|note| plain(note) + "\n\n");
    let hash = comment.plan_hash.as_ref().map(|hash| format!(", plan {}", code(hash.short())));
    let last = format!(
        "Head {}{}. Nothing of this pull request was executed.\n",
        code(comment.head.short()),
        hash.unwrap_or_default(),
    );
    let words: Vec<String> =
        std::iter::once("\n---\n".to_owned()).chain(notes).chain([last]).collect();
    words.concat()
}

pub(super) fn masked(mut comment: PlanComment, secrets: &SecretSet) -> PlanComment {
    let hide = |texts: &mut Vec<String>| {
        for text in texts {
            *text = visible(&mask(text, secrets));
        }
    };
    hide(&mut comment.notes);
    hide(&mut comment.refused);
    for stack in &mut comment.stacks {
        stack.plan_text = visible(&mask(&stack.plan_text, secrets));
        hide(&mut stack.warnings);
        stack.waits = stack.waits.as_ref().map(|text| visible(&mask(text, secrets)));
        hide(&mut stack.held);
        for problem in &mut stack.problems {
            problem.text = visible(&mask(&problem.text, secrets));
        }
        for danger in &mut stack.dangers {
            danger.text = visible(&mask(&danger.text, secrets));
        }
        for change in &mut stack.changes {
            hide(&mut change.details);
        }
        for file in &mut stack.files {
            file.diff = file.diff.as_ref().map(|diff| visible(&mask(diff, secrets)));
        }
    }
    if let Freshness::Stale(why) = &mut comment.freshness {
        *why = visible(&mask(why, secrets));
    }
    comment
}
