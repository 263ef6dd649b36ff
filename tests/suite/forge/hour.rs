//! A forge that is away for an hour, in a time that is advanced by hand: how often it is asked, and that everything is
//! said when it is back.

use std::cell::Cell;
use std::time::Duration;

use moorline::forge::{Pace, Postbox};
use moorline::model::CommitState::{Pending, Success};
use moorline::model::ForgeKind as Kind;
use moorline::model::{Revision, Timestamp};
use serde_json::json;

use super::{Post, clock, settings, status};
use crate::support::fake_forge::{FakeForge, Fault};
use crate::support::{a_moment, until};

thread_local! {
    /// By how much the courier's clock is ahead. A test and all that it starts are on one thread.
    static AHEAD: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

fn ahead() -> Timestamp {
    clock().plus(AHEAD.get())
}

fn advance(by: Duration) {
    AHEAD.set(AHEAD.get() + by);
}

const HOUR: Duration = Duration::from_hours(1);
/// Between two commits.
const BETWEEN: Duration = Duration::from_mins(5);

/// What goes wrong for an hour, and how often the forge may be asked meanwhile.
struct Outage {
    name: &'static str,
    fault: Option<Fault>,
    /// The longest pause between two tries, and the least number of tries.
    longest: Duration,
    tries: std::ops::RangeInclusive<usize>,
}

fn outages() -> Vec<Outage> {
    let minute = Duration::from_secs(60);
    let message = json!({ "message": "oops" });
    let wait = |seconds: &str| vec![("retry-after", seconds.to_owned())];
    let of = |name, fault| Outage { name, fault, longest: minute, tries: 55..=140 };
    let asked = |name, fault, seconds, tries| Outage {
        name,
        fault: Some(fault),
        longest: Duration::from_secs(seconds),
        tries,
    };
    vec![
        of("500", Some(Fault::Answer(500, vec![], message.clone()))),
        of("hangs", Some(Fault::Hang)),
        of("closes half-way", Some(Fault::Break)),
        of("refuses connections", None),
        asked("429", Fault::Answer(429, wait("120"), message.clone()), 120, 25..=40),
        asked("503", Fault::Answer(503, wait("600"), message), 600, 6..=16),
    ]
}

fn commit(number: u32) -> Revision {
    Revision::parse(&format!("{number:040x}")).unwrap()
}

/// Puts what a daemon would say of a commit again, which also wakes the courier.
fn say(postbox: &Postbox, number: u32) {
    for context in ["moorline", "moorline/shop"] {
        postbox.put(status(&commit(number), context, Success, "in sync"));
    }
}

/// Waits until the courier was refused and rests; gives for how long.
async fn rest(postbox: &Postbox, name: &str) -> Duration {
    let resting = || postbox.condition().paused_until.filter(|until| ahead() < *until);
    let mut found = None;
    until(&format!("{name}: the courier rests"), || {
        found = resting();
        found.is_some()
    })
    .await;
    found.unwrap().since(ahead())
}

async fn away_for_an_hour(kind: Kind) {
    for Outage { name, fault, longest, tries } in outages() {
        let what = format!("{kind:?}, {name}");
        AHEAD.set(Duration::ZERO);
        let mut forge = FakeForge::start(kind).await;
        let folder = tempfile::tempdir().unwrap();
        forge.look(|world| {
            world.commits = (1..=12).map(|one| (commit(one).to_string(), false)).collect();
            world.standing_fault = fault.clone();
        });
        let mut settings = settings(&forge);
        (settings.clock, settings.patience) = (ahead, Duration::from_millis(150));
        if fault.is_none() {
            forge.close().await;
        }
        let post = Post::start(settings, Pace::default(), folder.path().join("posted.json")).await;
        let (mut commits, mut asked) = (0, 0);
        while AHEAD.get() < HOUR {
            // Meanwhile one commit after the other is deployed.
            while BETWEEN * commits <= AHEAD.get() && commits < 12 {
                commits += 1;
                post.postbox.put(status(&commit(commits), "moorline", Pending, "deploying"));
                say(&post.postbox, commits);
            }
            let pause = rest(&post.postbox, &what).await;
            assert!(pause <= longest, "{what}: {pause:?}");
            asked += 1;
            advance(pause + Duration::from_millis(1));
            say(&post.postbox, commits);
        }
        assert_eq!(commits, 12);
        assert!(tries.contains(&asked), "{what}: asked {asked} times");
        assert_eq!(forge.look(|world| world.statuses.len()), 0);
        // It is back.
        forge.look(|world| {
            world.standing_fault = None;
            world.received.clear();
        });
        if fault.is_none() {
            forge.open().await;
        }
        let back = AHEAD.get();
        while !post.postbox.is_quiet() {
            assert!(AHEAD.get() - back < longest + Duration::from_mins(2), "{what}: too slow");
            advance(Duration::from_millis(500));
            say(&post.postbox, commits);
            a_moment().await;
        }
        post.stop().await;
        forge.look(|world| {
            for number in 1..=12 {
                for context in ["moorline", "moorline/shop"] {
                    let rows = world.history(commit(number).as_str(), context);
                    assert_eq!(rows.len(), 1, "{what}: {context} of {number}: {rows:?}");
                    assert!(rows[0].to_lowercase().starts_with("success"), "{what}: {rows:?}");
                }
            }
            assert_eq!(world.writes(), 24, "{what}");
        });
    }
}

#[tokio::test]
async fn github_away_for_an_hour_is_asked_once_a_minute_and_then_told_everything() {
    away_for_an_hour(Kind::GitHub).await;
}

#[tokio::test]
async fn gitlab_away_for_an_hour_is_asked_once_a_minute_and_then_told_everything() {
    away_for_an_hour(Kind::GitLab).await;
}

#[tokio::test]
async fn gitea_away_for_an_hour_is_asked_once_a_minute_and_then_told_everything() {
    away_for_an_hour(Kind::Gitea).await;
}

#[tokio::test]
async fn forgejo_away_for_an_hour_is_asked_once_a_minute_and_then_told_everything() {
    away_for_an_hour(Kind::Forgejo).await;
}

#[tokio::test]
async fn bitbucket_away_for_an_hour_is_asked_once_a_minute_and_then_told_everything() {
    away_for_an_hour(Kind::Bitbucket).await;
}
