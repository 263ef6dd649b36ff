//! When the next pass is due: what happened and what time it is come in, an instant comes out.
//!
//! Nothing here looks at a clock or draws lots: `now` and the seed of the jitter are arguments. The figures are those
//! of the known controllers: polls every 60 s, retries at 5 s doubling to 3 min, recoveries at 2 s trebling to 5 min.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::model::{Remedy, Replica, ServiceName, Timestamp};

/// How often a branch's head is looked at, unless the settings say otherwise.
pub const POLL_INTERVAL: Duration = Duration::from_mins(1);
/// Jitter of polls, in percent either way: many daemons do not ask one forge at one instant.
pub const POLL_JITTER_PERCENT: u32 = 10;
/// How often a host is looked at in full although no event called for it.
pub const FULL_LOOK_INTERVAL: Duration = Duration::from_mins(5);
/// How often a target is looked at at least while something of it is held that the host may free.
pub const HELD_LOOK: Duration = Duration::from_secs(15);
/// Jitter of full looks, in percent either way.
pub const FULL_LOOK_JITTER_PERCENT: u32 = 5;
/// How long a service without a health check must have run before it counts as working, where neither its manifest nor
/// the settings say. Long enough for a bad command line or a missing variable to show.
pub const WATCH: Duration = Duration::from_secs(2);
/// One that crashed a moment ago is watched this many times as long; doubles with each crash, up to [`STABLE_AFTER`]. A
/// crash loop is not well between two crashes.
const WATCH_AFTER_CRASH: u32 = 30;
/// Pause after the first failure that trying again may cure; doubles each time.
pub const RETRY_FIRST: Duration = Duration::from_secs(5);
/// Longest pause between two such tries.
pub const RETRY_CAP: Duration = Duration::from_mins(3);
/// Pause after a failure that a person must cure: nobody waits for us, but we see it when they did.
pub const OPERATOR_RETRY: Duration = Duration::from_mins(5);
/// Pause after the first recovery of a replica; trebles each time.
pub const RECOVERY_FIRST: Duration = Duration::from_secs(2);
/// Longest pause between two recoveries of a replica.
pub const RECOVERY_CAP: Duration = Duration::from_mins(5);
/// A replica that did not fail for this long starts afresh.
pub const STABLE_AFTER: Duration = Duration::from_mins(10);
/// So many failures within `CRASH_LOOP_WINDOW` make a service Degraded.
pub const CRASH_LOOP_FAILURES: usize = 5;
/// See `CRASH_LOOP_FAILURES`.
pub const CRASH_LOOP_WINDOW: Duration = Duration::from_mins(10);
/// Pause between two recoveries of a Degraded service's replica.
pub const DEGRADED_RETRY: Duration = Duration::from_mins(5);

/// A duration, up to `percent` longer or shorter, as the seed says. The same seed gives the same duration.
pub fn jittered(base: Duration, percent: u32, seed: u64) -> Duration {
    let whole = u64::try_from(base.as_millis()).unwrap_or(u64::MAX / 1_000);
    let spread = whole.saturating_mul(u64::from(percent)) / 100;
    let offset = mixed(seed) % spread.saturating_mul(2).saturating_add(1);
    Duration::from_millis(whole.saturating_sub(spread).saturating_add(offset))
}

