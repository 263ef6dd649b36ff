//! Implied values written out: default network, names, dependencies, env files.

use std::collections::BTreeSet;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::convert::{Parts, Spot};
use super::files::ReadProblem;
use super::interpolate::Env;
use super::loader::Loader;
use super::text::dotenv::{self, Variable, Variables};
use super::values::sealed;
use crate::model::project::{EnvFile, Link};
use crate::model::{Diagnostic, Location, Secret, Service, ServiceName};

/// Writes out what is implied.
///
/// After this step nothing is implied any more: whoever reads the model later needs no rule of the Specification to
/// know which network a service is in, or what it starts after.
pub(super) fn normalize(parts: &mut Parts, enabled: &BTreeSet<ServiceName>, env: &Env) {
    for (name, service) in &mut parts.services {
        if !parts.unattached.contains(name) {
            attach(service);
        }
        normalize_service(service, env);
    }
    let mut active = parts.services.iter().filter(|(name, _)| enabled.contains(*name));
    let uses_default = active.any(|(_, service)| service.networks.contains_key("default"));
    if uses_default {
        parts.networks.entry("default".to_owned()).or_default();
    }
}

/// Gives resources without a name theirs: the key for external ones, else the project's name and the key.
///
/// With an underscore, where container names have a dash since version 2 of docker compose: networks and volumes could
/// not be renamed with them, since they hold data and endpoints. A name that is written and empty stays empty, for
/// whoever refuses it.
pub(super) fn name_resources(parts: &mut Parts, project: &str) {
    let name = |name: &mut String, key: &str, external: bool| {
        if name.is_empty() {
            *name = if external { key.to_owned() } else { format!("{project}_{key}") };
        }
    };
    let unnamed = &parts.unnamed;
    let is_named = |section: &str, key: &str| !unnamed.contains(&format!("{section}.{key}"));
    for (key, network) in parts.networks.iter_mut().filter(|(key, _)| is_named("networks", key)) {
        name(&mut network.name, key, network.external);
    }
    for (key, volume) in &mut parts.volumes {
        name(&mut volume.name, key, volume.external);
    }
    for (key, config) in parts.configs.iter_mut().filter(|(key, _)| is_named("configs", key)) {
        name(&mut config.name, key, config.external);
    }
    for (key, secret) in parts.secrets.iter_mut().filter(|(key, _)| is_named("secrets", key)) {
        name(&mut secret.name, key, secret.external);
    }
}

/// Gives configs and secrets that come from a variable its value.
///
/// The value is a [`Secret`] from here on: it is in no message, no log and no comparison that is shown.
pub(super) fn resolve_contents(parts: &mut Parts, env: &Env) {
    let value = |name: &str| env.get(name).map(|value| Secret::new(value.clone()));
    for config in parts.configs.values_mut().filter(|config| !config.environment.is_empty()) {
        config.value = value(&config.environment);
    }
    for secret in parts.secrets.values_mut().filter(|secret| !secret.environment.is_empty()) {
        secret.value = value(&secret.environment);
    }
}

/// Attaches a service that names no network to the default one.
///
/// Compose Specification, "Networks": a service that names none is in `default`. One with `network_mode` is in none,
/// and one with a provider is no container at all.
fn attach(service: &mut Service) {
    if service.networks.is_empty() && service.network_mode.is_empty() && service.provider.is_none()
    {
        service.networks.insert("default".to_owned(), None);
    }
}

