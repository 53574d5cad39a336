//! Azure DNS: record sets, their conflicts and conditions, pages, aliases, and the zone's rates.

use cnamed::sandbox::{AZURE_IDENTITY, Options, RecordAtAzure};
use serde_json::{Value, json};

use super::client::{Answer, Azure, public_ip, standard};

const ZONE: &str = "/resourceGroups/rg-dns/providers/Microsoft.Network/dnsZones/example.com";

fn cname(target: &str) -> Value {
    json!({"properties": {"TTL": 30, "CNAMERecord": {"cname": target}}})
}

async fn put(azure: &Azure, set: &str, body: &Value) -> Answer {
    azure.put(&format!("{ZONE}/{set}"), body).await
}

#[tokio::test]
async fn a_record_set_is_made_replaced_read_and_deleted() {
    let azure = Azure::start().await;
    let mut body = cname("a.westeurope.cloudapp.azure.com");
    body["properties"]["metadata"] = json!({"managed-by": "cnamed", "a key": "vanishes"});
    let made = put(&azure, "CNAME/Jump", &body).await.ok(201).body;
    assert_eq!(made["properties"]["fqdn"], "Jump.example.com.");
    assert_eq!(
        made["properties"]["metadata"],
        json!({"managed-by": "cnamed"}),
        "keys with spaces are dropped"
    );
    assert_eq!(made["properties"]["provisioningState"], "Succeeded");
    assert_eq!(made["type"], "Microsoft.Network/dnszones/CNAME");
    assert!(made["id"].as_str().unwrap().ends_with("/CNAME/Jump"));
    let read = azure.get(&format!("{ZONE}/cname/JUMP")).await.ok(200);
    assert_eq!(read.body, made);
    assert!(read.header("x-ms-ratelimit-remaining-subscription-resource-requests").is_some());

    let replaced = put(&azure, "CNAME/jump", &cname("b.example.net")).await.ok(200).body;
    assert_eq!(replaced["properties"]["metadata"], Value::Null, "what is left out is gone");
    assert_ne!(replaced["etag"], made["etag"]);
    let ask = azure.ask("PATCH", &format!("{ZONE}/CNAME/jump")).json(&json!({"properties": {"TTL": 60}}));
    let patched = azure.send(ask).await.ok(200).body;
    assert_eq!(patched["properties"]["CNAMERecord"], json!({"cname": "b.example.net"}));
    assert_eq!(patched["properties"]["TTL"], 60);

    azure.delete(&format!("{ZONE}/CNAME/jump")).await.ok(200);
    azure.delete(&format!("{ZONE}/CNAME/jump")).await.ok(204);
    let missing = azure.get(&format!("{ZONE}/CNAME/jump")).await;
    missing.refused(404, "NotFound");
    assert!(missing.body["error"].is_null(), "Azure DNS puts its code at the top: {}", missing.body);
    let expected = format!(
        "The resource record 'jump' does not exist in resource group 'rg-dns' of subscription '{}'.",
        AZURE_IDENTITY.subscription
    );
    assert_eq!(missing.message(), expected);
}

#[tokio::test]
async fn an_alias_name_stands_alone() {
    let azure = Azure::start().await;
    let taken = put(&azure, "CNAME/www", &cname("a.example.net")).await;
    taken.refused(409, "Conflict");
    assert_eq!(
        taken.message(),
        "The CNAME record could not be created because another record with the same name already exists in this zone."
    );
    put(&azure, "CNAME/jump", &cname("a.example.net")).await.ok(201);
    let address = json!({"properties": {"TTL": 30, "ARecords": [{"ipv4Address": "192.0.2.1"}]}});
    let taken = put(&azure, "A/jump", &address).await;
    taken.refused(409, "Conflict");
    assert_eq!(
        taken.message(),
        "The record could not be created because a CNAME record with the same name already exists in this zone."
    );
    assert!(taken.body["error"].is_null());
    put(&azure, "CNAME/@", &cname("a.example.net")).await.refused(400, "BadRequest");
}

