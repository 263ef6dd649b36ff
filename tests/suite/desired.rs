//! A project in the Engine's words: against what docker compose sends, and what Git adds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use moorline::desired::{self, HOST_DATA, Input, RelativePaths};
use moorline::model::project::{FileObject, Network, SecretObject, Service, Volume};
use moorline::model::{
    Desired, Diagnostics, Digest, EngineFacts, ManifestTree, Project, RepositoryName, Revision,
    ServiceName, StackName, TreePath,
};
use serde_json::{Map, Value, json};

/// Accepted differences from docker compose's calls, besides labels that begin with `moorline.`: none. Relative binds
/// are compared as written (`RelativePaths::AsWritten`); what they become is tested on its own below. References to
/// other containers go out by name and are compared by the id that the recording engine makes of the name.
const ACCEPTED: [&str; 0] = [];

pub(crate) fn corpus() -> Option<PathBuf> {
    let shared = std::env::var_os("MOORLINE_SHARED");
    if shared.is_none() {
        eprintln!("skipped: MOORLINE_SHARED is not set");
    }
    Some(PathBuf::from(shared?).join("compose"))
}

/// A project from the reference's canonical model.
pub(crate) fn project_of(model: &Value, root: &str) -> Project {
    let model = undoubled(model);
    let name = model["name"].as_str().expect("a name");
    let mut project = Project::empty(StackName::parse(name).expect("a valid name"), root);
    project.services = section::<Service>(&model, "services")
        .into_iter()
        .map(|(name, service)| (ServiceName::parse(&name).expect("a service name"), service))
        .collect();
    project.networks = section::<Network>(&model, "networks");
    project.volumes = section::<Volume>(&model, "volumes");
    project.configs = section::<FileObject>(&model, "configs");
    project.secrets = section::<SecretObject>(&model, "secrets");
    project
}

fn section<T: serde::de::DeserializeOwned>(model: &Value, key: &str) -> BTreeMap<String, T> {
    match model.get(key) {
        None | Some(Value::Null) => BTreeMap::new(),
        Some(found) => serde_json::from_value(found.clone()).expect(key),
    }
}

/// Undoes the doubled dollars of the canonical model.
fn undoubled(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace("$$", "$")),
        Value::Array(items) => items.iter().map(undoubled).collect(),
        Value::Object(map) => {
            map.iter().map(|(key, value)| (key.replace("$$", "$"), undoubled(value))).collect()
        }
        other => other.clone(),
    }
}

pub(crate) fn engine(api: (u32, u32)) -> EngineFacts {
    EngineFacts { api, id: "ENGINE".to_owned(), ..EngineFacts::default() }
}

/// Desired state of a project, with files of the tree or as written.
pub(crate) fn make(
    project: &Project,
    tree: Option<&ManifestTree>,
    engine: &EngineFacts,
) -> (Desired, Diagnostics) {
    let empty = ManifestTree::default();
    let folder = TreePath::parse("stacks/shop").expect("a path");
    desired::make(Input {
        project,
        folder: &folder,
        tree: tree.unwrap_or(&empty),
        stack: &project.name,
        repository: &RepositoryName::parse("fleet").expect("a name"),
        revision: &Revision::parse(&"a".repeat(40)).expect("a revision"),
        config_files: &["stacks/shop/compose.yaml".to_owned()],
        host_data: HOST_DATA,
        directory: None,
        engine,
        spreads: false,
        paths: if tree.is_some() { RelativePaths::FromGit } else { RelativePaths::AsWritten },
    })
}

