//! What wants a seat: one claim a replica.

use std::collections::{BTreeMap, BTreeSet};

use super::explain::Obstacle;
use super::{Ask, HostRoom, HostSight, Mode, ReplicaKey, Returning, Seat, World};
use crate::model::{HostName, Replica, StackName, Timestamp};

/// One replica that wants a seat.
#[derive(Debug, Clone)]
pub(super) struct Claim<'a> {
    pub(super) ask: &'a Ask,
    pub(super) replica: ReplicaKey,
    /// For `global`: the host that it is for.
    pub(super) only: Option<&'a HostName>,
    /// Where it is now.
    pub(super) now: Option<&'a HostName>,
    /// What is there was made, and never started.
    pub(super) is_only_made: bool,
    /// Rounds that come before it.
    pub(super) round: usize,
}

impl<'a> Claim<'a> {
    /// The order in which claims are heard, which is the order of what they are and not of the input.
    pub(super) fn order(&self) -> impl Ord + '_ {
        (self.round, std::cmp::Reverse(self.ask.priority), &self.replica, self.only)
    }

    pub(super) fn has_state(&self) -> bool {
        self.only.is_none() && !self.ask.state.is_empty()
    }

    /// Whether the next of its kind changes nothing for it on other hosts than the one that it takes.
    pub(super) fn is_one_of_many(&self) -> bool {
        self.only.is_none() && self.ask.spread.is_empty() && self.ask.state.is_empty()
    }

    /// The hosts that it may think of.
    pub(super) fn candidates(&self) -> Vec<&'a HostName> {
        match self.only {
            Some(only) => vec![only],
            None => self.ask.hosts.iter().collect(),
        }
    }

    /// What of the manifest and the fleet file speaks against a host.
    pub(super) fn exclusion(&self, host: &HostName, room: &HostRoom) -> Option<Obstacle> {
        if !self.ask.hosts.contains(host.as_str()) {
            return Some(Obstacle::NotNamed);
        }
        let mut constraints = self.ask.constraints.iter();
        let excluding = constraints.find(|constraint| !constraint.allows(host, room))?;
        Some(Obstacle::Constraint(excluding.to_string()))
    }
}

/// A volume of a stack.
pub(super) type VolumeOf<'a> = (&'a StackName, &'a str);

/// One claim a replica; for `global` one a replica and host that the constraints allow.
pub(super) fn claims<'a>(world: &'a World, ask: &'a Ask, round: Option<usize>) -> Vec<Claim<'a>> {
    let claim = |number: u32, only: Option<&'a HostName>| {
        let replica = ReplicaKey {
            stack: ask.key.stack.clone(),
            replica: Replica { service: ask.key.service.clone(), number },
        };
        let seat = current(world, ask, &replica, only);
        let (now, is_only_made) =
            (seat.map(|seat| &seat.host), seat.is_some_and(|seat| seat.is_only_made));
        Claim { ask, replica, only, now, is_only_made, round: round.unwrap_or_default() }
    };
    match ask.mode {
        Mode::Replicated(count) => (1..=count).map(|number| claim(number, None)).collect(),
        Mode::Global => {
            let allowed = |host: &&HostName| {
                world.hosts.get(host.as_str()).is_some_and(|room| {
                    ask.constraints.iter().all(|constraint| constraint.allows(host, room))
                })
            };
            ask.hosts.iter().filter(allowed).map(|host| claim(1, Some(host))).collect()
        }
    }
}

/// The seat that a replica is on: of several the one that policy prefers, one that was only made after all others, silent ones, lost ones and strangers last.
fn current<'a>(
    world: &'a World,
    ask: &Ask,
    replica: &ReplicaKey,
    only: Option<&HostName>,
) -> Option<&'a Seat> {
    let seats = world.seats.get(replica)?;
    let rank = |seat: &&Seat| {
        let sight = world.hosts.get(seat.host.as_str()).map(|room| room.sight);
        let age = match world.returning {
            Returning::Home => seat.since.as_millis(),
            Returning::Stay => seat.since.as_millis().saturating_neg(),
        };
        // A replica that can be seen is worth more than one that may be there.
        let distance = match sight {
            Some(HostSight::Seen | HostSight::Closed) => 0,
            Some(HostSight::Silent | HostSight::Unseen) => 1,
            None | Some(HostSight::Lost) => 2,
        };
        (
            seat.is_only_made,
            distance,
            !ask.hosts.contains(seat.host.as_str()),
            age,
            seat.host.clone(),
        )
    };
    match only {
        // Seats are in the order of their hosts: of a service on each of many, one is looked at.
        Some(only) => {
            let first = Seat {
                host: only.clone(),
                since: Timestamp::from_millis(i64::MIN),
                is_only_made: false,
            };
            seats.range(first..).take_while(|seat| seat.host == *only).min_by_key(rank)
        }
        None => seats.iter().min_by_key(rank),
    }
}

/// Where the volumes of replicated services are: with most of their replicas, else on the first host that has one.
pub(super) fn homes<'a>(
    world: &'a World,
    claims: &[Claim<'a>],
) -> BTreeMap<VolumeOf<'a>, &'a HostName> {
    // For each host: whether the stack still names it, and how many replicas with the volume it has.
    type Users<'a> = BTreeMap<&'a HostName, (bool, usize)>;
    let mut users: BTreeMap<VolumeOf<'_>, Users<'a>> = BTreeMap::new();
    for claim in claims.iter().filter(|claim| claim.has_state()) {
        for volume in &claim.ask.state {
            let hosts = users.entry((&claim.ask.key.stack, volume)).or_default();
            let there = world.volumes.get(&(claim.ask.key.stack.clone(), volume.clone()));
            for (host, seated) in there
                .into_iter()
                .flatten()
                .map(|host| (host, 0))
                .chain(claim.now.map(|host| (host, 1)))
            {
                let (is_named, count) = hosts.entry(host).or_default();
                *is_named |= claim.ask.hosts.contains(host.as_str());
                *count += seated;
            }
        }
    }
    users
        .into_iter()
        .filter_map(|(volume, hosts)| {
            let home = hosts.into_iter().min_by_key(|(host, (is_named, count))| {
                (!is_named, std::cmp::Reverse(*count), *host)
            })?;
            Some((volume, home.0))
        })
        .collect()
}

/// Services that sit beside another, or beside which another sits.
pub(super) fn tied(asks: &[Ask]) -> BTreeSet<(&StackName, &str)> {
    asks.iter()
        .filter_map(|ask| Some((ask, ask.beside.as_ref()?)))
        .flat_map(|(ask, beside)| {
            let stack = &ask.key.stack;
            [(stack, ask.key.service.as_str()), (stack, beside.as_str())]
        })
        .collect()
}

/// How many services each one sits behind: a service comes after the one that it sits beside.
pub(super) fn rounds(asks: &[Ask]) -> BTreeMap<&super::ServiceKey, usize> {
    let beside: BTreeMap<&super::ServiceKey, super::ServiceKey> = asks
        .iter()
        .filter_map(|ask| {
            let service = ask.beside.clone()?;
            Some((&ask.key, super::ServiceKey { stack: ask.key.stack.clone(), service }))
        })
        .collect();
    asks.iter()
        .map(|ask| {
            let mut round = 0;
            let mut at = &ask.key;
            // A circle is refused when manifests are loaded; the bound only keeps this from spinning.
            while let Some(next) = beside.get(at).filter(|_| round < beside.len()) {
                round += 1;
                at = next;
            }
            (&ask.key, round)
        })
        .collect()
}
