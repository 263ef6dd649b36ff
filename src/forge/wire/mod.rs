//! HTTP as forges speak it: one request, its credential, its redirects, its pages, and what its refusal means.

mod app;
mod auth;
mod limits;
mod tls;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use http::{HeaderMap, HeaderValue, Method};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::settings::host_of;
use super::{Credentials, ForgeError, ForgeSettings, Kind, Right};
use crate::forge::settings::Clock;
use crate::report::mask::{SecretSet, mask};
use auth::{Auth, Credential};
use limits::text;

/// A page of a forge's list is far smaller; an endless answer ends here.
const LARGEST_ANSWER: usize = 8 * 1024 * 1024;
/// No list of ours is longer: 200 pages of 50 or 100. One that is, is an error, and not taken for its beginning.
const MOST_PAGES: usize = 200;
/// Answers remembered by their ETag.
const MOST_KEPT: usize = 128;
/// As many as a renamed repository behind a renamed owner needs, and one more.
const MOST_REDIRECTS: usize = 3;

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    method: Method,
    segments: Vec<String>,
    query: Vec<(&'static str, String)>,
    body: Option<Value>,
    right: Right,
    what: String,
}

impl Ask {
    /// Reads `what`; each segment of the path is escaped as a whole.
    pub(super) fn get<S: AsRef<str>>(segments: impl IntoIterator<Item = S>, what: &str) -> Self {
        Self::new(Method::GET, segments, Right::Read, what)
    }

    /// Writes `what` and needs this right.
    pub(super) fn new<S: AsRef<str>>(
        method: Method,
        segments: impl IntoIterator<Item = S>,
        right: Right,
        what: &str,
    ) -> Self {
        let segments = segments.into_iter().map(|part| part.as_ref().to_owned()).collect();
        Self { method, segments, query: Vec::new(), body: None, right, what: what.to_owned() }
    }

    /// Adds to the query.
    pub(super) fn query(mut self, name: &'static str, value: impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    /// Gives it a body.
    pub(super) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// Which right a refusal is about.
    pub(super) fn right(mut self, right: Right) -> Self {
        self.right = right;
        self
    }

    /// Items of a full page, where we say how many.
    fn page_size(&self) -> Option<usize> {
        let names = ["per_page", "limit"];
        let size = self.query.iter().find(|(name, _)| names.contains(name));
        size.and_then(|(_, size)| size.parse().ok())
    }

    fn page(mut self, page: &str) -> Self {
        self.query.retain(|(name, _)| *name != "page");
        self.query("page", page)
    }
}

/// One answer of the 2xx kind.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    /// The status.
    pub(super) code: u16,
    /// The headers.
    pub(super) headers: HeaderMap,
    body: Vec<u8>,
    host: String,
}

impl Answer {
    /// The body as data.
    pub(super) fn read<T: DeserializeOwned>(&self, what: &'static str) -> Result<T, ForgeError> {
        serde_json::from_slice(&self.body).map_err(|source| ForgeError::Unreadable {
            host: self.host.clone(),
            what,
            source,
        })
    }

    /// A header's text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        text(&self.headers, name)
    }
}

/// The connection to one forge.
#[derive(Debug)]
pub(super) struct Wire {
    client: reqwest::Client,
    base: Url,
    kind: Option<Kind>,
    auth: Auth,
    project: String,
    clock: Clock,
    kept: Mutex<BTreeMap<String, (HeaderValue, Answer)>>,
}

