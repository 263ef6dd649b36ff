//! What two stacks of a commit want and only one can have: whoever has it keeps it, and nobody else is let near.

use crate::model::{
    Claim, Claimed, Clash, DesiredReplica, Drift, HeldBecause, ObservedContainer, Replica, Resource,
};

use crate::plan::remove::published;
use crate::plan::{Phase, Planner};

impl Planner<'_> {
    /// Why a replica is not made, or not changed: another stack of the commit wants something that it needs, and it does
    /// not have that yet. One that has it goes on, and one that had it at this commit gets it back.
    pub(in crate::plan) fn rival(
        &self,
        replica: &Replica,
        container: Option<&ObservedContainer>,
    ) -> Option<HeldBecause> {
        let (_, desired) = self.desired(replica)?;
        let input = &self.input;
        let mut all = input.desired.neighbours.clashes_of(&input.desired.stack);
        let (clash, _, rival) = all.find(|(clash, own, _)| {
            let has_it = match container {
                Some(container) => has(container, &clash.what),
                None => input.phase == Phase::Keep,
            };
            needs(replica, desired, clash, own) && !has_it
        })?;
        Some(contested(clash, rival))
    }

    /// Why a network or volume is left as it is: two stacks of the commit want it differently.
    pub(in crate::plan) fn disputed(&self, drift: &Drift) -> Option<HeldBecause> {
        let what = match &drift.resource {
            Resource::Network(name) => Claimed::Network(name.clone()),
            Resource::Volume(name) => Claimed::Volume(name.clone()),
            Resource::Replica { .. } | Resource::Container { .. } | Resource::Service(_) => {
                return None;
            }
        };
        let desired = self.input.desired;
        let mut all = desired.neighbours.clashes_of(&desired.stack);
        let is_it = |clash: &Clash| match (&clash.what, &what) {
            (Claimed::Subnet { networks, .. }, Claimed::Network(name)) => networks.contains(name),
            (about, what) => about == what,
        };
        let (clash, _, rival) = all.find(|(clash, _, _)| is_it(clash))?;
        Some(contested(clash, rival))
    }
}

/// Why the one of two that does not have it is held back.
///
/// With the place in the other stack's manifest: two people wrote these lines, and neither has seen the other's.
fn contested(clash: &Clash, rival: &Claim) -> HeldBecause {
    HeldBecause::Contested {
        what: clash.what.clone(),
        by: rival.stack.clone(),
        place: rival.origin.clone(),
        difference: clash.difference.clone(),
    }
}

/// Whether a replica needs what two stacks want.
fn needs(replica: &Replica, desired: &DesiredReplica, clash: &Clash, own: &Claim) -> bool {
    let spec = &desired.spec;
    match &clash.what {
        Claimed::Network(name) => {
            spec.endpoints.contains_key(name) || spec.host.network_mode == *name
        }
        Claimed::Subnet { networks, .. } => {
            networks.iter().any(|name| spec.endpoints.contains_key(name))
        }
        Claimed::Volume(name) => {
            crate::plan::ground::mounted_volumes(spec).any(|volume| volume == name)
        }
        Claimed::Project(_) => true,
        Claimed::Container(name) => desired.name == *name,
        Claimed::Port(_) | Claimed::Address { .. } => {
            own.service.as_ref().is_none_or(|service| *service == replica.service)
        }
    }
}

/// Whether a container has it already.
fn has(container: &ObservedContainer, what: &Claimed) -> bool {
    let spec = &container.spec;
    match what {
        Claimed::Network(name) => spec.endpoints.contains_key(name),
        Claimed::Subnet { networks, .. } => {
            networks.iter().any(|name| spec.endpoints.contains_key(name))
        }
        Claimed::Volume(name) => container.mounts.values().any(|mount| mount.name == *name),
        Claimed::Project(name) => {
            spec.config.labels.get("com.docker.compose.project") == Some(name)
        }
        Claimed::Container(name) => container.name == *name,
        Claimed::Port(port) => published(&spec.host.port_bindings).contains(port),
        Claimed::Address { network, address } => {
            let endpoint = spec.endpoints.get(network);
            let config = endpoint.and_then(|endpoint| endpoint.ipam_config.as_ref());
            config
                .is_some_and(|ipam| ipam.ipv4_address == *address || ipam.ipv6_address == *address)
        }
    }
}
