//! What goes: surplus replicas, orphans, networks and volumes that nobody asks for.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::model::{
    Action, AnonymousVolumes, ContainerHandle, Cure, Drift, HeldBecause, ObservedContainer,
    PortBinding, Reason, Resource,
};

use super::place::handle;
use super::steps::{Cause, Node};
use super::{Planner, cause, concerned};

/// The label under which Compose notes which services one needs: `SERVICE:CONDITION:RESTART`, with commas between.
const DEPENDS_ON: &str = "com.docker.compose.depends_on";

impl Planner<'_> {
    /// Surplus replicas and orphans, highest numbers first. Superseded containers wait for their successor.
    ///
    /// They go before anything is made: a container that leaves may hold the port or the name that a new service needs.
    /// Superseded ones are the exception, since they serve until their successor does.
    pub(super) fn remove_containers(&mut self) {
        let mut leaving: Vec<(&Drift, &ObservedContainer)> = self
            .others
            .iter()
            .filter(|drift| drift.cure == Cure::Remove && drift.reason != Reason::Superseded)
            .filter_map(|drift| Some((*drift, *self.containers.get(concerned(drift)?)?)))
            .collect();
        leaving.sort_by(|(_, one), (_, other)| one.name.cmp(&other.name));
        for (drift, container) in &leaving {
            self.remove_container(container, &cause(drift), []);
        }
        self.stop_dependants_first(&leaving);
    }

    /// Of containers that leave, those that need others stop before them: as the labels tell by which docker compose
    /// notes it, since the manifest may know none of them any more.
    ///
    /// `docker compose down` does the same. A worker that loses its queue first may fail its last jobs, and one that is
    /// asked to stop first hands them back.
    fn stop_dependants_first(&mut self, leaving: &[(&Drift, &ObservedContainer)]) {
        let stops: Vec<(Node, &ObservedContainer)> = self
            .drafts
            .actions()
            .filter_map(|(node, action)| match action {
                Action::Stop { container: ContainerHandle::Observed { id, .. }, .. } => {
                    Some((node, leaving.iter().find(|(_, one)| one.id == *id)?.1))
                }
                _ => None,
            })
            .collect();
        for (node, container) in &stops {
            let Some(service) = container.replica.as_ref().map(|it| &it.service) else { continue };
            let needs = |other: &ObservedContainer| {
                let label = other.spec.config.labels.get(DEPENDS_ON);
                let names = label.into_iter().flat_map(|label| label.split(','));
                names.into_iter().any(|one| one.split(':').next() == Some(service.as_str()))
            };
            for (dependant, _) in stops.iter().filter(|(_, other)| needs(other)) {
                self.drafts.wait_if_possible(*node, *dependant);
            }
        }
    }

    /// Stops and removes a container. Returns the removing step.
    ///
    /// Stop and removal are two steps although the Engine could do both at once (`force`): a forced removal kills
    /// without the grace period, and a process that is killed while it writes may leave what it wrote in halves.
    pub(super) fn remove_container(
        &mut self,
        container: &ObservedContainer,
        cause: &Cause,
        after: impl IntoIterator<Item = Node>,
    ) -> Node {
        let mut before: Vec<Node> = after.into_iter().collect();
        if container.state.is_up() {
            let stop = self.stop_container(container, cause, before.iter().copied());
            before = vec![stop];
        }
        // Anonymous volumes stay: they may be the only copy of something.
        let action = Action::Remove {
            container: handle(container),
            anonymous_volumes: AnonymousVolumes::Keep,
        };
        self.drafts.add(action, cause, before)
    }

    /// Stops a running container, after its `pre_stop` hooks. Returns the stopping step.
    ///
    /// Hooks are the manifest's of today, not of the day when the container was made: one that was mended must help the
    /// containers that still run. They stand before the stop in the plan, so that whoever reads it sees them.
    pub(super) fn stop_container(
        &mut self,
        container: &ObservedContainer,
        cause: &Cause,
        after: impl IntoIterator<Item = Node>,
    ) -> Node {
        let mut before: Vec<Node> = after.into_iter().collect();
        let service = container.replica.as_ref().and_then(|replica| self.service(&replica.service));
        for hook in service.into_iter().flat_map(|service| &service.pre_stop) {
            let action =
                Action::RunHook { container: handle(container), hook: Box::new(hook.clone()) };
            before = vec![self.drafts.add(action, cause, before)];
        }
        let grace = self.grace_of(container);
        self.drafts.add(Action::Stop { container: handle(container), grace }, cause, before)
    }

    /// Networks and volumes that nobody asks for, once the containers that use them are gone.
    ///
    /// Whatever the manifest declares and no service uses stays: only what is declared nowhere is here.
    pub(super) fn remove_networks_and_volumes(&mut self) {
        let leaving: Vec<&Drift> = self
            .others
            .iter()
            .copied()
            .filter(|drift| drift.reason == Reason::Orphaned && drift.cure == Cure::Remove)
            .collect();
        for drift in leaving {
            match &drift.resource {
                Resource::Network(name) => self.remove_network(name, drift),
                Resource::Volume(name) => self.remove_volume(name, drift),
                _ => {}
            }
        }
    }

    /// Plans the removal of a network that nothing asks for any more, after the containers in it that this plan removes. While
    /// anything else is in it the Engine would refuse, so it is held; so it is without `prune.networks`.
    fn remove_network(&mut self, name: &str, drift: &Drift) {
        let Some(network) = self.input.observed.networks.get(name) else { return };
        if !self.input.policy.prune.networks {
            self.hold(drift, HeldBecause::PruneNetworksOff);
            return;
        }
        let users = self.containers_using(|container| container.spec.endpoints.contains_key(name));
        let known: BTreeSet<_> = self.containers.keys().copied().collect();
        let stranger = network.attached.iter().find(|id| !known.contains(id));
        let removals = self.removals_of(&users);
        if stranger.is_some() || removals.len() < users.len() {
            self.hold(drift, HeldBecause::StillAttached);
            return;
        }
        let action = Action::RemoveNetwork { id: network.id.clone(), name: name.to_owned() };
        self.drafts.add(action, &cause(drift), removals);
    }

    /// Plans the removal of a volume with its data, as the very last step, where policy says `prune.volumes`. Every doubt holds
    /// it: a stack that cannot be read might ask for it, and a container that stays might use it.
    fn remove_volume(&mut self, name: &str, drift: &Drift) {
        if !self.input.policy.prune.volumes {
            self.hold(drift, HeldBecause::PruneVolumesOff);
            return;
        }
        let neighbours = &self.input.desired.neighbours;
        if let Some(stack) = neighbours.unreadable() {
            self.hold(drift, HeldBecause::StackUnreadable { stack: stack.clone() });
            return;
        }
        self.warnings.insert(self.what_is_lost(name));
        if let Some(other) = self.input.unsettled {
            self.hold(drift, HeldBecause::NotAllInSync { stack: other.clone() });
            return;
        }
        let users = self.containers_using(|container| {
            container.mounts.values().any(|mount| mount.kind == "volume" && mount.name == name)
        });
        let removals = self.removals_of(&users);
        if removals.len() < users.len() {
            self.hold(drift, HeldBecause::StillUsed);
            return;
        }
        let action = Action::RemoveVolume { name: name.to_owned() };
        let node = self.drafts.add(action, &cause(drift), removals);
        self.last.insert(node);
    }

    /// What is lost with a volume: `volume shop_data is removed with its data: 12.3 MB, 41 days old`.
    ///
    /// Said before it happens, in pull requests too: nobody reads a volume's name and knows what is in it, but
    /// everybody knows what 12 GB and two years mean.
    fn what_is_lost(&self, name: &str) -> String {
        let volume = self.input.observed.volumes.get(name);
        let size = volume.and_then(|volume| volume.size);
        let size = size.map_or_else(|| "of unknown size".to_owned(), bytes_text);
        let made = volume.and_then(|volume| volume.created_at);
        let age = made.map(|made| self.input.now.since(made));
        let age = age.map_or_else(|| "of unknown age".to_owned(), age_text);
        format!("volume {name} is removed with its data: {size}, {age}")
    }

    /// Ids of the containers that use something, whoever they belong to.
    ///
    /// Whoever they belong to: a backup that somebody runs by hand on our volume uses it as well.
    fn containers_using(&self, uses: impl Fn(&ObservedContainer) -> bool) -> Vec<String> {
        let all = &self.input.observed.containers;
        all.iter().filter(|c| uses(c)).map(|c| c.id.as_str().to_owned()).collect()
    }

    /// Steps of this plan that remove these containers.
    ///
    /// The plan is asked, and not the drifts: a container that was to go may be held, and then what it uses must stay.
    fn removals_of(&self, ids: &[String]) -> Vec<Node> {
        self.drafts
            .actions()
            .filter(|(_, action)| match action {
                Action::Remove { container: ContainerHandle::Observed { id, .. }, .. } => {
                    ids.iter().any(|wanted| wanted == id.as_str())
                }
                _ => false,
            })
            .map(|(node, _)| node)
            .collect()
    }
}

