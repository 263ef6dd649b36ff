//! Looking at a host: one list, inspections of what changed since the last look, and what they mean in our nouns.
//!
//! A list that cannot be read is an error. Anything else that cannot be seen is a gap of the view: a container whose
//! inspection hangs while the lists answer must not hide the others.

mod alike;
mod contents;
mod ending;
mod labels;
mod memory;
mod paths;
mod read;
mod scope;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use tokio::time::Instant;

pub(super) use labels::{
    BUILD, HELPER, HELPER_NAME, NUMBER, ONE_OFF, PROJECT, REPOSITORY, SERVICE, STACK, helper_mark,
};
pub(super) use memory::{Doubt, Memory};
pub(super) use read::{
    DiskUse, ImageInspection, Info, Inspection, NetworkEntry, Version, api, facts,
};
pub use scope::{Depth, Scope};
pub use view::HostView;

use self::memory::Since;
use self::read::{Distribution, Summary, VolumeEntry, VolumeList};
use self::view::{About, Blind};
use super::EngineError;
use super::connect::{Ask, Wire, parse, segment};
use super::registry::RegistryAuth;
use crate::model::{
    ContainerId, Gap, ImageRef, ImageSight, ObservedContainer, Replica, TakenPort, Timestamp,
    Unseen, chain,
};

/// Images asked about at a time: an inspection of one reads little, and a registry does not like to be stormed.
const PARALLEL_IMAGES: usize = 4;

/// One look in progress.
pub(super) struct Looker<'a> {
    pub(super) wire: &'a Wire,
    pub(super) memory: &'a Memory,
    pub(super) registries: &'a RegistryAuth,
    pub(super) scopes: &'a [Scope],
    since: Since,
    now: Timestamp,
    /// The Engine's id.
    key: String,
}

/// What a look found beside the view.
pub(super) struct Sight {
    pub(super) view: HostView,
    /// Containers that were made to carry files.
    pub(super) helpers: Vec<Helper>,
}

/// A container that was made to carry files.
pub(super) struct Helper {
    pub(super) id: String,
    pub(super) name: String,
    /// The process that made it.
    pub(super) owner: String,
    /// Seconds since 1970, by the host's clock.
    pub(super) made_at: Option<i64>,
}

impl Helper {
    /// Whether it was made so long ago that whoever made it cannot be using it any more.
    pub(super) fn is_old(&self, now: Timestamp) -> bool {
        let made_at = self.made_at.map(|seconds| Timestamp::from_millis(seconds * 1000));
        made_at.is_some_and(|made_at| HELPER_AGE_MAX < now.since(made_at))
    }
}

/// Carrying files takes as long as one step may; this is far beyond it, and beyond what clocks of hosts differ by.
const HELPER_AGE_MAX: Duration = Duration::from_mins(30);

/// A container to be inspected.
#[derive(Clone)]
struct Suspect {
    id: ContainerId,
    fingerprint: u64,
    name: String,
    stacks: Vec<String>,
    replica: Option<Replica>,
}

impl<'a> Looker<'a> {
    pub(super) fn new(
        wire: &'a Wire,
        memory: &'a Memory,
        registries: &'a RegistryAuth,
        scopes: &'a [Scope],
        (depth, key): (Depth, String),
        now: Timestamp,
    ) -> Self {
        let since = memory.begin(depth == Depth::Full);
        Self { wire, memory, registries, scopes, since, now, key }
    }

