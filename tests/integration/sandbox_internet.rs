//! The way in from the internet: open only while every link of it is right.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what a test takes for granted may break it"
)]

use std::net::IpAddr;
use std::time::Duration;

use cnamed::sandbox::{Action, Control, Fault, LegacyPublicIp, Service, Speaks};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::sandbox_azure::client::{Azure, network, public_ip, standard};
use super::sandbox_azure::gateway::{
    balancer, built, child, group, id, nic, range, reconfigured, second_nic, single,
};

/// What a client sees.
#[derive(Debug, PartialEq)]
enum Seen {
    Silence,
    Refused,
    Said(Vec<u8>),
}

/// Goes through the proxy to `target`, sends `hello`, and listens until something was said.
async fn visit(azure: &Azure, target: &[u8], port: u16, hello: &[u8]) -> Seen {
    let mut stream = TcpStream::connect(azure.sandbox.addresses().internet).await.unwrap();
    stream.write_all(&[5, 1, 0]).await.unwrap();
    let mut method = [0; 2];
    stream.read_exact(&mut method).await.unwrap();
    assert_eq!(method, [5, 0]);
    let mut request = vec![5, 1, 0];
    request.extend(target);
    request.extend(port.to_be_bytes());
    stream.write_all(&request).await.unwrap();
    let mut reply = [0; 10];
    // Silence can only be waited for; the proxy answers everything else at once.
    match tokio::time::timeout(PATIENCE, stream.read_exact(&mut reply)).await {
        Err(_) => return Seen::Silence,
        Ok(read) => assert_eq!(read.unwrap(), 10),
    }
    match reply[1] {
        0 => {}
        5 => return Seen::Refused,
        other => panic!("reply {other}"),
    }
    stream.write_all(hello).await.unwrap();
    let mut said = vec![0; 512];
    match tokio::time::timeout(PATIENCE, stream.read(&mut said)).await {
        Err(_) => Seen::Silence,
        Ok(read) => {
            said.truncate(read.unwrap());
            Seen::Said(said)
        }
    }
}

async fn to(azure: &Azure, port: u16) -> Seen {
    let shown = azure.sandbox.control().public_ip("pip-jump").unwrap();
    let address: IpAddr = shown["properties"]["ipAddress"].as_str().unwrap().parse().unwrap();
    let IpAddr::V4(address) = address else { panic!("{address}") };
    let mut target = vec![1];
    target.extend(address.octets());
    visit(azure, &target, port, CONNECTION_REQUEST).await
}

fn is_rdp(seen: &Seen) -> bool {
    matches!(seen, Seen::Said(said) if said.starts_with(&[3, 0, 0, 19, 14, 0xd0]))
}

fn is_ssh(seen: &Seen) -> bool {
    matches!(seen, Seen::Said(said) if said.starts_with(b"SSH-2.0-") && said.ends_with(b"\r\n"))
}

#[tokio::test]
async fn the_gateway_leads_to_both_services() {
    let azure = Azure::start().await;
    built(&azure).await;
    assert!(is_rdp(&to(&azure, 63011).await));
    assert!(is_ssh(&to(&azure, 63022).await));
    // The machine's own ports are nobody's on the load balancer.
    assert_eq!(to(&azure, 3389).await, Seen::Silence);
    // By the label, resolved on the other side.
    let name = b"contoso-jump.westeurope.cloudapp.azure.com";
    let mut target = vec![3, u8::try_from(name.len()).unwrap()];
    target.extend(name);
    assert!(is_rdp(&visit(&azure, &target, 63011, CONNECTION_REQUEST).await));
    assert_eq!(visit(&azure, &[1, 192, 0, 2, 1], 63011, b"").await, Seen::Silence);
}

/// Breaks one link by hand.
type Break = fn(&Control);

