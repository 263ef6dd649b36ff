//! Whatever a repository holds, a plan of it is made or refused soon and in little room.
//!
//! Each repository is planned by the program itself, in a process of its own, against a simulated Engine; processor time
//! and memory are read off that process. `MOORLINE_HOSTILE=N` makes N of them (3 of each kind otherwise, up to a size of 250: 510 and more are for a release build), and
//! `MOORLINE_HOSTILE_KIND=dense` only that kind. The measure is of a release build, which `MOORLINE_HOSTILE_PROGRAM` may
//! name; a debug build, which is some ten times slower, has ten times as long.

mod bombs;
mod more;
mod recovery;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use self::bombs::{Files, Kind, Numbers};
use crate::support::git_world::git_in;

/// What one repository may take at most.
const SECONDS: f64 = 2.0;
const DEBUG_FACTOR: f64 = if cfg!(debug_assertions) { 10.0 } else { 1.0 };
const MEGABYTES: u64 = 200;
/// After this the process is ended, whatever it still does.
const PATIENCE: Duration = Duration::from_secs(90);
/// Sizes, from harmless to about two megabytes.
const SIZES: [usize; 5] = [10, 60, 250, 1_000, 4_000];

/// One commit a repository, each on a branch of its own, in one stream for `git fast-import`.
fn write_branch(stream: &mut Vec<u8>, number: usize, files: &Files) {
    let mut say = |text: String| stream.extend_from_slice(text.as_bytes());
    say(format!(
        "commit refs/heads/case-{number}\ncommitter A <a@example.com> 1700000000 +0000\ndata 1\nx\n"
    ));
    let unique: BTreeMap<&String, &String> =
        files.iter().map(|(path, text)| (path, text)).collect();
    for (path, text) in unique {
        let (mode, text) = match text.strip_prefix("link:") {
            Some(to) => ("120000", to),
            None => ("100644", text.as_str()),
        };
        say(format!("M {mode} inline {path}\ndata {}\n{text}\n", text.len()));
    }
    say("\n".to_owned());
}

/// What a process took: processor seconds, megabytes at most, exit code (`None` when it had to be ended).
struct Took {
    seconds: f64,
    megabytes: u64,
    code: Option<i32>,
    said: String,
}

fn measure(command: &mut Command) -> Took {
    let said = tempfile::NamedTempFile::new().unwrap();
    let mut child = command.stdout(Stdio::null()).stderr(said.reopen().unwrap()).spawn().unwrap();
    let (number, began) = (child.id(), Instant::now());
    let (sender, ended) = std::sync::mpsc::channel();
    let waiting = std::thread::spawn(move || {
        let status = child.wait().unwrap();
        // Nobody listens when patience was over.
        sender.send(status.code()).ok();
    });
    let mut took = Took { seconds: 0.0, megabytes: 0, code: None, said: String::new() };
    // What a process took is read until it ends: then it is gone.
    while began.elapsed() < PATIENCE {
        sample(number, &mut took);
        if let Ok(code) = ended.recv_timeout(Duration::from_millis(3)) {
            took.code = code;
            break;
        }
    }
    if took.code.is_none() {
        Command::new("kill").args(["-9", &number.to_string()]).status().ok();
    }
    waiting.join().unwrap();
    took.said = std::fs::read_to_string(said.path()).unwrap_or_default();
    took
}

fn sample(number: u32, took: &mut Took) {
    let folder = format!("/proc/{number}");
    let status = std::fs::read_to_string(format!("{folder}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    took.megabytes = took.megabytes.max(peak.unwrap_or(0) / 1024);
    let stat = std::fs::read_to_string(format!("{folder}/stat")).unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default();
    let ticks = fields.split(' ').skip(11).take(2).filter_map(|n| n.parse::<u64>().ok());
    took.seconds = took.seconds.max(ticks.sum::<u64>() as f64 / 100.0);
}

fn cases() -> Vec<(&'static str, usize, Files)> {
    let wanted = std::env::var("MOORLINE_HOSTILE").ok().and_then(|count| count.parse().ok());
    let kind = std::env::var("MOORLINE_HOSTILE_KIND").ok();
    let all = bombs::KINDS.iter().chain(more::KINDS);
    let kinds: Vec<&Kind> =
        all.filter(|(name, _)| kind.as_ref().is_none_or(|kind| kind == name)).collect();
    let count = wanted.unwrap_or(3 * kinds.len());
    (0..count)
        .map(|number| {
            let (name, make) = kinds[number % kinds.len()];
            let size = SIZES[number / kinds.len() % SIZES.len()];
            let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15 ^ (number as u64 + 1));
            (*name, size, make(&mut numbers, size))
        })
        .collect()
}

/// Plans every repository; what takes too much is told, the largest first.
fn plan_all(folder: &Path, socket: &str, cases: &[(&'static str, usize, Files)]) -> Vec<String> {
    let settings = folder.join("moorline.yaml");
    let text = format!(
        "repositories: {{r: {{url: {0}/repo, branch: main, forge: {{kind: none}}}}}}\nhosts: {{local: {{engine: \"unix://{socket}\"}}}}\nlisten: none\n",
        folder.display()
    );
    std::fs::write(&settings, text).unwrap();
    let named = std::env::var_os("MOORLINE_HOSTILE_PROGRAM");
    let seconds = if named.is_some() { SECONDS } else { SECONDS * DEBUG_FACTOR };
    let program = named.unwrap_or_else(|| env!("CARGO_BIN_EXE_moorline").into());
    let mut failed = Vec::new();
    for (number, (name, size, _)) in cases.iter().enumerate() {
        let data = folder.join("data");
        let mut command = Command::new(&program);
        command.arg("plan").arg("--settings").arg(&settings).arg("--data").arg(&data);
        command.args(["--branch", &format!("case-{number}")]);
        let took = measure(&mut command);
        let line = format!(
            "{name} of size {size} (case {number}): {:.2} s, {} MB, ended {:?}: {}",
            took.seconds,
            took.megabytes,
            took.code,
            took.said
                .lines()
                .find(|line| line.contains("panicked"))
                .or(took.said.lines().last())
                .unwrap_or_default()
                .chars()
                .take(200)
                .collect::<String>()
        );
        if std::env::var_os("MOORLINE_HOSTILE_TELL").is_some() {
            println!("{line}");
        }
        let answered = matches!(took.code, Some(0..=2));
        if !answered || took.seconds > seconds || took.megabytes > MEGABYTES {
            failed.push(line);
        }
    }
    failed
}

#[tokio::test]
async fn no_repository_takes_more_than_two_seconds_or_200_megabytes() {
    let engine = crate::support::fake_engine::FakeEngine::start(Default::default()).await;
    let folder = tempfile::TempDir::new().unwrap();
    let cases = cases();
    let init = git_in(folder.path()).args(["init", "-q", "-b", "main", "repo"]).status().unwrap();
    assert!(init.success());
    let mut import = git_in(&folder.path().join("repo"))
        .args(["fast-import", "--quiet"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = import.stdin.take().unwrap();
    for (number, (_, _, files)) in cases.iter().enumerate() {
        let mut stream = Vec::new();
        write_branch(&mut stream, number, files);
        stdin.write_all(&stream).unwrap();
    }
    drop(stdin);
    assert!(import.wait().unwrap().success());
    let socket = engine.socket().display().to_string();
    let root = folder.path().to_path_buf();
    let failed =
        tokio::task::spawn_blocking(move || plan_all(&root, &socket, &cases)).await.unwrap();
    assert!(failed.is_empty(), "\n{}\n", failed.join("\n"));
}
