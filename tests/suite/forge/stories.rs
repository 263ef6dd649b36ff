//! From push to green, drift to red and back, a pull request from opened to closed, over each forge.

use moorline::forge::{CommentMode, Letter, Marker, Place};
use moorline::model::CommitState::{Error, Failure, Pending, Success};
use moorline::model::ForgeKind as Kind;

use super::{KINDS, Post, QUICK, comment, settings, sha, status};
use crate::support::fake_forge::FakeForge;

fn word(kind: Kind, state: moorline::model::CommitState) -> &'static str {
    match (kind, state) {
        (Kind::GitLab, Pending) => "running",
        (Kind::GitLab, Success) => "success",
        (Kind::GitLab, Failure | Error) => "failed",
        (Kind::Bitbucket, Pending) => "INPROGRESS",
        (Kind::Bitbucket, Success) => "SUCCESSFUL",
        (Kind::Bitbucket, Failure | Error) => "FAILED",
        (Kind::Azure, Success) => "succeeded",
        (Kind::Azure, Failure) => "failed",
        (_, Pending) => "pending",
        (_, Success) => "success",
        (_, Failure) => "failure",
        (_, Error) => "error",
    }
}

#[tokio::test]
async fn each_forge_shows_the_story_of_a_commit_and_of_a_pull_request() {
    for kind in KINDS {
        let forge = FakeForge::start(kind).await;
        let folder = tempfile::tempdir().unwrap();
        let memory = folder.path().join("posted.json");
        let (commit, head) = (sha('a'), sha('b'));
        forge.look(|world| {
            world.commits.insert(commit.to_string(), true);
            world.commits.insert(head.to_string(), false);
        });
        let post = Post::start(settings(&forge), QUICK, memory.clone()).await;
        let story = [
            (Pending, "deploying: 2 steps"),
            (Success, "in sync on 2 hosts"),
            (Failure, "out of sync: web-2 stopped"),
            (Pending, "starting web-2"),
            (Pending, "starting web-2, 1 to go"),
            (Success, "in sync on 2 hosts"),
            (Error, "cannot look: edge-1 is not reachable"),
            (Success, "in sync on 2 hosts"),
        ];
        for (state, words) in story {
            post.say(status(&commit, "moorline/shop", state, words)).await;
            let shown =
                forge.look(|world| world.status(commit.as_str(), "moorline/shop").unwrap().clone());
            assert_eq!(shown.state, word(kind, state), "{kind:?}: {words}");
            // GitLab cannot change the words of a status that is under way.
            if !(kind == Kind::GitLab && words.ends_with("to go")) {
                assert_eq!(shown.description, words, "{kind:?}");
            }
        }
        post.say(status(&commit, "moorline", Success, "2 stacks in sync")).await;
        post.say(status(&head, "moorline/plan", Success, "1 stack changes: 1 to replace")).await;
        post.say(comment(7, "## first plan")).await;
        post.say(comment(7, "## second plan")).await;
        let bodies = |forge: &FakeForge| {
            forge.look(|world| world.comments.iter().map(|c| c.body.clone()).collect::<Vec<_>>())
        };
        assert_eq!(bodies(&forge), ["<!-- moorline:plan -->\n## second plan"], "{kind:?}");
        post.say(comment(7, "## withdrawn")).await;
        assert_eq!(bodies(&forge), ["<!-- moorline:plan -->\n## withdrawn"], "{kind:?}");
        post.stop().await;

        // The second start says the same things again, and not one request is sent.
        forge.look(|world| world.received.clear());
        let last = [
            status(&commit, "moorline/shop", Success, "in sync on 2 hosts"),
            status(&commit, "moorline", Success, "2 stacks in sync"),
            status(&head, "moorline/plan", Success, "1 stack changes: 1 to replace"),
            comment(7, "## withdrawn"),
        ];
        let again = Post::start(settings(&forge), QUICK, memory.clone()).await;
        for letter in last.clone() {
            again.say(letter).await;
        }
        again.stop().await;
        assert_eq!(forge.look(|world| world.received.len()), 0, "{kind:?}");

        // The third has lost its memory: it reads, and writes nothing.
        std::fs::remove_file(&memory).unwrap();
        let forgetful = Post::start(settings(&forge), QUICK, memory).await;
        for letter in last {
            forgetful.say(letter).await;
        }
        forgetful.stop().await;
        let (writes, reads) = forge.look(|world| (world.writes(), world.received.len()));
        assert_eq!(writes, 0, "{kind:?}");
        assert!((1..=6).contains(&reads), "{kind:?}: {reads} requests");
    }
}

