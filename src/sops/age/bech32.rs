//! Bech32 without its limit of length, as age writes keys.
//! <https://github.com/bitcoin/bips/blob/master/bip-0173.mediawiki>

const DIGITS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// The human part in lower case, and the data; `None` where the check digits do not hold.
pub(super) fn decode(text: &str) -> Option<(String, Vec<u8>)> {
    let is_mixed = text.bytes().any(|b| b.is_ascii_lowercase())
        && text.bytes().any(|b| b.is_ascii_uppercase());
    if is_mixed || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let text = text.to_ascii_lowercase();
    let (human, data) =
        text.rsplit_once('1').filter(|(human, data)| !human.is_empty() && data.len() >= 6)?;
    let digit = |byte: u8| DIGITS.iter().position(|digit| *digit == byte);
    let values: Vec<u8> = data
        .bytes()
        .map(|byte| digit(byte).and_then(|at| u8::try_from(at).ok()))
        .collect::<Option<_>>()?;
    let high = human.bytes().map(|byte| byte >> 5);
    let low = human.bytes().map(|byte| byte & 31);
    let whole = high.chain([0]).chain(low).chain(values.iter().copied());
    if whole.fold(1, step) != 1 {
        return None;
    }
    let payload = values.get(..values.len() - 6)?;
    Some((human.to_owned(), bytes(payload)?))
}

/// One step of the check: a polynomial over GF(32), thirty bits wide.
fn step(check: u32, value: u8) -> u32 {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let top = check >> 25;
    let next = (check & 0x01ff_ffff) << 5 ^ u32::from(value);
    let parts = GENERATOR.iter().enumerate().filter(|(bit, _)| top >> bit & 1 == 1);
    parts.fold(next, |all, (_, part)| all ^ part)
}

/// Groups of five bits as bytes. What is left over must be zero, and less than a group.
fn bytes(values: &[u8]) -> Option<Vec<u8>> {
    let (mut own, mut held, mut bits) = (Vec::new(), 0_u32, 0_u32);
    for value in values {
        held = (held << 5 | u32::from(*value)) & 0xfff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            own.push(u8::try_from(held >> bits & 0xff).ok()?);
        }
    }
    let left = held & ((1 << bits) - 1);
    (bits < 5 && left == 0).then_some(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_mistyped_ones_are_not() {
        let key = "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQUMV4RJ";
        let recipient = "age1wmyva2yntuav2d7pmqmnan02ksfup7x0jlr587hapk2w8cxy6u0qkmr6ka";
        let (human, data) = decode(recipient).unwrap();
        assert_eq!((human.as_str(), data.len()), ("age", 32));
        assert!(decode(&recipient.replace("wmy", "wmz")).is_none());
        assert!(decode(&recipient.replace("age1w", "age1W")).is_none());
        assert!(decode(key).is_none());
        for bad in ["", "1", "age1", "age1qqqqq", "age", "\u{e9}1qqqqqqq"] {
            assert!(decode(bad).is_none(), "{bad}");
        }
        // From BIP 173.
        assert!(decode("A12UEL5L").is_some());
        assert!(decode("abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw").is_some());
    }
}
