//! Laws over random worlds: what was deployed, what happened to it, and what is asked for next. The smallest world that
//! breaks a law is told. `WORLDS=500 cargo test worlds` looks at more of them than fit in every run.

use std::fmt::Write as _;
use std::time::Duration;

use moorline::plan;
use moorline::report::status;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Value;

use super::support::fake_engine::Options;
use super::support::world::{World, short_limits};
use super::support::{accidents, story};

const NAMES: [&str; 3] = ["api", "db", "web"];

/// What a service may have beside its image: each is treated in its own way by a plan.
const EXTRAS: [&str; 7] = [
    "restart: always",
    "environment: {A: '1'}",
    "mem_limit: 64m",
    "volumes: ['data:/data']",
    "networks: [front, default]",
    "labels: {a: b}",
    "stop_grace_period: 2s",
];

/// What may happen to a service's first replica.
const ACCIDENTS: [&str; 6] = [
    "stop shop-NAME-1",
    "pause shop-NAME-1",
    "remove shop-NAME-1",
    "rename shop-NAME-1 mine-NAME",
    "memory shop-NAME-1 128000000",
    "disconnect shop-NAME-1 shop_default",
];

#[derive(Debug, Clone)]
struct Service {
    version: u8,
    replicas: u8,
    extra: usize,
    /// Whether it comes after the service before it.
    depends: bool,
}

type Stack = [Option<Service>; 3];

/// One random world.
#[derive(Debug, Clone)]
struct Draft {
    before: Stack,
    accidents: [Option<usize>; 3],
    after: Stack,
}

fn stacks() -> impl Strategy<Value = Stack> {
    let service = (1_u8..=2, 1_u8..=3, 0..EXTRAS.len(), any::<bool>());
    let service = service.prop_map(|(version, replicas, extra, depends)| Service {
        version,
        replicas,
        extra,
        depends,
    });
    prop::array::uniform3(prop::option::of(service))
}

fn drafts() -> impl Strategy<Value = Draft> {
    // Half of the worlds stay at their commit: accidents alone are what most passes meet.
    let accidents = prop::array::uniform3(prop::option::of(0..ACCIDENTS.len()));
    (stacks(), accidents, prop::option::of(stacks())).prop_map(|(before, accidents, after)| {
        let after = after.unwrap_or_else(|| before.clone());
        Draft { before, accidents, after }
    })
}

fn manifest(stack: &Stack) -> String {
    let mut text = String::from("services:\n");
    let mut last: Option<&str> = None;
    for (name, service) in NAMES.iter().zip(stack) {
        let Some(service) = service else { continue };
        let Service { version, replicas, extra, depends } = service;
        writeln!(text, "  {name}:\n    image: app:v{version}\n    {}", EXTRAS[*extra]).unwrap();
        // Nothing here fails a moment after its start: there is no need to watch for it.
        writeln!(text, "    deploy: {{replicas: {replicas}, update_config: {{monitor: 1ms}}}}")
            .unwrap();
        if let Some(other) = last.filter(|_| *depends) {
            writeln!(text, "    depends_on: [{other}]").unwrap();
        }
        last = Some(name);
    }
    if last.is_none() {
        text = String::from("services: {}\n");
    }
    text + "networks: {front: {}}\nvolumes: {data: {}}\n"
}

impl Draft {
    /// What happens to what was deployed.
    fn accidents(&self) -> Vec<String> {
        let each = NAMES.iter().zip(&self.before).zip(self.accidents);
        each.filter_map(|((name, service), accident)| {
            service.as_ref()?;
            Some(ACCIDENTS[accident?].replace("NAME", name))
        })
        .collect()
    }

    /// The beginning of a story: deployed, and what happened then.
    fn told(&self) -> String {
        let file = |stack: &Stack| {
            let mut text = String::from("commit   file shop/compose.yaml\n");
            for line in manifest(stack).lines() {
                writeln!(text, "           {line}").unwrap();
            }
            text
        };
        let mut text = format!("A world.\n\n{}pass\nexit     -\n\n", file(&self.before));
        for accident in self.accidents() {
            writeln!(text, "{accident}").unwrap();
        }
        // The fleet file is touched too: an unchanged manifest would be no commit.
        text + &file(&self.after) + "         file AFTER\n           after\n"
    }
}

/// Holds a law for random worlds: the same ones each time, unless more are asked for.
fn for_random_worlds(usual: u32, law: impl Fn(Draft)) {
    let more = std::env::var("WORLDS").ok().and_then(|text| text.parse().ok());
    let config = Config {
        cases: more.unwrap_or(usual),
        failure_persistence: None,
        max_shrink_iters: 24,
        ..Config::default()
    };
    let mut runner = match more {
        Some(_) => TestRunner::new(config),
        None => TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    };
    let held = runner.run(&drafts(), |draft| {
        law(draft);
        Ok(())
    });
    held.unwrap_or_else(|broken| panic!("{broken}"));
}

