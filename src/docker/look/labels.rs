//! Labels by which containers, networks and volumes are told apart.

use std::collections::BTreeMap;

use super::Scope;
use crate::model::{Digest, Ownership};

pub(in crate::docker) const COMPOSE_HASH: &str = "com.docker.compose.config-hash";
pub(in crate::docker) const PROJECT: &str = "com.docker.compose.project";
pub(in crate::docker) const SERVICE: &str = "com.docker.compose.service";
pub(in crate::docker) const NUMBER: &str = "com.docker.compose.container-number";
pub(in crate::docker) const ONE_OFF: &str = "com.docker.compose.oneoff";
pub(in crate::docker) const STACK: &str = "moorline.stack";
pub(in crate::docker) const REPOSITORY: &str = "moorline.repository";
pub(in crate::docker) const REVISION: &str = "moorline.revision";
pub(in crate::docker) const SPEC: &str = "moorline.spec";
pub(in crate::docker) const BUILD: &str = "moorline.build";
pub(in crate::docker) const HELPER: &str = "moorline.helper";

/// Containers that carry files are called so, and a digest of what they carry.
pub(in crate::docker) const HELPER_NAME: &str = "moorline-files-";

/// What a container that carries files says of itself: who made it, and a digest keyed by the Engine. A label alone can
/// come from anybody's image, and what carries it would be removed.
pub(in crate::docker) fn helper_mark(engine: &str, name: &str, owner: &str) -> String {
    let digest = Digest::of(format!("{HELPER}\n{engine}\n{name}\n{owner}").as_bytes());
    format!("{owner}#{}", digest.as_str())
}

/// Who made a container of this name to carry files, if its mark is right.
pub(super) fn helper_owner<'m>(mark: &'m str, engine: &str, name: &str) -> Option<&'m str> {
    let (owner, _) = mark.rsplit_once('#')?;
    let right = name.starts_with(HELPER_NAME) && helper_mark(engine, name, owner) == mark;
    right.then_some(owner)
}

/// Whose a resource with these labels is, for one who asks about a stack.
pub(super) fn ownership(labels: &BTreeMap<String, String>, scope: &Scope) -> Ownership {
    let says = |label: &str, name: &str| labels.get(label).is_some_and(|said| said == name);
    let is_stack = says(STACK, scope.stack.as_str());
    match (labels.get(REPOSITORY), labels.get(STACK)) {
        (Some(repository), Some(_)) if is_stack => {
            if repository == scope.repository.as_str() {
                Ownership::Ours
            } else {
                Ownership::OtherRepository(repository.clone())
            }
        }
        (Some(repository), Some(stack)) if repository == scope.repository.as_str() => {
            let is_gone = !scope.living.is_empty() && !scope.living.contains(stack.as_str());
            if is_gone && says(PROJECT, scope.project.as_str()) {
                // Another stack had the project, and the commit does not know it any more: it got another name.
                return Ownership::Ours;
            }
            Ownership::Neighbour(stack.clone())
        }
        // Another repository's stack may well have this project's name.
        (Some(_), Some(_)) => Ownership::Unrelated,
        _ if is_stack || says(PROJECT, scope.project.as_str()) => Ownership::Foreign,
        _ => Ownership::Unrelated,
    }
}

/// Whether something of this ownership concerns a stack by its labels, not only by its name.
pub(super) fn is_of_stack(ownership: &Ownership) -> bool {
    match ownership {
        Ownership::Ours | Ownership::OtherRepository(_) | Ownership::Foreign => true,
        Ownership::Neighbour(_) | Ownership::Unrelated => false,
    }
}
