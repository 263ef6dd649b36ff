//! Whether a container did not come up, and how that shows.

use crate::model::{
    ContainerState, Cure, DesiredReplica, DesiredService, Drift, HealthCheckState,
    ObservedContainer, Reason, Replica, Resource,
};

/// Words of an Engine that tell of its host, not of what was to be started. It has no code for them.
const TROUBLES: [&str; 14] = [
    "no space left on device",
    "disk quota exceeded",
    "read-only file system",
    "input/output error",
    "cannot allocate memory",
    "too many open files",
    "resource temporarily unavailable",
    "device or resource busy",
    "deadline exceeded",
    "timed out",
    "timeout",
    "connection refused",
    "transport is closing",
    "already in use",
];

/// Whether a container is down because of its host: that says nothing of the commit, and is tried again.
///
/// These words are compared only here and only to be patient: taken wrongly, an update waits instead of being taken
/// back, and says why.
pub(super) fn is_in_trouble(container: &ObservedContainer) -> bool {
    let error = container.error.to_ascii_lowercase();
    !container.state.is_up() && TROUBLES.iter().any(|words| error.contains(words))
}

/// Whether a container did not come up: ended with a failure, refused to start, keeps restarting or is unhealthy.
pub(super) fn has_failed(container: &ObservedContainer) -> bool {
    if is_in_trouble(container) {
        return false;
    }
    match container.state {
        // One that was unhealthy and is stopped by us may well end with 0.
        ContainerState::Exited(code) => {
            code != 0
                || !container.error.is_empty()
                || container.health == HealthCheckState::Unhealthy
        }
        ContainerState::Created => !container.error.is_empty(),
        ContainerState::Restarting | ContainerState::Dead => true,
        ContainerState::Running => container.health == HealthCheckState::Unhealthy,
        ContainerState::Paused | ContainerState::Removing | ContainerState::Unknown => false,
    }
}

/// Why a successor is taken back. The code of one that we stopped ourselves is ours, and tells nothing.
pub(super) fn how_it_failed(failed: &ObservedContainer) -> Reason {
    match (failed.state, failed.health) {
        (ContainerState::Exited(_), HealthCheckState::Unhealthy | HealthCheckState::Starting) => {
            Reason::Unhealthy
        }
        (ContainerState::Exited(_), _) if failed.stopped_by_hand && failed.restart_count > 0 => {
            Reason::Restarting
        }
        (ContainerState::Exited(exit_code), _) => Reason::Stopped { exit_code },
        (ContainerState::Created, _) => Reason::NotStarted,
        (ContainerState::Restarting, _) => Reason::Restarting,
        _ => Reason::Unhealthy,
    }
}

/// The predecessor to go back to: a running one, else the youngest.
pub(super) fn best<'o>(olds: &[&'o ObservedContainer]) -> Option<&'o ObservedContainer> {
    olds.iter().copied().max_by_key(|old| (old.state.is_up(), old.started_at, old.created_at))
}

/// Whether a difference is one of this replica.
pub(super) fn is_about(drift: &Drift, of: &Replica) -> bool {
    matches!(&drift.resource, Resource::Replica { replica, .. } if replica == of)
}

/// What is wrong with a replica's container, as a difference: the reason of what is done about it, or held.
pub(super) fn replica_drift(
    service: &DesiredService,
    desired: &DesiredReplica,
    container: &ObservedContainer,
    reason: Reason,
) -> Drift {
    let replica = desired.replica.clone();
    let resource = Resource::Replica { replica, container: Some(container.id.clone()) };
    let cure = if reason == Reason::Superseded { Cure::Remove } else { Cure::Replace };
    Drift { resource, reason, cure, origin: service.origin.clone() }
}