/// A seed from a name (a target, a repository) and a count, so that neighbours and rounds differ.
pub fn seed(name: &str, round: u64) -> u64 {
    // FNV-1a: small, stable across releases, and good enough to spread names.
    let start = 0xcbf2_9ce4_8422_2325_u64 ^ mixed(round);
    name.bytes()
        .fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// The finaliser of SplitMix64: every bit of the input moves every bit of the output.
fn mixed(seed: u64) -> u64 {
    let mut bits = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// When a branch's head is to be looked at again.
pub fn next_poll(last: Timestamp, interval: Duration, seed: u64) -> Timestamp {
    last.plus(jittered(interval, POLL_JITTER_PERCENT, seed))
}

/// When a host is to be looked at in full again.
pub fn next_full_look(last: Timestamp, interval: Duration, seed: u64) -> Timestamp {
    last.plus(jittered(interval, FULL_LOOK_JITTER_PERCENT, seed))
}

/// `first`, times `factor` for each further attempt, at most `cap`. Attempts count from 1.
pub fn backed_off(first: Duration, factor: u32, cap: Duration, attempts: u32) -> Duration {
    let mut delay = first;
    for _ in 1..attempts {
        if cap <= delay {
            break;
        }
        delay = delay.saturating_mul(factor);
    }
    delay.min(cap)
}

/// How long something must have run before it counts as working after so many crashes, where it is otherwise watched for
/// `watch`.
pub fn watch_after(watch: Duration, crashes: u32) -> Duration {
    match crashes {
        0 => watch,
        crashes => {
            let first = watch.saturating_mul(WATCH_AFTER_CRASH);
            backed_off(first, 2, STABLE_AFTER, crashes).max(watch)
        }
    }
}

/// Failures in a row of one thing (a remote, a host, a target), and when it is tried again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Failures {
    in_a_row: u32,
    since: Option<Timestamp>,
    last: Option<(Timestamp, Remedy)>,
}

impl Failures {
    /// It failed, and this would help.
    pub fn failed(&mut self, remedy: Remedy, now: Timestamp) {
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.since.get_or_insert(now);
        self.last = Some((now, remedy));
    }

    /// It worked.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// How often it failed since it last worked.
    pub fn in_a_row(&self) -> u32 {
        self.in_a_row
    }

    /// When it first failed since it last worked: `unknown since …`.
    pub fn since(&self) -> Option<Timestamp> {
        self.since
    }

    /// When it is tried again; `None` when nothing failed, or when only another commit helps.
    pub fn next_try(&self) -> Option<Timestamp> {
        let (at, remedy) = self.last?;
        retry_delay(remedy, self.in_a_row).map(|delay| at.plus(delay))
    }
}

/// How long to wait after the nth failure in a row (from 1); `None` when only another commit helps.
pub fn retry_delay(remedy: Remedy, in_a_row: u32) -> Option<Duration> {
    match remedy {
        Remedy::Retry => Some(backed_off(RETRY_FIRST, 2, RETRY_CAP, in_a_row)),
        Remedy::Operator => Some(OPERATOR_RETRY),
        Remedy::NewRevision => None,
    }
}

/// Whether a replica may be recovered now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It may.
    Go,
    /// Not before this instant: it was recovered a moment ago.
    Wait(Timestamp),
    /// Not before this instant: it fails again and again.
    Degraded(Timestamp),
}

impl Verdict {
    /// When it may, if not now.
    pub fn until(self) -> Option<Timestamp> {
        match self {
            Self::Go => None,
            Self::Wait(until) | Self::Degraded(until) => Some(until),
        }
    }
}

/// How a replica came to be down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fall {
    /// Someone stopped, killed, paused or removed it.
    Accident,
    /// It ended by itself with a failure, or became unhealthy.
    Crash,
}

/// The memory of one replica's failures and recoveries: its size is bounded, and it forgets after ten quiet minutes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attempts {
    /// The latest failures, at most `CRASH_LOOP_FAILURES` of them.
    failures: VecDeque<Timestamp>,
    recoveries: u32,
    last_recovery: Option<Timestamp>,
    degraded: bool,
    /// Crashes that are remembered.
    crashes: u32,
    restarts_seen: Option<u32>,
}

impl Attempts {
    /// It failed and is being recovered now. Only crashes make the pauses longer: whoever stops or kills a container
    /// by hand sees it back at once, until it is called a crash loop all the same.
    pub fn record(&mut self, fall: Fall, now: Timestamp) {
        self.record_failure(now);
        if fall == Fall::Crash {
            self.recoveries = self.recoveries.saturating_add(1);
            self.crashes = self.crashes.saturating_add(1);
        }
        self.last_recovery = Some(now);
    }

    /// It failed, and something else (the Engine's restart policy) brings it back.
    pub fn record_failure(&mut self, now: Timestamp) {
        if self.is_forgotten(now) {
            *self = Self { restarts_seen: self.restarts_seen, ..Self::default() };
        }
        if self.failures.len() == CRASH_LOOP_FAILURES {
            self.failures.pop_front();
        }
        self.failures.push_back(now);
        self.degraded |= self.is_crash_loop(now);
    }

