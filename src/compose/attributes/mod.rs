//! Every attribute of a Compose file: its types and limits, how it is merged, and what Moorline does with it.
//!
//! The table is data (`table.txt`), one attribute a line, fields separated by `|`:
//! path (`*` any key, `[]` an item of a list), allowed kinds, rules, status, note. Rules:
//! `unique` items, `one=a|b` words, `min=` and `max=`, `needs=a|b` required keys, `x` extensions allowed,
//! `open` unknown keys allowed, `names` keys are names, `merge=` how values of several files meet,
//! `cast=` what an interpolated text becomes, and the names of patterns.

use std::collections::BTreeMap;
use std::sync::LazyLock;

mod words;

/// Every attribute of the Compose Specification, one line each: its kinds, its rules, and what becomes of it.
const TABLE: &str = include_str!("table.txt");

// A word that nobody knows would quietly mean something: here it does not compile.
const _: () = words::check(TABLE.as_bytes());

/// What Moorline does with an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It reaches the Engine, or decides what does.
    Honoured,
    /// A manifest with it is refused when it is to run.
    Refused,
    /// A service with it is held as long as what it asks for is not there.
    Held,
    /// It is read and checked and has no effect, and a warning says so.
    Ignored,
    /// It is read and checked, and there is nothing on a host that it could have an effect on.
    Moot,
}

impl Status {
    /// The word in the table of the documentation.
    pub fn word(self) -> &'static str {
        match self {
            Self::Honoured => "honoured",
            Self::Refused => "refused",
            Self::Held => "held",
            Self::Ignored => "ignored, with a warning",
            Self::Moot => "ignored",
        }
    }
}

/// One attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute {
    /// Path: `services.*.ports[].target`.
    pub path: &'static str,
    /// Allowed kinds, comma-separated.
    pub kinds: &'static str,
    /// Rules, separated by blanks.
    pub rules: &'static str,
    /// What Moorline does with it.
    pub status: Status,
    /// Why it is not honoured, or when it is.
    pub note: &'static str,
}

/// All attributes, in the order of the table.
pub fn all() -> impl Iterator<Item = Attribute> {
    TABLE.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut fields = line.split(" | ").map(str::trim);
        let mut field = || fields.next().unwrap_or_default();
        Attribute {
            path: field(),
            kinds: field(),
            rules: field(),
            // What else might stand here does not compile: see `words`.
            status: match field() {
                "refused" => Status::Refused,
                "held" => Status::Held,
                "ignored" => Status::Ignored,
                "moot" => Status::Moot,
                _ => Status::Honoured,
            },
            note: field(),
        }
    })
}

/// How a list or a value of a later file meets the one of an earlier file.
///
/// The Specification's section "Merge and override" has one rule for mappings, one for lists, and a page of exceptions.
/// Each exception is one of these, named in the table beside its attribute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Meeting {
    /// Mappings merge, lists append, the rest is replaced.
    #[default]
    Usual,
    /// The later one stays.
    Replace,
    /// Lists append, and equal items are one.
    Set,
    /// Options merge only for the same driver.
    Logging,
    /// Lists append; the later item with the same key stays, in the earlier one's place.
    Keyed(ItemKey),
    /// Lists append; items with the same subnet merge.
    Subnet,
}

/// What identifies an item.
///
/// The Specification's "unique resources": two mounts of one target, or two ports of one address, are one thing said
/// twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ItemKey {
    /// Path in the container.
    Target,
    /// Address, published port, target and protocol.
    Port,
    /// Path in the container, by default `/NAME`.
    Config,
    /// Path in the container, by default `/run/secrets/NAME`.
    Secret,
    /// Path of a file.
    Path,
}

/// What an interpolated text becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cast {
    Int,
    Float,
    Bool,
}

/// Patterns of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pattern {
    ContainerName,
    PullPolicy,
}

/// Allowed kinds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Kinds(u8);

impl Kinds {
    pub(super) const TEXT: Self = Self(1);
    pub(super) const INTEGER: Self = Self(2);
    pub(super) const NUMBER: Self = Self(4);
    pub(super) const BOOLEAN: Self = Self(8);
    pub(super) const NULL: Self = Self(16);
    pub(super) const LIST: Self = Self(32);
    pub(super) const MAP: Self = Self(64);
    pub(super) const ANY: Self = Self(127);

    fn parse(words: &str) -> Self {
        words.split(',').map(Self::word).fold(Self(0), |all, one| Self(all.0 | one.0))
    }

    fn word(word: &str) -> Self {
        match word {
            "text" => Self::TEXT,
            "integer" => Self::INTEGER,
            "number" => Self(Self::INTEGER.0 | Self::NUMBER.0),
            "boolean" => Self::BOOLEAN,
            "null" => Self::NULL,
            "list" => Self::LIST,
            "map" => Self::MAP,
            _ => Self::ANY,
        }
    }

    pub(super) fn allow(self, one: Self) -> bool {
        self.0 & one.0 != 0
    }

    /// The kinds in words: `a text or a list`.
    pub(super) fn nouns(self) -> String {
        let words = [
            (Self::TEXT, "a text"),
            (Self::NUMBER, "a number"),
            (Self::INTEGER, "a whole number"),
            (Self::BOOLEAN, "a boolean"),
            (Self::LIST, "a list"),
            (Self::MAP, "a mapping"),
        ];
        let whole = self.allow(Self::INTEGER) && self.allow(Self::NUMBER);
        let named: Vec<&str> = words
            .iter()
            .filter(|(kind, _)| self.allow(*kind) && !(whole && *kind == Self::INTEGER))
            .map(|(_, noun)| *noun)
            .collect();
        named.join(" or ")
    }
}

