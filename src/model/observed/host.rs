//! What a host runs, as far as it could be seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{
    ContainerConfig, ContainerId, ContainerSpec, Digest, Gap, ImageRef, NetworkSpec, Replica,
    Revision, Timestamp, VolumeSpec,
};

/// A host's resources that concern one stack, at one instant. Possibly partial: then `gaps` says what was not seen,
/// and nothing may be decided from the absence of such a thing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observed {
    /// When the look ended.
    pub taken_at: Timestamp,
    /// The Engine itself.
    pub engine: EngineFacts,
    /// Containers of the stack's Compose project, ours and foreign, and any container that holds a name that the
    /// stack needs; sorted by name.
    pub containers: Vec<ObservedContainer>,
    /// Networks of the project, and those whose names the stack needs; by name.
    pub networks: BTreeMap<String, ObservedNetwork>,
    /// Volumes of the project, and those whose names the stack needs; by name.
    pub volumes: BTreeMap<String, ObservedVolume>,
    /// What the host knows of each image that the stack asks for.
    pub images: BTreeMap<ImageRef, ImageSight>,
    /// What could not be seen.
    pub gaps: Vec<Gap>,
    /// Host ports that the stack asks for and that containers outside of it hold now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports_taken: Vec<TakenPort>,
    /// When the Engine itself last started, by its own clock, if it tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_started_at: Option<Timestamp>,
}

/// A host port that a running container holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TakenPort {
    /// The host's address on which it is published; `0.0.0.0` or `::` for all.
    pub address: String,
    /// Its number.
    pub port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// The container's name.
    pub container: String,
    /// The stack that the container's labels name; empty where they name none.
    pub stack: String,
}

/// Facts of an Engine that change what it can be asked for and what it fills in by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct EngineFacts {
    /// API version that is spoken, as (major, minor), such as (1, 41).
    pub api: (u32, u32),
    /// Engine version, such as `20.10.24`.
    pub version: String,
    /// `linux/amd64`.
    pub platform: String,
    /// The Engine's own id, to tell hosts apart.
    pub id: String,
    /// CPUs.
    pub cpus: u32,
    /// Memory in bytes.
    pub memory: u64,
    /// Log driver for containers that ask for none.
    pub log_driver: String,
    /// Runtime for containers that ask for none.
    pub runtime: String,
    /// 1 or 2.
    pub cgroup_version: String,
}

/// Whose a resource is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ownership {
    /// Ours: it carries this stack's and this repository's labels.
    Ours,
    /// Made for another stack of the same repository: two stacks may share a network or volume by its name.
    Neighbour(String),
    /// Of this stack's name, but made for another repository.
    OtherRepository(String),
    /// Made by something else under the same Compose project name (docker compose, by hand).
    Foreign,
    /// Not of this project at all: it only holds a name that the stack needs.
    Unrelated,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ObservedContainer {
    /// Its id.
    pub id: ContainerId,
    /// Its name, without the slash.
    pub name: String,
    /// Whose it is.
    pub ownership: Ownership,
    /// The replica that its labels name, if they do.
    pub replica: Option<Replica>,
    /// `docker compose run` container.
    pub one_off: bool,
    /// The commit that made it (`moorline.revision`).
    pub revision: Option<Revision>,
    /// Digest of the specification that it was made from (`moorline.spec`).
    pub spec_label: Option<String>,
    /// What inspect says; the image's own values are already mixed in by the Engine.
    pub spec: Arc<ContainerSpec>,
    /// Id of the image that it runs, `sha256:…`.
    pub image_id: String,
    /// What it does.
    pub state: ContainerState,
    /// Health check's verdict.
    pub health: HealthCheckState,
    /// How often the Engine restarted it by itself.
    pub restart_count: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last started, if it ever did.
    pub started_at: Option<Timestamp>,
    /// When it last ended, if it ever did.
    pub finished_at: Option<Timestamp>,
    /// Whether it ended because it was told to: a stop or a deadly signal through the Engine.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopped_by_hand: bool,
    /// The Engine's error text of the last start, if any.
    pub error: String,
    /// How it failed, as far as anybody knows more than its state: what its health check or its log said last.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last_words: String,
    /// Anonymous and named volumes by target, so that a successor can inherit anonymous ones.
    pub mounts: BTreeMap<String, ObservedMount>,
    /// SHA-256 of single files that a foreign container to be adopted mounts from its project folder, by target: what
    /// the container sees. Absent where it was not asked for; then adoption trusts the path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, Digest>,
    /// Networks that it belongs to and has no interface in, although it runs.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub lost_interfaces: BTreeSet<String>,
}

impl ObservedContainer {
    /// What inspect says, for a change: what is shared with others becomes its own first.
    pub fn spec_mut(&mut self) -> &mut ContainerSpec {
        Arc::make_mut(&mut self.spec)
    }
}

/// A mount as inspect reports it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ObservedMount {
    /// `bind`, `volume`, `tmpfs`.
    pub kind: String,
    /// Volume name, for volumes.
    pub name: String,
    /// Host path.
    pub source: String,
    /// May be written.
    pub writable: bool,
    /// Propagation of binds.
    pub propagation: String,
    /// Mode text, such as `z`.
    pub mode: String,
}

/// What a container does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContainerState {
    /// Made, never started.
    Created,
    /// Running.
    Running,
    /// Paused.
    Paused,
    /// The Engine's restart policy is bringing it back.
    Restarting,
    /// Being removed.
    Removing,
    /// Ended, with this code.
    Exited(i64),
    /// Could not be removed.
    Dead,
    /// A word that this program does not know.
    Unknown,
}

impl ContainerState {
    /// Whether its processes run (paused ones do).
    pub fn is_up(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Restarting)
    }
}

/// A health check's verdict.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum HealthCheckState {
    /// There is no health check.
    #[default]
    None,
    /// Not known yet.
    Starting,
    /// Healthy.
    Healthy,
    /// Unhealthy.
    Unhealthy,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ObservedNetwork {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub ownership: Ownership,
    /// What inspect says.
    pub spec: NetworkSpec,
    /// Containers attached to it, as far as the Engine tells (running ones).
    pub attached: Vec<ContainerId>,
    /// Ids of further networks of the same name that carry our labels too. The Engine does not keep names of networks
    /// apart; of several, the one that is in use counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub twins: Vec<String>,
}

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ObservedVolume {
    /// Whose it is.
    pub ownership: Ownership,
    /// What inspect says.
    pub spec: VolumeSpec,
    /// When it was made, if the Engine tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// Bytes that it holds, where that was asked for and the Engine could tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// What the host knows of an image reference.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageSight {
    /// It is there.
    Present(Box<ObservedImage>),
    /// It is not there.
    Absent,
}

/// An image on the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct ObservedImage {
    /// Its id, `sha256:…`.
    pub id: String,
    /// `name@sha256:…` under which registries know it.
    pub repo_digests: Vec<String>,
    /// Its defaults for containers.
    pub config: ContainerConfig,
    /// `linux/amd64`.
    pub platform: String,
    /// When it was last pulled or tagged here, if the Engine tells.
    pub tagged_at: Option<Timestamp>,
    /// What the registry says that the reference points at now, when it was asked: a manifest digest.
    pub registry_digest: Option<String>,
}
