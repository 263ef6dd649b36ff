//! How the simulated Engine shows things: field by field as real ones do (20.10 below API 1.44, 28 above).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::world::{Container, Endpoint, Image, Network, Volume, World, now, written};

const NEVER: &str = "0001-01-01T00:00:00Z";

/// The configuration of a new container: what was asked for, with the image's own where nothing was.
pub(super) fn config(
    body: &Value,
    image: &Map<String, Value>,
    id: &str,
    old: bool,
) -> Map<String, Value> {
    let empty = json!({
        "Hostname": "", "Domainname": "", "User": "", "AttachStdin": false, "AttachStdout": false,
        "AttachStderr": false, "Tty": false, "OpenStdin": false, "StdinOnce": false, "Env": null, "Cmd": null,
        "Image": "", "Volumes": null, "WorkingDir": "", "Entrypoint": null, "OnBuild": null, "Labels": {},
    });
    let mut config = empty.as_object().cloned().unwrap_or_default();
    for (key, value) in body.as_object().into_iter().flatten() {
        if !matches!(key.as_str(), "HostConfig" | "NetworkingConfig") && !value.is_null() {
            config.insert(key.clone(), value.clone());
        }
    }
    let unset = |config: &Map<String, Value>, key: &str| match config.get(key) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(_) => false,
    };
    // Clearing one's entrypoint, even with an empty list, drops the image's command as well.
    let own_entrypoint = !unset(&config, "Entrypoint");
    for key in ["User", "WorkingDir", "StopSignal", "Shell", "Entrypoint"] {
        if unset(&config, key)
            && let Some(value) = image.get(key).filter(|value| !value.is_null())
        {
            config.insert(key.to_owned(), value.clone());
        }
    }
    if !own_entrypoint && unset(&config, "Cmd") {
        config.insert("Cmd".to_owned(), image.get("Cmd").cloned().unwrap_or_default());
    }
    for key in ["Entrypoint", "Cmd"] {
        if config.get(key) == Some(&json!([])) {
            config.insert(key.to_owned(), Value::Null);
        }
    }
    for key in ["Labels", "Volumes", "ExposedPorts"] {
        let mut merged = image.get(key).and_then(Value::as_object).cloned().unwrap_or_default();
        merged.extend(config.get(key).and_then(Value::as_object).cloned().unwrap_or_default());
        if !merged.is_empty() {
            config.insert(key.to_owned(), Value::Object(merged));
        }
    }
    config.insert("Env".to_owned(), environment(config.get("Env"), image.get("Env")));
    health(&mut config, image, old);
    let mode = body["HostConfig"]["NetworkMode"].as_str().unwrap_or_default();
    if unset(&config, "Hostname") && !mode.starts_with("container:") {
        let name = if mode == "host" { "simulated" } else { id.get(..12).unwrap_or(id) };
        config.insert("Hostname".to_owned(), json!(name));
    }
    config
}

/// Asked for first, then those of the image that were not overridden.
fn environment(asked: Option<&Value>, image: Option<&Value>) -> Value {
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let name = |entry: &Value| {
        entry.as_str().unwrap_or_default().split('=').next().unwrap_or_default().to_owned()
    };
    let mut all = list(asked);
    let taken: Vec<String> = all.iter().map(name).collect();
    all.extend(list(image).into_iter().filter(|entry| !taken.contains(&name(entry))));
    if all.is_empty() { Value::Null } else { Value::Array(all) }
}

fn health(config: &mut Map<String, Value>, image: &Map<String, Value>, old: bool) {
    let mut check =
        image.get("Healthcheck").and_then(Value::as_object).cloned().unwrap_or_default();
    for (key, value) in config.get("Healthcheck").and_then(Value::as_object).into_iter().flatten() {
        if !matches!(value, Value::Null) && *value != json!(0) && *value != json!([]) {
            check.insert(key.clone(), value.clone());
        }
    }
    if old {
        check.remove("StartInterval");
    }
    if check.is_empty() {
        config.remove("Healthcheck");
    } else {
        config.insert("Healthcheck".to_owned(), Value::Object(check));
    }
}

