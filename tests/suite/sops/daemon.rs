//! Encrypted files through the whole daemon: deployed, rotated, the key away and back.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::read;
use crate::support::daemon::Harbour;

const WEB: &str =
    "services:\n  web:\n    image: app:v1\n    restart: always\n    env_file: [.env]\n";

/// A key file that only its owner may read, as the settings ask for.
fn key(folder: &Path) -> PathBuf {
    let file = folder.join("age.txt");
    std::fs::write(&file, read("keys/one.txt")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    file
}

fn sealed(name: &str) -> String {
    String::from_utf8(read(&format!("sealed/stack/{name}.env"))).unwrap()
}

/// A variable of the only container.
fn variable(harbour: &Harbour, name: &str) -> Option<String> {
    let shown = harbour.hosts["local"].inspect("shop-web-1")?;
    let all = shown["Config"]["Env"].as_array()?.clone();
    let begins = format!("{name}=");
    all.iter().find_map(|one| one.as_str()?.strip_prefix(&begins).map(str::to_owned))
}

fn id(harbour: &Harbour) -> Option<String> {
    harbour.hosts["local"].containers().first().map(|one| one.id.clone())
}

/// Every byte below a folder that is one of ours, without the remote and what was written to be pushed to it.
fn everything(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(everything(&path));
        } else if path.is_file() {
            all.extend(std::fs::read(&path).unwrap());
        }
    }
    all
}

