//! Load balancers with inbound NAT rules: one SKU with their public IP, one rule a frontend port.

pub(super) mod rule;

use serde_json::{Map, Value, json};

use super::super::arm::{self, Id};
use super::super::resource::{Child, Kind, Proposal, Resource, sku};
use super::documents::{Configuration, Documents};
use super::{
    balance, children, links, must_be_free, must_exist, nics, port_mapping, reference, references, subnet,
};
use crate::sandbox::exchange::Response;
use crate::sandbox::world::World;

/// `Microsoft.Network/loadBalancers`.
pub(super) const KIND: Kind = Kind {
    name: NAME,
    links: links::load_balancer,
    prepare,
    render,
    removable: |_, _| Ok(()),
    children: &[
        Child { collection: "inboundNatRules", writable: true },
        Child { collection: "backendAddressPools", writable: true },
        Child { collection: "frontendIPConfigurations", writable: false },
        Child { collection: "loadBalancingRules", writable: false },
        Child { collection: "outboundRules", writable: false },
        Child { collection: "probes", writable: false },
    ],
};

fn prepare(world: &mut World, proposal: &Proposal) -> Result<Map<String, Value>, Response> {
    let id = &proposal.id;
    let mut document = proposal.document.clone();
    children::strip(&mut document);
    frontends(world, proposal, &document)?;
    let name = sku(&document).to_owned();
    sellable(world, proposal, &name)?;
    let tier = document.get("sku").and_then(|sku| sku.get("tier")).cloned();
    document.insert("sku".into(), json!({"name": name, "tier": tier.unwrap_or_else(|| json!("Regional"))}));
    rule::check(id, &document)?;
    pools(world, proposal, &document)?;
    complete(world, id, &mut document);
    balance::of_balancer(&Documents::draft(world, id, &document), id)?;
    Ok(document)
}

/// Public addresses of the same SKU and region, free to be used; or private ones of one subnet. Not both.
fn frontends(world: &World, proposal: &Proposal, document: &Map<String, Value>) -> Result<(), Response> {
    let id = &proposal.id;
    let (mut public, mut internal) = (0, 0);
    for (name, properties) in children::entries(document, "frontendIPConfigurations") {
        let own = format!("{id}/frontendIPConfigurations/{name}");
        let address = reference(properties, "publicIPAddress");
        let subnet = reference(properties, "subnet");
        public += usize::from(address.is_some() || reference(properties, "publicIPPrefix").is_some());
        internal += usize::from(subnet.is_some());
        if let Some(public_ip) = &address {
            must_exist(world, proposal, public_ip)?;
            must_be_free(world, &own, public_ip)?;
            let theirs = world.azure.network.get(&public_ip.key()).map_or("Basic", Resource::sku);
            if theirs != sku(document) {
                let message = format!(
                    "{} sku load balancer {id} cannot reference {theirs} sku publicIP {public_ip}.",
                    sku(document)
                );
                return Err(arm::error(400, "PublicIPAndLBSkuDoNotMatch", &message));
            }
        }
        if let Some(subnet) = &subnet {
            must_exist(world, proposal, subnet)?;
            subnet::may_have(world, &own, subnet, properties)?;
        }
    }
    let listed = children::entries(document, "frontendIPConfigurations").count();
    if listed != public + internal {
        let message = format!(
            "Each frontend IP configuration of load balancer {id} must reference either a subnet, or a public IP address or \
             prefix."
        );
        return Err(arm::error(
            400,
            "LoadBalancerFrontendIPConfigurationMustReferenceSubnetOrPublicIP",
            &message,
        ));
    }
    if public > 0 && internal > 0 {
        let message = format!(
            "Load balancer {id} cannot have public and private frontend IP configurations at the same time."
        );
        return Err(arm::error(400, "LoadBalancerCannotHaveBothPublicAndPrivateFrontends", &message));
    }
    Ok(())
}

/// Standard and Gateway; Basic was retired on 30 September 2025 and remains where it was made before.
fn sellable(world: &World, proposal: &Proposal, name: &str) -> Result<(), Response> {
    let id = &proposal.id;
    if !["Basic", "Standard", "Gateway"].contains(&name) {
        let message =
            format!("Error converting value \"{name}\" to type 'LoadBalancerSkuName'. Path 'sku.name'.");
        return Err(super::super::public_ip::invalid_format("InvalidJson", &message));
    }
    match &proposal.before {
        Some(before) if before.sku() != name => {
            let message = format!(
                "Sku property is set at creation time and cannot be changed from {} to {name} on resource update for \
                 resource {id}.",
                before.sku()
            );
            Err(arm::error(400, "SkuCannotBeChangedOnUpdate", &message))
        }
        None if name == "Basic" && !world.azure.past => {
            let message = format!(
                "Cannot create load balancer {id} with Basic sku. Basic load balancers were retired on 30 September 2025."
            );
            Err(arm::error(400, "BasicSkuLoadBalancerNotAllowed", &message))
        }
        _ => Ok(()),
    }
}

