//! Load balancers and their rules: what is sold, what may stand beside what, and what stays while it is referred to.

use serde_json::{Value, json};

use super::client::{Azure, network, public_ip, standard};
use super::gateway::{balancer, built, child, empty, id, join, nic, range, reconfigured, second_nic, single};

fn with(rule: &Value, key: &str, value: Value) -> Value {
    let mut rule = rule.clone();
    rule["properties"][key] = value;
    rule
}

#[tokio::test]
async fn the_two_versions_of_nat_rules_do_not_mix() {
    let azure = Azure::start().await;
    let early = azure.put(&child("inboundNatRules", "rdp"), &range(63011, 63011, 3389)).await;
    early.refused(404, "ParentResourceNotFound");
    azure.get(&child("inboundNatRules", "rdp")).await.refused(404, "ResourceNotFound");
    empty(&azure).await;
    let rule = child("inboundNatRules", "rdp");
    let second = range(63011, 63011, 3389);
    let both = "UnsupportedSetOfInboundNatRulePropertiesWhenFrontendPortIsSpecified";
    azure.put(&rule, &with(&second, "frontendPort", json!(63011))).await.refused(400, both);
    let without = with(&second, "frontendPortRangeEnd", Value::Null);
    azure.put(&rule, &without).await.refused(400, "MissedInboundNatRuleV2Properties");
    let mut pooled = single(63011, 3389);
    pooled["properties"]["backendAddressPool"] = second["properties"]["backendAddressPool"].clone();
    azure.put(&rule, &pooled).await.refused(400, "MissedInboundNatRuleV2Properties");
    let elsewhere = json!({"id": id(&child("backendAddressPools", "none"))});
    azure
        .put(&rule, &with(&second, "backendAddressPool", elsewhere))
        .await
        .refused(400, "InvalidResourceReference");
    azure.put(&rule, &range(63012, 63011, 3389)).await.refused(400, "InvalidFrontendPort");
    azure.put(&rule, &range(65534, 65535, 3389)).await.refused(400, "InvalidFrontendPort");
    azure.put(&rule, &range(63011, 63011, 0)).await.refused(400, "InvalidBackendPort");
    azure
        .put(&rule, &with(&second, "idleTimeoutInMinutes", json!(31)))
        .await
        .refused(400, "InvalidIdleTimeoutInMinutes");
    azure.put(&rule, &with(&second, "protocol", json!("Icmp"))).await.refused(400, "InvalidRequestFormat");

    let made = azure.made(&rule, &second).await;
    assert_eq!(
        (&made["properties"]["frontendPort"], &made["properties"]["protocol"]),
        (&json!(0), &json!("Tcp"))
    );
    assert_eq!(made["properties"]["idleTimeoutInMinutes"], 4);
    // What was read can be written.
    assert_eq!(azure.made(&rule, &made).await["properties"], made["properties"]);
}

#[tokio::test]
async fn a_pool_has_no_more_members_than_a_range_has_ports() {
    let azure = Azure::start().await;
    empty(&azure).await;
    let rule = child("inboundNatRules", "rdp");
    azure.made(&rule, &range(63011, 63011, 3389)).await;
    join(&azure).await;
    let other = network("networkInterfaces", "nic-two");
    let small = "InboundNatRuleFrontendPortRangeIsTooSmall";
    azure.put(&other, &second_nic(true)).await.refused(400, small);
    azure.made(&rule, &range(63011, 63012, 3389)).await;
    azure.made(&other, &second_nic(true)).await;
    azure.put(&rule, &range(63011, 63011, 3389)).await.refused(400, small);
}

