//! The same kinds on real Engines: what is said before the merge is, step by step, what the Engines then do, and no
//! container is touched that was not named.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Kind, act, collect};
use crate::forge::daemon::Stage;
use crate::support::engines;

/// Lines of `given` that only a simulated host knows; `host` is a further Engine.
const SIMULATED: [&str; 5] = ["container", "network", "process", "accident", "host"];

/// The images that a kind asks for: what they are does not matter to a plan, and one that is not there would be pulled.
fn images(text: &str) -> BTreeSet<&str> {
    let ends = [',', '}', '\'', '"', '\n', ' '];
    let named = text.split("image:").skip(1).map(|rest| rest.trim_start_matches([' ', '\'', '"']));
    let named = named.filter_map(|rest| rest.split(ends).next());
    named.filter(|image| image.contains(':')).collect()
}

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
    // Forty stacks are for a simulated host: with so many, a real Engine is not through before the test's patience ends.
    // `PULL` names one to try it all the same.
    let few =
        std::env::var_os("PULL").is_some() || !base.lines().any(|line| line.starts_with("many "));
    // A mount of what the host does not have is held, and rightly so.
    let absent = |path: &str| proposed.contains(path) && !Path::new(path).exists();
    few && !absent("/var/run/docker.sock") && !simulated && is_quiet && !builds && kind.is_merged()
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

/// Plays one kind; says in what the commit's last word differs from the one on a simulated host.
async fn play_on(socket: &Path, text: &str) -> Option<String> {
    let kind = Kind::read(text);
    let mut stage = Stage::on(kind.forge(), &[]).await;
    let data = stage.harbour.repository.root().join("host");
    stage.harbour.more =
        "limits: {parallel_steps: 1, step: 60s, progress: 60s, watch: 0s}\n".to_owned();
    stage.harbour.on_engine("local", socket, &data);
    let told = act(&mut stage, &kind).await;
    stage.harbour.stop().await;
    let (told, wanted) = (told.after.lines().next(), kind.section("after").lines().next());
    (told != wanted).then(|| format!("{told:?}, and not {wanted:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn real_engines_do_what_the_comment_said() {
    let sockets: Vec<PathBuf> = engines::sockets();
    let Some(socket) = sockets.first() else { return };
    let wanted = std::env::var("PULL").unwrap_or_default();
    let (mut played, mut wrong, mut tagged) = (0, Vec::new(), BTreeSet::new());
    for file in collect().into_iter().filter(|file| file.to_string_lossy().contains(&wanted)) {
        let text = std::fs::read_to_string(&file).unwrap();
        // The images of the tests wait for nothing: what they are told to run is not there.
        let text = text.replace(", command: [run]", "");
        let kind = Kind::read(&text);
        if !is_for_engines(&kind) {
            continue;
        }
        tidy(socket);
        for image in images(&text) {
            docker(socket, &["tag", "moorline.test/base:1", image]);
            tagged.insert(image.to_owned());
        }
        let (name, from) = (file.display().to_string(), std::time::Instant::now());
        let (socket, text) = (socket.clone(), text.clone());
        let ended = tokio::spawn(async move { play_on(&socket, &text).await }).await;
        println!("{name}: {:.1} s", from.elapsed().as_secs_f64());
        match ended {
            Ok(differs) => wrong.extend(differs.map(|it| format!("{name}\n{it}"))),
            Err(panic) => wrong.push(format!("{name}: it broke off: {panic}")),
        }
        played += 1;
    }
    tidy(socket);
    for image in tagged {
        docker(socket, &["rmi", &image]);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    println!("{played} kinds were planned, merged, and compared with the Engine");
    assert!(!wanted.is_empty() || 30 <= played, "only {played} kinds were played");
}
