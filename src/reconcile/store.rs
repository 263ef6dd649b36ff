//! Where what is known of one repository's targets is kept, and who is told when it changes.
//!
//! Gates are made anew when something changed that they depend on or a patience ended, not when someone asks; those whose
//! gate changed are named, so that their loops can be rung. A fleet without waves and without `after` costs nothing here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::fleet::TargetName;
use crate::fleet::waves::Gate;
use crate::model::{HostName, Revision, Timestamp};
use crate::report::Target;
use crate::report::mask::{SecretSet, mask};
use crate::state::{Change, CommitReport, Gates, Known, Look, Recollection, State};

use crate::clock;
use crate::reconcile::host::{Host, Ring};
use crate::redaction;

/// What changes gates within this time is looked at together.
const SETTLE: Duration = Duration::from_millis(20);

/// What is known of the targets of one repository.
#[derive(Debug, Default)]
pub struct Store {
    inner: Mutex<Inner>,
    changed: Notify,
    gates_stirred: Notify,
    /// Somebody may wait who did not before.
    waits: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    state: State,
    /// The gates as they were last made.
    gates: Gates,
    /// Those that loops were last rung for.
    told: Gates,
    secrets: SecretSet,
}

impl Store {
    /// One that begins with this.
    pub fn new(state: State) -> Self {
        Self { inner: Mutex::new(Inner { state, ..Inner::default() }), ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what was learned, and tells whom it concerns.
    pub fn apply(&self, change: Change) {
        let mut inner = self.lock();
        // At once: a loop that asks before the next turn must not find an open gate.
        let begun = if let Change::Head(new) = &change { Some(new.at) } else { None };
        let stirred = inner.state.apply(change);
        if let Some(now) = begun {
            inner.gates = inner.state.gates(now);
            inner.told = Gates::default();
        }
        drop(inner);
        if stirred.statuses {
            self.changed.notify_waiters();
        }
        if stirred.gates {
            self.gates_stirred.notify_one();
        }
        if begun.is_some() {
            self.waits.notify_one();
        }
    }

    /// Resolves at the next change. Call before reading, so that no change is missed.
    pub fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// Secrets to take out of everything that is said and logged, besides those that are known already.
    pub fn hide(&self, secrets: &SecretSet) {
        redaction::hide(secrets);
        self.lock().secrets.extend(secrets);
    }

    /// All secrets that are known.
    pub fn secrets(&self) -> SecretSet {
        self.lock().secrets.clone()
    }

    /// The head; `None` before there is one.
    pub fn head(&self) -> Option<Revision> {
        self.lock().state.head().cloned()
    }

    /// What is said of the head now, for the next start, without secrets.
    pub fn recollection(&self) -> Option<Recollection> {
        let inner = self.lock();
        let last = inner.state.recollection()?;
        Some(last.cleaned(|text| mask(text, &inner.secrets)))
    }

    /// See [`State::known`].
    pub fn known(&self) -> Option<Known> {
        self.lock().state.known()
    }

    /// See [`State::sight`].
    pub fn sight(&self) -> crate::model::Digest {
        self.lock().state.sight()
    }

    /// See [`State::commit_report`].
    pub fn commit_report(&self, as_host: Option<&HostName>) -> Option<CommitReport> {
        self.lock().state.commit_report(as_host)
    }

    /// See [`State::reports_of_commits`].
    pub fn reports_of_commits(&self, as_host: Option<&HostName>) -> Vec<CommitReport> {
        self.lock().state.reports_of_commits(as_host)
    }

    /// See [`State::is_settled`].
    pub fn is_settled(&self, target: &Target) -> bool {
        self.lock().state.is_settled(target)
    }

    /// See [`State::has_its_data`].
    pub fn has_its_data(&self, target: &Target) -> bool {
        self.lock().state.has_its_data(target)
    }

    /// See [`State::is_half_way`].
    pub fn is_half_way(&self, target: &Target) -> bool {
        self.lock().state.is_half_way(target)
    }

    /// See [`State::looks`].
    pub fn looks(&self) -> Option<(Revision, Vec<Look>)> {
        self.lock().state.looks()
    }

    /// Whether a target may take up a commit.
    pub(crate) fn gate(&self, target: &TargetName, newest: &Revision, now: Timestamp) -> Gate {
        let mut inner = self.lock();
        if inner.gates.until.is_some_and(|until| until <= now) {
            inner.gates = inner.state.gates(now);
        }
        inner.gates.of(target, newest)
    }

    /// All gates as they are now.
    pub(crate) fn gates_now(&self, now: Timestamp) -> BTreeMap<TargetName, Gate> {
        let mut inner = self.lock();
        inner.gates = inner.state.gates(now);
        inner.gates.all().clone()
    }

    /// The targets of other daemons for which one of ours waits, and the commit that they are to reach.
    pub(crate) fn awaited(&self) -> Option<(Revision, Vec<TargetName>)> {
        let inner = self.lock();
        inner.state.awaited(&inner.gates)
    }

    /// Resolves when [`Store::awaited`] may have become another answer.
    pub(crate) async fn somebody_waits(&self) {
        self.waits.notified().await;
    }

    /// Rings loops whose gate changed, until `stop`.
    pub(crate) async fn keep_gates(
        &self,
        hosts: &BTreeMap<HostName, Arc<Host>>,
        stop: CancellationToken,
    ) {
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
                () = self.gates_stirred.notified() => {
                    // What changes together is looked at together.
                    tokio::time::sleep(SETTLE).await;
                }
            }
        }
    }

