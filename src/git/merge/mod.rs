//! What merging a pull request would give: the forge's own result where it made one of the same two commits, else base
//! and head merged in the object database, without a working tree.
//!
//! In: the base's and the head's commit, also of a fork. Out: a commit that [`super::Git::pull`] reads like any other,
//! or the paths that conflict. Only commits and the folders and files that both sides changed are fetched. The result
//! is the same for the same two commits, down to its id; it is never pushed.

mod ancestry;
mod moved;
mod renames;
mod trees;
mod virtual_base;
mod work;

use std::collections::BTreeSet;

use git2::{ObjectType, Oid};
use tokio::sync::mpsc;

use crate::model::Revision;

use super::error::GitError;
use super::pull::{Session, fetch_into};
use super::source::Source;
use super::store::Store;
use super::wire::{Filter, Question};
use super::{Git, blocking};
use ancestry::Ancestry;
use trees::Merging;

/// Commits of history that are fetched, one after the other, until both sides meet.
const DEPTHS: [u32; 3] = [50, 1_000, 10_000];
/// The same where a server sends all their files along.
const DEPTHS_WITH_FILES: [u32; 3] = [50, 200, 1_000];
/// Levels of folders, twice: both sides of each may have to be asked for.
const ROUNDS: usize = 256;
/// Packs after which the clone is thrown away before the next merge: merge results cannot be fetched again, so it must
/// not become crowded between a merge and the reading of it.
const MANY_PACKS: usize = 20;

/// A pull request's head, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadAt {
    /// The fork that holds it; `None` where the repository itself does.
    pub fork: Option<Source>,
    /// The full name of its reference there.
    pub reference: String,
    /// The commit's id, or its beginning.
    pub commit: String,
    /// The reference of the forge's own merge result, where it makes one. It may lag behind or be missing.
    pub merged: Option<String>,
}

/// What merging would give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merged {
    /// A commit.
    Clean {
        /// What would stand on the base's branch.
        revision: Revision,
        /// The head, in full.
        head: Revision,
    },
    /// Both sides changed the same.
    Conflict {
        /// The head, in full.
        head: Revision,
        /// Where, sorted.
        paths: Vec<String>,
    },
    /// The two have no common history.
    Unrelated {
        /// The head, in full.
        head: Revision,
    },
}

/// Merges; see [`Git::merge`].
pub(super) async fn merge(
    git: &Git,
    source: &Source,
    base: &Revision,
    head: &HeadAt,
) -> Result<Merged, GitError> {
    let remote = source.remote.to_string();
    if source.remote.local_path().is_some() {
        return Err(GitError::Unsupported { remote, feature: "merging" });
    }
    let (store, _turn) = git.store(source).await?;
    let own = store.clone();
    blocking(move || {
        if own.packs() >= MANY_PACKS {
            own.discard()?;
        }
        own.prepare()
    })
    .await?;
    let mut here = Session::new(git, source);
    let mut there = head.fork.as_ref().map(|fork| Session::new(git, fork));
    let depths = 0..DEPTHS.len();
    let mut merger = Merger { store, base, here: &mut here, there: there.as_mut(), depths };
    let merged = merger.merge(head).await;
    here.close().await;
    if let Some(mut there) = there {
        there.close().await;
    }
    merged
}

struct Merger<'a, 's> {
    store: Store,
    base: &'a Revision,
    here: &'a mut Session<'s>,
    /// The fork, where the head is in one.
    there: Option<&'a mut Session<'s>>,
    /// Depths that were not tried yet, as places in [`DEPTHS`].
    depths: std::ops::Range<usize>,
}

/// Where both sides meet.
enum Meeting {
    At(Vec<Oid>),
    Nowhere,
    /// History is not to be had far enough to tell.
    Unclear,
}

