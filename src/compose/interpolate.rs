//! References in the values of a file, filled in from the project's variables.

use std::collections::BTreeMap;

use super::attributes::{Cast, Shape};
use super::place::Place;
use super::text::template::{self, TemplateProblem};
use super::values::unset::{self, Unset};
use crate::model::{Budget, Diagnostics};
use crate::yaml::{Kind, NODE_BYTES, Node, Scalar, Tag, Value};

/// Variables by name.
pub(super) type Env = BTreeMap<String, String>;

/// Fills in all references below a node, and turns texts into numbers and booleans where the attribute asks
/// for them. References to variables without a value go to `unset`: what they mean shows when the model is whole.
///
/// It runs for each file by itself and before files are merged (Compose Specification, "Interpolation"), since an
/// included file has variables of its own. Afterwards no value can tell whether it was written or filled in.
pub(super) fn interpolate(
    node: &mut Node,
    shape: Option<&Shape>,
    env: &Env,
    (unset, problems): (&mut Unset, &mut Diagnostics),
    budget: &Budget,
) {
    let mut walk = Walk { env, unset, problems, budget };
    walk.node(node, shape, Place::TOP);
}

/// Gives the variables of services that have no value the project's.
///
/// `environment: [TOKEN]` asks for the variable of that name from outside. It is done here and not while files are
/// read, because a later file may give it a value, and then nobody asks.
pub(super) fn resolve_environment(root: &mut Node, env: &Env, unset: &Unset) {
    let services = root.as_map_mut().and_then(|map| map.get_mut("services"));
    let Some(services) = services.and_then(Node::as_map_mut) else { return };
    for service in services {
        let variables = service.value.as_map_mut().and_then(|map| map.get_mut("environment"));
        let Some(variables) = variables.and_then(Node::as_map_mut) else { continue };
        for variable in variables {
            if variable.value.value() == Some(Value::Null)
                && let Some(value) = env.get(&variable.key)
            {
                unset.asks(&variable.key);
                variable.value.kind = Node::text(variable.value.span.clone(), value.clone()).kind;
            }
        }
    }
}

/// Goes through one document and fills references in, in place.
struct Walk<'a> {
    env: &'a Env,
    unset: &'a mut Unset,
    problems: &'a mut Diagnostics,
    budget: &'a Budget,
}

