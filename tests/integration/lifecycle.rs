//! What happens to names and endpoints over their lives: made, renamed, lost, pruned, removed and taken down.

mod endpoint;
mod modes;

use cnamed::sandbox::{RecordAtAzure, Service};
use serde_json::json;

use crate::foreign::{LABEL, NAME, at_cloudflare, cname, nothing_written, settled};
use crate::support::Cloud;

/// One record, in Azure DNS alone, that caches forget at once.
async fn brief() -> Cloud {
    let cloud = Cloud::start().await;
    cloud.replace("accounts = [\"azure\", \"cf\"]\nttl = 30", "accounts = [\"azure\"]\nttl = 1");
    cloud
}

/// The writes, by method and the last part of the path.
fn written(cloud: &Cloud) -> Vec<String> {
    let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    cloud.writes().iter().map(|write| format!("{} {}", write.method, last(&write.path))).collect()
}

#[tokio::test]
async fn a_name_is_removed_wherever_it_is_held_and_nothing_else_is() {
    let cloud = Cloud::start().await;
    cloud.run(&["sync"]).await.exits(0);
    let control = cloud.sandbox.control();
    let others = control.records_without(NAME);
    cloud.sandbox.forget_requests();
    cloud.run(&["remove", NAME]).await.exits(2).says("delete").says("nobody can be asked here").says("--yes");
    nothing_written(&cloud);

    let run = cloud
        .run(&["remove", NAME, "--yes"])
        .await
        .exits(0)
        .says("take it out, or the next sync restores it");
    run.says("2 name servers say that there is nothing");
    assert_eq!(control.record_azure(NAME, "CNAME"), None);
    assert_eq!(at_cloudflare(&cloud, NAME), None);
    assert_eq!(control.records_without(NAME), others);
    assert!(control.public_ip("pip-jump").is_some(), "its endpoint stays");
    cloud.sandbox.forget_requests();
    cloud.run(&["remove", NAME, "--yes"]).await.exits(0).says("nothing of ours stands at jumpstation");
    nothing_written(&cloud);
}

#[tokio::test]
async fn a_stray_is_removed_though_the_configuration_does_not_name_it() {
    let cloud = Cloud::start().await;
    let control = cloud.sandbox.control();
    control.set_record_azure(&cname("old.example.com", LABEL, 1, Some("demo"))).unwrap();
    // The endpoint does not even exist, and nothing of it is asked for.
    cloud.run(&["remove", "old.example.com", "--yes"]).await.says("done  delete  old.example.com");
    assert_eq!(control.record_azure("old.example.com", "CNAME"), None);
    assert_eq!(written(&cloud), ["DELETE old"]);
    gone(&cloud, "old.example.com").await;
}

/// Removing it once more writes nothing.
async fn gone(cloud: &Cloud, name: &str) {
    cloud.sandbox.forget_requests();
    cloud.run(&["remove", name, "--yes"]).await.says("nothing of ours stands at");
    nothing_written(cloud);
}

#[tokio::test]
async fn a_stray_in_a_zone_that_only_one_account_holds_is_removed_there() {
    let cloud = Cloud::start().await;
    let control = cloud.sandbox.control();
    let stray = json!({"type": "CNAME", "name": "x.example.net", "content": LABEL, "ttl": 30,
        "comment": "managed-by=cnamed owner=demo"});
    cloud.run(&["sync"]).await.exits(0);
    control.set_record_cloudflare(&stray).unwrap();
    cloud.run(&["remove", "x.example.net", "--yes"]).await.exits(0).says("there is nothing");
    assert_eq!(at_cloudflare(&cloud, "x.example.net"), None);
    gone(&cloud, "x.example.net").await;
}

