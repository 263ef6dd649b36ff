//! What was secret before it was changed, and serves on the host until it is replaced.
//!
//! A value may be secret by its place alone: it came from a file outside Git, or out of a Compose secret. Of the one that
//! it replaces nothing is known but where it stands. So: where a secret is asked for, what stands there now was one.

use std::collections::BTreeMap;

use super::mask::SecretSet;
use super::secrets::{add_variable, is_number_or_flag};
use crate::model::{ContainerSpec, Desired, ImageSight, Observed, ObservedContainer};

/// The secrets of what runs, by what is asked for in its place; `known` are those of what is asked for.
pub fn of_replaced(desired: &Desired, observed: &Observed, known: &SecretSet) -> SecretSet {
    let mut set = SecretSet::default();
    for container in &observed.containers {
        let service = container.replica.as_ref().map(|replica| &replica.service);
        let service = service.and_then(|name| desired.services.get(name));
        let Some(asked) = service.and_then(|service| service.replicas.values().next()) else {
            continue;
        };
        let runs = &container.spec;
        environment(&mut set, &asked.spec, (container, observed), known);
        let (asked, runs) = ((&asked.spec.config, &asked.spec.host), (&runs.config, &runs.host));
        pairs(&mut set, &asked.0.labels, &runs.0.labels, known);
        pairs(&mut set, &asked.1.log_config.config, &runs.1.log_config.config, known);
        words(&mut set, asked.0.cmd.as_deref(), runs.0.cmd.as_deref(), known);
        words(&mut set, asked.0.entrypoint.as_deref(), runs.0.entrypoint.as_deref(), known);
    }
    set
}

/// Where no variable is asked for any more, its value may have come from the same file as the others.
fn environment(
    set: &mut SecretSet,
    asked: &ContainerSpec,
    (container, observed): (&ObservedContainer, &Observed),
    known: &SecretSet,
) {
    let of_image = observed.images.values().find_map(|sight| match sight {
        ImageSight::Present(image) if image.id == container.image_id => Some(&image.config.env),
        _ => None,
    });
    let asked: BTreeMap<&str, &str> =
        asked.config.env.iter().filter_map(|line| line.split_once('=')).collect();
    let holds_secrets = asked.values().any(|value| known.extent(value).is_some());
    for line in &container.spec.config.env {
        let Some((name, old)) = line.split_once('=') else { continue };
        match asked.get(name) {
            Some(new) => add(set, old, new, known),
            None if holds_secrets && of_image.is_some_and(|env| !env.contains(line)) => {
                add_variable(set, name, old);
            }
            None => {}
        }
    }
}

fn pairs(
    set: &mut SecretSet,
    asked: &BTreeMap<String, String>,
    runs: &BTreeMap<String, String>,
    known: &SecretSet,
) {
    for (name, old) in runs {
        if let Some(new) = asked.get(name) {
            add(set, old, new, known);
        }
    }
}

fn words(
    set: &mut SecretSet,
    asked: Option<&[String]>,
    runs: Option<&[String]>,
    known: &SecretSet,
) {
    for (new, old) in asked.unwrap_or_default().iter().zip(runs.unwrap_or_default()) {
        add(set, old, new, known);
    }
}

/// Where the new value has a secret, the old one had one: between the same words, or the whole of it.
fn add(set: &mut SecretSet, old: &str, new: &str, known: &SecretSet) {
    if old == new || is_number_or_flag(old) {
        return;
    }
    let Some((from, to)) = known.extent(new) else { return };
    let before = new.get(..from).unwrap_or_default();
    let after = new.get(to..).unwrap_or_default();
    let between = old.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    set.add(between.filter(|text| !text.is_empty()).unwrap_or(old));
}
