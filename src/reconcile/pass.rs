//! One pass for one target: look, compare, plan, apply, look again, report.
//!
//! A pass is level-triggered: it does not know why it runs. It may take several rounds, because some plans only become
//! possible once another was carried out (what a failed replacement left is tidied up by the next look); it ends when
//! nothing is left to do, when a round did nothing, or after [`ROUNDS_MAX`].

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::commit::beside;
pub use crate::commit::beside::Beside;
use crate::commit::{LoadedStack, Written};
use crate::data::record::TargetRecord;
use crate::docker::{Depth, Engine, EngineError, Scope};
use crate::drift::{self, Cures, Findings};
use crate::fleet::WaitingOn;
use crate::fleet::approval::{self, Approval};
use crate::fleet::placement::{self, Placement};
use crate::model::{
    CommitState, Cure, Desired, Diagnostics, Digest, EngineFacts, Health, Known, LastState,
    Observed, Outcome, Plan, Policy, Remedy, Replica, Revision, StepOutcome, SyncPolicy, Timestamp,
    chain,
};
use crate::plan::{self, Phase, Resolve};
use crate::reconcile::apply::{self, ApplyOptions, Edges, Listener};
use crate::reconcile::falls::{self, Causes};
use crate::report::{Failure, Report, Round, Target, Wait};
use crate::schedule::Recoveries;
use crate::state::{SeenUp, Watch};

/// A call that fails later than this failed for another reason than a stale look.
const STALE_WITHIN: Duration = Duration::from_secs(5);
/// Rounds of one pass: deploy, take back what failed, and look once more.
const ROUNDS_MAX: usize = 3;

/// What a target remembers between passes. Losing it costs a full look and some patience, never a service.
#[derive(Debug, Default)]
pub struct Memory {
    /// The last revision that this host was in sync with.
    pub reached: Option<Revision>,
    /// Falls and recoveries of each replica.
    pub recoveries: Recoveries,
    /// Where the stack's data was when it was last seen. It outlives this process.
    pub state: LastState,
    /// Cures that changed nothing.
    pub cures: Cures,
    /// Images that were taken over with what docker compose made: what each is taken to be built from, by its id.
    pub taken: BTreeMap<String, String>,
    /// How containers failed that were waited for.
    causes: Causes,
    /// Since when what has still to show that it works is seen to run.
    seen_up: SeenUp,
    /// An operator's word was for one more attempt, and that failed: from then on a failed update is taken back as ever.
    tried_by_hand: bool,
    /// What the stack asks of this host, for as long as neither the commit nor the Engine changes.
    desired: Option<Remembered>,
    /// What that revision asked for then: what lies outside Git may ask for something else since.
    pub reached_as: Option<Digest>,
    /// What the last look was compared with, and what came out.
    compared: Option<Compared>,
}

/// What a commit and its variables ask of an Engine, and the problems with it.
type Remembered = ((Revision, Digest), EngineFacts, Arc<Desired>, Diagnostics);

/// One comparison. The same input gives the same findings, and most looks see what the one before saw.
#[derive(Debug)]
struct Compared {
    desired: Arc<Desired>,
    policy: Policy,
    /// A digest of the observation: keeping it whole would double what a quiet host costs in memory.
    observed: u64,
    findings: Arc<Findings>,
}

impl Memory {
    /// What the stack asks of this host, as far as it was ever made out.
    pub fn desired(&self) -> Option<&Arc<Desired>> {
        self.desired.as_ref().map(|(_, _, desired, _)| desired)
    }

    /// What is left of it after a start: the revision that was reached.
    pub fn since(record: &TargetRecord) -> Self {
        let (reached, reached_as) = (record.reached.clone(), record.reached_as.clone());
        Self { reached, reached_as, ..Self::default() }
    }

    /// The same, with cures that changed nothing and images that were taken over.
    pub fn with(self, cures: Cures, taken: BTreeMap<String, String>) -> Self {
        Self { cures, taken, ..self }
    }

    /// The same, with where the stack's data was.
    #[must_use]
    pub fn knowing(self, state: LastState) -> Self {
        Self { state, ..self }
    }
}

/// Whether a pass changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It does what policy allows.
    Sync,
    /// An operator asked for it: what was rolled back is tried again.
    SyncAgain,
    /// An operator asked for it by name: stacks with `sync: manual` are applied too, and what was rolled back is tried again.
    SyncByHand,
    /// It does what policy allows, and only if exactly that plan was approved.
    SyncApproved,
    /// It only says what it would do.
    Show,
    /// It says what it and those that follow would do, until nothing is left.
    Foresee,
}

