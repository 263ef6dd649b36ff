//! Which call does what.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::faults::Fault;
use super::world::{Told, World};
use super::{Call, Shared, containers, files, images, networks, shapes};

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// An answer before it is sent.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    kind: &'static str,
    body: Bytes,
}

impl Answer {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self { status, kind: "application/json", body: body.to_string().into() }
    }

    pub(super) fn empty(status: u16) -> Self {
        Self { status, kind: "text/plain", body: Bytes::new() }
    }

    pub(super) fn tar(body: Vec<u8>) -> Self {
        Self { status: 200, kind: "application/x-tar", body: body.into() }
    }

    pub(super) fn lines(lines: &[Value]) -> Self {
        let text = lines.iter().fold(String::new(), |text, line| text + &line.to_string() + "\r\n");
        Self { status: 200, kind: "application/json", body: text.into() }
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn into_response(self) -> Response<Body> {
        let body = Full::new(self.body).map_err(|never: Infallible| match never {}).boxed_unsync();
        Response::builder()
            .status(self.status)
            .header("content-type", self.kind)
            .header("server", "Docker/simulated (linux)")
            .body(body)
            .unwrap()
    }
}

pub(super) fn refuse(status: u16, message: &str) -> Answer {
    Answer::json(status, &json!({"message": message}))
}

/// A call, taken apart.
struct Asked {
    method: Method,
    version: String,
    path: String,
    pairs: Vec<(String, String)>,
    query: BTreeMap<String, String>,
    bytes: Bytes,
}

impl Asked {
    fn word(&self, key: &str) -> &str {
        self.query.get(key).map(String::as_str).unwrap_or_default()
    }

