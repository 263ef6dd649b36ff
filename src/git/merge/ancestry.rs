//! The newest commits that others have in common, as far as history is here.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use git2::{Oid, Repository};

/// Commits of one side that are looked at.
const MOST: usize = 50_000;

/// What is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ancestry {
    /// These, none of which descends from another, the oldest first. More than one where histories cross.
    Common(Vec<Oid>),
    /// There is none.
    None,
    /// History is not here far enough to tell.
    Unknown,
}

/// A commit's parents and when it was made.
type Known = BTreeMap<Oid, (Vec<Oid>, i64)>;

/// What commits descend from, themselves included, as far as it is here.
struct Reach {
    found: BTreeSet<Oid>,
    /// Those among them of which a parent is not here, or was not looked at.
    cut: Vec<Oid>,
}

/// Finds what `other` has in common with `ones`, which are taken together for one side.
pub(super) fn nearest(
    repository: &Repository,
    ones: &[Oid],
    other: Oid,
) -> Result<Ancestry, git2::Error> {
    let mut known = Known::new();
    let ours = reachable(repository, ones, &mut known)?;
    let theirs = reachable(repository, &[other], &mut known)?;
    let common: BTreeSet<Oid> = ours.found.intersection(&theirs.found).copied().collect();
    let cuts: Vec<Oid> = ours.cut.into_iter().chain(theirs.cut).collect();
    if common.is_empty() {
        return Ok(if cuts.is_empty() { Ancestry::None } else { Ancestry::Unknown });
    }
    // Whatever another common one descends from is not the nearest.
    let mut passed = BTreeSet::new();
    let mut open: Vec<Oid> = common.iter().flat_map(|id| parents(&known, *id)).copied().collect();
    while let Some(id) = open.pop() {
        if passed.insert(id) {
            open.extend(parents(&known, id));
        }
    }
    let mut nearest: Vec<Oid> = common.difference(&passed).copied().collect();
    // Below a cut that is no ancestor of what was found, there may be another one. Of several that were found, one may
    // descend from the other by a way that is cut.
    let harmless = |id: &Oid| nearest.len() == 1 && (common.contains(id) || passed.contains(id));
    if nearest.is_empty() || !cuts.iter().all(harmless) {
        return Ok(Ancestry::Unknown);
    }
    let time = |id: &Oid| known.get(id).map_or(i64::MIN, |(_, time)| *time);
    nearest.sort_by_key(|id| (time(id), *id));
    Ok(Ancestry::Common(nearest))
}

fn parents(known: &Known, id: Oid) -> &[Oid] {
    known.get(&id).map_or(&[], |(parents, _)| parents.as_slice())
}

fn reachable(
    repository: &Repository,
    from: &[Oid],
    known: &mut Known,
) -> Result<Reach, git2::Error> {
    let mut reach = Reach { found: BTreeSet::new(), cut: Vec::new() };
    let mut open: Vec<(Oid, Option<Oid>)> = from.iter().map(|id| (*id, None)).collect();
    while let Some((id, child)) = open.pop() {
        if reach.found.contains(&id) {
            continue;
        }
        let is_here = MOST > reach.found.len() && look(repository, id, known)?;
        if is_here {
            reach.found.insert(id);
            open.extend(parents(known, id).iter().map(|parent| (*parent, Some(id))));
        } else {
            // What is itself not here is a cut of its own.
            reach.cut.push(child.unwrap_or(id));
        }
    }
    Ok(reach)
}

/// Reads a commit, unless it is known; whether it is here.
fn look(repository: &Repository, id: Oid, known: &mut Known) -> Result<bool, git2::Error> {
    let Entry::Vacant(entry) = known.entry(id) else { return Ok(true) };
    match repository.find_commit(id) {
        Ok(commit) => {
            entry.insert((commit.parent_ids().collect(), commit.time().seconds()));
            Ok(true)
        }
        Err(cause) if cause.code() == git2::ErrorCode::NotFound => Ok(false),
        Err(cause) => Err(cause),
    }
}
