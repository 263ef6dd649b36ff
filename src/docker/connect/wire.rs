//! One HTTP client for an Engine: every call has a limit that covers the body too, and names the API version.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bollard::BollardRequest;
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use super::super::{Cause, EngineError};
use super::dial::Dialer;
use super::endpoint::{Endpoint, Limits};
use crate::model::chain;

/// More than any list of an Engine that anybody runs; keeps a mad one from eating our memory.
const LARGEST_BODY: usize = 96 << 20;
/// More than what is answered to a change.
const LARGEST_OUTCOME: usize = 4 << 20;
/// More than any refusal.
const LARGEST_REFUSAL: usize = 256 << 10;
/// Idle connections close after this, so that a fleet does not hold thousands.
const IDLE: Duration = Duration::from_secs(2);
/// Read at a time, and the most that the headers of an answer may be. Left to itself the client keeps buffers that are as
/// large as the largest list was.
const READ_BUFFER: usize = 8 << 10;
/// Idle connections that are kept for the next look, which takes a few: a connection has some 25 kB of buffers.
const IDLE_CONNECTIONS: usize = 2;

pub(super) type Body = UnsyncBoxBody<Bytes, Cause>;

/// A question to the Engine.
#[derive(Debug, Clone)]
pub(in crate::docker) struct Ask {
    what: String,
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

impl Ask {
    /// A question; `what` says it in words for errors, `path` is below the API version.
    pub(in crate::docker) fn new(
        method: Method,
        path: impl Into<String>,
        what: impl Into<String>,
    ) -> Self {
        let (what, path) = (what.into(), path.into());
        Self { what, method, path, query: Vec::new(), headers: Vec::new(), body: Bytes::new() }
    }

    pub(in crate::docker) fn get(path: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(Method::GET, path, what)
    }

    pub(in crate::docker) fn post(path: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(Method::POST, path, what)
    }

    pub(in crate::docker) fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds the parameter where there is something to say.
    pub(in crate::docker) fn query_unless_empty(self, name: &str, value: &str) -> Self {
        if value.is_empty() { self } else { self.query(name, value) }
    }

    pub(in crate::docker) fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((HeaderName::from_static(name), value));
        }
        self
    }

    pub(in crate::docker) fn json(mut self, body: &impl Serialize) -> Result<Self, EngineError> {
        let bytes = serde_json::to_vec(body).map_err(|error| EngineError::Garbled {
            what: self.what.clone(),
            source: error.into(),
        })?;
        self.body = bytes.into();
        Ok(self.header("content-type", "application/json"))
    }

    pub(in crate::docker) fn tar(mut self, bytes: Bytes) -> Self {
        self.body = bytes;
        self.header("content-type", "application/x-tar")
    }

    fn into_request(self, version: &str) -> Result<Request<Body>, http::Error> {
        let mut target = format!("{version}{}", self.path);
        if !self.query.is_empty() {
            target.push('?');
            target.push_str(
                &form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.query).finish(),
            );
        }
        let mut request =
            Request::builder().method(self.method).uri(format!("http://engine{target}"));
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        request.body(Full::new(self.body).map_err(|never| match never {}).boxed_unsync())
    }
}

