//! `moorline validate`: every problem in the fleet file and the manifests.
//!
//! It reads what a daemon would read: what Git would commit of a working copy, and nothing else of the disk; and it goes
//! as far as a daemon without a host can. What it cannot know it says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use super::disk::{below, tree_of};
use super::everyday::caret;
use super::options::Global;
use super::{Format, Surroundings, output, render};
use crate::commit::{self, LoadedStack};
use crate::compose::LoadPurpose;
use crate::config::fleet_file::{self, COMPOSE_FILES, FLEET_FILE, Fleet, Stack};
use crate::config::settings::{Labels, Settings};
use crate::desired::HOST_DATA;
use crate::fleet::{placement, whole};
use crate::git::{WorkingCopy, working_copy};
use crate::model::{
    Diagnostics, EngineFacts, HostName, ManifestTree, RepositoryName, Revision, TreePath,
    UnsetPolicy,
};
use crate::outside::Outside;
use crate::report::Target;

/// Ignored files that are named one by one.
const MOST_NAMED: usize = 8;

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
    /// The folder that their files are relative to.
    top: PathBuf,
    /// For people: `4 services`.
    extent: String,
    /// What could not be known.
    notes: Vec<String>,
}

/// A repository's files, and which of its stacks are meant.
struct Scope {
    top: PathBuf,
    tree: ManifestTree,
    copy: Option<WorkingCopy>,
    /// Stacks in this folder and below.
    within: TreePath,
}