#[tokio::test]
async fn no_two_rules_meet_on_a_frontend() {
    let azure = Azure::start().await;
    let made = empty(&azure).await;
    azure.made(&child("inboundNatRules", "rdp"), &range(63000, 63010, 3389)).await;
    let taken = "RulesUseSameFrontendPortProtocolAndIPConfig";
    azure.put(&child("inboundNatRules", "ssh"), &range(63010, 63012, 22)).await.refused(400, taken);
    azure.put(&child("inboundNatRules", "ssh"), &single(63005, 22)).await.refused(400, taken);
    azure.made(&child("inboundNatRules", "udp"), &with(&single(63005, 53), "protocol", json!("Udp"))).await;
    azure
        .put(&child("inboundNatRules", "all"), &with(&single(63005, 53), "protocol", json!("All")))
        .await
        .refused(400, taken);

    let mut body = azure.get(&balancer()).await.ok(200).body;
    let front = made["properties"]["frontendIPConfigurations"][0]["id"].clone();
    let pool = made["properties"]["backendAddressPools"][0]["id"].clone();
    let mut balancing = json!([{"name": "web", "properties": {
        "frontendIPConfiguration": {"id": front}, "backendAddressPool": {"id": pool}, "protocol": "tcp",
        "frontendPort": 63001, "backendPort": 443,
    }}]);
    body["properties"]["loadBalancingRules"] = balancing.clone();
    azure.put(&balancer(), &body).await.refused(400, taken);
    balancing[0]["properties"]["frontendPort"] = json!(443);
    body["properties"]["loadBalancingRules"] = balancing;
    body["properties"]["outboundRules"] = json!([{"name": "out", "properties": {
        "frontendIPConfigurations": [{"id": front}], "backendAddressPool": {"id": pool}, "protocol": "All",
    }}]);
    let code = "LoadBalancingRuleMustDisableSNATSinceSameFrontendIPConfigurationIsReferencedByOutboundRule";
    azure.put(&balancer(), &body).await.refused(400, code);
    body["properties"]["loadBalancingRules"][0]["properties"]["disableOutboundSnat"] = json!(true);
    let made = azure.made(&balancer(), &body).await;
    let of_front = &made["properties"]["frontendIPConfigurations"][0]["properties"];
    assert_eq!(of_front["loadBalancingRules"].as_array().unwrap().len(), 1);
    assert_eq!(of_front["outboundRules"].as_array().unwrap().len(), 1);
    assert_eq!(made["properties"]["loadBalancingRules"][0]["properties"]["protocol"], "Tcp");
    body["properties"]["inboundNatPools"] = json!([{"name": "p", "properties": {
        "frontendIPConfiguration": {"id": front}, "protocol": "Tcp", "frontendPortRangeStart": 1000,
        "frontendPortRangeEnd": 1010, "backendPort": 22,
    }}]);
    let exclusive = "InboundNatRulesAndInboundNatPoolsAreMutuallyExclusive";
    azure.put(&balancer(), &body).await.refused(400, exclusive);
}

#[tokio::test]
async fn what_is_referred_to_stays() {
    let azure = Azure::start().await;
    let made = built(&azure).await;
    let mut without = made.clone();
    without["properties"]["backendAddressPools"] = json!([]);
    azure.put(&balancer(), &without).await.refused(400, "InvalidResourceReference");
    without["properties"]["inboundNatRules"] = json!([]);
    azure.put(&balancer(), &without).await.refused(400, "InUseBackendAddressPoolCannotBeDeleted");
    let mut without = made;
    without["properties"]["frontendIPConfigurations"] = json!([]);
    azure.put(&balancer(), &without).await.refused(400, "InvalidResourceReference");
    azure.delete(&child("backendAddressPools", "pool")).await.refused(400, "InvalidResourceReference");
    azure.delete(&public_ip("pip-jump")).await.refused(400, "PublicIPAddressCannotBeDeleted");

    // The whole may go, and takes its members' references with it.
    azure.settled(&azure.delete(&balancer()).await.ok(202)).await;
    let left = azure.get(&nic()).await.ok(200).body;
    let configuration = &left["properties"]["ipConfigurations"][0]["properties"];
    assert!(configuration.get("loadBalancerBackendAddressPools").is_none(), "{configuration}");
    azure.settled(&azure.delete(&public_ip("pip-jump")).await.ok(202)).await;
}

