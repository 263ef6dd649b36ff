//! One look or one pass over all targets, for the commands: no loops, no events.

pub mod doctor;
mod folder;
pub mod hands;
mod proposed;
mod round;
pub mod running;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::commit::{self, Commit, Place};
use crate::config::settings::DATA_FOLDER;
use crate::docker::{Depth, Engine, Scope};
use crate::fleet::placement::{HostSight, Placement};
use crate::git::{Git, GitError, Source, Wanted};
use crate::model::{HostName, Observed, RepositoryName, Revision, StackName};
use crate::outside::Outside;
use crate::reconcile::apply::Listener;
use crate::reconcile::pass::{Share, Sight};
use crate::reconcile::{self, Proposal};
use crate::report::{Failure, Report, Target};

use crate::commit::removed::{retire, take_down};
use crate::daemon::{self, Setup, StartError};
use crate::data::folder::DataFolder;
use crate::reconcile::host::failure_of;
use crate::reconcile::limiter::PassLimiter;
use crate::reconcile::store::Store;
use crate::reconcile::survey::{self, Survey, seen_by};
use crate::state::{Change, NewHead};
use crate::{clock, connect, redaction};

/// Why a command could not look at all.
#[derive(Debug, thiserror::Error)]
pub enum OnceError {
    /// The settings cannot be used.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The repository cannot be read.
    #[error("repository {name}")]
    Git {
        /// Which.
        name: RepositoryName,
        /// Why.
        source: GitError,
    },
    /// The commit's fleet file cannot be used.
    #[error("{problem}")]
    Fleet {
        /// Its problems, one a line.
        problem: String,
        /// The commit, for who says so on it.
        seen: Option<Box<Seen>>,
    },
    /// There is no such stack.
    #[error("there is no stack {name} in the repository")]
    NoStack {
        /// The name.
        name: StackName,
        /// Those that there are.
        known: Vec<StackName>,
    },
}

impl OnceError {
    /// A sentence of advice, where there is one to give.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Start(error) => error.help(),
            Self::Git { source, .. } => Some(source.help()).filter(|help| !help.is_empty()),
            Self::Fleet { .. } => None,
            Self::NoStack { known, .. } => {
                let names: Vec<&str> = known.iter().map(StackName::as_str).collect();
                Some(format!("there are: {}", names.join(", ")))
            }
        }
    }
}

/// What a command asks for.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// Only these stacks; all when empty.
    pub stacks: BTreeSet<StackName>,
    /// Another commit than the branch's head.
    pub revision: Option<String>,
    /// Windows and waves do not hold: an operator says so.
    pub passes_by: bool,
    /// The stacks are taken down: suspensions of them do not hold.
    pub takes_down: bool,
}

/// One repository as a command sees it.
#[derive(Debug)]
pub struct Seen {
    /// Its name.
    pub repository: RepositoryName,
    /// Its commit.
    pub commit: Arc<Commit>,
    /// Clones, for who writes notes afterwards.
    pub git: Arc<Git>,
    /// The remote.
    pub source: Source,
}

