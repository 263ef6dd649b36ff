//! A container's life.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::routes::{Answer, refuse};
use super::world::{Container, Endpoint, World, now};
use super::{Behaviour, Shared, files, images, networks, shapes};

/// How a process behaves whose command is this.
pub(super) fn behaviour_of(command: &[String]) -> Behaviour {
    let text = command.join(" ");
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || ";'\"".contains(c))
        .filter(|w| !w.is_empty())
        .collect();
    let first = words.first().copied().unwrap_or_default();
    let after = |word: &str| {
        let at = words.iter().position(|w| *w == word)?;
        words.get(at + 1)?.parse::<f64>().ok()
    };
    let at_once = |code| Some((Duration::ZERO, code));
    let slept = after("sleep").map(Duration::from_secs_f64);
    let ends = match (first, after("exit"), slept) {
        (_, Some(code), slept) => Some((slept.unwrap_or_default(), whole(code))),
        ("true" | "echo", None, _) => at_once(0),
        ("false", None, _) => at_once(1),
        ("sleep", None, Some(time)) => Some((time, 0)),
        _ => None,
    };
    Behaviour { ends, fails_to_start: first.starts_with("/no/such"), ..Behaviour::default() }
}

/// Exit codes are small.
#[expect(clippy::cast_possible_truncation, reason = "an exit code fits")]
fn whole(code: f64) -> i64 {
    code as i64
}

pub(super) fn create(shared: &Arc<Shared>, name: &str, body: &Value) -> Answer {
    let mut world = shared.world();
    let valid = name.len() > 1
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if !name.is_empty() && !valid {
        return refuse(
            400,
            &format!("Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"),
        );
    }
    if let Some(other) = world.containers.values().find(|other| other.name == name) {
        return refuse(
            409,
            &format!(
                "Conflict. The container name \"/{name}\" is already in use by container \"{}\". You have to remove (or rename) that container to be able to reuse that name.",
                other.id
            ),
        );
    }
    // The Engine looks at what is to be mounted before it looks for the image.
    for mount in body["HostConfig"]["Mounts"].as_array().into_iter().flatten() {
        let source = mount["Source"].as_str().unwrap_or_default();
        let makes = mount["BindOptions"]["CreateMountpoint"] == json!(true);
        if mount["Type"] == "bind" && !makes && !files::is_there(&world, source) {
            return refuse(
                400,
                &format!(
                    "invalid mount config for type \"bind\": bind source path does not exist: {source}"
                ),
            );
        }
    }
    let reference = body["Image"].as_str().unwrap_or_default().to_owned();
    let Some(image) = images::find(&mut world, &reference) else {
        return refuse(404, &format!("No such image: {reference}"));
    };
    let asked =
        body["NetworkingConfig"]["EndpointsConfig"].as_object().cloned().unwrap_or_default();
    if world.is_old() && asked.len() > 1 {
        let names: Vec<&str> = asked.keys().map(String::as_str).collect();
        return refuse(
            400,
            &format!("Container cannot be connected to network endpoints: {}", names.join(", ")),
        );
    }
    let id = world.new_id();
    let config = shapes::config(body, &image.config, &id, world.is_old());
    if bare(&config).command().is_empty() {
        return refuse(400, "No command specified");
    }
    let host = shapes::host_config(body["HostConfig"].as_object(), world.is_old());
    let name = if name.is_empty() { format!("nameless_{}", &id[..8]) } else { name.to_owned() };
    let endpoints = endpoints(&host, asked);
    let mut container = Container {
        id: id.clone(),
        name,
        created: now(),
        image_id: image.id,
        config,
        host,
        endpoints,
        ..empty()
    };
    if let Err(refusal) = networks::mount(&mut world, &mut container) {
        return refusal;
    }
    world.containers.insert(id.clone(), container);
    world.tell_container("create", &id, &[]);
    drop(world);
    shared.wake();
    Answer::json(201, &json!({"Id": id, "Warnings": []}))
}

fn empty() -> Container {
    Container {
        id: String::new(),
        name: String::new(),
        created: 0,
        image_id: String::new(),
        config: Map::new(),
        host: Map::new(),
        endpoints: BTreeMap::new(),
        mounts: Vec::new(),
        anonymous: Vec::new(),
        status: "created".to_owned(),
        exit_code: 0,
        error: String::new(),
        started: None,
        finished: None,
        restarts: 0,
        stopped_by_hand: false,
        health: None,
        generation: 0,
        files: BTreeMap::new(),
        ports: Map::new(),
    }
}

