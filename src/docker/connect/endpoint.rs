//! Where an Engine is, and what is needed to talk to it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use super::super::EngineError;
use crate::model::Secret;

/// Where an Engine is. Prints as the settings would write it, without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// `unix:///var/run/docker.sock`.
    Unix(PathBuf),
    /// `tcp://host:2376`.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
        /// How it is protected.
        security: TcpSecurity,
    },
    /// `ssh://user@host[:port][/path/of/the.sock]`.
    Ssh(SshEndpoint),
}

/// How a TCP connection is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TcpSecurity {
    /// Not at all; only where the settings say so in words.
    Plain,
    /// Mutual TLS. Only the given authority is trusted.
    Tls(TlsFiles),
}

/// PEM files of mutual TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Authority that signed the Engine's certificate.
    pub ca: PathBuf,
    /// Our certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// An Engine behind an SSH server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshEndpoint {
    /// User.
    pub user: String,
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The Engine's socket over there.
    pub socket: String,
    /// Pinned host keys, in the format of OpenSSH.
    pub known_hosts: PathBuf,
    /// What lets us in.
    pub identity: SshIdentity,
}

/// What an SSH server lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SshIdentity {
    /// A private key file.
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What opens it, when it is encrypted.
        passphrase: Option<Secret<String>>,
    },
    /// The keys of a running agent.
    Agent {
        /// Its socket (`SSH_AUTH_SOCK`).
        socket: PathBuf,
    },
}

/// What the settings say about the connection beside the endpoint's text.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// For `tcp://`.
    pub tls: Option<TlsFiles>,
    /// `tcp://` without TLS is allowed.
    pub plain: bool,
    /// For `ssh://`.
    pub identity: Option<SshIdentity>,
    /// For `ssh://`.
    pub known_hosts: Option<PathBuf>,
}

/// What concerns an Engine beside where it is. `Default` is right for a host on the same network.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// Limits of single calls.
    pub limits: Limits,
    /// Registry credentials.
    pub registries: RegistryAccess,
    /// Marks passing containers that carry files to the host, so that no process removes one that another is using.
    /// Different processes that share a host should have different words; what a crashed one left is removed by age.
    pub owner: String,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            registries: RegistryAccess::default(),
            owner: "moorline".to_owned(),
        }
    }
}

/// Limits of single calls, from the first byte sent to the last byte read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// To be connected: sockets, handshakes.
    pub connect: Duration,
    /// A list, or an inspection of one thing.
    pub read: Duration,
    /// One inspection of a container within a look: beyond that it is a gap.
    pub inspect: Duration,
    /// All inspections of one look together: those not answered by then are gaps.
    pub look: Duration,
    /// How long a container whose inspection was not answered is not asked about again.
    pub wedged: Duration,
    /// Inspections at a time.
    pub parallel: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            read: Duration::from_secs(15),
            inspect: Duration::from_secs(5),
            look: Duration::from_secs(20),
            wedged: Duration::from_mins(1),
            parallel: 16,
        }
    }
}

/// Where registry credentials are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistryAccess {
    /// A `config.json` of the docker client: its `auths` are used, its helpers are not.
    pub config_file: Option<PathBuf>,
    /// Credential helpers: registry to program (`docker-credential-…`, absolute path). Only what stands here is run.
    pub helpers: BTreeMap<String, PathBuf>,
}

const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

