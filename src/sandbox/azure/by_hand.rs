//! Resources as people in the portal see and change them.

use std::time::Duration;

use serde_json::{Map, Value};

use super::arm::Id;
use super::authority::Principal;
use super::{compute, network, resource, routed, settle};
use crate::sandbox::exchange::{Payload, Request, Service};
use crate::sandbox::world::World;

/// A resource, a virtual machine, a zone, or an entry of a resource, as GET shows it.
pub(crate) fn show_any(world: &World, id: &Id) -> Option<Value> {
    if let Some(machine) = world.azure.machines.get(&id.key()) {
        return Some(compute::json(machine));
    }
    if let Some(zone) = world.azure.zones.get(&id.key()) {
        return Some(zone.json());
    }
    if let Some(shown) = show(world, id) {
        return Some(shown);
    }
    let (owner, collection, name) = network::split(id)?;
    let shown = show(world, &owner)?;
    let kind = network::kind(owner.as_str().split('/').nth(7)?)?;
    let child = kind.children.iter().find(|child| child.collection.eq_ignore_ascii_case(&collection))?;
    let mut listed = shown["properties"].get(child.collection)?.as_array()?.iter();
    listed.find(|entry| entry["name"].as_str().is_some_and(|at| at.eq_ignore_ascii_case(&name))).cloned()
}

/// Every network resource and every machine.
pub(crate) fn show_all(world: &World) -> Vec<Value> {
    let machines = world.azure.machines.values().map(compute::json);
    machines.chain(world.azure.network.values().filter_map(|resource| show(world, &resource.id))).collect()
}

/// A resource of the network provider as GET shows it.
pub(crate) fn show(world: &World, id: &Id) -> Option<Value> {
    let kind = network::kind(id.as_str().split('/').nth(7)?)?;
    world.azure.network.get(&id.key()).map(|resource| resource::render(world, resource, kind))
}

/// Merges into a document what nobody checks.
pub(crate) fn edit_by_hand(world: &mut World, id: &Id, changes: &Value) -> Result<(), String> {
    let mut changes = changes.as_object().cloned().ok_or("changes are a JSON object")?;
    let state = changes
        .get_mut("properties")
        .and_then(Value::as_object_mut)
        .and_then(|properties| properties.remove("provisioningState"));
    let entry = if world.azure.network.contains_key(&id.key()) { None } else { network::split(id) };
    let owner = entry.as_ref().map_or_else(|| id.clone(), |(owner, _, _)| owner.clone());
    let missing = || format!("there is no {id}");
    let resource = world.azure.network.get_mut(&owner.key()).ok_or_else(missing)?;
    match &entry {
        None => resource::merge(&mut resource.document, &changes),
        Some((_, collection, name)) => {
            let collection = network::spelled(collection).ok_or_else(missing)?;
            let listed = resource.document.get_mut("properties").and_then(|p| p.get_mut(collection));
            let mut entries = listed.and_then(Value::as_array_mut).into_iter().flatten();
            let named =
                |entry: &&mut Value| entry["name"].as_str().is_some_and(|at| at.eq_ignore_ascii_case(name));
            let found = entries.find(named).and_then(Value::as_object_mut).ok_or_else(missing)?;
            resource::merge(found, &changes);
        }
    }
    // What only the service says may come back with what was read.
    for read_only in ["id", "name", "type", "etag"] {
        resource.document.remove(read_only);
    }
    network::strip(&mut resource.document);
    let wanted = state.as_ref().and_then(Value::as_str).unwrap_or("Succeeded");
    let known = STATES.iter().find(|state| **state == wanted);
    resource.touch(known.ok_or_else(|| format!("{wanted} is no provisioning state"))?);
    network::settle(world);
    Ok(())
}

/// Asks as somebody who may do everything, and waits for the end.
pub(crate) fn ask_by_hand(
    world: &mut World,
    method: &str,
    id: &Id,
    body: Option<&Value>,
) -> Result<(), String> {
    if method == "DELETE" && show_any(world, id).is_none() {
        return Err(format!("there is no {id}"));
    }
    let person = Principal {
        client_id: "portal".into(),
        secret: String::new(),
        object_id: "portal".into(),
        grants: vec![("*".into(), "/".into())],
    };
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    let octets = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
    let query = "api-version=2024-01-01";
    let request = Request::new(Service::Arm, method, id.as_str(), query, headers, octets.into());
    let delay = std::mem::replace(&mut world.options.operation_delay, Duration::ZERO);
    world.azure.past = true;
    let response = routed(world, &person, &request, &request.route());
    world.azure.past = false;
    settle(world);
    world.options.operation_delay = delay;
    if response.status < 400 {
        return Ok(());
    }
    let said = match &response.body {
        Payload::Json(body) => body["error"].clone(),
        _ => Value::Object(Map::new()),
    };
    let text = |key: &str| said[key].as_str().unwrap_or_default().to_owned();
    Err(format!("{} {}: {}", response.status, text("code"), text("message")))
}

const STATES: [&str; 4] = ["Succeeded", "Updating", "Deleting", "Failed"];
