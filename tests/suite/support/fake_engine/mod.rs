//! A simulated Engine on a unix socket: it speaks the Engine's API, fills in what a real one fills in, has accidents
//! on demand, and writes down every call. Nothing is run; state is in memory; one costs a task and a socket.
//!
//! ```ignore
//! let fake = FakeEngine::start(Options::default()).await;
//! let engine = Engine::connect(&fake.endpoint(), &EngineSettings::default()).await?;
//! …
//! fake.kill("shop-web-1", 137);                    // an accident
//! fake.set_faults(Faults { cut_after: 0.1, ..Faults::seeded(7) });
//! fake.stop_answering_after(3);                    // the process "dies" after its third change; `revive` ends that
//! assert!(fake.changes().is_empty());              // a quiet pass
//! ```
//!
//! What it is measured by: `engine::real` runs against real Engines, `engine::simulated` runs the same and more here.
//!
//! How processes behave follows from their command, unless [`FakeEngine::behave`] says otherwise: a first word below
//! `/no/such` does not start; `exit N` anywhere, `true`, `false` and `echo` end at once; `sleep N` ends after N seconds;
//! everything else stays up. A health check turns healthy after [`Options::health_delay`].

#![allow(dead_code, reason = "each user needs another part of it")]

mod containers;
mod faults;
mod files;
mod images;
mod networks;
mod routes;
mod shapes;
mod world;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use moorline::docker::Endpoint;
use serde_json::Value;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use faults::{Fault, Faults};
use world::World;

/// Since the epoch: the wall's clock where time runs, and the runtime's where a test paused it.
pub fn clock() -> Duration {
    static BEGUN: std::sync::LazyLock<(Duration, std::time::Instant)> =
        std::sync::LazyLock::new(|| {
            let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            (wall, std::time::Instant::now())
        });
    let (wall, begun) = *BEGUN;
    wall + tokio::time::Instant::now().into_std().saturating_duration_since(begun)
}

/// What kind of Engine it is.
#[derive(Debug, Clone)]
pub struct Options {
    /// API version, and with it which defaults it fills in. (1, 41) is an Engine 20.10, (1, 51) a 28.
    pub api: (u32, u32),
    /// Makes ids; two Engines with one seed give the same ids.
    pub seed: u64,
    /// Before each answer.
    pub latency: Duration,
    /// How long a stop takes.
    pub stop_takes: Duration,
    /// From start to healthy.
    pub health_delay: Duration,
    /// The first wait of a restart policy; it doubles.
    pub restart_delay: Duration,
    /// Any image that is asked for can be pulled. Otherwise only what was published.
    pub all_images_published: bool,
    /// Any image that is asked for is there already.
    pub all_images_present: bool,
    /// Where the socket goes; a folder of its own when `None`.
    pub socket: Option<PathBuf>,
    /// Shown by `/info`.
    pub cpus: u32,
    /// Shown by `/info`, in bytes.
    pub memory: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            api: (1, 41),
            seed: 1,
            latency: Duration::ZERO,
            stop_takes: Duration::ZERO,
            health_delay: Duration::from_millis(1),
            restart_delay: Duration::from_millis(5),
            all_images_published: true,
            all_images_present: false,
            socket: None,
            cpus: 4,
            memory: 8 << 30,
        }
    }
}

/// How a process behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Behaviour {
    /// Ends after this time with this code.
    pub ends: Option<(Duration, i64)>,
    /// Is not even started.
    pub fails_to_start: bool,
    /// Is not started, because its host's disk is full.
    pub finds_no_room: bool,
    /// What its health check says in the end.
    pub sick: bool,
    /// Its health check never says anything.
    pub health_hangs: bool,
}

/// One call that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// `GET`, `POST`, …
    pub method: String,
    /// Without the version.
    pub path: String,
    /// Decoded.
    pub query: BTreeMap<String, String>,
    /// The version in the path, empty when there was none.
    pub version: String,
    /// Whether it changes something.
    pub changes: bool,
    /// HTTP status; 0 when it was cut off or hung.
    pub status: u16,
    /// Name of the container, network or volume that the path speaks of, as it was then; empty when there is none.
    pub subject: String,
}

