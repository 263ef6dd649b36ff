//! An update that another commit cut off: what it had replaced goes back first, where nobody is to be missing.

use crate::model::{Cure, DesiredReplica, DesiredService, ObservedContainer, UpdateOrder};
use crate::plan::{Planner, cause};

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
