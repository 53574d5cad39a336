//! What every request to Resource Manager passes: identity, version, permission and rate; and how it says no.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::authority::{Bearer, Principal};
use super::log_analytics;
use super::seed::{SUBSCRIPTION, TENANT};
use crate::sandbox::exchange::{Request, Response};
use crate::sandbox::throttle::{Bucket, Window, retry_after};
use crate::sandbox::world::{World, timestamp};

/// A resource id. Equal without regard to case, printed as it was first written.
#[derive(Clone, Debug)]
pub(crate) struct Id(String);

impl Id {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The id of a resource in the seeded subscription, such as `of("rg", "Microsoft.Network/loadBalancers", "lb")`.
    pub(crate) fn of(group: &str, kind: &str, name: &str) -> Self {
        Self(format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/{kind}/{name}"))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The form to look things up by.
    pub(crate) fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// The resource group's name.
    pub(crate) fn group(&self) -> &str {
        self.0.split('/').nth(4).unwrap_or_default()
    }

    /// The last segment.
    pub(crate) fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }
}

impl PartialEq for Id {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Id {}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Resource Manager's own limits, per principal, and those of the network resource provider.
///
/// After "Understand how Azure Resource Manager throttles requests" (token buckets, public cloud) and the network
/// provider's five-minute windows.
#[derive(Clone, Debug)]
pub(crate) struct Rates {
    buckets: HashMap<(String, Verb), Bucket>,
    network_writes: Window,
    network_reads: Window,
}

impl Default for Rates {
    fn default() -> Self {
        let five_minutes = Duration::from_secs(300);
        Self {
            buckets: HashMap::new(),
            network_writes: Window::new(1000, five_minutes),
            network_reads: Window::new(10_000, five_minutes),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Verb {
    Reads,
    Writes,
    Deletes,
}

/// Finds out who asks.
pub(crate) fn authenticate(world: &World, request: &Request) -> Result<Principal, Response> {
    let refuse = |code: &str, message: &str| {
        let challenge = format!(
            "Bearer authorization_uri=\"{}/{TENANT}\", error=\"invalid_token\", error_description=\"{message}\"",
            world.addresses.authority
        );
        Err(error(401, code, message).with("www-authenticate", challenge))
    };
    let Some(header) = request.header("authorization") else {
        return refuse(
            "AuthenticationFailed",
            "Authentication failed. The 'Authorization' header is missing.",
        );
    };
    let Some(token) = header.strip_prefix("Bearer ").or_else(|| header.strip_prefix("bearer ")) else {
        let message = "Authentication failed. The 'Authorization' header is provided in an invalid format.";
        return refuse("AuthenticationFailedInvalidHeader", message);
    };
    match world.azure.directory.bearer(token.trim(), world.now()) {
        Bearer::Good(principal) => {
            let audience = world.azure.directory.audience(token.trim()).unwrap_or_default();
            if audience.trim_end_matches('/') != log_analytics::AUDIENCE {
                return Ok(principal);
            }
            let message = format!(
                "The access token has been obtained for wrong audience or resource '{audience}'. It should exactly \
                 match with one of the allowed audiences 'https://management.core.windows.net/', \
                 'https://management.azure.com/'."
            );
            refuse("InvalidAuthenticationTokenAudience", &message)
        }
        Bearer::Expired => {
            let at = timestamp(OffsetDateTime::now_utc());
            let message =
                format!("The access token expiry UTC time '{at}' is earlier than current UTC time '{at}'.");
            refuse("ExpiredAuthenticationToken", &message)
        }
        Bearer::Unknown => refuse("InvalidAuthenticationToken", "The access token is invalid."),
    }
}

/// Any version is taken here, but one must be given.
pub(crate) fn versioned(request: &Request) -> Result<(), Response> {
    if request.param("api-version").is_some_and(|version| !version.is_empty()) {
        return Ok(());
    }
    let message = "The api-version query parameter (?api-version=) is required for all requests.";
    Err(error(400, "MissingApiVersionParameter", message))
}

/// Takes a request from the principal's buckets; gives the header that says what is left.
pub(crate) fn admit(
    world: &mut World,
    principal: &Principal,
    request: &Request,
) -> Result<(&'static str, String), Response> {
    let (clock, scale) = (world.clock, world.throttle_scale);
    let (verb, size, refill, header) = match request.method.as_str() {
        "GET" | "HEAD" => (Verb::Reads, 250.0, 25.0, "x-ms-ratelimit-remaining-subscription-reads"),
        "DELETE" => (Verb::Deletes, 200.0, 10.0, "x-ms-ratelimit-remaining-subscription-deletes"),
        _ => (Verb::Writes, 200.0, 10.0, "x-ms-ratelimit-remaining-subscription-writes"),
    };
    let rates = &mut world.azure.rates;
    let bucket =
        rates.buckets.entry((principal.object_id.clone(), verb)).or_insert_with(|| Bucket::new(size, refill));
    let left = match bucket.take(clock.now(), scale) {
        Ok(left) => left.to_string(),
        Err(wait) => {
            let seconds = retry_after(clock, wait);
            let message = format!(
                "The request for subscription '{SUBSCRIPTION}' has been throttled as too many requests have been \
                 received. Please retry after '{seconds}' seconds."
            );
            let refusal = error(429, "SubscriptionRequestsThrottled", &message);
            return Err(refusal.with("retry-after", seconds).with(header, "0"));
        }
    };
    let lower = request.path.to_ascii_lowercase();
    // DNS zones have windows of their own.
    if lower.contains("/providers/microsoft.network/") && !lower.contains("/dnszones") {
        let window = if verb == Verb::Reads { &mut rates.network_reads } else { &mut rates.network_writes };
        if let Err(wait) = window.take(clock.now(), scale) {
            let message =
                "Number of requests for subscription has exceeded the limit; please try again later.";
            return Err(error(429, "RetryableError", message).with("retry-after", retry_after(clock, wait)));
        }
    }
    Ok((header, left))
}

/// Whether a role of the principal allows `action` at `scope`.
pub(crate) fn authorize(principal: &Principal, action: &str, scope: &str) -> Result<(), Response> {
    if principal.may(action, scope) {
        return Ok(());
    }
    let message = format!(
        "The client '{}' with object id '{}' does not have authorization to perform action '{action}' over scope \
         '{scope}' or the scope is invalid. If access was recently granted, please refresh your credentials.",
        principal.client_id, principal.object_id
    );
    Err(error(403, "AuthorizationFailed", &message))
}

/// Whether the principal may use another resource that its request refers to.
pub(crate) fn authorize_linked(
    principal: &Principal,
    action: &str,
    scope: &str,
    linked: (&str, &str),
) -> Result<(), Response> {
    let (linked_action, linked_scope) = linked;
    if principal.may(linked_action, linked_scope) {
        return Ok(());
    }
    let message = format!(
        "The client '{}' with object id '{}' has permission to perform action '{action}' on scope '{scope}'; \
         however, it does not have permission to perform action(s) '{linked_action}' on the linked scope(s) \
         '{linked_scope}' (respectively) or the linked scope(s) are invalid.",
        principal.client_id, principal.object_id
    );
    Err(error(403, "LinkedAuthorizationFailed", &message))
}

/// An error in Resource Manager's shape.
pub(crate) fn error(status: u16, code: &str, message: &str) -> Response {
    Response::json(status, json!({"error": {"code": code, "message": message, "details": []}}))
}

/// The headers that every answer carries.
pub(crate) fn stamped(response: Response, request: &Request) -> Response {
    let id = Uuid::new_v4().to_string();
    let correlation = request.header("x-ms-correlation-request-id").map_or_else(|| id.clone(), str::to_owned);
    let response = response
        .with("x-ms-request-id", id.clone())
        .with("x-ms-correlation-request-id", correlation)
        .with("x-ms-routing-request-id", format!("WESTEUROPE:{}:{id}", timestamp(OffsetDateTime::now_utc())))
        .with("cache-control", "no-cache")
        .with("pragma", "no-cache")
        .with("x-content-type-options", "nosniff");
    match request.header("x-ms-client-request-id") {
        Some(client) if request.header("x-ms-return-client-request-id").is_some_and(|v| v == "true") => {
            response.with("x-ms-client-request-id", client)
        }
        _ => response,
    }
}

/// A precondition (RFC 9110, 13.1) against the current etag; `None` where the resource does not exist.
pub(crate) fn precondition(request: &Request, etag: Option<&str>) -> Result<(), &'static str> {
    if let Some(wanted) = request.header("if-match") {
        let holds = match etag {
            Some(etag) => wanted == "*" || wanted.split(',').any(|one| bare(one) == bare(etag)),
            None => false,
        };
        if !holds {
            return Err("If-Match");
        }
    }
    if let Some(unwanted) = request.header("if-none-match") {
        let clashes = etag
            .is_some_and(|etag| unwanted == "*" || unwanted.split(',').any(|one| bare(one) == bare(etag)));
        if clashes {
            return Err("If-None-Match");
        }
    }
    Ok(())
}

// Weak and unquoted forms are all taken, as the services do.
fn bare(etag: &str) -> &str {
    let etag = etag.trim();
    etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"')
}
