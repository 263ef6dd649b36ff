//! Files to one canonical model: reading, extending, including, merging.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::attributes;
use super::canonical::{Sink, canonicalise, default_contexts};
use super::check::{Demand, check, check_service};
use super::files::{Files, ReadProblem, is_remote, join, parent};
use super::interpolate::{Env, interpolate, resolve_environment};
use super::merge::{Tags, merge, merge_service, settle};
use super::paths::Paths;
use super::place::Place;
use super::rules;
use super::values::sealed::{self, SealedVariables};
use super::values::unset::Unset;
use crate::model::{Budget, Diagnostic, Diagnostics, Location};
use crate::yaml::{self, COPY_BYTES, Kind, Map, Node, Tag};

/// Files that one model may be made of.
/// An include that includes two others, fifty deep, names a million billion files: the count ends it where the depth does not.
const MAX_FILES: usize = 1_000;
/// Services that one service may extend in a row.
/// Far beyond what anybody maintains; a circle is found by name before.
const MAX_CHAIN: usize = 100;
/// Steps of carrying a copied value all the way to a project.
/// Interpolated, merged, checked, converted and written out, a value that is copied costs so much more than
/// reading it did.
const COPY_STEPS: u64 = 2_800;
/// Includes in includes.
const MAX_INCLUDES: usize = 50;
/// Bytes that the files of one model may hold; a file that is read twice counts twice.
/// A Compose file of a megabyte is generated; the limit is for the one that names another one a thousand times.
const MAX_READ: usize = 64 * 1024 * 1024;

/// Reads files and puts one model together.
pub(super) struct Loader<'a> {
    pub(super) files: &'a dyn Files,
    /// What `~` stands for.
    pub(super) home: Option<String>,
    pub(super) problems: Diagnostics,
    /// References to variables without a value.
    pub(super) unset: Unset,
    /// Variables from outside.
    pub(super) given: Env,
    /// Variables of files that stand for another value.
    pub(super) sealed: SealedVariables,
    /// Whether anything that was read may hold such a value.
    pub(super) may_be_sealed: bool,
    /// Files that were read, by absolute path.
    pub(super) used: BTreeSet<String>,
    /// Files that were read to extend from, interpolated and canonical.
    bases: BTreeMap<(usize, String), Option<Arc<Node>>>,
    /// Services with what they extend, by file and name.
    extended: BTreeMap<(usize, String, String), Node>,
    /// The model that is being put together: its variables are its own.
    scope: usize,
    /// Files that were parsed before they are loaded.
    early: BTreeMap<String, Vec<Node>>,
    loads: usize,
    /// What this model may cost, all of it together.
    pub(super) budget: &'a Budget,
    read: usize,
    ports: usize,
}

/// Why a file is read.
///
/// A file that a service is extended from is often a whole application of its own, with variables that nobody sets
/// here. It is not refused for what is not taken from it.
#[derive(Clone, Copy)]
enum Whose<'n> {
    /// It is part of the model: everything in it must be right.
    Own,
    /// This node extends a service in it: only that service must be right.
    Base(&'n Node),
}

/// Where a service's definition stands.
#[derive(Clone, Copy)]
struct Standing<'s> {
    /// The services around it.
    services: &'s Map,
    /// Its file.
    file: &'s str,
    /// The folder that its `extends.file` is relative to.
    folder: &'s str,
}

impl<'a> Loader<'a> {
    pub(super) fn new(files: &'a dyn Files, home: Option<&str>, budget: &'a Budget) -> Self {
        Self {
            files,
            home: home.map(str::to_owned),
            problems: Diagnostics::default(),
            unset: Unset::default(),
            given: Env::new(),
            sealed: SealedVariables::default(),
            may_be_sealed: false,
            used: BTreeSet::new(),
            bases: BTreeMap::new(),
            extended: BTreeMap::new(),
            scope: 0,
            early: BTreeMap::new(),
            loads: 0,
            budget,
            read: 0,
            ports: 0,
        }
    }

