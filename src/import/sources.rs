//! Where stacks come from: Compose projects that run, and folders that hold one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::config::fleet_file::COMPOSE_FILES;
use crate::docker::FoundContainer;
use crate::model::HostName;

use super::nouns::LeftAlone;

/// What runs on a host.
#[derive(Debug)]
pub struct HostFindings {
    /// The host.
    pub host: HostName,
    /// All of its containers.
    pub containers: Vec<FoundContainer>,
}

/// One Compose project, as it is today.
#[derive(Debug, Default)]
pub(super) struct Unit<'a> {
    /// The project's name; empty for a folder, whose files say it.
    pub(super) project: String,
    /// Where it runs.
    pub(super) hosts: BTreeSet<HostName>,
    /// Its containers.
    pub(super) containers: Vec<&'a FoundContainer>,
    /// The folder where docker compose ran.
    pub(super) folder: Option<String>,
    /// Its Compose files; empty for Compose's own names.
    pub(super) files: Vec<String>,
    /// Env files that were named in place of `.env`.
    pub(super) env_files: Vec<String>,
    /// Its folder on its hosts, where its files were read from another one.
    pub(super) directory: Option<String>,
}

/// The projects that run, by name, and what is none.
pub(super) fn running<'a>(
    findings: &'a [HostFindings],
    wanted: &BTreeSet<String>,
    left: &mut Vec<LeftAlone>,
) -> BTreeMap<String, Unit<'a>> {
    let mut units: BTreeMap<String, Unit<'a>> = BTreeMap::new();
    for HostFindings { host, containers } in findings {
        for container in containers {
            let is_meant = |name: &str| wanted.is_empty() || wanted.contains(name);
            let left_alone = |why: &str| LeftAlone {
                what: format!("container {} on {host}", container.name),
                why: why.to_owned(),
            };
            match (&container.project, &container.stack) {
                (_, Some(stack)) if is_meant(stack) => {
                    let why = format!("Moorline keeps it already, as stack {stack}");
                    left.push(left_alone(&why));
                }
                (None, None) if wanted.is_empty() => left.push(left_alone(
                    "docker compose did not make it, so no Compose file says what it is to be",
                )),
                (Some(project), None) if is_meant(project) => {
                    if container.one_off {
                        left.push(left_alone("`docker compose run` made it; it is no service's"));
                        continue;
                    }
                    let unit = units.entry(project.clone()).or_default();
                    unit.project.clone_from(project);
                    unit.hosts.insert(host.clone());
                    unit.containers.push(container);
                }
                _ => {}
            }
        }
    }
    for unit in units.values_mut() {
        settle(unit);
    }
    units
}

/// What the newest container says of its files is what ran last.
fn settle(unit: &mut Unit<'_>) {
    let named = unit.containers.iter().filter(|container| container.folder.is_some());
    let Some(newest) = named.max_by_key(|container| container.created_at) else { return };
    unit.folder.clone_from(&newest.folder);
    unit.files.clone_from(&newest.files);
    unit.env_files.clone_from(&newest.env_files);
}

/// The folders with a Compose file at and below these.
pub(super) fn folders(given: &[PathBuf], left: &mut Vec<LeftAlone>) -> Vec<String> {
    let mut found = BTreeSet::new();
    for folder in given {
        let mut below = BTreeSet::new();
        walk(folder, 0, &mut below, left);
        if below.is_empty() {
            left.push(LeftAlone {
                what: folder.display().to_string(),
                why: format!("no folder at or below it holds one of {}", COMPOSE_FILES.join(", ")),
            });
        }
        found.extend(below);
    }
    found.into_iter().collect()
}

/// How deep folders of Compose files are looked for.
const DEEPEST: usize = 4;

fn walk(folder: &Path, depth: usize, found: &mut BTreeSet<String>, left: &mut Vec<LeftAlone>) {
    if COMPOSE_FILES.iter().any(|name| folder.join(name).is_file()) {
        found.extend(folder.to_str().map(str::to_owned));
        // What lies below belongs to this project, unless it is the root of a collection.
        if depth > 0 {
            return;
        }
    }
    if depth == DEEPEST {
        return;
    }
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            let what = folder.display().to_string();
            left.push(LeftAlone { what, why: format!("it cannot be read: {error}") });
            return;
        }
    };
    let mut names: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .map(|entry| entry.path())
        .filter(|path| path.is_dir() && !path.is_symlink())
        .collect();
    names.sort();
    for name in names {
        walk(&name, depth + 1, found, left);
    }
}
