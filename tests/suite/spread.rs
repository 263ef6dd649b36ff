//! Replicas that are spread over hosts, by the running daemon: hosts come, go and return, and as little moves as can be.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::support::daemon::Harbour;
use super::support::fake_engine::{FakeEngine, Faults, Options};
use super::support::stays;

const WEB: &str = "services:\n  web:\n    image: app:v1\n    restart: always\n";
const MANY: &str = "services:\n  web:\n    image: app:v1\n    restart: always\n    deploy: {mode: replicated, replicas: 6}\n";

fn all(harbour: &Harbour) -> Vec<String> {
    let mut all: Vec<String> = harbour
        .hosts
        .keys()
        .flat_map(|host| {
            let names = harbour.containers(host).into_iter();
            names.map(|name| name.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
        })
        .collect();
    all.sort();
    all
}

fn numbered(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("shop-web-{number}")).collect()
}

#[tokio::test]
async fn replicas_are_spread_over_hosts_once_each_and_stay_where_they_are() {
    let mut harbour = Harbour::new(&["a", "b", "c"]).await;
    let fleet = "stacks: {shop: {hosts: all}}\n";
    let first = harbour.push(&[("shop/compose.yaml", MANY), ("fleet.yaml", fleet)], "six");
    harbour.start();
    harbour.until_noted(&first, "moorline/shop: success in sync on 3 hosts").await;
    assert_eq!(all(&harbour), numbered(6));
    for host in ["a", "b", "c"] {
        assert_eq!(harbour.containers(host).len(), 2, "{host}");
    }
    let before: Vec<_> = ["a", "b", "c"].map(|host| harbour.containers(host)).into();
    // Another daemon finds everything where it is, and two more go somewhere.
    harbour.stop().await;
    let more = MANY.replace("replicas: 6", "replicas: 8");
    let second = harbour.push(&[("shop/compose.yaml", &more)], "eight");
    harbour.start();
    harbour.until_noted(&second, "moorline/shop: success in sync on 3 hosts").await;
    assert_eq!(all(&harbour), numbered(8));
    for (host, had) in ["a", "b", "c"].iter().zip(&before) {
        let has = harbour.containers(host);
        assert!(had.iter().all(|one| has.contains(one)), "{host}: {had:?} {has:?}");
    }
    let third = harbour.push(&[("shop/compose.yaml", &MANY.replace("6", "3"))], "three");
    harbour.until_noted(&third, "moorline/shop: success in sync on 3 hosts").await;
    assert_eq!(all(&harbour), numbered(3));
    harbour.stop().await;
}

#[tokio::test]
async fn a_lost_hosts_replicas_go_elsewhere_after_the_grace_and_stay_there_when_it_returns() {
    let mut harbour = Harbour::new(&["a", "b", "c"]).await;
    harbour.more = "limits: {host_lost: 3s}\n".to_owned();
    let fleet = "stacks: {shop: {hosts: all}}\n";
    let first = harbour.push(&[("shop/compose.yaml", MANY), ("fleet.yaml", fleet)], "six");
    harbour.start();
    harbour.until_noted(&first, "moorline/shop: success in sync on 3 hosts").await;
    let there = harbour.containers("c");
    harbour.hosts["c"].set_faults(Faults { cut_before: 1.0, ..Faults::default() });
    harbour.hosts["c"].cut_connections();
    harbour
        .until("the others have them all", |it| {
            it.containers("a").len() + it.containers("b").len() == 6
        })
        .await;
    assert_eq!(harbour.containers("c"), there, "nothing was done to the silent one");
    harbour.hosts["c"].heal();
    harbour.until("the stand-ins stay", |it| it.containers("c").is_empty()).await;
    assert_eq!(all(&harbour), numbered(6));
    harbour.until_noted(&first, "moorline/shop: success in sync on 3 hosts").await;
    harbour.stop().await;
}

/// Containers by id, and their host.
fn ids(harbour: &Harbour) -> BTreeMap<String, String> {
    let hosts = harbour.hosts.iter();
    let on = |(host, engine): (&String, &FakeEngine)| {
        let all = engine.containers().into_iter();
        all.map(|one| (format!("{} {}", one.name, one.id), host.clone())).collect::<Vec<_>>()
    };
    hosts.flat_map(on).collect()
}

