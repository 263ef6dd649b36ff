//! Drift: what is a difference and what is not, and what each one needs.

use std::collections::BTreeMap;
use std::sync::Arc;

use moorline::drift::{self, Findings};
use moorline::model::{
    AdoptPolicy, ContainerState, Cure, Desired, Digest, Drift, Gap, Health, HealthCheckState,
    ImageRef, ImageSight, Observed, ObservedContainer, Ownership, Policy, Reason, Replica,
    Resource, ServiceName, Timestamp, Ulimit, Unseen,
};
use serde_json::{Value, json};

use crate::desired::{corpus, engine, make, project_of};
use crate::support::engine_fill::{Ways, container, deployed, facts, id_of, image};

fn model() -> Value {
    json!({
        "name": "shop",
        "networks": {
            "default": {"name": "shop_default", "ipam": {}},
            "back": {"name": "shop_back", "ipam": {"config": [{"subnet": "10.9.0.0/24"}]}, "internal": true},
        },
        "volumes": {"data": {"name": "shop_data"}},
        "services": {
            "db": {
                "image": "postgres:17", "networks": {"back": {"aliases": ["database"]}},
                "environment": {"POSTGRES_PASSWORD": "hunter2", "LANG": "C"},
                "volumes": [{"type": "volume", "source": "data", "target": "/var/lib/data"}],
                "healthcheck": {"test": ["CMD", "pg_isready"], "start_interval": "2s"},
                "restart": "always", "mem_limit": "67108864",
            },
            "migrate": {"image": "shop:1", "networks": {"back": null}, "command": ["migrate"], "restart": "no"},
            "web": {
                "image": "shop:1", "networks": {"default": null, "back": null}, "scale": 2,
                "restart": "always", "labels": {"traefik.enable": "true"}, "init": true,
                "cap_add": ["NET_ADMIN"], "ulimits": {"nofile": {"soft": 10, "hard": 20}},
                "ports": [{"mode": "ingress", "target": 80, "protocol": "tcp"}],
                "depends_on": {"migrate": {"condition": "service_completed_successfully", "required": true}},
            },
            "side": {"image": "shop:1", "network_mode": "service:db", "volumes_from": ["db"], "restart": "always"},
        },
    })
}

fn wanted(ways: Ways) -> Desired {
    let project = project_of(&model(), "/repo/stacks/shop");
    let (desired, problems) = make(&project, None, &facts(ways));
    assert!(!problems.has_errors(), "{problems:?}");
    desired
}

fn host(desired: &Desired, ways: Ways) -> Observed {
    let mut host = deployed(desired, ways);
    edit(&mut host, "shop-migrate-1", |one| one.state = ContainerState::Exited(0));
    host
}

fn edit(host: &mut Observed, name: &str, change: impl FnOnce(&mut ObservedContainer)) {
    change(host.containers.iter_mut().find(|one| one.name == name).expect(name));
}

fn detect(desired: &Desired, host: &Observed) -> Findings {
    drift::detect(desired, host, &Policy::default())
}

/// Drifts as text: what, why, cure.
fn lines(found: &Findings) -> Vec<String> {
    found
        .drifts
        .iter()
        .map(|one| format!("{} {}: {:?}", one.resource, one.reason, one.cure))
        .collect()
}

/// What a change of a deployed host leads to.
fn after(change: impl FnOnce(&mut Observed)) -> Vec<String> {
    let desired = wanted(Ways::Old);
    let mut host = host(&desired, Ways::Old);
    change(&mut host);
    lines(&detect(&desired, &host))
}

fn after_edit(name: &str, change: impl FnOnce(&mut ObservedContainer)) -> Vec<String> {
    after(|host| edit(host, name, change))
}

#[test]
fn what_engines_and_images_fill_in_is_no_drift() {
    for ways in [Ways::Old, Ways::New] {
        let desired = wanted(ways);
        let found = detect(&desired, &host(&desired, ways));
        assert_eq!(lines(&found), Vec::<String>::new(), "{ways:?}");
        assert!(found.health.values().all(|health| *health == Health::Healthy), "{found:?}");
        assert_eq!(found.keepers.len(), 5);
    }
}

