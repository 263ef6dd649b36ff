//! A service that seems renamed goes on under its old name for as long as its successor is held.

use std::collections::BTreeMap;

use crate::model::{HeldBecause, ObservedContainer};

use super::Planner;
use super::ground::mounted_data;

/// Where the data of what is held lies, by volume or folder, and what waits for a word about it.
pub(super) struct Heirs<'a> {
    bundles: &'a str,
    held: BTreeMap<String, HeldBecause>,
}

impl Heirs<'_> {
    /// Why a container that nothing asks for stays: what seems to come in its place may not be made yet, and until then
    /// nobody would serve.
    pub(super) fn of(&self, container: &ObservedContainer) -> Option<HeldBecause> {
        let data = mounted_data(container, self.bundles);
        data.values().find_map(|source| self.held.get(source)).cloned()
    }
}

impl<'a> Planner<'a> {
    /// What is held because its data lies elsewhere on this host. Volumes were judged when the ground was laid; folders
    /// are looked at here, before anything that uses them goes.
    pub(super) fn held_heirs(&self) -> Heirs<'a> {
        let volumes = self.held.iter().filter_map(|held| match &held.why {
            HeldBecause::WouldStartEmpty { lies_in, .. } => {
                let (resource, why) = (held.drift.resource.clone(), held.why.clone());
                let why = Some(Box::new(why));
                Some((lies_in.clone(), HeldBecause::WaitsFor { resource, why }))
            }
            _ => None,
        });
        let folders = self.replicas.keys().filter_map(|replica| {
            let (_, desired) = self.desired(replica)?;
            let why = self.state_withheld(desired)?;
            let HeldBecause::FolderElsewhere { lies_in, .. } = &why else { return None };
            let lies_in = lies_in.clone();
            let (replica, why) = (replica.clone(), Some(Box::new(why)));
            Some((lies_in, HeldBecause::WaitsForReplica { replica, why }))
        });
        let bundles = &self.input.desired.bundles_folder;
        Heirs { bundles, held: volumes.chain(folders).collect() }
    }
}
