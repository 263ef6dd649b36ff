//! A plan, read aloud.
//!
//! ```text
//!    1  create volume shop_data: missing (compose.yaml:14)
//!    2  create shop-web-1 after 1: missing (compose.yaml:3)
//!    3  start shop-web-1 after 2: missing (compose.yaml:3)
//! held  volume shop_old: orphaned: a volume is never removed without `prune: {volumes: true}`
//! note  web-1 is down while it is replaced
//! ```

use std::fmt::{self, Write as _};

use crate::model::{Action, HeldBecause, HostName, Plan, Reason, Replica, Slowed, StackName, Step};

/// The plans of one target as text, round by round, one line a step; empty for empty plans. What a later round does is
/// only possible once the one before is done; held is what the last one still holds.
pub fn render(rounds: &[&Plan]) -> String {
    let mut text = String::new();
    for (number, plan) in rounds.iter().enumerate() {
        let is_last = number + 1 == rounds.len();
        if 0 < number && !plan.steps.is_empty() {
            text.push_str("and then\n");
        }
        // Writing into a String cannot fail.
        if plan.write(&mut text, is_last).is_err() {
            return text;
        }
    }
    text
}

/// The plans in a few words: `create 2, replace 1, held 1`, or `nothing to do`. What is held is what the last of them
/// still holds.
pub fn summary(rounds: &[&Plan]) -> String {
    let count = |wanted: fn(&Action) -> bool| {
        let steps = rounds.iter().flat_map(|plan| &plan.steps);
        steps.filter(|step| wanted(&step.action)).count()
    };
    let parts = [
        ("create", count(|action| matches!(action, Action::Create { .. }))),
        ("start", count(|action| matches!(action, Action::Start { .. } | Action::Unpause { .. }))),
        ("restart", count(|action| matches!(action, Action::Restart { .. }))),
        (
            "update",
            count(|action| {
                matches!(
                    action,
                    Action::Update { .. }
                        | Action::Connect { .. }
                        | Action::Disconnect { .. }
                        | Action::Rename { .. }
                )
            }),
        ),
        ("stop", count(|action| matches!(action, Action::Stop { .. }))),
        (
            "remove",
            count(|action| {
                matches!(
                    action,
                    Action::Remove { .. }
                        | Action::RemoveNetwork { .. }
                        | Action::RemoveVolume { .. }
                )
            }),
        ),
        ("held", rounds.last().map_or(0, |plan| plan.held.len())),
    ];
    let said: Vec<String> = parts
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(word, count)| format!("{word} {count}"))
        .collect();
    if said.is_empty() { "nothing to do".to_owned() } else { said.join(", ") }
}

impl fmt::Display for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(out, true)
    }
}

