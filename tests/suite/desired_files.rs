//! What Git adds to a project: files by content, builds, jobs, replicas, digests.

use std::collections::BTreeMap;

use moorline::desired::HOST_DATA;
use moorline::model::{
    Condition, Desired, Diagnostics, EngineFacts, FileMode, ImagePolicy, ManifestTree, Replica,
    ServiceName, TreeFile, TreePath, UpdateOrder,
};
use serde_json::{Value, json};

use crate::desired::{engine, make, project_of};

const ROOT: &str = "/tree/stacks/shop";

fn tree(files: &[(&str, &str)]) -> ManifestTree {
    let files = files.iter().map(|(path, text)| {
        let file = TreeFile { mode: FileMode::Regular, bytes: text.as_bytes().into() };
        (TreePath::parse(path).unwrap(), file)
    });
    ManifestTree::new(files.collect())
}

fn shop(service: Value) -> Value {
    json!({
        "name": "shop", "networks": {"default": {"name": "shop_default", "ipam": {}}},
        "configs": {
            "file": {"name": "shop_file", "file": format!("{ROOT}/conf/app.toml")},
            "text": {"name": "shop_text", "content": "hello"},
        },
        "secrets": {"password": {"name": "shop_password", "file": format!("{ROOT}/password.txt")}},
        "services": {"web": service},
    })
}

fn with(service: Value, tree: &ManifestTree, engine: &EngineFacts) -> (Desired, Diagnostics) {
    let mut service = service;
    let map = service.as_object_mut().unwrap();
    map.entry("networks").or_insert(json!({"default": null}));
    if !map.contains_key("build") {
        map.entry("image").or_insert(json!("shop:1"));
    }
    make(&project_of(&shop(service), ROOT), Some(tree), engine)
}

fn seal(desired: &Desired) -> &str {
    &desired.seals[&web(desired).replica]
}

fn web(desired: &Desired) -> &moorline::model::DesiredReplica {
    &desired.services["web"].replicas[&1]
}

fn bind(source: &str, target: &str, read_only: bool) -> Value {
    json!({"type": "bind", "source": format!("{ROOT}/{source}"), "target": target, "read_only": read_only, "bind": {}})
}

fn errors(problems: &Diagnostics) -> Vec<String> {
    problems.0.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
}

#[test]
fn files_of_the_repository_are_mounted_by_their_content() {
    let mounts = json!({"volumes": [bind("conf/app.toml", "/app.toml", false), bind("conf", "/conf", true)]});
    let make = |text: &str| {
        let tree = tree(&[("stacks/shop/conf/app.toml", text), ("stacks/shop/conf/more", "x")]);
        with(mounts.clone(), &tree, &engine((1, 41))).0
    };
    let (one, same, other) = (make("a = 1"), make("a = 1"), make("a = 2"));
    let told = |desired: &Desired| {
        let all = web(desired).spec.host.mountings().map(|it| {
            format!("{}:{}:{}", it.source, it.target, if it.read_only { "ro" } else { "rw" })
        });
        let mut all: Vec<String> = all.collect();
        all.sort_by_key(|it| it.ends_with(":ro"));
        all
    };
    let binds = told(&one);
    assert_eq!(binds, told(&same));
    assert!(
        binds.iter().all(|bind| bind.starts_with(&format!("{HOST_DATA}/files/shop/"))),
        "{binds:?}"
    );
    assert!(
        binds[0].ends_with("/conf/app.toml:/app.toml:rw") && binds[1].ends_with("/conf:/conf:ro"),
        "{binds:?}"
    );
    for (bind, changed) in binds.iter().zip(&told(&other)) {
        assert_ne!(bind, changed);
    }
    assert_ne!(seal(&one), seal(&other));
    assert_eq!(web(&one).bundles.len(), 2);
    for (digest, bundle) in &one.bundles {
        assert!(bundle.host_path.ends_with(digest.short()) && !bundle.overlay);
        assert!(bundle.files.contains_key("conf/app.toml"), "{:?}", bundle.files.keys());
    }
}

