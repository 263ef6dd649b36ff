//! The commands that look at hosts.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::daemon::{self, Doorbell, Setup};
use crate::fleet::WaitingOn;
use crate::model::{CommitState, Plan, Sync};
use crate::oneshot::doctor::{self, Check, Grade};
use crate::oneshot::running::{Running, running};
use crate::oneshot::{self, OnceError, Saved, Seen};
use crate::plan as planning;
use crate::reconcile::Intent;
use crate::report::glance::{Detail, Glimpse, MANY, of_repository};
use crate::report::{Report, diff};
use crate::web::local;

use super::glance;
use super::options::Chosen;
use super::output::{self, Format, note, push, show, show_exact};
use super::signals::with_runtime;
use super::{listener, progress, signals};

/// What `plan` and `drift` exit with when a host is not what Git says.
const OUT_OF_SYNC: u8 = 2;

/// `run`: until stopped.
pub(super) fn follow(setup: Setup) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
    let result: anyhow::Result<()> = runtime.block_on(async {
        let doorbell = Doorbell::new(&setup.settings);
        let data = setup.settings.data.clone();
        let listening = listener::open(&setup.settings, doorbell.clone(), stop.clone()).await?;
        let serving = async {
            if let Some(serving) = listening {
                serving.await;
            }
            std::future::pending::<()>().await;
        };
        let (view, ringing) = (doorbell.view(), doorbell.clone());
        let answering = async {
            // Not before the data folder is ours: another daemon's socket is not to be taken away.
            view.held_folder().await;
            let local = local::serve(&data, view.clone(), ringing.clone(), stop.clone());
            if let Err(error) = local.await {
                tracing::warn!(%error, "commands on this machine cannot ask this daemon");
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = answering => Ok(()),
            result = daemon::run(setup, doorbell, stop.clone(), abort.clone()) => Ok(result?),
            () = serving => Ok(()),
            () = signals::listen(stop.clone(), abort.clone()) => Ok(()),
        }
    });
    runtime.shutdown_background();
    result?;
    Ok(ExitCode::SUCCESS)
}

