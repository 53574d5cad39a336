//! The recursive resolver: it asks, remembers and forgets as the real ones do.

use std::net::SocketAddr;

use cnamed::sandbox::{DnsFault, NameServer};
use hickory_net::proto::op::{Message, ResponseCode};
use hickory_net::proto::rr::{RData, RecordType};
use serde_json::json;

use super::question::{ask, shown, values};
use crate::sandbox_cloudflare::client::Api;

fn resolver(api: &Api) -> SocketAddr {
    api.sandbox.addresses().recursive_dns.expect("it listens")
}

async fn resolved(api: &Api, name: &str, kind: RecordType) -> Message {
    let answer = ask(name, kind).recursively().at(resolver(api)).await;
    assert!(answer.metadata.recursion_available && answer.metadata.recursion_desired);
    assert!(!answer.metadata.authoritative, "a resolver has no authority of its own");
    answer
}

/// A second zone that only Cloudflare holds: no other provider is asked for it.
async fn alone() -> Api {
    let mut api = Api::start().await;
    api.zone = api.get("/zones?name=example.net").await.result()[0]["id"].as_str().expect("an id").to_owned();
    api
}

#[tokio::test]
async fn the_name_servers_of_the_providers_are_on_this_machine() {
    let api = Api::start().await;
    for host in
        ["cora.ns.cloudflare.com", "ns1-01.azure-dns.com", "ns2-01.azure-dns.net", "ns4-201.azure-dns.info"]
    {
        assert_eq!(
            values(&resolved(&api, host, RecordType::A).await, RecordType::A),
            ["127.0.0.1"],
            "{host}"
        );
    }
    assert_eq!(
        resolved(&api, "bob.ns.cloudflare.com", RecordType::A).await.metadata.response_code,
        ResponseCode::NXDomain
    );
}

#[tokio::test]
async fn a_chain_is_followed_and_each_part_keeps_its_own_ttl() {
    let api = alone().await;
    api.create(json!({ "type": "A", "name": "a.example.net", "content": "192.0.2.1", "ttl": 90 })).await;
    api.create(json!({ "type": "CNAME", "name": "b.example.net", "content": "a.example.net", "ttl": 60 }))
        .await;
    api.create(json!({ "type": "CNAME", "name": "c.example.net", "content": "b.example.net", "ttl": 30 }))
        .await;
    let answer = resolved(&api, "C.example.net", RecordType::A).await;
    assert_eq!(
        shown(&answer),
        [
            "C.example.net. 30 CNAME b.example.net.",
            "b.example.net. 60 CNAME a.example.net.",
            "a.example.net. 90 A 192.0.2.1"
        ]
    );
    api.create(json!({ "type": "CNAME", "name": "l.example.net", "content": "l2.example.net" })).await;
    api.create(json!({ "type": "CNAME", "name": "l2.example.net", "content": "l.example.net" })).await;
    assert_eq!(
        resolved(&api, "l.example.net", RecordType::A).await.metadata.response_code,
        ResponseCode::ServFail
    );
}

#[tokio::test]
async fn a_change_is_seen_when_the_memory_is_cleared_and_not_before() {
    let api = alone().await;
    let made =
        api.create(json!({ "type": "A", "name": "a.example.net", "content": "192.0.2.1", "ttl": 60 })).await;
    let seen = async || values(&resolved(&api, "a.example.net", RecordType::A).await, RecordType::A);
    assert_eq!(seen().await, ["192.0.2.1"]);
    api.records(
        "PATCH",
        &format!("/{}", made["id"].as_str().expect("an id")),
        json!({ "content": "192.0.2.2" }),
    )
    .await
    .result();
    assert_eq!(seen().await, ["192.0.2.1"]);
    api.sandbox.control().clear_cache();
    assert_eq!(seen().await, ["192.0.2.2"]);
}

