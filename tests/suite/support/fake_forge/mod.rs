//! Simulated forges on real sockets. They answer in the shapes of recorded answers and enforce the forges' rules:
//! limits, state transitions, pages, rights, contexts. Everything they receive is kept for inspection.

mod azure;
mod bitbucket;
mod gitea;
mod github;
mod gitlab;
mod hub;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::stream;
use http_body_util::BodyExt as _;
use moorline::model::ForgeKind as Kind;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Received {
    pub method: String,
    /// Without the API's base, still escaped.
    pub path: String,
    pub query: Vec<(String, String)>,
    pub body: Option<Value>,
    /// All headers but the one that carries the token.
    pub headers: BTreeMap<String, String>,
    pub token: Option<String>,
}

impl Received {
    pub fn is_write(&self) -> bool {
        self.method != "GET"
    }

    fn segments(&self) -> Vec<String> {
        self.path.split('/').filter(|part| !part.is_empty()).map(unescape).collect()
    }

    fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.body.as_ref()?.get(name)?.as_str()
    }
}

/// What goes wrong with the next requests.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This answer instead.
    Answer(u16, Vec<(&'static str, String)>, Value),
    /// Nothing ever comes.
    Hang,
    /// The connection breaks in the middle of an answer to a request that was not carried out.
    Break,
    /// The request is carried out, and the connection breaks in the middle of the answer.
    Lose,
}

#[derive(Debug, Clone)]
pub struct Status {
    pub id: u64,
    pub sha: String,
    pub context: String,
    /// In the forge's own words.
    pub state: String,
    pub description: String,
    pub url: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Comment {
    pub id: u64,
    /// `pulls/7`, `issues/3`.
    pub place: String,
    pub author: String,
    pub body: String,
}

#[derive(Debug, Clone)]
pub struct Pull {
    pub number: u64,
    pub head: String,
    pub branch: String,
    /// `owner/name` of the head's repository; `None` when it is gone.
    pub from: Option<String>,
    pub open: bool,
    /// The commit that it was merged as; one that is closed without was not merged.
    pub merged: Option<String>,
    /// The branch that it wants to be merged into.
    pub into: String,
    /// Whether its author says that it is not ready.
    pub draft: bool,
}

impl Pull {
    /// One that is open, wants to be merged into `main`, and is ready.
    pub fn open(number: u64, (head, branch): (&str, &str), from: Option<String>) -> Self {
        Self {
            number,
            head: head.to_owned(),
            branch: branch.to_owned(),
            from,
            open: true,
            merged: None,
            into: "main".to_owned(),
            draft: false,
        }
    }
}

/// What a token may do.
#[derive(Debug, Clone, Copy)]
pub struct Rights {
    pub statuses: bool,
    pub comments: bool,
}

#[derive(Debug)]
pub struct World {
    pub kind: Kind,
    pub project: String,
    pub account: String,
    pub token: Option<String>,
    pub rights: Rights,
    /// Commits by id, with whether a pipeline of the forge's own runs for them.
    pub commits: BTreeMap<String, bool>,
    pub statuses: Vec<Status>,
    pub comments: Vec<Comment>,
    pub pulls: Vec<Pull>,
    pub received: Vec<Received>,
    pub faults: VecDeque<Fault>,
    /// Goes wrong with every request while it is there.
    pub standing_fault: Option<Fault>,
    /// The public key of the GitHub App (DER), and how many tokens it bought.
    pub app_key: Option<Vec<u8>>,
    pub tokens_bought: u64,
    pub renamed_from: Option<String>,
    /// The sub-path of the forge's address; everything beside it is another site's.
    pub prefix: String,
    next_id: u64,
}

/// An answer.
pub struct Reply {
    code: u16,
    headers: Vec<(String, String)>,
    body: Value,
}

impl Reply {
    fn ok(body: Value) -> Self {
        Self { code: 200, headers: Vec::new(), body }
    }

    fn created(body: Value) -> Self {
        Self { code: 201, ..Self::ok(body) }
    }

    fn refused(code: u16, body: Value) -> Self {
        Self { code, headers: Vec::new(), body }
    }

    fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }
}

impl World {
    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// The newest status of a context on a commit.
    pub fn status(&self, sha: &str, context: &str) -> Option<&Status> {
        self.statuses
            .iter()
            .filter(|status| status.sha == sha && status.context == context)
            .max_by_key(|status| status.id)
    }

    /// All states that a context went through, in order.
    pub fn history(&self, sha: &str, context: &str) -> Vec<String> {
        let of = |status: &&Status| status.sha == sha && status.context == context;
        self.statuses.iter().filter(of).map(|status| status.state.clone()).collect()
    }

    pub fn writes(&self) -> usize {
        self.received
            .iter()
            .filter(|request| request.is_write() && !request.path.contains("access_tokens"))
            .count()
    }

    /// Comments that were written or edited on pull requests.
    pub fn comment_writes(&self) -> usize {
        let places = ["comments", "notes", "threads"];
        let is_comment = |path: &str| places.iter().any(|place| path.contains(place));
        let all = self.received.iter().filter(|request| request.is_write());
        all.filter(|request| is_comment(&request.path)).count()
    }

    /// A status of ours from what a request says, in the forge's own words; it is not there yet.
    fn made(&mut self, sha: &str, request: &Received, [context, state, url]: [&str; 3]) -> Status {
        let said = |field: &str| request.field(field).unwrap_or_default().to_owned();
        Status {
            id: self.id(),
            sha: sha.to_owned(),
            context: context.to_owned(),
            state: state.to_owned(),
            description: said("description"),
            url: request.field(url).map(str::to_owned),
        }
    }

    /// All comments at a place.
    fn comments_at(&self, place: &str, shown: fn(&Comment) -> Value) -> Vec<Value> {
        self.comments.iter().filter(|comment| comment.place == place).map(shown).collect()
    }

    /// Adds a comment at a place, or changes the one with an id, at that place where one is given.
    fn write_comment(
        &mut self,
        (place, id): (Option<&str>, Option<u64>),
        body: String,
        shown: fn(&Comment) -> Value,
    ) -> Option<Reply> {
        let Some(id) = id else {
            let (place, author) = (place?.to_owned(), self.account.clone());
            let made = Comment { id: self.id(), place, author, body };
            let told = shown(&made);
            self.comments.push(made);
            return Some(Reply::created(told));
        };
        let here = |comment: &&mut Comment| {
            comment.id == id && place.is_none_or(|place| comment.place == place)
        };
        let found = self.comments.iter_mut().find(here)?;
        found.body = body;
        Some(Reply::ok(shown(found)))
    }

    fn answer(&mut self, request: &Received) -> Reply {
        if request.path.starts_with("OUTSIDE") {
            return Reply::refused(404, json!("<html>there is no such page</html>"));
        }
        match self.kind {
            Kind::GitHub => github::answer(self, request),
            Kind::GitLab => gitlab::answer(self, request),
            Kind::Gitea | Kind::Forgejo => gitea::answer(self, request),
            Kind::Bitbucket => bitbucket::answer(self, request),
            Kind::Azure => azure::answer(self, request),
        }
    }
}

/// The API's base below the forge's address.
pub fn base(kind: Kind) -> &'static str {
    match kind {
        Kind::GitHub => "/api/v3",
        Kind::GitLab => "/api/v4",
        Kind::Gitea | Kind::Forgejo => "/api/v1",
        Kind::Bitbucket => "/2.0",
        Kind::Azure => "",
    }
}

