//! Pull requests that were merged: what became of them is added to their comment, until they are deployed.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::forge::Head;
use crate::model::{CommitState, CommitStatus, HostName, Progress, Revision, StackName, Timestamp};
use crate::reconcile::store::Store;
use crate::state::CommitReport;

/// A merge commit that never becomes the head is looked for this long; then the head counts.
const PATIENCE: Duration = Duration::from_mins(1);

/// One that was merged.
#[derive(Debug)]
pub(crate) struct Merged {
    /// As which commit, if that is told.
    pub(crate) commit: Option<Head>,
    /// The head of the branch when it was seen to be merged.
    pub(crate) head: Option<Revision>,
    /// Since when it is known.
    pub(crate) since: Timestamp,
    /// The stacks of its plan; empty when they are not known any more.
    pub(crate) stacks: BTreeSet<StackName>,
    /// What its comment said.
    pub(crate) shown: String,
}

/// What is to be said, and whether that is the last word.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) mark: &'static str,
    pub(crate) words: String,
    pub(crate) is_last: bool,
}

impl Merged {
    /// What became of it, by what is said of the commit; the head has been the head since `began`.
    pub(crate) fn verdict(
        &self,
        store: &Store,
        as_host: Option<&HostName>,
        (began, now): (Timestamp, Timestamp),
    ) -> Verdict {
        let reports = store.reports_of_commits(as_host);
        let Some((report, is_own)) = self.report(&reports, now) else {
            return Verdict { mark: "⏳", words: "merged".to_owned(), is_last: false };
        };
        let id = report.revision.short().to_owned();
        let with = if is_own { format!("merged as {id}") } else { format!("merged, with {id}") };
        let Some(status) = self.status(report) else {
            return Verdict { mark: "⏳", words: with, is_last: false };
        };
        let told = &status.description;
        match status.state {
            CommitState::Success => {
                let took = now.since(began).as_secs().max(1);
                let words = format!("{with}, deployed in {took} s: {told}");
                Verdict { mark: "✅", words, is_last: true }
            }
            CommitState::Pending if status.progress == Some(Progress::Deploying) => {
                Verdict { mark: "⏳", words: format!("{with}, is being deployed"), is_last: false }
            }
            CommitState::Pending => {
                Verdict { mark: "✋", words: format!("{with}: {told}"), is_last: false }
            }
            CommitState::Failure => {
                Verdict { mark: "❌", words: format!("{with}, failed: {told}"), is_last: false }
            }
            CommitState::Error => {
                Verdict { mark: "❔", words: format!("{with}: {told}"), is_last: false }
            }
        }
    }

    /// The report of its commit; that of a later head where its own is not told.
    fn report<'a>(
        &self,
        all: &'a [CommitReport],
        now: Timestamp,
    ) -> Option<(&'a CommitReport, bool)> {
        let is_it = |report: &&CommitReport| match &self.commit {
            Some(Head::Full(revision)) => report.revision == *revision,
            Some(Head::Short(digits)) => report.revision.as_str().starts_with(digits.as_str()),
            None => false,
        };
        if let Some(own) = all.iter().find(is_it) {
            return Some((own, true));
        }
        let head = all.last()?;
        let moved = self.head.as_ref() != Some(&head.revision);
        let waited = PATIENCE < now.since(self.since);
        (moved && (waited || self.commit.is_none())).then_some((head, false))
    }

    /// The worst of its stacks; the roll-up where they are not known or are gone.
    fn status<'a>(&self, report: &'a CommitReport) -> Option<&'a CommitStatus> {
        let of_plan = report.statuses.iter().filter(|status| {
            let name = status.context.strip_prefix("moorline/").unwrap_or_default();
            let name = name.split('@').next().unwrap_or_default();
            self.stacks.iter().any(|stack| stack.as_str() == name)
        });
        let worst = of_plan.max_by_key(|status| rank(status.state));
        worst.or(report.statuses.last())
    }
}

fn rank(state: CommitState) -> u8 {
    match state {
        CommitState::Success => 0,
        CommitState::Pending => 1,
        CommitState::Failure => 2,
        CommitState::Error => 3,
    }
}
