//! What can go wrong with an Engine.

use std::path::PathBuf;
use std::time::Duration;

use crate::model::Remedy;

/// A cause from a library below.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong with an Engine, or with what it was asked to do.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A step of another edge.
    #[error("that step is not one of the Engine")]
    NotAnEngines,
    /// The endpoint's text makes no sense, or asks for what is not allowed.
    #[error("{endpoint:?} is not an endpoint: {why}")]
    BadEndpoint {
        /// As it was given, without credentials.
        endpoint: String,
        /// The rule that it breaks.
        why: String,
    },
    /// A file of the connection (certificate, key, known hosts) cannot be used.
    #[error("cannot use {}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Cause,
    },
    /// Nobody answers there.
    #[error("cannot reach {endpoint}")]
    Unreachable {
        /// The endpoint, without credentials.
        endpoint: String,
        /// Why.
        source: Cause,
    },
    /// The SSH server shows a key that nobody pinned.
    #[error("the host key of {host} is not known: it shows {fingerprint}")]
    UnknownHostKey {
        /// Host and port.
        host: String,
        /// `SHA256:…` of the key that it showed.
        fingerprint: String,
        /// Where it would have to be pinned.
        known_hosts: PathBuf,
    },
    /// The SSH server shows another key than the pinned one.
    #[error("the host key of {host} is not the pinned one: it shows {fingerprint}")]
    ChangedHostKey {
        /// Host and port.
        host: String,
        /// `SHA256:…` of the key that it showed.
        fingerprint: String,
    },
    /// The SSH server does not let us in.
    #[error("{host} does not accept the key of {user}")]
    AccessDenied {
        /// Host and port.
        host: String,
        /// User.
        user: String,
    },
    /// The Engine and this program have no API version in common.
    #[error("{endpoint} speaks API {spoken}, {needed} is needed")]
    Version {
        /// The endpoint.
        endpoint: String,
        /// What it speaks.
        spoken: String,
        /// What would be needed.
        needed: String,
    },
    /// No answer within the limit. What was asked for may have happened all the same.
    #[error("{what}: no answer within {limit:?}")]
    TimedOut {
        /// What was asked for.
        what: String,
        /// The limit.
        limit: Duration,
    },
    /// The connection broke before the answer was complete. What was asked for may have happened all the same.
    #[error("{what}: the connection broke")]
    Broken {
        /// What was asked for.
        what: String,
        /// Why.
        source: Cause,
    },
    /// The Engine says no.
    #[error("{what}: {message}")]
    Refused {
        /// What was asked for.
        what: String,
        /// HTTP status.
        status: u16,
        /// The Engine's words.
        message: String,
    },
    /// The answer is not what the Engine API says.
    #[error("{what}: the answer makes no sense")]
    Garbled {
        /// What was asked for.
        what: String,
        /// Why.
        source: Cause,
    },
    /// The stream of events ended. Whoever reads it connects again, with `since`.
    #[error("the event stream ended")]
    EventsEnded,
    /// An image could not be pulled.
    #[error("cannot pull {image}: {message}")]
    Pull {
        /// Reference.
        image: String,
        /// The Engine's words.
        message: String,
    },
    /// An image could not be built.
    #[error("cannot build {image}: {message}")]
    Build {
        /// Tag.
        image: String,
        /// The Engine's words.
        message: String,
        /// The last lines of the build's log.
        tail: Vec<String>,
    },
    /// A hook inside a container failed.
    #[error("hook {command:?} in {container} ended with code {code}")]
    Hook {
        /// Container.
        container: String,
        /// The command's first word.
        command: String,
        /// Exit code.
        code: i64,
        /// The last lines that it wrote.
        tail: Vec<String>,
    },
    /// A container ended that was to stay up, or to end with code 0.
    #[error("{container} ended with code {code}")]
    Ended {
        /// Container.
        container: String,
        /// Exit code.
        code: i64,
        /// The Engine's own error text, often empty.
        error: String,
        /// The last lines that it wrote.
        tail: Vec<String>,
    },
    /// A container's health check says no.
    #[error("{container} is unhealthy")]
    Unhealthy {
        /// Container.
        container: String,
        /// The last check's output.
        output: String,
    },
    /// A container keeps ending and being restarted.
    #[error("{container} keeps restarting: {restarts} times while it was waited for")]
    CrashLoop {
        /// Container.
        container: String,
        /// How often.
        restarts: u32,
        /// The last lines that it wrote.
        tail: Vec<String>,
    },
    /// A wait made no progress within its limit.
    #[error("{container} is still {state} after {limit:?}")]
    NoProgress {
        /// Container.
        container: String,
        /// What it does.
        state: String,
        /// The limit.
        limit: Duration,
    },
    /// The credential helper failed.
    #[error("the credential helper for {registry} failed: {why}")]
    CredentialHelper {
        /// Registry.
        registry: String,
        /// Why, without its output.
        why: String,
    },
    /// The pass was told to stop during a wait.
    #[error("stopped")]
    Cancelled,
}

