//! The Docker Engine API: connections, observation, events, and one method per action.
//!
//! In go an [`Endpoint`], scopes and actions; out come observations in the nouns of [`crate::model`], events, and
//! errors with a remedy. Nothing is decided here. What could not be seen is a gap in the observation, never an
//! absence.
//!
//! Two callers share one connection pool: plain calls whose answers are read into our own types (an Engine newer
//! than this program may say words that it does not know), and bollard for the verbs of a container's life. Every
//! answer is bounded in time and size, whoever asked.

mod act;
mod connect;
mod distribution;
mod error;
mod events;
mod found;
mod ledger;
mod logs;
mod look;
mod owner;
mod registry;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bollard::Docker;
use tokio::sync::broadcast;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use act::{CallOptions, Progress};
pub use connect::{
    Access, Endpoint, EngineSettings, Limits, RegistryAccess, SshEndpoint, SshIdentity,
    TcpSecurity, TlsFiles,
};
pub use distribution::{Registries, Registry, RegistryError};
pub use error::{Cause, EngineError};
pub use events::{EngineEvent, EventKind, EventStream};
pub use found::FoundContainer;
pub use logs::{LogLine, LogWish};
pub use look::{Depth, HostView, Scope};
pub use owner::owner;

use self::connect::{Ask, Wire};
use self::look::{DiskUse, Helper, Info, Looker, Memory, Version, api, facts};
use self::registry::RegistryAuth;
use crate::model::{ContainerId, EngineFacts, Observed, StackName, Timestamp};

/// The newest API version whose answers were read and understood (Engine 28).
const NEWEST: (u32, u32) = (1, 51);
/// Engine 20.10.
const OLDEST: (u32, u32) = (1, 41);
/// The Engine's facts are read again by a full look after this long: it may have been upgraded meanwhile.
const FACTS_AGE: Duration = Duration::from_mins(1);
/// bollard's own limit covers headers only and is in the way; ours is around every call.
const UNLIMITED_SECONDS: u64 = 7 * 24 * 3600;
/// Events that a wait may miss before it looks again anyway.
const TOUCHES: usize = 16;

/// One Engine. Cheap to clone; clones share connections and what was learnt of the host.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    wire: Wire,
    verbs: Docker,
    memory: Memory,
    registries: RegistryAuth,
    owner: String,
    facts: RwLock<(EngineFacts, Instant)>,
    /// Names of the containers that carry files just now.
    helpers: Mutex<BTreeSet<String>>,
    /// Held while the image of those containers is made.
    importing: tokio::sync::Mutex<()>,
    /// Held while a network is looked for and made: the Engine does not keep their names apart.
    naming: tokio::sync::Mutex<()>,
    /// Ids and names of containers of which an event told.
    touched: broadcast::Sender<String>,
}

