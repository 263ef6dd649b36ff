//! What an Engine makes of a create call: the image's defaults, and its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use moorline::model::{
    ContainerConfig, ContainerId, ContainerSpec, ContainerState, Desired, Digest, Empty,
    EngineFacts, HealthCheckState, HealthConfig, ImageSight, Ipam, IpamPool, Observed,
    ObservedContainer, ObservedImage, ObservedNetwork, ObservedVolume, Ownership, Timestamp,
};

/// An Engine's ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ways {
    /// Engine 20.10, API 1.41, cgroup v1.
    Old,
    /// Engine 28, API 1.48, cgroup v2.
    New,
}

pub fn facts(ways: Ways) -> EngineFacts {
    EngineFacts {
        api: if ways == Ways::Old { (1, 41) } else { (1, 48) },
        version: if ways == Ways::Old { "20.10.24" } else { "28.2.2" }.to_owned(),
        platform: "linux/amd64".to_owned(),
        id: "ENGINE".to_owned(),
        log_driver: "json-file".to_owned(),
        runtime: "runc".to_owned(),
        cgroup_version: if ways == Ways::Old { "1" } else { "2" }.to_owned(),
        ..EngineFacts::default()
    }
}

/// An image with a default for everything.
pub fn image(reference: &str) -> ObservedImage {
    let strings = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    ObservedImage {
        id: format!("sha256:{}", Digest::of(reference.as_bytes())),
        repo_digests: vec![format!("{reference}@sha256:{}", Digest::of(b"manifest"))],
        platform: "linux/amd64".to_owned(),
        config: ContainerConfig {
            cmd: Some(strings(&["serve"])),
            entrypoint: Some(strings(&["/entrypoint.sh"])),
            env: strings(&["PATH=/usr/bin:/bin", "APP_VERSION=7"]),
            labels: BTreeMap::from([("org.opencontainers.image.version".into(), "7".into())]),
            user: "app".into(),
            working_dir: "/srv/".into(),
            stop_signal: "SIGQUIT".into(),
            exposed_ports: BTreeMap::from([("8080/tcp".into(), Empty {})]),
            volumes: BTreeMap::from([("/var/cache".into(), Empty {})]),
            healthcheck: Some(HealthConfig {
                test: strings(&["CMD", "healthy"]),
                interval: 5_000_000_000,
                ..HealthConfig::default()
            }),
            ..ContainerConfig::default()
        },
        ..ObservedImage::default()
    }
}

/// The id that every container of this name gets.
pub fn id_of(name: &str) -> ContainerId {
    ContainerId::parse(Digest::of(name.as_bytes()).as_str()).unwrap()
}

