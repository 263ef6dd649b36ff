//! What a process remembers between passes: falls, recoveries, what was rolled back. Stories without memory, each
//! pass a process of its own, are files in `tests/stories`.

use std::time::Duration;

use moorline::model::{CommitState, Health};
use moorline::report::status;

use super::support::comes;
use super::support::fake_engine::{Behaviour, Options};
use super::support::world::World;

const WEB: &str =
    "services:\n  web:\n    image: app:v1\n    restart: always\n    deploy: {replicas: 2}\n";

#[tokio::test(start_paused = true)]
async fn a_replica_that_dies_is_brought_back_and_the_status_tells_the_truth_all_along() {
    let mut world = World::new(Options::default()).await;
    world.commit(WEB);
    let report = world.pass().await;
    assert_eq!(status::line(&report), "in sync");
    world.fake.stop("shop-web-2");
    let plan = world.plan().await;
    assert_eq!(plan.steps.len(), 1, "{plan}");
    let report = world.pass().await;
    assert_eq!(report.found.len(), 1);
    assert_eq!(status::state(&report), CommitState::Success);
    assert!(world.containers().contains("shop-web-2 running"));
}

#[tokio::test(start_paused = true)]
async fn a_new_version_that_does_not_start_is_rolled_back_and_not_tried_again_until_a_new_commit() {
    let mut world = World::new(Options::default()).await;
    let one = WEB.replace("replicas: 2", "replicas: 1");
    world.commit(&one);
    assert!(world.pass().await.is_good());
    world.fake.behave("web", Behaviour { fails_to_start: true, ..Behaviour::default() });
    world.commit(&one.replace("v1", "v2"));
    let report = world.pass().await;
    assert_eq!(status::state(&report), CommitState::Failure);
    assert!(
        world.containers().contains("shop-web-1 exited")
            || world.containers().contains("shop-web-1 running")
    );
    // The old container cannot start either while starts fail: it is given time, however often somebody looks.
    world.fake.clear_calls();
    for _ in 0..10 {
        world.pass().await;
    }
    assert!(world.fake.changes().is_empty(), "{:?}", world.fake.changes());
    // Once they work, the old one comes back.
    world.fake.behave("web", Behaviour::default());
    tokio::time::advance(moorline::schedule::RECOVERY_FIRST).await;
    let report = world.pass().await;
    assert_eq!(status::state(&report), CommitState::Failure, "{}", status::line(&report));
    assert!(status::line(&report).contains("rolled back"), "{}", status::line(&report));
    assert!(world.containers().contains("shop-web-1 running"), "{:?}", world.containers());
    assert_eq!(
        world.fake.containers().iter().find(|c| c.name == "shop-web-1").unwrap().image,
        "app:v1"
    );
    world.fake.clear_calls();
    world.pass().await;
    assert!(world.fake.changes().is_empty(), "a rolled back version is not tried again");
    world.commit(&one.replace("v1", "v3"));
    let report = world.settle(3).await;
    assert!(report.is_good(), "{} {:?}", status::line(&report), world.containers());
    assert_eq!(world.containers().len(), 1, "{:?}", world.containers());
    assert_eq!(world.fake.containers()[0].image, "app:v3");
}

#[tokio::test(start_paused = true)]
async fn a_job_runs_once_per_change_and_not_once_per_pass() {
    let mut world = World::new(Options::default()).await;
    world.fake.behave(
        "job",
        Behaviour { ends: Some((Duration::from_millis(1), 0)), ..Behaviour::default() },
    );
    let job = "services:\n  job:\n    image: app:v1\n    restart: \"no\"\n";
    world.commit(job);
    let report = world.settle(5).await;
    assert!(report.is_good(), "{}", status::line(&report));
    world.fake.clear_calls();
    for _ in 0..5 {
        assert!(world.pass().await.is_good());
    }
    assert!(world.fake.changes().is_empty());
    world.commit(&job.replace("v1", "v2"));
    assert!(world.settle(5).await.is_good());
    let starts = world.fake.changes().iter().filter(|call| call.path.ends_with("/start")).count();
    assert_eq!(starts, 1);
}

