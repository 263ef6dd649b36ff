//! Commit statuses, pull requests and comments on GitHub, GitLab, Gitea, Forgejo, Bitbucket Cloud and
//! Azure DevOps.
//!
//! In go settings and what a report has to say; out come requests in each forge's own words. [`Forge`] makes one
//! request at a time and retries nothing. [`StatusBook`] decides what is posted and when; [`Courier`] carries it out
//! beside the deployments, so that a forge that is down, slow or unwilling never holds one up.
//! Nothing here knows Git or Docker; tokens appear in no address, log line or error.

mod client;
mod comments;
mod found;
mod http;
mod hub;
mod nouns;
mod post;
mod problem;
mod project;
mod recognise;
mod rules;
mod settings;
pub mod webhook;

// One folder a forge.
mod address;
mod azure;
mod bitbucket;
mod gitea;
mod github;
mod gitlab;

pub use comments::CommentDraft;
pub use nouns::{
    Abilities, Ability, CommentMode, CommentReceipt, Fate, FetchHead, ForkPath, Head, Limits,
    Marker, Place, Published, PullRequest, Right, StatusTarget,
};
pub use post::{Condition, Courier, Errand, Letter, LetterKey, Pace, Postbox, StatusBook, Warning};
pub use problem::ForgeError;
pub use settings::{Clock, Credentials, ForgeSettings};

use std::sync::Arc;

use self::http::Http;
use crate::model::{CommitStatus, ForgeKind, Revision};
use client::Client;
use found::FoundComment;
use project::Project;
use rules::Rules;

/// One line a forge, in the order in which a server is asked and a webhook is looked at: Gitea and Forgejo also send
/// GitHub's headers.
const RULES: &[&Rules] = &[
    &gitea::RULES,
    &gitea::FORGEJO,
    &gitlab::RULES,
    &bitbucket::RULES,
    &github::RULES,
    &azure::RULES,
];

/// A kind's table. Every kind has one, which a test holds.
fn table(kind: ForgeKind) -> &'static Rules {
    RULES.iter().find(|rules| rules.kind == kind).copied().unwrap_or(&github::RULES)
}

/// A repository on a forge.
#[derive(Debug, Clone)]
pub struct Forge {
    rules: &'static Rules,
    project: Project,
    client: Arc<dyn Client>,
}

impl Forge {
    /// The forge of these settings; the server is asked for its kind where they do not tell.
    ///
    /// # Errors
    /// `UnknownForge` when the server is none that we know, `Unreachable` and its like when it cannot be asked, `Tls`.
    pub async fn recognise(settings: &ForgeSettings) -> Result<Self, ForgeError> {
        let settings = Self::look_up(settings).await?;
        match settings.kind {
            Some(kind) => Self::of_kind(kind, &settings),
            None => Err(ForgeError::UnknownForge { host: settings.host() }),
        }
    }

    /// These settings with the kind, and the address and project where the forge is below a sub-path. The server is
    /// asked where the settings do not tell.
    ///
    /// # Errors
    /// As [`Forge::recognise`].
    pub async fn look_up(settings: &ForgeSettings) -> Result<ForgeSettings, ForgeError> {
        if settings.kind.is_some() {
            return Ok(settings.clone());
        }
        recognise::settled(settings).await
    }

    /// The forge of these settings as a given kind; nothing is asked.
    ///
    /// # Errors
    /// `Tls` when the certificate authorities cannot be read.
    pub fn of_kind(kind: ForgeKind, settings: &ForgeSettings) -> Result<Self, ForgeError> {
        let rules = table(kind);
        let http = Http::new(settings, Some(&rules.wire), (rules.api)(&settings.api))?;
        let project = Project::new(http, kind, (rules.root)(&settings.project));
        let client = (rules.client)(project.clone());
        Ok(Self { rules, project, client })
    }

    /// The kind.
    pub fn kind(&self) -> ForgeKind {
        self.rules.kind
    }

    /// Host and port, for messages.
    pub fn host(&self) -> String {
        self.project.http.host()
    }

    /// The page of a file's line at a commit, for people.
    pub fn file_link(&self, revision: &Revision, path: &str, line: usize) -> String {
        let (web, project) = self.place();
        (self.rules.links.file)((&web, project), revision, path, line)
    }

    /// The page of a pull request, for people.
    pub fn pull_link(&self, number: u64) -> String {
        let (web, project) = self.place();
        (self.rules.links.pull)((&web, project), number)
    }

    /// The forge's address for people, and the project.
    fn place(&self) -> (String, &str) {
        let (base, project) = self.project.http.place();
        let web = (self.rules.links.web)(base.as_str().trim_end_matches('/'));
        (web, project)
    }

    /// What its texts may be.
    pub fn limits(&self) -> Limits {
        self.rules.limits
    }

    /// Writes a status on a commit. The description is cut at 140 characters.
    pub async fn publish(
        &self,
        target: &StatusTarget,
        status: &CommitStatus,
    ) -> Result<Published, ForgeError> {
        self.client.publish(target, status).await
    }

    /// The newest status of each context of a commit. On Bitbucket only those that Moorline wrote.
    pub async fn read_statuses(
        &self,
        revision: &Revision,
    ) -> Result<Vec<CommitStatus>, ForgeError> {
        self.client.read_statuses(revision).await
    }

    /// All open pull requests, from branches and from forks.
    pub async fn open_pull_requests(&self) -> Result<Vec<PullRequest>, ForgeError> {
        self.client.open_pull_requests().await
    }

    /// What became of a pull request.
    pub async fn fate(&self, number: u64) -> Result<Fate, ForgeError> {
        self.client.fate(number).await
    }

    /// Keeps the one comment of a marker up to date: changes it where it is, makes it where it is not.
    pub async fn upsert_comment(
        &self,
        draft: CommentDraft<'_>,
    ) -> Result<CommentReceipt, ForgeError> {
        comments::upsert(self, draft).await
    }

    /// What the token can do on this repository.
    pub async fn abilities(&self) -> Result<Abilities, ForgeError> {
        self.client.abilities().await
    }

    async fn account(&self) -> Result<Option<String>, ForgeError> {
        self.client.account().await
    }

    async fn comments(&self, place: &Place) -> Result<Vec<FoundComment>, ForgeError> {
        self.client.comments(place).await
    }

    async fn write_comment(
        &self,
        place: &Place,
        id: Option<u64>,
        body: &str,
    ) -> Result<u64, ForgeError> {
        self.client.write_comment(place, id, body).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_table() {
        for kind in ForgeKind::ALL {
            assert_eq!(table(*kind).kind, *kind);
        }
        assert_eq!(RULES.len(), ForgeKind::ALL.len());
    }
}
