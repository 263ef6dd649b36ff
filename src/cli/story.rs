//! What was done, and what happens: the journal of the data folder.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::data::folder::DataFolder;
use crate::data::journal::{Entry, Kind};
use crate::model::StackName;

use super::options::Global;
use super::output::{Format, Output, print, push, show};
use super::signals::with_runtime;

/// Between two looks at the journal while following it.
const PAUSE: Duration = Duration::from_millis(300);

/// `history`.
#[derive(Debug, Clone, Args)]
pub(super) struct HistoryArgs {
    /// Only of these stacks.
    #[arg(value_name = "STACK")]
    stacks: Vec<String>,
    /// At most so many, the latest.
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    last: usize,
    /// Each step too.
    #[arg(long)]
    steps: bool,
    #[command(flatten)]
    output: Output,
}

/// `events`.
#[derive(Debug, Clone, Args)]
pub(super) struct EventsArgs {
    /// Only of these stacks.
    #[arg(value_name = "STACK")]
    stacks: Vec<String>,
    /// At most so many, the latest.
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    last: usize,
    /// Go on with what happens from now, until stopped. JSON comes one object a line then.
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    output: Output,
}

/// `history`: what was done.
pub(super) fn history(global: &Global, args: &HistoryArgs) -> anyhow::Result<ExitCode> {
    let data = DataFolder::open(&global.setup(None)?.settings.data)?;
    let stacks = names(&args.stacks)?;
    let mut entries = data.story()?;
    entries
        .retain(|entry| matches!(entry.kind, Kind::Pass | Kind::Order) && concerns(entry, &stacks));
    entries.drain(..entries.len().saturating_sub(args.last));
    show(
        args.output.format,
        || json!({ "history": entries }),
        || {
            let mut text = String::new();
            for entry in &entries {
                push(&mut text, &line(entry));
                for step in entry.steps.iter().filter(|_| args.steps) {
                    let seconds = Duration::from_millis(step.millis).as_secs_f32();
                    let (action, because, outcome) = (&step.action, &step.because, &step.outcome);
                    push(
                        &mut text,
                        &format!("    {action}: {because}: {outcome} ({seconds:.1} s)"),
                    );
                }
            }
            text
        },
    )?;
    Ok(ExitCode::SUCCESS)
}

/// `events`: what happens.
pub(super) fn events(global: &Global, args: &EventsArgs) -> anyhow::Result<ExitCode> {
    let data = DataFolder::open(&global.setup(None)?.settings.data)?;
    let stacks = names(&args.stacks)?;
    let all = data.story()?;
    let last = all.last().cloned();
    let mut entries: Vec<Entry> = all;
    entries.retain(|entry| concerns(entry, &stacks));
    entries.drain(..entries.len().saturating_sub(args.last));
    if !args.follow {
        show(args.output.format, || json!({ "events": entries }), || lines(&entries))?;
        return Ok(ExitCode::SUCCESS);
    }
    say(&entries, args.output.format)?;
    with_runtime(|stop| async move {
        let mut last = last;
        while stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_some() {
            let mut new = data.story()?;
            if let Some(known) = &last
                && let Some(at) = new.iter().rposition(|entry| entry == known)
            {
                new.drain(..=at);
            }
            last = new.last().cloned().or(last);
            new.retain(|entry| concerns(entry, &stacks));
            say(&new, args.output.format)?;
        }
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

fn say(entries: &[Entry], format: Format) -> anyhow::Result<()> {
    for entry in entries {
        match format {
            Format::Text => print(&format!("{}\n", line(entry)))?,
            Format::Json => print(&format!("{}\n", serde_json::to_string(entry)?))?,
            Format::Yaml => print(&format!("---\n{}", serde_yaml::to_string(entry)?))?,
        }
    }
    Ok(())
}

fn names(texts: &[String]) -> anyhow::Result<Vec<StackName>> {
    let names: Result<Vec<StackName>, _> =
        texts.iter().map(|text| StackName::parse(text)).collect();
    Ok(names?)
}

fn concerns(entry: &Entry, stacks: &[StackName]) -> bool {
    stacks.is_empty() || entry.stack.as_ref().is_some_and(|stack| stacks.contains(stack))
}

fn lines(entries: &[Entry]) -> String {
    let mut text = String::new();
    for entry in entries {
        push(&mut text, &line(entry));
    }
    text
}

fn line(entry: &Entry) -> String {
    let place = match (&entry.stack, &entry.host, &entry.repository) {
        (Some(stack), Some(host), _) => format!("{stack}@{host}"),
        (Some(stack), None, _) => stack.to_string(),
        (None, Some(host), _) => format!("host {host}"),
        (None, None, Some(repository)) => repository.to_string(),
        (None, None, None) => String::new(),
    };
    let at = entry.revision.as_ref().map_or(String::new(), |it| format!(" at {}", it.short()));
    // What became of a host stands in the words already.
    let state = entry.state.filter(|_| entry.kind != Kind::Host);
    let state = state.map_or(String::new(), |state| format!(" {state}:"));
    let steps = match entry.steps.len() {
        0 => String::new(),
        count => {
            let failed = entry.steps.iter().filter(|step| step.outcome != "done").count();
            let failed = if failed == 0 { String::new() } else { format!(", {failed} not done") };
            format!(" ({count} steps{failed})")
        }
    };
    format!("{}  {place}{at} {state} {}{steps}", entry.at, entry.text).replace("  :", ":")
}
