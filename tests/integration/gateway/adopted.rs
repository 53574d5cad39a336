//! What is there already and serves is used as it is, and stays when we go.

use cnamed::sandbox::Control;
use serde_json::{Value, json};

use super::stage::{
    BALANCER, GROUP, NIC, bare, crowded, nothing_written, reference, settled, standing, unchanged,
};
use crate::support::Cloud;

/// Names that caches forget at once, in one account.
fn brief(cloud: &Cloud) {
    cloud.replace("accounts = [\"azure\", \"cf\"]", "accounts = [\"azure\"]");
    cloud.replace("ttl = 30", "ttl = 1");
}

/// The rule for SSH is left out of the configuration.
fn rdp_only(cloud: &Cloud) {
    cloud.configure(|text| {
        let (before, rest) = text.split_once("\n[[endpoint.nat_rule]]\nname = \"ssh\"").unwrap();
        let (_, after) = rest.split_once("\n\n").unwrap();
        format!("{before}\n{after}")
    });
}

/// Everything of the guide, made by a person: rules of version 1, a group that lets the office in, names of their own.
pub(super) fn by_hand(control: &Control, version: u8) {
    let ip = json!({"location": "westeurope", "sku": {"name": "Standard"}, "tags": {"made-by": "hand"},
        "properties": {"publicIPAllocationMethod": "Static", "dnsSettings": {"domainNameLabel": "contoso-jump"}}});
    control.put_resource("publicIPAddresses/pip-jump", &ip).unwrap();
    let front = reference(&format!("{BALANCER}/frontendIPConfigurations/guide"));
    let pool = reference(&format!("{BALANCER}/backendAddressPools/machines"));
    let rule = |name: &str, frontend: u16, backend: u16| {
        let mut properties = json!({"frontendIPConfiguration": front, "backendPort": backend, "protocol": "Tcp",
            "enableTcpReset": true});
        if version == 1 {
            properties["frontendPort"] = json!(frontend);
        } else {
            properties["frontendPortRangeStart"] = json!(frontend);
            properties["frontendPortRangeEnd"] = json!(frontend);
            properties["backendAddressPool"] = pool.clone();
        }
        json!({"name": name, "properties": properties})
    };
    let body = json!({"location": "westeurope", "sku": {"name": "Standard"}, "tags": {"made-by": "hand"},
    "properties": {
        "frontendIPConfigurations":
            [{"name": "guide", "properties": {"publicIPAddress": reference("publicIPAddresses/pip-jump")}}],
        "backendAddressPools": [{"name": "machines"}],
        "inboundNatRules": [rule("desktop", 63011, 3389), rule("shell", 63022, 22)],
    }});
    control.put_resource(BALANCER, &body).unwrap();
    let admit = json!({"name": "office", "properties": {
        "priority": 1000, "direction": "Inbound", "access": "Allow", "protocol": "*", "sourcePortRange": "*",
        "sourceAddressPrefixes": ["203.0.112.0/22", "192.0.2.0/24"], "destinationAddressPrefix": "*",
        "destinationPortRanges": ["22", "3000-4000"],
    }});
    let group = json!({"location": "westeurope", "properties": {"securityRules": [admit]}});
    control.put_resource(GROUP, &group).unwrap();
    let mut nic = control.show_resource(NIC).unwrap();
    nic["properties"]["networkSecurityGroup"] = reference(GROUP);
    let configuration = &mut nic["properties"]["ipConfigurations"][0]["properties"];
    if version == 1 {
        configuration["loadBalancerInboundNatRules"] = json!([
            reference(&format!("{BALANCER}/inboundNatRules/desktop")),
            reference(&format!("{BALANCER}/inboundNatRules/shell")),
        ]);
    } else {
        configuration["loadBalancerBackendAddressPools"] = json!([pool]);
    }
    control.put_resource(NIC, &nic).unwrap();
}

/// What a teardown leaves is what the first sync found.
async fn torn_down(cloud: &Cloud, before: &[Value]) {
    cloud.run(&["teardown", "--yes"]).await.exits(0);
    unchanged(before, &standing(cloud), "torn down");
    cloud.sandbox.forget_requests();
    cloud.run(&["teardown", "--yes"]).await.exits(0);
    nothing_written(cloud);
}

