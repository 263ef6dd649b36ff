//! Containers that live in another one's namespaces, and those that lost an interface.
//!
//! A network, PID or IPC namespace ends with the process that made it. When that container is started again, whoever
//! joined the old namespace keeps a dead one: it runs, is healthy by its own account, and reaches nobody. The Engine
//! tells of it only by the instants of both starts. Volumes (`volumes_from`) outlive the process and need no restart.

use std::collections::BTreeMap;

use super::look::Look;
use crate::model::{Cure, Endpoint, ObservedContainer, Reason, Value};

/// The difference of a running container whose namespaces' owner was started after it.
pub(super) fn left_behind(
    look: &Look<'_>,
    container: &ObservedContainer,
) -> Option<(Reason, Cure)> {
    if !container.state.is_up() {
        return None;
    }
    let started = container.started_at?;
    let mut parents = container.spec.host.namespaces_of().filter_map(|reference| {
        let all = &look.observed.containers;
        all.iter().find(|other| other.id.as_str() == reference || other.name == reference)
    });
    let parent = parents.find(|parent| {
        parent.state.is_up() && parent.started_at.is_some_and(|since| started < since)
    })?;
    Some((Reason::LeftBehind { parent: parent.name.clone() }, Cure::Revive))
}

/// Networks that a running container is to be in, and of which the Engine says that it has no interface there.
pub(super) fn lost_interfaces(
    container: &ObservedContainer,
    asked: &BTreeMap<String, Box<Endpoint>>,
) -> Vec<Reason> {
    let lost = asked.keys().filter(|network| container.lost_interfaces.contains(*network));
    lost.map(|network| Reason::EndpointChanged {
        network: network.clone(),
        field: "interface".to_owned(),
        desired: Some(Value("attached".to_owned())),
        observed: None,
    })
    .collect()
}
