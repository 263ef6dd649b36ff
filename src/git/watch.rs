//! Hints that a repository on this machine may have changed.

use std::path::Path;
use std::time::Duration;

use notify::Watcher as _;
use tokio::sync::mpsc;

use super::GitError;

/// Quiet time after which a burst of events is one hint: a push writes several files.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// A stream of hints. A hint says "look", never what changed; some changes give no hint, so that a slow poll
/// stays necessary.
#[derive(Debug)]
pub struct Watch {
    events: mpsc::Receiver<()>,
    _watcher: notify::RecommendedWatcher,
}

/// Watches the references of a repository on this machine: bare, with a working tree, or a linked worktree.
pub fn watch(path: &Path) -> Result<Watch, GitError> {
    let failed =
        |cause: notify::Error| GitError::Watch { path: path.to_owned(), source: cause.into() };
    // One place is enough: an event that finds it taken adds nothing to the hint that waits there.
    let (sender, events) = mpsc::channel(1);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| event.kind.is_access()) {
            return;
        }
        if let Err(mpsc::error::TrySendError::Closed(())) = sender.try_send(()) {
            tracing::trace!("nobody listens to this watch any more");
        }
    })
    .map_err(failed)?;
    let folder = path.to_owned();
    watcher.watch(&folder, notify::RecursiveMode::NonRecursive).map_err(failed)?;
    Ok(Watch { events, _watcher: watcher })
}

impl Watch {
    /// Waits for the next hint; `None` when the watch has ended.
    pub async fn next(&mut self) -> Option<()> {
        self.events.recv().await?;
        while let Ok(Some(())) = tokio::time::timeout(DEBOUNCE, self.events.recv()).await {}
        Some(())
    }
}