impl Mode {
    /// Whether it only looks.
    pub fn is_dry(self) -> bool {
        match self {
            Self::Show | Self::Foresee => true,
            Self::Sync | Self::SyncAgain | Self::SyncByHand | Self::SyncApproved => false,
        }
    }

    /// Whether what was taken back is tried once more.
    fn tries_again(self) -> bool {
        matches!(self, Self::SyncAgain | Self::SyncByHand)
    }
}

/// What a look at one target leads to where replicas are spread over hosts.
#[derive(Debug, Clone)]
pub enum Share {
    /// The stack runs whole on each of its hosts.
    Whole,
    /// Only what placement says.
    Placed(Arc<Placement>),
    /// Nobody can say, and why.
    Unknown(String),
}

/// Who is told what was seen, and tells what follows.
pub type Sharing<'a> = dyn Fn(&Observed) -> BoxFuture<'a, Share> + Send + Sync + 'a;

/// A host as a pass sees it.
#[derive(Debug, Clone, Copy)]
pub enum Sight<'a> {
    /// Through its Engine.
    Live(&'a Engine),
    /// As it was observed before: no Engine is asked, and nothing is changed.
    Saved(&'a Observed),
}

impl Sight<'_> {
    fn facts(self) -> EngineFacts {
        match self {
            Self::Live(engine) => engine.facts(),
            Self::Saved(observed) => observed.engine.clone(),
        }
    }
}

/// What one pass is about.
#[derive(Clone)]
pub struct Work<'a> {
    /// Which stack on which host.
    pub target: &'a Target,
    /// The stack, as loaded from the commit.
    pub stack: &'a LoadedStack,
    /// The commit.
    pub revision: &'a Revision,
    /// What the operator allows.
    pub policy: &'a Policy,
    /// The host.
    pub sight: Sight<'a>,
    /// Folder of Moorline's data on that host.
    pub host_data: &'a str,
    /// Whether it changes anything.
    pub mode: Mode,
    /// Notes what was seen at once, and says which part of the stack is this host's as soon as somebody can; `None` for
    /// all of it.
    pub share: Option<&'a Sharing<'a>>,
    /// Plans that may be carried out where that needs a word.
    pub approvals: &'a [Approval],
    /// What is known beside the stack itself.
    pub beside: Beside,
    /// How thoroughly to look first.
    pub depth: Depth,
    /// Who is told what happens.
    pub listener: Listener,
    /// The clock.
    pub clock: fn() -> Timestamp,
}

impl std::fmt::Debug for Work<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Work").field("target", &self.target).finish_non_exhaustive()
    }
}

/// Runs one pass.
pub async fn run(work: &Work<'_>, memory: &mut Memory, stop: &CancellationToken) -> Report {
    let mut report = Report::failed(
        work.target.clone(),
        work.revision.clone(),
        (work.clock)(),
        Failure { message: String::new(), remedy: Remedy::Retry },
    );
    report.problems.clone_from(&work.stack.problems);
    report.needs_word = work.policy.sync == SyncPolicy::Manual;
    match attempt(work, memory, stop, &mut report).await {
        Ok(()) => report.failure = None,
        Err(failure) => {
            report.failure = Some(failure);
            report.sync = crate::model::Sync::Unknown;
            report.health = Health::Unknown;
        }
    }
    report.at = (work.clock)();
    report
}

