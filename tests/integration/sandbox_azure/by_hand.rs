//! What others do past us, and what becomes of our writes then.

use std::collections::BTreeMap;
use std::time::Duration;

use cnamed::sandbox::{Action, Fault, Service};
use serde_json::{Value, json};

use super::client::{Azure, network};
use super::gateway::{balancer, built, child, empty, group, id, nic, range};

#[tokio::test]
async fn people_edit_make_and_delete_anything() {
    let azure = Azure::start().await;
    built(&azure).await;
    let control = azure.sandbox.control();
    let rule = "networkSecurityGroups/nsg-mgmt/securityRules/rdp";
    let before = azure.get(&group()).await.body;
    control.edit_resource(rule, &json!({"properties": {"access": "Deny"}})).unwrap();
    let after = azure.get(&group()).await.body;
    assert_eq!(after["properties"]["securityRules"][0]["properties"]["access"], "Deny");
    assert_eq!(after["properties"]["securityRules"][1]["name"], "ssh");
    assert_ne!(after["etag"], before["etag"]);
    assert_eq!(control.show_resource(rule).unwrap()["properties"]["access"], "Deny");
    // A whole id does as well.
    control.delete_resource(&id(&child("inboundNatRules", "rdp"))).unwrap();
    azure.get(&child("inboundNatRules", "rdp")).await.refused(404, "NotFound");
    control.put_resource("loadBalancers/lb-jump/inboundNatRules/rdp", &range(63012, 63012, 3389)).unwrap();
    assert_eq!(
        azure.get(&child("inboundNatRules", "rdp")).await.body["properties"]["frontendPortRangeStart"],
        63012
    );
    // What was shown can be given back, and changes nothing but the etag.
    let shown = control.show_resource("networkInterfaces/vm-jump-nic").unwrap();
    control.edit_resource("networkInterfaces/vm-jump-nic", &shown).unwrap();
    assert_eq!(control.show_resource("networkInterfaces/vm-jump-nic").unwrap()["properties"], {
        let mut same = shown.clone();
        same["properties"]["ipConfigurations"][0]["etag"] =
            control.show_resource("networkInterfaces/vm-jump-nic").unwrap()["etag"].clone();
        same["properties"].clone()
    });

    let refusal = control.delete_resource("networkSecurityGroups/nsg-mgmt").unwrap_err();
    assert!(refusal.to_string().contains("InUseNetworkSecurityGroupCannotBeDeleted"), "{refusal}");
    assert!(control.delete_resource("networkSecurityGroups/none").is_err());
    assert!(control.edit_resource(&format!("{rule}-none"), &json!({})).is_err());
    assert!(control.edit_resource(rule, &json!([])).is_err());
    assert!(control.keep_busy("loadBalancers/none", Duration::ZERO).is_err());
}

#[tokio::test]
async fn everything_that_stands_can_be_compared() {
    let azure = Azure::start().await;
    let control = azure.sandbox.control();
    let all = || -> BTreeMap<String, Value> {
        control.resources().into_iter().map(|one| (one["id"].as_str().unwrap().to_owned(), one)).collect()
    };
    let seeded = all();
    let kinds: Vec<&str> = seeded.values().map(|one| one["type"].as_str().unwrap()).collect();
    for kind in [
        "Microsoft.Compute/virtualMachines",
        "Microsoft.Network/networkInterfaces",
        "Microsoft.Network/virtualNetworks",
    ] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    assert_eq!(all(), seeded);
    built(&azure).await;
    let built = all();
    assert_eq!(built.len(), seeded.len() + 3, "{:?}", built.keys());
    assert_ne!(built[&id(&nic())], seeded[&id(&nic())]);
}

#[tokio::test]
async fn a_newer_write_replaces_ours() {
    let azure = Azure::start().await;
    let before = empty(&azure).await;
    let control = azure.sandbox.control();
    let changes = json!({"tags": {"by": "portal"}}).as_object().unwrap().clone();
    let superseded = Action::OperationSuperseded { changes };
    control.fault(Fault::on(Service::Arm, superseded).method("PUT").path("/inboundNatRules/rdp"));
    let accepted = azure.put(&child("inboundNatRules", "rdp"), &range(63011, 63011, 3389)).await.ok(201);
    let status = azure.settled(&accepted).await;
    assert_eq!((&status["status"], &status["error"]["code"]), (&json!("Canceled"), &json!("Canceled")));
    assert_eq!(status["error"]["details"][0]["code"], "CanceledAndSupersededDueToAnotherOperation");
    let after = azure.get(&balancer()).await.ok(200).body;
    assert_eq!(after["properties"]["inboundNatRules"], json!([]));
    assert_eq!(after["properties"]["provisioningState"], "Succeeded");
    assert_eq!(after["tags"], json!({"by": "portal"}));
    assert_ne!(after["etag"], before["etag"]);
    azure.made(&child("inboundNatRules", "rdp"), &range(63011, 63011, 3389)).await;
}

#[tokio::test]
async fn a_write_that_fails_half_way_is_repaired_by_the_next() {
    let azure = Azure::start().await;
    empty(&azure).await;
    let fails = Action::OperationFails {
        code: "InternalServerError".into(),
        message: "An error occurred.".into(),
        details: Vec::new(),
    };
    azure.sandbox.control().fault(Fault::on(Service::Arm, fails).method("PUT").path("/inboundNatRules/rdp"));
    let rule = range(63011, 63011, 3389);
    let accepted = azure.put(&child("inboundNatRules", "rdp"), &rule).await.ok(201);
    assert_eq!(azure.settled(&accepted).await["status"], "Failed");
    let after = azure.get(&balancer()).await.ok(200).body;
    assert_eq!(after["properties"]["provisioningState"], "Failed");
    assert_eq!(after["properties"]["inboundNatRules"][0]["properties"]["provisioningState"], "Failed");
    // Nothing refers to it meanwhile.
    let mut body = azure.get(&nic()).await.body;
    body["properties"]["ipConfigurations"][0]["properties"]["loadBalancerBackendAddressPools"] =
        json!([{"id": id(&child("backendAddressPools", "pool"))}]);
    azure.put(&nic(), &body).await.refused(429, "RetryableError");
    azure.made(&child("inboundNatRules", "rdp"), &rule).await;
    azure.made(&nic(), &body).await;
}

#[tokio::test]
async fn children_wait_for_their_parent() {
    let azure = Azure::start().await;
    built(&azure).await;
    let control = azure.sandbox.control();
    control.keep_busy("loadBalancers/lb-jump", Duration::from_secs(3600)).unwrap();
    let code = "AnotherOperationInProgress";
    azure.put(&child("inboundNatRules", "more"), &range(63033, 63033, 5986)).await.refused(409, code);
    azure.delete(&child("inboundNatRules", "rdp")).await.refused(409, code);
    azure.delete(&balancer()).await.refused(409, code);
    let tags = azure.ask("PATCH", &balancer()).json(&json!({"tags": {}}));
    azure.send(tags).await.refused(409, code);
    azure.get(&child("inboundNatRules", "rdp")).await.ok(200);
    azure.made(&network("networkSecurityGroups", "free"), &json!({"location": "westeurope"})).await;
}
