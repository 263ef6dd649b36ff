//! The forms in which things of ours are kept, and how a newer one is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use crate::fleet::Orders;
use crate::model::{HostName, RepositoryName};

/// The form of what is written here. A higher one was written by a newer program and is not touched.
pub(crate) const VERSION: u32 = 1;

/// Orders as they are kept: with what tells which are newer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    /// The form.
    pub(crate) version: u32,
    /// Where they began; empty as long as nobody said anything.
    pub(crate) lineage: String,
    /// How often they were changed.
    pub(crate) changed: u64,
    /// What was said.
    pub(crate) orders: Orders,
}

impl Kept {
    /// What holds of these and of those that a host remembers.
    pub(super) fn with(&self, other: &Self) -> Self {
        if self.lineage.is_empty() || self.lineage == other.lineage {
            return if self.changed < other.changed { other.clone() } else { self.clone() };
        }
        if other.lineage.is_empty() {
            return self.clone();
        }
        let (older, newer) =
            if self.lineage < other.lineage { (self, other) } else { (other, self) };
        let mut orders = Orders { brakes: older.orders.brakes.clone(), ..Orders::default() };
        for brake in newer.orders.brakes.iter() {
            let known = older
                .orders
                .brakes
                .iter()
                .find(|known| (&known.stack, &known.host) == (&brake.stack, &brake.host));
            if known.is_none_or(|known| known.since < brake.since) {
                orders.brakes.suspend(brake.clone());
            }
        }
        let mut rollbacks: Vec<_> =
            older.orders.rollbacks.iter().chain(&newer.orders.rollbacks).cloned().collect();
        rollbacks.sort_by_key(|rollback| rollback.since);
        for rollback in rollbacks {
            orders.roll_back(rollback);
        }
        let changed = self.changed.max(other.changed) + 1;
        Self { version: VERSION, lineage: newer.lineage.clone(), changed, orders }
    }
}

/// Which repositories' ledgers a folder writes, and who is told when one is to be written.
#[derive(Debug, Default)]
pub(crate) struct Ledgers {
    keys: BTreeMap<RepositoryName, String>,
    bells: Mutex<BTreeMap<HostName, Arc<Notify>>>,
    /// How often a host told of a stack that the folder did not know.
    learned: watch::Sender<u64>,
}

impl Ledgers {
    /// Those under these keys.
    pub(crate) fn of(keys: BTreeMap<RepositoryName, String>) -> Self {
        Self { keys, ..Self::default() }
    }

    /// The repositories, and the key of each.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (&RepositoryName, &str)> {
        self.keys.iter().map(|(name, key)| (name, key.as_str()))
    }

    /// Rung when what a host remembers is out of date.
    pub(crate) fn bell(&self, host: &HostName) -> Arc<Notify> {
        let mut bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(bells.entry(host.clone()).or_default())
    }

    /// A host told of a stack that the folder did not know.
    pub(crate) fn has_learned(&self) {
        self.learned.send_modify(|count| *count += 1);
    }

    /// Changes when hosts tell of stacks that the folder did not know.
    pub(crate) fn learned(&self) -> watch::Receiver<u64> {
        self.learned.subscribe()
    }

    /// Rings for every host.
    pub(crate) fn ring_all(&self) {
        let bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        bells.values().for_each(|bell| bell.notify_one());
    }
}

/// The first that is read of anything of ours.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Version {
    /// 0 for what was written before there were versions.
    pub(crate) version: u32,
}

impl Version {
    /// What is said where a newer program wrote it.
    pub(crate) fn newer(&self) -> Option<String> {
        let is_newer = VERSION < self.version;
        is_newer.then(|| format!("it has form {}, which a newer moorline wrote", self.version))
    }
}
