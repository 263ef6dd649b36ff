//! Ways to a remote and its forge that are not straight: proxies, certificate authorities of one's own, sub-paths.

use std::net::SocketAddr;
use std::process::Output;

use moorline::forge::{Forge, ForgeSettings};
use moorline::model::ForgeKind as Kind;

use super::daemon::Stage;
use super::{clock, sha};
use crate::support::fake_forge::{FakeForge, TOKEN};
use crate::support::git_servers::{self, Https};
use crate::support::proxy::Proxy;

const WEB: &str = "services:\n  web:\n    image: app:v1\n    restart: always\n";
/// As it is, and as it stands in an address.
const PASSWORD: (&str, &str) = ("p@ss:w/rd 77", "p%40ss%3Aw%2Frd%2077");

/// A repository at `https://git.corp.test` and its forge at `https://forge.corp.test`; both names only a proxy knows.
struct Corporation {
    stage: Stage,
    git: Https,
    proxy: Proxy,
    commit: String,
}

impl Corporation {
    async fn new(kind: Kind) -> Self {
        let mut stage = Stage::new(kind).await;
        let commit =
            stage.push(&[("README.md", "hello\n"), ("shop/compose.yaml", WEB)], "the shop");
        let git = Https::start(&stage.harbour.repository);
        let servers: [(&str, SocketAddr); 2] = [
            ("git.corp.test", ([127, 0, 0, 1], git.port()).into()),
            ("forge.corp.test", git.in_front_of(stage.forge.address).await),
        ];
        let proxy = Proxy::start("bob", PASSWORD.0, &servers).await;
        stage.harbour.address = Some("https://git.corp.test/fleet.git".to_owned());
        let settings = stage.harbour.repository_settings.replace(
            &format!("api: \"{}\"", stage.forge.url()),
            "api: \"https://forge.corp.test\"",
        );
        stage.harbour.repository_settings = format!(
            "{settings}    credentials: {{token_file: {}}}\n    tls: {{ca: {}}}\n",
            git.file("token").display(),
            git.file("ca.pem").display()
        );
        Self { stage, git, proxy, commit }
    }

    /// `moorline WORDS` with these variables, and no others that speak of proxies.
    async fn run(&self, words: &[&str], variables: &[(&str, &str)]) -> Output {
        let settings = self.stage.harbour.repository.root().join("moorline.yaml");
        std::fs::write(&settings, self.stage.harbour.settings_text()).unwrap();
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_moorline"));
        command.args(words).arg("--settings").arg(settings).env("RUST_LOG", "debug");
        for name in ["https_proxy", "http_proxy", "all_proxy", "no_proxy"] {
            command.env_remove(name).env_remove(name.to_ascii_uppercase());
        }
        let output = command.envs(variables.iter().copied()).output().await.unwrap();
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        for secret in [PASSWORD.0, PASSWORD.1, TOKEN, git_servers::TOKEN] {
            assert!(!said.contains(secret), "{secret} in {said}");
        }
        output
    }
}

