//! Azure DNS record sets: written whole, conditionally, and at once.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::arm::{self, Id};
use super::authority::Principal;
use super::rdata;
use super::resource::body;
use super::zone::{self, MAX_RECORD_SETS, REMAINING, Rate, Zone, condition, error};
use crate::sandbox::exchange::{Request, Response};
use crate::sandbox::world::World;

/// A record set: `properties` holds `TTL`, `metadata`, `targetResource` and the data member of its type.
#[derive(Clone, Debug)]
pub(crate) struct RecordSet {
    /// The relative name as first written.
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) etag: String,
    pub(crate) properties: Map<String, Value>,
}

impl RecordSet {
    pub(crate) fn new(name: &str, kind: &str, properties: Map<String, Value>) -> Self {
        Self { name: name.to_owned(), kind: kind.to_owned(), etag: Uuid::new_v4().to_string(), properties }
    }

    pub(crate) fn ttl(&self) -> u32 {
        self.properties
            .get("TTL")
            .and_then(Value::as_u64)
            .and_then(|ttl| u32::try_from(ttl).ok())
            .unwrap_or(3600)
    }

    /// The resource that an alias set follows.
    pub(crate) fn target(&self) -> Option<&str> {
        target(&self.properties)
    }

    fn json(&self, zone: &Zone) -> Value {
        let mut properties = self.properties.clone();
        let fqdn = if self.name == "@" {
            format!("{}.", zone.name)
        } else {
            format!("{}.{}.", self.name, zone.name)
        };
        properties.insert("fqdn".into(), json!(fqdn));
        properties.insert("provisioningState".into(), json!("Succeeded"));
        // Every set shows the member, empty where the set is no alias.
        properties.entry("targetResource").or_insert_with(|| json!({}));
        json!({
            "id": format!("{}/{}/{}", zone.id, self.kind, self.name),
            "name": self.name,
            "type": format!("Microsoft.Network/dnszones/{}", self.kind),
            "etag": self.etag,
            "properties": properties,
        })
    }
}

fn target(properties: &Map<String, Value>) -> Option<&str> {
    properties.get("targetResource").and_then(|target| target.get("id")).and_then(Value::as_str)
}

/// `…/dnsZones/{zone}/{type}/{name}`.
pub(crate) fn handle(
    world: &mut World,
    principal: &Principal,
    request: &Request,
    zone: &Id,
    kind: &str,
    name: &str,
) -> Response {
    one(world, principal, request, zone, kind, name).unwrap_or_else(|refusal| refusal)
}

fn one(
    world: &mut World,
    principal: &Principal,
    request: &Request,
    zone: &Id,
    kind: &str,
    name: &str,
) -> Result<Response, Response> {
    let kind = known(kind)?;
    let (verb, rate) = match request.method.as_str() {
        "GET" => ("read", Rate::Get),
        "DELETE" => ("delete", Rate::Write),
        "PUT" | "PATCH" => ("write", Rate::Write),
        _ => return Err(Response::empty(405)),
    };
    let scope = format!("{zone}/{kind}/{name}");
    let action = format!("Microsoft.Network/dnszones/{kind}/{verb}");
    arm::authorize(principal, &action, &scope)?;
    super::group::exists(world, zone.group())?;
    parent(world, zone)?;
    let left = zone::admit(world, zone, rate)?;
    let key = (name.to_ascii_lowercase(), kind.to_owned());
    let current = world.azure.zones.get(&zone.key()).and_then(|zone| zone.sets.get(&key)).cloned();
    if verb != "read" {
        condition(request, current.as_ref().map(|set| set.etag.as_str()))?;
    }
    let response = match (request.method.as_str(), current) {
        ("GET", Some(set)) => shown(world, zone, 200, &set),
        ("DELETE", None) => Response::empty(204),
        ("DELETE", Some(_)) => {
            if name == "@" && matches!(kind, "SOA" | "NS") {
                let message = format!("The {kind} record set at the zone apex cannot be deleted.");
                return Err(error(400, "BadRequest", &message));
            }
            if let Some(zone) = world.azure.zones.get_mut(&zone.key()) {
                zone.sets.remove(&key);
            }
            Response::empty(200)
        }
        ("GET" | "PATCH", None) => {
            let message = format!(
                "The resource record '{name}' does not exist in resource group '{}' of subscription '{}'.",
                zone.group(),
                super::seed::SUBSCRIPTION
            );
            return Err(error(404, "NotFound", &message));
        }
        (_, current) => {
            let mut properties = settable(kind, body(request)?)?;
            if let ("PATCH", Some(current)) = (request.method.as_str(), &current) {
                let mut merged = current.properties.clone();
                merged.extend(properties);
                properties = merged;
            }
            check(world, zone, kind, name, &properties)?;
            if let Some(target) = target(&properties) {
                let linked = ("Microsoft.Network/publicIPAddresses/dnsAliases/write", target);
                arm::authorize_linked(principal, &action, &scope, linked)?;
            }
            let spelled = current.as_ref().map_or(name, |set| set.name.as_str());
            let set = RecordSet::new(spelled, kind, properties);
            let status = if current.is_some() { 200 } else { 201 };
            let response = shown(world, zone, status, &set);
            if let Some(zone) = world.azure.zones.get_mut(&zone.key()) {
                zone.sets.insert(key, set);
            }
            response
        }
    };
    Ok(response.with(REMAINING, left.to_string()))
}

