//! The types of a model against the table of attributes.

use std::collections::BTreeSet;

use super::attributes::{Kinds, Meeting, Pattern, Shape};
use super::place::Place;
use crate::model::Diagnostics;
use crate::yaml::{Kind, Map, Node, Tag, Value, unknown_key};

/// How much is demanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Demand {
    /// A file that others may complete: nulls and missing keys pass.
    Fragment,
    /// The merged model.
    Whole,
}

/// Reports what does not fit the table.
///
/// The published schema (compose-spec.json) is not read while the program runs: the table says the same, and beside it
/// what becomes of each attribute.
pub(super) fn check(node: &Node, shape: &Shape, demand: Demand, problems: &mut Diagnostics) {
    Checker { demand, problems }.node(node, shape, Place::TOP);
}

/// Reports what does not fit the table in one service of a fragment.
///
/// Of a file that services are extended from only these count: the rest of it is somebody else's, and may be broken.
pub(super) fn check_service(node: &Node, place: Place<'_>, problems: &mut Diagnostics) {
    let services = super::attributes::root().key("services");
    if let Some(shape) = services.and_then(|shape| shape.any.as_deref()) {
        Checker { demand: Demand::Fragment, problems }.node(node, shape, place);
    }
}

/// Goes through a document beside the shape that its attributes may have.
struct Checker<'p> {
    demand: Demand,
    problems: &'p mut Diagnostics,
}

