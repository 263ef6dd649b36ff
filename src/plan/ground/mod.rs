//! What containers stand on: images, networks, volumes and files.

mod files;
mod state;
mod unused;

pub(crate) use state::bound_device;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{
    Action, ContainerHandle, ContainerSpec, Digest, Drift, HeldBecause, ImagePolicy, ImageRef,
    Location, NetworkSpec, Reason, Resource, ServiceName, subnets_meet,
};

use crate::plan::steps::{Cause, Node};
use crate::plan::{Planner, cause};

/// Steps that prepare what containers stand on.
#[derive(Debug, Default)]
pub(in crate::plan) struct Ground {
    images: BTreeMap<ImageRef, Node>,
    /// By name on the host.
    networks: BTreeMap<String, Node>,
    volumes: BTreeMap<String, Node>,
    bundles: BTreeMap<Digest, Node>,
    /// Networks that are made anew: whoever is attached must let go first. Name to the removing step.
    pub(in crate::plan) renewed_networks: BTreeMap<String, Node>,
}

impl Planner<'_> {
    /// Plans networks and volumes that are missing or changed, and images that are to be pulled or built.
    ///
    /// Ground is laid once and shared: ten services in one network wait for one step. It is planned first, since what
    /// is held here (a subnet that is taken, a volume that would start empty) holds whoever stands on it.
    pub(in crate::plan) fn lay_ground(&mut self) {
        self.warn_of_twins();
        let others = std::mem::take(&mut self.others);
        for drift in &others {
            match (&drift.resource, &drift.reason) {
                (Resource::Network(name), Reason::Missing) => {
                    self.create_network(name, drift, None);
                }
                (Resource::Network(name), Reason::Changed { .. }) => {
                    self.renew_network(name, drift);
                }
                (Resource::Volume(name), Reason::Missing) => self.create_volume(name, drift),
                (Resource::Volume(_), Reason::Changed { .. }) => {
                    self.hold(drift, HeldBecause::VolumeUnchangeable);
                }
                (
                    Resource::Service(name),
                    Reason::ImageMissing | Reason::ImageMoved { .. } | Reason::BuildChanged,
                ) => {
                    self.fetch_image(name, drift);
                }
                _ => {}
            }
        }
        self.others = others;
    }

    /// How the Engine is told a network: by its name, or by the id of the one that counts where several have that name.
    ///
    /// Before API 1.44 names of networks need not be unique (`CheckDuplicate` was a best effort), and two programs
    /// that make one at the same time end with two. Newer Engines still have those of older days.
    pub(in crate::plan) fn address_of_network(&self, name: &str) -> String {
        match self.input.observed.networks.get(name) {
            Some(network) if !network.twins.is_empty() => network.id.clone(),
            _ => name.to_owned(),
        }
    }

    /// Writes ids in place of names of which the host has several networks: the Engine takes no such name.
    ///
    /// With two of one name, `POST /containers/create` answers that the name is ambiguous (400), and the service cannot
    /// be made at all.
    pub(in crate::plan) fn tell_twins_apart(&self, spec: &mut ContainerSpec) {
        let all = &self.input.observed.networks;
        for (name, network) in all.iter().filter(|(_, network)| !network.twins.is_empty()) {
            if spec.host.network_mode == *name {
                spec.host_mut().network_mode.clone_from(&network.id);
            }
            if let Some(endpoint) = spec.endpoints.remove(name) {
                spec.endpoints.insert(network.id.clone(), endpoint);
            }
        }
    }

    /// Says which of several networks of one name to remove.
    ///
    /// Removing the spare one by ourselves is not ours to do: it may have been made by hand, with a container in it
    /// that is about to start.
    fn warn_of_twins(&mut self) {
        for (name, network) in &self.input.observed.networks {
            if network.twins.is_empty() {
                continue;
            }
            let spare: Vec<&str> =
                network.twins.iter().map(|id| id.get(..12).unwrap_or(id)).collect();
            let used = network.id.get(..12).unwrap_or(&network.id);
            let spare = spare.join(" ");
            self.warnings.insert(format!("there are several networks called {name}; {used} is used, remove the rest: docker network rm {spare}"));
        }
    }

    /// Plans a network, once, however many containers wait for it. `after` is the removal of one of the same name.
    fn create_network(&mut self, name: &str, drift: &Drift, after: Option<Node>) {
        let declared =
            self.input.desired.networks.values().find(|network| network.spec.name == name);
        let Some(network) = declared else { return };
        if network.external {
            self.hold(drift, HeldBecause::ExternalMissing);
            return;
        }
        if self.ground.networks.contains_key(name) {
            return;
        }
        if let Some(why) = self.subnet_withheld(&network.spec) {
            self.hold(drift, why);
            return;
        }
        let action = Action::CreateNetwork(Box::new(network.spec.clone()));
        let node = self.drafts.add(action, &cause(drift), after);
        self.ground.networks.insert(name.to_owned(), node);
    }

    /// A changed network is made anew. Its containers let go of it first and are replaced; a container that is not
    /// ours keeps it as it is.
    fn renew_network(&mut self, name: &str, drift: &Drift) {
        if self.ground.renewed_networks.contains_key(name) {
            return;
        }
        let Some(observed) = self.input.observed.networks.get(name) else { return };
        let stranger = observed
            .attached
            .iter()
            .find(|id| !self.containers.get(id).is_some_and(|container| self.may_touch(container)));
        if let Some(stranger) = stranger {
            let who = self.containers.get(stranger).map_or(stranger.as_str(), |c| c.name.as_str());
            self.hold(drift, HeldBecause::StrangerAttached { container: who.to_owned() });
            return;
        }
        let declared =
            self.input.desired.networks.values().find(|network| network.spec.name == name);
        if let Some(why) = declared.and_then(|network| self.subnet_withheld(&network.spec)) {
            self.hold(drift, why);
            return;
        }
        let id = observed.id.clone();
        let remove =
            self.drafts.add(Action::RemoveNetwork { id, name: name.to_owned() }, &cause(drift), []);
        self.ground.renewed_networks.insert(name.to_owned(), remove);
        self.create_network(name, drift, Some(remove));
        self.warnings
            .insert(format!("network {name} is made anew: its services are down meanwhile"));
        for container in &self.input.observed.containers {
            if container.spec.endpoints.contains_key(name) && self.may_touch(container) {
                self.let_go(container, name, remove, drift);
            }
        }
    }

    /// Why a network cannot have its addresses: another one of the host has some of them. Found before anything stops.
    ///
    /// The Engine answers `Pool overlaps with other one on this address space` when the network is made; by then the
    /// containers of the older network have been stopped.
    fn subnet_withheld(&self, spec: &NetworkSpec) -> Option<HeldBecause> {
        let asked = spec.subnets();
        let taken = &self.input.observed.subnets_taken;
        let mut pairs = asked.flat_map(|subnet| taken.iter().map(move |taken| (subnet, taken)));
        let (subnet, taken) = pairs.find(|(subnet, taken)| subnets_meet(subnet, &taken.subnet))?;
        Some(HeldBecause::SubnetTaken {
            subnet: subnet.to_owned(),
            network: taken.network.clone(),
            holds: taken.subnet.clone(),
        })
    }

    /// A container leaves a network that is about to be removed; a running one stops first.
    ///
    /// Without its network a running container would go on, unreachable and called healthy: it stops first, and its
    /// successor comes up in the new one.
    fn let_go(
        &mut self,
        container: &crate::model::ObservedContainer,
        network: &str,
        before: Node,
        drift: &Drift,
    ) {
        let handle =
            ContainerHandle::Observed { id: container.id.clone(), name: container.name.clone() };
        let cause = Cause { replica: container.replica.clone(), ..cause(drift) };
        let grace = self.grace_of(container);
        let stopped = container.state.is_up().then(|| {
            self.drafts.add(Action::Stop { container: handle.clone(), grace }, &cause, [])
        });
        let action = Action::Disconnect { container: handle, network: network.to_owned() };
        let gone = self.drafts.add(action, &cause, stopped);
        self.drafts.wait(before, gone);
    }

    /// Plans a volume, unless it would begin empty where the data that it is to hold seems to lie in another one: a changed name
    /// or project makes a new volume, and the service would start without its data and not say so.
    fn create_volume(&mut self, name: &str, drift: &Drift) {
        let declared = self.input.desired.volumes.values().find(|volume| volume.spec.name == name);
        let Some(volume) = declared else { return };
        if volume.external {
            self.hold(drift, HeldBecause::ExternalMissing);
            return;
        }
        if let Some(why) = self.would_start_empty(name) {
            self.hold(drift, why);
            return;
        }
        let action = Action::CreateVolume(Box::new(volume.spec.clone()));
        let node = self.drafts.add(action, &cause(drift), []);
        self.ground.volumes.insert(name.to_owned(), node);
    }

    /// Pulls or builds a service's image. Services that share a reference share the step.
    ///
    /// Before anything stops, whichever service it is for: a registry that does not answer then costs nothing but time.
    fn fetch_image(&mut self, name: &ServiceName, drift: &Drift) {
        let Some(service) = self.service(name) else { return };
        if self.ground.images.contains_key(&service.image) {
            return;
        }
        let action = match &service.image_policy {
            ImagePolicy::Never => {
                self.hold(drift, HeldBecause::ImageWithheld);
                return;
            }
            ImagePolicy::Build(build) => {
                Action::Build { image: service.image.clone(), build: build.clone() }
            }
            ImagePolicy::PullMissing | ImagePolicy::PullAlways | ImagePolicy::PullEvery(_) => {
                let platform = service
                    .replicas
                    .values()
                    .next()
                    .map_or(String::new(), |replica| replica.spec.platform.clone());
                Action::Pull { image: service.image.clone(), platform }
            }
        };
        let node = self.drafts.add(action, &cause(drift), []);
        self.ground.images.insert(service.image.clone(), node);
    }

    /// Whether a service's image cannot be had, so that no container of it can be made.
    ///
    /// The reason is handed on as it is, so that each replica says why and not merely that the image is missing.
    pub(in crate::plan) fn image_withheld(&self, name: &ServiceName) -> Option<HeldBecause> {
        self.held
            .iter()
            .find(|held| matches!(&held.drift.resource, Resource::Service(other) if other == name))
            .map(|held| held.why.clone())
    }

    /// Networks and volumes that were not seen (a look may be partial) are made before a container that needs them: the
    /// Engine would make a volume by itself then, without our labels. Making what is there already changes nothing.
    fn make_sure_of(&mut self, spec: &ContainerSpec, cause: &Cause) {
        let cause = Cause { replica: None, ..cause.clone() };
        for network in self.input.desired.networks.values().filter(|network| !network.external) {
            let name = &network.spec.name;
            let needed = spec.endpoints.contains_key(name) || spec.host.network_mode == *name;
            let known = self.input.observed.networks.contains_key(name);
            if needed && !known && !self.ground.networks.contains_key(name) {
                let action = Action::CreateNetwork(Box::new(network.spec.clone()));
                let node = self.drafts.add(action, &cause, []);
                self.ground.networks.insert(name.clone(), node);
            }
        }
        for volume in self.input.desired.volumes.values().filter(|volume| !volume.external) {
            let name = &volume.spec.name;
            let needed = mounted_volumes(spec).any(|mounted| mounted == name);
            let known = self.input.observed.volumes.contains_key(name);
            if needed && !known && !self.ground.volumes.contains_key(name) {
                let action = Action::CreateVolume(Box::new(volume.spec.clone()));
                let node = self.drafts.add(action, &cause, []);
                self.ground.volumes.insert(name.clone(), node);
            }
        }
    }

    /// Whether a network or volume that a replica needs is not there and will not be.
    ///
    /// Asked before a replica is stopped: one whose successor cannot be made keeps running.
    pub(in crate::plan) fn ground_withheld(
        &self,
        replica: &crate::model::DesiredReplica,
    ) -> Option<HeldBecause> {
        let spec = &replica.spec;
        self.held.iter().filter(|held| held.drift.reason == Reason::Missing).find_map(|held| {
            let needed = match &held.drift.resource {
                Resource::Network(name) => {
                    spec.endpoints.contains_key(name) || spec.host.network_mode == *name
                }
                Resource::Volume(name) => mounted_volumes(spec).any(|volume| volume == name),
                _ => false,
            };
            needed.then(|| HeldBecause::WaitsFor {
                resource: held.drift.resource.clone(),
                why: Some(Box::new(held.why.clone())),
            })
        })
    }

    /// All steps that must be done before a container of this specification can be made.
    pub(in crate::plan) fn ground_for(
        &mut self,
        image: &ImageRef,
        replica: &crate::model::DesiredReplica,
        origin: Option<&Location>,
        cause: &Cause,
    ) -> Vec<Node> {
        self.make_sure_of(&replica.spec, cause);
        let mut nodes: Vec<Node> = self.ground.images.get(image).copied().into_iter().collect();
        let networks = replica.spec.endpoints.keys().chain([&replica.spec.host.network_mode]);
        nodes.extend(networks.filter_map(|name| self.ground.networks.get(name).copied()));
        let mounted = mounted_volumes(&replica.spec);
        nodes.extend(mounted.filter_map(|name| self.ground.volumes.get(name).copied()));
        for digest in &replica.bundles {
            nodes.extend(self.put_files(digest, origin, cause));
        }
        nodes
    }

    /// The steps that put a replica's files from Git back where they lie.
    pub(in crate::plan) fn put_files_back(
        &mut self,
        replica: &crate::model::DesiredReplica,
        origin: Option<&Location>,
        cause: &Cause,
    ) -> Vec<Node> {
        let digests = replica.bundles.iter();
        digests.filter_map(|digest| self.put_files(digest, origin, cause)).collect()
    }

    /// Plans a bundle of files from Git, once for all containers that mount it: its folder is named after its content, so that
    /// it may be put there while containers of the older content still run.
    fn put_files(
        &mut self,
        digest: &Digest,
        origin: Option<&Location>,
        cause: &Cause,
    ) -> Option<Node> {
        if let Some(node) = self.ground.bundles.get(digest) {
            return Some(*node);
        }
        let bundle = self.input.desired.bundles.get(digest)?;
        let cause =
            Cause { replica: None, because: cause.because.clone(), origin: origin.cloned() };
        if bundle.overlay {
            self.warnings.insert(format!(
                "files from Git are laid into {}, where a service may write: of a file that both changed, the service's version is kept beside it as FILE.before-{}",
                bundle.host_path,
                digest.short()
            ));
        }
        let action = Action::PutFiles { digest: digest.clone(), bundle: Arc::clone(bundle) };
        let node = self.drafts.add(action, &cause, []);
        self.ground.bundles.insert(digest.clone(), node);
        Some(node)
    }
}

/// Names of volumes that a specification mounts.
pub(in crate::plan) fn mounted_volumes(spec: &ContainerSpec) -> impl Iterator<Item = &str> {
    spec.host.mountings().filter_map(|mounting| mounting.volume())
}
