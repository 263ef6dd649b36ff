//! What is said to a forge and what it tells, in words that all of them share.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::Revision;

/// The commit that a status is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StatusTarget {
    /// The commit.
    pub revision: Revision,
    /// The branch that it was read from; GitLab needs it where the commit has no pipeline.
    pub branch: Option<String>,
    /// The pull request whose head it is, where the status is about that. Forges that keep statuses of pull requests
    /// beside those of commits (Azure DevOps) show it there too.
    #[serde(default)]
    pub pull_request: Option<u64>,
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// Something new was written.
    Created,
    /// Something of ours was changed.
    Updated,
    /// It already was as asked; nothing was written.
    Unchanged,
}

/// What became of a comment, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommentReceipt {
    /// What was done.
    pub published: Published,
    /// The comment's id on the forge, if there is a comment.
    pub id: Option<u64>,
}

/// Where a comment hangs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Place {
    /// A pull request (merge request) by its number.
    PullRequest(u64),
    /// An issue by its number.
    Issue(u64),
    /// A commit.
    Commit(Revision),
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PullRequest(number) => write!(out, "pull request {number}"),
            Self::Issue(number) => write!(out, "issue {number}"),
            Self::Commit(revision) => write!(out, "commit {}", revision.short()),
        }
    }
}

/// The hidden text by which a comment of ours is found again: `<!-- moorline:NAME -->`, its first line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Marker(String);

impl Marker {
    /// A marker for one purpose of one daemon, such as `plan` or `drift edge-1`.
    pub fn new(purpose: &str) -> Self {
        let kept = |c: &char| c.is_ascii_alphanumeric() || " ._/@-".contains(*c);
        let word: String = purpose.chars().filter(kept).collect();
        // Two dashes would end the HTML comment in some renderers.
        Self(format!("<!-- moorline:{} -->", word.replace("--", "-")))
    }

    /// The marker as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a comment begins with it.
    pub fn begins(&self, body: &str) -> bool {
        body.trim_start().starts_with(&self.0)
    }
}

/// Whether a comment may be made, or only changed where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CommentMode {
    /// Made when it is missing.
    Upsert,
    /// Left missing: used to withdraw what may never have been said.
    OnlyUpdate,
}

/// A pull request's head commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// In full.
    Full(Revision),
    /// Its first digits; Git knows the rest (Bitbucket).
    Short(String),
}

impl Head {
    /// From what the forge tells.
    pub(super) fn parse(text: &str) -> Self {
        Revision::parse(text).map_or_else(|_| Self::Short(text.to_owned()), Self::Full)
    }
}

/// What became of a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is open.
    Open,
    /// It was merged; as this commit, where the forge tells (possibly its first digits only).
    Merged(Option<Head>),
    /// It was closed without being merged, or is gone.
    Closed,
}

impl Fate {
    /// Merged, as what the forge tells.
    pub(super) fn merged(commit: Option<String>) -> Self {
        Self::Merged(commit.filter(|text| !text.is_empty()).map(|text| Head::parse(&text)))
    }
}

/// What to fetch to see a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchHead {
    /// References of the repository itself: the head, and the merge result where the forge makes one.
    Refs {
        /// Such as `refs/pull/7/head`.
        head: String,
        /// Such as `refs/pull/7/merge`; may lag behind the head or be missing.
        merge: Option<String>,
    },
    /// A branch, possibly of another repository (Bitbucket has no references for pull requests).
    Branch {
        /// The fork; `None` when it is this repository or is gone.
        fork: Option<ForkPath>,
        /// The branch.
        branch: String,
    },
}

/// Where a fork is on the same server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForkPath {
    /// The path of its address over https.
    pub web: String,
    /// The path of its address over ssh.
    pub ssh: String,
}

/// An open pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number (`iid` on GitLab).
    pub number: u64,
    /// Its title.
    pub title: String,
    /// The account that opened it.
    pub author: String,
    /// The head commit.
    pub head: Head,
    /// The head's branch.
    pub head_branch: String,
    /// The branch that it wants to be merged into.
    pub base_branch: String,
    /// Whether the head is in another repository (also when that repository is gone).
    pub fork: bool,
    /// Whether it says that it is not ready.
    pub draft: bool,
    /// What to fetch.
    pub fetch: FetchHead,
}

/// What a token may be good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Right {
    /// Seeing the repository and its pull requests.
    Read,
    /// Writing commit statuses.
    Statuses,
    /// Writing comments.
    Comments,
}

impl fmt::Display for Right {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Read => "reading the repository",
            Self::Statuses => "writing commit statuses",
            Self::Comments => "writing comments",
        })
    }
}

/// Whether a token has a right, as far as one can tell without using it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ability {
    /// It has.
    Yes,
    /// It lacks what is named.
    No(String),
    /// Only trying would tell; what it would need is named.
    Unknown(String),
}

/// What a token can do on one repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Abilities {
    /// The kind of forge.
    pub forge: String,
    /// The account, if the token is one's.
    pub account: Option<String>,
    /// Seeing the repository and its pull requests.
    pub read: Ability,
    /// Writing commit statuses.
    pub statuses: Ability,
    /// Writing comments.
    pub comments: Ability,
}

/// What a forge's texts may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Characters of a comment, with room to spare for how the forge counts.
    pub comment: usize,
    /// Whether `<details>` folds.
    pub folds: bool,
    /// Whether a pending status may be followed by another pending one.
    pub pending_again: bool,
    /// Whether the forge tells `error` from `failure`.
    pub tells_error: bool,
    /// Whether commits have comments.
    pub comments_on_commits: bool,
    /// Writes within one hour, at most; `None` where the forge names no such limit. What is more waits.
    pub hourly: Option<usize>,
}
