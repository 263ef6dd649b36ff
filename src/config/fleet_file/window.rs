//! When changes may happen: a cron expression says when a window opens, a duration for how long.

use std::fmt;
use std::str::FromStr as _;
use std::time::Duration;

use super::HostSelector;
use crate::model::{StackName, Timestamp, pattern};

/// What a window does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WindowKind {
    /// Changes happen only while it, or another of its kind, is open.
    Allow,
    /// No change happens while it is open, whatever is allowed.
    Deny,
}

/// A time in which changes may, or may not, happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// What it does.
    pub kind: WindowKind,
    /// When it opens.
    pub opens: Cron,
    /// For how long.
    pub length: Duration,
    /// Stacks that it is about, with `*` for any run of characters; empty for all.
    pub stacks: Vec<String>,
    /// Hosts that it is about.
    pub hosts: HostSelector,
}

impl Window {
    /// Whether it is about a stack.
    pub fn concerns(&self, stack: &StackName) -> bool {
        self.stacks.is_empty()
            || self.stacks.iter().any(|pattern| pattern::fits(pattern, stack.as_str()))
    }
}

impl fmt::Display for Window {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            WindowKind::Allow => "allow",
            WindowKind::Deny => "deny",
        };
        let length = crate::config::quantity::duration_text(self.length);
        write!(out, "{kind} {:?} for {length} ({})", self.opens.text, self.opens.zone_name)
    }
}

/// A cron expression with five fields (minute, hour, day of month, month, day of week) in a time zone.
#[derive(Debug, Clone)]
pub struct Cron {
    text: String,
    pattern: croner::Cron,
    zone_name: String,
    zone: jiff::tz::TimeZone,
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.zone_name == other.zone_name
    }
}

impl Eq for Cron {}

/// Why a cron expression or a time zone cannot be used, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronProblem {
    /// The expression.
    #[error("{text:?} is not a cron expression: {why}")]
    Expression {
        /// As given.
        text: String,
        /// Why not.
        why: String,
    },
    /// The time zone.
    #[error("{0:?} is not a time zone")]
    Zone(String),
}

/// From when on an expression must come at least once: any instant would do.
const SOME_TIME: Timestamp = Timestamp::from_millis(1_700_000_000_000);

impl Cron {
    /// Reads an expression such as `0 22 * * 1-5` and a zone such as `Europe/Berlin` (or `UTC`).
    pub fn parse(text: &str, zone: &str) -> Result<Self, CronProblem> {
        let problem = |why: String| CronProblem::Expression { text: text.to_owned(), why };
        if !text.starts_with('@') && text.split_whitespace().count() != 5 {
            let fields = "expected five fields: minute, hour, day of month, month, day of week";
            return Err(problem(fields.to_owned()));
        }
        let pattern = croner::Cron::from_str(text)
            .map_err(|error| problem(error.to_string().trim_end_matches('.').to_lowercase()))?;
        // The bundled database: the host's own would make the answer depend on the host.
        let timezone = jiff::tz::TimeZoneDatabase::bundled()
            .get(zone)
            .map_err(|_unknown| CronProblem::Zone(zone.to_owned()))?;
        let cron =
            Self { text: text.to_owned(), pattern, zone_name: zone.to_owned(), zone: timezone };
        // Said here, and not searched for at each look.
        if cron.next(SOME_TIME).is_none() {
            return Err(problem("it never comes".to_owned()));
        }
        Ok(cron)
    }

    /// The first instant strictly after `after` at which it fires; `None` when it never does again.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let start = self.local(after)?;
        let next = self.pattern.find_next_occurrence(&start, false).ok()?;
        Some(Timestamp::from_millis(next.timestamp().as_millisecond()))
    }

    /// The last instant at or before `now` at which it fired; `None` when it never did.
    pub fn last(&self, now: Timestamp) -> Option<Timestamp> {
        let start = self.local(now)?;
        let last = self.pattern.find_previous_occurrence(&start, true).ok()?;
        Some(Timestamp::from_millis(last.timestamp().as_millisecond()))
    }

    fn local(&self, at: Timestamp) -> Option<jiff::Zoned> {
        let instant = jiff::Timestamp::from_millisecond(at.as_millis()).ok()?;
        Some(instant.to_zoned(self.zone.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn a_time_zone_moves_the_opening_with_its_summer_time() {
        let cron = Cron::parse("0 22 * * *", "Europe/Berlin").unwrap();
        let next = |now| cron.next(at(now)).unwrap().to_string();
        assert_eq!(next("2026-01-10T12:00:00Z"), "2026-01-10T21:00:00Z");
        assert_eq!(next("2026-07-10T12:00:00Z"), "2026-07-10T20:00:00Z");
        assert_eq!(cron.last(at("2026-07-10T20:00:00Z")), Some(at("2026-07-10T20:00:00Z")));
        assert_eq!(cron.last(at("2026-07-10T19:59:59Z")), Some(at("2026-07-09T20:00:00Z")));
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_a_reason() {
        for (text, zone) in [
            ("", "UTC"),
            ("0 22 * *", "UTC"),
            ("0 0 22 * * *", "UTC"),
            ("0 25 * * *", "UTC"),
            ("never", "UTC"),
            ("0 0 31 2 *", "UTC"),
            ("0 22 * * *", "Europe/Atlantis"),
        ] {
            assert!(Cron::parse(text, zone).is_err(), "{text} {zone}");
        }
        assert!(Cron::parse("@daily", "UTC").is_ok());
    }

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (pattern, text, is_match) in [
            ("shop", "shop", true),
            ("shop", "shop2", false),
            ("shop*", "shop", true),
            ("*-test", "a-test-test", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxcyyb", false),
            ("*", "", true),
        ] {
            assert_eq!(pattern::fits(pattern, text), is_match, "{pattern} {text}");
        }
    }
}
