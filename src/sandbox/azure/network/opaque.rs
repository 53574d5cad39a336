//! Resources of the network that others refer to, and into which nothing here looks.

use serde_json::{Map, Value};

use super::super::arm::{self, Id};
use super::super::resource::{Kind, Proposal, Resource};
use super::{children, reference, references};
use crate::sandbox::exchange::Response;
use crate::sandbox::world::World;

/// `Microsoft.Network/applicationSecurityGroups`.
pub(super) const APPLICATION_SECURITY_GROUP: Kind = Kind {
    name: "Microsoft.Network/applicationSecurityGroups",
    links: |_| Vec::new(),
    prepare,
    render: |_, _, _| {},
    removable,
    children: &[],
};

/// `Microsoft.Network/natGateways`.
pub(super) const NAT_GATEWAY: Kind = Kind {
    name: "Microsoft.Network/natGateways",
    links: |_| Vec::new(),
    prepare,
    render: |_, _, _| {},
    removable,
    children: &[],
};

#[expect(clippy::unnecessary_wraps, reason = "other types refuse")]
fn prepare(_: &mut World, proposal: &Proposal) -> Result<Map<String, Value>, Response> {
    Ok(proposal.document.clone())
}

fn removable(world: &World, resource: &Resource) -> Result<(), Response> {
    let Some(user) = user(world, &resource.id) else { return Ok(()) };
    let message = format!("Resource {} cannot be deleted because it is in use by {user}.", resource.id);
    Err(arm::error(400, "InUseResourceCannotBeDeleted", &message))
}

fn user(world: &World, id: &Id) -> Option<String> {
    const KEYS: [&str; 4] = [
        "natGateway",
        "applicationSecurityGroups",
        "sourceApplicationSecurityGroups",
        "destinationApplicationSecurityGroups",
    ];
    world.azure.network.values().find_map(|resource| {
        ["ipConfigurations", "securityRules", "subnets"].into_iter().find_map(|collection| {
            let mut found = children::entries(&resource.document, collection).filter(|(_, properties)| {
                KEYS.iter().any(|key| {
                    reference(properties, key).as_ref() == Some(id)
                        || references(properties, key).any(|to| to == *id)
                })
            });
            found.next().map(|(name, _)| format!("{}/{collection}/{name}", resource.id))
        })
    })
}