impl Call {
    /// In a person's words: `create shop-web-1`, `start shop-web-1`, `pull app:v1`.
    pub fn words(&self) -> String {
        let parts: Vec<&str> = self.path.trim_start_matches('/').split('/').collect();
        let query = |key: &str| self.query.get(key).map(String::as_str).unwrap_or_default();
        let subject = &self.subject;
        match (self.method.as_str(), parts.as_slice()) {
            ("POST", ["containers", "create"]) => format!("create {}", query("name")),
            ("DELETE", ["containers", _]) => format!("remove {subject}"),
            ("POST", ["containers", _, "rename"]) => {
                format!("rename {subject} to {}", query("name"))
            }
            ("PUT", ["containers", _, "archive"]) => format!("upload to {subject}"),
            ("POST", ["containers", _, verb]) => format!("{verb} {subject}"),
            (_, ["networks", "create"]) => format!("create network {subject}"),
            ("DELETE", ["networks", _]) => format!("remove network {subject}"),
            ("POST", ["networks", _, verb]) => format!("{verb} network {subject}"),
            (_, ["volumes", "create"]) => format!("create volume {subject}"),
            ("DELETE", ["volumes", _]) => format!("remove volume {subject}"),
            ("POST", ["images", "create"]) if self.query.contains_key("fromSrc") => {
                "import".to_owned()
            }
            ("POST", ["images", "create"]) => {
                format!("pull {}:{}", query("fromImage"), query("tag"))
            }
            ("POST", ["build"]) => format!("build {}", query("t")),
            (method, _) => format!("{method} {}", self.path),
        }
    }
}

/// A container in brief.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brief {
    /// Id.
    pub id: String,
    /// Name, without the slash.
    pub name: String,
    /// `running`, `exited`, …
    pub state: String,
    /// Image as asked for.
    pub image: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Networks by name.
    pub networks: Vec<String>,
}

/// The handle. Dropping it ends the Engine.
pub struct FakeEngine {
    shared: Arc<Shared>,
    socket: PathBuf,
    accepting: JoinHandle<()>,
    folder: Option<tempfile::TempDir>,
}

struct Shared {
    world: Mutex<World>,
    /// Counts changes of the world, to wake those who wait.
    changed: watch::Sender<u64>,
    /// Counts deaths: connections of a former life are cut.
    life: watch::Sender<u64>,
    options: Options,
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        self.changed.send_modify(|count| *count += 1);
    }
}

impl FakeEngine {
    /// Starts one on a socket.
    #[expect(clippy::unused_async, reason = "needs a runtime, and says so")]
    pub async fn start(options: Options) -> Self {
        let folder = options.socket.is_none().then(|| tempfile::tempdir().unwrap());
        let socket = options
            .socket
            .clone()
            .unwrap_or_else(|| folder.as_ref().unwrap().path().join("engine.sock"));
        let listener = UnixListener::bind(&socket).unwrap();
        let shared = Arc::new(Shared {
            world: Mutex::new(World::new(&options)),
            changed: watch::Sender::new(0),
            life: watch::Sender::new(0),
            options,
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { shared, socket, accepting, folder }
    }

    /// The socket's path.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Where it is, for [`moorline::docker::Engine::connect`].
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::Unix(self.socket.clone())
    }

    /// All calls since the last [`FakeEngine::clear_calls`], in order.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.world().calls.clone()
    }

    /// Those calls that change something.
    pub fn changes(&self) -> Vec<Call> {
        self.shared.world().calls.iter().filter(|call| call.changes).cloned().collect()
    }

    /// Forgets the calls.
    pub fn clear_calls(&self) {
        self.shared.world().calls.clear();
    }