/// Reads every repository's commit.
pub async fn read(
    setup: &Setup,
    wish: &Wish,
    stop: &CancellationToken,
) -> Result<Vec<Seen>, OnceError> {
    let settings = &setup.settings;
    if settings.repositories.is_empty() {
        return Err(StartError::NoRepository.into());
    }
    let data = DataFolder::open(&settings.data).map_err(StartError::from)?;
    let labels = settings.host_labels();
    let git = Arc::new(Git::new(&data.git()));
    let outside = Arc::new(Outside::new(settings));
    let mut all = Vec::new();
    for (name, repository) in &settings.repositories {
        let source = connect::source(repository, &settings.limits, &setup.around)
            .map_err(|source| StartError::Remote { name: name.clone(), source })?;
        redaction::hide(&connect::secrets(repository));
        let failed = |source| OnceError::Git { name: name.clone(), source };
        let wanted = match &wish.revision {
            None => Wanted::Head,
            Some(text) => Wanted::Revision(git.resolve(&source, text, stop).await.map_err(failed)?),
        };
        let (repository, hosts) = (name, &labels);
        let place = Place { git: &git, source: &source, repository, hosts, outside: &outside };
        let mut commit = commit::read(&place, &wanted, stop).await.map_err(failed)?;
        hide_secrets_of(&commit);
        // What another commit than the head's does not know may well be wanted.
        if wish.revision.is_none() && commit.fleet_problem().is_none() {
            let targets = targets_of(setup, name, &commit);
            let hosts = own_hosts(setup);
            retire(&mut commit, &data, name, &targets, &hosts).map_err(StartError::from)?;
        }
        let problem = refused(&commit);
        let (repository, commit) = (name.clone(), Arc::new(commit));
        let seen = Seen { repository, commit, git: Arc::clone(&git), source };
        if let Some(problem) = problem {
            return Err(OnceError::Fleet { problem, seen: Some(Box::new(seen)) });
        }
        all.push(seen);
    }
    check_names(wish, &all)?;
    Ok(all)
}

/// No line of a log says what nobody may read of a commit.
fn hide_secrets_of(commit: &Commit) {
    redaction::hide(&commit.secrets());
}

/// Why a commit cannot be used, all of it: half a fleet is acted on by no command, since what it does not name would be
/// taken for gone.
fn refused(commit: &Commit) -> Option<String> {
    commit.fleet_problem()?;
    let lines: Vec<String> = commit.problems.0.iter().map(ToString::to_string).collect();
    Some(lines.join("\n"))
}

fn check_names(wish: &Wish, all: &[Seen]) -> Result<(), OnceError> {
    let known: BTreeSet<StackName> = all
        .iter()
        .flat_map(|seen| {
            let retired = seen.commit.retired.keys().map(|(stack, _)| stack);
            seen.commit.stacks.keys().chain(retired).cloned()
        })
        .collect();
    match wish.stacks.iter().find(|name| !known.contains(*name)) {
        None => Ok(()),
        Some(name) => {
            Err(OnceError::NoStack { name: name.clone(), known: known.into_iter().collect() })
        }
    }
}

/// The hosts of a stack as it was read, as far as this process keeps them and they are among `only`; all without any.
pub fn hosts_of(
    setup: &Setup,
    seen: &Seen,
    stack: &StackName,
    only: &BTreeSet<HostName>,
) -> BTreeSet<HostName> {
    let all = targets_of(setup, &seen.repository, &seen.commit).into_iter();
    let own = all.filter(|target| target.stack == *stack).map(|target| target.host);
    own.filter(|host| only.is_empty() || only.contains(host)).collect()
}

/// The same repository, asking no more for a stack on these hosts: an operator takes it down.
#[must_use]
pub fn without(
    setup: &Setup,
    seen: &Seen,
    stack: &StackName,
    (on, volumes): (&BTreeSet<HostName>, bool),
) -> Seen {
    let mut commit = (*seen.commit).clone();
    take_down(&mut commit, stack, on, (&setup.settings.host_labels(), volumes));
    let Seen { repository, git, source, .. } = seen;
    Seen {
        repository: repository.clone(),
        commit: Arc::new(commit),
        git: Arc::clone(git),
        source: source.clone(),
    }
}

/// Hosts that are being connected at one time.
const CONNECTING_MAX: usize = 128;

/// Connects the hosts of the settings; one that cannot be reached is an error of its own.
pub async fn connect(setup: &Setup) -> Result<Engines, StartError> {
    let mut tasks = JoinSet::new();
    let ways = Arc::new(PassLimiter::new(CONNECTING_MAX));
    for (name, host) in &setup.settings.hosts {
        if setup.as_host.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let (endpoint, settings) = connect::engine(name, host, &setup.settings, &setup.around)
            .map_err(|source| StartError::Host { name: name.clone(), source })?;
        let name = name.clone();
        let ways = Arc::clone(&ways);
        tasks
            .spawn(async move { (name, ways.run(|| Engine::connect(&endpoint, &settings)).await) });
    }
    let mut engines = BTreeMap::new();
    while let Some(ended) = tasks.join_next().await {
        if let Ok((name, result)) = ended {
            engines.insert(name, result.map_err(|error| failure_of(&error)));
        }
    }
    Ok(engines)
}

