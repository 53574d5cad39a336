//! Azure Monitor Logs: one workspace, asked through the query API (v1) at an address and for an audience of its own.

mod compile;
mod evaluate;
mod parse;
mod refusal;
pub(crate) mod seed;
mod table;
mod token;

use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use self::refusal::{Refused, error};
use self::seed::Logs;
use super::arm::Id;
use super::authority::{Bearer, Principal};
use super::seed::{NETWORK_GROUP, WORKSPACE, WORKSPACE_ID};
use crate::sandbox::exchange::{Request, Response};
use crate::sandbox::throttle::{Window, retry_after};
use crate::sandbox::world::World;

/// The workspace, and how often it was asked.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) logs: Logs,
    asked: Window,
}

impl State {
    /// With what machines sent until `now`, and will send; Syslog only where that is wanted.
    pub(crate) fn seeded(now: OffsetDateTime, syslog: bool) -> Self {
        // Azure Monitor service limits: 200 requests in 30 seconds.
        Self { logs: Logs::new(now, syslog), asked: Window::new(200, Duration::from_secs(30)) }
    }
}

/// Answers one request to the query API.
pub(crate) fn handle(world: &mut World, request: &Request) -> Response {
    let response = answered(world, request).unwrap_or_else(|refusal| refusal);
    response.with("x-ms-request-id", Uuid::new_v4().to_string()).with("cache-control", "no-store, no-cache")
}

fn answered(world: &mut World, request: &Request) -> Result<Response, Response> {
    let principal = authenticate(world, request)?;
    let (clock, scale) = (world.clock, world.throttle_scale);
    if let Err(wait) = world.azure.log_analytics.asked.take(clock.now(), scale) {
        let message = "The number of requests exceeds what is allowed: 200 requests in 30 seconds";
        return Err(
            error(429, "TooManyRequests", message, None).with("retry-after", retry_after(clock, wait))
        );
    }
    let nowhere = || error(404, "PathNotFoundError", "The requested path does not exist", None);
    let ["v1", "workspaces", workspace, "query"] = request.route()[..] else { return Err(nowhere()) };
    if !workspace.eq_ignore_ascii_case(WORKSPACE_ID) || request.method != "POST" {
        return Err(nowhere());
    }
    let scope = Id::of(NETWORK_GROUP, "Microsoft.OperationalInsights/workspaces", WORKSPACE);
    if !principal.may(&format!("{RIGHT}/read"), scope.as_str()) {
        let message = "The provided credentials have insufficient access to perform the requested operation";
        let inner = json!({
            "code": "AuthorizationFailedError",
            "message": format!("User '{}' does not have access to read logs for this resource", principal.object_id),
        });
        return Err(error(403, "InsufficientAccessError", message, Some(inner)));
    }
    let query = query(request)?;
    let query = parse::parse(&query).map_err(|refused| refused.response())?;
    // Whoever may query and may not read a table is shown no row of it.
    let readable = principal.may(&format!("{RIGHT}/{}/read", query.table), scope.as_str());
    let now = world.calendar();
    let logs = &mut world.azure.log_analytics.logs;
    let source = |name: &str| {
        let mut table = logs.table(name, now)?;
        if !readable {
            table.rows.clear();
        }
        Some(table)
    };
    let table = evaluate::evaluate(&query, source, now).map_err(|refused: Refused| refused.response())?;
    Ok(Response::json(200, table.json()))
}

/// Finds out who asks (Azure Monitor Log Analytics API errors).
fn authenticate(world: &World, request: &Request) -> Result<Principal, Response> {
    let Some(header) = request.header("authorization") else {
        let message = "Authentication failed. The 'Authorization' header is missing.";
        return Err(error(401, "AuthenticationFailed", message, None));
    };
    let token = header.strip_prefix("Bearer ").unwrap_or_default().trim();
    let directory = &world.azure.directory;
    let Bearer::Good(principal) = directory.bearer(token, world.now()) else {
        return Err(error(403, "InvalidAuthenticationToken", "The access token is invalid.", None));
    };
    match directory.audience(token) {
        Some(audience) if audience.trim_end_matches('/') != AUDIENCE => {
            let message = format!(
                "The access token has been obtained from wrong audience or resource '{audience}'. It should exactly \
                 match (including forward slash) with one of the allowed audiences '{AUDIENCE}'."
            );
            Err(error(403, "InvalidAuthenticationTokenAudience", &message, None))
        }
        _ => Ok(principal),
    }
}

/// The query of a request's body.
fn query(request: &Request) -> Result<String, Response> {
    let refused = |what: &str| {
        let inner = json!({"code": "QueryValidationError", "message": what});
        error(400, "BadArgumentError", "The request had some invalid properties", Some(inner))
    };
    if !request.header("content-type").is_some_and(|kind| kind.starts_with("application/json")) {
        return Err(refused("The body's content type must be application/json"));
    }
    let Ok(Value::Object(body)) = request.json() else {
        return Err(refused("The body is not a JSON object"));
    };
    if let Some(unknown) = body.keys().find(|key| *key != "query") {
        return Err(refused(&format!("The sandbox takes the member query alone, not {unknown}")));
    }
    let query = body.get("query").and_then(Value::as_str).filter(|query| !query.trim().is_empty());
    query.map(str::to_owned).ok_or_else(|| refused("Query is missing"))
}

/// What tokens for the query API are issued for.
pub(crate) const AUDIENCE: &str = "https://api.loganalytics.io";
const RIGHT: &str = "Microsoft.OperationalInsights/workspaces/query";
