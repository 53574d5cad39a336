//! One command builds it all and proves the way in.

use std::collections::BTreeSet;
use std::time::Duration;

use cnamed::sandbox::{LoggedRequest, Service, Speaks};
use serde_json::{Value, json};

use super::stage::{bare, crowded, foreign, nothing_written, settled, unchanged, writes};
use crate::support::Cloud;

#[tokio::test]
async fn one_sync_builds_the_whole_guide_and_proves_the_way_in() {
    let cloud = bare().await;
    let before = foreign(&cloud);
    let round = cloud.run(&["--format", "json", "sync", "--verify"]).await.exits(0).json();
    assert_eq!(round["outcome"], "changed");
    let made: Vec<String> = round["changes"].as_array().unwrap().iter().map(change).collect();
    let expected = [
        "create public-ip jump applied",
        "create load-balancer lb-jump applied",
        "create nat-rule cnamed_demo_rdp applied",
        "create nat-rule cnamed_demo_ssh applied",
        "create network-security-group nsg-mgmt applied",
        "create nsg-rule cnamed_demo_rdp applied",
        "create nsg-rule cnamed_demo_ssh applied",
        "update network-interface vm-jump-nic applied",
        "create record jumpstation.example.com applied",
        "create record jumpstation.example.com applied",
    ];
    assert_eq!(made, expected);
    proved(&round);
    in_order(&cloud);
    // The history of an endpoint is that of everything behind it; the names on it have their own.
    let told = cloud.run(&["--format", "json", "history", "--name", "jump"]).await.exits(0).json();
    let told: BTreeSet<String> = told["entries"].as_array().unwrap().iter().map(change).collect();
    assert_eq!(told, expected[..8].iter().map(|&one| one.to_owned()).collect());

    cloud.sandbox.forget_requests();
    let round = cloud.run(&["--format", "json", "sync", "--verify"]).await.exits(0).json();
    assert_eq!(round["outcome"], "in-sync");
    proved(&round);
    nothing_written(&cloud);
    proved(&cloud.run(&["--format", "json", "status"]).await.exits(0).json());
    // The machine's network interface is its owner's: it gained a pool and a group, and nothing else happened to it.
    unchanged(&before, &foreign(&cloud), "built");
}

#[tokio::test]
async fn it_is_built_in_between_what_others_have_there() {
    let cloud = crowded().await;
    let before = foreign(&cloud);
    cloud.run(&["plan"]).await.exits(3).says("7 changes, 1 note, 2 blocked").says("waits for");
    nothing_written(&cloud);
    unchanged(&before, &foreign(&cloud), "planned");
    let run = cloud.run(&["sync", "--verify"]).await.exits(0);
    run.says("greeted by RDP").says("greeted by SSH");
    unchanged(&before, &foreign(&cloud), "built");
    settled(&cloud).await;
    // A group of hundreds of rules is never sent back whole.
    let whole = |path: &str| path.to_ascii_lowercase().ends_with("/networksecuritygroups/nsg-mgmt");
    assert!(!writes(&cloud).iter().any(|write| whole(&write.path)));
}

/// Azure answers before its network has followed.
#[tokio::test]
async fn a_port_that_has_just_been_opened_is_waited_for() {
    let cloud = bare().await;
    cloud.replace("timeout = \"2s\"", "timeout = \"30s\"");
    let control = cloud.sandbox.control();
    control.service(3389, Speaks::Closed);
    let child = cloud.spawn(&["sync", "--verify"]);
    let tried = async {
        let asked = |request: &LoggedRequest| request.path.contains("cnamed_demo_rdp/queryInbound");
        while cloud.requests().iter().filter(|request| asked(request)).count() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), tried).await.expect("it is tried twice");
    control.service(3389, Speaks::Rdp);
    let ended = child.wait_with_output().await.unwrap();
    let said = String::from_utf8(ended.stdout).unwrap();
    assert_eq!(ended.status.code(), Some(0), "{said}");
    assert!(said.contains("greeted by RDP"), "{said}");
    settled(&cloud).await;
}

/// A change in words.
fn change(report: &Value) -> String {
    let text = |key: &str| report[key].as_str().unwrap_or_default();
    format!("{} {} {} {}", text("verb"), text("kind"), text("name"), text("outcome"))
}

/// Both chains are whole down to both ports, and say how to connect.
#[track_caller]
fn proved(round: &Value) {
    let chains = round["chains"].as_array().unwrap();
    assert_eq!(chains.len(), 2, "{round:#}");
    for chain in chains {
        let links = chain["links"].as_array().unwrap();
        assert!(links.iter().all(|link| link["state"] == "whole"), "{chain:#}");
        let from: Vec<&str> = links.iter().map(|link| link["from"].as_str().unwrap()).collect();
        assert_eq!(from, ["name", "label", "label in DNS", "address", "port 63011", "port 63022"]);
        let greeted = |at: usize, by: &str| links[at]["detail"].as_str().unwrap().contains(by);
        assert!(greeted(4, "leads to 3389 of vm-jump-nic; greeted by RDP"), "{chain:#}");
        assert!(greeted(5, "leads to 22 of vm-jump-nic; greeted by SSH"), "{chain:#}");
        let connect =
            json!(["mstsc /v:jumpstation.example.com:63011", "ssh -p 63022 jumpstation.example.com"]);
        assert_eq!(chain["connect"], connect);
    }
    for (at, (rule, frontend, backend)) in [("rdp", 63011, 3389), ("ssh", 63022, 22)].into_iter().enumerate()
    {
        let way = &round["ways_in"][at];
        let told = (&way["rule"], &way["frontend_port"], &way["backend_port"], &way["port"]["state"]);
        assert_eq!(told, (&json!(rule), &json!(frontend), &json!(backend), &json!("whole")));
    }
}

/// No name is written before the machine can be reached, nor the machine's interface before what it joins.
#[track_caller]
fn in_order(cloud: &Cloud) {
    let all = cloud.requests();
    let first = |part: &str| {
        let of = |path: &str| path.to_ascii_lowercase().contains(part);
        all.iter().position(|request| request.method != "GET" && of(&request.path)).unwrap()
    };
    let last = |part: &str| {
        let of = |path: &str| path.to_ascii_lowercase().contains(part);
        all.iter().rposition(|request| request.method == "PUT" && of(&request.path)).unwrap()
    };
    assert!(last("/publicipaddresses/") < first("/loadbalancers/lb-jump"));
    assert!(last("/inboundnatrules/") < first("/networkinterfaces/"));
    assert!(last("/securityrules/") < first("/networkinterfaces/"));
    assert!(last("/networkinterfaces/") < first("/dnszones/"));
    let cloudflare = all.iter().position(|one| one.service == Service::Cloudflare && one.method == "POST");
    assert!(last("/networkinterfaces/") < cloudflare.unwrap());
}
