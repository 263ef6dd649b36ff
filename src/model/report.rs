//! The verdicts of a pass, and what a commit is told.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whether a host is what Git says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sync {
    /// It is.
    Synced,
    /// It is not.
    OutOfSync,
    /// It could not be seen.
    Unknown,
}

/// How a stack's services are doing. Ordered from best to worst; a stack is as its worst service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// Running, and healthy where that is checked; or complete.
    Healthy,
    /// Switched off by an operator.
    Suspended,
    /// On its way.
    Progressing,
    /// Not there.
    Missing,
    /// Failing.
    Degraded,
    /// Could not be seen.
    Unknown,
}

impl fmt::Display for Health {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Healthy => "healthy",
            Self::Suspended => "suspended",
            Self::Progressing => "progressing",
            Self::Missing => "missing",
            Self::Degraded => "degraded",
            Self::Unknown => "unknown",
        })
    }
}

/// State of a commit status, in the words that the forges share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CommitState {
    /// Every host is in sync and healthy.
    Success,
    /// Deploying.
    Pending,
    /// Drifted, degraded or failed.
    Failure,
    /// Moorline could not look.
    Error,
}

impl fmt::Display for CommitState {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Success => "success",
            Self::Pending => "pending",
            Self::Failure => "failure",
            Self::Error => "error",
        })
    }
}

/// How far a target is, where the state of a commit status does not tell: what daemons of one host each go by, since
/// they see of each other what stands on the commit and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// Steps are being carried out, or what they started is not healthy yet.
    Deploying,
    /// Not begun: it waits for a window, an approval, others, an operator or a usable manifest.
    Waiting,
    /// Not begun, and will not be: one that goes before it did not get there.
    Stopped,
    /// Begun, and not got there: failed, degraded or drifted.
    Failed,
}

impl Progress {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Deploying, Self::Waiting, Self::Stopped, Self::Failed];

    /// The word for it, for machines. What was written once is read for ever: words are added, never changed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Deploying => "deploying",
            Self::Waiting => "waiting",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }

    /// The one of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.word() == word)
    }
}

/// What a commit is told about one context.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CommitStatus {
    /// `moorline/shop`, `moorline/shop@edge-1`, or `moorline` for the roll-up.
    pub context: String,
    /// The state.
    pub state: CommitState,
    /// At most 140 characters.
    pub description: String,
    /// A page with more, if there is one.
    pub link: Option<String>,
    /// How far its targets are; `None` where the state says all, and where it was read from a commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
}
