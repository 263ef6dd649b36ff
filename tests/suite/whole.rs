//! What holds across the stacks of a commit: names that are shared, names that two want, and who comes first.

use std::collections::{BTreeMap, BTreeSet};

use moorline::commit::{self, LoadedStack};
use moorline::config::settings::Labels;
use moorline::config::{Stack, fleet_file};
use moorline::fleet::whole;
use moorline::model::{
    Claimed, Claims, FileMode, Given, HostName, ManifestTree, StackName, TreeFile, TreePath,
};

/// The stacks of a repository with these files, `fleet.yaml` among them.
fn stacks(files: &[(&str, &str)]) -> Vec<LoadedStack> {
    let mut tree = BTreeMap::new();
    for (path, text) in files {
        let file = TreeFile { mode: FileMode::Regular, bytes: text.as_bytes().into() };
        tree.insert(TreePath::parse(path).unwrap(), file);
    }
    let tree = ManifestTree::new(tree);
    let text = files.iter().find(|(path, _)| *path == "fleet.yaml").unwrap().1;
    let around = fleet_file::Surroundings::default();
    let (fleet, problems) = fleet_file::parse("fleet.yaml", text.as_bytes(), around).unwrap();
    assert!(problems.0.is_empty(), "{problems:?}");
    let load = |stack: &Stack| {
        let loaded = commit::load(stack, &tree, &Given::default()).0;
        assert!(!loaded.problems.has_errors(), "{:?}", loaded.problems);
        loaded
    };
    fleet.stacks.values().map(load).collect()
}

fn hosts(names: &[&str]) -> BTreeMap<HostName, Labels> {
    names.iter().map(|name| (HostName::parse(name).unwrap(), Labels::new())).collect()
}

fn claims(files: &[(&str, &str)], names: &[&str]) -> Claims {
    let loaded = stacks(files);
    whole::claims(&commit::members(&loaded, &hosts(names)))
}

/// Two stacks on one host, with these Compose files.
fn clashes_of(a: &str, b: &str) -> Vec<String> {
    let files =
        [("fleet.yaml", "stacks: {a: {}, b: {}}\n"), ("a/compose.yaml", a), ("b/compose.yaml", b)];
    whole::problems(&claims(&files, &["local"])).0.iter().map(ToString::to_string).collect()
}

/// A stack of one service with these further lines.
fn one(service: &str, lines: &[&str]) -> String {
    let mut text = format!("services:\n  {service}:\n    image: app:1\n");
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    text
}

#[test]
fn a_host_port_that_two_stacks_want_is_told_with_both_places() {
    let said = clashes_of(
        &one("w", &["    ports: [\"8080:80\"]"]),
        &one("v", &["    ports: [\"127.0.0.1:8080:80\"]"]),
    );
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("host port 8080/tcp"), "{said:?}");
    assert!(
        said[0].contains("a/compose.yaml:4") && said[0].contains("b/compose.yaml:4"),
        "{said:?}"
    );
}

#[test]
fn ports_on_different_addresses_or_protocols_are_kept_apart() {
    let port = |text: &str| one("w", &[&format!("    ports: [\"{text}\"]")]);
    let (tcp, udp) = (port("8080:80"), port("8080:80/udp"));
    let [one, other, all, six] =
        ["127.0.0.1:8080:80", "10.0.0.1:8080:80", "0.0.0.0:8080:80", "[::1]:8080:80"].map(port);
    let meets = |a: &str, b: &str| !clashes_of(a, &b.replace("  w:", "  v:")).is_empty();
    assert!(!meets(&tcp, &udp) && !meets(&one, &other) && !meets(&all, &six));
    assert!(meets(&tcp, &six) && meets(&all, &one) && meets(&one, &one) && meets(&tcp, &tcp));
    // The Engine chooses: nobody is in the way.
    assert!(
        !meets(&port("80"), &port("80")) && !meets(&port("8000-8010:80"), &port("8000-8010:80"))
    );
}

#[test]
fn container_names_addresses_and_project_names_have_one_holder() {
    let named = one("w", &["    container_name: proxy"]);
    let said = clashes_of(&named, &one("v", &["    container_name: proxy"]));
    assert!(said.len() == 1 && said[0].contains("container name proxy"), "{said:?}");
    // A name that is made up counts as one that is written.
    let said = clashes_of(&one("w", &[]), &one("v", &["    container_name: a-w-1"]));
    assert!(said.len() == 1 && said[0].contains("container name a-w-1"), "{said:?}");
    let said = clashes_of(
        &format!("name: mail\n{}", one("w", &[])),
        &format!("name: mail\n{}", one("v", &[])),
    );
    assert!(said.len() == 1 && said[0].contains("project name mail"), "{said:?}");
    let net = |service: &str| {
        one(
            service,
            &[
                "    networks: {n: {ipv4_address: 10.9.0.9}}",
                "networks: {n: {name: shared, ipam: {config: [{subnet: 10.9.0.0/24}]}}}",
            ],
        )
    };
    let said = clashes_of(&net("w"), &net("v"));
    assert!(said.len() == 1 && said[0].contains("address 10.9.0.9 in network shared"), "{said:?}");
}

