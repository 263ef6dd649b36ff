//! What became of a step.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{Remedy, StepId};

/// What became of one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Outcome {
    /// It was carried out.
    Done,
    /// It was tried and failed.
    Failed {
        /// The cause chain, for people; secrets were masked.
        error: String,
        /// What helps.
        remedy: Remedy,
    },
    /// It was not tried, because this step, which it waits for, was not done.
    Blocked {
        /// The step in the way.
        by: StepId,
    },
    /// It was not tried, because the pass was told to stop.
    Cancelled,
}

/// One step and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepOutcome {
    /// Which.
    pub step: StepId,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How long it took, in milliseconds.
    pub millis: u64,
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => write!(out, "done"),
            Self::Failed { error, .. } => write!(out, "failed: {error}"),
            Self::Blocked { by } => write!(out, "blocked by step {by}"),
            Self::Cancelled => write!(out, "cancelled"),
        }
    }
}
