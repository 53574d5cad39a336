//! The generic lists of resources: no properties, every type (Resources - List, and - List By Resource Group).

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::arm::{self, Id};
use super::authority::Principal;
use super::seed::{LOCATION, SUBSCRIPTION};
use super::{network, resource};
use crate::sandbox::exchange::{Request, Response};
use crate::sandbox::world::{World, timestamp};

/// `GET …/resources` of a group, or of the subscription.
pub(crate) fn resources(
    world: &World,
    principal: &Principal,
    request: &Request,
    group: Option<&str>,
) -> Response {
    listed(world, principal, request, group).unwrap_or_else(|refusal| refusal)
}

fn listed(
    world: &World,
    principal: &Principal,
    request: &Request,
    group: Option<&str>,
) -> Result<Response, Response> {
    let subscription = format!("/subscriptions/{SUBSCRIPTION}");
    match group {
        Some(name) => {
            let action = "Microsoft.Resources/subscriptions/resourceGroups/resources/read";
            arm::authorize(principal, action, &format!("{subscription}/resourceGroups/{name}"))?;
            super::group::exists(world, name)?;
        }
        None => arm::authorize(principal, "Microsoft.Resources/subscriptions/resources/read", &subscription)?,
    }
    let conditions = filter(request)?;
    let expand = expand(request)?;
    let fits = |id: &Id, kind: &str, location: &str| {
        let of_group = group.is_none_or(|group| id.group().eq_ignore_ascii_case(group));
        of_group
            && conditions.iter().all(|condition| condition.holds(id, kind, location))
            // Whoever may list is shown what he may read.
            && principal.may(&format!("{kind}/read"), id.as_str())
    };
    let mut value = Vec::new();
    for resource in world.azure.network.values() {
        let Some(kind) = resource.id.as_str().split('/').nth(7).and_then(network::kind) else { continue };
        if !fits(&resource.id, kind.name, resource.location()) {
            continue;
        }
        let mut shown = resource::render(world, resource, kind);
        if let Some(shown) = shown.as_object_mut() {
            shown.retain(|key, _| !matches!(key.as_str(), "properties" | "etag" | "zones"));
        }
        for extra in &expand {
            shown[extra.as_str()] = match extra.as_str() {
                "createdTime" => moment(resource.created),
                "changedTime" => moment(resource.changed),
                _ => json!(resource.state),
            };
        }
        value.push(shown);
    }
    let machine = "Microsoft.Compute/virtualMachines";
    for one in world.azure.machines.values().filter(|one| fits(&one.id, machine, LOCATION)) {
        value.push(json!({
            "id": one.id.as_str(), "name": one.id.name(), "type": machine, "location": LOCATION,
        }));
    }
    let zone = "Microsoft.Network/dnszones";
    for one in world.azure.zones.values().filter(|one| fits(&one.id, zone, "global")) {
        value.push(json!({"id": one.id.as_str(), "name": one.id.name(), "type": zone, "location": "global"}));
    }
    Ok(Response::json(200, json!({"value": value})))
}

fn moment(at: OffsetDateTime) -> Value {
    json!(timestamp(at))
}

/// `property eq 'value'` or `property ne 'value'`.
struct Condition {
    property: &'static str,
    equal: bool,
    value: String,
}

impl Condition {
    fn parse(text: &str) -> Option<Self> {
        let (property, rest) = text.trim().split_once(' ')?;
        let property = PROPERTIES.into_iter().find(|known| known.eq_ignore_ascii_case(property))?;
        let (operator, value) = rest.trim().split_once(' ')?;
        let equal = match operator {
            "eq" => true,
            "ne" => false,
            _ => return None,
        };
        let value = value.trim().strip_prefix('\'')?.strip_suffix('\'')?;
        // OData doubles an apostrophe within a text.
        let bare = value.replace("''", "");
        (!bare.contains('\'')).then(|| Self { property, equal, value: value.replace("''", "'") })
    }

    fn holds(&self, id: &Id, kind: &str, location: &str) -> bool {
        let found = match self.property {
            "resourceType" => kind,
            "name" => id.name(),
            "resourceGroup" => id.group(),
            _ => location,
        };
        found.eq_ignore_ascii_case(&self.value) == self.equal
    }
}

fn filter(request: &Request) -> Result<Vec<Condition>, Response> {
    let Some(text) = request.param("$filter") else { return Ok(Vec::new()) };
    let parsed: Option<Vec<Condition>> = text.split(" and ").map(Condition::parse).collect();
    parsed.ok_or_else(|| {
        let message = format!("Invalid $filter '{text}' specified in the query string.");
        arm::error(400, "InvalidFilterInQueryString", &message)
    })
}

fn expand(request: &Request) -> Result<Vec<String>, Response> {
    let Some(text) = request.param("$expand") else { return Ok(Vec::new()) };
    let wanted: Vec<String> = text.split(',').map(|one| one.trim().to_owned()).collect();
    match wanted.iter().find(|one| !EXPANDED.contains(&one.as_str())) {
        Some(odd) => {
            let message = format!("The $expand query parameter '{odd}' is invalid.");
            Err(arm::error(400, "InvalidExpandInQueryString", &message))
        }
        None => Ok(wanted),
    }
}

/// The properties for `eq` and `ne` that resources have here.
const PROPERTIES: [&str; 4] = ["resourceType", "name", "resourceGroup", "location"];
const EXPANDED: [&str; 3] = ["createdTime", "changedTime", "provisioningState"];
