//! The disk is full, and there is room again.

use cnamed::sandbox::Control;
use serde_json::Value;

use super::ear::Ear;
use super::{NAME, Run, watched};
use crate::journal::entries;
use crate::support::Cloud;

/// More changes than fit into the room.
const MANY: u32 = 60;
/// The schema and a few entries.
const KIB: u32 = 96;
/// Not even the schema, nor what SQLite keeps beside a file that it only reads.
const NOTHING: u32 = 4;

/// Somebody deletes the name, and the service puts it back.
async fn heals(run: &Run, control: &Control) {
    control.delete_record_azure(NAME, "CNAME").unwrap();
    run.signal("-USR1").await;
    run.shows("the healing", |_| control.record_azure(NAME, "CNAME").is_some()).await;
    run.in_sync().await;
}

/// What is in the journal, but for who has agreed to it since.
async fn written(cloud: &Cloud) -> Vec<Value> {
    let mut all = entries(cloud, &[]).await;
    for entry in &mut all {
        entry.as_object_mut().unwrap().remove("agreed");
    }
    all
}

fn is_troubled(shown: &Value) -> bool {
    shown["troubles"]
        .as_array()
        .is_some_and(|troubles| troubles.iter().any(|it| it.to_string().contains("journal")))
}

#[tokio::test]
async fn where_there_is_no_room_the_work_goes_on_and_is_journalled_again_once_there_is() {
    let cloud = Cloud::start().await;
    let ear = Ear::of(&cloud);
    watched(&cloud, "1s");
    let mut run = Run::cramped(&cloud, KIB);
    run.in_sync().await;
    let control = cloud.sandbox.control();
    let mut healed = 0;
    while !is_troubled(&run.shows("anything", |shown| shown["last"].is_object()).await) {
        assert!(healed < MANY, "{KIB} KiB hold {healed} changes");
        heals(&run, &control).await;
        healed += 1;
    }
    run.logs("that the journal is full", |line| line["message"] == "journal").await;
    ear.hears("service", "the journal could not be written").await;
    let kept = written(&cloud).await;
    assert!(kept.len() >= 3, "what was written before is readable: {kept:#?}");

    for _ in 0..3 {
        heals(&run, &control).await;
    }
    run.shows("the trouble", is_troubled).await;
    assert_eq!(written(&cloud).await, kept, "what was written before is as it was");
    assert_eq!(run.readiness().await.0, 200, "the names are right, whatever is written down");
    assert_eq!(ear.times("service", "the journal could not be written"), 1, "{:#?}", ear.heard("service"));

    run.room().await;
    // Also where nothing changes.
    run.shows("that the trouble is over", |shown| shown["last"].is_object() && !is_troubled(shown)).await;
    run.logs("that it is over", |line| line["message"] == "the journal can be written again").await;
    ear.hears("service", "recovered after").await;
    heals(&run, &control).await;
    let now = written(&cloud).await;
    assert_eq!(now[..kept.len()], kept, "nothing that was written is lost");
    assert!(now.len() > kept.len(), "there is room again");
    let (code, _, told) = run.end().await;
    assert_eq!(code, 0);
    let errors = told.iter().filter(|line| line["message"] == "journal").count();
    assert_eq!(errors, 1, "said once, and not for each change");
}

/// Begins a service where there is no room for a journal, and gives it room once everything else works.
async fn begins_without_room(cloud: &Cloud, ear: &Ear) -> (Run, Vec<Value>) {
    let mut run = Run::cramped(cloud, NOTHING);
    run.in_sync().await;
    run.logs("that there is no journal", |line| line["message"] == "journal").await;
    run.shows("the trouble", is_troubled).await;
    ear.hears("service", "the journal could not be written").await;
    assert_eq!(run.readiness().await.0, 200, "the names are right, whatever is written down");
    let control = cloud.sandbox.control();
    heals(&run, &control).await;

    run.room().await;
    run.shows("that the trouble is over", |shown| shown["last"].is_object() && !is_troubled(shown)).await;
    ear.hears("service", "recovered after").await;
    let before = written(cloud).await;
    heals(&run, &control).await;
    assert!(written(cloud).await.len() > before.len(), "there is room for a journal");
    (run, before)
}

#[tokio::test]
async fn where_there_is_no_room_at_its_start_names_are_kept_and_a_journal_is_begun_once_there_is() {
    let cloud = Cloud::start().await;
    let ear = Ear::of(&cloud);
    watched(&cloud, "1s");
    let (run, _) = begins_without_room(&cloud, &ear).await;
    let (code, _, told) = run.end().await;
    assert_eq!(code, 0);
    let errors = told.iter().filter(|line| line["message"] == "journal").count();
    assert_eq!(errors, 1, "said once, and not for each change");
}

#[tokio::test]
async fn where_the_disk_has_filled_before_a_start_what_was_journalled_is_kept() {
    let cloud = Cloud::start().await;
    let run = Run::begin(&cloud).await;
    run.in_sync().await;
    run.end().await;
    let kept = written(&cloud).await;
    assert!(!kept.is_empty());
    let ear = Ear::of(&cloud);
    let (run, before) = begins_without_room(&cloud, &ear).await;
    assert_eq!(before[..kept.len()], kept, "nothing that was written is lost");
    run.shows("the history", |shown| shown["history"].as_array().is_some_and(|all| all.len() > kept.len()))
        .await;
    run.end().await;
}
