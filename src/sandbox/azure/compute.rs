//! Virtual machines, as far as their power decides over addresses.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::State;
use super::arm::{self, Id};
use super::authority::Principal;
use super::network;
use super::operation::{self, Effect};
use super::seed::{LOCATION, NETWORK_GROUP, NIC, SUBSCRIPTION, VM};
use crate::sandbox::exchange::{Request, Response};
use crate::sandbox::world::{World, timestamp};

/// A virtual machine.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) id: Id,
    pub(crate) nic: Id,
    pub(crate) running: bool,
    services: BTreeMap<u16, Speaks>,
}

/// What a port of a machine does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Speaks {
    /// Remote Desktop: an X.224 Connection Confirm to a well-formed Connection Request (MS-RDPBCGR 2.2.1.2).
    Rdp,
    /// SSH: an identification string at once (RFC 4253, 4.2).
    Ssh,
    /// A web server: a refusal to whatever is not HTTP.
    Http,
    /// Takes the connection and says nothing.
    Nothing,
    /// Nobody listens: the connection is refused.
    Closed,
}

impl Machine {
    /// What `port` does; closed unless something was said to listen there.
    pub(crate) fn speaks(&self, port: u16) -> Speaks {
        self.services.get(&port).copied().unwrap_or(Speaks::Closed)
    }

    pub(crate) fn serve(&mut self, port: u16, speaks: Speaks) {
        self.services.insert(port, speaks);
    }
}

/// `vm-jump`, running.
pub(crate) fn seed(state: &mut State) {
    let nic = Id::of(NETWORK_GROUP, "Microsoft.Network/networkInterfaces", NIC);
    // There is none yet.
    let _ = create(state, VM, nic);
}

/// A machine that runs, on an interface that no other has.
pub(crate) fn create(state: &mut State, name: &str, nic: Id) -> Result<Id, String> {
    let id = Id::of(NETWORK_GROUP, "Microsoft.Compute/virtualMachines", name);
    if let Some(other) = state.machines.values().find(|other| other.id == id || other.nic == nic) {
        return Err(format!("there is {} already, on {}", other.id, other.nic));
    }
    let services = BTreeMap::from([(22, Speaks::Ssh), (3389, Speaks::Rdp)]);
    state.machines.insert(id.key(), Machine { id: id.clone(), nic, running: true, services });
    Ok(id)
}

/// Below `…/virtualMachines/{name}`; `None` where there is no such thing.
pub(crate) fn handle(
    world: &mut World,
    principal: &Principal,
    request: &Request,
    group: &str,
    name: &str,
    rest: &[&str],
) -> Option<Response> {
    let id = Id::of(group, "Microsoft.Compute/virtualMachines", name);
    let rest: Vec<String> = rest.iter().map(|segment| segment.to_ascii_lowercase()).collect();
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    let (action, effect) = match (request.method.as_str(), rest.as_slice()) {
        ("GET", []) => ("read", None),
        ("GET", ["instanceview"]) => ("instanceView/read", None),
        ("POST", ["start"]) => ("start/action", Some(Effect::Start)),
        ("POST", ["deallocate"]) => ("deallocate/action", Some(Effect::Deallocate)),
        _ => return None,
    };
    let action = format!("Microsoft.Compute/virtualMachines/{action}");
    if let Err(refusal) = arm::authorize(principal, &action, id.as_str()) {
        return Some(refusal);
    }
    let Some(machine) = world.azure.machines.get(&id.key()) else {
        let message = format!(
            "The Resource 'Microsoft.Compute/virtualMachines/{name}' under resource group '{group}' was not found. For \
             more details please go to https://aka.ms/ARMResourceNotFoundFix"
        );
        return Some(arm::error(404, "ResourceNotFound", &message));
    };
    Some(match effect {
        Some(effect) => {
            let id = machine.id.clone();
            operation::start(world, &id, "Microsoft.Compute", LOCATION, effect, Response::empty(202))
        }
        None if rest.is_empty() => {
            let mut shown = json(machine);
            if request.param("$expand").is_some_and(|expand| expand.eq_ignore_ascii_case("instanceView")) {
                shown["properties"]["instanceView"] = view(machine, world.calendar());
            }
            Response::json(200, shown)
        }
        None => Response::json(200, view(machine, world.calendar())),
    })
}

/// The machines of a group, or of the subscription.
pub(crate) fn list(world: &World, principal: &Principal, group: Option<&str>) -> Response {
    let scope = format!("/subscriptions/{SUBSCRIPTION}");
    if let Err(refusal) = arm::authorize(principal, "Microsoft.Compute/virtualMachines/read", &scope) {
        return refusal;
    }
    let within =
        |machine: &&Machine| group.is_none_or(|group| machine.id.group().eq_ignore_ascii_case(group));
    let value: Vec<_> = world.azure.machines.values().filter(within).map(json).collect();
    Response::json(200, json!({"value": value}))
}

/// Starts or deallocates a machine; dynamic addresses come and go with it.
pub(crate) fn power(world: &mut World, id: &Id, on: bool) {
    if let Some(machine) = world.azure.machines.get_mut(&id.key()) {
        machine.running = on;
    }
    network::settle(world);
}

/// A machine as GET shows it.
pub(crate) fn json(machine: &Machine) -> Value {
    json!({
        "name": machine.id.name(),
        "id": machine.id.as_str(),
        "type": "Microsoft.Compute/virtualMachines",
        "location": LOCATION,
        "properties": {
            "vmId": "3a5c0de0-0000-4000-8000-000000000001",
            "hardwareProfile": {"vmSize": "Standard_B2s"},
            "networkProfile": {"networkInterfaces": [{"id": machine.nic.as_str(), "properties": {"primary": true}}]},
            "provisioningState": "Succeeded",
        },
    })
}

fn view(machine: &Machine, now: OffsetDateTime) -> Value {
    let (code, text) =
        if machine.running { ("running", "VM running") } else { ("deallocated", "VM deallocated") };
    json!({
        "statuses": [
            {"code": "ProvisioningState/succeeded", "level": "Info", "displayStatus": "Provisioning succeeded",
             "time": timestamp(now)},
            {"code": format!("PowerState/{code}"), "level": "Info", "displayStatus": text},
        ],
    })
}
