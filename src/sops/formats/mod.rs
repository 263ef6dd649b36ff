//! The formats that SOPS knows: how values, their order and their names are found in each, and where they go back.

mod binary;
mod dotenv;
mod ini;
mod instant;
mod json;
mod yaml;
mod yaml_text;

use super::Opened;
use super::open::Means;
use super::refusal::Refusal;

/// What a file is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// YAML, of any number of documents.
    Yaml,
    /// JSON.
    Json,
    /// `NAME=value`.
    Dotenv,
    /// Sections of `name = value`.
    Ini,
    /// Anything else: one value in JSON.
    Binary,
}

/// The format of a file that SOPS encrypted; `None` for any other file.
///
/// Told by what it holds, because names mislead (`db.env.enc` may be of two formats). Only between JSON and what else
/// can be written in it the name decides, as it does for SOPS.
pub fn format_of(path: &str, bytes: &[u8]) -> Option<Format> {
    if super::MAX_BYTES < bytes.len() || !contains(bytes, b"sops") {
        return None;
    }
    let text = std::str::from_utf8(bytes).ok()?;
    let ends = |end: &str| path.to_ascii_lowercase().ends_with(end);
    if text.trim_start().starts_with('{') {
        let kind = json::kind(text)?;
        return match kind {
            json::Kind::OneValue if !ends(".json") => Some(Format::Binary),
            json::Kind::OneValue | json::Kind::Any if ends(".yaml") || ends(".yml") => {
                Some(Format::Yaml)
            }
            json::Kind::OneValue | json::Kind::Any => Some(Format::Json),
        };
    }
    let mut lines = text.lines();
    if lines.any(|line| line.starts_with("sops_mac=") || line.starts_with("sops_version=")) {
        return Some(Format::Dotenv);
    }
    if text.lines().any(|line| line.trim() == "[sops]") {
        return Some(Format::Ini);
    }
    yaml::is_encrypted(text).then_some(Format::Yaml)
}

/// Opens a file of a format.
pub(super) fn open(format: Format, bytes: &[u8], means: Means<'_>) -> Result<Opened, Refusal> {
    match format {
        Format::Yaml => yaml::open(bytes, means),
        Format::Json => json::open(bytes, means),
        Format::Dotenv => dotenv::open(bytes, means),
        Format::Ini => ini::open(bytes, means),
        Format::Binary => binary::open(bytes, means),
    }
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

/// What holds a name twice, which formats and their readers disagree about.
fn twice(name: &str, line: u32) -> Refusal {
    let name: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
    Refusal::malformed(format!("the name `{name}` stands twice")).at_line(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_what_files_hold() {
        let yaml = "a: ENC[AES256_GCM,data:x]\nsops:\n    mac: x\n";
        let binary = "{\"data\": \"ENC[\", \"sops\": {\"mac\": \"x\"}}";
        let json = "{\"a\": 1, \"sops\": {\"age\": []}}";
        assert_eq!(format_of("a.yaml", yaml.as_bytes()), Some(Format::Yaml));
        assert_eq!(format_of("a.enc", yaml.as_bytes()), Some(Format::Yaml));
        assert_eq!(format_of("a.env.enc", binary.as_bytes()), Some(Format::Binary));
        assert_eq!(format_of("a.json", binary.as_bytes()), Some(Format::Json));
        assert_eq!(format_of("a.txt", json.as_bytes()), Some(Format::Json));
        assert_eq!(format_of("a.yml", json.as_bytes()), Some(Format::Yaml));
        assert_eq!(format_of(".env", b"A=1\nsops_mac=x\n"), Some(Format::Dotenv));
        assert_eq!(format_of("a.conf", b"[a]\nb = 1\n[sops]\nmac = x\n"), Some(Format::Ini));
        for plain in [
            "a: 1\n",
            "sops: true\n",
            "{\"sops\": {\"a\": 1}}",
            "# sops:\n#   mac: x\n",
            "{\"sops\": 1",
            "A=sops_mac=1\n",
            "text: |\n  sops:\n    mac: x\n",
        ] {
            assert_eq!(format_of("a", plain.as_bytes()), None, "{plain}");
        }
    }
}
