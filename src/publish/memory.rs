//! What is remembered between starts of what was said, and how long saying it may take.

use std::path::PathBuf;
use std::time::Duration;

use crate::data::disk::text_of;
use crate::data::folder::{DataFolder, write_whole};
use crate::model::RepositoryName;
use crate::reconcile::store::Store;
use crate::state::Recollection;

/// For the last words before leaving.
pub(crate) const FAREWELL: Duration = Duration::from_secs(10);

/// What changes at nearly the same time is read together.
pub(crate) const SETTLE: Duration = Duration::from_millis(25);

/// What was last said of the head, so that a commit which is overtaken while nobody looks does not stay pending.
#[derive(Debug)]
pub(crate) struct Memory {
    file: PathBuf,
}

impl Memory {
    /// That of a repository.
    pub(crate) fn of(data: &DataFolder, name: &RepositoryName) -> Self {
        Self { file: data.forge().join(format!("{name}.head.json")) }
    }

    /// What was kept; nothing when it cannot be read.
    pub(crate) fn recall(&self) -> Option<Recollection> {
        let text = text_of(&self.file)?;
        serde_json::from_str(&text).ok()
    }

    /// Remembers what is said of the head.
    pub(crate) fn keep(&self, store: &Store) {
        let Some(now) = store.recollection() else { return };
        let text = serde_json::to_vec(&now).unwrap_or_default();
        if let Err(error) = write_whole(&self.file, &text) {
            tracing::warn!(%error, file = %self.file.display(), "cannot remember what is said of the head");
        }
    }
}