#[test]
fn what_is_not_in_the_repository_is_state_and_keeps_its_place() {
    let mounts = json!({"volumes": [bind("data", "/data", false), bind("../shared/x", "/x", false),
        {"type": "bind", "source": "/var/run/docker.sock", "target": "/sock", "bind": {}}]});
    let mut model = mounts;
    model["volumes"][1]["source"] = json!("/tree/stacks/other/x");
    let (desired, problems) = with(model, &tree(&[]), &engine((1, 41)));
    assert!(!problems.has_errors(), "{problems:?}");
    let expected = [
        format!("{HOST_DATA}/state/shop/data:/data:rw"),
        "/var/run/docker.sock:/sock:rw".to_owned(),
        format!("{HOST_DATA}/state/shop/_parent/other/x:/x:rw"),
    ];
    assert_eq!(web(&desired).spec.host.binds, expected);
    assert!(desired.bundles.is_empty() && web(&desired).bundles.is_empty());
}

#[test]
fn a_writable_folder_with_files_from_git_keeps_its_place_and_tells_its_content() {
    let mounts = json!({"volumes": [bind("data", "/data", false)]});
    let make = |text: &str| {
        with(mounts.clone(), &tree(&[("stacks/shop/data/seed.sql", text)]), &engine((1, 41))).0
    };
    let (one, other) = (make("a"), make("b"));
    assert_eq!(web(&one).spec.host.binds, [format!("{HOST_DATA}/state/shop/data:/data:rw")]);
    assert_eq!(web(&one).spec.host.binds, web(&other).spec.host.binds);
    let label = |desired: &Desired| web(desired).spec.config.labels["moorline.files"].clone();
    assert_ne!(label(&one), label(&other));
    let bundle = one.bundles.values().next().unwrap();
    assert!(bundle.overlay && bundle.files.contains_key("seed.sql"));
    assert_eq!(bundle.host_path, format!("{HOST_DATA}/state/shop/data"));
}

#[test]
fn configs_and_secrets_are_mounts_or_uploads() {
    let service = json!({
        "configs": [{"source": "file"}, {"source": "text", "target": "/etc/text", "uid": "7", "mode": "0400"}],
        "secrets": [{"source": "password", "target": "pw"}],
    });
    let files = [("stacks/shop/conf/app.toml", "x"), ("stacks/shop/password.txt", "hunter2")];
    let (desired, problems) = with(service.clone(), &tree(&files), &engine((1, 41)));
    assert!(!problems.has_errors(), "{problems:?}");
    let mounts = &web(&desired).spec.host.mounts;
    let targets: Vec<&str> = mounts.iter().map(|mount| mount.target.as_str()).collect();
    assert_eq!(targets, ["/file", "/run/secrets/pw"]);
    assert!(mounts.iter().all(|mount| mount.read_only && mount.kind == "bind"));
    let upload = &web(&desired).uploads[0];
    assert_eq!((upload.target.as_str(), upload.mode, upload.uid), ("/etc/text", 0o400, 7));
    let (_, problems) = with(service, &tree(&[]), &engine((1, 41)));
    assert_eq!(
        errors(&problems),
        [
            "services.web.configs.0: stacks/shop/conf/app.toml is not in the repository",
            "services.web.secrets.0: stacks/shop/password.txt is not in the repository",
        ],
    );
}

#[test]
fn digests_of_secrets_are_keyed_by_the_engine() {
    let service = json!({"configs": [{"source": "text"}], "environment": {"PIN": "1234"}});
    let engines = ["one", "two"].map(|id| EngineFacts { id: id.to_owned(), ..engine((1, 41)) });
    let [one, two] = engines.map(|engine| with(service.clone(), &tree(&[]), &engine).0);
    let labels = |desired: &Desired| {
        moorline::desired::sealed((*web(desired).spec).clone(), seal(desired)).config.labels.clone()
    };
    for label in ["moorline.files", "moorline.spec", "com.docker.compose.config-hash"] {
        assert_ne!(labels(&one)[label], labels(&two)[label], "{label}");
    }
}

