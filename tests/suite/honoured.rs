//! The law of honoured attributes: each, set alone, changes what the Engine is asked for, or stands on a named list.
//!
//! Values are tried until one does: what an attribute takes is not told twice. An attribute that none of them moves is
//! either read by nobody, or wants a line below.

use moorline::compose::attributes::{self, Attribute, Status};
use moorline::model::{Desired, EngineFacts, HostName, RepositoryName, Revision};
use moorline::report::Target;
use serde_json::{Map, Value, json};

use crate::support::world::load;

/// Honoured, and nothing of it reaches the Engine as it is.
const ELSEWHERE: &[(&str, &str)] = &[
    ("name", "the fleet file names stacks"),
    ("include", "brings in what other files say"),
    ("services", "holds services"),
    ("services.*.extends", "brings in what another service says"),
    ("services.*.profiles", "decides which services there are"),
    ("services.*.deploy.placement", "decides which of several hosts a replica sits on"),
    ("services.*.deploy.resources.reservations.cpus", "what placement counts against a host"),
    ("services.*.networks.*.priority", "decides which of several networks is the first"),
    ("services.*.depends_on.*.required", "decides whether a missing one is an error"),
    ("services.*.env_file", "brings in variables of a file"),
    ("services.*.label_file", "brings in labels of a file"),
];

