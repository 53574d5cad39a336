//! What Azure would refuse half-way, or what would not lead anywhere, is told while planning, before the first write.

use cnamed::sandbox::{Control, LegacyPublicIp};
use serde_json::{Value, json};

use super::adopted::by_hand;
use super::stage::{
    BALANCER, GROUP, NIC, SUBNET, bare, crowded, nothing_written, put_address, reference, standing, unchanged,
};
use crate::support::Cloud;

/// The rule that it breaks, why, and what would allow it.
type Told = [&'static str; 3];

/// Refused by `plan` and by `sync`, with nothing written and nothing changed.
async fn refused(cloud: &Cloud, told: Told) {
    let before = standing(cloud);
    cloud.sandbox.forget_requests();
    let [rule, reason, remedy] = told;
    for command in ["plan", "sync"] {
        let run = cloud.run(&[command]).await.exits(4);
        run.says(rule).says(reason).says(remedy);
    }
    let round = cloud.run(&["--format", "json", "sync"]).await.exits(4).json();
    assert_eq!(round["outcome"], "refused", "{round:#}");
    let rules: Vec<&str> =
        round["refused"].as_array().unwrap().iter().map(|r| r["rule"].as_str().unwrap()).collect();
    assert!(rules.contains(&rule), "{round:#}");
    nothing_written(cloud);
    unchanged(&before, &standing(cloud), "refused");
}

/// `properties` of the machine's only configuration become so.
fn reconfigure(control: &Control, key: &str, value: Value) {
    let mut nic = control.show_resource(NIC).unwrap();
    nic["properties"]["ipConfigurations"][0]["properties"][key] = value;
    control.put_resource(NIC, &nic).unwrap();
}

/// A rule about RDP, from anywhere.
fn rule(priority: u16, access: &str) -> Value {
    json!({"properties": {"priority": priority, "direction": "Inbound", "access": access, "protocol": "Tcp",
        "sourcePortRange": "*", "sourceAddressPrefix": "*", "destinationAddressPrefix": "*",
        "destinationPortRange": "3389"}})
}

fn group(control: &Control, path: &str, rules: &[(&str, Value)]) {
    let named = |(name, rule): &(&str, Value)| json!({"name": name, "properties": rule["properties"]});
    let rules: Vec<Value> = rules.iter().map(named).collect();
    let body = json!({"location": "westeurope", "properties": {"securityRules": rules}});
    control.put_resource(path, &body).unwrap();
}

/// Another load balancer with a public IP, and the machine in its pool.
fn behind_another(control: &Control, sku: &str) {
    put_address(control, "pip-web", "web");
    if sku == "Basic" {
        control.delete_resource("publicIPAddresses/pip-web").unwrap();
        let legacy = LegacyPublicIp {
            name: "pip-web".into(),
            label: None,
            dynamic: false,
            attached: false,
            ..LegacyPublicIp::default()
        };
        control.create_legacy_public_ip(&legacy).unwrap();
    }
    let body = json!({"location": "westeurope", "sku": {"name": sku}, "properties": {
        "frontendIPConfigurations":
            [{"name": "web", "properties": {"publicIPAddress": reference("publicIPAddresses/pip-web")}}],
        "backendAddressPools": [{"name": "web"}],
    }});
    control.put_resource("loadBalancers/lb-web", &body).unwrap();
    reconfigure(
        control,
        "loadBalancerBackendAddressPools",
        json!([reference("loadBalancers/lb-web/backendAddressPools/web")]),
    );
}

#[tokio::test]
async fn a_basic_load_balancer() {
    let cloud = bare().await;
    let body = json!({"location": "westeurope", "sku": {"name": "Basic"}, "properties": {}});
    cloud.sandbox.control().put_resource(BALANCER, &body).unwrap();
    let told = [
        "sku",
        "lb-jump is Basic, and inbound NAT rules onto a pool need Standard",
        "upgrade lb-jump to Standard",
    ];
    refused(&cloud, told).await;
}

#[tokio::test]
async fn a_basic_public_ip() {
    let cloud = bare().await;
    let legacy = LegacyPublicIp { dynamic: false, attached: false, ..LegacyPublicIp::default() };
    cloud.sandbox.control().create_legacy_public_ip(&legacy).unwrap();
    let told = [
        "sku",
        "pip-jump is Basic, and a Standard load balancer takes a Standard public IP only",
        "upgrade pip-jump to Standard",
    ];
    refused(&cloud, told).await;
}

#[tokio::test]
async fn a_public_ip_that_something_else_uses() {
    let cloud = bare().await;
    let control = cloud.sandbox.control();
    by_hand(&control, 1);
    cloud.replace("name = \"lb-jump\"", "name = \"lb-other\"");
    refused(&cloud, ["in-use", "pip-jump stands in front of", "name another public_ip for jump"]).await;
}

#[tokio::test]
async fn a_port_that_leads_elsewhere() {
    let cloud = bare().await;
    let control = cloud.sandbox.control();
    by_hand(&control, 1);
    let elsewhere = json!({"properties": {"backendPort": 5985}});
    control.edit_resource(&format!("{BALANCER}/inboundNatRules/desktop"), &elsewhere).unwrap();
    let told = [
        "port",
        "TCP port 63011 of lb-jump leads elsewhere already, by desktop",
        "choose another frontend_port for rdp, or take desktop away",
    ];
    refused(&cloud, told).await;

    reconfigure(&control, "loadBalancerInboundNatRules", json!([]));
    let front = reference(&format!("{BALANCER}/frontendIPConfigurations/guide"));
    let pool = reference(&format!("{BALANCER}/backendAddressPools/machines"));
    let balanced = json!([{"name": "https", "properties": {"frontendIPConfiguration": front,
        "backendAddressPool": pool, "protocol": "Tcp", "frontendPort": 63022, "backendPort": 443}}]);
    let mut body = control.show_resource(BALANCER).unwrap();
    body["properties"]["inboundNatRules"] = json!([]);
    body["properties"]["loadBalancingRules"] = balanced;
    control.put_resource(BALANCER, &body).unwrap();
    let told = [
        "port",
        "TCP port 63022 of lb-jump leads elsewhere already, by https",
        "choose another frontend_port for ssh",
    ];
    refused(&cloud, told).await;
}

#[tokio::test]
async fn a_priority_that_is_taken() {
    let cloud = crowded().await;
    cloud.replace("name = \"rdp\"", "name = \"rdp\"\npriority = 200");
    let told =
        ["priority", "Priority 200 of nsg-mgmt is that of rule-000 already", "set priority = 106 for rdp"];
    refused(&cloud, told).await;
}

#[tokio::test]
async fn a_priority_that_comes_after_a_refusal() {
    let cloud = crowded().await;
    let control = cloud.sandbox.control();
    control.put_resource(&format!("{GROUP}/securityRules/no-rdp"), &rule(150, "Deny")).unwrap();
    cloud.replace("name = \"rdp\"", "name = \"rdp\"\npriority = 1000");
    let told = [
        "priority",
        "it would never be asked: no-rdp of nsg-mgmt denies it at 150",
        "set priority = 106 for rdp",
    ];
    refused(&cloud, told).await;
}

#[tokio::test]
async fn no_priority_before_a_refusal() {
    let cloud = bare().await;
    let control = cloud.sandbox.control();
    group(&control, GROUP, &[("no-rdp", rule(100, "Deny"))]);
    let told = ["priority", "no-rdp of nsg-mgmt denies it at priority 100", "take no-rdp away"];
    refused(&cloud, told).await;
}

#[tokio::test]
async fn a_machine_that_is_not_there() {
    let cloud = bare().await;
    cloud.replace("vm-jump-nic", "vm-other-nic");
    let told = ["missing", "The network interface vm-other-nic does not exist", "make the machine first"];
    refused(&cloud, told).await;
}

#[tokio::test]
async fn a_machine_in_another_region() {
    let cloud = bare().await;
    cloud.sandbox.control().edit_resource(NIC, &json!({"location": "northeurope"})).unwrap();
    let told = [
        "region",
        "vm-jump-nic is in northeurope, and the public IP in westeurope",
        "name one in westeurope",
    ];
    refused(&cloud, told).await;
}

#[tokio::test]
async fn a_machine_in_another_subscription() {
    let cloud = bare().await;
    let elsewhere = "/subscriptions/00000000-0000-4000-8000-00000000beef/resourceGroups/rg-mgmt/providers/Microsoft.Network/networkInterfaces/vm-jump-nic";
    cloud.replace("\"vm-jump-nic\"", &format!("\"{elsewhere}\""));
    let told = [
        "region",
        "vm-jump-nic is in the subscription 00000000-0000-4000-8000-00000000beef",
        "in the endpoint's subscription",
    ];
    refused(&cloud, told).await;
}

#[tokio::test]
async fn a_security_group_in_another_region() {
    let cloud = bare().await;
    let control = cloud.sandbox.control();
    group(&control, GROUP, &[]);
    control.edit_resource(GROUP, &json!({"location": "northeurope"})).unwrap();
    let told =
        ["region", "nsg-mgmt is in northeurope, and the public IP in westeurope", "name one in westeurope"];
    refused(&cloud, told).await;
}

#[tokio::test]
async fn a_machine_with_a_public_ip_of_its_own() {
    let cloud = bare().await;
    let control = cloud.sandbox.control();
    put_address(&control, "pip-own", "ops");
    reconfigure(&control, "publicIPAddress", reference("publicIPAddresses/pip-own"));
    let told =
        ["own-address", "vm-jump-nic has the public IP pip-own of its own", "take pip-own off vm-jump-nic"];
    refused(&cloud, told).await;
}

#[tokio::test]
async fn a_machine_behind_another_public_load_balancer() {
    for sku in ["Standard", "Basic"] {
        let cloud = bare().await;
        behind_another(&cloud.sandbox.control(), sku);
        let told = [
            "membership",
            "vm-jump-nic is behind the load balancer lb-web already",
            "take vm-jump-nic out of its pool",
        ];
        refused(&cloud, told).await;
    }
}

#[tokio::test]
async fn a_subnet_whose_own_group_keeps_out() {
    let cloud = bare().await;
    let control = cloud.sandbox.control();
    let subnets = "networkSecurityGroups/nsg-subnet";
    group(&control, subnets, &[("no-rdp", rule(300, "Deny"))]);
    let mut subnet = control.show_resource(SUBNET).unwrap();
    subnet["properties"]["networkSecurityGroup"] = reference(subnets);
    control.put_resource(SUBNET, &subnet).unwrap();
    let told = [
        "closed",
        "nsg-mgmt before vm-jump-nic would refuse everything else that nsg-subnet lets in",
        "set network_security_group = \"nsg-subnet\" for rdp",
    ];
    refused(&cloud, told).await;
    control.delete_resource(&format!("{subnets}/securityRules/no-rdp")).unwrap();
    // With the remedy, the rules go there, and the machine gets no group of its own.
    cloud.replace("nsg-mgmt", "nsg-subnet");
    cloud.run(&["sync", "--verify"]).await.exits(0);
    assert!(control.show_resource(GROUP).is_none());
    assert!(control.show_resource(NIC).unwrap()["properties"]["networkSecurityGroup"].is_null());
}

#[tokio::test]
async fn a_group_of_others_that_was_taken_off_the_machine() {
    let cloud = crowded().await;
    cloud.run(&["sync", "--verify"]).await.exits(0);
    let none = json!({"properties": {"networkSecurityGroup": null}});
    cloud.sandbox.control().edit_resource(NIC, &none).unwrap();
    let told = [
        "closed",
        "nsg-mgmt is not ours, and vm-jump-nic is not behind it",
        "put nsg-mgmt in front of the machine or its subnet",
    ];
    refused(&cloud, told).await;
}

#[tokio::test]
async fn a_machine_behind_another_group() {
    let cloud = bare().await;
    let control = cloud.sandbox.control();
    let other = "networkSecurityGroups/nsg-other";
    group(&control, other, &[]);
    control.edit_resource(NIC, &json!({"properties": {"networkSecurityGroup": reference(other)}})).unwrap();
    let told = [
        "closed",
        "vm-jump-nic is behind nsg-other, not behind nsg-mgmt",
        "set network_security_group = \"nsg-other\" for rdp",
    ];
    refused(&cloud, told).await;
    cloud.replace("nsg-mgmt", "nsg-other");
    cloud.run(&["sync", "--verify"]).await.exits(0);
}

#[tokio::test]
async fn the_whole_internet_without_a_yes() {
    let cloud = bare().await;
    cloud.replace("allow_from = [\"203.0.113.0/24\"]", "allow_from = [\"internet\"]");
    let told = [
        "internet",
        "Port 3389 would be open to the whole internet",
        "run `cnamed sync --allow internet --only jump`",
    ];
    refused(&cloud, told).await;
    cloud.sandbox.control().client_address([198, 51, 100, 7].into());
    cloud.run(&["sync", "--verify", "--allow", "internet"]).await.exits(0).says("greeted by RDP");
    // What was agreed to once is not asked again while it stands.
    cloud.run(&["sync", "--verify"]).await.exits(0).says("In sync");
}

#[tokio::test]
async fn networks_of_the_other_family() {
    let cloud = bare().await;
    cloud.replace("allow_from = [\"203.0.113.0/24\"]", "allow_from = [\"2001:db8::/32\"]");
    let told = [
        "family",
        "pip-jump is IPv4, and nobody in 2001:db8::/32 can come to it",
        "keep IPv4 networks only in allow_from of rdp",
    ];
    refused(&cloud, told).await;
}
