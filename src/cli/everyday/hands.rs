//! `moorline restart`, `pull` and `rebuild`: what operators do by hand.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::commands;
use crate::cli::options::{Chosen, Global, Stacks};
use crate::cli::output::{Format, Output, push, show};
use crate::cli::progress;
use crate::cli::signals::with_runtime;
use crate::model::{Outcome, ServiceName, StackName};
use crate::oneshot;
use crate::oneshot::hands::{self, ByHand, Renew};
use crate::reconcile::Intent;

use super::logs::explain;

/// `restart`.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct RestartArgs {
    /// The stack.
    #[arg(value_name = "STACK")]
    stack: String,
    /// Only this service.
    #[arg(value_name = "SERVICE")]
    service: Option<String>,
    #[command(flatten)]
    output: Output,
}

/// `pull` and `rebuild`.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct RenewArgs {
    #[command(flatten)]
    stacks: Stacks,
    /// Leave containers as they are; otherwise those whose image is another one are replaced at once.
    #[arg(long)]
    only: bool,
    #[command(flatten)]
    output: Output,
}

pub(in crate::cli) fn restart(global: &Global, args: &RestartArgs) -> anyhow::Result<ExitCode> {
    let stack = StackName::parse(&args.stack)?;
    let service = args.service.as_deref().map(ServiceName::parse).transpose()?;
    let setup = global.setup(None)?;
    let listeners = listeners(args.output.format);
    let done = with_runtime(|stop| async move {
        let engines = oneshot::connect(&setup).await?;
        let what = (&stack, service.as_ref());
        hands::restart(&setup, &engines, what, &listeners, &stop).await.map_err(explain)
    })?;
    tell(&done, args.output.format)
}

pub(in crate::cli) fn renew(
    global: &Global,
    args: &RenewArgs,
    what: Renew,
) -> anyhow::Result<ExitCode> {
    let chosen = Chosen::new(global, &args.stacks, None)?;
    let listeners = listeners(args.output.format);
    let own = &chosen;
    let done = with_runtime(|stop| async move {
        let seen = oneshot::read(&own.setup, &own.wish, &stop).await?;
        let which = (seen.as_slice(), &own.wish);
        hands::renew(&own.setup, which, what, &listeners, &stop).await.map_err(explain)
    })?;
    if args.only || !all_done(&done) {
        return tell(&done, args.output.format);
    }
    commands::sync(&chosen, Intent::ByHand, args.output.format)
}

fn listeners(format: Format) -> oneshot::Listeners {
    if format == Format::Text { progress::listeners() } else { progress::silent() }
}

fn all_done(done: &[ByHand]) -> bool {
    let mut outcomes = done.iter().flat_map(|one| &one.outcomes);
    outcomes.all(|outcome| outcome.outcome == Outcome::Done)
}

fn tell(done: &[ByHand], format: Format) -> anyhow::Result<ExitCode> {
    let value = || {
        let all: Vec<Value> = done
            .iter()
            .map(|one| {
                json!({
                    "repository": one.target.repository,
                    "stack": one.target.stack,
                    "host": one.target.host,
                    "plan": crate::plan::to_json(&one.plan),
                    "outcomes": one.outcomes,
                })
            })
            .collect();
        json!({ "done": all })
    };
    show(format, value, || {
        let mut text = String::new();
        for one in done {
            let good = one.outcomes.iter().filter(|it| it.outcome == Outcome::Done).count();
            let said = match one.plan.steps.len() {
                0 => "nothing to do".to_owned(),
                count if count == good => "done".to_owned(),
                count => format!("{good} of {count} steps done"),
            };
            push(&mut text, &format!("{}  {said}", one.target));
        }
        text
    })?;
    Ok(if all_done(done) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
