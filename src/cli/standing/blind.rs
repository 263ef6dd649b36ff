//! `moorline status` where what Git asks for cannot be read: why, what to do, and what runs all the same.

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::cli::options::Chosen;
use crate::cli::output::push;
use crate::oneshot::OnceError;
use crate::oneshot::running::{Running, running};

/// What `status` begins with where nobody else knows.
pub(super) const NO_DAEMON: &str = "no daemon runs with this data folder; looked just now";

/// What is known all the same.
pub(super) struct Blind {
    why: String,
    /// Whether the fleet file is what cannot be used.
    is_refused: bool,
    help: Option<String>,
    next: &'static str,
    running: Vec<Running>,
}

/// Looks at the hosts alone.
pub(super) async fn look(
    chosen: &Chosen,
    error: OnceError,
    stop: &CancellationToken,
) -> anyhow::Result<Blind> {
    let (help, is_refused) = (error.help(), matches!(error, OnceError::Fleet { .. }));
    let next = if is_refused { "moorline validate" } else { "moorline doctor" };
    let why = format!("{:#}", anyhow::Error::from(error));
    let mut running = running(&chosen.setup, stop).await?;
    let stacks = &chosen.wish.stacks;
    running.retain(|one| stacks.is_empty() || stacks.contains(&one.stack));
    Ok(Blind { why, is_refused, help, next, running })
}

impl Blind {
    pub(super) fn value(&self) -> Value {
        let running: Vec<Value> = self.running.iter().map(running_json).collect();
        json!({
            "reports": [],
            "problem": self.why,
            "fleet_problem": self.is_refused.then_some(&self.why),
            "help": self.help,
            "next": self.next,
            "running": running,
        })
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        if self.is_refused {
            push(&mut text, "the fleet file is refused, everything stays as it is:");
            self.why.lines().for_each(|line| push(&mut text, &format!("  {line}")));
        } else {
            push(&mut text, &self.why);
        }
        if let Some(help) = &self.help {
            push(&mut text, &format!("  help: {help}"));
        }
        push(&mut text, &format!("  next: {}", self.next));
        push(&mut text, &format!("{NO_DAEMON}; what Git asks for is not known"));
        for Running { stack, host, seen } in &self.running {
            push(&mut text, &format!("{stack}@{host}"));
            match seen {
                Err(why) => push(&mut text, &format!("  cannot be seen: {why}")),
                Ok(seen) => seen.iter().for_each(|one| {
                    push(&mut text, &format!("  {}  {}  {}", one.name, one.state, one.image));
                }),
            }
        }
        text
    }
}

fn running_json(one: &Running) -> Value {
    let containers = one.seen.as_ref().ok().map(|seen| {
        let all =
            seen.iter().map(|it| json!({ "name": it.name, "state": it.state, "image": it.image }));
        all.collect::<Vec<Value>>()
    });
    json!({ "stack": one.stack, "host": one.host, "containers": containers, "why": one.seen.as_ref().err() })
}
