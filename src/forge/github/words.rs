//! GitHub's words and limits, and its pages for people.

use super::super::rules::{escaped, without_suffix};
use super::super::{Limits, Right};
use crate::model::Revision;

/// Comments have at most 65 536 characters; 1024 are left for how it counts. It asks for at most 500 requests an hour (and 80
/// a minute) that make content; some are left for whoever else uses the token.
pub(super) const LIMITS: Limits = Limits {
    comment: 64_512,
    folds: true,
    pending_again: true,
    tells_error: true,
    comments_on_commits: true,
    hourly: Some(480),
};

/// What a token needs.
pub(super) fn needs(right: Right) -> &'static str {
    match right {
        Right::Read => "`contents: read` and `pull_requests: read`",
        Right::Statuses => "`statuses: write` (classic: `repo:status`)",
        Right::Comments => "`pull_requests: write` and `issues: write` (classic: `repo`)",
    }
}

/// GitHub's words for comments that follow each other too quickly, and for an old form of its secondary limit.
pub(crate) fn asks_to_wait(code: u16, body: &str) -> bool {
    (code == 422 && body.contains("submitted too quickly"))
        || (code == 403 && body.contains("abuse detection"))
}

/// `github.com`, or the Enterprise Server's address.
pub(super) fn web(api: &str) -> String {
    without_suffix(&api.replace("://api.github.com", "://github.com"), "/api/v3")
}

/// A file's line.
pub(super) fn file_link(
    (web, project): (&str, &str),
    at: &Revision,
    path: &str,
    line: usize,
) -> String {
    format!("{web}/{project}/blob/{at}/{}#L{line}", escaped(path))
}

/// A pull request's page.
pub(super) fn pull_link((web, project): (&str, &str), number: u64) -> String {
    format!("{web}/{project}/pull/{number}")
}
