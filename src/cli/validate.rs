//! `moorline validate`: every problem in the fleet file and the manifests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use super::disk::tree_of;
use super::{Format, Surroundings, output, render};
use crate::commit;
use crate::config::fleet_file::{self, COMPOSE_FILES, FLEET_FILE, Fleet};
use crate::fleet::{placement, whole};
use crate::model::{Diagnostics, ManifestTree, RepositoryName, TreePath};

/// Arguments of `validate`.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    #[command(flatten)]
    project: render::Args,
}

/// What was looked at, and what is wrong with it.
struct Checked {
    problems: Diagnostics,
    /// For people: `4 services`.
    extent: String,
}

/// Runs the command.
pub(super) fn run(args: &Args, surroundings: &Surroundings) -> anyhow::Result<ExitCode> {
    let checked = match fleet_folder(args, surroundings) {
        Some(folder) => check_fleet(&folder)?,
        None => check_project(args, surroundings)?,
    };
    let problems = &checked.problems;
    match args.project.output() {
        Format::Text => output::problems(problems),
        Format::Json => output::print_lines(&output::json(problems)?)?,
        Format::Yaml => output::print_lines(&output::yaml(problems)?)?,
    }
    if problems.has_errors() {
        return Ok(ExitCode::FAILURE);
    }
    if args.project.output() == Format::Text {
        output::print_lines(&format!("no errors in {}", checked.extent))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The folder of a whole repository, if that is what the arguments name: one with a fleet file, or without a Compose
/// file of its own.
fn fleet_folder(args: &Args, surroundings: &Surroundings) -> Option<PathBuf> {
    let folder = match args.project.path() {
        Some(path) => surroundings.folder.join(path),
        None => surroundings.folder.clone(),
    };
    let has = |name: &str| folder.join(name).is_file();
    let whole = has(FLEET_FILE) || !COMPOSE_FILES.into_iter().any(has);
    (folder.is_dir() && whole && !args.project.names_files()).then_some(folder)
}

/// Checks a fleet file and every stack that it names; without one, every folder with a Compose file.
fn check_fleet(folder: &Path) -> anyhow::Result<Checked> {
    let tree = tree_of(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let (fleet, mut problems) = fleet_of(folder, &tree)?;
    let mut services = 0;
    let mut all = Vec::new();
    for stack in fleet.stacks.values() {
        let (loaded, _) = commit::load(stack, &tree);
        problems.0.extend(loaded.problems.0.iter().cloned());
        if let Some(project) = &loaded.project {
            let hosts = BTreeMap::new();
            problems.0.extend(placement::asks(stack, project, &tree, &hosts).1.0);
            services += project.services.len();
        }
        all.push(loaded);
    }
    let hosts = fleet_file::likely_hosts(&fleet);
    problems.0.extend(whole::problems(&whole::claims(&commit::members(&all, &hosts))).0);
    anyhow::ensure!(
        !fleet.stacks.is_empty() || problems.has_errors(),
        "{} holds neither {FLEET_FILE} nor a folder with a Compose file",
        folder.display()
    );
    let extent = format!("{} stacks, {services} services", fleet.stacks.len());
    Ok(Checked { problems, extent })
}

fn fleet_of(folder: &Path, tree: &ManifestTree) -> anyhow::Result<(Fleet, Diagnostics)> {
    let paths = tree.files().map(|(path, _)| path.clone()).collect();
    let Some(file) = tree.file(&TreePath::parse(FLEET_FILE)?) else {
        let name = folder.file_name().and_then(|name| RepositoryName::parse(name.to_str()?).ok());
        let name = name.map_or_else(|| RepositoryName::parse("fleet"), Ok)?;
        return Ok(fleet_file::discover(&paths, &name));
    };
    let around = fleet_file::Surroundings { paths: Some(&paths), hosts: None };
    Ok(fleet_file::read(FLEET_FILE, &file.bytes, around))
}

/// Checks one Compose project.
fn check_project(args: &Args, surroundings: &Surroundings) -> anyhow::Result<Checked> {
    let loaded = render::load_from_disk(&args.project, surroundings)?;
    let services = loaded.project.map_or(0, |project| project.services.len());
    let extent = format!("{} files, {services} services", loaded.files_used.len());
    Ok(Checked { problems: loaded.problems, extent })
}
