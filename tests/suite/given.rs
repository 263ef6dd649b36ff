//! What stacks are given from outside Git: it is followed while a daemon runs and while none does, and what it held before
//! is as secret as what it holds now.

use std::path::PathBuf;

use super::support::daemon::Harbour;

const WEB: &str = "services:\n  web:\n    image: app:v1\n    environment: {WORD: \"${WORD}\"}\n    labels: {route: \"/x/${WORD}/y\"}\n    command: [serve, \"--seed=${WORD}\"]\n    logging: {driver: syslog, options: {tag: \"${WORD}\"}}\n";

/// A repository with a shop that is given a file of variables.
async fn given(fleet: &str, values: &str) -> (Harbour, PathBuf) {
    let mut harbour = Harbour::new(&["a"]).await;
    let file = harbour.repository.root().join("all.env");
    std::fs::write(&file, values).unwrap();
    harbour.more = format!("variables: [{{file: {}}}]\n", file.display());
    harbour.push(&[("shop/compose.yaml", WEB), ("fleet.yaml", fleet)], "the shop");
    (harbour, file)
}

fn word(harbour: &Harbour) -> String {
    let Some(shown) = harbour.hosts["a"].inspect("shop-web-1") else { return String::new() };
    let env = shown["Config"]["Env"].as_array().cloned().unwrap_or_default();
    let words = env.iter().filter_map(|line| line.as_str()?.strip_prefix("WORD="));
    words.map(str::to_owned).collect()
}

fn id(harbour: &Harbour) -> String {
    harbour.hosts["a"].containers()[0].id.clone()
}

#[tokio::test]
async fn a_changed_value_is_followed_and_one_that_is_gone_holds() {
    let (mut harbour, file) = given("stacks: {shop: {drift: report}}\n", "WORD=first\n").await;
    harbour.start();
    harbour.until("it runs", |it| word(it) == "first").await;
    let head = harbour.repository.git(&["rev-parse", "HEAD"]);
    harbour.until_noted(&head, "moorline: success").await;
    let first = id(&harbour);
    std::fs::write(&file, "WORD=second\n").unwrap();
    harbour.until("it is made anew", |it| word(it) == "second" && id(it) != first).await;
    harbour.until_noted(&head, "moorline: success").await;
    // Without its value nothing is touched, and the status says which one.
    let second = id(&harbour);
    std::fs::write(&file, "OTHER=x\n").unwrap();
    harbour.until("it is held", |it| it.notes(&head).contains("WORD")).await;
    assert_eq!((word(&harbour).as_str(), id(&harbour)), ("second", second.clone()));
    // A value that is there again, and the same, changes nothing.
    std::fs::write(&file, "WORD=second\n").unwrap();
    harbour.until_noted(&head, "moorline: success").await;
    assert_eq!(id(&harbour), second);
    // What changed while no daemon ran is a change of what is asked for, and no drift of the host, which this stack would
    // only report.
    harbour.stop().await;
    std::fs::write(&file, "WORD=third\n").unwrap();
    harbour.start();
    harbour.until("the next daemon follows", |it| word(it) == "third").await;
    harbour.until_noted(&head, "moorline: success").await;
    harbour.stop().await;
    // What is remembered is a digest.
    let mut folders = vec![harbour.settings().data];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
                assert!(!text.contains("third"), "{}", path.display());
            }
        }
    }
}

#[tokio::test]
async fn what_a_host_drifted_to_while_no_daemon_ran_is_still_drift() {
    let (mut harbour, _file) = given("stacks: {shop: {drift: report}}\n", "WORD=first\n").await;
    harbour.start();
    let head = harbour.repository.git(&["rev-parse", "HEAD"]);
    harbour.until_noted(&head, "moorline: success").await;
    harbour.stop().await;
    harbour.hosts["a"].stop("shop-web-1");
    harbour.start();
    harbour.until_noted(&head, "moorline: failure").await;
    assert_eq!(harbour.containers("a"), ["shop-web-1 exited"]);
    harbour.stop().await;
}

/// Every way in which commands show what differs. `observe` is what the Engine says, to the last byte.
async fn everything_shown(harbour: &Harbour) -> String {
    let mut all = String::new();
    for command in ["plan", "drift", "status", "history", "events", "sync"] {
        for form in ["text", "json", "yaml"] {
            let (_, text, said) = harbour.command(&[command, "--output", form]).await;
            all.push_str(&format!("--- {command} {form}\n{text}{said}\n"));
        }
    }
    all
}

#[tokio::test]
async fn a_value_that_was_replaced_is_as_secret_as_the_one_that_replaces_it() {
    let (harbour, file) = given("stacks: {shop: {}}\n", "WORD=harm1ess-looking-0ld\n").await;
    let (code, said, beside) = harbour.command(&["sync"]).await;
    assert_eq!(code, 0, "{said}{beside}");
    std::fs::write(&file, "WORD=harm1ess-looking-n3w\n").unwrap();
    let shown = everything_shown(&harbour).await;
    let (_, beside) = shown.split_once("--- plan text").unwrap();
    assert!(beside.contains("WORD") && beside.contains("***"), "{shown}");
    assert_eq!(word(&harbour), "harm1ess-looking-n3w", "{shown}");
    for secret in ["harm1ess-looking-0ld", "harm1ess-looking-n3w"] {
        let line = shown.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is shown:\n{shown}");
    }
    // Names stay.
    assert!(shown.contains("shop-web-1") && shown.contains("app:v1"), "{shown}");
}

/// Where a repository keeps an object of Git LFS.
fn object_file(repository: &std::path::Path, id: &str) -> PathBuf {
    repository.join("lfs/objects").join(&id[..2]).join(&id[2..4]).join(id)
}

#[tokio::test]
async fn an_object_that_comes_after_its_pointer_is_taken_without_another_commit() {
    let mut harbour = Harbour::new(&["a"]).await;
    harbour.repository_settings = "    lfs: true\n".to_owned();
    let content = "what the pointer stands for\n";
    let id = moorline::model::Digest::of(content.as_bytes()).as_str().to_owned();
    let pointer = format!(
        "version https://git-lfs.github.com/spec/v1\noid sha256:{id}\nsize {}\n",
        content.len()
    );
    let web = "services:\n  web:\n    image: app:v1\n    volumes: [\"./big.bin:/big.bin:ro\"]\n";
    let head = harbour.push(&[("shop/compose.yaml", web), ("shop/big.bin", &pointer)], "the shop");
    harbour.start();
    harbour.until_noted(&head, "moorline/shop: error shop/compose.yaml").await;
    assert!(harbour.containers("a").is_empty());
    let file = object_file(&harbour.repository.bare(), &id);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, content).unwrap();
    harbour.until_noted(&head, "moorline: success").await;
    assert_eq!(harbour.containers("a").len(), 1);
    harbour.stop().await;
}
