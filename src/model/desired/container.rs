//! A container, a network and a volume in the Engine's own words.
//!
//! The shapes follow the Engine API (`POST /containers/create`, `GET /containers/{id}/json`), so that what is
//! asked for and what inspect tells are one type and can be compared field by field. Enumerations stay text: an
//! Engine newer than this program may say words that it does not know. `Option` is used where "not set" and the
//! zero value mean different things to the Engine; elsewhere the zero value means "not set".

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

/// Reads `null` as the default value: the Engine writes empty lists and maps as null.
fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

macro_rules! wire {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$field_doc:meta])* pub $field:ident : $kind:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "PascalCase", default)]
        pub struct $name {
            $($(#[$field_doc])*
            #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
            pub $field: $kind,)*
        }
    };
}

/// What a container is to be, or what inspect says that it is: `Config`, `HostConfig` and endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerSpec {
    /// The image-like half; shared by containers that are alike in it.
    pub config: Arc<ContainerConfig>,
    /// The host-side half; shared by containers that are alike in it.
    pub host: Arc<HostConfig>,
    /// Endpoints by the Engine's network name; empty when `host.network_mode` is `host`, `none` or another container's.
    pub endpoints: BTreeMap<String, Box<Endpoint>>,
    /// Platform to create for, such as `linux/arm64`; empty for the Engine's own.
    pub platform: String,
}

impl ContainerSpec {
    /// The image-like half, for a change: what is shared with others becomes its own first.
    pub fn config_mut(&mut self) -> &mut ContainerConfig {
        Arc::make_mut(&mut self.config)
    }

    /// The host-side half, for a change: what is shared with others becomes its own first.
    pub fn host_mut(&mut self) -> &mut HostConfig {
        Arc::make_mut(&mut self.host)
    }
}

wire! {
/// `Config` of the Engine API.
pub struct ContainerConfig {
    /// Image reference as asked for (not the id).
    pub image: String,
    /// Arguments, or the command when there is no entrypoint. `Some([])` clears the image's.
    pub cmd: Option<Vec<String>>,
    /// Entrypoint. `Some([])` clears the image's.
    pub entrypoint: Option<Vec<String>>,
    /// `NAME=value`, or `NAME` to remove the image's; sorted by name.
    pub env: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `user[:group]`.
    pub user: String,
    /// Working directory.
    pub working_dir: String,
    /// Host name; the Engine fills in the short id when empty.
    pub hostname: String,
    /// Domain name.
    pub domainname: String,
    /// MAC address (Engines before API 1.44; later it belongs to an endpoint).
    pub mac_address: String,
    /// A terminal.
    pub tty: bool,
    /// Standard input stays open.
    pub open_stdin: bool,
    /// Standard input is closed after the first client.
    pub stdin_once: bool,
    /// Attach flags: kept because the Engine reports them; no meaning of their own.
    pub attach_stdin: bool,
    /// See `attach_stdin`.
    pub attach_stdout: bool,
    /// See `attach_stdin`.
    pub attach_stderr: bool,
    /// Signal that asks the container to stop, such as `SIGTERM`.
    pub stop_signal: String,
    /// Seconds between the stop signal and the kill.
    pub stop_timeout: Option<i64>,
    /// Health check.
    pub healthcheck: Option<HealthConfig>,
    /// Exposed ports, `80/tcp`.
    pub exposed_ports: BTreeMap<String, Empty>,
    /// Mount points of anonymous volumes.
    pub volumes: BTreeMap<String, Empty>,
    /// Networking switched off.
    pub network_disabled: bool,
    /// Shell for the shell form of commands.
    pub shell: Vec<String>,
    /// Build triggers of the image.
    pub on_build: Vec<String>,
}
}

/// `{}` of the Engine API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(clippy::empty_structs_with_brackets, reason = "serialises as {} and not as null")]
pub struct Empty {}

wire! {
/// Health check; durations in nanoseconds, zero means the Engine's default or the image's.
pub struct HealthConfig {
    /// `["CMD", …]`, `["CMD-SHELL", text]`, `["NONE"]`; empty inherits the image's.
    pub test: Vec<String>,
    /// Between two checks.
    pub interval: i64,
    /// For one check.
    pub timeout: i64,
    /// Failures before unhealthy.
    pub retries: i64,
    /// Failures in this time after the start do not count.
    pub start_period: i64,
    /// Between two checks in the start period (API 1.44).
    pub start_interval: i64,
}
}

