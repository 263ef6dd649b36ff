//! The drift report on the commit that is deployed.

use moorline::model::ForgeKind as Kind;
use serde_json::json;

use super::daemon::Stage;
use crate::support::{comes, stays};

const WEB: &str = "services:\n  web:\n    image: app:v1\n    restart: always\n";

async fn report_on_the_commit(kind: Kind) {
    let mut stage = Stage::new(kind).await;
    let settings = stage.harbour.repository_settings.replace(", drift_issue: 3", "");
    stage.harbour.repository_settings = settings.replace("}\n", ", drift_on_commit: true}\n");
    let files = [("fleet.yaml", "stacks:\n  shop: {drift: report}\n"), ("shop/compose.yaml", WEB)];
    let first = stage.push(&files, "the shop");
    stage.harbour.start();
    stage.until_status(&first, "moorline", "success", "1 stack in sync").await;
    assert!(stage.comment("drift").is_none(), "nothing drifted");
    let restart = |name: &str| json!({ "RestartPolicy": { "Name": name, "MaximumRetryCount": 0 } });
    let of = |sha: &str, words: &str| {
        let (place, words) = (format!("commits/{sha}"), words.to_owned());
        move |world: &mut crate::support::fake_forge::World| {
            let mut there = world.comments.iter().filter(|comment| comment.place == place);
            there.clone().count() == 1
                && there.all(|comment| {
                    comment.body.starts_with("<!-- moorline:drift -->")
                        && comment.body.contains(&words)
                })
        }
    };
    stage.harbour.hosts["local"].update("shop-web-1", restart("no"));
    stage.until("drifted", of(&first, "## Moorline: 1 stack drifted")).await;
    let report = stage.comment("drift").unwrap();
    assert!(report.contains("\"sync\": \"out-of-sync\""), "{report}");
    assert!(report.contains(&format!("{first}/shop/compose.yaml#")), "{report}");
    assert!(report.contains("+restart"), "{report}");
    // Another start finds it again.
    stage.harbour.stop().await;
    stage.forge.look(|world| world.received.clear());
    stage.harbour.start();
    stage.harbour.hosts["local"].update("shop-web-1", restart("always"));
    stage.until("healed", of(&first, "## Moorline: in sync (1 looked at)")).await;
    // It drifts again, and then another commit is deployed.
    stage.harbour.hosts["local"].update("shop-web-1", restart("no"));
    stage.until("drifted again", of(&first, "## Moorline: 1 stack drifted")).await;
    let second = stage.push(&[("shop/compose.yaml", &WEB.replace("v1", "v2"))], "second");
    stage.harbour.ring();
    stage.until_status(&second, "moorline", "success", "1 stack in sync").await;
    stage.until("closed", of(&first, "## Moorline: closed")).await;
    let places = stage.forge.look(|world| world.comments.len());
    assert_eq!(places, 1, "the second commit never drifted");
    // A third one overtakes it while nobody looks.
    stage.harbour.hosts["local"].update("shop-web-1", restart("no"));
    stage.until("drifted", of(&second, "## Moorline: 1 stack drifted")).await;
    stage.harbour.stop().await;
    let third = stage.push(&[("shop/compose.yaml", &WEB.replace("v1", "v3"))], "third");
    stage.harbour.start();
    stage.until_status(&third, "moorline", "success", "1 stack in sync").await;
    let words = format!("## Moorline: closed\n\nCommit `{}` is deployed now.", &third[..12]);
    stage.until("closed", of(&second, &words)).await;
    let by_second = format!("Commit `{}` is deployed now.", &second[..12]);
    stage.until("still closed by the second", of(&first, &by_second)).await;
    stage.harbour.stop().await;
    super::contract::all_described(&stage.forge, "the drift report on commits");
    // Another start has nothing to add.
    stage.forge.look(|world| world.received.clear());
    stage.harbour.start();
    stage.until("two looks", |world| 2 <= world.received.len()).await;
    stage.harbour.stop().await;
    assert_eq!(stage.forge.look(|world| world.writes()), 0, "{kind:?}");
}

#[tokio::test]
async fn the_deployed_commit_carries_the_report_where_commits_have_comments() {
    for kind in [Kind::GitHub, Kind::GitLab, Kind::Bitbucket] {
        report_on_the_commit(kind).await;
    }
}

