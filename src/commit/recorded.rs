//! The files that a stack is loaded from, and what it asked for.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::opening::{Opener, Opening};
use crate::compose::{Files, ReadProblem, TreeFiles, tree_path};
use crate::model::{Budget, Given, GivenFile, ManifestTree, TreePath};

/// The files of a tree; remembers what was asked for and is not there.
pub(super) struct Recorded<'a> {
    tree: &'a ManifestTree,
    given: &'a Given,
    pub(super) missing: RefCell<BTreeSet<TreePath>>,
    pub(super) used: RefCell<BTreeSet<TreePath>>,
    pub(super) missing_outside: RefCell<BTreeSet<String>>,
    pub(super) used_outside: RefCell<BTreeMap<String, Arc<[u8]>>>,
    pub(super) opener: Opener<'a>,
}

impl<'a> Recorded<'a> {
    pub(super) fn new(
        tree: &'a ManifestTree,
        (given, opening): (&'a Given, &'a Opening),
        budget: &'a Budget,
    ) -> Self {
        Self {
            opener: Opener::new(tree, opening, budget),
            tree,
            given,
            missing: RefCell::default(),
            used: RefCell::default(),
            missing_outside: RefCell::default(),
            used_outside: RefCell::default(),
        }
    }

    /// A file outside the repository, where the settings let manifests read.
    fn read_outside(&self, path: &str) -> Result<Arc<[u8]>, ReadProblem> {
        if path.split('/').any(|part| part == "..") || !self.given.may_read(path) {
            return Err(ReadProblem::Outside);
        }
        match self.given.files.get(path) {
            Some(GivenFile::Content(bytes)) => {
                self.used_outside.borrow_mut().insert(path.to_owned(), Arc::clone(bytes));
                Ok(Arc::clone(bytes))
            }
            Some(GivenFile::Absent) => Err(ReadProblem::NotFound),
            Some(GivenFile::Unreadable(why)) => Err(ReadProblem::Other(why.clone())),
            None => {
                self.missing_outside.borrow_mut().insert(path.to_owned());
                Err(ReadProblem::NotFound)
            }
        }
    }

    fn note(&self, path: &str) {
        let path = tree_path(path).and_then(|path| TreePath::parse(path).ok());
        self.missing.borrow_mut().extend(path);
    }
}

impl Files for Recorded<'_> {
    fn read(&self, path: &str) -> Result<Arc<[u8]>, ReadProblem> {
        if tree_path(path).is_none() {
            return self.read_outside(path);
        }
        let read = TreeFiles(self.tree).read(path);
        match &read {
            Ok(_) => {
                let path = tree_path(path).and_then(|path| TreePath::parse(path).ok());
                self.used.borrow_mut().extend(path.clone());
                match path.map_or(Ok(None), |path| self.opener.open(&path)) {
                    Ok(None) => {}
                    Ok(Some(plain)) => return Ok(plain),
                    Err(why) => return Err(ReadProblem::Other(why)),
                }
            }
            Err(_) => self.note(path),
        }
        read
    }

    fn is_folder(&self, path: &str) -> bool {
        let there = TreeFiles(self.tree).is_folder(path);
        if !there {
            self.note(path);
        }
        there
    }

    fn may_refer(&self, path: &str) -> bool {
        TreeFiles(self.tree).may_refer(path)
    }

    fn show(&self, path: &str) -> String {
        TreeFiles(self.tree).show(path)
    }
}
