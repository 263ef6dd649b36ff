//! What a container does, against what its service should be doing.

use crate::model::{
    ContainerState, Cure, DesiredService, Health, HealthCheckState, ObservedContainer, Reason,
};

/// The Engine's restarts after which a service counts as failing, as in the contract's "5 failures".
const RESTARTS_UNTIL_DEGRADED: u32 = 5;

/// The difference in state, if there is one, and how the replica is doing.
pub(super) fn judge(
    service: &DesiredService,
    container: &ObservedContainer,
) -> (Option<(Reason, Cure)>, Health) {
    match container.state {
        ContainerState::Running => running(container),
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
        ContainerState::Exited(exit_code) => exited(service, exit_code),
        ContainerState::Removing => (Some((Reason::Broken, Cure::None)), Health::Progressing),
        ContainerState::Dead => (Some((Reason::Broken, Cure::Replace)), Health::Degraded),
        ContainerState::Unknown => (None, Health::Unknown),
    }
}

fn running(container: &ObservedContainer) -> (Option<(Reason, Cure)>, Health) {
    match container.health {
        HealthCheckState::None | HealthCheckState::Healthy => (None, Health::Healthy),
        HealthCheckState::Starting => (None, Health::Progressing),
        HealthCheckState::Unhealthy => (Some((Reason::Unhealthy, Cure::Revive)), Health::Degraded),
    }
}

fn exited(service: &DesiredService, exit_code: i64) -> (Option<(Reason, Cure)>, Health) {
    let complete = exit_code == 0 && (service.may_complete || service.is_job);
    match (complete, service.is_job) {
        (true, _) => (None, Health::Healthy),
        (false, true) => (Some((Reason::JobFailed { exit_code }, Cure::Revive)), Health::Degraded),
        (false, false) => (Some((Reason::Stopped { exit_code }, Cure::Revive)), Health::Degraded),
    }
}
