//! The program is killed at random moments of its work, and the next `moorline sync` converges at once: on real Engines.

use std::collections::BTreeSet;
use std::time::Duration;

use super::support::engines::sockets;
use super::support::kill_after;
use super::support::real_stack::{RealStack, said};

/// How many kills, unless `MOORLINE_KILLS` says otherwise.
const KILLS: u64 = 4;

/// A stack whose deployment takes every kind of step: networks, volumes, files, copies, jobs, hooks, replacements.
fn compose(version: u64) -> String {
    let image = 1 + version % 2;
    let replicas = 1 + version % 3;
    let extra = if version.is_multiple_of(4) { "[front, back]" } else { "[front]" };
    let option = version % 5;
    format!(
        r#"services:
  prepare:
    image: moorline.test/job:1
    environment: {{VERSION: "{version}"}}
    networks: [front]
  web:
    image: moorline.test/web:{image}
    depends_on: {{prepare: {{condition: service_completed_successfully}}}}
    stop_grace_period: 1s
    deploy: {{replicas: {replicas}, update_config: {{parallelism: 2, monitor: 100ms}}}}
    networks: {extra}
    volumes: ["data:/data", "./conf:/conf:ro"]
    configs: [{{source: inline, target: /etc/inline.conf}}]
    post_start: [{{command: ["true"]}}]
  first:
    image: moorline.test/web:{image}
    stop_grace_period: 1s
    deploy: {{update_config: {{order: start-first, monitor: 100ms}}}}
    networks: [back]
  limited:
    image: moorline.test/base:1
    mem_limit: {limit}m
    network_mode: none
networks:
  front: {{}}
  back: {{driver_opts: {{com.docker.network.bridge.name: kill{option}}}}}
volumes: {{data: {{}}}}
configs: {{inline: {{content: "{version}"}}}}
"#,
        limit = 32 + version % 7,
    )
}

/// Numbers that look drawn, and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Another `MOORLINE_KILLS_SEED`, other moments.
fn seed() -> u64 {
    let said = std::env::var("MOORLINE_KILLS_SEED").ok().and_then(|text| text.parse().ok());
    said.unwrap_or(1_u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1
}

struct Victim {
    stack: RealStack,
    dice: Dice,
}

impl Victim {
    fn write(&self, version: u64) {
        self.stack.write("victim/compose.yaml", &compose(version));
        self.stack.write("victim/conf/app.conf", &format!("{version}\n"));
        self.stack.commit("next");
    }

    /// Hands that are no part of a deployment.
    fn accident(&mut self) {
        let lines: [&[&str]; 4] = [
            &["rm", "-f", "victim-web-1"],
            &["stop", "-t", "0", "victim-first-1"],
            &["network", "disconnect", "-f", "victim_front", "victim-web-1"],
            &["rename", "victim-limited-1", "mine"],
        ];
        let which = usize::try_from(self.dice.roll(4)).unwrap();
        self.stack.docker_may(lines[which]);
    }

    /// What is there that nobody asks for.
    fn leftovers(&self) -> Vec<String> {
        let names = self.stack.docker(&["ps", "-a", "--format", "{{.Names}}"]);
        let odd = |name: &&str| {
            name.starts_with("moorline-files-")
                || (name.starts_with("victim") && !is_asked_for(name))
        };
        let mut found: Vec<String> = names.lines().filter(odd).map(str::to_owned).collect();
        let networks = self.stack.docker(&["network", "ls", "--format", "{{.Name}}"]);
        let own: Vec<&str> = networks.lines().filter(|name| name.starts_with("victim")).collect();
        let known: BTreeSet<&str> = own.iter().copied().collect();
        if own.len() != known.len() || known != BTreeSet::from(["victim_back", "victim_front"]) {
            found.push(format!("networks {own:?}"));
        }
        found
    }
}

fn is_asked_for(name: &str) -> bool {
    let services = ["prepare", "web", "first", "limited"];
    let number =
        |service: &str| name.strip_prefix(&format!("victim-{service}-")).map(str::to_owned);
    services.iter().filter_map(|service| number(service)).any(|rest| rest.parse::<u32>().is_ok())
}

#[test]
fn real_a_sync_after_a_killed_one_converges_at_once() {
    let Some(socket) = sockets().into_iter().next() else { return };
    let kills = std::env::var("MOORLINE_KILLS").ok().and_then(|text| text.parse().ok());
    let stack = RealStack::of(
        &[("victim/compose.yaml", &compose(0)), ("victim/conf/app.conf", "0\n")],
        &socket,
    );
    let mut victim = Victim { stack, dice: Dice(seed()) };
    victim.stack.converges();
    let mark = ["exec", "victim-web-1", "sh", "-c", "echo precious > /data/marker"];
    victim.stack.docker(&mark);
    let mut wrong = Vec::new();
    for round in 1..=kills.unwrap_or(KILLS) {
        victim.write(round);
        if victim.dice.roll(3) == 0 {
            victim.accident();
        }
        let after = Duration::from_millis(victim.dice.roll(4_000));
        let by_daemon = victim.dice.roll(3) == 0;
        let child = if by_daemon { victim.stack.daemon() } else { victim.stack.starts("sync") };
        kill_after(child, after);
        let what = format!(
            "round {round}, killed {} after {after:?}",
            if by_daemon { "the daemon" } else { "sync" }
        );
        let begun = std::time::Instant::now();
        let sync = victim.stack.moorline("sync");
        println!("{what}: synced in {:?}", begun.elapsed());
        let plan = victim.stack.moorline("plan");
        if !sync.status.success() || plan.status.code() != Some(0) {
            wrong.push(format!("{what}\n{}\n{}", said(&sync), said(&plan)));
        }
        let leftovers = victim.leftovers();
        if !leftovers.is_empty() {
            wrong.push(format!("{what}: left over {leftovers:?}\n{}", said(&sync)));
        }
        let marker = victim.stack.docker_may(&["exec", "victim-web-1", "cat", "/data/marker"]);
        if marker.trim() != "precious" {
            wrong.push(format!("{what}: the volume holds {marker:?}"));
        }
    }
    victim.stack.remove("victim");
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n\n"));
}
