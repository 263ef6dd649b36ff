//! Many hosts from one repository: who goes first, when, and what operators hold back.

use std::time::Duration;

use moorline::config::fleet_file::Suspension;
use moorline::data::folder::DataFolder;
use moorline::fleet::suspension::Brake;
use moorline::model::{HostName, StackName, Timestamp};

use super::support::daemon::Harbour;
use super::support::fake_engine::Behaviour;
use super::support::world::now;
use super::support::{comes, stays};

const WEB: &str = "services:\n  web:\n    image: app:v1\n    restart: always\n";

fn newer() -> String {
    WEB.replace("v1", "v2")
}

fn image(harbour: &Harbour, host: &str) -> String {
    let containers = harbour.hosts[host].containers();
    containers.first().map_or_else(String::new, |container| container.image.clone())
}

fn data(harbour: &Harbour) -> DataFolder {
    DataFolder::open(&harbour.settings().data).unwrap()
}

/// A window that is shut for some hours around now.
fn shut() -> String {
    let now = jiff::Timestamp::from_millisecond(now().as_millis()).unwrap();
    let later = now.to_zoned(jiff::tz::TimeZone::UTC).hour();
    let opens = (later + 12) % 24;
    format!("windows: [{{allow: \"0 {opens} * * *\", for: 1h}}]\n")
}

#[tokio::test]
async fn canaries_go_first_and_the_others_follow_when_they_are_healthy() {
    let mut harbour = Harbour::new(&["edge-1", "edge-2", "core"]).await;
    let fleet = "stacks: {shop: {hosts: all}}\nwaves: [[edge-1], rest]\n";
    let first = harbour.push(&[("shop/compose.yaml", WEB), ("fleet.yaml", fleet)], "one");
    harbour.start();
    harbour.until_noted(&first, "moorline/shop: success in sync on 3 hosts").await;
    // The canary does not come up: the others stay where they are, and say so.
    let sick = Behaviour { fails_to_start: true, ..Behaviour::default() };
    harbour.hosts["edge-1"].behave("web", sick);
    let second = harbour.push(&[("shop/compose.yaml", &newer())], "two");
    harbour.until_noted(&second, "moorline/shop: failure").await;
    stays("the others stay at the old version", Duration::from_millis(300), || {
        ["edge-2", "core"].iter().all(|host| image(&harbour, host) == "app:v1")
    })
    .await;
    // A commit that comes up goes on to all.
    harbour.hosts["edge-1"].behave("web", Behaviour::default());
    let third = harbour.push(&[("shop/compose.yaml", &WEB.replace("v1", "v3"))], "three");
    harbour.until_noted(&third, "moorline/shop: success in sync on 3 hosts").await;
    for host in ["edge-1", "edge-2", "core"] {
        assert_eq!(image(&harbour, host), "app:v3", "{host}");
    }
    harbour.stop().await;
}

#[tokio::test]
async fn a_shut_window_holds_changes_with_their_time_and_recovery_goes_on_also_after_a_restart() {
    let mut harbour = Harbour::new(&["local"]).await;
    let fleet = "stacks: {shop: {}}\n";
    let first = harbour.push(&[("shop/compose.yaml", WEB), ("fleet.yaml", fleet)], "one");
    harbour.start();
    harbour.until_noted(&first, "moorline/shop: success").await;
    let windows = format!("{fleet}{}", shut());
    let second = harbour
        .push(&[("shop/compose.yaml", &newer()), ("fleet.yaml", &windows)], "in a shut window");
    harbour.until_noted(&second, "moorline/shop: pending changes wait until 20").await;
    for round in 0..2 {
        harbour.hosts["local"].remove("shop-web-1");
        harbour.until("it came back", |it| it.containers("local") == ["shop-web-1 running"]).await;
        assert_eq!(image(&harbour, "local"), "app:v1", "round {round}");
        harbour.stop().await;
        harbour.start();
    }
    let third = harbour.push(&[("fleet.yaml", fleet)], "without windows");
    harbour.until_noted(&third, "moorline/shop: success").await;
    assert_eq!(image(&harbour, "local"), "app:v2");
    harbour.stop().await;
}

