//! The commands that look at hosts.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::daemon::{self, Doorbell, Setup};
use crate::fleet::WaitingOn;
use crate::model::{Diagnostics, Plan, RepositoryName, Sync, TreePath};
use crate::oneshot::doctor::{self, Check, Grade};
use crate::oneshot::{self, OnceError, Saved, Seen};
use crate::plan as planning;
use crate::reconcile::Intent;
use crate::report::glance::{Detail, Glimpse, MANY, of_repository};
use crate::report::{Report, brief, diff};
use crate::web::local;

use super::everyday::blind::{self, NO_DAEMON};
use super::glance;
use super::options::{Chosen, working_folder};
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
        let seen = oneshot::read(&chosen.setup, &chosen.wish, &stop).await?;
        let reports =
            oneshot::run(&chosen.setup, &seen, &chosen.wish, intent, &listeners, &stop).await?;
        oneshot::publish(&chosen.setup, &chosen.wish, &seen, &reports).await;
        Ok((seen, reports))
    })?;
    show(format, || reports_json(&reports), || at_a_glance(&seen, &reports, Detail::Verdicts))?;
    tell_problems(&seen, &reports, format);
    Ok(reports)
}

/// What a plan is made from, where that is no commit and no live host.
#[derive(Debug, Clone, Copy)]
pub(super) struct PlanFrom<'a> {
    /// A saved observation.
    pub(super) observed: Option<&'a Path>,
    /// A folder.
    pub(super) dir: Option<&'a Path>,
}

/// How much of a plan is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PlanDetail {
    /// A line for each thing that changes.
    Brief,
    /// Every step.
    Steps,
}

