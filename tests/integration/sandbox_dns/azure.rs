//! Azure DNS, the label zones, and what a resolver makes of a name that leads from one to the other.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use cnamed::sandbox::{Delegation, DnsFault, LegacyPublicIp, NameServer, Options, RecordAtAzure, Sandbox};
use hickory_net::proto::op::{Message, ResponseCode};
use hickory_net::proto::rr::RecordType;
use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::{DnsError, NetError};
use hickory_resolver::Resolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::question::{ask, assert_absent, shown, values};

async fn start() -> Sandbox {
    Sandbox::start(Options::default()).await.expect("loopback has free ports")
}

async fn at_azure(sandbox: &Sandbox, name: &str, kind: RecordType) -> Message {
    let servers = &sandbox.addresses().azure_dns;
    let (one, two) = (ask(name, kind).at(servers[0]).await, ask(name, kind).at(servers[1]).await);
    assert_eq!((&one.answers, &one.authorities), (&two.answers, &two.authorities), "both servers agree");
    one
}

async fn at_label(sandbox: &Sandbox, name: &str, kind: RecordType) -> Message {
    ask(name, kind).at(sandbox.addresses().label_dns.expect("it listens")).await
}

fn resolver(sandbox: &Sandbox) -> SocketAddr {
    sandbox.addresses().recursive_dns.expect("it listens")
}

async fn resolved(sandbox: &Sandbox, name: &str) -> Message {
    ask(name, RecordType::A).recursively().at(resolver(sandbox)).await
}

fn record(kind: &str, value: &str, ttl: u32) -> RecordAtAzure {
    let mut record = RecordAtAzure::new("jump.example.com", kind, value);
    record.ttl = ttl;
    record
}

#[tokio::test]
async fn azure_dns_serves_its_zones_and_refuses_the_others() {
    let sandbox = start().await;
    let ns = at_azure(&sandbox, "example.com", RecordType::NS).await;
    assert!(ns.metadata.authoritative);
    let expected =
        ["ns1-01.azure-dns.com.", "ns2-01.azure-dns.net.", "ns3-01.azure-dns.org.", "ns4-01.azure-dns.info."];
    assert_eq!(values(&ns, RecordType::NS), expected);
    let soa = shown(&at_azure(&sandbox, "example.com", RecordType::SOA).await);
    assert_eq!(
        soa,
        [
            "example.com. 3600 SOA ns1-01.azure-dns.com. azuredns-hostmaster.microsoft.com. 1 3600 300 2419200 300"
        ]
    );
    assert_eq!(
        values(&at_azure(&sandbox, "example.com", RecordType::MX).await, RecordType::MX),
        ["10 mail.example.com."]
    );
    assert_absent(
        &at_azure(&sandbox, "jump.example.com", RecordType::CNAME).await,
        ResponseCode::NXDomain,
        "example.com",
    );
    sandbox.control().set_record_azure(&record("CNAME", "x.example.net", 30)).expect("legal");
    let alias = at_azure(&sandbox, "JUMP.example.com", RecordType::A).await;
    assert_eq!(shown(&alias), ["JUMP.example.com. 30 CNAME x.example.net."]);
    assert_absent(
        &at_azure(&sandbox, "www.example.com", RecordType::AAAA).await,
        ResponseCode::NoError,
        "example.com",
    );
    let other = at_azure(&sandbox, "www.example.net", RecordType::A).await;
    assert_eq!(other.metadata.response_code, ResponseCode::Refused, "only Cloudflare holds that zone");
}

#[tokio::test]
async fn a_label_leads_to_its_address_while_there_is_one() {
    let sandbox = start().await;
    let control = sandbox.control();
    let name = "contoso-jump.westeurope.cloudapp.azure.com";
    let zone = "westeurope.cloudapp.azure.com";
    assert_absent(&at_label(&sandbox, name, RecordType::A).await, ResponseCode::NXDomain, zone);
    control.start_vm();
    control.create_legacy_public_ip(&LegacyPublicIp::default()).expect("the label is free");
    let first = at_label(&sandbox, name, RecordType::A).await;
    assert!(first.metadata.authoritative);
    let [line] = &shown(&first)[..] else { panic!("{first}") };
    assert!(line.starts_with(&format!("{name}. 10 A ")), "{line}");
    assert_absent(&at_label(&sandbox, name, RecordType::AAAA).await, ResponseCode::NoError, zone);

    control.deallocate_vm();
    assert_absent(&at_label(&sandbox, name, RecordType::A).await, ResponseCode::NoError, zone);
    control.start_vm();
    let second = values(&at_label(&sandbox, name, RecordType::A).await, RecordType::A);
    assert_eq!(second.len(), 1);
    assert_ne!(second, values(&first, RecordType::A), "another address after deallocation");

    control.delete_public_ip("pip-jump").expect("it exists");
    assert_absent(&at_label(&sandbox, name, RecordType::A).await, ResponseCode::NXDomain, zone);
    control.stranger_takes_label("contoso-jump").expect("it is free again");
    assert_eq!(at_label(&sandbox, name, RecordType::A).await.answers.len(), 1);

    for kind in [RecordType::SOA, RecordType::NS] {
        assert!(!at_label(&sandbox, zone, kind).await.answers.is_empty(), "{kind} at the region");
    }
    assert_eq!(
        at_label(&sandbox, "cloudapp.azure.com", RecordType::A).await.metadata.response_code,
        ResponseCode::Refused
    );
}

