//! Networks, ports and volumes.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Shared;
use super::routes::{Answer, refuse};
use super::world::{Container, Endpoint, Network, Volume, World, now};

pub(super) fn create(shared: &Arc<Shared>, body: &Value) -> Result<String, Answer> {
    let mut world = shared.world();
    let name = body["Name"].as_str().unwrap_or_default().to_owned();
    let strict = !world.is_old() || body["CheckDuplicate"] == json!(true);
    if strict && world.networks.values().any(|other| other.name == name) {
        return Err(refuse(409, &format!("network with name {name} already exists")));
    }
    let asked = body["IPAM"]["Config"][0]["Subnet"].as_str().map(str::to_owned);
    if let Some(subnet) = &asked
        && world.networks.values().any(|other| other.subnet == *subnet)
    {
        return Err(refuse(403, "Pool overlaps with other one on this address space"));
    }
    let id = world.new_id();
    let subnet = asked.unwrap_or_else(|| world.new_subnet());
    let network = Network {
        id: id.clone(),
        name: name.clone(),
        created: now(),
        body: body.as_object().cloned().unwrap_or_default(),
        subnet,
        next_address: 2,
        built_in: false,
    };
    let driver = network.driver();
    world.networks.insert(id.clone(), network);
    world.tell("network", "create", &id, json!({"name": name, "type": driver}));
    drop(world);
    shared.wake();
    Ok(id)
}

impl Network {
    pub(super) fn driver(&self) -> String {
        let driver = self.body.get("Driver").and_then(Value::as_str).unwrap_or_default();
        if driver.is_empty() { "bridge".to_owned() } else { driver.to_owned() }
    }
}

/// A network by id, by the beginning of an id, or by a name that only one has.
pub(super) fn find(world: &World, address: &str) -> Result<String, Answer> {
    if world.networks.contains_key(address) {
        return Ok(address.to_owned());
    }
    let named: Vec<&Network> = world.networks.values().filter(|net| net.name == address).collect();
    match named.as_slice() {
        [one] => Ok(one.id.clone()),
        [] => Err(refuse(404, &format!("network {address} not found"))),
        many => {
            let what =
                format!("network {address} is ambiguous ({} matches found on name)", many.len());
            Err(refuse(400, &what))
        }
    }
}

pub(super) fn remove(shared: &Arc<Shared>, id: &str) -> Answer {
    let mut world = shared.world();
    let Some(network) = world.networks.get(id) else {
        return refuse(404, &format!("network {id} not found"));
    };
    let name = network.name.clone();
    if network.built_in {
        return refuse(403, &format!("{name} is a pre-defined network and cannot be removed"));
    }
    if !world.attached(id).is_empty() {
        return refuse(
            403,
            &format!("error while removing network: network {name} id {id} has active endpoints"),
        );
    }
    let driver = network.driver();
    world.networks.remove(id);
    world.tell("network", "destroy", id, json!({"name": name, "type": driver}));
    drop(world);
    shared.wake();
    Answer::empty(204)
}

pub(super) fn connect(shared: &Arc<Shared>, network: &str, body: &Value) -> Answer {
    let mut world = shared.world();
    let address = body["Container"].as_str().unwrap_or_default().to_owned();
    let Some(id) = world.id_of(&address) else {
        return refuse(404, &format!("No such container: {address}"));
    };
    let name = world.networks[network].name.clone();
    let Some(mut container) = world.containers.get(&id).cloned() else { return Answer::empty(404) };
    if container.endpoints.contains_key(&name) {
        return refuse(
            403,
            &format!("endpoint with name {} already exists in network {name}", container.name),
        );
    }
    let asked = body["EndpointConfig"].as_object().cloned().unwrap_or_default();
    container.endpoints.insert(name.clone(), Endpoint { asked, ..Endpoint::default() });
    if container.is_up()
        && let Err((status, message)) = plug(&mut world, &mut container)
    {
        return refuse(status, &message);
    }
    world.containers.insert(id.clone(), container);
    world.tell(
        "network",
        "connect",
        network,
        json!({"container": id, "name": name, "type": "bridge"}),
    );
    drop(world);
    shared.wake();
    Answer::empty(200)
}

pub(super) fn disconnect(shared: &Arc<Shared>, network: &str, body: &Value) -> Answer {
    let mut world = shared.world();
    let address = body["Container"].as_str().unwrap_or_default().to_owned();
    let Some(id) = world.id_of(&address) else {
        return refuse(404, &format!("No such container: {address}"));
    };
    let name = world.networks[network].name.clone();
    let gone =
        world.containers.get_mut(&id).and_then(|container| container.endpoints.remove(&name));
    if gone.is_none() {
        return refuse(500, &format!("container {id} is not connected to network {name}"));
    }
    world.tell(
        "network",
        "disconnect",
        network,
        json!({"container": id, "name": name, "type": "bridge"}),
    );
    drop(world);
    shared.wake();
    Answer::empty(200)
}