#[tokio::test]
async fn a_hundred_passes_without_a_change_send_nothing() {
    for kind in KINDS {
        let forge = FakeForge::start(kind).await;
        let folder = tempfile::tempdir().unwrap();
        let commit = sha('c');
        forge.look(|world| world.commits.insert(commit.to_string(), false));
        let post = Post::start(settings(&forge), QUICK, folder.path().join("posted.json")).await;
        let pass = || [status(&commit, "moorline/shop", Success, "in sync"), comment(3, "plan")];
        for letter in pass() {
            post.say(letter).await;
        }
        forge.look(|world| world.received.clear());
        for _ in 0..100 {
            for letter in pass() {
                post.postbox.put(letter);
            }
        }
        post.quiet().await;
        post.stop().await;
        assert_eq!(forge.look(|world| world.received.len()), 0, "{kind:?}");
    }
}

#[tokio::test]
async fn a_plan_that_was_never_shown_is_not_withdrawn() {
    let forge = FakeForge::start(Kind::Gitea).await;
    let folder = tempfile::tempdir().unwrap();
    let post = Post::start(settings(&forge), QUICK, folder.path().join("posted.json")).await;
    let farewell = Letter::Comment {
        place: Place::PullRequest(9),
        marker: Marker::new("plan"),
        body: "withdrawn".to_owned(),
        mode: CommentMode::OnlyUpdate,
    };
    post.say(farewell).await;
    assert_eq!(forge.look(|world| world.comments.len()), 0);
    post.stop().await;
}

#[tokio::test]
async fn a_deleted_comment_is_made_again_and_a_strangers_is_left_alone() {
    for kind in KINDS {
        let forge = FakeForge::start(kind).await;
        let folder = tempfile::tempdir().unwrap();
        forge.look(|world| {
            world.comments.push(crate::support::fake_forge::Comment {
                id: 5,
                place: "issues/7".to_owned(),
                author: "mallory".to_owned(),
                body: "<!-- moorline:plan -->\n## nothing to see".to_owned(),
            });
        });
        let post = Post::start(settings(&forge), QUICK, folder.path().join("posted.json")).await;
        post.say(comment(7, "one")).await;
        forge.look(|world| world.comments.retain(|comment| comment.author == "mallory"));
        post.say(comment(7, "two")).await;
        let shown = forge.look(|world| world.comments.clone());
        let said: Vec<_> = shown
            .iter()
            .map(|comment| (comment.author.as_str(), comment.body.contains("two")))
            .collect();
        assert_eq!(said, [("mallory", false), ("moorline-bot", true)], "{kind:?}");
        post.stop().await;
    }
}

#[tokio::test]
async fn the_last_word_before_leaving_is_still_said() {
    let forge = FakeForge::start(Kind::GitHub).await;
    let folder = tempfile::tempdir().unwrap();
    let commit = sha('9');
    forge.look(|world| world.commits.insert(commit.to_string(), false));
    let slow = moorline::forge::Pace { settle: std::time::Duration::from_mins(1), ..QUICK };
    let post = Post::start(settings(&forge), slow, folder.path().join("posted.json")).await;
    post.postbox.put(status(&commit, "moorline/shop", Pending, "deploying"));
    post.stop().await;
    assert_eq!(forge.look(|world| world.history(commit.as_str(), "moorline/shop")), ["pending"]);
}
