//! One commit, read and loaded: the fleet, and each stack's project with the files that it needs.
//!
//! Only what is needed is read: first every manifest by name, then what those ask for (included and extended files,
//! variables, mounted and built files). A repository of many files costs what its few Compose files cost.

pub(crate) mod beside;
pub(crate) mod cache;
mod folder;
mod loading;
mod opening;
mod recorded;
pub(crate) mod removed;
mod succession;

pub use beside::members;
pub use folder::of_folder;
pub use opening::{OpenedFiles, Opening};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use self::recorded::Recorded;
use crate::compose::{self, LoadPurpose, LoadRequest, Lookup, TREE_ROOT, tree_path};
use crate::config::fleet_file::{
    self, COMPOSE_FILES, FLEET_FILE, Fleet, HostSelector, Stack, Surroundings,
};
use crate::config::settings::Labels;
use crate::desired::{self, RelativePaths, Shelf};
use crate::fleet::placement;
use crate::git::{CommitFacts, Git, GitError, Source, TreeSelection, Wanted};
use crate::model::{
    Budget, Claims, Desired, Diagnostic, Diagnostics, Digest, EngineFacts, Given, GivenVariables,
    HostName, Location, ManifestTree, Neighbourhood, Predecessor, Project, RepositoryName,
    Revision, StackName, TreeFile, TreePath,
};
use crate::outside::Outside;
use crate::report::mask::SecretSet;
use crate::report::{Head, Target, secrets};

/// Rounds of reading: includes of includes of includes. What is still missing then does not exist.
const ROUNDS_MAX: usize = 12;

/// Where commits are read from.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Clones.
    pub git: &'a Git,
    /// The remote.
    pub source: &'a Source,
    /// Its name in the settings.
    pub repository: &'a RepositoryName,
    /// Hosts of the settings and their labels.
    pub hosts: &'a BTreeMap<HostName, Labels>,
    /// What stacks are given from outside Git.
    pub outside: &'a Arc<Outside>,
    /// The commit that it is proposed for, where it is no more than a proposal: nothing of it is decrypted.
    pub proposed_for: Option<&'a Commit>,
}

/// One commit.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Its id.
    pub revision: Revision,
    /// What it says of itself.
    pub facts: CommitFacts,
    /// The fleet; `None` when the fleet file cannot be used.
    pub fleet: Option<Fleet>,
    /// What lay outside Git when it was read.
    pub outside: Digest,
    /// Problems of the fleet file and of reading.
    pub problems: Diagnostics,
    /// What its stacks ask for by name.
    pub claims: Arc<Claims>,
    /// Its stacks.
    pub stacks: BTreeMap<StackName, Arc<LoadedStack>>,
    /// Stacks that were kept on a host before and are asked for there no more: emptied.
    pub retired: BTreeMap<(StackName, HostName), Arc<LoadedStack>>,
    /// Stacks that left, and whose data a target seems to go on with.
    pub before: BTreeMap<(StackName, HostName), Vec<Predecessor>>,
    /// What left and stays as it is until these, which seem to be it, do not wait for a word about its data.
    pub heirs: BTreeMap<(StackName, HostName), BTreeSet<Target>>,
    /// What left and is a target's own now, under the same project's name.
    pub taken_over: BTreeMap<(StackName, HostName), Vec<Target>>,
    /// What an operator takes down: emptied, and not forgotten.
    pub taken_down: BTreeSet<(StackName, HostName)>,
    /// Something that it only refers to could not be had, and may be there when it is read again.
    pub is_awaited: bool,
}

impl Commit {
    /// A commit of which no stack was read yet.
    fn unread(
        (revision, facts): (Revision, CommitFacts),
        fleet: Option<Fleet>,
        problems: Diagnostics,
        outside: Digest,
    ) -> Self {
        Self {
            revision,
            facts,
            fleet,
            outside,
            problems,
            claims: Arc::default(),
            stacks: BTreeMap::new(),
            retired: BTreeMap::new(),
            before: BTreeMap::new(),
            heirs: BTreeMap::new(),
            taken_over: BTreeMap::new(),
            taken_down: BTreeSet::new(),
            is_awaited: false,
        }
    }

    /// Why the commit as a whole cannot be used, if it cannot.
    pub fn fleet_problem(&self) -> Option<String> {
        let first = self.problems.first_error()?;
        Some(format!("{}: {}", first.location, first.message))
    }

