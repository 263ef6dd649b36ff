//! Fetching what lacks until the selected files can be read.

use std::collections::BTreeSet;
use std::sync::Arc;

use git2::Oid;
use tokio::sync::mpsc;

use crate::model::Revision;

use super::error::GitError;
use super::local::LocalRepository;
use super::references::{branch_reference, local_reference, no_reference, revision};
use super::source::{Pulled, Source, Traffic, TreeSelection, Wanted};
use super::store::{Line, Store};
use super::tree::{Complete, Missing, Reading, Survey, survey};
use super::wire::{self, Connection, Filter, Greeting, Question, RemoteRef, Service};
use super::{Git, Side, blocking};

/// Questions until a tree must be complete: one a level of folders, and a few around.
const ROUNDS: usize = 160;
/// Pieces of a pack that wait for the disk.
const PIECES: usize = 16;
/// Packs are compressed; a little more than the files' own limit is allowed for what comes with them.
const PACK_OVERHEAD: u64 = 16 << 20;

/// The selected files of what is wanted.
pub(super) async fn pull(
    git: &Git,
    source: &Source,
    wanted: &Wanted,
    selection: &TreeSelection,
) -> Result<Pulled, GitError> {
    if let Some(path) = source.remote.local_path() {
        let (path, source, wanted, selection) =
            (path.to_owned(), source.clone(), wanted.clone(), selection.clone());
        return blocking(move || pull_local(&path, &source, &wanted, &selection)).await;
    }
    let mut session = Session::new(git, source);
    let pulled = pull_remote(git, source, (wanted, selection), &mut session).await;
    let traffic = session.close().await;
    pulled.map(|pulled| Pulled { traffic, ..pulled })
}

fn pull_local(
    path: &std::path::Path,
    source: &Source,
    wanted: &Wanted,
    selection: &TreeSelection,
) -> Result<Pulled, GitError> {
    let local = LocalRepository::find(path)?;
    let revision = match wanted {
        Wanted::Revision(revision) => revision.clone(),
        Wanted::Head => local_reference(&local, source, &branch_reference(source))?,
        Wanted::Reference(name) => local_reference(&local, source, name)?,
    };
    let reading = reading(source, &revision, selection);
    let found = survey(&local.open()?, &reading).map_err(|cause| local.unreadable(cause))?;
    match found {
        Survey::Complete(complete) => Ok(pulled(revision, *complete)),
        Survey::Missing(missing) if missing.commit => Err(no_revision(source, &revision)),
        Survey::Missing(_) => Err(incomplete(source, &revision)),
        Survey::NoPath => Err(no_path(source, revision)),
        Survey::NoCommit => Err(no_revision(source, &revision)),
        Survey::TooLarge(what, most) => Err(too_large(source, what, most)),
    }
}

async fn pull_remote(
    git: &Git,
    source: &Source,
    (wanted, selection): (&Wanted, &TreeSelection),
    session: &mut Session<'_>,
) -> Result<Pulled, GitError> {
    let revision = match wanted {
        Wanted::Revision(revision) => revision.clone(),
        Wanted::Head => session.reference(&branch_reference(source)).await?,
        Wanted::Reference(name) => session.reference(name).await?,
    };
    let mut reading = reading(source, &revision, selection);
    let (store, _turn) = git.store(source).await?;
    let first = match blocking_survey(&store, &reading).await {
        Ok(Survey::Missing(_)) if store.is_crowded() => {
            return pull_anew(session, &store, &mut reading).await;
        }
        Ok(first) => pull_further(session, &store, &mut reading, first).await,
        Err(cause) => Err(cause),
    };
    match first {
        Err(GitError::Damaged { source: cause, .. }) => {
            tracing::warn!(remote = %source.remote, %cause, "the clone is damaged, and is made anew");
            pull_anew(session, &store, &mut reading).await
        }
        other => other,
    }
}

/// Pulls into a new clone, which then takes the place of the old one.
async fn pull_anew(
    session: &mut Session<'_>,
    store: &Store,
    reading: &mut Reading,
) -> Result<Pulled, GitError> {
    reading.left_out.clear();
    let own = store.clone();
    let fresh = blocking(move || own.fresh()).await?;
    let pulled = pull_into(session, &fresh, reading).await?;
    let own = store.clone();
    blocking(move || own.replace_with(&fresh)).await?;
    Ok(pulled)
}

