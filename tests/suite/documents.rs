//! Documents and examples against the program: what they show exists, and what they link to is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The program under test.
const MOORLINE: &str = env!("CARGO_BIN_EXE_moorline");

/// Longest decision record, in lines: a page.
const PAGE: usize = 70;

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut entries: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            files_below(&entry, extension, found);
        } else if entry.extension().is_some_and(|its| its == extension) {
            found.push(entry);
        }
    }
}

/// Every document: its path below the project, and its text.
fn documents() -> Vec<(PathBuf, String)> {
    let mut files: Vec<PathBuf> =
        ["README.md", "CONTRIBUTING.md", "SECURITY.md", "tests/README.md"]
            .map(|name| project().join(name))
            .into();
    files_below(&project().join("docs"), "md", &mut files);
    files_below(&project().join("examples"), "md", &mut files);
    files
        .into_iter()
        .filter_map(|file| fs::read_to_string(&file).ok().map(|text| (file, text)))
        .collect()
}

/// What a document shows as code: lines of blocks, and spans between single backticks.
fn code_shown(text: &str) -> Vec<String> {
    let mut shown = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced || line.starts_with("    ") {
            shown.push(line.trim().trim_start_matches("$ ").trim_start_matches("# ").to_owned());
        } else {
            shown.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    shown
}

/// The words after `moorline` of a line of code that calls it.
fn call(code: &str) -> Option<Vec<&str>> {
    let mut words =
        code.split_whitespace().skip_while(|word| *word == "sudo" || is_assignment(word));
    let program = words.next()?;
    if program != "moorline" && !program.ends_with("/moorline") {
        return None;
    }
    Some(
        words
            .take_while(|word| !matches!(*word, "|" | ">" | "&&" | "&" | "#" | "→" | ";"))
            .collect(),
    )
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    })
}

/// What `moorline WORDS… --help` prints, if it succeeds.
fn help(words: &[&str]) -> Option<String> {
    let answer =
        Command::new(MOORLINE).args(words).arg("--help").stdin(Stdio::null()).output().unwrap();
    answer.status.success().then(|| String::from_utf8_lossy(&answer.stdout).into_owned())
}

/// The program's commands, each with its help.
fn commands() -> BTreeMap<String, String> {
    let general = help(&[]).expect("moorline --help succeeds");
    let Some(listed) = general.split("Commands:").nth(1) else {
        println!("skipped: the program has no commands yet");
        return BTreeMap::new();
    };
    listed
        .lines()
        .skip(1)
        .take_while(|line| !line.trim().is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("    "))
        .filter_map(|line| line.split_whitespace().next())
        .map(|name| (name.to_owned(), help(&[name]).unwrap_or_default()))
        .collect()
}

fn assert_none(problems: &BTreeSet<String>) {
    let lines: Vec<&str> = problems.iter().map(String::as_str).collect();
    assert!(problems.is_empty(), "\n{}\n", lines.join("\n"));
}

