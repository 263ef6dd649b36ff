//! Where in the model a walk is.

use std::fmt;

/// A step of a path.
#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Top,
    Key(&'a str),
    Index(usize),
}

/// A dotted path, kept on the stack while a tree is walked.
///
/// Walks go through every value of a file, and few have a problem: the text is made only for those.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    parent: Option<&'a Self>,
    step: Step<'a>,
}

impl<'a> Place<'a> {
    /// The top level.
    pub(super) const TOP: Place<'static> = Place { parent: None, step: Step::Top };

    /// The value under a key.
    pub(super) fn key(&'a self, key: &'a str) -> Self {
        Self { parent: Some(self), step: Step::Key(key) }
    }

    /// An item of a list.
    pub(super) fn index(&'a self, index: usize) -> Self {
        Self { parent: Some(self), step: Step::Index(index) }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(out)?;
            if !matches!(parent.step, Step::Top) {
                out.write_str(".")?;
            }
        }
        match self.step {
            Step::Top => Ok(()),
            Step::Key(key) => out.write_str(key),
            Step::Index(index) => write!(out, "{index}"),
        }
    }
}
