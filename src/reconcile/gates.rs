//! Who goes first: how far each target is with the head, and whether the others may follow.
//!
//! Gates are made anew when a standing changed or a patience ended, not when someone asks; those whose gate changed are
//! named, so that their loops can be rung. A fleet without waves and without `after` costs nothing here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::config::settings::Labels;
use crate::config::{Fleet, Stack};
use crate::fleet::TargetName;
use crate::fleet::waves::{Gate, Line, Standing, gates};
use crate::model::{CommitState, HostName, Revision, Timestamp};
use crate::report::{Report, status};

use crate::clock;
use crate::reconcile::host::{Host, Ring};

/// Standings that change within this time are looked at together.
const SETTLE: Duration = Duration::from_millis(20);

/// The gates of one repository.
#[derive(Debug)]
pub(crate) struct Gatekeeper {
    /// All hosts of the settings.
    hosts: Arc<BTreeMap<HostName, Labels>>,
    /// Those that this daemon keeps.
    own: BTreeSet<HostName>,
    inner: Mutex<Inner>,
    changed: Notify,
    /// Somebody may wait who did not before.
    waits: Notify,
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
    pub(crate) fn new(
        hosts: Arc<BTreeMap<HostName, Labels>>,
        own: impl IntoIterator<Item = HostName>,
    ) -> Self {
        Self {
            hosts,
            own: own.into_iter().collect(),
            inner: Mutex::default(),
            changed: Notify::new(),
            waits: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new head, which all these targets are to reach. Of hosts that other daemons keep nothing is known until they say
    /// so on the commit.
    pub(crate) fn begin(
        &self,
        head: &Revision,
        fleet: Option<&Fleet>,
        targets: BTreeSet<TargetName>,
        now: Timestamp,
    ) {
        let ordered = fleet.filter(|fleet| {
            let ordered = |stack: &Stack| !stack.after.is_empty() || !stack.implied.is_empty();
            !fleet.waves.is_empty() || fleet.stacks.values().any(ordered)
        });
        let mut inner = self.lock();
        *inner = Inner { head: Some(head.clone()), fleet: ordered.cloned(), ..Inner::default() };
        if ordered.is_some() {
            inner.standings = targets.into_iter().map(|target| self.unbegun(target, now)).collect();
        }
        // At once: a loop that asks before the next turn must not find an open gate.
        self.refresh(&mut inner, now);
        drop(inner);
        self.changed.notify_one();
        self.waits.notify_one();
    }

    fn unbegun(&self, target: TargetName, now: Timestamp) -> (TargetName, Standing) {
        let is_own = self.own.contains(&target.host);
        (target, if is_own { Standing::Waiting } else { Standing::Unknown { since: now } })
    }

    /// The targets of other daemons for which one of ours waits, and the commit that they are to reach.
    pub(crate) fn awaited(&self) -> Option<(Revision, Vec<TargetName>)> {
        let inner = self.lock();
        let mut own = inner.gates.iter().filter(|(target, _)| self.own.contains(&target.host));
        if own.all(|(_, gate)| *gate == Gate::Go) {
            return None;
        }
        let others = inner.standings.iter().filter(|(target, standing)| {
            **standing != Standing::Done && !self.own.contains(&target.host)
        });
        let others: Vec<TargetName> = others.map(|(target, _)| target.clone()).collect();
        Some((inner.head.clone()?, others)).filter(|(_, others)| !others.is_empty())
    }

    /// Resolves when [`Gatekeeper::awaited`] may have become another answer.
    pub(crate) async fn somebody_waits(&self) {
        self.waits.notified().await;
    }

    /// How far a target is with a revision; nothing when another one is the head by now.
    pub(crate) fn note(&self, target: &TargetName, revision: &Revision, standing: Standing) {
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
    pub(crate) fn begins(&self, target: &TargetName, revision: &Revision, now: Timestamp) {
        let waited = matches!(self.lock().standings.get(target), Some(Standing::Waiting));
        if waited {
            self.note(target, revision, Standing::Going { since: now });
        }
    }

    /// Whether a target may take up a revision.
    pub(crate) fn gate(&self, target: &TargetName, revision: &Revision, now: Timestamp) -> Gate {
        let mut inner = self.lock();
        if inner.fleet.is_none() || inner.head.as_ref() != Some(revision) {
            return Gate::Go;
        }
        if inner.until.is_some_and(|until| until <= now) {
            self.refresh(&mut inner, now);
        }
        inner.gates.get(target).cloned().unwrap_or(Gate::Go)
    }

    /// All gates as they are now.
    pub(crate) fn gates_now(&self, now: Timestamp) -> BTreeMap<TargetName, Gate> {
        let mut inner = self.lock();
        self.refresh(&mut inner, now);
        inner.gates.clone()
    }

    /// Rings loops whose gate changed, until `stop`.
    pub(crate) async fn run(&self, hosts: &BTreeMap<HostName, Arc<Host>>, stop: CancellationToken) {
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
        self.waits.notify_one();
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

/// How far a target is with a commit, by its report.
pub(crate) fn standing_of(report: &Report) -> Standing {
    match status::state(report) {
        CommitState::Success => Standing::Done,
        CommitState::Pending => Standing::Going { since: report.at },
        CommitState::Failure => Standing::Failed { why: status::line(report) },
        CommitState::Error => Standing::Unknown { since: report.at },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fleet_file::{Surroundings, parse};
    use crate::model::StackName;

    fn target(host: &str) -> TargetName {
        let stack = StackName::parse("shop").unwrap();
        TargetName { stack, host: HostName::parse(host).unwrap() }
    }

    #[test]
    fn a_host_of_another_daemon_is_awaited_until_it_is_heard_of_or_the_deadline_passes() {
        let text = "stacks: {shop: {hosts: all}}\nwaves: [[edge-1], rest]\nwave_deadline: 10m\n";
        let fleet = parse("fleet.yaml", text.as_bytes(), Surroundings::default()).unwrap().0;
        let names = ["edge-1", "edge-2"].map(|name| HostName::parse(name).unwrap());
        let labels = names.iter().map(|name| (name.clone(), Labels::new())).collect();
        let keeper = Gatekeeper::new(Arc::new(labels), [names[1].clone()]);
        let head = Revision::parse(&"a".repeat(40)).unwrap();
        let [canary, own] = ["edge-1", "edge-2"].map(target);
        let at = |minutes: i64| Timestamp::from_millis(minutes * 60_000);
        keeper.begin(&head, Some(&fleet), [canary.clone(), own.clone()].into(), at(0));
        let gate = |minutes| keeper.gate(&own, &head, at(minutes)).to_string();
        assert_eq!(gate(9), "waits for shop@edge-1");
        assert_eq!(keeper.awaited(), Some((head.clone(), vec![canary.clone()])));
        assert_eq!(gate(10), "stopped: shop@edge-1 unknown since 1970-01-01T00:00:00Z");
        // Stopped, it is still listened to.
        assert_eq!(keeper.awaited(), Some((head.clone(), vec![canary.clone()])));
        keeper.note(&canary, &head, Standing::Done);
        keeper.turned(at(11));
        assert_eq!((gate(11).as_str(), keeper.awaited()), ("may go", None));
    }
}
