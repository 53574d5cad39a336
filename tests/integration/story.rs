//! The main job on a real wire: the built binary against a whole cloud on loopback.

use cnamed::sandbox::{HoldPoint, Service};

use crate::foreign::{LABEL, cname, nothing_written};
use crate::support::Cloud;

#[tokio::test]
async fn plan_shows_everything_and_writes_nothing() {
    let cloud = Cloud::start().await;
    cloud.run(&["plan"]).await.exits(3).says("contoso-jump").says("jumpstation.example.com");
    assert!(cloud.writes().is_empty(), "{:?}", cloud.writes());
}

#[tokio::test]
async fn one_sync_provisions_and_verifies_and_a_second_writes_nothing() {
    let cloud = Cloud::start().await;
    let run = cloud.run(&["--format", "json", "sync"]).await.exits(0);
    let round = run.json();
    assert_eq!(round["version"], 1);
    assert_eq!(round["outcome"], "changed");
    assert_eq!(round["endpoints"][0]["state"], "ready");
    assert_eq!(round["changes"].as_array().unwrap().len(), 3, "{round:#}");
    for record in round["records"].as_array().unwrap() {
        assert_eq!(record["verdict"], "agreed", "{round:#}");
    }
    assert!(!cloud.writes().is_empty());

    cloud.sandbox.forget_requests();
    let round = cloud.run(&["--format", "json", "sync"]).await.exits(0).json();
    assert_eq!(round["outcome"], "in-sync");
    assert!(cloud.writes().is_empty(), "{:?}", cloud.writes());
}

#[tokio::test]
async fn an_idle_sync_costs_one_read_of_the_endpoint_the_zones_and_each_zone() {
    let cloud = Cloud::start().await;
    cloud.run(&["sync"]).await.exits(0);
    cloud.sandbox.forget_requests();
    cloud.run(&["sync"]).await.exits(0);
    let arm = cloud.asked(Service::Arm);
    let (endpoint, dns): (Vec<&String>, Vec<&String>) =
        arm.iter().partition(|request| request.to_ascii_lowercase().contains("publicipaddresses"));
    assert_eq!(endpoint.len(), 1, "{arm:#?}");
    assert!(dns.len() <= 2, "{arm:#?}");
    let cloudflare = cloud.asked(Service::Cloudflare);
    assert!(cloudflare.len() <= 3, "their list, and two zones: {cloudflare:#?}");
    assert!(cloud.writes().is_empty());
}

#[tokio::test]
async fn a_reviewed_plan_is_run_exactly_and_refused_once_something_changed() {
    let cloud = Cloud::start().await;
    let file = cloud.folder.path().join("plan.json");
    let file = file.to_str().unwrap();
    cloud.run(&["plan", "--out", file]).await.exits(3);
    cloud.run(&["sync", "--plan", file]).await.exits(0);
    cloud.sandbox.forget_requests();
    cloud.run(&["sync", "--plan", file]).await.exits(4).says("Plan again");
    assert!(cloud.writes().is_empty());
}

#[tokio::test]
async fn what_a_reviewed_plan_did_not_announce_is_not_done_in_its_name() {
    let cloud = Cloud::start().await;
    let file = cloud.folder.path().join("plan.json");
    let file = file.to_str().unwrap();
    cloud.run(&["plan", "--out", file]).await.exits(3);
    // Between the public IP and the names that wait for it, something comes up that nobody reviewed.
    let control = cloud.sandbox.control();
    control.hold_at(1, true, HoldPoint::After);
    let child = cloud.spawn(&["sync", "--plan", file]);
    control.wait_until_held().await;
    control.set_record_azure(&cname("old.example.com", LABEL, 1, Some("demo"))).unwrap();
    control.release();
    let ended = child.wait_with_output().await.unwrap();
    let said = String::from_utf8(ended.stdout).unwrap();
    assert_eq!(ended.status.code(), Some(3), "{said}");
    assert!(control.record_azure("old.example.com", "CNAME").is_some(), "{said}");
    assert!(control.public_ip("pip-jump").is_some(), "what was reviewed is done: {said}");
}

#[tokio::test]
async fn a_label_is_not_given_up_while_a_forgotten_name_of_ours_points_at_it() {
    let cloud = Cloud::start().await;
    cloud.replace("accounts = [\"azure\", \"cf\"]", "accounts = [\"azure\"]");
    cloud.replace("ttl = 30", "ttl = 1");
    cloud.run(&["sync"]).await.exits(0);
    // In another zone, where the file names nothing.
    let forgotten = serde_json::json!({
        "name": "old.example.net", "type": "CNAME", "content": "contoso-jump.westeurope.cloudapp.azure.com",
        "ttl": 60, "comment": "managed-by=cnamed owner=demo",
    });
    cloud.sandbox.control().set_record_cloudflare(&forgotten).unwrap();
    let run = cloud.run(&["teardown", "jump", "--yes"]).await;
    assert_ne!(run.code, 0, "{run:?}");
    let run = run.says("old.example.net");
    assert!(cloud.sandbox.control().public_ip("pip-jump").is_some(), "{run:?}");
}

#[tokio::test]
async fn a_gateway_is_provisioned_with_its_endpoint_and_goes_with_it() {
    let cloud = Cloud::with(|options| options.gateway = true).await;
    cloud.replace("ttl = 30", "ttl = 1");
    cloud.replace("accounts = [\"azure\", \"cf\"]", "accounts = [\"azure\"]");
    let control = cloud.sandbox.control();
    let before = control.resources().len();
    cloud.run(&["sync", "--verify"]).await.exits(0).says("greeted by RDP").says("greeted by SSH");
    assert!(control.show_resource("loadBalancers/lb-jump").is_some());
    cloud.run(&["teardown", "--yes"]).await.exits(0);
    assert_eq!(control.resources().len(), before);
    assert_eq!(control.public_ip("pip-jump"), None);
    cloud.sandbox.forget_requests();
    cloud.run(&["teardown", "--yes"]).await.exits(0).says("nothing to do");
    nothing_written(&cloud);
}
