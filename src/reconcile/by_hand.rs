//! What operators do by hand (restart, pull, build): a plan that no commit asks for, carried out as every other one.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::config::settings::Limits;
use crate::docker::Engine;
use crate::model::{Plan, StepOutcome};

use super::apply::{self, ApplyOptions, Edges, Listener};

/// Carries a plan out within the settings' limits, until `stop`; one outcome a step.
pub(crate) async fn by_hand(
    plan: &Arc<Plan>,
    engine: &Engine,
    limits: &Limits,
    listener: Listener,
    stop: &CancellationToken,
) -> Vec<StepOutcome> {
    let options = ApplyOptions {
        parallel_steps: limits.parallel_steps,
        step_limit: limits.step,
        progress_limit: limits.progress,
        listener,
    };
    apply::run(plan, &Edges::of(engine), &options, stop).await
}
