//! `status`: what runs where, once or again and again.

mod blind;
pub(super) mod glance;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::oneshot::{self, OnceError, Seen};
use crate::report::Report;
use crate::report::glance::{Detail, MANY};
use crate::web::local;

use super::commands::{at_a_glance, look, reports_json, tell_problems};
use super::options::Chosen;
use super::output::{self, Format, push, show};
use super::signals::with_runtime;
use blind::{Blind, NO_DAEMON};

/// Between two looks of `status --watch`.
const WATCH_PAUSE: Duration = Duration::from_secs(2);

/// How everything stands, and who says so.
enum Standing {
    /// The daemon that runs with this data folder.
    Known(Value),
    /// Remotes and hosts, asked just now.
    Looked(Vec<Seen>, Vec<Report>),
    /// The hosts alone: what Git asks for cannot be read.
    Blind(Blind),
}

/// `status`: what runs where, as the daemon knows it; where none runs, as it is seen now.
pub(super) fn status(chosen: &Chosen, all: bool, format: Format) -> anyhow::Result<ExitCode> {
    let standing = with_runtime(|stop| async move { standing(chosen, all, &stop).await })?;
    let troubles = glance::troubles(chosen)?;
    let value = || {
        let mut value = standing.value();
        if let Some(fields) = value.as_object_mut() {
            fields.insert("troubles".to_owned(), glance::troubles_json(&troubles));
        }
        value
    };
    show(format, value, || {
        let mut text = standing.text(all);
        text.push_str(&glance::troubles_text(&troubles));
        text
    })?;
    if let Standing::Looked(seen, reports) = &standing {
        tell_problems(seen, reports, format);
    }
    Ok(if standing.is_seen() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `status --watch`: the same again and again, told when it changed, until stopped.
pub(super) fn watch(chosen: &Chosen, all: bool, format: Format) -> anyhow::Result<ExitCode> {
    let is_screen = format == Format::Text && output::is_screen();
    with_runtime(|stop| async move {
        let mut last = String::new();
        loop {
            let Some(standing) =
                stop.run_until_cancelled(Box::pin(standing(chosen, all, &stop))).await
            else {
                return Ok(ExitCode::SUCCESS);
            };
            let standing = standing?;
            let (value, text) = (standing.value(), standing.text(all));
            // Ages in the text change each second: on a screen it is drawn anew, elsewhere states count.
            let now = if is_screen { text.clone() } else { states(&value) };
            if now != last {
                if is_screen {
                    output::print("\x1b[H\x1b[2J")?;
                }
                show(format, || value, || text)?;
                last = now;
            }
            if stop.run_until_cancelled(tokio::time::sleep(WATCH_PAUSE)).await.is_none() {
                return Ok(ExitCode::SUCCESS);
            }
        }
    })
}

async fn standing(
    chosen: &Chosen,
    all: bool,
    stop: &CancellationToken,
) -> anyhow::Result<Standing> {
    if let Some(known) = ask_daemon(chosen, all).await? {
        return Ok(Standing::Known(known));
    }
    let seen = match oneshot::read(&chosen.setup, &chosen.wish, stop).await {
        Ok(seen) => seen,
        Err(error @ (OnceError::Git { .. } | OnceError::Fleet { .. })) => {
            return Ok(Standing::Blind(blind::look(chosen, error, stop).await?));
        }
        Err(error) => return Err(error.into()),
    };
    let reports = look(chosen, &seen, stop).await?;
    Ok(Standing::Looked(seen, reports))
}

/// What the daemon that runs with this data folder knows. It is not asked about another commit, or about a part.
async fn ask_daemon(chosen: &Chosen, all: bool) -> anyhow::Result<Option<Value>> {
    if chosen.wish.revision.is_some() || !chosen.wish.stacks.is_empty() {
        return Ok(None);
    }
    let call = if all { "/v1/status?all" } else { "/v1/status" };
    let data = &chosen.setup.settings.data;
    local::ask(data, call).await.with_context(|| {
        format!("the daemon with the data folder {} does not answer", data.display())
    })
}

impl Standing {
    fn value(&self) -> Value {
        let (mut value, daemon) = match self {
            Self::Known(known) => (known.clone(), None),
            Self::Looked(_, reports) => (reports_json(reports), Some(Value::Null)),
            Self::Blind(blind) => (blind.value(), Some(Value::Null)),
        };
        if let Some(fields) = value.as_object_mut() {
            fields.remove("text");
            if let Some(daemon) = daemon {
                fields.insert("daemon".to_owned(), daemon);
            }
        }
        value
    }

    fn text(&self, all: bool) -> String {
        match self {
            Self::Known(known) => {
                known.get("text").and_then(Value::as_str).unwrap_or_default().to_owned()
            }
            Self::Looked(seen, reports) => {
                let is_told = all || reports.len() <= MANY;
                let detail = if is_told { Detail::Replicas } else { Detail::Counts };
                format!("{NO_DAEMON}\n  next: moorline run\n{}", at_a_glance(seen, reports, detail))
            }
            Self::Blind(blind) => blind.text(),
        }
    }

    /// Whether everything could be looked at.
    fn is_seen(&self) -> bool {
        match self {
            Self::Known(known) => {
                let reports = known.get("reports").and_then(Value::as_array);
                let is_error = |report: &Value| report.get("state").is_some_and(|it| it == "error");
                !reports.is_some_and(|all| all.iter().any(is_error))
            }
            Self::Looked(_, reports) => reports.iter().all(|report| report.failure.is_none()),
            Self::Blind(_) => false,
        }
    }
}

/// How each target stands.
fn states(value: &Value) -> String {
    let reports = ["reports", "running"].map(|name| value.get(name).and_then(Value::as_array));
    let fields = ["stack", "host", "state", "summary", "revision", "containers", "why"];
    let mut text = String::new();
    for report in reports.into_iter().flatten().flatten() {
        let parts = fields.map(|name| report.get(name).map(ToString::to_string));
        push(&mut text, &format!("{parts:?}"));
    }
    text
}