async fn harbour(folder: &Path, keys: &str) -> Harbour {
    let mut harbour = Harbour::new(&["local"]).await;
    harbour.more = format!("secrets: {{age_key_files: [{keys}]}}\n")
        .replace("FOLDER", folder.to_str().unwrap());
    harbour
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encrypted_env_file_is_deployed_rotated_and_survives_the_loss_of_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = key(folder.path());
    let mut harbour = harbour(folder.path(), "FOLDER/age.txt").await;
    let first =
        harbour.push(&[("shop/compose.yaml", WEB), ("shop/.env", &sealed("first"))], "first");
    harbour.start();
    harbour.until_noted(&first, "moorline/shop: success").await;
    assert_eq!(variable(&harbour, "DB_PASSWORD").as_deref(), Some("correct-horse-battery"));
    assert_eq!(variable(&harbour, "sops_mac"), None);
    let before = id(&harbour);

    let second = harbour.push(&[("shop/.env", &sealed("rotated"))], "rotated");
    harbour.ring();
    harbour.until_noted(&second, "moorline/shop: success").await;
    assert_eq!(variable(&harbour, "DB_PASSWORD").as_deref(), Some("another-horse-battery"));
    assert_ne!(id(&harbour), before, "what was rotated replaces");

    // The key goes away, and is noticed: nothing changes, and it is said. Then it comes back.
    let serving = id(&harbour);
    std::fs::rename(&file, folder.path().join("away")).unwrap();
    harbour.until("it says that the key is away", |it| it.notes(&second).contains("age.txt")).await;
    assert_eq!(id(&harbour), serving);
    let third = harbour.push(&[("shop/.env", &sealed("first"))], "back to the first");
    harbour.ring();
    harbour.until("it says so of the new commit", |it| it.notes(&third).contains("age.txt")).await;
    assert_eq!(id(&harbour), serving);
    assert_eq!(variable(&harbour, "DB_PASSWORD").as_deref(), Some("another-horse-battery"));
    std::fs::rename(folder.path().join("away"), &file).unwrap();
    harbour.until_noted(&third, "moorline/shop: success").await;
    assert_eq!(variable(&harbour, "DB_PASSWORD").as_deref(), Some("correct-horse-battery"));
    harbour.stop().await;

    // No plaintext stayed or was said.
    let data = everything(&harbour.repository.data());
    let notes =
        format!("{}{}{}", harbour.notes(&first), harbour.notes(&second), harbour.notes(&third));
    let shown = harbour.hosts["local"].inspect("shop-web-1").unwrap();
    let labels = shown["Config"]["Labels"].to_string();
    for secret in ["correct-horse-battery", "another-horse-battery", "token-that-stays-secret"] {
        let digest = moorline::model::Digest::of(secret.as_bytes()).to_string();
        for hidden in [secret, digest.as_str()] {
            assert!(
                !data.windows(hidden.len()).any(|window| window == hidden.as_bytes()),
                "{hidden}"
            );
            assert!(!notes.contains(hidden) && !labels.contains(hidden), "{hidden}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_decrypt_and_show_nothing_of_it() {
    let folder = tempfile::tempdir().unwrap();
    key(folder.path());
    let harbour = harbour(folder.path(), "FOLDER/age.txt").await;
    harbour.push(&[("shop/compose.yaml", WEB), ("shop/.env", &sealed("first"))], "first");
    for words in [
        &["plan"][..],
        &["sync"],
        &["drift"],
        &["plan", "--output", "json"],
        &["history"],
        &["observe"],
    ] {
        let (_, printed, said) = harbour.command(words).await;
        for secret in ["correct-horse-battery", "token-that-stays-secret"] {
            assert!(
                !printed.contains(secret) && !said.contains(secret),
                "{words:?}: {printed}{said}"
            );
        }
    }
    assert_eq!(variable(&harbour, "TOKEN").as_deref(), Some("token-that-stays-secret"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_has_keys_of_its_own_and_a_key_that_others_may_read_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let file = key(folder.path());
    let mut harbour = harbour(folder.path(), "FOLDER/age.txt").await;
    let other = folder.path().join("other.txt");
    std::fs::write(&other, read("keys/two.txt")).unwrap();
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o600)).unwrap();
    harbour.repository_settings = format!(
        "    forge: {{kind: notes}}\n    secrets: {{age_key_files: {}}}\n",
        other.display()
    );
    harbour.push(&[("shop/compose.yaml", WEB), ("shop/.env", &sealed("first"))], "first");
    let (code, printed, said) = harbour.command(&["sync"]).await;
    assert_eq!(code, 1, "{printed}{said}");
    assert!(
        said.contains("no key that was given opens")
            || printed.contains("no key that was given opens"),
        "{printed}{said}"
    );
    assert_eq!(id(&harbour), None);
    // The one for all is not asked, and one that is open to others is refused by name.
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    harbour.repository_settings = "    forge: {kind: notes}\n".to_owned();
    let (code, printed, said) = harbour.command(&["sync"]).await;
    assert_eq!(code, 1);
    assert!(format!("{printed}{said}").contains("its mode is 0644"), "{printed}{said}");
    let (code, printed, said) = harbour.command(&["doctor"]).await;
    assert_eq!(code, 1, "{printed}{said}");
    assert!(printed.contains("keys of fleet") && printed.contains("0644"), "{printed}{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_may_be_a_credential_of_systemd() {
    let folder = tempfile::tempdir().unwrap();
    key(folder.path());
    let harbour = harbour(folder.path(), "\"credential:age.txt\"").await;
    harbour.push(&[("shop/compose.yaml", WEB), ("shop/.env", &sealed("first"))], "first");
    let settings = harbour.repository.root().join("credential.yaml");
    std::fs::write(&settings, harbour.settings_text()).unwrap();
    let run = |given: bool| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_moorline"));
        command.args(["sync", "--settings"]).arg(&settings).env_remove("CREDENTIALS_DIRECTORY");
        if given {
            command.env("CREDENTIALS_DIRECTORY", folder.path());
        }
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let without = tokio::task::block_in_place(|| run(false));
    assert!(!without.0 && without.1.contains("LoadCredential=age.txt:FILE"), "{without:?}");
    let with = tokio::task::block_in_place(|| run(true));
    assert!(with.0, "{with:?}");
    assert_eq!(variable(&harbour, "DB_PASSWORD").as_deref(), Some("correct-horse-battery"));
}
