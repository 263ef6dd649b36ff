//! Tales that nobody wrote: commits, accidents, hands and killed processes across several stacks of one host, by seed.
//! `MOORLINE_TALES=10000` tells more of them, `MOORLINE_TALE=17` one, with what happens in it.
//!
//! Data that goes to another stack is told of in stories: who had it before, only the data folder knows.
//!
//! What must hold throughout: no volume is lost, and no service runs on another one than it began with; nothing of
//! others is touched; no stack is said to be in sync while a service of it cannot work. In the end nothing is left to do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use moorline::commit::{self, LoadedStack};
use moorline::config::Stack;
use moorline::config::settings::Labels;
use moorline::data::record::TargetRecord;
use moorline::docker::{Depth, Engine, EngineSettings};
use moorline::fleet::whole;
use moorline::model::{
    ContainerId, FileMode, Given, HostName, Location, ManifestTree, Policy, RepositoryName,
    Revision, StackName, TreeFile, TreePath,
};
use moorline::plan;
use moorline::reconcile::pass::{self, Memory, Mode, Sight, Work};
use moorline::report::{Report, Target, status};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::support::fake_engine::{FakeEngine, Options};
use super::support::time_passes;
use super::support::world::{now, short_limits};

/// How many, unless `MOORLINE_TALES` says otherwise.
const TALES: u64 = 8;
/// Things that happen in each.
const STEPS: u64 = 14;
/// Rounds in which everything must come to rest once nothing happens any more.
const LAST_ROUNDS: usize = 12;

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % sides as u64).unwrap()
    }

    fn one_in(&mut self, sides: usize) -> bool {
        self.roll(sides) == 0
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.roll(from.len())].clone())
    }
}

/// How the processes of a version behave.
const BEHAVIOURS: [&str; 5] = ["[run]", "[run, more]", "[run, again]", "[/no/such]", "[exit, '3']"];

#[derive(Debug, Clone)]
struct Service {
    /// What it is, wherever it goes: the image is called so.
    own: usize,
    version: usize,
    scale: usize,
    memory: usize,
    front: bool,
    start_first: bool,
    checked: bool,
    profile: bool,
    file: usize,
    /// The key of its volume.
    volume: Option<String>,
}

impl Service {
    fn works(&self) -> bool {
        self.version < 3
    }

    fn text(&self, name: &str) -> String {
        let Self { own, scale, .. } = self;
        let mut text = format!("  {name}:\n    image: own{own}:v1\n    restart: always\n");
        writeln!(text, "    command: {}", BEHAVIOURS[self.version]).unwrap();
        let order = if self.start_first { "start-first" } else { "stop-first" };
        writeln!(
            text,
            "    deploy: {{replicas: {scale}, update_config: {{order: {order}, monitor: 1ms}}}}"
        )
        .unwrap();
        if self.memory > 0 {
            writeln!(text, "    mem_limit: {}m", 32 * self.memory).unwrap();
        }
        if self.front {
            text.push_str("    networks: [front, default]\n");
        }
        if self.checked {
            text.push_str("    healthcheck: {test: [CMD, look], interval: 1s}\n");
        }
        if self.profile {
            text.push_str("    profiles: [seldom]\n");
        }
        text.push_str("    volumes:\n      - ./conf:/conf:ro\n");
        if let Some(volume) = &self.volume {
            writeln!(text, "      - {volume}:/data").unwrap();
        }
        text
    }
}

type Services = BTreeMap<String, Service>;

fn compose(services: &Services) -> String {
    let mut text = String::from("services:\n");
    if services.is_empty() {
        text = String::from("services: {}\n");
    }
    for (name, service) in services {
        text.push_str(&service.text(name));
    }
    text.push_str("networks: {front: {}}\nvolumes:\n  unused: {}\n");
    for volume in services.values().filter_map(|service| service.volume.as_ref()) {
        writeln!(text, "  {volume}: {{}}").unwrap();
    }
    text
}

struct Tale {
    fake: FakeEngine,
    engine: Engine,
    dice: Dice,
    stacks: BTreeMap<String, Services>,
    /// Stacks that were kept at some time.
    kept: BTreeSet<String>,
    loaded: BTreeMap<String, LoadedStack>,
    memories: BTreeMap<String, Memory>,
    made: BTreeMap<String, BTreeSet<ContainerId>>,
    commits: u64,
    next_own: usize,
    /// The last commit took data elsewhere: everybody is to see it before the next one.
    moves: bool,
    /// Which volume each service began with, by what it is.
    began: BTreeMap<usize, u64>,
    volumes: BTreeMap<String, u64>,
    told: Vec<String>,
    /// What was broken.
    wrong: Vec<String>,
}

