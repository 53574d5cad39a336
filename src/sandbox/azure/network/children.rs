//! Collections inside a resource, each entry a resource of its own in the answers: rules, pools, subnets.

use serde_json::{Map, Value, json};

use super::super::arm::{self, Id};
use super::super::authority::Principal;
use super::super::operation::{self, Effect};
use super::super::resource::{self, Child, Kind, Proposal, Resource, body};
use super::port_mapping;
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

/// A collection's name as it is written in documents, from any case.
pub(crate) fn spelled(collection: &str) -> Option<&'static str> {
    COLLECTIONS.iter().find(|name| name.eq_ignore_ascii_case(collection)).copied()
}

/// The properties of each entry of a collection.
pub(super) fn inner_mut<'d>(
    properties: &'d mut Map<String, Value>,
    collection: &str,
) -> impl Iterator<Item = &'d mut Map<String, Value>> {
    let listed = properties.get_mut(collection).and_then(Value::as_array_mut);
    listed.into_iter().flatten().filter_map(|entry| entry.get_mut("properties")?.as_object_mut())
}

/// Spells an enumeration's value as the service does.
pub(super) fn spell(inner: &mut Map<String, Value>, key: &str, known: &[&str]) {
    let given = inner.get(key).and_then(Value::as_str);
    let known = given.and_then(|given| known.iter().find(|known| known.eq_ignore_ascii_case(given)));
    if let Some(known) = known {
        inner.insert(key.to_owned(), json!(known));
    }
}

/// Takes out what the service says itself.
pub(crate) fn strip(document: &mut Map<String, Value>) {
    let Some(properties) = document.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for collection in COLLECTIONS {
        let Some(listed) = properties.get_mut(collection).and_then(Value::as_array_mut) else { continue };
        for entry in listed.iter_mut().filter_map(Value::as_object_mut) {
            entry.retain(|key, _| !matches!(key.as_str(), "id" | "etag" | "type"));
            let inner = entry.entry("properties").or_insert_with(|| json!({}));
            if let Some(inner) = inner.as_object_mut() {
                inner.retain(|key, value| !READ_ONLY.contains(&key.as_str()) && !value.is_null());
                inner.iter_mut().for_each(|(key, value)| bare_reference(key, value));
            }
        }
    }
    properties.remove("defaultSecurityRules");
    let plain = properties.iter_mut().filter(|(key, _)| spelled(key).is_none());
    plain.for_each(|(key, value)| bare_reference(key, value));
}

/// Adds what the service says itself.
pub(super) fn render(_: &World, resource: &Resource, properties: &mut Value) {
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
        }
    }
}

/// A reference may come with all that was read there; its id is what counts.
fn bare_reference(key: &str, value: &mut Value) {
    let several = LISTED_REFERENCES.contains(&key).then(|| value.as_array_mut()).flatten();
    if let Some(several) = several {
        several.iter_mut().for_each(|one| bare_reference("", one));
        return;
    }
    let Some(object) = value.as_object_mut() else { return };
    if object.get("id").is_some_and(Value::is_string) {
        object.retain(|key, _| key == "id");
    }
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
    let of = |collection: &str| {
        kind.children.iter().find(|known| known.collection.eq_ignore_ascii_case(collection))
    };
    let said = match rest {
        [collection] => list(world, principal, request, parent, kind, of(collection)?),
        [collection, name] => one(world, principal, request, parent, kind, (of(collection)?, name)),
        [collection, name, action] if request.method == "POST" => {
            let query = action.eq_ignore_ascii_case("queryInboundNatRulePortMapping");
            if !query || of(collection)?.collection != "backendAddressPools" {
                return None;
            }
            let pool = Id::new(format!("{parent}/backendAddressPools/{name}"));
            Ok(port_mapping::query(world, principal, request, &pool))
        }
        _ => return None,
    };
    Some(said.unwrap_or_else(|refusal| refusal))
}

fn list(
    world: &mut World,
    principal: &Principal,
    request: &Request,
    parent: &Id,
    kind: &Kind,
    child: &Child,
) -> Result<Response, Response> {
    if request.method != "GET" {
        return Err(not_allowed(request));
    }
    let collection = child.collection;
    arm::authorize(principal, &format!("{}/{collection}/read", kind.name), parent.as_str())?;
    super::super::group::exists(world, parent.group())?;
    let held = world.azure.network.get(&parent.key()).ok_or_else(|| resource::not_found(parent, kind))?;
    let shown = resource::render(world, held, kind);
    Ok(Response::json(
        200,
        json!({"value": shown["properties"].get(collection).cloned().unwrap_or(json!([]))}),
    ))
}

