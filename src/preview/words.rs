//! What is said on a pull request: the status `moorline/plan` of its head, and its comment.

use crate::forge::{CommentMode, Forge, Letter, Marker, Place, Postbox, PullRequest, StatusTarget};
use crate::model::{CommitState, HostName, Revision};
use crate::report::comment::{self, Dialect, PlanComment};
use crate::report::mask::SecretSet;
use crate::report::status;

/// How it is said on one forge.
pub(crate) struct Words {
    postbox: Postbox,
    dialect: Dialect,
    context: String,
    marker: Marker,
}

impl Words {
    /// The words of a forge; daemons that keep one host each have a status and a comment each.
    pub(crate) fn new(forge: &Forge, postbox: Postbox, as_host: Option<&HostName>) -> Self {
        let limits = forge.limits();
        let (context, marker) = match as_host {
            None => ("moorline/plan".to_owned(), Marker::new("plan")),
            Some(host) => (format!("moorline/plan@{host}"), Marker::new(&format!("plan {host}"))),
        };
        let dialect = Dialect { limit: limits.comment, folds: limits.folds };
        Self { postbox, dialect, context, marker }
    }

    /// Secrets to take out of everything from now on.
    pub(crate) fn hide(&self, secrets: &SecretSet) {
        self.postbox.hide(secrets);
    }

    /// The plan. A pull request that touches no stack gets no comment, unless it has one.
    pub(crate) fn say(
        &self,
        request: &PullRequest,
        head: &Revision,
        plan: &PlanComment,
        secrets: &SecretSet,
    ) {
        let (state, words) = plan.status();
        self.status(request, head, (state, &words));
        let silent = plan.stacks.is_empty() && plan.refused.is_empty();
        let mode = if silent { CommentMode::OnlyUpdate } else { CommentMode::Upsert };
        self.comment(request.number, comment::plan(plan, self.dialect, secrets), mode);
    }

    /// There never was a plan, and there cannot be one now.
    pub(crate) fn cannot(&self, request: &PullRequest, head: &Revision, why: &str) {
        let words = format!("cannot be planned: {why}");
        self.status(request, head, (CommitState::Error, &words));
    }

    /// The plan no longer counts.
    pub(crate) fn withdraw(&self, number: u64, why: &str) {
        let body = comment::withdrawn(why, &SecretSet::default());
        self.comment(number, body, CommentMode::OnlyUpdate);
    }

    fn status(&self, request: &PullRequest, head: &Revision, (state, words): (CommitState, &str)) {
        // A fork's branch is not one of the repository's.
        let branch = (!request.fork).then(|| request.head_branch.clone());
        let pull_request = Some(request.number);
        let target = StatusTarget { revision: head.clone(), branch, pull_request };
        let status = status::line_of(self.context.clone(), state, words);
        self.postbox.put(Letter::Status { target, status });
    }

    fn comment(&self, number: u64, body: String, mode: CommentMode) {
        let (place, marker) = (Place::PullRequest(number), self.marker.clone());
        self.postbox.put(Letter::Comment { place, marker, body, mode });
    }
}
