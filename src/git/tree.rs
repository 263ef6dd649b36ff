//! Reading the selected files of a commit out of an object database, or saying which objects that lacks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use git2::{ObjectType, Odb, OdbLookupFlags, Oid, Repository};

use crate::model::{
    Diagnostic, Diagnostics, FileMode, Location, ManifestTree, Revision, Timestamp, TreeFile,
    TreePath,
};

use super::source::{CommitFacts, Elsewhere, Limits, Pointer, TreeSelection};
use super::store::Line;

/// Symbolic links that are followed on the way to one file; Linux follows as many.
const HOPS: usize = 40;
/// Entries of folders that are looked at: links can make a small repository look endless.
const ENTRIES: usize = 2_000_000;
/// Folders inside each other.
const DEPTH: usize = 128;
/// Bytes of one folder's list of entries: 500,000 of usual names.
const FOLDER_BYTES: usize = 32 << 20;
/// Bytes of a commit with its message and signatures.
const COMMIT_BYTES: usize = 4 << 20;
/// Bytes of a link: Linux takes no longer path.
const LINK_BYTES: usize = 4096;
/// Characters of a commit's subject and of its author's name that are passed on.
const FACT: usize = 500;
/// Bytes of the longest Git LFS pointer.
const POINTER: usize = 1024;

/// Where submodules are.
const MODULES: &str = ".gitmodules";
/// Bytes of it.
const MODULES_BYTES: usize = 256 << 10;

const FILE: i32 = 0o100_000;
const LINK: i32 = 0o120_000;
const FOLDER: i32 = 0o040_000;
const SUBMODULE: i32 = 0o160_000;

/// What is to be read.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    pub(super) line: Line,
    pub(super) revision: Revision,
    pub(super) path: TreePath,
    pub(super) selection: TreeSelection,
    pub(super) limits: Limits,
    /// Blobs that are known to be too large, and are not here.
    pub(super) left_out: BTreeSet<Oid>,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Survey {
    /// Everything.
    Complete(Box<Complete>),
    /// These objects are not here.
    Missing(Missing),
    /// The commit has no such folder.
    NoPath,
    /// The id names something else than a commit.
    NoCommit,
    /// The commit itself is larger than any is: what of it, and the most that is read.
    TooLarge(&'static str, u64),
}

/// The selected files.
#[derive(Debug)]
pub(super) struct Complete {
    pub(super) tree: ManifestTree,
    pub(super) problems: Diagnostics,
    pub(super) elsewhere: Elsewhere,
    pub(super) facts: CommitFacts,
}

/// Objects that are not here.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// The commit itself.
    pub(super) commit: bool,
    /// Trees of which only some entries matter.
    pub(super) trees: BTreeSet<Oid>,
    /// Trees below which all trees matter.
    pub(super) whole_trees: BTreeSet<Oid>,
    /// Files.
    pub(super) blobs: BTreeSet<Oid>,
    /// The folders that hold those files.
    pub(super) folders: BTreeSet<Oid>,
}

impl Missing {
    fn is_empty(&self) -> bool {
        !self.commit
            && self.trees.is_empty()
            && self.whole_trees.is_empty()
            && self.blobs.is_empty()
    }
}

/// Reads what is asked for, or says what lacks.
pub(super) fn survey(repository: &Repository, reading: &Reading) -> Result<Survey, git2::Error> {
    let id = Oid::from_str(reading.revision.as_str())?;
    let odb = repository.odb()?;
    if !is_here(&odb, id) {
        return Ok(Survey::Missing(Missing { commit: true, ..Missing::default() }));
    }
    let (bytes, kind) = odb.read_header(id)?;
    if kind != ObjectType::Commit {
        return Ok(Survey::NoCommit);
    }
    if COMMIT_BYTES < bytes {
        return Ok(Survey::TooLarge("bytes of one commit's message", COMMIT_BYTES as u64));
    }
    let commit = repository.find_commit(id)?;
    let mut walk = Walk {
        repository,
        odb,
        reading,
        root: commit.tree_id(),
        found: BTreeMap::new(),
        bytes: 0,
        entries: 0,
        over: None,
        active: Vec::new(),
        missing: Missing::default(),
        problems: Diagnostics::default(),
        left_out: BTreeMap::new(),
        elsewhere: Elsewhere::default(),
    };
    if walk.start()? == Start::NoPath {
        return Ok(Survey::NoPath);
    }
    walk.modules()?;
    if !walk.missing.is_empty() {
        return Ok(Survey::Missing(walk.missing));
    }
    let facts = facts(&commit);
    let tree = walk.read()?.at(facts.time);
    let Walk { problems, elsewhere, .. } = walk;
    Ok(Survey::Complete(Box::new(Complete { tree, problems, elsewhere, facts })))
}

