//! A key that was divided among groups: Shamir's scheme over GF(2⁸), as Vault and SOPS write its shares.
//!
//! A share is the value of one polynomial a byte, then the place at which they were taken. The field is that of AES.

/// The secret of these shares, which must be as many as were asked for when it was divided. `None` where shares are of
/// different lengths, empty, or two of them are from one place.
pub(super) fn combine(shares: &[Vec<u8>]) -> Option<Vec<u8>> {
    let length = shares.first()?.len();
    if length < 2 || shares.iter().any(|share| share.len() != length) {
        return None;
    }
    let places: Vec<u8> = shares.iter().filter_map(|share| share.last().copied()).collect();
    let mut sorted = places.clone();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.len() != places.len() || sorted.contains(&0) {
        return None;
    }
    let weights: Vec<u8> = places.iter().map(|own| weight(*own, &places)).collect();
    let byte = |at: usize| {
        let parts = shares.iter().zip(&weights);
        parts.fold(0, |sum, (share, weight)| {
            sum ^ times(share.get(at).copied().unwrap_or_default(), *weight)
        })
    };
    Some((0..length - 1).map(byte).collect())
}

/// Lagrange's weight of a place for the value at 0.
fn weight(own: u8, places: &[u8]) -> u8 {
    let others = places.iter().filter(|place| **place != own);
    others.fold(1, |weight, other| times(weight, times(*other, inverse(*other ^ own))))
}

/// The product in GF(2⁸) modulo x⁸+x⁴+x³+x+1. It takes the same time for all values.
fn times(a: u8, b: u8) -> u8 {
    let (mut a, mut b, mut product) = (a, b, 0_u8);
    for _ in 0..8 {
        product ^= a & (b & 1).wrapping_neg();
        let carry = (a >> 7).wrapping_neg();
        a = (a << 1) ^ (carry & 0x1b);
        b >>= 1;
    }
    product
}

/// The number whose product with this one is 1: its 254th power.
fn inverse(a: u8) -> u8 {
    (0..253).fold(a, |power, _| times(power, a))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_but_zero_has_an_inverse() {
        for number in 1..=u8::MAX {
            assert_eq!(times(number, inverse(number)), 1, "{number}");
        }
        // From FIPS 197, 4.2.
        assert_eq!(times(0x57, 0x83), 0xc1);
    }

    #[test]
    fn any_two_of_three_shares_give_the_secret_back() {
        // 0x07 + 9x, and 0xc8 + 3x, at 1, 2 and 5.
        let share = |x: u8| vec![0x07 ^ times(9, x), 0xc8 ^ times(3, x), x];
        let shares = [share(1), share(2), share(5)];
        for left_out in 0..3 {
            let mut two = shares.to_vec();
            two.remove(left_out);
            assert_eq!(combine(&two), Some(vec![0x07, 0xc8]));
        }
        assert_ne!(combine(&shares[..1]), Some(vec![0x07, 0xc8]));
        assert_eq!(combine(&[share(1), share(1)]), None);
        assert_eq!(combine(&[share(1), vec![1]]), None);
        assert_eq!(combine(&[]), None);
    }
}
