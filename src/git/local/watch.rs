//! Hints that a repository on this machine may have changed.

use std::path::Path;
use std::time::Duration;

use notify::Watcher as _;
use tokio::sync::mpsc;

use super::super::error::GitError;
use super::repository::LocalRepository;

/// Quiet time after which a burst of events is one hint: a push writes several files.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// Time after which a burst that does not end is a hint all the same.
const LONGEST_BURST: Duration = Duration::from_millis(500);

/// A stream of hints.
///
/// *Guarantees:* at most one hint waits. *Caveats:* a hint says "look", never what changed, and some changes give
/// none (a file in a folder that was made a moment before, a file system without events): a slow poll stays
/// necessary.
#[derive(Debug)]
pub struct Watch {
    events: mpsc::Receiver<()>,
    _watcher: notify::RecommendedWatcher,
}

/// Watches the references of a repository on this machine: bare, with a working tree, or a linked worktree.
pub fn watch(path: &Path) -> Result<Watch, GitError> {
    let failed =
        |cause: notify::Error| GitError::Watch { path: path.to_owned(), source: cause.into() };
    let local = LocalRepository::find(path)?;
    // One place is enough: an event that finds it taken adds nothing to the hint that waits there.
    let (sender, events) = mpsc::channel(1);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !matters(&event)) {
            return;
        }
        if let Err(mpsc::error::TrySendError::Closed(())) = sender.try_send(()) {
            tracing::trace!("nobody listens to this watch any more");
        }
    })
    .map_err(failed)?;
    // Folders, not files: git replaces a file by renaming another over it, and a watch on the old one goes blind.
    for (folder, mode) in local.watched() {
        watcher.watch(&folder, mode).map_err(failed)?;
    }
    Ok(Watch { events, _watcher: watcher })
}

impl Watch {
    /// Waits for the next hint; `None` when the watch has ended.
    pub async fn next(&mut self) -> Option<()> {
        self.events.recv().await?;
        let calm = async {
            while let Ok(Some(())) = tokio::time::timeout(DEBOUNCE, self.events.recv()).await {}
        };
        if tokio::time::timeout(LONGEST_BURST, calm).await.is_err() {
            tracing::trace!("the repository does not come to rest");
        }
        Some(())
    }
}

/// Whether an event can mean that a reference moved. Reading gives events too: reacting to them would make the
/// daemon wake itself.
fn matters(event: &notify::Event) -> bool {
    !event.kind.is_access() && event.paths.iter().any(|path| may_hold_a_reference(path))
}

fn may_hold_a_reference(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let below_refs = path.components().any(|part| part.as_os_str() == "refs");
    let is_lock = path.extension().is_some_and(|end| end == "lock");
    !is_lock && (below_refs || matches!(name, "HEAD" | "packed-refs"))
}
