//! A cloud with one machine, and what others have put around it before we came.

use std::collections::BTreeSet;

use cnamed::sandbox::{AZURE_IDENTITY, Control, LoggedRequest, Options};
use serde_json::{Value, json};

use crate::support::Cloud;

pub(crate) const NIC: &str = "networkInterfaces/vm-jump-nic";
pub(crate) const BALANCER: &str = "loadBalancers/lb-jump";
pub(crate) const GROUP: &str = "networkSecurityGroups/nsg-mgmt";
pub(crate) const SUBNET: &str = "virtualNetworks/vnet-mgmt/subnets/default";

/// The whole id of a resource in the machine's group.
pub(crate) fn id(path: &str) -> String {
    let subscription = AZURE_IDENTITY.subscription;
    format!("/subscriptions/{subscription}/resourceGroups/rg-mgmt/providers/Microsoft.Network/{path}")
}

/// `{"id": …}` of a resource in the machine's group.
pub(crate) fn reference(path: &str) -> Value {
    json!({"id": id(path)})
}

/// A cloud whose configuration has the gateway, and nothing yet but the machine.
pub(crate) async fn bare() -> Cloud {
    with(|_| {}).await
}

/// [`bare`], with more options.
pub(crate) async fn with(options: impl FnOnce(&mut Options)) -> Cloud {
    let cloud = Cloud::with(|chosen| {
        chosen.gateway = true;
        options(chosen);
    });
    let cloud = cloud.await;
    cloud.replace("[verify]", "[verify]\ntimeout = \"2s\"");
    let control = cloud.sandbox.control();
    // What Azure fills in at the first write is there from the start.
    control.put_resource(NIC, &control.show_resource(NIC).unwrap()).unwrap();
    cloud
}

/// A cloud in which load balancer, security group and network interface are there, full of what is not ours.
pub(crate) async fn crowded() -> Cloud {
    crowded_by(200).await
}

/// [`crowded`], with so many security rules.
pub(crate) async fn crowded_by(rules: u32) -> Cloud {
    let cloud = bare().await;
    let control = cloud.sandbox.control();
    put_group(&control, rules);
    put_balancer(&control);
    put_interface(&control);
    put_address(&control, "pip-other", "ops");
    cloud
}

/// A public IP that nothing of ours uses.
pub(crate) fn put_address(control: &Control, name: &str, team: &str) {
    let ip = json!({"location": "westeurope", "sku": {"name": "Standard"}, "tags": {"team": team},
        "properties": {"publicIPAllocationMethod": "Static"}});
    control.put_resource(&format!("publicIPAddresses/{name}"), &ip).unwrap();
}

/// A security group of somebody else's with many rules, of which none is about our ports.
fn put_group(control: &Control, count: u32) {
    let rules = (0..count).map(|at| {
        let access = if at % 3 == 0 { "Deny" } else { "Allow" };
        let direction = if at % 2 == 0 { "Inbound" } else { "Outbound" };
        json!({"name": format!("rule-{at:03}"), "properties": {
            "description": format!("number {at} of the network team"),
            "priority": 200 + at, "direction": direction, "access": access, "protocol": "Tcp",
            "sourcePortRange": "*", "sourceAddressPrefixes": ["192.0.2.0/25", "198.51.100.0/24"],
            "destinationAddressPrefix": "*", "destinationPortRanges": [format!("{}", 10_000 + at), "8443"],
        }})
    });
    // The first priorities are taken, so that ours stand somewhere among the others.
    let first = (0..5_u32).map(|at| {
        json!({"name": format!("first-{at}"), "properties": {
            "priority": 100 + at, "direction": "Inbound", "access": "Allow", "protocol": "Udp",
            "sourcePortRange": "*", "sourceAddressPrefix": "AzureLoadBalancer",
            "destinationAddressPrefix": "10.0.0.0/24", "destinationPortRange": "161",
        }})
    });
    let rules: Vec<Value> = first.chain(rules).collect();
    let tags = json!({"team": "network", "cost-center": "4711"});
    let body = json!({"location": "westeurope", "tags": tags, "properties": {"securityRules": rules}});
    control.put_resource(GROUP, &body).unwrap();
}

/// A load balancer of somebody else's, with a frontend, a pool, rules and a probe of its own.
fn put_balancer(control: &Control) {
    put_address(control, "pip-web", "web");
    let front = reference(&format!("{BALANCER}/frontendIPConfigurations/web"));
    let pool = reference(&format!("{BALANCER}/backendAddressPools/web"));
    let probe = reference(&format!("{BALANCER}/probes/alive"));
    let body = json!({
        "location": "westeurope", "sku": {"name": "Standard"}, "tags": {"team": "web", "cost-center": "4712"},
        "properties": {
            "frontendIPConfigurations": [
                {"name": "web", "properties": {"publicIPAddress": reference("publicIPAddresses/pip-web")}},
            ],
            "backendAddressPools": [{"name": "web"}, {"name": "spare"}],
            "probes": [{"name": "alive", "properties": {
                "protocol": "Tcp", "port": 80, "intervalInSeconds": 15, "numberOfProbes": 2, "probeThreshold": 1,
            }}],
            "loadBalancingRules": [{"name": "http", "properties": {
                "frontendIPConfiguration": front, "backendAddressPool": pool, "probe": probe, "protocol": "Tcp",
                "frontendPort": 80, "backendPort": 80, "idleTimeoutInMinutes": 15, "disableOutboundSnat": true,
            }}],
            "outboundRules": [{"name": "out", "properties": {
                "frontendIPConfigurations": [front], "backendAddressPool": pool, "protocol": "All",
                "allocatedOutboundPorts": 1024,
            }}],
            "inboundNatRules": [{"name": "console", "properties": {
                "frontendIPConfiguration": front, "frontendPort": 5986, "backendPort": 5986, "protocol": "Tcp",
            }}],
        },
    });
    control.put_resource(BALANCER, &body).unwrap();
}

