//! Desired state: a Compose application after interpolation, merge and normalisation.
//!
//! The shapes follow the reference's canonical model: `Serialize` prints the JSON that
//! `docker compose config --format json` prints. As there, a zero value means "not set", and `Option` is used
//! where zero has a meaning of its own. Paths are absolute from [`Project::root`].

mod build;
mod deploy;
mod origins;
mod parts;
mod resource;
mod scalars;
mod service;
mod volume;

use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

pub use build::{Build, Develop, Watch, WatchExec};
pub use deploy::{
    Deploy, DiscreteResource, GenericResource, Limits, Placement, Preference, Resources,
    ServiceRestart, Update,
};
pub use origins::Origins;
pub use parts::{FileMount, Gpu, Ulimits};
pub use resource::{FileObject, IpamConfig, Model, Network, Pool, SecretObject, Volume};
pub use scalars::{Bytes, DeviceCount, Octal, Period, Ratio, parse_bytes, parse_period};
pub use service::{
    Blkio, CredentialSpec, Device, DevicePath, EnvFile, Extends, Healthcheck, Link, Logging,
    PreStart, Provider, Rate, Service, ServiceHook, ServiceModel, ServiceNetwork, ServicePort,
};
pub use volume::{BindOption, ImageOption, ServiceVolume, TmpfsOption, VolumeOption};

use super::{ServiceName, StackName};

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_true(value: &bool) -> bool {
    *value
}

/// Declares a record whose fields are left out when they are zero, and read leniently.
macro_rules! record {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$field_doc:meta])* pub $field:ident : $kind:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        pub struct $name {
            $($(#[$field_doc])*
            #[serde(skip_serializing_if = "crate::model::project::is_default")]
            pub $field: $kind,)*
        }
    };
}
use record;

/// A key of an `x-` attribute, with its value.
pub type Extensions = BTreeMap<String, serde_json::Value>;

/// A Compose application.
#[derive(Debug, Clone)]
pub struct Project {
    /// Project name.
    pub name: StackName,
    /// The absolute folder that relative paths were resolved against.
    pub root: String,
    /// Services of the active profiles.
    pub services: BTreeMap<ServiceName, Service>,
    /// Services that no active profile enables. Their networks and volumes are not among the project's.
    pub disabled: BTreeMap<ServiceName, Service>,
    /// Networks that services use, by key.
    pub networks: BTreeMap<String, Network>,
    /// Volumes that services use, by key.
    pub volumes: BTreeMap<String, Volume>,
    /// Networks that are declared, and that no service of the active profiles uses.
    pub unused_networks: BTreeMap<String, Network>,
    /// Volumes that are declared, and that no service of the active profiles uses.
    pub unused_volumes: BTreeMap<String, Volume>,
    /// Configs that services use, by key.
    pub configs: BTreeMap<String, FileObject>,
    /// Secrets that services or builds use, by key.
    pub secrets: BTreeMap<String, SecretObject>,
    /// Models that services use, by key. The reference's JSON leaves them out, its YAML does not.
    pub models: BTreeMap<String, Model>,
    /// Top-level `x-` attributes.
    pub extensions: Extensions,
    /// Where each attribute stands.
    pub origins: Origins,
}

impl Project {
    /// A project without anything in it.
    pub fn empty(name: StackName, root: impl Into<String>) -> Self {
        Self {
            name,
            root: root.into(),
            services: BTreeMap::new(),
            disabled: BTreeMap::new(),
            networks: BTreeMap::new(),
            volumes: BTreeMap::new(),
            unused_networks: BTreeMap::new(),
            unused_volumes: BTreeMap::new(),
            configs: BTreeMap::new(),
            secrets: BTreeMap::new(),
            models: BTreeMap::new(),
            extensions: BTreeMap::new(),
            origins: Origins::default(),
        }
    }

    /// A path of the model relative to the root, with `/` and without a leading one: `""` for the root itself.
    /// `None` when it lies outside.
    pub fn below_root<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(self.root.trim_end_matches('/'))?;
        if rest.is_empty() { Some("") } else { rest.strip_prefix('/') }
    }
}

impl Serialize for Project {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &self.name)?;
        map.serialize_entry("services", &self.services)?;
        if !self.networks.is_empty() {
            map.serialize_entry("networks", &self.networks)?;
        }
        if !self.volumes.is_empty() {
            map.serialize_entry("volumes", &self.volumes)?;
        }
        if !self.configs.is_empty() {
            map.serialize_entry("configs", &self.configs)?;
        }
        if !self.secrets.is_empty() {
            map.serialize_entry("secrets", &self.secrets)?;
        }
        for (key, value) in &self.extensions {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}
