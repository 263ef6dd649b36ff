//! Which values of a stack nobody may read on a forge, in a note or in a log.
//!
//! Secret are: all of a Compose secret; whatever a name says to be one (`DB_PASSWORD`, `--token=…`), in the
//! environment, in labels, build arguments and commands, in variables for interpolation, options of drivers and logs;
//! passwords of addresses and logins (`user:password`, `-p…`); and what env files hold, unless it is a plain word. The
//! same of what runs: a value that was changed in Git still serves on the host until it is replaced. Names of stacks,
//! services, images and the like are never hidden.

use std::collections::BTreeSet;

use super::mask::{SecretSet, is_word};
use crate::drift::{hidden_in, is_secret_name};
use crate::model::{ManifestTree, Observed, Project, Service, TreePath};

/// Files larger than this hold data, not secrets that could turn up in a text.
const LARGEST: usize = 64 << 10;

/// The secrets of a project, given the files that it was loaded from.
pub fn of_project(project: &Project, tree: &ManifestTree) -> SecretSet {
    let mut set = SecretSet::default();
    let services = project.services.values().chain(project.disabled.values());
    for service in services {
        add_service(&mut set, service);
        for file in &service.env_file {
            for (name, value) in variables(tree, &file.path) {
                add_variable(&mut set, &name, &value);
            }
        }
    }
    let networks = project.networks.values().map(|network| &network.driver_opts);
    let volumes = project.volumes.values().map(|volume| &volume.driver_opts);
    for (name, value) in networks.chain(volumes).flatten() {
        add_option(&mut set, name, value);
    }
    for secret in project.secrets.values() {
        if let Some(text) = text_of(tree, &secret.file) {
            set.add(&text);
        }
        if let Some(value) = &secret.value {
            set.add(value.reveal());
        }
    }
    set
}

/// The secrets of what runs.
pub fn of_observed(observed: &Observed) -> SecretSet {
    let mut set = SecretSet::default();
    for container in &observed.containers {
        let (config, host) = (&container.spec.config, &container.spec.host);
        for (name, value) in config.env.iter().filter_map(|line| line.split_once('=')) {
            add_named(&mut set, name, value);
        }
        for (name, value) in config.labels.iter().chain(&host.log_config.config) {
            add_named(&mut set, name, value);
        }
        for words in [&config.cmd, &config.entrypoint].into_iter().flatten() {
            add_words(&mut set, words);
        }
    }
    set
}

/// Names that everybody may read, whoever takes one for a password.
pub fn public_names(project: &Project) -> Vec<String> {
    let mut names = vec![project.name.to_string()];
    for (name, service) in project.services.iter().chain(&project.disabled) {
        names.push(name.to_string());
        names.push(service.container_name.clone());
        names.push(service.hostname.clone());
        names.push(service.image.clone());
        // What looks like a password is one, also where it stands in a reference.
        let words = service.image.split(['/', ':', '@']).filter(|word| is_word(word));
        names.extend(words.map(str::to_owned));
    }
    names.extend(project.networks.iter().flat_map(|(key, it)| [key.clone(), it.name.clone()]));
    names.extend(project.volumes.iter().flat_map(|(key, it)| [key.clone(), it.name.clone()]));
    names.extend(project.configs.keys().chain(project.secrets.keys()).cloned());
    names.retain(|name| !name.is_empty());
    names
}

/// The secrets among a tree's variables for interpolation: its `.env` files, and what the fleet file sets.
pub fn of_variables<'a>(
    tree: &ManifestTree,
    environment: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> SecretSet {
    let mut set = SecretSet::default();
    let is_env = |name: &str| name == ".env" || name.rsplit('.').next() == Some("env");
    for (path, _) in tree.files().filter(|(path, _)| is_env(path.file_name())) {
        for (name, value) in variables(tree, path.as_str()) {
            add_named(&mut set, &name, &value);
        }
    }
    for (name, value) in environment {
        add_named(&mut set, name, value);
    }
    set
}

/// Values from outside Git, which are secret by their place, whatever they are called. Those that are `names` of stacks,
/// services or images, and plain numbers and flags, would hide half of every text.
pub fn of_given<'a>(
    values: impl IntoIterator<Item = (&'a String, &'a String)>,
    names: &BTreeSet<String>,
) -> SecretSet {
    let mut set = SecretSet::default();
    for (_, value) in values {
        if !names.contains(value) && !is_number_or_flag(value) {
            set.add(value);
        }
        add_password(&mut set, value);
    }
    set
}

/// The same for an env file.
pub fn of_env_file(bytes: &[u8], names: &BTreeSet<String>) -> SecretSet {
    let pairs = pairs_of(&String::from_utf8_lossy(bytes));
    of_given(pairs.iter().map(|(name, value)| (name, value)), names)
}

