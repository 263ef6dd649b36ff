//! The table on which desired state is put together: the input, and what piles up on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ring::hmac;

use super::Input;
use crate::model::{Budget, Diagnostic, Digest, FileBundle, Location, Replica, ServiceName};

/// The input, and what piles up while it is worked through.
#[derive(Debug)]
pub(super) struct Desk<'a> {
    pub(super) input: Input<'a>,
    pub(super) bundles: BTreeMap<Digest, Arc<FileBundle>>,
    pub(super) seals: BTreeMap<Replica, String>,
    pub(super) problems: Vec<Diagnostic>,
    pub(super) budget: Budget,
    seen: BTreeSet<Diagnostic>,
    key: hmac::Key,
}

impl<'a> Desk<'a> {
    /// An empty one.
    pub(super) fn new(input: Input<'a>) -> Self {
        // The Engine's id is known only to those who may ask the Engine, and they may read the files as well: so a
        // label that travels elsewhere (metrics, reports) tells nothing about a short secret.
        let secret = format!("{}\0{}", input.engine.id, input.stack);
        Self {
            input,
            bundles: BTreeMap::new(),
            seals: BTreeMap::new(),
            problems: Vec::new(),
            budget: Budget::of_a_stack(),
            seen: BTreeSet::new(),
            key: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
        }
    }

    /// A digest that only those can check who know the Engine.
    pub(super) fn digest(&self, bytes: &[u8]) -> Digest {
        Digest::of(hmac::sign(&self.key, bytes).as_ref())
    }

    /// Whether the Engine speaks at least this API version. An unknown one is taken as able.
    pub(super) fn speaks(&self, major: u32, minor: u32) -> bool {
        let api = self.input.engine.api;
        api == (0, 0) || (major, minor) <= api
    }

    /// Takes the memory and the time of something that many bytes long; `None`, and an error, where too little is left.
    pub(super) fn afford(&mut self, service: &ServiceName, bytes: usize) -> Option<()> {
        // A digest over it is made as well.
        let cost = self.budget.bytes(bytes).and_then(|()| self.budget.steps(4 * bytes as u64));
        if let Err(over) = cost {
            let message = format!("with the services up to this one, the stack asks for {over}");
            let help = "divide it into several stacks, or ask for fewer replicas";
            self.refuse(format!("services.{service}"), message, help);
        }
        cost.ok()
    }

    /// Where the manifest says something, or its first file.
    pub(super) fn place(&self, path: &str) -> Location {
        self.input.project.origins.nearest(path).unwrap_or_else(|| {
            Location::file(self.input.config_files.first().cloned().unwrap_or_default())
        })
    }

    /// Notes an error.
    pub(super) fn refuse(
        &mut self,
        path: impl Into<String>,
        message: impl Into<String>,
        help: &str,
    ) {
        let path = path.into();
        let diagnostic = Diagnostic::error(self.place(&path), message).at(path).help(help);
        self.note(diagnostic);
    }

    /// Notes a warning.
    pub(super) fn warn(&mut self, path: impl Into<String>, message: impl Into<String>, help: &str) {
        let path = path.into();
        let diagnostic = Diagnostic::warning(self.place(&path), message).at(path).help(help);
        self.note(diagnostic);
    }

    /// Replicas meet the same problem one after another: it is said once.
    fn note(&mut self, diagnostic: Diagnostic) {
        if self.seen.insert(diagnostic.clone()) {
            self.problems.push(diagnostic);
        }
    }
}

/// Path of an attribute of a service.
pub(super) fn at(service: &ServiceName, attribute: &str) -> String {
    format!("services.{service}.{attribute}")
}

/// `text` as it is, or nothing when it is empty.
pub(super) fn non_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