    /// Values that nobody may read on a forge, in a note or in a log.
    pub fn secrets(&self) -> SecretSet {
        let mut all = SecretSet::default();
        for loaded in self.stacks.values() {
            all.extend(&loaded.secrets);
            let variables = loaded.stack.environment.iter();
            all.extend(&secrets::of_variables(&loaded.tree, variables));
            all.extend(&match &loaded.project {
                Some(project) => secrets::of_project(project, &loaded.tree),
                None => secrets::of_manifests(&loaded.tree),
            });
            all.spare(loaded.project.iter().flat_map(secrets::public_names));
            all.spare([loaded.stack.name.to_string()]);
        }
        all
    }

    /// The commit as the newest one of its branch.
    pub fn head(&self) -> Head {
        Head {
            revision: self.revision.clone(),
            subject: self.facts.subject.clone(),
            fleet_problem: self.fleet_problem(),
        }
    }

    /// The encrypted files of all its stacks, opened.
    pub fn opened(&self) -> OpenedFiles {
        let all = self.stacks.values().flat_map(|stack| &stack.opened);
        all.map(|(path, file)| (path.clone(), Arc::clone(file))).collect()
    }

    /// Whether another commit asks every stack for the same.
    pub fn asks_the_same(&self, other: &Self) -> bool {
        let asked = |commit: &Self| -> Vec<(StackName, Digest)> {
            let stacks = commit.stacks.iter();
            stacks.map(|(name, loaded)| (name.clone(), loaded.digest.clone())).collect()
        };
        asked(self) == asked(other)
    }

    /// Whether a target is asked for no more.
    pub fn is_retired(&self, target: &Target) -> bool {
        self.retired.contains_key(&(target.stack.clone(), target.host.clone()))
    }

    /// Stacks that left, and that a target seems to have been.
    pub fn before(&self, target: &Target) -> Vec<Predecessor> {
        let place = (target.stack.clone(), target.host.clone());
        self.before.get(&place).cloned().unwrap_or_default()
    }

    /// What the commit asks of a target; nothing, when it never heard of it.
    pub fn stack_of(&self, target: &Target) -> Option<&Arc<LoadedStack>> {
        let retired = self.retired.get(&(target.stack.clone(), target.host.clone()));
        retired.or_else(|| self.stacks.get(&target.stack))
    }
}

/// One stack of a commit.
#[derive(Clone)]
pub struct LoadedStack {
    /// What the fleet file says of it.
    pub stack: Stack,
    /// Its project; `None` when its manifests cannot be used.
    pub project: Option<Project>,
    /// Problems of its manifests.
    pub problems: Diagnostics,
    /// Its Compose files, as the model names them.
    pub config_files: Vec<String>,
    /// The files that it needs.
    pub tree: ManifestTree,
    /// Placement decides which of its replicas run on which of its hosts.
    pub spreads: bool,
    /// What it is given from outside Git: nobody may read it anywhere.
    pub secrets: SecretSet,
    /// A digest over all of this: two commits with the same one ask for the same.
    pub digest: Digest,
    /// What all stacks of its commit ask for by name.
    pub claims: Arc<Claims>,
    /// Its encrypted files, opened.
    opened: OpenedFiles,
    /// What was written already.
    shelf: Arc<Mutex<Shelf>>,
}

impl fmt::Debug for LoadedStack {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("LoadedStack").field("stack", &self.stack.name).finish_non_exhaustive()
    }
}

/// What a stack asks of one host.
#[derive(Debug)]
pub struct Written {
    /// What it asks; `None` when it cannot be used.
    pub desired: Option<Arc<Desired>>,
    /// Problems with this Engine.
    pub problems: Diagnostics,
}

impl LoadedStack {
    /// Files and folders of the repository that its containers see or are built from.
    pub(crate) fn seen_files(&self) -> BTreeSet<TreePath> {
        self.project.iter().flat_map(loading::wanted_files).collect()
    }

