//! What a target may do with the newest commit: take it up, stay where it is, or only be looked at.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::commit::Commit;
use crate::config::settings::Labels;
use crate::fleet::waves::Gate;
use crate::fleet::windows::{self, Opening};
use crate::fleet::{self, Clearance, Orders, Rollback, WaitingOn};
use crate::model::{CommitState, HostName, Revision, Timestamp};
use crate::report::{Target, Wait};

use crate::commit::cache::CommitCache;

/// What a target may do.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    /// The commit that it is kept at.
    pub(crate) commit: Arc<Commit>,
    /// What keeps it from the newest one, if anything does.
    pub(crate) wait: Option<Wait>,
    /// Whether it may only be looked at.
    pub(crate) look_only: bool,
}

/// What that depends on.
#[derive(Debug)]
pub(crate) struct Asking<'a> {
    pub(crate) target: &'a Target,
    pub(crate) latest: &'a Arc<Commit>,
    /// The commit that it is kept at now, if that is known.
    pub(crate) current: Option<&'a Arc<Commit>>,
    /// The commit that it was last in sync with.
    pub(crate) reached: Option<&'a Revision>,
    pub(crate) orders: &'a Orders,
    pub(crate) gate: Gate,
    pub(crate) labels: &'a BTreeMap<HostName, Labels>,
    /// An operator lets it pass windows and waves.
    pub(crate) passes_by: bool,
    pub(crate) now: Timestamp,
}

impl Asking<'_> {
    /// What the target may do. Reads other commits where it must stay at one.
    pub(crate) async fn admission(
        &self,
        archive: &CommitCache,
        stop: &CancellationToken,
    ) -> Admission {
        let go = || Admission { commit: Arc::clone(self.latest), wait: None, look_only: false };
        let Some(stack) = self.latest.stack_of(self.target) else { return go() };
        if stack.project.is_none() {
            let first = stack.problems.first_error();
            let on = WaitingOn::Manifest(first.cloned().map(Box::new));
            return self.stay(wait(on, None, CommitState::Error), archive, stop).await;
        }
        let opening = if self.passes_by { Opening::Open } else { self.opening() };
        let gate = if self.passes_by { &Gate::Go } else { &self.gate };
        let brakes = &self.orders.brakes;
        let name = self.target.name();
        match fleet::clearance(&name, &stack.stack, brakes, (&opening, gate), self.now) {
            Clearance::Nothing(hold) => Admission {
                commit: Arc::clone(self.latest),
                wait: Some(wait(hold.on, hold.until, CommitState::Pending)),
                look_only: true,
            },
            Clearance::All => self.rolled_back(archive, stop).await.unwrap_or_else(go),
            Clearance::RecoverOnly(hold) => match self.rolled_back(archive, stop).await {
                Some(back) => back,
                None => {
                    // What waits goes by itself; what was stopped needs someone.
                    let is_stopped =
                        opening == Opening::Open && matches!(gate, Gate::Stopped { .. });
                    let state =
                        if is_stopped { CommitState::Failure } else { CommitState::Pending };
                    self.stay(wait(hold.on, hold.until, state), archive, stop).await
                }
            },
        }
    }

    fn opening(&self) -> Opening {
        let (Some(fleet), Some(stack)) = (&self.latest.fleet, self.latest.stack_of(self.target))
        else {
            return Opening::Open;
        };
        let host = &self.target.host;
        let labels = self.labels.get(host).cloned().unwrap_or_default();
        windows::opening(&windows::of_target(fleet, &stack.stack, host, &labels), self.now)
    }

    /// Recovery at the commit before; the newest one waits. Where both ask for the same, nothing waits.
    async fn stay(&self, wait: Wait, archive: &CommitCache, stop: &CancellationToken) -> Admission {
        let look =
            |wait| Admission { commit: Arc::clone(self.latest), wait: Some(wait), look_only: true };
        let before = match (self.current, self.reached) {
            (Some(current), _) => Arc::clone(current),
            (None, Some(reached)) if *reached == self.latest.revision => Arc::clone(self.latest),
            (None, Some(reached)) => match archive.at(reached, stop).await {
                Ok(read) => read,
                Err(error) => {
                    let on = WaitingOn::Unreadable {
                        on: Box::new(wait.on),
                        revision: Some(reached.clone()),
                        error: error.to_string(),
                    };
                    return look(Wait { on, ..wait });
                }
            },
            (None, None) => return look(wait),
        };
        let usable = |commit: &Commit| {
            let stack = commit.stack_of(self.target);
            stack.filter(|stack| stack.project.is_some()).map(|stack| stack.digest.clone())
        };
        match (usable(&before), usable(self.latest)) {
            (Some(one), Some(other)) if one == other => {
                Admission { commit: Arc::clone(self.latest), wait: None, look_only: false }
            }
            (Some(_), _) => Admission { commit: before, wait: Some(wait), look_only: false },
            (None, _) => look(wait),
        }
    }

    /// The commit that an operator rolled the stack back to, while that holds.
    async fn rolled_back(
        &self,
        archive: &CommitCache,
        stop: &CancellationToken,
    ) -> Option<Admission> {
        let rollback = self.orders.rollback(&self.target.stack, self.now)?;
        if !self.is_rejected(rollback, archive, stop).await {
            return None;
        }
        let said = wait(
            WaitingOn::Rollback(rollback.clone()),
            rollback.suspension.until,
            CommitState::Failure,
        );
        Some(match archive.at(&rollback.to, stop).await {
            Ok(commit) => Admission { commit, wait: Some(said), look_only: false },
            Err(error) => {
                let on = WaitingOn::Unreadable {
                    on: Box::new(said.on),
                    revision: None,
                    error: error.to_string(),
                };
                let wait = Some(Wait { on, ..said });
                Admission { commit: Arc::clone(self.latest), wait, look_only: true }
            }
        })
    }

    /// Whether the newest commit asks for the same as the rejected one. A rejected one that cannot be read counts.
    async fn is_rejected(
        &self,
        rollback: &Rollback,
        archive: &CommitCache,
        stop: &CancellationToken,
    ) -> bool {
        if rollback.rejects == self.latest.revision {
            return true;
        }
        match archive.at(&rollback.rejects, stop).await {
            Ok(rejected) => {
                let digest = |commit: &Commit| {
                    commit.stack_of(self.target).map(|stack| stack.digest.clone())
                };
                digest(&rejected) == digest(self.latest)
            }
            Err(_) => true,
        }
    }
}

fn wait(on: WaitingOn, until: Option<Timestamp>, state: CommitState) -> Wait {
    Wait { on, until, state }
}
