//! The settings file, the fleet file, and the documents that list their keys.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use moorline::config::fleet_file::{self, FLEET_KEYS, HostSelector, Surroundings, Wave};
use moorline::config::settings::{
    self, DockerVariables, Overrides, ReportTo, SETTINGS_KEYS, Settings,
};
use moorline::config::{Endpoint, Fleet, Key};
use moorline::model::{
    AdoptPolicy, DriftPolicy, ForgeKind, HostName, Policy, RepositoryName, StackName, SyncPolicy,
    TreePath,
};

fn settings_of(text: &str) -> Result<Settings, String> {
    settings::parse("moorline.yaml", text.as_bytes(), Path::new("/etc/moorline"))
        .map(|(settings, _)| settings)
        .map_err(|problems| joined(&problems))
}

fn settings_warnings(text: &str) -> String {
    let read = settings::parse("moorline.yaml", text.as_bytes(), Path::new("/etc/moorline"));
    joined(&read.unwrap().1)
}

fn fleet_of(text: &str) -> Result<Fleet, String> {
    fleet_file::parse("fleet.yaml", text.as_bytes(), Surroundings::default())
        .map(|(fleet, _)| fleet)
        .map_err(|problems| joined(&problems))
}

fn joined(problems: &moorline::model::Diagnostics) -> String {
    problems.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn paths(texts: &[&str]) -> BTreeSet<TreePath> {
    texts.iter().map(|text| TreePath::parse(text).unwrap()).collect()
}

fn hosts(texts: &[(&str, &str)]) -> BTreeMap<HostName, settings::Labels> {
    texts
        .iter()
        .map(|(name, zone)| {
            let labels = BTreeMap::from([("zone".to_owned(), (*zone).to_owned())]);
            (HostName::parse(name).unwrap(), labels)
        })
        .collect()
}

fn stack_name(text: &str) -> StackName {
    StackName::parse(text).unwrap()
}

const CONTRACT_SETTINGS: &str = "
repositories:
  fleet:
    url: https://git.example.com/acme/fleet.git     # https, ssh, git or a local path
    branch: main
    path: .
    interval: 60s
    credentials: {token_file: /run/secrets/token}
    forge: {kind: gitea, api: https://git.example.com}
hosts:
  local:  {engine: unix:///var/run/docker.sock, labels: {zone: a}}
  edge-1: {engine: ssh://deploy@edge-1.example.com, labels: {zone: b}}
  core:   {engine: tcp://core.example.com:2376, tls: {ca: ca.pem, cert: cert.pem, key: key.pem}}
limits: {parallel_steps: 8, step: 5m, progress: 10m}
listen: 127.0.0.1:7420
data: /var/lib/moorline
";

const CONTRACT_FLEET: &str = "
stacks:
  shop:
    path: stacks/shop
    files: [compose.yaml, compose.prod.yaml]
    profiles: [web]
    environment: {TAG: \"1.4.2\", PORT: 8080, DEBUG: false}
    hosts: [edge-1, edge-2]
    after: [database]
    sync: auto
    drift: correct
    ignore: [\"services.*.labels.traefik.*\"]
    prune: {services: true, networks: true, volumes: false}
    adopt: false
  database: {hosts: {zone: a}}
waves: [[edge-1], {zone: a}, rest]
windows:
  - {allow: \"0 22 * * 1-5\", for: 4h, zone: Europe/Berlin, stacks: [shop]}
defaults: {drift: report, prune: {volumes: true}}
";

#[test]
fn an_empty_settings_file_means_the_defaults() {
    for text in ["", "# nothing\n", "{}", "repositories:\nhosts: {}\nlimits:\n"] {
        assert_eq!(settings_of(text).unwrap(), Settings::default(), "{text:?}");
    }
    let local = Settings::default();
    let host = local.hosts.first_key_value().unwrap();
    assert_eq!((host.0.as_str(), &host.1.engine), ("local", &Endpoint::local()));
}

#[test]
fn the_settings_file_of_the_contract_is_read() {
    let settings = settings_of(CONTRACT_SETTINGS).unwrap();
    let repository = settings.repositories.get("fleet").unwrap();
    assert_eq!(repository.url.to_string(), "https://git.example.com/acme/fleet.git");
    assert_eq!(repository.branch.as_deref(), Some("main"));
    assert_eq!(repository.forge.kind, Some(ReportTo::Forge(ForgeKind::Gitea)));
    assert_eq!(repository.forge.project, "acme/fleet");
    // The forge takes the repository's token unless it has its own.
    assert_eq!(repository.forge.token_file.as_deref(), Some(Path::new("/run/secrets/token")));
    assert_eq!(settings.hosts.len(), 3);
    let core = settings.hosts.get("core").unwrap();
    assert_eq!(core.tls.ca_file.as_deref(), Some(Path::new("/etc/moorline/ca.pem")));
    assert_eq!(settings.hosts.get("edge-1").unwrap().labels.get("zone").unwrap(), "b");
    assert_eq!(settings_warnings(CONTRACT_SETTINGS), "");
}

#[test]
fn the_fleet_file_of_the_contract_is_read() {
    let fleet = fleet_of(CONTRACT_FLEET).unwrap();
    let shop = fleet.stacks.get("shop").unwrap();
    assert_eq!(shop.path.as_str(), "stacks/shop");
    let files: Vec<&str> = shop.files.iter().map(TreePath::as_str).collect();
    assert_eq!(files, ["stacks/shop/compose.yaml", "stacks/shop/compose.prod.yaml"]);
    let environment: Vec<String> =
        shop.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(environment, ["DEBUG=false", "PORT=8080", "TAG=1.4.2"]);
    assert_eq!(shop.after, BTreeSet::from([stack_name("database")]));
    assert_eq!((shop.sync, shop.drift), (SyncPolicy::Auto, DriftPolicy::Correct));
    assert!(!shop.prune.volumes);
    let database = fleet.stacks.get("database").unwrap();
    assert_eq!(database.path.as_str(), "database");
    assert_eq!(database.drift, DriftPolicy::Report);
    assert!(database.prune.volumes && database.prune.services);
    assert_eq!(fleet.waves.len(), 3);
    assert_eq!(fleet.waves.last(), Some(&Wave::Rest));
    assert_eq!(fleet.windows.len(), 1);
}

#[test]
fn a_stack_maps_to_a_policy_with_the_limits_of_the_settings() {
    let text = "stacks: {shop: {sync: manual, drift: report, adopt: true, prune: {networks: false}, ignore: [a]}}";
    let fleet = fleet_of(text).unwrap();
    let settings = settings_of("limits: {parallel_steps: 2, step: 1m, progress: 90s}").unwrap();
    let policy = fleet.stacks.get("shop").unwrap().policy(&settings.limits);
    assert_eq!(
        policy,
        Policy {
            sync: SyncPolicy::Manual,
            drift: DriftPolicy::Report,
            ignore: vec!["a".to_owned()],
            prune: moorline::model::PrunePolicy { networks: false, ..Default::default() },
            adopt: AdoptPolicy::Adopt,
            parallel_steps: 2,
            step_limit: Duration::from_mins(1),
            progress_limit: Duration::from_secs(90),
            watch: Duration::from_secs(2),
        }
    );
    let plain = fleet_of("stacks: {shop: }").unwrap();
    let limits = Settings::default().limits;
    assert_eq!(plain.stacks.get("shop").unwrap().policy(&limits), Policy::default());
}

#[test]
fn every_problem_of_a_settings_file_is_told_at_once_with_its_place_and_the_nearest_name() {
    let text = "\
repositories:
  fleet:
    ulr: https://git.example.com/acme/fleet.git
    interval: 60
    branch: a..b
    forge: {kind: gitee}
  -bad: {url: /srv/git}
hosts:
  edge: {engine: edge-1.example.com, ssh: {key: x}}
  core: {engine: tcp://core:2376, tls: {cert: cert.pem}}
  all: {engine: unix:///a}
limits: {parallel_steps: 0, step: [5m], progres: 10m}
listen: 7420
data: ~/moorline
colour: true
";
    assert_eq!(
        settings_of(text).unwrap_err(),
        "\
moorline.yaml:3:5: error: repositories.fleet.ulr: unknown attribute \"ulr\"
  help: did you mean \"url\"?
moorline.yaml:3:5: error: repositories.fleet.url: missing: where the repository is
  help: add `url: https://…`
moorline.yaml:4:15: error: repositories.fleet.interval: expected a duration such as `60s`, `5m` or `1h30m`, found a number `60`
moorline.yaml:5:13: error: repositories.fleet.branch: \"a..b\" is not a valid branch name: as `git check-ref-format --branch` accepts it, such as `main`
moorline.yaml:6:19: error: repositories.fleet.forge.kind: expected one of github, gitlab, gitea, forgejo, bitbucket, azure, azure-devops, notes, none
  help: did you mean \"gitea\"?
moorline.yaml:7:3: error: -bad: \"-bad\" is not a valid repository name: letters, digits, `.`, `_` and `-`, beginning with a letter or digit
moorline.yaml:9:18: error: hosts.edge.engine: \"edge-1.example.com\" is not a valid engine endpoint: `unix:///var/run/docker.sock`, `tcp://host:2376` or `ssh://user@host`
moorline.yaml:9:44: error: hosts.edge.ssh.key: unknown attribute \"key\"
  help: known here: agent, key_file, known_hosts_file, passphrase_file
moorline.yaml:10:40: error: hosts.core.tls.ca: missing: TLS takes `ca`, `cert` and `key`
moorline.yaml:10:40: error: hosts.core.tls.key: missing: TLS takes `ca`, `cert` and `key`
moorline.yaml:11:3: error: all: this word means hosts in the fleet file: choose another
moorline.yaml:12:26: error: limits.parallel_steps: expected a whole number of at least 1, found a number `0`
moorline.yaml:12:35: error: limits.step: expected a duration such as `60s`, `5m` or `1h30m`, found a list
moorline.yaml:12:41: error: limits.progres: unknown attribute \"progres\"
  help: did you mean \"progress\"?
moorline.yaml:13:9: error: listen: expected an address and port such as `127.0.0.1:7420`, or `none`, found a number `7420`
moorline.yaml:14:7: error: data: expected a path
  help: `~` is the shell's: write the path in full
moorline.yaml:15:1: error: colour: unknown attribute \"colour\"
  help: known here: data, hosts, limits, listen, readable, registries, repositories, secrets, variables"
    );
}

#[test]
fn transports_and_their_settings_must_agree() {
    let refused = settings_of(
        "hosts: {a: {engine: unix:///a, tls: {ca: x, cert: x, key: x}}, b: {engine: tcp://b, tls: {ca: x, cert: x, key: x}, ssh: {agent: true}}}",
    );
    assert_eq!(
        refused.unwrap_err(),
        "moorline.yaml:1:37: error: hosts.a.tls: has no meaning for unix:///a\n\
         moorline.yaml:1:121: error: hosts.b.ssh: has no meaning for tcp://b"
    );
    let twice = settings_of("hosts: {a: {engine: unix:///a}, b: {engine: unix:///a}}");
    assert!(twice.unwrap_err().contains("is the Engine of host a too"));
    let plain = settings_warnings("hosts: {a: {engine: tcp://core:2375}}");
    assert!(plain.contains("warning: hosts.a.engine: tcp://core:2375 is reached without TLS"));
}

#[test]
fn credentials_in_an_address_are_refused_and_not_repeated() {
    for url in ["https://me:hunter2@example.com/a", "ftp://me:hunter2@example.com/a"] {
        let refused = settings_of(&format!("repositories: {{a: {{url: \"{url}\"}}}}")).unwrap_err();
        assert!(!refused.contains("hunter2"), "{refused}");
        let flags = Overrides { repository: Some(url.to_owned()), ..Overrides::default() };
        let refused = joined(&Settings::default().with(&flags).unwrap_err());
        assert!(!refused.contains("hunter2"), "{refused}");
    }
}

#[test]
fn every_problem_of_a_fleet_file_is_told_at_once_with_its_place_and_the_nearest_name() {
    let text = "\
stacks:
  Shop: {}
  web:
    path: apps/wbe
    files: [compose.prd.yaml, ../../outside.yaml]
    hosts: [edge1, {zone: c}, {}]
    after: [databse]
    sync: automatic
    prune: true
    suspend: {until: tomorrow}
  database:
    path: apps/empty
    hosts: [a b]
  lonely: {path: apps/web}
waves: rest
windows:
  - {allow: 0 25 * * *, for: 30s, stacks: [wep]}
  - {deny: 0 2 * * *, for: 1h, zone: Europe/Atlantis}
  - {for: 1h}
";
    let tree = paths(&["apps/web/compose.yaml", "apps/web/compose.prod.yaml", "apps/empty/readme"]);
    let known = hosts(&[("edge-1", "a"), ("edge-2", "b")]);
    let around = Surroundings { paths: Some(&tree), hosts: Some(&known) };
    let problems = fleet_file::parse("fleet.yaml", text.as_bytes(), around).unwrap_err();
    assert_eq!(
        joined(&problems),
        "\
fleet.yaml:2:3: error: stacks.Shop: \"Shop\" is not a valid stack name: lower-case letters, digits, `-` and `_`, beginning with a letter or digit
fleet.yaml:4:11: error: stacks.web.path: there is no folder apps/wbe
  help: did you mean \"apps/web\"?
fleet.yaml:5:13: error: stacks.web.files: there is no file apps/wbe/compose.prd.yaml
fleet.yaml:5:31: error: stacks.web.files: there is no file outside.yaml
fleet.yaml:6:13: error: stacks.web.hosts: the settings have no host edge1
  help: did you mean \"edge-1\"?
fleet.yaml:6:20: warning: stacks.web.hosts: no host has the labels zone: c
fleet.yaml:6:31: error: stacks.web.hosts: expected at least one label
  help: every host is `all`
fleet.yaml:7:13: error: stacks.web.after: there is no stack databse
  help: did you mean \"database\"?
fleet.yaml:8:11: error: stacks.web.sync: expected one of auto, manual
fleet.yaml:9:12: error: stacks.web.prune: expected a mapping, found a boolean `true`
fleet.yaml:10:14: error: stacks.web.suspend.reason: missing: why the stack is suspended
fleet.yaml:10:22: error: stacks.web.suspend.until: expected an instant such as `2026-12-24T18:00:00Z`, found \"tomorrow\"
fleet.yaml:12:11: error: stacks.database.path: there is no Compose file in apps/empty
  help: expected one of compose.yaml, compose.yml, docker-compose.yaml, docker-compose.yml, or say `files`
fleet.yaml:13:13: error: stacks.database.hosts: \"a b\" is not a valid host name: letters, digits, `.`, `_` and `-`, beginning with a letter or digit
fleet.yaml:14:3: error: stacks.lonely.hosts: missing: there are 2 hosts to choose from
  help: add `hosts: [edge-1, edge-2]`, labels, or `hosts: all`
fleet.yaml:15:8: error: waves: expected a list of waves such as `[[edge-1], {zone: a}, rest]`, found \"rest\"
fleet.yaml:17:13: error: windows.0.allow: \"0 25 * * *\" is not a cron expression: component error: number out of bounds
fleet.yaml:17:30: error: windows.0.for: must be at least 1m
fleet.yaml:17:44: error: windows.0.stacks: there is no stack wep
  help: did you mean \"web\"?
fleet.yaml:18:38: error: windows.1.zone: \"Europe/Atlantis\" is not a time zone
fleet.yaml:19:5: error: windows.2: expected either `allow` or `deny` with a cron expression"
    );
}

#[test]
fn a_fleet_file_without_stacks_is_refused_and_one_with_none_is_empty() {
    assert!(fleet_of("").unwrap_err().contains("a fleet file names its stacks"));
    assert!(fleet_of("stacks: {}").unwrap().stacks.is_empty());
}

#[test]
fn stacks_that_wait_for_each_other_are_refused_with_the_circle() {
    let circle =
        fleet_of("stacks:\n  a: {after: [b]}\n  b: {after: [c]}\n  c: {after: [b]}\n  d: {}\n");
    assert_eq!(
        circle.unwrap_err(),
        "fleet.yaml:3:3: error: stacks: stacks wait for each other: b after c after b"
    );
    let itself = fleet_of("stacks:\n  a: {after: [a]}\n");
    assert!(itself.unwrap_err().contains("a after a"));
    let chain = fleet_of("stacks: {a: {after: [b, c]}, b: {after: [c]}, c: {}}");
    assert_eq!(chain.unwrap().stacks.len(), 3);
}

#[test]
fn labels_that_no_host_has_are_a_warning_and_the_others_still_count() {
    let known = hosts(&[("a", "x"), ("b", "y")]);
    let around = Surroundings { paths: None, hosts: Some(&known) };
    let text = "stacks: {shop: {hosts: [{zone: z}, {zone: [x, w]}]}}";
    let (fleet, problems) = fleet_file::parse("fleet.yaml", text.as_bytes(), around).unwrap();
    assert_eq!(
        joined(&problems),
        "fleet.yaml:1:25: warning: stacks.shop.hosts: no host has the labels zone: z"
    );
    let chosen = fleet.stacks.get("shop").unwrap().hosts.select(&known);
    assert_eq!(chosen, BTreeSet::from([HostName::parse("a").unwrap()]));
}

#[test]
fn without_a_fleet_file_every_folder_with_a_compose_file_is_a_stack() {
    let tree = paths(&[
        "compose.yaml",
        "shop/compose.yaml",
        "shop/compose.override.yaml",
        "shop/src/main.rs",
        "home/media/docker-compose.yml",
        "My App/compose.yml",
        ".github/compose.yaml",
        "docs/readme.md",
    ]);
    let repository = RepositoryName::parse("fleet").unwrap();
    let (fleet, problems) = fleet_file::discover(&tree, &repository);
    let found: Vec<String> =
        fleet.stacks.values().map(|stack| format!("{} in {}", stack.name, stack.path)).collect();
    assert_eq!(found, ["fleet in .", "media in home/media", "myapp in My App", "shop in shop"]);
    assert_eq!(
        joined(&problems),
        "My App: warning: is not a valid stack name: the stack is called myapp"
    );
    assert!(fleet.stacks.values().all(|stack| stack.hosts == HostSelector::Unsaid));
}

#[test]
fn two_folders_of_one_name_are_no_stack_and_an_error() {
    let tree =
        paths(&["a/web/compose.yaml", "b/web/compose.yaml", "c/compose.yaml", "-/compose.yaml"]);
    let (fleet, problems) = fleet_file::discover(&tree, &RepositoryName::parse("fleet").unwrap());
    assert_eq!(fleet.stacks.len(), 1);
    assert_eq!(
        joined(&problems),
        "-: error: no stack name is left of this folder's name\n  help: rename the folder, or name the stack in fleet.yaml\n\
         b/web: error: 2 folders are stacks called web: a/web, b/web\n  help: rename one, or list the stacks in fleet.yaml"
    );
}

#[test]
fn flags_make_settings_without_a_file() {
    let flags = Overrides {
        repository: Some("./fleet.git".to_owned()),
        branch: Some("main".to_owned()),
        interval: Some("5s".to_owned()),
        hosts: vec!["edge=ssh://deploy@edge".to_owned()],
        data: Some("state".into()),
        listen: Some("none".to_owned()),
        folder: "/home/op".into(),
        ..Overrides::default()
    };
    let settings = Settings::default().with(&flags).unwrap();
    let (name, repository) = settings.repositories.first_key_value().unwrap();
    assert_eq!(name.as_str(), "fleet");
    assert_eq!(repository.url.to_string(), "/home/op/fleet.git");
    assert_eq!(repository.interval, Duration::from_secs(5));
    let names: Vec<&str> = settings.hosts.keys().map(HostName::as_str).collect();
    assert_eq!(names, ["edge"]);
    assert_eq!(settings.data, Path::new("/home/op/state"));
    assert_eq!(settings.listen, None);
}

#[test]
fn flags_choose_among_what_the_file_says() {
    let settings = settings_of(CONTRACT_SETTINGS).unwrap();
    let flags = Overrides {
        repository: Some("https://git.example.com/acme/fleet.git".to_owned()),
        branch: Some("next".to_owned()),
        hosts: vec!["core=tcp://other:2376".to_owned()],
        ..Overrides::default()
    };
    let settings = settings.with(&flags).unwrap();
    let repository = settings.repositories.get("fleet").unwrap();
    assert_eq!(repository.branch.as_deref(), Some("next"));
    assert!(repository.credentials.token_file.is_some());
    assert_eq!(settings.hosts.len(), 3);
    let core = settings.hosts.get("core").unwrap();
    assert_eq!(core.engine.to_string(), "tcp://other:2376");
    assert!(core.tls.is_used());
}

#[test]
fn dockers_own_variables_say_where_the_default_host_is_and_nothing_else() {
    let docker = DockerVariables {
        host: Some("tcp://127.0.0.1:2376".to_owned()),
        certificates: Some("/home/op/.docker".into()),
    };
    let flags = Overrides { docker, ..Overrides::default() };
    let local = |settings: Settings| settings.hosts.get("local").cloned();
    let host = local(Settings::default().with(&flags).unwrap()).unwrap();
    assert_eq!(host.engine.to_string(), "tcp://127.0.0.1:2376");
    assert_eq!(host.tls.key_file.as_deref(), Some(Path::new("/home/op/.docker/key.pem")));

    let said = settings_of("hosts: {local: {engine: \"unix:///var/run/docker.sock\"}}").unwrap();
    let host = local(said.with(&flags).unwrap()).unwrap();
    assert_eq!(host.engine, Endpoint::local(), "a host that the file names stays where it is");

    let named = Overrides { hosts: vec!["edge=unix:///e.sock".to_owned()], ..flags };
    assert_eq!(local(Settings::default().with(&named).unwrap()), None);
}

#[test]
fn every_wrong_flag_is_told_at_once() {
    let flags = Overrides {
        repository: Some("https://example.com/a".to_owned()),
        interval: Some("60".to_owned()),
        branch: Some("-x".to_owned()),
        hosts: vec!["local".to_owned()],
        listen: Some("here".to_owned()),
        ..Overrides::default()
    };
    let problems = Settings::default().with(&flags).unwrap_err();
    let flags: Vec<&str> =
        problems.0.iter().map(|problem| problem.location.file.as_str()).collect();
    assert_eq!(flags, ["--host", "--listen", "--interval", "--branch and --path"]);
}

/// The YAML text that says one key of the table, and what else its place needs.
fn with_key(key: &Key, value: &str) -> String {
    let path = key.path.replace("NAME", "name");
    let mut tree = serde_yaml::Value::Null;
    for needed in needed_beside(key.path) {
        put(&mut tree, needed.0, needed.1);
    }
    put(&mut tree, &path, value);
    serde_yaml::to_string(&tree).unwrap()
}

fn needed_beside(path: &str) -> Vec<(&'static str, &'static str)> {
    let mut needed = Vec::new();
    if path.starts_with("repositories.") {
        needed.push(("repositories.name.url", "https://git.example.com/a/b.git"));
    }
    if path.starts_with("hosts.") {
        let endpoint = if path.contains(".tls.") { "tcp://a" } else { "unix:///a" };
        let endpoint = if path.contains(".ssh.") { "ssh://a" } else { endpoint };
        needed.push(("hosts.name.engine", endpoint));
    }
    for (part, other, value) in [
        ("tls.ca", "hosts.name.tls.cert", "c"),
        ("tls.ca", "hosts.name.tls.key", "k"),
        ("tls.cert", "hosts.name.tls.ca", "a"),
        ("tls.cert", "hosts.name.tls.key", "k"),
        ("tls.key", "hosts.name.tls.ca", "a"),
        ("tls.key", "hosts.name.tls.cert", "c"),
        ("app.id", "repositories.name.forge.app.key_file", "k"),
        ("app.installation", "repositories.name.forge.app.key_file", "k"),
        ("app.installation", "repositories.name.forge.app.id", "1"),
        ("app.key_file", "repositories.name.forge.app.id", "1"),
        ("suspend.until", "stacks.name.suspend.reason", "why"),
        ("[].stacks", "variables[].file", "a.env"),
    ] {
        if path.ends_with(part) && path.starts_with(other.split('.').next().unwrap()) {
            needed.push((other, value));
        }
    }
    if !path.starts_with("repositories.") && !path.starts_with("hosts.") {
        needed.extend(window_needs(path));
    }
    needed
}

fn window_needs(path: &str) -> Vec<(&'static str, &'static str)> {
    let (allow, length) = if path.starts_with("stacks.NAME.windows[]") {
        ("stacks.name.windows[].allow", "stacks.name.windows[].for")
    } else if path.starts_with("windows[]") {
        ("windows[].allow", "windows[].for")
    } else {
        return Vec::new();
    };
    let mut needed = vec![(length, "1h")];
    if !["allow", "deny"].contains(&last_part(path)) {
        needed.push((allow, "0 1 * * *"));
    }
    needed
}

fn put(tree: &mut serde_yaml::Value, path: &str, value: &str) {
    use serde_yaml::{Mapping, Value};
    let (part, rest) = path.split_once('.').map_or((path, None), |(part, rest)| (part, Some(rest)));
    let (key, is_list) = part.strip_suffix("[]").map_or((part, false), |key| (key, true));
    if tree.is_null() {
        *tree = Value::Mapping(Mapping::new());
    }
    let map = tree.as_mapping_mut().unwrap();
    let slot = map.entry(Value::from(key)).or_insert(Value::Null);
    let slot = if is_list {
        if slot.is_null() {
            *slot = Value::Sequence(vec![Value::Null]);
        }
        &mut slot.as_sequence_mut().unwrap()[0]
    } else {
        slot
    };
    match rest {
        Some(rest) => put(slot, rest, value),
        None => *slot = serde_yaml::from_str(value).unwrap_or_else(|_| Value::from(value)),
    }
}

#[test]
fn every_documented_key_of_the_settings_is_read_and_its_default_is_what_is_said() {
    for key in SETTINGS_KEYS.iter().copied().flatten() {
        let without = without_key(key, |text| settings_of(text).unwrap());
        let text = with_key(key, key.example);
        let with = settings_of(&text).unwrap_or_else(|problem| panic!("{text}\n{problem}"));
        assert_ne!(with, without, "{}: its example changes nothing\n{text}", key.path);
        if is_literal(key) {
            let text = with_key(key, key.default);
            assert_eq!(settings_of(&text).unwrap(), without, "{}", key.path);
        }
    }
}

#[test]
fn every_documented_key_of_the_fleet_file_is_read_and_its_default_is_what_is_said() {
    let beside = "\nstacks: {name: {}, shop: {}, database: {}}";
    let read = |text: &str| {
        let mut tree: serde_yaml::Value = serde_yaml::from_str(text).unwrap();
        for name in ["name", "shop", "database", "edge-x"] {
            let stacks = tree.as_mapping_mut().unwrap();
            let stacks = stacks
                .entry("stacks".into())
                .or_insert_with(|| serde_yaml::Value::Mapping(serde_yaml::Mapping::new()));
            let stacks = stacks.as_mapping_mut().unwrap();
            stacks.entry(name.into()).or_insert(serde_yaml::Value::Null);
        }
        let text = serde_yaml::to_string(&tree).unwrap();
        let mut fleet = fleet_of(&text).unwrap_or_else(|problem| panic!("{text}\n{problem}"));
        // Where it stands is not what it says.
        for stack in fleet.stacks.values_mut() {
            stack.origin = moorline::model::Location::file("fleet.yaml");
        }
        fleet
    };
    assert_eq!(read(beside).stacks.len(), 4);
    for key in FLEET_KEYS.iter().copied().flatten() {
        let without = without_key(key, read);
        let text = with_key(key, key.example);
        assert_ne!(read(&text), without, "{}: its example changes nothing\n{text}", key.path);
        if is_literal(key) {
            assert_eq!(read(&with_key(key, key.default)), without, "{}", key.path);
        }
    }
}

fn without_key<T>(key: &Key, read: impl Fn(&str) -> T) -> T {
    let mut tree = serde_yaml::Value::Null;
    for (path, value) in needed_beside(key.path) {
        // A pair of which one alone is refused is left out whole.
        if !["tls.", "app.", "suspend."].iter().any(|part| path.contains(part)) {
            put(&mut tree, path, value);
        }
    }
    if tree.is_null() {
        tree = serde_yaml::Value::Mapping(serde_yaml::Mapping::new());
    }
    if ["allow", "deny"].contains(&last_part(key.path)) {
        tree = serde_yaml::Value::Mapping(serde_yaml::Mapping::new());
    }
    read(&serde_yaml::to_string(&tree).unwrap())
}

fn last_part(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// Whether the default is said as it would be written.
fn is_literal(key: &Key) -> bool {
    let literal_shapes = ["duration", "size", "number", "boolean", "whole number", "time zone"];
    let is_words = key.default.contains(' ') || key.default == "required" || key.default == "none";
    (literal_shapes.contains(&key.shape)
        || key.shape.starts_with("one of")
        || key.default.contains('/'))
        && !is_words
        && !key.default.contains('`')
        && last_part(key.path) != "for"
}

fn table(keys: &[&[Key]]) -> String {
    let mut text =
        String::from("| key | value | default | example | meaning |\n|---|---|---|---|---|\n");
    for key in keys.iter().copied().flatten() {
        let escaped = |cell: &str| cell.replace('|', "\\|");
        writeln!(
            text,
            "| `{}` | {} | {} | `{}` | {} |",
            key.path,
            escaped(key.shape),
            escaped(key.default),
            escaped(key.example),
            escaped(key.says)
        )
        .unwrap();
    }
    text
}

/// `UPDATE=1 cargo test` writes the tables anew.
#[test]
fn the_document_of_settings_lists_exactly_the_keys_that_are_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/SETTINGS.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let mut expected = document.clone();
    for (name, keys) in [("settings", SETTINGS_KEYS), ("fleet", FLEET_KEYS)] {
        let (begin, end) = (format!("<!-- keys: {name} -->\n"), "<!-- end -->");
        let start = expected.find(&begin).expect("a marker for the table") + begin.len();
        let stop = start + expected[start..].find(end).expect("a marker for its end");
        expected.replace_range(start..stop, &table(keys));
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &expected).unwrap();
    } else {
        assert!(document == expected, "run UPDATE=1 cargo test to write the tables anew");
    }
}

/// The YAML blocks of the document are files that are read without a problem.
#[test]
fn the_examples_in_the_document_of_settings_are_valid() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/SETTINGS.md");
    let document = std::fs::read_to_string(path).unwrap();
    let blocks: Vec<&str> = document
        .split("```yaml\n")
        .skip(1)
        .map(|block| block.split("```").next().unwrap())
        .collect();
    assert!(2 <= blocks.len());
    for block in blocks {
        let outcome = if block.contains("stacks:") && !block.contains("repositories:") {
            fleet_of(block).map(|_| ())
        } else {
            settings_of(block).map(|_| ())
        };
        outcome.unwrap_or_else(|problem| panic!("{block}\n{problem}"));
    }
}