#[test]
fn every_project_of_the_corpus_is_in_sync_after_it_was_deployed() {
    let Some(corpus) = corpus() else { return };
    for entry in std::fs::read_dir(corpus.join("dev-golden")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let project = project_of(&serde_json::from_str(&text).unwrap(), "@CORPUS@");
        for ways in [Ways::Old, Ways::New] {
            let (desired, _) = make(&project, None, &facts(ways));
            let mut observed = deployed(&desired, ways);
            let found = detect(&desired, &observed);
            assert_eq!(lines(&found), Vec::<String>::new(), "{} {ways:?}", path.display());
            // Also where the label that tells the specification is lost.
            for one in &mut observed.containers {
                one.spec_label = None;
            }
            let found = detect(&desired, &observed);
            assert_eq!(lines(&found), Vec::<String>::new(), "{} {ways:?}", path.display());
        }
    }
}

#[test]
fn states_have_their_reasons_and_cures() {
    let state = |state: ContainerState| after_edit("shop-db-1", |one| one.state = state);
    assert_eq!(state(ContainerState::Created), ["db-1 not started: Revive"]);
    assert_eq!(state(ContainerState::Exited(137)), ["db-1 stopped (exit code 137): Revive"]);
    assert_eq!(state(ContainerState::Exited(0)), ["db-1 stopped (exit code 0): Revive"]);
    assert_eq!(state(ContainerState::Paused), ["db-1 paused: Revive"]);
    assert_eq!(state(ContainerState::Restarting), ["db-1 restarting: None"]);
    assert_eq!(state(ContainerState::Dead), ["db-1 broken: Replace"]);
    assert_eq!(state(ContainerState::Removing), ["db-1 broken: None"]);
    let unhealthy = after_edit("shop-db-1", |one| one.health = HealthCheckState::Unhealthy);
    assert_eq!(unhealthy, ["db-1 unhealthy: Revive"]);
}

#[test]
fn jobs_run_once_for_each_change() {
    let job = |state: ContainerState| after_edit("shop-migrate-1", |one| one.state = state);
    assert_eq!(job(ContainerState::Exited(0)), Vec::<String>::new());
    assert_eq!(job(ContainerState::Exited(3)), ["migrate-1 job failed (exit code 3): Revive"]);
    assert_eq!(job(ContainerState::Created), ["migrate-1 not run: Revive"]);
    let gone = after(|host| host.containers.retain(|one| one.name != "shop-migrate-1"));
    assert_eq!(gone, ["migrate-1 not run: Create"]);
    let changed = after_edit("shop-migrate-1", |one| {
        one.spec_mut().config_mut().cmd = Some(vec!["old".to_owned()]);
    });
    assert_eq!(changed, ["migrate-1 command changed: Replace"]);
}

#[test]
fn what_the_engine_can_change_live_is_changed_in_place() {
    let web = |change: fn(&mut ObservedContainer)| after_edit("shop-web-1", change);
    assert_eq!(
        after_edit("shop-db-1", |one| {
            one.spec_mut().host_mut().memory = 1 << 25;
            one.spec_mut().host_mut().memory_swap = 1 << 26;
        }),
        ["db-1 deploy.resources.limits.memory changed: InPlace"],
    );
    assert_eq!(
        web(|one| one.spec_mut().host_mut().restart_policy.name = "no".to_owned()),
        ["web-1 deploy.restart_policy changed: InPlace"],
    );
    assert_eq!(
        web(|one| drop(one.spec_mut().endpoints.remove("shop_back"))),
        ["web-1 disconnected from shop_back: InPlace"],
    );
    assert_eq!(
        web(|one| drop(one.spec_mut().endpoints.insert("other".to_owned(), Box::default()))),
        ["web-1 attached to other: InPlace"],
    );
    assert_eq!(web(|one| one.name = "renamed".to_owned()), ["web-1 renamed to renamed: InPlace"]);
    assert_eq!(
        after_edit("shop-db-1", |one| {
            let place = one.spec_mut().endpoints.get_mut("shop_back").unwrap();
            place.aliases.retain(|alias| alias != "database");
        }),
        ["db-1 aliases on shop_back changed: InPlace"],
    );
    // A limit that nobody asks for can only be taken away with the container.
    assert_eq!(
        web(|one| one.spec_mut().host_mut().memory = 1 << 25),
        ["web-1 deploy.resources.limits.memory changed: Replace"],
    );
}

