//! The simulated Engine: the stories of the real ones, and what cannot be brought about with those.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moorline::docker::{CallOptions, Depth, Endpoint, Engine, EngineError, EngineSettings, Limits};
use moorline::model::{
    Action, BundleFile, ContainerState, Digest, FileBundle, FileMode, HealthCheckState, Hook,
    ImageRef, ImageSight,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::stories;
use super::terms::{act, container, healthy, look, named, network, now, one, scope};
use crate::support::fake_engine::{Behaviour, FakeEngine, Faults, Options};
use crate::support::{PATIENCE, a_moment, until};

const OLD: (u32, u32) = (1, 41);
const NEW: (u32, u32) = (1, 51);

/// One with the tests' images, as `tests/engines` puts them on real ones.
async fn fake(api: (u32, u32)) -> (FakeEngine, Engine) {
    let fake =
        FakeEngine::start(Options { api, all_images_published: false, ..Options::default() }).await;
    let check = json!({"Test": ["CMD-SHELL", "test ! -e /tmp/sick"], "Interval": 1_000_000_000});
    fake.add_image("moorline.test/base:1", json!({"Cmd": ["idle"]}));
    fake.add_image("moorline.test/job:1", json!({"Cmd": ["echo", "done"]}));
    fake.add_image("moorline.test/checked:1", json!({"Cmd": ["idle"], "Healthcheck": check}));
    fake.behave("w-sick", Behaviour { sick: true, ..Behaviour::default() });
    let engine = connect(&fake).await;
    (fake, engine)
}

async fn connect(fake: &FakeEngine) -> Engine {
    let limits = Limits {
        connect: Duration::from_secs(1),
        read: Duration::from_millis(400),
        inspect: Duration::from_millis(200),
        ..Limits::default()
    };
    let settings = EngineSettings { limits, ..EngineSettings::default() };
    Engine::connect(&fake.endpoint(), &settings).await.unwrap()
}

async fn run(engine: &Engine, name: &str, image: &str) {
    let spec = Arc::new(container("shop", name, image, &[]));
    act(engine, Action::Create { name: format!("shop-{name}-1"), spec }).await.unwrap();
    act(engine, Action::Start { container: named(&format!("shop-{name}-1")) }).await.unwrap();
}

#[tokio::test]
async fn the_simulated_engine_tells_the_stories_of_the_real_ones() {
    for api in [OLD, NEW] {
        let (_fake, engine) = fake(api).await;
        stories::life(&engine).await;
        stories::waits(&engine).await;
        stories::builds(&engine).await;
        stories::events(&engine).await;
        stories::others(&engine).await;
    }
}

#[tokio::test]
async fn every_call_but_the_first_names_the_version_that_both_speak() {
    for (api, version) in [(OLD, "1.41"), (NEW, "1.51")] {
        let (fake, engine) = fake(api).await;
        assert_eq!(engine.facts().api, api);
        run(&engine, "web", "moorline.test/base:1").await;
        let versions: Vec<String> = fake.calls().into_iter().map(|call| call.version).collect();
        assert_eq!(versions.first().map(String::as_str), Some(""));
        assert!(versions.iter().skip(1).all(|spoken| spoken == version), "{versions:?}");
    }
}

#[tokio::test]
async fn an_engine_that_is_too_old_is_refused() {
    let fake = FakeEngine::start(Options { api: (1, 40), ..Options::default() }).await;
    let error = Engine::connect(&fake.endpoint(), &EngineSettings::default()).await.unwrap_err();
    assert!(error.to_string().contains("1.40"), "{error}");
    assert!(error.help().is_some());
}

#[tokio::test]
async fn nobody_there_is_unreachable_and_not_empty() {
    let gone = Endpoint::Unix("/nonexistent/docker.sock".into());
    let error = Engine::connect(&gone, &EngineSettings::default()).await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    let (fake, engine) = fake(OLD).await;
    drop(fake);
    let error = engine.observe(&scope("shop"), Depth::Full, now()).await.unwrap_err();
    assert!(error.is_unreachable() || error.is_ambiguous(), "{error:?}");
}

#[tokio::test]
async fn a_look_at_a_quiet_host_is_one_list_call() {
    let (fake, engine) = fake(OLD).await;
    run(&engine, "web", "moorline.test/base:1").await;
    let mut scope = scope("shop");
    scope.images.insert(ImageRef::parse("moorline.test/base:1").unwrap());
    let mut events = engine.events(None).await.unwrap();
    let listening = tokio::spawn(async move { while events.next().await.is_some() {} });
    let first = look(&engine, &scope, Depth::Changed).await;
    fake.clear_calls();
    let second = look(&engine, &scope, Depth::Changed).await;
    let paths: Vec<String> = fake.calls().into_iter().map(|call| call.path).collect();
    assert_eq!(paths, ["/containers/json"]);
    assert_eq!(first.containers, second.containers);
    assert_eq!(first.images, second.images);

    fake.update("shop-web-1", json!({"Memory": 64 << 20, "MemorySwap": 64 << 20}));
    let changed = async {
        loop {
            let seen = look(&engine, &scope, Depth::Changed).await;
            if one(&seen, "shop-web-1").spec.host.memory == 64 << 20 {
                return;
            }
            a_moment().await;
        }
    };
    tokio::time::timeout(PATIENCE, changed).await.unwrap();
    listening.abort();
    let _stopped = listening.await;
    fake.clear_calls();
    look(&engine, &scope, Depth::Changed).await;
    assert!(fake.calls().len() > 1, "without events nothing is trusted");
}

#[tokio::test]
async fn a_wedged_container_is_a_gap_and_hides_nobody() {
    let (fake, engine) = fake(OLD).await;
    for name in ["web", "db", "worker"] {
        run(&engine, name, "moorline.test/base:1").await;
    }
    fake.wedge("shop-db-1");
    let begun = Instant::now();
    let seen = look(&engine, &scope("shop"), Depth::Full).await;
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
    assert_eq!(seen.containers.len(), 2);
    let [gap] = seen.gaps.as_slice() else { panic!("{:?}", seen.gaps) };
    assert_eq!(gap.what.to_string(), "container shop-db-1");
    assert_eq!(gap.replica.as_ref().unwrap().to_string(), "db-1");
    let begun = Instant::now();
    let seen = look(&engine, &scope("shop"), Depth::Full).await;
    assert!(
        begun.elapsed() < Duration::from_millis(150),
        "it is left in peace: {:?}",
        begun.elapsed()
    );
    assert_eq!(seen.gaps.len(), 1);
    let other = look(&engine, &scope("other"), Depth::Full).await;
    assert_eq!(other.gaps, []);
}

#[tokio::test]
async fn a_list_that_cannot_be_read_is_an_error_or_a_gap_and_never_an_empty_world() {
    let (fake, engine) = fake(OLD).await;
    run(&engine, "web", "moorline.test/base:1").await;
    let faults = Faults { fail: 1.0, ..Faults::default() };
    fake.set_faults(faults);
    let error = engine.observe(&scope("shop"), Depth::Full, now()).await.unwrap_err();
    assert_eq!(error.status(), Some(500));
    let at = BTreeMap::from([(1, crate::support::fake_engine::Fault::Late(Duration::ZERO))]);
    fake.set_faults(Faults { fail: 1.0, at, ..Faults::default() });
    let seen = look(&engine, &scope("shop"), Depth::Full).await;
    let mut gaps: Vec<String> = seen.gaps.iter().map(|gap| gap.what.to_string()).collect();
    gaps.sort_unstable();
    assert_eq!(gaps, ["container shop-web-1", "networks", "volumes"]);
}

#[tokio::test]
async fn a_carrying_container_that_a_crash_left_behind_is_removed_by_the_next_look() {
    let (fake, engine) = fake(OLD).await;
    let file = BundleFile { mode: FileMode::Regular, bytes: b"x"[..].into() };
    let bundle = Arc::new(FileBundle {
        host_path: "/var/lib/moorline/files/abc".to_owned(),
        files: BTreeMap::from([("a/b".to_owned(), file)]),
        overlay: false,
        time: None,
    });
    let put = Action::PutFiles { digest: Digest::of(b"1"), bundle };
    // Two attempts to create the container, the import of its empty image, its creation: then the process dies.
    fake.stop_answering_after(4);
    let stop = CancellationToken::new();
    let limit = Duration::from_millis(300);
    let terms = CallOptions { step: limit, progress: limit, stop: &stop, tell: &|_| {} };
    assert!(engine.carry_out(&put, &terms).await.is_err());
    fake.revive();
    let again = connect(&fake).await;
    fake.clear_calls();
    look(&again, &scope("shop"), Depth::Full).await;
    let changes: Vec<String> = fake.changes().into_iter().map(|call| call.method).collect();
    assert_eq!(changes, ["DELETE"]);
    act(&again, put.clone()).await.unwrap();
    fake.clear_calls();
    look(&again, &scope("shop"), Depth::Full).await;
    assert_eq!(fake.changes(), []);
    let files = fake.host_files();
    assert_eq!(files["/var/lib/moorline/files/abc/a/b"], b"x");
    let marker = &files["/var/lib/moorline/files/abc.complete"];
    assert!(marker.starts_with(Digest::of(b"1").as_str().as_bytes()));
}

#[tokio::test]
async fn what_a_registry_said_is_remembered_and_its_silence_is_no_gap() {
    let (fake, engine) = fake(OLD).await;
    let image = ImageRef::parse("shop/web:1").unwrap();
    fake.publish("shop/web:1", json!({"Cmd": ["run"], "Env": ["V=1"]}));
    act(&engine, Action::Pull { image: image.clone(), platform: String::new() }).await.unwrap();
    let mut asking = scope("shop");
    asking.images.insert(image.clone());
    let plain = asking.clone();
    asking.registry.insert(image.clone(), Duration::ZERO);
    let sight = |seen: &moorline::model::Observed| match &seen.images[&image] {
        ImageSight::Present(present) => present.clone(),
        ImageSight::Absent => panic!("it was pulled"),
    };
    let first = sight(&look(&engine, &asking, Depth::Full).await);
    let digest = first.registry_digest.clone().unwrap();
    assert!(first.repo_digests.contains(&format!("shop/web@{digest}")), "{first:?}");
    fake.publish("shop/web:1", json!({"Cmd": ["run"], "Env": ["V=2"]}));
    let moved = sight(&look(&engine, &asking, Depth::Full).await);
    assert_ne!(moved.registry_digest, first.registry_digest);
    assert_eq!(moved.id, first.id);
    fake.unpublish("shop/web:1");
    let view = engine.look(std::slice::from_ref(&asking), Depth::Full, now()).await.unwrap();
    assert!(view.silent_registries().contains_key(&image));
    assert_eq!(view.of(&asking).gaps, []);
    let later = sight(&look(&engine, &plain, Depth::Full).await);
    assert_eq!(later.registry_digest, moved.registry_digest);
    let error = act(&engine, Action::Pull { image, platform: String::new() }).await.unwrap_err();
    assert!(matches!(error, EngineError::Pull { .. }), "{error:?}");
}

#[tokio::test]
async fn a_wait_ends_at_its_limit_at_its_stop_and_as_soon_as_it_is_over() {
    let (fake, engine) = fake(OLD).await;
    fake.behave("hangs", Behaviour { health_hangs: true, ..Behaviour::default() });
    run(&engine, "hangs", "moorline.test/checked:1").await;
    let wait = |limit| Action::AwaitHealthy {
        container: named("shop-hangs-1"),
        ending: moorline::model::Ending::Fails,
        monitor: Duration::ZERO,
        limit,
    };
    let error = act(&engine, wait(Duration::from_millis(200))).await.unwrap_err();
    assert!(matches!(error, EngineError::NoProgress { .. }), "{error:?}");
    let stop = CancellationToken::new();
    let limit = Duration::from_mins(1);
    let terms = CallOptions { step: limit, progress: limit, stop: &stop, tell: &|_| {} };
    let action = wait(limit);
    let waiting = engine.carry_out(&action, &terms);
    fake.clear_calls();
    let stopping = async {
        until("it looks", || !fake.calls().is_empty()).await;
        stop.cancel();
    };
    let (outcome, ()) = tokio::join!(waiting, stopping);
    assert!(matches!(outcome, Err(EngineError::Cancelled)), "{outcome:?}");
    let action = wait(limit);
    fake.clear_calls();
    let turning = async {
        until("it looks", || !fake.calls().is_empty()).await;
        fake.set_health("shop-hangs-1", "healthy");
    };
    let begun = Instant::now();
    let (outcome, ()) = tokio::join!(act(&engine, action), turning);
    outcome.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2));
    let seen = look(&engine, &scope("shop"), Depth::Full).await;
    assert_eq!(one(&seen, "shop-hangs-1").health, HealthCheckState::Healthy);
}

