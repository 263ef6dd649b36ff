//! Gitea and Forgejo, API v1. They differ in nothing that is used here.

use std::sync::Arc;

use http::Method;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::OnceCell;

use super::super::wire::{Ask, Wire, cut};
use super::super::{
    Abilities, Ability, FetchHead, ForgeError, Head, Kind, Place, Published, PullRequest, Right,
    StatusTarget,
};
use super::{Account, DESCRIPTION, FoundComment, FoundStatus, context, newest};
use crate::model::{CommitState, CommitStatus, Revision};

/// The servers' own largest page (`[api] MAX_RESPONSE_ITEMS`).
const PAGE: u32 = 50;

/// One repository on Gitea or Forgejo.
#[derive(Debug, Clone)]
pub struct Gitea {
    pub(in crate::forge) wire: Arc<Wire>,
    kind: Kind,
    owner: String,
    name: String,
    account: Arc<OnceCell<Option<String>>>,
}

#[derive(Deserialize)]
struct StatusTold {
    id: u64,
    context: String,
    // `state` in requests, `status` in answers.
    status: String,
    description: Option<String>,
    target_url: Option<String>,
}

#[derive(Deserialize)]
struct CommentTold {
    id: u64,
    body: Option<String>,
    user: Option<Account>,
}

#[derive(Deserialize)]
struct RepositoryTold {
    permissions: Option<PermissionsTold>,
}

#[derive(Deserialize)]
struct PermissionsTold {
    push: Option<bool>,
}

#[derive(Deserialize)]
struct NamedRepository {
    full_name: String,
}

#[derive(Deserialize)]
struct Side {
    #[serde(rename = "ref")]
    branch: String,
    sha: String,
    repo: Option<NamedRepository>,
}

#[derive(Deserialize)]
struct PullTold {
    number: u64,
    title: Option<String>,
    user: Option<Account>,
    head: Side,
    base: Side,
    draft: Option<bool>,
}

impl Gitea {
    /// A client of `owner/name`.
    pub(in crate::forge) fn new(wire: Wire, kind: Kind, project: &str) -> Self {
        let (owner, name) = project.split_once('/').unwrap_or((project, ""));
        Self {
            wire: Arc::new(wire),
            kind,
            owner: owner.to_owned(),
            name: name.to_owned(),
            account: Arc::default(),
        }
    }

