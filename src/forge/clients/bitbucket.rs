//! Bitbucket Cloud, API 2.0.

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
use super::{DESCRIPTION, FoundComment, FoundStatus, newest};
use crate::model::{CommitState, CommitStatus, Revision};

/// Bitbucket's largest page of pull requests.
const PAGE: u32 = 50;

/// One repository on Bitbucket Cloud.
#[derive(Debug, Clone)]
pub struct Bitbucket {
    pub(in crate::forge) wire: Arc<Wire>,
    workspace: String,
    slug: String,
    account: Arc<OnceCell<Option<String>>>,
}

#[derive(Deserialize)]
struct StatusTold {
    key: String,
    state: String,
    name: Option<String>,
    description: Option<String>,
    url: Option<String>,
}

#[derive(Deserialize)]
struct CommentTold {
    id: u64,
    content: Option<ContentTold>,
    user: Option<UserTold>,
    #[serde(default)]
    deleted: bool,
}

#[derive(Deserialize)]
struct ContentTold {
    raw: Option<String>,
}

#[derive(Deserialize)]
struct UserTold {
    uuid: Option<String>,
    nickname: Option<String>,
    display_name: Option<String>,
}

#[derive(Deserialize)]
struct PullTold {
    id: u64,
    title: Option<String>,
    author: Option<UserTold>,
    source: Side,
    destination: Side,
    #[serde(default)]
    draft: bool,
}

#[derive(Deserialize)]
struct Side {
    branch: BranchTold,
    commit: Option<CommitTold>,
    repository: Option<NamedRepository>,
}

#[derive(Deserialize)]
struct BranchTold {
    name: String,
}

#[derive(Deserialize)]
struct CommitTold {
    hash: String,
}

#[derive(Deserialize)]
struct NamedRepository {
    full_name: String,
}

impl Bitbucket {
    /// A client of `workspace/repository`.
    pub(in crate::forge) fn new(wire: Wire, project: &str) -> Self {
        let (workspace, slug) = project.split_once('/').unwrap_or((project, ""));
        Self {
            wire: Arc::new(wire),
            workspace: workspace.to_owned(),
            slug: slug.to_owned(),
            account: Arc::default(),
        }
    }

