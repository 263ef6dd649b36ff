//! Networks, volumes, configs, secrets and models.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{is_default, record};
use crate::model::Secret;

/// A network. `ipam` is always printed, as in the reference.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Network {
    /// Name on the host.
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
    /// Driver.
    #[serde(skip_serializing_if = "is_default")]
    pub driver: String,
    /// Driver options.
    #[serde(skip_serializing_if = "is_default")]
    pub driver_opts: BTreeMap<String, String>,
    /// Addresses.
    pub ipam: IpamConfig,
    /// Made elsewhere.
    #[serde(skip_serializing_if = "is_default")]
    pub external: bool,
    /// No way out.
    #[serde(skip_serializing_if = "is_default")]
    pub internal: bool,
    /// Other containers may attach.
    #[serde(skip_serializing_if = "is_default")]
    pub attachable: bool,
    /// Labels.
    #[serde(skip_serializing_if = "is_default")]
    pub labels: BTreeMap<String, String>,
    /// IPv4, when said.
    #[serde(skip_serializing_if = "is_default")]
    pub enable_ipv4: Option<bool>,
    /// IPv6, when said.
    #[serde(skip_serializing_if = "is_default")]
    pub enable_ipv6: Option<bool>,
}

record! {
/// Address management of a network.
pub struct IpamConfig {
    /// Driver.
    pub driver: String,
    /// Pools.
    pub config: Vec<Pool>,
    /// Driver options.
    pub options: BTreeMap<String, String>,
}
}

record! {
/// A pool of addresses.
pub struct Pool {
    /// CIDR.
    pub subnet: String,
    /// Gateway.
    pub gateway: String,
    /// CIDR that addresses are taken from.
    pub ip_range: String,
    /// Addresses in use: name to address.
    pub aux_addresses: BTreeMap<String, String>,
}
}

record! {
/// A volume.
pub struct Volume {
    /// Name on the host.
    pub name: String,
    /// Driver.
    pub driver: String,
    /// Driver options.
    pub driver_opts: BTreeMap<String, String>,
    /// Made elsewhere.
    pub external: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}
}

/// A config. Its content comes from exactly one of `file`, `content` and `environment`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileObject {
    /// Name.
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
    /// Absolute path of the file with its content.
    #[serde(skip_serializing_if = "is_default")]
    pub file: String,
    /// The variable with its content.
    #[serde(skip_serializing_if = "is_default")]
    pub environment: String,
    /// Its content.
    #[serde(skip_serializing_if = "is_default")]
    pub content: String,
    /// Made elsewhere.
    #[serde(skip_serializing_if = "is_default")]
    pub external: bool,
    /// Labels.
    #[serde(skip_serializing_if = "is_default")]
    pub labels: BTreeMap<String, String>,
    /// Driver.
    #[serde(skip_serializing_if = "is_default")]
    pub driver: String,
    /// Driver options.
    #[serde(skip_serializing_if = "is_default")]
    pub driver_opts: BTreeMap<String, String>,
    /// Template driver.
    #[serde(skip_serializing_if = "is_default")]
    pub template_driver: String,
    /// The value of the variable `environment`, when it is set.
    #[serde(skip)]
    pub value: Option<Secret<String>>,
}

/// A secret. Its content is never printed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecretObject {
    /// Name.
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
    /// Absolute path of the file with its content.
    #[serde(skip_serializing_if = "is_default")]
    pub file: String,
    /// The variable with its content.
    #[serde(skip_serializing_if = "is_default")]
    pub environment: String,
    /// Made elsewhere.
    #[serde(skip_serializing_if = "is_default")]
    pub external: bool,
    /// Labels.
    #[serde(skip_serializing_if = "is_default")]
    pub labels: BTreeMap<String, String>,
    /// Driver.
    #[serde(skip_serializing_if = "is_default")]
    pub driver: String,
    /// Driver options.
    #[serde(skip_serializing_if = "is_default")]
    pub driver_opts: BTreeMap<String, String>,
    /// Template driver.
    #[serde(skip_serializing_if = "is_default")]
    pub template_driver: String,
    /// The value of the variable `environment`, when it is set.
    #[serde(skip)]
    pub value: Option<Secret<String>>,
}

record! {
/// A language model.
pub struct Model {
    /// Name.
    pub name: String,
    /// Which model.
    pub model: String,
    /// Context size.
    pub context_size: i64,
    /// Flags of the runtime.
    pub runtime_flags: Vec<String>,
}
}
