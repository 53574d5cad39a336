//! The paths below `/client/v4`, and the envelope around every answer.
//!
//! Source: Cloudflare API reference; the envelope is `success`, `errors`, `messages`, `result`, `result_info`.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::State;
use super::batch;
use super::error::ApiError;
use super::filter::{self, Page};
use super::limits::Budget;
use super::record::{mistyped, new_id};
use super::token::{self, Owner, Token};
use super::zone::{ACCOUNT, Zone};
use crate::sandbox::clock::Clock;
use crate::sandbox::exchange::{Payload, Request, Response};

/// The present, as a request meets it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) clock: Clock,
    /// Multiplies the throttling periods.
    pub(crate) scale: f64,
}

/// Answers one request.
pub(crate) fn answer(state: &mut State, request: &Request, now: Now) -> Response {
    let response = routed(state, request, now).unwrap_or_else(|refusal| refusal.response());
    // The name under which Cloudflare's support finds the request again.
    response.with("cf-ray", format!("{}-AMS", &new_id()[..16]))
}

fn routed(state: &mut State, request: &Request, now: Now) -> Result<Response, ApiError> {
    let route = request.route();
    let Some(rest) = route.strip_prefix(&["client", "v4"]) else {
        return Err(ApiError::no_route(&request.path));
    };
    let secret = token::presented(request)?;
    let known = state.tokens.iter().any(|token| token.secret == secret);
    let remaining = if known { Some(state.budget.take(now.clock, now.scale)?) } else { None };
    let mut response = match rest {
        ["user", "tokens", "verify"] => {
            only_get(request).and_then(|()| verify(state, secret, Owner::User))?
        }
        ["accounts", account, "tokens", "verify"] if *account == ACCOUNT => {
            only_get(request).and_then(|()| verify(state, secret, Owner::Account))?
        }
        _ => {
            let token = token::usable(&state.tokens, secret)?.clone();
            permitted(state, request, rest, &token, now.clock.calendar())?
        }
    };
    response.headers.extend(remaining.map(|left| Budget::headers(now.clock, left)).into_iter().flatten());
    Ok(response)
}

fn permitted(
    state: &mut State,
    request: &Request,
    route: &[&str],
    token: &Token,
    now: OffsetDateTime,
) -> Result<Response, ApiError> {
    let shown_path = || format!("/{}", route.join("/"));
    match (request.method.as_str(), route) {
        ("GET", ["accounts"]) => accounts(token, request),
        ("GET", ["zones"]) => zones(state, request, token),
        ("POST", ["zones"]) => Err(ApiError::not_permitted()),
        (_, ["accounts" | "zones"]) => Err(ApiError::no_method(&request.method)),
        (method, ["zones", id, rest @ ..]) => {
            if !is_identifier(id) {
                return Err(ApiError::no_route(&shown_path()));
            }
            let zone = state.zones.iter_mut().find(|zone| zone.id == *id && token.covers(&zone.id));
            let Some(zone) = zone else {
                // Whether the zone exists at all is not told to those who may not see it.
                return Err(if rest.is_empty() { unauthorized() } else { ApiError::not_permitted() });
            };
            match (method, rest) {
                ("GET", []) if token.zone_read => Ok(found(zone.to_json(token.dns_edit))),
                ("GET", []) => Err(unauthorized()),
                ("PATCH" | "DELETE", []) => Err(ApiError::not_permitted()),
                ("GET", ["pagerules"]) => Ok(found(json!([]))),
                ("GET", ["dns_settings"]) => Ok(found(zone.settings())),
                ("PATCH", ["dns_settings"]) => {
                    editable(token)?;
                    Ok(found(zone.change_settings(&object(request)?)?))
                }
                (_, ["dns_records", rest @ ..]) => records(zone, request, rest, token, now),
                (_, [] | ["pagerules" | "dns_settings"]) => Err(ApiError::no_method(method)),
                _ => Err(ApiError::no_route(&shown_path())),
            }
        }
        _ => Err(ApiError::no_route(&shown_path())),
    }
}

fn records(
    zone: &mut Zone,
    request: &Request,
    route: &[&str],
    token: &Token,
    now: OffsetDateTime,
) -> Result<Response, ApiError> {
    let method = request.method.as_str();
    if method != "GET" {
        editable(token)?;
    }
    match (method, route) {
        ("GET", []) => list(zone, request),
        ("POST", []) => Ok(found(zone.create(&object(request)?, now)?.to_json(None))),
        ("POST", ["batch"]) => Ok(found(batch::run(zone, &object(request)?, now)?)),
        ("GET", ["usage"]) => Ok(found(json!({
            "record_quota": zone.plan.records(),
            "record_usage": zone.records.len(),
        }))),
        ("GET", ["export"]) => Ok(export(zone)),
        (_, [] | ["batch" | "usage" | "export"]) => Err(ApiError::no_method(method)),
        (_, [id]) if !is_identifier(id) => {
            Err(ApiError::no_route(&format!("/zones/{}/dns_records/{id}", zone.id)))
        }
        ("GET", [id]) => {
            let record = zone.record(id)?;
            Ok(found(record.to_json(shadow(zone, request, record))))
        }
        ("PATCH", [id]) => Ok(found(zone.patch(id, &object(request)?, now)?.to_json(None))),
        ("PUT", [id]) => Ok(found(zone.put(id, &object(request)?, now)?.to_json(None))),
        ("DELETE", [id]) => Ok(found(json!({ "id": zone.delete(id)?.id }))),
        (_, [_]) => Err(ApiError::no_method(method)),
        _ => Err(ApiError::no_route(&request.path)),
    }
}