/// Attributes that go together with others: what stands around them.
const AROUND: &[(&str, &str)] = &[
    ("services.*.build", r#"{"context": "."}"#),
    ("services.*.healthcheck", r#"{"test": ["CMD", "true"]}"#),
    ("services.*.ports[]", r#"{"target": 80}"#),
    ("services.*.volumes[]", r#"{"type": "volume", "source": "data", "target": "/data"}"#),
    ("services.*.volumes[].bind", r#"{"create_host_path": true}"#),
    ("services.*.configs[]", r#"{"source": "text"}"#),
    ("services.*.secrets[]", r#"{"source": "env"}"#),
    ("services.*.devices[]", r#"{"source": "/dev/null", "target": "/dev/null"}"#),
    ("services.*.gpus[]", r#"{"capabilities": ["gpu"]}"#),
    ("services.*.deploy.resources.reservations.devices[]", r#"{"capabilities": ["gpu"]}"#),
    ("services.*.logging", r#"{"driver": "json-file"}"#),
    ("services.*.post_start[]", r#"{"command": ["true"]}"#),
    ("services.*.pre_stop[]", r#"{"command": ["true"]}"#),
    ("services.*.pre_start[]", r#"{"command": ["true"], "image": "app:1"}"#),
    ("services.*.networks.*", "{}"),
    ("services.*.ulimits.*", r#"{"soft": 1, "hard": 2}"#),
    ("services.*.build.ulimits.*", r#"{"soft": 1, "hard": 2}"#),
    ("services.*.blkio_config.weight_device[]", r#"{"path": "/dev/sda", "weight": 100}"#),
    ("services.*.blkio_config.device_read_bps[]", r#"{"path": "/dev/sda", "rate": "1mb"}"#),
    ("services.*.blkio_config.device_write_bps[]", r#"{"path": "/dev/sda", "rate": "1mb"}"#),
    ("services.*.blkio_config.device_read_iops[]", r#"{"path": "/dev/sda", "rate": 10}"#),
    ("services.*.blkio_config.device_write_iops[]", r#"{"path": "/dev/sda", "rate": 10}"#),
    ("services.*.depends_on.*", r#"{"condition": "service_started"}"#),
    ("networks.*.ipam.config[]", r#"{"subnet": "10.9.0.0/16"}"#),
];

/// The same for attributes that want other company than their neighbours.
const OTHERWISE: &[(&str, &str, &str)] = &[
    (
        "services.*.volumes[].bind",
        "services.*.volumes[]",
        r#"{"type": "bind", "source": "/srv", "target": "/data"}"#,
    ),
    (
        "services.*.volumes[].consistency",
        "services.*.volumes[]",
        r#"{"type": "tmpfs", "target": "/data"}"#,
    ),
    (
        "services.*.volumes[].tmpfs",
        "services.*.volumes[]",
        r#"{"type": "tmpfs", "target": "/data"}"#,
    ),
    (
        "services.*.volumes[].image",
        "services.*.volumes[]",
        r#"{"type": "image", "source": "app:3", "target": "/data"}"#,
    ),
];

/// What stands around an attribute at one place of its path.
fn around(attribute: &str, place: &str) -> Option<Value> {
    let other = OTHERWISE.iter().find(|(path, at, _)| attribute.starts_with(path) && *at == place);
    let usual = || AROUND.iter().find(|(path, _)| *path == place).map(|(_, json)| *json);
    let json = other.map(|(_, _, json)| *json).or_else(usual)?;
    Some(serde_json::from_str(json).unwrap())
}

/// What is tried, the likeliest first.
fn values() -> Vec<Value> {
    let texts = [
        "x1",
        "other",
        "/elsewhere",
        "10.9.0.7",
        "64m",
        "1m30s",
        "7",
        "0.5",
        "true",
        "host",
        "service:other",
        "tmpfs",
        "start-first",
        "rollback",
        "service_healthy",
        "global",
        "on-failure",
        "always",
        "never",
        "linux/arm64",
        "rshared",
        "Z",
        "image",
        "slave",
        "0-1",
        "private",
        "10.9.1.0/24",
        "a=b",
        "app.env",
        "02:42:0a:09:00:07",
        "8080",
        "udp",
        "SIGINT",
        "Dockerfile.other",
        "a:10.9.0.8",
        "enabled",
        "c 1:3 rwm",
        "other:ro",
        "r",
        "none",
        "hyperv",
        "0444",
        "replicated-job",
        "NONE",
        "OTHER",
        "word",
        "text",
        "env",
        "file",
        "disabled",
        "cached",
    ];
    let mut values: Vec<Value> = texts.iter().map(|text| json!(text)).collect();
    values.extend([json!(7), json!(0.5), json!(true), json!(false), json!(2), json!(2000)]);
    values
}

/// A stack with one service, and everything that an attribute may refer to.
fn base() -> Value {
    json!({
        "services": {
            "web": {"image": "app:1"},
            "other": {
                "image": "app:2",
                "volumes": ["data:/d", "other:/o"],
                "networks": ["default", "other"],
                "configs": ["text", "env", "file"],
                "secrets": ["word", "env"],
            },
        },
        "volumes": {"data": {}, "other": {}},
        "networks": {"default": {}, "other": {}},
        "configs": {"text": {"content": "hello"}, "env": {"environment": "TOKEN"}, "file": {"file": "./word.txt"}},
        "secrets": {"word": {"file": "./word.txt"}, "env": {"environment": "TOKEN"}},
    })
}

/// Puts what stands around an attribute into a stack, and the value at its place.
fn put(at: &mut Value, (attribute, whole): (&str, &str), parts: &[&str], value: Option<&Value>) {
    let Some((part, rest)) = parts.split_first() else {
        if let Some(value) = value {
            *at = value.clone();
        }
        return;
    };
    let name = part.trim_end_matches("[]");
    let lists = (part.len() - name.len()) / 2;
    let key = match (name, whole) {
        ("*", "services") => "web",
        ("*", "services.*.depends_on") => "other",
        ("*", "services.*.networks" | "networks") => "default",
        ("*", "volumes") => "data",
        ("*", "configs" | "secrets") if *rest == ["environment"] => "env",
        ("*", "configs") if *rest == ["file"] => "file",
        ("*", "configs") => "text",
        ("*", "secrets") => "word",
        ("*", "services.*.ulimits" | "services.*.build.ulimits") => "nofile",
        ("*", _) => "a",
        (name, _) => name,
    };
    if !at.is_object() {
        *at = Value::Object(Map::new());
    }
    let whole = if whole.is_empty() { (*part).to_owned() } else { format!("{whole}.{part}") };
    let mut slot = at.as_object_mut().unwrap().entry(key).or_insert(Value::Null);
    for _ in 0..lists {
        if !slot.is_array() {
            *slot = json!([null]);
        }
        slot = &mut slot.as_array_mut().unwrap()[0];
    }
    if slot.is_null()
        && let Some(around) = around(attribute, &whole)
    {
        *slot = around;
    }
    if rest.is_empty() && value.is_none() {
        return;
    }
    put(slot, (attribute, &whole), rest, value);
}

/// What the Engine is asked for; nothing, when the stack is refused.
fn asked(stack: &Value) -> Option<String> {
    let text = serde_json::to_string(stack).unwrap();
    let files = [
        ("compose.yaml", text.as_str()),
        ("word.txt", "secret"),
        (".env", "TOKEN=one\nOTHER=two\n"),
        ("app.env", "FROM_FILE=1\n"),
        ("Dockerfile", "FROM scratch\n"),
        ("Dockerfile.other", "FROM scratch\n"),
        ("x1/Dockerfile", "FROM scratch\n"),
        ("other", "data"),
    ];
    let loaded = load(&files);
    loaded.project.as_ref()?;
    let target = Target {
        repository: RepositoryName::parse("main").unwrap(),
        stack: loaded.stack.name.clone(),
        host: HostName::parse("local").unwrap(),
    };
    let revision = Revision::parse(&"a".repeat(40)).unwrap();
    let engine = EngineFacts { id: "engine".to_owned(), ..EngineFacts::default() };
    let written = loaded.write(&target, &revision, "/var/lib/moorline", &engine);
    let desired = written.desired.filter(|_| !written.problems.has_errors())?;
    Some(without_places((*desired).clone()))
}

/// Without the lines that ask for something: these differ whatever is asked.
fn without_places(mut desired: Desired) -> String {
    for service in desired.services.values_mut() {
        let service = std::sync::Arc::make_mut(service);
        (service.origin, service.origins) = (None, [].into());
    }
    for network in desired.networks.values_mut() {
        std::sync::Arc::make_mut(network).origin = None;
    }
    for volume in desired.volumes.values_mut() {
        std::sync::Arc::make_mut(volume).origin = None;
    }
    format!("{desired:?}")
}

/// Whether some value of an attribute changes what is asked for.
fn reaches_the_engine(attribute: &Attribute) -> bool {
    let parts: Vec<&str> = attribute.path.split('.').collect();
    let mut plain = base();
    put(&mut plain, (attribute.path, ""), &parts[..parts.len() - 1], None);
    let before = asked(&plain).or_else(|| asked(&base()));
    let mut all = values();
    let words = attribute.rules.split_whitespace().filter_map(|rule| rule.strip_prefix("one="));
    all.extend(words.flat_map(|words| words.split('|')).map(|word| json!(word)));
    let shapes = all.iter().flat_map(|value| [value.clone(), json!([value]), json!({"a": value})]);
    shapes.into_iter().any(|value| {
        let mut stack = base();
        put(&mut stack, (attribute.path, ""), &parts, Some(&value));
        asked(&stack).is_some_and(|after| before.as_ref() != Some(&after))
    })
}

#[test]
fn each_honoured_attribute_set_alone_changes_the_payload_or_stands_on_the_list() {
    let is_elsewhere = |path: &str| {
        ELSEWHERE.iter().any(|(listed, _)| {
            path.strip_prefix(listed).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with(['.', '[']) && *listed != "services"
            })
        })
    };
    // What only holds other attributes is set with them.
    let holds = |path: &str| {
        attributes::all().any(|other| {
            let below = other.path.strip_prefix(path);
            below.is_some_and(|below| below.starts_with(['.', '[']))
        })
    };
    let honoured = attributes::all().filter(|attribute| !holds(attribute.path));
    let honoured = honoured.filter(|attribute| attribute.status == Status::Honoured);
    let (mut unread, mut read) = (Vec::new(), 0);
    for attribute in honoured.filter(|attribute| !is_elsewhere(attribute.path)) {
        if reaches_the_engine(&attribute) { read += 1 } else { unread.push(attribute.path) }
    }
    assert!(unread.is_empty(), "honoured, and nobody reads: {unread:#?}");
    assert!(150 < read, "{read}");
    for (path, _) in ELSEWHERE {
        assert!(attributes::all().any(|attribute| attribute.path == *path), "{path}");
    }
}
