//! What others have in the subscription, and how it is compared.

use serde_json::{Value, json};

use super::Story;
use crate::sandbox::ControlError;

impl Story<'_> {
    /// Colleagues have put the machine behind a security group with a rule of their own, and tagged it.
    pub(super) fn furnish(&self) -> Result<(), ControlError> {
        let control = self.sandbox.control();
        let monitoring = json!({
            "priority": 100, "direction": "Inbound", "access": "Allow", "protocol": "Tcp",
            "sourceAddressPrefix": "10.20.0.0/16", "sourcePortRange": "*",
            "destinationAddressPrefix": "*", "destinationPortRange": "9182",
        });
        let group = json!({
            "location": "westeurope",
            "tags": {"team": "platform"},
            "properties": {"securityRules": [{"name": "monitoring", "properties": monitoring}]},
        });
        control.put_resource("networkSecurityGroups/nsg-mgmt", &group)?;
        let shown = |id: &str| control.show_resource(id).unwrap_or_default();
        let mut interface = shown("networkInterfaces/vm-jump-nic");
        interface["tags"] = json!({"team": "platform"});
        let behind = shown("networkSecurityGroups/nsg-mgmt")["id"].clone();
        interface["properties"]["networkSecurityGroup"] = json!({"id": behind});
        control.put_resource("networkInterfaces/vm-jump-nic", &interface)
    }

    /// Every resource as it is, but for what changes with any write.
    pub(super) fn resources(&self) -> Vec<Value> {
        let mut resources = self.sandbox.control().resources();
        resources.iter_mut().for_each(settle);
        resources
    }
}

/// Takes out what a write changes by itself, and puts lists in the order of their names: Azure's has no meaning.
fn settle(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.shift_remove("etag");
            members.values_mut().for_each(settle);
        }
        Value::Array(entries) => {
            entries.iter_mut().for_each(settle);
            let id = |entry: &Value| entry["id"].as_str().map(str::to_ascii_lowercase);
            entries.sort_by_cached_key(id);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
