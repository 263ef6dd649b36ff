//! An update that failed: which replicas did not come up, what the manifest says then, and how all of it goes back.

use std::collections::BTreeSet;

use crate::model::{
    Action, DesiredReplica, DesiredService, FailureAction, Held, HeldBecause, ObservedContainer,
    Replica,
};
use crate::plan::place::handle;
use crate::plan::{Planner, Resolve, cause};

use super::failed::{best, has_failed, how_it_failed, is_about, replica_drift};

/// An update that failed.
pub(in crate::plan) struct Setback {
    /// Replicas that did not come up.
    pub(super) failed: BTreeSet<Replica>,
    /// What the manifest says then.
    pub(super) action: FailureAction,
    /// Why nothing more of it is tried.
    pub(super) why: HeldBecause,
}

impl Setback {
    /// Whether a replica did not come up: it is settled already.
    pub(in crate::plan) fn is_of(&self, replica: &Replica) -> bool {
        self.failed.contains(replica)
    }
}

impl<'a> Planner<'a> {
    /// Settles the replicas of a service that did not come up, where that ends its update: too many of them, and
    /// nobody asked to go on or to try again.
    ///
    /// `max_failure_ratio` and `failure_action` are those of the Compose Deploy Specification (`pause`, `continue`,
    /// `rollback`), with one difference: where nothing is said, an update is taken back, because nobody is watching. An
    /// operator's `sync` by hand tries it again once.
    pub(in crate::plan) fn settle_failed(
        &mut self,
        service: &'a DesiredService,
    ) -> Option<Setback> {
        if service.is_job || self.input.resolve == Resolve::Retry {
            return None;
        }
        let failures = self.failures(service);
        let action = service.update.failure_action.unwrap_or(FailureAction::Rollback);
        if action == FailureAction::Continue || service.tolerates(failures.len()) {
            return None;
        }
        let why = self.why_it_ended(service, *failures.first()?, action);
        for (desired, failed) in &failures {
            self.settle_one(service, desired, failed, (action, &why));
        }
        let failed = failures.into_iter().map(|(desired, _)| desired.replica.clone()).collect();
        Some(Setback { failed, action, why })
    }

    /// Replicas that are as the commit asks for and did not come up, while others of their service, or their own
    /// predecessors, are still as they were.
    ///
    /// A replica that fails while all of its service are of the new generation is no failed update: it worked once, and
    /// what broke it since is the host's or its own affair, for which there are restarts and brakes.
    fn failures(
        &self,
        service: &'a DesiredService,
    ) -> Vec<(&'a DesiredReplica, &'a ObservedContainer)> {
        let replicas = service.replicas.values().map(AsRef::as_ref);
        let failed: Vec<(&'a DesiredReplica, _)> = replicas
            .filter_map(|desired| {
                let keeper = self.keeper(&desired.replica)?;
                (self.is_new(desired, keeper) && has_failed(keeper)).then_some((desired, keeper))
            })
            .collect();
        let mid_update = !failed.is_empty() && self.generation_before(service).is_some();
        failed.into_iter().filter(|_| mid_update).collect()
    }

    /// Whether a container is of the generation that the commit asks for.
    pub(super) fn is_new(&self, desired: &DesiredReplica, container: &ObservedContainer) -> bool {
        self.input.desired.is_seal_of(&desired.replica, container.spec_label.as_deref())
    }

    /// A container of the generation before, while there is one: what serves when an update came to nothing.
    ///
    /// It may stand beside as a stopped predecessor, or be the keeper of a replica whose turn never came.
    fn generation_before(&self, service: &'a DesiredService) -> Option<&'a ObservedContainer> {
        let of = |desired: &'a DesiredReplica| {
            let keeper = self.keeper(&desired.replica);
            let keeper = keeper.filter(|keeper| !self.is_new(desired, keeper));
            best(&self.predecessors(&desired.replica)).or(keeper)
        };
        service.replicas.values().map(AsRef::as_ref).find_map(of)
    }

    /// Which container, how it ended, its own last words and what serves now: all that stands on the commit, because
    /// nobody logs into the host while the old version serves again.
    fn why_it_ended(
        &self,
        service: &'a DesiredService,
        (desired, failed): (&DesiredReplica, &ObservedContainer),
        action: FailureAction,
    ) -> HeldBecause {
        let replica = Some(Box::new(desired.replica.clone()));
        let reason = how_it_failed(failed);
        let said = [&failed.last_words, &failed.error].into_iter().find(|said| !said.is_empty());
        let error = said.cloned().unwrap_or_default();
        if action != FailureAction::Rollback {
            return HeldBecause::UpdatePaused { reason: Box::new(reason), error, replica };
        }
        let serves = self.generation_before(service).map(|old| {
            let from = old.revision.as_ref().map(|revision| format!(" from {}", revision.short()));
            format!("{}{}", old.spec.config.image, from.unwrap_or_default())
        });
        let serves = serves.unwrap_or_default().into();
        HeldBecause::RolledBack { reason: Box::new(reason), error, serves, replica }
    }

    /// A successor that did not come up stays, stopped; its predecessor runs again.
    ///
    /// The failed container is kept: it is the host's own memory that this definition was tried, and the place where
    /// somebody can read the logs. Without it, each pass would try again.
    fn settle_one(
        &mut self,
        service: &DesiredService,
        desired: &DesiredReplica,
        failed: &ObservedContainer,
        (action, why): (FailureAction, &HeldBecause),
    ) {
        let drift = replica_drift(service, desired, failed, how_it_failed(failed));
        if action == FailureAction::Rollback {
            let cause = cause(&drift);
            let stopped = failed.state.is_up().then(|| self.stop_container(failed, &cause, []));
            if let Some(old) = best(&self.predecessors(&desired.replica)) {
                // One that does not come back either is given time, as any other that falls again and again.
                if !old.state.is_up() && self.brake(&desired.replica).is_none() {
                    self.drafts.add(Action::Start { container: handle(old) }, &cause, stopped);
                }
                self.stands_as_observed(&desired.replica, old);
            }
        }
        // Whatever else differs of it has no say before the next commit.
        self.held.retain(|held| !is_about(&held.drift, &desired.replica));
        self.stuck.insert(desired.replica.clone(), why.clone());
        self.held.insert(Held { drift, why: why.clone() });
    }
}