/// Makes the listener of one target's steps.
pub type Listeners = Arc<dyn Fn(&Target) -> Listener + Send + Sync>;

pub use folder::read_folder;
pub use proposed::{Proposed, ProposedError, proposed};
pub use round::{run, run_on};

/// Hosts by name, each connected or not.
pub type Engines = BTreeMap<HostName, Result<Engine, Failure>>;

/// Targets in waves: stacks in the order of their `after`, and last what is asked for no more.
pub(crate) fn target_waves(setup: &Setup, seen: &Seen, wish: &Wish) -> Vec<Vec<Target>> {
    let all = targets_of(setup, &seen.repository, &seen.commit);
    let of = |wave: Vec<StackName>| {
        all.iter().filter(|target| wave.contains(&target.stack)).cloned().collect()
    };
    let mut found: Vec<Vec<Target>> = waves(&seen.commit, wish).into_iter().map(of).collect();
    let retired = seen.commit.retired.keys();
    let retired =
        retired.filter(|(stack, _)| wish.stacks.is_empty() || wish.stacks.contains(stack));
    found.push(
        retired
            .map(|(stack, host)| Target {
                repository: seen.repository.clone(),
                stack: stack.clone(),
                host: host.clone(),
            })
            .collect(),
    );
    found
}

/// Hosts that this process keeps.
fn own_hosts(setup: &Setup) -> BTreeSet<HostName> {
    let all = setup.settings.hosts.keys();
    all.filter(|host| setup.as_host.as_ref().is_none_or(|only| only == *host)).cloned().collect()
}

/// Stacks times hosts, as far as this process keeps them.
pub(crate) fn targets_of(
    setup: &Setup,
    repository: &RepositoryName,
    commit: &Commit,
) -> BTreeSet<Target> {
    let (labels, own) = (setup.settings.host_labels(), own_hosts(setup));
    let mut targets = BTreeSet::new();
    for stack in commit.stacks.values() {
        let hosts = stack.stack.hosts.select(&labels);
        targets.extend(hosts.into_iter().filter(|host| own.contains(host)).map(|host| Target {
            repository: repository.clone(),
            stack: stack.stack.name.clone(),
            host,
        }));
    }
    targets
}

/// Stacks in waves: each comes after those that it names in `after`.
fn waves(commit: &Commit, wish: &Wish) -> Vec<Vec<StackName>> {
    let mut open: BTreeMap<StackName, BTreeSet<StackName>> = commit
        .stacks
        .iter()
        .filter(|(name, _)| wish.stacks.is_empty() || wish.stacks.contains(*name))
        .map(|(name, stack)| (name.clone(), stack.stack.after.clone()))
        .collect();
    let mut waves = Vec::new();
    while !open.is_empty() {
        let names: BTreeSet<StackName> = open.keys().cloned().collect();
        let mut wave: Vec<StackName> = open
            .iter()
            .filter(|(_, after)| after.is_disjoint(&names))
            .map(|(name, _)| name.clone())
            .collect();
        if wave.is_empty() {
            // The fleet file refuses circles; whatever is left goes together.
            wave = open.keys().cloned().collect();
        }
        open.retain(|name, _| !wave.contains(name));
        waves.push(wave);
    }
    waves
}

/// A saved observation of one target: what `observe` prints and `plan --observed` reads.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// The stack.
    pub stack: StackName,
    /// The host.
    pub host: HostName,
    /// What was seen.
    pub observed: Observed,
}

