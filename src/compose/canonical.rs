//! Short syntaxes written out in full.

use super::attributes::{ItemKey, Meeting, Shape};
use super::place::Place;
use super::text::{ports, volumes, words};
use crate::model::{Budget, Diagnostic, Diagnostics};
use crate::yaml::{COPY_BYTES, Entry, Kind, Map, Node, Scalar, Span, Tag, Value};

/// Ports that one model may publish, ranges written out.
/// `1-65535:1-65535` four times is one line each; every port becomes a binding and a line of each plan.
const MAX_PORTS: usize = 250_000;

/// What one published port takes: it and its attributes, in the model and as a value.
const PORT_BYTES: usize = 2 * COPY_BYTES;
/// The same of a mount in one word.
const VOLUME_BYTES: usize = 2 * COPY_BYTES;

/// Words of one command line.
const MAX_WORDS: usize = 100_000;

/// Where problems go, and what may still be written out.
pub(super) struct Sink<'p> {
    problems: &'p mut Diagnostics,
    ports: &'p mut usize,
    budget: &'p Budget,
}

impl<'p> Sink<'p> {
    /// `ports` counts the ports that were written out so far.
    pub(super) fn new(
        problems: &'p mut Diagnostics,
        ports: &'p mut usize,
        budget: &'p Budget,
    ) -> Self {
        Self { problems, ports, budget }
    }
}

/// Writes out all short syntaxes below a node. What is not understood is reported and left as it is.
///
/// Every attribute has one form afterwards, the long one of the Specification. Merging, checking, converting and
/// comparing are written once, and not once for each way of writing a port.
pub(super) fn canonicalise(node: &mut Node, shape: &Shape, place: Place<'_>, sink: &mut Sink<'_>) {
    if node.tag == Tag::Reset || node.is_null() {
        return;
    }
    widen(node, shape, place, sink);
    match &mut node.kind {
        Kind::Map(map) => {
            for entry in map {
                if let Some(child) = shape.key(&entry.key) {
                    canonicalise(&mut entry.value, child, place.key(&entry.key), sink);
                }
            }
        }
        Kind::List(items) => {
            if let Some(child) = &shape.item {
                for (index, item) in items.iter_mut().enumerate() {
                    canonicalise(item, child, place.index(index), sink);
                }
            }
        }
        Kind::Scalar(_) => {}
    }
}

/// Writes out the short syntax of this node itself.
fn widen(node: &mut Node, shape: &Shape, place: Place<'_>, sink: &mut Sink<'_>) {
    match shape.id {
        "services.*" => old_develop(node),
        "services.*.build" => wrap_text(node, "context"),
        "services.*.extends" => wrap_text(node, "service"),
        "include[]" => wrap_text(node, "path"),
        "services.*.env_file" => {
            listed(node);
            each(node, |item| wrap_text(item, "path"));
        }
        "services.*.configs" | "services.*.secrets" | "services.*.build.secrets" => {
            each(node, |item| wrap_text(item, "source"));
        }
        "services.*.depends_on" => named(node, sink.budget, 2, |span| {
            let mut map = Map::default();
            map.set("condition", Node::text(span.clone(), "service_started"));
            map.set("required", Node::plain(span.clone(), "true"));
            Kind::Map(map)
        }),
        "services.*.networks" | "services.*.models" => {
            named(node, sink.budget, 1, |_| Kind::Scalar(Scalar::plain("")));
        }
        "services.*.ports" => expand_ports(node, place, sink),
        "services.*.volumes[]" => widen_volume(node, place, sink),
        "services.*.devices[]" => widen_device(node, place, sink),
        "services.*.gpus" if node.as_text() == Some("all") => {
            let mut map = Map::default();
            map.set("count", Node::plain(node.span.clone(), "-1"));
            node.kind = Kind::List(vec![Node::new(node.span.clone(), Kind::Map(map))]);
        }
        "services.*.healthcheck.test" => {
            if let Some(text) = node.as_text() {
                let shell = Node::text(node.span.clone(), "CMD-SHELL");
                let text = Node::text(node.span.clone(), text);
                node.kind = Kind::List(vec![shell, text]);
            }
        }
        "services.*.expose" => each(node, text_of),
        "services.*.extra_hosts" | "services.*.build.extra_hosts" => {
            hosts(node, place, sink);
        }
        "services.*.build.ssh" => keys(node),
        "services.*.provider.options.*" => listed(node),
        "networks.*" | "volumes.*" | "configs.*" | "secrets.*" => external(node, place, sink),
        _ if is_command(shape.id) => command(node, place, sink),
        _ if shape.is_pairs() => {
            if shape.id == "services.*.environment" {
                spaced_names(node, place, sink);
            }
            pairs(node);
        }
        _ if is_text_or_list(shape) => listed(node),
        _ => {}
    }
}

