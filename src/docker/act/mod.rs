//! Carrying out actions: one method per variant, none of which decides anything.
//!
//! *Guarantees.* An action whose [conduct](Action::conduct) says that doing it again is harmless may be carried out again
//! after its answer was lost: what is there already is not made twice, and what is gone is not missed. *Assumptions:* only
//! actions of this edge come here; another one is refused, and nothing happens.

mod containers;
mod exec;
mod files;
mod images;
mod laid;
mod networks;
mod verbs;
mod waits;

use std::fmt;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::look::Doubt;
use super::{Engine, EngineError};
use crate::model::{Action, Again, ContainerHandle, Ending};

/// How often an action is tried again when the connection breaks under it.
const MOST_REPEATS: u32 = 2;
const REPEAT_PAUSE: Duration = Duration::from_millis(20);

/// Under which terms an action is carried out.
#[derive(Clone, Copy)]
pub struct CallOptions<'a> {
    /// Limit of one call. A stop gets its grace period on top.
    pub step: Duration,
    /// Pulls and builds end after this long without a sign of life.
    pub progress: Duration,
    /// Ends waits, pauses, pulls and builds early, with [`super::EngineError::Cancelled`]. Everything else is finished.
    pub stop: &'a CancellationToken,
    /// Is told about progress.
    pub tell: &'a (dyn Fn(Progress) + Send + Sync),
}

impl fmt::Debug for CallOptions<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("CallOptions")
            .field("step", &self.step)
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}

/// How far an action is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// In words: `Downloading`, `Step 3/7 : RUN make`, `waiting for shop-db-1: starting`.
    pub text: String,
    /// Bytes, where there are any to count.
    pub done: u64,
    /// Bytes in all, as far as known.
    pub total: Option<u64>,
}

impl Engine {
    /// Carries out one action. One that may be repeated is, when the connection breaks under it.
    ///
    /// # Errors
    /// Whatever the Engine says. After an [ambiguous](EngineError::is_ambiguous) error the action may have happened;
    /// a further look tells, and carrying it out again does no harm.
    pub async fn carry_out(
        &self,
        action: &Action,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        self.call_into_doubt(action);
        let mut outcome = Box::pin(self.carry_out_once(action, terms)).await;
        for _ in 0..MOST_REPEATS {
            let Err(EngineError::Broken { what, source }) = &outcome else { break };
            if action.conduct().again == Again::Never {
                break;
            }
            tracing::debug!(what, %source, "the connection broke; trying once more");
            // Other pooled connections broke with it: they are noticed and dropped meanwhile.
            tokio::time::sleep(REPEAT_PAUSE).await;
            outcome = Box::pin(self.carry_out_once(action, terms)).await;
        }
        self.call_into_doubt(action);
        outcome
    }

    async fn carry_out_once(
        &self,
        action: &Action,
        terms: &CallOptions<'_>,
    ) -> Result<(), EngineError> {
        match action {
            Action::Pull { image, platform } => self.pull(image, platform, terms).await,
            Action::Build { image, build } => self.build(image, build, terms).await,
            Action::CreateNetwork(spec) => self.create_network(spec, terms).await,
            Action::RemoveNetwork { id, name } => self.remove_network(id, name, terms).await,
            Action::CreateVolume(spec) => self.create_volume(spec, terms).await,
            Action::RemoveVolume { name } => self.remove_volume(name, terms).await,
            Action::PutFiles { digest, bundle } => self.put_files(digest, bundle, terms).await,
            Action::RemoveFiles { folder, written } => {
                self.remove_files(folder, *written, terms).await
            }
            Action::Create { name, spec } => self.create(name, spec, terms).await,
            Action::Upload { container, files } => self.upload(container, files, terms).await,
            Action::Connect { container, network, endpoint } => {
                self.connect_network(container, network, endpoint, terms).await
            }
            Action::Disconnect { container, network } => {
                self.disconnect_network(container, network, terms).await
            }
            Action::Start { container } => self.start(container, terms).await,
            Action::Restart { container, grace } => self.restart(container, *grace, terms).await,
            Action::Unpause { container } => self.unpause(container, terms).await,
            Action::Stop { container, grace } => self.stop(container, *grace, terms).await,
            Action::Remove { container, anonymous_volumes } => {
                self.remove(container, *anonymous_volumes, terms).await
            }
            Action::Rename { container, name } => self.rename(container, name, terms).await,
            Action::Update { container, spec } => self.update(container, spec, terms).await,
            Action::RunHook { container, hook } => self.run_hook(container, hook, terms).await,
            Action::AwaitHealthy { container, monitor, ending, limit } => {
                match self.await_healthy(container, *monitor, *limit, terms).await {
                    Err(EngineError::Ended { code: 0, .. }) if *ending == Ending::Counts => Ok(()),
                    other => other,
                }
            }
            Action::AwaitCompletion { container, limit } => {
                self.await_completion(container, *limit, terms).await
            }
            Action::Delay { .. } => Err(EngineError::NotAnEngines),
        }
    }

    /// What an action may change is not known any more, whether it succeeds or not.
    fn call_into_doubt(&self, action: &Action) {
        let container = |container: &ContainerHandle| {
            self.memory().doubt(Doubt::Container(container.address()));
            self.memory().doubt(Doubt::Container(container.name()));
        };
        match action {
            Action::Pull { .. } | Action::Build { .. } => self.memory().doubt(Doubt::Images),
            Action::CreateNetwork(_) | Action::RemoveNetwork { .. } => {
                self.memory().doubt(Doubt::Networks);
            }
            Action::CreateVolume(_) | Action::RemoveVolume { .. } => {
                self.memory().doubt(Doubt::Volumes);
            }
            Action::Create { name, .. } => {
                self.memory().doubt(Doubt::Container(name));
                self.memory().doubt(Doubt::Volumes);
            }
            Action::Remove { container: removed, .. } => {
                container(removed);
                self.memory().doubt(Doubt::Volumes);
            }
            Action::Rename { container: renamed, name } => {
                container(renamed);
                self.memory().doubt(Doubt::Container(name));
            }
            Action::Upload { container: changed, .. }
            | Action::Connect { container: changed, .. }
            | Action::Disconnect { container: changed, .. }
            | Action::Start { container: changed }
            | Action::Restart { container: changed, .. }
            | Action::Unpause { container: changed }
            | Action::Stop { container: changed, .. }
            | Action::Update { container: changed, .. } => container(changed),
            Action::PutFiles { .. }
            | Action::RemoveFiles { .. }
            | Action::RunHook { .. }
            | Action::AwaitHealthy { .. }
            | Action::AwaitCompletion { .. }
            | Action::Delay { .. } => {}
        }
    }
}

/// Whether the Engine itself said no, other than "there is no such thing".
fn is_refusal(error: &EngineError) -> bool {
    error.status().is_some_and(|status| status != 404)
}
