//! A stack, a simulated host, and passes between them: what plan scenarios, stories and faults are told with.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use moorline::commit::{self, LoadedStack};
use moorline::config::Stack;
use moorline::docker::{Depth, Engine, EngineSettings, Limits};
use moorline::model::{
    FileMode, HostName, Location, ManifestTree, Plan, Policy, RepositoryName, Revision, StackName,
    Timestamp, TreeFile, TreePath,
};
use moorline::reconcile::pass::{self, Memory, Mode, Sight, Work};
use moorline::report::{Report, Target, status};
use tokio_util::sync::CancellationToken;

use super::fake_engine::{FakeEngine, Options};
use super::foreseen;

/// The clock of the tests.
pub fn now() -> Timestamp {
    Timestamp::from_millis(i64::try_from(super::clock().as_millis()).unwrap())
}

pub struct World {
    pub fake: FakeEngine,
    pub engine: Engine,
    pub memory: Memory,
    pub policy: Policy,
    target: Target,
    revision: Revision,
    stack: LoadedStack,
    commits: u64,
    /// Every step that was carried out, and what became of it.
    pub done: Vec<foreseen::Done>,
}

/// Limits that let a hanging call fail within a test's patience.
pub fn short_limits() -> Limits {
    let limit = Duration::from_millis(150);
    Limits {
        connect: limit,
        read: limit,
        inspect: limit,
        look: limit * 2,
        wedged: Duration::from_millis(1),
        ..Limits::default()
    }
}

impl World {
    pub async fn new(options: Options) -> Self {
        Self::with_limits(options, Limits::default()).await
    }

    pub async fn with_limits(options: Options, limits: Limits) -> Self {
        let fake = FakeEngine::start(options).await;
        let engine = connect(&fake, &limits).await;
        let target = Target {
            repository: RepositoryName::parse("fleet").unwrap(),
            stack: StackName::parse("shop").unwrap(),
            host: HostName::parse("local").unwrap(),
        };
        let policy = Policy {
            step_limit: Duration::from_secs(5),
            progress_limit: Duration::from_secs(5),
            // Most worlds ask what is done; those that ask when it counts say so.
            watch: Duration::ZERO,
            ..Policy::default()
        };
        let mut world = Self {
            fake,
            engine,
            memory: Memory::default(),
            policy,
            target,
            revision: Revision::parse(&"0".repeat(40)).unwrap(),
            stack: load(&[("compose.yaml", "services: {}\n")]),
            commits: 0,
            done: Vec::new(),
        };
        world.commit("services: {}\n");
        world
    }

    /// A new commit whose `compose.yaml` is this.
    pub fn commit(&mut self, compose: &str) {
        self.commit_files(&[("compose.yaml", compose)]);
    }

    /// A new commit with these files.
    pub fn commit_files(&mut self, files: &[(&str, &str)]) {
        self.commits += 1;
        self.revision = Revision::parse(&format!("{:040x}", self.commits)).unwrap();
        self.stack = load(files);
        assert!(self.stack.project.is_some(), "{:?}", self.stack.problems);
    }

    /// Deploys another stack, `blog`, on the same host.
    pub async fn deploy_beside(&mut self, compose: &str) {
        let blog = StackName::parse("blog").unwrap();
        let target = Target { stack: blog.clone(), ..self.target.clone() };
        let shop = std::mem::replace(&mut self.target, target);
        let stack = std::mem::replace(&mut self.stack, load_as(blog, &[("compose.yaml", compose)]));
        let report = self.settle(3).await;
        assert!(report.is_good(), "{}", status::line(&report));
        (self.target, self.stack, self.memory) = (shop, stack, Memory::default());
    }

    /// The process ends and another one starts: everything but the host is forgotten.
    pub async fn restart(&mut self, limits: &Limits) {
        self.memory = Memory::default();
        self.engine = connect(&self.fake, limits).await;
    }

    pub async fn pass(&mut self) -> Report {
        self.run(Mode::Sync, &CancellationToken::new()).await
    }

    /// What a pass would do.
    pub async fn plan(&mut self) -> Arc<Plan> {
        let report = self.run(Mode::Show, &CancellationToken::new()).await;
        assert!(report.failure.is_none(), "{:?}", report.failure);
        Arc::clone(&report.rounds.last().unwrap().plan)
    }

    /// All that would be done, pass after pass: each step in words.
    pub async fn foresee(&mut self) -> Vec<String> {
        let report = self.run(Mode::Foresee, &CancellationToken::new()).await;
        assert!(report.failure.is_none(), "{:?}", report.failure);
        foreseen::steps(&report).into_iter().map(|(step, _)| step).collect()
    }

    pub async fn run(&mut self, mode: Mode, stop: &CancellationToken) -> Report {
        let work = Work {
            target: &self.target,
            stack: &self.stack,
            revision: &self.revision,
            policy: &self.policy,
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
        let report = pass::run(&work, &mut self.memory, stop).await;
        says_the_same_at_rest(&report);
        let done = foreseen::steps(&report).into_iter().filter(|(_, outcome)| outcome.is_some());
        self.done.extend(done);
        report
    }

    /// Passes until the report is good, at most this many.
    pub async fn settle(&mut self, passes: usize) -> Report {
        let mut last = self.pass().await;
        for _ in 1..passes {
            if last.is_good() {
                break;
            }
            super::a_moment().await;
            last = self.pass().await;
        }
        last
    }

    /// Names and states of the containers, sorted: `shop-web-1 running`.
    pub fn containers(&self) -> BTreeSet<String> {
        let all = self.fake.containers().into_iter();
        all.map(|container| format!("{} {}", container.name, container.state)).collect()
    }
}

/// What is kept of a report says what the report said.
fn says_the_same_at_rest(report: &Report) {
    let kept = report.clone().at_rest();
    assert_eq!(status::state(&kept), status::state(report));
    assert_eq!(status::line(&kept), status::line(report));
    assert_eq!(kept.remedy(), report.remedy());
    assert_eq!(kept.held().collect::<Vec<_>>(), report.held().collect::<Vec<_>>());
    if report.all_done() && report.outcomes().next().is_some() {
        assert_eq!(kept.outcomes().count(), 0);
    }
}

async fn connect(fake: &FakeEngine, limits: &Limits) -> Engine {
    let settings = EngineSettings { limits: limits.clone(), ..EngineSettings::default() };
    let begun = tokio::time::Instant::now();
    loop {
        match Engine::connect(&fake.endpoint(), &settings).await {
            Ok(engine) => return engine,
            Err(error) => assert!(begun.elapsed() < super::PATIENCE, "{error:?}"),
        }
        super::a_moment().await;
    }
}

/// Loads the stack `shop` from these files.
pub fn load(files: &[(&str, &str)]) -> LoadedStack {
    load_as(StackName::parse("shop").unwrap(), files)
}

fn load_as(name: StackName, files: &[(&str, &str)]) -> LoadedStack {
    let files: BTreeMap<TreePath, TreeFile> = files
        .iter()
        .map(|(path, text)| {
            let file = TreeFile { mode: FileMode::Regular, bytes: text.as_bytes().into() };
            (TreePath::parse(path).unwrap(), file)
        })
        .collect();
    let stack = Stack::new(name, TreePath::default(), Location::file("fleet.yaml"));
    commit::load(&stack, &ManifestTree::new(files), &moorline::model::Given::default()).0
}

/// A folder of this repository's tests.
pub fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}
