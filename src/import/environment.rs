//! Values that stand in files outside Git: where each is today, and how the repository comes by it afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::nouns::NeededVariable;
use super::references::{references, solve};
use super::sources::Unit;
use super::stack::Loaded;
use crate::compose;
use crate::model::Service;
use crate::yaml::{self, Kind, Node};

/// Variables that say what the fleet file says from now on.
const COMPOSES_OWN: [&str; 5] = [
    "COMPOSE_FILE",
    "COMPOSE_PATH_SEPARATOR",
    "COMPOSE_PROFILES",
    "COMPOSE_PROJECT_NAME",
    "COMPOSE_ENV_FILES",
];

/// What a stack needs from outside Git.
#[derive(Default)]
pub(super) struct Environment {
    /// The text of its env file, which holds secrets.
    pub(super) text: String,
    /// What it needs, without values.
    pub(super) needed: Vec<NeededVariable>,
    /// Variables of containers that stood in services' env files: service → name → the variable that holds it.
    pub(super) services: BTreeMap<String, BTreeMap<String, String>>,
    /// Services whose env files do not come along.
    pub(super) resets: BTreeSet<String>,
    /// What is left to do by hand.
    pub(super) by_hand: Vec<String>,
}

/// A place that refers to a variable.
struct Use {
    name: String,
    has_default: bool,
    place: String,
    /// The text that refers to it, and what it is: `services.web.image`.
    text: String,
    path: Vec<String>,
}

/// Finds out what a stack needs.
pub(super) fn of(unit: &Unit<'_>, loaded: &Loaded) -> Environment {
    let mut environment = Environment::default();
    let mut values: BTreeMap<String, (String, String)> = BTreeMap::new();
    for path in &loaded.variables_of {
        let text = text_of(loaded, path);
        match compose::variables_of(path, &text) {
            Ok(variables) => {
                for (name, (value, line)) in variables {
                    values.insert(name, (value, format!("{path}:{line}")));
                }
            }
            Err(problem) => environment.by_hand.push(format!("mend {problem}")),
        }
        environment.text.push_str(&without_composes_own(&text));
    }
    let uses = uses(loaded);
    need(&mut environment, &uses, &values, unit);
    lift(&mut environment, loaded, &mut values, &uses);
    environment
}

fn text_of(loaded: &Loaded, path: &str) -> String {
    let bytes = loaded.read.get(path).map(AsRef::as_ref).unwrap_or_default();
    let text = String::from_utf8_lossy(bytes).into_owned();
    if text.is_empty() || text.ends_with('\n') { text } else { format!("{text}\n") }
}

fn without_composes_own(text: &str) -> String {
    let is_own = |line: &&str| {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let name = line.split(['=', ':']).next().unwrap_or_default().trim();
        COMPOSES_OWN.contains(&name)
    };
    text.lines().filter(|line| !is_own(line)).flat_map(|line| [line, "\n"]).collect()
}

/// Every reference of the Compose files, where they stand.
fn uses(loaded: &Loaded) -> Vec<Use> {
    let mut found = Vec::new();
    for (path, bytes) in loaded.manifests() {
        for document in yaml::parse(path, bytes).unwrap_or_default() {
            walk(&document, &mut Vec::new(), &mut found);
        }
    }
    found
}

fn walk(node: &Node, path: &mut Vec<String>, found: &mut Vec<Use>) {
    match &node.kind {
        Kind::Scalar(_) => {
            let Some(text) = node.as_text() else { return };
            let place = format!("{}:{}", node.span.file, node.span.line);
            found.extend(references(text).into_iter().map(|one| Use {
                name: one.name,
                has_default: one.has_default,
                place: place.clone(),
                text: text.to_owned(),
                path: path.clone(),
            }));
        }
        Kind::List(items) => {
            for item in items {
                // `environment: [NAME]` takes its value from the shell.
                if path.last().is_some_and(|key| key == "environment")
                    && let Some(name) = item.as_text().filter(|text| !text.contains('='))
                {
                    passed_on(item, name, path, found);
                }
                walk(item, path, found);
            }
        }
        Kind::Map(map) => {
            let is_environment = path.last().is_some_and(|key| key == "environment");
            for entry in map {
                if is_environment && entry.value.is_null() {
                    passed_on(&entry.value, &entry.key, path, found);
                }
                path.push(entry.key.clone());
                walk(&entry.value, path, found);
                path.pop();
            }
        }
    }
}

