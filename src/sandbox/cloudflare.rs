//! Cloudflare's API v4 and the zones behind it.
//!
//! Pure rules over plain values: [`api`] routes a request, [`zone`] and [`record`] hold what it changes, and
//! [`error`] has the refusals in the service's own words.

mod api;
mod batch;
mod content;
mod error;
mod filter;
mod limits;
mod record;
mod token;
mod zone;

use serde::Serialize;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use self::api::Now;
use self::limits::Budget;
use self::token::{Owner, Status, Token};
use super::CloudflarePlan;
use super::exchange::{Request, Response};
use super::world::World;
use crate::model::name::ZoneName;

pub(crate) use self::record::Record;
pub(crate) use self::zone::{NAME_SERVERS, NS_TTL, SOA_TTL, Zone};

/// Cloudflare's state.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) zones: Vec<Zone>,
    tokens: Vec<Token>,
    budget: Budget,
}

impl State {
    /// The zone example.com with its foreign records, example.net without any, and the tokens of
    /// [`CLOUDFLARE_TOKENS`].
    pub(crate) fn seeded(plan: CloudflarePlan, now: OffsetDateTime) -> Self {
        let zones: Vec<Zone> = ZONES
            .into_iter()
            .filter_map(|(id, name)| Some(Zone::new(id, ZoneName::parse(name).ok()?, plan, now)))
            .collect();
        let tokens = tokens(&zones);
        let mut state = Self { zones, tokens, budget: Budget::default() };
        for record in foreign_records() {
            // The seed obeys the rules of both plans; a test holds it to that.
            let _ = state.put(&record, now);
        }
        state
    }

    fn put(&mut self, record: &Value, now: OffsetDateTime) -> Result<(), String> {
        let body = record.as_object().ok_or("a record is a JSON object")?;
        let member = |key: &str| body.get(key).and_then(Value::as_str).ok_or(format!("{key} is missing"));
        let (name, kind) = (member("name")?.trim_end_matches('.'), member("type")?.to_ascii_uppercase());
        let zone = self.zone_of(name)?;
        let of_set = |held: &Record| held.name.eq_ignore_ascii_case(name) && held.kind == kind;
        let held: Vec<String> =
            zone.records.iter().filter(|held| of_set(held)).map(|held| held.id.clone()).collect();
        let mut after = zone.clone();
        let done = if let [only] = &held[..] {
            // Edited in place: the record keeps its id.
            after.put(only, body, now)
        } else {
            after.records.retain(|held| !of_set(held));
            after.create(body, now)
        };
        done.map_err(|refusal| refusal.message)?;
        *zone = after;
        Ok(())
    }

    fn zone_of(&mut self, name: &str) -> Result<&mut Zone, String> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let holds = |zone: &Zone| {
            let apex = zone.name.apex().as_str();
            name.strip_suffix(apex).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        let zones = self.zones.iter_mut().filter(|zone| zone.active && holds(zone));
        zones.max_by_key(|zone| zone.name.apex().as_str().len()).ok_or(format!("no zone holds {name}"))
    }
}

/// Answers one request below `/client/v4`.
pub(crate) fn handle(world: &mut World, request: &Request) -> Response {
    let now = Now { clock: world.clock, scale: world.throttle_scale };
    api::answer(&mut world.cloudflare, request, now)
}

/// What a person does in the dashboard: `record` is an API record (`name`, `type`, `content`, `ttl`, `proxied`,
/// `comment`…); one of the same name and type is replaced whole.
pub(crate) fn put_by_hand(world: &mut World, record: &Value) -> Result<(), String> {
    let now = world.calendar();
    world.cloudflare.put(record, now)
}

