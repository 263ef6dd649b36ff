//! What becomes of each container, in one line: every field that changes, old → new.

use std::collections::BTreeMap;

use super::Report;
use crate::model::{Action, Drift, Location, Plan, Reason, Resource, Step, Value};

/// What becomes of one container, network or volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// How.
    pub mark: Mark,
    /// Its name.
    pub name: String,
    /// Each difference, old → new; why, where nothing differs.
    pub details: Vec<String>,
    /// Where the manifest asks for it.
    pub origin: Option<Location>,
}

/// How a thing changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// It goes.
    Remove,
    /// Another one takes its place.
    Replace,
    /// It is changed where it is.
    Change,
    /// It is made.
    Create,
}

/// The fate of one thing, from the steps about it.
#[derive(Debug, Default)]
pub(super) struct Fate<'a> {
    made: Option<&'a Step>,
    removed: Option<&'a Step>,
    changed: Vec<&'a Step>,
}

impl<'a> Fate<'a> {
    /// In one word; `None` when nothing happens to it.
    pub(super) fn mark(&self) -> Option<Mark> {
        match (self.made, self.removed, self.changed.is_empty()) {
            (Some(_), Some(_), _) => Some(Mark::Replace),
            (Some(_), None, _) => Some(Mark::Create),
            (None, Some(_), _) => Some(Mark::Remove),
            (None, None, false) => Some(Mark::Change),
            (None, None, true) => None,
        }
    }

    fn steps(&self) -> impl Iterator<Item = &'a Step> {
        let ends = self.made.into_iter().chain(self.removed);
        ends.chain(self.changed.iter().copied())
    }

    /// Why, where no difference of its own says so: what the first step about it says. What later rounds find is only what
    /// the earlier ones left.
    fn why(&self, mark: Mark) -> Option<String> {
        let first = self.changed.first().copied().or_else(|| self.steps().next())?;
        let has = |wanted: fn(&Action) -> bool| self.changed.iter().any(|it| wanted(&it.action));
        let is_restarted = has(|action| matches!(action, Action::Restart { .. }))
            || has(|action| matches!(action, Action::Stop { .. }))
                && has(|action| matches!(action, Action::Start { .. }));
        match (mark, &first.because) {
            (Mark::Create, Reason::Missing) => None,
            (Mark::Remove, Reason::Orphaned) => Some("no longer asked for".to_owned()),
            (Mark::Remove, Reason::Surplus) => Some("fewer are asked for".to_owned()),
            // Nothing of its own differs: it follows another service.
            (Mark::Change, Reason::Changed { field, desired: None, observed: None })
                if is_restarted && field.starts_with("depends_on.") =>
            {
                let service = field.trim_start_matches("depends_on.");
                Some(format!("restarted with {service}, as depends_on says"))
            }
            (Mark::Change, because) if is_restarted => {
                Some(format!("stopped and started again: {because}"))
            }
            (_, because) => Some(because.to_string()),
        }
    }

    /// The name that it has in the end, where it gets another one.
    fn named(&self) -> Option<&'a str> {
        self.changed.iter().rev().find_map(|step| match &step.action {
            Action::Rename { name, .. } => Some(name.as_str()),
            _ => None,
        })
    }

    /// The step that makes it.
    pub(super) fn made(&self) -> Option<&'a Step> {
        self.made
    }
}

/// The fate of each container (replicas by their name, others by the container's), and of networks and volumes.
pub(super) fn fates<'a>(
    plans: impl IntoIterator<Item = &'a Plan>,
) -> BTreeMap<(Sort, String), Fate<'a>> {
    let mut fates: BTreeMap<(Sort, String), Fate<'a>> = BTreeMap::new();
    for step in plans.into_iter().flat_map(|plan| &plan.steps) {
        let Some(name) = whose(step) else { continue };
        let fate = fates.entry(name).or_default();
        match &step.action {
            Action::Create { .. } | Action::CreateNetwork(_) | Action::CreateVolume(_) => {
                fate.made = Some(step);
            }
            Action::Remove { .. } | Action::RemoveNetwork { .. } | Action::RemoveVolume { .. } => {
                fate.removed = Some(step);
            }
            _ => fate.changed.push(step),
        }
    }
    fates
}