pub(super) async fn pull_into(
    session: &mut Session<'_>,
    store: &Store,
    reading: &mut Reading,
) -> Result<Pulled, GitError> {
    let first = blocking_survey(store, reading).await?;
    pull_further(session, store, reading, first).await
}

/// Fetches what a first survey found missing, and what the next ones do, until nothing lacks.
async fn pull_further(
    session: &mut Session<'_>,
    store: &Store,
    reading: &mut Reading,
    mut survey: Survey,
) -> Result<Pulled, GitError> {
    let source = session.source;
    let was_empty = store.is_empty();
    let mut fetching = Fetching { was_empty, whole: 0 };
    for _ in 0..ROUNDS {
        match survey {
            Survey::Complete(complete) => return Ok(pulled(reading.revision.clone(), *complete)),
            Survey::NoPath => return Err(no_path(source, reading.revision.clone())),
            Survey::NoCommit => return Err(no_revision(source, &reading.revision)),
            Survey::TooLarge(what, most) => return Err(too_large(source, what, most)),
            Survey::Missing(missing) => {
                fetch_missing(session, store, (reading, &missing), &mut fetching).await?;
                survey = blocking_survey(store, reading).await?;
            }
        }
    }
    Err(incomplete(source, &reading.revision))
}

async fn blocking_survey(store: &Store, reading: &Reading) -> Result<Survey, GitError> {
    let (store, reading) = (store.clone(), reading.clone());
    blocking(move || {
        store.prepare()?;
        survey(&store.open()?, &reading).map_err(|cause| store.damaged(cause))
    })
    .await
}

/// What one pull has tried so far.
struct Fetching {
    was_empty: bool,
    /// How often the commit was asked for with all its files.
    whole: u32,
}

/// One question for the objects that stand in the way.
async fn fetch_missing(
    session: &mut Session<'_>,
    store: &Store,
    (reading, missing): (&mut Reading, &Missing),
    fetching: &mut Fetching,
) -> Result<(), GitError> {
    let filter = session.filter(Filter::NoTrees).await?;
    if missing.commit {
        return fetch_commit(session, store, reading, fetching).await;
    }
    if filter == Filter::Everything && !session.any_object().await? {
        // Only what a reference names can be had: the commit again, with all that belongs to it.
        return fetch_whole(session, store, (reading, None), fetching).await;
    }
    if !missing.trees.is_empty() {
        return fetch_objects(session, store, (&missing.trees, filter)).await;
    }
    if !missing.whole_trees.is_empty() {
        // All below at once the first time; later only what changed, level by level.
        let wish = if fetching.was_empty { Filter::NoBlobs } else { Filter::NoTrees };
        let filter = session.filter(wish).await?;
        return fetch_objects(session, store, (&missing.whole_trees, filter)).await;
    }
    fetch_blobs(session, store, reading, missing).await
}

async fn fetch_commit(
    session: &mut Session<'_>,
    store: &Store,
    reading: &Reading,
    fetching: &mut Fetching,
) -> Result<(), GitError> {
    let everything = !reading.selection.names.is_empty()
        || reading.selection.paths.contains(&crate::model::TreePath::default());
    let from_root = reading.path.as_str().is_empty();
    let wish = if fetching.was_empty && everything && from_root {
        Filter::NoBlobs
    } else {
        Filter::NoTrees
    };
    let filter = session.filter(wish).await?;
    if filter == Filter::Everything {
        let (own, line) = (store.clone(), reading.line);
        let have = blocking(move || Ok(own.whole(line))).await?.filter(|_| fetching.whole == 0);
        return fetch_whole(session, store, (reading, have), fetching).await;
    }
    let question = Question {
        wants: vec![reading.revision.to_string()],
        have: None,
        depth: Some(1),
        filter,
        most_bytes: u64::MAX,
    };
    fetch_into(session, store, &question).await
}

/// The commit with all its files: what a server can do that leaves nothing out.
async fn fetch_whole(
    session: &mut Session<'_>,
    store: &Store,
    (reading, have): (&Reading, Option<String>),
    fetching: &mut Fetching,
) -> Result<(), GitError> {
    let revision = &reading.revision;
    fetching.whole += 1;
    // The first time we say what we have; if that turned out not to be true, once more without.
    if fetching.whole > 2 {
        return Err(incomplete(session.source, revision));
    }
    let question = Question {
        wants: vec![revision.to_string()],
        have,
        depth: Some(1),
        filter: Filter::Everything,
        most_bytes: u64::MAX,
    };
    fetch_into(session, store, &question).await?;
    let (store, line, commit) = (store.clone(), reading.line, revision.to_string());
    blocking(move || store.set_whole(line, &commit)).await
}

