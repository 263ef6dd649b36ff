//! What is learned, and how it changes the record.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::{Fleet, Stack};
use crate::fleet::TargetName;
use crate::fleet::waves::Standing;
use crate::model::{Digest, Revision, StackName, Timestamp};
use crate::report::{Head, Report, Target, Wait};

use super::record::since_the_first_time;
use super::{Doing, Recollection, State, TargetRecord};

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
    const NOTHING: Self = Self { statuses: false, gates: false };
    const ALL: Self = Self { statuses: true, gates: true };
}

impl State {
    /// Takes in what was learned.
    pub fn apply(&mut self, change: Change) -> Stirred {
        match change {
            Change::Recalled(last) => {
                self.recalled = Some(last);
                Stirred::NOTHING
            }
            Change::Head(new) => {
                self.begin(*new);
                Stirred::ALL
            }
            Change::Begins { target, newest, at } => {
                let is_head = self.head() == Some(&newest);
                self.change(&target, |record| {
                    let begins = is_head && record.standing == Standing::Waiting;
                    let gates = begins && record.stands(Standing::Going { since: at });
                    Stirred { statuses: false, gates }
                })
            }
            Change::Deploys(target) => self.change(&target, |record| {
                record.doing = Doing::Deploying;
                Stirred { statuses: true, gates: false }
            }),
            Change::Waits { target, newest, wait } => {
                let is_head = self.head() == Some(&newest);
                self.change(&target, |record| {
                    record.doing = Doing::Waiting(wait);
                    let gates = is_head && record.stands(Standing::Waiting);
                    Stirred { statuses: true, gates }
                })
            }
            Change::Reported { newest, report } => {
                let Some(head) = self.head().cloned() else { return Stirred::NOTHING };
                self.change(&report.target.clone(), |record| {
                    let before = record.standing.clone();
                    record.reported(report, &newest, &head);
                    Stirred { statuses: true, gates: before != record.standing }
                })
            }
            Change::OutOfReach { newest, report, since } => {
                let is_head = self.head() == Some(&newest);
                self.change(&report.target.clone(), |record| {
                    (record.doing, record.report) = (Doing::Reported, Some(report));
                    let gates = is_head && record.stands(Standing::Unknown { since });
                    Stirred { statuses: true, gates }
                })
            }
            Change::Heard { target, newest, standing } => self.hear(&target, &newest, standing),
        }
    }

    fn change(
        &mut self,
        target: &Target,
        change: impl FnOnce(&mut TargetRecord) -> Stirred,
    ) -> Stirred {
        let known = self.stacks.get_mut(&target.stack);
        let Some(stack) = known else { return Stirred::NOTHING };
        let Some(record) = stack.targets.get_mut(target) else { return Stirred::NOTHING };
        let stirred = change(record);
        if stirred.statuses {
            stack.said.get_mut().clear();
            self.settle_overtaken(&target.stack);
        }
        stirred
    }

    fn hear(&mut self, target: &TargetName, newest: &Revision, standing: Standing) -> Stirred {
        if self.head() != Some(newest) {
            return Stirred::NOTHING;
        }
        let Some(known) = self.elsewhere.get_mut(target) else { return Stirred::NOTHING };
        let standing = since_the_first_time(known, standing);
        let gates = *known != standing;
        *known = standing;
        Stirred { statuses: false, gates }
    }

    fn begin(&mut self, new: NewHead) {
        let NewHead { head, fleet, asks, targets, awaited, at } = new;
        self.overtake(&head, &asks);
        self.order = fleet.filter(is_ordered);
        let is_own = |target: &&TargetName| self.own.contains(&target.host);
        let elsewhere = awaited.iter().filter(|target| !is_own(target));
        self.elsewhere = match self.order {
            Some(_) => elsewhere.map(|it| (it.clone(), Standing::Unknown { since: at })).collect(),
            None => BTreeMap::new(),
        };
        self.head = Some(head);
        let mut before = std::mem::take(&mut self.stacks);
        for target in targets {
            let asked = asks.get(&target.stack);
            let known = before.get_mut(&target.stack);
            let same = known.as_ref().is_some_and(|known| known.asks.as_ref() == asked);
            let is_awaited = awaited.contains(&target.name());
            let known = known.and_then(|known| known.targets.remove(&target));
            let mut record = known.unwrap_or_else(|| TargetRecord::new(is_awaited));
            (record.is_awaited, record.standing) = (is_awaited, Standing::Waiting);
            // What failed goes on failing where the same is asked for.
            record.trouble = record.trouble.filter(|_| same);
            let stack = self.stacks.entry(target.stack.clone()).or_default();
            stack.asks = asked.cloned();
            stack.targets.insert(target, record);
        }
        let stacks: Vec<StackName> = self.stacks.keys().cloned().collect();
        for stack in &stacks {
            self.settle_overtaken(stack);
        }
    }
}

/// Whether somebody waits for somebody.
fn is_ordered(fleet: &Fleet) -> bool {
    let waits = |stack: &Stack| !stack.after.is_empty() || !stack.implied.is_empty();
    !fleet.waves.is_empty() || fleet.stacks.values().any(waits)
}