#[tokio::test]
async fn an_alias_set_follows_its_public_ip_and_is_empty_without_it() {
    let sandbox = start().await;
    let control = sandbox.control();
    control.start_vm();
    control.create_legacy_public_ip(&LegacyPublicIp::default()).expect("the label is free");
    let pip = control.public_ip("pip-jump").expect("it was made");
    let mut alias = RecordAtAzure::new("jump.example.com", "A", "");
    alias.values.clear();
    alias.target = pip["id"].as_str().map(str::to_owned);
    control.set_record_azure(&alias).expect("a public IP can be the target");
    let address = pip["properties"]["ipAddress"].as_str().expect("the VM runs").to_owned();
    assert_eq!(
        values(&at_azure(&sandbox, "jump.example.com", RecordType::A).await, RecordType::A),
        [address]
    );
    control.deallocate_vm();
    let empty = at_azure(&sandbox, "jump.example.com", RecordType::A).await;
    assert_absent(&empty, ResponseCode::NoError, "example.com");
}

#[tokio::test]
async fn a_resolver_follows_a_friendly_name_to_the_address_of_the_label() {
    let sandbox = start().await;
    let control = sandbox.control();
    control.start_vm();
    control.create_legacy_public_ip(&LegacyPublicIp::default()).expect("the label is free");
    let label = "contoso-jump.westeurope.cloudapp.azure.com";
    control.set_record_azure(&record("CNAME", label, 30)).expect("legal");
    let answer = resolved(&sandbox, "jump.example.com").await;
    let [alias, address] = &shown(&answer)[..] else { panic!("{answer}") };
    assert_eq!(alias, &format!("jump.example.com. 30 CNAME {label}."));
    assert!(address.starts_with(&format!("{label}. 10 A ")), "{address}");
}

#[tokio::test]
async fn a_flattened_apex_has_the_address_of_the_label_and_its_short_ttl() {
    let sandbox = start().await;
    let control = sandbox.control();
    control.start_vm();
    control.create_legacy_public_ip(&LegacyPublicIp::default()).expect("the label is free");
    let label = "contoso-jump.westeurope.cloudapp.azure.com";
    let body = json!({ "type": "CNAME", "name": "example.net", "content": label, "ttl": 60 });
    control.set_record_cloudflare(&body).expect("legal");
    let server = sandbox.addresses().cloudflare_dns[0];
    let flat = ask("example.net", RecordType::A).at(server).await;
    let address = values(&at_label(&sandbox, label, RecordType::A).await, RecordType::A);
    assert_eq!(shown(&flat), [format!("example.net. 10 A {}", address[0])]);
    control.deallocate_vm();
    assert_absent(&ask("example.net", RecordType::A).at(server).await, ResponseCode::NoError, "example.net");
}

#[tokio::test]
async fn an_ordinary_resolver_library_is_content_with_the_answers() {
    let sandbox = start().await;
    sandbox.control().set_record_azure(&record("CNAME", "www.example.com", 30)).expect("legal");
    let mut server = NameServerConfig::udp_and_tcp(resolver(&sandbox).ip());
    for connection in &mut server.connections {
        connection.port = resolver(&sandbox).port();
    }
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    let library =
        Resolver::builder_with_config(config, TokioRuntimeProvider::default()).build().expect("a resolver");
    let found = library.lookup_ip("jump.example.com.").await.expect("it exists");
    assert_eq!(found.iter().collect::<Vec<_>>(), ["192.0.2.80".parse::<IpAddr>().expect("an address")]);
    let absent = library.lookup_ip("nobody.example.com.").await.expect_err("it does not");
    let NetError::Dns(DnsError::NoRecordsFound(none)) = absent else { panic!("{absent}") };
    assert_eq!((none.response_code, none.negative_ttl), (ResponseCode::NXDomain, Some(300)));
}

