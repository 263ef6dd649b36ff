//! An update that another commit cut off: what of it goes, what is gone back to, and who goes back first, where nobody is
//! to be missing.

use crate::model::{Cure, DesiredReplica, DesiredService, ObservedContainer, Reason, UpdateOrder};
use crate::plan::{Planner, cause};

use super::failed::replica_drift;
use super::rollout::{Rollout, order_of, passing_name};

impl<'a> Planner<'a> {
    /// What an update left half-way that another commit cut off: a successor that never got the final name, so that it
    /// proved nothing, and the predecessor that has it still.
    pub(in crate::plan) fn halves(
        &self,
        desired: &DesiredReplica,
    ) -> Option<(&'a ObservedContainer, &'a ObservedContainer)> {
        let keeper = self.keeper(&desired.replica)?;
        let all: Vec<_> = self.predecessors(&desired.replica).into_iter().chain([keeper]).collect();
        let find = |name: &str| {
            all.iter().copied().find(|one| one.name == name && !self.is_new(desired, one))
        };
        Some((find(&passing_name(desired))?, find(&desired.name)?))
    }

    /// Those that stood for a replica before a container was made. One that was made after it is of an update that another
    /// commit took back: nothing to go back to.
    pub(super) fn earlier(
        &self,
        desired: &DesiredReplica,
        container: &ObservedContainer,
    ) -> Vec<&'a ObservedContainer> {
        let mut olds = self.predecessors(&desired.replica);
        olds.retain(|old| came_before(desired, old, container));
        olds
    }

    /// Removes what is left of an update that another commit took back, where it does not run: nobody waits for that.
    /// Returns the other predecessors.
    pub(in crate::plan) fn drop_abandoned(
        &mut self,
        service: &DesiredService,
        desired: &DesiredReplica,
        keeper: &ObservedContainer,
    ) -> Vec<&'a ObservedContainer> {
        let is_abandoned = |one: &&'a ObservedContainer| {
            came_before(desired, keeper, one) && !one.state.is_up() && keeper.name == desired.name
        };
        let mut olds = self.predecessors(&desired.replica);
        let abandoned: Vec<_> = olds.extract_if(.., |one| is_abandoned(one)).collect();
        for one in abandoned {
            let drift = replica_drift(service, desired, one, Reason::Superseded);
            self.remove_container(one, &cause(&drift), []);
        }
        olds
    }

    /// A commit came while an update was on its way, and nobody is to be missing for a moment: replicas that were replaced
    /// already get their predecessors back, and the update to the newer commit begins from there. Says whether that is all
    /// there is to do about the service now.
    pub(in crate::plan) fn unwind(&mut self, service: &'a DesiredService) -> bool {
        let mut back = Rollout::default();
        let mut is_needed = false;
        for desired in service.replicas.values() {
            let Some(keeper) = self.keeper(&desired.replica) else { continue };
            self.stands_as_observed(&desired.replica, keeper);
            let Some((new, old)) = self.halves(desired) else { continue };
            let is_swapped = new.state.is_up() && !old.state.is_up();
            if !is_swapped || order_of(&service.update, desired) == UpdateOrder::StopFirst {
                continue;
            }
            let drifts = self.replicas.get(&desired.replica).into_iter().flatten();
            let Some(drift) = drifts.copied().find(|drift| drift.cure == Cure::Replace) else {
                continue;
            };
            if self.may_start(desired, drift).is_some() {
                let how = (service, &service.update);
                self.change_back(how, desired, (new, old), (&cause(drift), &mut back));
                is_needed = true;
            }
        }
        is_needed
    }
}

/// Whether one container was made before another one; of the same instant, the one that has the final name.
fn came_before(
    desired: &DesiredReplica,
    one: &ObservedContainer,
    other: &ObservedContainer,
) -> bool {
    let passing = passing_name(desired);
    let when = |container: &ObservedContainer| (container.created_at, container.name == passing);
    when(one) < when(other)
}
