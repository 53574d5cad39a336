//! Azure DNS zones: what they hold, how fast they may be asked, and what their servers say.
//!
//! Limits after "Azure DNS limits" (dns-limits.md): record-set writes 200 a minute and zone, lists 60, gets 2,000.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Served;
use super::arm::{self, Id};
use super::authority::Principal;
use super::rdata;
use super::record_set::RecordSet;
use super::resource::body;
use super::seed::{DNS_GROUP, ZONE};
use crate::sandbox::exchange::{Request, Response};
use crate::sandbox::throttle::{Window, retry_after};
use crate::sandbox::world::World;

/// A zone.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    pub(crate) id: Id,
    /// The apex, lower case.
    pub(crate) name: String,
    pub(crate) etag: String,
    tags: Value,
    /// By relative name (lower case) and type (upper case).
    pub(crate) sets: BTreeMap<(String, String), RecordSet>,
    pub(crate) writes: Window,
    pub(crate) lists: Window,
    pub(crate) gets: Window,
}

impl Zone {
    fn new(id: Id) -> Self {
        let minute = Duration::from_secs(60);
        let mut zone = Self {
            name: id.name().to_ascii_lowercase(),
            id,
            etag: Uuid::new_v4().to_string(),
            tags: json!({}),
            sets: BTreeMap::new(),
            writes: Window::new(200, minute),
            lists: Window::new(60, minute),
            gets: Window::new(2000, minute),
        };
        let servers: Vec<_> = NAME_SERVERS.iter().map(|server| json!({"nsdname": server})).collect();
        zone.seed("@", "NS", json!({"TTL": 172_800, "NSRecords": servers}));
        let soa = json!({
            "host": NAME_SERVERS[0], "email": "azuredns-hostmaster.microsoft.com", "serialNumber": 1,
            "refreshTime": 3600, "retryTime": 300, "expireTime": 2_419_200, "minimumTTL": 300,
        });
        zone.seed("@", "SOA", json!({"TTL": 3600, "SOARecord": soa}));
        zone
    }

    fn seed(&mut self, name: &str, kind: &str, properties: Value) {
        let properties = if let Value::Object(map) = properties { map } else { Map::new() };
        self.sets.insert((name.to_owned(), kind.to_owned()), RecordSet::new(name, kind, properties));
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "id": self.id.as_str(),
            "name": self.id.name(),
            "type": "Microsoft.Network/dnszones",
            "etag": self.etag,
            "location": "global",
            "tags": self.tags,
            "properties": {
                "maxNumberOfRecordSets": MAX_RECORD_SETS,
                "maxNumberOfRecordsPerRecordSet": null,
                "nameServers": NAME_SERVERS,
                "numberOfRecordSets": self.sets.len(),
                "zoneType": "Public",
            },
        })
    }

    /// The absolute form of a relative name.
    pub(crate) fn absolute(&self, relative: &str) -> String {
        if relative == "@" { self.name.clone() } else { format!("{relative}.{}", self.name) }
    }

    /// The sets of a relative name, which is in lower case.
    pub(crate) fn sets_at<'z>(
        &'z self,
        name: &'z str,
    ) -> impl Iterator<Item = (&'z (String, String), &'z RecordSet)> + Clone {
        self.sets.range((name.to_owned(), String::new())..).take_while(move |((at, _), _)| at == name)
    }

    /// The relative form of `name`, if it is in this zone.
    pub(crate) fn relative(&self, name: &str) -> Option<String> {
        let rest = name.strip_suffix(&self.name)?;
        if rest.is_empty() { Some("@".to_owned()) } else { rest.strip_suffix('.').map(str::to_owned) }
    }
}

/// The zone of the seed, with records that belong to somebody else.
pub(crate) fn seeded() -> BTreeMap<String, Zone> {
    let mut zone = Zone::new(Id::of(DNS_GROUP, "Microsoft.Network/dnszones", ZONE));
    zone.seed("www", "A", json!({"TTL": 3600, "ARecords": [{"ipv4Address": "192.0.2.80"}]}));
    zone.seed(
        "@",
        "MX",
        json!({"TTL": 3600, "MXRecords": [{"preference": 10, "exchange": "mail.example.com."}]}),
    );
    zone.seed("mail", "A", json!({"TTL": 3600, "ARecords": [{"ipv4Address": "192.0.2.25"}]}));
    let spf = "v=spf1 mx -all";
    let metadata = json!({"contact": "mail team"});
    zone.seed("@", "TXT", json!({"TTL": 3600, "metadata": metadata, "TXTRecords": [{"value": [spf]}]}));
    BTreeMap::from([(zone.id.key(), zone)])
}

