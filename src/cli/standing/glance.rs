//! Stacks and hosts at a glance, for one host and for a thousand.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::data::folder::DataFolder;
use crate::data::journal::Kind;
use crate::model::{CommitState, HostName, RepositoryName, StackName, Timestamp};
use crate::oneshot::{self, Engines};
use crate::publish::health::{self, ReportingProblem};
use crate::reconcile::Intent;
use crate::report::{Report, status as verdict};

use crate::cli::options::Chosen;
use crate::cli::output::{Format, push, show};
use crate::cli::progress;
use crate::cli::signals::with_runtime;

/// What keeps the statuses of each repository from being said, as the daemon noted it.
pub(super) fn troubles(
    chosen: &Chosen,
) -> anyhow::Result<BTreeMap<RepositoryName, ReportingProblem>> {
    let settings = &chosen.setup.settings;
    let data = DataFolder::open(&settings.data)?;
    let of = |name: &RepositoryName| Some((name.clone(), health::read(&data, name)?));
    Ok(settings.repositories.keys().filter_map(of).collect())
}

/// As text, one line each; nothing when all is well.
pub(super) fn troubles_text(all: &BTreeMap<RepositoryName, ReportingProblem>) -> String {
    let mut text = String::new();
    for (name, trouble) in all {
        for said in &trouble.texts {
            push(&mut text, &format!("forge of {name}  since {}: {said}", trouble.since));
        }
    }
    text
}

/// As data: repository → its troubles.
pub(super) fn troubles_json(all: &BTreeMap<RepositoryName, ReportingProblem>) -> Value {
    let all = all.iter().map(|(name, trouble)| (name.to_string(), json!(trouble)));
    Value::Object(all.collect())
}

/// One host.
struct Row {
    name: HostName,
    endpoint: String,
    labels: BTreeMap<String, String>,
    reachable: Result<Facts, String>,
    /// Since when it is out of reach, as far as the daemon noted.
    since: Option<Timestamp>,
    counts: BTreeMap<&'static str, usize>,
    stacks: Vec<(RepositoryName, StackName, CommitState)>,
    looked: Option<Timestamp>,
    suspended: Option<String>,
}

struct Facts {
    version: String,
    api: String,
    platform: String,
    cpus: u32,
    memory: u64,
}

/// `hosts`: the hosts of the settings.
pub(in crate::cli) fn hosts(chosen: &Chosen, format: Format) -> anyhow::Result<ExitCode> {
    let (engines, reports) = with_runtime(|stop| async move {
        let seen = oneshot::read(&chosen.setup, &chosen.wish, &stop).await?;
        let engines = Arc::new(oneshot::connect(&chosen.setup).await?);
        let how = (Intent::Show, &progress::silent());
        let reports =
            oneshot::run_on(&engines, &chosen.setup, (&seen, &chosen.wish), how, &stop).await?;
        Ok((engines, reports))
    })?;
    let rows = rows(chosen, &engines, &reports)?;
    let value = || json!({ "hosts": rows.iter().map(row_json).collect::<Vec<_>>() });
    show(format, value, || rows_text(&rows))?;
    let all = rows.iter().all(|row| row.reachable.is_ok());
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn rows(chosen: &Chosen, engines: &Engines, reports: &[Report]) -> anyhow::Result<Vec<Row>> {
    let data = DataFolder::open(&chosen.setup.settings.data)?;
    let (story, orders) = (data.story()?, data.orders()?);
    let mut fell: BTreeMap<HostName, Timestamp> = BTreeMap::new();
    for entry in story.into_iter().filter(|entry| entry.kind == Kind::Host) {
        let Some(host) = entry.host else { continue };
        if entry.state == Some(CommitState::Error) {
            fell.insert(host, entry.at);
        } else {
            fell.remove(&host);
        }
    }
    let now = crate::clock::now();
    let mut rows = Vec::new();
    for (name, host) in &chosen.setup.settings.hosts {
        let own: Vec<&Report> =
            reports.iter().filter(|report| report.target.host == *name).collect();
        let mut counts = BTreeMap::new();
        for report in &own {
            *counts.entry(word(verdict::state(report))).or_default() += 1;
        }
        let brake = orders.brakes.iter().find(|brake| {
            brake.stack.is_none()
                && brake.host.as_ref() == Some(name)
                && brake.suspension.holds(now)
        });
        rows.push(Row {
            name: name.clone(),
            endpoint: host.engine.to_string(),
            labels: host.labels.clone(),
            reachable: reachable(engines, name),
            since: fell.get(name).copied(),
            counts,
            stacks: own
                .iter()
                .map(|report| {
                    let target = &report.target;
                    (target.repository.clone(), target.stack.clone(), verdict::state(report))
                })
                .collect(),
            looked: own
                .iter()
                .filter(|report| report.failure.is_none())
                .map(|report| report.at)
                .max(),
            suspended: brake.map(ToString::to_string),
        });
    }
    Ok(rows)
}

fn reachable(engines: &Engines, name: &HostName) -> Result<Facts, String> {
    match engines.get(name) {
        None => Err("not kept here".to_owned()),
        Some(Err(failure)) => Err(failure.message.clone()),
        Some(Ok(engine)) => {
            let facts = engine.facts();
            Ok(Facts {
                version: facts.version,
                api: format!("{}.{}", facts.api.0, facts.api.1),
                platform: facts.platform,
                cpus: facts.cpus,
                memory: facts.memory,
            })
        }
    }
}

fn word(state: CommitState) -> &'static str {
    match state {
        CommitState::Success => "in sync",
        CommitState::Pending => "pending",
        CommitState::Failure => "failing",
        CommitState::Error => "unknown",
    }
}

fn row_json(row: &Row) -> Value {
    let facts = row.reachable.as_ref().ok();
    json!({
        "name": row.name,
        "engine": row.endpoint,
        "labels": row.labels,
        "reachable": facts.is_some(),
        "why": row.reachable.as_ref().err(),
        "unknown_since": if facts.is_none() { row.since } else { None },
        "version": facts.map(|facts| &facts.version),
        "api": facts.map(|facts| &facts.api),
        "platform": facts.map(|facts| &facts.platform),
        "cpus": facts.map(|facts| facts.cpus),
        "memory": facts.map(|facts| facts.memory),
        "stacks": row.stacks.iter().map(|(repository, stack, state)| json!({
            "repository": repository, "stack": stack, "state": state,
        })).collect::<Vec<_>>(),
        "looked": row.looked,
        "suspended": row.suspended,
    })
}

fn rows_text(rows: &[Row]) -> String {
    let mut text = String::new();
    let width = rows.iter().map(|row| row.name.as_str().len()).max().unwrap_or_default();
    for row in rows {
        let counts: Vec<String> =
            row.counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
        let stacks = if counts.is_empty() { "no stacks".to_owned() } else { counts.join(", ") };
        let said = match &row.reachable {
            Ok(facts) => format!(
                "up    {} (API {})  {}  {} CPUs, {} MiB  {stacks}",
                facts.version,
                facts.api,
                facts.platform,
                facts.cpus,
                facts.memory >> 20
            ),
            Err(why) => {
                let since = row.since.map_or(String::new(), |since| format!("since {since}: "));
                format!("down  {since}{why}")
            }
        };
        let suspended = row.suspended.as_ref().map_or(String::new(), |why| format!("  {why}"));
        push(&mut text, &format!("{:width$}  {said}{suspended}", row.name.as_str()));
    }
    text
}
