//! Smart HTTP: each request stands for itself.

use std::error::Error as StdError;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use reqwest::header::{self, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, StatusCode, redirect};
use url::Url;

use crate::model::Digest;
use crate::trust::{self, Trusted};

use super::super::source::Credentials;
use super::{Access, GitError, Greeting, Service, shortened};

/// Redirects that are followed: forges send `/name` to `/name.git`.
const REDIRECTS: usize = 5;

/// What is remembered of one remote between operations: a client with its open connections, and what the server
/// said of itself, so that a poll is one round trip.
#[derive(Debug, Default)]
pub(in crate::git) struct Memory(Mutex<Option<Known>>);

/// What is known of one remote.
#[derive(Debug, Clone)]
pub(in crate::git) struct Known {
    client: Client,
    certificates: Digest,
    base: Url,
    greeting: Option<Greeting>,
}

impl Known {
    /// The repository's address without a slash at its end; an address of a bare host has one.
    fn prefix(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }
}

impl Memory {
    /// Forgets what the server said of itself; it may have been replaced.
    pub(in crate::git) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn get(&self) -> Option<Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, known: Known) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
    }

    /// Whether anything is remembered that could be out of date.
    pub(in crate::git) fn holds_greeting(&self) -> bool {
        self.get().is_some_and(|known| known.greeting.is_some())
    }
}

/// A conversation over HTTP.
#[derive(Debug)]
pub(super) struct HttpPipe {
    remote: String,
    known: Known,
    memory: Arc<Memory>,
    service: Service,
    authorization: Option<HeaderValue>,
    access: Access,
    response: Option<Response>,
}

impl HttpPipe {
    /// Prepares it; nothing is sent yet.
    pub(super) async fn open(
        url: &Url,
        access: &Access,
        service: Service,
        memory: &Arc<Memory>,
    ) -> Result<Self, GitError> {
        let remote = url.to_string();
        let authorization = authorization(url, access).await?;
        let own = access.clone();
        let extra = blocking(move || extra_certificates(&own)).await?;
        let certificates = Digest::of(
            &extra.iter().flat_map(|certificate| certificate.to_vec()).collect::<Vec<u8>>(),
        );
        let known = match memory.get().filter(|known| known.certificates == certificates) {
            Some(known) => known,
            None => {
                let own = access.clone();
                let client = blocking(move || client(&own, extra)).await?;
                Known { client, certificates, base: url.clone(), greeting: None }
            }
        };
        let (memory, access) = (Arc::clone(memory), access.clone());
        Ok(Self { remote, known, memory, service, authorization, access, response: None })
    }

    /// What the server said of itself at an earlier time.
    pub(super) fn remembered(&self) -> Option<Greeting> {
        self.known.greeting.clone().filter(|_| self.service == Service::UploadPack)
    }

    /// Remembers what the server said of itself, where that will hold next time.
    pub(super) fn remember(&mut self, greeting: &Greeting) {
        if self.service == Service::UploadPack {
            self.known.greeting = Some(greeting.clone()).filter(|g| matches!(g, Greeting::V2(_)));
            self.memory.set(self.known.clone());
        }
    }

    /// Asks for the greeting, and follows redirects.
    pub(super) async fn ask_for_greeting(&mut self) -> Result<(), GitError> {
        for _ in 0..REDIRECTS {
            let url = format!("{}/info/refs?service={}", self.known.prefix(), self.service.name());
            let request = self.known.client.get(url);
            let response = self.send(request).await?;
            if !response.status().is_redirection() {
                self.response = Some(self.checked(response, "advertisement").await?);
                return Ok(());
            }
            self.follow(&response)?;
        }
        Err(self.redirected(&self.known.base))
    }

    /// Sends a request of the service; the answer is read with [`Self::chunk`].
    pub(super) async fn post(&mut self, body: Bytes) -> Result<(), GitError> {
        let name = self.service.name();
        let url = format!("{}/{name}", self.known.prefix());
        let content = format!("application/x-{name}-request");
        let request = self.known.client.post(url).header(header::CONTENT_TYPE, content).body(body);
        let response = self.send(request).await?;
        self.response = Some(self.checked(response, "result").await?);
        Ok(())
    }

