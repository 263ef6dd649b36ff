//! What is read: kinds, pull requests, pages, moved repositories, certificates, proxies, real recorded answers.

use std::sync::Arc;
use std::time::Duration;

use moorline::forge::{
    CommentDraft, CommentMode, Fate, FetchHead, Forge, ForgeError, Head, Marker, Place, Published,
    StatusTarget,
};
use moorline::model::ForgeKind as Kind;
use moorline::model::{CommitState, CommitStatus, Digest};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::{KINDS, clock, settings, sha};
use crate::support::fake_forge::{Comment, FakeForge, Fault, Pull};

#[tokio::test]
async fn the_kind_is_asked_of_the_server_and_never_guessed() {
    for kind in [Kind::GitHub, Kind::GitLab, Kind::Gitea, Kind::Forgejo] {
        let forge = FakeForge::start(kind).await;
        let mut settings = settings(&forge);
        settings.kind = None;
        let told = Forge::recognise(&settings).await.unwrap();
        assert_eq!(told.kind(), kind);
        let spoken = forge.look(|world| {
            world.received.iter().filter_map(|request| request.token.clone()).collect::<Vec<_>>()
        });
        assert_eq!(
            spoken,
            Vec::<String>::new(),
            "{kind:?}: the token was shown before the forge was known"
        );
    }
    let stranger = FakeForge::start(Kind::Bitbucket).await;
    let mut settings = settings(&stranger);
    settings.kind = None;
    assert!(matches!(Forge::recognise(&settings).await, Err(ForgeError::UnknownForge { .. })));
    let nobody = format!("http://127.0.0.1:{}/acme/fleet.git", free_port().await);
    let settings = moorline::forge::ForgeSettings::for_remote(&nobody, None, None, clock).unwrap();
    assert!(matches!(Forge::recognise(&settings).await, Err(ForgeError::Unreachable { .. })));
}

async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn all_open_pull_requests_are_found_over_all_pages_from_branches_and_forks() {
    for kind in KINDS {
        let forge = FakeForge::start(kind).await;
        forge.look(|world| {
            let project = world.project.clone();
            world.pulls = (1..=230)
                .map(|number| {
                    let from = match number % 3 {
                        0 => Some(project.clone()),
                        1 => Some("mallory/fleet".to_owned()),
                        _ => None,
                    };
                    let (head, branch) = (sha('a').to_string(), format!("change-{number}"));
                    Pull { open: number != 200, ..Pull::open(number, (&head, &branch), from) }
                })
                .collect();
        });
        let client = Forge::recognise(&settings(&forge)).await.unwrap();
        let found = client.open_pull_requests().await.unwrap();
        assert_eq!(found.len(), 229, "{kind:?}");
        let own: Vec<_> =
            found.iter().filter(|pull| !pull.fork).map(|pull| pull.number % 3).collect();
        assert!(own.iter().all(|rest| *rest == 0) && own.len() == 76, "{kind:?}: {}", own.len());
        let third = found.iter().find(|pull| pull.number == 3).unwrap();
        let fetch = match kind {
            Kind::GitHub => FetchHead::Refs {
                head: "refs/pull/3/head".into(),
                merge: Some("refs/pull/3/merge".into()),
            },
            Kind::GitLab => FetchHead::Refs {
                head: "refs/merge-requests/3/head".into(),
                merge: Some("refs/merge-requests/3/merge".into()),
            },
            Kind::Gitea | Kind::Forgejo => {
                FetchHead::Refs { head: "refs/pull/3/head".into(), merge: None }
            }
            Kind::Bitbucket | Kind::Azure => {
                FetchHead::Branch { fork: None, branch: "change-3".into() }
            }
        };
        assert_eq!(third.fetch, fetch);
        let head = if kind == Kind::Bitbucket {
            Head::Short("aaaaaaaaaaaa".into())
        } else {
            Head::Full(sha('a'))
        };
        assert_eq!(
            (&third.head, third.author.as_str(), third.base_branch.as_str()),
            (&head, "alice", "main")
        );

        // Unchanged lists are not sent again.
        forge.look(|world| world.received.clear());
        assert_eq!(client.open_pull_requests().await.unwrap(), found);
        let known = forge.look(|world| {
            world.received.iter().all(|request| request.headers.contains_key("if-none-match"))
        });
        assert!(known, "{kind:?}");
    }
}

