//! How what is learned changes the record.

use std::collections::BTreeMap;

use crate::config::{Fleet, Stack};
use crate::fleet::TargetName;
use crate::fleet::waves::Standing;
use crate::model::{Revision, StackName};
use crate::report::Target;

use super::record::since_the_first_time;
use super::{Change, Doing, NewHead, State, Stirred, TargetRecord};

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
