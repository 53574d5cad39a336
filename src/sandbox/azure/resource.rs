//! What all resources of the network provider have in common: one document each, replaced by PUT, and an
//! operation between the write and its truth.

use std::net::IpAddr;

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::arm::{self, Id};
use super::authority::Principal;
use super::operation::{self, Effect};
use crate::sandbox::clock::Clock;
use crate::sandbox::exchange::{Request, Response};
use crate::sandbox::world::World;

/// A resource as it is kept: what can be set, as it was set, beside what the service says.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    pub(crate) id: Id,
    /// Everything that a client can set: `location`, `tags`, `sku`, `zones`, `properties`, and what this service
    /// does not know.
    pub(crate) document: Map<String, Value>,
    /// The document as the last operation that succeeded left it: what packets meet. Empty before there was one.
    pub(crate) in_force: Map<String, Value>,
    pub(crate) etag: String,
    pub(crate) guid: String,
    /// `provisioningState`.
    pub(crate) state: &'static str,
    /// A public IP's address and name.
    pub(crate) lease: Lease,
    /// `createdTime` of the generic list.
    pub(crate) created: OffsetDateTime,
    /// `changedTime` of the generic list.
    pub(crate) changed: OffsetDateTime,
    /// What stamps it.
    clock: Clock,
}

/// What a public IP has been given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lease {
    pub(crate) address: Option<IpAddr>,
    /// `dnsSettings.fqdn`.
    pub(crate) fqdn: Option<String>,
    /// Whether the label zone knows it: a name is published when the operation that claimed it has succeeded.
    pub(crate) published: Option<String>,
    /// The configuration that uses it.
    pub(crate) user: Option<String>,
}

impl Resource {
    pub(crate) fn new(id: Id, document: Map<String, Value>, clock: Clock) -> Self {
        Self {
            id,
            in_force: document.clone(),
            document,
            etag: fresh_etag(),
            guid: Uuid::new_v4().to_string(),
            state: "Succeeded",
            lease: Lease::default(),
            created: clock.calendar(),
            changed: clock.calendar(),
            clock,
        }
    }

    pub(crate) fn touch(&mut self, state: &'static str) {
        self.state = state;
        if state == "Succeeded" {
            self.in_force.clone_from(&self.document);
        }
        self.etag = fresh_etag();
        self.changed = self.clock.calendar();
    }

    /// A settable property by its path below `properties`.
    pub(crate) fn property(&self, path: &[&str]) -> Option<&Value> {
        property(&self.document, path)
    }

    pub(crate) fn location(&self) -> &str {
        self.document.get("location").and_then(Value::as_str).unwrap_or_default()
    }

    /// `sku.name`; Basic where none was given.
    pub(crate) fn sku(&self) -> &str {
        sku(&self.document)
    }
}

/// A type of the network provider.
pub(crate) struct Kind {
    /// Such as `Microsoft.Network/publicIPAddresses`.
    pub(crate) name: &'static str,
    /// What a body refers to outside of its resource, each with the permission that takes.
    pub(crate) links: fn(&Map<String, Value>) -> Vec<Link>,
    /// Checks a PUT and completes the document.
    pub(crate) prepare: Prepare,
    /// The type's own members of `properties`, beside what was set.
    pub(crate) render: fn(&World, &Resource, &mut Value),
    /// Whether the resource may go.
    pub(crate) removable: fn(&World, &Resource) -> Result<(), Response>,
    /// The collections within the resource that have addresses of their own.
    pub(crate) children: &'static [Child],
}

/// See [`Kind::prepare`].
type Prepare = fn(&mut World, &Proposal) -> Result<Map<String, Value>, Response>;

/// A collection within a resource.
pub(crate) struct Child {
    /// Such as `inboundNatRules`, as it is written in `properties`.
    pub(crate) collection: &'static str,
    /// Whether its entries can be put and deleted one by one; else they can only be read so.
    pub(crate) writable: bool,
}

/// A reference from a body to another resource.
pub(crate) struct Link {
    /// Such as `Microsoft.Network/publicIPAddresses/join/action`.
    pub(crate) action: &'static str,
    pub(crate) to: Id,
}

/// A PUT before it is accepted.
pub(crate) struct Proposal {
    pub(crate) id: Id,
    pub(crate) before: Option<Resource>,
    pub(crate) document: Map<String, Value>,
    pub(crate) location: String,
}

/// Below `properties` of a document.
pub(crate) fn property<'d>(document: &'d Map<String, Value>, path: &[&str]) -> Option<&'d Value> {
    let properties = document.get("properties")?;
    path.iter().try_fold(properties, |value, key| value.get(key)).filter(|value| !value.is_null())
}

pub(crate) fn sku(document: &Map<String, Value>) -> &str {
    document.get("sku").and_then(|sku| sku.get("name")).and_then(Value::as_str).unwrap_or("Basic")
}

/// PUT: replaces the whole resource.
pub(crate) fn put(
    world: &mut World,
    principal: &Principal,
    request: &Request,
    id: Id,
    kind: &Kind,
) -> Response {
    try_put(world, principal, request, id, kind).unwrap_or_else(|refusal| refusal)
}