/// `sync`: one pass.
pub(super) fn sync(chosen: &Chosen, intent: Intent, format: Format) -> anyhow::Result<ExitCode> {
    let reports = pass(chosen, intent, format)?;
    if format == Format::Text {
        for report in reports.iter().filter(|report| left_for_its_name(report)) {
            let (target, stack) = (&report.target, &report.target.stack);
            note(&format!(
                "{target} is `sync: manual` and was left: `moorline sync {stack}` deploys it"
            ));
        }
    }
    // What was interrupted, is held or still on its way is not done, and a script that goes on must know.
    let good = reports.iter().all(Report::is_good);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn left_for_its_name(report: &Report) -> bool {
    let waits = report.wait.as_ref().is_some_and(|it| matches!(it.on, WaitingOn::Approval(_)));
    waits && report.needs_word
}

/// One pass over what was chosen, shown.
pub(super) fn pass(chosen: &Chosen, intent: Intent, format: Format) -> anyhow::Result<Vec<Report>> {
    let listeners = if format == Format::Text { progress::listeners() } else { progress::silent() };
    let (seen, reports) = with_runtime(|stop| async move {
        let seen = match oneshot::read(&chosen.setup, &chosen.wish, &stop).await {
            Err(OnceError::Fleet { problem, seen: Some(refused) }) => {
                // The commit is told, as the daemon would tell it.
                oneshot::publish(&chosen.setup, &chosen.wish, &[*refused], &[]).await;
                return Err(OnceError::Fleet { problem, seen: None }.into());
            }
            read => read?,
        };
        let reports =
            oneshot::run(&chosen.setup, &seen, &chosen.wish, intent, &listeners, &stop).await?;
        oneshot::publish(&chosen.setup, &chosen.wish, &seen, &reports).await;
        Ok((seen, reports))
    })?;
    show(format, || reports_json(&reports), || at_a_glance(&seen, &reports, Detail::Verdicts))?;
    tell_problems(&reports, format);
    Ok(reports)
}

/// `plan`: what a pass would do.
pub(super) fn plan(
    chosen: &Chosen,
    observed: Option<&Path>,
    format: Format,
) -> anyhow::Result<ExitCode> {
    let saved = observed.map(saved).transpose()?;
    let reports = with_runtime(|stop| async move {
        let seen = oneshot::read(&chosen.setup, &chosen.wish, &stop).await?;
        Ok(match saved {
            Some(saved) => oneshot::plan_saved(&chosen.setup, &seen, &chosen.wish, &saved).await?,
            None => look(chosen, &seen, &stop).await?,
        })
    })?;
    show(format, || reports_json(&reports), || plans_text(&reports))?;
    tell_problems(&reports, format);
    Ok(exit_of(&reports))
}

/// `plan --pull-request`: what merging it would do, in the words of its comment.
pub(super) fn plan_proposed(
    chosen: &Chosen,
    number: u64,
    format: Format,
) -> anyhow::Result<ExitCode> {
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

/// `drift`: how the hosts differ from Git.
pub(super) fn drift(chosen: &Chosen, format: Format) -> anyhow::Result<ExitCode> {
    let reports = with_runtime(|stop| async move {
        let seen = oneshot::read(&chosen.setup, &chosen.wish, &stop).await?;
        look(chosen, &seen, &stop).await
    })?;
    show(
        format,
        || reports_json(&reports),
        || {
            let mut text = String::new();
            for report in &reports {
                let diff = diff::unified(report);
                if !diff.is_empty() {
                    push(&mut text, &format!("# {} at {}", report.target, report.revision.short()));
                    text.push_str(&diff);
                }
            }
            text
        },
    )?;
    tell_problems(&reports, format);
    Ok(exit_of(&reports))
}

/// `status`: what runs where, as the daemon knows it; where none runs, as it is seen now.
pub(super) fn status(chosen: &Chosen, all: bool, format: Format) -> anyhow::Result<ExitCode> {
    if let Some(known) = ask_daemon(chosen, all)? {
        return tell_known(chosen, known, format);
    }
    let looked = with_runtime(|stop| async move {
        let seen = match oneshot::read(&chosen.setup, &chosen.wish, &stop).await {
            Err(OnceError::Fleet { problem, .. }) => {
                return Ok(Err((problem, running(&chosen.setup, &stop).await?)));
            }
            read => read?,
        };
        let reports = look(chosen, &seen, &stop).await?;
        Ok(Ok((seen, reports)))
    })?;
    let (seen, reports) = match looked {
        Ok(looked) => looked,
        Err((problem, running)) => return tell_running(&problem, &running, format),
    };
    let detail = if all || reports.len() <= MANY { Detail::Replicas } else { Detail::Counts };
    let troubles = glance::troubles(chosen)?;
    let value = || {
        let mut value = reports_json(&reports);
        if let Some(fields) = value.as_object_mut() {
            fields.insert("daemon".to_owned(), Value::Null);
            fields.insert("troubles".to_owned(), glance::troubles_json(&troubles));
        }
        value
    };
    show(format, value, || {
        let mut text = "no daemon runs with this data folder; looked just now\n".to_owned();
        text.push_str(&at_a_glance(&seen, &reports, detail));
        text.push_str(&glance::troubles_text(&troubles));
        text
    })?;
    tell_problems(&reports, format);
    let unseen = reports.iter().any(|report| report.failure.is_some());
    Ok(if unseen { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What runs where the fleet file is refused, and nothing tells what should.
fn tell_running(problem: &str, running: &[Running], format: Format) -> anyhow::Result<ExitCode> {
    let value = || {
        let all: Vec<Value> = running.iter().map(running_json).collect();
        json!({ "daemon": null, "fleet_problem": problem, "running": all })
    };
    show(format, value, || {
        let mut text = "no daemon runs with this data folder; looked just now\n".to_owned();
        push(&mut text, "the fleet file is refused, everything stays as it is:");
        problem.lines().for_each(|line| push(&mut text, &format!("  {line}")));
        for Running { stack, host, seen } in running {
            push(&mut text, &format!("{stack}@{host}"));
            match seen {
                Err(why) => push(&mut text, &format!("  cannot be seen: {why}")),
                Ok(seen) => seen.containers.iter().for_each(|one| {
                    let (name, image) = (&one.name, &one.spec.config.image);
                    push(&mut text, &format!("  {name}  {:?}  {image}", one.state));
                }),
            }
        }
        text
    })?;
    Ok(ExitCode::FAILURE)
}

fn running_json(one: &Running) -> Value {
    let containers = one.seen.as_ref().ok().map(|seen| {
        let all = seen.containers.iter();
        let all = all
            .map(|it| json!({ "name": it.name, "state": it.state, "image": it.spec.config.image }));
        all.collect::<Vec<Value>>()
    });
    json!({ "stack": one.stack, "host": one.host, "containers": containers, "why": one.seen.as_ref().err() })
}

/// What the daemon that runs with this data folder knows. It is not asked about another commit, or about a part.
fn ask_daemon(chosen: &Chosen, all: bool) -> anyhow::Result<Option<Value>> {
    if chosen.wish.revision.is_some() || !chosen.wish.stacks.is_empty() {
        return Ok(None);
    }
    let call = if all { "/v1/status?all" } else { "/v1/status" };
    let data = &chosen.setup.settings.data;
    with_runtime(|_| async move {
        local::ask(data, call).await.with_context(|| {
            format!("the daemon with the data folder {} does not answer", data.display())
        })
    })
}

/// What the daemon knows, told as if it had been looked at here.
fn tell_known(chosen: &Chosen, mut known: Value, format: Format) -> anyhow::Result<ExitCode> {
    let troubles = glance::troubles(chosen)?;
    let mut text = known.get("text").and_then(Value::as_str).unwrap_or_default().to_owned();
    text.push_str(&glance::troubles_text(&troubles));
    if let Some(fields) = known.as_object_mut() {
        fields.remove("text");
        fields.insert("troubles".to_owned(), glance::troubles_json(&troubles));
    }
    let reports = known.get("reports").and_then(Value::as_array);
    let unseen = reports.is_some_and(|all| {
        all.iter().any(|report| report.get("state").is_some_and(|it| it == "error"))
    });
    show(format, || known.clone(), || text.clone())?;
    Ok(if unseen { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// `observe`: what the hosts run, as data.
pub(super) fn observe(chosen: &Chosen, format: Format) -> anyhow::Result<ExitCode> {
    let saved = with_runtime(|stop| async move {
        let seen = oneshot::read(&chosen.setup, &chosen.wish, &stop).await?;
        Ok(oneshot::observe(&chosen.setup, &seen, &chosen.wish).await?)
    })?;
    let value = serde_json::to_value(&saved)?;
    show_exact(format, || value, || observed_text(&saved))?;
    Ok(ExitCode::SUCCESS)
}

fn observed_text(saved: &[Saved]) -> String {
    let mut text = String::new();
    for one in saved {
        push(&mut text, &format!("{}@{}", one.stack, one.host));
        for container in &one.observed.containers {
            let (name, image) = (&container.name, &container.spec.config.image);
            push(&mut text, &format!("  {name}  {:?}  {image}", container.state));
        }
    }
    text
}

/// `doctor`: what works, and what does not.
pub(super) fn doctor(chosen: &Chosen, format: Format) -> anyhow::Result<ExitCode> {
    let checks =
        with_runtime(
            |stop| async move { Ok(Box::pin(doctor::examine(&chosen.setup, &stop)).await?) },
        )?;
    show(
        format,
        || json!({ "checks": checks }),
        || {
            let mut text = String::new();
            for Check { about, grade, text: said } in &checks {
                let mark = match grade {
                    Grade::Good => "ok  ",
                    Grade::Unsure => "?   ",
                    Grade::Bad => "FAIL",
                };
                push(&mut text, &format!("{mark}  {about}: {said}"));
            }
            text
        },
    )?;
    let bad = checks.iter().any(|check| check.grade == Grade::Bad);
    Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn look(
    chosen: &Chosen,
    seen: &[Seen],
    stop: &CancellationToken,
) -> anyhow::Result<Vec<Report>> {
    let silent = progress::silent();
    Ok(oneshot::run(&chosen.setup, seen, &chosen.wish, Intent::Show, &silent, stop).await?)
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

/// What runs where, as text.
fn at_a_glance(seen: &[Seen], reports: &[Report], detail: Detail) -> String {
    let of = |seen: &Seen| {
        let own: Vec<&Report> =
            reports.iter().filter(|report| report.target.repository == seen.repository).collect();
        let Seen { repository, commit, .. } = seen;
        let (revision, subject) = (&commit.revision, commit.facts.subject.as_str());
        of_repository(Glimpse { repository, revision, subject }, &own, detail)
    };
    seen.iter().map(of).collect()
}

fn reports_json(reports: &[Report]) -> Value {
    let all: Vec<Value> = reports.iter().map(Report::to_json).collect();
    json!({ "reports": all })
}

fn exit_of(reports: &[Report]) -> ExitCode {
    if reports.iter().any(|report| report.failure.is_some() || report.sync == Sync::Unknown) {
        return ExitCode::FAILURE;
    }
    let differs = reports.iter().any(|report| {
        report.sync != Sync::Synced
            || report.rounds.iter().any(|round| !round.plan.steps.is_empty())
    });
    if differs { ExitCode::from(OUT_OF_SYNC) } else { ExitCode::SUCCESS }
}

fn plans_text(reports: &[Report]) -> String {
    let mut text = String::new();
    for report in reports {
        let plans: Vec<&Plan> = report.rounds.iter().map(|round| &*round.plan).collect();
        let said = match (&report.failure, plans.as_slice()) {
            (Some(_), _) => "cannot be planned".to_owned(),
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
        text.push_str(&planning::render(&plans));
        if report.needs_word && !first.steps.is_empty() {
            let (stack, hash) = (&report.target.stack, planning::hash(first));
            let line = format!(
                "hash  {hash}: `moorline sync {stack} --approve {hash}` carries out exactly this"
            );
            push(&mut text, &line);
        }
    }
    text
}

/// Problems go to standard error; data formats carry them already.
fn tell_problems(reports: &[Report], format: Format) {
    if format != Format::Text {
        return;
    }
    let mut said: Vec<String> = Vec::new();
    for report in reports {
        let failure = report
            .failure
            .as_ref()
            .map(|failure| format!("{}: {}", report.target, failure.message));
        let problems = report.problems.0.iter().map(ToString::to_string);
        for line in problems.chain(failure) {
            if !said.iter().any(|known| line.ends_with(known.as_str())) {
                note(&line);
                said.push(line);
            }
        }
    }
}
