//! `cnamed threats`, whole: what it tells of a workspace, and what it never tells.

mod queries;
mod refusals;

use cnamed::config::Config;
use cnamed::sandbox::{AZURE_IDENTITY, Action, Attack, Fault, LogTable, Service};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::support::{Cloud, Run};

/// The moment that tests put between before and after.
fn moment() -> OffsetDateTime {
    (OffsetDateTime::now_utc() - Duration::hours(2)).replace_nanosecond(0).unwrap()
}

fn text(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap()
}

/// A cloud whose tables hold nothing but what a test puts there.
async fn emptied() -> Cloud {
    let cloud = Cloud::with(|options| options.syslog = true).await;
    let control = cloud.sandbox.control();
    control.clear_table(LogTable::SecurityEvent);
    control.clear_table(LogTable::Syslog);
    cloud
}

async fn json(cloud: &Cloud, at: OffsetDateTime, code: i32) -> Value {
    cloud.run(&["--format", "json", "threats", "--at", &text(at)]).await.exits(code).json()
}

async fn told(cloud: &Cloud, at: OffsetDateTime, code: i32) -> Run {
    cloud.run(&["threats", "--at", &text(at)]).await.exits(code)
}

fn windows(account: &str, address: &str, count: u32, at: OffsetDateTime) -> Attack {
    Attack { account: account.into(), address: address.into(), count, at: Some(at), ..Attack::default() }
}

