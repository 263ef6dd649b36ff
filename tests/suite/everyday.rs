//! What people meet on an ordinary day: help, completions, manual pages, errors as data.

use std::process::{Command, Output, Stdio};

use super::support::schema;

const MOORLINE: &str = env!("CARGO_BIN_EXE_moorline");

/// Lines that a command's help may have: what fits a screen.
const LONGEST_HELP: usize = 40;

fn moorline(args: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(MOORLINE);
    let data = folder.path().join("data");
    command.args(args).current_dir(folder.path()).env("MOORLINE_DATA", data).stdin(Stdio::null());
    command.env_remove("DOCKER_HOST").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn commands() -> Vec<String> {
    let general = text(&moorline(&["--help"]).stdout);
    let listed = general.split("Commands:").nth(1).unwrap().lines().skip(1);
    let lines = listed.take_while(|line| !line.trim().is_empty());
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("    "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn the_help_of_a_command_fits_a_screen_and_names_its_own_options() {
    let names = commands();
    assert!(names.len() > 25, "{names:?}");
    for name in names {
        let said = moorline(&[&name, "--help"]);
        assert!(said.status.success());
        let help = text(&said.stdout);
        let lines = help.lines().filter(|line| !line.trim().is_empty()).count();
        assert!(lines < LONGEST_HELP, "`moorline {name} --help` has {lines} lines:\n{help}");
        assert!(!help.contains("--known-hosts-file"), "{help}");
        assert!(help.contains("moorline --help"), "it says where the other options are: {help}");
    }
    assert!(text(&moorline(&["--help"]).stdout).contains("--known-hosts-file"));
}

#[test]
fn every_command_has_a_manual_page() {
    for name in commands() {
        let page = text(&moorline(&["man", &name]).stdout);
        assert!(page.contains(".TH moorline"), "{name}: {page}");
    }
    let other = moorline(&["man", "dance"]);
    assert_eq!(other.status.code(), Some(1));
    assert!(text(&other.stderr).contains("there are: "), "{}", text(&other.stderr));
}

#[test]
fn an_error_is_data_where_data_was_asked_for() {
    for args in [
        &["plan", "-o", "json", "--settings", "nowhere.yaml"][..],
        &["status", "--output=json", "--settings", "nowhere.yaml"],
        &["hosts", "-ojson", "--no-such-flag"],
        &["tree", "-o", "json"],
    ] {
        let said = moorline(args);
        assert_eq!(said.status.code(), Some(1), "{args:?}");
        let value: serde_json::Value = serde_json::from_slice(&said.stdout)
            .unwrap_or_else(|error| panic!("{args:?}: {error}: {}", text(&said.stdout)));
        assert!(value["error"]["message"].as_str().is_some_and(|it| !it.is_empty()), "{value}");
        assert!(!said.stderr.is_empty(), "people are told too");
    }
}

#[test]
fn every_command_that_prints_data_has_a_schema() {
    for name in commands() {
        let help = text(&moorline(&[&name, "--help"]).stdout);
        // The model that `render` prints is the Compose specification's.
        if help.contains("--output") && name != "render" {
            assert!(schema::of_command(&name).is_some(), "docs/schema/{name}.json is not there");
        }
    }
}

#[test]
fn a_problem_is_shown_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("compose.yaml"), "services:\n  web:\n    imagee: x\n")
        .unwrap();
    let said = Command::new(MOORLINE).arg("validate").current_dir(folder.path()).output().unwrap();
    let told = text(&said.stderr);
    assert!(told.contains("  3 |     imagee: x\n    |     ^"), "{told}");
}

/// The shells in which completions are tried, and how a line is completed in each.
#[test]
fn completions_complete_in_a_real_bash() {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        "hosts: {edge-1: {engine: 'unix:///nowhere'}, edge-2: {engine: 'unix:///elsewhere'}}\n";
    std::fs::write(folder.path().join("moorline.yaml"), settings).unwrap();
    let script = r#"
        source <("$MOORLINE" completions bash)
        try() { COMP_LINE=$1 COMP_POINT=${#1}; _moorline; echo "${COMPREPLY[*]}"; }
        moorline() { "$MOORLINE" "$@"; }
        try "moorline susp"
        try "moorline suspend --on "
        try "moorline plan --output="
    "#;
    let said = Command::new("bash")
        .args(["-c", script])
        .env("MOORLINE", MOORLINE)
        .env("MOORLINE_DATA", folder.path().join("data"))
        .env(
            "PATH",
            format!(
                "{}:{}",
                std::path::Path::new(MOORLINE).parent().unwrap().display(),
                std::env::var("PATH").unwrap()
            ),
        )
        .current_dir(folder.path())
        .output()
        .unwrap();
    let told = text(&said.stdout);
    assert_eq!(
        told.lines().collect::<Vec<_>>(),
        ["suspend", "edge-1 edge-2", "text json yaml"],
        "{}",
        text(&said.stderr)
    );
}
