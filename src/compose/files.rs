//! Where files come from, and how paths are written.

use std::sync::Arc;

use crate::model::{ManifestTree, TreePath};

/// The absolute folder that a repository's files appear under in a model that was loaded from a tree.
pub const TREE_ROOT: &str = "/.repository";

/// Why a file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadProblem {
    /// There is none.
    NotFound,
    /// It is a folder.
    IsFolder,
    /// It lies outside what may be read.
    Outside,
    /// Anything else, in words.
    Other(String),
}

/// The files that a model is loaded from. Paths are absolute.
///
/// Two of them: the tree of a commit, and a folder of this machine for `moorline render` and comparisons with docker
/// compose. The loader does not know which it reads.
pub trait Files {
    /// The content of a file.
    fn read(&self, path: &str) -> Result<Arc<[u8]>, ReadProblem>;

    /// Whether there is a folder at this path.
    fn is_folder(&self, path: &str) -> bool;

    /// Whether a path may be mounted, built from or read: false for paths that leave the repository.
    fn may_refer(&self, path: &str) -> bool;

    /// The file's name in messages.
    fn show(&self, path: &str) -> String;
}

/// The files of a revision, below [`TREE_ROOT`]. Nothing outside is ever read.
#[derive(Debug, Clone, Copy)]
pub struct TreeFiles<'a>(pub &'a ManifestTree);

impl TreeFiles<'_> {
    /// A model has absolute paths only, so the tree is given a root that no host has.
    fn path(path: &str) -> Option<TreePath> {
        tree_path(path).and_then(|path| TreePath::parse(path).ok())
    }
}

/// A path of a model that was loaded from a tree, relative to the repository's root; `None` for paths of the
/// host.
///
/// `/.repository-old` is not below it.
pub fn tree_path(path: &str) -> Option<&str> {
    let rest = path.strip_prefix(TREE_ROOT)?;
    if rest.is_empty() { Some("") } else { rest.strip_prefix('/') }
}

impl Files for TreeFiles<'_> {
    fn read(&self, path: &str) -> Result<Arc<[u8]>, ReadProblem> {
        let path = Self::path(path).ok_or(ReadProblem::Outside)?;
        match self.0.file(&path) {
            Some(file) => Ok(Arc::clone(&file.bytes)),
            None if self.0.is_folder(&path) => Err(ReadProblem::IsFolder),
            None => Err(self.0.left_out_at(&path).map_or(ReadProblem::NotFound, |why| {
                ReadProblem::Other(format!("it is left out of the commit: {why}"))
            })),
        }
    }

    fn is_folder(&self, path: &str) -> bool {
        Self::path(path).is_some_and(|path| self.0.is_folder(&path))
    }

    fn may_refer(&self, path: &str) -> bool {
        tree_path(path).is_some()
    }

    fn show(&self, path: &str) -> String {
        match tree_path(path) {
            Some("") => ".".to_owned(),
            Some(path) => path.to_owned(),
            None => path.to_owned(),
        }
    }
}

/// A path without `.`, `..`, double and trailing slashes, as Go cleans it.
///
/// `path.Clean` of Go's library, by which the reference compares paths: `./a/../b/` and `b` are one mount.
pub(super) fn clean(path: &str) -> String {
    let is_absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if is_absolute => {}
            part => parts.push(part),
        }
    }
    match (is_absolute, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// Two paths in a row, cleaned; the second alone when it is absolute.
pub(super) fn join(folder: &str, path: &str) -> String {
    if path.starts_with('/') { clean(path) } else { clean(&format!("{folder}/{path}")) }
}

/// The folder of a file.
pub(super) fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) => "/",
        Some((parent, _)) => parent,
        None => ".",
    }
}

/// Whether a reference names something on another machine: a URL, a Git repository, an OCI artefact.
///
/// The reference fetches those when it loads (`include: oci://…`). What they hold is in nobody's commit, could change
/// between two passes, and could not be shown in a pull request.
pub(super) fn is_remote(path: &str) -> bool {
    path.contains("://") || path.starts_with("git@") || path.starts_with("github.com/")
}

/// Whether a path is absolute on Windows: `C:\…`, `C:/…`, `\\server\share`.
pub(super) fn is_windows_absolute(path: &str) -> bool {
    let mut chars = path.chars();
    match (chars.next(), chars.next(), chars.next()) {
        (Some('\\'), Some('\\'), _) => true,
        (Some(drive), Some(':'), Some('\\' | '/')) => drive.is_ascii_alphabetic(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_go_cleans_them() {
        assert_eq!(clean("/a/./b//../c/"), "/a/c");
        assert_eq!(clean("/../a"), "/a");
        assert_eq!(clean("a/../.."), "..");
        assert_eq!(join("/x", "./y"), "/x/y");
        assert_eq!(parent("/x"), "/");
    }
}