#[tokio::test]
async fn our_comment_is_found_on_the_last_page() {
    for kind in KINDS {
        let forge = FakeForge::start(kind).await;
        forge.look(|world| {
            world.comments = (1..=250)
                .map(|id| Comment {
                    id,
                    place: "issues/7".into(),
                    author: if id == 240 { "moorline-bot" } else { "alice" }.into(),
                    body: if id == 240 { "<!-- moorline:plan -->\r\nold" } else { "me too" }.into(),
                })
                .collect();
        });
        let client = Forge::recognise(&settings(&forge)).await.unwrap();
        let marker = Marker::new("plan");
        let draft = |body| CommentDraft {
            place: &Place::PullRequest(7),
            marker: &marker,
            body,
            id: None,
            mode: CommentMode::Upsert,
        };
        let same = client.upsert_comment(draft("old")).await.unwrap();
        assert_eq!((same.published, same.id), (Published::Unchanged, Some(240)), "{kind:?}");
        let new = client.upsert_comment(draft("new")).await.unwrap();
        assert_eq!((new.published, new.id), (Published::Updated, Some(240)), "{kind:?}");
    }
}

/// An open pull request, as little of it as there may be.
fn pull(kind: Kind, number: usize) -> serde_json::Value {
    let sha = "a".repeat(40);
    match kind {
        Kind::GitLab => {
            json!({ "iid": number, "sha": sha, "source_branch": "x", "target_branch": "main" })
        }
        Kind::Bitbucket => json!({ "id": number, "source": { "branch": { "name": "x" } },
            "destination": { "branch": { "name": "main" } } }),
        _ => json!({ "number": number, "head": { "ref": "x", "sha": sha },
            "base": { "ref": "main", "sha": sha } }),
    }
}

#[tokio::test]
async fn a_list_without_an_end_is_an_error_and_not_its_beginning() {
    for kind in [Kind::GitHub, Kind::GitLab, Kind::Gitea, Kind::Bitbucket] {
        let forge = FakeForge::start(kind).await;
        let endless = (1..300).map(|number| {
            let next = format!("http://forge.invalid/?page={}", number + 1);
            let link = ("link", format!("<{next}>; rel=\"next\""));
            let body = match kind {
                Kind::Bitbucket => json!({ "values": [pull(kind, number)], "next": next }),
                _ => json!([pull(kind, number)]),
            };
            Fault::Answer(200, vec![link], body)
        });
        forge.look(|world| world.faults = endless.collect());
        let client = Forge::recognise(&settings(&forge)).await.unwrap();
        let problem = client.open_pull_requests().await.unwrap_err();
        assert!(problem.to_string().contains("more than 200 pages"), "{problem}");
        assert_eq!(forge.look(|world| world.received.len()), 200);
    }
}

#[tokio::test]
async fn pages_are_found_where_no_header_tells_of_them_and_where_a_server_knows_none() {
    for (kind, size) in [(Kind::GitHub, 100), (Kind::GitLab, 100), (Kind::Forgejo, 50)] {
        let forge = FakeForge::start(kind).await;
        let page = |numbers: std::ops::Range<usize>| {
            let all: Vec<_> = numbers.map(|number| pull(kind, number)).collect();
            Fault::Answer(200, vec![], json!(all))
        };
        let client = Forge::recognise(&settings(&forge)).await.unwrap();
        forge.look(|world| world.faults.extend([page(0..size), page(size..size + 3)]));
        assert_eq!(client.open_pull_requests().await.unwrap().len(), size + 3, "{kind:?}");
        let asked = forge.look(|world| world.received.last().unwrap().query.clone());
        assert!(asked.contains(&("page".to_owned(), "2".to_owned())), "{asked:?}");
        // It gives the same page again and again, or all at once.
        forge.look(|world| world.faults.extend([page(0..size), page(0..size)]));
        assert_eq!(client.open_pull_requests().await.unwrap().len(), size, "{kind:?}");
        forge.look(|world| world.faults.extend([page(0..size * 2)]));
        assert_eq!(client.open_pull_requests().await.unwrap().len(), size * 2, "{kind:?}");
        // GitLab's own header.
        let told = |next: &str, one: usize| {
            let Fault::Answer(_, _, body) = page(one..one + 1) else { return Fault::Hang };
            Fault::Answer(200, vec![("x-next-page", next.to_owned())], body)
        };
        forge.look(|world| world.faults.extend([told("2", 1), told("", 2)]));
        assert_eq!(client.open_pull_requests().await.unwrap().len(), 2, "{kind:?}");
        assert!(forge.look(|world| world.faults.is_empty()));
    }
}

