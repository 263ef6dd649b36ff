//! A webhook that a forge delivers to the running program: it looks at once, although its interval is an hour.

use std::time::Duration;

use moorline::model::ForgeKind as Kind;
use ring::hmac;

use super::daemon::Stage;
use crate::support::fake_forge::{World, plain_client};
use crate::support::stays;

const WEB: &str = "services:\n  web:\n    image: app:v1\n    restart: always\n";
const SECRET: &str = "between the forge and us";

/// Delivers an event as Gitea does; the content is that of another repository, and is not believed.
async fn deliver(url: &str, event: &str, number: u32, secret: &str) -> u16 {
    let body = br#"{"ref":"refs/heads/other","repository":{"full_name":"mallory/other"}}"#;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let request = plain_client()
        .post(url)
        .header("content-type", "application/json")
        .header("x-gitea-event", event)
        .header("x-gitea-delivery", format!("delivery-{number}"))
        .header("x-gitea-signature", hex::encode(hmac::sign(&key, body)))
        .body(body.to_vec());
    request.send().await.map_or(0, |answer| answer.status().as_u16())
}

#[tokio::test]
async fn a_webhook_over_http_leads_to_a_deployment_and_to_a_new_plan() {
    let stage = Stage::new(Kind::Gitea).await;
    let files = [("fleet.yaml", "stacks: {shop: {}}\n"), ("shop/compose.yaml", WEB)];
    let first = stage.push(&files, "the shop");
    let root = stage.harbour.repository.root().to_path_buf();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let secret = root.join("webhook-secret");
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
    let text = stage.harbour.settings_text();
    let (before, after) = text.split_once("    interval: ").unwrap();
    let (_, after) = after.split_once('\n').unwrap();
    let text = format!("{before}    interval: 1h\n{after}")
        .replace("listen: none", &format!("listen: 127.0.0.1:{port}"))
        .replace("forge: {", &format!("forge: {{webhook_secret_file: {}, ", secret.display()));
    let settings = root.join("moorline.yaml");
    std::fs::write(&settings, text).unwrap();
    let mut daemon = tokio::process::Command::new(env!("CARGO_BIN_EXE_moorline"))
        .args(["run", "--settings"])
        .arg(&settings)
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    stage.until_status(&first, "moorline", "success", "1 stack in sync").await;
    let lists = |world: &mut World| {
        world.received.iter().filter(|one| one.path.ends_with("/pulls")).count()
    };
    stage.until("the first list", |world| lists(world) == 1).await;
    let url = format!("http://127.0.0.1:{port}/hooks/fleet");

    // A signature that is not ours changes nothing, and nobody looks before the hour is over.
    let head = stage.propose(&[("shop/compose.yaml", &WEB.replace("v1", "v2"))]);
    assert_eq!(deliver(&url, "pull_request", 1, "another secret").await, 401);
    let same = || stage.forge.look(lists) == 1;
    stays("nobody looks", Duration::from_secs(2), same).await;

    // Opened, changed, and the base moved.
    assert_eq!(deliver(&url, "pull_request", 2, SECRET).await, 202);
    stage.until_plan(&head, "success", "1 stack changes: 1 to replace").await;
    let more = format!("{}    deploy: {{replicas: 2}}\n", WEB.replace("v1", "v2"));
    let head = stage.propose(&[("shop/compose.yaml", &more)]);
    assert_eq!(deliver(&url, "pull_request", 3, SECRET).await, 202);
    let words = "1 stack changes: 1 to create, 1 to replace";
    stage.until_plan(&head, "success", words).await;
    let base = stage.push(&[("README.md", "hello\n")], "another file");
    assert_eq!(deliver(&url, "push", 4, SECRET).await, 202);
    stage.until_status(&base, "moorline", "success", "1 stack in sync").await;
    // The same delivery again is known.
    assert_eq!(deliver(&url, "push", 4, SECRET).await, 200);
    stage.forge.look(|world| world.pulls.clear());
    assert_eq!(deliver(&url, "pull_request", 5, SECRET).await, 202);
    stage.until_comment("plan", "## Moorline: plan withdrawn").await;
    daemon.kill().await.unwrap();
}
