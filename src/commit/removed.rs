//! Targets that were kept before and that the commit asks for no more: stacks that left the repository, and stacks
//! that left a host.
//!
//! They are kept once more, emptied, under the last word of their fleet file: with `prune`, `sync` and `drift` as they
//! were. What says that a target was kept is the data folder; without it, such a stack simply goes on running.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::commit::{Commit, LoadedStack, succession};
use crate::config::fleet_file::{FLEET_FILE, HostChoice, HostSelector, Stack, Vanished, vanished};
use crate::config::settings::Labels;
use crate::model::{
    Diagnostic, Drift, HostName, Location, PrunePolicy, Reason, RepositoryName, Resource,
    StackName, TreePath,
};
use crate::report::{Report, Target};

use crate::data::folder::{DataError, DataFolder};
use crate::data::record::Kept;

/// Adds to a commit what was kept before and is asked for no more. `wanted`: the targets that the commit asks for;
/// `hosts`: those that this process keeps.
///
/// Nothing is retired when no stack is left at all: an emptied repository is taken for a mistake, and the commit is
/// refused.
pub(crate) fn retire(
    commit: &mut Commit,
    data: &DataFolder,
    repository: &RepositoryName,
    wanted: &BTreeSet<Target>,
    hosts: &BTreeSet<HostName>,
) -> Result<(), DataError> {
    foresee(commit, data, repository, wanted, hosts)?;
    for (stack, host) in commit.retired.keys() {
        let why = if commit.stacks.contains_key(stack) { "this host" } else { "the repository" };
        tracing::info!(%repository, %stack, %host, "the stack left {why}");
    }
    Ok(())
}

/// The same for a commit that is only proposed: nothing of it has happened, and the log is told nothing.
pub(crate) fn foresee(
    commit: &mut Commit,
    data: &DataFolder,
    repository: &RepositoryName,
    wanted: &BTreeSet<Target>,
    hosts: &BTreeSet<HostName>,
) -> Result<(), DataError> {
    let kept = data.kept(repository)?;
    let had: BTreeSet<StackName> = kept.iter().map(|kept| kept.target.stack.clone()).collect();
    let has: BTreeSet<StackName> = commit.stacks.keys().cloned().collect();
    let is_meant = commit.fleet.as_ref().is_some_and(|fleet| fleet.empty);
    if let Vanished::All { had } = vanished(&had, &has)
        && !is_meant
    {
        let place = Location::file(FLEET_FILE.to_owned());
        let message =
            format!("no stack is left in the commit, and there were {had}; nothing is removed");
        let help = "to remove the last ones write `stacks: {}` and `empty: true` in fleet.yaml; else look whether branch and path are the right ones";
        commit.problems.push(Diagnostic::error(place, message).help(help));
        commit.fleet = None;
        return Ok(());
    }
    for kept in &kept {
        let Kept { target, .. } = kept;
        if wanted.contains(target) || !hosts.contains(&target.host) {
            continue;
        }
        let stays = commit.stacks.contains_key(&target.stack);
        if stays && !wanted.iter().any(|other| other.stack == target.stack) {
            tracing::warn!(%repository, stack = %target.stack, host = %target.host, "the stack asks for no host that is kept here; it stays where it is");
            continue;
        }
        let place = (target.stack.clone(), target.host.clone());
        let mut left = emptied(kept, stays);
        left.claims = Arc::clone(&commit.claims);
        commit.retired.insert(place, Arc::new(left));
    }
    succession::find(commit, &kept, wanted);
    Ok(())
}

/// Turns a commit into one that does not ask for a stack on these hosts: an operator takes it down. Its volumes go only
/// where that was said.
pub(crate) fn take_down(
    commit: &mut Commit,
    stack: &StackName,
    on: &BTreeSet<HostName>,
    (labels, volumes): (&BTreeMap<HostName, Labels>, bool),
) {
    let Some(loaded) = commit.stacks.get_mut(stack) else { return };
    let policy = loaded.stack.clone();
    let project = loaded.project_name().cloned();
    let stays: Vec<HostChoice> = policy
        .hosts
        .select(labels)
        .into_iter()
        .filter(|host| !on.contains(host))
        .map(HostChoice::Name)
        .collect();
    if stays.is_empty() {
        commit.stacks.remove(stack);
    } else {
        Arc::make_mut(loaded).stack.hosts = HostSelector::Any(stays);
    }
    super::beside::see_whole(commit, labels);
    for host in on {
        let mut left = Stack::new(stack.clone(), TreePath::default(), policy.origin.clone());
        left.prune = PrunePolicy { services: true, networks: true, volumes };
        left.project = project.clone();
        let mut left = LoadedStack::emptied(left);
        left.claims = Arc::clone(&commit.claims);
        let place = (stack.clone(), host.clone());
        commit.taken_down.insert(place.clone());
        commit.retired.insert(place, Arc::new(left));
    }
}

/// What is left of a stack. The data of one that lives on elsewhere is not deleted, whatever it allowed.
fn emptied(kept: &Kept, lives_elsewhere: bool) -> LoadedStack {
    let name = kept.target.stack.clone();
    let mut stack = Stack::new(name, TreePath::default(), Location::file(String::new()));
    stack.sync = kept.sync;
    stack.drift = kept.drift;
    stack.prune = kept.prune;
    stack.project = kept.project.clone();
    if lives_elsewhere {
        stack.prune.volumes = false;
    }
    LoadedStack::emptied(stack)
}

/// Whether a removed target needs no further pass: nothing is left that goes later. What another stack of the commit
/// shares with it stays, and is its to remove when the last one leaves.
pub(crate) fn is_done_with(report: &Report, stack: Option<&Arc<LoadedStack>>) -> bool {
    let shared =
        report.remaining.iter().any(|drift| matches!(drift.reason, Reason::Claimed { .. }));
    report.is_good() && !shared && !stack.is_some_and(|stack| has_data_to_prune(report, stack))
}

/// Whether a stack still has volumes that policy lets go.
pub(crate) fn has_data_to_prune(report: &Report, stack: &LoadedStack) -> bool {
    let is_left = |drift: &Drift| {
        matches!(drift.resource, Resource::Volume(_)) && drift.reason == Reason::Orphaned
    };
    stack.stack.prune.volumes && report.remaining.iter().any(is_left)
}

/// Whether something of a stack goes once everything else is in sync: volumes that policy lets go, and networks that
/// only stayed because containers of other stacks, gone by now, were attached.
pub(crate) fn waits_to_prune(report: &Report, stack: &LoadedStack) -> bool {
    let is_left = |drift: &Drift| {
        matches!(drift.resource, Resource::Network(_)) && drift.reason == Reason::Orphaned
    };
    let networks = stack.stack.prune.networks && report.remaining.iter().any(is_left);
    report.wait.is_none() && (networks || has_data_to_prune(report, stack))
}
