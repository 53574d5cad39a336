//! Network interfaces: a PUT says everything, and what only the service says it says again.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Azure, network};
use super::gateway::{built, child, empty, id, join, nic, reconfigured, second_nic, single};

/// The interface with something in every field that others may have set.
async fn full(azure: &Azure) -> Value {
    built(azure).await;
    let asg = network("applicationSecurityGroups", "asg-jump");
    azure.made(&asg, &json!({"location": "westeurope"})).await;
    let mut body =
        reconfigured(azure, &nic(), "applicationSecurityGroups", json!([{"id": id(&asg), "location": "x"}]))
            .await;
    body["tags"] = json!({"team": "ops"});
    body["properties"]["dnsSettings"]["dnsServers"] = json!(["10.0.0.10"]);
    body["properties"]["enableAcceleratedNetworking"] = json!(true);
    azure.made(&nic(), &body).await
}

#[tokio::test]
async fn what_a_put_leaves_out_is_gone() {
    let azure = Azure::start().await;
    let before = full(&azure).await;
    assert_eq!(before["properties"]["dnsSettings"]["dnsServers"], json!(["10.0.0.10"]));
    let configuration = &before["properties"]["ipConfigurations"][0]["properties"];
    assert_eq!(
        configuration["applicationSecurityGroups"][0].as_object().unwrap().len(),
        1,
        "a reference is an id"
    );

    let bare = json!({"location": "westeurope", "properties": {"ipConfigurations": [
        {"name": "ipconfig1", "properties": {"subnet": {"id": configuration["subnet"]["id"]}}},
    ]}});
    let after = azure.made(&nic(), &bare).await;
    let left = &after["properties"]["ipConfigurations"][0]["properties"];
    for gone in ["loadBalancerBackendAddressPools", "applicationSecurityGroups"] {
        assert!(configuration[gone].is_array() && left.get(gone).is_none(), "{gone}: {left}");
    }
    assert!(
        after.get("tags").is_none() && after["properties"].get("networkSecurityGroup").is_none(),
        "{after}"
    );
    assert_eq!(after["properties"]["dnsSettings"]["dnsServers"], json!([]));
    assert_eq!(after["properties"]["enableAcceleratedNetworking"], false);
    // The service's own stay, the address too.
    for kept in ["virtualMachine", "macAddress", "primary", "resourceGuid"] {
        assert_eq!(after["properties"][kept], before["properties"][kept], "{kept}");
    }
    assert_eq!(left["privateIPAddress"], configuration["privateIPAddress"]);
}

#[tokio::test]
async fn what_was_read_can_be_written() {
    let azure = Azure::start().await;
    let before = full(&azure).await;
    let after = azure.made(&nic(), &before).await;
    assert_eq!(
        after["properties"]["ipConfigurations"][0]["properties"],
        before["properties"]["ipConfigurations"][0]["properties"]
    );
    assert_eq!(after["properties"]["dnsSettings"], before["properties"]["dnsSettings"]);
    assert_ne!(after["etag"], before["etag"]);
}

#[tokio::test]
async fn a_write_that_was_overtaken_is_refused() {
    let azure = Azure::start().await;
    let before = full(&azure).await;
    azure
        .sandbox
        .control()
        .edit_resource("networkInterfaces/vm-jump-nic", &json!({"tags": {"by": "hand"}}))
        .unwrap();
    let stale = before["etag"].as_str().unwrap();
    let ask = azure.ask("PUT", &nic()).json(&before).header("if-match", stale);
    azure.send(ask).await.refused(412, "PreconditionFailed");
    let fresh = azure.get(&nic()).await.body;
    assert_eq!(fresh["tags"], json!({"by": "hand", "team": "ops"}));
    let ask = azure.ask("PUT", &nic()).json(&fresh).header("if-match", fresh["etag"].as_str().unwrap());
    azure.send(ask).await.ok(200);
}

#[tokio::test]
async fn a_machine_stays_in_its_network_and_region() {
    let azure = Azure::start().await;
    let other = json!({"location": "westeurope", "properties": {
        "addressSpace": {"addressPrefixes": ["10.1.0.0/16"]},
        "subnets": [{"name": "default", "properties": {"addressPrefix": "10.1.0.0/24"}}],
    }});
    let made = azure.made(&network("virtualNetworks", "vnet-two"), &other).await;
    let away = json!({"id": made["properties"]["subnets"][0]["id"]});
    let body = reconfigured(&azure, &nic(), "subnet", away).await;
    azure.put(&nic(), &body).await.refused(400, "SubnetsNotInSameVnet");

    let mut far = second_nic(false);
    far["location"] = json!("northeurope");
    azure.put(&network("networkInterfaces", "nic-far"), &far).await.refused(400, "InvalidResourceReference");
    let group = network("networkSecurityGroups", "nsg-far");
    azure.made(&group, &json!({"location": "northeurope"})).await;
    let mut body = azure.get(&nic()).await.body;
    body["properties"]["networkSecurityGroup"] = json!({"id": id(&group)});
    azure.put(&nic(), &body).await.refused(400, "InvalidResourceReference");
    let elsewhere = id(&group).replace("5ab5c200", "00000000");
    body["properties"]["networkSecurityGroup"] = json!({"id": elsewhere});
    azure.put(&nic(), &body).await.refused(400, "InvalidResourceReference");
}

