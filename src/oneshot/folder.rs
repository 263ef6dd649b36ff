//! A folder of this machine in place of a repository's commit: what it asks for, before anybody commits it.

use std::path::Path;
use std::sync::Arc;

use super::{OnceError, Seen, Wish, check_names, own_hosts, targets_of};
use crate::clock;
use crate::commit::{self, removed::retire};
use crate::daemon::{Setup, StartError};
use crate::data::folder::DataFolder;
use crate::git::{Git, Remote, Source};
use crate::model::{ManifestTree, RepositoryName, Revision};
use crate::outside::Outside;

/// The folder, as a commit of this repository. What left Git before is not told apart: a folder without a stack removes it
/// as a commit without it would.
///
/// # Errors
/// When its fleet file cannot be used, or a stack is asked for that it does not have.
pub async fn read_folder(
    setup: &Setup,
    wish: &Wish,
    (folder, tree): (&Path, ManifestTree),
    repository: &RepositoryName,
) -> Result<Vec<Seen>, OnceError> {
    let data = DataFolder::open(&setup.settings.data).map_err(StartError::from)?;
    let labels = setup.settings.host_labels();
    let outside = Arc::new(Outside::new(&setup.settings));
    let revision = Revision::none();
    let mut commit =
        commit::of_folder(tree, revision, (repository, &labels), &outside, clock::now()).await;
    super::hide_secrets_of(&commit);
    if let Some(problem) = super::refused(&commit) {
        return Err(OnceError::Fleet { problem, seen: None });
    }
    let targets = targets_of(setup, repository, &commit);
    retire(&mut commit, &data, repository, &targets, &own_hosts(setup))
        .map_err(StartError::from)?;
    let remote = Remote::parse(&folder.to_string_lossy(), Path::new("/"))
        .map_err(|source| StartError::Remote { name: repository.clone(), source })?;
    let seen = vec![Seen {
        repository: repository.clone(),
        commit: Arc::new(commit),
        git: Arc::new(Git::new(&data.git())),
        source: Source::new(remote),
    }];
    check_names(wish, &seen)?;
    Ok(seen)
}
