//! Two machines behind one load balancer.

use cnamed::sandbox::Control;
use serde_json::json;

use super::stage::{NIC, bare, id, nothing_written, standing};
use crate::support::Cloud;

pub(crate) const SECOND: &str = "networkInterfaces/vm-db-nic";
pub(crate) const SECOND_GROUP: &str = "networkSecurityGroups/nsg-db";

/// A second machine's interface, behind nothing.
pub(crate) fn put_second(control: &Control) {
    let first = control.show_resource(NIC).unwrap();
    let subnet = &first["properties"]["ipConfigurations"][0]["properties"]["subnet"];
    let configuration = json!({"name": "ipconfig1", "properties": {"subnet": subnet, "primary": true,
        "privateIPAddress": "10.0.0.99", "privateIPAllocationMethod": "Static", "privateIPAddressVersion": "IPv4"}});
    let body = json!({"location": "westeurope", "properties": {"ipConfigurations": [configuration]}});
    control.put_resource(SECOND, &body).unwrap();
    // What Azure fills in at the first write is there from the start.
    control.put_resource(SECOND, &control.show_resource(SECOND).unwrap()).unwrap();
}

/// The rule for SSH leads to the second machine, behind a group of its own.
pub(crate) fn ssh_to_the_second(text: String) -> String {
    let (before, ssh) = text.split_once("name = \"ssh\"").unwrap();
    let ssh = ssh.replacen("vm-jump-nic", "vm-db-nic", 1).replacen("nsg-mgmt", "nsg-db", 1);
    format!("{before}name = \"ssh\"{ssh}")
}

/// The pools that an interface is in, by name.
fn pools(cloud: &Cloud, nic: &str) -> Vec<String> {
    let nic = cloud.sandbox.control().show_resource(nic).unwrap();
    let pools = &nic["properties"]["ipConfigurations"][0]["properties"]["loadBalancerBackendAddressPools"];
    let name = |pool: &serde_json::Value| pool["id"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    pools.as_array().into_iter().flatten().map(name).collect()
}

/// Whoever comes waits for whoever leaves, and one round does both.
#[tokio::test]
async fn two_machines_change_places_in_one_round() {
    let cloud = bare().await;
    put_second(&cloud.sandbox.control());
    cloud.configure(ssh_to_the_second);
    // One group for both, so that whoever moves is let in there as well.
    cloud.replace("nsg-db", "nsg-mgmt");
    cloud.run(&["sync"]).await.exits(0);
    assert_eq!(
        (pools(&cloud, NIC), pools(&cloud, SECOND)),
        (vec!["cnamed_demo_rdp".into()], vec!["cnamed_demo_ssh".into()])
    );
    cloud.configure(|text| {
        text.replace("vm-db-nic", "vm-other-nic")
            .replace("vm-jump-nic", "vm-db-nic")
            .replace("vm-other-nic", "vm-jump-nic")
    });
    cloud.run(&["plan"]).await.exits(3).says("another network interface to leave its pool");
    cloud.run(&["sync"]).await.exits(0);
    assert_eq!(
        (pools(&cloud, NIC), pools(&cloud, SECOND)),
        (vec!["cnamed_demo_ssh".into()], vec!["cnamed_demo_rdp".into()])
    );
    cloud.sandbox.forget_requests();
    cloud.run(&["sync"]).await.exits(0).says("In sync");
    nothing_written(&cloud);
    let left = json!(standing(&cloud)).to_string();
    assert!(left.contains(&id(SECOND)));
}
