//! Watches over the data folder while the daemon runs: what is removed comes back, what cannot be written is said, and a
//! second daemon never works beside this one.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::data::folder::{DaemonLock, DataError, DataFolder};
use crate::model::chain;

/// How often the folder is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Holds the daemon's lock until `stop`.
///
/// # Errors
/// `Taken` when the folder was removed, and another daemon has the one that stands in its place.
pub(super) async fn keep(
    data: DataFolder,
    mut lock: DaemonLock,
    stop: &CancellationToken,
) -> Result<(), DataError> {
    let mut trouble: Option<String> = None;
    while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
        let looked = look(&data, &mut lock).await;
        match (looked, &trouble) {
            (Ok(()), None) => {}
            (Ok(()), Some(_)) => {
                trouble = None;
                tracing::info!(folder = %data.root().display(), "the data folder can be used again");
            }
            (Err(error @ DataError::Taken { .. }), _) => return Err(error),
            (Err(error), before) => {
                let said = chain::in_full(&error);
                if before.as_ref() != Some(&said) {
                    tracing::error!(
                        "{said}; services are kept all the same, and nothing new is remembered"
                    );
                    trouble = Some(said);
                }
            }
        }
    }
    Ok(())
}

async fn look(data: &DataFolder, lock: &mut DaemonLock) -> Result<(), DataError> {
    if !data.is_locked_by(lock) {
        tracing::warn!(folder = %data.root().display(), "the data folder was removed or replaced; it is made anew");
        data.heal()?;
        *lock = super::only_daemon(data).await?;
    }
    data.heal()
}
