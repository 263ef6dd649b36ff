//! One replica at a time: made, revived, changed in place, or replaced by a successor.

use std::time::Duration;

use crate::model::{
    Action, ContainerHandle, ContainerSpec, ContainerState, Cure, DesiredReplica, DesiredService,
    Drift, FailureAction, HealthCheckState, Held, Mount, ObservedContainer, Reason, Replica,
    Resource, ServiceName, UpdateOrder,
};

use super::place::{Standing, handle};
use super::remove::published;
use super::steps::{Cause, Node};
use super::{Planner, Resolve, cause};

/// How long a replacement must stay up before its predecessor is removed, where the manifest does not say
/// (`deploy.update_config.monitor`) and there is no health check. Long enough for a bad command line or a missing
/// variable to show, short enough not to be noticed.
const DEFAULT_MONITOR: Duration = Duration::from_secs(2);

/// What is to be done about a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Affair {
    Change,
    Revive,
    Create,
    Replace,
}

/// The batch of a rolling update that replicas belong to, and the steps at which the batch before was up.
#[derive(Debug, Default)]
struct Roll {
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

impl Planner<'_> {
    /// Plans all replicas of a service, lowest numbers first.
    pub(super) fn plan_service(&mut self, name: &ServiceName) {
        let Some(service) = self.service(name) else { return };
        let mut roll = Roll::default();
        for desired in service.replicas.values() {
            self.plan_replica(service, desired, &mut roll);
        }
    }

    fn plan_replica(
        &mut self,
        service: &DesiredService,
        desired: &DesiredReplica,
        roll: &mut Roll,
    ) {
        let replica = &desired.replica;
        let keeper = self.keeper(replica);
        if let Some(container) = keeper {
            self.stands_as_observed(replica, container);
        }
        let drifts = self.replicas.get(replica).cloned().unwrap_or_default();
        let predecessors = self.predecessors(replica);
        if self.settle_rollback(service, desired, keeper, &predecessors) {
            return;
        }
        let main = drifts.iter().copied().max_by_key(|drift| affair(drift));
        match (main.map(|drift| (affair(drift), drift)), keeper) {
            (Some((Affair::Create, drift)), _) => self.create(service, desired, drift),
            (Some((Affair::Replace, drift)), Some(old)) => {
                self.replace(service, desired, old, drift, roll);
            }
            (_, Some(new)) if !predecessors.is_empty() => {
                self.finish_replacement(service, desired, new, &predecessors, roll);
            }
            (Some((Affair::Revive | Affair::Change, _)), Some(container)) => {
                self.mend(desired, container, &drifts);
            }
            (None, Some(container)) => self.follow_renewal(service, desired, container),
            _ => {}
        }
    }

    /// Makes and starts a container where there is none.
    fn create(&mut self, service: &DesiredService, desired: &DesiredReplica, drift: &Drift) {
        let cause = cause(drift);
        let Some(started_after) = self.may_start(desired, drift) else { return };
        let made = self.make(service, desired, &desired.name, desired.spec.clone(), &cause);
        let handle = ContainerHandle::Planned { name: desired.name.clone() };
        let started =
            self.start(service, &handle, &cause, started_after.into_iter().chain(made.clone()));
        self.renewed.insert(desired.replica.clone());
        self.stands_new(desired, handle, made.first().copied(), started, None);
    }