#[tokio::test]
async fn a_commit_that_changes_nothing_of_a_stack_does_not_wait_for_a_window() {
    let mut harbour = Harbour::new(&["local"]).await;
    let fleet = format!("stacks: {{shop: {{}}}}\n{}", shut());
    harbour.push(&[("shop/compose.yaml", WEB), ("fleet.yaml", "stacks: {shop: {}}\n")], "one");
    harbour.start();
    harbour.until("it runs", |it| it.containers("local") == ["shop-web-1 running"]).await;
    let second = harbour.push(&[("fleet.yaml", fleet.as_str()), ("README", "x")], "two");
    harbour.until_noted(&second, "moorline/shop: success").await;
    harbour.stop().await;
}

#[tokio::test]
async fn a_suspended_stack_is_left_alone_at_once_and_goes_on_when_that_ends() {
    let mut harbour = Harbour::new(&["left", "right"]).await;
    let fleet = "stacks: {shop: {hosts: all}, blog: {hosts: all}}\n";
    let files = [("shop/compose.yaml", WEB), ("blog/compose.yaml", WEB), ("fleet.yaml", fleet)];
    let first = harbour.push(&files, "one");
    harbour.start();
    harbour.until_noted(&first, "moorline: success").await;
    let until: Timestamp = now().plus(Duration::from_secs(4));
    let brake = Brake {
        stack: Some(StackName::parse("shop").unwrap()),
        host: Some(HostName::parse("left").unwrap()),
        by: "ada".to_owned(),
        since: now(),
        suspension: Suspension { reason: "disk swap".to_owned(), until: Some(until) },
    };
    data(&harbour).change_orders(|orders| orders.brakes.suspend(brake)).unwrap();
    harbour.until_noted(&first, "suspended by ada").await;
    harbour.hosts["left"].stop("shop-web-1");
    harbour.hosts["left"].stop("blog-web-1");
    harbour
        .until("blog is back", |it| {
            it.containers("left").contains(&"blog-web-1 running".to_owned())
        })
        .await;
    assert!(harbour.containers("left").contains(&"shop-web-1 exited".to_owned()));
    // It ends by itself: nobody rings.
    harbour
        .until("shop is back", |it| {
            it.containers("left").contains(&"shop-web-1 running".to_owned())
        })
        .await;
    assert!(until <= now());
    harbour.until_noted(&first, "moorline: success").await;
    harbour.stop().await;
}

#[tokio::test]
async fn stacks_that_come_after_a_failed_one_are_stopped_and_say_so() {
    let mut harbour = Harbour::new(&["local"]).await;
    let fleet = "stacks:\n  db: {}\n  shop: {after: [db]}\n";
    let sick = Behaviour { fails_to_start: true, ..Behaviour::default() };
    harbour.hosts["local"].behave("db", sick);
    let db = WEB.replace("web:", "db:");
    let files =
        [("db/compose.yaml", db.as_str()), ("shop/compose.yaml", WEB), ("fleet.yaml", fleet)];
    let first = harbour.push(&files, "one");
    harbour.start();
    harbour.until_noted(&first, "moorline/shop: failure stopped: db@local failed").await;
    assert!(!harbour.containers("local").iter().any(|one| one.starts_with("shop")));
    harbour.hosts["local"].behave("db", Behaviour::default());
    harbour.until_noted(&first, "moorline/shop: success").await;
    harbour.stop().await;
}

