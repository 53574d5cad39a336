//! A management VM behind a load balancer, piece by piece.

use serde_json::{Value, json};

use super::client::{Azure, network, public_ip, standard};

pub(crate) const NIC: &str = "vm-jump-nic";

pub(crate) fn balancer() -> String {
    network("loadBalancers", "lb-jump")
}

pub(crate) fn child(collection: &str, name: &str) -> String {
    format!("{}/{collection}/{name}", balancer())
}

pub(crate) fn nic() -> String {
    network("networkInterfaces", NIC)
}

pub(crate) fn group() -> String {
    network("networkSecurityGroups", "nsg-mgmt")
}

/// The whole id of a path below the subscription.
pub(crate) fn id(path: &str) -> String {
    format!("/subscriptions/{}{path}", cnamed::sandbox::AZURE_IDENTITY.subscription)
}

/// A public IP, and a load balancer with one frontend on it and one empty pool.
pub(crate) async fn empty(azure: &Azure) -> Value {
    let ip = azure.made(&public_ip("pip-jump"), &standard(Some("contoso-jump"))).await;
    let body = json!({
        "location": "westeurope",
        "sku": {"name": "Standard"},
        "properties": {
            "frontendIPConfigurations": [{"name": "front", "properties": {"publicIPAddress": {"id": ip["id"]}}}],
            "backendAddressPools": [{"name": "pool"}],
        },
    });
    azure.made(&balancer(), &body).await
}

/// An inbound NAT rule of version 2: a range of ports onto the pool.
pub(crate) fn range(start: u32, end: u32, backend: u32) -> Value {
    json!({"properties": {
        "frontendIPConfiguration": {"id": id(&child("frontendIPConfigurations", "front"))},
        "backendAddressPool": {"id": id(&child("backendAddressPools", "pool"))},
        "frontendPortRangeStart": start, "frontendPortRangeEnd": end, "backendPort": backend, "protocol": "Tcp",
    }})
}

/// An inbound NAT rule of version 1: one port, to whichever interface refers to it.
pub(crate) fn single(port: u32, backend: u32) -> Value {
    json!({"properties": {
        "frontendIPConfiguration": {"id": id(&child("frontendIPConfigurations", "front"))},
        "frontendPort": port, "backendPort": backend, "protocol": "Tcp",
    }})
}

/// A security rule that lets 203.0.113.0/24 in.
pub(crate) fn allow(priority: u32, port: &str) -> Value {
    json!({"properties": {
        "protocol": "Tcp", "access": "Allow", "direction": "Inbound", "priority": priority,
        "sourceAddressPrefix": "203.0.113.0/24", "sourcePortRange": "*",
        "destinationAddressPrefix": "*", "destinationPortRange": port,
    }})
}

/// Changes the properties of an interface's first configuration, as a client does who reads before it writes.
pub(crate) async fn reconfigured(azure: &Azure, nic: &str, key: &str, value: Value) -> Value {
    let mut body = azure.get(nic).await.ok(200).body;
    body["properties"]["ipConfigurations"][0]["properties"][key] = value;
    body
}

/// The interface in the pool.
pub(crate) async fn join(azure: &Azure) {
    let pools = json!([{"id": id(&child("backendAddressPools", "pool"))}]);
    let body = reconfigured(azure, &nic(), "loadBalancerBackendAddressPools", pools).await;
    azure.made(&nic(), &body).await;
}

/// A group with a rule for 3389 and one for 22, on the interface.
pub(crate) async fn guard(azure: &Azure) {
    let rules = json!([
        {"name": "rdp", "properties": allow(300, "3389")["properties"]},
        {"name": "ssh", "properties": allow(310, "22")["properties"]},
    ]);
    let body = json!({"location": "westeurope", "properties": {"securityRules": rules}});
    let made = azure.made(&group(), &body).await;
    let mut body = azure.get(&nic()).await.ok(200).body;
    body["properties"]["networkSecurityGroup"] = json!({"id": made["id"]});
    azure.made(&nic(), &body).await;
}

/// Everything: 63011 leads to 3389 and 63022 to 22.
pub(crate) async fn built(azure: &Azure) -> Value {
    empty(azure).await;
    azure.made(&child("inboundNatRules", "rdp"), &range(63011, 63011, 3389)).await;
    azure.made(&child("inboundNatRules", "ssh"), &range(63022, 63022, 22)).await;
    guard(azure).await;
    join(azure).await;
    azure.get(&balancer()).await.ok(200).body
}

/// Another interface in the same subnet, in the pool or not.
pub(crate) fn second_nic(in_pool: bool) -> Value {
    let subnet = id(&format!("{}/subnets/default", network("virtualNetworks", "vnet-mgmt")));
    let mut body = json!({"location": "westeurope", "properties": {
        "ipConfigurations": [{"name": "ipconfig1", "properties": {"subnet": {"id": subnet}}}],
    }});
    if in_pool {
        body["properties"]["ipConfigurations"][0]["properties"]["loadBalancerBackendAddressPools"] =
            json!([{"id": id(&child("backendAddressPools", "pool"))}]);
    }
    body
}
