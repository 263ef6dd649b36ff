//! Pull requests: what their plans say, and what planning does not do.

use std::time::Duration;

use moorline::model::ForgeKind as Kind;
use serde_json::json;

use super::KINDS;
use super::daemon::Stage;
use crate::support::fake_engine::{FakeEngine, Options};
use crate::support::stays;

const WEB: &str = "services:\n  web:\n    image: app:v1\n    restart: always\n";

async fn shop(kind: Kind) -> (Stage, String) {
    let stage = Stage::new(kind).await;
    let base = stage
        .push(&[("shop/compose.yaml", WEB), ("fleet.yaml", "stacks: {shop: {}}\n")], "the shop");
    (stage, base)
}

async fn settled(kind: Kind) -> (Stage, String) {
    let (mut stage, base) = shop(kind).await;
    stage.harbour.start();
    stage.until_status(&base, "moorline", "success", "1 stack in sync").await;
    (stage, base)
}

#[tokio::test]
async fn a_conflict_is_said_and_names_the_file() {
    let (mut stage, _) = settled(Kind::Gitea).await;
    let head = stage.propose(&[("shop/compose.yaml", &WEB.replace("v1", "v2"))]);
    let base = stage.push(&[("shop/compose.yaml", &WEB.replace("v1", "v3"))], "another version");
    stage.harbour.ring();
    let words = "cannot be planned: conflicts with the target branch in shop/compose.yaml";
    stage.until_plan(&head, "failure", words).await;
    stage.until_comment("plan", "conflicts with the target branch").await;
    stage.until_status(&base, "moorline", "success", "1 stack in sync").await;
    stage.harbour.stop().await;
}

#[tokio::test]
async fn what_a_pull_request_allows_itself_is_said_first_and_is_what_happens() {
    let mut stage = Stage::new(Kind::GitHub).await;
    let store = format!("{WEB}    volumes: [data:/data]\nvolumes: {{data: {{}}}}\n");
    let files = [("fleet.yaml", "stacks: {shop: {}}\n"), ("shop/compose.yaml", store.as_str())];
    let base = stage.push(&files, "a shop with data");
    stage.harbour.start();
    stage.until_status(&base, "moorline", "success", "1 stack in sync").await;
    let greedy = "stacks: {shop: {prune: {volumes: true}, adopt: true}}\n";
    stage.propose(&[("fleet.yaml", greedy), ("shop/compose.yaml", WEB)]);
    stage.harbour.ring();
    stage.until_comment("plan", "prune.volumes is switched on").await;
    let comment = stage.comment("plan").unwrap();
    let first = |words: &str| comment.find(words).unwrap_or_else(|| panic!("{words}: {comment}"));
    assert!(first("adopt is switched on") < first("volume shop\\_data is removed with its data"));
    assert!(comment.contains("remove volume shop_data"), "{comment}");
    assert!(comment.starts_with("<!-- moorline:plan -->\n## Moorline: 🔴 **Danger**"), "{comment}");
    // What was said is what happens.
    let merged = stage.merge();
    stage.harbour.ring();
    stage.until_status(&merged, "moorline", "success", "1 stack in sync").await;
    let mut left = stage.harbour.hosts["local"].volumes().into_keys();
    assert!(left.all(|name| name.starts_with("moorline-ledger-")));
    stage.until_comment("plan", "deployed in").await;
    let comment = stage.comment("plan").unwrap();
    assert!(comment.contains("volume shop\\_data is removed with its data"), "{comment}");
    stage.harbour.stop().await;
}

#[tokio::test]
async fn a_refused_manifest_fails_with_its_file_and_line() {
    let (mut stage, _) = settled(Kind::Forgejo).await;
    let head = stage.propose(&[("shop/compose.yaml", "services:\n  web:\n    imag: app:v2\n")]);
    stage.harbour.ring();
    stage.until_plan(&head, "failure", "1 stack refused: ").await;
    stage.until_comment("plan", "shop/compose.yaml:").await;
    let head = stage.propose(&[("fleet.yaml", "stacks: {shop: {hosts: [nowhere]}}\n")]);
    stage.harbour.ring();
    stage
        .until("the fleet file is refused", |world| {
            let shown = world.status(&head, "moorline/plan");
            shown.is_some_and(|it| it.state == "failure" && it.description.contains("fleet.yaml:"))
        })
        .await;
    stage.harbour.stop().await;
}

#[tokio::test]
async fn a_pull_request_that_touches_no_stack_gets_a_status_and_no_comment() {
    let (mut stage, _) = settled(Kind::GitLab).await;
    let head = stage.propose(&[("README.md", "hello\n")]);
    stage.harbour.ring();
    stage.until_plan(&head, "success", "nothing to do").await;
    let none = || stage.comment("plan").is_none();
    stays("there is no comment", Duration::from_secs(4), none).await;
    stage.harbour.stop().await;
}

