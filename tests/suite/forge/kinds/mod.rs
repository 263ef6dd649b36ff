//! Kinds of pull requests, one file each in `tests/pulls`: what is there, what is proposed, what is said of it, and what
//! merging it then does. `UPDATE=1` writes what is said; `PULL=word` takes only files with the word in their name.
//!
//! Each is planned by a daemon against a simulated forge, printed by `moorline plan --pull-request`, merged, and carried
//! out: what was said is what is done, step by step.

mod real;
mod touched;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use moorline::model::ForgeKind;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::forge::daemon::Stage;
use crate::support::fake_engine::{FakeEngine, Options};
use crate::support::foreseen::{self, Done};
use crate::support::{accidents, comes, golden, stays, story};

/// Played side by side: most of the time each waits.
const SIDE_BY_SIDE: usize = 5;

/// A file's sections by name; the rule is the first one.
fn sections(text: &str) -> BTreeMap<&str, &str> {
    let mut parts = text.split("--- ");
    let mut found = BTreeMap::from([("rule", parts.next().unwrap_or_default())]);
    found.extend(parts.map(|part| part.split_once('\n').unwrap_or((part, ""))));
    found
}

/// What a section of files asks for: files with their text, and paths that go.
#[derive(Default)]
struct Files {
    written: Vec<(String, String)>,
    gone: Vec<String>,
}

/// `file PATH` with its text two columns further in, `delete PATH`, and `many N PATH` with `{n}` in path and text.
fn files(section: &str) -> Files {
    let mut found = Files::default();
    let mut many: Vec<(usize, String, String)> = Vec::new();
    for line in section.lines() {
        if let Some(text) = line.strip_prefix("  ") {
            let (_, _, whole) = many.last_mut().expect("a file before its text");
            whole.push_str(text);
            whole.push('\n');
        } else if line.is_empty() {
            if let Some((_, _, whole)) = many.last_mut() {
                whole.push('\n');
            }
        } else if let Some(path) = line.strip_prefix("file ") {
            many.push((1, path.to_owned(), String::new()));
        } else if let Some(path) = line.strip_prefix("delete ") {
            found.gone.push(path.to_owned());
        } else if let Some(rest) = line.strip_prefix("many ") {
            let (count, path) = rest.split_once(' ').unwrap();
            many.push((count.parse().unwrap(), path.to_owned(), String::new()));
        } else {
            panic!("unknown line {line:?}");
        }
    }
    for (count, path, text) in many {
        for n in 1..=count {
            let filled = |it: &str| it.replace("{n}", &format!("{n:03}"));
            let text = format!("{}\n", text.trim_end_matches('\n'));
            found.written.push((filled(&path), filled(&text)));
        }
    }
    found
}

pub(super) struct Played {
    state: String,
    status: String,
    comment: String,
    after: String,
}

impl Files {
    fn written(&self) -> Vec<(&str, &str)> {
        self.written.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect()
    }

    fn gone(&self) -> Vec<&str> {
        self.gone.iter().map(String::as_str).collect()
    }
}

/// A kind's sections.
pub(super) struct Kind<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Kind<'a> {
    pub(super) fn read(text: &'a str) -> Self {
        Self(sections(text))
    }

    pub(super) fn section(&self, name: &str) -> &'a str {
        self.0.get(name).copied().unwrap_or_default()
    }

    fn given(&self, word: &str) -> Option<&'a str> {
        self.section("given").lines().find_map(|line| line.strip_prefix(word)).map(str::trim)
    }

    fn forge(&self) -> ForgeKind {
        self.given("forge ").map_or(ForgeKind::Gitea, |word| {
            crate::forge::KINDS
                .into_iter()
                .find(|kind| kind.word() == word)
                .expect("a forge that we know")
        })
    }

    pub(super) fn is_merged(&self) -> bool {
        self.section("after").trim() != "not merged"
    }
}

async fn play(text: &str) -> Played {
    let kind = Kind::read(text);
    let mut stage = Stage::new(kind.forge()).await;
    stage.harbour.more = "limits: {parallel_steps: 1, step: 10s, progress: 10s}\n".to_owned();
    prepare(&mut stage, kind.section("given")).await;
    let played = act(&mut stage, &kind).await;
    stage.harbour.stop().await;
    played
}

