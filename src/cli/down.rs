//! `down`: one stack off its hosts, and what stays of it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use serde_json::json;

use crate::clock;
use crate::config::fleet_file::Suspension;
use crate::data::folder::DataFolder;
use crate::fleet::suspension::Brake;
use crate::model::{HostName, Reason, Resource, StackName};
use crate::oneshot;
use crate::plan as planning;
use crate::reconcile::Intent;
use crate::report::{Report, Target};

use super::options::{Chosen, Global, Stacks};
use super::orders::{name_of, tell, tell_reach};
use super::output::{Format, Output, advised, note, push, show};
use super::progress;
use super::signals::with_runtime;

/// `down`.
#[derive(Debug, Clone, Args)]
pub(super) struct DownArgs {
    /// The stack.
    stack: String,
    /// Only on this host. May be given several times.
    #[arg(long, value_name = "HOST")]
    on: Vec<String>,
    /// Its volumes too, with all that they hold, as far as no other stack declares them.
    #[arg(long)]
    volumes: bool,
    /// Do it. Without this word it is only said what would be done.
    #[arg(long)]
    yes: bool,
    /// Why it is to stay down.
    #[arg(long, value_name = "TEXT", default_value = "taken down")]
    reason: String,
    /// Who says so.
    #[arg(long, value_name = "NAME", env = "MOORLINE_BY")]
    by: Option<String>,
    #[command(flatten)]
    output: Output,
}

