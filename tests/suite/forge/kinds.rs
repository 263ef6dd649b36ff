//! Kinds of pull requests, one file each in `tests/pulls`: what is there, what is proposed, what is said of it, and what
//! merging it then does. `UPDATE=1` writes what is said; `PULL=word` takes only files with the word in their name.
//!
//! Each is planned by a daemon against a simulated forge, printed by `moorline plan --pull-request`, merged, and carried
//! out: what was said is what is done, step by step.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use moorline::model::ForgeKind as Kind;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::daemon::Stage;
use crate::support::fake_engine::{FakeEngine, Options};
use crate::support::foreseen::{self, Done};
use crate::support::{accidents, story};

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

struct Played {
    state: String,
    status: String,
    comment: String,
    after: String,
}

async fn play(text: &str) -> Played {
    let sections = sections(text);
    let section = |name: &str| sections.get(name).copied().unwrap_or_default();
    let given = section("given");
    let kind = given.lines().find_map(|line| line.strip_prefix("forge "));
    let kind = kind.map_or(Kind::Gitea, |word| {
        super::KINDS.into_iter().find(|kind| kind.word() == word).expect("a forge that we know")
    });
    let mut stage = Stage::new(kind).await;
    stage.harbour.more = "limits: {parallel_steps: 1, step: 10s, progress: 10s}\n".to_owned();
    prepare(&mut stage, given).await;
    let base = files(section("base"));
    let written: Vec<(&str, &str)> =
        base.written.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let base = stage.push(&written, "what is there");
    stage.harbour.start();
    stage.until_settled(&base).await;
    for line in section("accidents").lines() {
        accidents::happen(&stage.harbour.hosts["local"], line);
    }
    let Files { written, gone } = files(section("proposed"));
    let written: Vec<(&str, &str)> =
        written.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
    let head = stage.propose_without(&written, &gone);
    stage.harbour.ring();
    let (state, status) = stage.planned(&head).await;
    let comment = stage.comment("plan").unwrap_or_default();
    let (_, printed, said) = stage.harbour.command(&["plan", "--pull-request", "7"]).await;
    let marked = format!("<!-- moorline:plan -->\n{printed}");
    if !comment.is_empty() {
        assert_eq!(marked.trim(), comment.trim(), "printed and commented\n{said}");
    }
    let (_, json, said) =
        stage.harbour.command(&["plan", "--pull-request", "7", "--output", "json"]).await;
    let json: Value = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {said}"));
    let masked = |text: &str| mask(text, &stage, &head);
    let (status, comment) = (masked(&status), masked(&comment));
    let after = match section("after").trim() {
        "not merged" => "not merged\n".to_owned(),
        _ => masked(&merge(&stage, &json["pull_requests"][0]).await),
    };
    stage.harbour.stop().await;
    Played { state, status, comment, after }
}

/// What the host is like before anything happens.
async fn prepare(stage: &mut Stage, given: &str) {
    for line in given.lines() {
        let (what, rest) = line.split_once(' ').unwrap();
        let hosts = &mut stage.harbour.hosts;
        match what {
            "forge" => {}
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
        let notes = plan["notes"].to_string();
        // It was said that it waits.
        let made: &[Done] = done.get(&target).map_or(&[], Vec::as_slice);
        if text("verdict") == "refused" || notes.contains("wait") && made.is_empty() {
            continue;
        }
        let told = foreseen::without_shared(&steps(text("steps")), &target, &done);
        wrong.extend(foreseen::differences(&told, made).map(|it| format!("{target}\n{it}")));
    }
    let named = |target: &String| {
        let plans = said["stacks"].as_array().cloned().unwrap_or_default();
        plans.iter().any(|plan| {
            format!("{}@{}", plan["stack"].as_str().unwrap(), plan["host"].as_str().unwrap())
                == *target
        })
    };
    let unnamed = done.iter().filter(|(target, steps)| !steps.is_empty() && !named(target));
    wrong.extend(unnamed.map(|(target, steps)| format!("{target} was not named: {steps:?}")));
    assert!(wrong.is_empty(), "what was done is not what was said\n{}", wrong.join("\n"));
    let mut told = format!("{state} {words}\n");
    if stage.comment("plan").is_some() {
        stage.until_comment("plan", "The plan as it was before the merge").await;
        let last = |comment: &str| comment.lines().nth(1).unwrap_or_default().to_owned();
        stage
            .until("the outcome", |world| {
                let mut all = world.comments.iter().map(|comment| &comment.body);
                all.any(|body| body.contains("moorline:plan") && !last(body).contains('⏳'))
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

fn collect() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pulls");
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
    assert!(files.len() >= 30, "there are only {} kinds", files.len());
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
    let mut wrong = Vec::new();
    while let Some(ended) = playing.join_next().await {
        let (file, text, played) = ended.unwrap();
        match played {
            Err(panic) => wrong.push(format!("{}: it broke off: {panic}", file.display())),
            Ok(played) if played == text => {}
            Ok(played) if std::env::var_os("UPDATE").is_some() => {
                std::fs::write(&file, played).unwrap();
            }
            Ok(played) => {
                let diff = similar::TextDiff::from_lines(&text, &played);
                wrong.push(format!("{}\n{}", file.display(), diff.unified_diff()));
            }
        }
    }
    wrong.sort();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n\n"));
}