    /// The next piece of the answer; empty at its end.
    pub(super) async fn chunk(&mut self) -> Result<Bytes, GitError> {
        let Some(response) = &mut self.response else { return Ok(Bytes::new()) };
        let chunk = response.chunk().await;
        chunk
            .map(Option::unwrap_or_default)
            .map_err(|cause| self.failed(cause, "reading an answer"))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, GitError> {
        let mut request = request;
        if self.service == Service::UploadPack {
            request = request.header("git-protocol", "version=2");
        }
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization.clone());
        }
        let limit = self.access.limits.progress;
        match tokio::time::timeout(limit, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(cause)) => Err(self.failed(cause, "connecting")),
            Err(_) => {
                let remote = self.remote.clone();
                Err(GitError::Timeout { remote, doing: "waiting for an answer", limit })
            }
        }
    }

    /// The response, if it is what Git's protocol answers here.
    async fn checked(&self, response: Response, kind: &str) -> Result<Response, GitError> {
        if response.status() != StatusCode::OK {
            return Err(self.refused(response).await);
        }
        let wanted = format!("application/x-{}-{kind}", self.service.name());
        let content = response.headers().get(header::CONTENT_TYPE);
        let content = content.and_then(|value| value.to_str().ok()).unwrap_or("nothing");
        if content == wanted {
            return Ok(response);
        }
        let got = shortened(&format!("content of type {content}"));
        Err(GitError::NotGit { remote: self.remote.clone(), got })
    }

    async fn refused(&self, response: Response) -> GitError {
        let remote = self.remote.clone();
        let status = response.status();
        let retry_after = response.headers().get(header::RETRY_AFTER).and_then(seconds);
        match status.as_u16() {
            401 => match credentials_name(&self.access.credentials) {
                Some(from) if self.authorization.is_some() => {
                    GitError::CredentialsRefused { remote, from }
                }
                _ => GitError::CredentialsMissing { remote },
            },
            403 => GitError::Forbidden { remote, said: self.words(response).await },
            407 => {
                GitError::Forbidden { remote, said: "the proxy asks for credentials".to_owned() }
            }
            404 | 410 => GitError::NoRepository { remote },
            408 | 429 | 500..=599 => {
                let said = self.words(response).await;
                GitError::ServerFailed { remote, said, retry_after }
            }
            300..=399 => {
                GitError::NotGit { remote, got: format!("a redirect ({status}) of a request") }
            }
            _ => GitError::NotGit { remote, got: status.to_string() },
        }
    }

    /// The status, and what a plain-text body adds to it.
    async fn words(&self, mut response: Response) -> String {
        let status = response.status().to_string();
        let content = response.headers().get(header::CONTENT_TYPE).cloned();
        let plain = content.is_some_and(|value| value.as_bytes().starts_with(b"text/plain"));
        let limit = self.access.limits.connect;
        match tokio::time::timeout(limit, response.chunk()).await {
            Ok(Ok(Some(body))) if plain => {
                shortened(&format!("{status}: {}", String::from_utf8_lossy(&body)))
            }
            _ => status,
        }
    }

    /// Takes the new base of a redirect of the greeting, unless it would carry credentials elsewhere or leave
    /// encryption.
    fn follow(&mut self, response: &Response) -> Result<(), GitError> {
        let location = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
        let target = location.and_then(|to| response.url().join(to).ok());
        let Some(target) = target else {
            let got = "a redirect to nowhere".to_owned();
            return Err(GitError::NotGit { remote: self.remote.clone(), got });
        };
        let mut base = target.clone();
        base.set_query(None);
        let path = base.path().strip_suffix("/info/refs").map(ToOwned::to_owned);
        let Some(path) = path else { return Err(self.redirected(&target)) };
        base.set_path(&path);
        let elsewhere = base.origin() != self.known.base.origin();
        let downgrade = self.known.base.scheme() == "https" && base.scheme() != "https";
        if downgrade || (elsewhere && self.authorization.is_some()) {
            return Err(self.redirected(&base));
        }
        self.known.base = base;
        Ok(())
    }

    fn redirected(&self, to: &Url) -> GitError {
        let mut to = to.clone();
        to.set_query(None);
        // A user name in a redirect is of no use to us; both fail only where an address can have none.
        let cleaned = to.set_username("").is_ok() && to.set_password(None).is_ok();
        let to = if cleaned { to.to_string() } else { "another address".to_owned() };
        GitError::Redirected { remote: self.remote.clone(), to: shortened(&to) }
    }

    fn failed(&self, cause: reqwest::Error, doing: &'static str) -> GitError {
        let remote = self.remote.clone();
        let cause = cause.without_url();
        if cause.is_timeout() {
            let limits = &self.access.limits;
            let limit = if cause.is_connect() { limits.connect } else { limits.progress };
            return GitError::Timeout { remote, doing, limit };
        }
        match certificate_problem(&cause) {
            CertificateProblem::NotPinned(found) => GitError::PinMismatch { remote, found },
            CertificateProblem::Untrusted => GitError::Certificate { remote, source: cause.into() },
            CertificateProblem::None => GitError::Unreachable { remote, source: cause.into() },
        }
    }
}

