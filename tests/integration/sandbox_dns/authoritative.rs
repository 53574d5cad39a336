//! Authoritative servers: what they answer, and with which flags.

use hickory_net::proto::op::{Message, ResponseCode};
use hickory_net::proto::rr::RecordType;
use serde_json::json;

use super::question::{Question, ask, assert_absent, lines, shown, values};
use crate::sandbox_cloudflare::client::Api;

async fn answer(api: &Api, question: Question) -> Message {
    let servers = &api.sandbox.addresses().cloudflare_dns;
    let (one, two) = (question.at(servers[0]).await, question.at(servers[1]).await);
    assert_eq!((&one.answers, &one.authorities), (&two.answers, &two.authorities), "both servers agree");
    assert!(!one.metadata.recursion_available);
    one
}

#[tokio::test]
async fn the_apex_has_a_soa_and_the_servers_of_the_provider() {
    let api = Api::start().await;
    let soa = answer(&api, ask("example.com", RecordType::SOA)).await;
    assert!(soa.metadata.authoritative);
    let [line] = &shown(&soa)[..] else { panic!("{soa}") };
    assert!(line.starts_with("example.com. 3600 SOA cora.ns.cloudflare.com. dns.cloudflare.com. "), "{line}");
    assert!(line.ends_with(" 10000 2400 604800 1800"), "{line}");
    let ns = answer(&api, ask("example.com", RecordType::NS)).await;
    assert_eq!(values(&ns, RecordType::NS), ["cora.ns.cloudflare.com.", "hank.ns.cloudflare.com."]);
    assert_eq!(ns.answers[0].ttl, 86_400);
    assert!(ns.additionals.is_empty(), "no glue");
    // Every change of a record raises the serial.
    api.create(json!({ "type": "A", "name": "a.example.com", "content": "192.0.2.1" })).await;
    assert_ne!(answer(&api, ask("example.com", RecordType::SOA)).await.answers, soa.answers);
}

#[tokio::test]
async fn a_record_is_published_at_once_with_its_ttl_and_withdrawn_at_once() {
    let api = Api::start().await;
    let question = || ask("a.example.com", RecordType::A);
    assert_absent(&answer(&api, question()).await, ResponseCode::NXDomain, "example.com");
    let made =
        api.create(json!({ "type": "A", "name": "a.example.com", "content": "192.0.2.1", "ttl": 77 })).await;
    api.create(json!({ "type": "A", "name": "a.example.com", "content": "192.0.2.2", "ttl": 77 })).await;
    let found = answer(&api, question()).await;
    assert_eq!(shown(&found), ["a.example.com. 77 A 192.0.2.1", "a.example.com. 77 A 192.0.2.2"]);
    assert!(found.metadata.authoritative);
    let rest = format!("/{}", made["id"].as_str().expect("an id"));
    api.records("PATCH", &rest, json!({ "ttl": 1 })).await.result();
    assert_eq!(
        shown(&answer(&api, question()).await)[0],
        "a.example.com. 300 A 192.0.2.1",
        "automatic is 300"
    );
    api.records("DELETE", &rest, json!(null)).await.result();
    assert_eq!(values(&answer(&api, question()).await, RecordType::A), ["192.0.2.2"]);
}

#[tokio::test]
async fn what_is_absent_is_told_apart_as_nxdomain_and_nodata() {
    let api = Api::start().await;
    api.create(json!({ "type": "A", "name": "deep.below.example.com", "content": "192.0.2.1" })).await;
    for (name, kind, code) in [
        ("nobody.example.com", RecordType::A, ResponseCode::NXDomain),
        ("www.example.com", RecordType::AAAA, ResponseCode::NoError),
        // RFC 8020: a name with something below it exists.
        ("below.example.com", RecordType::A, ResponseCode::NoError),
        ("deeper.deep.below.example.com", RecordType::A, ResponseCode::NXDomain),
    ] {
        assert_absent(&answer(&api, ask(name, kind)).await, code, "example.com");
    }
    let outside = answer(&api, ask("www.example.org", RecordType::A)).await;
    assert_eq!(outside.metadata.response_code, ResponseCode::Refused);
    assert!(!outside.metadata.authoritative && outside.answers.is_empty() && outside.authorities.is_empty());
}

