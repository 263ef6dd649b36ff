//! Who sits where: scenarios in `tests/placement`, and laws over many worlds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use moorline::config::quantity::{parse_size, parse_thousandths};
use moorline::fleet::placement::{
    Ask, Constraint, HostRoom, HostSight, Mode, Placement, ReplicaKey, Resources, Returning, Seat,
    ServiceKey, World, place,
};
use moorline::model::{HostName, Replica, ServiceName, StackName, Timestamp};

/// A scenario: a sentence, `--- hosts`, `--- asks`, perhaps `--- seats` and `--- volumes`, and `--- placement`.
struct Scenario {
    path: PathBuf,
    sentence: String,
    sections: BTreeMap<String, Vec<String>>,
    order: Vec<String>,
}

impl Scenario {
    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let mut parts = text.split("--- ");
        let sentence = parts.next().unwrap().trim().to_owned();
        let (mut sections, mut order) = (BTreeMap::new(), Vec::new());
        for part in parts {
            let mut lines = part.lines();
            let name = lines.next().unwrap().trim().to_owned();
            let lines: Vec<String> = lines
                .map(str::trim_end)
                .filter(|line| !line.is_empty())
                .map(str::to_owned)
                .collect();
            order.push(name.clone());
            sections.insert(name, lines);
        }
        Self { path: path.to_path_buf(), sentence, sections, order }
    }

    fn lines(&self, section: &str) -> &[String] {
        self.sections.get(section).map_or(&[], Vec::as_slice)
    }

    fn world(&self) -> World {
        let mut world = World::default();
        for line in self.lines("hosts") {
            let (name, host) = host(line);
            world.hosts.insert(name, host);
        }
        for line in self.lines("seats") {
            let words: Vec<&str> = line.split_whitespace().collect();
            let since = words.get(4).map_or(0, |text| text.parse().unwrap());
            let seat = Seat {
                host: name(words[2]),
                since: Timestamp::from_millis(since),
                is_only_made: words.last() == Some(&"made"),
            };
            world.seats.entry(replica(words[0])).or_default().insert(seat);
        }
        for line in self.lines("volumes") {
            let (volume, host) = line.split_once(" on ").unwrap();
            let (stack, volume) = volume.split_once('/').unwrap();
            let key = (StackName::parse(stack).unwrap(), volume.to_owned());
            world.volumes.entry(key).or_default().insert(name(host.trim()));
        }
        if self.lines("policy").iter().any(|line| line == "returning home") {
            world.returning = Returning::Home;
        }
        world
    }

    fn asks(&self, world: &World) -> Vec<Ask> {
        self.lines("asks").iter().map(|line| ask(line, world)).collect()
    }

    fn with_placement(&self, placement: &str) -> String {
        let mut text = format!("{}\n", self.sentence);
        for section in &self.order {
            writeln!(text, "\n--- {section}").unwrap();
            if section == "placement" {
                text.push_str(placement);
            } else {
                self.lines(section).iter().for_each(|line| writeln!(text, "{line}").unwrap());
            }
        }
        text
    }
}

fn name(text: &str) -> HostName {
    HostName::parse(text).unwrap()
}

/// `edge-1: 4 cpus 8g zone=a lost`
fn host(line: &str) -> (HostName, HostRoom) {
    let (host_name, rest) = line.split_once(':').unwrap();
    let mut host = HostRoom {
        labels: BTreeMap::new(),
        platform: "linux/amd64".to_owned(),
        capacity: Resources::UNLIMITED,
        sight: HostSight::Seen,
    };
    let mut before = "";
    for word in rest.split_whitespace() {
        match word {
            "cpus" => host.capacity.cpus = parse_thousandths(before).unwrap(),
            "memory" => host.capacity.memory = parse_size(before).unwrap(),
            "silent" => host.sight = HostSight::Silent,
            "unseen" => host.sight = HostSight::Unseen,
            "lost" => host.sight = HostSight::Lost,
            "closed" => host.sight = HostSight::Closed,
            _ => {
                if let Some((key, value)) = word.split_once('=') {
                    host.labels.insert(key.to_owned(), value.to_owned());
                }
            }
        }
        before = word;
    }
    (name(host_name), host)
}