    /// The Engine's restart counter as observed. What it grew by since the last look counts as failures; the first
    /// look, and a counter that fell (another container), only set the mark.
    pub fn record_restarts(&mut self, counter: u32, now: Timestamp) {
        let grown = self.restarts_seen.map_or(0, |seen| counter.saturating_sub(seen));
        for _ in 0..grown.min(u32::try_from(CRASH_LOOP_FAILURES).unwrap_or(u32::MAX)) {
            self.record_failure(now);
            self.crashes = self.crashes.saturating_add(1);
        }
        self.restarts_seen = Some(counter);
    }

    /// Whether it may be recovered now.
    pub fn verdict(&self, now: Timestamp) -> Verdict {
        let Some(last) = self.last_recovery.filter(|_| !self.is_forgotten(now)) else {
            return Verdict::Go;
        };
        let pause = match self.recoveries {
            0 => Duration::ZERO,
            crashes => backed_off(RECOVERY_FIRST, 3, RECOVERY_CAP, crashes),
        };
        let until = last.plus(if self.degraded { DEGRADED_RETRY } else { pause });
        match (now < until, self.degraded) {
            (false, _) => Verdict::Go,
            (true, false) => Verdict::Wait(until),
            (true, true) => Verdict::Degraded(until),
        }
    }

    /// Whether it fails again and again. Stays so, between the slow retries too, until ten minutes pass without a
    /// failure.
    pub fn is_degraded(&self, now: Timestamp) -> bool {
        self.degraded && !self.is_forgotten(now)
    }

    /// Crashes that are remembered.
    pub fn crashes(&self, now: Timestamp) -> u32 {
        if self.is_forgotten(now) { 0 } else { self.crashes }
    }

    /// Failures that are remembered, at most `CRASH_LOOP_FAILURES`.
    pub fn failures(&self) -> usize {
        self.failures.len()
    }

    /// Whether the last failure is so long ago that nothing of it counts.
    pub fn is_forgotten(&self, now: Timestamp) -> bool {
        self.failures.back().is_none_or(|last| STABLE_AFTER <= now.since(*last))
    }

    fn is_crash_loop(&self, now: Timestamp) -> bool {
        self.failures.len() == CRASH_LOOP_FAILURES
            && self.failures.front().is_some_and(|first| now.since(*first) <= CRASH_LOOP_WINDOW)
    }
}

/// The memory of one target's replicas: sorted, and no larger than it must be, since each target of a fleet has one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recoveries(Vec<(Replica, Attempts)>);

impl Recoveries {
    fn place(&self, replica: &Replica) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.cmp(replica))
    }

    fn note(&mut self, replica: &Replica, note: impl FnOnce(&mut Attempts)) {
        match self.place(replica) {
            Ok(place) => {
                if let Some((_, attempts)) = self.0.get_mut(place) {
                    note(attempts);
                }
            }
            Err(place) => {
                let mut attempts = Attempts::default();
                note(&mut attempts);
                self.0.reserve_exact(1);
                self.0.insert(place, (replica.clone(), attempts));
            }
        }
    }

    /// A replica failed and is being recovered now.
    pub fn record(&mut self, replica: &Replica, fall: Fall, now: Timestamp) {
        self.note(replica, |attempts| attempts.record(fall, now));
    }

    /// The Engine's restart counter of a replica's container, as observed.
    pub fn record_restarts(&mut self, replica: &Replica, counter: u32, now: Timestamp) {
        self.note(replica, |attempts| attempts.record_restarts(counter, now));
    }

    /// Whether a replica may be recovered now.
    pub fn verdict(&self, replica: &Replica, now: Timestamp) -> Verdict {
        self.of(replica).map_or(Verdict::Go, |attempts| attempts.verdict(now))
    }

    /// Whether a replica fails again and again.
    pub fn is_degraded(&self, replica: &Replica, now: Timestamp) -> bool {
        self.of(replica).is_some_and(|attempts| attempts.is_degraded(now))
    }

    /// Whether any replica of a service fails again and again.
    pub fn has_degraded(&self, service: &ServiceName, now: Timestamp) -> bool {
        let mut all = self.0.iter();
        all.any(|(replica, attempts)| replica.service == *service && attempts.is_degraded(now))
    }

    /// What is remembered of a replica.
    pub fn of(&self, replica: &Replica) -> Option<&Attempts> {
        self.place(replica).ok().and_then(|place| self.0.get(place)).map(|(_, attempts)| attempts)
    }

    /// A replica's definition changed: it starts afresh.
    pub fn forget(&mut self, replica: &Replica) {
        if let Ok(place) = self.place(replica) {
            self.0.remove(place);
        }
    }

    /// Only these replicas are asked for any more.
    pub fn keep_only(&mut self, wanted: &BTreeSet<Replica>) {
        self.0.retain(|(replica, _)| wanted.contains(replica));
    }

    /// The earliest instant at which a replica that must wait may be recovered.
    pub fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        self.0.iter().filter_map(|(_, attempts)| attempts.verdict(now).until()).min()
    }
}

