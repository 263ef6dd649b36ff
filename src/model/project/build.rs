//! Builds, and development settings.

use std::collections::BTreeMap;

use super::parts::{FileMount, Ulimits};
use super::{Bytes, record};

record! {
/// How a service's image is built.
pub struct Build {
    /// Absolute folder, or a URL.
    pub context: String,
    /// Dockerfile, relative to the context.
    pub dockerfile: String,
    /// The Dockerfile's content.
    pub dockerfile_inline: String,
    /// Further rights of the build.
    pub entitlements: Vec<String>,
    /// Arguments; `None` when neither file nor environment gives a value.
    pub args: BTreeMap<String, Option<String>>,
    /// Provenance attestation.
    pub provenance: String,
    /// SBOM attestation.
    pub sbom: String,
    /// SSH agents or keys, `ID` or `ID=PATH`.
    pub ssh: Vec<String>,
    /// Image labels.
    pub labels: BTreeMap<String, String>,
    /// Where layers may be taken from.
    pub cache_from: Vec<String>,
    /// Where layers are exported to.
    pub cache_to: Vec<String>,
    /// Without cache.
    pub no_cache: bool,
    /// Stages without cache.
    pub no_cache_filter: Vec<String>,
    /// Further contexts: name to absolute folder, URL or `service:NAME`.
    pub additional_contexts: BTreeMap<String, String>,
    /// Always pull base images.
    pub pull: bool,
    /// `HOST=IP`, sorted.
    pub extra_hosts: Vec<String>,
    /// Isolation (Windows).
    pub isolation: String,
    /// Network of the build.
    pub network: String,
    /// Stage.
    pub target: String,
    /// Secrets.
    pub secrets: Vec<FileMount>,
    /// Bytes of /dev/shm.
    pub shm_size: Bytes,
    /// Further image names.
    pub tags: Vec<String>,
    /// Process limits.
    pub ulimits: BTreeMap<String, Ulimits>,
    /// Platforms.
    pub platforms: Vec<String>,
    /// With all privileges.
    pub privileged: bool,
}
}

record! {
/// Development settings; nothing of it is acted on.
pub struct Develop {
    /// What is watched.
    pub watch: Vec<Watch>,
}
}

/// One watched path. `exec` is always printed, as in the reference.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Watch {
    /// Absolute path.
    #[serde(skip_serializing_if = "super::is_default")]
    pub path: String,
    /// `sync`, `rebuild`, `restart`, `sync+restart`, `sync+exec`.
    #[serde(skip_serializing_if = "super::is_default")]
    pub action: String,
    /// Path in the container.
    #[serde(skip_serializing_if = "super::is_default")]
    pub target: String,
    /// What runs afterwards.
    pub exec: WatchExec,
    /// Patterns.
    #[serde(skip_serializing_if = "super::is_default")]
    pub include: Vec<String>,
    /// Patterns.
    #[serde(skip_serializing_if = "super::is_default")]
    pub ignore: Vec<String>,
    /// Synchronised at the start.
    #[serde(skip_serializing_if = "super::is_default")]
    pub initial_sync: bool,
}

/// A command after a synchronisation.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct WatchExec {
    /// Command and arguments.
    pub command: Option<Vec<String>>,
    /// User.
    #[serde(skip_serializing_if = "super::is_default")]
    pub user: String,
    /// With all privileges.
    #[serde(skip_serializing_if = "super::is_default")]
    pub privileged: bool,
    /// Working directory.
    #[serde(skip_serializing_if = "super::is_default")]
    pub working_dir: String,
    /// Variables.
    #[serde(skip_serializing_if = "super::is_default")]
    pub environment: BTreeMap<String, Option<String>>,
}
