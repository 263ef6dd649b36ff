//! Replacements: a successor is made under a passing name, takes over, and inherits the final name; or it fails, and
//! its predecessor comes back.

use std::time::Duration;

use crate::model::{
    Action, AnonymousVolumes, ContainerHandle, ContainerSpec, ContainerState, Cure, DesiredReplica,
    DesiredService, Drift, Ending, FailureAction, HealthCheckState, Held, HeldBecause, Mount,
    ObservedContainer, Reason, Resource, UpdateOrder,
};

use super::place::handle;
use super::remove::published;
use super::steps::{Cause, Node};
use super::{Planner, Resolve, cause};

/// How long a replacement must stay up before its predecessor is removed, where the manifest does not say
/// (`deploy.update_config.monitor`) and there is no health check. Long enough for a bad command line or a missing
/// variable to show, short enough not to be noticed.
const DEFAULT_MONITOR: Duration = Duration::from_secs(2);
/// The same for replicas of later batches: the first ones have shown that what is asked for runs, and these only have to
/// show that they do.
const LATER_MONITOR: Duration = Duration::from_millis(500);

/// The batch of a rolling update that replicas belong to, and the steps at which the batch before was up.
#[derive(Debug, Default)]
pub(super) struct Roll {
    in_batch: u32,
    up_now: Vec<Node>,
    up_before: Vec<Node>,
}

/// A container that is to stand for a replica.
struct Successor {
    handle: ContainerHandle,
    made: Option<Node>,
    state: ContainerState,
    name: String,
}

/// A successor, those whose place it takes, and what its start waits for.
struct Handover<'h> {
    service: &'h DesiredService,
    desired: &'h DesiredReplica,
    new: Successor,
    olds: Vec<&'h ObservedContainer>,
    ready: Vec<Node>,
}