fn facts(commit: &git2::Commit<'_>) -> CommitFacts {
    let author = commit.author();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).chars().take(FACT).collect();
    CommitFacts {
        author: text(author.name_bytes()),
        subject: commit.summary_bytes().map(text).unwrap_or_default(),
        time: Timestamp::from_millis(commit.time().seconds().saturating_mul(1000)),
    }
}

fn is_here(odb: &Odb<'_>, id: Oid) -> bool {
    odb.exists_ext(id, OdbLookupFlags::NO_REFRESH)
}

#[derive(PartialEq, Eq)]
enum Start {
    Walked,
    NoPath,
}

/// Where a path leads.
enum Node {
    Folder { id: Oid, path: Vec<String> },
    File { id: Oid, mode: FileMode, folder: Oid },
}

/// Why a path leads nowhere.
enum Obstacle {
    Missing,
    Nothing,
    Leaves,
    Endless,
    Submodule,
}

struct Found {
    id: Oid,
    mode: FileMode,
}

/// A folder on the way: its id, where it really is, and where it appears.
struct Place {
    id: Oid,
    real: Vec<String>,
    shown: String,
    /// Whether everything in it is selected.
    selected: bool,
    /// Whether a selected path is below it.
    near: bool,
}

struct Walk<'a> {
    repository: &'a Repository,
    odb: Odb<'a>,
    reading: &'a Reading,
    root: Oid,
    found: BTreeMap<TreePath, Found>,
    bytes: u64,
    entries: usize,
    /// The limit that was crossed, said once.
    over: Option<String>,
    /// Folders that are being walked, outermost first, to notice links that lead back.
    active: Vec<Vec<String>>,
    missing: Missing,
    problems: Diagnostics,
    left_out: BTreeMap<TreePath, String>,
    elsewhere: Elsewhere,
}

impl<'a> Walk<'a> {
    fn start(&mut self) -> Result<Start, git2::Error> {
        let parts = self.reading.path.as_str().split('/').map(ToOwned::to_owned).collect();
        match self.resolve(Vec::new(), parts)? {
            Ok(Node::Folder { id, path }) => {
                let selected = self.reading.selection.paths.contains(&TreePath::default());
                let near = !self.reading.selection.paths.is_empty();
                self.folder(Place { id, real: path, shown: String::new(), selected, near })?;
                Ok(Start::Walked)
            }
            Err(Obstacle::Missing) => Ok(Start::Walked),
            Ok(Node::File { .. }) | Err(_) => Ok(Start::NoPath),
        }
    }

    /// Walks the selected entries of a folder.
    fn folder(&mut self, place: Place) -> Result<(), git2::Error> {
        let everything = place.selected || !self.reading.selection.names.is_empty();
        if !is_here(&self.odb, place.id) {
            let missing = &mut self.missing;
            let set = if everything { &mut missing.whole_trees } else { &mut missing.trees };
            set.insert(place.id);
            return Ok(());
        }
        let Some(tree) = self.tree(place.id)? else { return Ok(()) };
        self.active.push(place.real.clone());
        if self.active.len() > DEPTH {
            self.go_over(format!("folders are nested more than {DEPTH} deep"));
        }
        for entry in &tree {
            self.entries += 1;
            if self.entries > ENTRIES {
                self.go_over(format!("it has more than {ENTRIES} entries"));
            }
            if self.over.is_some() {
                break;
            }
            self.entry(&place, &entry)?;
        }
        self.active.pop();
        Ok(())
    }

