//! YAML as text again: each value back where it was encrypted, so that lines, comments and all that is not secret stay.

use std::fmt::Write as _;

use super::super::value::BEGINS;
use crate::yaml::{Entry, Kind, Map, Node, Scalar, Span, Tag, Value};

/// The key of the metadata.
pub(super) const OWN: &str = "sops";

/// A value that takes the place of what was encrypted.
pub(super) struct Edit {
    /// Where it begins.
    pub(super) span: Span,
    /// The encrypted text.
    pub(super) written: String,
    /// What it was made from.
    pub(super) plain: Scalar,
}

/// The entries as they are written, one below the other.
pub(super) fn in_order(map: &Map) -> Vec<&Entry> {
    let mut entries: Vec<&Entry> = map.iter().collect();
    entries.sort_by_key(|entry| (entry.key_span.line, entry.key_span.column));
    entries
}

/// The text with each encrypted value replaced and without the metadata and encrypted comments; `None` where a value does
/// not stand on one line.
pub(super) fn rewritten(text: &str, edits: &[Edit], documents: &[Node]) -> Option<String> {
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let mut sorted: Vec<&Edit> = edits.iter().collect();
    // From the end of each line, so that places before it still hold.
    sorted.sort_by_key(|edit| std::cmp::Reverse((edit.span.line, edit.span.column)));
    for edit in sorted {
        let line = lines.get_mut(at(edit.span.line)?)?;
        let (start, _) = line.char_indices().nth(at(edit.span.column)?)?;
        let rest = line.get(start..)?;
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
        let quotes = quote.map_or(0, char::len_utf8);
        let inside = rest.get(quotes..)?.strip_prefix(edit.written.as_str())?;
        let after = match quote {
            Some(quote) => inside.strip_prefix(quote)?,
            None => inside,
        };
        *line = format!("{}{}{after}", line.get(..start)?, written(&edit.plain));
    }
    for document in documents {
        leave_out(&mut lines, document)?;
    }
    for line in &mut lines {
        if line
            .trim_start()
            .strip_prefix('#')
            .is_some_and(|text| text.trim_start().starts_with(BEGINS))
        {
            line.clear();
        }
    }
    Some(format!("{}\n", lines.join("\n").trim_end_matches('\n')))
}

fn at(number: u32) -> Option<usize> {
    usize::try_from(number.checked_sub(1)?).ok()
}

/// Empties the lines of a document's metadata.
fn leave_out(lines: &mut [String], document: &Node) -> Option<()> {
    let map = document.as_map()?;
    let entries = in_order(map);
    let Some(place) = entries.iter().position(|entry| entry.key == OWN) else { return Some(()) };
    let own = &entries.get(place)?.key_span;
    if own.column != 1 {
        return None;
    }
    let first = at(own.line)?;
    let next = entries.get(place + 1).and_then(|entry| at(entry.key_span.line));
    let own = lines.iter_mut().take(next.unwrap_or(usize::MAX)).skip(first);
    for line in own.take_while(|line| !line.starts_with("---") && !line.starts_with("...")) {
        line.clear();
    }
    Some(())
}

/// Documents in YAML's flow style, with every value on the line that it was on.
pub(super) fn flow(documents: &[Node]) -> String {
    let mut flow = Flow { text: String::new(), line: 1 };
    for (number, document) in documents.iter().enumerate() {
        if number > 0 {
            flow.text.push_str("\n---\n");
            flow.line += 2;
        }
        flow.node(document);
    }
    flow.text.push('\n');
    flow.text
}

struct Flow {
    text: String,
    line: u32,
}

impl Flow {
    fn go_to(&mut self, line: u32) {
        while self.line < line {
            self.text.push('\n');
            self.line += 1;
        }
    }

    fn node(&mut self, node: &Node) {
        self.go_to(node.span.line);
        self.text.push_str(match node.tag {
            Tag::None => "",
            Tag::Reset => "!reset ",
            Tag::Override => "!override ",
        });
        match &node.kind {
            Kind::Scalar(scalar) => self.text.push_str(&written(scalar)),
            Kind::List(items) => {
                self.text.push('[');
                for item in items {
                    self.node(item);
                    self.text.push_str(", ");
                }
                self.text.push(']');
            }
            Kind::Map(map) => {
                self.text.push('{');
                for entry in in_order(map) {
                    self.go_to(entry.key_span.line);
                    let key = if entry.key == "<<" { "<<".to_owned() } else { quoted(&entry.key) };
                    self.text.extend(["? ", &key, " : "]);
                    self.node(&entry.value);
                    self.text.push_str(", ");
                }
                self.text.push('}');
            }
        }
    }
}

/// A scalar that means the same wherever it stands.
fn written(scalar: &Scalar) -> String {
    match scalar.value() {
        Value::Null => "null".to_owned(),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Date(_) => scalar.text.clone(),
        Value::Text(text) => quoted(text),
    }
}

/// A text in double quotes, with everything escaped that a reader may take for something else.
/// <https://yaml.org/spec/1.2.2/#57-escaped-characters>
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\u{2028}' | '\u{2029}' | '\u{feff}' => escape(&mut out, c),
            ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' => out.push(c),
            other => escape(&mut out, other),
        }
    }
    out.push('"');
    out
}

fn escape(out: &mut String, c: char) {
    // Writing to a text cannot fail.
    let _written = write!(out, "\\U{:08x}", u32::from(c));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::parse_as_written;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_text_is_read_back(text in any::<String>()) {
            let node = parse_as_written("", format!("a: {}\n", quoted(&text)).as_bytes()).unwrap();
            prop_assert_eq!(node[0].get("a").unwrap().as_text(), Some(text.as_str()));
        }
    }

    #[test]
    fn flow_keeps_meaning_and_lines() {
        let text = "a: 1\nb:\n  - x: !reset null\n    <<: {k: [1.5, yes]}\n  - \"true\"\n\nc: |\n  two\n  lines\n---\nd: 2024-01-31\n";
        let before = parse_as_written("", text.as_bytes()).unwrap();
        let written = flow(&before);
        let after = parse_as_written("", written.as_bytes()).unwrap();
        let prints = |nodes: &[Node]| nodes.iter().map(Node::fingerprint).collect::<Vec<_>>();
        assert_eq!(prints(&before), prints(&after), "{written}");
        assert_eq!(after[0].get("c").unwrap().span.line, 7, "{written}");
        assert_eq!(
            after[0].get("b").unwrap().as_list().unwrap()[0].get("x").unwrap().tag,
            Tag::Reset
        );
    }
}