fn list(zone: &Zone, request: &Request) -> Result<Response, ApiError> {
    let page = Page::read(request, 100, 5_000)?;
    let (shown, info) = page.cut(filter::select(&zone.records, request)?);
    let shown: Vec<Value> =
        shown.into_iter().map(|record| record.to_json(shadow(zone, request, record))).collect();
    Ok(listed(Value::Array(shown), info))
}

fn shadow<'z>(zone: &'z Zone, request: &Request, record: &super::record::Record) -> Option<&'z str> {
    (request.param("include_shadow_metadata") == Some("true")).then(|| zone.shadowed_by(record)).flatten()
}

fn zones(state: &State, request: &Request, token: &Token) -> Result<Response, ApiError> {
    if !token.zone_read {
        return Err(unauthorized());
    }
    let page = Page::read(request, 20, 50)?;
    let any = filter::is_any(request, "match")?;
    let selected: Vec<&Zone> = state
        .zones
        .iter()
        .filter(|zone| token.covers(&zone.id) && (token.owner == Owner::User || zone.account.0 == ACCOUNT))
        .filter(|zone| {
            let mut tests = request.pairs.iter().filter_map(|(key, value)| zone_test(zone, key, value));
            let mut tests = tests.by_ref().peekable();
            tests.peek().is_none() || if any { tests.any(|met| met) } else { tests.all(|met| met) }
        })
        .collect();
    let (shown, info) = page.cut(selected);
    Ok(listed(shown.into_iter().map(|zone| zone.to_json(token.dns_edit)).collect(), info))
}

fn zone_test(zone: &Zone, key: &str, value: &str) -> Option<bool> {
    let wanted = value.to_lowercase();
    let wanted = wanted.strip_suffix('.').unwrap_or(&wanted);
    let name = zone.name.apex().as_str();
    match key {
        "name" => Some(match wanted.split_once(':') {
            Some(("equal", wanted)) => name == wanted,
            Some(("not_equal", wanted)) => name != wanted,
            Some(("contains", wanted)) => name.contains(wanted),
            Some(("starts_with", wanted)) => name.starts_with(wanted),
            Some(("ends_with", wanted)) => name.ends_with(wanted),
            _ => name == wanted,
        }),
        "name.exact" => Some(name == wanted),
        "status" => Some(wanted == zone.status()),
        "account.id" => Some(zone.account.0 == wanted),
        "account.name" => Some(zone.account.1.to_lowercase() == wanted),
        _ => None,
    }
}

fn accounts(token: &Token, request: &Request) -> Result<Response, ApiError> {
    if token.owner == Owner::Account {
        return Err(ApiError::new(403, 1001, "Account-owned tokens cannot list accounts."));
    }
    let (shown, info) = Page::read(request, 20, 50)?
        .cut(vec![json!({ "id": ACCOUNT, "name": "Contoso", "type": "standard", "settings": {} })]);
    Ok(listed(Value::Array(shown), info))
}

fn verify(state: &State, secret: &str, owner: Owner) -> Result<Response, ApiError> {
    let (result, messages) = token::verifiable(&state.tokens, secret, owner)?.verified();
    let body = json!({ "success": true, "errors": [], "messages": messages, "result": result });
    Ok(Response::json(200, body))
}

/// The zone as a BIND file, which is what the service offers for download.
fn export(zone: &Zone) -> Response {
    let mut text = format!(";;\n;; Domain:     {}.\n;;\n", zone.name);
    for record in &zone.records {
        let priority = match record.kind.as_str() {
            "MX" | "SRV" | "URI" => {
                record.priority.map(|priority| format!("{priority} ")).unwrap_or_default()
            }
            _ => String::new(),
        };
        let dot =
            if matches!(record.kind.as_str(), "CNAME" | "MX" | "NS" | "PTR" | "SRV") { "." } else { "" };
        let (name, ttl, kind, content) = (&record.name, record.ttl, &record.kind, &record.content);
        text.push_str(&format!("{name}.\t{ttl}\tIN\t{kind}\t{priority}{content}{dot}\n"));
    }
    Response {
        status: 200,
        headers: Vec::new(),
        body: Payload::Text("text/plain; charset=utf-8".into(), text),
    }
}

fn found(result: Value) -> Response {
    Response::json(200, json!({ "success": true, "errors": [], "messages": [], "result": result }))
}

fn listed(result: Value, info: Value) -> Response {
    let body =
        json!({ "success": true, "errors": [], "messages": [], "result": result, "result_info": info });
    Response::json(200, body)
}

fn object(request: &Request) -> Result<Map<String, Value>, ApiError> {
    let body = request.json().map_err(|_| ApiError::new(400, 9207, "Request body is invalid."))?;
    if let Value::Object(object) = body { Ok(object) } else { Err(mistyped("body", "object")) }
}

fn editable(token: &Token) -> Result<(), ApiError> {
    if token.dns_edit { Ok(()) } else { Err(ApiError::not_permitted()) }
}

fn only_get(request: &Request) -> Result<(), ApiError> {
    if request.method == "GET" { Ok(()) } else { Err(ApiError::no_method(&request.method)) }
}

fn unauthorized() -> ApiError {
    ApiError::new(403, 9109, "Unauthorized to access requested resource")
}

fn is_identifier(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())
}
