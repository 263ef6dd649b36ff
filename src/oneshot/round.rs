//! One round over all targets that were asked for: the daemon's own loops, until each has come to rest.
//!
//! A target is at rest when its last turn had nothing left to do, when only somebody else could help it, or when nobody
//! it waits for is on the way any more. What an update that failed left behind is taken back before that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::commit::Commit;
use crate::commit::removed::{self, retire};
use crate::daemon::target::TargetLoop;
use crate::daemon::{Setup, StartError, ledger_keys};
use crate::data::folder::DataFolder;
use crate::docker::Depth;
use crate::fleet::waves::Gate;
use crate::fleet::{Orders, WaitingOn};
use crate::model::{CommitState, HostName, Outcome, Remedy, Timestamp};
use crate::reconcile::context::{Context, Foundations};
use crate::reconcile::host::ledger::{self, Known};
use crate::reconcile::host::{Host, Link, failure_of};
use crate::reconcile::limiter::PassLimiter;
use crate::reconcile::{self, Around, Intent, Next, Request, TargetMemory, Turn};
use crate::report::{Failure, Report, Target, Wait};

use super::{Engines, Listeners, OnceError, Seen, Wish, connect, host_data};

/// Between two looks at a target that is on its way, so that those who wait for it follow soon.
const SETTLING_PAUSE: Duration = Duration::from_millis(500);
/// Turns of one target that fail in a row until it is let be: the first takes back what it can, the next tidies up.
const FAILING_TURNS: u32 = 3;
/// Of pauses that a replica is given after it fell, those are sat out that are no longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Silence of a host that was out of reach from the start proves nothing within one command, however long it runs.
const NEVER: Duration = Duration::from_hours(24 * 365);

/// Runs one round over all targets that were asked for, each when its gate is open. Reports come back by target.
pub async fn run(
    setup: &Setup,
    seen: &[Seen],
    wish: &Wish,
    intent: Intent,
    listeners: &Listeners,
    stop: &CancellationToken,
) -> Result<Vec<Report>, OnceError> {
    let engines = connect(setup).await?;
    run_on(&engines, setup, (seen, wish), (intent, listeners), stop).await
}

/// The same on hosts that are connected already.
pub async fn run_on(
    engines: &Engines,
    setup: &Setup,
    (seen, wish): (&[Seen], &Wish),
    (intent, listeners): (Intent, &Listeners),
    stop: &CancellationToken,
) -> Result<Vec<Report>, OnceError> {
    let data = DataFolder::open(&setup.settings.data).map_err(StartError::from)?;
    let data = data.with_ledgers(ledger_keys(&setup.settings));
    let heard = hear(engines, &data).await?;
    let again = heard.news && wish.revision.is_none() && !wish.takes_down;
    let retired_anew = if again { retired_anew(setup, &data, seen)? } else { Vec::new() };
    // Kept to the end: loops end when nobody could change the orders any more.
    let mut all = data.orders().map_err(StartError::from)?;
    if wish.takes_down {
        all.brakes.release_stacks(&wish.stacks);
    }
    let (_orders, orders) = watch::channel(Arc::new(all));
    let hosts = hosts(engines, setup, (&data, &heard.silent));
    let limiter = Arc::new(PassLimiter::new(setup.settings.limits.parallel_passes));
    let mut settings = setup.settings.clone();
    settings.limits.host_lost = NEVER;
    let mut reports: Vec<Report> = Vec::new();
    for (place, repository) in seen.iter().enumerate() {
        let foundations = Foundations {
            settings: &settings,
            hosts: &hosts,
            git: &repository.git,
            data: &data,
            limiter: &limiter,
            orders: &orders,
        };
        let context = Context::new(&repository.repository, &repository.source, foundations);
        let round = Round {
            context: Arc::new(context),
            commit: retired_anew
                .get(place)
                .map_or_else(|| Arc::clone(&repository.commit), Arc::clone),
            intent,
            passes_by: wish.passes_by,
            listeners: Arc::clone(listeners),
        };
        reports.extend(Box::pin(round.run(wish, (&orders, stop))).await);
    }
    reports.sort_by(|one, other| one.target.cmp(&other.target));
    if intent != Intent::Show {
        remember(engines, &data, heard).await;
    }
    Ok(reports)
}

