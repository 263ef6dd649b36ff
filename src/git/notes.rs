//! Commit statuses as notes under `refs/notes/moorline`: one line a context, so that
//! `git log --notes=moorline` shows them.
//!
//! ```text
//! moorline: success 2 of 2 stacks in sync
//! moorline/shop: success in sync on 2 hosts
//! ```
//!
//! Several daemons write the same notes. Each replaces the lines of its own contexts, pushes if the reference is
//! still what it saw, and otherwise looks again.

use std::collections::BTreeSet;
use std::time::Duration;

use git2::{ObjectType, Oid, Repository};
use tokio_util::sync::CancellationToken;

use crate::model::{CommitState, CommitStatus, Revision, Timestamp, TreePath};

use super::error::GitError;
use super::local::LocalRepository;
use super::objects::{NewObjects, TreeEntry};
use super::pull::{Session, pull_into};
use super::source::{Access, Pulled, Source, TreeSelection};
use super::store::{Line, Store};
use super::tree::{Reading, Survey, survey};
use super::wire::{self, Connection, PushAnswer, Service};
use super::{Git, blocking, bounded};

/// Where the notes are.
const REFERENCE: &str = "refs/notes/moorline";
/// Tries until somebody else's pushes are an error.
const ATTEMPTS: u32 = 10;
/// Pause after the first collision; it grows with each.
const PAUSE: Duration = Duration::from_millis(40);
/// Entries of a folder above which new notes go into subfolders of two digits.
const FLAT: usize = 256;

/// What publishing did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// The note says it already; nothing was pushed.
    Unchanged,
    /// The note was pushed.
    Pushed,
}

/// Writes one line for each status into the note of a commit on the remote. Lines of other contexts stay.
/// Pushes nothing when nothing changed. `now` dates the notes commit.
pub async fn publish(
    git: &Git,
    source: &Source,
    revision: &Revision,
    statuses: &[CommitStatus],
    now: Timestamp,
    stop: &CancellationToken,
) -> Result<Published, GitError> {
    let wish = Wish { revision, lines: statuses.iter().map(line).collect(), now };
    bounded(source, stop, publish_in_time(git, source, &wish)).await
}

/// The statuses in the note of a commit on the remote, by context; empty when there is none.
pub async fn read(
    git: &Git,
    source: &Source,
    revision: &Revision,
    stop: &CancellationToken,
) -> Result<Vec<CommitStatus>, GitError> {
    let read = async {
        let place = Place::new(git, source).await?;
        let mut session = Session::new(git, source);
        let state = place.look(source, revision, &mut session).await;
        session.close().await;
        Ok(statuses(&state?.text))
    };
    bounded(source, stop, read).await
}

/// What the note shall say.
struct Wish<'a> {
    revision: &'a Revision,
    lines: Vec<(String, String)>,
    now: Timestamp,
}

/// What the remote says now.
#[derive(Debug, Default)]
struct State {
    /// The notes commit.
    tip: Option<Oid>,
    /// The note of the commit; empty where there is none.
    text: String,
}

/// Where notes are read from and written to.
enum Place {
    Local(LocalRepository),
    Remote { store: Store, _turn: tokio::sync::OwnedSemaphorePermit },
}

async fn publish_in_time(
    git: &Git,
    source: &Source,
    wish: &Wish<'_>,
) -> Result<Published, GitError> {
    let place = Place::new(git, source).await?;
    for attempt in 1..=ATTEMPTS {
        let mut session = Session::new(git, source);
        let state = place.look(source, wish.revision, &mut session).await;
        session.close().await;
        let state = state?;
        let text = merged(&state.text, &wish.lines);
        if text == state.text {
            return Ok(Published::Unchanged);
        }
        match place.push(git, source, (&state, &text, wish)).await? {
            PushAnswer::Done => return Ok(Published::Pushed),
            PushAnswer::Refused(reason) if !is_collision(&reason) => {
                // Servers word a collision as they like: what counts is whether the reference moved.
                let mut session = Session::new(git, source);
                let after = place.look(source, wish.revision, &mut session).await;
                session.close().await;
                if after?.tip == state.tip {
                    let (remote, reference) = (source.remote.to_string(), REFERENCE.to_owned());
                    return Err(GitError::PushRefused { remote, reference, reason });
                }
            }
            PushAnswer::Refused(_) => tokio::time::sleep(PAUSE * attempt).await,
        }
    }
    let (remote, reference) = (source.remote.to_string(), REFERENCE.to_owned());
    Err(GitError::Contended { remote, reference, attempts: ATTEMPTS })
}

