//! Whose addresses may come in: one, or a network.
//!
//! Pure.

use std::{net::IpAddr, str::FromStr};

/// Addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net {
    address: IpAddr,
    bits: u32,
}

impl Net {
    /// Whether that address is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let same = |one: u128, other: u128, width: u32| {
            let free = width - self.bits;
            (one ^ other).checked_shr(free).unwrap_or(0) == 0
        };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(one), IpAddr::V4(other)) => {
                same(one.to_bits().into(), other.to_bits().into(), 32)
            }
            (IpAddr::V6(one), IpAddr::V6(other)) => same(one.to_bits(), other.to_bits(), 128),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Net {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected =
            "each is an address such as 192.168.0.10, or a network such as 192.168.0.0/24";
        let (address, bits) = text.split_once('/').unzip();
        let address: IpAddr = address.unwrap_or(text).parse().map_err(|_no_address| expected)?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits: u32 = match bits {
            Some(bits) => bits.parse().map_err(|_no_number| expected)?,
            None => width,
        };
        if bits > width { Err(expected) } else { Ok(Self { address, bits }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_what_begins_as_it_does() {
        let check = |net: &str, address: &str, expected: bool| {
            let net: Net = net.parse().unwrap();
            assert_eq!(net.contains(address.parse().unwrap()), expected, "{net:?} {address}");
        };
        check("192.168.0.0/24", "192.168.0.255", true);
        check("192.168.0.0/24", "192.168.1.0", false);
        check("192.168.0.10", "192.168.0.10", true);
        check("192.168.0.10", "192.168.0.11", false);
        check("0.0.0.0/0", "8.8.8.8", true);
        check("0.0.0.0/0", "::1", false);
        check("192.168.0.0/24", "::ffff:192.168.0.7", true);
        check("fd00::/8", "fd12::1", true);
        check("fd00::/8", "fe80::1", false);
        check("::/0", "fe80::1", true);
        for wrong in ["", "192.168.0.0/33", "::/129", "plc", "10.0.0.0/-1", "10.0.0.0/"] {
            assert!(wrong.parse::<Net>().is_err(), "{wrong}");
        }
    }
}
