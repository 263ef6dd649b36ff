//! What was learnt of a host and is still true.
//!
//! *Guarantees.* Nothing is handed out that an event, or an action of ours, has called into question since it was
//! read; an answer that was on its way when that happened is used once and not kept.
//! *Assumptions.* An event stream has been read all the while; without one nothing is trusted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::read::NetworkEntry;
use super::read::VolumeEntry;
use super::{Scope, labels};
use crate::model::{ContainerId, ImageRef, ImageSight, ObservedContainer, Timestamp};

/// Beyond this many doubts one says: everything is in doubt.
const MOST_DOUBTS: usize = 4096;

/// Shared by all clones of an Engine.
#[derive(Debug, Clone, Default)]
pub(in crate::docker) struct Memory(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// Counts doubts; what was asked before a doubt is not kept after it.
    clock: u64,
    streams: usize,
    containers: BTreeMap<ContainerId, Kept>,
    doubts: BTreeMap<String, u64>,
    all_doubted: u64,
    networks: Option<Arc<Vec<NetworkEntry>>>,
    networks_doubted: u64,
    volumes: Option<Arc<Vec<VolumeEntry>>>,
    volumes_doubted: u64,
    images: BTreeMap<ImageRef, ImageSight>,
    images_doubted: u64,
    registry: BTreeMap<ImageRef, (String, Timestamp)>,
    wedged: BTreeMap<ContainerId, Instant>,
    /// Containers that we made, by their stack, and when we learnt of each.
    made: BTreeMap<String, BTreeMap<ContainerId, u64>>,
    /// Stacks of which it was never noted what we made: the next look takes their labels' word.
    trusting: BTreeSet<String>,
}

#[derive(Debug, Clone)]
struct Kept {
    fingerprint: u64,
    container: Arc<ObservedContainer>,
}

/// What is in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::docker) enum Doubt<'a> {
    /// A container, by id or by name.
    Container(&'a str),
    Networks,
    Volumes,
    Images,
    Everything,
}

/// The moment at which a look began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Since {
    clock: u64,
    /// Nothing that was kept may be used.
    pub(super) anew: bool,
}

impl Memory {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something may have changed.
    pub(in crate::docker) fn doubt(&self, doubt: Doubt<'_>) {
        let mut known = self.known();
        known.clock += 1;
        let now = known.clock;
        match doubt {
            Doubt::Container(address) => known.doubt_container(address, now),
            Doubt::Networks => (known.networks, known.networks_doubted) = (None, now),
            Doubt::Volumes => (known.volumes, known.volumes_doubted) = (None, now),
            Doubt::Images => {
                known.images.clear();
                known.images_doubted = now;
            }
            Doubt::Everything => known.doubt_everything(now),
        }
    }

    /// An event stream begins or ends. What happened while there was none is unknown.
    pub(in crate::docker) fn stream_began(&self) {
        self.known().streams += 1;
        self.doubt(Doubt::Everything);
    }

    pub(in crate::docker) fn stream_ended(&self) {
        let mut known = self.known();
        known.streams = known.streams.saturating_sub(1);
    }

    pub(super) fn begin(&self, anew: bool) -> Since {
        let known = self.known();
        Since { clock: known.clock, anew: anew || known.streams == 0 }
    }

    /// What is known of a container, if its line in the list still says the same.
    pub(super) fn container(
        &self,
        id: &ContainerId,
        fingerprint: u64,
    ) -> Option<Arc<ObservedContainer>> {
        let known = self.known();
        let kept = known.containers.get(id)?;
        (kept.fingerprint == fingerprint).then(|| Arc::clone(&kept.container))
    }

    /// The stack of a container that is known, and the label that tells it.
    pub(in crate::docker) fn stack_of(&self, id: &str) -> Option<(&'static str, String)> {
        let known = self.known();
        let id = ContainerId::parse(id).ok()?;
        let labels = &known.containers.get(&id)?.container.spec.config.labels;
        let told = |label: &'static str| labels.get(label).map(|stack| (label, stack.clone()));
        told(labels::STACK).or_else(|| told(labels::PROJECT))
    }

    pub(super) fn keep_container(
        &self,
        since: Since,
        fingerprint: u64,
        container: &Arc<ObservedContainer>,
    ) {
        let mut known = self.known();
        known.wedged.remove(&container.id);
        let doubted = [container.id.as_str(), &container.name]
            .iter()
            .filter_map(|address| known.doubts.get(*address))
            .fold(known.all_doubted, |latest, doubt| latest.max(*doubt));
        if doubted <= since.clock {
            let kept = Kept { fingerprint, container: Arc::clone(container) };
            known.containers.insert(container.id.clone(), kept);
        }
    }

