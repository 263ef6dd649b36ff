//! Our own clones: a bare repository each, which holds of a remote what was read of it so far.
//!
//! *Guarantees:* a crash at any point leaves at worst files that the next opening removes. *Assumptions:* one
//! writer at a time. *Caveats:* it is a cache: it is thrown away when it is damaged or crowded.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use git2::{Indexer, Odb, Oid, Repository};
use tokio::sync::mpsc;

use super::error::GitError;

/// Packs after which a clone is made anew: libgit2 never repacks, and keeps every pack open while it reads.
const CROWDED: usize = 40;
/// The commits that were fetched last with everything that belongs to them.
const WHOLE: &str = "refs/moorline";
/// Bytes of a pack's header: signature, version, number of objects.
const PACK_HEADER: usize = 12;

/// A line of history: its commits share most of their files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// What branches hold.
    Branch,
    /// What notes hold.
    Notes,
}

impl Line {
    fn file(self) -> String {
        match self {
            Self::Branch => format!("{WHOLE}/branch"),
            Self::Notes => format!("{WHOLE}/notes"),
        }
    }
}

/// A clone in the data folder.
#[derive(Debug, Clone)]
pub(super) struct Store {
    path: PathBuf,
}

impl Store {
    /// The clone in this folder, which need not exist yet.
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The clone that would replace this one. Whatever a crash left there is removed.
    pub(super) fn fresh(&self) -> Result<Self, GitError> {
        let fresh = Self::at(sibling(&self.path, "new"));
        fresh.discard()?;
        Ok(fresh)
    }

    /// Makes what is missing and removes what a crash left, also beside it.
    pub(super) fn prepare(&self) -> Result<(), GitError> {
        let written = |cause| self.storage(cause);
        for suffix in ["new", "old"] {
            Self::at(sibling(&self.path, suffix)).discard()?;
        }
        for folder in ["objects/pack", "objects/info", "refs/heads", "refs/moorline"] {
            std::fs::create_dir_all(self.path.join(folder)).map_err(written)?;
        }
        // A repository in the eyes of `git`, for whoever wants to look inside.
        for (file, text) in [
            ("HEAD", "ref: refs/heads/main\n"),
            ("config", "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"),
        ] {
            if !self.path.join(file).exists() {
                self.replace_file(file, text)?;
            }
        }
        self.remove_leftovers().map_err(written)
    }

    /// The objects, for reading. Opened anew for each operation: it sees new packs, and lets go of old ones.
    pub(super) fn open(&self) -> Result<Repository, GitError> {
        let objects = self.path.join("objects");
        repository_of(&[objects]).map_err(|cause| self.damaged(cause))
    }

    /// Whether nothing was ever fetched into it.
    pub(super) fn is_empty(&self) -> bool {
        self.packs() == 0
    }

    /// Whether it has become slow to open.
    pub(super) fn is_crowded(&self) -> bool {
        self.packs() >= CROWDED
    }

    /// The commit of this line that was fetched last with everything that belongs to it.
    pub(super) fn whole(&self, line: Line) -> Option<String> {
        let text = std::fs::read_to_string(self.path.join(line.file())).ok()?;
        let id = Oid::from_str(text.trim()).ok()?;
        let here = self.open().ok()?.odb().ok()?.exists(id);
        here.then(|| id.to_string())
    }

    /// Remembers that this commit is here with everything that belongs to it.
    pub(super) fn set_whole(&self, line: Line, commit: &str) -> Result<(), GitError> {
        self.replace_file(&line.file(), &format!("{commit}\n"))
    }

    /// Writes a pack as it arrives; blocks until the sender is done. What a thin pack builds upon is taken from the
    /// clone. A pack that claims more than `most` objects is refused before room is made for them.
    pub(super) fn write_pack(
        &self,
        mut pieces: mpsc::Receiver<Bytes>,
        remote: &str,
        most: u32,
    ) -> Result<(), GitError> {
        let folder = self.path.join("objects/pack");
        let failed = |cause: git2::Error| self.pack_failed(cause);
        let clone = self.open()?;
        let here = clone.odb().map_err(failed)?;
        let mut indexer = Indexer::new(Some(&here), &folder, 0o444, false).map_err(failed)?;
        let mut head = Vec::new();
        while let Some(piece) = pieces.blocking_recv() {
            if head.len() < PACK_HEADER {
                head.extend(piece.iter().take(PACK_HEADER.saturating_sub(head.len())));
                if objects_of(&head).is_some_and(|claimed| most < claimed) {
                    let (remote, most) = (remote.to_owned(), u64::from(most));
                    return Err(GitError::TooLarge { remote, what: "objects", most });
                }
            }
            indexer.write_all(&piece).map_err(|cause| self.storage(cause))?;
        }
        if objects_of(&head) == Some(0) {
            // A pack without objects: there was nothing to send. libgit2 would refuse to finish it.
            return Ok(());
        }
        let name = indexer.commit().map_err(failed)?;
        tracing::trace!(pack = name, "wrote a pack");
        Ok(())
    }

