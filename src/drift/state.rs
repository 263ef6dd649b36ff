//! What a container does, against what its service should be doing.

use std::time::Duration;

use crate::model::{
    ContainerState, Cure, DesiredService, Health, HealthCheckState, Observed, ObservedContainer,
    Reason,
};

/// The Engine's restarts after which a service counts as failing, as in the contract's "5 failures".
/// The Engine doubles its pause from 100 ms with each restart: the fifth comes three seconds after the first end.
/// A service that only finds its database not listening yet is up by then.
const RESTARTS_UNTIL_DEGRADED: u32 = 5;

/// The difference in state, if there is one, and how the replica is doing.
///
/// The states are those of `State.Status` in inspect (Engine API, `ContainerState`). `removing` and `dead` are what a
/// removal leaves that began and could not end: the name is still taken, and only time or another removal frees it.
pub(super) fn judge(
    service: &DesiredService,
    container: &ObservedContainer,
    observed: &Observed,
) -> (Option<(Reason, Cure)>, Health) {
    match container.state {
        ContainerState::Running => running(service, container),
        ContainerState::Paused => (Some((Reason::Paused, Cure::Revive)), Health::Suspended),
        ContainerState::Restarting => {
            // The Engine's own restart policy is at work, and is not fought.
            let failing = RESTARTS_UNTIL_DEGRADED <= container.restart_count;
            let health = if failing { Health::Degraded } else { Health::Progressing };
            (Some((Reason::Restarting, Cure::None)), health)
        }
        ContainerState::Created if service.is_job => {
            (Some((Reason::NotRun, Cure::Revive)), Health::Progressing)
        }
        ContainerState::Created => (Some((Reason::NotStarted, Cure::Revive)), Health::Progressing),
        ContainerState::Exited(exit_code) => {
            let was_ended = container.stopped_by_hand || went_with_engine(container, observed);
            exited(service, exit_code, was_ended)
        }
        ContainerState::Removing => (Some((Reason::Broken, Cure::None)), Health::Progressing),
        ContainerState::Dead => (Some((Reason::Broken, Cure::Replace)), Health::Degraded),
        ContainerState::Unknown => (None, Health::Unknown),
    }
}

/// A running container is as its health check says; without one, running is all that can be known. An unhealthy one is
/// restarted, which the Engine itself never does: Compose has `restart` for processes that end, and nothing for those that
/// hang.
fn running(
    service: &DesiredService,
    container: &ObservedContainer,
) -> (Option<(Reason, Cure)>, Health) {
    match container.health {
        HealthCheckState::None | HealthCheckState::Healthy => (None, Health::Healthy),
        HealthCheckState::Starting => (None, Health::Progressing),
        HealthCheckState::Unhealthy => {
            let cure = if service.restarts_unhealthy { Cure::Revive } else { Cure::None };
            (Some((Reason::Unhealthy, cure)), Health::Degraded)
        }
    }
}

/// What was stopped is not what ended: only a job is complete whoever ended it.
///
/// An end with code 0 is told from a stop by who asked for it, since `docker stop` of a well-behaved process shows the
/// same code. Brought back in the first case, a migration would run again at each pass; left alone in the second, a
/// service that somebody stopped by hand would stay down and be called well.
fn exited(
    service: &DesiredService,
    exit_code: i64,
    was_ended: bool,
) -> (Option<(Reason, Cure)>, Health) {
    let complete = exit_code == 0 && (service.is_job || (service.may_complete && !was_ended));
    match (complete, service.is_job) {
        (true, _) => (None, Health::Healthy),
        (false, true) => (Some((Reason::JobFailed { exit_code }, Cure::Revive)), Health::Degraded),
        (false, false) => (Some((Reason::Stopped { exit_code }, Cure::Revive)), Health::Degraded),
    }
}

/// Within this time an Engine that goes down ends all of its containers.
/// The daemon's `shutdown-timeout` is 15 s unless `daemon.json` says otherwise, and it waits for the longest grace of
/// its containers when that is longer.
const SHUTDOWN: Duration = Duration::from_secs(30);

/// Whether a container seems to have ended because its Engine went down: before the Engine's last start, and beside the
/// last of the stack's containers that did. The Engine remembers nothing else of its own end.
fn went_with_engine(container: &ObservedContainer, observed: &Observed) -> bool {
    let (Some(started), Some(ended)) = (observed.engine_started_at, container.finished_at) else {
        return false;
    };
    let ends = observed.containers.iter().filter_map(|one| one.finished_at);
    let last = ends.filter(|end| *end < started).max();
    ended < started && last.is_some_and(|last| last.since(ended) <= SHUTDOWN)
}

/// The difference of a running container whose namespaces' owner was started after it.
///
/// A network, PID or IPC namespace ends with the process that made it. When that container is started again, whoever
/// joined the old namespace keeps a dead one: it runs, is healthy by its own account, and reaches nobody. The Engine
/// tells of it only by the instants of both starts. Volumes (`volumes_from`) outlive the process and need no restart.
pub(super) fn left_behind(
    container: &ObservedContainer,
    observed: &Observed,
) -> Option<(Reason, Cure)> {
    if !container.state.is_up() {
        return None;
    }
    let started = container.started_at?;
    let mut parents = container.spec.host.namespaces_of().filter_map(|reference| {
        let all = &observed.containers;
        all.iter().find(|other| other.id.as_str() == reference || other.name == reference)
    });
    let parent = parents.find(|parent| {
        parent.state.is_up() && parent.started_at.is_some_and(|since| started < since)
    })?;
    Some((Reason::LeftBehind { parent: parent.name.clone() }, Cure::Revive))
}