#[test]
fn what_is_shown_is_what_a_pass_does_and_nothing_is_left_to_do() {
    for_random_worlds(40, |draft| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(shown_is_done(&draft));
    });
}

async fn shown_is_done(draft: &Draft) {
    let mut world = World::with_limits(Options::default(), short_limits()).await;
    world.policy.step_limit = Duration::from_millis(500);
    world.commit(&manifest(&draft.before));
    let report = world.settle(6).await;
    assert!(report.is_good(), "{}", status::line(&report));
    for accident in draft.accidents() {
        accidents::happen(&world.fake, &accident);
    }
    world.commit(&manifest(&draft.after));
    let shown = world.plan().await;
    let pass = world.pass().await;
    let first = pass.rounds.first().map(|round| plan::render(&[&round.plan]));
    assert_eq!(first.unwrap_or_default(), plan::render(&[&shown]));
    let report = if pass.is_good() { pass } else { world.settle(6).await };
    assert!(report.is_good(), "{}\n{}", status::line(&report), plan::render(&[&shown]));
    let rest = world.plan().await;
    assert!(rest.steps.is_empty(), "carried out, and still\n{}", plan::render(&[&rest]));
}

#[test]
fn what_plan_says_is_what_sync_does_is_what_the_daemon_does() {
    for_random_worlds(6, |draft| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(all_do_the_same(&draft));
    });
}

async fn all_do_the_same(draft: &Draft) {
    let begin = draft.told();
    let by_hand = format!(
        "{begin}pass     dry --output json\nprints   -\npass\nexit     -\ncalls    -\nhosts    -\n"
    );
    let played = story::play(&by_hand).await;
    assert_eq!(outcomes(&played, "exit"), [["0"], ["0"]], "{played}");
    let planned = planned(&outcomes(&played, "prints")[0].join("\n"));
    let (synced, hosts) = (&outcomes(&played, "calls")[0], &outcomes(&played, "hosts")[0]);
    let done = deeds(synced);
    assert!(planned.iter().all(|step| done.contains(step)), "planned {planned:?}\n{played}");
    assert_eq!(planned.len(), done.len(), "planned {planned:?}\n{played}");
    // A dry pass forgets the calls so far. When the daemon is through with yet another commit, it is with this one.
    let kept = format!(
        "{begin}pass     dry\ndaemon   starts\nuntil    hosts {}\ncommit   file LATER\n           later\nuntil    moorline: success\ndaemon   stops\ncalls    -\nhosts    -\n",
        hosts.join("\n         "),
    );
    let kept = story::play(&kept).await;
    assert_eq!(&outcomes(&kept, "hosts")[0], hosts, "{kept}");
    assert_eq!(deeds(&outcomes(&kept, "calls")[0]), done, "{kept}\n{played}");
}

/// Every outcome of a verb, by line.
fn outcomes(story: &str, verb: &str) -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = Vec::new();
    let mut ours = false;
    for line in story.lines().filter(|line| !line.trim().is_empty()) {
        let (head, rest) = line.split_at_checked(9).unwrap_or((line, ""));
        if !head.trim().is_empty() {
            ours = head.trim() == verb;
            if ours {
                found.push(Vec::new());
            }
        }
        if let Some(last) = found.last_mut().filter(|_| ours) {
            last.push(rest.to_owned());
        }
    }
    found
}

/// What the steps of a plan ask an Engine for, sorted: `create shop-web-1`.
fn planned(json: &str) -> Vec<String> {
    let printed: Value =
        serde_json::from_str(json).unwrap_or_else(|problem| panic!("{problem}: {json}"));
    let mut steps = Vec::new();
    collect_steps(&printed, &mut steps);
    steps.sort();
    steps
}

fn collect_steps(value: &Value, steps: &mut Vec<String>) {
    match value {
        Value::Array(all) => all.iter().for_each(|one| collect_steps(one, steps)),
        Value::Object(fields) => match (fields.get("action"), fields.get("target")) {
            (Some(Value::String(action)), Some(Value::String(target))) => {
                let waits = action.starts_with("await") || action == "delay";
                if !waits {
                    steps.push(deed(action, target));
                }
            }
            _ => fields.values().for_each(|one| collect_steps(one, steps)),
        },
        _ => {}
    }
}

fn deed(action: &str, target: &str) -> String {
    match action {
        // The call names the network, the step the container.
        "connect" | "disconnect" => action.to_owned(),
        _ => format!("{} {target}", action.replace('-', " ")),
    }
}

/// The calls of a pass in the same words, without what a host is to remember.
fn deeds(calls: &[String]) -> Vec<String> {
    let mut deeds: Vec<String> = calls
        .iter()
        .filter(|call| *call != "-" && !call.contains("ledger"))
        .map(|call| match call.split(' ').collect::<Vec<_>>().as_slice() {
            [verb @ ("connect" | "disconnect"), ..] => (*verb).to_owned(),
            ["rename", name, ..] => format!("rename {name}"),
            _ => call.clone(),
        })
        .collect();
    deeds.sort();
    deeds
}
