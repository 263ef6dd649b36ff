//! A forge that is down, slow, unwilling or half gone: nobody waits for it, and in the end it shows the truth.

use std::time::Duration;

use moorline::model::CommitState::{Failure, Pending, Success};
use moorline::model::ForgeKind as Kind;
use serde_json::json;
use tokio::task::JoinSet;

use super::{KINDS, Post, QUICK, comment, settings, sha, status, until};
use crate::support::a_moment;
use crate::support::fake_forge::{FakeForge, Fault};

fn faults() -> Vec<(&'static str, Fault)> {
    let say = |message: &str| json!({ "message": message });
    vec![
        ("500", Fault::Answer(500, vec![], say("oops"))),
        ("502 in HTML", Fault::Answer(502, vec![], json!("<html>bad gateway</html>"))),
        ("429", Fault::Answer(429, vec![("retry-after", "1".to_owned())], say("slow down"))),
        (
            "secondary limit",
            Fault::Answer(
                403,
                vec![("retry-after", "1".to_owned())],
                say("You have exceeded a secondary rate limit"),
            ),
        ),
        (
            "409",
            Fault::Answer(409, vec![], say("Another update to this commit status is in progress")),
        ),
        ("hang", Fault::Hang),
        ("break", Fault::Break),
    ]
}

#[tokio::test]
async fn whatever_goes_wrong_first_the_last_word_is_right_and_said_once() {
    let mut cases = JoinSet::new();
    for kind in KINDS {
        for (name, fault) in faults().into_iter().chain([("lost answer", Fault::Lose)]) {
            cases.spawn(async move {
                assert_eq!(said_with(kind, fault).await, (1, 1), "{kind:?} with {name}");
            });
        }
    }
    while let Some(ended) = cases.join_next().await {
        ended.unwrap();
    }
}

/// Rows and comments on the forge after one status and one comment, each with a fault before.
async fn said_with(kind: Kind, fault: Fault) -> (usize, usize) {
    let forge = FakeForge::start(kind).await;
    let folder = tempfile::tempdir().unwrap();
    let commit = sha('d');
    forge.look(|world| {
        world.commits.insert(commit.to_string(), false);
        world.faults.extend([fault.clone(), fault.clone()]);
    });
    let post = Post::start(settings(&forge), QUICK, folder.path().join("posted.json")).await;
    post.say(status(&commit, "moorline/shop", Success, "in sync")).await;
    forge.look(|world| world.faults.extend([fault.clone()]));
    post.say(comment(7, "plan")).await;
    post.stop().await;
    forge
        .look(|world| (world.history(commit.as_str(), "moorline/shop").len(), world.comments.len()))
}

#[tokio::test]
async fn an_answer_that_is_lost_after_the_first_post_is_looked_up() {
    for kind in KINDS {
        let forge = FakeForge::start(kind).await;
        let folder = tempfile::tempdir().unwrap();
        let commit = sha('e');
        forge.look(|world| world.commits.insert(commit.to_string(), false));
        let post = Post::start(settings(&forge), QUICK, folder.path().join("posted.json")).await;
        post.say(status(&commit, "moorline/shop", Success, "in sync")).await;
        // GitLab looks at the commit first: that is the request that is lost there.
        forge.look(|world| world.faults.push_back(Fault::Lose));
        post.say(status(&commit, "moorline/shop", Failure, "out of sync: web-1 stopped")).await;
        post.stop().await;
        let rows = forge.look(|world| world.history(commit.as_str(), "moorline/shop"));
        let failures = rows.iter().filter(|state| state.to_lowercase().starts_with("fail")).count();
        assert_eq!(failures, 1, "{kind:?}: {rows:?}");
    }
}

#[tokio::test]
async fn a_forge_that_is_away_holds_nobody_up_and_learns_the_end_when_it_is_back() {
    for kind in KINDS {
        let mut forge = FakeForge::start(kind).await;
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (sha('1'), sha('2'));
        forge.look(|world| {
            world.commits.insert(first.to_string(), false);
            world.commits.insert(second.to_string(), false);
        });
        let settings = settings(&forge);
        forge.close().await;
        let post = Post::start(settings.clone(), QUICK, folder.path().join("posted.json")).await;
        let begun = tokio::time::Instant::now();
        for round in 0..200 {
            post.postbox.put(status(
                &first,
                "moorline/shop",
                Pending,
                &format!("deploying: {round}"),
            ));
            post.postbox.put(status(&first, "moorline/shop", Failure, &format!("failed: {round}")));
        }
        post.postbox.put(status(&first, "moorline/shop", Success, "in sync"));
        post.postbox.put(status(&second, "moorline/shop", Success, "in sync"));
        assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
        while post.postbox.condition().behind != 2 || post.postbox.condition().problem.is_none() {
            a_moment().await;
        }
        // Even a restart in between loses nothing.
        post.stop().await;
        let post = Post::start(settings, QUICK, folder.path().join("posted.json")).await;
        forge.open().await;
        until(&forge, "both commits green", |world| world.statuses.len() == 2).await;
        post.quiet().await;
        post.stop().await;
        let writes = forge.look(|world| world.writes());
        assert_eq!(writes, 2, "{kind:?}");
    }
}

#[tokio::test]
async fn a_forge_that_asks_to_wait_is_left_alone_for_that_long() {
    let forge = FakeForge::start(Kind::GitHub).await;
    let folder = tempfile::tempdir().unwrap();
    let commit = sha('f');
    forge.look(|world| {
        world.commits.insert(commit.to_string(), false);
        let wait = vec![("retry-after", "1".to_owned())];
        world.faults.push_back(Fault::Answer(429, wait, json!({ "message": "slow" })));
    });
    let post = Post::start(settings(&forge), QUICK, folder.path().join("posted.json")).await;
    let begun = tokio::time::Instant::now();
    post.say(status(&commit, "moorline", Success, "in sync")).await;
    assert!(Duration::from_millis(950) < begun.elapsed());
    assert_eq!(forge.look(|world| world.received.len()), 3, "asked, asked again, written");
    post.stop().await;
}
