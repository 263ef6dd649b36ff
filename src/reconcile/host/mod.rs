//! One task a host: keeps its Engine connected, reads its events, and rings the targets that they concern.
//!
//! An Engine that cannot be reached is a state of that host. Its targets are told, and everything else goes on.

pub(crate) mod ledger;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use self::ledger::Known;
use crate::docker::{Endpoint, Engine, EngineError, EngineEvent, EngineSettings, EventKind};
use crate::fleet::Orders;
use crate::model::{CommitState, Desired, HostName, Remedy, StackName, Timestamp, chain};
use crate::report::Failure;
use crate::schedule;

use crate::clock;
use crate::data::folder::DataFolder;
use crate::data::journal::{Entry, Kind};

/// A host's Engine, as far as it can be reached.
#[derive(Debug, Clone)]
pub enum Link {
    /// Not tried yet.
    Connecting,
    /// Connected.
    Up(Engine),
    /// Out of reach.
    Down {
        /// Since when.
        since: Timestamp,
        /// Why.
        failure: Failure,
    },
}

/// Rings a target: ten rings before it looks are one look.
#[derive(Debug, Default)]
pub struct TargetBell {
    notify: Notify,
    thorough: std::sync::atomic::AtomicBool,
    interest: Mutex<Interest>,
}

/// What a target wants to hear of beside what happens to its own.
#[derive(Debug, Default)]
struct Interest {
    /// What it asks of the host: whatever becomes of things with these names concerns it, whosever they are.
    desired: Option<Arc<Desired>>,
    /// Something of it is held until anything on the host becomes there or free.
    is_waiting: bool,
}

impl Interest {
    fn heeds(&self, event: &EngineEvent) -> bool {
        let Some(desired) = &self.desired else { return false };
        let (name, id) = (event.name(), event.id.as_str());
        match event.kind {
            EventKind::Container => {
                let comes_or_goes = event.comes_or_goes();
                comes_or_goes && (self.is_waiting || desired.needs_container(name, id))
            }
            EventKind::Network => {
                let mut networks = desired.networks.values();
                (self.is_waiting && event.comes_or_goes())
                    || networks.any(|network| network.spec.name == name)
            }
            EventKind::Volume => {
                let mut volumes = desired.volumes.values();
                (self.is_waiting && event.comes_or_goes())
                    || volumes.any(|volume| volume.spec.name == name)
            }
            // What loses its name, or goes, is told by its id alone.
            EventKind::Image => {
                let mut images = desired.services.values().map(|service| service.image.as_str());
                let known = images.any(|image| image == id || familiar(image) == familiar(name));
                known || self.is_waiting || matches!(event.action.as_str(), "untag" | "delete")
            }
        }
    }
}

/// What a ring asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ring {
    /// Something happened: look at what changed.
    Changed,
    /// Events may have been missed: look at everything.
    Full,
}

impl TargetBell {
    /// Rings.
    pub fn ring(&self, ring: Ring) {
        if ring == Ring::Full {
            self.thorough.store(true, std::sync::atomic::Ordering::Release);
        }
        self.notify.notify_one();
    }

    /// Says what to ring for beside what happens to the target's own: what it asks for, and whether it waits for
    /// anything on the host to become there or free.
    pub(crate) fn listen_for(&self, desired: Option<&Arc<Desired>>, is_waiting: bool) {
        *self.interest.lock().unwrap_or_else(PoisonError::into_inner) =
            Interest { desired: desired.cloned(), is_waiting };
    }

    fn heeds(&self, event: &EngineEvent) -> bool {
        self.interest.lock().unwrap_or_else(PoisonError::into_inner).heeds(event)
    }

    /// Waits for a ring.
    pub async fn rung(&self) {
        self.notify.notified().await;
    }

    /// Whether a full look was asked for since this was last called.
    pub fn take_full(&self) -> bool {
        self.thorough.swap(false, std::sync::atomic::Ordering::AcqRel)
    }
}

