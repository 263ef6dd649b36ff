//! Who goes first: which targets may take up a revision now.
//!
//! A stack waits for the stacks that its `after` names, on all their hosts; on each host it waits for its own targets
//! of earlier waves. What it waits for must be in sync and healthy at the new revision. Whoever fails, or takes longer
//! than the deadline, stops those that follow, and they say so. Recovery does not ask here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::TargetName;
use crate::config::Fleet;
use crate::config::fleet_file::Wave;
use crate::config::settings::Labels;
use crate::model::{HostName, StackName, Timestamp};

/// How far a target is with the revision that it is to reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// In sync and healthy.
    Done,
    /// Not begun: it waits for others, or for a window.
    Waiting,
    /// On its way.
    Going {
        /// Since when.
        since: Timestamp,
    },
    /// It failed, or is degraded.
    Failed {
        /// Why, in words.
        why: String,
    },
    /// It cannot be seen.
    Unknown {
        /// Since when.
        since: Timestamp,
    },
}

/// Whether a target may take up the revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// It may.
    Go,
    /// Not yet.
    Wait {
        /// One of those that it waits for.
        for_target: TargetName,
        /// How many more there are.
        more: usize,
        /// When the patience with the slowest ends, if one is on its way.
        until: Option<Timestamp>,
    },
    /// Not at all with this revision: someone before it did not get there.
    Stopped {
        /// Who.
        by: TargetName,
        /// Why, in words.
        why: String,
    },
}

impl fmt::Display for Gate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Go => write!(out, "may go"),
            Self::Wait { for_target, more: 0, .. } => write!(out, "waits for {for_target}"),
            Self::Wait { for_target, more, .. } => {
                write!(out, "waits for {for_target} and {more} more")
            }
            Self::Stopped { by, why } => write!(out, "stopped: {by} {why}"),
        }
    }
}

impl Gate {
    /// Both must be passed.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Go, gate) | (gate, Self::Go) => gate,
            (stopped @ Self::Stopped { .. }, _) | (_, stopped @ Self::Stopped { .. }) => stopped,
            (
                Self::Wait { for_target, more, until },
                Self::Wait { more: others, until: other, .. },
            ) => Self::Wait {
                for_target,
                more: more.saturating_add(others).saturating_add(1),
                until: until.max(other),
            },
        }
    }
}

/// What gates depend on.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// `after` and `waves`.
    pub fleet: &'a Fleet,
    /// Hosts and their labels.
    pub hosts: &'a BTreeMap<HostName, Labels>,
    /// Every target that is to reach the revision, and how far it is.
    pub standings: &'a BTreeMap<TargetName, Standing>,
    /// The time.
    pub now: Timestamp,
}

/// The wave of each host, from 0; hosts of no wave are in one after all others.
pub fn wave_of_hosts(
    waves: &[Wave],
    hosts: &BTreeMap<HostName, Labels>,
) -> BTreeMap<HostName, usize> {
    let rest = waves.iter().position(|wave| *wave == Wave::Rest).unwrap_or(waves.len());
    let named = |name: &HostName, labels: &Labels| {
        waves.iter().position(|wave| match wave {
            Wave::Hosts(selector) => selector.chooses(name, labels, hosts.len()),
            Wave::Rest => false,
        })
    };
    hosts.iter().map(|(name, labels)| (name.clone(), named(name, labels).unwrap_or(rest))).collect()
}

/// Which targets may take up the revision now.
pub fn gates(line: Line<'_>) -> BTreeMap<TargetName, Gate> {
    let waves = wave_of_hosts(&line.fleet.waves, line.hosts);
    let mut stacks: BTreeMap<&StackName, BTreeMap<usize, Vec<&TargetName>>> = BTreeMap::new();
    for target in line.standings.keys() {
        let wave = waves.get(&target.host).copied().unwrap_or(usize::MAX);
        stacks.entry(&target.stack).or_default().entry(wave).or_default().push(target);
    }
    let mut walk = Walk { line, stacks, gates: BTreeMap::new(), whole: BTreeMap::new() };
    let names: Vec<&StackName> = walk.stacks.keys().copied().collect();
    for name in names {
        walk.stack(name, &mut BTreeSet::new());
    }
    walk.gates
}