/// Another account of the same people adds a zone of that name; the tokens that see every zone see it too.
pub(crate) fn add_zone_by_hand(world: &mut World, name: &str) -> Result<String, String> {
    let name = ZoneName::parse(name).map_err(|why| why.to_string())?;
    let now = world.calendar();
    let zones = &mut world.cloudflare.zones;
    let active = !zones.iter().any(|zone| zone.active && zone.name == name);
    let account = (record::new_id(), "Fabrikam".to_owned());
    let plan = world.options.plan;
    let zone = Zone { account, active, ..Zone::new(&record::new_id(), name, plan, now) };
    let id = zone.id.clone();
    zones.push(zone);
    Ok(id)
}

/// What a person does in the dashboard: removes a zone from the account, and with it every record of it.
pub(crate) fn delete_zone_by_hand(world: &mut World, name: &str) -> Result<(), String> {
    let named = ZoneName::parse(name).map_err(|why| why.to_string())?;
    let zones = &mut world.cloudflare.zones;
    let at = zones.iter().position(|zone| zone.active && zone.name == named);
    zones.remove(at.ok_or(format!("there is no zone {name}"))?);
    Ok(())
}

/// Every record of every zone as the API shows it, by name.
pub(crate) fn records(world: &World) -> Vec<(String, Value)> {
    let zones = world.cloudflare.zones.iter();
    zones.flat_map(|zone| &zone.records).map(|record| (record.name.clone(), record.to_json(None))).collect()
}

/// What a person does in the dashboard: removes every record of that name and type.
pub(crate) fn delete_by_hand(world: &mut World, name: &str, kind: &str) -> Result<(), String> {
    let zone = world.cloudflare.zone_of(name)?;
    let name = name.trim_end_matches('.');
    let before = zone.records.len();
    zone.records
        .retain(|held| !(held.name.eq_ignore_ascii_case(name) && held.kind.eq_ignore_ascii_case(kind)));
    zone.serial += 1;
    if zone.records.len() == before { Err(format!("there is no {kind} record {name}")) } else { Ok(()) }
}

/// What a person does in the dashboard: the orange cloud, on or off, for every record of the name that can have it.
pub(crate) fn proxy_by_hand(world: &mut World, name: &str, proxied: bool) -> Result<(), String> {
    let now = world.calendar();
    let zone = world.cloudflare.zone_of(name)?;
    let wanted = name.trim_end_matches('.');
    let of_name = |held: &&Record| held.name.eq_ignore_ascii_case(wanted) && held.is_proxiable();
    let ids: Vec<String> = zone.records.iter().filter(of_name).map(|held| held.id.clone()).collect();
    if ids.is_empty() {
        return Err(format!("no record {name} can be proxied"));
    }
    let body = Map::from_iter([("proxied".to_owned(), json!(proxied))]);
    for id in ids {
        zone.patch(&id, &body, now).map_err(|refusal| refusal.message)?;
    }
    Ok(())
}

/// What a person does in the dashboard: switches a token off, or on again.
pub(crate) fn switch_token_by_hand(world: &mut World, secret: &str, on: bool) -> Result<(), String> {
    let token = world.cloudflare.tokens.iter_mut().find(|token| token.secret == secret);
    token.ok_or("there is no such token")?.status = if on { Status::Active } else { Status::Disabled };
    Ok(())
}

/// The API tokens that every sandbox knows.
#[derive(Clone, Copy, Debug, Serialize)]
#[non_exhaustive]
pub struct CloudflareTokens {
    /// Zone > Zone > Read and Zone > DNS > Edit on all zones.
    pub good: &'static str,
    /// As `good`, but its time is over.
    pub expired: &'static str,
    /// As `good`, but switched off.
    pub disabled: &'static str,
    /// Zone > Zone > Read and Zone > DNS > Read on all zones.
    pub read_only: &'static str,
    /// As `good`, but on example.net alone.
    pub other_zone: &'static str,
    /// Zone > DNS > Edit on example.com without Zone > Zone > Read: zones cannot be looked up by name.
    pub dns_edit_only: &'static str,
    /// As `good`, but owned by the account, so that it verifies below `/accounts` alone.
    pub account_owned: &'static str,
    /// The account's id.
    pub account: &'static str,
}

