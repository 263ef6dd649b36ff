//! Who sits where: what was seen of the hosts of stacks that are spread, what the newest commit asks for, and the
//! placement that was made of both.
//!
//! It is a record of its own beside [`State`](super::State): a placement is made of all hosts at once and takes its time,
//! and no status and no gate is to wait for one.
//!
//! *Guarantees.* A placement is made of what was really seen. What was given a seat keeps it until a look shows it
//! elsewhere: whoever makes it may be at it just now. *Caveats.* Which hosts can be reached, and what they can take, comes
//! with each [`Sighting::Hosts`]: nobody here asks an Engine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::settings::Returning;
use crate::fleet::TargetName;
use crate::fleet::placement::{
    Ask, HostRoom, HostSight, Placement, ReplicaKey, Seat, Seen, World, place,
};
use crate::model::{HostName, Replica, StackName, Timestamp};

/// Something that is learned of who sits where.
#[derive(Debug, Clone)]
pub enum Sighting {
    /// A commit is the newest one.
    Asked {
        /// What its services ask of placement.
        asks: Vec<Ask>,
        /// Its stacks whose replicas are spread over hosts, with those hosts.
        spread: BTreeMap<StackName, BTreeSet<HostName>>,
    },
    /// A target was looked at. A look that tells nothing is none.
    Looked {
        /// Which.
        target: TargetName,
        /// What is there.
        seen: Seen,
    },
    /// Hosts cannot be seen: what is known of them may be so no more.
    Silent(BTreeSet<HostName>),
    /// How the hosts are now. A placement is made where one is due.
    Hosts {
        /// All of them, with what they can take.
        rooms: BTreeMap<HostName, HostRoom>,
        /// What becomes of replicas whose lost host returns.
        returning: Returning,
    },
}

/// Who sits where, as far as it is known.
#[derive(Debug, Default)]
pub struct Seating {
    asks: Vec<Ask>,
    spread: BTreeMap<StackName, BTreeSet<HostName>>,
    /// What was last seen of each target.
    seen: BTreeMap<TargetName, Seen>,
    /// Targets whose host went silent since they were looked at.
    outdated: BTreeSet<TargetName>,
    sights: BTreeMap<HostName, HostSight>,
    /// Something was learned that may move somebody.
    is_stale: bool,
    placement: Arc<Placement>,
}

impl Seating {
    /// Takes in what was learned, and names the targets whose share is another one by it.
    pub fn apply(&mut self, sighting: Sighting) -> BTreeSet<TargetName> {
        match sighting {
            Sighting::Asked { asks, spread } => {
                (self.asks, self.spread, self.is_stale) = (asks, spread, true);
            }
            Sighting::Looked { target, seen } => self.look(target, seen),
            Sighting::Silent(hosts) => {
                let silent = self.seen.keys().filter(|target| hosts.contains(&target.host));
                self.outdated.extend(silent.cloned());
            }
            Sighting::Hosts { rooms, returning } => return self.place(rooms, returning),
        }
        BTreeSet::new()
    }

    /// Notes what a look found.
    fn look(&mut self, target: TargetName, seen: Seen) {
        let is_news = self.outdated.remove(&target);
        let known = self.seen.get(&target);
        if known == Some(&seen) && !is_news {
            return;
        }
        let is_as_placed = known.is_some_and(|it| self.is_as_placed(it, &seen, &target));
        self.is_stale |= is_news || !is_as_placed;
        self.seen.insert(target, seen);
    }

    /// Whether all that is new is that replicas came where placement put them, and nobody waits for them to: that moves
    /// nobody.
    fn is_as_placed(&self, known: &Seen, seen: &Seen, target: &TargetName) -> bool {
        let placement = &self.placement;
        let key = |replica: &Replica| key(target, replica);
        let is_placed = |replica: &Replica| {
            let hosts: Option<&BTreeMap<HostName, _>> = placement.seats.get(&key(replica));
            hosts.is_some_and(|hosts| hosts.contains_key(&target.host))
        };
        let is_awaited =
            |replica: &Replica| seen.serves(replica) && placement.coming.contains(&key(replica));
        known.volumes == seen.volumes
            && !seen.seats.iter().any(|(replica, _)| is_awaited(replica))
            && known.seats.iter().all(|(replica, _)| seen.has(replica))
            && seen.seats.iter().all(|(replica, _)| is_placed(replica))
    }

