//! A server can be made to misbehave, alone.

use std::time::Duration;

use cnamed::sandbox::{DnsFault, NameServer};
use hickory_net::proto::op::ResponseCode;
use hickory_net::proto::rr::RecordType;
use serde_json::json;

use super::question::{ask, values};
use crate::sandbox_cloudflare::client::Api;

#[tokio::test]
async fn silent_failing_and_refusing_servers_do_so_alone_and_until_told_otherwise() {
    let api = Api::start().await;
    let [one, two] = api.sandbox.addresses().cloudflare_dns[..] else { panic!("two servers") };
    let question = ask("www.example.com", RecordType::A);
    let control = api.sandbox.control();
    for (fault, code) in
        [(DnsFault::ServFail, ResponseCode::ServFail), (DnsFault::Refused, ResponseCode::Refused)]
    {
        control.dns_fault(NameServer::Cloudflare1, Some(fault));
        let answer = question.at(one).await;
        assert_eq!((answer.metadata.response_code, answer.answers.len()), (code, 0));
        assert_eq!(question.over_tcp(one).await.metadata.response_code, code);
        assert_eq!(question.at(two).await.answers.len(), 1, "the other server is well");
    }
    control.dns_fault(NameServer::Cloudflare1, Some(DnsFault::Silent));
    question.clone().patience(Duration::from_millis(300)).tried(one).await.expect_err("silence");
    assert_eq!(question.at(two).await.answers.len(), 1);
    control.clear_faults();
    assert_eq!(question.at(one).await.answers.len(), 1);
}

#[tokio::test]
async fn a_stale_server_serves_what_it_served_and_its_neighbour_the_present() {
    let api = Api::start().await;
    let [one, two] = api.sandbox.addresses().cloudflare_dns[..] else { panic!("two servers") };
    let made = api.create(json!({ "type": "A", "name": "a.example.com", "content": "192.0.2.1" })).await;
    let control = api.sandbox.control();
    control.dns_fault(NameServer::Cloudflare2, Some(DnsFault::Stale));
    let rest = format!("/{}", made["id"].as_str().expect("an id"));
    api.records("PATCH", &rest, json!({ "content": "192.0.2.2" })).await.result();
    api.create(json!({ "type": "A", "name": "new.example.com", "content": "192.0.2.3" })).await;

    let question = ask("a.example.com", RecordType::A);
    assert_eq!(values(&question.at(one).await, RecordType::A), ["192.0.2.2"]);
    assert_eq!(values(&question.at(two).await, RecordType::A), ["192.0.2.1"]);
    // Also for a name that nobody had asked for.
    let new = ask("new.example.com", RecordType::A);
    assert_eq!(new.at(one).await.metadata.response_code, ResponseCode::NoError);
    assert_eq!(new.at(two).await.metadata.response_code, ResponseCode::NXDomain);
    // The API is not touched by what a server shows.
    assert_eq!(api.records("GET", &rest, json!(null)).await.result()["content"], "192.0.2.2");
    control.dns_fault(NameServer::Cloudflare2, None);
    assert_eq!(values(&question.at(two).await, RecordType::A), ["192.0.2.2"]);
}
