//! What holds across the stacks of a commit: which names they share, which they both want, and who must come first.
//!
//! In come the stacks of one commit with their projects; out come [`Claims`], and the order that follows from what one
//! stack makes and another one uses. No host is asked: everything here is known before anything is touched.
//!
//! Two stacks may declare one network or volume by its name without `external`, as docker compose allows: they share
//! it, provided that they ask for the same. A project name, a container's name, a host port and a fixed address have one
//! holder on a host.

mod clash;
mod order;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use order::implied;

use crate::config::Stack;
use crate::model::project::{Network, Volume};
use crate::model::{
    Claim, Claimed, Claims, Diagnostic, Diagnostics, HostName, Project, ServiceName,
};

/// One stack of a commit.
#[derive(Debug, Clone)]
pub struct Member<'a> {
    /// What the fleet file says of it.
    pub stack: &'a Stack,
    /// Its project; `None` when its manifests cannot be used.
    pub project: Option<&'a Project>,
    /// The hosts that it chooses.
    pub hosts: Arc<BTreeSet<HostName>>,
    /// Placement decides which of its replicas run on which of its hosts, and keeps their ports apart.
    pub spreads: bool,
}

impl Member<'_> {
    /// A claim of this stack, said at a place of its manifest.
    fn claim(&self, service: Option<&ServiceName>, path: &str) -> Claim {
        let told = self.project.and_then(|project| project.origins.nearest(path));
        Claim {
            stack: self.stack.name.clone(),
            service: service.cloned(),
            origin: told.unwrap_or_else(|| self.stack.origin.clone()),
            hosts: Arc::clone(&self.hosts),
        }
    }
}

/// What all stacks of a commit ask for by name.
pub fn claims(members: &[Member<'_>]) -> Claims {
    let mut declared: BTreeMap<Claimed, Vec<Claim>> = BTreeMap::new();
    let mut unreadable = BTreeMap::new();
    for member in members {
        match member.project {
            Some(project) => declare(member, project, &mut declared),
            None => drop(unreadable.insert(member.stack.name.clone(), Arc::clone(&member.hosts))),
        }
    }
    let stacks = members.iter().map(|member| member.stack.name.clone()).collect();
    let (clashes, wanted) = clash::find(members);
    Claims { stacks, declared, wanted, clashes, unreadable }
}

/// Networks and volumes that a stack declares, used or not, external ones among them: who names it wants it to stay.
fn declare(member: &Member<'_>, project: &Project, out: &mut BTreeMap<Claimed, Vec<Claim>>) {
    let networks = project.networks.iter().chain(&project.unused_networks);
    let volumes = project.volumes.iter().chain(&project.unused_volumes);
    let named = |kind: &str, key: &str| member.claim(None, &format!("{kind}.{key}"));
    for (key, Network { name, .. }) in networks {
        out.entry(Claimed::Network(name.clone())).or_default().push(named("networks", key));
    }
    for (key, Volume { name, .. }) in volumes {
        out.entry(Claimed::Volume(name.clone())).or_default().push(named("volumes", key));
    }
    // The default network is declared by nobody, and is there for whoever names none.
    let mut sleeping = project.disabled.values();
    if sleeping.any(|service| service.networks.contains_key("default"))
        && !project.networks.contains_key("default")
        && !project.unused_networks.contains_key("default")
    {
        let name = Claimed::Network(format!("{}_default", project.name));
        out.entry(name).or_default().push(named("services", ""));
    }
}

/// What only one of two stacks can have, as problems of the manifests: both places are named.
pub fn problems(claims: &Claims) -> Diagnostics {
    let all = claims.clashes.iter().map(|clash| {
        Diagnostic::error(clash.other.origin.clone(), clash.to_string()).help(clash.help())
    });
    Diagnostics(all.collect())
}