    fn flag(&self, key: &str) -> bool {
        matches!(self.word(key), "1" | "true" | "True")
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    /// Whether it changes something. Waits and looks at processes do not.
    fn changes(&self) -> bool {
        // Asked only to learn what is at a path: nothing is made, since there is no such image.
        if self.path == "/containers/create" && !self.query.contains_key("name") {
            return false;
        }
        self.method != Method::GET && self.method != Method::HEAD && !self.path.ends_with("/wait")
    }

    fn filter(&self, key: &str) -> Vec<String> {
        let filters: Value = serde_json::from_str(self.word("filters")).unwrap_or_default();
        match &filters[key] {
            Value::Array(list) => {
                list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            Value::Object(map) => map.keys().cloned().collect(),
            _ => Vec::new(),
        }
    }
}

/// Answers one call. An error ends the connection without an answer.
pub(super) async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Body>, io::Error> {
    let (parts, body) = request.into_parts();
    let bytes = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let asked = take_apart(&parts, bytes);
    let Some((number, fault)) = receive(&shared, &asked) else {
        return std::future::pending().await;
    };
    tokio::time::sleep(shared.options.latency).await;
    match fault {
        Some(Fault::Fail) => {
            note(&shared, number, 500);
            return Ok(refuse(500, "simulated failure").into_response());
        }
        Some(Fault::Hang) => return std::future::pending().await,
        Some(Fault::CutBefore) => return Err(cut()),
        Some(Fault::Late(time)) => tokio::time::sleep(time).await,
        _ => {}
    }
    if asked.path == "/events" {
        note(&shared, number, 200);
        return Ok(events(&shared, &asked));
    }
    if asked.path.starts_with("/exec/") && asked.path.ends_with("/start") {
        return Ok(exec_start());
    }
    let answer = carry_out(&shared, &asked).await;
    note(&shared, number, answer.status);
    let last = asked.changes() && shared.world().faults.count_change();
    match fault {
        _ if last => std::future::pending().await,
        Some(Fault::CutAfter) => Err(cut()),
        Some(Fault::HangAfter) => std::future::pending().await,
        _ => Ok(answer.into_response()),
    }
}

/// Writes a call down, and rolls the dice; `None` when nobody answers any more.
fn receive(shared: &Arc<Shared>, asked: &Asked) -> Option<(usize, Option<Fault>)> {
    let mut world = shared.world();
    if world.faults.is_dead() {
        return None;
    }
    let subject = subject(&world, asked);
    world.calls.push(Call {
        subject,
        method: asked.method.to_string(),
        path: asked.path.clone(),
        query: asked.query.clone(),
        version: asked.version.clone(),
        changes: asked.changes(),
        status: 0,
    });
    let fault = world.faults.roll(asked.changes());
    Some((world.calls.len() - 1, fault))
}

/// The name of what a call is about, as it is before the call.
fn subject(world: &World, asked: &Asked) -> String {
    let path: Vec<&str> = asked.path.trim_start_matches('/').split('/').collect();
    match path.as_slice() {
        ["networks" | "volumes", "create"] => {
            asked.json()["Name"].as_str().unwrap_or_default().to_owned()
        }
        ["containers", address, ..] => {
            world.find(address).map_or_else(|| (*address).to_owned(), |found| found.name.clone())
        }
        ["networks", address, ..] => {
            world.networks.get(*address).map_or_else(|| (*address).to_owned(), |it| it.name.clone())
        }
        ["volumes", name, ..] => (*name).to_owned(),
        _ => String::new(),
    }
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "simulated cut")
}

fn note(shared: &Arc<Shared>, number: usize, status: u16) {
    if let Some(call) = shared.world().calls.get_mut(number) {
        call.status = status;
    }
}

fn take_apart(parts: &http::request::Parts, bytes: Bytes) -> Asked {
    let full = parts.uri.path();
    let (version, path) = match full.strip_prefix("/v").and_then(|rest| rest.split_once('/')) {
        Some((version, rest)) if version.starts_with(|c: char| c.is_ascii_digit()) => {
            (version.to_owned(), format!("/{rest}"))
        }
        _ => (String::new(), full.to_owned()),
    };
    // A `+` is a plus sign in a path.
    let escaped = path.replace('+', "%2B");
    let path = form_urlencoded::parse(format!("p={escaped}").as_bytes())
        .next()
        .map_or(path, |(_, value)| value.into_owned());
    let pairs: Vec<(String, String)> =
        form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
    let query = pairs.iter().cloned().collect();
    Asked { method: parts.method.clone(), version, path, pairs, query, bytes }
}

async fn carry_out(shared: &Arc<Shared>, asked: &Asked) -> Answer {
    if let Some(refusal) = check_version(&shared.world(), &asked.version) {
        return refusal;
    }
    let path: Vec<&str> = asked.path.trim_start_matches('/').split('/').collect();
    match (asked.method.as_str(), path.as_slice()) {
        ("GET" | "HEAD", ["_ping"]) => {
            Answer { status: 200, kind: "text/plain", body: "OK".into() }
        }
        ("GET", ["version"]) => version(shared),
        ("GET", ["info"]) => info(shared),
        ("GET", ["containers", "json"]) => list(shared, asked),
        ("POST", ["containers", "create"]) => {
            containers::create(shared, asked.word("name"), &asked.json())
        }
        (_, ["containers", address, rest @ ..]) => of_container(shared, asked, address, rest).await,
        ("GET", ["exec", id, "json"]) => files::exec_inspect(shared, id),
        (_, ["networks", ..]) => of_networks(shared, asked, &path),
        (_, ["volumes", ..]) => of_volumes(shared, asked, &path),
        ("POST", ["images", "create"]) if asked.query.contains_key("fromSrc") => {
            images::import(shared, &asked.query)
        }
        ("POST", ["images", "create"]) => images::pull(shared, &asked.query),
        ("POST", ["build"]) => images::build(shared, &asked.pairs, &asked.bytes),
        ("GET", ["images", name @ .., "json"]) => {
            let mut world = shared.world();
            let name = name.join("/");
            match images::find(&mut world, &name) {
                Some(image) => Answer::json(200, &shapes::image(&world, &image)),
                None => refuse(
                    404,
                    &format!("no such image: {name}: No such image: {}", images::full(&name)),
                ),
            }
        }
        ("GET", ["distribution", name @ .., "json"]) => {
            images::distribution(shared, &name.join("/"))
        }
        _ => refuse(404, "page not found"),
    }
}

fn check_version(world: &World, asked: &str) -> Option<Answer> {
    let (major, minor) = asked.split_once('.')?;
    let asked_for = (major.parse().ok()?, minor.parse().ok()?);
    let oldest = if world.is_old() { (1, 12) } else { (1, 24) };
    let (newest_major, newest_minor) = world.api;
    if asked_for > world.api {
        let what = format!(
            "client version {asked} is too new. Maximum supported API version is {newest_major}.{newest_minor}"
        );
        return Some(refuse(400, &what));
    }
    (asked_for < oldest).then(|| {
        refuse(
            400,
            &format!(
                "client version {asked} is too old. Minimum supported API version is {}.{}",
                oldest.0, oldest.1
            ),
        )
    })
}

fn product(api: (u32, u32)) -> &'static str {
    if api < (1, 44) { "20.10.24" } else { "28.5.2" }
}