#[tokio::test]
async fn conditions_are_kept() {
    let azure = Azure::start().await;
    let path = format!("{ZONE}/CNAME/jump");
    let put = async |name, value: &str| {
        azure.send(azure.ask("PUT", &path).json(&cname("a.example.net")).header(name, value)).await
    };
    put("if-match", "*").await.refused(412, "PreconditionFailed");
    let made = put("if-none-match", "*").await.ok(201);
    let etag = made.body["etag"].as_str().unwrap().to_owned();
    let refusal = put("if-none-match", "*").await;
    refusal.refused(412, "PreconditionFailed");
    let expected =
        format!("The condition '*' in the If-None-Match header was not satisfied. The current was '{etag}'.");
    assert_eq!(refusal.message(), expected);
    put("if-match", &etag).await.ok(200);
    put("if-match", &etag).await.refused(412, "PreconditionFailed");
    azure.send(azure.ask("DELETE", &path).header("if-match", etag)).await.refused(412, "PreconditionFailed");
    azure.send(azure.ask("DELETE", &path).header("if-match", "*")).await.ok(200);
}

#[tokio::test]
async fn what_is_not_a_record_is_refused() {
    let azure = Azure::start().await;
    let refuse = async |set: &str, properties: Value| {
        let answer = put(&azure, set, &json!({"properties": properties})).await;
        answer.refused(400, "BadRequest");
        answer.message().to_owned()
    };
    let target = json!({"cname": "a.example.net"});
    refuse("CNAME/x", json!({"TTL": 0, "CNAMERecord": target})).await;
    refuse("CNAME/x", json!({"TTL": 2_147_483_648_u64, "CNAMERecord": target})).await;
    refuse("CNAME/x", json!({"CNAMERecord": target})).await;
    refuse("CNAME/x", json!({"TTL": 30})).await;
    let text = refuse("CNAME/x", json!({"TTL": 30, "CNAMERecord": {"cname": "no host"}})).await;
    assert_eq!(text, "The domain name 'no host' is invalid.");
    let label = "a".repeat(64);
    let text = refuse(&format!("CNAME/{label}"), json!({"TTL": 30, "CNAMERecord": target})).await;
    assert_eq!(text, format!("The domain name '{label}.example.com' is invalid."));
    refuse("A/x", json!({"TTL": 30, "ARecords": [{"ipv4Address": "192.0.2"}]})).await;
    let many: Vec<_> = (0..21).map(|n| json!({"ipv4Address": format!("192.0.2.{n}")})).collect();
    refuse("A/x", json!({"TTL": 30, "ARecords": many})).await;
    refuse("TXT/x", json!({"TTL": 30, "TXTRecords": [{"value": ["x".repeat(256)]}]})).await;
    refuse("SOA/x", json!({"TTL": 30, "SOARecord": {}})).await;
    azure.delete(&format!("{ZONE}/NS/@")).await.refused(400, "BadRequest");
    azure.get(&format!("{ZONE}/SPF/x")).await.refused(404, "InvalidResourceType");
    let zone = ZONE.replace("example.com", "example.org");
    azure.get(&format!("{zone}/CNAME/x")).await.refused(404, "ParentResourceNotFound");
}

#[tokio::test]
async fn pages_follow_one_another_to_the_end() {
    let azure = Azure::start().await;
    let control = azure.sandbox.control();
    for n in 0..250 {
        control
            .set_record_azure(&RecordAtAzure::new(&format!("n{n:03}.example.com"), "CNAME", "a.example.net"))
            .unwrap();
    }
    let walk = async |path: String| {
        let mut sizes = Vec::new();
        let mut names = Vec::new();
        let mut page = azure.get(&path).await.ok(200);
        loop {
            let value = page.body["value"].as_array().unwrap();
            sizes.push(value.len());
            names.extend(value.iter().map(|set| format!("{} {}", set["name"], set["type"])));
            match page.body["nextLink"].as_str() {
                Some(next) => page = azure.follow(next).await.ok(200),
                None => break,
            }
        }
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all, "no set is listed twice");
        sizes
    };
    assert_eq!(walk(format!("{ZONE}/CNAME")).await, [100, 100, 50]);
    assert_eq!(walk(format!("{ZONE}/recordsets?$top=1000")).await, [256]);
    assert_eq!(walk(format!("{ZONE}/all?$top=120")).await, [120, 120, 16]);
    assert_eq!(walk(format!("{ZONE}/CNAME?$recordsetnamesuffix=n007")).await, [1]);
    assert_eq!(walk(format!("{ZONE}/all?$recordsetnamesuffix=007")).await, [0], "a suffix is one of labels");
    azure.get(&format!("{ZONE}/all?$top=0")).await.refused(400, "BadRequest");
}