impl Plan {
    fn write(&self, out: &mut dyn fmt::Write, with_held: bool) -> fmt::Result {
        for step in &self.steps {
            writeln!(out, "{step}")?;
        }
        for held in self.held.iter().filter(|_| with_held) {
            let mut line = format!("held  {}: {}", held.drift.resource, held.drift.reason);
            if let Some(origin) = &held.drift.origin {
                write!(line, " ({origin})")?;
            }
            writeln!(out, "{line}: {}", held.why)?;
        }
        for warning in &self.warnings {
            writeln!(out, "note  {warning}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:>4}  {}", self.id.0, self.action)?;
        if !self.after.is_empty() {
            let numbers: Vec<String> = self.after.iter().map(ToString::to_string).collect();
            write!(out, " after {}", numbers.join(", "))?;
        }
        write!(out, ": {}", self.because)?;
        match &self.origin {
            Some(origin) => write!(out, " ({}:{})", origin.file, origin.line),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pull { image, .. } => write!(out, "pull {image}"),
            Self::Build { image, .. } => write!(out, "build {image}"),
            Self::CreateNetwork(spec) => write!(out, "create network {}", spec.name),
            Self::RemoveNetwork { name, .. } => write!(out, "remove network {name}"),
            Self::CreateVolume(spec) => write!(out, "create volume {}", spec.name),
            Self::RemoveVolume { name } => write!(out, "remove volume {name}"),
            Self::PutFiles { digest, .. } => write!(out, "put files {}", digest.short()),
            Self::RemoveFiles { folder, .. } => {
                let name = folder.rsplit('/').next().unwrap_or_default();
                write!(out, "remove files {name}")
            }
            Self::Create { name, .. } => write!(out, "create {name}"),
            Self::Upload { container, .. } => write!(out, "copy files into {}", container.name()),
            Self::Connect { container, network, .. } => {
                write!(out, "connect {} to {network}", container.name())
            }
            Self::Disconnect { container, network } => {
                write!(out, "disconnect {} from {network}", container.name())
            }
            Self::Start { container } => write!(out, "start {}", container.name()),
            Self::Restart { container, .. } => write!(out, "restart {}", container.name()),
            Self::Unpause { container } => write!(out, "unpause {}", container.name()),
            Self::Stop { container, .. } => write!(out, "stop {}", container.name()),
            Self::Remove { container, .. } => write!(out, "remove {}", container.name()),
            Self::Rename { container, name } => {
                write!(out, "rename {} to {name}", container.name())
            }
            Self::Update { container, .. } => write!(out, "update {}", container.name()),
            Self::RunHook { container, hook } => write!(
                out,
                "run hook in {} ({})",
                container.name(),
                hook.command.first().map_or("", String::as_str)
            ),
            Self::AwaitHealthy { container, .. } => write!(out, "await {} up", container.name()),
            Self::AwaitCompletion { container, .. } => {
                write!(out, "await {} complete", container.name())
            }
            Self::Delay { pause } => write!(out, "wait {} s", pause.as_secs()),
        }
    }
}

/// An absent thing whose absence has no further reason.
const NOT_THERE: &str = "it is not there";

impl fmt::Display for HeldBecause {
    #[expect(
        clippy::too_many_lines,
        reason = "a table: one sentence a reason, and the compiler asks for each"
    )]
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::EngineRestarts => "the Engine's restart policy is bringing it back",
            Self::BeingRemoved => "the Engine is removing it",
            Self::NotOurs => "not made by moorline; `adopt: true` takes it over",
            Self::NotAskedFor => "not made by moorline, and not in Git; it is left alone",
            Self::PlaceTaken => {
                "a container that moorline did not make has its name or number; `adopt: true` takes it over"
            }
            Self::ExternalMissing => {
                "it is external and does not exist; make it, or remove `external: true`"
            }
            Self::ImageWithheld => {
                "the image is not on the host, and is to be neither pulled (`pull_policy: never`) nor built here"
            }
            Self::VolumeKept => {
                "a volume is never changed or removed without `prune: {volumes: true}`"
            }
            Self::VolumeUnchangeable => {
                "a volume cannot be changed without losing its data; give it another name, or remove it by hand"
            }
            Self::PruneVolumesOff => "a volume is never removed without `prune: {volumes: true}`",
            Self::PruneServicesOff => "`prune.services` is off",
            Self::PruneNetworksOff => "`prune.networks` is off",
            Self::ReportOnly => "`drift: report`",
            Self::StillAttached => "containers that stay are attached to it",
            Self::StillUsed => "containers that stay use it",
            Self::Unseen => "it could not be seen",
            Self::LeftUnhealthy => "`x-moorline.health.restart` is off",
            Self::NoCure => "nothing can be done from here",
            Self::SubnetTaken { subnet, network, holds } => {
                return write!(
                    out,
                    "its subnet {subnet} meets {holds} of network {network}; choose another one, or remove that network"
                );
            }
            Self::NameHeldByForeign { container } => {
                return write!(out, "container {container} exists and was {}", Self::NotOurs);
            }
            Self::NameHeldByRepository { container, repository } => {
                return write!(out, "container {container} belongs to repository {repository}");
            }
            Self::NameTaken { name } => {
                return write!(out, "the name {name} is taken by another container");
            }
            Self::NameHeldByStack { container, stack } => {
                return write!(out, "container {container} belongs to stack {stack}");
            }
            Self::WouldStartEmpty { key, lies_in } if lies_in.starts_with('/') => {
                return write!(
                    out,
                    "it would be empty, and the data lies in folder {lies_in}; to keep the data mount that folder as before, to start empty write `x-moorline: {{start_empty: [{key}]}}` at the top of the Compose file"
                );
            }
            Self::WouldStartEmpty { key, lies_in } => {
                return write!(
                    out,
                    "it would be empty, and the data lies in volume {lies_in}; to keep the data write `name: {lies_in}` under `volumes.{key}`, to start empty write `x-moorline: {{start_empty: [{key}]}}` at the top of the Compose file"
                );
            }
            Self::FolderElsewhere { path, lies_in, stack, directory } => {
                let keep = match directory {
                    Some(folder) => format!("write `directory: {folder}` under `stacks.{stack}` in fleet.yaml"),
                    None => format!("write {lies_in} in its place, or move the data to {path}"),
                };
                return write!(
                    out,
                    "folder {path} is not there, and its data lies in {lies_in}; to keep the data {keep}; to start empty make the folder, or write `x-moorline: {{start_empty: [{path}]}}` at the top of the Compose file"
                );
            }
            Self::FolderGone { path } => {
                return write!(
                    out,
                    "folder {path} held its data and is not there any more (a disk that is not mounted?); bring it back, or make it to start empty"
                );
            }
            Self::SeemsRenamed { what, stack, from, project, host } => {
                return seems_renamed(out, what, (stack, from), (project, host.as_ref()));
            }
            Self::FileMissing { path } => {
                return write!(
                    out,
                    "{path} is neither in Git nor on the host, and the Engine would make a folder in its place; add the file, or make the folder if one is meant"
                );
            }
            Self::PathMissing { path } => {
                return write!(out, "{path} is not there on the host; make it, or mount its disk");
            }
            Self::StaysDeclared => "it stays for as long as Git declares it",
            Self::StackUnreadable { stack } => {
                return write!(
                    out,
                    "the manifests of stack {stack} cannot be used, and it may ask for it"
                );
            }
            Self::NotAllInSync { stack } => {
                return write!(
                    out,
                    "it goes once everything on this host is in sync; stack {stack} is not"
                );
            }
            Self::Contested { what, by, place, difference } => {
                let help = what.help();
                return if difference.is_empty() {
                    write!(out, "{what} is wanted by stack {by} ({place}) too; {help}")
                } else {
                    write!(out, "{what} has another {difference} in stack {by} ({place}); {help}")
                };
            }
            Self::OtherRepository { repository } => {
                return write!(out, "it belongs to repository {repository}");
            }
            Self::Slowed { slowed, until } => return write!(out, "{slowed}; next try at {until}"),
            Self::StrangerAttached { container: who } => {
                return write!(out, "container {who}, which is not of this stack, is attached to it");
            }
            Self::WaitsForContainer { name } => {
                return write!(out, "waits for container {name}, which does not run");
            }
            Self::PortTaken { port, container } => {
                return write!(out, "waits for port {port}, which container {container} holds");
            }
            Self::HostInTrouble { error, until } => {
                let error = error.lines().next().unwrap_or_default();
                return write!(out, "the host cannot start it ({error}); next try at {until}");
            }
            Self::DoesNotConverge { cures, observed } => {
                let there = observed.as_ref().map_or("nothing", |value| value.0.as_str());
                return write!(
                    out,
                    "its cure was carried out {cures} times and changed nothing; the Engine still says: {there}"
                );
            }
            Self::WaitsFor { resource, why } => return waits(out, resource, why.as_deref()),
            Self::WaitsForReplica { replica, why } => return waits(out, replica, why.as_deref()),
            Self::RolledBack { reason, error, serves: _, replica } => {
                return did_not_come_up(out, ("rolled back", replica.as_deref()), reason, error);
            }
            Self::UpdatePaused { reason, error, replica } => {
                return did_not_come_up(out, ("paused", replica.as_deref()), reason, error);
            }
        })
    }
}

