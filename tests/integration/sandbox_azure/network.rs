//! The network around the address: enough for a management VM behind a high port.

use std::time::Duration;

use cnamed::sandbox::LegacyPublicIp;
use serde_json::{Value, json};

use super::client::{Azure, network, public_ip, standard};

fn rule(priority: u32) -> Value {
    json!({
        "protocol": "Tcp", "access": "Allow", "direction": "Inbound", "priority": priority,
        "sourceAddressPrefix": "203.0.113.0/24", "sourcePortRange": "*",
        "destinationAddressPrefix": "*", "destinationPortRange": "3389",
    })
}

async fn gateway(azure: &Azure) -> Value {
    let ip = azure.made(&public_ip("pip-jump"), &standard(Some("contoso-jump"))).await;
    let body = json!({
        "location": "westeurope",
        "sku": {"name": "Standard"},
        "properties": {
            "frontendIPConfigurations": [{"name": "front", "properties": {"publicIPAddress": {"id": ip["id"]}}}],
            "backendAddressPools": [{"name": "pool"}],
        },
    });
    azure.made(&network("loadBalancers", "lb-jump"), &body).await
}

#[tokio::test]
async fn a_nat_rule_leads_from_the_address_to_the_machine() {
    let azure = Azure::start().await;
    let balancer = gateway(&azure).await;
    let front = balancer["properties"]["frontendIPConfigurations"][0]["id"].clone();
    let held = azure.get(&public_ip("pip-jump")).await.body;
    assert_eq!(held["properties"]["ipConfiguration"]["id"], front);
    azure.delete(&public_ip("pip-jump")).await.refused(400, "PublicIPAddressCannotBeDeleted");

    let nat = |port: u32| {
        json!({"properties": {
            "frontendIPConfiguration": {"id": front}, "frontendPort": port, "backendPort": 3389, "protocol": "Tcp",
        }})
    };
    let path = format!("{}/inboundNatRules/rdp", network("loadBalancers", "lb-jump"));
    let made = azure.put(&path, &nat(63011)).await.ok(201);
    assert_eq!(azure.settled(&made).await["status"], "Succeeded");
    let other = path.replace("rdp", "other");
    azure.put(&other, &nat(63011)).await.refused(400, "RulesUseSameFrontendPortProtocolAndIPConfig");
    azure.put(&other, &nat(65535)).await.refused(400, "InvalidFrontendPort");

    let nic = network("networkInterfaces", "vm-jump-nic");
    let mut body = azure.get(&nic).await.ok(200).body;
    assert!(body["properties"]["virtualMachine"]["id"].as_str().unwrap().ends_with("/vm-jump"));
    let configuration = &mut body["properties"]["ipConfigurations"][0]["properties"];
    configuration["loadBalancerInboundNatRules"] = json!([{"id": made.body["id"]}]);
    azure.made(&nic, &body).await;
    let rule = azure.get(&path).await.ok(200).body;
    let member = rule["properties"]["backendIPConfiguration"]["id"].as_str().unwrap();
    assert!(member.ends_with("/vm-jump-nic/ipConfigurations/ipconfig1"), "{member}");
    azure.delete(&nic).await.refused(400, "NicInUse");

    azure.settled(&azure.delete(&path).await.ok(202)).await;
    azure.get(&path).await.refused(404, "NotFound");
    azure.delete(&path).await.ok(204);
    assert!(
        azure.get(&network("loadBalancers", "lb-jump")).await.ok(200).body["properties"]["inboundNatRules"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn one_address_has_one_user_of_its_own_sku() {
    let azure = Azure::start().await;
    let balancer = gateway(&azure).await;
    let mut second = balancer.clone();
    second["name"] = json!("lb-two");
    azure.put(&network("loadBalancers", "lb-two"), &second).await.refused(400, "PublicIPAddressInUse");
    let mut basic = balancer.clone();
    basic["sku"]["name"] = json!("Basic");
    azure.put(&network("loadBalancers", "lb-jump"), &basic).await.refused(400, "PublicIPAndLBSkuDoNotMatch");
    let mut missing = balancer;
    missing["properties"]["frontendIPConfigurations"][0]["properties"]["publicIPAddress"]["id"] =
        json!("/x/y");
    azure.put(&network("loadBalancers", "lb-jump"), &missing).await.refused(400, "LinkedInvalidPropertyId");
}

#[tokio::test]
async fn a_machine_does_not_mix_skus() {
    let azure = Azure::start().await;
    let balancer = gateway(&azure).await;
    azure.sandbox.control().create_legacy_public_ip(&legacy("pip-basic")).unwrap();
    let nic = network("networkInterfaces", "vm-jump-nic");
    let mut body = azure.get(&nic).await.ok(200).body;
    let configuration = &mut body["properties"]["ipConfigurations"][0]["properties"];
    let pool = balancer["properties"]["backendAddressPools"][0]["id"].clone();
    configuration["loadBalancerBackendAddressPools"] = json!([{"id": pool}]);
    let code = "DifferentSkuLoadBalancersAndPublicIPAddressNotAllowed";
    azure.put(&nic, &body).await.refused(400, code);
    let configuration = &mut body["properties"]["ipConfigurations"][0]["properties"];
    configuration.as_object_mut().unwrap().remove("publicIPAddress");
    azure.made(&nic, &body).await;
    let pool = azure.get(&network("loadBalancers", "lb-jump")).await.ok(200).body;
    let members = &pool["properties"]["backendAddressPools"][0]["properties"]["backendIPConfigurations"];
    assert_eq!(members.as_array().unwrap().len(), 1);
    let released = azure.get(&public_ip("pip-basic")).await.ok(200).body;
    assert!(released["properties"]["ipAddress"].is_null(), "a dynamic address goes with its user");
}

fn legacy(name: &str) -> LegacyPublicIp {
    LegacyPublicIp { name: name.into(), label: None, ..LegacyPublicIp::default() }
}

#[tokio::test]
async fn what_is_referred_to_must_be_ready() {
    let azure = Azure::start().await;
    let balancer = gateway(&azure).await;
    azure.sandbox.control().operation_delay(Duration::from_secs(3600));
    let address = azure.put(&public_ip("pip-two"), &standard(None)).await.ok(201).body["id"].clone();
    let mut second = balancer;
    second["properties"]["frontendIPConfigurations"][0]["properties"]["publicIPAddress"]["id"] = address;
    let refusal = azure.put(&network("loadBalancers", "lb-two"), &second).await;
    refusal.refused(429, "RetryableError");
    assert_eq!(refusal.body["error"]["details"][0]["code"], "ReferencedResourceNotProvisioned");
    assert!(refusal.header("retry-after").is_some());
}

#[tokio::test]
async fn security_rules_have_a_priority_of_their_own() {
    let azure = Azure::start().await;
    let group = network("networkSecurityGroups", "nsg-mgmt");
    let made = azure.made(&group, &json!({"location": "westeurope"})).await;
    assert_eq!(made["properties"]["defaultSecurityRules"].as_array().unwrap().len(), 6);
    let path = |name: &str| format!("{group}/securityRules/{name}");
    let rdp = azure.put(&path("rdp"), &json!({"properties": rule(100)})).await.ok(201);
    azure.settled(&rdp).await;
    azure.put(&path("ssh"), &json!({"properties": rule(100)})).await.refused(400, "SecurityRuleConflict");
    azure
        .put(&path("ssh"), &json!({"properties": rule(99)}))
        .await
        .refused(400, "SecurityRuleInvalidPriority");
    let mut without = rule(101);
    without.as_object_mut().unwrap().remove("destinationPortRange");
    azure
        .put(&path("ssh"), &json!({"properties": without}))
        .await
        .refused(400, "SecurityRuleParameterNotSpecified");
    let list = azure.get(&format!("{group}/securityRules")).await.ok(200).body;
    assert_eq!(list["value"].as_array().unwrap().len(), 1);
    azure.settled(&azure.delete(&group).await.ok(202)).await;
}

#[tokio::test]
async fn an_interface_refers_to_what_is_there() {
    let azure = Azure::start().await;
    let vnet = network("virtualNetworks", "vnet-two");
    let body = json!({"location": "westeurope", "properties": {
        "addressSpace": {"addressPrefixes": ["10.1.0.0/16"]},
        "subnets": [{"name": "default", "properties": {"addressPrefix": "10.1.0.0/24"}}],
    }});
    let made = azure.made(&vnet, &body).await;
    let subnet = made["properties"]["subnets"][0]["id"].clone();
    let nic = network("networkInterfaces", "nic-two");
    let body = |subnet: &Value| {
        json!({"location": "westeurope", "properties": {
            "ipConfigurations": [{"name": "ipconfig1", "properties": {"subnet": {"id": subnet}}}],
        }})
    };
    azure.put(&nic, &body(&json!("/nowhere/subnets/x"))).await.refused(400, "LinkedInvalidPropertyId");
    let missing = subnet.as_str().unwrap().replace("default", "other");
    azure.put(&nic, &body(&json!(missing))).await.refused(400, "InvalidResourceReference");
    let made = azure.made(&nic, &body(&subnet)).await;
    let configuration = &made["properties"]["ipConfigurations"][0]["properties"];
    assert!(configuration["privateIPAddress"].is_string());
    azure.delete(&vnet).await.refused(400, "InUseSubnetCannotBeDeleted");
    azure.settled(&azure.delete(&nic).await.ok(202)).await;
    azure.settled(&azure.delete(&vnet).await.ok(202)).await;
}
