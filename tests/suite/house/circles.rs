//! Files: none imports itself by way of others, and no folder holds more than one can keep in mind.
//!
//! A room's `mod.rs` is its front: it may name everything below it, and what it re-exports is taken to come from where it
//! is defined. Everything else that a file names counts, in `use` lines and in code.

use std::collections::{BTreeMap, BTreeSet};

use super::{Source, assert_none, sources};

/// Files in one folder, sub-folders not counted: about a dozen.
const MOST_FILES: usize = 13;

/// Folders that are larger, and how large: may only shrink, and goes when the folder does.
const LARGER: &[(&str, usize)] = &[("src/compose", 17), ("src/cli", 15)];

#[test]
fn a_folder_holds_about_a_dozen_files() {
    let mut folders: BTreeMap<String, usize> = BTreeMap::new();
    for source in sources() {
        let folder = source.path.rsplit_once('/').unwrap().0.to_owned();
        *folders.entry(folder).or_default() += 1;
    }
    let allowed = |folder: &str| {
        LARGER.iter().find(|(name, _)| *name == folder).map_or(MOST_FILES, |(_, most)| *most)
    };
    let problems: Vec<String> = folders
        .iter()
        .filter(|(folder, count)| **count > allowed(folder))
        .map(|(folder, count)| {
            format!("{folder} has {count} files, more than {}: make rooms of it", allowed(folder))
        })
        .collect();
    assert_none(&problems);
}

#[test]
fn files_do_not_import_each_other_in_a_circle() {
    let circles = circles(&imports(&sources()));
    let shown: Vec<String> = circles.iter().map(|circle| circle.join(", ")).collect();
    assert!(circles.is_empty(), "files that import themselves:\n{}", shown.join("\n"));
}

/// `src/plan/order.rs` is `plan::order`, `src/plan/mod.rs` is `plan`.
fn module(path: &str) -> Vec<String> {
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs");
    let inner = inner.strip_suffix("/mod").unwrap_or(inner);
    inner.split('/').filter(|part| *part != "lib").map(str::to_owned).collect()
}

type Module = Vec<String>;

/// What each module names of the others.
fn imports(sources: &[Source]) -> BTreeMap<Module, BTreeSet<Module>> {
    let code: BTreeMap<Module, &str> =
        sources.iter().map(|source| (module(&source.path), source.code.as_str())).collect();
    let fronts: BTreeMap<Module, BTreeMap<String, Vec<String>>> =
        code.iter().map(|(module, code)| (module.clone(), reexports(code))).collect();
    let mut found = BTreeMap::new();
    for (own, text) in &code {
        let named = paths(text).into_iter().filter_map(|path| absolute(own, &path));
        let used: BTreeSet<Module> = named
            .filter_map(|path| home(&path, &code, &fronts))
            // A front names what is below it.
            .filter(|other| other != own && !other.starts_with(own))
            .collect();
        found.insert(own.clone(), used);
    }
    found
}

/// Names that a front passes on, and where they come from, relative to it.
fn reexports(code: &str) -> BTreeMap<String, Vec<String>> {
    let mut passed = BTreeMap::new();
    for after in code.split("pub use ").chain(code.split("pub(crate) use ")).skip(1) {
        let statement = after.split(';').next().unwrap();
        for path in spread(statement) {
            if let Some(name) = path.last() {
                passed.insert(name.clone(), path.clone());
            }
        }
    }
    passed
}

/// `a::{b, c::d}` is `a::b` and `a::c::d`.
fn spread(text: &str) -> Vec<Vec<String>> {
    let text = text.trim();
    let Some((head, rest)) = text.split_once('{') else {
        let plain = text.split(" as ").next().unwrap();
        return vec![plain.split("::").map(|part| part.trim().to_owned()).collect()];
    };
    let inside = rest.rsplit_once('}').map_or(rest, |(inside, _)| inside);
    let head: Vec<String> = head
        .split("::")
        .map(|part| part.trim().to_owned())
        .filter(|part| !part.is_empty())
        .collect();
    let mut depth = 0;
    let mut parts = vec![String::new()];
    for character in inside.chars() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().unwrap().push(character);
    }
    let parts = parts.iter().filter(|part| !part.trim().is_empty()).flat_map(|part| spread(part));
    parts.map(|tail| head.iter().cloned().chain(tail).collect()).collect()
}