#[test]
fn every_other_field_replaces_the_container() {
    type Change = fn(&mut ObservedContainer);
    let cases: [(&str, Change); 14] = [
        ("image", |one| one.spec_mut().config_mut().image = "shop:0".into()),
        ("environment.EXTRA", |one| one.spec_mut().config_mut().env.push("EXTRA=1".into())),
        ("labels.traefik.enable", |one| {
            one.spec_mut().config_mut().labels.insert("traefik.enable".into(), "false".into());
        }),
        ("entrypoint", |one| one.spec_mut().config_mut().entrypoint = Some(vec!["sh".into()])),
        ("user", |one| one.spec_mut().config_mut().user = "root".into()),
        ("hostname", |one| one.spec_mut().config_mut().hostname = "pet".into()),
        ("cap_add", |one| one.spec_mut().host_mut().cap_add.push("SYS_ADMIN".into())),
        ("privileged", |one| one.spec_mut().host_mut().privileged = true),
        ("ulimits.nofile", |one| {
            one.spec_mut().host_mut().ulimits =
                vec![Ulimit { name: "nofile".into(), soft: 1, hard: 20 }];
        }),
        ("volumes./x", |one| one.spec_mut().host_mut().binds.push("/etc:/x:ro".into())),
        ("ports.80/tcp", |one| one.spec_mut().host_mut().port_bindings.clear()),
        ("init", |one| one.spec_mut().host_mut().init = None),
        ("shm_size", |one| one.spec_mut().host_mut().shm_size = 1),
        ("network_mode", |one| one.spec_mut().host_mut().network_mode = "host".into()),
    ];
    for (field, change) in cases {
        let found = after_edit("shop-web-2", |one| {
            change(one);
            one.spec_label = Some("v1:sha256:other".to_owned());
        });
        let expected = format!("web-2 {field} changed: Replace");
        assert!(found.contains(&expected), "{field}: {found:?}");
    }
}

#[test]
fn secrets_are_never_shown() {
    let desired = wanted(Ways::Old);
    let mut host = host(&desired, Ways::Old);
    edit(&mut host, "shop-db-1", |one| {
        one.spec_mut().config_mut().env.retain(|entry| !entry.starts_with("POSTGRES"));
        one.spec_mut().config_mut().env.push("POSTGRES_PASSWORD=correct horse".to_owned());
    });
    let found = detect(&desired, &host);
    assert_eq!(lines(&found), ["db-1 environment.POSTGRES_PASSWORD changed: Replace"]);
    let told = format!("{:?}", found.drifts);
    assert!(told.contains("***") && !told.contains("hunter2") && !told.contains("horse"), "{told}");
}

#[test]
fn a_change_of_files_from_git_is_told_without_their_digest() {
    let found = after_edit("shop-db-1", |one| {
        one.spec_mut().config_mut().labels.insert("moorline.files".to_owned(), "v1:abc".to_owned());
    });
    assert_eq!(found, ["db-1 files changed: Replace"]);
}

#[test]
fn missing_surplus_orphaned_and_foreign_containers_are_told_apart() {
    assert_eq!(
        after(|host| host.containers.retain(|one| one.name != "shop-web-2")),
        ["web-2 missing: Create"],
    );
    let twin = |host: &mut Observed, name: &str, service: &str, number: u32| {
        let mut one = host.containers.iter().find(|one| one.name == "shop-web-2").unwrap().clone();
        one.name = name.to_owned();
        one.id = id_of(name);
        let service = ServiceName::parse(service).unwrap();
        one.replica = Some(Replica { service, number });
        host.containers.push(one);
    };
    assert_eq!(after(|host| twin(host, "shop-web-3", "web", 3)), ["web-3 surplus: Remove"]);
    assert_eq!(
        after(|host| twin(host, "shop-old-1", "old", 1)),
        ["container shop-old-1 orphaned: Remove"],
    );
    assert_eq!(
        after(|host| {
            twin(host, "shop-old-1", "old", 1);
            edit(host, "shop-old-1", |one| one.ownership = Ownership::Foreign);
        }),
        ["container shop-old-1 not made by moorline: None"],
    );
    assert_eq!(
        after(|host| {
            edit(host, "shop-web-2", |one| one.ownership = Ownership::Foreign);
        }),
        ["web-2 missing: None", "container shop-web-2 not made by moorline: None"],
    );
    assert_eq!(
        after(|host| {
            twin(host, "mine", "web", 7);
            edit(host, "mine", |one| {
                one.ownership = Ownership::Unrelated;
                one.replica = None;
            });
        }),
        Vec::<String>::new(),
    );
    assert_eq!(
        after(|host| {
            twin(host, "run", "web", 1);
            edit(host, "run", |one| one.one_off = true);
        }),
        Vec::<String>::new(),
    );
}

