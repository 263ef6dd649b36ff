//! A command on a server over SSH: host key checked against a file, key or agent for us.

use std::borrow::Cow;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use russh::client::{self, AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey};
use russh::{Channel, ChannelMsg, Preferred};

use super::super::error::Cause;
use super::super::remote::SshAddress;
use super::super::source::Credentials;
use super::known_hosts::{self, Verdict};
use super::{Access, GitError, Service, shortened};

/// Keys of an agent that are tried; servers hang up after a few.
const AGENT_KEYS: usize = 6;
/// Bytes of a server's complaints that are kept.
const LAST_WORDS: usize = 2048;

/// A command that runs on the server.
pub(super) struct SshPipe {
    remote: String,
    channel: Channel<client::Msg>,
    complaints: Vec<u8>,
    _session: Handle<HostKeyCheck>,
}

impl std::fmt::Debug for SshPipe {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("SshPipe").field("remote", &self.remote).finish_non_exhaustive()
    }
}

impl SshPipe {
    /// Connects, checks the host key, shows who we are, and starts the command.
    pub(super) async fn open(
        remote: &str,
        address: &SshAddress,
        access: &Access,
        service: Service,
    ) -> Result<Self, GitError> {
        let limit = access.limits.connect;
        match tokio::time::timeout(limit, start(remote, address, access, service)).await {
            Ok(opened) => opened,
            Err(_) => {
                let remote = remote.to_owned();
                Err(GitError::Timeout { remote, doing: "opening an SSH session", limit })
            }
        }
    }

    /// Sends bytes to the command.
    pub(super) async fn send(&mut self, bytes: Bytes, limit: Duration) -> Result<(), GitError> {
        let remote = || self.remote.clone();
        match tokio::time::timeout(limit, self.channel.data_bytes(bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(cause)) => Err(super::unreachable(&self.remote, cause)),
            Err(_) => {
                Err(GitError::Timeout { remote: remote(), doing: "sending a request", limit })
            }
        }
    }

    /// The next bytes of the command; empty at its end.
    pub(super) async fn chunk(&mut self) -> Result<Bytes, GitError> {
        loop {
            match self.channel.wait().await {
                Some(ChannelMsg::Data { data }) if data.is_empty() => {}
                Some(ChannelMsg::Data { data }) => return Ok(data),
                Some(ChannelMsg::ExtendedData { data, .. }) => {
                    let room = LAST_WORDS.saturating_sub(self.complaints.len());
                    self.complaints.extend(data.iter().take(room));
                }
                Some(ChannelMsg::Failure) => {
                    self.complaints.extend(b"the server does not run the command");
                    return Ok(Bytes::new());
                }
                Some(ChannelMsg::Close) | None => return Ok(Bytes::new()),
                // The end of output comes before the complaints may have; `Close` ends both.
                Some(_) => {}
            }
        }
    }

    /// What the command complained about, if it did.
    pub(super) fn last_words(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.complaints);
        let text = shortened(&text);
        (!text.is_empty()).then_some(text)
    }
}

async fn start(
    remote: &str,
    address: &SshAddress,
    access: &Access,
    service: Service,
) -> Result<SshPipe, GitError> {
    let known = read_known_hosts(access).await?;
    let host = known_hosts::host_name(&address.host, address.port);
    let socket = super::connect(remote, &address.host, address.port, access).await?;
    let refused = Arc::new(Mutex::new(None));
    let check = HostKeyCheck {
        file: access.known_hosts_file.clone(),
        known: known.clone(),
        host: host.clone(),
        refused: Arc::clone(&refused),
    };
    let config =
        Arc::new(client::Config { preferred: preferred(&known, &host), ..Default::default() });
    let connected = client::connect_stream(config, socket, check).await;
    let refused = refused.lock().unwrap_or_else(PoisonError::into_inner).take();
    let mut session = match (connected, refused) {
        (_, Some(refused)) => return Err(refused),
        (Ok(session), None) => session,
        (Err(cause), None) => return Err(super::unreachable(remote, cause)),
    };
    authenticate(remote, &address.user, access, &mut session).await?;
    let channel = run(&session, &command(service, &address.path)).await;
    let channel = channel.map_err(|cause| super::unreachable(remote, cause))?;
    let remote = remote.to_owned();
    Ok(SshPipe { remote, channel, complaints: Vec::new(), _session: session })
}

async fn read_known_hosts(access: &Access) -> Result<String, GitError> {
    let Some(path) = &access.known_hosts_file else { return Ok(String::new()) };
    let read = tokio::fs::read_to_string(path).await;
    read.map_err(|cause| unusable(path, cause))
}

fn unusable(path: &Path, cause: impl Into<Cause>) -> GitError {
    GitError::AccessFile { path: path.to_owned(), source: cause.into() }
}

/// Our preferences, with the kinds of key that the file knows of this host in front.
fn preferred(known: &str, host: &str) -> Preferred {
    let kinds = known_hosts::kinds(known, host);
    let kind = |algorithm: &Algorithm| match algorithm {
        Algorithm::Rsa { .. } => "ssh-rsa".to_owned(),
        other => other.to_string(),
    };
    let (mut keys, others): (Vec<Algorithm>, Vec<Algorithm>) =
        Preferred::DEFAULT.key.iter().cloned().partition(|a| kinds.contains(&kind(a).as_str()));
    keys.extend(others);
    Preferred { key: Cow::Owned(keys), ..Preferred::DEFAULT }
}

