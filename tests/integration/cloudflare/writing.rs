//! Changes: in place, in one transaction where they must not come apart, and never on what moved meanwhile.

use cnamed::model::plan::RecordChange;
use cnamed::model::record::{Content, Data, Ttl};
use cnamed::model::state::Seen;
use cnamed::provider::{DnsProvider, Kind, Look};
use cnamed::sandbox::CloudflarePlan;
use serde_json::json;

use super::{Cloud, LABEL, MARK, OTHER_LABEL, addresses, cname, fqdn, key, ops};

#[tokio::test]
async fn a_record_is_created_with_its_mark_and_left_alone_from_then_on() {
    let cloud = Cloud::start(CloudflarePlan::Free).await;
    let change = cloud.change("jump.example.com", Some(cname(LABEL))).await;
    let written = cloud.apply(std::slice::from_ref(&change)).await.remove(0).unwrap();
    assert_eq!(cloud.asked(), ["GET zones/*/dns_records", "POST zones/*/dns_records"]);
    assert_eq!(
        cloud.bodies("POST"),
        [json!({"type": "CNAME", "name": "jump.example.com", "content": LABEL, "ttl": 300, "proxied": false,
            "comment": MARK})]
    );
    assert_eq!((written.len(), &written[0].mark), (1, &Some(ops())));
    let again = cloud.apply(&[change]).await.remove(0).unwrap();
    assert_eq!(cloud.asked(), ["GET zones/*/dns_records"], "what stands is not written again");
    assert_eq!(again, written);
}

#[tokio::test]
async fn a_retarget_is_one_patch_that_keeps_what_people_put_there() {
    let cloud = Cloud::start(CloudflarePlan::Enterprise).await;
    cloud.by_hand(json!({"type": "CNAME", "name": "jump.example.com", "content": LABEL, "ttl": 60,
        "comment": "ask Bob first", "tags": ["team:ops"], "settings": {"flatten_cname": true}}));
    // Adoption and retarget at once: the record that stands there is nobody's.
    let written = cloud.put("jump.example.com", Some(cname(OTHER_LABEL))).await.unwrap();
    assert_eq!(cloud.asked(), ["GET zones/*/dns_records", "PATCH zones/*/dns_records/*"]);
    assert!(written[0].is_ours(&ops()));
    let written = cloud.put("jump.example.com", Some(cname(LABEL))).await.unwrap();
    assert_eq!(written[0].content, cname(LABEL));
    let comments: Vec<_> = cloud.bodies("PATCH").iter().map(|body| body["comment"].clone()).collect();
    assert_eq!(comments, [json!(format!("ask Bob first {MARK}"))]);
    let record = raw(&cloud, "jump.example.com").await;
    assert_eq!(
        (&record["tags"], &record["settings"]),
        (&json!(["team:ops"]), &json!({"flatten_cname": true}))
    );
    assert_eq!(record["comment"], json!(format!("ask Bob first {MARK}")));
}

#[tokio::test]
async fn what_changed_since_it_was_read_is_not_written() {
    let cloud = Cloud::start(CloudflarePlan::Free).await;
    cloud.put("jump.example.com", Some(cname(LABEL))).await.unwrap();
    let update = cloud.change("jump.example.com", Some(cname(OTHER_LABEL))).await;
    let withdraw = cloud.change("jump.example.com", None).await;
    let create = cloud.change("new.example.com", Some(cname(LABEL))).await;
    cloud.by_hand(json!({"type": "CNAME", "name": "jump.example.com", "content": "elsewhere.example.net", "comment": MARK}));
    cloud.by_hand(json!({"type": "A", "name": "new.example.com", "content": "192.0.2.9"}));
    for changes in [vec![update], vec![withdraw], vec![create]] {
        let error = cloud.apply(&changes).await.remove(0).unwrap_err();
        assert_eq!(error.kind(), Kind::Stale, "{}", error.chain());
        assert_eq!(cloud.asked(), ["GET zones/*/dns_records"]);
    }
}

#[tokio::test]
async fn a_stale_name_does_not_hold_back_another() {
    let cloud = Cloud::start(CloudflarePlan::Free).await;
    let stale = cloud.change("a.example.com", Some(cname(LABEL))).await;
    let fresh = cloud.change("b.example.com", Some(cname(LABEL))).await;
    cloud.by_hand(json!({"type": "TXT", "name": "a.example.com", "content": "\"x\""}));
    let outcomes = cloud.apply(&[stale, fresh]).await;
    assert_eq!(outcomes[0].as_ref().unwrap_err().kind(), Kind::Stale);
    assert!(outcomes[1].is_ok());
}

