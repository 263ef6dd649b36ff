//! Writes statuses as notes into the repository itself.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::git::{self, Git, Source};
use crate::model::{HostName, Remedy};
use crate::report::mask::{SecretSet, mask, mask_line};
use crate::report::status;
use crate::schedule::{self, Failures};

use crate::clock;
use crate::publish::health::ReportingHealth;
use crate::publish::memory::{FAREWELL, Memory};
use crate::reconcile::store::Store;
use crate::state::CommitReport;

/// Changes within this time are said at once.
const SETTLE: Duration = Duration::from_millis(300);

/// Writes notes.
pub(crate) struct NotesWriter {
    git: Arc<Git>,
    source: Source,
    said: Vec<CommitReport>,
    failures: Failures,
    troubles: ReportingHealth,
}

impl NotesWriter {
    /// Nothing was said yet.
    pub(crate) fn new(git: Arc<Git>, source: Source, troubles: ReportingHealth) -> Self {
        Self { git, source, said: Vec::new(), failures: Failures::default(), troubles }
    }

    /// Says what is known, until `stop`; then once more.
    pub(crate) async fn follow(
        &mut self,
        store: &Store,
        as_host: Option<&HostName>,
        memory: &Memory,
        stop: &CancellationToken,
    ) {
        loop {
            let changed = store.changed();
            if self.has_news(&store.reports_of_commits(as_host)) {
                if stop.run_until_cancelled(tokio::time::sleep(SETTLE)).await.is_none() {
                    break;
                }
                memory.keep(store);
                self.say(store.reports_of_commits(as_host), &store.secrets(), stop).await;
            }
            let again = self.next_try();
            let pause = async {
                match again {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = changed => {}
                () = pause => {}
            }
        }
        // What changed while we were told to stop is said with a token of its own: the other one has ended.
        let rest = store.reports_of_commits(as_host);
        if self.has_news(&rest) {
            memory.keep(store);
            let last = CancellationToken::new();
            let secrets = store.secrets();
            let said = tokio::time::timeout(FAREWELL, self.say(rest, &secrets, &last)).await;
            if said.is_err() {
                tracing::warn!("leaving before the last statuses were written");
            }
        }
    }

    fn has_news(&self, now: &[CommitReport]) -> bool {
        now.iter().any(|commit_report| !self.said.contains(commit_report))
    }

    fn next_try(&self) -> Option<Duration> {
        let in_a_row = self.failures.in_a_row();
        if in_a_row == 0 { None } else { schedule::retry_delay(Remedy::Retry, in_a_row) }
    }

    /// Writes each report of a commit that was not written yet.
    pub(crate) async fn say(
        &mut self,
        now: Vec<CommitReport>,
        secrets: &SecretSet,
        stop: &CancellationToken,
    ) {
        let mut said = Vec::new();
        for commit_report in now {
            if self.said.contains(&commit_report) || self.write(&commit_report, secrets, stop).await
            {
                said.push(commit_report);
            }
        }
        self.said = said;
    }

    async fn write(
        &mut self,
        commit_report: &CommitReport,
        secrets: &SecretSet,
        stop: &CancellationToken,
    ) -> bool {
        let now = clock::now();
        let mut statuses = commit_report.statuses.clone();
        for status in &mut statuses {
            status.description = mask_line(&status::written(status), secrets);
        }
        let (git, source) = (&self.git, &self.source);
        match git::notes::publish(git, source, &commit_report.revision, &statuses, now, stop).await
        {
            Ok(_) => {
                self.failures.succeeded();
                self.troubles.are(Vec::new());
                true
            }
            Err(error) => {
                if self.failures.in_a_row() == 0 {
                    tracing::warn!(%error, help = %error.help(), "cannot write statuses as notes; deploys go on");
                }
                let text = format!("cannot write statuses as notes: {error}");
                self.troubles.are(vec![mask(&text, secrets)]);
                self.failures.failed(error.remedy(), now);
                false
            }
        }
    }
}
