//! One Compose project, read where it lies today: its model, and the files that it is made from.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::nouns::add;
use super::sources::Unit;
use crate::compose::{self, Files, LoadPurpose, LoadRequest, Lookup, ReadProblem};
use crate::model::{Project, ServiceName};

/// Bytes of one file that a project is made from.
const LARGEST: u64 = 10 << 20;
/// The file that takes the place of env files outside Git, beside the Compose files.
pub(super) const OVERRIDE_FILE: &str = "compose.moorline.yaml";

/// A project as it is on the disk.
#[derive(Debug)]
pub(super) struct Loaded {
    /// The model, with the variables of env files among the services'.
    pub(super) project: Project,
    /// The same without services' env files; `None` where that cannot be told apart.
    pub(super) bare: Option<Project>,
    /// Active profiles.
    pub(super) profiles: Vec<String>,
    /// Compose files in the order in which they are merged, absolute.
    pub(super) files: Vec<String>,
    /// What `~` stands for in them.
    pub(super) home: Option<String>,
    /// Everything that was read, by absolute path.
    pub(super) read: BTreeMap<String, Arc<[u8]>>,
    /// Env files for interpolation.
    pub(super) variables_of: BTreeSet<String>,
    /// Env files of services, where they are not for interpolation too.
    pub(super) services_of: BTreeSet<String>,
}

impl Loaded {
    /// The files that belong into the repository as they are: Compose files, whatever they include or extend, label files.
    pub(super) fn manifests(&self) -> impl Iterator<Item = (&String, &Arc<[u8]>)> {
        self.read.iter().filter(|(path, _)| {
            !self.variables_of.contains(*path) && !self.services_of.contains(*path)
        })
    }
}

/// Reads a project.
///
/// # Errors
/// Why it cannot be read, one problem a line.
pub(super) fn load(unit: &Unit<'_>, home: Option<&str>) -> Result<Loaded, String> {
    let folder = unit.folder.clone().ok_or("its containers do not say which folder it is in")?;
    if let Some(missing) = unit.files.iter().find(|file| !Path::new(file).is_file()) {
        return Err(format!("{missing} is not on this machine, or cannot be read"));
    }
    let disk = Disk::default();
    let first = load_with(unit, (&disk, &folder, home), &[], &[])?;
    let profiles = profiles(unit, &first);
    let disk = Disk::default();
    let project = load_with(unit, (&disk, &folder, home), &[], &profiles)?;
    if let Some(service) = missing_service(unit, &project) {
        return Err(format!(
            "its files do not know the service {service}, which runs: they are not what was deployed"
        ));
    }
    let read = disk.read.into_inner();
    let files = files_of(unit, &folder, &read);
    let bare_disk = Disk { extra: Some(resets(&folder, &project)), ..Disk::default() };
    let bare = load_with(unit, (&bare_disk, &folder, home), &files, &profiles).ok();
    let bare_read = bare_disk.read.into_inner();
    let labels: BTreeSet<&String> =
        project.services.values().flat_map(|service| &service.label_file).collect();
    let is_env =
        |path: &&String| !files.contains(*path) && !is_yaml(path) && !labels.contains(path);
    let (variables_of, services_of) = read
        .keys()
        .filter(is_env)
        .cloned()
        .partition(|path| bare.is_none() || bare_read.contains_key(path));
    let home = home.map(str::to_owned);
    Ok(Loaded { project, bare, profiles, files, home, read, variables_of, services_of })
}

fn load_with(
    unit: &Unit<'_>,
    (disk, folder, home): (&Disk, &str, Option<&str>),
    files: &[String],
    profiles: &[String],
) -> Result<Project, String> {
    let own = if files.is_empty() { &unit.files } else { files };
    let with_extra: Vec<String> =
        own.iter().chain(disk.extra.as_ref().map(|(path, _)| path)).cloned().collect();
    let loaded = compose::load(&LoadRequest {
        files: disk,
        folder,
        compose_files: &with_extra,
        lookup: Lookup::Folder,
        profiles,
        variables: &BTreeMap::new(),
        given: &[],
        env_files: &unit.env_files,
        shared_env_files: &[],
        project_name: Some(unit.project.as_str()).filter(|name| !name.is_empty()),
        default_name: None,
        // With `-f` elsewhere, the folder is what `--project-directory` said.
        project_directory: (!own.is_empty()).then_some(folder),
        home,
        purpose: LoadPurpose::Show,
    });
    loaded.project.ok_or_else(|| {
        let errors: Vec<String> = loaded.problems.0.iter().map(ToString::to_string).collect();
        errors.join("\n")
    })
}