async fn run(
    session: &Handle<HostKeyCheck>,
    command: &str,
) -> Result<Channel<client::Msg>, russh::Error> {
    let channel = session.channel_open_session().await?;
    // Servers that do not accept the variable speak version 0.
    channel.set_env(false, "GIT_PROTOCOL", "version=2").await?;
    channel.exec(true, command).await?;
    Ok(channel)
}

/// `git-upload-pack '/path'`, quoted for the server's shell.
fn command(service: Service, path: &str) -> String {
    format!("{} '{}'", service.name(), path.replace('\'', r"'\''").replace('!', r"'\!'"))
}

async fn authenticate(
    remote: &str,
    user: &str,
    access: &Access,
    session: &mut Handle<HostKeyCheck>,
) -> Result<(), GitError> {
    let accepted = match &access.credentials {
        Credentials::SshKey { file, passphrase_file } => {
            let key = load_key(file, passphrase_file.as_deref()).await?;
            with_key(session, user, key).await.map_err(|cause| super::unreachable(remote, cause))?
        }
        Credentials::SshAgent { socket } => {
            with_agent(session, user, socket).await.map_err(|cause| unusable(socket, cause))?
        }
        Credentials::None | Credentials::Token { .. } => {
            return Err(GitError::CredentialsMissing { remote: remote.to_owned() });
        }
    };
    let from = super::http::credentials_name(&access.credentials).unwrap_or_default();
    if accepted {
        Ok(())
    } else {
        Err(GitError::CredentialsRefused { remote: remote.to_owned(), from })
    }
}

async fn load_key(file: &Path, passphrase_file: Option<&Path>) -> Result<PrivateKey, GitError> {
    let passphrase = match passphrase_file {
        Some(path) => {
            Some(tokio::fs::read_to_string(path).await.map_err(|cause| unusable(path, cause))?)
        }
        None => None,
    };
    let file = file.to_owned();
    // Deriving the key of an encrypted file takes a noticeable time on purpose.
    super::http::blocking(move || {
        let passphrase = passphrase.as_deref().map(|text| text.trim_end_matches(['\r', '\n']));
        russh::keys::load_secret_key(&file, passphrase).map_err(|cause| unusable(&file, cause))
    })
    .await
}

async fn with_key(
    session: &mut Handle<HostKeyCheck>,
    user: &str,
    key: PrivateKey,
) -> Result<bool, russh::Error> {
    let hash = rsa_hash(session, &key.algorithm()).await?;
    let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
    Ok(session.authenticate_publickey(user, key).await?.success())
}

async fn with_agent(
    session: &mut Handle<HostKeyCheck>,
    user: &str,
    socket: &Path,
) -> Result<bool, Cause> {
    let mut agent = AgentClient::connect_uds(socket).await?;
    let identities = agent.request_identities().await?;
    for identity in identities.into_iter().take(AGENT_KEYS) {
        let AgentIdentity::PublicKey { key, .. } = identity else { continue };
        let hash = rsa_hash(session, &key.algorithm()).await?;
        let answer = session.authenticate_publickey_with(user, key, hash, &mut agent).await?;
        if matches!(answer, AuthResult::Success) {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn rsa_hash(
    session: &Handle<HostKeyCheck>,
    algorithm: &Algorithm,
) -> Result<Option<HashAlg>, russh::Error> {
    if !matches!(algorithm, Algorithm::Rsa { .. }) {
        return Ok(None);
    }
    // A server that does not say gets SHA-256, which all but very old ones take.
    Ok(session.best_supported_rsa_hash().await?.unwrap_or(Some(HashAlg::Sha256)))
}

/// Holds a server's key against the file of known hosts.
#[derive(Debug)]
pub(super) struct HostKeyCheck {
    file: Option<std::path::PathBuf>,
    known: String,
    host: String,
    /// Why the key was refused: russh itself says only that it was.
    refused: Arc<Mutex<Option<GitError>>>,
}

impl HostKeyCheck {
    fn problem(&self, key: &PublicKey) -> Option<GitError> {
        let openssh = key.to_openssh().unwrap_or_default();
        let mut words = openssh.split(' ');
        let (kind, blob) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        let host = self.host.clone();
        match (known_hosts::check(&self.known, &host, blob), &self.file) {
            (Verdict::Known, _) => None,
            (Verdict::Changed { line }, Some(file)) => {
                let file = file.clone();
                Some(GitError::ChangedHostKey { host, fingerprint, file, line })
            }
            (Verdict::Changed { .. } | Verdict::Unknown, file) => {
                let line = format!("{host} {kind} {blob}");
                Some(GitError::UnknownHostKey { host, fingerprint, line, file: file.clone() })
            }
        }
    }
}

impl client::Handler for HostKeyCheck {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        shown: &russh::keys::PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        // Certificates are not asked for, so a server does not show one.
        let russh::keys::PublicKeyOrCertificate::PublicKey { key, .. } = shown else {
            return Ok(false);
        };
        let problem = self.problem(key);
        let accepted = problem.is_none();
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = problem;
        Ok(accepted)
    }
}
