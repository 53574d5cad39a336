//! Network interfaces: what they refer to must be there, and a public IP serves one of them at a time.
//!
//! A PUT says everything: what it leaves out is gone, down to tags and DNS servers.

use serde_json::{Map, Value, json};

use super::super::arm::{self, Id};
use super::super::resource::{Child, Kind, Proposal, Resource};
use super::documents::{self, Documents};
use super::{balance, children, links, must_be_free, must_exist, reference, references, subnet};
use crate::sandbox::exchange::Response;
use crate::sandbox::world::World;

/// `Microsoft.Network/networkInterfaces`.
pub(super) const KIND: Kind = Kind {
    name: "Microsoft.Network/networkInterfaces",
    links: links::network_interface,
    prepare,
    render,
    removable,
    children: &[Child { collection: "ipConfigurations", writable: false }],
};

/// Whether an id is an interface's.
pub(super) fn is_one(id: &Id) -> bool {
    id.key().contains("/providers/microsoft.network/networkinterfaces/")
}

fn prepare(world: &mut World, proposal: &Proposal) -> Result<Map<String, Value>, Response> {
    let id = &proposal.id;
    let mut document = proposal.document.clone();
    children::strip(&mut document);
    if let Some(group) = document.get("properties").and_then(|p| reference(p, "networkSecurityGroup")) {
        must_exist(world, proposal, &group)?;
    }
    let mut network: Option<Id> = attached_network(world, proposal);
    let mut any = false;
    for (name, properties) in children::entries(&document, "ipConfigurations") {
        any = true;
        let own = format!("{id}/ipConfigurations/{name}");
        let Some(subnet) = reference(properties, "subnet") else {
            let message = format!("Subnet reference is required for ipconfiguration {own}.");
            return Err(arm::error(400, "SubnetIsRequired", &message));
        };
        must_exist(world, proposal, &subnet)?;
        one_network(&own, &mut network, &subnet)?;
        subnet::may_have(world, &own, &subnet, properties)?;
        for key in
            ["loadBalancerBackendAddressPools", "loadBalancerInboundNatRules", "applicationSecurityGroups"]
        {
            for to in references(properties, key) {
                must_exist(world, proposal, &to)?;
            }
        }
        for rule in references(properties, "loadBalancerInboundNatRules") {
            rule_is_free(world, &own, &rule)?;
        }
        if let Some(public_ip) = reference(properties, "publicIPAddress") {
            must_exist(world, proposal, &public_ip)?;
            must_be_free(world, &own, &public_ip)?;
        }
    }
    if !any {
        let message = format!("Network interface {id} must have one or more IP configurations.");
        return Err(arm::error(400, "NetworkInterfaceMustHaveAtLeastOneIpConfiguration", &message));
    }
    complete(world, proposal, &mut document);
    balance::of_interface(&Documents::draft(world, id, &document), id)?;
    Ok(document)
}

/// The network that an interface of a machine stays in.
fn attached_network(world: &World, proposal: &Proposal) -> Option<Id> {
    let before = proposal.before.as_ref()?;
    world.azure.machines.values().find(|machine| machine.nic == before.id)?;
    let (_, properties) = children::entries(&before.document, "ipConfigurations").next()?;
    documents::split(&reference(properties, "subnet")?).map(|(network, _, _)| network)
}

/// All configurations of an interface are in one virtual network.
fn one_network(own: &str, network: &mut Option<Id>, subnet: &Id) -> Result<(), Response> {
    let Some((theirs, _, _)) = documents::split(subnet) else { return Ok(()) };
    match network {
        Some(network) if *network != theirs => {
            let message = format!(
                "IP configuration {own} references subnet {subnet}, which is not in virtual network {network} of the \
                 network interface."
            );
            Err(arm::error(400, "SubnetsNotInSameVnet", &message))
        }
        _ => {
            *network = Some(theirs);
            Ok(())
        }
    }
}

