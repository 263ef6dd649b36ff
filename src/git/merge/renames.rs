//! What one side moved elsewhere, as Git's own merging finds it: the same content first, then a file of the same name
//! that is the only one of it, then whatever is alike for the most part.

use std::collections::{BTreeMap, BTreeSet};

/// Of 100: what is less alike was not moved.
const ALIKE: u64 = 50;
/// The same for the only file of its name.
const ALIKE_BY_NAME: u64 = 75;
/// Pairs that are compared at most; beyond them only the same content is found.
const MOST_PAIRS: usize = 250_000;
/// Bytes of a piece that is compared as a whole, unless its line ends before.
const PIECE: usize = 64;

/// One file: where it is, and the id of its content.
pub(super) type Files<I> = BTreeMap<String, I>;

/// From where to where.
pub(super) type Renames = BTreeMap<String, String>;

/// The same content elsewhere; where there are several, the same file name is preferred.
pub(super) fn exact<I: Ord + Copy>(gone: &Files<I>, made: &Files<I>) -> Renames {
    let mut places: BTreeMap<I, BTreeSet<&String>> = BTreeMap::new();
    for (path, id) in made {
        places.entry(*id).or_default().insert(path);
    }
    let mut found = Renames::new();
    for by_name in [true, false] {
        for (path, id) in gone {
            let Some(free) = places.get_mut(id).filter(|_| !found.contains_key(path)) else {
                continue;
            };
            let same_name = |to: &&&String| !by_name || name(to) == name(path);
            let Some(to) = free.iter().find(same_name).copied() else { continue };
            free.remove(to);
            found.insert(path.clone(), to.clone());
        }
    }
    found
}

/// Whether so many files may be compared with each other.
pub(super) fn is_comparable(gone: usize, made: usize) -> bool {
    0 < gone && 0 < made && gone.saturating_mul(made) <= MOST_PAIRS
}

/// What is alike elsewhere. Files whose content is not told (too large) are alike to none.
pub(super) fn alike<'c>(
    gone: &BTreeSet<String>,
    made: &BTreeSet<String>,
    content: impl Fn(&str) -> Option<&'c [u8]>,
) -> Renames {
    let mut files: BTreeMap<&String, Pieces> = BTreeMap::new();
    for path in gone.iter().chain(made) {
        if let Some(bytes) = content(path) {
            files.insert(path, Pieces::of(bytes));
        }
    }
    let score = |from: &String, to: &String| match (files.get(from), files.get(to)) {
        (Some(from), Some(to)) => from.likeness(to),
        _ => 0,
    };
    let mut found = Renames::new();
    let mut taken: BTreeSet<&String> = BTreeSet::new();
    for (from, to) in only_ones(gone, made) {
        if ALIKE_BY_NAME <= score(from, to) {
            taken.insert(to);
            found.insert(from.clone(), to.clone());
        }
    }
    let mut pairs: Vec<(u64, bool, &String, &String)> = Vec::new();
    for from in gone.iter().filter(|from| !found.contains_key(*from)) {
        for to in made.iter().filter(|to| !taken.contains(*to)) {
            let alike = score(from, to);
            if ALIKE <= alike {
                pairs.push((alike, name(from) == name(to), from, to));
            }
        }
    }
    // The best first; of equals the one whose name stayed, then the first by name.
    pairs.sort_by(|one, other| {
        (other.0, other.1, one.2, one.3).cmp(&(one.0, one.1, other.2, other.3))
    });
    for (_, _, from, to) in pairs {
        if !found.contains_key(from) && taken.insert(to) {
            found.insert(from.clone(), to.clone());
        }
    }
    found
}

/// Pairs of files that are the only ones of their name on either side.
fn only_ones<'p>(
    gone: &'p BTreeSet<String>,
    made: &'p BTreeSet<String>,
) -> Vec<(&'p String, &'p String)> {
    let (from, to) = (by_name(gone), by_name(made));
    let pairs = from.iter().filter_map(|(name, paths)| match (paths.as_slice(), to.get(name)) {
        ([from], Some(paths)) => match paths.as_slice() {
            [to] => Some((*from, *to)),
            _ => None,
        },
        _ => None,
    });
    pairs.collect()
}

fn by_name(paths: &BTreeSet<String>) -> BTreeMap<&str, Vec<&String>> {
    let mut names: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
    for path in paths {
        names.entry(name(path)).or_default().push(path);
    }
    names
}

fn name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// A file as its lines: how many bytes of each it holds.
struct Pieces {
    bytes: u64,
    counts: BTreeMap<Vec<u8>, u64>,
}

impl Pieces {
    fn of(content: &[u8]) -> Self {
        let mut counts: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        let mut piece = Vec::new();
        for byte in content {
            piece.push(*byte);
            if *byte == b'\n' || PIECE <= piece.len() {
                count(&mut counts, std::mem::take(&mut piece));
            }
        }
        if !piece.is_empty() {
            count(&mut counts, piece);
        }
        Self { bytes: length(content), counts }
    }

    /// Of 100: how much of the larger one is in both.
    fn likeness(&self, other: &Self) -> u64 {
        let larger = self.bytes.max(other.bytes);
        if larger == 0 {
            return 0;
        }
        let shared: u64 = self
            .counts
            .iter()
            .map(|(piece, bytes)| other.counts.get(piece).map_or(0, |there| (*bytes).min(*there)))
            .sum();
        shared.saturating_mul(100) / larger
    }
}

fn count(counts: &mut BTreeMap<Vec<u8>, u64>, piece: Vec<u8>) {
    let bytes = length(&piece);
    *counts.entry(piece).or_default() += bytes;
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files<'t>(names: &[&'t str]) -> (BTreeSet<String>, Vec<&'t str>) {
        (names.iter().map(|name| (*name).to_owned()).collect(), names.to_vec())
    }

    #[test]
    fn the_same_content_is_found_by_its_name_first() {
        let of = |pairs: &[(&str, u8)]| -> Files<u8> {
            pairs.iter().map(|(path, id)| ((*path).to_owned(), *id)).collect()
        };
        let gone = of(&[("a/compose.yaml", 1), ("b/other.yaml", 1), ("c/x", 2)]);
        let made = of(&[("new/other.yaml", 1), ("z/compose.yaml", 1), ("c/y", 3)]);
        let found = exact(&gone, &made);
        assert_eq!(found["a/compose.yaml"], "z/compose.yaml");
        assert_eq!(found["b/other.yaml"], "new/other.yaml");
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn half_of_the_lines_are_enough_and_the_best_fit_wins() {
        let (gone, _) = files(&["a/one", "a/two"]);
        let (made, _) = files(&["b/best", "b/good", "b/none"]);
        let text = |path: &str| -> Option<&'static [u8]> {
            Some(match path {
                "a/one" => b"1\n2\n3\n4\n",
                "a/two" => b"5\n6\n7\n8\n",
                "b/best" => b"1\n2\n3\nx\n",
                "b/good" => b"1\n2\nx\ny\n",
                _ => b"5\nx\ny\nz\n",
            })
        };
        let found = alike(&gone, &made, text);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [("a/one".into(), "b/best".into())]);
    }
}
