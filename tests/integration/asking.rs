//! What commands ask, do and say: nothing is done that nobody was shown, and nothing is claimed that was not seen.

use cnamed::sandbox::{Action, DnsFault, Fault, NameServer, Service};
use serde_json::{Value, json};

use crate::foreign::{NAME, nothing_written};
use crate::support::Cloud;

/// A read that is refused once, and is not tried again by the transport.
fn refused_once(service: Service, path: &str) -> Fault {
    let body = json!({"error": {"code": "AuthorizationFailed", "message": "No."}});
    let action = Action::Status { status: 403, headers: Vec::new(), body };
    Fault::on(service, action).method("GET").path(path)
}

/// A cloud whose name is held by Azure DNS alone, in sync.
async fn alone() -> Cloud {
    let cloud = Cloud::start().await;
    cloud.replace("accounts = [\"azure\", \"cf\"]", "accounts = [\"azure\"]");
    cloud.replace("ttl = 30", "ttl = 1");
    cloud.run(&["sync"]).await.exits(0);
    cloud.sandbox.forget_requests();
    cloud
}

fn not_asked(cloud: &Cloud) {
    cloud.replace("[verify]", "[verify]\nauthoritative = false");
}

fn link<'l>(round: &'l Value, account: &str, from: &str) -> &'l Value {
    let chains = round["chains"].as_array().unwrap();
    let chain = chains.iter().find(|chain| chain["account"] == account).unwrap();
    let links = chain["links"].as_array().unwrap();
    links.iter().find(|link| link["from"] == from).unwrap_or_else(|| panic!("{round:#}"))
}

#[tokio::test]
async fn what_a_failed_read_hid_is_not_removed_unasked() {
    let cloud = alone().await;
    let control = cloud.sandbox.control();
    let before = control.record_azure(NAME, "CNAME");
    assert!(before.is_some());
    control.fault(refused_once(Service::Arm, "dnszones/example.com/"));
    let run = cloud.run(&["--format", "json", "remove", NAME]).await.exits(4);
    assert_eq!(run.json()["outcome"], "refused");
    nothing_written(&cloud);
    assert_eq!(control.record_azure(NAME, "CNAME"), before);
}

#[tokio::test]
async fn what_a_failed_read_hid_is_not_torn_down_unasked() {
    let cloud = alone().await;
    let control = cloud.sandbox.control();
    control.fault(refused_once(Service::Arm, "dnszones/example.com/"));
    cloud.run(&["teardown"]).await.exits(4).says("nothing was done");
    nothing_written(&cloud);
}

#[tokio::test]
async fn what_was_not_read_is_not_called_broken() {
    let cloud = Cloud::start().await;
    cloud.run(&["sync"]).await.exits(0);
    let control = cloud.sandbox.control();
    control.fault(Fault::on(Service::Cloudflare, Action::Reset).always());
    let run = cloud.run(&["--format", "json", "status"]).await.exits(6);
    let round = run.json();
    let name = link(&round, "cf", "name");
    assert_eq!(name["state"], "unknown", "{round:#}");
    assert!(name["detail"].as_str().unwrap().contains("the connection broke"), "{round:#}");
    assert_eq!(link(&round, "azure", "name")["state"], "whole");
    control.clear_faults();
    control.fault(Fault::on(Service::Arm, Action::Reset).path("publicIPAddresses").always());
    let round = cloud.run(&["--format", "json", "status"]).await.exits(6).json();
    assert_eq!(link(&round, "azure", "name")["state"], "unknown", "{round:#}");
    let text = cloud.run(&["status"]).await.exits(6).out;
    assert!(!text.contains("first broken") && !text.contains("nothing of ours"), "{text}");
}

#[tokio::test]
async fn where_nothing_of_ours_stands_that_is_said_after_a_read() {
    let cloud = Cloud::start().await;
    cloud.run(&["sync"]).await.exits(0);
    cloud.run(&["remove", NAME, "--yes"]).await.exits(0);
    let round = cloud.run(&["--format", "json", "status"]).await.exits(3).json();
    let name = link(&round, "cf", "name");
    assert_eq!(name["state"], "broken");
    assert_eq!(name["detail"], "nothing of ours stands there");
}

