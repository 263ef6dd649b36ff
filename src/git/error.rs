//! What can go wrong between us and a repository: one variant each, with advice and remedy.

use std::path::PathBuf;
use std::time::Duration;

use crate::model::{Remedy, Revision, TreePath};

/// A cause of any kind; it says what it is in its own words.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why an operation on a repository did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitError {
    /// Name resolution, connection or conversation failed.
    #[error("cannot reach {remote}")]
    Unreachable {
        /// The remote.
        remote: String,
        /// What failed.
        source: Cause,
    },
    /// The remote did not answer, or too slowly.
    #[error("{remote} did not answer within {} s ({doing})", limit.as_secs_f32())]
    Timeout {
        /// The remote.
        remote: String,
        /// What was waited for.
        doing: &'static str,
        /// How long.
        limit: Duration,
    },
    /// The caller's token was cancelled.
    #[error("stopped before it was done")]
    Cancelled,
    /// The remote answered with an error of its own.
    #[error("{remote} failed: {said}")]
    ServerFailed {
        /// The remote.
        remote: String,
        /// Its words, shortened.
        said: String,
        /// When it asks to be left alone for a while.
        retry_after: Option<Duration>,
    },
    /// The remote answered with more than is taken.
    #[error("{remote} answers with more than {most} {what}")]
    TooLarge {
        /// The remote.
        remote: String,
        /// Of what, such as `bytes of references`.
        what: &'static str,
        /// The most that is taken.
        most: u64,
    },
    /// The answer is not Git's protocol.
    #[error("{remote} does not answer like a Git server: {got}")]
    NotGit {
        /// The remote.
        remote: String,
        /// What came instead.
        got: String,
    },
    /// The server sends us to another server.
    #[error("{remote} redirects to {to}")]
    Redirected {
        /// The remote.
        remote: String,
        /// The other address, without credentials.
        to: String,
    },
    /// The remote wants credentials and none are set.
    #[error("{remote} asks for credentials")]
    CredentialsMissing {
        /// The remote.
        remote: String,
    },
    /// The remote does not accept our credentials.
    #[error("{remote} refuses the credentials from {from}")]
    CredentialsRefused {
        /// The remote.
        remote: String,
        /// The file or agent that they come from.
        from: String,
    },
    /// The remote knows us and does not let us.
    #[error("{remote} does not allow this: {said}")]
    Forbidden {
        /// The remote.
        remote: String,
        /// Its words, shortened.
        said: String,
    },
    /// A file with credentials, keys or certificates cannot be used.
    #[error("cannot use {}", path.display())]
    AccessFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Cause,
    },
    /// A token would be sent in clear text.
    #[error("a token is not sent to {remote} without encryption")]
    Insecure {
        /// The remote.
        remote: String,
    },
    /// The server's certificate is not trusted.
    #[error("the certificate of {remote} is not trusted")]
    Certificate {
        /// The remote.
        remote: String,
        /// What the check said.
        source: Cause,
    },
    /// The server's certificate is not the pinned one.
    #[error("the certificate of {remote} is not the pinned one, its SHA-256 is {found}")]
    PinMismatch {
        /// The remote.
        remote: String,
        /// The SHA-256 of the one that was shown.
        found: String,
    },
    /// No line of the known-hosts file names this host.
    #[error("the host key of {host} is not known, its fingerprint is {fingerprint}")]
    UnknownHostKey {
        /// Host, with the port where it is not 22, as in a known-hosts file.
        host: String,
        /// `SHA256:…`
        fingerprint: String,
        /// The line that would make it known.
        line: String,
        /// The known-hosts file, if one is set.
        file: Option<PathBuf>,
    },
    /// The known-hosts file has another key for this host.
    #[error("the host key of {host} has changed, its fingerprint is now {fingerprint}")]
    ChangedHostKey {
        /// Host, with the port where it is not 22, as in a known-hosts file.
        host: String,
        /// `SHA256:…` of the key that was shown.
        fingerprint: String,
        /// The known-hosts file.
        file: PathBuf,
        /// The line that holds the other key.
        line: usize,
    },
    /// There is no such repository, or we may not know of it.
    #[error("there is no repository at {remote}")]
    NoRepository {
        /// The remote.
        remote: String,
    },
    /// The folder is there and cannot be read.
    #[error("cannot read the repository at {remote}")]
    Unreadable {
        /// The remote.
        remote: String,
        /// Why.
        source: Cause,
    },
    /// The repository keeps its data in a form that is not supported.
    #[error("{remote} uses {feature}, which is not supported")]
    Unsupported {
        /// The remote.
        remote: String,
        /// What it uses, such as `SHA-256 object names`.
        feature: &'static str,
    },
    /// The repository has no commit.
    #[error("{remote} is empty")]
    EmptyRepository {
        /// The remote.
        remote: String,
    },
    /// The branch does not exist.
    #[error("{branch:?} does not exist on {remote}")]
    NoBranch {
        /// The remote.
        remote: String,
        /// The branch or reference.
        branch: String,
        /// Branches that do exist, the nearest names first.
        near: Vec<String>,
    },
    /// The commit, tag or branch does not exist.
    #[error("{text:?} names no commit on {remote}")]
    NoRevision {
        /// The remote.
        remote: String,
        /// What was asked for.
        text: String,
    },
    /// An abbreviated commit id fits several.
    #[error("{text:?} is the beginning of more than one commit on {remote}")]
    Ambiguous {
        /// The remote.
        remote: String,
        /// What was asked for.
        text: String,
    },
    /// The source's path is no folder at this revision.
    #[error("there is no folder {path} at {revision}")]
    NoPath {
        /// The path.
        path: TreePath,
        /// The commit.
        revision: Revision,
    },
    /// The remote does not hand out an object that the commit consists of.
    #[error("{remote} does not hand out all of {revision}")]
    Incomplete {
        /// The remote.
        remote: String,
        /// The commit.
        revision: Revision,
    },
    /// What merging would give cannot be told: the histories cross too often, or are not here far enough.
    #[error(
        "cannot tell what merging gives: the two histories in {remote} cross, or meet too far back"
    )]
    MergeUnclear {
        /// The remote.
        remote: String,
    },
    /// The clone in the data folder is damaged, even after it was made anew.
    #[error("the clone in {} is damaged", path.display())]
    Damaged {
        /// The clone.
        path: PathBuf,
        /// What was found.
        source: Cause,
    },
    /// The data folder, or a repository on this machine that notes go to, cannot be written.
    #[error("cannot write to {}", path.display())]
    Storage {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: Cause,
    },
    /// The remote refuses the push of a reference.
    #[error("{remote} refuses {reference}: {reason}")]
    PushRefused {
        /// The remote.
        remote: String,
        /// The reference.
        reference: String,
        /// Its words, shortened.
        reason: String,
    },
    /// Others kept writing the same reference first.
    #[error("{reference} on {remote} was changed by others {attempts} times in a row")]
    Contended {
        /// The remote.
        remote: String,
        /// The reference.
        reference: String,
        /// How often we tried.
        attempts: u32,
    },
    /// The folder cannot be watched.
    #[error("cannot watch {}", path.display())]
    Watch {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: Cause,
    },
}

