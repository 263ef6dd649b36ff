//! References to variables that have no value: remembered while files are read, judged once the model is known.
//!
//! A reference counts when it may reach something that runs. What stands under `x-…`, in a service that no profile
//! enables, in a file from which something else is extended, or in a variable that nobody asks for, is only warned of.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::LoadPurpose;
use crate::model::{Diagnostic, Location, ServiceName, UnsetPolicy};

/// References that are remembered: what one model may hold of them is bounded like the model itself.
/// What is beyond is counted and not kept: the first of them stop the deployment anyway.
const MAX_REFERENCES: usize = 100_000;
/// Names that one message lists.
const MAX_NAMED: usize = 12;

const HELP: &str = "give it a value in `.env`, in `environment` of the fleet file or in a file under `variables` of the settings; or a default: `${NAME:-…}`";
const MOUNT_HELP: &str = "give it a value: what is left would be another folder of the host; `${NAME:-}` says that it may be empty";

/// What a reference stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Whose {
    /// The model itself.
    Model,
    /// A file that services are extended from, by its absolute path.
    Base(String),
    /// A variable of a file of variables: it counts when somebody asks for it.
    Variable(String),
}

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lack {
    /// The variable has no value.
    Value,
    /// A path on the host begins with a variable whose value is empty.
    Beginning,
}

/// The services of a model.
#[derive(Debug, Clone, Copy)]
pub(in crate::compose) struct Services<'a> {
    /// All that it names.
    pub(in crate::compose) all: &'a BTreeSet<ServiceName>,
    /// Those that no profile enables.
    pub(in crate::compose) disabled: &'a BTreeSet<ServiceName>,
}

#[derive(Debug)]
struct Reference {
    name: String,
    location: Location,
    path: String,
    whose: Whose,
    lack: Lack,
}

/// References to variables without a value.
#[derive(Debug, Default)]
pub(in crate::compose) struct Unset {
    references: Vec<Reference>,
    /// Variables of files that refer to such variables themselves.
    tainted: BTreeSet<String>,
    /// Those of them that somebody asked for.
    asked: RefCell<BTreeSet<String>>,
    /// Services that were extended from, by file and name.
    extended: BTreeSet<(String, String)>,
    /// The file that is read, where it is one that services are extended from.
    base: Option<String>,
}

impl Unset {
    /// From now on (`Some`) what is read is a file to extend from; `None`: the model's own.
    pub(in crate::compose) fn reads_base(&mut self, file: Option<String>) {
        self.base = file;
    }

    /// A reference in the file that is read stands for nothing.
    pub(in crate::compose) fn note(&mut self, name: &str, location: Location, path: String) {
        let whose = self.base.clone().map_or(Whose::Model, Whose::Base);
        self.push(Reference { name: name.to_owned(), location, path, whose, lack: Lack::Value });
    }

    /// A reference in a file that a service's variables or labels come from stands for nothing.
    pub(in crate::compose) fn note_own(&mut self, name: &str, location: Location, path: String) {
        let (name, whose, lack) = (name.to_owned(), Whose::Model, Lack::Value);
        self.push(Reference { name, location, path, whose, lack });
    }

    /// A path on the host begins with a variable whose value is empty.
    pub(in crate::compose) fn note_beginning(
        &mut self,
        name: &str,
        location: Location,
        path: String,
    ) {
        let whose = self.base.clone().map_or(Whose::Model, Whose::Base);
        self.push(Reference {
            name: name.to_owned(),
            location,
            path,
            whose,
            lack: Lack::Beginning,
        });
    }

    /// A variable of a file refers to one without a value.
    pub(in crate::compose) fn note_variable(
        &mut self,
        of: &str,
        names: &BTreeSet<String>,
        location: &Location,
    ) {
        // What another file said of it before holds no more.
        self.references.retain(|one| one.whose != Whose::Variable(of.to_owned()));
        if names.is_empty() {
            self.tainted.remove(of);
            return;
        }
        self.tainted.insert(of.to_owned());
        for name in names {
            self.push(Reference {
                name: name.clone(),
                location: location.clone(),
                path: String::new(),
                whose: Whose::Variable(of.to_owned()),
                lack: Lack::Value,
            });
        }
    }