#[test]
fn of_two_containers_for_one_replica_the_one_that_is_asked_for_is_kept() {
    let found = after(|host| {
        let mut old = host.containers.iter().find(|one| one.name == "shop-db-1").unwrap().clone();
        old.name = "shop-db-1-old".to_owned();
        old.id = id_of("old");
        old.spec_label = Some("v1:sha256:old".to_owned());
        old.spec_mut().config_mut().image = "postgres:16".to_owned();
        old.created_at = Timestamp::from_millis(9);
        host.containers.push(old);
        edit(host, "shop-db-1", |one| one.state = ContainerState::Created);
    });
    assert_eq!(found, ["db-1 not started: Revive", "db-1 superseded: Remove"]);
}

#[test]
fn what_was_not_seen_is_neither_missing_nor_orphaned() {
    let gap = |what: &str, replica: Option<(&str, u32)>| Gap {
        what: Unseen::from(what.to_owned()),
        container: replica.map(|_| id_of("hidden")),
        replica: replica.map(|(service, number)| Replica {
            service: ServiceName::parse(service).unwrap(),
            number,
        }),
        why: "it hangs".to_owned(),
    };
    let desired = wanted(Ways::Old);
    for gap in [gap("containers", None), gap("container x", Some(("db", 1))), gap("engine", None)] {
        let mut host = host(&desired, Ways::Old);
        host.containers.retain(|one| one.name != "shop-db-1");
        host.gaps.push(gap.clone());
        let found = detect(&desired, &host);
        let told = lines(&found);
        assert!(!told.iter().any(|line| line.contains("missing")), "{gap:?}: {told:?}");
        assert_eq!(found.health["db"], Health::Unknown);
        assert_eq!(found.unseen.len(), 1);
    }
    for kind in ["networks", "volumes", "images"] {
        let mut host = host(&desired, Ways::Old);
        host.networks.clear();
        host.volumes.clear();
        host.images.clear();
        host.gaps = ["networks", "volumes", "images"].map(|what| gap(what, None)).to_vec();
        assert_eq!(lines(&detect(&desired, &host)), Vec::<String>::new(), "{kind}");
    }
}

#[test]
fn moved_images_replace_and_absent_ones_are_fetched() {
    let reference = ImageRef::parse("postgres:17").unwrap();
    let moved = after(|host| {
        let mut other = image("postgres:17");
        other.id = "sha256:other".to_owned();
        host.images.insert(reference.clone(), ImageSight::Present(Box::new(other)));
    });
    assert_eq!(moved, ["db-1 image postgres:17 moved: Replace"]);
    let registry = after(|host| {
        let mut other = image("postgres:17");
        other.registry_digest = Some("sha256:new".to_owned());
        host.images.insert(reference.clone(), ImageSight::Present(Box::new(other)));
    });
    assert_eq!(
        registry,
        ["db-1 image postgres:17 moved: Replace", "db image postgres:17 moved: Create"],
    );
    let absent = after(|host| drop(host.images.insert(reference.clone(), ImageSight::Absent)));
    assert_eq!(absent, ["db image missing: Create"]);
}

#[test]
fn networks_and_volumes_are_compared_field_by_field() {
    let network = |change: fn(&mut moorline::model::NetworkSpec)| {
        after(|host| change(&mut host.networks.get_mut("shop_back").unwrap().spec))
    };
    assert_eq!(
        network(|spec| spec.internal = false),
        ["network shop_back internal changed: Replace"]
    );
    assert_eq!(
        network(|spec| spec.ipam.as_mut().unwrap().config[0].subnet = "10.8.0.0/24".into()),
        [
            "network shop_back ipam.config.10.8.0.0/24.subnet changed: Replace",
            "network shop_back ipam.config.10.9.0.0/24.subnet changed: Replace",
        ],
    );
    assert_eq!(
        after(|host| drop(host.networks.remove("shop_back"))),
        ["network shop_back missing: Create"],
    );
    assert_eq!(
        after(|host| host.volumes.get_mut("shop_data").unwrap().spec.driver = "nfs".into()),
        ["volume shop_data driver changed: Replace"],
    );
    assert_eq!(
        after(|host| {
            let other = host.volumes["shop_data"].clone();
            host.volumes.insert("shop_gone".to_owned(), other);
        }),
        ["volume shop_gone orphaned: Remove"],
    );
    assert_eq!(
        after(|host| host.volumes.get_mut("shop_data").unwrap().ownership = Ownership::Foreign),
        ["volume shop_data not made by moorline: None"],
    );
}

