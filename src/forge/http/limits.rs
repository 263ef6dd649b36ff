//! How long a forge asks us to wait. Pure.

use std::time::Duration;

use http::HeaderMap;
use jiff::fmt::rfc2822;

use crate::model::Timestamp;

/// No wait is longer: GitHub's window. A forge that asks for more is asked again after this.
const LONGEST: Duration = Duration::from_hours(1);

/// Where a forge does not say how long: GitHub's documentation asks for at least a minute after a secondary limit.
const SECONDARY: Duration = Duration::from_mins(1);

/// How long to wait after an answer, if it says that there were too many requests: in the words that all forges share,
/// or in the forge's own (`told`). `now` is only used where the answer has no `Date` of its own.
pub(super) fn wait(
    code: u16,
    headers: &HeaderMap,
    (body, told): (&str, impl Fn(u16, &str) -> bool),
    now: Timestamp,
) -> Option<Duration> {
    let body = body.to_ascii_lowercase();
    if told(code, &body) {
        return Some(asked(headers, now).unwrap_or(SECONDARY));
    }
    if !matches!(code, 403 | 429) {
        return None;
    }
    if let Some(told) = asked(headers, now) {
        return Some(told);
    }
    let now = text(headers, "date").and_then(http_date).unwrap_or(now);
    let left =
        text(headers, "x-ratelimit-remaining").or_else(|| text(headers, "ratelimit-remaining"));
    let reset = text(headers, "x-ratelimit-reset").or_else(|| text(headers, "ratelimit-reset"));
    if left == Some("0")
        && let Some(reset) = reset.and_then(|value| value.parse::<i64>().ok())
    {
        let until = Timestamp::from_millis(reset.saturating_mul(1000));
        return Some(until.since(now).clamp(Duration::from_secs(1), LONGEST));
    }
    (code == 429 || body.contains("rate limit")).then_some(SECONDARY)
}

/// What `Retry-After` asks for, whatever the answer is.
pub(super) fn asked(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let now = text(headers, "date").and_then(http_date).unwrap_or(now);
    let told = text(headers, "retry-after").and_then(|value| retry_after(value, now));
    told.map(|told| told.clamp(Duration::from_secs(1), LONGEST))
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
            (422, &[], "was submitted too quickly", Some(60)),
            (422, &[("retry-after", "5")], "Validation Failed", None),
        ];
        for (code, pairs, body, seconds) in cases {
            let told = crate::forge::github::ASKS_TO_WAIT;
            assert_eq!(
                wait(code, &headers(pairs), (body, told), now),
                seconds.map(Duration::from_secs),
                "{code} {pairs:?} {body}"
            );
        }
    }

    #[test]
    fn a_server_that_fails_may_ask_to_be_left_alone_too() {
        let now = Timestamp::from_millis(1_795_219_200_000);
        let date = ("date", "Sat, 21 Nov 2026 00:00:00 GMT");
        let until = ("retry-after", "Sat, 21 Nov 2026 00:02:00 GMT");
        let told = |pairs: &[(&'static str, &'static str)]| {
            asked(&headers(pairs), now).map(|wait| wait.as_secs())
        };
        assert_eq!(told(&[]), None);
        assert_eq!(told(&[("retry-after", "0")]), Some(1));
        assert_eq!(told(&[("retry-after", "90")]), Some(90));
        assert_eq!(told(&[("retry-after", "soon")]), None);
        assert_eq!(told(&[until, date]), Some(120));
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(http::HeaderName::from_static(name), value.parse().unwrap());
        }
        headers
    }
}