/// Why the next pass is due when it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DueBecause {
    /// The last one failed and is tried again.
    Retry,
    /// Something that was held may be done then: a back-off ends, a window opens, a suspension expires.
    Waiting,
    /// A full look is due.
    FullLook,
}

/// When the next pass of a target is due if nothing happens before, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub because: DueBecause,
}

/// What is known of a target when its pass has ended.
#[derive(Debug, Clone, Copy)]
pub struct PassEnded {
    /// When it ended.
    pub at: Timestamp,
    /// Failures in a row, this pass included.
    pub failures: Failures,
    /// The earliest instant at which something held may be done, if anything is held for a time.
    pub held_until: Option<Timestamp>,
}

/// When the next pass is due: the earliest of retry, held work and full look.
pub fn next_pass(ended: &PassEnded, full_look: Duration, seed: u64) -> Due {
    let regular =
        Due { at: next_full_look(ended.at, full_look, seed), because: DueBecause::FullLook };
    let retry = ended.failures.next_try().map(|at| Due { at, because: DueBecause::Retry });
    let waiting = ended.held_until.map(|at| Due { at, because: DueBecause::Waiting });
    [retry, waiting].into_iter().flatten().fold(regular, Due::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn jitter_stays_within_its_percentage_and_uses_all_of_it() {
        let all: Vec<u128> = (0..2_000)
            .map(|seed| jittered(POLL_INTERVAL, POLL_JITTER_PERCENT, seed).as_millis())
            .collect();
        assert!(all.iter().all(|millis| (54_000..=66_000).contains(millis)));
        assert!(all.iter().any(|millis| *millis < 54_600));
        assert!(all.iter().any(|millis| 65_400 < *millis));
        assert_eq!(jittered(Duration::ZERO, 10, 3), Duration::ZERO);
    }

    #[test]
    fn seeds_differ_by_name_and_round_and_repeat_for_the_same() {
        assert_eq!(seed("shop@a", 1), seed("shop@a", 1));
        assert_ne!(seed("shop@a", 1), seed("shop@b", 1));
        assert_ne!(seed("shop@a", 1), seed("shop@a", 2));
    }

    #[test]
    fn retries_double_from_five_seconds_to_three_minutes() {
        let waits: Vec<u64> = (1..=8)
            .filter_map(|n| retry_delay(Remedy::Retry, n))
            .map(|wait| wait.as_secs())
            .collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 180, 180]);
        assert_eq!(retry_delay(Remedy::Retry, u32::MAX), Some(RETRY_CAP));
    }

    #[test]
    fn a_failure_that_needs_a_commit_is_not_retried_and_one_that_needs_a_person_slowly() {
        let mut failures = Failures::default();
        assert_eq!(failures.next_try(), None);
        failures.failed(Remedy::NewRevision, at(0));
        assert_eq!(failures.next_try(), None);
        failures.failed(Remedy::Operator, at(10));
        assert_eq!(failures.next_try(), Some(at(310)));
        assert_eq!((failures.in_a_row(), failures.since()), (2, Some(at(0))));
        failures.succeeded();
        assert_eq!((failures.in_a_row(), failures.since()), (0, None));
    }

    #[test]
    fn the_first_recovery_is_at_once_and_the_next_ones_back_off() {
        let mut attempts = Attempts::default();
        assert_eq!(attempts.verdict(at(0)), Verdict::Go);
        attempts.record(Fall::Crash, at(0));
        assert_eq!(attempts.verdict(at(1)), Verdict::Wait(at(2)));
        assert_eq!(attempts.verdict(at(2)), Verdict::Go);
        attempts.record(Fall::Crash, at(2));
        assert_eq!(attempts.verdict(at(3)), Verdict::Wait(at(8)));
    }

    #[test]
    fn five_failures_in_ten_minutes_degrade_and_slow_retries_to_one_in_five_minutes() {
        let mut attempts = Attempts::default();
        for second in [0, 2, 8, 26] {
            attempts.record(Fall::Crash, at(second));
        }
        assert!(!attempts.is_degraded(at(27)));
        attempts.record(Fall::Crash, at(80));
        assert!(attempts.is_degraded(at(81)));
        assert_eq!(attempts.verdict(at(81)), Verdict::Degraded(at(380)));
        assert_eq!(attempts.verdict(at(380)), Verdict::Go);
        attempts.record(Fall::Crash, at(380));
        // Slow retries keep fewer than five failures in the window, and it is still failing.
        assert!(attempts.is_degraded(at(679)));
        assert_eq!(attempts.verdict(at(400)), Verdict::Degraded(at(680)));
    }

    #[test]
    fn ten_quiet_minutes_wipe_the_slate() {
        let mut attempts = Attempts::default();
        (0..5).for_each(|second| attempts.record(Fall::Crash, at(second)));
        assert!(!attempts.is_degraded(at(4 + 600)));
        assert_eq!(attempts.verdict(at(4 + 600)), Verdict::Go);
        attempts.record(Fall::Crash, at(4 + 600));
        assert_eq!(attempts.verdict(at(4 + 601)), Verdict::Wait(at(4 + 602)));
    }

    #[test]
    fn a_replica_that_fails_every_few_minutes_is_recovered_each_time_and_not_degraded() {
        let mut attempts = Attempts::default();
        for round in 0..50 {
            let now = at(round * 301);
            assert_eq!(attempts.verdict(now), Verdict::Go);
            attempts.record(Fall::Crash, now);
            assert!(!attempts.is_degraded(now));
        }
        assert_eq!(attempts.failures(), CRASH_LOOP_FAILURES);
    }

    #[test]
    fn restarts_by_the_engine_count_as_failures_but_not_as_recoveries() {
        let mut attempts = Attempts::default();
        attempts.record_restarts(40, at(0));
        assert_eq!(attempts.failures(), 0);
        attempts.record_restarts(43, at(10));
        assert!(!attempts.is_degraded(at(10)));
        attempts.record_restarts(45, at(20));
        assert!(attempts.is_degraded(at(20)));
        assert_eq!(attempts.verdict(at(20)), Verdict::Go);
        // Another container counts from zero again.
        attempts.record_restarts(0, at(30));
        attempts.record_restarts(u32::MAX, at(40));
        assert_eq!(attempts.failures(), CRASH_LOOP_FAILURES);
    }

    #[test]
    fn the_next_pass_is_the_earliest_of_retry_held_work_and_full_look() {
        let quiet = PassEnded { at: at(1_000), failures: Failures::default(), held_until: None };
        let due = next_pass(&quiet, FULL_LOOK_INTERVAL, 7);
        assert_eq!(due.because, DueBecause::FullLook);
        assert!(at(1_285) <= due.at && due.at <= at(1_315));
        let held = PassEnded { held_until: Some(at(1_004)), ..quiet };
        assert_eq!(next_pass(&held, FULL_LOOK_INTERVAL, 7).at, at(1_004));
        let mut failures = Failures::default();
        failures.failed(Remedy::Retry, at(998));
        let failed = PassEnded { failures, ..held };
        assert_eq!(
            next_pass(&failed, FULL_LOOK_INTERVAL, 7),
            Due { at: at(1_003), because: DueBecause::Retry }
        );
    }

    #[test]
    fn what_no_manifest_asks_for_is_forgotten() {
        let replica = |number| Replica { service: ServiceName::parse("web").unwrap(), number };
        let mut recoveries = Recoveries::default();
        recoveries.record(&replica(1), Fall::Crash, at(0));
        recoveries.record(&replica(2), Fall::Crash, at(1));
        assert_eq!(recoveries.next_due(at(1)), Some(at(2)));
        recoveries.keep_only(&BTreeSet::from([replica(2)]));
        assert_eq!(recoveries.verdict(&replica(1), at(1)), Verdict::Go);
        assert_eq!(recoveries.verdict(&replica(2), at(1)), Verdict::Wait(at(3)));
        recoveries.forget(&replica(2));
        assert_eq!(recoveries.next_due(at(1)), None);
    }
}