fn assert_good(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_the_environment_names_leads_to_the_remote_and_the_forge() {
    let it = Corporation::new(Kind::Gitea).await;
    let address = it.proxy.address("bob", PASSWORD.1);
    let output = it.run(&["sync"], &[("HTTPS_PROXY", &address), ("http_proxy", &address)]).await;
    assert_good(&output);
    it.stage.until_status(&it.commit, "moorline", "success", "1 stack in sync").await;
    let log = it.proxy.log();
    assert!(log.contains(&"CONNECT git.corp.test:443 HTTP/1.1".to_owned()), "{log:#?}");
    assert!(log.contains(&"CONNECT forge.corp.test:443 HTTP/1.1".to_owned()), "{log:#?}");
    assert!(!it.git.take_log().is_empty());
    // Nothing that is for the proxy alone goes further.
    assert!(!it.proxy.seen().contains("roxy-"), "{}", it.proxy.seen());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_of_the_settings_has_the_last_word() {
    let mut it = Corporation::new(Kind::GitLab).await;
    let proxy = format!("    proxy: \"{}\"\n", it.proxy.address("bob", PASSWORD.1));
    it.stage.harbour.repository_settings.push_str(&proxy);
    let nowhere = [("HTTPS_PROXY", "http://127.0.0.1:1"), ("NO_PROXY", "*")];
    assert_good(&it.run(&["sync"], &nowhere).await);
    it.stage.until_status(&it.commit, "moorline", "success", "1 stack in sync").await;
    // The daemon takes the same ways.
    let next = it.stage.push(&[("shop/compose.yaml", &WEB.replace("v1", "v2"))], "next");
    it.stage.harbour.start();
    it.stage.until_status(&next, "moorline", "success", "1 stack in sync").await;
    it.stage.harbour.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_refuses_or_is_left_out_is_said() {
    let it = Corporation::new(Kind::GitHub).await;
    let wrong = it.proxy.address("bob", "guess");
    let output = it.run(&["doctor"], &[("ALL_PROXY", &wrong)]).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("FAIL  repository fleet: "), "{said}");
    assert!(
        said.contains("cannot reach forge.corp.test: ") && said.contains("proxy authorization"),
        "{said}"
    );
    let log = it.proxy.log();
    assert!(!log.is_empty() && log.iter().all(|line| line.starts_with("407 ")), "{log:#?}");
    // Left out, the names lead nowhere.
    let address = it.proxy.address("bob", PASSWORD.1);
    let without = [("ALL_PROXY", address.as_str()), ("NO_PROXY", ".corp.test")];
    let output = it.run(&["doctor"], &without).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(it.proxy.log().len(), log.len(), "nothing went through the proxy");
    assert_eq!(it.stage.forge.look(|world| world.received.len()), 0);
}

#[tokio::test]
async fn a_forge_below_a_sub_path_is_found_by_its_address_or_the_remotes() {
    for kind in [Kind::GitHub, Kind::GitLab, Kind::Gitea, Kind::Forgejo] {
        let forge = FakeForge::start(kind).await;
        let commit = sha('a');
        let project = forge.look(|world| {
            world.prefix = "/scm/forge".to_owned();
            world.commits.insert(commit.to_string(), false);
            world.project.clone()
        });
        let remote = format!("{}/scm/forge/{project}.git", forge.url());
        let api: url::Url = format!("{}/scm/forge/", forge.url()).parse().unwrap();
        let of = |kind, api| {
            let mut settings = ForgeSettings::for_remote(&remote, kind, api, clock).unwrap();
            let token = moorline::model::Secret::new(TOKEN.to_owned());
            settings.credentials = moorline::forge::Credentials::Token(token);
            settings
        };
        for settings in [of(Some(kind), Some(api.clone())), of(None, Some(api)), of(None, None)] {
            let found = Forge::look_up(&settings).await.unwrap();
            assert_eq!((found.kind, found.project.as_str()), (Some(kind), project.as_str()));
            let client = Forge::recognise(&settings).await.unwrap();
            assert_eq!(client.open_pull_requests().await.unwrap(), []);
            let link = client.file_link(&commit, "shop/compose.yaml", 3);
            assert!(link.starts_with(&format!("{}/scm/forge/{project}/", forge.url())), "{link}");
        }
        // Whoever asks for the kind says nothing of himself.
        forge.look(|world| {
            let asked = |path: &str| ["/version", "/meta"].iter().any(|end| path.ends_with(end));
            let asked: Vec<_> = world.received.iter().filter(|one| asked(&one.path)).collect();
            assert!(asked.iter().all(|one| one.token.is_none()) && !asked.is_empty());
        });
    }
}

#[tokio::test]
async fn the_daemon_speaks_with_a_forge_below_a_sub_path_that_only_the_remote_names() {
    for kind in [Kind::GitLab, Kind::Forgejo] {
        let mut stage = Stage::new(kind).await;
        stage.forge.look(|world| world.prefix = "/forge".to_owned());
        let commit =
            stage.push(&[("README.md", "hello\n"), ("shop/compose.yaml", WEB)], "the shop");
        let token = stage.harbour.repository.root().join("token");
        // Git over the same address would need a server of both kinds: the forge's is told by its API alone.
        stage.harbour.repository_settings = format!(
            "    forge: {{api: \"{}/forge\", project: {}, token_file: {}}}\n",
            stage.forge.url(),
            stage.forge.look(|world| world.project.clone()),
            token.display()
        );
        stage.harbour.start();
        stage.until_status(&commit, "moorline", "success", "1 stack in sync").await;
        stage.harbour.stop().await;
    }
}