    /// One model of these files, with absolute paths and resolved variables. `chain` holds the files that are
    /// being included.
    ///
    /// Files are laid over one another in the order in which they are named, each with what it extends and includes.
    /// Paths become absolute against the folder of the file that says them before they meet, because afterwards nobody
    /// knows whose folder was meant (Compose Specification, "Merge and override", relative paths).
    pub(super) fn model(
        &mut self,
        files: &[String],
        folder: &str,
        env: &Env,
        chain: &[String],
    ) -> Option<Node> {
        let root = attributes::root();
        let mut whole: Option<Node> = None;
        let scope = std::mem::replace(&mut self.scope, self.loads + 1);
        for file in files {
            for mut document in self.documents(file, env, Whose::Own) {
                self.extend_all(&mut document, file, folder, env);
                let mut chain = chain.to_vec();
                chain.push(file.clone());
                let document = self.include_all(document, folder, env, &chain);
                whole = Some(match whole {
                    None => document,
                    Some(earlier) => {
                        let tags = Tags::Drop;
                        let Self { problems, budget, .. } = self;
                        merge(earlier, document, Some(root), tags, problems, budget)
                    }
                });
            }
        }
        self.scope = scope;
        let mut whole = whole?;
        settle(&mut whole, Some(root));
        check(&whole, root, Demand::Whole, &mut self.problems);
        rules::check(&whole, &mut self.problems);
        default_contexts(&mut whole);
        let paths = Paths { files: self.files, folder, home: self.home.as_deref() };
        paths.resolve(&mut whole, &mut self.problems);
        resolve_environment(&mut whole, env, &self.unset);
        Some(whole)
    }

    /// Reads a file: its documents, interpolated, checked and canonical.
    ///
    /// A file with several documents is as many files laid over one another: YAML's `---` is allowed, and compose-go
    /// reads it so.
    fn documents(&mut self, path: &str, env: &Env, whose: Whose<'_>) -> Vec<Node> {
        let asked_at = match whose {
            Whose::Own => None,
            Whose::Base(node) => Some(node),
        };
        self.loads += 1;
        if self.loads > MAX_FILES {
            let message = format!("more than {MAX_FILES} files are included or extended");
            self.refuse(asked_at, path, message);
            return Vec::new();
        }
        let root = attributes::root();
        let Some(documents) = self.parse(path, asked_at) else { return Vec::new() };
        let mut read = Vec::with_capacity(documents.len());
        self.unset.reads_base(asked_at.map(|_| path.to_owned()));
        for mut document in documents {
            if document.as_map().is_none() {
                let message = format!("a mapping was expected, and this is {}", document.noun());
                self.problems.push(
                    document
                        .error(message)
                        .help("a Compose file begins with a line such as services:"),
                );
                continue;
            }
            interpolate(
                &mut document,
                Some(root),
                env,
                (&mut self.unset, &mut self.problems),
                self.budget,
            );
            if matches!(whose, Whose::Own) {
                check(&document, root, Demand::Fragment, &mut self.problems);
            }
            let mut sink = Sink::new(&mut self.problems, &mut self.ports, self.budget);
            canonicalise(&mut document, root, Place::TOP, &mut sink);
            read.push(document);
        }
        read
    }

    /// The documents of a file as they are written.
    ///
    /// A file that cannot be read at all ends what is made of it and nothing else, so that the problems of all other
    /// files are told in the same run.
    fn parse(&mut self, path: &str, asked_at: Option<&Node>) -> Option<Vec<Node>> {
        if let Some(documents) = self.early.remove(path) {
            return Some(documents);
        }
        let bytes = self.read(path, asked_at)?;
        self.read = self.read.saturating_add(bytes.len());
        if self.read > MAX_READ {
            let message = format!("the files hold more than {} MiB", MAX_READ / 1024 / 1024);
            self.refuse(asked_at, path, message);
            return None;
        }
        match yaml::parse_within(&self.files.show(path), &bytes, self.budget) {
            Ok(documents) => Some(documents),
            Err(problems) => {
                problems.0.into_iter().for_each(|problem| self.problems.push(problem));
                None
            }
        }
    }

    /// The documents of a file before it is loaded; parsed only once. Problems wait until it is loaded.
    ///
    /// The project's name is needed before variables are (`COMPOSE_PROJECT_NAME` is one of them), and stands in a file
    /// that is loaded only afterwards.
    pub(super) fn parsed(&mut self, path: &str) -> Option<&[Node]> {
        if !self.early.contains_key(path) {
            let bytes = self.files.read(path).ok()?;
            let documents = yaml::parse_within(&self.files.show(path), &bytes, self.budget).ok()?;
            self.may_be_sealed |= sealed::may_hold(&bytes);
            self.used.insert(path.to_owned());
            self.early.insert(path.to_owned(), documents);
        }
        self.early.get(path).map(Vec::as_slice)
    }