fn is_command(id: &str) -> bool {
    matches!(
        id,
        "services.*.command"
            | "services.*.entrypoint"
            | "services.*.pre_start[].command"
            | "services.*.post_start[].command"
            | "services.*.pre_stop[].command"
            | "services.*.develop.watch[].exec.command"
    )
}

fn is_text_or_list(shape: &Shape) -> bool {
    use super::attributes::Kinds;
    shape.kinds.allow(Kinds::TEXT)
        && shape.kinds.allow(Kinds::LIST)
        && !shape.kinds.allow(Kinds::MAP)
}

fn each(node: &mut Node, change: impl Fn(&mut Node)) {
    if let Kind::List(items) = &mut node.kind {
        items.iter_mut().for_each(change);
    }
}

/// A scalar becomes a mapping with that one key.
fn wrap_text(node: &mut Node, key: &str) {
    if let Kind::Scalar(scalar) = &node.kind {
        let value = Node::new(node.span.clone(), Kind::Scalar(scalar.clone()));
        let mut map = Map::default();
        map.set(key, value);
        node.kind = Kind::Map(map);
    }
}

/// A scalar becomes a list of one.
fn listed(node: &mut Node) {
    if let Kind::Scalar(scalar) = &node.kind {
        node.kind = Kind::List(vec![Node::new(node.span.clone(), Kind::Scalar(scalar.clone()))]);
    }
}

/// A list of names becomes a mapping; each costs as much as so many values. What is over is said once, when all is read.
fn named(node: &mut Node, budget: &Budget, values: usize, value: impl Fn(&Span) -> Kind) {
    let Kind::List(items) = &node.kind else { return };
    if budget.bytes(items.len() * values * COPY_BYTES).is_err() {
        return;
    }
    let entries = items
        .iter()
        .filter_map(|item| {
            let key = item.as_text()?.to_owned();
            let kind = value(&item.span);
            Some(Entry {
                key,
                key_span: item.span.clone(),
                value: Node::new(item.span.clone(), kind),
            })
        })
        .collect();
    node.kind = Kind::Map(Map::from_entries(entries));
}

/// A list of `NAME=VALUE` becomes a mapping; a name alone has no value. Later names win.
///
/// `- NAME` alone has no value and is not empty: the two differ for `environment`, where one takes it from outside and
/// the other sets it to nothing.
fn pairs(node: &mut Node) {
    let Kind::List(items) = &node.kind else { return };
    let entries = items
        .iter()
        .filter_map(|item| {
            let text = item.value()?.to_text().into_owned();
            let (key, scalar) = match text.split_once('=') {
                Some((key, value)) => (key.to_owned(), Scalar::quoted(value)),
                None => (text, Scalar::plain("")),
            };
            let value = Node::new(item.span.clone(), Kind::Scalar(scalar));
            Some(Entry { key, key_span: item.span.clone(), value })
        })
        .collect();
    node.kind = Kind::Map(Map::from_entries(entries));
}

/// Reports variables in a list whose names end in a blank, as in `NAME =VALUE`.
///
/// YAML keeps the blank, and the container would get a variable that no shell can name.
fn spaced_names(node: &Node, place: Place<'_>, sink: &mut Sink<'_>) {
    for (index, item) in node.as_list().unwrap_or_default().iter().enumerate() {
        let name = item.as_text().and_then(|text| text.split_once('=')).map(|(name, _)| name);
        if name.is_some_and(|name| name.ends_with([' ', '\t'])) {
            let problem = item.error("the variable's name ends in a blank");
            let problem = problem.at(place.index(index).to_string());
            sink.problems.push(problem.help("write NAME=VALUE without blanks around the sign"));
        }
    }
}

/// A mapping becomes a list of `NAME` or `NAME=VALUE`.
fn keys(node: &mut Node) {
    let Kind::Map(map) = &node.kind else { return };
    let lines = map
        .iter()
        .map(|entry| {
            let value = entry.value.value().map(|value| value.to_text().into_owned());
            let text = match value {
                Some(value) if !value.is_empty() => format!("{}={value}", entry.key),
                _ => entry.key.clone(),
            };
            Node::text(entry.key_span.clone(), text)
        })
        .collect();
    node.kind = Kind::List(lines);
}

