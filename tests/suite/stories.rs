//! Runs every story of `tests/stories`, each through the program itself. `UPDATE=1` rewrites what came out;
//! `STORY=word` plays only those whose path contains the word.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::support::world::folder;
use super::support::{golden, story};

/// Stories that are played side by side: most of the time each waits for the other side.
const SIDE_BY_SIDE: usize = 6;

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() { collect(&entry, files) } else { files.push(entry) }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_story_ends_as_it_is_told() {
    let mut files = Vec::new();
    collect(&folder("stories"), &mut files);
    assert!(files.len() >= 60, "there are only {} stories", files.len());
    let wanted = std::env::var("STORY").unwrap_or_default();
    let seats = Arc::new(Semaphore::new(SIDE_BY_SIDE));
    let mut playing = JoinSet::new();
    for file in files.into_iter().filter(|file| file.to_string_lossy().contains(&wanted)) {
        let seats = Arc::clone(&seats);
        playing.spawn(async move {
            let _seat = seats.acquire_owned().await.unwrap();
            let text = std::fs::read_to_string(&file).unwrap();
            let played = tokio::spawn({
                let text = text.clone();
                async move { story::play(&text).await }
            });
            (file, text, played.await)
        });
    }
    golden::all_end_as_told(playing).await;
}
