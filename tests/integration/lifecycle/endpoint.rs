//! Public IPs and their labels: held by others, renamed, adopted, watched, lost.

use std::time::Duration;

use cnamed::sandbox::{LegacyPublicIp, Sandbox};
use serde_json::{Value, json};

use super::{brief, written};
use crate::foreign::{LABEL, NAME, nothing_written, settled};
use crate::support::Cloud;

/// What is on a public IP apart from what changes by itself.
fn settings(sandbox: &Sandbox) -> Value {
    let mut held = sandbox.control().public_ip("pip-jump").unwrap();
    held.as_object_mut().unwrap().remove("etag");
    for passing in ["ipAddress", "dnsSettings"] {
        held["properties"].as_object_mut().unwrap().remove(passing);
    }
    held
}

async fn refused_for_the_label(cloud: &Cloud, sentence: &str, remedy: &str) {
    let run = cloud.run(&["sync"]).await.exits(4).says("refused (takeover): public IP of jump");
    run.says("The label contoso-jump in westeurope").says(sentence).says(remedy);
    nothing_written(cloud);
}

#[tokio::test]
async fn a_label_that_a_stranger_holds_stops_the_endpoint_before_its_first_write() {
    let cloud = Cloud::start().await;
    cloud.sandbox.control().stranger_takes_label("contoso-jump").unwrap();
    refused_for_the_label(&cloud, "is held by somebody else", "choose another label for jump").await;
}

#[tokio::test]
async fn a_name_of_ours_that_leads_to_a_stranger_is_told_with_the_way_out() {
    let cloud = brief().await;
    cloud.run(&["sync"]).await.exits(0);
    let control = cloud.sandbox.control();
    control.delete_public_ip("pip-jump").unwrap();
    control.stranger_takes_label("contoso-jump").unwrap();
    cloud.sandbox.forget_requests();
    let run = cloud
        .run(&["sync"])
        .await
        .exits(4)
        .says("jumpstation.example.com in azure points at the label contoso-jump");
    run.says("next: cnamed remove jumpstation.example.com");
    nothing_written(&cloud);
    cloud.run(&["remove", NAME, "--yes"]).await.says("done  delete  jumpstation.example.com");
    assert_eq!(control.record_azure(NAME, "CNAME"), None);
}

#[tokio::test]
async fn a_name_follows_a_watched_public_ip_away_from_the_label_that_a_stranger_took() {
    let cloud = brief().await;
    cloud.replace("label = \"contoso-jump\"", "label = \"contoso-jump\"\nmanage = false");
    let control = cloud.sandbox.control();
    control.create_legacy_public_ip(&LegacyPublicIp::default()).unwrap();
    cloud.run(&["sync"]).await.exits(0);
    control.relabel("pip-jump", Some("contoso-leap")).unwrap();
    control.stranger_takes_label("contoso-jump").unwrap();
    cloud.sandbox.forget_requests();
    cloud.run(&["sync"]).await.exits(0).says("contoso-leap.westeurope.cloudapp.azure.com");
    assert_eq!(written(&cloud), ["PUT jumpstation"]);
    settled(&cloud).await;
}

#[tokio::test]
async fn names_follow_a_public_ip_of_ours_whose_label_somebody_changed_and_it_keeps_that_until_told() {
    for taken in [false, true] {
        let cloud = brief().await;
        cloud.run(&["sync"]).await.exits(0);
        let control = cloud.sandbox.control();
        control.relabel("pip-jump", Some("contoso-leap")).unwrap();
        if taken {
            control.stranger_takes_label("contoso-jump").unwrap();
        }
        cloud.sandbox.forget_requests();
        let rule = if taken { "takeover" } else { "relabel" };
        let run = cloud.run(&["sync"]).await.exits(4).says(&format!("refused ({rule}): public IP of jump"));
        run.says("contoso-leap.westeurope.cloudapp.azure.com").says("set label = \"contoso-leap\"");
        assert_eq!(written(&cloud), ["PUT jumpstation"], "{rule}");
        cloud.sandbox.forget_requests();
        cloud.run(&["sync"]).await.exits(4);
        nothing_written(&cloud);
        cloud.replace("contoso-jump", "contoso-leap");
        settled(&cloud).await;
    }
}

