//! "Look now", ten times rung is one look.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::model::RepositoryName;

/// A repository whose branch should be looked at now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookNow {
    /// Which.
    pub repository: RepositoryName,
}

/// Collects who is to be looked at; bounded by the number of repositories. Cheap to copy.
#[derive(Debug, Clone, Default)]
pub struct Bell {
    due: Arc<Mutex<BTreeSet<RepositoryName>>>,
    rung: Arc<Notify>,
}

impl Bell {
    /// A repository should be looked at.
    pub fn ring(&self, look: LookNow) {
        self.due.lock().unwrap_or_else(PoisonError::into_inner).insert(look.repository);
        self.rung.notify_one();
    }

    /// The next repository to look at; waits until there is one. Safe to cancel.
    pub async fn heard(&self) -> LookNow {
        loop {
            if let Some(look) = self.heard_already() {
                return look;
            }
            self.rung.notified().await;
        }
    }

    /// The next repository to look at, if one is due.
    pub fn heard_already(&self) -> Option<LookNow> {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        due.pop_first().map(|repository| LookNow { repository })
    }
}