#[test]
fn stacks_share_a_network_or_volume_that_they_declare_alike_and_no_other() {
    let network = |extra: &str| {
        one("w", &["    networks: [n]", &format!("networks: {{n: {{name: shared{extra}}}}}")])
    };
    let volume = |extra: &str| {
        one(
            "w",
            &["    volumes: [\"dd:/d\"]", &format!("volumes: {{dd: {{name: shared{extra}}}}}")],
        )
    };
    assert_eq!(clashes_of(&network(""), &network(", driver: bridge")), [""; 0]);
    assert_eq!(clashes_of(&network(""), &network(", external: true")), [""; 0]);
    assert_eq!(clashes_of(&volume(""), &volume("")), [""; 0]);
    let said = clashes_of(&network(""), &network(", internal: true"));
    assert!(said.len() == 1 && said[0].contains("another internal"), "{said:?}");
    let said = clashes_of(&volume(""), &volume(", driver_opts: {type: tmpfs, device: tmpfs}"));
    assert!(said.len() == 1 && said[0].contains("another driver_opts"), "{said:?}");
}

#[test]
fn stacks_on_different_hosts_are_in_nobodys_way() {
    let port = |service: &str| one(service, &["    ports: [\"8080:80\"]"]);
    let (a, b) = (port("w"), port("v"));
    let files = |fleet: &'static str| {
        [("fleet.yaml", fleet), ("a/compose.yaml", &a), ("b/compose.yaml", &b)]
    };
    let apart = "stacks: {a: {hosts: one}, b: {hosts: two}}\n";
    let met = "stacks: {a: {hosts: [one, two]}, b: {hosts: two}}\n";
    assert_eq!(claims(&files(apart), &["one", "two"]).clashes.len(), 0);
    assert_eq!(claims(&files(met), &["one", "two"]).clashes.len(), 1);
}

#[test]
fn what_is_declared_counts_whether_or_not_an_active_service_uses_it() {
    let compose = "services:
  w: {image: app:1}
  job: {image: app:1, profiles: [tools], volumes: [\"cold:/c\"]}
volumes: {cold: {}, never: {name: kept}}
";
    let files = [("fleet.yaml", "stacks: {a: {}}\n"), ("a/compose.yaml", compose)];
    let claims = claims(&files, &["local"]);
    let host = HostName::parse("local").unwrap();
    for name in ["a_cold", "kept"] {
        let holder = claims.holder(&Claimed::Volume(name.to_owned()), &host);
        assert_eq!(holder.unwrap().stack.as_str(), "a", "{name}");
    }
    assert!(claims.holder(&Claimed::Volume("a_other".to_owned()), &host).is_none());
}

#[test]
fn whoever_uses_what_another_stack_makes_comes_after_it() {
    let maker = one("w", &["networks: {n: {name: front}}", "volumes: {dd: {name: data}}"]).replace(
        "    image: app:1\n",
        "    image: app:1\n    networks: [n]\n    volumes: [\"dd:/d\"]\n",
    );
    let net = one("v", &["    networks: [front]", "networks: {front: {external: true}}"]);
    let data = one("v", &["    volumes: [\"data:/d\"]", "volumes: {data: {external: true}}"]);
    let space = one("v", &["    network_mode: container:made-w-1"]);
    let circle = one("x", &["    pid: container:made-w-1"]);
    let files = [
        ("fleet.yaml", "stacks: {a: {}, b: {}, c: {}, made: {after: [d]}, d: {}}\n"),
        ("made/compose.yaml", &maker),
        ("a/compose.yaml", &net),
        ("b/compose.yaml", &data),
        ("c/compose.yaml", &space),
        // It comes before by word: what would close a circle does not count.
        ("d/compose.yaml", &circle),
    ];
    let loaded = stacks(&files);
    let order = whole::implied(&commit::members(&loaded, &hosts(&["local"])));
    let made = BTreeSet::from([StackName::parse("made").unwrap()]);
    let after: Vec<&str> =
        order.iter().filter(|(_, first)| **first == made).map(|(name, _)| name.as_str()).collect();
    assert_eq!(after, ["a", "b", "c"]);
    assert_eq!(order.len(), 3);
}
