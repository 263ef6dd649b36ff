//! What is known of every target of one repository, and the statuses that follow from it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::model::{CommitState, CommitStatus, HostName, Revision, StackName};
use crate::report::{Report, Target, status};

/// What is known of the targets of one repository.
#[derive(Debug, Default)]
pub struct Board {
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    head: Option<Revision>,
    /// Problems of the fleet file of the head, which keep everything as it is.
    fleet_problem: Option<String>,
    targets: BTreeMap<Target, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    standing: Standing,
    report: Option<Report>,
}

/// What a target does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is known yet.
    New,
    /// Steps are being carried out.
    Deploying,
    /// The last pass says.
    Reported,
    /// Something keeps the head from being deployed here.
    Waiting(String),
}

/// The statuses of one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bulletin {
    /// The commit.
    pub revision: Revision,
    /// One a stack, and the roll-up, which comes last.
    pub statuses: Vec<CommitStatus>,
}

impl Board {
    /// The head of the branch and the targets that it asks for.
    pub fn expect(&self, head: &Revision, targets: &[Target], fleet_problem: Option<String>) {
        self.change(|inner| {
            inner.head = Some(head.clone());
            inner.fleet_problem = fleet_problem;
            inner.targets.retain(|target, _| targets.contains(target));
            for target in targets {
                inner
                    .targets
                    .entry(target.clone())
                    .or_insert(Entry { standing: Standing::New, report: None });
            }
        });
    }

    /// A target's steps begin, or something keeps it waiting.
    pub fn stands(&self, target: &Target, standing: Standing) {
        self.change(|inner| {
            if let Some(entry) = inner.targets.get_mut(target) {
                entry.standing = standing;
            }
        });
    }

    /// A pass ended.
    pub fn report(&self, report: &Report) {
        self.change(|inner| {
            if let Some(entry) = inner.targets.get_mut(&report.target) {
                *entry = Entry { standing: Standing::Reported, report: Some(report.clone()) };
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_waiters();
    }

    /// Resolves at the next change. Call before reading, so that no change is missed.
    pub fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// The state of a stack at a revision on all its hosts: what others that come `after` it wait for.
    pub fn is_good(&self, stack: &StackName, revision: &Revision) -> bool {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut own = inner.targets.iter().filter(|(target, _)| target.stack == *stack).peekable();
        own.peek().is_some()
            && own.all(|(_, entry)| {
                entry
                    .report
                    .as_ref()
                    .is_some_and(|report| report.revision == *revision && report.is_good())
            })
    }

    /// All statuses of the head; `None` before there is one.
    pub fn bulletin(&self, as_host: Option<&HostName>) -> Option<Bulletin> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let head = inner.head.clone()?;
        let mut by_stack: BTreeMap<&StackName, Vec<&Entry>> = BTreeMap::new();
        for (target, entry) in &inner.targets {
            by_stack.entry(&target.stack).or_default().push(entry);
        }
        let mut statuses: Vec<CommitStatus> = by_stack
            .into_iter()
            .map(|(stack, entries)| stack_status(stack, &entries, &head, as_host))
            .collect();
        if as_host.is_none() {
            statuses.push(roll_up(&statuses, inner.fleet_problem.as_deref()));
        }
        Some(Bulletin { revision: head, statuses })
    }

    /// The last report of every target.
    pub fn reports(&self) -> Vec<Report> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.targets.values().filter_map(|entry| entry.report.clone()).collect()
    }
}

fn roll_up(statuses: &[CommitStatus], fleet_problem: Option<&str>) -> CommitStatus {
    match fleet_problem {
        None => status::roll_up(statuses),
        Some(problem) => status::line_of("moorline".to_owned(), CommitState::Error, problem),
    }
}

/// A stack's status: waiting and deploying hosts make it pending, unless another host already failed.
fn stack_status(
    stack: &StackName,
    entries: &[&Entry],
    head: &Revision,
    as_host: Option<&HostName>,
) -> CommitStatus {
    let naming = as_host.map_or(status::Naming::Stack, status::Naming::StackAtHost);
    let current: Vec<&Report> = entries
        .iter()
        .filter(|entry| entry.standing == Standing::Reported)
        .filter_map(|entry| entry.report.as_ref())
        .filter(|report| report.revision == *head)
        .collect();
    let said = status::of_stack(stack, &current, naming);
    let open = entries.len() > current.len();
    if !open
        || matches!(said.state, CommitState::Failure | CommitState::Error) && !current.is_empty()
    {
        return said;
    }
    let waiting = entries.iter().find_map(|entry| match &entry.standing {
        Standing::Waiting(why) => Some(why.clone()),
        Standing::New | Standing::Deploying | Standing::Reported => None,
    });
    let text = waiting.unwrap_or_else(|| "deploying".to_owned());
    status::line_of(said.context, CommitState::Pending, &text)
}
