//! Files outside Git that the settings name: read, and looked at for changes.
//!
//! *Guarantees:* only files that the settings name, or that lie below a folder which they call readable, are opened; one
//! that cannot be read is told as such, never as empty. *Caveats:* changes are found by looking, every [`LOOK_EVERY`]:
//! such files lie on mounts and behind links that tell nobody of changes.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::config::settings::{Settings, VariablesFrom};
use crate::model::{Digest, Given, GivenContent, GivenFile, GivenVariables};

/// Between two looks for changes.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Bytes of one file; variables are no data.
const LARGEST: u64 = 1 << 20;
/// Files of one folder.
const MOST_FILES: usize = 10_000;

/// What the settings name.
#[derive(Debug, Default)]
pub struct Outside {
    variables: Vec<VariablesFrom>,
    readable: Vec<PathBuf>,
    /// Files below readable folders that manifests ask for.
    asked: Mutex<BTreeSet<String>>,
}

impl Outside {
    /// What these settings name.
    pub fn new(settings: &Settings) -> Self {
        Self {
            variables: settings.variables.clone(),
            readable: settings.readable.clone(),
            asked: Mutex::default(),
        }
    }

    /// Reads all of it, and the files that manifests ask for. Waits for the disk.
    pub fn read(&self, asked: &BTreeSet<String>) -> Given {
        let readable: Vec<PathBuf> =
            self.readable.iter().filter_map(|folder| folder.canonicalize().ok()).collect();
        let named = self.readable.iter().map(|folder| folder.to_string_lossy().into_owned());
        let mut given = Given { readable: named.collect(), ..Given::default() };
        for from in &self.variables {
            variables(from, &mut given.variables);
        }
        let allowed: Vec<&String> = asked.iter().filter(|path| given.may_read(path)).collect();
        given.files = allowed
            .into_iter()
            .map(|path| (path.clone(), file(Path::new(path), &readable)))
            .collect();
        let mut known = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(given.files.keys().cloned());
        given
    }

    /// A digest of what tells that a file changed: not of what is in it.
    pub fn state(&self) -> Digest {
        let mut text = String::new();
        for from in &self.variables {
            match from {
                VariablesFrom::File { file, .. } => text.push_str(&state_of(file)),
                VariablesFrom::Folder(folder) => {
                    for file in env_files(folder).unwrap_or_default() {
                        text.push_str(&state_of(&file));
                    }
                    text.push_str(if folder.is_dir() { "there" } else { "gone" });
                }
                VariablesFrom::Flags(_) | VariablesFrom::Text { .. } => {}
            }
        }
        for path in self.asked.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            text.push_str(&state_of(Path::new(path)));
        }
        Digest::of(text.as_bytes())
    }

    /// The same, off the runtime's threads.
    pub async fn state_now(self: &Arc<Self>) -> Digest {
        let own = Arc::clone(self);
        // What cannot be told is another state than any that was.
        let state = tokio::task::spawn_blocking(move || own.state()).await;
        state.unwrap_or_else(|panic| Digest::of(panic.to_string().as_bytes()))
    }

    /// Resolves when something is no longer as it was; never, where nothing is named.
    pub async fn changed(self: &Arc<Self>, since: &Digest) {
        if self.variables.is_empty() && self.readable.is_empty() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if self.state_now().await != *since {
                return;
            }
        }
    }
}

/// Adds the variables of one place.
fn variables(from: &VariablesFrom, all: &mut Vec<GivenVariables>) {
    match from {
        VariablesFrom::File { file, stacks } => all.push(text_of(file, stacks.clone())),
        VariablesFrom::Folder(folder) => match env_files(folder) {
            Ok(files) => all.extend(files.iter().filter_map(|file| {
                let stack = file.file_stem()?.to_str()?.to_owned();
                Some(text_of(file, vec![stack]))
            })),
            Err(error) => all.push(GivenVariables {
                from: folder.display().to_string(),
                stacks: Vec::new(),
                content: GivenContent::Unreadable(error.to_string()),
            }),
        },
        VariablesFrom::Text { stack, text } => all.push(GivenVariables {
            from: "variables".to_owned(),
            stacks: vec![stack.clone()],
            content: GivenContent::Text(text.reveal().as_str().into()),
        }),
        VariablesFrom::Flags(pairs) => all.push(GivenVariables {
            from: "--set".to_owned(),
            stacks: Vec::new(),
            content: GivenContent::Pairs(
                pairs.iter().map(|(name, value)| (name.clone(), value.reveal().clone())).collect(),
            ),
        }),
    }
}

/// `STACK.env` in a folder, in their order.
fn env_files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)?.take(MOST_FILES) {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "env") && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn text_of(file: &Path, stacks: Vec<String>) -> GivenVariables {
    let content = match bytes_of(file) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => GivenContent::Text(text.into()),
            Err(_) => GivenContent::Unreadable("it is not UTF-8 text".to_owned()),
        },
        Err(error) => GivenContent::Unreadable(error.to_string()),
    };
    GivenVariables { from: file.display().to_string(), stacks, content }
}

/// A file that a manifest asks for. Links may not lead out of the folders.
fn file(path: &Path, readable: &[PathBuf]) -> GivenFile {
    let real = match path.canonicalize() {
        Ok(real) => real,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return GivenFile::Absent;
        }
        Err(error) => return GivenFile::Unreadable(error.to_string()),
    };
    if !readable.iter().any(|folder| real.starts_with(folder)) {
        return GivenFile::Unreadable("a link leads out of what may be read".to_owned());
    }
    match bytes_of(&real) {
        Ok(bytes) => GivenFile::Content(bytes.into()),
        Err(error) => GivenFile::Unreadable(error.to_string()),
    }
}

fn bytes_of(file: &Path) -> std::io::Result<Vec<u8>> {
    if !std::fs::metadata(file)?.is_file() {
        return Err(std::io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(file)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if LARGEST < bytes.len() as u64 {
        return Err(std::io::Error::other("it has more than 1 MiB"));
    }
    Ok(bytes)
}

/// What tells that a file was written, replaced or taken away.
fn state_of(path: &Path) -> String {
    match std::fs::metadata(path) {
        Ok(facts) => format!(
            "{}\0{} {} {} {}.{} {}.{}\n",
            path.display(),
            facts.dev(),
            facts.ino(),
            facts.len(),
            facts.mtime(),
            facts.mtime_nsec(),
            facts.ctime(),
            facts.ctime_nsec()
        ),
        Err(error) => format!("{}\0{:?}\n", path.display(), error.kind()),
    }
}