#[tokio::test]
async fn names_are_compared_without_case_and_come_back_as_they_were_asked() {
    let api = Api::start().await;
    let found = answer(&api, ask("wWw.eXample.COM", RecordType::A)).await;
    assert_eq!(found.answers[0].name.to_ascii(), "wWw.eXample.COM.");
    assert_eq!(values(&found, RecordType::A), ["192.0.2.80"]);
}

#[tokio::test]
async fn an_alias_is_followed_inside_its_own_servers_alone() {
    let api = Api::start().await;
    api.create(json!({ "type": "CNAME", "name": "in.example.com", "content": "www.example.com", "ttl": 60 }))
        .await;
    api.create(json!({ "type": "CNAME", "name": "out.example.com", "content": "x.westeurope.cloudapp.azure.com", "ttl": 60 })).await;
    api.create(
        json!({ "type": "CNAME", "name": "gone.example.com", "content": "nobody.example.com", "ttl": 60 }),
    )
    .await;
    api.create(json!({ "type": "CNAME", "name": "a.example.com", "content": "b.example.com", "ttl": 60 }))
        .await;
    api.create(json!({ "type": "CNAME", "name": "b.example.com", "content": "a.example.com", "ttl": 60 }))
        .await;
    let inside = answer(&api, ask("in.example.com", RecordType::A)).await;
    assert_eq!(
        shown(&inside),
        ["in.example.com. 60 CNAME www.example.com.", "www.example.com. 300 A 192.0.2.80"]
    );
    let outside = answer(&api, ask("out.example.com", RecordType::A)).await;
    assert_eq!(shown(&outside), ["out.example.com. 60 CNAME x.westeurope.cloudapp.azure.com."]);
    assert_eq!((outside.metadata.response_code, outside.authorities.len()), (ResponseCode::NoError, 0));
    let alone = answer(&api, ask("in.example.com", RecordType::CNAME)).await;
    assert_eq!(shown(&alone), ["in.example.com. 60 CNAME www.example.com."]);
    let gone = answer(&api, ask("gone.example.com", RecordType::A)).await;
    assert_eq!(gone.metadata.response_code, ResponseCode::NXDomain, "RFC 6604, section 3");
    assert_eq!(shown(&gone), ["gone.example.com. 60 CNAME nobody.example.com."]);
    // A loop is answered, not followed for ever.
    assert!(answer(&api, ask("a.example.com", RecordType::A)).await.answers.len() >= 2);
}

#[tokio::test]
async fn a_proxied_name_shows_the_addresses_of_the_provider_and_hides_its_own() {
    let api = Api::start().await;
    let made = api
        .create(json!({ "type": "CNAME", "name": "p.example.com", "content": "x.example.net", "ttl": 60 }))
        .await;
    let question = |kind| ask("p.example.com", kind);
    assert_eq!(
        shown(&answer(&api, question(RecordType::A)).await)[0],
        "p.example.com. 60 CNAME x.example.net."
    );
    api.sandbox.control().proxy("p.example.com", true).expect("it can be proxied");
    let v4 = answer(&api, question(RecordType::A)).await;
    assert_eq!(values(&v4, RecordType::A), ["104.21.48.10", "172.67.160.20"]);
    assert!(v4.answers.iter().all(|record| record.ttl == 300 && record.record_type() == RecordType::A));
    assert_eq!(values(&answer(&api, question(RecordType::AAAA)).await, RecordType::AAAA).len(), 2);
    assert_absent(&answer(&api, question(RecordType::CNAME)).await, ResponseCode::NoError, "example.com");
    let rest = format!("/{}", made["id"].as_str().expect("an id"));
    assert_eq!(api.records("GET", &rest, json!(null)).await.result()["ttl"], 1, "the API shows automatic");
    api.sandbox.control().proxy("p.example.com", false).expect("and back");
    assert_eq!(answer(&api, question(RecordType::CNAME)).await.answers.len(), 1);
}

