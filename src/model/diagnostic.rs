//! Problems in manifests and settings: where, what, and what to do.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A place in a file of the repository or of the settings.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Location {
    /// The file's path, relative to the repository (or as given, for settings), with `/`.
    pub file: String,
    /// Line, from 1; 0 when the whole file is meant.
    pub line: u32,
    /// Column in characters, from 1; 0 when the whole line is meant.
    pub column: u32,
}

impl Location {
    /// A place that is a whole file.
    pub fn file(path: impl Into<String>) -> Self {
        Self { file: path.into(), line: 0, column: 0 }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.file)?;
        match (self.line, self.column) {
            (0, _) => Ok(()),
            (line, 0) => write!(out, ":{line}"),
            (line, column) => write!(out, ":{line}:{column}"),
        }
    }
}

/// How bad a problem is. An error keeps the stack from being planned; a warning does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The manifest cannot be used.
    Error,
    /// The manifest can be used, but probably does not mean what it says.
    Warning,
}

/// A problem in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Diagnostic {
    /// Where it is.
    pub location: Location,
    /// How bad it is.
    pub severity: Severity,
    /// The attribute, dotted, such as `services.web.ports.0`; empty when none is meant.
    pub path: String,
    /// What is wrong, in lower case and without a period.
    pub message: String,
    /// What to do about it, as a sentence part; empty when there is nothing to add.
    pub help: String,
}

impl Diagnostic {
    /// An error without an attribute path or help.
    pub fn error(location: Location, message: impl Into<String>) -> Self {
        Self {
            location,
            severity: Severity::Error,
            path: String::new(),
            message: message.into(),
            help: String::new(),
        }
    }

    /// A warning without an attribute path or help.
    pub fn warning(location: Location, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(location, message) }
    }

    /// The same with the attribute that it is about.
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// The same with advice.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(out, "{}: {severity}: ", self.location)?;
        if !self.path.is_empty() {
            write!(out, "{}: ", self.path)?;
        }
        write!(out, "{}", self.message)?;
        if !self.help.is_empty() {
            write!(out, "\n  help: {}", self.help)?;
        }
        Ok(())
    }
}

/// All problems of one load, in the order in which they were found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Problems of one load that are kept: nobody reads a thousandth, and what is wrong in a large model a million times
    /// would take more room than the model.
    pub const MOST: usize = 1_000;
    /// Bytes of a message, of its path and of its advice.
    const LONGEST: usize = 4_000;

    /// Adds one, with texts of at most a few thousand bytes. Of more than [`Self::MOST`] the first stay, but an error
    /// takes the place of a warning.
    pub fn push(&mut self, mut diagnostic: Diagnostic) {
        if Self::MOST <= self.0.len() {
            let is_warning = |known: &Diagnostic| known.severity == Severity::Warning;
            let Some(place) = self.0.iter().rposition(is_warning) else { return };
            if is_warning(&diagnostic) {
                return;
            }
            self.0.remove(place);
        }
        for text in [&mut diagnostic.message, &mut diagnostic.path, &mut diagnostic.help] {
            if Self::LONGEST < text.len() {
                text.truncate(text.floor_char_boundary(Self::LONGEST));
                text.push('…');
            }
        }
        self.0.push(diagnostic);
    }

    /// Whether a further error would not be kept: what only looks for more of them may stop.
    pub fn is_full(&self) -> bool {
        Self::MOST <= self.0.len() && self.0.iter().all(|known| known.severity == Severity::Error)
    }

    /// Whether any is an error.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// The first error, if any.
    pub fn first_error(&self) -> Option<&Diagnostic> {
        self.0.iter().find(|problem| problem.severity == Severity::Error)
    }
}
