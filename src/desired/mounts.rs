//! Volumes, binds and mounts.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::desk::{Desk, at};
use super::files::{self, Files};
use super::payload::{container_name, resource_labels};
use crate::model::project::{BindOption, Service, ServiceVolume, Volume, VolumeOption};
use crate::model::{
    BindOptions, DesiredVolume, HostConfig, ImageOptions, Mount, Replica, ServiceName,
    TmpfsOptions, VolumeOptions, VolumeSpec,
};

/// The project's volumes.
pub(super) fn volumes(desk: &mut Desk<'_>) -> BTreeMap<String, Arc<DesiredVolume>> {
    let project = desk.input.project;
    let mut made = BTreeMap::new();
    for (key, volume) in &project.volumes {
        let Volume { name, driver, driver_opts, external, labels } = volume;
        // Nothing but the name is ours to say of what somebody else made: driver and labels would only ever look like
        // drift.
        let spec = if *external {
            VolumeSpec { name: name.clone(), ..VolumeSpec::default() }
        } else {
            VolumeSpec {
                name: name.clone(),
                driver: driver.clone(),
                driver_opts: options(desk, driver_opts),
                labels: resource_labels(desk, "volume", key, labels),
            }
        };
        let origin = project.origins.nearest(&format!("volumes.{key}"));
        let volume = DesiredVolume { origin, external: *external, spec };
        made.insert(key.clone(), Arc::new(volume));
    }
    made
}

/// Driver options; the folder of a bound one lies where state lies.
fn options(desk: &Desk<'_>, asked: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut options = asked.clone();
    // The `local` driver of the Engine takes what `mount(8)` takes. With `bind` among the flags the device is a folder
    // of the host, which the Engine does not make: relative ones lie with the rest of the stack's state.
    let bound = options.get("o").is_some_and(|flags| flags.split(',').any(|flag| flag == "bind"));
    if bound && let Some(device) = options.get_mut("device") {
        *device = files::volume_device(desk, device);
    }
    options
}

/// Writes a service's mounts into its host configuration. Configs and secrets are among `files` already.
///
/// One mount a target, the last one named: the Engine refuses two. Merging files does so already; within one file it is
/// the reference's rule as well. Which form is used shows in inspect (`HostConfig.Binds` or `HostConfig.Mounts`), so it
/// is chosen as docker compose chooses it: otherwise taking over its containers would replace them all. Files from Git
/// are put there before the container is made. If they are not there, that is an error to be seen, and not an empty
/// folder in place of a configuration. By target, since the order of mounts has no meaning below different targets, and
/// a container with `/a` and `/a/b` needs the outer one first.
pub(super) fn write(
    desk: &mut Desk<'_>,
    host: &mut HostConfig,
    files: &mut Files,
    (name, service): (&ServiceName, &Service),
) {
    let mut by_target: BTreeMap<&str, (usize, &ServiceVolume)> = BTreeMap::new();
    for (place, volume) in service.volumes.iter().enumerate() {
        by_target.insert(&volume.target, (place, volume));
    }
    for (place, volume) in by_target.into_values() {
        let attribute = at(name, &format!("volumes.{place}"));
        check(desk, &attribute, volume);
        let source = source(desk, files, (name, &attribute), volume);
        if as_bind(volume) && !is_bundled(desk, files, &source, volume) {
            host.binds.push(bind(&source, volume));
        } else {
            let bundled = is_bundled(desk, files, &source, volume);
            let mut mount = mount(source, volume);
            if let Some(options) = mount.bind_options.as_mut().filter(|_| bundled) {
                options.create_mountpoint = false;
            }
            host.mounts.push(mount);
        }
    }
    host.mounts.append(&mut files.mounts);
    host.mounts.sort_by(|a, b| a.target.cmp(&b.target));
    for entry in &service.tmpfs {
        let (target, options) = entry.split_once(':').unwrap_or((entry, ""));
        host.tmpfs.insert(target.to_owned(), options.to_owned());
    }
}

/// The source in the Engine's words: a host path, a volume's name, an image.
fn source(
    desk: &mut Desk<'_>,
    files: &mut Files,
    place: (&ServiceName, &str),
    volume: &ServiceVolume,
) -> String {
    match volume.kind.as_str() {
        "bind" => files::bind_source(desk, files, place, (&volume.source, volume.read_only)),
        "volume" => desk
            .input
            .project
            .volumes
            .get(&volume.source)
            // The key is the manifest's; the name on the host has the project before it, unless `name` or `external`
            // say otherwise.
            .map_or_else(|| volume.source.clone(), |declared| declared.name.clone()),
        _ => volume.source.clone(),
    }
}

/// Whether a bind is of files from Git. The Engine would make a folder where such a file is missing, if it were asked in
/// the short form; only labels of SELinux cannot be said in the long one.
fn is_bundled(desk: &Desk<'_>, files: &Files, source: &str, volume: &ServiceVolume) -> bool {
    let relabels = volume.bind.as_ref().is_some_and(|bind| !bind.selinux.is_empty());
    let mut own = files.bundles.iter().filter_map(|digest| desk.bundles.get(digest));
    !relabels && own.any(|bundle| !bundle.overlay && source.starts_with(&bundle.host_path))
}