/// A number below `limit` that follows from a seed.
fn draw(seed: &mut u64, limit: u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) % limit
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_daemons_killed_at_random_leave_every_status_right() {
    let names: Vec<String> = (1..=10).map(|number| format!("edge-{number}")).collect();
    let hosts: Vec<&str> = names.iter().map(String::as_str).collect();
    let harbour = Harbour::new(&hosts).await;
    let fleet = ("fleet.yaml", "stacks: {shop: {hosts: all}}\n");
    let mut daemons = std::collections::BTreeMap::new();
    let mut seed = 7;
    let mut commits = Vec::new();
    for version in ["v1", "v2", "v3"] {
        let manifest = WEB.replace("v1", version);
        commits.push(harbour.push(&[("shop/compose.yaml", &manifest), fleet], version));
        for _ in 0..30 {
            let host = hosts[usize::try_from(draw(&mut seed, 10)).unwrap()];
            match daemons.remove(host) {
                None => drop(daemons.insert(host, harbour.start_beside(host))),
                Some(daemon) => {
                    let daemon: super::support::daemon::Daemon = daemon;
                    daemon.kill().await;
                }
            }
            // Until a few more calls were made; where nobody makes any, not for long.
            let made = || harbour.hosts.values().map(|it| it.calls().len() as u64).sum::<u64>();
            let enough = made() + draw(&mut seed, 40);
            comes(|| made() >= enough, Duration::from_millis(120)).await;
        }
    }
    for host in &hosts {
        daemons.entry(host).or_insert_with(|| harbour.start_beside(host));
    }
    let last = commits.last().unwrap();
    for host in &hosts {
        harbour.until_noted(last, &format!("moorline/shop@{host}: success in sync")).await;
        assert_eq!(image(&harbour, host), "app:v3");
    }
    for (_, daemon) in daemons {
        daemon.stop().await;
    }
    // One line a host, and nothing that a daemon of one host cannot know.
    let lines: Vec<String> = harbour.notes(last).lines().map(ToOwned::to_owned).collect();
    let own: Vec<&String> = lines.iter().filter(|line| line.starts_with("moorline")).collect();
    assert_eq!(own.len(), 10, "{lines:#?}");
    assert!(own.iter().all(|line| line.contains(": success in sync")), "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn daemons_of_one_host_each_keep_their_order_by_what_the_commit_says() {
    let harbour = Harbour::new(&["core", "edge-1", "edge-2"]).await;
    let fleet = "stacks:\n  db: {hosts: core}\n  shop: {hosts: [edge-1, edge-2], after: [db]}\nwaves: [[edge-1], rest]\n";
    let push = |version: &str| {
        let manifest = WEB.replace("v1", version);
        let files = [
            ("db/compose.yaml", &*manifest),
            ("shop/compose.yaml", &manifest),
            ("fleet.yaml", fleet),
        ];
        harbour.push(&files, version)
    };
    let first = push("v1");
    let second_edge = harbour.start_beside("edge-2");
    harbour.until_noted(&first, "moorline/shop@edge-2: pending waits for ").await;
    let core = harbour.start_beside("core");
    harbour.until_noted(&first, "moorline/db@core: success in sync").await;
    harbour.until_noted(&first, "moorline/shop@edge-2: pending waits for shop@edge-1").await;
    let first_edge = harbour.start_beside("edge-1");
    for target in ["db@core", "shop@edge-1", "shop@edge-2"] {
        harbour.until_noted(&first, &format!("moorline/{target}: success in sync")).await;
    }
    // One that fails stops those that follow, and all of them name it.
    let sick = Behaviour { fails_to_start: true, ..Behaviour::default() };
    harbour.hosts["edge-1"].behave("web", sick);
    let second = push("v2");
    harbour.until_noted(&second, "moorline/shop@edge-1: failure ").await;
    harbour
        .until_noted(&second, "moorline/shop@edge-2: failure stopped: shop@edge-1 failed: ")
        .await;
    assert_eq!(image(&harbour, "edge-2"), "app:v1");
    harbour.hosts["edge-1"].behave("web", Behaviour::default());
    let third = push("v3");
    for target in ["db@core", "shop@edge-1", "shop@edge-2"] {
        harbour.until_noted(&third, &format!("moorline/{target}: success in sync")).await;
    }
    for daemon in [second_edge, core, first_edge] {
        daemon.stop().await;
    }
}