#[tokio::test]
async fn a_label_that_leads_elsewhere_is_not_in_sync() {
    let cloud = Cloud::start().await;
    cloud.run(&["sync"]).await.exits(0);
    let control = cloud.sandbox.control();
    control.dns_fault(NameServer::Label, Some(DnsFault::Stale));
    control.recreate_public_ip("pip-jump").unwrap();
    let run = cloud.run(&["status"]).await.exits(5);
    run.says("Not verified").says(&format!("the label in DNS of {NAME} is broken"));
}

#[tokio::test]
async fn a_name_with_a_released_address_waits() {
    let cloud = Cloud::start().await;
    cloud.replace("label = \"contoso-jump\"", "label = \"contoso-jump\"\nallocation = \"dynamic\"");
    cloud.replace("accounts = [\"azure\", \"cf\"]", "accounts = [\"azure\"]\nmode = \"address\"");
    let control = cloud.sandbox.control();
    control.create_legacy_public_ip(&cnamed::sandbox::LegacyPublicIp::default()).unwrap();
    control.deallocate_vm();
    let round = cloud.run(&["--format", "json", "status"]).await.exits(3).json();
    let name = link(&round, "azure", "name");
    assert_eq!(name["state"], "pending", "{round:#}");
    assert!(name["detail"].as_str().unwrap().contains("released"), "{round:#}");
}

#[tokio::test]
async fn agreement_is_not_claimed_of_name_servers_that_were_not_asked() {
    let cloud = Cloud::start().await;
    cloud.run(&["sync"]).await.exits(0);
    not_asked(&cloud);
    for command in ["sync", "status"] {
        let run = cloud.run(&[command]).await.exits(0).says("nothing to do; name servers were not asked");
        assert!(!run.out.contains("In sync") && !run.out.contains("agree"), "{}", run.out);
    }
    let round = cloud.run(&["--format", "json", "status"]).await.exits(0).json();
    assert_eq!((&round["outcome"], &round["authoritative"]), (&json!("in-sync"), &json!(false)));
    for from in ["name", "label in DNS"] {
        let link = link(&round, "azure", from);
        assert_eq!((&link["state"], &link["detail"]), (&json!("unknown"), &json!("not asked")));
    }
}

#[tokio::test]
async fn one_account_that_is_down_is_a_part_whoever_asks_name_servers() {
    let cloud = Cloud::start().await;
    cloud.run(&["sync"]).await.exits(0);
    cloud.sandbox.control().fault(Fault::on(Service::Cloudflare, Action::Reset).always());
    let plan = cloud.run(&["--format", "json", "plan"]).await.exits(6).json();
    assert_eq!(plan["outcome"], "partial");
    not_asked(&cloud);
    cloud.run(&["sync"]).await.exits(6).says("Partly failed");
    cloud.sandbox.control().fault(Fault::on(Service::Arm, Action::Reset).always());
    cloud.run(&["plan"]).await.exits(1);
}

#[tokio::test]
async fn a_rename_tells_that_the_name_was_withdrawn() {
    let cloud = alone().await;
    cloud.replace("contoso-jump", "contoso-leap");
    let round = cloud.run(&["--format", "json", "sync", "--allow", "relabel"]).await.exits(0).json();
    let told: Vec<(&str, &str, &str)> = (round["changes"].as_array().unwrap().iter())
        .map(|it| ["verb", "kind", "outcome"].map(|field| it[field].as_str().unwrap()).into())
        .collect();
    let done = [
        ("delete", "record", "applied"),
        ("update", "public-ip", "applied"),
        ("create", "record", "applied"),
    ];
    assert_eq!(told, done, "{round:#}");
    assert_eq!(round["changes"].as_array().unwrap().len(), cloud.writes().len());
}

