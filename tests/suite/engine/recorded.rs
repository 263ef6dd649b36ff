//! The simulated Engine answers as real ones were recorded to (`tests/answers`): each case is made on it, and what it shows
//! is compared field by field, for an Engine 20.10 and a 28.

use serde_json::{Map, Value, json};

use crate::support::fake_engine::{FakeEngine, Options};

/// Fields in which the simulated Engine still answers otherwise, as `KIND PATH`. May only shrink.
const OTHERWISE: &[&str] = &[];

fn read(name: &str) -> Value {
    let path = crate::support::world::folder("answers").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// What differs between two runs, as the recorder masks it.
fn masked(value: &Value, key: &str) -> Value {
    let hex = |text: &str| text.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
    match value {
        Value::Object(map) => Value::Object(
            map.iter().map(|(name, inner)| (name.clone(), masked(inner, name))).collect(),
        ),
        Value::Array(list) => list.iter().map(|inner| masked(inner, key)).collect(),
        Value::String(text) => {
            let id = text.strip_prefix("sha256:").unwrap_or(text);
            if id.len() == 64 && hex(id) {
                json!("ID")
            } else if key == "Hostname" && text.len() == 12 && hex(text) {
                json!("SHORT-ID")
            } else if text.starts_with("20") && text.get(10..11) == Some("T") {
                json!("TIME")
            } else if matches!(key, "Subnet" | "Gateway") && !text.starts_with("10.99.") {
                json!("ADDRESS")
            } else {
                match (key, text.find("/volumes/")) {
                    ("Mountpoint" | "Source", Some(at)) => {
                        json!(format!("VOLUMES{}", &text[at + 8..]))
                    }
                    _ => value.clone(),
                }
            }
        }
        other => other.clone(),
    }
}

/// Paths at which two values differ. What one of them leaves out is null.
fn differences(theirs: &Value, ours: &Value, path: &str, found: &mut Vec<String>) {
    let nothing = Value::Null;
    match (theirs, ours) {
        (Value::Object(a), Value::Object(b)) => {
            let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                let (one, other) =
                    (a.get(name).unwrap_or(&nothing), b.get(name).unwrap_or(&nothing));
                differences(one, other, &format!("{path}.{name}"), found);
            }
        }
        _ if theirs == ours => {}
        _ => found.push(format!("{path}: recorded {theirs}, simulated {ours}")),
    }
}

fn container(fake: &FakeEngine, name: &str, body: &Value) -> Value {
    let mut body = body.clone();
    body["Image"] = json!("moorline.test/base:1");
    let name = format!("recorded-{name}");
    fake.create_by_hand(&name, &body).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
    let mut seen = fake.inspect(&name).unwrap();
    if seen["HostConfig"]["NetworkMode"] == "host" {
        seen["Config"]["Hostname"] = json!("HOST");
    }
    fake.remove(&name);
    let mut mounts = seen["Mounts"].as_array().cloned().unwrap_or_default();
    mounts.sort_by_key(|mount| mount["Destination"].to_string());
    let mut networks = Map::new();
    for (name, endpoint) in seen["NetworkSettings"]["Networks"].as_object().into_iter().flatten() {
        let keys = ["Aliases", "IPAMConfig", "Links", "DriverOpts"];
        let kept = keys.map(|key| (key.to_owned(), endpoint[key].clone()));
        networks.insert(name.clone(), Value::Object(kept.into_iter().collect()));
    }
    json!({
        "Config": seen["Config"], "HostConfig": seen["HostConfig"], "Mounts": mounts, "Networks": networks,
        "Path": seen["Path"], "Args": seen["Args"], "State": seen["State"],
    })
}

#[tokio::test]
async fn the_simulated_engine_shows_containers_as_they_were_recorded() {
    let cases = read("cases.json");
    let mut problems = Vec::new();
    for (file, api) in [("1.41.json", (1, 41)), ("1.51.json", (1, 51))] {
        let answers = read(file);
        let fake = FakeEngine::start(Options { api, ..Options::default() }).await;
        fake.add_image("moorline.test/base:1", json!({"Cmd": ["idle"]}));
        fake.create_network_by_hand(cases["networks"]["recorded_net"].clone());
        for (name, body) in cases["containers"].as_object().unwrap() {
            let ours = masked(&container(&fake, name, body), "");
            let mut found = Vec::new();
            differences(&answers["containers"][name], &ours, "", &mut found);
            problems.extend(found.into_iter().map(|what| format!("{file} {name} {what}")));
        }
    }
    problems.retain(|problem| !OTHERWISE.iter().any(|known| problem.contains(known)));
    assert!(problems.is_empty(), "{} differences\n{}", problems.len(), problems.join("\n"));
}