impl Merger<'_, '_> {
    async fn merge(&mut self, at: &HeadAt) -> Result<Merged, GitError> {
        let head = self.head(at).await?;
        let (base_id, head_id) = (self.id(self.base)?, self.id(&head)?);
        // The forge has the first word, if it speaks of the same two commits: it is what a merge there would give.
        if let Some(revision) = self.forges_own(at, [base_id, head_id]).await? {
            return Ok(Merged::Clean { revision, head });
        }
        if self.there.is_some() {
            self.fetch_fork(&head).await?;
        }
        let mut common = match self.meeting(&head).await? {
            Meeting::At(common) => common,
            Meeting::Nowhere => return Ok(Merged::Unrelated { head }),
            Meeting::Unclear => return Err(self.unclear()),
        };
        // One side did not move: the other is the result.
        if common == [base_id] {
            return Ok(Merged::Clean { revision: head.clone(), head });
        }
        if common == [head_id] {
            return Ok(Merged::Clean { revision: self.base.clone(), head });
        }
        for _ in 0..ROUNDS {
            let (store, sides, own) = (self.store.clone(), [base_id, head_id], common.clone());
            let merging = blocking(move || {
                let repository = store.open()?;
                trees::merge(&repository, &own, sides).map_err(|cause| store.damaged(cause))
            });
            match merging.await? {
                Merging::Missing { trees, blobs } => self.fetch_missing(&trees, &blobs).await?,
                Merging::Cut if self.deepen(&head).await? => {
                    if let Meeting::At(found) = self.meeting(&head).await? {
                        common = found;
                    }
                }
                Merging::Cut | Merging::Unclear => return Err(self.unclear()),
                Merging::Conflict(paths) => return Ok(Merged::Conflict { head, paths }),
                Merging::Clean(pack, commit) => {
                    self.write(pack).await?;
                    let revision = self.revision(&commit.to_string())?;
                    return Ok(Merged::Clean { revision, head });
                }
            }
        }
        Err(self.incomplete(&head))
    }

    async fn write(&self, pack: Vec<u8>) -> Result<(), GitError> {
        let (sender, pieces) = mpsc::channel(1);
        let store = self.store.clone();
        let written = blocking(move || store.write_pack(pieces, "our own merge", u32::MAX));
        let sent = async {
            // Whoever does not take it says why.
            let taken = sender.send(pack.into()).await.is_ok();
            drop(sender);
            taken
        };
        let (_, written) = tokio::join!(sent, written);
        written
    }

    /// What is said where neither the forge nor we can tell: no wrong answer.
    fn unclear(&self) -> GitError {
        GitError::MergeUnclear { remote: self.here.source().remote.to_string() }
    }

