//! Network security groups: priorities unique in each direction, and the rules that are always there.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::super::arm;
use super::super::authority::Principal;
use super::super::resource::{Kind, Proposal, Resource};
use super::{children, nics, reference};
use crate::sandbox::exchange::Response;
use crate::sandbox::world::World;

/// `Microsoft.Network/networkSecurityGroups`.
pub(super) const KIND: Kind = Kind { name: NAME, prepare, render, removable };

fn prepare(_: &mut World, _: &Principal, proposal: &Proposal) -> Result<Map<String, Value>, Response> {
    let mut document = proposal.document.clone();
    children::strip(&mut document);
    let mut taken: HashMap<(String, i64), &str> = HashMap::new();
    for (name, rule) in children::entries(&document, "securityRules") {
        let text = |key: &str| rule.get(key).and_then(Value::as_str);
        let missing = |key: &str| {
            let message = format!(
                "Required security rule parameters are missing for security rule with Id: {}/securityRules/{name}. Security rule must specify {key}.",
                proposal.id
            );
            arm::error(400, "SecurityRuleParameterNotSpecified", &message)
        };
        for key in ["access", "protocol"] {
            text(key).ok_or_else(|| missing(key))?;
        }
        let direction = text("direction").ok_or_else(|| missing("direction"))?;
        let either = [
            ["sourceAddressPrefix", "sourceAddressPrefixes"],
            ["destinationAddressPrefix", "destinationAddressPrefixes"],
            ["sourcePortRange", "sourcePortRanges"],
            ["destinationPortRange", "destinationPortRanges"],
        ];
        for [one, many] in either {
            let set = |key: &str| {
                rule.get(key).is_some_and(|value| !matches!(value, Value::Null) && *value != json!([]))
            };
            let groups = one.replace("AddressPrefix", "ApplicationSecurityGroups");
            if !set(one) && !set(many) && !set(&groups) {
                return Err(missing(one));
            }
        }
        let priority = rule.get("priority").and_then(Value::as_i64).ok_or_else(|| missing("priority"))?;
        if !(100..=4096).contains(&priority) {
            let message = format!(
                "Security rule has invalid Priority. Value provided: {priority} Allowed range 100-4096."
            );
            return Err(arm::error(400, "SecurityRuleInvalidPriority", &message));
        }
        if text("description").is_some_and(|description| description.chars().count() > 140) {
            let message = format!("Security rule {name} has a description longer than 140 characters.");
            return Err(arm::error(400, "SecurityRuleDescriptionTooLong", &message));
        }
        if let Some(other) = taken.insert((direction.to_ascii_lowercase(), priority), name) {
            let message = format!(
                "Security rule {name} conflicts with rule {other}. Rules cannot have the same Priority and Direction."
            );
            return Err(arm::error(400, "SecurityRuleConflict", &message));
        }
    }
    Ok(document)
}

fn render(world: &World, resource: &Resource, properties: &mut Value) {
    if properties.get("securityRules").is_none() {
        properties["securityRules"] = json!([]);
    }
    children::render(world, resource, properties);
    let defaults = DEFAULTS.map(|(name, priority, access, direction, source, destination)| {
        json!({
            "name": name,
            "id": format!("{}/defaultSecurityRules/{name}", resource.id),
            "etag": resource.etag,
            "type": "Microsoft.Network/networkSecurityGroups/defaultSecurityRules",
            "properties": {
                "provisioningState": resource.state, "protocol": "*", "sourcePortRange": "*", "destinationPortRange": "*",
                "sourceAddressPrefix": source, "destinationAddressPrefix": destination, "access": access,
                "priority": priority, "direction": direction,
            },
        })
    });
    properties["defaultSecurityRules"] = json!(defaults);
}

fn removable(world: &World, resource: &Resource) -> Result<(), Response> {
    let user = nics(world).find(|nic| {
        nic.document.get("properties").and_then(|p| reference(p, "networkSecurityGroup")).as_ref()
            == Some(&resource.id)
    });
    let Some(user) = user else { return Ok(()) };
    let message = format!(
        "Network security group {} cannot be deleted because it is in use by the following resources: {}. In order to \
         delete the Network security group, remove the association with the resource(s).",
        resource.id, user.id
    );
    Err(arm::error(400, "InUseNetworkSecurityGroupCannotBeDeleted", &message))
}

const NAME: &str = "Microsoft.Network/networkSecurityGroups";
type Default = (&'static str, u32, &'static str, &'static str, &'static str, &'static str);
const DEFAULTS: [Default; 6] = [
    ("AllowVnetInBound", 65000, "Allow", "Inbound", "VirtualNetwork", "VirtualNetwork"),
    ("AllowAzureLoadBalancerInBound", 65001, "Allow", "Inbound", "AzureLoadBalancer", "*"),
    ("DenyAllInBound", 65500, "Deny", "Inbound", "*", "*"),
    ("AllowVnetOutBound", 65000, "Allow", "Outbound", "VirtualNetwork", "VirtualNetwork"),
    ("AllowInternetOutBound", 65001, "Allow", "Outbound", "*", "Internet"),
    ("DenyAllOutBound", 65500, "Deny", "Outbound", "*", "*"),
];
