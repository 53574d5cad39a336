//! Azure DNS against the sandbox cloud: how often it is asked, what survives a write, and what is refused.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test speaks by panicking, in its helping functions too"
)]

mod adverse;

use std::collections::BTreeSet;

use cnamed::model::name::{Fqdn, ZoneName};
use cnamed::model::plan::RecordChange;
use cnamed::model::record::{Content, Data, RecordSet, RecordType, Ttl};
use cnamed::model::state::{RecordKey, Seen, Zone};
use cnamed::provider::azure::AzureDns;
use cnamed::provider::{DnsProvider, Kind, Look};
use cnamed::sandbox::{Action, Fault, RecordAtAzure, Service};
use serde_json::json;

use crate::azure_cloud::{Rehearsal, handle, owner};

pub(crate) fn dns(rehearsal: &Rehearsal) -> AzureDns {
    AzureDns::new(handle("azure"), rehearsal.arm(), "rg-dns".into(), None, None, None)
}

pub(crate) async fn zone(dns: &AzureDns) -> Zone {
    let zones = dns.zones().await.expect("the zones can be listed");
    zones.into_iter().find(|zone| zone.name.to_string() == "example.com").expect("the seeded zone")
}

pub(crate) fn name(text: &str) -> Fqdn {
    Fqdn::parse(text).expect("a name")
}

pub(crate) fn named(names: &[&str]) -> Look {
    Look { names: names.iter().map(|text| name(text)).collect(), marked: None }
}

pub(crate) fn cname(target: &str, ttl: u32) -> Content {
    Content { data: Data::Cname(name(target)), ttl: Ttl::new(ttl).expect("a TTL"), proxied: false }
}

pub(crate) fn change(at: &str, before: Vec<RecordSet>, after: Option<Content>) -> RecordChange {
    RecordChange { key: RecordKey { name: name(at), account: handle("azure") }, before, after }
}

pub(crate) async fn seen(dns: &AzureDns, zone: &Zone, at: &str) -> Vec<RecordSet> {
    match dns.observe(zone, &named(&[at])).await.expect("read").remove(&name(at)).expect("asked for") {
        Seen::Present(sets) => sets,
        Seen::Absent => Vec::new(),
        Seen::Unknown(reason) => panic!("{reason}"),
    }
}

const JUMP: &str = "jumpstation.example.com";

#[tokio::test]
async fn zones_are_listed_once_with_their_servers() {
    let rehearsal = Rehearsal::start().await;
    let dns = dns(&rehearsal);
    let zone = zone(&dns).await;
    assert!(zone.id.ends_with("/example.com"), "{}", zone.id);
    assert!(!zone.name_servers.is_empty() && !zone.name_servers[0].ends_with('.'), "{:?}", zone.name_servers);
    assert!(zone.rules.alias && !zone.rules.flattens_apex);
    dns.zones().await.expect("remembered");
    assert_eq!(rehearsal.methods(), ["GET"]);
    dns.forget_zones();
    dns.zones().await.expect("read anew");
    dns.zones().await.expect("remembered again");
    assert_eq!(rehearsal.methods(), ["GET"]);

    let apex = vec![ZoneName::parse("example.com").expect("a zone")];
    let written = Some(vec!["127.0.0.1:5353".to_owned()]);
    let arm = rehearsal.arm();
    let named =
        AzureDns::new(handle("azure"), arm, "rg-dns".into(), None, Some(apex.clone()), written.clone());
    let zones = named.zones().await.expect("written by the operator");
    assert_eq!(Some(&zones[0].name_servers), written.as_ref());
    assert_eq!(rehearsal.methods(), [""; 0]);

    let elsewhere = AzureDns::new(handle("azure"), rehearsal.arm(), "rg-mgmt".into(), None, Some(apex), None);
    let error = elsewhere.zones().await.expect_err("not in that group");
    assert_eq!(error.kind(), Kind::Missing);
    assert!(error.chain().contains("resource_group"), "{}", error.chain());
}

