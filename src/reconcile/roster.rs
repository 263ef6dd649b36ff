//! Which replica sits on which host: what was seen of all hosts comes in, each host's share goes out.
//!
//! What is known, and the placement that follows, is a [`Seating`] of the pure `state`. Here it is kept behind a lock, told
//! how the hosts are, and those are woken whose share changed.
//!
//! *Guarantees.* A placement is made of what was really seen: a host counts as seen once every target on it was looked
//! at since the start, and a silent one keeps what it had until its grace has passed. *Caveats.* One repository does not
//! know what another one reserves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::commit::{Commit, LoadedStack};
use crate::config::settings::{CapacitySettings, Labels, Returning};
use crate::fleet::placement::{
    Ask, Constraint, HostRoom, HostSight, Mode, Resources, Seen, capacity, sight,
};
use crate::fleet::{Orders, TargetName};
use crate::model::{EngineFacts, HostName, Observed, StackName, Timestamp};
use crate::reconcile::pass::Share;
use crate::state::{Seating, Sighting};

use crate::clock;
use crate::reconcile::host::{Host, Link, Ring};
use crate::reconcile::survey::{self, Survey, seen_by};

/// Hosts that are seen at nearly the same time are placed together.
const SETTLE: Duration = Duration::from_millis(20);
/// Between two placements, this many times what the last one took: of a large fleet, more is placed together.
const PACE: u32 = 4;

/// The seats of one repository.
#[derive(Debug)]
pub(crate) struct Roster {
    /// Hosts that this daemon keeps.
    pub(crate) hosts: BTreeMap<HostName, Arc<Host>>,
    /// All hosts of the settings.
    pub(crate) labels: Arc<BTreeMap<HostName, Labels>>,
    pub(crate) capacities: BTreeMap<HostName, CapacitySettings>,
    /// How long silence is borne.
    pub(crate) grace: Duration,
    /// What becomes of replicas whose lost host returns.
    pub(crate) returning: Returning,
    pub(crate) started: Timestamp,
    pub(crate) orders: watch::Receiver<Arc<Orders>>,
    pub(crate) inner: Mutex<Inner>,
    pub(crate) changed: Notify,
    /// How many placements were made; the highest number when no more will be.
    pub(crate) settled: watch::Sender<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Inner {
    seating: Seating,
    /// Counts placements; those who saw something new wait for the next one.
    turn: u64,
    /// Turns that wait for it.
    awaited: BTreeSet<TargetName>,
}

impl Roster {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new commit, and what its services ask of placement.
    pub(crate) fn begin(&self, commit: &Commit) {
        let spread = survey::spread(commit)
            .map(|stack| (stack.stack.name.clone(), stack.stack.hosts.select(&self.labels)));
        let (asks, spread) = (survey::asked(commit, &self.labels), spread.collect());
        let mut inner = self.lock();
        inner.seating.apply(Sighting::Asked { asks, spread });
        drop(inner);
        self.changed.notify_one();
    }

    /// A host came or went.
    pub(crate) fn poke(&self) {
        self.changed.notify_one();
    }

    /// Notes what was seen of a target at once; what is awaited is its share. Many hosts are seen at one time, and share
    /// one placement.
    pub(crate) fn share(
        &self,
        target: &TargetName,
        observed: &Observed,
    ) -> impl Future<Output = Share> + Send + use<'_> {
        let noted = self.noted(target, observed);
        let mut settled = self.settled.subscribe();
        async move {
            let turn = match noted {
                Ok(turn) => turn,
                Err(share) => return share,
            };
            self.changed.notify_one();
            // The sender lives as long as the roster does.
            drop(settled.wait_for(|settled| turn < *settled).await);
            Share::Placed(Arc::clone(self.lock().seating.placement()))
        }
    }

    /// How many placements there were before the one that what was seen belongs to, or the share that is known already.
    fn noted(&self, target: &TargetName, observed: &Observed) -> Result<u64, Share> {
        let mut inner = self.lock();
        if !inner.seating.spreads_any() {
            return Err(Share::Whole);
        }
        // After a look that tells nothing, what was known holds on.
        if let Some(seen) = seen_by(observed) {
            inner.seating.apply(Sighting::Looked { target: target.clone(), seen });
        }
        let seating = &inner.seating;
        let Some(hosts) = seating.hosts_of(&target.stack) else { return Err(Share::Whole) };
        if let Some(why) = self.cannot_say(seating.asks(), &target.stack, hosts) {
            return Err(Share::Unknown(why));
        }
        if !seating.is_stale() {
            return Err(Share::Placed(Arc::clone(seating.placement())));
        }
        inner.awaited.insert(target.clone());
        Ok(inner.turn)
    }

    /// A daemon that sees one host of many places only what names alone decide: on every daemon the same.
    fn cannot_say(
        &self,
        asks: &[Ask],
        stack: &StackName,
        hosts: &BTreeSet<HostName>,
    ) -> Option<String> {
        let sees_all = self.hosts.len() == self.labels.len();
        if sees_all || hosts.iter().all(|host| self.hosts.contains_key(host)) {
            return None;
        }
        let room = |host: &HostName| HostRoom {
            labels: self.labels.get(host).cloned().unwrap_or_default(),
            platform: String::new(),
            capacity: Resources::UNLIMITED,
            sight: HostSight::Seen,
        };
        let open = asks.iter().filter(|ask| ask.key.stack == *stack).find(|ask| {
            let candidates = hosts.iter().filter(|host| {
                let room = room(host);
                ask.constraints.iter().all(|constraint| constraint.allows(host, &room))
            });
            let by_platform = ask.constraints.iter().any(Constraint::asks_for_platform);
            matches!(ask.mode, Mode::Replicated(_)) && (by_platform || candidates.count() > 1)
        })?;
        Some(format!(
            "{} may sit on several hosts, and this daemon sees only one: say `mode: global`, or pin it with a constraint on node.hostname or node.labels",
            open.key.service
        ))
    }