#[test]
fn shared_namespaces_follow_the_container_that_stands_for_the_service_now() {
    let found = after(|host| {
        edit(host, "shop-db-1", |one| one.id = id_of("another db"));
    });
    assert!(found.contains(&"side-1 network_mode changed: Replace".to_owned()), "{found:?}");
}

#[test]
fn fields_of_others_are_left_to_them() {
    let desired = wanted(Ways::Old);
    let mut host = host(&desired, Ways::Old);
    edit(&mut host, "shop-web-1", |one| {
        one.spec_mut().config_mut().labels.insert("traefik.enable".into(), "false".into());
        one.spec_mut().config_mut().labels.insert("traefik.http".into(), "x".into());
    });
    let policy =
        Policy { ignore: vec!["services.*.labels.traefik.*".to_owned()], ..Policy::default() };
    assert_eq!(drift::detect(&desired, &host, &policy).drifts, Vec::<Drift>::new());
}

#[test]
fn the_same_look_gives_the_same_bytes_in_any_order() {
    let desired = wanted(Ways::Old);
    let mut one = host(&desired, Ways::Old);
    one.containers.retain(|one| one.name != "shop-db-1");
    let mut other = one.clone();
    other.containers.reverse();
    assert_eq!(detect(&desired, &one), detect(&desired, &other));
}

#[test]
fn our_own_labels_of_the_commit_are_no_drift() {
    let desired = wanted(Ways::Old);
    let mut host = host(&desired, Ways::Old);
    for one in &mut host.containers {
        for label in
            ["moorline.revision", "com.docker.compose.config-hash", "com.docker.compose.version"]
        {
            one.spec_mut().config_mut().labels.insert(label.to_owned(), "old".to_owned());
        }
    }
    assert_eq!(lines(&detect(&desired, &host)), Vec::<String>::new());
}

#[test]
fn drift_names_the_place_that_asks() {
    let desired = wanted(Ways::Old);
    let found = detect(&desired, &Observed { engine: facts(Ways::Old), ..Observed::default() });
    assert!(found.drifts.iter().any(|one| matches!(one.resource, Resource::Volume(_))));
    assert_eq!(found.health["web"], Health::Missing);
}

/// What docker compose made of a project, seen by an Engine.
fn made_by_compose(name: &str, corpus: &std::path::Path) -> Option<(Desired, Observed)> {
    let read = |folder: &str| -> Option<Value> {
        let text = std::fs::read_to_string(corpus.join(folder).join(name)).ok()?;
        serde_json::from_str(&text.replace("@CORPUS@", "/home/me")).ok()
    };
    let model = read("dev-golden")?;
    let recorded = read("dev-api")?;
    let projects = std::fs::read_to_string(corpus.join("projects.tsv")).unwrap();
    let id = name.trim_end_matches(".json");
    let row = projects.lines().find(|row| row.split('\t').next() == Some(id)).expect(id);
    let folder = row.split('\t').nth(3).unwrap();
    let root = format!("/home/me/{folder}");
    let project = project_of(&model, &root);
    let tree = tree_of(&corpus.join(folder), "stacks/shop");
    let (desired, _) = make(&project, Some(&tree), &engine((1, 41)));
    let mut host = deployed(&desired, Ways::Old);
    for one in &mut host.containers {
        let call = recorded["containers"]
            .as_array()?
            .iter()
            .find(|call| call["name"] == one.name.as_str())?;
        let body = &call["body"];
        let mut spec = moorline::model::ContainerSpec {
            config: serde_json::from_value(body.clone()).unwrap(),
            host: serde_json::from_value(body["HostConfig"].clone()).unwrap(),
            endpoints: serde_json::from_value(body["NetworkingConfig"]["EndpointsConfig"].clone())
                .unwrap_or_default(),
            platform: String::new(),
        };
        for connect in recorded["connects"].as_array()? {
            if connect["container"] == one.name.as_str() {
                let place = serde_json::from_value(connect["endpoint"].clone()).unwrap();
                spec.endpoints.insert(connect["network"].as_str()?.to_owned(), place);
            }
        }
        let label = "com.docker.compose.project.working_dir".to_owned();
        spec.config_mut().labels.insert(label, root.clone());
        // The recording engine makes ids of its own.
        let names = ["zot", "lazytainer", "elasticsearch"];
        let _ = names;
        let mut observed = crate::support::engine_fill::inspected(
            &spec,
            &image(&spec.config.image),
            Ways::Old,
            &one.name,
        );
        let filled = observed.host_mut();
        for mode in [&mut filled.network_mode, &mut filled.ipc_mode, &mut filled.pid_mode] {
            *mode = with_ids(mode, &desired);
        }
        for from in &mut filled.volumes_from {
            *from = with_ids(from, &desired);
        }
        one.spec = Arc::new(observed);
        one.ownership = Ownership::Foreign;
        one.spec_label = None;
    }
    for network in host.networks.values_mut() {
        network.spec.labels.retain(|key, _| !key.starts_with("moorline."));
        network.ownership = Ownership::Foreign;
    }
    for volume in host.volumes.values_mut() {
        volume.spec.labels.retain(|key, _| !key.starts_with("moorline."));
        volume.ownership = Ownership::Foreign;
    }
    for sight in host.images.values_mut() {
        if let ImageSight::Present(image) = sight {
            image.config.labels.remove("moorline.build");
        }
    }
    Some((desired, host))
}