fn bare(config: &Map<String, Value>) -> Container {
    Container { config: config.clone(), ..empty() }
}

/// The network of the mode is always one of them.
fn endpoints(host: &Map<String, Value>, asked: Map<String, Value>) -> BTreeMap<String, Endpoint> {
    let mode = host.get("NetworkMode").and_then(Value::as_str).unwrap_or("default");
    let mut endpoints: BTreeMap<String, Endpoint> = asked
        .into_iter()
        .map(|(name, asked)| {
            let asked = asked.as_object().cloned().unwrap_or_default();
            (name, Endpoint { asked, ..Endpoint::default() })
        })
        .collect();
    if !mode.starts_with("container:") {
        let name = if mode == "default" { "bridge" } else { mode };
        endpoints.entry(name.to_owned()).or_default();
    }
    endpoints
}

pub(super) fn start(shared: &Arc<Shared>, id: &str) -> Answer {
    let mut world = shared.world();
    let Some(container) = world.containers.get(id) else {
        return refuse(404, &format!("No such container: {id}"));
    };
    match container.status.as_str() {
        "running" | "restarting" => return Answer::empty(304),
        "paused" => return refuse(409, "cannot start a paused container, try unpause instead"),
        "removing" | "dead" => {
            return refuse(409, "container is marked for removal and cannot be started");
        }
        _ => {}
    }
    files::make_folders(&mut world, id);
    let outcome = run(&mut world, id);
    let answer = match outcome {
        Ok(()) => {
            if let Some(container) = world.containers.get_mut(id) {
                container.stopped_by_hand = false;
                container.restarts = 0;
            }
            world.tell_container("start", id, &[]);
            Answer::empty(204)
        }
        Err((status, message)) => {
            if let Some(container) = world.containers.get_mut(id) {
                container.error.clone_from(&message);
                container.exit_code = if status == 400 { 127 } else { 128 };
            }
            refuse(status, &message)
        }
    };
    drop(world);
    shared.wake();
    live_on(shared, id);
    answer
}

/// Brings a container up: its networks, ports, and the first moment of its process.
fn run(world: &mut World, id: &str) -> Result<(), (u16, String)> {
    let Some(mut container) = world.containers.get(id).cloned() else { return Ok(()) };
    let behaviour = world.behaviour(&container);
    if behaviour.fails_to_start {
        let word = container.command().first().cloned().unwrap_or_default();
        let what = format!(
            "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: {word:?}: stat {word}: no such file or directory: unknown"
        );
        return Err((400, what));
    }
    if behaviour.finds_no_room {
        return Err((
            500,
            "failed to create shim task: mkdir /run/shim: no space left on device".to_owned(),
        ));
    }
    if let Some(other) = container.host_text("NetworkMode").strip_prefix("container:") {
        let up = world.find(other).is_some_and(Container::is_up);
        if !up {
            return Err((409, format!("cannot join network of a non running container: {other}")));
        }
    }
    networks::plug(world, &mut container)?;
    container.host.entry("Runtime").or_insert_with(|| json!("runc"));
    container.status = "running".to_owned();
    container.started = Some(now());
    container.exit_code = 0;
    container.error = String::new();
    container.generation += 1;
    container.health = has_check(&container).then(|| "starting".to_owned());
    world.containers.insert(id.to_owned(), container);
    Ok(())
}

fn has_check(container: &Container) -> bool {
    let test = container.config.get("Healthcheck").and_then(|check| check["Test"].as_array());
    test.is_some_and(|test| !test.is_empty() && test[0] != "NONE")
}

/// Sets the timers of a process that was just started: its end, and its health.
fn live_on(shared: &Arc<Shared>, id: &str) {
    let world = shared.world();
    let Some(container) =
        world.containers.get(id).filter(|container| container.status == "running")
    else {
        return;
    };
    let behaviour = world.behaviour(container);
    let (generation, checked) = (container.generation, container.health.is_some());
    drop(world);
    if let Some((after, code)) = behaviour.ends {
        later(shared, id, generation, after, move |shared, id| end(shared, id, code, false));
    }
    if checked && !behaviour.health_hangs {
        let said = if behaviour.sick { "unhealthy" } else { "healthy" };
        later(shared, id, generation, shared.options.health_delay, move |shared, id| {
            let starting =
                shared.world().find(id).is_some_and(|c| c.health.as_deref() == Some("starting"));
            if starting {
                set_health(shared, id, said);
            }
        });
    }
}