fn try_put(
    world: &mut World,
    principal: &Principal,
    request: &Request,
    id: Id,
    kind: &Kind,
) -> Result<Response, Response> {
    arm::authorize(principal, &format!("{}/write", kind.name), id.as_str())?;
    super::group::exists(world, id.group())?;
    let mut document = body(request)?;
    linked(principal, kind, &format!("{}/write", kind.name), id.as_str(), &document)?;
    let before = world.azure.network.get(&id.key()).cloned();
    arm::precondition(request, before.as_ref().map(|r| r.etag.as_str()))
        .map_err(|_| precondition_failed())?;
    if let Some(busy) = operation::busy(world, &id) {
        return Err(busy);
    }
    let location = super::group::location(&document)?;
    if let Some(before) = before.as_ref().filter(|before| before.location() != location) {
        let message = format!(
            "The resource '{}' already exists in location '{}' in resource group '{}'. A resource with the same name \
             cannot be created in location '{location}'. Please select a new resource name.",
            id.name(),
            before.location(),
            id.group()
        );
        return Err(arm::error(409, "InvalidResourceLocation", &message));
    }
    document.insert("location".into(), json!(location));
    for read_only in ["id", "name", "type", "etag"] {
        document.remove(read_only);
    }
    if let Some(properties) = document.entry("properties").or_insert_with(|| json!({})).as_object_mut() {
        for read_only in ["provisioningState", "resourceGuid"] {
            properties.remove(read_only);
        }
        // A member that is null was not set.
        properties.retain(|_, value| !value.is_null());
    }
    document.retain(|_, value| !value.is_null());

    let id = before.as_ref().map_or(id, |before| before.id.clone());
    let proposal = Proposal { id: id.clone(), before, document, location: location.clone() };
    let document = (kind.prepare)(world, &proposal)?;
    let status = if proposal.before.is_some() { 200 } else { 201 };
    let clock = world.clock;
    let resource =
        world.azure.network.entry(id.key()).or_insert_with(|| Resource::new(id.clone(), Map::new(), clock));
    resource.document = document;
    resource.touch("Updating");
    let shown = render_by_id(world, &id, kind);
    Ok(operation::start(
        world,
        &id,
        "Microsoft.Network",
        &location,
        Effect::Write,
        Response::json(status, shown),
    ))
}

/// Refuses a body that refers to what is no resource id, or to what the principal may not use.
pub(crate) fn linked(
    principal: &Principal,
    kind: &Kind,
    action: &str,
    scope: &str,
    document: &Map<String, Value>,
) -> Result<(), Response> {
    for link in (kind.links)(document) {
        let mut parts = link.to.as_str().split('/').skip(1);
        let is_id = parts.next().is_some_and(|first| first.eq_ignore_ascii_case("subscriptions"))
            && parts.next().is_some_and(|subscription| !subscription.is_empty())
            && parts.clone().count() >= 6;
        if !is_id {
            let message = format!(
                "Property id '{}' at path 'properties' is invalid. Expect fully qualified resource Id that start with \
                 '/subscriptions/{{subscriptionId}}' or '/providers/{{resourceProviderNamespace}}/'.",
                link.to
            );
            return Err(arm::error(400, "LinkedInvalidPropertyId", &message));
        }
        arm::authorize_linked(principal, action, scope, (link.action, link.to.as_str()))?;
    }
    Ok(())
}

/// PATCH: tags, nothing else.
pub(crate) fn patch(
    world: &mut World,
    principal: &Principal,
    request: &Request,
    id: &Id,
    kind: &Kind,
) -> Response {
    try_patch(world, principal, request, id, kind).unwrap_or_else(|refusal| refusal)
}

fn try_patch(
    world: &mut World,
    principal: &Principal,
    request: &Request,
    id: &Id,
    kind: &Kind,
) -> Result<Response, Response> {
    arm::authorize(principal, &format!("{}/write", kind.name), id.as_str())?;
    super::group::exists(world, id.group())?;
    let etag = world.azure.network.get(&id.key()).map(|r| r.etag.clone());
    arm::precondition(request, etag.as_deref()).map_err(|_| precondition_failed())?;
    if let Some(busy) = operation::busy(world, id) {
        return Err(busy);
    }
    let tags = body(request)?.remove("tags").unwrap_or_else(|| json!({}));
    let resource = world.azure.network.get_mut(&id.key()).ok_or_else(|| not_found(id, kind))?;
    resource.document.insert("tags".into(), tags);
    resource.touch(resource.state);
    Ok(Response::json(200, render_by_id(world, id, kind)))
}

/// GET.
pub(crate) fn get(world: &World, principal: &Principal, id: &Id, kind: &Kind) -> Response {
    if let Err(refusal) = arm::authorize(principal, &format!("{}/read", kind.name), id.as_str()) {
        return refusal;
    }
    if let Err(refusal) = super::group::exists(world, id.group()) {
        return refusal;
    }
    match world.azure.network.get(&id.key()) {
        None => not_found(id, kind),
        Some(resource) => {
            let shown = render(world, resource, kind);
            Response::json(200, shown).with("etag", resource.etag.clone())
        }
    }
}

