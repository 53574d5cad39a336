//! `queryInboundNatRulePortMapping`: which port leads to which member.

use serde_json::{Value, json};

use super::client::{Ask, Azure, network};
use super::gateway::{balancer, built, child, empty, id, join, nic, range, second_nic};

fn ask(azure: &Azure, pool: &str, body: &Value) -> Ask {
    let path = format!("{}/queryInboundNatRulePortMapping", child("backendAddressPools", pool));
    azure.ask("POST", &path).json(body)
}

/// The answer at the end of the operation.
async fn asked(azure: &Azure, body: &Value) -> Value {
    let accepted = azure.send(ask(azure, "pool", body)).await.ok(202);
    assert_eq!(azure.settled(&accepted).await["status"], "Succeeded");
    azure.follow(accepted.header("location").unwrap()).await.ok(200).body
}

#[tokio::test]
async fn a_member_is_asked_for_by_its_configuration_or_its_address() {
    let azure = Azure::start().await;
    built(&azure).await;
    let configuration =
        json!({"ipConfiguration": {"id": format!("{}/ipConfigurations/ipconfig1", id(&nic()))}});
    let wanted = json!({"inboundNatRulePortMappings": [
        {"inboundNatRuleName": "rdp", "protocol": "Tcp", "frontendPort": 63011, "backendPort": 3389},
        {"inboundNatRuleName": "ssh", "protocol": "Tcp", "frontendPort": 63022, "backendPort": 22},
    ]});
    assert_eq!(asked(&azure, &configuration).await, wanted);
    assert_eq!(asked(&azure, &json!({"ipAddress": "10.0.0.4"})).await, wanted);
    let none = json!({"inboundNatRulePortMappings": []});
    assert_eq!(asked(&azure, &json!({"ipAddress": "10.0.0.99"})).await, none);
    let code = "InvalidQueryInboundNatRulePortMappingRequest";
    azure.send(ask(&azure, "pool", &json!({}))).await.refused(400, code);
    azure.send(ask(&azure, "none", &json!({"ipAddress": "10.0.0.4"}))).await.refused(404, "NotFound");
    // It is a question, and nobody waits for it.
    azure.made(&balancer(), &azure.get(&balancer()).await.body).await;
}

#[tokio::test]
async fn members_keep_their_ports_when_others_leave() {
    let azure = Azure::start().await;
    empty(&azure).await;
    azure.made(&child("inboundNatRules", "rdp"), &range(50000, 50002, 3389)).await;
    let other = network("networkInterfaces", "a-first-nic");
    azure.made(&other, &second_nic(true)).await;
    join(&azure).await;
    let port = async |address: &str| {
        asked(&azure, &json!({"ipAddress": address})).await["inboundNatRulePortMappings"][0]["frontendPort"]
            .clone()
    };
    let address =
        azure.get(&other).await.body["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"]
            .as_str()
            .unwrap()
            .to_owned();
    assert_eq!((port(&address).await, port("10.0.0.4").await), (json!(50000), json!(50001)));
    azure.made(&other, &second_nic(false)).await;
    assert_eq!((port(&address).await, port("10.0.0.4").await), (Value::Null, json!(50001)));
    azure.made(&other, &second_nic(true)).await;
    assert_eq!((port(&address).await, port("10.0.0.4").await), (json!(50000), json!(50001)));
}