#[tokio::test]
async fn a_type_change_is_one_transaction() {
    let cloud = Cloud::start(CloudflarePlan::Enterprise).await;
    cloud.by_hand(
        json!({"type": "A", "name": "jump.example.com", "content": "192.0.2.9", "comment": "the old way",
        "tags": ["team:ops"]}),
    );
    cloud.by_hand(json!({"type": "TXT", "name": "jump.example.com", "content": "\"x\""}));
    let written = cloud.put("jump.example.com", Some(cname(LABEL))).await.unwrap();
    assert_eq!(cloud.asked(), ["GET zones/*/dns_records", "POST zones/*/dns_records/batch"]);
    let body = cloud.bodies("POST").remove(0);
    assert_eq!((body["deletes"].as_array().unwrap().len(), body["posts"].as_array().unwrap().len()), (2, 1));
    assert_eq!(cloud.sets("jump.example.com").await, written);
    let record = raw(&cloud, "jump.example.com").await;
    assert_eq!(
        (&record["comment"], &record["tags"]),
        (&json!(format!("the old way {MARK}")), &json!(["team:ops"]))
    );

    let written = cloud.put("jump.example.com", Some(addresses(&["192.0.2.1"]))).await.unwrap();
    assert_eq!(cloud.asked().len(), 2);
    assert_eq!(written[0].content, addresses(&["192.0.2.1"]));
}

#[tokio::test]
async fn an_address_set_keeps_what_it_can() {
    let cloud = Cloud::start(CloudflarePlan::Free).await;
    let name = "jump.example.com";
    cloud.put(name, Some(addresses(&["192.0.2.1", "192.0.2.2"]))).await.unwrap();
    assert_eq!(cloud.asked()[1..], ["POST zones/*/dns_records/batch"]);
    // One stays, one changes its address in place, one comes.
    let wanted = addresses(&["192.0.2.2", "192.0.2.3", "192.0.2.4"]);
    let written = cloud.put(name, Some(wanted.clone())).await.unwrap();
    let body = cloud.bodies("POST").remove(0);
    assert_eq!((body["patches"].as_array().unwrap().len(), body["posts"].as_array().unwrap().len()), (1, 1));
    assert_eq!((body.get("deletes"), &written[0].content), (None, &wanted));
    let written = cloud.put(name, Some(addresses(&["192.0.2.4"]))).await.unwrap();
    assert_eq!(cloud.sets(name).await, written);
    assert_eq!(written[0].content, addresses(&["192.0.2.4"]));
}

#[tokio::test]
async fn a_withdrawal_takes_what_is_ours_and_is_content_when_it_is_gone() {
    let cloud = Cloud::start(CloudflarePlan::Free).await;
    let mut change = RecordChange { key: key("example.com"), before: Vec::new(), after: Some(cname(LABEL)) };
    // An apex takes a CNAME beside other types, flattened.
    let written = cloud.apply(std::slice::from_ref(&change)).await.remove(0).unwrap();
    assert_eq!(cloud.sets("example.com").await.len(), 4);
    (change.before, change.after) = (written, None);
    assert_eq!(cloud.apply(std::slice::from_ref(&change)).await.remove(0).unwrap(), []);
    assert_eq!(cloud.asked(), ["GET zones/*/dns_records", "DELETE zones/*/dns_records/*"]);
    assert_eq!(cloud.sets("example.com").await.len(), 3);
    assert_eq!(cloud.apply(&[change]).await.remove(0).unwrap(), []);
    assert_eq!(cloud.asked(), ["GET zones/*/dns_records"]);
}

#[tokio::test]
async fn proxied_and_automatic_are_written_as_planned() {
    let cloud = Cloud::start(CloudflarePlan::Free).await;
    let wanted = Content { ttl: Ttl::AUTOMATIC, proxied: true, ..cname(LABEL) };
    let written = cloud.put("jump.example.com", Some(wanted.clone())).await.unwrap();
    assert_eq!(written[0].content, wanted);
    // Cloudflare keeps a proxied record on automatic: saying so is better than never converging.
    let impossible = Content { ttl: Ttl::DEFAULT, ..wanted };
    let error = cloud.put("other.example.com", Some(impossible)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Rejected, "{}", error.chain());
    // Outside the zone it would become other.example.net.example.com.
    let error = cloud.put("other.example.net", Some(cname(LABEL))).await.unwrap_err();
    assert_eq!((error.kind(), cloud.asked().len()), (Kind::Rejected, 0));
}