/// The rates of a zone, by what is done with its record sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rate {
    Write,
    List,
    Get,
}

/// Takes one request from a zone's window; gives how many are left.
pub(crate) fn admit(world: &mut World, zone: &Id, rate: Rate) -> Result<u32, Response> {
    let (clock, scale) = (world.clock, world.throttle_scale);
    let Some(zone) = world.azure.zones.get_mut(&zone.key()) else { return Ok(0) };
    let window = match rate {
        Rate::Write => &mut zone.writes,
        Rate::List => &mut zone.lists,
        Rate::Get => &mut zone.gets,
    };
    window.take(clock.now(), scale).map_err(|wait| {
        let message = "The request was throttled: too many record set requests for this zone. Please retry after the \
                       period in the Retry-After header.";
        error(429, "TooManyRequests", message)
            .with("retry-after", retry_after(clock, wait))
            .with(REMAINING, "0")
    })
}

/// `…/dnsZones/{zone}` without more.
pub(crate) fn handle(world: &mut World, principal: &Principal, request: &Request, id: &Id) -> Response {
    one(world, principal, request, id).unwrap_or_else(|refusal| refusal)
}

fn one(world: &mut World, principal: &Principal, request: &Request, id: &Id) -> Result<Response, Response> {
    let action = match request.method.as_str() {
        "GET" => "read",
        "DELETE" => "delete",
        _ => "write",
    };
    arm::authorize(principal, &format!("Microsoft.Network/dnszones/{action}"), id.as_str())?;
    super::group::exists(world, id.group())?;
    let etag = world.azure.zones.get(&id.key()).map(|zone| zone.etag.clone());
    if request.method != "GET" {
        condition(request, etag.as_deref())?;
    }
    match request.method.as_str() {
        "GET" => {
            world.azure.zones.get(&id.key()).map(|z| Response::json(200, z.json())).ok_or_else(|| missing(id))
        }
        "PUT" => put(world, request, id),
        "PATCH" => {
            let tags = body(request)?.remove("tags").unwrap_or_else(|| json!({}));
            let zone = world.azure.zones.get_mut(&id.key()).ok_or_else(|| missing(id))?;
            zone.tags = tags;
            zone.etag = Uuid::new_v4().to_string();
            Ok(Response::json(200, zone.json()))
        }
        "DELETE" => Ok(match world.azure.zones.remove(&id.key()) {
            Some(_) => Response::empty(200),
            None => Response::empty(204),
        }),
        _ => Err(Response::empty(405)),
    }
}

fn put(world: &mut World, request: &Request, id: &Id) -> Result<Response, Response> {
    let document = body(request)?;
    if crate::model::name::ZoneName::parse(id.name()).is_err() {
        return Err(error(400, "BadRequest", &format!("The domain name '{}' is invalid.", id.name())));
    }
    if document.get("location").and_then(Value::as_str) != Some("global") {
        let message =
            "The location property must be 'global' for resources of type 'Microsoft.Network/dnsZones'.";
        return Err(arm::error(400, "LocationNotAvailableForResourceType", message));
    }
    let status = if world.azure.zones.contains_key(&id.key()) { 200 } else { 201 };
    let zone = world.azure.zones.entry(id.key()).or_insert_with(|| Zone::new(id.clone()));
    zone.tags = document.get("tags").cloned().unwrap_or_else(|| json!({}));
    zone.etag = Uuid::new_v4().to_string();
    Ok(Response::json(status, zone.json()))
}

