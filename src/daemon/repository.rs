//! One loop a repository: looks at the branch's head, reads new commits, and keeps the set of target loops.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::commit::{self, Commit, Place};
use crate::git::{Git, GitError, Source, Wanted};
use crate::model::{Digest, RepositoryName, chain};
use crate::report::Target;
use crate::schedule::{self, Failures};

use crate::clock;
use crate::commit::removed::retire;
use crate::daemon::first_looks::FirstLooks;
use crate::daemon::target::TargetLoop;
use crate::daemon::view::{Unreadable, View};
use crate::data::journal::{Entry, Kind};
use crate::reconcile::Intent;
use crate::reconcile::context::Context;

/// The newest commit, for the loops of its targets.
type Commits = (watch::Sender<Option<Arc<Commit>>>, watch::Receiver<Option<Arc<Commit>>>);

/// What a repository's loop works with.
#[derive(Debug, Clone)]
pub(crate) struct RepositoryLoop {
    /// Its name.
    pub name: RepositoryName,
    /// Where it is.
    pub source: Source,
    /// Between two looks at the head, before jitter.
    pub interval: Duration,
    /// A local remote's folder, which is watched.
    pub watched: Option<PathBuf>,
    /// Clones.
    pub git: Arc<Git>,
    /// What it shares with its targets' loops.
    pub context: Arc<Context>,
    /// "Look now", from webhooks and signals.
    pub look_now: Arc<Notify>,
    /// Told once the repository was read.
    pub first_looks: FirstLooks,
    /// Told whether it can be read.
    pub view: View,
}

/// The target loops that run.
#[derive(Default)]
struct Loops {
    running: JoinSet<()>,
    by_target: BTreeMap<Target, (tokio::task::Id, CancellationToken)>,
}

impl Loops {
    /// Forgets loops that have ended.
    fn tidy(&mut self) {
        while let Some(ended) = self.running.try_join_next_with_id() {
            let task = match ended {
                Ok((task, ())) => task,
                Err(error) => {
                    note_end(&error);
                    error.id()
                }
            };
            self.by_target.retain(|_, (id, _)| *id != task);
        }
    }

    /// Ends the loops of targets that are not among these.
    fn keep_only(&mut self, wanted: &BTreeSet<Target>) {
        self.by_target.retain(|target, (_, stop)| {
            let stays = wanted.contains(target);
            if !stays {
                stop.cancel();
            }
            stays
        });
    }

    /// Starts the loop of a target, unless it runs.
    fn start(&mut self, worker: TargetLoop, stop: &CancellationToken) {
        if self.by_target.contains_key(&worker.target) {
            return;
        }
        let (target, token) = (worker.target.clone(), stop.child_token());
        let task = self.running.spawn(worker.run(token.clone()));
        self.by_target.insert(target, (task.id(), token));
    }
}

/// Why a commit that is known is read once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Anew {
    /// A host told what was kept before it.
    Told,
    /// It refers to something that could not be had.
    Awaited,
}

/// Whether something that the newest commit refers to is still to come.
fn is_awaited(commits: &watch::Receiver<Option<Arc<Commit>>>) -> bool {
    commits.borrow().as_ref().is_some_and(|commit| commit.is_awaited)
}