/// Paths into this crate that a text names: those of `use` lines, and those that begin with `crate`, `super` or `self`.
pub(super) fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back().unwrap_or(' ');
            // `super::super::x` is found at its first word.
            if before.is_alphanumeric() || before == '_' || before == ':' {
                continue;
            }
            let rest = &code[at..];
            let mut depth = 0;
            let end = rest
                .char_indices()
                .find(|(_, character)| {
                    match character {
                        '{' => depth += 1,
                        '}' if depth > 0 => {
                            depth -= 1;
                            return false;
                        }
                        _ => {}
                    }
                    depth == 0 && !(character.is_alphanumeric() || "_:".contains(*character))
                })
                .map_or(rest.len(), |(end, _)| end);
            // A brace that does not follow `::` opens a block.
            let text = &rest[..end];
            let text = match text.find('{') {
                Some(brace) if !text[..brace].ends_with("::") => &text[..brace],
                _ => text,
            };
            found.extend(spread(text));
        }
    }
    found
}

/// The path from the crate's root.
fn absolute(own: &Module, path: &[String]) -> Option<Vec<String>> {
    let (first, mut rest) = path.split_first()?;
    let mut base = match first.as_str() {
        "crate" => Vec::new(),
        "self" => own.clone(),
        _ => own[..own.len().checked_sub(1)?].to_vec(),
    };
    while rest.first().is_some_and(|word| word == "super") {
        base.pop()?;
        rest = &rest[1..];
    }
    base.extend(rest.iter().cloned());
    Some(base)
}

/// The file in which what a path names is defined.
fn home(
    path: &[String],
    code: &BTreeMap<Module, &str>,
    fronts: &BTreeMap<Module, BTreeMap<String, Vec<String>>>,
) -> Option<Module> {
    let mut path = path.to_vec();
    // Each turn goes one front further; eight are more than there are floors in a room.
    for _ in 0..8 {
        let length = (1..=path.len()).rev().find(|length| code.contains_key(&path[..*length]))?;
        let module = path[..length].to_vec();
        let Some(from) = path.get(length).and_then(|name| fronts[&module].get(name)) else {
            return Some(module);
        };
        let mut next = match from.first().map(String::as_str) {
            Some("self" | "super" | "crate") => absolute(&module, from)?,
            _ => module.iter().chain(from).cloned().collect(),
        };
        next.extend(path[length + 1..].iter().cloned());
        if next == path {
            return Some(module);
        }
        path = next;
    }
    None
}

/// Groups of modules each of which reaches every other: strongly connected, larger than one.
fn circles(imports: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<Vec<String>> {
    let reach = |from: &Module| {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&Module> = vec![from];
        while let Some(next) = open.pop() {
            for used in imports.get(next).into_iter().flatten() {
                if seen.insert(used) {
                    open.push(used);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&Module, BTreeSet<&Module>> =
        imports.keys().map(|module| (module, reach(module))).collect();
    let mut told = BTreeSet::new();
    let mut found = Vec::new();
    for (module, others) in &reached {
        if told.contains(module) || !others.contains(*module) {
            continue;
        }
        let circle: Vec<&Module> =
            others.iter().copied().filter(|other| reached[other].contains(*module)).collect();
        told.extend(circle.iter().copied());
        found.push(circle.iter().map(|module| module.join("::")).collect());
    }
    found
}

#[test]
fn the_reader_of_imports_follows_groups_fronts_and_parents() {
    let source = |path: &str, text: &str| Source {
        path: path.to_owned(),
        room: "plan".to_owned(),
        text: text.to_owned(),
        code: text.to_owned(),
    };
    let of = |sources: &[Source], name: &str| -> Vec<String> {
        let all = imports(sources);
        let module: Module = name.split("::").map(str::to_owned).collect();
        all[&module].iter().map(|other| other.join("::")).collect()
    };
    let sources = [
        source("src/plan/mod.rs", "mod order; mod steps; pub use order::Order; pub struct Plan;"),
        source(
            "src/plan/order.rs",
            "use super::steps::{self, Step}; use super::Plan; pub struct Order;",
        ),
        source("src/plan/steps.rs", "use super::Order; use crate::model::{a::Name, Other};"),
        source("src/model/mod.rs", "pub mod a;"),
        source("src/model/a.rs", "pub struct Name;"),
    ];
    assert_eq!(of(&sources, "plan"), [] as [&str; 0]);
    assert_eq!(of(&sources, "plan::order"), ["plan", "plan::steps"]);
    assert_eq!(of(&sources, "plan::steps"), ["model", "model::a", "plan::order"]);
    assert_eq!(circles(&imports(&sources)), [["plan::order", "plan::steps"]]);
}
