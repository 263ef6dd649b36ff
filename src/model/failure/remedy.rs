//! What helps after a failure: the only thing that code branches on.

use serde::{Deserialize, Serialize};

/// What helps after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remedy {
    /// Trying again later.
    Retry,
    /// Another commit.
    NewRevision,
    /// A person: credentials, settings, rights.
    Operator,
}
