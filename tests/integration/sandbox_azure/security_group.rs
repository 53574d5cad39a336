//! Network security groups: which rules are taken, and where a group may be.

use serde_json::{Value, json};

use super::client::{Azure, network};
use super::gateway::{allow, group, guard, id};

fn with(changes: &Value) -> Value {
    let mut rule = allow(300, "3389");
    for (key, value) in changes.as_object().unwrap() {
        rule["properties"][key] = value.clone();
    }
    rule
}

#[tokio::test]
async fn rules_are_refused_in_azures_words() {
    let azure = Azure::start().await;
    azure.made(&group(), &json!({"location": "westeurope"})).await;
    let rule = format!("{}/securityRules/rdp", group());
    let prefix = "SecurityRuleInvalidAddressPrefix";
    let ports = "SecurityRuleInvalidPortRange";
    let exclusive = "SecurityRuleParametersAreMutuallyExclusive";
    let families = "ResourceCannotContainAddressPrefixesFromDifferentAddressFamilies";
    let tag = "SecurityRuleParameterContainsUnsupportedValue";
    let overlap = "OverlappingSubnetsNotPermittedInSecurityRule";
    let table: [(Value, &str); 23] = [
        (json!({"sourceAddressPrefix": "203.0.113.7/24"}), prefix),
        (json!({"sourceAddressPrefix": "203.0.113.0/33"}), prefix),
        (json!({"sourceAddressPrefix": "VIRTUAL_NETWORK"}), prefix),
        (json!({"sourceAddressPrefix": "office.example.com"}), prefix),
        (
            json!({"sourceAddressPrefix": null, "sourceAddressPrefixes": ["203.0.113.0/24", "nothing"]}),
            prefix,
        ),
        (json!({"destinationPortRange": "80,443"}), ports),
        (json!({"destinationPortRange": "65536"}), ports),
        (json!({"destinationPortRange": "90-80"}), ports),
        (json!({"destinationPortRange": "+80"}), ports),
        (
            json!({"destinationPortRange": null, "destinationPortRanges": ["22", "*"]}),
            "SecurityRuleParameterContainsInvalidPortRanges",
        ),
        (json!({"sourceAddressPrefixes": ["198.51.100.0/24"]}), exclusive),
        (json!({"destinationPortRanges": ["22"]}), exclusive),
        (
            json!({"sourceAddressPrefix": null, "sourceAddressPrefixes": ["198.51.100.0/24", "2001:db8::/32"]}),
            families,
        ),
        (json!({"destinationAddressPrefix": "2001:db8::/32"}), families),
        (json!({"sourceAddressPrefix": null, "sourceAddressPrefixes": ["Internet"]}), tag),
        (json!({"sourceAddressPrefix": null, "sourceAddressPrefixes": ["*"]}), tag),
        (
            json!({"sourceAddressPrefix": null, "sourceAddressPrefixes": ["203.0.113.0/24", "AzureCloud"]}),
            tag,
        ),
        (
            json!({"sourceAddressPrefix": null, "sourceAddressPrefixes": ["203.0.113.0/24", "203.0.113.7"]}),
            overlap,
        ),
        (
            json!({"sourceAddressPrefix": null, "sourceAddressPrefixes": ["203.0.113.7", "203.0.113.7/32"]}),
            overlap,
        ),
        (json!({"protocol": "Gre"}), "InvalidRequestFormat"),
        (json!({"access": "Maybe"}), "InvalidRequestFormat"),
        (json!({"priority": 4097}), "SecurityRuleInvalidPriority"),
        (json!({"sourceAddressPrefix": null}), "SecurityRuleParameterNotSpecified"),
    ];
    for (changes, code) in &table {
        let answer = azure.put(&rule, &with(changes)).await;
        assert_eq!((answer.status, answer.code()), (400, *code), "{changes}: {answer:?}");
    }
    for (n, changes) in [
        json!({"sourceAddressPrefix": "Internet"}),
        json!({"sourceAddressPrefix": "Storage.WestEurope", "protocol": "*"}),
        json!({"sourceAddressPrefix": "2001:db8::/32"}),
        json!({"sourceAddressPrefix": null, "sourceAddressPrefixes": ["198.51.100.0/24", "203.0.113.7"]}),
        json!({"destinationPortRange": null, "destinationPortRanges": ["22", "3389-3390"]}),
    ]
    .into_iter()
    .enumerate()
    {
        let mut rule = with(&changes);
        rule["properties"]["priority"] = json!(400 + n);
        azure.made(&format!("{}/securityRules/r{n}", group()), &rule).await;
    }
    let lower = azure.made(&rule, &with(&json!({"protocol": "TCP", "access": "allow"}))).await;
    assert_eq!(
        (&lower["properties"]["protocol"], &lower["properties"]["access"]),
        (&json!("Tcp"), &json!("Allow"))
    );
}

