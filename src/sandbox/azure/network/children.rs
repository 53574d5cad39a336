//! Collections inside a resource, each entry a resource of its own in the answers: rules, pools, subnets.

use serde_json::{Map, Value, json};

use super::super::arm::{self, Id};
use super::super::authority::Principal;
use super::super::operation::{self, Effect};
use super::super::resource::{self, Kind, Proposal, Resource, body};
use super::{nics, references};
use crate::sandbox::exchange::{Request, Response};
use crate::sandbox::world::World;

/// The entries of one collection: name and properties.
pub(super) fn entries<'d>(
    document: &'d Map<String, Value>,
    collection: &str,
) -> impl Iterator<Item = (&'d str, &'d Value)> {
    let listed = resource::property(document, &[collection]).and_then(Value::as_array);
    listed
        .into_iter()
        .flatten()
        .filter_map(|entry| Some((entry.get("name")?.as_str()?, entry.get("properties")?)))
}

/// The names in one collection, whose own name is compared without case.
pub(super) fn entries_any_case<'d>(
    document: &'d Map<String, Value>,
    collection: &str,
) -> impl Iterator<Item = &'d str> {
    let known =
        COLLECTIONS.iter().find(|name| name.eq_ignore_ascii_case(collection)).copied().unwrap_or_default();
    entries(document, known).map(|(name, _)| name)
}

/// Takes out what the service says itself.
pub(super) fn strip(document: &mut Map<String, Value>) {
    let Some(properties) = document.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for collection in COLLECTIONS {
        let Some(listed) = properties.get_mut(collection).and_then(Value::as_array_mut) else { continue };
        for entry in listed.iter_mut().filter_map(Value::as_object_mut) {
            entry.retain(|key, _| !matches!(key.as_str(), "id" | "etag" | "type"));
            let inner = entry.entry("properties").or_insert_with(|| json!({}));
            if let Some(inner) = inner.as_object_mut() {
                inner.retain(|key, value| !READ_ONLY.contains(&key.as_str()) && !value.is_null());
            }
        }
    }
    properties.remove("defaultSecurityRules");
}

/// Adds what the service says itself.
pub(super) fn render(world: &World, resource: &Resource, properties: &mut Value) {
    let kind = resource.id.as_str().split('/').skip(6).take(2).collect::<Vec<_>>().join("/");
    for collection in COLLECTIONS {
        let Some(listed) = properties.get_mut(collection).and_then(Value::as_array_mut) else { continue };
        for entry in listed {
            let name = entry.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            let id = Id::new(format!("{}/{collection}/{name}", resource.id));
            entry["id"] = json!(id.as_str());
            entry["etag"] = json!(resource.etag);
            entry["type"] = json!(format!("{kind}/{collection}"));
            entry["properties"]["provisioningState"] = json!(resource.state);
            match collection {
                "backendAddressPools" => {
                    let members = members(world, "loadBalancerBackendAddressPools", &id);
                    if !members.is_empty() {
                        entry["properties"]["backendIPConfigurations"] = json!(members);
                    }
                }
                "inboundNatRules" => {
                    if let Some(member) = members(world, "loadBalancerInboundNatRules", &id).first() {
                        entry["properties"]["backendIPConfiguration"] = member.clone();
                    }
                }
                _ => {}
            }
        }
    }
}

/// The IP configurations that refer to a pool or a rule.
fn members(world: &World, key: &str, to: &Id) -> Vec<Value> {
    let mut found = Vec::new();
    for nic in nics(world) {
        for (name, properties) in entries(&nic.document, "ipConfigurations") {
            if references(properties, key).any(|id| id == *to) {
                found.push(json!({"id": format!("{}/ipConfigurations/{name}", nic.id)}));
            }
        }
    }
    found
}

/// `…/{parent}/{collection}[/{name}]`: a write to the parent, narrowed to one entry. `None` where there is no such
/// collection.
pub(crate) fn child(
    world: &mut World,
    principal: &Principal,
    request: &Request,
    parent: &Id,
    kind: &Kind,
    rest: &[&str],
) -> Option<Response> {
    let (collection, name) = match rest {
        [collection] => (collection, None),
        [collection, name] => (collection, Some(*name)),
        _ => return None,
    };
    let collection = COLLECTIONS.iter().find(|known| known.eq_ignore_ascii_case(collection))?;
    let said = handle(world, principal, request, parent, kind, collection, name);
    Some(said.unwrap_or_else(|refusal| refusal))
}

