//! One target, one turn: what may be done, under which lock, what was done, and what is remembered and said of it.
//!
//! The daemon's loops, `sync`, `plan`, `plan --observed` and pull requests all come through here, so that what one of
//! them says is what the others do. They differ in their [`Intent`] and in nothing else.
//!
//! *Guarantees.* No turn of a target overlaps another one that changes it, in this process or any other that uses the
//! data folder. A pass that panics is a failed target, loudly, and nobody else's. A turn that only shows leaves nothing
//! behind. *Caveats.* A newer commit ends the waits of a running pass, not its calls.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::commit::{Commit, LoadedStack, removed};
use crate::data::folder::DataError;
use crate::data::journal::Entry;
use crate::docker::{Depth, Engine};
use crate::fleet::waves::Gate;
use crate::fleet::{TargetName, WaitingOn};
use crate::model::{
    CommitState, LastState, Observed, Outcome, Policy, Remedy, Revision, Timestamp, chain,
};
use crate::report::{Failure, Report, Target, Wait, status};
use crate::schedule::{self, Failures, PassEnded};
use crate::state::Change;

use super::admission::{Admission, Asking};
use super::apply::{Event, Listener};
use super::context::Context;
use super::host::{Host, Link, unknown_since};
use super::pass::{self, Beside, Memory, Mode, Sight, Work};
use super::proposal::panicked;
use super::remembering;

/// After a watch time has passed, before it is looked whether what was watched still runs.
const PROOF_SLACK: Duration = Duration::from_millis(250);

/// Why a turn happens, and so what it may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// To keep the target at what Git says, as policy allows.
    Keep,
    /// The same because an operator says so, for all stacks alike: what was rolled back is tried again. Stacks with
    /// `sync: manual` wait for their name.
    ByHandForAll,
    /// The same because an operator says so and names the stack: one with `sync: manual` too.
    ByHand,
    /// Exactly the plan that was approved, and nothing else.
    Approved,
    /// To say what would be done. The newest commit is shown, whatever keeps it from being deployed.
    Show,
}

impl Intent {
    fn mode(self) -> Mode {
        match self {
            Self::Keep => Mode::Sync,
            Self::ByHandForAll => Mode::SyncAgain,
            Self::ByHand => Mode::SyncByHand,
            Self::Approved => Mode::SyncApproved,
            Self::Show => Mode::Foresee,
        }
    }
}

/// How often it is looked at whether the Engine has removed a container: that it failed to, no event tells.
const REMOVAL_LOOK: Duration = Duration::from_millis(500);

/// What one turn is about.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// Which stack on which host.
    pub(crate) target: &'a Target,
    /// The newest commit.
    pub(crate) commit: &'a Arc<Commit>,
    /// Why it happens.
    pub(crate) intent: Intent,
    /// Windows and waves do not hold: an operator says so.
    pub(crate) passes_by: bool,
    /// The host, as far as it can be reached.
    pub(crate) link: Link,
    /// Events may have been missed: everything is looked at.
    pub(crate) full: bool,
}

/// Who is told while it goes on, and what ends it.
pub(crate) struct Around<'a> {
    /// Who is told of each step.
    pub(crate) listener: Option<Listener>,
    /// The newest commit as it comes: one that changes this stack ends the waits of a running pass, since what they wait
    /// for may never come.
    pub(crate) commits: &'a watch::Receiver<Option<Arc<Commit>>>,
    /// Ends everything.
    pub(crate) stop: &'a CancellationToken,
}

/// What a target's turns remember of each other. Losing it costs a full look and some patience, never a service.
#[derive(Debug)]
pub(crate) struct TargetMemory {
    /// What its passes remember.
    pub(crate) pass: Memory,
    failures: Failures,
    /// The commit that this target is kept at: the newest one that nothing kept from being deployed.
    current: Option<Arc<Commit>>,
    full_look_at: Timestamp,
    round: u64,
    said: String,
}

impl TargetMemory {
    /// What is left of it after a start.
    pub(crate) fn of(context: &Context, target: &Target) -> Self {
        Self {
            pass: remembering::remembered(&context.data, target),
            failures: Failures::default(),
            current: None,
            full_look_at: clock::now(),
            round: 0,
            said: String::new(),
        }
    }
}

