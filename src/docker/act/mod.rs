//! Carrying out actions: one method per variant, none of which decides anything.

use std::fmt;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Under which terms an action is carried out.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    /// Limit of one call. A stop gets its grace period on top.
    pub step: Duration,
    /// Pulls and builds end after this long without a sign of life.
    pub progress: Duration,
    /// Ends waits, pauses, pulls and builds early, with [`super::EngineError::Cancelled`]. Everything else is finished.
    pub stop: &'a CancellationToken,
    /// Is told about progress.
    pub tell: &'a (dyn Fn(Progress) + Send + Sync),
}

impl fmt::Debug for Terms<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Terms")
            .field("step", &self.step)
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}

/// How far an action is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// In words: `Downloading`, `Step 3/7 : RUN make`, `waiting for shop-db-1: starting`.
    pub text: String,
    /// Bytes, where there are any to count.
    pub done: u64,
    /// Bytes in all, as far as known.
    pub total: Option<u64>,
}
