//! The Engine's JSON, read into our nouns. Only what is needed is named; unknown fields and words do no harm.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use serde::Deserialize;

use super::{alike, labels};
use crate::model::{
    ContainerConfig, ContainerId, ContainerSpec, ContainerState, Endpoint, EngineFacts,
    HealthCheckState, HostConfig, NetworkSpec, ObservedContainer, ObservedImage, ObservedMount,
    Ownership, Replica, Revision, ServiceName, TakenPort, Timestamp, VolumeSpec,
};

/// One line of `GET /containers/json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", bound(deserialize = "'de: 'a"))]
pub(super) struct Summary<'a> {
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    #[serde(borrow, default)]
    names: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow, default)]
    image: Cow<'a, str>,
    #[serde(borrow, rename = "ImageID", default)]
    image_id: Cow<'a, str>,
    #[serde(borrow, default)]
    state: Cow<'a, str>,
    #[serde(borrow, default)]
    status: Cow<'a, str>,
    /// Seconds since 1970, by the host's clock.
    #[serde(default)]
    pub(super) created: Option<i64>,
    #[serde(borrow, default)]
    labels: Option<Marks<'a>>,
    #[serde(borrow, default)]
    network_settings: Option<Places<'a>>,
    #[serde(borrow, default)]
    ports: Option<Vec<Port<'a>>>,
}

/// A port of a running container; without a public one it is not published.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default, bound(deserialize = "'de: 'a"))]
struct Port<'a> {
    #[serde(borrow, rename = "IP")]
    address: Cow<'a, str>,
    #[serde(rename = "PublicPort")]
    public: u16,
    #[serde(borrow, rename = "Type")]
    protocol: Cow<'a, str>,
}

/// The labels that tell whose a container is; the others are skipped.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Marks<'a> {
    #[serde(borrow, rename = "com.docker.compose.project")]
    project: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "moorline.stack")]
    stack: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "com.docker.compose.service")]
    service: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "com.docker.compose.container-number")]
    number: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "moorline.helper")]
    helper: Option<Cow<'a, str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default, bound(deserialize = "'de: 'a"))]
struct Places<'a> {
    #[serde(borrow)]
    networks: Option<BTreeMap<Cow<'a, str>, Place<'a>>>,
}

#[derive(Debug, Default, Deserialize, Hash)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Place<'a> {
    #[serde(borrow, rename = "NetworkID")]
    network_id: Cow<'a, str>,
    #[serde(borrow, rename = "EndpointID")]
    endpoint_id: Cow<'a, str>,
}

