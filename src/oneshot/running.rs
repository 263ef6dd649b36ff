//! What runs, by what was kept and by what containers say of themselves: for when no commit tells what should.

use std::collections::{BTreeMap, BTreeSet};

use tokio_util::sync::CancellationToken;

use crate::daemon::{Setup, StartError};
use crate::data::folder::DataFolder;
use crate::docker::FoundContainer;
use crate::model::{HostName, StackName};
use crate::reconcile::host::failure_of;

/// A stack of a host, and what is seen of it there.
#[derive(Debug)]
pub struct Running {
    /// The stack.
    pub stack: StackName,
    /// The host.
    pub host: HostName,
    /// Its containers by name, or why nothing can be seen.
    pub seen: Result<Vec<FoundContainer>, String>,
}

/// Looks at everything that was ever kept and not given up, and at what else carries our labels: after the data folder was
/// lost they alone tell. Nothing is changed. A host that cannot be seen stands for each stack that was kept on it.
///
/// # Errors
/// The settings or the data folder cannot be used.
pub async fn running(setup: &Setup, stop: &CancellationToken) -> Result<Vec<Running>, StartError> {
    let data = DataFolder::open(&setup.settings.data)?;
    let engines = Box::pin(super::connect(setup)).await?;
    let mut kept: BTreeMap<HostName, BTreeSet<StackName>> = BTreeMap::new();
    for repository in setup.settings.repositories.keys() {
        for one in data.kept(repository)? {
            kept.entry(one.target.host).or_default().insert(one.target.stack);
        }
    }
    let mut all = Vec::new();
    for (host, engine) in engines {
        let kept = kept.remove(&host).unwrap_or_default();
        let found = match engine {
            Err(failure) => Err(failure.message),
            Ok(engine) => match stop.run_until_cancelled(engine.found_containers()).await {
                None => return Ok(all),
                Some(found) => found.map_err(|error| failure_of(&error).message),
            },
        };
        all.extend(of_host(&host, kept, found));
    }
    all.sort_by(|one, other| (&one.stack, &one.host).cmp(&(&other.stack, &other.host)));
    Ok(all)
}

fn of_host(
    host: &HostName,
    kept: BTreeSet<StackName>,
    found: Result<Vec<FoundContainer>, String>,
) -> Vec<Running> {
    let of = |(stack, seen)| Running { stack, host: host.clone(), seen };
    let found = match found {
        Ok(found) => found,
        Err(why) => return kept.into_iter().map(|stack| of((stack, Err(why.clone())))).collect(),
    };
    let mut stacks: BTreeMap<StackName, Vec<FoundContainer>> =
        kept.into_iter().map(|stack| (stack, Vec::new())).collect();
    for container in found {
        let label = container.stack.as_deref().or(container.project.as_deref());
        let Some(stack) = label.and_then(|text| StackName::parse(text).ok()) else { continue };
        if container.stack.is_some() || stacks.contains_key(&stack) {
            stacks.entry(stack).or_default().push(container);
        }
    }
    stacks.into_iter().map(|(stack, seen)| of((stack, Ok(seen)))).collect()
}
