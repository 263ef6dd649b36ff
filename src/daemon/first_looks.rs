//! What a daemon has not looked at yet: it is ready once every repository was read, and every host was looked at or is
//! known to be out of reach.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::config::settings::Settings;
use crate::model::{HostName, RepositoryName};
use crate::reconcile::host::{Host, Link};

/// What is still waited for. Cheap to copy.
#[derive(Debug, Clone, Default)]
pub struct FirstLooks(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    repositories: BTreeSet<RepositoryName>,
    hosts: BTreeSet<HostName>,
}

impl FirstLooks {
    pub(super) fn new(settings: &Settings) -> Self {
        let waiting = Waiting {
            repositories: settings.repositories.keys().cloned().collect(),
            hosts: settings.hosts.keys().cloned().collect(),
        };
        Self(Arc::new(Mutex::new(waiting)))
    }

    pub(super) fn was_read(&self, name: &RepositoryName) {
        self.waiting(|waiting| waiting.repositories.retain(|waited| waited != name));
    }

    pub(super) fn is_known(&self, name: &HostName) {
        self.waiting(|waiting| waiting.hosts.retain(|waited| waited != name));
    }

    /// What is still waited for, in words; `None` when nothing is.
    pub fn waits_for(&self) -> Option<String> {
        self.waiting(|waiting| {
            let repositories =
                waiting.repositories.iter().map(|name| format!("the repository {name}"));
            let hosts = waiting.hosts.iter().map(|name| format!("the host {name}"));
            let all: Vec<String> = repositories.chain(hosts).collect();
            (!all.is_empty()).then(|| format!("not looked at yet: {}", all.join(", ")))
        })
    }

    fn waiting<T>(&self, with: impl FnOnce(&mut Waiting) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Notes each host once it is connected or known to be out of reach; ends when all are.
pub(super) async fn follow(
    looks: FirstLooks,
    hosts: BTreeMap<HostName, Arc<Host>>,
    stop: CancellationToken,
) {
    looks.waiting(|waiting| waiting.hosts.retain(|name| hosts.contains_key(name)));
    for (name, host) in hosts {
        let mut link = host.link();
        let known = link.wait_for(|link| !matches!(link, Link::Connecting));
        if stop.run_until_cancelled(known).await.is_none() {
            return;
        }
        looks.is_known(&name);
    }
    // A task that ends while the daemon runs is a fault: this one only has nothing more to do.
    stop.cancelled().await;
}
