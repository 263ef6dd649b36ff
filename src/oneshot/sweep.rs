//! One pass over all targets, in the order in which they may go: what the commands do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::commit::{Commit, removed};
use crate::config::settings::Labels;
use crate::docker::{Depth, Engine, Scope};
use crate::fleet::placement::{HostSight, Placement};
use crate::fleet::waves::{Gate, Line, Standing, gates};
use crate::fleet::{Orders, TargetName};
use crate::model::{HostName, Observed, Reason, Remedy, Resource};
use crate::reconcile::apply::Listener;
use crate::reconcile::pass::{self, Around, Memory, Mode, Share, Work};
use crate::report::{Failure, Report, Target, Wait};

use super::{Setup, StartError, clock};
use crate::commit::cache::CommitCache;
use crate::data::folder::{DataError, DataFolder};
use crate::data::journal::Entry;
use crate::oneshot::{
    Engines, Listeners, OnceError, Seen, Wish, connect, host_data, target_waves, targets_of,
};
use crate::reconcile::admission::{Admission, Asking};
use crate::reconcile::gates::standing_of;
use crate::reconcile::limiter::PassLimiter;
use crate::reconcile::survey::{self, Survey, seen_by};

/// Runs one pass over all targets that were asked for, each when its gate is open. Reports come back by target.
pub async fn run(
    setup: &Setup,
    seen: &[Seen],
    wish: &Wish,
    mode: Mode,
    listeners: &Listeners,
    stop: &CancellationToken,
) -> Result<Vec<Report>, OnceError> {
    let engines = Arc::new(connect(setup).await?);
    run_on(&engines, setup, (seen, wish), (mode, listeners), stop).await
}

/// The same on hosts that are connected already.
pub async fn run_on(
    engines: &Arc<Engines>,
    setup: &Setup,
    (seen, wish): (&[Seen], &Wish),
    (mode, listeners): (Mode, &Listeners),
    stop: &CancellationToken,
) -> Result<Vec<Report>, OnceError> {
    let data = DataFolder::open(&setup.settings.data).map_err(StartError::from)?;
    let common = Arc::new(Common {
        setup: setup.clone(),
        engines: Arc::clone(engines),
        orders: data.orders().map_err(StartError::from)?,
        data,
        labels: Arc::new(setup.settings.host_labels()),
        seats: PassLimiter::new(setup.settings.limits.parallel_passes),
        mode,
        passes_by: wish.passes_by,
    });
    let mut reports: Vec<Report> = Vec::new();
    for repository in seen {
        let sweep = Sweep {
            common: Arc::clone(&common),
            archive: Arc::new(CommitCache {
                git: Arc::clone(&repository.git),
                source: repository.source.clone(),
                repository: repository.repository.clone(),
                hosts: Arc::clone(&common.labels),
                held: tokio::sync::Mutex::default(),
            }),
            commit: Arc::clone(&repository.commit),
            listeners: Arc::clone(listeners),
            standings: BTreeMap::new(),
            placement: None,
        };
        let wanted = target_waves(setup, repository, wish).into_iter().flatten().collect();
        reports.extend(sweep.run(wanted, stop).await);
    }
    reports.sort_by(|one, other| one.target.cmp(&other.target));
    Ok(reports)
}

/// Between two looks at a stack that others wait for.
const SETTLING_PAUSE: Duration = Duration::from_millis(500);

/// What all passes of one command share.
struct Common {
    setup: Setup,
    engines: Arc<Engines>,
    orders: Orders,
    data: DataFolder,
    labels: Arc<BTreeMap<HostName, Labels>>,
    seats: PassLimiter,
    mode: Mode,
    passes_by: bool,
}

/// The passes of one repository.
struct Sweep {
    common: Arc<Common>,
    archive: Arc<CommitCache>,
    commit: Arc<Commit>,
    listeners: Listeners,
    standings: BTreeMap<TargetName, Standing>,
    placement: Option<Arc<Placement>>,
}