/// The recording engine's ids in ours.
fn with_ids(text: &str, desired: &Desired) -> String {
    let names = desired.services.values().flat_map(|service| service.replicas.values());
    names.fold(text.to_owned(), |text, replica| {
        let theirs = Digest::of(format!("c{}", replica.name).as_bytes());
        text.replace(theirs.as_str(), id_of(&replica.name).as_str())
    })
}

pub(crate) fn tree_of(folder: &std::path::Path, at: &str) -> moorline::model::ManifestTree {
    use moorline::model::{FileMode, ManifestTree, TreeFile, TreePath};
    let mut files = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if let Ok(bytes) = std::fs::read(&path) {
                let below = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                let file = TreeFile { mode: FileMode::Regular, bytes: bytes.into() };
                files.insert(TreePath::parse(&format!("{at}/{below}")).unwrap(), file);
            }
        }
    }
    ManifestTree::new(files)
}

#[test]
fn stacks_that_docker_compose_made_are_adopted_as_they_are() {
    let Some(corpus) = corpus() else { return };
    let policy = Policy { adopt: AdoptPolicy::Adopt, ..Policy::default() };
    let (mut all, mut quiet) = (0, 0);
    for entry in std::fs::read_dir(corpus.join("dev-api")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some((desired, host)) = made_by_compose(&name, &corpus) else { continue };
        all += 1;
        let desired = drift::settle(desired.into(), &host, &policy);
        let found = lines(&drift::detect(&desired, &host, &policy));
        if found.is_empty() {
            quiet += 1;
        } else {
            eprintln!("{name}: {found:?}");
        }
    }
    eprintln!("{quiet} of {all} stacks are adopted without a change");
    assert!(95 * all <= 100 * quiet);
}

#[test]
fn a_foreign_stack_is_left_alone_without_leave() {
    let desired = wanted(Ways::Old);
    let mut host = host(&desired, Ways::Old);
    for one in &mut host.containers {
        one.ownership = Ownership::Foreign;
    }
    let found = detect(&desired, &host);
    assert!(found.drifts.iter().all(|one| one.cure == Cure::None), "{:?}", lines(&found));
    assert!(found.drifts.iter().any(|one| one.reason == Reason::Foreign));
}

#[test]
fn a_replica_of_another_repository_is_never_touched() {
    let desired = wanted(Ways::Old);
    let replica = &desired.services["db"].replicas[&1];
    let seal = &desired.seals[&replica.replica];
    let mut one = container(replica, seal, &image("postgres:17"), Ways::Old);
    one.ownership = Ownership::OtherRepository("elsewhere".to_owned());
    let mut host = host(&desired, Ways::Old);
    host.containers.retain(|one| one.name != "shop-db-1");
    host.containers.push(one);
    let policy = Policy { adopt: AdoptPolicy::Adopt, ..Policy::default() };
    let found = drift::detect(&desired, &host, &policy);
    assert!(lines(&found).contains(&"db-1 missing: None".to_owned()), "{:?}", lines(&found));
}

#[test]
fn the_drift_table_of_the_documentation_is_the_code_s() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/DRIFT.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once("<!-- table").unwrap();
    let (mark, rest) = rest.split_once("-->\n").unwrap();
    let (table, tail) = rest.split_once("<!-- end -->").unwrap();
    let ours = format!("\n{}\n", drift::markdown());
    if std::env::var_os("UPDATE").is_some() {
        let whole = format!("{head}<!-- table{mark}-->\n{ours}<!-- end -->{tail}");
        std::fs::write(&path, whole).unwrap();
    } else {
        assert_eq!(table, ours, "run with UPDATE=1");
    }
}