#[tokio::test]
async fn new_and_vanished_stacks_are_planned_too() {
    let (mut stage, _) = settled(Kind::Gitea).await;
    let files = [("fleet.yaml", "stacks: {store: {}}\n"), ("store/compose.yaml", WEB)];
    let head = stage.propose(&files);
    stage.harbour.ring();
    let words = "2 stacks change: 2 to create, 2 to remove";
    stage.until_plan(&head, "success", words).await;
    stage.until_comment("plan", "the stack is no longer in the repository").await;
    let comment = stage.comment("plan").unwrap();
    assert!(comment.contains("the stack is new here"), "{comment}");
    stage.harbour.stop().await;
}

#[tokio::test]
async fn a_spread_stack_is_planned_where_its_replicas_would_sit() {
    let mut stage = Stage::new(Kind::GitHub).await;
    for host in ["east", "west"] {
        stage.harbour.hosts.insert(host.to_owned(), FakeEngine::start(Options::default()).await);
    }
    let spread =
        |replicas: u32| format!("{WEB}    deploy: {{mode: replicated, replicas: {replicas}}}\n");
    let fleet = ("fleet.yaml", "stacks: {shop: {hosts: all}}\n");
    let base = stage.push(&[("shop/compose.yaml", &spread(3)), fleet], "three");
    stage.harbour.start();
    stage.until_status(&base, "moorline", "success", "1 stack in sync").await;
    let head = stage.propose(&[("shop/compose.yaml", &spread(6))]);
    stage.harbour.ring();
    stage.until_plan(&head, "success", "1 stack changes: 3 to create").await;
    // A stack that nothing is known of yet is looked for, and spread as well.
    let store = ("store/compose.yaml", &*spread(2));
    let both = "stacks: {shop: {hosts: all}, store: {hosts: all}}\n";
    let head = stage.propose(&[store, ("fleet.yaml", both), ("shop/compose.yaml", &spread(3))]);
    stage.harbour.ring();
    let words = "1 stack changes: 4 to create";
    stage.until_plan(&head, "success", words).await;
    stage.until_comment("plan", "store-web-2").await;
    stage.harbour.stop().await;
}

#[tokio::test]
async fn a_host_that_vanishes_makes_the_plan_stale_and_its_return_fresh() {
    let (mut stage, base) = shop(Kind::Gitea).await;
    stage.harbour.host_settings = ", timeout: 2s".to_owned();
    stage.harbour.start();
    stage.until_status(&base, "moorline", "success", "1 stack in sync").await;
    let head = stage.propose(&[("shop/compose.yaml", &WEB.replace("v1", "v2"))]);
    stage.harbour.ring();
    let words = "1 stack changes: 1 to replace";
    stage.until_plan(&head, "success", words).await;
    let host: &FakeEngine = &stage.harbour.hosts["local"];
    host.stop_answering_after(0);
    host.cut_connections();
    let stale = "the plan is stale: a host cannot be seen now";
    // Silence shows with the first call that changes something; a stopped container asks for one.
    host.stop("shop-web-1");
    stage.until_plan(&head, "error", stale).await;
    stage.until_comment("plan", "This plan is stale").await;
    assert!(stage.comment("plan").unwrap().contains("1 to replace"));
    stage.harbour.hosts["local"].revive();
    stage.until_plan(&head, "success", words).await;
    stage
        .until("fresh again", |world| {
            world.comments.iter().all(|comment| !comment.body.contains("This plan is stale"))
        })
        .await;
    stage.harbour.stop().await;
}

#[tokio::test]
async fn planning_changes_nothing_on_the_host_and_asks_no_registry() {
    let (mut stage, _) = settled(Kind::GitHub).await;
    stage.harbour.hosts["local"].clear_calls();
    let bad = "services:\n  web:\n    image: registry.invalid/evil:latest\n    pull_policy: always\n    build: .\n  job: {image: app:v1, pre_start: [{command: [sh]}]}\n";
    let files = [("shop/compose.yaml", bad), ("shop/Dockerfile", "FROM scratch\nRUN evil\n")];
    stage.propose(&files);
    stage.harbour.ring();
    stage
        .until("a plan", |world| world.statuses.iter().any(|one| one.context == "moorline/plan"))
        .await;
    let host = &stage.harbour.hosts["local"];
    // What the deployment before has the host remember may come late.
    let is_ledger = |path: &str| path.contains("/volumes/");
    let changes: Vec<_> =
        host.changes().into_iter().filter(|call| !is_ledger(&call.path)).collect();
    assert!(changes.is_empty(), "{changes:?}");
    let asked: Vec<_> =
        host.calls().into_iter().filter(|call| call.path.contains("/distribution/")).collect();
    assert!(asked.is_empty(), "{asked:?}");
    stage.harbour.stop().await;
}

