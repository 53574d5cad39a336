//! Bad days: lost answers, conflicts, throttling in the middle of paging, answers that cannot be true.

use cnamed::model::name::ZoneName;
use cnamed::model::record::{Data, RecordSet};
use cnamed::model::state::{Seen, Zone};
use cnamed::provider::azure::AzureDns;
use cnamed::provider::{DnsProvider, Kind, Look};
use cnamed::sandbox::{Action, Fault, RecordAtAzure, Service};
use serde_json::{Value, json};

use super::{JUMP, change, cname, dns, name, named, seen, zone};
use crate::azure_cloud::{Rehearsal, handle, owner};

fn on(method: &str, action: Action) -> Fault {
    Fault::on(Service::Arm, action).method(method).path("dnszones/")
}

fn top_level(status: u16, code: &str, message: &str) -> Action {
    Action::Status { status, headers: vec![], body: json!({"code": code, "message": message}) }
}

/// A zone where an address stands at the name.
async fn at_an_address() -> (Rehearsal, AzureDns, Zone, Vec<RecordSet>) {
    let rehearsal = Rehearsal::start().await;
    let dns = dns(&rehearsal);
    let zone = zone(&dns).await;
    let control = rehearsal.sandbox.control();
    control.set_record_azure(&RecordAtAzure::new(JUMP, "A", "192.0.2.7")).expect("set");
    let sets = seen(&dns, &zone, JUMP).await;
    (rehearsal, dns, zone, sets)
}

#[tokio::test]
async fn a_lost_answer_is_settled_by_reading() {
    let rehearsal = Rehearsal::start().await;
    let dns = dns(&rehearsal);
    let zone = zone(&dns).await;
    let control = rehearsal.sandbox.control();
    let create = || [change(JUMP, vec![], Some(cname("a.example.net", 30)))];

    control.fault(on("PUT", Action::Reset));
    let error = dns.apply(&zone, &owner(), &create()).await.remove(0).expect_err("not so far");
    assert_eq!(error.kind(), Kind::Unconfirmed, "{}", error.chain());
    assert!(
        error.chain().contains("nothing has come of it so far: the connection broke"),
        "{}",
        error.chain()
    );
    assert!(error.chain().ends_with("run again: it looks at what stands there first"), "{}", error.chain());
    let own = |status| top_level(status, "InternalServerError", "Something went wrong.");
    let html = Action::Html { status: 500, headers: vec![] };
    for (answer, kind) in [
        (own(500), Kind::Unreachable),
        (own(504), Kind::Unconfirmed),
        (top_level(500, "ServerTimeout", "Too slow."), Kind::Unconfirmed),
        (html, Kind::Unconfirmed),
    ] {
        control.fault(on("PUT", answer));
        let error = dns.apply(&zone, &owner(), &create()).await.remove(0).expect_err("not so far");
        assert_eq!(error.kind(), kind, "{}", error.chain());
    }
    control.fault(on("PUT", Action::LostAnswer));
    let made = dns.apply(&zone, &owner(), &create()).await.remove(0).expect("it was made");
    assert_eq!(made, seen(&dns, &zone, JUMP).await);

    control.fault(on("DELETE", Action::LostAnswer));
    dns.apply(&zone, &owner(), &[change(JUMP, made, None)]).await.remove(0).expect("it is gone");

    control.fault(on("PUT", Action::LostAnswer));
    control.fault(on("GET", Action::Reset).always());
    let error = dns.apply(&zone, &owner(), &create()).await.remove(0).expect_err("who knows");
    assert_eq!(error.kind(), Kind::Unconfirmed, "{}", error.chain());
    control.clear_faults();
    dns.apply(&zone, &owner(), &create()).await.remove(0).expect("what stands already is a success");
}

