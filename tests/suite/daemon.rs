//! The daemon as a whole: pushes in, containers and statuses out.

use std::time::{Duration, Instant};

use super::support::daemon::{Harbour, INTERVAL};
use super::support::git_servers::{Https, Sshd};
use super::support::{comes, stays};

const WEB: &str = "services:\n  web:\n    image: app:v1\n    restart: always\n";

#[tokio::test]
async fn a_push_runs_and_says_so_on_the_commit() {
    let mut harbour = Harbour::new(&["local"]).await;
    let first = harbour.push(&[("shop/compose.yaml", WEB)], "the shop");
    harbour.start();
    harbour.until_noted(&first, "moorline/shop: success in sync").await;
    assert_eq!(harbour.containers("local"), ["shop-web-1 running"]);
    let second = harbour.push(&[("shop/compose.yaml", &WEB.replace("v1", "v2"))], "a new version");
    harbour.until_noted(&second, "moorline: success").await;
    assert_eq!(harbour.hosts["local"].containers()[0].image, "app:v2");
    harbour.stop().await;
}

/// Pushes to a remote that must be asked, and measures until the push runs.
async fn pushes_run_within_an_interval(mut harbour: Harbour) {
    let first = harbour.push(&[("shop/compose.yaml", WEB)], "the shop");
    harbour.start();
    harbour.until_noted(&first, "moorline: success").await;
    for version in ["v2", "v3", "v4"] {
        let pushed = harbour.push(&[("shop/compose.yaml", &WEB.replace("v1", version))], version);
        let begun = Instant::now();
        let image = format!("app:{version}");
        harbour
            .until(version, |it| it.hosts["local"].containers().iter().all(|c| c.image == image))
            .await;
        // An interval with its jitter, and what fetching, planning and a replacement take on a busy machine.
        let limit = INTERVAL.mul_f64(1.1) + Duration::from_secs(4);
        assert!(begun.elapsed() < limit, "{version} ran after {:?}", begun.elapsed());
        harbour.until_noted(&pushed, "moorline: success").await;
    }
    harbour.stop().await;
}

#[tokio::test]
async fn a_push_over_ssh_runs_within_an_interval_and_is_noted_there() {
    let mut harbour = Harbour::new(&["local"]).await;
    let Some(sshd) = Sshd::start(&harbour.repository) else { return };
    let known = sshd.known_hosts("HOST KEY\n");
    harbour.address = Some(sshd.url());
    harbour.repository_settings = format!(
        "    forge: {{kind: notes}}\n    credentials: {{ssh_key_file: {}, known_hosts_file: {}}}\n",
        sshd.key("client").display(),
        known.display()
    );
    pushes_run_within_an_interval(harbour).await;
}

#[tokio::test]
async fn a_push_over_https_runs_within_an_interval_and_is_noted_there() {
    let mut harbour = Harbour::new(&["local"]).await;
    let https = Https::start(&harbour.repository);
    harbour.address = Some(https.url());
    harbour.repository_settings = format!(
        "    forge: {{kind: notes}}\n    credentials: {{token_file: {}}}\n    tls: {{ca: {}}}\n",
        https.file("token").display(),
        https.file("ca.pem").display()
    );
    pushes_run_within_an_interval(harbour).await;
}

#[tokio::test]
async fn a_stack_that_left_the_repository_goes_and_its_data_stays() {
    let mut harbour = Harbour::new(&["local"]).await;
    let store = format!("{WEB}    volumes: [data:/data]\nvolumes: {{data: {{}}}}\n");
    let files = [("shop/compose.yaml", WEB), ("store/compose.yaml", store.as_str())];
    let both = harbour.push(&files, "two stacks");
    harbour.start();
    harbour.until_noted(&both, "moorline: success").await;
    let one = harbour.push_without(&["store"], "one less");
    harbour.until("the store is gone", |it| it.containers("local") == ["shop-web-1 running"]).await;
    harbour.until_noted(&one, "moorline: success").await;
    let volumes = harbour.hosts["local"].volumes();
    assert!(volumes.contains_key("store_data"), "{volumes:?}");
    harbour.stop().await;
    // It is forgotten, and another commit does not speak of it any more.
    let other = harbour.push(&[("shop/compose.yaml", &WEB.replace("v1", "v2"))], "a new version");
    harbour.start();
    harbour.until_noted(&other, "moorline: success").await;
    assert!(!harbour.notes(&other).contains("store"), "{}", harbour.notes(&other));
    harbour.stop().await;
}

