//! Files that SOPS encrypted: as the real tool made them, as nobody may make them, and beside the real tool itself.

mod daemon;
mod loaded;
mod mutated;
mod real;
mod recorded;

use std::fs;
use std::path::{Path, PathBuf};

use moorline::sops::{Format, Identities, Opened, Refusal, format_of, open};
use moorline::yaml::{self, Node};

/// What `tests/sops/record` made.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sops")
}

fn read(path: &str) -> Vec<u8> {
    fs::read(folder().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The keys of these files.
fn keys(names: &[&str]) -> Identities {
    let mut keys = Identities::default();
    for name in names {
        let text = String::from_utf8(read(&format!("keys/{name}"))).unwrap();
        keys.add(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    keys
}

/// Opens a file in the format that it seems to have.
fn opened(path: &str, bytes: &[u8], keys: &Identities) -> Result<(Format, Opened), Refusal> {
    let format = format_of(path, bytes).expect("a SOPS file");
    open(format, bytes, keys).map(|opened| (format, opened))
}

/// What a plaintext says, whatever its layout: two with one text say the same.
fn meaning(format: Format, bytes: &[u8]) -> String {
    let text = || String::from_utf8(bytes.to_vec()).unwrap();
    match format {
        Format::Yaml => {
            let documents = yaml::parse_as_written("plain", bytes);
            let documents = documents.unwrap_or_else(|error| panic!("{error:?}\n{}", text()));
            documents.iter().map(Node::fingerprint).collect::<Vec<_>>().join("\n---\n")
        }
        Format::Json => serde_json::from_slice::<serde_json::Value>(bytes).unwrap().to_string(),
        Format::Binary => hex::encode(bytes),
        Format::Dotenv => lines(&text(), '#'),
        Format::Ini => {
            let text = lines(&text(), ';');
            let tight = text.lines().map(|line| match line.split_once('=') {
                Some((name, value)) => format!("{}={}\n", name.trim(), value.trim_start()),
                None => format!("{line}\n"),
            });
            tight.collect()
        }
    }
}

/// Lines that are neither empty nor comments.
fn lines(text: &str, comment: char) -> String {
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with(comment));
    lines.map(|line| format!("{line}\n")).collect()
}
