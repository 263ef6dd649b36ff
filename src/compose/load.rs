//! From a request to a project.

use std::collections::{BTreeMap, BTreeSet};

use super::canonical::default_dockerfiles;
use super::consistency::{Checks, MAX_REPLICAS};
use super::convert::{Parts, convert};
use super::files::{Files, ReadProblem, is_remote, join, parent};
use super::interpolate::Env;
use super::loader::Loader;
use super::normalize::{name_resources, normalize, read_files, resolve_contents};
use super::text::dotenv::Variables;
use super::text::template;
use super::values::unset::Services;
use super::values::{LoadPurpose, sealed};
use crate::model::{
    Budget, Diagnostic, Diagnostics, GivenContent, GivenVariables, Location, Origins, Project,
    Service, ServiceName, StackName,
};
use crate::yaml::Node;

/// What a replica takes at least on its way to a plan: what is asked for, the steps, and what is said of them.
/// `deploy: {replicas: 10000}` is one line, and its plan is not: the budget counts what comes of it before anybody
/// makes it.
const REPLICA_BYTES: usize = 28 << 10;
/// So many names in `depends_on` take as much as a replica.
const LINKS_OF_A_REPLICA: usize = 16;
/// What it takes where the model is only shown: its name, and where it may sit.
const SHOWN_BYTES: usize = 1024;

/// The names that are looked for where none is given, in this order: the first that is there is taken (Compose Specification,
/// "Compose file").
/// The Specification prefers `compose.yaml`. The two older names still are what most repositories have.
const DEFAULT_FILES: [&str; 4] =
    ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
/// What is laid over it where it lies beside it.
const OVERRIDE_FILES: [&str; 4] = [
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];

/// Where Compose's own file names are looked for when no files are named.
///
/// Only the command line looks further up; a stack of the fleet file has its folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Lookup {
    /// In the folder only.
    #[default]
    Folder,
    /// In the folder and those above it, the nearest first.
    FolderAndAbove,
}

/// What is to be loaded. Paths are relative to `folder` unless they are absolute.
#[derive(Clone, Copy)]
pub struct LoadRequest<'a> {
    /// Where files come from.
    pub files: &'a dyn Files,
    /// The absolute folder that the paths below are relative to; for a tree it begins with
    /// [`super::TREE_ROOT`].
    pub folder: &'a str,
    /// Compose files in the order in which they are merged; empty for Compose's own names.
    pub compose_files: &'a [String],
    /// Where Compose's own names are looked for.
    pub lookup: Lookup,
    /// Active profiles; `*` for all. Empty for those of `COMPOSE_PROFILES`.
    pub profiles: &'a [String],
    /// Variables that have the place of the shell's: they win over all env files. `COMPOSE_FILE`,
    /// `COMPOSE_PROFILES`, `COMPOSE_PROJECT_NAME` and the like have their meaning.
    pub variables: &'a BTreeMap<String, String>,
    /// Variables from outside: they win over all others, later ones over earlier ones.
    pub given: &'a [&'a GivenVariables],
    /// Env files in place of `.env`.
    pub env_files: &'a [String],
    /// Further env files below those: of each, all places where it may be, later ones over earlier ones. One of them at
    /// least must be there.
    pub shared_env_files: &'a [Vec<String>],
    /// Project name; otherwise the manifest's, otherwise the default.
    pub project_name: Option<&'a str>,
    /// Project name where neither a request, a variable nor a manifest says one; otherwise the folder's.
    pub default_name: Option<&'a str>,
    /// The folder that relative paths in the first file are relative to; otherwise that file's folder.
    pub project_directory: Option<&'a str>,
    /// What `~` stands for where no variable `HOME` says otherwise.
    pub home: Option<&'a str>,
    /// What the model is for.
    pub purpose: LoadPurpose,
}

impl std::fmt::Debug for LoadRequest<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Variables may hold secrets.
        out.debug_struct("LoadRequest")
            .field("folder", &self.folder)
            .field("compose_files", &self.compose_files)
            .field("profiles", &self.profiles)
            .finish_non_exhaustive()
    }
}

/// What came of a request.
///
/// A project may be there beside errors: what can be read is shown, and whoever would act on it looks at the problems
/// first.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The project; `None` when a problem is an error.
    pub project: Option<Project>,
    /// Everything that is wrong or doubtful, by place.
    pub problems: Diagnostics,
    /// Absolute paths of the files that were read.
    pub files_used: Vec<String>,
    /// Variables from outside, as they came out.
    pub given: BTreeMap<String, String>,
}