/// `shop/web-1`
fn replica(text: &str) -> ReplicaKey {
    let (stack, rest) = text.split_once('/').unwrap();
    let (service, number) = rest.rsplit_once('-').unwrap();
    ReplicaKey {
        stack: StackName::parse(stack).unwrap(),
        replica: Replica {
            service: ServiceName::parse(service).unwrap(),
            number: number.parse().unwrap(),
        },
    }
}

/// `shop/web x3, 0.5 cpus, 1g memory, on a b, spread zone, max 2, priority 5, where node.labels.x == y, state data, beside db`
fn ask(line: &str, world: &World) -> Ask {
    let mut parts = line.split(',').map(str::trim);
    let (key, mode) = parts.next().unwrap().split_once(' ').unwrap();
    let (stack, service) = key.split_once('/').unwrap();
    let mode = match mode.strip_prefix('x') {
        Some(count) => Mode::Replicated(count.parse().unwrap()),
        None => Mode::Global,
    };
    let mut ask = Ask {
        key: ServiceKey {
            stack: StackName::parse(stack).unwrap(),
            service: ServiceName::parse(service).unwrap(),
        },
        mode,
        hosts: world.hosts.keys().cloned().collect(),
        reserved: Resources::default(),
        constraints: Vec::new(),
        spread: Vec::new(),
        max_per_host: None,
        priority: 0,
        state: BTreeSet::new(),
        exclusive: BTreeSet::new(),
        beside: None,
    };
    for part in parts {
        let (word, rest) = part.split_once(' ').unwrap();
        match word {
            "on" => ask.hosts = rest.split_whitespace().map(name).collect(),
            "spread" => ask.spread = rest.split_whitespace().map(str::to_owned).collect(),
            "max" => ask.max_per_host = Some(rest.parse().unwrap()),
            "priority" => ask.priority = rest.parse().unwrap(),
            "where" => ask.constraints.push(Constraint::parse(rest).unwrap()),
            "state" => ask.state = rest.split_whitespace().map(str::to_owned).collect(),
            "port" => ask.exclusive = BTreeSet::from([format!("port {rest}")]),
            "beside" => ask.beside = Some(ServiceName::parse(rest).unwrap()),
            amount if rest == "cpus" => ask.reserved.cpus = parse_thousandths(amount).unwrap(),
            amount if rest == "memory" => ask.reserved.memory = parse_size(amount).unwrap(),
            _ => panic!("{part:?} is no part of an ask"),
        }
    }
    ask
}

fn printed(placement: &Placement) -> String {
    let mut text = String::new();
    for (key, hosts) in &placement.seats {
        for (host, why) in hosts {
            writeln!(text, "{}/{} on {host}: {why}", key.stack, key.replica).unwrap();
        }
    }
    for waiting in &placement.waiting {
        writeln!(text, "{waiting}").unwrap();
    }
    text
}

