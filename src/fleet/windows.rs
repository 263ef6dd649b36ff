//! Whether changes may happen now, and when they may next.
//!
//! Without a window they may at any time. With `allow` windows they may while one is open; while a `deny` window is open
//! they may not, whatever is allowed. Recovery is exempt: who asks here asks about changes that a commit made.

use std::fmt;

use crate::config::Fleet;
use crate::config::fleet_file::{Stack, Window, WindowKind};
use crate::config::settings::Labels;
use crate::model::{HostName, Timestamp};

/// Steps of the search for the next opening: windows that shut each other out for longer count as never open.
const SEARCH_LIMIT: usize = 400;
/// Windows that are looked at in that search, all steps together: each takes some microseconds, for each target.
const LOOKS: usize = 1_000;

/// Whether changes may happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// They may.
    Open,
    /// They may not.
    Shut {
        /// When they may next; `None` for never, as far as can be seen.
        until: Option<Timestamp>,
        /// The window that is in the way, in words; for missing `allow` windows, the one that opens first.
        because: String,
    },
}

impl fmt::Display for Opening {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Shut { until, because } = self else {
            return write!(out, "changes may happen");
        };
        match until {
            Some(until) => write!(out, "changes wait until {until}")?,
            None => write!(out, "changes wait, and no window opens")?,
        }
        if because.is_empty() { Ok(()) } else { write!(out, ": {because}") }
    }
}

/// The windows of a stack on a host: the fleet's that concern it, and its own.
pub fn of_target<'a>(
    fleet: &'a Fleet,
    stack: &'a Stack,
    host: &HostName,
    labels: &Labels,
) -> Vec<&'a Window> {
    let fleets = fleet.windows.iter().filter(|window| window.concerns(&stack.name));
    // `Unsaid` never stands in a window: without hosts it is about all of them.
    let fleets = fleets.filter(|window| window.hosts.chooses(host, labels, 1));
    fleets.chain(&stack.windows).collect()
}

/// Whether changes may happen now.
pub fn opening(windows: &[&Window], now: Timestamp) -> Opening {
    let Some(because) = in_the_way(windows, now) else {
        return Opening::Open;
    };
    let because = because.map(ToString::to_string).unwrap_or_default();
    let mut at = Some(now);
    let steps = (LOOKS / windows.len().max(1)).min(SEARCH_LIMIT);
    for _ in 0..steps.max(10) {
        let Some(instant) = at else { break };
        if in_the_way(windows, instant).is_none() {
            return Opening::Shut { until: at, because };
        }
        at = next_change(windows, instant);
    }
    Opening::Shut { until: None, because }
}

/// The window that keeps changes from happening at an instant; `Some(None)` when it is the lack of one.
#[expect(clippy::option_option, reason = "shut by a window, shut for want of one, or open")]
fn in_the_way<'a>(windows: &[&'a Window], at: Timestamp) -> Option<Option<&'a Window>> {
    let of = |kind| windows.iter().copied().filter(move |window: &&Window| window.kind == kind);
    if let Some(deny) = of(WindowKind::Deny).find(|window| closes(window, at).is_some()) {
        return Some(Some(deny));
    }
    let mut allows = of(WindowKind::Allow).peekable();
    let is_free = allows.peek().is_none();
    if is_free || allows.any(|window| closes(window, at).is_some()) {
        return None;
    }
    let first = of(WindowKind::Allow).min_by_key(|window| {
        let opens = window.opens.next(at);
        (opens.is_none(), opens)
    });
    Some(first)
}

/// When a window that is open at an instant closes, if nothing opens it again before.
fn closes(window: &Window, at: Timestamp) -> Option<Timestamp> {
    let closes = window.opens.last(at)?.plus(window.length);
    (at < closes).then_some(closes)
}