/// Brings the base on the hosts, proposes, and merges.
pub(super) async fn act(stage: &mut Stage, kind: &Kind<'_>) -> Played {
    let base = stage.push(&files(kind.section("base")).written(), "what is there");
    if kind.section("happens").lines().any(|line| line == "away") {
        stage.harbour.host_settings = ", timeout: 2s".to_owned();
    }
    stage.harbour.start();
    stage.until_settled(&base).await;
    for line in kind.section("accidents").lines() {
        accidents::happen(&stage.harbour.hosts["local"], line);
    }
    let head = propose(stage, kind).await;
    let mut planned = stage.planned(&head).await;
    if kind.given("closed and opened again").is_some() {
        stage.forge.look(|world| world.pulls.iter_mut().for_each(|pull| pull.open = false));
        stage.harbour.ring();
        stage.until_comment("plan", "plan withdrawn").await;
        stage.forge.look(|world| world.pulls.iter_mut().for_each(|pull| pull.open = true));
        stage.harbour.ring();
        stage.until_comment("plan", &format!("Head `{}`", &head[..12])).await;
        planned = stage.planned(&head).await;
    }
    let meanwhile = files(kind.section("meanwhile"));
    if !meanwhile.written.is_empty() {
        let pushed = stage.push(&meanwhile.written(), "meanwhile");
        stage.until_settled(&pushed).await;
    }
    for line in kind.section("happens").lines() {
        happen(stage, line);
    }
    if let Some(words) = kind.given("until ") {
        stage.harbour.ring();
        stage.until_comment("plan", words).await;
        planned = stage.planned(&head).await;
    }
    tell(stage, kind, (&head, planned)).await
}

/// What is said, and what merging does.
async fn tell(
    stage: &mut Stage,
    kind: &Kind<'_>,
    (head, (state, status)): (&str, (String, String)),
) -> Played {
    let mut comment = stage.comment("plan").unwrap_or_default();
    let stale = "This plan is stale";
    if !comment.is_empty() && !comment.contains(stale) {
        let (_, printed, said) = stage.harbour.command(&["plan", "--pull-request", "7"]).await;
        let marked = format!("<!-- moorline:plan -->\n{printed}");
        // It may have been planned a moment before the host came to rest.
        let same = || stage.comment("plan").is_some_and(|body| body.trim() == marked.trim());
        comes(same, Duration::from_secs(30)).await;
        comment = stage.comment("plan").unwrap();
        let diff = similar::TextDiff::from_lines(comment.trim(), marked.trim());
        let diff = diff.unified_diff().header("commented", "printed").to_string();
        assert!(diff.is_empty(), "{diff}\n{said}");
    }
    let masked = |text: &str| mask(text, stage, head);
    let (status, shown) = (masked(&status), masked(&comment));
    if comment.contains(stale) {
        return Played { state, status, comment: shown, after: "not merged\n".to_owned() };
    }
    let (_, json, said) =
        stage.harbour.command(&["plan", "--pull-request", "7", "--output", "json"]).await;
    let json: Value = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {said}"));
    let after = if kind.is_merged() {
        masked(&merge(stage, &json["pull_requests"][0]).await)
    } else {
        "not merged\n".to_owned()
    };
    Played { state, status, comment: shown, after }
}

/// Opens the pull request, after whatever else was proposed. Gives its head.
async fn propose(stage: &Stage, kind: &Kind<'_>) -> String {
    let before = files(kind.section("proposed before"));
    if !before.written.is_empty() {
        let overwritten = stage.propose_without(&before.written(), &before.gone());
        stage.harbour.ring();
        stage.planned(&overwritten).await;
    }
    let (beneath, proposed) = (files(kind.section("beneath")), files(kind.section("proposed")));
    let (written, gone) = (proposed.written(), proposed.gone());
    let head = if beneath.written.is_empty() {
        stage.propose_without(&written, &gone)
    } else {
        stage.propose_as(6, &beneath.written());
        let head = stage.propose_on(6, (&written, &gone));
        stage.harbour.ring();
        let unplanned = || stage.forge.look(|world| world.status(&head, "moorline/plan").is_none());
        stays("it wants into another branch", Duration::from_secs(3), unplanned).await;
        let merged = stage.merge_one(6);
        stage.harbour.ring();
        stage.until_settled(&merged).await;
        head
    };
    stage.forge.look(|world| {
        let pull = world.pulls.iter_mut().find(|pull| pull.number == 7).unwrap();
        pull.draft = kind.given("draft").is_some();
        if let Some(fork) = kind.given("from ") {
            pull.from = Some(fork.to_owned());
        }
    });
    stage.harbour.ring();
    head
}

/// What happens once it is planned.
fn happen(stage: &Stage, line: &str) {
    let host = &stage.harbour.hosts["local"];
    if line == "away" {
        host.stop_answering_after(0);
        host.cut_connections();
    } else {
        accidents::happen(host, line);
    }
}

/// What the host is like before anything happens.
async fn prepare(stage: &mut Stage, given: &str) {
    for line in given.lines() {
        let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
        let hosts = &mut stage.harbour.hosts;
        match what {
            "forge" | "draft" | "closed" | "until" | "from" => {}
            "host" => {
                let seed = 1 + hosts.len() as u64;
                let engine = FakeEngine::start(Options { seed, ..Options::default() }).await;
                hosts.insert(rest.to_owned(), engine);
            }
            "container" => accidents::by_hand(&hosts["local"], rest),
            "network" => {
                hosts["local"].create_network_by_hand(serde_json::json!({"Name": rest}));
            }
            "process" => accidents::behave(&hosts["local"], rest),
            "accident" => accidents::happen(&hosts["local"], rest),
            _ => panic!("unknown: {line}"),
        }
    }
}

