//! Which replica sits on which host: what was seen of all hosts comes in, each host's share goes out.
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
    Ask, HostRoom, HostSight, Mode, Placement, ReplicaKey, Resources, Seat, Seen, World, capacity,
    place, sight,
};
use crate::fleet::{Orders, TargetName};
use crate::model::{EngineFacts, HostName, Observed, Replica, StackName, Timestamp};
use crate::reconcile::pass::Share;

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
    asks: Vec<Ask>,
    /// Stacks whose replicas are spread over hosts, with those hosts.
    placed: BTreeMap<StackName, BTreeSet<HostName>>,
    /// What was last seen of each target.
    seen: BTreeMap<TargetName, Seen>,
    /// Targets whose host went silent since they were looked at.
    outdated: BTreeSet<TargetName>,
    sights: BTreeMap<HostName, HostSight>,
    stale: bool,
    /// Counts placements; those who saw something new wait for the next one.
    turn: u64,
    awaited: BTreeSet<TargetName>,
    placement: Arc<Placement>,
    /// When a silence ends in loss next.
    until: Option<Timestamp>,
}

impl Roster {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new commit, and what its services ask of placement.
    pub(crate) fn begin(&self, commit: &Commit) {
        let mut inner = self.lock();
        inner.placed.clear();
        for stack in survey::spread(commit) {
            let hosts = stack.stack.hosts.select(&self.labels);
            inner.placed.insert(stack.stack.name.clone(), hosts);
        }
        inner.asks = survey::asked(commit, &self.labels);
        inner.stale = true;
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
            Share::Placed(Arc::clone(&self.lock().placement))
        }
    }

    /// How many placements there were before the one that what was seen belongs to, or the share that is known already.
    fn noted(&self, target: &TargetName, observed: &Observed) -> Result<u64, Share> {
        let mut inner = self.lock();
        if inner.placed.is_empty() {
            return Err(Share::Whole);
        }
        note(&mut inner, target, observed);
        let Some(hosts) = inner.placed.get(&target.stack) else { return Err(Share::Whole) };
        if let Some(why) = self.cannot_say(&inner.asks, &target.stack, hosts) {
            return Err(Share::Unknown(why));
        }
        if !inner.stale {
            return Err(Share::Placed(Arc::clone(&inner.placement)));
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
            let by_platform =
                ask.constraints.iter().any(|one| one.to_string().contains("platform"));
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
        let turned =
            if inner.placed.is_empty() { BTreeSet::new() } else { self.refresh(&mut inner) };
        inner.turn += 1;
        let (until, turn) = (inner.until, inner.turn);
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

    /// Places anew where something changed, and names the targets whose share changed with it.
    fn refresh(&self, inner: &mut Inner) -> BTreeSet<TargetName> {
        let now = clock::now();
        let is_up = |host: &HostName| {
            self.hosts.get(host).is_some_and(|host| matches!(*host.link().borrow(), Link::Up(_)))
        };
        let silent: BTreeSet<&HostName> = self.hosts.keys().filter(|host| !is_up(host)).collect();
        if !silent.is_empty() {
            let outdated = inner.seen.keys().filter(|target| silent.contains(&target.host));
            inner.outdated = outdated.chain(&inner.outdated).cloned().collect();
        }
        let (hosts, until) = self.rooms(inner, now);
        inner.until = until;
        let sights: BTreeMap<HostName, HostSight> =
            hosts.iter().map(|(name, room)| (name.clone(), room.sight)).collect();
        if !inner.stale && sights == inner.sights {
            return BTreeSet::new();
        }
        inner.sights = sights;
        inner.stale = false;
        let world = self.world(inner, hosts);
        let mut placement = place(&world, &inner.asks);
        placement.coming = coming(&placement, inner);
        let turned = turned(&inner.placement, &placement, &inner.placed);
        inner.placement = Arc::new(placement);
        turned
    }

    fn world(&self, inner: &Inner, hosts: BTreeMap<HostName, HostRoom>) -> World {
        let mut world = World { hosts, returning: self.returning, ..World::default() };
        for (target, seen) in &inner.seen {
            world.join(&target.stack, &target.host, seen);
        }
        // What was given a seat and is not there yet keeps it: whoever makes it may be at it just now.
        for (key, hosts) in &inner.placement.seats {
            if !world.seats.contains_key(key) {
                let promised = hosts.keys().map(|host| Seat {
                    host: host.clone(),
                    since: Timestamp::default(),
                    is_only_made: false,
                });
                world.seats.insert(key.clone(), promised.collect());
            }
        }
        world
    }

    /// Of these targets, those of hosts that this daemon keeps and of which nothing is known yet.
    pub(crate) fn unknown(&self, targets: Vec<TargetName>) -> Vec<TargetName> {
        let inner = self.lock();
        let is_unknown = |target: &TargetName| {
            self.hosts.contains_key(&target.host) && !inner.seen.contains_key(target)
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
            let (hosts, _) = self.rooms(&inner, clock::now());
            Survey::of(self.world(&inner, hosts))
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

    fn rooms(
        &self,
        inner: &Inner,
        now: Timestamp,
    ) -> (BTreeMap<HostName, HostRoom>, Option<Timestamp>) {
        let orders = self.orders.borrow().clone();
        let mut until: Option<Timestamp> = None;
        let mut rooms = BTreeMap::new();
        for (name, labels) in self.labels.iter() {
            let link = self.hosts.get(name).map(|host| host.link().borrow().clone());
            let wanted = inner.placed.iter().filter(|(_, hosts)| hosts.contains(name.as_str()));
            let looked =
                wanted.map(|(stack, _)| TargetName { stack: stack.clone(), host: name.clone() });
            let (mut is_whole, mut is_known) = (true, false);
            for target in looked {
                let was_seen = inner.seen.contains_key(&target);
                is_known |= was_seen;
                is_whole &= was_seen && !inner.outdated.contains(&target);
            }
            let (facts, seen): (Option<EngineFacts>, HostSight) = match link {
                // A host of another daemon: only what names decide is placed there.
                None => (None, HostSight::Seen),
                Some(Link::Up(engine)) if is_whole => {
                    let closed = orders.brakes.closes(name, now);
                    let seen = if closed { HostSight::Closed } else { HostSight::Seen };
                    (Some(engine.facts()), seen)
                }
                Some(Link::Up(engine)) => (Some(engine.facts()), HostSight::Unseen),
                Some(Link::Connecting) => (None, sight(false, None, self.started, now, self.grace)),
                Some(Link::Down { since, .. }) => {
                    let last = is_known.then_some(since);
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

/// Notes what a look found; after one that tells nothing, what was known holds on.
fn note(inner: &mut Inner, target: &TargetName, observed: &Observed) {
    let Some(seen) = seen_by(observed) else { return };
    let is_news = inner.outdated.remove(target);
    let known = inner.seen.get(target);
    if known == Some(&seen) && !is_news {
        return;
    }
    let is_as_placed = known.is_some_and(|it| is_as_placed(it, &seen, target, &inner.placement));
    inner.stale |= is_news || !is_as_placed;
    inner.seen.insert(target.clone(), seen);
}

/// Replicas that somebody has, and that do not serve yet where they were put.
fn coming(placement: &Placement, inner: &Inner) -> BTreeSet<ReplicaKey> {
    let mut moved = BTreeSet::new();
    for (target, seen) in &inner.seen {
        for (replica, _) in &seen.seats {
            let key = ReplicaKey { stack: target.stack.clone(), replica: replica.clone() };
            let hosts = placement.seats.get(&key);
            if hosts.is_some_and(|hosts| !hosts.contains_key(&target.host)) {
                moved.insert(key);
            }
        }
    }
    let serves = |key: &ReplicaKey, host: &HostName| {
        let target = TargetName { stack: key.stack.clone(), host: host.clone() };
        inner.seen.get(&target).is_some_and(|seen| seen.serves(&key.replica))
    };
    moved.retain(|key| {
        let hosts = placement.seats.get(key).into_iter().flat_map(BTreeMap::keys);
        !hosts.into_iter().any(|host| serves(key, host))
    });
    moved
}

/// Whether all that is new is that replicas came where placement put them, and nobody waits for them to: that moves
/// nobody.
fn is_as_placed(known: &Seen, seen: &Seen, target: &TargetName, placement: &Placement) -> bool {
    let is_placed = |replica: &Replica| {
        let key = ReplicaKey { stack: target.stack.clone(), replica: replica.clone() };
        let hosts: Option<&BTreeMap<HostName, _>> = placement.seats.get(&key);
        hosts.is_some_and(|hosts| hosts.contains_key(&target.host))
    };
    let is_awaited = |replica: &Replica| {
        let key = ReplicaKey { stack: target.stack.clone(), replica: replica.clone() };
        seen.serves(replica) && placement.coming.contains(&key)
    };
    known.volumes == seen.volumes
        && !seen.seats.iter().any(|(replica, _)| is_awaited(replica))
        && known.seats.iter().all(|(replica, _)| seen.has(replica))
        && seen.seats.iter().all(|(replica, _)| is_placed(replica))
}

/// Targets whose share is another one.
fn turned(
    before: &Placement,
    after: &Placement,
    placed: &BTreeMap<StackName, BTreeSet<HostName>>,
) -> BTreeSet<TargetName> {
    let mut turned = BTreeSet::new();
    let keys: BTreeSet<_> = before.seats.keys().chain(after.seats.keys()).collect();
    for key in keys {
        let hosts = |placement: &Placement| -> BTreeSet<HostName> {
            placement.seats.get(key).into_iter().flat_map(BTreeMap::keys).cloned().collect()
        };
        for host in hosts(before).symmetric_difference(&hosts(after)) {
            turned.insert(TargetName { stack: key.stack.clone(), host: host.clone() });
        }
    }
    let mut stacks: BTreeSet<&StackName> =
        before.coming.symmetric_difference(&after.coming).map(|key| &key.stack).collect();
    if before.waiting != after.waiting {
        let all = before.waiting.iter().chain(&after.waiting).map(|one| &one.replica.stack);
        stacks.extend(all);
    }
    for stack in stacks {
        for host in placed.get(stack).into_iter().flatten() {
            turned.insert(TargetName { stack: stack.clone(), host: host.clone() });
        }
    }
    turned.retain(|target| placed.contains_key(&target.stack));
    turned
}