impl Sweep {
    async fn run(mut self, wanted: BTreeSet<Target>, stop: &CancellationToken) -> Vec<Report> {
        let (retired, mut open): (BTreeSet<_>, BTreeSet<_>) =
            wanted.into_iter().partition(|target| self.commit.is_retired(target));
        let Some(placement) = stop.run_until_cancelled(self.seats()).await else {
            return Vec::new();
        };
        self.placement = placement;
        let mut reports = Vec::new();
        if self.common.mode == Mode::Show {
            reports.extend(self.wave(open.iter().map(|one| (one.clone(), Gate::Go)), stop).await);
            let gates = self.gates();
            for report in &mut reports {
                note_gate(report, gates.get(&report.target.name()));
            }
        } else {
            // Only who was asked for is waited for: an operator who names one stack means that one.
            self.standings = open.iter().map(|target| (target.name(), Standing::Waiting)).collect();
            while !open.is_empty() {
                let mut gates = self.gates();
                let mut gate = |target: &Target| gates.remove(&target.name()).unwrap_or(Gate::Go);
                let asked: Vec<(Target, Gate)> =
                    open.iter().map(|target| (target.clone(), gate(target))).collect();
                let (ready, shut): (Vec<_>, Vec<_>) =
                    asked.into_iter().partition(|(_, gate)| *gate == Gate::Go);
                if ready.is_empty() && self.somebody_settles(&mut reports, &shut, stop).await {
                    continue;
                }
                // Whoever is still shut out when nobody can go any more is told why.
                let wave = if ready.is_empty() { shut } else { ready };
                open.retain(|target| !wave.iter().any(|(gone, _)| gone == target));
                reports.extend(self.wave(wave, stop).await);
            }
        }
        reports.extend(self.wave(retired.into_iter().map(|one| (one, Gate::Go)), stop).await);
        self.prune(&mut reports, stop).await;
        reports
    }

    /// What nobody asks for any more goes last, once everything else on its host is in sync. What was said of those
    /// targets before is kept.
    async fn prune(&mut self, reports: &mut [Report], stop: &CancellationToken) {
        if self.common.mode == Mode::Show {
            return;
        }
        let last: Vec<Target> = reports
            .iter()
            .filter(|report| {
                let stack = self.commit.stack_of(&report.target);
                let data = stack.is_some_and(|stack| removed::has_data_to_prune(report, stack));
                (data || waits_for_others_to_leave(report))
                    && report.wait.is_none()
                    && self.unsettled(&report.target).is_none()
            })
            .map(|report| report.target.clone())
            .collect();
        let again = self.wave(last.into_iter().map(|target| (target, Gate::Go)), stop).await;
        for mut done in again {
            if let Some(before) = reports.iter_mut().find(|report| report.target == done.target) {
                before.rounds.append(&mut done.rounds);
                done.rounds = std::mem::take(&mut before.rounds);
                done.found = std::mem::take(&mut before.found);
                *before = done;
            }
        }
    }

    /// Whom the pruning of a target's volumes waits for. A plan that is only shown shows all that follows.
    fn pruning_waits(&self, target: &Target) -> Option<String> {
        let prunes = self.commit.stack_of(target).is_some_and(|one| one.stack.prune.volumes);
        if prunes && self.common.mode != Mode::Show { self.unsettled(target) } else { None }
    }

    /// Another target of the same host that is not in sync with the commit, or was not looked at.
    fn unsettled(&self, target: &Target) -> Option<String> {
        let Common { setup, .. } = &*self.common;
        let all = targets_of(setup, &target.repository, &self.commit);
        let retired = self.commit.retired.keys().map(|(stack, host)| Target {
            repository: target.repository.clone(),
            stack: stack.clone(),
            host: host.clone(),
        });
        let mut others = all
            .into_iter()
            .chain(retired)
            .filter(|other| other.host == target.host && other.stack != target.stack);
        let waits = others.find(|other| self.standings.get(&other.name()) != Some(&Standing::Done));
        waits.map(|other| format!("stack {}", other.stack))
    }

    /// Looks again at those that are on their way, when others wait for them; their reports are made anew. False when
    /// nobody is waited for who may still get there.
    async fn somebody_settles(
        &mut self,
        reports: &mut Vec<Report>,
        shut: &[(Target, Gate)],
        stop: &CancellationToken,
    ) -> bool {
        let waited = |target: &Target| {
            let going = matches!(self.standings.get(&target.name()), Some(Standing::Going { .. }));
            going && shut.iter().any(|(_, gate)| matches!(gate, Gate::Wait { until: Some(_), .. }))
        };
        let going: Vec<Target> = reports
            .iter()
            .map(|report| &report.target)
            .filter(|one| waited(one))
            .cloned()
            .collect();
        let pause = tokio::time::sleep(SETTLING_PAUSE);
        if going.is_empty() || stop.run_until_cancelled(pause).await.is_none() {
            return false;
        }
        reports.retain(|report| !going.contains(&report.target));
        let again = self.wave(going.into_iter().map(|target| (target, Gate::Go)), stop).await;
        reports.extend(again);
        true
    }