impl Summary<'_> {
    /// The name without its slash. Legacy links show as further names with two slashes.
    pub(super) fn name(&self) -> &str {
        self.names
            .iter()
            .flatten()
            .filter_map(|name| name.strip_prefix('/'))
            .find(|name| !name.contains('/'))
            .unwrap_or(&self.id)
    }

    /// The stack, and the Compose project, that its labels name.
    pub(super) fn stacks(&self) -> impl Iterator<Item = &str> {
        let marks = self.labels.iter();
        marks.flat_map(|marks| [&marks.stack, &marks.project]).flatten().map(AsRef::as_ref)
    }

    /// The replica that its labels name.
    pub(super) fn replica(&self) -> Option<Replica> {
        let marks = self.labels.as_ref()?;
        replica(marks.service.as_deref()?, marks.number.as_deref()?)
    }

    /// The host ports that it holds.
    pub(super) fn taken_ports(&self) -> impl Iterator<Item = TakenPort> {
        let published = self.ports.iter().flatten().filter(|port| port.public != 0);
        published.map(|port| TakenPort {
            address: port.address.clone().into_owned(),
            port: port.public,
            protocol: port.protocol.clone().into_owned(),
            container: self.name().to_owned(),
            stack: self
                .labels
                .as_ref()
                .and_then(|marks| marks.stack.as_deref())
                .unwrap_or_default()
                .to_owned(),
        })
    }

    /// Who made it to carry files, if it is such a one. Those are never started.
    pub(super) fn helper_of(&self, engine: &str) -> Option<&str> {
        let mark = self.labels.as_ref()?.helper.as_deref()?;
        labels::helper_owner(mark, engine, self.name()).filter(|_| self.state == "created")
    }

    /// Ids of the networks to which it is attached while its processes run.
    pub(super) fn attached_to(&self) -> impl Iterator<Item = &str> {
        let up = matches!(&*self.state, "running" | "paused" | "restarting");
        let networks = self.network_settings.iter().filter_map(|places| places.networks.as_ref());
        networks
            .flat_map(BTreeMap::values)
            .map(|place| &*place.network_id)
            .filter(move |id| up && !id.is_empty())
    }

    /// Changes whenever an inspection may tell something new. `Status` holds times that change by themselves; only
    /// what stands in brackets (exit code, health) counts.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.name(), &self.image, &self.image_id, &self.state).hash(&mut hasher);
        for part in self.status.split('(').skip(1) {
            part.split(')').next().hash(&mut hasher);
        }
        if let Some(networks) = self.network_settings.as_ref().and_then(|n| n.networks.as_ref()) {
            networks.hash(&mut hasher);
        }
        hasher.finish()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(in crate::docker) struct Inspection {
    id: String,
    name: String,
    created: String,
    image: String,
    restart_count: u32,
    pub(in crate::docker) state: State,
    config: ContainerConfig,
    host_config: HostConfig,
    mounts: Option<Vec<MountPoint>>,
    network_settings: Option<NetworkSettings>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(in crate::docker) struct State {
    status: String,
    exit_code: i64,
    error: String,
    started_at: String,
    finished_at: String,
    health: Option<Health>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Health {
    status: String,
    log: Option<Vec<Check>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Check {
    output: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NetworkSettings {
    networks: Option<BTreeMap<String, Box<Endpoint>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct MountPoint {
    #[serde(rename = "Type")]
    kind: String,
    name: String,
    source: String,
    destination: String,
    mode: String,
    #[serde(rename = "RW")]
    writable: bool,
    propagation: String,
}

impl State {
    pub(in crate::docker) fn what(&self) -> ContainerState {
        match self.status.as_str() {
            "created" => ContainerState::Created,
            "running" => ContainerState::Running,
            "paused" => ContainerState::Paused,
            "restarting" => ContainerState::Restarting,
            "removing" => ContainerState::Removing,
            "exited" => ContainerState::Exited(self.exit_code),
            "dead" => ContainerState::Dead,
            _ => ContainerState::Unknown,
        }
    }

    pub(in crate::docker) fn health(&self) -> HealthCheckState {
        match self.health.as_ref().map(|health| health.status.as_str()) {
            Some("starting") => HealthCheckState::Starting,
            Some("healthy") => HealthCheckState::Healthy,
            Some("unhealthy") => HealthCheckState::Unhealthy,
            _ => HealthCheckState::None,
        }
    }

    pub(in crate::docker) fn status(&self) -> &str {
        &self.status
    }

    pub(in crate::docker) fn error(&self) -> &str {
        &self.error
    }

    pub(in crate::docker) fn exit_code(&self) -> i64 {
        self.exit_code
    }

    pub(in crate::docker) fn started_at(&self) -> &str {
        &self.started_at
    }

    /// What the last health check wrote, of a container that does not pass it; the Engine keeps that when it is stopped.
    fn said_when_unhealthy(&self) -> String {
        if self.health() != HealthCheckState::Unhealthy {
            return String::new();
        }
        let said = self.last_check();
        said.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" | ")
    }

    /// What the last health check wrote, cut to what fits on a screen.
    pub(in crate::docker) fn last_check(&self) -> String {
        let log = self.health.as_ref().and_then(|health| health.log.as_ref());
        let output = log.and_then(|log| log.last()).map(|check| check.output.trim());
        output.unwrap_or_default().chars().take(500).collect()
    }
}

/// The Engine's short form of a container's id, which is its host name when none was asked for.
const SHORT_ID: usize = 12;

impl Inspection {
    /// The id.
    pub(in crate::docker) fn id(&self) -> &str {
        &self.id
    }

    /// Without the slash.
    pub(in crate::docker) fn name(&self) -> &str {
        self.name.trim_start_matches('/')
    }

    /// Names of the networks of which it is a part.
    pub(in crate::docker) fn networks(&self) -> impl Iterator<Item = &str> {
        let networks =
            self.network_settings.iter().filter_map(|settings| settings.networks.as_ref());
        networks.flat_map(BTreeMap::keys).map(String::as_str)
    }

    pub(in crate::docker) fn labels(&self) -> &BTreeMap<String, String> {
        &self.config.labels
    }

    pub(in crate::docker) fn restart_count(&self) -> u32 {
        self.restart_count
    }

    /// In our nouns; whose it is depends on who asks and is filled in later.
    pub(super) fn into_observed(self) -> Option<ObservedContainer> {
        let id = ContainerId::parse(&self.id).ok()?;
        let mut config = self.config;
        // What differs from host to host and is known otherwise would keep containers from being alike.
        let spec_label = config.labels.remove(labels::SPEC);
        config.labels.remove(labels::COMPOSE_HASH);
        if config.hostname.len() == SHORT_ID && self.id.starts_with(&config.hostname) {
            config.hostname.clear();
        }
        let labels = &config.labels;
        let mode = &self.host_config.network_mode;
        let shares = mode == "host" || mode == "none" || mode.starts_with("container:");
        let running = self.state.what() == ContainerState::Running;
        let mut networks = self.network_settings.and_then(|settings| settings.networks);
        let mut lost_interfaces = BTreeSet::new();
        for (name, endpoint) in networks.iter_mut().flatten() {
            if std::mem::take(&mut endpoint.endpoint_id).is_empty() && running && !shares {
                lost_interfaces.insert(name.clone());
            }
        }
        let mounts = self.mounts.unwrap_or_default();
        Some(ObservedContainer {
            id,
            name: self.name.trim_start_matches('/').to_owned(),
            ownership: Ownership::Unrelated,
            replica: labels
                .get(labels::SERVICE)
                .zip(labels.get(labels::NUMBER))
                .and_then(|(service, number)| replica(service, number)),
            one_off: labels.get(labels::ONE_OFF).is_some_and(|text| text == "True"),
            revision: labels.get(labels::REVISION).and_then(|text| Revision::parse(text).ok()),
            spec_label,
            vouched: false,
            image_id: self.image,
            state: self.state.what(),
            health: self.state.health(),
            restart_count: self.restart_count,
            created_at: Timestamp::parse(&self.created).unwrap_or_default(),
            started_at: instant(&self.state.started_at),
            finished_at: instant(&self.state.finished_at),
            stopped_by_hand: false,
            last_words: self.state.said_when_unhealthy(),
            error: self.state.error,
            mounts: mounts.into_iter().map(MountPoint::into_observed).collect(),
            contents: BTreeMap::new(),
            lost_interfaces,
            spec: Arc::new(ContainerSpec {
                endpoints: if shares { BTreeMap::new() } else { networks.unwrap_or_default() },
                config: alike::config(config),
                host: alike::host_config(self.host_config),
                platform: String::new(),
            }),
        })
    }
}

impl MountPoint {
    fn into_observed(self) -> (String, ObservedMount) {
        let mount = ObservedMount {
            kind: self.kind,
            name: self.name,
            source: self.source,
            writable: self.writable,
            propagation: self.propagation,
            mode: self.mode,
        };
        (self.destination, mount)
    }
}

fn replica(service: &str, number: &str) -> Option<Replica> {
    Some(Replica { service: ServiceName::parse(service).ok()?, number: number.parse().ok()? })
}

/// The Engine writes "never" as the year 1.
fn instant(text: &str) -> Option<Timestamp> {
    if text.starts_with("0001-") { None } else { Timestamp::parse(text) }
}

/// One entry of `GET /networks`.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(in crate::docker) struct NetworkEntry {
    pub(in crate::docker) id: String,
    created: String,
    #[serde(flatten)]
    pub(in crate::docker) spec: NetworkSpec,
}

impl NetworkEntry {
    /// When it was made. The Engine makes its own network `bridge` anew at each of its starts.
    pub(super) fn created_at(&self) -> Option<Timestamp> {
        instant(&self.created)
    }
}

/// `GET /volumes`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct VolumeList {
    pub(super) volumes: Option<Vec<VolumeEntry>>,
}

/// One entry of `GET /volumes`.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct VolumeEntry {
    /// RFC 3339.
    pub(super) created_at: String,
    #[serde(flatten)]
    pub(super) spec: VolumeSpec,
}

/// `GET /system/df`, of which only the volumes' sizes matter.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(in crate::docker) struct DiskUse {
    volumes: Option<Vec<VolumeUse>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct VolumeUse {
    name: String,
    usage_data: Option<UsageData>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct UsageData {
    /// Bytes; -1 where the driver cannot tell.
    size: i64,
}

impl DiskUse {
    /// Bytes by volume, where the Engine could tell.
    pub(in crate::docker) fn sizes(self) -> BTreeMap<String, u64> {
        let all = self.volumes.unwrap_or_default().into_iter();
        all.filter_map(|one| Some((one.name, u64::try_from(one.usage_data?.size).ok()?))).collect()
    }
}

/// `GET /images/{name}/json`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(in crate::docker) struct ImageInspection {
    pub(in crate::docker) id: String,
    repo_digests: Option<Vec<String>>,
    pub(in crate::docker) config: Option<ContainerConfig>,
    os: String,
    architecture: String,
    variant: String,
    metadata: Option<Metadata>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Metadata {
    last_tag_time: Option<String>,
}

impl ImageInspection {
    pub(super) fn into_observed(self) -> ObservedImage {
        let tagged = self.metadata.and_then(|metadata| metadata.last_tag_time);
        let mut platform = format!("{}/{}", self.os, self.architecture);
        if !self.variant.is_empty() {
            platform = format!("{platform}/{}", self.variant);
        }
        ObservedImage {
            taken_as: None,
            id: self.id,
            repo_digests: self.repo_digests.unwrap_or_default(),
            config: self.config.unwrap_or_default(),
            platform,
            tagged_at: tagged.as_deref().and_then(instant),
            registry_digest: None,
        }
    }
}

/// `GET /distribution/{name}/json`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Distribution {
    pub(super) descriptor: Descriptor,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Descriptor {
    #[serde(alias = "Digest")]
    pub(super) digest: String,
}

/// `GET /version`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(in crate::docker) struct Version {
    #[serde(rename = "Version")]
    product: String,
    #[serde(rename = "ApiVersion")]
    pub(in crate::docker) newest: String,
    #[serde(rename = "MinAPIVersion")]
    pub(in crate::docker) oldest: String,
    os: String,
    arch: String,
}

/// `GET /info`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(in crate::docker) struct Info {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "NCPU")]
    cpus: u32,
    mem_total: u64,
    logging_driver: String,
    default_runtime: String,
    cgroup_version: String,
    swap_limit: bool,
}

/// An API version, `1.41`.
pub(in crate::docker) fn api(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Both answers as one noun.
pub(in crate::docker) fn facts(spoken: (u32, u32), version: Version, info: Info) -> EngineFacts {
    EngineFacts {
        api: spoken,
        version: version.product,
        platform: format!("{}/{}", version.os, version.arch),
        id: info.id,
        cpus: info.cpus,
        memory: info.mem_total,
        log_driver: info.logging_driver,
        runtime: info.default_runtime,
        cgroup_version: info.cgroup_version,
        counts_swap: info.swap_limit,
    }
}
