//! What follows from a plan: the host as it will be when its steps are done, and what is planned then, until nothing is
//! left.
//!
//! A pass looks again after each round, because some plans only become possible once another was carried out: a network
//! that is made anew is joined again, what stopped for it is started. Whoever reads a plan wants all of it. So the effect
//! of each step is laid on what was observed, and the planner is asked again: the same function, on what it would see.
//! Everything is assumed to go well; what fails is planned for when it is seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::drift;
use crate::model::{
    Action, ContainerConfig, ContainerHandle, ContainerId, ContainerSpec, ContainerState, Desired,
    HealthCheckState, HealthConfig, ImageRef, ImageSight, MountKind, Observed, ObservedContainer,
    ObservedImage, ObservedMount, ObservedNetwork, ObservedVolume, Ownership, Plan, Step,
    Timestamp,
};

use super::{Input, make};

/// Rounds that are foreseen after the first. Real plans need one or two; more means that the simulation does not know
/// what the host does, and its word is worth nothing.
const ROUNDS_MAX: usize = 8;

/// The plans that follow `first`, each made of what the one before it leaves behind; none when `first` settles
/// everything. `asked` is what `first` was made from before [`drift::settle`], and `input` what it was made from.
///
/// A plan that is shown in a pull request is the first of several: what a failed replacement left is removed by the
/// round after, and a network that is made anew lets its containers go first. Told only the first round, a reviewer
/// would meet steps later that nobody announced.
pub fn foresee(first: &Plan, asked: &Arc<Desired>, input: Input<'_>) -> Vec<Plan> {
    let mut found: Vec<Plan> = Vec::new();
    let mut host = Host::new(input.observed.clone(), input.now);
    while let Some(last) = found.last().or(Some(first)).filter(|plan| !plan.steps.is_empty()) {
        for step in &last.steps {
            host.take(step, input.desired);
        }
        host.end_round();
        let desired = drift::settle(Arc::clone(asked), &host.observed, input.policy);
        let findings = drift::detect(&desired, &host.observed, input.policy);
        let next = make(Input {
            desired: &desired,
            observed: &host.observed,
            findings: &findings,
            // What is asked for no more goes last, once everything else on the host is as it should be.
            unsettled: None,
            ..input
        });
        let goes_on = !next.steps.is_empty() && found.len() < ROUNDS_MAX;
        if next.steps == last.steps {
            break;
        }
        let says_more = goes_on || next.held != last.held;
        if says_more && !next.is_empty() {
            found.push(next);
        }
        if !goes_on {
            break;
        }
    }
    found
}

/// A host as it becomes.
/// It is no simulation of an Engine: each effect is the one that a look would find, and anything that is not told by a
/// look is left out.
struct Host {
    /// In the order of a look between rounds; what is made comes last until then.
    observed: Observed,
    /// Where containers stand in `observed`, by id.
    places: BTreeMap<ContainerId, usize>,
    /// Those that were made in this round, by the name under which they were.
    made_as: BTreeMap<String, usize>,
    /// Those that were removed in this round.
    gone: BTreeSet<ContainerId>,
    /// Each step comes a moment after the one before: what is newer counts.
    now: Timestamp,
    made: u64,
}

impl Host {
    fn new(observed: Observed, now: Timestamp) -> Self {
        let (places, made_as, gone) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        let mut host = Self { observed, places, made_as, gone, now, made: 0 };
        host.find_places();
        host
    }

    fn find_places(&mut self) {
        let all = self.observed.containers.iter().enumerate();
        self.places = all.map(|(place, one)| (one.id.clone(), place)).collect();
    }

    fn place(&self, handle: &ContainerHandle) -> Option<usize> {
        match handle {
            ContainerHandle::Observed { id, .. } => self.places.get(id).copied(),
            ContainerHandle::Planned { name } => self.made_as.get(name).copied(),
        }
    }

