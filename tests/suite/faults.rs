//! The same deployments with the Nth call failing, hanging or cut off, and with the process killed after any call.
//! Whatever happens, once it is over the host converges, and then is quiet.

use std::collections::BTreeMap;
use std::time::Duration;

use super::support::fake_engine::{Fault, Faults, Options};
use super::support::world::{World, short_limits};

/// Two services, a dependency on health, a volume, two networks, a published port, a job, a file: all kinds of steps.
const FIRST: &str = r#"
services:
  web:
    image: app:v1
    restart: always
    networks: [front, default]
    ports: ["8080:80"]
    depends_on:
      db: {condition: service_healthy}
      migrate: {condition: service_completed_successfully}
    volumes: ["./app.conf:/etc/app.conf:ro"]
    deploy: {update_config: {monitor: 1ms}}
  worker:
    image: app:v1
    restart: always
    deploy: {replicas: 2}
  db:
    image: db:v1
    restart: always
    healthcheck: {test: ["CMD", "true"], interval: 1s}
    volumes: ["data:/data"]
  migrate:
    image: app:v1
    command: ["migrate"]
    restart: "no"
networks:
  front: {}
volumes:
  data: {}
"#;

fn second() -> String {
    FIRST
        .replace("app:v1", "app:v2")
        .replace("replicas: 2", "replicas: 3, update_config: {monitor: 1ms}")
}

fn files(compose: &str) -> [(&str, &str); 2] {
    [("compose.yaml", compose), ("app.conf", "listen 80\n")]
}

async fn world() -> World {
    let mut world = World::with_limits(Options::default(), short_limits()).await;
    world.policy.step_limit = Duration::from_millis(300);
    world.policy.progress_limit = Duration::from_secs(2);
    world.fake.behave(
        "migrate",
        super::support::fake_engine::Behaviour {
            ends: Some((Duration::from_millis(1), 0)),
            ..super::support::fake_engine::Behaviour::default()
        },
    );
    // A neighbour that is none of our business, and must never be touched.
    world.fake.add_image("other:v1", serde_json::json!({"Cmd": ["run"]}));
    world.fake.run_by_hand("neighbour", serde_json::json!({"Image": "other:v1"}));
    world
}

