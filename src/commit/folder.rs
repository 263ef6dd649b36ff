//! A folder that was not committed yet, loaded as if it were a commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Commit, beside, fleet_of, loading};
use crate::config::fleet_file::Stack;
use crate::config::settings::Labels;
use crate::fleet::placement;
use crate::git::CommitFacts;
use crate::model::{
    Diagnostic, HostName, Location, ManifestTree, RepositoryName, Revision, Timestamp, TreePath,
};
use crate::outside::Outside;

/// Rounds of reading outside the folder: a file there names no others.
const ROUNDS: usize = 2;

/// Loads what a folder holds as a commit of this revision would. `now` is taken for the commit's time.
pub async fn of_folder(
    tree: ManifestTree,
    revision: Revision,
    (repository, hosts): (&RepositoryName, &BTreeMap<HostName, Labels>),
    outside: &Arc<Outside>,
    now: Timestamp,
) -> Commit {
    let state = outside.state_now().await;
    let tree = tree.at(now);
    let (fleet, mut problems) = fleet_of(repository, hosts, &tree);
    let top = TreePath::default();
    let left_out = tree.left_out_below(&top);
    problems.0.extend(left_out.map(|(path, why)| {
        Diagnostic::warning(Location::file(path.to_string()), format!("left out: {why}"))
    }));
    let due: Arc<[Stack]> = fleet.iter().flat_map(|fleet| fleet.stacks.values()).cloned().collect();
    let facts =
        CommitFacts { author: String::new(), subject: "(not committed)".to_owned(), time: now };
    let mut commit = Commit::unread((revision, facts), fleet, problems, state);
    let mut asked = BTreeSet::new();
    for _ in 0..ROUNDS {
        let given = Arc::new(loading::given(outside, &asked).await);
        let mut lacks_outside = BTreeSet::new();
        for (mut loaded, lacks) in loading::aside(&due, &tree, &given).await {
            loaded.spreads = loaded.stack.hosts.select(hosts).len() > 1
                && loaded.project.as_ref().is_some_and(placement::is_asked);
            lacks_outside.extend(lacks.outside);
            commit.stacks.insert(loaded.stack.name.clone(), Arc::new(loaded));
        }
        lacks_outside.retain(|path| !asked.contains(path));
        if lacks_outside.is_empty() {
            break;
        }
        asked.extend(lacks_outside);
    }
    beside::see_whole(&mut commit, hosts);
    commit
}
