//! What goes on although a successor did not come up: the predecessor serves while the host is in trouble, or the update
//! goes past it, where the manifest says so.

use crate::model::{DesiredReplica, DesiredService, Drift, Held, HeldBecause, Reason};
use crate::plan::place::handle;
use crate::plan::{Planner, Resolve, cause};

use super::failed::{best, has_failed, is_about, is_in_trouble, replica_drift};
use super::rollout::{Rollout, Successor, TakenOver};

impl<'a> Planner<'a> {
    /// A successor that the host could not start is tried again after a while: until then the predecessor serves. Says
    /// whether that is all there is to do about the replica now.
    ///
    /// A full disk or a device that is busy says nothing about the commit. So it is no failed update: the new version
    /// stays what is asked for, and is tried again when the brake's time has come.
    pub(in crate::plan) fn bridge(
        &mut self,
        service: &DesiredService,
        desired: &DesiredReplica,
    ) -> bool {
        let replica = &desired.replica;
        let Some(brake) = self.brake(replica).cloned() else { return false };
        let Some(new) = self.keeper(replica).filter(|keeper| is_in_trouble(keeper)) else {
            return false;
        };
        let Some(old) = best(&self.predecessors(replica)).filter(|_| !service.is_job) else {
            return false;
        };
        let drift = replica_drift(service, desired, new, Reason::NotStarted);
        if old.state.is_up() {
            self.stands_as_observed(replica, old);
        } else {
            let started = self.start(service, &handle(old), &cause(&drift), []);
            self.stands_new(desired, handle(old), None, started, None);
        }
        let why = HeldBecause::HostInTrouble { error: new.error.clone(), until: brake.until };
        let slowed = self.held.extract_if(.., |held| {
            matches!(held.why, HeldBecause::Slowed { .. }) && is_about(&held.drift, replica)
        });
        let drifts: Vec<Drift> = slowed.map(|held| held.drift).collect();
        for drift in drifts {
            self.held.insert(Held { drift, why: why.clone() });
        }
        self.stuck.insert(replica.clone(), why);
        true
    }

    /// Goes on past a successor that did not come up, where the manifest says so: it stands for its replica, and is brought
    /// back as any other that falls. Says whether it was such a one.
    ///
    /// `failure_action: continue`: whoever writes that has something else that watches. The predecessor leaves all the
    /// same, or two versions of one replica would wait for each other for ever.
    pub(in crate::plan) fn let_be(
        &mut self,
        service: &DesiredService,
        desired: &'a DesiredReplica,
        roll: &mut Rollout<'a>,
    ) -> bool {
        let Some(new) = self.keeper(&desired.replica) else { return false };
        let olds = self.predecessors(&desired.replica);
        if olds.is_empty()
            || service.is_job
            || self.input.resolve == Resolve::Retry
            || !self.is_new(desired, new)
            || !has_failed(new)
        {
            return false;
        }
        let cause = cause(&replica_drift(service, desired, new, Reason::Superseded));
        let running = olds.iter().copied().filter(|old| old.state.is_up());
        let stops = running.map(|old| self.stop_container(old, &cause, [])).collect();
        let new =
            Successor { handle: handle(new), made: None, state: new.state, name: new.name.clone() };
        roll.was_taken_over(None, TakenOver { desired, new, olds, stops, cause });
        true
    }
}