/// An inbound NAT rule of version 1 leads to one configuration; one of version 2 leads to its pool, and cannot be
/// referred to.
fn rule_is_free(world: &World, own: &str, rule: &Id) -> Result<(), Response> {
    let other = super::nics(world).find_map(|nic| {
        children::entries(&nic.document, "ipConfigurations")
            .map(|(name, properties)| (format!("{}/ipConfigurations/{name}", nic.id), properties))
            .find(|(at, properties)| {
                !at.eq_ignore_ascii_case(own)
                    && references(properties, "loadBalancerInboundNatRules").any(|to| to == *rule)
            })
    });
    if let Some((other, _)) = other {
        let message =
            format!("Inbound NAT rule {rule} is already in use by {other} and cannot be used by {own}.");
        return Err(arm::error(400, "InboundNatRuleInUse", &message));
    }
    let has_pool = documents::split(rule).and_then(|(balancer, collection, name)| {
        let held = world.azure.network.get(&balancer.key())?;
        let mut rules = children::entries(&held.document, children::spelled(&collection)?);
        rules
            .find(|(at, _)| at.eq_ignore_ascii_case(&name))
            .map(|(_, rule)| rule.get("backendAddressPool").is_some())
    });
    if has_pool == Some(true) {
        let message = format!(
            "Inbound NAT rule {rule} references a backend address pool and cannot be referenced by IP configuration {own}."
        );
        return Err(arm::error(
            400,
            "InboundNatRuleWithBackendPoolCannotBeReferencedByIpConfiguration",
            &message,
        ));
    }
    Ok(())
}

/// Fills in what was not given, and takes out what only the service says.
fn complete(world: &World, proposal: &Proposal, document: &mut Map<String, Value>) {
    let before = proposal.before.as_ref().map(|before| before.document.clone()).unwrap_or_default();
    let Some(properties) = document.get_mut("properties").and_then(Value::as_object_mut) else { return };
    properties.retain(|key, _| !READ_ONLY.contains(&key.as_str()));
    let settings = properties.entry("dnsSettings").or_insert_with(|| json!({}));
    if let Some(settings) = settings.as_object_mut() {
        settings.retain(|key, _| matches!(key.as_str(), "dnsServers" | "internalDnsNameLabel"));
        settings.entry("dnsServers").or_insert_with(|| json!([]));
    }
    for key in ["enableAcceleratedNetworking", "enableIPForwarding", "disableTcpStateTracking"] {
        properties.entry(key).or_insert(json!(false));
    }
    properties.entry("nicType").or_insert_with(|| json!("Standard"));
    properties.entry("auxiliaryMode").or_insert_with(|| json!("None"));
    properties.entry("auxiliarySku").or_insert_with(|| json!("None"));
    let mut first = true;
    for entry in properties.get_mut("ipConfigurations").and_then(Value::as_array_mut).into_iter().flatten() {
        let name = entry.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let old =
            children::entries(&before, "ipConfigurations").find(|(at, _)| at.eq_ignore_ascii_case(&name));
        let Some(inner) = entry.get_mut("properties").and_then(Value::as_object_mut) else { continue };
        subnet::give_address(world, inner, old.map(|(_, properties)| properties));
        inner.entry("primary").or_insert(json!(first));
        // An empty list was not set.
        inner.retain(|_, value| *value != json!([]));
        first = false;
    }
}

fn render(world: &World, resource: &Resource, properties: &mut Value) {
    children::render(world, resource, properties);
    properties["vnetEncryptionSupported"] = json!(false);
    properties["hostedWorkloads"] = json!([]);
    properties["tapConfigurations"] = json!([]);
    if let Some(settings) = properties.get_mut("dnsSettings").and_then(Value::as_object_mut) {
        settings.insert("appliedDnsServers".into(), json!([]));
        settings.insert("internalDomainNameSuffix".into(), json!(INTERNAL_SUFFIX));
    }
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

/// `readOnly` in `NetworkInterfacePropertiesFormat`.
const READ_ONLY: [&str; 8] = [
    "virtualMachine",
    "macAddress",
    "primary",
    "vnetEncryptionSupported",
    "hostedWorkloads",
    "tapConfigurations",
    "dscpConfiguration",
    "privateEndpoint",
];
const INTERNAL_SUFFIX: &str = "sandbox.ax.internal.cloudapp.net";
