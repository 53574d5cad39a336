//! The network around a public IP: virtual networks, security groups, interfaces and load balancers, deep enough for
//! references to be checked and for addresses to have users.

mod children;
mod load_balancer;
mod nic;
mod security_group;

use serde_json::{Map, Value, json};

pub(crate) use self::children::child;
use super::State;
use super::arm::{self, Id};
use super::authority::Principal;
use super::public_ip;
use super::resource::{Kind, Proposal, Resource};
use super::seed::{LOCATION, NETWORK_GROUP, NIC};
use crate::sandbox::exchange::Response;
use crate::sandbox::world::World;

/// The type whose collection is called so, compared without case.
pub(crate) fn kind(collection: &str) -> Option<&'static Kind> {
    const KINDS: [&Kind; 5] =
        [&public_ip::KIND, &VIRTUAL_NETWORK, &security_group::KIND, &nic::KIND, &load_balancer::KIND];
    KINDS
        .into_iter()
        .find(|kind| kind.name.rsplit('/').next().is_some_and(|n| n.eq_ignore_ascii_case(collection)))
}

/// `Microsoft.Network/virtualNetworks`.
const VIRTUAL_NETWORK: Kind = Kind {
    name: "Microsoft.Network/virtualNetworks",
    prepare: prepare_virtual_network,
    render: children::render,
    removable: virtual_network_removable,
};

fn prepare_virtual_network(
    _: &mut World,
    _: &Principal,
    proposal: &Proposal,
) -> Result<Map<String, Value>, Response> {
    let mut document = proposal.document.clone();
    children::strip(&mut document);
    Ok(document)
}

fn virtual_network_removable(world: &World, resource: &Resource) -> Result<(), Response> {
    let prefix = format!("{}/subnets/", resource.id.key());
    let used = nics(world).any(|nic| {
        children::entries(&nic.document, "ipConfigurations").any(|(_, properties)| {
            reference(properties, "subnet").is_some_and(|id| id.key().starts_with(&prefix))
        })
    });
    if used {
        let message = format!("Subnet of virtual network {} is in use and cannot be deleted.", resource.id);
        return Err(arm::error(400, "InUseSubnetCannotBeDeleted", &message));
    }
    Ok(())
}

/// The VM's network: one subnet, one interface without a public address.
pub(crate) fn seed(state: &mut State) {
    let mut insert = |kind: &str, name: &str, document: Value| {
        let id = Id::of(NETWORK_GROUP, kind, name);
        let document = if let Value::Object(document) = document { document } else { Map::new() };
        state.network.insert(id.key(), Resource::new(id.clone(), document));
        id
    };
    let vnet = insert(
        VIRTUAL_NETWORK.name,
        "vnet-mgmt",
        json!({
            "location": LOCATION,
            "properties": {
                "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
                "subnets": [{"name": "default", "properties": {"addressPrefix": "10.0.0.0/24"}}],
            },
        }),
    );
    let subnet = format!("{vnet}/subnets/default");
    insert(
        nic::KIND.name,
        NIC,
        json!({
            "location": LOCATION,
            "properties": {
                "ipConfigurations": [{"name": "ipconfig1", "properties": {
                    "privateIPAddress": "10.0.0.4", "privateIPAllocationMethod": "Dynamic",
                    "privateIPAddressVersion": "IPv4", "primary": true, "subnet": {"id": subnet},
                }}],
                "enableAcceleratedNetworking": false,
                "enableIPForwarding": false,
            },
        }),
    );
}

/// The frontend or IP configuration that uses a public IP, by its id.
pub(crate) fn user_of(world: &World, public_ip: &Id) -> Option<String> {
    users(world).find(|(_, id)| id == public_ip).map(|(user, _)| user)
}

/// Every use of a public IP: the configuration's id and the public IP's.
fn users(world: &World) -> impl Iterator<Item = (String, Id)> {
    world.azure.network.values().flat_map(|resource| {
        ["ipConfigurations", "frontendIPConfigurations"].into_iter().flat_map(move |collection| {
            children::entries(&resource.document, collection).filter_map(move |(name, properties)| {
                let public_ip = reference(properties, "publicIPAddress")?;
                Some((format!("{}/{collection}/{name}", resource.id), public_ip))
            })
        })
    })
}