/// What one service says without saying it, written out as the reference does.
///
/// Build arguments without a value take it from the variables, and go where there is none. A device request without a count or
/// ids is for all of them. A secret without a target is at `/run/secrets/NAME` (Compose Specification, `secrets`). `scale` and
/// `deploy.replicas` are one number under two names.
///
/// Each of these is written out by the reference too (`docker compose config` shows it), so that the two models can be
/// compared line by line in a test.
fn normalize_service(service: &mut Service, env: &Env) {
    if service.pull_policy == "if_not_present" {
        "missing".clone_into(&mut service.pull_policy);
    }
    if let Some(build) = &mut service.build {
        for (name, value) in &mut build.args {
            if value.is_none() {
                *value = env.get(name).cloned();
            }
        }
        build.args.retain(|_, value| value.is_some());
    }
    let devices = service
        .deploy
        .as_mut()
        .and_then(|deploy| deploy.resources.reservations.as_mut())
        .map(|reservations| reservations.devices.as_mut_slice())
        .unwrap_or_default();
    for gpu in devices.iter_mut().chain(&mut service.gpus) {
        if gpu.count.0 == 0 && gpu.device_ids.is_empty() {
            gpu.count.0 = -1;
        }
    }
    let hooked = service.pre_start.iter_mut().flat_map(|hook| &mut hook.container.secrets);
    for secret in service.secrets.iter_mut().chain(hooked) {
        if secret.target.is_empty() {
            secret.target = format!("/run/secrets/{}", secret.source);
        }
    }
    service.dns.retain(|server| !server.is_empty());
    service.extra_hosts.sort();
    service.extra_hosts.dedup();
    if let Some(build) = &mut service.build {
        build.extra_hosts.sort();
    }
    if let (Some(scale), Some(deploy)) = (service.scale, service.deploy.as_mut())
        && deploy.replicas.is_none()
    {
        deploy.replicas = Some(scale);
    }
    imply_dependencies(service);
    for hook in &mut service.pre_start {
        let container = &mut hook.container;
        if container.networks.is_empty() && container.network_mode.is_empty() {
            container.networks.clone_from(&service.networks);
        }
        container.extra_hosts.sort();
    }
}

/// Whoever shares a namespace, volumes or a link with another service starts after it, without saying `depends_on`; what the
/// service says itself stays as it is.
///
/// A namespace that is shared ends with its owner's process, so whoever shares it restarts with it. Volumes outlive the
/// container that had them first.
fn imply_dependencies(service: &mut Service) {
    for (_, name, restart) in implied(service) {
        if let Ok(name) = ServiceName::parse(&name) {
            let link = Link { restart, ..Link::default() };
            service.depends_on.entry(name).or_insert(link);
        }
    }
}

/// What a service depends on without saying so: the attribute, the other service, and whether it restarts with it.
///
/// The attribute is told with each, since a problem has to be shown where somebody wrote it: "there is no service db"
/// at `network_mode`, and not at a `depends_on` that nobody wrote.
pub(super) fn implied(service: &Service) -> Vec<(String, String, bool)> {
    let mut implied: Vec<(String, String, bool)> = Vec::new();
    for (index, link) in service.links.iter().enumerate() {
        let name = match link.split_once(':') {
            Some((name, alias)) if !alias.contains(':') => name,
            _ => link,
        };
        implied.push((format!("links.{index}"), name.to_owned(), true));
    }
    for (attribute, namespace) in [
        ("network_mode", &service.network_mode),
        ("ipc", &service.ipc),
        ("pid", &service.pid),
        ("uts", &service.uts),
        ("cgroup", &service.cgroup),
    ] {
        if let Some(name) = namespace.strip_prefix("service:") {
            implied.push((attribute.to_owned(), name.to_owned(), true));
        }
    }
    for (index, source) in service.volumes_from.iter().enumerate() {
        if !source.starts_with("container:") {
            let name = source.split_once(':').map_or(source.as_str(), |(name, _)| name);
            implied.push((format!("volumes_from.{index}"), name.to_owned(), false));
        }
    }
    implied
}

/// Reads env files and label files of the services into their variables and labels.
///
/// Only for services that a profile enables: a file that is missing for a service that does not run must not keep the
/// others from running (Compose Specification, "Profiles").
pub(super) fn read_files(
    parts: &mut Parts,
    enabled: &BTreeSet<ServiceName>,
    env: &Env,
    loader: &mut Loader<'_>,
) {
    let mut spots: Vec<Spot> = Vec::new();
    for (name, service) in parts.services.iter_mut().filter(|(name, _)| enabled.contains(*name)) {
        if !service.env_file.is_empty() {
            let Some(variables) = env_files(name, service, env, loader) else {
                continue;
            };
            for (key, variable) in variables {
                let Entry::Vacant(free) = service.environment.entry(key) else { continue };
                let path = format!("services.{name}.environment.{}", free.key());
                note_unset(loader, &variable, &path);
                spots.push((path.into(), Arc::clone(&variable.file), variable.line, 1));
                free.insert(Some(variable.value));
            }
        }
        let mut from_files = Variables::new();
        for path in service.label_file.clone() {
            let mut labels = Variables::new();
            if loader.env_file(&path, None, env, &mut labels).is_some() {
                from_files.extend(labels);
            }
        }
        for (key, label) in from_files {
            let Entry::Vacant(free) = service.labels.entry(key) else { continue };
            let path = format!("services.{name}.labels.{}", free.key());
            note_unset(loader, &label, &path);
            spots.push((path.into(), Arc::clone(&label.file), label.line, 1));
            free.insert(label.value);
        }
    }
    parts.spots.extend(spots);
}

