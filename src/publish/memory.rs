//! What is remembered between starts of what was said, and how long saying it may take.

use std::path::PathBuf;
use std::time::Duration;

use crate::data::disk::at_the_disk;
use crate::data::disk::write_whole;
use crate::data::folder::DataFolder;
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

    /// What was kept; `None` when nothing was. What cannot be understood is said and kept beside: the commit before may
    /// then stay as it was told.
    pub(crate) fn recall(&self) -> Option<Recollection> {
        let text = match at_the_disk(|| std::fs::read(&self.file)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            read => read,
        };
        let problem = match text.map(|text| Recollection::parse(&text)) {
            Ok(Ok(last)) => return Some(last),
            Ok(Err(problem)) => problem.to_string(),
            Err(error) => error.to_string(),
        };
        let kept = self.file.with_extension("damaged");
        tracing::error!(file = %self.file.display(), kept = %kept.display(), %problem, "cannot understand what was said of the last commit: if it was overtaken meanwhile, its statuses stay as they are");
        if let Err(error) = at_the_disk(|| std::fs::rename(&self.file, &kept)) {
            tracing::warn!(%error, "cannot keep the damaged file");
        }
        None
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
