//! Load balancers with inbound NAT rules: one SKU with their public IP, one rule a frontend port.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::super::arm::{self, Id};
use super::super::authority::Principal;
use super::super::resource::{Kind, Proposal, Resource, sku};
use super::{children, must_be_free, must_exist, reference};
use crate::sandbox::exchange::Response;
use crate::sandbox::world::World;

/// `Microsoft.Network/loadBalancers`.
pub(super) const KIND: Kind = Kind { name: NAME, prepare, render, removable };

fn prepare(
    world: &mut World,
    principal: &Principal,
    proposal: &Proposal,
) -> Result<Map<String, Value>, Response> {
    let id = &proposal.id;
    let mut document = proposal.document.clone();
    children::strip(&mut document);
    for (name, properties) in children::entries(&document, "frontendIPConfigurations") {
        if let Some(public_ip) = reference(properties, "publicIPAddress") {
            must_exist(world, id, &public_ip)?;
            let join = ("Microsoft.Network/publicIPAddresses/join/action", public_ip.as_str());
            arm::authorize_linked(principal, "Microsoft.Network/loadBalancers/write", id.as_str(), join)?;
            must_be_free(world, &format!("{id}/frontendIPConfigurations/{name}"), &public_ip)?;
            let theirs = world.azure.network.get(&public_ip.key()).map_or("Basic", Resource::sku);
            if theirs != sku(&document) {
                let message = format!(
                    "{} sku load balancer {id} cannot reference {theirs} sku publicIP {public_ip}.",
                    sku(&document)
                );
                return Err(arm::error(400, "PublicIPAndLBSkuDoNotMatch", &message));
            }
        }
    }
    rules(id, &document)?;
    let name = sku(&document).to_owned();
    document.insert("sku".into(), json!({"name": name, "tier": "Regional"}));
    if let Some(listed) = document.get_mut("properties").and_then(|p| p.get_mut("inboundNatRules")) {
        for rule in listed.as_array_mut().into_iter().flatten() {
            let Some(inner) = rule.get_mut("properties").and_then(Value::as_object_mut) else { continue };
            inner.entry("protocol").or_insert_with(|| json!("Tcp"));
            inner.entry("idleTimeoutInMinutes").or_insert_with(|| json!(4));
            inner.entry("enableFloatingIP").or_insert_with(|| json!(false));
            inner.entry("enableTcpReset").or_insert_with(|| json!(false));
        }
    }
    Ok(document)
}

/// Ports in range, frontends that exist, no two rules on one frontend port.
fn rules(id: &Id, document: &Map<String, Value>) -> Result<(), Response> {
    let mut taken: HashMap<(String, String, i64), &str> = HashMap::new();
    for collection in ["inboundNatRules", "loadBalancingRules"] {
        for (name, rule) in children::entries(document, collection) {
            let rule_id = format!("{id}/{collection}/{name}");
            let number = |key: &str| rule.get(key).and_then(Value::as_i64);
            let Some(frontend) = reference(rule, "frontendIPConfiguration") else {
                let message = format!("Rule {rule_id} must reference a frontend IP configuration.");
                return Err(arm::error(400, "RuleMustHaveFrontendIpConfiguration", &message));
            };
            let known = children::entries(document, "frontendIPConfigurations")
                .any(|(at, _)| frontend == Id::new(format!("{id}/frontendIPConfigurations/{at}")));
            if !known {
                let message = format!("Resource {frontend} referenced by resource {rule_id} was not found.");
                return Err(arm::error(400, "InvalidResourceReference", &message));
            }
            let start = number("frontendPortRangeStart").filter(|port| *port != 0).or(number("frontendPort"));
            let end = number("frontendPortRangeEnd").filter(|port| *port != 0).or(start);
            let (Some(start), Some(end)) = (start, end) else {
                let message = format!("Rule {rule_id} must have a frontend port.");
                return Err(arm::error(400, "InvalidFrontendPort", &message));
            };
            if !(1..=65534).contains(&start) || !(start..=65534).contains(&end) {
                let message = format!("Rule {rule_id} has frontend ports outside of 1-65534.");
                return Err(arm::error(400, "InvalidFrontendPort", &message));
            }
            if !number("backendPort").is_some_and(|port| (1..=65535).contains(&port)) {
                let message = format!("Rule {rule_id} has a backend port outside of 1-65535.");
                return Err(arm::error(400, "InvalidBackendPort", &message));
            }
            let protocol = rule.get("protocol").and_then(Value::as_str).unwrap_or("Tcp").to_ascii_lowercase();
            for port in start..=end {
                if let Some(other) = taken.insert((frontend.key(), protocol.clone(), port), name) {
                    let message = format!(
                        "Load balancing rules {id}/{collection}/{other} and {rule_id} use the same frontend port, \
                         protocol and IP configuration."
                    );
                    return Err(arm::error(400, "RulesUseSameFrontendPortProtocolAndIPConfig", &message));
                }
            }
        }
    }
    Ok(())
}

fn render(world: &World, resource: &Resource, properties: &mut Value) {
    for collection in [
        "frontendIPConfigurations",
        "backendAddressPools",
        "loadBalancingRules",
        "probes",
        "inboundNatRules",
        "outboundRules",
        "inboundNatPools",
    ] {
        if properties.get(collection).is_none() {
            properties[collection] = json!([]);
        }
    }
    children::render(world, resource, properties);
    let rules = properties["inboundNatRules"].clone();
    for frontend in properties["frontendIPConfigurations"].as_array_mut().into_iter().flatten() {
        let id = frontend["id"].as_str().map(Id::new);
        let on_it = rules
            .as_array()
            .into_iter()
            .flatten()
            .filter(|rule| reference(&rule["properties"], "frontendIPConfiguration") == id);
        let ids: Vec<_> = on_it.map(|rule| json!({"id": rule["id"]})).collect();
        if !ids.is_empty() {
            frontend["properties"]["inboundNatRules"] = json!(ids);
        }
    }
}

fn removable(_: &World, _: &Resource) -> Result<(), Response> {
    Ok(())
}

const NAME: &str = "Microsoft.Network/loadBalancers";
