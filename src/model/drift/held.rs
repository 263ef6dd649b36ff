//! What a plan deliberately leaves alone, and the reasons there are for that.

use serde::{Deserialize, Serialize};

use crate::model::{
    Claimed, Drift, HostName, Location, Reason, Replica, Resource, StackName, Timestamp, Value,
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
    /// It was not made by us, and nothing in the manifest asks for it: no word takes it over.
    NotAskedFor,
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
    /// A folder of the host is not there, and what it is to hold lies elsewhere.
    FolderElsewhere {
        /// The folder.
        path: String,
        /// Where its data lies: a folder of the host, or a volume.
        lies_in: String,
        /// The stack.
        stack: StackName,
        /// What `directory` has to say so that the data is found; `None` where no such line would do.
        directory: Option<String>,
    },
    /// A folder of the host held the service's data, and is not there any more.
    FolderGone {
        /// The folder.
        path: String,
    },
    /// It would be empty, and its data seems to be that of a stack that left: it was renamed, or moved.
    SeemsRenamed {
        /// What: a volume's key in the manifest, or a folder.
        what: String,
        /// The stack.
        stack: StackName,
        /// The stack that left.
        from: StackName,
        /// The Compose project of that one.
        project: StackName,
        /// The host that has the data, where that is another one.
        host: Option<HostName>,
    },
    /// It is to be a file, and is neither in Git nor on the host: the Engine would make a folder.
    FileMissing {
        /// Its path on the host.
        path: String,
    },
    /// Nothing is at a path of the host that is not to be made.
    PathMissing {
        /// The path.
        path: String,
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
    /// The host could not start it; that says nothing of the commit.
    HostInTrouble {
        /// The Engine's own words.
        error: String,
        /// It is tried again then.
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
    /// A network that is not of this stack holds addresses of the range that it is to have.
    SubnetTaken {
        /// The range that is asked for.
        subnet: String,
        /// The network.
        network: String,
        /// The range that it holds.
        holds: String,
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
        /// Whose new container that was: the whole service goes back with it.
        #[serde(default)]
        replica: Option<Box<Replica>>,
    },
    /// What was to take its place did not come up, and the manifest says to leave it so.
    UpdatePaused {
        /// How the new container failed.
        reason: Box<Reason>,
        /// The Engine's own words; empty where it had none.
        error: String,
        /// Whose new container that was.
        #[serde(default)]
        replica: Option<Box<Replica>>,
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

    /// Whether it would start empty, and waits for a word about the data that lies elsewhere.
    pub fn is_about_data(&self) -> bool {
        match self {
            Self::WouldStartEmpty { .. }
            | Self::FolderElsewhere { .. }
            | Self::SeemsRenamed { .. } => true,
            Self::WaitsFor { why, .. } | Self::WaitsForReplica { why, .. } => {
                why.as_ref().is_some_and(|why| why.is_about_data())
            }
            _ => false,
        }
    }

    /// Whether what is asked for cannot be had as things are: something that it needs is not there, or belongs to
    /// somebody else. What policy leaves alone is no obstacle, and neither is what only takes time.
    pub fn is_obstacle(&self) -> bool {
        match self {
            Self::PlaceTaken
            | Self::NameHeldByForeign { .. }
            | Self::NameHeldByRepository { .. }
            | Self::NameHeldByStack { .. }
            | Self::NameTaken { .. }
            | Self::Contested { .. }
            | Self::WouldStartEmpty { .. }
            | Self::ExternalMissing
            | Self::ImageWithheld
            | Self::StrangerAttached { .. }
            | Self::WaitsForContainer { .. }
            | Self::FolderElsewhere { .. }
            | Self::FolderGone { .. }
            | Self::SeemsRenamed { .. }
            | Self::FileMissing { .. }
            | Self::PathMissing { .. }
            | Self::SubnetTaken { .. }
            | Self::PortTaken { .. } => true,
            Self::WaitsFor { why, .. } | Self::WaitsForReplica { why, .. } => {
                why.as_ref().is_some_and(|why| why.is_obstacle())
            }
            Self::EngineRestarts
            | Self::BeingRemoved
            | Self::NotOurs
            | Self::NotAskedFor
            | Self::OtherRepository { .. }
            | Self::StaysDeclared
            | Self::StackUnreadable { .. }
            | Self::NotAllInSync { .. }
            | Self::VolumeKept
            | Self::VolumeUnchangeable
            | Self::PruneVolumesOff
            | Self::PruneServicesOff
            | Self::PruneNetworksOff
            | Self::ReportOnly
            | Self::Slowed { .. }
            | Self::HostInTrouble { .. }
            | Self::StillAttached
            | Self::StillUsed
            | Self::DoesNotConverge { .. }
            | Self::LeftUnhealthy
            | Self::Unseen
            | Self::RolledBack { .. }
            | Self::UpdatePaused { .. }
            | Self::NoCure => false,
        }
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
