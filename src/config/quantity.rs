//! Durations and sizes as people write them.

use std::fmt::Write as _;
use std::time::Duration;

/// What a duration looks like, for messages.
pub const DURATION_EXAMPLE: &str = "a duration such as `60s`, `5m` or `1h30m`";
/// What a size looks like, for messages.
pub const SIZE_EXAMPLE: &str = "a size such as `512m` or `4g`";

/// Reads `60s`, `1h30m`, `500ms`, `2d`: numbers with a unit each (`ms`, `s`, `m`, `h`, `d`, `w`), in any order, each
/// unit once. A bare number has no unit and is not a duration, except `0`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut total = 0_u64;
    let mut seen: Vec<&str> = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = split_where(rest, |c| !c.is_ascii_digit());
        let (unit, after) = split_where(after, |c| c.is_ascii_digit());
        let millis = number.parse::<u64>().ok()?.checked_mul(unit_millis(unit)?)?;
        if seen.contains(&unit) {
            return None;
        }
        seen.push(unit);
        total = total.checked_add(millis)?;
        rest = after;
    }
    (!seen.is_empty()).then(|| Duration::from_millis(total))
}

fn split_where(text: &str, ends: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(ends).unwrap_or(text.len()))
}

fn unit_millis(unit: &str) -> Option<u64> {
    Some(match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 604_800_000,
        _ => return None,
    })
}

/// Writes a duration so that `parse_duration` reads it back: `1h30m`, `60s` as `1m`, `0s`.
pub fn duration_text(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, millis) in
        [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)]
    {
        if millis <= rest {
            // Writing to a string cannot fail.
            write!(text, "{}{unit}", rest / millis).unwrap_or_default();
            rest %= millis;
        }
    }
    text
}

/// Reads a size in bytes: a number and `b`, `k`, `m`, `g` or `t` (with or without a further `b` or `ib`), in powers
/// of 1024 as Compose has them; a bare number is bytes.
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_where(text, |c| !c.is_ascii_digit());
    let shift = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// Reads a decimal number without sign or exponent as thousandths: `1.5` is 1500, `2` is 2000.
pub fn parse_thousandths(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || 3 < fraction.len() {
        return None;
    }
    format!("{whole}{fraction:0<3}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_units() {
        let millis = |text| parse_duration(text).map(|duration| duration.as_millis());
        assert_eq!(millis("60s"), Some(60_000));
        assert_eq!(millis("1h30m"), Some(5_400_000));
        assert_eq!(millis("500ms"), Some(500));
        assert_eq!(millis("2d"), Some(172_800_000));
        assert_eq!(millis("1m500ms"), Some(60_500));
        assert_eq!(millis("0"), Some(0));
        for wrong in ["", "60", "s", "1x", "1h 30m", "-5s", "1.5h", "5m5m", "99999999999999999w"] {
            assert_eq!(millis(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn printed_durations_read_back_as_themselves() {
        for millis in [0, 1, 999, 1_000, 61_000, 3_600_000, 90_061_001, 604_800_000] {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse_duration(&duration_text(duration)), Some(duration));
        }
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(parse_size("512m"), Some(512 << 20));
        assert_eq!(parse_size("4GiB"), Some(4 << 30));
        assert_eq!(parse_size("1024"), Some(1024));
        assert_eq!(parse_size("4x"), None);
        assert_eq!(parse_size("m"), None);
    }

    #[test]
    fn decimals_are_thousandths() {
        assert_eq!(parse_thousandths("1.5"), Some(1_500));
        assert_eq!(parse_thousandths("2"), Some(2_000));
        assert_eq!(parse_thousandths("0.125"), Some(125));
        for wrong in ["", ".5", "1.0001", "-1", "1e3", "1,5"] {
            assert_eq!(parse_thousandths(wrong), None, "{wrong}");
        }
    }
}
