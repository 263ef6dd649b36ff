//! Files that nobody may make: changed, cut, moved, swapped, huge. None of them opens to anything but what was encrypted.

use std::panic::catch_unwind;

use super::{keys, meaning, opened, read};
use moorline::sops::{Format, Identities, Refused, format_of, open};
use moorline::yaml::{self, Kind, Node};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Mutations of one file that are tried, of the seven kinds together.
const EACH: u32 = 1_500;

/// A file, and what it opens to.
struct Original {
    path: String,
    format: Format,
    bytes: Vec<u8>,
    values: Vec<String>,
}

fn originals(keys: &Identities) -> Vec<Original> {
    let files = [
        "compose.yaml",
        "types.yaml",
        "documents.yaml",
        "shop.env",
        "shop.ini",
        "shop.json",
        "key.bin",
    ];
    let original = |file: &str| {
        let path = format!("sealed/age/{file}");
        let bytes = read(&path);
        let (format, opened) = opened(&path, &bytes, keys).unwrap();
        let values = values(format, opened.bytes.reveal());
        Original { path, format, bytes, values }
    };
    files.map(original).into()
}

/// One byte, one bit, one cut, one line twice, one line gone, two lines swapped, two values swapped.
fn mutated(bytes: &[u8], kind: u8, first: usize, second: usize) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let at = first % out.len();
    let lines =
        || bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
    match kind {
        0 => out[at] = u8::try_from(second % 256).unwrap(),
        1 => out[at] ^= 1 << (second % 8),
        2 => out.truncate(at),
        3..=5 => {
            let mut lines = lines();
            let (one, two) = (first % lines.len(), second % lines.len());
            match kind {
                3 => lines.insert(two, lines[one].clone()),
                4 => drop(lines.remove(one)),
                _ => lines.swap(one, two),
            }
            out = lines.concat();
        }
        _ => {
            let text = String::from_utf8(out).unwrap();
            let begins: Vec<usize> = text.match_indices("ENC[").map(|(at, _)| at).collect();
            let value = |at: usize| &text[at..=at + text[at..].find(']').unwrap()];
            let (one, two) =
                (value(begins[first % begins.len()]), value(begins[second % begins.len()]));
            out = text.replace(one, "\0").replace(two, one).replace('\0', two).into_bytes();
        }
    }
    out
}

/// What SOPS authenticates: the values that there are. What it does not: names that nothing encrypted is under, empty
/// values, comments, layout, who else may read it.
fn values(format: Format, bytes: &[u8]) -> Vec<String> {
    fn of_json(json: &serde_json::Value, all: &mut Vec<String>) {
        match json {
            serde_json::Value::Null => {}
            serde_json::Value::Array(items) => items.iter().for_each(|item| of_json(item, all)),
            serde_json::Value::Object(map) => map.values().for_each(|item| of_json(item, all)),
            serde_json::Value::String(text) => all.push(text.clone()),
            other => all.push(other.to_string()),
        }
    }
    fn of_node(node: &Node, all: &mut Vec<String>) {
        match &node.kind {
            Kind::List(items) => items.iter().for_each(|item| of_node(item, all)),
            Kind::Map(map) => map.iter().for_each(|entry| of_node(&entry.value, all)),
            Kind::Scalar(scalar) => all.push(scalar.value().to_text().into_owned()),
        }
    }
    let text = meaning(format, bytes);
    let mut all = Vec::new();
    match format {
        Format::Binary => all.push(text),
        Format::Dotenv | Format::Ini => {
            let pairs = text.lines().filter_map(|line| line.split_once('='));
            all.extend(pairs.map(|(_, value)| value.to_owned()));
        }
        Format::Json => of_json(&serde_json::from_slice(bytes).unwrap(), &mut all),
        Format::Yaml => {
            yaml::parse_as_written("", bytes)
                .unwrap()
                .iter()
                .for_each(|node| of_node(node, &mut all));
        }
    }
    all.retain(|value| !value.is_empty());
    all.sort();
    all
}

#[test]
fn ten_thousand_mutated_files_open_to_nothing_or_to_what_was_encrypted() {
    let keys = keys(&["one.txt"]);
    let (mut refused, mut tried) = (0_u32, 0_u32);
    for original in originals(&keys) {
        let config = Config { cases: EACH, failure_persistence: None, ..Config::default() };
        let seed = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let mut runner = TestRunner::new_with_rng(config, seed);
        let counted = std::cell::Cell::new((0_u32, 0_u32));
        let kinds = (0_u8..7, any::<usize>(), any::<usize>());
        let all = runner.run(&kinds, |(kind, first, second)| {
            let bytes = mutated(&original.bytes, kind, first, second);
            let (refused, tried) = counted.get();
            let Some(format) = format_of(&original.path, &bytes) else {
                counted.set((refused + 1, tried + 1));
                return Ok(());
            };
            let ended = catch_unwind(|| open(format, &bytes, &keys));
            let Ok(ended) = ended else { return Err(TestCaseError::fail("it panicked")) };
            counted.set((refused + u32::from(ended.is_err()), tried + 1));
            if let Ok(opened) = ended {
                prop_assert_eq!(format, original.format);
                prop_assert_eq!(&values(format, opened.bytes.reveal()), &original.values);
            }
            Ok(())
        });
        all.unwrap_or_else(|error| panic!("{}: {error}", original.path));
        let (no, all) = counted.get();
        (refused, tried) = (refused + no, tried + all);
    }
    assert!(tried >= 10_000, "{tried}");
    // Lines of the metadata may move, and comments may go; most of all else is refused.
    assert!(refused > tried / 2, "{refused} of {tried}");
}

