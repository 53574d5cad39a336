//! What happens without our doing: in the portal, and in other tenants.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::LegacyPublicIp;
use crate::sandbox::azure::label::Holder;
use crate::sandbox::azure::seed::{LOCATION, NETWORK_GROUP, NIC};
use crate::sandbox::azure::{self, Id, Resource, compute, label, public_ip};
use crate::sandbox::world::World;

pub(super) fn power(world: &mut World, on: bool) {
    let machines: Vec<Id> = world.azure.machines.values().map(|machine| machine.id.clone()).collect();
    for machine in machines {
        compute::power(world, &machine, on);
    }
}

pub(super) fn machine(world: &mut World, name: &str, interface: &str) -> Result<(), String> {
    let nic = Id::of(NETWORK_GROUP, "Microsoft.Network/networkInterfaces", interface);
    if !world.azure.network.contains_key(&nic.key()) {
        return Err(format!("there is no {nic}"));
    }
    let machine = compute::create(&mut world.azure, name, nic)?;
    compute::power(world, &machine, true);
    Ok(())
}

pub(super) fn made_at(world: &mut World, name: &str, at: OffsetDateTime) -> Result<(), String> {
    let named = |resource: &&mut Resource| resource.id.name().eq_ignore_ascii_case(name);
    let resource =
        world.azure.network.values_mut().find(named).ok_or_else(|| format!("there is no {name}"))?;
    resource.created = at;
    Ok(())
}

pub(super) fn recreate(world: &mut World, name: &str) -> Result<(), String> {
    let id = find(world, name)?;
    let Some(old) = world.azure.network.remove(&id.key()) else { return Err(missing(name)) };
    public_ip::removed(world, &old);
    let mut fresh = Resource::new(id.clone(), old.document, world.clock);
    fresh.lease.fqdn.clone_from(&old.lease.fqdn);
    world.azure.network.insert(id.key(), fresh);
    if let Some(fqdn) = &old.lease.fqdn {
        world.azure.labels.hold(fqdn, Holder::PublicIp(id.clone()));
    }
    public_ip::written(world, &id);
    Ok(())
}

pub(super) fn delete(world: &mut World, name: &str) -> Result<(), String> {
    let id = find(world, name)?;
    azure::detach(world, &id);
    let Some(old) = world.azure.network.remove(&id.key()) else { return Err(missing(name)) };
    public_ip::removed(world, &old);
    Ok(())
}

pub(super) fn legacy(world: &mut World, wanted: &LegacyPublicIp) -> Result<(), String> {
    let id = Id::of(&wanted.resource_group, "Microsoft.Network/publicIPAddresses", &wanted.name);
    let method = if wanted.dynamic { "Dynamic" } else { "Static" };
    let mut document = json!({
        "location": LOCATION,
        "sku": {"name": "Basic", "tier": "Regional"},
        "properties": {
            "publicIPAddressVersion": "IPv4",
            "publicIPAllocationMethod": method,
            "idleTimeoutInMinutes": 4,
            "ipTags": [],
            "ddosSettings": {"protectionMode": "VirtualNetworkInherited"},
        },
    });
    if !wanted.tags.is_empty() {
        document["tags"] = json!(wanted.tags);
    }
    let mut resource = Resource::new(id.clone(), into_object(document), world.clock);
    if let Some(label) = &wanted.label {
        resource.lease.fqdn = Some(claim(world, &id, label)?);
        set_label(&mut resource, Some(label));
    }
    world.azure.network.insert(id.key(), resource);
    if wanted.attached {
        let nic = Id::of(NETWORK_GROUP, "Microsoft.Network/networkInterfaces", NIC);
        azure::attach(world, &nic, &id);
    }
    public_ip::written(world, &id);
    Ok(())
}

pub(super) fn relabel(world: &mut World, name: &str, label: Option<&str>) -> Result<(), String> {
    let id = find(world, name)?;
    let fqdn = label.map(|label| claim(world, &id, label)).transpose()?;
    let until = world.now() + world.options.label_reservation;
    let Some(resource) = world.azure.network.get_mut(&id.key()) else { return Err(missing(name)) };
    let old = resource.lease.fqdn.take();
    resource.lease.fqdn = fqdn;
    set_label(resource, label);
    resource.touch("Succeeded");
    let unchanged = resource.lease.fqdn == old;
    if let Some(old) = old.filter(|_| !unchanged) {
        world.azure.labels.release(&old, until);
    }
    public_ip::written(world, &id);
    Ok(())
}

pub(super) fn edit(world: &mut World, name: &str, changes: &Value) -> Result<(), String> {
    let id = find(world, name)?;
    let changes = changes.as_object().ok_or("changes are a JSON object")?;
    let Some(resource) = world.azure.network.get_mut(&id.key()) else { return Err(missing(name)) };
    azure::merge(&mut resource.document, changes);
    resource.touch("Succeeded");
    Ok(())
}

pub(super) fn stranger_takes(world: &mut World, label: &str) -> Result<(), String> {
    let fqdn = whole(label);
    if world.azure.labels.holder(&fqdn, world.now()).is_some() {
        return Err(format!("{fqdn} is held or reserved"));
    }
    let address = public_ip::fresh_address(world, false);
    world.azure.labels.hold(&fqdn, Holder::Stranger(address));
    Ok(())
}

pub(super) fn stranger_releases(world: &mut World, label: &str) -> Result<(), String> {
    let fqdn = whole(label);
    if world.azure.labels.forget_stranger(&fqdn) { Ok(()) } else { Err(format!("no stranger holds {fqdn}")) }
}

pub(super) fn grant(world: &mut World, client_id: &str, actions: &[&str], scope: &str) -> Result<(), String> {
    let principals = &mut world.azure.directory.principals;
    let principal = principals.iter_mut().find(|p| p.client_id == client_id);
    let principal = principal.ok_or_else(|| format!("there is no principal {client_id}"))?;
    principal.grants = actions.iter().map(|action| ((*action).to_owned(), scope.to_owned())).collect();
    Ok(())
}

pub(super) fn shown(world: &World, name: &str) -> Option<Value> {
    let id = find(world, name).ok()?;
    azure::show(world, &id)
}

fn find(world: &World, name: &str) -> Result<Id, String> {
    let ids = world.azure.network.values().map(|resource| &resource.id);
    let mut named = ids.filter(|id| public_ip::is_one(id) && id.name().eq_ignore_ascii_case(name));
    named.next().cloned().ok_or_else(|| missing(name))
}

fn missing(name: &str) -> String {
    format!("there is no public IP {name}")
}

fn claim(world: &mut World, id: &Id, label: &str) -> Result<String, String> {
    let said = |refusal| format!("{refusal:?}");
    let fqdn = label::name(label, None, LOCATION, id.group()).map_err(said)?;
    label::available(world, &fqdn, id).map_err(said)?;
    world.azure.labels.hold(&fqdn, Holder::PublicIp(id.clone()));
    Ok(fqdn)
}

fn set_label(resource: &mut Resource, label: Option<&str>) {
    let Some(properties) = resource.document.get_mut("properties").and_then(Value::as_object_mut) else {
        return;
    };
    match label {
        Some(label) => properties.insert("dnsSettings".into(), json!({"domainNameLabel": label})),
        None => properties.remove("dnsSettings"),
    };
}

fn whole(label: &str) -> String {
    if label.contains('.') {
        label.to_ascii_lowercase()
    } else {
        format!("{label}.{LOCATION}.{}", azure::LABEL_SUFFIX)
    }
}

fn into_object(value: Value) -> Map<String, Value> {
    if let Value::Object(map) = value { map } else { Map::new() }
}