/// Ten hosts with twenty replicas, and one service that keeps its state where it is.
async fn ten() -> (Harbour, String) {
    let names: Vec<String> = (0..10).map(|number| format!("h{number}")).collect();
    let mut harbour = Harbour::new(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    // Engines of one seed would give the same ids.
    for (number, engine) in harbour.hosts.values_mut().enumerate() {
        let options = Options { seed: 100 + number as u64, ..Options::default() };
        *engine = FakeEngine::start(options).await;
    }
    let shop = format!(
        "{}  db:\n    image: app:v1\n    restart: always\n    volumes: [data:/data]\n    deploy: {{mode: replicated}}\nvolumes: {{data: {{}}}}\n",
        MANY.replace("replicas: 6", "replicas: 20")
    );
    let files =
        [("shop/compose.yaml", shop.as_str()), ("fleet.yaml", "stacks: {shop: {hosts: all}}\n")];
    let first = harbour.push(&files, "twenty");
    harbour.start();
    harbour.until_noted(&first, "moorline/shop: success in sync on 10 hosts").await;
    (harbour, first)
}

#[tokio::test]
async fn replacing_one_of_ten_hosts_moves_only_what_was_there() {
    let (mut harbour, first) = ten().await;
    let before = ids(&harbour);
    assert_eq!(before.len(), 21);
    // One without the database: its state would not move.
    let has_state = |host: &str| harbour.containers(host).iter().any(|name| name.contains("db"));
    let gone = harbour.hosts.keys().find(|host| !has_state(host)).unwrap().clone();
    harbour.stop().await;
    harbour.hosts.remove(&gone);
    let options = Options { seed: 999, ..Options::default() };
    harbour.hosts.insert("new".to_owned(), FakeEngine::start(options).await);
    harbour.start();
    harbour.until("all are there again", |it| all(it).len() == 21).await;
    harbour.until_noted(&first, "moorline/shop: success in sync on 10 hosts").await;
    let after = ids(&harbour);
    for (id, host) in before.iter().filter(|(_, host)| **host != gone) {
        assert_eq!(after.get(id), Some(host), "{id} was moved or made anew");
    }
    assert!(!harbour.containers("new").is_empty(), "the new host has room");
    harbour.stop().await;
}

#[tokio::test]
async fn an_eleventh_host_moves_nobody() {
    let (mut harbour, first) = ten().await;
    let before = ids(&harbour);
    harbour.stop().await;
    let options = Options { seed: 999, ..Options::default() };
    harbour.hosts.insert("new".to_owned(), FakeEngine::start(options).await);
    harbour.start();
    harbour.until_noted(&first, "moorline/shop: success in sync on 11 hosts").await;
    assert_eq!(ids(&harbour), before);
    harbour.stop().await;
}

#[tokio::test]
async fn replicas_return_home_one_after_the_other_and_are_never_fewer() {
    let mut harbour = Harbour::new(&["a", "b", "c"]).await;
    harbour.more = "limits: {host_lost: 2s, returning: home}\n".to_owned();
    let files = [("shop/compose.yaml", MANY), ("fleet.yaml", "stacks: {shop: {hosts: all}}\n")];
    let first = harbour.push(&files, "six");
    harbour.start();
    harbour.until_noted(&first, "moorline/shop: success in sync on 3 hosts").await;
    let there = harbour.containers("c");
    harbour.hosts["c"].set_faults(Faults { cut_before: 1.0, ..Faults::default() });
    harbour.hosts["c"].cut_connections();
    let others = |it: &Harbour| it.containers("a").len() + it.containers("b").len();
    harbour.until("the others have them all", |it| others(it) == 6).await;
    harbour.hosts["c"].heal();
    let is_whole = |it: &Harbour| {
        let names: BTreeSet<String> = all(it).into_iter().collect();
        assert_eq!(names.into_iter().collect::<Vec<_>>(), numbered(6), "one was nowhere");
    };
    harbour
        .until("the stand-ins leave", |it| {
            is_whole(it);
            others(it) == 4
        })
        .await;
    assert_eq!(harbour.containers("c"), there);
    harbour.until_noted(&first, "moorline/shop: success in sync on 3 hosts").await;
    harbour.stop().await;
}

/// A replica whose new host pulls for a while stays where it was until it runs there.
#[tokio::test]
async fn a_replica_that_is_sent_elsewhere_stays_until_it_runs_there() {
    let mut harbour = Harbour::new(&["a"]).await;
    let slow = Options { latency: std::time::Duration::from_millis(150), ..Options::default() };
    harbour.hosts.insert("b".to_owned(), FakeEngine::start(slow).await);
    let one = |host: &str| {
        format!(
            "{WEB}    deploy: {{mode: replicated, replicas: 1, placement: {{constraints: [node.hostname == {host}]}}}}\n"
        )
    };
    let fleet = "stacks: {shop: {hosts: all}}\n";
    let first = harbour.push(&[("shop/compose.yaml", &one("a")), ("fleet.yaml", fleet)], "a");
    harbour.start();
    harbour.until_noted(&first, "moorline/shop: success in sync on 2 hosts").await;
    assert_eq!(all(&harbour), numbered(1));
    let second = harbour.push(&[("shop/compose.yaml", &one("b"))], "b");
    let runs = |it: &Harbour, host: &str| it.containers(host) == ["shop-web-1 running"];
    harbour
        .until("it moved", |it| {
            assert!(runs(it, "a") || runs(it, "b"), "it runs nowhere");
            it.containers("a").is_empty() && runs(it, "b")
        })
        .await;
    harbour.until_noted(&second, "moorline/shop: success in sync on 2 hosts").await;
    harbour.stop().await;
}

#[tokio::test]
async fn what_has_state_on_a_lost_host_waits_for_it() {
    let mut harbour = Harbour::new(&["a", "b"]).await;
    harbour.more = "limits: {host_lost: 1s}\n".to_owned();
    let store = "services:\n  db:\n    image: app:v1\n    restart: always\n    volumes: [data:/data]\n    deploy: {mode: replicated, replicas: 1}\nvolumes: {data: {}}\n";
    let files = [("shop/compose.yaml", store), ("fleet.yaml", "stacks: {shop: {hosts: all}}\n")];
    let first = harbour.push(&files, "state");
    harbour.start();
    harbour.until_noted(&first, "moorline/shop: success in sync on 2 hosts").await;
    let home = harbour.hosts.keys().find(|host| !harbour.containers(host).is_empty()).unwrap();
    let (home, other) = (home.clone(), if home == "a" { "b" } else { "a" });
    harbour.hosts[&home].set_faults(Faults { cut_before: 1.0, ..Faults::default() });
    harbour.hosts[&home].cut_connections();
    harbour.until_noted(&first, &format!("moorline/shop: error {home}: unknown since")).await;
    stays("state does not move by itself", std::time::Duration::from_secs(4), || {
        harbour.containers(other).is_empty()
    })
    .await;
    harbour.hosts[&home].heal();
    harbour.until_noted(&first, "moorline/shop: success in sync on 2 hosts").await;
    harbour.stop().await;
}

/// What a command prints as JSON, one document.
async fn printed(harbour: &Harbour, words: &[&str]) -> Value {
    let (_, text, said) = harbour.command(words).await;
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{words:?}: {said}"))
}

fn created(plan: &Value) -> BTreeSet<String> {
    let text = plan.to_string();
    let names = text.split("shop-web-").skip(1);
    let number = |rest: &str| rest.chars().take_while(char::is_ascii_digit).collect::<String>();
    names.map(number).collect()
}

#[tokio::test]
async fn a_plan_shows_replicas_where_they_will_sit_also_against_what_was_observed() {
    let mut harbour = Harbour::new(&["a", "b", "c"]).await;
    let fleet = "stacks: {shop: {hosts: all}}\n";
    harbour.push(&[("shop/compose.yaml", MANY), ("fleet.yaml", fleet)], "six");
    let observed = printed(&harbour, &["observe", "--output", "json"]).await;
    let saved = harbour.repository.root().join("observed.json");
    std::fs::write(&saved, observed.to_string()).unwrap();
    let path = saved.display().to_string();
    let live = printed(&harbour, &["plan", "--output", "json"]).await;
    let offline = printed(&harbour, &["plan", "--output", "json", "--observed", &path]).await;
    let steps = |plan: &Value| plan.to_string().matches("\"create\"").count();
    assert_eq!(created(&live).len(), 6, "{live}");
    assert_eq!(created(&offline), created(&live));
    assert_eq!(steps(&offline), steps(&live), "{offline}");
    // The daemon does what was shown.
    let first = harbour.repository.git(&["rev-parse", "HEAD"]);
    harbour.start();
    harbour.until_noted(&first, "moorline/shop: success in sync on 3 hosts").await;
    for host in ["a", "b", "c"] {
        for name in harbour.containers(host) {
            let name = name.split(' ').next().unwrap();
            let planned = plan_of(&live, host);
            assert!(planned.contains(name), "{name} on {host}: {planned}");
        }
    }
    harbour.stop().await;
}

/// The part of a plan that is about one host.
fn plan_of(plan: &Value, host: &str) -> String {
    fn find(value: &Value, host: &str, found: &mut String) {
        match value {
            Value::Object(fields) if fields.get("host").and_then(Value::as_str) == Some(host) => {
                found.push_str(&value.to_string());
            }
            Value::Object(fields) => fields.values().for_each(|one| find(one, host, found)),
            Value::Array(items) => items.iter().for_each(|one| find(one, host, found)),
            _ => {}
        }
    }
    let mut found = String::new();
    find(plan, host, &mut found);
    found
}
