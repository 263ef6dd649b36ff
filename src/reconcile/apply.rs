//! Walks a plan against one Engine and records what became of each step.
//!
//! *Guarantees:* a step starts only when all that it waits for are done; a failed step blocks its followers and
//! nobody else; every step of the plan has an outcome. *Assumptions:* the plan's numbering is sound (steps wait for
//! smaller numbers). *Caveats:* after `stop`, running steps end by themselves or at their limits; waits end at once.
//! Nothing is decided here: there is no `if` about the world.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::docker::{Engine, EngineError, Progress, Terms};
use crate::model::{Action, Outcome, Plan, Policy, Remedy, Step, StepId, StepOutcome};

/// What a listener is told while a plan is carried out.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// A step begins.
    Begun(&'a Step),
    /// A step is on its way.
    Progress(&'a Step, &'a Progress),
    /// A step has its outcome.
    Ended(&'a Step, &'a StepOutcome),
}

/// Someone who is told; it must not block.
pub type Listener = Arc<dyn Fn(Event<'_>) + Send + Sync>;

/// How a plan is carried out.
#[derive(Clone)]
pub struct Manner {
    /// Steps at a time; waits do not count.
    pub parallel_steps: usize,
    /// Limit of one step.
    pub step_limit: Duration,
    /// Limit of a wait or a pull without progress.
    pub progress_limit: Duration,
    /// Who is told.
    pub listener: Listener,
}

impl std::fmt::Debug for Manner {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Manner")
            .field("parallel_steps", &self.parallel_steps)
            .finish_non_exhaustive()
    }
}

impl Manner {
    /// As the policy says.
    pub fn of(policy: &Policy, listener: Listener) -> Self {
        Self {
            parallel_steps: policy.parallel_steps.max(1),
            step_limit: policy.step_limit,
            progress_limit: policy.progress_limit,
            listener,
        }
    }
}

/// Carries out a plan. Returns one outcome a step, by number.
pub async fn run(
    plan: &Arc<Plan>,
    engine: &Engine,
    manner: &Manner,
    stop: &CancellationToken,
) -> Vec<StepOutcome> {
    let mut walk = Walk::new(plan);
    let mut running: JoinSet<(StepId, Result<(), EngineError>, Duration)> = JoinSet::new();
    let mut tasks: BTreeMap<tokio::task::Id, StepId> = BTreeMap::new();
    loop {
        while let Some(step) = walk.next_ready(manner.parallel_steps, stop.is_cancelled()) {
            (manner.listener)(Event::Begun(step));
            let handle = running.spawn(carry_out(
                step.id,
                Arc::clone(plan),
                engine.clone(),
                manner.clone(),
                stop.clone(),
            ));
            tasks.insert(handle.id(), step.id);
        }
        let Some(ended) = running.join_next_with_id().await else { break };
        let (id, outcome, took) = match ended {
            Ok((task, (id, result, took))) => {
                tasks.remove(&task);
                (id, outcome(result), took)
            }
            Err(broken) => match tasks.remove(&broken.id()) {
                Some(id) => (id, panicked(), Duration::ZERO),
                None => continue,
            },
        };
        walk.end(id, outcome, took, &manner.listener);
    }
    walk.outcomes(&manner.listener)
}

async fn carry_out(
    id: StepId,
    plan: Arc<Plan>,
    engine: Engine,
    manner: Manner,
    stop: CancellationToken,
) -> (StepId, Result<(), EngineError>, Duration) {
    let begun = Instant::now();
    let Some(step) = plan.steps.iter().find(|step| step.id == id) else {
        return (id, Ok(()), Duration::ZERO);
    };
    let tell = |progress: Progress| (manner.listener)(Event::Progress(step, &progress));
    let terms = Terms {
        step: manner.step_limit,
        progress: manner.progress_limit,
        stop: &stop,
        tell: &tell,
    };
    let result = engine.carry_out(&step.action, &terms).await;
    (id, result, begun.elapsed())
}

fn outcome(result: Result<(), EngineError>) -> Outcome {
    match result {
        Ok(()) => Outcome::Done,
        Err(EngineError::Cancelled) => Outcome::Cancelled,
        Err(error) => Outcome::Failed { error: chain(&error), remedy: error.remedy() },
    }
}

