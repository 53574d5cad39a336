//! Whether a group lets a packet in: rules by priority, the first that matches decides ("How network security groups
//! filter network traffic").

use std::net::IpAddr;

use serde_json::{Map, Value};

use super::super::super::arm::Id;
use super::super::prefix::Prefix;
use super::super::references;
use super::{default_rules, own_rules, rule};

/// A TCP segment that opens a connection, as it reaches an interface: the load balancer has already put the backend's
/// port in the place of the frontend's and left the sender's address alone.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    pub(crate) source: IpAddr,
    pub(crate) source_port: u16,
    pub(crate) destination: IpAddr,
    pub(crate) port: u16,
    /// The space of the virtual network that the interface is in.
    pub(crate) network: Vec<Prefix>,
    /// The application security groups of the interface.
    pub(crate) groups: Vec<Id>,
}

/// Whether a group, as its document has it, lets a connection in.
pub(crate) fn admits(document: &Map<String, Value>, opening: &Opening) -> bool {
    let mut rules: Vec<Value> = own_rules(document).cloned().chain(default_rules()).collect();
    rules.retain(|rule| text(rule, "direction").eq_ignore_ascii_case("Inbound"));
    rules.sort_by_key(|rule| rule.get("priority").and_then(Value::as_i64).unwrap_or(i64::MAX));
    let first = rules.iter().find(|rule| matches(rule, opening));
    first.is_some_and(|rule| text(rule, "access").eq_ignore_ascii_case("Allow"))
}

fn matches(rule: &Value, opening: &Opening) -> bool {
    let protocol = text(rule, "protocol");
    (protocol == "*" || protocol.eq_ignore_ascii_case("Tcp"))
        && ports(rule, "source", opening.source_port)
        && ports(rule, "destination", opening.port)
        && addresses(rule, "source", opening.source, &[], opening)
        && addresses(rule, "destination", opening.destination, &opening.groups, opening)
}

fn ports(rule: &Value, side: &str, port: u16) -> bool {
    let (one, many) = (format!("{side}PortRange"), format!("{side}PortRanges"));
    let mut ranges = rule.get(&one).and_then(Value::as_str).into_iter().chain(rule::texts(rule, &many));
    ranges.any(|text| rule::range(text).is_some_and(|(start, end)| (start..=end).contains(&port)))
}

fn addresses(rule: &Value, side: &str, address: IpAddr, groups: &[Id], opening: &Opening) -> bool {
    let (one, many) = (format!("{side}AddressPrefix"), format!("{side}AddressPrefixes"));
    let named = format!("{side}ApplicationSecurityGroups");
    let mut texts = rule.get(&one).and_then(Value::as_str).into_iter().chain(rule::texts(rule, &many));
    texts.any(|text| covers(text, address, opening))
        || references(rule, &named).any(|group| groups.contains(&group))
}

/// Tags of services stand for the services' own addresses, which are never a client's here.
fn covers(text: &str, address: IpAddr, opening: &Opening) -> bool {
    let in_network = || opening.network.iter().any(|prefix| prefix.contains(address));
    if text == "*" {
        return true;
    }
    if text.eq_ignore_ascii_case("VirtualNetwork") {
        return in_network();
    }
    if text.eq_ignore_ascii_case("Internet") {
        return !in_network();
    }
    Prefix::parse(text).is_some_and(|prefix| prefix.contains(address))
}

fn text<'r>(rule: &'r Value, key: &str) -> &'r str {
    rule.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn opening() -> Opening {
        Opening {
            source: "203.0.113.200".parse().unwrap(),
            source_port: 50_000,
            destination: "10.0.0.4".parse().unwrap(),
            port: 3389,
            network: vec![Prefix::parse("10.0.0.0/16").unwrap()],
            groups: Vec::new(),
        }
    }

    fn group(rules: &[Value]) -> Map<String, Value> {
        let rules: Vec<Value> = rules.iter().map(|rule| json!({"name": "r", "properties": rule})).collect();
        json!({"properties": {"securityRules": rules}}).as_object().unwrap().clone()
    }

    fn rule(priority: u32, access: &str, source: &str, port: &str) -> Value {
        json!({"protocol": "Tcp", "access": access, "direction": "Inbound", "priority": priority, "sourcePortRange": "*",
            "destinationAddressPrefix": "*", "sourceAddressPrefix": source, "destinationPortRange": port})
    }

    #[test]
    fn without_rules_of_its_own_a_group_lets_the_network_in_and_nobody_else() {
        assert!(!admits(&group(&[]), &opening()));
        let inside = Opening { source: "10.0.1.9".parse().unwrap(), ..opening() };
        assert!(admits(&group(&[]), &inside));
    }

    #[test]
    fn the_lowest_priority_that_matches_decides() {
        let allow = |priority| rule(priority, "Allow", "203.0.113.0/24", "3389");
        assert!(admits(&group(&[allow(300)]), &opening()));
        assert!(!admits(&group(&[allow(300), rule(200, "Deny", "Internet", "*")]), &opening()));
        assert!(admits(&group(&[allow(100), rule(200, "Deny", "*", "*")]), &opening()));
    }

    #[test]
    fn addresses_ports_protocols_and_directions_all_count() {
        for other in [
            rule(100, "Allow", "198.51.100.0/24", "3389"),
            rule(100, "Allow", "VirtualNetwork", "3389"),
            rule(100, "Allow", "AzureLoadBalancer", "3389"),
            rule(100, "Allow", "*", "63011"),
            json!({"protocol": "Udp", "access": "Allow", "direction": "Inbound", "priority": 100, "sourcePortRange": "*",
                "destinationAddressPrefix": "*", "sourceAddressPrefix": "*", "destinationPortRange": "*"}),
            json!({"protocol": "*", "access": "Allow", "direction": "Outbound", "priority": 100, "sourcePortRange": "*",
                "destinationAddressPrefix": "*", "sourceAddressPrefix": "*", "destinationPortRange": "*"}),
        ] {
            assert!(!admits(&group(std::slice::from_ref(&other)), &opening()), "{other}");
        }
        let several = json!({"protocol": "*", "access": "Allow", "direction": "Inbound", "priority": 100,
            "sourcePortRange": "1024-65535", "destinationAddressPrefixes": ["10.0.0.0/24"],
            "sourceAddressPrefixes": ["198.51.100.0/24", "203.0.113.200"], "destinationPortRanges": ["22", "3000-4000"]});
        assert!(admits(&group(&[several]), &opening()));
    }

    #[test]
    fn an_application_security_group_stands_for_its_members() {
        let asg = Id::new(
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/applicationSecurityGroups/a",
        );
        let to = json!({"protocol": "Tcp", "access": "Allow", "direction": "Inbound", "priority": 100,
            "sourcePortRange": "*", "sourceAddressPrefix": "Internet", "destinationPortRange": "3389",
            "destinationApplicationSecurityGroups": [{"id": asg.as_str()}]});
        assert!(!admits(&group(std::slice::from_ref(&to)), &opening()));
        assert!(admits(&group(&[to]), &Opening { groups: vec![asg], ..opening() }));
    }
}