#[tokio::test]
async fn a_label_on_another_public_ip_of_ours_is_told_with_its_id() {
    let cloud = Cloud::start().await;
    let other = LegacyPublicIp { name: "pip-old".into(), ..LegacyPublicIp::default() };
    cloud.sandbox.control().create_legacy_public_ip(&other).unwrap();
    let id = "/resourceGroups/rg-mgmt/providers/Microsoft.Network/publicIPAddresses/pip-old";
    refused_for_the_label(&cloud, id, "take the label off it").await;
}

#[tokio::test]
async fn a_label_that_is_kept_back_after_its_deletion_is_not_asked_for_again() {
    let cloud = Cloud::with(|options| options.label_reservation = Duration::from_secs(3600)).await;
    let control = cloud.sandbox.control();
    control.create_legacy_public_ip(&LegacyPublicIp::default()).unwrap();
    control.delete_public_ip("pip-jump").unwrap();
    refused_for_the_label(&cloud, "is held by somebody else", "choose another label for jump").await;
}

#[tokio::test]
async fn a_label_is_renamed_only_when_that_is_allowed_and_its_name_leaves_first() {
    let cloud = brief().await;
    cloud.run(&["sync"]).await.exits(0);
    cloud.replace("contoso-jump", "contoso-leap");
    cloud.sandbox.forget_requests();
    let run = cloud.run(&["sync"]).await.exits(4).says("refused (relabel): public IP of jump");
    run.says("from contoso-jump to contoso-leap")
        .says("cnamed sync --allow relabel")
        .says("set label = \"contoso-jump\"");
    nothing_written(&cloud);

    cloud
        .run(&["sync", "--allow", "relabel"])
        .await
        .exits(0)
        .says("contoso-leap.westeurope.cloudapp.azure.com");
    assert_eq!(written(&cloud), ["DELETE jumpstation", "PUT pip-jump", "PUT jumpstation"]);
    let at: Vec<f64> = cloud.writes().iter().map(|write| write.at).collect();
    assert!(at[1] - at[0] >= 1.0, "a cache may give the old name for its TTL: {at:?}");
    settled(&cloud).await;
}

#[tokio::test]
async fn a_renamed_label_that_a_stranger_holds_takes_no_name_away() {
    let cloud = brief().await;
    cloud.run(&["sync"]).await.exits(0);
    cloud.replace("contoso-jump", "contoso-leap");
    cloud.sandbox.control().stranger_takes_label("contoso-leap").unwrap();
    cloud.sandbox.forget_requests();
    cloud.run(&["sync", "--allow", "relabel"]).await.exits(4).says("refused (takeover)");
    nothing_written(&cloud);
}

#[tokio::test]
async fn an_existing_basic_address_is_followed_through_release_and_return_without_a_write() {
    let cloud = Cloud::start().await;
    cloud.replace("label = \"contoso-jump\"", "label = \"contoso-jump\"\nallocation = \"dynamic\"");
    let control = cloud.sandbox.control();
    let tags = [("team".to_owned(), "ops".to_owned())].into();
    control.create_legacy_public_ip(&LegacyPublicIp { tags, ..LegacyPublicIp::default() }).unwrap();
    control.edit_public_ip("pip-jump", &json!({"properties": {"idleTimeoutInMinutes": 17}})).unwrap();
    let before = settings(&cloud.sandbox);
    cloud.run(&["sync"]).await.exits(0);
    assert!(written(&cloud).iter().all(|write| !write.contains("pip-jump")), "it was as wanted");

    let first = cloud.run(&["--format", "json", "status"]).await.exits(0).json();
    assert_eq!(first["endpoints"][0]["state"], "ready");
    control.deallocate_vm();
    cloud.sandbox.forget_requests();
    let released = cloud.run(&["--format", "json", "sync"]).await.exits(0).json();
    assert_eq!(released["endpoints"][0]["state"], "released");
    assert_eq!(released["endpoints"][0]["address"], Value::Null);
    cloud.run(&["status"]).await.says("its address is released until the machine runs");
    control.start_vm();
    let back = cloud.run(&["--format", "json", "sync"]).await.exits(0).json();
    assert_eq!(back["endpoints"][0]["state"], "ready");
    assert_ne!(back["endpoints"][0]["address"], first["endpoints"][0]["address"]);
    nothing_written(&cloud);
    assert_eq!(settings(&cloud.sandbox), before);
}

