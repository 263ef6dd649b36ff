//! One replica at a time: made, revived, or changed in place. Replacements are in `succession`.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::desired::sealed;
use crate::drift::is_of_files;
use crate::model::{
    Action, ContainerHandle, ContainerSpec, ContainerState, Cure, DesiredReplica, DesiredService,
    Drift, Endpoint, HeldBecause, ObservedContainer, Reason, Replica, Resource, ServiceName,
};

use super::place::{Standing, handle};
use super::steps::{Cause, Node};
use super::update::rollout::{Rollout, monitor};
use super::{Planner, cause};

/// What is to be done about a replica.
/// In the order of their weight: the heaviest includes what the lighter ones would do. A container that is made anew
/// needs neither a start nor a change of its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Affair {
    Change,
    Revive,
    Create,
    Replace,
}

impl<'a> Planner<'a> {
    /// Plans all replicas of a service, lowest numbers first.
    ///
    /// Numbers ascend so that the same batch is updated first each time: whoever watches a deployment knows that
    /// `web-1` is the one to look at.
    pub(super) fn plan_service(&mut self, name: &ServiceName) {
        let Some(service) = self.service(name) else { return };
        if self.unwind(service) {
            return;
        }
        let mut roll = Rollout::default();
        let setback = self.settle_failed(service);
        for desired in service.replicas.values() {
            let is_over = setback.as_ref().is_some_and(|setback| {
                setback.is_of(&desired.replica)
                    || self.stop_update(service, desired, setback, &mut roll)
            });
            let is_over = is_over
                || self.bridge(service, desired)
                || self.let_be(service, desired, &mut roll);
            if !is_over {
                self.plan_replica(service, desired, &mut roll);
            }
        }
        self.hand_over(roll);
    }

    /// Plans one replica: exactly one affair, the heaviest that its differences ask for.
    ///
    /// An update that failed was settled before, because everything else would begin it anew. A replacement makes every smaller
    /// change with it; a replacement that was begun and not ended (the pass stopped in between, and the host has both
    /// containers) is ended before anything is mended; and a replica that nothing differs of still follows one whose namespaces it
    /// lives in.
    fn plan_replica(
        &mut self,
        service: &'a DesiredService,
        desired: &'a DesiredReplica,
        roll: &mut Rollout<'a>,
    ) {
        let replica = &desired.replica;
        let keeper = self.keeper(replica);
        if let Some(container) = keeper {
            self.stands_as_observed(replica, container);
        }
        let drifts = self.replicas.get(replica).cloned().unwrap_or_default();
        let main = drifts.iter().copied().max_by_key(|drift| affair(drift));
        let is_anew = main.is_some_and(|main| Affair::Create <= affair(main));
        let predecessors = match keeper {
            Some(container) if !is_anew => self.drop_abandoned(service, desired, container),
            _ => Vec::new(),
        };
        match (main.map(|drift| (affair(drift), drift)), keeper) {
            (Some((Affair::Create, drift)), _) => self.create(service, desired, drift, roll),
            (Some((Affair::Replace, drift)), Some(old)) => {
                self.replace(service, desired, old, drift, roll);
            }
            (_, Some(new)) if !predecessors.is_empty() => {
                self.finish_replacement(service, desired, new, predecessors, roll);
            }
            (Some((Affair::Revive | Affair::Change, _)), Some(container)) => {
                self.mend(desired, container, &drifts);
            }
            (None, Some(container)) => self.follow_renewal(service, desired, container, roll),
            _ => {}
        }
    }

    /// Makes and starts a container where there is none; beside an update only when it is its turn, since it is one more of
    /// what has still to show that it works.
    ///
    /// With three of five replicas updated and one missing, the missing one is made from the new definition. If that
    /// does not work, it is one more failure of the update, and not a container of its own.
    fn create(
        &mut self,
        service: &DesiredService,
        desired: &DesiredReplica,
        drift: &Drift,
        roll: &mut Rollout<'a>,
    ) {
        let cause = cause(drift);
        let Some(started_after) = self.may_start(desired, drift) else { return };
        let turn = roll.has_begun().then(|| self.take_turn(&service.update, roll, &cause));
        let made = self.make(service, desired, &desired.name, (*desired.spec).clone(), &cause);
        let handle = ContainerHandle::Planned { name: desired.name.clone() };
        let before = started_after.into_iter().chain(made.clone());
        let before = before.chain(turn.iter().flatten().copied());
        let started = self.start(service, &handle, &cause, before);
        let up = turn.filter(|_| !service.is_job).map(|turn| {
            let monitor = monitor(service, turn.is_empty());
            self.prove(service, (&handle, monitor), &cause, vec![started])
        });
        roll.proved(up);
        self.renewed.insert(desired.replica.clone());
        self.stands_new(desired, handle, made.first().copied(), started, up);
    }

