//! Three-way merge of trees. What neither or only one side changed is not even looked into.

use std::collections::BTreeSet;

use git2::{MergeFileInput, ObjectType, Oid, Repository};

use super::moved::{self, Moves};
use super::virtual_base::{self, VirtualBase};
use super::work::{DEEPEST, Entries, Entry, FILES, FOLDER, LARGEST, Temper, Work, below};
use super::{add_commit, commit_text};

/// What came of it.
#[derive(Debug)]
pub(super) enum Merging {
    /// These objects are not here.
    Missing {
        /// Trees.
        trees: BTreeSet<Oid>,
        /// Files.
        blobs: BTreeSet<Oid>,
    },
    /// Both sides changed these.
    Conflict(Vec<String>),
    /// History is not here far enough to tell what the common commits have in common.
    Cut,
    /// Common commits conflict with each other in a way that nothing stands for.
    Unclear,
    /// A pack with the new objects, and the merge commit's id.
    Clean(Vec<u8>, Oid),
}

/// Merges what `head` and `base` made of what they have in common.
pub(super) fn merge(
    repository: &Repository,
    common: &[Oid],
    [base, head]: [Oid; 2],
) -> Result<Merging, git2::Error> {
    let (base, head) = (repository.find_commit(base)?, repository.find_commit(head)?);
    let mut work = Work::new(repository)?;
    let ancestor = match virtual_base::tree(&mut work, repository, common, 0)? {
        VirtualBase::Tree(tree) => tree,
        VirtualBase::Missing => return Ok(work.missing()),
        VirtualBase::Cut => return Ok(Merging::Cut),
        VirtualBase::Unclear => return Ok(Merging::Unclear),
    };
    let merged = work.three([ancestor, base.tree_id(), head.tree_id()])?;
    if !work.is_whole() {
        return Ok(work.missing());
    }
    let Work { mut objects, conflicts, .. } = work;
    if !conflicts.is_empty() {
        return Ok(Merging::Conflict(conflicts));
    }
    let tree = match merged {
        Some((_, tree)) => tree,
        None => objects.add(ObjectType::Tree, Vec::new())?,
    };
    let commit = add_commit(&mut objects, commit_text(tree, &base, &head))?;
    let pack = objects.pack().map_err(|cause| git2::Error::from_str(&cause.to_string()))?;
    Ok(Merging::Clean(pack, commit))
}

