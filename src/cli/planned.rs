//! `plan`: what passes would do, of a commit, a folder or a pull request.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use crate::git;
use crate::model::{CommitState, Plan, RepositoryName};
use crate::oneshot::{self, Saved, Seen};
use crate::plan as planning;
use crate::report::{Report, brief};

use super::commands::{OUT_OF_SYNC, exit_of, look, reports_json, tell_problems};
use super::options::{Chosen, Global, Stacks, Variables, working_folder};
use super::output::{self, Format, Output, push, show};
use super::signals::with_runtime;

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    stacks: Stacks,
    /// Another commit than the branch's head: an id, a tag, a branch.
    #[arg(long, value_name = "REV")]
    revision: Option<String>,
    /// Plan against a saved observation (`moorline observe --output json`) instead of the hosts.
    #[arg(long, value_name = "FILE")]
    observed: Option<PathBuf>,
    /// Plan what this folder holds, committed or not, instead of a commit.
    #[arg(long, value_name = "FOLDER", conflicts_with = "revision")]
    dir: Option<PathBuf>,
    /// Every step, in its order, with what it waits for.
    #[arg(long)]
    steps: bool,
    /// What merging this pull request would do: the same as its comment. Asks the forge for it; exits with 1 where
    /// its status would not be success.
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["revision", "observed", "stacks", "dir"])]
    pull_request: Option<u64>,
    #[command(flatten)]
    variables: Variables,
    #[command(flatten)]
    output: Output,
}

/// How much of a plan is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PlanDetail {
    /// A line for each thing that changes.
    Brief,
    /// Every step.
    Steps,
}

/// `plan`: what a pass would do.
pub(super) fn run(global: &Global, args: &PlanArgs) -> anyhow::Result<ExitCode> {
    let chosen = Chosen::new(global, &args.stacks, args.revision.clone())?.with(&args.variables)?;
    let format = args.output.format;
    if let Some(number) = args.pull_request {
        return proposed(&chosen, number, format);
    }
    let detail = if args.steps { PlanDetail::Steps } else { PlanDetail::Brief };
    let saved = args.observed.as_deref().map(saved).transpose()?;
    let chosen = &chosen;
    let (seen, reports) = with_runtime(|stop| async move {
        let seen = match &args.dir {
            Some(dir) => folder(chosen, dir).await?,
            None => oneshot::read(&chosen.setup, &chosen.wish, &stop).await?,
        };
        let reports = match saved {
            Some(saved) => oneshot::plan_saved(&chosen.setup, &seen, &chosen.wish, &saved).await?,
            None => look(chosen, &seen, &stop).await?,
        };
        Ok((seen, reports))
    })?;
    show(format, || reports_json(&reports), || text_of(&reports, detail))?;
    tell_problems(&seen, &reports, format);
    Ok(exit_of(&reports))
}

/// What a folder holds, as a commit of the one repository that is followed. What Git ignores in it does not count.
async fn folder(chosen: &Chosen, dir: &Path) -> anyhow::Result<Vec<Seen>> {
    let dir = working_folder()?.join(dir);
    let dir = dir.canonicalize().with_context(|| format!("cannot find {}", dir.display()))?;
    let known: Vec<&RepositoryName> = chosen.setup.settings.repositories.keys().collect();
    let name = match known.as_slice() {
        [one] => (*one).clone(),
        [] => RepositoryName::parse("fleet")?,
        _ => {
            let names: Vec<&str> = known.iter().map(|name| name.as_str()).collect();
            return Err(output::advised(
                anyhow::anyhow!(
                    "a folder stands for one repository, and there are {}",
                    names.join(", ")
                ),
                "say for which: `--repository NAME`",
            ));
        }
    };
    let copy = git::working_copy(&dir);
    let tree = super::disk::tree_of(&dir, copy.as_ref())
        .with_context(|| format!("cannot read {}", dir.display()))?;
    Ok(oneshot::read_folder(&chosen.setup, &chosen.wish, (&dir, tree), &name).await?)
}

/// `plan --pull-request`: what merging it would do, in the words of its comment.
fn proposed(chosen: &Chosen, number: u64, format: Format) -> anyhow::Result<ExitCode> {
    let found =
        with_runtime(
            |stop| async move { Ok(oneshot::proposed(&chosen.setup, number, &stop).await?) },
        )?;
    let json = || json!({ "pull_requests": found.iter().map(|it| &it.json).collect::<Vec<_>>() });
    show(format, json, || found.iter().map(|it| it.text.as_str()).collect())?;
    let is_good = found.iter().all(|it| it.state == CommitState::Success);
    let changes = found.iter().any(|it| it.changes);
    Ok(match (is_good, changes) {
        (false, _) => ExitCode::FAILURE,
        (true, true) => ExitCode::from(OUT_OF_SYNC),
        (true, false) => ExitCode::SUCCESS,
    })
}

fn saved(path: &Path) -> anyhow::Result<Vec<Saved>> {
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text)
        .with_context(|| {
            format!("{} is not what `moorline observe --output json` prints", path.display())
        })
        .map_err(|error| {
            output::advised(error, "save one with `moorline observe --output json > FILE`")
        })
}

fn text_of(reports: &[Report], detail: PlanDetail) -> String {
    let mut text = String::new();
    for report in reports {
        let plans: Vec<&Plan> = report.rounds.iter().map(|round| &*round.plan).collect();
        let said = match (&report.failure, plans.as_slice()) {
            (Some(failure), _) => {
                let why = failure.message.lines().next().unwrap_or_default();
                format!("cannot be planned: {why}")
            }
            (None, []) => "nothing to do".to_owned(),
            (None, plans) => planning::summary(plans),
        };
        push(&mut text, &format!("{} at {}: {said}", report.target, report.revision.short()));
        if let Some(wait) = &report.wait {
            push(&mut text, &format!("wait  {}", wait.in_full()));
        }
        let Some(first) = plans.first() else { continue };
        for seat in &report.seats {
            push(&mut text, &format!("seat  {seat}"));
        }
        match detail {
            PlanDetail::Steps => text.push_str(&planning::render(&plans)),
            PlanDetail::Brief => text.push_str(&brief::of(report)),
        }
        if report.needs_word && !first.steps.is_empty() {
            let (stack, hash) = (&report.target.stack, planning::hash(first));
            let line = format!(
                "hash  {hash}: `moorline sync {stack} --approve {hash}` carries out exactly this"
            );
            push(&mut text, &line);
        }
    }
    if 1 < reports.len() {
        push(&mut text, &brief::totals(reports));
    }
    text
}
