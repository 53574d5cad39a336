//! Who gets in, judged by walking a few clients past the rules one after the other, and by nothing of the product's own.

use std::net::Ipv4Addr;

use cnamed::model::gateway::{GatewayState, NatRule, Protocol, SecurityGroup, SecurityRule, Source};
use cnamed::model::state::Desired;

/// A client somewhere, and the service tags that its address is in.
struct Client {
    address: Ipv4Addr,
    tags: &'static [&'static str],
}

/// Each is in other networks than the rest, of all networks that worlds name.
const CLIENTS: [Client; 6] = [
    Client { address: ANYBODY[0], tags: &["Internet"] },
    Client { address: ANYBODY[1], tags: &["Internet"] },
    Client { address: Ipv4Addr::new(203, 0, 113, 5), tags: &["Internet"] },
    Client { address: Ipv4Addr::new(203, 0, 113, 200), tags: &["Internet"] },
    Client { address: Ipv4Addr::new(198, 51, 100, 7), tags: &["Internet"] },
    Client {
        address: Ipv4Addr::new(20, 50, 0, 1),
        tags: &["Internet", "AzureCloud", "AzureCloud.WestEurope"],
    },
];

/// Clients that no rule names but one for everybody, one in each half of the internet.
const ANYBODY: [Ipv4Addr; 2] = [Ipv4Addr::new(9, 9, 9, 9), Ipv4Addr::new(193, 0, 0, 1)];

impl Client {
    fn is_in(&self, source: &Source) -> bool {
        let text = source.to_string();
        match text.split_once('/') {
            Some((network, prefix)) => {
                let Ok(network) = network.parse::<Ipv4Addr>() else { return false };
                let bits = prefix.parse::<u32>().unwrap();
                let mask = if bits == 0 { 0 } else { u32::MAX << (32 - bits) };
                u32::from(network) & mask == u32::from(self.address) & mask
            }
            None => text == "*" || self.tags.iter().any(|tag| tag.eq_ignore_ascii_case(&text)),
        }
    }

    /// The rule of `group` that decides over it, in the order of their places.
    fn met_by<'g>(&self, group: &'g SecurityGroup, rule: &NatRule) -> Option<&'g SecurityRule> {
        let mut rules: Vec<&SecurityRule> = group.rules.iter().collect();
        rules.sort_by_key(|one| one.priority);
        rules.into_iter().find(|one| {
            one.inbound
                && (one.protocol.is_none() || one.protocol == Some(rule.protocol))
                && one
                    .ports
                    .iter()
                    .any(|span| span.first <= rule.backend_port && rule.backend_port <= span.last)
                && one.sources.iter().any(|source| self.is_in(source))
                && one.destinations.iter().any(|destination| destination.to_string() == "*")
        })
    }
}

/// The security groups before `rule`'s machine.
fn before<'s>(state: &'s GatewayState, rule: &NatRule) -> Vec<&'s SecurityGroup> {
    let Some(interface) = state.interface(&rule.network_interface) else { return Vec::new() };
    let subnet = interface.configurations.first().and_then(|one| one.subnet.as_ref());
    let subnet = subnet.and_then(|id| state.subnets.get(id)).and_then(|seen| seen.present());
    let ids = interface.group.iter().chain(subnet.and_then(|subnet| subnet.group.as_ref()));
    ids.filter_map(|id| state.group(id)).collect()
}

/// Whether whoever is in `sources` gets to `rule`'s machine; a part of them may be kept out by a rule of others' that is
/// about a part.
pub(super) fn admits(
    desired: &Desired,
    state: &GatewayState,
    rule: &NatRule,
    sources: &[Source],
) -> Result<(), String> {
    assert_eq!(rule.protocol, Protocol::Tcp);
    let groups = before(state, rule);
    if groups.is_empty() {
        return Err("behind no group, which a Standard load balancer takes for closed".into());
    }
    for group in groups {
        for source in sources {
            let clients: Vec<&Client> = CLIENTS.iter().filter(|client| client.is_in(source)).collect();
            assert!(!clients.is_empty(), "nobody is in {source}");
            let met = clients.iter().map(|client| client.met_by(group, rule));
            let kept_out: Vec<_> = met.filter(|by| !by.is_some_and(|by| by.allow)).collect();
            // In the group that the rule names, what has our name says what it shall, or is a stray.
            let is_its_own =
                rule.access.as_ref().is_some_and(|access| access.network_security_group == group.id);
            let is_ours = |by: &SecurityRule| is_its_own && holds(desired, &by.name);
            let in_part = kept_out.iter().all(|by| by.is_some_and(|by| !is_ours(by)));
            if kept_out.len() == clients.len() || !in_part {
                return Err(format!("{source} is kept out by {}: {kept_out:?}", group.id.name()));
            }
        }
    }
    Ok(())
}

/// Whether `desired` leaves no rule of that name as it finds it: it names it, or takes away whatever has a name of ours.
fn holds(desired: &Desired, name: &str) -> bool {
    let gateways = desired.endpoints.values().filter_map(|endpoint| endpoint.gateway.as_ref());
    let mut rules = gateways.flat_map(|gateway| &gateway.nat_rules);
    let named = |rule: &NatRule| name.eq_ignore_ascii_case(&format!("cnamed_ops_{}", rule.name));
    name.starts_with("cnamed_ops_") && (desired.prune || rules.any(named))
}

/// Whether anybody at all gets to `rule`'s machine.
pub(super) fn admits_anybody(state: &GatewayState, rule: &NatRule) -> bool {
    let groups = before(state, rule);
    let gets_in = |address: &Ipv4Addr| {
        let client = CLIENTS.iter().find(|client| client.address == *address).unwrap();
        groups.iter().all(|group| client.met_by(group, rule).is_some_and(|by| by.allow))
    };
    !groups.is_empty() && ANYBODY.iter().all(gets_in)
}

#[test]
fn the_judge_tells_networks_apart() {
    let source = |text: &str| Source::from(text.to_owned());
    let inside = |text: &str| CLIENTS.iter().filter(|client| client.is_in(&source(text))).count();
    let found = ["*", "Internet", "203.0.113.0/24", "203.0.113.128/25", "AzureCloud.WestEurope", "0.0.0.0/1"];
    assert_eq!(found.map(inside), [6, 6, 2, 1, 1, 2]);
}