    /// A variable was asked for.
    pub(in crate::compose) fn asks(&self, name: &str) {
        if self.tainted.contains(name) {
            self.asked.borrow_mut().insert(name.to_owned());
        }
    }

    /// A service of another file was extended from.
    pub(in crate::compose) fn extends(&mut self, file: &str, service: &str) {
        self.extended.insert((file.to_owned(), service.to_owned()));
    }

    fn push(&mut self, reference: Reference) {
        if self.references.len() < MAX_REFERENCES {
            self.references.push(reference);
        }
    }

    /// Whether a reference may reach something that runs.
    ///
    /// Refusing too much would make half of the public Compose files useless: many name variables in services that a
    /// profile hides, or in `x-` parts that only other files use. Refusing too little starts a database with an empty
    /// password.
    fn counts(&self, reference: &Reference, services: Option<&Services<'_>>) -> bool {
        let path = reference.path.as_str();
        if path.starts_with("x-") {
            return false;
        }
        let of_service = path.strip_prefix("services.");
        match (&reference.whose, of_service) {
            (Whose::Variable(of), _) => self.asked.borrow().contains(of),
            (Whose::Base(file), Some(rest)) => {
                let known = self.extended.iter().filter(|(of, _)| of == file);
                let found = attribute_of(rest, known.map(|(_, service)| service.as_str()));
                found.is_some_and(|(_, attribute)| !attribute.starts_with("x-"))
            }
            (Whose::Base(_), None) => false,
            (Whose::Model, Some(rest)) => {
                let Some(Services { all, disabled }) = services else { return true };
                match attribute_of(rest, all.iter().map(ServiceName::as_str)) {
                    Some((name, attribute)) => {
                        !disabled.contains(name) && !attribute.starts_with("x-")
                    }
                    None => true,
                }
            }
            (Whose::Model, None) => true,
        }
    }

    /// What is to be said of all of them, once; `services` as far as they are known.
    ///
    /// Once and at the end: whether a service runs is known only when files were merged and profiles applied.
    pub(in crate::compose) fn judge(
        &mut self,
        purpose: LoadPurpose,
        services: Option<&Services<'_>>,
    ) -> Vec<Diagnostic> {
        let references = std::mem::take(&mut self.references);
        let mut refused: BTreeMap<&str, &Reference> = BTreeMap::new();
        let mut warned: BTreeMap<(&str, &str), &Reference> = BTreeMap::new();
        for reference in &references {
            if self.counts(reference, services) && is_refused(reference, purpose) {
                refused.entry(&reference.name).or_insert(reference);
            } else if reference.lack == Lack::Value && self.is_of_interest(reference) {
                // As with docker compose: once a file.
                let key = (reference.location.file.as_str(), reference.name.as_str());
                warned.entry(key).or_insert(reference);
            }
        }
        warned.retain(|(_, name), _| !refused.contains_key(name));
        let (values, beginnings) =
            refused.into_values().partition(|reference| reference.lack == Lack::Value);
        let mut said = refusals(values);
        said.extend(refusals(beginnings));
        said.extend(groups(warned.into_values().collect()).iter().filter_map(|one| warning(one)));
        said
    }

    /// What a variable refers to that nobody asked for is nobody's trouble.
    fn is_of_interest(&self, reference: &Reference) -> bool {
        match &reference.whose {
            Whose::Variable(of) => self.asked.borrow().contains(of),
            Whose::Model | Whose::Base(_) => true,
        }
    }
}

/// Whether a reference that counts is an error.
fn is_refused(reference: &Reference, purpose: LoadPurpose) -> bool {
    match purpose {
        LoadPurpose::Show => false,
        LoadPurpose::Run { unset: UnsetPolicy::Hold } => true,
        // A mount of another folder than was meant is no matter of taste.
        LoadPurpose::Run { unset: UnsetPolicy::Warn } => {
            reference.lack == Lack::Beginning || is_host_path(&reference.path)
        }
    }
}

