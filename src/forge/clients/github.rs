//! GitHub and GitHub Enterprise Server, REST API of 2022-11-28.

use std::sync::Arc;

use http::Method;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::OnceCell;

use super::super::wire::{Ask, Wire, cut};
use super::super::{
    Abilities, Ability, FetchHead, ForgeError, Head, Place, Published, PullRequest, Right,
    StatusTarget,
};
use super::{Account, DESCRIPTION, FoundComment, FoundStatus, context, newest};
use crate::model::{CommitState, CommitStatus, Revision};

/// One repository on GitHub.
#[derive(Debug, Clone)]
pub struct GitHub {
    pub(in crate::forge) wire: Arc<Wire>,
    owner: String,
    name: String,
    account: Arc<OnceCell<Option<String>>>,
}

#[derive(Deserialize)]
struct StatusTold {
    id: u64,
    context: String,
    state: String,
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

impl GitHub {
    /// A client of `owner/name`.
    pub(in crate::forge) fn new(wire: Wire, project: &str) -> Self {
        let (owner, name) = project.split_once('/').unwrap_or((project, ""));
        Self {
            wire: Arc::new(wire),
            owner: owner.to_owned(),
            name: name.to_owned(),
            account: Arc::default(),
        }
    }

    fn path<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        ["repos", &self.owner, &self.name].into_iter().chain(rest.iter().copied()).collect()
    }

    /// Writes a status.
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
        let revision = target.revision.as_str();
        let path = self.path(&["statuses", revision]);
        let ask = Ask::new(
            Method::POST,
            path,
            Right::Statuses,
            "such commit that the token may write to",
        );
        match self.wire.ask(&ask.body(body)).await {
            Err(ForgeError::Rejected { message, host, code: 422 })
                if message.contains("No commit found") =>
            {
                Err(ForgeError::NotFound {
                    host,
                    what: format!("commit {}", target.revision.short()),
                })
            }
            Err(ForgeError::Rejected { message, host, code: 422 })
                if message.contains("maximum number of statuses") =>
            {
                Err(ForgeError::Full { host, context: status.context.clone() })
            }
            answer => answer.map(|_| Published::Created),
        }
    }

    /// The newest status of each context.
    pub(in crate::forge) async fn read_statuses(
        &self,
        revision: &Revision,
    ) -> Result<Vec<CommitStatus>, ForgeError> {
        let path = self.path(&["commits", revision.as_str(), "statuses"]);
        let ask = Ask::get(path, "such commit").query("per_page", 100).right(Right::Statuses);
        let told: Vec<StatusTold> = self.wire.all(&ask, "commit statuses").await?;
        Ok(newest(told.into_iter().map(|status| FoundStatus {
            order: status.id,
            context: status.context,
            state: state(&status.state),
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
            .query("sort", "updated")
            .query("direction", "desc")
            .query("per_page", 100);
        let told: Vec<PullTold> = self.wire.all(&ask, "pull requests").await?;
        Ok(told.into_iter().map(pull_request).collect())
    }

    /// All comments at a place.
    pub(in crate::forge) async fn comments(
        &self,
        place: &Place,
    ) -> Result<Vec<FoundComment>, ForgeError> {
        let (folder, name, _) = place_path(place);
        let ask = Ask::get(self.path(&[folder, &name, "comments"]), &place.to_string())
            .query("per_page", 100)
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
        let (folder, name, single) = place_path(place);
        let ask = match id.map(|id| id.to_string()) {
            Some(id) => {
                let path: Vec<&str> = single.iter().copied().chain([id.as_str()]).collect();
                Ask::new(Method::PATCH, self.path(&path), Right::Comments, "such comment")
            }
            None => Ask::new(
                Method::POST,
                self.path(&[folder, &name, "comments"]),
                Right::Comments,
                &place.to_string(),
            ),
        };
        let answer = self.wire.ask(&ask.body(json!({ "body": body }))).await?;
        answer.read::<CommentTold>("a comment").map(|told| told.id)
    }

    /// The account that comments are written by; asked once.
    pub(in crate::forge) async fn account(&self) -> Result<Option<String>, ForgeError> {
        let asked = self.account.get_or_try_init(|| async {
            if self.wire.is_app() {
                return self.wire.app_account().await;
            }
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
        let scopes = answer.header("x-oauth-scopes").filter(|scopes| !scopes.is_empty());
        let scopes: Option<Vec<&str>> =
            scopes.map(|scopes| scopes.split(',').map(str::trim).collect());
        let of = |right: Right, good: &[&str]| match (&scopes, push) {
            _ if self.wire.is_anonymous() => Ability::No("a token".to_owned()),
            (_, Some(false)) if right == Right::Statuses => {
                Ability::No(format!("{} and write access", self.wire.needs(right)))
            }
            (Some(scopes), _) if scopes.iter().any(|scope| good.contains(scope)) => Ability::Yes,
            (Some(_), _) => Ability::No(self.wire.needs(right)),
            (None, _) => Ability::Unknown(self.wire.needs(right)),
        };
        Ok(Abilities {
            forge: "github".to_owned(),
            account,
            read: Ability::Yes,
            statuses: of(Right::Statuses, &["repo", "repo:status"]),
            comments: of(Right::Comments, &["repo", "public_repo"]),
        })
    }
}

/// The folder and the name of a place, and where one of its comments is.
fn place_path(place: &Place) -> (&'static str, String, &'static [&'static str]) {
    match place {
        Place::PullRequest(number) | Place::Issue(number) => {
            ("issues", number.to_string(), &["issues", "comments"])
        }
        Place::Commit(revision) => ("commits", revision.to_string(), &["comments"]),
    }
}

fn state(word: &str) -> CommitState {
    match word {
        "success" => CommitState::Success,
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
        fetch: FetchHead::Refs {
            head: format!("refs/pull/{}/head", told.number),
            merge: Some(format!("refs/pull/{}/merge", told.number)),
        },
    }
}