    /// Places anew where something changed.
    fn place(
        &mut self,
        rooms: BTreeMap<HostName, HostRoom>,
        returning: Returning,
    ) -> BTreeSet<TargetName> {
        let sights: BTreeMap<HostName, HostSight> =
            rooms.iter().map(|(name, room)| (name.clone(), room.sight)).collect();
        if !self.is_stale && sights == self.sights {
            return BTreeSet::new();
        }
        (self.sights, self.is_stale) = (sights, false);
        let mut placement = place(&self.world(rooms, returning), &self.asks);
        placement.coming = self.coming(&placement);
        let turned = self.turned(&placement);
        self.placement = Arc::new(placement);
        turned
    }

    /// Replicas that somebody has, and that do not serve yet where they were put.
    fn coming(&self, placement: &Placement) -> BTreeSet<ReplicaKey> {
        let mut moved = BTreeSet::new();
        for (target, seen) in &self.seen {
            for (replica, _) in &seen.seats {
                let key = key(target, replica);
                let hosts = placement.seats.get(&key);
                if hosts.is_some_and(|hosts| !hosts.contains_key(&target.host)) {
                    moved.insert(key);
                }
            }
        }
        let serves = |key: &ReplicaKey, host: &HostName| {
            let target = TargetName { stack: key.stack.clone(), host: host.clone() };
            self.seen.get(&target).is_some_and(|seen| seen.serves(&key.replica))
        };
        moved.retain(|key| {
            let hosts = placement.seats.get(key).into_iter().flat_map(BTreeMap::keys);
            !hosts.into_iter().any(|host| serves(key, host))
        });
        moved
    }

    /// Targets whose share is another one than before.
    fn turned(&self, after: &Placement) -> BTreeSet<TargetName> {
        let before = &self.placement;
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
            for host in self.spread.get(stack).into_iter().flatten() {
                turned.insert(TargetName { stack: stack.clone(), host: host.clone() });
            }
        }
        turned.retain(|target| self.spread.contains_key(&target.stack));
        turned
    }

    /// The hosts with all that is known to be on them.
    pub fn world(&self, hosts: BTreeMap<HostName, HostRoom>, returning: Returning) -> World {
        let mut world = World { hosts, returning, ..World::default() };
        for (target, seen) in &self.seen {
            world.join(&target.stack, &target.host, seen);
        }
        // What was given a seat and is not there yet keeps it: whoever makes it may be at it just now.
        for (key, hosts) in &self.placement.seats {
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

    /// The placement that was made last.
    pub fn placement(&self) -> &Arc<Placement> {
        &self.placement
    }

    /// What the newest commit's services ask of placement.
    pub fn asks(&self) -> &[Ask] {
        &self.asks
    }

    /// Whether the newest commit spreads any stack over hosts.
    pub fn spreads_any(&self) -> bool {
        !self.spread.is_empty()
    }

    /// The hosts over which a stack is spread; `None` for one that runs whole wherever it runs.
    pub fn hosts_of(&self, stack: &StackName) -> Option<&BTreeSet<HostName>> {
        self.spread.get(stack)
    }

    /// Whether the placement does not follow from what is known: the next one may be another.
    pub fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// Whether a target was ever looked at.
    pub fn has_seen(&self, target: &TargetName) -> bool {
        self.seen.contains_key(target)
    }

    /// Whether all was seen that a host has of spread stacks, and the host was never silent since.
    pub fn has_seen_all_of(&self, host: &HostName) -> bool {
        let is_current = |it: &TargetName| self.has_seen(it) && !self.outdated.contains(it);
        self.spread_over(host).all(|target| is_current(&target))
    }

    /// Whether anything was ever seen of what a host has of spread stacks.
    pub fn has_seen_any_of(&self, host: &HostName) -> bool {
        self.spread_over(host).any(|target| self.has_seen(&target))
    }

    fn spread_over(&self, host: &HostName) -> impl Iterator<Item = TargetName> {
        let spread = self.spread.iter().filter(|(_, hosts)| hosts.contains(host));
        spread.map(|(stack, _)| TargetName { stack: stack.clone(), host: host.clone() })
    }
}

fn key(target: &TargetName, replica: &Replica) -> ReplicaKey {
    ReplicaKey { stack: target.stack.clone(), replica: replica.clone() }
}