/// What a name belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sort {
    /// A container.
    Container,
    /// A network.
    Network,
    /// A volume.
    Volume,
}

/// Whose step it is, if it makes, changes or removes something.
pub(super) fn whose(step: &Step) -> Option<(Sort, String)> {
    let container = match &step.action {
        Action::CreateNetwork(spec) => return Some((Sort::Network, spec.name.clone())),
        Action::RemoveNetwork { name, .. } => return Some((Sort::Network, name.clone())),
        Action::CreateVolume(spec) => return Some((Sort::Volume, spec.name.clone())),
        Action::RemoveVolume { name } => return Some((Sort::Volume, name.clone())),
        // They leave the container as it is.
        Action::Upload { .. }
        | Action::RunHook { .. }
        | Action::AwaitHealthy { .. }
        | Action::AwaitCompletion { .. } => return None,
        action => action.container_name()?,
    };
    let name = step.replica.as_ref().map_or_else(|| container.to_owned(), ToString::to_string);
    Some((Sort::Container, name))
}

/// Every change of a report's plans; what goes first, then what is replaced, changed and made.
pub fn changes(report: &Report) -> Vec<Change> {
    let fates = fates(report.rounds.iter().map(|round| &*round.plan));
    let fetched = fetched(report);
    let mut changes: Vec<Change> = fates
        .iter()
        .filter_map(|((sort, name), fate)| {
            let found = report.found.iter().filter(|drift| is_about(drift, *sort, name));
            let mut change = one((*sort, name), fate, &found.collect::<Vec<_>>())?;
            if let Some(Step { action: Action::Create { spec, .. }, .. }) = fate.made
                && let Some(how) = fetched.get(spec.config.image.as_str())
                && let Some(detail) = change.details.iter_mut().find(|it| it.starts_with("image "))
            {
                detail.push_str(how);
            }
            Some(change)
        })
        .collect();
    changes.sort_by(|a, b| (a.mark, &a.name).cmp(&(b.mark, &b.name)));
    changes
}

/// Images that are not on the host yet, and how they come there.
fn fetched(report: &Report) -> BTreeMap<&str, &'static str> {
    let steps = report.rounds.iter().flat_map(|round| &round.plan.steps);
    let fetched = steps.filter_map(|step| match &step.action {
        Action::Pull { image, .. } => Some((image.as_str(), " (to be pulled)")),
        Action::Build { image, .. } => Some((image.as_str(), " (to be built)")),
        _ => None,
    });
    fetched.collect()
}

fn one((sort, name): (Sort, &str), fate: &Fate<'_>, found: &[&Drift]) -> Option<Change> {
    let mark = fate.mark()?;
    let shown = match sort {
        Sort::Container => name.to_owned(),
        Sort::Network => format!("network {name}"),
        Sort::Volume => format!("volume {name}"),
    };
    let told = found.iter().filter_map(|drift| match (&drift.reason, fate.named()) {
        (Reason::Renamed { observed }, Some(name)) => Some(format!("name {observed} → {name}")),
        (reason, _) => detail(reason),
    });
    let mut details: Vec<String> = told.collect();
    if let (Mark::Create, Some(Step { action: Action::Create { spec, .. }, .. })) =
        (mark, fate.made)
    {
        details = vec![format!("image {}", spec.config.image)];
    }
    if details.is_empty() {
        details = fate.why(mark).into_iter().collect();
    }
    details.sort();
    details.dedup();
    // The image is what a reader looks for.
    details.sort_by_key(|text| !text.starts_with("image "));
    let origin = found.iter().find_map(|drift| drift.origin.clone());
    let origin = origin.or_else(|| fate.steps().find_map(|step| step.origin.clone()));
    Some(Change { mark, name: shown, details, origin })
}

fn is_about(drift: &Drift, sort: Sort, name: &str) -> bool {
    match (&drift.resource, sort) {
        (Resource::Replica { replica, .. }, Sort::Container) => replica.to_string() == name,
        (Resource::Container { name: found, .. }, Sort::Container)
        | (Resource::Network(found), Sort::Network)
        | (Resource::Volume(found), Sort::Volume) => found == name,
        _ => false,
    }
}