impl Work<'_> {
    fn missing(self) -> Merging {
        Merging::Missing { trees: self.trees, blobs: self.blobs }
    }

    /// Three roots merged, and what one side moved followed. Not to be used where something is missing or conflicts.
    fn three(&mut self, roots: [Oid; 3]) -> Result<Option<Entry>, git2::Error> {
        self.lost = [BTreeSet::new(), BTreeSet::new()];
        let mut merged = self.roots(roots)?;
        if !self.is_whole() || self.lost.iter().all(BTreeSet::is_empty) {
            return Ok(merged);
        }
        // What one side moved, the other side's changes follow: once more, with the moves made on all sides.
        let lost = std::mem::take(&mut self.lost);
        match moved::find(self, roots, &lost)? {
            // Something is missing, or nothing was moved.
            Moves::None => {}
            Moves::Made(roots, conflicts) => {
                self.conflicts.clear();
                self.unclear = false;
                merged = self.roots(roots)?;
                for path in conflicts {
                    self.conflict(&path);
                }
                self.conflicts.sort();
                self.conflicts.dedup();
            }
        }
        Ok(merged)
    }

    /// Two common commits' trees merged into what both stand for; `None` when nothing does.
    pub(super) fn stand_in(&mut self, roots: [Oid; 3]) -> Result<Option<Oid>, git2::Error> {
        self.temper = Temper::Lenient;
        let merged = self.three(roots);
        self.temper = Temper::Strict;
        let tree = match merged? {
            Some((_, tree)) => tree,
            None => self.add_tree(Entries::new())?,
        };
        Ok((!std::mem::take(&mut self.unclear)).then_some(tree))
    }

    fn roots(&mut self, roots: [Oid; 3]) -> Result<Option<Entry>, git2::Error> {
        let [ancestor, ours, theirs] = roots.map(|id| Some((FOLDER, id)));
        self.entry("", ancestor, (ours, theirs), 0)
    }

    /// Both sides made the same of this. What both have no longer, one may have moved while the other deleted or moved
    /// it too.
    fn both_lost(
        &mut self,
        path: &str,
        (before, now): (Entry, Option<Entry>),
        depth: usize,
    ) -> Result<(), git2::Error> {
        if FILES.contains(&before.0) && now.is_none() {
            self.lose([true, true], path);
        }
        if before.0 != FOLDER || Some(before) == now || DEEPEST <= depth {
            return Ok(());
        }
        let now = now.filter(|(mode, _)| *mode == FOLDER);
        let (Some(before), Some(now)) = (self.read(Some(before))?, self.read(now)?) else {
            return Ok(());
        };
        for (name, entry) in before {
            let now = now.get(&name).copied();
            self.both_lost(&below(path, &name), (entry, now), depth + 1)?;
        }
        Ok(())
    }

    /// What becomes of one name. Where something is missing or conflicts, anything: the whole is not used then.
    fn entry(
        &mut self,
        path: &str,
        ancestor: Option<Entry>,
        (ours, theirs): (Option<Entry>, Option<Entry>),
        depth: usize,
    ) -> Result<Option<Entry>, git2::Error> {
        if let Some(before) = ancestor.filter(|_| ours == theirs) {
            self.both_lost(path, (before, ours), depth)?;
        }
        if ours == theirs || theirs == ancestor {
            return Ok(ours);
        }
        if ours == ancestor {
            return Ok(theirs);
        }
        let is_folder = |entry: &Option<Entry>| entry.is_none_or(|(mode, _)| mode == FOLDER);
        let folders = [&ours, &theirs].into_iter().all(is_folder) && depth < DEEPEST;
        if folders && (ours.is_some() && theirs.is_some() || is_folder(&ancestor)) {
            return self.folder(path, [ancestor, ours, theirs], depth);
        }
        match (ours, theirs) {
            (Some(ours), Some(theirs)) => self.file(path, ancestor, (ours, theirs)),
            _ => {
                let was_file = ancestor.is_some_and(|(mode, _)| FILES.contains(&mode));
                if was_file {
                    self.lose([ours.is_none(), theirs.is_none()], path);
                    if self.temper == Temper::Lenient {
                        return Ok(ancestor);
                    }
                }
                Ok(self.conflict(path))
            }
        }
    }

    fn folder(
        &mut self,
        path: &str,
        three: [Option<Entry>; 3],
        depth: usize,
    ) -> Result<Option<Entry>, git2::Error> {
        let [ancestor, ours, theirs] = three.map(|entry| entry.filter(|(mode, _)| *mode == FOLDER));
        let (ancestor, ours, theirs) = (self.read(ancestor)?, self.read(ours)?, self.read(theirs)?);
        let (Some(ancestor), Some(ours), Some(theirs)) = (ancestor, ours, theirs) else {
            return Ok(None);
        };
        let names: BTreeSet<&Vec<u8>> =
            ancestor.keys().chain(ours.keys()).chain(theirs.keys()).collect();
        let mut merged = Entries::new();
        for name in names {
            let get = |tree: &Entries| tree.get(name).copied();
            let both = (get(&ours), get(&theirs));
            let path = below(path, name);
            if let Some(entry) = self.entry(&path, get(&ancestor), both, depth + 1)? {
                merged.insert(name.clone(), entry);
            }
        }
        if merged.is_empty() {
            return Ok(None);
        }
        let id = self.add_tree(merged)?;
        Ok(Some((FOLDER, id)))
    }

    /// A file that both sides changed, line by line.
    fn file(
        &mut self,
        path: &str,
        ancestor: Option<Entry>,
        (ours, theirs): (Entry, Entry),
    ) -> Result<Option<Entry>, git2::Error> {
        let ancestor = ancestor.filter(|(mode, _)| FILES.contains(mode));
        if !FILES.contains(&ours.0) || !FILES.contains(&theirs.0) {
            return Ok(self.conflict(path));
        }
        // Whoever changed the mode has the last word.
        let kept = ancestor.is_some_and(|(mode, _)| mode == ours.0);
        let mode = if kept { theirs.0 } else { ours.0 };
        if ours.1 == theirs.1 || ancestor.is_some_and(|(_, id)| id == theirs.1) {
            return Ok(Some((mode, ours.1)));
        }
        if ancestor.is_some_and(|(_, id)| id == ours.1) {
            return Ok(Some((mode, theirs.1)));
        }
        let before = match ancestor {
            Some((_, id)) => self.content(id)?,
            None => Some(Vec::new()),
        };
        let (ours, theirs) = (self.content(ours.1)?, self.content(theirs.1)?);
        let (Some(before), Some(ours), Some(theirs)) = (before, ours, theirs) else {
            return Ok(None);
        };
        let plain = |bytes: &Vec<u8>| bytes.len() <= LARGEST && !bytes.contains(&0);
        if ![&before, &ours, &theirs].into_iter().all(plain) {
            if self.temper == Temper::Lenient && ancestor.is_some() {
                return Ok(ancestor);
            }
            return Ok(self.conflict(path));
        }
        let merged = git2::merge_file(
            MergeFileInput::new().content(&before),
            MergeFileInput::new().content(&ours),
            MergeFileInput::new().content(&theirs),
            None,
        )?;
        if !merged.is_automergeable() && self.temper == Temper::Strict {
            return Ok(self.conflict(path));
        }
        let content = merged.content().to_vec();
        let id = self.objects.add(ObjectType::Blob, content.clone())?;
        self.made_files.insert(id, content);
        Ok(Some((mode, id)))
    }
}