/// A recorded file with texts replaced, opened with its key.
fn changed(file: &str, replacements: &[(&str, &str)]) -> Result<String, (Refused, String)> {
    let path = format!("sealed/age/{file}");
    let mut text = String::from_utf8(read(&path)).unwrap();
    for (from, to) in replacements {
        let at = text.find(from).expect("what is replaced");
        text.replace_range(at..at + from.len(), to);
    }
    let keys = keys(&["one.txt"]);
    match opened(&path, text.as_bytes(), &keys) {
        Ok((format, opened)) => Ok(meaning(format, opened.bytes.reveal())),
        Err(refusal) => Err((refusal.refused, format!("{}: {}", refusal.line, refusal.message))),
    }
}

/// The line of a recorded file that begins like this.
fn line(file: &str, begins: &str) -> String {
    let text = String::from_utf8(read(&format!("sealed/age/{file}"))).unwrap();
    let found = text.lines().find(|line| line.trim_start().starts_with(begins));
    found.unwrap_or_else(|| panic!("{file} has no line {begins}")).to_owned()
}

#[test]
fn a_value_under_another_name_does_not_open() {
    let password = line("shop.env", "DB_PASSWORD=");
    let single = line("shop.env", "SINGLE=");
    let value = |line: &str| line.split_once('=').unwrap().1.to_owned();
    let moved = changed(
        "shop.env",
        &[(&value(&password), "\0"), (&value(&single), &value(&password)), ("\0", &value(&single))],
    );
    let (refused, message) = moved.unwrap_err();
    assert_eq!(refused, Refused::Changed);
    assert!(message.starts_with("2: the value of `DB_PASSWORD`"), "{message}");
    // Under one name in a list the path is the same, and the MAC is what notices.
    let renamed = changed("shop.env", &[("DB_PASSWORD=", "DB_PASSWORT=")]).unwrap_err();
    assert_eq!(renamed.0, Refused::Changed);
}

#[test]
fn a_plain_value_that_was_changed_or_added_is_noticed() {
    for (file, from, to) in [
        ("shop.env", "PLAIN_unencrypted=plain", "PLAIN_unencrypted=other"),
        ("shop.env", "PLAIN_unencrypted=plain", "PLAIN_unencrypted=plain\nMORE_unencrypted=x"),
        ("shop.ini", "plain_unencrypted = `a;b`", "plain_unencrypted = `a;c`"),
        ("types.yaml", "hex_unencrypted: 31", "hex_unencrypted: 32"),
        ("types.yaml", "date_unencrypted: 2024-01-31", "date_unencrypted: 2024-01-30"),
        ("shop.json", "\"frac_unencrypted\": 0.1", "\"frac_unencrypted\": 0.2"),
    ] {
        let (refused, message) = changed(file, &[(from, to)]).unwrap_err();
        assert_eq!(refused, Refused::Changed, "{file}: {message}");
    }
}

#[test]
fn a_secret_that_was_replaced_by_a_plain_value_is_refused() {
    let env = line("shop.env", "DB_PASSWORD=");
    let (refused, message) = changed("shop.env", &[(&env, "DB_PASSWORD=known")]).unwrap_err();
    assert_eq!(refused, Refused::Changed);
    assert!(message.contains("`DB_PASSWORD` is not encrypted"), "{message}");
    let empty = changed("shop.env", &[(&env, "DB_PASSWORD=")]).unwrap_err();
    assert!(empty.1.contains("MAC"), "{empty:?}");
    let int = line("types.yaml", "int: ");
    let (_, message) = changed("types.yaml", &[(&int, "int: 43")]).unwrap_err();
    assert!(message.contains("`int` is not encrypted"), "{message}");
}

