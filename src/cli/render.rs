//! `moorline render`: the Compose model after interpolation, merge and normalisation.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::Value;

use super::everyday::caret;
use super::options::{Variables, pairs};
use super::{DiskFiles, Format, Surroundings, output};
use crate::compose::{LoadPurpose, LoadRequest, Loaded, Lookup, load_within};
use crate::model::{Budget, Project};

/// Arguments of `render`, and of every command that loads one Compose project from the disk.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Args {
    /// Folder of the project, or its Compose file; default: the working directory and those above it
    path: Option<String>,
    /// Compose file, relative to the working directory; several are merged in order
    #[arg(short, long = "file", value_name = "FILE")]
    files: Vec<String>,
    /// Active profile; * for all
    #[arg(long = "profile", value_name = "PROFILE")]
    profiles: Vec<String>,
    /// Env file in place of .env
    #[arg(long = "env-file", value_name = "FILE")]
    env_files: Vec<String>,
    /// Project name
    #[arg(short, long, value_name = "NAME")]
    project_name: Option<String>,
    /// Folder that relative paths are relative to
    #[arg(long, value_name = "FOLDER")]
    project_directory: Option<String>,
    /// Variable with the place of the shell's; the process's own environment is not read
    #[arg(long = "set", value_name = "NAME=VALUE")]
    variables: Vec<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Args {
    /// The project's folder or file, if one is named.
    pub(super) fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// Whether they say what only one project can have.
    pub(super) fn is_of_one_project(&self) -> bool {
        !self.files.is_empty()
            || !self.profiles.is_empty()
            || self.project_name.is_some()
            || self.project_directory.is_some()
    }

    /// Variables of flags.
    pub(super) fn variables(&self) -> Variables {
        let env_files = self.env_files.iter().map(PathBuf::from).collect();
        Variables { env_files, set: self.variables.clone() }
    }

    /// How to print.
    pub(super) fn output(&self) -> Format {
        self.output
    }
}