/// Bytes as people say them: three digits and a unit of a thousand.
fn bytes_text(bytes: u64) -> String {
    // Decimal units, as `docker system df` prints them.
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} bytes");
    }
    let (mut tenths, mut unit) = (bytes.saturating_mul(10) / 1000, 0);
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    if tenths >= 1000 {
        format!("{} {name}", tenths / 10)
    } else {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    }
}

/// An age in days: nobody decides by the hour about data.
fn age_text(age: Duration) -> String {
    match age.as_secs() / 86_400 {
        0 => "less than a day old".to_owned(),
        1 => "a day old".to_owned(),
        days => format!("{days} days old"),
    }
}

/// Host ports that a container was given by name (not chosen by the Engine).
pub(super) fn fixed_ports(container: &ObservedContainer) -> BTreeSet<String> {
    published(&container.spec.host.port_bindings)
}

/// Fixed host ports of a specification as `8080/tcp`; the address is left out, because `0.0.0.0` clashes with all.
pub(super) fn published(
    bindings: &std::collections::BTreeMap<String, Option<Vec<PortBinding>>>,
) -> BTreeSet<String> {
    bindings
        .iter()
        .flat_map(|(port, hosts)| {
            let protocol = port.split('/').nth(1).unwrap_or("tcp");
            hosts
                .iter()
                .flatten()
                .filter(|host| {
                    !matches!(host.host_port.as_str(), "" | "0") && !host.host_port.contains('-')
                })
                .map(move |host| format!("{}/{protocol}", host.host_port))
        })
        .collect()
}