/// Where credentials come from, for errors.
pub(super) fn credentials_name(credentials: &Credentials) -> Option<String> {
    match credentials {
        Credentials::None => None,
        Credentials::Token { file, .. } | Credentials::SshKey { file, .. } => {
            Some(file.display().to_string())
        }
        Credentials::SshAgent { socket } => Some(format!("the agent at {}", socket.display())),
    }
}

fn seconds(value: &HeaderValue) -> Option<Duration> {
    value.to_str().ok().and_then(|text| text.trim().parse().ok()).map(Duration::from_secs)
}

/// Runs what reads files or computes for long away from the runtime's threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, GitError> + Send + 'static,
) -> Result<T, GitError> {
    crate::git::blocking(work).await
}

/// The certificates of the access' own file.
pub(super) fn extra_certificates(
    access: &Access,
) -> Result<Vec<rustls::pki_types::CertificateDer<'static>>, GitError> {
    let Some(path) = &access.ca_file else { return Ok(Vec::new()) };
    let unusable = |source| GitError::AccessFile { path: path.clone(), source };
    let pem = std::fs::read(path).map_err(|problem| unusable(problem.into()))?;
    trust::certificates(&pem).map_err(|problem| unusable(problem.into()))
}

/// How to speak TLS with one remote.
fn configure(
    access: &Access,
    extra: Vec<rustls::pki_types::CertificateDer<'static>>,
) -> Result<rustls::ClientConfig, GitError> {
    let system = rustls_native_certs::load_native_certs();
    for problem in &system.errors {
        tracing::debug!(%problem, "a system certificate cannot be read");
    }
    let file = access.ca_file.as_deref().unwrap_or(Path::new("the list of certificates"));
    let trusted = Trusted { system: system.certs, extra, pin: access.pin_sha256.clone() };
    trust::client(trusted)
        .map_err(|problem| GitError::AccessFile { path: file.to_owned(), source: problem.into() })
}

pub(super) fn client(
    access: &Access,
    extra: Vec<rustls::pki_types::CertificateDer<'static>>,
) -> Result<Client, GitError> {
    let tls = configure(access, extra)?;
    let unusable = |cause: reqwest::Error| GitError::AccessFile {
        path: "the settings of the proxy".into(),
        source: cause.without_url().into(),
    };
    // What the environment says of proxies is in the settings already, for each remote apart.
    let mut builder = Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .connect_timeout(access.limits.connect)
        .user_agent(concat!("git/moorline-", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(tls);
    if let Some(proxy) = &access.proxy {
        builder = builder.proxy(reqwest::Proxy::all(proxy.reveal()).map_err(unusable)?);
    }
    builder.build().map_err(unusable)
}

/// The token as HTTP Basic authentication.
pub(super) async fn authorization(
    url: &Url,
    access: &Access,
) -> Result<Option<HeaderValue>, GitError> {
    let Credentials::Token { file, username } = &access.credentials else { return Ok(None) };
    if url.scheme() != "https" && !is_loopback(url) {
        return Err(GitError::Insecure { remote: url.to_string() });
    }
    let unusable = |source| GitError::AccessFile { path: file.clone(), source };
    let token = tokio::fs::read_to_string(file).await.map_err(|cause| unusable(cause.into()))?;
    let token = token.trim();
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err(unusable("it does not hold one token".into()));
    }
    let user = username.as_deref().unwrap_or_else(|| usual_username(url));
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{token}"));
    let mut value =
        HeaderValue::try_from(format!("Basic {basic}")).map_err(|e| unusable(e.into()))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// A user name that goes with a token: Bitbucket insists on its own, all others take any.
fn usual_username(url: &Url) -> &'static str {
    match url.host_str() {
        Some("bitbucket.org") => "x-token-auth",
        _ => "x-access-token",
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

enum CertificateProblem {
    None,
    Untrusted,
    /// The SHA-256 of the one that was shown.
    NotPinned(String),
}

/// Whether a certificate was refused somewhere down the chain of causes.
fn certificate_problem(cause: &(dyn StdError + 'static)) -> CertificateProblem {
    let mut next = Some(cause);
    while let Some(cause) = next {
        // An io::Error hides what it wraps from `source`.
        let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let tls = cause.downcast_ref::<rustls::Error>();
        let tls = tls.or_else(|| inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()));
        if let Some(rustls::Error::InvalidCertificate(problem)) = tls {
            let found = pin_found(problem);
            return found.map_or(CertificateProblem::Untrusted, CertificateProblem::NotPinned);
        }
        next = cause.source().or_else(|| inner.map(|inner| inner as &(dyn StdError + 'static)));
    }
    CertificateProblem::None
}

fn pin_found(problem: &rustls::CertificateError) -> Option<String> {
    let rustls::CertificateError::Other(other) = problem else { return None };
    other.0.downcast_ref::<trust::NotPinned>().map(|problem| problem.found.clone())
}
