//! What other daemons say of the hosts that they keep.
//!
//! A daemon of one host cannot look at the others, and its stacks may come after theirs. Each daemon says on the commit
//! how far its own targets are; where somebody here waits for them, that is read. *Caveat.* A commit that was deployed
//! before and is the head again still carries what was said the first time.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::fleet::TargetName;
use crate::fleet::waves::Standing;
use crate::forge::Forge;
use crate::git::{self, Git, Source};
use crate::model::{CommitState, CommitStatus, Progress, RepositoryName, Revision, Timestamp};
use crate::report::status::{self, Naming};
use crate::schedule;

use crate::clock;
use crate::reconcile::context::Context;
use crate::state::Change;

/// Between two readings while somebody waits: at first, and at most.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// Reads for one repository.
#[derive(Debug)]
pub(crate) struct PeerStatuses {
    name: RepositoryName,
    /// Who waits, and is told.
    context: Arc<Context>,
}

/// Where daemons say how far they are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stand<'a> {
    /// In notes of the repository.
    Notes(&'a Git, &'a Source),
    /// In statuses of the forge.
    Forge(&'a Forge),
    /// Nowhere: whoever waits for others waits until its deadline.
    Nowhere,
}

impl PeerStatuses {
    /// For those who wait in a repository's loop.
    pub(crate) fn of(name: &RepositoryName, context: &Arc<Context>) -> Self {
        Self { name: name.clone(), context: Arc::clone(context) }
    }

    /// Reads while somebody waits, until `stop`.
    pub(crate) async fn follow(&self, stand: Stand<'_>, stop: &CancellationToken) {
        let mut asked: Option<Revision> = None;
        let mut tries = 0_u32;
        loop {
            let pause = match self.context.store.awaited() {
                None => None,
                Some((revision, targets)) => {
                    if asked.as_ref() != Some(&revision) {
                        (tries, asked) = (0, Some(revision.clone()));
                    }
                    if tries == 0 {
                        tracing::info!(repository = %self.name, revision = %revision.short(), first = ?targets.first().map(ToString::to_string), "waiting for hosts of other daemons");
                        self.warn_of_silence(stand);
                    }
                    self.ask(stand, &revision, &targets, stop).await;
                    tries = tries.saturating_add(1);
                    Some(schedule::backed_off(FIRST, 2, LONGEST, tries))
                }
            };
            let pause = async {
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => self.context.store.somebody_waits().await,
                }
            };
            if stop.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }

    fn warn_of_silence(&self, stand: Stand<'_>) {
        if let Stand::Nowhere = stand {
            tracing::warn!(
                repository = %self.name,
                "how far other daemons are is told on commits only: let `forge.kind` be `notes` or a forge"
            );
        }
    }

    async fn ask(
        &self,
        stand: Stand<'_>,
        revision: &Revision,
        targets: &[TargetName],
        stop: &CancellationToken,
    ) {
        let statuses = match read(stand, revision, stop).await {
            None => return,
            Some(Ok(statuses)) => statuses,
            Some(Err(error)) => {
                tracing::debug!(repository = %self.name, %error, "cannot read what other daemons say");
                return;
            }
        };
        let now = clock::now();
        for target in targets {
            let context = status::context(&target.stack, Naming::StackAtHost(&target.host));
            if let Some(said) = statuses.iter().find(|said| said.context == context) {
                let (target, newest) = (target.clone(), revision.clone());
                let standing = standing(said, now);
                self.context.store.apply(Change::Heard { target, newest, standing });
            }
        }
    }
}

/// What is said of a commit; `None` where nobody says anything, or it is time to leave.
async fn read(
    stand: Stand<'_>,
    revision: &Revision,
    stop: &CancellationToken,
) -> Option<Result<Vec<CommitStatus>, String>> {
    match stand {
        Stand::Notes(git, source) => {
            let read = Box::pin(git::notes::read(git, source, revision, stop)).await;
            Some(read.map_err(|error| error.to_string()))
        }
        Stand::Forge(forge) => {
            let read = stop.run_until_cancelled(Box::pin(forge.read_statuses(revision))).await;
            Some(read?.map_err(|error| error.in_full()))
        }
        Stand::Nowhere => None,
    }
}

/// How far a target is, by its status. Who waits, or was stopped by others, has not begun.
fn standing(said: &CommitStatus, now: Timestamp) -> Standing {
    let why = || status::without_word(&said.description).to_owned();
    match (said.state, status::read_progress(said)) {
        (CommitState::Success, _) => Standing::Done,
        (CommitState::Error, _) => Standing::Unknown { since: now },
        (_, Some(Progress::Deploying)) => Standing::Going { since: now },
        (_, Some(Progress::Waiting | Progress::Stopped) | None) => Standing::Waiting,
        (_, Some(Progress::Failed)) => Standing::Failed { why: why() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(state: CommitState, text: &str) -> Standing {
        let context = "moorline/shop@edge-1".to_owned();
        standing(&status::line_of(context, state, text), NOW)
    }

    const NOW: Timestamp = Timestamp::from_millis(7);

    #[test]
    fn the_word_of_a_status_says_how_far_its_target_is_whatever_the_sentence_is() {
        let going = Standing::Going { since: NOW };
        assert_eq!(told(CommitState::Success, "nothing to do on 1 host"), Standing::Done);
        assert_eq!(told(CommitState::Pending, "web-1 kommt hoch [deploying]"), going);
        assert_eq!(told(CommitState::Pending, "deploying waits [waiting]"), Standing::Waiting);
        assert_eq!(told(CommitState::Failure, "nothing more [stopped]"), Standing::Waiting);
        let failed = Standing::Failed { why: "stopped: it did [not]".to_owned() };
        assert_eq!(told(CommitState::Failure, "stopped: it did [not] [failed]"), failed);
        assert_eq!(told(CommitState::Error, "unknown"), Standing::Unknown { since: NOW });
    }

    #[test]
    fn what_daemons_said_that_had_no_word_yet_is_still_understood() {
        let going = Standing::Going { since: NOW };
        assert_eq!(told(CommitState::Pending, "deploying: web-1 is starting"), going);
        assert_eq!(told(CommitState::Pending, "window opens at 07:00"), Standing::Waiting);
        let stopped = "stopped: shop@edge-0 failed: web-1 unhealthy";
        assert_eq!(told(CommitState::Failure, stopped), Standing::Waiting);
        let failed = Standing::Failed { why: "degraded: web".to_owned() };
        assert_eq!(told(CommitState::Failure, "degraded: web"), failed);
    }

    #[test]
    fn what_one_daemon_writes_another_one_reads() {
        for progress in Progress::ALL {
            let context = "moorline/shop@edge-1".to_owned();
            let long = "a sentence that is long ".repeat(10);
            let status = status::line_of(context, CommitState::Failure, &long);
            let status = CommitStatus { progress: Some(progress), ..status };
            let description = status::written(&status);
            assert!(description.chars().count() <= 140, "{description}");
            let read = CommitStatus { description, progress: None, ..status };
            assert_eq!(status::read_progress(&read), Some(progress));
        }
    }
}