/// Does something later, if the container is still in the same life by then.
fn later(
    shared: &Arc<Shared>,
    id: &str,
    generation: u64,
    after: Duration,
    what: impl FnOnce(&Arc<Shared>, &str) + Send + 'static,
) {
    let (weak, id) = (Arc::downgrade(shared), id.to_owned());
    tokio::spawn(async move {
        tokio::time::sleep(after).await;
        let Some(shared) = weak.upgrade() else { return };
        let same = shared
            .world()
            .containers
            .get(&id)
            .is_some_and(|c| c.generation == generation && c.is_up());
        if same {
            what(&shared, &id);
        }
    });
}

/// How much later than a container's end its signal is noted.
const NOTED_LATE_NANOS: u32 = 50_000_000;

/// A process ends. The restart policy decides what comes after, unless a hand did it.
fn end(shared: &Arc<Shared>, id: &str, code: i64, by_hand: bool) {
    let mut world = shared.world();
    let Some(container) = world.containers.get_mut(id) else { return };
    container.exit_code = code;
    // As Engines under load do: a signal is noted well after the end that it led to.
    let earlier = now() - i128::from(NOTED_LATE_NANOS);
    container.finished = Some(container.started.map_or(earlier, |started| started.max(earlier)));
    container.stopped_by_hand = by_hand;
    container.generation += 1;
    container.health = container.health.as_ref().map(|_| "unhealthy".to_owned());
    let again = !by_hand && restarts(container, code);
    container.status = if again { "restarting" } else { "exited" }.to_owned();
    let (generation, restarts) = (container.generation, container.restarts);
    let auto_remove = container.host.get("AutoRemove") == Some(&json!(true));
    networks::unplug(container);
    if by_hand {
        world.tell_container("kill", id, &[("signal", "15".to_owned())]);
    }
    world.tell_container("die", id, &[("exitCode", code.to_string())]);
    drop(world);
    shared.wake();
    if again {
        let wait = shared.options.restart_delay
            * 2_u32.saturating_pow(u32::try_from(restarts.min(8)).unwrap_or(8));
        later(shared, id, generation, wait, restart_by_policy);
    } else if auto_remove {
        erase(shared, id, true);
    }
}

fn restarts(container: &Container, code: i64) -> bool {
    let policy = container.host.get("RestartPolicy").cloned().unwrap_or_default();
    let most = policy["MaximumRetryCount"].as_u64().unwrap_or(0);
    match policy["Name"].as_str() {
        Some("always" | "unless-stopped") => true,
        Some("on-failure") => code != 0 && (most == 0 || container.restarts < most),
        _ => false,
    }
}

fn restart_by_policy(shared: &Arc<Shared>, id: &str) {
    let mut world = shared.world();
    let outcome = run(&mut world, id);
    if let Some(container) = world.containers.get_mut(id) {
        match outcome {
            Ok(()) => container.restarts += 1,
            Err((_, message)) => {
                container.status = "exited".to_owned();
                container.error = message;
            }
        }
    }
    world.tell_container("start", id, &[]);
    drop(world);
    shared.wake();
    live_on(shared, id);
}

pub(super) async fn stop(shared: &Arc<Shared>, id: &str) -> Answer {
    match status(shared, id).as_deref() {
        None => return refuse(404, &format!("No such container: {id}")),
        Some("running" | "paused" | "restarting") => {}
        Some(_) => return Answer::empty(304),
    }
    tokio::time::sleep(shared.options.stop_takes).await;
    end(shared, id, 0, true);
    shared.world().tell_container("stop", id, &[]);
    Answer::empty(204)
}

pub(super) async fn restart(shared: &Arc<Shared>, id: &str) -> Answer {
    let stopped = stop(shared, id).await;
    if stopped.status == 404 {
        return stopped;
    }
    let started = start(shared, id);
    if started.status == 204 {
        shared.world().tell_container("restart", id, &[]);
    }
    started
}

fn status(shared: &Arc<Shared>, address: &str) -> Option<String> {
    shared.world().find(address).map(|container| container.status.clone())
}

