//! What real Engines make of a create call is no drift: the same comparison as on the simulated ones.

use std::sync::Arc;

use moorline::docker::{Depth, Engine, Scope};
use moorline::drift;
use moorline::model::{
    Action, ContainerHandle, Cure, Desired, Drift, ImageSight, Observed, Policy, Reason, Replica,
    Resource,
};
use serde_json::{Value, json};

use crate::desired::{corpus, make, project_of};
use crate::engine::terms::{act, clear, look, named};
use crate::support::engines::first;

const IMAGE: &str = "moorline.test/web:1";

/// Makes everything that a stack asks for, and starts nothing. What the Engine refuses is taken out of what is asked.
async fn deploy(engine: &Engine, desired: &mut Desired) -> Vec<String> {
    let mut refused = Vec::new();
    for network in desired.networks.values() {
        let made = act(engine, Action::CreateNetwork(Box::new(network.spec.clone()))).await;
        refused.extend(made.err().map(|error| format!("{}: {error:?}", network.spec.name)));
    }
    for volume in desired.volumes.values() {
        let made = act(engine, Action::CreateVolume(Box::new(volume.spec.clone()))).await;
        refused.extend(made.err().map(|error| format!("{}: {error:?}", volume.spec.name)));
    }
    // Those that others share with come first.
    let mut waiting: Vec<(Replica, String, Arc<moorline::model::ContainerSpec>, bool)> = desired
        .services
        .values()
        .flat_map(|service| service.replicas.values())
        .map(|one| {
            (
                one.replica.clone(),
                one.name.clone(),
                Arc::new(moorline::desired::sealed(
                    (*one.spec).clone(),
                    &desired.seals[&one.replica],
                )),
                !one.shares.is_empty() || !one.spec.host.links.is_empty(),
            )
        })
        .collect();
    waiting.sort_by_key(|(replica, _, _, shares)| (*shares, replica.clone()));
    for (replica, name, spec, _) in waiting {
        let create = Action::Create { name: name.clone(), spec: Arc::clone(&spec) };
        if let Err(error) = act(engine, create).await {
            refused.push(format!("{name}: {error:?}"));
            let service = desired.services.get_mut(&replica.service).unwrap();
            Arc::make_mut(service).replicas.remove(&replica.number);
            continue;
        }
        if engine.facts().api >= (1, 44) {
            continue;
        }
        for (network, endpoint) in &spec.endpoints {
            if *network != spec.host.network_mode {
                let endpoint = endpoint.clone();
                let network = network.clone();
                act(engine, Action::Connect { container: named(&name), network, endpoint })
                    .await
                    .unwrap();
            }
        }
    }
    refused
}

/// Differences but for "not started".
fn differences(desired: &Desired, seen: &Observed) -> Vec<String> {
    let found = drift::detect(desired, seen, &Policy::default());
    let tell = |one: &Drift| format!("{one}: {:?}", one.reason);
    found
        .drifts
        .iter()
        .filter(|one| !matches!(one.reason, Reason::NotStarted | Reason::NotRun))
        .map(tell)
        .collect()
}

/// A canonical model that uses nearly every field of the Engine.
fn rich() -> Value {
    serde_json::from_str(include_str!("../drift/every_field.json")).unwrap()
}

#[tokio::test]
async fn real_what_an_engine_fills_in_is_no_drift() {
    let Some(engine) = first().await else { return };
    clear(&engine, "driftreal").await;
    let mut model = rich();
    if engine.facts().api >= (1, 48) {
        // Links to a container that has no network are refused by newer Engines; so are a few cgroup v1 settings.
        model["services"]["bridge"].as_object_mut().unwrap().remove("links");
    }
    let project = project_of(&model, "/repository/stacks/shop");
    let (mut desired, problems) = make(&project, None, &engine.facts());
    assert!(!problems.has_errors(), "{problems:?}");
    let refused = deploy(&engine, &mut desired).await;
    println!("refused: {refused:#?}");
    let seen = look(&engine, &Scope::of(&desired), Depth::Full).await;
    let found = differences(&desired, &seen);
    assert_eq!(found, Vec::<String>::new());
    // The label that tells the specification only helps where a kernel discarded a limit.
    let mut unlabelled = seen.clone();
    for one in &mut unlabelled.containers {
        one.spec_label = None;
    }
    let mut found = differences(&desired, &unlabelled);
    found.retain(|line| !line.contains("blkio_config") && !line.contains("mem_swappiness"));
    assert_eq!(found, Vec::<String>::new());
    for service in ["quota", "limits", "none"] {
        let Some(one) = desired.services[service].replicas.get(&1) else { continue };
        act(&engine, Action::Start { container: named(&one.name) }).await.unwrap();
    }
    let seen = look(&engine, &Scope::of(&desired), Depth::Full).await;
    assert_eq!(differences(&desired, &seen), Vec::<String>::new());
    clear(&engine, "driftreal").await;
}