#[tokio::test]
async fn an_absence_is_remembered_too_for_the_name_or_for_the_type() {
    let api = alone().await;
    let absent = resolved(&api, "a.example.net", RecordType::A).await;
    assert_eq!(absent.metadata.response_code, ResponseCode::NXDomain);
    let RData::SOA(soa) = &absent.authorities[0].data else { panic!("{absent}") };
    assert_eq!((soa.minimum, absent.authorities[0].ttl), (1_800, 1_800));
    api.create(json!({ "type": "A", "name": "a.example.net", "content": "192.0.2.1" })).await;
    for kind in [RecordType::A, RecordType::TXT] {
        let still = resolved(&api, "a.example.net", kind).await;
        assert_eq!(still.metadata.response_code, ResponseCode::NXDomain, "the whole name is absent: {kind}");
    }
    api.sandbox.control().clear_cache();
    let nodata = resolved(&api, "a.example.net", RecordType::TXT).await;
    assert_eq!((nodata.metadata.response_code, nodata.answers.len()), (ResponseCode::NoError, 0));
    assert_eq!(
        resolved(&api, "a.example.net", RecordType::A).await.answers.len(),
        1,
        "NODATA is of the type alone"
    );
}

#[tokio::test]
async fn without_recursion_only_what_is_remembered_is_given() {
    let api = alone().await;
    api.create(json!({ "type": "A", "name": "a.example.net", "content": "192.0.2.1" })).await;
    let question = ask("a.example.net", RecordType::A);
    let refused = question.at(resolver(&api)).await;
    assert_eq!((refused.metadata.response_code, refused.answers.len()), (ResponseCode::Refused, 0));
    resolved(&api, "a.example.net", RecordType::A).await;
    assert_eq!(question.at(resolver(&api)).await.answers.len(), 1);
}

#[tokio::test]
async fn a_server_that_fails_is_passed_over_and_when_all_do_so_does_the_resolver() {
    let api = alone().await;
    api.create(json!({ "type": "A", "name": "a.example.net", "content": "192.0.2.1" })).await;
    let control = api.sandbox.control();
    for fault in [DnsFault::Silent, DnsFault::ServFail, DnsFault::Refused] {
        control.clear_cache();
        control.clear_faults();
        control.dns_fault(NameServer::Cloudflare1, Some(fault));
        assert_eq!(resolved(&api, "a.example.net", RecordType::A).await.answers.len(), 1, "{fault:?}");
        control.clear_cache();
        control.dns_fault(NameServer::Cloudflare2, Some(fault));
        let failed = resolved(&api, "a.example.net", RecordType::A).await;
        assert_eq!(failed.metadata.response_code, ResponseCode::ServFail, "{fault:?}");
    }
    control.clear_faults();
    assert_eq!(
        resolved(&api, "a.example.net", RecordType::A).await.answers.len(),
        1,
        "a failure is not remembered"
    );
}

#[tokio::test]
async fn names_outside_the_sandbox_do_not_exist_but_those_above_its_zones_do() {
    let api = Api::start().await;
    for (name, code) in [
        ("www.example.org", ResponseCode::NXDomain),
        ("com", ResponseCode::NoError),
        ("azure.com", ResponseCode::NoError),
        ("cloudapp.azure.com", ResponseCode::NoError),
    ] {
        let answer = resolved(&api, name, RecordType::A).await;
        assert_eq!((answer.metadata.response_code, answer.answers.len()), (code, 0), "{name}");
    }
}

#[tokio::test]
async fn an_answer_too_large_for_udp_is_fetched_over_tcp() {
    let api = alone().await;
    for n in 0..40 {
        api.create(json!({ "type": "TXT", "name": "big.example.net", "content": format!("{n:0>60}") })).await;
    }
    let question = ask("big.example.net", RecordType::TXT).recursively();
    assert!(question.at(resolver(&api)).await.metadata.truncation);
    assert_eq!(question.over_tcp(resolver(&api)).await.answers.len(), 40);
}
