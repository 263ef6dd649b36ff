//! Takes a repository's statuses to where people read them: its forge, or notes in the repository itself.
//!
//! Nothing waits for this. The newest bulletin replaces an unsent one, only what changed is sent, and what could not be
//! sent is tried again later.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::forge::{Courier, Letter, Pace, Postbox, StatusTarget};
use crate::git::{self, Git, Source};
use crate::model::{HostName, Remedy, RepositoryName};
use crate::schedule::{self, Failures};

use super::board::{Board, Bulletin};
use super::clock;

/// Changes within this time are said at once.
const SETTLE: Duration = Duration::from_millis(300);
/// For the last words before leaving.
const FAREWELL: Duration = Duration::from_secs(10);

/// Where a repository's statuses go.
pub enum Sink {
    /// To a forge.
    Forge(Box<Courier>, Postbox),
    /// Into `refs/notes/moorline` of the repository.
    Notes(Arc<Git>, Box<Source>),
    /// Nowhere.
    Nowhere,
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Forge(..) => "Forge",
            Self::Notes(..) => "Notes",
            Self::Nowhere => "Nowhere",
        })
    }
}

impl Sink {
    /// A forge's sink, which remembers what it said in a file of this folder.
    pub async fn forge(
        settings: crate::forge::ForgeSettings,
        repository: &RepositoryName,
        folder: &std::path::Path,
    ) -> Self {
        let file = folder.join(format!("{repository}.json"));
        let (courier, postbox) = Courier::open(settings, Pace::default(), file).await;
        Self::Forge(Box::new(courier), postbox)
    }
}

/// Says what the board says, until `stop`; then once more.
pub async fn run(
    sink: Sink,
    board: Arc<Board>,
    as_host: Option<HostName>,
    branch: Option<String>,
    stop: CancellationToken,
) {
    match sink {
        Sink::Nowhere => {}
        Sink::Notes(git, source) => {
            let mut scribe =
                Scribe { git, source: *source, said: None, failures: Failures::default() };
            scribe.follow(&board, as_host.as_ref(), &stop).await;
        }
        Sink::Forge(courier, postbox) => {
            let carried = courier.run(stop.clone());
            let written = follow_board(&board, as_host.as_ref(), &stop, |bulletin| {
                post(&postbox, bulletin, branch.as_ref());
            });
            tokio::join!(carried, written);
        }
    }
}

/// Says what the board says, once, and waits until it is said or [`FAREWELL`] has passed.
pub async fn once(sink: Sink, board: &Board, as_host: Option<&HostName>, branch: Option<&String>) {
    let Some(bulletin) = board.bulletin(as_host) else { return };
    match sink {
        Sink::Nowhere => {}
        Sink::Notes(git, source) => {
            let mut scribe =
                Scribe { git, source: *source, said: None, failures: Failures::default() };
            let stop = CancellationToken::new();
            if tokio::time::timeout(FAREWELL, scribe.say(bulletin, &stop)).await.is_err() {
                tracing::warn!("the statuses could not be written in time");
            }
        }
        Sink::Forge(mut courier, postbox) => {
            post(&postbox, bulletin, branch);
            courier.flush(FAREWELL).await;
        }
    }
}

fn post(postbox: &Postbox, bulletin: Bulletin, branch: Option<&String>) {
    for status in bulletin.statuses {
        let target = StatusTarget { revision: bulletin.revision.clone(), branch: branch.cloned() };
        postbox.put(Letter::Status { target, status });
    }
}

/// Hands on each changed bulletin.
async fn follow_board(
    board: &Board,
    as_host: Option<&HostName>,
    stop: &CancellationToken,
    mut hand_on: impl FnMut(Bulletin),
) {
    let mut last = None;
    loop {
        let changed = board.changed();
        let now = board.bulletin(as_host);
        if now != last {
            last.clone_from(&now);
            now.into_iter().for_each(&mut hand_on);
        }
        if stop.run_until_cancelled(changed).await.is_none() {
            return;
        }
    }
}

/// Writes notes.
struct Scribe {
    git: Arc<Git>,
    source: Source,
    said: Option<Bulletin>,
    failures: Failures,
}

impl Scribe {
    async fn follow(
        &mut self,
        board: &Board,
        as_host: Option<&HostName>,
        stop: &CancellationToken,
    ) {
        loop {
            let changed = board.changed();
            let now = board.bulletin(as_host);
            if now.is_some() && now != self.said {
                if stop.run_until_cancelled(tokio::time::sleep(SETTLE)).await.is_none() {
                    break;
                }
                if let Some(latest) = board.bulletin(as_host) {
                    self.say(latest, stop).await;
                }
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
        if let Some(latest) =
            board.bulletin(as_host).filter(|latest| Some(latest) != self.said.as_ref())
        {
            let last = CancellationToken::new();
            let said = tokio::time::timeout(FAREWELL, self.say(latest, &last)).await;
            if said.is_err() {
                tracing::warn!("leaving before the last statuses were written");
            }
        }
    }

    fn next_try(&self) -> Option<Duration> {
        let in_a_row = self.failures.in_a_row();
        if in_a_row == 0 { None } else { schedule::retry_delay(Remedy::Retry, in_a_row) }
    }

    async fn say(&mut self, bulletin: Bulletin, stop: &CancellationToken) {
        let now = clock::now();
        let published = git::notes::publish(
            &self.git,
            &self.source,
            &bulletin.revision,
            &bulletin.statuses,
            now,
            stop,
        );
        match published.await {
            Ok(_) => {
                self.failures.succeeded();
                self.said = Some(bulletin);
            }
            Err(error) => {
                if self.failures.in_a_row() == 0 {
                    tracing::warn!(%error, help = %error.help(), "cannot write statuses as notes; deploys go on");
                }
                self.failures.failed(error.remedy(), now);
            }
        }
    }
}
