//! How a host differs from Git, as unified diffs: `-` is what runs, `+` what Git asks for.

use std::collections::BTreeMap;

use similar::TextDiff;

use crate::model::{Cure, Drift, Reason, Resource};

use super::visible;

use super::Report;

/// A file before and after, as a unified diff; empty when nothing differs.
pub fn text(path: &str, before: &str, after: &str) -> String {
    TextDiff::from_lines(before, after)
        .unified_diff()
        .context_radius(3)
        .header(&format!("a/{path}"), &format!("b/{path}"))
        .to_string()
}

/// The remaining drift of a report; empty when there is none.
///
/// ```text
/// --- host  web-1
/// +++ git   web-1 (compose.yaml:4)
/// @@ -1 +1 @@
/// -environment.LOG_LEVEL: debug
/// +environment.LOG_LEVEL: info
/// ```
pub fn unified(report: &Report) -> String {
    let mut by_resource: BTreeMap<String, Vec<&Drift>> = BTreeMap::new();
    for drift in &report.remaining {
        by_resource.entry(drift.resource.to_string()).or_default().push(drift);
    }
    by_resource.iter().map(|(name, drifts)| one(name, drifts)).collect()
}

fn one(name: &str, drifts: &[&Drift]) -> String {
    let mut asked = String::new();
    let mut there = String::new();
    for drift in drifts {
        let (mut wanted, found) = sides(drift);
        // Two values that are both hidden differ all the same.
        if let (Some(wanted), Some(found)) = (&mut wanted, &found)
            && wanted == found
        {
            wanted.push_str(" (differs)");
        }
        if let Some(line) = wanted {
            push_line(&mut asked, &line);
        }
        if let Some(line) = found {
            push_line(&mut there, &line);
        }
    }
    let origin = drifts.iter().find_map(|drift| drift.origin.as_ref());
    let origin = origin.map_or(String::new(), |origin| format!(" ({origin})"));
    TextDiff::from_lines(&there, &asked)
        .unified_diff()
        .context_radius(3)
        .header(&format!("host  {name}"), &format!("git   {name}{origin}"))
        .to_string()
}

/// One line a value: what it holds cannot begin another.
fn push_line(text: &mut String, line: &str) {
    text.push_str(&visible::line(line));
    text.push('\n');
}

/// What a drift looks like on either side; `None` where there is nothing.
fn sides(drift: &Drift) -> (Option<String>, Option<String>) {
    let state = |wanted: &str, found: String| (Some(wanted.to_owned()), Some(found));
    match &drift.reason {
        Reason::Changed { field, desired, observed } => {
            let line = |value: &crate::model::Value| format!("{field}: {}", value.0);
            (desired.as_ref().map(line), observed.as_ref().map(line))
        }
        Reason::EndpointChanged { network, field, desired, observed } => {
            let line =
                |value: &crate::model::Value| format!("networks.{network}.{field}: {}", value.0);
            (desired.as_ref().map(line), observed.as_ref().map(line))
        }
        Reason::Renamed { observed } => {
            (Some("name: as asked".to_owned()), Some(format!("name: {observed}")))
        }
        Reason::Disconnected { network } => (Some(format!("networks.{network}: attached")), None),
        Reason::Attached { network } => (None, Some(format!("networks.{network}: attached"))),
        Reason::ImageMoved { image } => {
            state(&format!("image: {image}"), format!("image: another than {image}"))
        }
        Reason::BuildChanged => {
            state("build: from this commit", "build: from other files".to_owned())
        }
        Reason::ImageMissing => (Some("image: present".to_owned()), None),
        Reason::Missing | Reason::NotRun => (Some(presence(&drift.resource)), None),
        Reason::Surplus | Reason::Orphaned | Reason::Foreign | Reason::Superseded => {
            (None, Some(format!("{}: {}", presence(&drift.resource), drift.reason)))
        }
        reason if drift.cure == Cure::None => state("state: settled", format!("state: {reason}")),
        Reason::JobFailed { .. } => state("state: complete", format!("state: {}", drift.reason)),
        _ => state("state: running", format!("state: {}", drift.reason)),
    }
}

fn presence(resource: &Resource) -> String {
    match resource {
        Resource::Replica { .. } | Resource::Container { .. } => "container".to_owned(),
        Resource::Network(_) => "network".to_owned(),
        Resource::Volume(_) => "volume".to_owned(),
        Resource::Service(_) => "service".to_owned(),
    }
}
