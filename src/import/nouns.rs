//! What a draft consists of.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use crate::model::{HostName, StackName};

/// A file of the repository.
#[derive(Clone, PartialEq, Eq)]
pub struct DraftFile {
    /// Its content.
    pub bytes: Arc<[u8]>,
    /// Whether it may be run.
    pub executable: bool,
}

impl std::fmt::Debug for DraftFile {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} bytes", self.bytes.len())
    }
}

/// A stack of the fleet.
#[derive(Debug, Clone, serde::Serialize)]
pub struct DraftStack {
    /// The Compose project.
    pub project: String,
    /// Its folder in the repository.
    pub path: String,
    /// Its Compose files, relative to the folder.
    pub files: Vec<String>,
    /// Its own folder on its hosts, where relative paths that are not in Git lie.
    pub directory: Option<String>,
    /// Whether containers of another tool are taken over.
    pub adopt: bool,
    /// Where it runs.
    pub hosts: BTreeSet<HostName>,
    /// Active profiles.
    pub profiles: Vec<String>,
    /// Variables that are no secrets.
    pub environment: BTreeMap<String, String>,
    /// Stacks that come first.
    pub after: BTreeSet<StackName>,
    /// Variables that it needs from outside Git.
    pub variables: Vec<NeededVariable>,
    /// What it uses that is not in Git.
    pub not_in_git: Vec<Outside>,
    /// What is left to do by hand.
    pub by_hand: Vec<String>,
}

/// A variable, without its value.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct NeededVariable {
    /// Its name.
    pub name: String,
    /// What refers to it, `FILE:LINE`; empty where only a default does.
    pub needed_at: String,
    /// Where its value is today; `None` where nobody knows.
    pub value_at: Option<String>,
}

/// Something that a stack uses and that stays outside Git.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Outside {
    /// Where it is.
    pub path: String,
    /// Why it stays there.
    pub why: String,
}

/// Something that was seen and is no stack of the fleet.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LeftAlone {
    /// What it is.
    pub what: String,
    /// Why.
    pub why: String,
}

/// A fleet that is not written yet.
#[derive(Debug, Default)]
pub struct Draft {
    /// Its stacks.
    pub stacks: BTreeMap<StackName, DraftStack>,
    /// The files of the repository, by path.
    pub files: BTreeMap<String, DraftFile>,
    /// The text of each stack's env file outside the repository; it holds secrets.
    pub variables: BTreeMap<StackName, String>,
    /// What is no stack.
    pub left_alone: Vec<LeftAlone>,
}

/// Adds to a text.
pub(super) fn add(text: &mut String, said: std::fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    if text.write_fmt(said).is_err() {
        text.push('\n');
    }
}