    /// Lays the effect of one step on the host.
    fn take(&mut self, step: &Step, desired: &Desired) {
        self.now = self.now.plus(Duration::from_secs(1));
        let now = self.now;
        match &step.action {
            Action::Pull { image, .. } => self.has_image(image, None),
            Action::Build { image, build } => self.has_image(image, Some(build.digest.as_str())),
            Action::Create { name, spec } => self.create(name, spec, step),
            Action::Remove { container, .. } => {
                let place = self.place(container);
                let one = place.and_then(|place| self.observed.containers.get(place));
                self.gone.extend(one.map(|one| one.id.clone()));
            }
            Action::Start { container } | Action::Restart { container, .. } => {
                let is_job = self.is_job(container, desired);
                self.change(container, |one| start(one, is_job, now));
            }
            Action::Unpause { container } => {
                self.change(container, |one| one.state = ContainerState::Running);
            }
            Action::Stop { container, .. } => self.change(container, |one| {
                one.state = ContainerState::Exited(0);
                (one.finished_at, one.stopped_by_hand) = (Some(now), true);
            }),
            Action::Rename { container, name } => {
                self.change(container, |one| one.name.clone_from(name));
            }
            Action::Update { container, spec } => self.change(container, |one| {
                one.spec_mut().host = Arc::clone(&spec.host);
            }),
            Action::Connect { container, network, endpoint } => {
                let network = self.name_of(network);
                self.change(container, |one| {
                    one.lost_interfaces.remove(&network);
                    one.spec_mut().endpoints.insert(network, endpoint.clone());
                });
            }
            Action::Disconnect { container, network } => self.change(container, |one| {
                one.lost_interfaces.remove(network);
                one.spec_mut().endpoints.remove(network);
            }),
            Action::AwaitHealthy { container, .. } => self.change(container, |one| {
                if one.health != HealthCheckState::None {
                    one.health = HealthCheckState::Healthy;
                }
            }),
            Action::AwaitCompletion { container, .. } => self.change(container, |one| {
                (one.state, one.finished_at) = (ContainerState::Exited(0), Some(now));
            }),
            Action::CreateNetwork(_)
            | Action::RemoveNetwork { .. }
            | Action::CreateVolume(_)
            | Action::RemoveVolume { .. } => self.ground(&step.action),
            // They leave nothing that a look sees.
            Action::PutFiles { .. }
            | Action::RemoveFiles { .. }
            | Action::Upload { .. }
            | Action::RunHook { .. }
            | Action::Delay { .. } => {}
        }
    }

    fn ground(&mut self, action: &Action) {
        let Observed { networks, volumes, .. } = &mut self.observed;
        match action {
            Action::CreateNetwork(spec) => {
                networks.entry(spec.name.clone()).or_insert_with(|| ObservedNetwork {
                    id: format!("planned-{}", spec.name),
                    ownership: Ownership::Ours,
                    spec: (**spec).clone(),
                    attached: Vec::new(),
                    twins: Vec::new(),
                });
            }
            Action::RemoveNetwork { id, name } => {
                networks.retain(|known, network| known != name || network.id != *id);
            }
            Action::CreateVolume(spec) => {
                volumes.entry(spec.name.clone()).or_insert_with(|| ObservedVolume {
                    ownership: Ownership::Ours,
                    spec: (**spec).clone(),
                    created_at: Some(self.now),
                    size: Some(0),
                });
            }
            Action::RemoveVolume { name } => drop(volumes.remove(name)),
            _ => {}
        }
    }

    /// An image that was pulled or built: what is in it is not known, and need not be.
    ///
    /// Its id is unlike any that was there, so that what runs of the older one differs from it, as it will on the host.
    /// A registry's digest stays what the look told: that is what is being fetched.
    fn has_image(&mut self, image: &ImageRef, build: Option<&str>) {
        self.made += 1;
        let known = match self.observed.images.get(image) {
            Some(ImageSight::Present(known)) => Some(known),
            _ => None,
        };
        let digest = known.and_then(|known| known.registry_digest.clone());
        let mut planned = ObservedImage {
            id: format!("planned-{}", self.made),
            repo_digests: digest.iter().map(|digest| format!("{image}@{digest}")).collect(),
            registry_digest: digest,
            ..ObservedImage::default()
        };
        if let Some(build) = build {
            planned.config.labels.insert("moorline.build".to_owned(), build.to_owned());
        }
        self.observed.images.insert(image.clone(), ImageSight::Present(Box::new(planned)));
    }

