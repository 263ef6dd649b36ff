//! The walk over a file's values, whatever its format: each is decrypted, and all are counted into the MAC.

use sha2::{Digest as _, Sha256, Sha512};

use super::age::Identities;
use super::data_key;
use super::metadata::Metadata;
use super::refusal::Refusal;
use super::value::{self, BEGINS, Plain, Unreadable};
use crate::model::Secret;

/// A file that is being opened.
pub(super) struct Opener {
    metadata: Metadata,
    key: [u8; 32],
    digest: Sha512,
    values: Vec<Secret<String>>,
}

/// A value as it stands in the file.
pub(super) enum Written<'v> {
    /// A text, which may be encrypted. `None` for what is empty.
    Text(&'v [u8]),
    /// What is no text.
    Other(Plain),
}

/// The MAC is of encrypted values only: so that nobody takes such a file for one of the other kind, it begins with this.
const ONLY_ENCRYPTED: &[u8] = b"sops";

impl Opener {
    /// Finds the file's key.
    pub(super) fn new(metadata: Metadata, identities: &Identities) -> Result<Self, Refusal> {
        let key = data_key::find(&metadata, identities)?;
        let mut digest = Sha512::new();
        if metadata.only_encrypted {
            digest.update(Sha256::digest(ONLY_ENCRYPTED));
        }
        Ok(Self { metadata, key, digest, values: Vec::new() })
    }

    /// The next value in the order of the document. `path` are the names that it is under.
    pub(super) fn value(
        &mut self,
        path: &[&str],
        written: Written<'_>,
        line: u32,
    ) -> Result<Plain, Refusal> {
        let is_encrypted = self.metadata.rule.encrypts(path);
        let plain = match written {
            Written::Text(b"") => Plain::Text(Vec::new()),
            Written::Text(text) if is_encrypted => self.decrypted(path, text, line)?,
            Written::Text(text) => Plain::Text(text.to_vec()),
            Written::Other(_) if is_encrypted => {
                let message =
                    format!("the value of `{}` is not encrypted, and should be", shown(path));
                return Err(Refusal::changed(message).at_line(line));
            }
            Written::Other(plain) => plain,
        };
        if is_encrypted || !self.metadata.only_encrypted {
            self.digest.update(plain.digested());
        }
        Ok(plain)
    }

    fn decrypted(&mut self, path: &[&str], text: &[u8], line: u32) -> Result<Plain, Refusal> {
        let said = |what: &str| format!("the value of `{}` {what}", shown(path));
        let text = std::str::from_utf8(text).ok().filter(|text| text.starts_with(BEGINS));
        let Some(text) = text else {
            return Err(Refusal::changed(said("is not encrypted, and should be")).at_line(line));
        };
        let bound = path.iter().fold(String::new(), |all, name| all + name + ":");
        let plain = value::decrypt(text, &self.key, &bound).map_err(|unreadable| {
            match unreadable {
                Unreadable::Form => {
                    Refusal::malformed(said("is not written as SOPS writes values"))
                }
                Unreadable::Authentication => Refusal::changed(said(
                    "was changed, or belongs under another name or into another file",
                )),
                Unreadable::Type => Refusal::changed(said("has not the type that it says")),
            }
            .at_line(line)
        })?;
        if matches!(plain, Plain::Text(_) | Plain::Int(_) | Plain::Float(_)) {
            let shown = String::from_utf8_lossy(&plain.shown()).into_owned();
            self.values.push(Secret::new(shown));
        }
        Ok(plain)
    }

    /// Checks the MAC, without which nothing that was read is given away. Returns what was encrypted.
    pub(super) fn finish(self) -> Result<Vec<Secret<String>>, Refusal> {
        let Metadata { mac, modified, .. } = &self.metadata;
        let wrong = || {
            Refusal::changed(
                "the MAC of the SOPS file does not hold: a value or a name was added, removed, moved or changed since it was encrypted",
            )
        };
        let Ok(Plain::Text(expected)) = value::decrypt(mac, &self.key, modified) else {
            return Err(wrong());
        };
        let own = hex::encode_upper(self.digest.finalize());
        // Both sides are known to whoever has the key; there is nothing that timing could tell.
        if expected.eq_ignore_ascii_case(own.as_bytes()) { Ok(self.values) } else { Err(wrong()) }
    }
}

/// A path as people write it, without what no terminal should get.
pub(super) fn shown(path: &[&str]) -> String {
    path.join(".").chars().filter(|c| !c.is_control()).take(200).collect()
}
