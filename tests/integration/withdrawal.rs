//! What is claimed of a name whose CNAME does not show in DNS: an address, an alias, a proxied or a flattened record.

use cnamed::sandbox::{DnsFault, LegacyPublicIp, NameServer};
use serde_json::json;

use crate::foreign::{LABEL, NAME, at_cloudflare, nothing_written, settled};
use crate::support::Cloud;

const AZURE: [NameServer; 2] = [NameServer::Azure1, NameServer::Azure2];
const CLOUDFLARE: [NameServer; 2] = [NameServer::Cloudflare1, NameServer::Cloudflare2];

/// The configured record, with these lines in place of its accounts and its TTL, and little patience.
async fn with(lines: &str) -> Cloud {
    let cloud = Cloud::start().await;
    cloud.replace("accounts = [\"azure\", \"cf\"]\nttl = 30", lines);
    cloud.replace("[verify]", "[verify]\ntimeout = \"600ms\"");
    cloud
}

/// From here on they serve what they serve now.
fn stale(cloud: &Cloud, servers: [NameServer; 2]) {
    for server in servers {
        cloud.sandbox.control().dns_fault(server, Some(DnsFault::Stale));
    }
}

/// Removes `name` while `servers` go on serving it, and once more when they do not.
async fn removed(cloud: &Cloud, name: &str, servers: [NameServer; 2]) {
    cloud.run(&["sync"]).await.exits(0);
    stale(cloud, servers);
    let run = cloud.run(&["remove", name, "--yes"]).await.exits(5).says("contradicted");
    assert!(!run.out.contains("agreed"), "{}", run.out);
    cloud.sandbox.control().clear_faults();
    cloud.run(&["sync"]).await.exits(0);
    cloud.run(&["remove", name, "--yes"]).await.exits(0).says("say that there is nothing");
    cloud.sandbox.forget_requests();
    // Where others hold something at the name too, it is refused for that.
    cloud.run(&["remove", name, "--yes"]).await;
    nothing_written(cloud);
}

#[tokio::test]
async fn an_address_that_is_still_served_is_not_gone() {
    let cloud = with("accounts = [\"azure\"]\nttl = 60\nmode = \"address\"").await;
    removed(&cloud, NAME, AZURE).await;
}

#[tokio::test]
async fn an_alias_at_an_apex_that_is_still_served_is_not_gone() {
    let cloud = with("accounts = [\"azure\"]\nttl = 60\nmode = \"alias\"").await;
    cloud.replace(NAME, "example.com");
    removed(&cloud, "example.com", AZURE).await;
}

#[tokio::test]
async fn a_flattened_name_that_is_still_served_is_not_gone() {
    let cloud = with("accounts = [\"cf\"]\nttl = 60").await;
    cloud.replace(NAME, "example.com");
    removed(&cloud, "example.com", CLOUDFLARE).await;
}

#[tokio::test]
async fn a_proxied_name_that_is_still_served_is_not_gone() {
    let cloud = with("accounts = [\"cf\"]\nproxied = true").await;
    removed(&cloud, NAME, CLOUDFLARE).await;
}

#[tokio::test]
async fn a_label_behind_a_flattened_apex_is_kept_while_a_server_gives_its_address() {
    let cloud = with("accounts = [\"cf\"]\nttl = 60").await;
    cloud.replace(NAME, "example.com");
    cloud.run(&["sync"]).await.exits(0);
    stale(&cloud, CLOUDFLARE);
    let run = cloud.run(&["teardown", "--yes"]).await.exits(6);
    run.says("nothing that depends on it was touched; run the same command again");
    assert!(cloud.sandbox.control().public_ip("pip-jump").is_some(), "a server still leads to it");
}

#[tokio::test]
async fn a_label_is_kept_while_a_server_gives_its_address_in_place_of_the_next() {
    let cloud = with("accounts = [\"cf\"]\nttl = 60").await;
    cloud.replace(NAME, "example.com");
    let next = "\n[[endpoint]]\nname = \"next\"\nresource_group = \"rg-mgmt\"\nlocation = \"westeurope\"\n\
                public_ip = \"pip-next\"\nlabel = \"contoso-next\"\n";
    cloud.append(next);
    cloud.run(&["sync"]).await.exits(0);
    stale(&cloud, CLOUDFLARE);
    cloud.replace("endpoint = \"jump\"", "endpoint = \"next\"");
    cloud.replace("label = \"contoso-jump\"", "label = \"contoso-leap\"");
    let run = cloud.run(&["sync", "--allow", "relabel"]).await.exits(6);
    run.says("nothing that depends on it was touched; run the same command again");
    let held = cloud.sandbox.control().public_ip("pip-jump").unwrap();
    assert_eq!(held["properties"]["dnsSettings"]["domainNameLabel"], "contoso-jump");
}

#[tokio::test]
async fn an_alias_of_a_released_address_is_agreed_to_be_empty() {
    let cloud = with("accounts = [\"azure\"]\nttl = 60\nmode = \"alias\"").await;
    let control = cloud.sandbox.control();
    control.create_legacy_public_ip(&LegacyPublicIp::default()).unwrap();
    cloud.run(&["sync"]).await.exits(0);
    control.deallocate_vm();
    assert!(control.public_ip("pip-jump").unwrap()["properties"].get("ipAddress").is_none());
    settled(&cloud).await;
    cloud.run(&["status"]).await.says("there is nothing");
}

#[tokio::test]
async fn a_name_below_the_apex_that_is_flattened_is_masked() {
    let cloud = with("accounts = [\"cf\"]\nttl = 60").await;
    let record = json!({"type": "CNAME", "name": NAME, "content": LABEL, "ttl": 60,
        "comment": "managed-by=cnamed owner=demo", "settings": {"flatten_cname": true}});
    cloud.sandbox.control().set_record_cloudflare(&record).unwrap();
    cloud.run(&["sync"]).await.exits(0).says("masked").says("flattened: 2 name servers say");
    settled(&cloud).await;
    removed_while_flattened(&cloud).await;
}

async fn removed_while_flattened(cloud: &Cloud) {
    stale(cloud, CLOUDFLARE);
    let run = cloud.run(&["remove", NAME, "--yes"]).await.exits(5).says("contradicted");
    assert!(!run.out.contains("agreed"), "{}", run.out);
}

#[tokio::test]
async fn a_stray_in_a_zone_that_no_name_is_wanted_in_is_withdrawn() {
    let cloud = Cloud::start().await;
    let stray = json!({"type": "CNAME", "name": "x.example.net", "content": LABEL, "ttl": 30,
        "comment": "managed-by=cnamed owner=demo"});
    cloud.sandbox.control().set_record_cloudflare(&stray).unwrap();
    let run = cloud.run(&["sync"]).await.exits(0);
    run.says("x.example.net").says("the configuration does not name it");
    assert_eq!(at_cloudflare(&cloud, "x.example.net"), None);
    settled(&cloud).await;
}