    /// Which of the two it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    fn path<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        ["repos", &self.owner, &self.name].into_iter().chain(rest.iter().copied()).collect()
    }

    /// Writes a status. Both servers answer 500 for a commit that they do not have; the list of its statuses then
    /// tells it apart from a server's own problem.
    pub(in crate::forge) async fn publish(
        &self,
        target: &StatusTarget,
        status: &CommitStatus,
    ) -> Result<Published, ForgeError> {
        let mut body = json!({
            "state": status.state.to_string(),
            "context": context(&status.context),
            "description": cut(&status.description, DESCRIPTION),
        });
        if let (Some(link), Some(fields)) = (&status.link, body.as_object_mut()) {
            fields.insert("target_url".to_owned(), json!(link));
        }
        let path = self.path(&["statuses", target.revision.as_str()]);
        let ask =
            Ask::new(Method::POST, path, Right::Statuses, "such repository or commit").body(body);
        match self.wire.ask(&ask).await {
            Err(ForgeError::Server { code: 500, host, wait }) => {
                match self.read_statuses(&target.revision).await {
                    Err(ForgeError::NotFound { .. } | ForgeError::Rejected { .. }) => {
                        Err(ForgeError::NotFound {
                            host,
                            what: format!("commit {}", target.revision.short()),
                        })
                    }
                    _ => Err(ForgeError::Server { code: 500, host, wait }),
                }
            }
            answer => answer.map(|_| Published::Created),
        }
    }

    /// The newest status of each context: the one with the greatest id, because times are whole seconds.
    pub(in crate::forge) async fn read_statuses(
        &self,
        revision: &Revision,
    ) -> Result<Vec<CommitStatus>, ForgeError> {
        let path = self.path(&["commits", revision.as_str(), "statuses"]);
        let ask = Ask::get(path, "such commit").query("limit", PAGE).right(Right::Statuses);
        let told: Vec<StatusTold> = self.wire.all(&ask, "commit statuses").await?;
        Ok(newest(told.into_iter().map(|status| FoundStatus {
            order: status.id,
            context: status.context,
            state: state(&status.status),
            description: status.description,
            link: status.target_url,
        })))
    }

    /// All open pull requests.
    pub(in crate::forge) async fn open_pull_requests(
        &self,
    ) -> Result<Vec<PullRequest>, ForgeError> {
        let ask = Ask::get(self.path(&["pulls"]), "such repository")
            .query("state", "open")
            .query("sort", "recentupdate")
            .query("limit", PAGE);
        let told: Vec<PullTold> = self.wire.all(&ask, "pull requests").await?;
        Ok(told.into_iter().map(pull_request).collect())
    }

    /// All comments at a place; this list has no pages.
    pub(in crate::forge) async fn comments(
        &self,
        place: &Place,
    ) -> Result<Vec<FoundComment>, ForgeError> {
        let number = self.number(place)?;
        let ask = Ask::get(self.path(&["issues", &number, "comments"]), &place.to_string())
            .right(Right::Comments);
        let told: Vec<CommentTold> = self.wire.all(&ask, "comments").await?;
        Ok(told.into_iter().map(comment).collect())
    }

    /// Writes a comment, or changes the one with this id.
    pub(in crate::forge) async fn write_comment(
        &self,
        place: &Place,
        id: Option<u64>,
        body: &str,
    ) -> Result<u64, ForgeError> {
        let number = self.number(place)?;
        let ask = match id.map(|id| id.to_string()) {
            Some(id) => Ask::new(
                Method::PATCH,
                self.path(&["issues", "comments", &id]),
                Right::Comments,
                "such comment",
            ),
            None => Ask::new(
                Method::POST,
                self.path(&["issues", &number, "comments"]),
                Right::Comments,
                &place.to_string(),
            ),
        };
        let answer = self.wire.ask(&ask.body(json!({ "body": body }))).await?;
        match (answer.code, id) {
            (204, Some(id)) => Ok(id),
            _ => answer.read::<CommentTold>("a comment").map(|told| told.id),
        }
    }

    fn number(&self, place: &Place) -> Result<String, ForgeError> {
        match place {
            Place::PullRequest(number) | Place::Issue(number) => Ok(number.to_string()),
            Place::Commit(_) => {
                let what = "comments on commits".to_owned();
                Err(ForgeError::NotFound { host: self.wire.host(), what })
            }
        }
    }

    /// The account that comments are written by; asked once. A token without `read:user` does not tell.
    pub(in crate::forge) async fn account(&self) -> Result<Option<String>, ForgeError> {
        let asked = self.account.get_or_try_init(|| async {
            match self.wire.ask(&Ask::get(["user"], "account")).await {
                Ok(answer) => Ok(answer.read::<Account>("an account")?.name()),
                Err(ForgeError::Denied { .. } | ForgeError::NotFound { .. }) => Ok(None),
                Err(other) => Err(other),
            }
        });
        asked.await.cloned()
    }

    /// What the token can do.
    pub(in crate::forge) async fn abilities(&self) -> Result<Abilities, ForgeError> {
        let account = if self.wire.is_anonymous() { None } else { self.account().await? };
        let answer = self.wire.ask(&Ask::get(self.path(&[]), "such repository")).await?;
        let told: RepositoryTold = answer.read("a repository")?;
        let push = told.permissions.and_then(|permissions| permissions.push);
        let of = |right: Right| {
            let needs = self.wire.needs(right);
            match push {
                _ if self.wire.is_anonymous() => Ability::No("a token".to_owned()),
                Some(false) if right == Right::Statuses => Ability::No(needs),
                _ => Ability::Unknown(needs),
            }
        };
        Ok(Abilities {
            forge: self.kind.word().to_owned(),
            account,
            read: Ability::Yes,
            statuses: of(Right::Statuses),
            comments: of(Right::Comments),
        })
    }
}

fn state(word: &str) -> CommitState {
    match word {
        "success" | "skipped" => CommitState::Success,
        "pending" => CommitState::Pending,
        "error" => CommitState::Error,
        _ => CommitState::Failure,
    }
}

fn comment(told: CommentTold) -> FoundComment {
    FoundComment {
        id: told.id,
        author: told.user.and_then(Account::name),
        body: told.body.unwrap_or_default(),
    }
}

fn pull_request(told: PullTold) -> PullRequest {
    let base = told.base.repo.as_ref().map(|repository| &repository.full_name);
    let fork = told.head.repo.as_ref().map(|repository| &repository.full_name) != base;
    PullRequest {
        number: told.number,
        title: told.title.unwrap_or_default(),
        author: told.user.and_then(Account::name).unwrap_or_default(),
        head: Head::parse(&told.head.sha),
        head_branch: told.head.branch,
        base_branch: told.base.branch,
        fork,
        draft: told.draft.unwrap_or(false),
        // Neither server makes a merge reference.
        fetch: FetchHead::Refs { head: format!("refs/pull/{}/head", told.number), merge: None },
    }
}
