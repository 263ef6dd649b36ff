//! Takes a repository's statuses to where people read them: its forge, or notes in the repository itself.
//!
//! Nothing waits for this. The newest report of a commit replaces an unsent one, only what changed is sent, and what could not be
//! sent is tried again later. Commits that were overtaken are told what became of them, also after a restart.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::config::settings::RepositorySettings;
use crate::forge::{Courier, Forge, ForgeSettings, Letter, Pace, Postbox, StatusTarget};
use crate::git::{Git, Source};
use crate::model::{CommitStatus, HostName, RepositoryName};
use crate::report::mask::mask;
use crate::report::status;

use super::drift_reports;
use crate::connect;
use crate::data::folder::{DataFolder, Lock};
use crate::preview::PullRequests;
use crate::publish::carriers::Carriers;
use crate::publish::health::ReportingHealth;
use crate::publish::memory::{FAREWELL, Memory, SETTLE};
use crate::publish::notes::NotesWriter;
use crate::publish::peers::{PeerStatuses, Stand};
use crate::publish::sink::Sink;
use crate::reconcile::store::Store;
use crate::state::CommitReport;

/// How often it is looked whether the one who speaks for the repository has ended.
const WRITER_PAUSE: Duration = Duration::from_millis(200);
/// One repository's publisher.
#[derive(Debug)]
pub(crate) struct Publisher {
    /// The repository.
    pub name: RepositoryName,
    /// Its settings.
    pub settings: RepositorySettings,
    /// Where it goes.
    pub sink: Sink,
    /// Clones, for notes.
    pub git: Arc<Git>,
    /// The remote.
    pub source: Source,
    /// What is to be said.
    pub store: Arc<Store>,
    /// The only host that is kept, if it is one.
    pub as_host: Option<HostName>,
    /// What is remembered between starts.
    pub data: DataFolder,
    /// How fast a forge is told.
    pub pace: Pace,
    /// Reads what other daemons say, where there are any.
    pub peers: Option<PeerStatuses>,
}

impl Publisher {
    /// Says what is known, until `leave`; then once more. Pull requests are planned until `stop`.
    pub(crate) async fn run(
        self,
        pulls: Option<PullRequests>,
        stop: CancellationToken,
        leave: CancellationToken,
    ) {
        // Held as long as this lives: a pass of the command line leaves the words to us. One that began before us is
        // let finish: two writers would say things twice, and forget what the other one said.
        self.store.hide(&connect::secrets(&self.settings));
        let Some(_writer) = self.writer(&leave).await else { return };
        let troubles = ReportingHealth::of(&self.data, &self.name);
        let who = (&self.name, &self.settings);
        match self.sink.clone().settle(who, &troubles, &leave).await {
            Sink::Nowhere if leave.is_cancelled() => {}
            Sink::Nowhere | Sink::Ask(_) => {
                troubles.are(Vec::new());
                self.watch_others(Stand::Nowhere, &leave).await;
            }
            Sink::Notes => {
                let mut notes_writer =
                    NotesWriter::new(Arc::clone(&self.git), self.source.clone(), troubles);
                let memory = self.memory();
                let said = notes_writer.follow(&self.store, self.as_host.as_ref(), &memory, &leave);
                let stand = Stand::Notes(&self.git, &self.source);
                tokio::join!(said, self.watch_others(stand, &leave));
            }
            Sink::Forge(settings, forge) => {
                self.serve(settings, (*forge, troubles), pulls, (stop, leave)).await;
            }
        }
    }

    async fn watch_others(&self, stand: Stand<'_>, leave: &CancellationToken) {
        if let Some(peers) = &self.peers {
            peers.follow(stand, leave).await;
        }
    }

    /// The right to speak for the repository, once nobody else has it; `None` when `leave` comes first.
    async fn writer(&self, leave: &CancellationToken) -> Option<Lock> {
        let mut told = false;
        loop {
            match self.data.lock_writer(&self.name) {
                Ok(Some(lock)) => return Some(lock),
                Ok(None) if !told => {
                    tracing::info!(repository = %self.name, "another moorline process speaks on its commits; waiting for it to end");
                }
                Err(error) if !told => {
                    tracing::error!(repository = %self.name, %error, "nothing is said on commits");
                }
                Ok(None) | Err(_) => {}
            }
            told = true;
            leave.run_until_cancelled(tokio::time::sleep(WRITER_PAUSE)).await?;
        }
    }

    async fn serve(
        &self,
        settings: ForgeSettings,
        (forge, troubles): (Forge, ReportingHealth),
        pulls: Option<PullRequests>,
        (stop, leave): (CancellationToken, CancellationToken),
    ) {
        let (courier, postbox) = self.courier(settings).await;
        let carried = courier.run(leave.clone());
        let branch = self.settings.branch.as_ref();
        let memory = self.memory();
        let written =
            follow_store(&self.store, self.as_host.as_ref(), &memory, &leave, |commit_report| {
                postbox.hide(&self.store.secrets());
                post(&postbox, commit_report, branch);
            });
        let planned = async {
            if let Some(pulls) = pulls {
                pulls.run(forge.clone(), postbox.clone(), &stop).await;
            }
        };
        let drifts = self.report_drift((&forge, &postbox), &leave);
        let noted = note_troubles(&self.store, &postbox, &troubles, &leave);
        let watched = self.watch_others(Stand::Forge(&forge), &leave);
        tokio::join!(carried, written, Box::pin(planned), Box::pin(drifts), noted, watched);
    }