async fn connect(fake: &FakeEngine) -> Engine {
    let settings = EngineSettings { limits: short_limits(), ..EngineSettings::default() };
    for _ in 0..50 {
        if let Ok(engine) = Engine::connect(&fake.endpoint(), &settings).await {
            return engine;
        }
        super::support::a_moment().await;
    }
    panic!("the Engine does not answer");
}

impl Tale {
    async fn begin(seed: u64) -> Self {
        let api = if seed.is_multiple_of(2) { (1, 41) } else { (1, 51) };
        let fake = FakeEngine::start(Options { api, ..Options::default() }).await;
        fake.add_image("other:v1", json!({"Cmd": ["run"]}));
        fake.run_by_hand("neighbour", json!({"Image": "other:v1"}));
        fake.create_volume_by_hand(json!({"Name": "precious"}));
        fake.create_network_by_hand(json!({"Name": "theirs"}));
        let engine = connect(&fake).await;
        let mut tale = Self {
            fake,
            engine,
            dice: Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            stacks: BTreeMap::new(),
            kept: BTreeSet::new(),
            loaded: BTreeMap::new(),
            memories: BTreeMap::new(),
            made: BTreeMap::new(),
            commits: 0,
            next_own: 0,
            moves: false,
            began: BTreeMap::new(),
            volumes: BTreeMap::new(),
            told: Vec::new(),
            wrong: Vec::new(),
        };
        for name in ["a", "b", "c"].iter().take(1 + tale.dice.roll(3)) {
            let mut services = Services::new();
            for _ in 0..=tale.dice.roll(3) {
                let service = tale.new_service();
                services.insert(format!("s{}", service.own), service);
            }
            tale.stacks.insert((*name).to_owned(), services);
        }
        tale.commit();
        tale
    }

    fn tell(&mut self, what: String) {
        self.told.push(what);
    }

    fn new_service(&mut self) -> Service {
        self.next_own += 1;
        let own = self.next_own;
        Service {
            own,
            version: 0,
            scale: 1,
            memory: self.dice.roll(3),
            front: self.dice.one_in(3),
            start_first: self.dice.one_in(3),
            checked: self.dice.one_in(3),
            profile: false,
            file: 0,
            volume: (!self.dice.one_in(3)).then(|| format!("data{own}")),
        }
    }

    /// Loads what the stacks say now, as the next commit.
    fn commit(&mut self) {
        self.commits += 1;
        self.kept.extend(self.stacks.keys().cloned());
        let mut loaded = BTreeMap::new();
        for (name, services) in &self.stacks {
            let version: usize = services.values().map(|service| service.file).sum();
            let files =
                [("compose.yaml", compose(services)), ("conf/app.conf", format!("{version}\n"))];
            let files = files.into_iter().map(|(path, text)| {
                let file = TreeFile { mode: FileMode::Regular, bytes: text.into_bytes().into() };
                (TreePath::parse(path).unwrap(), file)
            });
            let stack =
                Stack::new(stack_name(name), TreePath::default(), Location::file("fleet.yaml"));
            let tree = ManifestTree::new(files.collect());
            let one = commit::load(&stack, &tree, &Given::default()).0;
            assert!(!one.problems.has_errors(), "{:?}\n{}", one.problems, compose(services));
            loaded.insert(name.clone(), one);
        }
        let hosts = BTreeMap::from([(HostName::parse("local").unwrap(), Labels::new())]);
        let claims = Arc::new(whole::claims(&commit::members(loaded.values(), &hosts)));
        for name in &self.kept {
            let stack = || Stack::new(stack_name(name), TreePath::default(), Location::file(""));
            let one = loaded.entry(name.clone()).or_insert_with(|| LoadedStack::emptied(stack()));
            one.claims = Arc::clone(&claims);
        }
        self.loaded = loaded;
    }