/// The secrets of manifests that cannot be loaded, read line by line: messages about what is wrong quote them.
pub fn of_manifests(tree: &ManifestTree) -> SecretSet {
    let mut set = SecretSet::default();
    let is_yaml = |name: &str| matches!(name.rsplit('.').next(), Some("yaml" | "yml"));
    for (path, _) in tree.files().filter(|(path, _)| is_yaml(path.file_name())) {
        let text = text_of(tree, path.as_str()).unwrap_or_default();
        for line in text.lines() {
            let line = line.trim().trim_start_matches("- ").trim_matches(['"', '\'']);
            let Some((name, value)) = line.split_once(": ").or_else(|| line.split_once('=')) else {
                continue;
            };
            add_named(&mut set, name.trim(), value.trim().trim_matches(['"', '\'']));
        }
    }
    set
}

fn add_service(set: &mut SecretSet, service: &Service) {
    for (name, value) in &service.environment {
        add_named(set, name, value.as_deref().unwrap_or_default());
    }
    for (name, value) in &service.labels {
        add_named(set, name, value);
    }
    for (name, value) in service.logging.iter().flat_map(|logging| &logging.options) {
        add_option(set, name, value);
    }
    if let Some(build) = &service.build {
        for (name, value) in &build.args {
            add_named(set, name, value.as_deref().unwrap_or_default());
        }
    }
    let health = service.healthcheck.as_ref().map(|check| &check.test);
    let commands = [service.command.as_ref(), service.entrypoint.as_ref(), health];
    for words in commands.into_iter().flatten() {
        add_words(set, words);
    }
}

/// `--password=x`, `--requirepass x`, also inside `sh -c "…"`.
fn add_words(set: &mut SecretSet, words: &[String]) {
    let mut follows = false;
    let (mut before, mut program) = (None, None);
    for word in words.iter().flat_map(|word| word.split_whitespace()) {
        program =
            program.or(Some(word).filter(|word| hidden_in("-px", None, Some(word)).is_some()));
        if let Some((from, to)) = hidden_in(word, before, program) {
            set.add(word.get(from..to).unwrap_or_default());
        }
        before = Some(word);
        let name = word.trim_start_matches('-');
        match word.split_once('=') {
            Some((name, value)) => add_named(set, name.trim_start_matches('-'), value),
            None if follows && !word.starts_with('-') => set.add(word),
            None => {}
        }
        follows = word.starts_with('-') && !word.contains('=') && is_secret_name(name);
    }
}

/// An option of a driver may hold several: `username=x,password=y`.
fn add_option(set: &mut SecretSet, name: &str, value: &str) {
    add_named(set, name, value);
    for (name, value) in value.split(',').filter_map(|part| part.split_once('=')) {
        add_named(set, name.trim(), value.trim());
    }
}

fn add_named(set: &mut SecretSet, name: &str, value: &str) {
    if is_secret_name(name) && !is_number_or_flag(value) {
        set.add(value);
        // A login: the name before the colon is no secret, the password alone is one.
        if let Some((_, password)) = value.split_once(':').filter(|_| !value.contains("://")) {
            set.add(password);
        }
    }
    add_password(set, value);
}

/// What is in an env file is for the container's eyes, whatever its name. Plain words (`production`, `example.com`)
/// would hide half of every text, and are shown unless their name says more.
pub(super) fn add_variable(set: &mut SecretSet, name: &str, value: &str) {
    let plain = |c: char| c.is_ascii_alphabetic() || " ._-/:".contains(c);
    let figures = |c: char| c.is_ascii_digit() || "._-:".contains(c);
    if value.len() >= 8 && !value.chars().all(plain) && !value.chars().all(figures) {
        set.add(value);
    }
    add_named(set, name, value);
}

/// The password of an address: `postgres://user:password@host/db`.
fn add_password(set: &mut SecretSet, value: &str) {
    let Some((_, rest)) = value.split_once("://") else { return };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    if let Some((_, password)) = user.and_then(|user| user.split_once(':')) {
        set.add(password);
    }
}

pub(super) fn is_number_or_flag(value: &str) -> bool {
    matches!(value, "true" | "false" | "enabled" | "disabled") || value.parse::<u16>().is_ok()
}

/// Names and values of an env file, read loosely: what cannot be read is taken for a value.
fn variables(tree: &ManifestTree, path: &str) -> Vec<(String, String)> {
    text_of(tree, path).map(|text| pairs_of(&text)).unwrap_or_default()
}

fn pairs_of(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| {
        let (name, value) = line.split_once('=')?;
        let name = name.trim().trim_start_matches("export ").trim();
        let value = value.trim();
        let quoted = ['"', '\''].into_iter().find_map(|quote| {
            let inside = value.strip_prefix(quote)?;
            Some(inside.split(quote).next().unwrap_or(inside))
        });
        let bare = || value.split(" #").next().unwrap_or(value).trim();
        Some((name.to_owned(), quoted.unwrap_or_else(bare).to_owned()))
    });
    pairs.collect()
}

fn text_of(tree: &ManifestTree, path: &str) -> Option<String> {
    let path = crate::compose::tree_path(path).unwrap_or(path);
    let file = tree.file(&TreePath::parse(path).ok()?)?;
    if LARGEST < file.bytes.len() {
        return None;
    }
    Some(String::from_utf8_lossy(&file.bytes).into_owned())
}