/// The next instant at which a window opens or closes.
fn next_change(windows: &[&Window], at: Timestamp) -> Option<Timestamp> {
    let changes = windows.iter().flat_map(|window| match window.kind {
        WindowKind::Deny => [closes(window, at), None],
        WindowKind::Allow => [window.opens.next(at), closes(window, at)],
    });
    changes.flatten().filter(|change| at < *change).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fleet_file::{Surroundings, parse};
    use crate::model::StackName;

    fn fleet(windows: &str) -> Fleet {
        let text = format!("stacks: {{shop: {{}}, blog: {{}}}}\nwindows:\n{windows}");
        parse("fleet.yaml", text.as_bytes(), Surroundings::default()).unwrap().0
    }

    fn told(windows: &str, now: &str) -> String {
        let fleet = fleet(windows);
        let windows: Vec<&Window> = fleet.windows.iter().collect();
        opening(&windows, Timestamp::parse(now).unwrap()).to_string()
    }

    #[test]
    fn without_windows_changes_may_always_happen() {
        assert_eq!(opening(&[], Timestamp::default()), Opening::Open);
    }

    #[test]
    fn an_allow_window_opens_and_closes() {
        let nights = "  - {allow: \"0 22 * * *\", for: 4h, zone: Europe/Berlin}\n";
        assert_eq!(told(nights, "2026-01-10T21:00:00Z"), "changes may happen");
        assert_eq!(told(nights, "2026-01-11T00:59:59Z"), "changes may happen");
        let shut =
            "changes wait until 2026-01-11T21:00:00Z: allow \"0 22 * * *\" for 4h (Europe/Berlin)";
        assert_eq!(told(nights, "2026-01-11T01:00:00Z"), shut);
        assert_eq!(told(nights, "2026-01-11T20:59:59Z"), shut);
    }

    #[test]
    fn a_nightly_window_opens_once_a_night_also_when_the_clock_jumps() {
        let night = "  - {allow: \"30 2 * * *\", for: 1h, zone: Europe/Berlin}\n";
        let wait = |until: &str| {
            format!("changes wait until {until}: allow \"30 2 * * *\" for 1h (Europe/Berlin)")
        };
        let open = "changes may happen".to_owned();
        // There is no half past two in the night to 29 March: it opens at three, the first instant after it.
        for (now, said) in [
            ("2026-03-29T00:59:59Z", wait("2026-03-29T01:00:00Z")),
            ("2026-03-29T01:00:00Z", open.clone()),
            ("2026-03-29T01:59:59Z", open.clone()),
            ("2026-03-29T02:00:00Z", wait("2026-03-30T00:30:00Z")),
            // In the night to 25 October there are two: the first counts.
            ("2026-10-25T00:29:59Z", wait("2026-10-25T00:30:00Z")),
            ("2026-10-25T01:29:59Z", open),
            ("2026-10-25T01:30:00Z", wait("2026-10-26T01:30:00Z")),
        ] {
            assert_eq!(told(night, now), said, "{now}");
        }
    }

    #[test]
    fn deny_wins_over_allow_and_the_opening_is_after_both() {
        let both = "  - {allow: \"0 22 * * *\", for: 4h}\n  - {deny: \"30 22 24 12 *\", for: 2d}\n";
        assert_eq!(told(both, "2026-12-24T22:15:00Z"), "changes may happen");
        // The deny ends on the 26th at 22:30, when the nightly window is open.
        assert_eq!(
            told(both, "2026-12-24T22:30:00Z"),
            "changes wait until 2026-12-26T22:30:00Z: deny \"30 22 24 12 *\" for 2d (UTC)"
        );
        let gap = "  - {allow: \"0 22 * * *\", for: 1h}\n  - {deny: \"30 22 24 12 *\", for: 1h}\n";
        assert_eq!(
            told(gap, "2026-12-24T22:45:00Z"),
            "changes wait until 2026-12-25T22:00:00Z: deny \"30 22 24 12 *\" for 1h (UTC)"
        );
    }

    #[test]
    fn windows_that_shut_each_other_out_never_open() {
        let never = "  - {allow: \"0 22 * * *\", for: 1h}\n  - {deny: \"0 0 * * *\", for: 1d}\n";
        let told = told(never, "2026-01-01T12:00:00Z");
        assert_eq!(told, "changes wait, and no window opens: deny \"0 0 * * *\" for 1d (UTC)");
    }

    #[test]
    fn windows_that_follow_each_other_are_one() {
        let chain = "  - {deny: \"0 * * * *\", for: 1h, zone: UTC}\n";
        assert!(
            told(chain, "2026-01-01T12:30:00Z").starts_with("changes wait, and no window opens")
        );
    }

    #[test]
    fn a_window_concerns_its_stacks_and_hosts_only() {
        let fleet =
            fleet("  - {deny: \"* * * * *\", for: 1h, stacks: [\"sh*\"], hosts: {zone: a}}\n");
        let count = |stack: &str, zone: &str| {
            let stack = fleet.stacks.get(&StackName::parse(stack).unwrap()).unwrap();
            let labels = Labels::from([("zone".to_owned(), zone.to_owned())]);
            of_target(&fleet, stack, &HostName::parse("h").unwrap(), &labels).len()
        };
        assert_eq!((count("shop", "a"), count("shop", "b"), count("blog", "a")), (1, 0, 0));
    }
}
