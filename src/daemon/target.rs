//! One loop a target: waits until a pass is due, runs it, puts its report on the board.
//!
//! *Guarantees:* no pass of a target overlaps another, in this process or any other that uses the data folder; rings
//! during a pass lead to one more. *Caveats:* a newer commit ends the waits of a running pass, not its calls.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::commit::removed;
use crate::commit::{Commit, LoadedStack};
use crate::docker::{Depth, Engine};
use crate::fleet::Orders;
use crate::fleet::waves::Standing;
use crate::model::{CommitState, Observed, Outcome, Remedy, Timestamp};
use crate::reconcile::apply::{Event, Listener};
use crate::reconcile::pass::{self, Around, Memory, Mode, Work};
use crate::report::{Failure, Report, Target, Wait, status};
use crate::schedule::{self, Failures, PassEnded};

use crate::clock;
use crate::data::journal::Entry;
use crate::reconcile::admission::{Admission, Asking};
use crate::reconcile::board::Standing as Shown;
use crate::reconcile::context::Context;
use crate::reconcile::gates::standing_of;
use crate::reconcile::host::{Host, Link, Ring, TargetBell, unknown_since};

/// One target's loop.
#[derive(Debug)]
pub(crate) struct TargetLoop {
    /// Which stack on which host.
    pub target: Target,
    /// The newest commit of its repository.
    pub commits: watch::Receiver<Option<Arc<Commit>>>,
    /// The host.
    pub host: Arc<Host>,
    /// What was last read of the orders.
    pub orders: watch::Receiver<Arc<Orders>>,
    /// All the rest.
    pub means: Arc<Context>,
}

/// What a loop remembers.
struct LoopState {
    memory: Memory,
    failures: Failures,
    /// The commit that this target is kept at: the newest one that nothing kept from being deployed.
    current: Option<Arc<Commit>>,
    full_look_at: Timestamp,
    round: u64,
    /// Whether the last pass left everything in sync.
    good: bool,
    said: String,
}

