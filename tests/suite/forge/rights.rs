//! Missing rights, refused tokens, Apps, and secrets that must not leave.

use std::time::Duration;

use moorline::forge::{Ability, Credentials, Forge, ForgeError};
use moorline::model::CommitState::{Failure, Success};
use moorline::model::ForgeKind as Kind;
use moorline::model::Secret;
use moorline::report::mask::SecretSet;

use super::{KINDS, Post, QUICK, comment, settings, sha, status, until};
use crate::support::fake_forge::{FakeForge, Rights, TOKEN};
use crate::support::{a_moment, stays};

#[tokio::test]
async fn a_missing_right_rests_one_ability_and_names_itself() {
    for kind in KINDS {
        let forge = FakeForge::start(kind).await;
        let folder = tempfile::tempdir().unwrap();
        let commit = sha('a');
        forge.look(|world| {
            world.commits.insert(commit.to_string(), false);
            world.rights = Rights { statuses: false, comments: true };
        });
        let post = Post::start(settings(&forge), QUICK, folder.path().join("posted.json")).await;
        for round in 0..20 {
            post.postbox.put(status(&commit, "moorline/shop", Success, &format!("round {round}")));
            post.postbox.put(comment(7, &format!("round {round}")));
            a_moment().await;
        }
        until(&forge, "the comment", |world| {
            world.comments.iter().any(|comment| comment.body.contains("round 19"))
        })
        .await;
        let tries = forge.look(|world| {
            let writes = world.received.iter().filter(|request| request.is_write());
            writes.filter(|request| request.path.contains("/statuses")).count()
        });
        assert_eq!(tries, 1, "{kind:?}");
        let resting = post.postbox.condition().resting;
        let (right, why) = resting.first().unwrap();
        assert_eq!(*right, moorline::forge::Right::Statuses);
        let named = match kind {
            Kind::GitHub => "statuses=write",
            Kind::GitLab => "Developer",
            Kind::Gitea | Kind::Forgejo => "write:repository",
            Kind::Bitbucket => "repository",
            Kind::Azure => "Code (status)",
        };
        assert!(why.contains(named), "{kind:?}: {why}");

        // The operator gives the right, and says so.
        forge.look(|world| world.rights = Rights { statuses: true, comments: true });
        post.postbox.reopen();
        post.quiet().await;
        assert_eq!(forge.look(|world| world.statuses.len()), 1, "{kind:?}");
        post.stop().await;
    }
}

#[tokio::test]
async fn a_refused_token_is_not_tried_again_and_again() {
    for kind in KINDS {
        let forge = FakeForge::start(kind).await;
        let folder = tempfile::tempdir().unwrap();
        forge.look(|world| world.token = Some("another".to_owned()));
        let post = Post::start(settings(&forge), QUICK, folder.path().join("posted.json")).await;
        for round in 0..30 {
            post.postbox.put(status(
                &sha('a'),
                "moorline/shop",
                Failure,
                &format!("round {round}"),
            ));
            post.postbox.put(comment(7, &format!("round {round}")));
            a_moment().await;
        }
        let few = || forge.look(|world| world.received.len() <= 2);
        stays("it is not tried again and again", Duration::from_millis(100), few).await;
        assert!(post.postbox.condition().problem.unwrap().contains("does not accept the token"));
        post.stop().await;
    }
}

#[tokio::test]
async fn doctor_tells_what_a_token_can_do() {
    for kind in KINDS {
        let forge = FakeForge::start(kind).await;
        let told = Forge::recognise(&settings(&forge)).await.unwrap().abilities().await.unwrap();
        assert_eq!(told.read, Ability::Yes);
        assert!(told.account.unwrap().contains("moorline-bot"), "{kind:?}");
        assert!(!matches!(told.statuses, Ability::No(_)), "{kind:?}: {:?}", told.statuses);
        let mut anonymous = settings(&forge);
        anonymous.credentials = Credentials::Anonymous;
        forge.look(|world| world.token = None);
        let told = Forge::recognise(&anonymous).await.unwrap().abilities().await.unwrap();
        assert_eq!(told.statuses, Ability::No("a token".to_owned()), "{kind:?}");
    }
    let forge = FakeForge::start(Kind::GitLab).await;
    forge.look(|world| world.rights.statuses = false);
    let told = Forge::recognise(&settings(&forge)).await.unwrap().abilities().await.unwrap();
    assert!(matches!(told.statuses, Ability::No(missing) if missing.contains("Developer")));
}

#[tokio::test]
async fn a_token_file_is_read_anew_for_every_request() {
    let forge = FakeForge::start(Kind::Gitea).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "the-old-token\n").unwrap();
    let mut settings = settings(&forge);
    settings.credentials = Credentials::TokenFile(file.clone());
    let client = Forge::recognise(&settings).await.unwrap();
    assert!(matches!(client.open_pull_requests().await, Err(ForgeError::Unauthorised { .. })));
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    assert_eq!(client.open_pull_requests().await.unwrap(), []);
    std::fs::write(&file, "two words").unwrap();
    let refused = client.open_pull_requests().await.unwrap_err();
    assert!(!format!("{refused} {refused:?}").contains("two words"));
}

