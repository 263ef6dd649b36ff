//! The edges that steps go to. A new one is a variant of [`Edge`], a field here and a line in each function.

use tokio_util::sync::CancellationToken;

use crate::docker::{CallOptions, Engine, EngineError};
use crate::model::{Action, Edge, Remedy, chain};

/// What a plan's steps are carried out by, on one host.
#[derive(Debug, Clone)]
pub struct Edges {
    engine: Engine,
}

/// Why a step was not carried out.
#[derive(Debug)]
pub(super) enum StepError {
    /// The Engine's answer.
    Engine(EngineError),
    /// It was told to stop.
    Stopped,
}

impl Edges {
    /// Those of a host whose Engine this is.
    pub fn of(engine: &Engine) -> Self {
        Self { engine: engine.clone() }
    }

    /// Carries out one action on the edge that it names.
    pub(super) async fn carry_out(
        &self,
        action: &Action,
        call: &CallOptions<'_>,
    ) -> Result<(), StepError> {
        match action.conduct().edge {
            Edge::Engine => self.engine.carry_out(action, call).await.map_err(StepError::Engine),
            Edge::Clock => pause(action, call.stop).await,
        }
    }
}

async fn pause(action: &Action, stop: &CancellationToken) -> Result<(), StepError> {
    let Action::Delay { pause } = action else { return Ok(()) };
    match stop.run_until_cancelled(tokio::time::sleep(*pause)).await {
        Some(()) => Ok(()),
        None => Err(StepError::Stopped),
    }
}

impl StepError {
    /// Whether it is nobody's fault: the pass was told to stop.
    pub(super) fn is_cancelled(&self) -> bool {
        matches!(self, Self::Stopped | Self::Engine(EngineError::Cancelled))
    }

    /// What helps.
    pub(super) fn remedy(&self) -> Remedy {
        match self {
            Self::Engine(error) => error.remedy(),
            Self::Stopped => Remedy::Retry,
        }
    }

    /// With its causes and advice, on one line.
    pub(super) fn in_full(&self) -> String {
        let Self::Engine(error) = self else { return "told to stop".to_owned() };
        let text = chain::in_full(error);
        match error.help() {
            Some(help) => format!("{text}; {help}"),
            None => text,
        }
    }
}
