//! `docs/COMPOSE.md` against the code: what becomes of each attribute.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use moorline::compose::attributes::{self, Attribute, Status};
use moorline::drift::{self, Effect};
use moorline::model::{Diagnostic, EngineFacts, HostName, RepositoryName, Revision, Severity};
use moorline::report::Target;

use crate::support::world::load;

fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/COMPOSE.md")
}

/// Attributes below a service that have no field of their own: what a change of them comes to.
const FURTHER: &[(&str, &str)] = &[
    ("env_file", "as `environment`"),
    ("label_file", "as `labels`"),
    ("external_links", "replaced"),
    ("extends", "as what it brings"),
    ("deploy.resources.limits", "in place"),
    ("networks.*.priority", "replaced when another network becomes the first"),
    ("networks.*.interface_name", "in place"),
];

/// What a change of an attribute does to a running container.
fn effect(attribute: &Attribute, effects: &BTreeMap<&str, Effect>) -> String {
    if attribute.status != Status::Honoured {
        return String::new();
    }
    let Some(below) = attribute.path.strip_prefix("services.*.") else {
        return elsewhere(attribute.path).to_owned();
    };
    let plain = below.replace("[]", "");
    let mut at = plain.as_str();
    loop {
        if let Some((_, words)) = FURTHER.iter().find(|(path, _)| *path == at) {
            return (*words).to_owned();
        }
        match effects.get(at) {
            Some(Effect::Ignored) => return "none".to_owned(),
            Some(effect) => return effect.word().to_owned(),
            None => {}
        }
        match at.rsplit_once('.') {
            Some((above, _)) => at = above,
            // What only groups others, such as `deploy`.
            None => return String::new(),
        }
    }
}

fn elsewhere(path: &str) -> &'static str {
    match path.split(['.', '[']).next().unwrap_or_default() {
        "include" | "services" => "as what it brings",
        "name" => "another stack: `fleet.yaml` names stacks",
        "networks" => "made anew, with its containers",
        "volumes" => "reported and held",
        "configs" | "secrets" => "replaced",
        _ => "",
    }
}

fn table() -> String {
    let mut effects = BTreeMap::new();
    for row in drift::rows() {
        for name in row.compose {
            effects.entry(*name).or_insert(row.effect);
        }
    }
    let mut text = String::from(
        "| attribute | is | a change does to a running container | remark |\n|---|---|---|---|\n",
    );
    for attribute in attributes::all() {
        // Entries of a list or mapping are told with it, unless there is something to say about them.
        let is_entry = attribute.path.ends_with("[]") || attribute.path.ends_with(".*");
        if is_entry && attribute.note.is_empty() {
            continue;
        }
        let effect = effect(&attribute, &effects);
        let cells = [attribute.status.word(), effect.as_str(), attribute.note].join(" | ");
        text.push_str(&format!("| `{}` | {cells} |\n", attribute.path));
    }
    text
}

#[test]
fn the_compose_table_of_the_documentation_is_the_code_s() {
    let text = std::fs::read_to_string(document()).unwrap();
    let (head, rest) = text.split_once("<!-- table").unwrap();
    let (mark, rest) = rest.split_once("-->\n").unwrap();
    let (there, tail) = rest.split_once("<!-- end -->").unwrap();
    let ours = format!("\n{}\n", table());
    if std::env::var_os("UPDATE").is_some() {
        let whole = format!("{head}<!-- table{mark}-->\n{ours}<!-- end -->{tail}");
        std::fs::write(document(), whole).unwrap();
    } else {
        assert_eq!(there, ours, "run with UPDATE=1");
    }
}

#[test]
fn every_honoured_attribute_of_a_service_says_what_a_change_does() {
    let mut effects = BTreeMap::new();
    for row in drift::rows() {
        for name in row.compose {
            effects.entry(*name).or_insert(row.effect);
        }
    }
    let silent: Vec<&str> = attributes::all()
        .filter(|attribute| attribute.status == Status::Honoured)
        .filter(|attribute| attribute.path.starts_with("services.*."))
        .filter(|attribute| effect(attribute, &effects).is_empty())
        .map(|attribute| attribute.path)
        .collect();
    // These only hold others.
    let groups = [
        "services.*.deploy",
        "services.*.deploy.resources",
        "services.*.deploy.resources.reservations",
        "services.*.blkio_config",
        "services.*.logging",
    ];
    let unexpected: Vec<&&str> = silent.iter().filter(|path| !groups.contains(*path)).collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
}

#[test]
fn what_is_not_honoured_says_why() {
    let silent: Vec<&str> = attributes::all()
        .filter(|attribute| attribute.status != Status::Honoured && attribute.note.is_empty())
        .map(|attribute| attribute.path)
        .filter(|path| {
            !attributes::all().any(|outer| {
                let inside =
                    path.strip_prefix(outer.path).is_some_and(|rest| rest.starts_with(['.', '[']));
                inside && !outer.note.is_empty()
            })
        })
        .collect();
    assert!(silent.is_empty(), "{silent:?}");
}

