//! What was said of a head, as it is kept between two starts: a commit that is overtaken while nobody looks is told so.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::{CommitStatus, Digest, Revision, StackName};

/// What was said of a head, for the next start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recollection {
    /// The form; 0 in what was written before there were forms.
    #[serde(default)]
    pub(super) version: u32,
    pub(super) revision: Revision,
    pub(super) stacks: BTreeMap<StackName, CommitStatus>,
    pub(super) asked: BTreeMap<StackName, Digest>,
    /// Stacks that something kept from being deployed. Not there in what older programs kept.
    #[serde(default)]
    pub(super) held: BTreeSet<StackName>,
}

/// Why a recollection cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NotARecollection {
    /// A newer program wrote it.
    #[error("it has form {0}, which a newer moorline wrote")]
    Newer(u32),
    /// It is damaged.
    #[error(transparent)]
    Damaged(#[from] serde_json::Error),
}

/// The form of what is kept. A higher one was written by a newer program.
pub(super) const VERSION: u32 = 1;

impl Recollection {
    /// Reads what was kept.
    ///
    /// # Errors
    /// It is damaged, or newer than this program.
    pub fn parse(bytes: &[u8]) -> Result<Self, NotARecollection> {
        let last: Self = serde_json::from_slice(bytes)?;
        if VERSION < last.version {
            return Err(NotARecollection::Newer(last.version));
        }
        Ok(last)
    }

    /// The same with each line of text passed through `clean`, which takes secrets out.
    #[must_use]
    pub fn cleaned(mut self, clean: impl Fn(&str) -> String) -> Self {
        for status in self.stacks.values_mut() {
            status.description = clean(&status.description);
        }
        self
    }
}