#[tokio::test]
async fn a_static_address_is_of_the_subnet_and_free() {
    let azure = Azure::start().await;
    let with = |address: &str| {
        let mut body = second_nic(false);
        let inner = &mut body["properties"]["ipConfigurations"][0]["properties"];
        inner["privateIPAllocationMethod"] = json!("Static");
        inner["privateIPAddress"] = json!(address);
        body
    };
    let path = network("networkInterfaces", "nic-two");
    azure.put(&path, &with("10.1.0.4")).await.refused(400, "PrivateIPAddressNotInSubnet");
    azure.put(&path, &with("10.0.0.3")).await.refused(400, "PrivateIPAddressInReservedRange");
    azure.put(&path, &with("10.0.0.4")).await.refused(400, "PrivateIPAddressInUse");
    let made = azure.made(&path, &with("10.0.0.77")).await;
    assert_eq!(made["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"], "10.0.0.77");
}

#[tokio::test]
async fn a_nat_rule_of_version_one_leads_to_one_interface_and_one_of_two_to_none() {
    let azure = Azure::start().await;
    built(&azure).await;
    let rule = azure.made(&child("inboundNatRules", "old"), &single(63033, 5986)).await;
    let refer = |rule: &Value| json!([{"id": rule["id"]}]);
    let body = reconfigured(&azure, &nic(), "loadBalancerInboundNatRules", refer(&rule)).await;
    azure.made(&nic(), &body).await;
    let shown = azure.get(&child("inboundNatRules", "old")).await.body;
    assert!(shown["properties"]["backendIPConfiguration"]["id"].as_str().unwrap().contains("vm-jump-nic"));
    let mut other = second_nic(false);
    other["properties"]["ipConfigurations"][0]["properties"]["loadBalancerInboundNatRules"] = refer(&rule);
    azure.put(&network("networkInterfaces", "nic-two"), &other).await.refused(400, "InboundNatRuleInUse");
    let second = azure.get(&child("inboundNatRules", "rdp")).await.body;
    other["properties"]["ipConfigurations"][0]["properties"]["loadBalancerInboundNatRules"] = refer(&second);
    let code = "InboundNatRuleWithBackendPoolCannotBeReferencedByIpConfiguration";
    azure.put(&network("networkInterfaces", "nic-two"), &other).await.refused(400, code);
}

#[tokio::test]
async fn one_that_is_not_ready_holds_others_up() {
    let azure = Azure::start().await;
    empty(&azure).await;
    let control = azure.sandbox.control();
    let group = network("networkSecurityGroups", "nsg-mgmt");
    azure.made(&group, &json!({"location": "westeurope"})).await;
    let failed = json!({"properties": {"provisioningState": "Failed"}});
    control.edit_resource("networkSecurityGroups/nsg-mgmt", &failed).unwrap();
    let mut body = azure.get(&nic()).await.body;
    body["properties"]["networkSecurityGroup"] = json!({"id": id(&group)});
    let refusal = azure.put(&nic(), &body).await;
    refusal.refused(429, "RetryableError");
    assert_eq!(refusal.body["error"]["details"][0]["code"], "ReferencedResourceNotProvisioned");
    azure.made(&group, &json!({"location": "westeurope"})).await;
    azure.made(&nic(), &body).await;

    control.edit_resource("networkInterfaces/vm-jump-nic", &failed).unwrap();
    assert_eq!(azure.get(&nic()).await.body["properties"]["provisioningState"], "Failed");
    join(&azure).await;
    assert_eq!(azure.get(&nic()).await.body["properties"]["provisioningState"], "Succeeded");
    control.keep_busy("networkInterfaces/vm-jump-nic", Duration::from_secs(3600)).unwrap();
    let body = azure.get(&nic()).await.body;
    let busy = azure.put(&nic(), &body).await;
    busy.refused(409, "AnotherOperationInProgress");
    assert!(busy.header("retry-after").is_some());
}
