//! The merged canonical model as typed values, and where each attribute stands.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use serde::Deserialize;

use super::attributes;
use super::de::Reader;
use super::merge::merge_service;
use super::place::Place;
use crate::model::project::{FileObject, Model, Network, PreStart, SecretObject, Volume};
use crate::model::{Budget, Diagnostic, Diagnostics, Extensions, Service, ServiceName};
use crate::yaml::{COPY_BYTES, Kind, Node, Value};

/// A place of an attribute: dotted path, file, line, column.
pub(super) type Spot = (Box<str>, Arc<str>, u32, u32);

/// The typed parts of a model.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) services: BTreeMap<ServiceName, Service>,
    pub(super) networks: BTreeMap<String, Network>,
    pub(super) volumes: BTreeMap<String, Volume>,
    pub(super) configs: BTreeMap<String, FileObject>,
    pub(super) secrets: BTreeMap<String, SecretObject>,
    pub(super) models: BTreeMap<String, Model>,
    pub(super) extensions: Extensions,
    pub(super) spots: Vec<Spot>,
    /// Services that could not be converted: others may still refer to them.
    pub(super) broken: Vec<ServiceName>,
    /// Services whose `network_mode` is there and empty: they have no network, not even the default one.
    pub(super) unattached: BTreeSet<ServiceName>,
    /// Paths of networks, configs and secrets whose `name` is there and empty. As in the reference they get none then;
    /// volumes do.
    pub(super) unnamed: BTreeSet<String>,
}

/// Converts a model; what does not fit is reported and left out.
///
/// Types catch what the table of attributes cannot say, and the other way round: both are run, and a value that one of
/// them refused is not complained of by the other.
pub(super) fn convert(root: &Node, problems: &mut Diagnostics, budget: &Budget) -> Parts {
    let mut parts = Parts::default();
    for entry in root.get("services").and_then(Node::as_map).into_iter().flatten() {
        let Ok(name) = ServiceName::parse(&entry.key) else { continue };
        if entry.value.get("network_mode").and_then(Node::as_text) == Some("") {
            parts.unattached.insert(name.clone());
        }
        match service(&entry.key, &entry.value, problems, budget) {
            Some(service) => drop(parts.services.insert(name, service)),
            None => parts.broken.push(name),
        }
    }
    parts.networks = section(root, "networks", problems);
    parts.volumes = section(root, "volumes", problems);
    parts.configs = section(root, "configs", problems);
    parts.secrets = section(root, "secrets", problems);
    for section in ["networks", "configs", "secrets"] {
        for entry in root.get(section).and_then(Node::as_map).into_iter().flatten() {
            if entry.value.get("name").and_then(Node::as_text) == Some("") {
                parts.unnamed.insert(format!("{section}.{}", entry.key));
            }
        }
    }
    parts.models = section(root, "models", problems);
    parts.extensions = extensions(root);
    let mut path = String::new();
    collect(root, &mut path, &mut parts.spots, budget);
    parts
}

/// One section at the top: each entry by its name. One that cannot be read is told, and the others are read all the same.
///
/// One broken network must not hide the problems of thirty services.
fn section<T: for<'de> Deserialize<'de>>(
    root: &Node,
    name: &str,
    problems: &mut Diagnostics,
) -> BTreeMap<String, T> {
    let map = root.get(name).and_then(Node::as_map);
    map.into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = format!("{name}.{}", entry.key);
            read(&entry.value, &path, problems).map(|value| (entry.key.clone(), value))
        })
        .collect()
}

/// One part as plain data; its problems with the line and the attribute where they are.
fn read<T: for<'de> Deserialize<'de>>(
    node: &Node,
    path: &str,
    problems: &mut Diagnostics,
) -> Option<T> {
    match T::deserialize(Reader(node)) {
        Ok(value) => Some(value),
        Err(unfit) => {
            let location =
                unfit.span.as_ref().map_or_else(|| node.location(), crate::yaml::Span::location);
            let below: Vec<&str> = unfit.path.iter().rev().map(String::as_str).collect();
            let path = if below.is_empty() {
                path.to_owned()
            } else {
                format!("{path}.{}", below.join("."))
            };
            problems.push(Diagnostic::error(location, unfit.message).at(path));
            None
        }
    }
}