#[tokio::test(start_paused = true)]
async fn what_runs_before_a_service_starts_runs_once_a_change_and_holds_it_up_when_it_fails() {
    let mut world = World::new(Options::default()).await;
    let ends =
        |code| Behaviour { ends: Some((Duration::from_millis(1), code)), ..Behaviour::default() };
    world.fake.behave("web.pre_start.0", ends(0));
    world.fake.behave("web.pre_start.1", ends(0));
    let web = "services:\n  web:\n    image: app:v1\n    restart: always\n    environment: {A: \"1\"}\n    volumes: [data:/data]\n    deploy: {replicas: 2}\n    pre_start:\n      - {command: [migrate], environment: {B: \"2\"}, user: root}\n      - {command: [seed], image: \"tool:v1\"}\nvolumes: {data: {}}\n";
    world.commit(web);
    let report = world.settle(5).await;
    assert!(report.is_good(), "{}", status::line(&report));
    let hook = world.fake.inspect("shop-web.pre_start.0-1").unwrap();
    assert_eq!(hook["Config"]["Cmd"], serde_json::json!(["migrate"]));
    assert_eq!(hook["Config"]["Image"], "app:v1");
    assert_eq!(hook["Config"]["User"], "root");
    let variables = hook["Config"]["Env"].to_string();
    assert!(variables.contains("A=1") && variables.contains("B=2"), "{variables}");
    assert!(hook.to_string().contains("/data"), "{hook}");
    // Both hooks, then both replicas.
    let starts = |world: &World| -> Vec<String> {
        let started = world.fake.changes().into_iter().filter(|call| call.path.ends_with("/start"));
        started.map(|call| call.path).collect()
    };
    assert_eq!(starts(&world).len(), 4, "{:?}", starts(&world));
    world.fake.clear_calls();
    for _ in 0..3 {
        assert!(world.pass().await.is_good());
    }
    assert!(world.fake.changes().is_empty(), "{:?}", world.fake.changes());
    // A new version of the service runs them again, first; more of the same does not.
    world.commit(&web.replace("replicas: 2", "replicas: 3"));
    assert!(world.settle(5).await.is_good());
    assert_eq!(starts(&world).len(), 1, "{:?}", starts(&world));
    world.fake.clear_calls();
    world.commit(&web.replace("v1", "v2"));
    assert!(world.settle(5).await.is_good());
    assert_eq!(starts(&world).len(), 4, "{:?}", starts(&world));
    // One that fails keeps the new version from starting; the old one runs on.
    world.fake.behave("web.pre_start.0", ends(3));
    world.commit(&web.replace("v1", "v3"));
    let report = world.settle(3).await;
    assert_eq!(status::state(&report), CommitState::Failure, "{}", status::line(&report));
    assert!(status::line(&report).contains("web.pre_start.0"), "{}", status::line(&report));
    let images: Vec<String> = world
        .fake
        .containers()
        .into_iter()
        .filter(|one| one.name.starts_with("shop-web-") && one.state == "running")
        .map(|one| one.image)
        .collect();
    assert_eq!(images, ["app:v2", "app:v2"]);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_keeps_failing_is_degraded_and_given_time() {
    let mut world = World::new(Options::default()).await;
    world.fake.behave(
        "web",
        Behaviour { ends: Some((Duration::from_millis(1), 3)), ..Behaviour::default() },
    );
    world.commit("services:\n  web:\n    image: app:v1\n    ports: [\"80\"]\n");
    let mut last = world.pass().await;
    for _ in 0..8 {
        let up = || world.containers().contains("shop-web-1 running");
        comes(|| !up(), Duration::from_secs(2)).await;
        last = world.pass().await;
    }
    assert_ne!(status::state(&last), CommitState::Success);
    assert_ne!(last.health, Health::Healthy);
    world.fake.clear_calls();
    world.pass().await;
    assert!(world.fake.changes().is_empty(), "a failing service is not started at every pass");
}

#[tokio::test(start_paused = true)]
async fn a_hundred_passes_over_a_host_in_sync_change_nothing() {
    let mut world = World::new(Options::default()).await;
    world.commit(WEB);
    assert!(world.pass().await.is_good());
    world.fake.clear_calls();
    for _ in 0..100 {
        assert!(world.pass().await.is_good());
    }
    assert!(world.fake.changes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_new_engine_gives_the_same_quiet() {
    for api in [(1, 41), (1, 44), (1, 47), (1, 51)] {
        let mut world = World::new(Options { api, ..Options::default() }).await;
        world.commit(WEB);
        assert!(world.settle(3).await.is_good(), "{api:?}");
        world.fake.clear_calls();
        let report = world.pass().await;
        assert!(report.is_good(), "{api:?}: {}", status::line(&report));
        assert!(world.fake.changes().is_empty(), "{api:?}");
    }
}