#[tokio::test]
async fn real_limits_and_restart_policy_are_changed_in_place() {
    let Some(engine) = first().await else { return };
    clear(&engine, "inplace").await;
    let model = |memory: &str, restart: &str| {
        json!({"name": "inplace", "networks": {"default": {"name": "inplace_default", "ipam": {}}}, "services": {"web": {
            "image": IMAGE, "command": ["sleep", "99"], "networks": {"default": null}, "mem_limit": memory, "cpus": 0.5,
            "pids_limit": 50, "restart": restart}}})
    };
    let wanted = |memory: &str, restart: &str| {
        let project = project_of(&model(memory, restart), "/repository/stacks/shop");
        make(&project, None, &engine.facts()).0
    };
    let mut first = wanted("67108864", "always");
    assert_eq!(deploy(&engine, &mut first).await, Vec::<String>::new());
    act(&engine, Action::Start { container: named("inplace-web-1") }).await.unwrap();
    let second = wanted("134217728", "");
    let seen = look(&engine, &Scope::of(&second), Depth::Full).await;
    let found = drift::detect(&second, &seen, &Policy::default());
    assert!(found.drifts.iter().all(|one| one.cure == Cure::InPlace), "{:?}", found.drifts);
    assert_eq!(found.drifts.len(), 2, "{:?}", found.drifts);
    let Resource::Replica { container: Some(id), .. } = &found.drifts[0].resource else { panic!() };
    let container = ContainerHandle::Observed { id: id.clone(), name: String::new() };
    let spec = Arc::clone(&second.services["web"].replicas[&1].spec);
    act(&engine, Action::Update { container, spec }).await.unwrap();
    let seen = look(&engine, &Scope::of(&second), Depth::Full).await;
    assert_eq!(differences(&second, &seen), Vec::<String>::new());
    clear(&engine, "inplace").await;
}

#[tokio::test]
async fn real_every_project_of_the_corpus_is_in_sync_after_it_was_made() {
    let Some(engine) = first().await else { return };
    let Some(corpus) = corpus() else { return };
    let mut different = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir(corpus.join("dev-api")).unwrap() {
        let path = corpus.join("dev-golden").join(entry.unwrap().file_name());
        let text = std::fs::read_to_string(&path).unwrap().replace("@CORPUS@", "/tmp/moor-corpus");
        let mut model: Value = serde_json::from_str(&text).unwrap();
        for (_, service) in model["services"].as_object_mut().unwrap() {
            service["image"] = json!(IMAGE);
            service.as_object_mut().unwrap().remove("build");
            service.as_object_mut().unwrap().remove("platform");
        }
        for kind in ["networks", "volumes"] {
            for (_, one) in model[kind].as_object_mut().into_iter().flatten() {
                one.as_object_mut().unwrap().remove("external");
            }
        }
        let project = project_of(&model, "/tmp/moor-corpus");
        clear(&engine, project.name.as_str()).await;
        let (mut desired, _) = make(&project, None, &engine.facts());
        let refused = deploy(&engine, &mut desired).await;
        let seen = look(&engine, &Scope::of(&desired), Depth::Full).await;
        assert!(seen.images.values().all(|sight| matches!(sight, ImageSight::Present(_))));
        let found: Vec<String> = differences(&desired, &seen)
            .into_iter()
            // What the Engine refused to make (swarm networks, runtimes that this machine lacks) is missing.
            .filter(|line| refused.is_empty() || !line.contains("missing"))
            .collect();
        count += 1;
        if !found.is_empty() {
            different.push(format!("{}: {found:#?} {refused:?}", path.display()));
        }
        clear(&engine, project.name.as_str()).await;
    }
    println!("{} of {count} projects are in sync", count - different.len());
    assert!(different.is_empty(), "{}", different.join("\n"));
}
