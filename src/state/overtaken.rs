//! A commit that was overtaken before all of it was deployed: its statuses do not stay as they were for ever.
//!
//! A stack that the newer commit does not change goes on being deployed, and the old commit is told how that ends. Any
//! other was superseded. What had failed stays failed; what was on its way failed to deploy this commit, and whoever waits
//! for its status must not take it for deployed; what was held was not tried, and is not called a failure.

use std::collections::BTreeMap;

use crate::model::{CommitState, CommitStatus, Digest, HostName, Revision, StackName};
use crate::report::Head;
use crate::report::status::{self, Naming};

use super::recollection::VERSION;
use super::{CommitReport, Recollection, State};

/// Commits before the head whose statuses are still said.
const MOST_OVERTAKEN: usize = 16;

/// An overtaken commit.
#[derive(Debug, Clone)]
pub(super) struct Overtaken {
    revision: Revision,
    stacks: BTreeMap<StackName, Fate>,
}

/// What becomes of one stack's status.
#[derive(Debug, Clone)]
struct Fate {
    said: CommitStatus,
    /// How it ends is told by the head, which asks for the same.
    follows: bool,
    is_held: bool,
}

impl Fate {
    /// It ends here, by the commit that asks for something else.
    fn superseded(&mut self, by: &Revision) {
        self.follows = false;
        if self.said.state != CommitState::Pending {
            return;
        }
        let (context, by) = (std::mem::take(&mut self.said.context), by.short());
        self.said = if self.is_held {
            let words = format!("superseded by {by} while it was held");
            status::line_of(context, CommitState::Pending, &words)
        } else {
            let words = format!("superseded by {by} before it was deployed");
            status::line_of(context, CommitState::Failure, &words)
        };
    }
}

impl Overtaken {
    /// What is left to say of a commit; `None` when all of it was well.
    fn of(last: Recollection, by: &Revision, same: impl Fn(&StackName) -> bool) -> Option<Self> {
        let Recollection { revision, stacks, held, .. } = last;
        stacks.values().find(|status| status.state != CommitState::Success)?;
        let stacks = stacks.into_iter().map(|(stack, status)| {
            let follows = status.state == CommitState::Pending && same(&stack);
            let mut fate = Fate { said: status, follows, is_held: held.contains(&stack) };
            if !follows {
                fate.superseded(by);
            }
            (stack, fate)
        });
        let stacks = stacks.collect();
        Some(Self { revision, stacks })
    }

    /// Yet another commit came.
    fn overtaken_again(&mut self, by: &Revision, same: impl Fn(&StackName) -> bool) {
        for (stack, fate) in &mut self.stacks {
            if fate.follows && !same(stack) {
                fate.superseded(by);
            }
        }
    }

    /// What a stack of the head says now.
    fn follow(&mut self, stack: &StackName, now: &CommitStatus, is_held: bool) {
        let Some(fate) = self.stacks.get_mut(stack).filter(|fate| fate.follows) else { return };
        let follows = now.state == CommitState::Pending;
        *fate = Fate { said: now.clone(), follows, is_held };
    }

    /// Its statuses.
    pub(super) fn commit_report(&self, as_host: Option<&HostName>) -> CommitReport {
        let said = self.stacks.iter().map(|(stack, fate)| {
            let naming = as_host.map_or(Naming::Stack, Naming::StackAtHost);
            CommitStatus { context: status::context(stack, naming), ..fate.said.clone() }
        });
        let mut statuses: Vec<CommitStatus> = said.collect();
        if as_host.is_none() {
            statuses.push(status::roll_up(&statuses));
        }
        CommitReport { revision: self.revision.clone(), statuses }
    }
}

impl State {
    /// What is said of the head now, for the next start; `None` before there is a head.
    pub fn recollection(&self) -> Option<Recollection> {
        let revision = self.head()?.clone();
        let held = self.stacks.iter().filter(|(_, stack)| stack.is_held());
        let asked =
            self.stacks.iter().filter_map(|(name, it)| Some((name.clone(), it.asks.clone()?)));
        Some(Recollection {
            version: VERSION,
            revision,
            stacks: self.of_stacks(None),
            asked: asked.collect(),
            held: held.map(|(name, _)| name.clone()).collect(),
        })
    }

    /// The head is about to be another one: what the old one was not done with is said on it.
    pub(super) fn overtake(&mut self, next: &Head, asks: &BTreeMap<StackName, Digest>) {
        let next = &next.revision;
        let last = match self.recollection() {
            Some(last) => Some(last),
            None => self.recalled.take(),
        };
        let Some(last) = last.filter(|last| last.revision != *next) else { return };
        // A commit that is deployed again is the head again, and not overtaken.
        self.overtaken.retain(|it| it.revision != *next);
        let same = |stack: &StackName| {
            last.asked.get(stack).is_some_and(|digest| asks.get(stack) == Some(digest))
        };
        for overtaken in &mut self.overtaken {
            overtaken.overtaken_again(next, same);
        }
        self.overtaken.extend(Overtaken::of(last.clone(), next, same));
        let too_many = self.overtaken.len().saturating_sub(MOST_OVERTAKEN);
        self.overtaken.drain(..too_many);
    }

    /// What an overtaken commit shares with the head is settled when the head's is.
    pub(super) fn settle_overtaken(&mut self, name: &StackName) {
        let (Some(head), Some(stack)) = (&self.head, self.stacks.get(name)) else { return };
        if self.overtaken.is_empty() {
            return;
        }
        let (now, is_held) = (stack.status(name, &head.revision, None), stack.is_held());
        for overtaken in &mut self.overtaken {
            overtaken.follow(name, &now, is_held);
        }
    }
}