    async fn run(&mut self, name: &str, mode: Mode) -> Report {
        let stack = self.loaded[name].clone();
        let target = Target {
            repository: RepositoryName::parse("fleet").unwrap(),
            stack: stack_name(name),
            host: HostName::parse("local").unwrap(),
        };
        let policy = Policy {
            step_limit: Duration::from_millis(500),
            progress_limit: Duration::from_secs(2),
            ..Policy::default()
        };
        let revision = Revision::parse(&format!("{:040x}", self.commits)).unwrap();
        let work = Work {
            target: &target,
            stack: &stack,
            revision: &revision,
            policy: &policy,
            sight: Sight::Live(&self.engine),
            host_data: "/var/lib/moorline",
            mode,
            share: None,
            approvals: &[],
            beside: pass::Beside::default(),
            depth: Depth::Full,
            listener: Arc::new(|_| {}),
            clock: now,
        };
        let memory = self.memories.entry(name.to_owned()).or_default();
        let report = pass::run(&work, memory, &CancellationToken::new()).await;
        self.made.insert(name.to_owned(), self.engine.made(&target.stack));
        report
    }

    /// A pass of a stack, and what must hold after it.
    async fn pass(&mut self, name: &str) -> Report {
        let report = self.run(name, Mode::Sync).await;
        let line = status::line(&report);
        self.tell(format!("pass {name}: {line}"));
        self.must_hold();
        if report.is_good() && !self.fake.is_silent() {
            self.must_work(name);
        }
        report
    }

    fn broken(&mut self, what: String) {
        self.told.push(format!("BROKEN {what}"));
        self.wrong.push(what);
    }

    fn must_hold(&mut self) {
        let there = self.fake.volumes();
        for (name, born) in self.volumes.clone() {
            if there.get(&name) != Some(&born) {
                self.broken(format!("volume {name} is lost or another one"));
            }
        }
        self.volumes = there;
        let neighbour = self.fake.inspect("neighbour");
        if neighbour.is_none_or(|one| one["State"]["Running"] != json!(true)) {
            self.broken("the neighbour was touched".to_owned());
        }
        if !self.fake.networks().contains(&"theirs".to_owned()) {
            self.broken("the network of others is gone".to_owned());
        }
        for one in self.fake.containers() {
            let Some(own) = own_of(&one.image) else { continue };
            let seen = self.fake.inspect(&one.name).unwrap();
            let mounts = seen["Mounts"].as_array().cloned().unwrap_or_default();
            let data = mounts.iter().find(|mount| mount["Destination"] == "/data");
            let born = data.and_then(|mount| self.volumes.get(mount["Name"].as_str()?)).copied();
            if let (Some(born), "running") = (born, one.state.as_str()) {
                let first = *self.began.entry(own).or_insert(born);
                if first != born {
                    self.broken(format!(
                        "{} runs on another volume than own{own} began with",
                        one.name
                    ));
                }
            }
        }
    }

    /// What is said to be in sync works.
    fn must_work(&mut self, name: &str) {
        let services = self.stacks.get(name).cloned().unwrap_or_default();
        for (service, asked) in services.iter().filter(|(_, asked)| !asked.profile) {
            for number in 1..=asked.scale {
                let container = format!("{name}-{service}-{number}");
                let seen = self.fake.inspect(&container);
                let runs = seen.as_ref().is_some_and(|one| {
                    let healthy = !asked.checked || one["State"]["Health"]["Status"] == "healthy";
                    one["State"]["Status"] == "running" && healthy
                });
                if !runs || !asked.works() {
                    self.broken(format!(
                        "{name} is in sync, and {container} does not work: {asked:?}"
                    ));
                }
                let limit = i64::try_from(asked.memory).unwrap() * (32 << 20);
                if runs && seen.unwrap()["HostConfig"]["Memory"] != json!(limit) {
                    self.broken(format!("{name} is in sync, and {container} has another limit"));
                }
            }
        }
    }

