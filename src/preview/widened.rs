//! What a pull request allows that the branch does not: the first thing that a reviewer is told, because the one who may
//! merge may change it.

use std::collections::BTreeSet;

use crate::config::fleet_file::{Stack, Window, WindowKind};
use crate::model::{AdoptPolicy, DriftPolicy, HostName, SyncPolicy, Timestamp};
use crate::report::danger::{Danger, Risk};

/// A stack before and after the merge, on one host.
pub(crate) struct Sides<'a> {
    /// As the branch has it.
    pub(crate) before: &'a Stack,
    /// As it would be.
    pub(crate) after: &'a Stack,
    /// The windows that hold for it there, before and after.
    pub(crate) windows: [Vec<&'a Window>; 2],
    /// The hosts that it had.
    pub(crate) hosts: &'a BTreeSet<HostName>,
    /// This host.
    pub(crate) host: &'a HostName,
    /// Whether it leaves another host for it: that is a move, and said as one.
    pub(crate) moves: bool,
}

/// Everything that is allowed more than before.
pub(crate) fn widened(sides: &Sides<'_>, now: Timestamp) -> Vec<Danger> {
    let Sides { before, after, windows, hosts, host, moves } = sides;
    let (old, new) = (before.prune, after.prune);
    let suspended = |stack: &Stack| stack.suspend.as_ref().is_some_and(|it| it.holds(now));
    let told = [
        (
            !old.volumes && new.volumes,
            "`prune.volumes` is switched on: volumes that nobody asks for are removed with their data",
        ),
        (
            !old.services && new.services,
            "`prune.services` is switched on: containers of services that are gone are removed",
        ),
        (!old.networks && new.networks, "`prune.networks` is switched on"),
        (
            before.adopt == AdoptPolicy::Refuse && after.adopt == AdoptPolicy::Adopt,
            "`adopt` is switched on: containers that something else made are taken over",
        ),
        (
            before.sync == SyncPolicy::Manual && after.sync == SyncPolicy::Auto,
            "`sync` becomes auto: nobody has to approve it any more",
        ),
        (
            before.drift == DriftPolicy::Report && after.drift == DriftPolicy::Correct,
            "`drift` becomes correct: changes made by hand are undone",
        ),
        (suspended(before) && !suspended(after), "its suspension is lifted"),
    ];
    let mut found: Vec<String> = told
        .into_iter()
        .filter(|(is_wider, _)| *is_wider)
        .map(|(_, text)| text.replace('`', ""))
        .collect();
    found.extend(lifted(windows));
    if !hosts.is_empty() && !hosts.contains(*host) && !moves {
        found.push(format!("it comes to host {host}"));
    }
    for profile in after.profiles.iter().filter(|profile| !before.profiles.contains(profile)) {
        found.push(format!("profile {profile} is switched on"));
    }
    for pattern in after.ignore.iter().filter(|pattern| !before.ignore.contains(pattern)) {
        found.push(format!("differences in {pattern} are no longer seen"));
    }
    let origin = Some(after.origin.clone());
    let danger = |text| Danger { risk: Risk::Widened, text, origin: origin.clone() };
    found.into_iter().map(danger).collect()
}

/// Windows that no longer keep changes back.
fn lifted([before, after]: &[Vec<&Window>; 2]) -> Vec<String> {
    let of = |windows: &[&Window], kind: WindowKind| -> Vec<String> {
        let of_kind = windows.iter().filter(|window| window.kind == kind);
        of_kind.map(ToString::to_string).collect()
    };
    let (old, new) = (of(before, WindowKind::Deny), of(after, WindowKind::Deny));
    let mut found: Vec<String> = old
        .iter()
        .filter(|window| !new.contains(window))
        .map(|window| format!("the window {window} is lifted"))
        .collect();
    let (old, new) = (of(before, WindowKind::Allow), of(after, WindowKind::Allow));
    // Without any such window changes may always happen; a further one lets them happen at more times.
    if !old.is_empty() && new.is_empty() {
        found.push("the windows for changes are lifted: they may happen at any time".to_owned());
    } else if !old.is_empty() {
        let more = new.iter().filter(|window| !old.contains(window));
        found.extend(more.map(|window| format!("changes may happen in another window: {window}")));
    }
    found
}
