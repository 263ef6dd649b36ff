//! What is remembered of each target.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::config::fleet_file::Stack;
use crate::drift::Cures;
use crate::model::{
    ContainerId, Digest, DriftPolicy, LastState, PrunePolicy, Revision, StackName, SyncPolicy,
    Timestamp,
};
use crate::report::Target;

/// What is remembered of a target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TargetRecord {
    /// The last revision that the host was in sync with.
    pub reached: Option<Revision>,
    /// What that revision asked for then: a digest over its files and over what it was given from outside Git, whose
    /// values are kept nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reached_as: Option<Digest>,
    /// When.
    pub at: Option<Timestamp>,
    /// The containers of it that we made; `None` in a record of a version that did not note them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made: Option<BTreeSet<ContainerId>>,
    /// Cures that changed nothing. Another process goes on counting.
    #[serde(skip_serializing_if = "Cures::is_empty")]
    pub cures: Cures,
    /// Images that were taken over with what docker compose made: what each is taken to be built from, by its id.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub taken: BTreeMap<String, String>,
    /// That it is kept, and how: what becomes of it once no commit asks for it any more.
    pub kept: Option<Kept>,
    /// That it was kept and is gone, where folders of the host still hold its data: for when it comes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<Kept>,
}

impl TargetRecord {
    /// The target, kept or gone.
    pub(super) fn known(&self) -> Option<&Kept> {
        self.kept.as_ref().or(self.left.as_ref())
    }

    /// Where its data was when it was last seen.
    pub fn state(&self) -> LastState {
        self.known().map(|kept| kept.state.clone()).unwrap_or_default()
    }
}

/// A target that is kept, and what its stack's last word allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The target.
    pub target: Target,
    /// Whether passes apply what they plan.
    pub sync: SyncPolicy,
    /// Whether drift is corrected.
    pub drift: DriftPolicy,
    /// What is removed.
    pub prune: PrunePolicy,
    /// Its Compose project's name, where that is not the stack's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<StackName>,
    /// Where its data was when it was last seen.
    #[serde(default, skip_serializing_if = "is_unknown")]
    pub state: LastState,
}

fn is_unknown(state: &LastState) -> bool {
    *state == LastState::default()
}

impl Kept {
    /// A target that is about to be kept.
    pub fn new(target: &Target, stack: &Stack, project: Option<&StackName>) -> Self {
        Self {
            target: target.clone(),
            sync: stack.sync,
            drift: stack.drift,
            prune: stack.prune,
            project: project.filter(|project| **project != stack.name).cloned(),
            state: LastState::default(),
        }
    }
}
