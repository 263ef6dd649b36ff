//! Who goes first: how far each target is with the head, and whether the others may follow.
//!
//! Gates are made anew when a standing changed or a patience ended, not when someone asks; those whose gate changed are
//! named, so that their loops can be rung. A fleet without waves and without `after` costs nothing here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::config::Fleet;
use crate::config::settings::Labels;
use crate::fleet::TargetName;
use crate::fleet::waves::{Gate, Line, Standing, gates};
use crate::model::{HostName, Revision, Timestamp};

use super::clock;
use super::host::{Host, Ring};

/// Standings that change within this time are looked at together.
const SETTLE: Duration = Duration::from_millis(20);

/// The gates of one repository.
#[derive(Debug)]
pub(super) struct Gatekeeper {
    hosts: Arc<BTreeMap<HostName, Labels>>,
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    head: Option<Revision>,
    /// `None` while nobody waits for anybody.
    fleet: Option<Fleet>,
    standings: BTreeMap<TargetName, Standing>,
    gates: BTreeMap<TargetName, Gate>,
    /// The gates that loops were last rung for.
    told: BTreeMap<TargetName, Gate>,
    /// When a patience ends next.
    until: Option<Timestamp>,
}

impl Gatekeeper {
    pub(super) fn new(hosts: Arc<BTreeMap<HostName, Labels>>) -> Self {
        Self { hosts, inner: Mutex::default(), changed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new head, which all these targets are to reach.
    pub(super) fn begin(
        &self,
        head: &Revision,
        fleet: Option<&Fleet>,
        targets: BTreeSet<TargetName>,
        now: Timestamp,
    ) {
        let ordered = fleet.filter(|fleet| {
            !fleet.waves.is_empty() || fleet.stacks.values().any(|stack| !stack.after.is_empty())
        });
        let mut inner = self.lock();
        *inner = Inner { head: Some(head.clone()), fleet: ordered.cloned(), ..Inner::default() };
        if ordered.is_some() {
            inner.standings =
                targets.into_iter().map(|target| (target, Standing::Waiting)).collect();
        }
        // At once: a loop that asks before the next turn must not find an open gate.
        self.refresh(&mut inner, now);
        drop(inner);
        self.changed.notify_one();
    }

    /// How far a target is with a revision; nothing when another one is the head by now.
    pub(super) fn note(&self, target: &TargetName, revision: &Revision, standing: Standing) {
        let mut inner = self.lock();
        if inner.head.as_ref() != Some(revision) {
            return;
        }
        let Some(known) = inner.standings.get_mut(target) else { return };
        let standing = match (&*known, standing) {
            // Its patience counts from the first time.
            (Standing::Going { since }, Standing::Going { .. }) => {
                Standing::Going { since: *since }
            }
            (Standing::Unknown { since }, Standing::Unknown { .. }) => {
                Standing::Unknown { since: *since }
            }
            (_, standing) => standing,
        };
        if *known == standing {
            return;
        }
        *known = standing;
        drop(inner);
        self.changed.notify_one();
    }

    /// A target that waited begins with a revision. A look at what was begun before is no new beginning.
    pub(super) fn begins(&self, target: &TargetName, revision: &Revision, now: Timestamp) {
        let waited = matches!(self.lock().standings.get(target), Some(Standing::Waiting));
        if waited {
            self.note(target, revision, Standing::Going { since: now });
        }
    }

    /// Whether a target may take up a revision.
    pub(super) fn gate(&self, target: &TargetName, revision: &Revision, now: Timestamp) -> Gate {
        let mut inner = self.lock();
        if inner.fleet.is_none() || inner.head.as_ref() != Some(revision) {
            return Gate::Go;
        }
        if inner.until.is_some_and(|until| until <= now) {
            self.refresh(&mut inner, now);
        }
        inner.gates.get(target).cloned().unwrap_or(Gate::Go)
    }

    /// Rings loops whose gate changed, until `stop`.
    pub(super) async fn run(&self, hosts: &BTreeMap<HostName, Arc<Host>>, stop: CancellationToken) {
        loop {
            let (turned, until) = self.turned(clock::now());
            for target in turned {
                if let Some(host) = hosts.get(&target.host) {
                    host.ring_stack(&target.stack, Ring::Changed);
                }
            }
            let patience = async {
                match until {
                    Some(until) => tokio::time::sleep(until.since(clock::now())).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = patience => {}
                () = self.changed.notified() => {
                    // What changes together is looked at together.
                    tokio::time::sleep(SETTLE).await;
                }
            }
        }
    }

    /// Makes the gates anew, and names the targets whose gate is another one than they were last told.
    fn turned(&self, now: Timestamp) -> (BTreeSet<TargetName>, Option<Timestamp>) {
        let mut inner = self.lock();
        self.refresh(&mut inner, now);
        let Inner { gates, told, until, .. } = &mut *inner;
        let differs = gates.iter().filter(|(target, gate)| told.get(*target) != Some(gate));
        let differs = differs.map(|(target, _)| target.clone()).collect();
        told.clone_from(gates);
        (differs, *until)
    }

    fn refresh(&self, inner: &mut Inner, now: Timestamp) {
        let Some(fleet) = &inner.fleet else { return };
        let line = Line { fleet, hosts: &self.hosts, standings: &inner.standings, now };
        inner.gates = gates(line);
        inner.until = inner
            .gates
            .values()
            .filter_map(|gate| match gate {
                Gate::Wait { until, .. } => *until,
                Gate::Go | Gate::Stopped { .. } => None,
            })
            .filter(|until| now < *until)
            .min();
    }
}
