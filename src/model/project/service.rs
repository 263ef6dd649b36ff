//! A service.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::volume::ServiceVolume;
use super::{
    Build, Bytes, Deploy, Develop, Extensions, FileMount, Gpu, Period, Ratio, Ulimits, is_default,
    record,
};
use crate::model::ServiceName;

macro_rules! service {
    ($($(#[$doc:meta])* pub $field:ident : $kind:ty,)*) => {
        /// A service. `command` and `entrypoint` are always printed, as in the reference.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct Service {
            /// Command and arguments; `Some([])` clears the image's.
            pub command: Option<Vec<String>>,
            /// Entrypoint; `Some([])` clears the image's.
            pub entrypoint: Option<Vec<String>>,
            /// Env files. They are part of `environment` already, and not printed.
            #[serde(skip_serializing)]
            pub env_file: Vec<EnvFile>,
            /// Containers that run before it.
            #[serde(skip_deserializing, skip_serializing_if = "is_default")]
            pub pre_start: Vec<PreStart>,
            /// `x-` attributes, not printed in JSON.
            #[serde(skip)]
            pub extensions: Extensions,
            $($(#[$doc])*
            #[serde(skip_serializing_if = "is_default")]
            pub $field: $kind,)*
        }
    };
}

/// A service of another file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Extends {
    /// Absolute path of the file.
    #[serde(skip_serializing_if = "is_default")]
    pub file: String,
    /// The service.
    pub service: String,
}

service! {
    /// Profiles that enable it; empty for always.
    pub profiles: Vec<String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Logs are shown by `up`; no meaning here.
    pub attach: Option<bool>,
    /// How its image is built.
    pub build: Option<Build>,
    /// What it would extend, where that is a service without anything in it: then nothing is taken over, and the
    /// reference goes on saying so.
    pub extends: Option<Extends>,
    /// Development settings.
    pub develop: Option<Develop>,
    /// Block I/O limits.
    pub blkio_config: Option<Blkio>,
    /// Added capabilities.
    pub cap_add: Vec<String>,
    /// Dropped capabilities.
    pub cap_drop: Vec<String>,
    /// Parent cgroup.
    pub cgroup_parent: String,
    /// `host` or `private`.
    pub cgroup: String,
    /// CPU count (Windows).
    pub cpu_count: i64,
    /// CPU percent (Windows).
    pub cpu_percent: Ratio,
    /// CFS period in microseconds.
    pub cpu_period: i64,
    /// CFS quota in microseconds.
    pub cpu_quota: i64,
    /// Real-time period in microseconds.
    pub cpu_rt_period: i64,
    /// Real-time runtime in microseconds.
    pub cpu_rt_runtime: i64,
    /// CPUs.
    pub cpus: Ratio,
    /// CPUs, `0-3`.
    pub cpuset: String,
    /// Relative weight.
    pub cpu_shares: i64,
    /// Configs.
    pub configs: Vec<FileMount>,
    /// Name of its container.
    pub container_name: String,
    /// Credential specification (Windows).
    pub credential_spec: Option<CredentialSpec>,
    /// What it waits for; names that it uses in `links`, `network_mode` and the like are among them.
    pub depends_on: BTreeMap<ServiceName, Link>,
    /// Replicas, limits, updates.
    pub deploy: Option<Deploy>,
    /// Device cgroup rules.
    pub device_cgroup_rules: Vec<String>,
    /// Devices.
    pub devices: Vec<Device>,
    /// Name servers.
    pub dns: Vec<String>,
    /// Resolver options.
    pub dns_opt: Vec<String>,
    /// Search domains.
    pub dns_search: Vec<String>,
    /// Domain name.
    pub domainname: String,
    /// A provider outside the Engine.
    pub provider: Option<Provider>,
    /// Variables, env files included; `None` takes the image's away.
    pub environment: BTreeMap<String, Option<String>>,
    /// Exposed ports, `80` or `80/tcp`.
    pub expose: Vec<String>,
    /// Links to containers outside.
    pub external_links: Vec<String>,
    /// `HOST=IP`, sorted.
    pub extra_hosts: Vec<String>,
    /// Additional groups.
    pub group_add: Vec<String>,
    /// GPUs.
    pub gpus: Vec<Gpu>,
    /// Host name.
    pub hostname: String,
    /// Health check.
    pub healthcheck: Option<Healthcheck>,
    /// Image.
    pub image: String,
    /// An init process.
    pub init: Option<bool>,
    /// IPC namespace: `service:NAME`, `host`, `shareable` and the like.
    pub ipc: String,
    /// Isolation (Windows).
    pub isolation: String,
    /// Labels, label files included.
    pub labels: BTreeMap<String, String>,
    /// Label files; they are part of `labels` already.
    pub label_file: Vec<String>,
    /// Links, `SERVICE` or `SERVICE:ALIAS`.
    pub links: Vec<String>,
    /// Log driver.
    pub logging: Option<Logging>,
    /// Memory limit.
    pub mem_limit: Bytes,
    /// Soft memory limit.
    pub mem_reservation: Bytes,
    /// Memory and swap.
    pub memswap_limit: Bytes,
    /// 0 to 100.
    pub mem_swappiness: Bytes,
    /// MAC address.
    pub mac_address: String,
    /// Models.
    pub models: BTreeMap<String, Option<ServiceModel>>,
    /// `host`, `none`, `service:NAME`, `container:NAME`, a network.
    pub network_mode: String,
    /// Networks by key.
    pub networks: BTreeMap<String, Option<ServiceNetwork>>,
    /// OOM killer off.
    pub oom_kill_disable: bool,
    /// OOM score adjustment.
    pub oom_score_adj: i64,
    /// PID namespace.
    pub pid: String,
    /// Process limit; -1 unlimited.
    pub pids_limit: i64,
    /// Platform, `linux/arm64`.
    pub platform: String,
    /// Published ports.
    pub ports: Vec<ServicePort>,
    /// Commands right after its start.
    pub post_start: Vec<ServiceHook>,
    /// Commands right before its stop.
    pub pre_stop: Vec<ServiceHook>,
    /// All privileges.
    pub privileged: bool,
    /// `always`, `never`, `missing`, `build`, `refresh`, `daily`, `weekly`, `every_…`.
    pub pull_policy: String,
    /// Root file system is read-only.
    pub read_only: bool,
    /// `no`, `always`, `on-failure[:N]`, `unless-stopped`.
    pub restart: String,
    /// OCI runtime.
    pub runtime: String,
    /// How many containers.
    pub scale: Option<u32>,
    /// Secrets.
    pub secrets: Vec<FileMount>,
    /// Security options.
    pub security_opt: Vec<String>,
    /// Size of /dev/shm.
    pub shm_size: Bytes,
    /// Standard input stays open.
    pub stdin_open: bool,
    /// Between the stop signal and the kill.
    pub stop_grace_period: Option<Period>,
    /// Stop signal.
    pub stop_signal: String,
    /// Storage driver options.
    pub storage_opt: BTreeMap<String, String>,
    /// Kernel parameters.
    pub sysctls: BTreeMap<String, String>,
    /// Temporary file systems, `TARGET[:OPTIONS]`.
    pub tmpfs: Vec<String>,
    /// A terminal.
    pub tty: bool,
    /// Process limits.
    pub ulimits: BTreeMap<String, Ulimits>,
    /// The Engine's socket is mounted.
    pub use_api_socket: bool,
    /// User.
    pub user: String,
    /// User namespace.
    pub userns_mode: String,
    /// UTS namespace.
    pub uts: String,
    /// Mounts.
    pub volumes: Vec<ServiceVolume>,
    /// Volumes of others: `SERVICE[:ro]`, `container:NAME[:ro]`.
    pub volumes_from: Vec<String>,
    /// Working directory.
    pub working_dir: String,
}

impl Service {
    /// How many containers: `scale`, else `deploy.replicas`, else 1.
    pub fn replicas(&self) -> u32 {
        let deployed = self.deploy.as_ref().and_then(|deploy| deploy.replicas);
        self.scale.or(deployed).unwrap_or(1)
    }

    /// Keys of its networks, highest priority first, then by name.
    pub fn networks_by_priority(&self) -> Vec<&str> {
        let mut keys: Vec<(i64, &str)> = self
            .networks
            .iter()
            .map(|(key, network)| (-network.as_ref().map_or(0, |n| n.priority), key.as_str()))
            .collect();
        keys.sort_unstable();
        keys.into_iter().map(|(_, key)| key).collect()
    }
}

record! {
/// Block I/O limits.
pub struct Blkio {
    /// Weight.
    pub weight: u16,
    /// Weight of devices; `rate` holds the weight.
    pub weight_device: Vec<DevicePath>,
    /// Bytes a second.
    pub device_read_bps: Vec<Rate>,
    /// Operations a second.
    pub device_read_iops: Vec<Rate>,
    /// Bytes a second.
    pub device_write_bps: Vec<Rate>,
    /// Operations a second.
    pub device_write_iops: Vec<Rate>,
}
}

/// Weight of a device. Printed with capitals, as in the reference.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DevicePath {
    /// Device.
    #[serde(rename(serialize = "Path"))]
    pub path: String,
    /// Weight.
    #[serde(rename(serialize = "Weight"))]
    pub weight: u16,
}

