//! Secrets that are planted everywhere, and every byte that leaves.

use std::path::{Path, PathBuf};

use moorline::model::ForgeKind as Kind;
use serde_json::json;

use super::KINDS;
use super::daemon::Stage;
use crate::support::fake_forge::{Fault, TOKEN, plain_client};

/// In a Compose secret, an env file, the manifest, an address, a command, and in the token's file.
const PLANTED: [&str; 6] = [
    "s3cret-File/of+Compose",
    "env-F1le-value-77",
    "hunter2-in-manifest",
    "p4ssw0rd-in-address",
    "word-of-the-command-9",
    TOKEN,
];

fn compose(image: &str) -> String {
    format!(
        "services:\n  web:\n    image: {image}\n    restart: always\n    env_file: [app.env]\n    environment:\n      DB_PASSWORD: {}\n      DATABASE: postgres://app:{}@db/app\n    command: [serve, --api-token, {}]\n    labels: {{note: \"see {}\"}}\n    secrets: [key]\nsecrets:\n  key: {{file: key.txt}}\n",
        PLANTED[2], PLANTED[3], PLANTED[4], PLANTED[2]
    )
}

fn env(value: &str) -> String {
    format!("MODE=production\nWHATEVER={value}\n")
}

#[tokio::test]
async fn a_planted_secret_is_in_no_byte_that_leaves() {
    for kind in KINDS {
        let mut stage = Stage::new(kind).await;
        let first = compose("app:v1");
        let (one, two) = (env(PLANTED[1]), env("another-V4lue-88"));
        let files = [
            ("fleet.yaml", "stacks: {shop: {drift: report}}\n"),
            ("shop/compose.yaml", first.as_str()),
            ("shop/app.env", one.as_str()),
            ("shop/key.txt", "s3cret-File/of+Compose\n"),
        ];
        let base = stage.push(&files, "the shop");
        stage.harbour.start();
        stage.until_status(&base, "moorline", "success", "1 stack in sync").await;
        // A pull request that changes all of them, and names a secret where it is an error.
        let wrong = format!(
            "{}    shm_size: {}\n",
            compose("app:v2").split("secrets:\n  key").next().unwrap(),
            PLANTED[2]
        );
        let changed = compose("app:v2").replace(PLANTED[2], "hunter3-in-manifest");
        stage.propose(&[("shop/compose.yaml", &changed), ("shop/app.env", &two)]);
        stage.harbour.ring();
        stage.until_comment("plan", "1 to replace").await;
        stage.propose(&[("shop/compose.yaml", &wrong), ("shop/app.env", &two)]);
        stage.harbour.ring();
        stage.until_comment("plan", "refused").await;
        // Drift in a secret, and a failing deployment whose error speaks of one.
        let host = &stage.harbour.hosts["local"];
        host.unpublish("app:v3");
        host.publish("app:v2", json!({}));
        let broken = compose(&format!("nowhere.invalid/{}:v3", PLANTED[4]));
        let failing = stage.push(&[("shop/compose.yaml", &broken)], "an image that is not there");
        stage.harbour.ring();
        stage
            .until("it fails", |world| {
                let shown = world.status(&failing, "moorline");
                shown.is_some_and(|one| {
                    ["failure", "failed", "FAILED", "error"].contains(&one.state.as_str())
                })
            })
            .await;
        // The forge throws the token back.
        let echo = Fault::Answer(422, vec![], json!({ "message": format!("bad {TOKEN}") }));
        stage.forge.look(|world| world.faults.push_back(echo));
        let fine = stage.push(&[("shop/compose.yaml", &changed)], "well again");
        stage.harbour.ring();
        stage
            .harbour
            .until("v2 runs", |it| {
                it.hosts["local"].containers().iter().any(|one| one.image == "app:v2")
            })
            .await;
        stage.until("well again", |world| world.statuses.iter().any(|one| one.sha == fine)).await;
        stage.harbour.stop().await;
        stage.forge.look(|world| {
            let mut bytes = String::new();
            for one in &world.received {
                let body = one.body.as_ref().map(ToString::to_string).unwrap_or_default();
                bytes.push_str(&format!(
                    "{} {} {:?} {body} {:?}\n",
                    one.method, one.path, one.query, one.headers
                ));
            }
            assert!(bytes.len() > 2000);
            for planted in PLANTED.iter().chain(&["hunter3-in-manifest", "another-V4lue-88"]) {
                assert!(!bytes.contains(planted), "{kind:?}: {planted}\n{bytes}");
                let escaped = planted.replace('/', "%2F").replace('+', "%2B");
                assert!(!bytes.contains(&escaped), "{kind:?}: {planted}");
            }
            assert!(bytes.contains("***"), "nothing had to be hidden");
        });
        // Nor in what is kept on disk for the next start.
        assert_hidden(&stage.harbour.repository.data(), &PLANTED);
    }
}

