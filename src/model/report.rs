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
}
