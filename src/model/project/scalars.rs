//! Byte sizes, durations, modes and ratios, as the canonical model writes them.

use std::fmt;
use std::time::Duration;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes. Written as decimal text, read from numbers or texts such as `1.5gb`; -1 stands for "unlimited".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub i64);

/// A duration. Written and read as Go writes it: `1m30s`; days and weeks are read too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period {
    /// Nanoseconds.
    pub nanos: i64,
}

/// Permission bits. Written as octal text with a leading zero: `0440`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Octal(pub u32);

/// A number with a fraction, in single precision as in the reference.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd)]
pub struct Ratio(pub f32);

// Manifests cannot write what is not a number, so that equality is whole.
impl Eq for Ratio {}

/// How many devices; -1 for all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceCount(pub i64);

impl Period {
    /// The duration; negative ones are zero.
    pub fn as_duration(self) -> Duration {
        Duration::from_nanos(u64::try_from(self.nanos).unwrap_or(0))
    }
}

/// Reads a byte size: a number with an optional fraction, and an optional unit `b`, `k`, `m`, `g`, `t`, `p`
/// with or without `b` or `ib` behind it, in any case, in powers of 1024. `-1` is read as it is.
pub fn parse_bytes(text: &str) -> Option<i64> {
    if text == "-1" {
        return Some(-1);
    }
    let end = text.rfind(|c: char| c.is_ascii_digit() || c == '.')? + 1;
    let (number, unit) = (text.get(..end)?, text.get(end..)?);
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let power = match unit.as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        "p" | "pb" | "pib" => 5,
        _ => return None,
    };
    if number.starts_with('+') {
        return None;
    }
    let size = number.parse::<f64>().ok()? * 1024_f64.powi(power);
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    let bytes = (0.0..9.2e18).contains(&size).then_some(size as i64);
    bytes
}

/// Reads a duration: numbers with optional fractions and units `w`, `d`, `h`, `m`, `s`, `ms`, `us`, `ns`.
/// `None` when it is not one, or longer than 292 years.
pub fn parse_period(text: &str) -> Option<Period> {
    let (sign, mut rest) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (if text.starts_with('-') { -1.0 } else { 1.0 }, rest),
        None => (1.0, text),
    };
    if rest == "0" {
        return Some(Period::default());
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0.0_f64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest.get(..end)?.parse().ok()?;
        rest = rest.get(end..)?;
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = match rest.get(..end)? {
            "ns" => 1.0,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            "d" => 86_400e9,
            "w" => 604_800e9,
            _ => return None,
        };
        rest = rest.get(end..)?;
        total += number * unit;
    }
    if total > 9.2e18 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    let nanos = (sign * total).round() as i64;
    Some(Period { nanos })
}

impl fmt::Display for Period {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.nanos.unsigned_abs();
        if self.nanos < 0 {
            out.write_str("-")?;
        }
        if nanos == 0 {
            return out.write_str("0s");
        }
        if nanos < 1_000 {
            return write!(out, "{nanos}ns");
        }
        if nanos < 1_000_000 {
            return write!(out, "{}\u{b5}s", fraction(nanos, 1_000));
        }
        if nanos < 1_000_000_000 {
            return write!(out, "{}ms", fraction(nanos, 1_000_000));
        }
        let minutes = nanos / 60_000_000_000;
        if minutes >= 60 {
            write!(out, "{}h", minutes / 60)?;
        }
        if minutes > 0 {
            write!(out, "{}m", minutes % 60)?;
        }
        write!(out, "{}s", fraction(nanos % 60_000_000_000, 1_000_000_000))
    }
}

fn fraction(number: u64, unit: u64) -> String {
    let width = unit.ilog10() as usize;
    let text = format!("{}.{:0width$}", number / unit, number % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl fmt::Display for Octal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "0{:o}", self.0)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Octal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Ratio {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let whole = self.0.fract() == 0.0 && self.0.abs() < 1e15;
        #[expect(clippy::cast_possible_truncation, reason = "whole and small enough")]
        if whole {
            serializer.serialize_i64(self.0 as i64)
        } else {
            // The shortest text that means this number, also where it is widened: 0.1 and not 0.10000000149011612.
            let shortest = self.0.to_string().parse();
            serializer.serialize_f64(shortest.unwrap_or(f64::from(self.0)))
        }
    }
}

