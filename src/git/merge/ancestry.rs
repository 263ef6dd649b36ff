//! The newest commit that two others have in common, as far as history is here.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use git2::{Oid, Repository};

/// Commits of one side that are looked at.
const MOST: usize = 50_000;

/// What is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ancestry {
    /// This one; where histories cross, the newest.
    Common(Oid),
    /// There is none.
    None,
    /// History is not here far enough.
    Unknown,
}

/// A commit's parents and when it was made.
type Known = BTreeMap<Oid, (Vec<Oid>, i64)>;

/// Finds it.
pub(super) fn nearest(
    repository: &Repository,
    one: Oid,
    other: Oid,
) -> Result<Ancestry, git2::Error> {
    let mut known = Known::new();
    let (ours, ours_whole) = reachable(repository, one, &mut known)?;
    let (theirs, theirs_whole) = reachable(repository, other, &mut known)?;
    let common: BTreeSet<Oid> = ours.intersection(&theirs).copied().collect();
    if common.is_empty() {
        let whole = ours_whole && theirs_whole;
        return Ok(if whole { Ancestry::None } else { Ancestry::Unknown });
    }
    // Whatever another common one descends from is not the nearest.
    let mut passed = BTreeSet::new();
    let mut open: Vec<Oid> = common.iter().flat_map(|id| parents(&known, *id)).copied().collect();
    while let Some(id) = open.pop() {
        if passed.insert(id) {
            open.extend(parents(&known, id));
        }
    }
    let nearest = common.difference(&passed).copied();
    let time = |id: &Oid| known.get(id).map_or(i64::MIN, |(_, time)| *time);
    Ok(nearest.max_by_key(|id| (time(id), *id)).map_or(Ancestry::Unknown, Ancestry::Common))
}

fn parents(known: &Known, id: Oid) -> &[Oid] {
    known.get(&id).map_or(&[], |(parents, _)| parents.as_slice())
}

/// What a commit descends from, itself included, and whether all of it is here.
fn reachable(
    repository: &Repository,
    from: Oid,
    known: &mut Known,
) -> Result<(BTreeSet<Oid>, bool), git2::Error> {
    let (mut found, mut open, mut whole) = (BTreeSet::new(), vec![from], true);
    while let Some(id) = open.pop() {
        if found.contains(&id) {
            continue;
        }
        if let Entry::Vacant(entry) = known.entry(id) {
            match repository.find_commit(id) {
                Ok(commit) => {
                    entry.insert((commit.parent_ids().collect(), commit.time().seconds()));
                }
                Err(cause) if cause.code() == git2::ErrorCode::NotFound => {
                    whole = false;
                    continue;
                }
                Err(cause) => return Err(cause),
            }
        }
        found.insert(id);
        open.extend(parents(known, id));
        if MOST < found.len() {
            return Ok((found, false));
        }
    }
    Ok((found, whole))
}
