//! What is known of the targets of one repository: one record, changed in one place.
//!
//! Everything that is learned comes in as a [`Change`]; everything that is said or decided by what is known is a view:
//! the statuses of commits, the gates between targets, what a running daemon tells. Nobody keeps a second copy, and no
//! order of calls is to be remembered.
//!
//! *Guarantees.* A view is a function of the record. Changes of different targets may come in any order, and the views are
//! the same. *Caveats.* What must outlive the process is a [`Recollection`]; whoever keeps it sees to its form.

mod apply;
mod change;
mod gates;
mod lines;
mod overtaken;
mod recollection;
mod record;
mod seating;
mod statuses;
mod unproven;

pub use change::{Change, NewHead, Stirred};
pub use gates::Gates;
pub use recollection::{NotARecollection, Recollection};
pub use record::{Doing, TargetRecord};
pub use seating::{Seating, Sighting};
pub use statuses::{CommitReport, Known, Look};
pub use unproven::{SeenUp, Watch};

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::Fleet;
use crate::config::settings::Labels;
use crate::fleet::TargetName;
use crate::fleet::waves::Standing;
use crate::model::{CommitStatus, Digest, HostName, Revision, StackName};
use crate::report::{Head, Target};

use overtaken::Overtaken;

/// What is known of one repository's targets.
#[derive(Debug, Default)]
pub struct State {
    /// All hosts of the settings.
    hosts: Arc<BTreeMap<HostName, Labels>>,
    /// Those that this process keeps.
    own: BTreeSet<HostName>,
    head: Option<Head>,
    /// Who goes first; `None` while nobody waits for anybody.
    order: Option<Fleet>,
    stacks: BTreeMap<StackName, StackRecord>,
    /// How far targets are that other daemons keep.
    elsewhere: BTreeMap<TargetName, Standing>,
    /// Commits that the head overtook and that were not all well.
    overtaken: Vec<Overtaken>,
    /// The head of the last start.
    recalled: Option<Recollection>,
}

/// What is known of a stack.
#[derive(Debug, Default)]
struct StackRecord {
    /// What it asks for at the head; `None` for one that left Git.
    asks: Option<Digest>,
    targets: BTreeMap<Target, TargetRecord>,
    /// What is said of it, for whom it was asked since the last change: many read what few change.
    said: RefCell<BTreeMap<Option<HostName>, CommitStatus>>,
}

impl State {
    /// Of a process that keeps these of all hosts. Nothing is known yet.
    pub fn new(
        hosts: Arc<BTreeMap<HostName, Labels>>,
        own: impl IntoIterator<Item = HostName>,
    ) -> Self {
        Self { hosts, own: own.into_iter().collect(), ..Self::default() }
    }

    /// The newest commit; `None` before there is one.
    pub fn head(&self) -> Option<&Revision> {
        self.head.as_ref().map(|head| &head.revision)
    }

    /// What is known of a target.
    pub fn target(&self, target: &Target) -> Option<&TargetRecord> {
        self.stacks.get(&target.stack)?.targets.get(target)
    }

    fn targets(&self) -> impl Iterator<Item = (&Target, &TargetRecord)> {
        self.stacks.values().flat_map(|stack| &stack.targets)
    }
}
