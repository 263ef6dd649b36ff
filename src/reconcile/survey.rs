//! Who would sit where with a commit, by what one look at its hosts told.

use std::collections::BTreeMap;

use crate::commit::{Commit, LoadedStack};
use crate::config::settings::{CapacitySettings, Labels, Returning};
use crate::fleet::TargetName;
use crate::fleet::placement::{
    self, Ask, HostRoom, HostSight, Placement, Seen, World, asks, capacity,
};
use crate::model::{EngineFacts, HostName, Observed, StackName, Unseen};

/// What all services of a commit ask of placement.
pub(crate) fn asked(commit: &Commit, labels: &BTreeMap<HostName, Labels>) -> Vec<Ask> {
    let stacks = commit.stacks.values();
    stacks
        .filter_map(|one| Some((one, one.project.as_ref()?)))
        .flat_map(|(one, project)| asks(&one.stack, project, &one.tree, labels).0)
        .collect()
}

/// Stacks whose replicas are spread over hosts.
pub(crate) fn spread(commit: &Commit) -> impl Iterator<Item = &LoadedStack> {
    let usable = |one: &&LoadedStack| one.spreads && one.project.is_some();
    commit.stacks.values().map(AsRef::as_ref).filter(usable)
}

/// Where these stacks may sit.
pub(crate) fn targets_of<'a>(
    stacks: impl Iterator<Item = &'a LoadedStack>,
    labels: &BTreeMap<HostName, Labels>,
) -> Vec<TargetName> {
    let targets = |stack: &LoadedStack| {
        let name = |host| TargetName { stack: stack.stack.name.clone(), host };
        stack.stack.hosts.select(labels).into_iter().map(name).collect::<Vec<_>>()
    };
    stacks.flat_map(targets).collect()
}

/// What a look tells of who sits where. One that could not list the containers or volumes tells nothing.
pub(crate) fn seen_by(observed: &Observed) -> Option<Seen> {
    let is_blind = observed.gaps.iter().any(|gap| {
        let tells_nothing = match gap.what {
            Unseen::Images | Unseen::Image(_) | Unseen::Networks | Unseen::Network(_) => false,
            Unseen::Containers | Unseen::Container(_) | Unseen::Volumes | Unseen::Volume(_) => true,
            Unseen::Host(_) => true,
        };
        tells_nothing && gap.container.is_none() && gap.replica.is_none()
    });
    (!is_blind).then(|| placement::seen(observed))
}

/// The hosts, and what was seen on them. A host that cannot be seen keeps what it may have, and what may be there is not
/// made elsewhere.
#[derive(Debug)]
pub(crate) struct Survey(World);

impl Survey {
    /// Nothing was seen yet.
    pub(crate) fn new(returning: Returning) -> Self {
        Self(World { returning, ..World::default() })
    }

    /// What is known already.
    pub(crate) fn of(world: World) -> Self {
        Self(world)
    }

    /// A host, with what it can take.
    pub(crate) fn host(
        &mut self,
        name: &HostName,
        (labels, settings): (&Labels, &CapacitySettings),
        (facts, sight): (Option<&EngineFacts>, HostSight),
    ) {
        let room = HostRoom {
            labels: labels.clone(),
            platform: facts.map_or(String::new(), |facts| facts.platform.clone()),
            capacity: capacity(settings, facts),
            sight,
        };
        self.0.hosts.insert(name.clone(), room);
    }

    /// What a look at a target told; nothing, when it failed.
    pub(crate) fn look(&mut self, stack: &StackName, host: &HostName, seen: Option<&Seen>) {
        match (seen, self.0.hosts.get_mut(host)) {
            (Some(seen), _) => self.0.join(stack, host, seen),
            (None, Some(room)) => room.sight = HostSight::Unseen,
            (None, None) => {}
        }
    }

    /// Who would sit where.
    pub(crate) fn place(&self, asked: &[Ask]) -> Placement {
        placement::place(&self.0, asked)
    }
}
