//! The rights that the README asks for are enough for the main job, and none of them is idle.

use std::collections::BTreeSet;

use cnamed::sandbox::{AZURE_IDENTITY, RecordAtAzure};
use futures::stream::{self, StreamExt};

use crate::support::Cloud;

/// Needed for what this story does not meet: a record set that must be read again by itself, after a lost answer or a
/// lost race; and an operation's address, which the sandbox gives to anybody who knows it.
const ELSEWHERE: [&str; 2] =
    ["Microsoft.Network/dnszones/CNAME/read", "Microsoft.Network/locations/operations/read"];

/// The actions that the README lists, one on a line of its own.
fn listed() -> Vec<String> {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let actions: Vec<String> =
        readme.lines().filter(|line| line.starts_with("Microsoft.")).map(str::to_owned).collect();
    assert_eq!(actions.iter().collect::<BTreeSet<_>>().len(), actions.len(), "an action is listed twice");
    actions
}

/// Provisions, heals, and takes down, with these rights and no others; the exit codes of the three.
async fn lived_with(actions: &[String]) -> Vec<i32> {
    let cloud = Cloud::start().await;
    cloud.replace("accounts = [\"azure\", \"cf\"]", "accounts = [\"azure\"]");
    cloud.replace("ttl = 30", "ttl = 1");
    // What cannot be seen for want of a right is not waited for.
    cloud.replace("[verify]", "[verify]\ntimeout = \"2s\"");
    let control = cloud.sandbox.control();
    let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
    control.grant(AZURE_IDENTITY.client_id, &actions, "/").unwrap();
    let mut codes = vec![cloud.run(&["sync"]).await.code];
    let mut edited = RecordAtAzure::new("jumpstation.example.com", "CNAME", "elsewhere.example.net");
    edited.ttl = 1;
    edited.metadata = [("managed-by", "cnamed"), ("owner", "demo")].map(|(k, v)| (k.into(), v.into())).into();
    if control.set_record_azure(&edited).is_ok() {
        codes.push(cloud.run(&["sync"]).await.code);
    }
    codes.push(cloud.run(&["teardown", "--yes"]).await.code);
    codes
}

#[tokio::test]
async fn the_listed_rights_are_enough() {
    assert_eq!(lived_with(&listed()).await, [0, 0, 0]);
}

#[tokio::test]
async fn no_listed_right_is_idle() {
    let listed = listed();
    let without = |at: usize| {
        let mut fewer = listed.clone();
        let left_out = fewer.remove(at);
        async move { (left_out, lived_with(&fewer).await) }
    };
    let lives: Vec<_> = stream::iter(0..listed.len()).map(without).buffered(3).collect().await;
    let idle: Vec<&String> = lives
        .iter()
        .filter(|(_, codes)| codes.iter().all(|code| *code == 0))
        .filter(|(action, _)| !ELSEWHERE.contains(&action.as_str()))
        .map(|(action, _)| action)
        .collect();
    assert!(idle.is_empty(), "nothing fails without {idle:?}");
}
