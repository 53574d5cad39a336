//! Whom a network security group lets in.
//!
//! After "How network security groups filter network traffic": rules are asked in the order of their priority, the
//! first that fits decides, and what fits none is refused by the rules that Azure puts at the end. A group sees a
//! connection after the load balancer has translated it: the port is the machine's, the source is the client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    GatewayState, NatRule, Network, NetworkInterface, Protocol, SecurityGroup, SecurityRule, Source,
};

/// A connection to be judged, from everything that `source` stands for.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'v> {
    /// Where it comes from.
    pub source: &'v Source,
    /// Its protocol.
    pub protocol: Protocol,
    /// The port on the machine.
    pub port: u16,
    /// The machine's private address, where it is known. Azure translates between addresses of one family, so this is
    /// the public IP's family as well; IPv4 where it is not known.
    pub machine: Option<IpAddr>,
}

impl Visit<'_> {
    /// Whether it comes over IPv6.
    fn is_ipv6(&self) -> bool {
        self.machine.is_some_and(|machine| machine.is_ipv6())
    }
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

impl NatRule {
    /// A connection that it leads to `interface`, from everything that `source` stands for.
    #[must_use]
    pub fn visit<'v>(&self, source: &'v Source, interface: Option<&NetworkInterface>) -> Visit<'v> {
        let machine = interface.and_then(|interface| interface.primary()?.address);
        Visit { source, protocol: self.protocol, port: self.backend_port, machine }
    }
}

impl GatewayState {
    /// The security groups that stand before `interface` and were seen, its own first.
    pub fn groups_before(&self, interface: &NetworkInterface) -> impl Iterator<Item = &SecurityGroup> {
        let groups = interface.group.as_ref().into_iter().chain(self.subnet_group(interface));
        groups.filter_map(|id| self.group(id)).collect::<Vec<_>>().into_iter()
    }

    /// The rules that let all of `source` in to `rule`'s machine, one in each security group before it; `None` where one of
    /// them keeps it out.
    #[must_use]
    pub fn lets_in(&self, rule: &NatRule, source: &Source) -> Option<Vec<(&SecurityGroup, &SecurityRule)>> {
        let interface = self.interface(&rule.network_interface)?;
        let visit = rule.visit(source, Some(interface));
        self.groups_before(interface)
            .map(|group| Some((group, decides(&group.rules, visit).filter(|by| by.allow)?)))
            .collect()
    }

    /// The first group before `rule`'s machine and the rule in it that lets everybody in, where every group does; by
    /// name.
    #[must_use]
    pub fn open_door(&self, rule: &NatRule) -> Option<(String, String)> {
        let doors = self.lets_in(rule, &Source::Tag(INTERNET.to_owned()))?;
        doors.first().map(|(group, by)| (group.id.name().to_owned(), by.name.clone()))
    }
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
            && self.sources.iter().any(|source| source.covers(visit.source, visit.is_ipv6()))
    }

    /// Whether the rule may be about a part of `visit`: what cannot be told counts, such as application security groups,
    /// whose members are not known, or service tags, whose networks are not.
    #[must_use]
    pub fn may_fit(&self, visit: Visit<'_>) -> bool {
        let sources = self.sources.is_empty()
            || self.sources.iter().any(|source| source.may_overlap(visit.source, visit.is_ipv6()));
        let destinations = self.destinations.is_empty()
            || self.destinations.iter().any(|destination| destination.may_reach(visit.machine));
        self.inbound
            && self.protocol.is_none_or(|protocol| protocol == visit.protocol)
            && self.ports.iter().any(|ports| ports.contains(visit.port))
            && destinations
            && sources
    }
}

impl Source {
    /// Whether everything in `other` that comes over IPv6, or else over IPv4, is in this as well, as far as names allow
    /// to tell.
    #[must_use]
    pub fn covers(&self, other: &Self, ipv6: bool) -> bool {
        match (self, other) {
            (Self::Tag(tag), _) if tag == ANY => true,
            (Self::Network(all), Self::Tag(tag)) => {
                all.is_everything() && all.address().is_ipv6() == ipv6 && (tag == ANY || is_outside(tag))
            }
            (Self::Network(wide), Self::Network(narrow)) => wide.contains(narrow),
            (Self::Tag(tag), Self::Network(network)) => {
                tag.eq_ignore_ascii_case(INTERNET) && !is_private(network)
            }
            (Self::Tag(tag), Self::Tag(other)) => {
                tag.eq_ignore_ascii_case(other)
                    || (tag.eq_ignore_ascii_case(INTERNET) && other != ANY && is_outside(other))
            }
        }
    }

    /// Whether somebody in it may come by a public address.
    #[must_use]
    pub fn comes_from_outside(&self) -> bool {
        match self {
            Self::Tag(tag) => is_outside(tag),
            Self::Network(network) => !is_private(network),
        }
    }

