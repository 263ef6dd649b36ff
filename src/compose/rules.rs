//! Rules between attributes of one resource, on the merged canonical model.

use super::place::Place;
use crate::model::{Diagnostic, Diagnostics};
use crate::yaml::{Map, Node, Value};

/// Reports what breaks a rule.
///
/// The schema tells what an attribute may be; this is what two of them may not be together. Each rule is one that the
/// reference has (compose-go, `validation` and `loader`), so that a file which it takes is not refused here.
pub(super) fn check(root: &Node, problems: &mut Diagnostics) {
    let section = |name: &str| root.get(name).and_then(Node::as_map);
    for entry in section("volumes").into_iter().flatten() {
        let place = Place::TOP.key("volumes");
        external_volume(&entry.value, place.key(&entry.key), problems);
    }
    for (name, keys) in [
        ("configs", &["file", "environment", "content"][..]),
        ("secrets", &["file", "environment"][..]),
    ] {
        for entry in section(name).into_iter().flatten() {
            let place = Place::TOP.key(name);
            file_object(&entry.value, keys, place.key(&entry.key), problems);
        }
    }
    for entry in section("services").into_iter().flatten() {
        let place = Place::TOP.key("services");
        if let Some(service) = entry.value.as_map() {
            service_rules(service, place.key(&entry.key), problems);
        }
    }
}

/// A value that is there and says something.
///
/// `target:` with nothing behind it is null, and means the same as no `target` at all.
fn present<'m>(map: &'m Map, key: &str) -> Option<&'m Node> {
    map.get(key).filter(|node| !node.is_null())
}

/// An external volume is somebody else's: nothing but its name can be said of it (Compose Specification, volumes, `external`).
fn external_volume(volume: &Node, place: Place<'_>, problems: &mut Diagnostics) {
    let Some(map) = volume.as_map() else { return };
    if map.get("external").and_then(Node::value) != Some(Value::Bool(true)) {
        return;
    }
    let others = map.iter().filter(|entry| {
        !matches!(entry.key.as_str(), "name" | "external") && !entry.key.starts_with("x-")
    });
    for entry in others {
        let message = format!("{:?} has no meaning for an external volume", entry.key);
        problems.push(
            Diagnostic::error(entry.key_span.location(), message)
                .at(place.key(&entry.key).to_string())
                .help("remove it, or remove external"),
        );
    }
}

/// A config or secret has one source: a file, a variable, or its content (Compose Specification, `configs` and `secrets`). An
/// external one, or one with a driver, has it elsewhere.
fn file_object(node: &Node, keys: &[&str], place: Place<'_>, problems: &mut Diagnostics) {
    let Some(map) = node.as_map() else { return };
    let given = keys.iter().filter(|key| map.contains(key)).count();
    let words = keys.join(", ");
    if given > 1 {
        let message = format!("only one of {words} can be set");
        problems.push(node.error(message).at(place.to_string()));
    }
    if given == 0 && !map.contains("external") && !map.contains("driver") {
        let message = format!("one of {words} must be set");
        problems.push(node.error(message).at(place.to_string()));
    }
}

/// Rules between attributes of one service, which no schema tells.
fn service_rules(service: &Map, place: Place<'_>, problems: &mut Diagnostics) {
    let deploy = present(service, "deploy");
    let devices = deploy
        .and_then(|deploy| deploy.get("resources"))
        .and_then(|resources| resources.get("reservations"))
        .and_then(|reservations| reservations.get("devices"));
    for (list, name) in
        [(service.get("gpus"), "gpus"), (devices, "deploy.resources.reservations.devices")]
    {
        for (index, item) in list.and_then(Node::as_list).unwrap_or_default().iter().enumerate() {
            if item.get("count").is_some() && item.get("device_ids").is_some() {
                let message = "count and device_ids exclude each other";
                let here = place.key(name);
                problems.push(item.error(message).at(here.index(index).to_string()));
            }
        }
    }
    let watched = present(service, "develop").and_then(|develop| develop.get("watch"));
    for (index, watch) in watched.and_then(Node::as_list).unwrap_or_default().iter().enumerate() {
        let here = place.key("develop.watch");
        watch_rules(watch, here.index(index), problems);
    }
    volumes(service, place, problems);
    device_targets(service, place, problems);
    addresses(service, place, problems);
}

/// `develop.watch`: read and checked, so that a file that the reference refuses is refused here too; nothing is watched.
fn watch_rules(watch: &Node, place: Place<'_>, problems: &mut Diagnostics) {
    let text = |key: &str| watch.get(key).and_then(Node::as_text).unwrap_or_default();
    if watch.get("path").is_some() && text("path").is_empty() {
        problems.push(watch.error("path is empty").at(place.to_string()));
    }
    if matches!(text("action"), "sync" | "sync+restart" | "sync+exec") && text("target").is_empty()
    {
        let message = format!("target is missing for the action {}", text("action"));
        problems.push(watch.error(message).at(place.to_string()));
    }
}

/// Mounts and ports in their long form: those parts without which the Engine could not tell what is meant.
fn volumes(service: &Map, place: Place<'_>, problems: &mut Diagnostics) {
    let list = service.get("volumes").and_then(Node::as_list).unwrap_or_default();
    for (index, volume) in list.iter().enumerate() {
        let text = |key: &str| volume.get(key).and_then(Node::as_text).unwrap_or_default();
        let here = place.key("volumes");
        if text("target").is_empty() && volume.as_map().is_some() {
            let problem = volume.error("the mount has no target").at(here.index(index).to_string());
            problems.push(problem);
        }
        if text("type") == "bind" && text("source").is_empty() {
            let problem =
                volume.error("a bind mount needs a source").at(here.index(index).to_string());
            problems.push(problem);
        }
    }
    for (index, port) in
        service.get("ports").and_then(Node::as_list).unwrap_or_default().iter().enumerate()
    {
        let target = |map: &Map| {
            present(map, "target").and_then(Node::value).map(|value| value.to_text().into_owned())
        };
        if port.as_map().is_some_and(|map| target(map).is_none_or(|target| target == "0")) {
            let here = place.key("ports");
            problems.push(port.error("the port has no target").at(here.index(index).to_string()));
        }
    }
}

/// Reports devices without a path in the container.
///
/// `devices: [/dev/fuse]` was given one when it was written out; only a long form can lack it.
fn device_targets(service: &Map, place: Place<'_>, problems: &mut Diagnostics) {
    let list = service.get("devices").and_then(Node::as_list).unwrap_or_default();
    for (index, device) in list.iter().enumerate() {
        if device.as_map().is_some_and(|map| present(map, "target").is_none()) {
            let here = place.key("devices");
            let problem =
                device.error("the device has no target").at(here.index(index).to_string());
            problems.push(problem);
        }
    }
}

/// Reports hosts without an address, and MAC addresses that are none.
///
/// `extra_hosts: ["db"]` would be taken by the Engine as far as the container's start, and fail there.
fn addresses(service: &Map, place: Place<'_>, problems: &mut Diagnostics) {
    for (index, host) in
        service.get("extra_hosts").and_then(Node::as_list).unwrap_or_default().iter().enumerate()
    {
        let text = host.as_text().unwrap_or_default();
        if text.split_once('=').is_none_or(|(host, _)| host.is_empty()) {
            let here = place.key("extra_hosts");
            let message = format!("{text:?} is not a host and an address");
            problems.push(
                host.error(message).at(here.index(index).to_string()).help("write HOST=ADDRESS"),
            );
        }
    }
}