/// Looks at all targets that were asked for. A host that cannot be seen fails the whole: half an observation would be
/// taken for a whole one later.
pub async fn observe(
    setup: &Setup,
    seen: &[Seen],
    wish: &Wish,
) -> Result<Vec<Saved>, ObserveError> {
    let engines = connect(setup).await?;
    let mut all = Vec::new();
    for repository in seen {
        for target in target_waves(setup, repository, wish).into_iter().flatten() {
            let Target { stack, host, .. } = &target;
            let unseen = |failure: &Failure| ObserveError::Unseen {
                host: host.clone(),
                why: failure.message.clone(),
            };
            let Some(engine) = engines.get(host) else { continue };
            let engine = engine.as_ref().map_err(unseen)?;
            let mut scope = Scope::new(stack.clone(), repository.repository.clone());
            let (data, revision) = (host_data(setup, host), &repository.commit.revision);
            let loaded = repository.commit.stack_of(&target);
            let written = loaded.map(|it| it.write(&target, revision, &data, &engine.facts()));
            if let Some(desired) = written.and_then(|written| written.desired) {
                scope = Scope::of(&desired);
            }
            let observed = engine.observe(&scope, Depth::Full, clock::now()).await;
            let observed = observed.map_err(|error| unseen(&failure_of(&error)))?;
            all.push(Saved { stack: stack.clone(), host: host.clone(), observed });
        }
    }
    Ok(all)
}

/// Why a look failed.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The settings cannot be used.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A host cannot be seen.
    #[error("host {host} cannot be seen: {why}")]
    Unseen {
        /// Which.
        host: HostName,
        /// Why.
        why: String,
    },
}

/// Plans against saved observations; no host is asked. Targets of which none was saved are left out.
pub async fn plan_saved(
    setup: &Setup,
    seen: &[Seen],
    wish: &Wish,
    saved: &[Saved],
) -> Result<Vec<Report>, OnceError> {
    let mut reports = Vec::new();
    for repository in seen {
        let commit = &repository.commit;
        let placement = placement_saved(setup, commit, saved);
        let wanted = |one: &&Saved| wish.stacks.is_empty() || wish.stacks.contains(&one.stack);
        for one in saved.iter().filter(wanted) {
            let target = Target {
                repository: repository.repository.clone(),
                stack: one.stack.clone(),
                host: one.host.clone(),
            };
            let Some(stack) = commit.stack_of(&target) else { continue };
            let policy = stack.stack.policy(&setup.settings.limits);
            let data = host_data(setup, &one.host);
            let placement = placement.as_ref().filter(|_| stack.spreads);
            let proposal = Proposal {
                target: &target,
                stack,
                revision: &commit.revision,
                policy: &policy,
                sight: Sight::Saved(&one.observed),
                host_data: &data,
                share: placement.map(|placement| Share::Placed(Arc::new(placement.clone()))),
                reached: None,
                state: crate::model::LastState::default(),
                before: commit.before(&target),
            };
            reports.push(reconcile::propose(proposal, &CancellationToken::new()).await);
        }
    }
    reports.sort_by(|one, other| one.target.cmp(&other.target));
    Ok(reports)
}

/// Who would sit where, by saved observations; nothing where no stack is spread. A host of which nothing was saved keeps
/// what it may have.
fn placement_saved(setup: &Setup, commit: &Commit, saved: &[Saved]) -> Option<Placement> {
    survey::spread(commit).next()?;
    let settings = &setup.settings;
    let labels = settings.host_labels();
    let mut survey = Survey::new(settings.limits.returning);
    for (name, host) in &settings.hosts {
        let known = saved.iter().find(|one| one.host == *name);
        let sight = if known.is_some() { HostSight::Seen } else { HostSight::Unseen };
        let facts = known.map(|one| &one.observed.engine);
        survey.host(name, (&host.labels, &host.capacity), (facts, sight));
    }
    for target in survey::targets_of(survey::spread(commit), &labels) {
        let one = saved.iter().find(|one| one.stack == target.stack && one.host == target.host);
        let seen = one.and_then(|one| seen_by(&one.observed));
        survey.look(&target.stack, &target.host, seen.as_ref());
    }
    Some(survey.place(&survey::asked(commit, &labels)))
}