impl Wire {
    /// A connection to an API's address. Without a kind nothing is said of who we are.
    pub(super) fn new(
        settings: &ForgeSettings,
        kind: Option<Kind>,
        base: Url,
    ) -> Result<Self, ForgeError> {
        let tls = tls::client(settings.ca_file.as_deref(), settings.pin.as_ref())?;
        let own = settings.ca_file.is_some() || settings.pin.is_some();
        if base.scheme() == "https" && !own && tls::system_has_none() {
            let why = "the system has no certificate authorities: install `ca-certificates`, or set a `ca_file`";
            return Err(ForgeError::Tls { why: why.to_owned() });
        }
        let failed =
            |problem: reqwest::Error| ForgeError::Tls { why: problem.without_url().to_string() };
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            .no_proxy()
            .user_agent(concat!("moorline/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(settings.patience.min(std::time::Duration::from_secs(10)))
            .timeout(settings.patience);
        if let Some(proxy) = &settings.proxy {
            builder = builder.proxy(reqwest::Proxy::all(proxy.clone()).map_err(failed)?);
        }
        Ok(Self {
            client: builder.build().map_err(failed)?,
            base,
            kind,
            auth: Auth::new(kind, settings.credentials.clone()),
            project: settings.project.clone(),
            clock: settings.clock,
            kept: Mutex::new(BTreeMap::new()),
        })
    }

    /// Host and port, for messages.
    pub(super) fn host(&self) -> String {
        host_of(&self.base)
    }

    /// The forge's address for people, without the API's part, and the project.
    pub(super) fn web(&self) -> (String, &str) {
        let base = self.base.as_str().trim_end_matches('/').to_owned();
        let own = matches!(self.kind, Some(Kind::GitHub | Kind::Bitbucket));
        let base = if own { base.replace("://api.", "://") } else { base };
        let web = ["/api/v1", "/api/v3", "/api/v4", "/2.0"]
            .iter()
            .find_map(|tail| base.strip_suffix(tail));
        (web.unwrap_or(&base).to_owned(), &self.project)
    }

    /// Whether requests are made as a GitHub App.
    pub(super) fn is_app(&self) -> bool {
        matches!(self.auth.credentials(), Credentials::App { .. })
    }

    /// Whether nothing is said of who we are.
    pub(super) fn is_anonymous(&self) -> bool {
        matches!(self.auth.credentials(), Credentials::Anonymous)
    }

    /// Sends a request and understands its answer.
    ///
    /// # Errors
    /// All of `ForgeError` that a request can meet; nothing is retried but an App's token that ended.
    pub(super) async fn ask(&self, ask: &Ask) -> Result<Answer, ForgeError> {
        let credential = self.credential().await?;
        match self.send(ask, credential.as_ref()).await {
            Err(ForgeError::Unauthorised { .. }) if self.is_app() => {
                self.auth.keep(None);
                let renewed = self.credential().await?;
                self.send(ask, renewed.as_ref()).await
            }
            answer => answer,
        }
    }

    /// Sends a request without a word of who we are, and gives whatever comes back.
    pub(super) async fn peek(&self, ask: &Ask) -> Result<Answer, ForgeError> {
        self.send_once(ask, &self.address(ask), None).await
    }

    /// An answer of any kind, unless the server says that it cannot answer now.
    pub(super) fn is_up(&self, answer: Answer) -> Result<Answer, ForgeError> {
        let host = self.host();
        let wait = limits::asked(&answer.headers, (self.clock)());
        match answer.code {
            407 => Err(ForgeError::Proxy { host }),
            408 | 425 | 429 | 500.. => Err(ForgeError::Server { host, code: answer.code, wait }),
            _ => Ok(answer),
        }
    }

    /// All items of a list, page by page. The next page is asked for by number at our own address: what a forge
    /// behind a proxy takes for its address need not be reachable. Where no header tells whether there is a next page
    /// (proxies drop them), a full page is taken to have one.
    pub(super) async fn all<T: DeserializeOwned>(
        &self,
        ask: &Ask,
        what: &'static str,
    ) -> Result<Vec<T>, ForgeError> {
        let mut found = Vec::new();
        let mut ask = ask.clone();
        let mut before = Vec::new();
        for number in 1..=MOST_PAGES {
            let answer = self.ask(&ask).await?;
            let (items, next) = if self.kind == Some(Kind::Bitbucket) {
                let page: BitbucketPage<T> = answer.read(what)?;
                (page.values, page.next.and_then(|next| page_of(&next)))
            } else {
                let items: Vec<T> = answer.read::<Option<Vec<T>>>(what)?.unwrap_or_default();
                let is_full = ask.page_size() == Some(items.len());
                let next = match next_page(&answer) {
                    Next::Page(next) => Some(next),
                    Next::None => None,
                    Next::Untold => is_full.then(|| (number + 1).to_string()),
                };
                (items, next)
            };
            // A server that knows no pages gives the same again.
            if before == answer.body && 1 < number {
                return Ok(found);
            }
            before = answer.body;
            found.extend(items);
            let Some(next) = next else { return Ok(found) };
            ask = ask.page(&next);
        }
        Err(ForgeError::TooLong { host: self.host(), what, pages: MOST_PAGES })
    }

    async fn send(&self, ask: &Ask, credential: Option<&Credential>) -> Result<Answer, ForgeError> {
        let mut address = self.address(ask);
        for _ in 0..=MOST_REDIRECTS {
            let answer = self.send_once(ask, &address, credential).await?;
            let moved = matches!(answer.code, 301 | 302 | 303 | 307 | 308);
            if !moved {
                return self.understand(ask, answer, credential);
            }
            let next = answer.header("location").and_then(|location| address.join(location).ok());
            let keeps_method = !matches!(answer.code, 302 | 303) || ask.method == Method::GET;
            match next {
                // The credential goes to no other host, and a write is not turned into a read.
                Some(next) if next.origin() == address.origin() && keeps_method => address = next,
                _ => break,
            }
        }
        Err(ForgeError::NotFound {
            host: self.host(),
            what: format!("{} (it was moved elsewhere)", ask.what),
        })
    }

    fn address(&self, ask: &Ask) -> Url {
        let mut address = self.base.clone();
        if let Ok(mut path) = address.path_segments_mut() {
            path.pop_if_empty().extend(&ask.segments);
        }
        if !ask.query.is_empty() {
            address.query_pairs_mut().extend_pairs(&ask.query);
        }
        address
    }

    async fn send_once(
        &self,
        ask: &Ask,
        address: &Url,
        credential: Option<&Credential>,
    ) -> Result<Answer, ForgeError> {
        let mut request = self.client.request(ask.method.clone(), address.clone());
        if credential.is_some() && address.scheme() != "https" && !is_this_machine(address) {
            return Err(ForgeError::Insecure { host: self.host() });
        }
        if let Some(credential) = credential {
            request = request.header(credential.name.clone(), credential.value.clone());
        }
        if self.kind == Some(Kind::GitHub) {
            request = request.header("accept", "application/vnd.github+json");
            // GitHub Enterprise Server refuses versions that it does not know.
            if self.base.host_str() == Some("api.github.com") {
                request = request.header("x-github-api-version", "2022-11-28");
            }
        } else {
            request = request.header("accept", "application/json");
        }
        let known = if ask.method == Method::GET { self.kept(address.as_str()) } else { None };
        if let Some((etag, _)) = &known {
            request = request.header("if-none-match", etag.clone());
        }
        if let Some(body) = &ask.body {
            let token = credential.map(|credential| credential.token.reveal().as_str());
            request = request.json(&without(body, &SecretSet::of(token)));
        }
        let answer = self.receive(ask, request).await?;
        match (known, answer.code) {
            (Some((_, kept)), 304) => Ok(kept),
            _ => {
                self.keep(ask, address.as_str(), &answer);
                Ok(answer)
            }
        }
    }

    async fn receive(
        &self,
        ask: &Ask,
        request: reqwest::RequestBuilder,
    ) -> Result<Answer, ForgeError> {
        let mut response = request.send().await.map_err(|problem| self.broken(ask, problem))?;
        let (code, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) =
            response.chunk().await.map_err(|problem| self.broken(ask, problem))?
        {
            body.extend_from_slice(&chunk);
            if LARGEST_ANSWER < body.len() {
                let most = LARGEST_ANSWER >> 20;
                let message = format!("the answer is larger than {most} MiB, and is not read");
                return Err(ForgeError::Rejected { host: self.host(), code, message });
            }
        }
        Ok(Answer { code, headers, body, host: self.host() })
    }

    /// A connection that was never made is harmless; after that a write may have been carried out.
    fn broken(&self, ask: &Ask, problem: reqwest::Error) -> ForgeError {
        let harmless = problem.is_connect() || ask.method == Method::GET;
        let (host, source) = (self.host(), problem.without_url());
        if harmless {
            ForgeError::Unreachable { host, source }
        } else {
            ForgeError::NoAnswer { host, source }
        }
    }

    fn understand(
        &self,
        ask: &Ask,
        answer: Answer,
        credential: Option<&Credential>,
    ) -> Result<Answer, ForgeError> {
        if (200..300).contains(&answer.code) {
            return Ok(answer);
        }
        let body = String::from_utf8_lossy(&answer.body);
        let host = self.host();
        if let Some(wait) = limits::wait(answer.code, &answer.headers, &body, (self.clock)()) {
            return Err(ForgeError::RateLimited { host, wait });
        }
        Err(match answer.code {
            401 => ForgeError::Unauthorised { host },
            // A conversation that was closed to all is no lack of rights.
            403 if is_locked(&body) => ForgeError::Rejected {
                host,
                code: 403,
                message: "the conversation is locked".to_owned(),
            },
            403 => {
                let told = answer.header("x-accepted-github-permissions");
                let missing = told.map_or_else(
                    || self.needs(ask.right),
                    |told| format!("`{}`", mask(told, &SecretSet::default())),
                );
                ForgeError::Denied { host, right: ask.right, missing }
            }
            404 => ForgeError::NotFound { host, what: ask.what.clone() },
            409 => ForgeError::Busy { host },
            407 => ForgeError::Proxy { host },
            408 | 425 | 500.. => {
                let wait = limits::asked(&answer.headers, (self.clock)());
                ForgeError::Server { host, code: answer.code, wait }
            }
            code => {
                let token = credential.map(|credential| credential.token.reveal().as_str());
                let message = cut(&mask(&message(&body), &SecretSet::of(token)), 200);
                ForgeError::Rejected { host, code, message }
            }
        })
    }

    /// What a token needs for a right, in the forge's own words.
    pub(super) fn needs(&self, right: Right) -> String {
        let words = match (self.kind, right) {
            (Some(Kind::GitHub), Right::Read) => "`contents: read` and `pull_requests: read`",
            (Some(Kind::GitHub), Right::Statuses) => "`statuses: write` (classic: `repo:status`)",
            (Some(Kind::GitHub), Right::Comments) => {
                "`pull_requests: write` and `issues: write` (classic: `repo`)"
            }
            (Some(Kind::GitLab), Right::Read) => "scope `read_api` and the role Reporter",
            (Some(Kind::GitLab), _) => {
                "scope `api` and the role Developer (Maintainer for protected branches)"
            }
            (Some(Kind::Gitea | Kind::Forgejo), Right::Read) => "scope `read:repository`",
            (Some(Kind::Gitea | Kind::Forgejo), Right::Statuses) => {
                "scope `write:repository` and write access to the repository"
            }
            (Some(Kind::Gitea | Kind::Forgejo), Right::Comments) => "scope `write:issue`",
            (Some(Kind::Bitbucket), Right::Comments) => "scope `pullrequest`",
            (Some(Kind::Bitbucket), _) => "scope `repository`",
            (None, _) => "a token",
        };
        words.to_owned()
    }

    fn kept(&self, address: &str) -> Option<(HeaderValue, Answer)> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(address).cloned()
    }

    fn keep(&self, ask: &Ask, address: &str, answer: &Answer) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match answer.headers.get("etag") {
            Some(etag) if ask.method == Method::GET && answer.code == 200 => {
                while MOST_KEPT <= kept.len() {
                    kept.pop_first();
                }
                kept.insert(address.to_owned(), (etag.clone(), answer.clone()));
            }
            _ => {
                kept.remove(address);
            }
        }
    }
}