/// What is said of a manifest when it is to run.
fn told(manifest: &str) -> Vec<Diagnostic> {
    let stack = load(&[("compose.yaml", manifest), ("Dockerfile", "FROM scratch")]);
    assert!(stack.project.is_some(), "{:?}", stack.problems);
    let target = Target {
        repository: RepositoryName::parse("fleet").unwrap(),
        stack: stack.stack.name.clone(),
        host: HostName::parse("local").unwrap(),
    };
    let engine = EngineFacts { platform: "linux/amd64".to_owned(), ..EngineFacts::default() };
    let revision = Revision::parse(&"0".repeat(40)).unwrap();
    stack.write(&target, &revision, "/var/lib/moorline", &engine).problems.0
}

/// A manifest with every attribute that is ignored with a warning.
const IGNORED: &str = "
services:
  any:
    build: {context: ., cache_to: [x], sbom: true, provenance: mode=max}
    credential_spec: {file: spec.json}
    pull_refresh_after: 1h
    networks: [any]
    configs: [any]
    secrets: [any]
    deploy:
      endpoint_mode: vip
      labels: {a: b}
      placement: {constraints: [node.role==manager]}
      rollback_config: {failure_action: pause, max_failure_ratio: 0.5}
      restart_policy: {condition: any, delay: 1s, window: 1m}
      resources: {reservations: {generic_resources: [{discrete_resource_spec: {kind: gpu, value: 1}}]}}
networks: {any: {ipam: {options: {a: b}}}}
configs: {any: {content: a, labels: {a: b}}}
secrets: {any: {environment: A, labels: {a: b}, driver_opts: {a: b}}}
";

#[test]
fn what_is_ignored_is_said_with_its_place() {
    let told: Vec<Diagnostic> =
        told(IGNORED).into_iter().filter(|problem| problem.severity == Severity::Warning).collect();
    let names: BTreeMap<String, &Diagnostic> =
        told.iter().map(|problem| (problem.path.replace(".any.", ".*."), problem)).collect();
    let ignored = attributes::all()
        .filter(|attribute| attribute.status == Status::Ignored && !attribute.note.is_empty());
    for attribute in ignored {
        let problem = names.get(attribute.path);
        let problem = problem.unwrap_or_else(|| panic!("{}: {names:#?}", attribute.path));
        assert_eq!(problem.location.file, "compose.yaml");
        assert!(1 < problem.location.line && problem.message.contains("ignored"), "{problem}");
    }
}

#[test]
fn what_is_refused_is_refused() {
    let web = |attribute: &str| format!("services: {{web: {{image: x, {attribute}}}}}\n");
    let with = |attribute: &str, rest: &str| format!("{}{rest}\n", web(attribute));
    let manifests = [
        ("services.web.provider", web("provider: {type: x}")),
        ("services.web.pre_start", web("pre_start: [{command: [x], per_replica: true}]")),
        ("services.web.use_api_socket", web("use_api_socket: true")),
        ("services.web.models", with("models: [m]", "models: {m: {model: x}}")),
        ("services.web.isolation", web("isolation: hyperv")),
        ("services.web.platform", web("platform: windows/amd64")),
        ("services.web.configs.0", with("configs: [c]", "configs: {c: {external: true}}")),
        ("services.web.secrets.0", with("secrets: [s]", "secrets: {s: {external: true}}")),
        (
            "services.web.secrets.0",
            with("secrets: [s]", "secrets: {s: {file: ./Dockerfile, driver: x}}"),
        ),
        (
            "services.web.configs.0",
            with("configs: [c]", "configs: {c: {content: x, template_driver: x}}"),
        ),
    ];
    for (path, manifest) in manifests {
        let told = told(&manifest);
        let refused =
            told.iter().find(|problem| problem.severity == Severity::Error && problem.path == path);
        assert!(refused.is_some_and(|problem| problem.location.line > 0), "{path}: {told:?}");
    }
}

#[test]
fn what_cannot_be_built_here_is_taken_from_elsewhere_and_told() {
    let builds = [
        ("ssh: [default]", "ssh"),
        ("privileged: true", "privileged"),
        ("entitlements: [network.host]", "entitlements"),
        ("additional_contexts: {a: ./b}", "additional_contexts"),
        ("platforms: [linux/amd64, linux/arm64]", "platforms"),
    ];
    for (text, attribute) in builds {
        let told = told(&format!("services: {{web: {{build: {{context: ., {text}}}}}}}\n"));
        let path = format!("services.web.build.{attribute}");
        assert_eq!(told.first().map(|problem| problem.path.as_str()), Some(&*path), "{told:?}");
        assert!(told.iter().all(|problem| problem.severity == Severity::Warning));
    }
}

#[test]
fn services_may_share_an_image_that_they_build_alike() {
    let service = |args: &str| format!("{{image: shared:1, build: {{context: ., args: {args}}}}}");
    let alike = format!("services: {{a: {0}, b: {0}}}\n", service("[A=1]"));
    assert!(told(&alike).is_empty());
    let other = format!("services: {{a: {}, b: {}}}\n", service("[A=1]"), service("[A=2]"));
    let said: Vec<String> = told(&other).iter().map(|problem| problem.path.clone()).collect();
    assert_eq!(said, ["services.b.build"]);
}