/// The zones of a group, or of the subscription.
pub(crate) fn list(world: &World, principal: &Principal, scope: &str, group: Option<&str>) -> Response {
    if let Err(refusal) = arm::authorize(principal, "Microsoft.Network/dnszones/read", scope) {
        return refusal;
    }
    let of_group = |zone: &&Zone| group.is_none_or(|group| zone.id.group().eq_ignore_ascii_case(group));
    let found: Vec<_> = world.azure.zones.values().filter(of_group).map(Zone::json).collect();
    Response::json(200, json!({"value": found}))
}

/// The apex of the zone that holds `name`.
pub(crate) fn zone_of(world: &World, name: &str) -> Option<String> {
    let holding = world.azure.zones.values().filter(|zone| zone.relative(name).is_some());
    holding.map(|zone| zone.name.clone()).max_by_key(String::len)
}

/// What the servers of `zone` say at `name`; see [`super::served`].
pub(crate) fn served(world: &World, zone: &str, name: &str) -> Option<Vec<Served>> {
    let zone = world.azure.zones.values().find(|z| z.name == zone)?;
    let relative = zone.relative(name)?;
    let below = format!(".{relative}");
    let exists =
        relative == "@" || zone.sets.keys().any(|(name, _)| *name == relative || name.ends_with(&below));
    if !exists {
        return None;
    }
    let said = zone.sets_at(&relative).map(|((_, kind), set)| Served {
        kind: kind.clone(),
        ttl: set.ttl(),
        values: match set.target() {
            None => rdata::values(kind, &set.properties),
            Some(target) => aliased(world, kind, target),
        },
    });
    Some(said.filter(|served| !served.values.is_empty()).collect())
}

/// What an alias set leads to at present: a public IP's address, or another set of the zone.
fn aliased(world: &World, kind: &str, target: &str) -> Vec<String> {
    let target = Id::new(target);
    if let Some(resource) = world.azure.network.get(&target.key()) {
        return resource.lease.address.iter().map(ToString::to_string).collect();
    }
    let key = target.key();
    let set = key.rsplit_once('/').and_then(|(rest, name)| {
        let (zone, of) = rest.rsplit_once('/')?;
        world.azure.zones.get(zone)?.sets.get(&(name.to_owned(), of.to_ascii_uppercase()))
    });
    set.map(|set| rdata::values(kind, &set.properties)).unwrap_or_default()
}

/// A resource is gone: alias sets on it become empty ("Azure DNS alias records overview").
pub(crate) fn target_removed(world: &mut World, id: &Id) {
    for set in world.azure.zones.values_mut().flat_map(|zone| zone.sets.values_mut()) {
        if set.target().is_some_and(|target| Id::new(target) == *id) {
            set.properties.remove("targetResource");
            set.etag = Uuid::new_v4().to_string();
        }
    }
}

/// Azure DNS's own condition texts.
pub(crate) fn condition(request: &Request, etag: Option<&str>) -> Result<(), Response> {
    arm::precondition(request, etag).map_err(|header| {
        let wanted = request.header(&header.to_ascii_lowercase()).unwrap_or_default();
        let current = etag.unwrap_or("null");
        let message = format!(
            "The condition '{wanted}' in the {header} header was not satisfied. The current was '{current}'."
        );
        error(412, "PreconditionFailed", &message)
    })
}

/// An error in Azure DNS's own shape: code and message at the top.
pub(crate) fn error(status: u16, code: &str, message: &str) -> Response {
    Response::json(status, json!({"code": code, "message": message}))
}

fn missing(id: &Id) -> Response {
    let message = format!(
        "The Resource 'Microsoft.Network/dnszones/{}' under resource group '{}' was not found. For more details please \
         go to https://aka.ms/ARMResourceNotFoundFix",
        id.name(),
        id.group()
    );
    arm::error(404, "ResourceNotFound", &message)
}

/// How many more requests of the same sort the zone takes in this window.
pub(crate) const REMAINING: &str = "x-ms-ratelimit-remaining-subscription-resource-requests";
/// Record sets a zone.
pub(crate) const MAX_RECORD_SETS: usize = 10_000;
const NAME_SERVERS: [&str; 4] =
    ["ns1-01.azure-dns.com.", "ns2-01.azure-dns.net.", "ns3-01.azure-dns.org.", "ns4-01.azure-dns.info."];
