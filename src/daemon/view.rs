//! What a running daemon tells of itself: what it knows of each target, and since when.
//!
//! Everything here is read off what the loops left on the store. Nothing is looked up, so that an answer is there at once
//! even when every host hangs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::model::{Remedy, RepositoryName, Sync, Timestamp};
use crate::reconcile::context::Context;
use crate::reconcile::host::Link;
use crate::redaction;
use crate::report::glance::{self, Detail, Glimpse};
use crate::report::{Failure, Report, Target};
use crate::state::{Doing, Known};

/// Asked from outside the daemon's own loops. Cheap to copy.
#[derive(Debug, Clone)]
pub struct View {
    started: Timestamp,
    holds: CancellationToken,
    contexts: Arc<Mutex<BTreeMap<RepositoryName, Arc<Context>>>>,
    unreadable: Arc<Mutex<BTreeMap<RepositoryName, Unreadable>>>,
}

/// Why a repository cannot be read.
#[derive(Debug, Clone)]
pub(super) struct Unreadable {
    /// Since when.
    pub(super) since: Timestamp,
    /// Why, with causes.
    pub(super) why: String,
    /// What helps; may be empty.
    pub(super) help: String,
}

impl Default for View {
    fn default() -> Self {
        Self {
            started: clock::now(),
            holds: CancellationToken::new(),
            contexts: Arc::default(),
            unreadable: Arc::default(),
        }
    }
}

impl View {
    /// The data folder is this daemon's, and nobody else's.
    pub(super) fn holds_folder(&self) {
        self.holds.cancel();
    }

    /// Resolves when the data folder is this daemon's.
    pub async fn held_folder(&self) {
        self.holds.cancelled().await;
    }

    pub(super) fn follow(&self, name: &RepositoryName, context: &Arc<Context>) {
        let mut contexts = self.contexts.lock().unwrap_or_else(PoisonError::into_inner);
        contexts.insert(name.clone(), Arc::clone(context));
    }

    /// A repository cannot be read, or can be again.
    pub(super) fn reading(&self, name: &RepositoryName, trouble: Option<Unreadable>) {
        let mut all = self.unreadable.lock().unwrap_or_else(PoisonError::into_inner);
        match trouble {
            None => drop(all.remove(name)),
            // It began with the first failure in a row.
            Some(new) => {
                let since = all.get(name).map_or(new.since, |known| known.since);
                all.insert(name.clone(), Unreadable { since, ..new });
            }
        }
    }

