//! What the operator allows: the fleet file's words for one stack.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What the operator allows for one stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Whether passes apply what they plan.
    pub sync: SyncPolicy,
    /// Whether drift on the host (as opposed to a new commit) is corrected.
    pub drift: DriftPolicy,
    /// Fields that others own: `services.*.labels.traefik.*`. A `*` stands for any run of characters.
    pub ignore: Vec<String>,
    /// What is removed when no manifest asks for it any more.
    pub prune: PrunePolicy,
    /// Containers that something else made under this project's name.
    pub adopt: AdoptPolicy,
    /// Steps at a time.
    pub parallel_steps: usize,
    /// Limit of one step. A stop gets the grace period on top, a pull the progress limit.
    pub step_limit: Duration,
    /// A wait for health ends after this long without progress.
    pub progress_limit: Duration,
    /// How long a service must have run before it counts as working, where it does not say so itself.
    pub watch: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            sync: SyncPolicy::Auto,
            drift: DriftPolicy::Correct,
            ignore: Vec::new(),
            prune: PrunePolicy::default(),
            adopt: AdoptPolicy::Refuse,
            parallel_steps: 8,
            step_limit: Duration::from_mins(5),
            progress_limit: Duration::from_mins(10),
            watch: Duration::from_secs(2),
        }
    }
}

/// Whether passes apply what they plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SyncPolicy {
    /// They do.
    Auto,
    /// Only `moorline sync STACK` does.
    Manual,
}

/// Whether drift on the host is corrected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DriftPolicy {
    /// It is.
    Correct,
    /// It is reported, and held until a commit changes what is asked for.
    Report,
}

/// What becomes of a stack that refers to variables without a value and without a default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnsetPolicy {
    /// It stays as it is, and all of them are named. The default: a value that is not there is not the empty value.
    #[default]
    Hold,
    /// They stand for nothing, with a warning each, as with docker compose.
    Warn,
}

/// Containers that something else made under this project's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdoptPolicy {
    /// Left alone and reported.
    Refuse,
    /// Taken over: kept as they are where they are what the manifest asks for, replaced where not.
    Adopt,
}

/// What is removed when no manifest asks for it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrunePolicy {
    /// Containers of services that are gone.
    pub services: bool,
    /// Networks.
    pub networks: bool,
    /// Volumes, with their data.
    pub volumes: bool,
}

impl Default for PrunePolicy {
    fn default() -> Self {
        Self { services: true, networks: true, volumes: false }
    }
}