#[tokio::test]
async fn an_early_view_is_not_believed() {
    let rehearsal = Rehearsal::start().await;
    let dns = dns(&rehearsal);
    let zone = zone(&dns).await;
    let wanted = cname("a.example.net", 30);
    let body = json!({"id": "/x", "name": "jumpstation", "type": "Microsoft.Network/dnszones/CNAME", "etag": "e",
        "properties": {"TTL": 30, "CNAMERecord": {"cname": "a.example.net"}, "provisioningState": "Updating",
                       "metadata": {"managed-by": "cnamed", "owner": "demo"}}});
    rehearsal.sandbox.control().fault(on("PUT", Action::Status { status: 201, headers: vec![], body }));
    let error = dns.apply(&zone, &owner(), &[change(JUMP, vec![], Some(wanted))]).await.remove(0);
    let error = error.expect_err("nothing came of it so far");
    assert_eq!(error.kind(), Kind::Unconfirmed, "{}", error.chain());
}

#[tokio::test]
async fn pending_is_waited_for_and_naming_is_refused() {
    let rehearsal = Rehearsal::start().await;
    let dns = dns(&rehearsal);
    let zone = zone(&dns).await;
    let control = rehearsal.sandbox.control();
    let pending = top_level(409, "Conflict", "Another operation is pending for requested object.");
    control.fault(on("PUT", pending).times(2));
    let made = dns.apply(&zone, &owner(), &[change(JUMP, vec![], Some(cname("a.example.net", 30)))]).await;
    assert!(made[0].is_ok(), "{made:?}");

    control.set_record_azure(&RecordAtAzure::new("held.example.com", "A", "192.0.2.1")).expect("set");
    rehearsal.asked();
    let refused = change("held.example.com", vec![], Some(cname("a.example.net", 30)));
    let error = dns.apply(&zone, &owner(), &[refused]).await.remove(0).expect_err("a CNAME stands alone");
    assert_eq!(error.kind(), Kind::Rejected);
    assert!(error.chain().contains("stands alone"), "{}", error.chain());
    assert_eq!(rehearsal.methods(), ["PUT"]);
}

#[tokio::test]
async fn a_refused_new_type_puts_the_old_one_back() {
    let (rehearsal, dns, zone, sets) = at_an_address().await;
    let control = rehearsal.sandbox.control();
    control.fault(on("PUT", top_level(400, "BadRequest", "The domain name 'x' is invalid.")));
    let error =
        dns.apply(&zone, &owner(), &[change(JUMP, sets, Some(cname("a.example.net", 60)))]).await.remove(0);
    let error = error.expect_err("refused");
    assert_eq!(error.kind(), Kind::Rejected);
    assert!(error.chain().contains("put back"), "{}", error.chain());
    assert!(error.chain().contains("could not create jumpstation.example.com"), "{}", error.chain());
    let sets = seen(&dns, &zone, JUMP).await;
    assert_eq!(sets[0].content.data, Data::A(["192.0.2.7".parse().expect("an address")].into()));
    assert_eq!(sets[0].mark, None, "as it was");

    control.fault(on("PUT", top_level(400, "BadRequest", "No.")).times(2));
    let error =
        dns.apply(&zone, &owner(), &[change(JUMP, sets, Some(cname("a.example.net", 60)))]).await.remove(0);
    let chain = error.expect_err("refused").chain();
    assert!(chain.contains("could not be put back") && chain.contains("192.0.2.7"), "{chain}");
}

#[tokio::test]
async fn a_change_of_type_stops_at_a_deletion_of_which_nothing_has_come() {
    let (rehearsal, dns, zone, sets) = at_an_address().await;
    let control = rehearsal.sandbox.control();
    let exchange = || [change(JUMP, sets.clone(), Some(cname("a.example.net", 60)))];
    control.fault(on("DELETE", Action::Reset));
    rehearsal.asked();
    let error = dns.apply(&zone, &owner(), &exchange()).await.remove(0).expect_err("not so far");
    assert_eq!(error.kind(), Kind::Unconfirmed, "it may yet be gone: {}", error.chain());
    assert!(error.to_string().starts_with("could not confirm: delete"), "{error}");
    assert!(!rehearsal.methods().contains(&"PUT".to_owned()), "the new one would only be refused");

    control.fault(on("DELETE", Action::LostAnswer));
    dns.apply(&zone, &owner(), &exchange()).await.remove(0).expect("gone, and the new one made");
}