/// What connected hosts remember.
#[derive(Default)]
struct Heard {
    known: BTreeMap<HostName, Known>,
    /// Hosts that do not say it: what holds there is not known, so they are not worked on.
    silent: BTreeMap<HostName, Failure>,
    /// Whether any of it was news.
    news: bool,
}

async fn hear(engines: &Engines, data: &DataFolder) -> Result<Heard, OnceError> {
    let mut heard = Heard::default();
    let connected = engines.iter().filter_map(|(host, engine)| Some((host, engine.as_ref().ok()?)));
    let asked = connected
        .map(|(host, engine)| async move { (host, ledger::learn(engine, data, host).await) });
    for (host, told) in futures_util::future::join_all(asked).await {
        match told {
            Ok((known, news)) => {
                heard.news |= news;
                heard.known.insert(host.clone(), known);
            }
            Err(error) => drop(heard.silent.insert(host.clone(), failure_of(&error))),
        }
    }
    if heard.known.len() == engines.len() && data.is_fresh() {
        data.was_told().map_err(StartError::from)?;
    }
    Ok(heard)
}

/// Has hosts remember what is kept there now.
async fn remember(engines: &Engines, data: &DataFolder, heard: Heard) {
    let told = heard.known.into_iter().map(|(host, mut known)| async move {
        if let Some(Ok(engine)) = engines.get(&host)
            && let Err(error) = ledger::write(engine, data, &host, &mut known).await
        {
            tracing::warn!(%host, %error, "the host did not take what it is to remember");
        }
    });
    futures_util::future::join_all(told).await;
}

/// The commits once more, with what left Git as hosts told it.
fn retired_anew(
    setup: &Setup,
    data: &DataFolder,
    seen: &[Seen],
) -> Result<Vec<Arc<Commit>>, OnceError> {
    let again = |seen: &Seen| {
        let mut commit = (*seen.commit).clone();
        let targets = super::targets_of(setup, &seen.repository, &commit);
        let hosts = super::own_hosts(setup);
        retire(&mut commit, data, &seen.repository, &targets, &hosts).map_err(StartError::from)?;
        Ok(Arc::new(commit))
    };
    seen.iter().map(again).collect()
}

/// The hosts as the loops see them, where none of them has to be heard first: nothing is done there.
pub(super) fn linked(
    engines: &Engines,
    setup: &Setup,
    data: &DataFolder,
) -> BTreeMap<HostName, Arc<Host>> {
    hosts(engines, setup, (data, &BTreeMap::new()))
}

/// The hosts as the loops see them, connected or not for good.
fn hosts(
    engines: &Engines,
    setup: &Setup,
    (data, silent): (&DataFolder, &BTreeMap<HostName, Failure>),
) -> BTreeMap<HostName, Arc<Host>> {
    let all = engines.iter().map(|(name, engine)| {
        let silent = silent.get(name).map_or(Ok(()), Err);
        let link = match engine.as_ref().and_then(|engine| silent.map(|()| engine)) {
            Ok(engine) => Link::Up(engine.clone()),
            Err(failure) => Link::Down { since: clock::now(), failure: failure.clone() },
        };
        let folder = host_data(setup, name);
        (name.clone(), Host::linked(name.clone(), folder, data.clone(), link))
    });
    all.collect()
}

/// The round of one repository.
struct Round {
    context: Arc<Context>,
    commit: Arc<Commit>,
    intent: Intent,
    passes_by: bool,
    listeners: Listeners,
}