    /// Makes the gates anew, and names the targets whose gate is another one than they were last told.
    fn turned(&self, now: Timestamp) -> (Vec<TargetName>, Option<Timestamp>) {
        let mut inner = self.lock();
        inner.gates = inner.state.gates(now);
        let turned = inner.gates.that_differ(&inner.told).cloned().collect();
        inner.told = inner.gates.clone();
        let until = inner.gates.until;
        drop(inner);
        self.waits.notify_one();
        (turned, until)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::fleet_file::{Surroundings, parse};
    use crate::config::settings::Labels;
    use crate::fleet::waves::Standing;
    use crate::model::{RepositoryName, StackName};
    use crate::report::Head;
    use crate::state::NewHead;

    fn target(host: &str) -> Target {
        Target {
            repository: RepositoryName::parse("fleet").unwrap(),
            stack: StackName::parse("shop").unwrap(),
            host: HostName::parse(host).unwrap(),
        }
    }

    #[test]
    fn a_host_of_another_daemon_is_awaited_until_it_is_heard_of_or_the_deadline_passes() {
        let text = "stacks: {shop: {hosts: all}}\nwaves: [[edge-1], rest]\nwave_deadline: 10m\n";
        let fleet = parse("fleet.yaml", text.as_bytes(), Surroundings::default()).unwrap().0;
        let names = ["edge-1", "edge-2"].map(|name| HostName::parse(name).unwrap());
        let labels = names.iter().map(|name| (name.clone(), Labels::new())).collect();
        let store = Store::new(State::new(Arc::new(labels), [names[1].clone()]));
        let revision = Revision::parse(&"a".repeat(40)).unwrap();
        let [canary, own] = ["edge-1", "edge-2"].map(target);
        let at = |minutes: i64| Timestamp::from_millis(minutes * 60_000);
        store.apply(Change::Head(Box::new(NewHead {
            head: Head { revision: revision.clone(), subject: String::new(), fleet_problem: None },
            fleet: Some(fleet),
            asks: BTreeMap::new(),
            targets: vec![own.clone()],
            awaited: BTreeSet::from([canary.name(), own.name()]),
            at: at(0),
        })));
        let gate = |minutes| store.gate(&own.name(), &revision, at(minutes)).to_string();
        assert_eq!(gate(9), "waits for shop@edge-1");
        assert_eq!(store.awaited(), Some((revision.clone(), vec![canary.name()])));
        assert_eq!(gate(10), "stopped: shop@edge-1 unknown since 1970-01-01T00:00:00Z");
        // Stopped, it is still listened to.
        assert_eq!(store.awaited(), Some((revision.clone(), vec![canary.name()])));
        let (target, newest) = (canary.name(), revision.clone());
        store.apply(Change::Heard { target, newest, standing: Standing::Done });
        store.turned(at(11));
        assert_eq!((gate(11).as_str(), store.awaited()), ("may go", None));
    }
}