    /// Notes that a container of a stack is of our making.
    pub(in crate::docker) fn vouch(&self, stack: &str, id: ContainerId) {
        let mut known = self.known();
        known.clock += 1;
        let now = known.clock;
        known.made.entry(stack.to_owned()).or_default().insert(id, now);
    }

    /// Takes the labels' word for a stack's containers, once.
    pub(in crate::docker) fn trust(&self, stack: &str) {
        self.known().trusting.insert(stack.to_owned());
    }

    /// The containers of a stack that we made.
    pub(in crate::docker) fn made(&self, stack: &str) -> BTreeSet<ContainerId> {
        let known = self.known();
        known.made.get(stack).into_iter().flatten().map(|(id, _)| id.clone()).collect()
    }

    /// Which of these we made.
    pub(super) fn vouched(
        &self,
        scopes: &[Scope],
        seen: &[Arc<ObservedContainer>],
    ) -> BTreeSet<ContainerId> {
        let mut known = self.known();
        let now = known.clock;
        for stack in scopes.iter().map(|scope| scope.stack.to_string()) {
            if !known.trusting.remove(&stack) {
                continue;
            }
            let ours = seen.iter().filter(|one| {
                let label = one.spec.config.labels.get(labels::STACK);
                one.spec_label.is_some() && label == Some(&stack)
            });
            let ours: Vec<_> = ours.map(|one| (one.id.clone(), now)).collect();
            known.made.entry(stack).or_default().extend(ours);
        }
        let made = |id: &&ContainerId| known.made.values().any(|made| made.contains_key(*id));
        seen.iter().map(|one| &one.id).filter(made).cloned().collect()
    }

    /// Forgets containers that are no more. What was made after the look began may be missing in it.
    pub(super) fn retain(&self, since: Since, there: impl Fn(&ContainerId) -> bool) {
        let mut known = self.known();
        for made in known.made.values_mut() {
            made.retain(|id, learnt| since.clock < *learnt || there(id));
        }
        known.containers.retain(|id, _| there(id));
        known.wedged.retain(|id, _| there(id));
    }

    /// How long a container that did not answer is to be left in peace.
    pub(super) fn wedged(&self, id: &ContainerId, now: Instant) -> Option<Duration> {
        let until = *self.known().wedged.get(id)?;
        until.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    pub(super) fn mark_wedged(&self, id: &ContainerId, until: Instant) {
        self.known().wedged.insert(id.clone(), until);
    }

    pub(super) fn networks(&self) -> Option<Arc<Vec<NetworkEntry>>> {
        self.known().networks.clone()
    }

    pub(super) fn keep_networks(&self, since: Since, networks: &Arc<Vec<NetworkEntry>>) {
        let mut known = self.known();
        if known.networks_doubted.max(known.all_doubted) <= since.clock {
            known.networks = Some(Arc::clone(networks));
        }
    }

    pub(super) fn volumes(&self) -> Option<Arc<Vec<VolumeEntry>>> {
        self.known().volumes.clone()
    }

    pub(super) fn keep_volumes(&self, since: Since, volumes: &Arc<Vec<VolumeEntry>>) {
        let mut known = self.known();
        if known.volumes_doubted.max(known.all_doubted) <= since.clock {
            known.volumes = Some(Arc::clone(volumes));
        }
    }

    pub(super) fn image(&self, image: &ImageRef) -> Option<ImageSight> {
        self.known().images.get(image).cloned()
    }

    pub(super) fn keep_image(&self, since: Since, image: &ImageRef, sight: &ImageSight) {
        let mut known = self.known();
        if known.images_doubted.max(known.all_doubted) <= since.clock {
            known.images.insert(image.clone(), sight.clone());
        }
    }

    /// What a registry last said of an image, and when.
    pub(super) fn registry(&self, image: &ImageRef) -> Option<(String, Timestamp)> {
        self.known().registry.get(image).cloned()
    }

    pub(super) fn keep_registry(&self, image: &ImageRef, digest: String, now: Timestamp) {
        self.known().registry.insert(image.clone(), (digest, now));
    }
}

impl Known {
    fn doubt_container(&mut self, address: &str, now: u64) {
        if self.doubts.len() >= MOST_DOUBTS {
            self.doubt_everything(now);
        }
        self.doubts.insert(address.to_owned(), now);
        self.containers.retain(|id, kept| id.as_str() != address && kept.container.name != address);
        self.wedged.retain(|id, _| id.as_str() != address);
    }

    fn doubt_everything(&mut self, now: u64) {
        self.containers.clear();
        self.doubts.clear();
        self.images.clear();
        self.wedged.clear();
        (self.networks, self.volumes) = (None, None);
        self.all_doubted = now;
    }
}