/// A path below `services` as the service's name, which may hold dots itself, and the attribute.
fn attribute_of<'r>(
    rest: &'r str,
    names: impl Iterator<Item = &'r str>,
) -> Option<(&'r str, &'r str)> {
    names
        .filter_map(|name| {
            let attribute = rest.strip_prefix(name)?;
            Some((
                name,
                attribute.strip_prefix('.').or_else(|| attribute.is_empty().then_some(""))?,
            ))
        })
        .max_by_key(|(name, _)| name.len())
}

/// Whether an attribute names a path on the host that is mounted.
///
/// The source of a bind, and the device of a volume. There a wrong value is no setting but another folder of the host,
/// perhaps its root.
pub(in crate::compose) fn is_host_path(path: &str) -> bool {
    let parts: Vec<&str> = path.split('.').collect();
    matches!(
        parts.as_slice(),
        ["services", _, "volumes", _]
            | ["services", _, "volumes", _, "source"]
            | ["volumes", _, "driver_opts", "device"]
    )
}

/// References of one place.
type Group<'r> = Vec<&'r Reference>;

/// By place; what stands in one place is one.
fn groups(references: Vec<&Reference>) -> Vec<Group<'_>> {
    let key = |one: &Reference| (one.location.clone(), one.path.clone(), one.lack);
    let mut references = references;
    references.sort_by_cached_key(|one| key(one));
    let mut groups: Vec<Group<'_>> = Vec::new();
    for reference in references {
        match groups.last_mut() {
            Some(group) if group.last().is_some_and(|last| key(last) == key(reference)) => {
                group.push(reference);
            }
            _ => groups.push(vec![reference]),
        }
    }
    groups
}

/// `A`, `A and B`, `A, B and C`.
fn names(group: &[&Reference]) -> String {
    let names: Vec<&str> = group.iter().map(|one| one.name.as_str()).collect();
    match names.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        _ => names.concat(),
    }
}

/// Advice once; and the first names the others too, for where there is room for one only.
///
/// A commit status has room for one line: that line names all variables that are missing, and not the first one only,
/// which would be mended alone.
fn refusals(references: Vec<&Reference>) -> Vec<Diagnostic> {
    let groups = groups(references);
    let others = groups.iter().skip(1).take(MAX_NAMED);
    let others: Vec<String> = others
        .filter_map(|group| {
            let Location { file, line, .. } = &group.first()?.location;
            Some(format!("{} ({file}:{line})", names(group)))
        })
        .collect();
    let left_out = groups.len().saturating_sub(1 + others.len());
    let mut advised = BTreeSet::new();
    let mut errors = Vec::with_capacity(groups.len());
    for group in &groups {
        let Some(first) = group.first() else { continue };
        let mut message = refusal(first, group);
        if errors.is_empty() && !others.is_empty() && first.lack == Lack::Value {
            let more = if left_out > 0 { format!(" and {left_out} more") } else { String::new() };
            message = format!("{message}; nor have {}{more}", others.join(", "));
        }
        let help = if first.lack == Lack::Value { HELP } else { MOUNT_HELP };
        let help = if advised.insert(help) { help } else { "" };
        errors.push(Diagnostic::error(first.location.clone(), message).at(&first.path).help(help));
    }
    errors
}

fn refusal(first: &Reference, group: &[&Reference]) -> String {
    let names = names(group);
    let variables = if group.len() == 1 { "variable" } else { "variables" };
    let have = if group.len() == 1 { "has" } else { "have" };
    match (&first.lack, &first.whose) {
        (Lack::Beginning, _) => {
            format!("this path begins with the variable {names}, which is empty")
        }
        (Lack::Value, Whose::Variable(of)) => {
            format!("the {variables} {names} {have} no value, and {of} needs it")
        }
        (Lack::Value, Whose::Model | Whose::Base(_)) => {
            format!("the {variables} {names} {have} no value")
        }
    }
}

fn warning(group: &Group<'_>) -> Option<Diagnostic> {
    let first = group.first()?;
    let message = match group.len() {
        1 => format!("the variable {} is not set: it stands for nothing", first.name),
        _ => format!("the variables {} are not set: they stand for nothing", names(group)),
    };
    Some(Diagnostic::warning(first.location.clone(), message).at(&first.path))
}
