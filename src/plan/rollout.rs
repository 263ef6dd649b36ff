//! The update of a service as a whole: batch by batch, proven together, and taken back together.
//!
//! Predecessors stay, stopped, until every replica of the service has come up. So the first failure ends an update where
//! it is, and all replicas can go back to what ran before, those too whose successors work. What failed stays beside
//! them: by it the host itself remembers not to try the same again.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::model::{
    Action, AnonymousVolumes, ContainerHandle, ContainerState, Cure, DesiredReplica,
    DesiredService, Drift, Ending, FailureAction, Held, HeldBecause, ObservedContainer, Reason,
    Replica, Resource, UpdateOrder, UpdatePolicy,
};

use super::failed::{best, has_failed, how_it_failed, is_in_trouble};
use super::place::handle;
use super::remove::published;
use super::steps::{Cause, Node};
use super::{Planner, Resolve, cause};

/// How long a replacement must stay up before its predecessor is removed, where the manifest does not say
/// (`deploy.update_config.monitor`) and there is no health check. Long enough for a bad command line or a missing
/// variable to show, short enough not to be noticed.
const DEFAULT_MONITOR: Duration = Duration::from_secs(2);
/// How long a replacement of a later batch must stay up, where the manifest does not say: the first ones have shown that
/// what is asked for runs, and these only have to show that they do.
const LATER_MONITOR: Duration = Duration::from_millis(500);

/// A container that is to stand for a replica.
pub(super) struct Successor {
    pub(super) handle: ContainerHandle,
    pub(super) made: Option<Node>,
    pub(super) state: ContainerState,
    pub(super) name: String,
}

/// How far the update of a service has come in this plan: the batch that replicas belong to, and who took over.
#[derive(Default)]
pub(super) struct Rollout<'a> {
    in_batch: u32,
    up_now: Vec<Node>,
    up_before: Vec<Node>,
    taken_over: Vec<TakenOver<'a>>,
    proofs: Vec<Node>,
}

/// A successor that takes over, and those who wait beside it until it may have their place for good.
pub(super) struct TakenOver<'a> {
    pub(super) desired: &'a DesiredReplica,
    pub(super) new: Successor,
    pub(super) olds: Vec<&'a ObservedContainer>,
    pub(super) stops: Vec<Node>,
    pub(super) cause: Cause,
}

impl<'a> Rollout<'a> {
    /// Notes a successor, and the step that proves it.
    pub(super) fn was_taken_over(&mut self, up: Option<Node>, one: TakenOver<'a>) {
        self.proved(up);
        self.taken_over.push(one);
    }

    /// Notes the step that proves a replica.
    pub(super) fn proved(&mut self, up: Option<Node>) {
        self.up_now.extend(up);
        self.proofs.extend(up);
    }

    /// Whether it changes anybody yet.
    pub(super) fn has_begun(&self) -> bool {
        self.in_batch != 0 || !self.up_before.is_empty()
    }
}

/// An update that failed.
pub(super) struct Setback {
    /// Replicas that did not come up.
    failed: BTreeSet<Replica>,
    /// What the manifest says then.
    action: FailureAction,
    /// Why nothing more of it is tried.
    why: HeldBecause,
}

impl Setback {
    /// Whether a replica did not come up: it is settled already.
    pub(super) fn is_of(&self, replica: &Replica) -> bool {
        self.failed.contains(replica)
    }
}

impl<'a> Planner<'a> {
    /// Updates go batch by batch: the first disruptive step of a batch waits for the batch before.
    pub(super) fn take_turn(
        &mut self,
        policy: &UpdatePolicy,
        roll: &mut Rollout<'a>,
        cause: &Cause,
    ) -> Vec<Node> {
        let size = policy.parallelism;
        if size != 0 && roll.in_batch == size {
            roll.up_before = std::mem::take(&mut roll.up_now);
            roll.in_batch = 0;
            if !policy.delay.is_zero() {
                let pause = Action::Delay { pause: policy.delay };
                let before = roll.up_before.clone();
                roll.up_before = vec![self.drafts.add(pause, cause, before)];
            }
        }
        roll.in_batch += 1;
        roll.up_before.clone()
    }

    /// Waits until a container is up, and stays so for a while.
    pub(super) fn prove(
        &mut self,
        service: &DesiredService,
        (container, monitor): (&ContainerHandle, Duration),
        cause: &Cause,
        after: Vec<Node>,
    ) -> Node {
        let action = Action::AwaitHealthy {
            container: container.clone(),
            monitor,
            ending: if service.may_complete { Ending::Counts } else { Ending::Fails },
            limit: self.input.policy.progress_limit,
        };
        self.drafts.add(action, cause, after)
    }

