//! What belongs to others: reported, never changed, until it is adopted by name.

use cnamed::sandbox::RecordAtAzure;
use serde_json::{Value, json};

use crate::support::Cloud;

pub(crate) const NAME: &str = "jumpstation.example.com";
pub(crate) const LABEL: &str = "contoso-jump.westeurope.cloudapp.azure.com";

/// A CNAME in Azure DNS, with the mark of `owner` where one is given.
pub(crate) fn cname(name: &str, target: &str, ttl: u32, owner: Option<&str>) -> RecordAtAzure {
    let mut record = RecordAtAzure::new(name, "CNAME", target);
    record.ttl = ttl;
    if let Some(owner) = owner {
        record.metadata =
            [("managed-by", "cnamed"), ("owner", owner)].map(|(k, v)| (k.into(), v.into())).into();
    }
    record
}

/// Everything that both providers hold.
fn everything(cloud: &Cloud) -> Vec<Value> {
    cloud.sandbox.control().records_without("")
}

/// The record of `name` as Cloudflare shows it.
pub(crate) fn at_cloudflare(cloud: &Cloud, name: &str) -> Option<Value> {
    let all = everything(cloud);
    all.into_iter().find(|record| record["name"] == name && record.get("content").is_some())
}

#[track_caller]
pub(crate) fn nothing_written(cloud: &Cloud) {
    assert!(cloud.writes().is_empty(), "{:#?}", cloud.writes());
}

/// A second run of what has just been done must find nothing to do.
pub(crate) async fn settled(cloud: &Cloud) {
    cloud.sandbox.forget_requests();
    cloud.run(&["sync"]).await.exits(0).says("In sync");
    nothing_written(cloud);
}

#[tokio::test]
async fn a_foreign_record_is_refused_by_name_with_the_command_that_adopts_it() {
    let cloud = Cloud::start().await;
    let control = cloud.sandbox.control();
    control.set_record_azure(&cname(NAME, LABEL, 30, None)).unwrap();
    control
        .set_record_cloudflare(
            &json!({"type": "CNAME", "name": NAME, "content": "other.example.net", "ttl": 300}),
        )
        .unwrap();
    let before = everything(&cloud);
    let run = cloud.run(&["sync"]).await.exits(4);
    let run = run.says("jumpstation.example.com in azure is CNAME").says("without our mark");
    run.says("other.example.net").says("next: cnamed adopt jumpstation.example.com");
    nothing_written(&cloud);
    assert_eq!(everything(&cloud), before);

    let round = cloud.run(&["--format", "json", "sync"]).await.exits(4).json();
    assert_eq!(round["outcome"], "refused");
    assert_eq!(round["refused"][0]["rule"], "foreign", "{round:#}");
    assert_eq!(round["refused"][0]["allow"], "cnamed adopt jumpstation.example.com");
}

#[tokio::test]
async fn adoption_keeps_what_a_person_wrote_and_touches_nothing_else() {
    let cloud = Cloud::start().await;
    let control = cloud.sandbox.control();
    let mut theirs = cname(NAME, LABEL, 30, None);
    theirs.metadata = [("team".into(), "ops".into())].into();
    control.set_record_azure(&theirs).unwrap();
    let by_hand = json!({"type": "CNAME", "name": NAME, "content": "other.example.net", "ttl": 300,
        "comment": "by hand", "tags": ["team:ops"]});
    control.set_record_cloudflare(&by_hand).unwrap();
    let others = control.records_without(NAME);

    // What is shown before the question is what will be lost.
    let asked = cloud.run(&["adopt", NAME]).await.exits(2).says("nobody can be asked here").says("--yes");
    asked.says("takes over CNAME other.example.net");
    nothing_written(&cloud);

    cloud.run(&["adopt", NAME, "--yes"]).await.exits(0).says("taken over");
    let azure = control.record_azure(NAME, "CNAME").unwrap();
    assert_eq!(
        azure["properties"]["metadata"],
        json!({"team": "ops", "managed-by": "cnamed", "owner": "demo"})
    );
    let record = at_cloudflare(&cloud, NAME).unwrap();
    assert_eq!(record["comment"], "by hand managed-by=cnamed owner=demo");
    assert_eq!(record["tags"], json!(["team:ops"]));
    assert_eq!(record["content"], LABEL);
    assert_eq!(control.records_without(NAME), others);
    settled(&cloud).await;
}

#[tokio::test]
async fn a_comment_without_room_for_our_mark_is_refused_before_anything_is_written() {
    let cloud = Cloud::start().await;
    let control = cloud.sandbox.control();
    let put = |length: usize| {
        let by_hand = json!({"type": "CNAME", "name": NAME, "content": "other.example.net", "ttl": 300,
            "comment": "x".repeat(length)});
        control.set_record_cloudflare(&by_hand).unwrap();
    };
    put(72);
    let run = cloud.run(&["adopt", NAME, "--yes"]).await.exits(4);
    let run = run.says("refused (comment): jumpstation.example.com in cf").says("has 72 characters");
    run.says("shorten the comment at jumpstation.example.com in cf to 71 characters");
    nothing_written(&cloud);

    put(71);
    cloud.run(&["adopt", NAME, "--yes"]).await.exits(0).says("taken over");
    let comment = at_cloudflare(&cloud, NAME).unwrap()["comment"].as_str().unwrap().to_owned();
    assert_eq!(comment.len(), 100, "{comment}");
    settled(&cloud).await;
}

