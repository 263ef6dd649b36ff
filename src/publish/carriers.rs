//! Which commits carry a drift report, so that each is closed when another one is deployed.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::data::disk::{text_of, write_whole};
use crate::data::folder::DataFolder;
use crate::model::{RepositoryName, Revision};

/// Commits that are remembered to carry a report.
const MOST_CARRIERS: usize = 8;

/// Commits that may carry a report, in the order of their deployment. Kept on disk, so that the report on a commit that
/// is overtaken while nobody looks is closed too.
#[derive(Debug)]
pub(crate) struct Carriers {
    file: PathBuf,
    all: Vec<Carrier>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Carrier {
    revision: Revision,
    overtaken_by: Option<Revision>,
}

impl Carriers {
    /// Those of a repository; none when they cannot be read.
    pub(crate) fn of(data: &DataFolder, name: &RepositoryName) -> Self {
        let file = data.forge().join(format!("{name}.drift.json"));
        let text = text_of(&file).unwrap_or_default();
        Self { file, all: serde_json::from_str(&text).unwrap_or_default() }
    }

    /// This one is deployed now, and overtakes all others.
    pub(super) fn deploy(&mut self, revision: &Revision) {
        self.all.retain(|carrier| carrier.revision != *revision);
        for open in self.all.iter_mut().filter(|carrier| carrier.overtaken_by.is_none()) {
            open.overtaken_by = Some(revision.clone());
        }
        self.all.push(Carrier { revision: revision.clone(), overtaken_by: None });
        let too_many = self.all.len().saturating_sub(MOST_CARRIERS);
        self.all.drain(..too_many);
    }

    /// Overtaken commits, each with the one that overtook it.
    pub(super) fn closed(&self) -> impl Iterator<Item = (&Revision, &Revision)> {
        self.all.iter().filter_map(|one| Some((&one.revision, one.overtaken_by.as_ref()?)))
    }

    pub(super) fn keep(&self) {
        let text = serde_json::to_vec(&self.all).unwrap_or_default();
        if let Err(error) = write_whole(&self.file, &text) {
            tracing::warn!(%error, file = %self.file.display(), "cannot remember which commits carry a drift report");
        }
    }
}
