//! Stacks and services that seem renamed or moved: gone in one place of a commit and new in another, with the same image
//! and data at the same place in the container.
//!
//! What left and what came are only brought together here. Whether anything would really start empty is seen where the
//! host is seen, by the plan; until then, and while it is held there, what left stays as it is.

use std::collections::BTreeSet;

use super::{Commit, LoadedStack};
use crate::data::record::Kept;
use crate::model::{LastState, Predecessor, ServiceName, ServiceState, image_repository};
use crate::report::Target;

/// Notes which target of the commit seems to be which that left. Called once it is known what is retired.
pub(super) fn find(commit: &mut Commit, kept: &[Kept], wanted: &BTreeSet<Target>) {
    commit.before.clear();
    commit.heirs.clear();
    commit.taken_over.clear();
    for target in wanted {
        let Some(stack) = commit.stacks.get(&target.stack).cloned() else { continue };
        if stack.spreads {
            // Placement keeps what has data where it is.
            continue;
        }
        let own = kept.iter().find(|kept| kept.target == *target);
        let own = own.map(|kept| kept.state.clone()).unwrap_or_default();
        let newcomer = Newcomer { target, stack: &stack, own: &own };
        for other in kept.iter().filter(|other| other.target != *target) {
            newcomer.meet(commit, other, wanted);
        }
    }
}

/// A target of the commit, and what is known of its data.
struct Newcomer<'a> {
    target: &'a Target,
    stack: &'a LoadedStack,
    own: &'a LastState,
}

impl Newcomer<'_> {
    fn meet(&self, commit: &mut Commit, other: &Kept, wanted: &BTreeSet<Target>) {
        let Some(project) = self.stack.project_name() else { return };
        let is_here = other.target.host == self.target.host;
        let old_project = other.project.as_ref().unwrap_or(&other.target.stack);
        let is_gone = !commit.stacks.contains_key(&other.target.stack);
        let left = !wanted.contains(&other.target);
        let predecessor = |state: LastState, lives: bool| Predecessor {
            stack: other.target.stack.clone(),
            project: old_project.clone(),
            elsewhere: (!is_here).then(|| other.target.host.clone()),
            lives,
            state,
        };
        let place = (self.target.stack.clone(), self.target.host.clone());
        let old = (other.target.stack.clone(), other.target.host.clone());
        if is_here && is_gone && left && old_project == project {
            // The same project under another stack's name: taken over as it stands.
            if commit.retired.remove(&old).is_some() {
                commit.taken_over.entry(place.clone()).or_default().push(other.target.clone());
                let one = predecessor(other.state.clone(), false);
                commit.before.entry(place).or_default().push(one);
            }
            return;
        }
        if !left {
            let gone = left_behind(commit, other);
            if is_here && self.comes_after(&gone) {
                commit.before.entry(place).or_default().push(predecessor(gone, true));
            }
            return;
        }
        let is_same_stack = other.target.stack == self.target.stack;
        let fits = match (is_here, is_same_stack) {
            (true, _) | (false, true) => self.comes_after(&other.state),
            (false, false) => is_gone && self.is_all_of(&other.state),
        };
        if fits && commit.retired.contains_key(&old) {
            commit.heirs.entry(old).or_default().insert(self.target.clone());
            commit.before.entry(place).or_default().push(predecessor(other.state.clone(), false));
        }
    }

    /// Whether a service that was never seen here has the image, and data at the same place, of one of these.
    fn comes_after(&self, state: &LastState) -> bool {
        state.services.values().any(|service| self.has_alike(service))
    }

    /// The same for each of them that had data.
    fn is_all_of(&self, state: &LastState) -> bool {
        let mut with_data = state.services.values().filter(|service| !service.mounts.is_empty());
        !state.is_empty() && with_data.all(|service| self.has_alike(service))
    }

    fn has_alike(&self, old: &ServiceState) -> bool {
        let services = self.stack.project.iter().flat_map(|project| &project.services);
        services.into_iter().any(|(name, service)| {
            let known = self.own.services.get(name);
            image_repository(&service.image) == image_repository(&old.image)
                && service.volumes.iter().any(|volume| {
                    let target = volume.target.trim_end_matches('/');
                    let is_known = known.is_some_and(|known| known.mounts.contains_key(target));
                    !is_known && old.mounts.contains_key(target)
                })
        })
    }
}

/// What a stack that lives on had of services that the commit does not give it any more.
fn left_behind(commit: &Commit, other: &Kept) -> LastState {
    let project = commit.stacks.get(&other.target.stack).and_then(|it| it.project.as_ref());
    let Some(project) = project else { return LastState::default() };
    let is_gone = |name: &ServiceName| {
        !project.services.contains_key(name) && !project.disabled.contains_key(name)
    };
    let services = other.state.services.iter();
    let gone = services.filter(|(name, service)| is_gone(name) && !service.left);
    let services = gone.map(|(name, service)| (name.clone(), service.clone())).collect();
    LastState { folder: other.state.folder.clone(), services }
}