async fn attempt(
    work: &Work<'_>,
    memory: &mut Memory,
    stop: &CancellationToken,
    report: &mut Report,
) -> Result<(), Failure> {
    let whole = desired(work, memory, report)?;
    let whole = knowing(whole, work, memory);
    let mut depth = work.depth;
    for round in 0..ROUNDS_MAX {
        let mut observed = look(work, &whole, depth).await?;
        memory.causes.tell(&mut observed);
        let (asked, unseated) = share(work, &whole, &observed, report).await?;
        drift::recall_builds(&mut memory.taken, &asked, &mut observed, work.policy);
        let desired = drift::settle(Arc::clone(&asked), &observed, work.policy);
        depth = Depth::Changed;
        let findings = compare(memory, &desired, &observed, work.policy);
        if round == 0 {
            report.found.clone_from(&findings.drifts);
        }
        report.now_found(&findings, &observed);
        watch(work, memory, report, (&desired, &observed, &findings));
        memory.cures.look(&findings);
        let in_sync = report.sync == crate::model::Sync::Synced;
        memory.state = drift::last_state(&desired, &observed, work.policy, in_sync);
        if let Sight::Live(engine) = work.sight
            && work.policy.prune.volumes
        {
            beside::weigh(engine, &findings, &mut observed).await;
        }
        if let Sight::Live(engine) = work.sight {
            Box::pin(beside::probe(engine, &desired, &findings, &mut observed)).await;
        }
        let seen = (&*desired, &observed, &*findings);
        let plan = with_input(work, memory, seen, plan::make);
        report.wait = objection(work, &plan);
        let engine = match work.sight {
            Sight::Live(engine) if may_apply(work) => Some(engine),
            Sight::Live(_) | Sight::Saved(_) => None,
        };
        let idle = plan.steps.is_empty() || engine.is_none() || report.wait.is_some();
        report.wait = report.wait.take().or(unseated);
        if round > 0 && plan.is_empty() {
            break;
        }
        let plan = Arc::new(plan);
        report.rounds.push(Round::shown(Arc::clone(&plan)));
        if work.mode == Mode::Foresee {
            let follow = |input: plan::Input<'_>| plan::foresee(&plan, &asked, input);
            let later = with_input(work, memory, seen, follow).into_iter();
            report.rounds.extend(later.map(|plan| Round::shown(Arc::new(plan))));
        }
        let Some(engine) = engine.filter(|_| !idle && !stop.is_cancelled()) else { break };
        falls::remember(&mut memory.recoveries, &plan, (&findings, &observed), (work.clock)());
        let options = ApplyOptions::of(work.policy, Arc::clone(&work.listener));
        let outcomes = apply::run(&plan, &Edges::of(engine), &options, stop).await;
        // What was refused at once was planned from a look that is not true any more: somebody else was faster, or a
        // call of a process that was killed came to its end. Looking again tells.
        let stale = round == 0 && outcomes.iter().any(is_stale);
        let nothing_done = !stale && !outcomes.iter().any(|one| one.outcome == Outcome::Done);
        memory.causes.learn(&plan, &outcomes);
        memory.cures.carried_out(&findings.drifts, &plan, &outcomes);
        let failed = outcomes.iter().any(|it| matches!(it.outcome, Outcome::Failed { .. }));
        memory.tried_by_hand |= work.mode.tries_again() && failed;
        if let Some(last) = report.rounds.last_mut() {
            last.outcomes = outcomes;
        }
        if nothing_done || round + 1 == ROUNDS_MAX {
            settle(work, memory, &desired, report).await?;
            break;
        }
    }
    conclude(work, memory, report);
    Ok(())
}

/// A refusal that came at once, and that trying again may cure.
fn is_stale(outcome: &StepOutcome) -> bool {
    let retry = matches!(outcome.outcome, Outcome::Failed { remedy: Remedy::Retry, .. });
    retry && Duration::from_millis(outcome.millis) < STALE_WITHIN
}

/// What a look found; the last comparison's answer where nothing has changed since.
fn compare(
    memory: &mut Memory,
    desired: &Arc<Desired>,
    observed: &Observed,
    policy: &Policy,
) -> Arc<Findings> {
    let digest = digest(observed);
    if let Some(last) = &memory.compared
        && last.desired == *desired
        && last.observed == digest
        && last.policy == *policy
    {
        return Arc::clone(&last.findings);
    }
    // What was changed in Git still serves here: it is as secret as what replaces it.
    crate::redaction::hide_what_runs(desired, observed);
    let findings = Arc::new(drift::detect(desired, observed, policy));
    memory.compared = Some(Compared {
        desired: Arc::clone(desired),
        policy: policy.clone(),
        observed: digest,
        findings: Arc::clone(&findings),
    });
    findings
}

/// A digest of all that a comparison reads of an observation, which is everything but when it was made.
fn digest(observed: &Observed) -> u64 {
    let Observed {
        taken_at: _,
        engine,
        containers,
        networks,
        volumes,
        images,
        gaps,
        engine_started_at,
        ports_taken,
        subnets_taken,
        // Only a plan asks for it.
        paths: _,
    } = observed;
    let mut hasher = DefaultHasher::new();
    (engine, containers, networks, volumes, images, gaps).hash(&mut hasher);
    (engine_started_at, ports_taken, subnets_taken).hash(&mut hasher);
    hasher.finish()
}

/// A last look after the last round, so that the report tells what is, not what was meant.
async fn settle(
    work: &Work<'_>,
    memory: &mut Memory,
    desired: &Desired,
    report: &mut Report,
) -> Result<(), Failure> {
    let mut observed = look(work, desired, Depth::Changed).await?;
    drift::recall_builds(&mut memory.taken, desired, &mut observed, work.policy);
    if let Some(share) = work.share {
        // What was made or removed is known to the others from now on.
        drop(share(&observed));
    }
    let findings = drift::detect(desired, &observed, work.policy);
    report.now_found(&findings, &observed);
    let in_sync = report.sync == crate::model::Sync::Synced;
    memory.state = drift::last_state(desired, &observed, work.policy, in_sync);
    watch(work, memory, report, (desired, &observed, &findings));
    Ok(())
}

