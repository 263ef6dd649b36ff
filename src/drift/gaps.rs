//! What could not be seen, as questions that the comparison asks before it says "missing".

use std::collections::BTreeSet;

use crate::model::{DesiredReplica, Gap, Unseen};

/// The parts of a host that a look did not see.
#[derive(Debug, Default)]
pub(super) struct Gaps<'a> {
    all: &'a [Gap],
    everything: bool,
    /// What was not seen as a whole or by itself; a container whose id is known is only in `all`.
    parts: BTreeSet<&'a Unseen>,
}

impl<'a> Gaps<'a> {
    /// Sorts the gaps of a look.
    pub(super) fn new(gaps: &'a [Gap]) -> Self {
        let unknown = || gaps.iter().filter(|gap| gap.container.is_none()).map(|gap| &gap.what);
        Self {
            all: gaps,
            everything: unknown().any(|what| matches!(what, Unseen::Host(_))),
            parts: unknown().collect(),
        }
    }

    /// Whether a replica may exist although no container of it was seen: everything, its name, or its number is in a
    /// gap, or a container is whose replica is not known.
    pub(super) fn replica(&self, wanted: &DesiredReplica) -> bool {
        let by_name = Unseen::Container(wanted.name.clone());
        self.hides(&Unseen::Containers, &by_name)
            || self.all.iter().filter(|gap| gap.container.is_some()).any(|gap| {
                gap.what == by_name || gap.replica.as_ref().is_none_or(|one| *one == wanted.replica)
            })
    }

    /// Whether a network was not seen.
    pub(super) fn network(&self, name: &str) -> bool {
        self.hides(&Unseen::Networks, &Unseen::Network(name.to_owned()))
    }

    /// Whether a volume was not seen.
    pub(super) fn volume(&self, name: &str) -> bool {
        self.hides(&Unseen::Volumes, &Unseen::Volume(name.to_owned()))
    }

    /// Whether an image was not seen.
    pub(super) fn image(&self, reference: &str) -> bool {
        self.hides(&Unseen::Images, &Unseen::Image(reference.to_owned()))
    }

    /// Whether something of a kind may be there and was not seen: nothing was, its kind was not, or it itself was not.
    fn hides(&self, kind: &Unseen, one: &Unseen) -> bool {
        self.everything || self.parts.contains(kind) || self.parts.contains(one)
    }
}