    fn create(&mut self, name: &str, spec: &Arc<ContainerSpec>, step: &Step) {
        self.made += 1;
        let Ok(id) = ContainerId::parse(&format!("planned{}", self.made)) else { return };
        let reference = spec.config.image.as_str();
        let images = &self.observed.images;
        let image = images.iter().find(|(known, _)| known.as_str() == reference);
        let image = image.and_then(|(_, sight)| match sight {
            ImageSight::Present(image) => Some(&**image),
            ImageSight::Absent => None,
        });
        let mut whole = (**spec).clone();
        // Of an image that is still to be pulled nothing is known that could be laid over what is asked for.
        if let Some(image) = image.filter(|image| image.config != ContainerConfig::default()) {
            whole.config = Arc::new(drift::with_image(&whole.config, &image.config));
        }
        // Engines that take one network while they make a container are told the others afterwards.
        if self.observed.engine.api < (1, 44) {
            let main = whole.host.network_mode.clone();
            whole.endpoints.retain(|network, _| *network == main);
        }
        let by_name: BTreeMap<_, _> = std::mem::take(&mut whole.endpoints)
            .into_iter()
            .map(|(network, endpoint)| (self.name_of(&network), endpoint))
            .collect();
        whole.endpoints = by_name;
        let container = ObservedContainer {
            id,
            name: name.to_owned(),
            ownership: Ownership::Ours,
            replica: step.replica.clone(),
            one_off: false,
            revision: None,
            spec_label: whole.config.labels.get("moorline.spec").cloned(),
            image_id: image.map_or_else(String::new, |image| image.id.clone()),
            state: ContainerState::Created,
            health: HealthCheckState::None,
            restart_count: 0,
            created_at: self.now,
            started_at: None,
            finished_at: None,
            stopped_by_hand: false,
            error: String::new(),
            last_words: String::new(),
            mounts: mounts(&whole),
            vouched: true,
            contents: BTreeMap::new(),
            lost_interfaces: BTreeSet::new(),
            spec: Arc::new(whole),
        };
        let place = self.observed.containers.len();
        self.places.insert(container.id.clone(), place);
        self.made_as.insert(name.to_owned(), place);
        self.observed.containers.push(container);
    }

    /// Brings a round's changes into the order of a look: containers by name, and which of them each network has now.
    /// Those that were not looked at stay where they were.
    ///
    /// Lists of a look are sorted, and plans follow their order. One that was made in the order of its steps would
    /// foresee the same actions under other numbers than the pass that is to come, and an approval of it would not fit.
    fn end_round(&mut self) {
        let Observed { containers, networks, .. } = &mut self.observed;
        for (name, network) in networks {
            network.attached.retain(|id| !self.places.contains_key(id));
            let ours = containers.iter().filter(|one| {
                one.state.is_up()
                    && one.spec.endpoints.contains_key(name)
                    && !self.gone.contains(&one.id)
            });
            network.attached.extend(ours.map(|one| one.id.clone()));
        }
        containers.retain(|one| !self.gone.contains(&one.id));
        containers.sort_by(|one, other| one.name.cmp(&other.name));
        self.made_as.clear();
        self.gone.clear();
        self.find_places();
    }

    /// A step of a container that is not there changes nothing: it was removed by another one, or the plan addresses
    /// what only the real pass can know.
    fn change(&mut self, handle: &ContainerHandle, change: impl FnOnce(&mut ObservedContainer)) {
        let place = self.place(handle);
        if let Some(one) = place.and_then(|place| self.observed.containers.get_mut(place)) {
            change(one);
        }
    }

    fn is_job(&self, handle: &ContainerHandle, desired: &Desired) -> bool {
        let found = self.place(handle).and_then(|place| self.observed.containers.get(place));
        let replica = found.and_then(|one| one.replica.as_ref());
        let service = replica.and_then(|replica| desired.services.get(&replica.service));
        service.is_some_and(|service| service.is_job)
    }

    /// The name of a network that is addressed by its id, because others have its name too.
    ///
    /// With two networks of one name the plan says the id, since the Engine refuses the name; a look tells the name all
    /// the same.
    fn name_of(&self, network: &str) -> String {
        let mut all = self.observed.networks.iter();
        all.find(|(_, known)| known.id == network)
            .map_or_else(|| network.to_owned(), |(name, _)| name.clone())
    }
}

/// One that was started does what it is to do: it runs and is well, or has come to its end.
fn start(one: &mut ObservedContainer, is_job: bool, now: Timestamp) {
    one.started_at = Some(now);
    one.stopped_by_hand = false;
    one.error.clear();
    one.last_words.clear();
    if is_job {
        (one.state, one.finished_at) = (ContainerState::Exited(0), Some(now));
        return;
    }
    one.state = ContainerState::Running;
    one.health = match one.spec.config.healthcheck.as_ref() {
        Some(check) if !is_off(check) => HealthCheckState::Healthy,
        _ => HealthCheckState::None,
    };
}

fn is_off(check: &HealthConfig) -> bool {
    check.test.is_empty() || check.test.first().is_some_and(|word| word == "NONE")
}

/// What a container that is made from this would tell of its volumes.
fn mounts(spec: &ContainerSpec) -> BTreeMap<String, ObservedMount> {
    let all = spec.host.mountings().map(|mounting| {
        let (kind, name) = match mounting.kind {
            MountKind::Volume => ("volume", mounting.source),
            MountKind::Bind => ("bind", ""),
            MountKind::Other => ("other", ""),
        };
        let mount = ObservedMount {
            kind: kind.to_owned(),
            name: name.to_owned(),
            source: mounting.source.to_owned(),
            writable: !mounting.read_only,
            ..ObservedMount::default()
        };
        (mounting.target.to_owned(), mount)
    });
    all.collect()
}