/// `plan`: what a pass would do.
pub(super) fn plan(
    chosen: &Chosen,
    PlanFrom { observed, dir }: PlanFrom<'_>,
    detail: PlanDetail,
    format: Format,
) -> anyhow::Result<ExitCode> {
    let saved = observed.map(saved).transpose()?;
    let (seen, reports) = with_runtime(|stop| async move {
        let seen = match dir {
            Some(dir) => folder(chosen, dir).await?,
            None => oneshot::read(&chosen.setup, &chosen.wish, &stop).await?,
        };
        let reports = match saved {
            Some(saved) => oneshot::plan_saved(&chosen.setup, &seen, &chosen.wish, &saved).await?,
            None => look(chosen, &seen, &stop).await?,
        };
        Ok((seen, reports))
    })?;
    show(format, || reports_json(&reports), || plans_text(&reports, detail))?;
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
    let copy = crate::git::working_copy(&dir);
    let tree = super::disk::tree_of(&dir, copy.as_ref())
        .with_context(|| format!("cannot read {}", dir.display()))?;
    Ok(oneshot::read_folder(&chosen.setup, &chosen.wish, (&dir, tree), &name).await?)
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

/// `status`: what runs where, as the daemon knows it; where none runs, as it is seen now.
pub(super) fn status(chosen: &Chosen, all: bool, format: Format) -> anyhow::Result<ExitCode> {
    if let Some(known) = ask_daemon(chosen, all)? {
        return tell_known(chosen, known, format);
    }
    let looked = with_runtime(|stop| async move {
        let seen = match oneshot::read(&chosen.setup, &chosen.wish, &stop).await {
            Ok(seen) => seen,
            Err(error @ (OnceError::Git { .. } | OnceError::Fleet { .. })) => {
                return Ok(Err(blind::look(chosen, error).await?));
            }
            Err(error) => return Err(error.into()),
        };
        let reports = look(chosen, &seen, &stop).await?;
        Ok(Ok((seen, reports)))
    })?;
    let (seen, reports) = match looked {
        Ok(looked) => looked,
        Err(blind) => return blind.tell(format),
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
        let mut text = format!("{NO_DAEMON}\n  next: moorline run\n");
        text.push_str(&at_a_glance(&seen, &reports, detail));
        text.push_str(&glance::troubles_text(&troubles));
        text
    })?;
    tell_problems(&seen, &reports, format);
    let unseen = reports.iter().any(|report| report.failure.is_some());
    Ok(if unseen { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// `status --watch`: the same again and again, told when it changed, until stopped.
pub(super) fn watch(chosen: &Chosen, all: bool, format: Format) -> anyhow::Result<ExitCode> {
    let mut last = String::new();
    let is_screen = format == Format::Text && output::is_screen();
    loop {
        let shown = with_runtime(|stop| async move {
            let data = &chosen.setup.settings.data;
            let known = local::ask(data, if all { "/v1/status?all" } else { "/v1/status" }).await?;
            let value = match known.filter(|_| chosen.wish.stacks.is_empty()) {
                Some(known) => known,
                None => {
                    let seen = oneshot::read(&chosen.setup, &chosen.wish, &stop).await?;
                    let reports = look(chosen, &seen, &stop).await?;
                    let mut value = reports_json(&reports);
                    let text = at_a_glance(&seen, &reports, Detail::Replicas);
                    if let Some(fields) = value.as_object_mut() {
                        fields.insert("text".to_owned(), Value::from(text));
                    }
                    value
                }
            };
            Ok((value, stop.is_cancelled()))
        });
        let (mut value, is_over) = shown?;
        let text = value.get("text").and_then(Value::as_str).unwrap_or_default().to_owned();
        if let Some(fields) = value.as_object_mut() {
            fields.remove("text");
        }
        if is_over {
            return Ok(ExitCode::SUCCESS);
        }
        // Ages in the text change each second: on a screen it is drawn anew, elsewhere states count.
        let now = if is_screen { text.clone() } else { states(&value) };
        if now != last {
            if is_screen {
                output::print("\x1b[H\x1b[2J")?;
            }
            show(format, || value.clone(), || text.clone())?;
            last = now;
        }
        let waited = with_runtime(|stop| async move {
            Ok(stop.run_until_cancelled(tokio::time::sleep(WATCH_PAUSE)).await.is_some())
        })?;
        if !waited {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// Between two looks of `status --watch`.
const WATCH_PAUSE: std::time::Duration = std::time::Duration::from_secs(2);

/// How each target stands.
fn states(value: &Value) -> String {
    let reports = value.get("reports").and_then(Value::as_array).into_iter().flatten();
    let fields = ["stack", "host", "state", "summary", "revision"];
    let mut text = String::new();
    for report in reports {
        let parts = fields.map(|name| report.get(name).map(ToString::to_string));
        push(&mut text, &format!("{parts:?}"));
    }
    text
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

pub(super) async fn look(
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

fn plans_text(reports: &[Report], detail: PlanDetail) -> String {
    let mut text = String::new();
    for report in reports {
        let plan: Option<&Plan> = report.rounds.last().map(|round| &*round.plan);
        let said = match (&report.failure, plan) {
            (Some(failure), _) => {
                let why = failure.message.lines().next().unwrap_or_default();
                format!("cannot be planned: {why}")
            }
            (None, Some(plan)) => planning::summary(plan),
            (None, None) => "nothing to do".to_owned(),
        };
        push(&mut text, &format!("{} at {}: {said}", report.target, report.revision.short()));
        if let Some(wait) = &report.wait {
            push(&mut text, &format!("wait  {wait}"));
        }
        if let Some(plan) = plan {
            for seat in &report.seats {
                push(&mut text, &format!("seat  {seat}"));
            }
            match detail {
                PlanDetail::Steps => text.push_str(&planning::render(plan)),
                PlanDetail::Brief => text.push_str(&brief::of(report)),
            }
            if report.needs_word && !plan.steps.is_empty() {
                let (stack, hash) = (&report.target.stack, planning::hash(plan));
                push(
                    &mut text,
                    &format!(
                        "hash  {hash}: `moorline sync {stack} --approve {hash}` carries out exactly this"
                    ),
                );
            }
        }
    }
    if 1 < reports.len() {
        push(&mut text, &brief::totals(reports));
    }
    text
}

/// Problems go to standard error, each once and with its line; data formats carry them already.
fn tell_problems(seen: &[Seen], reports: &[Report], format: Format) {
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
