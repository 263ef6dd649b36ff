//! Scalars: what unquoted text means.

use std::borrow::Cow;

use super::number::{float_text, parse_float, parse_int};

/// A scalar as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// The text, unquoted and unescaped.
    pub text: String,
    /// Written without quotes, so that it may mean a number, a boolean or null.
    pub is_plain: bool,
}

/// What a scalar means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false` (`yes`, `no`, `on` and `off` are texts).
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// A number.
    Float(f64),
    /// A date or an instant, such as `2024-01-31`.
    Date(&'a str),
    /// Anything else.
    Text(&'a str),
}

impl Value<'_> {
    /// What it is, for messages.
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Date(_) => "a date",
            Self::Text(_) => "a text",
        }
    }

    /// The value as text, numbers and booleans in their shortest form; null is empty.
    pub fn to_text(&self) -> Cow<'_, str> {
        match self {
            Self::Null => Cow::Borrowed(""),
            Self::Bool(true) => Cow::Borrowed("true"),
            Self::Bool(false) => Cow::Borrowed("false"),
            Self::Int(number) => Cow::Owned(number.to_string()),
            Self::Float(number) => Cow::Owned(float_text(*number)),
            Self::Date(text) | Self::Text(text) => Cow::Borrowed(text),
        }
    }
}

impl Scalar {
    /// A scalar written in quotes: a text.
    pub fn quoted(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_plain: false }
    }

    /// A scalar written without quotes.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_plain: true }
    }

    /// What it means.
    pub fn value(&self) -> Value<'_> {
        if self.is_plain { resolve(&self.text) } else { Value::Text(&self.text) }
    }
}

fn resolve(text: &str) -> Value<'_> {
    let Some(first) = text.bytes().next() else { return Value::Null };
    match first {
        b'~' | b'n' | b'N' if matches!(text, "~" | "null" | "Null" | "NULL") => Value::Null,
        b't' | b'T' if matches!(text, "true" | "True" | "TRUE") => Value::Bool(true),
        b'f' | b'F' if matches!(text, "false" | "False" | "FALSE") => Value::Bool(false),
        b'0'..=b'9' | b'+' | b'-' | b'.' => resolve_number(text),
        _ => Value::Text(text),
    }
}

fn resolve_number(text: &str) -> Value<'_> {
    if let Some(number) = parse_int(text) {
        return Value::Int(number);
    }
    if let Some(number) = parse_float(text) {
        return Value::Float(number);
    }
    if is_date(text) { Value::Date(text) } else { Value::Text(text) }
}

/// `2024-1-31`, or a date followed by a time of day as YAML 1.1 writes timestamps.
fn is_date(text: &str) -> bool {
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (text.get(..at).unwrap_or(text), text.get(at + 1..)),
        None => (text, None),
    };
    let parts: Vec<&str> = date.split('-').collect();
    let [year, month, day] = parts.as_slice() else { return false };
    let number = |part: &str, most: u32| {
        part.len() <= 4
            && !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_digit())
            && part.parse::<u32>().is_ok_and(|n| n <= most)
    };
    let dated = year.len() == 4 && number(year, 9999) && number(month, 12) && number(day, 31);
    dated && time.is_none_or(|time| is_time(time.trim_start()))
}

fn is_time(text: &str) -> bool {
    let clock = text.trim_end_matches(|c: char| c.is_ascii_digit() || "Z+-: .".contains(c));
    clock.is_empty() && text.split(':').count() >= 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unquoted_text_means_what_go_yaml_takes_it_for() {
        let meaning = |text: &str| format!("{:?}", Scalar::plain(text).value());
        assert_eq!(meaning(""), "Null");
        assert_eq!(meaning("yes"), "Text(\"yes\")");
        assert_eq!(meaning("True"), "Bool(true)");
        assert_eq!(meaning("0440"), "Int(288)");
        assert_eq!(meaning("0o440"), "Int(288)");
        assert_eq!(meaning("1_000"), "Int(1000)");
        assert_eq!(meaning("22:22"), "Text(\"22:22\")");
        assert_eq!(meaning("3.10"), "Float(3.1)");
        assert_eq!(meaning("1e3"), "Float(1000.0)");
        assert_eq!(meaning("089"), "Float(89.0)");
        assert_eq!(meaning("2024-01-31"), "Date(\"2024-01-31\")");
        assert_eq!(meaning("127.0.0.1"), "Text(\"127.0.0.1\")");
        assert_eq!(meaning("-"), "Text(\"-\")");
    }
}
