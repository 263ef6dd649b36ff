//! The commands that look at hosts.

use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::daemon::{self, Doorbell, Setup};
use crate::fleet::WaitingOn;
use crate::model::{Diagnostics, Sync, TreePath};
use crate::oneshot::doctor::{self, Check, Grade};
use crate::oneshot::{self, OnceError, Saved, Seen};
use crate::reconcile::Intent;
use crate::report::glance::{Detail, Glimpse, of_repository};
use crate::report::{Report, diff};
use crate::web::local;

use super::options::Chosen;
use super::output::{self, Format, note, push, show, show_exact};
use super::signals::with_runtime;
use super::{listener, progress, signals};

/// What `plan` and `drift` exit with when a host is not what Git says.
pub(super) const OUT_OF_SYNC: u8 = 2;

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
    tell_problems(&seen, &reports, format);
    Ok(reports)
}

/// `drift`: how the hosts differ from Git.
pub(super) fn drift(chosen: &Chosen, format: Format) -> anyhow::Result<ExitCode> {
    let (seen, reports) = with_runtime(|stop| async move {
        let seen = oneshot::read(&chosen.setup, &chosen.wish, &stop).await?;
        let reports = look(chosen, &seen, &stop).await?;
        Ok((seen, reports))
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
    tell_problems(&seen, &reports, format);
    Ok(exit_of(&reports))
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

pub(super) async fn look(
    chosen: &Chosen,
    seen: &[Seen],
    stop: &CancellationToken,
) -> anyhow::Result<Vec<Report>> {
    let silent = progress::silent();
    Ok(oneshot::run(&chosen.setup, seen, &chosen.wish, Intent::Show, &silent, stop).await?)
}

/// What runs where, as text.
pub(super) fn at_a_glance(seen: &[Seen], reports: &[Report], detail: Detail) -> String {
    let of = |seen: &Seen| {
        let own: Vec<&Report> =
            reports.iter().filter(|report| report.target.repository == seen.repository).collect();
        let Seen { repository, commit, .. } = seen;
        let (revision, subject) = (&commit.revision, commit.facts.subject.as_str());
        of_repository(Glimpse { repository, revision, subject }, &own, detail)
    };
    seen.iter().map(of).collect()
}

pub(super) fn reports_json(reports: &[Report]) -> Value {
    let all: Vec<Value> = reports.iter().map(Report::to_json).collect();
    json!({ "reports": all })
}

pub(super) fn exit_of(reports: &[Report]) -> ExitCode {
    if reports.iter().any(|report| report.failure.is_some() || report.sync == Sync::Unknown) {
        return ExitCode::FAILURE;
    }
    let differs = reports.iter().any(|report| {
        report.sync != Sync::Synced
            || report.rounds.iter().any(|round| !round.plan.steps.is_empty())
    });
    if differs { ExitCode::from(OUT_OF_SYNC) } else { ExitCode::SUCCESS }
}

/// Problems go to standard error, each once and with its line; data formats carry them already.
pub(super) fn tell_problems(seen: &[Seen], reports: &[Report], format: Format) {
    if format != Format::Text {
        return;
    }
    let mut problems = Diagnostics::default();
    for problem in reports.iter().flat_map(|report| &report.problems.0) {
        if !problems.0.contains(problem) {
            problems.0.push(problem.clone());
        }
    }
    let text_of = |file: &str| -> Option<String> {
        let path = TreePath::parse(file).ok()?;
        let is_env = path.file_name().contains(".env");
        let mut stacks = seen.iter().flat_map(|one| one.commit.stacks.values());
        let bytes = stacks.find_map(|stack| Some(Arc::clone(&stack.tree.file(&path)?.bytes)))?;
        (!is_env).then(|| String::from_utf8_lossy(&bytes).into_owned())
    };
    output::problems(&problems, &text_of);
    let said: Vec<String> = problems.0.iter().map(ToString::to_string).collect();
    let mut failures: Vec<String> = Vec::new();
    for report in reports {
        let Some(failure) = &report.failure else { continue };
        let is_said = said.iter().any(|line| failure.message.contains(line.as_str()));
        let line = format!("{}: {}", report.target, failure.message);
        if !is_said && !failures.contains(&line) {
            note(&line);
            failures.push(line);
        }
    }
}
