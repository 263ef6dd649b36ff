//! Files from Git that nobody mounts any more go with the last container that did.
//!
//! Which bundles a host holds is not looked at: the containers tell, by what they mount. One that was orphaned otherwise
//! (its container was removed by hand) goes when the stack leaves.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Action, ContainerHandle, ContainerId, ContainerSpec};

use crate::plan::Planner;
use crate::plan::steps::Node;

/// A bundle's folder, as containers mount it.
#[derive(Debug, Default)]
struct Use {
    removals: BTreeSet<Node>,
    written: bool,
}

impl Planner<'_> {
    /// Plans the removal of bundles whose last container this plan removes.
    ///
    /// A bundle's folder is named by its content, so the next version lies beside this one. It may go when the last
    /// container that mounts it is removed, and not before: the kernel would keep the files open, but a restart would
    /// not find them.
    pub(in crate::plan) fn remove_files(&mut self) {
        let root = self.input.desired.bundles_folder.clone();
        let removals = self.removals();
        let mut going: BTreeMap<String, Use> = BTreeMap::new();
        let mut staying: BTreeSet<String> = BTreeSet::new();
        for container in &self.input.observed.containers {
            let removal = removals.get(&container.id);
            for (folder, written) in bundles(&container.spec, &root) {
                match removal {
                    Some(node) => {
                        let one = going.entry(folder).or_default();
                        one.removals.insert(*node);
                        one.written |= written;
                    }
                    None => drop(staying.insert(folder)),
                }
            }
        }
        for service in self.input.desired.services.values() {
            for replica in service.replicas.values() {
                staying.extend(bundles(&replica.spec, &root).into_keys());
            }
        }
        going.retain(|folder, _| !staying.contains(folder));
        let leaves = self.input.desired.services.is_empty() && staying.is_empty();
        if leaves && !going.is_empty() && going.values().all(|one| !one.written) {
            let all = going.into_values().flat_map(|one| one.removals).collect();
            going = BTreeMap::from([(root, Use { removals: all, written: false })]);
        }
        for (folder, Use { removals, written }) in going {
            let first = removals.first().and_then(|node| self.drafts.cause(*node)).cloned();
            let Some(cause) = first else { continue };
            if written {
                self.warnings.insert(format!(
                    "a service may have written to files from Git: if it did, they stay in {folder}"
                ));
            }
            let cause = crate::plan::Cause { replica: None, ..cause };
            self.drafts.add(Action::RemoveFiles { folder, written }, &cause, removals);
        }
    }

    /// The step that removes each observed container, of those that are removed.
    ///
    /// As it was planned, not as it was found: what is held stays, and keeps its files.
    fn removals(&self) -> BTreeMap<ContainerId, Node> {
        let removal = |(node, action): (Node, &Action)| match action {
            Action::Remove { container: ContainerHandle::Observed { id, .. }, .. } => {
                Some((id.clone(), node))
            }
            _ => None,
        };
        self.drafts.actions().filter_map(removal).collect()
    }
}

/// Folders of bundles that a container mounts, and whether it may write there.
fn bundles(spec: &ContainerSpec, root: &str) -> BTreeMap<String, bool> {
    let mut found = BTreeMap::new();
    for mounting in spec.host.mountings() {
        let written = !mounting.read_only;
        let below = mounting.source.strip_prefix(root).and_then(|rest| rest.strip_prefix('/'));
        let name = below.and_then(|rest| rest.split('/').next()).filter(|name| !name.is_empty());
        if let Some(name) = name.filter(|_| !root.is_empty()) {
            *found.entry(format!("{root}/{name}")).or_insert(false) |= written;
        }
    }
    found
}
