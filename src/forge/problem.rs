//! What can go wrong between us and a forge.

use std::path::PathBuf;
use std::time::Duration;

use super::Right;
use crate::model::{Remedy, chain};

/// What can go wrong between us and a forge. No variant holds a credential or an address with one.
#[derive(Debug, thiserror::Error)]
pub enum ForgeError {
    /// The remote does not name a project on a forge.
    #[error("{remote} does not name a project on a forge")]
    NoProject {
        /// The remote, without credentials.
        remote: String,
    },
    /// No known forge answers there.
    #[error("cannot tell which forge {host} is: set `forge.kind`")]
    UnknownForge {
        /// Host and port.
        host: String,
    },
    /// The token's or key's file cannot be read.
    #[error("cannot read the token from {}", path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The token's file or the key is not what it should be.
    #[error("{} is not a {expected}", path.display())]
    BadToken {
        /// The file.
        path: PathBuf,
        /// What was expected.
        expected: &'static str,
    },
    /// TLS cannot be set up.
    #[error("cannot set up TLS: {why}")]
    Tls {
        /// Why.
        why: String,
    },
    /// No connection, or it broke before the request was sent.
    #[error("cannot reach {host}")]
    Unreachable {
        /// Host and port.
        host: String,
        /// Why; without the address.
        source: reqwest::Error,
    },
    /// The connection broke or nothing came after a write was sent: it may have been carried out.
    #[error("no answer from {host}")]
    NoAnswer {
        /// Host and port.
        host: String,
        /// Why; without the address.
        source: reqwest::Error,
    },
    /// The credentials are not accepted.
    #[error("{host} does not accept the token")]
    Unauthorised {
        /// Host and port.
        host: String,
    },
    /// The token lacks a right.
    #[error("the token is not good for {right} on {host}: it needs {missing}")]
    Denied {
        /// Host and port.
        host: String,
        /// For what.
        right: Right,
        /// The forge's name of what is missing.
        missing: String,
    },
    /// The forge does not have it, or does not show it.
    #[error("{host} has no {what}")]
    NotFound {
        /// Host and port.
        host: String,
        /// What.
        what: String,
    },
    /// Too many requests.
    #[error("{host} asks to wait {} s", wait.as_secs())]
    RateLimited {
        /// Host and port.
        host: String,
        /// How long; at most an hour.
        wait: Duration,
    },
    /// Another update is under way.
    #[error("{host} is busy with another update of the same thing")]
    Busy {
        /// Host and port.
        host: String,
    },
    /// Who we are would be said in clear.
    #[error("http would carry the token to {host} in clear")]
    Insecure {
        /// Host and port.
        host: String,
    },
    /// The request is refused as it is.
    #[error("{host} refuses with {code}: {message}")]
    Rejected {
        /// Host and port.
        host: String,
        /// HTTP status.
        code: u16,
        /// The forge's words, masked and cut.
        message: String,
    },
    /// The forge has a problem of its own.
    #[error("{host} answers {code}")]
    Server {
        /// Host and port.
        host: String,
        /// HTTP status.
        code: u16,
        /// How long it asks to be left alone, if it does; at most an hour.
        wait: Option<Duration>,
    },
    /// The proxy on the way does not let us through.
    #[error("the proxy on the way to {host} asks for credentials")]
    Proxy {
        /// Host and port of the forge.
        host: String,
    },
    /// The commit takes no further status of this context.
    #[error("{host} keeps no more statuses of {context} on this commit")]
    Full {
        /// Host and port.
        host: String,
        /// The context.
        context: String,
    },
    /// A list has no end that we would wait for.
    #[error("{host} lists more than {pages} pages of {what}: they are not read")]
    TooLong {
        /// Host and port.
        host: String,
        /// What is listed.
        what: &'static str,
        /// Pages that are read at most.
        pages: usize,
    },
    /// The answer is not what the forge's API promises.
    #[error("cannot read {what} that {host} sends")]
    Unreadable {
        /// Host and port.
        host: String,
        /// What.
        what: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// The forge has nothing of the sort.
    #[error("{forge} has no {what}")]
    Unsupported {
        /// The kind.
        forge: &'static str,
        /// What.
        what: &'static str,
    },
    /// What was posted cannot be remembered.
    #[error("cannot keep {}", path.display())]
    Memory {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl ForgeError {
    /// What helps.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Unreachable { .. }
            | Self::NoAnswer { .. }
            | Self::RateLimited { .. }
            | Self::Busy { .. }
            | Self::Server { .. }
            | Self::Proxy { .. }
            | Self::Unreadable { .. }
            | Self::Memory { .. } => Remedy::Retry,
            Self::NoProject { .. }
            | Self::UnknownForge { .. }
            | Self::Token { .. }
            | Self::BadToken { .. }
            | Self::Insecure { .. }
            | Self::Tls { .. }
            | Self::Unauthorised { .. }
            | Self::Denied { .. }
            | Self::NotFound { .. }
            | Self::Rejected { .. }
            | Self::Full { .. }
            | Self::TooLong { .. }
            | Self::Unsupported { .. } => Remedy::Operator,
        }
    }

    /// How long the forge asks to be left alone; `None` where it does not ask.
    pub fn wait(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { wait, .. } => Some(*wait),
            Self::Server { wait, .. } => *wait,
            _ => None,
        }
    }

    /// The message, and what is at the bottom of it: `cannot reach git.example.com: connection refused`.
    pub fn in_full(&self) -> String {
        chain::with_root(self)
    }
}
