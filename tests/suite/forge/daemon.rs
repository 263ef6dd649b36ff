//! The daemon between a real Git repository, a simulated Engine and each simulated forge: what people see on commits and
//! pull requests.

use std::time::{Duration, Instant};

use moorline::model::ForgeKind as Kind;
use serde_json::json;

use super::{KINDS, has_issues};
use crate::support::a_moment;
use crate::support::daemon::Harbour;
use crate::support::fake_forge::{Comment, FakeForge, Pull, Status, TOKEN, World};
use crate::support::git_servers::Daemon;

const WEB: &str = "services:\n  web:\n    image: app:v1\n    restart: always\n";
const PATIENCE: Duration = Duration::from_mins(4);

/// A daemon, its hosts, its repository on a real Git server, and a forge.
pub(super) struct Stage {
    pub(super) harbour: Harbour,
    pub(super) forge: FakeForge,
    kind: Kind,
    _git: Daemon,
}

impl Stage {
    pub(super) async fn new(kind: Kind) -> Self {
        Self::on(kind, &["local"]).await
    }

    /// The same with these hosts.
    pub(super) async fn on(kind: Kind, hosts: &[&str]) -> Self {
        let mut harbour = Harbour::new(hosts).await;
        harbour.repository.allow_filters();
        let (forge, git) = (FakeForge::start(kind).await, Daemon::start(&harbour.repository));
        let token = harbour.repository.root().join("token");
        std::fs::write(&token, format!("{TOKEN}\n")).unwrap();
        let project = forge.look(|world| world.project.clone());
        let issue = if !has_issues(kind) { "" } else { ", drift_issue: 3" };
        harbour.address = Some(git.url());
        harbour.repository_settings = format!(
            "    forge: {{kind: {}, api: \"{}\", project: {project}, token_file: {}{issue}}}\n",
            kind.word(),
            forge.url(),
            token.display()
        );
        Self { harbour, forge, kind, _git: git }
    }

    /// Commits to `main`.
    pub(super) fn push(&self, files: &[(&str, &str)], message: &str) -> String {
        let id = self.harbour.push(files, message);
        self.forge.look(|world| world.commits.insert(id.clone(), false));
        id
    }

    /// Opens pull request 7, or gives it a new head, from the commit that `main` has now.
    pub(super) fn propose(&self, files: &[(&str, &str)]) -> String {
        self.propose_without(files, &[])
    }

    /// The same, with paths that go.
    pub(super) fn propose_without(&self, files: &[(&str, &str)], gone: &[&str]) -> String {
        self.forge.look(|world| world.pulls.retain(|pull| pull.number != 7));
        self.propose_change((7, "main"), (files, gone))
    }

    /// The same on the branch of another pull request, into which it wants to be merged.
    pub(super) fn propose_on(
        &self,
        beneath: u64,
        (files, gone): (&[(&str, &str)], &[&str]),
    ) -> String {
        self.forge.look(|world| world.pulls.retain(|pull| pull.number != 7));
        self.propose_change((7, &format!("change-{beneath}")), (files, gone))
    }

    /// Opens a pull request beside those that are open.
    pub(super) fn propose_as(&self, number: u64, files: &[(&str, &str)]) -> String {
        self.propose_change((number, "main"), (files, &[]))
    }

    fn propose_change(
        &self,
        (number, on): (u64, &str),
        (files, gone): (&[(&str, &str)], &[&str]),
    ) -> String {
        let repository = &self.harbour.repository;
        let branch = if number == 7 { "change".to_owned() } else { format!("change-{number}") };
        repository.git(&["checkout", "-q", "-B", &branch, on]);
        for (path, text) in files {
            repository.write(path, text);
        }
        if !gone.is_empty() {
            repository.git(&[&["rm", "-rq"], gone].concat());
        }
        let head = repository.commit("a change");
        for name in [
            format!("refs/pull/{number}/head"),
            format!("refs/merge-requests/{number}/head"),
            format!("refs/heads/{branch}"),
        ] {
            repository.git(&["push", "-q", "--force", "origin", &format!("HEAD:{name}")]);
        }
        repository.git(&["checkout", "-q", "main"]);
        self.forge.look(|world| {
            world.commits.insert(head.clone(), false);
            let from = Some(world.project.clone());
            let pull = Pull::open(number, (&head, &branch), from);
            world.pulls.push(Pull { into: on.to_owned(), ..pull });
        });
        head
    }