fn conclude(work: &Work<'_>, memory: &mut Memory, report: &mut Report) {
    let failed = report.outcomes().any(|outcome| matches!(outcome, Outcome::Failed { .. }));
    // What was taken back, or is held for another reason than patience, does not go on by itself.
    let stuck = report.held().any(|held| held.drift.cure == Cure::Replace);
    if stuck {
        report.health = report.health.max(Health::Degraded);
    }
    report.is_under_way = !failed
        && !stuck
        && !work.mode.is_dry()
        && (report.health == Health::Progressing
            || report.outcomes().any(|outcome| matches!(outcome, Outcome::Cancelled)));
    if report.sync == crate::model::Sync::Synced {
        memory.reached = Some(work.revision.clone());
        memory.reached_as = Some(work.stack.digest.clone());
    }
}

/// This host's share of the stack, and which replicas have no host at all.
async fn share(
    work: &Work<'_>,
    whole: &Arc<Desired>,
    observed: &Observed,
    report: &mut Report,
) -> Result<(Arc<Desired>, Option<Wait>), Failure> {
    let Some(share) = work.share else { return Ok((Arc::clone(whole), None)) };
    let placement = match share(observed).await {
        Share::Whole => return Ok((Arc::clone(whole), None)),
        Share::Unknown(message) => return Err(Failure { message, remedy: Remedy::NewRevision }),
        Share::Placed(placement) => placement,
    };
    Ok(confined(whole, &placement, observed, report))
}

/// What of the stack placement put on this host, and which replicas have no host at all.
fn confined(
    whole: &Arc<Desired>,
    placement: &Placement,
    observed: &Observed,
    report: &mut Report,
) -> (Arc<Desired>, Option<Wait>) {
    let (stack, host) = (&report.target.stack, &report.target.host);
    let mut own = (**whole).clone();
    placement::confine(&mut own, placement, host, observed);
    let mut waiting = placement.waiting.iter().filter(|one| one.replica.stack == *stack);
    let wait = waiting.next().map(|first| Wait {
        on: WaitingOn::Room(Box::new(first.clone())),
        until: None,
        state: CommitState::Pending,
    });
    report.seats = placement
        .on(host, stack)
        .map(|(replica, why)| format!("{replica} is here: {why}"))
        .collect();
    // Confining only takes away. Where all of it sits, it is not kept twice.
    (if extent(&own) == extent(whole) { Arc::clone(whole) } else { Arc::new(own) }, wait)
}

/// How much a stack asks for: replicas, what they wait for, networks, volumes.
fn extent(desired: &Desired) -> [usize; 4] {
    let services = || desired.services.values();
    let replicas = services().map(|service| service.replicas.len()).sum();
    let waits = services().map(|service| service.depends_on.len()).sum();
    [replicas, waits, desired.networks.len(), desired.volumes.len()]
}

/// Whether policy lets this pass change the host.
fn may_apply(work: &Work<'_>) -> bool {
    !work.mode.is_dry()
}

/// Whose word a plan waits for, if it needs one and has none.
fn objection(work: &Work<'_>, plan: &Plan) -> Option<Wait> {
    let needs_word = match work.mode {
        Mode::SyncByHand => false,
        Mode::SyncApproved => true,
        Mode::Sync | Mode::SyncAgain | Mode::Show | Mode::Foresee => {
            work.policy.sync == SyncPolicy::Manual
        }
    };
    if !needs_word || plan.steps.is_empty() {
        return None;
    }
    let hash = plan::hash(plan);
    let now = (work.clock)();
    match approval::verdict(work.approvals, &work.target.name(), &hash, now) {
        approval::Verdict::Approved { .. } => None,
        why => {
            let on = WaitingOn::Approval(why);
            Some(Wait { on, until: None, state: CommitState::Pending })
        }
    }
}