struct Walk<'a> {
    line: Line<'a>,
    /// Targets by stack and wave.
    stacks: BTreeMap<&'a StackName, BTreeMap<usize, Vec<&'a TargetName>>>,
    gates: BTreeMap<TargetName, Gate>,
    /// For each stack, what those that come after it must pass.
    whole: BTreeMap<StackName, Gate>,
}

impl<'a> Walk<'a> {
    /// Settles a stack after those that it comes after. Circles are refused when the fleet file is read; `open` only
    /// keeps one from spinning here.
    fn stack(&mut self, name: &'a StackName, open: &mut BTreeSet<&'a StackName>) -> Gate {
        if let Some(gate) = self.whole.get(name) {
            return gate.clone();
        }
        if !open.insert(name) {
            return Gate::Go;
        }
        let before = self.before(name, open);
        let mut own = Gate::Go;
        for targets in self.stacks.get(name).cloned().unwrap_or_default().into_values() {
            let gate = before.clone().and(own.clone());
            for target in &targets {
                own = own.and(self.standing(target, &gate));
            }
            for target in targets {
                self.gates.insert(target.clone(), gate.clone());
            }
        }
        self.whole.insert(name.clone(), own.clone());
        own
    }

    /// What other stacks put in the way of one.
    fn before(&mut self, name: &StackName, open: &mut BTreeSet<&'a StackName>) -> Gate {
        let fleet = self.line.fleet;
        let after = fleet.stacks.get(name).map(|stack| &stack.after);
        let mut before = Gate::Go;
        for other in after.into_iter().flatten() {
            before = before.and(self.stack(other, open));
        }
        // What another stack makes is waited for; whether that stack is well is its own affair.
        let implied = fleet.stacks.get(name).map(|stack| &stack.implied);
        for other in implied.into_iter().flatten() {
            let gate = self.stack(other, open);
            if !matches!(gate, Gate::Stopped { .. }) {
                before = before.and(gate);
            }
        }
        before
    }

    /// What a target puts in the way of those that follow.
    fn standing(&self, target: &TargetName, gate: &Gate) -> Gate {
        let deadline = self.line.fleet.wave_deadline;
        let wait = |until| Gate::Wait { for_target: target.clone(), more: 0, until };
        let stopped = |why| Gate::Stopped { by: target.clone(), why };
        match self.line.standings.get(target) {
            Some(Standing::Done) | None => Gate::Go,
            Some(Standing::Failed { why }) => stopped(format!("failed: {why}")),
            // Whoever is stopped stops his followers for the first one's reason.
            Some(Standing::Waiting) if matches!(gate, Gate::Stopped { .. }) => gate.clone(),
            Some(Standing::Waiting) => wait(None),
            Some(Standing::Going { since }) => match self.overdue(*since, deadline) {
                Some(late) => stopped(format!("is not healthy after {late}")),
                None => wait(Some(since.plus(deadline))),
            },
            Some(Standing::Unknown { since }) => match self.overdue(*since, deadline) {
                Some(_) => stopped(format!("unknown since {since}")),
                None => wait(Some(since.plus(deadline))),
            },
        }
    }