#[tokio::test]
async fn of_two_providers_the_delegated_one_is_asked() {
    let sandbox = start().await;
    let control = sandbox.control();
    control.set_record_azure(&record("CNAME", "at-azure.example.net", 30)).expect("legal");
    let body = json!({ "type": "CNAME", "name": "jump.example.com", "content": "at-cloudflare.example.net", "ttl": 30 });
    control.set_record_cloudflare(&body).expect("legal");
    let first = |answer: &Message| answer.answers[0].data.to_string();
    for (delegation, expected) in [
        (Delegation::Both, "at-azure.example.net."),
        (Delegation::Cloudflare, "at-cloudflare.example.net."),
        (Delegation::Azure, "at-azure.example.net."),
    ] {
        control.delegate(delegation);
        control.clear_cache();
        assert_eq!(first(&resolved(&sandbox, "jump.example.com").await), expected, "{delegation:?}");
    }
    // Co-hosted, the other provider stands in; else it is not asked.
    for server in [NameServer::Azure1, NameServer::Azure2] {
        control.dns_fault(server, Some(DnsFault::ServFail));
    }
    control.clear_cache();
    assert_eq!(resolved(&sandbox, "jump.example.com").await.metadata.response_code, ResponseCode::ServFail);
    control.delegate(Delegation::Both);
    assert_eq!(first(&resolved(&sandbox, "jump.example.com").await), "at-cloudflare.example.net.");
}

#[tokio::test]
async fn a_remembered_answer_counts_down_and_ends_with_its_ttl() {
    let sandbox = start().await;
    let control = sandbox.control();
    control.set_record_azure(&record("A", "192.0.2.1", 3)).expect("legal");
    let asked = Instant::now();
    let first = resolved(&sandbox, "jump.example.com").await;
    assert_eq!(shown(&first), ["jump.example.com. 3 A 192.0.2.1"]);
    control.set_record_azure(&record("A", "192.0.2.2", 3)).expect("legal");
    let mut ttls = vec![3];
    let fresh = loop {
        let answer = resolved(&sandbox, "jump.example.com").await;
        let [only] = &answer.answers[..] else { panic!("{answer}") };
        if only.data.to_string() == "192.0.2.2" {
            break only.clone();
        }
        ttls.push(only.ttl);
        assert!(asked.elapsed() < Duration::from_secs(10), "{ttls:?}");
        sleep(Duration::from_millis(50)).await;
    };
    assert!(asked.elapsed() >= Duration::from_secs(3), "not before its time: {ttls:?}");
    assert!(ttls.is_sorted_by(|earlier, later| earlier >= later), "{ttls:?}");
    assert!(ttls.iter().any(|ttl| (1..3).contains(ttl)) && !ttls.contains(&0), "it counted: {ttls:?}");
    assert_eq!(fresh.ttl, 3, "a new answer, a new TTL");
}

#[tokio::test]
async fn a_stale_resolver_goes_on_with_what_it_remembers() {
    let sandbox = start().await;
    let control = sandbox.control();
    control.set_record_azure(&record("A", "192.0.2.1", 1)).expect("legal");
    let asked = Instant::now();
    resolved(&sandbox, "jump.example.com").await;
    control.dns_fault(NameServer::Recursive, Some(DnsFault::Stale));
    control.set_record_azure(&record("A", "192.0.2.2", 1)).expect("legal");
    // Until well past the TTL, and then with the TTL of stale data (RFC 8767, section 4).
    let line = loop {
        let [line] = &shown(&resolved(&sandbox, "jump.example.com").await)[..] else { panic!("one record") };
        assert!(line.ends_with("192.0.2.1"), "{line}");
        if asked.elapsed() > Duration::from_millis(1_200) {
            break line.clone();
        }
        sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(line, "jump.example.com. 30 A 192.0.2.1");
    control.dns_fault(NameServer::Recursive, None);
    assert_eq!(values(&resolved(&sandbox, "jump.example.com").await, RecordType::A), ["192.0.2.2"]);
}

#[tokio::test]
async fn stale_servers_of_azure_keep_records_and_labels_as_they_were() {
    let sandbox = start().await;
    let control = sandbox.control();
    let [one, two] = sandbox.addresses().azure_dns[..] else { panic!("two servers") };
    let name = "contoso-jump.westeurope.cloudapp.azure.com";
    control.start_vm();
    control.create_legacy_public_ip(&LegacyPublicIp::default()).expect("the label is free");
    control.set_record_azure(&record("A", "192.0.2.1", 30)).expect("legal");
    let before = values(&at_label(&sandbox, name, RecordType::A).await, RecordType::A);
    control.dns_fault(NameServer::Azure1, Some(DnsFault::Stale));
    control.dns_fault(NameServer::Label, Some(DnsFault::Stale));
    control.set_record_azure(&record("A", "192.0.2.2", 30)).expect("legal");
    control.recreate_public_ip("pip-jump").expect("it exists");
    let question = ask("jump.example.com", RecordType::A);
    assert_eq!(values(&question.at(one).await, RecordType::A), ["192.0.2.1"]);
    assert_eq!(values(&question.at(two).await, RecordType::A), ["192.0.2.2"]);
    assert_eq!(values(&at_label(&sandbox, name, RecordType::A).await, RecordType::A), before);
    control.clear_faults();
    assert_eq!(values(&question.at(one).await, RecordType::A), ["192.0.2.2"]);
    assert_ne!(values(&at_label(&sandbox, name, RecordType::A).await, RecordType::A), before);
}