/// Whether the short form of the Engine says everything, as the reference decides.
fn as_bind(volume: &ServiceVolume) -> bool {
    match volume.kind.as_str() {
        // `Binds` has no word for a source that must exist, for the propagation, or for what is mounted below: each of
        // them needs the long form.
        "bind" => volume.bind.as_ref().is_none_or(|bind| {
            bind.create_host_path && bind.propagation.is_empty() && bind.recursive.is_empty()
        }),
        "volume" => {
            !volume.source.is_empty()
                && volume.volume.as_ref().is_none_or(|options| {
                    !options.nocopy && options.subpath.is_empty() && options.labels.is_empty()
                })
        }
        _ => false,
    }
}

/// A mount as `Binds` takes it, `SOURCE:TARGET:MODE`: the older words, in which the Engine makes a missing folder of the host,
/// as the short syntax of Compose promises.
fn bind(source: &str, volume: &ServiceVolume) -> String {
    let mut options = vec![if volume.read_only { "ro" } else { "rw" }];
    if let Some(bind) = &volume.bind {
        // `z` shares the label among containers, `Z` keeps it for one. Only `Binds` has words for it, in every version
        // of the API so far.
        options.extend([bind.selinux.as_str()].into_iter().filter(|label| !label.is_empty()));
    }
    format!("{source}:{}:{}", volume.target, options.join(","))
}

/// A mount as `Mounts` takes it: for what `Binds` has no words for. There a missing folder of the host is an
/// error, unless `create_host_path` asks for it.
///
/// Octal in the manifest, a plain number on the wire: `0o1777` is 1023.
fn mount(source: String, volume: &ServiceVolume) -> Mount {
    let ServiceVolume {
        kind,
        source: _,
        target,
        read_only,
        consistency,
        bind,
        volume: volume_options,
        tmpfs,
        image,
    } = volume;
    Mount {
        kind: kind.clone(),
        source,
        target: target.clone(),
        read_only: *read_only,
        consistency: consistency.clone(),
        bind_options: bind.as_ref().map(bind_options),
        volume_options: volume_options
            .as_ref()
            .map(|VolumeOption { labels, nocopy, subpath }| VolumeOptions {
                no_copy: *nocopy,
                labels: labels.clone(),
                driver_config: None,
                subpath: subpath.clone(),
            })
            .filter(|options| *options != VolumeOptions::default()),
        tmpfs_options: tmpfs.as_ref().map(|tmpfs| TmpfsOptions {
            size_bytes: tmpfs.size.0,
            mode: i64::from(tmpfs.mode),
            options: Vec::new(),
        }),
        image_options: image
            .as_ref()
            .map(|image| ImageOptions { subpath: image.subpath.clone() })
            .filter(|options| !options.subpath.is_empty()),
    }
}

/// `volumes.bind` in the Engine's words; its defaults are left out, so that nothing looks as if it was asked for.
fn bind_options(bind: &BindOption) -> BindOptions {
    let BindOption { selinux: _, propagation, create_host_path, recursive } = bind;
    BindOptions {
        propagation: propagation.clone(),
        non_recursive: recursive == "disabled",
        create_mountpoint: *create_host_path,
        read_only_non_recursive: recursive == "writable",
        read_only_force_recursive: recursive == "readonly",
    }
}

/// What this Engine, or any, cannot mount.
fn check(desk: &mut Desk<'_>, path: &str, volume: &ServiceVolume) {
    let subpath = volume.volume.as_ref().is_some_and(|options| !options.subpath.is_empty());
    // An older Engine ignores fields that it does not know. A `subpath` that it ignored would mount the whole volume in
    // its place, and a service could write over its neighbour's data.
    if subpath && !desk.speaks(1, 45) {
        desk.refuse(
            path,
            "this Engine cannot mount a folder inside a volume",
            "it needs API 1.45 (Engine 26)",
        );
    }
    if volume.kind == "image" && !desk.speaks(1, 48) {
        desk.refuse(path, "this Engine cannot mount images", "it needs API 1.48 (Engine 28)");
    }
    let recursive = volume.bind.as_ref().map_or("", |bind| bind.recursive.as_str());
    // Before that, what was mounted below a read-only bind stayed writable, whatever was asked for: the kernel call
    // (`mount_setattr`, Linux 5.12) came later.
    if matches!(recursive, "writable" | "readonly") && !desk.speaks(1, 44) {
        desk.refuse(
            path,
            "this Engine has no recursive read-only mounts",
            "it needs API 1.44 (Engine 25)",
        );
    }
}

/// `volumes_from` in the Engine's words, and the replicas that it shares with.
pub(super) fn volumes_from(desk: &Desk<'_>, service: &Service) -> (Vec<String>, Vec<Replica>) {
    let mut from = Vec::new();
    let mut shares = Vec::new();
    for entry in &service.volumes_from {
        // A container outside the project: no service stands for it, so nobody can follow when it is made anew.
        if let Some(container) = entry.strip_prefix("container:") {
            from.push(container.to_owned());
            continue;
        }
        let (name, mode) = entry.split_once(':').unwrap_or((entry, ""));
        let Some((key, other)) = desk.input.project.services.get_key_value(name) else { continue };
        let container = container_name(desk, name, other, 1);
        from.push(if mode.is_empty() { container } else { format!("{container}:{mode}") });
        shares.push(Replica { service: key.clone(), number: 1 });
    }
    (from, shares)
}
