//! What one look found, and the part of it that concerns one stack.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::read::{NetworkEntry, VolumeEntry};
use super::{Scope, labels};
use crate::model::{
    ContainerId, EngineFacts, Gap, ImageRef, ImageSight, Observed, ObservedContainer,
    ObservedNetwork, ObservedVolume, Ownership, TakenPort, TakenSubnet, Timestamp, subnets_meet,
};

/// What one look found, for all scopes that it was about.
#[derive(Debug, Clone, Default)]
pub struct HostView {
    pub(super) taken_at: Timestamp,
    pub(super) facts: EngineFacts,
    /// By name.
    pub(super) containers: Vec<Arc<ObservedContainer>>,
    /// Those of them that we made.
    pub(super) vouched: BTreeSet<ContainerId>,
    pub(super) networks: Arc<Vec<NetworkEntry>>,
    /// Network id to the containers that run in it.
    pub(super) attached: BTreeMap<String, Vec<ContainerId>>,
    /// Ports that somebody asks for, with the stacks of whoever holds them.
    pub(super) ports: Vec<(Vec<String>, TakenPort)>,
    pub(super) volumes: Arc<Vec<VolumeEntry>>,
    pub(super) images: BTreeMap<ImageRef, ImageSight>,
    pub(super) blind: Vec<Blind>,
    pub(super) silent: BTreeMap<ImageRef, String>,
}

/// A gap, and whom it concerns.
#[derive(Debug, Clone)]
pub(super) struct Blind {
    pub(super) gap: Gap,
    pub(super) about: About,
}

#[derive(Debug, Clone)]
pub(super) enum About {
    Everybody,
    Image(ImageRef),
    Container { name: String, stacks: Vec<String> },
}

impl HostView {
    /// Dates it and adds the facts.
    pub(in crate::docker) fn taken(self, taken_at: Timestamp, facts: EngineFacts) -> Self {
        Self { taken_at, facts, ..self }
    }

    /// When the look ended.
    pub fn taken_at(&self) -> Timestamp {
        self.taken_at
    }

    /// The Engine itself.
    pub fn facts(&self) -> &EngineFacts {
        &self.facts
    }

    /// Everything that could not be seen, of all stacks.
    pub fn gaps(&self) -> impl Iterator<Item = &Gap> {
        self.blind.iter().map(|blind| &blind.gap)
    }

    /// Images whose registry was asked and did not answer, and why. What it said before still counts.
    pub fn silent_registries(&self) -> &BTreeMap<ImageRef, String> {
        &self.silent
    }

    /// The part of one stack. The scope must have been among those that were looked at.
    pub fn of(&self, scope: &Scope) -> Observed {
        Observed {
            taken_at: self.taken_at,
            engine: self.facts.clone(),
            containers: self.containers_of(scope),
            networks: self.networks_of(scope),
            volumes: self.volumes_of(scope),
            images: self.images_of(scope),
            gaps: self.gaps_of(scope),
            ports_taken: self.ports_of(scope),
            subnets_taken: self.subnets_of(scope),
            paths: BTreeMap::new(),
            engine_started_at: self.engine_started_at(),
        }
    }

    fn ports_of(&self, scope: &Scope) -> Vec<TakenPort> {
        let stranger = |stacks: &[String]| stacks.iter().all(|name| name != scope.stack.as_str());
        let mut taken: Vec<TakenPort> = self
            .ports
            .iter()
            .filter(|(stacks, taken)| stranger(stacks) && scope.ports.contains(&taken.port))
            .map(|(_, taken)| taken.clone())
            .collect();
        taken.sort();
        taken
    }

    /// Ranges of other networks that meet one which the stack asks for. Networks of other hosts' kinds (overlay) are not
    /// compared with bridges, as the Engine does not.
    fn subnets_of(&self, scope: &Scope) -> Vec<TakenSubnet> {
        if scope.subnets.is_empty() {
            return Vec::new();
        }
        let others = self.networks.iter().filter(|entry| {
            let ownership = labels::ownership(&entry.spec.labels, scope);
            !labels::is_of_stack(&ownership) && !scope.networks.contains(&entry.spec.name)
        });
        let bridges = others.filter(|entry| matches!(entry.spec.driver.as_str(), "" | "bridge"));
        let mut taken: Vec<TakenSubnet> = bridges
            .flat_map(|entry| entry.spec.subnets().map(move |subnet| (entry, subnet)))
            .filter(|(_, subnet)| scope.subnets.iter().any(|one| subnets_meet(one, subnet)))
            .map(|(entry, subnet)| TakenSubnet {
                subnet: subnet.to_owned(),
                network: entry.spec.name.clone(),
            })
            .collect();
        taken.sort();
        taken
    }

