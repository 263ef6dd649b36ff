//! Help for messages.

use super::Entry;
use crate::model::Diagnostic;

/// Names that a word is compared with: a slip in a model of more is told without advice.
const MOST_NAMES: usize = 1_000;

/// The known name that is nearest to a word, if one is near enough to be a likely slip.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    let word = word.to_lowercase();
    known
        .into_iter()
        .take(MOST_NAMES)
        .map(|name| (distance(&word, name, allowed), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, name)| name)
}

/// Edits between two words (a swap of neighbours is one); more than `most` when they are further apart.
fn distance(a: &str, b: &str, most: usize) -> usize {
    let (a, b): (Vec<char>, Vec<char>) =
        (a.chars().take(64).collect(), b.chars().take(64).collect());
    if a.len().abs_diff(b.len()) > most {
        return most + 1;
    }
    let at = |row: &[usize], place: usize| row.get(place).copied().unwrap_or(usize::MAX / 2);
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (at(&above, j) + usize::from(x != y))
                .min(at(&above, j + 1) + 1)
                .min(at(&row, j) + 1);
            let swapped =
                i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x) && x != y;
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        // No way through a row gets shorter below it.
        if row.iter().chain(&above).all(|edits| *edits > most) {
            return most + 1;
        }
        before = std::mem::replace(&mut above, row);
    }
    at(&above, b.len())
}

/// The error for a key that nobody knows, with the nearest known one. `path` is the mapping's dotted path,
/// empty for the top level.
pub fn unknown_key<'a>(
    entry: &Entry,
    path: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Diagnostic {
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_unstable();
    let key = &entry.key;
    let full = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
    let problem =
        Diagnostic::error(entry.key_span.location(), format!("unknown attribute {key:?}")).at(full);
    match nearest(key, known.iter().copied()) {
        Some(near) => problem.help(format!("did you mean {near:?}?")),
        None if known.is_empty() => problem.help("remove it"),
        None if known.len() <= 12 => problem.help(format!("known here: {}", known.join(", "))),
        None => problem.help("remove it, or begin its name with x- if it is an extension"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered_only_when_it_is_near() {
        let known = ["image", "ports", "volumes"];
        assert_eq!(nearest("imgae", known), Some("image"));
        assert_eq!(nearest("port", known), Some("ports"));
        assert_eq!(nearest("Volumes", known), Some("volumes"));
        assert_eq!(nearest("healthcheck", known), None);
    }
}