async fn fetch_objects(
    session: &mut Session<'_>,
    store: &Store,
    (wants, filter): (&BTreeSet<Oid>, Filter),
) -> Result<(), GitError> {
    let wants = wants.iter().map(ToString::to_string).collect();
    let question = Question { wants, have: None, depth: None, filter, most_bytes: u64::MAX };
    fetch_into(session, store, &question).await
}

/// The files themselves. Their sizes show only when they arrive: if that is too much, the server is asked for the
/// same folders without the large ones, and what then still lacks is left out with a diagnostic.
async fn fetch_blobs(
    session: &mut Session<'_>,
    store: &Store,
    reading: &mut Reading,
    missing: &Missing,
) -> Result<(), GitError> {
    let filter = session.filter(Filter::NoBlobs).await?;
    let most_bytes = match filter {
        Filter::Everything => u64::MAX,
        Filter::NoTrees | Filter::NoBlobs | Filter::BlobsBelow(_) => {
            reading.limits.tree_bytes.saturating_add(PACK_OVERHEAD)
        }
    };
    let wants = missing.blobs.iter().map(ToString::to_string).collect();
    let question = Question { wants, have: None, depth: None, filter, most_bytes };
    match fetch_into(session, store, &question).await {
        Err(GitError::TooLarge { most, .. }) if most == most_bytes => {}
        other => return other,
    }
    let limit = Filter::BlobsBelow(reading.limits.file_bytes.saturating_add(1));
    fetch_objects(session, store, (&missing.folders, limit)).await?;
    if let Survey::Missing(still) = blocking_survey(store, reading).await? {
        reading.left_out.extend(still.blobs);
    }
    Ok(())
}

/// Asks, and writes the pack into the clone as it arrives.
pub(super) async fn fetch_into(
    session: &mut Session<'_>,
    store: &Store,
    question: &Question,
) -> Result<(), GitError> {
    let (sender, pieces) = mpsc::channel(PIECES);
    let (own, remote) = (store.clone(), session.source.remote.to_string());
    let most = session.source.access.limits.pack_objects;
    let writer = blocking(move || own.write_pack(pieces, &remote, most));
    let (fetched, written) = tokio::join!(session.fetch(question, sender), writer);
    match fetched {
        Ok(()) => written,
        Err(cause) => session.note_failure(question, cause),
    }
}

/// One operation's conversation with a server: opened when it is first needed, and again after a failure.
pub(super) struct Session<'a> {
    source: &'a Source,
    side: Arc<Side>,
    open: Option<(Connection, Greeting)>,
    traffic: Traffic,
}

impl<'a> Session<'a> {
    /// Nothing is said yet.
    pub(super) fn new(git: &Git, source: &'a Source) -> Self {
        Self { source, side: git.side(source), open: None, traffic: Traffic::default() }
    }

