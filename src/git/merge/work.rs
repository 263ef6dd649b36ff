//! What a merge works on: trees and files as they are read, made, missed and in conflict. It decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use git2::{ObjectType, Odb, Oid, Repository};

use super::super::objects::NewObjects;

pub(super) const FOLDER: i32 = 0o040_000;
pub(super) const FILES: [i32; 2] = [0o100_644, 0o100_755];
/// Files that are larger are not merged line by line.
pub(super) const LARGEST: usize = 4 << 20;
/// Folders inside each other.
pub(super) const DEEPEST: usize = 128;
/// Conflicts that are named.
const MOST_CONFLICTS: usize = 100;

/// One entry of a tree.
pub(super) type Entry = (i32, Oid);

/// A tree's entries by name.
pub(super) type Entries = BTreeMap<Vec<u8>, Entry>;

/// What a conflict comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Temper {
    /// It is told.
    Strict,
    /// It is part of what several common commits stand for: as Git does, what conflicts is put in as it is, with marks.
    Lenient,
}

/// What a merge reads and makes on its way, and what it came to.
pub(super) struct Work<'a> {
    pub(super) repository: &'a Repository,
    pub(super) odb: Odb<'a>,
    pub(super) objects: NewObjects,
    /// Trees and files that were made here.
    pub(super) made: BTreeMap<Oid, Entries>,
    pub(super) made_files: BTreeMap<Oid, Vec<u8>>,
    pub(super) temper: Temper,
    /// Whether a lenient merge came to what nothing stands for.
    pub(super) unclear: bool,
    pub(super) trees: BTreeSet<Oid>,
    pub(super) blobs: BTreeSet<Oid>,
    pub(super) conflicts: Vec<String>,
    /// Files that the base, the head no longer has where the other side did not leave them as they were.
    pub(super) lost: [BTreeSet<String>; 2],
}

impl<'a> Work<'a> {
    pub(super) fn new(repository: &'a Repository) -> Result<Self, git2::Error> {
        Ok(Self {
            repository,
            odb: repository.odb()?,
            objects: NewObjects::default(),
            made: BTreeMap::new(),
            made_files: BTreeMap::new(),
            temper: Temper::Strict,
            unclear: false,
            trees: BTreeSet::new(),
            blobs: BTreeSet::new(),
            conflicts: Vec::new(),
            lost: [BTreeSet::new(), BTreeSet::new()],
        })
    }
}

impl Work<'_> {
    /// Whether nothing that was needed is missing.
    pub(super) fn is_whole(&self) -> bool {
        self.trees.is_empty() && self.blobs.is_empty()
    }

    /// Adds a tree, and says its id.
    pub(super) fn add_tree(&mut self, entries: Entries) -> Result<Oid, git2::Error> {
        let id = self.objects.add(ObjectType::Tree, tree_bytes(entries.clone()))?;
        self.made.insert(id, entries);
        Ok(id)
    }

    /// Notes that sides no longer have a file.
    pub(super) fn lose(&mut self, sides: [bool; 2], path: &str) {
        for (lost, gone) in self.lost.iter_mut().zip(sides) {
            if gone {
                lost.insert(path.to_owned());
            }
        }
    }

    /// The entries of a tree, none for none; `None` when it is not here.
    pub(super) fn read(&mut self, entry: Option<Entry>) -> Result<Option<Entries>, git2::Error> {
        let Some((_, id)) = entry else { return Ok(Some(BTreeMap::new())) };
        if let Some(made) = self.made.get(&id) {
            return Ok(Some(made.clone()));
        }
        let tree = match self.repository.find_tree(id) {
            Ok(tree) => tree,
            Err(cause) if cause.code() == git2::ErrorCode::NotFound => {
                self.trees.insert(id);
                return Ok(None);
            }
            Err(cause) => return Err(cause),
        };
        let entries = tree.iter();
        let entries =
            entries.map(|entry| (entry.name_bytes().to_vec(), (entry.filemode_raw(), entry.id())));
        Ok(Some(entries.collect()))
    }

    /// A file's bytes; `None` when they are not here.
    pub(super) fn content(&mut self, id: Oid) -> Result<Option<Vec<u8>>, git2::Error> {
        if let Some(made) = self.made_files.get(&id) {
            return Ok(Some(made.clone()));
        }
        match self.odb.read(id) {
            Ok(object) => Ok(Some(object.data().to_vec())),
            Err(cause) if cause.code() == git2::ErrorCode::NotFound => {
                self.blobs.insert(id);
                Ok(None)
            }
            Err(cause) => Err(cause),
        }
    }

    /// Notes a conflict, up to [`MOST_CONFLICTS`]; what stands for it is nothing.
    pub(super) fn conflict(&mut self, path: &str) -> Option<Entry> {
        if self.temper == Temper::Lenient {
            self.unclear = true;
        } else if self.conflicts.len() < MOST_CONFLICTS {
            self.conflicts.push(path.to_owned());
        }
        None
    }
}

/// The path of a name in a folder.
pub(super) fn below(path: &str, name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    if path.is_empty() { name.into_owned() } else { format!("{path}/{name}") }
}

/// A tree as Git stores it, in Git's order: a folder's name counts as if it ended in `/`.
fn tree_bytes(entries: Entries) -> Vec<u8> {
    let mut entries: Vec<(Vec<u8>, Entry)> = entries.into_iter().collect();
    entries.sort_by_key(|(name, (mode, _))| {
        let mut key = name.clone();
        if *mode == FOLDER {
            key.push(b'/');
        }
        key
    });
    let mut bytes = Vec::new();
    for (name, (mode, id)) in entries {
        bytes.extend_from_slice(format!("{mode:o} ").as_bytes());
        bytes.extend_from_slice(&name);
        bytes.push(0);
        bytes.extend_from_slice(id.as_bytes());
    }
    bytes
}