#[tokio::test]
async fn priorities_are_taken_in_each_direction() {
    let azure = Azure::start().await;
    guard(&azure).await;
    let path = |name: &str| format!("{}/securityRules/{name}", group());
    azure.put(&path("other"), &allow(300, "80")).await.refused(400, "SecurityRuleConflict");
    azure.made(&path("other"), &with(&json!({"direction": "Outbound"}))).await;
    azure.made(&path("rdp"), &with(&json!({"destinationPortRange": "3390"}))).await;
    let defaults = azure.get(&format!("{}/defaultSecurityRules", group())).await.ok(200).body;
    assert_eq!(defaults["value"].as_array().unwrap().len(), 6);
    let deny = azure.get(&format!("{}/defaultSecurityRules/DenyAllInBound", group())).await.ok(200).body;
    assert_eq!(deny["properties"]["priority"], 65500);
    azure
        .delete(&format!("{}/defaultSecurityRules/DenyAllInBound", group()))
        .await
        .refused(405, "HttpMethodNotSupported");
}

#[tokio::test]
async fn a_group_that_guards_something_stays() {
    let azure = Azure::start().await;
    azure.made(&group(), &json!({"location": "westeurope"})).await;
    let subnet = format!("{}/subnets/default", network("virtualNetworks", "vnet-mgmt"));
    let mut body = azure.get(&subnet).await.ok(200).body;
    assert!(body["properties"]["ipConfigurations"][0]["id"].as_str().unwrap().contains("vm-jump-nic"));
    body["properties"]["networkSecurityGroup"] = json!({"id": id(&group())});
    azure.made(&subnet, &body).await;
    let shown = azure.get(&group()).await.ok(200).body;
    assert_eq!(shown["properties"]["subnets"], json!([{"id": id(&subnet)}]));
    azure.delete(&group()).await.refused(400, "InUseNetworkSecurityGroupCannotBeDeleted");
    azure.delete(&subnet).await.refused(400, "InUseSubnetCannotBeDeleted");
    // A subnet's PUT says everything, too.
    body["properties"].as_object_mut().unwrap().remove("networkSecurityGroup");
    azure.made(&subnet, &body).await;
    azure.settled(&azure.delete(&group()).await.ok(202)).await;
}

#[tokio::test]
async fn subnets_lie_apart_within_their_network() {
    let azure = Azure::start().await;
    let subnet = |name: &str| format!("{}/subnets/{name}", network("virtualNetworks", "vnet-mgmt"));
    let body = |prefix: &str| json!({"properties": {"addressPrefix": prefix}});
    azure.put(&subnet("two"), &body("10.1.0.0/24")).await.refused(400, "NetcfgInvalidSubnet");
    azure.put(&subnet("two"), &body("10.0.0.128/25")).await.refused(400, "NetcfgSubnetRangesOverlap");
    azure.made(&subnet("two"), &body("10.0.1.0/24")).await;
    azure.put(&subnet("default"), &body("10.0.2.0/24")).await.refused(400, "InUsePrefixCannotBeDeleted");
    azure.settled(&azure.delete(&subnet("two")).await.ok(202)).await;
    // A network's PUT that leaves subnets out deletes them.
    let mut whole = azure.get(&network("virtualNetworks", "vnet-mgmt")).await.ok(200).body;
    whole["properties"]["subnets"] = json!([]);
    let refusal = azure.put(&network("virtualNetworks", "vnet-mgmt"), &whole).await;
    refusal.refused(400, "InUseSubnetCannotBeDeleted");
}