#[tokio::test]
async fn a_label_is_put_on_an_existing_address_and_everything_else_on_it_stays() {
    let cloud = Cloud::start().await;
    let control = cloud.sandbox.control();
    let tags = [("team".to_owned(), "ops".to_owned())].into();
    control
        .create_legacy_public_ip(&LegacyPublicIp { tags, label: None, ..LegacyPublicIp::default() })
        .unwrap();
    let reverse =
        json!({"properties": {"idleTimeoutInMinutes": 17, "ddosSettings": {"protectionMode": "Disabled"}}});
    control.edit_public_ip("pip-jump", &reverse).unwrap();
    let before = settings(&cloud.sandbox);
    cloud.run(&["sync"]).await.exits(0).says("it has no label, and contoso-jump is wanted");
    let held = control.public_ip("pip-jump").unwrap();
    assert_eq!(held["properties"]["dnsSettings"]["fqdn"], LABEL);
    assert_eq!(settings(&cloud.sandbox), before);
    let put = cloud.writes().into_iter().find(|write| write.path.ends_with("pip-jump")).unwrap();
    assert!(put.header("if-match").is_some(), "every write to what exists is conditional");
    settled(&cloud).await;
}

#[tokio::test]
async fn an_endpoint_that_is_only_watched_is_never_made_and_its_loss_withdraws_the_name() {
    let cloud = Cloud::start().await;
    cloud.replace("label = \"contoso-jump\"", "label = \"contoso-jump\"\nmanage = false");
    cloud.run(&["sync"]).await.exits(3).says("waits for the public IP pip-jump, which does not exist");
    nothing_written(&cloud);

    let control = cloud.sandbox.control();
    control.create_legacy_public_ip(&LegacyPublicIp::default()).unwrap();
    let before = control.public_ip("pip-jump");
    cloud.run(&["sync"]).await.exits(0);
    assert_eq!(control.public_ip("pip-jump"), before);
    settled(&cloud).await;

    control.delete_public_ip("pip-jump").unwrap();
    cloud
        .run(&["sync"])
        .await
        .exits(3)
        .says("nobody holds the label that it points at, so anybody could claim it");
    assert_eq!(control.record_azure(NAME, "CNAME"), None);
}

#[tokio::test]
async fn an_address_that_was_made_anew_changes_no_cname_and_a_lost_one_is_made_again() {
    let cloud = brief().await;
    cloud.run(&["sync"]).await.exits(0);
    let control = cloud.sandbox.control();
    control.recreate_public_ip("pip-jump").unwrap();
    settled(&cloud).await;
    control.delete_public_ip("pip-jump").unwrap();
    cloud.run(&["sync"]).await.exits(0);
    assert_eq!(written(&cloud), ["PUT pip-jump"]);
    settled(&cloud).await;
}

#[tokio::test]
async fn a_dynamic_address_that_does_not_exist_is_never_made() {
    let cloud = Cloud::start().await;
    cloud.replace("label = \"contoso-jump\"", "label = \"contoso-jump\"\nallocation = \"dynamic\"");
    let run = cloud.run(&["sync"]).await.exits(4).says("Azure makes no dynamic addresses any more");
    run.says("set allocation = \"static\" for jump");
    nothing_written(&cloud);
}
