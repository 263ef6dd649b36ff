//! Who sits where, as it is learned: the same placement whatever order looks come in, nobody moved by silence alone, and a
//! seat that was given is kept until somebody is seen elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use moorline::config::settings::{Labels, Returning};
use moorline::fleet::TargetName;
use moorline::fleet::placement::{
    Ask, HostRoom, HostSight, Mode, Placement, ReplicaKey, Resources, Seen, ServiceKey, Sitting,
};
use moorline::model::{HostName, Replica, ServiceName, StackName, Timestamp};
use moorline::state::{Seating, Sighting};
use proptest::prelude::*;

const HOSTS: [&str; 3] = ["left", "middle", "right"];

fn host(name: &str) -> HostName {
    HostName::parse(name).unwrap()
}

fn hosts() -> BTreeSet<HostName> {
    HOSTS.map(host).into()
}

fn target(name: &str) -> TargetName {
    TargetName { stack: StackName::parse("shop").unwrap(), host: host(name) }
}

fn replica(number: u32) -> Replica {
    Replica { service: ServiceName::parse("web").unwrap(), number }
}

/// A commit whose one service has so many replicas over all hosts.
fn asked(count: u32) -> Sighting {
    let (stack, service) = (StackName::parse("shop").unwrap(), replica(1).service);
    let ask = Ask {
        key: ServiceKey { stack: stack.clone(), service },
        mode: Mode::Replicated(count),
        hosts: hosts(),
        reserved: Resources::default(),
        constraints: Vec::new(),
        spread: Vec::new(),
        max_per_host: None,
        priority: 0,
        state: BTreeSet::new(),
        exclusive: BTreeSet::new(),
        beside: None,
    };
    Sighting::Asked { asks: vec![ask], spread: BTreeMap::from([(stack, hosts())]) }
}

/// These replicas were seen on a host, and whether they serve there.
fn looked(name: &str, numbers: &[u32], serves: bool) -> Sighting {
    let sitting = Sitting { since: Timestamp::from_millis(1), serves, is_only_made: false };
    let seats = numbers.iter().map(|number| (replica(*number), sitting)).collect();
    Sighting::Looked { target: target(name), seen: Seen { seats, volumes: Box::default() } }
}

/// All hosts, one of them as `sight` says.
fn rooms(name: &str, sight: HostSight) -> Sighting {
    let room = |sight| HostRoom {
        labels: Labels::new(),
        platform: "linux/amd64".to_owned(),
        capacity: Resources::UNLIMITED,
        sight,
    };
    let all =
        HOSTS.iter().map(|it| (host(it), room(if *it == name { sight } else { HostSight::Seen })));
    Sighting::Hosts { rooms: all.collect(), returning: Returning::default() }
}

fn all_seen() -> Sighting {
    rooms("left", HostSight::Seen)
}

/// `web-1 on left`, one a replica.
fn seats(seating: &Seating) -> Vec<String> {
    let all = seating.placement().seats.iter();
    all.flat_map(|(key, hosts)| hosts.keys().map(move |host| format!("{} on {host}", key.replica)))
        .collect()
}

/// Three replicas, each on a host of its own, and seen there.
fn settled() -> Seating {
    let mut seating = Seating::default();
    seating.apply(asked(3));
    for name in HOSTS {
        seating.apply(looked(name, &[], true));
    }
    seating.apply(all_seen());
    for (name, number) in placed(&seating) {
        seating.apply(looked(&name, &[number], true));
    }
    seating.apply(all_seen());
    seating
}

/// Which host has which number.
fn placed(seating: &Seating) -> Vec<(String, u32)> {
    let all = seating.placement().seats.iter();
    let one = |(key, hosts): (&ReplicaKey, &BTreeMap<HostName, _>)| {
        hosts.keys().map(|host| (host.to_string(), key.replica.number)).collect::<Vec<_>>()
    };
    all.flat_map(one).collect()
}

#[test]
fn a_commit_that_spreads_nothing_places_nobody() {
    let mut seating = Seating::default();
    seating.apply(Sighting::Asked { asks: Vec::new(), spread: BTreeMap::new() });
    assert!(!seating.spreads_any());
    assert_eq!(seating.apply(all_seen()), BTreeSet::new());
    assert_eq!(seats(&seating), [] as [&str; 0]);
}

#[test]
fn each_host_gets_one_and_all_are_told() {
    let mut seating = Seating::default();
    seating.apply(asked(3));
    for name in HOSTS {
        assert!(!seating.has_seen(&target(name)));
        seating.apply(looked(name, &[], true));
        assert!(seating.has_seen_all_of(&host(name)));
    }
    assert!(seating.is_stale());
    let turned = seating.apply(all_seen());
    assert_eq!(turned, HOSTS.map(target).into(), "all three shares are new");
    assert_eq!(
        placed(&seating).iter().map(|(host, _)| host.clone()).collect::<BTreeSet<_>>(),
        HOSTS.map(str::to_owned).into()
    );
    assert!(!seating.is_stale());
}

