//! Values that stand for another value: ciphertext, and references to a manager of secrets. No container can use them
//! as they are, and one that gets them anyway runs with a password that everybody can read in Git.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::OnceLock;

use aho_corasick::AhoCorasick;

use crate::compose::convert::Parts;
use crate::compose::text::dotenv::Variables;
use crate::model::{Diagnostic, Extensions, Location, Origins, Secret, ServiceName};

/// Beyond this many bytes a file is data; what encrypts says so at the beginning or end of much smaller ones.
/// A model of SOPS keeps its metadata at the end, age and git-crypt their names in the first line.
const LARGEST: usize = 4 << 20;
/// Problems that one stack is told of; a wholly encrypted file holds more of one kind.
const MAX_SAID: usize = 20;

/// What to do about it.
pub const HELP: &str = "put the value itself into a file outside Git that `variables` of the settings names; `x-moorline: {encrypted: allow}` on the service hands it on as it is";

/// What stands in place of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seal {
    /// Ciphertext, and what made it.
    Encrypted(&'static str),
    /// A reference to a secret's place, and how it begins.
    Reference(&'static str),
}

impl fmt::Display for Seal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encrypted(by) => write!(out, "ciphertext ({by})"),
            Self::Reference(scheme) => write!(out, "a reference that nothing resolves ({scheme}…)"),
        }
    }
}

/// References by their schemes: 1Password's `op://VAULT/ITEM/FIELD`, the `vault:PATH#KEY` of Vault's webhooks (`bao:` of
/// OpenBao's), vals' `ref+PROVIDER://…`, Keeper's `keeper://UID/field/…`, Bitwarden's `bws://…`.
const ADDRESSES: [&str; 3] = ["op://", "keeper://", "bws://"];
const PATHS: [&str; 2] = ["vault:", "bao:"];

/// What a value stands for, if it stands for another one.
///
/// Only what has the shape of such a value counts: a word that happens to begin with `vault:` and is no path of a
/// secret is a word.
pub fn of_value(text: &str) -> Option<Seal> {
    if holds_ciphertext(text) {
        return Some(Seal::Encrypted("ENC[…]"));
    }
    if let Some(by) = header(text.as_bytes()) {
        return Some(Seal::Encrypted(by));
    }
    if let Some(scheme) = ADDRESSES.into_iter().find(|scheme| holds_address(text, scheme)) {
        return Some(Seal::Reference(scheme));
    }
    if text.strip_prefix("ref+").is_some_and(|rest| rest.contains("://")) {
        return Some(Seal::Reference("ref+"));
    }
    PATHS
        .into_iter()
        .find(|scheme| text.trim().strip_prefix(scheme).is_some_and(is_path_of_secret))
        .map(Seal::Reference)
}

/// Whether a value in these bytes may be sealed: a quick look that spares most models a thorough one.
pub(in crate::compose) fn may_hold(bytes: &[u8]) -> bool {
    const SIGNS: [&[u8]; 9] = [
        b"ENC[",
        b"op://",
        b"keeper://",
        b"bws://",
        b"vault:",
        b"bao:",
        b"ref+",
        b"-----BEGIN",
        b"$ANSIBLE",
    ];
    static FINDER: OnceLock<Option<AhoCorasick>> = OnceLock::new();
    let finder = FINDER.get_or_init(|| AhoCorasick::new(SIGNS).ok());
    finder.as_ref().is_none_or(|finder| finder.is_match(bytes))
}

/// What a whole file stands for: one that SOPS, age, Ansible or git-crypt encrypted, or that holds one reference.
///
/// Mounted as it is, a service would read ciphertext where it expects a key, and some take whatever bytes they find.
pub fn of_file(bytes: &[u8]) -> Option<Seal> {
    if let Some(by) = header(bytes) {
        return Some(Seal::Encrypted(by));
    }
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= LARGEST)?;
    if holds_ciphertext(text) && is_sops_file(text) {
        return Some(Seal::Encrypted("SOPS"));
    }
    let is_one_word = text.trim().lines().count() == 1 && !text.trim().contains(' ');
    if is_one_word { of_value(text.trim()) } else { None }
}

/// Formats that say at their beginning what they are.
fn header(bytes: &[u8]) -> Option<&'static str> {
    const HEADERS: [(&[u8], &str); 5] = [
        (b"age-encryption.org/v1", "age"),
        (b"-----BEGIN AGE ENCRYPTED FILE-----", "age"),
        (b"-----BEGIN PGP MESSAGE-----", "OpenPGP"),
        (b"$ANSIBLE_VAULT;", "Ansible Vault"),
        (b"\0GITCRYPT\0", "git-crypt"),
    ];
    let bytes = bytes.trim_ascii_start();
    HEADERS.iter().find(|(start, _)| bytes.starts_with(start)).map(|(_, by)| *by)
}