/// A variable of a file refers to others that have no value.
///
/// An env file that says `URL=http://$HOST/` with `HOST` unset hands the container half an address. docker compose
/// starts it all the same, with a warning that nobody reads in a log.
fn note_unset(loader: &mut Loader<'_>, variable: &Variable, path: &str) {
    let Variable { value: _, file, line, unset } = variable;
    for name in unset {
        let location = Location { file: file.to_string(), line: *line, column: 1 };
        loader.unset.note_own(name, location, path.to_owned());
    }
}

/// The variables of a service's env files; later files win. What they refer to comes from the project, also where an
/// included file names them.
///
/// Compose Specification, `env_file`: in the order of the list, `environment` above all of them.
fn env_files(
    name: &ServiceName,
    service: &Service,
    env: &Env,
    loader: &mut Loader<'_>,
) -> Option<Variables> {
    let mut all = Variables::new();
    for file in &service.env_file {
        let variables = one_file(name, file, service, env, &all, loader)?;
        all.extend(variables);
    }
    Some(all)
}

/// One env file. Its references are looked up in the project's variables first, then in what the service itself says, then in
/// the files before it. A file that may be absent (`required: false`) and is, says nothing; every other problem with it is an
/// error of the service.
///
/// The path was checked and made absolute before. A symbolic link out of the repository is `Outside` as well: whoever
/// may write to the repository could otherwise have the operator's files sent into a container.
fn one_file(
    name: &ServiceName,
    file: &EnvFile,
    service: &Service,
    env: &Env,
    before: &Variables,
    loader: &mut Loader<'_>,
) -> Option<Variables> {
    let mut variables = Variables::new();
    if !file.path.starts_with('/') {
        // It was reported as leaving the repository.
        return Some(variables);
    }
    let bytes = match loader.files.read(&file.path) {
        Ok(bytes) => bytes,
        Err(ReadProblem::NotFound | ReadProblem::IsFolder | ReadProblem::Outside)
            if !file.required =>
        {
            return Some(variables);
        }
        Err(problem) => {
            let shown = loader.files.show(&file.path);
            let message = match problem {
                ReadProblem::Outside => {
                    format!("the env file {shown} lies outside the repository, and may not be read")
                }
                ReadProblem::Other(why) => format!("the env file {shown} cannot be read: {why}"),
                _ => format!("there is no env file {shown}"),
            };
            let problem = Diagnostic::error(Location::file(""), message);
            loader.problems.push(
                problem
                    .at(format!("services.{name}.env_file"))
                    .help("create it, or write required: false next to its path"),
            );
            return None;
        }
    };
    loader.used.insert(file.path.clone());
    loader.may_be_sealed |= sealed::may_hold(&bytes);
    let shown = loader.files.show(&file.path);
    let Ok(text) = std::str::from_utf8(&bytes) else {
        loader.problems.push(Diagnostic::error(Location::file(shown), "it is not UTF-8 text"));
        return None;
    };
    let unset = &loader.unset;
    let outside = |key: &str| {
        unset.asks(key);
        env.get(key)
            .or_else(|| service.environment.get(key).and_then(Option::as_ref))
            .or_else(|| before.get(key).map(|variable| &variable.value))
            .map(String::as_str)
    };
    let file_and_text = (&Arc::from(shown.as_str()), text);
    let read = match file.format.as_str() {
        "" => dotenv::parse(file_and_text, &outside, &mut variables, loader.budget),
        "raw" => dotenv::parse_raw(file_and_text, &outside, &mut variables, loader.budget),
        other => {
            let problem =
                Diagnostic::error(Location::file(""), format!("{other:?} is not a format"));
            loader
                .problems
                .push(problem.at(format!("services.{name}.env_file")).help("raw, or leave it out"));
            return None;
        }
    };
    if let Err(problem) = read {
        let location = Location { file: shown, line: problem.line, column: 0 };
        loader.problems.push(Diagnostic::error(location, problem.message));
        return None;
    }
    Some(variables)
}