#[tokio::test]
async fn a_new_type_that_has_not_come_has_the_old_one_put_back_and_has_not_failed() {
    let (rehearsal, dns, zone, sets) = at_an_address().await;
    let control = rehearsal.sandbox.control();
    control.fault(on("PUT", Action::Reset));
    let error =
        dns.apply(&zone, &owner(), &[change(JUMP, sets, Some(cname("a.example.net", 60)))]).await.remove(0);
    let error = error.expect_err("not so far");
    assert_eq!(error.kind(), Kind::Unconfirmed, "{}", error.chain());
    assert!(error.chain().contains("what stood there was put back"), "{}", error.chain());
    let sets = seen(&dns, &zone, JUMP).await;
    assert_eq!(sets[0].content.data, Data::A(["192.0.2.7".parse().expect("an address")].into()));
}

#[tokio::test]
async fn throttling_in_the_middle_of_paging_is_waited_out() {
    let rehearsal = Rehearsal::start().await;
    let dns = dns(&rehearsal);
    let zone = zone(&dns).await;
    let control = rehearsal.sandbox.control();
    for index in 0..1100 {
        let record = RecordAtAzure::new(&format!("r{index:04}.example.com"), "A", "192.0.2.1");
        control.set_record_azure(&record).expect("set");
    }
    let headers = vec![("Retry-After".into(), "1".into())];
    let body = json!({"error": {"code": "TooManyRequests", "message": "Slow down."}});
    control.fault(on("GET", Action::Status { status: 429, headers, body }).nth(2));
    rehearsal.asked();
    let look = Look { names: [name("r1099.example.com")].into(), marked: Some(owner()) };
    let found = dns.observe(&zone, &look).await.expect("read in the end");
    assert!(found[&name("r1099.example.com")].present().is_some(), "{found:?}");
    assert_eq!(rehearsal.methods().len(), 3);
}

#[tokio::test]
async fn a_listing_that_cannot_be_true_is_an_error_and_never_empty() {
    let rehearsal = Rehearsal::start().await;
    let dns = dns(&rehearsal);
    let zone = zone(&dns).await;
    let control = rehearsal.sandbox.control();
    let marked = Look { names: [name(JUMP)].into(), marked: Some(owner()) };
    let json = |body: Value| Action::Status { status: 200, headers: vec![], body };
    for (action, word) in [
        (json(json!({"value": []})), "SOA"),
        (json(json!({})), "no entries"),
        (json(json!({"value": [], "nextLink": "https://evil.example.net/next"})), "evil.example.net"),
        (Action::Html { status: 200, headers: vec![] }, "JSON"),
        (Action::Truncated, "broke"),
    ] {
        control.clear_faults();
        control.fault(on("GET", action.clone()).always());
        let error = dns.observe(&zone, &marked).await.expect_err("implausible");
        assert_eq!(error.kind(), Kind::Unreachable, "{}", error.chain());
        assert!(error.chain().contains(word), "{action:?}: {}", error.chain());
        dns.observe(&zone, &named(&[JUMP])).await.expect_err("nor is one name");
    }
}

