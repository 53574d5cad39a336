//! Our change in the JSON that was read, and the JSON of what is new.

use serde_json::{Map, Value, json};

use super::super::{at, settable, text_at};
use crate::model::gateway::fit::{FRONTENDS, POOLS};
use crate::model::gateway::{
    HeldNatRule, LoadBalancer, NetworkInterface, Ports, Protocol, SecurityRule, Source,
};
use crate::model::plan::{GroupChange, InterfaceChange, LoadBalancerChange};
use crate::model::resource_id::ResourceId;

/// Whether `held` is as `change` makes it.
pub(super) fn is_made(held: &LoadBalancer, change: &LoadBalancerChange) -> bool {
    let frontend = |name: &String| held.frontends.iter().any(|held| held.name == *name);
    let pool = |name: &String| held.pools.iter().any(|held| held.name == *name);
    change.frontends.iter().all(|wanted| held.frontends.contains(wanted))
        && change.pools.iter().all(pool)
        && !change.without_frontends.iter().any(frontend)
        && !change.without_pools.iter().any(pool)
}

/// Puts `change` into the JSON of a load balancer.
pub(super) fn balancer(body: &mut Value, change: &LoadBalancerChange) {
    within(body, FRONTENDS, |frontends| {
        for frontend in &change.frontends {
            let public_ip = frontend.public_ip.as_ref().map(|id| json!({"id": id.as_str()}));
            match frontends.iter_mut().find(|held| is_called(held, &frontend.name)) {
                Some(held) => held["properties"]["publicIPAddress"] = json!(public_ip),
                None => frontends.push(json!({
                    "name": frontend.name,
                    "properties": {"publicIPAddress": public_ip, "privateIPAllocationMethod": "Dynamic"},
                })),
            }
        }
        frontends.retain(|held| !change.without_frontends.iter().any(|name| is_called(held, name)));
    });
    within(body, POOLS, |pools| {
        for pool in &change.pools {
            if !pools.iter().any(|held| is_called(held, pool)) {
                pools.push(json!({"name": pool, "properties": {}}));
            }
        }
        pools.retain(|held| !change.without_pools.iter().any(|name| is_called(held, name)));
    });
}

/// Whether `found` is as `change` makes it.
pub(super) fn is_attached(found: &NetworkInterface, change: &InterfaceChange) -> bool {
    let primary = found.primary();
    let joined = change.join.iter().all(|pool| primary.is_some_and(|one| one.pools.contains(pool)));
    let left = found.configurations.iter().all(|one| one.pools.is_disjoint(&change.leave));
    let grouped = match &change.group {
        GroupChange::Kept => true,
        GroupChange::Set(group) => found.group.as_ref() == Some(group),
        GroupChange::Cleared => found.group.is_none(),
    };
    joined && left && grouped
}

/// Puts `change` into the JSON of a network interface whose primary configuration is called `primary`.
pub(super) fn interface(body: &mut Value, change: &InterfaceChange, primary: Option<&str>) {
    within(body, "ipConfigurations", |configurations| {
        for configuration in configurations {
            let first = primary.is_some_and(|name| is_called(configuration, name));
            if first || at(configuration, &["properties", MEMBERSHIPS]).is_some_and(Value::is_array) {
                within(configuration, MEMBERSHIPS, |pools| memberships(pools, change, first));
            }
        }
    });
    if let Some(properties) = body.get_mut("properties").and_then(Value::as_object_mut) {
        match &change.group {
            GroupChange::Kept => {}
            GroupChange::Set(group) => {
                properties.insert(GROUP.into(), json!({"id": group.as_str()}));
            }
            GroupChange::Cleared => {
                properties.remove(GROUP);
            }
        }
    }
}

fn memberships(pools: &mut Vec<Value>, change: &InterfaceChange, primary: bool) {
    let id = |pool: &Value| text_at(pool, &["id"]).map(ResourceId::new);
    pools.retain(|pool| id(pool).is_none_or(|id| !change.leave.contains(&id)));
    for pool in change.join.iter().filter(|_| primary) {
        if !pools.iter().any(|held| id(held).as_ref() == Some(pool)) {
            pools.push(json!({"id": pool.as_str()}));
        }
    }
}