fn one(
    world: &mut World,
    principal: &Principal,
    request: &Request,
    parent: &Id,
    kind: &Kind,
    (child, name): (&Child, &str),
) -> Result<Response, Response> {
    let collection = child.collection;
    let verb = match request.method.as_str() {
        "GET" => "read",
        "PUT" if child.writable => "write",
        "DELETE" if child.writable => "delete",
        _ => return Err(not_allowed(request)),
    };
    let scope = format!("{parent}/{collection}/{name}");
    let action = format!("{}/{collection}/{verb}", kind.name);
    arm::authorize(principal, &action, &scope)?;
    super::super::group::exists(world, parent.group())?;
    let orphan = || if verb == "write" { no_parent(parent) } else { resource::not_found(parent, kind) };
    let before = world.azure.network.get(&parent.key()).cloned().ok_or_else(orphan)?;
    if verb == "read" {
        let shown = shown(world, parent, kind, collection, name);
        if shown.is_null() {
            return Err(missing(parent, collection, name));
        }
        return Ok(Response::json(200, shown).with("etag", before.etag));
    }
    let position = entries(&before.document, collection).position(|(at, _)| at.eq_ignore_ascii_case(name));
    if verb == "delete" && position.is_none() {
        return Ok(Response::empty(204));
    }
    let entry = if verb == "delete" { None } else { Some(body(request)?) };
    if let Some(entry) = &entry {
        let mut listed = entry.clone();
        listed.insert("name".into(), json!(name));
        let alone = json!({"properties": {collection: [listed]}});
        resource::linked(principal, kind, &action, &scope, alone.as_object().unwrap_or(&Map::new()))?;
    }
    arm::precondition(request, position.map(|_| before.etag.as_str()))
        .map_err(|_| resource::precondition_failed())?;
    if let Some(busy) = operation::busy(world, parent) {
        return Err(busy);
    }
    let document = changed(&before.document, collection, position, name, entry)?;
    let location = before.location().to_owned();
    let proposal =
        Proposal { id: parent.clone(), before: Some(before), document, location: location.clone() };
    let document = (kind.prepare)(world, &proposal)?;
    if let Some(resource) = world.azure.network.get_mut(&parent.key()) {
        resource.document = document;
        resource.touch("Updating");
    }
    let response = if verb == "delete" {
        Response::empty(202)
    } else {
        let status = if position.is_some() { 200 } else { 201 };
        Response::json(status, shown(world, parent, kind, collection, name))
    };
    // The whole parent is busy meanwhile, as in the service; its removal is not meant, hence always a write.
    Ok(operation::start(world, parent, "Microsoft.Network", &location, Effect::Write, response))
}

/// A parent's document with one entry put, or taken out where there is none to put.
fn changed(
    before: &Map<String, Value>,
    collection: &str,
    position: Option<usize>,
    name: &str,
    entry: Option<Map<String, Value>>,
) -> Result<Map<String, Value>, Response> {
    let mut document = before.clone();
    let properties = document.entry("properties").or_insert_with(|| json!({}));
    if properties.get(collection).is_none() {
        properties[collection] = json!([]);
    }
    let Some(listed) = properties[collection].as_array_mut() else { return Err(Response::empty(400)) };
    match (entry, position) {
        (None, Some(at)) => {
            listed.remove(at);
        }
        (None, None) => {}
        (Some(mut entry), position) => {
            // An entry keeps the name under which it was made.
            let kept = position.and_then(|at| listed[at].get("name").cloned());
            entry.insert("name".into(), kept.unwrap_or_else(|| json!(name)));
            match position {
                Some(at) => listed[at] = Value::Object(entry),
                None => listed.push(Value::Object(entry)),
            }
        }
    }
    Ok(document)
}

fn no_parent(parent: &Id) -> Response {
    let message = format!(
        "Can not perform requested operation on nested resource. Parent resource '{}' not found.",
        parent.name()
    );
    arm::error(404, "ParentResourceNotFound", &message)
}

fn not_allowed(request: &Request) -> Response {
    let message = format!("The requested resource does not support http method '{}'.", request.method);
    arm::error(405, "HttpMethodNotSupported", &message)
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

pub(super) fn missing(parent: &Id, collection: &str, name: &str) -> Response {
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
/// What entries only say: their state, and who refers to them.
const READ_ONLY: [&str; 12] = [
    "provisioningState",
    "resourceGuid",
    "backendIPConfiguration",
    "backendIPConfigurations",
    "defaultSecurityRules",
    "inboundNatRules",
    "inboundNatPools",
    "loadBalancingRules",
    "outboundRule",
    "outboundRules",
    "ipConfigurations",
    "privateEndpoints",
];
/// Lists of references, beside those of whole entries.
const LISTED_REFERENCES: [&str; 7] = [
    "loadBalancerBackendAddressPools",
    "loadBalancerInboundNatRules",
    "applicationSecurityGroups",
    "sourceApplicationSecurityGroups",
    "destinationApplicationSecurityGroups",
    "backendAddressPools",
    "frontendIPConfigurations",
];