#[tokio::test]
async fn a_github_app_buys_its_token_and_renews_it() {
    let forge = FakeForge::start(Kind::GitHub).await;
    let folder = tempfile::tempdir().unwrap();
    let (pem, public) = rsa_key(folder.path());
    let commit = sha('a');
    forge.look(|world| {
        world.app_key = Some(public);
        world.token = Some("none yet".to_owned());
        world.account = "moorline[bot]".to_owned();
        world.commits.insert(commit.to_string(), false);
    });
    let mut settings = settings(&forge);
    settings.credentials =
        Credentials::App { app: "Iv1.moorline".to_owned(), key_file: pem, installation: None };
    let post = Post::start(settings, QUICK, folder.path().join("posted.json")).await;
    post.say(status(&commit, "moorline", Success, "in sync")).await;
    post.say(comment(7, "one")).await;
    assert_eq!(forge.look(|world| world.tokens_bought), 1);
    // GitHub takes the token back.
    forge.look(|world| world.token = Some("revoked".to_owned()));
    post.say(status(&commit, "moorline", Failure, "out of sync")).await;
    post.say(comment(7, "two")).await;
    assert_eq!(
        forge.look(|world| (world.tokens_bought, world.statuses.len(), world.comments.len())),
        (2, 2, 1)
    );
    post.stop().await;
}

/// A key made by openssl: the PEM file, and the public half as ring wants it.
fn rsa_key(folder: &std::path::Path) -> (std::path::PathBuf, Vec<u8>) {
    use rustls::pki_types::pem::PemObject as _;
    let file = folder.join("app.pem");
    let made = std::process::Command::new("openssl")
        .args(["genrsa", "-traditional", "-out"])
        .arg(&file)
        .arg("2048")
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let key = match rustls::pki_types::PrivateKeyDer::from_pem_file(&file).unwrap() {
        rustls::pki_types::PrivateKeyDer::Pkcs1(key) => {
            ring::signature::RsaKeyPair::from_der(key.secret_pkcs1_der()).unwrap()
        }
        rustls::pki_types::PrivateKeyDer::Pkcs8(key) => {
            ring::signature::RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap()
        }
        _ => panic!("not RSA"),
    };
    (file, ring::signature::KeyPair::public_key(&key).as_ref().to_vec())
}

#[tokio::test]
async fn a_planted_secret_leaves_in_no_request_and_no_error() {
    const PLANTED: &str = "hunter2/ with+specials\"";
    for kind in KINDS {
        let forge = FakeForge::start(kind).await;
        let folder = tempfile::tempdir().unwrap();
        let commit = sha('a');
        forge.look(|world| world.commits.insert(commit.to_string(), false));
        let memory = folder.path().join("posted.json");
        let post = Post::start(settings(&forge), QUICK, memory.clone()).await;
        post.postbox.hide(&SecretSet::of([PLANTED]));
        let words = format!("failed: cannot log in with {PLANTED} or {TOKEN}");
        post.say(status(&commit, "moorline/shop", Failure, &words)).await;
        post.say(comment(
            7,
            &format!("plan\n\n- {PLANTED}\n- {}\n- {TOKEN}", url_escaped(PLANTED)),
        ))
        .await;
        let sent = forge.look(|world| {
            let all = world.received.iter().map(|request| {
                format!(
                    "{} {:?} {:?} {:?}",
                    request.path, request.query, request.body, request.headers
                )
            });
            all.collect::<String>()
        });
        let kept = std::fs::read_to_string(&memory).unwrap();
        for (place, text) in [("request", &sent), ("memory", &kept)] {
            for leak in ["hunter2", "hunter2%2F"] {
                assert!(!text.contains(leak), "{kind:?}: {leak} in a {place}: {text}");
            }
        }
        assert!(!sent.contains(TOKEN), "{kind:?}");
        assert!(sent.contains("cannot log in with *** or ***"), "{kind:?}: {sent}");
        post.stop().await;

        // Errors: the forge repeats the token, the connection fails, the answer is rubbish.
        let client = Forge::recognise(&settings(&forge)).await.unwrap();
        for (code, body) in
            [(400, TOKEN), (418, TOKEN), (500, TOKEN), (401, TOKEN), (403, TOKEN), (404, TOKEN)]
        {
            let answer = serde_json::json!({ "message": format!("bad token {body}") });
            let fault = crate::support::fake_forge::Fault::Answer(code, vec![], answer);
            forge.look(|world| world.faults.push_back(fault));
            let problem = client.open_pull_requests().await.unwrap_err();
            assert!(!format!("{problem} {problem:?}").contains(TOKEN), "{kind:?}: {problem:?}");
        }
    }
    let secret = Credentials::Token(Secret::new(TOKEN.to_owned()));
    assert!(!format!("{secret:?}").contains(TOKEN));
}

fn url_escaped(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
