//! Relative paths made absolute.

use super::files::{Files, clean, is_remote, is_windows_absolute, join};
use super::place::Place;
use crate::model::Diagnostics;
use crate::yaml::{Kind, Node, Scalar};

/// What paths are resolved against.
pub(super) struct Paths<'a> {
    /// The files that they may refer to.
    pub(super) files: &'a dyn Files,
    /// The folder for relative paths.
    pub(super) folder: &'a str,
    /// The folder that `~` stands for.
    pub(super) home: Option<&'a str>,
}

impl Paths<'_> {
    /// Makes all relative paths of a canonical model absolute.
    ///
    /// Only where the Specification says that an attribute is a path: `command: ./run` is a word for the container.
    pub(super) fn resolve(&self, root: &mut Node, problems: &mut Diagnostics) {
        let Kind::Map(top) = &mut root.kind else { return };
        for entry in top {
            let place = Place::TOP.key(&entry.key);
            let Kind::Map(members) = &mut entry.value.kind else { continue };
            for member in members {
                let here = place.key(&member.key);
                match entry.key.as_str() {
                    "services" => self.service(&mut member.value, here, problems),
                    "configs" | "secrets" => self.field(&mut member.value, "file", here, problems),
                    "volumes" => self.volume(&mut member.value, here, problems),
                    _ => {}
                }
            }
        }
    }

    /// Makes all relative paths of a canonical service absolute.
    pub(super) fn service(&self, service: &mut Node, place: Place<'_>, problems: &mut Diagnostics) {
        let Kind::Map(map) = &mut service.kind else { return };
        if let Some(build) = map.get_mut("build") {
            self.build(build, place.key("build"), problems);
        }
        for key in ["env_file", "label_file"] {
            self.items(
                map.get_mut(key),
                place.key(key),
                problems,
                |paths, item, here, problems| match item.kind {
                    Kind::Map(_) => paths.field(item, "path", here, problems),
                    Kind::Scalar(_) | Kind::List(_) => paths.scalar(item, here, problems),
                },
            );
        }
        let keys =
            map.get_mut("build").and_then(Node::as_map_mut).and_then(|build| build.get_mut("ssh"));
        self.items(keys, place.key("build.ssh"), problems, Self::key);
        self.items(
            map.get_mut("volumes"),
            place.key("volumes"),
            problems,
            |paths, item, here, problems| {
                if item.get("type").and_then(Node::as_text) == Some("bind") {
                    paths.field(item, "source", here, problems);
                }
            },
        );
        self.items(map.get_mut("pre_start"), place.key("pre_start"), problems, Paths::service);
        if let Some(watch) = map.get_mut("develop").and_then(Node::as_map_mut) {
            self.items(
                watch.get_mut("watch"),
                place.key("develop"),
                problems,
                |paths, item, here, problems| {
                    paths.field(item, "path", here, problems);
                },
            );
        }
        if let Some(extends) = map.get_mut("extends") {
            self.field(extends, "file", place.key("extends"), problems);
        }
    }

    /// The path of an SSH key, `ID=PATH`; written as the reference writes it, `ID: PATH`.
    ///
    /// An agent's socket is named by its id alone, and has no path.
    fn key(&self, key: &mut Node, place: Place<'_>, problems: &mut Diagnostics) {
        let text = key.as_text().filter(|text| !text.contains(": "));
        let Some((id, path)) = text.and_then(|text| text.split_once('=')) else { return };
        match self.absolute(path) {
            Ok(path) => key.kind = Kind::Scalar(Scalar::quoted(format!("{id}: {path}"))),
            Err(message) => problems.push(key.error(message).at(place.to_string())),
        }
    }

    /// Paths of `build`: its context and the further ones, unless they are remote or another service's image.
    ///
    /// A context by a URL stays as it is; the Dockerfile is relative to the context and not to the manifest (Compose
    /// Build Specification, `dockerfile`).
    fn build(&self, build: &mut Node, place: Place<'_>, problems: &mut Diagnostics) {
        let Kind::Map(map) = &mut build.kind else { return };
        if let Some(context) = map.get_mut("context")
            && context.as_text().is_some_and(|text| {
                // A context without a name, or of another service's image, is no folder.
                !text.is_empty() && !text.starts_with("service:") && !is_remote(text)
            })
        {
            self.scalar(context, place.key("context"), problems);
        }
        if let Some(contexts) = map.get_mut("additional_contexts").and_then(Node::as_map_mut) {
            for entry in contexts {
                let keeps = |text: &str| {
                    text.contains("://") || text.starts_with("service:") || is_remote(text)
                };
                if entry.value.as_text().is_some_and(|text| !keeps(text)) {
                    let here = place.key("additional_contexts");
                    self.scalar(&mut entry.value, here.key(&entry.key), problems);
                }
            }
        }
    }

    /// The device of a volume that is a bind mount; only where the manifest names the driver, as in the reference.
    ///
    /// `driver_opts: {type: none, o: bind, device: ./data}` is the common way to give a folder a volume's name. Without
    /// `driver: local` the reference leaves the device as it is, and the Engine refuses it.
    fn volume(&self, volume: &mut Node, place: Place<'_>, problems: &mut Diagnostics) {
        let is_local = volume.get("driver").and_then(Node::as_text) == Some("local");
        let Some(options) = volume.as_map_mut().and_then(|map| map.get_mut("driver_opts")) else {
            return;
        };
        let is_bind = options.get("o").and_then(Node::as_text).is_some_and(|o| o == "bind");
        if is_local && is_bind {
            self.field(options, "device", place.key("driver_opts"), problems);
        }
    }

    /// Does something to each item of a list.
    fn items(
        &self,
        list: Option<&mut Node>,
        place: Place<'_>,
        problems: &mut Diagnostics,
        each: impl Fn(&Self, &mut Node, Place<'_>, &mut Diagnostics),
    ) {
        if let Some(Kind::List(items)) = list.map(|node| &mut node.kind) {
            for (index, item) in items.iter_mut().enumerate() {
                each(self, item, place.index(index), problems);
            }
        }
    }

    /// Makes one field absolute, where it is there and a single value.
    fn field(&self, node: &mut Node, key: &str, place: Place<'_>, problems: &mut Diagnostics) {
        if let Some(value) = node.as_map_mut().and_then(|map| map.get_mut(key))
            && matches!(value.kind, Kind::Scalar(_))
        {
            self.scalar(value, place.key(key), problems);
        }
    }

    /// Makes a path absolute, from the folder of the file that says it. One that leaves the repository by `..` is refused: what it
    /// names would be another file on each machine, and on the operator's. An absolute one is the host's own, and stays.
    fn scalar(&self, node: &mut Node, place: Place<'_>, problems: &mut Diagnostics) {
        let Some(text) = node.as_text() else { return };
        let path = match self.absolute(text) {
            Ok(path) => path,
            Err(message) => {
                problems.push(node.error(message).at(place.to_string()));
                return;
            }
        };
        if !text.starts_with(['/', '~'])
            && !is_windows_absolute(text)
            && !self.files.may_refer(&path)
        {
            problems.push(
                node.error(format!("{text:?} leaves the repository")).at(place.to_string()).help(
                    "move what it names into the repository, or give an absolute path of the host",
                ),
            );
            return;
        }
        node.kind = Kind::Scalar(Scalar::quoted(path));
    }

    /// A path as it is written, made absolute.
    ///
    /// `~` is the home of whoever runs the command, which a daemon has none of: there it is refused rather than
    /// guessed.
    pub(super) fn absolute(&self, text: &str) -> Result<String, String> {
        if let Some(rest) = text.strip_prefix('~') {
            return match self.home {
                Some(home) => Ok(clean(&format!("{home}/{rest}"))),
                None => Err("`~` stands for the variable HOME, which has no value here".to_owned()),
            };
        }
        if is_windows_absolute(text) || text.starts_with('/') {
            return Ok(text.to_owned());
        }
        Ok(join(self.folder, text))
    }
}