    /// A folder's entries; `None`, and the repository is over its limits, where they are too many to be read.
    fn tree(&mut self, id: Oid) -> Result<Option<git2::Tree<'a>>, git2::Error> {
        if FOLDER_BYTES < self.odb.read_header(id)?.0 {
            self.go_over(format!("one of its folders has more than {FOLDER_BYTES} bytes of names"));
            return Ok(None);
        }
        self.repository.find_tree(id).map(Some)
    }

    fn entry(&mut self, place: &Place, entry: &git2::TreeEntry<'_>) -> Result<(), git2::Error> {
        if !place.selected && !place.near && entry.kind() == Some(ObjectType::Blob) {
            // Most files of a large repository are of no interest, and end here.
            let names = &self.reading.selection.names;
            if !entry.name().is_ok_and(|name| names.contains(name)) {
                return Ok(());
            }
        }
        let Some((name, shown)) = self.name(place, entry) else { return Ok(()) };
        let selected = place.selected || self.reading.selection.paths.contains(&shown);
        let named = self.reading.selection.names.contains(name.as_str());
        let leads = self.leads_further(&shown);
        let mut real = place.real.clone();
        real.push(name);
        match entry.filemode() & 0o170_000 {
            FOLDER if selected || leads || !self.reading.selection.names.is_empty() => {
                let shown = shown.as_str().to_owned();
                self.folder(Place { id: entry.id(), real, shown, selected, near: leads })
            }
            FILE if selected || named => {
                let mode = mode(entry.filemode());
                self.file(shown, Found { id: entry.id(), mode }, place.id)
            }
            LINK if selected || named || leads => self.link(place, real, shown, selected),
            SUBMODULE if selected || leads => {
                if let Ok(revision) = Revision::parse(&entry.id().to_string()) {
                    self.elsewhere.submodules.insert(shown.clone(), revision);
                }
                self.refuse(&shown, Obstacle::Submodule);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The entry's name and path, unless it cannot be a file's.
    fn name(&mut self, place: &Place, entry: &git2::TreeEntry<'_>) -> Option<(String, TreePath)> {
        let name = String::from_utf8_lossy(entry.name_bytes()).into_owned();
        let slash = if place.shown.is_empty() { "" } else { "/" };
        let text = format!("{}{slash}{name}", place.shown);
        let odd = entry.name().is_err()
            || name.contains('/')
            || matches!(&*name, "" | "." | ".." | ".git");
        match TreePath::parse(&text) {
            Ok(path) if !odd => Some((name, path)),
            _ => {
                let message = "this name cannot be used, so the entry is left out";
                self.problems.push(Diagnostic::warning(Location::file(text), message));
                None
            }
        }
    }

    /// Where submodules are, which the repository's root tells.
    fn modules(&mut self) -> Result<(), git2::Error> {
        if self.elsewhere.submodules.is_empty() || !is_here(&self.odb, self.root) {
            return Ok(());
        }
        let Some(tree) = self.tree(self.root)? else { return Ok(()) };
        let Some(entry) = tree.get_name(MODULES) else { return Ok(()) };
        if entry.filemode() & 0o170_000 != FILE {
            return Ok(());
        }
        if !is_here(&self.odb, entry.id()) {
            self.missing.blobs.insert(entry.id());
            self.missing.folders.insert(self.root);
        } else if self.odb.read_header(entry.id())?.0 <= MODULES_BYTES {
            self.elsewhere.modules = self.repository.find_blob(entry.id())?.content().to_vec();
        }
        Ok(())
    }

    fn leads_further(&self, shown: &TreePath) -> bool {
        let prefix = format!("{shown}/");
        self.reading.selection.paths.iter().any(|path| path.as_str().starts_with(&prefix))
    }

    fn file(&mut self, shown: TreePath, found: Found, folder: Oid) -> Result<(), git2::Error> {
        if self.reading.left_out.contains(&found.id) {
            self.too_large(&shown, None);
            return Ok(());
        }
        if !is_here(&self.odb, found.id) {
            self.missing.blobs.insert(found.id);
            self.missing.folders.insert(folder);
            return Ok(());
        }
        let bytes = self.odb.read_header(found.id)?.0 as u64;
        let limits = &self.reading.limits;
        if bytes > limits.file_bytes {
            self.too_large(&shown, Some(bytes));
            return Ok(());
        }
        self.bytes += bytes;
        if self.bytes > limits.tree_bytes {
            self.go_over(format!("its files have more than {} bytes", limits.tree_bytes));
        } else if self.found.len() >= limits.files {
            self.go_over(format!("it has more than {} files", limits.files));
        } else {
            self.found.insert(shown, found);
        }
        Ok(())
    }

    fn link(
        &mut self,
        place: &Place,
        real: Vec<String>,
        shown: TreePath,
        selected: bool,
    ) -> Result<(), git2::Error> {
        let last = real.last().cloned().unwrap_or_default();
        match self.resolve(place.real.clone(), VecDeque::from([last]))? {
            Ok(Node::File { id, mode, folder }) => self.file(shown, Found { id, mode }, folder),
            Ok(Node::Folder { path, .. }) if self.active.contains(&path) => {
                self.refuse(&shown, Obstacle::Endless);
                Ok(())
            }
            Ok(Node::Folder { id, path }) if selected || self.leads_further(&shown) => {
                let near = self.leads_further(&shown);
                let shown = shown.as_str().to_owned();
                self.folder(Place { id, real: path, shown, selected, near })
            }
            // A folder that bears a searched name is not the file that was searched for.
            Ok(Node::Folder { .. }) => Ok(()),
            Err(obstacle) => {
                self.refuse(&shown, obstacle);
                Ok(())
            }
        }
    }

    /// Follows a path from a folder (given by its real path), through links.
    fn resolve(
        &mut self,
        from: Vec<String>,
        mut todo: VecDeque<String>,
    ) -> Result<Result<Node, Obstacle>, git2::Error> {
        for part in from.into_iter().rev() {
            todo.push_front(part);
        }
        let mut done: Vec<String> = Vec::new();
        let mut folders = vec![self.root];
        let mut hops = 0;
        while let Some(part) = todo.pop_front() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    folders.pop();
                    if done.pop().is_none() {
                        return Ok(Err(Obstacle::Leaves));
                    }
                    continue;
                }
                _ => {}
            }
            let folder = folders.last().copied().unwrap_or(self.root);
            if !is_here(&self.odb, folder) {
                self.missing.trees.insert(folder);
                return Ok(Err(Obstacle::Missing));
            }
            let Some(tree) = self.tree(folder)? else { return Ok(Err(Obstacle::Nothing)) };
            let Some(entry) = tree.get_name(&part) else { return Ok(Err(Obstacle::Nothing)) };
            match entry.filemode() & 0o170_000 {
                FOLDER => {
                    folders.push(entry.id());
                    done.push(part);
                }
                FILE if todo.iter().any(|rest| !matches!(rest.as_str(), "" | ".")) => {
                    return Ok(Err(Obstacle::Nothing));
                }
                FILE => {
                    let mode = mode(entry.filemode());
                    return Ok(Ok(Node::File { id: entry.id(), mode, folder }));
                }
                LINK if hops == HOPS => return Ok(Err(Obstacle::Endless)),
                LINK => {
                    hops += 1;
                    match self.link_target(entry.id(), folder)? {
                        Ok(parts) => parts.into_iter().rev().for_each(|part| todo.push_front(part)),
                        Err(obstacle) => return Ok(Err(obstacle)),
                    }
                }
                SUBMODULE => return Ok(Err(Obstacle::Submodule)),
                _ => return Ok(Err(Obstacle::Nothing)),
            }
        }
        let id = folders.last().copied().unwrap_or(self.root);
        Ok(Ok(Node::Folder { id, path: done }))
    }

    /// The parts of the path that a link holds.
    fn link_target(
        &mut self,
        id: Oid,
        folder: Oid,
    ) -> Result<Result<Vec<String>, Obstacle>, git2::Error> {
        if !is_here(&self.odb, id) {
            self.missing.blobs.insert(id);
            self.missing.folders.insert(folder);
            return Ok(Err(Obstacle::Missing));
        }
        if LINK_BYTES < self.odb.read_header(id)?.0 {
            return Ok(Err(Obstacle::Nothing));
        }
        let blob = self.repository.find_blob(id)?;
        let Ok(text) = std::str::from_utf8(blob.content()) else {
            return Ok(Err(Obstacle::Nothing));
        };
        if text.starts_with('/') {
            return Ok(Err(Obstacle::Leaves));
        }
        Ok(Ok(text.split('/').map(ToOwned::to_owned).collect()))
    }

    fn refuse(&mut self, shown: &TreePath, obstacle: Obstacle) {
        let (message, help) = match obstacle {
            // It will be fetched and looked at again.
            Obstacle::Missing => return,
            Obstacle::Nothing => ("this symbolic link points at nothing", "correct or remove it"),
            Obstacle::Leaves => (
                "this symbolic link leaves the repository",
                "commit the file itself, or a link to a path inside the repository",
            ),
            Obstacle::Endless => {
                ("this symbolic link leads back to itself", "correct or remove it")
            }
            Obstacle::Submodule => (
                "this is a submodule, whose files are in another repository; `submodules: true` under the repository in the settings fetches it",
                "set `submodules: true`, or commit the files themselves",
            ),
        };
        self.leave_out(shown, message.to_owned(), help);
    }

    fn too_large(&mut self, shown: &TreePath, bytes: Option<u64>) {
        let size = bytes.map_or_else(|| "more".to_owned(), |bytes| bytes.to_string());
        let limit = self.reading.limits.file_bytes;
        let message = format!("this file has {size} bytes, and the limit is {limit}");
        self.leave_out(shown, message, "keep large data in an image or a volume");
    }

    /// Warns of it here; who uses it makes an error of it.
    fn leave_out(&mut self, shown: &TreePath, why: String, help: &str) {
        let message = format!("{why}, so it is left out");
        self.problems.push(Diagnostic::warning(Location::file(shown.as_str()), message).help(help));
        self.left_out.insert(shown.clone(), why);
    }

    /// A tree beyond the limits is an error: a part of it must not pass for the whole.
    fn go_over(&mut self, what: String) {
        if self.over.is_none() {
            let message = format!("the repository is too large to be read: {what}");
            let help = "set `path` to the folder that holds the manifests, or list the stacks in the fleet file";
            self.problems.push(Diagnostic::error(Location::file("."), message).help(help));
            self.over = Some(what);
        }
    }

    fn read(&mut self) -> Result<ManifestTree, git2::Error> {
        let mut files = BTreeMap::new();
        for (path, found) in std::mem::take(&mut self.found) {
            let blob = self.repository.find_blob(found.id)?;
            if is_pointer(blob.content()) {
                if let Some(pointer) = pointer(blob.content(), found.mode) {
                    self.elsewhere.pointers.insert(path.clone(), pointer);
                }
                let message = "this is a Git LFS pointer, not the file itself; `lfs: true` under the repository in the settings fetches it";
                let help = "set `lfs: true`, or commit the file itself (`git lfs migrate export`)";
                self.leave_out(&path, message.to_owned(), help);
                continue;
            }
            files.insert(path, TreeFile { mode: found.mode, bytes: blob.content().into() });
        }
        Ok(ManifestTree::new(files).with_left_out(std::mem::take(&mut self.left_out)))
    }
}

fn mode(bits: i32) -> FileMode {
    if bits & 0o111 == 0 { FileMode::Regular } else { FileMode::Executable }
}

/// Git LFS, `docs/spec.md`: the version line comes first.
fn is_pointer(bytes: &[u8]) -> bool {
    bytes.len() < POINTER
        && (bytes.starts_with(b"version https://git-lfs.github.com/spec/")
            || bytes.starts_with(b"version https://hawser.github.com/spec/"))
}

/// What a pointer says: `oid sha256:HEX` and `size BYTES`, one a line.
fn pointer(bytes: &[u8], mode: FileMode) -> Option<Pointer> {
    let text = std::str::from_utf8(bytes).ok()?;
    let value = |key: &str| {
        text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ').map(str::trim))
    };
    let oid = value("oid")?.strip_prefix("sha256:")?.to_owned();
    let is_hex = oid.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let size = value("size")?.parse().ok()?;
    (oid.len() == 64 && is_hex).then_some(Pointer { mode, oid, size })
}
