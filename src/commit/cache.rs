//! Other commits than the head: those at which targets are kept while the head must wait.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::commit::{self, Commit, Place};
use crate::config::settings::Labels;
use crate::git::{Git, GitError, Source, Wanted};
use crate::model::{HostName, RepositoryName, Revision};
use crate::outside::Outside;

/// Commits that are held in memory. A fleet seldom stands at more; what is asked for again is read again.
const HELD_MAX: usize = 4;

/// Reads commits of one repository, each once for all who ask.
#[derive(Debug)]
pub(crate) struct CommitCache {
    /// Clones.
    pub(crate) git: Arc<Git>,
    /// The remote.
    pub(crate) source: Source,
    /// Its name in the settings.
    pub(crate) repository: RepositoryName,
    /// Hosts of the settings and their labels.
    pub(crate) hosts: Arc<BTreeMap<HostName, Labels>>,
    /// What stacks are given from outside Git.
    pub(crate) outside: Arc<Outside>,
    /// What was read last, newest last. Held while reading: who asks for the same meanwhile waits for it.
    pub(crate) held: Mutex<Vec<Arc<Commit>>>,
}

impl CommitCache {
    /// A commit.
    pub(crate) async fn at(
        &self,
        revision: &Revision,
        stop: &CancellationToken,
    ) -> Result<Arc<Commit>, GitError> {
        let mut held = self.held.lock().await;
        let state = self.outside.state_now().await;
        held.retain(|commit| commit.revision != *revision || commit.outside == state);
        if let Some(found) = held.iter().find(|commit| commit.revision == *revision) {
            return Ok(Arc::clone(found));
        }
        let place = Place {
            git: &self.git,
            source: &self.source,
            repository: &self.repository,
            hosts: &self.hosts,
            outside: &self.outside,
            proposed_for: None,
        };
        let wanted = Wanted::Revision(revision.clone());
        let commit = Arc::new(commit::read(&place, &wanted, stop).await?);
        if held.len() == HELD_MAX {
            held.remove(0);
        }
        held.push(Arc::clone(&commit));
        Ok(commit)
    }
}