/// A bug in one step ends that step, and nothing else.
fn panicked() -> Outcome {
    Outcome::Failed {
        error: "internal error: the step panicked".to_owned(),
        remedy: Remedy::Operator,
    }
}

/// An error with its causes and advice, on one line.
fn chain(error: &EngineError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    match error.help() {
        Some(help) => format!("{text}; {help}"),
        None => text,
    }
}

/// Where a plan stands.
struct Walk<'p> {
    steps: BTreeMap<StepId, &'p Step>,
    followers: BTreeMap<StepId, Vec<StepId>>,
    /// How many steps each step still waits for.
    waiting: BTreeMap<StepId, usize>,
    ready: BTreeSet<StepId>,
    running: BTreeSet<StepId>,
    outcomes: BTreeMap<StepId, StepOutcome>,
}

impl<'p> Walk<'p> {
    fn new(plan: &'p Plan) -> Self {
        let mut followers: BTreeMap<StepId, Vec<StepId>> = BTreeMap::new();
        for step in &plan.steps {
            for before in &step.after {
                followers.entry(*before).or_default().push(step.id);
            }
        }
        Self {
            steps: plan.steps.iter().map(|step| (step.id, step)).collect(),
            followers,
            waiting: plan.steps.iter().map(|step| (step.id, step.after.len())).collect(),
            ready: plan.steps.iter().filter(|s| s.after.is_empty()).map(|s| s.id).collect(),
            running: BTreeSet::new(),
            outcomes: BTreeMap::new(),
        }
    }

    /// The next step that may begin: waits at any time, other steps while there is room.
    fn next_ready(&mut self, room: usize, stopped: bool) -> Option<&'p Step> {
        if stopped {
            return None;
        }
        let busy = self.running.iter().filter(|id| !self.is_wait(**id)).count();
        let id = self.ready.iter().copied().find(|id| busy < room || self.is_wait(*id))?;
        self.ready.remove(&id);
        self.running.insert(id);
        self.steps.get(&id).copied()
    }

    fn is_wait(&self, id: StepId) -> bool {
        self.steps.get(&id).is_some_and(|step| {
            matches!(
                step.action,
                Action::AwaitHealthy { .. } | Action::AwaitCompletion { .. } | Action::Delay { .. }
            )
        })
    }

    fn end(&mut self, id: StepId, outcome: Outcome, took: Duration, listener: &Listener) {
        self.running.remove(&id);
        let done = outcome == Outcome::Done;
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.record(StepOutcome { step: id, outcome, millis }, listener);
        if done {
            for follower in self.followers.get(&id).into_iter().flatten() {
                if let Some(count) = self.waiting.get_mut(follower) {
                    *count = count.saturating_sub(1);
                    if *count == 0 && !self.outcomes.contains_key(follower) {
                        self.ready.insert(*follower);
                    }
                }
            }
        } else {
            self.block_followers(id, listener);
        }
    }

    /// Everything that waits for a step which was not done, directly or not, was not tried.
    fn block_followers(&mut self, by: StepId, listener: &Listener) {
        let mut open: Vec<StepId> = self.followers.get(&by).cloned().unwrap_or_default();
        while let Some(id) = open.pop() {
            if self.outcomes.contains_key(&id) {
                continue;
            }
            self.record(
                StepOutcome { step: id, outcome: Outcome::Blocked { by }, millis: 0 },
                listener,
            );
            open.extend(self.followers.get(&id).into_iter().flatten());
        }
    }

    fn record(&mut self, outcome: StepOutcome, listener: &Listener) {
        if let Some(step) = self.steps.get(&outcome.step) {
            listener(Event::Ended(step, &outcome));
        }
        self.outcomes.insert(outcome.step, outcome);
    }

    /// All outcomes; steps that were never tried were cancelled.
    fn outcomes(mut self, listener: &Listener) -> Vec<StepOutcome> {
        let untried: Vec<StepId> =
            self.steps.keys().filter(|id| !self.outcomes.contains_key(id)).copied().collect();
        for step in untried {
            self.record(StepOutcome { step, outcome: Outcome::Cancelled, millis: 0 }, listener);
        }
        self.outcomes.into_values().collect()
    }
}
