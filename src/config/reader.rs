//! Reads a mapping key by key, and notes everything that is wrong with it.
//!
//! Which keys there are is said once, in a table of [`Key`]s: the reader refuses what is not in it, the documents
//! print it, and a test holds the three together.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::quantity::{
    DURATION_EXAMPLE, SIZE_EXAMPLE, parse_duration, parse_size, parse_thousandths,
};
use crate::model::{Diagnostic, Diagnostics, Location, NameProblem};
use crate::yaml::{self, Entry, Map, Node, Value};

/// One key of a file: what it is, and what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Dotted path; a part in capitals stands for any name, and `[]` for each item of a list.
    pub path: &'static str,
    /// What is to be written: `duration`, `list of texts`.
    pub shape: &'static str,
    /// What holds when it is not written, in words or as it would be written.
    pub default: &'static str,
    /// How it may be written, as YAML on one line.
    pub example: &'static str,
    /// What it is for, as a sentence.
    pub says: &'static str,
}

/// What all sections of one file share.
#[derive(Debug)]
pub(super) struct Reading {
    keys: &'static [&'static [Key]],
    folder: PathBuf,
    /// Where systemd put the service's credentials, if it did.
    credentials: Option<PathBuf>,
    problems: RefCell<Diagnostics>,
}

impl Reading {
    /// Of a file whose keys these are; relative paths in it are below `folder`.
    pub(super) fn new(keys: &'static [&'static [Key]], folder: &Path) -> Self {
        let folder = folder.to_path_buf();
        Self { keys, folder, credentials: None, problems: RefCell::default() }
    }

    /// The same, where systemd gave credentials in a folder.
    pub(super) fn with_credentials(self, folder: Option<&Path>) -> Self {
        Self { credentials: folder.map(Path::to_path_buf), ..self }
    }

    /// Notes a problem.
    pub(super) fn note(&self, problem: Diagnostic) {
        self.problems.borrow_mut().push(problem);
    }

    /// All problems, by place.
    pub(super) fn into_problems(self) -> Diagnostics {
        let mut problems = self.problems.into_inner();
        problems.0.sort();
        problems.0.dedup();
        problems
    }

    /// Names that may stand below a path of the table; `None` when any may.
    fn known_below(&self, schema: &str) -> Vec<&'static str> {
        let prefix = if schema.is_empty() { String::new() } else { format!("{schema}.") };
        let mut known: Vec<&str> = self
            .keys
            .iter()
            .copied()
            .flatten()
            .filter_map(|key| key.path.strip_prefix(prefix.as_str()))
            .filter_map(|below| below.split(['.', '[']).next())
            .collect();
        known.dedup();
        known
    }
}

/// One mapping of a file (possibly absent, and then empty).
#[derive(Debug, Clone)]
pub(super) struct Section<'a> {
    reading: &'a Reading,
    map: Option<&'a Map>,
    place: Location,
    /// Dotted path as written, for messages.
    path: String,
    /// Dotted path in the table of keys.
    schema: String,
}

impl<'a> Section<'a> {
    /// The top of a file.
    pub(super) fn top(reading: &'a Reading, file: &str, root: Option<&'a Node>) -> Self {
        Self::new(reading, root, Location::file(file), (String::new(), String::new()))
    }

    /// A mapping that stands at a path (as written, and in the table). Anything but a mapping or nothing is noted,
    /// and so are unknown keys.
    pub(super) fn new(
        reading: &'a Reading,
        node: Option<&'a Node>,
        place: Location,
        (path, schema): (String, String),
    ) -> Self {
        let place = node.map_or(place, Node::location);
        let section = Self { reading, map: None, place, path, schema };
        let Some(node) = node.filter(|node| !node.is_null()) else {
            return section;
        };
        let Some(map) = node.as_map() else {
            section.wrong_at(node, &section.path, "a mapping");
            return section;
        };
        section.refuse_unknown(map);
        Self { map: Some(map), ..section }
    }

    fn refuse_unknown(&self, map: &Map) {
        let known = self.reading.known_below(&self.schema);
        let any_name = known.iter().any(|name| is_placeholder(name));
        for entry in map {
            let extension = self.path.is_empty() && entry.key.starts_with("x-");
            if !any_name && !extension && !known.contains(&entry.key.as_str()) {
                self.reading.note(yaml::unknown_key(entry, &self.path, known.iter().copied()));
            }
        }
    }

    /// Whether anything is written here.
    pub(super) fn is_written(&self) -> bool {
        self.map.is_some_and(|map| !map.is_empty())
    }

    /// Where it stands.
    pub(super) fn place(&self) -> &Location {
        &self.place
    }

    /// The dotted path of a key of this mapping.
    pub(super) fn path_of(&self, key: &str) -> String {
        joined(&self.path, key)
    }

