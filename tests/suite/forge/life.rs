//! What a commit is told over its life: few writes, each of them true for longer than a moment.

use std::time::Duration;

use moorline::model::ForgeKind as Kind;

use super::daemon::Stage;
use crate::support::fake_engine::Behaviour;
use crate::support::stays;

/// Writes of one context of one commit.
const MOST: usize = 4;
/// What must not flip has that long to flip.
const WATCHED: Duration = Duration::from_secs(4);

const WEB: &str = "services:\n  web:\n    image: app:v1\n    restart: always\n";

/// A stage on which services are watched as they are for users, only for less long.
async fn stage(hosts: &[&str]) -> Stage {
    let mut stage = Stage::on(Kind::Gitea, hosts).await;
    stage.harbour.more = "limits: {watch: 500ms}\n".to_owned();
    stage
}

/// Everything that one context of a commit was told, in order: `pending deploying`.
fn told(stage: &Stage, sha: &str, context: &str) -> Vec<String> {
    stage.forge.look(|world| {
        let own = world.statuses.iter().filter(|it| it.sha == sha && it.context == context);
        own.map(|it| format!("{} {}", it.state, it.description)).collect()
    })
}

fn few(stage: &Stage, sha: &str) -> bool {
    ["moorline/shop", "moorline"].iter().all(|context| told(stage, sha, context).len() <= MOST)
}

fn is_never(stage: &Stage, sha: &str, state: &str) -> bool {
    !told(stage, sha, "moorline/shop").iter().any(|said| said.starts_with(state))
}

#[tokio::test]
async fn a_crash_loop_is_red_at_once_and_stays_so_and_is_told_in_few_words() {
    let mut stage = stage(&["local"]).await;
    let crashes = Behaviour { ends: Some((Duration::from_millis(300), 3)), ..Behaviour::default() };
    stage.harbour.hosts["local"].behave("web", crashes);
    let sha = stage.push(&[("shop/compose.yaml", WEB)], "the shop");
    stage.harbour.start();
    stage
        .until("red", |world| {
            world.status(&sha, "moorline/shop").is_some_and(|it| it.state == "failure")
        })
        .await;
    stays("red, and quiet", WATCHED, || {
        let last = told(&stage, &sha, "moorline/shop").pop().unwrap_or_default();
        last.starts_with("failure") && few(&stage, &sha) && is_never(&stage, &sha, "success")
    })
    .await;
    // A failure is overtaken as a failure.
    let words = told(&stage, &sha, "moorline/shop").pop();
    stage.harbour.hosts["local"].behave("web", Behaviour::default());
    let next = stage.push(&[("shop/compose.yaml", &WEB.replace("v1", "v2"))], "better");
    stage.until_status(&next, "moorline/shop", "success", "in sync on 1 host").await;
    assert_eq!(told(&stage, &sha, "moorline/shop").pop(), words);
    assert!(few(&stage, &next), "{:?}", told(&stage, &next, "moorline/shop"));
    stage.harbour.stop().await;
}

#[tokio::test]
async fn a_slow_good_release_is_pending_until_it_is_green() {
    let mut stage = stage(&["local"]).await;
    let slow = Behaviour { health_hangs: true, ..Behaviour::default() };
    stage.harbour.hosts["local"].behave("web", slow);
    let web = format!("{WEB}    healthcheck: {{test: [CMD, \"true\"], start_period: 10m}}\n");
    let sha = stage.push(&[("shop/compose.yaml", &web)], "slow");
    stage.harbour.start();
    let waiting = "deploying: waiting for web";
    stage.until_status(&sha, "moorline/shop", "pending", waiting).await;
    stays("pending", Duration::from_secs(2), || is_never(&stage, &sha, "success")).await;
    stage.harbour.hosts["local"].set_health("shop-web-1", "healthy");
    stage.until_status(&sha, "moorline/shop", "success", "in sync on 1 host").await;
    stage.until_status(&sha, "moorline", "success", "1 stack in sync").await;
    assert!(few(&stage, &sha) && is_never(&stage, &sha, "failure"));
    stage.harbour.stop().await;
}

#[tokio::test]
async fn what_is_suspended_is_pending_and_is_deployed_when_it_is_resumed() {
    let mut stage = stage(&["local"]).await;
    let first = stage.push(&[("shop/compose.yaml", WEB)], "first");
    stage.harbour.start();
    stage.until_status(&first, "moorline/shop", "success", "in sync on 1 host").await;
    let (code, ..) = stage.harbour.command(&["suspend", "shop", "--reason", "audit"]).await;
    assert_eq!(code, 0);
    let held = stage.push(&[("shop/compose.yaml", &WEB.replace("v1", "v2"))], "held");
    stage
        .until("suspended", |world| {
            let status = world.status(&held, "moorline/shop");
            status.is_some_and(|it| it.state == "pending" && it.description.contains("audit"))
        })
        .await;
    stays("held, and quiet", Duration::from_secs(2), || {
        few(&stage, &held) && is_never(&stage, &held, "failure")
    })
    .await;
    // Overtaken while it is held, it was never tried: that is no failure.
    let next = stage.push(&[("shop/compose.yaml", &WEB.replace("v1", "v3"))], "next");
    let words = format!("superseded by {} while it was held", &next[..12]);
    stage.until_status(&held, "moorline/shop", "pending", &words).await;
    let (code, ..) = stage.harbour.command(&["resume", "shop"]).await;
    assert_eq!(code, 0);
    stage.until_status(&next, "moorline/shop", "success", "in sync on 1 host").await;
    for sha in [&held, &next] {
        assert!(few(&stage, sha), "{:?}", told(&stage, sha, "moorline/shop"));
        assert!(is_never(&stage, sha, "failure"));
    }
    stage.harbour.stop().await;
}

#[tokio::test]
async fn what_a_window_holds_is_pending_until_the_window_is_lifted() {
    let mut stage = stage(&["local"]).await;
    let shut = "windows: [{deny: \"* * * * *\", for: 1h}]\n";
    let first = stage.push(&[("shop/compose.yaml", WEB)], "first");
    stage.harbour.start();
    stage.until_status(&first, "moorline/shop", "success", "in sync on 1 host").await;
    let files = [("fleet.yaml", shut_fleet(shut)), ("shop/compose.yaml", WEB.replace("v1", "v2"))];
    let files: Vec<(&str, &str)> =
        files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let held = stage.push(&files, "held");
    stage
        .until("held", |world| {
            world.status(&held, "moorline/shop").is_some_and(|it| it.state == "pending")
        })
        .await;
    stays("held, and quiet", Duration::from_secs(2), || {
        few(&stage, &held)
            && is_never(&stage, &held, "success")
            && is_never(&stage, &held, "failure")
    })
    .await;
    let lifted = stage.push(&[("fleet.yaml", "stacks: {shop: {}}\n")], "lifted");
    stage.until_status(&lifted, "moorline/shop", "success", "in sync on 1 host").await;
    assert!(few(&stage, &lifted) && is_never(&stage, &lifted, "failure"));
    // It asks for the same: what becomes of it there is told here too.
    stage.until_status(&held, "moorline/shop", "success", "in sync on 1 host").await;
    assert!(few(&stage, &held), "{:?}", told(&stage, &held, "moorline/shop"));
    stage.harbour.stop().await;
}

fn shut_fleet(windows: &str) -> String {
    format!("stacks: {{shop: {{}}}}\n{windows}")
}