#[tokio::test]
async fn an_alias_set_follows_the_public_ip_and_is_empty_without_it() {
    let azure = Azure::start().await;
    let ip = azure.made(&public_ip("pip-jump"), &standard(None)).await;
    let alias = json!({"properties": {"TTL": 60, "targetResource": {"id": ip["id"]}}});
    let made = put(&azure, "A/@", &alias).await.ok(201).body;
    assert_eq!(made["properties"]["ARecords"], Value::Null, "an alias set lists no record of its own");
    assert_eq!(made["properties"]["targetResource"]["id"], ip["id"]);

    put(&azure, "AAAA/@", &alias).await.refused(400, "BadRequest");
    put(&azure, "CNAME/x", &alias).await.refused(400, "BadRequest");
    let mut both = alias.clone();
    both["properties"]["ARecords"] = json!([{"ipv4Address": "192.0.2.1"}]);
    put(&azure, "A/x", &both).await.refused(400, "BadRequest");
    let nothing = json!({"properties": {"TTL": 60, "targetResource": {"id": format!("{}x", ip["id"].as_str().unwrap())}}});
    put(&azure, "A/x", &nothing).await.refused(400, "BadRequest");
    for n in 1..20 {
        put(&azure, &format!("A/n{n}"), &alias).await.ok(201);
    }
    put(&azure, "A/n20", &alias).await.refused(400, "BadRequest");

    azure.settled(&azure.delete(&public_ip("pip-jump")).await.ok(202)).await;
    let empty = azure.get(&format!("{ZONE}/A/@")).await.ok(200).body;
    assert_eq!(empty["properties"]["targetResource"], json!({}));
}

#[tokio::test]
async fn an_alias_needs_a_right_on_the_address() {
    let azure = Azure::start().await;
    let ip = azure.made(&public_ip("pip-jump"), &standard(None)).await;
    azure.sandbox.control().grant(AZURE_IDENTITY.client_id, &["Microsoft.Network/dnszones/*"], "/").unwrap();
    let alias = json!({"properties": {"TTL": 60, "targetResource": {"id": ip["id"]}}});
    put(&azure, "A/jump", &alias).await.refused(403, "LinkedAuthorizationFailed");
}

#[tokio::test]
async fn a_zone_takes_two_hundred_writes_and_sixty_lists_a_minute() {
    let azure = Azure::with(Options { throttle_scale: 1000.0, ..Options::default() }).await;
    for left in (140..200).rev() {
        let answer = azure.get(&format!("{ZONE}/CNAME")).await.ok(200);
        let expected = (left - 140).to_string();
        assert_eq!(
            answer.header("x-ms-ratelimit-remaining-subscription-resource-requests"),
            Some(expected.as_str())
        );
    }
    let list = azure.get(&format!("{ZONE}/CNAME")).await;
    list.refused(429, "TooManyRequests");
    assert!(list.header("retry-after").unwrap().parse::<u64>().unwrap() > 60);
    azure.get(&format!("{ZONE}/A/www")).await.ok(200);

    // The principal's own bucket holds 200 of each, so that writes and deletes have to share the zone's window.
    for n in 0..100 {
        put(&azure, &format!("CNAME/n{n}"), &cname("a.example.net")).await.ok(201);
        azure.delete(&format!("{ZONE}/CNAME/n{n}")).await.ok(200);
    }
    put(&azure, "CNAME/jump", &cname("a.example.net")).await.refused(429, "TooManyRequests");
    azure.sandbox.control().throttle_scale(0.0001);
    put(&azure, "CNAME/jump", &cname("a.example.net")).await.ok(201);
}

#[tokio::test]
async fn zones_come_and_go() {
    let azure = Azure::start().await;
    let zone = azure.get(ZONE).await.ok(200).body;
    assert_eq!(zone["properties"]["nameServers"].as_array().unwrap().len(), 4);
    assert_eq!(zone["location"], "global");
    let other = ZONE.replace("example.com", "example.org");
    azure.get(&other).await.refused(404, "ResourceNotFound");
    azure
        .put(&other, &json!({"location": "westeurope"}))
        .await
        .refused(400, "LocationNotAvailableForResourceType");
    azure.put(&other, &json!({"location": "global", "tags": {"a": "b"}})).await.ok(201);
    azure.put(&other, &json!({"location": "global"})).await.ok(200);
    let list = azure.get("/providers/Microsoft.Network/dnszones").await.ok(200).body;
    assert_eq!(list["value"].as_array().unwrap().len(), 2);
    azure.delete(&other).await.ok(200);
    azure.delete(&other).await.ok(204);
}
