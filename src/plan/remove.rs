//! What goes: surplus replicas, orphans, networks and volumes that nobody asks for.

use std::collections::BTreeSet;

use crate::model::{
    Action, AnonymousVolumes, ContainerHandle, Cure, Drift, ObservedContainer, PortBinding, Reason,
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
