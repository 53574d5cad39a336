//! Each action takes its own permission, and each reference that of what it refers to.

use cnamed::sandbox::AZURE_IDENTITY;
use serde_json::json;

use super::client::{Answer, Azure, public_ip};
use super::gateway::{allow, balancer, built, child, group, id, nic, range, reconfigured};

/// Lets the client do `actions` alone.
fn only(azure: &Azure, actions: &[&str]) {
    azure.sandbox.control().grant(AZURE_IDENTITY.client_id, actions, "/").unwrap();
}

#[track_caller]
fn lacks(answer: &Answer, code: &str, action: &str) {
    answer.refused(403, code);
    let wanted = format!("'{action}'").to_ascii_lowercase();
    assert!(answer.message().to_ascii_lowercase().contains(&wanted), "{}", answer.message());
}

#[tokio::test]
async fn children_are_written_with_their_own_permission() {
    let azure = Azure::start().await;
    built(&azure).await;
    let rule = child("inboundNatRules", "more");
    only(&azure, &["Microsoft.Network/loadBalancers/write", "*/read"]);
    let body = range(63033, 63033, 5986);
    lacks(
        &azure.put(&rule, &body).await,
        "AuthorizationFailed",
        "Microsoft.Network/loadBalancers/inboundNatRules/write",
    );
    only(&azure, &["Microsoft.Network/loadBalancers/inboundNatRules/write", "*/read"]);
    // What the load balancer refers to elsewhere is not this rule's affair.
    azure.made(&rule, &body).await;
    lacks(
        &azure.delete(&rule).await,
        "AuthorizationFailed",
        "Microsoft.Network/loadBalancers/inboundNatRules/delete",
    );
    let security = format!("{}/securityRules/more", group());
    let write = "Microsoft.Network/networkSecurityGroups/securityRules/write";
    lacks(&azure.put(&security, &allow(400, "5986")).await, "AuthorizationFailed", write);
    only(&azure, &[write, "*/read"]);
    azure.made(&security, &allow(400, "5986")).await;
    only(&azure, &["Microsoft.Network/loadBalancers/read"]);
    azure.get(&balancer()).await.ok(200);
    let read = "Microsoft.Network/loadBalancers/inboundNatRules/read";
    lacks(&azure.get(&rule).await, "AuthorizationFailed", read);
    let subnet =
        "/resourceGroups/rg-mgmt/providers/Microsoft.Network/virtualNetworks/vnet-mgmt/subnets/default";
    lacks(&azure.get(subnet).await, "AuthorizationFailed", "Microsoft.Network/virtualNetworks/subnets/read");
}

#[tokio::test]
async fn references_take_a_permission_at_the_other_end() {
    let azure = Azure::start().await;
    built(&azure).await;
    let mine = azure.get(&nic()).await.body;
    let steps = [
        ("Microsoft.Network/networkSecurityGroups/join/action", id(&group())),
        ("Microsoft.Network/virtualNetworks/subnets/join/action", String::new()),
        (
            "Microsoft.Network/loadBalancers/backendAddressPools/join/action",
            id(&child("backendAddressPools", "pool")),
        ),
    ];
    let mut held = vec!["Microsoft.Network/networkInterfaces/write", "*/read"];
    for (action, scope) in &steps {
        only(&azure, &held);
        let refusal = azure.put(&nic(), &mine).await;
        lacks(&refusal, "LinkedAuthorizationFailed", action);
        assert!(refusal.message().contains(scope), "{}", refusal.message());
        held.push(action);
    }
    only(&azure, &held);
    azure.made(&nic(), &mine).await;

    let whole = azure.get(&balancer()).await.body;
    only(&azure, &["Microsoft.Network/loadBalancers/write", "*/read"]);
    let join = "Microsoft.Network/publicIPAddresses/join/action";
    lacks(&azure.put(&balancer(), &whole).await, "LinkedAuthorizationFailed", join);
    only(&azure, &["Microsoft.Network/loadBalancers/write", join, "*/read"]);
    azure.made(&balancer(), &whole).await;
    azure.get(&public_ip("pip-jump")).await.ok(200);
}

