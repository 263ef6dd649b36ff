//! Files from Git on the host: by content where containers only read, laid over state where they write.
//!
//! - A file of the tree, or a folder of the tree that is mounted read-only: a bundle under
//!   `DATA/files/STACK/DIGEST/PATH`, so that other bytes are another path, and exactly the services that use it change.
//! - A folder of the tree that is mounted writable: `FOLDER/PATH`, with the tree's files laid over it.
//! - Anything else relative: state, `FOLDER/PATH`, never deleted.
//!
//! `FOLDER` is the stack's own: `directory` of the fleet file, else `DATA/state/STACK`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::desk::Desk;
use super::{Input, RelativePaths};
use crate::compose::sealed;
use crate::model::project::{FileMount, Octal, Service};
use crate::model::{
    BundleFile, Digest, FileBundle, Mount, PARENT_FOLDER, Secret, ServiceName, StackFolder,
    TreePath, Upload,
};

/// What the files of one container come to.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Bundles that it mounts.
    pub(super) bundles: BTreeSet<Digest>,
    /// Bundles among them whose path does not tell their content.
    pub(super) overlays: BTreeSet<Digest>,
    /// Read-only binds of configs and secrets.
    pub(super) mounts: Vec<Mount>,
    /// Files that are copied in.
    pub(super) uploads: Vec<Upload>,
}

/// A path that belongs to the project: its path in the tree, and how it lies to the project's folder.
struct Place {
    tree: TreePath,
    relative: String,
}

/// Where a path of the loaded model is in the commit. `None` for one that lies outside of it: that is the host's own, and is
/// passed on as it stands. A climb out of the stack's folder keeps its shape on the host, `_parent` for each `..`, so that two
/// stacks that climb to one place do not meet in another one's folder.
fn place(desk: &Desk<'_>, path: &str) -> Option<Place> {
    let folder = desk.input.folder;
    let root = desk.input.project.root.trim_end_matches('/');
    if let Some(rest) = below(path, root) {
        return Some(Place { tree: folder.join(rest).ok()?, relative: rest.to_owned() });
    }
    // A stack in `apps/shop` may mount `../common/nginx.conf`: still in the commit, and so still from Git.
    let base = root.strip_suffix(folder.as_str())?.strip_suffix('/')?;
    if base.is_empty() || folder.as_str().is_empty() {
        return None;
    }
    let rest = below(path, base)?;
    let (from, to): (Vec<&str>, Vec<&str>) =
        (folder.as_str().split('/').collect(), rest.split('/').collect());
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let climbs = std::iter::repeat_n(PARENT_FOLDER, from.len() - common);
    let parts: Vec<&str> = climbs.chain(to.into_iter().skip(common)).collect();
    Some(Place { tree: TreePath::parse(rest).ok()?, relative: parts.join("/") })
}

/// The rest of a path below a folder; nothing for the folder itself.
fn below<'p>(path: &'p str, folder: &str) -> Option<&'p str> {
    let rest = path.trim_end_matches('/').strip_prefix(folder)?;
    // `/srv/shop-old` is not below `/srv/shop`.
    if rest.is_empty() { Some("") } else { rest.strip_prefix('/') }
}

/// Where the source of a bind lies on the host.
pub(super) fn bind_source(
    desk: &mut Desk<'_>,
    files: &mut Files,
    (service, attribute): (&ServiceName, &str),
    (path, read_only): (&str, bool),
) -> String {
    let Some(place) = relative(desk, path) else { return path.to_owned() };
    refuse_left_out(desk, attribute, &place.tree);
    refuse_sealed(desk, (service, attribute), &place.tree);
    if desk.input.tree.file(&place.tree).is_some() {
        // What a container may write to is shared with no other service.
        // Two services that mount one file to write would see each other's writes; docker compose has them do so only
        // because it mounts the working copy itself.
        let owner = if read_only { "" } else { service.as_str() };
        return bundle(desk, files, &place, owner);
    }
    let is_folder = desk.input.tree.is_folder(&place.tree);
    match (is_folder, read_only) {
        (true, true) => bundle(desk, files, &place, ""),
        // A folder that a service writes to holds both what Git says and what the service made. It cannot be a new
        // folder at each commit, or the service's own files would be gone.
        (true, false) => overlay(desk, files, &place),
        (false, _) => state_path(desk, &place.relative),
    }
}

