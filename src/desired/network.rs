//! Networks, and a container's places in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::desk::{Desk, at, non_empty};
use super::payload::resource_labels;
use crate::model::project::{Network, Service, ServiceNetwork};
use crate::model::{
    DesiredNetwork, Endpoint, EndpointIpam, Ipam, IpamPool, NetworkSpec, ServiceName,
};

/// The driver option in which the Engine takes an interface's name.
/// The API has no field for it: Docker's client and the reference both hand it to the driver so.
const INTERFACE_NAME: &str = "com.docker.network.endpoint.ifname";

/// The project's networks.
pub(super) fn networks(desk: &mut Desk<'_>) -> BTreeMap<String, Arc<DesiredNetwork>> {
    let project = desk.input.project;
    let mut made = BTreeMap::new();
    for (key, network) in &project.networks {
        let path = format!("networks.{key}");
        // `name: ${NET}` with the variable unset. The Engine would take the empty name for "choose one", and the next
        // pass would find none of its own.
        if network.name.is_empty() {
            let help = "give its variables a value, or leave `name` out";
            desk.refuse(format!("{path}.name"), "the network's name is empty", help);
        }
        if network.enable_ipv4.is_some() && !desk.speaks(1, 48) {
            desk.refuse(
                format!("{path}.enable_ipv4"),
                "this Engine cannot switch IPv4 on or off",
                "it needs API 1.48 (Engine 28)",
            );
        }
        let spec = if network.external {
            NetworkSpec { name: network.name.clone(), ..NetworkSpec::default() }
        } else {
            spec(desk, key, network)
        };
        let origin = project.origins.nearest(&path);
        let network = DesiredNetwork { origin, external: network.external, spec };
        made.insert(key.clone(), Arc::new(network));
    }
    made
}

/// A network of the manifest as `POST /networks/create` takes it. The driver stays empty where none is said: the Engine's
/// default, `bridge` unless it is told otherwise.
///
/// Without a word on addresses the Engine takes the next free pool of its own, and so must we: an empty `IPAM` would be
/// another question.
fn spec(desk: &Desk<'_>, key: &str, network: &Network) -> NetworkSpec {
    let Network {
        name,
        driver,
        driver_opts,
        ipam,
        external: _,
        internal,
        attachable,
        labels,
        enable_ipv4,
        enable_ipv6,
    } = network;
    let pools = ipam.config.iter().map(|pool| IpamPool {
        subnet: pool.subnet.clone(),
        ip_range: pool.ip_range.clone(),
        gateway: pool.gateway.clone(),
        aux_addresses: pool.aux_addresses.clone(),
    });
    let asked = !ipam.driver.is_empty() || !ipam.config.is_empty();
    NetworkSpec {
        name: name.clone(),
        driver: driver.clone(),
        options: driver_opts.clone(),
        internal: *internal,
        attachable: *attachable,
        ingress: false,
        enable_ipv6: *enable_ipv6,
        enable_ipv4: *enable_ipv4,
        ipam: asked.then(|| Ipam {
            driver: ipam.driver.clone(),
            config: pools.collect(),
            options: BTreeMap::new(),
        }),
        labels: resource_labels(desk, "network", key, labels),
        scope: String::new(),
    }
}

/// What one container is called, for its places in networks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Called<'a> {
    pub(super) service: &'a ServiceName,
    pub(super) number: u32,
    /// The container's name.
    pub(super) name: &'a str,
}

/// The network mode, and the endpoints by the networks' names on the host.
///
/// Only where every service has another network mode: the loader adds `default` as soon as one needs it. The order
/// matters once: the network mode is the first one, whose gateway is the default route before API 1.48. An unknown key
/// cannot come so far; its own text is at least what whoever reads the error looks for. `services.NAME.mac_address` is
/// older than addresses for each network, and means the first.
pub(super) fn attach(
    desk: &mut Desk<'_>,
    service: &Service,
    called: Called<'_>,
) -> (String, BTreeMap<String, Box<Endpoint>>) {
    let project = desk.input.project;
    if !service.network_mode.is_empty() {
        return (service.network_mode.clone(), BTreeMap::new());
    }
    if project.networks.is_empty() {
        return ("none".to_owned(), BTreeMap::new());
    }
    let mut keys = service.networks_by_priority();
    if keys.is_empty() {
        keys.push("default");
    }
    let links = links(desk, service, called.number);
    let name_of = |key: &str| {
        project.networks.get(key).map_or_else(|| key.to_owned(), |network| network.name.clone())
    };
    let mut endpoints = BTreeMap::new();
    for (place, key) in keys.iter().enumerate() {
        let config = service.networks.get(*key).and_then(Option::as_ref);
        check(desk, called.service, (key, config), place);
        let mut endpoint = endpoint(config, called);
        endpoint.links.clone_from(&links);
        if place == 0 && endpoint.mac_address.is_empty() {
            endpoint.mac_address.clone_from(&service.mac_address);
        }
        endpoints.insert(name_of(key), Box::new(endpoint));
    }
    let mode = keys.first().map(|key| name_of(key)).unwrap_or_default();
    (mode, endpoints)
}

