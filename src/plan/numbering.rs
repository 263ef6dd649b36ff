//! From a plan under construction to steps in which every one waits only for smaller numbers.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Step, StepId};

use super::steps::{Cause, Drafts, Node};

impl Drafts {
    /// Numbers the steps: as they were added, except that a step comes after those that it waits for.
    ///
    /// Kahn's algorithm with a sorted set of what is ready: of several possible orders it always takes the one nearest
    /// to the order of thinking. The same input so gives the same numbers, and a plan that was approved can be compared
    /// with the one that is carried out.
    pub(super) fn number(mut self) -> Vec<Step> {
        self.settle_courtesies();
        let mut order = Vec::with_capacity(self.drafts.len());
        let mut numbers: BTreeMap<usize, StepId> = BTreeMap::new();
        let mut waiting: Vec<usize> = Vec::with_capacity(self.drafts.len());
        let mut followers: Vec<Vec<usize>> = vec![Vec::new(); self.drafts.len()];
        for (index, draft) in self.drafts.iter().enumerate() {
            waiting.push(draft.after.len());
            for before in &draft.after {
                if let Some(list) = followers.get_mut(before.0) {
                    list.push(index);
                }
            }
        }
        let mut ready: BTreeSet<usize> = waiting
            .iter()
            .enumerate()
            .filter(|(_, count)| **count == 0)
            .map(|(at, _)| at)
            .collect();
        while let Some(index) = ready.pop_first() {
            numbers.insert(index, step_id(order.len()));
            order.push(index);
            for follower in followers.get(index).into_iter().flatten() {
                if let Some(count) = waiting.get_mut(*follower) {
                    *count -= 1;
                    if *count == 0 {
                        ready.insert(*follower);
                    }
                }
            }
        }
        let mut steps: Vec<Step> = self
            .drafts
            .into_iter()
            .enumerate()
            .filter_map(|(index, draft)| {
                let id = *numbers.get(&index)?;
                let after =
                    draft.after.iter().filter_map(|node| numbers.get(&node.0).copied()).collect();
                let Cause { replica, because, origin } = draft.cause;
                Some(Step { id, action: draft.action, replica, because, origin, after })
            })
            .collect();
        steps.sort_by_key(|step| step.id);
        steps
    }

    /// Turns courteous edges into real ones, one by one, where no circle comes of it.
    pub(super) fn settle_courtesies(&mut self) {
        for index in 0..self.drafts.len() {
            let wishes =
                self.drafts.get_mut(index).map(|draft| std::mem::take(&mut draft.courteous));
            for wish in wishes.into_iter().flatten() {
                self.give_way(wish, Node(index));
                if !self.reaches(wish, Node(index)) {
                    self.wait(Node(index), wish);
                }
            }
        }
    }

    /// Lets go of what a step waits for only out of patience, where that waits for `to`.
    ///
    /// `blog` wants port 80, which `shop` has until its successor is ready, and that one wants what `blog` has:
    /// somebody must stop early, and it is whoever only stayed up to be kind.
    fn give_way(&mut self, from: Node, to: Node) {
        let patient = self.drafts.get(from.0).map(|draft| draft.patient.clone());
        for before in patient.into_iter().flatten() {
            if self.reaches(before, to)
                && let Some(draft) = self.drafts.get_mut(from.0)
            {
                draft.after.remove(&before);
                draft.patient.remove(&before);
            }
        }
    }

    /// Whether `from` waits, directly or not, for `to`.
    ///
    /// Plans have at most some thousand steps and edges are few, so that walking them anew each time is quick; kept
    /// tables would have to be right after each added edge.
    fn reaches(&self, from: Node, to: Node) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![from];
        while let Some(node) = open.pop() {
            if node == to {
                return true;
            }
            if seen.insert(node)
                && let Some(draft) = self.drafts.get(node.0)
            {
                open.extend(draft.after.iter().copied());
            }
        }
        false
    }
}

/// Numbers begin with 1: people count them.
fn step_id(index: usize) -> StepId {
    StepId(u32::try_from(index + 1).unwrap_or(u32::MAX))
}
