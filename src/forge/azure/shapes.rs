//! What Azure tells, in its shapes and then in our words.

use serde::Deserialize;

use super::super::found::{FoundComment, FoundStatus};
use super::super::rules::escaped;
use super::super::{Fate, FetchHead, ForkPath, Head, PullRequest};
use super::words::{joined, state};

#[derive(Deserialize)]
pub(super) struct StatusTold {
    id: u64,
    #[serde(default)]
    state: String,
    description: Option<String>,
    #[serde(rename = "targetUrl")]
    target_url: Option<String>,
    context: Option<ContextTold>,
}

#[derive(Deserialize)]
struct ContextTold {
    genre: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct ThreadTold {
    pub(super) id: u64,
    #[serde(default)]
    comments: Vec<CommentTold>,
    #[serde(default, rename = "isDeleted")]
    is_deleted: bool,
}

#[derive(Deserialize)]
struct CommentTold {
    content: Option<String>,
    author: Option<AccountTold>,
    #[serde(default, rename = "isDeleted")]
    is_deleted: bool,
    #[serde(rename = "commentType")]
    kind: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct AccountTold {
    id: Option<String>,
    #[serde(rename = "displayName")]
    display_name: Option<String>,
    #[serde(rename = "uniqueName")]
    unique_name: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct ConnectionTold {
    #[serde(rename = "authenticatedUser")]
    user: Option<AccountTold>,
}

#[derive(Deserialize)]
pub(super) struct PullTold {
    #[serde(rename = "pullRequestId")]
    number: u64,
    #[serde(default)]
    status: String,
    title: Option<String>,
    #[serde(rename = "createdBy")]
    author: Option<AccountTold>,
    #[serde(rename = "sourceRefName")]
    source: String,
    #[serde(rename = "targetRefName")]
    target: String,
    #[serde(default, rename = "isDraft")]
    draft: bool,
    #[serde(rename = "lastMergeSourceCommit")]
    head: Option<CommitTold>,
    #[serde(rename = "lastMergeCommit")]
    merged: Option<CommitTold>,
    #[serde(rename = "forkSource")]
    fork: Option<ForkTold>,
}

#[derive(Deserialize)]
struct CommitTold {
    #[serde(rename = "commitId")]
    id: String,
}

#[derive(Deserialize)]
struct ForkTold {
    repository: Option<RepositoryTold>,
}

#[derive(Deserialize)]
struct RepositoryTold {
    name: Option<String>,
    project: Option<ProjectTold>,
}

#[derive(Deserialize)]
struct ProjectTold {
    name: Option<String>,
}

impl StatusTold {
    /// In our words.
    pub(super) fn found(self) -> Option<FoundStatus> {
        let context = self.context?;
        Some(FoundStatus {
            order: self.id,
            context: joined(context.genre.as_deref(), &context.name?),
            state: state(&self.state),
            description: self.description,
            link: self.target_url,
        })
    }
}

impl ThreadTold {
    /// The thread's first comment, with the thread's id: later ones are answers of people.
    pub(super) fn found(self) -> Option<FoundComment> {
        let first = self.comments.into_iter().next()?;
        let is_system = first.kind.as_deref() == Some("system");
        (!self.is_deleted && !first.is_deleted && !is_system).then(|| FoundComment {
            id: self.id,
            author: first.author.and_then(|author| author.id),
            body: first.content.unwrap_or_default(),
        })
    }
}

impl ConnectionTold {
    /// The account's id, as comments name their author.
    pub(super) fn account(self) -> Option<String> {
        self.user.and_then(|user| user.id)
    }
}

impl PullTold {
    /// In our words. One whose branch cannot be merged into has no head yet.
    pub(super) fn found(self, organisation: &str) -> Option<PullRequest> {
        let branch = |name: &str| name.strip_prefix("refs/heads/").unwrap_or(name).to_owned();
        let author = self.author.and_then(|author| author.unique_name.or(author.display_name));
        let head = Head::parse(&self.head?.id);
        let (source, fork) = (branch(&self.source), self.fork.is_some());
        let path = self.fork.and_then(|fork| fork.path(organisation));
        Some(PullRequest {
            number: self.number,
            title: self.title.unwrap_or_default(),
            author: author.unwrap_or_default(),
            head,
            head_branch: source.clone(),
            base_branch: branch(&self.target),
            fork,
            draft: self.draft,
            // It offers no reference to a pull request's head, only to its own merge.
            fetch: FetchHead::Branch { fork: path, branch: source },
        })
    }

    /// What became of it.
    pub(super) fn fate(self) -> Fate {
        match self.status.as_str() {
            "active" => Fate::Open,
            "completed" => Fate::merged(self.merged.map(|commit| commit.id)),
            _ => Fate::Closed,
        }
    }
}

impl ForkTold {
    fn path(self, organisation: &str) -> Option<ForkPath> {
        let repository = self.repository?;
        let (name, project) = (repository.name?, repository.project?.name?);
        Some(ForkPath {
            web: escaped(&format!("{organisation}/{project}/_git/{name}")),
            ssh: escaped(&format!("v3/{organisation}/{project}/{name}")),
        })
    }
}