/// What servers say when somebody else was quicker.
fn is_collision(reason: &str) -> bool {
    let words = ["lock", "fetch first", "non-fast-forward", "incorrect old value", "stale"];
    words.iter().any(|word| reason.contains(word))
}

impl Place {
    async fn new(git: &Git, source: &Source) -> Result<Self, GitError> {
        if let Some(path) = source.remote.local_path() {
            let path = path.to_owned();
            return Ok(Self::Local(blocking(move || LocalRepository::find(&path)).await?));
        }
        let (store, turn) = git.store(source).await?;
        Ok(Self::Remote { store, _turn: turn })
    }

    /// Where the notes stand, and what they say of a commit.
    async fn look(
        &self,
        source: &Source,
        revision: &Revision,
        session: &mut Session<'_>,
    ) -> Result<State, GitError> {
        match self {
            Self::Local(local) => {
                let (local, revision, source) = (local.clone(), revision.clone(), source.clone());
                blocking(move || look_local(&local, &source, &revision)).await
            }
            Self::Remote { store, .. } => look_remote(session, store, source, revision).await,
        }
    }

    /// Writes the new note, if the notes still are where they were.
    async fn push(
        &self,
        git: &Git,
        source: &Source,
        (state, text, wish): (&State, &str, &Wish<'_>),
    ) -> Result<PushAnswer, GitError> {
        let (tip, text) = (state.tip, text.to_owned());
        let (revision, now) = (wish.revision.clone(), wish.now);
        match self {
            Self::Local(local) => {
                let local = local.clone();
                blocking(move || {
                    let repository = local.open()?;
                    let built = build(&repository, tip, (&revision, &text), now);
                    let (objects, commit) = built.map_err(|cause| local.unreadable(cause))?;
                    push_local(&local, tip, &objects, commit)
                })
                .await
            }
            Self::Remote { store, .. } => {
                let own = store.clone();
                let (pack, commit) = blocking(move || {
                    let repository = own.open()?;
                    let built = build(&repository, tip, (&revision, &text), now);
                    let (objects, commit) = built.map_err(|cause| own.damaged(cause))?;
                    let pack = objects.pack().map_err(|cause| GitError::Storage {
                        path: own.path().to_owned(),
                        source: cause.into(),
                    })?;
                    Ok((pack, commit))
                })
                .await?;
                push_remote(git, source, (tip, commit), &pack).await
            }
        }
    }
}

fn reading(notes: Revision, of: &Revision, access: &Access) -> Reading {
    Reading {
        line: Line::Notes,
        revision: notes,
        path: TreePath::default(),
        selection: TreeSelection::below(note_paths(of)),
        limits: access.limits.clone(),
        left_out: BTreeSet::new(),
    }
}

/// The paths at which a note may be: flat, or in folders of two digits.
fn note_paths(of: &Revision) -> Vec<TreePath> {
    let mut paths = Vec::new();
    let (mut folders, mut rest) = (String::new(), of.as_str());
    for _ in 0..4 {
        paths.extend(TreePath::parse(&format!("{folders}{rest}")));
        let Some((digits, after)) = rest.split_at_checked(2) else { break };
        folders = format!("{folders}{digits}/");
        rest = after;
    }
    paths
}

fn note_text(pulled: &Pulled) -> String {
    let files =
        pulled.tree.files().map(|(_, file)| String::from_utf8_lossy(&file.bytes).into_owned());
    // More than one place is allowed; what they say belongs together.
    files.collect::<Vec<_>>().join("\n")
}

fn look_local(
    local: &LocalRepository,
    source: &Source,
    revision: &Revision,
) -> Result<State, GitError> {
    let Some(tip) = local.reference(REFERENCE)? else { return Ok(State::default()) };
    let notes = super::references::revision(source, &tip.to_string())?;
    let reading = reading(notes, revision, &source.access);
    match survey(&local.open()?, &reading).map_err(|cause| local.unreadable(cause))? {
        Survey::Complete(complete) => {
            let pulled = super::pull::pulled(reading.revision, *complete);
            Ok(State { tip: Some(tip), text: note_text(&pulled) })
        }
        Survey::TooLarge(what, most) => {
            Err(GitError::TooLarge { remote: source.remote.to_string(), what, most })
        }
        Survey::Missing(_) | Survey::NoPath | Survey::NoCommit => Err(GitError::Incomplete {
            remote: source.remote.to_string(),
            revision: reading.revision,
        }),
    }
}

async fn look_remote(
    session: &mut Session<'_>,
    store: &Store,
    source: &Source,
    revision: &Revision,
) -> Result<State, GitError> {
    let refs = session.references(&[REFERENCE.to_owned()]).await?;
    let Some(tip) = refs.iter().find(|reference| reference.name == REFERENCE) else {
        return Ok(State::default());
    };
    let notes = super::references::revision(source, &tip.commit)?;
    let mut reading = reading(notes.clone(), revision, &source.access);
    let first = pull_into(session, store, &mut reading).await;
    let pulled = match first {
        Err(GitError::Damaged { .. }) => {
            let own = store.clone();
            blocking(move || own.discard()).await?;
            pull_into(session, store, &mut reading).await?
        }
        other => other?,
    };
    let tip = Oid::from_str(notes.as_str()).map_err(|cause| store.damaged(cause))?;
    Ok(State { tip: Some(tip), text: note_text(&pulled) })
}

async fn push_remote(
    git: &Git,
    source: &Source,
    (old, new): (Option<Oid>, Oid),
    pack: &[u8],
) -> Result<PushAnswer, GitError> {
    let memory = &git.side(source).memory;
    let (remote, access) = (&source.remote, &source.access);
    let (mut connection, greeting) =
        Connection::open(remote, access, Service::ReceivePack, memory).await?;
    let old = old.map(|old| old.to_string());
    let update = (REFERENCE, old.as_deref(), &*new.to_string());
    wire::push(&mut connection, &greeting, update, pack).await
}

fn push_local(
    local: &LocalRepository,
    old: Option<Oid>,
    objects: &NewObjects,
    commit: Oid,
) -> Result<PushAnswer, GitError> {
    local.add_objects(objects)?;
    let swapped = local.swap(REFERENCE, old, commit)?;
    let stale = || PushAnswer::Refused("stale: somebody else was quicker".to_owned());
    Ok(if swapped { PushAnswer::Done } else { stale() })
}

/// The objects of a new notes commit on top of `tip`.
fn build(
    repository: &Repository,
    tip: Option<Oid>,
    (revision, text): (&Revision, &str),
    now: Timestamp,
) -> Result<(NewObjects, Oid), git2::Error> {
    let mut objects = NewObjects::default();
    let root =
        tip.map(|tip| repository.find_commit(tip).map(|commit| commit.tree_id())).transpose()?;
    let blob = objects.add(ObjectType::Blob, text.as_bytes().to_vec())?;
    let tree = with_note(repository, &mut objects, root, (revision.as_str(), blob))?;
    let parent = tip.map_or_else(String::new, |tip| format!("parent {tip}\n"));
    let who = format!("moorline <moorline@localhost> {} +0000", now.as_millis().div_euclid(1000));
    let commit = format!(
        "tree {tree}\n{parent}author {who}\ncommitter {who}\n\nNotes of moorline on {revision}\n"
    );
    let commit = objects.add(ObjectType::Commit, commit.into_bytes())?;
    Ok((objects, commit))
}

/// A tree like `folder`, with the note under `name` in the place where Git looks for it.
fn with_note(
    repository: &Repository,
    objects: &mut NewObjects,
    folder: Option<Oid>,
    (name, blob): (&str, Oid),
) -> Result<Oid, git2::Error> {
    let mut entries = Vec::new();
    if let Some(folder) = folder {
        for entry in &repository.find_tree(folder)? {
            let name = entry.name()?.to_owned();
            let is_folder = entry.kind() == Some(ObjectType::Tree);
            entries.push(TreeEntry { name, id: entry.id(), is_folder });
        }
    }
    let (digits, rest) = name.split_at_checked(2).unwrap_or((name, ""));
    let inner = entries.iter().position(|entry| entry.is_folder && entry.name == digits);
    let flat = entries.iter().any(|entry| entry.name == name);
    let new = if flat || rest.is_empty() || (inner.is_none() && entries.len() < FLAT) {
        TreeEntry { name: name.to_owned(), id: blob, is_folder: false }
    } else {
        let inner = inner.and_then(|at| entries.get(at)).map(|entry| entry.id);
        let id = with_note(repository, objects, inner, (rest, blob))?;
        TreeEntry { name: digits.to_owned(), id, is_folder: true }
    };
    entries.retain(|entry| entry.name != new.name);
    entries.push(new);
    objects.add_tree(entries)
}

/// Context and line of a status. A context holds no white space, a description no line feed.
fn line(status: &CommitStatus) -> (String, String) {
    let context: String = status.context.split_whitespace().collect::<Vec<_>>().join("-");
    let words: Vec<&str> = status.description.split_whitespace().collect();
    let line = format!("{context}: {} {}", status.state, words.join(" "));
    (context, line.trim_end().to_owned())
}

/// The note with these lines: each context once, in order; lines that are not ours to read stay.
fn merged(text: &str, lines: &[(String, String)]) -> String {
    let kept = text.lines().filter(|old| {
        let context = old.split_once(": ").map_or("", |(context, _)| context);
        !old.trim().is_empty() && !lines.iter().any(|(new, _)| new == context)
    });
    let all: BTreeSet<&str> = kept.chain(lines.iter().map(|(_, line)| line.as_str())).collect();
    all.into_iter().flat_map(|line| [line, "\n"]).collect()
}

fn statuses(text: &str) -> Vec<CommitStatus> {
    text.lines().filter_map(status).collect()
}

fn status(line: &str) -> Option<CommitStatus> {
    let (context, rest) = line.split_once(": ")?;
    let (word, description) = rest.split_once(' ').unwrap_or((rest, ""));
    let states =
        [CommitState::Success, CommitState::Pending, CommitState::Failure, CommitState::Error];
    let state = states.into_iter().find(|state| state.to_string() == word)?;
    let (context, description) = (context.to_owned(), description.to_owned());
    Some(CommitStatus { context, state, description, link: None, progress: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status_of(context: &str, description: &str) -> CommitStatus {
        CommitStatus {
            context: context.to_owned(),
            state: CommitState::Success,
            description: description.to_owned(),
            link: None,
            progress: None,
        }
    }

    #[test]
    fn a_line_says_what_a_status_says_and_is_read_back() {
        let shop = status_of("moorline/shop", "in sync\non 2 hosts");
        let (context, text) = line(&shop);
        assert_eq!(context, "moorline/shop");
        assert_eq!(text, "moorline/shop: success in sync on 2 hosts");
        assert_eq!(statuses(&text), [status_of("moorline/shop", "in sync on 2 hosts")]);
    }

    #[test]
    fn lines_of_other_contexts_stay() {
        let old =
            "moorline/blog: failure web-1 is missing\nmoorline/shop: pending deploying\nby hand\n";
        let new = merged(old, &[line(&status_of("moorline/shop", "in sync"))]);
        assert_eq!(
            new,
            "by hand\nmoorline/blog: failure web-1 is missing\nmoorline/shop: success in sync\n"
        );
        assert_eq!(merged(&new, &[line(&status_of("moorline/shop", "in sync"))]), new);
    }
}