/// The Compose files: those that the containers name, or Compose's own names.
fn files_of(unit: &Unit<'_>, folder: &str, read: &BTreeMap<String, Arc<[u8]>>) -> Vec<String> {
    if !unit.files.is_empty() {
        return unit.files.clone();
    }
    let names = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
    let overrides = [
        "compose.override.yml",
        "compose.override.yaml",
        "docker-compose.override.yml",
        "docker-compose.override.yaml",
    ];
    let all = names.into_iter().chain(overrides).map(|name| format!("{folder}/{name}"));
    all.filter(|path| read.contains_key(path)).collect()
}

/// Profiles without which services that run would not be there.
fn profiles(unit: &Unit<'_>, project: &Project) -> Vec<String> {
    let running: BTreeSet<&str> =
        unit.containers.iter().filter_map(|container| container.service.as_deref()).collect();
    let hidden = project.disabled.iter().filter(|(name, _)| running.contains(name.as_str()));
    let mut needed: BTreeSet<String> =
        hidden.filter_map(|(_, service)| service.profiles.first().cloned()).collect();
    let active = project.services.values().filter(|service| !service.profiles.is_empty());
    needed.extend(active.filter_map(|service| service.profiles.first().cloned()));
    needed.into_iter().collect()
}

fn missing_service<'a>(unit: &'a Unit<'_>, project: &Project) -> Option<&'a str> {
    let mut running = unit.containers.iter().filter_map(|container| container.service.as_deref());
    running.find(|name| {
        ServiceName::parse(name).map_or(true, |name| !project.services.contains_key(&name))
    })
}

/// A Compose file that takes away every env file of services.
fn resets(folder: &str, project: &Project) -> (String, Arc<[u8]>) {
    let mut text = "services:\n".to_owned();
    for name in project.services.keys() {
        add(
            &mut text,
            format_args!("  {name:?}:\n    env_file: !reset []\n", name = name.as_str()),
        );
    }
    (format!("{folder}/{OVERRIDE_FILE}"), text.into_bytes().into())
}

pub(super) fn is_yaml(path: &str) -> bool {
    let end = Path::new(path).extension();
    end.is_some_and(|end| end.eq_ignore_ascii_case("yaml") || end.eq_ignore_ascii_case("yml"))
}

/// The disk; remembers what was read.
#[derive(Default)]
struct Disk {
    read: RefCell<BTreeMap<String, Arc<[u8]>>>,
    extra: Option<(String, Arc<[u8]>)>,
}

impl Files for Disk {
    fn read(&self, path: &str) -> Result<Arc<[u8]>, ReadProblem> {
        if let Some((_, bytes)) = self.extra.as_ref().filter(|(own, _)| own == path) {
            return Ok(Arc::clone(bytes));
        }
        let problem = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
                ReadProblem::NotFound
            }
            std::io::ErrorKind::IsADirectory => ReadProblem::IsFolder,
            _ => ReadProblem::Other(error.to_string()),
        };
        let facts = std::fs::metadata(path).map_err(problem)?;
        if facts.is_dir() {
            return Err(ReadProblem::IsFolder);
        }
        if facts.len() > LARGEST {
            return Err(ReadProblem::Other("it is too large".to_owned()));
        }
        let bytes: Arc<[u8]> = std::fs::read(path).map_err(problem)?.into();
        self.read.borrow_mut().insert(path.to_owned(), Arc::clone(&bytes));
        Ok(bytes)
    }

    fn is_folder(&self, path: &str) -> bool {
        Path::new(path).is_dir()
    }

    fn may_refer(&self, _path: &str) -> bool {
        true
    }

    fn show(&self, path: &str) -> String {
        path.to_owned()
    }
}