    /// Who sits where, by one look at all hosts; nothing where no stack is spread. A host that cannot be seen keeps
    /// what it may have, and what may be there is not made elsewhere.
    async fn seats(&self) -> Option<Arc<Placement>> {
        let spread: Vec<_> = survey::spread(&self.commit).collect();
        if spread.is_empty() {
            return None;
        }
        let Common { setup, labels, engines, orders, .. } = &*self.common;
        let now = clock::now();
        let mut survey = Survey::new(setup.settings.limits.returning);
        for (name, host) in &setup.settings.hosts {
            let engine = engines.get(name).and_then(|engine| engine.as_ref().ok());
            let facts = engine.map(Engine::facts);
            let sight = match engine {
                None => HostSight::Unseen,
                Some(_) if orders.brakes.closes(name, now) => HostSight::Closed,
                Some(_) => HostSight::Seen,
            };
            survey.host(name, (&host.labels, &host.capacity), (facts.as_ref(), sight));
        }
        let mut looks = JoinSet::new();
        for target in survey::targets_of(spread.into_iter(), labels) {
            let Some(Ok(engine)) = engines.get(&target.host) else { continue };
            let (engine, common) = (engine.clone(), Arc::clone(&self.common));
            let scope = Scope::new(target.stack.clone(), self.archive.repository.clone());
            looks.spawn(async move {
                let look = || engine.observe(&scope, Depth::Full, clock::now());
                let seen = common.seats.run(look).await;
                (seen.ok().and_then(|seen| seen_by(&seen)), target)
            });
        }
        while let Some(ended) = looks.join_next().await {
            let Ok((seen, target)) = ended else { continue };
            survey.look(&target.stack, &target.host, seen.as_ref());
        }
        Some(Arc::new(survey.place(&survey::asked(&self.commit, labels))))
    }

    fn gates(&self) -> BTreeMap<TargetName, Gate> {
        let Some(fleet) = &self.commit.fleet else { return BTreeMap::new() };
        let labels = &self.common.labels;
        let line = Line { fleet, hosts: labels, standings: &self.standings, now: clock::now() };
        gates(line)
    }

    /// Targets that go at one time.
    async fn wave(
        &mut self,
        targets: impl IntoIterator<Item = (Target, Gate)>,
        stop: &CancellationToken,
    ) -> Vec<Report> {
        let mut tasks = JoinSet::new();
        for (target, gate) in targets {
            let one = One {
                common: Arc::clone(&self.common),
                archive: Arc::clone(&self.archive),
                commit: Arc::clone(&self.commit),
                listener: (self.listeners)(&target),
                unsettled: self.pruning_waits(&target),
                target,
                gate,
                placement: self.placement.clone(),
            };
            let stop = stop.clone();
            tasks.spawn(async move { one.run(&stop).await });
        }
        let mut reports = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            reports.extend(ended.ok());
        }
        for report in &reports {
            let name = report.target.name();
            let standing =
                if report.wait.is_some() { Standing::Waiting } else { standing_of(report) };
            let standing = match (self.standings.get(&name), standing) {
                // Its patience counts from the first time.
                (Some(Standing::Going { since }), Standing::Going { .. }) => {
                    Standing::Going { since: *since }
                }
                (_, standing) => standing,
            };
            self.standings.insert(name, standing);
        }
        reports
    }
}

/// Whether a network stays only because containers of others, which may be gone by now, were attached to it.
fn waits_for_others_to_leave(report: &Report) -> bool {
    report.remaining.iter().any(|drift| {
        matches!(drift.resource, Resource::Network(_)) && drift.reason == Reason::Orphaned
    })
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
        Some(Gate::Stopped { .. }) => crate::model::CommitState::Failure,
        _ => crate::model::CommitState::Pending,
    };
    report.wait = gate.map(|gate| Wait { why: gate.to_string(), until, state });
}

/// One target's pass.
struct One {
    common: Arc<Common>,
    archive: Arc<CommitCache>,
    commit: Arc<Commit>,
    target: Target,
    gate: Gate,
    placement: Option<Arc<Placement>>,
    listener: Listener,
    /// Whom what is to be pruned waits for.
    unsettled: Option<String>,
}