impl Walk<'_> {
    /// Fills in all values below a node, never its keys (Compose Specification, "Interpolation": values only). Where the attribute
    /// is a number or a boolean, text that came out of a variable becomes one: a
    /// variable is always text, and `privileged: ${P}` asks for a boolean.
    ///
    /// What an attribute asks for is known from its shape, so that `"8080"` from a variable becomes a number for
    /// `target` and stays text for `environment`.
    fn node(&mut self, node: &mut Node, shape: Option<&Shape>, place: Place<'_>) {
        match &mut node.kind {
            Kind::Map(map) => {
                for entry in map {
                    let child = shape.and_then(|shape| shape.key(&entry.key));
                    self.node(&mut entry.value, child, place.key(&entry.key));
                }
            }
            Kind::List(items) => {
                let child = shape.and_then(|shape| shape.item.as_deref());
                for (index, item) in items.iter_mut().enumerate() {
                    self.node(item, child, place.index(index));
                }
            }
            Kind::Scalar(scalar) => {
                let has_reference = scalar.text.contains('$');
                let cast = shape.and_then(|shape| shape.cast);
                if !has_reference && cast.is_none() {
                    return;
                }
                if has_reference {
                    self.fill(node, place);
                }
                if let Some(cast) = cast
                    && node.tag != Tag::Reset
                {
                    self.cast(node, cast, place);
                }
            }
        }
    }

    /// Fills one text. What is needed is charged before it is kept: a few references to a long variable, each other's values
    /// among them, can ask for more memory than there is.
    ///
    /// What was filled in is text and stays text: a value `*other` or `{a: b}` in a variable is no alias and no
    /// mapping. YAML is read before, so a variable cannot add keys to a file.
    fn fill(&mut self, node: &mut Node, place: Place<'_>) {
        let env = self.env;
        let unset = &*self.unset;
        let lookup = |name: &str| {
            unset.asks(name);
            env.get(name).map(String::as_str)
        };
        let Some(scalar) = node.as_scalar() else { return };
        // What is over is said once, when all is read.
        if self.budget.over().is_some() {
            return;
        }
        let filled = template::fill(&scalar.text, &lookup);
        let grown = match &filled {
            Ok(filled) => filled.text.len() + NODE_BYTES * filled.unset.len(),
            Err(TemplateProblem::TooLarge) => template::MAX_LENGTH,
            Err(_) => 0,
        };
        if self.budget.bytes(7 * grown).is_err() {
            return;
        }
        match filled {
            Ok(filled) => {
                for name in &filled.unset {
                    self.unset.note(name, node.location(), place.to_string());
                }
                // `${DATA}/db` with an empty DATA: another folder of the host than anybody meant.
                if filled.text.starts_with(['/', ':'])
                    && let Some(name) = template::begins_with(&scalar.text)
                    && env.get(name).is_some_and(String::is_empty)
                    && unset::is_host_path(&place.to_string())
                {
                    self.unset.note_beginning(name, node.location(), place.to_string());
                }
                node.kind = Kind::Scalar(Scalar::quoted(filled.text));
            }
            Err(problem) => {
                let (message, help) = match problem {
                    TemplateProblem::Malformed(text) => (
                        format!("{text:?} is not a reference to a variable"),
                        "write $$ for a dollar".to_owned(),
                    ),
                    TemplateProblem::Missing { name, message } if message.is_empty() => {
                        (format!("the required variable {name} has no value"), "set it".to_owned())
                    }
                    TemplateProblem::Missing { name, message } => (
                        format!("the required variable {name} has no value: {message}"),
                        String::new(),
                    ),
                    TemplateProblem::TooLarge => {
                        ("the references nest or grow too much".to_owned(), String::new())
                    }
                };
                self.problems.push(node.error(message).at(place.to_string()).help(help));
            }
        }
    }

    /// Turns a text into what the attribute asks for. Only texts: numbers and booleans stay.
    ///
    /// `ports: [{target: ${PORT}}]` is quoted for YAML and still a number for the schema. Without the cast every such
    /// file would be refused, with it a slip (`PORT=8o80`) is found where it stands.
    fn cast(&mut self, node: &mut Node, cast: Cast, place: Place<'_>) {
        let Some(text) = node.as_text() else { return };
        let (cast, noun) = match cast {
            Cast::Int => {
                (text.parse::<i64>().ok().map(|number| number.to_string()), "a whole number")
            }
            Cast::Float => (text.parse::<f64>().ok().map(|_| decimal(text)), "a number"),
            Cast::Bool => (boolean(text).map(str::to_owned), "a boolean: true or false"),
        };
        match cast {
            Some(text) => node.kind = Kind::Scalar(Scalar::plain(text)),
            None => {
                let message = format!("{text:?} is not {noun}");
                self.problems.push(node.error(message).at(place.to_string()));
                // Without a value the service can still be checked further.
                node.kind = Kind::Scalar(Scalar::plain(""));
            }
        }
    }
}

/// A number's text in a form that YAML reads as that number.
///
/// `1e3` and `.5` are numbers as well, and the tree must read back as one what was taken for one.
fn decimal(text: &str) -> String {
    text.parse::<f64>().map_or_else(|_| text.to_owned(), crate::yaml::float_text)
}

/// YAML 1.1's booleans, in any case: the reference reads variables so, although the files themselves are YAML 1.2.
///
/// `privileged: ${ON}` with `ON=yes` works with the reference, and so it has to here.
fn boolean(text: &str) -> Option<&'static str> {
    match text.to_ascii_lowercase().as_str() {
        "y" | "yes" | "true" | "on" => Some("true"),
        "n" | "no" | "false" | "off" => Some("false"),
        _ => None,
    }
}