/// Loads a project.
pub fn load(request: &LoadRequest<'_>) -> Loaded {
    load_within(request, &Budget::of_a_stack())
}

/// The same within a budget; what is over it is an error of this project.
///
/// A repository is written by more people than the operator, and one stack must not take the memory of the daemon that
/// keeps fifty others. So what a model may cost is counted while it grows, and being over is a problem of that manifest
/// like any other.
pub fn load_within(request: &LoadRequest<'_>, budget: &Budget) -> Loaded {
    let mut loader = Loader::new(request.files, request.home, budget);
    let project = load_with(request, &mut loader);
    // Where it did not come that far, which services are enabled is not known.
    let unset = loader.unset.judge(request.purpose, None);
    let mut problems = loader.problems;
    problems.0.splice(0..0, unset);
    if let Some(over) = budget.over() {
        let place = Location::file(request.files.show(request.folder));
        let message = format!("the files of this stack ask for {over}");
        let help = "divide it into several stacks, or look for what multiplies itself";
        // Also where a thousand other problems were found first.
        problems.0.insert(0, Diagnostic::error(place, message).help(help));
    }
    // What is wrong with one attribute is said once: later errors about it follow from the first.
    let mut seen = BTreeSet::new();
    // A warning does not stand for an error.
    problems.0.retain(|p| seen.insert((p.location.clone(), p.path.clone(), p.severity)));
    problems.0.sort_by(|a, b| (&a.location, &a.path).cmp(&(&b.location, &b.path)));
    Loaded {
        project: project.filter(|_| !problems.has_errors()),
        problems,
        files_used: loader.used.into_iter().collect(),
        given: loader.given,
    }
}

/// In the order of the reference: variables, files, name, model. Each needs the one before, and `.env` may itself say
/// which files there are (`COMPOSE_FILE`).
fn load_with(request: &LoadRequest<'_>, loader: &mut Loader<'_>) -> Option<Project> {
    let mut env: Env = request.variables.clone();
    give(request.given, loader, &mut env);
    loader.may_be_sealed |= env.values().any(|value| sealed::may_hold(value.as_bytes()));
    // As in the reference, $PWD is the folder where the command runs, whatever the shell says.
    env.entry("PWD".to_owned()).or_insert_with(|| request.folder.to_owned());
    let mut setting = Setting { request, loader };
    let files = setting.compose_files(&mut env)?;
    // The stack's own word on it has the last one: the same in `render` as where a daemon without a home runs it.
    if let Some(home) = env.get("HOME").filter(|home| !home.is_empty()) {
        setting.loader.home = Some(home.clone());
    }
    let folder = setting.project_folder(&files);
    let name = setting.project_name(&files, &folder, &env)?;
    env.insert("COMPOSE_PROJECT_NAME".to_owned(), name.to_string());
    let loader = setting.loader;
    let Some(mut model) = loader.model(&files, &folder, &env, &[]) else {
        if !loader.problems.has_errors() {
            let shown = files.first().map(|file| request.files.show(file)).unwrap_or_default();
            loader.problems.push(
                Diagnostic::error(Location::file(shown), "the Compose file is empty")
                    .help("it needs services:"),
            );
        }
        return None;
    };
    if model.as_map().is_none_or(crate::yaml::Map::is_empty) {
        if loader.problems.has_errors() {
            return None;
        }
        loader.problems.push(model.error("the Compose file is empty").help("it needs services:"));
        return None;
    }
    default_dockerfiles(&mut model);
    finish(request, loader, &model, (name, folder), &env)
}

/// Lays the variables from outside over those that are there.
///
/// What the operator says outside Git wins over what lies in Git: that is where passwords and differences between hosts
/// come from.
fn give(given: &[&GivenVariables], loader: &mut Loader<'_>, env: &mut Env) {
    for from in given {
        match &from.content {
            GivenContent::Pairs(pairs) => loader.given.extend(pairs.clone()),
            GivenContent::Text(text) => loader.give((&from.from, text), env),
            GivenContent::Unreadable(why) => {
                let message = format!("it cannot be read: {why}");
                let help = "the settings name it under `variables`, and what it says may be needed";
                let location = Location::file(from.from.clone());
                loader.problems.push(Diagnostic::error(location, message).help(help));
            }
        }
        for (name, value) in &loader.given {
            env.insert(name.clone(), value.clone());
        }
    }
}

