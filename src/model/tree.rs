//! The files of one revision.

use std::collections::BTreeMap;
use std::fmt;

use super::{Digest, NameProblem, Secret, Timestamp};

/// A path inside the tree: relative, with `/`, without `.`, `..` or empty parts. The root is the empty path.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreePath(String);

impl TreePath {
    /// Takes a relative path and resolves `.` and `..`; refuses what leaves the tree.
    pub fn parse(text: &str) -> Result<Self, NameProblem> {
        let problem =
            |rule| NameProblem { what: "path in the repository", text: text.to_owned(), rule };
        if text.starts_with('/') {
            return Err(problem("relative, below the repository's root"));
        }
        let mut parts: Vec<&str> = Vec::new();
        for part in text.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop().ok_or_else(|| problem("it leaves the repository"))?;
                }
                name => parts.push(name),
            }
        }
        Ok(Self(parts.join("/")))
    }

    /// The path as text; empty for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This path and a relative one below it (which may climb with `..`, but not out of the tree).
    pub fn join(&self, relative: &str) -> Result<Self, NameProblem> {
        if relative.starts_with('/') {
            return Self::parse(relative);
        }
        Self::parse(format!("{}/{relative}", self.0).trim_start_matches('/'))
    }

    /// This path as it is below a folder; nothing when it lies elsewhere.
    pub fn below(&self, folder: &Self) -> Option<Self> {
        if folder.0.is_empty() {
            return Some(self.clone());
        }
        let rest = self.0.strip_prefix(&folder.0)?.strip_prefix('/')?;
        Some(Self(rest.to_owned()))
    }

    /// The folder that holds this path; the root for a path of one part.
    pub fn parent(&self) -> Self {
        Self(self.0.rsplit_once('/').map_or(String::new(), |(parent, _)| parent.to_owned()))
    }

    /// The last part.
    pub fn file_name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.0.is_empty() { "." } else { &self.0 })
    }
}

/// What Git records of a file's mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileMode {
    /// 100644.
    Regular,
    /// 100755.
    Executable,
}

/// One file of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeFile {
    /// Its mode.
    pub mode: FileMode,
    /// Its content. Shared, so that trees are cheap to copy.
    pub bytes: std::sync::Arc<[u8]>,
}

/// The files of a revision under the source's path: path to content. Symbolic links inside the tree
/// are resolved; those that leave it, and submodules, were refused with a diagnostic and are absent.
///
/// Cheap to copy: every stack of a commit has the whole of it.
///
/// A tree may be partial by design (only the folders of the stacks are read); a path that was not read is
/// absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ManifestTree {
    files: std::sync::Arc<BTreeMap<TreePath, TreeFile>>,
    left_out: std::sync::Arc<BTreeMap<TreePath, String>>,
    opened: std::sync::Arc<BTreeMap<TreePath, Secret<std::sync::Arc<[u8]>>>>,
    time: Option<Timestamp>,
}

impl ManifestTree {
    /// A tree of these files.
    pub fn new(files: BTreeMap<TreePath, TreeFile>) -> Self {
        Self { files: std::sync::Arc::new(files), ..Self::default() }
    }

    /// The same with what the commit holds and the tree does not, and why. Whoever asks for it must not take it for
    /// something that was never there.
    #[must_use]
    pub fn with_left_out(self, left_out: BTreeMap<TreePath, String>) -> Self {
        Self { left_out: std::sync::Arc::new(left_out), ..self }
    }

    /// The same with files that come from elsewhere for a path that was left out: the file itself, or what lies below a
    /// folder. What is left out of those is left out here.
    #[must_use]
    pub fn completed(
        self,
        at: &TreePath,
        files: impl IntoIterator<Item = (TreePath, TreeFile)>,
        left_out: impl IntoIterator<Item = (TreePath, String)>,
    ) -> Self {
        let mut all = std::sync::Arc::unwrap_or_clone(self.files);
        let mut lacks = std::sync::Arc::unwrap_or_clone(self.left_out);
        lacks.remove(at);
        lacks.extend(left_out);
        all.extend(files);
        Self { files: all.into(), left_out: lacks.into(), opened: self.opened, time: self.time }
    }

    /// The same, where encrypted files were opened. Their files stay ciphertext.
    #[must_use]
    pub fn with_opened(self, opened: BTreeMap<TreePath, Secret<std::sync::Arc<[u8]>>>) -> Self {
        Self { opened: opened.into(), ..self }
    }

    /// The plaintext of an encrypted file that was opened: for memory and containers, never for a disk.
    pub fn opened(&self, path: &TreePath) -> Option<&Secret<std::sync::Arc<[u8]>>> {
        self.opened.get(path)
    }

    /// Why a path, or a folder that it lies in, was left out, if it was.
    pub fn left_out_at(&self, path: &TreePath) -> Option<&str> {
        let mut at = path.clone();
        loop {
            match self.left_out.get(&at) {
                Some(why) => return Some(why),
                None if at.0.is_empty() => return None,
                None => at = at.parent(),
            }
        }
    }

    /// What was left out below a folder, and why, by path.
    pub fn left_out_below<'a>(
        &'a self,
        folder: &'a TreePath,
    ) -> impl Iterator<Item = (&'a TreePath, &'a str)> {
        let prefix = if folder.0.is_empty() { String::new() } else { format!("{folder}/") };
        let below = self.left_out.iter().filter(move |(path, _)| path.0.starts_with(&prefix));
        below.map(|(path, why)| (path, why.as_str()))
    }

    /// The same files, as they were at the commit's time.
    pub fn at(self, time: Timestamp) -> Self {
        Self { time: Some(time), ..self }
    }

    /// When the commit was made; `None` where it is not known, as for files that are not committed.
    pub fn time(&self) -> Option<Timestamp> {
        self.time
    }

    /// The file at a path.
    pub fn file(&self, path: &TreePath) -> Option<&TreeFile> {
        self.files.get(path)
    }

    /// All files, by path.
    pub fn files(&self) -> impl Iterator<Item = (&TreePath, &TreeFile)> {
        self.files.iter()
    }

    /// All files below a folder (the root's are all), by path.
    pub fn below<'a>(
        &'a self,
        folder: &'a TreePath,
    ) -> impl Iterator<Item = (&'a TreePath, &'a TreeFile)> {
        let prefix =
            if folder.0.is_empty() { String::new() } else { format!("{}/", folder.as_str()) };
        self.files
            .range(TreePath(prefix.clone())..)
            .take_while(move |(path, _)| path.0.starts_with(&prefix))
    }

    /// Whether a path is a folder that holds at least one file.
    pub fn is_folder(&self, path: &TreePath) -> bool {
        self.below(path).next().is_some()
    }

    /// A digest over paths (relative to `folder`), modes and content of all files below a folder.
    pub fn digest_below(&self, folder: &TreePath) -> Digest {
        use sha2::Digest as _;
        let mut hasher = sha2::Sha256::new();
        let skip = if folder.0.is_empty() { 0 } else { folder.0.len() + 1 };
        for (path, file) in self.below(folder) {
            let relative = path.0.get(skip..).unwrap_or_default();
            hasher.update(format!("{}\0{:?}\0{}\0", relative, file.mode, file.bytes.len()));
            hasher.update(&file.bytes);
        }
        Digest::of(&hasher.finalize())
    }
}