    /// Whether they may have somebody in common who comes over IPv6, or else over IPv4.
    fn may_overlap(&self, other: &Self, ipv6: bool) -> bool {
        let family = |network: &Network| network.address().is_ipv6() == ipv6;
        match (self, other) {
            (Self::Network(one), Self::Network(other)) => one.overlaps(other),
            (Self::Network(network), Self::Tag(tag)) => {
                family(network) && !(tag.eq_ignore_ascii_case(INTERNET) && is_private(network))
            }
            (Self::Tag(tag), Self::Network(network)) => {
                !(tag.eq_ignore_ascii_case(INTERNET) && is_private(network))
            }
            // Whoever is in the one list of Azure's may be in the other; what is inside is not outside.
            (Self::Tag(one), Self::Tag(other)) => {
                one == ANY
                    || other == ANY
                    || one.eq_ignore_ascii_case(other)
                    || (is_outside(one) && is_outside(other))
            }
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

    /// As a destination: whether the machine may be in it.
    fn may_reach(&self, machine: Option<IpAddr>) -> bool {
        match (self, machine) {
            (Self::Network(network), Some(machine)) => network.contains(&Network::of(machine)),
            (Self::Tag(_), _) | (Self::Network(_), None) => true,
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
    sources.iter().any(|source| [false, true].iter().any(|ipv6| source.covers(&internet, *ipv6)))
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

/// Whether what a service tag other than `*` stands for has public addresses: all do, but those of the virtual network
/// and of the load balancer's probes.
fn is_outside(tag: &str) -> bool {
    ![VIRTUAL_NETWORK, LOAD_BALANCER].iter().any(|inside| tag.eq_ignore_ascii_case(inside))
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
const LOAD_BALANCER: &str = "AzureLoadBalancer";

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
    fn the_internet_holds_every_list_of_what_is_outside() {
        for all in ["*", "Internet", "0.0.0.0/0"] {
            let rules = [rule("all", 100, true, all, 3389)];
            assert_eq!(decided(&rules, "AzureCloud.WestEurope"), Some("all"), "{all}");
        }
        for outside in ["Internet", "0.0.0.0/0"] {
            let rules = [rule("all", 100, true, outside, 3389)];
            assert_eq!(decided(&rules, "VirtualNetwork"), None, "{outside}");
            assert_eq!(decided(&rules, "azureloadbalancer"), None, "{outside}");
        }
        assert_eq!(decided(&[rule("cloud", 100, true, "AzureCloud", 3389)], "Internet"), None);
        assert_eq!(decided(&[rule("net", 100, true, "Internet", 3389)], "*"), None);
    }

    #[test]
    fn a_network_of_one_family_says_nothing_of_the_other() {
        let rules = [rule("v6", 100, false, "::/0", 3389), rule("v4", 200, true, "0.0.0.0/0", 3389)];
        let everybody = Source::Tag(INTERNET.into());
        let by = |machine: &str| {
            let machine = machine.parse().ok();
            let visit = Visit { source: &everybody, protocol: Protocol::Tcp, port: 3389, machine };
            decides(&rules, visit).map(|rule| rule.name.as_str())
        };
        assert_eq!(by("10.0.0.4"), Some("v4"));
        assert_eq!(by("fd00::4"), Some("v6"));
        assert_eq!(by(""), Some("v4"), "unknown counts as IPv4");
    }

    #[test]
    fn what_cannot_be_told_may_fit() {
        let may = |refusal: &SecurityRule, source: &str| {
            let source = Source::from(source.to_owned());
            let machine = Some([10, 0, 0, 4].into());
            refusal.may_fit(Visit { source: &source, protocol: Protocol::Tcp, port: 3389, machine })
        };
        let part = rule("part", 100, false, "203.0.113.128/25", 3389);
        assert!(may(&part, "203.0.113.0/24") && may(&part, "AzureCloud") && may(&part, "Internet"));
        assert!(!may(&part, "203.0.113.0/25"));
        let cloud = rule("cloud", 100, false, "AzureCloud", 3389);
        assert!(may(&cloud, "203.0.113.0/24") && may(&cloud, "Storage"));
        assert!(!may(&rule("inside", 100, false, "VirtualNetwork", 3389), "Internet"));
        assert!(!may(&rule("private", 100, false, "10.0.0.0/8", 3389), "Internet"));
        assert!(!may(&rule("v6", 100, false, "::/0", 3389), "Internet"));
        assert!(!may(&rule("port", 100, false, "*", 22), "Internet"));
        let mut grouped = rule("grouped", 100, false, "*", 3389);
        (grouped.sources, grouped.destinations) = (Vec::new(), Vec::new());
        assert!(may(&grouped, "203.0.113.0/24"));
        grouped.destinations = vec![Source::from("10.0.1.0/24".to_owned())];
        assert!(!may(&grouped, "203.0.113.0/24"));
    }

    #[test]
    fn bits_beyond_the_prefix_are_masked() {
        let rules = [rule("office", 100, true, "203.0.113.9/24", 3389)];
        assert_eq!(decided(&rules, "203.0.113.0/24"), Some("office"));
        assert_eq!(decided(&[rule("one", 100, true, "203.0.113.9", 3389)], "203.0.113.9/32"), Some("one"));
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