#[tokio::test]
async fn accidents_are_seen() {
    let (fake, engine) = fake(OLD).await;
    act(&engine, Action::CreateNetwork(Box::new(network("shop", "shop_default")))).await.unwrap();
    for name in ["a", "b", "c", "d"] {
        let spec = Arc::new(container("shop", name, "moorline.test/base:1", &["shop_default"]));
        act(&engine, Action::Create { name: format!("shop-{name}-1"), spec }).await.unwrap();
        act(&engine, Action::Start { container: named(&format!("shop-{name}-1")) }).await.unwrap();
    }
    fake.kill("shop-a-1", 137);
    fake.pause("shop-b-1");
    fake.disconnect("shop-c-1", "shop_default");
    fake.rename("shop-c-1", "someone");
    fake.remove("shop-d-1");
    let seen = look(&engine, &scope("shop"), Depth::Changed).await;
    assert_eq!(one(&seen, "shop-a-1").state, ContainerState::Exited(137));
    assert_eq!(one(&seen, "shop-b-1").state, ContainerState::Paused);
    assert!(one(&seen, "someone").spec.endpoints.is_empty());
    assert_eq!(seen.containers.len(), 3);
    assert_eq!(seen.networks["shop_default"].attached.len(), 1);
}

#[tokio::test]
async fn a_hook_says_how_it_ended() {
    let (_fake, engine) = fake(OLD).await;
    run(&engine, "web", "moorline.test/base:1").await;
    for (words, ends_well) in [("true", true), ("exit 3", false)] {
        let hook = Hook {
            command: vec!["sh".to_owned(), "-c".to_owned(), words.to_owned()],
            user: String::new(),
            privileged: false,
            working_dir: String::new(),
            environment: Vec::new(),
        };
        let action = Action::RunHook { container: named("shop-web-1"), hook: Box::new(hook) };
        let outcome = act(&engine, action).await;
        assert_eq!(outcome.is_ok(), ends_well, "{words}: {outcome:?}");
    }
}

#[tokio::test]
async fn five_hundred_containers_are_seen_quickly() {
    let (fake, _) = fake(OLD).await;
    let engine = Engine::connect(&fake.endpoint(), &EngineSettings::default()).await.unwrap();
    for number in 0..500 {
        let mut body =
            json!({"Image": "moorline.test/base:1", "Labels": super::terms::labels("shop")});
        body["Env"] = (0..20).map(|n| json!(format!("NAME_{n}=value {n}"))).collect();
        fake.run_by_hand(&format!("shop-web-{number}"), body);
    }
    let begun = Instant::now();
    let seen = look(&engine, &scope("shop"), Depth::Full).await;
    println!("full look at 500 containers, both sides, unoptimised: {:?}", begun.elapsed());
    assert_eq!(seen.containers.len(), 500);
    let mut events = engine.events(None).await.unwrap();
    let listening = tokio::spawn(async move { while events.next().await.is_some() {} });
    look(&engine, &scope("shop"), Depth::Changed).await;
    let begun = Instant::now();
    look(&engine, &scope("shop"), Depth::Changed).await;
    println!("warm look at 500 containers, both sides, unoptimised: {:?}", begun.elapsed());
    listening.abort();
    act(&engine, healthy("shop-web-7")).await.unwrap();
}
