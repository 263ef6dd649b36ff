//! The seating itself: who stays, who is seated anew, and who makes room.
//!
//! Replicas that share nothing go first, those that must sit beside them after; within each round first those that
//! cannot move, then those that need not, then the others by priority. What finds no room may displace what has a lower
//! priority and can move.

use std::collections::{BTreeMap, BTreeSet};

use super::claim::{Claim, claims, homes, rounds, tied};
use super::explain::{Moved, Obstacle, Waiting, Why};
use super::score::{self, Rank};
use super::{Ask, HostRoom, HostSight, Placement, Resources, World};
use crate::model::{HostName, StackName};

struct Desk<'a> {
    world: &'a World,
    claims: Vec<Claim<'a>>,
    free: BTreeMap<&'a HostName, Resources>,
    /// Replicas of a service on a host.
    counts: BTreeMap<(&'a StackName, &'a str), BTreeMap<&'a HostName, u32>>,
    /// How many on a host have what only one can have.
    taken: BTreeMap<(&'a HostName, &'a str), u32>,
    /// Replicas on a host.
    totals: BTreeMap<&'a HostName, u32>,
    /// Where the volumes of replicated services are.
    homes: BTreeMap<(&'a StackName, &'a str), &'a HostName>,
    /// Seats by claim.
    seats: BTreeMap<usize, (&'a HostName, Why)>,
    /// Claims that sit on a host.
    sitting: BTreeMap<&'a HostName, BTreeSet<usize>>,
    /// The lowest priority of all: who has it displaces nobody.
    lowest: Option<i32>,
    /// Services that sit beside another, or beside which another sits.
    tied: BTreeSet<(&'a StackName, &'a str)>,
    /// Who had to leave a host in this seating, and why.
    left: BTreeMap<usize, Moved>,
}

pub(super) fn place(world: &World, asks: &[Ask]) -> Placement {
    let mut desk = Desk::new(world, asks);
    let rounds = desk.claims.iter().map(|claim| claim.round).max().unwrap_or_default();
    desk.seat_unmovable();
    for round in 0..=rounds {
        desk.seat_stayers(round);
        desk.seat_newcomers(round);
    }
    desk.displace();
    desk.into_placement()
}

impl<'a> Desk<'a> {
    fn new(world: &'a World, asks: &'a [Ask]) -> Self {
        let rounds = rounds(asks);
        let mut claims: Vec<Claim<'a>> =
            asks.iter().flat_map(|ask| claims(world, ask, rounds.get(&ask.key).copied())).collect();
        claims.sort_by(|a, b| a.order().cmp(&b.order()));
        Self {
            homes: homes(world, &claims),
            lowest: asks.iter().map(|ask| ask.priority).min(),
            tied: tied(asks),
            sitting: BTreeMap::new(),
            free: world.hosts.iter().map(|(name, host)| (name, host.capacity)).collect(),
            world,
            claims,
            counts: BTreeMap::new(),
            taken: BTreeMap::new(),
            totals: BTreeMap::new(),
            seats: BTreeMap::new(),
            left: BTreeMap::new(),
        }
    }

