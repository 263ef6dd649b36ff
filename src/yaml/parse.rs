//! Events to tree.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use libyaml_safer::{Event, EventData, Mark, Parser, ScalarStyle};

use super::{Entry, Kind, Map, Node, Scalar, Span, Tag};
use crate::model::{Budget, Diagnostic, Diagnostics, Location, OverBudget};

/// The largest file that is read, in bytes.
pub const MAX_BYTES: usize = 32 * 1024 * 1024;
/// The deepest nesting that is read.
pub const MAX_DEPTH: usize = 128;
/// Values that a file may hold, and that anchors in it may keep; a stack of 10,000 services has a quarter of that.
const MAX_NODES: usize = 1_000_000;
/// Problems of one file that are told; what is wrong a thousand times is not read further.
const MAX_PROBLEMS: usize = 1_000;
/// What one value that is written out takes: in the tree, with its key and place, and as part of a model.
pub const NODE_BYTES: usize = 512;
/// What one value takes that nobody wrote out: a copy. Small files make many, so it is counted in full, with what it takes
/// in the model, in what a host is asked, and in messages.
pub const COPY_BYTES: usize = 1792;
/// Nodes that aliases may add to a small file.
const FREE_ALIAS_NODES: usize = 50_000;
/// Nodes that aliases may add per node written out.
const ALIAS_NODES_PER_NODE: usize = 10;

/// Reads a file of any number of documents. Empty documents are left out. All duplicate keys are reported at
/// once; a syntax error, or what exceeds a limit, ends the reading.
pub fn parse(file: &str, bytes: &[u8]) -> Result<Vec<Node>, Diagnostics> {
    parse_within(file, bytes, &Budget::of_a_stack())
}

/// The same, where the file is one of several that share a budget.
pub fn parse_within(file: &str, bytes: &[u8], budget: &Budget) -> Result<Vec<Node>, Diagnostics> {
    parse_as(file, bytes, budget, Sharing::Resolved)
}

/// Reads a file in which every value stands once, where it is written: aliases are refused, and `<<` is a key like
/// others. So the order of the places is that of the document.
pub fn parse_as_written(file: &str, bytes: &[u8]) -> Result<Vec<Node>, Diagnostics> {
    parse_as(file, bytes, &Budget::of_a_stack(), Sharing::Refused)
}

/// What becomes of values that stand in several places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sharing {
    /// Aliases and merge keys are replaced by what they stand for.
    Resolved,
    /// They are an error.
    Refused,
}

fn parse_as(
    file: &str,
    bytes: &[u8],
    budget: &Budget,
    sharing: Sharing,
) -> Result<Vec<Node>, Diagnostics> {
    // The parser panics on some malformed texts where it should refuse them (its own words: "TODO: What is
    // expected here?"). A manifest may hold any bytes, so that is caught and becomes an error like any other.
    let read = AssertUnwindSafe(|| parse_guarded(file, bytes, budget, sharing));
    std::panic::catch_unwind(read).unwrap_or_else(|_| {
        let problem = Diagnostic::error(Location::file(file), "not valid YAML");
        Err(Diagnostics(vec![problem.help("check quotes, tags and block texts")]))
    })
}

fn parse_guarded(
    file: &str,
    bytes: &[u8],
    budget: &Budget,
    sharing: Sharing,
) -> Result<Vec<Node>, Diagnostics> {
    let file: Arc<str> = Arc::from(file);
    if bytes.len() > MAX_BYTES {
        let message = format!("the file is larger than {} MiB", MAX_BYTES / 1024 / 1024);
        return Err(Diagnostics(vec![Diagnostic::error(Location::file(&*file), message)]));
    }
    // The parser cannot end inside a block scalar. The line break that helps it is taken away again below.
    let closed;
    let is_open = !bytes.ends_with(b"\n");
    let mut input = if is_open {
        closed = [bytes, b"\n"].concat();
        closed.as_slice()
    } else {
        bytes
    };
    let mut parser = Parser::new();
    parser.set_input_string(&mut input);
    let mut reader = Reader {
        parser,
        file,
        anchors: BTreeMap::new(),
        open_at: if is_open { bytes.len() as u64 } else { u64::MAX },
        written: 0,
        aliased: 0,
        anchored: 0,
        budget,
        sharing,
        problems: Diagnostics::default(),
    };
    let documents = match reader.stream() {
        Ok(documents) => documents,
        Err(problem) => {
            reader.problems.push(*problem);
            Vec::new()
        }
    };
    if reader.problems.has_errors() { Err(reader.problems) } else { Ok(documents) }
}