/// Folder of Moorline's data on a host.
pub(crate) fn host_data(setup: &Setup, host: &HostName) -> String {
    let hosts = &setup.settings.hosts;
    hosts.get(host).map_or(DATA_FOLDER.to_owned(), |host| host.data.to_string_lossy().into_owned())
}

/// Says on the commits what became of a pass over all their stacks, as the daemon would. A part of the stacks says
/// nothing: the daemon does.
pub async fn publish(setup: &Setup, wish: &Wish, seen: &[Seen], reports: &[Report]) {
    if !wish.stacks.is_empty() {
        return;
    }
    let Ok(data) = DataFolder::open(&setup.settings.data) else { return };
    for repository in seen {
        let Some(settings) = setup.settings.repositories.get(&repository.repository) else {
            continue;
        };
        let own: Vec<&Report> = reports
            .iter()
            .filter(|report| report.target.repository == repository.repository)
            .collect();
        let store = Arc::new(Store::default());
        let targets: Vec<Target> = own.iter().map(|report| report.target.clone()).collect();
        store.apply(Change::Head(Box::new(NewHead {
            head: repository.commit.head(),
            fleet: None,
            asks: BTreeMap::new(),
            targets,
            awaited: BTreeSet::new(),
            at: clock::now(),
        })));
        for report in own {
            let (newest, report) = (repository.commit.revision.clone(), Arc::new(report.clone()));
            store.apply(Change::Reported { newest, report });
        }
        store.hide(&repository.commit.secrets());
        let places = (&repository.git, &repository.source, &store);
        match daemon::publisher(&repository.repository, settings, places, (&data, setup)) {
            Ok(publisher) => Box::pin(publisher.once()).await,
            Err(error) => tracing::warn!(%error, "cannot say it on the commit"),
        }
    }
}

/// Whether a commit's stack can be used at all.
///
/// # Errors
/// What is wrong with it.
pub async fn check_stack(
    setup: &Setup,
    seen: &Seen,
    revision: &Revision,
    stack: &StackName,
    stop: &CancellationToken,
) -> Result<(), OnceError> {
    let commit = at(setup, seen, revision, stop).await?;
    let Some(loaded) = commit.stacks.get(stack) else {
        let known = commit.stacks.keys().cloned().collect();
        return Err(OnceError::NoStack { name: stack.clone(), known });
    };
    if loaded.project.is_none() {
        let lines: Vec<String> = loaded.problems.0.iter().map(ToString::to_string).collect();
        return Err(OnceError::Fleet { problem: lines.join("\n"), seen: None });
    }
    Ok(())
}

/// Whether a commit asks for something else of a stack than the newest one does. One that cannot be read does not.
pub async fn asks_for_other(
    setup: &Setup,
    seen: &Seen,
    revision: &Revision,
    stack: &StackName,
    stop: &CancellationToken,
) -> bool {
    let digest = |commit: &Commit| {
        commit.stacks.get(stack).filter(|it| it.project.is_some()).map(|it| it.digest.clone())
    };
    match at(setup, seen, revision, stop).await {
        Ok(commit) => {
            let before = digest(&commit);
            before.is_some() && before != digest(&seen.commit)
        }
        Err(_) => false,
    }
}

async fn at(
    setup: &Setup,
    seen: &Seen,
    revision: &Revision,
    stop: &CancellationToken,
) -> Result<Commit, OnceError> {
    let labels = setup.settings.host_labels();
    let place = Place {
        git: &seen.git,
        source: &seen.source,
        repository: &seen.repository,
        hosts: &labels,
        outside: &Arc::new(Outside::new(&setup.settings)),
    };
    let read = commit::read(&place, &Wanted::Revision(revision.clone()), stop).await;
    read.map_err(|source| OnceError::Git { name: seen.repository.clone(), source })
}