fn version(shared: &Arc<Shared>) -> Answer {
    let api = shared.options.api;
    Answer::json(
        200,
        &json!({
            "Platform": {"Name": ""}, "Version": product(api), "ApiVersion": format!("{}.{}", api.0, api.1),
            "MinAPIVersion": if api < (1, 44) { "1.12" } else { "1.24" }, "Os": "linux", "Arch": "amd64",
            "KernelVersion": "6.1.0",
        }),
    )
}

fn info(shared: &Arc<Shared>) -> Answer {
    let options = &shared.options;
    Answer::json(
        200,
        &json!({
            "ID": format!("SIMULATED-{}", options.seed), "NCPU": options.cpus, "MemTotal": options.memory,
            "LoggingDriver": "json-file", "DefaultRuntime": "runc", "CgroupVersion": "1", "Name": "simulated",
            "ServerVersion": product(options.api), "OSType": "linux", "Architecture": "x86_64", "Driver": "overlay2",
        }),
    )
}

fn list(shared: &Arc<Shared>, asked: &Asked) -> Answer {
    let world = shared.world();
    let labels = asked.filter("label");
    let has = |container: &&super::world::Container| {
        let own = container.labels();
        labels.iter().all(|wanted| match wanted.split_once('=') {
            Some((label, value)) => own.get(label).is_some_and(|own| own == value),
            None => own.contains_key(wanted),
        })
    };
    let all = asked.flag("all");
    let mut found: Vec<_> =
        world.containers.values().filter(|c| all || c.is_up()).filter(has).collect();
    found.sort_by_key(|container| std::cmp::Reverse(container.created));
    Answer::json(
        200,
        &found.into_iter().map(|container| shapes::summary(&world, container)).collect(),
    )
}

async fn of_container(shared: &Arc<Shared>, asked: &Asked, address: &str, rest: &[&str]) -> Answer {
    let (id, wedged) = {
        let world = shared.world();
        let found = world.find(address);
        let wedged =
            found.is_some_and(|c| world.wedged.contains(&c.name) || world.wedged.contains(&c.id));
        (found.map(|container| container.id.clone()), wedged)
    };
    let Some(id) = id else { return refuse(404, &format!("No such container: {address}")) };
    if wedged {
        return std::future::pending().await;
    }
    match (asked.method.as_str(), rest) {
        ("GET", ["json"]) => {
            let world = shared.world();
            match world.containers.get(&id) {
                Some(container) => Answer::json(200, &shapes::inspection(&world, container)),
                None => refuse(404, &format!("No such container: {address}")),
            }
        }
        ("POST", ["start"]) => containers::start(shared, &id),
        ("POST", ["stop"]) => containers::stop(shared, &id).await,
        ("POST", ["restart"]) => containers::restart(shared, &id).await,
        ("POST", ["kill"]) => containers::kill(shared, &id),
        ("POST", ["pause"]) => containers::set_paused(shared, &id, true),
        ("POST", ["unpause"]) => containers::set_paused(shared, &id, false),
        ("POST", ["rename"]) => containers::rename(shared, &id, asked.word("name")),
        ("POST", ["update"]) => containers::update(shared, &id, &asked.json()),
        ("POST", ["wait"]) => containers::wait(shared, &id).await,
        ("POST", ["exec"]) => files::exec_create(shared, &id, &asked.json()),
        ("PUT", ["archive"]) => files::put(shared, &id, asked.word("path"), &asked.bytes),
        ("GET" | "HEAD", ["archive"]) => files::get(shared, &id, asked.word("path")),
        ("DELETE", []) => {
            let how = containers::Removal { force: asked.flag("force"), volumes: asked.flag("v") };
            containers::remove(shared, &id, how)
        }
        _ => refuse(404, "page not found"),
    }
}

