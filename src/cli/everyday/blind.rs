//! `moorline status` where the repository cannot be read: why, what to do, and what runs all the same.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde_json::json;

use crate::cli::options::Chosen;
use crate::cli::output::{Format, show};
use crate::model::HostName;
use crate::oneshot::{self, OnceError};

/// What `status` begins with where nobody else knows.
pub(in crate::cli) const NO_DAEMON: &str = "no daemon runs with this data folder; looked just now";

/// What is known all the same.
pub(in crate::cli) struct Blind {
    why: String,
    help: Option<String>,
    next: &'static str,
    /// Containers that run, and all of them, by stack and host.
    stacks: BTreeMap<(String, HostName), (usize, usize)>,
    unseen: BTreeMap<HostName, String>,
}

/// Looks at the hosts alone.
pub(in crate::cli) async fn look(chosen: &Chosen, error: OnceError) -> anyhow::Result<Blind> {
    let (help, next) = match &error {
        OnceError::Fleet { .. } => (error.help(), "moorline validate"),
        OnceError::Git { .. } | OnceError::Start(_) | OnceError::NoStack { .. } => {
            (error.help(), "moorline doctor")
        }
    };
    let why = format!("{:#}", anyhow::Error::from(error));
    let mut blind = Blind { why, help, next, stacks: BTreeMap::new(), unseen: BTreeMap::new() };
    for (host, engine) in oneshot::connect(&chosen.setup).await? {
        let seen = match engine {
            Ok(engine) => engine.found_containers().await.map_err(|error| error.to_string()),
            Err(failure) => Err(failure.message),
        };
        let found = match seen {
            Ok(found) => found,
            Err(why) => {
                blind.unseen.insert(host, why);
                continue;
            }
        };
        for container in found {
            let Some(stack) = container.stack else { continue };
            let is_meant = chosen.wish.stacks.is_empty()
                || chosen.wish.stacks.iter().any(|name| name.as_str() == stack);
            if is_meant {
                let (up, all) = blind.stacks.entry((stack, host.clone())).or_default();
                *up += usize::from(container.running);
                *all += 1;
            }
        }
    }
    Ok(blind)
}

impl Blind {
    /// Tells it. What could not be looked at is no success.
    pub(in crate::cli) fn tell(self, format: Format) -> anyhow::Result<ExitCode> {
        let running = || -> Vec<serde_json::Value> {
            let all = self.stacks.iter();
            all.map(|((stack, host), (up, all))| {
                json!({ "stack": stack, "host": host, "running": up, "containers": all })
            })
            .collect()
        };
        let value = || {
            json!({
                "daemon": null,
                "reports": [],
                "problem": self.why,
                "help": self.help,
                "next": self.next,
                "running": running(),
                "unseen": self.unseen,
            })
        };
        show(format, value, || self.text())?;
        Ok(ExitCode::FAILURE)
    }

    fn text(&self) -> String {
        let mut text = String::new();
        push(&mut text, self.why.as_str());
        if let Some(help) = &self.help {
            push(&mut text, &format!("  help: {help}"));
        }
        push(&mut text, &format!("  next: {}", self.next));
        push(&mut text, &format!("{NO_DAEMON}; what Git asks for is not known"));
        for (host, why) in &self.unseen {
            push(&mut text, &format!("host {host}  cannot be seen: {why}"));
        }
        for ((stack, host), (up, all)) in &self.stacks {
            push(&mut text, &format!("  {stack}@{host}  {up} of {all} containers run"));
        }
        text
    }
}

fn push(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}
