//! Calls that fail, are cut off, hang or answer late: what was asked for happens once, or not at all.

use std::sync::Arc;
use std::time::Duration;

use moorline::docker::{CallOptions, Depth, Engine, EngineError, EngineSettings, Limits};
use moorline::model::{
    Action, AnonymousVolumes, BundleFile, Digest, FileBundle, FileMode, ImageRef,
};
use tokio_util::sync::CancellationToken;

use super::terms::{container, look, named, network, scope, volume};
use crate::support::fake_engine::{FakeEngine, Fault, Faults, Options};

/// One action after the other, as a plan would have them.
fn story() -> Vec<Action> {
    let spec = Arc::new(container("shop", "web", "shop/web:1", &["shop_default"]));
    let web = named("shop-web-1");
    let mut limited = (*spec).clone();
    limited.host_mut().memory = 64 << 20;
    let limited = Arc::new(limited);
    let file = BundleFile { mode: FileMode::Regular, bytes: b"x"[..].into() };
    let bundle = FileBundle {
        host_path: "/files/abc".to_owned(),
        files: [("a".to_owned(), file)].into(),
        overlay: false,
        time: None,
    };
    vec![
        Action::Pull { image: ImageRef::parse("shop/web:1").unwrap(), platform: String::new() },
        Action::CreateNetwork(Box::new(network("shop", "shop_default"))),
        Action::CreateNetwork(Box::new(network("shop", "shop_back"))),
        Action::CreateVolume(Box::new(volume("shop", "shop_data"))),
        Action::PutFiles { digest: Digest::of(b"1"), bundle: Arc::new(bundle) },
        Action::Create { name: "shop-web-1".to_owned(), spec: Arc::clone(&spec) },
        Action::Connect {
            container: web.clone(),
            network: "shop_back".to_owned(),
            endpoint: Box::default(),
        },
        Action::Start { container: web.clone() },
        Action::AwaitHealthy {
            container: web.clone(),
            ending: moorline::model::Ending::Fails,
            monitor: Duration::ZERO,
            limit: Duration::from_secs(5),
        },
        Action::Update { container: web.clone(), spec: limited },
        Action::Disconnect { container: web.clone(), network: "shop_back".to_owned() },
        Action::Stop { container: web, grace: Duration::ZERO },
        Action::Create { name: "shop-old-1".to_owned(), spec },
        Action::Rename { container: named("shop-old-1"), name: "shop-new-1".to_owned() },
        Action::Remove {
            container: named("shop-new-1"),
            anonymous_volumes: AnonymousVolumes::Delete,
        },
    ]
}

async fn connect(fake: &FakeEngine) -> Engine {
    let limits = Limits { read: Duration::from_millis(150), ..Limits::default() };
    let settings = EngineSettings { limits, ..EngineSettings::default() };
    Engine::connect(&fake.endpoint(), &settings).await.unwrap()
}

/// Tries until it works; says how often it did not.
async fn insist(engine: &Engine, action: &Action) -> usize {
    insist_within(engine, action, Duration::from_millis(150)).await
}

async fn insist_within(engine: &Engine, action: &Action, limit: Duration) -> usize {
    let stop = CancellationToken::new();
    let terms = CallOptions { step: limit, progress: limit, stop: &stop, tell: &|_| {} };
    // A step of many calls seldom gets through a storm.
    for failures in 0..100 {
        match engine.carry_out(action, &terms).await {
            Ok(()) => return failures,
            // A renamed container is not found under its old name: a plan made from a new look knows that.
            Err(EngineError::Refused { status: 404, .. })
                if matches!(action, Action::Rename { .. }) =>
            {
                return failures;
            }
            Err(_) => {}
        }
    }
    panic!("{action:?} never works");
}

/// What the host looks like in the end.
async fn outcome(fake: &FakeEngine, engine: &Engine) -> String {
    let seen = look(engine, &scope("shop"), Depth::Full).await;
    let volumes: Vec<String> = fake.volumes().into_keys().collect();
    format!(
        "{:?}\n{:?}\n{volumes:?}\n{:?}\n{}",
        fake.containers().iter().map(|c| (&c.name, &c.state, &c.networks)).collect::<Vec<_>>(),
        fake.networks(),
        fake.host_files().keys().collect::<Vec<_>>(),
        seen.containers[0].spec.host.memory,
    )
}

