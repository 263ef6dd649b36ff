//! Host ports, names and addresses, which one container has at a time: whoever needs one waits for whoever has it.

mod clash;
mod yielding;

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Action, ContainerHandle, Endpoint, ObservedContainer};

use super::Planner;
use super::remove::{fixed_ports, published};
use super::steps::Node;

impl Planner<'_> {
    /// Makes starts wait for the stops of containers that hold the same host ports, and names wait for their holders.
    pub(super) fn keep_claims_apart(&mut self) {
        let stops: Vec<(Node, &ObservedContainer)> = self
            .drafts
            .actions()
            .filter_map(|(node, action)| match action {
                Action::Stop { container: ContainerHandle::Observed { id, .. }, .. } => {
                    Some((node, *self.containers.get(id)?))
                }
                _ => None,
            })
            .filter(|(_, container)| !fixed_ports(container).is_empty())
            .collect();
        let mut edges: Vec<(Node, Node)> = Vec::new();
        if !stops.is_empty() {
            for (start, ports, own) in self.starts_with_ports() {
                let rivals = stops.iter().filter(|(_, c)| own.as_deref() != Some(c.id.as_str()));
                let rivals =
                    rivals.filter(|(_, c)| fixed_ports(c).iter().any(|p| ports.contains(p)));
                edges.extend(rivals.map(|(stop, _)| (start, *stop)));
            }
        }
        self.break_circles_of_names();
        edges.extend(self.name_claims());
        edges.extend(self.address_claims());
        for (node, after) in edges {
            self.drafts.wait_if_possible(node, after);
        }
    }

    /// Starts, with the host ports that they need and the observed container that they are about.
    fn starts_with_ports(&self) -> Vec<(Node, BTreeSet<String>, Option<String>)> {
        let specs = self.drafts.actions().filter_map(|(_, action)| match action {
            Action::Create { name, spec } => {
                Some((name.as_str(), published(&spec.host.port_bindings)))
            }
            _ => None,
        });
        let planned: BTreeMap<_, _> = specs.collect();
        self.drafts
            .actions()
            .filter_map(|(node, action)| match action {
                Action::Start { container: ContainerHandle::Planned { name } } => {
                    Some((node, planned.get(name.as_str())?.clone(), None))
                }
                Action::Start { container: ContainerHandle::Observed { id, .. } } => {
                    let container = self.containers.get(id)?;
                    Some((node, fixed_ports(container), Some(id.as_str().to_owned())))
                }
                _ => None,
            })
            .collect()
    }

    /// Creates and renames that need a name which another step frees.
    fn name_claims(&self) -> Vec<(Node, Node)> {
        let mut freed: Vec<(&str, Node)> = Vec::new();
        let mut wanted: Vec<(&str, Node)> = Vec::new();
        for (node, action) in self.drafts.actions() {
            match action {
                Action::Create { name, .. } => wanted.push((name, node)),
                Action::Rename { container, name } => {
                    wanted.push((name, node));
                    freed.push((container.name(), node));
                }
                Action::Remove { container, .. } => freed.push((container.name(), node)),
                _ => {}
            }
        }
        let free: BTreeMap<&str, Node> = freed.into_iter().collect();
        wanted
            .into_iter()
            .filter_map(|(name, node)| Some((node, *free.get(name)?)))
            .filter(|(node, holder)| node != holder)
            .collect()
    }

    /// Containers that are to be called like each other cannot wait for each other: one of each circle takes a passing
    /// name first. A pass that is cut off then leaves a container with a wrong name, which the next one puts right.
    fn break_circles_of_names(&mut self) {
        let mut renames: BTreeMap<String, (Node, String)> = BTreeMap::new();
        for (node, action) in self.drafts.actions() {
            if let Action::Rename { container, name } = action {
                renames.insert(container.name().to_owned(), (node, name.clone()));
            }
        }
        let mut settled: BTreeSet<&str> = BTreeSet::new();
        let mut first: Vec<(Node, String)> = Vec::new();
        for start in renames.keys() {
            let mut path: Vec<&str> = Vec::new();
            let mut at = start.as_str();
            while let Some((_, next)) = renames.get(at)
                && !settled.contains(at)
                && !path.contains(&at)
            {
                path.push(at);
                at = next;
            }
            if path.contains(&at)
                && let Some((node, name)) = renames.get(at)
            {
                first.push((*node, format!("{name}.next")));
            }
            settled.extend(path);
        }
        for (node, passing) in first {
            self.drafts.precede_by_rename(node, passing);
        }
    }

    /// Fixed addresses that a connection or a start needs, and the steps that free them.
    fn address_claims(&self) -> Vec<(Node, Node)> {
        let mut freed: Vec<(Address, Node)> = Vec::new();
        let mut wanted: Vec<(Address, Node)> = Vec::new();
        let mut planned: BTreeMap<&str, Vec<Address>> = BTreeMap::new();
        for (node, action) in self.drafts.actions() {
            match action {
                Action::Create { name, spec } => {
                    planned.insert(name, addresses(&spec.endpoints));
                }
                Action::Connect { network, endpoint, .. } => {
                    wanted.extend(fixed(network, endpoint).into_iter().map(|it| (it, node)));
                }
                Action::Start { container: ContainerHandle::Planned { name } } => {
                    let own = planned.get(name.as_str()).cloned().unwrap_or_default();
                    wanted.extend(own.into_iter().map(|it| (it, node)));
                }
                Action::Disconnect { container, network } => {
                    let held = self.held_addresses(container);
                    freed.extend(held.filter(|it| it.0 == *network).map(|it| (it, node)));
                }
                Action::Stop { container, .. } => {
                    freed.extend(self.held_addresses(container).map(|it| (it, node)));
                }
                _ => {}
            }
        }
        waits(&wanted, &freed)
    }

    /// Fixed addresses that a container holds now; one that is yet to be made holds none.
    fn held_addresses(&self, container: &ContainerHandle) -> impl Iterator<Item = Address> {
        let observed = match container {
            ContainerHandle::Observed { id, .. } => self.containers.get(id),
            ContainerHandle::Planned { .. } => None,
        };
        observed.map(|one| addresses(&one.spec.endpoints)).into_iter().flatten()
    }
}

/// Who waits for whom: each that wants an address for each that frees it.
fn waits(wanted: &[(Address, Node)], freed: &[(Address, Node)]) -> Vec<(Node, Node)> {
    let mut edges = Vec::new();
    for (wish, node) in wanted {
        let holders = freed.iter().filter(|(address, holder)| address == wish && holder != node);
        edges.extend(holders.map(|(_, holder)| (*node, *holder)));
    }
    edges
}

/// A network's name, and an address in it.
type Address = (String, String);

/// Fixed addresses of all endpoints.
fn addresses(endpoints: &BTreeMap<String, Box<Endpoint>>) -> Vec<Address> {
    endpoints.iter().flat_map(|(network, endpoint)| fixed(network, endpoint)).collect()
}

/// Fixed addresses of one endpoint, of either family. Those that the Engine gave are not fixed: it gives another one when
/// asked to.
fn fixed(network: &str, endpoint: &Endpoint) -> Vec<Address> {
    let ipam = endpoint.ipam_config.iter();
    ipam.flat_map(|ipam| [&ipam.ipv4_address, &ipam.ipv6_address])
        .filter(|address| !address.is_empty())
        .map(|address| (network.to_owned(), address.clone()))
        .collect()
}
