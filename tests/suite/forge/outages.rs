//! The forge is away, slow or unwilling; unknown; or curious. Deploys go on, and the last word is right.

use std::time::{Duration, Instant};

use moorline::model::ForgeKind as Kind;
use serde_json::json;

use super::daemon::Stage;
use crate::support::fake_forge::Fault;
use crate::support::{a_moment, stays};

const WEB: &str = "services:\n  web:\n    image: app:v1\n    restart: always\n";

/// Pushes, and waits until it runs. Returns the commit and how long it took.
async fn deploy(stage: &Stage, version: &str) -> (String, Duration) {
    let began = Instant::now();
    let commit = stage.push(&[("shop/compose.yaml", &WEB.replace("v1", version))], version);
    stage.harbour.ring();
    let image = format!("app:{version}");
    stage
        .harbour
        .until(&image, |it| {
            let all = it.hosts["local"].containers();
            all.len() == 1 && all[0].image == image && all[0].state == "running"
        })
        .await;
    (commit, began.elapsed())
}

/// A deployment beside a forge that fails, against one beside a forge that does not.
async fn deploys_go_on(kind: Kind) {
    let limited = Fault::Answer(429, vec![("retry-after", "3".to_owned())], json!({}));
    let faults = [
        Fault::Answer(500, vec![], json!({ "message": "oops" })),
        limited,
        Fault::Hang,
        Fault::Break,
    ];
    for fault in faults {
        let mut stage = Stage::new(kind).await;
        // What hangs is given up sooner than usual.
        stage.harbour.repository_settings.push_str("    timeout: 2s\n");
        stage.push(&[("README.md", "hello\n"), ("shop/compose.yaml", WEB)], "the shop");
        stage.forge.look(|world| world.standing_fault = Some(fault.clone()));
        stage.harbour.start();
        stage.harbour.until("it runs", |it| it.containers("local").len() == 1).await;
        let mut last = String::new();
        for version in ["v2", "v3", "v4"] {
            let (commit, took) = deploy(&stage, version).await;
            assert!(took < Duration::from_secs(10), "{fault:?}: {took:?}");
            last = commit;
        }
        assert_eq!(stage.forge.look(|world| world.statuses.len()), 0);
        stage.forge.look(|world| world.standing_fault = None);
        stage.until_status(&last, "moorline/shop", "success", "in sync on 1 host").await;
        stage.until_status(&last, "moorline", "success", "1 stack in sync").await;
        // What was overtaken while the forge was away is told too, and nothing is left pending.
        stage.harbour.stop().await;
        stage.forge.look(|world| {
            let open = world.statuses.iter().filter(|one| {
                let newest = world.status(&one.sha, &one.context);
                newest.is_some_and(|newest| PENDING.contains(&newest.state.as_str()))
            });
            assert_eq!(open.count(), 0, "{kind:?}, {fault:?}: {:?}", world.statuses);
        });
    }
}

const PENDING: [&str; 3] = ["pending", "running", "INPROGRESS"];

#[tokio::test]
async fn deploys_go_on_at_full_speed_whatever_github_does() {
    deploys_go_on(Kind::GitHub).await;
}

#[tokio::test]
async fn deploys_go_on_at_full_speed_whatever_gitlab_does() {
    deploys_go_on(Kind::GitLab).await;
}

#[tokio::test]
async fn deploys_go_on_at_full_speed_whatever_gitea_and_forgejo_do() {
    for kind in [Kind::Gitea, Kind::Forgejo] {
        deploys_go_on(kind).await;
    }
}

#[tokio::test]
async fn deploys_go_on_at_full_speed_whatever_bitbucket_does() {
    deploys_go_on(Kind::Bitbucket).await;
}

#[tokio::test]
async fn a_forge_that_refuses_connections_is_told_when_it_is_back() {
    let mut stage = Stage::new(Kind::GitHub).await;
    stage.push(&[("README.md", "hello\n"), ("shop/compose.yaml", WEB)], "the shop");
    stage.forge.close().await;
    stage.harbour.start();
    let (commit, _) = deploy(&stage, "v2").await;
    // The daemon leaves, and another one comes: what was not said is remembered.
    stage.harbour.stop().await;
    stage.harbour.start();
    stage.forge.open().await;
    stage.until_status(&commit, "moorline", "success", "1 stack in sync").await;
    stage.harbour.stop().await;
}

#[tokio::test]
async fn a_hundred_changes_that_change_nothing_write_nothing() {
    let mut stage = Stage::new(Kind::GitHub).await;
    let base =
        stage.push(&[("fleet.yaml", "stacks: {shop: {}}\n"), ("shop/compose.yaml", WEB)], "shop");
    stage.harbour.start();
    stage.until_status(&base, "moorline", "success", "1 stack in sync").await;
    let head = stage.propose(&[("shop/compose.yaml", &WEB.replace("v1", "v2"))]);
    stage.harbour.ring();
    let words = "1 stack changes: 1 to replace";
    stage.until_plan(&head, "success", words).await;
    stage.until_comment("plan", words).await;
    stage.forge.look(|world| world.received.clear());
    stage.harbour.hosts["local"].clear_calls();
    let restart = json!({ "RestartPolicy": { "Name": "always", "MaximumRetryCount": 0 } });
    for _ in 0..100 {
        // An event, and so a pass; and a look at the branch and the list.
        stage.harbour.hosts["local"].update("shop-web-1", restart.clone());
        stage.harbour.ring();
        a_moment().await;
    }
    let silent = || stage.forge.look(|world| world.writes() == 0);
    stays("nothing new is said", Duration::from_secs(4), silent).await;
    let done: Vec<String> =
        stage.harbour.hosts["local"].changes().iter().map(|call| call.words()).collect();
    // What the host is to remember of the first success may still have been under way: once, and never again.
    let (ledgers, others): (Vec<&String>, Vec<&String>) =
        done.iter().partition(|words| words.contains("moorline-ledger-"));
    assert!(others.is_empty() && ledgers.len() <= 1, "{done:?}");
    stage.harbour.stop().await;
}