    /// The repository that is spoken about.
    pub(super) fn source(&self) -> &'a Source {
        self.source
    }

    /// Ends it, and says what it cost.
    pub(super) async fn close(&mut self) -> Traffic {
        if let Some((connection, _)) = self.open.take() {
            self.add(connection.close().await);
        }
        self.traffic
    }

    /// The commit of a reference by its full name.
    pub(super) async fn reference(&mut self, name: &str) -> Result<Revision, GitError> {
        let found = self.references(&[name.to_owned()]).await?;
        if let Some(reference) = found.iter().find(|reference| reference.name == name)
            && reference.commit != "unborn"
        {
            return revision(self.source, &reference.commit);
        }
        // Which ones there are is told for help only.
        let branches = match self.references(&["refs/heads/".to_owned()]).await {
            Err(GitError::TooLarge { .. }) => {
                let remote = self.source.remote.to_string();
                let (branch, near) = (name.to_owned(), Vec::new());
                return Err(GitError::NoBranch { remote, branch, near });
            }
            other => other?,
        };
        Err(no_reference(self.source, name, &branches))
    }

    /// References whose names begin with one of these.
    pub(super) async fn references(
        &mut self,
        prefixes: &[String],
    ) -> Result<Vec<RemoteRef>, GitError> {
        let remembered = self.open.is_none() && self.side.memory.holds_greeting();
        match self.list(prefixes).await {
            // What we remember of the server may be out of date: it was replaced, or moved.
            Err(cause) if remembered && !is_final(&cause) => {
                tracing::debug!(%cause, "the server is not as remembered, and is asked anew");
                self.drop_connection();
                self.side.memory.forget();
                self.list(prefixes).await
            }
            other => other,
        }
    }

    async fn list(&mut self, prefixes: &[String]) -> Result<Vec<RemoteRef>, GitError> {
        let (connection, greeting) = self.connected().await?;
        wire::list(connection, greeting, prefixes).await
    }

    /// The filter that comes nearest to the wish.
    pub(super) async fn filter(&mut self, wish: Filter) -> Result<Filter, GitError> {
        let (_, greeting) = self.connected().await?;
        let filters = greeting.filters();
        Ok(if filters { self.side.filter(wish) } else { Filter::Everything })
    }

    async fn any_object(&mut self) -> Result<bool, GitError> {
        let (_, greeting) = self.connected().await?;
        Ok(matches!(greeting, Greeting::V2(_)))
    }

    async fn fetch(
        &mut self,
        question: &Question,
        sink: mpsc::Sender<bytes::Bytes>,
    ) -> Result<(), GitError> {
        let (connection, greeting) = self.connected().await?;
        wire::fetch(connection, greeting, question, sink).await
    }

    /// What a failed question means: a refused filter is asked again with another, everything else is passed on.
    fn note_failure(&mut self, question: &Question, cause: GitError) -> Result<(), GitError> {
        self.drop_connection();
        let GitError::ServerFailed { said, .. } = &cause else { return Err(cause) };
        if said.contains("filter") && question.filter != Filter::Everything {
            tracing::debug!(said, "the server refuses a filter");
            self.side.refuse_filter();
            return Ok(());
        }
        let unknown = said.contains("not our ref") || said.contains("unadvertised object");
        if unknown && question.depth.is_some() {
            let text = question.wants.first().cloned().unwrap_or_default();
            return Err(GitError::NoRevision { remote: self.source.remote.to_string(), text });
        }
        Err(cause)
    }

    async fn connected(&mut self) -> Result<&mut (Connection, Greeting), GitError> {
        if self.open.is_none() {
            let (remote, access) = (&self.source.remote, &self.source.access);
            let memory = &self.side.memory;
            let opened = Connection::open(remote, access, Service::UploadPack, memory).await?;
            return Ok(self.open.insert(opened));
        }
        self.open.as_mut().ok_or(GitError::Cancelled)
    }

    /// What is asked next is asked anew.
    pub(super) fn drop_connection(&mut self) {
        if let Some((connection, _)) = self.open.take() {
            self.add(connection.traffic());
        }
    }

    fn add(&mut self, traffic: Traffic) {
        self.traffic.requests += traffic.requests;
        self.traffic.pack_bytes += traffic.pack_bytes;
    }
}

/// Whether a failure would be the same after a new greeting.
fn is_final(cause: &GitError) -> bool {
    matches!(
        cause,
        GitError::Timeout { .. }
            | GitError::Cancelled
            | GitError::CredentialsMissing { .. }
            | GitError::CredentialsRefused { .. }
            | GitError::Certificate { .. }
            | GitError::PinMismatch { .. }
            | GitError::AccessFile { .. }
            | GitError::TooLarge { .. }
    )
}

fn reading(source: &Source, revision: &Revision, selection: &TreeSelection) -> Reading {
    Reading {
        line: Line::Branch,
        revision: revision.clone(),
        path: source.path.clone(),
        selection: selection.clone(),
        limits: source.access.limits.clone(),
        left_out: BTreeSet::new(),
    }
}

pub(super) fn pulled(revision: Revision, complete: Complete) -> Pulled {
    let Complete { tree, problems, elsewhere, facts } = complete;
    Pulled { revision, tree, problems, elsewhere, facts, traffic: Traffic::default() }
}

fn too_large(source: &Source, what: &'static str, most: u64) -> GitError {
    GitError::TooLarge { remote: source.remote.to_string(), what, most }
}

fn no_path(source: &Source, revision: Revision) -> GitError {
    GitError::NoPath { path: source.path.clone(), revision }
}

fn no_revision(source: &Source, revision: &Revision) -> GitError {
    GitError::NoRevision { remote: source.remote.to_string(), text: revision.to_string() }
}

fn incomplete(source: &Source, revision: &Revision) -> GitError {
    GitError::Incomplete { remote: source.remote.to_string(), revision: revision.clone() }
}
