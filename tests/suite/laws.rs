//! Laws over all small worlds: every manifest of a handful followed by every other, and every accident to each. That
//! plans cut short end in the same place is told in `faults`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use moorline::model::{Action, Loses};
use moorline::plan;
use moorline::report::status;
use serde_json::{Value, json};

use super::support::fake_engine::{FakeEngine, Options};
use super::support::foreseen;
use super::support::world::{World, short_limits};

/// Each differs from the others in one thing that a plan treats in its own way.
const MANIFESTS: [(&str, &str); 11] = [
    ("nothing", ""),
    ("one", "  web: {image: 'app:v1', restart: always}"),
    ("two", "  web: {image: 'app:v1', restart: always, scale: 2}"),
    ("another image", "  web: {image: 'app:v2', restart: always}"),
    ("environment", "  web: {image: 'app:v1', restart: always, environment: {A: '1'}}"),
    ("a limit", "  web: {image: 'app:v1', restart: always, mem_limit: 64m}"),
    ("a port", "  web: {image: 'app:v1', restart: always, ports: ['8080:80']}"),
    ("a volume", "  web: {image: 'app:v1', restart: always, volumes: ['data:/data']}"),
    ("a network", "  web: {image: 'app:v1', restart: always, networks: [front, default]}"),
    (
        "another network of that name",
        "  web: {image: 'app:v1', restart: always, networks: [front, default]} # internal",
    ),
    (
        "a dependency",
        "  db: {image: 'db:v1', restart: always}\n  web: {image: 'app:v1', restart: always, depends_on: [db]}",
    ),
];

fn manifest(services: &str) -> String {
    let ours = if services.is_empty() { "services: {}" } else { "services:" };
    // Nothing here fails a moment after its start: there is no need to watch for it.
    let services = services.replace("restart: always", "restart: always, deploy: *quick");
    let quick = "x-quick: &quick {update_config: {monitor: 1ms}}";
    let front = if services.contains("# internal") { "{internal: true}" } else { "{}" };
    format!("{quick}\n{ours}\n{services}\nnetworks: {{front: {front}}}\nvolumes: {{data: {{}}}}\n")
}

