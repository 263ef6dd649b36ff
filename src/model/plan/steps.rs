//! A plan: steps in a safe order, and what was seen and deliberately left alone.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{
    BuildSpec, ContainerId, ContainerSpec, Digest, Endpoint, FileBundle, Held, Hook, ImageRef,
    Location, NetworkSpec, Reason, Replica, Revision, StackName, Upload, VolumeSpec,
};

/// A step's number in its plan, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(pub u32);

impl fmt::Display for StepId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// A container that an action is about: one that was observed (by id, so that a plan made from a stale view fails
/// harmlessly), or one that an earlier step of the same plan makes (by name).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ContainerHandle {
    /// Observed.
    Observed {
        /// Its id.
        id: ContainerId,
        /// Its name, for people.
        name: String,
    },
    /// Made by this plan.
    Planned {
        /// Its name.
        name: String,
    },
}

impl ContainerHandle {
    /// What the Engine is asked with.
    pub fn address(&self) -> &str {
        match self {
            Self::Observed { id, .. } => id.as_str(),
            Self::Planned { name } => name,
        }
    }

    /// The name, for people.
    pub fn name(&self) -> &str {
        match self {
            Self::Observed { name, .. } | Self::Planned { name } => name,
        }
    }
}

/// One thing to do: one variant is one call of the Engine (or one wait).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Pull an image.
    Pull {
        /// Reference.
        image: ImageRef,
        /// Platform; empty for the Engine's own.
        platform: String,
    },
    /// Build an image from the repository's files.
    Build {
        /// Tag.
        image: ImageRef,
        /// What goes in.
        build: Box<BuildSpec>,
    },
    /// Make a network.
    CreateNetwork(Box<NetworkSpec>),
    /// Remove a network.
    RemoveNetwork {
        /// Id.
        id: String,
        /// Name, for people.
        name: String,
    },
    /// Make a volume.
    CreateVolume(Box<VolumeSpec>),
    /// Remove a volume with its data. Only where policy says so.
    RemoveVolume {
        /// Name.
        name: String,
    },
    /// Put a bundle of files from Git on the host.
    PutFiles {
        /// Digest of the bundle.
        digest: Digest,
        /// The bundle.
        bundle: Arc<FileBundle>,
    },
    /// Remove files from Git that no container mounts any more.
    RemoveFiles {
        /// Absolute folder on the host: a bundle's, or that of all bundles of a stack.
        folder: String,
        /// Whether a container could write there: then it stays if a file is not as it was put there.
        written: bool,
    },
    /// Make a container.
    Create {
        /// Its name, possibly a passing one while its predecessor holds the final one.
        name: String,
        /// What it is to be.
        spec: Arc<ContainerSpec>,
    },
    /// Copy files into a container that was not started yet.
    Upload {
        /// Which.
        container: ContainerHandle,
        /// The files.
        files: Vec<Upload>,
    },
    /// Attach to a network.
    Connect {
        /// Which.
        container: ContainerHandle,
        /// Network's name on the host.
        network: String,
        /// With addresses and aliases.
        endpoint: Box<Endpoint>,
    },
    /// Detach from a network.
    Disconnect {
        /// Which.
        container: ContainerHandle,
        /// Network's name on the host.
        network: String,
    },
    /// Start.
    Start {
        /// Which.
        container: ContainerHandle,
    },
    /// Stop and start in one call.
    Restart {
        /// Which.
        container: ContainerHandle,
        /// Before the kill.
        grace: Duration,
    },
    /// Continue a paused one.
    Unpause {
        /// Which.
        container: ContainerHandle,
    },
    /// Stop.
    Stop {
        /// Which.
        container: ContainerHandle,
        /// Before the kill.
        grace: Duration,
    },
    /// Remove a stopped container. Its anonymous volumes stay when a successor uses them.
    Remove {
        /// Which.
        container: ContainerHandle,
        /// What becomes of its anonymous volumes.
        anonymous_volumes: AnonymousVolumes,
    },
    /// Give another name.
    Rename {
        /// Which.
        container: ContainerHandle,
        /// The new name.
        name: String,
    },
    /// Change limits and restart policy of a live container: only what differs is set in `spec.host`.
    Update {
        /// Which.
        container: ContainerHandle,
        /// The whole specification that it is to have.
        spec: Arc<ContainerSpec>,
    },
    /// Run a hook inside a container.
    RunHook {
        /// Which.
        container: ContainerHandle,
        /// The command.
        hook: Box<Hook>,
    },
    /// Wait until it runs and, where it has a health check, is healthy.
    AwaitHealthy {
        /// Which.
        container: ContainerHandle,
        /// How long it must stay up to count when it has no health check.
        monitor: Duration,
        /// What an end with code 0 means.
        ending: Ending,
        /// Without progress.
        limit: Duration,
    },
    /// Wait until it ended with code 0.
    AwaitCompletion {
        /// Which.
        container: ContainerHandle,
        /// At most.
        limit: Duration,
    },
    /// Pause between two batches of a rolling update.
    Delay {
        /// How long.
        pause: Duration,
    },
}

/// What an end with code 0 means to a wait for health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// It failed: it was to stay up.
    Fails,
    /// It did what it was to do.
    Counts,
}

/// What becomes of a removed container's anonymous volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnonymousVolumes {
    /// They stay.
    Keep,
    /// They go with it.
    Delete,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its number; steps only wait for smaller numbers.
    pub id: StepId,
    /// What to do.
    pub action: Action,
    /// The replica that it serves, if it serves one.
    pub replica: Option<Replica>,
    /// Why.
    pub because: Reason,
    /// Where the manifest asks for it.
    pub origin: Option<Location>,
    /// Steps that must be done before.
    pub after: BTreeSet<StepId>,
}

/// What a pass would do to one stack on one host, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The stack.
    pub stack: StackName,
    /// The commit that asks.
    pub revision: Revision,
    /// Steps, by number.
    pub steps: Vec<Step>,
    /// What is left alone, and why.
    pub held: Vec<Held>,
    /// Consequences that a reviewer should know of: `web-1 is down while it is replaced`.
    pub warnings: Vec<String>,
}

impl Plan {
    /// Whether there is nothing to do and nothing held.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.held.is_empty()
    }
}
