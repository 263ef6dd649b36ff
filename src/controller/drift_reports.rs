//! The full drift report: one comment on a designated issue, kept up to date, and closed with a word when all is healed.

use tokio_util::sync::CancellationToken;

use crate::forge::{CommentMode, Forge, Letter, Marker, Place as CommentPlace, Postbox};
use crate::model::{HostName, Revision, TreePath};
use crate::report::comment::Dialect;
use crate::report::drift_report::{self, DriftReport, Finding, StackDrift};
use crate::report::{Report, diff};

use super::board::Board;

/// Where the report is, and where the manifests are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// The issue's number.
    pub issue: u64,
    /// The folder of the repository that is taken for its root.
    pub path: &'a TreePath,
}

/// Keeps the comment at what the board says, until `stop`.
pub(super) async fn follow(
    board: &Board,
    as_host: Option<&HostName>,
    (forge, postbox): (&Forge, &Postbox),
    place: Place<'_>,
    stop: &CancellationToken,
) {
    let limits = forge.limits();
    let dialect = Dialect { limit: limits.comment, folds: limits.folds };
    let marker = Marker::new(&as_host.map_or("drift".to_owned(), |host| format!("drift {host}")));
    let mut last = None;
    loop {
        let changed = board.changed();
        if let Some((report, mode)) = of(board, forge, place.path) {
            let secrets = board.secrets();
            let body = drift_report::render(&report, dialect, &secrets);
            if last.as_ref() != Some(&body) {
                postbox.hide(&secrets);
                let place = CommentPlace::Issue(place.issue);
                let marker = marker.clone();
                postbox.put(Letter::Comment { place, marker, body: body.clone(), mode });
                last = Some(body);
            }
        }
        if stop.run_until_cancelled(changed).await.is_none() {
            return;
        }
    }
}

/// The report of the head, once every target was looked at and nothing is on its way.
fn of(board: &Board, forge: &Forge, path: &TreePath) -> Option<(DriftReport, CommentMode)> {
    let revision = board.head()?;
    let reports = board.reports();
    let settled = |report: &Report| report.revision == revision && !report.is_under_way;
    if reports.is_empty() || !reports.iter().all(settled) {
        return None;
    }
    let stacks: Vec<StackDrift> =
        reports.iter().map(|report| stack(report, forge, (path, &revision))).collect();
    let drifted = stacks.iter().any(|stack| !stack.findings.is_empty());
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
    let failure = report.failure.as_ref().map(|failure| Finding {
        text: failure.message.clone(),
        origin: None,
        link: None,
    });
    StackDrift {
        name: report.target.stack.clone(),
        host: report.target.host.clone(),
        health: report.health,
        findings: findings.chain(failure).collect(),
        diff: diff::unified(report),
    }
}
