//! Bitbucket Cloud, API 2.0.

use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::super::client::client;
use super::super::found::{DESCRIPTION, FoundComment, FoundStatus};
use super::super::http::cut;
use super::super::project::Project;
use super::super::{
    Abilities, Ability, Fate, FetchHead, ForgeError, ForkPath, Head, Place, Published, PullRequest,
    Right, StatusTarget,
};
use super::words::{state, word};
use crate::model::{CommitStatus, Revision};

/// Bitbucket's largest page of pull requests.
const PAGE: u32 = 50;

/// One repository on Bitbucket Cloud.
#[derive(Debug, Clone)]
pub(super) struct Bitbucket {
    /// The repository.
    pub(super) project: Project,
}

client!(Bitbucket);

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
struct FateTold {
    state: String,
    merge_commit: Option<CommitTold>,
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
    /// Writes a status; one with the same key is overwritten.
    async fn publish(
        &self,
        target: &StatusTarget,
        status: &CommitStatus,
    ) -> Result<Published, ForgeError> {
        let revision = target.revision.as_str();
        // Bitbucket insists on a link.
        let (_, project) = self.project.http.place();
        let commit = format!("https://bitbucket.org/{project}/commits/{revision}");
        let body = json!({
            "key": key(&status.context),
            "name": cut(&status.context, 255),
            "state": word(status.state),
            "description": cut(&status.description, DESCRIPTION),
            "url": status.link.as_ref().unwrap_or(&commit),
        });
        let path = ["commit", revision, "statuses", "build"];
        let written = self.project.write_status(&path, ("such commit", body)).await;
        written.map(|_| Published::Created)
    }

    /// The statuses of ours: those whose key is made from their name.
    async fn read_statuses(&self, revision: &Revision) -> Result<Vec<CommitStatus>, ForgeError> {
        let ask = self.project.get(&["commit", revision.as_str(), "statuses"], "such commit");
        self.project.statuses(ask, StatusTold::found).await
    }

    /// All open pull requests.
    async fn open_pull_requests(&self) -> Result<Vec<PullRequest>, ForgeError> {
        let ask = self.project.get(&["pullrequests"], "such repository");
        let ask = ask.query("state", "OPEN").query("pagelen", PAGE);
        self.project.list(ask, "pull requests", pull_request).await
    }

    /// What became of a pull request.
    async fn fate(&self, number: u64) -> Result<Fate, ForgeError> {
        let what = format!("pull request {number}");
        let ask = self.project.get(&["pullrequests", &number.to_string()], &what);
        let told: FateTold = self.project.http.ask(&ask).await?.read("a pull request")?;
        Ok(match told.state.as_str() {
            "OPEN" => Fate::Open,
            "MERGED" => Fate::merged(told.merge_commit.map(|commit| commit.hash)),
            _ => Fate::Closed,
        })
    }

    /// All comments of a pull request or a commit.
    async fn comments(&self, place: &Place) -> Result<Vec<FoundComment>, ForgeError> {
        let (folder, name, _) = place_path(place)?;
        let ask = self.project.get(&[folder, &name, "comments"], &place.to_string());
        self.project.comments(ask.query("pagelen", PAGE), CommentTold::found).await
    }

    /// Writes a comment, or changes the one with this id.
    async fn write_comment(
        &self,
        place: &Place,
        id: Option<u64>,
        body: &str,
    ) -> Result<u64, ForgeError> {
        let (folder, name, noun) = place_path(place)?;
        let list = [folder, name.as_str(), "comments"];
        let change = id.map(|id| (Method::PUT, list.as_slice(), id));
        let body = json!({ "type": noun, "content": { "raw": body } });
        self.project.write_comment((&list, &place.to_string()), change, body).await
    }

    /// The account that comments are written by, as Bitbucket's `uuid`; asked once. A repository's token has none, and
    /// is not accepted where it would be told.
    async fn account(&self) -> Result<Option<String>, ForgeError> {
        match self.project.account(&["user"], |told: UserTold| told.uuid).await {
            Err(ForgeError::Unauthorised { .. }) => Ok(None),
            told => told,
        }
    }

    /// What the token can do.
    async fn abilities(&self) -> Result<Abilities, ForgeError> {
        let http = &self.project.http;
        let answer = http.ask(&self.project.get(&[], "such repository")).await?;
        let scopes = answer.header("x-oauth-scopes").map(|scopes| {
            scopes.split(',').map(|scope| scope.trim().to_owned()).collect::<Vec<_>>()
        });
        let account = if http.is_anonymous() { None } else { self.account().await? };
        Ok(self.project.abilities(account, |right| {
            let good: &[&str] = match right {
                Right::Comments => &["pullrequest", "pullrequest:write"],
                Right::Read | Right::Statuses => {
                    &["repository", "repository:write", "repository:admin"]
                }
            };
            match &scopes {
                Some(scopes) if scopes.iter().any(|scope| good.contains(&scope.as_str())) => {
                    Ability::Yes
                }
                Some(_) => Ability::No(http.needs(right)),
                None => Ability::Unknown(http.needs(right)),
            }
        }))
    }
}

impl StatusTold {
    /// One of ours: its key is made from its name.
    fn found(self) -> Option<FoundStatus> {
        let name = self.name.filter(|name| key(name) == self.key)?;
        Some(FoundStatus {
            order: 0,
            context: name,
            state: state(&self.state),
            description: self.description,
            link: self.url,
        })
    }
}

impl CommentTold {
    fn found(self) -> Option<FoundComment> {
        (!self.deleted).then(|| FoundComment {
            id: self.id,
            author: self.user.and_then(|user| user.uuid),
            body: self.content.and_then(|content| content.raw).unwrap_or_default(),
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
        fetch: FetchHead::Branch { fork: source.filter(|_| fork).map(|name| at(name)), branch },
    }
}

/// A fork's paths: the same over https and ssh.
fn at(name: &str) -> ForkPath {
    let path = format!("{name}.git");
    ForkPath { web: path.clone(), ssh: path }
}
