//! One daemon for a large fleet of simulated Engines, each on a socket of its own: how cost grows with hosts.
//!
//!     cargo bench --bench fleet                        100, 250, 500 and 1,000 hosts of 20 services each
//!     cargo bench --bench fleet -- 200                 other numbers
//!
//! The services are one stack; the largest fleet is measured a second time with a stack for each service, which is twenty
//! times as many targets, locks, records and verdicts.
//!
//! The Engines run in another process, so that time and memory are the daemon's own. `MOORLINE_BIN` names another program
//! to measure. A missed target is a failure; with `MOORLINE_BENCH_LENIENT=1` it is only said.

#![allow(
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::format_push_string,
    clippy::unused_result_ok,
    dead_code,
    unused_imports,
    missing_docs,
    unreachable_pub,
    reason = "a benchmark looks at the clock, starts programs, and stops at the first surprise"
)]

#[path = "../suite/support/fake_engine/mod.rs"]
mod fake_engine;
mod meter;
mod stack;

use std::env;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use fake_engine::{FakeEngine, Options};
use stack::{IMAGE, Repository};

/// The program under test, unless `MOORLINE_BIN` names another.
const MOORLINE: &str = env!("CARGO_BIN_EXE_moorline");
const SERVICES: usize = 20;
const LOOK_MAX: Duration = Duration::from_secs(60);
const QUIET_MAX: Duration = Duration::from_secs(5);
const MEMORY_MAX: u64 = 300_000_000;
/// What a host may cost in the largest fleet, beside what it costs in the smallest.
const GROWTH_MAX: f64 = 1.5;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if words.first().is_some_and(|word| word == "engines") {
        serve(Path::new(&words[1]), words[2].parse().unwrap());
        return ExitCode::SUCCESS;
    }
    let mut sizes: Vec<usize> = words.iter().filter_map(|word| word.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![100, 250, 500, 1_000];
    }
    println!(
        "hosts × stacks × services   first deploy   first look and plan   daemon's first round   a quiet round   resident"
    );
    let rows: Vec<Row> = sizes.iter().map(|hosts| Fleet::start(*hosts, 1).measure()).collect();
    let many = Fleet::start(*sizes.last().unwrap(), SERVICES).measure();
    let mut misses = 0;
    let mut target = |met: bool, text: String| {
        println!("{}  {text}", if met { "met   " } else { "MISSED" });
        misses += usize::from(!met);
    };
    let last = rows.last().unwrap();
    target(
        last.look <= LOOK_MAX,
        format!(
            "{} hosts: first look and plan in {:.1} s, at most 60",
            last.hosts,
            last.look.as_secs_f64()
        ),
    );
    target(
        last.first <= LOOK_MAX,
        format!(
            "{} hosts: the daemon's first round in {:.1} s, at most 60",
            last.hosts,
            last.first.as_secs_f64()
        ),
    );
    target(
        last.quiet <= QUIET_MAX,
        format!(
            "{} hosts: {:.2} s of processor for a round in which nothing changed, at most 5",
            last.hosts,
            last.quiet.as_secs_f64()
        ),
    );
    target(
        last.memory <= MEMORY_MAX,
        format!("{} hosts: {:.0} MB resident, at most 300", last.hosts, last.memory as f64 / 1e6),
    );
    let many_of = format!("{} hosts × {SERVICES} stacks", many.hosts);
    target(
        many.look <= LOOK_MAX,
        format!("{many_of}: look and plan in {:.1} s, at most 60", many.look.as_secs_f64()),
    );
    target(
        many.first <= LOOK_MAX,
        format!("{many_of}: first round in {:.1} s, at most 60", many.first.as_secs_f64()),
    );
    target(
        many.quiet <= QUIET_MAX * 2,
        format!(
            "{many_of}: {:.2} s of processor for a quiet round, at most 10",
            many.quiet.as_secs_f64()
        ),
    );
    target(
        many.memory <= MEMORY_MAX,
        format!("{many_of}: {:.0} MB resident, at most 300", many.memory as f64 / 1e6),
    );
    let targets = (many.hosts * (SERVICES - 1)).max(1) as f64;
    let of_one = (many.memory as f64 - last.memory as f64) / targets / 1e3;
    println!("        a further target of a host takes {of_one:.1} kB");
    let first = &rows[0];
    let each = |time: Duration, hosts: usize| time.as_secs_f64() / hosts as f64;
    for (what, small, large) in
        [("look and plan", first.look, last.look), ("quiet round", first.quiet, last.quiet)]
    {
        let growth = each(large, last.hosts) / each(small, first.hosts).max(f64::EPSILON);
        target(
            growth <= GROWTH_MAX,
            format!(
                "{what}: a host of {} costs {growth:.2} of a host of {}, at most {GROWTH_MAX}",
                last.hosts, first.hosts
            ),
        );
    }
    let lenient = env::var_os("MOORLINE_BENCH_LENIENT").is_some();
    if !lenient && misses > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

struct Row {
    hosts: usize,
    /// `moorline plan` on hosts that nobody looked at before.
    look: Duration,
    /// From the daemon's start to the end of a pass on every host.
    first: Duration,
    /// Processor time of one look at every host.
    quiet: Duration,
    memory: u64,
}

/// A fleet of simulated Engines in a process of its own, and a repository for it.
struct Fleet {
    hosts: usize,
    stacks: usize,
    folder: tempfile::TempDir,
    repository: Repository,
    engines: Child,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.engines.kill().ok();
        self.engines.wait().ok();
    }
}