    /// The forge's own merge of these two, if it made one.
    async fn forges_own(
        &mut self,
        at: &HeadAt,
        parents: [Oid; 2],
    ) -> Result<Option<Revision>, GitError> {
        let Some(reference) = &at.merged else { return Ok(None) };
        let revision = match self.here.reference(reference).await {
            Ok(revision) => revision,
            Err(GitError::NoBranch { .. } | GitError::NoRevision { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let filter = self.here.filter(Filter::NoTrees).await?;
        let wants = vec![revision.to_string()];
        fetch_into(self.here, &self.store, &question(wants, Some(1), filter)).await?;
        let (store, id) = (self.store.clone(), self.id(&revision)?);
        let fits = blocking(move || {
            let repository = store.open()?;
            let commit = repository.find_commit(id).map_err(|cause| store.damaged(cause))?;
            Ok(commit.parent_ids().eq(parents))
        });
        Ok(fits.await?.then_some(revision))
    }

    /// The head's full id. An id that is told in full is taken at its word; it is not there if it was overtaken.
    async fn head(&mut self, at: &HeadAt) -> Result<Revision, GitError> {
        if let Ok(full) = Revision::parse(&at.commit) {
            return Ok(full);
        }
        let session = self.there.as_deref_mut().unwrap_or(self.here);
        let found = session.reference(&at.reference).await?;
        if found.as_str().starts_with(&at.commit.to_ascii_lowercase()) {
            return Ok(found);
        }
        let remote = self.here.source().remote.to_string();
        Err(GitError::NoRevision { remote, text: at.commit.clone() })
    }

    /// A fork's commit with all its files: they cannot be asked for later, when the repository itself is asked.
    async fn fetch_fork(&mut self, head: &Revision) -> Result<(), GitError> {
        let Some(there) = self.there.as_deref_mut() else { return Ok(()) };
        let (store, id) = (self.store.clone(), head.clone());
        let known = blocking(move || {
            let repository = store.open()?;
            let odb = repository.odb().map_err(|cause| store.damaged(cause))?;
            Ok(Oid::from_str(id.as_str()).is_ok_and(|id| odb.exists(id)))
        });
        if known.await? {
            return Ok(());
        }
        let wants = vec![head.to_string()];
        fetch_into(there, &self.store, &question(wants, Some(1), Filter::Everything)).await
    }

    /// What both sides have in common. Fetches history until that can be told.
    async fn meeting(&mut self, head: &Revision) -> Result<Meeting, GitError> {
        let (base_id, head_id) = (self.id(self.base)?, self.id(head)?);
        loop {
            let store = self.store.clone();
            let found = blocking(move || {
                let repository = store.open()?;
                let found = ancestry::nearest(&repository, &[base_id], head_id);
                found.map_err(|cause| store.damaged(cause))
            });
            match found.await? {
                Ancestry::Common(common) => return Ok(Meeting::At(common)),
                Ancestry::None => return Ok(Meeting::Nowhere),
                Ancestry::Unknown => {}
            }
            if !self.deepen(head).await? {
                return Ok(Meeting::Unclear);
            }
        }
    }

    /// Fetches more of history; `false` when it was fetched as deep as it ever is.
    async fn deepen(&mut self, head: &Revision) -> Result<bool, GitError> {
        let Some(place) = self.depths.next() else { return Ok(false) };
        self.fetch_history(head, place).await?;
        Ok(true)
    }

    async fn fetch_history(&mut self, head: &Revision, place: usize) -> Result<(), GitError> {
        let mut wants = vec![self.base.to_string()];
        match self.there.as_deref_mut() {
            None => wants.push(head.to_string()),
            Some(there) => history(there, &self.store, vec![head.to_string()], place).await?,
        }
        wants.dedup();
        history(self.here, &self.store, wants, place).await
    }

    async fn fetch_missing(
        &mut self,
        trees: &BTreeSet<Oid>,
        blobs: &BTreeSet<Oid>,
    ) -> Result<(), GitError> {
        // Folders without what is in them first: which files matter shows then.
        let (wants, wish) =
            if trees.is_empty() { (blobs, Filter::NoBlobs) } else { (trees, Filter::NoTrees) };
        let wants = wants.iter().map(ToString::to_string).collect();
        let filter = self.here.filter(wish).await?;
        fetch_into(self.here, &self.store, &question(wants, None, filter)).await
    }

    fn id(&self, revision: &Revision) -> Result<Oid, GitError> {
        Oid::from_str(revision.as_str()).map_err(|cause| self.store.damaged(cause))
    }

    fn revision(&self, id: &str) -> Result<Revision, GitError> {
        super::references::revision(self.here.source(), id)
    }

    fn incomplete(&self, revision: &Revision) -> GitError {
        let remote = self.here.source().remote.to_string();
        GitError::Incomplete { remote, revision: revision.clone() }
    }
}

/// History of some commits, as deep as [`DEPTHS`] says; with their files only where the server cannot leave them out.
async fn history(
    session: &mut Session<'_>,
    store: &Store,
    wants: Vec<String>,
    place: usize,
) -> Result<(), GitError> {
    // Where a conversation is one process of the server, it remembers how far the last answer went, and then sends all.
    if 0 < place {
        session.drop_connection();
    }
    let filter = session.filter(Filter::NoTrees).await?;
    let depths = if filter == Filter::NoTrees { DEPTHS } else { DEPTHS_WITH_FILES };
    fetch_into(session, store, &question(wants, depths.get(place).copied(), filter)).await
}

fn question(wants: Vec<String>, depth: Option<u32>, filter: Filter) -> Question {
    Question { wants, have: None, depth, filter, most_bytes: u64::MAX }
}

/// A merge commit's text. Its date is the later one of its parents', so that it is the same each time.
fn commit_text(tree: Oid, base: &git2::Commit<'_>, head: &git2::Commit<'_>) -> Vec<u8> {
    let time = base.time().seconds().max(head.time().seconds());
    let who = format!("moorline <moorline@localhost> {time} +0000");
    let (base, head) = (base.id(), head.id());
    let text = format!(
        "tree {tree}\nparent {base}\nparent {head}\nauthor {who}\ncommitter {who}\n\nMerge {head}\n"
    );
    text.into_bytes()
}

/// Adds a commit, and says its id.
fn add_commit(objects: &mut super::objects::NewObjects, text: Vec<u8>) -> Result<Oid, git2::Error> {
    objects.add(ObjectType::Commit, text)
}