#[tokio::test]
async fn a_forge_whose_commits_have_no_comments_is_asked_for_none() {
    let mut stage = Stage::new(Kind::Forgejo).await;
    let settings = stage.harbour.repository_settings.replace(", drift_issue: 3", "");
    stage.harbour.repository_settings = settings.replace("}\n", ", drift_on_commit: true}\n");
    let files = [("fleet.yaml", "stacks:\n  shop: {drift: report}\n"), ("shop/compose.yaml", WEB)];
    let first = stage.push(&files, "the shop");
    stage.harbour.start();
    stage.until_status(&first, "moorline", "success", "1 stack in sync").await;
    stage.harbour.hosts["local"].stop("shop-web-1");
    stage.until("red", |world| world.status(&first, "moorline").unwrap().state == "failure").await;
    stage.harbour.stop().await;
    let asked = stage
        .forge
        .look(|world| world.received.iter().filter(|one| one.path.contains("comments")).count());
    assert_eq!(asked, 0);
}

#[tokio::test]
async fn a_daemon_that_starts_while_a_pass_speaks_deploys_at_once_and_speaks_after_it() {
    let mut stage = Stage::new(Kind::GitHub).await;
    let files = [("fleet.yaml", "stacks: {shop: {drift: report}}\n"), ("shop/compose.yaml", WEB)];
    let first = stage.push(&files, "the shop");
    let locks = stage.harbour.repository.data().join("locks");
    std::fs::create_dir_all(&locks).unwrap();
    let writer = std::fs::File::create(locks.join("forge.fleet.lock")).unwrap();
    writer.lock().unwrap();
    stage.harbour.start();
    stage.harbour.until("it runs", |it| it.containers("local").len() == 1).await;
    let silent = || stage.forge.look(|world| world.received.is_empty());
    stays("only one speaks", std::time::Duration::from_secs(2), silent).await;
    writer.unlock().unwrap();
    stage.until_status(&first, "moorline", "success", "1 stack in sync").await;
    stage.harbour.stop().await;
    assert_eq!(stage.forge.look(|world| world.history(&first, "moorline")), ["success"]);
}

#[tokio::test]
async fn two_passes_of_the_command_line_speak_one_after_the_other() {
    let stage = Stage::new(Kind::Gitea).await;
    let blog = ("blog/compose.yaml", "services:\n  web:\n    image: app:v1\n");
    let first = stage.push(&[("shop/compose.yaml", WEB), blog], "two stacks");
    let settings = stage.harbour.repository.root().join("moorline.yaml");
    std::fs::write(&settings, stage.harbour.settings_text()).unwrap();
    let locks = stage.harbour.repository.data().join("locks");
    std::fs::create_dir_all(&locks).unwrap();
    let writer = std::fs::File::create(locks.join("forge.fleet.lock")).unwrap();
    writer.lock().unwrap();
    let sync = tokio::process::Command::new(env!("CARGO_BIN_EXE_moorline"))
        .args(["sync", "--settings"])
        .arg(&settings)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    stage.harbour.until("it runs", |it| it.containers("local").len() == 2).await;
    let silent = || stage.forge.look(|world| world.writes() == 0);
    stays("only one speaks", std::time::Duration::from_secs(1), silent).await;
    writer.unlock().unwrap();
    let output = sync.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    stage.until_status(&first, "moorline", "success", "2 stacks in sync").await;
}

#[tokio::test]
async fn a_pass_of_the_command_line_beside_the_daemon_leaves_the_words_to_it() {
    let mut stage = Stage::new(Kind::GitHub).await;
    let files = [("fleet.yaml", "stacks: {shop: {drift: report}}\n"), ("shop/compose.yaml", WEB)];
    let first = stage.push(&files, "the shop");
    let settings = stage.harbour.repository.root().join("moorline.yaml");
    std::fs::write(&settings, stage.harbour.settings_text()).unwrap();
    stage.harbour.start();
    stage.until_status(&first, "moorline", "success", "1 stack in sync").await;
    let asked = |stage: &Stage| {
        stage
            .forge
            .look(|world| world.received.iter().filter(|one| !one.path.ends_with("/pulls")).count())
    };
    // What the daemon says of its start is said.
    let mut last = asked(&stage);
    while comes(|| asked(&stage) != last, std::time::Duration::from_secs(1)).await {
        last = asked(&stage);
    }
    let before = asked(&stage);
    // Whoever speaks without this memory reads the forge first.
    let memory = stage.harbour.repository.data().join("forge/fleet.json");
    let sync = async || {
        std::fs::remove_file(&memory).unwrap();
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_moorline"))
            .args(["sync", "--settings"])
            .arg(&settings)
            .output()
            .await
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
    };
    sync().await;
    assert_eq!(asked(&stage), before);
    // Alone, it speaks itself; all was said already.
    stage.harbour.stop().await;
    std::fs::write(&memory, "").unwrap();
    let before = asked(&stage);
    sync().await;
    assert!(before < asked(&stage), "it read what was said");
    assert_eq!(stage.forge.look(|world| world.history(&first, "moorline")), ["success"]);
}