/// What the commit holds and we do not have must not be taken for an empty folder.
fn refuse_left_out(desk: &mut Desk<'_>, attribute: &str, path: &TreePath) {
    let tree = desk.input.tree;
    let itself = tree.left_out_at(path).map(|why| (path, why));
    if let Some((path, why)) = itself.or_else(|| tree.left_out_below(path).next()) {
        let message = format!("{path} is left out of the commit: {why}");
        desk.refuse(attribute, message, "the service would find something else in its place");
    }
}

/// Files that stand for other ones: see [`sealed`].
fn refuse_sealed(desk: &mut Desk<'_>, (service, attribute): (&ServiceName, &str), path: &TreePath) {
    let Input { project, tree, .. } = desk.input;
    let own = project.services.get(service).map(|service| &service.extensions);
    if own.is_some_and(sealed::allows) || sealed::allows(&project.extensions) {
        return;
    }
    let single = tree.file(path).map(|file| (path, file));
    let found = single.into_iter().chain(tree.below(path)).find_map(|(path, file)| {
        sealed::of_file(&file.bytes).map(|seal| format!("{path} would be given as {seal}"))
    });
    if let Some(message) = found {
        desk.refuse(attribute, message, sealed::HELP);
    }
}

/// Where the device of a bound volume lies on the host (`driver_opts: {o: bind, device: ./data}`).
pub(super) fn volume_device(desk: &Desk<'_>, path: &str) -> String {
    relative(desk, path).map_or_else(|| path.to_owned(), |place| state_path(desk, &place.relative))
}

/// The same, unless relative paths are to be taken as docker compose takes them, from a folder on the host.
fn relative(desk: &Desk<'_>, path: &str) -> Option<Place> {
    match desk.input.paths {
        RelativePaths::AsWritten => None,
        RelativePaths::FromGit => place(desk, path),
    }
}

/// The folder on the host that keeps what a relative bind mount holds that is not in Git: it is state, is made when it is
/// first mounted, and is never removed.
fn state_path(desk: &Desk<'_>, relative: &str) -> String {
    let Input { stack, host_data, directory, .. } = desk.input;
    StackFolder::of(stack, host_data, directory).at(relative)
}

/// The folder on the host that holds a stack's bundles, and nothing else.
pub(super) fn bundles_folder(input: &Input<'_>) -> String {
    format!("{}/files/{}", input.host_data, input.stack)
}

/// Files at or below a place, by path below it.
fn content(desk: &Desk<'_>, place: &Place) -> BTreeMap<String, BundleFile> {
    let tree = desk.input.tree;
    // What is over is said once, for the whole stack.
    let cost: u64 = tree
        .below(&place.tree)
        .map(|(path, file)| 256 + (path.as_str().len() + file.bytes.len() / 4) as u64)
        .sum();
    if desk.budget.steps(6 * cost).is_err() {
        return BTreeMap::new();
    }
    let one = |file: &crate::model::TreeFile| BundleFile {
        mode: file.mode,
        bytes: Arc::clone(&file.bytes),
    };
    if let Some(file) = tree.file(&place.tree) {
        return BTreeMap::from([(String::new(), one(file))]);
    }
    let skip = if place.tree.as_str().is_empty() { 0 } else { place.tree.as_str().len() + 1 };
    tree.below(&place.tree)
        .filter_map(|(path, file)| Some((path.as_str().get(skip..)?.to_owned(), one(file))))
        .collect()
}