/// `…/dnsZones/{zone}/{type}`, `…/recordsets` and `…/all`: pages of 100, 1,000 at most.
pub(crate) fn list(
    world: &mut World,
    principal: &Principal,
    request: &Request,
    zone: &Id,
    what: &str,
) -> Response {
    pages(world, principal, request, zone, what).unwrap_or_else(|refusal| refusal)
}

fn pages(
    world: &mut World,
    principal: &Principal,
    request: &Request,
    zone: &Id,
    what: &str,
) -> Result<Response, Response> {
    let everything = ["all", "recordsets"].iter().find(|word| what.eq_ignore_ascii_case(word));
    let kind = if everything.is_some() { None } else { Some(known(what)?) };
    let action = format!("Microsoft.Network/dnszones/{}/read", kind.or(everything.copied()).unwrap_or(what));
    arm::authorize(principal, &action, zone.as_str())?;
    super::group::exists(world, zone.group())?;
    parent(world, zone)?;
    let top = match request.param("$top").map(str::parse::<usize>) {
        None => 100,
        Some(Ok(top)) if top > 0 => top.min(1000),
        Some(_) => return Err(error(400, "BadRequest", "The value of the $top parameter is invalid.")),
    };
    let left = zone::admit(world, zone, Rate::List)?;
    let suffix = request.param("$recordsetnamesuffix").map(str::to_ascii_lowercase).unwrap_or_default();
    let after = request.param("$skiptoken").unwrap_or_default();
    let base = &world.addresses.resource_manager;
    let Some(zone) = world.azure.zones.get(&zone.key()) else { return Err(Response::empty(404)) };

    let mut found = zone.sets.iter().filter(|((name, of), _)| {
        kind.is_none_or(|kind| kind == of) && (suffix.is_empty() || has_suffix(name, &suffix))
    });
    let mut value = Vec::new();
    let mut last = String::new();
    for ((name, of), set) in found.by_ref() {
        let token = format!("{name}~{of}");
        if !after.is_empty() && (name.as_str(), of.as_str()) <= after.split_once('~').unwrap_or((after, "")) {
            continue;
        }
        value.push(set.json(zone));
        last = token;
        if value.len() == top {
            break;
        }
    }
    let mut page = json!({"value": value});
    if found.next().is_some() {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in request.pairs.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("$skiptoken"))
        {
            query.append_pair(name, value);
        }
        query.append_pair("$skiptoken", &last);
        page["nextLink"] = json!(format!("{base}{}?{}", request.path, query.finish()));
    }
    Ok(Response::json(200, page).with(REMAINING, left.to_string()))
}

