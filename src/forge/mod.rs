//! Commit statuses, pull requests and comments on GitHub, GitLab, Gitea, Forgejo and Bitbucket Cloud.
//!
//! In go settings and what a report has to say; out come requests in each forge's own words. [`Forge`] makes one
//! request at a time and retries nothing. [`StatusBook`] decides what is posted and when; [`Courier`] carries it out
//! beside the deployments, so that a forge that is down, slow or unwilling never holds one up.
//! Nothing here knows Git or Docker; tokens appear in no address, log line or error.

mod clients;
mod comments;
mod nouns;
mod post;
mod problem;
mod recognise;
mod settings;
mod wire;

pub use clients::bitbucket::Bitbucket;
pub use clients::gitea::Gitea;
pub use clients::github::GitHub;
pub use clients::gitlab::GitLab;
pub use comments::CommentDraft;
pub use nouns::{
    Abilities, Ability, CommentMode, CommentReceipt, FetchHead, Head, Limits, Marker, Place,
    Published, PullRequest, Right, StatusTarget,
};
pub use post::{Condition, Courier, Errand, Letter, LetterKey, Pace, Postbox, StatusBook, Warning};
pub use problem::ForgeError;
pub use settings::{Clock, Credentials, ForgeSettings, Kind};

use crate::model::{CommitStatus, Revision};
use clients::FoundComment;
use wire::Wire;

/// A repository on a forge.
#[derive(Debug, Clone)]
pub enum Forge {
    /// GitHub or GitHub Enterprise Server.
    GitHub(GitHub),
    /// GitLab.
    GitLab(GitLab),
    /// Gitea or Forgejo.
    Gitea(Gitea),
    /// Bitbucket Cloud.
    Bitbucket(Bitbucket),
}

/// The same call of whichever client it is.
macro_rules! each {
    ($forge:expr, $client:ident => $call:expr) => {
        match $forge {
            Forge::GitHub($client) => $call,
            Forge::GitLab($client) => $call,
            Forge::Gitea($client) => $call,
            Forge::Bitbucket($client) => $call,
        }
    };
}

impl Forge {
    /// The forge of these settings; the server is asked for its kind where they do not tell.
    ///
    /// # Errors
    /// `UnknownForge` when the server is none that we know, `Unreachable` and its like when it cannot be asked, `Tls`.
    pub async fn recognise(settings: &ForgeSettings) -> Result<Self, ForgeError> {
        let settings = Self::look_up(settings).await?;
        let kind = settings.kind.unwrap_or(Kind::GitHub);
        Self::of_kind(kind, &settings)
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
    pub fn of_kind(kind: Kind, settings: &ForgeSettings) -> Result<Self, ForgeError> {
        let base = settings::api_base(kind, &settings.api);
        let wire = Wire::new(settings, Some(kind), base)?;
        let project = settings.project.as_str();
        Ok(match kind {
            Kind::GitHub => Self::GitHub(GitHub::new(wire, project)),
            Kind::GitLab => Self::GitLab(GitLab::new(wire, project)),
            Kind::Gitea | Kind::Forgejo => Self::Gitea(Gitea::new(wire, kind, project)),
            Kind::Bitbucket => Self::Bitbucket(Bitbucket::new(wire, project)),
        })
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::GitHub(_) => Kind::GitHub,
            Self::GitLab(_) => Kind::GitLab,
            Self::Gitea(gitea) => gitea.kind(),
            Self::Bitbucket(_) => Kind::Bitbucket,
        }
    }

    /// Host and port, for messages.
    pub fn host(&self) -> String {
        each!(self, client => client.project.wire.host())
    }

    /// The page of a file's line at a commit, for people.
    pub fn file_link(&self, revision: &Revision, path: &str, line: usize) -> String {
        let (web, project) = each!(self, client => client.project.wire.web());
        let (folder, mark) = match self.kind() {
            Kind::GitHub => ("blob", "L"),
            Kind::GitLab => ("-/blob", "L"),
            Kind::Gitea | Kind::Forgejo => ("src/commit", "L"),
            Kind::Bitbucket => ("src", "lines-"),
        };
        let path: Vec<String> = path.split('/').map(settings::escape_segment).collect();
        format!("{web}/{project}/{folder}/{revision}/{}#{mark}{line}", path.join("/"))
    }

    /// What its texts may be. Comments keep 1024 characters of distance to the forge's limit.
    pub fn limits(&self) -> Limits {
        let (comment, folds) = match self.kind() {
            Kind::GitHub => (64_512, true),
            Kind::GitLab | Kind::Gitea | Kind::Forgejo => (500_000, true),
            Kind::Bitbucket => (31_744, false),
        };
        Limits {
            comment,
            folds,
            pending_again: self.kind() != Kind::GitLab,
            tells_error: !matches!(self.kind(), Kind::GitLab | Kind::Bitbucket),
            comments_on_commits: !matches!(self.kind(), Kind::Gitea | Kind::Forgejo),
        }
    }

    /// Writes a status on a commit. The description is cut at 140 characters.
    pub async fn publish(
        &self,
        target: &StatusTarget,
        status: &CommitStatus,
    ) -> Result<Published, ForgeError> {
        each!(self, client => client.publish(target, status).await)
    }

    /// The newest status of each context of a commit. On Bitbucket only those that Moorline wrote.
    pub async fn read_statuses(
        &self,
        revision: &Revision,
    ) -> Result<Vec<CommitStatus>, ForgeError> {
        each!(self, client => client.read_statuses(revision).await)
    }

    /// All open pull requests, from branches and from forks.
    pub async fn open_pull_requests(&self) -> Result<Vec<PullRequest>, ForgeError> {
        each!(self, client => client.open_pull_requests().await)
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
        each!(self, client => client.abilities().await)
    }

    async fn account(&self) -> Result<Option<String>, ForgeError> {
        each!(self, client => client.account().await)
    }

    async fn comments(&self, place: &Place) -> Result<Vec<FoundComment>, ForgeError> {
        each!(self, client => client.comments(place).await)
    }

    async fn write_comment(
        &self,
        place: &Place,
        id: Option<u64>,
        body: &str,
    ) -> Result<u64, ForgeError> {
        each!(self, client => client.write_comment(place, id, body).await)
    }
}