/// The JSON of an inbound NAT rule, version 2.
pub(super) fn nat_rule(rule: &HeldNatRule) -> Value {
    let protocol = match rule.protocol {
        Some(Protocol::Tcp) => "Tcp",
        Some(Protocol::Udp) => "Udp",
        None => "All",
    };
    json!({
        "name": rule.name,
        "properties": {
            "frontendIPConfiguration": {"id": rule.frontend.as_str()},
            "backendAddressPool": rule.pool.as_ref().map(|pool| json!({"id": pool.as_str()})),
            "protocol": protocol,
            "frontendPortRangeStart": rule.ports.first,
            "frontendPortRangeEnd": rule.ports.last,
            "backendPort": rule.backend_port,
            "idleTimeoutInMinutes": rule.idle_timeout_minutes,
            "enableFloatingIP": rule.floating,
        },
    })
}

/// The JSON of a security rule. One source is written in the singular, as people and portals do.
pub(super) fn security_rule(rule: &SecurityRule) -> Value {
    let protocol = match rule.protocol {
        Some(Protocol::Tcp) => "Tcp",
        Some(Protocol::Udp) => "Udp",
        None => "*",
    };
    let mut properties = json!({
        "priority": rule.priority,
        "direction": if rule.inbound { "Inbound" } else { "Outbound" },
        "access": if rule.allow { "Allow" } else { "Deny" },
        "protocol": protocol,
        "sourcePortRange": "*",
        "description": "Lets in whom cnamed's configuration names; changes made here are undone.",
    });
    let sources: Vec<String> = rule.sources.iter().map(Source::to_string).collect();
    let destinations: Vec<String> = rule.destinations.iter().map(Source::to_string).collect();
    let ports: Vec<String> = rule.ports.iter().map(Ports::to_string).collect();
    if let Some(properties) = properties.as_object_mut() {
        plural(properties, "sourceAddressPrefix", "sourceAddressPrefixes", sources);
        plural(properties, "destinationAddressPrefix", "destinationAddressPrefixes", destinations);
        plural(properties, "destinationPortRange", "destinationPortRanges", ports);
    }
    json!({"name": rule.name, "properties": properties})
}

fn plural(properties: &mut Map<String, Value>, one: &str, many: &str, values: Vec<String>) {
    match <[String; 1]>::try_from(values) {
        Ok([value]) => properties.insert(one.into(), value.into()),
        Err(values) => properties.insert(many.into(), values.into()),
    };
}

/// `resource` with every member of `body` in place of its own, and nothing beside it that would say otherwise.
pub(super) fn over(resource: &Value, body: &Value) -> Value {
    let mut merged = settable(resource, READ_ONLY);
    let (Some(target), Some(source)) = (
        merged.get_mut("properties").and_then(Value::as_object_mut),
        body.get("properties").and_then(Value::as_object),
    ) else {
        return body.clone();
    };
    for member in REPLACED.as_flattened() {
        target.remove(*member);
    }
    for (key, value) in source {
        target.insert(key.clone(), value.clone());
    }
    merged
}

/// `resource` less what Azure alone sets, in itself and in the parts that it lists.
pub(super) fn settable_parts(resource: &Value) -> Value {
    let mut body = settable(resource, READ_ONLY);
    let Some(properties) = body.get_mut("properties").and_then(Value::as_object_mut) else { return body };
    for entry in properties.values_mut().filter_map(Value::as_array_mut).flatten() {
        let Some(members) = entry.as_object_mut() else { continue };
        members.remove("etag");
        members.remove("type");
        if let Some(inner) = members.get_mut("properties").and_then(Value::as_object_mut) {
            inner.retain(|key, _| !READ_ONLY_PARTS.contains(&key.as_str()));
            derived(inner);
        }
    }
    body
}

