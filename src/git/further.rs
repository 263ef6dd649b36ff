//! What a commit only refers to: objects of Git LFS, and files of submodules. Fetched where the settings say so, and only
//! from the server of the repository itself, reached in the same way.
//!
//! *Guarantees.* Nothing is asked of another server, and credentials are shown to none. What is fetched counts towards the
//! limits of files and of the tree. What cannot be had stays left out, with the reason; whoever uses it makes an error of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::model::{Diagnostic, Location, Revision, TreeFile, TreePath};

use super::error::GitError;
use super::local::LocalRepository;
use super::remote::Address;
use super::source::{Further, Pointer, Pulled, Source, TreeSelection, Wanted};
use super::wire::lfs;
use super::{Git, blocking, pull};

/// Submodules inside each other.
const DEPTH: usize = 3;

/// Whether something lies elsewhere that is to be fetched.
pub(super) fn lacks(further: Further, pulled: &Pulled) -> bool {
    let elsewhere = &pulled.elsewhere;
    (further.lfs && !elsewhere.pointers.is_empty())
        || (further.submodules && !elsewhere.submodules.is_empty())
}

/// Fetches it, and puts it where it belongs.
pub(super) async fn fetch(
    git: &Git,
    source: &Source,
    selection: &TreeSelection,
    pulled: &mut Pulled,
    depth: usize,
) -> Result<(), GitError> {
    let used: usize = pulled.tree.files().map(|(_, file)| file.bytes.len()).sum();
    let mut room = source.access.limits.tree_bytes.saturating_sub(used as u64);
    if source.access.further.lfs {
        fetch_objects(git, source, pulled, &mut room).await?;
    }
    if source.access.further.submodules {
        for (path, revision) in std::mem::take(&mut pulled.elsewhere.submodules) {
            let how = (selection, depth);
            if let Err(why) =
                Box::pin(fetch_submodule(git, source, (&path, &revision), how, (pulled, &mut room)))
                    .await?
            {
                leave_out(pulled, &path, format!("this submodule is not fetched: {why}"));
            }
        }
    }
    Ok(())
}

/// The objects that pointers of Git LFS stand for.
async fn fetch_objects(
    git: &Git,
    source: &Source,
    pulled: &mut Pulled,
    room: &mut u64,
) -> Result<(), GitError> {
    let limits = &source.access.limits;
    let mut wanted = BTreeMap::new();
    for (path, pointer) in std::mem::take(&mut pulled.elsewhere.pointers) {
        if limits.file_bytes < pointer.size || *room < pointer.size {
            let most = limits.file_bytes.min(*room);
            let size = pointer.size;
            let why =
                format!("this file has {size} bytes in Git LFS, and there is room for {most}");
            leave_out(pulled, &path, why);
            continue;
        }
        *room -= pointer.size;
        wanted.insert(path, pointer);
    }
    let objects: BTreeMap<String, u64> =
        wanted.values().map(|pointer| (pointer.oid.clone(), pointer.size)).collect();
    let mut found = objects_of(git, source, &objects).await?;
    for (path, Pointer { mode, oid, .. }) in wanted {
        match found.entry(oid.clone()).or_insert_with(|| Err("the server has it not".to_owned())) {
            Ok(bytes) => {
                let file = TreeFile { mode, bytes: bytes.to_vec().into() };
                put(pulled, &path, [(path.clone(), file)]);
            }
            Err(why) => {
                let may_come = |address: &Address| match address {
                    Address::Http(_) | Address::Local(_) => true,
                    Address::Ssh(_) | Address::Daemon { .. } => false,
                };
                pulled.elsewhere.is_awaited |= may_come(source.remote.address());
                let why = format!("this file of Git LFS cannot be had: {why}");
                leave_out(pulled, &path, why);
            }
        }
    }
    Ok(())
}

/// What came of each object: its bytes, or why there are none.
type Found = BTreeMap<String, Result<Bytes, String>>;