fn of_networks(shared: &Arc<Shared>, asked: &Asked, path: &[&str]) -> Answer {
    match (asked.method.as_str(), path) {
        ("GET", ["networks"]) => {
            let world = shared.world();
            let names = asked.filter("name");
            let found = world.networks.values().filter(|net| {
                names.is_empty() || names.iter().any(|part| net.name.contains(part.as_str()))
            });
            Answer::json(200, &found.map(|net| shapes::network(&world, net, false)).collect())
        }
        ("POST", ["networks", "create"]) => match networks::create(shared, &asked.json()) {
            Ok(id) => Answer::json(201, &json!({"Id": id, "Warning": ""})),
            Err(refusal) => refusal,
        },
        (method, ["networks", address, rest @ ..]) => {
            let found = networks::find(&shared.world(), address);
            let id = match found {
                Ok(id) => id,
                Err(refusal) => return refusal,
            };
            match (method, rest) {
                ("GET", []) => {
                    let world = shared.world();
                    Answer::json(200, &shapes::network(&world, &world.networks[&id], true))
                }
                ("DELETE", []) => networks::remove(shared, &id),
                ("POST", ["connect"]) => networks::connect(shared, &id, &asked.json()),
                ("POST", ["disconnect"]) => networks::disconnect(shared, &id, &asked.json()),
                _ => refuse(404, "page not found"),
            }
        }
        _ => refuse(404, "page not found"),
    }
}

fn of_volumes(shared: &Arc<Shared>, asked: &Asked, path: &[&str]) -> Answer {
    match (asked.method.as_str(), path) {
        ("GET", ["volumes"]) => {
            let world = shared.world();
            let all: Vec<Value> =
                world.volumes.iter().map(|(name, volume)| shapes::volume(name, volume)).collect();
            Answer::json(200, &json!({"Volumes": all, "Warnings": null}))
        }
        ("POST", ["volumes", "create"]) => networks::create_volume(shared, &asked.json()),
        ("GET", ["volumes", name]) => match shared.world().volumes.get(*name) {
            Some(volume) => Answer::json(200, &shapes::volume(name, volume)),
            None => refuse(404, &format!("get {name}: no such volume")),
        },
        ("DELETE", ["volumes", name]) => networks::remove_volume(shared, name),
        _ => refuse(404, "page not found"),
    }
}

/// The stream of events: those since an instant, then those to come.
fn events(shared: &Arc<Shared>, asked: &Asked) -> Response<Body> {
    let (types, actions) = (asked.filter("type"), asked.filter("event"));
    let containers = asked.filter("container");
    let until = asked.word("until").parse::<f64>().ok();
    let wanted = move |event: &Value| {
        let of_container = containers.is_empty() || containers.iter().any(|id| event["id"] == **id);
        let in_time =
            until.is_none_or(|until| event["timeNano"].as_f64().unwrap_or(0.0) / 1e9 <= until);
        if !of_container || !in_time {
            return false;
        }
        let action = event["Action"].as_str().unwrap_or_default();
        let word = action.split(':').next().unwrap_or_default();
        let of_type = types.is_empty() || types.iter().any(|kind| event["Type"] == **kind);
        of_type
            && (actions.is_empty()
                || actions.iter().any(|wanted| wanted == action || wanted == word))
    };
    let (before, receiver) = {
        let world = shared.world();
        let since = asked.word("since").parse().ok();
        (
            since.map(|since| world.history_since(since)).unwrap_or_default(),
            world.events.subscribe(),
        )
    };
    let mut before: Vec<Told> = before.into_iter().map(Told::Event).collect();
    if until.is_some() {
        before.push(Told::End);
    }
    let before = stream::iter(before);
    let after = stream::unfold(receiver, |mut receiver| async move {
        loop {
            match receiver.recv().await {
                Ok(told) => return Some((told, receiver)),
                Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                Err(tokio::sync::broadcast::error::RecvError::Closed) => return None,
            }
        }
    });
    let frames = before
        .chain(after)
        .take_while(|told| std::future::ready(matches!(told, Told::Event(_))))
        .filter_map(move |told| {
            let frame = match told {
                Told::Event(event) if wanted(&event) => {
                    Some(Ok(Frame::data(Bytes::from(format!("{event}\n")))))
                }
                _ => None,
            };
            std::future::ready(frame)
        });
    Response::builder()
        .status(StatusCode::OK)
        .header("content-type", "application/json")
        .body(StreamBody::new(frames).boxed_unsync())
        .unwrap()
}

/// The process has ended by the time that anybody listens, and wrote nothing.
fn exec_start() -> Response<Body> {
    Response::builder()
        .header("content-type", "application/vnd.docker.raw-stream")
        .body(Full::new(Bytes::new()).map_err(|never: Infallible| match never {}).boxed_unsync())
        .unwrap()
}
