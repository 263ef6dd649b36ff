//! What goes of the ground: networks and volumes that nobody asks for any more.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::model::{
    Action, ContainerHandle, Cure, Drift, HeldBecause, ObservedContainer, Reason, Resource,
};
use crate::plan::steps::Node;
use crate::plan::{Planner, cause};

impl Planner<'_> {
    /// Networks and volumes that nobody asks for, once the containers that use them are gone.
    ///
    /// Whatever the manifest declares and no service uses stays: only what is declared nowhere is here.
    pub(in crate::plan) fn remove_networks_and_volumes(&mut self) {
        let leaving: Vec<&Drift> = self
            .others
            .iter()
            .copied()
            .filter(|drift| drift.reason == Reason::Orphaned && drift.cure == Cure::Remove)
            .collect();
        for drift in leaving {
            match &drift.resource {
                Resource::Network(name) => self.remove_network(name, drift),
                Resource::Volume(name) => self.remove_volume(name, drift),
                _ => {}
            }
        }
    }

    /// Plans the removal of a network that nothing asks for any more, after the containers in it that this plan removes. While
    /// anything else is in it the Engine would refuse, so it is held; so it is without `prune.networks`.
    fn remove_network(&mut self, name: &str, drift: &Drift) {
        let Some(network) = self.input.observed.networks.get(name) else { return };
        if !self.input.policy.prune.networks {
            self.hold(drift, HeldBecause::PruneNetworksOff);
            return;
        }
        let users = self.containers_using(|container| container.spec.endpoints.contains_key(name));
        let known: BTreeSet<_> = self.containers.keys().copied().collect();
        let stranger = network.attached.iter().find(|id| !known.contains(id));
        let removals = self.removals_of(&users);
        if stranger.is_some() || removals.len() < users.len() {
            self.hold(drift, HeldBecause::StillAttached);
            return;
        }
        let action = Action::RemoveNetwork { id: network.id.clone(), name: name.to_owned() };
        self.drafts.add(action, &cause(drift), removals);
    }

    /// Plans the removal of a volume with its data, as the very last step, where policy says `prune.volumes`. Every doubt holds
    /// it: a stack that cannot be read might ask for it, and a container that stays might use it.
    fn remove_volume(&mut self, name: &str, drift: &Drift) {
        if !self.input.policy.prune.volumes {
            self.hold(drift, HeldBecause::PruneVolumesOff);
            return;
        }
        let neighbours = &self.input.desired.neighbours;
        if let Some(stack) = neighbours.unreadable() {
            self.hold(drift, HeldBecause::StackUnreadable { stack: stack.clone() });
            return;
        }
        self.warnings.insert(self.what_is_lost(name));
        if let Some(other) = self.input.unsettled {
            self.hold(drift, HeldBecause::NotAllInSync { stack: other.clone() });
            return;
        }
        let users = self.containers_using(|container| {
            container.mounts.values().any(|mount| mount.kind == "volume" && mount.name == name)
        });
        let removals = self.removals_of(&users);
        if removals.len() < users.len() {
            self.hold(drift, HeldBecause::StillUsed);
            return;
        }
        let action = Action::RemoveVolume { name: name.to_owned() };
        let node = self.drafts.add(action, &cause(drift), removals);
        self.last.insert(node);
    }

    /// What is lost with a volume: `volume shop_data is removed with its data: 12.3 MB, 41 days old`.
    ///
    /// Said before it happens, in pull requests too: nobody reads a volume's name and knows what is in it, but
    /// everybody knows what 12 GB and two years mean.
    fn what_is_lost(&self, name: &str) -> String {
        let volume = self.input.observed.volumes.get(name);
        let size = volume.and_then(|volume| volume.size);
        let size = size.map_or_else(|| "of unknown size".to_owned(), bytes_text);
        let made = volume.and_then(|volume| volume.created_at);
        let age = made.map(|made| self.input.now.since(made));
        let age = age.map_or_else(|| "of unknown age".to_owned(), age_text);
        format!("volume {name} is removed with its data: {size}, {age}")
    }

    /// Ids of the containers that use something, whoever they belong to.
    ///
    /// Whoever they belong to: a backup that somebody runs by hand on our volume uses it as well.
    fn containers_using(&self, uses: impl Fn(&ObservedContainer) -> bool) -> Vec<String> {
        let all = &self.input.observed.containers;
        all.iter().filter(|c| uses(c)).map(|c| c.id.as_str().to_owned()).collect()
    }

    /// Steps of this plan that remove these containers.
    ///
    /// The plan is asked, and not the drifts: a container that was to go may be held, and then what it uses must stay.
    fn removals_of(&self, ids: &[String]) -> Vec<Node> {
        self.drafts
            .actions()
            .filter(|(_, action)| match action {
                Action::Remove { container: ContainerHandle::Observed { id, .. }, .. } => {
                    ids.iter().any(|wanted| wanted == id.as_str())
                }
                _ => false,
            })
            .map(|(node, _)| node)
            .collect()
    }
}

/// Bytes as people say them: three digits and a unit of a thousand.
fn bytes_text(bytes: u64) -> String {
    // Decimal units, as `docker system df` prints them.
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} bytes");
    }
    let (mut tenths, mut unit) = (bytes.saturating_mul(10) / 1000, 0);
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    if tenths >= 1000 {
        format!("{} {name}", tenths / 10)
    } else {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    }
}

/// An age in days: nobody decides by the hour about data.
fn age_text(age: Duration) -> String {
    match age.as_secs() / 86_400 {
        0 => "less than a day old".to_owned(),
        1 => "a day old".to_owned(),
        days => format!("{days} days old"),
    }
}