/// The machine's interface as its owner has set it up: in a pool and behind a rule of version 1, by its second
/// configuration.
fn put_interface(control: &Control) {
    let mut body = control.show_resource(NIC).unwrap();
    body["tags"] = json!({"team": "machines", "backup": "daily"});
    let properties = &mut body["properties"];
    properties["dnsSettings"] =
        json!({"dnsServers": ["10.0.0.10", "10.0.0.11"], "internalDnsNameLabel": "vm-jump"});
    properties["enableAcceleratedNetworking"] = json!(true);
    properties["enableIPForwarding"] = json!(true);
    properties["networkSecurityGroup"] = reference(GROUP);
    let second = json!({"name": "ipconfig2", "properties": {
        "privateIPAddress": "10.0.0.77", "privateIPAllocationMethod": "Static", "privateIPAddressVersion": "IPv4",
        "primary": false, "subnet": reference(SUBNET),
        "loadBalancerBackendAddressPools": [reference(&format!("{BALANCER}/backendAddressPools/spare"))],
        "loadBalancerInboundNatRules": [reference(&format!("{BALANCER}/inboundNatRules/console"))],
    }});
    properties["ipConfigurations"].as_array_mut().unwrap().push(second);
    control.put_resource(NIC, &body).unwrap();
}

/// Everything there is, without what changes with every write.
pub(crate) fn standing(cloud: &Cloud) -> Vec<Value> {
    let mut all = cloud.sandbox.control().resources();
    all.iter_mut().for_each(|resource| forget(resource, &|_| false));
    all
}

/// [`standing`], without what carries the mark of `demo`, and without what refers to that.
pub(crate) fn foreign(cloud: &Cloud) -> Vec<Value> {
    let mut all = cloud.sandbox.control().resources();
    let marked = |resource: &Value| resource["tags"]["managed-by"] == "cnamed";
    let made: Vec<String> = all
        .iter()
        .filter(|one| marked(one))
        .map(|one| one["id"].as_str().unwrap().to_ascii_lowercase())
        .collect();
    let ours = |value: &Value| {
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_ascii_lowercase();
        let id = text("id");
        text("name").starts_with("cnamed_demo_")
            || id.contains("/cnamed_demo_")
            || made.iter().any(|made| {
                id.strip_prefix(made).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
    };
    all.retain(|resource| !marked(resource));
    all.iter_mut().for_each(|resource| forget(resource, &ours));
    all
}

/// Takes out of `value` what a write changes by itself, and the entries that are `ours`; a list that held nothing else
/// goes as well, since Azure shows an empty one like none.
fn forget(value: &mut Value, ours: &dyn Fn(&Value) -> bool) {
    match value {
        Value::Object(members) => {
            for passing in ["etag", "provisioningState"] {
                members.remove(passing);
            }
            members.retain(|_, value| {
                let held = value.as_array().is_some_and(|entries| !entries.is_empty());
                forget(value, ours);
                !(ours(value) || held && *value == json!([]))
            });
        }
        Value::Array(entries) => {
            entries.retain(|entry| !ours(entry));
            entries.iter_mut().for_each(|value| forget(value, ours));
            // What is made anew comes last, and in a list of names the order says nothing.
            if entries.iter().all(|entry| entry["id"].is_string()) {
                entries.sort_by_key(|entry| entry["id"].as_str().unwrap().to_owned());
            }
        }
        _ => {}
    }
}

/// Fails with the places that differ, and no more.
#[track_caller]
pub(crate) fn unchanged(before: &[Value], after: &[Value], when: &str) {
    let mut differences = Vec::new();
    compare("", &json!(before), &json!(after), &mut differences);
    assert!(differences.is_empty(), "{when}:\n{}", differences.join("\n"));
}

fn compare(at: &str, before: &Value, after: &Value, differences: &mut Vec<String>) {
    let named = |value: &Value, index: usize| {
        let name = value.get("id").or_else(|| value.get("name")).and_then(Value::as_str);
        name.map_or_else(|| index.to_string(), str::to_owned)
    };
    match (before, after) {
        (Value::Object(one), Value::Object(other)) => {
            let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            for key in keys {
                let (one, other) = (&before[key.as_str()], &after[key.as_str()]);
                compare(&format!("{at}.{key}"), one, other, differences);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                compare(&format!("{at}[{}]", named(one, index)), one, other, differences);
            }
        }
        _ if before != after => differences.push(format!("{at}: {before} became {after}")),
        _ => {}
    }
}

/// The requests that change something. Azure is asked for its port mapping by POST, which changes nothing.
pub(crate) fn writes(cloud: &Cloud) -> Vec<LoggedRequest> {
    let asked = |request: &LoggedRequest| request.path.ends_with("/queryInboundNatRulePortMapping");
    cloud.writes().into_iter().filter(|request| !asked(request)).collect()
}

#[track_caller]
pub(crate) fn nothing_written(cloud: &Cloud) {
    assert!(writes(cloud).is_empty(), "{:#?}", writes(cloud));
}

/// A second sync must find nothing to do, and every port must greet.
pub(crate) async fn settled(cloud: &Cloud) {
    cloud.sandbox.forget_requests();
    cloud.run(&["sync", "--verify"]).await.exits(0).says("In sync");
    nothing_written(cloud);
}
