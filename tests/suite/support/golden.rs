//! Scenarios whose files say how they end: what was played is compared with what the file says.

use std::path::PathBuf;

use tokio::task::{JoinError, JoinSet};

/// A scenario that ended: its file, what stood there, and what was played.
pub type Ended = (PathBuf, String, Result<String, JoinError>);

/// Waits for all of them; fails with every difference. With `UPDATE` in the environment, files are written anew instead.
pub async fn all_end_as_told(mut playing: JoinSet<Ended>) {
    let mut wrong = Vec::new();
    while let Some(ended) = playing.join_next().await {
        let (file, text, played) = ended.unwrap();
        match played {
            Err(panic) => wrong.push(format!("{}: it broke off: {panic}", file.display())),
            Ok(played) if played == text => {}
            Ok(played) if std::env::var_os("UPDATE").is_some() => {
                std::fs::write(&file, played).unwrap();
            }
            Ok(played) => {
                let diff = similar::TextDiff::from_lines(&text, &played);
                wrong.push(format!("{}\n{}", file.display(), diff.unified_diff()));
            }
        }
    }
    wrong.sort();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n\n"));
}
