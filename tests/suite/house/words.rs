//! Words: decisions rest on types and not on sentences, tests wait for conditions and not for time, and what rooms say to
//! each other stands in the glossary.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::{assert_none, project, rust_files, sources};

/// Sentences that others wrote, and that have no code beside them: their source, and why we read them.
const OTHERS_WORDS: &[(&str, &str)] = &[
    (
        "already in progress",
        "the Engine's, of a removal that somebody else began: its 409 says nothing more",
    ),
    ("No such container", "the Engine's, which says 404 of a file in a container too"),
    (
        "not a directory",
        "the kernel's by way of the Engine, of a mount that leads to another kind of thing",
    ),
    ("not found", "the Engine's, in the error of a container whose network was made anew"),
    ("No commit found", "GitHub's, of a commit that it does not have: its 422 says nothing more"),
    ("maximum number of statuses", "GitHub's, of a full commit: its 422 says nothing more"),
    ("Cannot transition status via", "GitLab's, of a status that is already as asked"),
    ("submitted too quickly", "GitHub's, of a secondary limit without a header"),
    ("rate limit", "GitHub's, of a limit without a header"),
    ("abuse detection", "GitHub Enterprise's older word for a secondary limit"),
    ("not our ref", "git upload-pack's, of a commit that is not offered"),
    ("unadvertised object", "git upload-pack's older word for the same"),
    ("PRIVATE KEY", "the armour of a key in PEM, RFC 7468: what holds one is a secret"),
    ("could not be found", "GitHub's and GitLab's over ssh, of a repository"),
];

/// What compares texts.
const COMPARISONS: [&str; 10] = [
    ".starts_with(\"",
    ".ends_with(\"",
    ".contains(\"",
    ".strip_prefix(\"",
    ".strip_suffix(\"",
    ".find(\"",
    ".split_once(\"",
    ".rsplit_once(\"",
    "== \"",
    "!= \"",
];

/// A literal that is a piece of a sentence: two words, the first in letters.
fn is_prose(literal: &str) -> bool {
    let words: Vec<&str> = literal.split(' ').collect();
    let word =
        |text: &str| text.len() > 1 && text.chars().all(|c| c.is_ascii_alphabetic() || c == '\'');
    words.windows(2).any(|pair| {
        word(pair[0].trim_end_matches([':', ','])) && word(pair[1].trim_end_matches([':', ',']))
    })
}

/// Literals that a text is compared with.
fn compared(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for comparison in COMPARISONS {
        for after in code.split(comparison).skip(1) {
            found.push(after.split('"').next().unwrap().to_owned());
        }
    }
    // Arms of a `match` on a text.
    for line in code.lines() {
        if let Some((arm, _)) = line.split_once("=>")
            && arm.trim_start().starts_with('"')
        {
            found.extend(arm.split('"').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
}

#[test]
fn no_decision_rests_on_a_sentence() {
    let known: BTreeSet<&str> = OTHERS_WORDS.iter().map(|(words, _)| *words).collect();
    let mut problems = Vec::new();
    for source in sources() {
        let production = source.text.split("\n#[cfg(test)]").next().unwrap();
        let production: String = production
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .flat_map(|line| [line, "\n"])
            .collect();
        for literal in compared(&production) {
            if is_prose(&literal) && !known.contains(literal.as_str()) {
                problems.push(format!(
                    "{} compares a text with {literal:?}: let a type say it",
                    source.path
                ));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn errors_are_said_with_their_causes_by_one_printer() {
    let printers: Vec<String> = sources()
        .iter()
        .filter(|source| !source.path.starts_with("src/model/failure/"))
        .filter(|source| source.code.contains("Error::source("))
        .map(|source| format!("{} walks causes: let `model::chain` say them", source.path))
        .collect();
    assert_none(&printers);
}

/// Where tests wait for time to pass although nothing else tells: what, and how often. May only shrink.
const SLEEPS_LEFT: &[(&str, usize)] = &[("git/hostile.rs", 1), ("hostile/mod.rs", 1)];

#[test]
fn tests_wait_for_conditions_and_not_for_time() {
    let folder = project().join("tests/suite");
    let mut files = Vec::new();
    rust_files(&folder, &mut files);
    let mut problems = Vec::new();
    for file in files {
        let path = file.strip_prefix(&folder).unwrap().to_string_lossy().into_owned();
        if path.starts_with("support/") || path.starts_with("house/") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let count = super::code_only(&text).matches("sleep(").count();
        let left = SLEEPS_LEFT.iter().find(|(name, _)| *name == path).map_or(0, |(_, left)| *left);
        if count > left {
            problems.push(format!(
                "tests/suite/{path} sleeps {count} times: wait for a condition (`support::until`), or pause the clock"
            ));
        }
    }
    assert_none(&problems);
}

/// In how many rooms beside its own a type is spoken of before the glossary must have it.
const SPOKEN_OF: usize = 5;

#[test]
fn types_that_many_rooms_speak_of_stand_in_the_glossary() {
    let sources = sources();
    let mut defined: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in &sources {
        for line in source.code.lines() {
            let name = ["pub struct ", "pub enum ", "pub trait "]
                .iter()
                .find_map(|keyword| line.strip_prefix(keyword));
            if let Some(name) = name {
                defined
                    .entry(super::word(name).to_owned())
                    .or_default()
                    .insert(source.room.clone());
            }
        }
    }
    let mut named: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in &sources {
        let last =
            super::circles::paths(&source.code).into_iter().filter_map(|mut path| path.pop());
        named.entry(source.room.clone()).or_default().extend(last);
    }
    // One word, one idea: a name that two rooms define is each room's own business until another one speaks of it.
    let glossary = fs::read_to_string(project().join("docs/GLOSSARY.md")).unwrap();
    let mut problems = Vec::new();
    for (name, rooms) in defined.iter().filter(|(_, rooms)| rooms.len() == 1) {
        let speak: BTreeSet<&str> = named
            .iter()
            .filter(|(room, names)| !rooms.contains(*room) && names.contains(name))
            .map(|(room, _)| room.as_str())
            .collect();
        if speak.len() >= SPOKEN_OF && !glossary.contains(&format!("| `{name}` |")) {
            problems
                .push(format!("docs/GLOSSARY.md does not have `{name}`, of which {speak:?} speak"));
        }
    }
    assert_none(&problems);
}

#[test]
fn the_glossary_has_each_type_once_and_none_that_is_gone() {
    let glossary = fs::read_to_string(project().join("docs/GLOSSARY.md")).unwrap();
    let mut known = BTreeSet::new();
    let mut problems = Vec::new();
    let sources = sources();
    for line in glossary.lines() {
        let Some((name, _)) = line.strip_prefix("| `").and_then(|line| line.split_once("` |"))
        else {
            continue;
        };
        if !known.insert(name) {
            problems.push(format!("docs/GLOSSARY.md has `{name}` twice"));
        }
        if !sources.iter().any(|source| super::mentions(&source.code, name)) {
            problems.push(format!("docs/GLOSSARY.md has `{name}`, which is gone"));
        }
    }
    assert_none(&problems);
}

#[test]
fn the_reader_of_words_knows_a_sentence() {
    assert!(is_prose("rolled back") && is_prose("waits for approval: ") && is_prose("failed: it"));
    assert!(!is_prose("moorline/") && !is_prose("ok ") && !is_prose("- ") && !is_prose("a=b c"));
    let code = "if line.starts_with(\"rolled back\") { match x { \"timed out\" => 1, _ => 0 } }\n    \"not so\" | \"but so\" => 2,\n";
    assert_eq!(compared(code), ["rolled back", "not so", "but so"]);
}
