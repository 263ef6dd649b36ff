//! Replacements: a successor is made under a passing name and takes over. When it inherits the final name, and what
//! becomes of one that fails, is the update's affair: see `rollout`.

use std::time::Duration;

use crate::model::{
    ContainerHandle, ContainerState, DesiredReplica, DesiredService, Drift, ObservedContainer,
    Reason, UpdateOrder,
};

use super::failed::replica_drift;
use super::inheritance::inherit_anonymous_volumes;
use super::rollout::{Rollout, Successor, TakenOver, monitor, order_of, passing_name};
use crate::plan::place::handle;
use crate::plan::steps::{Cause, Node};
use crate::plan::{Planner, cause};

/// A successor, those whose place it takes, and what its start waits for.
struct Handover<'a> {
    service: &'a DesiredService,
    desired: &'a DesiredReplica,
    new: Successor,
    olds: Vec<&'a ObservedContainer>,
    ready: Vec<Node>,
    /// What its turn waits for, where that was taken already.
    turn: Option<Vec<Node>>,
}

impl<'a> Planner<'a> {
    /// Makes a successor under a passing name and lets it take over.
    ///
    /// The Engine takes a name once, so two containers of one replica need two names. `NAME.next` is not one that
    /// Compose would give, and it is short-lived: a look that finds it knows that a replacement was cut off.
    pub(in crate::plan) fn replace(
        &mut self,
        service: &'a DesiredService,
        desired: &'a DesiredReplica,
        old: &'a ObservedContainer,
        drift: &Drift,
        roll: &mut Rollout<'a>,
    ) {
        let cause = cause(drift);
        let Some(started_after) = self.may_start(desired, drift) else { return };
        let mut olds = self.predecessors(&desired.replica);
        let passing = passing_name(desired);
        // One that never got the final name is of an update that was cut off by this commit, and proved nothing: it goes
        // first, and what ran before it is what a failure goes back to.
        let halves = self.halves(desired);
        let turn = halves.map(|_| self.take_turn(&service.update, roll, &cause));
        let after = turn.clone().map_or_else(Vec::new, |mut after| {
            // Its name is needed, so it cannot wait until the new one is made; but for all that the new one needs.
            let origin = service.origin.as_ref();
            after.extend(self.ground_for(&service.image, desired, origin, &cause));
            after.extend(started_after.iter().copied());
            after
        });
        olds.push(old);
        let old = halves.map_or(old, |(_, proven)| proven);
        olds.retain(|one| one.id != old.id);
        // Where nothing else is left, the successor of before is the old one now, under the passing name: then the final
        // name is the free one.
        let passing = if old.name == passing { desired.name.clone() } else { passing };
        // A predecessor that still holds the name is what is left of an attempt that came to nothing, or of one whose
        // successor stands already.
        let leftovers: Vec<_> =
            olds.extract_if(.., |container| container.name == passing).collect();
        let cleared: Vec<Node> = leftovers
            .into_iter()
            .map(|leftover| self.remove_container(leftover, &cause, after.iter().copied()))
            .collect();
        olds.push(old);
        let mut spec = (*desired.spec).clone();
        inherit_anonymous_volumes(&mut spec, old);
        let made = self.make(service, desired, &passing, spec, &cause);
        for node in &made {
            for clear in &cleared {
                self.drafts.wait(*node, *clear);
            }
        }
        if order_of(&service.update, desired) == UpdateOrder::StopFirst
            && old.state.is_up()
            && !service.may_complete
        {
            self.warnings.insert(crate::plan::down_while_replaced(&desired.replica));
        }
        let successor = Successor {
            handle: ContainerHandle::Planned { name: passing.clone() },
            made: made.last().copied(),
            state: ContainerState::Created,
            name: passing,
        };
        let ready = started_after;
        let handover = Handover { service, desired, new: successor, olds, ready, turn };
        self.take_over(handover, &cause, roll);
    }

    /// Goes on with a replacement that was cut off: the successor exists already.
    ///
    /// Nothing is remembered between passes about a replacement: the two containers are there, with their seals, and
    /// say everything. So a crash of Moorline, of the Engine or of the machine in the middle is just another pass.
    pub(in crate::plan) fn finish_replacement(
        &mut self,
        service: &'a DesiredService,
        desired: &'a DesiredReplica,
        new: &'a ObservedContainer,
        olds: Vec<&'a ObservedContainer>,
        roll: &mut Rollout<'a>,
    ) {
        let drift = replica_drift(service, desired, new, Reason::Superseded);
        let Some(started_after) = self.may_start(desired, &drift) else { return };
        let cause = cause(&drift);
        let made = self.complete_made(desired, new, &cause);
        let successor =
            Successor { handle: handle(new), made, state: new.state, name: new.name.clone() };
        let (ready, turn) = (started_after, None);
        let handover = Handover { service, desired, new: successor, olds, ready, turn };
        self.take_over(handover, &cause, roll);
    }

    /// The old ones stop, the new one starts and proves itself. The old ones stay, and the new one keeps its passing
    /// name, until every replica of the service has come so far.
    fn take_over(&mut self, handover: Handover<'a>, cause: &Cause, roll: &mut Rollout<'a>) {
        let Handover { service, desired, new, olds, ready, turn } = handover;
        let turn = turn.unwrap_or_else(|| self.take_turn(&service.update, roll, cause));
        let monitor = monitor(service, turn.is_empty());
        let ready: Vec<Node> = ready.into_iter().chain(new.made).chain(turn).collect();
        let running = olds.iter().copied().filter(|old| old.state.is_up());
        let (started, up, stops) = match order_of(&service.update, desired) {
            UpdateOrder::StopFirst => {
                let stops: Vec<Node> =
                    running.map(|old| self.stop_container(old, cause, ready.clone())).collect();
                for stop in &stops {
                    self.drafts.is_patient(*stop, &ready);
                }
                let before = ready.into_iter().chain(stops.iter().copied()).collect();
                let (started, up) = self.bring_up((service, monitor), &new, cause, before);
                (started, up, stops)
            }
            UpdateOrder::StartFirst => {
                let (started, up) = self.bring_up((service, monitor), &new, cause, ready);
                let stops = running.map(|old| self.stop_container(old, cause, up)).collect();
                (started, up, stops)
            }
        };
        self.renewed.insert(desired.replica.clone());
        self.stands_new(desired, new.handle.clone(), new.made, started, up);
        roll.was_taken_over(up, TakenOver { desired, new, olds, stops, cause: cause.clone() });
    }

    /// Starts a successor, where it does not run yet, and waits until it is up. A job is not expected to stay up: its
    /// completion is awaited by whoever needs it. Returns the start and the proof.
    ///
    /// A successor that runs already is not started again: a pass that was cut off after the start goes on with the
    /// proof alone.
    fn bring_up(
        &mut self,
        (service, monitor): (&DesiredService, Duration),
        new: &Successor,
        cause: &Cause,
        before: Vec<Node>,
    ) -> (Option<Node>, Option<Node>) {
        let started = (!new.state.is_up())
            .then(|| self.start(service, &new.handle, cause, before.iter().copied()));
        if service.is_job {
            return (started, started);
        }
        let after = started.map_or(before, |started| vec![started]);
        (started, Some(self.prove(service, (&new.handle, monitor), cause, after)))
    }
}
