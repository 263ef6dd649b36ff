//! Files of the disk, for commands that need neither host nor Git.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::compose::{Files, ReadProblem};
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

/// Largest file that is read into a tree; what is larger cannot be a manifest.
const LARGEST_FILE: u64 = 10 << 20;

/// The files below a folder as the tree of a commit would hold them: without `.git`, and without what links lead out to.
pub(super) fn tree_of(folder: &Path) -> std::io::Result<ManifestTree> {
    let folder = folder.canonicalize()?;
    let mut files = BTreeMap::new();
    let mut waiting = vec![folder.clone()];
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(next)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                if entry.file_name() != ".git" {
                    waiting.push(entry.path());
                }
                continue;
            }
            let Some(path) = tree_path_of(&folder, &entry.path()) else { continue };
            let facts = entry.path().metadata()?;
            if facts.is_file() && facts.len() <= LARGEST_FILE {
                let executable = facts.permissions().mode() & 0o111 != 0;
                let mode = if executable { FileMode::Executable } else { FileMode::Regular };
                let bytes = Arc::from(std::fs::read(entry.path())?);
                files.insert(path, TreeFile { mode, bytes });
            }
        }
    }
    Ok(ManifestTree::new(files))
}

/// A file's path below the folder; `None` when it is not there, or its name is none that Git would hold.
fn tree_path_of(folder: &Path, file: &Path) -> Option<TreePath> {
    let inside = file.canonicalize().is_ok_and(|real| real.starts_with(folder));
    let below = file.strip_prefix(folder).ok()?.to_str()?;
    TreePath::parse(below).ok().filter(|_| inside)
}
