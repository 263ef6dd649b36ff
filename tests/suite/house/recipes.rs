//! Recipes and walks name files: each of them is there.

use std::fs;

use super::{assert_none, project};

/// Documents that say where things are.
const GUIDES: [&str; 4] =
    ["CONTRIBUTING.md", "docs/ARCHITECTURE.md", "docs/WALKS.md", "tests/README.md"];

/// What stands for a name of the reader's own.
const BLANKS: [&str; 6] = ["NAME", "RULE", "NNNN", "…", "*", "{"];

#[test]
fn what_a_recipe_or_a_walk_names_is_there() {
    let mut problems = Vec::new();
    for guide in GUIDES {
        let text = fs::read_to_string(project().join(guide)).unwrap();
        for (number, line) in text.lines().enumerate() {
            for path in line.split('`').skip(1).step_by(2).filter(|word| is_path(word)) {
                if !project().join(path).exists() {
                    problems
                        .push(format!("{guide}:{} names {path}, which is not there", number + 1));
                }
            }
        }
    }
    assert_none(&problems);
}

fn is_path(word: &str) -> bool {
    let below = ["src/", "tests/", "docs/", ".ci/", ".github/", "examples/"];
    below.iter().any(|folder| word.starts_with(folder))
        && !BLANKS.iter().any(|blank| word.contains(blank))
        && !word.contains(' ')
}

#[test]
fn each_hop_of_a_walk_is_in_the_room_that_it_names() {
    let text = fs::read_to_string(project().join("docs/WALKS.md")).unwrap();
    let mut hops = 0;
    let mut problems = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let Some(number) = cells.get(1).and_then(|cell| cell.parse::<u32>().ok()) else { continue };
        hops += 1;
        let rooms: Vec<&str> = cells[2].split('`').skip(1).step_by(2).collect();
        for path in cells[3].split('`').skip(1).step_by(2).filter(|word| is_path(word)) {
            if !rooms.iter().any(|room| path.starts_with(&format!("src/{room}"))) {
                problems.push(format!("hop {number}: {path} is not in {rooms:?}"));
            }
            // A function that is named beside a file is in it.
            let text = fs::read_to_string(project().join(path)).unwrap_or_default();
            let named = cells[3].split('`').skip(1).step_by(2).filter(|word| !is_path(word));
            for function in named.filter(|_| cells[3].matches("src/").count() == 1) {
                if !text.contains(&format!("fn {function}")) {
                    problems.push(format!("hop {number}: {path} has no {function}"));
                }
            }
        }
    }
    assert!(hops >= 20, "only {hops} hops");
    assert_none(&problems);
}

/// Who tells the log of secrets, and who masks with what it knows, since what they show is of no single repository.
const LOGS_CONFIDANTS: [&str; 8] = [
    "src/cli/output.rs",
    "src/daemon/view.rs",
    "src/data/journal.rs",
    "src/oneshot/doctor.rs",
    "src/oneshot/mod.rs",
    "src/oneshot/proposed.rs",
    "src/reconcile/store.rs",
    "src/reconcile/pass.rs",
];

#[test]
fn whatever_speaks_to_one_repository_takes_its_secrets_as_an_argument() {
    let others = super::sources().into_iter().filter(|source| {
        source.code.contains("redaction::")
            && source.room != "redaction"
            && !LOGS_CONFIDANTS.iter().any(|known| source.path.starts_with(known))
    });
    let problems: Vec<String> = others
        .map(|one| format!("{} asks the log's secrets: take a `SecretSet`", one.path))
        .collect();
    assert_none(&problems);
}