    fn overdue(&self, since: Timestamp, deadline: Duration) -> Option<String> {
        (deadline <= self.line.now.since(since))
            .then(|| crate::config::quantity::duration_text(deadline))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fleet_file::{Surroundings, parse};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn target(text: &str) -> TargetName {
        let (stack, host) = text.split_once('@').unwrap();
        TargetName { stack: StackName::parse(stack).unwrap(), host: HostName::parse(host).unwrap() }
    }

    fn hosts() -> BTreeMap<HostName, Labels> {
        [("edge-1", "a"), ("edge-2", "a"), ("core", "b")]
            .iter()
            .map(|(name, zone)| {
                let labels = Labels::from([("zone".to_owned(), (*zone).to_owned())]);
                (HostName::parse(name).unwrap(), labels)
            })
            .collect()
    }

    const FLEET: &str = "
stacks:
  db: {hosts: core}
  shop: {hosts: all, after: [db]}
  blog: {hosts: all}
waves: [[edge-1], {zone: a}, rest]
wave_deadline: 15m
";

    /// Gates as text, in the order of the targets, at the time of 1000 s.
    fn told(standings: &[(&str, Standing)]) -> Vec<String> {
        let fleet = parse("fleet.yaml", FLEET.as_bytes(), Surroundings::default()).unwrap().0;
        let standings =
            standings.iter().map(|(name, standing)| (target(name), standing.clone())).collect();
        let line = Line { fleet: &fleet, hosts: &hosts(), standings: &standings, now: at(1_000) };
        gates(line).into_iter().map(|(target, gate)| format!("{target} {gate}")).collect()
    }

    #[test]
    fn each_wave_waits_until_the_one_before_is_healthy() {
        let going = Standing::Going { since: at(900) };
        let waiting = Standing::Waiting;
        assert_eq!(
            told(&[
                ("blog@edge-1", going),
                ("blog@edge-2", waiting.clone()),
                ("blog@core", waiting)
            ]),
            [
                "blog@core waits for blog@edge-1 and 1 more",
                "blog@edge-1 may go",
                "blog@edge-2 waits for blog@edge-1"
            ]
        );
        assert_eq!(
            told(&[
                ("blog@edge-1", Standing::Done),
                ("blog@edge-2", Standing::Waiting),
                ("blog@core", Standing::Waiting)
            ]),
            ["blog@core waits for blog@edge-2", "blog@edge-1 may go", "blog@edge-2 may go"]
        );
    }

    #[test]
    fn a_failed_wave_stops_all_that_follow_for_one_reason() {
        let failed = Standing::Failed { why: "web-1 unhealthy".to_owned() };
        assert_eq!(
            told(&[
                ("blog@edge-1", failed),
                ("blog@edge-2", Standing::Waiting),
                ("blog@core", Standing::Waiting)
            ]),
            [
                "blog@core stopped: blog@edge-1 failed: web-1 unhealthy",
                "blog@edge-1 may go",
                "blog@edge-2 stopped: blog@edge-1 failed: web-1 unhealthy"
            ]
        );
    }

    #[test]
    fn patience_ends_at_the_deadline_with_the_slow_and_with_the_silent() {
        let late = Standing::Going { since: at(100) };
        let silent = Standing::Unknown { since: at(100) };
        for (standing, why) in
            [(late, "is not healthy after 15m"), (silent, "unknown since 1970-01-01T00:01:40Z")]
        {
            let told = told(&[("blog@edge-1", standing), ("blog@edge-2", Standing::Waiting)]);
            assert_eq!(
                told,
                [
                    "blog@edge-1 may go".to_owned(),
                    format!("blog@edge-2 stopped: blog@edge-1 {why}")
                ]
            );
        }
    }

    #[test]
    fn a_stack_waits_for_those_that_it_comes_after_and_others_go_on() {
        assert_eq!(
            told(&[
                ("db@core", Standing::Going { since: at(990) }),
                ("shop@edge-1", Standing::Waiting),
                ("blog@edge-1", Standing::Waiting)
            ]),
            ["blog@edge-1 may go", "db@core may go", "shop@edge-1 waits for db@core"]
        );
        let failed = Standing::Failed { why: "no image".to_owned() };
        assert_eq!(
            told(&[("db@core", failed), ("shop@edge-1", Standing::Waiting)]),
            ["db@core may go", "shop@edge-1 stopped: db@core failed: no image"]
        );
    }

    #[test]
    fn the_deadline_of_the_slowest_is_told() {
        let fleet = parse("fleet.yaml", FLEET.as_bytes(), Surroundings::default()).unwrap().0;
        let standings = BTreeMap::from([
            (target("blog@edge-1"), Standing::Going { since: at(900) }),
            (target("blog@edge-2"), Standing::Waiting),
        ]);
        let line = Line { fleet: &fleet, hosts: &hosts(), standings: &standings, now: at(1_000) };
        let gate = gates(line).remove(&target("blog@edge-2"));
        let Some(Gate::Wait { until, .. }) = gate else { panic!("{gate:?}") };
        assert_eq!(until, Some(at(1_800)));
    }
}