#[test]
fn the_specification_s_digest_stands_still_where_nothing_changes() {
    let digest = |service: Value| seal(&with(service, &tree(&[]), &engine((1, 41))).0).to_owned();
    let plain = digest(json!({}));
    assert!(plain.starts_with("v1:sha256:"), "{plain}");
    assert_eq!(plain, digest(json!({"scale": 3})));
    assert_eq!(
        plain,
        digest(json!({"deploy": {"replicas": 3, "update_config": {"order": "start-first"}}}))
    );
    assert_ne!(plain, digest(json!({"environment": {"A": "1"}})));
}

#[test]
fn replicas_that_would_clash_are_refused_or_warned_of() {
    let told = |service: Value| errors(&with(service, &tree(&[]), &engine((1, 41))).1);
    let port = |published: &str| json!([{"mode": "ingress", "target": 80, "published": published, "protocol": "tcp"}]);
    assert_eq!(
        told(json!({"scale": 2, "container_name": "one"})),
        ["services.web.container_name: 2 replicas cannot share the name one"],
    );
    // The Engine starts the first and says so of the others: the rest of the stack runs all the same.
    let shared = with(json!({"scale": 2, "ports": port("8080")}), &tree(&[]), &engine((1, 41))).1;
    assert!(!shared.has_errors(), "{shared:?}");
    assert_eq!(
        errors(&shared),
        [
            "services.web.ports.0: 2 replicas cannot share the host port 8080: one of them will start"
        ],
    );
    assert_eq!(told(json!({"scale": 2, "ports": port("8080-8090")})), Vec::<String>::new());
    assert_eq!(told(json!({"scale": 1, "ports": port("8080")})), Vec::<String>::new());
    assert_eq!(
        told(json!({"deploy": {"mode": "global", "replicas": 4}, "container_name": "one"})),
        Vec::<String>::new(),
    );
}

#[test]
fn what_an_engine_cannot_do_is_refused() {
    let old = engine((1, 41));
    let told = |service: Value, engine: &EngineFacts| errors(&with(service, &tree(&[]), engine).1);
    let image = json!({"volumes": [{"type": "image", "source": "x", "target": "/x"}]});
    assert_eq!(
        told(image.clone(), &old),
        ["services.web.volumes.0: this Engine cannot mount images"]
    );
    assert_eq!(told(image, &engine((1, 48))), Vec::<String>::new());
    let annotations = json!({"annotations": {"a": "b"}});
    assert_eq!(
        told(annotations, &old),
        ["services.web.annotations: this Engine takes no annotations"]
    );
    let provider = json!({"provider": {"type": "x"}, "image": "x"});
    assert_eq!(told(provider, &old), ["services.web.provider: provider is not supported"]);
}

#[test]
fn a_build_takes_its_context_from_the_repository() {
    let files = [
        ("stacks/shop/app/Dockerfile", "FROM scratch"),
        ("stacks/shop/app/src/main.c", "int main;"),
        ("stacks/shop/app/notes.md", "no"),
        ("stacks/shop/app/.dockerignore", "*.md\nDockerfile\n"),
        ("stacks/shop/other/Dockerfile", "FROM x"),
    ];
    let build = |dockerfile: &str| json!({"build": {"context": format!("{ROOT}/app"), "dockerfile": dockerfile, "args": {"A": "1", "NONE": null}}});
    let (desired, problems) = with(build("Dockerfile"), &tree(&files), &engine((1, 41)));
    assert!(!problems.has_errors(), "{problems:?}");
    assert_eq!(desired.services["web"].image.as_str(), "shop-web");
    let ImagePolicy::Build(spec) = &desired.services["web"].image_policy else { panic!() };
    let names: Vec<&str> = spec.context.keys().map(String::as_str).collect();
    assert_eq!(names, [".dockerignore", "Dockerfile", "src/main.c"]);
    assert_eq!(spec.args, BTreeMap::from([("A".to_owned(), "1".to_owned())]));
    let mut changed = files;
    changed[2].1 = "still no";
    let same = with(build("Dockerfile"), &tree(&changed), &engine((1, 41))).0;
    assert_eq!(same.services["web"].image_policy, desired.services["web"].image_policy);
    changed[1].1 = "int main = 1;";
    let other = with(build("Dockerfile"), &tree(&changed), &engine((1, 41))).0;
    assert_ne!(other.services["web"].image_policy, desired.services["web"].image_policy);
    let (outside, _) = with(build("../other/Dockerfile"), &tree(&files), &engine((1, 41)));
    let ImagePolicy::Build(spec) = &outside.services["web"].image_policy else { panic!() };
    assert!(spec.dockerfile.starts_with('.') && spec.context.contains_key(&spec.dockerfile));
    let remote = json!({"build": {"context": "https://example.com/x.git", "ssh": ["default"]}});
    let (elsewhere, problems) = with(remote, &tree(&files), &engine((1, 41)));
    assert_eq!(
        errors(&problems),
        [
            "services.web.build.context: the image cannot be built here: its context is not in the repository",
            "services.web.build.ssh: the image cannot be built here: the Engine's own builder takes none",
        ],
    );
    assert!(!problems.has_errors());
    assert_eq!(elsewhere.services["web"].image_policy, ImagePolicy::Never);
}