fn passed_on(node: &Node, name: &str, path: &[String], found: &mut Vec<Use>) {
    let place = format!("{}:{}", node.span.file, node.span.line);
    let path = path.iter().cloned().chain([name.to_owned()]).collect();
    let text = format!("${{{name}}}");
    found.push(Use { name: name.to_owned(), has_default: false, place, text, path });
}

/// Says of each variable where its value is. One that is in no file is taken from what runs, where it shows there.
fn need(
    environment: &mut Environment,
    uses: &[Use],
    values: &BTreeMap<String, (String, String)>,
    unit: &Unit<'_>,
) {
    let mut names: BTreeMap<&str, Vec<&Use>> = BTreeMap::new();
    for one in uses {
        names.entry(&one.name).or_default().push(one);
    }
    for (name, uses) in names {
        if COMPOSES_OWN.contains(&name) || name == "PWD" {
            continue;
        }
        let asked: Vec<&&Use> = uses.iter().filter(|one| !one.has_default).collect();
        let known = values.get(name).map(|(_, place)| place.clone());
        if asked.is_empty() && known.is_none() {
            continue;
        }
        let needed_at = asked.first().map_or_else(String::new, |one| one.place.clone());
        let value_at = known.or_else(|| {
            let (value, container) = asked.iter().find_map(|one| seen(one, unit))?;
            write_value(&mut environment.text, name, &value);
            Some(format!("the container {container}"))
        });
        if value_at.is_none() {
            environment.by_hand.push(format!(
                "find the value of {name} ({needed_at}): it is in no file, and no container shows it"
            ));
        }
        environment.needed.push(NeededVariable { name: name.to_owned(), needed_at, value_at });
    }
}

/// What a running container tells of a variable's value.
fn seen(one: &Use, unit: &Unit<'_>) -> Option<(String, String)> {
    let [services, service, rest @ ..] = one.path.as_slice() else { return None };
    if services != "services" {
        return None;
    }
    let own = |service: &String| {
        unit.containers.iter().find(|it| it.service.as_deref() == Some(service.as_str()))
    };
    let container = own(service)?;
    let solved = |template: &str, seen: &str| {
        solve(template, seen).filter(|(name, _)| *name == one.name).map(|(_, value)| value)
    };
    let value = match rest {
        [attribute] if attribute == "image" => solved(&one.text, &container.image),
        [attribute] if attribute == "container_name" => solved(&one.text, &container.name),
        [attribute, name] if attribute == "environment" => {
            solved(&one.text, container.environment.get(name)?)
        }
        [attribute, name] if attribute == "labels" => {
            solved(&one.text, container.labels.get(name)?)
        }
        // A list of `NAME=text`.
        [attribute] if attribute == "environment" || attribute == "labels" => {
            let (name, text) = one.text.split_once('=')?;
            let all =
                if attribute == "labels" { &container.labels } else { &container.environment };
            solved(text, all.get(name)?)
        }
        _ => None,
    }?;
    Some((value, container.name.clone()))
}

/// What services took from env files comes from variables afterwards.
fn lift(
    environment: &mut Environment,
    loaded: &Loaded,
    values: &mut BTreeMap<String, (String, String)>,
    uses: &[Use],
) {
    let named = services_with_env_files(loaded);
    let Some(bare) = &loaded.bare else {
        if !named.is_empty() {
            environment.by_hand.push(format!(
                "give {} what stands in env files by `environment:` and variables: which of it stems from there cannot be told",
                named.iter().cloned().collect::<Vec<_>>().join(", ")
            ));
        }
        return;
    };
    let referred: BTreeSet<&str> = uses.iter().map(|one| one.name.as_str()).collect();
    for (name, service) in &loaded.project.services {
        let own = bare.services.get(name);
        let lifted = lifted(service, own);
        if lifted.is_empty() && !named.contains(name.as_str()) {
            continue;
        }
        environment.resets.insert(name.to_string());
        for (key, value) in lifted {
            let known = values.get(&key).filter(|(known, _)| *known == value);
            let variable = match known {
                Some(_) => key.clone(),
                None => free_name(&key, name.as_str(), (values, &referred)),
            };
            if known.is_none() {
                write_value(&mut environment.text, &variable, &value);
                let from = loaded.services_of.iter().find(|path| sets(loaded, path, &key));
                let place = from.cloned().unwrap_or_else(|| "an env file".to_owned());
                values.insert(variable.clone(), (value, place.clone()));
                environment.needed.push(NeededVariable {
                    name: variable.clone(),
                    needed_at: format!("services.{name}.environment.{key}"),
                    value_at: Some(place),
                });
            }
            let of_service = environment.services.entry(name.to_string()).or_default();
            of_service.insert(key, variable);
        }
    }
}