impl Planner<'_> {
    /// Makes a successor under a passing name and lets it take over.
    pub(super) fn replace(
        &mut self,
        service: &DesiredService,
        desired: &DesiredReplica,
        old: &ObservedContainer,
        drift: &Drift,
        roll: &mut Roll,
    ) {
        let cause = cause(drift);
        let Some(started_after) = self.may_start(desired, drift) else { return };
        let mut olds = self.predecessors(&desired.replica);
        let passing = format!("{}.next", desired.name);
        // When an earlier replacement was cut off before its last step, its successor is the old one now, under the
        // passing name: then the final name is the free one.
        let passing = if old.name == passing { desired.name.clone() } else { passing };
        // A predecessor that still holds the name is what is left of an attempt that came to nothing, or of one whose
        // successor stands already.
        let leftovers: Vec<_> =
            olds.extract_if(.., |container| container.name == passing).collect();
        let cleared: Vec<Node> = leftovers
            .into_iter()
            .map(|leftover| self.remove_container(leftover, &cause, []))
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
        if order_of(service, desired) == UpdateOrder::StopFirst
            && old.state.is_up()
            && !service.may_complete
        {
            self.warnings.insert(super::down_while_replaced(&desired.replica));
        }
        let successor = Successor {
            handle: ContainerHandle::Planned { name: passing.clone() },
            made: made.last().copied(),
            state: ContainerState::Created,
            name: passing,
        };
        let handover = Handover { service, desired, new: successor, olds, ready: started_after };
        self.take_over(handover, &cause, roll);
    }

    /// Goes on with a replacement that was cut off: the successor exists already.
    pub(super) fn finish_replacement(
        &mut self,
        service: &DesiredService,
        desired: &DesiredReplica,
        new: &ObservedContainer,
        olds: &[&ObservedContainer],
        roll: &mut Roll,
    ) {
        let drift = Drift {
            resource: Resource::Replica {
                replica: desired.replica.clone(),
                container: Some(new.id.clone()),
            },
            reason: Reason::Superseded,
            cure: Cure::Remove,
            origin: service.origin.clone(),
        };
        let Some(started_after) = self.may_start(desired, &drift) else { return };
        let cause = cause(&drift);
        let made = self.complete_made(desired, new, &cause);
        let successor =
            Successor { handle: handle(new), made, state: new.state, name: new.name.clone() };
        let olds = olds.to_vec();
        let handover = Handover { service, desired, new: successor, olds, ready: started_after };
        self.take_over(handover, &cause, roll);
    }

    /// The old ones stop, the new one starts and proves itself, the old ones are removed, the name is handed over.
    fn take_over(&mut self, handover: Handover<'_>, cause: &Cause, roll: &mut Roll) {
        let Handover { service, desired, new, olds, ready } = handover;
        let turn = self.take_turn(service, roll, cause);
        let monitor = monitor(service, turn.is_empty());
        let ready: Vec<Node> = ready.into_iter().chain(new.made).chain(turn).collect();
        let running = olds.iter().copied().filter(|old| old.state.is_up());
        let (started, up, stops) = match order_of(service, desired) {
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
        let gone = self.clear_away(&olds, cause, stops.into_iter().chain(up).collect());
        let named = (new.name != desired.name).then(|| {
            let action =
                Action::Rename { container: new.handle.clone(), name: desired.name.clone() };
            self.drafts.add(action, cause, gone.into_iter().chain(up))
        });
        roll.up_now.extend(up);
        self.renewed.insert(desired.replica.clone());
        // Later steps address a new container by its final name, which it has after the rename.
        let handle = match (&new.handle, named) {
            (ContainerHandle::Planned { .. }, Some(_)) => {
                ContainerHandle::Planned { name: desired.name.clone() }
            }
            (other, _) => other.clone(),
        };
        self.stands_new(desired, handle, named.or(new.made), named.or(started), up);
    }

    /// Starts a successor, where it does not run yet, and waits until it is up. A job is not expected to stay up: its
    /// completion is awaited by whoever needs it. Returns the start and the proof.
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
        let action = Action::AwaitHealthy {
            container: new.handle.clone(),
            monitor,
            ending: if service.may_complete { Ending::Counts } else { Ending::Fails },
            limit: self.input.policy.progress_limit,
        };
        let up = self.drafts.add(action, cause, started.map_or(before, |started| vec![started]));
        (started, Some(up))
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

    /// Rolling updates go batch by batch: the first disruptive step of a batch waits for the batch before.
    fn take_turn(&mut self, service: &DesiredService, roll: &mut Roll, cause: &Cause) -> Vec<Node> {
        let size = service.update.parallelism;
        if size != 0 && roll.in_batch == size {
            roll.up_before = std::mem::take(&mut roll.up_now);
            roll.in_batch = 0;
            if !service.update.delay.is_zero() {
                let pause = Action::Delay { pause: service.update.delay };
                let before = roll.up_before.clone();
                roll.up_before = vec![self.drafts.add(pause, cause, before)];
            }
        }
        roll.in_batch += 1;
        roll.up_before.clone()
    }

    /// A successor that does not come up is taken back: its predecessor runs again, and the failed one stays, so that
    /// the host itself remembers not to try the same again. Returns whether there was such a thing to settle.
    pub(super) fn settle_rollback(
        &mut self,
        service: &DesiredService,
        desired: &DesiredReplica,
        keeper: Option<&ObservedContainer>,
        olds: &[&ObservedContainer],
    ) -> bool {
        let action = service.update.failure_action.unwrap_or(FailureAction::Rollback);
        let (Some(failed), Some(old)) = (keeper, best(olds)) else { return false };
        let label = failed.spec_label.as_deref();
        let same = self.input.desired.is_seal_of(&desired.replica, label);
        if !same
            || service.is_job
            || self.input.resolve == Resolve::Retry
            || action == FailureAction::Continue
            || !has_failed(failed)
        {
            return false;
        }
        let resource = Resource::Replica {
            replica: desired.replica.clone(),
            container: Some(failed.id.clone()),
        };
        let reason = how_it_failed(failed);
        let drift = Drift { resource, reason, cure: Cure::Replace, origin: service.origin.clone() };
        let cause = cause(&drift);
        if action == FailureAction::Rollback {
            let stopped = failed.state.is_up().then(|| self.stop_container(failed, &cause, []));
            // One that does not come back either is given time, as any other that falls again and again.
            if !old.state.is_up() && self.brake(&desired.replica).is_none() {
                self.drafts.add(Action::Start { container: handle(old) }, &cause, stopped);
            }
            self.stands_as_observed(&desired.replica, old);
        }
        let reason = drift.reason.clone();
        let said = [&failed.last_words, &failed.error].into_iter().find(|said| !said.is_empty());
        let error = said.cloned().unwrap_or_default();
        let why = match action {
            FailureAction::Rollback => {
                let from =
                    old.revision.as_ref().map(|revision| format!(" from {}", revision.short()));
                let serves = format!("{}{}", old.spec.config.image, from.unwrap_or_default());
                HeldBecause::RolledBack { reason: Box::new(reason), error, serves: serves.into() }
            }
            FailureAction::Pause | FailureAction::Continue => {
                HeldBecause::UpdatePaused { reason, error }
            }
        };
        self.stuck.insert(desired.replica.clone(), why.clone());
        self.held.insert(Held { drift, why });
        true
    }
}

impl Planner<'_> {
    /// After another replica's successor failed, no further one is started: what was made for it goes, and who runs goes
    /// on. Says whether that ends what there is to do about this replica.
    pub(super) fn stop_update(&mut self, desired: &DesiredReplica, why: &HeldBecause) -> bool {
        let replica = &desired.replica;
        let Some(keeper) = self.keeper(replica) else { return false };
        let is_new = self.input.desired.is_seal_of(replica, keeper.spec_label.as_deref());
        let olds = self.predecessors(replica);
        let old = best(&olds);
        let drifts = self.replicas.get(replica).into_iter().flatten();
        let replaced = drifts.copied().find(|drift| drift.cure == Cure::Replace);
        let (drift, stays) = match (is_new, old, replaced) {
            (true, Some(old), _) if keeper.state == ContainerState::Created => {
                let resource = Resource::Replica {
                    replica: replica.clone(),
                    container: Some(keeper.id.clone()),
                };
                let reason = Reason::NotStarted;
                (Drift { resource, reason, cure: Cure::Replace, origin: None }, old)
            }
            (false, _, Some(drift)) => (drift.clone(), keeper),
            _ => return false,
        };
        if is_new {
            self.remove_container(keeper, &cause(&drift), []);
        }
        self.stands_as_observed(replica, stays);
        self.hold(&drift, why.clone());
        true
    }
}

