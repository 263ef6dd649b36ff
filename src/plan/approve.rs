//! Which drifts may be acted on, and why the others are held.

use crate::model::{
    AdoptPolicy, Cure, Drift, DriftPolicy, ObservedContainer, Ownership, Reason, Replica, Resource,
};

use super::{Brake, Phase, Planner};

impl<'a> Planner<'a> {
    /// Sorts all drifts into those to act on and those to hold.
    pub(super) fn admit_drifts(&mut self) {
        for drift in &self.input.findings.drifts {
            match self.objection(drift) {
                Some(why) => self.hold(drift, why),
                None => self.admit(drift),
            }
        }
        for replica in &self.input.findings.unseen {
            self.stuck.insert(replica.clone(), "it could not be seen".to_owned());
        }
        for gap in &self.input.observed.gaps {
            self.warnings.insert(format!("{} could not be seen: {}", gap.what, gap.why));
        }
    }

    fn admit(&mut self, drift: &'a Drift) {
        match &drift.resource {
            Resource::Replica { replica, .. } if drift.cure != Cure::Remove => {
                self.replicas.entry(replica.clone()).or_default().push(drift);
            }
            _ => self.others.push(drift),
        }
    }

    /// Why nothing may be done about a drift.
    fn objection(&self, drift: &Drift) -> Option<String> {
        if drift.reason == Reason::Superseded {
            return None;
        }
        if drift.cure == Cure::None {
            return Some(Self::patience(drift));
        }
        match &drift.resource {
            Resource::Replica { replica, container } => {
                let container = container.as_ref().and_then(|id| self.containers.get(id).copied());
                self.replica_objection(replica, container, drift)
            }
            Resource::Container { id, .. } => self
                .containers
                .get(id)
                .and_then(|container| self.removal_objection(container, drift)),
            Resource::Network(_) | Resource::Volume(_) | Resource::Service(_) => {
                self.report_only(None, drift).or_else(|| self.disputed(drift))
            }
        }
    }

    /// What is said of a drift that needs nothing from us now.
    fn patience(drift: &Drift) -> String {
        match &drift.reason {
            Reason::Restarting => "the Engine's restart policy is bringing it back".to_owned(),
            Reason::Foreign => "not made by moorline; `adopt: true` takes it over".to_owned(),
            Reason::Missing | Reason::NotRun if matches!(drift.resource, Resource::Replica { .. }) => {
                "a container that moorline did not make has its name or number; `adopt: true` takes it over".to_owned()
            }
            Reason::Missing => {
                "it is external and does not exist; make it, or remove `external: true`".to_owned()
            }
            Reason::Claimed { .. } => "it stays for as long as Git names it".to_owned(),
            Reason::Broken => "the Engine is removing it".to_owned(),
            Reason::ImageMissing => super::NO_IMAGE.to_owned(),
            _ if matches!(drift.resource, Resource::Volume(_)) => {
                "a volume is never changed or removed without `prune: {volumes: true}`".to_owned()
            }
            _ => "nothing can be done from here".to_owned(),
        }
    }

    fn replica_objection(
        &self,
        replica: &Replica,
        container: Option<&ObservedContainer>,
        drift: &Drift,
    ) -> Option<String> {
        if let Some(container) = container
            && !self.may_touch(container)
        {
            return Some("not made by moorline; `adopt: true` takes it over".to_owned());
        }
        if container.is_none()
            && let Some(why) = self.name_taken(replica)
        {
            return Some(why);
        }
        if let Some(why) = self.report_only(container, drift) {
            return Some(why);
        }
        if drift.cure != Cure::Remove
            && let Some(why) = self.rival(replica, container)
        {
            return Some(why);
        }
        let recovery = matches!(drift.cure, Cure::Revive | Cure::Create);
        self.brake(replica)
            .filter(|_| recovery)
            .map(|brake| format!("{}; next try at {}", brake.why, brake.until))
    }

    /// What keeps a replica from being brought back now.
    pub(super) fn brake(&self, replica: &Replica) -> Option<&Brake> {
        self.input.brakes.get(replica).filter(|brake| brake.until > self.input.now)
    }

    /// Why a replica's name cannot be had: a container that is not ours holds it.
    fn name_taken(&self, replica: &Replica) -> Option<String> {
        let (_, desired) = self.desired(replica)?;
        let holder = self.input.observed.containers.iter().find(|c| c.name == desired.name)?;
        if self.may_touch(holder) {
            return None;
        }
        Some(match &holder.ownership {
            Ownership::Foreign => format!(
                "container {} exists and was not made by moorline; `adopt: true` takes it over",
                holder.name
            ),
            Ownership::OtherRepository(other) => {
                format!("container {} belongs to repository {other}", holder.name)
            }
            Ownership::Neighbour(other) => {
                format!("container {} belongs to stack {other}", holder.name)
            }
            Ownership::Unrelated | Ownership::Ours => {
                format!("the name {} is taken by another container", holder.name)
            }
        })
    }

    fn removal_objection(&self, container: &ObservedContainer, drift: &Drift) -> Option<String> {
        if !self.may_touch(container) {
            return Some(match &container.ownership {
                Ownership::OtherRepository(other) => format!("it belongs to repository {other}"),
                _ => "not made by moorline; `adopt: true` takes it over".to_owned(),
            });
        }
        if drift.reason == Reason::Orphaned && !self.input.policy.prune.services {
            return Some("`prune.services` is off".to_owned());
        }
        self.report_only(Some(container), drift)
    }

    /// Under `drift: report`, what the host did by itself is only told.
    fn report_only(&self, container: Option<&ObservedContainer>, drift: &Drift) -> Option<String> {
        if self.input.policy.drift == DriftPolicy::Correct {
            return None;
        }
        let asked_by_commit = match (&drift.resource, container) {
            (Resource::Replica { replica, .. }, Some(container)) => {
                !self.input.desired.is_seal_of(replica, container.spec_label.as_deref())
            }
            _ => self.input.phase == Phase::Deploy,
        };
        (!asked_by_commit).then(|| "`drift: report`".to_owned())
    }

    /// Whether a container is ours to change.
    pub(super) fn may_touch(&self, container: &ObservedContainer) -> bool {
        match container.ownership {
            Ownership::Ours => true,
            Ownership::Foreign => self.input.policy.adopt == AdoptPolicy::Adopt,
            Ownership::Neighbour(_) | Ownership::OtherRepository(_) | Ownership::Unrelated => false,
        }
    }
}
