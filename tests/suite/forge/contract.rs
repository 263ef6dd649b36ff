//! Every request against the published descriptions, every real recorded answer through our eyes. Both need the
//! folder that `MOORLINE_SHARED` names.

use std::path::{Path, PathBuf};

use moorline::forge::{Credentials, Forge, Letter, Marker, Place};
use moorline::model::CommitState::{Error, Failure, Pending, Success};
use moorline::model::ForgeKind as Kind;
use serde_json::{Value, json};

use super::{KINDS, Post, QUICK, comment, has_issues, settings, sha, status};
use crate::support::fake_forge::{FakeForge, Fault, Pull, base};

fn shared(test: &str) -> Option<PathBuf> {
    let folder = std::env::var("MOORLINE_SHARED").ok().map(PathBuf::from);
    if folder.is_none() {
        {
            eprintln!("SKIPPED {test}: MOORLINE_SHARED is not set");
        }
    }
    folder
}

/// Everything that we ever ask of a forge.
async fn everything(forge: &FakeForge) {
    let folder = tempfile::tempdir().unwrap();
    let commit = sha('a');
    forge.look(|world| {
        world.commits.insert(commit.to_string(), true);
        let project = world.project.clone();
        world.pulls = (1..=120)
            .map(|number| Pull::open(number, (commit.as_str(), "x"), Some(project.clone())))
            .collect();
    });
    let mut asks = settings(forge);
    asks.kind = None;
    // Bitbucket and Azure are known by their hosts' names, and have no issues that we write to.
    let known = has_issues(forge.look(|world| world.kind));
    if known {
        Forge::recognise(&asks).await.unwrap();
    }
    let client = Forge::recognise(&settings(forge)).await.unwrap();
    client.abilities().await.unwrap();
    client.open_pull_requests().await.unwrap();
    client.fate(7).await.unwrap();
    let post = Post::start(settings(forge), QUICK, folder.path().join("posted.json")).await;
    for (state, words) in [(Pending, "a"), (Success, "b"), (Failure, "c"), (Error, "d")] {
        let Letter::Status { target, mut status } =
            status(&commit, "moorline/shop@edge-1", state, words)
        else {
            return;
        };
        status.link = (state == Success).then(|| "https://example.com/x".to_owned());
        post.say(Letter::Status { target, status }).await;
    }
    post.say(comment(7, "one")).await;
    post.say(comment(7, "two")).await;
    if known {
        let place = Place::Issue(3);
        let marker = Marker::new("drift");
        let mode = moorline::forge::CommentMode::Upsert;
        for body in ["drifted", "healed"] {
            post.say(Letter::Comment {
                place: place.clone(),
                marker: marker.clone(),
                body: body.into(),
                mode,
            })
            .await;
        }
    }
    post.stop().await;
}

#[tokio::test]
async fn every_request_is_one_that_the_forge_describes() {
    for kind in KINDS {
        let forge = FakeForge::start(kind).await;
        everything(&forge).await;
        all_described(&forge, "every_request_is_one_that_the_forge_describes");
    }
}

/// Checks all requests that a forge received against its published descriptions.
pub(super) fn all_described(forge: &FakeForge, test: &str) {
    let Some(shared) = shared(test) else { return };
    let kind = forge.look(|world| world.kind);
    let descriptions: &[&str] = match kind {
        Kind::GitHub => &["github.json", "ghes-3.19.json"],
        Kind::GitLab => &["gitlab.json"],
        Kind::Gitea => &["gitea.json"],
        Kind::Forgejo => &["forgejo.json"],
        Kind::Bitbucket => &["bitbucket.json"],
        Kind::Azure => &["azure-devops.json"],
    };
    let prefix = if kind == Kind::GitLab { base(kind) } else { "" };
    let requests: Vec<Value> = forge.look(|world| {
        let ours = world.received.iter().filter(|request| !request.path.starts_with("OUTSIDE"));
        let told = ours.map(|request| {
            json!({ "method": request.method, "path": format!("{prefix}{}", request.path), "query": request.query, "body": request.body })
        });
        told.collect()
    });
    assert!(10 < requests.len(), "{kind:?}: {}", requests.len());
    for description in descriptions {
        conforms(&shared.join("openapi").join(description), &requests);
    }
}

#[test]
fn the_validator_knows_a_request_that_a_forge_does_not_describe() {
    let Some(shared) = shared("the_validator_knows_a_request_that_a_forge_does_not_describe")
    else {
        return;
    };
    let sha = sha('a');
    let path = format!("/repos/acme/fleet/statuses/{sha}");
    let wrong = [
        json!({ "method": "POST", "path": path, "query": [], "body": { "state": "failed" } }),
        json!({ "method": "POST", "path": path, "query": [], "body": { "context": "x" } }),
        json!({ "method": "GET", "path": "/repos/acme/fleet/pulls", "query": [["state", "opened"]], "body": null }),
        json!({ "method": "GET", "path": "/repos/acme/fleet/pulls", "query": [["limit", "50"]], "body": null }),
        json!({ "method": "GET", "path": "/repos/acme/fleet/pull", "query": [], "body": null }),
        json!({ "method": "POST", "path": format!("/repos/acme/fleet/commits/{sha}/comments"), "query": [], "body": { "body": "x", "line": 1 } }),
        json!({ "method": "POST", "path": "/repos/acme/fleet/commits/main/comments", "query": [], "body": { "body": "x" } }),
    ];
    for request in wrong {
        let judged = judge(&shared.join("openapi/github.json"), std::slice::from_ref(&request));
        assert!(
            matches!(judged, Judged::Wrong(_) | Judged::Skipped),
            "{request} was taken for right"
        );
    }
}

enum Judged {
    Right,
    Wrong(String),
    Skipped,
}

