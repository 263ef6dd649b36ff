//! The update of a service as a whole: batch by batch, proven together, and taken back together.
//!
//! Predecessors stay, stopped, until every replica of the service has come up. So the first failure ends an update where
//! it is, and all replicas can go back to what ran before, those too whose successors work. What failed stays beside
//! them: by it the host itself remembers not to try the same again.

use std::time::Duration;

use crate::model::{
    Action, AnonymousVolumes, ContainerHandle, ContainerState, DesiredReplica, DesiredService,
    Ending, ObservedContainer, UpdateOrder, UpdatePolicy,
};
use crate::plan::Planner;
use crate::plan::place::handle;
use crate::plan::remove::published;
use crate::plan::steps::{Cause, Node};

/// How long a replacement must stay up before its predecessor is removed, where the manifest does not say
/// (`deploy.update_config.monitor`) and there is no health check. Long enough for a bad command line or a missing
/// variable to show, short enough not to be noticed.
const DEFAULT_MONITOR: Duration = Duration::from_secs(2);
/// How long a replacement of a later batch must stay up, where the manifest does not say: the first ones have shown that
/// what is asked for runs, and these only have to show that they do.
pub(super) const LATER_MONITOR: Duration = Duration::from_millis(500);

/// A container that is to stand for a replica.
pub(in crate::plan) struct Successor {
    pub(in crate::plan) handle: ContainerHandle,
    pub(in crate::plan) made: Option<Node>,
    pub(in crate::plan) state: ContainerState,
    pub(in crate::plan) name: String,
}

/// How far the update of a service has come in this plan: the batch that replicas belong to, and who took over.
#[derive(Default)]
pub(in crate::plan) struct Rollout<'a> {
    in_batch: u32,
    up_now: Vec<Node>,
    up_before: Vec<Node>,
    taken_over: Vec<TakenOver<'a>>,
    proofs: Vec<Node>,
}

/// A successor that takes over, and those who wait beside it until it may have their place for good.
pub(in crate::plan) struct TakenOver<'a> {
    pub(in crate::plan) desired: &'a DesiredReplica,
    pub(in crate::plan) new: Successor,
    pub(in crate::plan) olds: Vec<&'a ObservedContainer>,
    pub(in crate::plan) stops: Vec<Node>,
    pub(in crate::plan) cause: Cause,
}

impl<'a> Rollout<'a> {
    /// Notes a successor, and the step that proves it.
    pub(in crate::plan) fn was_taken_over(&mut self, up: Option<Node>, one: TakenOver<'a>) {
        self.proved(up);
        self.taken_over.push(one);
    }

    /// Notes the step that proves a replica.
    pub(in crate::plan) fn proved(&mut self, up: Option<Node>) {
        self.up_now.extend(up);
        self.proofs.extend(up);
    }

    /// Whether it changes anybody yet.
    pub(in crate::plan) fn has_begun(&self) -> bool {
        self.in_batch != 0 || !self.up_before.is_empty()
    }
}

impl<'a> Planner<'a> {
    /// Updates go batch by batch: the first disruptive step of a batch waits for the batch before.
    ///
    /// `parallelism: 0` is "all at once" (Compose Deploy Specification, `update_config`), and so no turn ever waits.
    /// The delay stands between batches, as there, and not after the last one.
    pub(in crate::plan) fn take_turn(
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
    ///
    /// The progress limit is the operator's: a check with `start_period: 1h` would otherwise hold a deployment for an
    /// hour before anybody hears of it.
    pub(in crate::plan) fn prove(
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
    ///
    /// Names change last. Until then the old container has the name that scripts and people use, and if the pass ends
    /// here nobody has lost anything: the next one finds both and goes on.
    pub(in crate::plan) fn hand_over(&mut self, roll: Rollout<'a>) {
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
    pub(super) fn clear_away(
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
}

/// Start-first only where old and new can run side by side: a fixed host port or address belongs to one of them.
///
/// Asked for start-first, a service with `80:80` would fail at each update: the Engine refuses the second binding when
/// the container starts. A range or no host port at all is free for both.
pub(in crate::plan) fn order_of(policy: &UpdatePolicy, desired: &DesiredReplica) -> UpdateOrder {
    let fixed_address =
        desired.spec.endpoints.values().any(|endpoint| endpoint.ipam_config.is_some());
    let fixed_port = !published(&desired.spec.host.port_bindings).is_empty();
    let host_network = desired.spec.host.network_mode == "host";
    if fixed_address || fixed_port || host_network { UpdateOrder::StopFirst } else { policy.order }
}

/// How long a replacement must stay up before it counts.
///
/// `deploy.update_config.monitor` of the manifest counts for every batch. Its default in Swarm is 5 s; with no word on
/// it two seconds find what fails at its start, and a thousand replicas do not take an hour.
pub(in crate::plan) fn monitor(service: &DesiredService, is_first_batch: bool) -> Duration {
    match service.update.monitor {
        Duration::ZERO if is_first_batch => DEFAULT_MONITOR,
        Duration::ZERO => LATER_MONITOR,
        said => said,
    }
}

/// The name of a successor until it may have the final one.
pub(super) fn passing_name(desired: &DesiredReplica) -> String {
    format!("{}.next", desired.name)
}