fn handle(
    world: &mut World,
    principal: &Principal,
    request: &Request,
    parent: &Id,
    kind: &Kind,
    collection: &str,
    name: Option<&str>,
) -> Result<Response, Response> {
    let verb = match request.method.as_str() {
        "GET" => "read",
        "PUT" => "write",
        "DELETE" => "delete",
        _ => return Err(Response::empty(405)),
    };
    let scope = format!("{parent}/{collection}/{}", name.unwrap_or_default());
    arm::authorize(principal, &format!("{}/{collection}/{verb}", kind.name), &scope)?;
    super::super::group::exists(world, parent.group())?;
    let before =
        world.azure.network.get(&parent.key()).cloned().ok_or_else(|| resource::not_found(parent, kind))?;
    let Some(name) = name else {
        let shown = resource::render(world, &before, kind);
        return Ok(Response::json(
            200,
            json!({"value": shown["properties"].get(collection).cloned().unwrap_or(json!([]))}),
        ));
    };
    let position = entries(&before.document, collection).position(|(at, _)| at.eq_ignore_ascii_case(name));
    match (verb, position) {
        ("read", Some(_)) => return Ok(Response::json(200, shown(world, parent, kind, collection, name))),
        ("read", None) => return Err(missing(parent, collection, name)),
        ("delete", None) => return Ok(Response::empty(204)),
        _ => {}
    }
    arm::precondition(request, position.map(|_| before.etag.as_str()))
        .map_err(|_| resource::precondition_failed())?;
    if let Some(busy) = operation::busy(world, parent) {
        return Err(busy);
    }
    let mut document = before.document.clone();
    let properties = document.entry("properties").or_insert_with(|| json!({}));
    if properties.get(collection).is_none() {
        properties[collection] = json!([]);
    }
    let Some(listed) = properties[collection].as_array_mut() else { return Err(Response::empty(400)) };
    let (status, effect) = match position {
        Some(at) if verb == "delete" => {
            listed.remove(at);
            (202, Response::empty(202))
        }
        position => {
            let mut entry = body(request)?;
            entry.insert("name".into(), json!(name));
            match position {
                Some(at) => listed[at] = Value::Object(entry),
                None => listed.push(Value::Object(entry)),
            }
            (if position.is_some() { 200 } else { 201 }, Response::empty(200))
        }
    };
    let location = before.location().to_owned();
    let proposal =
        Proposal { id: parent.clone(), before: Some(before), document, location: location.clone() };
    let document = (kind.prepare)(world, principal, &proposal)?;
    if let Some(resource) = world.azure.network.get_mut(&parent.key()) {
        resource.document = document;
        resource.touch("Updating");
    }
    let response = if status == 202 {
        effect
    } else {
        Response::json(status, shown(world, parent, kind, collection, name))
    };
    // The whole parent is busy meanwhile, as in the service; its removal is not meant, hence always a write.
    Ok(operation::start(world, parent, "Microsoft.Network", &location, Effect::Write, response))
}

fn shown(world: &World, parent: &Id, kind: &Kind, collection: &str, name: &str) -> Value {
    let Some(parent) = world.azure.network.get(&parent.key()) else { return Value::Null };
    let whole = resource::render(world, parent, kind);
    let listed = whole["properties"].get(collection).and_then(Value::as_array);
    let named = |entry: &&Value| {
        entry.get("name").and_then(Value::as_str).is_some_and(|n| n.eq_ignore_ascii_case(name))
    };
    listed.into_iter().flatten().find(named).cloned().unwrap_or(Value::Null)
}

fn missing(parent: &Id, collection: &str, name: &str) -> Response {
    arm::error(404, "NotFound", &format!("Resource {parent}/{collection}/{name} not found."))
}

/// Every collection whose entries have ids.
const COLLECTIONS: [&str; 10] = [
    "subnets",
    "securityRules",
    "ipConfigurations",
    "frontendIPConfigurations",
    "backendAddressPools",
    "loadBalancingRules",
    "probes",
    "inboundNatRules",
    "outboundRules",
    "inboundNatPools",
];
const READ_ONLY: [&str; 5] = [
    "provisioningState",
    "resourceGuid",
    "backendIPConfiguration",
    "backendIPConfigurations",
    "defaultSecurityRules",
];