#[tokio::test]
async fn a_cname_at_the_apex_is_flattened_to_addresses() {
    let mut api = Api::start().await;
    let other =
        api.get("/zones?name=example.net").await.result()[0]["id"].as_str().expect("an id").to_owned();
    api.create(json!({ "type": "A", "name": "target.example.com", "content": "192.0.2.7", "ttl": 40 })).await;
    api.create(json!({ "type": "CNAME", "name": "flat.example.com", "content": "target.example.com", "ttl": 60, "settings": { "flatten_cname": true } })).await;
    api.zone = other;
    api.create(json!({ "type": "CNAME", "name": "@", "content": "target.example.com", "ttl": 60 })).await;
    for name in ["example.net", "flat.example.com"] {
        let flat = answer(&api, ask(name, RecordType::A)).await;
        assert_eq!(shown(&flat), [format!("{name}. 40 A 192.0.2.7")], "the smaller TTL of the two");
        assert!(flat.metadata.authoritative);
        assert_absent(
            &answer(&api, ask(name, RecordType::CNAME)).await,
            ResponseCode::NoError,
            if name == "example.net" { name } else { "example.com" },
        );
    }
    assert_absent(
        &answer(&api, ask("example.net", RecordType::AAAA)).await,
        ResponseCode::NoError,
        "example.net",
    );
    assert_eq!(answer(&api, ask("example.net", RecordType::SOA)).await.answers.len(), 1);
}

#[tokio::test]
async fn a_wildcard_answers_for_names_that_do_not_exist() {
    let api = Api::start().await;
    api.create(json!({ "type": "A", "name": "*.w.example.com", "content": "192.0.2.3", "ttl": 60 })).await;
    api.create(json!({ "type": "TXT", "name": "here.w.example.com", "content": "text", "ttl": 60 })).await;
    let found = answer(&api, ask("any.w.example.com", RecordType::A)).await;
    assert_eq!(shown(&found), ["any.w.example.com. 60 A 192.0.2.3"]);
    assert_absent(
        &answer(&api, ask("here.w.example.com", RecordType::A)).await,
        ResponseCode::NoError,
        "example.com",
    );
    assert_absent(
        &answer(&api, ask("any.below.here.w.example.com", RecordType::A)).await,
        ResponseCode::NXDomain,
        "example.com",
    );
}

#[tokio::test]
async fn below_a_delegation_the_server_refers_and_does_not_answer() {
    let api = Api::start().await;
    api.create(json!({ "type": "A", "name": "host.sub.example.com", "content": "192.0.2.9" })).await;
    api.create(
        json!({ "type": "NS", "name": "sub.example.com", "content": "ns1-01.azure-dns.com", "ttl": 60 }),
    )
    .await;
    for name in ["host.sub.example.com", "sub.example.com"] {
        let referral = answer(&api, ask(name, RecordType::A)).await;
        assert!(!referral.metadata.authoritative && referral.answers.is_empty());
        assert_eq!(lines(&referral.authorities), ["sub.example.com. 60 NS ns1-01.azure-dns.com."]);
    }
}

#[tokio::test]
async fn every_type_that_the_api_takes_by_data_is_served() {
    let api = Api::start().await;
    for (name, kind, expected) in [
        ("example.com", RecordType::MX, "10 mail.example.com."),
        ("example.com", RecordType::TXT, "v=spf1 mx -all"),
        ("example.com", RecordType::CAA, "0 issue \"letsencrypt.org\""),
        ("_sip._tcp.example.com", RecordType::SRV, "10 5 5060 mail.example.com."),
    ] {
        assert_eq!(values(&answer(&api, ask(name, kind)).await, kind), [expected], "{name} {kind}");
    }
    let https = values(&answer(&api, ask("www.example.com", RecordType::HTTPS)).await, RecordType::HTTPS);
    assert!(https[0].starts_with("1 . alpn="), "{https:?}");
}

#[tokio::test]
async fn an_answer_too_large_for_udp_is_cut_and_whole_over_tcp() {
    let api = Api::start().await;
    for n in 0..40 {
        let body =
            json!({ "type": "TXT", "name": "big.example.com", "content": format!("{n:0>60}"), "ttl": 60 });
        api.create(body).await;
    }
    let server = api.sandbox.addresses().cloudflare_dns[0];
    let question = ask("big.example.com", RecordType::TXT);
    let cut = question.at(server).await;
    assert!(cut.metadata.truncation && cut.answers.len() < 40);
    let whole = question.over_tcp(server).await;
    assert!(!whole.metadata.truncation);
    assert_eq!(whole.answers.len(), 40);
    // Without EDNS a datagram has 512 octets (RFC 1035, 4.2.1).
    assert!(question.without_edns().at(server).await.answers.len() < cut.answers.len());
}