/// What came of a turn.
#[derive(Debug)]
pub(crate) struct Turn {
    /// What it found and did; `None` when nothing could be looked at and everything was said already.
    pub(crate) report: Option<Arc<Report>>,
    /// When the next one is due, if nothing happens before.
    pub(crate) next: Next,
}

/// When a target's next turn is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// At this instant, or when something happens.
    At(Timestamp),
    /// Never: it is asked for no more, and nothing of it is left.
    Gone,
}

/// One turn.
pub(crate) async fn target(
    context: &Context,
    request: Request<'_>,
    memory: &mut TargetMemory,
    around: Around<'_>,
) -> Turn {
    Box::pin(Turning { context, request: &request, around: &around }.turn(memory)).await
}

/// A turn while it goes on.
struct Turning<'a> {
    context: &'a Context,
    request: &'a Request<'a>,
    around: &'a Around<'a>,
}

impl Turning<'_> {
    async fn turn(&self, memory: &mut TargetMemory) -> Turn {
        let Self { context, request, around } = self;
        let (target, latest) = (request.target, request.commit);
        let quiet = Next::At(clock::now().plus(context.limits.full_look));
        let nothing = |report| Turn { report, next: quiet };
        let Some(host) = context.hosts.get(&target.host) else {
            return nothing(Some(self.failed(&latest.revision, unusable("no such host"))));
        };
        let admission = Box::pin(self.admission(memory)).await;
        let admission = match self.heir() {
            Some(heir) => Admission {
                commit: Arc::clone(latest),
                wait: Some(Wait {
                    on: WaitingOn::Data(heir),
                    until: None,
                    state: CommitState::Pending,
                }),
                look_only: true,
            },
            None => admission,
        };
        let commit = if request.intent == Intent::Show { latest } else { &admission.commit };
        let Some(stack) = commit.stack_of(target).map(Arc::clone) else {
            return nothing(Some(self.failed(&latest.revision, unusable("no such stack"))));
        };
        if !admission.look_only {
            memory.current = Some(Arc::clone(commit));
        }
        if stack.project.is_none() {
            self.wait(admission.wait.as_ref());
            return nothing(Some(self.manifest_problem(commit, &stack)));
        }
        let engine = match &request.link {
            Link::Up(engine) => engine,
            Link::Connecting => {
                self.wait(admission.wait.as_ref());
                return nothing(None);
            }
            Link::Down { since, failure } => {
                return nothing(Some(self.out_of_reach(*since, failure)));
            }
        };
        let full = request.full || memory.full_look_at <= clock::now();
        let depth = if full { Depth::Full } else { Depth::Changed };
        let mode = if admission.look_only { Mode::Show } else { request.intent.mode() };
        if admission.wait.is_none() && !mode.is_dry() {
            let (target, newest) = (target.clone(), latest.revision.clone());
            context.store.apply(Change::Begins { target, newest, at: clock::now() });
        }
        let how = (engine, depth, mode);
        let report = Box::pin(self.pass(memory, (commit, &stack), how, host)).await;
        if around.stop.is_cancelled() && report.failure.is_some() {
            return nothing(None);
        }
        self.conclude(memory, (commit, admission.wait.as_ref()), report, depth)
    }

    /// What it may do with the newest commit.
    async fn admission(&self, memory: &TargetMemory) -> Admission {
        let Self { context, request, around } = self;
        let orders = Arc::clone(&context.orders.borrow());
        let now = clock::now();
        let gate = match request.intent {
            // Whom it would wait for is said when all were looked at.
            Intent::Show => Gate::Go,
            Intent::Keep | Intent::ByHandForAll | Intent::ByHand | Intent::Approved => {
                context.store.gate(&request.target.name(), &request.commit.revision, now)
            }
        };
        let asking = Asking {
            target: request.target,
            latest: request.commit,
            current: memory.current.as_ref(),
            reached: memory.pass.reached.as_ref(),
            orders: &orders,
            gate,
            labels: &context.labels,
            passes_by: request.passes_by,
            now,
        };
        asking.admission(&context.cache, around.stop).await
    }

    /// A stack that seems to be this one, which left, and that waits for a word about the data of it.
    fn heir(&self) -> Option<TargetName> {
        let Self { context, request, .. } = self;
        let place = (request.target.stack.clone(), request.target.host.clone());
        let mut heirs = request.commit.heirs.get(&place)?.iter();
        heirs.find(|heir| !context.store.has_its_data(heir)).map(Target::name)
    }

    /// One pass, which ends with its host: calls that nobody will answer are not waited for.
    async fn pass(
        &self,
        memory: &mut TargetMemory,
        (commit, stack): (&Commit, &LoadedStack),
        how: (&Engine, Depth, Mode),
        host: &Host,
    ) -> Report {
        let pass = self
            .context
            .limiter
            .run(move || Box::pin(self.limited(memory, (commit, stack), how, host)));
        tokio::select! {
            report = pass => report,
            failure = host.goes_down() => self.report_of(&commit.revision, failure),
        }
    }

    async fn limited(
        &self,
        memory: &mut TargetMemory,
        (commit, stack): (&Commit, &LoadedStack),
        (engine, depth, mode): (&Engine, Depth, Mode),
        host: &Host,
    ) -> Report {
        let Self { context, request, around } = self;
        let target = request.target;
        let _lock = if mode.is_dry() {
            None
        } else {
            match context.data.lock_target(target, around.stop).await {
                Ok(lock) => Some(lock),
                Err(error) => return self.report_of(&commit.revision, locked(&error)),
            }
        };
        if !mode.is_dry()
            && !commit.is_retired(target)
            && let Err(error) = context.data.keep(target, &stack.stack, stack.project_name())
        {
            // What was kept and is not known to be cannot be removed later: that is no reason to let it lie now.
            tracing::warn!(%error, "cannot remember that this stack is kept");
        }
        if memory.pass.state == LastState::default() {
            // The host may have told since.
            memory.pass.state = context.data.recall(target).state();
        }
        remembering::vouch(&context.data, engine, target);
        let policy = stack.stack.policy(&context.limits);
        let approvals = context.orders.borrow().approvals.clone();
        let name = target.name();
        let share = |observed: &Observed| context.roster.share(&name, observed).boxed();
        let work = Work {
            target,
            stack,
            revision: &commit.revision,
            policy: &policy,
            sight: Sight::Live(engine),
            host_data: &host.data,
            mode,
            share: Some(&share),
            approvals: &approvals,
            beside: self.beside(&policy),
            depth,
            listener: self.listener(),
            clock: clock::now,
        };
        let own = around.stop.child_token();
        let superseded = self.superseded(stack);
        let begun = clock::now();
        let ended = {
            let running = AssertUnwindSafe(pass::run(&work, &mut memory.pass, &own)).catch_unwind();
            tokio::pin!(running);
            tokio::select! {
                ended = &mut running => ended,
                () = superseded => {
                    tracing::info!(target_name = %target, "a newer commit ends the waits of this pass");
                    own.cancel();
                    running.await
                }
            }
        };
        if mode != Mode::Show {
            remembering::note(&context.data, engine, target, &memory.pass);
        }
        let millis = clock::now().since(begun).as_millis();
        tracing::debug!(stack = %target.stack, host = %target.host, ?depth, millis, "pass ended");
        ended.unwrap_or_else(|panic| {
            // What it remembered is not trusted any more.
            memory.pass = remembering::remembered(&context.data, target);
            self.report_of(&commit.revision, panicked(target, &*panic))
        })
    }

    /// What other stacks ask for, and whom what is to be pruned waits for. A plan that is only shown shows all that
    /// follows.
    fn beside(&self, policy: &Policy) -> Beside {
        let Self { context, request, .. } = self;
        let prunes = policy.prune.volumes && request.intent != Intent::Show;
        let place = (request.target.stack.clone(), request.target.host.clone());
        // Whoever is taken down by hand is the only one that is looked at.
        let prunes = prunes && !request.commit.taken_down.contains(&place);
        let unsettled = || context.unsettled(request.commit, request.target);
        Beside {
            newest: Some(Arc::clone(&request.commit.claims)),
            unsettled: prunes.then(unsettled).flatten(),
            before: request.commit.before(request.target),
        }
    }

    /// Resolves when a newer commit changes this stack.
    async fn superseded(&self, stack: &LoadedStack) {
        let mut commits = self.around.commits.clone();
        loop {
            if commits.changed().await.is_err() {
                return std::future::pending().await;
            }
            let latest = commits.borrow_and_update().clone();
            let newer = latest.as_deref().and_then(|latest| latest.stack_of(self.request.target));
            if newer.is_none_or(|newer| newer.digest != stack.digest) {
                return;
            }
        }
    }

    /// Steps are logged and shown as they begin; whoever asked is told too.
    fn listener(&self) -> Listener {
        let (store, target) = (Arc::clone(&self.context.store), self.request.target.clone());
        let other = self.around.listener.clone();
        Arc::new(move |event| {
            if let Some(other) = &other {
                other(event);
            }
            match event {
                Event::Begun(step) => {
                    if step.id.0 == 1 {
                        store.apply(Change::Deploys(target.clone()));
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
            }
        })
    }

    /// What is remembered and said of a pass.
    fn conclude(
        &self,
        memory: &mut TargetMemory,
        (commit, wait): (&Commit, Option<&Wait>),
        mut report: Report,
        depth: Depth,
    ) -> Turn {
        let Self { context, request, .. } = self;
        if wait.is_some() {
            report.wait = wait.cloned();
        }
        let newest = request.commit.stack_of(request.target);
        if let Some(broken) = newest.filter(|newest| newest.project.is_none()) {
            report.problems.clone_from(&broken.problems);
        }
        if request.intent == Intent::Show {
            let next = Next::At(clock::now().plus(context.limits.full_look));
            return Turn { report: Some(Arc::new(report)), next };
        }
        self.remember(memory, &report, depth);
        let cut_short = report.outcomes().any(|outcome| *outcome == Outcome::Cancelled);
        let report = Arc::new(report);
        context.store.apply(Change::Reported {
            newest: request.commit.revision.clone(),
            report: Arc::new((*report).clone().at_rest()),
        });
        context.ring_pruners(commit, &report);
        if self.is_gone(commit, &report) {
            return Turn { report: Some(report), next: Next::Gone };
        }
        let waits_for_heir = matches!(&report.wait, Some(Wait { on: WaitingOn::Data(_), .. }));
        let pause = if report.waits_for_a_removal() { REMOVAL_LOOK } else { schedule::HELD_LOOK };
        let again =
            (waits_for_heir || report.waits_for_the_host()).then(|| clock::now().plus(pause));
        let until = report.wait.as_ref().and_then(|wait| wait.until);
        // A moment later: what crashes just then has crashed.
        let proven = report.proven_at().map(|at| at.plus(PROOF_SLACK));
        let until = until.into_iter().chain(again).chain(proven).min();
        // A wait that was ended by a newer commit goes on at once.
        let due = if cut_short { clock::now() } else { self.next_due(memory, until) };
        Turn { report: Some(report), next: Next::At(due) }
    }

    fn remember(&self, memory: &mut TargetMemory, report: &Report, depth: Depth) {
        let Self { context, request, .. } = self;
        let (target, now) = (request.target, clock::now());
        match report.remedy() {
            Some(remedy) => memory.failures.failed(remedy, now),
            None => memory.failures.succeeded(),
        }
        if report.remedy() == Some(Remedy::Retry)
            && let Some(host) = context.hosts.get(&target.host)
        {
            host.doubt();
        }
        if depth == Depth::Full && report.failure.is_none() {
            let seed = schedule::seed(&target.to_string(), memory.round);
            memory.full_look_at = schedule::next_full_look(now, context.limits.full_look, seed);
        }
        memory.round = memory.round.wrapping_add(1);
        if let Some(done) = Entry::of_pass(report) {
            context.data.tell(&done);
        }
        self.say(memory, report);
        if report.is_good()
            && !request.commit.is_retired(target)
            && let Err(error) =
                context.data.reach(target, (&report.revision, memory.pass.reached_as.as_ref()), now)
        {
            tracing::warn!(%error, "cannot remember the reached revision");
        }
        if report.is_good() {
            let place = (target.stack.clone(), target.host.clone());
            for old in request.commit.taken_over.get(&place).into_iter().flatten() {
                if let Err(error) = context.data.hand_over(old) {
                    tracing::warn!(%error, "cannot forget the name that this stack had");
                }
            }
        }
        self.use_up_approval(report);
    }

    /// One yes is one deployment.
    fn use_up_approval(&self, report: &Report) {
        let name = self.request.target.name();
        let acted = report.outcomes().next().is_some();
        let approvals = || self.context.orders.borrow().approvals.clone();
        if acted
            && approvals().iter().any(|approval| approval.target == name)
            && let Err(error) = self.context.data.change_orders(|orders| orders.use_up(&name))
        {
            tracing::warn!(%error, "cannot note that an approval was used");
        }
    }

    /// A quiet target is quiet: only a change of its verdict is logged.
    fn say(&self, memory: &mut TargetMemory, report: &Report) {
        let state = status::state(report);
        let line = format!("{state}: {} at {}", status::line(report), report.revision.short());
        if line == memory.said {
            return;
        }
        let Target { stack, host, .. } = self.request.target;
        match state {
            CommitState::Success | CommitState::Pending => tracing::info!(%stack, %host, "{line}"),
            CommitState::Failure | CommitState::Error => tracing::warn!(%stack, %host, "{line}"),
        }
        self.context.data.tell(&Entry::of_verdict(report));
        memory.said = line;
    }

    fn next_due(&self, memory: &TargetMemory, until: Option<Timestamp>) -> Timestamp {
        let now = clock::now();
        let held = memory.pass.recoveries.next_due(now);
        let ended = PassEnded {
            at: now,
            failures: memory.failures,
            held_until: held.into_iter().chain(until).min(),
        };
        let seed = schedule::seed(&self.request.target.to_string(), memory.round);
        let due = schedule::next_pass(&ended, self.context.limits.full_look, seed);
        due.at.min(memory.full_look_at)
    }

    /// Says what keeps the newest commit from being deployed here, if anything does.
    fn wait(&self, wait: Option<&Wait>) {
        if self.request.intent == Intent::Show {
            return;
        }
        if let Some(wait) = wait {
            let Request { target, commit, .. } = self.request;
            let (target, newest) = ((*target).clone(), commit.revision.clone());
            self.context.store.apply(Change::Waits { target, newest, wait: wait.clone() });
        }
    }

    /// Whether this target was asked for no more, and nothing of it is left. It is forgotten then.
    fn is_gone(&self, commit: &Commit, report: &Report) -> bool {
        let target = self.request.target;
        let gone =
            commit.is_retired(target) && removed::is_done_with(report, commit.stack_of(target));
        let place = (target.stack.clone(), target.host.clone());
        let stays_known = commit.taken_down.contains(&place);
        if gone
            && !stays_known
            && let Err(error) = self.context.data.forget(self.request.target)
        {
            tracing::warn!(%error, "cannot forget a target that is gone");
        }
        gone
    }

    fn out_of_reach(&self, since: Timestamp, failure: &Failure) -> Arc<Report> {
        let failure = unknown_since(since, failure);
        let report = self.failed(&self.request.commit.revision, failure);
        if self.request.intent != Intent::Show {
            let (newest, report) = (self.request.commit.revision.clone(), Arc::clone(&report));
            self.context.store.apply(Change::OutOfReach { newest, report, since });
            self.context.roster.poke();
        }
        report
    }

    fn manifest_problem(&self, commit: &Commit, stack: &LoadedStack) -> Arc<Report> {
        let first = stack.problems.first_error();
        let message = first.map_or("the manifest cannot be used".to_owned(), ToString::to_string);
        let failure = Failure { message, remedy: Remedy::NewRevision };
        let mut report = self.report_of(&commit.revision, failure);
        report.problems.clone_from(&stack.problems);
        Arc::new(report)
    }

    fn failed(&self, revision: &Revision, failure: Failure) -> Arc<Report> {
        Arc::new(self.report_of(revision, failure))
    }

    fn report_of(&self, revision: &Revision, failure: Failure) -> Report {
        Report::failed(self.request.target.clone(), revision.clone(), clock::now(), failure)
    }
}

fn unusable(what: &str) -> Failure {
    Failure { message: what.to_owned(), remedy: Remedy::Operator }
}

fn locked(error: &DataError) -> Failure {
    Failure { message: chain::in_full(error), remedy: error.remedy() }
}