    /// The words of this forge for a state of ours.
    fn word(&self, state: &str) -> &'static str {
        match (self.kind, state) {
            (Kind::GitLab, "pending") => "running",
            (Kind::GitLab, "success") => "success",
            (Kind::GitLab, _) => "failed",
            (Kind::Bitbucket, "pending") => "INPROGRESS",
            (Kind::Bitbucket, "success") => "SUCCESSFUL",
            (Kind::Bitbucket, _) => "FAILED",
            (Kind::Azure, "success") => "succeeded",
            (Kind::Azure, "failure") => "failed",
            (_, "pending") => "pending",
            (_, "success") => "success",
            (_, "failure") => "failure",
            (_, _) => "error",
        }
    }

    pub(super) async fn until(&self, what: &str, so: impl Fn(&mut World) -> bool) {
        let begun = Instant::now();
        while !self.forge.look(&so) {
            if PATIENCE < begun.elapsed() {
                let (statuses, comments) =
                    self.forge.look(|world| (world.statuses.clone(), world.comments.clone()));
                panic!("{:?}: never came: {what}\n{statuses:#?}\n{comments:#?}", self.kind);
            }
            a_moment().await;
        }
    }

    pub(super) async fn until_status(&self, sha: &str, context: &str, state: &str, words: &str) {
        let word = self.word(state);
        let told = |status: &Status| status.state == word && status.description == words;
        let what = format!("{context} of {sha}: {state} {words}");
        self.until(&what, |world| world.status(sha, context).is_some_and(told)).await;
    }

    /// Waits until the plan's status says this somewhere.
    pub(super) async fn until_plan(&self, sha: &str, state: &str, words: &str) {
        let word = self.word(state);
        let told = |status: &Status| status.state == word && status.description.contains(words);
        let what = format!("moorline/plan of {sha}: {state} {words}");
        self.until(&what, |world| world.status(sha, "moorline/plan").is_some_and(told)).await;
    }

    /// Waits until a pull request is planned, and its comment stands; gives the status.
    pub(super) async fn planned(&self, head: &str) -> (String, String) {
        let pending = self.word("pending");
        let found = |world: &mut World| {
            let status = world.status(head, "moorline/plan")?;
            (status.state != pending).then(|| (status.state.clone(), status.description.clone()))
        };
        self.until("a plan", |world| found(world).is_some()).await;
        let (state, words) = self.forge.look(found).unwrap();
        // What is said of no stack has no comment.
        if words != "nothing to do" {
            self.until_comment("plan", &format!("Head `{}`", &head[..12])).await;
        }
        (self.ours(&state), words)
    }

    /// Waits until the roll-up of a commit is its last word: not about to be deployed, nor deploying.
    pub(super) async fn until_settled(&self, sha: &str) -> (String, String) {
        let pending = self.word("pending");
        let found = |world: &mut World| {
            let status = world.status(sha, "moorline")?;
            let rests = ["suspended", "changes wait", "approv"];
            let is_last = status.state != pending
                || rests.iter().any(|word| status.description.contains(word));
            is_last.then(|| (status.state.clone(), status.description.clone()))
        };
        self.until("the last word", |world| found(world).is_some()).await;
        let (state, words) = self.forge.look(found).unwrap();
        (self.ours(&state), words)
    }

    /// Our word for a state of this forge.
    fn ours(&self, word: &str) -> String {
        let all = ["pending", "success", "failure", "error"];
        all.into_iter().find(|state| self.word(state) == word).unwrap_or(word).to_owned()
    }

    /// Merges pull request 7 into `main`, as a forge does.
    pub(super) fn merge(&self) -> String {
        self.merge_one(7)
    }

    /// Merges one, as a forge does: those that stand on its branch want into `main` from then on.
    pub(super) fn merge_one(&self, number: u64) -> String {
        let repository = &self.harbour.repository;
        let branch = if number == 7 { "change".to_owned() } else { format!("change-{number}") };
        repository.git(&["merge", "-q", "--no-ff", "-m", "merge", &branch]);
        repository.git(&["push", "-q", "origin", "HEAD:refs/heads/main"]);
        let merged = repository.git(&["rev-parse", "HEAD"]).trim().to_owned();
        self.forge.look(|world| {
            world.commits.insert(merged.clone(), false);
            for pull in &mut world.pulls {
                if pull.number == number {
                    (pull.open, pull.merged) = (false, Some(merged.clone()));
                }
                if pull.into == branch {
                    pull.into = "main".to_owned();
                }
            }
        });
        merged
    }

    /// The comment with a marker.
    pub(super) fn comment(&self, purpose: &str) -> Option<String> {
        let marker = format!("<!-- moorline:{purpose} -->");
        let found: Vec<String> = self.forge.look(|world| {
            // That of the pull request that another one stands on is not asked for.
            let mut ours: Vec<&Comment> = world.comments.iter().collect();
            ours.retain(|one| one.body.starts_with(&marker) && !one.place.ends_with("/6"));
            let ours = ours.into_iter();
            ours.map(|comment| comment.body.clone()).collect()
        });
        assert!(found.len() <= 1, "{found:#?}");
        found.into_iter().next()
    }

    pub(super) async fn until_comment(&self, purpose: &str, words: &str) {
        let marker = format!("<!-- moorline:{purpose} -->");
        self.until(&format!("{purpose}: {words}"), |world| {
            let mut comments = world.comments.iter();
            comments.any(|one| one.body.starts_with(&marker) && one.body.contains(words))
        })
        .await;
    }
}