#[tokio::test]
async fn a_plan_that_differs_is_refused_in_json_too() {
    let cloud = Cloud::start().await;
    let plan = cloud.folder.path().join("plan.json");
    let plan = plan.to_str().unwrap();
    cloud.run(&["plan", "--out", plan]).await.exits(3);
    cloud.run(&["sync"]).await.exits(0);
    let told = cloud.run(&["--format", "json", "sync", "--plan", plan]).await.exits(4).json();
    assert_eq!(told["outcome"], "refused", "{told:#}");
}

#[tokio::test]
async fn the_configuration_is_shown_as_json() {
    let cloud = Cloud::start().await;
    let shown = cloud.run(&["--format", "json", "config", "show"]).await.exits(0).json();
    assert_eq!(shown["version"], 1);
    assert_eq!(shown["record"][0]["name"], NAME);
    assert_eq!(shown["record"][0]["ttl"], 30);
}

#[tokio::test]
async fn the_demo_as_json_is_its_proofs_and_nothing_else() {
    let cloud = Cloud::start().await;
    let told = cloud.run(&["--format", "json", "demo"]).await.exits(0).json();
    assert_eq!((&told["version"], &told["outcome"]), (&json!(1), &json!("in-sync")));
    let proofs = told["proofs"].as_array().unwrap();
    assert!(proofs.len() > 10 && proofs.iter().all(|proof| proof["holds"] == true), "{told:#}");
}

#[tokio::test]
async fn a_log_filter_that_asks_for_nothing_is_a_mistake() {
    let cloud = Cloud::start().await;
    let run = cloud.run(&["--log", "nonsense", "config", "check"]).await.exits(2);
    run.says("the log filter \"nonsense\"");
    cloud.run(&["--log", "cnamed::provider=debug", "config", "check"]).await.exits(0);
}

#[tokio::test]
async fn a_log_filter_decides_what_is_logged() {
    let cloud = Cloud::start().await;
    for (filter, heard) in [
        (&["--log", "debug"][..], true),
        (&["--log", "cnamed::provider=debug"], true),
        (&["--log", "debug,cnamed::provider=warn"], false),
        (&["--log", "cnamed::reconcile=trace"], false),
        (&["--log", "off"], false),
        (&["-vv"], true),
        (&[], false),
    ] {
        let run = cloud.run(&[filter, &["plan"]].concat()).await.exits(3);
        assert_eq!(run.err.contains("DEBUG request"), heard, "{filter:?}\n{}", run.err);
    }
}

#[tokio::test]
async fn no_remedy_names_a_command_that_does_not_exist() {
    let cloud = Cloud::start().await;
    let body = json!({"error": {"code": "AuthenticationFailed", "message": "Authentication failed."}});
    let action = Action::Status { status: 401, headers: Vec::new(), body };
    cloud.sandbox.control().fault(Fault::on(Service::Arm, action).always());
    let run = cloud.run(&["plan"]).await.says("check the credential: its tenant");
    for named in run.out.split("`cnamed ").skip(1) {
        let command: String = named.chars().take_while(char::is_ascii_lowercase).collect();
        cloud.run(&[&command, "--help"]).await.exits(0);
    }
}

#[tokio::test]
async fn what_a_service_says_does_not_steer_the_terminal() {
    let cloud = Cloud::start().await;
    let message = "no \u{1b}]0;owned\u{7}\u{9b}2J\u{202e}";
    let body = json!({"error": {"code": "AuthorizationFailed", "message": message}});
    let action = Action::Status { status: 403, headers: Vec::new(), body };
    cloud.sandbox.control().fault(Fault::on(Service::Arm, action).always());
    let coloured =
        cloud.run(&["--color", "always", "plan"]).await.says("no \\u{1b}]0;owned\\u{7}\\u{9b}2J").out;
    assert!(coloured.contains("\u{1b}["), "our own colours stay: {coloured:?}");
    let json = cloud.run(&["--format", "json", "plan"]).await;
    assert!(json.json().to_string().contains("owned"), "{}", json.out);
    for text in [coloured, json.out.clone()] {
        for steers in ["\u{1b}]", "\u{7}", "\u{9b}", "\u{202e}"] {
            assert!(!text.contains(steers), "{text:?}");
        }
    }
}
