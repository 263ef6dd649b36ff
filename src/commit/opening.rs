//! Files of a commit that SOPS encrypted, as stacks read them.
//!
//! *Guarantees:* plaintext is in memory only; the files of the tree stay as they are in Git, so that what is built, bound or
//! digested is ciphertext. A proposal opens nothing: a value that is encrypted as it is in the commit that it is proposed
//! for is that commit's value, any other is a token. *Caveats:* a file is opened once for each stack and round of reading
//! that asks for it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::Place;
use crate::compose::tree_path;
use crate::model::{
    Budget, Diagnostic, Location, ManifestTree, Project, RepositoryName, Secret, TreePath,
};
use crate::outside::{Keys, Outside};
use crate::sops::{self, Opened, Refused};

/// Steps of a stack's budget that opening a file takes, as work with keys; and those for each of its bytes.
const STEPS: u64 = 1_000_000;
const STEPS_A_BYTE: u64 = 50;

/// What becomes of files that SOPS encrypted.
#[derive(Debug, Clone, Default)]
pub enum Opening {
    /// The settings name no key: such files are ciphertext, which no container is given.
    #[default]
    Closed,
    /// They are opened with these keys.
    With(Arc<Keys>),
    /// They belong to a proposal, and are compared with those of the commit that it is proposed for.
    Compared(Arc<OpenedFiles>),
}

/// Files that were opened, by path.
pub type OpenedFiles = BTreeMap<TreePath, Arc<Opened>>;

impl Opening {
    /// What a commit's place says of it. Waits for the disk.
    pub(super) async fn of(place: &Place<'_>) -> Self {
        // Where nothing would be opened, nothing is compared either.
        if !place.outside.names_keys(place.repository) {
            return Self::Closed;
        }
        if let Some(base) = place.proposed_for {
            return Self::Compared(Arc::new(base.opened()));
        }
        Self::with_keys(place.outside, place.repository).await
    }

    /// With the keys that the settings name for a repository, if they name any. Waits for the disk.
    pub(super) async fn with_keys(outside: &Arc<Outside>, repository: &RepositoryName) -> Self {
        let (outside, repository) = (Arc::clone(outside), repository.clone());
        let read = tokio::task::spawn_blocking(move || outside.keys(Some(&repository))).await;
        // A panic while keys are read leaves nothing open.
        read.ok().flatten().map_or(Self::Closed, |keys| Self::With(Arc::new(keys)))
    }
}

/// What one stack opens of a tree.
#[derive(Debug)]
pub(super) struct Opener<'a> {
    tree: &'a ManifestTree,
    opening: &'a Opening,
    budget: &'a Budget,
    files: RefCell<OpenedFiles>,
    refused: RefCell<BTreeMap<TreePath, Diagnostic>>,
}

impl<'a> Opener<'a> {
    pub(super) fn new(tree: &'a ManifestTree, opening: &'a Opening, budget: &'a Budget) -> Self {
        Self { tree, opening, budget, files: RefCell::default(), refused: RefCell::default() }
    }

    /// The plaintext of a file: nothing where it is not encrypted, or nobody named a key. An error says that it stays
    /// closed; why is told by [`Self::finish`].
    pub(super) fn open(&self, path: &TreePath) -> Result<Option<Arc<[u8]>>, String> {
        const CLOSED: &str = "it is encrypted, and stays closed";
        let Some(file) = self.tree.file(path) else { return Ok(None) };
        if let Some(opened) = self.files.borrow().get(path) {
            return Ok(Some(opened.bytes.reveal().as_slice().into()));
        }
        if self.refused.borrow().contains_key(path) {
            return Err(CLOSED.to_owned());
        }
        if matches!(self.opening, Opening::Closed) {
            return Ok(None);
        }
        let Some(format) = sops::format_of(path.as_str(), &file.bytes) else { return Ok(None) };
        match self.opened(path, format, &file.bytes) {
            Ok(opened) => {
                let bytes = opened.bytes.reveal().as_slice().into();
                self.files.borrow_mut().insert(path.clone(), Arc::new(opened));
                Ok(Some(bytes))
            }
            Err(problem) => {
                self.refused.borrow_mut().insert(path.clone(), *problem);
                Err(CLOSED.to_owned())
            }
        }
    }

    fn opened(
        &self,
        path: &TreePath,
        format: sops::Format,
        bytes: &[u8],
    ) -> Result<Opened, Box<Diagnostic>> {
        let file = path.to_string();
        let steps = STEPS + STEPS_A_BYTE * bytes.len() as u64;
        if let Err(over) = self.budget.steps(steps) {
            let message = format!("with what was read before, opening it is {over}");
            let problem = Diagnostic::error(Location::file(file), message);
            return Err(Box::new(problem.help("put what belongs together into one file")));
        }
        let opened = match self.opening {
            Opening::With(keys) => sops::open(format, bytes, &keys.identities),
            Opening::Compared(known) => {
                sops::compare(format, bytes, known.get(path).map(AsRef::as_ref))
            }
            Opening::Closed => {
                return Err(Box::new(Diagnostic::error(Location::file(file), "no key is named")));
            }
        };
        opened.map_err(|mut refusal| {
            if let (Refused::NoKey, Opening::With(keys)) = (refusal.refused, self.opening) {
                // A key that could not be read may well be the one.
                if !keys.problems.is_empty() {
                    let problems = keys.problems.join("; ");
                    refusal.message = format!("{problems}; {}", refusal.message);
                }
            }
            Box::new(refusal.diagnostic(&file))
        })
    }

    /// Opens the files of configs and secrets, which are copied into containers. Gives what is wrong with where else a file
    /// that was opened would go: labels are read by everybody.
    pub(super) fn attached(&self, project: &Project) -> Vec<Diagnostic> {
        let configs = project.configs.values().map(|config| &config.file);
        let files = configs.chain(project.secrets.values().map(|secret| &secret.file));
        for path in files.filter_map(|file| in_tree(file)) {
            // What stays closed is told by `finish`.
            let _opened = self.open(&path);
        }
        let mut problems = Vec::new();
        for (name, service) in &project.services {
            let labels = service.label_file.iter().filter_map(|file| in_tree(file));
            for path in labels.filter(|path| self.files.borrow().contains_key(path)) {
                let message = "labels would hold what is encrypted, and everybody who sees the container reads them";
                let problem = Diagnostic::error(Location::file(path.to_string()), message);
                problems.push(
                    problem
                        .at(format!("services.{name}.label_file"))
                        .help("keep secrets in `environment` or `secrets`"),
                );
            }
        }
        problems
    }

    /// What was opened, and what stays closed and why.
    pub(super) fn finish(self) -> (OpenedFiles, Vec<Diagnostic>) {
        (self.files.into_inner(), self.refused.into_inner().into_values().collect())
    }
}

fn in_tree(path: &str) -> Option<TreePath> {
    tree_path(path).filter(|path| !path.is_empty()).and_then(|path| TreePath::parse(path).ok())
}

/// A tree that knows the plaintext of what was opened.
pub(super) fn known(tree: &ManifestTree, opened: &OpenedFiles) -> ManifestTree {
    let plain = |(path, file): (&TreePath, &Arc<Opened>)| {
        (path.clone(), Secret::new(Arc::from(file.bytes.reveal().as_slice())))
    };
    tree.clone().with_opened(opened.iter().map(plain).collect())
}
