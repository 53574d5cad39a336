//! The rights that the README asks for, and the role that is shipped, are enough for everything, and none of them is
//! idle.

use std::collections::BTreeSet;

use cnamed::sandbox::{AZURE_IDENTITY, LoggedRequest, RecordAtAzure, Service};
use futures::stream::{self, StreamExt};
use serde_json::{Value, json};

use crate::gateway::stage::{BALANCER, NIC, SUBNET, reference, with};
use crate::support::Cloud;

/// What a life asks for, and the sandbox gives to anybody who knows its address: an operation's state.
const UNGUARDED: [&str; 2] =
    ["Microsoft.Network/locations/operations/read", "Microsoft.Network/locations/operationResults/read"];

/// Needed for what this life does not meet: a record set that must be read again by itself, after a lost answer or a
/// lost race; an endpoint with an IPv6 address; an alias, of which Azure documents three actions, and the sandbox asks
/// for one; a frontend that a NAT rule refers to, which Azure has an action for, and the sandbox takes for a part of the
/// load balancer that is written anyway.
const ELSEWHERE: [&str; 8] = [
    "Microsoft.Network/loadBalancers/frontendIPConfigurations/join/action",
    "Microsoft.Network/dnszones/CNAME/read",
    "Microsoft.Network/dnszones/A/read",
    "Microsoft.Network/dnszones/AAAA/read",
    "Microsoft.Network/dnszones/AAAA/write",
    "Microsoft.Network/dnszones/AAAA/delete",
    "Microsoft.Network/publicIPAddresses/dnsAliases/read",
    "Microsoft.Network/publicIPAddresses/dnsAliases/delete",
];

/// What `cnamed doctor` asks for, which every other test of it needs too.
const ASKED_AFTER: [&str; 1] = ["Microsoft.Authorization/permissions/read"];

/// Asked for at the other end of a reference, or for a table within a query: no request names them.
const LINKED: [&str; 8] = [
    "Microsoft.Network/loadBalancers/backendAddressPools/join/action",
    "Microsoft.Network/loadBalancers/inboundNatRules/join/action",
    "Microsoft.Network/networkSecurityGroups/join/action",
    "Microsoft.Network/publicIPAddresses/join/action",
    "Microsoft.Network/virtualNetworks/subnets/join/action",
    "Microsoft.Network/publicIPAddresses/dnsAliases/write",
    "Microsoft.OperationalInsights/workspaces/query/SecurityEvent/read",
    "Microsoft.OperationalInsights/workspaces/query/Syslog/read",
];