#[tokio::test]
async fn a_renamed_repository_is_followed_and_another_host_is_not() {
    let forge = FakeForge::start(Kind::GitHub).await;
    forge.look(|world| world.renamed_from = Some("acme/old".into()));
    let mut moved = settings(&forge);
    moved.project = "acme/old".into();
    let client = Forge::recognise(&moved).await.unwrap();
    assert_eq!(client.open_pull_requests().await.unwrap(), []);
    let elsewhere = FakeForge::start(Kind::GitHub).await;
    let location = vec![("location", format!("{}/api/v3/repos/acme/fleet/pulls", elsewhere.url()))];
    let fault = Fault::Answer(302, location, serde_json::json!({}));
    forge.look(|world| world.faults.push_back(fault));
    assert!(matches!(client.open_pull_requests().await, Err(ForgeError::NotFound { .. })));
    assert_eq!(elsewhere.look(|world| world.received.len()), 0, "the token went to another host");
}

/// TLS in front of a simulated forge; gives the port.
async fn tls_front(
    forge: &FakeForge,
    tasks: &mut JoinSet<()>,
) -> (u16, rcgen::CertifiedKey<rcgen::KeyPair>) {
    let made =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])
            .unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, behind) = (listener.local_addr().unwrap().port(), forge.address);
    tasks.spawn(async move {
        let mut open = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            open.spawn(async move {
                let Ok(mut front) = acceptor.accept(stream).await else { return };
                let mut back = tokio::net::TcpStream::connect(behind).await.unwrap();
                drop(tokio::io::copy_bidirectional(&mut front, &mut back).await);
            });
        }
    });
    (port, made)
}

#[tokio::test]
async fn an_own_authority_and_a_pin_are_enough_and_nothing_less_is() {
    let forge = FakeForge::start(Kind::Forgejo).await;
    let mut tasks = JoinSet::new();
    let (port, made) = tls_front(&forge, &mut tasks).await;
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, made.cert.pem()).unwrap();
    let mut settings = settings(&forge);
    settings.api = format!("https://localhost:{port}").parse().unwrap();
    let ask = |settings: &moorline::forge::ForgeSettings| {
        let client = Forge::of_kind(Kind::Forgejo, settings);
        async move { client?.open_pull_requests().await }
    };
    assert!(ask(&settings).await.is_err(), "an unknown authority was accepted");
    settings.ca_file = Some(ca);
    assert_eq!(ask(&settings).await.unwrap(), []);
    settings.ca_file = None;
    settings.pin = Some(Digest::of(made.cert.der()));
    assert_eq!(ask(&settings).await.unwrap(), []);
    settings.pin = Some(Digest::of(b"another certificate"));
    assert!(matches!(ask(&settings).await, Err(ForgeError::Unreachable { .. })));
    settings.pin = None;
    settings.ca_file = Some(folder.path().join("missing.pem"));
    assert!(matches!(ask(&settings).await, Err(ForgeError::Tls { .. })));
}

#[tokio::test]
async fn a_proxy_carries_the_requests() {
    let forge = FakeForge::start(Kind::Gitea).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    let behind = forge.address;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = vec![0; 4096];
        let read = stream.read(&mut head).await.unwrap();
        let text = String::from_utf8_lossy(&head[..read]).into_owned();
        assert!(text.starts_with("GET http://localhost:1/"), "{text}");
        let mut back = tokio::net::TcpStream::connect(behind).await.unwrap();
        back.write_all(text.replacen("http://localhost:1", "", 1).as_bytes()).await.unwrap();
        drop(tokio::io::copy_bidirectional(&mut stream, &mut back).await);
    });
    let mut settings = settings(&forge);
    settings.api = "http://localhost:1".parse().unwrap();
    settings.proxy = Some(proxy.parse().unwrap());
    settings.patience = Duration::from_secs(2);
    let client = Forge::of_kind(Kind::Gitea, &settings).unwrap();
    assert_eq!(client.open_pull_requests().await.unwrap(), []);
}

