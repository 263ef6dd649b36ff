//! A service's mounts.

use std::collections::BTreeMap;

use super::{Bytes, record};

record! {
/// A mount of a service.
pub struct ServiceVolume {
    /// `bind`, `volume`, `tmpfs`, `npipe`, `cluster`, `image`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Absolute host path, key of a volume, or image; empty for anonymous volumes.
    pub source: String,
    /// Path in the container.
    pub target: String,
    /// Read-only.
    pub read_only: bool,
    /// Consistency (macOS).
    pub consistency: String,
    /// Options of binds.
    pub bind: Option<BindOption>,
    /// Options of volumes.
    pub volume: Option<VolumeOption>,
    /// Options of temporary file systems.
    pub tmpfs: Option<TmpfsOption>,
    /// Options of image mounts.
    pub image: Option<ImageOption>,
}
}

/// Options of a bind mount.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct BindOption {
    /// `z` or `Z`.
    #[serde(skip_serializing_if = "super::is_default")]
    pub selinux: String,
    /// Propagation.
    #[serde(skip_serializing_if = "super::is_default")]
    pub propagation: String,
    /// The host folder is made when it is missing. Default true, and then left out when printed.
    #[serde(skip_serializing_if = "super::is_true")]
    pub create_host_path: bool,
    /// `enabled`, `disabled`, `writable`, `readonly`.
    #[serde(skip_serializing_if = "super::is_default")]
    pub recursive: String,
}

impl Default for BindOption {
    fn default() -> Self {
        Self {
            selinux: String::new(),
            propagation: String::new(),
            create_host_path: true,
            recursive: String::new(),
        }
    }
}

record! {
/// Options of a volume mount.
pub struct VolumeOption {
    /// Labels of an anonymous volume.
    pub labels: BTreeMap<String, String>,
    /// The image's content is not copied.
    pub nocopy: bool,
    /// A folder inside the volume.
    pub subpath: String,
}
}

record! {
/// Options of a temporary file system.
pub struct TmpfsOption {
    /// Size.
    pub size: Bytes,
    /// Mode as a number.
    pub mode: u32,
}
}

record! {
/// Options of an image mount.
pub struct ImageOption {
    /// A folder inside the image.
    pub subpath: String,
}
}