/// One difference as `what old → new`; `None` for what the mark says already.
fn detail(reason: &Reason) -> Option<String> {
    let moved = |what: &str, desired: &Option<Value>, observed: &Option<Value>| {
        let (old, new) = (observed.as_ref().map(|it| &it.0), desired.as_ref().map(|it| &it.0));
        match (old, new) {
            // Both are masked: that they differ is all that may be said.
            (Some(old), Some(new)) if old == new => format!("{what} {} (differs)", short(new)),
            (Some(old), Some(new)) => format!("{what} {} → {}", short(old), short(new)),
            (None, Some(new)) => format!("{what} (none) → {}", short(new)),
            (Some(old), None) => format!("{what} {} → (none)", short(old)),
            (None, None) => what.to_owned(),
        }
    };
    let is_empty = |value: &Option<Value>| value.as_ref().is_none_or(|value| value.0.is_empty());
    Some(match reason {
        // A port that is only open inside says nothing beside the one that is published for it.
        Reason::Changed { desired, observed, .. } if is_empty(desired) && is_empty(observed) => {
            return None;
        }
        Reason::Changed { field, desired, observed } => {
            let told = |value: &Option<Value>| {
                value.as_ref().map(|value| Value(in_units(field, &value.0)))
            };
            moved(&words(field), &told(desired), &told(observed))
        }
        Reason::EndpointChanged { network, field, desired, observed } => {
            moved(&format!("{field} on {network}"), desired, observed)
        }
        Reason::Disconnected { network } => format!("network (none) → {network}"),
        Reason::Attached { network } => format!("network {network} → (none)"),
        Reason::Missing | Reason::Orphaned | Reason::Surplus => return None,
        other => other.to_string(),
    })
}

/// Sizes and times as Compose files write them: `256m` for 268435456, `2m` for 120 seconds.
fn in_units(field: &str, value: &str) -> String {
    let Ok(number) = value.parse::<u64>() else { return value.to_owned() };
    let largest = |units: &[(u64, &str)]| {
        let fits = units.iter().find(|(size, _)| number != 0 && number % size == 0);
        fits.map_or_else(|| value.to_owned(), |(size, unit)| format!("{}{unit}", number / size))
    };
    match field {
        "mem_limit"
        | "mem_reservation"
        | "memswap_limit"
        | "shm_size"
        | "deploy.resources.limits.memory"
        | "deploy.resources.reservations.memory" => {
            largest(&[(1 << 30, "g"), (1 << 20, "m"), (1 << 10, "k")])
        }
        "stop_grace_period" => largest(&[(3_600, "h"), (60, "m"), (1, "s")]),
        _ => value.to_owned(),
    }
}

/// An attribute as people speak of it: `environment.LOG_LEVEL` is `env LOG_LEVEL`, `volumes./data` is `volume /data`.
fn words(field: &str) -> String {
    let named = [
        ("environment.", "env "),
        ("labels.", "label "),
        ("volumes.", "volume "),
        ("ports.", "port "),
    ];
    let found = named.iter().find_map(|(key, word)| Some((word, field.strip_prefix(key)?)));
    found.map_or_else(|| field.to_owned(), |(word, rest)| format!("{word}{rest}"))
}

/// A value on one line, and not without end.
fn short(value: &str) -> String {
    const MOST: usize = 80;
    let line = value.replace(['\n', '\r'], "⏎");
    if line.chars().count() <= MOST {
        return line;
    }
    let kept: String = line.chars().take(MOST - 1).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_told_as_compose_files_write_them() {
        for (field, value, told) in [
            ("mem_limit", "268435456", "256m"),
            ("mem_limit", "1073741824", "1g"),
            ("shm_size", "1500", "1500"),
            ("memswap_limit", "-1", "-1"),
            ("mem_limit", "0", "0"),
            ("stop_grace_period", "120", "2m"),
            ("stop_grace_period", "90", "90s"),
            ("environment.SIZE", "1048576", "1048576"),
        ] {
            assert_eq!(in_units(field, value), told, "{field} {value}");
        }
    }
}