#[tokio::test]
async fn what_is_no_longer_named_is_withdrawn_within_the_limit() {
    let cloud = Cloud::start().await;
    let control = cloud.sandbox.control();
    cloud.run(&["sync"]).await.exits(0);
    for name in ["old0", "old1", "old2", "old3"] {
        control.set_record_azure(&cname(&format!("{name}.example.com"), LABEL, 1, Some("demo"))).unwrap();
    }
    cloud.sandbox.forget_requests();
    let run = cloud
        .run(&["sync"])
        .await
        .exits(4)
        .says("refused (too-many-deletes)")
        .says("old0.example.com in azure");
    run.says("limits.deletes_per_round is 3").says("cnamed sync --allow deletes");
    nothing_written(&cloud);

    control.delete_record_azure("old3.example.com", "CNAME").unwrap();
    let run = cloud.run(&["sync"]).await.exits(0).says("the configuration does not name it");
    assert_eq!(run.out.matches("2 name servers say that there is nothing").count(), 3, "{}", run.out);
    assert_eq!(written(&cloud).len(), 3, "{:?}", written(&cloud));
    settled(&cloud).await;

    for name in ["old0", "old1", "old2", "old3"] {
        control.set_record_azure(&cname(&format!("{name}.example.com"), LABEL, 1, Some("demo"))).unwrap();
    }
    cloud.run(&["sync", "--allow", "deletes"]).await.exits(0);
    settled(&cloud).await;
}

#[tokio::test]
async fn nothing_is_pruned_when_pruning_is_off_or_the_round_is_narrowed() {
    let cloud = Cloud::start().await;
    let control = cloud.sandbox.control();
    control.set_record_azure(&cname("old.example.com", LABEL, 1, Some("demo"))).unwrap();
    cloud.run(&["sync", "--only", NAME]).await.exits(0);
    cloud.replace("owner = \"demo\"", "owner = \"demo\"\nprune = false");
    cloud.run(&["sync"]).await.exits(0);
    assert!(control.record_azure("old.example.com", "CNAME").is_some());
}

#[tokio::test]
async fn a_configuration_without_records_withdraws_nothing_unasked() {
    let cloud = Cloud::start().await;
    cloud.run(&["sync"]).await.exits(0);
    cloud.configure(|text| {
        let (head, rest) = text.split_once("[[record]]").unwrap();
        format!("{head}{}", &rest[rest.find("[verify]").unwrap()..])
    });
    cloud.sandbox.forget_requests();
    let run =
        cloud.run(&["sync"]).await.exits(4).says("refused (wanted-empty)").says("jumpstation.example.com");
    run.says("--allow deletes");
    nothing_written(&cloud);
}

#[tokio::test]
async fn a_round_can_be_narrowed_to_one_record_or_one_endpoint() {
    let cloud = Cloud::start().await;
    cloud.append("\n[[record]]\nname = \"two.example.com\"\nendpoint = \"jump\"\naccounts = [\"azure\"]\n");
    cloud.run(&["sync", "--only", "TWO.example.com."]).await.exits(0);
    assert_eq!(written(&cloud), ["PUT pip-jump", "PUT two"]);
    cloud.sandbox.forget_requests();
    cloud.run(&["sync", "--only", "jump"]).await.exits(0);
    assert_eq!(cloud.writes().len(), 2, "{:?}", written(&cloud));
    settled(&cloud).await;
}

#[tokio::test]
async fn a_reviewed_plan_is_not_run_on_what_has_drifted_since() {
    let cloud = Cloud::start().await;
    cloud.run(&["sync"]).await.exits(0);
    let control = cloud.sandbox.control();
    let drift = |target: &str| {
        let comment = "by hand managed-by=cnamed owner=demo";
        let record = json!({"type": "CNAME", "name": NAME, "content": target, "ttl": 30, "comment": comment});
        control.set_record_cloudflare(&record).unwrap();
    };
    drift("one.example.net");
    let file = cloud.folder.path().join("plan.json");
    let file = file.to_str().unwrap();
    cloud.run(&["plan", "--out", file]).await.exits(3).says("one.example.net").says("sync --plan");
    drift("two.example.net");
    cloud.sandbox.forget_requests();
    let run = cloud
        .run(&["sync", "--plan", file])
        .await
        .exits(4)
        .says("jumpstation.example.com in cf meets another state");
    run.says("nothing was done. Plan again");
    nothing_written(&cloud);
    cloud.run(&["plan", "--out", file]).await.exits(3).says("two.example.net");
    cloud.run(&["sync", "--plan", file]).await.exits(0);
    assert_eq!(at_cloudflare(&cloud, NAME).unwrap()["comment"], "by hand managed-by=cnamed owner=demo");
    settled(&cloud).await;
}