/// The calls that desired state stands for, in the shape of the recordings.
fn calls(desired: &Desired) -> Value {
    let mut containers = Vec::new();
    let mut files = Vec::new();
    let replicas = desired.services.values().flat_map(|service| service.replicas.values());
    for replica in replicas {
        let mut spec = (*replica.spec).clone();
        let host = spec.host_mut();
        for mode in [&mut host.network_mode, &mut host.ipc_mode, &mut host.pid_mode] {
            if let Some(name) = mode.strip_prefix("container:")
                && name != "tailscale"
            {
                *mode = format!("container:{}", Digest::of(format!("c{name}").as_bytes()));
            }
        }
        for from in &mut host.volumes_from {
            *from = Digest::of(format!("c{from}").as_bytes()).to_string();
        }
        let mut body = serde_json::to_value(&spec.config).unwrap();
        body["HostConfig"] = serde_json::to_value(&spec.host).unwrap();
        body["NetworkingConfig"] = json!({ "EndpointsConfig": spec.endpoints });
        containers.push(json!({"name": replica.name, "platform": spec.platform, "body": body}));
        if !replica.uploads.is_empty() {
            let uploads: Vec<Value> = replica
                .uploads
                .iter()
                .map(|file| {
                    json!({
                        "name": file.target, "content": String::from_utf8_lossy(&file.bytes),
                        "size": file.bytes.len(), "mode": format!("0o{:o}", file.mode),
                        "uid": file.uid, "gid": file.gid,
                    })
                })
                .collect();
            files.push(json!({"container": replica.name, "files": uploads}));
        }
    }
    let networks = desired.networks.values().filter(|network| !network.external);
    let volumes = desired.volumes.values().filter(|volume| !volume.external);
    json!({
        "containers": containers, "files": files, "connects": [],
        "networks": networks.map(|network| serde_json::to_value(&network.spec).unwrap()).collect::<Vec<_>>(),
        "volumes": volumes.map(|volume| serde_json::to_value(&volume.spec).unwrap()).collect::<Vec<_>>(),
    })
}

const DROPPED_LABELS: [&str; 6] = [
    "com.docker.compose.config-hash",
    "com.docker.compose.version",
    "com.docker.compose.image",
    "com.docker.compose.project.config_files",
    "com.docker.compose.project.working_dir",
    "com.docker.compose.project.environment_file",
];

/// The recordings' own normalisation: empty values go, lists without meaningful order are sorted.
fn clean(value: &Value, key: &str) -> Value {
    match value {
        Value::Object(map) => Value::Object(clean_map(map, key)),
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(|item| clean(item, "")).collect();
            if matches!(key, "Env" | "Binds" | "Ulimits" | "ExtraHosts" | "Mounts") {
                items.sort_by_key(Value::to_string);
            }
            Value::Array(items)
        }
        other => other.clone(),
    }
}