    /// What the stack asks of one host.
    pub fn write(
        &self,
        target: &Target,
        revision: &Revision,
        host_data: &str,
        engine: &EngineFacts,
    ) -> Written {
        let Some(project) = &self.project else {
            return Written { desired: None, problems: Diagnostics::default() };
        };
        let folder = tree_path(&project.root).and_then(|path| TreePath::parse(path).ok());
        let config_files: Vec<String> = self
            .config_files
            .iter()
            .map(|path| tree_path(path).unwrap_or(path).to_owned())
            .collect();
        let (mut desired, problems) = desired::make(desired::Input {
            project,
            folder: &folder.unwrap_or_default(),
            tree: &self.tree,
            stack: &target.stack,
            repository: &target.repository,
            revision,
            config_files: &config_files,
            host_data,
            directory: self.stack.directory.as_deref(),
            engine,
            spreads: self.spreads,
            paths: RelativePaths::FromGit,
        });
        desired.neighbours = Neighbourhood {
            claims: vec![Arc::clone(&self.claims)],
            host: Some(target.host.clone()),
        };
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner).share(&mut desired);
        Written { desired: Some(Arc::new(desired)), problems }
    }

    /// Its encrypted files, opened.
    pub fn opened(&self) -> &OpenedFiles {
        &self.opened
    }

    /// The Compose project's name, where the manifests could be read.
    pub fn project_name(&self) -> Option<&StackName> {
        self.project.as_ref().map(|project| &project.name)
    }

    /// A stack without services: what becomes of one that left the repository, or this host.
    pub fn emptied(stack: Stack) -> Self {
        let project = stack.project.clone().unwrap_or_else(|| stack.name.clone());
        Self {
            project: Some(Project::empty(project, absolute(&stack.path))),
            digest: Digest::of(format!("emptied {stack:?}").as_bytes()),
            stack,
            problems: Diagnostics::default(),
            config_files: Vec::new(),
            spreads: false,
            tree: ManifestTree::default(),
            claims: Arc::default(),
            secrets: SecretSet::default(),
            opened: OpenedFiles::new(),
            shelf: Arc::default(),
        }
    }
}

/// Reads and loads a commit.
pub async fn read(
    place: &Place<'_>,
    wanted: &Wanted,
    stop: &CancellationToken,
) -> Result<Commit, GitError> {
    // Before the first look: what changes meanwhile is another state.
    let state = place.outside.state_now().await;
    let names = COMPOSE_FILES.iter().flat_map(|name| overrides_of(name));
    let manifests = TreeSelection::named(COMPOSE_FILES.into_iter().chain([FLEET_FILE, ".env"]));
    let mut selection = manifests;
    selection.names.extend(names);
    let pulled = place.git.pull(place.source, wanted, &selection, stop).await?;
    let revision = Wanted::Revision(pulled.revision.clone());
    let (fleet, mut problems) = fleet_of(place.repository, place.hosts, &pulled.tree);
    problems.0.extend(pulled.problems.0.iter().cloned());
    let head = (pulled.revision.clone(), pulled.facts.clone());
    let mut commit = Commit::unread(head, fleet, problems, state);
    let Some(fleet) = commit.fleet.clone() else { return Ok(commit) };
    let mut due: Arc<[Stack]> = fleet.stacks.values().cloned().collect();
    let mut pulled = pulled;
    let mut outside = BTreeSet::new();
    let mut given = Arc::new(loading::given(place.outside, &outside).await);
    let opening = Opening::of(place).await;
    for round in 0..ROUNDS_MAX {
        let mut missing = BTreeSet::new();
        let known_outside = outside.len();
        let mut newly_outside = BTreeSet::new();
        let mut incomplete = Vec::new();
        for (mut loaded, mut lacks) in loading::aside(&due, &pulled.tree, (&given, &opening)).await
        {
            let stack = &loaded.stack;
            loaded.spreads = stack.hosts.select(place.hosts).len() > 1
                && loaded.project.as_ref().is_some_and(placement::is_asked);
            lacks.tree.retain(|path| !selection.paths.contains(path));
            lacks.outside.retain(|path| !outside.contains(path));
            // What lacks nothing is not loaded again.
            if !lacks.tree.is_empty() || !lacks.outside.is_empty() {
                incomplete.push(stack.clone());
            }
            missing.extend(lacks.tree);
            newly_outside.extend(lacks.outside);
            commit.stacks.insert(stack.name.clone(), Arc::new(loaded));
        }
        outside.extend(newly_outside);
        due = incomplete.into();
        let asks_outside = known_outside < outside.len();
        if (missing.is_empty() && !asks_outside) || round + 1 == ROUNDS_MAX {
            break;
        }
        if asks_outside {
            given = Arc::new(loading::given(place.outside, &outside).await);
        }
        if !missing.is_empty() {
            selection.paths.extend(missing);
            pulled = place.git.pull(place.source, &revision, &selection, stop).await?;
        }
    }
    commit.is_awaited = pulled.elsewhere.is_awaited;
    beside::see_whole(&mut commit, place.hosts);
    let unread =
        pulled.problems.0.into_iter().filter(|problem| !commit.problems.0.contains(problem));
    let unread: Vec<Diagnostic> = unread.collect();
    commit.problems.0.extend(unread);
    Ok(commit)
}