    /// The value of a key; null counts as not written.
    pub(super) fn node(&self, key: &str) -> Option<&'a Node> {
        debug_assert!(self.reading.known_below(&self.schema).contains(&key), "{key} has no entry");
        self.map?.get(key).filter(|node| !node.is_null())
    }

    /// The mapping under a key.
    pub(super) fn section(&self, key: &str) -> Self {
        let paths = (self.path_of(key), joined(&self.schema, key));
        Self::new(self.reading, self.node(key), self.place.clone(), paths)
    }

    /// The mappings under names that the file chooses.
    pub(super) fn named(&self) -> Vec<(&'a Entry, Self)> {
        self.entries()
            .into_iter()
            .map(|entry| {
                let paths = (self.path_of(&entry.key), joined(&self.schema, "NAME"));
                let place = entry.key_span.location();
                (entry, Self::new(self.reading, Some(&entry.value), place, paths))
            })
            .collect()
    }

    /// The mappings in a list under a key.
    pub(super) fn items(&self, key: &str) -> Vec<Self> {
        let Some(node) = self.node(key) else {
            return Vec::new();
        };
        let Some(items) = node.as_list() else {
            self.wrong(key, node, "a list");
            return Vec::new();
        };
        items
            .iter()
            .enumerate()
            .map(|(number, item)| {
                let path = format!("{}.{number}", self.path_of(key));
                let schema = format!("{}[]", joined(&self.schema, key));
                Self::new(self.reading, Some(item), item.location(), (path, schema))
            })
            .collect()
    }

    /// Keys and values as they are.
    pub(super) fn entries(&self) -> Vec<&'a Entry> {
        self.map.map(|map| map.iter().collect()).unwrap_or_default()
    }

    /// Notes a problem with a key's value.
    pub(super) fn problem(&self, key: &str, message: impl Into<String>) -> Diagnostic {
        let place = self.map.and_then(|map| map.get(key)).map(Node::location);
        Diagnostic::error(place.unwrap_or_else(|| self.place.clone()), message)
            .at(self.path_of(key))
    }

    /// Notes a problem.
    pub(super) fn note(&self, problem: Diagnostic) {
        self.reading.note(problem);
    }

    /// Notes that a key's value is not what was expected.
    pub(super) fn wrong(&self, key: &str, node: &Node, expected: &str) {
        self.wrong_at(node, &self.path_of(key), expected);
    }

    fn wrong_at(&self, node: &Node, path: &str, expected: &str) {
        let found = match node.value() {
            Some(value @ (Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Date(_))) => {
                format!("{} `{}`", value.noun(), value.to_text())
            }
            Some(Value::Text(text)) if text.chars().count() <= 40 => format!("{text:?}"),
            _ => node.noun().to_owned(),
        };
        self.note(node.error(format!("expected {expected}, found {found}")).at(path));
    }

    /// What a key's scalar is read as; anything else is noted as not `expected`.
    pub(super) fn read<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl Fn(&Node) -> Option<T>,
    ) -> Option<T> {
        let node = self.node(key)?;
        let value = read(node);
        if value.is_none() {
            self.wrong(key, node, expected);
        }
        value
    }

    /// A text.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.read(key, "a text", |node| node.as_text().map(str::to_owned))
    }

    /// A text or a number, as written.
    pub(super) fn word(&self, key: &str) -> Option<String> {
        self.read(key, "a text or a number", raw_text)
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        self.read(key, "`true` or `false`", |node| match node.value() {
            Some(Value::Bool(flag)) => Some(flag),
            _ => None,
        })
    }

    /// A duration with units.
    pub(super) fn duration(&self, key: &str) -> Option<Duration> {
        self.read(key, DURATION_EXAMPLE, |node| parse_duration(&raw_text(node)?))
    }

    /// A duration of at least this.
    pub(super) fn duration_from(&self, key: &str, least: Duration) -> Option<Duration> {
        let duration = self.duration(key)?;
        if duration < least {
            let least = super::quantity::duration_text(least);
            self.note(self.problem(key, format!("must be at least {least}")));
            return None;
        }
        Some(duration)
    }

    /// A size in bytes.
    pub(super) fn size(&self, key: &str) -> Option<u64> {
        self.read(key, SIZE_EXAMPLE, |node| parse_size(&raw_text(node)?))
    }

    /// A number, in thousandths, above zero.
    pub(super) fn thousandths(&self, key: &str) -> Option<u64> {
        self.read(key, "a number above 0 such as `1.5`", |node| {
            parse_thousandths(&raw_text(node)?).filter(|number| 0 < *number)
        })
    }

    /// A whole number of at least 1.
    pub(super) fn count(&self, key: &str) -> Option<usize> {
        self.read(key, "a whole number of at least 1", |node| match node.value() {
            Some(Value::Int(number)) => usize::try_from(number).ok().filter(|count| 1 <= *count),
            _ => None,
        })
    }

    /// A whole number, possibly negative.
    pub(super) fn whole(&self, key: &str) -> Option<i32> {
        self.read(key, "a whole number", |node| match node.value() {
            Some(Value::Int(number)) => i32::try_from(number).ok(),
            _ => None,
        })
    }

    /// One of some words.
    pub(super) fn one_of<T: Copy>(&self, key: &str, words: &[(&'static str, T)]) -> Option<T> {
        let node = self.node(key)?;
        let text = node.as_text().unwrap_or_default();
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let problem = self.problem(key, format!("expected one of {}", known.join(", ")));
            self.note(with_nearest(problem, text, known));
        }
        found.map(|(_, value)| *value)
    }

    /// A text that must keep a rule.
    pub(super) fn parsed<T>(
        &self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, NameProblem>,
    ) -> Option<T> {
        let text = self.text(key)?;
        parse(&text).map_err(|problem| self.note(self.problem(key, problem.to_string()))).ok()
    }

    /// A path on this machine; relative ones are below the file's folder.
    pub(super) fn file(&self, key: &str) -> Option<PathBuf> {
        let text = self.text(key)?;
        self.file_of(key, &text)
    }

    /// A list of paths on this machine; a single one is a list of one.
    pub(super) fn files(&self, key: &str) -> Option<Vec<PathBuf>> {
        let texts = self.texts(key)?;
        Some(texts.iter().filter_map(|(text, _)| self.file_of(key, text)).collect())
    }

    fn file_of(&self, key: &str, text: &str) -> Option<PathBuf> {
        if let Some(name) = text.strip_prefix("credential:") {
            return self.credential(key, name);
        }
        if text.starts_with('~') || text.is_empty() {
            let problem = self.problem(key, "expected a path");
            self.note(problem.help("`~` is the shell's: write the path in full"));
            return None;
        }
        Some(self.reading.folder.join(text))
    }

    /// A credential that systemd gives the service: `credential:NAME`. <https://systemd.io/CREDENTIALS/>
    fn credential(&self, key: &str, name: &str) -> Option<PathBuf> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if name.is_empty() || name.starts_with('.') || !name.chars().all(is_name) {
            let problem =
                self.problem(key, "expected the name of a credential, such as `credential:age`");
            self.note(
                problem
                    .help("letters, digits, `_`, `-` and `.`, as in the unit's `LoadCredential=`"),
            );
            return None;
        }
        let Some(folder) = &self.reading.credentials else {
            let problem = self.problem(
                key,
                format!("no credential {name} is given: CREDENTIALS_DIRECTORY is not set"),
            );
            self.note(problem.help(format!("add `LoadCredential={name}:FILE` to the systemd unit that starts this, or name a file")));
            return None;
        };
        Some(folder.join(name))
    }

    /// A list of texts; a single text is a list of one. Numbers are taken as they are written.
    pub(super) fn texts(&self, key: &str) -> Option<Vec<(String, Location)>> {
        let node = self.node(key)?;
        let items = node.as_list().unwrap_or(std::slice::from_ref(node));
        let mut texts = Vec::new();
        for (number, item) in items.iter().enumerate() {
            match raw_text(item) {
                Some(text) => texts.push((text, item.location())),
                None => self.wrong_at(item, &format!("{}.{number}", self.path_of(key)), "a text"),
            }
        }
        Some(texts)
    }

    /// A mapping of texts; numbers and booleans are taken as they are written, nothing as empty.
    pub(super) fn text_map(&self, key: &str) -> Option<Vec<(&'a Entry, String)>> {
        let node = self.node(key)?;
        let Some(map) = node.as_map() else {
            self.wrong(key, node, "a mapping of names to texts");
            return None;
        };
        let mut texts = Vec::new();
        for entry in map {
            match entry.value.as_scalar() {
                Some(_) if entry.value.is_null() => texts.push((entry, String::new())),
                Some(scalar) => texts.push((entry, scalar.text.clone())),
                None => {
                    let path = joined(&self.path_of(key), &entry.key);
                    self.wrong_at(&entry.value, &path, "a text");
                }
            }
        }
        Some(texts)
    }
}

/// A problem with the nearest known word as help, if one is near.
pub(super) fn with_nearest<'w>(
    problem: Diagnostic,
    word: &str,
    known: impl IntoIterator<Item = &'w str>,
) -> Diagnostic {
    match yaml::nearest(word, known) {
        Some(near) => problem.help(format!("did you mean {near:?}?")),
        None => problem,
    }
}

/// The text of a scalar as it was written; nothing for null, lists and mappings.
pub(super) fn raw_text(node: &Node) -> Option<String> {
    node.as_scalar().filter(|_| !node.is_null()).map(|scalar| scalar.text.clone())
}

fn joined(path: &str, key: &str) -> String {
    match (path, key) {
        ("", _) => key.to_owned(),
        (_, "") => path.to_owned(),
        _ => format!("{path}.{key}"),
    }
}

/// Parts of the table's paths in capitals stand for any name.
fn is_placeholder(part: &str) -> bool {
    !part.is_empty() && part.chars().all(|c| c.is_ascii_uppercase())
}
