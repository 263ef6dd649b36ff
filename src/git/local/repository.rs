//! A repository on this machine, read where it is. Nothing of it is copied, and nothing in it is written but notes.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use git2::{Indexer, ObjectType, Oid, Repository};

use super::super::error::GitError;
use super::super::objects::NewObjects;
use super::super::store::repository_of;
use super::super::wire::RemoteRef;

/// Symbolic references that are followed; git follows as many.
const HOPS: usize = 5;
/// Levels of `objects/info/alternates`; git follows as many.
const ALTERNATES: usize = 5;

/// Where the parts of a repository are.
#[derive(Debug, Clone)]
pub(in crate::git) struct LocalRepository {
    remote: String,
    /// HEAD is here: in a linked worktree not the same as `common`.
    own: PathBuf,
    /// References and objects are here.
    common: PathBuf,
}

impl LocalRepository {
    /// Finds the repository at a path: bare, with a working tree, or a linked worktree.
    pub(in crate::git) fn find(path: &Path) -> Result<Self, GitError> {
        let remote = path.display().to_string();
        let unreadable = |cause: std::io::Error| GitError::Unreadable {
            remote: remote.clone(),
            source: cause.into(),
        };
        std::fs::metadata(path).map(drop).or_else(|cause| match cause.kind() {
            ErrorKind::NotFound => Ok(()),
            _ => Err(unreadable(cause)),
        })?;
        let with_suffix = PathBuf::from(format!("{}.git", path.display()));
        for candidate in [path.join(".git"), path.to_owned(), with_suffix] {
            let own = follow_file(&candidate).map_err(unreadable)?;
            let common = match std::fs::read_to_string(own.join("commondir")) {
                Ok(text) => own.join(text.trim()),
                Err(_) => own.clone(),
            };
            if own.join("HEAD").is_file() && common.join("objects").is_dir() {
                let found = Self { remote: remote.clone(), own, common };
                found.check_format()?;
                return Ok(found);
            }
        }
        Err(GitError::NoRepository { remote })
    }

    /// The folders that change when a reference does.
    pub(in crate::git) fn watched(&self) -> Vec<(PathBuf, notify::RecursiveMode)> {
        let mut places = vec![
            (self.common.clone(), notify::RecursiveMode::NonRecursive),
            (self.common.join("refs"), notify::RecursiveMode::Recursive),
        ];
        if self.own != self.common {
            places.push((self.own.clone(), notify::RecursiveMode::NonRecursive));
        }
        places
    }

    /// Where objects of Git LFS are kept.
    pub(in crate::git) fn lfs(&self) -> PathBuf {
        self.common.join("lfs").join("objects")
    }

    /// Its objects, for reading.
    pub(in crate::git) fn open(&self) -> Result<Repository, GitError> {
        let mut folders = Vec::new();
        add_objects(&self.common.join("objects"), ALTERNATES, &mut folders);
        repository_of(&folders).map_err(|cause| self.unreadable(cause))
    }

    /// What a reference points at; `None` where it does not exist.
    pub(in crate::git) fn reference(&self, name: &str) -> Result<Option<Oid>, GitError> {
        let mut name = name.to_owned();
        for _ in 0..HOPS {
            match self.value(&name)? {
                None => return Ok(None),
                Some(text) => match text.strip_prefix("ref:") {
                    Some(target) => name = target.trim().to_owned(),
                    None => return Ok(Oid::from_str(text.trim()).ok()),
                },
            }
        }
        Ok(None)
    }

    /// All references below `refs/`, by name.
    pub(in crate::git) fn references(&self) -> Result<Vec<RemoteRef>, GitError> {
        let mut names: Vec<String> = self.packed()?.into_iter().map(|(name, _)| name).collect();
        self.add_loose("refs", &mut names);
        names.sort();
        names.dedup();
        let mut refs = Vec::new();
        for name in names {
            if let Some(id) = self.reference(&name)? {
                refs.push(RemoteRef { name, commit: id.to_string(), target: None });
            }
        }
        Ok(refs)
    }

    /// Follows tags to what they name.
    pub(in crate::git) fn peeled(&self, id: Oid) -> Result<Oid, GitError> {
        let repository = self.open()?;
        let peeled = repository.find_object(id, None).and_then(|object| {
            if object.kind() == Some(ObjectType::Tag) {
                object.peel(ObjectType::Commit).map(|commit| commit.id())
            } else {
                Ok(id)
            }
        });
        peeled.map_err(|cause| self.unreadable(cause))
    }

    /// Adds objects, as a push would.
    pub(in crate::git) fn add_objects(&self, objects: &NewObjects) -> Result<(), GitError> {
        let folder = self.common.join("objects/pack");
        let pack = objects.pack().map_err(|cause| self.unwritable(cause))?;
        let written = || -> Result<(), super::super::Cause> {
            let mut indexer = Indexer::new(None, &folder, 0o444, false)?;
            indexer.write_all(&pack)?;
            indexer.commit()?;
            Ok(())
        };
        written().map_err(|cause| self.unwritable(cause))
    }