#[tokio::test]
async fn basic_is_retired_and_remains_where_it_was() {
    let azure = Azure::start().await;
    let body = json!({"location": "westeurope", "properties": {"backendAddressPools": [{"name": "pool"}]}});
    azure
        .put(&network("loadBalancers", "lb-old"), &body)
        .await
        .refused(400, "BasicSkuLoadBalancerNotAllowed");
    azure.sandbox.control().put_resource("loadBalancers/lb-old", &body).unwrap();
    let mut old = azure.get(&network("loadBalancers", "lb-old")).await.ok(200).body;
    assert_eq!(old["sku"]["name"], "Basic");
    old["sku"]["name"] = json!("Standard");
    azure.put(&network("loadBalancers", "lb-old"), &old).await.refused(400, "SkuCannotBeChangedOnUpdate");

    empty(&azure).await;
    azure.made(&network("loadBalancers", "lb-old"), &body).await;
    let pools = json!([
        {"id": id(&child("backendAddressPools", "pool"))},
        {"id": id(&format!("{}/backendAddressPools/pool", network("loadBalancers", "lb-old")))},
    ]);
    let mixed = reconfigured(&azure, &nic(), "loadBalancerBackendAddressPools", pools).await;
    azure.put(&nic(), &mixed).await.refused(400, "DifferentSkuLoadBalancersAndPublicIPAddressNotAllowed");
}

#[tokio::test]
async fn everything_is_in_one_region() {
    let azure = Azure::start().await;
    let mut far = standard(None);
    far["location"] = json!("northeurope");
    let ip = azure.made(&public_ip("pip-far"), &far).await;
    let body = json!({"location": "westeurope", "sku": {"name": "Standard"}, "properties": {
        "frontendIPConfigurations": [{"name": "front", "properties": {"publicIPAddress": {"id": ip["id"]}}}],
    }});
    azure.put(&balancer(), &body).await.refused(400, "InvalidResourceReference");
    let neither = json!({"location": "westeurope", "sku": {"name": "Standard"}, "properties": {
        "frontendIPConfigurations": [{"name": "front"}],
    }});
    let code = "LoadBalancerFrontendIPConfigurationMustReferenceSubnetOrPublicIP";
    azure.put(&balancer(), &neither).await.refused(400, code);
}

#[tokio::test]
async fn an_interface_is_behind_one_public_and_one_internal_load_balancer() {
    let azure = Azure::start().await;
    built(&azure).await;
    let subnet = id(&format!("{}/subnets/default", network("virtualNetworks", "vnet-mgmt")));
    let internal = |name: &str| {
        json!({"location": "westeurope", "sku": {"name": "Standard"}, "properties": {
            "frontendIPConfigurations": [{"name": name, "properties": {"subnet": {"id": subnet}}}],
            "backendAddressPools": [{"name": "pool"}],
        }})
    };
    let pool = |name: &str| json!({"id": id(&format!("{}/backendAddressPools/pool", network("loadBalancers", name)))});
    let made = azure.made(&network("loadBalancers", "lb-in"), &internal("front")).await;
    let front = &made["properties"]["frontendIPConfigurations"][0]["properties"];
    assert!(front["privateIPAddress"].as_str().unwrap().starts_with("10.0.0."), "{front}");
    azure.made(&network("loadBalancers", "lb-in-too"), &internal("front")).await;
    let pools = json!([pool("lb-jump"), pool("lb-in")]);
    let body = reconfigured(&azure, &nic(), "loadBalancerBackendAddressPools", pools).await;
    azure.made(&nic(), &body).await;
    let pools = json!([pool("lb-jump"), pool("lb-in"), pool("lb-in-too")]);
    let body = reconfigured(&azure, &nic(), "loadBalancerBackendAddressPools", pools).await;
    let code = "NetworkInterfaceReferencesMultipleLoadBalancersOfSameType";
    azure.put(&nic(), &body).await.refused(400, code);
    let mut mixed = internal("front");
    mixed["properties"]["frontendIPConfigurations"].as_array_mut().unwrap().push(
        json!({"name": "public", "properties": {"publicIPAddress": {"id": id(&public_ip("pip-two"))}}}),
    );
    azure.made(&public_ip("pip-two"), &standard(None)).await;
    let code = "LoadBalancerCannotHaveBothPublicAndPrivateFrontends";
    azure.put(&network("loadBalancers", "lb-in"), &mixed).await.refused(400, code);
}

