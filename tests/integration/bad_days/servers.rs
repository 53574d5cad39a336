//! Name servers that are silent, refuse, fail or disagree: applied, and not verified.

use cnamed::sandbox::{DnsFault, NameServer};

use crate::foreign::{LABEL, cname, settled};
use crate::support::Cloud;

async fn impatient() -> Cloud {
    let cloud = Cloud::start().await;
    cloud.replace("[verify]", "[verify]\ntimeout = \"600ms\"");
    cloud
}

fn address(cloud: &Cloud, server: NameServer) -> String {
    let addresses = cloud.sandbox.addresses();
    let at = match server {
        NameServer::Azure1 => addresses.azure_dns[0],
        NameServer::Azure2 => addresses.azure_dns[1],
        NameServer::Cloudflare1 => addresses.cloudflare_dns[0],
        NameServer::Cloudflare2 => addresses.cloudflare_dns[1],
        NameServer::Label => addresses.label_dns.unwrap(),
        NameServer::Recursive => addresses.recursive_dns.unwrap(),
    };
    at.to_string()
}

#[tokio::test]
async fn one_server_that_does_not_answer_is_named_and_the_round_is_not_verified() {
    for (server, fault, said) in [
        (NameServer::Azure2, DnsFault::Silent, "no answer within"),
        (NameServer::Cloudflare1, DnsFault::ServFail, "SERVFAIL"),
        (NameServer::Azure1, DnsFault::Refused, "REFUSED"),
    ] {
        let cloud = impatient().await;
        let control = cloud.sandbox.control();
        control.dns_fault(server, Some(fault));
        let run = cloud.run(&["sync"]).await.exits(5).says("Not verified").says("unanswered");
        run.says(&format!("{}: {said}", address(&cloud, server))).says("1 of 2 agree").says("cnamed status");
        control.clear_faults();
        settled(&cloud).await;
    }
}

#[tokio::test]
async fn a_server_that_serves_the_past_is_named_and_the_round_is_not_verified() {
    let cloud = impatient().await;
    cloud.run(&["sync"]).await.exits(0);
    let control = cloud.sandbox.control();
    control.dns_fault(NameServer::Azure1, Some(DnsFault::Stale));
    cloud.replace("ttl = 30", "ttl = 60");
    let run = cloud.run(&["sync"]).await.exits(5).says("TTL 30s becomes 60s");
    run.says(&format!("{} still says CNAME", address(&cloud, NameServer::Azure1)));
    let round = cloud.run(&["--format", "json", "status"]).await.exits(5).json();
    assert_eq!(round["outcome"], "unverified");
    control.clear_faults();
    settled(&cloud).await;
}

#[tokio::test]
async fn servers_that_disagree_after_drift_are_never_called_in_sync() {
    let cloud = impatient().await;
    let control = cloud.sandbox.control();
    // One of the two has not heard of the name at all.
    control.dns_fault(NameServer::Cloudflare2, Some(DnsFault::Stale));
    let run = cloud.run(&["sync"]).await.exits(5);
    run.says(&address(&cloud, NameServer::Cloudflare2));
    cloud.run(&["sync"]).await.exits(5);
    control.clear_faults();
    settled(&cloud).await;
}

#[tokio::test]
async fn a_withdrawal_that_servers_do_not_show_stops_what_depends_on_it() {
    let cloud = impatient().await;
    cloud.replace("accounts = [\"azure\", \"cf\"]\nttl = 30", "accounts = [\"azure\"]\nttl = 1");
    cloud.run(&["sync"]).await.exits(0);
    let control = cloud.sandbox.control();
    control.dns_fault(NameServer::Azure2, Some(DnsFault::Stale));
    let run = cloud.run(&["teardown", "--yes"]).await.exits(6).says(&address(&cloud, NameServer::Azure2));
    run.says("nothing that depends on it was touched; run the same command again");
    assert!(control.public_ip("pip-jump").is_some(), "its label may still be led to");
    control.clear_faults();
    cloud.run(&["teardown", "--yes"]).await.exits(0);
    assert_eq!(control.public_ip("pip-jump"), None);
}

#[tokio::test]
async fn a_resolver_that_is_silent_is_told_and_decides_nothing() {
    let cloud = impatient().await;
    cloud.sandbox.control().dns_fault(NameServer::Recursive, Some(DnsFault::Silent));
    cloud
        .run(&["sync"])
        .await
        .exits(0)
        .says(&format!("{}: no answer within", address(&cloud, NameServer::Recursive)));
}

#[tokio::test]
async fn a_pruned_name_that_a_server_still_gives_is_not_verified() {
    let cloud = impatient().await;
    cloud.run(&["sync"]).await.exits(0);
    let control = cloud.sandbox.control();
    control.set_record_azure(&cname("old.example.com", LABEL, 1, Some("demo"))).unwrap();
    control.dns_fault(NameServer::Azure1, Some(DnsFault::Stale));
    let run = cloud.run(&["sync"]).await.exits(5).says("old.example.com");
    run.says(&format!("{} says CNAME", address(&cloud, NameServer::Azure1)));
    assert_eq!(control.record_azure("old.example.com", "CNAME"), None);
    control.clear_faults();
    settled(&cloud).await;
}
