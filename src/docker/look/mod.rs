//! Looking at a host: lists, inspections of what changed, and what they mean in our nouns.

mod scope;

pub use scope::{Depth, Scope};

use crate::model::{EngineFacts, Gap, Observed, Timestamp};

/// What one look found, for all scopes that it was about.
#[derive(Debug, Clone, Default)]
pub struct HostView {
    /// When the look ended.
    pub taken_at: Timestamp,
    /// The Engine itself.
    pub facts: EngineFacts,
    /// What could not be seen, of the whole host.
    pub gaps: Vec<Gap>,
}

impl HostView {
    /// The part of one stack. The scope must have been among those that were looked at.
    pub fn of(&self, _scope: &Scope) -> Observed {
        Observed::default()
    }
}