impl RepositoryLoop {
    /// Follows the branch until `stop`, then waits for its targets.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let keeping = self.context.store.keep_gates(&self.context.hosts, stop.clone());
        let placing = self.context.roster.run(stop.clone());
        tokio::join!(keeping, placing, Box::pin(self.follow(&stop)));
    }

    async fn follow(&self, stop: &CancellationToken) {
        let commits: Commits = watch::channel(None);
        let mut watcher = self.watched.as_deref().and_then(|path| crate::git::watch(path).ok());
        let mut loops = Loops::default();
        let mut failures = Failures::default();
        let mut round = 0_u64;
        // A host that is heard late may keep what the commit does not ask for any more.
        let mut learned = self.context.data.learned();
        let mut anew = None;
        loop {
            let look = self.look(&commits, &mut loops, anew, stop);
            let wait = match stop.run_until_cancelled(Box::pin(look)).await {
                None => break,
                Some(Ok(())) => {
                    anew = None;
                    self.first_looks.was_read(&self.name);
                    if failures.in_a_row() > 0 {
                        tracing::info!(repository = %self.name, "repository can be read again");
                    }
                    failures.succeeded();
                    self.view.reading(&self.name, None);
                    let seed = schedule::seed(self.name.as_str(), round);
                    let poll = schedule::next_poll(clock::now(), self.interval, seed);
                    let poll = poll.since(clock::now());
                    if is_awaited(&commits.1) { poll.min(schedule::HELD_LOOK) } else { poll }
                }
                Some(Err(error)) => {
                    self.complain(&error, &failures);
                    let (why, help) = (chain::in_full(&error), error.help());
                    let trouble = Unreadable { since: clock::now(), why, help };
                    self.view.reading(&self.name, Some(trouble));
                    failures.failed(error.remedy(), clock::now());
                    let retry = schedule::retry_delay(error.remedy(), failures.in_a_row());
                    retry.unwrap_or(self.interval)
                }
            };
            round = round.wrapping_add(1);
            let hinted = async {
                match &mut watcher {
                    Some(watcher) => {
                        if watcher.next().await.is_none() {
                            std::future::pending::<()>().await;
                        }
                    }
                    None => std::future::pending().await,
                }
            };
            let known = Self::outside_known(&commits.1);
            let outside_changes = async {
                match &known {
                    Some(known) => self.context.cache.outside.changed(known).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.look_now.notified() => {}
                () = outside_changes => {}
                Ok(()) = learned.changed() => anew = Some(Anew::Told),
                () = hinted => {}
                () = tokio::time::sleep(wait) => {
                    anew = anew.or(is_awaited(&commits.1).then_some(Anew::Awaited));
                }
            }
        }
        while let Some(ended) = loops.running.join_next().await {
            if let Err(error) = ended {
                note_end(&error);
            }
        }
    }

    /// What lay outside Git when the newest commit was read.
    fn outside_known(receiver: &watch::Receiver<Option<Arc<Commit>>>) -> Option<Digest> {
        receiver.borrow().as_ref().map(|commit| commit.outside.clone())
    }

    /// Looks at the head; reads the commit when it is another one, when what lies outside Git changed, and `anew`, for
    /// these reasons.
    async fn look(
        &self,
        (sender, receiver): &Commits,
        loops: &mut Loops,
        anew: Option<Anew>,
        stop: &CancellationToken,
    ) -> Result<(), GitError> {
        let head = self.git.head(&self.source, stop).await?;
        let outside = &self.context.cache.outside;
        let known = receiver.borrow().as_ref().map(|commit| commit.revision.clone());
        let is_known = known.as_ref() == Some(&head);
        let is_given_alike =
            Self::outside_known(receiver).as_ref() == Some(&outside.state_now().await);
        if is_known && is_given_alike && anew.is_none() {
            return Ok(());
        }
        let place = Place {
            git: &self.git,
            source: &self.source,
            repository: &self.name,
            hosts: &self.context.labels,
            outside,
            proposed_for: None,
        };
        let mut commit = commit::read(&place, &Wanted::Revision(head), stop).await?;
        if is_known && is_given_alike && anew == Some(Anew::Awaited) {
            let before = receiver.borrow().as_ref().map(Arc::clone);
            if before.is_some_and(|before| commit.is_awaited && commit.asks_the_same(&before)) {
                return Ok(());
            }
            tracing::info!(repository = %self.name, revision = %commit.revision, "what the commit refers to is there now");
        } else if is_known && is_given_alike {
            tracing::info!(repository = %self.name, revision = %commit.revision, "a host told of stacks that were not known");
        } else if is_known {
            tracing::info!(repository = %self.name, revision = %commit.revision, "what stacks are given from outside Git changed");
        } else {
            tracing::info!(repository = %self.name, revision = %commit.revision, subject = %commit.facts.subject, "new commit");
            self.tell(&commit);
        }
        let targets = self.settle(&mut commit, receiver.borrow().as_deref());
        for problem in &commit.problems.0 {
            tracing::warn!(repository = %self.name, "{problem}");
        }
        self.context.begin(&commit, &targets, self.context.all_targets(&commit));
        sender.send_replace(Some(Arc::new(commit)));
        self.keep_loops(targets, receiver, loops, stop);
        Ok(())
    }

    /// What is to be kept at a commit. A commit that cannot be used changes nothing: the stacks of the one before stay
    /// as they are. Targets that are really gone are kept once more, emptied.
    fn settle(&self, commit: &mut Commit, previous: Option<&Commit>) -> Vec<Target> {
        if commit.fleet_problem().is_none() {
            let wanted = self.context.targets(commit);
            let hosts = self.context.hosts.keys().cloned().collect();
            if let Err(error) = retire(commit, &self.context.data, &self.name, &wanted, &hosts) {
                tracing::warn!(repository = %self.name, %error, "cannot tell which stacks are gone; none is removed");
            }
        }
        if commit.fleet_problem().is_some() {
            if let Some(previous) = previous {
                commit.stacks.clone_from(&previous.stacks);
                commit.retired.clone_from(&previous.retired);
                commit.before.clone_from(&previous.before);
                commit.heirs.clone_from(&previous.heirs);
                commit.taken_over.clone_from(&previous.taken_over);
            } else {
                // Half a fleet is not acted on: what it does not name would be missed by what it does.
                commit.stacks.clear();
            }
        }
        self.context.retired(commit).chain(self.context.targets(commit)).collect()
    }

    /// Starts loops of new targets and ends those that are asked for no more.
    fn keep_loops(
        &self,
        targets: Vec<Target>,
        commits: &watch::Receiver<Option<Arc<Commit>>>,
        loops: &mut Loops,
        stop: &CancellationToken,
    ) {
        loops.tidy();
        let wanted: BTreeSet<Target> = targets.into_iter().collect();
        loops.keep_only(&wanted);
        for target in wanted {
            let Some(host) = self.context.hosts.get(&target.host) else { continue };
            let worker = TargetLoop {
                target: target.clone(),
                commits: commits.clone(),
                host: Arc::clone(host),
                orders: self.context.orders.clone(),
                context: Arc::clone(&self.context),
                intent: Intent::Keep,
                passes_by: false,
                listener: None,
            };
            loops.start(worker, stop);
        }
    }

    fn tell(&self, commit: &Commit) {
        let text = format!("new commit: {}", commit.facts.subject);
        self.context.data.tell(&Entry {
            repository: Some(self.name.clone()),
            revision: Some(commit.revision.clone()),
            ..Entry::new(clock::now(), Kind::Commit, text)
        });
    }

    fn complain(&self, error: &GitError, failures: &Failures) {
        if failures.in_a_row() == 0 {
            let help = error.help();
            tracing::warn!(repository = %self.name, error = %chain::in_full(error), %help, "cannot read the repository; hosts stay as they are");
        } else {
            tracing::debug!(repository = %self.name, error = %chain::in_full(error), "still cannot read the repository");
        }
    }
}

fn note_end(error: &tokio::task::JoinError) {
    if error.is_panic() {
        tracing::error!(%error, "internal error: a target's loop panicked");
    }
}
