//! How often a forge is asked, and how seldom it is written to.

use moorline::model::ForgeKind as Kind;

use super::daemon::Stage;
use crate::support::fake_forge::World;

const WEB: &str = "services:\n  web:\n    image: app:v1\n    restart: always\n";
/// Requests that a push may cost while this many pull requests are open.
const MOST: usize = 30;
const OPEN: u64 = 24;

/// A shop that is in sync, and two dozen pull requests, each with its plan.
async fn two_dozen(kind: Kind) -> Stage {
    let mut stage = Stage::new(kind).await;
    let fleet = ("fleet.yaml", "stacks: {shop: {}}\n");
    let base = stage.push(&[("shop/compose.yaml", WEB), fleet], "the shop");
    stage.harbour.start();
    stage.until_status(&base, "moorline", "success", "1 stack in sync").await;
    let mut heads = Vec::new();
    for number in 1..=OPEN {
        let text = format!("{WEB}    environment: {{NUMBER: \"{number}\"}}\n");
        heads.push(stage.propose_as(number, &[("shop/compose.yaml", &text)]));
    }
    stage.harbour.ring();
    for head in &heads {
        stage.until_plan(head, "success", "1 stack changes").await;
    }
    stage.until("a comment each", |world| bodies(world).len() == heads.len()).await;
    stage
}

/// What the comments on pull requests say.
fn bodies(world: &World) -> Vec<String> {
    let comments = world.comments.iter().map(|comment| comment.body.clone());
    comments.filter(|body| body.contains("moorline:plan")).collect()
}

/// Requests but for those that list pull requests, which come by the clock.
fn requests(world: &World) -> Vec<String> {
    let all = world.received.iter().map(|one| format!("{} {}", one.method, one.path));
    let ends = ["/pulls", "/merge_requests", "/pullrequests", "/pullRequests"];
    let is_list = |it: &String| it.starts_with("GET ") && ends.iter().any(|end| it.ends_with(end));
    all.filter(|it| !is_list(it)).collect()
}

async fn costs_little(kind: Kind) {
    let mut stage = two_dozen(kind).await;
    let before = stage.forge.look(|world| {
        world.received.clear();
        (bodies(world), world.statuses.len())
    });
    // A new base that changes nothing of any plan.
    let pushed = stage.push(&[("README.md", "hello\n")], "words");
    stage.harbour.ring();
    stage.until_status(&pushed, "moorline", "success", "1 stack in sync").await;
    // One that changes a word of each: when that is said of the last, nothing else is on its way.
    let files = [("fleet.yaml", "stacks: {shop: {}, store: {}}\n"), ("store/compose.yaml", WEB)];
    let next = stage.push(&files, "another stack");
    stage.harbour.ring();
    let so = |body: &String| body.contains("1 other stack is not touched");
    stage.until("each is renewed", |world| bodies(world).iter().all(so)).await;
    stage.until_status(&next, "moorline", "success", "2 stacks in sync").await;
    let (asked, statuses) = stage.forge.look(|world| (requests(world), world.statuses.len()));
    let edits = before.0.len();
    // What is said of the two commits themselves: read once, then a roll-up and its stacks, each twice at most, and the
    // report of drift.
    let own = asked.iter().filter(|it| it.contains(&pushed) || it.contains(&next)).count();
    assert!(own <= 2 * 8 && asked.len() <= edits + own + 4, "{kind:?}: {asked:#?}");
    assert!(asked.len() - edits <= MOST - 2, "{kind:?}: {asked:#?}");
    let of_plans = stage.forge.look(|world| {
        let new = world.statuses.iter().skip(before.1);
        new.filter(|status| status.context == "moorline/plan").count()
    });
    assert_eq!((of_plans, statuses - before.1 <= 10), (0, true), "{kind:?}: {asked:#?}");
    stage.harbour.stop().await;
}

#[tokio::test]
async fn a_push_beside_two_dozen_pull_requests_costs_few_requests_and_no_needless_write() {
    // One that makes merge results of its own, and one that makes none.
    tokio::join!(costs_little(Kind::GitHub), costs_little(Kind::Gitea));
}