    /// Revives a container, or changes it where it is.
    ///
    /// Changes come before the start: a container that ends because its memory limit is too small gets the larger one
    /// first. Files from Git are put back before a start as well, since somebody may have removed the folder that the
    /// container mounts.
    pub(super) fn mend(
        &mut self,
        desired: &DesiredReplica,
        container: &ObservedContainer,
        drifts: &[&Drift],
    ) {
        let mut before: Vec<Node> = Vec::new();
        let mut done = BTreeSet::new();
        for drift in drifts.iter().filter(|drift| affair(drift) == Affair::Change) {
            // Several fields of one thing are changed by one step.
            if done.insert(changed_thing(&drift.reason)) {
                before.extend(self.change_in_place(desired, container, drift));
            }
        }
        let Some(drift) = drifts.iter().find(|drift| affair(drift) == Affair::Revive) else {
            return;
        };
        let cause = cause(drift);
        if drifts.iter().any(|drift| is_of_files(&drift.reason)) {
            before.extend(self.put_files_back(desired, drift.origin.as_ref(), &cause));
        }
        let target = handle(container);
        let Some(service) = self.service(&desired.replica.service) else { return };
        let started = match (&drift.reason, container.state) {
            (Reason::Paused, _) => {
                // It goes on where it was: nothing that stands on it is touched.
                self.drafts.add(Action::Unpause { container: target }, &cause, before);
                return;
            }
            (_, ContainerState::Running | ContainerState::Restarting) => {
                let grace = self.grace_of(container);
                before.extend(self.starts_of(&desired.shares));
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

    /// A change that the Engine makes to a container that goes on running: its name, a network, or limits by `POST
    /// /containers/{id}/update`. Returns the steps, for what comes after them.
    fn change_in_place(
        &mut self,
        desired: &DesiredReplica,
        container: &ObservedContainer,
        drift: &Drift,
    ) -> Option<Node> {
        let (cause, target) = (cause(drift), handle(container));
        let mut left = None;
        let action = match &drift.reason {
            Reason::Renamed { .. } => {
                Action::Rename { container: target, name: desired.name.clone() }
            }
            Reason::Disconnected { network } | Reason::EndpointChanged { network, .. } => {
                let (network, container) = (network.clone(), target.clone());
                let endpoint = desired.spec.endpoints.get(&network)?.clone();
                if matches!(drift.reason, Reason::EndpointChanged { .. }) {
                    let leave = Action::Disconnect { container, network: network.clone() };
                    left = Some(self.drafts.add(leave, &cause, []));
                }
                Action::Connect { container: target, network, endpoint }
            }
            Reason::Attached { network } => {
                Action::Disconnect { container: target, network: network.clone() }
            }
            _ => Action::Update { container: target, spec: Arc::clone(&desired.spec) },
        };
        Some(self.drafts.add(action, &cause, left))
    }

    /// Restarts an untouched container whose dependency was renewed, where the manifest says so (`restart: true`) or
    /// where it lives in that container's namespaces.
    fn follow_renewal(
        &mut self,
        service: &'a DesiredService,
        desired: &'a DesiredReplica,
        container: &'a ObservedContainer,
        roll: &mut Rollout<'a>,
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
        if desired.shares.iter().any(|other| self.is_another_container(other)) {
            // The old namespaces, and the volumes of the old container, are gone for good.
            self.replace(service, desired, container, &drift, roll);
            return;
        }
        let cause = cause(&drift);
        let after = self.starts_of(waited.iter());
        let grace = self.grace_of(container);
        let target = handle(container);
        let started =
            self.drafts.add(Action::Restart { container: target.clone(), grace }, &cause, after);
        self.renewed.insert(desired.replica.clone());
        self.stands_new(desired, target, None, started, None);
    }

    /// Makes a container with everything that it needs before its start. Returns the steps of the making; the last
    /// ones are what a start waits for.
    pub(super) fn make(
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
        let seal = self.input.desired.seals.get(&desired.replica).map_or("", String::as_str);
        let mut spec = crate::drift::with_asked(sealed(spec, seal));
        self.tell_twins_apart(&mut spec);
        let spec = Arc::new(spec);
        let action = Action::Create { name: name.to_owned(), spec };
        let made = self.drafts.add(action, cause, ground);
        let target = ContainerHandle::Planned { name: name.to_owned() };
        let mut nodes = vec![made];
        if !desired.uploads.is_empty() {
            let action =
                Action::Upload { container: target.clone(), files: desired.uploads.clone() };
            nodes.push(self.drafts.add(action, cause, [made]));
        }
        nodes.extend(self.connect_later((&target, made), others, cause));
        nodes
    }

    /// Connects a container that was just made to its further networks, one at a time: the Engine numbers its interfaces in
    /// this order.
    fn connect_later(
        &mut self,
        (target, made): (&ContainerHandle, Node),
        others: Vec<(String, Box<Endpoint>)>,
        cause: &Cause,
    ) -> Vec<Node> {
        let mut nodes = Vec::new();
        let mut connected = made;
        for (network, endpoint) in others {
            let network = self.address_of_network(&network);
            let action = Action::Connect { container: target.clone(), network, endpoint };
            connected = self.drafts.add(action, cause, [connected]);
            nodes.push(connected);
        }
        nodes
    }

    /// What a container that was made, but never started, may still lack when a pass was cut off: files and networks.
    pub(super) fn complete_made(
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
                    endpoint: endpoint.clone(),
                };
                last = Some(self.drafts.add(action, cause, last));
            }
        }
        last
    }

