//! What the caller may do at a scope: `{scope}/providers/Microsoft.Authorization/permissions`.
//!
//! After "Permissions - List For Resource Group" and "List For Resource", 2022-04-01, the one version that is taken. Without
//! the action `Microsoft.Authorization/permissions/read` it is refused like any other.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::authority::Principal;
use super::seed::SUBSCRIPTION;
use super::{arm, group};
use crate::sandbox::exchange::{Request, Response};
use crate::sandbox::world::World;

/// The answer, if `route` (in lower case) is such a question.
pub(super) fn asked(
    world: &World,
    principal: &Principal,
    request: &Request,
    route: &[&str],
) -> Option<Response> {
    let [scope @ .., "providers", "microsoft.authorization", "permissions"] = route else { return None };
    if request.method != "GET" || scope.len() < 2 {
        return None;
    }
    Some(answered(world, principal, request, scope).unwrap_or_else(|refusal| refusal))
}

fn answered(
    world: &World,
    principal: &Principal,
    request: &Request,
    lower: &[&str],
) -> Result<Response, Response> {
    let version = request.param("api-version").unwrap_or_default();
    if version != VERSION {
        let text = format!(
            "The resource type 'permissions' could not be found in the namespace 'Microsoft.Authorization' for api \
             version '{version}'. The supported api-versions are '{VERSION}'."
        );
        return Err(arm::error(404, "InvalidResourceType", &text));
    }
    if lower[1] != SUBSCRIPTION {
        let text = format!("The subscription '{}' could not be found.", lower[1]);
        return Err(arm::error(404, "SubscriptionNotFound", &text));
    }
    let written = &request.route()[..lower.len()];
    let scope = format!("/{}", written.join("/"));
    arm::authorize(principal, "Microsoft.Authorization/permissions/read", &scope)?;
    if let [_, _, "resourcegroups", ..] = lower {
        group::exists(world, written.get(3).copied().unwrap_or_default())?;
    }
    // One role assignment, one permission.
    let mut roles: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (action, at) in principal.grants.iter().filter(|(_, at)| Principal::covers(at, &scope)) {
        roles.entry(at).or_default().push(action);
    }
    let shown = |actions: &Vec<&str>| json!({"actions": actions, "notActions": [], "dataActions": [], "notDataActions": []});
    let value: Vec<Value> = roles.values().map(shown).collect();
    Ok(Response::json(200, json!({"value": value})))
}

/// Resource Manager takes older ones too, which say less; ours asks for this one.
const VERSION: &str = "2022-04-01";
