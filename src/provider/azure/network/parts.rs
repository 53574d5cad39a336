//! Load balancers, network interfaces, security groups and subnets as Azure tells them → as we know them.
//!
//! Read by hand, as public IPs are: what is new to us is tolerated, what we rely on must be understood.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::Value;

use super::super::operation::{is_failure, is_under_way};
use super::public_ip::marked;
use super::{at, text_at};
use crate::model::endpoint::Provisioning;
use crate::model::gateway::admission::ANY;
use crate::model::gateway::{
    Balancing, Frontend, HeldNatRule, HeldPool, IpConfiguration, LoadBalancer, NetworkInterface, Ports,
    Protocol, SecurityGroup, SecurityRule, Source, Subnet,
};
use crate::model::record::Version;
use crate::model::resource_id::ResourceId;

/// Parses a load balancer.
pub(super) fn load_balancer(resource: &Value) -> Result<LoadBalancer, String> {
    let nat_rules = entries(resource, "inboundNatRules").map(nat_rule).collect::<Result<_, _>>()?;
    let mut other_ports = Vec::new();
    let (mut pool_users, mut frontend_users) = (BTreeMap::new(), BTreeMap::new());
    let mut outbound = BTreeSet::new();
    let mut balancing = Vec::new();
    for rule in entries(resource, "loadBalancingRules") {
        let frontend = id_at(rule, &["properties", "frontendIPConfiguration", "id"]);
        let port = port_at(rule, "frontendPort").unwrap_or(0);
        use_by(&mut pool_users, pools(rule), rule)?;
        use_by(&mut frontend_users, frontend.clone(), rule)?;
        // Port 0 with every protocol is all of them ("High availability ports overview").
        let ports = if port == 0 { EVERY_PORT } else { Ports::one(port) };
        if let Some(frontend) = frontend {
            for protocol in protocols(rule) {
                other_ports.push((name(rule)?, protocol, frontend.clone(), ports));
            }
        }
        balancing.extend(balances(rule)?);
        let translates =
            at(rule, &["properties", "disableOutboundSnat"]).and_then(Value::as_bool) != Some(true);
        if translates {
            outbound.extend(pools(rule));
        }
    }
    for pool in entries(resource, "inboundNatPools") {
        let frontend = id_at(pool, &["properties", "frontendIPConfiguration", "id"]);
        use_by(&mut frontend_users, frontend.clone(), pool)?;
        let span = port_at(pool, "frontendPortRangeStart").zip(port_at(pool, "frontendPortRangeEnd"));
        if let (Some(frontend), Some((first, last))) = (frontend, span) {
            for protocol in protocols(pool) {
                other_ports.push((name(pool)?, protocol, frontend.clone(), Ports { first, last }));
            }
        }
    }
    for rule in entries(resource, "outboundRules") {
        outbound.extend(pools(rule));
        use_by(&mut pool_users, pools(rule), rule)?;
        use_by(&mut frontend_users, ids(rule, "frontendIPConfigurations"), rule)?;
    }
    Ok(LoadBalancer {
        id: id(resource)?,
        location: text_at(resource, &["location"]).unwrap_or_default().to_owned(),
        // Absent means Basic.
        sku: text_at(resource, &["sku", "name"]).unwrap_or("Basic").to_owned(),
        frontends: entries(resource, "frontendIPConfigurations").map(frontend).collect::<Result<_, _>>()?,
        pools: entries(resource, "backendAddressPools").map(pool).collect::<Result<_, _>>()?,
        nat_rules,
        other_ports,
        pool_users,
        frontend_users,
        balancing,
        nat_pools: entries(resource, "inboundNatPools").map(name).collect::<Result<_, _>>()?,
        outbound,
        provisioning: provisioning(resource),
        mark: marked(at(resource, &["tags"])),
        version: version(resource),
    })
}