#[tokio::test]
async fn each_broken_link_closes_the_way() {
    let links: [(&str, Break); 9] = [
        ("the NAT rule is gone", |c| c.delete_resource("loadBalancers/lb-jump/inboundNatRules/rdp").unwrap()),
        ("the frontend port changed", |c| {
            let changes =
                json!({"properties": {"frontendPortRangeStart": 63012, "frontendPortRangeEnd": 63012}});
            c.edit_resource("loadBalancers/lb-jump/inboundNatRules/rdp", &changes).unwrap();
        }),
        ("the backend port changed, which the group does not let in", |c| {
            let changes = json!({"properties": {"backendPort": 3390}});
            c.edit_resource("loadBalancers/lb-jump/inboundNatRules/rdp", &changes).unwrap();
        }),
        ("the security rule is gone", |c| {
            c.delete_resource("networkSecurityGroups/nsg-mgmt/securityRules/rdp").unwrap();
        }),
        ("another rule denies first", |c| {
            let deny = json!({"properties": {"protocol": "*", "access": "Deny", "direction": "Inbound", "priority": 100,
                "sourceAddressPrefix": "Internet", "sourcePortRange": "*", "destinationAddressPrefix": "*",
                "destinationPortRange": "*"}});
            c.put_resource("networkSecurityGroups/nsg-mgmt/securityRules/closed", &deny).unwrap();
        }),
        ("the rule lets others in", |c| {
            let changes = json!({"properties": {"sourceAddressPrefix": "198.51.100.0/24"}});
            c.edit_resource("networkSecurityGroups/nsg-mgmt/securityRules/rdp", &changes).unwrap();
        }),
        ("no group is left", |c| {
            c.edit_resource(
                "networkInterfaces/vm-jump-nic",
                &json!({"properties": {"networkSecurityGroup": null}}),
            )
            .unwrap();
        }),
        ("the interface left the pool", |c| {
            let mut shown = c.show_resource("networkInterfaces/vm-jump-nic").unwrap();
            let configuration =
                shown["properties"]["ipConfigurations"][0]["properties"].as_object_mut().unwrap();
            configuration.remove("loadBalancerBackendAddressPools").unwrap();
            c.edit_resource("networkInterfaces/vm-jump-nic", &shown).unwrap();
        }),
        ("the machine is off", Control::deallocate_vm),
    ];
    // Each silence takes the whole patience, so the links are broken side by side.
    let broken = links.map(|(what, act)| async move {
        let azure = Azure::start().await;
        built(&azure).await;
        assert!(is_rdp(&to(&azure, 63011).await), "before: {what}");
        act(&azure.sandbox.control());
        assert_eq!(to(&azure, 63011).await, Seen::Silence, "{what}");
    });
    futures::future::join_all(broken).await;
}

#[tokio::test]
async fn the_frontend_that_points_elsewhere_leads_nowhere() {
    let azure = Azure::start().await;
    let mut whole = built(&azure).await;
    azure.made(&public_ip("pip-other"), &standard(None)).await;
    whole["properties"]["frontendIPConfigurations"][0]["properties"]["publicIPAddress"] =
        json!({"id": id(&public_ip("pip-other"))});
    azure.made(&balancer(), &whole).await;
    assert_eq!(to(&azure, 63011).await, Seen::Silence);
}

#[tokio::test]
async fn both_groups_must_let_it_in() {
    let azure = Azure::start().await;
    built(&azure).await;
    let closed = network("networkSecurityGroups", "nsg-subnet");
    azure.made(&closed, &json!({"location": "westeurope"})).await;
    let subnet = format!("{}/subnets/default", network("virtualNetworks", "vnet-mgmt"));
    let mut body = azure.get(&subnet).await.body;
    body["properties"]["networkSecurityGroup"] = json!({"id": id(&closed)});
    azure.made(&subnet, &body).await;
    assert_eq!(to(&azure, 63011).await, Seen::Silence);
    body["properties"]["networkSecurityGroup"] = json!({"id": id(&group())});
    azure.made(&subnet, &body).await;
    assert!(is_rdp(&to(&azure, 63011).await));
}

#[tokio::test]
async fn what_is_not_in_force_does_not_count() {
    let azure = Azure::start().await;
    built(&azure).await;
    let fails = Action::OperationFails {
        code: "InternalServerError".into(),
        message: "An error occurred.".into(),
        details: Vec::new(),
    };
    azure.sandbox.control().fault(Fault::on(Service::Arm, fails).method("PUT").path("/inboundNatRules/more"));
    let more = range(63033, 63033, 22);
    let floating = {
        let mut more = more;
        more["properties"]["enableFloatingIP"] = json!(true);
        more
    };
    let accepted = azure.put(&child("inboundNatRules", "more"), &floating).await.ok(201);
    azure.settled(&accepted).await;
    assert_eq!(to(&azure, 63033).await, Seen::Silence);
    assert!(is_rdp(&to(&azure, 63011).await), "what was there goes on");
    azure.made(&child("inboundNatRules", "more"), &floating).await;
    assert!(is_ssh(&to(&azure, 63033).await));
    azure.sandbox.control().operation_delay(Duration::from_secs(3600));
    azure.delete(&child("inboundNatRules", "rdp")).await.ok(202);
    assert!(is_rdp(&to(&azure, 63011).await), "it is not gone yet");
}

#[tokio::test]
async fn a_rule_of_version_one_leads_to_the_interface_that_refers_to_it() {
    let azure = Azure::start().await;
    built(&azure).await;
    azure.settled(&azure.delete(&child("inboundNatRules", "rdp")).await.ok(202)).await;
    let rule = azure.made(&child("inboundNatRules", "old"), &single(63011, 3389)).await;
    assert_eq!(to(&azure, 63011).await, Seen::Silence);
    let body = reconfigured(&azure, &nic(), "loadBalancerInboundNatRules", json!([{"id": rule["id"]}])).await;
    azure.made(&nic(), &body).await;
    assert!(is_rdp(&to(&azure, 63011).await));
}

