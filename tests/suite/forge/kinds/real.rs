//! The same kinds on real Engines: what is said before the merge is, step by step, what the Engines then do, and no
//! container is touched that was not named.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Kind, act, collect};
use crate::forge::daemon::Stage;
use crate::support::engines;

/// Lines of `given` that only a simulated host knows; `host` is a further Engine.
const SIMULATED: [&str; 5] = ["container", "network", "process", "accident", "host"];

/// The images that kinds ask for: what they are does not matter to a plan, and one that is not there would be pulled.
const IMAGES: [&str; 6] = ["app:v1", "app:v2", "app:v3", "db:v1", "db:v2", "job:v1"];

/// Whether nothing in it needs a simulated host: accidents, processes that behave, containers of strangers, a build.
fn is_for_engines(kind: &Kind<'_>) -> bool {
    let given = kind.section("given");
    let simulated = given.lines().any(|line| {
        let word = line.split(' ').next().unwrap_or_default();
        SIMULATED.contains(&word)
    });
    let is_quiet = kind.section("accidents").is_empty() && kind.section("happens").is_empty();
    let (base, proposed) = (kind.section("base"), kind.section("proposed"));
    let builds = base.contains("build:") || proposed.contains("build:");
    let pulls = kind.section("comment").contains("be pulled)\n```")
        && !IMAGES.iter().any(|image| proposed.contains(image) || base.contains(image));
    !simulated && is_quiet && !builds && !pulls && kind.is_merged()
}

fn docker(socket: &Path, words: &[&str]) -> String {
    let address = format!("unix://{}", socket.display());
    let output = Command::new("docker").env("DOCKER_HOST", address).args(words).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Removes what a kind made, and only that: the test's containers carry the label, and its volumes and networks too.
fn tidy(socket: &Path) {
    for (list, remove) in [
        (["ps", "-aq"].as_slice(), ["rm", "-fv"].as_slice()),
        (&["network", "ls", "-q"], &["network", "rm"]),
        (&["volume", "ls", "-q"], &["volume", "rm"]),
    ] {
        let words = [list, &["--filter", "label=moorline.stack"]].concat();
        let found = docker(socket, &words);
        let found: Vec<&str> = found.split_whitespace().collect();
        for some in found.chunks(4) {
            docker(socket, &[remove, some].concat());
        }
    }
    for volume in docker(socket, &["volume", "ls", "-q"]).split_whitespace() {
        if volume.starts_with("moorline-ledger-") {
            docker(socket, &["volume", "rm", volume]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn real_engines_do_what_the_comment_said() {
    let sockets: Vec<PathBuf> = engines::sockets();
    let Some(socket) = sockets.first() else { return };
    for image in IMAGES {
        docker(socket, &["tag", "moorline.test/base:1", image]);
    }
    let wanted = std::env::var("PULL").unwrap_or_default();
    let mut played = 0;
    for file in collect().into_iter().filter(|file| file.to_string_lossy().contains(&wanted)) {
        let text = std::fs::read_to_string(&file).unwrap();
        // The images of the tests wait for nothing: what they are told to run is not there.
        let text = text.replace(", command: [run]", "");
        let kind = Kind::read(&text);
        if !is_for_engines(&kind) {
            continue;
        }
        tidy(socket);
        let mut stage = Stage::on(kind.forge(), &[]).await;
        let data = stage.harbour.repository.root().join("host");
        stage.harbour.more =
            "limits: {parallel_steps: 1, step: 60s, progress: 60s, watch: 0s}\n".to_owned();
        stage.harbour.on_engine("local", socket, &data);
        println!("{}", file.display());
        let told = act(&mut stage, &kind).await;
        stage.harbour.stop().await;
        assert_eq!(
            told.after.lines().next(),
            kind.section("after").lines().next(),
            "{}",
            file.display()
        );
        played += 1;
    }
    tidy(socket);
    for image in IMAGES {
        docker(socket, &["rmi", image]);
    }
    println!("{played} kinds were planned, merged, and compared with the Engine");
    assert!(!wanted.is_empty() || 20 <= played, "only {played} kinds were played");
}