/// Notes that `rule` uses what has the `ids`, unless another is noted already.
fn use_by(
    users: &mut BTreeMap<ResourceId, String>,
    ids: impl IntoIterator<Item = ResourceId>,
    rule: &Value,
) -> Result<(), String> {
    for id in ids {
        users.entry(id).or_insert(name(rule)?);
    }
    Ok(())
}

/// What of the machines' ports a load-balancing rule takes; `None` where it leaves them free.
fn balances(rule: &Value) -> Result<Option<Balancing>, String> {
    if at(rule, &["properties", "enableFloatingIP"]).and_then(Value::as_bool) == Some(true) {
        return Ok(None);
    }
    let both = protocols(rule);
    let port = port_at(rule, "backendPort").unwrap_or(0);
    Ok(Some(Balancing {
        name: name(rule)?,
        protocol: if let [one] = both[..] { Some(one) } else { None },
        ports: if port == 0 { EVERY_PORT } else { Ports::one(port) },
        pools: pools(rule).collect(),
    }))
}

/// The pools that a load-balancing rule leads to, which Azure has in the singular and in the plural.
fn pools(rule: &Value) -> impl Iterator<Item = ResourceId> {
    let one = id_at(rule, &["properties", "backendAddressPool", "id"]);
    one.into_iter().chain(ids(rule, "backendAddressPools"))
}

fn frontend(entry: &Value) -> Result<Frontend, String> {
    Ok(Frontend { name: name(entry)?, public_ip: id_at(entry, &["properties", "publicIPAddress", "id"]) })
}

fn pool(entry: &Value) -> Result<HeldPool, String> {
    let addresses = at(entry, &["properties", "loadBalancerBackendAddresses"]).and_then(Value::as_array);
    // A member by network interface is listed here too, and says so.
    let alone = |address: &Value| at(address, &["properties", "networkInterfaceIPConfiguration"]).is_none();
    Ok(HeldPool {
        name: name(entry)?,
        members: ids(entry, "backendIPConfigurations").collect(),
        addresses: addresses.is_some_and(|addresses| addresses.iter().any(alone)),
    })
}

/// Parses an inbound NAT rule, of either version.
pub(super) fn nat_rule(entry: &Value) -> Result<HeldNatRule, String> {
    let named = name(entry)?;
    let odd = |what: &str| format!("the NAT rule {named} has no {what}");
    let start = port_at(entry, "frontendPortRangeStart").filter(|port| *port != 0);
    let first = start.or_else(|| port_at(entry, "frontendPort")).ok_or_else(|| odd("frontend port"))?;
    let last = start.and(port_at(entry, "frontendPortRangeEnd")).filter(|port| *port != 0).unwrap_or(first);
    let both = protocols(entry);
    Ok(HeldNatRule {
        protocol: if let [one] = both[..] { Some(one) } else { None },
        frontend: id_at(entry, &["properties", "frontendIPConfiguration", "id"])
            .ok_or_else(|| odd("frontend"))?,
        ports: Ports { first, last },
        backend_port: port_at(entry, "backendPort").ok_or_else(|| odd("backend port"))?,
        pool: id_at(entry, &["properties", "backendAddressPool", "id"]),
        target: id_at(entry, &["properties", "backendIPConfiguration", "id"]),
        idle_timeout_minutes: at(entry, &["properties", "idleTimeoutInMinutes"])
            .and_then(Value::as_u64)
            .and_then(|minutes| u8::try_from(minutes).ok())
            .unwrap_or(IDLE),
        floating: at(entry, &["properties", "enableFloatingIP"]).and_then(Value::as_bool) == Some(true),
        provisioning: provisioning(entry),
        name: named,
    })
}

/// Parses a network interface.
pub(super) fn interface(resource: &Value) -> Result<NetworkInterface, String> {
    Ok(NetworkInterface {
        id: id(resource)?,
        location: text_at(resource, &["location"]).unwrap_or_default().to_owned(),
        configurations: entries(resource, "ipConfigurations").map(configuration).collect::<Result<_, _>>()?,
        group: id_at(resource, &["properties", "networkSecurityGroup", "id"]),
        provisioning: provisioning(resource),
        version: version(resource),
    })
}

