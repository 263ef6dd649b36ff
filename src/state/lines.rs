//! One line for each target, and of these one for each stack: the worst, in words that stay.

use crate::model::{CommitState, CommitStatus, HostName, Revision, StackName, Timestamp};
use crate::report::Report;
use crate::report::status::{self, Naming};

use super::{Doing, StackRecord, TargetRecord};

impl StackRecord {
    pub(super) fn status(
        &self,
        name: &StackName,
        head: &Revision,
        as_host: Option<&HostName>,
    ) -> CommitStatus {
        let mut said = self.said.borrow_mut();
        let made = || {
            let naming = as_host.map_or(Naming::Stack, Naming::StackAtHost);
            self.line(head, &status::context(name, naming))
        };
        said.entry(as_host.cloned()).or_insert_with(made).clone()
    }

    /// The worst of all hosts wins; of those that are alike, the one that has been so for longest, so that words stay.
    fn line(&self, head: &Revision, context: &str) -> CommitStatus {
        let lines = self.targets.iter().map(|(target, it)| (target, it.line(head, context)));
        let worst = lines.min_by_key(|(_, line)| {
            (std::cmp::Reverse(status::rank(line.status.state)), line.urgency, line.since)
        });
        let Some((target, Line { status, is_of_host, .. })) = worst else {
            return status::line_of(
                context.to_owned(),
                CommitState::Success,
                status::NOTHING_TO_DO,
            );
        };
        if status.state == CommitState::Success {
            let reports = self.targets.values().filter_map(|it| it.report.as_deref());
            let words = status::success(&reports.collect::<Vec<_>>());
            return status::line_of(status.context, status.state, &words);
        }
        if !is_of_host || self.targets.len() < 2 {
            return status;
        }
        let words = format!("{}: {}", target.host, status.description);
        let named = status::line_of(status.context, status.state, &words);
        CommitStatus { progress: status.progress, ..named }
    }

    /// Whether something other than its own failing keeps it from the head: whoever overtakes it then takes no
    /// deployment from it.
    pub(super) fn is_held(&self) -> bool {
        let is_held = |it: &TargetRecord| matches!(it.doing, Doing::Waiting(_));
        self.targets.values().any(is_held)
            && self
                .targets
                .values()
                .all(|it| is_held(it) || it.report.as_deref().is_some_and(Report::is_good))
    }
}

/// What is said of one target.
struct Line {
    status: CommitStatus,
    /// What someone must know first, among lines of one state: what waits, what goes on, what was not begun.
    urgency: u8,
    since: Timestamp,
    /// Whether it is about this host alone.
    is_of_host: bool,
}

impl TargetRecord {
    fn line(&self, head: &Revision, context: &str) -> Line {
        let said = self.said(head, context);
        // What failed is failed until all is well, and not on its way again with each restart.
        let gives_way = match said.status.state {
            CommitState::Pending => true,
            CommitState::Failure => said.is_of_host,
            CommitState::Success | CommitState::Error => false,
        };
        match &self.trouble {
            Some(trouble) if gives_way => Line {
                status: status::failed(said.status.context, &trouble.line),
                urgency: 1,
                since: trouble.since,
                is_of_host: true,
            },
            _ => said,
        }
    }

    /// What the last look says, or that there was none yet.
    fn said(&self, head: &Revision, context: &str) -> Line {
        let context = context.to_owned();
        let report = self.report.as_deref().filter(|report| report.revision == *head);
        match (&self.doing, report) {
            (Doing::Reported, Some(report)) => Line {
                status: status::of_report(context, report),
                urgency: 1,
                since: report.at,
                is_of_host: true,
            },
            (Doing::Waiting(wait), _) => Line {
                status: status::waiting(context, wait),
                urgency: 0,
                since: Timestamp::default(),
                is_of_host: false,
            },
            (Doing::New | Doing::Deploying | Doing::Reported, _) => Line {
                status: status::deploying(context),
                urgency: 2,
                since: Timestamp::default(),
                is_of_host: false,
            },
        }
    }
}
