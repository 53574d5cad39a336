//! Whom a network security group lets in.
//!
//! After "How network security groups filter network traffic": rules are asked in the order of their priority, the
//! first that fits decides, and what fits none is refused by the rules that Azure puts at the end. A group sees a
//! connection after the load balancer has translated it: the port is the machine's, the source is the client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Network, Protocol, SecurityRule, Source};

/// A connection to be judged, from everything that `source` stands for.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'v> {
    /// Where it comes from.
    pub source: &'v Source,
    /// Its protocol.
    pub protocol: Protocol,
    /// The port on the machine.
    pub port: u16,
    /// The machine's private address, where it is known.
    pub machine: Option<IpAddr>,
}

/// The rule that decides over all of `visit`; `None` leaves it to the rules at the end, which refuse.
///
/// A rule that fits a part of the source only is passed over: a list of blocked networks before an open door does
/// not close it.
pub fn decides<'r>(
    rules: impl IntoIterator<Item = &'r SecurityRule>,
    visit: Visit<'_>,
) -> Option<&'r SecurityRule> {
    rules.into_iter().filter(|rule| rule.fits(visit)).min_by_key(|rule| rule.priority)
}

impl SecurityRule {
    /// Whether the rule is about all of `visit`.
    #[must_use]
    pub fn fits(&self, visit: Visit<'_>) -> bool {
        // A refusal of some source ports refuses nobody, since a client's port is any.
        self.inbound
            && self.any_source_port
            && self.protocol.is_none_or(|protocol| protocol == visit.protocol)
            && self.ports.iter().any(|ports| ports.contains(visit.port))
            && self.destinations.iter().any(|destination| destination.reaches(visit.machine))
            && self.sources.iter().any(|source| source.covers(visit.source))
    }
}

impl Source {
    /// Whether everything in `other` is in this as well, as far as names allow to tell.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tag(tag), _) if tag == ANY => true,
            (Self::Network(all), Self::Tag(tag)) => {
                all.is_everything() && (tag.eq_ignore_ascii_case(INTERNET) || tag == ANY)
            }
            (Self::Network(wide), Self::Network(narrow)) => wide.contains(narrow),
            (Self::Tag(tag), Self::Network(network)) => {
                tag.eq_ignore_ascii_case(INTERNET) && !is_private(network)
            }
            (Self::Tag(tag), Self::Tag(other)) => tag.eq_ignore_ascii_case(other),
        }
    }

    /// As a destination: whether the machine is in it.
    fn reaches(&self, machine: Option<IpAddr>) -> bool {
        match self {
            Self::Tag(tag) => tag == ANY || tag.eq_ignore_ascii_case(VIRTUAL_NETWORK),
            Self::Network(network) => {
                network.is_everything()
                    || machine.is_some_and(|machine| network.contains(&Network::of(machine)))
            }
        }
    }
}

/// Whether `sources` together are everybody: by a name for it, or as networks that leave nobody of a family out.
#[must_use]
pub fn is_everybody(sources: &[Source]) -> bool {
    let internet = Source::Tag(INTERNET.to_owned());
    let networks: Vec<&Network> = sources
        .iter()
        .filter_map(|source| match source {
            Source::Network(network) => Some(network),
            Source::Tag(_) => None,
        })
        .collect();
    let everything = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    sources.iter().any(|source| source.covers(&internet))
        || everything.iter().any(|address| leaves_nobody_out(&Network::around(*address, 0), &networks))
}

/// Whether every address of `network` is in one of `networks`.
fn leaves_nobody_out(network: &Network, networks: &[&Network]) -> bool {
    if networks.iter().any(|other| other.contains(network)) {
        return true;
    }
    let inside: Vec<&Network> = networks.iter().filter(|other| network.contains(other)).copied().collect();
    !inside.is_empty()
        && network.halves().is_some_and(|halves| halves.iter().all(|half| leaves_nobody_out(half, &inside)))
}

impl Network {
    /// The network of one address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self::around(address, if address.is_ipv4() { 32 } else { 128 })
    }
}

