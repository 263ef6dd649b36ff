//! From names to commits: heads, branches, tags, abbreviated ids.

use git2::{ErrorCode, ObjectType, Oid, Repository};

use crate::model::Revision;

use super::error::GitError;
use super::local::LocalRepository;
use super::pull::{Session, fetch_into};
use super::references::{branch_reference, local_reference, revision};
use super::source::Source;
use super::store::Store;
use super::wire::{Filter, Question};
use super::{Git, blocking};

/// Commits of history that are fetched to find an abbreviated id, where a server hands out commits alone.
const HISTORY: u32 = 10_000;
/// The same where it sends all their files along.
const HISTORY_WITH_FILES: u32 = 100;
/// Digits that an abbreviated id has at least, as in Git.
const FEWEST_DIGITS: usize = 4;

/// The head of the source's branch.
pub(super) async fn head(git: &Git, source: &Source) -> Result<Revision, GitError> {
    let name = branch_reference(source);
    if let Some(path) = source.remote.local_path() {
        let (path, source) = (path.to_owned(), source.clone());
        return blocking(move || local_reference(&LocalRepository::find(&path)?, &source, &name))
            .await;
    }
    let mut session = Session::new(git, source);
    let found = session.reference(&name).await;
    session.close().await;
    found
}

/// The commit that a text means: a full id, HEAD, a reference, a tag, a branch, or the beginning of an id.
pub(super) async fn resolve(git: &Git, source: &Source, text: &str) -> Result<Revision, GitError> {
    let text = text.trim();
    if let Ok(full) = Revision::parse(&text.to_ascii_lowercase()) {
        return Ok(full);
    }
    if let Some(path) = source.remote.local_path() {
        let (path, source, text) = (path.to_owned(), source.clone(), text.to_owned());
        return blocking(move || {
            let local = LocalRepository::find(&path)?;
            for name in candidates(&text) {
                if local.reference(&name)?.is_some() {
                    return local_reference(&local, &source, &name);
                }
            }
            let found =
                by_prefix(&local.open()?, &text).map_err(|cause| local.unreadable(cause))?;
            found.revision(&source, &text)
        })
        .await;
    }
    let mut session = Session::new(git, source);
    let found = remote_resolve(git, source, text, &mut session).await;
    session.close().await;
    found
}

/// Full names that a short one may mean, in the order in which `git rev-parse` tries them.
fn candidates(text: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    if text == "HEAD" || text.starts_with("refs/") {
        names.push(text.to_owned());
    }
    names.extend(["refs/", "refs/tags/", "refs/heads/"].map(|prefix| format!("{prefix}{text}")));
    names
}

async fn remote_resolve(
    git: &Git,
    source: &Source,
    text: &str,
    session: &mut Session<'_>,
) -> Result<Revision, GitError> {
    let names = candidates(text);
    let refs = session.references(&names).await?;
    for name in &names {
        if let Some(found) = refs.iter().find(|reference| reference.name == *name) {
            return revision(source, &found.commit);
        }
    }
    if !is_abbreviated(text) {
        return Err(Prefixed::None.revision(source, text).err().unwrap_or(GitError::Cancelled));
    }
    let (store, _turn) = git.store(source).await?;
    let found = in_store(&store, text).await?;
    if !matches!(found, Prefixed::None) {
        return found.revision(source, text);
    }
    let head = session.reference(&branch_reference(source)).await?;
    let own = store.clone();
    blocking(move || own.prepare()).await?;
    fetch_history(session, &store, &head).await?;
    in_store(&store, text).await?.revision(source, text)
}

fn is_abbreviated(text: &str) -> bool {
    (FEWEST_DIGITS..40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

async fn in_store(store: &Store, text: &str) -> Result<Prefixed, GitError> {
    let (store, text) = (store.clone(), text.to_owned());
    blocking(move || {
        if store.is_empty() {
            return Ok(Prefixed::None);
        }
        by_prefix(&store.open()?, &text).map_err(|cause| store.damaged(cause))
    })
    .await
}

/// Fetches the branch's history: commits alone where the server can do that.
async fn fetch_history(
    session: &mut Session<'_>,
    store: &Store,
    head: &Revision,
) -> Result<(), GitError> {
    let filter = session.filter(Filter::NoTrees).await?;
    let depth = if filter == Filter::NoTrees { HISTORY } else { HISTORY_WITH_FILES };
    let question = Question {
        wants: vec![head.to_string()],
        have: None,
        depth: Some(depth),
        filter,
        most_bytes: u64::MAX,
    };
    fetch_into(session, store, &question).await
}

/// Commits whose id begins with a text.
enum Prefixed {
    None,
    One(Oid),
    Many,
}

impl Prefixed {
    fn revision(&self, source: &Source, text: &str) -> Result<Revision, GitError> {
        let (remote, text) = (source.remote.to_string(), text.to_owned());
        match self {
            Self::None => Err(GitError::NoRevision { remote, text }),
            Self::One(id) => revision(source, &id.to_string()),
            Self::Many => Err(GitError::Ambiguous { remote, text }),
        }
    }
}

fn by_prefix(repository: &Repository, text: &str) -> Result<Prefixed, git2::Error> {
    if !is_abbreviated(text) {
        return Ok(Prefixed::None);
    }
    let odb = repository.odb()?;
    let padded = format!("{text:0<40}");
    match odb.exists_prefix(Oid::from_str(&padded)?, text.len()) {
        Ok(id) if odb.read_header(id)?.1 == ObjectType::Commit => Ok(Prefixed::One(id)),
        Ok(_) => Ok(Prefixed::None),
        Err(cause) if cause.code() == ErrorCode::NotFound => Ok(Prefixed::None),
        // Several objects begin so; only commits count.
        Err(cause) if cause.code() == ErrorCode::Ambiguous => commits_by_prefix(&odb, text),
        Err(cause) => Err(cause),
    }
}

fn commits_by_prefix(odb: &git2::Odb<'_>, text: &str) -> Result<Prefixed, git2::Error> {
    let text = text.to_ascii_lowercase();
    let mut found = Vec::new();
    odb.foreach(|id| {
        if id.to_string().starts_with(&text) {
            found.push(*id);
        }
        true
    })?;
    let mut commits = Vec::new();
    for id in found {
        if odb.read_header(id)?.1 == ObjectType::Commit && !commits.contains(&id) {
            commits.push(id);
        }
    }
    Ok(match commits.as_slice() {
        [] => Prefixed::None,
        [one] => Prefixed::One(*one),
        _ => Prefixed::Many,
    })
}