/// `ENC[AES256_GCM,data:…]` anywhere, as SOPS and its kin write values; `ENC[…]` as the whole of it.
///
/// `ENC[` alone may be part of any text; with the cipher's name behind it, nobody writes it by hand.
fn holds_ciphertext(text: &str) -> bool {
    let whole = text.trim();
    if whole.starts_with("ENC[") && whole.ends_with(']') {
        return true;
    }
    text.match_indices("ENC[").any(|(at, _)| {
        let rest = text.get(at + 4..).unwrap_or_default();
        let cipher =
            rest.find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
        cipher.is_some_and(|end| end > 0 && rest.get(end..).is_some_and(|it| it.starts_with(',')))
    })
}

/// SOPS' metadata: a section `sops` with a `mac`, in env files `sops_mac=`.
/// <https://getsops.io/docs/#important-information-on-types>
///
/// Both are asked for: a service may well be called `sops`.
fn is_sops_file(text: &str) -> bool {
    let key = |name: &str| {
        text.match_indices(name).any(|(at, _)| {
            let before = text.get(..at).and_then(|before| before.chars().next_back());
            let after = text.get(at + name.len()..).unwrap_or_default();
            let after = after.trim_start_matches(['"', ' ']);
            before.is_none_or(|c| !c.is_alphanumeric() && c != '_')
                && after.starts_with([':', '=', ']'])
        })
    };
    key("sops_mac") || (key("sops") && key("mac"))
}

/// An address with this scheme, which is not the end of another scheme's name.
fn holds_address(text: &str, scheme: &str) -> bool {
    text.match_indices(scheme).any(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text.get(at + scheme.len()..).and_then(|after| after.chars().next());
        before.is_none_or(|c| !c.is_alphanumeric() && !"+-.".contains(c))
            && after.is_some_and(char::is_alphanumeric)
    })
}

/// `secret/data/shop#PASSWORD`, `//secret/shop`; not `8200/v1` (a port), `latest` (a tag) or `/backup` (a folder).
fn is_path_of_secret(rest: &str) -> bool {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    let path = path.trim_start_matches('/');
    if path.contains(char::is_whitespace) || path.is_empty() {
        return false;
    }
    if let Some((path, key)) = path.split_once('#') {
        return !path.is_empty() && !key.is_empty();
    }
    let first = path.split('/').next().unwrap_or_default();
    let is_port = first.bytes().all(|byte| byte.is_ascii_digit());
    let is_relative = rest.len() == path.len() || rest.starts_with("//");
    is_relative && !is_port && path.contains('/')
}

/// Variables of files that are sealed, and where they stand: a value that comes from one is told with it.
#[derive(Debug, Default)]
pub(in crate::compose) struct SealedVariables(Vec<(String, String, Location)>);

impl SealedVariables {
    /// Notes what of these variables is sealed.
    pub(in crate::compose) fn note(&mut self, variables: &Variables) {
        for (name, variable) in variables.iter().filter(|(_, it)| of_value(&it.value).is_some()) {
            let location =
                Location { file: variable.file.to_string(), line: variable.line, column: 1 };
            self.0.push((name.clone(), variable.value.clone(), location));
        }
    }

    /// The variable that a text came from.
    fn within(&self, text: &str) -> Option<(&str, &Location)> {
        let mut all = self.0.iter();
        let found = all.find(|(_, value, _)| text.contains(value.as_str()));
        found.map(|(name, _, location)| (name.as_str(), location))
    }
}

/// Every sealed value that a container of an enabled service, or a network or volume, would be given.
pub(in crate::compose) fn check(
    parts: &Parts,
    enabled: &BTreeSet<ServiceName>,
    origins: &Origins,
    variables: &SealedVariables,
) -> Vec<Diagnostic> {
    let mut walk = Walk { origins, variables, found: Vec::new() };
    for (name, service) in parts.services.iter().filter(|(name, _)| enabled.contains(*name)) {
        if allows(&service.extensions) || allows(&parts.extensions) {
            continue;
        }
        walk.visit(&format!("services.{name}"), service);
        for config in &service.configs {
            let Some(object) = parts.configs.get(&config.source) else { continue };
            let path = format!("configs.{}", config.source);
            walk.text(&format!("{path}.content"), &object.content);
            walk.value(&path, object.value.as_ref());
        }
        for secret in &service.secrets {
            let object = parts.secrets.get(&secret.source);
            let value = object.and_then(|object| object.value.as_ref());
            walk.value(&format!("secrets.{}", secret.source), value);
        }
    }
    if !allows(&parts.extensions) {
        walk.visit("networks", &parts.networks);
        walk.visit("volumes", &parts.volumes);
    }
    walk.said()
}