/// What this Engine cannot do in a network, by its API version: a MAC address in any but the first before 1.44, a gateway
/// priority before 1.48, an interface's name before 1.49. To leave one out in silence would make another network of it.
fn check(
    desk: &mut Desk<'_>,
    service: &ServiceName,
    (key, config): (&str, Option<&ServiceNetwork>),
    place: usize,
) {
    let Some(config) = config else { return };
    let path = |field: &str| at(service, &format!("networks.{key}.{field}"));
    if !config.mac_address.is_empty() && 0 < place && !desk.speaks(1, 44) {
        desk.refuse(
            path("mac_address"),
            "this Engine takes a MAC address for the first network only",
            "it needs API 1.44 (Engine 25)",
        );
    }
    if config.gw_priority != 0 && !desk.speaks(1, 48) {
        desk.refuse(
            path("gw_priority"),
            "this Engine has no gateway priorities",
            "it needs API 1.48 (Engine 28)",
        );
    }
    if !config.interface_name.is_empty() && !desk.speaks(1, 49) {
        desk.refuse(
            path("interface_name"),
            "this Engine cannot name interfaces",
            "it needs API 1.49 (Engine 28.1)",
        );
    }
}

/// One network of a container: its addresses, and the names by which others find it there. The container's name and the
/// service's are always among them, as docker compose has it.
///
/// What only the Engine knows stays empty, so that one type serves for what is asked and what is seen.
fn endpoint(config: Option<&ServiceNetwork>, called: Called<'_>) -> Endpoint {
    let mut aliases = vec![called.name.to_owned(), called.service.to_string()];
    let Some(config) = config else { return Endpoint { aliases, ..Endpoint::default() } };
    let ServiceNetwork {
        aliases: further,
        driver_opts,
        gw_priority,
        interface_name,
        ipv4_address,
        ipv6_address,
        link_local_ips,
        mac_address,
        priority: _,
    } = config;
    aliases.extend(further.iter().cloned());
    let mut driver_opts = driver_opts.clone();
    if let Some(name) = non_empty(interface_name) {
        driver_opts.insert(INTERFACE_NAME.to_owned(), name.to_owned());
    }
    let ipam = EndpointIpam {
        ipv4_address: ipv4_address.clone(),
        ipv6_address: ipv6_address.clone(),
        link_local_ips: link_local_ips.clone(),
    };
    Endpoint {
        endpoint_id: String::new(),
        ipam_config: (ipam != EndpointIpam::default()).then_some(ipam),
        links: Vec::new(),
        aliases,
        driver_opts,
        mac_address: mac_address.clone(),
        gw_priority: *gw_priority,
        ip_address: ipv4_address.clone(),
        ipv6_gateway: ipv6_address.clone(),
    }
}

/// Links as the reference writes them: three names for each container of the linked service.
pub(super) fn links(desk: &Desk<'_>, service: &Service, number: u32) -> Vec<String> {
    let project = desk.input.project;
    let mut links = Vec::new();
    for link in &service.links {
        let (target, alias) = link.split_once(':').unwrap_or((link, link));
        let Some(linked) = project.services.get(target) else { continue };
        // The count is asked where everybody asks it, so that a count that is not the manifest's reaches the links too.
        for other in 1..=linked.replicas() {
            let container = super::payload::container_name(desk, target, linked, other);
            links.push(format!("{container}:{alias}"));
            links.push(format!("{container}:{target}-{number}"));
            links.push(format!("{container}:{}-{target}-{number}", project.name));
        }
    }
    links.extend(service.external_links.iter().map(|link| {
        let (container, alias) = link.split_once(':').unwrap_or((link, link));
        format!("{container}:{alias}")
    }));
    links
}
