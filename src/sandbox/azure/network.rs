//! The network around a public IP: virtual networks, security groups, interfaces and load balancers, deep enough for
//! references to be checked and for packets to find their way, or not.

mod balance;
mod children;
mod documents;
mod links;
mod load_balancer;
mod nic;
mod opaque;
mod port_mapping;
pub(crate) mod prefix;
pub(crate) mod security_group;
mod subnet;
mod virtual_network;
pub(crate) mod way;

use std::time::Duration;

use serde_json::{Map, Value, json};

pub(crate) use self::children::{child, spelled, strip};
pub(crate) use self::documents::split;
pub(crate) use self::port_mapping::PortMappings;
use super::State;
use super::arm::{self, Id};
use super::public_ip;
use super::resource::{Kind, Proposal, Resource};
use super::seed::{LOCATION, NETWORK_GROUP, NIC};
use crate::sandbox::clock::Clock;
use crate::sandbox::exchange::Response;
use crate::sandbox::throttle::retry_after;
use crate::sandbox::world::World;

/// The type whose collection is called so, compared without case.
pub(crate) fn kind(collection: &str) -> Option<&'static Kind> {
    const KINDS: [&Kind; 7] = [
        &public_ip::KIND,
        &virtual_network::KIND,
        &security_group::KIND,
        &nic::KIND,
        &load_balancer::KIND,
        &opaque::APPLICATION_SECURITY_GROUP,
        &opaque::NAT_GATEWAY,
    ];
    KINDS
        .into_iter()
        .find(|kind| kind.name.rsplit('/').next().is_some_and(|n| n.eq_ignore_ascii_case(collection)))
}

/// The VM's network: one subnet, one interface without a public address.
pub(crate) fn seed(state: &mut State, clock: Clock) {
    let mut insert = |kind: &str, name: &str, document: Value| {
        let id = Id::of(NETWORK_GROUP, kind, name);
        let document = if let Value::Object(document) = document { document } else { Map::new() };
        state.network.insert(id.key(), Resource::new(id.clone(), document, clock));
        id
    };
    let vnet = insert(
        virtual_network::KIND.name,
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

/// Brings everything in line with what is in force: public addresses with their users, ports with the members of
/// pools.
pub(crate) fn settle(world: &mut World) {
    let ids: Vec<Id> = world.azure.network.values().map(|r| r.id.clone()).filter(public_ip::is_one).collect();
    for id in ids {
        public_ip::assign(world, &id);
    }
    let mut ports = std::mem::take(&mut world.azure.ports);
    ports.follow(&documents::Documents::in_force(world));
    world.azure.ports = ports;
}

/// A resource other than a public IP has gone.
pub(crate) fn removed(world: &mut World, id: &Id) {
    if id.key().contains("/loadbalancers/") {
        load_balancer::removed(world, id);
    }
    settle(world);
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

/// Refuses a reference to what is not there, elsewhere, or not ready: a resource, or an entry of one of its
/// collections.
fn must_exist(world: &World, proposal: &Proposal, to: &Id) -> Result<(), Response> {
    let from = &proposal.id;
    let as_child = || {
        let (owner, collection, name) = split(to)?;
        let parent = world.azure.network.get(&owner.key())?;
        let mut names = children::entries(&parent.document, spelled(&collection)?);
        names.any(|(at, _)| at.eq_ignore_ascii_case(&name)).then_some(parent)
    };
    let found = world.azure.network.get(&to.key()).or_else(as_child);
    let Some(found) = found.filter(|found| found.location() == proposal.location) else {
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
         is in {} state and the last operation that updated/is updating the resource is another one.",
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
    .with("retry-after", retry_after(world.clock, Duration::from_secs(10))))
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