    /// Somebody commits something.
    fn edit(&mut self) {
        let names: Vec<String> = self.stacks.keys().cloned().collect();
        let Some(name) = self.dice.pick(&names) else {
            self.stacks.insert("a".to_owned(), Services::new());
            return;
        };
        let services: Vec<String> = self.stacks[&name].keys().cloned().collect();
        let which = self.dice.roll(15);
        let chosen = self.dice.pick(&services);
        // Where a service goes with its data is told by its container; what nobody can know is not asked.
        let is_there = chosen.as_ref().is_some_and(|service| {
            let container = self.fake.inspect(&format!("{name}-{service}-1"));
            container.is_some_and(|one| one["State"]["Running"] == json!(true))
        });
        if matches!(which, 2 | 4) && !is_there {
            return;
        }
        self.moves = matches!(which, 2 | 4);
        let (version, scale, memory) =
            (self.dice.roll(BEHAVIOURS.len()), 1 + self.dice.roll(3), self.dice.roll(3));
        let what = format!("edit {which} of {name} {chosen:?}");
        match (which, chosen) {
            (0, _) | (_, None) => {
                let service = self.new_service();
                self.stacks.get_mut(&name).unwrap().insert(format!("s{}", service.own), service);
            }
            (1, Some(service)) => drop(self.stacks.get_mut(&name).unwrap().remove(&service)),
            // Renamed, with all that it has.
            (2, Some(service)) => {
                let stack = self.stacks.get_mut(&name).unwrap();
                let one = stack.remove(&service).unwrap();
                stack.insert(format!("{service}x"), one);
            }
            // Its volume gets another key.
            (4, Some(service)) => {
                let one = self.stacks.get_mut(&name).unwrap().get_mut(&service).unwrap();
                one.volume = one.volume.take().map(|volume| format!("{volume}x"));
            }
            (6, Some(_)) => drop(self.stacks.remove(&name)),
            (which, Some(service)) => {
                let one = self.stacks.get_mut(&name).unwrap().get_mut(&service).unwrap();
                match which {
                    7 | 8 => one.version = version,
                    9 => one.scale = scale,
                    10 => one.memory = memory,
                    11 => one.front = !one.front,
                    12 => one.profile = !one.profile,
                    13 => one.checked = !one.checked,
                    _ => one.file += 1,
                }
            }
        }
        self.tell(what);
        self.commit();
    }

    /// Something happens to a container of ours, or hands do something.
    fn accident(&mut self) {
        let all = self.fake.containers();
        let ours: Vec<String> = all
            .into_iter()
            .filter(|one| own_of(&one.image).is_some())
            .map(|one| one.name)
            .collect();
        let Some(name) = self.dice.pick(&ours) else { return };
        let which = self.dice.roll(12);
        self.tell(format!("accident {which} to {name}"));
        match which {
            0 => self.fake.stop(&name),
            1 => self.fake.kill(&name, 137),
            2 => self.fake.kill(&name, 1),
            // Nobody can pause what does not run.
            3 if self.fake.inspect(&name).unwrap()["State"]["Running"] == true => {
                self.fake.pause(&name);
            }
            4 => self.fake.remove(&name),
            5 => self.fake.rename(&name, &format!("mine-{}", self.commits)),
            6 => self.fake.update(&name, json!({"Memory": 8 << 20, "MemorySwap": 16 << 20})),
            7 => {
                let seen = self.fake.inspect(&name).unwrap();
                let networks = seen["NetworkSettings"]["Networks"].as_object().cloned();
                if let Some(network) = networks.and_then(|all| all.keys().next().cloned()) {
                    self.fake.disconnect(&name, &network);
                }
            }
            8 => self.fake.set_health(&name, "unhealthy"),
            9 => {
                let seen = self.fake.inspect(&name).unwrap();
                let labels = seen["Config"]["Labels"].clone();
                let body = json!({"Image": "other:v1", "Labels": labels});
                self.fake
                    .run_by_hand(&format!("impostor-{}-{}", self.commits, self.told.len()), body);
            }
            10 => {
                let files = self.fake.host_files();
                let ours = files.keys().find(|path| path.ends_with("/conf/app.conf")).cloned();
                if let Some(path) = ours {
                    self.fake.write_host_file(&path, b"edited");
                }
            }
            _ => {
                let image = self.fake.containers().into_iter().find(|one| one.name == name);
                self.fake.remove_image(&image.unwrap().image);
            }
        }
    }

    /// The process is killed somewhere in a pass, and another one begins, with or without what lay in its folder.
    async fn killed(&mut self) {
        let names: Vec<String> = self.loaded.keys().cloned().collect();
        let Some(name) = self.dice.pick(&names) else { return };
        let after = self.dice.roll(12);
        self.tell(format!("killed after {after} calls of {name}"));
        self.fake.stop_answering_after(after);
        let _lost = self.run(&name, Mode::Sync).await;
        self.fake.revive();
        self.fake.heal();
        let keeps = !self.dice.one_in(3);
        self.another_process(keeps).await;
        self.must_hold();
    }

