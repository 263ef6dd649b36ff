//! Differences between what is asked for and what is there.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{ContainerId, Location, Replica, ServiceName, StackName};

/// What a difference is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resource {
    /// A replica that the manifest asks for, and the container that stands for it, if there is one.
    Replica {
        /// Which.
        replica: Replica,
        /// Its container.
        container: Option<ContainerId>,
    },
    /// A container that no manifest asks for.
    Container {
        /// Which.
        id: ContainerId,
        /// Its name.
        name: String,
    },
    /// A network, by its name on the host.
    Network(String),
    /// A volume, by its name on the host.
    Volume(String),
    /// A service as a whole (its image, its build).
    Service(ServiceName),
}

impl fmt::Display for Resource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replica { replica, .. } => write!(out, "{replica}"),
            Self::Container { name, .. } => write!(out, "container {name}"),
            Self::Network(name) => write!(out, "network {name}"),
            Self::Volume(name) => write!(out, "volume {name}"),
            Self::Service(name) => write!(out, "{name}"),
        }
    }
}

/// A value as people read it in a diff. Secret ones were masked before they got here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Value(pub String);

/// Why something differs: the one reason that is said in the plan, the status and the report.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Reason {
    /// It is not there.
    Missing,
    /// It was made but never started.
    NotStarted,
    /// It ended although it should run.
    Stopped {
        /// Its exit code.
        exit_code: i64,
    },
    /// Someone paused it.
    Paused,
    /// Its health check fails.
    Unhealthy,
    /// The Engine keeps restarting it.
    Restarting,
    /// It cannot be removed or is in a state that no container leaves by itself.
    Broken,
    /// More replicas than asked for.
    Surplus,
    /// Its service, network or volume is no longer in the manifest.
    Orphaned,
    /// No active service of the stack uses it, but a stack of the commit declares it: it stays.
    Claimed {
        /// Which.
        by: StackName,
    },
    /// Another container of the project that Moorline did not make.
    Foreign,
    /// A field differs.
    Changed {
        /// Compose attribute below the resource, such as `environment.LOG_LEVEL`, `deploy.resources.limits.memory`.
        field: String,
        /// What is asked for; `None` when it should not be set.
        desired: Option<Value>,
        /// What is there; `None` when it is not set.
        observed: Option<Value>,
    },
    /// The reference points at another image than the one that runs.
    ImageMoved {
        /// The reference.
        image: String,
    },
    /// It has another name than the one asked for.
    Renamed {
        /// The name that it has.
        observed: String,
    },
    /// It is not attached to a network.
    Disconnected {
        /// The network's name on the host.
        network: String,
    },
    /// It is attached to a network that is not asked for.
    Attached {
        /// The network's name on the host.
        network: String,
    },
    /// Its place in a network differs: aliases, fixed addresses, driver options. Detaching and attaching again cures it.
    EndpointChanged {
        /// The network's name on the host.
        network: String,
        /// Attribute below the service's network, such as `aliases` or `ipv4_address`.
        field: String,
        /// What is asked for; `None` when it should not be set.
        desired: Option<Value>,
        /// What is there; `None` when it is not set.
        observed: Option<Value>,
    },
    /// It lives in the namespaces of a container that was started after it, and has a dead one.
    LeftBehind {
        /// The other container's name.
        parent: String,
    },
    /// A predecessor that was kept until its successor is up.
    Superseded,
    /// It goes back to what ran before, because the update of its service failed with another replica.
    TakenBack {
        /// The replica that did not come up.
        with: Box<Replica>,
    },
    /// A job's definition changed since it last ran, or it never ran.
    NotRun,
    /// A job ended with a failure.
    JobFailed {
        /// Its exit code.
        exit_code: i64,
    },
    /// The image is not on the host.
    ImageMissing,
    /// The image is to be built from other files than it was.
    BuildChanged,
    /// An operator asks for it.
    ByHand,
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => write!(out, "missing"),
            Self::NotStarted => write!(out, "not started"),
            Self::Stopped { exit_code } => write!(out, "stopped (exit code {exit_code})"),
            Self::Paused => write!(out, "paused"),
            Self::Unhealthy => write!(out, "unhealthy"),
            Self::Restarting => write!(out, "restarting"),
            Self::Broken => write!(out, "broken"),
            Self::Surplus => write!(out, "surplus"),
            Self::Orphaned => write!(out, "orphaned"),
            Self::Claimed { by } => write!(out, "unused here, declared by {by}"),
            Self::Foreign => write!(out, "not made by moorline"),
            Self::Changed { field, .. } => write!(out, "{field} changed"),
            Self::ImageMoved { image } => write!(out, "image {image} moved"),
            Self::Renamed { observed } => write!(out, "renamed to {observed}"),
            Self::Disconnected { network } => write!(out, "disconnected from {network}"),
            Self::Attached { network } => write!(out, "attached to {network}"),
            Self::EndpointChanged { network, field, .. } => {
                write!(out, "{field} on {network} changed")
            }
            Self::LeftBehind { parent } => {
                write!(out, "left behind by {parent}, which was started after it")
            }
            Self::Superseded => write!(out, "superseded"),
            Self::TakenBack { with } => write!(out, "taken back with {with}"),
            Self::NotRun => write!(out, "not run"),
            Self::JobFailed { exit_code } => write!(out, "job failed (exit code {exit_code})"),
            Self::ImageMissing => write!(out, "image missing"),
            Self::BuildChanged => write!(out, "build changed"),
            Self::ByHand => write!(out, "asked for by hand"),
        }
    }
}

/// What a difference needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cure {
    /// The Engine can change it on the running container.
    InPlace,
    /// Only another container helps.
    Replace,
    /// Only a start, unpause or restart.
    Revive,
    /// It is to be made.
    Create,
    /// It is to go.
    Remove,
    /// Nothing now: it is on its way, or someone else owns it. Reported only.
    None,
}

/// One difference: resource, reason, cure, and the manifest's place that asks for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Drift {
    /// What.
    pub resource: Resource,
    /// Why.
    pub reason: Reason,
    /// What it needs.
    pub cure: Cure,
    /// Where the manifest asks for it.
    pub origin: Option<Location>,
}

impl Drift {
    /// Whether it is data that nobody asks for any more, or something that stays because a stack of the commit declares
    /// it. That is said, and is no difference that waits for anyone: the stack is in sync with it. What policy lets go
    /// of such data goes last, once everything on the host is in sync.
    pub fn is_kept(&self) -> bool {
        let is_volume = matches!(self.resource, Resource::Volume(_));
        (is_volume && self.reason == Reason::Orphaned)
            || matches!(self.reason, Reason::Claimed { .. })
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.resource, self.reason)?;
        if let Some(origin) = &self.origin {
            write!(out, " ({origin})")?;
        }
        Ok(())
    }
}
