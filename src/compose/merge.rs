//! How a later file's model is laid over an earlier one's. Both are canonical.

use std::collections::BTreeSet;

use super::attributes::{Meeting, Shape};
use super::canonical::dedupe;
use super::place::Place;
use crate::model::{Budget, Diagnostics};
use crate::yaml::{Entry, Kind, Map, Node, Tag, Value};

/// Attributes that a null in a later model takes away; other attributes keep the earlier value.
const CLEARED_BY_NULL: [&str; 2] = ["services.*.command", "services.*.entrypoint"];

/// Address pools of one network that are merged: each with each.
/// Each earlier pool is compared with each later one, as the reference does: a thousand on each side would be a million
/// merges.
const MAX_POOLS: usize = 100;

/// What becomes of the tags `!reset` and `!override` of the later model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tags {
    /// They stay, because the result is laid over yet another model.
    Keep,
    /// They are done with.
    Drop,
}

/// Lays `over` over `base`.
///
/// Compose Specification, "Merge and override". Both are canonical before they meet: `ports: ["80:80"]` and `ports:
/// [{target: 80}]` are then the same kind of thing, and need one rule and not four.
pub(super) fn merge(
    base: Node,
    over: Node,
    shape: Option<&Shape>,
    tags: Tags,
    problems: &mut Diagnostics,
    budget: &Budget,
) -> Node {
    Merger { tags, problems, budget }.node(base, over, shape, Place::TOP)
}

/// The same for one service.
///
/// Tags stay: what a service says above the one that it extends may itself be laid over by a further file.
pub(super) fn merge_service(
    base: Node,
    over: Node,
    shape: &Shape,
    place: Place<'_>,
    problems: &mut Diagnostics,
    budget: &Budget,
) -> Node {
    Merger { tags: Tags::Keep, problems, budget }.node(base, over, Some(shape), place)
}

/// Removes what is tagged `!reset`, forgets `!override`, and makes equal items one.
///
/// It comes last, when no further file can come: a tag says something about what it is laid over, and `!reset` in a
/// file that is itself overridden must still reach what lies below.
pub(super) fn settle(node: &mut Node, shape: Option<&Shape>) {
    node.tag = Tag::None;
    match &mut node.kind {
        Kind::Map(map) => {
            map.retain(|entry| entry.value.tag != Tag::Reset);
            for entry in map {
                settle(&mut entry.value, shape.and_then(|shape| shape.key(&entry.key)));
            }
        }
        Kind::List(items) => {
            items.retain(|item| item.tag != Tag::Reset);
            let child = shape.and_then(|shape| shape.item.as_deref());
            for item in items.iter_mut() {
                settle(item, child);
            }
            if let Some(shape) = shape {
                *items = dedupe(std::mem::take(items), shape.meeting);
            }
        }
        Kind::Scalar(_) => {}
    }
}

/// Lays one document over another (Compose Specification, "Merge").
struct Merger<'p> {
    tags: Tags,
    problems: &'p mut Diagnostics,
    budget: &'p Budget,
}