/// `compose.yaml` → `compose.override.yaml`, `compose.override.yml`.
fn overrides_of(name: &str) -> Vec<String> {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    vec![format!("{stem}.override.yaml"), format!("{stem}.override.yml")]
}

/// The fleet that a commit asks for: its fleet file, or else its folders.
fn fleet_of(
    repository: &RepositoryName,
    hosts: &BTreeMap<HostName, Labels>,
    tree: &ManifestTree,
) -> (Option<Fleet>, Diagnostics) {
    let paths: BTreeSet<TreePath> = tree.files().map(|(path, _)| path.clone()).collect();
    let file = TreePath::parse(FLEET_FILE).ok().and_then(|path| tree.file(&path));
    match file {
        Some(file) => {
            // Folders without a manifest of Compose's own name were not read: only hosts are checked here, and a
            // folder that does not exist is found when its stack is loaded.
            let around = Surroundings { paths: None, hosts: Some(hosts) };
            match fleet_file::parse(FLEET_FILE, &file.bytes, around) {
                Ok((fleet, warnings)) => (Some(fleet), warnings),
                Err(problems) => (None, problems),
            }
        }
        None => {
            let (fleet, problems) = fleet_file::discover(&paths, repository);
            (Some(fleet), problems)
        }
    }
}

/// Loads one stack from what was read so far. Returns what it asked for and was not there.
pub fn load(stack: &Stack, tree: &ManifestTree, given: &Given) -> (LoadedStack, Lacks) {
    load_with(stack, tree, (given, &Opening::Closed))
}

/// The same, where encrypted files may be opened.
pub fn load_with(
    stack: &Stack,
    tree: &ManifestTree,
    around: (&Given, &Opening),
) -> (LoadedStack, Lacks) {
    load_within(stack, tree, around, &Budget::of_a_stack())
}

fn load_within(
    stack: &Stack,
    tree: &ManifestTree,
    (given, opening): (&Given, &Opening),
    budget: &Budget,
) -> (LoadedStack, Lacks) {
    let files = Recorded::new(tree, (given, opening), budget);
    let variables: Vec<&GivenVariables> = given.to(&stack.name).collect();
    let compose_files: Vec<String> = stack.files.iter().map(absolute).collect();
    let env_files: Vec<String> = stack.env_files.iter().map(absolute).collect();
    let shared: Vec<Vec<String>> =
        stack.shared_env_files.iter().map(|file| shared(stack, file)).collect();
    let request = LoadRequest {
        files: &files,
        folder: &absolute(&stack.path),
        compose_files: &compose_files,
        lookup: Lookup::Folder,
        profiles: &stack.profiles,
        variables: &stack.environment,
        given: &variables,
        env_files: &env_files,
        shared_env_files: &shared,
        project_name: stack.project.as_ref().map(StackName::as_str),
        default_name: Some(stack.name.as_str()),
        project_directory: None,
        home: None,
        purpose: LoadPurpose::Run { unset: stack.unset },
    };
    let loaded = compose::load_within(&request, budget);
    let mut lacks =
        Lacks { tree: files.missing.into_inner(), outside: files.missing_outside.into_inner() };
    if let Some(project) = &loaded.project {
        lacks.tree.extend(loading::wanted_files(project));
    }
    let misplaced =
        loaded.project.as_ref().map_or_else(Vec::new, |project| files.opener.attached(project));
    let (opened, closed) = files.opener.finish();
    let mut used = files.used.into_inner();
    used.insert(stack.path.clone());
    used.extend(loaded.project.iter().flat_map(loading::wanted_files));
    let outside = files.used_outside.into_inner();
    let digest = digest_of(stack, (tree, &used), (&loaded.given, &outside));
    let secrets = secrets_of(stack, &loaded, (&outside, &opened));
    // What stays closed is why others are not there: it is said first.
    let mut problems = Diagnostics(closed);
    problems.0.extend(loaded.problems.0.into_iter().chain(misplaced));
    if loaded.project.is_none() && !problems.has_errors() {
        let location = Location::file(stack.path.to_string());
        problems.push(Diagnostic::error(location, "the stack has no Compose file"));
    }
    let project = loaded.project.filter(|_| !problems.has_errors()).map(desired::jobs);
    let loaded = LoadedStack {
        stack: stack.clone(),
        project,
        problems,
        config_files: loaded.files_used.into_iter().filter(|path| is_yaml(path)).collect(),
        spreads: false,
        tree: opening::known(tree, &opened),
        opened,
        secrets,
        digest,
        claims: Arc::default(),
        shelf: Arc::default(),
    };
    (loaded, lacks)
}