fn config(asked: &ContainerConfig, image: &ContainerConfig, id: &str) -> ContainerConfig {
    let mut made = asked.clone();
    if made.entrypoint.as_ref().is_none_or(Vec::is_empty) {
        if made.cmd.as_ref().is_none_or(Vec::is_empty) {
            made.cmd = image.cmd.clone();
        }
        if made.entrypoint.is_none() {
            made.entrypoint = image.entrypoint.clone();
        }
    }
    if made.entrypoint == Some(vec![String::new()]) {
        made.entrypoint = None;
    }
    for entry in &image.env {
        let name = entry.split('=').next().unwrap();
        if !asked.env.iter().any(|own| own.split('=').next() == Some(name)) {
            made.env.push(entry.clone());
        }
    }
    for (key, value) in &image.labels {
        made.labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    made.exposed_ports.extend(image.exposed_ports.clone());
    made.volumes.extend(image.volumes.clone());
    for (own, other) in [
        (&mut made.user, &image.user),
        (&mut made.working_dir, &image.working_dir),
        (&mut made.stop_signal, &image.stop_signal),
    ] {
        if own.is_empty() {
            own.clone_from(other);
        }
    }
    made.healthcheck = match (made.healthcheck, &image.healthcheck) {
        (None, other) => other.clone(),
        (Some(mut own), Some(other)) => {
            if own.test.is_empty() {
                own.test = other.test.clone();
            }
            if own.interval == 0 {
                own.interval = other.interval;
            }
            Some(own)
        }
        (own, None) => own,
    };
    if made.hostname.is_empty() {
        made.hostname = id[..12].to_owned();
    }
    made
}

fn fill_host(spec: &mut ContainerSpec, ways: Ways, name: &str) {
    let user_network = spec.endpoints.contains_key(&spec.host.network_mode);
    let host = spec.host_mut();
    let default = |text: &mut String, value: &str| {
        if text.is_empty() {
            value.clone_into(text);
        }
    };
    default(&mut host.restart_policy.name, "no");
    default(&mut host.ipc_mode, "private");
    default(&mut host.cgroupns_mode, if ways == Ways::Old { "host" } else { "private" });
    default(&mut host.runtime, "runc");
    default(&mut host.log_config.kind, "json-file");
    if host.shm_size == 0 {
        host.shm_size = 64 << 20;
    }
    if host.memory > 0 && host.memory_swap == 0 {
        host.memory_swap = 2 * host.memory;
    }
    host.oom_kill_disable = Some(host.oom_kill_disable.unwrap_or(false));
    if ways == Ways::Old && host.pids_limit.is_some_and(|limit| limit < 0) {
        host.pids_limit = Some(0);
    }
    if !host.privileged {
        host.masked_paths.get_or_insert_with(|| vec!["/proc/acpi".to_owned()]);
        host.readonly_paths.get_or_insert_with(|| vec!["/proc/bus".to_owned()]);
    }
    if host.privileged || host.pid_mode == "host" {
        host.security_opt.push("label=disable".to_owned());
    }
    for mode in [&mut host.network_mode, &mut host.ipc_mode, &mut host.pid_mode] {
        if let Some(other) = mode.strip_prefix("container:")
            && other.len() < 64
        {
            *mode = format!("container:{}", id_of(other));
        }
    }
    if ways == Ways::New && host.network_mode == "default" {
        host.network_mode = "bridge".to_owned();
    }
    host.links = match user_network {
        true => Vec::new(),
        false => host
            .links
            .iter()
            .map(|link| {
                let (other, alias) = link.split_once(':').unwrap();
                format!("/{other}:/{name}/{alias}")
            })
            .collect(),
    };
}

fn fill_endpoints(spec: &mut ContainerSpec, ways: Ways, id: &str) {
    for endpoint in spec.endpoints.values_mut() {
        if ways == Ways::Old {
            endpoint.aliases.push(id[..12].to_owned());
        }
        endpoint.ip_address = "172.18.0.9".to_owned();
        if endpoint.mac_address.is_empty() {
            endpoint.mac_address = "02:42:ac:12:00:09".to_owned();
        }
        endpoint.ipam_config.get_or_insert_default();
    }
    let mode = spec.host.network_mode.clone();
    if matches!(mode.as_str(), "host" | "none") {
        spec.endpoints.insert(mode, Box::default());
    } else if matches!(mode.as_str(), "default" | "bridge" | "") {
        spec.endpoints.insert("bridge".to_owned(), Box::default());
    }
}

/// What inspect says of a container made so.
pub fn inspected(
    spec: &ContainerSpec,
    image: &ObservedImage,
    ways: Ways,
    name: &str,
) -> ContainerSpec {
    let id = id_of(name);
    let mut made = spec.clone();
    made.config = Arc::new(config(&spec.config, &image.config, id.as_str()));
    made.platform = "linux".to_owned();
    if ways == Ways::Old
        && let Some(check) = &mut made.config_mut().healthcheck
    {
        check.start_interval = 0;
    }
    fill_host(&mut made, ways, name);
    fill_endpoints(&mut made, ways, id.as_str());
    made
}

/// A running container made from a specification.
pub fn container(
    desired: &moorline::model::DesiredReplica,
    seal: &str,
    image: &ObservedImage,
    ways: Ways,
) -> ObservedContainer {
    ObservedContainer {
        id: id_of(&desired.name),
        name: desired.name.clone(),
        ownership: Ownership::Ours,
        replica: Some(desired.replica.clone()),
        one_off: false,
        revision: None,
        spec_label: Some(seal.to_owned()),
        spec: Arc::new(inspected(&desired.spec, image, ways, &desired.name)),
        image_id: image.id.clone(),
        state: ContainerState::Running,
        health: HealthCheckState::None,
        restart_count: 0,
        created_at: Timestamp::from_millis(1),
        started_at: None,
        finished_at: None,
        stopped_by_hand: false,
        vouched: true,
        error: String::new(),
        last_words: String::new(),
        mounts: BTreeMap::new(),
        contents: BTreeMap::new(),
        lost_interfaces: std::collections::BTreeSet::new(),
    }
}

/// A host on which a stack was deployed.
pub fn deployed(desired: &Desired, ways: Ways) -> Observed {
    let mut host = Observed { engine: facts(ways), ..Observed::default() };
    for service in desired.services.values() {
        let mut image = image(service.image.as_str());
        for replica in service.replicas.values().filter(|one| !one.spec.platform.is_empty()) {
            image.platform.clone_from(&replica.spec.platform);
        }
        if let moorline::model::ImagePolicy::Build(build) = &service.image_policy {
            let label = ("moorline.build".to_owned(), build.digest.to_string());
            image.config.labels.extend([label]);
        }
        for replica in service.replicas.values() {
            let seal = &desired.seals[&replica.replica];
            host.containers.push(container(replica, seal, &image, ways));
        }
        host.images.insert(service.image.clone(), ImageSight::Present(Box::new(image)));
    }
    for network in desired.networks.values() {
        let mut spec = network.spec.clone();
        if spec.driver.is_empty() {
            spec.driver = "bridge".to_owned();
        }
        spec.scope = "local".to_owned();
        spec.enable_ipv6.get_or_insert(false);
        if ways == Ways::New {
            spec.enable_ipv4.get_or_insert(true);
        }
        let ipam = spec.ipam.get_or_insert_with(Ipam::default);
        if ipam.driver.is_empty() {
            ipam.driver = "default".to_owned();
        }
        if ipam.config.is_empty() {
            ipam.config.push(IpamPool { subnet: "172.18.0.0/16".into(), ..IpamPool::default() });
        }
        for pool in &mut ipam.config {
            if pool.gateway.is_empty() {
                pool.gateway = "172.18.0.1".to_owned();
            }
        }
        let ownership = if network.external { Ownership::Unrelated } else { Ownership::Ours };
        let id = Digest::of(spec.name.as_bytes()).to_string();
        let seen = ObservedNetwork { id, ownership, spec, attached: Vec::new(), twins: Vec::new() };
        host.networks.insert(network.spec.name.clone(), seen);
    }
    for volume in desired.volumes.values() {
        let mut spec = volume.spec.clone();
        if spec.driver.is_empty() {
            spec.driver = "local".to_owned();
        }
        let ownership = if volume.external { Ownership::Unrelated } else { Ownership::Ours };
        host.volumes.insert(
            volume.spec.name.clone(),
            ObservedVolume { ownership, spec, created_at: None, size: None },
        );
    }
    host.containers.sort_by(|a, b| a.name.cmp(&b.name));
    host
}
