//! The fleet as it is to be, and what is to be said about it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::copied::{self, Copied, Root};
use super::environment::{self, Environment};
use super::fleet_text;
use super::nouns::{Draft, DraftFile, DraftStack, LeftAlone, Outside};
use super::order::order;
use super::sources::{self, HostFindings, Unit};
use super::stack::{self, Loaded, OVERRIDE_FILE};
use crate::compose::{self, LoadPurpose, LoadRequest, Lookup, TREE_ROOT, TreeFiles};
use crate::config::fleet_file::FLEET_FILE;
use crate::model::{
    FileMode, GivenContent, GivenVariables, ManifestTree, Project, StackName, TreeFile, TreePath,
};
use crate::yaml::{self, Kind, Node};

/// Drafts a fleet from what runs on hosts, and from folders of Compose files of this machine. With `wanted`, only projects of
/// these names. `home` is what `~` stands for in them.
pub fn draft(
    findings: &[HostFindings],
    (folders, wanted): (&[PathBuf], &BTreeSet<String>),
    home: Option<&str>,
) -> Draft {
    let mut draft = Draft::default();
    let of_hosts = wanted.is_empty() && !folders.is_empty();
    let mut running = sources::running(findings, wanted, &mut draft.left_alone);
    let mut taken: Vec<(StackName, Unit<'_>, Loaded)> = Vec::new();
    for folder in sources::folders(folders, &mut draft.left_alone) {
        take_folder(&mut draft, (&folder, home), &mut running, &mut taken);
    }
    // Where folders are named, they say what is meant.
    let rest = if of_hosts { BTreeMap::new() } else { running };
    for (_, unit) in rest {
        let read = stack::load(&unit, home);
        take(&mut draft, unit, read, &mut taken);
    }
    for name in
        wanted.iter().filter(|name| !taken.iter().any(|(_, unit, _)| unit.project == **name))
    {
        let known = draft.left_alone.iter().any(|left| left.what.ends_with(name.as_str()));
        if !known {
            let why = "no container of a host names it as its Compose project".to_owned();
            draft.left_alone.push(LeftAlone { what: format!("project {name}"), why });
        }
    }
    assemble(&mut draft, &taken);
    draft
}

/// A folder of Compose files: the project that runs under its name, where there is one.
fn take_folder<'a>(
    draft: &mut Draft,
    (folder, home): (&str, Option<&str>),
    running: &mut BTreeMap<String, Unit<'a>>,
    taken: &mut Vec<(StackName, Unit<'a>, Loaded)>,
) {
    let alone = Unit { folder: Some(folder.to_owned()), ..Unit::default() };
    let read = stack::load(&alone, home);
    let name = match &read {
        Ok(loaded) => loaded.project.name.to_string(),
        Err(_) => String::new(),
    };
    let by_folder = running
        .iter()
        .find(|(_, unit)| unit.folder.as_deref() == Some(folder))
        .map(|(name, _)| name.clone());
    let Some(mut unit) = running.remove(by_folder.as_ref().unwrap_or(&name)) else {
        let unit = Unit { project: name, ..alone };
        return take(draft, unit, read, taken);
    };
    let own = stack::load(&unit, home);
    if own.is_ok() {
        return take(draft, unit, own, taken);
    }
    // What the containers name is not here; this folder is.
    unit.directory.clone_from(&unit.folder);
    unit.folder = Some(folder.to_owned());
    unit.files.clear();
    unit.env_files.clear();
    let read = stack::load(&unit, home);
    take(draft, unit, read, taken);
}

fn take<'a>(
    draft: &mut Draft,
    unit: Unit<'a>,
    read: Result<Loaded, String>,
    taken: &mut Vec<(StackName, Unit<'a>, Loaded)>,
) {
    let what = if unit.project.is_empty() {
        unit.folder.clone().unwrap_or_default()
    } else {
        format!("project {}", unit.project)
    };
    let read = read.and_then(|loaded| {
        let name =
            StackName::parse(loaded.project.name.as_str()).map_err(|error| error.to_string())?;
        if taken.iter().any(|(known, ..)| *known == name) {
            return Err(format!("another folder holds a project of the name {name}"));
        }
        Ok((name, loaded))
    });
    match read {
        Ok((name, loaded)) => taken.push((name, unit, loaded)),
        Err(why) => {
            let why = format!("{why}; copy its Compose files here, and name their folder");
            draft.left_alone.push(LeftAlone { what, why });
        }
    }
}

fn assemble(draft: &mut Draft, taken: &[(StackName, Unit<'_>, Loaded)]) {
    let projects: BTreeMap<StackName, &Project> =
        taken.iter().map(|(name, _, loaded)| (name.clone(), &loaded.project)).collect();
    let mut order = order(&projects);
    let roots = roots(taken);
    for (name, unit, loaded) in taken {
        let Some(root) = roots.get(name) else { continue };
        let mut stack = add(draft, (name, unit, loaded), root);
        stack.after = order.remove(name).unwrap_or_default();
        draft.stacks.insert(name.clone(), stack);
    }
    if !draft.stacks.is_empty() {
        let text = fleet_text::fleet(&draft.stacks);
        draft.files.insert(FLEET_FILE.to_owned(), plain(&text));
    }
}

fn plain(text: &str) -> DraftFile {
    DraftFile { bytes: text.as_bytes().into(), executable: false }
}

/// The part of the repository that each stack lies in.
fn roots(taken: &[(StackName, Unit<'_>, Loaded)]) -> BTreeMap<StackName, Root> {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut roots = BTreeMap::new();
    for (name, unit, loaded) in taken {
        let folder = unit.folder.clone().unwrap_or_default();
        let disk = top(&folder, loaded);
        let tree = names.get(&disk).cloned().unwrap_or_else(|| {
            let last = disk.rsplit('/').next().filter(|last| !last.is_empty()).unwrap_or("root");
            let usual = if disk == folder { name.to_string() } else { last.to_owned() };
            let usual = usual.trim_start_matches('.').to_owned();
            let numbered = (2_u32..).map(|number| format!("{usual}-{number}"));
            let mut free = std::iter::once(usual.clone()).chain(numbered);
            free.find(|one| !names.values().any(|known| known == one)).unwrap_or(usual)
        });
        names.insert(disk.clone(), tree.clone());
        roots.insert(name.clone(), Root { disk, tree });
    }
    roots
}

/// The lowest folder that holds everything that the manifests name by relative paths.
fn top(folder: &str, loaded: &Loaded) -> String {
    let mut tops: Vec<String> = vec![folder.to_owned()];
    for (path, bytes) in loaded.manifests() {
        let own = path.rsplit_once('/').map_or("", |(own, _)| own).to_owned();
        let climbs = yaml::parse(path, bytes).unwrap_or_default().iter().map(climbs).max();
        let climbs = climbs.unwrap_or_default();
        // Paths of the first file are relative to the project's folder.
        for base in [own.as_str(), folder] {
            let parts: Vec<&str> = base.split('/').collect();
            let kept = parts.len().saturating_sub(climbs);
            tops.push(parts.get(..kept).unwrap_or_default().join("/"));
        }
        tops.push(own);
    }
    let mut common: Vec<&str> = folder.split('/').collect();
    for top in &tops {
        let same = common.iter().zip(top.split('/')).take_while(|(a, b)| **a == *b).count();
        common.truncate(same);
    }
    let common = common.join("/");
    if common.is_empty() { "/".to_owned() } else { common }
}

/// How many folders up the texts of a document lead.
fn climbs(node: &Node) -> usize {
    match &node.kind {
        Kind::Scalar(_) => {
            let text = node.as_text().unwrap_or_default();
            let mut rest = text.trim_start_matches("./");
            let mut count = 0;
            while let Some(below) =
                rest.strip_prefix("..").filter(|it| it.is_empty() || it.starts_with('/'))
            {
                count += 1;
                rest = below.trim_start_matches('/');
            }
            count
        }
        Kind::List(items) => items.iter().map(climbs).max().unwrap_or_default(),
        Kind::Map(map) => map.iter().map(|entry| climbs(&entry.value)).max().unwrap_or_default(),
    }
}

/// Adds a stack's files; what is to be said about it.
fn add(
    draft: &mut Draft,
    (name, unit, loaded): (&StackName, &Unit<'_>, &Loaded),
    root: &Root,
) -> DraftStack {
    let folder = unit.folder.clone().unwrap_or_default();
    let path = root.in_tree(&folder).unwrap_or_default();
    let environment = environment::of(unit, loaded);
    let mut files: BTreeMap<String, DraftFile> = BTreeMap::new();
    for (at, bytes) in loaded.manifests() {
        let place = root.in_tree(at);
        files.extend(
            place.map(|at| (at, DraftFile { bytes: Arc::clone(bytes), executable: false })),
        );
    }
    let mut stack = DraftStack {
        project: loaded.project.name.to_string(),
        files: loaded.files.iter().filter_map(|at| relative(&path, &root.in_tree(at)?)).collect(),
        path,
        directory: unit.directory.clone().or_else(|| Some(folder.clone())),
        adopt: !unit.containers.is_empty(),
        hosts: unit.hosts.clone(),
        profiles: loaded.profiles.clone(),
        environment: home(loaded),
        after: BTreeSet::new(),
        variables: environment.needed.clone(),
        not_in_git: env_files(loaded),
        by_hand: environment.by_hand.clone(),
    };
    let overriding = format!("{}/{OVERRIDE_FILE}", stack.path);
    let mut in_order: Vec<String> = loaded.files.iter().filter_map(|at| root.in_tree(at)).collect();
    if let Some(text) = fleet_text::overriding(&environment, &[]) {
        files.insert(overriding.clone(), plain(&text));
        in_order.push(overriding.clone());
    }
    let copied = match as_in_git(&stack, &files, &in_order, &environment) {
        Ok(project) => copy(unit, loaded, root, &project),
        Err(problem) => {
            stack.by_hand.push(format!("mend what keeps it from being loaded: {problem}"));
            Copied::default()
        }
    };
    if let Some(text) = fleet_text::overriding(&environment, &copied.by_path) {
        files.insert(overriding, plain(&text));
        stack.files.push(OVERRIDE_FILE.to_owned());
    }
    stack.not_in_git.extend(copied.outside);
    draft.files.extend(copied.files);
    draft.files.extend(files);
    if !environment.text.trim().is_empty() {
        draft.variables.insert(name.clone(), environment.text);
    }
    stack
}

fn copy(unit: &Unit<'_>, loaded: &Loaded, root: &Root, project: &Project) -> Copied {
    let made_at = unit.containers.iter().filter_map(|container| container.created_at).min();
    let env_files: BTreeSet<&String> =
        loaded.variables_of.iter().chain(&loaded.services_of).collect();
    copied::choose(project, root, (made_at, &env_files))
}

/// A file's path below a folder, with `..` where it lies elsewhere.
fn relative(folder: &str, path: &str) -> Option<String> {
    let (from, to): (Vec<&str>, Vec<&str>) =
        (folder.split('/').filter(|part| !part.is_empty()).collect(), path.split('/').collect());
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..", from.len() - common);
    let parts: Vec<&str> = up.chain(to.get(common..)?.iter().copied()).collect();
    Some(parts.join("/"))
}

/// The home folder, where the manifests name it.
fn home(loaded: &Loaded) -> BTreeMap<String, String> {
    let names_it = |(path, bytes): (&String, &Arc<[u8]>)| {
        yaml::parse(path, bytes).unwrap_or_default().iter().any(says_home)
    };
    let home = loaded.home.as_ref().filter(|_| loaded.manifests().any(names_it));
    home.map(|home| ("HOME".to_owned(), home.clone())).into_iter().collect()
}

fn says_home(node: &Node) -> bool {
    match &node.kind {
        Kind::Scalar(_) => node.as_text().is_some_and(|text| text == "~" || text.starts_with("~/")),
        Kind::List(items) => items.iter().any(says_home),
        Kind::Map(map) => map.iter().any(|entry| says_home(&entry.value)),
    }
}

fn env_files(loaded: &Loaded) -> Vec<Outside> {
    let of = |path: &String, why: &str| Outside { path: path.clone(), why: why.to_owned() };
    let interpolated = loaded
        .variables_of
        .iter()
        .map(|path| of(path, "an env file: its variables come from outside Git"));
    let services = loaded
        .services_of
        .iter()
        .map(|path| of(path, "an env file of services: its variables come from outside Git"));
    interpolated.chain(services).collect()
}

/// The project as a daemon would load it.
fn as_in_git(
    stack: &DraftStack,
    files: &BTreeMap<String, DraftFile>,
    in_order: &[String],
    environment: &Environment,
) -> Result<Project, String> {
    let mut tree = BTreeMap::new();
    for (path, file) in files {
        let path = TreePath::parse(path).map_err(|error| error.to_string())?;
        tree.insert(path, TreeFile { mode: FileMode::Regular, bytes: Arc::clone(&file.bytes) });
    }
    let tree = ManifestTree::new(tree);
    let given = GivenVariables {
        from: "variables".to_owned(),
        stacks: Vec::new(),
        content: GivenContent::Text(environment.text.as_str().into()),
    };
    let compose_files: Vec<String> =
        in_order.iter().map(|path| format!("{TREE_ROOT}/{path}")).collect();
    let loaded = compose::load(&LoadRequest {
        files: &TreeFiles(&tree),
        folder: &format!("{TREE_ROOT}/{}", stack.path),
        compose_files: &compose_files,
        lookup: Lookup::Folder,
        profiles: &stack.profiles,
        variables: &stack.environment,
        given: &[&given],
        env_files: &[],
        shared_env_files: &[],
        project_name: Some(&stack.project),
        default_name: None,
        project_directory: None,
        home: None,
        purpose: LoadPurpose::Show,
    });
    loaded.project.ok_or_else(|| {
        let errors: Vec<String> = loaded.problems.0.iter().map(ToString::to_string).collect();
        errors.join("; ")
    })
}
