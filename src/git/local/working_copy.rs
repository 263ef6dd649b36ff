//! A working copy: what of its files Git would commit.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use git2::{AttrCheckFlags, Repository, Status, StatusOptions};

use crate::model::TreePath;

/// What of a working copy's files a commit of all that is there would hold.
#[derive(Debug, Clone, Default)]
pub struct WorkingCopy {
    /// Its top folder.
    pub root: PathBuf,
    /// Files and links that are tracked, or that nothing ignores.
    pub files: BTreeSet<TreePath>,
    /// Files that Git ignores, where a folder as a whole is not.
    pub ignored: BTreeSet<TreePath>,
    /// What a commit holds in another form than it has here, and why nobody can use that form.
    pub left_out: BTreeMap<TreePath, String>,
}

/// The working copy that a folder is in; `None` when it is in none, or what Git knows of it cannot be read.
pub fn working_copy(folder: &Path) -> Option<WorkingCopy> {
    let repository = Repository::discover(folder).ok()?;
    let root = repository.workdir()?.canonicalize().ok()?;
    let mut copy = WorkingCopy { root, ..WorkingCopy::default() };
    list(&repository, &mut copy).ok()?;
    Some(copy)
}

fn list(repository: &Repository, copy: &mut WorkingCopy) -> Result<(), git2::Error> {
    let mut options = StatusOptions::new();
    options.include_untracked(true).recurse_untracked_dirs(true);
    options.include_unmodified(true).include_ignored(true).exclude_submodules(true);
    for entry in repository.statuses(Some(&mut options))?.iter() {
        let Some(path) = entry.path().ok().and_then(|path| TreePath::parse(path).ok()) else {
            continue;
        };
        if entry.status().contains(Status::IGNORED) {
            copy.ignored.insert(path);
        } else if !entry.status().intersects(Status::WT_DELETED) {
            copy.files.insert(path);
        }
    }
    for entry in repository.index()?.iter() {
        let path = String::from_utf8_lossy(&entry.path).into_owned();
        let Ok(path) = TreePath::parse(&path) else { continue };
        if entry.mode & 0o170_000 == 0o160_000 {
            let why = "this is a submodule, whose files are in another repository";
            copy.left_out.insert(path, why.to_owned());
        }
    }
    for path in &copy.files {
        // Here the file is itself; the commit holds a pointer.
        let filter =
            repository.get_attr(Path::new(path.as_str()), "filter", AttrCheckFlags::default());
        if filter.is_ok_and(|filter| filter == Some("lfs")) {
            let why = "this is a Git LFS pointer, not the file itself";
            copy.left_out.insert(path.clone(), why.to_owned());
        }
    }
    copy.files.retain(|path| !copy.left_out.contains_key(path));
    Ok(())
}