    /// The content of a file; problems are reported where it is asked for.
    ///
    /// What was read is remembered by path: a change of any of these files is another model, and one of another file is
    /// not.
    pub(super) fn read(&mut self, path: &str, asked_at: Option<&Node>) -> Option<Arc<[u8]>> {
        match self.files.read(path) {
            Ok(bytes) => {
                self.may_be_sealed |= sealed::may_hold(&bytes);
                if self.used.insert(path.to_owned()) {
                    self.budget.earn(bytes.len());
                }
                Some(bytes)
            }
            Err(problem) => {
                let shown = self.files.show(path);
                let message = match problem {
                    ReadProblem::NotFound => format!("there is no file {shown}"),
                    ReadProblem::IsFolder => {
                        format!("{shown} is a folder, and a file was expected")
                    }
                    ReadProblem::Outside => format!("{shown} lies outside the repository"),
                    ReadProblem::Other(why) => format!("{shown} cannot be read: {why}"),
                };
                self.refuse(asked_at, path, message);
                None
            }
        }
    }

    /// Where it was asked for is the line to look at; the file itself may not exist.
    fn refuse(&mut self, asked_at: Option<&Node>, path: &str, message: String) {
        let location = match asked_at {
            Some(node) => node.location(),
            None => Location::file(self.files.show(path)),
        };
        self.problems.push(Diagnostic::error(location, message));
    }

    /// Before documents are merged: `extends` of one file is settled within that file, so that a later file overrides
    /// what was inherited as it overrides what was written (Compose Specification, `extends`).
    fn extend_all(&mut self, document: &mut Node, file: &str, folder: &str, env: &Env) {
        let Some(services) = document.as_map_mut().and_then(|map| map.get_mut("services")) else {
            return;
        };
        let Kind::Map(services) = &mut services.kind else { return };
        let names: Vec<String> = services
            .iter()
            .filter(|entry| entry.value.get("extends").is_some())
            .map(|entry| entry.key.clone())
            .collect();
        self.extended.clear();
        for name in names {
            let standing = Standing { services, file, folder };
            let extended = self.extended(&name, standing, env, &mut Vec::new());
            let place = services.get_mut(&name);
            if let (Some(place), Some(extended)) = (place, extended) {
                *place = extended;
            }
        }
    }

    /// A service with what it extends, recursively. `trail` holds the services on the way.
    ///
    /// The base comes first and the service's own words above it, by the rules of merging. A service that extends
    /// itself by way of others is told with the whole way, since no single file shows the circle.
    fn extended(
        &mut self,
        name: &str,
        at: Standing<'_>,
        env: &Env,
        trail: &mut Vec<(String, String)>,
    ) -> Option<Node> {
        let key = (self.scope, at.file.to_owned(), name.to_owned());
        if let Some(known) = self.extended.get(&key) {
            return Some(known.clone());
        }
        // Once it is over nothing is copied any more, and that is said once.
        if self.budget.over().is_some() {
            return None;
        }
        let mut service = at.services.get(name)?.clone();
        let extends = match service.as_map_mut().and_then(|map| map.remove("extends")) {
            Some(extends) if extends.value.tag != Tag::Reset => extends.value,
            _ => return Some(service),
        };
        let here = (at.file.to_owned(), name.to_owned());
        if trail.contains(&here) || trail.len() >= MAX_CHAIN {
            let way: Vec<&str> =
                trail.iter().map(|(_, name)| name.as_str()).chain([name]).collect();
            let message = if trail.contains(&here) {
                format!("the services extend each other in a circle: {}", way.join(" extends "))
            } else {
                format!("more than {MAX_CHAIN} services extend each other in a row")
            };
            self.problems.push(extends.error(message).at(format!("services.{name}.extends")));
            return Some(service);
        }
        trail.push(here);
        let base = self.base(name, &extends, at, env, trail);
        trail.pop();
        let Some(base) = base else { return Some(service) };
        if base.is_null() {
            // As in the reference: where there is nothing to take over, the service keeps saying whom it extends.
            if let Some(map) = service.as_map_mut() {
                map.set("extends", extends);
            }
            return Some(service);
        }
        let shape = attributes::root().key("services").and_then(|shape| shape.any.as_deref())?;
        let services = Place::TOP.key("services");
        let place = services.key(name);
        let merged = merge_service(base, service, shape, place, &mut self.problems, self.budget);
        self.extended.insert(key, merged.clone());
        Some(merged)
    }

