//! The data folder: locks that keep two writers apart, and what is remembered between starts.
//!
//! Nothing here is needed to decide; deleting the folder costs one full look and the knowledge of which revision a host
//! last reached.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::config::fleet_file::Stack;
use crate::data::disk::{at_the_disk, write_whole};
use crate::data::form::{self, Ledgers};
use crate::data::record::{Kept, TargetRecord};
use crate::fleet::Orders;
use crate::model::{
    Digest, HostName, Remedy, RepositoryName, Revision, StackName, Timestamp, chain,
};
use crate::report::Target;

/// What lies in the folder.
const FOLDERS: [&str; 5] = ["git", "pulls", "locks", "targets", "forge"];

/// Name of the file that holds the operators' orders.
pub(super) const ORDERS_FILE: &str = "orders.json";

/// The mode of a folder that its owner alone may enter.
const OWNER_ONLY: u32 = 0o700;

/// How often a lock that another process holds is tried again.
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// It cannot be written.
    #[error("cannot use the data folder {}", folder.display())]
    Unusable {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another daemon uses it.
    #[error("another moorline daemon uses the data folder {}", folder.display())]
    Taken {
        /// The folder.
        folder: PathBuf,
    },
    /// Something of ours is there and cannot be understood.
    #[error("cannot understand {}", file.display())]
    Damaged {
        /// The file, or whatever else holds it.
        file: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another process is in a pass for the same target, and the wait for it was ended.
    #[error("another moorline process is busy with {target}")]
    Busy {
        /// The target.
        target: String,
    },
}

impl DataError {
    /// What helps.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Unusable { .. } | Self::Taken { .. } | Self::Damaged { .. } => Remedy::Operator,
            Self::Busy { .. } => Remedy::Retry,
        }
    }
}

/// The data folder.
#[derive(Debug, Clone)]
pub struct DataFolder {
    root: PathBuf,
    pub(super) ledgers: Arc<Ledgers>,
    /// The only daemon of this folder has it: its own loops keep passes apart, also where no lock can be written.
    sole: bool,
}

/// A lock that is given back when it is dropped, or when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: Option<File>,
}

/// The daemon's lock: on the folder itself, which stands when a file in it is removed, and on a file, which other
/// versions know.
#[derive(Debug)]
pub struct DaemonLock {
    folder: File,
    file: File,
}

/// A record as it is written.
#[derive(Serialize)]
struct Form<'a> {
    version: u32,
    #[serde(flatten)]
    record: &'a TargetRecord,
}

impl DataFolder {
    /// Uses a folder, which is made when it is not there.
    pub fn open(root: &Path) -> Result<Self, DataError> {
        let folder = Self { root: root.to_owned(), ledgers: Arc::default(), sole: false };
        folder.make().map_err(|source| folder.unusable(source))?;
        folder.settle_records().map_err(|source| folder.unusable(source))?;
        Ok(folder)
    }

    /// The same folder in the hands of the daemon that locked it.
    pub fn of_the_daemon(&self) -> Self {
        Self { sole: true, ..self.clone() }
    }

    /// The same, which has hosts remember what is kept of these repositories, under these keys.
    pub fn with_ledgers(self, keys: BTreeMap<RepositoryName, String>) -> Self {
        Self { ledgers: Arc::new(Ledgers::of(keys)), ..self }
    }

