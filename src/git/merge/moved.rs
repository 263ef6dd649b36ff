//! Makes one side's moves on the other side and on the ancestor, so that what was moved and what was changed meet at
//! one place, where they merge like everything else.

use std::collections::{BTreeMap, BTreeSet};

use git2::{ObjectType, Oid};

use super::renames::{self, Files, Renames};
use super::work::{DEEPEST, Entry, FILES, FOLDER, LARGEST, Work, below};

/// What became of the moves.
pub(super) enum Moves {
    /// There are none that matter, or it cannot be told before what is missing is fetched.
    None,
    /// Ancestor, base and head with the moves made, and where moves are in each other's way.
    Made([Oid; 3], Vec<String>),
}

/// Files that one side no longer has, and files that it has in addition.
#[derive(Default)]
struct Changed {
    gone: Files<Oid>,
    made: Files<Oid>,
}

/// Finds where each side moved the files that it lost, and moves them on the other two.
pub(super) fn find(
    work: &mut Work<'_>,
    [ancestor, base, head]: [Oid; 3],
    lost: &[BTreeSet<String>; 2],
) -> Result<Moves, git2::Error> {
    let ours = side(work, [ancestor, base], &lost[0])?;
    let theirs = side(work, [ancestor, head], &lost[1])?;
    let (Some(ours), Some(theirs)) = (ours, theirs) else { return Ok(Moves::None) };
    let mut conflicts = Vec::new();
    let mut all = Renames::new();
    for path in ours.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
        let both = lost.iter().all(|side| side.contains(path));
        match (ours.get(path), theirs.get(path)) {
            (Some(one), Some(other)) if one == other => {
                all.insert(path.clone(), one.clone());
            }
            // Moved to two places, or moved here and deleted there.
            (Some(_), Some(_)) => conflicts.push(path.clone()),
            (_, _) if both => conflicts.push(path.clone()),
            (Some(to), None) | (None, Some(to)) => {
                all.insert(path.clone(), to.clone());
            }
            (None, None) => {}
        }
    }
    // Two files that are moved to one place.
    let mut places: BTreeMap<&String, usize> = BTreeMap::new();
    for to in all.values() {
        *places.entry(to).or_default() += 1;
    }
    conflicts.extend(places.into_iter().filter(|(_, count)| 1 < *count).map(|(to, _)| to.clone()));
    if all.is_empty() && conflicts.is_empty() {
        return Ok(Moves::None);
    }
    let mut roots = [ancestor, base, head];
    for root in &mut roots {
        for (from, to) in &all {
            match moved(work, *root, (from, to))? {
                Some(changed) => *root = changed,
                None if work.is_whole() => conflicts.push(to.clone()),
                None => return Ok(Moves::None),
            }
        }
    }
    Ok(Moves::Made(roots, conflicts))
}

/// The moves of one side; `None` while something is missing.
fn side(
    work: &mut Work<'_>,
    [ancestor, side]: [Oid; 2],
    lost: &BTreeSet<String>,
) -> Result<Option<Renames>, git2::Error> {
    if lost.is_empty() {
        return Ok(Some(Renames::new()));
    }
    let mut changed = Changed::default();
    let folders = [ancestor, side].map(|id| Some((FOLDER, id)));
    compare(work, "", folders, &mut changed)?;
    if !work.is_whole() {
        return Ok(None);
    }
    let mut found = renames::exact(&changed.gone, &changed.made);
    let taken: BTreeSet<&String> = found.values().collect();
    let open: BTreeSet<String> =
        changed.gone.keys().filter(|path| !found.contains_key(*path)).cloned().collect();
    let free: BTreeSet<String> =
        changed.made.keys().filter(|path| !taken.contains(path)).cloned().collect();
    if !open.is_disjoint(lost) && renames::is_comparable(open.len(), free.len()) {
        let mut contents = BTreeMap::new();
        let pairs = changed.gone.iter().filter(|(path, _)| open.contains(*path));
        for (path, id) in pairs.chain(changed.made.iter().filter(|(path, _)| free.contains(*path)))
        {
            let content = work.content(*id)?;
            contents.extend(content.map(|bytes| (path.clone(), bytes)));
        }
        if !work.is_whole() {
            return Ok(None);
        }
        let content = |path: &str| {
            contents.get(path).map(Vec::as_slice).filter(|bytes| bytes.len() <= LARGEST)
        };
        found.extend(renames::alike(&open, &free, content));
    }
    found.retain(|from, _| lost.contains(from));
    Ok(Some(found))
}