/// The name of a bundle: a digest over paths, modes and content, keyed by the Engine, so that a short secret among the files
/// cannot be guessed from the name of their folder. Lengths are part of it: no two lists of files run into one another.
fn digest(desk: &Desk<'_>, what: &str, files: &BTreeMap<String, BundleFile>) -> Digest {
    let mut whole = what.as_bytes().to_vec();
    for (path, file) in files {
        whole.extend(format!("\0{path}\0{:?}\0{}\0", file.mode, file.bytes.len()).into_bytes());
        whole.extend(file.bytes.iter());
    }
    desk.digest(&whole)
}

/// Adds a bundle by content; its path in the container's bind.
fn bundle(desk: &mut Desk<'_>, files: &mut Files, place: &Place, owner: &str) -> String {
    let content: BTreeMap<String, BundleFile> = content(desk, place)
        .into_iter()
        .map(|(path, file)| {
            let whole = format!("{}/{path}", place.relative);
            (whole.trim_matches('/').to_owned(), file)
        })
        .collect();
    let digest = digest(desk, owner, &content);
    let folder = format!("{}/{}", bundles_folder(&desk.input), digest.short());
    let time = desk.input.tree.time();
    files.bundles.insert(digest.clone());
    let source = format!("{folder}/{}", place.relative);
    desk.bundles.entry(digest).or_insert_with(|| {
        Arc::new(FileBundle { host_path: folder, files: content, overlay: false, time })
    });
    source.trim_end_matches('/').to_owned()
}

/// A folder that a service may write to and in which the commit has files: the files are laid into the state, and whatever the
/// service made of them stays.
fn overlay(desk: &mut Desk<'_>, files: &mut Files, place: &Place) -> String {
    let content = content(desk, place);
    let host_path = state_path(desk, &place.relative);
    let time = desk.input.tree.time();
    let digest = digest(desk, &format!("overlay {}", place.relative), &content);
    files.bundles.insert(digest.clone());
    files.overlays.insert(digest.clone());
    desk.bundles.entry(digest).or_insert_with(|| {
        Arc::new(FileBundle { host_path: host_path.clone(), files: content, overlay: true, time })
    });
    host_path
}

/// A config or secret as it is used: where it is declared, and what it consists of.
struct Source<'a> {
    kind: &'a str,
    path: String,
    file: &'a str,
    content: &'a str,
    variable: &'a str,
    value: Option<&'a Secret<String>>,
    external: bool,
    driver: bool,
}

/// Adds a service's configs and secrets.
pub(super) fn attach(
    desk: &mut Desk<'_>,
    files: &mut Files,
    name: &ServiceName,
    service: &Service,
) {
    let project = desk.input.project;
    for (place, mount) in service.configs.iter().enumerate() {
        let Some(config) = project.configs.get(&mount.source) else { continue };
        let source = Source {
            kind: "config",
            path: format!("services.{name}.configs.{place}"),
            file: &config.file,
            content: &config.content,
            variable: &config.environment,
            value: config.value.as_ref(),
            external: config.external,
            driver: !config.driver.is_empty() || !config.template_driver.is_empty(),
        };
        let target = target(mount, "/");
        attach_one(desk, files, (service, name), (mount, &source, target));
    }
    for (place, mount) in service.secrets.iter().enumerate() {
        let Some(secret) = project.secrets.get(&mount.source) else { continue };
        let source = Source {
            kind: "secret",
            path: format!("services.{name}.secrets.{place}"),
            file: &secret.file,
            content: "",
            variable: &secret.environment,
            value: secret.value.as_ref(),
            external: secret.external,
            driver: !secret.driver.is_empty() || !secret.template_driver.is_empty(),
        };
        let target = target(mount, "/run/secrets/");
        attach_one(desk, files, (service, name), (mount, &source, target));
    }
}

/// Absolute path in the container.
fn target(mount: &FileMount, folder: &str) -> String {
    match mount.target.as_str() {
        "" => format!("{folder}{}", mount.source),
        target if target.starts_with('/') || target.get(1..2) == Some(":") => target.to_owned(),
        target => format!("{folder}{target}"),
    }
}

