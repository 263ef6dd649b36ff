//! Azure's words and limits.

use super::super::{Limits, Right};
use crate::model::CommitState;

/// Comments have at most 150 000 characters.
pub(super) const LIMITS: Limits = Limits {
    comment: 148_976,
    folds: true,
    pending_again: true,
    tells_error: true,
    comments_on_commits: false,
    hourly: None,
};

/// What a token needs.
pub(super) fn needs(right: Right) -> &'static str {
    match right {
        Right::Read => "scope `Code (read)`",
        Right::Statuses => "scope `Code (status)`",
        Right::Comments => "scope `Pull Request Threads (read and write)`",
    }
}

/// Its own word for too much use of what all its users share.
pub(super) fn asks_to_wait(code: u16, body: &str) -> bool {
    matches!(code, 403 | 429 | 503) && body.contains("tf400733")
}

/// A state in its words.
pub(super) fn word(state: CommitState) -> &'static str {
    match state {
        CommitState::Success => "succeeded",
        CommitState::Pending => "pending",
        CommitState::Failure => "failed",
        CommitState::Error => "error",
    }
}

/// A state in ours.
pub(super) fn state(word: &str) -> CommitState {
    match word {
        "succeeded" | "notApplicable" => CommitState::Success,
        "failed" => CommitState::Failure,
        "error" => CommitState::Error,
        _ => CommitState::Pending,
    }
}

/// A context as genre and name: what stands before its first slash, and the rest. Policies of branches ask for both.
pub(super) fn parted(context: &str) -> (&str, &str) {
    context.split_once('/').unwrap_or(("", context))
}

/// Genre and name as one context.
pub(super) fn joined(genre: Option<&str>, name: &str) -> String {
    match genre.filter(|genre| !genre.is_empty()) {
        Some(genre) => format!("{genre}/{name}"),
        None => name.to_owned(),
    }
}