    fn unreadable(&self, name: &RepositoryName) -> Option<Unreadable> {
        self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn contexts(&self) -> BTreeMap<RepositoryName, Arc<Context>> {
        self.contexts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The daemon itself, its hosts, and every target: `{daemon, hosts, repositories, reports, text}`. `text` is the same
    /// for people. Without secrets.
    pub fn status(&self, all: bool) -> Value {
        let mut reports = Vec::new();
        let mut repositories = serde_json::Map::new();
        let mut text = self.head();
        for (name, context) in self.contexts() {
            let trouble = self.unreadable(&name);
            if let Some(Unreadable { since, why, help }) = &trouble {
                line(&mut text, &format!("{name}: cannot be read since {since}: {why}"));
                if !help.is_empty() {
                    line(&mut text, &format!("  help: {help}"));
                }
                line(&mut text, "  next: moorline doctor");
            }
            let Some(known) = context.store.known() else {
                line(&mut text, &format!("{name}: not read yet, for {}", age(self.started)));
                repositories.insert(name.to_string(), Value::Null);
                continue;
            };
            let own = reports_of(&known);
            text.push_str(&repository_text(&name, &known, &own, all));
            repositories.insert(
                name.to_string(),
                json!({
                    "head": known.head.revision,
                    "subject": known.head.subject,
                    "fleet_problem": known.head.fleet_problem,
                    "unreadable": trouble.map(|it| json!({ "since": it.since, "why": it.why, "help": it.help })),
                    "statuses": context.store.commit_report(None).map(|said| said.statuses),
                }),
            );
            reports.extend(own.iter().map(Report::to_json));
        }
        let (hosts, hosts_text) = self.hosts();
        // What is wrong comes first.
        let head = self.head();
        let rest = text.strip_prefix(&head).unwrap_or(&text).to_owned();
        text = format!("{head}{hosts_text}{rest}");
        let value = json!({
            "daemon": {
                "version": env!("CARGO_PKG_VERSION"),
                "pid": std::process::id(),
                "since": self.started,
            },
            "hosts": hosts,
            "repositories": repositories,
            "reports": reports,
            "text": text,
        });
        redaction::hushed_value(value)
    }

    fn head(&self) -> String {
        let pid = std::process::id();
        format!("daemon {} runs since {} (pid {pid})\n", env!("CARGO_PKG_VERSION"), self.started)
    }

    /// Hosts that cannot be reached are named; the others are only counted.
    fn hosts(&self) -> (Value, String) {
        let mut all = BTreeMap::new();
        for context in self.contexts().into_values() {
            for (name, host) in &context.hosts {
                all.insert(name.clone(), host.link().borrow().clone());
            }
        }
        let mut text = String::new();
        let value = all.iter().map(|(name, link)| {
            let (state, since, why) = match link {
                Link::Up(_) => ("up", None, None),
                Link::Connecting => ("connecting", None, None),
                Link::Down { since, failure } => ("down", Some(*since), Some(&failure.message)),
            };
            if let (Some(since), Some(why)) = (since, why) {
                line(&mut text, &format!("host {name}  out of reach since {since}: {why}"));
                line(&mut text, "  next: moorline hosts");
            }
            (name.to_string(), json!({ "state": state, "since": since, "why": why }))
        });
        let value = Value::Object(value.collect());
        (value, text)
    }

    /// What operators said beside Git, as the daemon holds it.
    pub fn orders(&self) -> Value {
        let first = self.contexts().into_values().next();
        let orders = first.map(|context| json!(**context.orders.borrow()));
        redaction::hushed_value(orders.unwrap_or(Value::Null))
    }
}

fn repository_text(name: &RepositoryName, known: &Known, reports: &[Report], all: bool) -> String {
    let head = &known.head;
    let mut text = String::new();
    if let Some(problem) = &head.fleet_problem {
        line(
            &mut text,
            &format!("{name}: the fleet file is refused, everything stays as it is: {problem}"),
        );
        line(&mut text, "  next: moorline validate");
    }
    let looked = known.targets.iter().filter_map(|(.., last)| last.as_ref()).map(|it| it.at).max();
    let reports: Vec<&Report> = reports.iter().collect();
    let few = all || reports.len() <= glance::MANY;
    let detail = if few { Detail::Replicas } else { Detail::Counts };
    let glimpse = Glimpse { repository: name, revision: &head.revision, subject: &head.subject };
    text.push_str(&glance::of_repository(glimpse, &reports, detail));
    if let Some(looked) = looked {
        line(&mut text, &format!("  last looked {} ago", age(looked)));
    }
    text
}

/// A report of each target: the last one, with what came after it.
fn reports_of(known: &Known) -> Vec<Report> {
    let of = |(target, doing, last): &(Target, Doing, Option<Arc<Report>>)| {
        let mut report = last.as_deref().cloned().unwrap_or_else(|| {
            let message = "not looked at yet".to_owned();
            let failure = Failure { message, remedy: Remedy::Retry };
            Report::failed(target.clone(), known.head.revision.clone(), clock::now(), failure)
        });
        match doing {
            Doing::Waiting(wait) => {
                if last.is_none() {
                    (report.failure, report.sync) = (None, Sync::OutOfSync);
                }
                report.wait = Some(wait.clone());
            }
            Doing::Deploying => report.is_under_way = true,
            Doing::New | Doing::Reported => {}
        }
        report
    };
    known.targets.iter().map(of).collect()
}

fn age(since: Timestamp) -> String {
    let seconds = clock::now().since(since).as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}