/// One config or secret of a service (Compose Specification, `configs` and `secrets`): as a file from Git that is mounted, or as
/// content that is copied into the container before it starts. The target defaults to `/NAME` for a config and to
/// `/run/secrets/NAME` for a secret.
fn attach_one(
    desk: &mut Desk<'_>,
    files: &mut Files,
    (service, name): (&Service, &ServiceName),
    (mount, source, target): (&FileMount, &Source<'_>, String),
) {
    let Source { kind, path, file, content, variable, value, external, driver } = source;
    if *external || *driver {
        let what = if *external { "external" } else { "driver-made" };
        let message = format!("{what} {kind} {} is not supported", mount.source);
        desk.refuse(path.as_str(), message, "use `file`, `content` or `environment`");
    } else if !file.is_empty() {
        let asks_more = !mount.uid.is_empty() || !mount.gid.is_empty() || mount.mode.is_some();
        if asks_more {
            let message =
                format!("owner and mode of {kind} {} are ignored: it is a file", mount.source);
            desk.warn(path.as_str(), message, "a file of the repository has its mode from Git");
        }
        let source = file_source(desk, files, name, (path, file));
        files.mounts.push(Mount {
            kind: "bind".to_owned(),
            source,
            target,
            read_only: true,
            ..Mount::default()
        });
    } else {
        if service.read_only {
            let message = format!("{kind} {} cannot be put into a read-only service", mount.source);
            desk.refuse(path.as_str(), message, "use a file of the repository");
        }
        let bytes = match (variable.is_empty(), value) {
            (true, _) => content.as_bytes(),
            (false, Some(value)) => value.reveal().as_bytes(),
            (false, None) => {
                let message = format!("{kind} {} needs the variable {variable}", mount.source);
                desk.refuse(path.as_str(), message, "set it in the stack's environment");
                return;
            }
        };
        // Each container has a copy of its own, which is packed as well.
        if desk.budget.bytes(bytes.len() + bytes.len() / 2).is_err() {
            return;
        }
        files.uploads.push(Upload {
            target,
            bytes: bytes.into(),
            mode: mount.mode.map_or(0o444, |Octal(bits)| bits),
            uid: mount.uid.parse().unwrap_or(0),
            gid: mount.gid.parse().unwrap_or(0),
        });
    }
}

/// The file of a config or secret, read-only: the service is given what the commit says.
fn file_source(
    desk: &mut Desk<'_>,
    files: &mut Files,
    service: &ServiceName,
    (attribute, file): (&str, &str),
) -> String {
    if let Some(place) = relative(desk, file) {
        let tree = desk.input.tree;
        let is_there = tree.file(&place.tree).is_some() || tree.is_folder(&place.tree);
        if !is_there && tree.left_out_at(&place.tree).is_none() {
            let message = format!("{} is not in the repository", place.tree);
            desk.refuse(attribute, message, "add the file, or name one by its absolute path");
            return file.to_owned();
        }
    }
    bind_source(desk, files, (service, attribute), (file, true))
}

/// The value of the label `moorline.files`: what of a container's files its paths do not tell. `None` when there is
/// nothing of that kind.
pub(super) fn label(desk: &Desk<'_>, files: &Files) -> Option<String> {
    if files.overlays.is_empty() && files.uploads.is_empty() {
        return None;
    }
    let mut whole: Vec<u8> = Vec::new();
    for digest in &files.overlays {
        whole.extend(digest.as_str().bytes());
    }
    for Upload { target, bytes, mode, uid, gid } in &files.uploads {
        whole.extend(format!("\0{target}\0{mode:o}\0{uid}:{gid}\0{}\0", bytes.len()).into_bytes());
        whole.extend(bytes.iter());
    }
    Some(format!("v1:{}", desk.digest(&whole)))
}

/// The path in the tree of a path of the model; `None` when it lies elsewhere.
pub(super) fn tree_path(desk: &Desk<'_>, path: &str) -> Option<TreePath> {
    place(desk, path).map(|place| place.tree)
}
