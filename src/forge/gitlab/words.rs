//! GitLab's words and limits, and its pages for people.

use super::super::rules::{escaped, without_suffix};
use super::super::{Limits, Right};
use crate::model::{CommitState, Revision};

/// Notes have at most a million characters; half of them is enough. A running status cannot become running again.
pub(super) const LIMITS: Limits = Limits {
    comment: 500_000,
    folds: true,
    pending_again: false,
    tells_error: false,
    comments_on_commits: true,
    hourly: None,
};

/// What a token needs.
pub(super) fn needs(right: Right) -> &'static str {
    match right {
        Right::Read => "scope `read_api` and the role Reporter",
        Right::Statuses | Right::Comments => {
            "scope `api` and the role Developer (Maintainer for protected branches)"
        }
    }
}

/// `pending` is never said: GitLab refuses to go from pending to pending, and shows `running` more clearly.
pub(super) fn word(state: CommitState) -> &'static str {
    match state {
        CommitState::Success => "success",
        CommitState::Pending => "running",
        CommitState::Failure | CommitState::Error => "failed",
    }
}

/// A state as GitLab would tell it back.
pub(super) fn folded(told: CommitState) -> CommitState {
    state(word(told))
}

/// A state in our words.
pub(super) fn state(word: &str) -> CommitState {
    match word {
        "success" | "skipped" => CommitState::Success,
        "failed" | "canceled" => CommitState::Failure,
        _ => CommitState::Pending,
    }
}

/// GitLab's own address.
pub(super) fn web(api: &str) -> String {
    without_suffix(api, "/api/v4")
}

/// A file's line.
pub(super) fn file_link(
    (web, project): (&str, &str),
    at: &Revision,
    path: &str,
    line: usize,
) -> String {
    format!("{web}/{project}/-/blob/{at}/{}#L{line}", escaped(path))
}

/// A merge request's page.
pub(super) fn pull_link((web, project): (&str, &str), number: u64) -> String {
    format!("{web}/{project}/-/merge_requests/{number}")
}