impl Serialize for DeviceCount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

macro_rules! read_scalar {
    ($kind:ident, $what:literal, $text:expr, $int:expr, $float:expr) => {
        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Reads;
                impl Visitor<'_> for Reads {
                    type Value = $kind;
                    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                        out.write_str($what)
                    }
                    fn visit_str<E: Error>(self, text: &str) -> Result<$kind, E> {
                        let read: fn(&str) -> Option<$kind> = $text;
                        read(text).ok_or_else(|| E::custom(format!("{text:?} is not {}", $what)))
                    }
                    fn visit_i64<E: Error>(self, number: i64) -> Result<$kind, E> {
                        let read: fn(i64) -> Option<$kind> = $int;
                        read(number).ok_or_else(|| E::custom(format!("{number} is not {}", $what)))
                    }
                    fn visit_u64<E: Error>(self, number: u64) -> Result<$kind, E> {
                        match i64::try_from(number) {
                            Ok(number) => self.visit_i64(number),
                            Err(_) => Err(E::custom(format!("{number} is too large"))),
                        }
                    }
                    fn visit_f64<E: Error>(self, number: f64) -> Result<$kind, E> {
                        let read: fn(f64) -> Option<$kind> = $float;
                        read(number).ok_or_else(|| E::custom(format!("{number} is not {}", $what)))
                    }
                }
                deserializer.deserialize_any(Reads)
            }
        }
    };
}

#[expect(clippy::cast_possible_truncation, reason = "single precision is what the reference keeps")]
#[expect(clippy::unnecessary_wraps, reason = "of one shape with `whole`, for the macro below")]
fn single(number: f64) -> Option<Ratio> {
    Some(Ratio(number as f32))
}

read_scalar!(
    Bytes,
    "a byte size such as 512m or 1.5gb",
    |text| parse_bytes(text).map(Bytes),
    |number| Some(Bytes(number)),
    // As in the reference: a number with a fraction or an exponent, without quotes, is no size at all.
    |_| Some(Bytes(0))
);
read_scalar!(Period, "a duration such as 1m30s", parse_period, |_| None, |_| None);
read_scalar!(
    Octal,
    "permission bits in octal such as 0440",
    |text| {
        let digits = text.strip_prefix("0o").unwrap_or(text);
        u32::from_str_radix(digits, 8).ok().map(Octal)
    },
    |number| u32::try_from(number).ok().map(Octal),
    |_| None
);
read_scalar!(
    Ratio,
    "a number",
    |text| text.parse().ok().map(Ratio),
    |number| {
        #[expect(clippy::cast_precision_loss, reason = "ratios are small")]
        let number = number as f64;
        single(number)
    },
    single
);
read_scalar!(
    DeviceCount,
    "a number or \"all\"",
    |text| if text == "all" { Some(DeviceCount(-1)) } else { text.parse().ok().map(DeviceCount) },
    |number| Some(DeviceCount(number)),
    |_| None
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_writes_them() {
        let again = |text: &str| parse_period(text).unwrap().to_string();
        assert_eq!(again("90s"), "1m30s");
        assert_eq!(again("1h"), "1h0m0s");
        assert_eq!(again("1.5h"), "1h30m0s");
        assert_eq!(again("100ms"), "100ms");
        assert_eq!(again("1d"), "24h0m0s");
        assert_eq!(again("1s500ms"), "1.5s");
        assert!(parse_period("10").is_none() && parse_period("").is_none());
    }

    #[test]
    fn byte_sizes_are_powers_of_1024() {
        assert_eq!(parse_bytes("1.5k"), Some(1536));
        assert_eq!(parse_bytes("2GiB"), Some(2 << 30));
        assert_eq!(parse_bytes("12"), Some(12));
        assert_eq!(parse_bytes("x"), None);
        assert_eq!(parse_bytes("1x"), None);
    }
}
