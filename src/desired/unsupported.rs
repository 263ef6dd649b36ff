//! Attributes without an effect: a warning says so wherever a manifest has one of them.

use std::collections::BTreeSet;

use super::desk::Desk;
use crate::compose::attributes::{self, Attribute, Status};
use crate::model::ServiceName;

/// Warns of each attribute that the table of attributes calls ignored.
pub(super) fn warn(desk: &mut Desk<'_>) {
    let project = desk.input.project;
    let mut found = BTreeSet::new();
    for attribute in ignored() {
        let Some((section, field)) = attribute.path.split_once(".*.") else { continue };
        let names: Vec<&str> = match section {
            "services" => project.services.keys().map(ServiceName::as_str).collect(),
            "networks" => project.networks.keys().map(String::as_str).collect(),
            "configs" => project.configs.keys().map(String::as_str).collect(),
            "secrets" => project.secrets.keys().map(String::as_str).collect(),
            _ => Vec::new(),
        };
        for name in names {
            let path = format!("{section}.{name}.{field}");
            let origins = &project.origins;
            // By its place and not by its value: a value that equals the default is still something that somebody wrote
            // and hopes for.
            if origins.get(&path).is_some() || origins.below(&path).next().is_some() {
                found.insert((path, attribute.note));
            }
        }
    }
    for (path, note) in found {
        desk.warn(path, format!("ignored: {note}"), "");
    }
}

/// The outermost of the ignored attributes; what a build leaves out is said with its value in view.
fn ignored() -> impl Iterator<Item = Attribute> {
    attributes::all().filter(|attribute| {
        attribute.status == Status::Ignored
            && !attribute.note.is_empty()
            && !attribute.path.contains(".build.")
    })
}