/// A pool that an interface refers to stays.
fn pools(world: &World, proposal: &Proposal, document: &Map<String, Value>) -> Result<(), Response> {
    let id = &proposal.id;
    let Some(before) = &proposal.before else { return Ok(()) };
    for (name, _) in children::entries(&before.document, "backendAddressPools") {
        let pool = Id::new(format!("{id}/backendAddressPools/{name}"));
        let kept =
            children::entries(document, "backendAddressPools").any(|(at, _)| at.eq_ignore_ascii_case(name));
        let user = || {
            nics(world).find_map(|nic| {
                children::entries(&nic.document, "ipConfigurations").find_map(|(at, properties)| {
                    references(properties, "loadBalancerBackendAddressPools")
                        .any(|to| to == pool)
                        .then(|| format!("{}/ipConfigurations/{at}", nic.id))
                })
            })
        };
        if let Some(user) = (!kept).then(user).flatten() {
            let message = format!(
                "Cannot remove backend address pool {name} from load balancer {id} since it is in use by network \
                 interface {user}."
            );
            return Err(arm::error(400, "InUseBackendAddressPoolCannotBeDeleted", &message));
        }
    }
    Ok(())
}

/// Fills in what was not given.
fn complete(world: &World, id: &Id, document: &mut Map<String, Value>) {
    let before = world.azure.network.get(&id.key()).map(|before| before.document.clone()).unwrap_or_default();
    let Some(properties) = document.get_mut("properties").and_then(Value::as_object_mut) else { return };
    let defaults = [("enableFloatingIP", json!(false)), ("enableTcpReset", json!(false))];
    for collection in ["inboundNatRules", "loadBalancingRules", "inboundNatPools"] {
        for inner in children::inner_mut(properties, collection) {
            inner.entry("protocol").or_insert_with(|| json!("Tcp"));
            inner.entry("idleTimeoutInMinutes").or_insert_with(|| json!(4));
            for (key, value) in &defaults {
                inner.entry(*key).or_insert_with(|| value.clone());
            }
            if collection == "loadBalancingRules" {
                inner.entry("loadDistribution").or_insert_with(|| json!("Default"));
                inner.entry("disableOutboundSnat").or_insert_with(|| json!(false));
            }
            if collection == "inboundNatRules" && inner.contains_key("frontendPortRangeStart") {
                inner.insert("frontendPort".into(), json!(0));
            }
            children::spell(inner, "protocol", &["Tcp", "Udp", "All"]);
        }
    }
    for entry in properties.get_mut("backendAddressPools").and_then(Value::as_array_mut).into_iter().flatten()
    {
        // What the service adds for interfaces comes back with the next write, and says nothing.
        if let Some(listed) = entry["properties"].get_mut(ADDRESSES).and_then(Value::as_array_mut) {
            listed.retain(|one| one["properties"].get("networkInterfaceIPConfiguration").is_none());
        }
    }
    for entry in
        properties.get_mut("frontendIPConfigurations").and_then(Value::as_array_mut).into_iter().flatten()
    {
        let name = entry.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let old = children::entries(&before, "frontendIPConfigurations").find(|(at, _)| *at == name);
        let Some(inner) = entry.get_mut("properties").and_then(Value::as_object_mut) else { continue };
        if inner.contains_key("subnet") {
            subnet::give_address(world, inner, old.map(|(_, properties)| properties));
        } else {
            inner.entry("privateIPAllocationMethod").or_insert_with(|| json!("Dynamic"));
        }
    }
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
    let documents = Documents::draft(world, &resource.id, &resource.document);
    for pool in properties["backendAddressPools"].as_array_mut().into_iter().flatten() {
        let Some(id) = pool["id"].as_str().map(Id::new) else { continue };
        let members = documents.members(&id);
        if !members.is_empty() {
            let ids: Vec<Value> = members.iter().map(|member| json!({"id": member.id().as_str()})).collect();
            pool["properties"]["backendIPConfigurations"] = json!(ids);
        }
        let listed = pool["properties"].get(ADDRESSES).and_then(Value::as_array).cloned().unwrap_or_default();
        let added = members.iter().filter(|member| {
            references(member.properties, "loadBalancerBackendAddressPools").any(|to| to == id)
        });
        let all: Vec<Value> =
            listed.into_iter().chain(added.map(|member| address(world, &documents, &id, member))).collect();
        if !all.is_empty() {
            pool["properties"][ADDRESSES] = json!(all);
        }
    }
    for rule in properties["inboundNatRules"].as_array_mut().into_iter().flatten() {
        let Some(id) = rule["id"].as_str().map(Id::new) else { continue };
        let named = |member: &Configuration<'_>| {
            references(member.properties, "loadBalancerInboundNatRules").any(|to| to == id)
        };
        if let Some(member) = documents.configurations().find(named) {
            rule["properties"]["backendIPConfiguration"] = json!({"id": member.id().as_str()});
        }
    }
    let rules = ["inboundNatRules", "inboundNatPools", "loadBalancingRules", "outboundRules"];
    for (collection, key) in [
        ("frontendIPConfigurations", FRONTEND),
        ("backendAddressPools", "backendAddressPool"),
        ("probes", "probe"),
    ] {
        for referring in rules {
            backlinks(properties, collection, key, referring);
        }
    }
}

