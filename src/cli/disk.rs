//! Files of the disk, for commands that need neither host nor Git.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::compose::{Files, ReadProblem};
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