const EXPECTED: &str = "[(\"shop-web-1\", \"exited\", [\"shop_default\"])]\n[\"shop_back\", \"shop_default\"]\n\
                        [\"shop_data\"]\n[\"/files/abc.complete\", \"/files/abc/a\"]\n67108864";

fn sorted(text: &str) -> String {
    text.replace("[\"shop_default\", \"shop_back\"]", "[\"shop_back\", \"shop_default\"]")
}

#[tokio::test(start_paused = true)]
async fn any_call_may_go_wrong_in_any_way_and_what_was_asked_for_happens_once() {
    let mut calls = 0;
    for fault in [Fault::Fail, Fault::CutBefore, Fault::CutAfter, Fault::Hang, Fault::HangAfter] {
        for number in 1.. {
            let fake = FakeEngine::start(Options::default()).await;
            let engine = connect(&fake).await;
            fake.clear_calls();
            fake.set_faults(Faults { changes_only: false, ..Faults::at_change(number, fault) });
            for action in story() {
                insist(&engine, &action).await;
            }
            let seen = fake.calls().len();
            fake.heal();
            assert_eq!(
                sorted(&outcome(&fake, &engine).await),
                EXPECTED,
                "{fault:?} at call {number}"
            );
            calls += 1;
            if number > seen {
                break;
            }
        }
    }
    println!("{calls} stories");
}

#[tokio::test(start_paused = true)]
async fn under_a_storm_of_faults_everything_happens_once_all_the_same() {
    for seed in 1..=40 {
        let fake = FakeEngine::start(Options { seed, ..Options::default() }).await;
        let engine = connect(&fake).await;
        fake.set_faults(Faults {
            fail: 0.1,
            hang: 0.03,
            cut_before: 0.1,
            cut_after: 0.15,
            hang_after: 0.03,
            late: 0.1,
            lateness: Duration::from_millis(20),
            ..Faults::seeded(seed)
        });
        for action in story() {
            insist(&engine, &action).await;
        }
        fake.heal();
        assert_eq!(sorted(&outcome(&fake, &engine).await), EXPECTED, "seed {seed}");
    }
}

// By the real clock: one that stands still runs ahead while a busy machine is slow to hand an answer on.
#[tokio::test]
async fn a_cut_connection_is_not_even_noticed() {
    let fake = FakeEngine::start(Options::default()).await;
    let engine = connect(&fake).await;
    for action in story() {
        fake.set_faults(Faults::at_change(1, Fault::CutAfter));
        let failures = insist_within(&engine, &action, Duration::from_secs(10)).await;
        assert_eq!(failures, 0, "{action:?}");
        fake.cut_connections();
    }
}

#[tokio::test]
async fn the_end_of_the_events_is_an_item_and_nothing_is_trusted_after_it() {
    let fake = FakeEngine::start(Options::default()).await;
    let engine = connect(&fake).await;
    for broken in [false, true] {
        let mut events = engine.events(None).await.unwrap();
        if broken {
            fake.cut_connections();
        } else {
            fake.set_faults(Faults { events_cut: 1.0, ..Faults::seeded(1) });
            fake.create_volume_by_hand(serde_json::json!({"Name": "one"}));
            assert!(matches!(events.next().await, Some(Ok(_))));
        }
        let end = events.next().await.unwrap().unwrap_err();
        assert_eq!(broken, !matches!(end, EngineError::EventsEnded), "{end:?}");
        assert!(events.next().await.is_none());
        fake.heal();
        fake.clear_calls();
        look(&engine, &scope("shop"), Depth::Changed).await;
        assert!(fake.calls().len() >= 3);
    }
}

#[tokio::test]
async fn events_since_an_instant_come_again() {
    let fake = FakeEngine::start(Options::default()).await;
    let engine = connect(&fake).await;
    fake.create_volume_by_hand(serde_json::json!({"Name": "before"}));
    let mut events = engine.events(Some(super::terms::now())).await.unwrap();
    let event = tokio::time::timeout(Duration::from_secs(5), events.next()).await.unwrap();
    assert_eq!(event.unwrap().unwrap().name(), "before");
}