    fn path<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        ["repositories", &self.workspace, &self.slug]
            .into_iter()
            .chain(rest.iter().copied())
            .collect()
    }

    /// Writes a status; one with the same key is overwritten.
    pub(in crate::forge) async fn publish(
        &self,
        target: &StatusTarget,
        status: &CommitStatus,
    ) -> Result<Published, ForgeError> {
        let revision = target.revision.as_str();
        // Bitbucket insists on a link.
        let commit =
            format!("https://bitbucket.org/{}/{}/commits/{revision}", self.workspace, self.slug);
        let body = json!({
            "key": key(&status.context),
            "name": cut(&status.context, 255),
            "state": word(status.state),
            "description": cut(&status.description, DESCRIPTION),
            "url": status.link.as_ref().unwrap_or(&commit),
        });
        let path = self.path(&["commit", revision, "statuses", "build"]);
        let ask = Ask::new(Method::POST, path, Right::Statuses, "such commit").body(body);
        self.wire.ask(&ask).await.map(|_| Published::Created)
    }

    /// The statuses of ours: those whose key is made from their name.
    pub(in crate::forge) async fn read_statuses(
        &self,
        revision: &Revision,
    ) -> Result<Vec<CommitStatus>, ForgeError> {
        let path = self.path(&["commit", revision.as_str(), "statuses"]);
        let ask = Ask::get(path, "such commit").right(Right::Statuses);
        let told: Vec<StatusTold> = self.wire.all(&ask, "commit statuses").await?;
        let ours = told.into_iter().filter_map(|status| {
            let name = status.name.filter(|name| key(name) == status.key)?;
            Some(FoundStatus {
                order: 0,
                context: name,
                state: state(&status.state),
                description: status.description,
                link: status.url,
            })
        });
        Ok(newest(ours))
    }

    /// All open pull requests.
    pub(in crate::forge) async fn open_pull_requests(
        &self,
    ) -> Result<Vec<PullRequest>, ForgeError> {
        let ask = Ask::get(self.path(&["pullrequests"]), "such repository")
            .query("state", "OPEN")
            .query("pagelen", PAGE);
        let told: Vec<PullTold> = self.wire.all(&ask, "pull requests").await?;
        Ok(told.into_iter().map(pull_request).collect())
    }

    /// All comments of a pull request.
    pub(in crate::forge) async fn comments(
        &self,
        place: &Place,
    ) -> Result<Vec<FoundComment>, ForgeError> {
        let (folder, name, _) = place_path(place)?;
        let ask = Ask::get(self.path(&[folder, &name, "comments"]), &place.to_string())
            .query("pagelen", PAGE)
            .right(Right::Comments);
        let told: Vec<CommentTold> = self.wire.all(&ask, "comments").await?;
        let there = told.into_iter().filter(|comment| !comment.deleted);
        Ok(there
            .map(|comment| FoundComment {
                id: comment.id,
                author: comment.user.and_then(|user| user.uuid),
                body: comment.content.and_then(|content| content.raw).unwrap_or_default(),
            })
            .collect())
    }

    /// Writes a comment, or changes the one with this id.
    pub(in crate::forge) async fn write_comment(
        &self,
        place: &Place,
        id: Option<u64>,
        body: &str,
    ) -> Result<u64, ForgeError> {
        let (folder, name, noun) = place_path(place)?;
        let ask = match id.map(|id| id.to_string()) {
            Some(id) => Ask::new(
                Method::PUT,
                self.path(&[folder, &name, "comments", &id]),
                Right::Comments,
                "such comment",
            ),
            None => Ask::new(
                Method::POST,
                self.path(&[folder, &name, "comments"]),
                Right::Comments,
                &place.to_string(),
            ),
        };
        let body = json!({ "type": noun, "content": { "raw": body } });
        let answer = self.wire.ask(&ask.body(body)).await?;
        answer.read::<CommentTold>("a comment").map(|told| told.id)
    }

    /// The account that comments are written by, as Bitbucket's `uuid`; asked once. A repository's token has none.
    pub(in crate::forge) async fn account(&self) -> Result<Option<String>, ForgeError> {
        let asked = self.account.get_or_try_init(|| async {
            match self.wire.ask(&Ask::get(["user"], "account")).await {
                Ok(answer) => Ok(answer.read::<UserTold>("an account")?.uuid),
                Err(
                    ForgeError::Denied { .. }
                    | ForgeError::NotFound { .. }
                    | ForgeError::Unauthorised { .. },
                ) => Ok(None),
                Err(other) => Err(other),
            }
        });
        asked.await.cloned()
    }

    /// What the token can do.
    pub(in crate::forge) async fn abilities(&self) -> Result<Abilities, ForgeError> {
        let answer = self.wire.ask(&Ask::get(self.path(&[]), "such repository")).await?;
        let scopes = answer.header("x-oauth-scopes").map(|scopes| {
            scopes.split(',').map(|scope| scope.trim().to_owned()).collect::<Vec<_>>()
        });
        let of = |right: Right, good: &[&str]| match &scopes {
            _ if self.wire.is_anonymous() => Ability::No("a token".to_owned()),
            Some(scopes) if scopes.iter().any(|scope| good.contains(&scope.as_str())) => {
                Ability::Yes
            }
            Some(_) => Ability::No(self.wire.needs(right)),
            None => Ability::Unknown(self.wire.needs(right)),
        };
        Ok(Abilities {
            forge: "bitbucket".to_owned(),
            account: if self.wire.is_anonymous() { None } else { self.account().await? },
            read: Ability::Yes,
            statuses: of(Right::Statuses, &["repository", "repository:write", "repository:admin"]),
            comments: of(Right::Comments, &["pullrequest", "pullrequest:write"]),
        })
    }
}

/// The folder and the name of a place, and the type of its comments.
fn place_path(place: &Place) -> Result<(&'static str, String, &'static str), ForgeError> {
    match place {
        Place::PullRequest(number) => {
            Ok(("pullrequests", number.to_string(), "pullrequest_comment"))
        }
        Place::Commit(revision) => Ok(("commit", revision.to_string(), "commit_comment")),
        Place::Issue(_) => Err(ForgeError::Unsupported {
            forge: "Bitbucket",
            what: "issues that Moorline writes to",
        }),
    }
}

/// Bitbucket's keys have at most 40 characters: a SHA-1 has exactly as many.
fn key(context: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, context.as_bytes());
    hex::encode(digest)
}

fn word(state: CommitState) -> &'static str {
    match state {
        CommitState::Success => "SUCCESSFUL",
        CommitState::Pending => "INPROGRESS",
        CommitState::Failure | CommitState::Error => "FAILED",
    }
}

fn state(word: &str) -> CommitState {
    match word {
        "SUCCESSFUL" => CommitState::Success,
        "INPROGRESS" => CommitState::Pending,
        _ => CommitState::Failure,
    }
}

fn pull_request(told: PullTold) -> PullRequest {
    let base = told.destination.repository.as_ref().map(|repository| &repository.full_name);
    let source = told.source.repository.as_ref().map(|repository| &repository.full_name);
    let fork = source != base;
    let branch = told.source.branch.name;
    PullRequest {
        number: told.id,
        title: told.title.unwrap_or_default(),
        author: told
            .author
            .and_then(|author| author.nickname.or(author.display_name))
            .unwrap_or_default(),
        head: Head::parse(&told.source.commit.map(|commit| commit.hash).unwrap_or_default()),
        head_branch: branch.clone(),
        base_branch: told.destination.branch.name,
        fork,
        draft: told.draft,
        fetch: FetchHead::Branch { fork: source.filter(|_| fork).cloned(), branch },
    }
}