impl One {
    async fn run(self, stop: &CancellationToken) -> Report {
        match self.common.seats.run(|| Box::pin(self.attempt(stop))).await {
            Ok(report) => report,
            Err(failure) => {
                let revision = self.commit.revision.clone();
                let mut report =
                    Report::failed(self.target.clone(), revision, clock::now(), failure);
                if let Some(stack) = self.commit.stack_of(&self.target) {
                    report.problems.clone_from(&stack.problems);
                }
                report
            }
        }
    }

    async fn attempt(&self, stop: &CancellationToken) -> Result<Report, Failure> {
        let gone = |what: &str| Failure { message: what.to_owned(), remedy: Remedy::Operator };
        let newest = self.commit.stack_of(&self.target).ok_or_else(|| gone("no such stack"))?;
        if newest.project.is_none() {
            let first = newest.problems.first_error();
            let message =
                first.map_or("the manifest cannot be used".to_owned(), ToString::to_string);
            return Err(Failure { message, remedy: Remedy::NewRevision });
        }
        let Common { data, engines, setup, .. } = &*self.common;
        let engine = engines.get(&self.target.host).ok_or_else(|| gone("no such host"))?;
        let engine = engine.as_ref().map_err(Clone::clone)?;
        let mut memory = Memory::since(data.recall(&self.target).reached);
        let leave = self.leave(&memory, stop).await;
        let mode = if leave.look_only { Mode::Show } else { self.common.mode };
        let _lock = match mode {
            Mode::Show => None,
            Mode::Sync | Mode::SyncByHand | Mode::SyncApproved => {
                Some(data.lock_target(&self.target, stop).await.map_err(|error| locked(&error))?)
            }
        };
        // What is only shown is what the newest commit asks for; why it waits is said beside.
        let commit = if mode == Mode::Show { &self.commit } else { &leave.commit };
        let stack = commit.stack_of(&self.target).ok_or_else(|| gone("no such stack"))?;
        let retired = commit.is_retired(&self.target);
        if mode != Mode::Show && !retired {
            data.keep(&self.target, &newest.stack, newest.project_name())
                .map_err(|e| locked(&e))?;
        }
        let placement = self.placement.as_ref().filter(|_| stack.spreads);
        let share = |_: &Observed| {
            let share = placement.map_or(Share::Whole, |it| Share::Placed(Arc::clone(it)));
            std::future::ready(share).boxed()
        };
        let work = Work {
            target: &self.target,
            stack,
            revision: &commit.revision,
            policy: &stack.stack.policy(&setup.settings.limits),
            engine,
            host_data: &host_data(setup, &self.target.host),
            mode,
            share: Some(&share),
            approvals: &self.common.orders.approvals,
            around: Around {
                newest: Some(Arc::clone(&self.commit.claims)),
                unsettled: self.unsettled.clone(),
            },
            depth: Depth::Full,
            listener: Arc::clone(&self.listener),
            clock: clock::now,
        };
        let mut report = pass::run(&work, &mut memory, stop).await;
        if mode != Mode::Show {
            self.remember(&report, retired).map_err(|error| locked(&error))?;
        }
        if leave.wait.is_some() {
            report.wait = leave.wait;
        }
        Ok(report)
    }

    async fn leave(&self, memory: &Memory, stop: &CancellationToken) -> Admission {
        let asking = Asking {
            target: &self.target,
            latest: &self.commit,
            current: None,
            reached: memory.reached.as_ref(),
            orders: &self.common.orders,
            gate: self.gate.clone(),
            labels: &self.common.labels,
            passes_by: self.common.passes_by,
            now: clock::now(),
        };
        asking.leave(&self.archive, stop).await
    }

    fn remember(&self, report: &Report, retired: bool) -> Result<(), DataError> {
        let data = &self.common.data;
        if let Some(done) = Entry::of_pass(report) {
            data.tell(&done);
            data.tell(&Entry::of_verdict(report));
        }
        let name = self.target.name();
        let acted = report.outcomes().next().is_some();
        if acted && self.common.orders.approvals.iter().any(|approval| approval.target == name) {
            data.change_orders(|orders| orders.use_up(&name))?;
        }
        match (report.is_good(), retired) {
            (true, true) if removed::is_done_with(report, self.commit.stack_of(&self.target)) => {
                data.forget(&self.target)
            }
            (true, true) => Ok(()),
            (true, false) => data.reach(&self.target, &report.revision, clock::now()),
            (false, _) => Ok(()),
        }
    }
}

fn locked(error: &DataError) -> Failure {
    let source = std::error::Error::source(error);
    let message = source.map_or(error.to_string(), |cause| format!("{error}: {cause}"));
    Failure { message, remedy: error.remedy() }
}
