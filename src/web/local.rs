//! The daemon's door for this machine: a socket in its data folder, which only its own user can open.
//!
//! It answers from what the daemon knows and looks nothing up, so that it answers at once even when every host hangs.
//!
//! | call | answer |
//! |---|---|
//! | `GET /v1/status` (`?all` names every target) | the daemon, its hosts, repositories and targets, and the same as text |
//! | `GET /v1/targets` | the targets alone |
//! | `GET /v1/orders` | what operators said beside Git |
//! | `POST /v1/look` | 202: every repository is looked at now |
//!
//! *Caveats.* A socket's path may have 107 bytes; a longer one is opened through its folder's descriptor.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::daemon::{Doorbell, View};

/// The socket's name in the data folder.
const NAME: &str = "moorline.sock";
/// The longest path that a socket can be bound to.
const LONGEST: usize = 107;
/// How long a client waits for an answer: what is asked is known already.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest answer: 20,000 targets take about 40 MB.
const LARGEST: usize = 256 * 1024 * 1024;

/// What the door leads to.
#[derive(Debug, Clone)]
struct Inside {
    view: View,
    doorbell: Doorbell,
}

/// Serves until `stop`. A socket that a daemon before this one left is replaced: the lock of the data folder says that
/// there is no other.
///
/// # Errors
/// The socket cannot be made: the daemon works without it, and whoever asks is told that it does not answer.
pub async fn serve(
    data: &Path,
    view: View,
    doorbell: Doorbell,
    stop: CancellationToken,
) -> io::Result<()> {
    let path = data.join(NAME);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = {
        let (short, _folder) = short(&path)?;
        UnixListener::bind(short)?
    };
    std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    let router = Router::new()
        .route("/v1/status", get(status))
        .route("/v1/targets", get(targets))
        .route("/v1/orders", get(orders))
        .route("/v1/look", post(look))
        .with_state(Inside { view, doorbell });
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
    let ended = served.await;
    // One that is gone already is as well as removed.
    drop(std::fs::remove_file(&path));
    ended
}

async fn status(State(inside): State<Inside>, RawQuery(query): RawQuery) -> Json<Value> {
    Json(inside.view.status(query.as_deref() == Some("all")))
}

async fn targets(State(inside): State<Inside>) -> Json<Value> {
    let mut status = inside.view.status(true);
    Json(status.get_mut("reports").map(Value::take).unwrap_or_default())
}

async fn orders(State(inside): State<Inside>) -> Json<Value> {
    Json(inside.view.orders())
}

async fn look(State(inside): State<Inside>) -> StatusCode {
    inside.doorbell.ring_all();
    StatusCode::ACCEPTED
}

/// A path to the socket that is short enough, and what must be held for as long as it is used.
fn short(path: &Path) -> io::Result<(PathBuf, Option<File>)> {
    let folder = path.parent().filter(|_| LONGEST < path.as_os_str().len());
    match folder {
        None => Ok((path.to_owned(), None)),
        Some(folder) => {
            let folder = File::open(folder)?;
            let short = format!("/proc/self/fd/{}/{NAME}", folder.as_raw_fd());
            Ok((PathBuf::from(short), Some(folder)))
        }
    }
}

/// Asks the daemon that runs with this data folder; `None` when none answers there.
///
/// # Errors
/// It answers, but not in a way that can be understood, or not in time.
pub async fn ask(data: &Path, call: &str) -> io::Result<Option<Value>> {
    let (short, _folder) = short(&data.join(NAME))?;
    let stream = match UnixStream::connect(short).await {
        Ok(stream) => stream,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let answer = tokio::time::timeout(PATIENCE, exchange(stream, call)).await;
    answer.map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))?.map(Some)
}

/// Nobody is there, or not for us: another user's daemon is none of ours.
fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied};
    matches!(error.kind(), NotFound | ConnectionRefused | PermissionDenied)
}

async fn exchange(stream: UnixStream, call: &str) -> io::Result<Value> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let request = hyper::Request::get(call)
        .header("host", "moorline")
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let answered = async {
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        let body = Limited::new(answer.into_body(), LARGEST).collect().await;
        let body = body.map_err(io::Error::other)?.to_bytes();
        serde_json::from_slice(&body).map_err(io::Error::other)
    };
    tokio::pin!(answered);
    tokio::select! {
        answer = &mut answered => answer,
        // The connection may end in the instant in which the answer is whole.
        _ = connection => answered.await,
    }
}
