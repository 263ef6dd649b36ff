//! What differs between forges besides their clients. Each forge's folder holds one table; what all share reads it.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::HeaderName;
use url::Url;

use super::client::Client;
use super::http::{Http, Lease, Pages};
use super::project::Project;
use super::recognise::Probe;
use super::webhook::Webhook;
use super::{ForgeError, Limits, Right};
use crate::model::{ForgeKind, Revision};

/// One forge's table.
pub(super) struct Rules {
    /// The kind.
    pub(super) kind: ForgeKind,
    /// A client of a project.
    pub(super) client: fn(Project) -> Arc<dyn Client>,
    /// Takes a remote apart: its host, and the parts of its path as they are written (without `.git`).
    pub(super) locate: fn(&str, Vec<String>) -> Location,
    /// The API's address, from the forge's or already its own.
    pub(super) api: fn(&Url) -> Url,
    /// The parts of a project's address below the API's.
    pub(super) root: fn(&str) -> Vec<String>,
    /// The header by which it takes a user's token: its name and value.
    pub(super) header: fn(Option<&str>, &str) -> (HeaderName, String),
    /// Apps that trade their own token for another one, where there are any.
    pub(super) app: Option<App>,
    /// How a server is asked whether it is one; `None` where that cannot be asked.
    pub(super) probe: Option<Probe>,
    /// Headers of every request to this address.
    pub(super) headers: fn(&Url) -> &'static [(&'static str, &'static str)],
    /// What every request asks for besides its own.
    pub(super) query: &'static [(&'static str, &'static str)],
    /// How its lists are told.
    pub(super) pages: Pages,
    /// Whether a refusal with this status and text, in small letters, asks to be slower.
    pub(super) asks_to_wait: fn(u16, &str) -> bool,
    /// Statuses by which it says that the token is not accepted, besides 401.
    pub(super) unauthorised: &'static [u16],
    /// What a token needs for a right, in the forge's words.
    pub(super) needs: fn(Right) -> &'static str,
    /// A header of refusals that names what a token lacks.
    pub(super) missing: Option<&'static str>,
    /// What its texts may be.
    pub(super) limits: Limits,
    /// Addresses for people.
    pub(super) links: Links,
    /// How its webhooks are signed.
    pub(super) webhook: Webhook,
}

impl fmt::Debug for Rules {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Rules").field(&self.kind).finish()
    }
}

/// Where a remote's project is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Location {
    /// The forge's host, where it is not the remote's.
    pub(super) host: Option<String>,
    /// The forge's sub-path.
    pub(super) below: Vec<String>,
    /// The project: `owner/name` and the like.
    pub(super) project: String,
}

/// What a forge was asked.
type Asked<'a, T> = BoxFuture<'a, Result<T, ForgeError>>;

/// How an App gets a token, and which account it writes as.
#[derive(Clone, Copy)]
pub(super) struct App {
    /// Buys a token.
    pub(super) lease: for<'a> fn(&'a Http) -> Asked<'a, Lease>,
    /// Its account.
    pub(super) account: for<'a> fn(&'a Http) -> Asked<'a, Option<String>>,
}

/// Addresses for people. The first argument is the forge's address without a slash at its end, the second the project.
#[derive(Clone, Copy)]
pub(super) struct Links {
    /// The forge's address for people, from the API's.
    pub(super) web: fn(&str) -> String,
    /// A file's line at a commit.
    pub(super) file: fn((&str, &str), &Revision, &str, usize) -> String,
    /// A pull request.
    pub(super) pull: fn((&str, &str), u64) -> String,
}

/// `owner/name`: the last two parts; what stands before is the forge's sub-path.
pub(super) fn owner_and_name(_host: &str, mut parts: Vec<String>) -> Location {
    let below = parts.drain(..parts.len().saturating_sub(2)).collect();
    Location { host: None, below, project: parts.join("/") }
}

/// Groups within groups: all parts.
pub(super) fn groups(_host: &str, parts: Vec<String>) -> Location {
    Location { host: None, below: Vec::new(), project: parts.join("/") }
}

/// The forge's address with the API's part at its end, once.
pub(super) fn with_suffix(address: &Url, suffix: &str) -> Url {
    let mut base = address.clone();
    let path = base.path().trim_end_matches('/').to_owned();
    if !path.ends_with(suffix) {
        base.set_path(&format!("{path}/{suffix}"));
    }
    base
}

/// Whether an address is at a well-known host, or at its `api.` or `www.`.
pub(super) fn is_at(address: &Url, host: &str) -> bool {
    let there = address.host_str().unwrap_or_default();
    there.strip_prefix("api.").or(there.strip_prefix("www.")).unwrap_or(there) == host
}

/// The forge's address, from the API's: without this part at its end.
pub(super) fn without_suffix(base: &str, suffix: &str) -> String {
    base.strip_suffix(suffix).unwrap_or(base).trim_end_matches('/').to_owned()
}

/// A path as it stands in an address, with each part escaped.
pub(super) fn escaped(path: &str) -> String {
    let parts: Vec<String> = path.split('/').map(super::settings::escape_segment).collect();
    parts.join("/")
}

/// Headers of a forge that wants nothing but JSON.
pub(super) fn accept_json(_base: &Url) -> &'static [(&'static str, &'static str)] {
    &[("accept", "application/json")]
}