impl Round {
    async fn run(
        self,
        wish: &Wish,
        (orders, stop): (&watch::Receiver<Arc<Orders>>, &CancellationToken),
    ) -> Vec<Report> {
        let is_meant =
            |target: &Target| wish.stacks.is_empty() || wish.stacks.contains(&target.stack);
        let mut wanted: BTreeSet<Target> =
            self.context.targets(&self.commit).into_iter().filter(is_meant).collect();
        if wish.takes_down {
            // It stays where it is not taken down, and nobody asked for it there.
            wanted.clear();
        }
        let retired: BTreeSet<Target> =
            self.context.retired(&self.commit).filter(is_meant).collect();
        let all: Vec<Target> = wanted.union(&retired).cloned().collect();
        // Only who was asked for is waited for: an operator who names one stack means that one.
        let awaited = wanted.iter().map(Target::name).collect();
        self.context.begin(&self.commit, &all, awaited);
        // What gates and placement do goes on beside the loops, and ends with them.
        let beside = CancellationToken::new();
        let work = async {
            self.look_where_nobody_will().await;
            if self.intent == Intent::Show {
                return self.show(&all, stop).await;
            }
            let mut reports = self.settle(&wanted, (orders, stop)).await;
            // What is asked for no more goes when everything else is where it should be.
            reports.extend(self.settle(&retired, (orders, stop)).await);
            self.prune(reports, (orders, stop)).await
        };
        let keeping = self.context.store.keep_gates(&self.context.hosts, beside.clone());
        let placing = self.context.roster.run(beside.clone());
        let work = async {
            let reports = work.await;
            beside.cancel();
            reports
        };
        tokio::join!(work, keeping, placing).0
    }

    /// Once everything else is in sync, what nobody asks for any more goes.
    async fn prune(
        &self,
        mut reports: Vec<Report>,
        how: (&watch::Receiver<Arc<Orders>>, &CancellationToken),
    ) -> Vec<Report> {
        let waits = |report: &&Report| {
            let stack = self.commit.stack_of(&report.target);
            stack.is_some_and(|stack| removed::waits_to_prune(report, stack))
                && self.context.unsettled(&self.commit, &report.target).is_none()
        };
        let last: BTreeSet<Target> =
            reports.iter().filter(waits).map(|report| report.target.clone()).collect();
        for done in self.settle(&last, how).await {
            if let Some(place) = reports.iter_mut().find(|report| report.target == done.target) {
                let mut story = Course::new(self.context.limits.progress);
                story.take(&Arc::new(place.clone()));
                story.take(&Arc::new(done));
                *place = story.report.map_or_else(|| place.clone(), Arc::unwrap_or_clone);
            }
        }
        reports
    }

    /// Stacks whose replicas are spread are looked at on all their hosts first: a host counts as seen when each of them
    /// was looked at, and what may be there is not made elsewhere.
    async fn look_where_nobody_will(&self) {
        let looked = self.context.look_at_unknown(&self.commit, Depth::Changed).await;
        for (target, observed) in looked {
            if let Some(observed) = observed {
                drop(self.context.roster.share(&target, &observed));
            }
        }
    }

    /// What would be done, and whom it would wait for.
    async fn show(&self, targets: &[Target], stop: &CancellationToken) -> Vec<Report> {
        let mut turns = JoinSet::new();
        for target in targets {
            let (target, commit) = (target.clone(), Arc::clone(&self.commit));
            let (context, stop) = (Arc::clone(&self.context), stop.clone());
            let Some(link) = self.link(&target) else { continue };
            turns.spawn(async move {
                let (_newest, commits) = watch::channel(Some(Arc::clone(&commit)));
                let mut memory = TargetMemory::of(&context, &target);
                let request = Request {
                    target: &target,
                    commit: &commit,
                    intent: Intent::Show,
                    passes_by: false,
                    link,
                    full: true,
                };
                let around = Around { listener: None, commits: &commits, stop: &stop };
                let turn = reconcile::target(&context, request, &mut memory, around).await;
                (target, turn.report)
            });
        }
        let mut reports = BTreeMap::new();
        while let Some(ended) = turns.join_next().await {
            if let Ok((target, Some(report))) = ended {
                reports.insert(target, Arc::unwrap_or_clone(report));
            }
        }
        let gates = self.context.store.gates_now(clock::now());
        let told = targets.iter().map(|target| {
            let mut report = reports.remove(target).unwrap_or_else(|| self.cut_off(target));
            note_gate(&mut report, gates.get(&target.name()));
            report
        });
        told.collect()
    }

