//! Cloudflare's API v4 and the zones behind it.

use serde_json::Value;

use super::CloudflarePlan;
use super::exchange::{Request, Response};
use super::world::World;

/// Cloudflare's state.
#[derive(Debug)]
pub(crate) struct State {}

impl State {
    /// The zone example.com with its foreign records, and the four tokens.
    pub(crate) fn seeded(_plan: CloudflarePlan) -> Self {
        Self {}
    }
}

/// Answers one request below `/client/v4`.
pub(crate) fn handle(_world: &mut World, _request: &Request) -> Response {
    Response::empty(404)
}

/// What a person does in the dashboard: `record` is an API record (`name`, `type`, `content`, `ttl`, `proxied`,
/// `comment`…); one of the same name and type is replaced whole.
pub(crate) fn put_by_hand(_world: &mut World, _record: &Value) -> Result<(), String> {
    Ok(())
}

/// What a person does in the dashboard: removes every record of that name and type.
pub(crate) fn delete_by_hand(_world: &mut World, _name: &str, _kind: &str) -> Result<(), String> {
    Ok(())
}

/// What a person does in the dashboard: the orange cloud, on or off.
pub(crate) fn proxy_by_hand(_world: &mut World, _name: &str, _proxied: bool) -> Result<(), String> {
    Ok(())
}