    /// Looks. `taken_at` and `facts` of the view are the caller's to fill in.
    pub(super) async fn look(&self) -> Result<Sight, EngineError> {
        let ask = Ask::get("/containers/json", "list containers").query("all", "1");
        let bytes = self.wire.read_bytes(ask).await?;
        let lines: Vec<Summary<'_>> = parse("list containers", &bytes)?;
        let helpers = lines.iter().filter_map(|line| {
            let owner = line.helper_of(&self.key)?.to_owned();
            let (id, name) = (line.id.clone().into_owned(), line.name().to_owned());
            Some(Helper { id, name, owner, made_at: line.created })
        });
        let helpers = helpers.collect();
        let attached = attached(&lines);
        let ports = self.taken_ports(&lines);
        self.forget_all_but(&lines);
        let (known, suspects) = self.sift(&lines);
        drop(lines);
        drop(bytes);
        let mut view = HostView { attached, ports, containers: known, ..HostView::default() };
        let ((inspected, mut blind), networks, volumes, images) = tokio::join!(
            self.inspect_all(suspects),
            self.networks(),
            self.volumes(),
            Box::pin(self.images())
        );
        view.containers.extend(inspected);
        view.containers.sort_by(|a, b| a.name.cmp(&b.name));
        view.vouched = self.memory.vouched(self.scopes, &view.containers);
        view.networks = or_blind(networks, Unseen::Networks, &mut blind);
        view.volumes = or_blind(volumes, Unseen::Volumes, &mut blind);
        let (images, blind_images, silent) = images;
        view.images = images;
        view.silent = silent;
        blind.extend(blind_images);
        view.blind = blind;
        Ok(Sight { view, helpers })
    }

