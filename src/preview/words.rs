//! What is said on a pull request: the status `moorline/plan` of its head, and its comment.

use crate::compose::tree_path;
use crate::forge::{CommentMode, Forge, Letter, Marker, Place, Postbox, PullRequest, StatusTarget};
use crate::model::{CommitState, HostName, Location, Revision, TreePath};
use crate::report::Target;
use crate::report::comment::{self, Dialect, PlanComment};
use crate::report::mask::SecretSet;
use crate::report::status;

/// How it is said on one forge.
pub(crate) struct Words {
    forge: Forge,
    /// The folder of the repository that is taken for its root.
    path: TreePath,
    postbox: Postbox,
    dialect: Dialect,
    context: String,
    marker: Marker,
}

impl Words {
    /// The words of a forge; daemons that keep one host each have a status and a comment each.
    pub(crate) fn new(
        forge: &Forge,
        path: &TreePath,
        postbox: Postbox,
        as_host: Option<&HostName>,
    ) -> Self {
        let (context, marker) = match as_host {
            None => ("moorline/plan".to_owned(), Marker::new("plan")),
            Some(host) => (format!("moorline/plan@{host}"), Marker::new(&format!("plan {host}"))),
        };
        let dialect = dialect(forge);
        let (forge, path) = (forge.clone(), path.clone());
        Self { forge, path, postbox, dialect, context, marker }
    }

    /// Secrets to take out of everything from now on.
    pub(crate) fn hide(&self, secrets: &SecretSet) {
        self.postbox.hide(secrets);
    }

    /// A new head is seen, and its plan is on its way.
    pub(crate) fn planning(&self, request: &PullRequest, head: &Revision) {
        self.status(request, head, (CommitState::Pending, "planning …"));
    }

    /// Its first plan waits for a deployment that is on its way.
    pub(crate) fn waits(&self, request: &PullRequest, head: &Revision, busy: &Target) {
        let words = format!("planned once {busy} is deployed");
        self.status(request, head, (CommitState::Pending, &words));
    }

    /// The plan. A pull request that touches no stack gets no comment, unless it has one. Gives what the comment says.
    pub(crate) fn say(
        &self,
        request: &PullRequest,
        head: &Revision,
        plan: &PlanComment,
        secrets: &SecretSet,
    ) -> Option<String> {
        let (state, words) = plan.status();
        self.status(request, head, (state, &words));
        let link = links(&self.forge, &self.path, head);
        let body = comment::plan(plan, self.dialect, &link, secrets);
        let silent = plan.is_silent();
        let mode = if silent { CommentMode::OnlyUpdate } else { CommentMode::Upsert };
        self.comment(request.number, body.clone(), mode);
        (!silent).then_some(body)
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

    /// What became of a merged pull request; the plan that was shown stays, folded.
    pub(crate) fn outcome(
        &self,
        number: u64,
        said: (&str, &str),
        shown: &str,
        secrets: &SecretSet,
    ) {
        let body = comment::outcome(said, shown, self.dialect, secrets);
        self.comment(number, body, CommentMode::OnlyUpdate);
    }

    fn status(&self, request: &PullRequest, head: &Revision, (state, words): (CommitState, &str)) {
        // A fork's branch is not one of the repository's.
        let branch = (!request.fork).then(|| request.head_branch.clone());
        let pull_request = Some(request.number);
        let target = StatusTarget { revision: head.clone(), branch, pull_request };
        let mut status = status::line_of(self.context.clone(), state, words);
        // There is the comment.
        status.link = Some(self.forge.pull_link(request.number));
        self.postbox.put(Letter::Status { target, status });
    }

    fn comment(&self, number: u64, body: String, mode: CommentMode) {
        let (place, marker) = (Place::PullRequest(number), self.marker.clone());
        self.postbox.put(Letter::Comment { place, marker, body, mode });
    }
}

/// What a forge's comments may be.
pub(crate) fn dialect(forge: &Forge) -> Dialect {
    let limits = forge.limits();
    Dialect { limit: limits.comment, folds: limits.folds }
}

/// The page of a manifest's place at a commit.
pub(crate) fn links<'a>(
    forge: &'a Forge,
    path: &'a TreePath,
    revision: &'a Revision,
) -> impl Fn(&Location) -> Option<String> + 'a {
    move |at| {
        let file = tree_path(&at.file).unwrap_or(&at.file);
        let whole = path.join(file).map_or_else(|_| file.to_owned(), |path| path.to_string());
        let line = usize::try_from(at.line).unwrap_or(1).max(1);
        Some(forge.file_link(revision, &whole, line))
    }
}
