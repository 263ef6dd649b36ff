//! HTTP as forges speak it: one request, its credential, its redirects, its pages, and what its refusal means. It knows
//! no forge: where they differ it looks at their table, [`Wire`].

mod ask;
mod auth;
mod limits;
mod pages;
mod refusal;
mod wire;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use http::{HeaderValue, Method};
use serde_json::Value;
use url::Url;

use super::settings::{Clock, host_of};
use super::{Credentials, ForgeError, ForgeSettings};
use crate::model::Timestamp;
use crate::report::mask::{SecretSet, without as hide};
use crate::trust::{self, Trusted};
use auth::Auth;

pub(super) use ask::{Answer, Ask};
pub(super) use auth::{Credential, Lease, bearer};
pub(super) use pages::{Page, Pages, by_headers, page_of};
pub(super) use wire::{App, Wire, accept_json};

/// A page of a forge's list is far smaller; an endless answer ends here.
const LARGEST_ANSWER: usize = 8 * 1024 * 1024;
/// Answers remembered by their ETag.
const MOST_KEPT: usize = 128;
/// As many as a renamed repository behind a renamed owner needs, and one more.
const MOST_REDIRECTS: usize = 3;

/// The connection to one forge.
#[derive(Debug)]
pub(super) struct Http {
    client: reqwest::Client,
    base: Url,
    rules: Option<&'static Wire>,
    auth: Auth,
    project: String,
    clock: Clock,
    kept: Mutex<BTreeMap<String, (HeaderValue, Answer)>>,
}

impl Http {
    /// A connection to an API's address. Without rules nothing is said of who we are.
    pub(super) fn new(
        settings: &ForgeSettings,
        rules: Option<&'static Wire>,
        base: Url,
    ) -> Result<Self, ForgeError> {
        let tls = tls(settings, &base)?;
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
            rules,
            auth: Auth::new(settings.credentials.clone()),
            project: settings.project.clone(),
            clock: settings.clock,
            kept: Mutex::new(BTreeMap::new()),
        })
    }

    /// Host and port, for messages.
    pub(super) fn host(&self) -> String {
        host_of(&self.base)
    }

    /// The API's address, and the project as the settings name it.
    pub(super) fn place(&self) -> (&Url, &str) {
        (&self.base, &self.project)
    }

    /// The credentials, before they are read.
    pub(super) fn credentials(&self) -> &Credentials {
        self.auth.credentials()
    }

    /// The time.
    pub(super) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Whether requests are made as an App.
    pub(super) fn is_app(&self) -> bool {
        matches!(self.auth.credentials(), Credentials::App { .. })
    }

    /// The account of the App that requests are made as, if there is one and it tells.
    pub(super) async fn app_account(&self) -> Result<Option<String>, ForgeError> {
        match self.rules.and_then(|rules| rules.app) {
            Some(app) => (app.account)(self).await,
            None => Ok(None),
        }
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

    /// Sends a request with this credential, following what moved on the same host.
    pub(super) async fn send(
        &self,
        ask: &Ask,
        credential: Option<&Credential>,
    ) -> Result<Answer, ForgeError> {
        let mut address = self.address(ask);
        for _ in 0..=MOST_REDIRECTS {
            let answer = self.send_once(ask, &address, credential).await?;
            let moved = matches!(answer.code, 301 | 302 | 303 | 307 | 308);
            let is_login =
                self.rules.is_some_and(|rules| rules.unauthorised.contains(&answer.code));
            if !moved || is_login {
                let token = credential.map(|credential| credential.token.reveal().as_str());
                return self.understand(ask, answer, &SecretSet::of(token));
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
        let always = self.rules.map_or([].as_slice(), |rules| rules.query);
        if !ask.query.is_empty() || !always.is_empty() {
            address.query_pairs_mut().extend_pairs(&ask.query).extend_pairs(always);
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
        let headers = self.rules.map_or(accept_json as Headers, |rules| rules.headers);
        for (name, value) in headers(&self.base) {
            request = request.header(*name, *value);
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

/// Headers by an API's address.
type Headers = fn(&Url) -> &'static [(&'static str, &'static str)];

/// Whom to trust: what the settings say, else the system.
fn tls(settings: &ForgeSettings, base: &Url) -> Result<rustls::ClientConfig, ForgeError> {
    let failed = |why: String| ForgeError::Tls { why };
    let system = rustls_native_certs::load_native_certs().certs;
    let own = settings.ca_file.is_some() || settings.pin.is_some();
    if base.scheme() == "https" && !own && system.is_empty() {
        let why = "the system has no certificate authorities: install `ca-certificates`, or set a `ca_file`";
        return Err(failed(why.to_owned()));
    }
    let extra = match &settings.ca_file {
        None => Vec::new(),
        Some(path) => {
            let why = |problem: String| {
                let path = path.display();
                failed(format!("cannot read certificate authorities from {path}: {problem}"))
            };
            let pem = std::fs::read(path).map_err(|problem| why(problem.to_string()))?;
            trust::certificates(&pem).map_err(|problem| why(problem.to_string()))?
        }
    };
    let pin = settings.pin.as_ref().map(ToString::to_string);
    let mut config = trust::client(Trusted { system, extra, pin })
        .map_err(|problem| failed(problem.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
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

/// A body whose texts hold no secret: whatever went wrong above, the token itself never leaves in one.
fn without(body: &Value, secrets: &SecretSet) -> Value {
    match body {
        Value::String(text) => Value::String(hide(text, secrets)),
        Value::Array(items) => items.iter().map(|item| without(item, secrets)).collect(),
        Value::Object(fields) => {
            let kept = |(name, value): (&String, &Value)| (name.clone(), without(value, secrets));
            Value::Object(fields.iter().map(kept).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => body.clone(),
    }
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
