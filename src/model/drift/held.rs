//! What a plan deliberately leaves alone, and the reasons there are for that.

use serde::{Deserialize, Serialize};

use crate::model::{
    Claimed, Drift, Location, Reason, Replica, Resource, StackName, Timestamp, Value,
};

/// Something seen and deliberately left alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Held {
    /// What.
    pub drift: Drift,
    /// Why nothing is done.
    pub why: HeldBecause,
}

/// Why nothing is done about a drift. Its words are made where plans are written as text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum HeldBecause {
    /// The Engine's own restart policy is bringing it back.
    EngineRestarts,
    /// The Engine is removing it.
    BeingRemoved,
    /// It was not made by us, and the stack does not adopt.
    NotOurs,
    /// It was made for another repository.
    OtherRepository {
        /// Which.
        repository: String,
    },
    /// A container that we did not make has the replica's name or number.
    PlaceTaken,
    /// A container of the project that we did not make has the replica's name.
    NameHeldByForeign {
        /// The container's name.
        container: String,
    },
    /// A container of another repository's stack has the replica's name.
    NameHeldByRepository {
        /// The container's name.
        container: String,
        /// The repository.
        repository: String,
    },
    /// A container of another stack has the replica's name.
    NameHeldByStack {
        /// The container's name.
        container: String,
        /// The stack.
        stack: String,
    },
    /// A stack of the commit declares it, though no active service of this one uses it.
    StaysDeclared,
    /// Another stack of the commit wants it, and only one can have it.
    Contested {
        /// What.
        what: Claimed,
        /// The other stack.
        by: StackName,
        /// Where that one says so.
        place: Location,
        /// How they differ, where both could have it if they asked for the same; else empty.
        difference: String,
    },
    /// It would be empty, while what it is to hold lies in another volume.
    WouldStartEmpty {
        /// Its key in the manifest.
        key: String,
        /// The other volume.
        lies_in: String,
    },
    /// The manifests of a stack of the host cannot be used, and it may ask for it.
    StackUnreadable {
        /// Which.
        stack: StackName,
    },
    /// It goes once everything on the host is in sync.
    NotAllInSync {
        /// The first stack that is not.
        stack: StackName,
    },
    /// A container that has nothing to do with the project has the replica's name.
    NameTaken {
        /// The name.
        name: String,
    },
    /// It is external and does not exist.
    ExternalMissing,
    /// The image is not on the host and may not be fetched.
    ImageWithheld,
    /// A volume is not changed without a word in policy.
    VolumeKept,
    /// A volume cannot be changed without losing its data.
    VolumeUnchangeable,
    /// A volume is not removed without a word in policy.
    PruneVolumesOff,
    /// Orphaned containers are not removed: policy.
    PruneServicesOff,
    /// Orphaned networks are not removed: policy.
    PruneNetworksOff,
    /// Drift of the host is only told: policy.
    ReportOnly,
    /// It is being given time.
    Slowed {
        /// Why.
        slowed: Slowed,
        /// Not before.
        until: Timestamp,
    },
    /// A container that is not of this stack is attached to the network.
    StrangerAttached {
        /// Its name, or its id where the name is not known.
        container: String,
    },
    /// Containers that stay are attached to the network.
    StillAttached,
    /// Containers that stay use the volume.
    StillUsed,
    /// It waits for something else that is not there, or that is held itself.
    WaitsFor {
        /// For what.
        resource: Resource,
        /// Why that is not there; `None` when only its absence is known.
        why: Option<Box<Self>>,
    },
    /// It waits for a replica that is not there, or that is held itself.
    WaitsForReplica {
        /// For which.
        replica: Replica,
        /// Why that is not there; `None` when only its absence is known.
        why: Option<Box<Self>>,
    },
    /// It waits for a container of another stack, in whose namespaces or with whose volumes it is to live.
    WaitsForContainer {
        /// The container's name.
        name: String,
    },
    /// A container that is not of this stack holds a host port that it publishes.
    PortTaken {
        /// Port and protocol, such as `8080/tcp`.
        port: String,
        /// Who holds it.
        container: String,
    },
    /// Its cure was carried out so often, and the difference is still there.
    DoesNotConverge {
        /// How often.
        cures: u32,
        /// What the Engine says that there is; `None` when it says that it is not set.
        observed: Option<Value>,
    },
    /// It is unhealthy, and the manifest says to leave it so.
    LeftUnhealthy,
    /// It could not be seen.
    Unseen,
    /// What was to take its place did not come up; the predecessor runs.
    RolledBack {
        /// How the new container failed.
        reason: Box<Reason>,
        /// The Engine's own words, or its own; empty where there are none.
        error: String,
        /// What serves instead: the image, and the commit that made it where that is known.
        #[serde(default)]
        serves: Box<str>,
    },
    /// What was to take its place did not come up, and the manifest says to leave it so.
    UpdatePaused {
        /// How the new container failed.
        reason: Reason,
        /// The Engine's own words; empty where it had none.
        error: String,
    },
    /// Nothing can be done from here.
    NoCure,
}

impl HeldBecause {
    /// Whether something that happens on the host may end it; a word in policy or a commit ends the others.
    pub fn may_end_by_itself(&self) -> bool {
        !matches!(
            self,
            Self::VolumeKept
                | Self::PruneVolumesOff
                | Self::PruneServicesOff
                | Self::PruneNetworksOff
                | Self::ReportOnly
                | Self::LeftUnhealthy
        )
    }

    /// Whether it was taken back because what was asked for did not come up.
    pub fn is_rollback(&self) -> bool {
        matches!(self, Self::RolledBack { .. })
    }
}

/// Why a replica's recovery is slowed down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Slowed {
    /// It failed a moment ago.
    FailedJustNow,
    /// It fails again and again.
    KeepsFailing {
        /// How often in ten minutes.
        failures: usize,
    },
}
