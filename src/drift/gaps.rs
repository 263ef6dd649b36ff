//! What could not be seen, as questions that the comparison asks before it says "missing".

use std::collections::BTreeSet;

use crate::model::{DesiredReplica, Gap};

/// The parts of a host that a look did not see.
#[derive(Debug, Default)]
pub(super) struct Unseen<'a> {
    gaps: &'a [Gap],
    everything: bool,
    containers: bool,
    networks: bool,
    volumes: bool,
    images: bool,
    /// `container NAME`, `network NAME`, `volume NAME`, `image REFERENCE`.
    single: BTreeSet<&'a str>,
}

impl<'a> Unseen<'a> {
    /// Sorts the gaps of a look.
    pub(super) fn new(gaps: &'a [Gap]) -> Self {
        let mut unseen = Self { gaps, ..Self::default() };
        for gap in gaps {
            match gap.what.as_str() {
                _ if gap.container.is_some() => {}
                "containers" => unseen.containers = true,
                "networks" => unseen.networks = true,
                "volumes" => unseen.volumes = true,
                "images" => unseen.images = true,
                what if is_single(what) => {
                    unseen.single.insert(what);
                }
                _ => unseen.everything = true,
            }
        }
        unseen
    }

    /// Whether a replica may exist although no container of it was seen: everything, its name, or its number is in a
    /// gap, or a container is whose replica is not known.
    pub(super) fn replica(&self, wanted: &DesiredReplica) -> bool {
        let by_name = format!("container {}", wanted.name);
        self.everything
            || self.containers
            || self.single.contains(by_name.as_str())
            || self.gaps.iter().filter(|gap| gap.container.is_some()).any(|gap| {
                gap.what == by_name || gap.replica.as_ref().is_none_or(|one| *one == wanted.replica)
            })
    }

    /// Whether a network was not seen.
    pub(super) fn network(&self, name: &str) -> bool {
        self.kind(self.networks, "network", name)
    }

    /// Whether a volume was not seen.
    pub(super) fn volume(&self, name: &str) -> bool {
        self.kind(self.volumes, "volume", name)
    }

    /// Whether an image was not seen.
    pub(super) fn image(&self, reference: &str) -> bool {
        self.kind(self.images, "image", reference)
    }

    fn kind(&self, all: bool, kind: &str, name: &str) -> bool {
        self.everything || all || self.single.contains(format!("{kind} {name}").as_str())
    }
}

fn is_single(what: &str) -> bool {
    what.split_once(' ').is_some_and(|(kind, name)| {
        matches!(kind, "container" | "network" | "volume" | "image") && !name.contains(' ')
    })
}
