//! Nodes.

use std::sync::Arc;

use super::{Scalar, Value};
use crate::model::{Diagnostic, Location};

/// Where a node begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The file, as diagnostics name it.
    pub file: Arc<str>,
    /// Line, from 1; 0 for the whole file.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl Span {
    /// The beginning of a file.
    pub fn file(file: &Arc<str>) -> Self {
        Self { file: Arc::clone(file), line: 0, column: 0 }
    }

    /// The same place as plain data.
    pub fn location(&self) -> Location {
        Location { file: self.file.to_string(), line: self.line, column: self.column }
    }
}

/// The tags that mean something to Compose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tag {
    /// No tag, or one without a meaning here.
    #[default]
    None,
    /// `!reset`: the attribute goes back to its default.
    Reset,
    /// `!override`: the value replaces what earlier files said instead of being merged.
    Override,
}

/// A value and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it begins.
    pub span: Span,
    /// Its tag.
    pub tag: Tag,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A scalar, null included.
    Scalar(Scalar),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping.
    Map(Map),
}

impl Node {
    /// A node of this kind at this place.
    pub fn new(span: Span, kind: Kind) -> Self {
        Self { span, tag: Tag::None, kind }
    }

    /// A text.
    pub fn text(span: Span, text: impl Into<String>) -> Self {
        Self::new(span, Kind::Scalar(Scalar::quoted(text)))
    }

    /// A scalar as if written without quotes, so that it can be a number, a boolean or null.
    pub fn plain(span: Span, text: impl Into<String>) -> Self {
        Self::new(span, Kind::Scalar(Scalar::plain(text)))
    }

    /// An empty mapping.
    pub fn empty_map(span: Span) -> Self {
        Self::new(span, Kind::Map(Map::default()))
    }

    /// The place as plain data.
    pub fn location(&self) -> Location {
        self.span.location()
    }

    /// The mapping, if it is one.
    pub fn as_map(&self) -> Option<&Map> {
        match &self.kind {
            Kind::Map(map) => Some(map),
            Kind::Scalar(_) | Kind::List(_) => None,
        }
    }

    /// The mapping, if it is one.
    pub fn as_map_mut(&mut self) -> Option<&mut Map> {
        match &mut self.kind {
            Kind::Map(map) => Some(map),
            Kind::Scalar(_) | Kind::List(_) => None,
        }
    }

    /// The sequence, if it is one.
    pub fn as_list(&self) -> Option<&[Self]> {
        match &self.kind {
            Kind::List(items) => Some(items),
            Kind::Scalar(_) | Kind::Map(_) => None,
        }
    }

    /// The scalar, if it is one.
    pub fn as_scalar(&self) -> Option<&Scalar> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(scalar),
            Kind::List(_) | Kind::Map(_) => None,
        }
    }

    /// What the scalar means; `None` for sequences and mappings.
    pub fn value(&self) -> Option<Value<'_>> {
        self.as_scalar().map(Scalar::value)
    }

    /// The text of a scalar that means a text (not a number, boolean or null).
    pub fn as_text(&self) -> Option<&str> {
        match self.value() {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self.value(), Some(Value::Null))
    }

    /// The value under a key of a mapping.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_map().and_then(|map| map.get(key))
    }

    /// What it is, for messages: `a text`, `a number`, `a list`.
    pub fn noun(&self) -> &'static str {
        match &self.kind {
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
            Kind::Scalar(scalar) => scalar.value().noun(),
        }
    }

    /// How many values it holds, itself included; long texts count as several.
    pub fn size(&self) -> usize {
        match &self.kind {
            Kind::Scalar(scalar) => 1 + scalar.text.len() / 64,
            Kind::List(items) => 1 + items.iter().map(Self::size).sum::<usize>(),
            Kind::Map(map) => 1 + map.iter().map(|entry| entry.value.size()).sum::<usize>(),
        }
    }

    /// A text that two nodes share exactly when they mean the same, wherever they stand.
    pub fn fingerprint(&self) -> String {
        let mut text = String::new();
        self.write_fingerprint(&mut text);
        text
    }

    fn write_fingerprint(&self, out: &mut String) {
        match &self.kind {
            Kind::Scalar(scalar) => out.extend([format!("{:?}", scalar.value())]),
            Kind::List(items) => {
                out.push('[');
                for item in items {
                    item.write_fingerprint(out);
                    out.push(',');
                }
                out.push(']');
            }
            Kind::Map(map) => {
                out.push('{');
                for entry in map {
                    out.extend([format!("{:?}:", entry.key)]);
                    entry.value.write_fingerprint(out);
                    out.push(',');
                }
                out.push('}');
            }
        }
    }

    /// An error at this place.
    pub fn error(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(self.location(), message)
    }
}

/// One key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}

/// A mapping, ordered by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Map(Vec<Entry>);

impl Map {
    /// A mapping of these entries; of entries with one key the last stays.
    pub fn from_entries(mut entries: Vec<Entry>) -> Self {
        entries.sort_by(|a, b| a.key.cmp(&b.key));
        let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
        for entry in entries {
            match kept.last_mut() {
                Some(last) if last.key == entry.key => *last = entry,
                _ => kept.push(entry),
            }
        }
        Self(kept)
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|entry| entry.key.as_str().cmp(key))
    }

    /// The value under a key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The value under a key.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        let place = self.find(key).ok()?;
        self.0.get_mut(place).map(|entry| &mut entry.value)
    }

    /// Key and value under a key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.find(key).ok().and_then(|place| self.0.get(place))
    }

    /// Whether there is such a key.
    pub fn contains(&self, key: &str) -> bool {
        self.find(key).is_ok()
    }

    /// Sets the value under a key; the key's place is the value's.
    pub fn set(&mut self, key: &str, value: Node) {
        let key_span = value.span.clone();
        self.put(Entry { key: key.to_owned(), key_span, value });
    }

    /// Sets an entry, replacing the one with the same key.
    pub fn put(&mut self, entry: Entry) {
        match self.find(&entry.key) {
            Ok(place) => {
                if let Some(old) = self.0.get_mut(place) {
                    *old = entry;
                }
            }
            Err(place) => self.0.insert(place, entry),
        }
    }

    /// Takes an entry out.
    pub fn remove(&mut self, key: &str) -> Option<Entry> {
        self.find(key).ok().map(|place| self.0.remove(place))
    }

    /// Entries by key.
    pub fn iter(&self) -> std::slice::Iter<'_, Entry> {
        self.0.iter()
    }

    /// Entries by key; keys must not be changed.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Entry> {
        self.0.iter_mut()
    }

    /// The entries, by key.
    pub fn into_entries(self) -> Vec<Entry> {
        self.0
    }

    /// Keeps the entries that pass.
    pub fn retain(&mut self, keep: impl FnMut(&Entry) -> bool) {
        self.0.retain(keep);
    }

    /// How many entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a Map {
    type Item = &'a Entry;
    type IntoIter = std::slice::Iter<'a, Entry>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a> IntoIterator for &'a mut Map {
    type Item = &'a mut Entry;
    type IntoIter = std::slice::IterMut<'a, Entry>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}