#[tokio::test]
async fn a_record_of_another_owner_is_taken_only_from_that_owner() {
    let cloud = Cloud::start().await;
    let control = cloud.sandbox.control();
    let mut theirs = cname(NAME, "", 30, Some("other"));
    (theirs.kind, theirs.values) = ("A".into(), vec!["192.0.2.9".into()]);
    control.set_record_azure(&theirs).unwrap();
    for arguments in [&["adopt", NAME, "--yes"][..], &["adopt", NAME, "--yes", "--from", "third"]] {
        let run = cloud.run(arguments).await.exits(4).says("192.0.2.9");
        run.says("with the mark of other").says("cnamed adopt jumpstation.example.com --from other");
        nothing_written(&cloud);
    }
    cloud
        .run(&["adopt", NAME, "--yes", "--from", "other"])
        .await
        .exits(0)
        .says("A becomes CNAME, taken over, and nothing stands there for a moment");
    assert_eq!(control.record_azure(NAME, "A"), None);
    assert_eq!(control.record_azure(NAME, "CNAME").unwrap()["properties"]["metadata"]["owner"], "demo");
    settled(&cloud).await;
}

#[tokio::test]
async fn adopt_takes_no_name_that_the_configuration_does_not_name() {
    let cloud = Cloud::start().await;
    let run = cloud.run(&["adopt", "www.example.com", "--yes"]).await.exits(2);
    run.says("names no record \"www.example.com\"").says("add a [[record]] first");
    cloud.run(&["adopt", "not a name", "--yes"]).await.exits(2).says("contains ' '");
    cloud.run(&["adopt", NAME, "--yes", "--from", "Not An Owner"]).await.exits(2).says("Not An Owner");
    assert!(cloud.sandbox.requests().is_empty(), "a mistake on the command line needs no cloud");
}

#[tokio::test]
async fn types_that_a_cname_cannot_stand_beside_are_never_displaced_not_even_by_adoption() {
    let cloud = Cloud::start().await;
    let control = cloud.sandbox.control();
    control.set_record_azure(&RecordAtAzure::new(NAME, "TXT", "hello")).unwrap();
    let mx = json!({"type": "MX", "name": NAME, "content": "mail.example.com", "priority": 10, "ttl": 60});
    control.set_record_cloudflare(&mx).unwrap();
    let before = everything(&cloud);
    for arguments in [&["sync"][..], &["adopt", NAME, "--yes"]] {
        let run =
            cloud.run(arguments).await.exits(4).says("refused (coexistence)").says("holds TXT in azure");
        run.says("holds MX in cf").says("set mode = \"address\" for jumpstation.example.com");
    }
    nothing_written(&cloud);
    assert_eq!(everything(&cloud), before);
}

#[tokio::test]
async fn a_foreign_address_beside_other_types_gives_way_to_adoption_only_in_its_own_type() {
    let cloud = Cloud::start().await;
    cloud.replace("ttl = 30", "ttl = 60\nmode = \"address\"");
    let control = cloud.sandbox.control();
    control.set_record_azure(&RecordAtAzure::new(NAME, "A", "192.0.2.9")).unwrap();
    control.set_record_azure(&RecordAtAzure::new(NAME, "TXT", "hello")).unwrap();
    cloud.run(&["sync"]).await.exits(4).says("A 192.0.2.9").says("cnamed adopt");
    nothing_written(&cloud);
    let text = control.record_azure(NAME, "TXT");
    cloud.run(&["adopt", NAME, "--yes"]).await.exits(0);
    assert_eq!(control.record_azure(NAME, "TXT"), text);
    assert_ne!(
        control.record_azure(NAME, "A").unwrap()["properties"]["ARecords"][0]["ipv4Address"],
        "192.0.2.9"
    );
    settled(&cloud).await;
}

#[tokio::test]
async fn removal_leaves_what_is_foreign_and_says_so() {
    let cloud = Cloud::start().await;
    let before = everything(&cloud);
    let run = cloud.run(&["remove", "www.example.com", "--yes"]).await.exits(4);
    run.says("refused (foreign)").says("192.0.2.80").says("without our mark");
    nothing_written(&cloud);
    assert_eq!(everything(&cloud), before);
    let run = cloud.run(&["remove", "nothing.example.com", "--yes"]).await.exits(0);
    run.says("nothing of ours stands at nothing.example.com");
    nothing_written(&cloud);
}

#[tokio::test]
async fn a_mark_of_another_owner_survives_removal_pruning_and_teardown() {
    let cloud = Cloud::start().await;
    let control = cloud.sandbox.control();
    control.set_record_azure(&cname("theirs.example.com", LABEL, 30, Some("other"))).unwrap();
    cloud.run(&["sync"]).await.exits(0);
    let run = cloud.run(&["remove", "theirs.example.com", "--yes"]).await.exits(4);
    run.says("with the mark of other").says("remove it with the configuration of other");
    assert!(control.record_azure("theirs.example.com", "CNAME").is_some());
}