#[test]
fn a_replica_that_comes_where_it_was_put_moves_nobody() {
    let mut seating = settled();
    for (name, number) in placed(&seating) {
        seating.apply(looked(&name, &[number], true));
    }
    assert!(!seating.is_stale(), "what is as it was placed is no news");
    assert_eq!(seating.apply(all_seen()), BTreeSet::new());
}

#[test]
fn a_promised_seat_is_kept_although_nobody_was_seen_in_it() {
    let mut seating = Seating::default();
    seating.apply(asked(3));
    for name in HOSTS {
        seating.apply(looked(name, &[], true));
    }
    seating.apply(all_seen());
    let promised = seats(&seating);
    // Another look at an empty host: whoever makes the container may be at it just now.
    seating.apply(Sighting::Silent([host("left")].into()));
    seating.apply(looked("left", &[], true));
    seating.apply(all_seen());
    assert_eq!(seats(&seating), promised);
}

#[test]
fn silence_moves_nobody_and_makes_what_is_known_old() {
    let mut seating = settled();
    let before = seats(&seating);
    seating.apply(Sighting::Silent([host("left")].into()));
    assert!(!seating.has_seen_all_of(&host("left")) && seating.has_seen_any_of(&host("left")));
    seating.apply(rooms("left", HostSight::Silent));
    assert_eq!(seats(&seating), before);
    // It answers again: only a look tells that all is as it was.
    let number = placed(&seating).iter().find(|(name, _)| name == "left").unwrap().1;
    seating.apply(looked("left", &[number], true));
    assert!(seating.has_seen_all_of(&host("left")) && seating.is_stale());
    seating.apply(all_seen());
    assert_eq!(seats(&seating), before);
}

#[test]
fn a_lost_host_gives_its_replica_away_and_the_newcomer_is_awaited() {
    let mut seating = settled();
    let lost = placed(&seating).iter().find(|(name, _)| name == "left").unwrap().1;
    seating.apply(Sighting::Silent([host("left")].into()));
    let turned = seating.apply(rooms("left", HostSight::Lost));
    assert!(turned.contains(&target("left")), "{turned:?}");
    let (name, _) = placed(&seating).into_iter().find(|(_, number)| *number == lost).unwrap();
    assert_ne!(name, "left");
    let key = ReplicaKey { stack: target("left").stack, replica: replica(lost) };
    assert!(seating.placement().coming.contains(&key), "it does not serve there yet");
    let own: Vec<u32> =
        placed(&seating).into_iter().filter(|(it, _)| *it == name).map(|(_, n)| n).collect();
    seating.apply(looked(&name, &own, true));
    seating.apply(rooms("left", HostSight::Lost));
    assert!(seating.placement().coming.is_empty(), "it serves");
}

#[test]
fn another_count_is_another_placement() {
    let mut seating = settled();
    seating.apply(asked(1));
    assert!(seating.is_stale());
    seating.apply(all_seen());
    assert_eq!(seats(&seating).len(), 1);
    seating.apply(asked(5));
    seating.apply(all_seen());
    assert_eq!(seats(&seating).len(), 5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Looks are events of different hosts, and come in any order, twice, or late.
    #[test]
    fn the_order_of_looks_does_not_matter(
        count in 1_u32..7,
        had in proptest::collection::vec(proptest::collection::btree_set(1_u32..7, 0..4), 3),
        order in Just(vec![0_usize, 1, 2, 0, 1, 2]).prop_shuffle(),
    ) {
        let play = |order: &[usize]| {
            let mut seating = Seating::default();
            seating.apply(asked(count));
            for place in order {
                let numbers: Vec<u32> = had[*place].iter().copied().collect();
                seating.apply(looked(HOSTS[*place], &numbers, true));
            }
            seating.apply(all_seen());
            seating.placement().as_ref().clone()
        };
        prop_assert_eq!(play(&[0, 1, 2]), play(&order));
    }

    /// Whoever sits well stays: a placement that is made again of the same is the same, and turns nobody.
    #[test]
    fn a_placement_of_what_it_made_is_itself(count in 1_u32..9) {
        let mut seating = Seating::default();
        seating.apply(asked(count));
        for name in HOSTS {
            seating.apply(looked(name, &[], true));
        }
        seating.apply(all_seen());
        let before = seating.placement().as_ref().clone();
        for name in HOSTS {
            let own = placed(&seating).into_iter().filter(|(host, _)| host == name);
            let numbers: Vec<u32> = own.map(|(_, number)| number).collect();
            seating.apply(looked(name, &numbers, true));
        }
        seating.apply(asked(count));
        prop_assert_eq!(seating.apply(all_seen()), BTreeSet::new());
        let hosts = |placement: &Placement| -> BTreeMap<ReplicaKey, BTreeSet<HostName>> {
            let seats = placement.seats.iter();
            seats.map(|(key, seats)| (key.clone(), seats.keys().cloned().collect())).collect()
        };
        prop_assert_eq!(hosts(seating.placement()), hosts(&before));
    }
}
