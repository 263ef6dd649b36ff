//! YAML, of any number of documents.

use serde_json::{Map as JsonMap, Value as Json};

use super::super::metadata::Metadata;
use super::super::open::{Means, Opener, Written};
use super::super::refusal::Refusal;
use super::super::{Opened, value::BEGINS, value::Plain};
use super::instant;
use super::yaml_text::{self, Edit, OWN, in_order};
use crate::yaml::{self, Entry, Kind, Map, Node, Scalar, Value};

/// Whether a text is a YAML file that SOPS encrypted, without reading all of it.
pub(super) fn is_encrypted(text: &str) -> bool {
    let begins = |line: &str| {
        let rest =
            ["sops:", "\"sops\":", "'sops':"].into_iter().find_map(|key| line.strip_prefix(key));
        rest.is_some_and(|rest| rest.trim().is_empty() || rest.trim().starts_with(['#', '{', '&']))
    };
    let says = ["mac:", "lastmodified:", BEGINS].into_iter().any(|sign| text.contains(sign));
    says && text.lines().any(begins)
}

/// Opens a file.
pub(super) fn open(bytes: &[u8], means: Means<'_>) -> Result<Opened, Refusal> {
    let text =
        std::str::from_utf8(bytes).ok().ok_or_else(|| Refusal::malformed("it is no UTF-8 text"))?;
    let documents = read(bytes)?;
    let own = documents.first().and_then(|first| first.get(OWN)).ok_or_else(|| {
        Refusal::malformed(
            "`sops` is not in the first document, so nothing says how the file was encrypted",
        )
    })?;
    let metadata = Metadata::read(&json(own))?;
    let mut walk = Walk { opener: Opener::new(metadata, means)?, edits: Vec::new() };
    let plain = documents
        .iter()
        .map(|document| walk.document(document))
        .collect::<Result<Vec<Node>, Refusal>>()?;
    let Walk { opener, edits } = walk;
    let finished = opener.finish()?;
    let written = yaml_text::rewritten(text, &edits, &documents)
        .filter(|text| says_the_same(text, &plain))
        .unwrap_or_else(|| yaml_text::flow(&plain));
    if !says_the_same(&written, &plain) {
        return Err(Refusal::malformed("a value cannot be written in this format"));
    }
    Ok(finished.with(written.into_bytes()))
}

fn read(bytes: &[u8]) -> Result<Vec<Node>, Refusal> {
    yaml::parse_as_written("", bytes).map_err(|problems| {
        let first = problems.first_error();
        let (line, message) = first.map_or((0, "not valid YAML".to_owned()), |problem| {
            (problem.location.line, problem.message.clone())
        });
        Refusal::malformed(message).at_line(line)
    })
}

/// Whether a text holds these documents: what comes out is what was authenticated, whatever happened to the text.
fn says_the_same(text: &str, documents: &[Node]) -> bool {
    let asked = documents.iter().filter(|document| !is_empty(document)).map(Node::fingerprint);
    read(text.as_bytes()).is_ok_and(|read| {
        read.iter().filter(|document| !is_empty(document)).map(Node::fingerprint).eq(asked)
    })
}

fn is_empty(document: &Node) -> bool {
    document.as_map().is_some_and(Map::is_empty)
}

struct Walk<'m> {
    opener: Opener<'m>,
    edits: Vec<Edit>,
}

impl Walk<'_> {
    fn document(&mut self, document: &Node) -> Result<Node, Refusal> {
        let Some(map) = document.as_map() else {
            let message = "a YAML document of SOPS is a mapping";
            return Err(Refusal::malformed(message).at_line(document.span.line));
        };
        let mut own = map.clone();
        own.remove(OWN);
        let root = Node { kind: Kind::Map(own), ..document.clone() };
        self.node(&mut Vec::new(), &root)
    }

    fn node<'n>(&mut self, path: &mut Vec<&'n str>, node: &'n Node) -> Result<Node, Refusal> {
        let kind = match &node.kind {
            Kind::Scalar(scalar) => Kind::Scalar(self.scalar(path, node, scalar)?),
            Kind::List(items) => Kind::List(
                items.iter().map(|item| self.node(path, item)).collect::<Result<_, _>>()?,
            ),
            Kind::Map(map) => {
                let mut own = Vec::with_capacity(map.len());
                for entry in in_order(map) {
                    path.push(&entry.key);
                    let value = self.node(path, &entry.value)?;
                    path.pop();
                    own.push(Entry {
                        value,
                        key: entry.key.clone(),
                        key_span: entry.key_span.clone(),
                    });
                }
                Kind::Map(Map::from_entries(own))
            }
        };
        Ok(Node { span: node.span.clone(), tag: node.tag, kind })
    }

    fn scalar(&mut self, path: &[&str], node: &Node, scalar: &Scalar) -> Result<Scalar, Refusal> {
        let line = node.span.line;
        let instant = scalar.is_plain.then(|| instant::meant(&scalar.text)).flatten();
        let written = match (scalar.value(), instant) {
            (_, Some(instant)) => Written::Other(Plain::Time(instant)),
            (Value::Null, _) => return Ok(scalar.clone()),
            (Value::Bool(truth), _) => Written::Other(Plain::Bool(truth)),
            (Value::Int(number), _) => Written::Other(Plain::Int(number)),
            (Value::Float(number), _) => Written::Other(Plain::Float(number)),
            (Value::Date(text) | Value::Text(text), _) => Written::Text(text.as_bytes()),
        };
        let plain = self.opener.value(path, written, line)?;
        if !scalar.text.starts_with(BEGINS) {
            return Ok(scalar.clone());
        }
        let opened = match plain {
            Plain::Text(bytes) => Scalar::quoted(
                String::from_utf8(bytes)
                    .ok()
                    .ok_or_else(|| Refusal::malformed("a value is no UTF-8 text").at_line(line))?,
            ),
            Plain::Float(number) if number.is_nan() => Scalar::plain(".nan"),
            Plain::Float(number) if number.is_infinite() => {
                Scalar::plain(if number > 0.0 { ".inf" } else { "-.inf" })
            }
            // Whole numbers stay numbers with a fraction.
            Plain::Float(number) => Scalar::plain(format!("{number:?}")),
            Plain::Int(number) => Scalar::plain(number.to_string()),
            Plain::Bool(truth) => Scalar::plain(truth.to_string()),
            Plain::Time(text) => Scalar::plain(text),
        };
        self.edits.push(Edit {
            span: node.span.clone(),
            written: scalar.text.clone(),
            plain: opened.clone(),
        });
        Ok(opened)
    }
}

/// The metadata as plain data.
fn json(node: &Node) -> Json {
    match &node.kind {
        Kind::Map(map) => {
            let fields = map.iter().map(|entry| (entry.key.clone(), json(&entry.value)));
            Json::Object(fields.collect::<JsonMap<_, _>>())
        }
        Kind::List(items) => Json::Array(items.iter().map(json).collect()),
        Kind::Scalar(scalar) => match scalar.value() {
            Value::Null => Json::Null,
            Value::Bool(truth) => Json::Bool(truth),
            Value::Int(number) => i64::try_from(number).map_or(Json::Null, Json::from),
            Value::Float(_) | Value::Date(_) | Value::Text(_) => Json::String(scalar.text.clone()),
        },
    }
}
