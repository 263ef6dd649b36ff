//! What runs, by what was kept: for when no commit tells what should.

use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::daemon::{Setup, StartError};
use crate::data::folder::DataFolder;
use crate::docker::{Depth, Scope};
use crate::model::{HostName, Observed, StackName};
use crate::reconcile::host::failure_of;

/// A stack that was kept on a host, and what is seen of it there.
#[derive(Debug)]
pub struct Running {
    /// The stack.
    pub stack: StackName,
    /// The host.
    pub host: HostName,
    /// What is there, or why nothing can be seen.
    pub seen: Result<Observed, String>,
}

/// Looks at everything that was ever kept and not given up. Nothing is changed.
///
/// # Errors
/// The settings or the data folder cannot be used.
pub async fn running(setup: &Setup, stop: &CancellationToken) -> Result<Vec<Running>, StartError> {
    let data = DataFolder::open(&setup.settings.data)?;
    let engines = Box::pin(super::connect(setup)).await?;
    let mut all = Vec::new();
    for repository in setup.settings.repositories.keys() {
        for kept in data.kept(repository)? {
            let (stack, host) = (kept.target.stack, kept.target.host);
            let seen = match engines.get(&host) {
                None => continue,
                Some(Err(failure)) => Err(failure.message.clone()),
                Some(Ok(engine)) => {
                    let scope = Scope::new(stack.clone(), repository.clone());
                    let look = engine.observe(&scope, Depth::Changed, clock::now());
                    match stop.run_until_cancelled(look).await {
                        None => return Ok(all),
                        Some(seen) => seen.map_err(|error| failure_of(&error).message),
                    }
                }
            };
            all.push(Running { stack, host, seen });
        }
    }
    Ok(all)
}