#[tokio::test]
async fn a_name_is_created_changed_and_withdrawn_with_one_write_each() {
    let rehearsal = Rehearsal::start().await;
    let dns = dns(&rehearsal);
    let zone = zone(&dns).await;
    assert_eq!(seen(&dns, &zone, JUMP).await, []);
    rehearsal.asked();

    let made = dns.apply(&zone, &owner(), &[change(JUMP, vec![], Some(cname("a.example.net", 30)))]).await;
    let made = made.into_iter().next().expect("an answer").expect("made");
    assert_eq!(made[0].content, cname("a.example.net", 30));
    assert_eq!(made[0].mark, Some(owner()));
    let asked = rehearsal.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].method.as_str(), asked[0].header("if-none-match")), ("PUT", Some("*")));

    let sets = seen(&dns, &zone, JUMP).await;
    assert_eq!(sets, made);
    assert_eq!(rehearsal.methods(), ["GET"], "one filtered list for one name");

    let etag = sets[0].version.0.clone();
    let moved = dns.apply(&zone, &owner(), &[change(JUMP, sets, Some(cname("b.example.net", 60)))]).await;
    let moved = moved.into_iter().next().expect("an answer").expect("moved");
    let asked = rehearsal.asked();
    assert_eq!(asked.len(), 1, "the JSON that was read is still at hand");
    assert_eq!((asked[0].method.as_str(), asked[0].header("if-match")), ("PUT", Some(etag.as_str())));

    let gone = dns.apply(&zone, &owner(), &[change(JUMP, moved.clone(), None)]).await;
    assert_eq!(gone[0].as_ref().expect("withdrawn"), &[]);
    assert_eq!(rehearsal.methods(), ["DELETE"]);
    let again = dns.apply(&zone, &owner(), &[change(JUMP, moved, None)]).await;
    assert_eq!(again[0].as_ref().expect("gone already"), &[]);
    assert_eq!(seen(&dns, &zone, JUMP).await, []);
}

#[tokio::test]
async fn what_others_put_on_a_record_set_survives() {
    let rehearsal = Rehearsal::start().await;
    let dns = dns(&rehearsal);
    let zone = zone(&dns).await;
    let control = rehearsal.sandbox.control();
    let mut record = RecordAtAzure::new(JUMP, "CNAME", "Old.Example.NET.");
    record.metadata.insert("team".into(), "net".into());
    control.set_record_azure(&record).expect("set");
    let sets = seen(&dns, &zone, JUMP).await;
    assert_eq!(sets[0].content.data, Data::Cname(name("old.example.net")));
    assert_eq!(sets[0].mark, None);
    // Also by a process that did not read it: a kept plan names the version alone.
    let another = self::dns(&rehearsal);
    for (account, target, reads) in [(&dns, "new.example.net", 0), (&another, "newer.example.net", 1)] {
        let sets = seen(&dns, &zone, JUMP).await;
        rehearsal.asked();
        account.apply(&zone, &owner(), &[change(JUMP, sets, Some(cname(target, 60)))]).await[0]
            .as_ref()
            .expect("adopted");
        assert_eq!(rehearsal.asked().iter().filter(|asked| asked.method == "GET").count(), reads);
        let shown = control.record_azure(JUMP, "CNAME").expect("there");
        let metadata = json!({"team": "net", "managed-by": "cnamed", "owner": "demo"});
        assert_eq!(shown["properties"]["metadata"], metadata);
        assert_eq!(
            shown["properties"]["CNAMERecord"]["cname"].as_str().map(|t| t.trim_end_matches('.')),
            Some(target)
        );
    }
}

