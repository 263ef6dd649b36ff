//! What the Engines themselves say was touched, against what was said to be: no container loses time unnamed.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::forge::daemon::Stage;

/// A container of a stack, as people name it: its host, its stack, and `web-1`; of others the name.
type Who = (String, String, String);

/// What would be another if it was touched: its id, and since when it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Life {
    id: String,
    since: String,
    runs: bool,
    /// What the container is called, which is how one that goes is named.
    name: String,
}

/// Every container of every host.
pub(super) fn standing(stage: &Stage) -> BTreeMap<Who, Life> {
    let mut found = BTreeMap::new();
    for (host, engine) in &stage.harbour.hosts {
        for brief in engine.containers() {
            let told = engine.inspect(&brief.name).unwrap();
            found.insert(who(host, &told), life(&told));
        }
    }
    for (host, socket) in &stage.harbour.sockets {
        for told in inspected(socket) {
            found.insert(who(host, &told), life(&told));
        }
    }
    found
}

/// All containers of a real Engine, as its own client shows them.
fn inspected(socket: &Path) -> Vec<Value> {
    let docker = |words: &[&str]| {
        let address = format!("unix://{}", socket.display());
        Command::new("docker").env("DOCKER_HOST", address).args(words).output().unwrap().stdout
    };
    let ids = String::from_utf8(docker(&["ps", "-aq"])).unwrap();
    let words: Vec<&str> = ["inspect"].into_iter().chain(ids.split_whitespace()).collect();
    if words.len() == 1 {
        return Vec::new();
    }
    serde_json::from_slice(&docker(&words)).unwrap()
}

fn who(host: &str, told: &Value) -> Who {
    let label = |name: &str| told["Config"]["Labels"][name].as_str().unwrap_or_default().to_owned();
    let name = told["Name"].as_str().unwrap_or_default().trim_start_matches('/').to_owned();
    let stack = label("moorline.stack");
    if stack.is_empty() {
        return (host.to_owned(), stack, name);
    }
    let service = label("com.docker.compose.service");
    let number = label("com.docker.compose.container-number");
    (host.to_owned(), stack, format!("{service}-{number}"))
}

fn life(told: &Value) -> Life {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Life {
        id: text(&told["Id"]),
        since: text(&told["State"]["StartedAt"]),
        runs: told["State"]["Running"].as_bool().unwrap_or_default(),
        name: text(&told["Name"]).trim_start_matches('/').to_owned(),
    }
}

/// Containers that were touched and not named, and those that stopped although nobody said that they would be away.
pub(super) fn unnamed(
    before: &BTreeMap<Who, Life>,
    after: &BTreeMap<Who, Life>,
    said: &Value,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let all = before.keys().chain(after.keys().filter(|who| !before.contains_key(*who)));
    for who in all.filter(|who| before.get(*who) != after.get(*who)) {
        let (host, stack, name) = who;
        let plans: Vec<&Value> = said["stacks"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|plan| plan["host"] == **host && (stack.is_empty() || plan["stack"] == **stack))
            .collect();
        let any = |plan: &&Value, list: &str, so: &dyn Fn(&Value) -> bool| {
            plan[list].as_array().into_iter().flatten().any(so)
        };
        let own = before.get(who).map_or(name.as_str(), |life| life.name.as_str());
        let named = |change: &Value| change["name"] == **name || change["name"] == *own;
        if !plans.iter().any(|plan| any(plan, "changes", &named)) {
            wrong.push(format!("{name} of {stack} on {host} was touched and not named"));
        }
        let service = name.rsplit_once('-').map_or(name.as_str(), |(service, _)| service);
        let is_away = |danger: &Value| {
            let text = danger["text"].as_str().unwrap_or_default();
            danger["risk"] == "downtime"
                && [service, name, own].iter().any(|it| text.starts_with(&format!("{it} ")))
        };
        let stopped = before.get(who).is_some_and(|life| life.runs);
        let told = plans
            .iter()
            .any(|plan| any(plan, "dangers", &is_away) || serves_on(&plan["steps"], name));
        if stopped && !told {
            wrong.push(format!("{name} of {stack} on {host} was away, and nobody said so"));
        }
    }
    wrong
}

/// Whether its successor is up before it stops.
fn serves_on(steps: &Value, name: &str) -> bool {
    let lines: Vec<&str> = steps.as_str().unwrap_or_default().lines().collect();
    let at = |verb: &str, end: &str| {
        lines.iter().position(|line| {
            let mut words = line.split_whitespace().skip(1);
            words.next() == Some(verb)
                && words.next().is_some_and(|it| it.trim_end_matches(':').ends_with(end))
        })
    };
    let (start, stop) = (at("start", &format!("{name}.next")), at("stop", name));
    matches!((start, stop), (Some(start), Some(stop)) if start < stop)
}