/// Every file below a folder, but for Git's own objects: what was pushed is in those.
fn kept(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "objects") {
            kept(&path, found);
        } else if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            found.push((path, String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
}

/// That no secret is in any file of the data folder, clones' settings included.
fn assert_hidden(folder: &Path, planted: &[&str]) {
    let mut found = Vec::new();
    kept(folder, &mut found);
    let clones = found.iter().filter(|(path, _)| path.ends_with("config")).count();
    assert!(0 < clones && 4 < found.len(), "{found:#?}");
    for (path, text) in found {
        for secret in planted {
            assert!(!text.contains(secret), "{secret} in {}: {text}", path.display());
        }
    }
}

/// The secret of webhooks, and an account's password that stands where it should not.
const HOOK: &str = "h00k-Secret-between-us";
const ACCOUNT: &str = "bob-Pa55word-in-address";

/// What the daemon, as a process of its own, shows: its log and its arguments; what its listener answers; what it keeps.
async fn shown_by_the_process(stage: &Stage, extra: &str, until: impl AsyncFn(&Stage)) -> String {
    let folder = stage.harbour.repository.root();
    let (settings, log, hook) =
        (folder.join("moorline.yaml"), folder.join("log"), folder.join("hook"));
    std::fs::write(&hook, format!("{HOOK}\n")).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = stage
        .harbour
        .settings_text()
        .replace("listen: none", &format!("listen: 127.0.0.1:{port}"))
        .replace("forge: {", &format!("forge: {{webhook_secret_file: {}, ", hook.display()));
    std::fs::write(&settings, format!("{text}{extra}")).unwrap();
    let mut daemon = tokio::process::Command::new(env!("CARGO_BIN_EXE_moorline"))
        .args(["run", "--settings"])
        .arg(&settings)
        .env("RUST_LOG", "trace")
        .stderr(std::fs::File::create(&log).unwrap())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    until(stage).await;
    let mut shown = arguments(daemon.id().unwrap());
    for (path, signature) in [
        ("hooks/fleet", "sha256=00".to_owned()),
        ("hooks/fleet", format!("sha256={HOOK}")),
        ("hooks/other", HOOK.to_owned()),
        ("healthz", String::new()),
        ("metrics", String::new()),
        ("nowhere", String::new()),
    ] {
        let request = plain_client()
            .post(format!("http://127.0.0.1:{port}/{path}"))
            .header("x-github-event", "push")
            .header("x-gitea-event", "push")
            .header("x-hub-signature-256", &signature)
            .header("x-gitea-signature", &signature)
            .body(format!("{{\"echo\": \"{TOKEN}\"}}"));
        let answer = request.send().await.unwrap();
        shown.push_str(&format!("{path}: {:?}\n", answer.headers()));
        shown.push_str(&answer.text().await.unwrap());
    }
    for path in ["healthz", "metrics", "readyz"] {
        let got = plain_client().get(format!("http://127.0.0.1:{port}/{path}")).send().await;
        shown.push_str(&got.unwrap().text().await.unwrap());
    }
    daemon.kill().await.unwrap();
    shown.push_str(&std::fs::read_to_string(&log).unwrap());
    shown
}

/// The arguments of a process and of whatever it started.
fn arguments(daemon: u32) -> String {
    let mut shown = String::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let folder = entry.path();
        let status = std::fs::read_to_string(folder.join("status")).unwrap_or_default();
        let ours =
            folder.ends_with(daemon.to_string()) || status.contains(&format!("PPid:\t{daemon}\n"));
        if ours {
            shown.push_str(&std::fs::read_to_string(folder.join("cmdline")).unwrap_or_default());
            shown.push('\n');
        }
    }
    assert!(shown.contains("moorline"), "{shown}");
    shown
}

/// A stack with secrets whose deployment fails in words that hold one.
fn push_failing(stage: &Stage) -> String {
    let broken = compose(&format!("nowhere.invalid/{}:v3", PLANTED[4]));
    let one = env(PLANTED[1]);
    let files = [
        ("fleet.yaml", "stacks: {shop: {}}\n"),
        ("shop/compose.yaml", broken.as_str()),
        ("shop/app.env", one.as_str()),
        ("shop/key.txt", "s3cret-File/of+Compose\n"),
    ];
    stage.harbour.hosts["local"].unpublish("nowhere.invalid/any:v3");
    stage.push(&files, "an image that is not there")
}