// The suffix is one of names, not of texts: `jump` ends `jump` and `a.jump`, not `longjump`.
fn has_suffix(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// What a client can set, under the spelling of the documentation: the service compares member names without case.
fn settable(kind: &str, mut document: Map<String, Value>) -> Result<Map<String, Value>, Response> {
    let Some(Value::Object(given)) = document.remove("properties") else {
        return Err(error(400, "BadRequest", "The record set has no properties."));
    };
    let member = rdata::member(kind).unwrap_or_default();
    let mut properties = Map::new();
    for (key, value) in given {
        let key =
            ["TTL", "metadata", "targetResource", member].into_iter().find(|k| key.eq_ignore_ascii_case(k));
        if let Some(key) = key.filter(|_| !value.is_null()) {
            properties.insert(key.to_owned(), value);
        }
    }
    if let Some(metadata) = properties.get_mut("metadata").and_then(Value::as_object_mut) {
        // Reported for the service itself: such keys vanish while the call succeeds.
        metadata.retain(|key, _| !key.contains(' '));
        if let Some(key) = metadata.iter().find(|(_, value)| !value.is_string()).map(|(key, _)| key) {
            return Err(error(
                400,
                "BadRequest",
                &format!("The metadata value of '{key}' must be a string."),
            ));
        }
    }
    if target(&properties).is_none() {
        properties.remove("targetResource");
    }
    Ok(properties)
}

fn check(
    world: &World,
    zone: &Id,
    kind: &str,
    name: &str,
    properties: &Map<String, Value>,
) -> Result<(), Response> {
    let bad = |message: String| Err(error(400, "BadRequest", &message));
    let Some(held) = world.azure.zones.get(&zone.key()) else { return Ok(()) };
    let fqdn = if name == "@" { held.name.clone() } else { format!("{name}.{}", held.name) };
    if !rdata::is_domain(fqdn.strip_prefix("*.").unwrap_or(&fqdn)) {
        return bad(format!("The domain name '{fqdn}' is invalid."));
    }
    match properties.get("TTL").map(Value::as_i64) {
        Some(Some(ttl)) if (1..=2_147_483_647).contains(&ttl) => {}
        given => {
            let given = given.flatten().map_or_else(|| "null".to_owned(), |ttl| ttl.to_string());
            return bad(format!("The TTL value '{given}' is invalid. It must be between 1 and 2147483647."));
        }
    }
    if kind == "SOA" && name != "@" {
        return bad("The SOA record set exists at the zone apex only.".to_owned());
    }
    if kind == "CNAME" && name == "@" {
        return bad("A CNAME record set cannot be created at the zone apex.".to_owned());
    }

    let records = rdata::records(kind, properties);
    if let Some(target) = target(properties) {
        if !records.is_empty() {
            return bad("A record set cannot have both records and a target resource.".to_owned());
        }
        alias(world, zone, kind, name, target)?;
    } else if kind == "CNAME" && records.is_empty() {
        return bad("A CNAME record set must have one record.".to_owned());
    }
    if records.len() > 20 {
        return bad(format!("The record set has {} records; the limit is 20.", records.len()));
    }
    if let Some(fault) = records.iter().find_map(|record| rdata::fault(kind, record)) {
        return bad(fault);
    }
    let texts = rdata::values(kind, properties);
    if kind == "TXT" && texts.iter().map(String::len).sum::<usize>() > 4096 {
        return bad(
            "The total length of all records in the TXT record set exceeds 4096 characters.".to_owned()
        );
    }

    let lower = name.to_ascii_lowercase();
    let mut others = held.sets_at(&lower).map(|((_, of), _)| of).filter(|of| *of != kind);
    if kind == "CNAME" && others.clone().next().is_some() {
        let message = "The CNAME record could not be created because another record with the same name already exists in this zone.";
        return Err(error(409, "Conflict", message));
    }
    if kind != "CNAME" && others.any(|of| of == "CNAME") {
        let message = "The record could not be created because a CNAME record with the same name already exists in this zone.";
        return Err(error(409, "Conflict", message));
    }
    if held.sets.len() >= MAX_RECORD_SETS && !held.sets.contains_key(&(lower.clone(), kind.to_owned())) {
        return bad(format!("The zone has reached its limit of {MAX_RECORD_SETS} record sets."));
    }
    Ok(())
}

/// A and AAAA may follow a public IP of their family, or a set of the same type in the zone; CNAME such a set.
fn alias(world: &World, zone: &Id, kind: &str, name: &str, target: &str) -> Result<(), Response> {
    let bad = |message: String| Err(error(400, "BadRequest", &message));
    if !["A", "AAAA", "CNAME"].contains(&kind) {
        return bad(format!("An alias record set cannot be of type {kind}."));
    }
    let id = Id::new(target);
    let in_zone = format!("{}/{}/", zone.key(), kind.to_ascii_lowercase());
    if let Some(set) = id.key().strip_prefix(&in_zone) {
        let known = world
            .azure
            .zones
            .get(&zone.key())
            .is_some_and(|zone| zone.sets.contains_key(&(set.to_owned(), kind.to_owned())));
        // Reported: an alias on the apex set of the same zone is refused (azure-docs #114848).
        return if known && set != "@" {
            Ok(())
        } else {
            bad(format!("The target resource '{target}' does not exist."))
        };
    }
    let is_public_ip = id.key().contains("/providers/microsoft.network/publicipaddresses/");
    if !is_public_ip || kind == "CNAME" {
        return bad(format!(
            "The resource '{target}' cannot be the target of an alias record set of type {kind}."
        ));
    }
    let Some(resource) = world.azure.network.get(&id.key()) else {
        return bad(format!("The target resource '{target}' does not exist."));
    };
    let six = resource.property(&["publicIPAddressVersion"]) == Some(&json!("IPv6"));
    if six != (kind == "AAAA") {
        return bad(format!("The IP version of '{target}' does not fit an alias record set of type {kind}."));
    }
    let lower = name.to_ascii_lowercase();
    let followers = world.azure.zones.values().flat_map(|zone| &zone.sets).filter(|((at, of), set)| {
        set.target().is_some_and(|other| Id::new(other) == id) && !(*at == lower && of == kind)
    });
    if followers.count() >= 20 {
        return bad(format!("The target resource '{target}' has reached its limit of 20 alias record sets."));
    }
    Ok(())
}

fn known(kind: &str) -> Result<&'static str, Response> {
    let found = rdata::TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(kind));
    found.map(|(name, _)| *name).ok_or_else(|| {
        let message = format!(
            "The resource type '{kind}' could not be found in the namespace 'Microsoft.Network/dnszones'."
        );
        arm::error(404, "InvalidResourceType", &message)
    })
}