/// A pool also lists the addresses of its network interfaces, which follow from those: an entry that says nothing else
/// is left out, and of the others what Azure alone sets.
fn derived(pool: &mut Map<String, Value>) {
    let Some(Value::Array(mut addresses)) = pool.remove(ADDRESSES) else { return };
    addresses.retain(|address| {
        let said = |key: &&str| at(address, &["properties", key]).is_some_and(|value| !value.is_null());
        SETTABLE_ADDRESS.iter().any(said) || at(address, &["properties", BY_INTERFACE]).is_none()
    });
    for address in &mut addresses {
        let Some(members) = address.as_object_mut() else { continue };
        members.remove("etag");
        members.remove("type");
        if let Some(inner) = members.get_mut("properties").and_then(Value::as_object_mut) {
            inner.retain(|key, _| !READ_ONLY_ADDRESS.contains(&key.as_str()));
        }
    }
    if !addresses.is_empty() {
        pool.insert(ADDRESSES.to_owned(), addresses.into());
    }
}

/// Lets `change` work on the entries of a collection, made where there is none.
fn within(body: &mut Value, collection: &str, change: impl FnOnce(&mut Vec<Value>)) {
    let Some(properties) = body.get_mut("properties").and_then(Value::as_object_mut) else { return };
    let mut entries = match properties.remove(collection) {
        Some(Value::Array(entries)) => entries,
        _ => Vec::new(),
    };
    change(&mut entries);
    properties.insert(collection.to_owned(), entries.into());
}

fn is_called(entry: &Value, name: &str) -> bool {
    text_at(entry, &["name"]).is_some_and(|held| held.eq_ignore_ascii_case(name))
}

const MEMBERSHIPS: &str = "loadBalancerBackendAddressPools";
const ADDRESSES: &str = "loadBalancerBackendAddresses";
const BY_INTERFACE: &str = "networkInterfaceIPConfiguration";
/// What can be set of an address in a pool (loadBalancer.json).
const SETTABLE_ADDRESS: [&str; 5] =
    ["ipAddress", "virtualNetwork", "subnet", "loadBalancerFrontendIPConfiguration", "adminState"];
const READ_ONLY_ADDRESS: [&str; 3] = [BY_INTERFACE, "inboundNatRulesPortMapping", "provisioningState"];
const GROUP: &str = "networkSecurityGroup";

/// Members of a rule that go before ours come: one form of what Azure has in the singular and in the plural, and what would
/// narrow a security rule or lead a NAT rule as in version 1 (networkSecurityGroup.json, loadBalancer.json).
const REPLACED: [[&str; 2]; 6] = [
    ["sourceAddressPrefix", "sourceAddressPrefixes"],
    ["destinationAddressPrefix", "destinationAddressPrefixes"],
    ["sourcePortRange", "sourcePortRanges"],
    ["destinationPortRange", "destinationPortRanges"],
    ["sourceApplicationSecurityGroups", "destinationApplicationSecurityGroups"],
    ["frontendPort", "backendIPConfiguration"],
];

/// What the specifications of these resources mark as read-only (loadBalancer.json, networkInterface.json,
/// networkSecurityGroup.json).
const READ_ONLY: &[&str] = &[
    "name",
    "type",
    "etag",
    "properties/provisioningState",
    "properties/resourceGuid",
    "properties/virtualMachine",
    "properties/macAddress",
    "properties/primary",
    "properties/privateEndpoint",
    "properties/hostedWorkloads",
    "properties/tapConfigurations",
    "properties/vnetEncryptionSupported",
    "properties/defaultOutboundConnectivityEnabled",
    "properties/dscpConfiguration",
    "properties/dnsSettings/appliedDnsServers",
    "properties/dnsSettings/internalFqdn",
    "properties/dnsSettings/internalDomainNameSuffix",
];

/// The same, in the parts that they list.
const READ_ONLY_PARTS: [&str; 10] = [
    "provisioningState",
    "backendIPConfiguration",
    "backendIPConfigurations",
    "loadBalancingRules",
    "inboundNatRules",
    "inboundNatPools",
    "outboundRules",
    "outboundRule",
    "privateLinkConnectionProperties",
    "resourceGuid",
];
