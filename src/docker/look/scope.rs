//! What a look is about.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::{Desired, ImageRef, Replica, RepositoryName, StackName};

/// What a look at a host is to find out for one stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The stack: everything that carries its name in our labels is looked at.
    pub stack: StackName,
    /// Its Compose project: everything that carries its name in Compose's labels is looked at.
    pub project: StackName,
    /// All stacks of the commit; empty where they are not known. What was made for one that is none of them, under this
    /// project's name, is this stack's now.
    pub living: BTreeSet<StackName>,
    /// The repository that asks, to tell ours from another's.
    pub repository: RepositoryName,
    /// Names that the stack needs, whoever holds them: its own containers', and those whose namespaces or volumes they share.
    pub containers: BTreeSet<String>,
    /// Networks that it needs by name, such as external ones.
    pub networks: BTreeSet<String>,
    /// Volumes that it needs by name, such as external ones.
    pub volumes: BTreeSet<String>,
    /// Host ports that it publishes: whoever else holds one is told.
    pub ports: BTreeSet<u16>,
    /// Address ranges that its networks are to have: networks elsewhere that meet them are told.
    pub subnets: BTreeSet<String>,
    /// Paths in the containers of a replica at which files from Git should lie: what is there is read.
    pub contents: BTreeMap<Replica, BTreeSet<String>>,
    /// Images whose presence and defaults matter.
    pub images: BTreeSet<ImageRef>,
    /// Images about which their registry is to be asked in this look, unless it was asked, or the image was pulled or
    /// tagged, less than this long ago. What a registry said before is remembered.
    pub registry: BTreeMap<ImageRef, Duration>,
}

impl Scope {
    /// Everything that carries the stack's name, and nothing else. Its project is called like the stack.
    pub fn new(stack: StackName, repository: RepositoryName) -> Self {
        Self {
            project: stack.clone(),
            stack,
            repository,
            living: BTreeSet::new(),
            containers: BTreeSet::new(),
            networks: BTreeSet::new(),
            ports: BTreeSet::new(),
            subnets: BTreeSet::new(),
            contents: BTreeMap::new(),
            volumes: BTreeSet::new(),
            images: BTreeSet::new(),
            registry: BTreeMap::new(),
        }
    }

    /// What is needed to compare a host with this. No registry is asked.
    pub fn of(desired: &Desired) -> Self {
        let mut scope = Self::new(desired.stack.clone(), desired.repository.clone());
        scope.project = desired.project.clone();
        let commits = desired.neighbours.claims.iter();
        scope.living = commits.flat_map(|claims| claims.stacks.iter().cloned()).collect();
        for service in desired.services.values() {
            scope.images.insert(service.image.clone());
            for replica in service.replicas.values() {
                scope.containers.insert(replica.name.clone());
                scope.containers.extend(replica.spec.host.stands_on().map(str::to_owned));
                let paths: BTreeSet<String> =
                    desired.files_of(replica).map(|files| files.target.to_owned()).collect();
                if !paths.is_empty() {
                    scope.contents.insert(replica.replica.clone(), paths);
                }
                scope.ports.extend(replica.spec.host.host_ports().map(|(_, port, _)| port));
            }
        }
        // Who else waits for what tells a circle of stacks, which nobody could leave by waiting.
        scope.ports.extend(desired.neighbours.wanted().filter_map(|(what, _)| what.port_number()));
        scope.networks.extend(desired.networks.values().map(|network| network.spec.name.clone()));
        let pools = desired.networks.values().flat_map(|network| network.spec.subnets());
        scope.subnets.extend(pools.map(str::to_owned));
        scope.volumes.extend(desired.volumes.values().map(|volume| volume.spec.name.clone()));
        scope
    }
}

/// How thoroughly to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Inspect what changed since the last look, as lists and events tell. Without a live event stream this is the
    /// same as `Full`.
    Changed,
    /// Inspect everything anew.
    Full,
}
