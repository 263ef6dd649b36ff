//! The Docker Engine API: connections, observation, events, and one method per action.
//!
//! In go an [`Endpoint`], scopes and actions; out come observations in the nouns of [`crate::model`], events, and
//! errors with a remedy. Nothing is decided here. What could not be seen is a gap in the observation, never an
//! absence.

mod act;
mod connect;
mod error;
mod events;
mod look;

pub use act::{Progress, Terms};
pub use connect::{
    Access, Endpoint, EngineSettings, Limits, RegistryAccess, SshEndpoint, SshIdentity,
    TcpSecurity, TlsFiles,
};
pub use error::{Cause, EngineError};
pub use events::{EngineEvent, EventKind, EventStream};
pub use look::{Depth, HostView, Scope};

use crate::model::{Action, EngineFacts, Observed, Timestamp};

/// One Engine. Cheap to clone; clones share connections and what was learnt of the host.
#[derive(Debug, Clone)]
pub struct Engine {
    facts: EngineFacts,
}

impl Engine {
    /// Connects, agrees on an API version (1.41 or newer) and reads the Engine's facts.
    ///
    /// # Errors
    /// Everything that keeps us from talking to it; see [`EngineError::is_unreachable`].
    pub async fn connect(
        endpoint: &Endpoint,
        settings: &EngineSettings,
    ) -> Result<Self, EngineError> {
        let _ = (endpoint, settings);
        Err(EngineError::Cancelled)
    }

    /// What is known of the Engine itself.
    pub fn facts(&self) -> EngineFacts {
        self.facts.clone()
    }

    /// Looks at the host once, for any number of stacks.
    ///
    /// # Errors
    /// When the list of containers cannot be read. Everything else that fails is a gap of the view.
    pub async fn look(
        &self,
        scopes: &[Scope],
        depth: Depth,
        now: Timestamp,
    ) -> Result<HostView, EngineError> {
        let _ = (scopes, depth, now);
        Err(EngineError::Cancelled)
    }

    /// [`Engine::look`] for one stack.
    pub async fn observe(
        &self,
        scope: &Scope,
        depth: Depth,
        now: Timestamp,
    ) -> Result<Observed, EngineError> {
        Ok(self.look(std::slice::from_ref(scope), depth, now).await?.of(scope))
    }

    /// What happens on the host from `since` on (from now on when `None`). While the stream is read, looks with
    /// [`Depth::Changed`] are cheap. Its end is an item; pass the last event's time to go on: the overlap that clocks and
    /// lost connections need is added here.
    pub async fn events(&self, since: Option<Timestamp>) -> Result<EventStream, EngineError> {
        let _ = since;
        Err(EngineError::Cancelled)
    }

    /// Carries out one action.
    pub async fn carry_out(&self, action: &Action, terms: &Terms<'_>) -> Result<(), EngineError> {
        let _ = (action, terms);
        Err(EngineError::Cancelled)
    }
}