/// Removes a stack. It is suspended first, so that a running daemon does not bring it back.
pub(super) fn down(global: &Global, args: &DownArgs) -> anyhow::Result<ExitCode> {
    let mut chosen = Chosen::new(global, &Stacks::of(std::slice::from_ref(&args.stack)), None)?;
    chosen.wish.passes_by = true;
    chosen.wish.takes_down = true;
    let stack = StackName::parse(&args.stack)?;
    let on: Result<BTreeSet<HostName>, _> =
        args.on.iter().map(|text| HostName::parse(text)).collect();
    let on = on?;
    let data = DataFolder::open(&chosen.setup.settings.data)?;
    let (chosen, stack, on) = (&chosen, &stack, &on);
    let text = args.output.format == Format::Text;
    let intent = if args.yes { Intent::ByHand } else { Intent::Show };
    let listeners = if text && args.yes { progress::listeners() } else { progress::silent() };
    let reports = with_runtime(|stop| async move {
        let seen = oneshot::read(&chosen.setup, &chosen.wish, &stop).await?;
        let own = seen.iter().find(|seen| seen.commit.stacks.contains_key(stack.as_str()));
        let Some(own) = own else {
            bail!("no commit asks for {stack} any more: a pass removes what is left of it")
        };
        let hosts = oneshot::hosts_of(&chosen.setup, own, stack, on);
        if hosts.is_empty() {
            bail!("{stack} runs on none of these hosts");
        }
        if args.yes {
            suspend(chosen, args, (stack, on))?;
        }
        let without = oneshot::without(&chosen.setup, own, stack, (&hosts, args.volumes));
        let seen = [without];
        Ok(oneshot::run(&chosen.setup, &seen, &chosen.wish, intent, &listeners, &stop).await?)
    })?;
    let down: Vec<&Report> = reports.iter().filter(|one| one.target.stack == *stack).collect();
    let kept: BTreeMap<String, Vec<String>> = down
        .iter()
        .map(|report| (report.target.host.to_string(), kept(&data, report, args.volumes)))
        .collect();
    let resume = resume_line(stack, on);
    let failed = down.iter().any(|report| report.failure.is_some())
        || (args.yes && !down.iter().all(|report| is_down(report)));
    let value = || {
        let all: Vec<_> = down.iter().map(|report| report.to_json()).collect();
        json!({ "done": args.yes && !failed, "reports": all, "keeps": kept, "resume": resume })
    };
    show(args.output.format, value, || said(&down, &kept, (args.yes, failed, &resume)))?;
    for failure in down.iter().filter_map(|report| report.failure.as_ref()) {
        note(&failure.message);
    }
    if !args.yes && !text {
        // What was asked for is printed, and says that nothing was done.
        note("nothing was done: to do it, add `--yes`");
        return Ok(ExitCode::FAILURE);
    }
    if !args.yes {
        let error = anyhow::anyhow!("nothing was done");
        return Err(advised(error, "to do it, add `--yes`"));
    }
    tell_reach(&data, args.output.format);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Switches the stack off where it is taken down.
fn suspend(
    chosen: &Chosen,
    args: &DownArgs,
    (stack, on): (&StackName, &BTreeSet<HostName>),
) -> anyhow::Result<()> {
    let now = clock::now();
    let by = name_of(args.by.as_ref());
    let data = DataFolder::open(&chosen.setup.settings.data)?;
    let hosts: Vec<Option<HostName>> =
        if on.is_empty() { vec![None] } else { on.iter().cloned().map(Some).collect() };
    let brake = |host: Option<HostName>| Brake {
        stack: Some(stack.clone()),
        host,
        by: by.clone(),
        since: now,
        suspension: Suspension { reason: args.reason.trim().to_owned(), until: None },
    };
    let brakes: Vec<Brake> = hosts.into_iter().map(brake).collect();
    data.change_orders(|orders| {
        orders.drop_ended(now);
        brakes.iter().cloned().for_each(|brake| orders.brakes.suspend(brake));
    })?;
    for brake in &brakes {
        tell(&data, brake.stack.as_ref(), brake.host.as_ref(), brake.to_string());
    }
    Ok(())
}

/// Whether nothing of a stack runs any more: what stays is data.
fn is_down(report: &Report) -> bool {
    report.failure.is_none()
        && report.wait.is_none()
        && !report.remaining.iter().any(|drift| {
            matches!(drift.resource, Resource::Replica { .. } | Resource::Container { .. })
                && drift.reason != Reason::Foreign
        })
}

/// Data of a stack that stays: volumes that were seen, and folders of the host that are remembered.
fn kept(data: &DataFolder, report: &Report, volumes_go: bool) -> Vec<String> {
    let Target { .. } = &report.target;
    let state = data.recall(&report.target).state();
    let mounts = state.services.values().flat_map(|service| service.mounts.values());
    let folders = mounts.filter(|source| source.starts_with('/'));
    let mut all: BTreeSet<String> = folders.map(|folder| format!("folder {folder}")).collect();
    for drift in &report.remaining {
        let Resource::Volume(name) = &drift.resource else { continue };
        let is_claimed = matches!(drift.reason, Reason::Claimed { .. });
        let planned = report.rounds.iter().flat_map(|round| &round.plan.steps);
        let goes = volumes_go
            && !is_claimed
            && planned.into_iter().any(|step| {
                matches!(&step.action, crate::model::Action::RemoveVolume { name: one } if one == name)
            });
        if !goes {
            all.insert(format!("volume {name}"));
        }
    }
    all.into_iter().collect()
}

fn resume_line(stack: &StackName, on: &BTreeSet<HostName>) -> String {
    let mut words = vec![format!("moorline resume {stack}")];
    words.extend(on.iter().map(|host| format!("--on {host}")));
    words.join(" ")
}

fn said(
    down: &[&Report],
    kept: &BTreeMap<String, Vec<String>>,
    (done, failed, resume): (bool, bool, &str),
) -> String {
    let mut text = String::new();
    for report in down {
        if !done && let Some(round) = report.rounds.last() {
            push(&mut text, &format!("{} would be taken down:", report.target));
            text.push_str(&planning::render(&[&*round.plan]));
        }
        let keeps = kept.get(report.target.host.as_str()).map(Vec::as_slice).unwrap_or_default();
        for one in keeps {
            push(&mut text, &format!("keeps {one}"));
        }
        if done && !failed {
            push(&mut text, &format!("{} is down", report.target));
        }
    }
    if done {
        push(&mut text, &format!("it stays down until `{resume}`"));
    }
    text
}