    /// Makes a successor under a passing name and lets it take over.
    fn replace(
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
        // A predecessor that still holds the passing name is what is left of an attempt that came to nothing.
        let leftovers: Vec<_> =
            olds.extract_if(.., |container| container.name == passing).collect();
        let cleared: Vec<Node> = leftovers
            .into_iter()
            .map(|leftover| self.remove_container(leftover, &cause, []))
            .collect();
        let passing = if old.name == passing { desired.name.clone() } else { passing };
        olds.push(old);
        let mut spec = desired.spec.clone();
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
            self.warnings.insert(format!("{} is down while it is replaced", desired.replica));
        }
        let successor = Successor {
            handle: ContainerHandle::Planned { name: passing.clone() },
            made: made.last().copied(),
            state: ContainerState::Created,
            name: passing,
        };
        self.take_over(service, desired, successor, &olds, &cause, started_after, roll);
    }

    /// Goes on with a replacement that was cut off: the successor exists already.
    fn finish_replacement(
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
        self.take_over(service, desired, successor, olds, &cause, started_after, roll);
    }

    /// The old one stops, the new one starts and proves itself, the old one is removed, the name is handed over.
    #[expect(
        clippy::too_many_arguments,
        reason = "one affair, all of whose parts are needed in one place"
    )]
    fn take_over(
        &mut self,
        service: &DesiredService,
        desired: &DesiredReplica,
        new: Successor,
        olds: &[&ObservedContainer],
        cause: &Cause,
        started_after: Vec<Node>,
        roll: &mut Roll,
    ) {
        let order = order_of(service, desired);
        let turn = self.take_turn(service, roll, cause);
        let mut before_start: Vec<Node> = started_after.into_iter().chain(new.made).collect();
        let running: Vec<&ObservedContainer> =
            olds.iter().copied().filter(|old| old.state.is_up()).collect();
        let mut stops = Vec::new();
        match order {
            UpdateOrder::StopFirst => {
                for old in &running {
                    let after = turn.iter().copied().chain(before_start.iter().copied());
                    let after: Vec<Node> = after.collect();
                    stops.push(self.stop_container(old, cause, after));
                }
                before_start.extend(stops.iter().copied());
            }
            UpdateOrder::StartFirst => before_start.extend(turn.iter().copied()),
        }
        let started = (!new.state.is_up())
            .then(|| self.start(service, &new.handle, cause, before_start.iter().copied()));
        let action = Action::AwaitHealthy {
            container: new.handle.clone(),
            monitor: if service.update.monitor.is_zero() {
                DEFAULT_MONITOR
            } else {
                service.update.monitor
            },
            limit: self.input.policy.progress_limit,
        };
        // A job is not expected to stay up: its completion is awaited by whoever needs it.
        let up = if service.may_complete {
            started
        } else {
            Some(self.drafts.add(action, cause, started.or(new.made)))
        };
        if order == UpdateOrder::StartFirst {
            for old in &running {
                stops.push(self.stop_container(old, cause, up));
            }
        }
        let mut removed: Vec<Node> = Vec::new();
        for old in olds {
            let after = stops.iter().copied().chain(up);
            let action = Action::Remove {
                container: handle(old),
                anonymous_volumes: crate::model::AnonymousVolumes::Keep,
            };
            removed.push(self.drafts.add(action, cause, after));
        }
        let named = (new.name != desired.name).then(|| {
            let action =
                Action::Rename { container: new.handle.clone(), name: desired.name.clone() };
            self.drafts.add(action, cause, removed.iter().copied().chain(up))
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
    fn settle_rollback(
        &mut self,
        service: &DesiredService,
        desired: &DesiredReplica,
        keeper: Option<&ObservedContainer>,
        olds: &[&ObservedContainer],
    ) -> bool {
        let action = service.update.failure_action.unwrap_or(FailureAction::Rollback);
        let (Some(failed), Some(old)) = (keeper, best(olds)) else { return false };
        let same = failed.spec_label.as_deref() == Some(desired.spec_digest.as_str());
        if !same
            || service.may_complete
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
        let reason = match failed.state {
            ContainerState::Exited(exit_code) => Reason::Stopped { exit_code },
            ContainerState::Created => Reason::NotStarted,
            _ => Reason::Unhealthy,
        };
        let drift = Drift { resource, reason, cure: Cure::Replace, origin: service.origin.clone() };
        let cause = cause(&drift);
        if action == FailureAction::Rollback {
            let stopped = failed.state.is_up().then(|| self.stop_container(failed, &cause, []));
            if !old.state.is_up() {
                self.drafts.add(Action::Start { container: handle(old) }, &cause, stopped);
            }
            self.stands_as_observed(&desired.replica, old);
        }
        let what =
            if failed.error.is_empty() { drift.reason.to_string() } else { failed.error.clone() };
        let taken = if action == FailureAction::Rollback { "rolled back" } else { "paused" };
        let why = format!(
            "{taken}: the new container did not come up ({what}); a new commit or `moorline sync` tries again"
        );
        self.stuck.insert(desired.replica.clone(), why.clone());
        self.held.insert(Held { drift, why });
        true
    }

    /// Revives a container, or changes it where it is.
    fn mend(&mut self, desired: &DesiredReplica, container: &ObservedContainer, drifts: &[&Drift]) {
        let mut before: Vec<Node> = Vec::new();
        let mut updated = false;
        for drift in drifts.iter().filter(|drift| affair(drift) == Affair::Change) {
            before.extend(self.change_in_place(desired, container, drift, &mut updated));
        }
        let Some(drift) = drifts.iter().find(|drift| affair(drift) == Affair::Revive) else {
            return;
        };
        let cause = cause(drift);
        let target = handle(container);
        let Some(service) = self.service(&desired.replica.service) else { return };
        let started = match (&drift.reason, container.state) {
            (Reason::Paused, _) => {
                self.drafts.add(Action::Unpause { container: target.clone() }, &cause, before)
            }
            (_, ContainerState::Running | ContainerState::Restarting) => {
                let grace = self.grace_of(container);
                self.drafts.add(
                    Action::Restart { container: target.clone(), grace },
                    &cause,
                    before,
                )
            }
            _ => {
                let Some(after) = self.may_start(desired, drift) else { return };
                let made = self.complete_made(desired, container, &cause);
                self.start(service, &target, &cause, before.into_iter().chain(after).chain(made))
            }
        };
        self.renewed.insert(desired.replica.clone());
        self.stands_new(desired, target, None, started, None);
    }

    fn change_in_place(
        &mut self,
        desired: &DesiredReplica,
        container: &ObservedContainer,
        drift: &Drift,
        updated: &mut bool,
    ) -> Option<Node> {
        let cause = cause(drift);
        let target = handle(container);
        match &drift.reason {
            Reason::Renamed { .. } => {
                let action = Action::Rename { container: target, name: desired.name.clone() };
                Some(self.drafts.add(action, &cause, []))
            }
            Reason::Disconnected { network } => {
                let endpoint = desired.spec.endpoints.get(network)?.clone();
                let action = Action::Connect {
                    container: target,
                    network: network.clone(),
                    endpoint: Box::new(endpoint),
                };
                Some(self.drafts.add(action, &cause, []))
            }
            Reason::Attached { network } => {
                let action = Action::Disconnect { container: target, network: network.clone() };
                Some(self.drafts.add(action, &cause, []))
            }
            _ if !*updated => {
                *updated = true;
                let action =
                    Action::Update { container: target, spec: Box::new(desired.spec.clone()) };
                Some(self.drafts.add(action, &cause, []))
            }
            _ => None,
        }
    }

    /// Restarts an untouched container whose dependency was renewed, where the manifest says so (`restart: true`) or
    /// where it lives in that container's namespaces.
    fn follow_renewal(
        &mut self,
        service: &DesiredService,
        desired: &DesiredReplica,
        container: &ObservedContainer,
    ) {
        if !container.state.is_up() {
            return;
        }
        let asked = service.depends_on.iter().filter(|(_, dependency)| dependency.restart);
        let mut waited: Vec<Replica> = asked
            .flat_map(|(name, _)| {
                self.renewed.iter().filter(move |renewed| renewed.service == *name)
            })
            .cloned()
            .collect();
        waited.extend(desired.shares.iter().filter(|other| self.renewed.contains(*other)).cloned());
        let Some(first) = waited.first() else { return };
        let drift = Drift {
            resource: Resource::Replica {
                replica: desired.replica.clone(),
                container: Some(container.id.clone()),
            },
            reason: Reason::Changed {
                field: format!("depends_on.{}", first.service),
                desired: None,
                observed: None,
            },
            cure: Cure::Revive,
            origin: service.origin.clone(),
        };
        let cause = cause(&drift);
        let after: Vec<Node> = waited
            .iter()
            .filter_map(|replica| self.standing.get(replica))
            .filter_map(|standing| standing.started)
            .collect();
        let grace = self.grace_of(container);
        let target = handle(container);
        let started =
            self.drafts.add(Action::Restart { container: target.clone(), grace }, &cause, after);
        self.renewed.insert(desired.replica.clone());
        self.stands_new(desired, target, None, started, None);
    }

    /// Makes a container with everything that it needs before its start. Returns the steps of the making; the last
    /// ones are what a start waits for.
    fn make(
        &mut self,
        service: &DesiredService,
        desired: &DesiredReplica,
        name: &str,
        spec: ContainerSpec,
        cause: &Cause,
    ) -> Vec<Node> {
        let mut ground = self.ground_for(&service.image, desired, service.origin.as_ref(), cause);
        // The Engine looks for containers whose namespaces or volumes are shared when it makes this one.
        let shared = desired.shares.iter().filter_map(|other| self.standing.get(other)?.made);
        ground.extend(shared);
        let main = spec.host.network_mode.clone();
        let others = later_networks(&spec, &main, self.input.observed.engine.api);
        let action = Action::Create { name: name.to_owned(), spec: Box::new(spec) };
        let made = self.drafts.add(action, cause, ground);
        let target = ContainerHandle::Planned { name: name.to_owned() };
        let mut nodes = vec![made];
        if !desired.uploads.is_empty() {
            let action =
                Action::Upload { container: target.clone(), files: desired.uploads.clone() };
            nodes.push(self.drafts.add(action, cause, [made]));
        }
        // One connection at a time: the Engine numbers a container's interfaces in this order.
        let mut connected = made;
        for (network, endpoint) in others {
            let action = Action::Connect {
                container: target.clone(),
                network,
                endpoint: Box::new(endpoint),
            };
            connected = self.drafts.add(action, cause, [connected]);
            nodes.push(connected);
        }
        nodes
    }

    /// What a container that was made, but never started, may still lack when a pass was cut off: files and networks.
    fn complete_made(
        &mut self,
        desired: &DesiredReplica,
        container: &ObservedContainer,
        cause: &Cause,
    ) -> Option<Node> {
        if container.state != ContainerState::Created {
            return None;
        }
        let target = handle(container);
        let mut last = None;
        if !desired.uploads.is_empty() {
            let action =
                Action::Upload { container: target.clone(), files: desired.uploads.clone() };
            last = Some(self.drafts.add(action, cause, []));
        }
        for (network, endpoint) in &desired.spec.endpoints {
            if !container.spec.endpoints.contains_key(network) {
                let action = Action::Connect {
                    container: target.clone(),
                    network: network.clone(),
                    endpoint: Box::new(endpoint.clone()),
                };
                last = Some(self.drafts.add(action, cause, last));
            }
        }
        last
    }

    /// Starts a container and runs its `post_start` hooks. Returns the last step.
    fn start(
        &mut self,
        service: &DesiredService,
        target: &ContainerHandle,
        cause: &Cause,
        after: impl IntoIterator<Item = Node>,
    ) -> Node {
        let mut last = self.drafts.add(Action::Start { container: target.clone() }, cause, after);
        for hook in &service.post_start {
            let action =
                Action::RunHook { container: target.clone(), hook: Box::new(hook.clone()) };
            last = self.drafts.add(action, cause, [last]);
        }
        last
    }

    /// The steps that a start waits for; `None`, and the drift held, when it cannot happen now.
    fn may_start(&mut self, desired: &DesiredReplica, drift: &Drift) -> Option<Vec<Node>> {
        let name = &desired.replica.service;
        let result = match self.image_withheld(name) {
            Some(why) if drift.cure != Cure::Revive => Err(why),
            _ => self.dependencies(name, drift),
        };
        match result {
            Ok(nodes) => Some(nodes),
            Err(why) => {
                self.hold(drift, why);
                None
            }
        }
    }

    fn stands_new(
        &mut self,
        desired: &DesiredReplica,
        handle: ContainerHandle,
        made: Option<Node>,
        started: impl Into<Option<Node>>,
        healthy: Option<Node>,
    ) {
        let started = started.into();
        let standing = Standing { handle, made, started, healthy, completed: None, now: None };
        self.standing.insert(desired.replica.clone(), standing);
    }
}

/// What a drift of a replica asks for.
fn affair(drift: &Drift) -> Affair {
    match drift.cure {
        Cure::Replace => Affair::Replace,
        Cure::Create => Affair::Create,
        Cure::Revive => Affair::Revive,
        Cure::InPlace | Cure::Remove | Cure::None => Affair::Change,
    }
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

/// Networks that a container joins after it was made: all but the first on Engines that take one at a time.
fn later_networks(
    spec: &ContainerSpec,
    main: &str,
    api: (u32, u32),
) -> Vec<(String, crate::model::Endpoint)> {
    if api >= (1, 44) {
        return Vec::new();
    }
    let others = spec.endpoints.iter().filter(|(network, _)| *network != main);
    others.map(|(network, endpoint)| (network.clone(), endpoint.clone())).collect()
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
        let taken = spec.host.binds.iter().any(|bind| bind.split(':').nth(1) == Some(target))
            || spec.host.tmpfs.contains_key(target)
            || spec.host.mounts.iter().any(|m| m.target == *target && !m.source.is_empty());
        if !anonymous || !wanted || taken {
            continue;
        }
        match spec.host.mounts.iter_mut().find(|m| m.target == *target && m.kind == "volume") {
            Some(existing) => existing.source.clone_from(&mount.name),
            None => spec.host.mounts.push(Mount {
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
    match container.state {
        ContainerState::Exited(code) => code != 0 || !container.error.is_empty(),
        ContainerState::Created => !container.error.is_empty(),
        ContainerState::Restarting | ContainerState::Dead => true,
        ContainerState::Running => container.health == HealthCheckState::Unhealthy,
        ContainerState::Paused | ContainerState::Removing | ContainerState::Unknown => false,
    }
}

/// The predecessor to go back to: a running one, else the youngest.
fn best<'o>(olds: &[&'o ObservedContainer]) -> Option<&'o ObservedContainer> {
    olds.iter().copied().max_by_key(|old| (old.state.is_up(), old.started_at, old.created_at))
}
