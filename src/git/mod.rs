//! Remotes in, revisions and manifest trees out; merges of pull requests; commit statuses as notes.
//!
//! In: a [`Source`] (remote, branch, path, access). Out: the branch's head as a [`Revision`], the selected
//! files of a revision as [`Pulled`], notes on a commit. It never checks files out, never writes to the
//! remote except `refs/notes/moorline`, and never returns an empty tree in place of an error.
//!
//! libgit2 keeps and reads objects; the conversation with servers is our own (`wire`), so that every wait has a
//! limit, a poll asks for one reference, and only the objects that are read are fetched.

mod error;
mod further;
mod local;
mod merge;
pub mod notes;
mod objects;
mod pull;
mod references;
mod remote;
mod revision;
mod source;
mod store;
mod tree;
mod wire;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::model::{Digest, Revision};

pub use error::{Cause, GitError};
pub use local::{Watch, WorkingCopy, watch, working_copy};
pub use merge::{HeadAt, Merged};
pub use remote::{Remote, RemoteProblem};
pub use source::{
    Access, CommitFacts, Credentials, Elsewhere, Further, Limits, Pointer, Pulled, Source, Traffic,
    TreeSelection, Wanted,
};

use store::Store;
use wire::{Filter, Memory};

/// The clones of a data folder, and what is remembered of their remotes between operations.
///
/// *Guarantees:* operations on one remote do not write its clone at the same time. *Assumptions:* nobody else
/// writes the folder. *Caveats:* it is a cache; deleting it costs one more fetch.
#[derive(Debug)]
pub struct Git {
    folder: PathBuf,
    sides: Mutex<BTreeMap<Digest, Arc<Side>>>,
}

impl Git {
    /// Keeps clones below this folder, which is created when it is first needed.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), sides: Mutex::default() }
    }

    /// The head of the source's branch: one round trip, nothing fetched.
    pub async fn head(
        &self,
        source: &Source,
        stop: &CancellationToken,
    ) -> Result<Revision, GitError> {
        bounded(source, stop, revision::head(self, source)).await
    }

    /// The commit that a full or abbreviated id, a tag, a branch or a full reference name means.
    ///
    /// A full id is taken at its word; that it exists shows when it is pulled.
    pub async fn resolve(
        &self,
        source: &Source,
        text: &str,
        stop: &CancellationToken,
    ) -> Result<Revision, GitError> {
        bounded(source, stop, revision::resolve(self, source, text)).await
    }

    /// The selected files of a revision. Fetches only what is not here yet.
    pub async fn pull(
        &self,
        source: &Source,
        wanted: &Wanted,
        selection: &TreeSelection,
        stop: &CancellationToken,
    ) -> Result<Pulled, GitError> {
        let mut pulled = bounded(source, stop, pull::pull(self, source, wanted, selection)).await?;
        if further::lacks(source.access.further, &pulled) {
            bounded(source, stop, further::fetch(self, source, selection, &mut pulled, 0)).await?;
        }
        Ok(pulled)
    }

    /// What merging a head into a base commit of the source would give. The result is in the clone only, and can be
    /// pulled by its id; clones that are merged in should not be those that deployments are read from.
    pub async fn merge(
        &self,
        source: &Source,
        base: &Revision,
        head: &HeadAt,
        stop: &CancellationToken,
    ) -> Result<Merged, GitError> {
        bounded(source, stop, merge::merge(self, source, base, head)).await
    }

    /// What is kept of a remote as this access reaches it.
    fn side(&self, source: &Source) -> Arc<Side> {
        let proxy = source.access.proxy.as_ref().map(|proxy| proxy.reveal().as_str());
        let key = format!("{}\0{:?}\0{}", source.remote, source.access, proxy.unwrap_or_default());
        let mut sides = self.sides.lock().unwrap_or_else(PoisonError::into_inner);
        let side = sides.entry(Digest::of(key.as_bytes())).or_default();
        Arc::clone(side)
    }

    /// The clone of a remote, and the right to write it until the permit is dropped.
    async fn store(
        &self,
        source: &Source,
    ) -> Result<(Store, tokio::sync::OwnedSemaphorePermit), GitError> {
        let store = Store::at(self.folder.join(source.remote.folder_name()));
        let key = Digest::of(source.remote.to_string().as_bytes());
        let turn = {
            let mut sides = self.sides.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&sides.entry(key).or_default().turn)
        };
        let permit = turn.acquire_owned().await.map_err(|_closed| GitError::Cancelled)?;
        Ok((store, permit))
    }
}

/// What is remembered of one remote.
#[derive(Debug)]
struct Side {
    memory: Arc<Memory>,
    /// One writer of the clone at a time.
    turn: Arc<Semaphore>,
    /// Filters that the server turned out to refuse, although it says that it filters: see [`Side::filter`].
    refused_filters: AtomicU8,
}

impl Default for Side {
    fn default() -> Self {
        Self {
            memory: Arc::default(),
            turn: Arc::new(Semaphore::new(1)),
            refused_filters: AtomicU8::new(0),
        }
    }
}

impl Side {
    /// The filter that comes nearest to the wish and that the server has not refused.
    fn filter(&self, wish: Filter) -> Filter {
        match (self.refused_filters.load(Ordering::Relaxed), wish) {
            (0, wish) => wish,
            (1, Filter::NoTrees) => Filter::NoBlobs,
            (1, wish) => wish,
            (_, _) => Filter::Everything,
        }
    }

    /// Remembers that the server refused a filter, and goes on with a more common one.
    fn refuse_filter(&self) {
        self.refused_filters.fetch_add(1, Ordering::Relaxed);
    }
}

/// Ends an operation when its time is over or it is told to stop.
async fn bounded<T>(
    source: &Source,
    stop: &CancellationToken,
    operation: impl Future<Output = Result<T, GitError>>,
) -> Result<T, GitError> {
    let limit = source.access.limits.whole;
    match stop.run_until_cancelled(tokio::time::timeout(limit, Box::pin(operation))).await {
        None => Err(GitError::Cancelled),
        Some(Ok(result)) => result,
        Some(Err(_)) => {
            let remote = source.remote.to_string();
            Err(GitError::Timeout { remote, doing: "the whole operation", limit })
        }
    }
}

/// Runs what reads files or computes for long away from the runtime's threads. A panic in it goes on here.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, GitError> + Send + 'static,
) -> Result<T, GitError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
        Err(_) => Err(GitError::Cancelled),
    }
}