impl EngineError {
    /// What helps.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::BadEndpoint { .. }
            | Self::BadFile { .. }
            | Self::UnknownHostKey { .. }
            | Self::ChangedHostKey { .. }
            | Self::AccessDenied { .. }
            | Self::Version { .. }
            | Self::NotAnEngines
            | Self::CredentialHelper { .. } => Remedy::Operator,
            Self::Refused { status, .. } => match status {
                400 | 405 | 422 | 501 => Remedy::NewRevision,
                401 | 403 => Remedy::Operator,
                _ => Remedy::Retry,
            },
            Self::Pull { message, .. } => pull_remedy(message),
            Self::Build { .. }
            | Self::Hook { .. }
            | Self::Ended { .. }
            | Self::Unhealthy { .. }
            | Self::CrashLoop { .. }
            | Self::NoProgress { .. } => Remedy::NewRevision,
            Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Broken { .. }
            | Self::Garbled { .. }
            | Self::EventsEnded
            | Self::Cancelled => Remedy::Retry,
        }
    }

    /// A sentence of advice, where there is one to give.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::UnknownHostKey { host, known_hosts, .. } => Some(format!(
                "compare the fingerprint with the host's own, then add the key: ssh-keyscan {} >> {}",
                keyscan_arguments(host),
                known_hosts.display()
            )),
            Self::ChangedHostKey { .. } => {
                Some("if the host was installed anew, replace its line in the known hosts file".to_owned())
            }
            Self::AccessDenied { .. } => {
                Some("add the public key to the host's authorized_keys, and the user to the docker group".to_owned())
            }
            Self::Version { .. } => Some("install Docker Engine 20.10 or newer on that host".to_owned()),
            Self::Build { tail, .. } | Self::Hook { tail, .. } if !tail.is_empty() => {
                Some(format!("its last words:\n{}", tail.join("\n")))
            }
            Self::Unhealthy { output, .. } if !output.is_empty() => {
                Some(format!("the last check said: {output}"))
            }
            Self::Ended { error, .. } if !error.is_empty() => Some(error.clone()),
            Self::Ended { tail, .. } | Self::CrashLoop { tail, .. } if !tail.is_empty() => {
                Some(format!("it said: {}", tail.join(" | ")))
            }
            _ => None,
        }
    }

    /// Whether what was asked for may have happened although no answer came.
    pub fn is_ambiguous(&self) -> bool {
        matches!(self, Self::TimedOut { .. } | Self::Broken { .. } | Self::Garbled { .. })
    }

    /// Whether nothing was asked because nobody answers: the host as a whole is out of reach.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::UnknownHostKey { .. }
                | Self::ChangedHostKey { .. }
                | Self::AccessDenied { .. }
        )
    }

    /// The HTTP status with which the Engine refused, if it did.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// `host:port` in the words of `ssh-keyscan`.
fn keyscan_arguments(host: &str) -> String {
    match host.rsplit_once(':') {
        Some((name, "22")) => name.to_owned(),
        Some((name, port)) => format!("-p {port} {name}"),
        None => host.to_owned(),
    }
}

/// Registries say the same things in many words; only these two tell that trying again is of no use.
fn pull_remedy(message: &str) -> Remedy {
    let message = message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&["unauthorized", "denied", "no basic auth", "authentication required"]) {
        Remedy::Operator
    } else if says(&["manifest unknown", "not found", "invalid reference", "no matching manifest"])
    {
        Remedy::NewRevision
    } else {
        Remedy::Retry
    }
}