/// Objects by id: from this machine where they are known already, else from the server.
async fn objects_of(
    git: &Git,
    source: &Source,
    objects: &BTreeMap<String, u64>,
) -> Result<Found, GitError> {
    let (folder, is_own) = match source.remote.local_path() {
        Some(path) => (LocalRepository::find(path)?.lfs(), false),
        None => (git.folder.join(source.remote.folder_name()).join("lfs"), true),
    };
    let (place, wanted) = (folder.clone(), objects.clone());
    let mut found = blocking(move || Ok(on_disk(&place, &wanted))).await?;
    let missing: BTreeMap<String, u64> = objects
        .iter()
        .filter(|(oid, _)| !found.contains_key(*oid))
        .map(|(oid, size)| (oid.clone(), *size))
        .collect();
    if missing.is_empty() || !is_own {
        return Ok(found);
    }
    let fetched = match source.remote.address() {
        Address::Http(url) => lfs::fetch(url, &source.access, &missing).await?,
        Address::Ssh(_) | Address::Daemon { .. } | Address::Local(_) => {
            let why = "Git LFS is fetched over https only".to_owned();
            missing.into_keys().map(|oid| (oid, Err(why.clone()))).collect()
        }
    };
    let kept: Vec<(String, Bytes)> = fetched
        .iter()
        .filter_map(|(oid, got)| Some((oid.clone(), got.as_ref().ok()?.clone())))
        .collect();
    found.extend(fetched);
    // Kept for the next look; what cannot be kept is fetched again.
    blocking(move || {
        for (oid, bytes) in kept {
            if let Err(error) = keep(&folder, &oid, &bytes) {
                tracing::debug!(%error, "an object of Git LFS cannot be kept");
            }
        }
        Ok(())
    })
    .await?;
    Ok(found)
}

/// Where an object lies, as git-lfs lays it.
fn place(folder: &Path, oid: &str) -> PathBuf {
    let (first, second) = (oid.get(..2).unwrap_or_default(), oid.get(2..4).unwrap_or_default());
    folder.join(first).join(second).join(oid)
}

fn on_disk(folder: &Path, objects: &BTreeMap<String, u64>) -> Found {
    let read = |(oid, size): (&String, &u64)| {
        let path = place(folder, oid);
        let facts = std::fs::metadata(&path).ok()?;
        let bytes = (facts.is_file() && facts.len() == *size).then(|| std::fs::read(path).ok());
        let bytes = Bytes::from(bytes??);
        lfs::is_object(oid, &bytes).then(|| (oid.clone(), Ok(bytes)))
    };
    objects.iter().filter_map(read).collect()
}

fn keep(folder: &Path, oid: &str, bytes: &[u8]) -> std::io::Result<()> {
    let path = place(folder, oid);
    if let Some(around) = path.parent() {
        std::fs::create_dir_all(around)?;
    }
    let passing = path.with_extension("next");
    std::fs::write(&passing, bytes)?;
    std::fs::rename(passing, path)
}

