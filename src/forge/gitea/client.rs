//! Gitea and Forgejo, API v1. They differ in nothing that is used here.

use http::Method;
use serde_json::json;

use super::super::client::client;
use super::super::found::{Account, FoundComment};
use super::super::hub::{self, CommentTold, PullTold, RepositoryTold, StatusTold, status_body};
use super::super::project::Project;
use super::super::{
    Abilities, Ability, Fate, ForgeError, Place, Published, PullRequest, Right, StatusTarget,
};
use crate::model::{CommitStatus, Revision};

/// The servers' own largest page (`[api] MAX_RESPONSE_ITEMS`).
const PAGE: u32 = 50;

/// One repository on Gitea or Forgejo.
#[derive(Debug, Clone)]
pub(super) struct Gitea {
    /// The repository.
    pub(super) project: Project,
}

client!(Gitea);

impl Gitea {
    /// Writes a status. Both servers answer 500 for a commit that they do not have; the list of its statuses then
    /// tells it apart from a server's own problem.
    async fn publish(
        &self,
        target: &StatusTarget,
        status: &CommitStatus,
    ) -> Result<Published, ForgeError> {
        let path = ["statuses", target.revision.as_str()];
        let said = ("such repository or commit", status_body(status));
        match self.project.write_status(&path, said).await {
            Err(ForgeError::Server { code: 500, host, wait }) => {
                match self.read_statuses(&target.revision).await {
                    Err(ForgeError::NotFound { .. } | ForgeError::Rejected { .. }) => {
                        let what = format!("commit {}", target.revision.short());
                        Err(ForgeError::NotFound { host, what })
                    }
                    _ => Err(ForgeError::Server { code: 500, host, wait }),
                }
            }
            answer => answer.map(|_| Published::Created),
        }
    }

    /// The newest status of each context.
    async fn read_statuses(&self, revision: &Revision) -> Result<Vec<CommitStatus>, ForgeError> {
        let path = ["commits", revision.as_str(), "statuses"];
        let ask = self.project.get(&path, "such commit").query("limit", PAGE);
        self.project.statuses(ask, StatusTold::found).await
    }

    /// All open pull requests. Neither server makes a merge reference.
    async fn open_pull_requests(&self) -> Result<Vec<PullRequest>, ForgeError> {
        let ask = self.project.get(&["pulls"], "such repository");
        let ask = ask.query("state", "open").query("sort", "recentupdate").query("limit", PAGE);
        let ours = |told: PullTold| told.found(false);
        self.project.list(ask, "pull requests", ours).await
    }

    /// What became of a pull request.
    async fn fate(&self, number: u64) -> Result<Fate, ForgeError> {
        hub::fate(&self.project, number).await
    }

    /// All comments at a place; this list has no pages.
    async fn comments(&self, place: &Place) -> Result<Vec<FoundComment>, ForgeError> {
        let number = number(place)?;
        let ask = self.project.get(&["issues", &number, "comments"], &place.to_string());
        self.project.comments(ask, CommentTold::found).await
    }

    /// Writes a comment, or changes the one with this id.
    async fn write_comment(
        &self,
        place: &Place,
        id: Option<u64>,
        body: &str,
    ) -> Result<u64, ForgeError> {
        let number = number(place)?;
        let list = ["issues", &number, "comments"];
        let change = id.map(|id| (Method::PATCH, ["issues", "comments"].as_slice(), id));
        let body = json!({ "body": body });
        self.project.write_comment((&list, &place.to_string()), change, body).await
    }

    /// The account that comments are written by; asked once. A token without `read:user` does not tell.
    async fn account(&self) -> Result<Option<String>, ForgeError> {
        self.project.account(&["user"], Account::name).await
    }

    /// What the token can do.
    async fn abilities(&self) -> Result<Abilities, ForgeError> {
        let http = &self.project.http;
        let account = if http.is_anonymous() { None } else { self.account().await? };
        let answer = http.ask(&self.project.get(&[], "such repository")).await?;
        let push = answer.read::<RepositoryTold>("a repository")?.may_push();
        Ok(self.project.abilities(account, |right| match push {
            Some(false) if right == Right::Statuses => Ability::No(http.needs(right)),
            _ => Ability::Unknown(http.needs(right)),
        }))
    }
}

fn number(place: &Place) -> Result<String, ForgeError> {
    match place {
        Place::PullRequest(number) | Place::Issue(number) => Ok(number.to_string()),
        Place::Commit(_) => {
            Err(ForgeError::Unsupported { forge: "Gitea", what: "comments on commits" })
        }
    }
}