#[tokio::test]
async fn a_subnet_joins_its_group() {
    let azure = Azure::start().await;
    built(&azure).await;
    let subnet =
        "/resourceGroups/rg-mgmt/providers/Microsoft.Network/virtualNetworks/vnet-mgmt/subnets/default";
    let mut body = azure.get(subnet).await.body;
    body["properties"]["networkSecurityGroup"] = json!({"id": id(&group())});
    only(&azure, &["Microsoft.Network/virtualNetworks/subnets/write", "*/read"]);
    let join = "Microsoft.Network/networkSecurityGroups/join/action";
    lacks(&azure.put(subnet, &body).await, "LinkedAuthorizationFailed", join);
}

#[tokio::test]
async fn the_mapping_is_an_action_of_its_own() {
    let azure = Azure::start().await;
    built(&azure).await;
    only(&azure, &["*/read"]);
    let path = format!("{}/queryInboundNatRulePortMapping", child("backendAddressPools", "pool"));
    let ask = || azure.ask("POST", &path).json(&json!({"ipAddress": "10.0.0.4"}));
    let action = "Microsoft.Network/loadBalancers/backendAddressPools/queryInboundNatRulePortMapping/action";
    lacks(&azure.send(ask()).await, "AuthorizationFailed", action);
    only(&azure, &[action]);
    azure.send(ask()).await.ok(202);
}

#[tokio::test]
async fn leaving_a_pool_takes_no_permission_there() {
    let azure = Azure::start().await;
    built(&azure).await;
    let without = reconfigured(&azure, &nic(), "loadBalancerBackendAddressPools", json!([])).await;
    only(
        &azure,
        &[
            "Microsoft.Network/networkInterfaces/write",
            "Microsoft.Network/networkSecurityGroups/join/action",
            "Microsoft.Network/virtualNetworks/subnets/join/action",
            "*/read",
        ],
    );
    azure.made(&nic(), &without).await;
}

#[tokio::test]
async fn what_is_granted_is_told_to_those_who_may_read_it() {
    let azure = Azure::start().await;
    let asked =
        |scope: &str| format!("{scope}/providers/Microsoft.Authorization/permissions?api-version=2022-04-01");
    let at = |group: &str| asked(&format!("/resourceGroups/{group}"));
    let told = azure.get(&at("rg-mgmt")).await.ok(200).body;
    assert_eq!(told["value"][0]["actions"], json!(["*"]));
    assert_eq!(told["value"][0]["notActions"], json!([]));
    azure.get(&at("rg-nowhere")).await.refused(404, "ResourceGroupNotFound");
    only(&azure, &["Microsoft.Network/publicIPAddresses/*"]);
    let read = "Microsoft.Authorization/permissions/read";
    lacks(&azure.get(&at("rg-mgmt")).await, "AuthorizationFailed", read);
    // A role below says nothing of what is above.
    let scope = format!("/subscriptions/{}/resourceGroups/rg-dns", AZURE_IDENTITY.subscription);
    azure.sandbox.control().grant(AZURE_IDENTITY.client_id, &["*/read"], &scope).unwrap();
    let zone = "/resourceGroups/rg-dns/providers/Microsoft.Network/dnszones/example.com";
    let told = azure.get(&asked(zone)).await.ok(200).body;
    assert_eq!(told["value"][0]["actions"], json!(["*/read"]));
    lacks(&azure.get(&asked("")).await, "AuthorizationFailed", read);
}

#[tokio::test]
async fn permissions_are_told_in_the_version_that_is_known() {
    let azure = Azure::start().await;
    let at = "/resourceGroups/rg-mgmt/providers/Microsoft.Authorization/permissions?api-version=";
    for version in ["2024-01-01", "2022-04-02", "2015-07-01"] {
        let refusal = azure.get(&format!("{at}{version}")).await;
        refusal.refused(404, "InvalidResourceType");
        assert!(refusal.message().contains(&format!("for api version '{version}'")), "{}", refusal.message());
        assert!(refusal.message().contains("'2022-04-01'"), "{}", refusal.message());
    }
    azure.get(&format!("{at}2022-04-01")).await.ok(200);
}