impl TargetLoop {
    /// Keeps the target until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let bell = Arc::new(TargetBell::default());
        self.host.attach(&self.target.stack, &bell);
        let mut link = self.host.link();
        let record = self.means.data.recall(&self.target);
        let mut course = LoopState {
            memory: Memory::since(record.reached),
            failures: Failures::default(),
            current: None,
            full_look_at: clock::now(),
            round: 0,
            good: false,
            said: String::new(),
        };
        bell.ring(Ring::Full);
        let mut due = clock::now();
        loop {
            let pause = due.since(clock::now());
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = bell.rung() => {}
                changed = self.commits.changed() => if changed.is_err() { break },
                changed = link.changed() => if changed.is_err() { break },
                changed = self.orders.changed() => if changed.is_err() { break },
                () = tokio::time::sleep(pause) => {}
            }
            let now_linked = link.borrow_and_update().clone();
            // Boxed, so that a loop that waits holds no more than what it waits for.
            match Box::pin(self.turn(&mut course, now_linked, &bell, &stop)).await {
                Some(next) => due = next,
                None => break,
            }
        }
        self.host.detach(&self.target.stack, &bell);
    }

    /// One turn of the loop. Returns when the next one is due if nothing happens before; nothing, when a target that is
    /// asked for no more is gone.
    async fn turn(
        &mut self,
        course: &mut LoopState,
        link: Link,
        bell: &TargetBell,
        stop: &CancellationToken,
    ) -> Option<Timestamp> {
        let quiet = Some(clock::now().plus(self.means.limits.full_look));
        let latest = self.commits.borrow_and_update().clone();
        let Some(latest) = latest else { return quiet };
        let leave = Box::pin(self.leave(course, &latest, stop)).await;
        let commit = Arc::clone(&leave.commit);
        let Some(stack) = commit.stack_of(&self.target).cloned() else { return quiet };
        if !leave.look_only {
            course.current = Some(Arc::clone(&commit));
        }
        let engine = match link {
            Link::Up(engine) => engine,
            Link::Connecting => {
                self.wait(leave.wait.as_ref(), &latest);
                return quiet;
            }
            Link::Down { since, failure } => {
                self.report_down(&latest, since, &failure);
                self.means.roster.poke();
                return quiet;
            }
        };
        if stack.project.is_none() {
            self.wait(leave.wait.as_ref(), &latest);
            return quiet;
        }
        let full = bell.take_full() || course.full_look_at <= clock::now();
        let depth = if full { Depth::Full } else { Depth::Changed };
        let mode = if leave.look_only { Mode::Show } else { Mode::Sync };
        if leave.wait.is_none() {
            self.means.keeper.begins(&self.target.name(), &latest.revision, clock::now());
        }
        let mut report =
            Box::pin(self.pass(course, (&commit, &stack), (&engine, depth, mode), stop)).await;
        if stop.is_cancelled() && report.failure.is_some() {
            return quiet;
        }
        if leave.wait.is_some() {
            report.wait.clone_from(&leave.wait);
        }
        self.conclude(course, &report, depth);
        let cut_short = report.outcomes().any(|outcome| *outcome == Outcome::Cancelled);
        let report = Arc::new(report.at_rest());
        self.means.board.report(&report);
        self.host.prunes(&self.target.stack, removed::has_data_to_prune(&report, &stack));
        let was_good = std::mem::replace(&mut course.good, report.is_good());
        if course.good && !was_good {
            self.host.ring_pruners(&self.target.stack);
        }
        self.wait(report.wait.as_ref(), &latest);
        if report.wait.is_none() {
            self.stands(&latest, standing_of(&report));
        }
        if self.is_gone(&commit, &report) {
            return None;
        }
        let until = report.wait.as_ref().and_then(|wait| wait.until);
        let due = self.next_due(course, until);
        // A wait that was ended by a newer commit goes on at once.
        Some(if cut_short { clock::now() } else { due })
    }

    /// What it may do with the newest commit.
    async fn leave(
        &mut self,
        course: &LoopState,
        latest: &Arc<Commit>,
        stop: &CancellationToken,
    ) -> Admission {
        let orders = Arc::clone(&self.orders.borrow_and_update());
        let now = clock::now();
        let asking = Asking {
            target: &self.target,
            latest,
            current: course.current.as_ref(),
            reached: course.memory.reached.as_ref(),
            orders: &orders,
            gate: self.means.keeper.gate(&self.target.name(), &latest.revision, now),
            labels: &self.means.labels,
            passes_by: false,
            now,
        };
        asking.leave(&self.means.archive, stop).await
    }

    /// Says what keeps the newest commit from being deployed here, if anything does.
    fn wait(&self, wait: Option<&Wait>, latest: &Commit) {
        if let Some(wait) = wait {
            self.means.board.stands(&self.target, Shown::Waiting(wait.clone()));
            self.stands(latest, Standing::Waiting);
        }
    }

    /// How far it is with the newest commit: what others wait for.
    fn stands(&self, latest: &Commit, standing: Standing) {
        self.means.keeper.note(&self.target.name(), &latest.revision, standing);
    }

    /// Whether this target was asked for no more, and nothing of it is left. It is forgotten then.
    fn is_gone(&self, commit: &Commit, report: &Report) -> bool {
        let gone = commit.is_retired(&self.target)
            && removed::is_done_with(report, commit.stack_of(&self.target));
        if gone && let Err(error) = self.means.data.forget(&self.target) {
            tracing::warn!(%error, "cannot forget a target that is gone");
        }
        gone
    }

    /// One pass, which ends with its host: calls that nobody will answer are not waited for.
    async fn pass(
        &self,
        course: &mut LoopState,
        (commit, stack): (&Commit, &LoadedStack),
        how: (&Engine, Depth, Mode),
        stop: &CancellationToken,
    ) -> Report {
        let pass =
            self.means.seats.run(move || Box::pin(self.seated(course, (commit, stack), how, stop)));
        tokio::select! {
            report = pass => report,
            failure = self.host.goes_down() => {
                let (target, revision) = (self.target.clone(), commit.revision.clone());
                Report::failed(target, revision, clock::now(), failure)
            }
        }
    }

    async fn seated(
        &self,
        course: &mut LoopState,
        (commit, stack): (&Commit, &LoadedStack),
        (engine, depth, mode): (&Engine, Depth, Mode),
        stop: &CancellationToken,
    ) -> Report {
        let failed = |failure| {
            Report::failed(self.target.clone(), commit.revision.clone(), clock::now(), failure)
        };
        let _lock = match self.means.data.lock_target(&self.target, stop).await {
            Ok(lock) => lock,
            Err(error) => {
                return failed(Failure { message: error.to_string(), remedy: error.remedy() });
            }
        };
        if mode != Mode::Show
            && !commit.is_retired(&self.target)
            && let Err(error) =
                self.means.data.keep(&self.target, &stack.stack, stack.project_name())
        {
            tracing::warn!(%error, "cannot remember that this stack is kept");
        }
        let policy = stack.stack.policy(&self.means.limits);
        let latest = self.commits.borrow().clone();
        let approvals = self.orders.borrow().approvals.clone();
        let name = self.target.name();
        let share = |observed: &Observed| self.means.roster.share(&name, observed).boxed();
        let work = Work {
            target: &self.target,
            stack,
            revision: &commit.revision,
            policy: &policy,
            engine,
            host_data: &self.host.data,
            mode,
            share: Some(&share),
            approvals: &approvals,
            around: Around {
                newest: latest.as_ref().map(|latest| Arc::clone(&latest.claims)),
                unsettled: policy
                    .prune
                    .volumes
                    .then(|| self.means.board.unsettled(&self.target))
                    .flatten(),
            },
            depth,
            listener: self.listener(),
            clock: clock::now,
        };
        // A newer commit for this stack ends the waits of this pass: what it waits for may never come.
        let own = stop.child_token();
        let superseded = self.superseded(stack);
        // A bug in one pass is this target's failure, and nobody else's. What it remembered is not trusted any more.
        let begun = clock::now();
        let ended = {
            let running =
                AssertUnwindSafe(pass::run(&work, &mut course.memory, &own)).catch_unwind();
            tokio::pin!(running);
            tokio::select! {
                ended = &mut running => ended,
                () = superseded => {
                    tracing::info!(target_name = %self.target, "a newer commit ends the waits of this pass");
                    own.cancel();
                    running.await
                }
            }
        };
        let millis = clock::now().since(begun).as_millis();
        tracing::debug!(stack = %self.target.stack, host = %self.target.host, ?depth, millis, "pass ended");
        ended.unwrap_or_else(|panic| {
            let message = format!("internal error: {}", said_by(&*panic));
            tracing::error!(stack = %self.target.stack, host = %self.target.host, "{message}");
            course.memory = Memory::since(self.means.data.recall(&self.target).reached);
            failed(Failure { message, remedy: Remedy::Operator })
        })
    }

    /// Resolves when a newer commit changes this stack.
    async fn superseded(&self, stack: &LoadedStack) {
        let mut commits = self.commits.clone();
        loop {
            if commits.changed().await.is_err() {
                return std::future::pending().await;
            }
            let latest = commits.borrow_and_update().clone();
            let same = latest
                .and_then(|latest| {
                    latest.stack_of(&self.target).map(|new| new.digest == stack.digest)
                })
                .unwrap_or(false);
            if !same {
                return;
            }
        }
    }

    fn listener(&self) -> Listener {
        let (board, target) = (Arc::clone(&self.means.board), self.target.clone());
        Arc::new(move |event| match event {
            Event::Begun(step) => {
                if step.id.0 == 1 {
                    board.stands(&target, Shown::Deploying);
                }
            }
            Event::Progress(..) => {}
            Event::Ended(step, outcome) => match &outcome.outcome {
                Outcome::Done => {
                    tracing::info!(stack = %target.stack, host = %target.host, because = %step.because, millis = outcome.millis, "{}", step.action);
                }
                Outcome::Failed { error, .. } => {
                    tracing::error!(stack = %target.stack, host = %target.host, because = %step.because, %error, "{} failed", step.action);
                }
                Outcome::Blocked { .. } | Outcome::Cancelled => {}
            },
        })
    }

    fn report_down(&self, commit: &Commit, since: Timestamp, failure: &Failure) {
        let failure = unknown_since(since, failure);
        let report =
            Report::failed(self.target.clone(), commit.revision.clone(), clock::now(), failure);
        self.means.board.report(&Arc::new(report));
        self.stands(commit, Standing::Unknown { since });
    }

    fn conclude(&self, course: &mut LoopState, report: &Report, depth: Depth) {
        let now = clock::now();
        match report.remedy() {
            Some(remedy) => course.failures.failed(remedy, now),
            None => course.failures.succeeded(),
        }
        if report.remedy() == Some(Remedy::Retry) {
            self.host.doubt();
        }
        if depth == Depth::Full && report.failure.is_none() {
            let seed = schedule::seed(&self.target.to_string(), course.round);
            course.full_look_at = schedule::next_full_look(now, self.means.limits.full_look, seed);
        }
        course.round = course.round.wrapping_add(1);
        if let Some(done) = Entry::of_pass(report) {
            self.means.data.tell(&done);
        }
        self.say(course, report);
        if report.is_good()
            && let Err(error) = self.means.data.reach(&self.target, &report.revision, now)
        {
            tracing::warn!(%error, "cannot remember the reached revision");
        }
        self.use_up_approval(report);
    }

    /// One yes is one deployment.
    fn use_up_approval(&self, report: &Report) {
        let name = self.target.name();
        let acted = report.outcomes().next().is_some();
        let is_approved =
            || self.orders.borrow().approvals.iter().any(|approval| approval.target == name);
        if acted
            && is_approved()
            && let Err(error) = self.means.data.change_orders(|orders| orders.use_up(&name))
        {
            tracing::warn!(%error, "cannot note that an approval was used");
        }
    }

    /// A quiet target is quiet: only a change of its verdict is logged.
    fn say(&self, course: &mut LoopState, report: &Report) {
        let state = status::state(report);
        let line = format!("{state}: {} at {}", status::line(report), report.revision.short());
        if line == course.said {
            return;
        }
        let (stack, host) = (&self.target.stack, &self.target.host);
        match state {
            CommitState::Success | CommitState::Pending => tracing::info!(%stack, %host, "{line}"),
            CommitState::Failure | CommitState::Error => tracing::warn!(%stack, %host, "{line}"),
        }
        self.means.data.tell(&Entry::of_verdict(report));
        course.said = line;
    }

    fn next_due(&self, course: &LoopState, until: Option<Timestamp>) -> Timestamp {
        let now = clock::now();
        let held = course.memory.recoveries.next_due(now);
        let ended = PassEnded {
            at: now,
            failures: course.failures,
            held_until: held.into_iter().chain(until).min(),
        };
        let seed = schedule::seed(&self.target.to_string(), course.round);
        let due = schedule::next_pass(&ended, self.means.limits.full_look, seed);
        due.at.min(course.full_look_at)
    }
}

/// What a panic said.
fn said_by(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a pass panicked")
}