#[tokio::test]
async fn the_hosts_change_and_so_does_the_plan() {
    let mut stage = Stage::new(Kind::Gitea).await;
    let files = [("fleet.yaml", "stacks: {shop: {drift: report}}\n"), ("shop/compose.yaml", WEB)];
    let base = stage.push(&files, "the shop");
    stage.harbour.start();
    stage.until_status(&base, "moorline", "success", "1 stack in sync").await;
    let scaled = format!("{WEB}    deploy: {{replicas: 2}}\n");
    let head = stage.propose(&[("shop/compose.yaml", &scaled)]);
    stage.harbour.ring();
    stage.until_plan(&head, "success", "1 stack changes: 1 to create").await;
    let restart = json!({ "RestartPolicy": { "Name": "no", "MaximumRetryCount": 0 } });
    stage.harbour.hosts["local"].update("shop-web-1", restart);
    stage.until_comment("plan", "held: web-1 restart changed").await;
    stage.harbour.stop().await;
}

#[tokio::test]
async fn a_plan_of_many_stacks_stays_below_the_forges_limit() {
    let mut stage = Stage::new(Kind::GitHub).await;
    let base = stage.push(&[("README.md", "hello\n"), ("a/compose.yaml", WEB)], "one stack");
    stage.harbour.start();
    stage.until_status(&base, "moorline", "success", "1 stack in sync").await;
    let names: Vec<String> =
        (0..150).map(|number| format!("stack-{number:03}/compose.yaml")).collect();
    // No two are alike: those that are would be shown once.
    let text = |number: usize| {
        let service = |n| format!("  service-{n}-of-{number}: {{image: \"app:v1\"}}\n");
        let services: String = (0..8).map(service).collect();
        format!("services:\n{services}")
    };
    let texts: Vec<String> = (0..150).map(text).collect();
    let files: Vec<(&str, &str)> =
        names.iter().map(String::as_str).zip(texts.iter().map(String::as_str)).collect();
    let head = stage.propose(&files);
    stage.harbour.ring();
    let words = "150 stacks change: 1350 to create";
    stage.until_plan(&head, "success", words).await;
    stage.until_comment("plan", "too long for a comment").await;
    assert!(stage.comment("plan").unwrap().len() <= 65_536);
    stage.harbour.stop().await;
}

/// What each forge takes in one comment, in characters.
fn limit(kind: Kind) -> usize {
    match kind {
        Kind::GitHub => 65_536,
        Kind::Bitbucket => 32_768,
        Kind::Azure => 150_000,
        Kind::GitLab | Kind::Gitea | Kind::Forgejo => 1_000_000,
    }
}

#[tokio::test]
async fn a_plan_of_500_services_stays_below_each_forges_limit() {
    for kind in KINDS {
        let mut stage = Stage::new(kind).await;
        let base = stage.push(&[("README.md", "hello\n"), ("a/compose.yaml", WEB)], "one stack");
        stage.harbour.start();
        stage.until_status(&base, "moorline", "success", "1 stack in sync").await;
        let service = |number: usize| {
            format!(
                "  service-{number:03}:\n    image: app:v1\n    environment:\n      GREETING: \"{}\"\n",
                "hello ".repeat(40)
            )
        };
        let services: String = (0..500).map(service).collect();
        let text = format!("services:\n{services}");
        let head = stage.propose(&[("large/compose.yaml", &text)]);
        stage.harbour.ring();
        let words = "1 stack changes: 501 to create";
        stage.until_plan(&head, "success", words).await;
        stage.until_comment("plan", words).await;
        let comment = stage.comment("plan").unwrap();
        let (most, units) = (limit(kind), comment.encode_utf16().count());
        assert!(comment.len() <= most && units <= most, "{kind:?}: {} bytes", comment.len());
        // The verdict, the table and what the plan was made of are there whatever is left out.
        for part in
            ["| large on local |", "Head `", "plan `", "Nothing of this pull request was executed."]
        {
            assert!(comment.contains(part), "{kind:?}: no {part:?} in\n{comment}");
        }
        assert_eq!(comment.matches("<details>").count(), comment.matches("</details>").count());
        assert_eq!(comment.matches("\n```").count() % 2, 0, "{kind:?}: a fence stays open");
        let whole = comment.contains("create large-service-499-1");
        let is_cut = comment.contains("too long for a comment");
        assert!(whole != is_cut, "{kind:?}: whole {whole}, and said to be cut {is_cut}");
        stage.harbour.stop().await;
    }
}
