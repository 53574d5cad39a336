//! One of a provider's name servers serves the past.

use cnamed::sandbox::{DnsFault, NameServer};
use serde_json::Value;

use super::ear::Ear;
use super::{Run, impatient};
use crate::support::Cloud;

fn of_account<'s>(shown: &'s Value, account: &str) -> &'s Value {
    let records = shown["last"]["records"].as_array().into_iter().flatten();
    records.into_iter().find(|record| record["account"] == account).unwrap_or(&Value::Null)
}

#[tokio::test]
async fn a_name_server_that_serves_the_past_is_named_everywhere_until_it_does_not() {
    let cloud = Cloud::start().await;
    impatient(&cloud);
    let ear = Ear::of(&cloud);
    let control = cloud.sandbox.control();
    let liar = cloud.sandbox.addresses().azure_dns[1].to_string();
    // It has not heard of the name, and never will.
    control.dns_fault(NameServer::Azure2, Some(DnsFault::Stale));
    let run = Run::begin(&cloud).await;
    let shown = run.shows("that it is not verified", |shown| shown["last"]["outcome"] == "unverified").await;
    let (azure, cf) = (of_account(&shown, "azure"), of_account(&shown, "cf"));
    assert_ne!(azure["verdict"], "agreed", "{azure:#}");
    assert!(azure["detail"].as_str().unwrap().contains(&liar), "{azure:#}");
    assert_eq!(cf["verdict"], "agreed", "{cf:#}");
    let (status, why) = run.readiness().await;
    assert!(status == 503 && why.contains(&liar), "{why}");
    ear.hears("unverified", "jumpstation.example.com in azure").await;
    assert!(ear.heard("unverified")[0].to_string().contains(&liar));

    // Rounds go on, and the liar makes none of them write.
    cloud.sandbox.forget_requests();
    run.shows("three more rounds", |_| cloud.requests().len() > 15).await;
    assert!(cloud.writes().is_empty(), "{:#?}", cloud.writes());
    assert_eq!(run.readiness().await.0, 503);
    assert_eq!(ear.heard("unverified").len(), 1, "it is told once");

    control.dns_fault(NameServer::Azure2, None);
    run.in_sync().await;
    assert_eq!(run.readiness().await.0, 200);
    ear.hears("recovery", "jumpstation.example.com in azure").await;
    assert!(cloud.writes().is_empty(), "{:#?}", cloud.writes());
    run.end().await;
}