    fn engine_started_at(&self) -> Option<Timestamp> {
        self.networks.iter().find(|entry| entry.spec.name == "bridge")?.created_at()
    }

    fn containers_of(&self, scope: &Scope) -> Vec<ObservedContainer> {
        self.containers
            .iter()
            .map(|container| (labels::ownership(&container.spec.config.labels, scope), container))
            .filter(|(ownership, container)| {
                labels::is_of_stack(ownership) || scope.containers.contains(&container.name)
            })
            .map(|(ownership, container)| ObservedContainer {
                ownership,
                vouched: self.vouched.contains(&container.id),
                ..ObservedContainer::clone(container)
            })
            .collect()
    }

    /// Names of networks are not unique on a host: of several with one name, the one that is ours and in use counts,
    /// and the others of ours are its twins.
    fn networks_of(&self, scope: &Scope) -> BTreeMap<String, ObservedNetwork> {
        let mut found: BTreeMap<String, Vec<ObservedNetwork>> = BTreeMap::new();
        for entry in self.networks.iter() {
            let ownership = labels::ownership(&entry.spec.labels, scope);
            let name = &entry.spec.name;
            if labels::is_of_stack(&ownership) || scope.networks.contains(name) {
                let attached = self.attached.get(&entry.id).cloned().unwrap_or_default();
                found.entry(name.clone()).or_default().push(ObservedNetwork {
                    id: entry.id.clone(),
                    ownership,
                    spec: entry.spec.clone(),
                    attached,
                    twins: Vec::new(),
                });
            }
        }
        let chosen = found.into_iter().filter_map(|(name, all)| Some((name, chosen(all)?)));
        chosen.collect()
    }

    fn volumes_of(&self, scope: &Scope) -> BTreeMap<String, ObservedVolume> {
        self.volumes
            .iter()
            .map(|entry| (labels::ownership(&entry.spec.labels, scope), entry))
            .filter(|(ownership, entry)| {
                labels::is_of_stack(ownership) || scope.volumes.contains(&entry.spec.name)
            })
            .map(|(ownership, entry)| {
                let VolumeEntry { spec, created_at } = entry;
                let created_at = Timestamp::parse(created_at);
                let volume =
                    ObservedVolume { ownership, spec: spec.clone(), created_at, size: None };
                (spec.name.clone(), volume)
            })
            .collect()
    }

    fn images_of(&self, scope: &Scope) -> BTreeMap<ImageRef, ImageSight> {
        let sights = scope.images.iter().filter_map(|image| self.images.get_key_value(image));
        sights.map(|(image, sight)| (image.clone(), sight.clone())).collect()
    }

    fn gaps_of(&self, scope: &Scope) -> Vec<Gap> {
        let concerns = |about: &About| match about {
            About::Everybody => true,
            About::Image(image) => scope.images.contains(image),
            About::Container { name, stacks } => {
                scope.containers.contains(name)
                    || stacks
                        .iter()
                        .any(|name| name == scope.stack.as_str() || name == scope.project.as_str())
            }
        };
        self.blind
            .iter()
            .filter(|blind| concerns(&blind.about))
            .map(|blind| blind.gap.clone())
            .collect()
    }
}

/// The one of several networks of a name that counts.
fn chosen(mut all: Vec<ObservedNetwork>) -> Option<ObservedNetwork> {
    all.sort_by_key(|network| {
        (rank(&network.ownership), std::cmp::Reverse(network.attached.len()), network.id.clone())
    });
    let mut all = all.into_iter();
    let mut first = all.next()?;
    let ours =
        |one: &ObservedNetwork| matches!(one.ownership, Ownership::Ours | Ownership::Neighbour(_));
    first.twins = all.filter(ours).map(|twin| twin.id).collect();
    Some(first)
}

/// Which of several networks of a name counts first. Stacks that share one must agree on it: for them, ours and a
/// neighbour's are alike.
fn rank(ownership: &Ownership) -> u8 {
    match ownership {
        Ownership::Ours | Ownership::Neighbour(_) => 0,
        Ownership::OtherRepository(_) => 1,
        Ownership::Foreign => 2,
        Ownership::Unrelated => 3,
    }
}
