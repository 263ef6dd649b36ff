//! A daemon in this process, between a real Git repository and simulated Engines.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use moorline::config::settings::{self, Settings};
use moorline::connect::Surroundings;
use moorline::daemon::{self, Doorbell, Setup, StartError};
use moorline::forge::Pace;
use moorline::model::HostName;
use moorline::web::local;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::fake_engine::{FakeEngine, Options};
use super::git_world::World as Repository;

/// Longer than anything that a test waits for may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Forges are told more quickly than real ones would like.
const PACE: Pace = Pace {
    settle: Duration::from_millis(300),
    gap: Duration::from_millis(10),
    backoff: Duration::from_millis(500),
    denied: Duration::from_hours(1),
};

/// Between two looks at the branch's head.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// A repository, some hosts, and perhaps a daemon that keeps them.
pub struct Harbour {
    pub repository: Repository,
    pub hosts: BTreeMap<String, FakeEngine>,
    /// The repository's address, where it is not its folder, and more of its settings, one key a line.
    pub address: Option<String>,
    pub repository_settings: String,
    /// More of each host's settings: `, timeout: 2s`.
    pub host_settings: String,
    /// Further hosts: what the settings say of each.
    pub further_hosts: BTreeMap<String, String>,
    /// The sockets of those of them that are real Engines of this machine.
    pub sockets: BTreeMap<String, PathBuf>,
    /// More of the settings file, at its top level.
    pub more: String,
    /// The host whose daemon it is, when each host has one of its own.
    pub as_host: Option<String>,
    running: Option<Running>,
}

struct Running {
    stop: CancellationToken,
    abort: CancellationToken,
    doorbell: Doorbell,
    ended: JoinHandle<Result<(), StartError>>,
    /// Answers commands of its machine, as the program's own daemon does.
    answering: JoinHandle<()>,
}

/// The daemon of one host among many.
pub struct Daemon(Running);

impl Daemon {
    pub async fn stop(self) {
        self.0.stop().await;
    }

    pub async fn kill(self) {
        self.0.kill().await;
    }
}

impl Running {
    fn start(setup: Setup) -> Self {
        let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
        let doorbell = Doorbell::new(&setup.settings);
        let (data, view) = (setup.settings.data.clone(), doorbell.view());
        let (ringing, until) = (doorbell.clone(), stop.clone());
        let answering = tokio::spawn(async move {
            view.held_folder().await;
            local::serve(&data, view, ringing, until).await.unwrap();
        });
        let running = daemon::run(setup, doorbell.clone(), stop.clone(), abort.clone());
        Self { stop, abort, doorbell, ended: tokio::spawn(running), answering }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.ended.await.unwrap().unwrap();
        self.answering.abort();
    }

    async fn kill(self) {
        self.abort.cancel();
        self.ended.abort();
        self.answering.abort();
        drop(self.ended.await);
    }
}

/// A test that broke off leaves no daemon behind, which would go on keeping its hosts.
impl Drop for Harbour {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort.cancel();
            running.ended.abort();
        }
    }
}

impl Harbour {
    /// Hosts of these names, and a repository without a commit.
    pub async fn new(hosts: &[&str]) -> Self {
        let mut engines = BTreeMap::new();
        for host in hosts {
            engines.insert((*host).to_owned(), FakeEngine::start(Options::default()).await);
        }
        Self {
            repository: Repository::empty(),
            hosts: engines,
            address: None,
            repository_settings: "    forge: {kind: notes}\n".to_owned(),
            host_settings: String::new(),
            further_hosts: BTreeMap::new(),
            sockets: BTreeMap::new(),
            more: String::new(),
            as_host: None,
            running: None,
        }
    }

    /// The settings: statuses go into notes unless the repository's say otherwise.
    pub fn settings(&self) -> Settings {
        let text = self.settings_text();
        let read = settings::parse("moorline.yaml", text.as_bytes(), Path::new("/"));
        let (settings, problems) = read.unwrap_or_else(|problems| panic!("{problems:?}"));
        assert!(problems.0.is_empty(), "{problems:?}");
        settings
    }

