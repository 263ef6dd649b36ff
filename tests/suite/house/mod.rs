//! The rules of the house, read off the sources: floors, purity, sizes, names.
//!
//! The floors are those of the map at the top of `src/lib.rs`: moving a room is an edit there.

mod circles;
mod figures;
mod homes;
mod recipes;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Longest file, in lines.
const LONGEST_FILE: usize = 600;

/// Libraries whose types stay in the rooms named beside them.
const AT_HOME: &[(&str, &[&str])] = &[
    ("bollard", &["docker"]),
    ("hyper", &["docker", "git", "web"]),
    ("hyper_util", &["docker", "git", "web"]),
    ("git2", &["git"]),
    ("reqwest", &["git", "forge", "docker"]),
    ("russh", &["git", "docker"]),
    ("axum", &["web"]),
    ("clap", &["cli", "main"]),
    ("anyhow", &["cli", "main"]),
    ("libyaml_safer", &["yaml"]),
    ("sd_notify", &["daemon", "cli"]),
    ("notify", &["git", "data"]),
];

/// What a pure room does not mention, and why.
const IMPURE: &[(&str, &str)] = &[
    ("tokio", "waits"),
    ("async fn", "waits"),
    (".await", "waits"),
    ("std::fs", "reads files"),
    ("std::env", "reads the environment"),
    ("TcpStream", "reaches a network"),
    ("TcpListener", "reaches a network"),
    ("UdpSocket", "reaches a network"),
    ("ToSocketAddrs", "asks a name server"),
    ("std::process", "starts programs"),
    ("SystemTime", "looks at the clock"),
    ("Instant", "looks at the clock"),
    ("Timestamp::now", "looks at the clock"),
    ("Zoned::now", "looks at the clock"),
    ("tracing::", "logs"),
    ("println!", "prints"),
    ("eprintln!", "prints"),
    ("rand::", "draws lots"),
];

/// One source file.
struct Source {
    /// Path below the project, for messages.
    path: String,
    /// Its room: the first folder or file below `src`.
    room: String,
    /// Everything.
    text: String,
    /// Without comments, text literals and unit tests.
    code: String,
}

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            rust_files(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.push(entry);
        }
    }
}

fn sources() -> Vec<Source> {
    let mut files = Vec::new();
    rust_files(&project().join("src"), &mut files);
    files
        .iter()
        .map(|file| {
            let path = file.strip_prefix(project()).unwrap().to_string_lossy().into_owned();
            let text = fs::read_to_string(file).unwrap();
            let room = path.split('/').nth(1).unwrap().trim_end_matches(".rs").to_owned();
            let code = code_only(&text);
            Source { path, room, text, code }
        })
        .collect()
}

/// Drops comments, the insides of text and character literals, and what follows the first `#[cfg(test)]` at the margin.
fn code_only(text: &str) -> String {
    let production = text.split("\n#[cfg(test)]").next().unwrap_or(text);
    let mut code = String::with_capacity(production.len());
    let mut rest = production;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = raw_literal(rest) {
            length
        } else if first == '"' {
            text_literal(rest)
        } else if let Some(length) = character_literal(rest) {
            length
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        rest = &rest[skipped..];
    }
    code
}

fn raw_literal(rest: &str) -> Option<usize> {
    let hashes = rest.strip_prefix('r')?;
    let count = hashes.len() - hashes.trim_start_matches('#').len();
    hashes[count..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(count));
    let body = 1 + count + 1;
    Some(rest[body..].find(&close).map_or(rest.len(), |end| body + end + close.len()))
}

fn text_literal(rest: &str) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// `'x'` or `'\n'`, but not a lifetime.
fn character_literal(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('\'')?;
    let first = inside.chars().next()?;
    let length = if first == '\\' { inside[1..].find('\'')? + 1 } else { first.len_utf8() };
    inside.get(length..)?.starts_with('\'').then_some(length + 2)
}

/// The map at the top of `src/lib.rs`: room to floor. Doors have the highest.
fn map() -> BTreeMap<String, u32> {
    let text = fs::read_to_string(project().join("src/lib.rs")).unwrap();
    let mut floor = None;
    let mut rooms = BTreeMap::new();
    for said in text.lines() {
        let Some(said) = said.strip_prefix("//! ") else { continue };
        if let Some(number) = said.strip_prefix("Floor ") {
            floor = number.split(',').next().and_then(|digits| digits.parse().ok());
        } else if let (Some(floor), Some(entry)) = (floor, said.strip_prefix("- ")) {
            let name = entry.split(':').next().unwrap().trim_matches(['[', ']', '`']);
            rooms.insert(name.to_owned(), floor);
        }
    }
    assert!(rooms.len() > 5, "src/lib.rs no longer holds the map of the floors");
    rooms
}

/// The rooms that a file names through `crate::`, groups (`crate::{plan, model::Plan}`) included.
fn rooms_used(code: &str) -> Vec<String> {
    let mut used = Vec::new();
    for after in code.split("crate::").skip(1) {
        match after.strip_prefix('{') {
            Some(group) => used.extend(heads_of_group(group)),
            None => used.push(word(after).to_owned()),
        }
    }
    used.retain(|name| name.starts_with(|first: char| first.is_ascii_lowercase()));
    used
}

fn word(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    &text[..end]
}

fn heads_of_group(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut heads = Vec::new();
    let mut at_head = true;
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_head = true,
            c if at_head && !c.is_whitespace() => {
                heads.push(word(&group[at..]).to_owned());
                at_head = false;
            }
            _ => {}
        }
    }
    heads
}

/// Whether `code` mentions `word` as a path's beginning or a word of its own.
fn mentions(code: &str, what: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(what).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + what.len()..].chars().next();
        let runs_on = before.is_some_and(joins) && what.starts_with(joins)
            || after.is_some_and(joins) && what.ends_with(joins);
        !runs_on
    })
}

fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn every_room_stands_in_the_map() {
    let map = map();
    let problems: Vec<String> = sources()
        .iter()
        .filter(|source| !matches!(source.room.as_str(), "lib" | "main"))
        .filter(|source| !map.contains_key(&source.room))
        .map(|source| format!("{} is in a room that src/lib.rs does not mention", source.path))
        .collect();
    assert_none(&problems);
}

#[test]
fn imports_point_down_only() {
    const EDGES: u32 = 2;
    // They reach nothing but this process, and every edge may use them.
    const SHARED: &[&str] = &["clock", "redaction"];
    let map = map();
    let mut problems = Vec::new();
    for source in sources() {
        let Some(from) = map.get(&source.room) else { continue };
        for used in rooms_used(&source.code).into_iter().filter(|used| *used != source.room) {
            match map.get(&used) {
                None => problems.push(format!("{} uses `{used}`, which is in no map", source.path)),
                Some(to) if to > from => {
                    problems.push(format!(
                        "{} uses `{used}`, which is not on a lower floor",
                        source.path
                    ));
                }
                Some(to) if *to == EDGES && *from == EDGES && !SHARED.contains(&used.as_str()) => {
                    problems.push(format!(
                        "{} uses `{used}`: edges do not know each other",
                        source.path
                    ));
                }
                Some(_) => {}
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn rooms_do_not_import_each_other_in_a_circle() {
    let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources() {
        let used = rooms_used(&source.code).into_iter().filter(|used| *used != source.room);
        imports.entry(source.room.clone()).or_default().extend(used);
    }
    // Takes away rooms that import nothing that is left; whatever stays is a circle, or above one.
    while let Some(free) = imports
        .iter()
        .find(|(_, used)| used.iter().all(|room| !imports.contains_key(room)))
        .map(|(room, _)| room.clone())
    {
        imports.remove(&free);
    }
    assert!(imports.is_empty(), "a circle of imports: {imports:?}");
}

#[test]
fn the_core_does_not_wait_look_at_a_clock_read_or_log() {
    const CORE: u32 = 1;
    let map = map();
    let mut problems = Vec::new();
    for source in sources() {
        if map.get(&source.room).is_none_or(|floor| *floor > CORE) {
            continue;
        }
        for (what, sin) in IMPURE {
            if mentions(&source.code, what) {
                problems.push(format!(
                    "{} is pure and may not mention `{what}`: it {sin}",
                    source.path
                ));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn libraries_stay_in_their_rooms() {
    let mut problems = Vec::new();
    for source in sources() {
        for (library, rooms) in AT_HOME {
            let named = source.code.contains(&format!("{library}::"))
                && mentions(&source.code, &format!("{library}::"));
            // `crate::notify::` and the like are rooms or modules of ours, not the library.
            if named && !rooms.contains(&source.room.as_str()) {
                problems.push(format!(
                    "{} mentions `{library}`, which stays in {rooms:?}",
                    source.path
                ));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn no_file_is_longer_than_it_can_be_read() {
    let problems: Vec<String> = sources()
        .iter()
        .map(|source| (&source.path, source.text.lines().count()))
        .filter(|(_, lines)| *lines > LONGEST_FILE)
        .map(|(path, lines)| format!("{path} has {lines} lines, more than {LONGEST_FILE}"))
        .collect();
    assert_none(&problems);
}

#[test]
fn types_and_functions_are_named_after_ideas() {
    const TYPE_ENDINGS: &[&str] = &["Manager", "Helper", "Util", "Utils", "Handler", "Info"];
    const FUNCTION_BEGINNINGS: &[&str] = &["process_", "handle_", "do_"];
    let mut problems = Vec::new();
    for source in sources() {
        for (keyword, after) in ["struct ", "enum ", "trait ", "type "].iter().flat_map(|keyword| {
            source.code.split(keyword).skip(1).map(move |after| (keyword, after))
        }) {
            let name = word(after);
            if name.is_empty() || !name.starts_with(|first: char| first.is_ascii_uppercase()) {
                continue;
            }
            // An associated type keeps the name that its trait gave it; `Info` alone is the Engine's own word.
            let vague = TYPE_ENDINGS.iter().any(|end| name.ends_with(end) && name != *end);
            if *keyword != "type " && (name == "Error" || vague) {
                problems
                    .push(format!("{}: `{name}` says what it does, not what it is", source.path));
            }
        }
        for after in source.code.split("fn ").skip(1) {
            let name = word(after);
            if FUNCTION_BEGINNINGS.iter().any(|begin| name.starts_with(begin)) {
                problems
                    .push(format!("{}: `{name}` says nothing about what comes out", source.path));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn nothing_is_left_for_later_in_silence() {
    const LEFT: &[&str] = &["todo!", "unimplemented!", "FIXME", "XXX", "HACK"];
    let mut problems = Vec::new();
    for source in sources() {
        for what in LEFT {
            if mentions(&source.text, what) {
                problems.push(format!("{} holds `{what}`", source.path));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn the_reader_of_sources_sees_through_comments_and_text() {
    let code = code_only(
        "use crate::plan; // crate::web\nlet a = \"crate::cli \\\" \"; let b = r#\"crate::git\"#; let c = '\"'; fn f<'a>() {}\n\n#[cfg(test)]\nuse crate::pass;",
    );
    assert_eq!(rooms_used(&code), ["plan"]);
    assert_eq!(
        rooms_used("use crate::{plan, model::{Plan, Step}, drift};"),
        ["plan", "model", "drift"]
    );
    assert!(mentions("std::fs::read", "std::fs"));
    assert!(!mentions("InstantFood", "Instant"));
}