/// One segment of a path, safe to put between slashes. Slashes stay: image names have them.
pub(in crate::docker) fn segment(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/:@+=".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _always = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// The client. Cheap to clone.
#[derive(Clone)]
pub(in crate::docker) struct Wire {
    client: Client<Dialer, Body>,
    version: Arc<RwLock<String>>,
    endpoint: Arc<str>,
    limits: Limits,
}

impl Wire {
    pub(in crate::docker) fn new(endpoint: &Endpoint, limits: &Limits) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .http1_read_buf_exact_size(READ_BUFFER)
            .build(Dialer::new(endpoint.clone(), limits.connect));
        Self {
            client,
            version: Arc::default(),
            endpoint: endpoint.to_string().into(),
            limits: limits.clone(),
        }
    }

    pub(in crate::docker) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(in crate::docker) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Every path is put under this API version from now on.
    pub(in crate::docker) fn speak(&self, (major, minor): (u32, u32)) {
        *self.version.write().unwrap_or_else(PoisonError::into_inner) =
            format!("/v{major}.{minor}");
    }

    fn version(&self) -> String {
        self.version.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks without a version in the path.
    pub(in crate::docker) async fn probe<T: DeserializeOwned>(
        &self,
        ask: Ask,
    ) -> Result<T, EngineError> {
        let what = ask.what.clone();
        let bytes =
            self.within(self.limits.read, &what, self.whole("", ask, LARGEST_OUTCOME)).await?;
        parse(&what, &bytes)
    }

    /// Reads something. A connection that breaks is tried once more: reading does no harm.
    pub(in crate::docker) async fn read<T: DeserializeOwned>(
        &self,
        ask: Ask,
    ) -> Result<T, EngineError> {
        let what = ask.what.clone();
        let bytes = self.read_bytes(ask).await?;
        parse(&what, &bytes)
    }

    /// [`Wire::read`] for what is not JSON, or is parsed elsewhere.
    pub(in crate::docker) async fn read_bytes(&self, ask: Ask) -> Result<Bytes, EngineError> {
        let (what, limit, version) = (ask.what.clone(), self.limits.read, self.version());
        let first = self.whole(&version, ask.clone(), LARGEST_BODY);
        match self.within(limit, &what, first).await {
            Err(EngineError::Broken { .. }) => {
                self.within(limit, &what, self.whole(&version, ask, LARGEST_BODY)).await
            }
            other => other,
        }
    }

    /// Changes something: once. The answer's body is returned.
    pub(in crate::docker) async fn write(
        &self,
        ask: Ask,
        limit: Duration,
    ) -> Result<Bytes, EngineError> {
        let (what, version) = (ask.what.clone(), self.version());
        self.within(limit, &what, self.whole(&version, ask, LARGEST_OUTCOME)).await
    }

    /// Begins something whose answer is a stream; the limit covers the headers only.
    pub(in crate::docker) async fn begin(
        &self,
        ask: Ask,
        limit: Duration,
    ) -> Result<Incoming, EngineError> {
        let (what, version) = (ask.what.clone(), self.version());
        let response = self.within(limit, &what, self.answer(&version, ask)).await?;
        Ok(response.into_body())
    }

    async fn whole(&self, version: &str, ask: Ask, most: usize) -> Result<Bytes, EngineError> {
        let what = ask.what.clone();
        let response = self.answer(version, ask).await?;
        body_within(&what, response, most).await
    }

    /// The answer, when it is not a refusal.
    async fn answer(&self, version: &str, ask: Ask) -> Result<Response<Incoming>, EngineError> {
        let what = ask.what.clone();
        let request = ask
            .into_request(version)
            .map_err(|error| EngineError::Garbled { what: what.clone(), source: error.into() })?;
        let response =
            self.client.request(request).await.map_err(|error| self.failed(&what, error))?;
        let status = response.status();
        if is_answer(status) {
            return Ok(response);
        }
        let message = refusal(&body_within(&what, response, LARGEST_REFUSAL).await?, status);
        Err(EngineError::Refused { what, status: status.as_u16(), message })
    }

    /// The same client for the typed calls of bollard, which does not put the API version into paths by itself, and which
    /// reads any answer to its end. So a refusal is read here, and a success is handed on only if it says how long it is.
    pub(in crate::docker) async fn forward(
        self,
        request: BollardRequest,
    ) -> Result<Response<Incoming>, bollard::errors::Error> {
        let (mut parts, body) = request.into_parts();
        let asked = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        parts.uri = format!("http://engine{}{asked}", self.version()).parse()?;
        parts.headers.remove(http::header::HOST);
        let body = body.map_err(Cause::from).boxed_unsync();
        let response = self.client.request(Request::from_parts(parts, body)).await?;
        let status = response.status();
        if is_answer(status) {
            let length = response.body().size_hint().upper();
            if length.is_some_and(|length| length <= LARGEST_OUTCOME as u64) {
                return Ok(response);
            }
            let why = length.map_or_else(
                || "an answer without a length is not read".to_owned(),
                |length| format!("an answer of {length} bytes is not read"),
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, why).into());
        }
        let body = Limited::new(response.into_body(), LARGEST_REFUSAL).collect().await;
        let body = body.map_err(|source| {
            let is_endless = source.is::<LengthLimitError>();
            let kind = if is_endless { io::ErrorKind::InvalidData } else { io::ErrorKind::Other };
            io::Error::new(kind, source)
        })?;
        let (status_code, message) = (status.as_u16(), refusal(&body.to_bytes(), status));
        Err(bollard::errors::Error::DockerResponseServerError { status_code, message })
    }

    async fn within<T>(
        &self,
        limit: Duration,
        what: &str,
        call: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        tokio::time::timeout(limit, call)
            .await
            .unwrap_or_else(|_| Err(EngineError::TimedOut { what: what.to_owned(), limit }))
    }

    /// What a failed request means: the connector's own error where there was no connection at all.
    pub(in crate::docker) fn failed(&self, what: &str, error: legacy::Error) -> EngineError {
        if !error.is_connect() {
            return EngineError::Broken { what: what.to_owned(), source: error.into() };
        }
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(current) = cause {
            if let Some(dialled) = current.downcast_ref::<EngineError>() {
                return again(dialled);
            }
            cause = current.source();
        }
        EngineError::Unreachable { endpoint: self.endpoint().to_owned(), source: error.into() }
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Wire({}{})", self.endpoint, self.version())
    }
}

