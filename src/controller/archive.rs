//! Other commits than the head: those at which targets are kept while the head must wait.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::checkout::{self, Checkout, Place};
use crate::config::settings::Labels;
use crate::git::{Git, GitError, Source, Wanted};
use crate::model::{HostName, RepositoryName, Revision};

/// Commits that are held in memory. A fleet seldom stands at more; what is asked for again is read again.
const HELD_MAX: usize = 4;

/// Reads commits of one repository, each once for all who ask.
#[derive(Debug)]
pub(super) struct Archive {
    /// Clones.
    pub(super) git: Arc<Git>,
    /// The remote.
    pub(super) source: Source,
    /// Its name in the settings.
    pub(super) repository: RepositoryName,
    /// Hosts of the settings and their labels.
    pub(super) hosts: Arc<BTreeMap<HostName, Labels>>,
    /// What was read last, newest last. Held while reading: who asks for the same meanwhile waits for it.
    pub(super) held: Mutex<Vec<Arc<Checkout>>>,
}

impl Archive {
    /// A commit.
    pub(super) async fn at(
        &self,
        revision: &Revision,
        stop: &CancellationToken,
    ) -> Result<Arc<Checkout>, GitError> {
        let mut held = self.held.lock().await;
        if let Some(found) = held.iter().find(|checkout| checkout.revision == *revision) {
            return Ok(Arc::clone(found));
        }
        let place = Place {
            git: &self.git,
            source: &self.source,
            repository: &self.repository,
            hosts: &self.hosts,
        };
        let wanted = Wanted::Revision(revision.clone());
        let checkout = Arc::new(checkout::read(&place, &wanted, stop).await?);
        if held.len() == HELD_MAX {
            held.remove(0);
        }
        held.push(Arc::clone(&checkout));
        Ok(checkout)
    }
}
