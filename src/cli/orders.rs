//! The operator's brakes: suspend, resume, roll back, approve.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::config::fleet_file::Suspension;
use crate::config::quantity::parse_duration;
use crate::daemon::Setup;
use crate::data::folder::DataFolder;
use crate::data::journal::{Entry, Kind};
use crate::fleet::approval::Approval;
use crate::fleet::suspension::Brake;
use crate::fleet::{Rollback, TargetName};
use crate::model::{CommitState, Digest, HostName, Revision, StackName, Sync, Timestamp};
use crate::oneshot::{self, OnceError};
use crate::reconcile::Intent;

use super::commands;
use super::options::{Chosen, Global, Stacks};
use super::output::{Format, Output, advised, note, print_lines, push, show};
use super::signals::with_runtime;

/// How long a brake holds unless something else is said: long enough for a night, too short to be forgotten.
const USUAL: Duration = Duration::from_hours(24);

/// What `sync` may do beyond policy.
#[derive(Debug, Clone, Args)]
pub(super) struct ByHand {
    /// Carry out exactly the plan with this hash, as `moorline plan` tells it, or hold. The daemon honours it for a day.
    #[arg(long, value_name = "HASH")]
    approve: Vec<String>,
    /// Do not wait for windows and waves. What is suspended stays so.
    #[arg(long)]
    now: bool,
    /// Who says so.
    #[arg(long, value_name = "NAME", env = "MOORLINE_BY")]
    by: Option<String>,
}

impl ByHand {
    /// Notes approvals, and says how the pass is to be run.
    pub(super) fn prepare(&self, chosen: &mut Chosen) -> anyhow::Result<Intent> {
        chosen.wish.passes_by = self.now;
        if self.approve.is_empty() {
            // Who names no stack does not mean those that wait for their name.
            let all = chosen.wish.stacks.is_empty();
            return Ok(if all { Intent::ByHandForAll } else { Intent::ByHand });
        }
        let [stack] = chosen.wish.stacks.iter().collect::<Vec<_>>()[..] else {
            bail!("an approval is for one stack: `moorline sync STACK --approve HASH`");
        };
        let plans: Result<Vec<Digest>, _> =
            self.approve.iter().map(|text| Digest::parse(text)).collect();
        let plans = plans.context("`moorline plan` tells the hash of a plan")?;
        let (by, until) = (name_of(self.by.as_ref()), clock::now().plus(USUAL));
        let data = DataFolder::open(&chosen.setup.settings.data)?;
        data.change_orders(|orders| {
            orders.drop_ended(clock::now());
            for host in chosen.setup.settings.hosts.keys() {
                let target = TargetName { stack: stack.clone(), host: host.clone() };
                orders.use_up(&target);
                for plan in &plans {
                    orders.approve(Approval {
                        target: target.clone(),
                        plan: plan.clone(),
                        by: by.clone(),
                        until: Some(until),
                    });
                }
            }
        })?;
        for plan in &plans {
            tell(&data, Some(stack), None, format!("plan {} approved by {by}", plan.short()));
        }
        Ok(Intent::Approved)
    }
}

/// Why, until when, and who says so.
#[derive(Debug, Clone, Args)]
struct Because {
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// For how long, such as `2h` or `3d`; a day unless something else is said. `ever` has no end.
    #[arg(long = "for", value_name = "DURATION", conflicts_with = "until")]
    length: Option<String>,
    /// Until when, such as `2026-12-24T18:00:00Z`.
    #[arg(long, value_name = "INSTANT")]
    until: Option<String>,
    /// Who says so.
    #[arg(long, value_name = "NAME", env = "MOORLINE_BY")]
    by: Option<String>,
}