    /// Sets a reference to `new` if it still is `old` (`None`: if it does not exist); says whether it was.
    ///
    /// Git's own protocol: whoever creates the lock file may look and replace. libgit2 looks for an existing
    /// reference before it takes the lock, so two that create the same one would both succeed.
    pub(in crate::git) fn swap(
        &self,
        name: &str,
        old: Option<Oid>,
        new: Oid,
    ) -> Result<bool, GitError> {
        let path = self.common.join(name);
        let lock = self.common.join(format!("{name}.lock"));
        let failed = |cause: std::io::Error| self.unwritable(cause);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let mut file = match std::fs::File::create_new(&lock) {
            Ok(file) => file,
            Err(cause) if cause.kind() == ErrorKind::AlreadyExists => return Ok(false),
            Err(cause) => return Err(failed(cause)),
        };
        let same = self.reference(name).map(|found| found == old);
        let replaced = match same {
            Ok(true) => writeln!(file, "{new}")
                .and_then(|()| file.sync_all())
                .and_then(|()| std::fs::rename(&lock, &path))
                .map_err(failed)
                .map(|()| true),
            Ok(false) => Ok(false),
            Err(cause) => Err(cause),
        };
        if !matches!(replaced, Ok(true)) {
            std::fs::remove_file(&lock).map_err(failed)?;
        }
        replaced
    }

    fn unwritable(&self, cause: impl Into<super::super::Cause>) -> GitError {
        GitError::Storage { path: self.common.clone(), source: cause.into() }
    }

    pub(in crate::git) fn unreadable(&self, cause: impl Into<super::super::Cause>) -> GitError {
        GitError::Unreadable { remote: self.remote.clone(), source: cause.into() }
    }

    /// The text of a reference: its own file, or else its line among the packed ones. In this order, because git
    /// packs a reference before it removes the file.
    fn value(&self, name: &str) -> Result<Option<String>, GitError> {
        if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Ok(None);
        }
        let shared = name.starts_with("refs/") && !name.starts_with("refs/worktree/");
        let folder = if shared { &self.common } else { &self.own };
        match std::fs::read_to_string(folder.join(name)) {
            Ok(text) => return Ok(Some(text.trim().to_owned())),
            Err(cause) if is_no_file(&cause) => {}
            Err(cause) => return Err(self.unreadable(cause)),
        }
        let packed = self.packed()?;
        Ok(packed.into_iter().find(|(packed, _)| packed == name).map(|(_, id)| id))
    }

    fn packed(&self) -> Result<Vec<(String, String)>, GitError> {
        let text = match std::fs::read_to_string(self.common.join("packed-refs")) {
            Ok(text) => text,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(cause) => return Err(self.unreadable(cause)),
        };
        let lines = text.lines().filter(|line| !line.starts_with(['#', '^']));
        let pairs = lines.filter_map(|line| line.split_once(' '));
        Ok(pairs.map(|(id, name)| (name.to_owned(), id.to_owned())).collect())
    }

    fn add_loose(&self, folder: &str, names: &mut Vec<String>) {
        // A folder that vanishes while it is listed held nothing.
        let Ok(entries) = std::fs::read_dir(self.common.join(folder)) else { return };
        for entry in entries.flatten() {
            let Ok(file_name) = entry.file_name().into_string() else { continue };
            let name = format!("{folder}/{file_name}");
            if entry.path().is_dir() {
                self.add_loose(&name, names);
            } else if Path::new(&file_name).extension().is_none_or(|end| end != "lock") {
                names.push(name);
            }
        }
    }

    fn check_format(&self) -> Result<(), GitError> {
        let text = match std::fs::read_to_string(self.common.join("config")) {
            Ok(text) => text.to_ascii_lowercase().replace([' ', '\t', '"'], ""),
            Err(cause) if cause.kind() == ErrorKind::NotFound => String::new(),
            Err(cause) => return Err(self.unreadable(cause)),
        };
        let unsupported =
            |feature| Err(GitError::Unsupported { remote: self.remote.clone(), feature });
        if text.lines().any(|line| line == "objectformat=sha256") {
            return unsupported("SHA-256 object names");
        }
        if text.lines().any(|line| line.starts_with("refstorage=reftable")) {
            return unsupported("the reftable format");
        }
        Ok(())
    }
}

/// `.git` of a linked worktree is a file that names the folder.
fn follow_file(candidate: &Path) -> std::io::Result<PathBuf> {
    if !candidate.is_file() {
        return Ok(candidate.to_owned());
    }
    let text = std::fs::read_to_string(candidate)?;
    let target = text.trim().strip_prefix("gitdir:").unwrap_or_default().trim();
    let base = candidate.parent().unwrap_or(Path::new("/"));
    Ok(base.join(target))
}

fn is_no_file(cause: &std::io::Error) -> bool {
    matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory)
}

fn add_objects(folder: &Path, levels: usize, folders: &mut Vec<PathBuf>) {
    if folders.iter().any(|known| known == folder) {
        return;
    }
    folders.push(folder.to_owned());
    let Ok(text) = std::fs::read_to_string(folder.join("info/alternates")) else { return };
    if let Some(levels) = levels.checked_sub(1) {
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            add_objects(&folder.join(line), levels, folders);
        }
    }
}
