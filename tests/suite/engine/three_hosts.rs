//! One repository, three hosts: one beside the daemon, one behind TLS, one behind SSH that is cut off for a while.

use std::path::{Path, PathBuf};

use moorline::docker::{Depth, Endpoint, Engine, EngineSettings, Scope};
use moorline::model::{RepositoryName, StackName};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use super::doors::{Certificates, SshFiles, SshFront, key, ssh_front, tls_front};
use super::terms::look;
use crate::support::daemon::Harbour;
use crate::support::engines;
use crate::support::fake_engine::{FakeEngine, Options};
use crate::support::{PATIENCE, a_moment};

/// A cable to a socket that can be pulled.
struct Cable {
    socket: PathBuf,
    whole: watch::Sender<bool>,
}

impl Cable {
    fn to(engine: &Path, folder: &Path) -> Self {
        let socket = folder.join("cable.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let whole = watch::Sender::new(true);
        let (engine, state) = (engine.to_owned(), whole.subscribe());
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (engine, mut state) = (engine.clone(), state.clone());
                tokio::spawn(async move {
                    if !*state.borrow() {
                        return;
                    }
                    let mut far = UnixStream::connect(engine).await.unwrap();
                    tokio::select! {
                        _ended = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _pulled = state.wait_for(|whole| !whole) => {}
                    }
                });
            }
        });
        Self { socket, whole }
    }
}

/// Name, state and image of each container of the stack `shop` on an Engine, and when it was made.
async fn containers(engine: &Path) -> Vec<String> {
    let endpoint = Endpoint::Unix(engine.to_owned());
    let engine = Engine::connect(&endpoint, &EngineSettings::default()).await.unwrap();
    let name = StackName::parse("shop").unwrap();
    let scope = Scope::new(name, RepositoryName::parse("fleet").unwrap());
    let seen = look(&engine, &scope, Depth::Full).await;
    let line = |one: &moorline::model::ObservedContainer| {
        format!("{} {:?} {} {}", one.name, one.state, one.spec.config.image, one.created_at)
    };
    seen.containers.iter().map(line).collect()
}

async fn runs_only(engine: &Path, image: &str) -> bool {
    let all = containers(engine).await;
    all.len() == 1 && all.iter().all(|one| one.contains(&format!("Running {image} ")))
}

/// The story, over Engines at these sockets, with an old image and a new one.
async fn story(sockets: &[PathBuf], old: &str, new: &str) {
    let [near, core, edge] = sockets else { panic!("three Engines are wanted") };
    let mut harbour = Harbour::new(&[]).await;
    let certificates = Certificates::new();
    let url = tls_front(&certificates, core).await;
    let folder = tempfile::tempdir().unwrap();
    let cable = Cable::to(edge, folder.path());
    let front = SshFront {
        socket: cable.socket.clone(),
        allowed: key(2).public_key().clone(),
        sessions: std::sync::Arc::default(),
    };
    let (port, _cut) = ssh_front(front).await;
    let ssh = SshFiles::new(port);
    let tls = certificates.files();
    harbour.further_hosts = [
        ("near", format!("{{engine: \"unix://{}\", timeout: 5s}}", near.display())),
        (
            "core",
            format!(
                "{{engine: \"{url}\", timeout: 5s, tls: {{ca: {}, cert: {}, key: {}}}}}",
                tls.ca.display(),
                tls.cert.display(),
                tls.key.display()
            ),
        ),
        (
            "edge",
            format!(
                "{{engine: \"ssh://deploy@127.0.0.1:{port}/run/engine.sock\", timeout: 5s, ssh: {{key_file: {}, known_hosts_file: {}}}}}",
                ssh.file("key2").display(),
                ssh.file("known").display()
            ),
        ),
    ]
    .map(|(name, settings)| (name.to_owned(), settings))
    .into();
    let manifest = |image: &str| {
        format!(
            "services:\n  web:\n    image: {image}\n    restart: unless-stopped\n    pull_policy: missing\n"
        )
    };
    let fleet = ("fleet.yaml", "stacks: {shop: {hosts: all}}\n");
    let first = harbour.push(&[("shop/compose.yaml", &manifest(old)), fleet], "one");
    harbour.start();
    harbour.until_noted(&first, "moorline/shop: success in sync on 3 hosts").await;
    for socket in sockets {
        assert!(runs_only(socket, old).await, "{:?}", containers(socket).await);
    }
    // Cut off: it keeps what it has, the others go on, and the commit says why it is not done.
    let before = containers(edge).await;
    cable.whole.send_replace(false);
    let second = harbour.push(&[("shop/compose.yaml", &manifest(new))], "two");
    harbour.until_noted(&second, "moorline/shop: error edge: unknown since").await;
    for socket in [near, core] {
        let begun = tokio::time::Instant::now();
        while !runs_only(socket, new).await {
            let seen = containers(socket).await;
            assert!(begun.elapsed() < PATIENCE, "{seen:?}");
            a_moment().await;
        }
    }
    assert_eq!(containers(edge).await, before);
    // Reachable again: it is brought to the same.
    cable.whole.send_replace(true);
    harbour.until_noted(&second, "moorline/shop: success in sync on 3 hosts").await;
    assert!(runs_only(edge, new).await, "{:?}", containers(edge).await);
    harbour.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hosts_converge_and_one_that_is_cut_off_is_left_as_it_is() {
    let mut hosts = Vec::new();
    for seed in 1..=3 {
        let options = Options { seed, ..Options::default() };
        hosts.push(FakeEngine::start(options).await);
    }
    let sockets: Vec<PathBuf> = hosts.iter().map(|host| host.socket().to_owned()).collect();
    story(&sockets, "app:v1", "app:v2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_three_hosts_converge_and_one_that_is_cut_off_is_left_as_it_is() {
    let sockets = engines::sockets();
    if sockets.is_empty() {
        return;
    }
    story(&sockets[..3], "moorline.test/web:1", "moorline.test/web:2").await;
    for socket in &sockets[..3] {
        let socket = format!("unix://{}", socket.display());
        for words in [["rm", "-f", "shop-web-1"], ["network", "rm", "shop_default"]] {
            let mut docker = std::process::Command::new("docker");
            let done = docker.args(["-H", &socket]).args(words).output().unwrap();
            assert!(done.status.success(), "{done:?}");
        }
    }
}
