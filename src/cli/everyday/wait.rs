//! `moorline wait`: until stacks are in sync and healthy.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;

use crate::cli::commands;
use crate::cli::options::{Chosen, Global, Stacks};
use crate::cli::output::{Output, note, push, show};
use crate::cli::signals::with_runtime;
use crate::clock;
use crate::config::quantity::parse_duration;
use crate::model::CommitState;
use crate::oneshot;
use crate::report::{Report, status as verdict};

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(2);

/// `wait`.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct WaitArgs {
    #[command(flatten)]
    stacks: Stacks,
    /// Give up after this long, such as `5m`.
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    timeout: String,
    #[command(flatten)]
    output: Output,
}

pub(in crate::cli) fn run(global: &Global, args: &WaitArgs) -> anyhow::Result<ExitCode> {
    let limit = parse_duration(&args.timeout)
        .with_context(|| format!("{:?} is no duration such as 30s or 5m", args.timeout))?;
    let chosen = Chosen::new(global, &args.stacks, None)?;
    let own = &chosen;
    let (reports, is_over) = with_runtime(|stop| async move {
        let (began, stop) = (clock::now(), stop);
        let mut last = String::new();
        loop {
            let seen = oneshot::read(&own.setup, &own.wish, &stop).await?;
            let reports = commands::look(own, &seen, &stop).await?;
            let waiting: Vec<&Report> = reports.iter().filter(|one| !one.is_good()).collect();
            let is_over = began.plus(limit) <= clock::now() || stop.is_cancelled();
            let Some(first) = waiting.first().filter(|_| !is_over) else {
                return Ok((reports, is_over));
            };
            let said =
                format!("waiting for {} of {}: {}", waiting.len(), reports.len(), line(first));
            if said != last {
                note(&said);
                last = said;
            }
            stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
        }
    })?;
    let good = reports.iter().all(Report::is_good);
    let value = || {
        json!({
            "good": good,
            "timed_out": is_over && !good,
            "reports": reports.iter().map(Report::to_json).collect::<Vec<_>>(),
        })
    };
    show(args.output.format, value, || {
        let mut text = String::new();
        for report in reports.iter().filter(|one| !one.is_good()) {
            push(&mut text, &line(report));
        }
        if good {
            push(&mut text, &format!("{} in sync and healthy", count(reports.len())));
        }
        text
    })?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn count(number: usize) -> String {
    if number == 1 { "1 target".to_owned() } else { format!("{number} targets") }
}

fn line(report: &Report) -> String {
    let state: CommitState = verdict::state(report);
    format!("{}  {state}  {}", report.target, verdict::line(report))
}
