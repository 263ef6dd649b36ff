//! The daemon's listener: webhooks of each forge, and health.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use moorline::model::{RepositoryName, Secret, Timestamp};
use moorline::web::{Bell, Doors, Hook, HookBook, LookNow, Readiness, bind, serve};
use ring::hmac;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::fake_forge::plain_client;

const SECRET: &str = "correct horse battery staple";

struct Listener {
    url: String,
    bell: Bell,
    why_not: Arc<Mutex<Option<String>>>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

fn name(text: &str) -> RepositoryName {
    RepositoryName::parse(text).unwrap()
}

fn look(text: &str) -> LookNow {
    LookNow { repository: name(text) }
}

async fn listen() -> Listener {
    let hook = |kind, secrets: &[&str]| Hook {
        kind,
        secrets: secrets.iter().map(|secret| Secret::new((*secret).to_owned())).collect(),
    };
    let hooks = BTreeMap::from([
        (name("fleet"), hook(None, &["the next one", SECRET])),
        (name("hub"), hook(Some(moorline::model::ForgeKind::GitHub), &[SECRET])),
        (name("bare"), hook(None, &[])),
    ]);
    let why_not = Arc::new(Mutex::new(Some("starting".to_owned())));
    let told = Arc::clone(&why_not);
    let doors = Doors {
        hooks: Arc::new(HookBook::new(hooks)),
        bell: Bell::default(),
        readiness: Readiness::new(move || told.lock().unwrap().clone()),
        clock: || Timestamp::from_millis(1_795_219_200_000),
    };
    let bell = doors.bell.clone();
    let listener = bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(serve(listener, doors.router(), stop.clone()));
    Listener { url, bell, why_not, stop, tasks }
}

fn hex_of(secret: &str, body: &[u8]) -> String {
    hex::encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), body))
}

/// The headers of a forge's delivery.
fn headers(
    forge: &str,
    event: &str,
    secret: &str,
    delivery: &str,
    body: &[u8],
) -> Vec<(&'static str, String)> {
    let hex = hex_of(secret, body);
    let both = |gitea: bool| {
        let mut all = vec![
            ("x-github-event", event.to_owned()),
            ("x-github-delivery", delivery.to_owned()),
            ("x-hub-signature-256", format!("sha256={hex}")),
        ];
        if gitea {
            all.extend([
                ("x-gitea-event", event.to_owned()),
                ("x-gitea-delivery", delivery.to_owned()),
                ("x-gitea-signature", hex.clone()),
            ]);
        }
        all
    };
    match forge {
        "github" => both(false),
        "gitea" => both(true),
        "gitlab" => vec![
            ("x-gitlab-event", event.to_owned()),
            ("x-gitlab-token", secret.to_owned()),
            ("idempotency-key", delivery.to_owned()),
        ],
        _ => vec![
            ("x-event-key", event.to_owned()),
            ("x-request-uuid", delivery.to_owned()),
            ("x-hub-signature", format!("sha256={hex}")),
        ],
    }
}

