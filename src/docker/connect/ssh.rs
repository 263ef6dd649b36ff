//! One SSH session an Engine: channels to the Engine's socket are opened over it, and it is made anew when it is lost.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russh::ChannelStream;
use russh::client::{self, AuthResult, Handle, Msg};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::known_hosts::known_host_keys_path;
use russh::keys::{
    Algorithm, HashAlg, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate, load_secret_key,
};

use super::super::EngineError;
use super::endpoint::{SshEndpoint, SshIdentity};

/// Finds out within a minute that the other side is gone.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// A session that is made when it is first needed.
pub(super) struct SshSession {
    at: SshEndpoint,
    // Held while a session is made: everybody else waits for that one instead of making another.
    handle: tokio::sync::Mutex<Option<Arc<Handle<Gatekeeper>>>>,
}

impl SshSession {
    pub(super) fn new(at: SshEndpoint) -> Self {
        Self { at, handle: tokio::sync::Mutex::new(None) }
    }

    /// A connection to the Engine's socket over there.
    pub(super) async fn open(&self) -> Result<ChannelStream<Msg>, EngineError> {
        let known = self.session().await?;
        let first = known.channel_open_direct_streamlocal(&self.at.socket).await;
        let error = match first {
            Ok(channel) => return Ok(channel.into_stream()),
            Err(error @ russh::Error::ChannelOpenFailure(_)) => return Err(self.unreachable(error)),
            Err(error) => error,
        };
        tracing::debug!(%error, host = self.host(), "the ssh session is lost");
        self.forget(&known).await;
        let anew = self.session().await?;
        let channel = anew.channel_open_direct_streamlocal(&self.at.socket).await;
        channel.map(russh::Channel::into_stream).map_err(|error| self.unreachable(error))
    }

    async fn session(&self) -> Result<Arc<Handle<Gatekeeper>>, EngineError> {
        let mut slot = self.handle.lock().await;
        if let Some(handle) = slot.as_ref().filter(|handle| !handle.is_closed()) {
            return Ok(Arc::clone(handle));
        }
        let handle = Arc::new(self.log_in().await?);
        *slot = Some(Arc::clone(&handle));
        Ok(handle)
    }

    async fn forget(&self, lost: &Arc<Handle<Gatekeeper>>) {
        let mut slot = self.handle.lock().await;
        if slot.as_ref().is_some_and(|handle| Arc::ptr_eq(handle, lost)) {
            *slot = None;
        }
    }

    async fn log_in(&self) -> Result<Handle<Gatekeeper>, EngineError> {
        let pinned = self.pinned_keys()?;
        let config = client::Config {
            keepalive_interval: Some(KEEPALIVE),
            nodelay: true,
            preferred: preferring(&pinned),
            ..client::Config::default()
        };
        let verdict = Arc::new(Mutex::new(None));
        let gatekeeper = Gatekeeper {
            host: self.host(),
            known_hosts: self.at.known_hosts.clone(),
            pinned,
            verdict: Arc::clone(&verdict),
        };
        let address = (self.at.host.as_str(), self.at.port);
        let mut handle =
            client::connect(Arc::new(config), address, gatekeeper).await.map_err(|error| {
                let refusal = verdict.lock().unwrap_or_else(PoisonError::into_inner).take();
                refusal.unwrap_or_else(|| self.unreachable(error))
            })?;
        self.authenticate(&mut handle).await?;
        Ok(handle)
    }

    fn pinned_keys(&self) -> Result<Vec<PublicKey>, EngineError> {
        let path = &self.at.known_hosts;
        let broken = |source| EngineError::BadFile { path: path.clone(), source };
        std::fs::metadata(path).map_err(|error| broken(error.into()))?;
        let keys = known_host_keys_path(&self.at.host, self.at.port, path)
            .map_err(|error| broken(error.into()))?;
        Ok(keys.into_iter().map(|(_, key)| key).collect())
    }

    async fn authenticate(&self, handle: &mut Handle<Gatekeeper>) -> Result<(), EngineError> {
        let rsa = handle.best_supported_rsa_hash().await.ok().flatten().flatten();
        let accepted = match &self.at.identity {
            SshIdentity::KeyFile { path, passphrase } => {
                let passphrase = passphrase.as_ref().map(|secret| secret.reveal().as_str());
                let key = load_secret_key(path, passphrase).map_err(|error| {
                    EngineError::BadFile { path: path.clone(), source: error.into() }
                })?;
                let key = PrivateKeyWithHashAlg::new(Arc::new(key), rsa);
                let result = handle.authenticate_publickey(&self.at.user, key).await;
                result.map_err(|error| self.unreachable(error))?.success()
            }
            SshIdentity::Agent { socket } => self.ask_agent(handle, socket, rsa).await?,
        };
        if accepted { Ok(()) } else { Err(self.denied()) }
    }

    /// Offers the agent's keys one after the other.
    async fn ask_agent(
        &self,
        handle: &mut Handle<Gatekeeper>,
        socket: &PathBuf,
        rsa: Option<HashAlg>,
    ) -> Result<bool, EngineError> {
        let broken = |error: russh::keys::Error| EngineError::BadFile {
            path: socket.clone(),
            source: error.into(),
        };
        let mut agent = AgentClient::connect_uds(socket).await.map_err(broken)?;
        for identity in agent.request_identities().await.map_err(broken)? {
            let AgentIdentity::PublicKey { key, .. } = identity else { continue };
            let hash = matches!(key.algorithm(), Algorithm::Rsa { .. }).then_some(rsa).flatten();
            let answer =
                handle.authenticate_publickey_with(&self.at.user, key, hash, &mut agent).await;
            if matches!(answer, Ok(AuthResult::Success)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn host(&self) -> String {
        format!("{}:{}", self.at.host, self.at.port)
    }

    fn denied(&self) -> EngineError {
        EngineError::AccessDenied { host: self.host(), user: self.at.user.clone() }
    }

    fn unreachable(&self, error: russh::Error) -> EngineError {
        let endpoint = super::Endpoint::Ssh(self.at.clone()).to_string();
        EngineError::Unreachable { endpoint, source: error.into() }
    }
}

/// A server has several keys and shows the one that is asked for: ask for one of those that were pinned.
fn preferring(pinned: &[PublicKey]) -> russh::Preferred {
    let usual = russh::Preferred::default();
    let known: Vec<Algorithm> = usual
        .key
        .iter()
        .filter(|algorithm| pinned.iter().any(|key| same_family(algorithm, &key.algorithm())))
        .cloned()
        .collect();
    if known.is_empty() { usual } else { russh::Preferred { key: Cow::Owned(known), ..usual } }
}

fn same_family(asked: &Algorithm, pinned: &Algorithm) -> bool {
    matches!((asked, pinned), (Algorithm::Rsa { .. }, Algorithm::Rsa { .. })) || asked == pinned
}

/// Lets only pinned host keys through, and keeps why another was refused.
struct Gatekeeper {
    host: String,
    known_hosts: PathBuf,
    pinned: Vec<PublicKey>,
    verdict: Arc<Mutex<Option<EngineError>>>,
}

impl client::Handler for Gatekeeper {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else { return Ok(false) };
        if self.pinned.iter().any(|pinned| pinned.key_data() == key.key_data()) {
            return Ok(true);
        }
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        let host = self.host.clone();
        let refusal = if self.pinned.is_empty() {
            EngineError::UnknownHostKey { host, fingerprint, known_hosts: self.known_hosts.clone() }
        } else {
            EngineError::ChangedHostKey { host, fingerprint }
        };
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
        Ok(false)
    }
}