#[tokio::test]
async fn a_stack_that_left_while_nobody_looked_goes_at_the_next_start() {
    let mut harbour = Harbour::new(&["local"]).await;
    let files = [("shop/compose.yaml", WEB), ("store/compose.yaml", WEB)];
    let both = harbour.push(&files, "two stacks");
    harbour.start();
    harbour.until_noted(&both, "moorline: success").await;
    harbour.stop().await;
    let one = harbour.push_without(&["store"], "one less");
    harbour.start();
    harbour.until("the store is gone", |it| it.containers("local") == ["shop-web-1 running"]).await;
    harbour.until_noted(&one, "moorline: success").await;
    harbour.stop().await;
}

#[tokio::test]
async fn a_stack_comes_back_after_it_was_gone() {
    let mut harbour = Harbour::new(&["local"]).await;
    let files = [("shop/compose.yaml", WEB), ("store/compose.yaml", WEB)];
    harbour.push(&files, "two stacks");
    harbour.start();
    harbour.until("both run", |it| it.containers("local").len() == 2).await;
    let one = harbour.push_without(&["store"], "one less");
    harbour.until_noted(&one, "moorline: success").await;
    assert_eq!(harbour.containers("local"), ["shop-web-1 running"]);
    let again = harbour.push(&[("store/compose.yaml", WEB)], "and back");
    harbour.until_noted(&again, "moorline: success").await;
    assert_eq!(harbour.containers("local"), ["shop-web-1 running", "store-web-1 running"]);
    harbour.stop().await;
}

#[tokio::test]
async fn an_emptied_repository_removes_nothing() {
    let mut harbour = Harbour::new(&["local"]).await;
    let there = harbour.push(&[("shop/compose.yaml", WEB), ("README", "a")], "the shop");
    harbour.start();
    harbour.until_noted(&there, "moorline: success").await;
    harbour.push_without(&["shop"], "nothing is left");
    for _ in 0..2 {
        harbour.ring();
        stays("nothing is removed", Duration::from_millis(300), || {
            harbour.containers("local") == ["shop-web-1 running"]
        })
        .await;
        harbour.stop().await;
        harbour.start();
    }
    harbour.stop().await;
}

#[tokio::test]
async fn a_stack_that_moves_to_another_host_leaves_the_first_and_its_data_stays_there() {
    let mut harbour = Harbour::new(&["left", "right"]).await;
    // Somebody said that it may begin anew there: else it would be held.
    let store = format!(
        "{WEB}    volumes: [data:/data]\nvolumes: {{data: {{}}}}\nx-moorline: {{start_empty: true}}\n"
    );
    let fleet = |host: &str| {
        format!("stacks:\n  store:\n    hosts: [{host}]\n    prune: {{volumes: true}}\n")
    };
    let files = [("store/compose.yaml", store.as_str()), ("fleet.yaml", &fleet("left"))];
    let first = harbour.push(&files, "on the left");
    harbour.start();
    harbour.until_noted(&first, "moorline: success").await;
    assert_eq!(harbour.containers("left"), ["store-web-1 running"]);
    let second = harbour.push(&[("fleet.yaml", &fleet("right"))], "on the right");
    harbour.until_noted(&second, "moorline: success").await;
    harbour.until("the left is empty", |it| it.containers("left").is_empty()).await;
    assert_eq!(harbour.containers("right"), ["store-web-1 running"]);
    assert!(harbour.hosts["left"].volumes().contains_key("store_data"));
    // A name that no host has keeps everything where it is.
    let third = harbour.push(&[("fleet.yaml", &fleet("{zone: nowhere}"))], "nowhere");
    harbour.until("the commit was seen", |it| !it.notes(&third).is_empty()).await;
    assert_eq!(harbour.containers("right"), ["store-web-1 running"]);
    harbour.stop().await;
}

#[tokio::test]
async fn a_daemon_killed_at_any_moment_ends_where_git_says() {
    let mut harbour = Harbour::new(&["local"]).await;
    let many = WEB.replace("restart", "deploy: {replicas: 6}\n    restart");
    harbour.push(&[("shop/compose.yaml", &many)], "six");
    for calls in [0, 2, 4, 8, 14, 22] {
        harbour.hosts["local"].clear_calls();
        harbour.start();
        let host = &harbour.hosts["local"];
        comes(|| host.calls().len() >= calls, Duration::from_secs(2)).await;
        harbour.kill().await;
    }
    let last = harbour.push(&[("shop/compose.yaml", &many.replace("v1", "v2"))], "another version");
    harbour.start();
    harbour.until_noted(&last, "moorline: success").await;
    assert_eq!(harbour.containers("local").len(), 6);
    assert!(harbour.hosts["local"].containers().iter().all(|one| one.image == "app:v2"));
    harbour.stop().await;
}