/// Whether a machine that runs stands behind an IP configuration or a frontend.
pub(crate) fn is_running(world: &World, user: &str) -> bool {
    let owner = user.to_ascii_lowercase();
    let owner = owner.rsplitn(3, '/').nth(2).unwrap_or_default().to_owned();
    let powered =
        |nic: &Id| world.azure.machines.values().any(|machine| machine.running && machine.nic == *nic);
    if owner.contains("/networkinterfaces/") {
        return powered(&Id::new(owner));
    }
    // A load balancer's address lives while a member of one of its pools runs.
    nics(world).filter(|nic| powered(&nic.id)).any(|nic| {
        children::entries(&nic.document, "ipConfigurations").any(|(_, properties)| {
            ["loadBalancerBackendAddressPools", "loadBalancerInboundNatRules"]
                .iter()
                .flat_map(|key| references(properties, key))
                .any(|id| id.key().starts_with(&owner))
        })
    })
}

/// Brings every public address in line with its user.
pub(crate) fn assign_all(world: &mut World) {
    let ids: Vec<Id> = world.azure.network.values().map(|r| r.id.clone()).filter(public_ip::is_one).collect();
    for id in ids {
        public_ip::assign(world, &id);
    }
}

/// Attaches a public IP to an interface's first configuration, or detaches what is there.
pub(crate) fn attach(world: &mut World, nic: &Id, public_ip: Option<&Id>) {
    let Some(nic) = world.azure.network.get_mut(&nic.key()) else { return };
    let first = nic
        .document
        .get_mut("properties")
        .and_then(|p| p.get_mut("ipConfigurations"))
        .and_then(|c| c.get_mut(0));
    if let Some(properties) = first.and_then(|c| c.get_mut("properties")).and_then(Value::as_object_mut) {
        match public_ip {
            Some(id) => properties.insert("publicIPAddress".into(), json!({"id": id.as_str()})),
            None => properties.remove("publicIPAddress"),
        };
    }
    let state = nic.state;
    nic.touch(state);
}

fn nics(world: &World) -> impl Iterator<Item = &Resource> {
    world.azure.network.values().filter(|r| r.id.key().contains("/networkinterfaces/"))
}

/// The id in `{"key": {"id": …}}`.
fn reference(properties: &Value, key: &str) -> Option<Id> {
    properties.get(key)?.get("id")?.as_str().map(Id::new)
}

/// The ids in `{"key": [{"id": …}]}`.
fn references(properties: &Value, key: &str) -> impl Iterator<Item = Id> {
    let listed = properties.get(key).and_then(Value::as_array);
    listed.into_iter().flatten().filter_map(|one| one.get("id")?.as_str().map(Id::new))
}

/// Refuses a reference to what is not there, or not ready: a resource, or an entry of one of its collections.
fn must_exist(world: &World, from: &Id, to: &Id) -> Result<(), Response> {
    let key = to.key();
    let as_child = || {
        let mut parts = key.rsplitn(3, '/');
        let (name, collection, parent) = (parts.next()?, parts.next()?, parts.next()?);
        let parent = world.azure.network.get(parent)?;
        let mut names = children::entries_any_case(&parent.document, collection);
        names.any(|at| at.eq_ignore_ascii_case(name)).then_some(parent)
    };
    let Some(found) = world.azure.network.get(&key).or_else(as_child) else {
        let message = format!(
            "Resource {to} referenced by resource {from} was not found. Please make sure that the referenced resource \
             exists, and that both resources are in the same region."
        );
        return Err(arm::error(400, "InvalidResourceReference", &message));
    };
    // A resource may refer to entries of its own while it is being written.
    if found.state == "Succeeded" || found.id == *from {
        return Ok(());
    }
    let detail = format!(
        "Cannot proceed with operation since resource {} used by resource {from} is not in Succeeded state. Resource \
         is in {} state.",
        found.id, found.state
    );
    Err(Response::json(
        429,
        json!({"error": {
            "code": "RetryableError",
            "message": "A retryable error occurred.",
            "details": [{"code": "ReferencedResourceNotProvisioned", "message": detail}],
        }}),
    )
    .with("retry-after", "10"))
}

/// A public IP serves one configuration at a time.
fn must_be_free(world: &World, user: &str, public_ip: &Id) -> Result<(), Response> {
    let other = users(world).find(|(at, id)| id == public_ip && !at.eq_ignore_ascii_case(user));
    let Some((other, _)) = other else { return Ok(()) };
    let message = format!(
        "Resource {user} is referencing public IP address {public_ip} that is already allocated to resource {other}."
    );
    Err(arm::error(400, "PublicIPAddressInUse", &message))
}
