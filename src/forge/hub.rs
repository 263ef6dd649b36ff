//! What GitHub's API and those made after it have in common: the shapes of statuses, comments and pull requests.

use serde::Deserialize;
use serde_json::{Value, json};

use super::found::{Account, DESCRIPTION, FoundComment, FoundStatus, context};
use super::http::cut;
use super::project::Project;
use super::{Fate, FetchHead, ForgeError, Head, PullRequest};
use crate::model::{CommitState, CommitStatus};

#[derive(Deserialize)]
pub(super) struct StatusTold {
    id: u64,
    context: String,
    // GitHub says `state`; Gitea and Forgejo say `status` in answers.
    state: Option<String>,
    status: Option<String>,
    description: Option<String>,
    target_url: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct CommentTold {
    id: u64,
    body: Option<String>,
    user: Option<Account>,
}

#[derive(Deserialize)]
pub(super) struct RepositoryTold {
    permissions: Option<PermissionsTold>,
}

#[derive(Deserialize)]
struct PermissionsTold {
    push: Option<bool>,
}

#[derive(Deserialize)]
pub(super) struct PullTold {
    number: u64,
    title: Option<String>,
    user: Option<Account>,
    head: Side,
    base: Side,
    draft: Option<bool>,
}

#[derive(Deserialize)]
struct FateTold {
    state: String,
    merged: Option<bool>,
    merge_commit_sha: Option<String>,
}

#[derive(Deserialize)]
struct Side {
    #[serde(rename = "ref")]
    branch: String,
    sha: String,
    repo: Option<NamedRepository>,
}

#[derive(Deserialize)]
struct NamedRepository {
    full_name: String,
}

impl RepositoryTold {
    /// Whether the account may push, if that is told.
    pub(super) fn may_push(self) -> Option<bool> {
        self.permissions.and_then(|permissions| permissions.push)
    }
}

impl StatusTold {
    /// In our words. The greatest id is the newest: times are whole seconds.
    pub(super) fn found(self) -> Option<FoundStatus> {
        let word = self.status.or(self.state)?;
        Some(FoundStatus {
            order: self.id,
            context: self.context,
            state: state(&word),
            description: self.description,
            link: self.target_url,
        })
    }
}

impl CommentTold {
    /// In our words.
    pub(super) fn found(self) -> FoundComment {
        FoundComment {
            id: self.id,
            author: self.user.and_then(Account::name),
            body: self.body.unwrap_or_default(),
        }
    }
}

impl PullTold {
    /// In our words; the forge may make a merge reference.
    pub(super) fn found(self, makes_merges: bool) -> PullRequest {
        let base = self.base.repo.as_ref().map(|repository| &repository.full_name);
        let fork = self.head.repo.as_ref().map(|repository| &repository.full_name) != base;
        let reference = |name: &str| format!("refs/pull/{}/{name}", self.number);
        let merge = makes_merges.then(|| reference("merge"));
        PullRequest {
            number: self.number,
            fetch: FetchHead::Refs { head: reference("head"), merge },
            title: self.title.unwrap_or_default(),
            author: self.user.and_then(Account::name).unwrap_or_default(),
            head: Head::parse(&self.head.sha),
            head_branch: self.head.branch,
            base_branch: self.base.branch,
            fork,
            draft: self.draft.unwrap_or(false),
        }
    }
}

/// What became of a pull request.
pub(super) async fn fate(project: &Project, number: u64) -> Result<Fate, ForgeError> {
    let what = format!("pull request {number}");
    let answer = project.http.ask(&project.get(&["pulls", &number.to_string()], &what)).await?;
    let told: FateTold = answer.read("a pull request")?;
    Ok(match (told.state.as_str(), told.merged) {
        ("open", _) => Fate::Open,
        (_, Some(true)) => Fate::merged(told.merge_commit_sha),
        _ => Fate::Closed,
    })
}

/// A status as it is posted.
pub(super) fn status_body(status: &CommitStatus) -> Value {
    let mut body = json!({
        "state": status.state.to_string(),
        "context": context(&status.context),
        "description": cut(&status.description, DESCRIPTION),
    });
    if let (Some(link), Some(fields)) = (&status.link, body.as_object_mut()) {
        fields.insert("target_url".to_owned(), json!(link));
    }
    body
}

fn state(word: &str) -> CommitState {
    match word {
        "success" | "skipped" => CommitState::Success,
        "pending" => CommitState::Pending,
        "error" => CommitState::Error,
        _ => CommitState::Failure,
    }
}