impl Checker<'_> {
    /// One value against its shape.
    ///
    /// Kinds are those of the Compose schema, which is JSON's: a number without a fraction is an integer however it is written, and
    /// a date is text. A fragment may hold nulls anywhere, because the file that it is merged into says the rest; a whole project may
    /// not. `!reset` takes the value away, whatever it is, so that it is not looked at.
    fn node(&mut self, node: &Node, shape: &Shape, place: Place<'_>) {
        if node.tag == Tag::Reset || self.problems.is_full() {
            return;
        }
        let kind = match &node.kind {
            Kind::Map(_) => Kinds::MAP,
            Kind::List(_) => Kinds::LIST,
            Kind::Scalar(scalar) => match scalar.value() {
                Value::Null => Kinds::NULL,
                Value::Bool(_) => Kinds::BOOLEAN,
                Value::Int(_) => Kinds::INTEGER,
                Value::Float(number) if number.fract() == 0.0 => Kinds::INTEGER,
                Value::Float(_) => Kinds::NUMBER,
                Value::Date(_) | Value::Text(_) => Kinds::TEXT,
            },
        };
        if kind == Kinds::NULL && self.demand == Demand::Fragment {
            return;
        }
        if !shape.kinds.allow(kind) {
            self.wrong_kind(node, shape, place);
            return;
        }
        match &node.kind {
            Kind::Map(map) => self.map(node, map, shape, place),
            Kind::List(items) => self.list(items, shape, place),
            Kind::Scalar(_) => self.scalar(node, shape, place),
        }
    }

    /// A value of another kind than the attribute takes, and what would make it right: most are words without quotes that YAML
    /// takes for a number or a boolean, or single values where a list was meant.
    ///
    /// `ports: 80:80` without a dash, `version: 3.8`, `command: yes`: the usual first mistakes are of this kind.
    fn wrong_kind(&mut self, node: &Node, shape: &Shape, place: Place<'_>) {
        let message = format!("{} was expected, and this is {}", shape.kinds.nouns(), node.noun());
        let problem = node.error(message).at(place.to_string());
        let is_scalar = matches!(node.value(), Some(value) if value != Value::Null);
        self.problems.push(if is_scalar && shape.kinds.allow(Kinds::TEXT) {
            problem.help("write it in quotes")
        } else if shape.kinds.allow(Kinds::LIST) && is_scalar {
            problem.help("write it as a list: begin the line with \"- \"")
        } else {
            problem
        });
    }

    /// A mapping: every key is known, named freely (services, variables), or an extension `x-…` (Compose Specification,
    /// "Extension"), which is allowed where the shape says so. Keys that a whole project needs are missed only there.
    fn map(&mut self, node: &Node, map: &Map, shape: &Shape, place: Place<'_>) {
        for entry in map {
            let here = place.key(&entry.key);
            let is_extension = entry.key.starts_with("x-");
            if entry.key.is_empty() && shape.is_pairs() && self.demand == Demand::Fragment {
                let problem = entry.value.error("a name is empty").at(place.to_string());
                self.problems.push(problem);
            }
            match shape.key(&entry.key) {
                Some(_) if shape.has_names && !is_name(&entry.key) => {
                    let message = format!("{:?} is not a valid name", entry.key);
                    self.problems.push(
                        crate::model::Diagnostic::error(entry.key_span.location(), message)
                            .at(here.to_string())
                            .help("letters, digits, `.`, `_` and `-`"),
                    );
                }
                Some(child) => self.node(&entry.value, child, here),
                None if is_extension && shape.has_extensions => {}
                None if shape.is_open || shape.kinds == Kinds::ANY => {}
                None if self.problems.is_full() => return,
                None => {
                    let known = shape.keys.keys().copied();
                    self.problems.push(unknown_key(entry, &place.to_string(), known));
                }
            }
        }
        if self.demand == Demand::Whole {
            for key in shape.needs.iter().filter(|key| !map.contains(key)) {
                self.problems.push(node.error(format!("{key:?} is missing")).at(place.to_string()));
            }
        }
    }

    /// A list, item by item; and whether one stands in it twice, where the schema says `uniqueItems`: `"80"` and `80` are two to it.
    fn list(&mut self, items: &[Node], shape: &Shape, place: Place<'_>) {
        if let Some(child) = &shape.item {
            for (index, item) in items.iter().enumerate() {
                let here = place.index(index);
                if item.is_null() && !child.kinds.allow(Kinds::NULL) {
                    self.wrong_kind(item, child, here);
                } else {
                    self.node(item, child, here);
                }
            }
        }
        if !shape.is_unique || shape.meeting != Meeting::Usual || shape.is_pairs() {
            return;
        }
        let mut seen = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            let Some(scalar) = item.as_scalar() else { continue };
            if !seen.insert((scalar.text.as_str(), scalar.is_plain)) {
                let message = format!("{:?} stands twice in this list", scalar.text);
                self.problems.push(item.error(message).at(place.index(index).to_string()));
            }
        }
    }

    /// A single value: one of the words that there are, within its bounds, of its pattern. A text with a `$` in it may still
    /// become one of the words.
    ///
    /// Bounds are those of the schema; what an Engine bounds further it says itself, with the version that it has.
    fn scalar(&mut self, node: &Node, shape: &Shape, place: Place<'_>) {
        let Some(value) = node.value() else { return };
        match value {
            Value::Text(text) => {
                let allowed = shape.words.is_empty() || shape.words.contains(&text);
                if !allowed && !text.contains('$') {
                    let words = shape.words.join(", ");
                    let near = crate::yaml::nearest(text, shape.words.iter().copied());
                    let help = near.map_or(String::new(), |near| format!("did you mean {near:?}?"));
                    let message = format!("{text:?} is not one of {words}");
                    self.problems.push(node.error(message).at(place.to_string()).help(help));
                }
                if let Some(pattern) = shape.pattern {
                    self.pattern(node, text, pattern, place);
                }
            }
            Value::Int(number) => {
                let below = shape.least.is_some_and(|least| number < least);
                if below || shape.most.is_some_and(|most| number > most) {
                    let bound =
                        |bound: Option<i128>| bound.map_or("…".to_owned(), |b| b.to_string());
                    let message = format!(
                        "{number} is out of range: {} to {}",
                        bound(shape.least),
                        bound(shape.most)
                    );
                    self.problems.push(node.error(message).at(place.to_string()));
                }
            }
            _ => {}
        }
    }

    /// The two patterns of the schema that words and bounds do not tell.
    ///
    /// Only two of the schema's patterns are not told by kind, word or bound, so each is a function and there is no
    /// engine for regular expressions.
    fn pattern(&mut self, node: &Node, text: &str, pattern: Pattern, place: Place<'_>) {
        let (fits, help) = match pattern {
            Pattern::ContainerName => (
                has_container_name(text),
                "letters, digits, `_`, `.` and `-`, at least two, beginning with a letter or digit",
            ),
            Pattern::PullPolicy => (
                is_pull_policy(text),
                "always, never, build, missing, if_not_present, refresh, daily, weekly or every_12h",
            ),
        };
        if !fits {
            let message = format!("{text:?} is not valid here");
            self.problems.push(node.error(message).at(place.to_string()).help(help));
        }
    }
}

/// Whether a text may name a service, network, volume, config or secret: `^[a-zA-Z0-9._-]+$` (Compose schema,
/// `patternProperties`).
///
/// Names become parts of container names, which the Engine restricts likewise.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// Whether a container name stands anywhere in the text, as the schema's unanchored pattern has it.
///
/// Anchored, it would refuse names that the reference takes and the Engine then refuses: whose word is the last one is
/// not for this check to say.
fn has_container_name(text: &str) -> bool {
    let follows = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    text.chars().zip(text.chars().skip(1)).any(|(a, b)| a.is_ascii_alphanumeric() && follows(b))
}

/// Whether a text is a pull policy: one of the words, or `every_` and periods, such as `every_1d12h` (Compose schema,
/// `pull_policy`).
fn is_pull_policy(text: &str) -> bool {
    let words =
        ["always", "never", "build", "if_not_present", "missing", "refresh", "daily", "weekly"];
    let is_period = |text: &str| {
        let parts: Vec<&str> = text.split_inclusive(|c: char| !c.is_ascii_digit()).collect();
        let fits = |part: &&str| part.len() > 1 && part.ends_with(['w', 'd', 'h', 'm', 's']);
        !parts.is_empty() && parts.iter().all(fits)
    };
    words.contains(&text) || text.strip_prefix("every_").is_some_and(is_period)
}
