//! A thing to say, and how fast things are said.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::found::DESCRIPTION;
use super::super::http::cut;
use super::super::{CommentMode, Marker, Place, Right, StatusTarget};
use crate::model::{CommitState, CommitStatus, Digest, Revision, Timestamp};
use crate::report::mask::{SecretSet, mask, mask_line, without};

/// A thing to say to a forge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Letter {
    /// A commit status.
    Status {
        /// On which commit.
        target: StatusTarget,
        /// The status.
        status: CommitStatus,
    },
    /// A comment that is kept up to date.
    Comment {
        /// Where.
        place: Place,
        /// How it is found again.
        marker: Marker,
        /// Markdown, without the marker.
        body: String,
        /// Whether it may be made.
        mode: CommentMode,
    },
}

/// What a letter is about: the newest letter of a key is the only one that counts. Statuses come before comments.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LetterKey {
    /// One context of one commit; in lower case, because GitHub does not tell cases apart.
    Status(Revision, String),
    /// One comment.
    Comment(Place, Marker),
}

impl Letter {
    /// What it is about.
    pub fn key(&self) -> LetterKey {
        match self {
            Self::Status { target, status } => {
                LetterKey::Status(target.revision.clone(), status.context.to_lowercase())
            }
            Self::Comment { place, marker, .. } => {
                LetterKey::Comment(place.clone(), marker.clone())
            }
        }
    }

    /// What the token must be good for.
    pub fn right(&self) -> Right {
        match self {
            Self::Status { .. } => Right::Statuses,
            Self::Comment { .. } => Right::Comments,
        }
    }

    /// The state that it says, for statuses.
    pub(super) fn state(&self) -> Option<CommitState> {
        match self {
            Self::Status { status, .. } => Some(status.state),
            Self::Comment { .. } => None,
        }
    }

    /// Who goes first of those that may go now: what became of deployments, the whole commit before its stacks; then the
    /// plans' statuses, then comments; of pull requests the oldest.
    pub(super) fn rank(&self) -> (u8, u64) {
        match self {
            Self::Status { target, status } => match target.pull_request {
                // Where a forge takes only so many in an hour, it is the one that branch protection asks for.
                None => (0, u64::from(status.context.contains('/'))),
                Some(number) => (1, number),
            },
            Self::Comment { place, .. } => match place {
                Place::PullRequest(number) | Place::Issue(number) => (2, *number),
                Place::Commit(_) => (2, 0),
            },
        }
    }

    /// What is compared to know whether something changed: what the reader would see.
    pub(super) fn digest(&self) -> Digest {
        let text = match self {
            Self::Status { target: _, status } => {
                let CommitStatus { context: _, state, description, link, progress: _ } = status;
                let shown = cut(description, DESCRIPTION);
                format!("{state}\0{shown}\0{}", link.as_deref().unwrap_or_default())
            }
            Self::Comment { place: _, marker: _, body, mode: _ } => body.clone(),
        };
        Digest::of(text.as_bytes())
    }

    /// Without secrets: the last look before it leaves.
    pub fn masked(self, secrets: &SecretSet) -> Self {
        match self {
            Self::Status { target, status } => {
                let link = status.link.map(|link| mask(&link, secrets));
                let description = cut(&mask_line(&status.description, secrets), DESCRIPTION);
                Self::Status { target, status: CommitStatus { description, link, ..status } }
            }
            Self::Comment { place, marker, body, mode } => {
                Self::Comment { place, marker, body: without(&body, secrets), mode }
            }
        }
    }
}

/// How fast things are said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Pending statuses and comments wait this long: what is overtaken by then is never said.
    pub settle: Duration,
    /// Between two writes (GitHub allows 80 a minute).
    pub gap: Duration,
    /// The longest wait between two tries with a forge that is down.
    pub backoff: Duration,
    /// How long an ability rests after it was denied; doubled up to a day.
    pub denied: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            settle: Duration::from_secs(2),
            gap: Duration::from_secs(1),
            backoff: Duration::from_mins(1),
            denied: Duration::from_hours(1),
        }
    }
}

/// Something that the operator should know; said once until it was well again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The ability that rests, if one does.
    pub right: Option<Right>,
    /// What happened, without secrets.
    pub text: String,
}

/// How the reporting is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    /// Letters that are not posted yet.
    pub behind: usize,
    /// Whether everything that was put in the postbox was looked at, and nothing is left to say.
    pub is_quiet: bool,
    /// Abilities that rest, and why.
    pub resting: Vec<(Right, String)>,
    /// Nothing is sent before, because the forge asked to wait or is down.
    pub paused_until: Option<Timestamp>,
    /// The last problem, until something works again.
    pub problem: Option<String>,
}
