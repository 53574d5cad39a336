//! Address prefixes in CIDR notation (RFC 4632, RFC 4291 2.3), as the network provider takes them.

use std::net::IpAddr;

/// An address prefix whose host bits are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    base: IpAddr,
    length: u32,
}

impl Prefix {
    /// `203.0.113.0/24`, `2001:db8::/32`, or a bare address. `None` where host bits are set, as the service refuses
    /// those too.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (base, length) = match text.split_once('/') {
            None => (text, None),
            Some((_, length)) if length.is_empty() || !length.bytes().all(|b| b.is_ascii_digit()) => {
                return None;
            }
            Some((base, length)) => (base, Some(length.parse::<u32>().ok()?)),
        };
        let base: IpAddr = base.parse().ok()?;
        let length = length.unwrap_or_else(|| width(base));
        let prefix = Self { base, length };
        (length <= width(base) && prefix.masked(base) == bits(base)).then_some(prefix)
    }

    pub(crate) fn is_ipv6(&self) -> bool {
        self.base.is_ipv6()
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv6() == self.is_ipv6() && self.masked(address) == bits(self.base)
    }

    /// Whether all of `other` lies within.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        other.length >= self.length && self.contains(other.base)
    }

    /// Whether any address lies in both.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// The addresses that Azure hands out: the first four and the last are its own ("Are there any restrictions on
    /// using IP addresses within these subnets?", Virtual Network FAQ). At most the first 65,536 of them.
    pub(crate) fn usable(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let size = 1_u128.checked_shl(width(self.base) - self.length).unwrap_or(u128::MAX);
        let (base, six) = (bits(self.base), self.is_ipv6());
        (4..size.saturating_sub(1)).take(65_536).filter_map(move |host| address(base + host, six))
    }

    fn masked(&self, address: IpAddr) -> u128 {
        let host = width(self.base) - self.length;
        bits(address).checked_shr(host).and_then(|kept| kept.checked_shl(host)).unwrap_or(0)
    }
}

fn width(address: IpAddr) -> u32 {
    if address.is_ipv6() { 128 } else { 32 }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

fn address(bits: u128, six: bool) -> Option<IpAddr> {
    if six {
        return Some(std::net::Ipv6Addr::from(bits).into());
    }
    u32::try_from(bits).ok().map(|bits| std::net::Ipv4Addr::from(bits).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_bits_and_odd_lengths_are_no_prefix() {
        for text in [
            "20.20.20.20/16",
            "192.0.2.0/33",
            "192.0.2.0/",
            "192.0.2.0/+8",
            "192.0.2/24",
            "2001:db8::1/32",
            "",
            "x",
        ] {
            assert_eq!(Prefix::parse(text), None, "{text}");
        }
        for text in ["0.0.0.0/0", "::/0", "192.0.2.7", "192.0.2.7/32", "2001:db8::/32", "10.0.0.0/8"] {
            assert!(Prefix::parse(text).is_some(), "{text}");
        }
    }

    #[test]
    fn a_prefix_contains_its_own_family_only() {
        let all = Prefix::parse("0.0.0.0/0").unwrap();
        assert!(all.contains("203.0.113.200".parse().unwrap()));
        assert!(!all.contains("::1".parse().unwrap()));
        let net = Prefix::parse("203.0.113.0/24").unwrap();
        assert!(
            net.contains("203.0.113.255".parse().unwrap()) && !net.contains("203.0.114.0".parse().unwrap())
        );
        assert!(all.covers(&net) && !net.covers(&all) && net.overlaps(&all));
    }

    #[test]
    fn azure_keeps_five_addresses_of_a_subnet() {
        let small = Prefix::parse("10.0.0.0/29").unwrap();
        let usable: Vec<String> = small.usable().map(|a| a.to_string()).collect();
        assert_eq!(usable, ["10.0.0.4", "10.0.0.5", "10.0.0.6"]);
    }
}
