//! Numbers as Go reads and writes them.

/// A whole number: decimal, `0x`, `0o`, `0b`, or octal by a leading zero; underscores are skipped.
pub fn parse_int(text: &str) -> Option<i128> {
    let cleaned;
    let text = if text.contains('_') {
        cleaned = text.replace('_', "");
        cleaned.as_str()
    } else {
        text
    };
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, digits.get(2..)?),
        [b'0', b'o' | b'O', ..] => (8, digits.get(2..)?),
        [b'0', b'b' | b'B', ..] => (2, digits.get(2..)?),
        [b'0', _, ..] => (8, digits.get(1..)?),
        _ => (10, digits),
    };
    if digits.is_empty() || digits.len() > 70 || !digits.bytes().all(|b| b.is_ascii_alphanumeric())
    {
        return None;
    }
    let number = i128::from_str_radix(digits, radix).ok()?;
    let number = if negative { -number } else { number };
    let fits = number >= i128::from(i64::MIN) && number <= i128::from(u64::MAX);
    fits.then_some(number)
}

/// A number with a fraction or an exponent, an infinity or not-a-number, as YAML writes them.
pub fn parse_float(text: &str) -> Option<f64> {
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(body, ".inf" | ".Inf" | ".INF") {
        return Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    if matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(f64::NAN);
    }
    let mut digits = 0_usize;
    let mut dots = 0_usize;
    let mut rest = body;
    while let Some(first) = rest.bytes().next() {
        match first {
            b'0'..=b'9' => digits += 1,
            b'.' if dots == 0 => dots += 1,
            _ => break,
        }
        rest = rest.get(1..)?;
    }
    if digits == 0 {
        return None;
    }
    if !rest.is_empty() {
        let exponent = rest.strip_prefix(['e', 'E'])?;
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        if exponent.is_empty() || !exponent.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
    }
    // What is too large for a number is a text.
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// A number as Go prints it: `3.1`, `2`, `1e+06`.
pub fn float_text(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i32 = exponent.parse().unwrap_or(0);
    if number != 0.0 && !(-4..6).contains(&power) {
        let sign = if power < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", power.unsigned_abs());
    }
    format!("{number}")
}