/// Whether an address never leaves this machine.
fn is_this_machine(address: &Url) -> bool {
    match address.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[derive(serde::Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct BitbucketPage<T> {
    #[serde(default = "Vec::new")]
    values: Vec<T>,
    next: Option<String>,
}

/// A body whose texts hold no secret: whatever went wrong above, the token itself never leaves in one.
fn without(body: &Value, secrets: &SecretSet) -> Value {
    match body {
        Value::String(text) => Value::String(mask(text, secrets)),
        Value::Array(items) => items.iter().map(|item| without(item, secrets)).collect(),
        Value::Object(fields) => {
            let kept = |(name, value): (&String, &Value)| (name.clone(), without(value, secrets));
            Value::Object(fields.iter().map(kept).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => body.clone(),
    }
}

/// Whether a refusal speaks of a conversation that was locked (and not of something that is blocked).
fn is_locked(body: &str) -> bool {
    let mut words = body.split(|c: char| !c.is_ascii_alphabetic());
    words.any(|word| word.eq_ignore_ascii_case("locked"))
}

/// Whether there is a next page.
enum Next {
    Page(String),
    None,
    /// No header speaks of pages.
    Untold,
}

/// The number of the next page in a `Link` header, or in GitLab's own.
fn next_page(answer: &Answer) -> Next {
    if let Some(own) = answer.header("x-next-page") {
        return if own.is_empty() { Next::None } else { Next::Page(own.to_owned()) };
    }
    let Some(links) = answer.header("link") else { return Next::Untold };
    let next = links.split(',').find(|link| link.contains("rel=\"next\""));
    let address = next.and_then(|next| next.split_once('<')?.1.split_once('>'));
    let page = address.and_then(|(address, _)| page_of(address));
    page.map_or(Next::None, Next::Page)
}

fn page_of(address: &str) -> Option<String> {
    let address = Url::parse(address).ok()?;
    address.query_pairs().find(|(name, _)| name == "page").map(|(_, page)| page.into_owned())
}

/// What a refusal says: GitHub's `message` and `errors`, GitLab's `message` or `error`, Bitbucket's `error.message`.
fn message(body: &str) -> String {
    let Ok(value) = serde_json::from_str::<Value>(body) else {
        return body.lines().next().unwrap_or_default().to_owned();
    };
    let mut words: Vec<String> = Vec::new();
    for key in ["message", "error", "errors"] {
        match value.get(key) {
            Some(Value::String(text)) => words.push(text.clone()),
            Some(Value::Array(items)) => words.extend(items.iter().map(|item| {
                item.get("message")
                    .and_then(Value::as_str)
                    .map_or_else(|| item.to_string(), str::to_owned)
            })),
            Some(Value::Object(fields)) => words.push(
                fields
                    .get("message")
                    .and_then(Value::as_str)
                    .map_or_else(|| value.to_string(), str::to_owned),
            ),
            _ => {}
        }
    }
    words.join(": ")
}

/// At most so many characters, with an ellipsis where something is missing.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(most.saturating_sub(1)).collect();
    kept.truncate(kept.trim_end().len());
    kept.push('…');
    kept
}
