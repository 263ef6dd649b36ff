//! A commit that was overtaken while it was being deployed: its statuses do not stay pending for ever.
//!
//! A stack that the newer commit does not change goes on being deployed, and the old commit is told how that ends. Any
//! other was superseded, which is a failure to deploy this commit: whoever waits for its status must not take it for
//! deployed.

use std::collections::BTreeMap;

use crate::model::{CommitState, CommitStatus, HostName, Revision, StackName};
use crate::report::status;

use crate::reconcile::board::CommitReport;

/// An overtaken commit.
#[derive(Debug, Clone)]
pub(crate) struct Superseded {
    revision: Revision,
    stacks: BTreeMap<StackName, Fate>,
}

/// What becomes of one stack's status.
#[derive(Debug, Clone)]
enum Fate {
    /// It stays as it is.
    Settled(CommitStatus),
    /// It ends as the head's.
    Follows(CommitStatus),
}

/// The last words on a stack of an overtaken commit.
pub(crate) fn superseded(by: &Revision) -> (CommitState, String) {
    (CommitState::Failure, format!("superseded by {} before it was deployed", by.short()))
}

impl Superseded {
    /// What is left to say of a commit; `None` when everything was said.
    pub(crate) fn of(
        revision: Revision,
        statuses: BTreeMap<StackName, CommitStatus>,
        by: &Revision,
        same: impl Fn(&StackName) -> bool,
    ) -> Option<Self> {
        statuses.values().find(|status| status.state == CommitState::Pending)?;
        let stacks = statuses.into_iter().map(|(stack, status)| {
            let fate = match status.state {
                CommitState::Pending if same(&stack) => Fate::Follows(status),
                CommitState::Pending => settled(by),
                _ => Fate::Settled(status),
            };
            (stack, fate)
        });
        let stacks = stacks.collect();
        Some(Self { revision, stacks })
    }

    /// The commit.
    pub(crate) fn revision(&self) -> &Revision {
        &self.revision
    }

    /// Yet another commit came.
    pub(crate) fn overtaken_again(&mut self, by: &Revision, same: impl Fn(&StackName) -> bool) {
        for (stack, fate) in &mut self.stacks {
            if matches!(fate, Fate::Follows(_)) && !same(stack) {
                *fate = settled(by);
            }
        }
    }

    /// What a stack of the head says now.
    pub(crate) fn follow(&mut self, stack: &StackName, now: &CommitStatus) {
        let Some(fate @ Fate::Follows(_)) = self.stacks.get_mut(stack) else { return };
        *fate = match now.state {
            CommitState::Pending => Fate::Follows(now.clone()),
            _ => Fate::Settled(now.clone()),
        };
    }

    /// Its statuses.
    pub(crate) fn commit_report(&self, as_host: Option<&HostName>) -> CommitReport {
        let said = self.stacks.iter().map(|(stack, fate)| {
            let (Fate::Settled(said) | Fate::Follows(said)) = fate;
            let naming = as_host.map_or(status::Naming::Stack, status::Naming::StackAtHost);
            CommitStatus { context: status::context(stack, naming), ..said.clone() }
        });
        let mut statuses: Vec<CommitStatus> = said.collect();
        if as_host.is_none() {
            statuses.push(status::roll_up(&statuses));
        }
        CommitReport { revision: self.revision.clone(), statuses }
    }
}

fn settled(by: &Revision) -> Fate {
    let (state, words) = superseded(by);
    Fate::Settled(status::line_of(String::new(), state, &words))
}