/// What a folder lost and got. Empty files, links and submodules are no one's moves.
fn compare(
    work: &mut Work<'_>,
    path: &str,
    folders: [Option<Entry>; 2],
    changed: &mut Changed,
) -> Result<(), git2::Error> {
    let [before, after] = folders;
    if before == after || DEEPEST < path.matches('/').count() {
        return Ok(());
    }
    let (before, after) = (work.read(before)?, work.read(after)?);
    let (Some(before), Some(after)) = (before, after) else { return Ok(()) };
    let empty = Oid::hash_object(ObjectType::Blob, b"")?;
    for name in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
        let path = below(path, name);
        let entries = [before.get(name).copied(), after.get(name).copied()];
        let folder = entries.map(|entry| entry.filter(|(mode, _)| *mode == FOLDER));
        if folder.iter().any(Option::is_some) {
            compare(work, &path, folder, changed)?;
        }
        let file = |entry: Option<Entry>| {
            let file = entry.filter(|(mode, id)| FILES.contains(mode) && *id != empty);
            file.map(|(_, id)| id)
        };
        match entries.map(file) {
            [Some(id), None] if entries[1].is_none() => {
                changed.gone.insert(path, id);
            }
            [None, Some(id)] if entries[0].is_none() => {
                changed.made.insert(path, id);
            }
            _ => {}
        }
    }
    Ok(())
}

/// A root with a file at another place; as it was where it has no such file. `None` where something is in the way, or
/// missing.
fn moved(
    work: &mut Work<'_>,
    root: Oid,
    (from, to): (&str, &str),
) -> Result<Option<Oid>, git2::Error> {
    let from: Vec<&str> = from.split('/').collect();
    let to: Vec<&str> = to.split('/').collect();
    let folder = Some((FOLDER, root));
    let Some(file) = lookup(work, folder, &from)? else {
        return Ok(work.is_whole().then_some(root));
    };
    if !FILES.contains(&file.0) {
        return Ok(None);
    }
    let Placed::Done(without) = place(work, folder, &from, None)? else { return Ok(None) };
    let Placed::Done(with) = place(work, without, &to, Some(file))? else { return Ok(None) };
    Ok(with.map(|(_, id)| id))
}

fn lookup(
    work: &mut Work<'_>,
    folder: Option<Entry>,
    path: &[&str],
) -> Result<Option<Entry>, git2::Error> {
    let mut found = folder;
    for name in path {
        let here = found.filter(|(mode, _)| *mode == FOLDER);
        if here.is_none() {
            return Ok(None);
        }
        found = work.read(here)?.and_then(|entries| entries.get(name.as_bytes()).copied());
    }
    Ok(found)
}

/// What came of putting something into a folder.
enum Placed {
    /// The folder now; `None` where nothing is left in it.
    Done(Option<Entry>),
    /// Something else is there, or something is missing.
    Blocked,
}

/// A folder with `file` at a path in it, or without what was there.
fn place(
    work: &mut Work<'_>,
    folder: Option<Entry>,
    path: &[&str],
    file: Option<Entry>,
) -> Result<Placed, git2::Error> {
    let [name, rest @ ..] = path else { return Ok(Placed::Blocked) };
    if folder.is_some_and(|(mode, _)| mode != FOLDER) {
        return Ok(Placed::Blocked);
    }
    let Some(mut entries) = work.read(folder)? else { return Ok(Placed::Blocked) };
    let name = name.as_bytes().to_vec();
    let there = entries.get(&name).copied();
    let now = if rest.is_empty() {
        if file.is_some() && there.is_some() {
            return Ok(Placed::Blocked);
        }
        file
    } else {
        match place(work, there, rest, file)? {
            Placed::Done(now) => now,
            Placed::Blocked => return Ok(Placed::Blocked),
        }
    };
    match now {
        Some(entry) => entries.insert(name, entry),
        None => entries.remove(&name),
    };
    if entries.is_empty() {
        return Ok(Placed::Done(None));
    }
    let id = work.add_tree(entries)?;
    Ok(Placed::Done(Some((FOLDER, id))))
}
