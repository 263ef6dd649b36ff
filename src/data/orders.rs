//! Where operators' words beside Git are kept, and how a running daemon hears of them at once.
//!
//! They are one file of the data folder, `orders.json`. A command writes it whole, under a lock; the daemon watches it.
//! A file that cannot be read is never taken for no orders: the last ones that could be read hold on.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::Watcher as _;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::data::form::{Kept, VERSION};
use crate::fleet::Orders;
use crate::model::Digest;

use crate::data::folder::{DataError, DataFolder, ORDERS_FILE};

/// How often the file is looked at all the same: some file systems tell nobody of changes.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Follows the orders of a data folder until `stop`, and hands on each change.
pub(crate) async fn follow(
    data: DataFolder,
    orders: watch::Sender<Arc<Orders>>,
    stop: CancellationToken,
) {
    let (sender, mut hints) = mpsc::channel(1);
    let watcher = watcher(data.root(), sender);
    if let Err(error) = &watcher {
        tracing::debug!(%error, "cannot watch the data folder; it is looked at every 10 s");
    }
    let mut unreadable = false;
    loop {
        let known = Arc::clone(&orders.borrow());
        match data.orders() {
            // A command that takes all orders back writes that there are none: a file that vanished says nothing. What
            // is known holds on, and is written again, also for the next start.
            Ok(_) if *known != Orders::default() && !data.has_orders() => {
                match data.write_orders(&known) {
                    Ok(()) => tracing::warn!(
                        "the operators' orders were gone from the data folder; they hold on, and were written again"
                    ),
                    Err(error) if !unreadable => {
                        unreadable = true;
                        tracing::error!(%error, "the operators' orders are gone from the data folder; they hold on");
                    }
                    Err(_) => {}
                }
            }
            Ok(read) => {
                unreadable = false;
                orders.send_if_modified(|known| {
                    let differs = **known != read;
                    if differs {
                        *known = Arc::new(read);
                        data.ring_ledgers();
                    }
                    differs
                });
            }
            Err(error) if !unreadable => {
                unreadable = true;
                tracing::error!(%error, "the operators' orders cannot be read; those from before hold on");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            hint = hints.recv() => if hint.is_none() {
                tokio::time::sleep(LOOK_EVERY).await;
            },
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Hints that the file changed. One place is enough: a hint that finds it taken adds nothing.
fn watcher(folder: &Path, hints: mpsc::Sender<()>) -> notify::Result<notify::RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let concerns = event.is_ok_and(|event| {
            !event.kind.is_access()
                && event.paths.iter().any(|path| path.file_name().is_some_and(|n| n == ORDERS_FILE))
        });
        if concerns && let Err(mpsc::error::TrySendError::Closed(())) = hints.try_send(()) {
            tracing::trace!("nobody listens to this watch any more");
        }
    })?;
    // The folder, not the file: it is replaced whole, and a watch on the old one goes blind.
    watcher.watch(folder, notify::RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

/// A name that no other data folder's orders have.
fn new_lineage() -> String {
    let here = format!("{} {}", clock::now().as_millis(), std::process::id());
    Digest::of(here.as_bytes()).short().to_owned()
}

impl DataFolder {
    /// Writes orders whose file is gone, as the beginning of a lineage of their own: what hosts remember is added.
    pub(crate) fn write_orders(&self, orders: &Orders) -> Result<(), DataError> {
        let (lineage, orders) = (new_lineage(), orders.clone());
        self.write_kept_orders(&Kept { version: VERSION, lineage, changed: 1, orders })
    }

    /// Whether any order was ever written here.
    fn has_orders(&self) -> bool {
        self.root().join(ORDERS_FILE).exists()
    }

    /// Changes the operators' orders, alone: two commands at one time do not undo each other.
    pub fn change_orders<T>(&self, change: impl FnOnce(&mut Orders) -> T) -> Result<T, DataError> {
        let _lock = self.lock_orders()?;
        let mut kept = self.kept_orders()?;
        let before = kept.orders.clone();
        let outcome = change(&mut kept.orders);
        if kept.orders != before || kept.lineage.is_empty() {
            if kept.lineage.is_empty() {
                kept.lineage = new_lineage();
            }
            kept.version = VERSION;
            kept.changed = kept.changed.saturating_add(1);
            self.write_kept_orders(&kept)?;
        }
        Ok(outcome)
    }
}