/// A stack that seems to be one that left, under another name or on another host.
fn seems_renamed(
    out: &mut fmt::Formatter<'_>,
    what: &str,
    (stack, from): (&StackName, &StackName),
    (project, host): (&StackName, Option<&HostName>),
) -> fmt::Result {
    write!(out, "{what} would be empty, and this seems to be stack {from}")?;
    match host {
        Some(host) => write!(
            out,
            " of host {host}, which has the data; to keep the data write `hosts: [{host}]` under `stacks.{stack}` in fleet.yaml, or bring it here under the same name by hand"
        ),
        None => write!(
            out,
            " under another name; to keep its data write `project: {project}` under `stacks.{stack}` in fleet.yaml (or `name: {project}` at the top of the Compose file)"
        ),
    }?;
    out.write_str(
        "; to start empty write `x-moorline: {start_empty: true}` at the top of the Compose file",
    )
}

/// A wait, and the reason of whoever is waited for: reasons of reasons are said in one line.
fn waits(
    out: &mut fmt::Formatter<'_>,
    whom: &dyn fmt::Display,
    why: Option<&HeldBecause>,
) -> fmt::Result {
    write!(out, "waits for {whom}: ")?;
    match why {
        Some(why) => write!(out, "{why}"),
        None => out.write_str(NOT_THERE),
    }
}

/// The Engine's own words say more than the state in which it left the container.
fn did_not_come_up(
    out: &mut fmt::Formatter<'_>,
    (taken, whose): (&str, Option<&Replica>),
    reason: &Reason,
    error: &str,
) -> fmt::Result {
    write!(out, "{taken}: the new container")?;
    if let Some(whose) = whose {
        write!(out, " of {whose}")?;
    }
    out.write_str(" did not come up (")?;
    if error.is_empty() {
        write!(out, "{reason}")?;
    } else {
        out.write_str(error)?;
    }
    out.write_str("); a new commit or `moorline sync` tries again")
}

impl fmt::Display for Slowed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FailedJustNow => out.write_str("it failed a moment ago"),
            Self::KeepsFailing { failures } => {
                write!(out, "it failed {failures} times in 10 minutes")
            }
        }
    }
}
