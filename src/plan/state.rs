//! Nothing of value is replaced by something empty: a volume is not made while what it is to hold lies in another one.

use crate::model::{ContainerSpec, HeldBecause, ObservedContainer, Ownership, image_repository};

use super::Planner;

/// The label under which Compose notes a volume's key in the manifest.
const VOLUME_KEY: &str = "com.docker.compose.volume";

impl Planner<'_> {
    /// Why a volume that is missing is not made: a container of its service, or one that went with the same image, has
    /// another volume where this one would be; or one that nobody names any more was made under the same key. That is
    /// how a renamed project, volume, service or stack looks.
    pub(super) fn would_start_empty(&self, name: &str) -> Option<HeldBecause> {
        let desired = self.input.desired;
        let (key, _) = desired.volumes.iter().find(|(_, volume)| volume.spec.name == name)?;
        if desired.start_empty.contains(key) {
            return None;
        }
        let lies_in = self.mounted_before(name).or_else(|| self.left_under(key))?;
        Some(HeldBecause::WouldStartEmpty { key: key.clone(), lies_in })
    }

    /// The volume that a container has where this one would be mounted.
    fn mounted_before(&self, name: &str) -> Option<String> {
        let desired = self.input.desired;
        let mut found = None;
        for (service, wanted) in &desired.services {
            for replica in wanted.replicas.values() {
                let Some(target) = target_of(&replica.spec, name) else { continue };
                let mut own = self.input.observed.containers.iter().filter(|container| {
                    let same = container.replica.as_ref().map(|it| &it.service);
                    let is_gone = same.is_none_or(|it| !desired.services.contains_key(it));
                    let image = container.spec.config.image.as_str();
                    self.may_touch(container)
                        && (same == Some(service)
                            || (is_gone
                                && image_repository(image)
                                    == image_repository(wanted.image.as_str())))
                });
                let volume = own.find_map(|container| self.other_volume(container, target, name));
                found = found.or(volume);
            }
        }
        found
    }

    /// What a container has mounted at a place, when that is another volume, and one that the stack asks for no more.
    fn other_volume(
        &self,
        container: &ObservedContainer,
        target: &str,
        name: &str,
    ) -> Option<String> {
        let mount = container.mounts.get(target).filter(|mount| mount.kind == "volume")?;
        let still_asked =
            self.input.desired.volumes.values().any(|volume| volume.spec.name == mount.name);
        (mount.name != name && !still_asked && !mount.name.is_empty()).then(|| mount.name.clone())
    }

    /// A volume of this stack that nobody names any more and that was made under the same key.
    fn left_under(&self, key: &str) -> Option<String> {
        let desired = self.input.desired;
        let mut left = self.input.observed.volumes.iter().filter(|(name, volume)| {
            volume.ownership == Ownership::Ours
                && volume.spec.labels.get(VOLUME_KEY).is_some_and(|made| made == key)
                && !desired.volumes.values().any(|asked| asked.spec.name == **name)
        });
        left.next().map(|(name, _)| name.clone())
    }
}

/// Where a specification mounts a volume.
fn target_of<'a>(spec: &'a ContainerSpec, name: &str) -> Option<&'a str> {
    let mut all = spec.host.mountings();
    all.find(|mounting| mounting.volume() == Some(name)).map(|mounting| mounting.target)
}
