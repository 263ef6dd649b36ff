//! File descriptors: a connection takes one, and services begin with a limit that a large fleet exceeds.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Enough for several connections to each of thousands of hosts.
const WANTED: u64 = 65_536;

/// Raises the soft limit of open files as far as the hard one allows, and says so.
pub(crate) fn raise_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    let Some(before) = limit.current else { return };
    let raised = limit.maximum.map_or(WANTED, |most| most.min(WANTED));
    if raised <= before {
        return;
    }
    limit.current = Some(raised);
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => tracing::debug!(before, now = raised, "raised the limit of open files"),
        Err(error) => {
            tracing::warn!(%error, limit = before, "cannot raise the limit of open files");
        }
    }
}