#[test]
fn commands_that_documents_show_exist_with_their_flags() {
    let commands = commands();
    if commands.is_empty() {
        return;
    }
    // A command's help tells its own options; those of all commands stand in the program's.
    let general = help(&[]).unwrap();
    let mut problems = BTreeSet::new();
    for (file, text) in documents() {
        for code in code_shown(&text) {
            let Some(words) = call(&code) else { continue };
            let Some(name) = words.iter().find(|word| !word.starts_with('-')) else { continue };
            let Some(help) = commands.get(*name) else {
                problems
                    .insert(format!("{}: there is no `moorline {name}` ({code})", file.display()));
                continue;
            };
            for flag in words.iter().filter(|word| word.starts_with("--")) {
                let flag =
                    flag.split('=').next().unwrap().trim_end_matches([',', '.', ')', ']', '…']);
                if !help.contains(flag) && !general.contains(flag) {
                    problems
                        .insert(format!("{}: `moorline {name}` takes no {flag}", file.display()));
                }
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn scripts_that_documents_show_exist() {
    let mut problems = BTreeSet::new();
    for (file, text) in documents() {
        for code in code_shown(&text) {
            for word in code.split_whitespace() {
                let ours = word.starts_with("./tests/")
                    || word.starts_with("./examples/")
                    || word.starts_with("./.ci/")
                    || word.starts_with("tests/engines");
                if ours && !project().join(word.trim_start_matches("./")).exists() {
                    problems.insert(format!("{}: there is no {word}", file.display()));
                }
            }
        }
    }
    assert_none(&problems);
}

/// Words in backticks, outside blocks.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.split("```").step_by(2).flat_map(|part| part.split('`').skip(1).step_by(2))
}

#[test]
fn files_of_the_project_that_documents_name_exist() {
    let mut problems = BTreeSet::new();
    for (file, text) in documents() {
        for span in spans(&text) {
            let path = span.split([' ', ':']).next().unwrap().trim_end_matches(['/', ',']);
            let ours = ["src/", "tests/", "docs/", "examples/", ".ci/", ".github/"];
            let made_up = |path: &str| {
                path.contains(['*', '…', '<', '{'])
                    || path
                        .split(['/', '.', '-'])
                        .any(|part| part.len() > 2 && part.bytes().all(|b| b.is_ascii_uppercase()))
            };
            if ours.iter().any(|folder| path.starts_with(folder))
                && !made_up(path)
                && !project().join(path).exists()
            {
                problems.insert(format!("{}: there is no {path}", file.display()));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn variables_that_documents_name_are_read() {
    let mut files = Vec::new();
    for folder in ["src", "tests"] {
        files_below(&project().join(folder), "rs", &mut files);
    }
    files.extend(
        ["tests/all", "tests/engines", "examples/quickstart"].map(|name| project().join(name)),
    );
    let read: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let mut problems = BTreeSet::new();
    for (file, text) in documents() {
        for after in text.split("MOORLINE_").skip(1) {
            let end = after
                .find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
                .unwrap_or(after.len());
            let name = format!("MOORLINE_{}", &after[..end]);
            if end > 0 && !read.contains(&name) {
                problems.insert(format!("{}: nobody reads {name}", file.display()));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn keys_that_documents_name_stand_in_the_tables_of_settings() {
    let settings = fs::read_to_string(project().join("docs/SETTINGS.md")).unwrap();
    let keys: BTreeSet<&str> =
        settings.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert!(keys.len() > 50, "docs/SETTINGS.md has no tables of keys");
    let sections =
        ["limits", "forge", "prune", "credentials", "tls", "ssh", "registries", "capacity"];
    let mut problems = BTreeSet::new();
    for (file, text) in documents() {
        for span in spans(&text) {
            let key = span.split([':', ' ']).next().unwrap();
            let Some((section, rest)) = key.split_once('.') else { continue };
            let plain = rest.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b == b'.');
            if !sections.contains(&section) || rest.is_empty() || !plain {
                continue;
            }
            let known = keys.iter().any(|known| {
                *known == key
                    || known.ends_with(&format!(".{key}"))
                    || known.contains(&format!("{key}."))
            });
            if !known {
                problems.insert(format!("{}: there is no setting {key}", file.display()));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn settings_that_documents_show_are_read() {
    let mut read = 0;
    let mut problems = BTreeSet::new();
    for (file, text) in documents() {
        for block in text.split("```yaml\n").skip(1) {
            let block = block.split("```").next().unwrap();
            // Blocks inside a list are indented as a whole.
            let margin =
                block.lines().next().map_or(0, |line| line.len() - line.trim_start().len());
            let lines: Vec<&str> =
                block.lines().map(|line| line.get(margin..).unwrap_or_default()).collect();
            let block = lines.join("\n");
            let tops: Vec<&str> = lines
                .iter()
                .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()))
                .filter_map(|line| line.split(':').next())
                .collect();
            let of =
                |known: &[&str]| !tops.is_empty() && tops.iter().all(|top| known.contains(top));
            let told: Vec<String> =
                if of(&["repositories", "hosts", "limits", "listen", "data", "registries"]) {
                    let name = "moorline.yaml";
                    match moorline::config::settings::parse(name, block.as_bytes(), Path::new("/"))
                    {
                        Ok(_) => Vec::new(),
                        Err(all) => all.0.iter().map(ToString::to_string).collect(),
                    }
                } else {
                    continue;
                };
            read += 1;
            problems.extend(told.into_iter().map(|what| format!("{}: {what}", file.display())));
        }
    }
    assert!(read >= 3, "only {read} settings are shown");
    assert_none(&problems);
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut problems = BTreeSet::new();
    for (file, text) in documents() {
        for after in text.split("](").skip(1) {
            let target = after.split(')').next().unwrap();
            let path = target.split('#').next().unwrap();
            if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
                continue;
            }
            if !file.parent().unwrap().join(path).exists() {
                problems.insert(format!("{}: {target} leads nowhere", file.display()));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn types_that_the_glossary_names_exist() {
    let mut files = Vec::new();
    files_below(&project().join("src"), "rs", &mut files);
    let sources: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let glossary = fs::read_to_string(project().join("docs/GLOSSARY.md")).unwrap();
    let mut problems = BTreeSet::new();
    for line in glossary.lines() {
        let Some(name) = line.strip_prefix("| `").and_then(|rest| rest.split('`').next()) else {
            continue;
        };
        let exists = ["struct", "enum", "macro_rules!"]
            .iter()
            .any(|keyword| sources.contains(&format!("{keyword} {name}")))
            || sources.contains(&format!("\n    {name},\n"));
        if !exists {
            problems.insert(format!("docs/GLOSSARY.md names `{name}`, which is no type"));
        }
    }
    assert_none(&problems);
}

#[test]
fn decision_records_are_numbered_and_short() {
    let mut files = Vec::new();
    files_below(&project().join("docs/decisions"), "md", &mut files);
    assert!(!files.is_empty(), "docs/decisions is empty");
    let mut problems = BTreeSet::new();
    let mut before = 0;
    for file in &files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(file).unwrap();
        // Numbers are taken before records land: there may be gaps, and no number twice.
        let number = name.split_once('-').filter(|(digits, _)| digits.len() == 4);
        match number.and_then(|(digits, _)| digits.parse::<u32>().ok()).filter(|it| before < *it) {
            Some(number) => before = number,
            None => drop(problems.insert(format!("{name} breaks the numbering"))),
        }
        for heading in ["## Context", "## Choice", "## Consequences"] {
            if !text.contains(heading) {
                problems.insert(format!("{name} has no {heading:?}"));
            }
        }
        if text.lines().count() > PAGE {
            problems.insert(format!("{name} is longer than a page"));
        }
    }
    assert_none(&problems);
}

#[test]
fn each_example_fleet_is_valid() {
    if commands().is_empty() {
        return;
    }
    let mut checked = 0;
    for entry in fs::read_dir(project().join("examples")).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.is_dir()
            || !(folder.join("fleet.yaml").exists() || folder.join("compose.yaml").exists())
        {
            continue;
        }
        let answer = Command::new(MOORLINE)
            .arg("validate")
            .arg(&folder)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(
            answer.status.success(),
            "moorline validate {}:\n{}{}",
            folder.display(),
            String::from_utf8_lossy(&answer.stdout),
            String::from_utf8_lossy(&answer.stderr)
        );
        checked += 1;
    }
    assert!(checked >= 3, "only {checked} examples found");
}

#[test]
fn the_reader_of_documents_finds_calls() {
    let text = "Run `moorline sync shop` or:\n\n    $ MOORLINE_DATA=/x sudo moorline run --repository URL | head\n\n```sh\n./target/release/moorline plan\n```\n`moorline/shop` is a context.";
    let shown = code_shown(text);
    let calls: Vec<Vec<&str>> = shown.iter().filter_map(|code| call(code)).collect();
    assert_eq!(calls, [vec!["sync", "shop"], vec!["run", "--repository", "URL"], vec!["plan"]]);
}
