//! Stacks that docker compose made: what may differ in them without being drift, and where their data stays.
//!
//! A relative bind lies in the folder that the containers' `working_dir` label names. State must stay there, or the
//! service would start with an empty folder; files from Git are the same files under another path.

use std::sync::Arc;

use super::look::Look;
use super::sheet::Sheet;
use super::table::Field;
use crate::model::{
    AdoptPolicy, ContainerSpec, Desired, Digest, Observed, ObservedContainer, Ownership, Policy,
    StackName,
};

/// The folder in which an adopted stack keeps its state, when it is not ours: a label on each container that is
/// made for such a stack.
pub const ADOPTED_LABEL: &str = "moorline.adopted";

/// Where docker compose ran: relative paths of the manifest were taken from there.
const WORKING_DIR_LABEL: &str = "com.docker.compose.project.working_dir";

/// Leaves the state of an adopted stack where it is: binds of state, and files laid over it, point to the folder
/// from which docker compose ran. The folder is known from the containers; each new container carries it on as the
/// label [`ADOPTED_LABEL`]. To be called before [`super::detect`], and its result planned from.
pub fn settle(desired: Arc<Desired>, observed: &Observed, policy: &Policy) -> Arc<Desired> {
    let Some(folder) = adopted_folder(observed, policy) else { return desired };
    let stack = desired.stack.clone();
    let mut desired = Arc::unwrap_or_clone(desired);
    for service in desired.services.values_mut() {
        for replica in Arc::make_mut(service).replicas.values_mut() {
            settle_spec(Arc::make_mut(&mut Arc::make_mut(replica).spec), &stack, &folder);
        }
    }
    for bundle in desired.bundles.values_mut() {
        if let Some(moved) = settled_path(&bundle.host_path, &stack, &folder) {
            Arc::make_mut(bundle).host_path = moved;
        }
    }
    Arc::new(desired)
}

/// Where an adopted stack lives: what our own containers remember, else where foreign ones of the project were made.
fn adopted_folder(observed: &Observed, policy: &Policy) -> Option<String> {
    let label = |container: &ObservedContainer| {
        let labels = &container.spec.config.labels;
        match container.ownership {
            Ownership::Ours => labels.get(ADOPTED_LABEL).cloned(),
            Ownership::Foreign if policy.adopt == AdoptPolicy::Adopt => {
                labels.get(WORKING_DIR_LABEL).filter(|folder| folder.starts_with('/')).cloned()
            }
            Ownership::Foreign
            | Ownership::Neighbour(_)
            | Ownership::OtherRepository(_)
            | Ownership::Unrelated => None,
        }
    };
    let ours = observed.containers.iter().filter(|one| one.ownership == Ownership::Ours);
    ours.filter_map(label).min().or_else(|| observed.containers.iter().filter_map(label).min())
}

/// Points relative binds of a stack that is taken over at the folder in which docker compose ran: the data is there, and stays
/// there. A label remembers the folder, so that later passes ask for the same.
fn settle_spec(spec: &mut ContainerSpec, stack: &StackName, folder: &str) {
    let host = spec.host_mut();
    for bind in &mut host.binds {
        if let Some((source, rest)) = bind.split_once(':')
            && let Some(moved) = settled_path(source, stack, folder)
        {
            *bind = format!("{moved}:{rest}");
        }
    }
    for mount in &mut host.mounts {
        if let Some(moved) = settled_path(&mount.source, stack, folder) {
            mount.source = moved;
        }
    }
    spec.config_mut().labels.insert(ADOPTED_LABEL.to_owned(), folder.to_owned());
}

/// Where a path below the stack's state folder lay for docker compose; `None` for all other paths.
fn settled_path(path: &str, stack: &StackName, folder: &str) -> Option<String> {
    let (_, below) = format!("{path}/").split_once(&format!("/state/{stack}/")).map(own)?;
    Some(original(folder, below.trim_end_matches('/')))
}

/// Both halves of a split, as texts of their own.
fn own((a, b): (&str, &str)) -> (String, String) {
    (a.to_owned(), b.to_owned())
}

/// The path of a relative bind under a project folder; `_parent` stands for a climb out of it.
fn original(folder: &str, below: &str) -> String {
    let mut base: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in below.split('/').filter(|part| !part.is_empty()) {
        if part == crate::model::PARENT_FOLDER {
            base.pop();
        } else {
            base.push(part);
        }
    }
    format!("/{}", base.join("/"))
}

/// Takes out of both sheets what only tells that docker compose made the container: our labels, and files from Git
/// under the path where docker compose found them. Their content is compared where the look told it.
pub(super) fn reconcile(
    look: &Look<'_>,
    asked: &mut Sheet,
    seen: &mut Sheet,
    container: &ObservedContainer,
) {
    let ours: Vec<String> = asked
        .0
        .keys()
        .filter(|(field, name)| *field == Field::Labels && name.starts_with("moorline."))
        .map(|(_, name)| name.clone())
        .collect();
    for name in ours {
        asked.remove(Field::Labels, &name);
    }
    let Some(folder) = container.spec.config.labels.get(WORKING_DIR_LABEL) else { return };
    let targets: Vec<String> = asked
        .0
        .keys()
        .filter(|(field, _)| *field == Field::Mounts)
        .map(|(_, target)| target.clone())
        .collect();
    for target in targets {
        let (Some(wanted), Some(there)) =
            (asked.text(Field::Mounts, &target), seen.text(Field::Mounts, &target))
        else {
            continue;
        };
        let other_bytes = container.files.get(&target).is_some_and(|digest| {
            bundled_file(look, wanted).is_some_and(|bytes| Digest::of(bytes) != *digest)
        });
        if !other_bytes && is_same_file(look, wanted, there, folder) {
            asked.remove(Field::Mounts, &target);
            seen.remove(Field::Mounts, &target);
        }
    }
}

/// The content of the single file that a canonical mount text names.
fn bundled_file<'a>(look: &Look<'a>, wanted: &str) -> Option<&'a [u8]> {
    let (path, _) = wanted.strip_prefix("bind ")?.rsplit_once(' ')?;
    look.desired.bundles.values().find_map(|bundle| {
        let below = path.strip_prefix(&bundle.host_path)?.strip_prefix('/')?;
        bundle.files.get(below).map(|file| &*file.bytes)
    })
}

/// Whether a bundle's path (`bind DATA/files/STACK/DIGEST/PATH ro`) is the file that docker compose mounted from its
/// folder. Docker compose mounts a folder as it is told, so both may differ in "ro" only where the manifest says so.
fn is_same_file(look: &Look<'_>, wanted: &str, there: &str, folder: &str) -> bool {
    let parts = |text: &str| -> Option<(String, String)> {
        let (path, mode) = text.strip_prefix("bind ")?.rsplit_once(' ')?;
        Some((path.to_owned(), mode.to_owned()))
    };
    let (Some((wanted, wanted_mode)), Some((there, mode))) = (parts(wanted), parts(there)) else {
        return false;
    };
    let marker = format!("/files/{}/", look.desired.stack);
    let Some((_, addressed)) = wanted.split_once(&marker) else { return false };
    let below = addressed.split_once('/').map_or("", |(_, below)| below);
    wanted_mode == mode && original(folder, below) == there
}