impl Fleet {
    /// Hosts, and stacks that share the services.
    fn start(hosts: usize, stacks: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sockets = folder.path().join("s");
        std::fs::create_dir(&sockets).unwrap();
        let mut engines = Command::new(env::current_exe().unwrap())
            .args(["engines".as_ref(), sockets.as_os_str(), hosts.to_string().as_ref()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::with_capacity(1, engines.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "ready\n");
        let repository = Repository::new(folder.path(), "fleet", SERVICES, 1);
        let mut fleet = String::from("stacks:\n");
        for stack in 1..=stacks {
            let mut manifest = String::from("services:\n");
            for number in 1..=SERVICES / stacks {
                manifest.push_str(&format!(
                    "  s{number}:\n    image: {IMAGE}\n    restart: unless-stopped\n    environment: {{SERVICE: s{number}}}\n    deploy: {{mode: global}}\n"
                ));
            }
            repository.add(&format!("fleet{stack}/compose.yaml"), &manifest);
            fleet.push_str(&format!("  fleet{stack}: {{hosts: all}}\n"));
        }
        repository.add("fleet.yaml", &fleet);
        let mut settings = format!(
            "repositories: {{fleet: {{url: {}, branch: main, interval: 1h, forge: {{kind: none}}}}}}\nlisten: none\ndata: {}\nhosts:\n",
            repository.folder.display(),
            folder.path().join("data").display()
        );
        for number in 0..hosts {
            let socket = socket(&sockets, number);
            settings
                .push_str(&format!("  h{number}: {{engine: \"unix://{}\"}}\n", socket.display()));
        }
        std::fs::write(folder.path().join("moorline.yaml"), settings).unwrap();
        Self { hosts, stacks, folder, repository, engines }
    }

    fn moorline(&self, word: &str) -> Command {
        let program = env::var("MOORLINE_BIN").unwrap_or_else(|_| MOORLINE.to_owned());
        let mut command = Command::new(program);
        command.arg(word).arg("--settings").arg(self.folder.path().join("moorline.yaml"));
        command
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Ends the Engines, which tell how many containers they have.
    fn containers(mut self) -> usize {
        drop(self.engines.stdin.take());
        let mut said = String::new();
        self.engines.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        said.trim().parse().unwrap()
    }

    fn measure(self) -> Row {
        let deploy = meter::run(&mut self.moorline("sync"), &self.log("sync.log")).wall;
        let look = meter::run(&mut self.moorline("plan"), &self.log("plan.log")).wall;
        let (first, quiet, memory) = self.daemon();
        let hosts = self.hosts;
        println!(
            "{:6} × {:2} × {:2}             {:8.1} s     {:8.1} s            {:8.1} s              {:6.2} s CPU    {:6.0} MB",
            self.hosts,
            self.stacks,
            SERVICES / self.stacks,
            deploy.as_secs_f64(),
            look.as_secs_f64(),
            first.as_secs_f64(),
            quiet.as_secs_f64(),
            memory as f64 / 1e6,
        );
        assert_eq!(self.containers(), hosts * SERVICES);
        Row { hosts, look, first, quiet, memory }
    }

    /// The daemon's first round, a round in which nothing changed, and its memory after that.
    fn daemon(&self) -> (Duration, Duration, u64) {
        let path = self.log("daemon.log");
        let log = std::fs::File::create(&path).unwrap();
        let mut command = self.moorline("run");
        command.env("RUST_LOG", "info,moorline::reconcile::target=debug");
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        // As its unit has it (`docs/INSTALL.md`).
        command.env("MALLOC_ARENA_MAX", "1");
        command.env("MALLOC_TRIM_THRESHOLD_", "131072").env("MALLOC_MMAP_THRESHOLD_", "131072");
        let begun = Instant::now();
        let mut daemon = command.spawn().unwrap();
        let passes = || std::fs::read_to_string(&path).unwrap().matches("pass ended").count();
        let targets = self.hosts * self.stacks;
        let (limit, pause) = (Duration::from_secs(300), Duration::from_millis(100));
        meter::until("a pass on every host", limit, pause, || targets <= passes());
        let first = begun.elapsed();
        let quiet = || {
            let mut before = meter::processor_of(daemon.id());
            meter::until("the daemon is quiet", limit, Duration::from_secs(2), || {
                let now = meter::processor_of(daemon.id());
                now - std::mem::replace(&mut before, now) < Duration::from_millis(100)
            });
        };
        quiet();
        let (done, before) = (passes(), meter::processor_of(daemon.id()));
        let signal = Command::new("kill").args(["-HUP", &daemon.id().to_string()]).status();
        assert!(signal.unwrap().success());
        meter::until("another pass on every host", limit, pause, || done + targets <= passes());
        quiet();
        let spent = meter::processor_of(daemon.id()) - before;
        let (rests, highest) = meter::memory_of(daemon.id());
        println!(
            "        resident at rest {:.0} MB, at most {:.0} MB",
            rests as f64 / 1e6,
            highest as f64 / 1e6
        );
        Command::new("kill").args(["-TERM", &daemon.id().to_string()]).status().unwrap();
        daemon.wait().unwrap();
        (first, spent, highest)
    }
}

fn socket(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("{number}"))
}

/// Simulated Engines until standard input ends.
fn serve(folder: &Path, hosts: usize) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build();
    runtime.unwrap().block_on(async {
        let mut engines = Vec::new();
        for number in 0..hosts {
            let options = Options {
                socket: Some(socket(folder, number)),
                seed: number as u64 + 1,
                all_images_present: true,
                ..Options::default()
            };
            engines.push(FakeEngine::start(options).await);
        }
        println!("ready");
        std::io::stdout().flush().unwrap();
        let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        ended.await.unwrap().unwrap();
        println!("{}", engines.iter().map(|engine| engine.containers().len()).sum::<usize>());
    });
}