#[test]
fn a_file_without_its_mac_is_refused_by_that_name() {
    for (file, begins) in [
        ("shop.env", "sops_mac="),
        ("shop.ini", "mac "),
        ("types.yaml", "mac: "),
        ("shop.json", "\"mac\": "),
    ] {
        let (refused, message) = changed(file, &[(&line(file, begins), "")]).unwrap_err();
        assert_eq!(refused, Refused::Changed, "{file}: {message}");
        assert!(message.contains("MAC of the SOPS file (`mac`) is missing"), "{file}: {message}");
    }
    let (refused, message) =
        changed("shop.env", &[("sops_lastmodified=2", "sops_lastmodified=1")]).unwrap_err();
    assert_eq!(refused, Refused::Changed);
    assert!(message.contains("MAC"), "{message}");
}

#[test]
fn what_stands_twice_is_refused() {
    let env = line("shop.env", "DB_PASSWORD=");
    for (file, from, to, at) in [
        ("shop.env", env.as_str(), format!("{env}\n{env}"), "`DB_PASSWORD` stands twice"),
        ("shop.ini", "[empty]", "[db]".to_owned(), "`db` stands twice"),
        (
            "types.yaml",
            "hex_unencrypted: 31",
            "hex_unencrypted: 31\nhex_unencrypted: 31".to_owned(),
            "stands twice",
        ),
        (
            "shop.json",
            "\"frac_unencrypted\": 0.1",
            "\"frac_unencrypted\": 0.1, \"frac_unencrypted\": 0.1".to_owned(),
            "stands twice",
        ),
    ] {
        let (refused, message) = changed(file, &[(from, &to)]).unwrap_err();
        assert_eq!(refused, Refused::Malformed, "{file}: {message}");
        assert!(message.contains(at), "{file}: {message}");
    }
}

#[test]
fn aliases_in_an_encrypted_file_are_refused() {
    let (refused, message) = changed(
        "types.yaml",
        &[
            ("hex_unencrypted: 31", "hex_unencrypted: &a 31"),
            ("octal_unencrypted: 511", "octal_unencrypted: *a"),
        ],
    )
    .unwrap_err();
    assert_eq!(refused, Refused::Malformed);
    assert!(message.contains("alias"), "{message}");
    // An anchor alone changes nothing.
    assert!(changed("types.yaml", &[("hex_unencrypted: 31", "hex_unencrypted: &a 31")]).is_ok());
}

#[test]
fn a_layout_that_the_tool_does_not_write_opens_all_the_same() {
    let before = changed("types.yaml", &[]).unwrap();
    let text = line("types.yaml", "text: ");
    let sealed = text.strip_prefix("text: ").unwrap();
    for layout in [
        format!("text: \"{sealed}\""),
        format!("text: '{sealed}'"),
        format!("text: !!str {sealed}"),
        format!("text: >-\n  {sealed}"),
        format!("\"text\":   {sealed}   # a comment"),
    ] {
        assert_eq!(changed("types.yaml", &[(&text, &layout)]).as_ref(), Ok(&before), "{layout}");
    }
}

#[test]
fn a_huge_file_is_refused_before_it_is_read() {
    let mut bytes = read("sealed/age/shop.env");
    bytes.splice(0..0, std::iter::repeat_n(b'#', 5 << 20).chain([b'\n']));
    assert_eq!(format_of("shop.env", &bytes), None);
    let refusal = open(Format::Dotenv, &bytes, &keys(&["one.txt"])).unwrap_err();
    assert!(refusal.message.contains("4 MiB"), "{}", refusal.message);
}

#[test]
fn what_cannot_be_followed_is_refused_by_name() {
    let age = |from: &str, to: &str| changed("types.yaml", &[(from, to)]).unwrap_err();
    let rule = "unencrypted_suffix: _unencrypted";
    let (refused, message) = age(rule, "unencrypted_suffix: _unencrypted\n    encrypted_regex: x");
    assert_eq!(refused, Refused::Unsupported);
    assert!(message.contains("two rules"), "{message}");
    let (refused, message) = age(rule, "encrypted_comment_regex: x");
    assert_eq!(refused, Refused::Unsupported);
    assert!(message.contains("`encrypted_comment_regex`"), "{message}");
    let (refused, message) = age(rule, "encrypted_regex: '(?<x'");
    assert_eq!(refused, Refused::Unsupported);
    assert!(message.contains("`encrypted_regex`"), "{message}");
    // Keys that other services have, and those of plugins, which are programs.
    let (refused, message) = age("    age:\n", "    kms:\n        - arn: x\n    was:\n");
    assert_eq!(refused, Refused::Unsupported);
    assert!(message.contains("AWS KMS"), "{message}");
    let keys = keys(&["stranger.txt"]);
    let text = String::from_utf8(read("sealed/age/types.yaml")).unwrap();
    let recipient = text.split("recipient: ").nth(1).unwrap().lines().next().unwrap();
    let plugin = text.replace(recipient, "age1yubikey1qtd6lr3");
    let refusal = opened("types.yaml", plugin.as_bytes(), &keys).unwrap_err().message;
    assert!(refusal.contains("plugin of age") && refusal.contains("age1yubikey1"), "{refusal}");
}
