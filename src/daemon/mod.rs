//! The daemon: one loop a repository, one a host, one a target; the clock, signals and events.
//!
//! ```text
//! repository loop ── new commit ──► target loops ── report ──► store ──► publisher (forge or notes)
//! host loop ── link, events ──────►      │
//! signals, webhooks ── look now ──► repository loop
//! ```
//!
//! *Guarantees:* whoever starts a task awaits it; the first stop lets running steps end and their reports leave, the
//! second ends everything. *Assumptions:* one daemon a data folder (a lock sees to it).

mod descriptors;
mod first_looks;
mod guard;
mod repository;
mod systemd;
pub(crate) mod target;
mod view;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::settings::{RepositorySettings, Settings, Transport};
use crate::docker::EngineError;
use crate::forge::{ForgeError, Pace};
use crate::git::{Git, RemoteProblem, Source};
use crate::model::{Digest, HostName, RepositoryName};

pub use self::first_looks::FirstLooks;
use crate::connect::{self, Surroundings};
use crate::data::folder::{DaemonLock, DataError, DataFolder};
use crate::data::orders;
use crate::docker::Engine;
use crate::fleet::Orders;
use crate::preview::PullRequests;
use crate::publish::memory::Memory;
use crate::publish::peers::PeerStatuses;
use crate::publish::publisher::Publisher;
use crate::publish::sink;
use crate::reconcile::context::{Context, Foundations};
use crate::reconcile::host::ledger;
use crate::reconcile::host::{Host, Ring};
use crate::reconcile::limiter::PassLimiter;
use crate::reconcile::store::Store;
use crate::state::Change;

use repository::RepositoryLoop;
pub use view::View;

/// Why the daemon cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is nothing to follow.
    #[error("no repository is named")]
    NoRepository,
    /// A host that is to be kept does not exist.
    #[error("there is no host {name} in the settings")]
    NoHost {
        /// The name.
        name: HostName,
    },
    /// A repository's address cannot be used.
    #[error("repository {name}")]
    Remote {
        /// The repository.
        name: RepositoryName,
        /// Why.
        source: RemoteProblem,
    },
    /// A host's endpoint cannot be used.
    #[error("host {name}")]
    Host {
        /// The host.
        name: HostName,
        /// Why.
        source: EngineError,
    },
    /// A forge cannot be used.
    #[error("the forge of repository {name}")]
    Forge {
        /// The repository.
        name: RepositoryName,
        /// Why.
        source: ForgeError,
    },
    /// The data folder cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A loop ended although nobody stopped it. The daemon leaves, rather than keep half of what it is to keep.
    #[error("internal error: a part of the daemon ended by itself")]
    Broken,
}

impl StartError {
    /// A sentence of advice, where there is one to give.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::NoRepository => Some(
                "say `--repository URL`, or name one in the settings file (`--settings FILE`)"
                    .to_owned(),
            ),
            Self::NoHost { .. } => {
                Some("name it under `hosts:`, or with `--host NAME=ENDPOINT`".to_owned())
            }
            Self::Host { source, .. } => source.help(),
            Self::Data(DataError::Taken { .. }) => {
                Some("stop the other one, or give this one its own folder with `--data`".to_owned())
            }
            Self::Broken => Some("start it again; what ended, and why, is in the log".to_owned()),
            Self::Data(DataError::Unusable { .. }) => {
                Some("make it writable, or name another one with `--data`".to_owned())
            }
            _ => None,
        }
    }
}

/// What the daemon is to do.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The operator's settings.
    pub settings: Settings,
    /// The environment, as far as it matters.
    pub around: Surroundings,
    /// The only host to keep, when each host has a daemon of its own.
    pub as_host: Option<HostName>,
    /// How fast forges are told.
    pub pace: Pace,
}

/// What others may ask of a running daemon: a look at a repository, and what it knows. Ten requests before a look are one
/// look.
#[derive(Debug, Clone, Default)]
pub struct Doorbell {
    bells: Arc<BTreeMap<RepositoryName, Bells>>,
    first_looks: FirstLooks,
    view: View,
}

/// Who looks: one bell for the branch, one for pull requests.
#[derive(Debug, Clone, Default)]
struct Bells {
    branch: Arc<Notify>,
    pulls: Arc<Notify>,
}

impl Bells {
    fn ring(&self) {
        self.branch.notify_one();
        self.pulls.notify_one();
    }
}

impl Doorbell {
    /// A bell for each repository of the settings.
    pub fn new(settings: &Settings) -> Self {
        let names = settings.repositories.keys();
        let bells = names.map(|name| (name.clone(), Bells::default())).collect();
        Self {
            bells: Arc::new(bells),
            first_looks: FirstLooks::new(settings),
            view: View::default(),
        }
    }

