//! What commands tell of what they did: the outcome as it is, and a next step that can be typed as it stands.

use cnamed::sandbox::{DnsFault, NameServer};

use crate::foreign::{LABEL, NAME, cname};
use crate::support::Cloud;

#[tokio::test]
async fn a_label_that_could_not_be_asked_for_is_named_and_nothing_is_called_in_sync() {
    let cloud = Cloud::start().await;
    cloud.run(&["sync"]).await.exits(0);
    cloud.sandbox.control().dns_fault(NameServer::Label, Some(DnsFault::Refused));
    let run = cloud.run(&["status"]).await.exits(5);
    let headline = run.out.lines().next().unwrap();
    assert!(headline.starts_with("Not verified: the label in DNS of jumpstation.example.com"), "{headline}");
    assert!(headline.contains("REFUSED"), "{headline}");
    // A resolver is no authority, and decides nothing.
    cloud.sandbox.control().clear_faults();
    cloud.sandbox.control().dns_fault(NameServer::Recursive, Some(DnsFault::Refused));
    cloud.run(&["status"]).await.exits(0).says("REFUSED");
}

#[tokio::test]
async fn a_plan_claims_nothing_of_name_servers_that_it_does_not_ask() {
    let cloud = Cloud::start().await;
    cloud.run(&["sync"]).await.exits(0);
    let run =
        cloud.run(&["plan"]).await.exits(0).says("Unchanged: nothing to do; name servers were not asked.");
    assert!(!run.out.contains("In sync"), "{}", run.out);
}

#[tokio::test]
async fn a_refusal_beside_what_was_done_does_not_hide_it() {
    let cloud = Cloud::start().await;
    cloud.run(&["sync"]).await.exits(0);
    let control = cloud.sandbox.control();
    control.set_record_azure(&cname("old.example.com", LABEL, 1, Some("demo"))).unwrap();
    control.delete_record_azure(NAME, "CNAME").unwrap();
    control.set_record_azure(&cname(NAME, LABEL, 30, None)).unwrap();
    let run = cloud.run(&["sync"]).await.exits(4).says("done  delete  old.example.com in azure");
    let headline = run.out.lines().next().unwrap();
    assert!(headline.starts_with("Refused: 1 change made"), "{headline}");
}