/// A simulated forge; ends when it is dropped.
pub struct FakeForge {
    pub world: Arc<Mutex<World>>,
    pub address: SocketAddr,
    tasks: JoinSet<()>,
}

pub const TOKEN: &str = "tok-5ecret-0123456789-abcdefghij";

impl FakeForge {
    pub async fn start(kind: Kind) -> Self {
        let world = World {
            kind,
            project: match kind {
                Kind::GitLab | Kind::Azure => "acme/infra/fleet",
                _ => "acme/fleet",
            }
            .to_owned(),
            account: "moorline-bot".to_owned(),
            token: Some(TOKEN.to_owned()),
            rights: Rights { statuses: true, comments: true },
            commits: BTreeMap::new(),
            statuses: Vec::new(),
            comments: Vec::new(),
            pulls: Vec::new(),
            received: Vec::new(),
            faults: VecDeque::new(),
            standing_fault: None,
            app_key: None,
            tokens_bought: 0,
            renamed_from: None,
            prefix: String::new(),
            next_id: 1000,
        };
        let mut forge = Self {
            world: Arc::new(Mutex::new(world)),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            tasks: JoinSet::new(),
        };
        forge.open().await;
        forge
    }

    /// Listens (again) at the same address.
    pub async fn open(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.address = listener.local_addr().unwrap();
        let world = Arc::clone(&self.world);
        let router =
            axum::Router::new().fallback(move |request| receive(Arc::clone(&world), request));
        self.tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    }

