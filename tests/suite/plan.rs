//! Runs every scenario of `tests/plan`: a stack as it was, what happened to the host, what is asked now, and the plan
//! that must come out. `UPDATE=1` rewrites the plans.

use std::fs;
use std::path::{Path, PathBuf};

use moorline::model::{Action, AdoptPolicy, DriftPolicy, Policy};

use super::support::accidents;
use super::support::fake_engine::Options;
use super::support::world::{World, folder, short_limits};

#[tokio::test(start_paused = true)]
async fn every_plan_scenario_gives_its_plan() {
    let mut files = Vec::new();
    collect(&folder("plan"), &mut files);
    assert!(files.len() >= 100, "there are only {} scenarios", files.len());
    let mut wrong = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let (above, expected) = text.split_once("--- plan\n").unwrap_or((&text, ""));
        let plan = plan_of(above).await;
        if plan == expected {
            continue;
        }
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&file, format!("{above}--- plan\n{plan}")).unwrap();
        } else {
            wrong.push(format!("{}\nexpected:\n{expected}\nplanned:\n{plan}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// How long each successor of a rolling update must stay up, in milliseconds.
async fn monitors(update: &str) -> Vec<u128> {
    let manifest = |version: &str| {
        format!(
            "services:\n  web:\n    image: app:{version}\n    deploy: {{replicas: 3{update}}}\n"
        )
    };
    let mut world = World::with_limits(Options::default(), short_limits()).await;
    world.commit(&manifest("v1"));
    assert_eq!(world.settle(3).await.sync, moorline::model::Sync::Synced);
    world.commit(&manifest("v2"));
    let plan = world.plan().await;
    let awaited = plan.steps.iter().filter_map(|step| match &step.action {
        Action::AwaitHealthy { monitor, .. } => Some(monitor.as_millis()),
        _ => None,
    });
    awaited.collect()
}

#[tokio::test(start_paused = true)]
async fn the_first_batch_proves_what_the_others_only_show() {
    assert_eq!(monitors("").await, [2_000, 500, 500]);
    assert_eq!(monitors(", update_config: {parallelism: 2}").await, [2_000, 2_000, 500]);
    assert_eq!(monitors(", update_config: {monitor: 3s}").await, [3_000; 3]);
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() { collect(&entry, files) } else { files.push(entry) }
    }
}

/// Plays a scenario up to its plan, and shows the plan twice over: it must be the same.
async fn plan_of(scenario: &str) -> String {
    let section = |name: &str| -> Option<&str> {
        let (_, rest) = scenario.split_once(&format!("--- {name}\n"))?;
        Some(rest.split("--- ").next().unwrap_or(rest))
    };
    let mut world = World::with_limits(Options::default(), short_limits()).await;
    let policy = section("policy").unwrap_or_default();
    let lines = |name| section(name).unwrap_or_default().lines().filter(|line| !line.is_empty());
    lines("by hand").for_each(|line| accidents::by_hand(&world.fake, line));
    lines("processes").for_each(|line| accidents::behave(&world.fake, line));
    if let Some(beside) = section("beside") {
        world.deploy_beside(beside).await;
    }
    if let Some(before) = section("before") {
        world.commit(before);
        let report = world.settle(3).await;
        assert!(report.is_good(), "{scenario}\n{report:?}");
        // Jobs end.
        super::support::a_moment().await;
    }
    // A version that was tried and did not come up.
    lines("breaks").for_each(|line| accidents::behave(&world.fake, line));
    if let Some(tried) = section("tried") {
        world.commit(tried);
        let report = world.pass().await;
        assert!(!report.is_good(), "{scenario}\n{report:?}");
    }
    lines("mends").for_each(|line| accidents::behave(&world.fake, line));
    set_policy(&mut world.policy, policy);
    lines("accidents").for_each(|line| accidents::happen(&world.fake, line));
    world.commit(section("desired").expect("a scenario says what is asked for"));
    let plan = world.plan().await.to_string();
    assert_eq!(plan, world.plan().await.to_string(), "same input, same bytes");
    super::support::story::without_times(&plan)
}

fn set_policy(policy: &mut Policy, text: &str) {
    for line in text.lines().filter(|line| !line.is_empty()) {
        match line {
            "prune services: off" => policy.prune.services = false,
            "prune networks: off" => policy.prune.networks = false,
            "prune volumes: on" => policy.prune.volumes = true,
            "adopt" => policy.adopt = AdoptPolicy::Adopt,
            "drift: report" => policy.drift = DriftPolicy::Report,
            other => match other.split_once(": ") {
                Some(("ignore", pattern)) => policy.ignore.push(pattern.to_owned()),
                _ => panic!("unknown policy {other}"),
            },
        }
    }
}

/// Contents of files from Git on the simulated host, without those where services write too.
fn bundled(world: &World) -> Vec<String> {
    let files = world.fake.host_files();
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    let ours = files.iter().filter(|(path, _)| {
        path.starts_with("/var/lib/moorline/files/") && !path.ends_with(".complete")
    });
    ours.map(|(_, bytes)| text(bytes)).collect()
}

#[tokio::test]
async fn files_from_git_go_with_the_last_container_that_mounts_them() {
    let mut world = World::with_limits(Options::default(), short_limits()).await;
    let compose = "services:\n  web: {image: app:v1, volumes: [\"./conf:/conf:ro\"]}\n  \
                   other: {image: app:v1, volumes: [\"./both:/both:ro\"]}\n  \
                   third: {image: app:v1, volumes: [\"./both:/both:ro\"]}\n";
    world.commit_files(&[("compose.yaml", compose), ("conf/a", "1"), ("both/b", "both")]);
    assert!(world.settle(3).await.is_good());
    assert_eq!(bundled(&world).len(), 2);

    world.commit_files(&[("compose.yaml", compose), ("conf/a", "2"), ("both/b", "both")]);
    let plan = moorline::plan::render(&[&*world.plan().await]);
    assert!(plan.contains("remove files "), "{plan}");
    assert!(world.settle(3).await.is_good());
    let mut left = bundled(&world);
    left.sort();
    assert_eq!(left, ["2", "both"]);

    // One of two that share files goes: the other one still has them.
    let two = compose.lines().take(3).collect::<Vec<_>>().join("\n");
    world.commit_files(&[("compose.yaml", &two), ("conf/a", "2"), ("both/b", "both")]);
    assert!(world.settle(3).await.is_good());
    assert_eq!(bundled(&world).len(), 2);

    world.commit("services: {}\n");
    assert!(world.settle(3).await.is_good());
    assert_eq!(bundled(&world), [] as [String; 0]);
    assert!(world.plan().await.steps.is_empty());
}

#[tokio::test]
async fn a_file_that_its_service_wrote_to_stays_when_git_changes_it() {
    let mut world = World::with_limits(Options::default(), short_limits()).await;
    let compose = "services:\n  web: {image: app:v1, volumes: [\"./app.conf:/app.conf\"]}\n";
    world.commit_files(&[("compose.yaml", compose), ("app.conf", "1")]);
    assert!(world.settle(3).await.is_good());
    let files = world.fake.host_files();
    let path = files.keys().find(|path| path.ends_with("/app.conf")).unwrap().clone();
    world.fake.write_host_file(&path, b"written");
    world.commit_files(&[("compose.yaml", compose), ("app.conf", "2")]);
    let plan = world.plan().await;
    assert!(plan.warnings.iter().any(|said| said.contains("if it did, they stay")), "{plan:?}");
    assert!(world.settle(3).await.is_good());
    assert_eq!(world.fake.host_files()[&path], b"written");
    let mut left = bundled(&world);
    left.sort();
    assert_eq!(left, ["2", "written"]);
}