wire! {
/// `HostConfig` of the Engine API.
pub struct HostConfig {
    /// `source:target[:options]`.
    pub binds: Vec<String>,
    /// Mounts in the long form.
    pub mounts: Vec<Mount>,
    /// Temporary file systems: target to options.
    pub tmpfs: BTreeMap<String, String>,
    /// `80/tcp` to host addresses.
    pub port_bindings: BTreeMap<String, Option<Vec<PortBinding>>>,
    /// All exposed ports get host ports.
    pub publish_all_ports: bool,
    /// A network's name, `bridge`, `host`, `none`, `container:ID`.
    pub network_mode: String,
    /// Restart policy.
    pub restart_policy: RestartPolicy,
    /// Removed by the Engine when it ends.
    pub auto_remove: bool,
    /// Volumes of other containers, `NAME[:ro]`.
    pub volumes_from: Vec<String>,
    /// Driver for volumes without one.
    pub volume_driver: String,
    /// Legacy links, `NAME:ALIAS`.
    pub links: Vec<String>,
    /// Added capabilities.
    pub cap_add: Vec<String>,
    /// Dropped capabilities.
    pub cap_drop: Vec<String>,
    /// Name servers, in order.
    pub dns: Vec<String>,
    /// Resolver options.
    pub dns_options: Vec<String>,
    /// Search domains, in order.
    pub dns_search: Vec<String>,
    /// `HOST:IP`.
    pub extra_hosts: Vec<String>,
    /// Additional groups.
    pub group_add: Vec<String>,
    /// IPC mode.
    pub ipc_mode: String,
    /// PID mode.
    pub pid_mode: String,
    /// UTS mode.
    #[serde(rename = "UTSMode")]
    pub uts_mode: String,
    /// User namespace mode.
    pub userns_mode: String,
    /// Cgroup namespace mode.
    pub cgroupns_mode: String,
    /// Cgroup of the container.
    pub cgroup: String,
    /// Parent cgroup.
    pub cgroup_parent: String,
    /// All privileges.
    pub privileged: bool,
    /// Root file system is read-only.
    pub readonly_rootfs: bool,
    /// Security options.
    pub security_opt: Vec<String>,
    /// Storage driver options.
    pub storage_opt: BTreeMap<String, String>,
    /// Kernel parameters.
    pub sysctls: BTreeMap<String, String>,
    /// Size of /dev/shm in bytes.
    pub shm_size: i64,
    /// OCI runtime.
    pub runtime: String,
    /// Isolation technology (Windows).
    pub isolation: String,
    /// An init process reaps zombies.
    pub init: Option<bool>,
    /// Log driver and options.
    pub log_config: LogConfig,
    /// OCI annotations (API 1.43).
    pub annotations: BTreeMap<String, String>,
    /// Masked paths; `None` for the Engine's default.
    pub masked_paths: Option<Vec<String>>,
    /// Read-only paths; `None` for the Engine's default.
    pub readonly_paths: Option<Vec<String>>,
    /// Devices.
    pub devices: Vec<DeviceMapping>,
    /// Device cgroup rules.
    pub device_cgroup_rules: Vec<String>,
    /// Device requests, such as GPUs.
    pub device_requests: Vec<DeviceRequest>,
    /// Process limits.
    pub ulimits: Vec<Ulimit>,
    /// Memory limit in bytes.
    pub memory: i64,
    /// Soft memory limit in bytes.
    pub memory_reservation: i64,
    /// Memory and swap in bytes; -1 unlimited.
    pub memory_swap: i64,
    /// 0 to 100.
    pub memory_swappiness: Option<i64>,
    /// Kernel memory in bytes (old Engines).
    pub kernel_memory: i64,
    /// OOM killer switched off.
    pub oom_kill_disable: Option<bool>,
    /// OOM score adjustment.
    pub oom_score_adj: i64,
    /// CPU limit in 10⁻⁹ CPUs.
    #[serde(rename = "NanoCpus")]
    pub nano_cpus: i64,
    /// Relative weight.
    pub cpu_shares: i64,
    /// CFS period in microseconds.
    pub cpu_period: i64,
    /// CFS quota in microseconds.
    pub cpu_quota: i64,
    /// Real-time period in microseconds.
    pub cpu_realtime_period: i64,
    /// Real-time runtime in microseconds.
    pub cpu_realtime_runtime: i64,
    /// CPU count (Windows).
    pub cpu_count: i64,
    /// CPU percent (Windows).
    pub cpu_percent: i64,
    /// CPUs, `0-3`.
    pub cpuset_cpus: String,
    /// Memory nodes.
    pub cpuset_mems: String,
    /// Process limit; -1 unlimited.
    pub pids_limit: Option<i64>,
    /// Block I/O weight.
    pub blkio_weight: i64,
    /// Per device weight.
    pub blkio_weight_device: Vec<WeightDevice>,
    /// Read limit, bytes a second.
    pub blkio_device_read_bps: Vec<ThrottleDevice>,
    /// Write limit, bytes a second.
    pub blkio_device_write_bps: Vec<ThrottleDevice>,
    /// Read limit, operations a second.
    #[serde(rename = "BlkioDeviceReadIOps")]
    pub blkio_device_read_iops: Vec<ThrottleDevice>,
    /// Write limit, operations a second.
    #[serde(rename = "BlkioDeviceWriteIOps")]
    pub blkio_device_write_iops: Vec<ThrottleDevice>,
}
}