#[tokio::test]
async fn another_s_write_in_between_is_not_overwritten() {
    let rehearsal = Rehearsal::start().await;
    let dns = dns(&rehearsal);
    let zone = zone(&dns).await;
    let control = rehearsal.sandbox.control();
    control.set_record_azure(&RecordAtAzure::new(JUMP, "CNAME", "first.example.net")).expect("set");
    let sets = seen(&dns, &zone, JUMP).await;
    control.set_record_azure(&RecordAtAzure::new(JUMP, "CNAME", "theirs.example.net")).expect("set");
    for change in [
        change(JUMP, sets.clone(), Some(cname("ours.example.net", 60))),
        change(JUMP, vec![], Some(cname("ours.example.net", 60))),
        change(JUMP, sets, None),
    ] {
        let error = dns.apply(&zone, &owner(), &[change]).await.remove(0).expect_err("it changed");
        assert_eq!(error.kind(), Kind::Stale, "{}", error.chain());
    }
    assert_eq!(seen(&dns, &zone, JUMP).await[0].content.data, Data::Cname(name("theirs.example.net")));
}

#[tokio::test]
async fn every_type_at_a_name_is_seen_and_aliases_are_not_empty() {
    let rehearsal = Rehearsal::start().await;
    let dns = dns(&rehearsal);
    let zone = zone(&dns).await;
    let control = rehearsal.sandbox.control();
    let pip = format!(
        "/subscriptions/{}/resourceGroups/rg-mgmt/providers/Microsoft.Network/publicIPAddresses/pip-jump",
        cnamed::sandbox::AZURE_IDENTITY.subscription
    );
    let network = cnamed::provider::azure::AzureNetwork::new(rehearsal.arm());
    let endpoint = crate::azure_cloud::endpoint("contoso-jump");
    cnamed::provider::NetworkProvider::apply(
        &network,
        &owner(),
        &crate::azure_cloud::change(&endpoint, None),
    )
    .await
    .expect("made");
    let alias = Content {
        data: Data::Alias { rtype: RecordType::A, target: pip },
        ttl: Ttl::new(60).expect("a TTL"),
        proxied: false,
    };
    let made = dns
        .apply(&zone, &owner(), &[change(JUMP, vec![], Some(alias.clone()))])
        .await
        .remove(0)
        .expect("made");
    assert!(made[0].content.data.same(&alias.data), "{made:?}");
    control.set_record_azure(&RecordAtAzure::new(JUMP, "TXT", "hello")).expect("set");
    let sets = seen(&dns, &zone, JUMP).await;
    let types: BTreeSet<_> = sets.iter().map(|set| set.content.data.rtype().to_string()).collect();
    assert_eq!(types, BTreeSet::from(["A".to_owned(), "TXT".to_owned()]));
    let held = sets.iter().find(|set| set.content.data.rtype() == RecordType::A).expect("the alias");
    assert!(held.content.data.same(&alias.data), "{held:?}");

    let apex = seen(&dns, &zone, "example.com").await;
    let types: BTreeSet<_> = apex.iter().map(|set| set.content.data.rtype().to_string()).collect();
    assert!(types.contains("SOA") && types.contains("NS"), "{types:?}");
}

#[tokio::test]
async fn the_filter_s_silence_is_no_proof_of_absence() {
    let rehearsal = Rehearsal::start().await;
    let dns = dns(&rehearsal);
    let zone = zone(&dns).await;
    let control = rehearsal.sandbox.control();
    control.set_record_azure(&RecordAtAzure::new(JUMP, "CNAME", "a.example.net")).expect("set");
    // "Ends with .jumpstation", taken at its word, leaves out `jumpstation` itself.
    let strict = Action::Status { status: 200, headers: vec![], body: json!({"value": []}) };
    control.fault(Fault::on(Service::Arm, strict).method("GET").path("dnszones/"));
    rehearsal.asked();
    assert_eq!(seen(&dns, &zone, JUMP).await.len(), 1);
    assert_eq!(rehearsal.methods(), ["GET", "GET"]);
    assert_eq!(seen(&dns, &zone, JUMP).await.len(), 1);
    let asked = rehearsal.asked();
    assert_eq!(asked.len(), 1, "and is not relied on again");
    assert!(!asked[0].query.contains("suffix"), "{}", asked[0].query);
}