fn text_of(node: &mut Node) {
    if let Some(text) = node.value().map(|value| value.to_text().into_owned()) {
        node.kind = Kind::Scalar(Scalar::quoted(text));
    }
}

/// Hosts become a list of `HOST=IP`; brackets around an address go. In a list, commas separate several addresses.
///
/// `host:::1` and `host=[::1]` are the same address to Docker's client. The sign is `=` from here on, because a colon
/// cannot be told from one of the address.
fn hosts(node: &mut Node, place: Place<'_>, sink: &mut Sink<'_>) {
    let mut lines: Vec<Node> = Vec::new();
    let budget = sink.budget;
    let line = |host: &str, ip: &str, span: &Span| {
        // A host stands before each of its addresses. What is over is said once, when all is read.
        budget.bytes(6 * (host.len() + ip.len()) + COPY_BYTES).ok()?;
        let ip = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip);
        Some(Node::text(span.clone(), format!("{host}={ip}")))
    };
    match &node.kind {
        Kind::Map(map) => {
            for entry in map {
                let one = std::slice::from_ref(&entry.value);
                for ip in entry.value.as_list().unwrap_or(one) {
                    let text = ip.value().map(|value| value.to_text().into_owned());
                    if ip.is_null() {
                        let message = format!("the host {} has no address", entry.key);
                        sink.problems.push(ip.error(message).at(place.key(&entry.key).to_string()));
                    }
                    lines.extend(line(&entry.key, &text.unwrap_or_default(), &ip.span));
                }
            }
        }
        Kind::List(items) => {
            let mut seen = std::collections::BTreeSet::new();
            for item in items.iter().filter(|item| seen.insert(item.fingerprint())) {
                let Some(text) = item.as_text() else { continue };
                match text.split_once('=').or_else(|| text.split_once(':')) {
                    Some((host, ips)) => {
                        lines.extend(ips.split(',').map_while(|ip| line(host, ip, &item.span)));
                    }
                    None => lines.push(Node::text(item.span.clone(), text)),
                }
            }
        }
        Kind::Scalar(_) => return,
    }
    node.kind = Kind::List(lines);
}

/// `external: {name: x}` becomes `external: true` and `name: x`.
///
/// The form of Compose files of version 3.3 and before, deprecated and still common.
fn external(node: &mut Node, place: Place<'_>, sink: &mut Sink<'_>) {
    let Kind::Map(map) = &mut node.kind else { return };
    let Some(external) = map.get_mut("external") else { return };
    let Kind::Map(inner) = &external.kind else { return };
    let name = inner.get("name").cloned();
    external.kind = Kind::Scalar(Scalar::plain("true"));
    match name {
        Some(name) if map.contains("name") => {
            let message = "name and external.name contradict each other";
            sink.problems.push(name.error(message).at(place.to_string()).help("keep name"));
        }
        Some(name) => map.set("name", name),
        None => {}
    }
}

/// `x-develop` was `develop` before the specification had it, and still counts where there is no `develop`.
fn old_develop(node: &mut Node) {
    let Kind::Map(map) = &mut node.kind else { return };
    if map.contains("develop") {
        return;
    }
    if map.get("x-develop").is_some_and(|develop| develop.as_map().is_some())
        && let Some(develop) = map.remove("x-develop")
    {
        map.set("develop", develop.value);
    }
}

/// Builds without a context are built from the project's folder.
pub(super) fn default_contexts(root: &mut Node) {
    let services = root.as_map_mut().and_then(|map| map.get_mut("services"));
    for service in services.and_then(Node::as_map_mut).into_iter().flatten() {
        let build = service.value.as_map_mut().and_then(|map| map.get_mut("build"));
        let Some(build) = build else { continue };
        let span = build.span.clone();
        if let Kind::Map(map) = &mut build.kind
            && map.get("context").is_none_or(Node::is_null)
        {
            map.set("context", Node::text(span, "."));
        }
    }
}

/// Builds that name no Dockerfile have one of that name; for a model that nothing is laid over any more.
pub(super) fn default_dockerfiles(root: &mut Node) {
    let services = root.as_map_mut().and_then(|map| map.get_mut("services"));
    for service in services.and_then(Node::as_map_mut).into_iter().flatten() {
        let build = service.value.as_map_mut().and_then(|map| map.get_mut("build"));
        let Some(build) = build else { continue };
        let span = build.span.clone();
        let Kind::Map(map) = &mut build.kind else { continue };
        let has = |key: &str| map.get(key).is_some_and(|node| !node.is_null());
        let is_inline = has("dockerfile_inline")
            && map.get("dockerfile_inline").and_then(Node::as_text) != Some("");
        if !has("dockerfile") && !is_inline {
            map.set("dockerfile", Node::text(span, "Dockerfile"));
        }
    }
}