/// Where a shared env file may lie: at the repository's root and, over it, in the stack's folder.
fn shared(stack: &Stack, file: &str) -> Vec<String> {
    let mut places: Vec<String> = Vec::new();
    for folder in [&TreePath::default(), &stack.path] {
        places.extend(folder.join(file).iter().map(absolute));
    }
    places.dedup();
    places
}

/// What a stack asked for and was not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lacks {
    /// In the repository.
    pub tree: BTreeSet<TreePath>,
    /// Outside it, where the settings let manifests read.
    pub outside: BTreeSet<String>,
}

/// What comes from outside, or was encrypted, is secret by its place. Names are not: they stand everywhere.
fn secrets_of(
    stack: &Stack,
    loaded: &compose::Loaded,
    (outside, opened): (&BTreeMap<String, Arc<[u8]>>, &OpenedFiles),
) -> SecretSet {
    let mut names = BTreeSet::from([stack.name.to_string()]);
    for (name, service) in loaded.project.iter().flat_map(|project| &project.services) {
        names.extend([name.to_string(), service.image.clone(), service.container_name.clone()]);
    }
    let mut set = secrets::of_given(&loaded.given, &names);
    for bytes in outside.values() {
        set.extend(&secrets::of_env_file(bytes, &names));
    }
    for file in opened.values() {
        set.extend(&secrets::of_opened(&file.values, &names));
    }
    set
}

/// Files outside Git that were read for a stack: path → content.
type OutsideFiles = BTreeMap<String, Arc<[u8]>>;

/// A digest over a stack's policy and over every file that it is made from, wherever in the repository that is.
fn digest_of(
    stack: &Stack,
    (tree, used): (&ManifestTree, &BTreeSet<TreePath>),
    (given, outside): (&BTreeMap<String, String>, &OutsideFiles),
) -> Digest {
    // What lies below a folder that is used comes with it: a thousand binds of one folder are one walk through it.
    let is_covered = |path: &TreePath| {
        let above = path.as_str().match_indices('/').filter_map(|(at, _)| path.as_str().get(..at));
        let is_used = |above: &str| TreePath::parse(above).is_ok_and(|above| used.contains(&above));
        !path.as_str().is_empty()
            && (used.contains(&TreePath::default()) || above.into_iter().any(is_used))
    };
    let tops: Vec<&TreePath> = used.iter().filter(|path| !is_covered(path)).collect();
    let below = tops.iter().flat_map(|path| tree.below(path));
    let single = used.iter().filter_map(|path| Some((path, tree.file(path)?)));
    let files: BTreeMap<&TreePath, &TreeFile> = below.chain(single).collect();
    // Where the fleet file says it, and when and where it may happen, does not change what is asked for.
    let asked = Stack {
        origin: Location::file(String::new()),
        hosts: HostSelector::Unsaid,
        after: BTreeSet::new(),
        implied: BTreeSet::new(),
        suspend: None,
        windows: Vec::new(),
        ..stack.clone()
    };
    let mut text = format!("{asked:?}");
    for (path, file) in files {
        let content = Digest::of(&file.bytes);
        text.extend([path.as_str(), &format!("{:?}", file.mode), content.as_str()]);
    }
    for (name, value) in given {
        text.extend([name, "=", Digest::of(value.as_bytes()).as_str()]);
    }
    for (path, bytes) in outside {
        text.extend([path, Digest::of(bytes).as_str()]);
    }
    Digest::of(text.as_bytes())
}

fn is_yaml(path: &str) -> bool {
    let extension = std::path::Path::new(path).extension();
    extension.is_some_and(|end| end.eq_ignore_ascii_case("yaml") || end.eq_ignore_ascii_case("yml"))
}

/// Where a path of the tree is in a model.
fn absolute(path: &TreePath) -> String {
    match path.as_str() {
        "" => TREE_ROOT.to_owned(),
        below => format!("{TREE_ROOT}/{below}"),
    }
}