#[tokio::test]
async fn nothing_that_the_process_shows_holds_a_secret_either() {
    for kind in KINDS {
        let stage = Stage::new(kind).await;
        let commit = push_failing(&stage);
        let echo = Fault::Answer(422, vec![], json!({ "message": format!("bad {TOKEN}") }));
        stage.forge.look(|world| world.faults.extend([echo.clone(), echo]));
        let failed = async |stage: &Stage| {
            stage
                .until("it fails", |world| {
                    world.status(&commit, "moorline").is_some_and(|one| {
                        ["failure", "failed", "FAILED", "error"].contains(&one.state.as_str())
                    })
                })
                .await;
        };
        let shown = shown_by_the_process(&stage, "", failed).await;
        assert!(shown.contains("nowhere.invalid/***"), "{kind:?}: {shown}");
        for planted in PLANTED.iter().chain(&[HOOK]) {
            assert!(!shown.contains(planted), "{kind:?}: {planted}\n{shown}");
        }
        assert_hidden(&stage.harbour.repository.data(), &[&PLANTED[..], &[HOOK]].concat());
    }
}

#[tokio::test]
async fn notes_hold_no_secret_either() {
    let mut stage = Stage::new(Kind::Gitea).await;
    stage.harbour.repository_settings = "    forge: {kind: notes}\n".to_owned();
    let commit = push_failing(&stage);
    let noted = async |stage: &Stage| stage.harbour.until_noted(&commit, "moorline: failure").await;
    let shown = shown_by_the_process(&stage, "", noted).await;
    let notes = stage.harbour.notes(&commit);
    assert!(notes.contains("***"), "{notes}");
    for planted in PLANTED {
        assert!(
            !shown.contains(planted) && !notes.contains(planted),
            "{planted}\n{shown}\n{notes}"
        );
    }
}

#[tokio::test]
async fn a_password_in_an_address_is_refused_or_failed_upon_without_being_shown() {
    let stage = Stage::new(Kind::Gitea).await;
    let folder = stage.harbour.repository.root();
    let settings = folder.join("moorline.yaml");
    let with = |url: &str| format!("repositories: {{fleet: {{url: \"{url}\"}}}}\nlisten: none\n");
    let addresses = [
        format!("https://bob:{ACCOUNT}@127.0.0.1:1/acme/fleet.git"),
        format!("https://{ACCOUNT}@127.0.0.1:1/acme/fleet.git"),
        format!("http://bob:{ACCOUNT}@127.0.0.1:1/a b/fleet.git"),
        format!("ssh://bob:{ACCOUNT}@127.0.0.1:1/acme/fleet.git"),
        format!("ftp://bob:{ACCOUNT}@127.0.0.1:1/acme/fleet.git"),
    ];
    for address in &addresses {
        std::fs::write(&settings, with(address)).unwrap();
        for words in [
            vec!["plan", "--repository", address],
            vec!["doctor", "--repository", address],
            vec!["doctor", "--settings", settings.to_str().unwrap()],
        ] {
            let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_moorline"))
                .args(&words)
                .current_dir(folder.join("srv"))
                .env("MOORLINE_DATA", folder.join("data-of-its-own"))
                .env("RUST_LOG", "trace")
                .output()
                .await
                .unwrap();
            let said = format!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            assert_ne!(output.status.code(), Some(0), "{words:?}: {said}");
            assert!(!said.is_empty() && !said.contains(ACCOUNT), "{words:?}: {said}");
        }
    }
    // A token in place of the file that holds it.
    std::fs::remove_file(&settings).unwrap();
    for token in [TOKEN, "ghp_16C7e42F292c6912E7710c838347Ae178B4a", "aB3dEf6hIj"] {
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_moorline"))
            .args(["doctor", "--repository", "http://127.0.0.1:1/a/b.git", "--token-file", token])
            .current_dir(folder)
            .env("MOORLINE_DATA", folder.join("data-of-its-own"))
            .output()
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_ne!(output.status.code(), Some(0));
        assert!(said.contains("--token-file") && !said.contains(token), "{said}");
        assert!(!String::from_utf8_lossy(&output.stdout).contains(token));
    }
}