impl Endpoint {
    /// Takes any form of `DOCKER_HOST`.
    ///
    /// # Errors
    /// [`EngineError::BadEndpoint`] for unknown schemes, for `tcp://` without TLS where that is not allowed, and
    /// for `ssh://` without a user, an identity or known hosts.
    pub fn parse(text: &str, access: &Access) -> Result<Self, EngineError> {
        if let Some(path) =
            text.strip_prefix("unix://").or_else(|| text.starts_with('/').then_some(text))
        {
            let path = Path::new(path);
            return if path.is_absolute() {
                Ok(Self::Unix(path.to_owned()))
            } else {
                Err(bad(text, "the path of a unix socket must be absolute"))
            };
        }
        let Ok(url) = Url::parse(text) else {
            return Err(bad(text, "expected unix://, tcp:// or ssh://"));
        };
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err(bad(text, "it names no host"));
        }
        match url.scheme() {
            "tcp" | "http" | "https" => Self::parse_tcp(text, &url, host, access),
            "ssh" => Self::parse_ssh(text, &url, host, access),
            _ => Err(bad(text, "expected unix://, tcp:// or ssh://")),
        }
    }

    fn parse_tcp(
        text: &str,
        url: &Url,
        host: String,
        access: &Access,
    ) -> Result<Self, EngineError> {
        let security = match &access.tls {
            Some(files) => TcpSecurity::Tls(files.clone()),
            None if access.plain => TcpSecurity::Plain,
            None => {
                let why = "tcp:// needs `tls: {ca, cert, key}`: whoever reaches a bare Engine owns its host \
                           (`tls: none` allows it all the same)";
                return Err(bad(text, why));
            }
        };
        let usual = if matches!(security, TcpSecurity::Plain) { 2375 } else { 2376 };
        Ok(Self::Tcp { host, port: url.port().unwrap_or(usual), security })
    }

    fn parse_ssh(
        text: &str,
        url: &Url,
        host: String,
        access: &Access,
    ) -> Result<Self, EngineError> {
        if url.password().is_some() {
            return Err(bad(text, "passwords are not taken: use a key file or an agent"));
        }
        if url.username().is_empty() {
            return Err(bad(text, "it names no user: ssh://USER@HOST"));
        }
        let identity = access
            .identity
            .clone()
            .ok_or_else(|| bad(text, "ssh:// needs `ssh_key_file` or a running agent"))?;
        let known_hosts = access.known_hosts.clone().ok_or_else(|| {
            bad(text, "ssh:// needs `known_hosts_file` with the host's pinned key")
        })?;
        let socket = match url.path() {
            "" | "/" => DEFAULT_SOCKET.to_owned(),
            path => path.to_owned(),
        };
        Ok(Self::Ssh(SshEndpoint {
            user: url.username().to_owned(),
            host,
            port: url.port().unwrap_or(22),
            socket,
            known_hosts,
            identity,
        }))
    }
}

fn bad(text: &str, why: &str) -> EngineError {
    EngineError::BadEndpoint { endpoint: without_credentials(text), why: why.to_owned() }
}

/// The text without a password, should one stand in it.
fn without_credentials(text: &str) -> String {
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, rest)), Some((_, host))) if rest.contains('@') => {
            let user = rest.split([':', '@']).next().unwrap_or_default();
            format!("{scheme}://{user}@{host}")
        }
        _ => text.to_owned(),
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(out, "unix://{}", path.display()),
            Self::Tcp { host, port, .. } => write!(out, "tcp://{}:{port}", bracketed(host)),
            Self::Ssh(ssh) => {
                write!(out, "ssh://{}@{}", ssh.user, bracketed(&ssh.host))?;
                if ssh.port != 22 {
                    write!(out, ":{}", ssh.port)?;
                }
                if ssh.socket == DEFAULT_SOCKET { Ok(()) } else { out.write_str(&ssh.socket) }
            }
        }
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        Access {
            tls: None,
            plain: true,
            identity: Some(SshIdentity::Agent { socket: "/run/agent".into() }),
            known_hosts: Some("/etc/known".into()),
        }
    }

    #[test]
    fn every_form_of_docker_host_is_read_and_printed_back() {
        for text in [
            "unix:///var/run/docker.sock",
            "tcp://10.0.0.1:2375",
            "tcp://[fd00::1]:2376",
            "ssh://deploy@edge-1",
            "ssh://deploy@edge-1:2222",
            "ssh://deploy@edge-1:2222/run/user/1000/docker.sock",
        ] {
            assert_eq!(Endpoint::parse(text, &access()).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_bare_tcp_endpoint_is_refused_unless_allowed() {
        let error = Endpoint::parse("tcp://10.0.0.1:2375", &Access::default()).unwrap_err();
        assert!(error.to_string().contains("tls"), "{error}");
    }

    #[test]
    fn passwords_are_refused_and_not_repeated() {
        let error = Endpoint::parse("ssh://deploy:hunter2@edge-1", &access()).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn what_cannot_be_an_endpoint_is_refused() {
        for text in
            ["", "npipe:////./pipe/docker", "unix://relative.sock", "ssh://edge-1", "tcp://"]
        {
            assert!(Endpoint::parse(text, &access()).is_err(), "{text}");
        }
    }
}