wire! {
/// Restart policy: `no`, `always`, `unless-stopped`, `on-failure`.
pub struct RestartPolicy {
    /// Empty means `no`.
    pub name: String,
    /// For `on-failure`; 0 means without end.
    pub maximum_retry_count: i64,
}
}

wire! {
/// Log driver and options; an empty type means the Engine's default.
pub struct LogConfig {
    /// Driver.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Options.
    pub config: BTreeMap<String, String>,
}
}

wire! {
/// One host address of a published port.
pub struct PortBinding {
    /// Address; empty for all.
    #[serde(rename = "HostIp")]
    pub host_ip: String,
    /// Port or range; empty or `0` lets the Engine choose.
    pub host_port: String,
}
}

wire! {
/// A mount in the long form.
pub struct Mount {
    /// `bind`, `volume`, `tmpfs`, `npipe`, `cluster`, `image`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Host path, volume or image.
    pub source: String,
    /// Path in the container.
    pub target: String,
    /// Read-only.
    pub read_only: bool,
    /// Consistency (macOS).
    pub consistency: String,
    /// Options of binds.
    pub bind_options: Option<BindOptions>,
    /// Options of volumes.
    pub volume_options: Option<VolumeOptions>,
    /// Options of temporary file systems.
    pub tmpfs_options: Option<TmpfsOptions>,
    /// Options of image mounts.
    pub image_options: Option<ImageOptions>,
}
}

wire! {
/// Options of a bind mount.
pub struct BindOptions {
    /// Propagation.
    pub propagation: String,
    /// Not recursive.
    pub non_recursive: bool,
    /// The Engine makes the host folder.
    pub create_mountpoint: bool,
    /// Submounts may be written although the mount is read-only.
    pub read_only_non_recursive: bool,
    /// Submounts must be read-only too.
    pub read_only_force_recursive: bool,
}
}

wire! {
/// Options of a volume mount.
pub struct VolumeOptions {
    /// The image's content is not copied into an empty volume.
    pub no_copy: bool,
    /// Labels of an anonymous volume.
    pub labels: BTreeMap<String, String>,
    /// Driver of an anonymous volume.
    pub driver_config: Option<VolumeDriver>,
    /// A folder inside the volume (API 1.45).
    pub subpath: String,
}
}

wire! {
/// Driver of a volume made by a mount.
pub struct VolumeDriver {
    /// Name.
    pub name: String,
    /// Options.
    pub options: BTreeMap<String, String>,
}
}

wire! {
/// Options of a temporary file system.
pub struct TmpfsOptions {
    /// Bytes.
    pub size_bytes: i64,
    /// Mode as a number (octal 1777 = 1023).
    pub mode: i64,
    /// Mount options.
    pub options: Vec<Vec<String>>,
}
}

wire! {
/// Options of an image mount.
pub struct ImageOptions {
    /// A folder inside the image.
    pub subpath: String,
}
}

wire! {
/// A device of the host.
pub struct DeviceMapping {
    /// On the host.
    pub path_on_host: String,
    /// In the container.
    pub path_in_container: String,
    /// `rwm`.
    pub cgroup_permissions: String,
}
}

