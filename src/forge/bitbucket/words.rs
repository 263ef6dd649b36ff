//! Bitbucket's words and limits, and its pages for people.

use super::super::rules::{escaped, without_suffix};
use super::super::{Limits, Right};
use crate::model::{CommitState, Revision};

/// Comments have at most 32 768 characters, and show HTML as it is written: nothing folds.
pub(super) const LIMITS: Limits = Limits {
    comment: 31_744,
    folds: false,
    pending_again: true,
    tells_error: false,
    comments_on_commits: true,
    hourly: Some(900),
};

/// What a token needs.
pub(super) fn needs(right: Right) -> &'static str {
    match right {
        Right::Comments => "scope `pullrequest`",
        Right::Read | Right::Statuses => "scope `repository`",
    }
}

/// A state in its words.
pub(super) fn word(state: CommitState) -> &'static str {
    match state {
        CommitState::Success => "SUCCESSFUL",
        CommitState::Pending => "INPROGRESS",
        CommitState::Failure | CommitState::Error => "FAILED",
    }
}

/// A state in ours.
pub(super) fn state(word: &str) -> CommitState {
    match word {
        "SUCCESSFUL" => CommitState::Success,
        "INPROGRESS" => CommitState::Pending,
        _ => CommitState::Failure,
    }
}

/// `bitbucket.org`.
pub(super) fn web(api: &str) -> String {
    without_suffix(&api.replace("://api.bitbucket.org", "://bitbucket.org"), "/2.0")
}

/// A file's line.
pub(super) fn file_link(
    (web, project): (&str, &str),
    at: &Revision,
    path: &str,
    line: usize,
) -> String {
    format!("{web}/{project}/src/{at}/{}#lines-{line}", escaped(path))
}

/// A pull request's page.
pub(super) fn pull_link((web, project): (&str, &str), number: u64) -> String {
    format!("{web}/{project}/pull-requests/{number}")
}