    fn host(&self, name: &HostName) -> Option<&'a HostRoom> {
        self.world.hosts.get(name.as_str())
    }

    fn free(&self, host: &HostName) -> Resources {
        self.free.get(host).copied().unwrap_or_default()
    }

    fn count(&self, claim: &Claim<'_>, host: &HostName) -> u32 {
        let key = (&claim.ask.key.stack, claim.ask.key.service.as_str());
        self.counts.get(&key).and_then(|hosts| hosts.get(host)).copied().unwrap_or_default()
    }

    fn seat(&mut self, number: usize, host: &'a HostName, why: Why) {
        let Some(claim) = self.claims.get(number) else { return };
        let ask = claim.ask;
        if let Some(free) = self.free.get_mut(host) {
            *free = free.minus(ask.reserved);
        }
        let key = (&ask.key.stack, ask.key.service.as_str());
        *self.counts.entry(key).or_default().entry(host).or_default() += 1;
        *self.totals.entry(host).or_default() += 1;
        for what in &ask.exclusive {
            *self.taken.entry((host, what)).or_default() += 1;
        }
        if claim.has_state() {
            for volume in &ask.state {
                self.homes.entry((&ask.key.stack, volume)).or_insert(host);
            }
        }
        self.sitting.entry(host).or_default().insert(number);
        self.seats.insert(number, (host, why));
    }

    fn unseat(&mut self, number: usize) {
        let (Some(claim), Some((host, _))) = (self.claims.get(number), self.seats.remove(&number))
        else {
            return;
        };
        // Only what fitted is ever unseated, so nothing was cut off when it was subtracted.
        if let Some(free) = self.free.get_mut(host) {
            *free = free.plus(claim.ask.reserved);
        }
        if let Some(sitting) = self.sitting.get_mut(host) {
            sitting.remove(&number);
        }
        let key = (&claim.ask.key.stack, claim.ask.key.service.as_str());
        if let Some(count) = self.counts.get_mut(&key).and_then(|hosts| hosts.get_mut(host)) {
            *count = count.saturating_sub(1);
        }
        if let Some(total) = self.totals.get_mut(host) {
            *total = total.saturating_sub(1);
        }
        for what in &claim.ask.exclusive {
            if let Some(taken) = self.taken.get_mut(&(host, what.as_str())) {
                *taken = taken.saturating_sub(1);
            }
        }
        self.left.insert(number, Moved { from: host.clone(), because: Obstacle::Displaced });
    }

    /// What is on a silent or closed host, and what has its data where it is.
    fn seat_unmovable(&mut self) {
        for number in 0..self.claims.len() {
            let Some(claim) = self.claims.get(number) else { continue };
            let Some(host) = claim.now else { continue };
            let Some(room) = self.host(host) else { continue };
            let is_allowed = claim.exclusion(host, room).is_none();
            let why = match (room.sight, claim.ask.state.first()) {
                (_, Some(volume)) if claim.has_state() => {
                    Why::DataIsThere { volume: volume.clone(), is_allowed }
                }
                (HostSight::Silent | HostSight::Unseen, _) => Why::HostSilent,
                (HostSight::Closed, _) if is_allowed => Why::HostClosed,
                (HostSight::Closed | HostSight::Seen | HostSight::Lost, _) => continue,
            };
            self.seat(number, host, why);
        }
    }

    /// What is where it may be: what was started before what was only made, which never takes a port or a place from
    /// somebody who has it.
    fn seat_stayers(&mut self, round: usize) {
        self.seat_those(round, false);
        self.seat_those(round, true);
    }

    fn seat_those(&mut self, round: usize, only_made: bool) {
        let is_meant = |claim: &&Claim<'_>| claim.round == round && claim.is_only_made == only_made;
        for number in 0..self.claims.len() {
            let Some(claim) = self.unseated(number).filter(is_meant) else { continue };
            let Some(host) = claim.now else { continue };
            match self.obstacle(claim, host) {
                None => {
                    let why = if claim.only.is_some() { Why::Global } else { Why::Stays };
                    self.seat(number, host, why);
                }
                Some(because) => {
                    self.left.insert(number, Moved { from: host.clone(), because });
                }
            }
        }
    }

    /// The others, by priority.
    fn seat_newcomers(&mut self, round: usize) {
        let waiting: Vec<usize> = (0..self.claims.len())
            .filter(|number| self.unseated(*number).is_some_and(|claim| claim.round == round))
            .collect();
        let is_one_crowd = |a: &usize, b: &usize| match (self.claims.get(*a), self.claims.get(*b)) {
            (Some(a), Some(b)) => a.is_one_of_many() && std::ptr::eq(a.ask, b.ask),
            _ => false,
        };
        let crowds: Vec<Vec<usize>> =
            waiting.chunk_by(is_one_crowd).map(<[usize]>::to_vec).collect();
        for crowd in crowds {
            match crowd.as_slice() {
                [number] => self.seat_newcomer(*number),
                _ => self.seat_crowd(&crowd),
            }
        }
    }

    fn seat_newcomer(&mut self, number: usize) {
        let best = self.unseated(number).and_then(|claim| self.best(number, claim));
        if let Some((host, why)) = best {
            self.seat(number, host, why);
        }
    }

    /// Replicas of one service that any host may have: the same as one after the other, but each host is looked at again
    /// only when it got one.
    fn seat_crowd(&mut self, crowd: &[usize]) {
        let Some(first) = crowd.first().and_then(|number| self.claims.get(*number)).cloned() else {
            return;
        };
        let hosts = first.candidates();
        let would_do = |desk: &Self, host| desk.obstacle(&first, host).is_none();
        let mut ranks: BTreeSet<Rank<'a>> = hosts
            .iter()
            .filter(|host| would_do(self, host))
            .map(|host| self.rank(&first, host))
            .collect();
        for number in crowd {
            let Some(claim) = self.claims.get(*number) else { continue };
            if self.may_be_unseen(claim, &hosts) {
                continue;
            }
            let of = ranks.len();
            let Some(best) = ranks.pop_first() else { return };
            let why = self.why(*number, claim, best.host, of);
            self.seat(*number, best.host, why);
            if would_do(self, best.host) {
                ranks.insert(self.rank(&first, best.host));
            }
        }
    }

    fn unseated(&self, number: usize) -> Option<&Claim<'a>> {
        self.claims.get(number).filter(|_| !self.seats.contains_key(&number))
    }

    /// The best of the hosts that would do, and why it is that.
    fn best(&self, number: usize, claim: &Claim<'a>) -> Option<(&'a HostName, Why)> {
        let candidates = claim.candidates();
        if self.may_be_unseen(claim, &candidates) {
            return None;
        }
        let fit: Vec<&'a HostName> =
            candidates.into_iter().filter(|host| self.obstacle(claim, host).is_none()).collect();
        let best = fit.iter().copied().min_by_key(|host| self.rank(claim, host))?;
        Some((best, self.why(number, claim, best, fit.len())))
    }

    fn rank(&self, claim: &Claim<'_>, host: &'a HostName) -> Rank<'a> {
        let key = (&claim.ask.key.stack, claim.ask.key.service.as_str());
        let whole = self.host(host).map_or(Resources::UNLIMITED, |room| room.capacity);
        Rank {
            spread: score::spread(
                &self.world.hosts,
                self.counts.get(&key),
                &claim.ask.spread,
                host,
            ),
            count: self.count(claim, host),
            taken: 1_000 - self.free(host).minus(claim.ask.reserved).share_of(whole).min(1_000),
            total: self.totals.get(host).copied().unwrap_or_default(),
            host,
        }
    }

    fn why(&self, number: usize, claim: &Claim<'_>, host: &HostName, of: usize) -> Why {
        let moved = self.left.get(&number).cloned();
        let room = self.host(host);
        if claim.only.is_some() {
            return Why::Global;
        }
        if let Some(service) = &claim.ask.beside {
            return Why::Beside { service: service.clone(), moved };
        }
        if let Some(volume) = claim
            .ask
            .state
            .iter()
            .find(|volume| self.homes.contains_key(&(&claim.ask.key.stack, volume.as_str())))
        {
            return Why::DataIsThere { volume: volume.clone(), is_allowed: true };
        }
        if of == 1 {
            return Why::OnlyHost { moved };
        }
        let spread = claim.ask.spread.first().map(|label| {
            let value = room.and_then(|room| room.labels.get(label));
            format!("{label}: {}", value.map_or("none", String::as_str))
        });
        Why::Chosen { of, spread, moved }
    }

    /// A replica that nobody has seen may sit on a host that nobody has seen: then it is not made a second time.
    fn may_be_unseen(&self, claim: &Claim<'_>, candidates: &[&HostName]) -> bool {
        claim.now.is_none()
            && claim.only.is_none()
            && candidates.iter().any(|host| {
                self.host(host).is_some_and(|room| {
                    room.sight == HostSight::Unseen && claim.exclusion(host, room).is_none()
                })
            })
    }

    /// What speaks against seating a claim on a host, room aside.
    fn obstacle_but_room(&self, claim: &Claim<'_>, host: &HostName) -> Option<Obstacle> {
        let Some(room) = self.host(host) else { return Some(Obstacle::Lost) };
        if let Some(exclusion) = claim.exclusion(host, room) {
            return Some(exclusion);
        }
        match room.sight {
            HostSight::Silent => return Some(Obstacle::Silent),
            HostSight::Unseen => return Some(Obstacle::Unseen),
            HostSight::Lost => return Some(Obstacle::Lost),
            HostSight::Closed => return Some(Obstacle::Closed),
            HostSight::Seen => {}
        }
        self.data_elsewhere(claim, host)
            .or_else(|| self.not_beside(claim, host))
            .or_else(|| self.too_many(claim, host))
            .or_else(|| self.is_taken(claim, host))
    }

    fn obstacle(&self, claim: &Claim<'_>, host: &HostName) -> Option<Obstacle> {
        self.obstacle_but_room(claim, host).or_else(|| {
            let free = self.free(host);
            (!claim.ask.reserved.fit(free)).then_some(Obstacle::Full { free })
        })
    }

    fn data_elsewhere(&self, claim: &Claim<'_>, host: &HostName) -> Option<Obstacle> {
        if !claim.has_state() {
            return None;
        }
        claim.ask.state.iter().find_map(|volume| {
            let home = self.homes.get(&(&claim.ask.key.stack, volume.as_str()))?;
            (*home != host)
                .then(|| Obstacle::DataElsewhere { volume: volume.clone(), host: (*home).clone() })
        })
    }

    fn not_beside(&self, claim: &Claim<'_>, host: &HostName) -> Option<Obstacle> {
        let service = claim.ask.beside.as_ref()?;
        let hosts = self.counts.get(&(&claim.ask.key.stack, service.as_str()));
        let is_there = hosts.and_then(|hosts| hosts.get(host)).is_some_and(|count| 0 < *count);
        (!is_there).then(|| Obstacle::NotBeside(service.clone()))
    }

    fn too_many(&self, claim: &Claim<'_>, host: &HostName) -> Option<Obstacle> {
        let most = claim.ask.max_per_host?;
        (most <= self.count(claim, host)).then_some(Obstacle::MaxPerHost(most))
    }

    fn is_taken(&self, claim: &Claim<'_>, host: &HostName) -> Option<Obstacle> {
        let taken =
            |what: &&String| self.taken.get(&(host, what.as_str())).is_some_and(|count| 0 < *count);
        claim.ask.exclusive.iter().find(taken).map(|what| Obstacle::Taken(what.clone()))
    }

    /// Whoever found no room takes that of lower priorities, which look for another seat.
    fn displace(&mut self) {
        let mut waiting: BTreeSet<usize> =
            (0..self.claims.len()).filter(|number| self.unseated(*number).is_some()).collect();
        // Claims are in order of priority within a round: each displaces only what comes after it, so this ends.
        while let Some(number) = waiting.pop_first() {
            let Some(claim) = self.unseated(number) else { continue };
            if let Some((host, why)) = self.best(number, claim) {
                self.seat(number, host, why);
            } else if let Some((host, victims)) = self.cheapest_room(claim) {
                for victim in victims {
                    self.unseat(victim);
                    waiting.insert(victim);
                }
                let why = self.claims.get(number).map(|claim| self.why(number, claim, host, 1));
                if let Some(why) = why {
                    self.seat(number, host, why);
                }
            }
        }
    }

    /// The host on which the fewest and least important replicas would have to leave.
    fn cheapest_room(&self, claim: &Claim<'a>) -> Option<(&'a HostName, Vec<usize>)> {
        let candidates = claim.candidates();
        let is_lowest = self.lowest.is_none_or(|lowest| claim.ask.priority <= lowest);
        if is_lowest || self.may_be_unseen(claim, &candidates) {
            return None;
        }
        candidates
            .into_iter()
            .filter(|host| self.obstacle_but_room(claim, host).is_none())
            .filter_map(|host| Some((self.victims(claim, host)?, host)))
            .min_by_key(|(victims, host)| (victims.len(), self.importance(victims), *host))
            .map(|(victims, host)| (host, victims))
    }

    fn importance(&self, victims: &[usize]) -> Option<i32> {
        victims.iter().filter_map(|number| Some(self.claims.get(*number)?.ask.priority)).max()
    }

    /// Who would have to leave a host for a claim, least important and youngest first.
    fn victims(&self, claim: &Claim<'_>, host: &HostName) -> Option<Vec<usize>> {
        let mut free = self.free(host);
        let mut victims = Vec::new();
        for number in self.movable_below(claim.ask.priority, host) {
            if claim.ask.reserved.fit(free) {
                break;
            }
            free = free.plus(self.claims.get(number)?.ask.reserved);
            victims.push(number);
        }
        claim.ask.reserved.fit(free).then_some(victims)
    }

    fn movable_below(&self, priority: i32, host: &HostName) -> Vec<usize> {
        let mut movable: Vec<(i32, std::cmp::Reverse<usize>)> = self
            .sitting
            .get(host)
            .into_iter()
            .flatten()
            .filter_map(|number| Some((*number, self.claims.get(*number)?)))
            .filter(|(_, claim)| claim.ask.priority < priority)
            .filter(|(_, claim)| claim.ask.reserved != Resources::default())
            .filter(|(_, claim)| !claim.has_state() && !self.is_tied(claim))
            .map(|(number, claim)| (claim.ask.priority, std::cmp::Reverse(number)))
            .collect();
        movable.sort_unstable();
        movable.into_iter().map(|(_, number)| number.0).collect()
    }

    /// Whether it sits beside something, or something beside it.
    fn is_tied(&self, claim: &Claim<'_>) -> bool {
        self.tied.contains(&(&claim.ask.key.stack, claim.ask.key.service.as_str()))
    }

    fn into_placement(self) -> Placement {
        let mut placement = Placement::default();
        for (number, claim) in self.claims.iter().enumerate() {
            if let Some((host, why)) = self.seats.get(&number) {
                let seats = placement.seats.entry(claim.replica.clone()).or_default();
                seats.insert((*host).clone(), why.clone());
                continue;
            }
            let obstacles = claim
                .candidates()
                .into_iter()
                .filter_map(|host| Some((host.clone(), self.obstacle(claim, host)?)))
                .collect();
            let replica = claim.replica.clone();
            placement.waiting.push(Waiting { replica, reserved: claim.ask.reserved, obstacles });
        }
        placement.waiting.sort();
        placement
    }
}