    /// What the daemon has not looked at yet.
    pub fn first_looks(&self) -> &FirstLooks {
        &self.first_looks
    }

    /// What the daemon behind it knows.
    pub fn view(&self) -> View {
        self.view.clone()
    }

    /// Asks for a look at one repository.
    pub fn ring(&self, repository: &RepositoryName) {
        if let Some(bells) = self.bells.get(repository) {
            bells.ring();
        }
    }

    /// Asks for a look at all repositories.
    pub fn ring_all(&self) {
        for bells in self.bells.values() {
            bells.ring();
        }
    }

    fn of(&self, repository: &RepositoryName) -> Arc<Notify> {
        self.bells.get(repository).map(|bells| Arc::clone(&bells.branch)).unwrap_or_default()
    }

    fn of_pulls(&self, repository: &RepositoryName) -> Arc<Notify> {
        self.bells.get(repository).map(|bells| Arc::clone(&bells.pulls)).unwrap_or_default()
    }
}

/// Runs until `stop`, then lets running steps end; until `abort`, which ends everything at once.
pub async fn run(
    setup: Setup,
    doorbell: Doorbell,
    stop: CancellationToken,
    abort: CancellationToken,
) -> Result<(), StartError> {
    let settings = &setup.settings;
    if settings.repositories.is_empty() {
        return Err(StartError::NoRepository);
    }
    let (data, lock) = Box::pin(own_folder(&setup, &doorbell)).await?;
    descriptors::raise_limit();
    descriptors::leave_no_core();
    let mut tasks: JoinSet<()> = JoinSet::new();
    let (orders_sender, orders) = watch::channel(Arc::new(data.orders()?));
    tasks.spawn(orders::follow(data.clone(), orders_sender.clone(), stop.clone()));
    let hosts = start_hosts(&setup, (&data, &orders_sender), &mut tasks, &stop)?;
    let publishers_stop = CancellationToken::new();
    let mut publishers: JoinSet<()> = JoinSet::new();
    let git = Arc::new(Git::new(&data.git()));
    let limiter = Arc::new(PassLimiter::new(settings.limits.parallel_passes));
    let foundations = Foundations {
        settings,
        hosts: &hosts,
        git: &git,
        data: &data,
        limiter: &limiter,
        orders: &orders,
    };
    for (name, repository) in &settings.repositories {
        let worker = repository_loop(&setup, name, repository, foundations)?;
        doorbell.view.follow(name, &worker.context);
        let (first_looks, view) = (doorbell.first_looks().clone(), doorbell.view());
        let look_now = doorbell.of(name);
        let worker = RepositoryLoop { look_now, first_looks, view, ..worker };
        let publisher = publisher_of(&worker, repository, &data, &setup)?;
        let pulls = pull_requests(&worker, repository, doorbell.of_pulls(name), &setup);
        publishers.spawn(publisher.run(pulls, stop.clone(), publishers_stop.clone()));
        tasks.spawn(Box::pin(worker.run(stop.clone())));
    }
    tracing::info!(
        repositories = settings.repositories.len(),
        hosts = hosts.len(),
        data = %settings.data.display(),
        "moorline {} is running", env!("CARGO_PKG_VERSION")
    );
    systemd::ready();
    let looking = first_looks::follow(doorbell.first_looks().clone(), hosts.clone(), stop.clone());
    tasks.spawn(looking);
    let guarded = stop.child_token();
    let outcome = {
        let kept = guard::keep(data.clone(), lock, &guarded);
        until_it_ends(attend(&doorbell, &hosts, &stop), kept, &mut tasks, &stop).await
    };
    systemd::stopping();
    tracing::info!("stopping: running steps end, no new one begins");
    let graceful = async {
        while tasks.join_next().await.is_some() {}
        futures_util::future::join_all(hosts.values().map(|host| host.remember_at_once())).await;
        publishers_stop.cancel();
        while publishers.join_next().await.is_some() {}
    };
    tokio::select! {
        () = abort.cancelled() => tracing::warn!("stopped at once"),
        () = tokio::time::sleep(settings.limits.stop) => tracing::warn!("stopped before everything had ended"),
        () = graceful => tracing::info!("stopped"),
    }
    outcome
}