fn configuration(entry: &Value) -> Result<IpConfiguration, String> {
    Ok(IpConfiguration {
        name: name(entry)?,
        primary: at(entry, &["properties", "primary"]).and_then(Value::as_bool).unwrap_or(false),
        address: text_at(entry, &["properties", "privateIPAddress"])
            .and_then(|text| text.parse::<IpAddr>().ok()),
        public_ip: id_at(entry, &["properties", "publicIPAddress", "id"]),
        subnet: id_at(entry, &["properties", "subnet", "id"]),
        pools: ids(entry, "loadBalancerBackendAddressPools").collect(),
        nat_rules: ids(entry, "loadBalancerInboundNatRules").collect(),
    })
}

/// Parses a subnet.
pub(super) fn subnet(resource: &Value) -> Result<Subnet, String> {
    id(resource)?;
    Ok(Subnet {
        group: id_at(resource, &["properties", "networkSecurityGroup", "id"]),
        nat_gateway: id_at(resource, &["properties", "natGateway", "id"]).is_some(),
    })
}

/// Parses a network security group.
pub(super) fn security_group(resource: &Value) -> Result<SecurityGroup, String> {
    let users = ["networkInterfaces", "subnets"];
    Ok(SecurityGroup {
        id: id(resource)?,
        location: text_at(resource, &["location"]).unwrap_or_default().to_owned(),
        rules: entries(resource, "securityRules").map(security_rule).collect::<Result<_, _>>()?,
        users: users.iter().flat_map(|users| ids(resource, users)).collect(),
        provisioning: provisioning(resource),
        mark: marked(at(resource, &["tags"])),
        version: version(resource),
    })
}

/// Parses a security rule.
pub(super) fn security_rule(entry: &Value) -> Result<SecurityRule, String> {
    let named = name(entry)?;
    let odd = |what: &str| format!("the security rule {named} has no {what}");
    let text = |key: &str| text_at(entry, &["properties", key]);
    let protocol = text("protocol").unwrap_or(ANY);
    let known = match protocol.to_ascii_lowercase().as_str() {
        "tcp" => Some(Some(Protocol::Tcp)),
        "udp" => Some(Some(Protocol::Udp)),
        ANY => Some(None),
        _ => None,
    };
    // A protocol without ports is about nothing that a NAT rule carries.
    let ports = match known {
        Some(_) => {
            let parse = |range: String| span(&range).ok_or_else(|| odd("port range that can be read"));
            both(entry, "destinationPortRange").into_iter().map(parse).collect::<Result<_, _>>()?
        }
        None => Vec::new(),
    };
    let mut sources: Vec<Source> = both(entry, "sourceAddressPrefix").into_iter().map(source).collect();
    sources.sort();
    let priority = at(entry, &["properties", "priority"]).and_then(Value::as_u64);
    Ok(SecurityRule {
        priority: priority.and_then(|number| u16::try_from(number).ok()).ok_or_else(|| odd("priority"))?,
        inbound: text("direction").ok_or_else(|| odd("direction"))?.eq_ignore_ascii_case("Inbound"),
        allow: text("access").ok_or_else(|| odd("access"))?.eq_ignore_ascii_case("Allow"),
        protocol: known.flatten(),
        sources,
        any_source_port: both(entry, "sourcePortRange").iter().any(|range| span(range) == Some(EVERY_PORT)),
        destinations: both(entry, "destinationAddressPrefix").into_iter().map(source).collect(),
        ports,
        name: named,
    })
}

/// A prefix without a length is one address.
fn source(text: String) -> Source {
    Source::from(text)
}

fn span(range: &str) -> Option<Ports> {
    if range == ANY {
        return Some(EVERY_PORT);
    }
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let ports = Ports { first: first.trim().parse().ok()?, last: last.trim().parse().ok()? };
    // Some write all of them as 1-65535.
    Some(if ports.first <= 1 && ports.last == u16::MAX { EVERY_PORT } else { ports })
}