/// Words of an Engine that tell of its host, not of what was to be started. It has no code for them.
const TROUBLES: [&str; 14] = [
    "no space left on device",
    "disk quota exceeded",
    "read-only file system",
    "input/output error",
    "cannot allocate memory",
    "too many open files",
    "resource temporarily unavailable",
    "device or resource busy",
    "deadline exceeded",
    "timed out",
    "timeout",
    "connection refused",
    "transport is closing",
    "already in use",
];

/// Whether a start failed of the host: that says nothing of the commit, and is tried again.
fn is_hosts_trouble(error: &str) -> bool {
    let error = error.to_ascii_lowercase();
    TROUBLES.iter().any(|words| error.contains(words))
}

/// Start-first only where old and new can run side by side: a fixed host port or address belongs to one of them.
fn order_of(service: &DesiredService, desired: &DesiredReplica) -> UpdateOrder {
    let fixed_address =
        desired.spec.endpoints.values().any(|endpoint| endpoint.ipam_config.is_some());
    let fixed_port = !published(&desired.spec.host.port_bindings).is_empty();
    let host_network = desired.spec.host.network_mode == "host";
    if fixed_address || fixed_port || host_network {
        UpdateOrder::StopFirst
    } else {
        service.update.order
    }
}

/// How long a replacement must stay up before it counts.
fn monitor(service: &DesiredService, is_first_batch: bool) -> Duration {
    match service.update.monitor {
        Duration::ZERO if is_first_batch => DEFAULT_MONITOR,
        Duration::ZERO => LATER_MONITOR,
        said => said,
    }
}

/// A successor mounts its predecessor's anonymous volumes where it would get fresh ones, so that no data is left behind.
fn inherit_anonymous_volumes(spec: &mut ContainerSpec, old: &ObservedContainer) {
    for (target, mount) in &old.mounts {
        let anonymous = mount.kind == "volume" && is_anonymous(&mount.name);
        let wanted = spec.config.volumes.contains_key(target)
            || spec.host.mounts.iter().any(|mount| {
                mount.target == *target && mount.kind == "volume" && mount.source.is_empty()
            })
            || old.spec.config.volumes.contains_key(target);
        let mounted = |mounting: crate::model::Mounting<'_>| {
            mounting.target == target && !mounting.source.is_empty()
        };
        let taken = spec.host.mountings().any(mounted) || spec.host.tmpfs.contains_key(target);
        if !anonymous || !wanted || taken {
            continue;
        }
        let mounts = &mut spec.host_mut().mounts;
        match mounts.iter_mut().find(|m| m.target == *target && m.kind == "volume") {
            Some(existing) => existing.source.clone_from(&mount.name),
            None => mounts.push(Mount {
                kind: "volume".to_owned(),
                source: mount.name.clone(),
                target: target.clone(),
                read_only: !mount.writable,
                ..Mount::default()
            }),
        }
    }
}

/// The Engine names anonymous volumes with 64 hexadecimal digits.
fn is_anonymous(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a container did not come up: ended with a failure, refused to start, keeps restarting or is unhealthy.
fn has_failed(container: &ObservedContainer) -> bool {
    if !container.state.is_up() && is_hosts_trouble(&container.error) {
        return false;
    }
    match container.state {
        // One that was unhealthy and is stopped by us may well end with 0.
        ContainerState::Exited(code) => {
            code != 0
                || !container.error.is_empty()
                || container.health == HealthCheckState::Unhealthy
        }
        ContainerState::Created => !container.error.is_empty(),
        ContainerState::Restarting | ContainerState::Dead => true,
        ContainerState::Running => container.health == HealthCheckState::Unhealthy,
        ContainerState::Paused | ContainerState::Removing | ContainerState::Unknown => false,
    }
}

/// Why a successor is taken back. The code of one that we stopped ourselves is ours, and tells nothing.
fn how_it_failed(failed: &ObservedContainer) -> Reason {
    match (failed.state, failed.health) {
        (ContainerState::Exited(_), HealthCheckState::Unhealthy | HealthCheckState::Starting) => {
            Reason::Unhealthy
        }
        (ContainerState::Exited(_), _) if failed.stopped_by_hand && failed.restart_count > 0 => {
            Reason::Restarting
        }
        (ContainerState::Exited(exit_code), _) => Reason::Stopped { exit_code },
        (ContainerState::Created, _) => Reason::NotStarted,
        (ContainerState::Restarting, _) => Reason::Restarting,
        _ => Reason::Unhealthy,
    }
}

/// The predecessor to go back to: a running one, else the youngest.
fn best<'o>(olds: &[&'o ObservedContainer]) -> Option<&'o ObservedContainer> {
    olds.iter().copied().max_by_key(|old| (old.state.is_up(), old.started_at, old.created_at))
}