    /// Ports that somebody asks for, with the stacks of whoever holds them.
    fn taken_ports(&self, lines: &[Summary<'_>]) -> Vec<(Vec<String>, TakenPort)> {
        let asked: BTreeSet<u16> =
            self.scopes.iter().flat_map(|scope| scope.ports.iter().copied()).collect();
        let mut taken = Vec::new();
        for line in lines {
            for port in line.taken_ports().filter(|taken| asked.contains(&taken.port)) {
                taken.push((line.stacks().map(str::to_owned).collect(), port));
            }
        }
        taken
    }

    fn forget_all_but(&self, lines: &[Summary<'_>]) {
        let there: BTreeSet<&str> = lines.iter().map(|line| &*line.id).collect();
        self.memory.retain(self.since, |id| there.contains(id.as_str()));
    }

    /// What is known already, and what has to be inspected. Containers that concern nobody are neither.
    fn sift(&self, lines: &[Summary<'_>]) -> (Vec<Arc<ObservedContainer>>, Vec<Suspect>) {
        let called = |scope: &'a Scope| [scope.stack.as_str(), scope.project.as_str()];
        let stacks: BTreeSet<&str> = self.scopes.iter().flat_map(called).collect();
        let names: BTreeSet<&str> =
            self.scopes.iter().flat_map(|scope| &scope.containers).map(String::as_str).collect();
        let concerns = |line: &&Summary<'_>| {
            line.helper_of(&self.key).is_none()
                && (line.stacks().any(|stack| stacks.contains(stack))
                    || names.contains(line.name()))
        };
        let (mut known, mut suspects) = (Vec::new(), Vec::new());
        for line in lines.iter().filter(concerns) {
            let Ok(id) = ContainerId::parse(&line.id) else { continue };
            let fingerprint = line.fingerprint();
            let kept = self.memory.container(&id, fingerprint).filter(|_| !self.since.anew);
            let kept = kept.filter(|container| self.tells_enough(container));
            match kept {
                Some(container) => known.push(container),
                None => suspects.push(Suspect {
                    id,
                    fingerprint,
                    name: line.name().to_owned(),
                    stacks: line.stacks().map(str::to_owned).collect(),
                    replica: line.replica(),
                }),
            }
        }
        (known, suspects)
    }

    /// Inspects some at a time until the look's limit; whoever has not answered by then is a gap.
    async fn inspect_all(
        &self,
        suspects: Vec<Suspect>,
    ) -> (Vec<Arc<ObservedContainer>>, Vec<Blind>) {
        let limits = self.wire.limits();
        let deadline = Instant::now() + limits.look;
        let mut open: BTreeMap<ContainerId, Suspect> =
            suspects.iter().map(|suspect| (suspect.id.clone(), suspect.clone())).collect();
        let (mut found, mut blind) = (Vec::new(), Vec::new());
        // Owned, so that the calls are futures of one lifetime and may be awaited on any thread.
        let calls = suspects.into_iter().map(|suspect| async move {
            let answer = self.inspect(&suspect).await;
            (suspect, answer)
        });
        let mut answers =
            std::pin::pin!(stream::iter(calls).buffer_unordered(limits.parallel.max(1)));
        while let Ok(Some((suspect, answer))) =
            tokio::time::timeout_at(deadline, answers.next()).await
        {
            open.remove(&suspect.id);
            match answer {
                Ok(container) => found.extend(container),
                Err(why) => blind.push(suspect.blind(why)),
            }
        }
        let late = || format!("not asked about within {:?}", limits.look);
        blind.extend(open.values().map(|suspect| suspect.blind(late())));
        (found, blind)
    }

    /// One container; `None` when it is gone by now.
    async fn inspect(&self, suspect: &Suspect) -> Result<Option<Arc<ObservedContainer>>, String> {
        let limits = self.wire.limits();
        if let Some(left) = self.memory.wedged(&suspect.id, Instant::now()) {
            return Err(format!("did not answer; it is asked again in {} s", left.as_secs() + 1));
        }
        let what = format!("inspect {}", suspect.name);
        let ask = Ask::get(format!("/containers/{}/json", suspect.id), what);
        let answer = tokio::time::timeout(limits.inspect, self.wire.read::<Inspection>(ask)).await;
        match answer {
            Ok(Ok(inspection)) => {
                let Some(container) = inspection.into_observed() else {
                    return Err("its id makes no sense".to_owned());
                };
                let stopped_by_hand = self.was_stopped(&container).await;
                let contents = self.contents(&container).await;
                let container =
                    Arc::new(ObservedContainer { stopped_by_hand, contents, ..container });
                self.memory.keep_container(self.since, suspect.fingerprint, &container);
                Ok(Some(container))
            }
            Ok(Err(error)) if error.status() == Some(404) => Ok(None),
            Ok(Err(error)) => Err(chain::in_full(&error)),
            Err(_) => {
                self.memory.mark_wedged(&suspect.id, Instant::now() + limits.wedged);
                Err(format!("no answer within {:?}", limits.inspect))
            }
        }
    }

    async fn networks(&self) -> Result<Arc<Vec<NetworkEntry>>, EngineError> {
        if let Some(known) = self.memory.networks().filter(|_| !self.since.anew) {
            return Ok(known);
        }
        let networks = Arc::new(self.wire.read(Ask::get("/networks", "list networks")).await?);
        self.memory.keep_networks(self.since, &networks);
        Ok(networks)
    }

    async fn volumes(&self) -> Result<Arc<Vec<VolumeEntry>>, EngineError> {
        if let Some(known) = self.memory.volumes().filter(|_| !self.since.anew) {
            return Ok(known);
        }
        let list: VolumeList = self.wire.read(Ask::get("/volumes", "list volumes")).await?;
        let volumes = Arc::new(list.volumes.unwrap_or_default());
        self.memory.keep_volumes(self.since, &volumes);
        Ok(volumes)
    }

    async fn images(
        &self,
    ) -> (BTreeMap<ImageRef, ImageSight>, Vec<Blind>, BTreeMap<ImageRef, String>) {
        let wanted: BTreeSet<ImageRef> =
            self.scopes.iter().flat_map(|scope| scope.images.iter().cloned()).collect();
        let (mut found, mut blind) = (BTreeMap::new(), Vec::new());
        let calls = wanted.into_iter().map(|image| async move {
            let sight = self.image(&image).await;
            (image, sight)
        });
        let mut answers = std::pin::pin!(stream::iter(calls).buffer_unordered(PARALLEL_IMAGES));
        while let Some((image, answer)) = answers.next().await {
            match answer {
                Ok(sight) => drop(found.insert(image.clone(), sight)),
                Err(error) => blind.push(blind_image(&image, &error)),
            }
        }
        let silent = self.ask_registries(self.due_at_registry(&found)).await;
        for (image, sight) in &mut found {
            if let ImageSight::Present(present) = sight {
                present.registry_digest = self.memory.registry(image).map(|(digest, _when)| digest);
            }
        }
        (found, blind, silent)
    }

    /// Images of the host about which their registry is to be asked now.
    fn due_at_registry(&self, found: &BTreeMap<ImageRef, ImageSight>) -> BTreeSet<ImageRef> {
        let wanted = self.scopes.iter().flat_map(|scope| scope.registry.iter());
        let due = wanted.filter(|(image, every)| {
            let Some(ImageSight::Present(present)) = found.get(*image) else { return false };
            let asked = self.memory.registry(image).map(|(_digest, when)| when);
            let fresh = asked.max(present.tagged_at);
            fresh.is_none_or(|fresh| **every <= self.now.since(fresh))
        });
        due.map(|(image, _every)| image.clone()).collect()
    }

    /// A registry that does not answer is no gap: what the host runs can be seen without it.
    async fn ask_registries(&self, asked: BTreeSet<ImageRef>) -> BTreeMap<ImageRef, String> {
        let calls = asked.into_iter().map(|image| async move {
            let answer = self.ask_registry(&image).await;
            (image, answer)
        });
        let mut answers = std::pin::pin!(stream::iter(calls).buffer_unordered(PARALLEL_IMAGES));
        let mut silent = BTreeMap::new();
        while let Some((image, answer)) = answers.next().await {
            if let Err(error) = answer {
                silent.insert(image, chain::in_full(&error));
            }
        }
        silent
    }

    async fn image(&self, image: &ImageRef) -> Result<ImageSight, EngineError> {
        if let Some(known) = self.memory.image(image).filter(|_| !self.since.anew) {
            return Ok(known);
        }
        let ask = Ask::get(
            format!("/images/{}/json", segment(image.as_str())),
            format!("inspect image {image}"),
        );
        let sight = match self.wire.read::<ImageInspection>(ask).await {
            Ok(inspection) => ImageSight::Present(Box::new(inspection.into_observed())),
            Err(error) if error.status() == Some(404) => ImageSight::Absent,
            Err(error) => return Err(error),
        };
        self.memory.keep_image(self.since, image, &sight);
        Ok(sight)
    }

    async fn ask_registry(&self, image: &ImageRef) -> Result<(), EngineError> {
        let path = format!("/distribution/{}/json", segment(image.as_str()));
        let mut ask = Ask::get(path, format!("ask the registry about {image}"));
        if let Some(credentials) = self.registries.header_for(image).await? {
            ask = ask.header("x-registry-auth", credentials.reveal());
        }
        let answer: Distribution = self.wire.read(ask).await?;
        self.memory.keep_registry(image, answer.descriptor.digest, self.now);
        Ok(())
    }
}

impl Suspect {
    fn blind(&self, why: String) -> Blind {
        let what = Unseen::Container(self.name.clone());
        Blind {
            gap: Gap { what, container: Some(self.id.clone()), replica: self.replica.clone(), why },
            about: About::Container { name: self.name.clone(), stacks: self.stacks.clone() },
        }
    }
}

fn blind_image(image: &ImageRef, error: &EngineError) -> Blind {
    let what = Unseen::Image(image.to_string());
    let gap = Gap { what, container: None, replica: None, why: chain::in_full(error) };
    Blind { gap, about: About::Image(image.clone()) }
}

/// A list that could not be read is a gap for everybody.
fn or_blind<T: Default>(answer: Result<T, EngineError>, what: Unseen, blind: &mut Vec<Blind>) -> T {
    answer.unwrap_or_else(|error| {
        let gap = Gap { what, container: None, replica: None, why: chain::in_full(&error) };
        blind.push(Blind { gap, about: About::Everybody });
        T::default()
    })
}

fn attached(lines: &[Summary<'_>]) -> BTreeMap<String, Vec<ContainerId>> {
    let mut attached: BTreeMap<String, Vec<ContainerId>> = BTreeMap::new();
    for line in lines {
        let Ok(id) = ContainerId::parse(&line.id) else { continue };
        for network in line.attached_to() {
            attached.entry(network.to_owned()).or_default().push(id.clone());
        }
    }
    attached
}
