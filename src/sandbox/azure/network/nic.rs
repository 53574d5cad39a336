//! Network interfaces: what they refer to must be there, and a public IP serves one of them at a time.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::{Map, Value, json};

use super::super::arm;
use super::super::authority::Principal;
use super::super::resource::{Kind, Proposal, Resource};
use super::{children, must_be_free, must_exist, nics, reference, references};
use crate::sandbox::exchange::Response;
use crate::sandbox::world::World;

/// `Microsoft.Network/networkInterfaces`.
pub(super) const KIND: Kind = Kind { name: NAME, prepare, render, removable };

fn prepare(
    world: &mut World,
    principal: &Principal,
    proposal: &Proposal,
) -> Result<Map<String, Value>, Response> {
    let id = &proposal.id;
    let mut document = proposal.document.clone();
    children::strip(&mut document);
    let linked = |action: &str, to: &arm::Id| {
        let action = format!("Microsoft.Network/{action}/join/action");
        let write = "Microsoft.Network/networkInterfaces/write";
        arm::authorize_linked(principal, write, id.as_str(), (&action, to.as_str()))
    };
    if let Some(group) = document.get("properties").and_then(|p| reference(p, "networkSecurityGroup")) {
        must_exist(world, id, &group)?;
        linked("networkSecurityGroups", &group)?;
    }
    let mut any = false;
    for (name, properties) in children::entries(&document, "ipConfigurations") {
        any = true;
        let Some(subnet) = reference(properties, "subnet") else {
            let message =
                format!("Subnet reference is required for ipconfiguration {id}/ipConfigurations/{name}.");
            return Err(arm::error(400, "SubnetIsRequired", &message));
        };
        must_exist(world, id, &subnet)?;
        linked("virtualNetworks/subnets", &subnet)?;
        for pool in references(properties, "loadBalancerBackendAddressPools") {
            must_exist(world, id, &pool)?;
            linked("loadBalancers/backendAddressPools", &pool)?;
        }
        for rule in references(properties, "loadBalancerInboundNatRules") {
            must_exist(world, id, &rule)?;
            linked("loadBalancers/inboundNatRules", &rule)?;
        }
        if let Some(public_ip) = reference(properties, "publicIPAddress") {
            must_exist(world, id, &public_ip)?;
            linked("publicIPAddresses", &public_ip)?;
            must_be_free(world, &format!("{id}/ipConfigurations/{name}"), &public_ip)?;
        }
    }
    if !any {
        let message = format!("Network interface {id} must have one or more IP configurations.");
        return Err(arm::error(400, "NetworkInterfaceMustHaveAtLeastOneIpConfiguration", &message));
    }
    one_sku(world, id, &document)?;
    let Some(properties) = document.get_mut("properties").and_then(Value::as_object_mut) else {
        return Ok(document);
    };
    properties.retain(|key, _| !matches!(key.as_str(), "virtualMachine" | "macAddress" | "primary"));
    let mut first = true;
    if let Some(listed) = properties.get_mut("ipConfigurations").and_then(Value::as_array_mut) {
        for entry in listed {
            let Some(inner) = entry.get_mut("properties").and_then(Value::as_object_mut) else { continue };
            let subnet = inner.get("subnet").and_then(|subnet| subnet.get("id")).and_then(Value::as_str);
            let address = subnet.and_then(|subnet| free_address(world, subnet));
            if let Some(address) = address {
                inner.entry("privateIPAddress").or_insert_with(|| json!(address.to_string()));
            }
            inner.entry("privateIPAllocationMethod").or_insert_with(|| json!("Dynamic"));
            inner.entry("privateIPAddressVersion").or_insert_with(|| json!("IPv4"));
            inner.entry("primary").or_insert(json!(first));
            first = false;
        }
    }
    Ok(document)
}

/// The first address of a subnet that no interface has; the first four and the last belong to Azure ("Are there any
/// restrictions on using IP addresses within these subnets?", Virtual Network FAQ).
fn free_address(world: &World, subnet: &str) -> Option<Ipv4Addr> {
    let (network, name) = subnet.rsplit_once("/subnets/")?;
    let held = world.azure.network.values().find(|held| held.id.as_str().eq_ignore_ascii_case(network))?;
    let mut subnets = children::entries(&held.document, "subnets");
    let (_, properties) = subnets.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    let (base, length) = properties.get("addressPrefix")?.as_str()?.split_once('/')?;
    let base = u32::from(base.parse::<Ipv4Addr>().ok()?);
    let size = 1_u32.checked_shl(32 - length.parse::<u32>().ok()?.min(32))?;
    let taken: BTreeSet<String> = nics(world)
        .flat_map(|nic| children::entries(&nic.document, "ipConfigurations"))
        .filter_map(|(_, properties)| Some(properties.get("privateIPAddress")?.as_str()?.to_owned()))
        .collect();
    (4..size.saturating_sub(1))
        .map(|host| Ipv4Addr::from(base + host))
        .find(|free| !taken.contains(&free.to_string()))
}

/// A machine's public IPs and load balancers are all Basic or all Standard.
fn one_sku(world: &World, id: &arm::Id, document: &Map<String, Value>) -> Result<(), Response> {
    let mut skus = BTreeSet::new();
    for (_, properties) in children::entries(document, "ipConfigurations") {
        let pools = references(properties, "loadBalancerBackendAddressPools");
        let rules = references(properties, "loadBalancerInboundNatRules");
        let balancers =
            pools.chain(rules).filter_map(|entry| entry.key().rsplitn(3, '/').nth(2).map(str::to_owned));
        let public_ip = reference(properties, "publicIPAddress").map(|public_ip| public_ip.key());
        for key in balancers.chain(public_ip) {
            skus.extend(world.azure.network.get(&key).map(Resource::sku));
        }
    }
    if skus.len() < 2 {
        return Ok(());
    }
    let message = format!(
        "Different basic sku and standard sku load balancer or public Ip resources are not allowed on network \
         interface {id}."
    );
    Err(arm::error(400, "DifferentSkuLoadBalancersAndPublicIPAddressNotAllowed", &message))
}

fn render(world: &World, resource: &Resource, properties: &mut Value) {
    children::render(world, resource, properties);
    if let Some(machine) = world.azure.machines.values().find(|machine| machine.nic == resource.id) {
        properties["virtualMachine"] = json!({"id": machine.id.as_str()});
        properties["primary"] = json!(true);
        properties["macAddress"] = json!("00-0D-3A-00-00-01");
    }
}

fn removable(world: &World, resource: &Resource) -> Result<(), Response> {
    let Some(machine) = world.azure.machines.values().find(|machine| machine.nic == resource.id) else {
        return Ok(());
    };
    let message = format!(
        "Network Interface {} is used by existing resource {}. In order to delete the network interface, it must be \
         dissociated from the resource. To learn more, see aka.ms/deletenic.",
        resource.id, machine.id
    );
    Err(arm::error(400, "NicInUse", &message))
}

const NAME: &str = "Microsoft.Network/networkInterfaces";