    fn link(&self, target: &Target) -> Option<Link> {
        self.context.hosts.get(&target.host).map(|host| host.link().borrow().clone())
    }

    /// Runs the targets' loops until each of them has come to rest.
    async fn settle(
        &self,
        targets: &BTreeSet<Target>,
        (orders, stop): (&watch::Receiver<Arc<Orders>>, &CancellationToken),
    ) -> Vec<Report> {
        let (_newest, commits) = watch::channel(Some(Arc::clone(&self.commit)));
        let told = Arc::new(Told::default());
        let all_at_rest = stop.child_token();
        let mut loops = JoinSet::new();
        for target in targets {
            let Some(host) = self.context.hosts.get(&target.host) else { continue };
            let worker = TargetLoop {
                target: target.clone(),
                commits: commits.clone(),
                host: Arc::clone(host),
                orders: orders.clone(),
                context: Arc::clone(&self.context),
                intent: self.intent,
                passes_by: self.passes_by,
                listener: Some((self.listeners)(target)),
            };
            let (told, target) = (Arc::clone(&told), target.clone());
            let mut course = Course::new(self.context.limits.progress);
            let next = move |turn: &Turn| {
                let state = course.after(turn, clock::now());
                let acted = turn.report.iter().any(|report| report.outcomes().next().is_some());
                told.tell(&target, (course.report.clone(), state), acted);
                state.pause().map(|pause| clock::now().plus(pause))
            };
            loops.spawn(worker.run_while(next, all_at_rest.clone()));
        }
        while !loops.is_empty() {
            tokio::select! {
                ended = loops.join_next() => {
                    if let Some(Err(error)) = ended {
                        tracing::error!(%error, "internal error: a target's loop panicked");
                    }
                }
                () = told.changed.notified() => {}
            }
            if self.nobody_moves(targets, &told) {
                all_at_rest.cancel();
            }
        }
        let mut said = told.lock();
        let report = |target: &Target| match said.last.remove(target).and_then(|it| it.report) {
            Some(report) => Arc::unwrap_or_clone(report),
            None => self.cut_off(target),
        };
        targets.iter().map(report).collect()
    }

    /// Whether those who are not at rest yet wait for somebody who will not come any more.
    fn nobody_moves(&self, targets: &BTreeSet<Target>, told: &Told) -> bool {
        let gates = self.context.store.gates_now(clock::now());
        let said = told.lock();
        let is_shut =
            |target: &Target| gates.get(&target.name()).is_some_and(|gate| *gate != Gate::Go);
        targets.iter().all(|target| {
            let Some(Saying { report, state, acts }) = said.last.get(target) else { return false };
            match state {
                State::Moves => false,
                State::Rests => true,
                State::Waits => {
                    let wait = report.as_ref().and_then(|report| report.wait.as_ref());
                    match wait {
                        Some(wait) if matches!(wait.on, WaitingOn::Gate(_)) => is_shut(target),
                        Some(_) => true,
                        // What it waits for may be what somebody did since it looked.
                        None => *acts == said.acts,
                    }
                }
            }
        })
    }

    fn cut_off(&self, target: &Target) -> Report {
        let message = "stopped before it was looked at".to_owned();
        let failure = Failure { message, remedy: Remedy::Retry };
        let revision = self.commit.revision.clone();
        Report::failed(target.clone(), revision, clock::now(), failure)
    }
}

/// What each target came to in its last turn.
#[derive(Default)]
struct Said {
    last: BTreeMap<Target, Saying>,
    /// How many turns changed something so far.
    acts: u64,
}

/// A target's last turn.
struct Saying {
    report: Option<Arc<Report>>,
    state: State,
    /// How many turns had changed something when it was told.
    acts: u64,
}

