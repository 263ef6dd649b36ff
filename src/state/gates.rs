//! Who goes first: how far each target is with the head, and whether the others may follow.

use std::collections::BTreeMap;

use crate::fleet::TargetName;
use crate::fleet::waves::{self, Gate, Line, Standing};
use crate::model::{Revision, Timestamp};

use super::State;

/// All gates at one instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gates {
    /// The commit that they lead to.
    head: Option<Revision>,
    by_target: BTreeMap<TargetName, Gate>,
    /// When a patience ends next.
    pub until: Option<Timestamp>,
}

impl Gates {
    /// Whether a target may take up a commit. Where nobody waits for anybody, and of another commit than the head, it may.
    pub fn of(&self, target: &TargetName, newest: &Revision) -> Gate {
        let known = self.by_target.get(target).filter(|_| self.head.as_ref() == Some(newest));
        known.cloned().unwrap_or(Gate::Go)
    }

    /// All of them, by target; empty where nobody waits for anybody.
    pub fn all(&self) -> &BTreeMap<TargetName, Gate> {
        &self.by_target
    }

    /// Targets whose gate is another one here than there.
    pub fn that_differ<'a>(&'a self, told: &'a Self) -> impl Iterator<Item = &'a TargetName> {
        let differs = |(target, gate): &(&TargetName, &Gate)| {
            told.head != self.head || told.by_target.get(*target) != Some(*gate)
        };
        self.by_target.iter().filter(differs).map(|(target, _)| target)
    }
}

impl State {
    /// All gates as they are now. Hosts that other daemons keep are unknown until they say how far they are.
    pub fn gates(&self, now: Timestamp) -> Gates {
        let head = self.head().cloned();
        let Some(fleet) = &self.order else { return Gates { head, ..Gates::default() } };
        let own = self.targets().filter(|(_, record)| record.is_awaited);
        let own = own.map(|(target, record)| (target.name(), record.standing.clone()));
        let elsewhere = self.elsewhere.iter().map(|(name, known)| (name.clone(), known.clone()));
        let standings: BTreeMap<TargetName, Standing> = own.chain(elsewhere).collect();
        let line = Line { fleet, hosts: &self.hosts, standings: &standings, now };
        let by_target = waves::gates(line);
        let until = by_target
            .values()
            .filter_map(|gate| match gate {
                Gate::Wait { until, .. } => *until,
                Gate::Go | Gate::Stopped { .. } => None,
            })
            .filter(|until| now < *until)
            .min();
        Gates { head, by_target, until }
    }

    /// The targets of other daemons for which one of ours waits, and the commit that they are to reach.
    pub fn awaited(&self, gates: &Gates) -> Option<(Revision, Vec<TargetName>)> {
        let mut own = gates.by_target.iter().filter(|(it, _)| self.own.contains(&it.host));
        if own.all(|(_, gate)| *gate == Gate::Go) {
            return None;
        }
        let others = self.elsewhere.iter().filter(|(_, standing)| **standing != Standing::Done);
        let others: Vec<TargetName> = others.map(|(target, _)| target.clone()).collect();
        Some((self.head()?.clone(), others)).filter(|(_, others)| !others.is_empty())
    }
}
