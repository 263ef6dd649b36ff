//! Which drifts may be acted on, and why the others are held.

use crate::model::{
    AdoptPolicy, Cure, Drift, DriftPolicy, HeldBecause, ObservedContainer, Ownership, Reason,
    Replica, Resource,
};

use super::{Brake, Phase, Planner};
use crate::drift::observed_value;

impl<'a> Planner<'a> {
    /// Sorts all drifts into those to act on and those to hold.
    ///
    /// Everything that was found ends in exactly one of the two: a drift that is neither acted on nor held would be a
    /// difference that nobody hears of, while the target is called in sync.
    pub(super) fn admit_drifts(&mut self) {
        for drift in &self.input.findings.drifts {
            match self.objection(drift) {
                Some(why) => self.hold(drift, why),
                None => self.admit(drift),
            }
        }
        for replica in &self.input.findings.unseen {
            self.stuck.insert(replica.clone(), HeldBecause::Unseen);
        }
        for gap in &self.input.observed.gaps {
            self.warnings.insert(format!("{} could not be seen: {}", gap.what, gap.why));
        }
    }

    /// Takes a drift up: those of a replica that stays are planned together, replica by replica, since several differences of
    /// one container may come to one replacement; all others are planned one by one.
    fn admit(&mut self, drift: &'a Drift) {
        match &drift.resource {
            Resource::Replica { replica, .. } if drift.cure != Cure::Remove => {
                self.replicas.entry(replica.clone()).or_default().push(drift);
            }
            _ => self.others.push(drift),
        }
    }