/// `x-moorline: {encrypted: allow}`: whoever gets it can read it.
///
/// Said in the manifest, at the service that can decrypt by itself, and so seen by whoever reviews it.
pub fn allows(extensions: &Extensions) -> bool {
    let ours = extensions.get("x-moorline").and_then(|ours| ours.get("encrypted"));
    ours.and_then(serde_json::Value::as_str) == Some("allow")
}

struct Walk<'a> {
    origins: &'a Origins,
    variables: &'a SealedVariables,
    found: Vec<Diagnostic>,
}

impl Walk<'_> {
    fn visit(&mut self, path: &str, part: &impl serde::Serialize) {
        // Plain data can always be written.
        if let Ok(json) = serde_json::to_value(part) {
            self.json(path, &json);
        }
    }

    fn json(&mut self, path: &str, json: &serde_json::Value) {
        match json {
            serde_json::Value::String(text) => self.text(path, text),
            serde_json::Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.json(&format!("{path}.{index}"), item);
                }
            }
            serde_json::Value::Object(map) => {
                for (key, value) in map {
                    self.json(&format!("{path}.{key}"), value);
                }
            }
            _ => {}
        }
    }

    fn value(&mut self, path: &str, value: Option<&Secret<String>>) {
        if let Some(value) = value {
            self.text(path, value.reveal());
        }
    }

    fn text(&mut self, path: &str, text: &str) {
        let Some(seal) = of_value(text) else { return };
        let location = self.origins.nearest(path).unwrap_or_else(|| Location::file(""));
        let from = match self.variables.within(text) {
            Some((_, place)) if *place == location => String::new(),
            Some((name, place)) => format!(", from {name} ({}:{})", place.file, place.line),
            None => String::new(),
        };
        let message = format!("a container would be given {seal}{from}");
        self.found.push(Diagnostic::error(location, message).at(path).help(HELP));
    }

    /// One problem a place, advice once, and not all of a whole file.
    fn said(self) -> Vec<Diagnostic> {
        let mut found = self.found;
        found.sort();
        found.dedup_by(|one, other| one.location == other.location);
        let total = found.len();
        found.truncate(MAX_SAID);
        for problem in found.iter_mut().skip(1) {
            problem.help.clear();
        }
        if let Some(last) = found.last_mut().filter(|_| total > MAX_SAID) {
            last.message = format!("{}; and {} more such values", last.message, total - MAX_SAID);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_values_are_told_from_those_that_look_like_them() {
        for text in [
            "ENC[AES256_GCM,data:AAAA,iv:BBBB,tag:CCCC,type:str]",
            "postgres://shop:ENC[AES256_GCM,data:A,iv:B,tag:C,type:str]@db/shop",
            "ENC[PKCS7,MIIB]",
            "op://homelab/shop/password",
            "--token=op://homelab/shop/token",
            "{{ op://homelab/shop/password }}",
            "vault:secret/data/shop#DB_PASSWORD",
            "vault://secret/shop",
            "ref+vault://secret/shop#/password",
            "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl",
            "$ANSIBLE_VAULT;1.1;AES256\n6162",
        ] {
            assert!(of_value(text).is_some(), "{text}");
        }
        for text in [
            "",
            "vault",
            "vault:8200",
            "vault:8200/v1/sys/health",
            "vault:1.13.3",
            "vault:/backup",
            "vault:vault",
            "http://vault:8200/ui",
            "shop://cart/1",
            "ENC",
            "FENC[0]",
            "encode ENC[x] here",
            "git+op://x",
            "a \"op://\" prefix",
        ] {
            assert!(of_value(text).is_none(), "{text}");
        }
    }

    #[test]
    fn whole_files_are_told_by_what_they_say_of_themselves() {
        let yaml = "db:\n  password: ENC[AES256_GCM,data:A,iv:B,tag:C,type:str]\nsops:\n  mac: ENC[AES256_GCM,data:A]\n";
        let json =
            "{\"a\": \"ENC[AES256_GCM,data:A]\", \"sops\": {\"mac\": \"ENC[AES256_GCM,data:B]\"}}";
        let env = "A=ENC[AES256_GCM,data:A]\nsops_mac=ENC[AES256_GCM,data:B]\n";
        for sealed in [yaml, json, env, "op://a/b/c\n", "age-encryption.org/v1\n-> X25519 …"] {
            assert!(of_file(sealed.as_bytes()).is_some(), "{sealed}");
        }
        let page = "# Secrets\n\nWe write `ENC[AES256_GCM,data:…]` for each value, and op://a/b for others.\n";
        assert_eq!(of_file(page.as_bytes()), None);
        assert_eq!(of_file(b"\0GITCRYPT\0\x01\x02"), Some(Seal::Encrypted("git-crypt")));
        assert_eq!(of_file(b"plain"), None);
    }
}
