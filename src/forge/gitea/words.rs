//! Gitea's and Forgejo's words and limits, and their pages for people.

use super::super::rules::{escaped, without_suffix};
use super::super::{Limits, Right};
use crate::model::Revision;

/// Neither limits comments; half a million characters is enough.
pub(super) const LIMITS: Limits = Limits {
    comment: 500_000,
    folds: true,
    pending_again: true,
    tells_error: true,
    comments_on_commits: false,
    hourly: None,
};

/// What a token needs.
pub(super) fn needs(right: Right) -> &'static str {
    match right {
        Right::Read => "scope `read:repository`",
        Right::Statuses => "scope `write:repository` and write access to the repository",
        Right::Comments => "scope `write:issue`",
    }
}

/// The server's own address.
pub(super) fn web(api: &str) -> String {
    without_suffix(api, "/api/v1")
}

/// A file's line.
pub(super) fn file_link(
    (web, project): (&str, &str),
    at: &Revision,
    path: &str,
    line: usize,
) -> String {
    format!("{web}/{project}/src/commit/{at}/{}#L{line}", escaped(path))
}

/// A pull request's page.
pub(super) fn pull_link((web, project): (&str, &str), number: u64) -> String {
    format!("{web}/{project}/pulls/{number}")
}