/// Limit of a device. Printed with capitals, as in the reference.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rate {
    /// Device.
    #[serde(rename(serialize = "Path"))]
    pub path: String,
    /// Bytes or operations a second.
    #[serde(rename(serialize = "Rate"))]
    pub rate: Bytes,
}

record! {
/// Credential specification (Windows).
pub struct CredentialSpec {
    /// Config.
    pub config: String,
    /// File.
    pub file: String,
    /// Registry.
    pub registry: String,
}
}

/// What a service waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Link {
    /// `service_started`, `service_healthy`, `service_completed_successfully`.
    pub condition: String,
    /// Restarted with it.
    #[serde(skip_serializing_if = "is_default")]
    pub restart: bool,
    /// Its absence is an error. Default true.
    pub required: bool,
}

impl Default for Link {
    fn default() -> Self {
        Self { condition: "service_started".to_owned(), restart: false, required: true }
    }
}

record! {
/// A device of the host.
pub struct Device {
    /// On the host, or a CDI name.
    pub source: String,
    /// In the container.
    pub target: String,
    /// `rwm`.
    pub permissions: String,
}
}

record! {
/// A service outside the Engine.
pub struct Provider {
    /// Which.
    #[serde(rename = "type")]
    pub kind: String,
    /// Options.
    pub options: BTreeMap<String, Vec<String>>,
}
}