#[tokio::test]
async fn a_seeded_day_is_counted_to_the_last_logon() {
    let cloud = Cloud::start().await;
    let run =
        cloud.run(&["threats"]).await.exits(0).says("not collected").says("facilities auth and authpriv");
    // One attack falls on the second before the day that is looked back on.
    assert!(run.out.starts_with("2,99") || run.out.starts_with("3,000"), "{}", run.out);
    assert!(run.out.contains("  administrator "), "{}", run.out);
    assert!(!run.out.contains('█'), "bars are for terminals:\n{}", run.out);
    let shown = cloud.run(&["--format", "json", "threats"]).await.exits(0).json();
    let windows = &shown["tables"][0];
    let of = |shares: &Value| {
        shares.as_array().unwrap().iter().map(|one| one["before"].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!(windows["accounts"].as_array().unwrap().len(), 10);
    assert!(of(&windows["accounts"]) <= windows["failed"]["before"].as_u64().unwrap());
    assert_eq!(shown["tables"][1], json!({"platform": "linux", "table": "Syslog", "state": "not-collected"}));
    assert_eq!(shown["gateway"]["up"], Value::Null);
}

#[tokio::test]
async fn before_and_after_are_told_apart_to_the_moment() {
    let cloud = emptied().await;
    let (control, at) = (cloud.sandbox.control(), moment());
    control.attack(&windows("ADMIN", "203.0.113.1", 7, at - Duration::milliseconds(1)));
    control.attack(&windows("admin", "203.0.113.2", 2, at + Duration::seconds(1)));
    control.attack(&windows("admin", "203.0.113.2", 1, at - Duration::hours(24)));
    // Neither is within a day of the moment, or failed.
    control.attack(&windows("admin", "203.0.113.2", 1, at - Duration::hours(24) - Duration::milliseconds(1)));
    control
        .attack(&Attack { succeed: true, ..windows("admin", "203.0.113.3", 5, at + Duration::minutes(5)) });
    let shown = json(&cloud, at, 0).await;
    assert_eq!(shown["failed"], json!({"before": 8, "after": 2}));
    let table = &shown["tables"][0];
    assert_eq!(table["records"], json!({"before": 8, "after": 7}));
    assert_eq!(table["accounts"], json!([{"name": "\\admin", "before": 8, "after": 2}]));
    let addresses = json!([{"name": "203.0.113.1", "before": 7, "after": 0}, {"name": "203.0.113.2", "before": 1, "after": 2}]);
    assert_eq!(table["addresses"], addresses);
    told(&cloud, at, 0).await.says("8 failed logons in the 24 h before the gateway, 2 in the 2 h after");
}

#[tokio::test]
async fn sshd_is_read_as_it_speaks() {
    let cloud = emptied().await;
    let (control, at) = (cloud.sandbox.control(), moment());
    let says = |message: &str| {
        let attack = Attack {
            table: LogTable::Syslog,
            message: Some(message.into()),
            at: Some(at - Duration::minutes(1)),
            ..Attack::default()
        };
        control.attack(&attack);
    };
    says("Failed password for root from 203.0.113.1 port 40022 ssh2");
    says("message repeated 4 times: [ Failed password for root from 203.0.113.1 port 40022 ssh2]");
    // One connection: the name is refused once, then two passwords for it.
    says("Invalid user oracle from 203.0.113.2 port 1");
    says("Failed password for invalid user oracle from 203.0.113.2 port 1 ssh2");
    says("Failed password for invalid user oracle from 203.0.113.2 port 1 ssh2");
    // A server that takes keys alone.
    says("Invalid user pi from 2001:db8::1 port 2");
    says("Invalid user pi from 2001:db8::1 port 3");
    says("Invalid user  from 203.0.113.9 port 4");
    // The name is a forged end of the line.
    says("Failed password for invalid user x from 192.0.2.1 port 22 ssh2 from 203.0.113.3 port 5 ssh2");
    says("Accepted publickey for operator from 10.0.0.4 port 50022 ssh2");
    says("Connection closed by authenticating user root 203.0.113.1 port 40022 [preauth]");
    let shown = json(&cloud, at, 0).await;
    let linux = &shown["tables"][1];
    assert_eq!(linux["failed"], json!({"before": 11, "after": null}), "{shown:#}");
    let share = |name: &str, before: u64| json!({"name": name, "before": before, "after": 0});
    assert_eq!(
        linux["accounts"],
        json!([
            share("root", 5),
            share("oracle", 2),
            share("pi", 2),
            share("", 1),
            share("x from 192.0.2.1 port 22 ssh2", 1)
        ])
    );
    let addresses: Vec<&str> =
        linux["addresses"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(addresses, ["203.0.113.1", "2001:db8::1", "203.0.113.2", "203.0.113.3", "203.0.113.9"]);
    told(&cloud, at, 0).await.says("(not given)");
}

#[tokio::test]
async fn an_agent_that_fell_silent_is_not_a_gateway_that_works() {
    let cloud = emptied().await;
    let at = moment();
    cloud.sandbox.control().attack(&windows("admin", "203.0.113.1", 3, at - Duration::hours(1)));
    let run = told(&cloud, at, 0).await;
    let run =
        run.says("3 failed logons in the 24 h before the gateway; nothing was recorded in the 2 h after");
    run.says("3 before, nothing recorded after").says("nothing was recorded, which is not none");
    assert_eq!(json(&cloud, at, 0).await["failed"], json!({"before": 3, "after": null}));
}

#[tokio::test]
async fn a_table_that_is_not_there_is_not_none() {
    let cloud = Cloud::start().await;
    cloud.sandbox.control().drop_table(LogTable::SecurityEvent);
    let run =
        cloud.run(&["threats"]).await.exits(0).says("Not collected: the workspace has no table of them");
    assert!(!run.out.contains("0 failed"), "{}", run.out);
    let shown = cloud.run(&["--format", "json", "threats"]).await.exits(0).json();
    assert_eq!(shown["failed"], json!({"before": null, "after": null}));
    let states: Vec<&Value> =
        shown["tables"].as_array().unwrap().iter().map(|table| &table["state"]).collect();
    assert_eq!(states, ["not-collected", "not-collected"]);
    // One query is enough to know, and a write was never sent.
    assert_eq!(cloud.requests().iter().filter(|one| one.path.ends_with("/query")).count(), 4);
}

#[tokio::test]
async fn a_hostile_name_does_not_reach_the_terminal() {
    let cloud = emptied().await;
    let (control, at) = (cloud.sandbox.control(), moment());
    let hostile = "\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}nimda\r\nok";
    control.attack(&windows(hostile, "203.0.113.1", 1, at - Duration::minutes(1)));
    control.attack(&windows(&"a".repeat(300), "\u{1b}[31m", 1, at - Duration::minutes(1)));
    let at = text(at);
    for arguments in [
        &["--color", "always", "threats", "--at", &at][..],
        &["threats", "--at", &at],
        &["--format", "json", "threats", "--at", &at],
    ] {
        let run = cloud.run(arguments).await.exits(0);
        let plain = run.out.replace("\u{1b}[", "");
        let odd: Vec<char> =
            plain.chars().filter(|c| *c != '\n' && (c.is_control() || *c == '\u{202e}')).collect();
        assert!(odd.is_empty(), "{odd:?} in {:?}", run.out);
        assert!(!run.out.contains("\u{1b}[31m\u{1b}") && !run.out.contains("\u{1b}]"), "{:?}", run.out);
        assert!(run.out.contains("owned"), "{}", run.out);
    }
    // JSON still means the name as it was.
    let shown = cloud.run(&["--format", "json", "threats", "--at", &at]).await.json();
    let names: Vec<&str> = shown["tables"][0]["accounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert!(names.contains(&format!("\\{}", hostile.to_lowercase()).as_str()), "{names:?}");
}

#[tokio::test]
async fn without_a_moment_the_load_balancer_tells_it() {
    let cloud = emptied().await;
    cloud.replace("label = \"contoso-jump\"\n", "label = \"contoso-jump\"\n[endpoint.load_balancer]\nname = \"lb-jump\"\n[[endpoint.nat_rule]]\nname = \"rdp\"\nfrontend_port = 63011\nbackend_port = 3389\nnetwork_interface = \"vm-jump-nic\"\n");
    let control = cloud.sandbox.control();
    let now = OffsetDateTime::now_utc();
    control.attack(&windows("admin", "203.0.113.1", 5, now - Duration::hours(3)));
    control.attack(&windows("admin", "203.0.113.1", 1, now - Duration::minutes(3)));
    let run = cloud.run(&["threats"]).await.exits(0).says("6 failed logons in the last 24 h");
    run.says("there is no load balancer lb-jump in rg-mgmt yet, so this is what there was before now");

    queries::put_load_balancer(&cloud, "lb-jump").await;
    control.made_at("lb-jump", now - Duration::hours(1)).unwrap();
    let run = cloud
        .run(&["threats"])
        .await
        .exits(0)
        .says("5 failed logons in the 24 h before the gateway, 1 in the 1 h");
    run.says(", and not by us").says("if the gateway came to it later, give the time");
    let gateway = cloud.run(&["--format", "json", "threats"]).await.json()["gateway"].clone();
    assert!(
        gateway["up"].is_string() && gateway["reason"].as_str().unwrap().contains("not by us"),
        "{gateway}"
    );
    let tags = json!({"tags": {"managed-by": "cnamed", "owner": "demo"}});
    control.edit_resource("loadBalancers/lb-jump", &tags).unwrap();
    cloud.run(&["threats"]).await.exits(0).says("lb-jump is up since");

    // Whoever may not look is told so, and how to do without.
    let query = "Microsoft.OperationalInsights/workspaces/query/*";
    control.grant(AZURE_IDENTITY.client_id, &[query], "/").unwrap();
    let run = cloud.run(&["threats"]).await.exits(6).says("could not be read").says("--at TIME");
    assert!(!run.out.contains("before the gateway"), "{}", run.out);
    run.says("Microsoft.Resources/subscriptions/resourceGroups/resources/read").says("6 failed logons");
}

#[tokio::test]
async fn these_rights_and_no_others_are_needed() {
    let cloud = Cloud::start().await;
    let workspace = "Microsoft.OperationalInsights/workspaces/query";
    let rights = [format!("{workspace}/read"), format!("{workspace}/SecurityEvent/read")];
    let rights: Vec<&str> = rights.iter().map(String::as_str).collect();
    cloud.sandbox.control().grant(AZURE_IDENTITY.client_id, &rights, "/").unwrap();
    cloud.run(&["threats"]).await.exits(0).says("failed logons in the last 24 h");
}

#[test]
fn every_cloud_has_its_own_query_api() {
    for (cloud, api, audience) in [
        ("public", "https://api.loganalytics.azure.com/", "https://api.loganalytics.io"),
        ("usgov", "https://api.loganalytics.us/", "https://api.loganalytics.us"),
        ("china", "https://api.loganalytics.azure.cn/", "https://api.loganalytics.azure.cn"),
    ] {
        let id = "ABCDEF00-0000-0000-0000-000000000000";
        let text = format!(
            "owner = \"ops\"\n[azure]\nsubscription = \"{id}\"\ncloud = \"{cloud}\"\n[threats]\nworkspace = \"{id}\"\n"
        );
        let threats = Config::parse(&text, "cnamed.toml").unwrap().threats.unwrap();
        assert_eq!((threats.api.as_str(), threats.audience.as_str()), (api, audience));
        assert_eq!(threats.workspace, id.to_lowercase());
    }
}

#[tokio::test]
async fn a_group_that_is_not_there_yet_is_no_gateway_and_a_page_of_a_proxy_is_no_answer() {
    let cloud = emptied().await;
    let gateway = "[endpoint.load_balancer]\nname = \"lb-jump\"\n";
    cloud.replace("label = \"contoso-jump\"\n", &format!("label = \"contoso-jump\"\n{gateway}"));
    let page = Action::Html { status: 404, headers: vec![] };
    cloud.sandbox.control().fault(Fault::on(Service::Arm, page).path("/resources"));
    cloud.run(&["threats"]).await.exits(6).says("when it went up could not be read");
    cloud.replace("resource_group = \"rg-mgmt\"", "resource_group = \"rg-none\"");
    cloud.run(&["threats"]).await.exits(0).says("there is no load balancer lb-jump in rg-none yet");
}

#[tokio::test]
async fn mistakes_of_the_caller_end_with_2() {
    let cloud = Cloud::start().await;
    let later = text(OffsetDateTime::now_utc() + Duration::hours(1));
    cloud.run(&["threats", "--at", &later]).await.exits(2).says("yet to come");
    cloud.run(&["threats", "--at", "yesterday"]).await.exits(2).says("2026-11-22T10:00:00Z");
    cloud.run(&["threats", "--span", "1s"]).await.exits(2).says("1m to 366d");
    assert!(cloud.requests().is_empty());
    cloud.configure(|text| text[..text.find("[threats]").unwrap()].to_owned());
    cloud.run(&["threats"]).await.exits(2).says("threats.workspace");
}
