//! What is known of every target of one repository, and the statuses that follow from it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::model::{CommitState, CommitStatus, Digest, HostName, Revision, StackName};
use crate::report::mask::{SecretSet, mask};
use crate::report::{Head, Report, Target, Wait, status};

use crate::reconcile::superseded::Superseded;
use crate::redaction;

/// Commits before the head whose statuses are still said.
const MOST_PASTS: usize = 16;

/// What is known of the targets of one repository.
#[derive(Debug, Default)]
pub struct Board {
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    head: Option<Head>,
    stacks: BTreeMap<StackName, OnHosts>,
    /// What each stack asks for at the head, and what it will at the next one.
    asked: BTreeMap<StackName, Digest>,
    asked_next: BTreeMap<StackName, Digest>,
    /// Commits that the head overtook while they were being deployed.
    pasts: Vec<Superseded>,
    /// The head of the last start.
    recalled: Option<Recollection>,
    secrets: SecretSet,
}

/// All that is known at one instant.
#[derive(Debug, Clone)]
pub struct Known {
    /// The newest commit.
    pub head: Head,
    /// What each target does, and its last report.
    pub targets: Vec<(Target, Standing, Option<Arc<Report>>)>,
}

/// What was said of a head, for the next start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recollection {
    revision: Revision,
    stacks: BTreeMap<StackName, CommitStatus>,
    asked: BTreeMap<StackName, Digest>,
}

/// A stack on its hosts.
#[derive(Debug, Default)]
struct OnHosts {
    targets: BTreeMap<Target, Entry>,
    /// What is said of it, for whom it was asked since the last change: many read what few change.
    said: BTreeMap<Option<HostName>, CommitStatus>,
}

#[derive(Debug, Clone)]
struct Entry {
    standing: Standing,
    report: Option<Arc<Report>>,
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
    Waiting(Wait),
}

/// How a target compares with the head.
#[derive(Debug, Clone)]
pub enum Look {
    /// As the last pass found it.
    Report(Arc<Report>),
    /// Not: it waits, and why.
    Waits(Target, String),
}

/// The statuses of one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitReport {
    /// The commit.
    pub revision: Revision,
    /// One a stack, and the roll-up, which comes last.
    pub statuses: Vec<CommitStatus>,
}

impl Board {
    /// What each stack will ask for at the head that comes next: a commit that changes nothing of a stack ends what
    /// the one before began. Said before [`Board::expect`].
    pub fn asks(&self, digests: BTreeMap<StackName, Digest>) {
        self.inner().asked_next = digests;
    }

    /// What was said before the start. Said before the first [`Board::expect`].
    pub fn recall(&self, last: Recollection) {
        self.inner().recalled = Some(last);
    }

    /// What is said of the head now, for the next start.
    pub fn recollection(&self) -> Option<Recollection> {
        let mut inner = self.inner();
        let revision = inner.revision()?;
        let mut stacks = inner.of_stacks(None);
        for status in stacks.values_mut() {
            status.description = mask(&status.description, &inner.secrets);
        }
        Some(Recollection { revision, stacks, asked: inner.asked.clone() })
    }

    /// Secrets to take out of everything that is said and logged, besides those that are known already.
    pub fn hide(&self, secrets: &SecretSet) {
        redaction::hide(secrets);
        self.inner().secrets.extend(secrets);
    }

    /// All secrets that are known.
    pub fn secrets(&self) -> SecretSet {
        self.inner().secrets.clone()
    }

    /// The head; `None` before there is one.
    pub fn head(&self) -> Option<Revision> {
        self.inner().revision()
    }

    /// All that is known now; `None` before there is a head.
    pub fn known(&self) -> Option<Known> {
        let inner = self.inner();
        let head = inner.head.clone()?;
        let targets = inner.targets().map(|(target, entry)| {
            let Entry { standing, report } = entry.clone();
            (target.clone(), standing, report)
        });
        Some(Known { head, targets: targets.collect() })
    }