/// A file of variables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EnvFile {
    /// Absolute path.
    pub path: String,
    /// Its absence is an error. Default true, and then left out when printed.
    #[serde(skip_serializing_if = "super::is_true")]
    pub required: bool,
    /// Empty, or `raw` for lines taken literally.
    #[serde(skip_serializing_if = "is_default")]
    pub format: String,
}

impl Default for EnvFile {
    fn default() -> Self {
        Self { path: String::new(), required: true, format: String::new() }
    }
}

record! {
/// A health check.
pub struct Healthcheck {
    /// `["CMD", …]`, `["CMD-SHELL", text]`, `["NONE"]`.
    pub test: Vec<String>,
    /// For one check.
    pub timeout: Option<Period>,
    /// Between two checks.
    pub interval: Option<Period>,
    /// Failures before unhealthy.
    pub retries: Option<u64>,
    /// Failures in this time do not count.
    pub start_period: Option<Period>,
    /// Between two checks in that time.
    pub start_interval: Option<Period>,
    /// Switched off.
    pub disable: bool,
}
}

record! {
/// Log driver.
pub struct Logging {
    /// Which.
    pub driver: String,
    /// Options.
    pub options: BTreeMap<String, String>,
}
}

record! {
/// Use of a language model.
pub struct ServiceModel {
    /// Variable that gets the endpoint.
    pub endpoint_var: String,
    /// Variable that gets the name.
    pub model_var: String,
}
}

record! {
/// A service's place in a network.
pub struct ServiceNetwork {
    /// Further names.
    pub aliases: Vec<String>,
    /// Driver options.
    pub driver_opts: BTreeMap<String, String>,
    /// Priority as default gateway.
    pub gw_priority: i64,
    /// Name of the interface.
    pub interface_name: String,
    /// Fixed address.
    pub ipv4_address: String,
    /// Fixed address.
    pub ipv6_address: String,
    /// Link-local addresses.
    pub link_local_ips: Vec<String>,
    /// MAC address.
    pub mac_address: String,
    /// Order of connection.
    pub priority: i64,
}
}

record! {
/// A published port.
pub struct ServicePort {
    /// Name.
    pub name: String,
    /// `ingress` or `host`.
    pub mode: String,
    /// Host address.
    pub host_ip: String,
    /// In the container.
    pub target: u32,
    /// On the host: a port or a range; empty lets the Engine choose.
    pub published: String,
    /// `tcp`, `udp`, `sctp`.
    pub protocol: String,
    /// Application protocol.
    pub app_protocol: String,
}
}

/// A command inside a container at a point of its life. `command` is always printed, as in the reference.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceHook {
    /// Command and arguments.
    pub command: Option<Vec<String>>,
    /// User.
    #[serde(skip_serializing_if = "is_default")]
    pub user: String,
    /// With all privileges.
    #[serde(skip_serializing_if = "is_default")]
    pub privileged: bool,
    /// Working directory.
    #[serde(skip_serializing_if = "is_default")]
    pub working_dir: String,
    /// Variables.
    #[serde(skip_serializing_if = "is_default")]
    pub environment: BTreeMap<String, Option<String>>,
}

/// A container that runs to its end before the service's own starts: the service's settings, with what the
/// hook says laid over them.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct PreStart {
    /// What the container is to be. The variables of its env files are not among its own: they are in the
    /// service's `environment`.
    #[serde(flatten)]
    pub container: Box<Service>,
    /// Env files.
    #[serde(skip_serializing_if = "is_default")]
    pub env_file: Vec<EnvFile>,
    /// Once for each replica instead of once for the service.
    #[serde(skip_serializing_if = "is_default")]
    pub per_replica: bool,
}
