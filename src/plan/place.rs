//! Where replicas stand once the steps so far are done, and what waits for them.

use std::time::Duration;

use crate::model::{
    Action, Condition, ContainerHandle, ContainerState, Drift, Ending, HealthCheckState,
    HeldBecause, ObservedContainer, Replica, ServiceName,
};

use super::steps::{Cause, Node};
use super::{Planner, cause};

/// A replica once the steps so far are done.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    /// Its container, under the name or id with which it can be addressed.
    pub(super) handle: ContainerHandle,
    /// The step after which it is made, if this plan makes it.
    pub(super) made: Option<Node>,
    /// The step after which it was started, if this plan starts it.
    pub(super) started: Option<Node>,
    /// The step after which it is known to be up, if this plan waits for that.
    pub(super) healthy: Option<Node>,
    /// The step after which it is known to have completed, if this plan waits for that.
    pub(super) completed: Option<Node>,
    /// What it is now, when the plan does nothing about it.
    pub(super) now: Option<(ContainerState, HealthCheckState)>,
}

impl Planner<'_> {
    /// A replica as it is, untouched by the plan.
    ///
    /// Those that come later in the order of dependencies ask the standing and never the observation: what a plan does
    /// to a replica is known before whoever needs it is planned.
    pub(super) fn stands_as_observed(&mut self, replica: &Replica, container: &ObservedContainer) {
        let standing = Standing {
            handle: handle(container),
            made: None,
            started: None,
            healthy: None,
            completed: None,
            now: Some((container.state, container.health)),
        };
        self.standing.insert(replica.clone(), standing);
    }

    /// The steps that a service's starts wait for, or why they cannot happen.
    ///
    /// All replicas of the other service are waited for, as docker compose does. `required: false` lets a start go on
    /// where the other one cannot (Compose Specification, `depends_on`).
    pub(super) fn dependencies(
        &mut self,
        name: &ServiceName,
        drift: &Drift,
    ) -> Result<Vec<Node>, HeldBecause> {
        let Some(service) = self.service(name) else { return Ok(Vec::new()) };
        let mut nodes = Vec::new();
        for (other, dependency) in &service.depends_on {
            let Some(target) = self.service(other) else { continue };
            for number in target.replicas.keys() {
                let replica = Replica { service: other.clone(), number: *number };
                match self.condition_met(&replica, dependency.condition, drift) {
                    Ok(node) => nodes.extend(node),
                    Err(why) if dependency.required => return Err(why),
                    Err(_) => {}
                }
            }
        }
        Ok(nodes)
    }

    /// The step after which a condition on a replica holds; `None` when it holds already.
    ///
    /// A wait is shared: three services that need one healthy database wait at one step. The database itself may need
    /// no step at all, because it is healthy already, which is the usual pass.
    fn condition_met(
        &mut self,
        replica: &Replica,
        condition: Condition,
        drift: &Drift,
    ) -> Result<Option<Node>, HeldBecause> {
        let Some(standing) = self.standing.get(replica).cloned() else {
            return Err(waits_for(replica, self.stuck.get(replica)));
        };
        let cause = Cause { replica: Some(replica.clone()), ..cause(drift) };
        let limit = self.input.policy.progress_limit;
        match condition {
            Condition::ServiceStarted => self.started(replica, &standing),
            Condition::ServiceHealthy => {
                if standing.healthy.is_some() || is_healthy(&standing) {
                    return Ok(standing.healthy);
                }
                let monitor = Duration::ZERO;
                let container = standing.handle.clone();
                let action =
                    Action::AwaitHealthy { container, monitor, ending: Ending::Fails, limit };
                let node = self.drafts.add(action, &cause, standing.started);
                self.note(replica, |standing| standing.healthy = Some(node));
                Ok(Some(node))
            }
            Condition::ServiceCompletedSuccessfully => {
                if standing.completed.is_some() || is_complete(&standing) {
                    return Ok(standing.completed);
                }
                if let Some(why) = self.stuck.get(replica) {
                    return Err(waits_for(replica, Some(why)));
                }
                let action = Action::AwaitCompletion { container: standing.handle.clone(), limit };
                let node = self.drafts.add(action, &cause, standing.started);
                self.note(replica, |standing| standing.completed = Some(node));
                Ok(Some(node))
            }
        }
    }

    /// The step after which a replica has been started, if one is in this plan. One that is up needs none; one that ended with
    /// code 0 has been started, which is all that `service_started` asks for (Compose Specification, `depends_on`).
    ///
    /// A dependency that is held for a reason of its own holds its dependants for that reason, and they say so: the
    /// first cause is what somebody has to look at.
    fn started(&self, replica: &Replica, standing: &Standing) -> Result<Option<Node>, HeldBecause> {
        let up = standing
            .now
            .is_none_or(|(state, _)| state.is_up() || state == ContainerState::Exited(0));
        match self.stuck.get(replica) {
            Some(why) if !up && standing.started.is_none() => Err(waits_for(replica, Some(why))),
            _ => Ok(standing.started),
        }
    }

    /// Notes what this plan does to a replica, for those that come after it.
    pub(super) fn note(&mut self, replica: &Replica, change: impl FnOnce(&mut Standing)) {
        if let Some(standing) = self.standing.get_mut(replica) {
            change(standing);
        }
    }

    /// The grace period of a container's stop: what the manifest says, else what the container was made with.
    ///
    /// What the container was made with counts first: `stop_grace_period: 2m` was asked for by the version that runs,
    /// and its process may need it, whatever the next version says.
    pub(super) fn grace_of(&self, container: &ObservedContainer) -> Duration {
        let asked = container.replica.as_ref().and_then(|replica| self.service(&replica.service));
        let made_with =
            container.spec.config.stop_timeout.and_then(|seconds| u64::try_from(seconds).ok());
        made_with
            .map(Duration::from_secs)
            .or_else(|| asked.map(|service| service.stop_grace))
            .unwrap_or(DEFAULT_GRACE)
    }
}

/// The Engine's own default between the stop signal and the kill.
const DEFAULT_GRACE: Duration = Duration::from_secs(10);

/// Held, because what it waits for is held, for that one's reason.
fn waits_for(replica: &Replica, why: Option<&HeldBecause>) -> HeldBecause {
    HeldBecause::WaitsForReplica { replica: replica.clone(), why: why.cloned().map(Box::new) }
}

/// Whether a replica is healthy already and this plan leaves it alone. Without a health check, running counts:
/// nothing else can be known of it.
fn is_healthy(standing: &Standing) -> bool {
    standing.started.is_none()
        && matches!(
            standing.now,
            Some((ContainerState::Running, HealthCheckState::Healthy | HealthCheckState::None))
        )
}

/// Whether a job ended with code 0 already, and this plan does not run it again.
fn is_complete(standing: &Standing) -> bool {
    standing.started.is_none() && matches!(standing.now, Some((ContainerState::Exited(0), _)))
}

/// A container as actions address it.
pub(super) fn handle(container: &ObservedContainer) -> ContainerHandle {
    ContainerHandle::Observed { id: container.id.clone(), name: container.name.clone() }
}
