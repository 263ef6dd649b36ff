//! How often a forge is asked, and how seldom it is written to.

use std::time::Duration;

use moorline::model::ForgeKind as Kind;

use super::daemon::Stage;
use crate::support::stays;

const WEB: &str = "services:\n  web:\n    image: app:v1\n    restart: always\n";
/// Requests that a push may cost while this many pull requests are open.
const MOST: usize = 30;
const OPEN: u64 = 24;

#[tokio::test]
async fn a_push_beside_two_dozen_pull_requests_costs_few_requests_and_no_needless_write() {
    let mut stage = Stage::new(Kind::Gitea).await;
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
    stage
        .until("a comment each", |world| world.comments.len() == usize::try_from(OPEN).unwrap())
        .await;
    stage.forge.look(|world| world.received.clear());
    // A new base that changes nothing of any plan.
    let pushed = stage.push(&[("README.md", "hello\n")], "words");
    stage.harbour.ring();
    stage.until_status(&pushed, "moorline", "success", "1 stack in sync").await;
    let quiet = || {
        stage.forge.look(|world| {
            let writes = world.received.iter().filter(|request| request.is_write()).count();
            // The statuses of the new commit: its roll-up and its stack, each pending and done at most.
            writes <= 4 && world.received.len() <= MOST
        })
    };
    stays("few requests, and none that writes of a plan", Duration::from_secs(5), quiet).await;
    let of_plans = stage.forge.look(|world| {
        let mut writes = world.received.iter().filter(|request| request.is_write());
        writes.any(|request| request.path.contains("comments") || !request.path.contains(&pushed))
    });
    assert!(!of_plans, "something of a pull request was written although nothing changed");
    stage.harbour.stop().await;
}