fn sets(loaded: &Loaded, path: &str, key: &str) -> bool {
    let variables = compose::variables_of(path, &text_of(loaded, path)).unwrap_or_default();
    variables.contains_key(key)
}

/// Variables of a service that are there by its env files only.
fn lifted(service: &Service, bare: Option<&Service>) -> BTreeMap<String, String> {
    let own = |name: &String| bare.and_then(|bare| bare.environment.get(name));
    let values = service.environment.iter().filter(|(name, value)| own(name) != Some(*value));
    values.filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect()
}

/// Services that name an env file, by what the files say.
fn services_with_env_files(loaded: &Loaded) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (path, bytes) in loaded.manifests() {
        for document in yaml::parse(path, bytes).unwrap_or_default() {
            let services = document.get("services").and_then(Node::as_map);
            let named = services
                .into_iter()
                .flat_map(|map| map.iter())
                .filter(|entry| entry.value.get("env_file").is_some_and(|node| !node.is_null()));
            names.extend(named.map(|entry| entry.key.clone()));
        }
    }
    let own = &loaded.project.services;
    names.retain(|name| own.keys().any(|known| known.as_str() == name));
    names
}

/// A variable's name that nothing else has or refers to.
fn free_name(
    key: &str,
    service: &str,
    (values, referred): (&BTreeMap<String, (String, String)>, &BTreeSet<&str>),
) -> String {
    let is_free = |name: &str| !values.contains_key(name) && !referred.contains(name);
    let plain = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
    };
    let is_name = !key.starts_with(|c: char| c.is_ascii_digit())
        && key.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
    if is_name && is_free(key) {
        return key.to_owned();
    }
    let base = format!("{}_{}", plain(service).to_uppercase(), plain(key));
    let base =
        if base.starts_with(|c: char| c.is_ascii_digit()) { format!("_{base}") } else { base };
    let numbered = (2_u32..).map(|number| format!("{base}_{number}"));
    std::iter::once(base.clone()).chain(numbered).find(|name| is_free(name)).unwrap_or(base)
}

/// Writes an assignment whose value is taken literally.
pub(super) fn write_value(text: &mut String, name: &str, value: &str) {
    // Single quotes take everything literally but themselves and a backslash at the end.
    let quoted = if value.contains('\'') || value.contains('\\') {
        let escaped = value
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('$', "\\$")
            .replace('\n', "\\n")
            .replace('\r', "\\r");
        format!("\"{escaped}\"")
    } else {
        format!("'{value}'")
    };
    // Writing into a String cannot fail.
    if writeln!(text, "{name}={quoted}").is_err() {
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_was_written_is_read_again_as_it_was() {
        for value in [
            "",
            "plain",
            "it's $HOME \"x\"",
            "a\\",
            "a\\nb",
            "two\nlines",
            "#no",
            " x ",
            "$$x",
            "é'\t",
        ] {
            let mut text = String::new();
            write_value(&mut text, "A", value);
            let read = compose::variables_of("x.env", &text).unwrap();
            assert_eq!(read.get("A").map(|(value, _)| value.as_str()), Some(value), "{text}");
        }
    }

    #[test]
    fn what_composes_own_variables_say_stays_behind() {
        let text = "A=1\nCOMPOSE_FILE=x.yml\nexport COMPOSE_PROFILES=a\n";
        assert_eq!(without_composes_own(text), "A=1\n");
    }
}
