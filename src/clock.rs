//! The one place that reads the clock.

use crate::model::Timestamp;

/// The time now.
#[expect(clippy::disallowed_methods, reason = "this is the door through which time comes in")]
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let millis = since.map_or(0, |since| since.as_millis());
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}
