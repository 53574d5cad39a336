//! Microsoft Entra's token endpoint.

use crate::sandbox::exchange::{Request, Response};
use crate::sandbox::world::World;

/// Answers one request to the authority.
pub(crate) fn handle(_world: &mut World, _request: &Request) -> Response {
    Response::empty(404)
}