/// The data folder, which is this daemon's alone from now on; a fresh one hears from the hosts what its predecessor knew.
async fn own_folder(
    setup: &Setup,
    doorbell: &Doorbell,
) -> Result<(DataFolder, DaemonLock), StartError> {
    let settings = &setup.settings;
    let data = DataFolder::open(&settings.data)?.with_ledgers(ledger_keys(settings));
    let lock = only_daemon(&data).await?;
    doorbell.view.holds_folder();
    let data = data.of_the_daemon();
    if data.is_fresh() {
        hear_hosts(setup, &data).await?;
    }
    Ok((data, lock))
}

/// Until somebody stops the daemon, the data folder is another's, or a loop ends by itself; the last two stop it.
async fn until_it_ends(
    attending: impl Future<Output = ()>,
    kept: impl Future<Output = Result<(), DataError>>,
    tasks: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> Result<(), StartError> {
    tokio::select! {
        () = attending => Ok(()),
        kept = kept => kept.map_err(|error| {
            tracing::error!(%error, "this daemon leaves");
            stop.cancel();
            error.into()
        }),
        ended = tasks.join_next(), if !tasks.is_empty() => {
            // Loops end when they are told to, which may be seen here before the telling itself.
            let told = stop.is_cancelled();
            let error = ended.and_then(Result::err);
            let panic = error.map_or_else(String::new, |error| error.to_string());
            if told && panic.is_empty() {
                return Ok(());
            }
            tracing::error!(panic, "internal error: a loop ended; the daemon leaves");
            stop.cancel();
            Err(StartError::Broken)
        }
    }
}

/// The name under which hosts remember what is kept of each repository: the same after the data folder was lost.
pub(crate) fn ledger_keys(settings: &Settings) -> BTreeMap<RepositoryName, String> {
    let key = |(name, repository): (&RepositoryName, &RepositorySettings)| {
        let text = format!("{name}\0{}", repository.url.reveal());
        (name.clone(), Digest::of(text.as_bytes()).short().to_owned())
    };
    settings.repositories.iter().map(key).collect()
}

/// A new data folder asks all hosts what they remember, before it is decided what left Git. A host that does not answer
/// is heard when it does, before it is worked on.
async fn hear_hosts(setup: &Setup, data: &DataFolder) -> Result<(), StartError> {
    let mut tasks = JoinSet::new();
    for (name, host) in &setup.settings.hosts {
        if setup.as_host.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let (endpoint, engine) = connect::engine(name, host, &setup.settings, &setup.around)
            .map_err(|source| StartError::Host { name: name.clone(), source })?;
        let (name, data) = (name.clone(), data.clone());
        tasks.spawn(async move {
            let engine = Engine::connect(&endpoint, &engine).await?;
            ledger::learn(&engine, &data, &name).await.map(drop)
        });
    }
    let begun = tokio::time::Instant::now();
    let (mut all_heard, mut patience) = (true, HEAR_MOST);
    while let Ok(Some(ended)) = tokio::time::timeout_at(begun + patience, tasks.join_next()).await {
        all_heard &= matches!(ended, Ok(Ok(())));
        // What takes much longer than the others have taken hangs, and holds nobody up.
        patience = (begun.elapsed() * 3).clamp(HEAR_LEAST, HEAR_MOST);
    }
    if all_heard && tasks.is_empty() {
        data.was_told()?;
    } else {
        tracing::warn!(
            "not every host was heard: what is kept on the others is known when they answer"
        );
    }
    Ok(())
}

/// How long a new data folder waits for what hosts remember, while none of them has answered.
const HEAR_MOST: Duration = Duration::from_secs(5);
/// And once one has.
const HEAR_LEAST: Duration = Duration::from_secs(1);

/// The daemon's lock. Whoever asks whether there is a daemon holds it for a moment, which is not a daemon.
async fn only_daemon(data: &DataFolder) -> Result<DaemonLock, DataError> {
    const TRIES: u32 = 5;
    for _ in 1..TRIES {
        match data.lock_daemon() {
            Err(DataError::Taken { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
            taken => return taken,
        }
    }
    data.lock_daemon()
}

/// Until the daemon stops: SIGHUP rings repositories and targets, and systemd's watchdog is fed.
async fn attend(
    doorbell: &Doorbell,
    hosts: &BTreeMap<HostName, Arc<Host>>,
    stop: &CancellationToken,
) {
    let every = systemd::watchdog_interval().unwrap_or(Duration::from_hours(1));
    let mut beat = tokio::time::interval(every);
    let mut hangups = Hangups::listen();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = beat.tick() => systemd::alive(),
            () = hangups.next() => {
                tracing::info!("asked to look now");
                doorbell.ring_all();
                for host in hosts.values() {
                    host.ring_all(Ring::Changed);
                }
            }
        }
    }
}

/// SIGHUP asks for a look.
struct Hangups(Option<tokio::signal::unix::Signal>);

impl Hangups {
    fn listen() -> Self {
        let kind = tokio::signal::unix::SignalKind::hangup();
        match tokio::signal::unix::signal(kind) {
            Ok(signal) => Self(Some(signal)),
            Err(error) => {
                tracing::warn!(%error, "cannot listen for SIGHUP");
                Self(None)
            }
        }
    }

    async fn next(&mut self) {
        if let Some(signal) = &mut self.0
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}

/// Starts the loops of the hosts that this daemon keeps.
fn start_hosts(
    setup: &Setup,
    (data, orders): (&DataFolder, &watch::Sender<Arc<Orders>>),
    tasks: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> Result<BTreeMap<HostName, Arc<Host>>, StartError> {
    let settings = &setup.settings;
    if let Some(name) = &setup.as_host
        && !settings.hosts.contains_key(name)
    {
        return Err(StartError::NoHost { name: name.clone() });
    }
    let mut hosts = BTreeMap::new();
    for (name, one) in &settings.hosts {
        if setup.as_host.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let (endpoint, engine) = connect::engine(name, one, settings, &setup.around)
            .map_err(|source| StartError::Host { name: name.clone(), source })?;
        let host = Host::new(name.clone(), one.data.to_string_lossy().into_owned(), data.clone());
        host.hands_orders_to(orders.clone());
        tasks.spawn(Arc::clone(&host).run(endpoint, engine, stop.clone()));
        hosts.insert(name.clone(), host);
    }
    Ok(hosts)
}

fn repository_loop(
    setup: &Setup,
    name: &RepositoryName,
    repository: &RepositorySettings,
    foundations: Foundations<'_>,
) -> Result<RepositoryLoop, StartError> {
    let source = connect::source(repository, &setup.settings.limits, &setup.around)
        .map_err(|source| StartError::Remote { name: name.clone(), source })?;
    let local = repository.url.transport() == Transport::Local;
    let path = repository.url.reveal();
    let watched = local.then(|| PathBuf::from(path.strip_prefix("file://").unwrap_or(path)));
    let context = Context::new(name, &source, foundations);
    Ok(RepositoryLoop {
        name: name.clone(),
        source,
        interval: repository.interval,
        watched,
        git: Arc::clone(foundations.git),
        context: Arc::new(context),
        look_now: Arc::new(Notify::new()),
        first_looks: FirstLooks::default(),
        view: View::default(),
    })
}

/// What takes a repository's statuses to where people read them.
pub(crate) fn publisher(
    name: &RepositoryName,
    settings: &RepositorySettings,
    (git, source, store): (&Arc<Git>, &Source, &Arc<Store>),
    (data, setup): (&DataFolder, &Setup),
) -> Result<Publisher, StartError> {
    let sink = sink::of(name, settings)
        .map_err(|source| StartError::Forge { name: name.clone(), source })?;
    Ok(Publisher {
        name: name.clone(),
        settings: settings.clone(),
        sink,
        git: Arc::clone(git),
        source: source.clone(),
        store: Arc::clone(store),
        as_host: setup.as_host.clone(),
        data: data.clone(),
        pace: setup.pace,
        peers: None,
    })
}

/// The publisher of a repository's loop, which remembers what was said before.
fn publisher_of(
    worker: &RepositoryLoop,
    settings: &RepositorySettings,
    data: &DataFolder,
    setup: &Setup,
) -> Result<Publisher, StartError> {
    let places = (&worker.git, &worker.source, &worker.context.store);
    let publisher = publisher(&worker.name, settings, places, (data, setup))?;
    if let Some(last) = Memory::of(data, &worker.name).recall() {
        worker.context.store.apply(Change::Recalled(last));
    }
    let peers = setup.as_host.is_some().then(|| PeerStatuses::of(&worker.name, &worker.context));
    Ok(Publisher { peers, ..publisher })
}

/// What plans a repository's pull requests, unless the settings say that nothing does.
fn pull_requests(
    worker: &RepositoryLoop,
    settings: &RepositorySettings,
    look_now: Arc<Notify>,
    setup: &Setup,
) -> Option<PullRequests> {
    settings.forge.pull_requests.then(|| PullRequests {
        name: worker.name.clone(),
        source: worker.source.clone(),
        git: Git::new(&worker.context.data.pulls()),
        interval: worker.interval,
        context: Arc::clone(&worker.context),
        look_now,
        as_host: setup.as_host.clone(),
        settle: setup.pace.settle.saturating_add(setup.pace.gap),
    })
}