/// See [`CloudflareTokens`].
pub const CLOUDFLARE_TOKENS: CloudflareTokens = CloudflareTokens {
    good: "sandbox-good-0000000000000000000000000001",
    expired: "sandbox-expired-0000000000000000000000002",
    disabled: "sandbox-disabled-000000000000000000000007",
    read_only: "sandbox-read-only-00000000000000000000003",
    other_zone: "sandbox-other-zone-0000000000000000000004",
    dns_edit_only: "sandbox-dns-edit-only-0000000000000000005",
    account_owned: "sandbox-account-owned-0000000000000000006",
    account: zone::ACCOUNT,
};

// Their ids are the same in every sandbox, so that a configuration may name them.
const ZONES: [(&str, &str); 2] = [
    ("023e105f4ecef8ad9ca31a8372d0c353", "example.com"),
    ("353c0d2738a13da9cfe8ecf4e501e320", "example.net"),
];

fn tokens(zones: &[Zone]) -> Vec<Token> {
    let ids = |name: &str| {
        let of_name = zones.iter().filter(|zone| zone.name.apex().as_str() == name);
        Some(of_name.map(|zone| zone.id.clone()).collect::<Vec<_>>())
    };
    let token = |secret: &str| Token {
        id: record::new_id(),
        secret: secret.to_owned(),
        owner: Owner::User,
        status: Status::Active,
        zones: None,
        zone_read: true,
        dns_edit: true,
    };
    vec![
        token(CLOUDFLARE_TOKENS.good),
        Token { status: Status::Expired, ..token(CLOUDFLARE_TOKENS.expired) },
        Token { status: Status::Disabled, ..token(CLOUDFLARE_TOKENS.disabled) },
        Token { dns_edit: false, ..token(CLOUDFLARE_TOKENS.read_only) },
        Token { zones: ids("example.net"), ..token(CLOUDFLARE_TOKENS.other_zone) },
        Token { zones: ids("example.com"), zone_read: false, ..token(CLOUDFLARE_TOKENS.dns_edit_only) },
        Token { owner: Owner::Account, ..token(CLOUDFLARE_TOKENS.account_owned) },
    ]
}

/// What stands in example.com without us, types included that naive clients stumble over.
fn foreign_records() -> Vec<Value> {
    vec![
        json!({ "type": "A", "name": "www.example.com", "content": "192.0.2.80", "ttl": 300 }),
        json!({ "type": "A", "name": "shop.example.com", "content": "198.51.100.80", "proxied": true,
                "comment": "the web team's" }),
        json!({ "type": "MX", "name": "example.com", "content": "mail.example.com", "priority": 10, "ttl": 3600 }),
        json!({ "type": "A", "name": "mail.example.com", "content": "192.0.2.25", "ttl": 3600 }),
        json!({ "type": "TXT", "name": "example.com", "content": "\"v=spf1 mx -all\"", "ttl": 3600 }),
        json!({ "type": "CAA", "name": "example.com", "ttl": 3600,
                "data": { "flags": 0, "tag": "issue", "value": "letsencrypt.org" } }),
        json!({ "type": "HTTPS", "name": "www.example.com", "ttl": 300,
                "data": { "priority": 1, "target": ".", "value": "alpn=\"h3,h2\"" } }),
        json!({ "type": "SRV", "name": "_sip._tcp.example.com", "ttl": 3600,
                "data": { "priority": 10, "weight": 5, "port": 5060, "target": "mail.example.com" } }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_obeys_the_rules_of_both_plans() {
        for plan in [CloudflarePlan::Free, CloudflarePlan::Enterprise] {
            let mut state = State::seeded(plan, OffsetDateTime::UNIX_EPOCH);
            assert_eq!(state.zones[0].records.len(), foreign_records().len());
            for record in foreign_records() {
                state.put(&record, OffsetDateTime::UNIX_EPOCH).expect("each record is legal");
            }
        }
    }
}
