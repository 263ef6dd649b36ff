//! Limits of the process: of open files, of which a connection takes one, and of core dumps, which would hold secrets.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Enough for several connections to each of thousands of hosts.
const WANTED: u64 = 65_536;

/// Leaves no core dump when the process dies: it would hold keys and decrypted values.
pub(crate) fn leave_no_core() {
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "core dumps cannot be switched off");
    }
}

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
