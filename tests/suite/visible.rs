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
    harbour.hosts["a"].publish("app:v1", serde_json::json!({}));
    let subject = "fix \u{202e}\u{1b}[31m\u{7} this";
    harbour.push(&[("shop/compose.yaml", &manifest(EVIL))], subject);
    let (_, text, said) = harbour.command(&["sync"]).await;
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
