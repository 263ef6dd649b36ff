//! Files of the disk, for commands that need neither host nor Git.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::compose::{Files, ReadProblem};
use crate::config::settings::Limits;
use crate::git::WorkingCopy;
use crate::model::{FileMode, ManifestTree, TreeFile, TreePath};
use crate::yaml::MAX_BYTES;

/// The files of the disk. Names in messages are relative to a folder where they lie below it.
#[derive(Debug, Clone)]
pub struct DiskFiles {
    /// The folder.
    pub folder: PathBuf,
}

impl Files for DiskFiles {
    fn read(&self, path: &str) -> Result<Arc<[u8]>, ReadProblem> {
        let problem = |error: std::io::Error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => ReadProblem::NotFound,
            ErrorKind::IsADirectory => ReadProblem::IsFolder,
            _ => ReadProblem::Other(error.to_string()),
        };
        let facts = std::fs::metadata(path).map_err(problem)?;
        if facts.is_dir() {
            return Err(ReadProblem::IsFolder);
        }
        if facts.len() > MAX_BYTES as u64 {
            return Err(ReadProblem::Other("it is too large".to_owned()));
        }
        std::fs::read(path).map(Arc::from).map_err(problem)
    }

    fn is_folder(&self, path: &str) -> bool {
        Path::new(path).is_dir()
    }

    fn may_refer(&self, _path: &str) -> bool {
        true
    }

    fn show(&self, path: &str) -> String {
        match Path::new(path).strip_prefix(&self.folder) {
            Ok(below) if !below.as_os_str().is_empty() => below.to_string_lossy().into_owned(),
            _ => path.to_owned(),
        }
    }
}

/// The files below a folder as the tree of a commit would hold them: what Git would commit of them, or without Git all
/// but `.git`. What is there and could not be used is left out, and says why.
pub(super) fn tree_of(folder: &Path, copy: Option<&WorkingCopy>) -> std::io::Result<ManifestTree> {
    let folder = folder.canonicalize()?;
    let mut reader = TreeReader {
        largest: Limits::default().file_size,
        active: vec![folder.clone()],
        folder: folder.clone(),
        files: BTreeMap::new(),
        left_out: BTreeMap::new(),
    };
    match copy.and_then(|copy| Some((copy, TreePath::parse(below(&folder, &copy.root)?).ok()?))) {
        Some((copy, at)) => {
            for path in copy.files.iter().filter_map(|path| path.below(&at)) {
                reader.entry(&folder.join(path.as_str()), &path, 0)?;
            }
            let left_out = copy.left_out.iter();
            reader
                .left_out
                .extend(left_out.filter_map(|(path, why)| Some((path.below(&at)?, why.clone()))));
        }
        None => reader.folder(&folder, &TreePath::default(), 0)?,
    }
    Ok(ManifestTree::new(reader.files).with_left_out(reader.left_out))
}

/// Folders and links inside each other.
const DEEPEST: usize = 64;

/// A path below a folder as text.
pub(super) fn below<'p>(path: &'p Path, folder: &Path) -> Option<&'p str> {
    path.strip_prefix(folder).ok()?.to_str()
}

struct TreeReader {
    /// Folders that are being read, outermost first.
    active: Vec<PathBuf>,
    largest: u64,
    folder: PathBuf,
    files: BTreeMap<TreePath, TreeFile>,
    left_out: BTreeMap<TreePath, String>,
}

impl TreeReader {
    fn folder(&mut self, at: &Path, shown: &TreePath, depth: usize) -> std::io::Result<()> {
        for entry in std::fs::read_dir(at)? {
            let entry = entry?;
            let name = entry.file_name();
            // A name that is no text is none that a manifest could say.
            let Some(path) = name.to_str().and_then(|name| shown.join(name).ok()) else { continue };
            if name != ".git" {
                self.entry(&entry.path(), &path, depth)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, at: &Path, shown: &TreePath, depth: usize) -> std::io::Result<()> {
        let real = match at.canonicalize() {
            Ok(real) if real.starts_with(&self.folder) && depth < DEEPEST => real,
            Ok(_) => {
                self.leave_out(shown, "this symbolic link leaves the repository");
                return Ok(());
            }
            // Git knows it, and it was taken away here.
            Err(_) if at.symlink_metadata().is_err() => return Ok(()),
            Err(_) => {
                self.leave_out(shown, "this symbolic link points at nothing");
                return Ok(());
            }
        };
        let facts = real.metadata()?;
        if facts.is_dir() {
            if self.active.contains(&real) {
                {
                    self.leave_out(shown, "this symbolic link leads back to itself");
                    return Ok(());
                }
            }
            self.active.push(real.clone());
            let read = self.folder(&real, shown, depth + 1);
            self.active.pop();
            return read;
        }
        if !facts.is_file() {
            return Ok(());
        }
        if self.largest < facts.len() {
            let (size, limit) = (facts.len(), self.largest);
            let why = format!("this file has {size} bytes, and the limit is {limit}");
            {
                self.leave_out(shown, &why);
                return Ok(());
            }
        }
        let bytes: Arc<[u8]> = std::fs::read(&real)?.into();
        if bytes.starts_with(b"version https://git-lfs.github.com/spec/") {
            {
                self.leave_out(shown, "this is a Git LFS pointer, not the file itself");
                return Ok(());
            }
        }
        let executable = facts.permissions().mode() & 0o111 != 0;
        let mode = if executable { FileMode::Executable } else { FileMode::Regular };
        self.files.insert(shown.clone(), TreeFile { mode, bytes });
        Ok(())
    }

    fn leave_out(&mut self, path: &TreePath, why: &str) {
        self.left_out.insert(path.clone(), why.to_owned());
    }
}