/// Whether `network` is not part of what Azure calls the internet (RFC 1918, RFC 6598, RFC 4193).
fn is_private(network: &Network) -> bool {
    match network.address() {
        IpAddr::V4(v4) => v4.is_private() || (v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64),
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

/// The source and destination of everything.
pub const ANY: &str = "*";
const INTERNET: &str = super::INTERNET_TAG;
const VIRTUAL_NETWORK: &str = "VirtualNetwork";

#[cfg(test)]
mod tests {
    use super::super::Ports;
    use super::*;

    fn rule(name: &str, priority: u16, allow: bool, source: &str, port: u16) -> SecurityRule {
        SecurityRule {
            name: name.into(),
            priority,
            inbound: true,
            allow,
            protocol: Some(Protocol::Tcp),
            sources: vec![Source::from(source.to_owned())],
            any_source_port: true,
            destinations: vec![Source::Tag(ANY.into())],
            ports: vec![Ports::one(port)],
        }
    }

    fn decided<'r>(rules: &'r [SecurityRule], source: &str) -> Option<&'r str> {
        let source = Source::from(source.to_owned());
        let visit = Visit { source: &source, protocol: Protocol::Tcp, port: 3389, machine: None };
        decides(rules, visit).map(|rule| rule.name.as_str())
    }

    #[test]
    fn the_first_that_fits_all_of_it_decides() {
        let rules = [
            rule("late", 400, true, "*", 3389),
            rule("ssh", 100, true, "*", 22),
            rule("blocked", 200, false, "203.0.113.128/25", 3389),
            rule("office", 300, true, "203.0.113.0/24", 3389),
        ];
        assert_eq!(decided(&rules, "203.0.113.0/24"), Some("office"));
        assert_eq!(decided(&rules, "203.0.113.200/32"), Some("blocked"));
        assert_eq!(decided(&rules, "Internet"), Some("late"));
        assert_eq!(decided(&rules[1..2], "203.0.113.0/24"), None);
    }

    #[test]
    fn the_internet_is_what_is_not_private() {
        let rules = [rule("net", 100, true, "internet", 3389)];
        assert_eq!(decided(&rules, "198.51.100.0/24"), Some("net"));
        assert_eq!(decided(&rules, "10.0.0.0/8"), None);
        assert_eq!(decided(&rules, "100.64.0.0/10"), None);
        assert_eq!(decided(&[rule("v4", 100, true, "0.0.0.0/0", 3389)], "Internet"), Some("v4"));
    }

    #[test]
    fn everybody_may_be_spelled_in_parts() {
        let everybody = |sources: &[&str]| {
            let sources: Vec<Source> =
                sources.iter().map(|source| Source::from((*source).to_owned())).collect();
            is_everybody(&sources)
        };
        for all in [&["*"][..], &["internet"], &["0.0.0.0/0"], &["::/0"], &["0.0.0.0/1", "128.0.0.0/1"]] {
            assert!(everybody(all), "{all:?}");
        }
        assert!(everybody(&["128.0.0.0/2", "0.0.0.0/1", "AzureCloud", "192.0.0.0/2"]));
        for some in
            [&[][..], &["AzureCloud"], &["0.0.0.0/1", "128.0.0.0/2"], &["203.0.113.7/32"], &["8000::/1"]]
        {
            assert!(!everybody(some), "{some:?}");
        }
    }

    #[test]
    fn a_destination_counts_where_the_machine_is_in_it() {
        let mut to = rule("to", 100, true, "*", 3389);
        to.destinations = vec![Source::from("10.0.0.0/24".to_owned())];
        let source = Source::Tag(ANY.into());
        let visit =
            |machine: Option<IpAddr>| Visit { source: &source, protocol: Protocol::Tcp, port: 3389, machine };
        assert!(to.fits(visit(Some([10, 0, 0, 4].into()))));
        assert!(!to.fits(visit(Some([10, 0, 1, 4].into()))));
        assert!(!to.fits(visit(None)));
        to.destinations = Vec::new();
        assert!(!to.fits(visit(None)), "application security groups are told nothing of");
    }
}