pub(super) fn disconnect_by_hand(shared: &Arc<Shared>, container: &str, network: &str) {
    let id = find(&shared.world(), network).ok().unwrap_or_else(|| panic!("no network {network}"));
    let answer = disconnect(shared, &id, &json!({"Container": container}));
    assert!(answer.status < 400, "{}", answer.text());
}

/// Gives a container that starts its addresses and ports.
pub(super) fn plug(world: &mut World, container: &mut Container) -> Result<(), (u16, String)> {
    let taken = taken_ports(world, &container.id);
    let published = published(container);
    for (port, host_ip, host_port) in &published {
        let protocol = port.split('/').nth(1).unwrap_or("tcp");
        let clash = taken.iter().any(|(other, ip, number)| {
            let same_ip = ip == host_ip || ip == "0.0.0.0" || host_ip == "0.0.0.0";
            other == protocol && number == host_port && same_ip
        });
        if clash {
            return Err((
                500,
                format!(
                    "driver failed programming external connectivity on endpoint {} ({}): Bind for {host_ip}:{host_port} failed: port is already allocated",
                    container.name, container.id
                ),
            ));
        }
    }
    let old = world.is_old();
    let short: String = container.id.chars().take(12).collect();
    for (name, endpoint) in &mut container.endpoints {
        if !endpoint.id.is_empty() {
            continue;
        }
        let Some(id) = world.network_named(name).map(|net| net.id.clone()) else {
            return Err((404, format!("network {name} not found")));
        };
        let fixed = endpoint.asked.get("IPAMConfig").and_then(|ipam| ipam["IPv4Address"].as_str());
        let clash = fixed.is_some_and(|fixed| {
            world.attached(&id).iter().any(|(_, other)| other.address == fixed)
        });
        if clash {
            return Err((403, "Address already in use".to_owned()));
        }
        let fixed = fixed.map(str::to_owned);
        endpoint.id = world.new_id();
        endpoint.network_id.clone_from(&id);
        let Some(network) = world.networks.get_mut(&id) else { continue };
        if matches!(network.driver().as_str(), "null" | "host") {
            continue;
        }
        let base = network.subnet.rsplit_once('.').map_or("172.17.0", |(base, _)| base);
        endpoint.address = fixed.unwrap_or_else(|| format!("{base}.{}", network.next_address));
        network.next_address = network.next_address % 250 + 1;
        let octets: Vec<String> = endpoint
            .address
            .split('.')
            .map(|part| format!("{:02x}", part.parse::<u8>().unwrap_or(0)))
            .collect();
        endpoint.mac = format!("02:42:{}", octets.join(":"));
        endpoint.has_short_id = old && !network.built_in;
        if endpoint.has_short_id {
            let aliases = endpoint.asked.entry("Aliases").or_insert_with(|| json!([]));
            if aliases.is_null() {
                *aliases = json!([]);
            }
            if let Some(list) = aliases.as_array_mut().filter(|list| !list.contains(&json!(short)))
            {
                list.push(json!(short));
            }
        }
    }
    container.ports = Map::new();
    for (port, ip, number) in published {
        let bindings = container.ports.entry(port).or_insert_with(|| json!([]));
        if let Some(list) = bindings.as_array_mut() {
            list.push(json!({"HostIp": ip, "HostPort": number}));
        }
    }
    Ok(())
}

/// Takes them away again; which networks it belongs to stays known.
pub(super) fn unplug(container: &mut Container) {
    container.ports = Map::new();
    for endpoint in container.endpoints.values_mut() {
        endpoint.id = String::new();
        endpoint.address = String::new();
        endpoint.mac = String::new();
    }
}

/// Published ports with fixed numbers: only exposed ports are published.
fn published(container: &Container) -> Vec<(String, String, String)> {
    let exposed = container.config.get("ExposedPorts").and_then(Value::as_object);
    let bindings = container.host.get("PortBindings").and_then(Value::as_object);
    let mut published = Vec::new();
    for (port, addresses) in bindings.into_iter().flatten() {
        if exposed.is_none_or(|exposed| !exposed.contains_key(port)) {
            continue;
        }
        for address in addresses.as_array().into_iter().flatten() {
            let ip = address["HostIp"].as_str().filter(|ip| !ip.is_empty()).unwrap_or("0.0.0.0");
            let number = address["HostPort"].as_str().unwrap_or_default();
            if !number.is_empty() && number != "0" {
                published.push((port.clone(), ip.to_owned(), number.to_owned()));
            }
        }
    }
    published
}

