//! Dates in YAML, as the reader that SOPS uses takes them: a plain text of one of four forms is an instant.
//!
//! The forms are those of `gopkg.in/yaml.v3`; a fraction counts to the nanosecond.

use std::fmt::Write as _;

/// The instant that a plain text means, as RFC 3339 writes it in the fewest characters; `None` where it is a text.
pub(super) fn meant(text: &str) -> Option<String> {
    let mut rest = text;
    let year = digits(&mut rest, 4, 4)?;
    let month = after(&mut rest, b"-", 1, 2)?;
    let day = after(&mut rest, b"-", 1, 2)?;
    if !(1..=12).contains(&month) || day < 1 || days(year, month) < day {
        return None;
    }
    let mut out = format!("{year:04}-{month:02}-{day:02}T");
    if rest.is_empty() {
        return Some(out + "00:00:00Z");
    }
    let has_zone = !rest.starts_with(' ');
    let hour = after(&mut rest, b"Tt ", 1, 2)?;
    let minute = after(&mut rest, b":", 1, 2)?;
    let second = after(&mut rest, b":", 1, 2)?;
    if 23 < hour || 59 < minute || 59 < second {
        return None;
    }
    let mut fraction = "";
    if let Some(behind) = rest.strip_prefix(['.', ',']) {
        rest = behind.trim_start_matches(|c: char| c.is_ascii_digit());
        let figures = behind.get(..behind.len() - rest.len()).filter(|it| !it.is_empty())?;
        fraction = figures.get(..9).unwrap_or(figures).trim_end_matches('0');
    }
    let zone = match (has_zone, rest) {
        (false, "") | (true, "Z") => "Z".to_owned(),
        (true, zone) => zone_of(zone)?,
        (false, _) => return None,
    };
    let point = if fraction.is_empty() { "" } else { "." };
    write!(out, "{hour:02}:{minute:02}:{second:02}{point}{fraction}{zone}").ok()?;
    Some(out)
}

fn zone_of(text: &str) -> Option<String> {
    let mut rest = text;
    let sign = rest.chars().next().filter(|sign| matches!(sign, '+' | '-'))?;
    let hours = after(&mut rest, b"+-", 2, 2)?;
    let minutes = after(&mut rest, b":", 2, 2)?;
    if !rest.is_empty() || 24 < hours || 59 < minutes {
        return None;
    }
    // No distance from UTC is written as none.
    Some(if (hours, minutes) == (0, 0) {
        "Z".to_owned()
    } else {
        format!("{sign}{hours:02}:{minutes:02}")
    })
}

/// A number behind one of these signs.
fn after(rest: &mut &str, signs: &[u8], least: usize, most: usize) -> Option<u32> {
    let first = rest.bytes().next().filter(|byte| signs.contains(byte))?;
    *rest = rest.get(usize::from(first.is_ascii())..)?;
    digits(rest, least, most)
}

fn digits(rest: &mut &str, least: usize, most: usize) -> Option<u32> {
    let count = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if count < least {
        return None;
    }
    let (number, after) = rest.split_at_checked(count)?;
    *rest = after;
    number.parse().ok()
}

fn days(year: u32, month: u32) -> u32 {
    let leaps = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leaps => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_told_from_texts() {
        for (text, instant) in [
            ("2024-01-31", "2024-01-31T00:00:00Z"),
            ("2024-1-3", "2024-01-03T00:00:00Z"),
            ("2024-02-29T1:2:3.50Z", "2024-02-29T01:02:03.5Z"),
            ("2024-02-29T1:2:3.000Z", "2024-02-29T01:02:03Z"),
            ("2024-02-29t01:02:03+02:00", "2024-02-29T01:02:03+02:00"),
            ("2024-01-31 10:00:00.5", "2024-01-31T10:00:00.5Z"),
            ("2024-01-31T10:00:00+00:00", "2024-01-31T10:00:00Z"),
        ] {
            assert_eq!(meant(text).as_deref(), Some(instant), "{text}");
        }
        for text in [
            "2024-01-31 10:00:00.5 +02:00",
            "2024-01-31 10:00:00Z",
            "2023-02-29",
            "2024-13-01",
            "24-01-01",
            "2024-01-31T10:00",
            "2024-01-311",
            "2024-01-31T10:00:00",
        ] {
            assert_eq!(meant(text), None, "{text}");
        }
    }
}
