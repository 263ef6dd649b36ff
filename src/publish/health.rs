//! What keeps a repository's statuses and comments from being said, in a file: the daemon notes it, and whoever asks
//! for the state of things reads it.
//!
//! Most of it passes by itself. What does not, such as a server that is no known forge, is nowhere else to be seen: the
//! commits simply have no statuses.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::model::{RepositoryName, Timestamp};

use crate::clock;
use crate::data::disk::write_whole;
use crate::data::disk::{at_the_disk, text_of};
use crate::data::folder::DataFolder;

/// What is wrong with the reporting of one repository, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReportingProblem {
    /// One sentence each, without secrets.
    pub texts: Vec<String>,
    /// When the first of them came, after all was well.
    pub since: Timestamp,
}

/// One repository's troubles, as they are kept.
#[derive(Debug)]
pub(crate) struct ReportingHealth {
    file: PathBuf,
    now: Mutex<Option<ReportingProblem>>,
}

impl ReportingHealth {
    /// Those of a repository, as the last process left them.
    pub(crate) fn of(data: &DataFolder, name: &RepositoryName) -> Self {
        Self { file: file(data, name), now: Mutex::new(read(data, name)) }
    }

    /// These and no others; none when all is well.
    pub(crate) fn are(&self, texts: Vec<String>) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let before = now.as_ref().map_or(&[][..], |trouble| &trouble.texts);
        if before == texts {
            return;
        }
        let since = now.as_ref().map_or_else(clock::now, |trouble| trouble.since);
        *now = (!texts.is_empty()).then_some(ReportingProblem { texts, since });
        let kept = match &*now {
            None => at_the_disk(|| std::fs::remove_file(&self.file)),
            Some(trouble) => {
                write_whole(&self.file, &serde_json::to_vec(trouble).unwrap_or_default())
            }
        };
        drop(now);
        if let Err(error) = kept {
            tracing::warn!(%error, file = %self.file.display(), "cannot note what is wrong with the reporting");
        }
    }
}

/// What is wrong with a repository's reporting; `None` when all is well, or nobody reported yet.
pub(crate) fn read(data: &DataFolder, name: &RepositoryName) -> Option<ReportingProblem> {
    let text = text_of(&file(data, name))?;
    serde_json::from_str(&text).ok()
}

fn file(data: &DataFolder, name: &RepositoryName) -> PathBuf {
    data.forge().join(format!("{name}.trouble.json"))
}
