//! Network security groups: priorities unique in each direction, and the rules that are always there.

pub(crate) mod flow;
mod rule;

use serde_json::{Map, Value, json};

use super::super::arm::{self, Id};
use super::super::resource::{Child, Kind, Proposal, Resource, property};
use super::{children, links, must_exist, nics, reference, references};
use crate::sandbox::exchange::Response;
use crate::sandbox::world::World;

/// `Microsoft.Network/networkSecurityGroups`.
pub(super) const KIND: Kind = Kind {
    name: "Microsoft.Network/networkSecurityGroups",
    links: links::security_group,
    prepare,
    render,
    removable,
    children: &[
        Child { collection: "securityRules", writable: true },
        Child { collection: "defaultSecurityRules", writable: false },
    ],
};

fn prepare(world: &mut World, proposal: &Proposal) -> Result<Map<String, Value>, Response> {
    let mut document = proposal.document.clone();
    children::strip(&mut document);
    for (_, rule) in children::entries(&document, "securityRules") {
        for key in ["sourceApplicationSecurityGroups", "destinationApplicationSecurityGroups"] {
            for to in references(rule, key) {
                must_exist(world, proposal, &to)?;
            }
        }
    }
    rule::check(&proposal.id, &document)?;
    if let Some(properties) = document.get_mut("properties").and_then(Value::as_object_mut) {
        properties.retain(|key, _| !["networkInterfaces", "subnets", "flowLogs"].contains(&key.as_str()));
        for inner in children::inner_mut(properties, "securityRules") {
            children::spell(inner, "protocol", &rule::PROTOCOLS);
            children::spell(inner, "access", &rule::ACCESS);
            children::spell(inner, "direction", &rule::DIRECTIONS);
        }
    }
    Ok(document)
}

fn render(world: &World, resource: &Resource, properties: &mut Value) {
    if properties.get("securityRules").is_none() {
        properties["securityRules"] = json!([]);
    }
    children::render(world, resource, properties);
    for entry in properties["securityRules"].as_array_mut().into_iter().flatten() {
        if let Some(inner) = entry.get_mut("properties").and_then(Value::as_object_mut) {
            for key in PLURALS {
                inner.entry(key).or_insert_with(|| json!([]));
            }
        }
    }
    let defaults = DEFAULTS.map(|(name, priority, access, direction, source, destination)| {
        let mut shown = json!({
            "name": name,
            "id": format!("{}/defaultSecurityRules/{name}", resource.id),
            "etag": resource.etag,
            "type": "Microsoft.Network/networkSecurityGroups/defaultSecurityRules",
            "properties": default_rule(priority, access, direction, source, destination),
        });
        shown["properties"]["provisioningState"] = json!(resource.state);
        shown
    });
    properties["defaultSecurityRules"] = json!(defaults);
    let listed = |found: Vec<String>| found.into_iter().map(|id| json!({"id": id})).collect::<Vec<_>>();
    let (nics, subnets) = users(world, &resource.id);
    if !nics.is_empty() {
        properties["networkInterfaces"] = json!(listed(nics));
    }
    if !subnets.is_empty() {
        properties["subnets"] = json!(listed(subnets));
    }
}

/// The rules that every group has, as their properties, in the order of their priorities within a direction.
pub(super) fn default_rules() -> impl Iterator<Item = Value> {
    DEFAULTS.into_iter().map(|(_, priority, access, direction, source, destination)| {
        default_rule(priority, access, direction, source, destination)
    })
}

fn default_rule(priority: u32, access: &str, direction: &str, source: &str, destination: &str) -> Value {
    json!({
        "protocol": "*", "sourcePortRange": "*", "destinationPortRange": "*", "sourceAddressPrefix": source,
        "destinationAddressPrefix": destination, "access": access, "priority": priority, "direction": direction,
    })
}

/// The interfaces and the subnets that a group guards.
fn users(world: &World, group: &Id) -> (Vec<String>, Vec<String>) {
    let interfaces = nics(world).filter(|nic| {
        nic.document.get("properties").and_then(|p| reference(p, "networkSecurityGroup")).as_ref()
            == Some(group)
    });
    let networks = world.azure.network.values().flat_map(|network| {
        children::entries(&network.document, "subnets").filter_map(move |(name, properties)| {
            let guarded = reference(properties, "networkSecurityGroup").as_ref() == Some(group);
            guarded.then(|| format!("{}/subnets/{name}", network.id))
        })
    });
    (interfaces.map(|nic| nic.id.to_string()).collect(), networks.collect())
}

fn removable(world: &World, resource: &Resource) -> Result<(), Response> {
    let (nics, subnets) = users(world, &resource.id);
    let used: Vec<String> = nics.into_iter().chain(subnets).collect();
    if used.is_empty() {
        return Ok(());
    }
    let message = format!(
        "Network security group {} cannot be deleted because it is in use by the following resources: {}. In order to \
         delete the Network security group, remove the association with the resource(s). To learn how to do this, see \
         aka.ms/deletensg.",
        resource.id,
        used.join(", ")
    );
    Err(arm::error(400, "InUseNetworkSecurityGroupCannotBeDeleted", &message))
}

/// A group's own rules as they are kept.
pub(super) fn own_rules(document: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    property(document, &["securityRules"])
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|rule| rule.get("properties"))
}

type Default = (&'static str, u32, &'static str, &'static str, &'static str, &'static str);
/// "Default security rules", Network security groups.
const DEFAULTS: [Default; 6] = [
    ("AllowVnetInBound", 65000, "Allow", "Inbound", "VirtualNetwork", "VirtualNetwork"),
    ("AllowAzureLoadBalancerInBound", 65001, "Allow", "Inbound", "AzureLoadBalancer", "*"),
    ("DenyAllInBound", 65500, "Deny", "Inbound", "*", "*"),
    ("AllowVnetOutBound", 65000, "Allow", "Outbound", "VirtualNetwork", "VirtualNetwork"),
    ("AllowInternetOutBound", 65001, "Allow", "Outbound", "*", "Internet"),
    ("DenyAllOutBound", 65500, "Deny", "Outbound", "*", "*"),
];
const PLURALS: [&str; 4] =
    ["sourceAddressPrefixes", "destinationAddressPrefixes", "sourcePortRanges", "destinationPortRanges"];