/// Merges it, waits until the commit is settled, and compares what was done with what was said. Gives what the commit and
/// the comment say then.
async fn merge(stage: &Stage, said: &Value) -> String {
    let before_it = touched::standing(stage);
    let data = stage.harbour.repository.data();
    let (_, before) = foreseen::read_journal(&data, 0);
    let merged = stage.merge();
    stage.harbour.ring();
    let (state, words) = stage.until_settled(&merged).await;
    let (done, _) = foreseen::read_journal(&data, before);
    let mut wrong = Vec::new();
    for plan in said["stacks"].as_array().into_iter().flatten() {
        let text = |key: &str| plan[key].as_str().unwrap_or_default();
        let target = format!("{}@{}", text("stack"), text("host"));
        // It was said that it waits.
        let made: &[Done] = done.get(&target).map_or(&[], Vec::as_slice);
        if text("verdict") == "refused" || plan["waits"].is_string() && made.is_empty() {
            continue;
        }
        let told = foreseen::without_shared(&steps(text("steps")), &target, &done);
        wrong.extend(foreseen::differences(&told, made).map(|it| format!("{target}\n{it}")));
    }
    let after_it = touched::standing(stage);
    wrong.extend(touched::unnamed(&before_it, &after_it, said));
    let named = |target: &String| {
        let plans = said["stacks"].as_array().cloned().unwrap_or_default();
        plans.iter().any(|plan| {
            format!("{}@{}", plan["stack"].as_str().unwrap(), plan["host"].as_str().unwrap())
                == *target
        })
    };
    let unnamed = done.iter().filter(|(target, steps)| !steps.is_empty() && !named(target));
    wrong.extend(unnamed.map(|(target, steps)| format!("{target} was not named: {steps:?}")));
    assert!(
        wrong.is_empty(),
        "what was done is not what was said; the commit says {state} {words}\n{}",
        wrong.join("\n")
    );
    let mut told = format!("{state} {words}\n");
    if stage.comment("plan").is_some() {
        stage.until_comment("plan", "The plan as it was before the merge").await;
        let mark = match state.as_str() {
            "success" => '✅',
            "failure" => '❌',
            "error" => '❔',
            _ => '✋',
        };
        let last = |comment: &str| comment.lines().nth(1).unwrap_or_default().to_owned();
        stage
            .until("the outcome", |world| {
                let mut all = world.comments.iter().map(|comment| &comment.body);
                all.any(|body| body.contains("moorline:plan") && last(body).contains(mark))
            })
            .await;
        told.push_str(&last(&stage.comment("plan").unwrap()));
        told.push('\n');
    }
    told
}

/// The actions of a plan's text: `   3  start shop-web-1 after 2: missing (…)`.
fn steps(text: &str) -> Vec<String> {
    let action = |line: &str| {
        let (number, rest) = line.trim_start().split_once("  ")?;
        number.parse::<u32>().ok()?;
        let rest = rest.split(" after ").next()?;
        Some(rest.split(": ").next()?.to_owned())
    };
    text.lines().filter_map(action).collect()
}

fn mask(text: &str, stage: &Stage, head: &str) -> String {
    let text = text.replace(&stage.forge.url(), "https://forge.example.com");
    let text = text.replace(head, "HEAD").replace(&head[..12], "HEAD");
    let text = story::masked(&text);
    // How long it took differs from run to run.
    let mut words: Vec<String> = text.split(" deployed in ").map(str::to_owned).collect();
    for word in words.iter_mut().skip(1) {
        if let Some((_, rest)) = word.split_once(" s: ") {
            *word = format!("<some> s: {rest}");
        }
    }
    words.join(" deployed in ")
}

/// A folder of kinds that are not part of this repository: other people's projects.
fn elsewhere() -> Option<PathBuf> {
    std::env::var_os("PULLS").map(PathBuf::from)
}

fn collect() -> Vec<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pulls");
    let folder = elsewhere().unwrap_or(own);
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.collect();
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_kind_of_pull_request_is_told_as_it_comes() {
    let wanted = std::env::var("PULL").unwrap_or_default();
    let seats = Arc::new(Semaphore::new(SIDE_BY_SIDE));
    let mut playing = JoinSet::new();
    let files = collect();
    assert!(elsewhere().is_some() || files.len() >= 60, "there are only {} kinds", files.len());
    for file in files.into_iter().filter(|file| file.to_string_lossy().contains(&wanted)) {
        let seats = Arc::clone(&seats);
        playing.spawn(async move {
            let _seat = seats.acquire_owned().await.unwrap();
            let text = std::fs::read_to_string(&file).unwrap();
            let (given, _) = text.split_once("--- status\n").unwrap_or((&text, ""));
            let whole = text.clone();
            let played = tokio::spawn(async move { play(&whole).await }).await;
            let played = played.map(|it| {
                let Played { state, status, comment, after } = it;
                let comment = comment.trim_end();
                format!("{given}--- status\n{state} {status}\n--- comment\n{comment}\n--- after\n{after}")
            });
            (file, text, played)
        });
    }
    golden::all_end_as_told(playing).await;
}
