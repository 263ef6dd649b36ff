//! Hosts that hang: they are unknown, and nobody else waits for them.

use std::time::{Duration, Instant};

use super::support::daemon::Harbour;
use super::support::fake_engine::Faults;

const WEB: &str = "services:\n  web:\n    image: app:v1\n    restart: always\n";
const FLEET: (&str, &str) = ("fleet.yaml", "stacks: {shop: {hosts: all}}\n");

/// What a host does to those who ask it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Silence {
    /// It has hung since before the daemon began.
    Always,
    /// It was connected, and hangs on every call.
    Later,
    /// Lists answer, and an inspection hangs.
    Inspections,
    /// It shows everything, and hangs when something is to be made.
    Changes,
}

impl Silence {
    fn befall(self, harbour: &Harbour, hosts: &[String]) {
        for host in hosts.iter().map(|name| &harbour.hosts[name]) {
            match self {
                Self::Always | Self::Later => {
                    host.set_faults(Faults { hang: 1.0, ..Faults::default() });
                }
                Self::Inspections => host.wedge("shop-web-1"),
                Self::Changes => {
                    host.set_faults(Faults { hang: 1.0, changes_only: true, ..Faults::default() });
                }
            }
        }
    }
}

fn names(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("h{number:03}")).collect()
}

async fn harbour(names: &[String], more: &str) -> Harbour {
    let mut harbour = Harbour::new(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    more.clone_into(&mut harbour.more);
    harbour
}

async fn push(harbour: &Harbour, version: &str) -> String {
    let manifest = WEB.replace("v1", version);
    harbour.push(&[("shop/compose.yaml", &manifest), FLEET], version)
}

async fn until_they_run(harbour: &Harbour, hosts: &[String], version: &str) {
    let image = format!("app:{version}");
    let runs = |host: &String| {
        let containers = harbour.hosts[host].containers();
        containers.len() == 1 && containers[0].image == image && containers[0].state == "running"
    };
    harbour.until("every sound host runs it", |_| hosts.iter().all(runs)).await;
}

/// How long a fleet takes until its sound hosts run what was pushed, while the first of them hang. Hosts are sorted by
/// name: those that hang come first.
async fn converging(hosts: usize, hanging: usize, silence: Silence, limits: &str) -> Duration {
    let names = names(hosts);
    let mut harbour = harbour(&names, limits).await;
    // Whoever waited for one of these would wait for longer than this test does.
    ", timeout: 10m".clone_into(&mut harbour.host_settings);
    let (wedged, sound) = names.split_at(hanging);
    if silence != Silence::Always {
        push(&harbour, "v1").await;
        harbour.start();
        until_they_run(&harbour, &names, "v1").await;
    }
    if silence == Silence::Inspections {
        // One that was inspected before is not asked again, unless the daemon begins anew.
        harbour.stop().await;
    }
    silence.befall(&harbour, wedged);
    push(&harbour, "v2").await;
    let begun = Instant::now();
    if matches!(silence, Silence::Always | Silence::Inspections) {
        harbour.start();
    } else {
        harbour.ring();
    }
    until_they_run(&harbour, sound, "v2").await;
    let took = begun.elapsed();
    harbour.kill().await;
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_hang_do_not_hold_up_the_others() {
    for silence in [Silence::Always, Silence::Later, Silence::Inspections, Silence::Changes] {
        let alone = converging(90, 0, silence, "").await;
        for (all, hanging) in [(100, 10), (190, 100)] {
            let beside = converging(all, hanging, silence, "").await;
            println!(
                "{silence:?}: 90 hosts alone {alone:?}, beside {hanging} that hang {beside:?}"
            );
            // The seconds are for other tests that want the same processor at the same time. What hangs here does so for
            // longer than anybody waits.
            let limit = alone.mul_f64(1.2) + Duration::from_secs(3);
            assert!(beside < limit, "{silence:?}: {beside:?}, and {alone:?} alone");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_seat_is_enough_for_the_sound_ones_beside_many_that_hang() {
    for silence in [Silence::Later, Silence::Inspections, Silence::Changes] {
        let took = converging(30, 20, silence, "limits: {parallel_passes: 1}\n").await;
        println!("{silence:?}: 10 of 30 hosts took {took:?} with one seat");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_hangs_is_unknown_and_is_looked_at_again_as_soon_as_it_answers() {
    let names = names(3);
    let mut harbour = harbour(&names, "").await;
    ", timeout: 1s".clone_into(&mut harbour.host_settings);
    let first = push(&harbour, "v1").await;
    harbour.start();
    harbour.until_noted(&first, "moorline/shop: success in sync on 3 hosts").await;
    Silence::Later.befall(&harbour, &names[..1]);
    let second = push(&harbour, "v2").await;
    harbour.until_noted(&second, "moorline/shop: error h001: unknown since 20").await;
    until_they_run(&harbour, &names[1..], "v2").await;
    harbour.hosts["h001"].heal();
    harbour.until_noted(&second, "moorline/shop: success in sync on 3 hosts").await;
    until_they_run(&harbour, &names, "v2").await;
    // One that hangs in the middle of a change is known to do so although nothing else is asked of it.
    Silence::Changes.befall(&harbour, &names[..1]);
    let third = push(&harbour, "v3").await;
    until_they_run(&harbour, &names[1..], "v3").await;
    harbour.hosts["h001"].cut_connections();
    harbour.hosts["h001"].heal();
    harbour.until_noted(&third, "moorline/shop: success in sync on 3 hosts").await;
    harbour.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_hangs_for_longer_than_the_grace_is_lost_like_one_that_is_gone() {
    let names = names(3);
    let mut harbour = harbour(&names, "limits: {host_lost: 2s}\n").await;
    ", timeout: 1s".clone_into(&mut harbour.host_settings);
    let many = "services:\n  web:\n    image: app:v1\n    restart: always\n    deploy: {mode: replicated, replicas: 6}\n";
    let first = harbour.push(&[("shop/compose.yaml", many), FLEET], "six");
    harbour.start();
    harbour.until_noted(&first, "moorline/shop: success in sync on 3 hosts").await;
    let there = harbour.containers("h001");
    Silence::Later.befall(&harbour, &names[..1]);
    // Nobody would ask it for minutes: a commit that changes something does.
    let more = many.replace("replicas: 6", "replicas: 7");
    harbour.push(&[("shop/compose.yaml", &more)], "seven");
    harbour
        .until("the others have them all", |it| {
            it.containers("h002").len() + it.containers("h003").len() == 7
        })
        .await;
    assert_eq!(harbour.containers("h001"), there, "nothing was done to the silent one");
    harbour.kill().await;
}