wire! {
/// A device request, such as for GPUs.
pub struct DeviceRequest {
    /// Driver.
    pub driver: String,
    /// -1 for all.
    pub count: i64,
    /// Chosen devices.
    #[serde(rename = "DeviceIDs")]
    pub device_ids: Vec<String>,
    /// Or-list of and-lists.
    pub capabilities: Vec<Vec<String>>,
    /// Driver options.
    pub options: BTreeMap<String, String>,
}
}

wire! {
/// A process limit.
pub struct Ulimit {
    /// Name, such as `nofile`.
    pub name: String,
    /// Soft limit.
    pub soft: i64,
    /// Hard limit.
    pub hard: i64,
}
}

wire! {
/// Block I/O weight of a device.
pub struct WeightDevice {
    /// Device path.
    pub path: String,
    /// Weight.
    pub weight: i64,
}
}

wire! {
/// Block I/O limit of a device.
pub struct ThrottleDevice {
    /// Device path.
    pub path: String,
    /// Rate.
    pub rate: i64,
}
}

wire! {
/// A container's place in a network.
pub struct Endpoint {
    /// Fixed addresses.
    #[serde(rename = "IPAMConfig")]
    pub ipam_config: Option<EndpointIpam>,
    /// Links, `CONTAINER:ALIAS`.
    pub links: Vec<String>,
    /// DNS names.
    pub aliases: Vec<String>,
    /// Driver options.
    pub driver_opts: BTreeMap<String, String>,
    /// MAC address (API 1.44).
    pub mac_address: String,
    /// Gateway priority (API 1.48).
    pub gw_priority: i64,
    /// The address: sent along with a fixed one as the reference does, told by inspect for every one. Says nothing
    /// about what is asked for; `ipam_config` does.
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    /// The fixed IPv6 address once more, as the reference sends it; inspect tells the gateway here.
    #[serde(rename = "IPv6Gateway")]
    pub ipv6_gateway: String,
    /// The interface's id: told by inspect while the container runs, taken out when it is read.
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
}
}

wire! {
/// Fixed addresses of an endpoint.
pub struct EndpointIpam {
    /// IPv4.
    #[serde(rename = "IPv4Address")]
    pub ipv4_address: String,
    /// IPv6.
    #[serde(rename = "IPv6Address")]
    pub ipv6_address: String,
    /// Link-local addresses.
    #[serde(rename = "LinkLocalIPs")]
    pub link_local_ips: Vec<String>,
}
}

wire! {
/// A network: what create takes and inspect tells.
pub struct NetworkSpec {
    /// Name on the host, such as `shop_default`.
    pub name: String,
    /// Driver; empty means the Engine's default (`bridge`).
    pub driver: String,
    /// Driver options.
    pub options: BTreeMap<String, String>,
    /// No way out.
    pub internal: bool,
    /// Containers outside the swarm may attach.
    pub attachable: bool,
    /// Swarm routing mesh.
    pub ingress: bool,
    /// IPv6.
    #[serde(rename = "EnableIPv6")]
    pub enable_ipv6: Option<bool>,
    /// IPv4 (API 1.48).
    #[serde(rename = "EnableIPv4")]
    pub enable_ipv4: Option<bool>,
    /// Address management.
    #[serde(rename = "IPAM")]
    pub ipam: Option<Ipam>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `local`, `swarm`, `global`; told by inspect.
    pub scope: String,
}
}

wire! {
/// Address management of a network.
pub struct Ipam {
    /// Driver; empty means `default`.
    pub driver: String,
    /// Subnets.
    pub config: Vec<IpamPool>,
    /// Driver options.
    pub options: BTreeMap<String, String>,
}
}

wire! {
/// One subnet.
pub struct IpamPool {
    /// CIDR.
    pub subnet: String,
    /// CIDR from which addresses are given.
    #[serde(rename = "IPRange")]
    pub ip_range: String,
    /// Gateway address.
    pub gateway: String,
    /// Reserved addresses.
    #[serde(alias = "AuxAddress", rename = "AuxiliaryAddresses")]
    pub aux_addresses: BTreeMap<String, String>,
}
}

wire! {
/// A volume: what create takes and inspect tells.
pub struct VolumeSpec {
    /// Name on the host, such as `shop_data`.
    pub name: String,
    /// Driver; empty means `local`.
    pub driver: String,
    /// Driver options; inspect calls them `Options`.
    #[serde(alias = "Options")]
    pub driver_opts: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}
}