fn clean_map(map: &Map<String, Value>, key: &str) -> Map<String, Value> {
    let mut map = map.clone();
    if key == "Labels" {
        map.retain(|name, _| {
            !DROPPED_LABELS.contains(&name.as_str()) && !name.starts_with("moorline.")
        });
        if let Some(Value::String(waits)) = map.get_mut("com.docker.compose.depends_on") {
            let mut all: Vec<&str> = waits.split(',').collect();
            all.sort_unstable();
            *waits = all.join(",");
        }
    }
    let mut map: Map<String, Value> =
        map.iter().map(|(name, value)| (name.clone(), clean(value, name))).collect();
    let keeps_all = matches!(
        key,
        "Labels"
            | "EndpointsConfig"
            | "ExposedPorts"
            | "PortBindings"
            | "Tmpfs"
            | "Options"
            | "DriverOpts"
            | "Sysctls"
            | "Config"
    );
    if !keeps_all {
        map.retain(|name, value| !is_empty(value) || has_empty_meaning(name, value));
    }
    map
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

fn has_empty_meaning(name: &str, value: &Value) -> bool {
    match name {
        "Init" | "EnableIPv4" => value == &Value::Bool(false),
        "Cmd" | "Entrypoint" => value.is_array(),
        _ => false,
    }
}

/// A record by name, as `api_diff.py` prepares it.
fn prepared(record: &Value) -> BTreeMap<String, Value> {
    let mut out = BTreeMap::new();
    let items = |key: &str| record[key].as_array().cloned().unwrap_or_default();
    for kind in ["networks", "volumes"] {
        for item in items(kind) {
            let mut item = clean(&item, "");
            item.as_object_mut().unwrap().remove("CheckDuplicate");
            out.insert(format!("{kind} {}", item["Name"].as_str().unwrap()), item);
        }
    }
    let mut endpoints: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for container in items("containers") {
        let name = container["name"].as_str().unwrap().to_owned();
        let mut body = clean(&container["body"], "");
        let map = body.as_object_mut().unwrap();
        for key in ["AttachStdout", "AttachStderr", "AttachStdin"] {
            map.remove(key);
        }
        if let Some(Value::Object(host)) = map.get_mut("HostConfig") {
            host.remove("ConsoleSize");
        }
        if let Some(Value::Object(ports)) = map.get_mut("ExposedPorts") {
            *ports =
                ports.iter().map(|(port, value)| (with_protocol(port), value.clone())).collect();
        }
        let places = map.remove("NetworkingConfig").unwrap_or_default();
        let places = places["EndpointsConfig"].as_object().cloned().unwrap_or_default();
        endpoints.entry(name.clone()).or_default().extend(places);
        let platform = container["platform"].as_str().unwrap_or_default().to_owned();
        out.insert(format!("container {name}"), json!({"platform": platform, "body": body}));
    }
    for connect in items("connects") {
        let text = |key: &str| connect[key].as_str().unwrap().to_owned();
        endpoints
            .entry(text("container"))
            .or_default()
            .insert(text("network"), clean(&connect["endpoint"], ""));
    }
    for (name, mut places) in endpoints {
        for place in places.values_mut() {
            if let Some(Value::Array(aliases)) = place.get_mut("Aliases") {
                aliases.sort_by_key(Value::to_string);
                aliases.dedup();
            }
        }
        out.insert(format!("endpoints {name}"), Value::Object(places));
    }
    for file in items("files") {
        out.insert(format!("files {}", clean(&file, "")), Value::Null);
    }
    out
}

fn with_protocol(port: &str) -> String {
    if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") }
}

fn differences(path: &str, golden: &Value, ours: &Value, out: &mut Vec<String>) {
    match (golden, ours) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let at = format!("{path}/{key}");
                match (a.get(key), b.get(key)) {
                    (Some(a), Some(b)) => differences(&at, a, b, out),
                    (a, b) => out.push(format!("{at}: golden {a:?} ours {b:?}")),
                }
            }
        }
        (a, b) if a == b => {}
        (a, b) => out.push(format!("{path}: golden {a} ours {b}")),
    }
}

fn compare(corpus: &Path, name: &str) -> Vec<String> {
    let read = |folder: &str| -> Value {
        let text = std::fs::read_to_string(corpus.join(folder).join(name)).expect(name);
        serde_json::from_str(&text).expect(name)
    };
    let (model, golden) = (read("dev-golden"), read("dev-api"));
    let project = project_of(&model, "@CORPUS@");
    let (desired, _) = make(&project, None, &engine((1, 41)));
    let (golden, ours) = (prepared(&golden), prepared(&calls(&desired)));
    let mut found = Vec::new();
    let whole = |record: BTreeMap<String, Value>| Value::Object(record.into_iter().collect());
    differences("", &whole(golden), &whole(ours), &mut found);
    found.retain(|line| !ACCEPTED.iter().any(|accepted| line.contains(accepted)));
    found
}

#[test]
fn the_create_calls_are_those_of_docker_compose() {
    let Some(corpus) = corpus() else { return };
    let mut names: Vec<String> = std::fs::read_dir(corpus.join("dev-api"))
        .expect("the corpus")
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let mut different = Vec::new();
    for name in &names {
        let found = compare(&corpus, name);
        if !found.is_empty() {
            eprintln!("{name}:\n  {}", found.join("\n  "));
            different.push(name.clone());
        }
    }
    let equal = names.len() - different.len();
    eprintln!("{equal} of {} projects send the same calls", names.len());
    assert!(98 * names.len() <= 100 * equal, "{different:?}");
}