    /// From now on these faults happen.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.world().faults.set(faults);
    }

    /// No more faults.
    pub fn heal(&self) {
        self.set_faults(Faults::default());
        self.shared.world().wedged.clear();
    }

    /// Carries out this many further calls that change something, and then answers nobody, the last of them
    /// included: as if the caller's process had died.
    pub fn stop_answering_after(&self, changes: usize) {
        self.shared.world().faults.dies_after(changes);
    }

    /// Whether that happened.
    pub fn is_silent(&self) -> bool {
        self.shared.world().faults.is_dead()
    }

    /// Answers again; connections of before are cut.
    pub fn revive(&self) {
        self.shared.world().faults.revive();
        self.shared.life.send_modify(|life| *life += 1);
    }

    /// Cuts all connections, event streams included, as a restart of the Engine does. Containers live on.
    pub fn cut_connections(&self) {
        self.shared.life.send_modify(|life| *life += 1);
    }

    /// Inspections and changes of this container hang; lists go on.
    pub fn wedge(&self, name: &str) {
        self.shared.world().wedged.insert(name.to_owned());
    }

    /// What the registry has under a reference from now on; a different text is a different image. `config` is the
    /// image's configuration, such as `{"Env": ["A=b"], "Cmd": ["run"]}`.
    pub fn publish(&self, image: &str, config: Value) {
        self.shared.world().publish(image, config);
    }

    /// Takes a reference out of the registry.
    pub fn unpublish(&self, image: &str) {
        self.shared.world().unpublish(image);
    }

    /// Puts an image on the host.
    pub fn add_image(&self, image: &str, config: Value) {
        self.shared.world().add_image(image, config);
        self.shared.wake();
    }

    /// How the process of a container behaves from its next start on: by container name, or by service.
    pub fn behave(&self, whose: &str, behaviour: Behaviour) {
        self.shared.world().behaviours.insert(whose.to_owned(), behaviour);
    }

    /// The containers, by name. Those that carry files are left out.
    pub fn containers(&self) -> Vec<Brief> {
        self.shared.world().briefs()
    }

    /// What inspect says.
    pub fn inspect(&self, name: &str) -> Option<Value> {
        let world = self.shared.world();
        Some(shapes::inspection(&world, world.find(name)?))
    }

    /// Names of networks, without the Engine's own three.
    pub fn networks(&self) -> Vec<String> {
        let world = self.shared.world();
        world.networks.values().filter(|net| !net.built_in).map(|net| net.name.clone()).collect()
    }

    /// Volumes by name, each with a number that no other volume ever has: the same number is the same data.
    pub fn volumes(&self) -> BTreeMap<String, u64> {
        let world = self.shared.world();
        world.volumes.iter().map(|(name, volume)| (name.clone(), volume.born)).collect()
    }

    /// What volumes say under a label, of those that have it.
    pub fn volume_labels(&self, label: &str) -> Vec<String> {
        let world = self.shared.world();
        let said = world.volumes.values().filter_map(|volume| {
            let labels = volume.body.get("Labels")?;
            labels[label].as_str().map(ToOwned::to_owned)
        });
        said.collect()
    }

    /// Somebody writes a file on the host.
    pub fn write_host_file(&self, path: &str, bytes: &[u8]) {
        self.shared.world().host_files.insert(path.to_owned(), bytes.to_vec());
    }

    /// Somebody makes a folder on the host.
    pub fn make_host_folder(&self, path: &str) {
        self.shared.world().host_folders.insert(path.to_owned());
    }

    /// Somebody removes a folder of the host with all that is in it, or its disk is not mounted any more.
    pub fn remove_host_folder(&self, path: &str) {
        let below = |one: &str| {
            one.strip_prefix(path).is_some_and(|it| it.is_empty() || it.starts_with('/'))
        };
        let mut world = self.shared.world();
        world.host_folders.retain(|one| !below(one));
        world.host_files.retain(|one, _| !below(one));
    }

    /// Somebody copies a file into a container.
    pub fn copy_into(&self, name: &str, path: &str, bytes: &[u8]) {
        let mut world = self.shared.world();
        let id = world.id_of(name).unwrap();
        world.containers.get_mut(&id).unwrap().files.insert(path.to_owned(), bytes.to_vec());
    }

    /// Somebody removes a file on the host.
    pub fn remove_host_file(&self, path: &str) {
        self.shared.world().host_files.remove(path);
    }

    /// Files on the simulated host, by absolute path.
    pub fn host_files(&self) -> BTreeMap<String, Vec<u8>> {
        self.shared.world().host_files.clone()
    }

    /// A process dies: `docker kill` from inside. The restart policy does what it does.
    pub fn kill(&self, name: &str, code: i64) {
        containers::die(&self.shared, name, code);
    }

    /// Someone stops it by hand: the restart policy keeps quiet.
    pub fn stop(&self, name: &str) {
        containers::stop_by_hand(&self.shared, name);
    }

    /// Someone pauses it.
    pub fn pause(&self, name: &str) {
        containers::pause(&self.shared, name);
    }

    /// Someone removes it, running or not.
    pub fn remove(&self, name: &str) {
        containers::remove_by_hand(&self.shared, name);
    }

    /// Someone renames it.
    pub fn rename(&self, name: &str, to: &str) {
        containers::rename_by_hand(&self.shared, name, to);
    }

    /// Its health check says something: `healthy`, `unhealthy`, `starting`.
    pub fn set_health(&self, name: &str, health: &str) {
        containers::set_health(&self.shared, name, health);
    }

    /// Someone connects a container to a network, with a body as in the API.
    pub fn connect(&self, network: &str, body: &Value) {
        let id = networks::find(&self.shared.world(), network).map_err(|answer| answer.text());
        let answer = networks::connect(&self.shared, &id.unwrap(), body);
        assert!(answer.status < 400, "{network}: {}", answer.text());
    }

    /// Someone disconnects it from a network.
    pub fn disconnect(&self, name: &str, network: &str) {
        networks::disconnect_by_hand(&self.shared, name, network);
    }

    /// Someone changes its host configuration (`docker update`): keys as in the API.
    pub fn update(&self, name: &str, changes: Value) {
        containers::update_by_hand(&self.shared, name, changes);
    }

    /// Someone makes a container by hand, with a body as in the API, and starts it. Returns its id.
    pub fn run_by_hand(&self, name: &str, body: Value) -> String {
        containers::run_by_hand(&self.shared, name, body)
    }

    /// Someone makes a container by hand, with a body as in the API. Its id, or what the Engine says when it refuses.
    pub fn create_by_hand(&self, name: &str, body: &Value) -> Result<String, String> {
        let answer = containers::create(&self.shared, name, body);
        if answer.status < 400 {
            Ok(self.shared.world().id_of(name).unwrap())
        } else {
            Err(answer.text())
        }
    }

    /// Someone starts a container; what the Engine says when it refuses.
    pub fn start_by_hand(&self, name: &str) -> Result<(), String> {
        containers::start_by_hand(&self.shared, name)
    }

    /// Someone makes a network by hand.
    pub fn create_network_by_hand(&self, body: Value) {
        networks::create(&self.shared, &body).unwrap();
    }

    /// Someone makes a volume by hand.
    pub fn create_volume_by_hand(&self, body: Value) {
        networks::create_volume(&self.shared, &body);
    }

    /// Someone removes an image from the host.
    pub fn remove_image(&self, image: &str) {
        images::remove(&self.shared, image);
    }
}

impl Drop for FakeEngine {
    fn drop(&mut self) {
        self.accepting.abort();
        self.shared.life.send_modify(|life| *life += 1);
        if self.folder.is_none() {
            let _gone = std::fs::remove_file(&self.socket);
        }
    }
}

async fn accept(listener: UnixListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let mut life = shared.life.subscribe();
            let service = {
                let shared = Arc::clone(&shared);
                service_fn(move |request| routes::answer(Arc::clone(&shared), request))
            };
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            tokio::select! {
                _ended = connection => {}
                _cut = life.changed() => {}
            }
        });
    }
}
