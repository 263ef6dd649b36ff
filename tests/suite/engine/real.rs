//! Real Engines: what the simulated one is measured by.

use std::collections::BTreeMap;
use std::sync::Arc;

use moorline::docker::{Depth, EngineError};
use moorline::model::{Action, BundleFile, Digest, FileBundle, FileMode, Hook, Mount, Upload};

use super::stories;
use super::terms::{act, clear, container, healthy, look, named, scope};
use crate::support::engines::first;

fn hook(command: &[&str]) -> Hook {
    Hook {
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        user: String::new(),
        privileged: false,
        working_dir: String::new(),
        environment: vec!["WHO=hook".to_owned()],
    }
}

#[tokio::test]
async fn real_a_container_lives_from_create_to_remove_and_every_call_may_be_repeated() {
    if let Some(engine) = first().await {
        stories::life(&engine).await;
    }
}

#[tokio::test]
async fn real_waits_end_as_soon_as_the_outcome_is_known() {
    if let Some(engine) = first().await {
        stories::waits(&engine).await;
    }
}

#[tokio::test]
async fn real_a_build_carries_its_digest_and_its_failure_its_last_words() {
    if let Some(engine) = first().await {
        stories::builds(&engine).await;
    }
}

#[tokio::test]
async fn real_events_tell_what_happens_and_make_looks_cheap() {
    if let Some(engine) = first().await {
        stories::events(&engine).await;
    }
}

#[tokio::test]
async fn real_what_others_made_is_told_apart() {
    if let Some(engine) = first().await {
        stories::others(&engine).await;
    }
}

#[tokio::test]
async fn real_files_reach_the_host_as_they_are() {
    let Some(engine) = first().await else { return };
    let stack = "files";
    clear(&engine, stack).await;
    let folder = tempfile::tempdir().unwrap();
    let host_path = folder.path().join("deep/er/content").display().to_string();
    let file = |text: &str, mode| BundleFile { mode, bytes: text.as_bytes().into() };
    let long = format!("{}/{}.conf", "a-long-name/".repeat(12), "n".repeat(120));
    let bundle = Arc::new(FileBundle {
        host_path: host_path.clone(),
        files: BTreeMap::from([
            ("conf/app.conf".to_owned(), file("level: 1\n", FileMode::Regular)),
            (
                "run.sh".to_owned(),
                file("#!/bin/sh\ncat /bundle/conf/app.conf\n", FileMode::Executable),
            ),
            (long.replace("//", "/"), file("long\n", FileMode::Regular)),
        ]),
        overlay: false,
        time: None,
    });
    let put = Action::PutFiles { digest: Digest::of(b"1"), bundle };
    for _ in 0..2 {
        act(&engine, put.clone()).await.unwrap();
    }
    let mut spec = container(stack, "web", "moorline.test/base:1", &[]);
    spec.host_mut().mounts.push(Mount {
        kind: "bind".to_owned(),
        source: host_path.clone(),
        target: "/bundle".to_owned(),
        read_only: true,
        ..Mount::default()
    });
    let create = Action::Create { name: "files-web-1".to_owned(), spec: Arc::new(spec) };
    let upload = Upload {
        target: "/run/secrets/token".to_owned(),
        bytes: b"s3cret"[..].into(),
        mode: 0o440,
        uid: 65534,
        gid: 65534,
    };
    let web = named("files-web-1");
    let upload = Action::Upload { container: web.clone(), files: vec![upload] };
    for action in [create, upload, Action::Start { container: web.clone() }, healthy("files-web-1")]
    {
        act(&engine, action).await.unwrap();
    }
    let test = "test \"$(/bundle/run.sh)\" = 'level: 1' && test \"$(cat /run/secrets/token)\" = s3cret && \
                test \"$(stat -c %a:%u:%g /run/secrets/token)\" = 440:65534:65534 && test $WHO = hook && \
                test \"$(ls /bundle | wc -l)\" = 3 && test \"$(cat /bundle/a-long-name/*/*/*/*/*/*/*/*/*/*/*/*.conf)\" = long";
    let check =
        Action::RunHook { container: web.clone(), hook: Box::new(hook(&["sh", "-ec", test])) };
    act(&engine, check).await.unwrap();
    let seen = look(&engine, &scope(stack), Depth::Full).await;
    assert_eq!(seen.containers.len(), 1, "the carrying container is gone");
    let fails = Action::RunHook {
        container: web,
        hook: Box::new(hook(&["sh", "-c", "echo sorry >&2; exit 7"])),
    };
    match act(&engine, fails).await {
        Err(EngineError::Hook { code: 7, tail, .. }) => assert_eq!(tail, ["sorry"]),
        other => panic!("{other:?}"),
    }
    clear(&engine, stack).await;
}
