//! An update that does not work, cut off after any call: another process finds what the host shows, and ends where the first
//! one would have. One version serves, nobody is missing, and the commit that mends it comes up whole.

use std::collections::BTreeMap;
use std::time::Duration;

use moorline::report::status;

use super::support::accidents;
use super::support::fake_engine::Options;
use super::support::world::{World, short_limits};

/// More calls than any of these passes makes.
const MOST_CALLS: usize = 60;

fn manifest(version: &str, deploy: &str) -> String {
    format!(
        "services:\n  web:\n    image: app:{version}\n    restart: always\n    deploy: {{replicas: 3, {deploy}}}\n"
    )
}

/// Three replicas in sync, and then a version whose second one does not come up, of which a process carried out so many calls.
/// Tells whether the process died on the way.
async fn cut_off(deploy: &str, calls: usize) -> (World, bool) {
    let mut world = World::with_limits(Options::default(), short_limits()).await;
    world.commit(&manifest("v1", deploy));
    assert!(world.settle(5).await.is_good(), "{deploy}");
    accidents::behave(&world.fake, "shop-web-2.next does not start");
    world.commit(&manifest("v2", deploy));
    world.fake.stop_answering_after(calls);
    drop(tokio::time::timeout(Duration::from_secs(30), world.pass()).await);
    let died = world.fake.is_silent();
    world.fake.revive();
    world.restart(&short_limits()).await;
    (world, died)
}

/// Images of running containers, and how many run each.
fn serving(world: &World) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for one in world.fake.containers().into_iter().filter(|one| one.state == "running") {
        let image = world.fake.inspect(&one.name).unwrap()["Config"]["Image"].clone();
        *found.entry(image.as_str().unwrap().to_owned()).or_default() += 1;
    }
    found
}

/// Looks again and again, as the daemon would, and then once more: nothing changes any more.
async fn comes_to_rest(world: &mut World, what: &str) {
    drop(world.settle(8).await);
    world.fake.clear_calls();
    let report = world.pass().await;
    let changes = world.fake.changes();
    assert!(changes.is_empty(), "{what}: {} {changes:?}", status::line(&report));
}

/// The commit that mends it: all three of its version, under their names, and nothing beside them.
async fn is_mended(world: &mut World, deploy: &str, what: &str) {
    accidents::behave(&world.fake, "shop-web-2.next works");
    world.commit(&manifest("v3", deploy));
    let report = world.settle(12).await;
    assert!(report.is_good(), "{what}: {} {:?}", status::line(&report), world.containers());
    let found: Vec<String> = world.containers().into_iter().collect();
    let expected = ["shop-web-1 running", "shop-web-2 running", "shop-web-3 running"];
    assert_eq!(found, expected, "{what}");
    assert_eq!(serving(world), BTreeMap::from([("app:v3".to_owned(), 3)]), "{what}");
}

/// Plays an update cut off after each of its calls, until it ends by itself.
async fn after_each_call(deploy: &str, mut serves: impl FnMut(&BTreeMap<String, usize>, &str)) {
    for calls in 0..MOST_CALLS {
        let what = format!("{deploy}, cut off after {calls} calls");
        let (mut world, died) = cut_off(deploy, calls).await;
        comes_to_rest(&mut world, &what).await;
        serves(&serving(&world), &what);
        is_mended(&mut world, deploy, &what).await;
        if !died {
            assert!(calls > 5, "{what}: it has only so many calls");
            return;
        }
    }
    panic!("{deploy}: it never ended");
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_back_serves_whole_wherever_the_pass_was_cut_off() {
    for deploy in [
        "update_config: {monitor: 1ms}",
        "update_config: {monitor: 1ms, order: start-first}",
        "update_config: {monitor: 1ms, parallelism: 2}",
        "update_config: {monitor: 1ms, parallelism: 0, order: start-first}",
        "update_config: {monitor: 1ms}, rollback_config: {parallelism: 0, monitor: 1ms}",
        "update_config: {monitor: 1ms, delay: 1s}, rollback_config: {order: start-first, monitor: 1ms}",
    ] {
        let all = BTreeMap::from([("app:v1".to_owned(), 3)]);
        after_each_call(deploy, |found, what| assert_eq!(*found, all, "{what}")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_update_that_stays_where_it_is_misses_at_most_whoever_failed() {
    for order in ["stop-first", "start-first"] {
        let deploy =
            format!("update_config: {{monitor: 1ms, failure_action: pause, order: {order}}}");
        let least = if order == "start-first" { 3 } else { 2 };
        after_each_call(&deploy, |found, what| {
            assert!(least <= found.values().sum::<usize>(), "{what}: {found:?}");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_update_that_goes_on_replaces_all_others() {
    for tolerated in ["failure_action: continue", "max_failure_ratio: 0.4"] {
        let deploy = format!("update_config: {{monitor: 1ms, {tolerated}}}");
        after_each_call(&deploy, |found, what| {
            // Who failed works under its final name, if it got that far.
            assert!(found.get("app:v2").is_some_and(|count| 2 <= *count), "{what}: {found:?}");
        })
        .await;
    }
}