/// Runs the command.
pub(super) fn run(args: &Args, surroundings: &Surroundings) -> anyhow::Result<ExitCode> {
    let loaded = load_from_disk(args, surroundings, LoadPurpose::Show)?;
    let text_of = [surroundings.folder.as_path()];
    output::problems(&loaded.problems, &caret::of_disk(&text_of));
    let Some(project) = loaded.project else { return Ok(ExitCode::FAILURE) };
    let text = match args.output {
        Format::Json => doubled(&output::json(&project)?),
        Format::Yaml => doubled(&yaml(&project)?),
        Format::Text => summary(&project),
    };
    output::print_lines(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Loads the project that the arguments name.
pub(super) fn load_from_disk(
    args: &Args,
    surroundings: &Surroundings,
    purpose: LoadPurpose,
) -> anyhow::Result<Loaded> {
    let folder = surroundings.folder.to_str().context("the working directory is not UTF-8")?;
    let files = DiskFiles { folder: surroundings.folder.clone() };
    let variables = pairs(&args.variables)?;
    let home = surroundings.home.as_ref().and_then(|home| home.to_str());
    let mut compose_files = args.files.clone();
    let mut start = folder.to_owned();
    let mut lookup = Lookup::FolderAndAbove;
    if let Some(path) = &args.path {
        let full = surroundings.folder.join(path);
        if full.is_dir() {
            start = full.canonicalize()?.to_str().context("the path is not UTF-8")?.to_owned();
            lookup = Lookup::Folder;
        } else if compose_files.is_empty() {
            compose_files.push(path.clone());
        }
    }
    let request = LoadRequest {
        files: &files,
        folder: &start,
        compose_files: &compose_files,
        lookup,
        profiles: &args.profiles,
        variables: &variables,
        given: &[],
        env_files: &args.env_files,
        shared_env_files: &[],
        project_name: args.project_name.as_deref(),
        default_name: None,
        project_directory: args.project_directory.as_deref(),
        home,
        purpose,
    };
    // What would run is judged as a daemon would.
    let budget = match purpose {
        LoadPurpose::Show => Budget::by_hand(),
        LoadPurpose::Run { .. } => Budget::of_a_stack(),
    };
    Ok(load_within(&request, &budget))
}

/// Dollars are doubled, so that what is printed can be loaded again.
fn doubled(text: &str) -> String {
    text.replace('$', "$$")
}

/// The YAML shape: as JSON, with models and the services' `x-` attributes, and without null commands and empty parts.
fn yaml(project: &Project) -> anyhow::Result<String> {
    let mut value = serde_json::to_value(project)?;
    let services = value.get_mut("services").and_then(Value::as_object_mut);
    for (name, service) in services.into_iter().flatten() {
        tidy(service);
        let known = project.services.get(name.as_str());
        let Some(map) = service.as_object_mut() else { continue };
        let extensions = known.into_iter().flat_map(|service| &service.extensions);
        map.extend(extensions.map(|(key, value)| (key.clone(), value.clone())));
    }
    let networks = value.get_mut("networks").and_then(Value::as_object_mut);
    for network in networks.into_iter().flat_map(serde_json::Map::values_mut) {
        remove_empty(network, &["ipam"]);
    }
    if !project.models.is_empty()
        && let Some(map) = value.as_object_mut()
    {
        map.insert("models".to_owned(), serde_json::to_value(&project.models)?);
    }
    output::yaml(&value)
}

fn remove_empty(node: &mut Value, keys: &[&str]) {
    let Some(map) = node.as_object_mut() else { return };
    map.retain(|key, value| {
        !keys.contains(&key.as_str()) || value.as_object().is_none_or(|map| !map.is_empty())
    });
}

fn tidy(service: &mut Value) {
    let Some(map) = service.as_object_mut() else { return };
    for key in ["command", "entrypoint"] {
        if map.get(key).is_some_and(Value::is_null) {
            map.remove(key);
        }
    }
    if let Some(blkio) = map.get_mut("blkio_config").and_then(Value::as_object_mut) {
        for list in blkio.values_mut().filter_map(Value::as_array_mut) {
            for item in list.iter_mut().filter_map(Value::as_object_mut) {
                *item = std::mem::take(item)
                    .into_iter()
                    .map(|(key, value)| (key.to_lowercase(), value))
                    .collect();
            }
        }
    }
    if let Some(deploy) = map.get_mut("deploy") {
        remove_empty(deploy, &["resources", "placement"]);
    }
    let watched = map.get_mut("develop").and_then(|develop| develop.get_mut("watch"));
    for watch in watched.and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(exec) = watch.get_mut("exec").and_then(Value::as_object_mut) {
            exec.retain(|key, value| key != "command" || !value.is_null());
        }
        remove_empty(watch, &["exec"]);
    }
    for hook in map.get_mut("pre_start").and_then(Value::as_array_mut).into_iter().flatten() {
        tidy(hook);
    }
}

/// The model for people: one line a service, then what it uses.
fn summary(project: &Project) -> String {
    let mut text = format!("project {}\n", project.name);
    let mut line = |words: String| {
        text.push_str(&words);
        text.push('\n');
    };
    for (name, service) in &project.services {
        let image = if service.image.is_empty() { "(built)" } else { &service.image };
        line(format!("service {name}: {image} x{}", service.replicas()));
        for port in &service.ports {
            let host =
                if port.host_ip.is_empty() { String::new() } else { format!("{}:", port.host_ip) };
            line(format!("  port {host}{}:{}/{}", port.published, port.target, port.protocol));
        }
        for volume in &service.volumes {
            line(format!("  {} {} -> {}", volume.kind, volume.source, volume.target));
        }
        if !service.depends_on.is_empty() {
            let names: Vec<&str> = service.depends_on.keys().map(AsRef::as_ref).collect();
            line(format!("  after {}", names.join(", ")));
        }
    }
    for name in project.disabled.keys() {
        line(format!("service {name}: not enabled by any profile"));
    }
    for (noun, names) in [
        ("network", project.networks.values().map(|n| n.name.as_str()).collect::<Vec<_>>()),
        ("volume", project.volumes.values().map(|v| v.name.as_str()).collect()),
        ("config", project.configs.values().map(|c| c.name.as_str()).collect()),
        ("secret", project.secrets.values().map(|s| s.name.as_str()).collect()),
    ] {
        for name in names {
            line(format!("{noun} {name}"));
        }
    }
    text
}