/// Converts the model, writes out what is implied, and checks it.
///
/// All checks run even where one failed, as far as there is something to check: whoever pushes a commit waits for a
/// pipeline, and wants to hear everything at once.
fn finish(
    request: &LoadRequest<'_>,
    loader: &mut Loader<'_>,
    model: &Node,
    (name, folder): (StackName, String),
    env: &Env,
) -> Option<Project> {
    let first = loader.problems.0.len();
    let mut parts = convert(model, &mut loader.problems, loader.budget);
    // Said once, by whoever asked for this project.
    if loader.budget.over().is_some() {
        return None;
    }
    let replicas = parts.services.values().map(|service| service.replicas() as usize);
    let each = if request.purpose == LoadPurpose::Show { SHOWN_BYTES } else { REPLICA_BYTES };
    let taken: usize = replicas.map(|count| count.min(MAX_REPLICAS).saturating_mul(each)).sum();
    let links: usize = parts.services.values().map(|service| service.depends_on.len()).sum();
    if loader.budget.bytes(taken + links * each / LINKS_OF_A_REPLICA).is_err() {
        return None;
    }
    let enabled = enabled(&parts, request.profiles, env);
    normalize(&mut parts, &enabled, env);
    name_resources(&mut parts, name.as_str());
    resolve_contents(&mut parts, env);
    read_files(&mut parts, &enabled, env, loader);
    let disabled = parts.services.keys().filter(|name| !enabled.contains(*name)).cloned().collect();
    let all = parts.services.keys().chain(&parts.broken).cloned().collect();
    let services = Services { all: &all, disabled: &disabled };
    let unset = loader.unset.judge(request.purpose, Some(&services));
    let first = first + unset.len();
    loader.problems.0.splice(0..0, unset);
    let origins = Origins::collect(std::mem::take(&mut parts.spots));
    if request.purpose != LoadPurpose::Show && loader.may_be_sealed {
        let sealed = sealed::check(&parts, &enabled, &origins, &loader.sealed);
        loader.problems.0.extend(sealed);
    }
    let problems = &mut loader.problems;
    Checks { parts: &parts, enabled: &enabled, origins: &origins, problems }.run();
    for problem in problems.0.iter_mut().skip(first).filter(|p| p.location.file.is_empty()) {
        if let Some(location) = origins.nearest(&problem.path) {
            problem.location = location;
        }
    }
    if problems.has_errors() {
        return None;
    }
    let mut project = Project::empty(name, folder);
    project.origins = origins;
    for (name, service) in parts.services {
        let is_enabled = enabled.contains(&name);
        let services = if is_enabled { &mut project.services } else { &mut project.disabled };
        services.insert(name, service);
    }
    project.networks = parts.networks;
    project.volumes = parts.volumes;
    project.configs = parts.configs;
    project.secrets = parts.secrets;
    project.models = parts.models;
    project.extensions = parts.extensions;
    drop_unused(&mut project);
    Some(project)
}

/// The services that the active profiles enable.
///
/// Compose Specification, "Profiles": a service without any is always enabled; one that is not is left out with
/// everything that only it uses. Profiles that are named and exist nowhere are no error, since one set of them may
/// serve many stacks.
fn enabled(parts: &Parts, profiles: &[String], env: &Env) -> BTreeSet<ServiceName> {
    let from_env: Vec<String> = match env.get("COMPOSE_PROFILES") {
        Some(profiles) => profiles.split(',').map(|name| name.trim().to_owned()).collect(),
        // As in the reference: where none is named, a profile without a name is active.
        None => vec![String::new()],
    };
    let active: BTreeSet<&str> = (if profiles.is_empty() { &from_env } else { profiles })
        .iter()
        .map(String::as_str)
        .collect();
    let is_active_profile = |name: &String| active.contains(name.as_str());
    let is_active = |service: &Service| {
        service.profiles.is_empty()
            || active.contains("*")
            || service.profiles.iter().any(is_active_profile)
    };
    let active = parts.services.iter().filter(|(_, service)| is_active(service));
    active.map(|(name, _)| name.clone()).collect()
}

/// Leaves out the resources that no enabled service uses; of networks and volumes it is remembered that they are declared.
///
/// docker compose makes no network or volume that no running service uses. That it is declared is still remembered:
/// what is declared is never taken for left over, and so never removed.
fn drop_unused(project: &mut Project) {
    let mut networks = BTreeSet::new();
    let mut volumes = BTreeSet::new();
    let mut configs = BTreeSet::new();
    let mut secrets = BTreeSet::new();
    let mut models = BTreeSet::new();
    for service in project.services.values() {
        networks.extend(service.networks.keys().cloned());
        volumes.extend(
            service.volumes.iter().filter(|v| v.kind == "volume").map(|v| v.source.clone()),
        );
        configs.extend(service.configs.iter().map(|config| config.source.clone()));
        secrets.extend(service.secrets.iter().map(|secret| secret.source.clone()));
        let built = service.build.iter().flat_map(|build| &build.secrets);
        secrets.extend(built.map(|secret| secret.source.clone()));
        models.extend(service.models.keys().cloned());
    }
    project.unused_networks =
        project.networks.extract_if(.., |key, _| !networks.contains(key)).collect();
    project.unused_volumes =
        project.volumes.extract_if(.., |key, _| !volumes.contains(key)).collect();
    project.configs.retain(|key, _| configs.contains(key));
    project.secrets.retain(|key, _| secrets.contains(key));
    project.models.retain(|key, _| models.contains(key));
}

