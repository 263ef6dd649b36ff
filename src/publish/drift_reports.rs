//! The full drift report: one comment on a designated issue or on the deployed commit, kept up to date, and closed with
//! a word when all is healed.

use tokio_util::sync::CancellationToken;

use crate::forge::{CommentMode, Forge, Letter, Marker, Place as CommentPlace, Postbox};
use crate::model::{HostName, Revision, Sync, TreePath};
use crate::report::comment::Dialect;
use crate::report::drift_report::{self, DriftReport, Finding, StackDrift};
use crate::report::{Report, diff};

use crate::publish::carriers::Carriers;
use crate::publish::memory::SETTLE;
use crate::reconcile::store::Store;
use crate::state::Look;

/// Where the report is, and where the manifests are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The issue's number, if one carries it.
    pub issue: Option<u64>,
    /// Whether the deployed commit carries it.
    pub on_commit: bool,
    /// The folder of the repository that is taken for its root.
    pub path: &'a TreePath,
}

/// Keeps the comments at what is known, until `stop`.
pub(crate) async fn follow(
    store: &Store,
    (as_host, carriers): (Option<&HostName>, &mut Carriers),
    (forge, postbox): (&Forge, &Postbox),
    place: Place<'_>,
    stop: &CancellationToken,
) {
    let limits = forge.limits();
    if place.on_commit && !limits.comments_on_commits {
        tracing::warn!(
            host = forge.host(),
            "commits of this forge have no comments: name an issue for the drift report with `drift_issue`"
        );
    }
    let dialect = Dialect { limit: limits.comment, folds: limits.folds };
    let marker = Marker::new(&as_host.map_or("drift".to_owned(), |host| format!("drift {host}")));
    let put = |place: CommentPlace, body: String, mode: CommentMode| {
        postbox.put(Letter::Comment { place, marker: marker.clone(), body, mode });
    };
    let on_commit = place.on_commit && limits.comments_on_commits;
    let mut last: Option<(Revision, String)> = None;
    loop {
        let changed = store.changed();
        if let Some((report, mode)) = of(store, forge, place.path) {
            let secrets = store.secrets();
            let body = drift_report::render(&report, dialect, &secrets);
            let now = (report.revision, body);
            if last.as_ref() != Some(&now) {
                postbox.hide(&secrets);
                let (revision, body) = now.clone();
                if let Some(issue) = place.issue {
                    put(CommentPlace::Issue(issue), body.clone(), mode);
                }
                if on_commit {
                    if last.as_ref().is_none_or(|(before, _)| *before != revision) {
                        carriers.deploy(&revision);
                        // The book knows which of these were said already.
                        for (closed, by) in carriers.closed() {
                            let (place, farewell) =
                                (CommentPlace::Commit(closed.clone()), drift_report::overtaken(by));
                            put(place, farewell, CommentMode::OnlyUpdate);
                        }
                        carriers.keep();
                    }
                    put(CommentPlace::Commit(revision), body, mode);
                }
                last = Some(now);
            }
        }
        let settled = async {
            changed.await;
            tokio::time::sleep(SETTLE).await;
        };
        if stop.run_until_cancelled(settled).await.is_none() {
            return;
        }
    }
}

/// The report of the head, once every target was looked at or is known to wait, and nothing is on its way.
fn of(store: &Store, forge: &Forge, path: &TreePath) -> Option<(DriftReport, CommentMode)> {
    let (revision, looks) = store.looks()?;
    let stacks: Vec<StackDrift> = looks
        .iter()
        .map(|look| match look {
            Look::Report(report) => stack(report, forge, (path, &revision)),
            Look::Waits(target, why) => StackDrift {
                name: target.stack.clone(),
                host: target.host.clone(),
                health: crate::model::Health::Unknown,
                findings: Vec::new(),
                diff: String::new(),
                unknown: Some(why.clone()),
            },
        })
        .collect();
    let drifted = stacks.iter().any(StackDrift::is_drifted);
    // Where there never was drift, nothing needs to be said to be healed.
    let mode = if drifted { CommentMode::Upsert } else { CommentMode::OnlyUpdate };
    Some((DriftReport { revision, stacks }, mode))
}

fn stack(report: &Report, forge: &Forge, (path, revision): (&TreePath, &Revision)) -> StackDrift {
    let findings = report.remaining.iter().map(|drift| {
        let origin = drift.origin.as_ref();
        let link = origin.map(|origin| {
            let file = crate::compose::tree_path(&origin.file).unwrap_or(&origin.file);
            let whole = path.join(file).map_or_else(|_| file.to_owned(), |path| path.to_string());
            forge.file_link(revision, &whole, usize::try_from(origin.line).unwrap_or(1))
        });
        let text = format!("{} {}", drift.resource, drift.reason);
        Finding { text, origin: origin.map(ToString::to_string), link }
    });
    // What could not be seen, or not be read, has not drifted.
    let unknown = match &report.failure {
        Some(failure) => Some(failure.message.clone()),
        None if report.sync == Sync::Unknown => Some("could not be seen".to_owned()),
        None => None,
    };
    StackDrift {
        name: report.target.stack.clone(),
        host: report.target.host.clone(),
        health: report.health,
        findings: findings.collect(),
        diff: diff::unified(report),
        unknown,
    }
}
