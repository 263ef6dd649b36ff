//! What is known of one target.

use std::sync::Arc;

use crate::fleet::waves::Standing;
use crate::model::{CommitState, Revision, Timestamp};
use crate::report::status::{self, Line};
use crate::report::{Report, Wait};

/// What a target does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doing {
    /// Nothing is known yet.
    New,
    /// Steps are being carried out.
    Deploying,
    /// The last pass says.
    Reported,
    /// Something keeps the head from being deployed here.
    Waiting(Wait),
}

/// What is known of one target.
#[derive(Debug, Clone)]
pub struct TargetRecord {
    pub(super) doing: Doing,
    pub(super) report: Option<Arc<Report>>,
    /// How far it is with the head.
    pub(super) standing: Standing,
    /// Whether others may have to wait for it.
    pub(super) is_awaited: bool,
    /// What went wrong with what the head asks for, until all is well again.
    pub(super) trouble: Option<Trouble>,
}

/// A failure that is not over: said from the first sign until the target is well, in words that stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) since: Timestamp,
    pub(super) line: Line,
}

impl TargetRecord {
    pub(super) fn new(is_awaited: bool) -> Self {
        Self {
            doing: Doing::New,
            report: None,
            standing: Standing::Waiting,
            is_awaited,
            trouble: None,
        }
    }

    /// What it does.
    pub fn doing(&self) -> &Doing {
        &self.doing
    }

    /// The last pass's report.
    pub fn report(&self) -> Option<&Arc<Report>> {
        self.report.as_ref()
    }

    /// A pass ended, which knew this commit to be the newest.
    pub(super) fn reported(&mut self, report: Arc<Report>, newest: &Revision, head: &Revision) {
        if report.revision == *head {
            self.judge(&report);
        }
        if newest == head {
            let standing = report.wait.as_ref().map_or(standing_of(&report), |_| Standing::Waiting);
            self.stands(standing);
        }
        self.doing = report.wait.clone().map_or(Doing::Reported, Doing::Waiting);
        self.report = Some(report);
    }

    /// Trouble begins with the first failure and ends when all is well. What tells more takes the place of what tells
    /// less; otherwise the first words stay, however the service flips meanwhile.
    fn judge(&mut self, report: &Report) {
        match status::state(report) {
            CommitState::Success => self.trouble = None,
            CommitState::Failure if status::effective_wait(report).is_some() => {}
            CommitState::Failure => {
                let line = status::failing(report);
                match &mut self.trouble {
                    Some(known) if line.weight <= known.line.weight => {}
                    Some(known) => known.line = line,
                    None => self.trouble = Some(Trouble { since: report.at, line }),
                }
            }
            CommitState::Pending | CommitState::Error => {}
        }
    }

    /// How far it is with the head; tells whether that is news.
    pub(super) fn stands(&mut self, standing: Standing) -> bool {
        let standing = since_the_first_time(&self.standing, standing);
        let is_news = self.standing != standing;
        self.standing = standing;
        is_news
    }
}

/// Patience counts from the first time.
pub(super) fn since_the_first_time(known: &Standing, now: Standing) -> Standing {
    match (known, now) {
        (Standing::Going { since }, Standing::Going { .. }) => Standing::Going { since: *since },
        (Standing::Unknown { since }, Standing::Unknown { .. }) => {
            Standing::Unknown { since: *since }
        }
        (_, now) => now,
    }
}

/// How far a target is with a commit, by its report.
fn standing_of(report: &Report) -> Standing {
    match status::state(report) {
        CommitState::Success => Standing::Done,
        CommitState::Pending => Standing::Going { since: report.at },
        CommitState::Failure => Standing::Failed { why: status::line(report) },
        CommitState::Error => Standing::Unknown { since: report.at },
    }
}
