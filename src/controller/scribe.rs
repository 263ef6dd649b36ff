//! Writes statuses as notes into the repository itself.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::git::{self, Git, Source};
use crate::model::{HostName, Remedy};
use crate::report::mask::{SecretSet, mask};
use crate::schedule::{self, Failures};

use super::board::{Board, Bulletin};
use super::clock;
use super::herald::{FAREWELL, Memory};
use super::troubles::Troubles;

/// Changes within this time are said at once.
const SETTLE: Duration = Duration::from_millis(300);

/// Writes notes.
pub(super) struct Scribe {
    git: Arc<Git>,
    source: Source,
    said: Vec<Bulletin>,
    failures: Failures,
    troubles: Troubles,
}

impl Scribe {
    /// Nothing was said yet.
    pub(super) fn new(git: Arc<Git>, source: Source, troubles: Troubles) -> Self {
        Self { git, source, said: Vec::new(), failures: Failures::default(), troubles }
    }

    /// Says what the board says, until `stop`; then once more.
    pub(super) async fn follow(
        &mut self,
        board: &Board,
        as_host: Option<&HostName>,
        memory: &Memory,
        stop: &CancellationToken,
    ) {
        loop {
            let changed = board.changed();
            if self.has_news(&board.bulletins(as_host)) {
                if stop.run_until_cancelled(tokio::time::sleep(SETTLE)).await.is_none() {
                    break;
                }
                memory.keep(board);
                self.say(board.bulletins(as_host), &board.secrets(), stop).await;
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
        let rest = board.bulletins(as_host);
        if self.has_news(&rest) {
            memory.keep(board);
            let last = CancellationToken::new();
            let secrets = board.secrets();
            let said = tokio::time::timeout(FAREWELL, self.say(rest, &secrets, &last)).await;
            if said.is_err() {
                tracing::warn!("leaving before the last statuses were written");
            }
        }
    }

    fn has_news(&self, now: &[Bulletin]) -> bool {
        now.iter().any(|bulletin| !self.said.contains(bulletin))
    }

    fn next_try(&self) -> Option<Duration> {
        let in_a_row = self.failures.in_a_row();
        if in_a_row == 0 { None } else { schedule::retry_delay(Remedy::Retry, in_a_row) }
    }

    /// Writes each bulletin that was not written yet.
    pub(super) async fn say(
        &mut self,
        now: Vec<Bulletin>,
        secrets: &SecretSet,
        stop: &CancellationToken,
    ) {
        let mut said = Vec::new();
        for bulletin in now {
            if self.said.contains(&bulletin) || self.write(&bulletin, secrets, stop).await {
                said.push(bulletin);
            }
        }
        self.said = said;
    }

    async fn write(
        &mut self,
        bulletin: &Bulletin,
        secrets: &SecretSet,
        stop: &CancellationToken,
    ) -> bool {
        let now = clock::now();
        let mut statuses = bulletin.statuses.clone();
        for status in &mut statuses {
            status.description = mask(&status.description, secrets);
        }
        let (git, source) = (&self.git, &self.source);
        match git::notes::publish(git, source, &bulletin.revision, &statuses, now, stop).await {
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