impl Because {
    fn suspension(&self, now: Timestamp) -> anyhow::Result<Suspension> {
        if self.reason.trim().is_empty() {
            bail!("say why: `--reason TEXT`");
        }
        let until = match (&self.until, self.length.as_deref()) {
            (Some(text), _) => {
                let until = Timestamp::parse(text).with_context(|| {
                    format!("{text:?} is no instant such as 2026-12-24T18:00:00Z")
                })?;
                if until <= now {
                    bail!("{until} is over");
                }
                Some(until)
            }
            (None, Some("ever")) => None,
            (None, Some(text)) => {
                let length = parse_duration(text).filter(|length| !length.is_zero());
                let length =
                    length.with_context(|| format!("{text:?} is no duration such as 2h or 3d"))?;
                Some(now.plus(length))
            }
            (None, None) => Some(now.plus(USUAL)),
        };
        Ok(Suspension { reason: self.reason.trim().to_owned(), until })
    }
}

/// `suspend`.
#[derive(Debug, Clone, Args)]
pub(super) struct SuspendArgs {
    /// Stacks that are left alone; all of a host's when only `--on` is given.
    #[arg(value_name = "STACK")]
    stacks: Vec<String>,
    /// Only on this host. May be given several times.
    #[arg(long, value_name = "HOST")]
    on: Vec<String>,
    #[command(flatten)]
    because: Because,
    #[command(flatten)]
    output: Output,
}

/// `resume`.
#[derive(Debug, Clone, Args)]
pub(super) struct ResumeArgs {
    /// Stacks that go on.
    #[arg(value_name = "STACK")]
    stacks: Vec<String>,
    /// What was suspended on this host. May be given several times.
    #[arg(long, value_name = "HOST")]
    on: Vec<String>,
    /// Everything that is suspended or rolled back.
    #[arg(long, conflicts_with_all = ["stacks", "on"])]
    all: bool,
    #[command(flatten)]
    output: Output,
}

/// `rollback`.
#[derive(Debug, Clone, Args)]
pub(super) struct RollbackArgs {
    /// The stack.
    stack: String,
    /// The commit that it goes back to; the last one that was in sync and asked for something else unless it is said.
    revision: Option<String>,
    #[command(flatten)]
    because: Because,
    #[command(flatten)]
    output: Output,
}

/// What an order is about: a stack, a host, or one on the other.
type Place = (Option<StackName>, Option<HostName>);

fn places(setup: &Setup, stacks: &[String], on: &[String]) -> anyhow::Result<Vec<Place>> {
    let stacks: Result<Vec<StackName>, _> =
        stacks.iter().map(|text| StackName::parse(text)).collect();
    let hosts: Result<Vec<HostName>, _> = on.iter().map(|text| HostName::parse(text)).collect();
    let (stacks, hosts) = (stacks?, hosts?);
    for host in &hosts {
        if !setup.settings.hosts.contains_key(host) {
            let known: Vec<&str> = setup.settings.hosts.keys().map(HostName::as_str).collect();
            let error = anyhow::anyhow!("the settings have no host {host}");
            return Err(advised(error, &format!("there are: {}", known.join(", "))));
        }
    }
    Ok(match (stacks.is_empty(), hosts.is_empty()) {
        (true, true) => bail!("name a stack, or a host with `--on HOST`"),
        (false, true) => stacks.into_iter().map(|stack| (Some(stack), None)).collect(),
        (true, false) => hosts.into_iter().map(|host| (None, Some(host))).collect(),
        (false, false) => stacks
            .iter()
            .flat_map(|stack| hosts.iter().map(|host| (Some(stack.clone()), Some(host.clone()))))
            .collect(),
    })
}

fn said(place: &Place) -> String {
    match place {
        (Some(stack), Some(host)) => format!("{stack}@{host}"),
        (Some(stack), None) => stack.to_string(),
        (None, Some(host)) => format!("host {host}"),
        (None, None) => "everything".to_owned(),
    }
}

/// A stack's name must exist, unless nobody can say: an operator may brake while the remote is away.
fn check(chosen: &Chosen) -> anyhow::Result<()> {
    let read =
        with_runtime(
            |stop| async move { Ok(oneshot::read(&chosen.setup, &chosen.wish, &stop).await) },
        )?;
    match read {
        Ok(_) => Ok(()),
        Err(error @ OnceError::NoStack { .. }) => Err(error.into()),
        Err(error) => {
            note(&format!("the names of stacks could not be checked: {error}"));
            Ok(())
        }
    }
}

