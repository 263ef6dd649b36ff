//! Every door shows text of others as what it is: nothing that a commit, a variable or a label holds ends a line, colours
//! a terminal, or turns what is read.

use crate::support::daemon::Harbour;

/// Ends a line and begins one that looks like ours; colours; turns; is not seen.
const EVIL: &str = "x\\n+environment.FORGED: yes\\e[31m\\u202eturned\\u200bhidden\\u0007";

fn manifest(value: &str) -> String {
    format!(
        "services:\n  web:\n    image: \"app:v1\"\n    environment: {{A: \"{value}\"}}\n    labels: {{l: \"{EVIL}\"}}\n"
    )
}

/// Characters that do something else than being seen.
fn acts(c: char) -> bool {
    let turns = matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || c.is_control() && !matches!(c, '\n' | '\t')
}

fn check(door: &str, shown: &str) {
    if let Some(c) = shown.chars().find(|c| acts(*c)) {
        panic!("{door} shows {c:?} as it is: {shown:?}");
    }
    let forged = shown.lines().find(|line| line.starts_with("+environment.FORGED"));
    assert!(forged.is_none(), "{door} has a line that nobody wrote: {shown}");
}

#[tokio::test]
async fn no_door_lets_text_of_others_act() {
    let harbour = Harbour::new(&["a"]).await;
    harbour.hosts["a"].publish("app:v1", serde_json::json!({"Cmd": ["serve"]}));
    let subject = "fix \u{202e}\u{1b}[31m\u{7} this";
    harbour.push(&[("shop/compose.yaml", &manifest(EVIL))], subject);
    let (code, text, said) = harbour.command(&["sync"]).await;
    assert_eq!(code, 0, "{text}{said}");
    check("sync", &text);
    check("sync, beside", &said);
    harbour
        .push(&[("shop/compose.yaml", &manifest("y\\n+environment.FORGED: no\\u202e"))], subject);
    for words in [
        vec!["plan"],
        vec!["drift"],
        vec!["status"],
        vec!["history"],
        vec!["events"],
        vec!["observe"],
    ] {
        for form in ["text", "json", "yaml"] {
            let mut words = words.clone();
            words.extend(["--output", form]);
            let (_, text, said) = harbour.command(&words).await;
            check(&words.join(" "), &text);
            check(&format!("{}, beside", words.join(" ")), &said);
            if form == "json" && !text.is_empty() && !["history", "events"].contains(&words[0]) {
                serde_json::from_str::<serde_json::Value>(&text).unwrap();
            }
        }
    }
    let (_, drift, _) = harbour.command(&["drift"]).await;
    assert!(
        drift.contains("environment.A: x\\n+environment.FORGED: yes\\u{1b}[31m\\u{202e}turned"),
        "{drift}"
    );
    // A manifest that is wrong is quoted, with its name.
    harbour
        .push(&[("shop/compose.yaml", &format!("services:\n  web: {{\"{EVIL}\": 1}}\n"))], subject);
    let (_, text, said) = harbour.command(&["plan"]).await;
    check("a refused manifest", &text);
    check("a refused manifest, beside", &said);
}

/// A program of ours with these arguments in a folder: what it printed, and what it said beside.
fn run_in(folder: &std::path::Path, words: &[&str]) -> (String, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_moorline"));
    let output = command.args(words).current_dir(folder).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

#[test]
fn neither_does_what_shows_a_working_copy() {
    let folder = tempfile::TempDir::new().unwrap();
    let shop = folder.path().join("shop");
    std::fs::create_dir(&shop).unwrap();
    std::fs::write(shop.join(".env"), format!("A=\"{EVIL}\"\n")).unwrap();
    let wrong = format!("services:\n  web: {{\"{EVIL}\": \"{EVIL}\"}}\n");
    let odd = format!(
        "services:\n  web: {{image: app, environment: {{\"E{EVIL}\": \"${{A}}\"}}, shm_size: \"{EVIL}\"}}\n"
    );
    for manifest in [manifest(EVIL), wrong, odd] {
        std::fs::write(shop.join("compose.yaml"), &manifest).unwrap();
        for form in ["text", "json", "yaml"] {
            for words in [["render", "--output", form, "shop"], ["validate", "--output", form, "."]]
            {
                let (text, said) = run_in(folder.path(), &words);
                let door = words.join(" ");
                check(&door, &text);
                check(&format!("{door}, beside"), &said);
                if form == "json" && !text.is_empty() {
                    serde_json::from_str::<serde_json::Value>(&text).unwrap();
                }
            }
        }
    }
}

#[tokio::test]
async fn neither_do_notes_and_log_lines() {
    let harbour = Harbour::new(&["a"]).await;
    let subject = "fix \u{202e}\u{1b}[31m\u{7} this";
    let refused = format!("services:\n  web: {{\"{EVIL}\": \"{EVIL}\"}}\n");
    let good = manifest(EVIL);
    for (format, files, word) in [
        ("text", vec![("shop/compose.yaml", good.as_str())], "moorline: success"),
        ("json", vec![("shop/compose.yaml", refused.as_str())], "moorline: "),
    ] {
        let commit = harbour.push(&files, subject);
        let log = harbour.repository.root().join(format!("log.{format}"));
        let mut daemon = harbour
            .program(&["run", "--log-format", format])
            .env("RUST_LOG", "trace")
            .stderr(std::fs::File::create(&log).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        harbour.until_noted(&commit, word).await;
        daemon.kill().await.unwrap();
        let said = std::fs::read_to_string(&log).unwrap();
        assert!(said.lines().count() > 5, "{said}");
        for line in said.lines() {
            check(&format!("the log as {format}"), line);
            if format == "json" {
                serde_json::from_str::<serde_json::Value>(line).unwrap();
            }
        }
        check("a note", &harbour.notes(&commit));
    }
}