    /// Keeps the drift report up to date where the settings ask for one, until `leave`.
    async fn report_drift(&self, to: (&Forge, &Postbox), leave: &CancellationToken) {
        let (issue, on_commit) =
            (self.settings.forge.drift_issue, self.settings.forge.drift_on_commit);
        if issue.is_some() || on_commit {
            let path = &self.settings.path;
            let place = drift_reports::Place { issue, on_commit, path };
            let mut carriers = Carriers::of(&self.data, &self.name);
            let who = (self.as_host.as_ref(), &mut carriers);
            drift_reports::follow(&self.store, who, to, place, leave).await;
        }
    }

    /// Says what is known, once, and waits until it is said or [`FAREWELL`] has passed.
    pub(crate) async fn once(&self) {
        let Some(commit_report) = self.store.commit_report(self.as_host.as_ref()) else { return };
        let stop = CancellationToken::new();
        let Some(_writer) = self.writer_of_one_pass(&stop).await else { return };
        let troubles = ReportingHealth::of(&self.data, &self.name);
        let who = (&self.name, &self.settings);
        let settling = self.sink.clone().settle(who, &troubles, &stop);
        let Ok(sink) = tokio::time::timeout(FAREWELL, Box::pin(settling)).await else {
            tracing::warn!("the forge could not be asked in time; nothing is said on the commit");
            return;
        };
        self.store.hide(&connect::secrets(&self.settings));
        match sink {
            Sink::Nowhere | Sink::Ask(_) => {}
            Sink::Notes => {
                let mut notes_writer =
                    NotesWriter::new(Arc::clone(&self.git), self.source.clone(), troubles);
                let secrets = self.store.secrets();
                let said = notes_writer.say(vec![commit_report], &secrets, &stop);
                if tokio::time::timeout(FAREWELL, said).await.is_err() {
                    tracing::warn!("the statuses could not be written in time");
                }
            }
            Sink::Forge(settings, _) => {
                let (mut courier, postbox) = self.courier(settings).await;
                postbox.hide(&self.store.secrets());
                post(&postbox, commit_report, self.settings.branch.as_ref());
                courier.flush(FAREWELL).await;
            }
        }
    }

    /// The right to speak, for one pass: a daemon that has it says what we did, and another pass will be through soon.
    async fn writer_of_one_pass(&self, stop: &CancellationToken) -> Option<Lock> {
        if let Ok(Some(lock)) = self.data.lock_writer(&self.name) {
            return Some(lock);
        }
        if self.data.has_daemon() {
            tracing::info!(repository = %self.name, "the daemon that runs with this data folder says it on the commit");
            return None;
        }
        let lock = tokio::time::timeout(FAREWELL, self.writer(stop)).await;
        if lock.is_err() {
            tracing::warn!(repository = %self.name, "another process speaks on its commits; nothing is said of this pass");
        }
        lock.ok().flatten()
    }

    async fn courier(&self, settings: ForgeSettings) -> (Courier, Postbox) {
        let file = self.data.forge().join(format!("{}.json", self.name));
        Courier::open(settings, self.pace, file).await
    }

    fn memory(&self) -> Memory {
        Memory::of(&self.data, &self.name)
    }
}

fn post(postbox: &Postbox, commit_report: CommitReport, branch: Option<&String>) {
    for status in commit_report.statuses {
        let status = CommitStatus { description: status::written(&status), ..status };
        let (revision, branch) = (commit_report.revision.clone(), branch.cloned());
        let target = StatusTarget { revision, branch, pull_request: None };
        postbox.put(Letter::Status { target, status });
    }
}

/// Notes what is wrong with the posting, as it comes and goes.
async fn note_troubles(
    store: &Store,
    postbox: &Postbox,
    troubles: &ReportingHealth,
    stop: &CancellationToken,
) {
    let mut conditions = postbox.conditions();
    loop {
        let now = conditions.borrow_and_update().clone();
        let resting = now.resting.into_iter().map(|(_, why)| why);
        let mut texts: Vec<String> = Vec::new();
        for text in resting.chain(now.problem).map(|text| mask(&text, &store.secrets())) {
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        troubles.are(texts);
        if !matches!(stop.run_until_cancelled(conditions.changed()).await, Some(Ok(()))) {
            return;
        }
    }
}

/// Hands on each changed commit_report.
async fn follow_store(
    store: &Store,
    as_host: Option<&HostName>,
    memory: &Memory,
    stop: &CancellationToken,
    mut hand_on: impl FnMut(CommitReport),
) {
    let mut last: Vec<CommitReport> = Vec::new();
    loop {
        let changed = store.changed();
        let now = store.reports_of_commits(as_host);
        for commit_report in now.iter().filter(|commit_report| !last.contains(commit_report)) {
            hand_on(commit_report.clone());
        }
        if now.last() != last.last() {
            memory.keep(store);
        }
        last = now;
        let settled = async {
            changed.await;
            tokio::time::sleep(SETTLE).await;
        };
        if stop.run_until_cancelled(settled).await.is_none() {
            return;
        }
    }
}
