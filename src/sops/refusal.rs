//! Why a file is not opened.

use crate::model::{Diagnostic, Location};

/// What keeps a file from being opened, for code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// None of the keys that were given opens it.
    NoKey,
    /// It asks for something that is not followed: another key service, a plugin, a rule.
    Unsupported,
    /// It is not written as SOPS writes files.
    Malformed,
    /// A value, a name, the order or the MAC is not what was encrypted.
    Changed,
}

/// Why a file is not opened, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The kind.
    pub refused: Refused,
    /// Line, from 1; 0 when the whole file is meant.
    pub line: u32,
    /// What is wrong. It holds no value of the file.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

impl Refusal {
    fn new(refused: Refused, message: impl Into<String>, help: &str) -> Self {
        Self { refused, line: 0, message: message.into(), help: help.to_owned() }
    }

    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Self::new(
            Refused::Malformed,
            message,
            "encrypt it again with `sops encrypt`, and commit what that writes",
        )
    }

    pub(super) fn unsupported(message: impl Into<String>, help: &str) -> Self {
        Self::new(Refused::Unsupported, message, help)
    }

    pub(super) fn changed(message: impl Into<String>) -> Self {
        Self::new(
            Refused::Changed,
            message,
            "somebody changed the file by hand, or merged two versions of it: take the version before, and edit it with `sops`",
        )
    }

    /// No key opens the data key, which is encrypted for these.
    pub(super) fn no_key(message: impl Into<String>) -> Self {
        Self::new(
            Refused::NoKey,
            message,
            "name a file with the key in the settings: `secrets: {age_key_files: [FILE]}`; or add this daemon's recipient to `.sops.yaml` and run `sops updatekeys` on the file",
        )
    }

    pub(super) fn at_line(mut self, line: u32) -> Self {
        self.line = line;
        self
    }

    /// The same, of a file.
    pub fn diagnostic(&self, file: &str) -> Diagnostic {
        let location = Location { line: self.line, ..Location::file(file) };
        Diagnostic::error(location, &self.message).help(&self.help)
    }
}