/// The values of a member that Azure has in the singular and in the plural.
fn both(entry: &Value, one: &str) -> Vec<String> {
    let many = if one.ends_with('x') { format!("{one}es") } else { format!("{one}s") };
    let listed = at(entry, &["properties", &many]).and_then(Value::as_array);
    let listed = listed.into_iter().flatten().filter_map(|value| value.as_str().map(str::to_owned));
    text_at(entry, &["properties", one]).map(str::to_owned).into_iter().chain(listed).collect()
}

fn protocols(entry: &Value) -> Vec<Protocol> {
    match text_at(entry, &["properties", "protocol"]) {
        Some(text) if text.eq_ignore_ascii_case("Udp") => vec![Protocol::Udp],
        Some(text) if text.eq_ignore_ascii_case("All") => vec![Protocol::Tcp, Protocol::Udp],
        _ => vec![Protocol::Tcp],
    }
}

fn entries<'v>(resource: &'v Value, collection: &str) -> impl Iterator<Item = &'v Value> {
    at(resource, &["properties", collection]).and_then(Value::as_array).into_iter().flatten()
}

fn ids(entry: &Value, collection: &str) -> impl Iterator<Item = ResourceId> {
    entries(entry, collection).filter_map(|one| id_at(one, &["id"])).collect::<Vec<_>>().into_iter()
}

fn id_at(value: &Value, path: &[&str]) -> Option<ResourceId> {
    text_at(value, path).map(ResourceId::new)
}

fn id(resource: &Value) -> Result<ResourceId, String> {
    id_at(resource, &["id"]).ok_or_else(|| "the answer has no id".to_owned())
}

fn name(entry: &Value) -> Result<String, String> {
    text_at(entry, &["name"]).map(str::to_owned).ok_or_else(|| "a part of the answer has no name".to_owned())
}

fn port_at(entry: &Value, key: &str) -> Option<u16> {
    at(entry, &["properties", key]).and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok())
}

fn version(resource: &Value) -> Version {
    Version(text_at(resource, &["etag"]).unwrap_or_default().to_owned())
}

fn provisioning(resource: &Value) -> Provisioning {
    match text_at(resource, &["properties", "provisioningState"]) {
        Some(state) if is_failure(state) => Provisioning::Failed,
        _ if is_under_way(resource) => Provisioning::Busy,
        _ => Provisioning::Succeeded,
    }
}