    /// Why nothing may be done about a drift.
    ///
    /// The order of the questions is that of their weight. What is superseded may always go: another container stands for it.
    /// What has no cure is only told. What was cured again and again and came back is left to a person, since the next attempt
    /// would end as the last one did. Only then is it asked whose the thing is, and what policy allows.
    fn objection(&self, drift: &Drift) -> Option<HeldBecause> {
        if drift.reason == Reason::Superseded {
            return None;
        }
        if drift.cure == Cure::None {
            return Some(self.name_held_elsewhere(drift).unwrap_or_else(|| self.patience(drift)));
        }
        if let Some(cures) = self.input.cures.exhausted(drift) {
            let observed = observed_value(&drift.reason);
            return Some(HeldBecause::DoesNotConverge { cures, observed });
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
    ///
    /// "Nothing to do" has many reasons, and whoever reads "out of sync" wants to know which: that the Engine is at
    /// work already, that somebody else's container is in the way, or that the manifest asks for what cannot be had.
    fn patience(&self, drift: &Drift) -> HeldBecause {
        let is_replica = matches!(drift.resource, Resource::Replica { .. });
        match &drift.reason {
            Reason::Restarting => HeldBecause::EngineRestarts,
            Reason::Foreign if self.is_beside_git(drift) => HeldBecause::NotAskedFor,
            Reason::Foreign => HeldBecause::NotOurs,
            Reason::Missing | Reason::NotRun if is_replica => HeldBecause::PlaceTaken,
            Reason::Missing => HeldBecause::ExternalMissing,
            Reason::Claimed { .. } => HeldBecause::StaysDeclared,
            Reason::Broken => HeldBecause::BeingRemoved,
            Reason::Unhealthy => HeldBecause::LeftUnhealthy,
            Reason::ImageMissing => HeldBecause::ImageWithheld,
            _ if matches!(drift.resource, Resource::Volume(_)) => HeldBecause::VolumeKept,
            _ => HeldBecause::NoCure,
        }
    }

    /// Whether a container is of no service of the manifest, so that taking the stack over would not take it.
    ///
    /// Somebody's `docker compose run` of an older version, or a service that only one developer's override file knows.
    /// The word `adopt` would not help there, so it is not suggested.
    fn is_beside_git(&self, drift: &Drift) -> bool {
        let Resource::Container { id, .. } = &drift.resource else { return false };
        let Some(container) = self.containers.get(id) else { return false };
        let named = container.replica.as_ref().and_then(|one| self.service(&one.service));
        container.ownership == Ownership::Foreign && named.is_none()
    }

    /// Why a replica stays as it is.
    ///
    /// First whether what stands there, or holds its name, is ours; then whether policy wants only a report; then whether two
    /// replicas want one thing that only one can have. Last comes patience: one that fell again and again is brought back ever more
    /// seldom, and only bringing back is slowed. A new definition is tried at once: it may be what mends it.
    fn replica_objection(
        &self,
        replica: &Replica,
        container: Option<&ObservedContainer>,
        drift: &Drift,
    ) -> Option<HeldBecause> {
        if let Some(container) = container
            && !self.may_touch(container)
        {
            return Some(HeldBecause::NotOurs);
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
            .map(|brake| HeldBecause::Slowed { slowed: brake.why, until: brake.until })
    }

    /// What keeps a replica from being brought back now.
    ///
    /// A brake whose time has come is none: the pass that it was waiting for is this one.
    pub(super) fn brake(&self, replica: &Replica) -> Option<&Brake> {
        self.input.brakes.get(replica).filter(|brake| brake.until > self.input.now)
    }

    /// Why a replica's name cannot be had: a container that is not ours holds it.
    ///
    /// Container names are unique on an Engine, whatever project they are of (`POST /containers/create` answers 409).
    /// Found here, it is held with the name of whoever has it; found by the Engine, it is a failed step at every pass.
    pub(super) fn name_taken(&self, replica: &Replica) -> Option<HeldBecause> {
        let (_, desired) = self.desired(replica)?;
        let holder = self.input.observed.containers.iter().find(|c| c.name == desired.name)?;
        if self.may_touch(holder) {
            return None;
        }
        Some(match &holder.ownership {
            Ownership::Foreign => HeldBecause::NameHeldByForeign { container: holder.name.clone() },
            Ownership::OtherRepository(other) => HeldBecause::NameHeldByRepository {
                container: holder.name.clone(),
                repository: other.clone(),
            },
            Ownership::Neighbour(other) => HeldBecause::NameHeldByStack {
                container: holder.name.clone(),
                stack: other.clone(),
            },
            Ownership::Unrelated | Ownership::Ours => {
                HeldBecause::NameTaken { name: holder.name.clone() }
            }
        })
    }

    /// Why a container that stands for no replica stays: it is not ours, or it left the manifest and `prune.services` is off. One
    /// above the asked count is no matter of pruning: the count is what the manifest asks for.
    fn removal_objection(
        &self,
        container: &ObservedContainer,
        drift: &Drift,
    ) -> Option<HeldBecause> {
        if !self.may_touch(container) {
            return Some(match &container.ownership {
                Ownership::OtherRepository(other) => {
                    HeldBecause::OtherRepository { repository: other.clone() }
                }
                _ => HeldBecause::NotOurs,
            });
        }
        if drift.reason == Reason::Orphaned && !self.input.policy.prune.services {
            return Some(HeldBecause::PruneServicesOff);
        }
        self.report_only(Some(container), drift)
    }

    /// Under `drift: report`, what the host did by itself is only told.
    ///
    /// What a commit asks for is carried out under `report` too, or nothing could ever be deployed. The seal on the
    /// container tells the two apart: one that was made from exactly this definition, and differs, was changed on the
    /// host.
    fn report_only(
        &self,
        container: Option<&ObservedContainer>,
        drift: &Drift,
    ) -> Option<HeldBecause> {
        if self.input.policy.drift == DriftPolicy::Correct {
            return None;
        }
        let asked_by_commit = match (&drift.resource, container) {
            (Resource::Replica { replica, .. }, Some(container)) => {
                !self.input.desired.is_seal_of(replica, container.spec_label.as_deref())
            }
            _ => self.input.phase == Phase::Deploy,
        };
        (!asked_by_commit).then_some(HeldBecause::ReportOnly)
    }

    /// Whether a container is ours to change.
    ///
    /// A neighbour is a stack of the same repository. Even that is another pass's business: two passes that each mend
    /// what they see of the other would undo each other's work.
    pub(super) fn may_touch(&self, container: &ObservedContainer) -> bool {
        match container.ownership {
            Ownership::Ours => true,
            Ownership::Foreign => self.input.policy.adopt == AdoptPolicy::Adopt,
            Ownership::Neighbour(_) | Ownership::OtherRepository(_) | Ownership::Unrelated => false,
        }
    }
}
