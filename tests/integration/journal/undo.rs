//! The last write is put back, under the same rules as any other change.

use cnamed::sandbox::RecordAtAzure;
use serde_json::{Value, json};

use super::{brief, entries, state};
use crate::foreign::{LABEL, NAME, at_cloudflare, cname, nothing_written, settled};
use crate::support::Cloud;

const ELSEWHERE: &str = "elsewhere.example.net";

/// The CNAME's target at Azure DNS.
fn target(cloud: &Cloud) -> Option<String> {
    let record = cloud.sandbox.control().record_azure(NAME, "CNAME")?;
    record["properties"]["CNAMERecord"]["cname"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn what_was_made_is_withdrawn_and_the_configuration_still_wants_it() {
    let cloud = brief("azure").await;
    cloud.run(&["sync"]).await.exits(0);
    cloud.sandbox.forget_requests();
    let asked = cloud.run(&["undo"]).await.exits(2).says("--yes");
    let asked = asked.says("create jumpstation.example.com in azure, since: follows jump");
    // How long it lasts is known before anybody agrees.
    asked
        .says("1  delete  jumpstation")
        .says("the next sync does it again. Take jumpstation.example.com out of it");
    nothing_written(&cloud);
    let run = cloud.run(&["undo", "--yes"]).await.exits(0).says("puts back what stood there before change 2");
    let run = run.says("2 name servers say that there is nothing");
    let again = "The configuration still wants it otherwise: the next sync does it again.";
    assert_eq!(run.says(again).err.matches("the next sync").count(), 1);
    assert_eq!(target(&cloud), None);
    assert!(cloud.sandbox.control().public_ip("pip-jump").is_some(), "its endpoint stays");
    let told = entries(&cloud, &[]).await;
    let back = told.last().unwrap();
    assert_eq!((&back["verb"], &back["outcome"]), (&json!("delete"), &json!("applied")));
    assert_eq!(back["reason"], "puts back what stood there before change 2");
    cloud.run(&["undo", "--yes"]).await.exits(1).says("there is nothing to put back");
    cloud.run(&["sync"]).await.exits(0).says("done  create  jumpstation");
    settled(&cloud).await;
}

#[tokio::test]
async fn what_was_withdrawn_is_made_again_and_then_what_came_before_it_is_put_back() {
    let cloud = brief("cf").await;
    cloud.run(&["sync"]).await.exits(0);
    cloud.replace("ttl = 1", "ttl = 60");
    cloud.run(&["sync"]).await.exits(0).says("TTL 1s becomes 60s");
    cloud.run(&["remove", NAME, "--yes"]).await.exits(0);
    cloud.sandbox.control().clear_cache();
    let run = cloud.run(&["--format", "json", "undo", "--yes"]).await.exits(0);
    let round = run.json();
    assert_eq!((&round["version"], &round["outcome"]), (&json!(1), &json!("changed")));
    assert_eq!(round["records"][0]["verdict"], "agreed");
    let record = at_cloudflare(&cloud, NAME).unwrap();
    assert_eq!((&record["content"], &record["ttl"]), (&json!(LABEL), &json!(60)));
    assert!(!run.err.contains("The configuration"), "it is as it is wanted: {}", run.err);
    // One further back.
    cloud.run(&["undo", "--yes"]).await.exits(0).says("before change 3");
    assert_eq!(at_cloudflare(&cloud, NAME).unwrap()["ttl"], 1);
    cloud.run(&["sync"]).await.exits(0);
    assert_eq!(at_cloudflare(&cloud, NAME).unwrap()["ttl"], 60);
    settled(&cloud).await;
}

#[tokio::test]
async fn an_undo_is_refused_where_something_else_stands_there_by_now() {
    let cloud = brief("azure").await;
    cloud.run(&["sync"]).await.exits(0);
    let control = cloud.sandbox.control();
    control.set_record_azure(&cname(NAME, ELSEWHERE, 1, Some("demo"))).unwrap();
    cloud.sandbox.forget_requests();
    let run = cloud.run(&["undo", "--yes"]).await.exits(4).says("refused (differs)");
    let run =
        run.says(&format!("is CNAME {ELSEWHERE}  ttl 1s now, of ours, and the change left CNAME {LABEL}"));
    run.says("cnamed history --name jumpstation.example.com");
    control.delete_record_azure(NAME, "CNAME").unwrap();
    cloud.run(&["undo", "--yes"]).await.exits(4).says("is nothing now");
    // Somebody's own, in the place of what was withdrawn.
    control.set_record_azure(&cname(NAME, LABEL, 1, Some("demo"))).unwrap();
    cloud.run(&["remove", NAME, "--yes"]).await.exits(0);
    control.set_record_azure(&RecordAtAzure::new(NAME, "A", "192.0.2.9")).unwrap();
    cloud.sandbox.forget_requests();
    cloud.run(&["undo", "--yes"]).await.exits(4).says("refused (foreign)").says("192.0.2.9");
    nothing_written(&cloud);
    assert!(control.record_azure(NAME, "A").is_some());
}

#[tokio::test]
async fn a_name_is_not_put_back_onto_a_label_that_no_endpoint_holds() {
    let cloud = brief("azure").await;
    cloud.run(&["sync"]).await.exits(0);
    cloud.run(&["remove", NAME, "--yes"]).await.exits(0);
    let control = cloud.sandbox.control();
    control.relabel("pip-jump", None).unwrap();
    cloud.sandbox.forget_requests();
    let run = cloud.run(&["undo", "--yes"]).await.exits(4).says("refused (dangling)");
    run.says(&format!("would lead to {LABEL}, which no endpoint is seen to hold"));
    control.delete_public_ip("pip-jump").unwrap();
    cloud.run(&["undo", "--yes"]).await.exits(4).says("refused (dangling)");
    nothing_written(&cloud);
    assert_eq!(target(&cloud), None);
}

#[tokio::test]
async fn a_label_of_somebody_elses_is_not_given_back_by_undoing_an_adoption() {
    let cloud = brief("azure").await;
    let control = cloud.sandbox.control();
    let theirs = "theirs.northeurope.cloudapp.azure.com";
    control.set_record_azure(&cname(NAME, theirs, 60, None)).unwrap();
    cloud.run(&["adopt", NAME, "--yes"]).await.exits(0);
    cloud.sandbox.forget_requests();
    cloud.run(&["undo", "--yes"]).await.exits(4).says("refused (dangling)").says(theirs);
    nothing_written(&cloud);
}

#[tokio::test]
async fn an_adopted_record_gets_its_old_content_and_it_is_said_that_it_keeps_our_mark() {
    let cloud = brief("azure").await;
    let control = cloud.sandbox.control();
    let mut theirs = cname(NAME, ELSEWHERE, 60, None);
    theirs.metadata = [("team".into(), "ops".into())].into();
    control.set_record_azure(&theirs).unwrap();
    cloud.run(&["adopt", NAME, "--yes"]).await.exits(0);
    control.clear_cache();
    let asked = cloud.run(&["undo"]).await.exits(2);
    asked.says("had no mark before, and keeps ours").says("take it off by hand to give the record back");
    cloud.run(&["undo", "--yes"]).await.exits(0).says("agrees on 1 record");
    let record = control.record_azure(NAME, "CNAME").unwrap();
    assert_eq!(record["properties"]["CNAMERecord"]["cname"], ELSEWHERE);
    assert_eq!(record["properties"]["TTL"], 60);
    assert_eq!(
        record["properties"]["metadata"],
        json!({"team": "ops", "managed-by": "cnamed", "owner": "demo"})
    );
}

#[tokio::test]
async fn several_types_that_gave_way_to_one_all_come_back() {
    let cloud = brief("cf").await;
    let control = cloud.sandbox.control();
    for (kind, content) in [("A", "192.0.2.9"), ("AAAA", "2001:db8::9")] {
        let record = json!({"type": kind, "name": NAME, "content": content, "ttl": 60});
        control.set_record_cloudflare(&record).unwrap();
    }
    let adopted = cloud.run(&["adopt", NAME, "--yes"]).await.exits(0).says("A and AAAA becomes CNAME");
    assert!(!adopted.out.contains("for a moment"), "Cloudflare takes it in one batch: {}", adopted.out);
    control.clear_cache();
    cloud.run(&["undo", "--yes"]).await.exits(0).says("2 changes made");
    let all = control.records_without("");
    let held = all.iter().filter(|record| record["name"] == NAME && record.get("content").is_some());
    let mut held: Vec<&str> = held.map(|record| record["content"].as_str().unwrap()).collect();
    held.sort_unstable();
    assert_eq!(held, ["192.0.2.9", "2001:db8::9"]);
}

#[tokio::test]
async fn an_address_that_was_ours_is_not_put_back_once_it_is_somebody_elses() {
    let cloud = brief("azure").await;
    cloud.replace("ttl = 1", "ttl = 1\nmode = \"address\"");
    cloud.run(&["sync"]).await.exits(0);
    cloud.sandbox.control().recreate_public_ip("pip-jump").unwrap();
    cloud.run(&["sync"]).await.exits(0).says("jump is elsewhere");
    cloud.sandbox.forget_requests();
    cloud.run(&["undo", "--yes"]).await.exits(4).says("refused (dangling)").says("would lead to 203.0.113.");
    nothing_written(&cloud);
}

#[tokio::test]
async fn what_the_configuration_does_not_name_any_more_is_pruned_again_and_that_is_said() {
    let cloud = brief("azure").await;
    cloud.run(&["sync"]).await.exits(0);
    let control = cloud.sandbox.control();
    control.set_record_azure(&cname("old.example.com", LABEL, 1, Some("demo"))).unwrap();
    cloud.run(&["sync"]).await.exits(0).says("done  delete  old.example.com");
    cloud.run(&["undo"]).await.exits(2).says("does not name old.example.com in azure");
    let run = cloud.run(&["undo", "--yes"]).await.exits(0);
    run.says("does not name old.example.com in azure, and it carries our mark: the next sync withdraws it");
    assert!(control.record_azure("old.example.com", "CNAME").is_some());
}

#[tokio::test]
async fn an_account_that_cannot_be_read_is_waited_for_and_one_that_is_gone_is_named() {
    let cloud = brief("azure").await;
    cloud.run(&["sync"]).await.exits(0);
    cloud.replace("resource_group = \"rg-dns\"", "resource_group = \"rg-nowhere\"");
    cloud.sandbox.forget_requests();
    let run = cloud.run(&["--format", "json", "undo", "--yes"]).await;
    assert_ne!(run.code, 0, "{}", run.out);
    nothing_written(&cloud);
    cloud.configure(|text| {
        text.replace("\"azure\"", "\"other\"").replace("provider = \"other\"", "provider = \"azure\"")
    });
    cloud.run(&["undo", "--yes"]).await.exits(2).says("names no account azure");
}

#[tokio::test]
async fn an_undo_that_fails_is_offered_again() {
    use cnamed::sandbox::{Action, Fault, Service};
    let cloud = brief("cf").await;
    cloud.run(&["sync"]).await.exits(0);
    let body = json!({"success": false, "errors": [{"code": 9109, "message": "no"}], "result": Value::Null});
    let action = Action::Status { status: 403, headers: Vec::new(), body };
    let fault = Fault { method: Some("DELETE".into()), ..Fault::on(Service::Cloudflare, action).always() };
    cloud.sandbox.control().fault(fault);
    cloud.run(&["undo", "--yes"]).await.exits(1).says("failed");
    let told = entries(&cloud, &[]).await;
    assert_eq!(told.last().unwrap()["outcome"], "failed");
    assert!(told.last().unwrap()["error"].as_str().is_some_and(|error| !error.is_empty()), "{told:#?}");
    cloud.sandbox.control().clear_faults();
    cloud.run(&["undo", "--yes"]).await.exits(0).says("before change 2");
    assert_eq!(at_cloudflare(&cloud, NAME), None);
    assert!(state(&cloud).join("journal.sqlite3").exists());
}
