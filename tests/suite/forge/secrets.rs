//! Secrets that are planted everywhere, and every byte that leaves.

use moorline::forge::Kind;
use serde_json::json;

use super::daemon::Stage;
use crate::support::fake_forge::{Fault, TOKEN};

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
    for kind in [Kind::GitHub, Kind::GitLab, Kind::Bitbucket] {
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
        let folder = stage.harbour.repository.data().join("forge");
        for entry in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            for planted in PLANTED {
                assert!(!text.contains(planted), "{planted}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn the_log_of_the_daemon_holds_no_secret_either() {
    let stage = Stage::new(Kind::Gitea).await;
    let broken = compose(&format!("nowhere.invalid/{}:v3", PLANTED[4]));
    let one = env(PLANTED[1]);
    let files = [
        ("fleet.yaml", "stacks: {shop: {}}\n"),
        ("shop/compose.yaml", broken.as_str()),
        ("shop/app.env", one.as_str()),
        ("shop/key.txt", "s3cret-File/of+Compose\n"),
    ];
    stage.harbour.hosts["local"].unpublish("nowhere.invalid/any:v3");
    let commit = stage.push(&files, "an image that is not there");
    let echo = Fault::Answer(422, vec![], json!({ "message": format!("bad {TOKEN}") }));
    stage.forge.look(|world| world.faults.extend([echo.clone(), echo]));
    let folder = stage.harbour.repository.root();
    let (settings, log) = (folder.join("moorline.yaml"), folder.join("log"));
    std::fs::write(&settings, stage.harbour.settings_text()).unwrap();
    let mut daemon = tokio::process::Command::new(env!("CARGO_BIN_EXE_moorline"))
        .args(["run", "--settings"])
        .arg(&settings)
        .env("RUST_LOG", "debug")
        .stderr(std::fs::File::create(&log).unwrap())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    stage
        .until("it fails", |world| {
            world.status(&commit, "moorline").is_some_and(|one| one.state == "failure")
        })
        .await;
    daemon.kill().await.unwrap();
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.contains("nowhere.invalid/***"), "{text}");
    for planted in PLANTED {
        assert!(!text.contains(planted), "{planted}\n{text}");
    }
}
