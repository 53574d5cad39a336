//! API tokens: whose they are, what they may do, and how the service refuses the others.
//!
//! Sources: Cloudflare docs "API token permissions", "Verify token", and the error codes of "API authentication".

use serde_json::{Value, json};

use super::error::ApiError;
use crate::sandbox::exchange::Request;

/// A token of the sandbox.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) owner: Owner,
    pub(crate) status: Status,
    /// The zones that it may touch, by id; `None` for all of the account.
    pub(crate) zones: Option<Vec<String>>,
    /// Zone > Zone > Read: zones can be listed and looked up by name.
    pub(crate) zone_read: bool,
    /// Zone > DNS > Edit; without it Zone > DNS > Read alone.
    pub(crate) dns_edit: bool,
}

/// Where a token was made; each kind verifies at its own path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    User,
    Account,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Active,
    Disabled,
    Expired,
}

impl Token {
    pub(crate) fn covers(&self, zone: &str) -> bool {
        self.zones.as_ref().is_none_or(|zones| zones.iter().any(|id| id == zone))
    }

    /// The result of the verify call.
    pub(crate) fn verified(&self) -> (Value, Value) {
        let (status, text) = match self.status {
            Status::Active => ("active", "This API Token is valid and active"),
            Status::Disabled => ("disabled", "This API Token is valid but disabled"),
            Status::Expired => ("expired", "This API Token is valid but expired"),
        };
        let mut result = json!({ "id": self.id, "status": status, "not_before": "2024-01-01T00:00:00Z" });
        if self.status == Status::Expired {
            result["expires_on"] = json!("2024-12-31T23:59:59Z");
        }
        (result, json!([{ "code": 10000, "message": text, "type": null }]))
    }
}

/// The secret that a request carries.
///
/// # Errors
/// 9106 without any credentials, 6003 with a malformed header; keys of the old kind are not accepted (6103).
pub(crate) fn presented(request: &Request) -> Result<&str, ApiError> {
    let Some(header) = request.header("authorization") else {
        if request.header("x-auth-key").is_some() {
            return Err(ApiError::new(400, 6003, "Invalid request headers")
                .because(6103, "Invalid format for X-Auth-Key header"));
        }
        return Err(ApiError::new(400, 9106, "Missing X-Auth-Key, X-Auth-Email or Authorization headers"));
    };
    let secret = header.strip_prefix("Bearer ").map(str::trim).filter(|secret| is_well_formed(secret));
    secret.ok_or_else(|| {
        ApiError::new(400, 6003, "Invalid request headers")
            .because(6111, "Invalid format for Authorization header")
    })
}

/// The token behind a secret, for anything but the verify call.
///
/// # Errors
/// 9109 for a secret that is unknown, disabled or expired.
pub(crate) fn usable<'t>(tokens: &'t [Token], secret: &str) -> Result<&'t Token, ApiError> {
    tokens
        .iter()
        .find(|token| token.secret == secret && token.status == Status::Active)
        .ok_or_else(|| ApiError::new(403, 9109, "Invalid access token"))
}

/// The token behind a secret, for the verify call of `owner`.
///
/// # Errors
/// 1000 for one that is unknown or belongs to the other kind of owner.
pub(crate) fn verifiable<'t>(tokens: &'t [Token], secret: &str, owner: Owner) -> Result<&'t Token, ApiError> {
    tokens
        .iter()
        .find(|token| token.secret == secret && token.owner == owner)
        .ok_or_else(|| ApiError::new(401, 1000, "Invalid API Token"))
}

// Forty characters since tokens exist, more with the prefixes of 2026.
fn is_well_formed(secret: &str) -> bool {
    (40..=128).contains(&secret.len())
        && secret.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}