#[tokio::test]
async fn a_bare_group_is_bare_again_after_teardown() {
    let cloud = bare().await;
    brief(&cloud);
    let before = standing(&cloud);
    cloud.run(&["sync", "--verify"]).await.exits(0);
    torn_down(&cloud, &before).await;
}

#[tokio::test]
async fn what_others_have_there_is_left_as_it_was() {
    let cloud = crowded().await;
    brief(&cloud);
    let before = standing(&cloud);
    cloud.run(&["sync", "--verify"]).await.exits(0);
    torn_down(&cloud, &before).await;
}

#[tokio::test]
async fn a_gateway_made_by_hand_is_used_as_it_is() {
    for version in [1, 2] {
        let cloud = bare().await;
        brief(&cloud);
        by_hand(&cloud.sandbox.control(), version);
        let before = standing(&cloud);
        let run = cloud.run(&["sync", "--verify"]).await.exits(0);
        unchanged(&before, &standing(&cloud), "used");
        let retires = "is of version 1, which Azure retires on 30 September 2027";
        assert_eq!(run.out.contains(retires), version == 1, "{}", run.out);
        let run = run.says("leads to 3389 of vm-jump-nic by desktop; greeted by RDP");
        run.says("leads to 22 of vm-jump-nic by shell; greeted by SSH");
        settled(&cloud).await;
        torn_down(&cloud, &before).await;
    }
}