impl GitError {
    /// What helps.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::Cancelled
            | Self::ServerFailed { .. }
            | Self::Incomplete { .. }
            | Self::Damaged { .. }
            | Self::Storage { .. }
            | Self::Contended { .. }
            | Self::Watch { .. } => Remedy::Retry,
            Self::EmptyRepository { .. } | Self::NoPath { .. } | Self::MergeUnclear { .. } => {
                Remedy::NewRevision
            }
            Self::TooLarge { .. }
            | Self::NotGit { .. }
            | Self::Redirected { .. }
            | Self::CredentialsMissing { .. }
            | Self::CredentialsRefused { .. }
            | Self::Forbidden { .. }
            | Self::AccessFile { .. }
            | Self::Insecure { .. }
            | Self::Certificate { .. }
            | Self::PinMismatch { .. }
            | Self::UnknownHostKey { .. }
            | Self::ChangedHostKey { .. }
            | Self::NoRepository { .. }
            | Self::Unreadable { .. }
            | Self::Unsupported { .. }
            | Self::NoBranch { .. }
            | Self::NoRevision { .. }
            | Self::Ambiguous { .. }
            | Self::PushRefused { .. } => Remedy::Operator,
        }
    }

    /// What a person can do about it: one or two sentences.
    pub fn help(&self) -> String {
        match self {
            Self::UnknownHostKey { line, file, .. } => unknown_host_help(line, file.as_deref()),
            Self::ChangedHostKey { file, line, .. } => format!(
                "if the server's key was really replaced, correct line {line} of {}; if not, somebody is in between",
                file.display()
            ),
            Self::NoBranch { near, .. } if near.is_empty() => {
                "set `branch` to one that exists".to_owned()
            }
            Self::NoBranch { near, .. } => {
                format!("set `branch` to one that exists: {}", near.join(", "))
            }
            Self::PinMismatch { .. } => {
                "if the server's certificate was really replaced, pin the new one; if not, somebody is in between".to_owned()
            }
            Self::ServerFailed { retry_after: Some(wait), .. } => {
                format!("the server asks to wait {} s; Moorline tries again", wait.as_secs())
            }
            other => other.plain_help().to_owned(),
        }
    }

    fn plain_help(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => {
                "check the address, the network and the proxy; Moorline tries again"
            }
            Self::Timeout { .. } => {
                "check the network and the server; Moorline tries again, and the limits can be raised"
            }
            Self::Cancelled => "run it again",
            Self::ServerFailed { .. } => "look at the server; Moorline tries again",
            Self::TooLarge { .. } => {
                "check that the address is the repository's; if it is really so large, give Moorline one that holds the manifests alone"
            }
            Self::NotGit { .. } => {
                "check that the address is the one for cloning, not that of a web page or of plain files (that needs `git http-backend` before it)"
            }
            Self::Redirected { .. } => "use the address that it redirects to",
            Self::CredentialsMissing { .. } => {
                "name a file that holds them: `credentials: {token_file: …}` for https, `{ssh_key_file: …}` for ssh"
            }
            Self::CredentialsRefused { .. } => {
                "check that they are not expired and that they may read the repository; a server with accounts of its own wants their name too: `credentials.username`"
            }
            Self::Forbidden { .. } => {
                "give the account the right to read the repository, and to write it where notes are published"
            }
            Self::AccessFile { .. } => "check that the file is there, readable and complete",
            Self::Insecure { .. } => "use https, or leave the token out",
            Self::Certificate { .. } => {
                "name the authority's certificate (`ca_file`), or pin the server's (`pin_sha256`)"
            }
            Self::NoRepository { .. } => {
                "check the address; many servers also answer so when credentials are missing"
            }
            Self::Unreadable { .. } => {
                "check that this user may read the folder and that `git fsck` finds nothing"
            }
            Self::Unsupported { .. } => {
                "use a repository with SHA-1 object names and references as files"
            }
            Self::EmptyRepository { .. } => "push a first commit",
            Self::NoRevision { .. } => {
                "check the spelling; a commit that no branch or tag holds any more may be gone"
            }
            Self::Ambiguous { .. } => "give more digits",
            Self::NoPath { .. } => "correct `path`, or commit the folder",
            Self::Incomplete { .. } => "Moorline tries again; run `git fsck` on the server",
            Self::MergeUnclear { .. } => {
                "rebase the branch onto its target, or merge the target into it"
            }
            Self::Damaged { .. } => "check the disk; it is made anew at the next try",
            Self::Storage { .. } => "check free space and the rights of the folder",
            Self::PushRefused { .. } => {
                "allow the account to push this reference (branch protection, hooks, rights)"
            }
            Self::Contended { .. } => "Moorline tries again",
            Self::Watch { .. } => "Moorline looks at its interval instead",
            Self::PinMismatch { .. }
            | Self::UnknownHostKey { .. }
            | Self::ChangedHostKey { .. }
            | Self::NoBranch { .. } => "",
        }
    }
}

fn unknown_host_help(line: &str, file: Option<&std::path::Path>) -> String {
    let place = file.map_or_else(
        || "to a file and name it (`known_hosts_file`)".to_owned(),
        |file| format!("to {}", file.display()),
    );
    format!(
        "compare the fingerprint with the one that the server's operator published, then add this line {place}: {line}"
    )
}