    /// Refuses connections.
    pub async fn close(&mut self) {
        self.tasks.shutdown().await;
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn look<T>(&self, at: impl FnOnce(&mut World) -> T) -> T {
        at(&mut self.world.lock().unwrap())
    }
}

impl FakeForge {
    /// The answer to a status that someone else posts.
    pub async fn raw_status(&self, sha: &str) -> Value {
        let (kind, project) = self.look(|world| (world.kind, world.project.replace('/', "%2F")));
        let path = match kind {
            Kind::GitLab => format!("/projects/{project}/statuses/{sha}"),
            _ => format!("/repos/{}/statuses/{sha}", project.replace("%2F", "/")),
        };
        let url = format!("{}{}{path}", self.url(), base(kind));
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(plain_tls())
            .build()
            .unwrap();
        let (name, token) = match kind {
            Kind::GitHub => ("authorization", format!("Bearer {TOKEN}")),
            Kind::GitLab => ("private-token", TOKEN.to_owned()),
            _ => ("authorization", format!("token {TOKEN}")),
        };
        let request = client.post(url).header(name, token);
        let body = json!({ "state": "success", "context": "x", "name": "x", "description": "y" });
        request.json(&body).send().await.unwrap().json().await.unwrap()
    }
}

/// A client for plain HTTP that asks no proxy.
pub fn plain_client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().tls_backend_preconfigured(plain_tls()).build().unwrap()
}

fn plain_tls() -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
}

async fn receive(world: Arc<Mutex<World>>, request: axum::extract::Request) -> Response {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let mut headers = BTreeMap::new();
    let mut token = None;
    for (name, value) in &head.headers {
        let text = value.to_str().unwrap_or_default().to_owned();
        match name.as_str() {
            "authorization" | "private-token" => token = Some(text),
            _ => {
                headers.insert(name.to_string(), text);
            }
        }
    }
    let whole = head.uri.path();
    let base = {
        let world = world.lock().unwrap();
        format!("{}{}", world.prefix, base(world.kind))
    };
    let received = Received {
        method: head.method.to_string(),
        path: whole.strip_prefix(&base).unwrap_or(&format!("OUTSIDE{whole}")).to_owned(),
        query: url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect(),
        body: (!body.is_empty()).then(|| serde_json::from_slice(&body).unwrap()),
        headers,
        token,
    };
    let (fault, reply) = {
        let mut world = world.lock().unwrap();
        world.received.push(received.clone());
        let fault = world.faults.pop_front().or_else(|| world.standing_fault.clone());
        let reply = match &fault {
            None | Some(Fault::Lose) => Some(world.answer(&received)),
            Some(Fault::Answer(code, headers, body)) => Some(Reply {
                code: *code,
                headers: headers
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), value.clone()))
                    .collect(),
                body: body.clone(),
            }),
            Some(Fault::Hang | Fault::Break) => None,
        };
        (fault, reply)
    };
    respond(fault, reply, &received).await
}

async fn respond(fault: Option<Fault>, reply: Option<Reply>, received: &Received) -> Response {
    if matches!(fault, Some(Fault::Hang)) {
        tokio::time::sleep(Duration::from_mins(10)).await;
    }
    let Some(reply) = reply.filter(|_| !matches!(fault, Some(Fault::Lose | Fault::Break))) else {
        let pieces: Vec<Result<Bytes, std::io::Error>> =
            vec![Ok(Bytes::from_static(b"{\"id\":")), Err(std::io::Error::other("cut"))];
        return Response::builder()
            .status(201)
            .body(Body::from_stream(stream::iter(pieces)))
            .unwrap();
    };
    let text = reply.body.to_string();
    let etag = format!(
        "\"{:x}\"",
        text.len()
            ^ text.bytes().fold(7, |sum: usize, byte| sum.wrapping_mul(31) + usize::from(byte))
    );
    let fresh = reply.code == 200 && received.headers.get("if-none-match") == Some(&etag);
    let mut builder = Response::builder().status(if fresh { 304 } else { reply.code });
    builder = builder.header("content-type", "application/json").header("etag", etag);
    for (name, value) in reply.headers {
        builder = builder.header(name, value);
    }
    builder.body(Body::from(if fresh || reply.code == 204 { String::new() } else { text })).unwrap()
}

/// One page, and the `Link` header with a host that is not reachable: what a forge behind a proxy says.
fn page(request: &Received, items: Vec<Value>, size: &str, most: usize, default: usize) -> Reply {
    let per = request.query(size).map_or(default, |text| text.parse().unwrap()).min(most);
    let number: usize = request.query("page").map_or(1, |text| text.parse().unwrap());
    let total = items.len();
    let shown: Vec<Value> = items.into_iter().skip((number - 1) * per).take(per).collect();
    let reply = Reply::ok(Value::Array(shown)).header("x-total-count", total);
    if number * per < total {
        let next = format!(
            "<http://behind.proxy.invalid{}?page={}&{size}={per}>; rel=\"next\"",
            request.path,
            number + 1
        );
        return reply.header(
            "link",
            format!("{next}, <http://behind.proxy.invalid/?page=99>; rel=\"last\""),
        );
    }
    reply
}

fn unescape(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
            out.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).unwrap()
}

fn account(world: &World) -> Value {
    json!({ "login": world.account, "username": world.account, "id": 7, "name": "Moorline" })
}

const TIME: &str = "2026-11-21T04:05:06Z";
