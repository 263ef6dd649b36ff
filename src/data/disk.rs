//! The disk, from threads on which others wait.
//!
//! Loops of the daemon share a few threads. A slow disk (a full SD card, a network folder) would hold up every loop whose
//! turn is on that thread: so each call of this room steps aside first.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use tokio::runtime::{Handle, RuntimeFlavor};

/// Does something at the disk. On a thread of the daemon's, what waits there is taken over by another one meanwhile.
///
/// It returns when it is done, as any call does: nothing is decided before what was written is there.
pub(crate) fn at_the_disk<T>(work: impl FnOnce() -> T) -> T {
    let is_shared = Handle::try_current()
        .is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread);
    if is_shared { tokio::task::block_in_place(work) } else { work() }
}

/// The text of a file; `None` where there is none that can be read.
pub(crate) fn text_of(file: &Path) -> Option<String> {
    at_the_disk(|| fs::read_to_string(file).ok())
}

/// Writes a file so that a reader sees the old one or the new one, whole.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    at_the_disk(|| write_at_once(path, bytes))
}

fn write_at_once(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let passing = path.with_extension("next");
    let mut file = File::create(&passing)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(passing, path)?;
    // The name outlives a loss of power only with its folder.
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use tokio::task::JoinSet;

    use super::at_the_disk;

    #[test]
    fn whoever_shares_the_only_thread_goes_on_while_the_disk_is_slow() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let (tell, heard) = mpsc::channel();
        runtime.block_on(async {
            // Both are tasks of the one thread there is: the first ends only when the second had its turn.
            let mut tasks = JoinSet::new();
            let wait = move || heard.recv_timeout(Duration::from_mins(1)).is_ok();
            tasks.spawn(async move { at_the_disk(wait) });
            tasks.spawn(async move { tell.send(()).is_ok() });
            assert!(tasks.join_all().await.into_iter().all(|done| done));
        });
    }

    #[test]
    fn without_a_runtime_it_is_a_plain_call() {
        assert_eq!(at_the_disk(|| 7), 7);
    }
}