fn command(node: &mut Node, place: Place<'_>, sink: &mut Sink<'_>) {
    let Some(text) = node.as_text() else { return };
    match words::split(text) {
        Some(line) if line.words.len() > MAX_WORDS => {
            let message = format!("the command line has more than {MAX_WORDS} words");
            sink.problems.push(node.error(message).at(place.to_string()));
        }
        Some(line) => {
            if let Some(operator) = line.cut {
                let message = format!(
                    "no shell reads this command line: as with docker compose, {operator:?} and what follows is dropped"
                );
                let problem = Diagnostic::warning(node.location(), message).at(place.to_string());
                sink.problems.push(problem.help("write it as a list: [\"sh\", \"-c\", \"…\"]"));
            }
            if sink.budget.bytes(line.words.len() * COPY_BYTES / 4).is_err() {
                return;
            }
            let word = |word| Node::text(node.span.clone(), word);
            node.kind = Kind::List(line.words.into_iter().map(word).collect());
        }
        None => sink.problems.push(
            node.error("a quote, an escape or a parenthesis is left open in this command line")
                .at(place.to_string())
                .help("write the command as a list of words"),
        ),
    }
}

fn expand_ports(node: &mut Node, place: Place<'_>, sink: &mut Sink<'_>) {
    let Kind::List(items) = &mut node.kind else { return };
    let mut expanded = Vec::with_capacity(items.len());
    for (index, item) in std::mem::take(items).into_iter().enumerate() {
        let text = match item.value() {
            Some(Value::Null | Value::Bool(_)) | None => None,
            Some(value) => Some(value.to_text().into_owned()),
        };
        let Some(text) = text else {
            expanded.push(long_port(item));
            continue;
        };
        // What is over is said once, when all is read.
        if sink.budget.over().is_some() {
            return;
        }
        match ports::parse(&text) {
            Ok(ports) if *sink.ports + ports.len() > MAX_PORTS => {
                let message = format!("more than {MAX_PORTS} ports are published");
                sink.problems.push(item.error(message).at(place.index(index).to_string()));
            }
            Ok(ports) if sink.budget.bytes(ports.len() * PORT_BYTES).is_err() => {}
            Ok(ports) => {
                *sink.ports += ports.len();
                expanded.extend(ports.into_iter().map(|port| port_node(&item.span, port)));
            }
            Err(message) => {
                let message = format!("not a port: {message}");
                sink.problems.push(item.error(message).at(place.index(index).to_string()));
            }
        }
    }
    *items = expanded;
}

/// The defaults of a port in the long syntax.
fn long_port(mut item: Node) -> Node {
    let span = item.span.clone();
    if let Kind::Map(map) = &mut item.kind {
        for (key, default) in [("mode", "ingress"), ("protocol", "tcp")] {
            if map.get(key).is_none_or(Node::is_null) {
                map.set(key, Node::text(span.clone(), default));
            }
        }
        if let Some(published) = map.get_mut("published")
            && !published.is_null()
        {
            text_of(published);
        }
    }
    item
}

fn port_node(span: &Span, port: ports::Port) -> Node {
    let mut map = Map::default();
    map.set("mode", Node::text(span.clone(), "ingress"));
    map.set("protocol", Node::text(span.clone(), port.protocol));
    map.set("target", Node::plain(span.clone(), port.target.to_string()));
    if !port.published.is_empty() {
        map.set("published", Node::text(span.clone(), port.published));
    }
    if !port.host_ip.is_empty() {
        map.set("host_ip", Node::text(span.clone(), port.host_ip));
    }
    Node::new(span.clone(), Kind::Map(map))
}

fn widen_volume(node: &mut Node, place: Place<'_>, sink: &mut Sink<'_>) {
    let span = node.span.clone();
    match &mut node.kind {
        Kind::Scalar(scalar) => {
            let text = scalar.value().to_text().into_owned();
            // What is over is said once, when all is read.
            if sink.budget.bytes(VOLUME_BYTES).is_err() {
                return;
            }
            match volumes::parse(&text) {
                Ok(mount) => node.kind = Kind::Map(volume_map(&span, &text, &mount)),
                Err(message) => {
                    let message = format!("not a mount: {message}");
                    sink.problems.push(node.error(message).at(place.to_string()));
                }
            }
        }
        Kind::Map(map) => {
            if let Some(target) = map.get_mut("target")
                && let Some(text) = target.as_text()
                && !text.is_empty()
            {
                target.kind = Kind::Scalar(Scalar::quoted(super::files::clean(text)));
            }
        }
        Kind::List(_) => {}
    }
}

