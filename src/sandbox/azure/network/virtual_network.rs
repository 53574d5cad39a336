//! Virtual networks and their subnets: within the network's space, apart from each other, and there while in use.

use serde_json::{Map, Value};

use super::super::arm::{self, Id};
use super::super::resource::{Child, Kind, Proposal, Resource, property};
use super::prefix::Prefix;
use super::{children, documents, links, must_exist, reference, subnet};
use crate::sandbox::exchange::Response;
use crate::sandbox::world::World;

/// `Microsoft.Network/virtualNetworks`.
pub(super) const KIND: Kind = Kind {
    name: "Microsoft.Network/virtualNetworks",
    links: links::virtual_network,
    prepare,
    render,
    removable,
    children: &[Child { collection: "subnets", writable: true }],
};

fn prepare(world: &mut World, proposal: &Proposal) -> Result<Map<String, Value>, Response> {
    let id = &proposal.id;
    let mut document = proposal.document.clone();
    children::strip(&mut document);
    let space = space(&document);
    let mut taken: Vec<(&str, Prefix)> = Vec::new();
    for (name, properties) in children::entries(&document, "subnets") {
        let prefixes = subnet::of(properties);
        if prefixes.is_empty() || !prefixes.iter().all(|prefix| space.iter().any(|all| all.covers(prefix))) {
            let message = format!(
                "Subnet '{name}' is not valid because its IP address range is outside the IP address \
                                   range of virtual network '{}'.",
                id.name()
            );
            return Err(arm::error(400, "NetcfgInvalidSubnet", &message));
        }
        for prefix in prefixes {
            if let Some((other, _)) = taken.iter().find(|(_, other)| other.overlaps(&prefix)) {
                let message = format!(
                    "Subnet '{name}' is not valid because its IP address range overlaps with that of an existing \
                             subnet '{other}' in virtual network '{}'.",
                    id.name()
                );
                return Err(arm::error(400, "NetcfgSubnetRangesOverlap", &message));
            }
            taken.push((name, prefix));
        }
        for key in ["networkSecurityGroup", "natGateway"] {
            if let Some(to) = reference(properties, key) {
                must_exist(world, proposal, &to)?;
            }
        }
    }
    still_there(world, id, &document)?;
    Ok(document)
}

fn space(document: &Map<String, Value>) -> Vec<Prefix> {
    let listed = property(document, &["addressSpace", "addressPrefixes"]).and_then(Value::as_array);
    listed.into_iter().flatten().filter_map(|prefix| Prefix::parse(prefix.as_str()?)).collect()
}

/// A write that leaves a subnet out deletes it, which needs it to be unused.
fn still_there(world: &World, id: &Id, document: &Map<String, Value>) -> Result<(), Response> {
    for (user, used, address) in subnet::users(world) {
        let Some((network, _, name)) = documents::split(&used).filter(|(network, _, _)| network == id) else {
            continue;
        };
        let found = children::entries(document, "subnets").find(|(at, _)| at.eq_ignore_ascii_case(&name));
        let Some((_, properties)) = found else {
            let message = format!(
                "Subnet {name} is in use by {user} and cannot be deleted. In order to delete the subnet, delete all the \
                 resources within the subnet. See aka.ms/deletesubnet."
            );
            return Err(arm::error(400, "InUseSubnetCannotBeDeleted", &message));
        };
        if !subnet::of(properties).iter().any(|prefix| prefix.contains(address)) {
            let message = format!(
                "Subnet {name} of virtual network {network} is in use by {user} and cannot be updated."
            );
            return Err(arm::error(400, "InUsePrefixCannotBeDeleted", &message));
        }
    }
    Ok(())
}

fn render(world: &World, resource: &Resource, properties: &mut Value) {
    children::render(world, resource, properties);
    for entry in properties["subnets"].as_array_mut().into_iter().flatten() {
        let Some(id) = entry["id"].as_str().map(Id::new) else { continue };
        let using = subnet::users(world).filter(|(_, used, _)| *used == id);
        let users: Vec<Value> = using.map(|(user, _, _)| serde_json::json!({"id": user})).collect();
        if !users.is_empty() {
            entry["properties"]["ipConfigurations"] = serde_json::json!(users);
        }
    }
}

fn removable(world: &World, resource: &Resource) -> Result<(), Response> {
    still_there(world, &resource.id, &Map::new())
}