/// `suspend`: switches stacks and hosts off.
pub(super) fn suspend(global: &Global, args: &SuspendArgs) -> anyhow::Result<ExitCode> {
    let chosen = Chosen::new(global, &Stacks::of(&args.stacks), None)?;
    let places = places(&chosen.setup, &args.stacks, &args.on)?;
    let now = clock::now();
    let suspension = args.because.suspension(now)?;
    if !args.stacks.is_empty() {
        check(&chosen)?;
    }
    let by = name_of(args.because.by.as_ref());
    let data = DataFolder::open(&chosen.setup.settings.data)?;
    let brakes: Vec<Brake> = places
        .iter()
        .map(|(stack, host)| Brake {
            stack: stack.clone(),
            host: host.clone(),
            by: by.clone(),
            since: now,
            suspension: suspension.clone(),
        })
        .collect();
    data.change_orders(|orders| {
        orders.drop_ended(now);
        brakes.iter().cloned().for_each(|brake| orders.brakes.suspend(brake));
    })?;
    let mut text = String::new();
    for (place, brake) in places.iter().zip(&brakes) {
        tell(&data, place.0.as_ref(), place.1.as_ref(), brake.to_string());
        push(&mut text, &format!("{} {brake}", said(place)));
    }
    show(args.output.format, || json!({ "suspended": brakes }), || text)?;
    tell_reach(&data, args.output.format);
    Ok(ExitCode::SUCCESS)
}

/// `resume`: switches them on again.
pub(super) fn resume(global: &Global, args: &ResumeArgs) -> anyhow::Result<ExitCode> {
    let setup = global.setup(None)?;
    let data = DataFolder::open(&setup.settings.data)?;
    let now = clock::now();
    let ended = if args.all {
        data.change_orders(|orders| {
            orders.drop_ended(now);
            let brakes = orders.brakes.iter().map(|one| (one.stack.clone(), one.host.clone()));
            let rollbacks = orders.rollbacks.iter().map(|one| (Some(one.stack.clone()), None));
            let all: Vec<Place> = brakes.chain(rollbacks).collect();
            orders.brakes = crate::fleet::suspension::Brakes::default();
            orders.rollbacks.clear();
            all
        })?
    } else {
        let places = places(&setup, &args.stacks, &args.on)?;
        data.change_orders(|orders| {
            orders.drop_ended(now);
            let mut ended = Vec::new();
            for place in places {
                let braked = orders.brakes.resume(place.0.as_ref(), place.1.as_ref());
                let rolled = match &place {
                    (Some(stack), None) => orders.end_rollback(stack),
                    _ => false,
                };
                if braked || rolled {
                    ended.push(place);
                }
            }
            ended
        })?
    };
    let mut text = String::new();
    let mut names = Vec::new();
    for place in &ended {
        tell(&data, place.0.as_ref(), place.1.as_ref(), "resumed".to_owned());
        push(&mut text, &format!("{} resumed", said(place)));
        names.push(said(place));
    }
    if ended.is_empty() {
        let left = data.orders()?;
        let brakes = left.brakes.iter().map(|one| said(&(one.stack.clone(), one.host.clone())));
        let rollbacks = left.rollbacks.iter().map(|one| one.stack.to_string());
        let left: Vec<String> = brakes.chain(rollbacks).collect();
        let help = if left.is_empty() {
            "nothing is suspended or rolled back".to_owned()
        } else {
            format!("suspended or rolled back are: {}", left.join(", "))
        };
        return Err(advised(anyhow::anyhow!("nothing of that is suspended or rolled back"), &help));
    }
    show(args.output.format, || json!({ "resumed": names }), || text)?;
    tell_reach(&data, args.output.format);
    Ok(ExitCode::SUCCESS)
}

