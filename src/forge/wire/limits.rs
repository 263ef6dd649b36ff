//! How long a forge asks us to wait. Pure.

use std::time::Duration;

use http::HeaderMap;
use jiff::fmt::rfc2822;

use crate::model::Timestamp;

/// No wait is longer: GitHub's window. A forge that asks for more is asked again after this.
const LONGEST: Duration = Duration::from_hours(1);

/// GitHub's documentation: wait at least a minute after a secondary limit.
const SECONDARY: Duration = Duration::from_mins(1);

/// How long to wait after an answer, if it says that there were too many requests. `now` is only used where the
/// answer has no `Date` of its own.
pub(super) fn wait(code: u16, headers: &HeaderMap, body: &str, now: Timestamp) -> Option<Duration> {
    if !matches!(code, 403 | 429 | 503) {
        return None;
    }
    let now = text(headers, "date").and_then(http_date).unwrap_or(now);
    let told = text(headers, "retry-after").and_then(|value| retry_after(value, now));
    if let Some(told) = told {
        return Some(told.clamp(Duration::from_secs(1), LONGEST));
    }
    let left =
        text(headers, "x-ratelimit-remaining").or_else(|| text(headers, "ratelimit-remaining"));
    let reset = text(headers, "x-ratelimit-reset").or_else(|| text(headers, "ratelimit-reset"));
    if left == Some("0")
        && let Some(reset) = reset.and_then(|value| value.parse::<i64>().ok())
    {
        let until = Timestamp::from_millis(reset.saturating_mul(1000));
        return Some(until.since(now).clamp(Duration::from_secs(1), LONGEST));
    }
    let body = body.to_ascii_lowercase();
    let said = body.contains("rate limit") || body.contains("abuse detection");
    (code == 429 || (code == 403 && said)).then_some(SECONDARY)
}

fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    value
        .parse()
        .map(Duration::from_secs)
        .ok()
        .or_else(|| http_date(value).map(|until| until.since(now)))
}

fn http_date(value: &str) -> Option<Timestamp> {
    let instant = rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(Timestamp::from_millis(instant.as_millisecond()))
}

/// A header's text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Status, headers, body, seconds to wait.
    type Case<'a> = (u16, &'a [(&'static str, &'static str)], &'a str, Option<u64>);

    #[test]
    fn the_forge_says_how_long_to_wait_in_many_ways() {
        let now = Timestamp::from_millis(1_795_219_200_000);
        let cases: [Case<'_>; 12] = [
            (429, &[("retry-after", "7")], "", Some(7)),
            (429, &[], "", Some(60)),
            (403, &[("retry-after", "30")], "", Some(30)),
            (
                403,
                &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795219320")],
                "",
                Some(120),
            ),
            (403, &[], "You have exceeded a secondary rate limit.", Some(60)),
            (403, &[], "You have triggered an abuse detection mechanism.", Some(60)),
            (403, &[], "Resource not accessible by integration", None),
            (429, &[("ratelimit-remaining", "0"), ("ratelimit-reset", "1795219210")], "", Some(10)),
            (
                429,
                &[
                    ("retry-after", "Sat, 21 Nov 2026 00:00:05 GMT"),
                    ("date", "Sat, 21 Nov 2026 00:00:00 GMT"),
                ],
                "",
                Some(5),
            ),
            (429, &[("retry-after", "999999")], "", Some(3600)),
            (503, &[], "", None),
            (503, &[("retry-after", "0")], "", Some(1)),
        ];
        for (code, pairs, body, seconds) in cases {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(http::HeaderName::from_static(name), value.parse().unwrap());
            }
            assert_eq!(
                wait(code, &headers, body, now),
                seconds.map(Duration::from_secs),
                "{code} {pairs:?} {body}"
            );
        }
    }
}