impl Engine {
    /// Connects, agrees on an API version (1.41 or newer) and reads the Engine's facts.
    ///
    /// # Errors
    /// Everything that keeps us from talking to it; see [`EngineError::is_unreachable`].
    pub async fn connect(
        endpoint: &Endpoint,
        settings: &EngineSettings,
    ) -> Result<Self, EngineError> {
        let wire = Wire::new(endpoint, &settings.limits);
        let facts = learn(&wire).await?;
        let verbs = verbs(&wire)?;
        let shared = Shared {
            wire,
            verbs,
            memory: Memory::default(),
            registries: RegistryAuth::new(settings.registries.clone()),
            owner: settings.owner.clone(),
            facts: RwLock::new((facts, Instant::now())),
            helpers: Mutex::default(),
            importing: tokio::sync::Mutex::default(),
            naming: tokio::sync::Mutex::default(),
            touched: broadcast::Sender::new(TOUCHES),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// What is known of the Engine itself.
    pub fn facts(&self) -> EngineFacts {
        self.shared.facts.read().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Where it is, in words without secrets.
    pub fn endpoint(&self) -> &str {
        self.wire().endpoint()
    }

    /// Looks at the host once, for any number of stacks: one list, inspections of what changed, and little else.
    /// `now` is the caller's time when the look begins.
    ///
    /// Carrying containers that a crash left behind are removed on the way.
    ///
    /// # Errors
    /// When the list of containers cannot be read. Everything else that fails is a gap of the view.
    pub async fn look(
        &self,
        scopes: &[Scope],
        depth: Depth,
        now: Timestamp,
    ) -> Result<HostView, EngineError> {
        let began = Instant::now();
        if depth == Depth::Full {
            self.refresh_facts().await?;
        }
        let how = (depth, self.facts().id);
        let looker =
            Looker::new(self.wire(), self.memory(), &self.shared.registries, scopes, how, now);
        let sight = Box::pin(looker.look()).await?;
        self.sweep(sight.helpers, now).await;
        Ok(sight.view.taken(now.plus(began.elapsed()), self.facts()))
    }

    /// [`Engine::look`] for one stack.
    ///
    /// # Errors
    /// When the list of containers cannot be read.
    pub async fn observe(
        &self,
        scope: &Scope,
        depth: Depth,
        now: Timestamp,
    ) -> Result<Observed, EngineError> {
        Ok(self.look(std::slice::from_ref(scope), depth, now).await?.of(scope))
    }

    /// Bytes that each volume holds, as far as the Engine can tell. It counts files for that, which may take long: who
    /// asks gets an empty answer when it takes longer than a look may.
    pub async fn volume_sizes(&self) -> BTreeMap<String, u64> {
        let ask = Ask::get("/system/df", "ask how much volumes hold").query("type", "volume");
        let limit = self.wire().limits().look;
        match tokio::time::timeout(limit, self.wire().read::<DiskUse>(ask)).await {
            Ok(Ok(answer)) => answer.sizes(),
            Ok(Err(_)) | Err(_) => BTreeMap::new(),
        }
    }

    /// Learns which containers of a stack are of our making, so that their labels are believed; `None` where that was
    /// never noted: then the next look takes the labels' word for those that are there.
    pub fn vouch_for(&self, stack: &StackName, made: Option<&BTreeSet<ContainerId>>) {
        match made {
            Some(made) => {
                for id in made {
                    self.memory().vouch(stack.as_str(), id.clone());
                }
            }
            None => self.memory().trust(stack.as_str()),
        }
    }

    /// The containers of a stack that are there and of our making, as far as this Engine was told or made them itself.
    pub fn made(&self, stack: &StackName) -> BTreeSet<ContainerId> {
        self.memory().made(stack.as_str())
    }

    /// Asks for a sign of life. A refusal is one.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn ping(&self) -> Result<(), EngineError> {
        let answer = self.wire().read_bytes(Ask::get("/_ping", "ask whether it is there")).await;
        match answer {
            Err(error) if error.status().is_none() => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn refresh_facts(&self) -> Result<(), EngineError> {
        let read_at = self.shared.facts.read().unwrap_or_else(PoisonError::into_inner).1;
        if read_at.elapsed() < FACTS_AGE {
            return Ok(());
        }
        let facts = learn(self.wire()).await?;
        *self.shared.facts.write().unwrap_or_else(PoisonError::into_inner) =
            (facts, Instant::now());
        Ok(())
    }

    /// Removes carrying containers that nobody is using: a crash left them behind. One that another process made may be
    /// in use for as long as it is young.
    async fn sweep(&self, helpers: Vec<Helper>, now: Timestamp) {
        let stop = CancellationToken::new();
        let terms = CallOptions {
            step: self.wire().limits().read,
            progress: self.wire().limits().read,
            stop: &stop,
            tell: &|_| {},
        };
        for helper in helpers {
            let own = helper.owner == self.owner() || owner::is_gone(&helper.owner);
            let in_use = self.helpers().contains(&helper.name);
            if in_use || !(own || helper.is_old(now)) {
                continue;
            }
            let Helper { id, name, .. } = helper;
            if let Err(error) = self.remove_helper(&id, &terms).await {
                tracing::debug!(%error, name, "a container that carried files stays behind");
            }
        }
    }

    fn wire(&self) -> &Wire {
        &self.shared.wire
    }

    fn verbs(&self) -> &Docker {
        &self.shared.verbs
    }

    fn memory(&self) -> &Memory {
        &self.shared.memory
    }

    fn registries(&self) -> &RegistryAuth {
        &self.shared.registries
    }

    fn owner(&self) -> &str {
        &self.shared.owner
    }

    fn helpers(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.shared.helpers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn naming(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.shared.naming.lock().await
    }

    async fn importing(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.shared.importing.lock().await
    }

    /// Marks a carrying container as being in use until the guard is dropped.
    fn helper_begins(&self, name: &str) -> InFlight {
        self.helpers().insert(name.to_owned());
        InFlight { engine: self.clone(), name: name.to_owned() }
    }

    fn touched(&self) -> broadcast::Receiver<String> {
        self.shared.touched.subscribe()
    }

    /// Wakes those who wait for the container that an event is about.
    fn touch(&self, event: &EngineEvent) {
        if let Some(container) = event.container() {
            // Nobody waits: nobody is to be woken.
            let _heard = self.shared.touched.send(container.to_owned());
            let _heard = self.shared.touched.send(event.name().to_owned());
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Engine({:?})", self.shared.wire)
    }
}

struct InFlight {
    engine: Engine,
    name: String,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.engine.helpers().remove(&self.name);
    }
}

/// Agrees on a version, and asks for the facts. Some of them may be missing: `/info` hangs on hosts with a dead plugin.
async fn learn(wire: &Wire) -> Result<EngineFacts, EngineError> {
    let version: Version = wire.probe(Ask::get("/version", "ask for the version")).await?;
    let refused = |spoken: &str, needed: String| EngineError::Version {
        endpoint: wire.endpoint().to_owned(),
        spoken: spoken.to_owned(),
        needed,
    };
    let Some(newest) = api(&version.newest).filter(|newest| *newest >= OLDEST) else {
        return Err(refused(&version.newest, format!("{}.{} or newer", OLDEST.0, OLDEST.1)));
    };
    if api(&version.oldest).is_some_and(|oldest| oldest > NEWEST) {
        let spoken = format!("{} or newer", version.oldest);
        return Err(refused(&spoken, format!("{}.{} or older", NEWEST.0, NEWEST.1)));
    }
    let spoken = newest.min(NEWEST);
    wire.speak(spoken);
    let info: Info = match wire.read(Ask::get("/info", "ask for the facts")).await {
        Ok(info) => info,
        Err(error) if error.is_unreachable() => return Err(error),
        Err(error) => {
            tracing::warn!(endpoint = wire.endpoint(), %error, "the engine does not tell its facts");
            Info::default()
        }
    };
    Ok(facts(spoken, version, info))
}

fn verbs(wire: &Wire) -> Result<Docker, EngineError> {
    let transport = wire.clone();
    let connection = Docker::connect_with_custom_transport(
        move |request| transport.clone().forward(request),
        Some("http://engine"),
        UNLIMITED_SECONDS,
        bollard::API_DEFAULT_VERSION,
    );
    connection.map_err(|error| EngineError::Unreachable {
        endpoint: wire.endpoint().to_owned(),
        source: error.into(),
    })
}
