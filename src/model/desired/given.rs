//! What stacks are given from outside Git, as it was at one time.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::model::{StackName, pattern};

/// What stacks are given from outside Git.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    /// Variables; later ones over earlier ones, and all over those from Git.
    pub variables: Vec<GivenVariables>,
    /// Absolute folders, without links, whose files manifests may name as env files.
    pub readable: Vec<String>,
    /// Those of these files that were asked for, by their absolute path.
    pub files: BTreeMap<String, GivenFile>,
}

/// Variables from one place.
#[derive(Clone, PartialEq, Eq)]
pub struct GivenVariables {
    /// The place, as messages name it: a file's path, or a flag.
    pub from: String,
    /// The stacks that get them, by name, `*` for any run of characters; empty for all.
    pub stacks: Vec<String>,
    /// The variables.
    pub content: GivenContent,
}

/// What is known of them.
#[derive(Clone, PartialEq, Eq)]
pub enum GivenContent {
    /// The text of an env file.
    Text(Arc<str>),
    /// Names and values.
    Pairs(BTreeMap<String, String>),
    /// They cannot be read, and why: whoever gets them waits.
    Unreadable(String),
}

/// A file outside Git.
#[derive(Clone, PartialEq, Eq)]
pub enum GivenFile {
    /// Its content.
    Content(Arc<[u8]>),
    /// There is none.
    Absent,
    /// It cannot be read, and why.
    Unreadable(String),
}

impl Given {
    /// The variables that a stack is given, in their order.
    pub fn to<'a>(&'a self, stack: &'a StackName) -> impl Iterator<Item = &'a GivenVariables> {
        self.variables.iter().filter(move |one| {
            let mut named = one.stacks.iter();
            one.stacks.is_empty() || named.any(|name| pattern::fits(name, stack.as_str()))
        })
    }

    /// Whether a manifest may name this absolute path. It must be clean: without `.` and `..`.
    pub fn may_read(&self, path: &str) -> bool {
        self.readable.iter().any(|folder| {
            let below = path.strip_prefix(folder.trim_end_matches('/'));
            below.is_some_and(|below| below.starts_with('/'))
        })
    }
}

// Values are secrets: only names are shown.

impl fmt::Debug for GivenVariables {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("GivenVariables")
            .field("from", &self.from)
            .field("stacks", &self.stacks)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for GivenContent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Text(_) => "Text",
            Self::Pairs(_) => "Pairs",
            Self::Unreadable(_) => "Unreadable",
        })
    }
}

impl fmt::Debug for GivenFile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Content(_) => "Content",
            Self::Absent => "Absent",
            Self::Unreadable(_) => "Unreadable",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(stacks: &[&str]) -> Given {
        let stacks = stacks.iter().map(|&name| name.to_owned()).collect();
        let content = GivenContent::Pairs(BTreeMap::new());
        let variables = vec![GivenVariables { from: "all.env".to_owned(), stacks, content }];
        Given { variables, readable: vec!["/mnt/secrets".to_owned()], ..Given::default() }
    }

    #[test]
    fn variables_go_to_the_stacks_that_are_named() {
        let to = |stacks: &[&str], name: &str| {
            given(stacks).to(&StackName::parse(name).unwrap()).count() == 1
        };
        assert!(to(&[], "shop") && to(&["shop"], "shop") && to(&["s*p", "x"], "shop"));
        assert!(to(&["*"], "shop") && to(&["shop*"], "shop"));
        assert!(!to(&["shop"], "shop2") && !to(&["s*q"], "shop") && !to(&["ab*ba"], "aba"));
    }

    #[test]
    fn only_what_is_below_a_readable_folder_may_be_read() {
        let given = given(&[]);
        assert!(given.may_read("/mnt/secrets/shop.env"));
        assert!(!given.may_read("/mnt/secrets2/shop.env") && !given.may_read("/mnt/secrets"));
    }
}
