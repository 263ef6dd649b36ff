//! The header of a file: for each recipient a stanza, and a MAC over all of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::NotOpened;

const BROKEN: NotOpened = NotOpened::Broken("its header is not written as age writes it");
/// Stanzas of one file: each costs an attempt with each key.
const MOST_STANZAS: usize = 16;

/// One recipient's part.
#[derive(Debug)]
pub(super) struct Stanza<'h> {
    /// What kind of recipient.
    pub(super) kind: &'h str,
    /// What stands behind the kind.
    pub(super) arguments: Vec<&'h str>,
    /// The file's key, encrypted.
    pub(super) body: Vec<u8>,
}

impl Stanza<'_> {
    /// The only argument's bytes; an error where there are more or fewer of either.
    pub(super) fn argument<const N: usize>(&self, at: usize) -> Result<[u8; N], NotOpened> {
        let text = self.arguments.get(at).ok_or(BROKEN)?;
        let bytes = STANDARD_NO_PAD.decode(text).ok().ok_or(BROKEN)?;
        bytes.try_into().ok().ok_or(BROKEN)
    }

    /// An error unless there are so many arguments and, where it is known, so many bytes.
    pub(super) fn expects(&self, arguments: usize, body: Option<usize>) -> Result<(), NotOpened> {
        let holds = self.arguments.len() == arguments
            && body.is_none_or(|length| length == self.body.len());
        if holds { Ok(()) } else { Err(BROKEN) }
    }
}

/// A header.
#[derive(Debug)]
pub(super) struct Header<'h> {
    /// What the MAC is of.
    pub(super) signed: &'h [u8],
    /// Its recipients' parts.
    pub(super) stanzas: Vec<Stanza<'h>>,
    /// The MAC.
    pub(super) mac: Vec<u8>,
}

impl<'h> Header<'h> {
    /// Reads a header; returns it and what is behind it.
    pub(super) fn read(bytes: &'h [u8]) -> Result<(Self, &'h [u8]), NotOpened> {
        let mut lines = Lines { bytes, at: 0 };
        if lines.next()? != "age-encryption.org/v1" {
            return Err(NotOpened::Broken("it is no file of age, or of another version"));
        }
        let mut stanzas = Vec::new();
        loop {
            let start = lines.at;
            let line = lines.next()?;
            if let Some(mac) = line.strip_prefix("--- ") {
                let signed = bytes.get(..start + 3).ok_or(BROKEN)?;
                let mac = STANDARD_NO_PAD.decode(mac).ok().ok_or(BROKEN)?;
                let rest = bytes.get(lines.at..).ok_or(BROKEN)?;
                return Ok((Self { signed, stanzas, mac }, rest));
            }
            let mut words = line.strip_prefix("-> ").ok_or(BROKEN)?.split(' ');
            let kind = words.next().filter(|kind| !kind.is_empty()).ok_or(BROKEN)?;
            let body = lines.body()?;
            stanzas.push(Stanza { kind, arguments: words.collect(), body });
            if MOST_STANZAS < stanzas.len() {
                return Err(NotOpened::Broken("it has more than 16 recipients"));
            }
        }
    }
}

struct Lines<'h> {
    bytes: &'h [u8],
    at: usize,
}

impl<'h> Lines<'h> {
    fn next(&mut self) -> Result<&'h str, NotOpened> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or(BROKEN)?;
        self.at += end + 1;
        std::str::from_utf8(rest.get(..end).unwrap_or_default()).ok().ok_or(BROKEN)
    }

    /// Lines of 64 digits, and one that is shorter.
    fn body(&mut self) -> Result<Vec<u8>, NotOpened> {
        let mut encoded = String::new();
        loop {
            let line = self.next()?;
            encoded.push_str(line);
            match line.len() {
                64 => {}
                0..64 => return STANDARD_NO_PAD.decode(encoded).ok().ok_or(BROKEN),
                _ => return Err(BROKEN),
            }
        }
    }
}
