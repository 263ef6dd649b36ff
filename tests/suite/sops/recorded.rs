//! Vectors that the real tools made; `tests/sops/record` makes them again.

use super::{folder, keys, meaning, opened, read};
use moorline::sops::{Format, Identities, Refused};

/// The folders of `sealed`, and who may open what is in them.
const CASES: &[(&str, &[&str])] = &[
    ("age", &["one.txt"]),
    ("mac_only", &["one.txt"]),
    ("several", &["two.txt"]),
    ("several", &["ed25519"]),
    ("several", &["stranger.txt", "rsa", "hybrid.txt", "one.txt"]),
    ("ed25519", &["ed25519"]),
    ("rsa", &["rsa"]),
    ("encrypted_suffix", &["one.txt"]),
    ("unencrypted_regex", &["one.txt"]),
    ("groups", &["one.txt", "two.txt"]),
    ("groups", &["three.txt", "one.txt"]),
    ("groups", &["one.txt", "two.txt", "three.txt"]),
    ("hybrid", &["hybrid.txt"]),
];

fn files(case: &str) -> Vec<String> {
    let files = std::fs::read_dir(folder().join("sealed").join(case)).unwrap();
    let mut names: Vec<String> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert!(!names.is_empty());
    names
}

#[test]
fn every_file_of_the_real_tool_opens_to_what_the_tool_opens_it_to() {
    let mut seen = 0;
    for (case, names) in CASES {
        for file in files(case) {
            let path = format!("sealed/{case}/{file}");
            let (format, own) = opened(&path, &read(&path), &keys(names))
                .unwrap_or_else(|refusal| panic!("{path}: {refusal:?}"));
            let theirs = read(&format!("opened/{case}/{file}"));
            let own = own.bytes.reveal();
            assert_eq!(meaning(format, own), meaning(format, &theirs), "{path}");
            assert!(!String::from_utf8_lossy(own).contains("ENC["), "{path}");
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen}");
}

#[test]
fn values_stay_on_their_lines() {
    for file in ["compose.yaml", "types.yaml", "documents.yaml", "shop.env"] {
        let sealed = read(&format!("sealed/age/{file}"));
        let (_, opened) = opened(file, &sealed, &keys(&["one.txt"])).unwrap();
        let (sealed, plain) = (String::from_utf8(sealed).unwrap(), opened.bytes.reveal());
        let plain = String::from_utf8(plain.clone()).unwrap();
        let name = |line: &str| line.split([':', '=']).next().unwrap_or_default().to_owned();
        for (number, (sealed, plain)) in sealed.lines().zip(plain.lines()).enumerate() {
            let is_item = sealed.trim_start().starts_with('-');
            assert!(
                plain.is_empty() || is_item || name(sealed) == name(plain),
                "{file}:{number}: {plain}"
            );
        }
        assert!(plain.lines().count() > 2, "{file}");
    }
}

#[test]
fn each_encrypted_value_is_told_so_that_it_can_be_hidden() {
    let sealed = read("sealed/age/shop.env");
    let (_, opened) = opened("shop.env", &sealed, &keys(&["one.txt"])).unwrap();
    let values: Vec<&str> = opened.values.iter().map(|value| value.reveal().as_str()).collect();
    assert!(values.contains(&"correct horse battery"), "{values:?}");
    assert!(!values.contains(&"plain"), "{values:?}");
    assert!(!format!("{opened:?}").contains("horse"));
}

#[test]
fn without_the_key_nothing_opens_and_the_recipients_are_named() {
    for (case, names) in [
        ("age", &[][..]),
        ("age", &["stranger.txt", "ed25519", "rsa", "hybrid.txt"]),
        ("ed25519", &["one.txt", "rsa"]),
        ("rsa", &["one.txt", "ed25519"]),
        ("groups", &["one.txt"]),
        ("groups", &["two.txt", "stranger.txt"]),
        ("hybrid", &["one.txt"]),
    ] {
        let file = files(case).pop().unwrap();
        let path = format!("sealed/{case}/{file}");
        let refusal = opened(&path, &read(&path), &keys(names)).unwrap_err();
        assert_eq!(refusal.refused, Refused::NoKey, "{path}: {refusal:?}");
        let recipient = refusal.message.contains("age1") || refusal.message.contains("ssh-");
        assert!(recipient, "{}", refusal.message);
        assert!(refusal.help.contains("age_key_files"), "{}", refusal.help);
    }
}

#[test]
fn a_key_file_that_cannot_be_used_says_why() {
    let add = |text: &str| Identities::default().add(text).unwrap_err().to_string();
    let file = |name: &str| add(&String::from_utf8(read(&format!("keys/{name}"))).unwrap());
    assert!(file("passphrase").contains("passphrase"));
    assert!(file("ecdsa").contains("ed25519 or rsa"));
    assert!(file("ed25519.pub").contains("public half"));
    assert!(add("# only\n\n").contains("no key"));
    assert!(add("-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n").contains("encrypted itself"));
    assert!(add("# c\nAGE-PLUGIN-YUBIKEY-1QQPQ5").starts_with("line 2: keys of plugins"));
    let key = String::from_utf8(read("keys/one.txt")).unwrap();
    assert!(add(&key.replace("AGE-SECRET-KEY-1", "AGE-SECRET-KEY-1Q")).contains("check digits"));
}

#[test]
fn the_format_is_told_by_what_a_file_holds() {
    for (file, format) in [
        ("compose.yaml", Format::Yaml),
        ("documents.yaml", Format::Yaml),
        ("shop.env", Format::Dotenv),
        ("shop.ini", Format::Ini),
        ("shop.json", Format::Json),
        ("key.bin", Format::Binary),
    ] {
        let bytes = read(&format!("sealed/age/{file}"));
        assert_eq!(moorline::sops::format_of(file, &bytes), Some(format), "{file}");
        let plain = read(&format!("plain/{file}"));
        assert_eq!(moorline::sops::format_of(file, &plain), None, "{file}");
    }
}