    async fn another_process(&mut self, keeps: bool) {
        self.tell(format!(
            "another process, {} its folder",
            if keeps { "with" } else { "without" }
        ));
        self.engine = connect(&self.fake).await;
        let memories = std::mem::take(&mut self.memories);
        for (name, memory) in memories {
            if keeps {
                let (reached, reached_as) = (memory.reached, memory.reached_as);
                let record = TargetRecord { reached, reached_as, ..TargetRecord::default() };
                let with = Memory::since(&record).with(memory.cures, memory.taken);
                self.memories.insert(name.clone(), with);
                let made = self.made.get(&name).cloned().unwrap_or_default();
                self.engine.vouch_for(&stack_name(&name), Some(&made));
            }
        }
    }

    async fn goes_on(&mut self) {
        match self.dice.roll(10) {
            0..=3 => self.edit(),
            4..=6 => self.accident(),
            7 => self.killed().await,
            8 => {
                let keeps = self.dice.one_in(2);
                self.another_process(keeps).await;
            }
            _ => time_passes(Duration::from_secs(60)).await,
        }
        let names: Vec<String> = self.loaded.keys().cloned().collect();
        for name in names {
            if self.moves || !self.dice.one_in(3) {
                self.pass(&name).await;
            }
        }
        self.moves = false;
    }

    /// Nothing happens any more, and all versions work: everything comes to rest.
    async fn ends(&mut self) {
        for service in self.stacks.values_mut().flat_map(BTreeMap::values_mut) {
            if !service.works() {
                service.version = 0;
            }
        }
        self.commit();
        self.tell("the end".to_owned());
        let names: Vec<String> = self.loaded.keys().cloned().collect();
        let mut last = Vec::new();
        let mut rest = 0;
        for _ in 0..LAST_ROUNDS {
            last.clear();
            for name in &names {
                last.push((name.clone(), self.pass(name).await));
            }
            // Two rounds without a step are rest.
            let quiet = last.iter().all(|(_, report)| report.outcomes().next().is_none());
            let good = last.iter().all(|(_, report)| report.is_good());
            rest = if quiet { rest + 1 } else { 0 };
            if 2 <= rest && good {
                break;
            }
            time_passes(Duration::from_secs(400)).await;
        }
        for (name, report) in last {
            let plan = self.run(&name, Mode::Show).await;
            let rest = &plan.rounds.last().unwrap().plan;
            if !rest.steps.is_empty() {
                self.broken(format!("{name} never comes to rest:\n{}", plan::render(&[&**rest])));
            }
            let held: Vec<String> =
                report.held().map(|held| format!("{} {}", held.drift, held.why)).collect();
            let excused = held.iter().any(|why| why.contains("would be empty"));
            if !report.is_good() && !excused {
                self.broken(format!("{name} ends {}: {held:#?}", status::line(&report)));
            }
        }
    }
}

/// What a service is, by its image.
fn own_of(image: &str) -> Option<usize> {
    image.strip_prefix("own")?.split(':').next()?.parse().ok()
}

fn stack_name(name: &str) -> StackName {
    StackName::parse(name).unwrap()
}

async fn tale(seed: u64) -> Result<(), String> {
    let mut tale = Tale::begin(seed).await;
    for _ in 0..STEPS {
        tale.goes_on().await;
        if !tale.wrong.is_empty() {
            break;
        }
    }
    if tale.wrong.is_empty() {
        tale.ends().await;
    }
    if tale.wrong.is_empty() {
        return Ok(());
    }
    Err(format!("tale {seed}: {}\n  {}", tale.wrong.join("; "), tale.told.join("\n  ")))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_nothing_is_lost_and_all_comes_to_rest() {
    let seeds = match number("MOORLINE_TALE") {
        Some(one) => one..one + 1,
        None => {
            let from = number("MOORLINE_TALES_FROM").unwrap_or(0);
            from..from + number("MOORLINE_TALES").unwrap_or(TALES)
        }
    };
    let mut wrong = Vec::new();
    for seed in seeds {
        if let Err(told) = tale(seed).await {
            println!("{told}\n");
            wrong.push(told);
        }
    }
    assert!(wrong.is_empty(), "{} tales end badly; the first:\n{}", wrong.len(), wrong[0]);
}