/// What must be so in the end, whatever happened on the way.
async fn must_be_right(world: &mut World, workers: usize, what: &str) {
    let report = world.settle(12).await;
    assert!(
        report.is_good(),
        "{what}: {} {:?}",
        moorline::report::status::line(&report),
        world.containers()
    );
    let mut expected: Vec<String> =
        ["shop-db-1 running", "shop-web-1 running", "neighbour running", "shop-migrate-1 exited"]
            .map(ToOwned::to_owned)
            .to_vec();
    expected.extend((1..=workers).map(|number| format!("shop-worker-{number} running")));
    expected.sort();
    let found: Vec<String> = world.containers().into_iter().collect();
    assert_eq!(found, expected, "{what}");
    let mut networks = world.fake.networks();
    networks.sort();
    assert_eq!(networks, ["shop_default", "shop_front"], "{what}");
    world.fake.clear_calls();
    let report = world.pass().await;
    assert!(report.is_good(), "{what}: {}", moorline::report::status::line(&report));
    let changes = world.fake.changes();
    assert!(
        changes.is_empty(),
        "{what}: a pass over a host in sync changed something: {changes:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_deployment_killed_after_any_call_converges_when_it_is_started_again() {
    for killed_after in 0..200 {
        let mut world = world().await;
        world.commit_files(&files(FIRST));
        world.fake.stop_answering_after(killed_after);
        let first = tokio::time::timeout(Duration::from_secs(20), world.pass()).await;
        let died = world.fake.is_silent();
        drop(first);
        world.fake.revive();
        world.restart(&short_limits()).await;
        must_be_right(&mut world, 2, &format!("killed after {killed_after} calls")).await;
        if !died {
            assert!(killed_after > 15, "the deployment has only {killed_after} calls");
            return;
        }
    }
    panic!("the deployment never ended");
}

#[tokio::test(start_paused = true)]
async fn an_update_killed_after_any_call_gives_way_to_another_one() {
    let one = "services:\n  web:\n    image: app:v1\n    restart: always\n    deploy: {update_config: {monitor: 1ms, order: ORDER}}\n";
    for order in ["stop-first", "start-first"] {
        let one = one.replace("ORDER", order);
        for killed_after in 0..30 {
            let what = format!("{order}, killed after {killed_after} calls");
            let mut world = world().await;
            world.commit(&one);
            assert!(world.settle(5).await.is_good(), "{what}");
            world.commit(&one.replace("v1", "v2"));
            world.fake.stop_answering_after(killed_after);
            drop(tokio::time::timeout(Duration::from_secs(20), world.pass()).await);
            let died = world.fake.is_silent();
            world.fake.revive();
            world.restart(&short_limits()).await;
            world.commit(&one.replace("v1", "v3"));
            let report = world.settle(12).await;
            let line = moorline::report::status::line(&report);
            assert!(report.is_good(), "{what}: {line} {:?}", world.containers());
            let found: Vec<String> = world.containers().into_iter().collect();
            assert_eq!(found, ["neighbour running", "shop-web-1 running"], "{what}");
            assert_eq!(world.fake.inspect("shop-web-1").unwrap()["Config"]["Image"], "app:v3");
            if !died {
                assert!(killed_after > 3, "the update has only {killed_after} calls");
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_update_killed_after_any_call_converges_and_keeps_its_data() {
    for killed_after in 0..200 {
        let mut world = world().await;
        world.commit_files(&files(FIRST));
        must_be_right(&mut world, 2, "before").await;
        let volumes = world.fake.volumes();
        let compose = second();
        world.commit_files(&files(&compose));
        world.fake.stop_answering_after(killed_after);
        drop(tokio::time::timeout(Duration::from_secs(20), world.pass()).await);
        let died = world.fake.is_silent();
        world.fake.revive();
        world.restart(&short_limits()).await;
        must_be_right(&mut world, 3, &format!("update killed after {killed_after} calls")).await;
        assert_eq!(named(&volumes), named(&world.fake.volumes()), "killed after {killed_after}");
        if !died {
            assert!(killed_after > 15, "the update has only {killed_after} calls");
            return;
        }
    }
    panic!("the update never ended");
}

/// Named volumes with the numbers of their data.
fn named(volumes: &BTreeMap<String, u64>) -> BTreeMap<&String, u64> {
    volumes
        .iter()
        .filter(|(name, _)| name.starts_with("shop_"))
        .map(|(name, data)| (name, *data))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn any_single_call_that_goes_wrong_is_made_good() {
    for fault in [Fault::Fail, Fault::CutBefore, Fault::CutAfter, Fault::HangAfter] {
        for number in (1..30).step_by(if matches!(fault, Fault::HangAfter) { 5 } else { 1 }) {
            let mut world = world().await;
            world.fake.set_faults(Faults::at_change(number, fault));
            world.commit_files(&files(FIRST));
            must_be_right(&mut world, 2, &format!("{fault:?} at change {number}")).await;
        }
    }
}

/// How many seeded stories are told; `MOORLINE_STORIES` says another number.
fn stories() -> u64 {
    std::env::var("MOORLINE_STORIES").ok().and_then(|text| text.parse().ok()).unwrap_or(150)
}

#[tokio::test(start_paused = true)]
async fn seeded_accidents_end_in_sync_and_lose_nothing() {
    for seed in 0..stories() {
        let mut world = world().await;
        let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut roll = |sides: u64| {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            dice % sides
        };
        let compose = second();
        world.fake.set_faults(Faults {
            fail: 0.04,
            cut_before: 0.02,
            cut_after: 0.03,
            hang_after: 0.004,
            late: 0.03,
            lateness: Duration::from_millis(20),
            event_lost: 0.2,
            event_doubled: 0.1,
            event_swapped: 0.1,
            ..Faults::seeded(seed)
        });
        let mut workers = 2;
        let mut data: Option<u64> = None;
        world.commit_files(&files(FIRST));
        for _ in 0..6 {
            drop(world.pass().await);
            data = data.or_else(|| world.fake.volumes().get("shop_data").copied());
            let up: Vec<String> = world
                .fake
                .containers()
                .into_iter()
                .filter(|c| c.state == "running")
                .map(|c| c.name)
                .collect();
            let runs = |name: &str| up.iter().any(|other| other == name);
            match roll(7) {
                0 if runs("shop-web-1") => world.fake.stop("shop-web-1"),
                1 if runs("shop-worker-1") => world.fake.kill("shop-worker-1", 137),
                2 if runs("shop-worker-2") => world.fake.remove("shop-worker-2"),
                3 if runs("shop-db-1") => world.fake.pause("shop-db-1"),
                4 => {
                    workers = 3;
                    world.commit_files(&files(&compose));
                }
                5 => world.restart_if_it_answers().await,
                _ => {}
            }
        }
        world.fake.heal();
        let what = format!("seed {seed}");
        world.memory = moorline::reconcile::pass::Memory::default();
        must_be_right(&mut world, workers, &what).await;
        if let Some(data) = data {
            assert_eq!(
                world.fake.volumes().get("shop_data"),
                Some(&data),
                "{what}: a volume was lost"
            );
        }
    }
}

impl World {
    /// The process ends and starts again, in the middle of faults.
    async fn restart_if_it_answers(&mut self) {
        self.fake.heal();
        self.restart(&short_limits()).await;
    }
}