/// Reads a file of at most one document.
pub fn parse_one(file: &str, bytes: &[u8]) -> Result<Option<Node>, Diagnostics> {
    let mut documents = parse(file, bytes)?;
    if let Some(second) = documents.get(1) {
        let problem = second.error("one document was expected, and a second one begins here");
        return Err(Diagnostics(vec![problem]));
    }
    Ok(documents.pop())
}

type Fails<T> = Result<T, Box<Diagnostic>>;

struct Anchored {
    node: Node,
    size: usize,
    depth: usize,
}

struct Reader<'r, 'b> {
    parser: Parser<&'r mut &'b [u8]>,
    file: Arc<str>,
    anchors: BTreeMap<String, Anchored>,
    /// Where the text ends, when no line break ends it.
    open_at: u64,
    written: usize,
    aliased: usize,
    /// Values that anchors keep.
    anchored: usize,
    budget: &'r Budget,
    sharing: Sharing,
    problems: Diagnostics,
}

/// A finished node, how many nodes it holds, and how deep they nest.
struct Built {
    node: Node,
    size: usize,
    depth: usize,
}

impl Reader<'_, '_> {
    fn stream(&mut self) -> Fails<Vec<Node>> {
        let mut documents = Vec::new();
        loop {
            let event = self.next()?;
            match event.data {
                EventData::StreamEnd => return Ok(documents),
                EventData::StreamStart { .. } | EventData::DocumentEnd { .. } => {}
                EventData::DocumentStart { .. } => {
                    self.anchors.clear();
                    let first = self.next()?;
                    let node = self.node(first, 0)?.node;
                    if !node.is_null() {
                        documents.push(node);
                    }
                }
                _ => return Err(self.refuse(event.start_mark, "a document was expected")),
            }
        }
    }

    fn next(&mut self) -> Fails<Event> {
        self.parser.parse().map_err(|problem| {
            let span =
                problem.problem_mark().map_or_else(|| Span::file(&self.file), |m| self.at(m));
            let text = problem.to_string();
            let message = text.lines().next().unwrap_or("it cannot be read").to_owned();
            Box::new(
                Diagnostic::error(span.location(), format!("not valid YAML: {message}"))
                    .help("check indentation, quotes and brackets here and just above"),
            )
        })
    }

    fn at(&self, mark: Mark) -> Span {
        let number = |n: u64| u32::try_from(n.saturating_add(1)).unwrap_or(u32::MAX);
        Span { file: Arc::clone(&self.file), line: number(mark.line), column: number(mark.column) }
    }