pub(super) fn set_paused(shared: &Arc<Shared>, id: &str, paused: bool) -> Answer {
    let mut world = shared.world();
    let Some(container) = world.containers.get_mut(id) else {
        return refuse(404, &format!("No such container: {id}"));
    };
    match (paused, container.status.as_str()) {
        (true, "running") => container.status = "paused".to_owned(),
        (false, "paused") => container.status = "running".to_owned(),
        (true, "paused") => return refuse(409, &format!("Container {id} is already paused")),
        (true, _) => return refuse(409, &format!("Container {id} is not running")),
        (false, _) => return refuse(500, &format!("Container {id} is not paused")),
    }
    world.tell_container(if paused { "pause" } else { "unpause" }, id, &[]);
    drop(world);
    shared.wake();
    Answer::empty(204)
}

pub(super) fn kill(shared: &Arc<Shared>, id: &str) -> Answer {
    match status(shared, id).as_deref() {
        Some("running" | "paused" | "restarting") => {
            end(shared, id, 137, true);
            Answer::empty(204)
        }
        _ => refuse(409, &format!("Cannot kill container: {id}: Container {id} is not running")),
    }
}

/// What a removal does beside removing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Removal {
    pub(super) force: bool,
    pub(super) volumes: bool,
}

pub(super) fn remove(shared: &Arc<Shared>, id: &str, how: Removal) -> Answer {
    let up = shared.world().containers.get(id).is_some_and(Container::is_up);
    if up && !how.force {
        return refuse(
            409,
            &format!(
                "You cannot remove a running container {id}. Stop the container before attempting removal or force remove"
            ),
        );
    }
    if up {
        end(shared, id, 137, true);
    }
    erase(shared, id, how.volumes);
    Answer::empty(204)
}

fn erase(shared: &Arc<Shared>, id: &str, volumes: bool) {
    let mut world = shared.world();
    if !world.containers.contains_key(id) {
        return;
    }
    world.tell_container("destroy", id, &[]);
    if let Some(container) = world.containers.remove(id)
        && volumes
    {
        let used: BTreeSet<String> =
            world.containers.values().flat_map(Container::volume_names).collect();
        for name in container.anonymous.iter().filter(|name| !used.contains(*name)) {
            world.volumes.remove(name);
            world.tell("volume", "destroy", name, json!({"driver": "local"}));
        }
    }
    drop(world);
    shared.wake();
}

impl Container {
    pub(super) fn volume_names(&self) -> Vec<String> {
        let names = self.mounts.iter().filter(|mount| mount["Type"] == "volume");
        names.filter_map(|mount| mount["Name"].as_str()).map(str::to_owned).collect()
    }
}

pub(super) fn rename(shared: &Arc<Shared>, id: &str, name: &str) -> Answer {
    let mut world = shared.world();
    let name = name.trim_start_matches('/');
    if world.containers.get(id).is_some_and(|container| container.name == name) {
        return refuse(400, "Renaming a container with the same name as its current name");
    }
    if let Some(other) = world.containers.values().find(|other| other.name == name) {
        return refuse(
            409,
            &format!(
                "Error when allocating new name: Conflict. The container name \"/{name}\" is already in use by container \"{}\". You have to remove (or rename) that container to be able to reuse that name.",
                other.id
            ),
        );
    }
    let Some(container) = world.containers.get_mut(id) else {
        return refuse(404, &format!("No such container: {id}"));
    };
    let old = std::mem::replace(&mut container.name, name.to_owned());
    world.tell_container("rename", id, &[("oldName", format!("/{old}"))]);
    drop(world);
    shared.wake();
    Answer::empty(204)
}

