//! GitHub and GitHub Enterprise Server, REST API of 2022-11-28.

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

/// The largest page.
const PAGE: u32 = 100;

/// One repository on GitHub.
#[derive(Debug, Clone)]
pub(super) struct GitHub {
    /// The repository.
    pub(super) project: Project,
}

client!(GitHub);

impl GitHub {
    /// Writes a status.
    async fn publish(
        &self,
        target: &StatusTarget,
        status: &CommitStatus,
    ) -> Result<Published, ForgeError> {
        let path = ["statuses", target.revision.as_str()];
        let what = "such commit that the token may write to";
        match self.project.write_status(&path, (what, status_body(status))).await {
            Err(ForgeError::Rejected { message, host, code: 422 })
                if message.contains("No commit found") =>
            {
                let what = format!("commit {}", target.revision.short());
                Err(ForgeError::NotFound { host, what })
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
    async fn read_statuses(&self, revision: &Revision) -> Result<Vec<CommitStatus>, ForgeError> {
        let path = ["commits", revision.as_str(), "statuses"];
        let ask = self.project.get(&path, "such commit").query("per_page", PAGE);
        self.project.statuses(ask, StatusTold::found).await
    }

    /// All open pull requests.
    async fn open_pull_requests(&self) -> Result<Vec<PullRequest>, ForgeError> {
        let ask = self.project.get(&["pulls"], "such repository");
        let ask = ask.query("state", "open").query("sort", "updated").query("direction", "desc");
        let ours = |told: PullTold| told.found(true);
        self.project.list(ask.query("per_page", PAGE), "pull requests", ours).await
    }

    /// What became of a pull request.
    async fn fate(&self, number: u64) -> Result<Fate, ForgeError> {
        hub::fate(&self.project, number).await
    }

    /// All comments at a place.
    async fn comments(&self, place: &Place) -> Result<Vec<FoundComment>, ForgeError> {
        let (folder, name, _) = place_path(place);
        let ask = self.project.get(&[folder, &name, "comments"], &place.to_string());
        self.project.comments(ask.query("per_page", PAGE), CommentTold::found).await
    }

    /// Writes a comment, or changes the one with this id.
    async fn write_comment(
        &self,
        place: &Place,
        id: Option<u64>,
        body: &str,
    ) -> Result<u64, ForgeError> {
        let (folder, name, single) = place_path(place);
        let list = [folder, &name, "comments"];
        let change = id.map(|id| (Method::PATCH, single, id));
        let body = json!({ "body": body });
        self.project.write_comment((&list, &place.to_string()), change, body).await
    }

    /// The account that comments are written by; asked once.
    async fn account(&self) -> Result<Option<String>, ForgeError> {
        self.project.account(&["user"], Account::name).await
    }

    /// What the token can do.
    async fn abilities(&self) -> Result<Abilities, ForgeError> {
        let http = &self.project.http;
        let account = if http.is_anonymous() { None } else { self.account().await? };
        let answer = http.ask(&self.project.get(&[], "such repository")).await?;
        let push = answer.read::<RepositoryTold>("a repository")?.may_push();
        let scopes = answer.header("x-oauth-scopes").filter(|scopes| !scopes.is_empty());
        let scopes: Option<Vec<&str>> =
            scopes.map(|scopes| scopes.split(',').map(str::trim).collect());
        Ok(self.project.abilities(account, |right| {
            let good = if right == Right::Statuses { "repo:status" } else { "public_repo" };
            let is_good = |scope: &&str| ["repo", good].contains(scope);
            match (&scopes, push) {
                (_, Some(false)) if right == Right::Statuses => {
                    Ability::No(format!("{} and write access", http.needs(right)))
                }
                (Some(scopes), _) if scopes.iter().any(is_good) => Ability::Yes,
                (Some(_), _) => Ability::No(http.needs(right)),
                (None, _) => Ability::Unknown(http.needs(right)),
            }
        }))
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