fn parent(world: &World, zone: &Id) -> Result<(), Response> {
    if world.azure.zones.contains_key(&zone.key()) {
        return Ok(());
    }
    let message = format!(
        "Can not perform requested operation on nested resource. Parent resource '{}' not found.",
        zone.name()
    );
    Err(arm::error(404, "ParentResourceNotFound", &message))
}

fn shown(world: &World, zone: &Id, status: u16, set: &RecordSet) -> Response {
    let body = world.azure.zones.get(&zone.key()).map_or(Value::Null, |zone| set.json(zone));
    Response::json(status, body).with("etag", set.etag.clone())
}

/// What a person writes in the portal: the set as it stands, replaced whole, checked like any other.
pub(crate) fn put_by_hand(
    world: &mut World,
    fqdn: &str,
    kind: &str,
    properties: &Value,
) -> Result<(), String> {
    let (zone, name) = place(world, fqdn)?;
    let kind = known(kind).map_err(|_| format!("Azure DNS has no type {kind}"))?;
    let document = Map::from_iter([("properties".to_owned(), properties.clone())]);
    let said = |refusal: Response| format!("{:?}", refusal.body);
    let properties = settable(kind, document).map_err(said)?;
    check(world, &zone, kind, &name, &properties).map_err(said)?;
    if let Some(zone) = world.azure.zones.get_mut(&zone.key()) {
        zone.sets.insert((name.clone(), kind.to_owned()), RecordSet::new(&name, kind, properties));
    }
    Ok(())
}

/// What a person deletes in the portal.
pub(crate) fn delete_by_hand(world: &mut World, fqdn: &str, kind: &str) -> Result<(), String> {
    let (zone, name) = place(world, fqdn)?;
    let sets: Option<&mut BTreeMap<_, _>> = world.azure.zones.get_mut(&zone.key()).map(|zone| &mut zone.sets);
    let removed = sets.and_then(|sets| sets.remove(&(name, kind.to_ascii_uppercase())));
    removed.map(|_| ()).ok_or_else(|| format!("there is no {kind} record set {fqdn}"))
}

/// The set as GET shows it.
pub(crate) fn shown_by_hand(world: &World, fqdn: &str, kind: &str) -> Option<Value> {
    let (zone, name) = place(world, fqdn).ok()?;
    let zone = world.azure.zones.get(&zone.key())?;
    zone.sets.get(&(name, kind.to_ascii_uppercase())).map(|set| set.json(zone))
}

/// Every set of every zone as GET shows it, by absolute name.
pub(crate) fn all(world: &World) -> Vec<(String, Value)> {
    let zones = world.azure.zones.values();
    zones
        .flat_map(|zone| zone.sets.iter().map(move |((name, _), set)| (zone.absolute(name), set.json(zone))))
        .collect()
}

fn place(world: &World, fqdn: &str) -> Result<(Id, String), String> {
    let fqdn = fqdn.trim_end_matches('.').to_ascii_lowercase();
    let apex = zone::zone_of(world, &fqdn).ok_or_else(|| format!("no Azure DNS zone holds {fqdn}"))?;
    let zone = world.azure.zones.values().find(|zone| zone.name == apex);
    zone.and_then(|zone| Some((zone.id.clone(), zone.relative(&fqdn)?))).ok_or_else(|| fqdn.clone())
}