fn file(path: &str) -> String {
    std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The actions of the shipped role.
pub(crate) fn role() -> Vec<String> {
    let role: Value = serde_json::from_str(&file("config/azure-role.json")).unwrap();
    assert!(
        role["IsCustom"] == true && role["AssignableScopes"].as_array().is_some_and(|all| all.len() == 1)
    );
    for none in ["NotActions", "DataActions", "NotDataActions"] {
        assert_eq!(role[none], json!([]), "{none}");
    }
    role["Actions"].as_array().unwrap().iter().map(|action| action.as_str().unwrap().to_owned()).collect()
}

/// The action that a request takes; none is asked for a DNS or Cloudflare request.
fn action(request: &LoggedRequest) -> Option<String> {
    let segments: Vec<&str> = request.path.split('/').filter(|segment| !segment.is_empty()).collect();
    let verb = match request.method.as_str() {
        "GET" => "read",
        "PUT" | "PATCH" => "write",
        "DELETE" => "delete",
        _ => "action",
    };
    match (request.service, segments.as_slice()) {
        (Service::LogAnalytics, _) => Some("Microsoft.OperationalInsights/workspaces/query/read".into()),
        (Service::Arm, ["subscriptions", _, "resourceGroups", _, "resources"]) => {
            Some(format!("Microsoft.Resources/subscriptions/resourceGroups/resources/{verb}"))
        }
        (Service::Arm, segments) => {
            let at = segments.iter().rposition(|segment| segment.eq_ignore_ascii_case("providers"))?;
            let (namespace, rest) = segments[at + 1..].split_first()?;
            // Types and names take turns.
            let types: Vec<&str> = rest.iter().copied().step_by(2).collect();
            Some(format!("{namespace}/{}/{verb}", types.join("/")))
        }
        _ => None,
    }
}

/// The names of the record follow in every mode; the machine stands behind another gateway, an internal one of its
/// owner's, as well.
async fn prepared() -> Cloud {
    let cloud = with(|options| options.syslog = true).await;
    cloud.replace("accounts = [\"azure\", \"cf\"]", "accounts = [\"azure\"]");
    cloud.replace("ttl = 30", "ttl = 1");
    for mode in ["address", "alias"] {
        cloud.append(&format!(
            "\n[[record]]\nname = \"{mode}.example.com\"\nendpoint = \"jump\"\naccounts = [\"azure\"]\nttl = 1\nmode = \"{mode}\"\n"
        ));
    }
    let control = cloud.sandbox.control();
    let inner = "loadBalancers/lb-inner";
    let front = reference(&format!("{inner}/frontendIPConfigurations/inner"));
    let body = json!({"location": "westeurope", "sku": {"name": "Standard"}, "properties": {
        "frontendIPConfigurations": [{"name": "inner", "properties": {"subnet": reference(SUBNET)}}],
        "inboundNatRules": [{"name": "console", "properties": {"frontendIPConfiguration": front,
            "frontendPort": 5986, "backendPort": 5986, "protocol": "Tcp"}}],
    }});
    control.put_resource(inner, &body).unwrap();
    let mut nic = control.show_resource(NIC).unwrap();
    nic["properties"]["ipConfigurations"][0]["properties"]["loadBalancerInboundNatRules"] =
        json!([reference(&format!("{inner}/inboundNatRules/console"))]);
    control.put_resource(NIC, &nic).unwrap();
    cloud
}

/// Everything that the configuration can ask for, with these rights and no others, as far as it goes well.
async fn lived_with(actions: &[String]) -> (bool, Vec<LoggedRequest>) {
    let cloud = prepared().await;
    let control = cloud.sandbox.control();
    let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
    control.grant(AZURE_IDENTITY.client_id, &actions, "/").unwrap();
    cloud.sandbox.forget_requests();
    let well = lives(&cloud).await;
    (well, cloud.requests())
}

async fn lives(cloud: &Cloud) -> bool {
    let control = cloud.sandbox.control();
    if cloud.run(&["sync", "--verify"]).await.code != 0 {
        return false;
    }
    let asked = cloud.run(&["threats"]).await;
    if asked.code != 0 || asked.out.contains("this identity may read the table") {
        return false;
    }
    // Somebody's hand in a record and in both rules.
    let mut edited = RecordAtAzure::new("jumpstation.example.com", "CNAME", "elsewhere.example.net");
    edited.ttl = 1;
    edited.metadata = [("managed-by", "cnamed"), ("owner", "demo")].map(|(k, v)| (k.into(), v.into())).into();
    control.set_record_azure(&edited).unwrap();
    let port = json!({"properties": {"backendPort": 5985}});
    control.edit_resource(&format!("{BALANCER}/inboundNatRules/cnamed_demo_rdp"), &port).unwrap();
    // One port and one name less, then none.
    cloud.configure(|text| {
        let (before, rest) = text.split_once("\n[[endpoint.nat_rule]]\nname = \"ssh\"").unwrap();
        format!("{before}\n{}", rest.split_once("\n\n").unwrap().1)
    });
    cloud.run(&["sync", "--verify"]).await.code == 0 && cloud.run(&["teardown", "--yes"]).await.code == 0
}

/// As Azure compares them.
fn folded<S: AsRef<str>>(actions: impl IntoIterator<Item = S>) -> BTreeSet<String> {
    actions.into_iter().map(|action| action.as_ref().to_ascii_lowercase()).collect()
}

/// What doctor holds against the grants is what the role grants, but for what it cannot ask after: a workspace is
/// known by another id than its resource's.
#[test]
fn doctor_asks_after_every_right_of_the_role() {
    use cnamed::model::permission::{
        ADDRESSES, ALIAS, FRONTEND, LOAD_BALANCER, LOCATIONS, NETWORK_INTERFACE, PERMISSIONS, PUBLIC_IP,
        RESULTS, SECURITY_GROUP, SUBNET, ZONE,
    };
    let lists: [&[&str]; 11] = [
        &PUBLIC_IP,
        &LOCATIONS,
        &RESULTS,
        &FRONTEND,
        &LOAD_BALANCER,
        &NETWORK_INTERFACE,
        &SECURITY_GROUP,
        &SUBNET,
        &ZONE,
        &ADDRESSES,
        &ALIAS,
    ];
    let asked = folded(lists.concat().into_iter().chain([PERMISSIONS]));
    let of_network = |action: &&String| action.starts_with("Microsoft.Network/") || *action == PERMISSIONS;
    assert_eq!(asked, folded(role().iter().filter(of_network)));
}

#[test]
fn the_readme_lists_what_the_role_grants() {
    let readme = file("README.md");
    let listed: Vec<&str> = readme.lines().filter(|line| line.starts_with("Microsoft.")).collect();
    assert_eq!(listed, role(), "in the same order");
    assert_eq!(folded(&listed).len(), listed.len(), "an action is listed twice");
}

#[tokio::test]
async fn the_role_is_enough_and_grants_exactly_what_is_asked_for() {
    let (well, log) = lived_with(&role()).await;
    let refused: Vec<_> = log.iter().filter(|request| request.status == Some(403)).collect();
    assert!(well && refused.is_empty(), "{refused:#?}");
    let asked = folded(log.iter().filter_map(action));
    let besides = folded(LINKED.iter().chain(&ELSEWHERE).chain(&ASKED_AFTER));
    let granted = folded(role());
    let needed: BTreeSet<String> = asked.union(&besides).cloned().collect();
    assert_eq!(granted.difference(&needed).collect::<Vec<_>>(), Vec::<&String>::new(), "granted in vain");
    assert_eq!(needed.difference(&granted).collect::<Vec<_>>(), Vec::<&String>::new(), "not granted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_right_of_the_role_is_idle() {
    let role = role();
    let without = |at: usize| {
        let mut fewer = role.clone();
        let left_out = fewer.remove(at);
        async move { (left_out, lived_with(&fewer).await.0) }
    };
    let met = |at: &usize| {
        let action = role[*at].as_str();
        ![&UNGUARDED[..], &ELSEWHERE, &ASKED_AFTER].concat().contains(&action)
    };
    let lives: Vec<_> =
        stream::iter((0..role.len()).filter(met)).map(without).buffer_unordered(AT_ONCE).collect().await;
    let idle: Vec<&String> = lives.iter().filter(|(_, well)| *well).map(|(action, _)| action).collect();
    assert!(idle.is_empty(), "nothing fails without {idle:?}");
}

/// Lives side by side, each in a cloud of its own; they mostly wait.
const AT_ONCE: usize = 6;
