//! The walk over a file's values, whatever its format: each is decrypted, and all are counted into the MAC.

use sha2::{Digest as _, Sha256, Sha512};

use super::age::Identities;
use super::data_key;
use super::metadata::Metadata;
use super::refusal::Refusal;
use super::value::{self, BEGINS, Plain, Unreadable};
use super::{Known, Opened};
use crate::model::Secret;

/// What tells what is encrypted.
#[derive(Clone, Copy)]
pub(super) enum Means<'m> {
    /// Keys: everything is checked.
    Keys(&'m Identities),
    /// The file as it was before, if it was: nothing can be checked, and nothing is opened.
    Before(Option<&'m Known>),
}

/// A file that is being opened.
pub(super) struct Opener<'m> {
    metadata: Metadata,
    source: Source<'m>,
    digest: Sha512,
    values: Vec<Secret<String>>,
    known: Known,
}

#[derive(Clone, Copy)]
enum Source<'m> {
    Key([u8; 32]),
    Before(Option<&'m Known>),
}

/// A value as it stands in the file.
pub(super) enum Written<'v> {
    /// A text, which may be encrypted.
    Text(&'v [u8]),
    /// What is no text.
    Other(Plain),
}

/// The MAC is of encrypted values only: so that nobody takes such a file for one of the other kind, it begins with this.
const ONLY_ENCRYPTED: &[u8] = b"sops";

impl<'m> Opener<'m> {
    /// Finds the file's key, where there are keys.
    pub(super) fn new(metadata: Metadata, means: Means<'m>) -> Result<Self, Refusal> {
        let source = match means {
            Means::Keys(identities) => Source::Key(data_key::find(&metadata, identities)?),
            Means::Before(known) => Source::Before(known),
        };
        let mut digest = Sha512::new();
        if metadata.only_encrypted {
            digest.update(Sha256::digest(ONLY_ENCRYPTED));
        }
        Ok(Self { metadata, source, digest, values: Vec::new(), known: Known::default() })
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
        let place = (bound, text.to_owned());
        let key = match self.source {
            Source::Key(key) => key,
            Source::Before(known) => {
                let as_before = known.and_then(|known| known.0.get(&place));
                as_before.inspect(|plain| self.note(plain));
                return Ok(as_before.cloned().unwrap_or_else(|| token(&place)));
            }
        };
        let plain = value::decrypt(text, &key, &place.0).map_err(|unreadable| {
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
        self.note(&plain);
        self.known.0.insert(place, plain.clone());
        Ok(plain)
    }

    /// Remembers that a value is a secret. Booleans and dates are none: they would hide half of every text.
    fn note(&mut self, plain: &Plain) {
        if matches!(plain, Plain::Text(_) | Plain::Int(_) | Plain::Float(_)) {
            let shown = String::from_utf8_lossy(&plain.shown()).into_owned();
            self.values.push(Secret::new(shown));
        }
    }

    /// Checks the MAC, without which nothing that was read is given away.
    pub(super) fn finish(self) -> Result<Finished, Refusal> {
        let Metadata { mac, modified, .. } = &self.metadata;
        let Self { values, known, .. } = self;
        let Source::Key(key) = self.source else { return Ok(Finished { values, known }) };
        let wrong = || {
            Refusal::changed(
                "the MAC of the SOPS file does not hold: a value or a name was added, removed, moved or changed since it was encrypted",
            )
        };
        let Ok(Plain::Text(expected)) = value::decrypt(mac, &key, modified) else {
            return Err(wrong());
        };
        let own = hex::encode_upper(self.digest.finalize());
        // Both sides are known to whoever has the key; there is nothing that timing could tell.
        if expected.eq_ignore_ascii_case(own.as_bytes()) {
            Ok(Finished { values, known })
        } else {
            Err(wrong())
        }
    }
}

/// What a file that held gives away beside its text.
pub(super) struct Finished {
    values: Vec<Secret<String>>,
    known: Known,
}

impl Finished {
    /// With its text.
    pub(super) fn with(self, bytes: Vec<u8>) -> Opened {
        let Self { values, known } = self;
        Opened { bytes: Secret::new(bytes), values, known }
    }
}

/// What stands for a value that is not opened: another one for another value, and for the same value under another name.
fn token((bound, text): &(String, String)) -> Plain {
    let digest = Sha256::new().chain_update(bound).chain_update([0]).chain_update(text).finalize();
    let digest = hex::encode(digest);
    let short = digest.get(..12).unwrap_or(&digest);
    Plain::Text(format!("encrypted-{short}").into_bytes())
}

/// A path as people write it, without what no terminal should get.
pub(super) fn shown(path: &[&str]) -> String {
    path.join(".").chars().filter(|c| !c.is_control()).take(200).collect()
}