/// What a live container takes; zero and empty mean "as it is".
pub(super) fn update(shared: &Arc<Shared>, id: &str, body: &Value) -> Answer {
    const LIVE: [&str; 15] = [
        "CpuShares",
        "Memory",
        "MemoryReservation",
        "MemorySwap",
        "NanoCpus",
        "CpuPeriod",
        "CpuQuota",
        "CpuRealtimePeriod",
        "CpuRealtimeRuntime",
        "CpusetCpus",
        "CpusetMems",
        "PidsLimit",
        "BlkioWeight",
        "KernelMemory",
        "RestartPolicy",
    ];
    let mut world = shared.world();
    let Some(container) = world.containers.get_mut(id) else {
        return refuse(404, &format!("No such container: {id}"));
    };
    let number = |key: &str| body[key].as_i64().unwrap_or(0);
    let swap = if number("MemorySwap") == 0 {
        container.host["MemorySwap"].as_i64().unwrap_or(0)
    } else {
        number("MemorySwap")
    };
    if number("Memory") > 0 && number("Memory") < 6 << 20 {
        return refuse(400, "Minimum memory limit allowed is 6MB");
    }
    if swap > 0 && number("Memory") > swap {
        return refuse(
            409,
            &format!(
                "Cannot update container {id}: Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
            ),
        );
    }
    for key in LIVE {
        let value = &body[key];
        let says_something = match key {
            "RestartPolicy" => value["Name"].as_str().is_some_and(|name| !name.is_empty()),
            _ => !(value.is_null() || *value == json!(0) || *value == json!("")),
        };
        if says_something {
            let mut value = value.clone();
            if key == "RestartPolicy" {
                value["MaximumRetryCount"] =
                    json!(value["MaximumRetryCount"].as_i64().unwrap_or(0));
            }
            container.host.insert(key.to_owned(), value);
        }
    }
    world.tell_container("update", id, &[]);
    drop(world);
    shared.wake();
    Answer::json(200, &json!({"Warnings": null}))
}

pub(super) fn set_health(shared: &Arc<Shared>, name: &str, health: &str) {
    let mut world = shared.world();
    let Some(id) = world.id_of(name) else { return };
    if let Some(container) = world.containers.get_mut(&id) {
        container.health = Some(health.to_owned());
    }
    world.tell_container(&format!("health_status: {health}"), &id, &[]);
    drop(world);
    shared.wake();
}

/// Waits until a container does not run, or is gone.
pub(super) async fn wait(shared: &Arc<Shared>, id: &str) -> Answer {
    let mut changed = shared.changed.subscribe();
    loop {
        let now = shared.world().containers.get(id).map(|c| (c.is_up(), c.exit_code));
        match now {
            Some((false, code)) => {
                return Answer::json(200, &json!({"StatusCode": code, "Error": null}));
            }
            None => return Answer::json(200, &json!({"StatusCode": 0, "Error": null})),
            Some((true, _)) => {}
        }
        if changed.changed().await.is_err() {
            return refuse(500, "shutting down");
        }
    }
}

fn by_hand(shared: &Arc<Shared>, name: &str, what: impl FnOnce(&Arc<Shared>, &str) -> Answer) {
    let id = shared.world().id_of(name).unwrap_or_else(|| panic!("there is no container {name}"));
    let answer = what(shared, &id);
    assert!(answer.status < 400, "{name}: {}", answer.text());
}

pub(super) fn die(shared: &Arc<Shared>, name: &str, code: i64) {
    by_hand(shared, name, |shared, id| {
        end(shared, id, code, false);
        Answer::empty(204)
    });
}

pub(super) fn stop_by_hand(shared: &Arc<Shared>, name: &str) {
    by_hand(shared, name, |shared, id| {
        end(shared, id, 143, true);
        Answer::empty(204)
    });
}

pub(super) fn pause(shared: &Arc<Shared>, name: &str) {
    by_hand(shared, name, |shared, id| set_paused(shared, id, true));
}

pub(super) fn remove_by_hand(shared: &Arc<Shared>, name: &str) {
    by_hand(shared, name, |shared, id| remove(shared, id, Removal { force: true, volumes: false }));
}

pub(super) fn rename_by_hand(shared: &Arc<Shared>, name: &str, to: &str) {
    by_hand(shared, name, |shared, id| rename(shared, id, to));
}

pub(super) fn update_by_hand(shared: &Arc<Shared>, name: &str, changes: Value) {
    by_hand(shared, name, |shared, id| update(shared, id, &changes));
}

pub(super) fn start_by_hand(shared: &Arc<Shared>, name: &str) -> Result<(), String> {
    let id = shared.world().id_of(name).ok_or_else(|| format!("there is no container {name}"))?;
    let answer = start(shared, &id);
    if answer.status < 400 { Ok(()) } else { Err(answer.text()) }
}

pub(super) fn run_by_hand(shared: &Arc<Shared>, name: &str, body: Value) -> String {
    let answer = create(shared, name, &body);
    assert!(answer.status < 400, "{name}: {}", answer.text());
    by_hand(shared, name, start);
    shared.world().id_of(name).unwrap()
}