fn taken_ports(world: &World, but: &str) -> Vec<(String, String, String)> {
    let others = world.containers.values().filter(|other| other.is_up() && other.id != but);
    others
        .flat_map(published)
        .map(|(port, ip, number)| (port.split('/').nth(1).unwrap_or("tcp").to_owned(), ip, number))
        .collect()
}

pub(super) fn create_volume(shared: &Arc<Shared>, body: &Value) -> Answer {
    let mut world = shared.world();
    let name = match body["Name"].as_str() {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => world.new_id(),
    };
    ensure_volume(&mut world, &name, body.as_object().cloned().unwrap_or_default());
    let shown = super::shapes::volume(&name, &world.volumes[&name]);
    drop(world);
    shared.wake();
    Answer::json(201, &shown)
}

fn ensure_volume(world: &mut World, name: &str, body: Map<String, Value>) {
    if !world.volumes.contains_key(name) {
        let born = world.new_number();
        world.volumes.insert(name.to_owned(), Volume { body, created: now(), born });
        world.tell("volume", "create", name, json!({"driver": "local"}));
    }
}

pub(super) fn remove_volume(shared: &Arc<Shared>, name: &str) -> Answer {
    let mut world = shared.world();
    if !world.volumes.contains_key(name) {
        return refuse(404, &format!("get {name}: no such volume"));
    }
    let user = world
        .containers
        .values()
        .find(|container| container.volume_names().iter().any(|used| used == name));
    if let Some(user) = user {
        return refuse(409, &format!("remove {name}: volume is in use - [{}]", user.id));
    }
    world.volumes.remove(name);
    world.tell("volume", "destroy", name, json!({"driver": "local"}));
    drop(world);
    shared.wake();
    Answer::empty(204)
}

/// Makes the mounts of a new container: binds, named volumes, and anonymous ones where the image wants them.
pub(super) fn mount(world: &mut World, container: &mut Container) -> Result<(), Answer> {
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    for bind in list(container.host.get("Binds")) {
        let text = bind.as_str().unwrap_or_default().to_owned();
        let mut parts = text.splitn(3, ':');
        let (source, target) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let mode = parts.next().unwrap_or_default();
        if source.starts_with('/') {
            container.mounts.push(bind_mount(source, target, mode, "rprivate"));
        } else {
            ensure_volume(world, source, Map::new());
            container.mounts.push(volume_mount(
                source,
                target,
                if mode.is_empty() { "z" } else { mode },
                !mode.contains("ro"),
            ));
        }
    }
    for mount in list(container.host.get("Mounts")) {
        let text = |key: &str| mount[key].as_str().unwrap_or_default().to_owned();
        let (kind, source, target) = (text("Type"), text("Source"), text("Target"));
        let writable = mount["ReadOnly"] != json!(true);
        match kind.as_str() {
            "volume" if source.is_empty() => anonymous(world, container, &target),
            "volume" => {
                ensure_volume(world, &source, Map::new());
                container.mounts.push(volume_mount(&source, &target, "z", writable));
            }
            "bind" => {
                let mut bind = bind_mount(&source, &target, "", "rprivate");
                bind["RW"] = json!(writable);
                container.mounts.push(bind);
            }
            "tmpfs" => container.mounts.push(json!({"Type": "tmpfs", "Source": "", "Destination": target, "Mode": "", "RW": writable, "Propagation": ""})),
            other => return Err(refuse(400, &format!("invalid mount config for type {other:?}"))),
        }
    }
    let declared =
        container.config.get("Volumes").and_then(Value::as_object).cloned().unwrap_or_default();
    for target in declared.keys() {
        if !container.mounts.iter().any(|mount| mount["Destination"] == **target) {
            anonymous(world, container, target);
        }
    }
    Ok(())
}

fn anonymous(world: &mut World, container: &mut Container, target: &str) {
    let name = world.new_id();
    ensure_volume(world, &name, Map::new());
    container.anonymous.push(name.clone());
    container.mounts.push(volume_mount(&name, target, "", true));
}

fn volume_mount(name: &str, target: &str, mode: &str, writable: bool) -> Value {
    json!({
        "Type": "volume", "Name": name, "Source": format!("/var/lib/docker/volumes/{name}/_data"),
        "Destination": target, "Driver": "local", "Mode": mode, "RW": writable, "Propagation": "",
    })
}

fn bind_mount(source: &str, target: &str, mode: &str, propagation: &str) -> Value {
    let writable = !mode.split(',').any(|word| word == "ro");
    json!({
        "Type": "bind", "Source": source, "Destination": target, "Mode": mode, "RW": writable,
        "Propagation": propagation,
    })
}