    /// A service that is extended is copied, and what is copied is paid for.
    ///
    /// Ten services that each extend the one before twice over are a thousand copies of the first, from a file of one
    /// page.
    fn charge_copy(&mut self, base: &Node, extends: &Node, path: String) -> Option<()> {
        let size = base.size();
        let memory = self.budget.bytes(size.saturating_mul(COPY_BYTES));
        if let Err(over) = memory.and_then(|()| self.budget.steps(COPY_STEPS * size as u64)) {
            let message = format!("with what is extended up to here, it is {over}");
            self.problems.push(extends.error(message).at(path));
            return None;
        }
        Some(())
    }

    /// The service that `extends` names, itself extended, with absolute paths when it is of another file.
    ///
    /// Of another file the base brings its mounts and env files from its own folder. What it depends on comes with it
    /// too, and must be in this model (`depends_on`, `volumes_from`, `network_mode: service:`): the Specification
    /// leaves that to the author, and it is checked at the end like everything else.
    fn base(
        &mut self,
        name: &str,
        extends: &Node,
        at: Standing<'_>,
        env: &Env,
        trail: &mut Vec<(String, String)>,
    ) -> Option<Node> {
        let path = format!("services.{name}.extends");
        let Some(wanted) = extends.get("service").and_then(Node::as_text) else {
            self.problems.push(extends.error("it must name a service").at(path));
            return None;
        };
        let missing = |file: &str, services: &Map| {
            let near = yaml::nearest(wanted, services.iter().map(|entry| entry.key.as_str()));
            let help = near.map_or(String::new(), |near| format!("did you mean {near:?}?"));
            let message = format!("there is no service {wanted:?} in {file}");
            extends.get("service").unwrap_or(extends).error(message).at(path.clone()).help(help)
        };
        let mut base = match extends.get("file").filter(|file| !file.is_null()) {
            None => {
                self.unset.extends(at.file, wanted);
                if !at.services.contains(wanted) {
                    let shown = self.files.show(at.file);
                    self.problems.push(missing(&shown, at.services));
                    return None;
                }
                self.extended(wanted, at, env, trail)?
            }
            Some(file) => {
                let text = file.as_text().unwrap_or_default();
                if is_remote(text) {
                    let message = format!("{text:?} is on another machine");
                    self.problems.push(
                        file.error(message).at(path).help("put the file into the repository"),
                    );
                    return None;
                }
                let other = join(at.folder, text);
                let known = self.problems.0.len();
                let Some(document) = self.base_document(&other, env, file) else {
                    if self.problems.0.len() == known {
                        let message = format!("{} holds no services", self.files.show(&other));
                        self.problems.push(file.error(message).at(path));
                    }
                    return None;
                };
                let empty = Map::default();
                let services = document.get("services").and_then(Node::as_map).unwrap_or(&empty);
                if !services.contains(wanted) {
                    let shown = self.files.show(&other);
                    self.problems.push(missing(&shown, services));
                    return None;
                }
                self.unset.extends(&other, wanted);
                if let Some(service) = services.get(wanted) {
                    let place = Place::TOP.key("services");
                    check_service(service, place.key(wanted), &mut self.problems);
                }
                let folder = parent(&other);
                let standing = Standing { services, file: &other, folder };
                let mut base = self.extended(wanted, standing, env, trail)?;
                let paths = Paths { files: self.files, folder, home: self.home.as_deref() };
                let services = Place::TOP.key("services");
                paths.service(&mut base, services.key(name), &mut self.problems);
                base
            }
        };
        self.charge_copy(&base, extends, path)?;
        if let Some(shape) = attributes::root().key("services").and_then(|s| s.any.as_deref()) {
            settle(&mut base, Some(shape));
        }
        (base.as_map().is_some() || base.is_null()).then_some(base)
    }