#[tokio::test]
async fn a_link_leads_to_the_manifests_line_at_the_commit() {
    let cases = [
        (
            Kind::GitHub,
            "https://github.com",
            "https://github.com/acme/fleet/blob/REV/stacks/a%20b/compose.yaml#L7",
        ),
        (
            Kind::GitLab,
            "https://example.com/gitlab",
            "https://example.com/gitlab/acme/fleet/-/blob/REV/stacks/a%20b/compose.yaml#L7",
        ),
        (
            Kind::Forgejo,
            "https://codeberg.org",
            "https://codeberg.org/acme/fleet/src/commit/REV/stacks/a%20b/compose.yaml#L7",
        ),
        (
            Kind::Bitbucket,
            "https://bitbucket.org",
            "https://bitbucket.org/acme/fleet/src/REV/stacks/a%20b/compose.yaml#lines-7",
        ),
        (
            Kind::Azure,
            "https://dev.azure.com",
            "https://dev.azure.com/acme/fleet/_git/fleet?path=/stacks/a%20b/compose.yaml&version=GCREV&line=7&lineEnd=8&lineStartColumn=1&lineEndColumn=1",
        ),
    ];
    for (kind, web, link) in cases {
        let path = if kind == Kind::Azure { "acme/_git/fleet" } else { "acme/fleet.git" };
        let remote = format!("{web}/{path}");
        let settings = moorline::forge::ForgeSettings::for_remote(
            &remote,
            Some(kind),
            web.parse().ok(),
            clock,
        )
        .unwrap();
        let client = Forge::of_kind(kind, &settings).unwrap();
        let shown = client.file_link(&sha('a'), "stacks/a b/compose.yaml", 7);
        assert_eq!(shown, link.replace("REV", sha('a').as_str()));
    }
}

#[tokio::test]
async fn each_forge_tells_what_became_of_a_pull_request() {
    for kind in KINDS {
        let forge = FakeForge::start(kind).await;
        forge.look(|world| {
            let from = Some(world.project.clone());
            let head = sha('a').to_string();
            let pull = |number, open, merged: Option<String>| {
                let pull = Pull::open(number, (&head, "x"), from.clone());
                Pull { open, merged, ..pull }
            };
            world.pulls = vec![
                pull(1, true, None),
                pull(2, false, Some(sha('b').to_string())),
                pull(3, false, None),
            ];
        });
        let client = Forge::recognise(&settings(&forge)).await.unwrap();
        let merged = match kind {
            Kind::Bitbucket => Head::Short("bbbbbbbbbbbb".into()),
            _ => Head::Full(sha('b')),
        };
        assert_eq!(client.fate(1).await.unwrap(), Fate::Open, "{kind:?}");
        assert_eq!(client.fate(2).await.unwrap(), Fate::Merged(Some(merged)), "{kind:?}");
        assert_eq!(client.fate(3).await.unwrap(), Fate::Closed, "{kind:?}");
        assert!(matches!(client.fate(4).await, Err(ForgeError::NotFound { .. })), "{kind:?}");
    }
}

#[tokio::test]
async fn azure_shows_a_plan_on_the_pull_request_too_where_policies_look() {
    let forge = FakeForge::start(Kind::Azure).await;
    let head = sha('a');
    forge.look(|world| {
        world.commits.insert(head.to_string(), false);
        let from = Some(world.project.clone());
        world.pulls = vec![Pull::open(7, (head.as_str(), "x"), from)];
    });
    let client = Forge::recognise(&settings(&forge)).await.unwrap();
    let status = CommitStatus {
        context: "moorline/plan".into(),
        state: CommitState::Success,
        description: "nothing to do".into(),
        link: None,
        progress: None,
    };
    let target = StatusTarget { revision: head.clone(), branch: None, pull_request: Some(7) };
    client.publish(&target, &status).await.unwrap();
    let places: Vec<String> =
        forge.look(|world| world.statuses.iter().map(|status| status.sha.clone()).collect());
    assert_eq!(places, [head.to_string(), "pull/7".to_owned()]);
    assert_eq!(client.read_statuses(&head).await.unwrap(), [status]);
}
