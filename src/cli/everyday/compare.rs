//! `moorline diff A..B`: what two commits ask for, one against the other.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::options::{Chosen, Global, Stacks};
use crate::cli::output;
use crate::cli::output::{Output, advised, push, show};
use crate::cli::signals::with_runtime;
use crate::model::StackName;
use crate::oneshot::{self, Seen};
use crate::report::diff;

/// `diff`.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct DiffArgs {
    /// Two commits, tags or branches: `v1..v2`; one alone is compared with the branch's head.
    #[arg(value_name = "A..B")]
    range: String,
    #[command(flatten)]
    stacks: Stacks,
    #[command(flatten)]
    output: Output,
}

/// A stack's model at a commit, as text.
type Models = BTreeMap<StackName, String>;

pub(in crate::cli) fn run(global: &Global, args: &DiffArgs) -> anyhow::Result<ExitCode> {
    let (from, to) = match args.range.split_once("..") {
        Some((from, to)) => (from, to.trim_start_matches('.')),
        None => (args.range.as_str(), ""),
    };
    if from.is_empty() {
        let error = anyhow::anyhow!("{:?} names no first commit", args.range);
        return Err(advised(error, "write two of them, such as `moorline diff v1..v2`"));
    }
    let (old, new) = (
        models(global, args, Some(from))?,
        models(global, args, Some(to).filter(|to| !to.is_empty()))?,
    );
    let names: BTreeSet<&StackName> = old.0.keys().chain(new.0.keys()).collect();
    let mut changed: BTreeMap<&StackName, String> = BTreeMap::new();
    for name in names {
        let side = |models: &Models| models.get(name).cloned().unwrap_or_default();
        let text = diff::text(name.as_str(), &side(&old.0), &side(&new.0));
        if !text.is_empty() && side(&old.0) != side(&new.0) {
            changed.insert(name, text);
        }
    }
    let value = || {
        let stacks: Vec<Value> = changed
            .iter()
            .map(|(name, text)| {
                let what = match (old.0.contains_key(*name), new.0.contains_key(*name)) {
                    (false, _) => "added",
                    (true, false) => "removed",
                    (true, true) => "changed",
                };
                json!({ "stack": name, "what": what, "diff": text })
            })
            .collect();
        json!({ "from": old.1, "to": new.1, "stacks": stacks })
    };
    show(args.output.format, value, || {
        let mut text = String::new();
        for (name, said) in &changed {
            push(&mut text, &format!("# {name}"));
            text.push_str(said);
        }
        if changed.is_empty() {
            push(&mut text, "both ask for the same");
        }
        text
    })?;
    Ok(if changed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

/// Every stack's model at a commit, without secrets, and the commits' ids.
fn models(
    global: &Global,
    args: &DiffArgs,
    revision: Option<&str>,
) -> anyhow::Result<(Models, Vec<String>)> {
    // A stack that only one of the commits has is one that was added or removed.
    let mut chosen = Chosen::new(global, &args.stacks, revision.map(str::to_owned))?;
    let wanted = std::mem::take(&mut chosen.wish.stacks);
    let own = &chosen;
    let seen: Vec<Seen> =
        with_runtime(|stop| async move { Ok(oneshot::read(&own.setup, &own.wish, &stop).await?) })?;
    let mut models = Models::new();
    for stack in seen.iter().flat_map(|one| one.commit.stacks.values()) {
        if !wanted.is_empty() && !wanted.contains(&stack.stack.name) {
            continue;
        }
        let text = match &stack.project {
            Some(project) => {
                let value = output::hushed_value(serde_json::to_value(project)?);
                serde_yaml::to_string(&value)?
            }
            None => {
                let problems = stack.problems.0.iter().map(ToString::to_string);
                problems.flat_map(|line| [line, "\n".to_owned()]).collect()
            }
        };
        models.insert(stack.stack.name.clone(), text);
    }
    let ids = seen.iter().map(|one| one.commit.revision.to_string()).collect();
    Ok((models, ids))
}