    /// Once all have come up, predecessors go and successors get their final names.
    pub(super) fn hand_over(&mut self, roll: Rollout<'a>) {
        for one in roll.taken_over {
            let after = one.stops.into_iter().chain(roll.proofs.iter().copied()).collect();
            let gone = self.clear_away(&one.olds, &one.cause, after);
            if one.new.name == one.desired.name {
                continue;
            }
            let (container, name) = (one.new.handle.clone(), one.desired.name.clone());
            let action = Action::Rename { container, name: name.clone() };
            let after = gone.into_iter().chain(roll.proofs.iter().copied());
            let named = self.drafts.add(action, &one.cause, after);
            self.note(&one.desired.replica, |standing| {
                (standing.made, standing.started) = (Some(named), Some(named));
                // Later steps address a new container by its final name, which it has from here on.
                if matches!(standing.handle, ContainerHandle::Planned { .. }) {
                    standing.handle = ContainerHandle::Planned { name };
                }
            });
        }
    }

    /// Removes predecessors. Their anonymous volumes stay: the successor was given them, as `docker compose` does when it makes a
    /// container anew, and they go with the last container that has them.
    fn clear_away(
        &mut self,
        olds: &[&ObservedContainer],
        cause: &Cause,
        after: Vec<Node>,
    ) -> Vec<Node> {
        let remove = |old: &&ObservedContainer| Action::Remove {
            container: handle(old),
            anonymous_volumes: AnonymousVolumes::Keep,
        };
        let actions: Vec<Action> = olds.iter().map(remove).collect();
        actions.into_iter().map(|action| self.drafts.add(action, cause, after.clone())).collect()
    }

    /// Settles the replicas of a service that did not come up, where that ends its update: too many of them, and
    /// nobody asked to go on or to try again.
    pub(super) fn settle_failed(&mut self, service: &'a DesiredService) -> Option<Setback> {
        if service.is_job || self.input.resolve == Resolve::Retry {
            return None;
        }
        let failures = self.failures(service);
        let action = service.update.failure_action.unwrap_or(FailureAction::Rollback);
        if action == FailureAction::Continue || service.tolerates(failures.len()) {
            return None;
        }
        let why = self.why_it_ended(service, *failures.first()?, action);
        for (desired, failed) in &failures {
            self.settle_one(service, desired, failed, (action, &why));
        }
        let failed = failures.into_iter().map(|(desired, _)| desired.replica.clone()).collect();
        Some(Setback { failed, action, why })
    }