#[tokio::test]
async fn teardown_withdraws_waits_and_then_takes_down_what_is_ours() {
    let cloud = brief().await;
    cloud.run(&["sync"]).await.exits(0);
    let control = cloud.sandbox.control();
    let others = control.records_without(NAME);
    cloud.sandbox.forget_requests();
    cloud.run(&["teardown"]).await.exits(2).says("nobody can be asked here");
    nothing_written(&cloud);
    cloud.run(&["teardown", "--yes"]).await.exits(0);
    assert_eq!(written(&cloud), ["DELETE jumpstation", "DELETE pip-jump"]);
    let at: Vec<f64> = cloud.writes().iter().map(|write| write.at).collect();
    assert!(at[1] - at[0] >= 1.0, "a cache may give the name for its TTL: {at:?}");
    assert_eq!(control.public_ip("pip-jump"), None);
    assert_eq!(control.records_without(NAME), others);
    cloud.sandbox.forget_requests();
    cloud.run(&["teardown", "--yes"]).await.exits(0).says("nothing to do");
    nothing_written(&cloud);
}

#[tokio::test]
async fn teardown_leaves_a_public_ip_that_others_made() {
    let cloud = brief().await;
    let control = cloud.sandbox.control();
    control.create_legacy_public_ip(&cnamed::sandbox::LegacyPublicIp::default()).unwrap();
    cloud.run(&["sync"]).await.exits(0);
    cloud.run(&["teardown", "--yes"]).await.exits(0).says("does not carry our mark, and stays");
    assert!(control.public_ip("pip-jump").is_some());
    assert_eq!(control.record_azure(NAME, "CNAME"), None);
    cloud.sandbox.forget_requests();
    cloud.run(&["teardown", "--yes"]).await.exits(0);
    nothing_written(&cloud);
}

#[tokio::test]
async fn a_policy_without_withdrawal_keeps_the_name_and_so_the_label() {
    let cloud = brief().await;
    cloud.replace("ttl = 1", "ttl = 1\npolicy = \"upsert-only\"");
    cloud.run(&["sync"]).await.exits(0);
    cloud.replace("ttl = 1", "ttl = 2");
    cloud.run(&["sync"]).await.exits(0).says("TTL 1s becomes 2s");
    cloud.sandbox.forget_requests();
    cloud
        .run(&["teardown", "--yes"])
        .await
        .exits(3)
        .says("its policy to be \"sync\", which alone may withdraw");
    nothing_written(&cloud);
}

#[tokio::test]
async fn a_policy_of_creation_leaves_what_stands_and_is_content_with_it() {
    let cloud = brief().await;
    cloud.replace("ttl = 1", "ttl = 1\npolicy = \"create-only\"");
    cloud.run(&["sync"]).await.exits(0);
    cloud.replace("ttl = 1", "ttl = 2");
    cloud.sandbox.forget_requests();
    cloud.run(&["sync"]).await.exits(0).says("and stays: its policy is create-only");
    nothing_written(&cloud);

    let theirs = Cloud::start().await;
    theirs.replace("ttl = 30", "ttl = 60\npolicy = \"create-only\"");
    let control = theirs.sandbox.control();
    control.set_record_azure(&RecordAtAzure::new(NAME, "A", "192.0.2.9")).unwrap();
    theirs.run(&["sync"]).await.exits(0).says("192.0.2.9").says("its policy is create-only");
    assert!(control.record_azure(NAME, "A").is_some());
    assert!(at_cloudflare(&theirs, NAME).is_some());
    assert!(
        theirs.asked(Service::Arm).iter().all(|asked| !asked.contains("PUT") || asked.contains("pip-jump"))
    );
}
