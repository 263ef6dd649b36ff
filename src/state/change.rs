//! What is learned, and for whom that is news.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::Fleet;
use crate::fleet::TargetName;
use crate::fleet::waves::Standing;
use crate::model::{Digest, Revision, StackName, Timestamp};
use crate::report::{Head, Report, Target, Wait};

use super::Recollection;

/// Something that is learned.
#[derive(Debug, Clone)]
pub enum Change {
    /// What was said of the head of the last start. Of no use once there is a head.
    Recalled(Recollection),
    /// A commit is the newest one.
    Head(Box<NewHead>),
    /// A target that waited takes up a commit. A look at what was begun before is no new beginning.
    Begins {
        /// Which.
        target: Target,
        /// The newest commit, as whoever says so knows it; nothing changes where it is that no more.
        newest: Revision,
        /// When.
        at: Timestamp,
    },
    /// A target's first step begins.
    Deploys(Target),
    /// Something keeps a target from the newest commit, and nothing was looked at.
    Waits {
        /// Which.
        target: Target,
        /// See [`Change::Begins`].
        newest: Revision,
        /// What.
        wait: Wait,
    },
    /// A turn ended. What keeps its target from the newest commit stands in its report.
    Reported {
        /// See [`Change::Begins`].
        newest: Revision,
        /// What it found and did.
        report: Arc<Report>,
    },
    /// A target's host cannot be reached.
    OutOfReach {
        /// See [`Change::Begins`].
        newest: Revision,
        /// Says so.
        report: Arc<Report>,
        /// Since when.
        since: Timestamp,
    },
    /// Another daemon says how far one of its targets is.
    Heard {
        /// Which.
        target: TargetName,
        /// With which commit.
        newest: Revision,
        /// How far.
        standing: Standing,
    },
}

/// A commit that is the newest one from now on.
#[derive(Debug, Clone)]
pub struct NewHead {
    /// The commit.
    pub head: Head,
    /// The fleet file, where there is one.
    pub fleet: Option<Fleet>,
    /// What each stack asks for: a commit that changes nothing of a stack ends what the one before began.
    pub asks: BTreeMap<StackName, Digest>,
    /// What this process keeps at it.
    pub targets: Vec<Target>,
    /// What others may have to wait for, here and at other daemons.
    pub awaited: BTreeSet<TargetName>,
    /// When.
    pub at: Timestamp,
}

/// What a change was news for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stirred {
    /// What is said of commits may be another thing.
    pub statuses: bool,
    /// Who may go may be another one.
    pub gates: bool,
}

impl Stirred {
    pub(super) const NOTHING: Self = Self { statuses: false, gates: false };
    pub(super) const ALL: Self = Self { statuses: true, gates: true };
}
