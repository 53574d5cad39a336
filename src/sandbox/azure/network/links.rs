//! What bodies of the network provider refer to, and which permission each reference takes ("Azure permissions for
//! Networking", `join/action`).
//!
//! A reference from a resource to a part of itself takes none.

use serde_json::{Map, Value};

use super::super::resource::Link;
use super::{children, reference, references};

/// A load balancer's addresses and subnets.
pub(super) fn load_balancer(document: &Map<String, Value>) -> Vec<Link> {
    let mut links = Vec::new();
    for (_, frontend) in children::entries(document, "frontendIPConfigurations") {
        one(&mut links, frontend, "publicIPAddress", "Microsoft.Network/publicIPAddresses/join/action");
        one(&mut links, frontend, "publicIPPrefix", "Microsoft.Network/publicIPPrefixes/join/action");
        one(&mut links, frontend, "subnet", SUBNET);
    }
    for (_, pool) in children::entries(document, "backendAddressPools") {
        one(&mut links, pool, "virtualNetwork", VIRTUAL_NETWORK);
        for address in
            pool.get("loadBalancerBackendAddresses").and_then(Value::as_array).into_iter().flatten()
        {
            if let Some(properties) = address.get("properties") {
                one(&mut links, properties, "virtualNetwork", VIRTUAL_NETWORK);
            }
        }
    }
    links
}

/// An interface's group, subnets, pools, rules and addresses.
pub(super) fn network_interface(document: &Map<String, Value>) -> Vec<Link> {
    let mut links = Vec::new();
    if let Some(properties) = document.get("properties") {
        one(&mut links, properties, "networkSecurityGroup", SECURITY_GROUP);
    }
    for (_, configuration) in children::entries(document, "ipConfigurations") {
        one(&mut links, configuration, "subnet", SUBNET);
        one(&mut links, configuration, "publicIPAddress", "Microsoft.Network/publicIPAddresses/join/action");
        many(
            &mut links,
            configuration,
            "loadBalancerBackendAddressPools",
            "Microsoft.Network/loadBalancers/backendAddressPools/join/action",
        );
        many(
            &mut links,
            configuration,
            "loadBalancerInboundNatRules",
            "Microsoft.Network/loadBalancers/inboundNatRules/join/action",
        );
        many(
            &mut links,
            configuration,
            "applicationSecurityGroups",
            "Microsoft.Network/applicationSecurityGroups/joinIpConfiguration/action",
        );
    }
    links
}

/// What a network's subnets use.
pub(super) fn virtual_network(document: &Map<String, Value>) -> Vec<Link> {
    let mut links = Vec::new();
    for (_, subnet) in children::entries(document, "subnets") {
        one(&mut links, subnet, "networkSecurityGroup", SECURITY_GROUP);
        one(&mut links, subnet, "natGateway", "Microsoft.Network/natGateways/join/action");
    }
    links
}

/// The application security groups that rules name.
pub(super) fn security_group(document: &Map<String, Value>) -> Vec<Link> {
    let mut links = Vec::new();
    for (_, rule) in children::entries(document, "securityRules") {
        for key in ["sourceApplicationSecurityGroups", "destinationApplicationSecurityGroups"] {
            let action = "Microsoft.Network/applicationSecurityGroups/joinNetworkSecurityRule/action";
            many(&mut links, rule, key, action);
        }
    }
    links
}

fn one(links: &mut Vec<Link>, properties: &Value, key: &str, action: &'static str) {
    links.extend(reference(properties, key).map(|to| Link { action, to }));
}

fn many(links: &mut Vec<Link>, properties: &Value, key: &str, action: &'static str) {
    links.extend(references(properties, key).map(|to| Link { action, to }));
}

const SUBNET: &str = "Microsoft.Network/virtualNetworks/subnets/join/action";
const SECURITY_GROUP: &str = "Microsoft.Network/networkSecurityGroups/join/action";
const VIRTUAL_NETWORK: &str = "Microsoft.Network/virtualNetworks/joinLoadBalancer/action";