#[test]
fn pull_policies_have_their_meaning() {
    let policy = |word: &str| {
        let (desired, _) = with(json!({"pull_policy": word}), &tree(&[]), &engine((1, 41)));
        desired.services["web"].image_policy.clone()
    };
    let hours = |count: u64| ImagePolicy::PullEvery(std::time::Duration::from_secs(count * 3600));
    assert_eq!(policy(""), ImagePolicy::PullMissing);
    assert_eq!(policy("always"), ImagePolicy::PullAlways);
    assert_eq!(policy("never"), ImagePolicy::Never);
    assert_eq!(policy("daily"), hours(24));
    assert_eq!(policy("weekly"), hours(168));
    assert_eq!(policy("every_2h"), hours(2));
}

#[test]
fn services_around_each_other_know_each_other() {
    let model = json!({
        "name": "shop", "networks": {"default": {"name": "shop_default", "ipam": {}}},
        "services": {
            "db": {"image": "db", "networks": {"default": null}, "restart": "always"},
            "job": {"image": "job", "networks": {"default": null}},
            "side": {"image": "side", "network_mode": "service:db", "volumes_from": ["db:ro"],
                "depends_on": {"job": {"condition": "service_completed_successfully", "required": true},
                    "gone": {"condition": "service_started", "required": false}},
                "deploy": {"update_config": {"order": "start-first", "parallelism": 0}}},
            "server": {"image": "s", "networks": {"default": null}, "ports": [{"mode": "ingress", "target": 80, "protocol": "tcp"}]},
        },
    });
    let (desired, problems) = make(&project_of(&model, ROOT), Some(&tree(&[])), &engine((1, 41)));
    assert!(!problems.has_errors(), "{problems:?}");
    let side = &desired.services["side"];
    let replica = &side.replicas[&1];
    assert_eq!(replica.spec.host.network_mode, "container:shop-db-1");
    assert_eq!(replica.spec.host.volumes_from, ["shop-db-1:ro"]);
    let db = Replica { service: ServiceName::parse("db").unwrap(), number: 1 };
    assert!(replica.shares.contains(&db) && replica.shares.len() == 1);
    assert_eq!(side.depends_on.len(), 1);
    let wait = &side.depends_on[&ServiceName::parse("job").unwrap()];
    assert_eq!(wait.condition, Condition::ServiceCompletedSuccessfully);
    assert_eq!((side.update.order, side.update.parallelism), (UpdateOrder::StartFirst, 0));
    let jobs: Vec<(&str, bool, bool)> = desired
        .services
        .iter()
        .map(|(name, service)| (name.as_str(), service.is_job, service.may_complete))
        .collect();
    let expected = [
        ("db", false, false),
        ("job", true, true),
        ("server", false, false),
        ("side", false, true),
    ];
    assert_eq!(jobs, expected);
}
