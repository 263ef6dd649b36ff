//! The listener: few connections at a time, small bodies, short waits, clear answers.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{Answered, Bell, HookBook, Refusal};
use crate::model::Timestamp;

/// A webhook's body at most: forges send up to 25 MB, but the next look finds what a larger push brought.
const LARGEST_BODY: usize = 3 * 1024 * 1024;
/// Head and body must be there after this long; forges give up after 5 to 10 s.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections at a time.
const MOST_CONNECTIONS: usize = 64;

/// What can go wrong with the listener.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: String,
        /// Why.
        source: std::io::Error,
    },
}

/// Tells at `/readyz` what the daemon still waits for before it does all of its work, without secrets; `None` when it
/// does. Cheap to copy.
#[derive(Clone)]
pub struct Readiness(Arc<dyn Fn() -> Option<String> + Send + Sync>);

impl Readiness {
    /// Asks this each time.
    pub fn new(waits_for: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(waits_for))
    }

    fn why_not(&self) -> Option<String> {
        (self.0)()
    }
}

impl std::fmt::Debug for Readiness {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_tuple("Readiness").field(&self.why_not()).finish()
    }
}

/// What the listener leads to.
#[derive(Debug, Clone)]
pub struct Doors {
    /// The webhooks.
    pub hooks: Arc<HookBook>,
    /// Rung when a repository should be looked at.
    pub bell: Bell,
    /// Told at `/readyz`.
    pub readiness: Readiness,
    /// The wall clock.
    pub clock: fn() -> Timestamp,
}

impl Doors {
    /// The routes, for whoever adds others.
    pub fn router(self) -> Router {
        Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(readyz))
            .route("/hooks/{repository}", post(hook))
            .fallback(|| async { (StatusCode::NOT_FOUND, "there is nothing here\n") })
            .with_state(self)
    }
}

/// Listens on an address such as `127.0.0.1:7420`.
///
/// # Errors
/// `Bind` when it is taken or not ours.
pub async fn bind(address: &str) -> Result<TcpListener, WebError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| WebError::Bind { address: address.to_owned(), source })
}

/// Answers until it is stopped; connections that are open then may end their request for two more seconds.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    let mut open = Open::default();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                if let Ok(number) = ended {
                    open.0.remove(&number);
                }
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (number, end) = open.enter(peer.ip());
                let (router, stop) = (router.clone(), stop.clone());
                connections.spawn(async move {
                    end.run_until_cancelled(converse(stream, peer, router, stop)).await;
                    number
                });
            }
            // Out of descriptors, most often: the next one may fit again.
            Err(problem) => {
                warn!(%problem, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(Duration::from_secs(2), ended).await.is_err() {
        connections.shutdown().await;
    }
}

/// The connections that are open, by the order in which they came.
#[derive(Debug, Default)]
struct Open(BTreeMap<u64, (IpAddr, CancellationToken)>);

impl Open {
    /// Takes one more in: its number, and what ends it. Where there are too many, the oldest goes of whoever has most:
    /// whoever asks something is answered at once, so an old connection is one that asks nothing, or slowly.
    fn enter(&mut self, peer: IpAddr) -> (u64, CancellationToken) {
        if MOST_CONNECTIONS <= self.0.len() {
            let mut held: BTreeMap<IpAddr, usize> = BTreeMap::new();
            self.0.values().for_each(|(peer, _)| *held.entry(*peer).or_default() += 1);
            let most = held.into_iter().max_by_key(|(_, count)| *count).map(|(peer, _)| peer);
            let oldest = self.0.iter().find(|(_, (peer, _))| Some(*peer) == most);
            if let Some(oldest) = oldest.map(|(number, _)| *number)
                && let Some((_, end)) = self.0.remove(&oldest)
            {
                end.cancel();
            }
        }
        let number = self.0.last_key_value().map_or(0, |(last, _)| last + 1);
        let end = CancellationToken::new();
        self.0.insert(number, (peer, end.clone()));
        (number, end)
    }
}

async fn converse(stream: TcpStream, peer: SocketAddr, router: Router, stop: CancellationToken) {
    let service = TowerToHyperService::new(router);
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(64 * 1024);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = match stop.run_until_cancelled(connection.as_mut()).await {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(problem) = ended {
        debug!(%peer, %problem, "a connection ended early");
    }
}

async fn readyz(State(doors): State<Doors>) -> Response {
    match doors.readiness.why_not() {
        None => (StatusCode::OK, "ready\n").into_response(),
        Some(why) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")).into_response()
        }
    }
}

async fn hook(
    State(doors): State<Doors>,
    Path(repository): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> (StatusCode, String) {
    let whole = Limited::new(body, LARGEST_BODY).collect();
    let body = match tokio::time::timeout(PATIENCE, whole).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(problem)) if problem.downcast_ref::<LengthLimitError>().is_some() => {
            return (StatusCode::PAYLOAD_TOO_LARGE, "at most 3 MiB\n".to_owned());
        }
        Ok(Err(_)) => return (StatusCode::BAD_REQUEST, "the body is not whole\n".to_owned()),
        Err(_) => return (StatusCode::REQUEST_TIMEOUT, "the body did not come\n".to_owned()),
    };
    match doors.hooks.receive(&repository, &headers, &body, (doors.clock)()) {
        Ok(Answered::Look(look)) => {
            info!(repository = %look.repository, "webhook");
            doors.bell.ring(look);
            (StatusCode::ACCEPTED, "looking\n".to_owned())
        }
        Ok(Answered::Again) => (StatusCode::OK, "seen before\n".to_owned()),
        Ok(Answered::Ignored) => (StatusCode::OK, "ignored\n".to_owned()),
        Err(refusal) => (refuse(&repository, refusal), format!("{refusal}\n")),
    }
}

fn refuse(repository: &str, refusal: Refusal) -> StatusCode {
    // The name comes from outside: it is only logged where it is one of ours.
    if refusal != Refusal::NotConfigured {
        warn!(repository, %refusal, "webhook refused");
    }
    StatusCode::from_u16(refusal.code()).unwrap_or(StatusCode::BAD_REQUEST)
}