/// The files of one submodule. `Ok(Err(…))` says why they are not to be had.
async fn fetch_submodule(
    git: &Git,
    source: &Source,
    (path, revision): (&TreePath, &Revision),
    (selection, depth): (&TreeSelection, usize),
    (pulled, room): (&mut Pulled, &mut u64),
) -> Result<Result<(), String>, GitError> {
    if depth == DEPTH {
        return Ok(Err(format!("submodules are nested more than {DEPTH} deep")));
    }
    let whole = source.path.join(path.as_str()).unwrap_or_else(|_outside| path.clone());
    let Some(url) = address_of(&pulled.elsewhere.modules, &whole) else {
        return Ok(Err(".gitmodules does not say where it is".to_owned()));
    };
    let Some(remote) = source.remote.sibling(&url) else {
        return Ok(Err("it is not on the server of this repository".to_owned()));
    };
    let mut access = source.access.clone();
    access.limits.tree_bytes = *room;
    let own = Source { remote, branch: None, path: TreePath::default(), access };
    let wanted = Wanted::Revision(revision.clone());
    let inner = within(selection, path);
    let mut found = match pull::pull(git, &own, &wanted, &inner).await {
        Ok(found) => found,
        Err(GitError::Cancelled) => return Err(GitError::Cancelled),
        Err(error) => {
            pulled.elsewhere.is_awaited = true;
            return Ok(Err(error.to_string()));
        }
    };
    if let Some(problem) = found.problems.first_error() {
        return Ok(Err(problem.message.clone()));
    }
    if lacks(own.access.further, &found) {
        fetch(git, &own, &inner, &mut found, depth + 1).await?;
    }
    pulled.elsewhere.is_awaited |= found.elsewhere.is_awaited;
    let outside = |below: &TreePath| path.join(below.as_str()).unwrap_or_else(|_| path.clone());
    let files: Vec<(TreePath, TreeFile)> =
        found.tree.files().map(|(below, file)| (outside(below), file.clone())).collect();
    let used: usize = files.iter().map(|(_, file)| file.bytes.len()).sum();
    *room = room.saturating_sub(used as u64);
    let left_out: Vec<(TreePath, String)> = found
        .tree
        .left_out_below(&TreePath::default())
        .map(|(below, why)| (outside(below), why.to_owned()))
        .collect();
    forget_problem(pulled, path);
    let tree = std::mem::take(&mut pulled.tree);
    pulled.tree = tree.completed(path, files, left_out);
    Ok(Ok(()))
}

/// What of a selection lies below a submodule.
fn within(selection: &TreeSelection, path: &TreePath) -> TreeSelection {
    let covers = |above: &TreePath| above == path || path.below(above).is_some();
    let whole = selection.paths.iter().any(covers);
    let paths: BTreeSet<TreePath> = if whole {
        [TreePath::default()].into()
    } else {
        selection.paths.iter().filter_map(|one| one.below(path)).collect()
    };
    TreeSelection { paths, names: selection.names.clone() }
}

/// The address that `.gitmodules` gives a path: a file of Git's configuration (`git-config`), sections `submodule`.
fn address_of(modules: &[u8], path: &TreePath) -> Option<String> {
    let text = std::str::from_utf8(modules).ok()?;
    let (mut at, mut url, mut found) = (None::<String>, None::<String>, None);
    let done = |at: &Option<String>, url: &mut Option<String>| {
        let is_it = at.as_deref() == Some(path.as_str());
        if is_it { url.take() } else { None }
    };
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            found = found.or_else(|| done(&at, &mut url));
            (at, url) = (None, None);
            continue;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        let value = value.trim().trim_matches('"').to_owned();
        match key.trim().to_ascii_lowercase().as_str() {
            "path" => at = Some(value.trim_end_matches('/').to_owned()),
            "url" => url = Some(value),
            _ => {}
        }
    }
    found.or_else(|| done(&at, &mut url))
}

/// Files take the place of what was left out.
fn put(pulled: &mut Pulled, at: &TreePath, files: [(TreePath, TreeFile); 1]) {
    forget_problem(pulled, at);
    let tree = std::mem::take(&mut pulled.tree);
    pulled.tree = tree.completed(at, files, []);
}

fn leave_out(pulled: &mut Pulled, at: &TreePath, why: String) {
    forget_problem(pulled, at);
    let message = format!("{why}, so it is left out");
    pulled.problems.push(Diagnostic::warning(Location::file(at.as_str()), message));
    let tree = std::mem::take(&mut pulled.tree);
    pulled.tree = tree.completed(at, [], [(at.clone(), why)]);
}

fn forget_problem(pulled: &mut Pulled, at: &TreePath) {
    pulled.problems.0.retain(|problem| &*problem.location.file != at.as_str());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gitmodules_tell_where_a_path_comes_from() {
        let text = b"[submodule \"a\"]\n\tpath = libs/a\n\turl = ../a.git\n[submodule \"b\"]\n  url = \"../b\"\n  path = b/\n";
        let at = |path: &str| address_of(text, &TreePath::parse(path).unwrap());
        assert_eq!(at("libs/a").as_deref(), Some("../a.git"));
        assert_eq!(at("b").as_deref(), Some("../b"));
        assert_eq!(at("c"), None);
    }
}