/// A host as its targets see it.
#[derive(Debug)]
pub struct Host {
    /// Its name.
    pub name: HostName,
    /// Folder of Moorline's data on it.
    pub data: String,
    story: DataFolder,
    link: watch::Sender<Link>,
    /// When it was last seen, in milliseconds since 1970; 0 while that never was.
    seen: AtomicI64,
    /// Where orders go that this host alone knew.
    orders: OnceLock<watch::Sender<Arc<Orders>>>,
    doubted: Notify,
    bells: Mutex<BTreeMap<StackName, Vec<Arc<TargetBell>>>>,
    /// Stacks with data that goes once everything on this host is in sync.
    pruners: Mutex<BTreeSet<StackName>>,
    /// What the host remembers for the data folder.
    remembers: tokio::sync::Mutex<Known>,
}

impl Host {
    /// A host that is not connected yet.
    pub fn new(name: HostName, data: String, story: DataFolder) -> Arc<Self> {
        let (link, _) = watch::channel(Link::Connecting);
        let seen = AtomicI64::new(story.last_seen(&name).map_or(0, Timestamp::as_millis));
        Arc::new(Self {
            name,
            data,
            story,
            link,
            seen,
            orders: OnceLock::new(),
            doubted: Notify::new(),
            bells: Mutex::new(BTreeMap::new()),
            pruners: Mutex::default(),
            remembers: tokio::sync::Mutex::default(),
        })
    }

    /// Hands orders that this host alone knows to whoever follows them.
    pub(crate) fn hands_orders_to(&self, sender: watch::Sender<Arc<Orders>>) {
        self.orders.get_or_init(|| sender);
    }

    /// A host that stays as it is: nobody follows its Engine.
    pub(crate) fn linked(name: HostName, data: String, story: DataFolder, link: Link) -> Arc<Self> {
        let host = Self::new(name, data, story);
        host.link.send_replace(link);
        host
    }