/// `UPDATE=1 cargo test` writes the placements anew.
#[test]
fn every_placement_scenario_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/placement");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(15 <= paths.len());
    let mut failed = Vec::new();
    for path in paths {
        let scenario = Scenario::read(&path);
        let world = scenario.world();
        let found = printed(&place(&world, &scenario.asks(&world)));
        let expected = scenario.lines("placement").join("\n");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&scenario.path, scenario.with_placement(&found)).unwrap();
        } else if found.trim_end() != expected.trim_end() {
            failed.push(format!("{}\nexpected:\n{expected}\nfound:\n{found}", path.display()));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// A stream of numbers that is the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

#[derive(Clone, Copy)]
enum Priorities {
    Equal,
    Any,
}

fn random_host(numbers: &mut Numbers) -> HostRoom {
    HostRoom {
        labels: BTreeMap::from([("zone".to_owned(), format!("z{}", numbers.below(3)))]),
        platform: "linux/amd64".to_owned(),
        capacity: Resources { cpus: 1_000 * numbers.below(6), memory: numbers.below(6) << 30 },
        sight: HostSight::Seen,
    }
}

fn random_ask(numbers: &mut Numbers, world: &World, service: u64, priorities: Priorities) -> Ask {
    let mut hosts: BTreeSet<HostName> = world.hosts.keys().cloned().collect();
    if numbers.chance(30) {
        hosts.retain(|_| numbers.chance(60));
    }
    let mut ask = Ask {
        key: ServiceKey {
            stack: StackName::parse(&format!("s{}", service % 3)).unwrap(),
            service: ServiceName::parse(&format!("v{service}")).unwrap(),
        },
        mode: if numbers.chance(20) {
            Mode::Global
        } else {
            Mode::Replicated(u32::try_from(numbers.below(6)).unwrap())
        },
        hosts,
        reserved: Resources { cpus: 500 * numbers.below(4), memory: numbers.below(3) << 30 },
        constraints: Vec::new(),
        spread: Vec::new(),
        max_per_host: numbers.chance(20).then_some(2),
        priority: 0,
        state: BTreeSet::new(),
        exclusive: BTreeSet::new(),
        beside: None,
    };
    if numbers.chance(20) {
        ask.exclusive.insert(format!("port {}/tcp", numbers.below(2)));
    }
    if numbers.chance(30) {
        ask.spread.push("zone".to_owned());
    }
    if numbers.chance(20) {
        ask.constraints.push(Constraint::parse("node.labels.zone != z0").unwrap());
    }
    if numbers.chance(20) {
        ask.state.insert(format!("data{}", numbers.below(2)));
    }
    if matches!(priorities, Priorities::Any) {
        ask.priority = i32::try_from(numbers.below(3)).unwrap();
    }
    ask
}

fn random_world(seed: u64, priorities: Priorities) -> (World, Vec<Ask>) {
    let mut numbers = Numbers(seed);
    let mut world = World::default();
    for number in 0..=numbers.below(6) {
        world.hosts.insert(name(&format!("h{number}")), random_host(&mut numbers));
    }
    let services = numbers.below(6);
    let asks = (0..=services)
        .map(|service| random_ask(&mut numbers, &world, service, priorities))
        .collect();
    (world, asks)
}

/// What the world looks like when a placement was carried out.
fn carried_out(world: &World, placement: &Placement, asks: &[Ask]) -> World {
    let mut world = world.clone();
    world.seats.clear();
    for (key, hosts) in &placement.seats {
        for host in hosts.keys() {
            let seat =
                Seat { host: host.clone(), since: Timestamp::default(), is_only_made: false };
            world.seats.entry(key.clone()).or_default().insert(seat);
            let ask = asks.iter().find(|ask| ask.key.service == key.replica.service);
            for volume in ask.into_iter().flat_map(|ask| &ask.state) {
                let volume = (key.stack.clone(), volume.clone());
                world.volumes.entry(volume).or_default().insert(host.clone());
            }
        }
    }
    world
}

fn hosts_of(placement: &Placement) -> BTreeMap<ReplicaKey, BTreeSet<HostName>> {
    placement
        .seats
        .iter()
        .map(|(key, hosts)| (key.clone(), hosts.keys().cloned().collect()))
        .collect()
}

const WORLDS: u64 = 500;

#[test]
fn capacity_is_never_exceeded_and_every_rule_of_a_service_is_kept() {
    for seed in 0..WORLDS {
        let (world, asks) = random_world(seed, Priorities::Any);
        let placement = place(&world, &asks);
        let mut exclusive = BTreeSet::new();
        let mut taken: BTreeMap<&HostName, Resources> = BTreeMap::new();
        for ask in &asks {
            let mut per_host: BTreeMap<&HostName, u32> = BTreeMap::new();
            for (key, hosts) in &placement.seats {
                if key.replica.service != ask.key.service {
                    continue;
                }
                for host in hosts.keys() {
                    *per_host.entry(host).or_default() += 1;
                    let all = taken.entry(host).or_default();
                    *all = all.plus(ask.reserved);
                    for what in &ask.exclusive {
                        assert!(exclusive.insert((host, what)), "world {seed}: {what} twice");
                    }
                    assert!(ask.hosts.contains(host), "world {seed}");
                    let room = &world.hosts[host];
                    assert!(ask.constraints.iter().all(|rule| rule.allows(host, room)));
                }
            }
            let most = ask.max_per_host.unwrap_or(u32::MAX);
            assert!(per_host.values().all(|count| *count <= most), "world {seed}");
            if !ask.state.is_empty() && ask.mode != Mode::Global {
                assert!(per_host.len() <= 1, "world {seed}: one volume, two hosts");
            }
        }
        for (host, taken) in taken {
            assert!(taken.fit(world.hosts[host].capacity), "world {seed}: {host} has {taken}");
        }
    }
}

#[test]
fn every_replica_sits_once_or_waits_once() {
    for seed in 0..WORLDS {
        let (world, asks) = random_world(seed, Priorities::Any);
        let placement = place(&world, &asks);
        for ask in &asks {
            let Mode::Replicated(count) = ask.mode else { continue };
            for number in 1..=count {
                let replica = Replica { service: ask.key.service.clone(), number };
                let key = ReplicaKey { stack: ask.key.stack.clone(), replica };
                let sits = placement.seats.get(&key).map_or(0, BTreeMap::len);
                let waits =
                    placement.waiting.iter().filter(|waiting| waiting.replica == key).count();
                assert_eq!(sits + waits, 1, "world {seed}: {key:?}");
            }
        }
    }
}

#[test]
fn the_order_of_services_does_not_matter() {
    for seed in 0..WORLDS {
        let (world, mut asks) = random_world(seed, Priorities::Any);
        let placement = place(&world, &asks);
        asks.reverse();
        assert_eq!(placement, place(&world, &asks), "world {seed}");
    }
}

#[test]
fn a_placement_that_was_carried_out_moves_nobody() {
    for seed in 0..WORLDS {
        let (world, asks) = random_world(seed, Priorities::Any);
        let placement = place(&world, &asks);
        let after = carried_out(&world, &placement, &asks);
        assert_eq!(hosts_of(&placement), hosts_of(&place(&after, &asks)), "world {seed}");
    }
}

#[test]
fn a_new_host_moves_nobody() {
    for seed in 0..WORLDS {
        let (world, mut asks) = random_world(seed, Priorities::Any);
        let placement = place(&world, &asks);
        let mut after = carried_out(&world, &placement, &asks);
        after.hosts.insert(name("h99"), random_host(&mut Numbers(seed + 1)));
        for ask in &mut asks {
            ask.hosts.insert(name("h99"));
        }
        let grown = hosts_of(&place(&after, &asks));
        for (key, hosts) in hosts_of(&placement) {
            assert!(grown[&key].is_superset(&hosts), "world {seed}: {key:?}");
        }
    }
}

#[test]
fn more_replicas_move_nobody_of_their_own_priority() {
    for seed in 0..WORLDS {
        let (world, mut asks) = random_world(seed, Priorities::Equal);
        let placement = place(&world, &asks);
        let after = carried_out(&world, &placement, &asks);
        for ask in &mut asks {
            if let Mode::Replicated(count) = &mut ask.mode {
                *count += 2;
            }
        }
        let grown = hosts_of(&place(&after, &asks));
        for (key, hosts) in hosts_of(&placement) {
            assert_eq!(grown.get(&key), Some(&hosts), "world {seed}: {key:?}");
        }
    }
}

#[test]
fn a_lost_host_moves_only_its_own_replicas_and_none_with_state() {
    for seed in 0..WORLDS {
        let (world, asks) = random_world(seed, Priorities::Equal);
        let placement = place(&world, &asks);
        let mut after = carried_out(&world, &placement, &asks);
        let lost = name("h0");
        after.hosts.get_mut(&lost).unwrap().sight = HostSight::Lost;
        let moved = hosts_of(&place(&after, &asks));
        for (key, hosts) in hosts_of(&placement) {
            let ask = asks.iter().find(|ask| ask.key.service == key.replica.service).unwrap();
            let has_state = !ask.state.is_empty();
            if ask.mode == Mode::Global {
                let elsewhere: BTreeSet<HostName> =
                    hosts.iter().filter(|host| **host != lost).cloned().collect();
                assert!(
                    elsewhere.is_empty() || moved[&key].is_superset(&elsewhere),
                    "world {seed}: {key:?}"
                );
            } else if has_state || !hosts.contains(&lost) {
                assert_eq!(moved.get(&key), Some(&hosts), "world {seed}: {key:?}");
            } else if let Some(now) = moved.get(&key) {
                assert!(!now.contains(&lost), "world {seed}: {key:?}");
            }
        }
    }
}

#[test]
fn a_crowd_is_seated_as_its_members_would_be_one_after_the_other() {
    for seed in 0..WORLDS {
        let (world, asks) = random_world(seed, Priorities::Equal);
        let placement = place(&world, &asks);
        // One more at a time, each after the ones before it sit.
        let mut grown = Placement::default();
        let mut so_far = world.clone();
        let first: Vec<Ask> = asks.iter().take(1).cloned().collect();
        let most = first.iter().map(|ask| match ask.mode {
            Mode::Replicated(count) => count,
            Mode::Global => 0,
        });
        for count in 1..=most.max().unwrap_or_default() {
            let mut ask = first.clone();
            for one in &mut ask {
                one.mode = Mode::Replicated(count);
            }
            grown = place(&so_far, &ask);
            so_far = carried_out(&so_far, &grown, &ask);
        }
        if asks.len() == 1 && first.iter().all(|ask| ask.mode != Mode::Global) {
            assert_eq!(hosts_of(&placement), hosts_of(&grown), "world {seed}");
        }
    }
}

#[test]
fn silence_moves_nobody() {
    for seed in 0..WORLDS {
        let (world, asks) = random_world(seed, Priorities::Any);
        let placement = place(&world, &asks);
        let mut after = carried_out(&world, &placement, &asks);
        for host in after.hosts.values_mut() {
            host.sight = HostSight::Silent;
        }
        assert_eq!(hosts_of(&placement), hosts_of(&place(&after, &asks)), "world {seed}");
    }
}

#[test]
fn a_higher_priority_never_waits_for_room_that_a_lower_one_could_leave() {
    for seed in 0..WORLDS {
        let (world, mut asks) = random_world(seed, Priorities::Any);
        for ask in &mut asks {
            ask.state.clear();
        }
        let placement = place(&world, &asks);
        for waiting in &placement.waiting {
            let ask = asks.iter().find(|ask| ask.key.service == waiting.replica.replica.service);
            let ask = ask.unwrap();
            for (host, obstacle) in &waiting.obstacles {
                let moorline::fleet::placement::Obstacle::Full { free } = obstacle else {
                    continue;
                };
                let lower = asks.iter().filter(|other| other.priority < ask.priority);
                let could_leave = lower.fold(*free, |free, other| {
                    let on_host = placement.numbers_on(host, &other.key).len();
                    (0..on_host).fold(free, |free, _| free.plus(other.reserved))
                });
                assert!(!ask.reserved.fit(could_leave), "world {seed}: {waiting}");
            }
        }
    }
}

const MANIFEST: &str = "
services:
  web:
    image: web
    ports: [\"80:8080\", \"9000-9010:9000\", \"53:53/udp\"]
    volumes: [\"./static:/static\", \"./uploads:/uploads\", \"/etc/localtime:/etc/localtime\", \"media:/media\"]
    deploy:
      replicas: 3
      resources: {reservations: {cpus: \"0.25\", memory: 64m}}
      placement:
        constraints: [node.labels.zone == a, node.colour == red]
        preferences: [{spread: node.labels.zone}]
        max_replicas_per_node: 2
  db:
    image: db
    container_name: the-db
    mem_reservation: 1g
    volumes: [\"data:/var/lib/db\", \"shared:/shared\", \"/srv/db:/backup\"]
  agent: {image: agent, deploy: {mode: global}}
  sidecar: {image: side, network_mode: \"service:db\"}
volumes:
  data: {}
  media: {driver: sshfs}
  shared: {driver_opts: {type: nfs, o: addr=nas, device: \":/x\"}}
";

#[test]
fn manifests_ask_for_room_volumes_ports_and_company() {
    use moorline::compose::{LoadPurpose, LoadRequest, Lookup, TREE_ROOT, TreeFiles, load};
    use moorline::config::Stack;
    use moorline::fleet::placement::asks;
    use moorline::model::{FileMode, Location, ManifestTree, TreeFile, TreePath};

    let file = |path: &str, text: &str| {
        let bytes = text.as_bytes().into();
        (TreePath::parse(path).unwrap(), TreeFile { mode: FileMode::Regular, bytes })
    };
    let tree = ManifestTree::new(BTreeMap::from([
        file("shop/compose.yaml", MANIFEST),
        file("shop/static/index.html", "hello"),
    ]));
    let loaded = load(&LoadRequest {
        files: &TreeFiles(&tree),
        folder: &format!("{TREE_ROOT}/shop"),
        compose_files: &[],
        lookup: Lookup::Folder,
        profiles: &[],
        variables: &BTreeMap::new(),
        given: &[],
        env_files: &[],
        shared_env_files: &[],
        project_name: Some("shop"),
        default_name: None,
        project_directory: None,
        home: None,
        purpose: LoadPurpose::Show,
    });
    let project = loaded.project.expect("a project");
    let path = TreePath::parse("shop").unwrap();
    let mut stack = Stack::new(StackName::parse("shop").unwrap(), path, Location::file("x"));
    stack.priority = 7;
    let hosts = BTreeMap::from([(name("a"), BTreeMap::new())]);
    let (asks, problems) = asks(&stack, &project, &tree, &hosts);
    let problems: Vec<String> = problems.0.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("shop/compose.yaml:11:"), "{problems:?}");
    assert!(problems[0].contains("hosts have no attribute \"node.colour\""), "{problems:?}");
    let ask = |service: &str| asks.iter().find(|ask| ask.key.service.as_str() == service).unwrap();
    let words = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" | ");

    let web = ask("web");
    assert_eq!(web.mode, Mode::Replicated(3));
    assert_eq!(web.reserved, Resources { cpus: 250, memory: 64 << 20 });
    assert_eq!((web.constraints.len(), web.max_per_host, web.priority), (1, Some(2), 7));
    assert_eq!(web.spread, ["zone"]);
    assert_eq!(words(&web.exclusive), "port 53/udp | port 80/tcp");
    // What is in Git is no state; neither are the system's folders and volumes of other drivers.
    assert_eq!(words(&web.state), format!("{TREE_ROOT}/shop/uploads"));

    let db = ask("db");
    assert_eq!(db.reserved.memory, 1 << 30);
    assert_eq!(words(&db.state), "/srv/db | shop_data");
    assert_eq!(words(&db.exclusive), "name the-db");
    assert_eq!(ask("agent").mode, Mode::Global);
    assert_eq!(ask("sidecar").beside.as_ref().map(ServiceName::as_str), Some("db"));
}

/// Quick enough to be run each time: a cost that grows with the square of the hosts would be felt here.
#[test]
fn a_large_fleet_is_placed_and_then_stays() {
    let mut world = World::default();
    for number in 0..200 {
        let mut room = random_host(&mut Numbers(number));
        room.capacity = Resources { cpus: 64_000, memory: 64 << 30 };
        world.hosts.insert(name(&format!("host-{number}")), room);
    }
    let mut numbers = Numbers(1);
    let asks: Vec<Ask> = (0..20)
        .map(|service| {
            let mut ask = random_ask(&mut numbers, &World::default(), service, Priorities::Any);
            ask.hosts = world.hosts.keys().cloned().collect();
            ask.mode = if service < 10 { Mode::Global } else { Mode::Replicated(200) };
            ask.max_per_host = None;
            ask.constraints.clear();
            ask.spread.clear();
            ask.state.clear();
            ask.exclusive.clear();
            ask
        })
        .collect();
    let placement = place(&world, &asks);
    assert_eq!(placement.waiting, []);
    let seats: usize = placement.seats.values().map(BTreeMap::len).sum();
    assert_eq!(seats, 4_000);
    let again = place(&carried_out(&world, &placement, &asks), &asks);
    assert_eq!(hosts_of(&placement), hosts_of(&again));
}