#[tokio::test]
async fn two_rules_do_not_lead_to_one_port_of_one_machine() {
    let azure = Azure::start().await;
    built(&azure).await;
    let code = "RulesOfSameLoadBalancerTypeUseSameBackendPortProtocolAndIPConfig";
    azure.put(&child("inboundNatRules", "again"), &range(63033, 63033, 3389)).await.refused(400, code);
    let floating = with(&range(63033, 63033, 3389), "enableFloatingIP", json!(true));
    azure.made(&child("inboundNatRules", "again"), &floating).await;
    // From the interface's side.
    let old = azure.made(&child("inboundNatRules", "old"), &single(63044, 22)).await;
    let body = reconfigured(&azure, &nic(), "loadBalancerInboundNatRules", json!([{"id": old["id"]}])).await;
    azure.put(&nic(), &body).await.refused(400, code);
}

/// A document whose etags are left out, at every depth.
fn without_etags(mut shown: Value) -> Value {
    match &mut shown {
        Value::Object(members) => {
            members.remove("etag");
            members.values_mut().for_each(|inner| *inner = without_etags(inner.take()));
        }
        Value::Array(listed) => listed.iter_mut().for_each(|inner| *inner = without_etags(inner.take())),
        _ => {}
    }
    shown
}

#[tokio::test]
async fn what_the_service_adds_comes_back_and_changes_nothing() {
    let azure = Azure::start().await;
    let made = built(&azure).await;
    let pool = &made["properties"]["backendAddressPools"][0]["properties"];
    let address = &pool["loadBalancerBackendAddresses"][0]["properties"];
    assert!(address["networkInterfaceIPConfiguration"]["id"].as_str().unwrap().ends_with("/ipconfig1"));
    assert_eq!(address["inboundNatRulesPortMapping"][0]["frontendPort"], 63011);
    assert_eq!(pool["inboundNatRules"].as_array().unwrap().len(), 2);
    let again = azure.made(&balancer(), &made).await;
    assert_eq!(without_etags(again), without_etags(made.clone()));
    // Nor does what only the service says leave when a client leaves it out.
    let mut less = made.clone();
    less["properties"]["backendAddressPools"] = json!([{"name": "pool"}]);
    let again = azure.made(&balancer(), &less).await;
    assert_eq!(again["properties"]["backendAddressPools"][0]["properties"], *pool);
}

#[tokio::test]
async fn some_children_can_only_be_read() {
    let azure = Azure::start().await;
    built(&azure).await;
    let front = azure.get(&child("frontendIPConfigurations", "front")).await.ok(200).body;
    azure
        .put(&child("frontendIPConfigurations", "front"), &front)
        .await
        .refused(405, "HttpMethodNotSupported");
    azure.delete(&child("frontendIPConfigurations", "front")).await.refused(405, "HttpMethodNotSupported");
    for (collection, count) in
        [("frontendIPConfigurations", 1), ("probes", 0), ("loadBalancingRules", 0), ("outboundRules", 0)]
    {
        let listed = azure.get(&format!("{}/{collection}", balancer())).await.ok(200).body;
        assert_eq!(listed["value"].as_array().unwrap().len(), count, "{collection}");
    }
    let pool = azure.get(&child("backendAddressPools", "pool")).await.ok(200).body;
    azure.made(&child("backendAddressPools", "pool"), &pool).await;
    azure.made(&child("backendAddressPools", "more"), &json!({})).await;
    azure.settled(&azure.delete(&child("backendAddressPools", "more")).await.ok(202)).await;
    azure.get(&child("backendAddressPools", "more")).await.refused(404, "NotFound");
    azure.get(&child("backendAddressPools", "pool")).await.ok(200);
}
