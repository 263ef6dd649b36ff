//! `moorline tree`: what the repository asks for, and where.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::options::{Chosen, Global, Stacks};
use crate::cli::output::{Output, push, show};
use crate::cli::signals::with_runtime;
use crate::commit::LoadedStack;
use crate::model::{HostName, Service};
use crate::oneshot::{self, Seen};

/// `tree`.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct TreeArgs {
    #[command(flatten)]
    stacks: Stacks,
    /// Another commit than the branch's head: an id, a tag, a branch.
    #[arg(long, value_name = "REV")]
    revision: Option<String>,
    #[command(flatten)]
    output: Output,
}

pub(in crate::cli) fn run(global: &Global, args: &TreeArgs) -> anyhow::Result<ExitCode> {
    let chosen = Chosen::new(global, &args.stacks, args.revision.clone())?;
    let own = &chosen;
    let seen =
        with_runtime(|stop| async move { Ok(oneshot::read(&own.setup, &own.wish, &stop).await?) })?;
    let labels = chosen.setup.settings.host_labels();
    let hosts = |stack: &LoadedStack| -> Vec<HostName> {
        stack.stack.hosts.select(&labels).into_iter().collect()
    };
    let meant = |seen: &Seen| -> Vec<_> {
        let wish = &chosen.wish.stacks;
        let all = seen.commit.stacks.values();
        all.filter(|one| wish.is_empty() || wish.contains(&one.stack.name)).cloned().collect()
    };
    let value = || {
        let all: Vec<Value> = seen
            .iter()
            .map(|one| {
                let stacks: BTreeMap<String, Value> = meant(one)
                    .iter()
                    .map(|stack| (stack.stack.name.to_string(), stack_json(stack, &hosts(stack))))
                    .collect();
                json!({
                    "repository": one.repository,
                    "revision": one.commit.revision,
                    "subject": one.commit.facts.subject,
                    "stacks": stacks,
                })
            })
            .collect();
        json!({ "repositories": all })
    };
    show(args.output.format, value, || {
        let mut text = String::new();
        for one in &seen {
            let (revision, subject) = (one.commit.revision.short(), &one.commit.facts.subject);
            push(&mut text, &format!("{} at {revision} {subject}", one.repository));
            let stacks = meant(one);
            for (place, stack) in stacks.iter().enumerate() {
                let is_last = place + 1 == stacks.len();
                stack_text(&mut text, stack, &hosts(stack), is_last);
            }
        }
        text
    })?;
    let broken = seen.iter().flat_map(meant).any(|stack| stack.project.is_none());
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn stack_json(stack: &LoadedStack, hosts: &[HostName]) -> Value {
    let services: BTreeMap<String, Value> = services(stack)
        .map(|(name, service)| {
            let after: Vec<&str> = service.depends_on.keys().map(AsRef::as_ref).collect();
            let value = json!({
                "image": service.image, "replicas": service.replicas(), "after": after,
            });
            (name, value)
        })
        .collect();
    json!({
        "path": stack.stack.path.as_str(),
        "project": stack.project_name(),
        "hosts": hosts,
        "after": after(stack),
        "services": services,
        "problem": stack.problems.first_error().map(ToString::to_string),
    })
}

fn services(stack: &LoadedStack) -> impl Iterator<Item = (String, &Service)> {
    let project = stack.project.iter();
    project.flat_map(|project| &project.services).map(|(name, one)| (name.to_string(), one))
}

fn after(stack: &LoadedStack) -> Vec<String> {
    let all = stack.stack.after.union(&stack.stack.implied);
    all.map(ToString::to_string).collect()
}

fn stack_text(text: &mut String, stack: &LoadedStack, hosts: &[HostName], is_last: bool) {
    let (branch, below) = if is_last { ("└─", "   ") } else { ("├─", "│  ") };
    let hosts: Vec<&str> = hosts.iter().map(HostName::as_str).collect();
    let place = if hosts.is_empty() { "no host".to_owned() } else { hosts.join(", ") };
    let after = after(stack);
    let after =
        if after.is_empty() { String::new() } else { format!("  after {}", after.join(", ")) };
    push(text, &format!("{branch} {}  on {place}{after}", stack.stack.name));
    if let Some(problem) = stack.problems.first_error() {
        push(text, &format!("{below}└─ {problem}"));
        return;
    }
    let all: Vec<(String, &Service)> = services(stack).collect();
    for (place, (name, service)) in all.iter().enumerate() {
        let branch = if place + 1 == all.len() { "└─" } else { "├─" };
        let image = if service.image.is_empty() { "(built)" } else { &service.image };
        let replicas = match service.replicas() {
            1 => String::new(),
            count => format!("  x{count}"),
        };
        push(text, &format!("{below}{branch} {name}  {image}{replicas}"));
    }
}