/// `rollback`: keeps a stack at an earlier commit, and brings it there.
pub(super) fn rollback(global: &Global, args: &RollbackArgs) -> anyhow::Result<ExitCode> {
    let chosen = Chosen::new(global, &Stacks::of(std::slice::from_ref(&args.stack)), None)?;
    let stack = StackName::parse(&args.stack)?;
    let now = clock::now();
    let suspension = args.because.suspension(now)?;
    let data = DataFolder::open(&chosen.setup.settings.data)?;
    let story = data.story()?;
    let (chosen_ref, stack_ref, story_ref) = (&chosen, &stack, &story);
    let (head, to) = with_runtime(|stop| async move {
        let (chosen, stack, story) = (chosen_ref, stack_ref, story_ref);
        let seen = oneshot::read(&chosen.setup, &chosen.wish, &stop).await?;
        let seen = seen.iter().find(|seen| seen.commit.stacks.contains_key(stack.as_str()));
        let seen = seen.with_context(|| format!("no commit asks for {stack} any more"))?;
        let head = seen.commit.revision.clone();
        let to = match &args.revision {
            Some(text) => seen.git.resolve(&seen.source, text, &stop).await?,
            None => good_before(story, stack, chosen, seen, &stop).await?,
        };
        oneshot::check_stack(&chosen.setup, seen, &to, stack, &stop).await?;
        Ok((head, to))
    })?;
    let by = name_of(args.because.by.as_ref());
    let order = Rollback { stack: stack.clone(), to, rejects: head, by, since: now, suspension };
    data.change_orders(|orders| {
        orders.drop_ended(now);
        orders.roll_back(order.clone());
    })?;
    tell(&data, Some(&stack), None, order.to_string());
    if args.output.format == Format::Text {
        print_lines(&format!("{stack} {order}"))?;
    }
    // The head's status is a failure from now on; what was asked for here is that the hosts are back.
    let reports = commands::pass(&chosen, Intent::ByHand, args.output.format)?;
    let back = reports.iter().all(|one| one.failure.is_none() && one.sync == Sync::Synced);
    Ok(if back { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The last commit at which the stack was in sync and that asked for something else than the head.
async fn good_before(
    story: &[Entry],
    stack: &StackName,
    chosen: &Chosen,
    seen: &oneshot::Seen,
    stop: &CancellationToken,
) -> anyhow::Result<Revision> {
    let mut tried = Vec::new();
    let good = story.iter().rev().filter(|entry| {
        entry.stack.as_ref() == Some(stack)
            && entry.repository.as_ref() == Some(&seen.repository)
            && entry.state == Some(CommitState::Success)
    });
    for revision in good.filter_map(|entry| entry.revision.as_ref()) {
        if tried.contains(&revision) {
            continue;
        }
        tried.push(revision);
        if oneshot::asks_for_other(&chosen.setup, seen, revision, stack, stop).await {
            return Ok(revision.clone());
        }
    }
    let error = anyhow::anyhow!("no earlier commit is known at which {stack} was in sync");
    Err(advised(error, &format!("say which one: `moorline rollback {stack} REVISION`")))
}

/// Whether anybody hears of it.
pub(super) fn tell_reach(data: &DataFolder, format: Format) {
    if format == Format::Text && !data.has_daemon() {
        note("no daemon uses this data folder now; one that is started on it will know");
    }
}

pub(super) fn tell(
    data: &DataFolder,
    stack: Option<&StackName>,
    host: Option<&HostName>,
    text: String,
) {
    let entry = Entry::new(clock::now(), Kind::Order, text);
    data.tell(&Entry { stack: stack.cloned(), host: host.cloned(), ..entry });
}

/// Who gives the order.
pub(super) fn name_of(by: Option<&String>) -> String {
    let user = || ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(std::env::var_os);
    by.cloned()
        .or_else(|| user().map(|name| name.to_string_lossy().into_owned()))
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "operator".to_owned())
}
