//! What the loops of one repository share: its own, its targets' and that of its pull requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::config::settings::{Labels, Limits};
use crate::fleet::Orders;
use crate::model::HostName;

use crate::commit::cache::CommitCache;
use crate::data::folder::DataFolder;
use crate::reconcile::board::Board;
use crate::reconcile::gates::Gatekeeper;
use crate::reconcile::host::Host;
use crate::reconcile::limiter::PassLimiter;
use crate::reconcile::roster::Roster;

/// What all of them work with.
#[derive(Debug)]
pub(crate) struct Context {
    /// Hosts that this daemon keeps.
    pub hosts: BTreeMap<HostName, Arc<Host>>,
    /// Labels of all hosts of the settings.
    pub labels: Arc<BTreeMap<HostName, Labels>>,
    /// What is known of the targets, and where reports go.
    pub board: Arc<Board>,
    /// Locks and memory.
    pub data: DataFolder,
    /// Limits of passes.
    pub limits: Limits,
    /// Passes that work at one time.
    pub seats: Arc<PassLimiter>,
    /// Who goes first.
    pub keeper: Gatekeeper,
    /// Who sits where.
    pub roster: Roster,
    /// Other commits than the head.
    pub archive: CommitCache,
    /// What operators said beside Git.
    pub orders: watch::Receiver<Arc<Orders>>,
}