    /// Records of earlier versions lay beside each other: `REPOSITORY.STACK@HOST.json`.
    fn settle_records(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.root.join("targets"))? {
            let path = entry?.path();
            let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
            let Some((place, host)) = name.rsplit_once('@').filter(|_| path.is_file()) else {
                continue;
            };
            let folder = self.root.join("targets").join(host);
            fs::create_dir_all(&folder)?;
            let new = folder.join(format!("{place}.json"));
            if new.exists() { fs::remove_file(path)? } else { fs::rename(path, new)? }
        }
        Ok(())
    }

    /// Makes what is missing of the folder. Nobody but its owner may look into it: it holds clones, and what was said of
    /// them. A folder that was there before and is not one of ours keeps its mode.
    fn make(&self) -> io::Result<()> {
        let is_ours = !self.root.exists() || self.root.join("locks").is_dir();
        fs::DirBuilder::new().recursive(true).mode(OWNER_ONLY).create(&self.root)?;
        if is_ours && fs::metadata(&self.root)?.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(&self.root, fs::Permissions::from_mode(OWNER_ONLY))?;
        }
        for below in FOLDERS {
            fs::DirBuilder::new().recursive(true).mode(OWNER_ONLY).create(self.root.join(below))?;
        }
        Ok(())
    }

    /// The folder itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// What operators said beside Git; no orders when there is no file.
    pub fn orders(&self) -> Result<Orders, DataError> {
        self.kept_orders().map(|kept| kept.orders)
    }

    /// The same, with what tells which are newer.
    pub(super) fn kept_orders(&self) -> Result<form::Kept, DataError> {
        let file = self.root.join(ORDERS_FILE);
        let text = match fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(form::Kept::default());
            }
            Err(source) => return Err(self.unusable(source)),
        };
        let damaged = |source: serde_json::Error| DataError::Damaged {
            file: file.clone(),
            source: source.into(),
        };
        let version: form::Version = serde_json::from_slice(&text).map_err(damaged)?;
        if let Some(newer) = version.newer() {
            return Err(DataError::Damaged { file, source: newer.into() });
        }
        if version.version != 0 {
            return serde_json::from_slice(&text).map_err(damaged);
        }
        // Before there were versions, the file was the orders alone.
        let orders = serde_json::from_slice(&text).map_err(damaged)?;
        let lineage = Digest::of(&text).short().to_owned();
        Ok(form::Kept { version: form::VERSION, lineage, changed: 1, orders })
    }

    pub(super) fn write_kept_orders(&self, kept: &form::Kept) -> Result<(), DataError> {
        let text = serde_json::to_vec_pretty(kept).map_err(|error| self.unusable(error.into()))?;
        let file = self.root.join(ORDERS_FILE);
        write_whole(&file, &text).map_err(|source| self.unusable(source))
    }

    /// One writer of orders at a time; each takes a moment.
    pub(crate) fn lock_orders(&self) -> Result<Lock, DataError> {
        self.lock_briefly("orders")
    }

    /// One at a time puts the full journal aside.
    pub(crate) fn lock_journal(&self) -> Result<Lock, DataError> {
        self.lock_briefly("journal")
    }

    /// Whether a daemon uses the folder now.
    pub fn has_daemon(&self) -> bool {
        matches!(self.lock_daemon(), Err(DataError::Taken { .. }))
    }

    fn lock_briefly(&self, name: &str) -> Result<Lock, DataError> {
        let file = self.lock_file(name)?;
        file.lock().map_err(|source| self.unusable(source))?;
        Ok(Lock { _file: Some(file) })
    }

    /// Where clones are kept.
    pub fn git(&self) -> PathBuf {
        self.root.join("git")
    }

    /// Where clones for pull requests are kept: apart, so that nothing of a fork comes near what is deployed.
    pub fn pulls(&self) -> PathBuf {
        self.root.join("pulls")
    }

    /// Where it is remembered what forges were told.
    pub fn forge(&self) -> PathBuf {
        self.root.join("forge")
    }

    /// The lock of whoever speaks to a repository's forge: one writer. `None` while another process does.
    pub(crate) fn lock_writer(&self, name: &RepositoryName) -> Result<Option<Lock>, DataError> {
        let file = self.lock_file(&format!("forge.{name}"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { _file: Some(file) })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(self.unusable(source)),
        }
    }

    /// The daemon's own lock: one daemon a folder.
    pub fn lock_daemon(&self) -> Result<DaemonLock, DataError> {
        let folder = File::open(&self.root).map_err(|source| self.unusable(source))?;
        let file = self.lock_file("daemon")?;
        for part in [&folder, &file] {
            match part.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(DataError::Taken { folder: self.root.clone() });
                }
                Err(TryLockError::Error(source)) => return Err(self.unusable(source)),
            }
        }
        Ok(DaemonLock { folder, file })
    }

    /// Whether the daemon's lock still keeps others away: neither the folder nor the lock's file was removed or replaced.
    pub fn is_locked_by(&self, lock: &DaemonLock) -> bool {
        let is_same = |held: &File, path: &Path| {
            let place = |facts: fs::Metadata| (facts.dev(), facts.ino());
            let held = held.metadata().map(place).ok();
            held.is_some() && held == fs::metadata(path).map(place).ok()
        };
        is_same(&lock.folder, &self.root) && is_same(&lock.file, &self.lock_path("daemon"))
    }

    /// Makes the folder anew where it was removed, and locks it. A file that can be written is the proof.
    pub fn heal(&self) -> Result<(), DataError> {
        self.make().map_err(|source| self.unusable(source))?;
        let proof = self.root.join("locks").join("written");
        write_whole(&proof, b"").map_err(|source| self.unusable(source))
    }

    /// A target's lock: one pass at a time, whichever process runs it. Waits until it is free or `stop` says so.
    pub async fn lock_target(
        &self,
        target: &Target,
        stop: &CancellationToken,
    ) -> Result<Lock, DataError> {
        let file = match self.lock_file(&file_name(target)) {
            Ok(file) => file,
            // A full or broken disk must not keep a service down: the daemon's own loops run one pass at a time, and a
            // command beside it can write no lock either.
            Err(_) if self.sole => return Ok(Lock { _file: None }),
            Err(error) => return Err(error),
        };
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { _file: Some(file) }),
                Err(TryLockError::Error(source)) => return Err(self.unusable(source)),
                Err(TryLockError::WouldBlock) => {}
            }
            if stop.run_until_cancelled(tokio::time::sleep(LOCK_PAUSE)).await.is_none() {
                return Err(DataError::Busy { target: target.to_string() });
            }
        }
    }

    /// What is remembered of a target. What cannot be understood is said, and written anew with the next pass: only
    /// [`Self::kept`], which decides what is removed, must not do without it.
    pub fn recall(&self, target: &Target) -> TargetRecord {
        match self.record(target) {
            Ok(record) => record.unwrap_or_default(),
            Err(error) => {
                let error = chain::in_full(&error);
                tracing::error!(%error, "what is remembered of {target} is lost; it is written anew");
                TargetRecord::default()
            }
        }
    }

    /// What is remembered of a target; `None` where nothing is.
    ///
    /// # Errors
    /// Where it cannot be read or understood.
    pub(super) fn record(&self, target: &Target) -> Result<Option<TargetRecord>, DataError> {
        self.read_record(&self.record_path(target))
    }

    fn read_record(&self, file: &Path) -> Result<Option<TargetRecord>, DataError> {
        let text = match at_the_disk(|| fs::read(file)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(self.unusable(source)),
        };
        let damaged = |source: serde_json::Error| DataError::Damaged {
            file: file.to_owned(),
            source: source.into(),
        };
        let version: form::Version = serde_json::from_slice(&text).map_err(damaged)?;
        if let Some(newer) = version.newer() {
            return Err(DataError::Damaged { file: file.to_owned(), source: newer.into() });
        }
        serde_json::from_slice(&text).map(Some).map_err(damaged)
    }

    /// Everything that is remembered of a host's targets, by file.
    ///
    /// # Errors
    /// Where any of it cannot be read or understood.
    pub(super) fn records(
        &self,
        host: &HostName,
    ) -> Result<Vec<(PathBuf, TargetRecord)>, DataError> {
        self.records_in(&self.root.join("targets").join(host.as_str()))
    }

    fn records_in(&self, folder: &Path) -> Result<Vec<(PathBuf, TargetRecord)>, DataError> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(self.unusable(source)),
        };
        let mut all = Vec::new();
        for entry in entries {
            let path = entry.map_err(|source| self.unusable(source))?.path();
            if path.extension().is_some_and(|end| end == "json")
                && let Some(record) = self.read_record(&path)?
            {
                all.push((path, record));
            }
        }
        Ok(all)
    }

    /// Every target of a repository that was kept before.
    pub fn kept(&self, repository: &RepositoryName) -> Result<Vec<Kept>, DataError> {
        let folder = self.root.join("targets");
        let mut all = Vec::new();
        for entry in fs::read_dir(folder).map_err(|source| self.unusable(source))? {
            let host = entry.map_err(|source| self.unusable(source))?.path();
            if host.is_dir() {
                let kept =
                    self.records_in(&host)?.into_iter().filter_map(|(_, record)| record.kept);
                all.extend(kept.filter(|kept| kept.target.repository == *repository));
            }
        }
        all.sort_by(|one, other| one.target.cmp(&other.target));
        Ok(all)
    }

    /// Remembers that a target is kept. To be called before its host is changed for the first time.
    pub fn keep(
        &self,
        target: &Target,
        stack: &Stack,
        project: Option<&StackName>,
    ) -> Result<(), DataError> {
        let mut record = self.recall(target);
        let state = record.state();
        let kept = Some(Kept { state, ..Kept::new(target, stack, project) });
        if record.kept == kept {
            return Ok(());
        }
        if record.kept.is_none() && record.made.is_none() {
            record.made = Some(BTreeSet::new());
        }
        record.kept = kept;
        record.left = None;
        self.remember(target, &record)
    }

    /// Remembers that a target is in sync with a revision, and with what that asked for.
    pub fn reach(
        &self,
        target: &Target,
        (revision, reached_as): (&Revision, Option<&Digest>),
        now: Timestamp,
    ) -> Result<(), DataError> {
        let mut record = self.recall(target);
        if record.reached.as_ref() == Some(revision) && record.reached_as.as_ref() == reached_as {
            return Ok(());
        }
        record.reached = Some(revision.clone());
        record.reached_as = reached_as.cloned();
        record.at = Some(now);
        self.remember(target, &record)
    }

    /// Forgets a target: nothing of it is left on its host, but for folders with its data. Where those are stays known:
    /// a stack that comes back must not begin in another one.
    pub fn forget(&self, target: &Target) -> Result<(), DataError> {
        let record = self.recall(target);
        let lies = |path: &String| path.starts_with('/');
        let has_folders = |kept: &Kept| {
            kept.state.services.values().any(|service| service.mounts.values().any(lies))
        };
        if let Some(left) = record.kept.filter(has_folders) {
            let gone = TargetRecord { left: Some(left), ..TargetRecord::default() };
            return self.remember(target, &gone);
        }
        self.hand_over(target)
    }

    /// Forgets a target altogether: what it had is another one's now.
    pub fn hand_over(&self, target: &Target) -> Result<(), DataError> {
        match fs::remove_file(self.record_path(target)) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(self.unusable(source)),
            _ => {
                self.ledger_bell(&target.host).notify_one();
                Ok(())
            }
        }
    }

    pub(super) fn remember(&self, target: &Target, record: &TargetRecord) -> Result<(), DataError> {
        let form = Form { version: form::VERSION, record };
        let text = serde_json::to_vec(&form).map_err(|error| self.unusable(error.into()))?;
        let path = self.record_path(target);
        let written = write_whole(&path, &text).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                self.make()?;
                let folder = path.parent().unwrap_or(&self.root);
                fs::DirBuilder::new().recursive(true).mode(OWNER_ONLY).create(folder)?;
                write_whole(&path, &text)
            }
            _ => Err(error),
        });
        written.map_err(|source| self.unusable(source))?;
        self.ledger_bell(&target.host).notify_one();
        Ok(())
    }

    fn record_path(&self, target: &Target) -> PathBuf {
        let folder = self.root.join("targets").join(target.host.as_str());
        folder.join(format!("{}.{}.json", target.repository, target.stack))
    }

    fn lock_file(&self, name: &str) -> Result<File, DataError> {
        let path = self.lock_path(name);
        let open = || File::options().create(true).truncate(false).write(true).open(&path);
        let opened = open().or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => self.make().and_then(|()| open()),
            // Where nothing can be written, what is there can still be locked.
            _ => File::open(&path).or(Err(error)),
        });
        opened.map_err(|source| self.unusable(source))
    }

    fn lock_path(&self, name: &str) -> PathBuf {
        self.root.join("locks").join(format!("{name}.lock"))
    }

    pub(super) fn unusable(&self, source: io::Error) -> DataError {
        DataError::Unusable { folder: self.root.clone(), source }
    }
}

fn file_name(target: &Target) -> String {
    format!("{}.{}@{}", target.repository, target.stack, target.host)
}
