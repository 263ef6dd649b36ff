//! Figures that tell whether the house stays readable: the caps hold the line, what is aimed at is printed beside them. `cargo test house::figures -- --nocapture` prints them.

use std::collections::BTreeMap;
use std::fs;

use super::{project, rust_files, sources};

/// Lines of a function, from its head to its closing brace: half have at most so many, and 95 of a hundred.
const FUNCTION_MEDIAN: usize = 9;
const FUNCTION_P95: usize = 34;
/// Lines of a file: half have at most so many.
const FILE_MEDIAN: usize = 155;
/// Lines of tests, and of the data that they run, for a hundred lines of code.
const TESTS_TO_CODE: usize = 69;
/// Lines of comment for a hundred lines, in the rooms whose rules are hard.
const COMMENTS: &[(&str, usize)] = &[("compose", 14), ("desired", 15), ("drift", 15), ("plan", 15)];

fn percentile(values: &mut [usize], percent: usize) -> usize {
    values.sort_unstable();
    values[(values.len() - 1) * percent / 100]
}

/// Lines of each function of a text, nested ones included, as `rustfmt` lays them out.
fn functions(text: &str) -> Vec<usize> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let head = line.trim_start();
        let words: Vec<&str> = head.split(' ').take_while(|word| *word != "fn").collect();
        let is_prefix = |word: &&str| {
            ["pub", "const", "async", "unsafe"].contains(word) || word.starts_with("pub(")
        };
        // `pub(in a::b)` has a space in it.
        let is_function = head.split(' ').nth(words.len()) == Some("fn")
            && words.iter().all(|word| is_prefix(word) || word.ends_with(')'));
        if !is_function || line.ends_with(';') {
            continue;
        }
        let indent = &line[..line.len() - head.len()];
        let close = format!("{indent}}}");
        let end = match line.ends_with('}') {
            true => Some(at),
            false => (at + 1..lines.len()).find(|next| {
                // A declaration in a trait ends without a body.
                lines[*next] == close
                    || lines[*next].starts_with(&format!("{indent})"))
                        && lines[*next].ends_with(';')
            }),
        };
        found.extend(end.map(|end| end - at + 1));
    }
    found
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

#[test]
fn functions_and_files_are_short_comments_and_tests_are_many() {
    let (mut lengths, mut files) = (Vec::new(), Vec::new());
    let (mut code, mut tests) = (0, 0);
    let mut comments: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for source in sources() {
        let (production, own_tests) =
            source.text.split_once("\n#[cfg(test)]").unwrap_or((&source.text, ""));
        files.push(source.text.lines().count());
        lengths.extend(functions(production));
        let full = |text: &str| text.lines().filter(|line| !line.trim().is_empty()).count();
        let said = production.lines().filter(|line| is_comment(line)).count();
        code += full(production) - said;
        tests += full(own_tests);
        let room = comments.entry(source.room).or_default();
        *room = (room.0 + said, room.1 + full(production));
    }
    let mut suite = Vec::new();
    rust_files(&project().join("tests"), &mut suite);
    for folder in ["plan", "stories", "manifests", "placement", "comments", "drift", "pulls"] {
        all_files(&project().join("tests").join(folder), &mut suite);
    }
    for file in suite {
        let text = fs::read_to_string(file).unwrap_or_default();
        tests += text.lines().filter(|line| !line.trim().is_empty()).count();
    }
    let median = percentile(&mut lengths, 50);
    let p95 = percentile(&mut lengths, 95);
    let file = percentile(&mut files, 50);
    let tested = tests * 100 / code;
    println!("functions: {}, median {median} (9), p95 {p95} (33) lines", lengths.len());
    println!("files: {}, median {file} (150) lines", files.len());
    println!("tests to code: {tests} to {code} lines, {tested} (70) to 100");
    for (room, (said, all)) in &comments {
        println!("comments in {room}: {} (15) of 100 lines", said * 100 / all);
    }
    assert!(median <= FUNCTION_MEDIAN, "functions: a median of {median} lines");
    assert!(p95 <= FUNCTION_P95, "functions: five of a hundred are longer than {p95} lines");
    assert!(file <= FILE_MEDIAN, "files: a median of {file} lines");
    assert!(TESTS_TO_CODE <= tested, "tests: {tested} lines for 100 of code");
    for (room, least) in COMMENTS {
        let (said, all) = comments[*room];
        assert!(*least <= said * 100 / all, "{room}: {} of 100 lines say why", said * 100 / all);
    }
}

fn all_files(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all_files(&path, found) } else { found.push(path) }
    }
}

#[test]
fn the_reader_of_functions_counts_heads_and_braces() {
    let text = "fn one() {}\n\nimpl A {\n    pub(crate) async fn three(\n        a: u8,\n    ) -> u8 {\n        a\n    }\n\n    fn declared();\n}\nlet f = fn_like;\n";
    assert_eq!(functions(text), [1, 5]);
}