/// Runs the command.
pub(super) fn run(
    args: &Args,
    global: &Global,
    surroundings: &Surroundings,
) -> anyhow::Result<ExitCode> {
    let checked = match scope(args, surroundings)? {
        Some(scope) => check_fleet(&scope, args, global, surroundings)?,
        None => None,
    };
    let checked = match checked {
        Some(checked) => checked,
        None => check_project(args, surroundings)?,
    };
    let problems = &checked.problems;
    match args.project.output() {
        Format::Text => {
            output::problems(problems, &caret::of_disk(&[&checked.top, &surroundings.folder]));
        }
        Format::Json => output::print_lines(&output::json(problems)?)?,
        Format::Yaml => output::print_lines(&output::yaml(problems)?)?,
    }
    for note in &checked.notes {
        output::note(note);
    }
    if problems.has_errors() {
        return Ok(ExitCode::FAILURE);
    }
    if args.project.output() == Format::Text {
        output::print_lines(&format!("no errors in {}", checked.extent))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The repository that the arguments are about; none, where they name one Compose project in docker compose's way.
fn scope(args: &Args, surroundings: &Surroundings) -> anyhow::Result<Option<Scope>> {
    let folder = match args.project.path() {
        Some(path) => surroundings.folder.join(path),
        None => surroundings.folder.clone(),
    };
    if !folder.is_dir() || args.project.is_of_one_project() {
        return Ok(None);
    }
    let folder = folder.canonicalize()?;
    let copy = working_copy(&folder);
    let top = top_of(&folder, copy.as_ref());
    let within = below(&folder, &top).and_then(|path| TreePath::parse(path).ok());
    let tree =
        tree_of(&top, copy.as_ref()).with_context(|| format!("cannot read {}", top.display()))?;
    // Without Git, a folder with a single project is no repository, and its paths may lead out of it.
    let is_repository = copy.is_some() || !has_compose_file(&folder) || 1 < compose_folders(&tree);
    Ok(is_repository.then(|| Scope { top, tree, copy, within: within.unwrap_or_default() }))
}

/// The folder that stands for the repository: one with a fleet file, or else the working copy's top. A folder without
/// a Compose file of its own is taken for one.
fn top_of(folder: &Path, copy: Option<&WorkingCopy>) -> PathBuf {
    if folder.join(FLEET_FILE).is_file() {
        return folder.to_owned();
    }
    let Some(copy) = copy.filter(|_| has_compose_file(folder)) else { return folder.to_owned() };
    let above = folder.ancestors().take_while(|above| above.starts_with(&copy.root));
    let mut with_fleet = above.filter(|above| above.join(FLEET_FILE).is_file());
    with_fleet.next().unwrap_or(&copy.root).to_owned()
}

fn has_compose_file(folder: &Path) -> bool {
    COMPOSE_FILES.into_iter().any(|name| folder.join(name).is_file())
}

fn compose_folders(tree: &ManifestTree) -> usize {
    let named = tree.files().filter(|(path, _)| COMPOSE_FILES.contains(&path.file_name()));
    named.map(|(path, _)| path.parent()).collect::<BTreeSet<_>>().len()
}

/// Checks a fleet file and the stacks that are meant; without one, every folder with a Compose file. Nothing, where the
/// folder that is meant is no stack's.
fn check_fleet(
    scope: &Scope,
    args: &Args,
    global: &Global,
    surroundings: &Surroundings,
) -> anyhow::Result<Option<Checked>> {
    let said = global.settings_alone(&surroundings.folder)?;
    let mut settings = said.clone().unwrap_or_default();
    args.project.variables().add_to(&mut settings, &surroundings.folder)?;
    let hosts = settings.names_hosts.then(|| settings.host_labels());
    let (fleet, mut problems) = fleet_of(scope, hosts.as_ref())?;
    let is_meant = |path: &TreePath| *path == scope.within || path.below(&scope.within).is_some();
    let meant: Vec<&Stack> = fleet.stacks.values().filter(|stack| is_meant(&stack.path)).collect();
    if meant.is_empty() && !problems.has_errors() {
        anyhow::ensure!(
            !scope.within.as_str().is_empty(),
            "{} holds neither {FLEET_FILE} nor a folder with a Compose file",
            scope.top.display()
        );
        return Ok(None);
    }
    let outside = Outside::new(&settings);
    let mut services = 0;
    // What two stacks want shows only where all are read.
    let all: Vec<LoadedStack> =
        fleet.stacks.values().map(|stack| load(stack, scope, &outside)).collect();
    let likely = fleet_file::likely_hosts(&fleet);
    let members = commit::members(&all, hosts.as_ref().unwrap_or(&likely));
    problems.0.extend(whole::problems(&whole::claims(&members)).0);
    for loaded in all.iter().filter(|loaded| is_meant(&loaded.stack.path)) {
        services += loaded.project.as_ref().map_or(0, |project| project.services.len());
        problems.0.extend(found_in(loaded, scope, hosts.as_ref())?);
    }
    let extent = format!("{} stacks, {services} services", meant.len());
    let notes = notes(scope, said.as_ref());
    let top = scope.top.clone();
    Ok(Some(Checked { problems, top, extent, notes }))
}

/// Loads a stack with what it asks for outside Git.
fn load(stack: &Stack, scope: &Scope, outside: &Outside) -> LoadedStack {
    let (loaded, lacks) = commit::load(stack, &scope.tree, &outside.read(&BTreeSet::new()));
    if lacks.outside.is_empty() {
        return loaded;
    }
    commit::load(stack, &scope.tree, &outside.read(&lacks.outside)).0
}

/// Every problem of a stack that shows without a host.
fn found_in(
    loaded: &LoadedStack,
    scope: &Scope,
    hosts: Option<&BTreeMap<HostName, Labels>>,
) -> anyhow::Result<Vec<crate::model::Diagnostic>> {
    let mut found = loaded.problems.0.clone();
    if let Some(project) = &loaded.project {
        let none = BTreeMap::new();
        let labels = hosts.unwrap_or(&none);
        found.extend(placement::asks(&loaded.stack, project, &scope.tree, labels).1.0);
        // An Engine of which nothing is known is taken as able to do everything.
        let target = Target {
            repository: RepositoryName::parse("validate")?,
            stack: loaded.stack.name.clone(),
            host: HostName::parse("any")?,
        };
        let revision = Revision::parse(&"0".repeat(40))?;
        let written = loaded.write(&target, &revision, HOST_DATA, &EngineFacts::default());
        found.extend(written.problems.0);
    }
    let mut seen = BTreeSet::new();
    found.retain(|problem| seen.insert(problem.clone()));
    Ok(found)
}

/// What a daemon may know and we do not.
fn notes(scope: &Scope, settings: Option<&Settings>) -> Vec<String> {
    let mut notes = Vec::new();
    if settings.is_none() {
        notes.push(
            "no settings file was read: hosts, and variables from outside Git, are not known here (`--settings FILE`, `--env-file FILE`, `--set NAME=VALUE`)"
                .to_owned(),
        );
    }
    let Some(copy) = &scope.copy else {
        notes.push("this is no working copy of Git: every file of the folder was read".to_owned());
        return notes;
    };
    let matters = |path: &&TreePath| {
        let name = path.file_name();
        name == ".env" || is_env_file(name) || COMPOSE_FILES.contains(&name)
    };
    let ignored: Vec<&str> = copy.ignored.iter().filter(matters).map(TreePath::as_str).collect();
    if !ignored.is_empty() {
        let shown: Vec<&str> = ignored.iter().take(MOST_NAMED).copied().collect();
        let more = match ignored.len() - shown.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        notes.push(format!("ignored by Git, so not read: {}{more}", shown.join(", ")));
    }
    notes
}

fn fleet_of(
    scope: &Scope,
    hosts: Option<&BTreeMap<HostName, Labels>>,
) -> anyhow::Result<(Fleet, Diagnostics)> {
    let paths = scope.tree.files().map(|(path, _)| path.clone()).collect();
    let Some(file) = scope.tree.file(&TreePath::parse(FLEET_FILE)?) else {
        let name =
            scope.top.file_name().and_then(|name| RepositoryName::parse(name.to_str()?).ok());
        let name = name.map_or_else(|| RepositoryName::parse("fleet"), Ok)?;
        return Ok(fleet_file::discover(&paths, &name));
    };
    let around = fleet_file::Surroundings { paths: Some(&paths), hosts };
    Ok(fleet_file::read(FLEET_FILE, &file.bytes, around))
}

/// Checks one Compose project.
fn check_project(args: &Args, surroundings: &Surroundings) -> anyhow::Result<Checked> {
    let purpose = LoadPurpose::Run { unset: UnsetPolicy::Hold };
    let loaded = render::load_from_disk(&args.project, surroundings, purpose)?;
    let services = loaded.project.map_or(0, |project| project.services.len());
    let extent = format!("{} files, {services} services", loaded.files_used.len());
    let top = surroundings.folder.clone();
    Ok(Checked { problems: loaded.problems, top, extent, notes: Vec::new() })
}

/// Names of files with variables end so, in this case only.
fn is_env_file(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|end| end == "env")
}