fn service(
    name: &str,
    node: &Node,
    problems: &mut Diagnostics,
    budget: &Budget,
) -> Option<Service> {
    let path = format!("services.{name}");
    let mut service: Service = read(node, &path, problems)?;
    service.extensions = extensions(node);
    let hooks = node.get("pre_start").and_then(Node::as_list).unwrap_or_default();
    let size = if hooks.is_empty() { 0 } else { node.size() };
    for (index, hook) in hooks.iter().enumerate() {
        // Each hook has all settings of its service. What is over is said once, when all is read.
        budget.bytes(size * COPY_BYTES).ok()?;
        let path = format!("{path}.pre_start.{index}");
        let mut container: Service =
            read(&inherited(node, hook, problems, budget), &path, problems)?;
        let per_replica = hook.get("per_replica").and_then(Node::value);
        let per_replica = per_replica.is_some_and(|value| value.to_text() == "true");
        let env_file = std::mem::take(&mut container.env_file);
        service.pre_start.push(PreStart { container: Box::new(container), env_file, per_replica });
    }
    Some(service)
}

/// A container before the start: the service's own container settings, with the hook's laid over them.
///
/// `pre_start` is newer than most of the Specification: what it does not say is its service's, so that the words need
/// not be written twice.
fn inherited(service: &Node, hook: &Node, problems: &mut Diagnostics, budget: &Budget) -> Node {
    let Some(shape) = attributes::root().key("services").and_then(|shape| shape.any.as_deref())
    else {
        return hook.clone();
    };
    let mut base = service.clone();
    if let Some(map) = base.as_map_mut() {
        map.retain(|entry| attributes::is_of_container(&entry.key) && entry.key != "volumes");
    }
    merge_service(base, hook.clone(), shape, Place::TOP, problems, budget)
}

/// `x-…` keys, as JSON: they are kept for whoever understands them, and mean nothing here.
///
/// `x-moorline` is the one that means something here (`job`, `health`, `start_empty`, `encrypted`); others are anchors
/// for YAML aliases, mostly.
fn extensions(node: &Node) -> Extensions {
    let map = node.as_map().into_iter().flatten();
    map.filter(|entry| entry.key.starts_with("x-"))
        .map(|entry| (entry.key.clone(), json(&entry.value)))
        .collect()
}

/// A node as plain data.
fn json(node: &Node) -> serde_json::Value {
    use serde_json::Value as Json;
    match &node.kind {
        Kind::List(items) => Json::Array(items.iter().map(json).collect()),
        Kind::Map(map) => {
            Json::Object(map.iter().map(|e| (e.key.clone(), json(&e.value))).collect())
        }
        Kind::Scalar(scalar) => match scalar.value() {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(value),
            Value::Int(number) => match i64::try_from(number) {
                Ok(number) => Json::from(number),
                Err(_) => Json::from(u64::try_from(number).unwrap_or(u64::MAX)),
            },
            #[expect(clippy::cast_possible_truncation, reason = "whole and small enough")]
            Value::Float(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
                Json::from(number as i64)
            }
            Value::Float(number) => Json::from(number),
            Value::Date(text) | Value::Text(text) => Json::from(text),
        },
    }
}

/// What one place takes beside its path.
const SPOT_BYTES: usize = 64;

/// Collects where everything below a node stands.
///
/// A place for each value, so that a drift or a refused port leads to its line after files were merged, extended and
/// included: the place stays that of whoever said the value last.
fn collect(node: &Node, path: &mut String, spots: &mut Vec<Spot>, budget: &Budget) {
    let length = path.len();
    let dot = if path.is_empty() { "" } else { "." };
    match &node.kind {
        Kind::Map(map) => {
            for entry in map {
                path.push_str(dot);
                path.push_str(&entry.key);
                if budget.bytes(2 * path.len() + SPOT_BYTES).is_err() {
                    return;
                }
                let span = &entry.value.span;
                let span = if span.line == 0 { &entry.key_span } else { span };
                let place = if matches!(entry.value.kind, Kind::Scalar(_)) {
                    span
                } else {
                    &entry.key_span
                };
                spots.push((
                    path.as_str().into(),
                    Arc::clone(&place.file),
                    place.line,
                    place.column,
                ));
                collect(&entry.value, path, spots, budget);
                path.truncate(length);
            }
        }
        Kind::List(items) => {
            for (index, item) in items.iter().enumerate() {
                // Writing to a String cannot fail.
                if write!(path, "{dot}{index}").is_ok() {
                    if budget.bytes(2 * path.len() + SPOT_BYTES).is_err() {
                        return;
                    }
                    let span = &item.span;
                    spots.push((
                        path.as_str().into(),
                        Arc::clone(&span.file),
                        span.line,
                        span.column,
                    ));
                    collect(item, path, spots, budget);
                }
                path.truncate(length);
            }
        }
        Kind::Scalar(_) => {}
    }
}
