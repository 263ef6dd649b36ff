//! What differs between forges besides their clients. Each forge's folder holds one table; what all share reads it.

use std::fmt;
use std::sync::Arc;

use url::Url;

use super::Limits;
use super::address::Location;
use super::client::Client;
use super::http::{Answer, Wire};
use super::project::Project;
use super::webhook::Webhook;
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
    /// How a server is asked whether it is one; `None` where that cannot be asked.
    pub(super) probe: Option<Probe>,
    /// How its API is spoken to.
    pub(super) wire: Wire,
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

/// One question, and what its answer tells.
#[derive(Clone, Copy)]
pub(super) struct Probe {
    /// The path below the API's address.
    pub(super) path: &'static str,
    /// Which kind answers so.
    pub(super) kind: fn(&Answer) -> Option<ForgeKind>,
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
