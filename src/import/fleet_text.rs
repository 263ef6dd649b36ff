//! The fleet file and the Compose file that takes the place of env files, as text.

use std::collections::BTreeMap;

use super::environment::Environment;
use super::nouns::{DraftStack, add};
use crate::model::StackName;

/// How the Compose file begins that takes the place of env files.
const OVERRIDE_HEAD: &str = "# Written by `moorline import`: what stands in files outside Git comes from variables and from the host.\n";

/// The fleet file.
pub(super) fn fleet(stacks: &BTreeMap<StackName, DraftStack>) -> String {
    let mut text =
        "# Written by `moorline import` from what ran; it is yours from now on.\nstacks:\n"
            .to_owned();
    for (name, stack) in stacks {
        let mut line =
            |key: &str, value: String| add(&mut text, format_args!("    {key}: {value}\n"));
        // The name is a key of the fleet file.
        line("", String::new());
        line("path", quoted(&stack.path));
        line("project", quoted(&stack.project));
        line("files", list(stack.files.iter()));
        if let Some(directory) = stack.directory.as_ref() {
            line("directory", quoted(directory));
        }
        if stack.adopt {
            line("adopt", "true".to_owned());
        }
        if !stack.hosts.is_empty() {
            line("hosts", list(stack.hosts.iter()));
        }
        if !stack.profiles.is_empty() {
            line("profiles", list(stack.profiles.iter()));
        }
        if !stack.environment.is_empty() {
            let pairs = stack.environment.iter();
            let pairs: Vec<String> =
                pairs.map(|(name, value)| format!("{}: {}", quoted(name), quoted(value))).collect();
            line("environment", format!("{{{}}}", pairs.join(", ")));
        }
        if !stack.after.is_empty() {
            line("after", list(stack.after.iter()));
        }
        text = text.replace("    : \n", &format!("  {}:\n", quoted(name.as_str())));
    }
    text
}

/// The Compose file that says what env files outside the repository said; nothing where there were none.
pub(super) fn overriding(
    environment: &Environment,
    by_path: &[(&'static str, String, String)],
) -> Option<String> {
    if environment.resets.is_empty() && by_path.is_empty() {
        return None;
    }
    let mut text = OVERRIDE_HEAD.to_owned();
    if !environment.resets.is_empty() {
        text.push_str("services:\n");
    }
    for service in &environment.resets {
        add(&mut text, format_args!("  {}:\n    env_file: !reset []\n", quoted(service)));
        let variables = environment.services.get(service).into_iter().flatten();
        let lines: Vec<String> = variables
            .map(|(key, variable)| format!("      {}: ${{{variable}}}\n", quoted(key)))
            .collect();
        if !lines.is_empty() {
            text.push_str("    environment:\n");
            text.push_str(&lines.concat());
        }
    }
    for kind in ["configs", "secrets"] {
        let own: Vec<_> = by_path.iter().filter(|(of, ..)| *of == kind).collect();
        if own.is_empty() {
            continue;
        }
        add(&mut text, format_args!("{kind}:\n"));
        for (_, name, path) in own {
            add(&mut text, format_args!("  {}:\n    file: {}\n", quoted(name), quoted(path)));
        }
    }
    Some(text)
}

fn list(items: impl Iterator<Item = impl ToString>) -> String {
    let items: Vec<String> = items.map(|item| quoted(&item.to_string())).collect();
    format!("[{}]", items.join(", "))
}

/// A word as it is where YAML cannot take it for anything else, else in quotes.
pub(super) fn quoted(text: &str) -> String {
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "/_.-".contains(c))
        && !["true", "false", "yes", "no", "on", "off", "null", "y", "n"]
            .contains(&text.to_ascii_lowercase().as_str());
    if is_plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}