/// An attribute in the tree of attributes.
#[derive(Debug, Clone, Default)]
pub(super) struct Shape {
    /// Its path in the table.
    pub(super) id: &'static str,
    pub(super) kinds: Kinds,
    pub(super) keys: BTreeMap<&'static str, Self>,
    /// Values of other keys.
    pub(super) any: Option<Box<Self>>,
    pub(super) item: Option<Box<Self>>,
    pub(super) is_unique: bool,
    pub(super) is_open: bool,
    pub(super) has_extensions: bool,
    pub(super) has_names: bool,
    pub(super) needs: Vec<&'static str>,
    pub(super) words: Vec<&'static str>,
    pub(super) least: Option<i128>,
    pub(super) most: Option<i128>,
    pub(super) pattern: Option<Pattern>,
    pub(super) meeting: Meeting,
    pub(super) cast: Option<Cast>,
}

static ROOT: LazyLock<Shape> = LazyLock::new(|| {
    let mut root = Shape { kinds: Kinds::MAP, has_extensions: true, ..Shape::default() };
    for attribute in all() {
        root.add(&attribute);
    }
    root.give_hooks_container_attributes();
    root
});

/// Attributes of a service that are not its container's.
/// They tell how many there are, how they are replaced, or who else there is: a container that runs once before the
/// start has none of that.
const NOT_OF_CONTAINER: [&str; 21] = [
    "attach",
    "build",
    "container_name",
    "depends_on",
    "deploy",
    "develop",
    "expose",
    "extends",
    "external_links",
    "healthcheck",
    "links",
    "ports",
    "post_start",
    "pre_start",
    "pre_stop",
    "profiles",
    "provider",
    "restart",
    "scale",
    "stdin_open",
    "tty",
];

/// Whether an attribute of a service describes its container: such attributes hold for `pre_start` too.
pub(super) fn is_of_container(key: &str) -> bool {
    !NOT_OF_CONTAINER.contains(&key) && !key.starts_with("x-")
}

/// The top level of a Compose file.
pub(super) fn root() -> &'static Shape {
    &ROOT
}

impl Shape {
    /// The containers of `pre_start` take the attributes of their service's container.
    fn give_hooks_container_attributes(&mut self) {
        let Some(service) = self.keys.get_mut("services").and_then(|shape| shape.any.as_mut())
        else {
            return;
        };
        let shared: Vec<(&'static str, Self)> = service
            .keys
            .iter()
            .filter(|(key, _)| is_of_container(key))
            .map(|(key, shape)| (*key, shape.clone()))
            .collect();
        if let Some(hook) = service.keys.get_mut("pre_start").and_then(|shape| shape.item.as_mut())
        {
            hook.keys.extend(shared);
        }
    }

    fn add(&mut self, attribute: &Attribute) {
        let mut shape = self;
        for part in attribute.path.split('.') {
            let name = part.trim_end_matches("[]");
            shape = if name == "*" {
                shape.any.get_or_insert_default()
            } else {
                shape.keys.entry(name).or_default()
            };
            for _ in 0..(part.len() - name.len()) / 2 {
                shape = shape.item.get_or_insert_default();
            }
        }
        shape.id = attribute.path;
        shape.kinds = Kinds::parse(attribute.kinds);
        for rule in attribute.rules.split_whitespace() {
            shape.rule(rule);
        }
    }

    fn rule(&mut self, rule: &'static str) {
        let (name, value) = rule.split_once('=').unwrap_or((rule, ""));
        match name {
            "unique" => self.is_unique = true,
            "open" => self.is_open = true,
            "x" => self.has_extensions = true,
            "names" => self.has_names = true,
            "needs" => self.needs = value.split('|').collect(),
            "one" => self.words = value.split('|').collect(),
            "min" => self.least = value.parse().ok(),
            "max" => self.most = value.parse().ok(),
            "container-name" => self.pattern = Some(Pattern::ContainerName),
            "pull-policy" => self.pattern = Some(Pattern::PullPolicy),
            "merge" => self.meeting = meeting(value),
            "cast" => {
                self.cast = match value {
                    "int" => Some(Cast::Int),
                    "float" => Some(Cast::Float),
                    _ => Some(Cast::Bool),
                }
            }
            _ => {}
        }
    }

    /// The attribute under a key.
    pub(super) fn key(&self, key: &str) -> Option<&Self> {
        self.keys.get(key).or(self.any.as_deref())
    }

    /// Whether it is a mapping of names to scalars that may be written as a list of `NAME=VALUE`.
    ///
    /// `environment`, `labels`, `annotations`, `sysctls`, build `args`: the Specification lets each be a mapping or a
    /// list.
    pub(super) fn is_pairs(&self) -> bool {
        self.kinds.allow(Kinds::LIST)
            && self.kinds.allow(Kinds::MAP)
            && self.any.as_ref().is_some_and(|any| any.kinds.allow(Kinds::BOOLEAN))
    }
}

fn meeting(word: &str) -> Meeting {
    match word {
        "replace" => Meeting::Replace,
        "set" => Meeting::Set,
        "logging" => Meeting::Logging,
        "subnet" => Meeting::Subnet,
        "port" => Meeting::Keyed(ItemKey::Port),
        "target" | "device" => Meeting::Keyed(ItemKey::Target),
        "config" => Meeting::Keyed(ItemKey::Config),
        "secret" => Meeting::Keyed(ItemKey::Secret),
        "path" => Meeting::Keyed(ItemKey::Path),
        _ => Meeting::Usual,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_complete() {
        for attribute in all() {
            assert!(!attribute.path.is_empty() && !attribute.kinds.is_empty(), "{attribute:?}");
            assert!(attribute.status == Status::Honoured || root().key("services").is_some());
        }
        assert!(all().count() > 400);
    }
}