    /// A digest over what the hosts run and how they differ: it changes when a plan could.
    pub fn sight(&self) -> Digest {
        let inner = self.inner();
        let mut lines: Vec<String> = Vec::new();
        for report in inner.targets().filter_map(|(_, entry)| entry.report.as_deref()) {
            let Report { target, sync, health, remaining, .. } = report;
            lines.push(format!("{target} {sync:?} {health:?} {remaining:?}"));
            let replicas = report.replicas.iter();
            lines
                .extend(replicas.map(|it| format!("{} {:?} {}", it.container, it.state, it.image)));
        }
        drop(inner);
        Digest::of(lines.join("\n").as_bytes())
    }

    /// The head of the branch and the targets that it asks for.
    pub fn expect(&self, head: Head, targets: &[Target]) {
        let mut inner = self.inner();
        inner.overtake(&head.revision);
        inner.head = Some(head);
        let mut before = std::mem::take(&mut inner.stacks);
        for target in targets {
            let known = before.get_mut(&target.stack).and_then(|on| on.targets.remove(target));
            let on_hosts = inner.stacks.entry(target.stack.clone()).or_default();
            on_hosts
                .targets
                .entry(target.clone())
                .or_insert(known.unwrap_or(Entry { standing: Standing::New, report: None }));
        }
        let stacks: Vec<StackName> = inner.stacks.keys().cloned().collect();
        for stack in &stacks {
            inner.settle_pasts(stack);
        }
        drop(inner);
        self.changed.notify_waiters();
    }

    /// A target's steps begin, or something keeps it waiting.
    pub fn stands(&self, target: &Target, standing: Standing) {
        self.change(target, |entry| entry.standing = standing);
    }

    /// A pass ended.
    pub fn report(&self, report: &Arc<Report>) {
        self.change(&report.target, |entry| {
            *entry = Entry { standing: Standing::Reported, report: Some(Arc::clone(report)) };
        });
    }

    fn change(&self, target: &Target, change: impl FnOnce(&mut Entry)) {
        let mut inner = self.inner();
        let Some(on_hosts) = inner.stacks.get_mut(&target.stack) else { return };
        let Some(entry) = on_hosts.targets.get_mut(target) else { return };
        change(entry);
        on_hosts.said.clear();
        inner.settle_pasts(&target.stack);
        drop(inner);
        self.changed.notify_waiters();
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves at the next change. Call before reading, so that no change is missed.
    pub fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// All statuses of the head; `None` before there is one.
    pub fn commit_report(&self, as_host: Option<&HostName>) -> Option<CommitReport> {
        let mut inner = self.inner();
        let head = inner.revision()?;
        let of_stack = inner.of_stacks(as_host).into_iter();
        let mut statuses: Vec<CommitStatus> = of_stack.map(|(_, status)| status).collect();
        if as_host.is_none() {
            statuses.push(roll_up(
                &statuses,
                inner.head.as_ref().and_then(|head| head.fleet_problem.as_deref()),
            ));
        }
        Some(CommitReport { revision: head, statuses })
    }

    /// What became of the commits that the head overtook, and then the head's own statuses.
    pub fn reports_of_commits(&self, as_host: Option<&HostName>) -> Vec<CommitReport> {
        let pasts: Vec<CommitReport> =
            self.inner().pasts.iter().map(|past| past.commit_report(as_host)).collect();
        pasts.into_iter().chain(self.commit_report(as_host)).collect()
    }

    /// Whether a target is in sync with the head.
    pub fn is_settled(&self, target: &Target) -> bool {
        let inner = self.inner();
        let on_hosts = inner.stacks.get(&target.stack);
        on_hosts.and_then(|on_hosts| on_hosts.targets.get(target)).is_some_and(|entry| {
            entry.standing == Standing::Reported
                && entry.report.as_ref().is_some_and(|report| {
                    inner.revision().as_ref() == Some(&report.revision) && report.is_good()
                })
        })
    }

    /// How every target compares with the head; `None` while that is still to come for one of them.
    pub fn looks(&self) -> Option<(Revision, Vec<Look>)> {
        let inner = self.inner();
        let head = inner.revision()?;
        let looks = inner.targets().map(|(target, entry)| {
            let Entry { standing, report } = entry;
            match (standing, report) {
                (Standing::Waiting(wait), _) => Some(Look::Waits(target.clone(), wait.to_string())),
                (Standing::Reported, Some(report))
                    if report.revision == head && !report.is_under_way =>
                {
                    Some(Look::Report(Arc::clone(report)))
                }
                _ => None,
            }
        });
        let looks: Vec<Look> = looks.collect::<Option<_>>()?;
        drop(inner);
        (!looks.is_empty()).then_some((head, looks))
    }
}

impl Inner {
    fn revision(&self) -> Option<Revision> {
        self.head.as_ref().map(|head| head.revision.clone())
    }