/// What the loops told after their last turns.
#[derive(Default)]
struct Told {
    said: Mutex<Said>,
    changed: Notify,
}

impl Told {
    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, target: &Target, (report, state): (Option<Arc<Report>>, State), acted: bool) {
        let mut said = self.lock();
        said.acts += u64::from(acted);
        let acts = said.acts;
        said.last.insert(target.clone(), Saying { report, state, acts });
        drop(said);
        self.changed.notify_one();
    }
}

/// How a target stands after a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is on its way.
    Moves,
    /// It could go on if others did.
    Waits,
    /// It has come to rest.
    Rests,
}

impl State {
    /// Until its next turn, if it needs one.
    fn pause(self) -> Option<Duration> {
        match self {
            Self::Moves => Some(SETTLING_PAUSE),
            Self::Waits => Some(SETTLING_PAUSE * 2),
            Self::Rests => None,
        }
    }
}

/// What the turns of one target came to so far.
struct Course {
    /// The last turn's report, with what was done in all of them.
    report: Option<Arc<Report>>,
    failing: u32,
    moving_since: Option<Timestamp>,
    /// How long it may be on its way without getting there.
    patience: Duration,
}

impl Course {
    fn new(patience: Duration) -> Self {
        Self { report: None, failing: 0, moving_since: None, patience }
    }

    fn after(&mut self, turn: &Turn, now: Timestamp) -> State {
        let Some(report) = &turn.report else { return State::Rests };
        let soon = match turn.next {
            Next::At(due) => due.since(now) <= LONGEST_PAUSE,
            Next::Gone => false,
        };
        let state = self.state(report, soon, now);
        self.take(report);
        state
    }

    /// `soon`: something that is held is tried again in a moment.
    fn state(&mut self, report: &Report, soon: bool, now: Timestamp) -> State {
        let acted = report.outcomes().next().is_some();
        let failed = report.outcomes().any(|outcome| matches!(outcome, Outcome::Failed { .. }));
        if report.failure.is_some() {
            return State::Rests;
        }
        if failed {
            self.failing += 1;
            return if self.failing < FAILING_TURNS { State::Moves } else { State::Rests };
        }
        if report.wait.is_some() {
            return State::Waits;
        }
        let is_braked = soon && !report.is_good() && report.held().next().is_some();
        if acted && !report.is_good() || report.is_under_way || is_braked {
            let since = *self.moving_since.get_or_insert(now);
            let lasts = now.since(since) < self.patience;
            return if lasts { State::Moves } else { State::Rests };
        }
        self.moving_since = None;
        // Another stack may let go of what is missing here.
        let is_in_the_way = report.hands_over() || report.held().any(|held| held.why.is_obstacle());
        if is_in_the_way { State::Waits } else { State::Rests }
    }

    /// What was done in earlier turns belongs to the story of the last one.
    fn take(&mut self, report: &Arc<Report>) {
        let Some(before) = self.report.take() else {
            self.report = Some(Arc::clone(report));
            return;
        };
        let mut whole = (**report).clone();
        let done = before.rounds.iter().filter(|round| !round.outcomes.is_empty());
        let rounds = done.cloned().chain(std::mem::take(&mut whole.rounds)).collect();
        whole.rounds = rounds;
        whole.found.clone_from(&before.found);
        self.report = Some(Arc::new(whole));
    }
}

/// A plan that is only shown tells whom it would wait for.
fn note_gate(report: &mut Report, gate: Option<&Gate>) {
    if report.wait.is_some() || report.is_good() || report.failure.is_some() {
        return;
    }
    let until = match gate {
        None | Some(Gate::Go) => return,
        Some(Gate::Wait { until, .. }) => *until,
        Some(Gate::Stopped { .. }) => None,
    };
    let state = match gate {
        Some(Gate::Stopped { .. }) => CommitState::Failure,
        _ => CommitState::Pending,
    };
    report.wait = gate.map(|gate| Wait { on: WaitingOn::Gate(gate.clone()), until, state });
}