    /// Follows the connection.
    pub fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    /// Resolves when the host is out of reach, with what its targets say then.
    pub(crate) async fn goes_down(&self) -> Failure {
        let mut link = self.link();
        loop {
            if let Link::Down { since, failure } = &*link.borrow_and_update() {
                return unknown_since(*since, failure);
            }
            if link.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Something on this host was not answered: it is asked at once whether it is there.
    pub(crate) fn doubt(&self) {
        self.doubted.notify_one();
    }

    /// Has a bell rung for what concerns a stack, until it is dropped elsewhere.
    pub fn attach(&self, stack: &StackName, bell: &Arc<TargetBell>) {
        let mut bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        bells.entry(stack.clone()).or_default().push(Arc::clone(bell));
    }

    /// Rings no more.
    pub fn detach(&self, stack: &StackName, bell: &Arc<TargetBell>) {
        let mut bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(list) = bells.get_mut(stack) {
            list.retain(|other| !Arc::ptr_eq(other, bell));
            if list.is_empty() {
                bells.remove(stack);
            }
        }
    }

    /// Rings for a stack.
    pub(crate) fn ring_stack(&self, stack: &StackName, ring: Ring) {
        let bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        bells.get(stack.as_str()).into_iter().flatten().for_each(|bell| bell.ring(ring));
    }

    /// Whether a stack has data that goes once everything on this host is in sync.
    pub(crate) fn prunes(&self, stack: &StackName, waits: bool) {
        let mut pruners = self.pruners.lock().unwrap_or_else(PoisonError::into_inner);
        if waits {
            pruners.insert(stack.clone());
        } else {
            pruners.remove(stack.as_str());
        }
    }

    /// A stack got in sync: those that wait for all others look again.
    pub(crate) fn ring_pruners(&self, but: &StackName) {
        let pruners = self.pruners.lock().unwrap_or_else(PoisonError::into_inner).clone();
        pruners.iter().filter(|stack| *stack != but).for_each(|stack| {
            self.ring_stack(stack, Ring::Changed);
        });
    }

    /// Rings for every stack.
    pub(crate) fn ring_all(&self, ring: Ring) {
        let bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        bells.values().flatten().for_each(|bell| bell.ring(ring));
    }

    fn ring_for(&self, event: &EngineEvent) {
        let bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        // The Engine tells networks and volumes without labels; Compose's names begin with the project's.
        let is_named = |stack: &str| {
            let rest = event.name().strip_prefix(stack);
            matches!(event.kind, EventKind::Network | EventKind::Volume)
                && rest.is_some_and(|rest| rest.starts_with('_'))
        };
        for (stack, list) in bells.iter() {
            let own = event.project() == Some(stack.as_str()) || is_named(stack.as_str());
            for bell in list.iter().filter(|bell| own || bell.heeds(event)) {
                bell.ring(Ring::Changed);
            }
        }
    }

    /// Keeps the host connected until `stop`.
    pub async fn run(
        self: Arc<Self>,
        endpoint: Endpoint,
        settings: EngineSettings,
        stop: CancellationToken,
    ) {
        let mut failures = schedule::Failures::default();
        while !stop.is_cancelled() {
            let connecting = Box::pin(Engine::connect(&endpoint, &settings));
            let connected = stop.run_until_cancelled(connecting).await;
            let error = match connected {
                None => return,
                Some(Ok(engine)) => match Box::pin(self.learn(&engine)).await {
                    Err(error) => error,
                    Ok(known) => {
                        failures.succeeded();
                        self.was_seen();
                        tracing::info!(host = %self.name, version = %engine.facts().version, "host connected");
                        let version = &engine.facts().version;
                        self.tell(CommitState::Success, format!("connected: Engine {version}"));
                        self.link.send_replace(Link::Up(engine.clone()));
                        *self.remembers.lock().await = known;
                        match stop.run_until_cancelled(self.follow(&engine)).await {
                            None => return,
                            Some(error) => error,
                        }
                    }
                },
                Some(Err(error)) => error,
            };
            failures.failed(error.remedy(), clock::now());
            self.went_down(&error, &failures);
            let wait = schedule::retry_delay(Remedy::Retry, failures.in_a_row());
            let wait = wait.map_or(CONNECT_PAUSE_MAX, |wait| wait.min(CONNECT_PAUSE_MAX));
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return;
            }
        }
    }

    /// Hears what the host remembers, and hands on orders that it alone knew before anybody works on it.
    async fn learn(&self, engine: &Engine) -> Result<Known, EngineError> {
        let (known, learned) = ledger::learn(engine, &self.story, &self.name).await?;
        if learned
            && let Some(sender) = self.orders.get()
            && let Ok(orders) = self.story.orders()
        {
            sender.send_replace(Arc::new(orders));
        }
        Ok(known)
    }

    /// Has the host remember what the data folder knows now, for whoever leaves: what is gathered would be lost, and the next
    /// process would learn of a stack that it is kept although it left.
    pub(crate) async fn remember_at_once(&self) {
        let Link::Up(engine) = self.link.borrow().clone() else { return };
        let known = &mut *self.remembers.lock().await;
        if let Err(error) = ledger::write(&engine, &self.story, &self.name, known).await {
            tracing::debug!(host = %self.name, %error, "the host did not take what it is to remember");
        }
    }

    /// Until the Engine as a whole is out of reach.
    async fn follow(&self, engine: &Engine) -> EngineError {
        tokio::select! {
            never = ledger::keep(engine, &self.story, &self.name, &self.remembers) => match never {},
            error = self.read_events(engine) => error,
            error = self.watch_over(engine) => error,
        }
    }

    /// Asks for a sign of life now and then, and whenever there is doubt: one that hangs breaks no connection.
    async fn watch_over(&self, engine: &Engine) -> EngineError {
        let mut round = 0_u64;
        loop {
            let seed = schedule::seed(self.name.as_str(), round);
            let pause = schedule::jittered(HEARTBEAT, HEARTBEAT_JITTER_PERCENT, seed);
            tokio::select! {
                () = self.doubted.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
            if let Err(error) = engine.ping().await {
                return error;
            }
            self.was_seen();
            round = round.wrapping_add(1);
        }
    }

    /// Reads events, and rings for them.
    async fn read_events(&self, engine: &Engine) -> EngineError {
        let mut since: Option<Timestamp> = None;
        let mut broken = 0_u32;
        loop {
            let opened = clock::now();
            let error = match Box::pin(engine.events(since)).await {
                Ok(mut stream) => {
                    // What happened before the stream began is found by looking.
                    self.ring_all(Ring::Full);
                    loop {
                        match stream.next().await {
                            Some(Ok(event)) => {
                                since = Some(event.at);
                                self.seen.store(clock::now().as_millis(), Relaxed);
                                self.ring_for(&event);
                            }
                            Some(Err(error)) => break error,
                            None => break EngineError::EventsEnded,
                        }
                    }
                }
                Err(error) => error,
            };
            // One that takes calls and answers none is out of reach all the same.
            broken = if STEADY <= clock::now().since(opened) { 1 } else { broken + 1 };
            if error.is_unreachable() || BROKEN_MAX <= broken {
                return error;
            }
            tracing::debug!(host = %self.name, %error, "event stream ended");
            tokio::time::sleep(EVENTS_PAUSE).await;
        }
    }

    /// It answered, which is remembered also for who comes after us: a host counts as lost from then on.
    fn was_seen(&self) {
        let now = clock::now();
        self.seen.store(now.as_millis(), Relaxed);
        self.story.note_seen(&self.name, now);
    }

    fn last_seen(&self) -> Option<Timestamp> {
        Some(self.seen.load(Relaxed)).filter(|seen| *seen != 0).map(Timestamp::from_millis)
    }

    /// Adds to the story: `Error` when the host went, `Success` when it came.
    fn tell(&self, state: CommitState, text: String) {
        let entry = Entry::new(clock::now(), Kind::Host, text);
        let (host, state) = (Some(self.name.clone()), Some(state));
        self.story.tell(&Entry { host, state, ..entry });
    }

    fn went_down(&self, error: &EngineError, failures: &schedule::Failures) {
        let since = self.last_seen().or(failures.since()).unwrap_or_else(clock::now);
        if failures.in_a_row() == 1 {
            tracing::warn!(host = %self.name, %error, "host out of reach");
            self.tell(CommitState::Error, format!("out of reach: {error}"));
        }
        let failure = failure_of(error);
        self.link.send_replace(Link::Down { since, failure });
    }
}

/// What went wrong with a host, its causes and the advice, in one line.
pub(crate) fn failure_of(error: &EngineError) -> Failure {
    let mut message = chain::in_full(error);
    if let Some(help) = error.help() {
        message = format!("{message}; {help}");
    }
    Failure { message, remedy: error.remedy() }
}

/// An image's name as an Engine tells it: without the usual registry, and with its tag.
fn familiar(image: &str) -> String {
    let short = image.strip_prefix("docker.io/").unwrap_or(image);
    let short = short.strip_prefix("library/").unwrap_or(short);
    let last = short.rsplit('/').next().unwrap_or(short);
    let is_whole = last.contains(':') || last.contains('@');
    if is_whole { short.to_owned() } else { format!("{short}:latest") }
}

/// What the targets of a host say that is out of reach.
pub(crate) fn unknown_since(since: Timestamp, failure: &Failure) -> Failure {
    let message = format!("unknown since {since}: {}", failure.message);
    Failure { message, remedy: failure.remedy }
}

/// Between two signs of life of a quiet host: one that hangs is known to within this, and the limit of one answer.
const HEARTBEAT: Duration = Duration::from_mins(1);
/// So that a thousand hosts do not beat as one.
const HEARTBEAT_JITTER_PERCENT: u32 = 20;
/// Longest pause before a host is tried again: one try costs next to nothing, and it may be back.
const CONNECT_PAUSE_MAX: Duration = Duration::from_mins(1);
/// Event streams in a row that end before they are steady until a host counts as out of reach.
const BROKEN_MAX: u32 = 4;
/// How long a steady event stream lasts.
const STEADY: Duration = Duration::from_secs(10);
/// Between two event streams of an Engine that ends them at once.
const EVENTS_PAUSE: Duration = Duration::from_millis(500);