fn volume_map(span: &Span, text: &str, mount: &volumes::Mount) -> Map {
    let kind = mount.kind();
    let mut map = Map::default();
    map.set("type", Node::text(span.clone(), kind));
    map.set("target", Node::text(span.clone(), super::files::clean(&mount.target)));
    if !mount.source.is_empty() {
        map.set("source", Node::text(span.clone(), mount.source.clone()));
    }
    if mount.read_only {
        map.set("read_only", Node::plain(span.clone(), "true"));
    }
    let mut bind = Map::default();
    if !mount.selinux.is_empty() {
        bind.set("selinux", Node::text(span.clone(), mount.selinux.clone()));
    }
    if !mount.propagation.is_empty() {
        bind.set("propagation", Node::text(span.clone(), mount.propagation.clone()));
    }
    if kind == "bind" {
        bind.set("create_host_path", Node::plain(span.clone(), "true"));
    }
    if !bind.is_empty() {
        map.set("bind", Node::new(span.clone(), Kind::Map(bind)));
    }
    let mut volume = Map::default();
    if mount.nocopy {
        volume.set("nocopy", Node::plain(span.clone(), "true"));
    }
    if mount.nocopy || (kind == "volume" && text.len() > 2) {
        map.set("volume", Node::new(span.clone(), Kind::Map(volume)));
    }
    map
}

fn widen_device(node: &mut Node, place: Place<'_>, sink: &mut Sink<'_>) {
    let Some(text) = node.as_text() else { return };
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, permissions) = match parts.as_slice() {
        [source] => (*source, *source, "rwm"),
        [source, target] => (*source, *target, "rwm"),
        [source, target, permissions] => (*source, *target, *permissions),
        _ => {
            let message = format!("not a device: too many colons in {text:?}");
            sink.problems.push(
                node.error(message)
                    .at(place.to_string())
                    .help("write source, target and permissions as a mapping"),
            );
            return;
        }
    };
    let span = &node.span;
    let mut map = Map::default();
    map.set("source", Node::text(span.clone(), source));
    map.set("target", Node::text(span.clone(), target));
    map.set("permissions", Node::text(span.clone(), permissions));
    node.kind = Kind::Map(map);
}

/// Makes items with one key one: the later item stays, in the earlier one's place.
///
/// The place of the earlier item is kept, since the order of mounts and ports shows in inspect: an override that
/// changes one port must not move the others.
pub(super) fn dedupe(items: Vec<Node>, meeting: Meeting) -> Vec<Node> {
    let mut kept: Vec<Node> = Vec::with_capacity(items.len());
    let mut places = std::collections::BTreeMap::new();
    for item in items {
        let Some(key) = key_of(&item, meeting) else {
            kept.push(item);
            continue;
        };
        match places.get(&key).and_then(|place: &usize| kept.get_mut(*place)) {
            Some(earlier) => *earlier = item,
            None => {
                places.insert(key, kept.len());
                kept.push(item);
            }
        }
    }
    kept
}

fn key_of(item: &Node, meeting: Meeting) -> Option<String> {
    let field = |key: &str| {
        item.get(key)
            .and_then(Node::value)
            .filter(|value| *value != Value::Null)
            .map(|value| value.to_text().into_owned())
    };
    match meeting {
        Meeting::Set => item.value().map(|value| value.to_text().into_owned()),
        Meeting::Keyed(ItemKey::Target) => field("target").or_else(|| field("source")),
        Meeting::Keyed(ItemKey::Path) => field("path"),
        Meeting::Keyed(ItemKey::Config) => {
            field("target").or_else(|| field("source").map(|source| format!("/{source}")))
        }
        Meeting::Keyed(ItemKey::Secret) => field("target")
            .or_else(|| field("source").map(|source| format!("/run/secrets/{source}"))),
        Meeting::Keyed(ItemKey::Port) => Some(format!(
            "{}:{}:{}/{}",
            field("host_ip").unwrap_or_else(|| "0.0.0.0".to_owned()),
            field("published").unwrap_or_default(),
            field("target")?,
            field("protocol").unwrap_or_else(|| "tcp".to_owned()),
        )),
        Meeting::Usual | Meeting::Replace | Meeting::Logging | Meeting::Subnet => None,
    }
}