/// The repository's settings without a kind.
fn without_kind(stage: &mut Stage, kind: Kind) {
    let settings = &mut stage.harbour.repository_settings;
    *settings = settings.replace(&format!("kind: {}, ", kind.word()), "");
    assert!(!settings.contains("kind"), "{settings}");
}

#[tokio::test]
async fn a_forge_of_ones_own_is_recognised_by_asking_it() {
    for kind in [Kind::GitHub, Kind::GitLab, Kind::Gitea, Kind::Forgejo] {
        let mut stage = Stage::new(kind).await;
        without_kind(&mut stage, kind);
        let base = stage.push(&[("README.md", "hello\n"), ("shop/compose.yaml", WEB)], "the shop");
        // It is away at first.
        stage.forge.close().await;
        stage.harbour.start();
        stage.harbour.until("it runs", |it| it.containers("local").len() == 1).await;
        stage.forge.open().await;
        stage.until_status(&base, "moorline", "success", "1 stack in sync").await;
        stage.harbour.stop().await;
    }
}

#[tokio::test]
async fn an_unknown_server_is_an_error_and_gets_neither_token_nor_notes() {
    let mut stage = Stage::new(Kind::Gitea).await;
    without_kind(&mut stage, Kind::Gitea);
    let nothing = Fault::Answer(404, vec![], json!({ "error": "what is this?" }));
    stage.forge.look(|world| world.standing_fault = Some(nothing));
    let base = stage.push(&[("README.md", "hello\n"), ("shop/compose.yaml", WEB)], "the shop");
    stage.harbour.start();
    stage.harbour.until("it runs", |it| it.containers("local").len() == 1).await;
    let silent = || stage.harbour.notes(&base).is_empty();
    stays("no notes are written", Duration::from_secs(3), silent).await;
    stage.harbour.stop().await;
    stage.forge.look(|world| {
        assert!(!world.received.is_empty());
        assert!(world.received.iter().all(|one| one.token.is_none() && one.method == "GET"));
    });
    let (setup, stop) = (stage.harbour.setup(), tokio_util::sync::CancellationToken::new());
    let checks = moorline::oneshot::doctor::examine(&setup, &stop).await.unwrap();
    let bad: Vec<_> = checks
        .iter()
        .filter(|check| check.grade == moorline::oneshot::doctor::Grade::Bad)
        .collect();
    assert_eq!(bad.len(), 1, "{checks:#?}");
    assert!(bad[0].text.contains("set `forge.kind`"), "{bad:?}");
    // Whoever asks for the state of things sees it too, until it is well.
    let settings = stage.harbour.repository.root().join("moorline.yaml");
    std::fs::write(&settings, stage.harbour.settings_text()).unwrap();
    let status = async || {
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_moorline"))
            .args(["status", "--settings"])
            .arg(&settings)
            .output()
            .await
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let said = status().await;
    assert!(said.contains("forge of fleet  since "), "{said}");
    assert!(said.contains("nothing is said on commits: cannot tell which forge"), "{said}");
    stage.forge.look(|world| world.standing_fault = None);
    stage.harbour.start();
    stage.until_status(&base, "moorline", "success", "1 stack in sync").await;
    stage.harbour.stop().await;
    let said = status().await;
    assert!(said.contains("shop@local") && !said.contains("forge of fleet"), "{said}");
}

#[tokio::test]
async fn the_doctor_names_the_missing_right() {
    use moorline::oneshot::doctor::{Check, Grade, examine};
    for (kind, missing) in
        [(Kind::GitHub, "statuses"), (Kind::GitLab, "Developer"), (Kind::Gitea, "write")]
    {
        let stage = Stage::new(kind).await;
        stage.push(&[("shop/compose.yaml", WEB)], "the shop");
        let look = || async {
            let stop = tokio_util::sync::CancellationToken::new();
            examine(&stage.harbour.setup(), &stop).await.unwrap()
        };
        let checks = look().await;
        assert!(checks.iter().all(|check| check.grade != Grade::Bad), "{checks:#?}");
        let has = |checks: &[Check], about: &str, words: &str| {
            checks.iter().any(|check| check.about == about && check.text.contains(words))
        };
        assert!(has(&checks, "repository fleet", "main of git://"), "{checks:#?}");
        assert!(has(&checks, "host local", "answers"), "{checks:#?}");
        stage.forge.look(|world| {
            world.rights.statuses = false;
            world.rights.comments = false;
        });
        let checks = look().await;
        let told = checks.iter().find(|check| check.text.starts_with("writing commit statuses"));
        let told = told.unwrap_or_else(|| panic!("{checks:#?}"));
        assert!(told.grade == Grade::Good || told.text.contains(missing), "{kind:?}: {told:?}");
        assert!(kind == Kind::GitHub || told.grade != Grade::Good, "{kind:?}: {told:?}");
    }
}
