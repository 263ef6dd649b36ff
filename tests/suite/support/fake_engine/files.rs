//! Archives into and out of containers, and commands inside them.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Arc;

use serde_json::{Value, json};

use super::Shared;
use super::routes::{Answer, refuse};
use super::world::{Container, Exec, World};

pub(super) fn put(shared: &Arc<Shared>, id: &str, folder: &str, archive: &[u8]) -> Answer {
    let mut world = shared.world();
    let mut archive = tar::Archive::new(archive);
    let Ok(entries) = archive.entries() else { return refuse(400, "not an archive") };
    let mut files = BTreeMap::new();
    for entry in entries.flatten() {
        let mut entry = entry;
        // As the Engine does it: what is there under the name goes first, and then there is nothing to link to.
        if entry.header().entry_type().is_hard_link() {
            let path =
                format!("{}/{}", folder.trim_end_matches('/'), entry.path().unwrap().display());
            let Some(container) = world.containers.get(id) else { return Answer::empty(404) };
            let Some(place) = host_path(container, &path) else { continue };
            let below = format!("{place}/");
            world.host_files.retain(|other, _| *other != place && !other.starts_with(&below));
            return refuse(500, &format!("link {path} {path}: no such file or directory"));
        }
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let Ok(path) = entry.path().map(|path| {
            let path = path.display().to_string();
            format!("{}/{}", folder.trim_end_matches('/'), path.trim_start_matches('/'))
        }) else {
            return refuse(400, "a path that makes no sense");
        };
        let mut bytes = Vec::new();
        if entry.read_to_end(&mut bytes).is_err() {
            return refuse(500, "unexpected EOF");
        }
        files.insert(path, bytes);
    }
    let Some(container) = world.containers.get_mut(id) else { return Answer::empty(404) };
    let mut on_host = Vec::new();
    for (path, bytes) in files {
        match host_path(container, &path) {
            Some(place) => on_host.push((place, bytes)),
            None => drop(container.files.insert(path, bytes)),
        }
    }
    for (place, _) in &on_host {
        // A file takes the place of a folder, with all that is in it.
        let below = format!("{place}/");
        world.host_files.retain(|other, _| !other.starts_with(&below));
    }
    world.host_files.extend(on_host);
    drop(world);
    shared.wake();
    Answer::empty(200)
}

/// Where on the host a path of the container lies, when it lies on a bind.
fn host_path(container: &Container, path: &str) -> Option<String> {
    // Of several, the innermost counts.
    let length = |mount: &&Value| mount["Destination"].as_str().map_or(0, str::len);
    let mut binds: Vec<_> =
        container.mounts.iter().filter(|mount| mount["Type"] == "bind").collect();
    binds.sort_by_key(|mount| std::cmp::Reverse(length(mount)));
    binds.into_iter().find_map(|mount| {
        let rest = path.strip_prefix(mount["Destination"].as_str()?)?;
        (rest.is_empty() || rest.starts_with('/'))
            .then(|| format!("{}{rest}", mount["Source"].as_str().unwrap_or_default()))
    })
}

pub(super) fn get(shared: &Arc<Shared>, id: &str, path: &str) -> Answer {
    let world = shared.world();
    let Some(container) = world.containers.get(id) else { return Answer::empty(404) };
    let found = match host_path(container, path) {
        Some(place) => {
            let below = format!("{place}/");
            if world.host_files.keys().any(|other| other.starts_with(&below)) {
                let inside = world.host_files.iter().filter_map(|(other, bytes)| {
                    Some((other.strip_prefix(&below)?, bytes.as_slice()))
                });
                return folder(path, inside);
            }
            world.host_files.get(&place)
        }
        None => container.files.get(path),
    };
    let Some(bytes) = found else {
        return refuse(
            404,
            &format!("Could not find the file {path} in container {}", container.name),
        );
    };
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    let name = path.rsplit('/').next().unwrap_or("file");
    archive.append_data(&mut header, name, bytes.as_slice()).unwrap();
    Answer::tar(archive.into_inner().unwrap())
}

/// The archive of a folder, with the files in it.
fn folder<'a>(path: &str, inside: impl Iterator<Item = (&'a str, &'a [u8])>) -> Answer {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_size(0);
    header.set_mode(0o755);
    let name = path.rsplit('/').next().unwrap_or("folder");
    archive.append_data(&mut header, format!("{name}/"), std::io::empty()).unwrap();
    for (below, bytes) in inside {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, format!("{name}/{below}"), bytes).unwrap();
    }
    Answer::tar(archive.into_inner().unwrap())
}

pub(super) fn exec_create(shared: &Arc<Shared>, id: &str, body: &Value) -> Answer {
    let mut world = shared.world();
    if world.containers.get(id).is_none_or(|container| container.status != "running") {
        return refuse(409, &format!("Container {id} is not running"));
    }
    let exec = world.new_id();
    let command = body["Cmd"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    world.execs.insert(exec.clone(), Exec { container: id.to_owned(), command });
    Answer::json(201, &json!({"Id": exec}))
}

pub(super) fn exec_inspect(shared: &Arc<Shared>, exec: &str) -> Answer {
    let world = shared.world();
    let Some(found) = world.execs.get(exec) else {
        return refuse(404, &format!("No such exec instance: {exec}"));
    };
    let code = super::containers::behaviour_of(&found.command).ends.map_or(0, |(_, code)| code);
    Answer::json(
        200,
        &json!({"ID": exec, "Running": false, "ExitCode": code, "ContainerID": found.container}),
    )
}

/// Folders that every host has.
const SYSTEM: [&str; 7] = ["/dev", "/etc", "/proc", "/run", "/sys", "/usr", "/var/run"];

/// Whether something is at a path of the host; with `/.` at its end, whether a folder is.
pub(super) fn is_there(world: &World, path: &str) -> bool {
    let (path, folder) = match path.strip_suffix("/.") {
        Some(path) => (path, true),
        None => (path, false),
    };
    let below = |whole: &str, part: &str| {
        whole.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let is_folder = path.is_empty()
        || world.host_folders.iter().any(|known| below(known, path))
        || world.host_files.keys().any(|file| file != path && below(file, path));
    let is_system = SYSTEM.iter().any(|system| below(path, system));
    is_folder || is_system || (!folder && world.host_files.contains_key(path))
}

/// A container that starts finds, or gets, the folders that it mounts.
pub(super) fn make_folders(world: &mut World, id: &str) {
    let Some(container) = world.containers.get(id) else { return };
    let binds = container.mounts.iter().filter(|mount| mount["Type"] == "bind");
    let sources: Vec<String> =
        binds.filter_map(|mount| mount["Source"].as_str().map(str::to_owned)).collect();
    for source in sources {
        if !is_there(world, &source) {
            world.host_folders.insert(source);
        }
    }
}
