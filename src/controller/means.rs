//! What the loops of one repository share: its own, its targets' and that of its pull requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::config::settings::{Labels, Limits};
use crate::fleet::Orders;
use crate::model::HostName;

use super::archive::Archive;
use super::board::Board;
use super::files::DataFolder;
use super::gatekeeper::Gatekeeper;
use super::host::Host;
use super::roster::Roster;
use super::seats::Seats;

/// What all of them work with.
#[derive(Debug)]
pub(super) struct Means {
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
    pub seats: Arc<Seats>,
    /// Who goes first.
    pub keeper: Gatekeeper,
    /// Who sits where.
    pub roster: Roster,
    /// Other commits than the head.
    pub archive: Archive,
    /// What operators said beside Git.
    pub orders: watch::Receiver<Arc<Orders>>,
}
