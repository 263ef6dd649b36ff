//! A Compose project in the shape of the Engine's resources.
//!
//! In comes a [`Project`] with the files of its commit; out comes [`Desired`]: the exact payload of every container,
//! network and volume that `docker compose up` would make, plus what Git adds: files by content, builds, jobs, update
//! policy. What the Engine or Moorline cannot honour becomes a diagnostic with its place, never silence, except where
//! the reference implementation drops it too.

mod before;
mod build;
mod container;
mod desk;
mod files;
mod limits;
mod mounts;
mod network;
mod payload;
mod service;
mod shelf;
mod unsupported;

use std::sync::Arc;

use crate::model::{
    Desired, Diagnostics, EngineFacts, ManifestTree, Neighbourhood, Project, RepositoryName,
    Revision, StackFolder, StackName, StartEmpty, TreePath,
};

pub use self::before::jobs;
use self::desk::Desk;
pub use self::payload::sealed;
pub use self::shelf::Shelf;

/// Default folder on the host for files from Git and for state.
pub const HOST_DATA: &str = "/var/lib/moorline";

/// What desired state is made of.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The project.
    pub project: &'a Project,
    /// The folder of the tree that [`Project::root`] stands for.
    pub folder: &'a TreePath,
    /// The files of the commit.
    pub tree: &'a ManifestTree,
    /// The stack.
    pub stack: &'a StackName,
    /// The repository.
    pub repository: &'a RepositoryName,
    /// The commit.
    pub revision: &'a Revision,
    /// The manifest's files, for the label that tells them.
    pub config_files: &'a [String],
    /// Absolute folder on the host for files from Git (`files/`) and for state (`state/`).
    pub host_data: &'a str,
    /// The stack's own folder on the host, where the fleet file says it: for relative paths that are not in Git.
    pub directory: Option<&'a str>,
    /// What the Engine can do. Its id also keys the digests of secrets.
    pub engine: &'a EngineFacts,
    /// Replicas are spread over hosts: what one host can have only once is no problem then.
    pub spreads: bool,
    /// What becomes of relative paths.
    pub paths: RelativePaths,
}

/// What becomes of binds, configs and secrets with a path relative to the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelativePaths {
    /// Files come from Git by content, the rest is state under the host's data folder.
    FromGit,
    /// They stay as the model has them: for comparing with what docker compose would send.
    AsWritten,
}

/// Makes desired state of a project. With an error among the diagnostics it must not be acted on.
pub fn make(input: Input<'_>) -> (Desired, Diagnostics) {
    let mut desk = Desk::new(input);
    let networks = network::networks(&mut desk);
    let volumes = mounts::volumes(&mut desk);
    let services = service::services(&mut desk);
    unsupported::warn(&mut desk);
    // Said once, at the end: which service was the last straw says nothing about which is too large.
    if let Some(over) = desk.budget.over() {
        let help = "divide it into several stacks, or mount and build from smaller folders";
        desk.refuse("services", format!("the services of this stack ask for {over}"), help);
    }
    let Desk { bundles, seals, problems, .. } = desk;
    let desired = Desired {
        stack: input.stack.clone(),
        project: input.project.name.clone(),
        start_empty: start_empty(input.project),
        known: Arc::default(),
        folder: StackFolder::of(input.stack, input.host_data, input.directory),
        neighbours: Neighbourhood::default(),
        repository: input.repository.clone(),
        revision: input.revision.clone(),
        services,
        networks,
        volumes,
        bundles,
        bundles_folder: files::bundles_folder(&input),
        seals,
    };
    (desired, Diagnostics(problems))
}

/// `x-moorline: {start_empty: [data]}` at the top of a Compose file; `true` for all of it.
fn start_empty(project: &Project) -> StartEmpty {
    let ours = project.extensions.get("x-moorline");
    let said = ours.and_then(|ours| ours.get("start_empty"));
    // A word of the manifest and not of an operator, because it is reviewed with the change that makes the volume new.
    if said.is_some_and(|said| said.as_bool() == Some(true)) {
        return StartEmpty::All;
    }
    let keys = said.and_then(|keys| keys.as_array());
    let texts = keys.into_iter().flatten().filter_map(|key| key.as_str().map(str::to_owned));
    StartEmpty::Only(texts.collect())
}