#[tokio::test]
async fn a_change_within_the_same_second_is_seen() {
    let cloud = Cloud::start(CloudflarePlan::Free).await;
    cloud.put("jump.example.com", Some(cname(LABEL))).await.unwrap();
    let change = cloud.change("jump.example.com", Some(cname(OTHER_LABEL))).await;
    cloud.sandbox.control().proxy("jump.example.com", true).unwrap();
    let error = cloud.apply(&[change]).await.remove(0).unwrap_err();
    assert_eq!((error.kind(), cloud.asked().len()), (Kind::Stale, 1));
}

#[tokio::test]
async fn a_thousand_names_move_within_twenty_requests() {
    let cloud = Cloud::start(CloudflarePlan::Enterprise).await;
    let names: Vec<String> = (0..1000).map(|n| format!("host{n:04}.example.com")).collect();
    let create =
        |name: &String| RecordChange { key: key(name), before: Vec::new(), after: Some(cname(LABEL)) };
    let created = cloud.apply(&names.iter().map(create).collect::<Vec<_>>()).await;
    assert!(created.iter().all(Result::is_ok));
    assert_eq!(cloud.asked().len(), 1 + 5, "one page as yet, and five transactions");

    // From nothing known to everything moved.
    let cf = super::account(&cloud.sandbox, cnamed::sandbox::CLOUDFLARE_TOKENS.good, [].into());
    cloud.sandbox.forget_requests();
    let zones = cf.zones().await.unwrap();
    let zone = zones.iter().find(|zone| zone.name == super::zone_name()).unwrap();
    let look = Look { names: names.iter().map(|name| fqdn(name)).collect(), marked: Some(ops()) };
    let found = cf.observe(zone, &look).await.unwrap();
    let retarget = |name: &String| {
        let Seen::Present(sets) = &found[&fqdn(name)] else { panic!("{name}") };
        RecordChange { key: key(name), before: sets.clone(), after: Some(cname(OTHER_LABEL)) }
    };
    let changes: Vec<RecordChange> = names.iter().map(retarget).collect();
    let outcomes = cf.apply(zone, &ops(), &changes).await;
    let moved = |outcome: &Result<Vec<cnamed::model::record::RecordSet>, _>| {
        outcome.as_ref().is_ok_and(|sets| sets[0].content.data == Data::Cname(fqdn(OTHER_LABEL)))
    };
    assert_eq!(outcomes.iter().filter(|outcome| moved(outcome)).count(), 1000);
    let asked = cloud.asked();
    assert_eq!(asked.len(), 1 + 2 + 2 + 5, "{asked:?}");
    for (line, batch) in
        asked.iter().zip(cloud.sandbox.requests()).filter(|(line, _)| line.ends_with("batch"))
    {
        assert_eq!(batch.body["patches"].as_array().unwrap().len(), 200, "{line}");
    }
    assert_eq!(cloud.sets("www.example.com").await.len(), 2, "what is not ours stays");
}

#[tokio::test]
async fn changes_of_one_name_follow_each_other() {
    let cloud = Cloud::start(CloudflarePlan::Free).await;
    let first = cloud.change("jump.example.com", Some(cname(LABEL))).await;
    let second = RecordChange { after: Some(cname(OTHER_LABEL)), ..first.clone() };
    let outcomes = cloud.apply(&[first, second]).await;
    assert!(outcomes[0].is_ok());
    assert_eq!(
        outcomes[1].as_ref().unwrap_err().kind(),
        Kind::Stale,
        "the first has changed what it was made against"
    );
    assert!(cloud.apply(&[]).await.is_empty() && cloud.asked().is_empty());
}

/// The record as the API shows it.
async fn raw(cloud: &Cloud, name: &str) -> serde_json::Value {
    let url = format!(
        "{}/zones/{}/dns_records?name.exact={name}",
        cloud.sandbox.addresses().cloudflare,
        cloud.zone.id
    );
    let client = reqwest::Client::builder()
        .add_root_certificate(reqwest::Certificate::from_pem(cloud.sandbox.ca_pem().as_bytes()).unwrap())
        .no_proxy()
        .build()
        .unwrap();
    let answer = client.get(url).bearer_auth(cnamed::sandbox::CLOUDFLARE_TOKENS.good).send().await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    body["result"][0].clone()
}
