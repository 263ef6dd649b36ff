//! Which step may begin, and what becomes of those that wait for one which failed. Knows no edge and no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Event, Listener};
use crate::model::{Outcome, Plan, Step, StepId, StepOutcome, Takes};

/// Where a plan stands.
pub(super) struct Walk<'p> {
    steps: BTreeMap<StepId, &'p Step>,
    followers: BTreeMap<StepId, Vec<StepId>>,
    /// How many steps each step still waits for.
    waiting: BTreeMap<StepId, usize>,
    ready: BTreeSet<StepId>,
    running: BTreeSet<StepId>,
    outcomes: BTreeMap<StepId, StepOutcome>,
}

impl<'p> Walk<'p> {
    pub(super) fn new(plan: &'p Plan) -> Self {
        let mut followers: BTreeMap<StepId, Vec<StepId>> = BTreeMap::new();
        for step in &plan.steps {
            for before in &step.after {
                followers.entry(*before).or_default().push(step.id);
            }
        }
        Self {
            steps: plan.steps.iter().map(|step| (step.id, step)).collect(),
            followers,
            waiting: plan.steps.iter().map(|step| (step.id, step.after.len())).collect(),
            ready: plan.steps.iter().filter(|s| s.after.is_empty()).map(|s| s.id).collect(),
            running: BTreeSet::new(),
            outcomes: BTreeMap::new(),
        }
    }

    /// The next step that may begin: waits at any time, other steps while there is room.
    pub(super) fn next_ready(&mut self, room: usize, stopped: bool) -> Option<&'p Step> {
        if stopped {
            return None;
        }
        let busy = self.running.iter().filter(|id| !self.is_wait(**id)).count();
        let id = self.ready.iter().copied().find(|id| busy < room || self.is_wait(*id))?;
        self.ready.remove(&id);
        self.running.insert(id);
        self.steps.get(&id).copied()
    }

    fn is_wait(&self, id: StepId) -> bool {
        self.steps.get(&id).is_some_and(|step| step.action.conduct().takes == Takes::Time)
    }

    pub(super) fn end(
        &mut self,
        id: StepId,
        outcome: Outcome,
        took: Duration,
        listener: &Listener,
    ) {
        self.running.remove(&id);
        let done = outcome == Outcome::Done;
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.record(StepOutcome { step: id, outcome, millis }, listener);
        if done {
            for follower in self.followers.get(&id).into_iter().flatten() {
                if let Some(count) = self.waiting.get_mut(follower) {
                    *count = count.saturating_sub(1);
                    if *count == 0 && !self.outcomes.contains_key(follower) {
                        self.ready.insert(*follower);
                    }
                }
            }
        } else {
            self.block_followers(id, listener);
        }
    }

    /// Everything that waits for a step which was not done, directly or not, was not tried.
    fn block_followers(&mut self, by: StepId, listener: &Listener) {
        let mut open: Vec<StepId> = self.followers.get(&by).cloned().unwrap_or_default();
        while let Some(id) = open.pop() {
            if self.outcomes.contains_key(&id) {
                continue;
            }
            self.record(
                StepOutcome { step: id, outcome: Outcome::Blocked { by }, millis: 0 },
                listener,
            );
            open.extend(self.followers.get(&id).into_iter().flatten());
        }
    }

    fn record(&mut self, outcome: StepOutcome, listener: &Listener) {
        if let Some(step) = self.steps.get(&outcome.step) {
            listener(Event::Ended(step, &outcome));
        }
        self.outcomes.insert(outcome.step, outcome);
    }

    /// All outcomes; steps that were never tried were cancelled.
    pub(super) fn outcomes(mut self, listener: &Listener) -> Vec<StepOutcome> {
        let untried: Vec<StepId> =
            self.steps.keys().filter(|id| !self.outcomes.contains_key(id)).copied().collect();
        for step in untried {
            self.record(StepOutcome { step, outcome: Outcome::Cancelled, millis: 0 }, listener);
        }
        self.outcomes.into_values().collect()
    }
}
