//! What people do to resources past us: in the portal, with permissions of their own.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Control, ControlError};
use crate::sandbox::azure::compute::Speaks;
use crate::sandbox::azure::seed::{NETWORK_GROUP, SUBSCRIPTION};
use crate::sandbox::azure::{self, Id};

/// The ids are whole resource ids, or such as `networkInterfaces/vm-jump-nic` and
/// `networkSecurityGroups/nsg-mgmt/securityRules/rdp` in the management VM's group.
impl Control {
    /// What a resource or an entry of one is at present, as GET would show it.
    #[must_use]
    pub fn show_resource(&self, id: &str) -> Option<Value> {
        self.cloud.with(|world| azure::show_any(world, &whole(id)))
    }

    /// Every network resource and virtual machine there is, as GET would show them, in the order of their ids.
    #[must_use]
    pub fn resources(&self) -> Vec<Value> {
        self.cloud.with(|world| azure::show_all(world))
    }

    /// Merges `changes` (RFC 7396) into a resource or an entry of one, unchecked and at once: what was made before a
    /// rule of today, or by a fault of the service. Its etag changes. `properties.provisioningState` can be set too:
    /// `Succeeded`, `Updating`, `Deleting` or `Failed`.
    ///
    /// # Errors
    /// When there is no such resource.
    pub fn edit_resource(&self, id: &str, changes: &Value) -> Result<(), ControlError> {
        self.try_act(|world| azure::edit_by_hand(world, &whole(id), changes))
    }

    /// A person with every permission puts a resource or an entry of one, whole; it is done at once. Basic load
    /// balancers can be made so, as before their retirement.
    ///
    /// # Errors
    /// In Azure's words, when it would refuse that.
    pub fn put_resource(&self, id: &str, body: &Value) -> Result<(), ControlError> {
        self.try_act(|world| azure::ask_by_hand(world, "PUT", &whole(id), Some(body)))
    }

    /// A person with every permission deletes a resource or an entry of one; it is done at once.
    ///
    /// # Errors
    /// In Azure's words, when it would refuse that, and when there is no such resource.
    pub fn delete_resource(&self, id: &str) -> Result<(), ControlError> {
        self.try_act(|world| azure::ask_by_hand(world, "DELETE", &whole(id), None))
    }

    /// Somebody else begins an operation on a resource that lasts so long: writes to it are refused meanwhile.
    ///
    /// # Errors
    /// When there is no such resource.
    pub fn keep_busy(&self, id: &str, lasts: Duration) -> Result<(), ControlError> {
        self.try_act(|world| {
            let id = whole(id);
            if !world.azure.network.contains_key(&id.key()) {
                return Err(format!("there is no {id}"));
            }
            azure::operation::elsewhere(world, &id, lasts);
            Ok(())
        })
    }

    /// What [`Self::keep_busy`] began on a resource ends now.
    pub fn let_rest(&self, id: &str) {
        self.act(|world| azure::operation::elsewhere_ends(world, &whole(id)));
    }

    /// What a port of every machine does from here on.
    pub fn service(&self, port: u16, speaks: Speaks) {
        self.act(|world| world.azure.machines.values_mut().for_each(|machine| machine.serve(port, speaks)));
    }

    /// From where on the internet connections come from here on.
    pub fn client_address(&self, address: std::net::IpAddr) {
        self.act(|world| world.options.client_address = address);
    }
}

fn whole(id: &str) -> Id {
    if id.starts_with('/') {
        return Id::new(id);
    }
    let group = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{NETWORK_GROUP}");
    Id::new(format!("{group}/providers/Microsoft.Network/{id}"))
}

/// The list that the HTTP interface gives.
pub(super) fn listed(control: &Control) -> Value {
    json!({"value": control.resources()})
}