/// DELETE.
pub(crate) fn delete(
    world: &mut World,
    principal: &Principal,
    request: &Request,
    id: &Id,
    kind: &Kind,
) -> Response {
    if let Err(refusal) = arm::authorize(principal, &format!("{}/delete", kind.name), id.as_str()) {
        return refusal;
    }
    let etag = world.azure.network.get(&id.key()).map(|r| r.etag.clone());
    if etag.is_some() && arm::precondition(request, etag.as_deref()).is_err() {
        return precondition_failed();
    }
    let Some(resource) = world.azure.network.get(&id.key()).cloned() else { return Response::empty(204) };
    if let Some(busy) = operation::busy(world, id) {
        return busy;
    }
    if let Err(refusal) = (kind.removable)(world, &resource) {
        return refusal;
    }
    if let Some(resource) = world.azure.network.get_mut(&id.key()) {
        resource.touch("Deleting");
    }
    let location = resource.location().to_owned();
    operation::start(world, id, "Microsoft.Network", &location, Effect::Remove, Response::empty(202))
}

/// The list of a group, or of the subscription.
pub(crate) fn list(
    world: &World,
    principal: &Principal,
    scope: &str,
    group: Option<&str>,
    kind: &Kind,
) -> Response {
    if let Err(refusal) = arm::authorize(principal, &format!("{}/read", kind.name), scope) {
        return refusal;
    }
    if let Some(refusal) = group.and_then(|group| super::group::exists(world, group).err()) {
        return refusal;
    }
    let marker = format!("/providers/{}/", kind.name).to_ascii_lowercase();
    let found: Vec<Value> = world
        .azure
        .network
        .iter()
        .filter(|(key, _)| key.contains(&marker))
        .filter(|(_, resource)| group.is_none_or(|group| resource.id.group().eq_ignore_ascii_case(group)))
        .map(|(_, resource)| render(world, resource, kind))
        .collect();
    Response::json(200, json!({"value": found}))
}

/// A resource as GET shows it.
pub(crate) fn render(world: &World, resource: &Resource, kind: &Kind) -> Value {
    let mut shown = json!({
        "name": resource.id.name(),
        "id": resource.id.as_str(),
        "etag": resource.etag,
        "type": kind.name,
    });
    for (key, value) in resource.document.iter().filter(|(key, _)| *key != "properties") {
        shown[key] = value.clone();
    }
    let mut properties = json!({"provisioningState": resource.state, "resourceGuid": resource.guid});
    if let Some(set) = resource.document.get("properties").and_then(Value::as_object) {
        for (key, value) in set {
            properties[key] = value.clone();
        }
    }
    (kind.render)(world, resource, &mut properties);
    shown["properties"] = properties;
    shown
}

fn render_by_id(world: &World, id: &Id, kind: &Kind) -> Value {
    world.azure.network.get(&id.key()).map_or(Value::Null, |resource| render(world, resource, kind))
}

/// RFC 7396.
pub(crate) fn merge(into: &mut Map<String, Value>, changes: &Map<String, Value>) {
    for (key, change) in changes {
        match (into.get_mut(key), change) {
            (_, Value::Null) => {
                into.remove(key);
            }
            (Some(Value::Object(inner)), Value::Object(changes)) => merge(inner, changes),
            _ => {
                into.insert(key.clone(), change.clone());
            }
        }
    }
}

/// The request's body as a JSON object.
pub(crate) fn body(request: &Request) -> Result<Map<String, Value>, Response> {
    let refuse = |why: &str| {
        let message = format!("The request content was invalid and could not be deserialized: '{why}'.");
        arm::error(400, "InvalidRequestContent", &message)
    };
    let media = request.header("content-type").unwrap_or("<null>");
    if !media.to_ascii_lowercase().starts_with("application/json") {
        let message = format!(
            "The content media type '{media}' is not supported. Only 'application/json' is supported."
        );
        return Err(arm::error(415, "UnsupportedMediaType", &message));
    }
    match request.json() {
        Ok(Value::Object(document)) => Ok(document),
        Ok(_) => Err(refuse("Expected a JSON object")),
        Err(cause) => Err(refuse(&cause.to_string())),
    }
}

pub(crate) fn not_found(id: &Id, kind: &Kind) -> Response {
    let message = format!(
        "The Resource '{}/{}' under resource group '{}' was not found. For more details please go to \
         https://aka.ms/ARMResourceNotFoundFix",
        kind.name,
        id.name(),
        id.group()
    );
    arm::error(404, "ResourceNotFound", &message)
}

pub(crate) fn precondition_failed() -> Response {
    let message =
        "Precondition failed. The etag provided in the If-Match or If-None-Match header does not match.";
    arm::error(412, "PreconditionFailed", message)
}

/// A weak entity tag around a GUID, as the network provider makes them.
pub(crate) fn fresh_etag() -> String {
    format!("W/\"{}\"", Uuid::new_v4())
}
