//! What commits are told, and what a running daemon tells: views of the record.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{CommitState, CommitStatus, Digest, HostName, Revision, StackName};
use crate::report::status;
use crate::report::{Head, Report, Target};

use super::{Doing, StackRecord, State};

/// What is said of a stack at a commit whose fleet file is refused.
const FLEET_REFUSED: &str = "not looked at: the fleet file is refused, and this stays as it was";

/// The statuses of one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitReport {
    /// The commit.
    pub revision: Revision,
    /// One a stack, and the roll-up, which comes last.
    pub statuses: Vec<CommitStatus>,
}

/// All that is known at one instant.
#[derive(Debug, Clone)]
pub struct Known {
    /// The newest commit.
    pub head: Head,
    /// What each target does, and its last report.
    pub targets: Vec<(Target, Doing, Option<Arc<Report>>)>,
}

/// How a target compares with the head.
#[derive(Debug, Clone)]
pub enum Look {
    /// As the last pass found it.
    Report(Arc<Report>),
    /// Not: it waits, and why.
    Waits(Target, String),
}

impl State {
    /// All that is known now; `None` before there is a head.
    pub fn known(&self) -> Option<Known> {
        let head = self.head.clone()?;
        let targets = self
            .targets()
            .map(|(target, record)| (target.clone(), record.doing.clone(), record.report.clone()));
        Some(Known { head, targets: targets.collect() })
    }

    /// A digest over what the hosts run and how they differ: it changes when a plan could.
    pub fn sight(&self) -> Digest {
        let mut lines: Vec<String> = Vec::new();
        for report in self.targets().filter_map(|(_, record)| record.report.as_deref()) {
            let Report { target, sync, health, remaining, .. } = report;
            lines.push(format!("{target} {sync:?} {health:?} {remaining:?}"));
            let replicas = report.replicas.iter();
            lines
                .extend(replicas.map(|it| format!("{} {:?} {}", it.container, it.state, it.image)));
        }
        Digest::of(lines.join("\n").as_bytes())
    }

    /// All statuses of the head; `None` before there is one.
    pub fn commit_report(&self, as_host: Option<&HostName>) -> Option<CommitReport> {
        let head = self.head.as_ref()?;
        let revision = head.revision.clone();
        let mut statuses: Vec<CommitStatus> = self.of_stacks(as_host).into_values().collect();
        if as_host.is_none() {
            statuses.push(match &head.fleet_problem {
                None => status::roll_up(&statuses),
                Some(problem) => {
                    status::line_of("moorline".to_owned(), CommitState::Error, problem)
                }
            });
        }
        Some(CommitReport { revision, statuses })
    }

    /// What became of the commits that the head overtook, and then the head's own statuses.
    pub fn reports_of_commits(&self, as_host: Option<&HostName>) -> Vec<CommitReport> {
        let overtaken = self.overtaken.iter().map(|it| it.commit_report(as_host));
        overtaken.chain(self.commit_report(as_host)).collect()
    }

    /// One status a stack at the head.
    pub(super) fn of_stacks(
        &self,
        as_host: Option<&HostName>,
    ) -> BTreeMap<StackName, CommitStatus> {
        let Some(head) = &self.head else { return BTreeMap::new() };
        let said = |(name, stack): (&StackName, &StackRecord)| {
            let mut status = stack.status(name, &head.revision, as_host);
            if head.fleet_problem.is_some() {
                // It is kept at what the commit before asked for: what this one asks for nobody looked at.
                let (state, words) = (CommitState::Error, FLEET_REFUSED);
                status = status::line_of(status.context, state, words);
            }
            (name.clone(), status)
        };
        self.stacks.iter().map(said).collect()
    }

    /// Whether a target is in sync with the head.
    pub fn is_settled(&self, target: &Target) -> bool {
        self.target(target).is_some_and(|record| {
            record.doing == Doing::Reported
                && record
                    .report
                    .as_ref()
                    .is_some_and(|report| self.head() == Some(&report.revision) && report.is_good())
        })
    }

    /// Whether a target was looked at with the head, and does not wait for a word about its data.
    pub fn has_its_data(&self, target: &Target) -> bool {
        let report = self.target(target).and_then(|record| record.report.as_ref());
        report.is_some_and(|report| {
            self.head() == Some(&report.revision)
                && report.failure.is_none()
                && !report.held().any(|held| held.why.is_about_data())
        })
    }

    /// Whether a target is on its way to the head, or was not looked at since it is the head: what it runs now is not
    /// what it will run in a moment. One of which nothing is expected is not.
    pub fn is_half_way(&self, target: &Target) -> bool {
        self.target(target).is_some_and(|record| match (&record.doing, &record.report) {
            (Doing::New | Doing::Deploying, _) | (Doing::Reported, None) => true,
            (Doing::Waiting(_), _) => false,
            (Doing::Reported, Some(report)) => {
                self.head() != Some(&report.revision) || report.is_under_way
            }
        })
    }

    /// How every target compares with the head; `None` while that is still to come for one of them.
    pub fn looks(&self) -> Option<(Revision, Vec<Look>)> {
        let head = self.head()?;
        let looks = self.targets().map(|(target, record)| match (&record.doing, &record.report) {
            (Doing::Waiting(wait), _) => Some(Look::Waits(target.clone(), wait.to_string())),
            (Doing::Reported, Some(report)) if report.revision == *head && !report.is_under_way => {
                Some(Look::Report(Arc::clone(report)))
            }
            _ => None,
        });
        let looks: Vec<Look> = looks.collect::<Option<_>>()?;
        (!looks.is_empty()).then_some((head.clone(), looks))
    }
}