    /// A file to extend from: its documents merged. Read once.
    ///
    /// Problems in it are those of whoever extends from it, once: ten services that extend from one file that is broken
    /// are one problem.
    fn base_document(&mut self, path: &str, env: &Env, asked_at: &Node) -> Option<Arc<Node>> {
        let key = (self.scope, path.to_owned());
        if let Some(known) = self.bases.get(&key) {
            return known.clone();
        }
        let root = attributes::root();
        let documents = self.documents(path, env, Whose::Base(asked_at));
        let merged = documents
            .into_iter()
            .reduce(|base, over| {
                merge(base, over, Some(root), Tags::Drop, &mut self.problems, self.budget)
            })
            .map(Arc::new);
        self.bases.insert(key, merged.clone());
        merged
    }

    /// The document laid over what it includes.
    ///
    /// An include is no merge: what both sides define is a conflict and refused, unless the including file overrides it
    /// on purpose (Compose Specification, "Include"). It is laid below, so that the document's own words win where the
    /// reference lets them.
    fn include_all(&mut self, document: Node, folder: &str, env: &Env, chain: &[String]) -> Node {
        let mut document = document;
        let includes = document.as_map_mut().and_then(|map| map.remove("include"));
        let Some(includes) = includes else { return document };
        for include in includes.value.as_list().unwrap_or_default() {
            let Some(mut included) = self.included(include, folder, env, chain) else { continue };
            if let Kind::Map(map) = &mut included.kind {
                let kept = ["services", "volumes", "networks", "configs", "secrets", "models"];
                map.retain(|entry| kept.contains(&entry.key.as_str()));
            }
            let root = attributes::root();
            let Self { problems, budget, .. } = self;
            document = merge(included, document, Some(root), Tags::Keep, problems, budget);
        }
        document
    }

    /// An included model is whole by itself: it has a folder, variables and env files of its own, and its services
    /// refer to each other before anybody overrides them.
    fn included(
        &mut self,
        include: &Node,
        folder: &str,
        env: &Env,
        chain: &[String],
    ) -> Option<Node> {
        let mut files = Vec::new();
        if self.budget.over().is_some() {
            return None;
        }
        for path in texts(include.get("path")) {
            let text = path.as_text().unwrap_or_default();
            if is_remote(text) {
                let message = format!("{text:?} is on another machine");
                self.problems.push(
                    path.error(message).at("include").help("put the file into the repository"),
                );
                return None;
            }
            let file = join(folder, text);
            if chain.contains(&file) || chain.len() >= MAX_INCLUDES {
                let way: Vec<String> =
                    chain.iter().chain([&file]).map(|path| self.files.show(path)).collect();
                let message =
                    format!("files include each other in a circle: {}", way.join(" includes "));
                self.problems.push(path.error(message).at("include"));
                return None;
            }
            // The loader reports missing files at the place that asks for them.
            self.read(&file, Some(path))?;
            files.push(file);
        }
        let first = files.first()?;
        let directory = match include.get("project_directory").and_then(Node::as_text) {
            // As in the reference: what is no folder stands for the folder that it lies in.
            Some(directory) if !directory.is_empty() => {
                let directory = join(folder, directory);
                let is_there = self.files.is_folder(&directory);
                if is_there { directory } else { parent(&directory).to_owned() }
            }
            _ => parent(first).to_owned(),
        };
        // They are copied, and read once more from the files beside what is included.
        let size: usize = env.iter().map(|(name, value)| 2 * (name.len() + value.len() + 64)).sum();
        if let Err(over) = self.budget.bytes(size) {
            let message = format!("with the variables of what is included, it is {over}");
            self.problems.push(include.error(message).at("include"));
            return None;
        }
        let mut inner = env.clone();
        self.include_env(include, folder, &directory, &mut inner)?;
        self.model(&files, &directory, &inner, chain)
    }
}

/// One text or a list of them: `include: a.yaml` and `env_file: [a, b]` are both written so.
pub(super) fn texts(node: Option<&Node>) -> Vec<&Node> {
    let Some(node) = node else { return Vec::new() };
    let one = std::slice::from_ref(node);
    node.as_list().unwrap_or(one).iter().filter(|item| !item.is_null()).collect()
}