    #[expect(
        clippy::unnecessary_box_returns,
        reason = "it is the error of every function here, which boxes it"
    )]
    fn refuse(&self, mark: Mark, message: impl Into<String>) -> Box<Diagnostic> {
        Box::new(Diagnostic::error(self.at(mark).location(), message))
    }

    /// Takes memory for a value that is being read, or copied.
    fn charge(&self, mark: Mark, bytes: usize) -> Fails<()> {
        self.budget.bytes(bytes).map_err(|over| self.over(mark, over))
    }

    #[expect(clippy::unnecessary_box_returns, reason = "as above")]
    fn over(&self, mark: Mark, over: OverBudget) -> Box<Diagnostic> {
        self.refuse(mark, format!("what was read so far is {over}"))
    }

    fn node(&mut self, event: Event, depth: usize) -> Fails<Built> {
        if depth > MAX_DEPTH {
            let message = format!("nested deeper than {MAX_DEPTH} levels");
            return Err(self.refuse(event.start_mark, message));
        }
        self.written += 1;
        let mark = event.start_mark;
        if self.written > MAX_NODES {
            return Err(self.refuse(mark, format!("the file holds more than {MAX_NODES} values")));
        }
        if self.problems.0.len() > MAX_PROBLEMS {
            return Err(self.refuse(mark, format!("more than {MAX_PROBLEMS} problems before this")));
        }
        self.charge(mark, NODE_BYTES)?;
        let span = self.at(mark);
        match event.data {
            EventData::Alias { anchor } => self.alias(&anchor, mark, depth),
            EventData::Scalar { anchor, tag, mut value, style, .. } => {
                let is_plain = style == ScalarStyle::Plain;
                let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                if is_block && event.end_mark.index > self.open_at && value.ends_with('\n') {
                    value.pop();
                }
                self.charge(mark, 4 * value.len())?;
                // Long texts count as much as the memory that they take.
                let size = 1 + value.len() / 32;
                let scalar = tagged_scalar(value, is_plain, tag.as_deref());
                let node =
                    Node { span, tag: merge_tag(tag.as_deref()), kind: Kind::Scalar(scalar) };
                self.finish(anchor, mark, Built { node, size, depth: 0 })
            }
            EventData::SequenceStart { anchor, tag, .. } => {
                let (items, size, below) = self.list(depth)?;
                let node = Node { span, tag: merge_tag(tag.as_deref()), kind: Kind::List(items) };
                self.finish(anchor, mark, Built { node, size, depth: below })
            }
            EventData::MappingStart { anchor, tag, .. } => {
                let (map, size, below) = self.map(depth)?;
                let node = Node { span, tag: merge_tag(tag.as_deref()), kind: Kind::Map(map) };
                self.finish(anchor, mark, Built { node, size, depth: below })
            }
            _ => Err(self.refuse(mark, "a value was expected")),
        }
    }

    fn finish(&mut self, anchor: Option<String>, mark: Mark, built: Built) -> Fails<Built> {
        if let Some(anchor) = anchor {
            let Built { node, size, depth } = &built;
            self.anchored = self.anchored.saturating_add(*size);
            if self.anchored > MAX_NODES {
                let message = format!("anchors keep more than {MAX_NODES} values");
                return Err(Box::new(node.error(message)));
            }
            self.charge(mark, size.saturating_mul(NODE_BYTES / 2))?;
            let anchored = Anchored { node: node.clone(), size: *size, depth: *depth };
            self.anchors.insert(anchor, anchored);
        }
        Ok(built)
    }

    fn alias(&mut self, anchor: &str, mark: Mark, depth: usize) -> Fails<Built> {
        let Some(anchored) = self.anchors.get(anchor) else {
            return Err(self.refuse(mark, format!("no anchor &{anchor} stands before this alias")));
        };
        if self.sharing == Sharing::Refused {
            return Err(self.refuse(mark, format!("an alias (*{anchor}) stands here")));
        }
        let (size, below) = (anchored.size, anchored.depth);
        if depth + below > MAX_DEPTH {
            return Err(self.refuse(mark, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        self.aliased = self.aliased.saturating_add(size);
        if self.aliased > FREE_ALIAS_NODES + ALIAS_NODES_PER_NODE * self.written {
            return Err(self.refuse(mark, "aliases make the document excessively large"));
        }
        self.charge(mark, size.saturating_mul(COPY_BYTES))?;
        let node = anchored.node.clone();
        Ok(Built { node, size, depth: below })
    }

    fn list(&mut self, depth: usize) -> Fails<(Vec<Node>, usize, usize)> {
        let (mut items, mut size, mut below) = (Vec::new(), 1_usize, 0);
        loop {
            let event = self.next()?;
            if matches!(event.data, EventData::SequenceEnd) {
                return Ok((items, size, below));
            }
            let built = self.node(event, depth + 1)?;
            size = size.saturating_add(built.size);
            below = below.max(built.depth + 1);
            items.push(built.node);
        }
    }

    fn map(&mut self, depth: usize) -> Fails<(Map, usize, usize)> {
        let (mut entries, mut merged) = (Vec::new(), Vec::new());
        let (mut size, mut below) = (1_usize, 0);
        loop {
            let event = self.next()?;
            if matches!(event.data, EventData::MappingEnd) {
                break;
            }
            let key = self.node(event, depth + 1)?;
            let event = self.next()?;
            let value = self.node(event, depth + 1)?;
            size = size.saturating_add(value.size).saturating_add(1);
            below = below.max(value.depth + 1);
            let key_span = key.node.span.clone();
            let Some((key, is_merge)) = self.key(key.node) else { continue };
            if is_merge {
                self.merge(value.node, &mut merged);
            } else {
                entries.push(Entry { key, key_span, value: value.node });
            }
        }
        Ok((self.assemble(entries, merged), size, below))
    }

    /// The key's text, and whether it is the merge key. Reports keys that are not texts.
    fn key(&mut self, node: Node) -> Option<(String, bool)> {
        let noun = node.noun();
        let is_text =
            node.as_text().is_some() || matches!(node.value(), Some(super::Value::Date(_)));
        let problem = node.error(format!("a key must be a text, and this is {noun}"));
        let Kind::Scalar(scalar) = node.kind else {
            self.problems.push(problem);
            return None;
        };
        if !is_text {
            self.problems.push(problem.help(format!("write it in quotes: \"{}\"", scalar.text)));
            return None;
        }
        let may_merge = self.sharing == Sharing::Resolved && scalar.is_plain;
        let is_merge = may_merge && scalar.text == "<<";
        Some((scalar.text, is_merge))
    }

    fn merge(&mut self, value: Node, merged: &mut Vec<Entry>) {
        match value.kind {
            Kind::Map(map) => merged.extend(map.into_entries()),
            Kind::List(items) => {
                for item in items {
                    match item.kind {
                        Kind::Map(map) => merged.extend(map.into_entries()),
                        Kind::Scalar(_) | Kind::List(_) => self.not_mergeable(&item),
                    }
                }
            }
            Kind::Scalar(_) => self.not_mergeable(&value),
        }
    }

    fn not_mergeable(&mut self, node: &Node) {
        let message =
            format!("<< takes a mapping or a list of mappings, and this is {}", node.noun());
        self.problems.push(node.error(message));
    }

    /// The mapping's own keys go before merged ones, and of merged ones the first.
    fn assemble(&mut self, entries: Vec<Entry>, merged: Vec<Entry>) -> Map {
        let own = entries.len();
        let mut all: Vec<(usize, Entry)> = entries.into_iter().chain(merged).enumerate().collect();
        all.sort_by(|(i, a), (j, b)| a.key.cmp(&b.key).then(i.cmp(j)));
        let mut kept: Vec<Entry> = Vec::with_capacity(all.len());
        for (place, entry) in all {
            match kept.last() {
                Some(first) if first.key == entry.key => {
                    if place < own && self.problems.0.len() <= MAX_PROBLEMS {
                        let message = format!(
                            "the key {:?} stands twice in this mapping, first in line {}",
                            entry.key, first.key_span.line
                        );
                        let location = entry.key_span.location();
                        self.problems
                            .push(Diagnostic::error(location, message).help("keep one of the two"));
                    }
                }
                _ => kept.push(entry),
            }
        }
        Map::from_entries(kept)
    }
}

fn merge_tag(tag: Option<&str>) -> Tag {
    match tag {
        Some("!reset") => Tag::Reset,
        Some("!override") => Tag::Override,
        _ => Tag::None,
    }
}

/// A scalar as its tag says: `!!str 5` is a text, `!!int "5"` a number, and with a tag of one's own it is a text.
fn tagged_scalar(text: String, is_plain: bool, tag: Option<&str>) -> Scalar {
    if tag.is_some_and(|tag| tag.starts_with('!')) {
        return Scalar { text, is_plain: false };
    }
    let is_plain = match tag.and_then(|tag| tag.strip_prefix("tag:yaml.org,2002:")) {
        Some("str" | "binary") => false,
        Some("int" | "float" | "bool" | "null") => true,
        _ => is_plain,
    };
    Scalar { text, is_plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        parse("f.yaml", text.as_bytes()).unwrap_err().0[0].to_string()
    }

    #[test]
    fn own_keys_win_over_merged_ones_and_earlier_merges_over_later() {
        let text = "a: &a {x: 1, y: 2}\nb: &b {x: 3, z: 4}\nc:\n  <<: [*a, *b]\n  y: 9\n";
        let node = parse_one("f.yaml", text.as_bytes()).unwrap().unwrap();
        let c = node.get("c").unwrap();
        let number = |key: &str| c.get(key).unwrap().value().unwrap().to_text().into_owned();
        assert_eq!([number("x"), number("y"), number("z")], ["1", "9", "4"]);
    }

    #[test]
    fn a_duplicate_key_is_reported_at_the_second_key() {
        assert!(problem("a: 1\nb: 2\n  \na: 3\n").starts_with("f.yaml:4:1: error: the key \"a\""));
    }

    #[test]
    fn alias_bombs_are_refused() {
        let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..9 {
            let before = level - 1;
            let items = vec![format!("*a{before}"); 9].join(",");
            text.extend([format!("a{level}: &a{level} [{items}]\n")]);
        }
        assert!(problem(&text).contains("excessively large"));
    }

    #[test]
    fn deep_nesting_is_refused() {
        assert!(problem(&"[".repeat(100_000)).contains("nested deeper"));
    }

    #[test]
    fn tags_of_compose_are_kept() {
        let node = parse_one("f.yaml", b"a: !reset null\nb: !override [1]\n").unwrap().unwrap();
        assert_eq!(node.get("a").unwrap().tag, Tag::Reset);
        assert_eq!(node.get("b").unwrap().tag, Tag::Override);
    }
}