/// One entry of `loadBalancerBackendAddresses` as the service adds it for an interface.
fn address(world: &World, documents: &Documents<'_>, pool: &Id, member: &Configuration<'_>) -> Value {
    let ports: Vec<Value> = port_mapping::of_member(world, documents, pool, &member.id())
        .map(|(_, mut mapping)| {
            // The shorter form of the two, `NatRulePortMapping`.
            if let Some(mapping) = mapping.as_object_mut() {
                mapping.remove("protocol");
            }
            mapping
        })
        .collect();
    let mut shown = json!({
        "name": format!("{}_{}{}", member.nic.group(), member.nic.name(), member.name),
        "properties": {"networkInterfaceIPConfiguration": {"id": member.id().as_str()}},
    });
    if !ports.is_empty() {
        shown["properties"]["inboundNatRulesPortMapping"] = json!(ports);
    }
    shown
}

/// Says on each entry of `collection` which entries of `referring` refer to it by `key`.
fn backlinks(properties: &mut Value, collection: &str, key: &str, referring: &str) {
    let rules = properties[referring].clone();
    for entry in properties[collection].as_array_mut().into_iter().flatten() {
        let Some(id) = entry["id"].as_str().map(Id::new) else { continue };
        let refers = |rule: &&Value| {
            let inner = &rule["properties"];
            let several = format!("{key}s");
            reference(inner, key).into_iter().chain(references(inner, &several)).any(|to| to == id)
        };
        let listed = rules.as_array().into_iter().flatten().filter(refers);
        let ids: Vec<Value> = listed.map(|rule| json!({"id": rule["id"]})).collect();
        if !ids.is_empty() {
            entry["properties"][referring] = json!(ids);
        }
    }
}

/// The load balancer has gone, and what interfaces referred to in it with it: for machines of their own it may go
/// while they do (cloud-provider-azure, `safeDeleteLoadBalancer`; only scale sets must leave first).
pub(super) fn removed(world: &mut World, id: &Id) {
    let prefix = format!("{}/", id.key());
    for nic in world.azure.network.values_mut().filter(|resource| super::nic::is_one(&resource.id)) {
        let mut changed = false;
        if let Some(properties) = nic.document.get_mut("properties").and_then(Value::as_object_mut) {
            for inner in children::inner_mut(properties, "ipConfigurations") {
                for key in ["loadBalancerBackendAddressPools", "loadBalancerInboundNatRules"] {
                    let Some(listed) = inner.get_mut(key).and_then(Value::as_array_mut) else { continue };
                    let before = listed.len();
                    listed.retain(|one| {
                        !one["id"].as_str().is_some_and(|id| id.to_ascii_lowercase().starts_with(&prefix))
                    });
                    changed |= listed.len() != before;
                    if listed.is_empty() {
                        inner.remove(key);
                    }
                }
            }
        }
        if changed {
            nic.touch(nic.state);
        }
    }
}

const NAME: &str = "Microsoft.Network/loadBalancers";
const FRONTEND: &str = "frontendIPConfiguration";
const ADDRESSES: &str = "loadBalancerBackendAddresses";
