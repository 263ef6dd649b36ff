//! The comment as data.

use serde_json::{Value, json};

use super::layout::masked;
use super::{Freshness, PlanComment, StackPlan, Verdict};
use crate::model::Location;
use crate::report::change::Mark;
use crate::report::mask::SecretSet;

/// What merging would do, as JSON. The shape is stable: members may be added, none is renamed or removed.
pub fn to_json(comment: &PlanComment, number: u64, secrets: &SecretSet) -> Value {
    let comment = masked(comment.clone(), secrets);
    let (state, summary) = comment.status();
    let stale = match &comment.freshness {
        Freshness::Fresh => None,
        Freshness::Stale(why) => Some(why),
    };
    json!({
        "pull_request": number,
        "head": comment.head,
        "base": comment.base,
        "state": state,
        "summary": summary,
        "plan": comment.plan_hash,
        "stale": stale,
        "refused": comment.refused,
        "notes": comment.notes,
        "stacks": comment.stacks.iter().map(stack).collect::<Vec<_>>(),
    })
}

fn stack(stack: &StackPlan) -> Value {
    let counts = stack.counts;
    let dangers = stack.dangers.iter().map(|danger| {
        json!({
            "risk": danger.risk.word(), "text": danger.text, "origin": place(danger.origin.as_ref()),
        })
    });
    let changes = stack.changes.iter().map(|change| {
        json!({
            "name": change.name,
            "change": word(change.mark),
            "details": change.details,
            "origin": place(change.origin.as_ref()),
        })
    });
    json!({
        "stack": stack.name,
        "host": stack.host,
        "verdict": verdict(stack.verdict),
        "counts": {
            "create": counts.create,
            "change": counts.change,
            "replace": counts.replace,
            "remove": counts.remove,
        },
        "dangers": dangers.collect::<Vec<_>>(),
        "changes": changes.collect::<Vec<_>>(),
        "files": stack.files.iter().map(|file| {
            json!({"path": file.path, "diff": file.diff})
        }).collect::<Vec<_>>(),
        "steps": stack.plan_text,
        "notes": stack.warnings,
        "waits": stack.waits,
        "held": stack.held,
        "problems": stack.problems.iter().map(|problem| &problem.text).collect::<Vec<_>>(),
    })
}

fn place(origin: Option<&Location>) -> Option<String> {
    origin.map(|at| format!("{}:{}", at.file, at.line))
}

fn word(mark: Mark) -> &'static str {
    match mark {
        Mark::Remove => "remove",
        Mark::Replace => "replace",
        Mark::Change => "change",
        Mark::Create => "create",
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Refused => "refused",
        Verdict::Impossible => "impossible",
        Verdict::Unseen => "unseen",
        Verdict::Changes => "changes",
        Verdict::Held => "held",
        Verdict::Unchanged => "unchanged",
    }
}