    /// Whether this plan makes another container for a replica.
    fn is_another_container(&self, replica: &Replica) -> bool {
        self.standing.get(replica).is_some_and(|standing| standing.made.is_some())
    }

    /// The steps of this plan that start these replicas.
    fn starts_of<'r>(&self, replicas: impl IntoIterator<Item = &'r Replica>) -> Vec<Node> {
        let standings = replicas.into_iter().filter_map(|replica| self.standing.get(replica));
        standings.filter_map(|standing| standing.started).collect()
    }

    /// Why a container cannot live with another one that is not of this stack: that one does not run, or is not there.
    fn parent_withheld(&self, desired: &DesiredReplica) -> Option<HeldBecause> {
        let is_own = |name: &str| {
            let shares = desired.shares.iter().filter_map(|other| self.desired(other));
            shares.into_iter().any(|(_, own)| own.name == name)
        };
        let there = |name: &str| {
            let all = &self.input.observed.containers;
            all.iter().find(|one| one.name == name || one.id.as_str() == name)
        };
        let host = &desired.spec.host;
        let runs = |name: &str| there(name).is_some_and(|one| one.state.is_up());
        let missing = host.namespaces_of().find(|name| !is_own(name) && !runs(name));
        let missing = missing
            .or_else(|| host.volumes_of().find(|name| !is_own(name) && there(name).is_none()))?;
        Some(HeldBecause::WaitsForContainer { name: missing.to_owned() })
    }

    /// Why a container cannot have a host port: one that is not of this stack holds it. Found before anything is
    /// stopped for it.
    fn port_withheld(&self, desired: &DesiredReplica) -> Option<HeldBecause> {
        let is_any = |address: &str| matches!(address, "" | "0.0.0.0" | "::");
        desired.spec.host.host_ports().find_map(|(address, port, protocol)| {
            let mut taken = self.input.observed.ports_taken.iter();
            let rival = taken.find(|taken| {
                let meet = is_any(address) || is_any(&taken.address) || address == taken.address;
                taken.port == port && taken.protocol == protocol && meet
            })?;
            Some(HeldBecause::PortTaken {
                port: format!("{port}/{protocol}"),
                container: rival.container.clone(),
                given_up: self.input.desired.neighbours.give_up(rival),
            })
        })
    }

    /// Starts a container and runs its `post_start` hooks. Returns the last step.
    pub(super) fn start(
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
    pub(super) fn may_start(
        &mut self,
        desired: &DesiredReplica,
        drift: &Drift,
    ) -> Option<Vec<Node>> {
        let name = &desired.replica.service;
        let withheld = self.image_withheld(name).or_else(|| self.ground_withheld(desired));
        let withheld = withheld.filter(|_| drift.cure != Cure::Revive);
        let state = || self.state_withheld(desired).or_else(|| self.parent_withheld(desired));
        let elsewhere = || state().or_else(|| self.port_withheld(desired));
        let result = match withheld.or_else(elsewhere) {
            Some(why) => Err(why),
            None => self.dependencies(name, drift),
        };
        match result {
            Ok(nodes) => Some(nodes),
            Err(why) => {
                if matches!(why, HeldBecause::PortTaken { .. }) {
                    self.yield_ports(desired, drift);
                }
                self.hold(drift, why);
                None
            }
        }
    }

    /// Notes that this plan makes or starts a replica: whoever depends on it, or shares its namespaces, waits for these steps.
    pub(super) fn stands_new(
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

/// The thing of a container that a change in place is about: a network, its name, or its limits.
fn changed_thing(reason: &Reason) -> &str {
    match reason {
        Reason::Renamed { .. } => "name",
        Reason::Disconnected { network }
        | Reason::Attached { network }
        | Reason::EndpointChanged { network, .. } => network,
        _ => "limits",
    }
}

/// Networks that a container joins after it was made: all but the first on Engines that take one at a time.
fn later_networks(
    spec: &ContainerSpec,
    main: &str,
    api: (u32, u32),
) -> Vec<(String, Box<Endpoint>)> {
    if api >= (1, 44) {
        return Vec::new();
    }
    let others = spec.endpoints.iter().filter(|(network, _)| *network != main);
    others.map(|(network, endpoint)| (network.clone(), endpoint.clone())).collect()
}