/// Finds files, variables and names before anything is loaded.
struct Setting<'r, 'l, 'a> {
    request: &'r LoadRequest<'r>,
    loader: &'l mut Loader<'a>,
}

impl Setting<'_, '_, '_> {
    fn refuse<T>(&mut self, message: impl Into<String>, help: &str) -> Option<T> {
        let shown = self.request.files.show(self.request.folder);
        let problem = Diagnostic::error(Location::file(shown), message).help(help);
        self.loader.problems.push(problem);
        None
    }

    /// The Compose files. Adds the variables of env files on the way, because they may name them.
    ///
    /// Named files win over `COMPOSE_FILE`, and that over looking for them; an override file is only looked for beside
    /// a file that was found and not named (Compose's command line does the same).
    fn compose_files(&mut self, env: &mut Env) -> Option<Vec<String>> {
        let request = self.request;
        let given = request.compose_files;
        let folder = request.folder;
        let early = match (request.project_directory, given.first()) {
            (Some(directory), _) => join(folder, directory),
            (None, Some(first)) => parent(&join(folder, first)).to_owned(),
            (None, None) => folder.to_owned(),
        };
        self.env_files(&early, env)?;
        let named = if given.is_empty() { files_of(env) } else { given.to_vec() };
        let mut files = Vec::new();
        for name in &named {
            if is_remote(name) || name == "-" {
                let message = format!("{name:?} is not a file here");
                return self.refuse(message, "name a file of the repository");
            }
            files.push(join(folder, name));
        }
        if files.is_empty() {
            files = self.default_files(&early)?;
        }
        let late = self.project_folder(&files);
        if late != early {
            self.env_files(&late, env)?;
        }
        Some(files)
    }

    /// Adds the variables of the env files, or of `.env` in a folder. What is set already stays.
    ///
    /// Variables that are set already stay: `.env` holds defaults, in the reference as well.
    fn env_files(&mut self, folder: &str, env: &mut Env) -> Option<()> {
        let mut paths: Vec<String> =
            self.request.env_files.iter().map(|file| join(self.request.folder, file)).collect();
        if paths.is_empty()
            && let Some(files) = env.get("COMPOSE_ENV_FILES").filter(|files| !files.is_empty())
        {
            paths = files.split(',').map(|file| join(self.request.folder, file)).collect();
        }
        let is_off =
            env.get("COMPOSE_DISABLE_ENV_FILE").is_some_and(|v| matches!(v.as_str(), "1" | "true"));
        if paths.is_empty() && !is_off {
            let default = join(folder, ".env");
            match self.request.files.read(&default) {
                Ok(_) => paths.push(default),
                Err(ReadProblem::NotFound | ReadProblem::IsFolder | ReadProblem::Outside) => {}
                Err(ReadProblem::Other(why)) => {
                    return self.refuse(format!(".env cannot be read: {why}"), "");
                }
            }
        }
        let mut variables = Variables::new();
        for path in self.shared_env_files()?.into_iter().chain(paths) {
            self.loader.env_file(&path, None, env, &mut variables)?;
        }
        self.loader.adopt(variables, env);
        Some(())
    }

    /// The shared env files that are there.
    ///
    /// Relative to the repository, so that one file in Git may serve all stacks.
    fn shared_env_files(&mut self) -> Option<Vec<String>> {
        let request = self.request;
        let mut paths = Vec::new();
        for places in request.shared_env_files {
            let is_there = |path: &&String| {
                !matches!(
                    request.files.read(path),
                    Err(ReadProblem::NotFound | ReadProblem::IsFolder)
                )
            };
            let found: Vec<String> = places.iter().filter(is_there).cloned().collect();
            if found.is_empty() {
                let shown: Vec<String> =
                    places.iter().map(|path| request.files.show(path)).collect();
                let message = format!("there is no env file {}", shown.join(" or "));
                return self
                    .refuse(message, "`env_files` under `defaults` of the fleet file names it");
            }
            paths.extend(found);
        }
        Some(paths)
    }

    /// Compose's own file and its override, in the folder or above it.
    ///
    /// Going up is for a person in a subfolder of a project; a stack of the fleet file names its folder, and must not
    /// find another one's file above it.
    fn default_files(&mut self, folder: &str) -> Option<Vec<String>> {
        let files = self.request.files;
        let present = |folder: &str, names: &[&str]| {
            let mut paths = names.iter().map(|name| join(folder, name));
            paths.find(|path| files.read(path).is_ok())
        };
        let mut at = folder.to_owned();
        loop {
            if let Some(file) = present(&at, &DEFAULT_FILES) {
                let over = present(&at, &OVERRIDE_FILES);
                return Some([Some(file), over].into_iter().flatten().collect());
            }
            let above = parent(&at).to_owned();
            if self.request.lookup == Lookup::Folder || above == at {
                let names = DEFAULT_FILES.join(", ");
                return self
                    .refuse("there is no Compose file here", &format!("known names: {names}"));
            }
            at = above;
        }
    }

    /// The folder that relative paths are relative to.
    ///
    /// The first file's folder, also where later ones lie elsewhere: an override in another folder changes no path of
    /// the first.
    fn project_folder(&self, files: &[String]) -> String {
        match (self.request.project_directory, files.first()) {
            (Some(directory), _) => join(self.request.folder, directory),
            (None, Some(first)) => parent(first).to_owned(),
            (None, None) => self.request.folder.to_owned(),
        }
    }

    /// The project's name (Compose Specification, "Version and name top-level elements"): what the request says, else
    /// `COMPOSE_PROJECT_NAME`, else the last file's `name`, else the folder's, made valid.
    ///
    /// Everything on the host has it in its name and labels. So one that changes is a new project beside the old one,
    /// and the planner asks before data stays behind.
    fn project_name(&mut self, files: &[String], folder: &str, env: &Env) -> Option<StackName> {
        let asked = self.request.project_name.filter(|name| !name.is_empty());
        let asked = asked.or_else(|| env.get("COMPOSE_PROJECT_NAME").map(String::as_str));
        if let Some(name) = asked.filter(|name| !name.is_empty()) {
            return match StackName::parse(name) {
                Ok(name) => Some(name),
                Err(problem) => self.refuse(problem.to_string(), "choose another project name"),
            };
        }
        let stated = files.iter().rev().find_map(|file| self.stated_name(file, env));
        if stated.as_deref() == Some("") {
            return self.refuse("the project's name is empty", "give its variables a value");
        }
        let own = folder.rsplit('/').next().unwrap_or_default();
        let base = stated.unwrap_or_else(|| self.request.default_name.unwrap_or(own).to_owned());
        let plain = normal_name(&base);
        match StackName::parse(&plain) {
            Ok(name) => Some(name),
            Err(_) => self.refuse(
                "the project has no name",
                "write name: at the top, or give --project-name",
            ),
        }
    }

    /// The `name` attribute of a file, filled in. Problems are reported when the file is loaded.
    ///
    /// The last document that says one wins, like any other attribute of the top level.
    fn stated_name(&mut self, file: &str, env: &Env) -> Option<String> {
        let documents = self.loader.parsed(file)?;
        let name = documents
            .iter()
            .rev()
            .find_map(|document| document.get("name").and_then(Node::as_text).map(str::to_owned))
            .filter(|name| !name.is_empty())?;
        let lookup = |name: &str| env.get(name).map(String::as_str);
        let filled = template::fill(&name, &lookup).ok()?;
        Some(filled.text)
    }
}

/// The files that `COMPOSE_FILE` names.
///
/// `:` as on Linux, whatever machine the manifest was written on; `COMPOSE_PATH_SEPARATOR` says otherwise.
fn files_of(env: &Env) -> Vec<String> {
    let separator = env.get("COMPOSE_PATH_SEPARATOR").map_or(":", String::as_str);
    match env.get("COMPOSE_FILE").filter(|files| !files.is_empty()) {
        Some(files) if !separator.is_empty() => files.split(separator).map(str::to_owned).collect(),
        Some(file) => vec![file.clone()],
        None => Vec::new(),
    }
}

/// A text as a project name: lower case, without what is not allowed.
///
/// As the reference does it: `My Shop` is `myshop`. Names that begin with a dash would be options on a command line.
fn normal_name(text: &str) -> String {
    let lower = text.to_lowercase();
    let kept: String = lower
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(*c))
        .collect();
    kept.trim_start_matches(['-', '_']).to_owned()
}