    /// One status a stack at the head.
    fn of_stacks(&mut self, as_host: Option<&HostName>) -> BTreeMap<StackName, CommitStatus> {
        let Some(head) = self.revision() else { return BTreeMap::new() };
        let said = |(stack, on_hosts): (&StackName, &mut OnHosts)| {
            (stack.clone(), on_hosts.status(stack, &head, as_host))
        };
        self.stacks.iter_mut().map(said).collect()
    }

    fn targets(&self) -> impl Iterator<Item = (&Target, &Entry)> {
        self.stacks.values().flat_map(|on_hosts| &on_hosts.targets)
    }

    /// The head is about to be another one: what the old one was not done with is said on it.
    fn overtake(&mut self, next: &Revision) {
        if self.revision().as_ref() == Some(next) {
            self.asked = std::mem::take(&mut self.asked_next);
            return;
        }
        let last = match self.revision() {
            Some(revision) => Some(Recollection {
                revision,
                stacks: self.of_stacks(None),
                asked: std::mem::take(&mut self.asked),
            }),
            None => self.recalled.take().filter(|last| last.revision != *next),
        };
        self.asked = std::mem::take(&mut self.asked_next);
        // A commit that is deployed again is the head again, and no past.
        self.pasts.retain(|past| past.revision() != next);
        let Some(last) = last else { return };
        let same = |stack: &StackName| {
            last.asked.get(stack).is_some_and(|digest| self.asked.get(stack) == Some(digest))
        };
        for past in &mut self.pasts {
            past.overtaken_again(next, same);
        }
        self.pasts.extend(Superseded::of(last.revision, last.stacks, next, same));
        let too_many = self.pasts.len().saturating_sub(MOST_PASTS);
        self.pasts.drain(..too_many);
    }

    /// What a past commit shares with the head is settled when the head's is.
    fn settle_pasts(&mut self, stack: &StackName) {
        let (Some(head), Some(on_hosts)) = (self.revision(), self.stacks.get_mut(stack)) else {
            return;
        };
        for past in &mut self.pasts {
            past.follow(stack, &on_hosts.status(stack, &head, None));
        }
    }
}

impl OnHosts {
    fn status(
        &mut self,
        stack: &StackName,
        head: &Revision,
        as_host: Option<&HostName>,
    ) -> CommitStatus {
        let said = self.said.entry(as_host.cloned());
        let targets = &self.targets;
        said.or_insert_with(|| {
            let entries: Vec<&Entry> = targets.values().collect();
            stack_status(stack, &entries, head, as_host)
        })
        .clone()
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
        .filter_map(|entry| entry.report.as_deref())
        .filter(|report| report.revision == *head)
        .collect();
    let said = status::of_stack(stack, &current, naming);
    let waits = || {
        entries.iter().filter_map(|entry| match &entry.standing {
            Standing::Waiting(wait) => Some(wait),
            Standing::New | Standing::Deploying | Standing::Reported => None,
        })
    };
    let is_bad = |wait: &&Wait| matches!(wait.state, CommitState::Failure | CommitState::Error);
    let open = entries.len() > current.len();
    if !open
        || matches!(said.state, CommitState::Failure | CommitState::Error) && !current.is_empty()
    {
        return said;
    }
    // What goes on by itself is pending; what someone must see to is not.
    match waits().find(is_bad).or_else(|| waits().next()) {
        Some(wait) => status::waiting(said.context, wait),
        None => status::deploying(said.context),
    }
}