/// Where a part of it does not serve, that part alone is added, and goes again.
#[tokio::test]
async fn what_does_not_serve_is_completed_and_not_replaced() {
    let cloud = bare().await;
    brief(&cloud);
    let control = cloud.sandbox.control();
    by_hand(&control, 1);
    let closed = json!({"properties": {"destinationPortRanges": ["22"]}});
    control.edit_resource(&format!("{GROUP}/securityRules/office"), &closed).unwrap();
    let before = standing(&cloud);
    let round = cloud.run(&["--format", "json", "sync", "--verify"]).await.exits(0).json();
    let changes: Vec<&str> =
        round["changes"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(changes, ["cnamed_demo_rdp", "jumpstation.example.com"], "{round:#}");
    assert!(control.show_resource(&format!("{GROUP}/securityRules/cnamed_demo_rdp")).is_some());
    settled(&cloud).await;
    torn_down(&cloud, &before).await;
}

/// A port that is taken out of the configuration is taken down, and no other.
#[tokio::test]
async fn a_rule_that_is_not_wanted_any_more_is_taken_down() {
    let cloud = crowded().await;
    rdp_only(&cloud);
    cloud.run(&["sync", "--verify"]).await.exits(0);
    let before = standing(&cloud);
    let all = cloud.folder.path().join("all.toml");
    let narrow = std::fs::read_to_string(&cloud.config).unwrap();
    let wide = cloud.sandbox.config(cloud.folder.path()).replace("[verify]", "[verify]\ntimeout = \"2s\"");
    std::fs::write(&all, &wide).unwrap();
    cloud.configure(|_| wide);
    cloud.run(&["sync", "--verify"]).await.exits(0).says("greeted by SSH");
    cloud.configure(|_| narrow);
    let run = cloud.run(&["sync", "--verify"]).await.exits(0);
    run.says("carries our mark, and the configuration does not name it");
    unchanged(&before, &standing(&cloud), "narrowed");
    settled(&cloud).await;
}

/// Somebody put something of theirs into what we made: that keeps it there.
#[tokio::test]
async fn what_others_put_into_ours_keeps_it_there() {
    let cloud = bare().await;
    brief(&cloud);
    cloud.run(&["sync", "--verify"]).await.exits(0);
    let control = cloud.sandbox.control();
    let theirs = json!({"properties": {"priority": 500, "direction": "Inbound", "access": "Allow", "protocol": "Tcp",
        "sourcePortRange": "*", "sourceAddressPrefix": "192.0.2.0/24", "destinationAddressPrefix": "*",
        "destinationPortRange": "443"}});
    control.put_resource(&format!("{GROUP}/securityRules/https"), &theirs).unwrap();
    let mut balancer = control.show_resource(BALANCER).unwrap();
    balancer["properties"]["backendAddressPools"].as_array_mut().unwrap().push(json!({"name": "theirs"}));
    control.put_resource(BALANCER, &balancer).unwrap();
    let run = cloud.run(&["teardown", "--yes"]).await.exits(0);
    // It is billed on, or serves somebody: whoever takes the rest down hears of it.
    run.says("stays: theirs is in it").says("stays: https is in it");
    let group = control.show_resource(GROUP).unwrap();
    let rules: Vec<&Value> =
        group["properties"]["securityRules"].as_array().unwrap().iter().map(|rule| &rule["name"]).collect();
    assert_eq!(rules, [&json!("https")]);
    assert_eq!(control.show_resource(NIC).unwrap()["properties"]["networkSecurityGroup"], reference(GROUP));
    let balancer = control.show_resource(BALANCER).unwrap();
    let pools: Vec<&Value> = balancer["properties"]["backendAddressPools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pool| &pool["name"])
        .collect();
    assert_eq!(pools, [&json!("theirs")]);
    assert_eq!(balancer["properties"]["frontendIPConfigurations"], json!([]));
    assert_eq!(control.public_ip("pip-jump"), None);
}

/// Somebody leads a port of theirs to our pool, or lets machines out by our frontend: nothing is taken down half-way.
#[tokio::test]
async fn what_others_lead_through_ours_stops_a_teardown_before_it_begins() {
    let front = || reference(&format!("{BALANCER}/frontendIPConfigurations/cnamed_demo_jump"));
    let pool = |name: &str| reference(&format!("{BALANCER}/backendAddressPools/{name}"));
    let balanced = json!({"name": "https", "properties": {"frontendIPConfiguration": front(),
        "backendAddressPool": pool("cnamed_demo_rdp"), "protocol": "Tcp", "frontendPort": 443, "backendPort": 443,
        "disableOutboundSnat": true}});
    let out = json!({"name": "out", "properties": {"frontendIPConfigurations": [front()],
        "backendAddressPool": pool("theirs"), "protocol": "All"}});
    for (collection, rule, told) in [
        (
            "loadBalancingRules",
            balanced,
            "The pool cnamed_demo_rdp of lb-jump is ours, and https, which is not, uses it",
        ),
        (
            "outboundRules",
            out,
            "The frontend cnamed_demo_jump of lb-jump is ours, and out, which is not, uses it",
        ),
    ] {
        let cloud = bare().await;
        brief(&cloud);
        cloud.run(&["sync"]).await.exits(0);
        let control = cloud.sandbox.control();
        let mut balancer = control.show_resource(BALANCER).unwrap();
        balancer["properties"]["backendAddressPools"].as_array_mut().unwrap().push(json!({"name": "theirs"}));
        balancer["properties"][collection] = json!([rule]);
        control.put_resource(BALANCER, &balancer).unwrap();
        let before = standing(&cloud);
        cloud.sandbox.forget_requests();
        cloud.run(&["teardown", "--yes"]).await.exits(4).says("in-use").says(told);
        nothing_written(&cloud);
        unchanged(&before, &standing(&cloud), "refused");
        if collection == "loadBalancingRules" {
            // Nor does the pool lose its machine when the file no longer names its rule.
            rdp_only(&cloud);
            cloud.replace("name = \"rdp\"", "name = \"desktop\"");
            cloud.run(&["sync"]).await.exits(0);
            let nic = control.show_resource(NIC).unwrap().to_string();
            assert!(nic.contains("/backendAddressPools/cnamed_demo_rdp\""), "{nic}");
        }
    }
}

/// Azure keeps the case that somebody typed a name in, and takes it for the same.
#[tokio::test]
async fn a_mark_is_one_in_whatever_case() {
    let cloud = bare().await;
    cloud.run(&["sync"]).await.exits(0);
    let stray = json!({"properties": {"priority": 500, "direction": "Inbound", "access": "Allow", "protocol": "Tcp",
        "sourcePortRange": "*", "sourceAddressPrefix": "192.0.2.0/24", "destinationAddressPrefix": "*",
        "destinationPortRange": "443"}});
    let control = cloud.sandbox.control();
    control.put_resource(&format!("{GROUP}/securityRules/CNAMED_Demo_old"), &stray).unwrap();
    cloud.run(&["sync"]).await.exits(0).says("carries our mark");
    assert!(control.show_resource(&format!("{GROUP}/securityRules/CNAMED_Demo_old")).is_none());
    settled(&cloud).await;
}