/// Every port, as Azure's `*`.
const EVERY_PORT: Ports = Ports { first: 0, last: u16::MAX };
/// Azure's default for an idle connection, in minutes.
const IDLE: u8 = 4;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::examples;
    use super::*;

    #[test]
    fn a_rule_with_floating_ip_leaves_the_port_of_the_machines_free() {
        let lb = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/loadBalancers/lb";
        let pool = |name: &str| json!({"id": format!("{lb}/backendAddressPools/{name}")});
        let rule = |name: &str, more: &[(&str, Value)]| {
            let mut properties = json!({"frontendPort": 443, "backendPort": 8443, "protocol": "Tcp"});
            for (key, value) in more {
                properties[key] = value.clone();
            }
            json!({"name": name, "properties": properties})
        };
        let parsed = load_balancer(&json!({
            "id": lb,
            "properties": {
                "loadBalancingRules": [
                    rule("web", &[("backendAddressPool", pool("a")), ("backendAddressPools", json!([pool("b")]))]),
                    rule("direct", &[("enableFloatingIP", json!(true)), ("backendAddressPool", pool("a"))]),
                    rule("all", &[("protocol", json!("All")), ("backendPort", json!(0))]),
                ],
                "inboundNatPools": [{"name": "rdp-pool", "properties": {}}],
            },
        }))
        .unwrap();
        let found: Vec<_> = parsed
            .balancing
            .iter()
            .map(|one| (one.name.as_str(), one.protocol, one.ports, one.pools.len()))
            .collect();
        assert_eq!(found, [("web", Some(Protocol::Tcp), Ports::one(8443), 2), ("all", None, EVERY_PORT, 0)]);
        assert_eq!(parsed.nat_pools, ["rdp-pool".to_owned()].into());
    }

    #[test]
    fn whatever_stands_on_a_frontend_or_a_pool_is_told_by_name() {
        let lb = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/loadBalancers/lb";
        let part = |collection: &str, name: &str| json!({"id": format!("{lb}/{collection}/{name}")});
        let front = |name: &str| part("frontendIPConfigurations", name);
        let pool = |name: &str| part("backendAddressPools", name);
        let parsed = load_balancer(&json!({
            "id": lb,
            "properties": {
                "loadBalancingRules": [{"name": "https", "properties": {"protocol": "Tcp", "frontendPort": 443,
                    "backendPort": 443, "disableOutboundSnat": true, "frontendIPConfiguration": front("a"),
                    "backendAddressPool": pool("a")}}],
                "outboundRules": [{"name": "out", "properties": {"frontendIPConfigurations": [front("b"), front("a")],
                    "backendAddressPool": pool("b")}}],
                "inboundNatPools": [{"name": "scale", "properties": {"frontendIPConfiguration": front("c")}}],
            },
        }))
        .unwrap();
        let owner = "ops".parse().unwrap();
        assert_eq!(
            ["a", "b", "c"].map(|name| parsed.pool_user(&owner, name)),
            [Some("https"), Some("out"), None]
        );
        let users = ["a", "b", "c", "d"].map(|name| parsed.frontend_user(&owner, name));
        assert_eq!(users, [Some("https"), Some("out"), Some("scale"), None]);
        assert_eq!(parsed.outbound.len(), 1, "what may not be used for the way out is none");
    }

    /// What a collection is called, and how many of it were read.
    type Counted<T> = (&'static str, fn(&T) -> usize);

    /// Reads every official example whose resource is of `kind`, and holds the count of what it lists against
    /// what was read of it.
    fn understood<T>(part: &str, kind: &str, parse: fn(&Value) -> Result<T, String>, counted: &[Counted<T>]) {
        let of_kind = |resource: &Value| {
            let id = resource["id"].as_str().unwrap_or_default().to_lowercase();
            id.rsplit('/').nth(1) == Some(kind)
        };
        let all = examples::of(part, &["id", "name", "properties"]);
        let absent = all.is_empty();
        let (ours, _): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, example)| of_kind(example));
        assert!(absent || !ours.is_empty(), "no example of {kind}");
        for (file, example) in ours {
            let read = parse(&example).unwrap_or_else(|odd| panic!("{file}: {odd}"));
            for (collection, count) in counted {
                assert_eq!(count(&read), entries(&example, collection).count(), "{file}: {collection}");
            }
        }
    }

    #[test]
    fn every_official_example_is_understood() {
        understood(
            "LoadBalancer",
            "loadbalancers",
            load_balancer,
            &[
                ("frontendIPConfigurations", |held: &LoadBalancer| held.frontends.len()),
                ("backendAddressPools", |held: &LoadBalancer| held.pools.len()),
                ("inboundNatRules", |held: &LoadBalancer| held.nat_rules.len()),
            ],
        );
        understood(
            "NetworkInterface",
            "networkinterfaces",
            interface,
            &[("ipConfigurations", |held: &NetworkInterface| held.configurations.len())],
        );
        understood(
            "NetworkSecurityGroup",
            "networksecuritygroups",
            security_group,
            &[("securityRules", |held: &SecurityGroup| held.rules.len())],
        );
        understood("InboundNatRule", "inboundnatrules", nat_rule, &[]);
        understood("SecurityGroupRule", "securityrules", security_rule, &[]);
        understood("Subnet", "subnets", subnet, &[]);
    }
}
