//! Stacks that move: to another host, or to another name. Their data does not go with them, and that is one danger, not
//! one a volume.

use std::collections::{BTreeMap, BTreeSet};

use crate::commit::{Commit, LoadedStack};
use crate::model::{
    Action, Cure, Drift, HostName, Reason, Resource, Service, ServiceName, StackName,
    image_repository,
};
use crate::report::danger::{Danger, Novelty, Risk};
use crate::report::{Report, Target};

/// One stack on one host, as it is planned: whether it is new there, known or gone.
pub(crate) struct Side<'a> {
    /// Its plan.
    pub(crate) report: &'a Report,
    /// Whether the target branch has it there.
    pub(crate) novelty: Novelty,
    /// The stack as the merge result has it; without services where it is gone.
    pub(crate) stack: &'a LoadedStack,
}

/// What moves tell: the danger of each place where something arrives, and the places where it left, whose own words are
/// then said already.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    /// By the target that begins anew.
    pub(crate) dangers: BTreeMap<Target, Danger>,
    /// Targets whose data stays behind.
    pub(crate) left: BTreeSet<Target>,
}

/// Finds them among everything that a pull request changes.
pub(crate) fn find(sides: &[Side<'_>], (base, merged): (&Commit, &Commit)) -> Moves {
    let gone = || sides.iter().filter(|side| matches!(side.novelty, Novelty::Gone | Novelty::Left));
    let mut moves = Moves::default();
    for new in sides.iter().filter(|side| side.novelty == Novelty::New) {
        let (stack, host) = (&new.report.target.stack, &new.report.target.host);
        let from: Vec<&Side<'_>> = if base.stacks.contains_key(stack) {
            gone().filter(|side| side.report.target.stack == *stack).collect()
        } else {
            let was = base.stacks.iter().filter(|(name, before)| {
                !merged.stacks.contains_key(*name) && is_renamed(before, new.stack)
            });
            let was: BTreeSet<&StackName> = was.map(|(name, _)| name).collect();
            gone()
                .filter(|side| was.contains(&side.report.target.stack))
                .filter(|side| side.report.target.host == *host)
                .collect()
        };
        let stays: BTreeMap<&HostName, Vec<String>> =
            from.iter().map(|side| (&side.report.target.host, stays_behind(side.report))).collect();
        let empty = starts_empty(new.report);
        let Some(first) = from
            .first()
            .filter(|_| !empty.is_empty() || stays.values().any(|volumes| !volumes.is_empty()))
        else {
            continue;
        };
        let text = said(&new.report.target, &first.report.target.stack, &stays, &empty);
        let origin = Some(new.stack.stack.origin.clone());
        let danger = Danger { risk: Risk::DataLeft, text, origin };
        moves.dangers.insert(new.report.target.clone(), danger);
        moves.left.extend(from.iter().map(|side| side.report.target.clone()));
    }
    moves
}

/// `moves from edge-1 to edge-2, and its data does not: volume shop_data stays behind on edge-1; volume shop_data starts
/// empty on edge-2`.
fn said(
    to: &Target,
    was: &StackName,
    stays: &BTreeMap<&HostName, Vec<String>>,
    empty: &[String],
) -> String {
    let moved = if *was == to.stack {
        let hosts: Vec<&str> = stays.keys().map(|host| host.as_str()).collect();
        format!("moves from {} to {}", hosts.join(", "), to.host)
    } else {
        format!("was called {was} before")
    };
    let mut parts: Vec<String> = stays
        .iter()
        .filter(|(_, volumes)| !volumes.is_empty())
        .map(|(host, volumes)| format!("{} left behind on {host}", said_of(volumes, "is", "are")))
        .collect();
    if !empty.is_empty() {
        parts.push(format!("{} empty on {}", said_of(empty, "starts", "start"), to.host));
    }
    format!("{moved}, and its data does not go with it: {}", parts.join("; "))
}

fn said_of(names: &[String], one: &str, many: &str) -> String {
    format!("{} {}", names.join(", "), if names.len() == 1 { one } else { many })
}

/// Volumes that nobody uses any more and that no plan removes.
fn stays_behind(report: &Report) -> Vec<String> {
    let steps = || report.rounds.iter().flat_map(|round| &round.plan.steps);
    let goes = |wanted: &str| {
        steps().any(|step| matches!(&step.action, Action::RemoveVolume { name } if name == wanted))
    };
    let left = |drift: &Drift| match (&drift.resource, &drift.reason) {
        (Resource::Volume(name), Reason::Orphaned) if drift.cure == Cure::Remove => {
            (!goes(name)).then(|| format!("volume {name}"))
        }
        _ => None,
    };
    report.found.iter().filter_map(left).collect()
}

/// Volumes that a plan makes, and folders of state that its containers find empty.
fn starts_empty(report: &Report) -> Vec<String> {
    let steps = report.rounds.iter().flat_map(|round| &round.plan.steps);
    let mut found = BTreeSet::new();
    for step in steps {
        match &step.action {
            Action::CreateVolume(volume) => drop(found.insert(format!("volume {}", volume.name))),
            Action::Create { spec, .. } => {
                let below = format!("/state/{}/", report.target.stack);
                let paths = spec.host.mountings().filter_map(|mounting| mounting.host_path());
                let state = paths.filter_map(|path| path.split_once(&below));
                found.extend(state.map(|(_, folder)| format!("folder {folder}")));
            }
            _ => {}
        }
    }
    found.into_iter().collect()
}

/// Whether a stack that is new is one that is gone under another name: it lies in the same folder, or runs the same
/// services from the same repositories of images.
fn is_renamed(before: &LoadedStack, after: &LoadedStack) -> bool {
    let same_folder = before.stack.path == after.stack.path;
    let shape = |stack: &LoadedStack| -> Option<BTreeMap<String, String>> {
        let services = &stack.project.as_ref()?.services;
        let of = |(name, service): (&ServiceName, &Service)| {
            (name.to_string(), image_repository(&service.image).to_owned())
        };
        Some(services.iter().map(of).collect())
    };
    let (one, other) = (shape(before), shape(after));
    same_folder || (one == other && one.is_some_and(|services| !services.is_empty()))
}
