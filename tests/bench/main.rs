//! Benchmarks on a real Engine, side by side with a trivial client and with `docker compose`.
//!
//!     tests/engines run 1 -- cargo bench                      all
//!     tests/engines run 1 -- cargo bench -- deploy50          one: deploy50, insync500, recover
//!
//! `MOORLINE_ORACLE` names a docker-compose binary; without it that column is left out, and a line says so.
//! `MOORLINE_BIN` names another program to measure, such as a static build.
//! A missed target is a failure; with `MOORLINE_BENCH_LENIENT=1` it is only said.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::format_push_string,
    clippy::cast_precision_loss,
    clippy::unchecked_time_subtraction,
    clippy::duration_suboptimal_units,
    missing_docs,
    reason = "a benchmark looks at the clock, starts programs, and stops at the first surprise"
)]

mod engine;
mod meter;
mod stack;

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use engine::Engine;
use meter::{Cost, median};
use stack::Repository;

/// The program under test, unless `MOORLINE_BIN` names another.
const MOORLINE: &str = env!("CARGO_BIN_EXE_moorline");

type Benchmark = fn(&mut Bench);

const BENCHMARKS: &[(&str, Benchmark)] =
    &[("deploy50", deploy50), ("insync500", insync500), ("recover", recover)];

/// Where a benchmark runs.
struct Bench {
    engine: Engine,
    compose: Option<PathBuf>,
    folder: tempfile::TempDir,
    misses: Vec<String>,
}

fn main() -> ExitCode {
    let wanted: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let Some(socket) = env::var("MOORLINE_ENGINE_SOCKETS")
        .ok()
        .and_then(|all| all.split(',').next().map(str::to_owned))
    else {
        println!("skipped: no Engine; use `tests/engines run 1 -- cargo bench`");
        return ExitCode::SUCCESS;
    };
    let compose = env::var_os("MOORLINE_ORACLE").map(PathBuf::from);
    if compose.is_none() {
        println!("MOORLINE_ORACLE names no docker-compose: nothing is compared with it");
    }
    let folder = tempfile::tempdir().unwrap();
    let mut bench = Bench { engine: Engine::at(&socket), compose, folder, misses: Vec::new() };
    for (name, measure) in BENCHMARKS {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            println!("\n== {name}");
            measure(&mut bench);
        }
    }
    println!("\n{} targets missed", bench.misses.len());
    for miss in &bench.misses {
        println!("  {miss}");
    }
    let lenient = env::var_os("MOORLINE_BENCH_LENIENT").is_some();
    if !lenient && !bench.misses.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

impl Bench {
    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// `moorline WORDS…` on a repository, with a data folder of its own.
    fn moorline(&self, words: &[&str], repository: &Repository) -> Command {
        let mut command =
            Command::new(env::var("MOORLINE_BIN").unwrap_or_else(|_| MOORLINE.to_owned()));
        command
            .args(words)
            .arg("--repository")
            .arg(&repository.folder)
            .args(["--branch", "main"])
            .args(["--host", &format!("local={}", self.engine.address())])
            .arg("--data")
            .arg(self.path().join(format!("{}-data", repository.project)));
        command
    }

    fn sync(&self, repository: &Repository) -> Cost {
        meter::run(&mut self.moorline(&["sync"], repository), &self.path().join("moorline.log"))
    }

    fn compose_up(&self, repository: &Repository) -> Option<Cost> {
        let mut command = Command::new(self.compose.as_ref()?);
        command
            .env("DOCKER_HOST", self.engine.address())
            .current_dir(repository.stack_folder())
            .args(["-p", &repository.project, "up", "-d"]);
        Some(meter::run(&mut command, &self.path().join("compose.log")))
    }

    /// The daemon on a repository; ended with the value.
    fn daemon(&self, repository: &Repository) -> Daemon {
        let log = std::fs::File::create(self.path().join("daemon.log")).unwrap();
        let mut command = self.moorline(&["run"], repository);
        command.env("RUST_LOG", "info,moorline=debug");
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Daemon(command.spawn().unwrap())
    }

    fn target(&mut self, what: &str, met: bool) {
        println!("   {} {what}", if met { "met   " } else { "MISSED" });
        if !met {
            self.misses.push(what.to_owned());
        }
    }
}

