//! Resource groups, locations, providers: what stands around the resources.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::arm;
use super::authority::Principal;
use super::resource::body;
pub(crate) use super::resources::resources;
use super::seed::{DNS_GROUP, LOCATION, NETWORK_GROUP, SUBSCRIPTION};
use crate::sandbox::exchange::{Request, Response};
use crate::sandbox::world::World;

/// A resource group.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    name: String,
    location: String,
    tags: Value,
}

impl Group {
    fn json(&self) -> Value {
        json!({
            "id": format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{}", self.name),
            "name": self.name,
            "type": "Microsoft.Resources/resourceGroups",
            "location": self.location,
            "tags": self.tags,
            "properties": {"provisioningState": "Succeeded"},
        })
    }
}

/// The two groups of the seed.
pub(crate) fn seeded() -> BTreeMap<String, Group> {
    let group = |name: &str| {
        (name.to_owned(), Group { name: name.to_owned(), location: LOCATION.to_owned(), tags: json!({}) })
    };
    BTreeMap::from([group(NETWORK_GROUP), group(DNS_GROUP)])
}

/// Whether the group is there.
pub(crate) fn exists(world: &World, name: &str) -> Result<(), Response> {
    if world.azure.groups.contains_key(&name.to_ascii_lowercase()) {
        return Ok(());
    }
    Err(arm::error(404, "ResourceGroupNotFound", &format!("Resource group '{name}' could not be found.")))
}

/// The location of a resource's document, in the service's spelling: `West Europe` is `westeurope`.
pub(crate) fn location(document: &Map<String, Value>) -> Result<String, Response> {
    let Some(given) = document.get("location").and_then(Value::as_str).filter(|text| !text.is_empty()) else {
        let message = "The location property is required for this definition.";
        return Err(arm::error(400, "LocationRequired", message));
    };
    let location = given.to_ascii_lowercase().replace(' ', "");
    if LOCATIONS.contains(&location.as_str()) {
        return Ok(location);
    }
    let message = format!(
        "The provided location '{given}' is not available for resource type 'Microsoft.Network'. List of available \
         regions for the resource type is '{}'.",
        LOCATIONS.join(",")
    );
    Err(arm::error(400, "LocationNotAvailableForResourceType", &message))
}

/// Below `/subscriptions/{id}/resourcegroups`.
pub(crate) fn handle(world: &mut World, principal: &Principal, request: &Request, rest: &[&str]) -> Response {
    let scope = |name: &str| format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{name}");
    let verb = match request.method.as_str() {
        "GET" | "HEAD" => "read",
        "DELETE" => "delete",
        _ => "write",
    };
    if let ("GET", [name, "resources"]) = (request.method.as_str(), rest) {
        return resources(world, principal, request, Some(name));
    }
    let action = format!("Microsoft.Resources/subscriptions/resourceGroups/{verb}");
    let at = rest.first().map_or_else(|| format!("/subscriptions/{SUBSCRIPTION}"), |name| scope(name));
    if let Err(refusal) = arm::authorize(principal, &action, &at) {
        return refusal;
    }
    match (request.method.as_str(), rest) {
        ("GET", []) => {
            let value: Vec<_> = world.azure.groups.values().map(Group::json).collect();
            Response::json(200, json!({"value": value}))
        }
        (_, [name]) => one(world, request, name).unwrap_or_else(|refusal| refusal),
        _ => Response::empty(404),
    }
}

fn one(world: &mut World, request: &Request, name: &str) -> Result<Response, Response> {
    let spelled = request.segments.get(3).map_or(name, String::as_str);
    match request.method.as_str() {
        "HEAD" => Ok(Response::empty(if exists(world, spelled).is_ok() { 204 } else { 404 })),
        "PUT" => {
            let document = body(request)?;
            let location = location(&document)?;
            let tags = document.get("tags").cloned().unwrap_or_else(|| json!({}));
            let status = if world.azure.groups.contains_key(name) { 200 } else { 201 };
            let group = world.azure.groups.entry(name.to_owned()).or_insert_with(|| Group {
                name: spelled.to_owned(),
                location,
                tags: json!({}),
            });
            group.tags = tags;
            Ok(Response::json(status, group.json()))
        }
        "DELETE" => {
            exists(world, spelled)?;
            let busy = world.azure.network.values().any(|r| r.id.group().eq_ignore_ascii_case(name));
            if busy {
                let message = format!(
                    "The resource group '{spelled}' still has resources; the sandbox does not delete those."
                );
                return Err(arm::error(409, "ResourceGroupDeletionBlocked", &message));
            }
            world.azure.groups.remove(name);
            Ok(Response::empty(200))
        }
        _ => {
            exists(world, spelled)?;
            world
                .azure
                .groups
                .get(name)
                .map(|group| Response::json(200, group.json()))
                .ok_or(Response::empty(404))
        }
    }
}

/// `GET /subscriptions/{id}/locations`.
pub(crate) fn locations() -> Response {
    let value: Vec<_> = LOCATIONS
        .iter()
        .map(|name| {
            json!({"id": format!("/subscriptions/{SUBSCRIPTION}/locations/{name}"), "name": name, "displayName": name,
                "type": "Region"})
        })
        .collect();
    Response::json(200, json!({"value": value}))
}

/// `GET /subscriptions/{id}/providers/{namespace}`: all that there are have been registered.
pub(crate) fn provider(namespace: &str) -> Response {
    let known = ["Microsoft.Network", "Microsoft.Compute", "Microsoft.Resources"];
    match known.into_iter().find(|name| name.eq_ignore_ascii_case(namespace)) {
        Some(name) => Response::json(
            200,
            json!({
                "id": format!("/subscriptions/{SUBSCRIPTION}/providers/{name}"),
                "namespace": name,
                "registrationPolicy": "RegistrationRequired",
                "registrationState": "Registered",
                "resourceTypes": [],
            }),
        ),
        None => {
            let message = format!("The resource namespace '{namespace}' is invalid.");
            arm::error(404, "InvalidResourceNamespace", &message)
        }
    }
}

const LOCATIONS: [&str; 14] = [
    "westeurope",
    "northeurope",
    "eastus",
    "eastus2",
    "westus",
    "westus2",
    "westus3",
    "centralus",
    "uksouth",
    "francecentral",
    "germanywestcentral",
    "swedencentral",
    "switzerlandnorth",
    "southeastasia",
];