/// The host configuration of a new container, with the Engine's own defaults.
pub(super) fn host_config(asked: Option<&Map<String, Value>>, old: bool) -> Map<String, Value> {
    let mut host = defaults(old);
    for (key, value) in asked.into_iter().flatten() {
        if !value.is_null() {
            host.insert(key.clone(), value.clone());
        }
    }
    let text = |host: &Map<String, Value>, key: &str| {
        host.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let mode = text(&host, "NetworkMode");
    let mode = match (mode.as_str(), old) {
        ("" | "default", true) => "default",
        ("" | "default", false) => "bridge",
        (mode, _) => mode,
    };
    host.insert("NetworkMode".to_owned(), json!(mode));
    for (key, value) in [("IpcMode", "private"), ("CgroupnsMode", "host"), ("Runtime", "runc")] {
        if text(&host, key).is_empty() {
            host.insert(key.to_owned(), json!(value));
        }
    }
    if old && asked.is_none() {
        // An Engine 20.10 that is told nothing of the host fills this in at the start.
        host.remove("Runtime");
    }
    if host["PidsLimit"].as_i64().is_some_and(|limit| limit <= 0) {
        host.insert("PidsLimit".to_owned(), Value::Null);
    }
    // What sees the host's processes cannot be told apart by labels.
    let sees = host["Privileged"] == json!(true)
        || text(&host, "IpcMode") == "host"
        || text(&host, "PidMode") == "host";
    if sees && host["SecurityOpt"].is_null() {
        host.insert("SecurityOpt".to_owned(), json!(["label=disable"]));
    }
    let memory = host["Memory"].as_i64().unwrap_or(0);
    if memory > 0 && host["MemorySwap"].as_i64() == Some(0) {
        host.insert("MemorySwap".to_owned(), json!(memory * 2));
    }
    if host["ShmSize"] == json!(0) {
        host.insert("ShmSize".to_owned(), json!(64 << 20));
    }
    complete(&mut host, "LogConfig", json!({"Type": "json-file", "Config": {}}));
    let unset = if old { "" } else { "no" };
    complete(&mut host, "RestartPolicy", json!({"Name": unset, "MaximumRetryCount": 0}));
    if host["Privileged"] == json!(true) {
        host.insert("MaskedPaths".to_owned(), Value::Null);
        host.insert("ReadonlyPaths".to_owned(), Value::Null);
    }
    for bindings in host
        .get_mut("PortBindings")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flat_map(Map::values_mut)
    {
        for binding in bindings.as_array_mut().into_iter().flatten() {
            let part = |key: &str| binding[key].as_str().unwrap_or_default();
            *binding = json!({"HostIp": part("HostIp"), "HostPort": part("HostPort")});
        }
    }
    host
}

/// Lays what was asked for over a whole object; empty text counts as not asked for.
fn complete(host: &mut Map<String, Value>, key: &str, whole: Value) {
    let mut whole = whole.as_object().cloned().unwrap_or_default();
    for (name, value) in host.get(key).and_then(Value::as_object).into_iter().flatten() {
        if !value.is_null() && *value != json!("") {
            whole.insert(name.clone(), value.clone());
        }
    }
    host.insert(key.to_owned(), Value::Object(whole));
}

/// What real Engines show of a container that asks for nothing, as it was recorded: see `tests/answers`.
fn defaults(old: bool) -> Map<String, Value> {
    static RECORDED: std::sync::LazyLock<[Value; 2]> = std::sync::LazyLock::new(|| {
        let texts = [
            include_str!("../../../answers/1.41.json"),
            include_str!("../../../answers/1.51.json"),
        ];
        texts.map(|text| serde_json::from_str(text).unwrap())
    });
    let answers = &RECORDED[usize::from(!old)];
    let mut host = answers["containers"]["bare"]["HostConfig"].as_object().cloned().unwrap();
    // What follows from something else is worked out for each container.
    for key in ["NetworkMode", "IpcMode", "CgroupnsMode", "Runtime"] {
        host.insert(key.to_owned(), json!(""));
    }
    for key in ["LogConfig", "RestartPolicy", "ShmSize"] {
        host.remove(key);
    }
    host.insert("ShmSize".to_owned(), json!(0));
    host
}

pub(super) fn inspection(world: &World, container: &Container) -> Value {
    let command = container.command();
    let time = |instant: Option<i128>| instant.map_or_else(|| NEVER.to_owned(), written);
    let mut state = json!({
        "Status": container.status, "Running": container.is_up(), "Paused": container.status == "paused",
        "Restarting": container.status == "restarting", "OOMKilled": false, "Dead": container.status == "dead",
        "Pid": if container.is_up() { 4242 } else { 0 }, "ExitCode": container.exit_code, "Error": container.error,
        "StartedAt": time(container.started), "FinishedAt": time(container.finished),
    });
    if let Some(health) = &container.health {
        state["Health"] = json!({"Status": health, "FailingStreak": 0, "Log": [{"Output": "checked", "ExitCode": 0}]});
    }
    let networks: BTreeMap<&str, Value> = container
        .endpoints
        .iter()
        .map(|(name, endpoint)| (name.as_str(), shown(world, container, endpoint, true)))
        .collect();
    json!({
        "Id": container.id, "Created": written(container.created),
        "Path": command.first(), "Args": command.iter().skip(1).collect::<Vec<_>>(), "State": state,
        "Image": container.image_id, "Name": format!("/{}", container.name), "RestartCount": container.restarts,
        "Driver": "overlay2", "Platform": "linux", "MountLabel": "", "ProcessLabel": "", "AppArmorProfile": "",
        "ExecIDs": null, "HostConfig": container.host, "GraphDriver": {"Data": {}, "Name": "overlay2"},
        "Mounts": container.mounts, "Config": container.config,
        "NetworkSettings": {"Ports": container.ports, "Networks": networks},
    })
}

fn shown(world: &World, container: &Container, endpoint: &Endpoint, whole: bool) -> Value {
    let asked = |key: &str| endpoint.asked.get(key).cloned().unwrap_or_default();
    let mut shown = json!({
        "IPAMConfig": asked("IPAMConfig"), "Links": asked("Links"),
        "Aliases": if whole { asked("Aliases") } else { Value::Null },
        "NetworkID": endpoint.network_id, "EndpointID": endpoint.id,
        "Gateway": "", "IPAddress": endpoint.address, "IPPrefixLen": if endpoint.address.is_empty() { 0 } else { 24 },
        "IPv6Gateway": "", "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0,
        "MacAddress": endpoint.mac, "DriverOpts": asked("DriverOpts"),
    });
    if !world.is_old() {
        let short: String = container.id.chars().take(12).collect();
        shown["GwPriority"] =
            json!(endpoint.asked.get("GwPriority").and_then(Value::as_i64).unwrap_or(0));
        shown["DNSNames"] = if endpoint.id.is_empty() || !whole {
            Value::Null
        } else {
            json!([container.name, short])
        };
    }
    shown
}

pub(super) fn summary(world: &World, container: &Container) -> Value {
    let seconds = |instant: Option<i128>| (now() - instant.unwrap_or_else(now)) / 1_000_000_000;
    let health = match container.health.as_deref() {
        Some("starting") => " (health: starting)".to_owned(),
        Some(health) => format!(" ({health})"),
        None => String::new(),
    };
    let status = match container.status.as_str() {
        "running" => format!("Up {} seconds{health}", seconds(container.started)),
        "paused" => format!("Up {} seconds (Paused)", seconds(container.started)),
        "exited" => {
            format!("Exited ({}) {} seconds ago", container.exit_code, seconds(container.finished))
        }
        "restarting" => format!(
            "Restarting ({}) {} seconds ago",
            container.exit_code,
            seconds(container.finished)
        ),
        _ => "Created".to_owned(),
    };
    let networks: BTreeMap<&str, Value> = container
        .endpoints
        .iter()
        .map(|(name, endpoint)| (name.as_str(), shown(world, container, endpoint, false)))
        .collect();
    json!({
        "Id": container.id, "Names": [format!("/{}", container.name)], "Image": container.config["Image"],
        "ImageID": container.image_id, "Command": container.command().join(" "),
        "Created": i64::try_from(container.created / 1_000_000_000).unwrap_or(0), "Ports": ports(container),
        "Labels": container.labels(), "State": container.status, "Status": status,
        "HostConfig": {"NetworkMode": container.host_text("NetworkMode")},
        "NetworkSettings": {"Networks": networks}, "Mounts": container.mounts,
    })
}

/// Published ports of a running container, as the list shows them.
fn ports(container: &Container) -> Vec<Value> {
    let bindings = container.host.get("PortBindings").and_then(Value::as_object);
    let mut shown = Vec::new();
    for (port, hosts) in bindings.into_iter().flatten().filter(|_| container.is_up()) {
        let (private, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        for host in hosts.as_array().into_iter().flatten() {
            let public = host["HostPort"].as_str().and_then(|text| text.parse::<u16>().ok());
            shown.push(json!({
                "IP": host["HostIp"].as_str().filter(|ip| !ip.is_empty()).unwrap_or("0.0.0.0"),
                "PrivatePort": private.parse::<u16>().unwrap_or(0), "PublicPort": public.unwrap_or(0),
                "Type": protocol,
            }));
        }
    }
    shown
}

pub(super) fn network(world: &World, network: &Network, whole: bool) -> Value {
    let asked = |key: &str| network.body.get(key).cloned().filter(|value| !value.is_null());
    let flag = |key: &str| network.body.get(key) == Some(&json!(true));
    let ipam = asked("IPAM").unwrap_or_else(|| json!({}));
    let pools = match ipam["Config"].as_array().filter(|pools| !pools.is_empty()) {
        Some(pools) => json!(pools),
        None if network.subnet.is_empty() => json!([]),
        None => {
            let gateway = network.subnet.rsplit_once('.').map(|(base, _)| format!("{base}.1"));
            json!([{"Subnet": network.subnet, "Gateway": gateway}])
        }
    };
    let driver = ipam["Driver"].as_str().filter(|driver| !driver.is_empty()).unwrap_or("default");
    let attached: BTreeMap<&str, Value> = world
        .attached(&network.id)
        .into_iter()
        .filter(|_| whole)
        .map(|(container, endpoint)| {
            let shown = json!({"Name": container.name, "EndpointID": endpoint.id, "MacAddress": endpoint.mac});
            (container.id.as_str(), shown)
        })
        .collect();
    let mut shown = json!({
        "Name": network.name, "Id": network.id, "Created": written(network.created), "Scope": "local",
        "Driver": network.driver(), "EnableIPv6": flag("EnableIPv6"),
        "IPAM": {"Driver": driver, "Options": ipam["Options"], "Config": pools},
        "Internal": flag("Internal"), "Attachable": flag("Attachable"), "Ingress": false,
        "ConfigFrom": {"Network": ""}, "ConfigOnly": false, "Containers": attached,
        "Options": asked("Options").unwrap_or_else(|| json!({})), "Labels": asked("Labels").unwrap_or_else(|| json!({})),
    });
    if !world.is_old() {
        shown["EnableIPv4"] = json!(network.body.get("EnableIPv4") != Some(&json!(false)));
    }
    shown
}

pub(super) fn volume(name: &str, volume: &Volume) -> Value {
    let asked = |key: &str| volume.body.get(key).cloned().unwrap_or_default();
    let driver =
        asked("Driver").as_str().filter(|driver| !driver.is_empty()).unwrap_or("local").to_owned();
    json!({
        "CreatedAt": written(volume.created - volume.created % 1_000_000_000), "Driver": driver, "Labels": asked("Labels"),
        "Mountpoint": format!("/var/lib/docker/volumes/{name}/_data"), "Name": name,
        "Options": asked("DriverOpts"), "Scope": "local",
    })
}

pub(super) fn image(world: &World, image: &Image) -> Value {
    let tags: Vec<&String> =
        world.tags.iter().filter(|(_, id)| **id == image.id).map(|(tag, _)| tag).collect();
    let mut config = json!({
        "User": "", "Env": null, "Cmd": null, "Volumes": null, "WorkingDir": "", "Entrypoint": null, "OnBuild": null,
        "Labels": null,
    });
    for (key, value) in &image.config {
        config[key] = value.clone();
    }
    json!({
        "Id": image.id, "RepoTags": tags, "RepoDigests": image.digests, "Parent": "", "Comment": "",
        "Created": written(image.tagged), "DockerVersion": "", "Author": "", "Config": config,
        "Architecture": "amd64", "Os": "linux", "Size": 1, "RootFS": {"Type": "layers", "Layers": []},
        "Metadata": {"LastTagTime": written(image.tagged)},
    })
}