/// What stands there cannot be written to without an etag; that it is not there would be a lie.
#[tokio::test]
async fn a_record_set_without_a_version_is_unknown_and_never_absent() {
    let rehearsal = Rehearsal::start().await;
    let dns = dns(&rehearsal);
    let zone = zone(&dns).await;
    let control = rehearsal.sandbox.control();
    let set = |name: &str, rtype: &str| {
        json!({"id": "/x", "name": name, "type": format!("Microsoft.Network/dnszones/{rtype}"),
            "properties": {"TTL": 30, "CNAMERecord": {"cname": "a.example.net"}}})
    };
    let body = json!({"value": [set("@", "SOA"), set("@", "NS"), set("jumpstation", "CNAME")]});
    for look in [named(&[JUMP]), Look { names: [name(JUMP)].into(), marked: Some(owner()) }] {
        control.fault(on("GET", Action::Status { status: 200, headers: vec![], body: body.clone() }));
        let error = dns.observe(&zone, &look).await.expect_err("it stands there");
        assert!(error.chain().contains("CNAME record set has no etag"), "{}", error.chain());
    }
}

#[tokio::test]
async fn one_name_that_cannot_be_read_does_not_hide_the_others() {
    let rehearsal = Rehearsal::start().await;
    let dns = dns(&rehearsal);
    let zone = zone(&dns).await;
    let control = rehearsal.sandbox.control();
    control.set_record_azure(&RecordAtAzure::new(JUMP, "CNAME", "a.example.net")).expect("set");
    control.set_record_azure(&RecordAtAzure::new("www2.example.com", "CNAME", "a.example.net")).expect("set");
    control.fault(on("GET", top_level(400, "BadRequest", "No.")));
    let found = dns.observe(&zone, &named(&[JUMP, "www2.example.com"])).await.expect("one was read");
    let unknown = found.values().filter(|seen| seen.unknown().is_some()).count();
    let present = found.values().filter(|seen| matches!(seen, Seen::Present(_))).count();
    assert_eq!((unknown, present), (1, 1), "{found:?}");
}

#[tokio::test]
async fn a_zone_that_is_not_there_says_where_it_was_sought() {
    let rehearsal = Rehearsal::start().await;
    let nowhere = vec![ZoneName::parse("example.org").expect("a zone")];
    let servers = Some(vec!["127.0.0.1:53".to_owned()]);
    let dns = AzureDns::new(handle("azure"), rehearsal.arm(), "rg-dns".into(), None, Some(nowhere), servers);
    let zone = dns.zones().await.expect("taken at its word").remove(0);
    let error = dns.observe(&zone, &named(&["jump.example.org"])).await.expect_err("no such zone");
    assert_eq!(error.kind(), Kind::Missing);
    let change = change("jump.example.org", vec![], Some(cname("a.example.net", 30)));
    let error = dns.apply(&zone, &owner(), &[change]).await.remove(0).expect_err("no such zone");
    assert_eq!(error.kind(), Kind::Missing, "{}", error.chain());
}

#[tokio::test]
async fn a_zone_that_is_missing_among_those_that_are_written_hides_no_other_and_keeps_its_names() {
    let rehearsal = Rehearsal::start().await;
    let zones = ["example.com", "lost.example.com"].map(|text| ZoneName::parse(text).expect("a zone"));
    let dns =
        AzureDns::new(handle("azure"), rehearsal.arm(), "rg-dns".into(), None, Some(zones.into()), None);
    let [whole, lost] = dns.zones().await.expect("one is there").try_into().expect("both");
    assert!(lost.name.holds(&name("jump.lost.example.com")), "no zone above it answers for its names");
    assert_eq!(seen(&dns, &whole, JUMP).await, []);
    for look in [named(&["jump.lost.example.com"]), Look { marked: Some(owner()), ..named(&[]) }] {
        let error = dns.observe(&lost, &look).await.expect_err("no such zone");
        assert_eq!(error.kind(), Kind::Missing);
        let told = "could not read the zone lost.example.com; check the account's zones, resource_group";
        assert!(error.chain().starts_with(told), "{}", error.chain());
    }

    rehearsal.sandbox.control().put_resource(&lost.id, &json!({"location": "global"})).expect("made");
    let found = dns.zones().await.expect("both are there").remove(1);
    assert!(!found.name_servers.is_empty());
    assert_eq!(seen(&dns, &found, "jump.lost.example.com").await, []);
}
