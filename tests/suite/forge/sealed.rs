//! Pull requests over encrypted files: compared with the target branch, and never opened.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use moorline::model::ForgeKind as Kind;

use super::daemon::Stage;

const WEB: &str =
    "services:\n  web:\n    image: app:v1\n    restart: always\n    env_file: [.env]\n";
const SECRETS: [&str; 3] =
    ["correct-horse-battery", "another-horse-battery", "token-that-stays-secret"];

fn recorded(path: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sops");
    std::fs::read_to_string(folder.join(path)).unwrap()
}

/// A stack with an encrypted env file, which is deployed.
async fn stage(folder: &Path) -> Stage {
    let key = folder.join("age.txt");
    std::fs::write(&key, recorded("keys/one.txt")).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut stage = Stage::new(Kind::Gitea).await;
    stage.harbour.more = format!("secrets: {{age_key_files: [{}]}}\n", key.display());
    let env = recorded("sealed/stack/first.env");
    let base = stage.push(&[("shop/compose.yaml", WEB), ("shop/.env", &env)], "what is there");
    stage.harbour.start();
    stage.until_settled(&base).await;
    stage
}

/// What is said of a proposal.
async fn said(stage: &Stage, files: &[(&str, &str)]) -> String {
    let head = stage.propose(files);
    stage.harbour.ring();
    let (state, status) = stage.planned(&head).await;
    let comment = stage.comment("plan").unwrap_or_default();
    let (_, printed, beside) = stage.harbour.command(&["plan", "--pull-request", "7"]).await;
    let all = format!("{state} {status}\n{comment}\n{printed}\n{beside}");
    for secret in SECRETS {
        assert!(!all.contains(secret), "{all}");
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_value_is_told_as_changed_and_the_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut stage = stage(folder.path()).await;
    let rotated = recorded("sealed/stack/rotated.env");
    let all = said(&stage, &[("shop/.env", &rotated)]).await;
    assert!(all.contains("DB_PASSWORD") && all.contains("web-1 replaced"), "{all}");
    assert!(!all.contains("env TOKEN") && !all.contains("LEVEL_unencrypted:"), "{all}");
    stage.harbour.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_touched_does_not_differ() {
    let folder = tempfile::tempdir().unwrap();
    let mut stage = stage(folder.path()).await;
    let compose = WEB.replace("app:v1", "app:v2");
    let all = said(&stage, &[("shop/compose.yaml", &compose)]).await;
    assert!(all.contains("app:v2"), "{all}");
    for name in ["DB_PASSWORD", "TOKEN", "encrypted-"] {
        assert!(!all.contains(name), "{all}");
    }
    stage.harbour.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ciphertext_that_the_daemon_could_open_stays_closed_in_a_proposal() {
    let folder = tempfile::tempdir().unwrap();
    let mut stage = stage(folder.path()).await;
    // Somebody proposes a stack of their own, whose command would print the neighbour's password.
    let rotated = recorded("sealed/stack/rotated.env");
    let spy = "services:\n  spy:\n    image: 'app:v1'\n    labels: {shown: 'x${DB_PASSWORD}x'}\n    command: ['echo', '${DB_PASSWORD}']\n";
    let all = said(&stage, &[("spy/compose.yaml", spy), ("spy/.env", &rotated)]).await;
    assert!(all.contains("spy"), "{all}");
    assert!(!all.contains("horse"), "{all}");
    stage.harbour.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_key_a_proposal_is_told_what_merging_it_would_tell() {
    let mut stage = Stage::new(Kind::Gitea).await;
    let plain = WEB.replace("    env_file: [.env]\n", "");
    let base = stage.push(&[("shop/compose.yaml", &plain)], "what is there");
    stage.harbour.start();
    stage.until_settled(&base).await;
    let env = recorded("sealed/stack/first.env");
    let all = said(&stage, &[("shop/compose.yaml", WEB), ("shop/.env", &env)]).await;
    assert!(all.contains("ciphertext") && !all.contains("create web"), "{all}");
    stage.harbour.stop().await;
}