#[tokio::test]
async fn marks_are_found_wherever_they_stand_on_every_page() {
    let rehearsal = Rehearsal::start().await;
    let dns = dns(&rehearsal);
    let zone = zone(&dns).await;
    let control = rehearsal.sandbox.control();
    for index in 0..1200 {
        let mut record = RecordAtAzure::new(&format!("r{index:04}.example.com"), "A", "192.0.2.1");
        if index % 400 == 0 {
            record.metadata.insert("managed-by".into(), "cnamed".into());
            record.metadata.insert("owner".into(), if index == 0 { "another" } else { "demo" }.into());
        }
        control.set_record_azure(&record).expect("set");
    }
    rehearsal.asked();
    let look = Look { names: [name(JUMP)].into(), marked: Some(owner()) };
    let found = dns.observe(&zone, &look).await.expect("read");
    let names: Vec<_> = found.keys().map(ToString::to_string).collect();
    assert_eq!(names, [JUMP, "r0400.example.com", "r0800.example.com"]);
    assert_eq!(found[&name(JUMP)], Seen::Absent);
    assert_eq!(rehearsal.methods(), ["GET", "GET"], "pages of a thousand");
}

#[tokio::test]
async fn a_change_of_type_is_two_writes_and_keeps_foreign_metadata() {
    let rehearsal = Rehearsal::start().await;
    let dns = dns(&rehearsal);
    let zone = zone(&dns).await;
    let control = rehearsal.sandbox.control();
    let mut record = RecordAtAzure::new(JUMP, "A", "192.0.2.7");
    record.metadata.insert("team".into(), "net".into());
    control.set_record_azure(&record).expect("set");
    let sets = seen(&dns, &zone, JUMP).await;
    rehearsal.asked();
    let made =
        dns.apply(&zone, &owner(), &[change(JUMP, sets, Some(cname("a.example.net", 60)))]).await.remove(0);
    assert_eq!(made.expect("changed")[0].content, cname("a.example.net", 60));
    assert_eq!(rehearsal.methods(), ["DELETE", "PUT"]);
    assert_eq!(control.record_azure(JUMP, "A"), None);
    let shown = control.record_azure(JUMP, "CNAME").expect("there");
    assert_eq!(shown["properties"]["metadata"]["team"], "net");
}

#[tokio::test]
async fn a_hundred_names_move_with_a_hundred_writes_side_by_side() {
    let rehearsal = Rehearsal::start().await;
    let dns = dns(&rehearsal);
    let zone = zone(&dns).await;
    let at = |index: usize| format!("r{index:04}.example.com");
    for index in 0..100 {
        let mut record = RecordAtAzure::new(&at(index), "CNAME", "old.example.net");
        record.metadata.insert("managed-by".into(), "cnamed".into());
        record.metadata.insert("owner".into(), "demo".into());
        rehearsal.sandbox.control().set_record_azure(&record).expect("set");
    }
    let look = Look { names: (0..100).map(|index| name(&at(index))).collect(), marked: None };
    let found = dns.observe(&zone, &look).await.expect("read");
    let changes: Vec<_> = (0..100)
        .map(|index| {
            let sets = found[&name(&at(index))].present().cloned().expect("there");
            change(&at(index), sets, Some(cname("new.example.net", 60)))
        })
        .collect();
    rehearsal.asked();
    let done = dns.apply(&zone, &owner(), &changes).await;
    assert_eq!(done.len(), 100);
    for (index, result) in done.iter().enumerate() {
        assert_eq!(
            result.as_ref().expect("moved")[0].name,
            name(&at(index)),
            "answers are in the order of changes"
        );
    }
    let asked = rehearsal.asked();
    assert_eq!(asked.len(), 100);
    assert!(asked.iter().all(|request| request.method == "PUT" && request.header("if-match").is_some()));
}