#[tokio::test]
async fn each_member_has_a_port_of_its_own() {
    let azure = Azure::start().await;
    built(&azure).await;
    azure.made(&child("inboundNatRules", "rdp"), &range(63011, 63012, 3389)).await;
    azure.made(&child("inboundNatRules", "ssh"), &range(63022, 63023, 22)).await;
    azure.made(&network("networkInterfaces", "nic-two"), &second_nic(true)).await;
    assert!(is_rdp(&to(&azure, 63011).await));
    // No machine has that interface.
    assert_eq!(to(&azure, 63012).await, Seen::Silence);
}

#[tokio::test]
async fn a_machine_with_a_public_ip_needs_no_load_balancer() {
    let azure = Azure::start().await;
    let legacy = LegacyPublicIp { label: None, ..LegacyPublicIp::default() };
    azure.sandbox.control().create_legacy_public_ip(&legacy).unwrap();
    assert!(is_ssh(&to(&azure, 22).await), "Basic is open");
    assert_eq!(to(&azure, 80).await, Seen::Refused);
    azure.sandbox.control().delete_public_ip("pip-jump").unwrap();
    let ip = azure.made(&public_ip("pip-jump"), &standard(None)).await;
    let body = reconfigured(&azure, &nic(), "publicIPAddress", json!({"id": ip["id"]})).await;
    azure.made(&nic(), &body).await;
    assert_eq!(to(&azure, 22).await, Seen::Silence, "Standard is closed without a group");
}

#[tokio::test]
async fn what_listens_can_be_changed() {
    let azure = Azure::start().await;
    built(&azure).await;
    let control = azure.sandbox.control();
    control.service(3389, Speaks::Ssh);
    assert!(is_ssh(&to(&azure, 63011).await));
    control.service(3389, Speaks::Http);
    assert!(matches!(to(&azure, 63011).await, Seen::Said(said) if said.starts_with(b"HTTP/1.1 400 ")));
    control.service(3389, Speaks::Closed);
    assert_eq!(to(&azure, 63011).await, Seen::Refused);
    control.service(3389, Speaks::Nothing);
    assert_eq!(to(&azure, 63011).await, Seen::Silence);
    control.service(3389, Speaks::Rdp);
    control.client_address("198.51.100.7".parse().unwrap());
    assert_eq!(to(&azure, 63011).await, Seen::Silence);
}

#[tokio::test]
async fn rdp_answers_a_connection_request_and_no_nonsense() {
    let azure = Azure::start().await;
    built(&azure).await;
    let shown = azure.sandbox.control().public_ip("pip-jump").unwrap();
    let address: std::net::Ipv4Addr = shown["properties"]["ipAddress"].as_str().unwrap().parse().unwrap();
    let mut target = vec![1];
    target.extend(address.octets());
    let plain = visit(&azure, &target, 63011, &[3, 0, 0, 11, 6, 0xe0, 0, 0, 0, 0, 0]).await;
    assert_eq!(plain, Seen::Said(vec![3, 0, 0, 11, 6, 0xd0, 0, 0, 0x12, 0x34, 0]));
    for nonsense in
        [b"GET / HTTP/1.1\r\n\r\n".as_slice(), &[3, 0, 0, 11, 6, 0xd0, 0, 0, 0, 0, 0], &[3, 0, 0, 5, 0]]
    {
        assert_eq!(visit(&azure, &target, 63011, nonsense).await, Seen::Said(Vec::new()), "{nonsense:?}");
    }
}

#[tokio::test]
async fn the_configuration_has_the_gateway_when_asked() {
    let azure = Azure::with(cnamed::sandbox::Options { gateway: true, ..Default::default() }).await;
    let directory = tempfile::tempdir().unwrap();
    let config: toml::Table = azure.sandbox.config(directory.path()).parse().unwrap();
    let endpoint = &config["endpoint"][0];
    assert_eq!(endpoint["load_balancer"]["name"].as_str(), Some("lb-jump"));
    let ports: Vec<_> = endpoint["nat_rule"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| (rule["frontend_port"].as_integer().unwrap(), rule["backend_port"].as_integer().unwrap()))
        .collect();
    assert_eq!(ports, [(63011, 3389), (63022, 22)]);
    let proxy = format!("socks5://{}", azure.sandbox.addresses().internet);
    assert_eq!(config["verify"]["proxy"].as_str(), Some(proxy.as_str()));
    let facts: Value = json!(azure.sandbox.addresses());
    assert_eq!(facts["internet"], json!(azure.sandbox.addresses().internet.to_string()));
}

/// Long enough for an answer on a busy machine.
const PATIENCE: Duration = Duration::from_millis(1500);
/// X.224 with `RDP_NEG_REQ` for TLS and CredSSP (MS-RDPBCGR 2.2.1.1).
const CONNECTION_REQUEST: &[u8] = &[3, 0, 0, 19, 14, 0xe0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 3, 0, 0, 0];