    /// Throws the clone away.
    pub(super) fn discard(&self) -> Result<(), GitError> {
        match std::fs::remove_dir_all(&self.path) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => Err(self.storage(cause)),
            _ => Ok(()),
        }
    }

    /// Puts another clone in the place of this one. After a crash in the middle there is no clone here, which
    /// costs one more fetch.
    pub(super) fn replace_with(&self, fresh: &Self) -> Result<(), GitError> {
        let old = Self::at(sibling(&self.path, "old"));
        old.discard()?;
        std::fs::rename(&self.path, &old.path).map_err(|cause| self.storage(cause))?;
        std::fs::rename(&fresh.path, &self.path).map_err(|cause| self.storage(cause))?;
        old.discard()
    }

    /// The clone is not what it should be.
    pub(super) fn damaged(&self, cause: git2::Error) -> GitError {
        GitError::Damaged { path: self.path.clone(), source: cause.into() }
    }

    fn storage(&self, cause: std::io::Error) -> GitError {
        GitError::Storage { path: self.path.clone(), source: cause.into() }
    }

    /// libgit2 says of a full disk that it is an error of the operating system; the rest is the pack's fault.
    fn pack_failed(&self, cause: git2::Error) -> GitError {
        if cause.class() == git2::ErrorClass::Os {
            return GitError::Storage { path: self.path.clone(), source: cause.into() };
        }
        self.damaged(cause)
    }

    /// How many packs it holds.
    pub(super) fn packs(&self) -> usize {
        let Ok(entries) = std::fs::read_dir(self.path.join("objects/pack")) else { return 0 };
        entries
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|e| e == "idx"))
            .count()
    }

    fn replace_file(&self, name: &str, text: &str) -> Result<(), GitError> {
        let path = self.path.join(name);
        let draft = sibling(&path, "lock");
        let written = std::fs::write(&draft, text).and_then(|()| std::fs::rename(&draft, &path));
        written.map_err(|cause| self.storage(cause))
    }

    /// Half-written packs, packs without index and indexes without pack, and locks.
    fn remove_leftovers(&self) -> std::io::Result<()> {
        for entry in std::fs::read_dir(self.path.join("objects/pack"))? {
            let path = entry?.path();
            let partner = match path.extension().and_then(|extension| extension.to_str()) {
                Some("pack") => path.with_extension("idx"),
                Some("idx" | "rev" | "keep" | "promisor") => path.with_extension("pack"),
                _ => {
                    remove(&path)?;
                    continue;
                }
            };
            if !partner.exists() {
                remove(&path)?;
            }
        }
        let lines = [Line::Branch.file(), Line::Notes.file()];
        for file in ["HEAD".to_owned(), "config".to_owned()].into_iter().chain(lines) {
            remove(&sibling(&self.path.join(file), "lock"))?;
        }
        Ok(())
    }
}

/// How many objects a pack's header claims (Git's `gitformat-pack`), once it is there in whole.
fn objects_of(header: &[u8]) -> Option<u32> {
    let count: [u8; 4] = header.get(8..PACK_HEADER)?.try_into().ok()?;
    Some(u32::from_be_bytes(count))
}

fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => Err(cause),
        _ => Ok(()),
    }
}

fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}

/// A repository without references over these folders of objects. Neither its owner nor its configuration
/// matters: nothing but objects is read.
pub(super) fn repository_of(folders: &[PathBuf]) -> Result<Repository, git2::Error> {
    let odb = Odb::new()?;
    for folder in folders {
        let text = folder.to_str().ok_or_else(|| git2::Error::from_str("the path is not UTF-8"))?;
        odb.add_disk_alternate(text)?;
    }
    Repository::from_odb(odb)
}