    /// The settings as a file.
    pub fn settings_text(&self) -> String {
        let mut text = format!(
            "repositories:\n  fleet:\n    url: {}\n    branch: main\n    interval: {}s\n{}data: {}\nlisten: none\nhosts:\n",
            self.address.clone().unwrap_or_else(|| self.repository.bare().display().to_string()),
            INTERVAL.as_secs(),
            self.repository_settings,
            self.repository.data().display()
        );
        for (name, engine) in &self.hosts {
            let (socket, more) = (engine.socket().display(), &self.host_settings);
            writeln!(text, "  {name}: {{engine: \"unix://{socket}\"{more}}}").unwrap();
        }
        for (name, settings) in &self.further_hosts {
            writeln!(text, "  {name}: {settings}").unwrap();
        }
        text.push_str(&self.more);
        if !self.more.contains("limits:") {
            // Most tests ask what is done; those that ask when it counts say so.
            text.push_str("limits: {watch: 0s}\n");
        }
        text
    }

    pub fn setup(&self) -> Setup {
        let as_host = self.as_host.as_ref().map(|name| HostName::parse(name).unwrap());
        Setup { settings: self.settings(), around: Surroundings::default(), as_host, pace: PACE }
    }

    /// A host that is a real Engine, with Moorline's own data there.
    pub fn on_engine(&mut self, host: &str, socket: &Path, data: &Path) {
        let settings =
            format!("{{engine: \"unix://{}\", data: {}}}", socket.display(), data.display());
        self.further_hosts.insert(host.to_owned(), settings);
        self.sockets.insert(host.to_owned(), socket.to_owned());
    }

    /// Starts the daemon.
    pub fn start(&mut self) {
        self.running = Some(Running::start(self.setup()));
    }

    /// Runs a command of the program with these settings. Exit code, what it printed, what it said beside.
    pub async fn command(&self, words: &[&str]) -> (i32, String, String) {
        let output = self.program(words).output().await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// A command of the program with these settings, before it runs.
    pub fn program(&self, words: &[&str]) -> tokio::process::Command {
        let settings = self.repository.root().join("moorline.yaml");
        std::fs::write(&settings, self.settings_text()).unwrap();
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_moorline"));
        command.args(words).arg("--settings").arg(&settings).stdin(std::process::Stdio::null());
        command
    }

    /// Starts the daemon of one host, with a data folder of its own, beside any others.
    pub fn start_beside(&self, host: &str) -> Daemon {
        let mut setup = self.setup();
        setup.as_host = Some(HostName::parse(host).unwrap());
        setup.settings.data = self.repository.root().join(format!("data-{host}"));
        Daemon(Running::start(setup))
    }

    /// Stops the daemon as a signal would, and waits for its end.
    pub async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    /// Ends the daemon in the middle of whatever it does.
    pub async fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.kill().await;
        }
    }

    /// Asks the daemon to look now.
    pub fn ring(&self) {
        self.running.as_ref().unwrap().doorbell.ring_all();
    }

    /// Writes files and pushes them. Returns the commit.
    pub fn push(&self, files: &[(&str, &str)], message: &str) -> String {
        for (path, text) in files {
            self.repository.write(path, text);
        }
        self.repository.push(message)
    }

    /// Removes files, or folders, and pushes that.
    pub fn push_without(&self, paths: &[&str], message: &str) -> String {
        for path in paths {
            self.repository.git(&["rm", "-rq", path]);
        }
        self.repository.push(message)
    }

    /// What is running on a host: `shop-web-1 running`.
    pub fn containers(&self, host: &str) -> Vec<String> {
        let mut all: Vec<String> = self.hosts[host]
            .containers()
            .into_iter()
            .map(|one| format!("{} {}", one.name, one.state))
            .collect();
        all.sort();
        all
    }

    /// What `git log --notes=moorline` shows below a commit.
    pub fn notes(&self, revision: &str) -> String {
        let known = ["show-ref", "--verify", "--quiet", "refs/notes/moorline"];
        let there = super::git_world::git_in(&self.repository.bare()).args(known).status();
        if !there.unwrap().success() {
            return String::new();
        }
        let format = ["log", "-1", "--notes=moorline", "--format=%N", revision];
        self.repository.on_server(&format)
    }

    /// Waits until something is so; tells what was seen last when that never comes.
    pub async fn until(&self, what: &str, so: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !so(self) {
            if PATIENCE < begun.elapsed() {
                let seen: Vec<_> =
                    self.hosts.keys().map(|host| (host, self.containers(host))).collect();
                let head = self.repository.git(&["rev-parse", "HEAD"]);
                panic!("not within {PATIENCE:?}: {what}\n{seen:#?}\n{}", self.notes(&head));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the statuses of a commit hold a line.
    pub async fn until_noted(&self, revision: &str, line: &str) {
        self.until(line, |it| it.notes(revision).contains(line)).await;
    }
}
