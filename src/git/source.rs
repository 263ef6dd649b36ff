//! What is asked of a repository, and what comes back: plain data.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use crate::model::{Diagnostics, FileMode, ManifestTree, Revision, Secret, Timestamp, TreePath};

use super::Remote;

/// Remote, branch and path where manifests live, and how to get there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The repository.
    pub remote: Remote,
    /// The branch; `None` is the one that the remote's HEAD names.
    pub branch: Option<String>,
    /// The folder inside the repository below which manifests live; the root is the empty path.
    pub path: TreePath,
    /// Credentials, certificates, proxy and limits.
    pub access: Access,
}

impl Source {
    /// The remote's default branch, from the root, without credentials and with default limits.
    pub fn new(remote: Remote) -> Self {
        Self { remote, branch: None, path: TreePath::default(), access: Access::default() }
    }
}

/// How to get to a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Who we are.
    pub credentials: Credentials,
    /// A file of PEM certificates that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// SHA-256 of the server's certificate (DER), in hexadecimal digits, colons allowed. When given, exactly
    /// that certificate is accepted, whoever signed it.
    pub pin_sha256: Option<String>,
    /// A proxy for http and https, such as `http://proxy.example.com:3128`; it may hold a password.
    pub proxy: Option<Secret<String>>,
    /// The file of known SSH host keys. Without it every host key is unknown.
    pub known_hosts_file: Option<PathBuf>,
    /// What is fetched beside the repository itself.
    pub further: Further,
    /// Time-outs and sizes.
    pub limits: Limits,
}

/// What is fetched beside the repository itself, always from the same server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Further {
    /// Objects of Git LFS. Default: no.
    pub lfs: bool,
    /// Files of submodules. Default: no.
    pub submodules: bool,
}

/// Who we are to a remote. Files are read anew for each operation, so that they can be rotated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Nobody.
    #[default]
    None,
    /// A token over https, sent as the password of HTTP Basic authentication.
    Token {
        /// The file that holds it; white space around it is ignored.
        file: PathBuf,
        /// The user name beside it; `None` is one that the forges accept with any token.
        username: Option<String>,
    },
    /// An SSH key.
    SshKey {
        /// The private key, in OpenSSH's or PEM form.
        file: PathBuf,
        /// The file that holds its passphrase.
        passphrase_file: Option<PathBuf>,
    },
    /// An SSH agent.
    SshAgent {
        /// The agent's socket (`SSH_AUTH_SOCK`).
        socket: PathBuf,
    },
}

/// Time-outs and sizes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// For a connection to be there, handshakes included.
    pub connect: Duration,
    /// For the next byte to arrive.
    pub progress: Duration,
    /// For a whole operation.
    pub whole: Duration,
    /// Bytes of one file; larger ones are left out with a diagnostic.
    pub file_bytes: u64,
    /// Bytes of all files together.
    pub tree_bytes: u64,
    /// Number of files.
    pub files: usize,
    /// Bytes of one answer of a remote besides objects: greeting, references, progress. 16 MiB are some 250,000
    /// references of a server that tells all of them at once (protocol version 0).
    pub answer_bytes: u64,
    /// Bytes of one pack of objects, as it travels. Where a server cannot leave objects out, a pack holds the whole
    /// commit, so this is more than `tree_bytes`.
    pub pack_bytes: u64,
    /// Objects of one pack.
    pub pack_objects: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            progress: Duration::from_secs(20),
            whole: Duration::from_mins(1),
            file_bytes: 16 << 20,
            tree_bytes: 256 << 20,
            files: 20_000,
            answer_bytes: 16 << 20,
            pack_bytes: 2 << 30,
            pack_objects: 1_000_000,
        }
    }
}

/// Which revision is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The head of the source's branch.
    Head,
    /// This one: nothing is asked of the remote when it is already here.
    Revision(Revision),
    /// What a full reference name points at, such as `refs/pull/7/head`.
    Reference(String),
}

/// Which files are read. Paths are relative to the source's path, as they are in the tree that comes back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TreeSelection {
    /// Every file below these folders (the empty path: every file there is), and these files.
    pub paths: BTreeSet<TreePath>,
    /// Files with one of these names, in whatever folder.
    pub names: BTreeSet<String>,
}

impl TreeSelection {
    /// Every file under the source's path.
    pub fn all() -> Self {
        Self::below([TreePath::default()])
    }

    /// Every file below these folders, and files at these paths.
    pub fn below(paths: impl IntoIterator<Item = TreePath>) -> Self {
        Self { paths: paths.into_iter().collect(), names: BTreeSet::new() }
    }

    /// Every file with one of these names, in whatever folder: finds all manifests without reading the rest.
    pub fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let names = names.into_iter().map(ToOwned::to_owned).collect();
        Self { paths: BTreeSet::new(), names }
    }

    /// What either of two selections asks for.
    pub fn and(mut self, other: Self) -> Self {
        self.paths.extend(other.paths);
        self.names.extend(other.names);
        self
    }
}

/// The selected files of one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The commit.
    pub revision: Revision,
    /// Its files, by path relative to the source's path.
    pub tree: ManifestTree,
    /// What could not be taken: links that leave the repository, submodules, LFS pointers (warnings; the file
    /// is absent), and trees beyond the limits (errors). Locations are relative to the source's path.
    pub problems: Diagnostics,
    /// What of it lies elsewhere.
    pub elsewhere: Elsewhere,
    /// What the commit says of itself.
    pub facts: CommitFacts,
    /// What it cost.
    pub traffic: Traffic,
}

/// What a commit only refers to, as far as it was selected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Elsewhere {
    /// Pointers of Git LFS, by path.
    pub pointers: BTreeMap<TreePath, Pointer>,
    /// Submodules: the commit of each, by path.
    pub submodules: BTreeMap<TreePath, Revision>,
    /// `.gitmodules`, where there are submodules.
    pub modules: Vec<u8>,
    /// Something of it was asked for in vain, and may be there later: a server that was busy, an object that comes after
    /// its pointer.
    pub is_awaited: bool,
}

/// A pointer of Git LFS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    /// The file's mode.
    pub mode: FileMode,
    /// SHA-256 of its content, in hexadecimal digits.
    pub oid: String,
    /// Its bytes.
    pub size: u64,
}

/// What a commit says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitFacts {
    /// The author's name.
    pub author: String,
    /// The first line of its message.
    pub subject: String,
    /// When it was committed.
    pub time: Timestamp,
}

/// What an operation cost on the network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Questions asked, after the connection was there.
    pub requests: u32,
    /// Bytes of object packs received.
    pub pack_bytes: u64,
}
