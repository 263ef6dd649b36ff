//! What is remembered of pull requests between starts: which are open, at which head they were planned last, and what their
//! comments say.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::data::disk::{at_the_disk, text_of};
use crate::forge::Head;
use crate::model::RepositoryName;

/// The memory of one repository's pull requests.
#[derive(Debug)]
pub(crate) struct Memory {
    folder: PathBuf,
    name: RepositoryName,
    heads: BTreeMap<u64, String>,
}

/// The file's forms: the first only named the numbers.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Page {
    Heads(BTreeMap<u64, String>),
    Numbers(Vec<u64>),
}

impl Memory {
    /// What is remembered in this folder. Nothing, where it cannot be read: then a comment may be edited once more.
    pub(crate) fn open(folder: PathBuf, name: &RepositoryName) -> Self {
        let mut memory = Self { folder, name: name.clone(), heads: BTreeMap::new() };
        let text = text_of(&memory.file()).unwrap_or_default();
        memory.heads = match serde_json::from_str(&text) {
            Ok(Page::Heads(heads)) => heads,
            Ok(Page::Numbers(numbers)) => {
                numbers.into_iter().map(|number| (number, String::new())).collect()
            }
            Err(_) => BTreeMap::new(),
        };
        memory
    }

    /// Pull requests that were open at the last look.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u64> + '_ {
        self.heads.keys().copied()
    }

    /// Whether this head was planned before.
    pub(crate) fn knows(&self, number: u64, head: &Head) -> bool {
        self.heads.get(&number).is_some_and(|known| *known == text(head))
    }

    /// A pull request is open.
    pub(crate) fn is_open(&mut self, number: u64) {
        if let Entry::Vacant(place) = self.heads.entry(number) {
            place.insert(String::new());
            self.keep();
        }
    }

    /// A head was planned; its comment says this, where there is one.
    pub(crate) fn planned(&mut self, number: u64, head: &Head, body: Option<&str>) {
        let head = text(head);
        if self.heads.get(&number) != Some(&head) {
            self.heads.insert(number, head);
            self.keep();
        }
        let Some(body) = body else { return };
        if self.body(number).as_deref() != Some(body) {
            write(&self.body_file(number), body.as_bytes());
        }
    }

    /// What the comment of a pull request says.
    pub(crate) fn body(&self, number: u64) -> Option<String> {
        text_of(&self.body_file(number))
    }

    /// A pull request needs nothing more.
    pub(crate) fn forget(&mut self, number: u64) {
        self.heads.remove(&number);
        self.keep();
        // One that is not there is as well as removed.
        drop(at_the_disk(|| std::fs::remove_file(self.body_file(number))));
    }

    fn file(&self) -> PathBuf {
        self.folder.join(format!("{}.pulls.json", self.name))
    }

    fn body_file(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{}.plan-{number}.md", self.name))
    }

    fn keep(&self) {
        let text = serde_json::to_vec(&self.heads).unwrap_or_default();
        write(&self.file(), &text);
    }
}

fn write(file: &std::path::Path, text: &[u8]) {
    if let Err(error) = crate::data::disk::write_whole(file, text) {
        tracing::warn!(%error, "cannot remember what was said of pull requests");
    }
}

fn text(head: &Head) -> String {
    match head {
        Head::Full(revision) => revision.to_string(),
        Head::Short(digits) => digits.clone(),
    }
}
