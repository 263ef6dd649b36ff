//! Walks a plan over the edges of a host and records what became of each step.
//!
//! *Guarantees:* a step starts only when all that it waits for are done; a failed step blocks its followers and
//! nobody else; every step of the plan has an outcome. *Assumptions:* the plan's numbering is sound (steps wait for
//! smaller numbers). *Caveats:* after `stop`, running steps end by themselves or at their limits; waits end at once.
//! Nothing is decided here: there is no `if` about the world. Which edge a step goes to, whether it counts as work and what
//! may be done when its answer was lost stands in its [conduct](crate::model::Action::conduct).

mod edges;
mod walk;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::docker::{CallOptions, Progress};
use crate::model::{Outcome, Plan, Policy, Remedy, Step, StepId, StepOutcome};

pub use edges::Edges;
use edges::StepError;
use walk::Walk;

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
pub struct ApplyOptions {
    /// Steps at a time; waits do not count.
    pub parallel_steps: usize,
    /// Limit of one step.
    pub step_limit: Duration,
    /// Limit of a wait or a pull without progress.
    pub progress_limit: Duration,
    /// Who is told.
    pub listener: Listener,
}

impl std::fmt::Debug for ApplyOptions {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("ApplyOptions")
            .field("parallel_steps", &self.parallel_steps)
            .finish_non_exhaustive()
    }
}

impl ApplyOptions {
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
    edges: &Edges,
    options: &ApplyOptions,
    stop: &CancellationToken,
) -> Vec<StepOutcome> {
    let mut walk = Walk::new(plan);
    let mut running: JoinSet<(StepId, Result<(), StepError>, Duration)> = JoinSet::new();
    let mut tasks: BTreeMap<tokio::task::Id, StepId> = BTreeMap::new();
    loop {
        while let Some(step) = walk.next_ready(options.parallel_steps, stop.is_cancelled()) {
            (options.listener)(Event::Begun(step));
            let handle = running.spawn(carry_out(
                step.id,
                Arc::clone(plan),
                edges.clone(),
                options.clone(),
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
        walk.end(id, outcome, took, &options.listener);
    }
    walk.outcomes(&options.listener)
}

async fn carry_out(
    id: StepId,
    plan: Arc<Plan>,
    edges: Edges,
    options: ApplyOptions,
    stop: CancellationToken,
) -> (StepId, Result<(), StepError>, Duration) {
    let begun = Instant::now();
    let Some(step) = plan.steps.iter().find(|step| step.id == id) else {
        return (id, Ok(()), Duration::ZERO);
    };
    let tell = |progress: Progress| (options.listener)(Event::Progress(step, &progress));
    let call = CallOptions {
        step: options.step_limit,
        progress: options.progress_limit,
        stop: &stop,
        tell: &tell,
    };
    let result = edges.carry_out(&step.action, &call).await;
    (id, result, begun.elapsed())
}

fn outcome(result: Result<(), StepError>) -> Outcome {
    match result {
        Ok(()) => Outcome::Done,
        Err(error) if error.is_cancelled() => Outcome::Cancelled,
        Err(error) => Outcome::Failed { error: error.in_full(), remedy: error.remedy() },
    }
}

/// A bug in one step ends that step, and nothing else.
fn panicked() -> Outcome {
    Outcome::Failed {
        error: "internal error: the step panicked".to_owned(),
        remedy: Remedy::Operator,
    }
}
