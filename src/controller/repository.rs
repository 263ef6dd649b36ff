//! One loop a repository: looks at the branch's head, reads new commits, and keeps the set of target loops.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::checkout::{self, Checkout, Place};
use crate::config::fleet_file::{Vanished, vanished};
use crate::config::settings::{Labels, Limits};
use crate::git::{Git, GitError, Source, Wanted};
use crate::model::{HostName, RepositoryName, StackName};
use crate::report::Target;
use crate::schedule::{self, Failures};

use super::board::Board;
use super::clock;
use super::files::DataFolder;
use super::host::Host;
use super::target::TargetLoop;

/// What a repository's loop works with.
#[derive(Debug, Clone)]
pub(super) struct RepositoryLoop {
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
    /// Hosts that this daemon keeps.
    pub hosts: BTreeMap<HostName, Arc<Host>>,
    /// Labels of all hosts of the settings, for the fleet file's selectors.
    pub labels: Arc<BTreeMap<HostName, Labels>>,
    /// What is known of its targets.
    pub board: Arc<Board>,
    /// Locks and memory.
    pub data: DataFolder,
    /// Limits.
    pub limits: Arc<Limits>,
    /// Passes at one time.
    pub seats: Arc<Semaphore>,
    /// "Look now", from webhooks and signals.
    pub look_now: Arc<Notify>,
}

/// The target loops that run.
#[derive(Default)]
struct Loops {
    running: JoinSet<Target>,
    stops: BTreeMap<Target, CancellationToken>,
}

impl RepositoryLoop {
    /// Follows the branch until `stop`, then waits for its targets.
    pub(super) async fn run(self, stop: CancellationToken) {
        let (sender, receiver) = watch::channel::<Option<Arc<Checkout>>>(None);
        let mut watcher = self.watched.as_deref().and_then(|path| crate::git::watch(path).ok());
        let mut loops = Loops::default();
        let mut failures = Failures::default();
        let mut round = 0_u64;
        loop {
            let wait = match stop
                .run_until_cancelled(Box::pin(self.look(&sender, &receiver, &mut loops, &stop)))
                .await
            {
                None => break,
                Some(Ok(())) => {
                    if failures.in_a_row() > 0 {
                        tracing::info!(repository = %self.name, "repository can be read again");
                    }
                    failures.succeeded();
                    let seed = schedule::seed(self.name.as_str(), round);
                    schedule::next_poll(clock::now(), self.interval, seed).since(clock::now())
                }
                Some(Err(error)) => {
                    self.complain(&error, &failures);
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
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.look_now.notified() => {}
                () = hinted => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        while let Some(ended) = loops.running.join_next().await {
            note_end(ended);
        }
    }

    /// Looks at the head; reads the commit when it is another one.
    async fn look(
        &self,
        sender: &watch::Sender<Option<Arc<Checkout>>>,
        receiver: &watch::Receiver<Option<Arc<Checkout>>>,
        loops: &mut Loops,
        stop: &CancellationToken,
    ) -> Result<(), GitError> {
        let head = self.git.head(&self.source, stop).await?;
        let known = receiver.borrow().as_ref().map(|checkout| checkout.revision.clone());
        if known.as_ref() == Some(&head) {
            return Ok(());
        }
        let place = Place {
            git: &self.git,
            source: &self.source,
            repository: &self.name,
            hosts: &self.labels,
        };
        let mut checkout = checkout::read(&place, &Wanted::Revision(head), stop).await?;
        tracing::info!(repository = %self.name, revision = %checkout.revision, subject = %checkout.facts.subject, "new commit");
        for problem in &checkout.problems.0 {
            tracing::warn!(repository = %self.name, "{problem}");
        }
        let previous = receiver.borrow().clone();
        self.keep_what_is_there(&mut checkout, previous.as_deref());
        let targets = self.targets(&checkout);
        self.board.expect(&checkout.revision, &targets, checkout.fleet_problem());
        sender.send_replace(Some(Arc::new(checkout)));
        self.keep_loops(targets, receiver, loops, stop);
        Ok(())
    }

    /// A fleet file that cannot be used, and a fleet that is suddenly empty, change nothing: the stacks of the commit
    /// before stay as they are. Stacks that are really gone are kept once more, without services.
    fn keep_what_is_there(&self, checkout: &mut Checkout, previous: Option<&Checkout>) {
        let Some(previous) = previous else { return };
        if checkout.fleet_problem().is_some() {
            checkout.stacks.clone_from(&previous.stacks);
            return;
        }
        let names = |checkout: &Checkout| -> BTreeSet<StackName> {
            checkout.stacks.keys().cloned().collect()
        };
        match vanished(&names(previous), &names(checkout)) {
            Vanished::None => {}
            Vanished::All { had } => {
                tracing::warn!(repository = %self.name, had, "no stack is left in the commit; nothing is removed");
            }
            Vanished::Some(gone) => {
                for name in gone {
                    if let Some(stack) = previous.stacks.get(&name) {
                        tracing::info!(repository = %self.name, stack = %name, "stack is no longer in the repository");
                        checkout.stacks.insert(name, Arc::new(stack.emptied()));
                    }
                }
            }
        }
    }

    /// Stacks times hosts, as far as this daemon keeps them.
    fn targets(&self, checkout: &Checkout) -> Vec<Target> {
        let all = checkout.stacks.values().flat_map(|stack| {
            let chosen = stack.stack.hosts.select(&self.labels);
            chosen.into_iter().filter(|host| self.hosts.contains_key(host)).map(|host| Target {
                repository: self.name.clone(),
                stack: stack.stack.name.clone(),
                host,
            })
        });
        all.collect()
    }

    /// Starts loops of new targets and ends those that are asked for no more.
    fn keep_loops(
        &self,
        targets: Vec<Target>,
        checkouts: &watch::Receiver<Option<Arc<Checkout>>>,
        loops: &mut Loops,
        stop: &CancellationToken,
    ) {
        while let Some(ended) = loops.running.try_join_next() {
            note_end(ended);
        }
        let wanted: BTreeSet<Target> = targets.into_iter().collect();
        loops.stops.retain(|target, token| {
            let stays = wanted.contains(target);
            if !stays {
                token.cancel();
            }
            stays
        });
        for target in wanted {
            if loops.stops.contains_key(&target) {
                continue;
            }
            let Some(host) = self.hosts.get(&target.host) else { continue };
            let token = stop.child_token();
            loops.stops.insert(target.clone(), token.clone());
            let worker = TargetLoop {
                target: target.clone(),
                checkouts: checkouts.clone(),
                host: Arc::clone(host),
                board: Arc::clone(&self.board),
                data: self.data.clone(),
                limits: Arc::clone(&self.limits),
                seats: Arc::clone(&self.seats),
            };
            loops.running.spawn(async move {
                worker.run(token).await;
                target
            });
        }
    }

    fn complain(&self, error: &GitError, failures: &Failures) {
        if failures.in_a_row() == 0 {
            let help = error.help();
            tracing::warn!(repository = %self.name, error = %chain(error), %help, "cannot read the repository; hosts stay as they are");
        } else {
            tracing::debug!(repository = %self.name, error = %chain(error), "still cannot read the repository");
        }
    }
}

fn chain(error: &GitError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn note_end(ended: Result<Target, tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "internal error: a target's loop panicked");
    }
}
