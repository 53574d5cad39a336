//! Zones that come, go and come back while the service runs.

use cnamed::sandbox::AZURE_IDENTITY;
use serde_json::json;

use super::{NAME, Run};
use crate::foreign::at_cloudflare;
use crate::support::Cloud;

const LATER: &str = "jump.example.org";

/// A zone of that name in the accounts' resource group at Azure.
fn zone(name: &str) -> String {
    let group = format!("/subscriptions/{}/resourceGroups/rg-dns", AZURE_IDENTITY.subscription);
    format!("{group}/providers/Microsoft.Network/dnsZones/{name}")
}

/// How often the accounts were asked for the list of their zones.
fn lists(cloud: &Cloud) -> usize {
    let paths = cloud.requests().into_iter().map(|request| request.path.to_ascii_lowercase());
    paths.filter(|path| path.ends_with("/zones") || path.ends_with("/dnszones")).count()
}

#[tokio::test]
async fn a_zone_that_is_made_later_takes_its_names_without_a_word() {
    let cloud = Cloud::start().await;
    let control = cloud.sandbox.control();
    cloud.append(&format!(
        "\n[[record]]\nname = \"{LATER}\"\nendpoint = \"jump\"\naccounts = [\"azure\", \"cf\"]\nttl = 60\n"
    ));
    let run = Run::begin(&cloud).await;
    run.shows("that no zone is there", |shown| shown["last"]["outcome"] == "refused").await;

    control.put_resource(&zone("example.org"), &json!({"location": "global"})).unwrap();
    control.add_zone_cloudflare("example.org").unwrap();
    let written =
        |_: &_| control.record_azure(LATER, "CNAME").is_some() && at_cloudflare(&cloud, LATER).is_some();
    run.shows("the name in both", written).await;
    // Once every name has its zone, nobody is asked for them any more.
    let rounds = |shown: &serde_json::Value| shown["last"]["at"].as_str().map(str::to_owned);
    let mut last = None;
    for _ in 0..4 {
        let shown = run.shows("another round", |shown| rounds(shown) != last).await;
        last = rounds(&shown);
    }
    cloud.sandbox.forget_requests();
    run.shows("three more rounds", |_| cloud.requests().len() > 15).await;
    assert_eq!(lists(&cloud), 0, "{:#?}", cloud.requests());
    run.end().await;
}

#[tokio::test]
async fn a_zone_that_is_deleted_and_made_again_is_filled_again() {
    let cloud = Cloud::start().await;
    let control = cloud.sandbox.control();
    let run = Run::begin(&cloud).await;
    run.in_sync().await;
    control.delete_resource(&zone("example.com")).unwrap();
    control.delete_zone_cloudflare("example.com").unwrap();
    run.shows("that it is gone", |shown| {
        !matches!(shown["last"]["outcome"].as_str(), Some("in-sync" | "changed"))
    })
    .await;
    control.put_resource(&zone("example.com"), &json!({"location": "global"})).unwrap();
    control.add_zone_cloudflare("example.com").unwrap();
    let written =
        |_: &_| control.record_azure(NAME, "CNAME").is_some() && at_cloudflare(&cloud, NAME).is_some();
    run.shows("the name in both", written).await;
    run.end().await;
}