async fn story(kind: Kind) {
    let mut stage = Stage::new(kind).await;
    let files = [("fleet.yaml", "stacks:\n  shop: {drift: report}\n"), ("shop/compose.yaml", WEB)];
    let first = stage.push(&files, "the shop");
    stage.harbour.start();
    stage.until_status(&first, "moorline/shop", "success", "in sync on 1 host").await;
    stage.until_status(&first, "moorline", "success", "1 stack in sync").await;
    assert!(stage.comment("drift").is_none(), "nothing drifted");

    // Drift to red and back.
    let restart = |name: &str| json!({ "RestartPolicy": { "Name": name, "MaximumRetryCount": 0 } });
    stage.harbour.hosts["local"].update("shop-web-1", restart("no"));
    stage
        .until("red", |world| {
            let shown = world.status(&first, "moorline/shop").unwrap();
            shown.description.starts_with("out of sync: web-1 restart")
        })
        .await;
    stage.until_status(&first, "moorline", "failure", &stage.shown(&first, "shop: ")).await;
    if has_issues(kind) {
        stage.until_comment("drift", "## Moorline: 1 stack drifted").await;
        let report = stage.comment("drift").unwrap();
        assert!(report.contains("compose.yaml:"), "{report}");
        assert!(report.contains(&first), "{report}");
    }
    stage.harbour.hosts["local"].update("shop-web-1", restart("always"));
    stage.until_status(&first, "moorline/shop", "success", "in sync on 1 host").await;
    stage.until_status(&first, "moorline", "success", "1 stack in sync").await;
    if has_issues(kind) {
        stage.until_comment("drift", "## Moorline: in sync (1 looked at)").await;
    }

    // A pull request is opened, changed, and merged.
    let second = WEB.replace("v1", "v2");
    let head = stage.propose(&[("shop/compose.yaml", &second)]);
    stage.harbour.ring();
    let words = "1 stack changes: 1 to replace";
    stage.until_plan(&head, "success", words).await;
    stage.until_comment("plan", words).await;
    let comment = stage.comment("plan").unwrap();
    assert!(comment.contains("! web-1 replaced: image app:v1 → app:v2"), "{comment}");
    assert!(comment.contains("Nothing of this pull request was executed."), "{comment}");
    assert_eq!(stage.harbour.hosts["local"].containers()[0].image, "app:v1");
    let more = format!("{second}    deploy: {{replicas: 3}}\n");
    let head = stage.propose(&[("shop/compose.yaml", &more)]);
    stage.harbour.ring();
    let words = "1 stack changes: 2 to create, 1 to replace";
    stage.until_plan(&head, "success", words).await;
    stage.until_comment("plan", words).await;
    // The base moves: the plan is the same, and the comment is left alone.
    let edits = stage.forge.look(|world| world.comment_writes());
    let other = stage.push(&[("README.md", "hello\n")], "another file");
    stage.until_status(&other, "moorline", "success", "1 stack in sync").await;
    assert_eq!(stage.forge.look(|world| world.comment_writes()), edits, "{kind:?}");
    stage.forge.look(|world| world.pulls.clear());
    let merged = stage.push(&[("shop/compose.yaml", &more)], "merged");
    stage.harbour.ring();
    stage.until_comment("plan", "## Moorline: plan withdrawn").await;
    stage.until_status(&merged, "moorline", "success", "1 stack in sync").await;
    assert_eq!(stage.harbour.containers("local").len(), 3);
    if has_issues(kind) {
        stage.until_comment("drift", &merged[..7]).await;
    }
    stage.harbour.stop().await;
    super::contract::all_described(&stage.forge, "the story from push to merge");

    // Another start looks, and says nothing.
    stage.forge.look(|world| world.received.clear());
    stage.harbour.start();
    let lists = |world: &mut World| {
        let asked = world.received.iter();
        3 <= asked.filter(|one| one.path.contains("pull") || one.path.contains("merge_req")).count()
    };
    stage.until("three looks at the list", lists).await;
    stage.harbour.stop().await;
    assert_eq!(stage.forge.look(|world| world.writes()), 0, "{kind:?}");
}

impl Stage {
    /// The words of the stack's status on the roll-up.
    fn shown(&self, sha: &str, before: &str) -> String {
        let shown = self.forge.look(|world| world.status(sha, "moorline/shop").unwrap().clone());
        format!("{before}{}", shown.description)
    }
}

#[tokio::test]
async fn github_shows_the_story_from_push_to_merge() {
    story(Kind::GitHub).await;
}

#[tokio::test]
async fn gitlab_shows_the_story_from_push_to_merge() {
    story(Kind::GitLab).await;
}

#[tokio::test]
async fn gitea_and_forgejo_show_the_story_from_push_to_merge() {
    for kind in [Kind::Gitea, Kind::Forgejo] {
        story(kind).await;
    }
}

#[tokio::test]
async fn bitbucket_shows_the_story_from_push_to_merge() {
    story(Kind::Bitbucket).await;
}

#[tokio::test]
async fn azure_shows_the_story_from_push_to_merge() {
    story(Kind::Azure).await;
    assert_eq!(KINDS.len(), 6, "each forge has its story");
}
