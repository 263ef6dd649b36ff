//! The way back of an update that failed: for each replica of the service that did not itself fail.

use crate::model::{
    ContainerState, Cure, DesiredReplica, DesiredService, Drift, FailureAction, ObservedContainer,
    Reason, UpdateOrder, UpdatePolicy,
};
use crate::plan::place::handle;
use crate::plan::steps::Cause;
use crate::plan::{Planner, cause};

use super::failed::{best, replica_drift};
use super::rollout::{LATER_MONITOR, Rollout, order_of};
use super::setback::Setback;

impl<'a> Planner<'a> {
    /// After another replica's successor failed, no further one is started, and whoever was replaced already goes back.
    /// Says whether that ends what there is to do about this replica.
    ///
    /// Three kinds are left: those whose turn never came stay as they are, those that were only made are removed, and
    /// those that were replaced go back.
    pub(in crate::plan) fn stop_update(
        &mut self,
        service: &'a DesiredService,
        desired: &'a DesiredReplica,
        setback: &Setback,
        back: &mut Rollout<'a>,
    ) -> bool {
        let replica = &desired.replica;
        let drifts = self.replicas.get(replica).cloned().unwrap_or_default();
        let asks = |cure| drifts.iter().copied().find(|drift| drift.cure == cure);
        let Some(keeper) = self.keeper(replica) else {
            // It would be one more of what does not work.
            let Some(drift) = asks(Cure::Create) else { return false };
            self.hold(drift, setback.why.clone());
            return true;
        };
        let old = best(&self.earlier(desired, keeper));
        let is_new = self.is_new(desired, keeper);
        if is_new && old.is_none() && keeper.state == ContainerState::Created {
            let drift = replica_drift(service, desired, keeper, Reason::NotStarted);
            self.remove_container(keeper, &cause(&drift), []);
            self.hold(&drift, setback.why.clone());
            return true;
        }
        if let Some(old) = old.filter(|_| is_new) {
            self.take_back((service, desired), (keeper, old), setback, back);
            return true;
        }
        let Some(drift) = asks(Cure::Replace) else { return false };
        self.stands_as_observed(replica, keeper);
        self.hold(drift, setback.why.clone());
        // What serves is kept as it is, and kept alive.
        let falls: Vec<&Drift> =
            drifts.iter().copied().filter(|drift| drift.cure == Cure::Revive).collect();
        self.mend(desired, keeper, &falls);
        true
    }

    /// A successor that is well goes with those that are not: what was only made is removed, what runs gives way to its
    /// predecessor. Where the manifest says to stay, both stay.
    ///
    /// A service is one version. Two of three replicas that work would answer differently from the third, and what a
    /// client meets would be chance.
    fn take_back(
        &mut self,
        (service, desired): (&'a DesiredService, &'a DesiredReplica),
        (new, old): (&'a ObservedContainer, &'a ObservedContainer),
        setback: &Setback,
        back: &mut Rollout<'a>,
    ) {
        let is_unused = new.state == ContainerState::Created;
        if !is_unused && setback.action != FailureAction::Rollback {
            self.stands_as_observed(&desired.replica, new);
            self.hold(
                &replica_drift(service, desired, old, Reason::Superseded),
                setback.why.clone(),
            );
            return;
        }
        let with = setback.failed.first().cloned().unwrap_or_else(|| desired.replica.clone());
        let reason =
            if is_unused { Reason::NotStarted } else { Reason::TakenBack { with: Box::new(with) } };
        let drift = replica_drift(service, desired, new, reason);
        let cause = cause(&drift);
        if is_unused {
            self.remove_container(new, &cause, []);
            self.stands_as_observed(&desired.replica, old);
        } else {
            let policy = service.rollback.as_ref().unwrap_or(&service.update);
            self.change_back((service, policy), desired, (new, old), (&cause, back));
        }
        self.hold(&drift, setback.why.clone());
    }

    /// By `rollback_config` where there is one: batches, order and watch time of the way back may differ from those of
    /// the way there, since what serves again is known to work.
    pub(super) fn change_back(
        &mut self,
        (service, policy): (&'a DesiredService, &UpdatePolicy),
        desired: &'a DesiredReplica,
        (new, old): (&ObservedContainer, &ObservedContainer),
        (cause, back): (&Cause, &mut Rollout<'a>),
    ) {
        if old.state.is_up() {
            self.stands_as_observed(&desired.replica, old);
            self.remove_container(new, cause, []);
            return;
        }
        let turn = self.take_turn(policy, back, cause);
        let stop_first = order_of(policy, desired) == UpdateOrder::StopFirst && new.state.is_up();
        let stop = stop_first.then(|| self.stop_container(new, cause, turn.clone()));
        let before = turn.into_iter().chain(stop);
        let started = self.start(service, &handle(old), cause, before);
        let proof = (&handle(old), policy.monitor.max(LATER_MONITOR));
        let up = self.prove(service, proof, cause, vec![started]);
        back.proved(Some(up));
        let stop =
            (!stop_first && new.state.is_up()).then(|| self.stop_container(new, cause, [up]));
        self.clear_away(&[new], cause, [up].into_iter().chain(stop).collect());
        self.stands_new(desired, handle(old), None, started, Some(up));
    }
}