/// Whether the Engine did what it was asked for, or had nothing to do.
fn is_answer(status: StatusCode) -> bool {
    status.is_success() || status == StatusCode::NOT_MODIFIED
}

async fn body_within(
    what: &str,
    response: Response<Incoming>,
    most: usize,
) -> Result<Bytes, EngineError> {
    let body = Limited::new(response.into_body(), most).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|source| {
        let what = what.to_owned();
        if source.is::<LengthLimitError>() {
            let why = format!("it is larger than {} KiB, and is not read", most >> 10);
            return EngineError::Garbled { what, source: why.into() };
        }
        EngineError::Broken { what, source }
    })
}

pub(in crate::docker) fn parse<'de, T: Deserialize<'de>>(
    what: &str,
    bytes: &'de [u8],
) -> Result<T, EngineError> {
    serde_json::from_slice(bytes)
        .map_err(|error| EngineError::Garbled { what: what.to_owned(), source: error.into() })
}

/// The Engine's own words, which it wraps as `{"message": …}`.
fn refusal(body: &[u8], status: StatusCode) -> String {
    #[derive(serde::Deserialize)]
    struct Wrapped {
        message: String,
    }
    match serde_json::from_slice::<Wrapped>(body) {
        Ok(wrapped) => wrapped.message.trim().to_owned(),
        Err(_) if body.is_empty() => status.to_string(),
        Err(_) => String::from_utf8_lossy(body).trim().chars().take(500).collect(),
    }
}

/// The connector's error came wrapped and borrowed; this says the same.
fn again(error: &EngineError) -> EngineError {
    match error {
        EngineError::UnknownHostKey { host, fingerprint, known_hosts } => {
            EngineError::UnknownHostKey {
                host: host.clone(),
                fingerprint: fingerprint.clone(),
                known_hosts: known_hosts.clone(),
            }
        }
        EngineError::ChangedHostKey { host, fingerprint } => {
            EngineError::ChangedHostKey { host: host.clone(), fingerprint: fingerprint.clone() }
        }
        EngineError::AccessDenied { host, user } => {
            EngineError::AccessDenied { host: host.clone(), user: user.clone() }
        }
        EngineError::BadFile { path, source } => {
            EngineError::BadFile { path: path.clone(), source: source.to_string().into() }
        }
        EngineError::Unreachable { endpoint, source } => EngineError::Unreachable {
            endpoint: endpoint.clone(),
            source: chain::in_full(&**source).into(),
        },
        other => EngineError::Unreachable {
            endpoint: String::new(),
            source: chain::in_full(other).into(),
        },
    }
}