struct Daemon(Child);

impl Daemon {
    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn signal(&self, name: &str) {
        Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.signal("TERM");
        self.0.wait().unwrap();
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

/// Deploying 50 containers: at most 1.10 times a trivial client with its best parallelism, no longer than compose.
fn deploy50(bench: &mut Bench) {
    const COUNT: usize = 50;
    const ROUNDS: usize = 5;
    let repository = Repository::new(bench.path(), "deploy50", 10, COUNT / 10);
    let mut trivial: Vec<(usize, Vec<Duration>)> =
        [2, 4, 8, 16].map(|parallel| (parallel, Vec::new())).into();
    let (mut ours, mut compose) = (Vec::new(), Vec::new());
    // Warm: the Engine's first containers cost more than the later ones.
    bench.engine.deploy("warm", COUNT, 4);
    bench.engine.clear("warm");
    for _ in 0..ROUNDS {
        for (parallel, times) in &mut trivial {
            let begun = Instant::now();
            bench.engine.deploy("trivial", COUNT, *parallel);
            times.push(begun.elapsed());
            bench.engine.clear("trivial");
        }
        ours.push(bench.sync(&repository).wall);
        assert_eq!(bench.engine.running("deploy50"), COUNT);
        bench.engine.clear("deploy50");
        if let Some(cost) = bench.compose_up(&repository) {
            compose.push(cost.wall);
            assert_eq!(bench.engine.running("deploy50"), COUNT);
            bench.engine.clear("deploy50");
        }
    }
    for (parallel, times) in &trivial {
        println!("   trivial client, {parallel:2} at a time   {}", seconds(median(times)));
    }
    let best = trivial.iter().map(|(_, times)| median(times)).min().unwrap();
    let ours = median(&ours);
    println!("   moorline sync                  {}", seconds(ours));
    let ratio = ours.as_secs_f64() / best.as_secs_f64();
    bench.target(
        &format!("deploy50: {ratio:.2} of the trivial client's best, at most 1.10"),
        ratio <= 1.10,
    );
    if !compose.is_empty() {
        let compose = median(&compose);
        println!("   docker compose up -d           {}", seconds(compose));
        bench.target(
            &format!("deploy50: no longer than docker compose ({})", seconds(compose)),
            ours <= compose,
        );
    }
}

/// A pass of the daemon over 500 containers in sync: at most a third of compose's wall time, a quarter of its processor
/// time, and at most 60 MB resident. A `sync` of its own process, which knows nothing and inspects every container, is
/// shown beside it.
fn insync500(bench: &mut Bench) {
    const COUNT: usize = 500;
    const ROUNDS: usize = 5;
    let repository = Repository::new(bench.path(), "insync500", 25, COUNT / 25);
    println!("   deploying {COUNT} containers: {}", seconds(bench.sync(&repository).wall));
    assert_eq!(bench.engine.running("insync500"), COUNT);
    let ours: Vec<Cost> = (0..ROUNDS).map(|_| bench.sync(&repository)).collect();
    let wall = median(&ours.iter().map(|cost| cost.wall).collect::<Vec<_>>());
    let processor = median(&ours.iter().map(|cost| cost.processor).collect::<Vec<_>>());
    println!("   moorline sync          wall {}  processor {}", seconds(wall), seconds(processor));
    let (wall, processor) = in_daemon(bench, &repository);
    bench.engine.clear("insync500");
    // The same stack made by compose itself, so that it too has nothing to do.
    if bench.compose_up(&repository).is_some() {
        let theirs: Vec<Cost> = (0..ROUNDS).filter_map(|_| bench.compose_up(&repository)).collect();
        let their_wall = median(&theirs.iter().map(|cost| cost.wall).collect::<Vec<_>>());
        let their_processor = median(&theirs.iter().map(|cost| cost.processor).collect::<Vec<_>>());
        println!(
            "   docker compose up -d   wall {}  processor {}",
            seconds(their_wall),
            seconds(their_processor)
        );
        let (walls, processors) = (
            wall.as_secs_f64() / their_wall.as_secs_f64(),
            processor.as_secs_f64() / their_processor.as_secs_f64(),
        );
        bench.target(
            &format!("insync500: {walls:.2} of compose's wall time, at most 0.33"),
            walls <= 1.0 / 3.0,
        );
        bench.target(
            &format!("insync500: {processors:.2} of compose's processor time, at most 0.25"),
            processors <= 0.25,
        );
        bench.engine.clear("insync500");
    }
}

/// What the daemon costs with 500 containers: memory, and processor time of passes that were asked for.
fn in_daemon(bench: &mut Bench, repository: &Repository) -> (Duration, Duration) {
    const PASSES: usize = 10;
    let daemon = bench.daemon(repository);
    let log = bench.path().join("daemon.log");
    // The daemon tells of each pass how long it took.
    let passes = || -> Vec<Duration> {
        let text = std::fs::read_to_string(&log).unwrap();
        let ended = text.lines().filter(|line| line.contains("pass ended"));
        ended
            .filter_map(|line| {
                line.split("millis=").nth(1)?.split_whitespace().next()?.parse().ok()
            })
            .map(Duration::from_millis)
            .collect()
    };
    let quiet = || {
        let mut before = passes().len();
        let (limit, pause) = (Duration::from_secs(60), Duration::from_secs(1));
        meter::until("the daemon is quiet", limit, pause, || {
            let now = passes().len();
            std::mem::replace(&mut before, now) == now && 0 < now
        });
    };
    std::thread::sleep(Duration::from_secs(2));
    quiet();
    let (first, before) = (passes().len(), meter::processor_of(daemon.pid()));
    for pass in 1..=PASSES {
        daemon.signal("HUP");
        let (limit, pause) = (Duration::from_secs(10), Duration::from_millis(20));
        meter::until("a pass", limit, pause, || first + pass <= passes().len());
    }
    let all = passes();
    let wall = median(&all[first..]);
    let each = (meter::processor_of(daemon.pid()) - before) / u32::try_from(PASSES).unwrap();
    let (now, highest) = meter::memory_of(daemon.pid());
    println!(
        "   a pass of the daemon   wall {}  processor {}; resident {:.1} MB, at most {:.1} MB",
        seconds(wall),
        seconds(each),
        now as f64 / 1e6,
        highest as f64 / 1e6
    );
    bench.target(
        &format!("insync500: {:.1} MB resident, at most 60", highest as f64 / 1e6),
        highest <= 60_000_000,
    );
    (wall, each)
}

/// A killed replica runs again within twice the time of one create and start.
fn recover(bench: &mut Bench) {
    const ROUNDS: usize = 9;
    let engine = bench.engine.clone();
    engine.create_network("single");
    let single: Vec<Duration> = (0..ROUNDS)
        .map(|round| {
            let begun = Instant::now();
            engine.create_and_start("single", &format!("single-c-{round}"));
            begun.elapsed()
        })
        .collect();
    engine.clear("single");
    let single = median(&single);
    println!("   one create and start   {}", seconds(single));
    // A service of its own for each round: one that fails again and again is deliberately retried ever more slowly.
    let repository = Repository::new(bench.path(), "recover", ROUNDS, 1);
    let daemon = bench.daemon(&repository);
    let deployed = || engine.running("recover") == ROUNDS;
    meter::until("deployed", Duration::from_secs(60), Duration::from_millis(50), deployed);
    std::thread::sleep(Duration::from_secs(3));
    for (what, method, call) in [("killed", "POST", "/kill"), ("removed", "DELETE", "?force=1")] {
        let times: Vec<Duration> = (1..=ROUNDS)
            .map(|round| {
                let container = format!("/containers/recover-s{round}-1");
                engine.must(method, &format!("{container}{call}"), None);
                let runs = || {
                    let (status, state) = engine.call("GET", &format!("{container}/json"), None);
                    status == 200 && state["State"]["Running"] == true
                };
                let back =
                    meter::until("back", Duration::from_secs(60), Duration::from_millis(1), runs);
                std::thread::sleep(Duration::from_secs(1));
                back
            })
            .collect();
        let back = median(&times);
        println!("   {what}, runs again after   {}", seconds(back));
        let ratio = back.as_secs_f64() / single.as_secs_f64();
        bench.target(
            &format!("recover: a {what} replica in {ratio:.2} of one create and start, at most 2"),
            ratio <= 2.0,
        );
    }
    drop(daemon);
    engine.clear("recover");
}