impl Listener {
    async fn post(
        &self,
        hook: &str,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    ) -> (u16, String) {
        let mut request = plain_client().post(format!("{}/hooks/{hook}", self.url)).body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let answer = plain_client().get(format!("{}{path}", self.url)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn end(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

const EVENTS: [(&str, &str, &str); 8] = [
    ("github", "push", "github-push.json"),
    ("github", "pull_request", "github-pull_request-synchronize.json"),
    ("gitea", "push", "gitea-push.json"),
    ("gitea", "pull_request", "gitea-pull_request_opened.json"),
    ("gitlab", "Push Hook", "gitlab-push.json"),
    ("gitlab", "Merge Request Hook", "gitlab-pull_request_create.json"),
    ("bitbucket", "repo:push", "bitbucket-push.json"),
    ("bitbucket", "pullrequest:created", "bitbucket-pr_created.json"),
];

/// The real payload where it is there, something small elsewhere: the content is never believed.
fn payload(file: &str) -> Vec<u8> {
    let folder = std::env::var("MOORLINE_SHARED").ok();
    let path =
        folder.map(|folder| std::path::Path::new(&folder).join("openapi/webhooks").join(file));
    path.and_then(|path| std::fs::read(path).ok())
        .unwrap_or_else(|| b"{\"ref\":\"refs/heads/main\"}".to_vec())
}

#[tokio::test]
async fn a_signed_push_or_pull_request_of_each_forge_means_look_now_and_nothing_else() {
    let listener = listen().await;
    for (index, (forge, event, file)) in EVENTS.iter().enumerate() {
        let body = payload(file);
        let good = headers(forge, event, SECRET, &format!("delivery-{index}"), &body);
        assert_eq!(
            listener.post("fleet", good.clone(), body.clone()).await.0,
            202,
            "{forge} {event}"
        );
        assert_eq!(listener.bell.heard_already(), Some(look("fleet")), "{forge} {event}");
        // The same delivery again is answered well and means nothing.
        assert_eq!(listener.post("fleet", good, body.clone()).await, (200, "seen before\n".into()));
        assert_eq!(listener.bell.heard_already(), None, "{forge} {event}");
        // A wrong secret, and a changed body.
        let wrong = headers(forge, event, "guess", &format!("wrong-{index}"), &body);
        assert_eq!(listener.post("fleet", wrong, body.clone()).await.0, 401, "{forge} {event}");
        if *forge != "gitlab" {
            let moved = headers(forge, event, SECRET, &format!("moved-{index}"), &body);
            let changed = [body.as_slice(), b" "].concat();
            assert_eq!(listener.post("fleet", moved, changed).await.0, 401, "{forge} {event}");
        }
        assert_eq!(listener.bell.heard_already(), None);
    }
    listener.end().await;
}

#[tokio::test]
async fn ten_webhooks_are_one_look() {
    let listener = listen().await;
    for index in 0..10 {
        let all = headers("github", "push", SECRET, &format!("d{index}"), b"{}");
        assert_eq!(listener.post("hub", all, b"{}".to_vec()).await.0, 202);
    }
    assert_eq!(listener.bell.heard().await.repository, name("hub"));
    assert_eq!(listener.bell.heard_already(), None);
    listener.end().await;
}

#[tokio::test]
async fn what_is_not_for_us_is_answered_clearly() {
    let listener = listen().await;
    let push = |secret: &str, delivery: &str| headers("github", "push", secret, delivery, b"{}");
    let cases = [
        ("without a secret it refuses", "bare", push("", "a"), 404),
        ("no such repository", "other", push(SECRET, "b"), 404),
        ("no forge of ours", "fleet", vec![("x-other", "1".to_owned())], 400),
        ("no signature", "hub", vec![("x-github-event", "push".to_owned())], 401),
        (
            "gitlab's token on github's endpoint",
            "hub",
            headers("gitlab", "Push Hook", SECRET, "c", b"{}"),
            401,
        ),
        ("an event that we do not know", "hub", headers("github", "star", SECRET, "d", b"{}"), 200),
        ("a ping", "hub", headers("github", "ping", SECRET, "e", b"{}"), 200),
    ];
    for (what, hook, all, code) in cases {
        assert_eq!(listener.post(hook, all, b"{}".to_vec()).await.0, code, "{what}");
        assert_eq!(listener.bell.heard_already(), None, "{what}");
    }
    let large = vec![b' '; 3 * 1024 * 1024 + 1];
    let all = headers("github", "push", SECRET, "f", &large);
    assert_eq!(listener.post("hub", all, large).await.0, 413);
    let largest = vec![b' '; 3 * 1024 * 1024];
    let all = headers("github", "push", SECRET, "g", &largest);
    assert_eq!(listener.post("hub", all, largest).await.0, 202);
    listener.end().await;
}

#[tokio::test]
async fn health_is_told_without_a_secret() {
    let listener = listen().await;
    assert_eq!(listener.get("/healthz").await, (200, "ok\n".into()));
    assert_eq!(listener.get("/readyz").await, (503, "not ready: starting\n".into()));
    *listener.why_not.lock().unwrap() = None;
    assert_eq!(listener.get("/readyz").await, (200, "ready\n".into()));
    *listener.why_not.lock().unwrap() = Some("no repository could be read".to_owned());
    assert_eq!(listener.get("/readyz").await.0, 503);
    assert_eq!(listener.get("/hooks/hub").await.0, 405);
    assert_eq!(listener.get("/etc/passwd").await.0, 404);
    listener.end().await;
}

#[tokio::test]
async fn connections_that_say_nothing_lock_nobody_out() {
    let listener = listen().await;
    let address = listener.url.strip_prefix("http://").unwrap().to_owned();
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(tokio::net::TcpStream::connect(&address).await.unwrap());
    }
    let asked = std::time::Instant::now();
    let health = plain_client().get(format!("{}/healthz", listener.url)).send().await.unwrap();
    assert_eq!(health.status(), 200);
    // Far less than it takes until those that say nothing are ended by themselves.
    assert!(asked.elapsed() < std::time::Duration::from_secs(5), "{:?}", asked.elapsed());
    drop(idle);
}