impl Merger<'_> {
    /// One value over another.
    ///
    /// Mappings merge key by key, lists are appended, single values are replaced. `!override` replaces whatever it is; null keeps what
    /// was there, unless the attribute is one that null clears (`command`, `entrypoint`): there it is a word of its own, "as the image
    /// has it". What cannot meet, a list over a mapping, is an error with both places.
    fn node(&mut self, base: Node, over: Node, shape: Option<&Shape>, place: Place<'_>) -> Node {
        if over.tag != Tag::None || self.budget.steps(cost(&base) + cost(&over)).is_err() {
            return over;
        }
        if over.is_null() {
            let is_cleared = shape.is_some_and(|shape| CLEARED_BY_NULL.contains(&shape.id));
            return if is_cleared { over } else { base };
        }
        let meeting = shape.map_or(Meeting::Usual, |shape| shape.meeting);
        if base.is_null() || base.tag == Tag::Reset || meeting == Meeting::Replace {
            return over;
        }
        if meeting == Meeting::Logging && other_driver(&base, &over) {
            return over;
        }
        let (base_noun, over_noun) = (base.noun(), over.noun());
        let (span, tag) = (over.span.clone(), base.tag);
        match (base.kind, over.kind) {
            (Kind::Map(earlier), Kind::Map(later)) => {
                let kind = Kind::Map(self.maps(earlier, later, shape, place));
                Node { span: base.span, tag, kind }
            }
            (Kind::List(earlier), Kind::List(later)) => {
                let items = match meeting {
                    Meeting::Subnet => self.subnets(&earlier, &later, shape, place),
                    meeting => dedupe(appended(earlier, later), meeting),
                };
                Node { span: base.span, tag, kind: Kind::List(items) }
            }
            (Kind::Scalar(_), later @ Kind::Scalar(_)) => {
                Node { span, tag: Tag::None, kind: later }
            }
            (Kind::Scalar(_), later) if shape.is_none() => {
                Node { span, tag: Tag::None, kind: later }
            }
            (_, later) => {
                let node = Node { span, tag: Tag::None, kind: later };
                let message = format!("{over_noun} cannot override {base_noun}");
                let help = format!("the other one stands at {}", base.span.location());
                self.problems.push(node.error(message).at(place.to_string()).help(help));
                node
            }
        }
    }

    /// Two mappings, both sorted by key. Entries that are pairs (variables, labels) are replaced as a whole: to merge the two values
    /// of one variable means nothing.
    ///
    /// Sorted by key on both sides, so that one walk meets every pair, however many variables a file has.
    fn maps(&mut self, earlier: Map, later: Map, shape: Option<&Shape>, place: Place<'_>) -> Map {
        let is_pairs = shape.is_some_and(Shape::is_pairs);
        let mut merged = Vec::with_capacity(earlier.len().max(later.len()));
        let mut earlier = earlier.into_entries().into_iter().peekable();
        for entry in later.into_entries() {
            while let Some(before) = earlier.next_if(|before| before.key < entry.key) {
                merged.push(before);
            }
            match earlier.next_if(|before| before.key == entry.key) {
                None => merged.push(entry),
                Some(before) => {
                    let child = shape.and_then(|shape| shape.key(&entry.key));
                    if is_pairs {
                        merged.push(entry);
                        continue;
                    }
                    let here = place.key(&entry.key);
                    let value = self.node(before.value, entry.value, child, here);
                    merged.push(Entry { key: before.key, key_span: before.key_span, value });
                }
            }
        }
        merged.extend(earlier);
        if self.tags == Tags::Drop {
            merged.retain(|entry| entry.value.tag != Tag::Reset);
        }
        Map::from_entries(merged)
    }

    /// Address pools with one subnet merge. As in the reference, an earlier pool whose subnet no later one has is
    /// dropped.
    ///
    /// That loses pools when two files name different ones. It is what the reference does, and a network that is merged
    /// otherwise here than there would be made anew on a host where docker compose made it.
    fn subnets(
        &mut self,
        earlier: &[Node],
        later: &[Node],
        shape: Option<&Shape>,
        place: Place<'_>,
    ) -> Vec<Node> {
        if earlier.len().max(later.len()) > MAX_POOLS
            && let Some(first) = later.first()
        {
            let message = format!("more than {MAX_POOLS} address pools cannot be merged");
            self.problems.push(first.error(message).at(place.to_string()));
            return Vec::new();
        }
        let child = shape.and_then(|shape| shape.item.as_deref());
        let subnet = |node: &Node| {
            node.get("subnet").and_then(Node::value).map(|value| value.to_text().into_owned())
        };
        let mut kept: Vec<Node> = Vec::new();
        for base in earlier {
            for (index, over) in later.iter().enumerate() {
                let wanted = subnet(over);
                let found = kept.iter().position(|node| subnet(node) == wanted);
                if found.is_none() && subnet(base) != wanted {
                    kept.push(over.clone());
                    continue;
                }
                let merged = self.node(base.clone(), over.clone(), child, place.index(index));
                match found.and_then(|found| kept.get_mut(found)) {
                    Some(place) => *place = merged,
                    None => kept.push(merged),
                }
            }
        }
        kept
    }
}

/// The steps of going through a node once. A merge goes through all of both lists and mappings, however little the
/// later file says: many small documents laid over a large one cost its size each time.
///
/// Items of a list cost more than keys of a mapping: each is written out as a text to find out whether it is there
/// already.
fn cost(node: &Node) -> u64 {
    match &node.kind {
        Kind::Map(map) => 10 * map.len() as u64,
        Kind::List(items) => 64 * items.len() as u64,
        Kind::Scalar(_) => 1,
    }
}

/// The later list behind the earlier one, without what the earlier one has already.
///
/// Equal items are one, whichever file they came from: `cap_add: [NET_ADMIN]` in a base and in its override would
/// otherwise be refused by the schema, which wants unique items.
fn appended(mut earlier: Vec<Node>, later: Vec<Node>) -> Vec<Node> {
    let known: BTreeSet<String> = earlier.iter().map(Node::fingerprint).collect();
    earlier.extend(later.into_iter().filter(|item| !known.contains(&item.fingerprint())));
    earlier
}

/// Whether two `logging` parts name different drivers: options of one mean nothing to the other, so that the later part stands
/// alone (Compose Specification, "Merge", `logging`).
///
/// `max-size` of `json-file` handed to `syslog` is refused by the Engine when the container is made.
fn other_driver(base: &Node, over: &Node) -> bool {
    let driver = |node: &Node| match node.get("driver").and_then(Node::value) {
        Some(Value::Text(text)) => Some(text.to_owned()),
        _ => None,
    };
    match (driver(base), driver(over)) {
        (Some(base), Some(over)) => base != over,
        _ => false,
    }
}