    /// Replicas that are as the commit asks for and did not come up, while others of their service, or their own
    /// predecessors, are still as they were.
    fn failures(
        &self,
        service: &'a DesiredService,
    ) -> Vec<(&'a DesiredReplica, &'a ObservedContainer)> {
        let replicas = service.replicas.values().map(AsRef::as_ref);
        let failed: Vec<(&'a DesiredReplica, _)> = replicas
            .filter_map(|desired| {
                let keeper = self.keeper(&desired.replica)?;
                (self.is_new(desired, keeper) && has_failed(keeper)).then_some((desired, keeper))
            })
            .collect();
        let mid_update = !failed.is_empty() && self.generation_before(service).is_some();
        failed.into_iter().filter(|_| mid_update).collect()
    }

    /// Whether a container is of the generation that the commit asks for.
    fn is_new(&self, desired: &DesiredReplica, container: &ObservedContainer) -> bool {
        self.input.desired.is_seal_of(&desired.replica, container.spec_label.as_deref())
    }

    /// A container of the generation before, while there is one: what serves when an update came to nothing.
    fn generation_before(&self, service: &'a DesiredService) -> Option<&'a ObservedContainer> {
        let of = |desired: &'a DesiredReplica| {
            let keeper = self.keeper(&desired.replica);
            let keeper = keeper.filter(|keeper| !self.is_new(desired, keeper));
            best(&self.predecessors(&desired.replica)).or(keeper)
        };
        service.replicas.values().map(AsRef::as_ref).find_map(of)
    }

    fn why_it_ended(
        &self,
        service: &'a DesiredService,
        (desired, failed): (&DesiredReplica, &ObservedContainer),
        action: FailureAction,
    ) -> HeldBecause {
        let replica = Some(Box::new(desired.replica.clone()));
        let reason = how_it_failed(failed);
        let said = [&failed.last_words, &failed.error].into_iter().find(|said| !said.is_empty());
        let error = said.cloned().unwrap_or_default();
        if action != FailureAction::Rollback {
            return HeldBecause::UpdatePaused { reason: Box::new(reason), error, replica };
        }
        let serves = self.generation_before(service).map(|old| {
            let from = old.revision.as_ref().map(|revision| format!(" from {}", revision.short()));
            format!("{}{}", old.spec.config.image, from.unwrap_or_default())
        });
        let serves = serves.unwrap_or_default().into();
        HeldBecause::RolledBack { reason: Box::new(reason), error, serves, replica }
    }

    /// A successor that did not come up stays, stopped; its predecessor runs again.
    fn settle_one(
        &mut self,
        service: &DesiredService,
        desired: &DesiredReplica,
        failed: &ObservedContainer,
        (action, why): (FailureAction, &HeldBecause),
    ) {
        let drift = replica_drift(service, desired, failed, how_it_failed(failed));
        if action == FailureAction::Rollback {
            let cause = cause(&drift);
            let stopped = failed.state.is_up().then(|| self.stop_container(failed, &cause, []));
            if let Some(old) = best(&self.predecessors(&desired.replica)) {
                // One that does not come back either is given time, as any other that falls again and again.
                if !old.state.is_up() && self.brake(&desired.replica).is_none() {
                    self.drafts.add(Action::Start { container: handle(old) }, &cause, stopped);
                }
                self.stands_as_observed(&desired.replica, old);
            }
        }
        // Whatever else differs of it has no say before the next commit.
        self.held.retain(|held| !is_about(&held.drift, &desired.replica));
        self.stuck.insert(desired.replica.clone(), why.clone());
        self.held.insert(Held { drift, why: why.clone() });
    }

    /// After another replica's successor failed, no further one is started, and whoever was replaced already goes back.
    /// Says whether that ends what there is to do about this replica.
    pub(super) fn stop_update(
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
        let old = best(&self.predecessors(replica));
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
        true
    }

    /// A successor that is well goes with those that are not: what was only made is removed, what runs gives way to its
    /// predecessor. Where the manifest says to stay, both stay.
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

    fn change_back(
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

    /// What an update left half-way that another commit cut off: a successor that never got the final name, so that it
    /// proved nothing, and the predecessor that has it still.
    pub(super) fn halves(
        &self,
        desired: &DesiredReplica,
    ) -> Option<(&'a ObservedContainer, &'a ObservedContainer)> {
        let keeper = self.keeper(&desired.replica)?;
        let all: Vec<_> = self.predecessors(&desired.replica).into_iter().chain([keeper]).collect();
        let find = |name: &str| {
            all.iter().copied().find(|one| one.name == name && !self.is_new(desired, one))
        };
        Some((find(&passing_name(desired))?, find(&desired.name)?))
    }

    /// A commit came while an update was on its way, and nobody is to be missing for a moment: replicas that were replaced
    /// already get their predecessors back, and the update to the newer commit begins from there. Says whether that is all
    /// there is to do about the service now.
    pub(super) fn unwind(&mut self, service: &'a DesiredService) -> bool {
        let mut back = Rollout::default();
        let mut is_needed = false;
        for desired in service.replicas.values() {
            let Some(keeper) = self.keeper(&desired.replica) else { continue };
            self.stands_as_observed(&desired.replica, keeper);
            let Some((new, old)) = self.halves(desired) else { continue };
            let is_swapped = new.state.is_up() && !old.state.is_up();
            if !is_swapped || order_of(&service.update, desired) == UpdateOrder::StopFirst {
                continue;
            }
            let drifts = self.replicas.get(&desired.replica).into_iter().flatten();
            let Some(drift) = drifts.copied().find(|drift| drift.cure == Cure::Replace) else {
                continue;
            };
            if self.may_start(desired, drift).is_some() {
                let how = (service, &service.update);
                self.change_back(how, desired, (new, old), (&cause(drift), &mut back));
                is_needed = true;
            }
        }
        is_needed
    }

    /// A successor that the host could not start is tried again after a while: until then the predecessor serves. Says
    /// whether that is all there is to do about the replica now.
    pub(super) fn bridge(&mut self, service: &DesiredService, desired: &DesiredReplica) -> bool {
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
    pub(super) fn let_be(
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

/// The name of a successor until it may have the final one.
pub(super) fn passing_name(desired: &DesiredReplica) -> String {
    format!("{}.next", desired.name)
}

fn is_about(drift: &Drift, of: &Replica) -> bool {
    matches!(&drift.resource, Resource::Replica { replica, .. } if replica == of)
}

fn replica_drift(
    service: &DesiredService,
    desired: &DesiredReplica,
    container: &ObservedContainer,
    reason: Reason,
) -> Drift {
    let replica = desired.replica.clone();
    let resource = Resource::Replica { replica, container: Some(container.id.clone()) };
    let cure = if reason == Reason::Superseded { Cure::Remove } else { Cure::Replace };
    Drift { resource, reason, cure, origin: service.origin.clone() }
}

/// Start-first only where old and new can run side by side: a fixed host port or address belongs to one of them.
pub(super) fn order_of(policy: &UpdatePolicy, desired: &DesiredReplica) -> UpdateOrder {
    let fixed_address =
        desired.spec.endpoints.values().any(|endpoint| endpoint.ipam_config.is_some());
    let fixed_port = !published(&desired.spec.host.port_bindings).is_empty();
    let host_network = desired.spec.host.network_mode == "host";
    if fixed_address || fixed_port || host_network { UpdateOrder::StopFirst } else { policy.order }
}

/// How long a replacement must stay up before it counts.
pub(super) fn monitor(service: &DesiredService, is_first_batch: bool) -> Duration {
    match service.update.monitor {
        Duration::ZERO if is_first_batch => DEFAULT_MONITOR,
        Duration::ZERO => LATER_MONITOR,
        said => said,
    }
}