type Accident = (&'static str, fn(&FakeEngine));

const ACCIDENTS: [Accident; 7] = [
    ("stopped", |fake| fake.stop("shop-web-1")),
    ("paused", |fake| fake.pause("shop-web-1")),
    ("removed", |fake| fake.remove("shop-web-1")),
    ("renamed", |fake| fake.rename("shop-web-1", "mine")),
    ("limited", |fake| fake.update("shop-web-1", json!({"Memory": 32_000_000}))),
    ("cut off", |fake| fake.disconnect("shop-web-1", "shop_default")),
    ("given a twin", |fake| {
        let labels = json!({"com.docker.compose.project": "shop", "com.docker.compose.service": "web", "com.docker.compose.container-number": "7", "com.docker.compose.oneoff": "False"});
        fake.run_by_hand("shop-web-7", json!({"Image": "other:v1", "Labels": labels}));
    }),
];

async fn world() -> World {
    let mut world = World::with_limits(Options::default(), short_limits()).await;
    world.policy.step_limit = Duration::from_millis(500);
    world.fake.add_image("other:v1", json!({"Cmd": ["run"]}));
    world.fake.run_by_hand("neighbour", json!({"Image": "other:v1"}));
    world.fake.create_volume_by_hand(json!({"Name": "precious"}));
    world
}

/// All of a host that its users notice: each container with its state, image, environment, limits, mounts and networks.
fn host(fake: &FakeEngine) -> BTreeMap<String, Value> {
    let containers = fake.containers().into_iter().map(|one| {
        let seen = fake.inspect(&one.name).unwrap();
        let networks = seen["NetworkSettings"]["Networks"].as_object().cloned().unwrap_or_default();
        let facts = json!({
            "state": one.state, "image": one.image, "env": seen["Config"]["Env"],
            "memory": seen["HostConfig"]["Memory"], "binds": seen["HostConfig"]["Binds"],
            "mounts": seen["HostConfig"]["Mounts"], "ports": seen["HostConfig"]["PortBindings"],
            "networks": networks.keys().collect::<BTreeSet<_>>(),
        });
        (one.name, facts)
    });
    containers.collect()
}

/// What no plan under the default policy may do, whatever it was made for.
fn must_be_harmless(fake: &FakeEngine, neighbour: &Value, what: &str) {
    for call in fake.changes() {
        let text = format!("{} {}", call.method, call.path);
        assert!(!text.contains("DELETE /volumes") && !text.contains("/prune"), "{what}: {text}");
        let id = neighbour["Id"].as_str().unwrap();
        assert!(!text.contains(id) && !text.contains("neighbour"), "{what}: {text}");
        assert!(!text.contains("shop-web-7"), "{what}: touches what someone else made: {text}");
    }
    let now = fake.inspect("neighbour").unwrap();
    assert_eq!((&now["Id"], &now["State"]), (&neighbour["Id"], &neighbour["State"]), "{what}");
    assert!(fake.volumes().contains_key("precious"), "{what}");
}

/// The laws, from a world in which something is to be done.
async fn must_hold(mut world: World, what: &str) -> BTreeMap<String, Value> {
    let neighbour = world.fake.inspect("neighbour").unwrap();
    let volumes: BTreeSet<String> = world.fake.volumes().into_keys().collect();
    let (first, second) = (world.plan().await, world.plan().await);
    assert_eq!(plan::render(&[&first]), plan::render(&[&second]), "{what}: same input, same bytes");
    assert_eq!(plan::to_json(&first), plan::to_json(&second), "{what}: same input, same bytes");
    for step in &first.steps {
        // Anonymous volumes go with a container that nothing takes the place of; nothing else that holds data goes.
        let named = !matches!(step.action, Action::Remove { .. });
        assert!(!named || step.action.conduct().loses < Loses::Data, "{what}: {}", step.action);
    }
    world.fake.clear_calls();
    let foreseen = world.foresee().await;
    world.done.clear();
    let report = world.settle(6).await;
    if let Some(difference) = foreseen::differences(&foreseen, &world.done) {
        panic!("{what}: what was done is not what was foreseen\n{difference}");
    }
    let foreign = what.ends_with("given a twin");
    assert!(
        report.is_good() || foreign,
        "{what}: {} {:?}\n{}",
        status::line(&report),
        world.containers(),
        plan::render(&[&first])
    );
    must_be_harmless(&world.fake, &neighbour, what);
    let kept = world.fake.volumes();
    assert!(volumes.iter().all(|name| kept.contains_key(name)), "{what}: {kept:?}");
    let rest = world.plan().await;
    assert!(rest.steps.is_empty(), "{what}: carried out, and still\n{}", plan::render(&[&rest]));
    host(&world.fake)
}

#[tokio::test(start_paused = true)]
async fn every_manifest_follows_every_other() {
    for (before, old) in MANIFESTS {
        for (after, new) in MANIFESTS {
            let what = format!("from {before} to {after}");
            let mut world = world().await;
            world.commit(&manifest(old));
            assert!(world.settle(6).await.is_good(), "{what}");
            world.commit(&manifest(new));
            must_hold(world, &what).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_accident_to_every_manifest_is_made_good() {
    for (name, services) in &MANIFESTS[1..] {
        let mut untouched = world().await;
        untouched.commit(&manifest(services));
        assert!(untouched.settle(6).await.is_good(), "{name}");
        let right = host(&untouched.fake);
        for (accident, happen) in ACCIDENTS {
            let what = format!("{name}, {accident}");
            let mut world = world().await;
            world.commit(&manifest(services));
            assert!(world.settle(6).await.is_good(), "{what}");
            happen(&world.fake);
            let mut after = must_hold(world, &what).await;
            after.remove("shop-web-7");
            assert_eq!(after, right, "{what}");
        }
    }
}
