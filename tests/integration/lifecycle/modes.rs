//! What stands at a name in each mode, and how it follows.

use cnamed::sandbox::Delegation;
use serde_json::{Value, json};

use crate::foreign::{LABEL, NAME, at_cloudflare, nothing_written, settled};
use crate::support::Cloud;

/// The configured record, with these lines in place of its accounts and its TTL.
async fn with(lines: &str) -> Cloud {
    let cloud = Cloud::start().await;
    cloud.replace("accounts = [\"azure\", \"cf\"]\nttl = 30", lines);
    cloud
}

fn address(cloud: &Cloud) -> Value {
    cloud.sandbox.control().public_ip("pip-jump").unwrap()["properties"]["ipAddress"].clone()
}

#[tokio::test]
async fn a_cname_at_an_apex_of_azure_dns_is_refused_before_anything_is_made() {
    let cloud = with("accounts = [\"azure\", \"cf\"]\nttl = 60").await;
    cloud.replace(NAME, "example.com");
    let run =
        cloud.run(&["sync"]).await.exits(4).says("refused (apex): example.com in azure").says("RFC 1034");
    run.says("next: set mode = \"auto\" for example.com");
    nothing_written(&cloud);
}

#[tokio::test]
async fn auto_at_an_apex_is_an_alias_in_azure_dns_and_flattened_in_cloudflare() {
    let cloud = with("accounts = [\"azure\", \"cf\"]\nttl = 60\nmode = \"auto\"").await;
    cloud.replace(NAME, "example.com");
    let control = cloud.sandbox.control();
    let others = control.records_without("example.com");
    let round = cloud.run(&["--format", "json", "sync"]).await.exits(0).json();
    let verdicts: Vec<&str> = round["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["verdict"].as_str().unwrap())
        .collect();
    assert_eq!(verdicts, ["agreed", "masked"], "{round:#}");
    let alias = control.record_azure("example.com", "A").unwrap();
    let target = alias["properties"]["targetResource"]["id"].as_str().unwrap();
    assert!(target.ends_with("/publicIPAddresses/pip-jump"), "{alias:#}");
    assert_eq!(control.records_without("example.com"), others);
    assert!(
        control.record_azure("example.com", "SOA").is_some()
            && control.record_azure("example.com", "NS").is_some()
    );
    settled(&cloud).await;
}

#[tokio::test]
async fn an_address_is_rewritten_in_place_when_it_changes() {
    let cloud = with("accounts = [\"azure\", \"cf\"]\nttl = 60\nmode = \"address\"").await;
    cloud.run(&["sync"]).await.exits(0);
    let control = cloud.sandbox.control();
    let id = at_cloudflare(&cloud, NAME).unwrap()["id"].clone();
    control.recreate_public_ip("pip-jump").unwrap();
    cloud.run(&["sync"]).await.exits(0).says("jump is elsewhere");
    let record = at_cloudflare(&cloud, NAME).unwrap();
    assert_eq!((&record["id"], &record["content"]), (&id, &address(&cloud)), "changed in place");
    let set = control.record_azure(NAME, "A").unwrap();
    assert_eq!(set["properties"]["ARecords"], json!([{"ipv4Address": address(&cloud)}]));
    settled(&cloud).await;
}

#[tokio::test]
async fn an_alias_follows_by_itself_and_is_seen_as_present_while_it_is_empty() {
    let cloud = with("accounts = [\"azure\"]\nttl = 60\nmode = \"alias\"").await;
    cloud.run(&["sync"]).await.exits(0).says("A alias of pip-jump");
    settled(&cloud).await;
    let control = cloud.sandbox.control();
    control.recreate_public_ip("pip-jump").unwrap();
    cloud.run(&["sync"]).await.exits(0);
    settled(&cloud).await;
    control.delete_public_ip("pip-jump").unwrap();
    let empty = control.record_azure(NAME, "A").unwrap();
    assert_eq!(empty["properties"]["ARecords"].as_array().map_or(0, Vec::len), 0, "{empty:#}");
    let run = cloud.run(&["sync"]).await.exits(0);
    run.says(address(&cloud).as_str().unwrap());
    settled(&cloud).await;
}

#[tokio::test]
async fn an_alias_is_refused_where_the_provider_has_none() {
    let cloud = with("accounts = [\"cf\"]\nttl = 60\nmode = \"alias\"").await;
    cloud.run(&["sync"]).await.exits(2).says("which has no alias record sets").says("write mode = \"auto\"");
    nothing_written(&cloud);
}

#[tokio::test]
async fn a_proxied_name_is_masked_and_drift_of_the_proxy_is_healed() {
    let cloud = with("accounts = [\"cf\"]\nproxied = true").await;
    let run = cloud.run(&["sync"]).await.exits(0).says("masked").says("proxied: 2 name servers say");
    assert!(!run.out.contains("ttl 1s"), "a proxied record has no TTL of ours:\n{}", run.out);
    assert_eq!(at_cloudflare(&cloud, NAME).unwrap()["proxied"], true);
    settled(&cloud).await;
    cloud.sandbox.control().proxy(NAME, false).unwrap();
    cloud.run(&["sync"]).await.exits(0).says("the proxy is wanted");
    assert_eq!(at_cloudflare(&cloud, NAME).unwrap()["proxied"], true);
    settled(&cloud).await;
}

#[tokio::test]
async fn a_name_that_one_of_its_accounts_proxies_is_verified_whichever_of_them_resolvers_ask() {
    let cloud = Cloud::start().await;
    cloud.replace("accounts = [\"azure\", \"cf\"]", "accounts = [\"azure\"]");
    cloud.append(&format!(
        "\n[[record]]\nname = \"{NAME}\"\nendpoint = \"jump\"\naccounts = [\"cf\"]\nproxied = true\n"
    ));
    let control = cloud.sandbox.control();
    for delegation in [Delegation::Azure, Delegation::Cloudflare] {
        control.delegate(delegation);
        control.clear_cache();
        cloud.run(&["sync"]).await.exits(0);
        let status = cloud.run(&["--format", "json", "status"]).await.exits(0).json();
        let records = status["records"].as_array().unwrap();
        let verified = |verdict: &Value| matches!(verdict.as_str(), Some("agreed" | "masked"));
        for record in records {
            assert!(verified(&record["verdict"]), "{record:#}");
            assert!(verified(&record["resolvers"]["verdict"]), "{delegation:?}: {record:#}");
        }
        assert_eq!(records.len(), 2, "{status:#}");
        let links =
            status["chains"].as_array().unwrap().iter().flat_map(|it| it["links"].as_array().unwrap());
        let waits: Vec<&Value> = links.filter(|link| link["state"] == "pending").collect();
        assert!(waits.is_empty(), "{delegation:?}: {waits:#?}");
    }
}

#[tokio::test]
async fn an_internationalised_name_is_one_name_however_it_is_written() {
    let cloud = Cloud::start().await;
    cloud.replace(NAME, "brücke.example.com");
    cloud.run(&["sync"]).await.exits(0).says("xn--brcke-lva.example.com");
    let control = cloud.sandbox.control();
    let record = control.record_azure("xn--brcke-lva.example.com", "CNAME").unwrap();
    assert_eq!(record["properties"]["CNAMERecord"]["cname"].as_str().unwrap().trim_end_matches('.'), LABEL);
    settled(&cloud).await;
    cloud.sandbox.forget_requests();
    cloud.run(&["sync", "--only", "BRÜCKE.Example.com."]).await.exits(0).says("In sync");
    nothing_written(&cloud);
    cloud.run(&["remove", "xn--brcke-lva.example.com", "--yes"]).await.exits(0);
    assert_eq!(control.record_azure("xn--brcke-lva.example.com", "CNAME"), None);
}

#[tokio::test]
async fn a_ttl_that_the_plan_of_the_zone_does_not_take_is_refused_with_its_range() {
    let cloud = Cloud::with(|options| options.plan = cnamed::sandbox::CloudflarePlan::Free).await;
    let run = cloud.run(&["sync"]).await.exits(4).says("refused (ttl): jumpstation.example.com in cf");
    run.says("The TTL 30s is outside what cf takes: 60 to 86400 seconds, or 1 for automatic");
    nothing_written(&cloud);
}