/// Plans with everything that is known of a target.
fn with_input<T>(
    work: &Work<'_>,
    memory: &Memory,
    (desired, observed, findings): (&Desired, &Observed, &Findings),
    plan: impl FnOnce(plan::Input<'_>) -> T,
) -> T {
    let now = (work.clock)();
    let by_hand = work.mode.tries_again() && !memory.tried_by_hand;
    let brakes =
        if by_hand { BTreeMap::new() } else { falls::brakes(&memory.recoveries, desired, now) };
    let as_then = memory.reached_as.as_ref().is_none_or(|digest| *digest == work.stack.digest);
    let kept = memory.reached.as_ref() == Some(work.revision) && as_then;
    plan(plan::Input {
        desired,
        observed,
        findings,
        policy: work.policy,
        brakes: &brakes,
        cures: &memory.cures,
        phase: if kept { Phase::Keep } else { Phase::Deploy },
        resolve: if by_hand { Resolve::Retry } else { Resolve::Hold },
        unsettled: work.beside.unsettled.as_ref(),
        now,
    })
}

/// What the stack asks of this host. Made once a commit and Engine.
fn desired(
    work: &Work<'_>,
    memory: &mut Memory,
    report: &mut Report,
) -> Result<Arc<Desired>, Failure> {
    let facts = work.sight.facts();
    let neighbours = work.beside.neighbours(&work.stack.claims, &work.target.host);
    let asked = (work.revision.clone(), work.stack.digest.clone());
    if let Some((known, for_engine, desired, problems)) = &memory.desired
        && *known == asked
        && *for_engine == facts
        && desired.neighbours == neighbours
    {
        report.problems.0.extend(problems.0.iter().cloned());
        return Ok(Arc::clone(desired));
    }
    let Written { desired, problems } =
        work.stack.write(work.target, work.revision, work.host_data, &facts);
    report.problems.0.extend(problems.0.iter().cloned());
    let Some(desired) = desired.filter(|_| !report.problems.has_errors()) else {
        let first = report.problems.first_error();
        let message = first.map_or("the manifest cannot be used".to_owned(), ToString::to_string);
        return Err(Failure { message, remedy: Remedy::NewRevision });
    };
    let mut desired = Arc::unwrap_or_clone(desired);
    desired.neighbours = neighbours;
    let desired = Arc::new(desired);
    forget_changed(memory, &desired);
    memory.desired = Some((asked, facts, Arc::clone(&desired), problems));
    Ok(desired)
}

/// The same with what is known of the stack's data beside what the host shows.
fn knowing(whole: Arc<Desired>, work: &Work<'_>, memory: &mut Memory) -> Arc<Desired> {
    let known = Known { own: memory.state.clone(), before: work.beside.before.clone() };
    if *whole.known == known {
        return whole;
    }
    let mut knowing = Arc::unwrap_or_clone(whole);
    knowing.known = Arc::new(known);
    let knowing = Arc::new(knowing);
    if let Some((_, _, desired, _)) = &mut memory.desired {
        *desired = Arc::clone(&knowing);
    }
    knowing
}

/// Replicas whose definition changed start afresh; those that are gone are forgotten.
fn forget_changed(memory: &mut Memory, desired: &Desired) {
    let all = |desired: &Desired| -> BTreeMap<Replica, String> {
        let replicas = desired.services.values().flat_map(|service| service.replicas.values());
        let seal = |replica: &Replica| desired.seals.get(replica).cloned().unwrap_or_default();
        replicas.map(|one| (one.replica.clone(), seal(&one.replica))).collect()
    };
    let now = all(desired);
    if let Some((_, _, before, _)) = &memory.desired {
        let before = all(before);
        for replica in now.iter().filter(|(name, digest)| before.get(name) != Some(digest)) {
            memory.recoveries.forget(replica.0);
            memory.cures.forget(replica.0);
        }
    }
    memory.recoveries.keep_only(&now.into_keys().collect());
}

async fn look(work: &Work<'_>, desired: &Desired, depth: Depth) -> Result<Observed, Failure> {
    let now = (work.clock)();
    let mut scope = Scope::of(desired);
    if depth == Depth::Full {
        scope.registry = beside::followed_tags(desired);
    }
    match work.sight {
        Sight::Live(engine) => {
            engine.observe(&scope, depth, now).await.map_err(|error| unseen(&error))
        }
        Sight::Saved(observed) => Ok(observed.clone()),
    }
}

fn unseen(error: &EngineError) -> Failure {
    Failure { message: chain::in_full(error), remedy: error.remedy() }
}

/// What is not well although it runs: what falls again and again, and what has not run for long enough to tell.
fn watch(
    work: &Work<'_>,
    memory: &mut Memory,
    report: &mut Report,
    (desired, observed, findings): (&Desired, &Observed, &Findings),
) {
    let now = (work.clock)();
    falls::watch_restarts(&mut memory.recoveries, findings, observed, now);
    falls::mark_degraded(report, &memory.recoveries, now);
    let (recoveries, limit) = (&memory.recoveries, work.policy.watch);
    let watch = Watch { desired, observed, findings, recoveries, limit, now };
    report.is_unproven(watch.unproven(&mut memory.seen_up));
}