fn conforms(description: &Path, requests: &[Value]) {
    if let Judged::Wrong(told) = judge(description, requests) {
        panic!("{}: {told}", description.display());
    }
}

fn judge(description: &Path, requests: &[Value]) -> Judged {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("requests.json");
    std::fs::write(&file, serde_json::to_string(requests).unwrap()).unwrap();
    let script =
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/support/fake_forge/check_openapi.py");
    let (python, mut command) = {
        let python =
            std::env::var("MOORLINE_OPENAPI_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        (python.clone(), std::process::Command::new(python))
    };
    let ran = command.arg(script).arg(description).arg(&file).output();
    let output = ran.unwrap_or_else(|problem| panic!("cannot start {python}: {problem}"));
    let told = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    if output.status.code() == Some(77) {
        eprintln!("SKIPPED {}: no OpenAPI validator for {python}", description.display());
        return Judged::Skipped;
    }
    eprintln!("{}: {told}", description.display());
    if output.status.success() { Judged::Right } else { Judged::Wrong(told) }
}

fn recordings(shared: &Path, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(shared.join("openapi/recordings").join(file)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Lets the client ask, and gives it this body.
fn answer(forge: &FakeForge, recording: &Value) {
    let code = u16::try_from(recording["status"].as_u64().unwrap()).unwrap();
    forge.look(|world| {
        world.faults.push_back(Fault::Answer(code, vec![], recording["body"].clone()));
    });
}

#[tokio::test]
async fn real_recorded_answers_are_understood() {
    let Some(shared) = shared("real_recorded_answers_are_understood") else { return };
    let mut understood = 0;
    for (kind, file) in [
        (Kind::GitHub, "github.json"),
        (Kind::GitLab, "gitlab.json"),
        (Kind::Forgejo, "forgejo.json"),
    ] {
        let forge = FakeForge::start(kind).await;
        let mut anonymous = settings(&forge);
        anonymous.credentials = Credentials::Anonymous;
        let client = Forge::recognise(&anonymous).await.unwrap();
        for recording in recordings(&shared, file) {
            let (method, url) =
                (recording["method"].as_str().unwrap(), recording["url"].as_str().unwrap());
            let path = url.split('?').next().unwrap();
            let good = recording["status"].as_u64().unwrap() < 300;
            let is_list = recording["body"].is_array();
            let what = format!("{method} {url}");
            if method == "GET" && good && is_list && (path.contains("/statuses")) {
                answer(&forge, &recording);
                let told = client.read_statuses(&sha('a')).await.unwrap();
                let names: std::collections::BTreeSet<_> = recording["body"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|row| {
                        row.get("context").or(row.get("name")).unwrap().as_str().unwrap().to_owned()
                    })
                    .collect();
                assert_eq!(
                    told.iter()
                        .map(|status| status.context.clone())
                        .collect::<std::collections::BTreeSet<_>>(),
                    names,
                    "{what}"
                );
            } else if method == "GET"
                && good
                && is_list
                && (path.ends_with("/pulls") || path.ends_with("/merge_requests"))
            {
                answer(&forge, &recording);
                let told = client.open_pull_requests().await.unwrap();
                assert_eq!(told.len(), recording["body"].as_array().unwrap().len(), "{what}");
            } else if method == "GET"
                && good
                && is_list
                && (path.ends_with("/comments") && path.contains("/issues/")
                    || path.ends_with("/notes"))
            {
                answer(
                    &forge,
                    &json!({ "status": 200, "body": { "login": "someone", "username": "someone" } }),
                );
                answer(&forge, &recording);
                let marker = Marker::new("plan");
                let draft = moorline::forge::CommentDraft {
                    place: &Place::PullRequest(1),
                    marker: &marker,
                    body: "x",
                    id: None,
                    mode: moorline::forge::CommentMode::OnlyUpdate,
                };
                let told = Forge::recognise(&anonymous)
                    .await
                    .unwrap()
                    .upsert_comment(draft)
                    .await
                    .unwrap();
                assert_eq!(told.id, None, "{what}");
            } else if !good
                && method == "GET"
                && [401, 404].contains(&recording["status"].as_u64().unwrap())
            {
                answer(&forge, &recording);
                client.open_pull_requests().await.unwrap_err();
            } else {
                continue;
            }
            understood += 1;
        }
        assert!(forge.look(|world| world.faults.is_empty()));
    }
    assert!(12 <= understood, "only {understood} recordings were tried");
}

#[tokio::test]
async fn the_simulated_forges_answer_with_the_fields_of_real_ones() {
    let Some(shared) = shared("the_simulated_forges_answer_with_the_fields_of_real_ones") else {
        return;
    };
    for (kind, file) in [
        (Kind::GitHub, "github.json"),
        (Kind::GitLab, "gitlab.json"),
        (Kind::Forgejo, "forgejo.json"),
    ] {
        let forge = FakeForge::start(kind).await;
        forge.look(|world| world.commits.insert(sha('a').to_string(), false));
        let real: Vec<Value> = recordings(&shared, file);
        let real = real
            .iter()
            .find(|recording| {
                recording["method"] == "POST"
                    && recording["url"].as_str().unwrap().contains("/statuses/")
                    && recording["status"] == 201
            })
            .unwrap();
        let told = forge.raw_status(sha('a').as_str()).await;
        let keys = |value: &Value| {
            value.as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>()
        };
        let missing: Vec<_> = keys(&told).difference(&keys(&real["body"])).cloned().collect();
        assert_eq!(missing, Vec::<String>::new(), "{kind:?}: fields that no real forge sends");
        let short: Vec<_> = keys(&real["body"]).difference(&keys(&told)).cloned().collect();
        assert_eq!(short, Vec::<String>::new(), "{kind:?}: fields that a real forge sends too");
    }
}