    /// Makes placements anew when hosts come and go, until `stop`.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let mut orders = self.orders.clone();
        loop {
            let begun = tokio::time::Instant::now();
            let until = self.place_anew();
            let settle = SETTLE.max(begun.elapsed() * PACE);
            let loss = async {
                match until {
                    Some(until) => tokio::time::sleep(until.since(clock::now())).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.changed.notified() => tokio::time::sleep(settle).await,
                Ok(()) = orders.changed() => {}
                () = loss => {}
            }
        }
        self.settled.send_replace(u64::MAX);
    }

    /// Makes a placement of all that was noted, and wakes those that it concerns.
    fn place_anew(&self) -> Option<Timestamp> {
        let mut inner = self.lock();
        let (turned, until) = if inner.seating.spreads_any() {
            self.refresh(&mut inner.seating)
        } else {
            (BTreeSet::new(), None)
        };
        inner.turn += 1;
        let turn = inner.turn;
        let awaited = std::mem::take(&mut inner.awaited);
        drop(inner);
        self.settled.send_replace(turn);
        for target in turned.difference(&awaited) {
            if let Some(host) = self.hosts.get(&target.host) {
                host.ring_stack(&target.stack, Ring::Changed);
            }
        }
        until
    }

    /// Places anew where something changed, and names the targets whose share changed with it; and when a silence ends in
    /// loss next.
    fn refresh(&self, seating: &mut Seating) -> (BTreeSet<TargetName>, Option<Timestamp>) {
        let is_up = |host: &HostName| {
            self.hosts.get(host).is_some_and(|host| matches!(*host.link().borrow(), Link::Up(_)))
        };
        let silent: BTreeSet<HostName> =
            self.hosts.keys().filter(|host| !is_up(host)).cloned().collect();
        if !silent.is_empty() {
            seating.apply(Sighting::Silent(silent));
        }
        let (rooms, until) = self.rooms(seating, clock::now());
        (seating.apply(Sighting::Hosts { rooms, returning: self.returning }), until)
    }

    /// Of these targets, those of hosts that this daemon keeps and of which nothing is known yet.
    pub(crate) fn unknown(&self, targets: Vec<TargetName>) -> Vec<TargetName> {
        let inner = self.lock();
        let is_unknown = |target: &TargetName| {
            self.hosts.contains_key(&target.host) && !inner.seating.has_seen(target)
        };
        targets.into_iter().filter(is_unknown).collect()
    }

    /// What the hosts' shares of spread stacks would be with another commit, by what is known now and by what was looked
    /// up beside it. Nothing is changed.
    pub(crate) fn shares(
        &self,
        commit: &Commit,
        looked: &[(TargetName, Option<Seen>)],
    ) -> BTreeMap<StackName, Share> {
        let asked = survey::asked(commit, &self.labels);
        let mut survey = {
            let inner = self.lock();
            let (hosts, _) = self.rooms(&inner.seating, clock::now());
            Survey::of(inner.seating.world(hosts, self.returning))
        };
        for (target, seen) in looked {
            survey.look(&target.stack, &target.host, seen.as_ref());
        }
        let placement = Arc::new(survey.place(&asked));
        let share = |stack: &LoadedStack| {
            let name = stack.stack.name.clone();
            let hosts = stack.stack.hosts.select(&self.labels);
            let share = match self.cannot_say(&asked, &name, &hosts) {
                Some(why) => Share::Unknown(why),
                None => Share::Placed(Arc::clone(&placement)),
            };
            (name, share)
        };
        survey::spread(commit).map(share).collect()
    }

    /// The hosts as they are now, and when a silence ends in loss next.
    fn rooms(
        &self,
        seating: &Seating,
        now: Timestamp,
    ) -> (BTreeMap<HostName, HostRoom>, Option<Timestamp>) {
        let orders = self.orders.borrow().clone();
        let mut until: Option<Timestamp> = None;
        let mut rooms = BTreeMap::new();
        for (name, labels) in self.labels.iter() {
            let link = self.hosts.get(name).map(|host| host.link().borrow().clone());
            let (facts, seen): (Option<EngineFacts>, HostSight) = match link {
                // A host of another daemon: only what names decide is placed there.
                None => (None, HostSight::Seen),
                Some(Link::Up(engine)) if seating.has_seen_all_of(name) => {
                    let closed = orders.brakes.closes(name, now);
                    let seen = if closed { HostSight::Closed } else { HostSight::Seen };
                    (Some(engine.facts()), seen)
                }
                Some(Link::Up(engine)) => (Some(engine.facts()), HostSight::Unseen),
                Some(Link::Connecting) => (None, sight(false, None, self.started, now, self.grace)),
                Some(Link::Down { since, .. }) => {
                    let last = seating.has_seen_any_of(name).then_some(since);
                    let seen = sight(false, last, self.started, now, self.grace);
                    if seen != HostSight::Lost {
                        let lost = last.unwrap_or(self.started).plus(self.grace);
                        until = Some(until.map_or(lost, |until| until.min(lost)));
                    }
                    (None, seen)
                }
            };
            let settings = self.capacities.get(name).copied().unwrap_or_default();
            rooms.insert(
                name.clone(),
                HostRoom {
                    labels: labels.clone(),
                    platform: facts.as_ref().map_or(String::new(), |it| it.platform.clone()),
                    capacity: capacity(&settings, facts.as_ref()),
                    sight: seen,
                },
            );
        }
        (rooms, until)
    }
}
