//! What was posted and what is not yet: the entries of the book, as they are kept in a file.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::letter::{Letter, LetterKey};
use crate::model::{CommitState, Digest, Timestamp};

/// What is known of the last write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Posted {
    /// Of what was written; `None` when it was someone else's or another time's words.
    pub(super) digest: Option<Digest>,
    /// Its state, for statuses.
    pub(super) state: Option<CommitState>,
    /// When.
    pub(super) at: Timestamp,
    /// The comment's id.
    pub(super) id: Option<u64>,
}

/// One key's entry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// What is still to be said.
    pub(super) wanted: Option<Letter>,
    /// Since when.
    pub(super) since: Timestamp,
    /// What was said.
    pub(super) posted: Option<Posted>,
    /// How often something was written.
    pub(super) writes: u32,
    /// Tries of the wanted letter that failed.
    pub(super) attempts: u32,
    /// Not before this.
    pub(super) not_before: Timestamp,
    /// The digest of what the forge did not take: it rests, and is tried again at long intervals, or not at all.
    pub(super) refused: Option<Digest>,
    /// Whether a write may have happened that no answer came for.
    pub(super) doubtful: bool,
}

/// The file's form.
#[derive(Serialize, Deserialize)]
struct Page {
    version: u32,
    entries: Vec<(LetterKey, Entry)>,
}

/// The form of the file that this program writes.
const VERSION: u32 = 1;
/// Entries that are kept; the oldest that are settled go first.
const MOST: usize = 2000;
/// What could not be said for so long is not worth saying.
const STALE: Duration = Duration::from_hours(7 * 24);

/// The entries as text.
pub(super) fn write(entries: &BTreeMap<LetterKey, Entry>) -> String {
    let entries = entries.iter().map(|(key, entry)| (key.clone(), entry.clone())).collect();
    serde_json::to_string(&Page { version: VERSION, entries }).unwrap_or_default()
}

/// The entries of a text; `None` when it is not such a text.
pub(super) fn read(text: &str) -> Option<BTreeMap<LetterKey, Entry>> {
    let page: Page = serde_json::from_str(text).ok()?;
    (page.version == VERSION).then(|| page.entries.into_iter().collect())
}

/// Drops what is too old or too much.
pub(super) fn prune(entries: &mut BTreeMap<LetterKey, Entry>, now: Timestamp) {
    for entry in entries.values_mut() {
        if entry.wanted.is_some() && STALE < now.since(entry.since) {
            entry.wanted = None;
        }
    }
    while MOST < entries.len() {
        let touched = |entry: &Entry| entry.posted.as_ref().map_or(entry.since, |posted| posted.at);
        let oldest = entries
            .iter()
            .min_by_key(|(_, entry)| (entry.wanted.is_some(), touched(entry)))
            .map(|(key, _)| key.clone());
        match oldest {
            Some(key) => entries.remove(&key),
            None => return,
        };
    }
}
