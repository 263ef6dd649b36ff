//! Address ranges, as far as it matters whether two of them meet.

use std::net::IpAddr;

use super::NetworkSpec;

impl NetworkSpec {
    /// The address ranges that it names, in CIDR form.
    pub fn subnets(&self) -> impl Iterator<Item = &str> {
        let pools = self.ipam.iter().flat_map(|ipam| &ipam.config);
        pools.map(|pool| pool.subnet.as_str()).filter(|subnet| !subnet.is_empty())
    }
}

/// Whether two ranges in CIDR form have an address in common. Text that is none meets nothing.
pub fn subnets_meet(one: &str, other: &str) -> bool {
    let (Some((a, a_bits)), Some((b, b_bits))) = (range(one), range(other)) else { return false };
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let shared = a_bits.min(b_bits).min(32);
            let mask = u32::MAX.checked_shl(32 - shared).unwrap_or(0);
            a.to_bits() & mask == b.to_bits() & mask
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let shared = a_bits.min(b_bits).min(128);
            let mask = u128::MAX.checked_shl(128 - shared).unwrap_or(0);
            a.to_bits() & mask == b.to_bits() & mask
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

fn range(text: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = text.split_once('/')?;
    Some((address.parse().ok()?, bits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_meet_where_one_holds_the_other() {
        for (one, other, meet) in [
            ("10.0.0.0/8", "10.9.8.0/24", true),
            ("10.9.8.0/24", "10.0.0.0/8", true),
            ("10.9.8.0/24", "10.9.9.0/24", false),
            ("10.9.8.0/25", "10.9.8.128/25", false),
            ("0.0.0.0/0", "192.168.0.0/16", true),
            ("fd00::/8", "fd12:3456::/32", true),
            ("fd00::/64", "fd00:0:0:1::/64", false),
            ("fd00::/64", "10.0.0.0/8", false),
            ("nonsense", "10.0.0.0/8", false),
            ("10.0.0.1/32", "10.0.0.1/32", true),
        ] {
            assert_eq!(subnets_meet(one, other), meet, "{one} {other}");
        }
    }
}
