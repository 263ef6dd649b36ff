//! What a host runs, as far as it could be seen.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{
    ContainerConfig, ContainerId, ContainerSpec, Digest, Gap, ImageRef, NetworkSpec, PathSight,
    Replica, Revision, Timestamp, VolumeSpec,
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
    /// Address ranges of networks that are none of the stack's, where the stack asks for one that meets them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subnets_taken: Vec<TakenSubnet>,
    /// What is at the paths of the host that containers to be made or started mount, where that was asked.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub paths: BTreeMap<String, PathSight>,
    /// When the Engine itself last started, by its own clock, if it tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_started_at: Option<Timestamp>,
}

/// An address range that a network of the host holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TakenSubnet {
    /// The range, in CIDR form.
    pub subnet: String,
    /// The network's name.
    pub network: String,
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
    /// Whether its kernel counts swap. Where it does not, a container's swap limit shows as none whatever was asked for.
    pub counts_swap: bool,
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
    /// Whether it is remembered that we made it. Only then its labels tell what it was made from: anybody's image and
    /// `docker run --label` can carry the same ones.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub vouched: bool,
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
    /// What it sees where files from Git should lie, by path in it. Absent where it was not asked about, or could not be
    /// read: then the files are taken for what they should be.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub contents: BTreeMap<String, Content>,
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

/// What lies at a path of a container.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// Nothing.
    Missing,
    /// Something of another kind lies at one of the container's mounts, so that nothing in it can be looked at.
    Misplaced,
    /// A file of this SHA-256.
    File(Digest),
    /// A folder: the SHA-256 of each file, by its path below it.
    Folder(BTreeMap<String, Digest>),
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
    /// A digest of what the image was built from, where it does not say so itself and was taken over with a stack that
    /// docker compose made: what Git said when it was.
    pub taken_as: Option<String>,
    /// What the registry says that the reference points at now, when it was asked: a manifest digest.
    pub registry_digest: Option<String>,
}

impl NetworkSpec {
    /// The address ranges that it names, in CIDR form.
    pub fn subnets(&self) -> impl Iterator<Item = &str> {
        let pools = self.ipam.iter().flat_map(|ipam| &ipam.config);
        pools.map(|pool| pool.subnet.as_str()).filter(|subnet| !subnet.is_empty())
    }
}

/// Whether two ranges in CIDR form have an address in common. Text that is none meets nothing.
pub fn subnets_meet(one: &str, other: &str) -> bool {
    let (Some((a, a_bits)), Some((b, b_bits))) = (range(one), range(other)) else { return false };
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let shared = a_bits.min(b_bits).min(32);
            let mask = u32::MAX.checked_shl(32 - shared).unwrap_or(0);
            a.to_bits() & mask == b.to_bits() & mask
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let shared = a_bits.min(b_bits).min(128);
            let mask = u128::MAX.checked_shl(128 - shared).unwrap_or(0);
            a.to_bits() & mask == b.to_bits() & mask
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

fn range(text: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = text.split_once('/')?;
    Some((address.parse().ok()?, bits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_meet_where_one_holds_the_other() {
        for (one, other, meet) in [
            ("10.0.0.0/8", "10.9.8.0/24", true),
            ("10.9.8.0/24", "10.0.0.0/8", true),
            ("10.9.8.0/24", "10.9.9.0/24", false),
            ("10.9.8.0/25", "10.9.8.128/25", false),
            ("0.0.0.0/0", "192.168.0.0/16", true),
            ("fd00::/8", "fd12:3456::/32", true),
            ("fd00::/64", "fd00:0:0:1::/64", false),
            ("fd00::/64", "10.0.0.0/8", false),
            ("nonsense", "10.0.0.0/8", false),
            ("10.0.0.1/32", "10.0.0.1/32", true),
        ] {
            assert_eq!(subnets_meet(one, other), meet, "{one} {other}");
        }
    }
}
