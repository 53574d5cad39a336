//! What `cnamed doctor` finds: every kind of fault by its name, with the next step, and nothing written anywhere.

use cnamed::sandbox::{
    AZURE_IDENTITY, Action, CLOUDFLARE_TOKENS, Delegation, DnsFault, Fault, NameServer, Service,
};
use serde_json::Value;

use crate::least_privilege::role;
use crate::support::{Cloud, Run, golden};

/// A cloud whose configuration names a state directory that is there and a port that is free.
async fn healthy(gateway: bool) -> Cloud {
    let cloud = Cloud::with(|options| options.gateway = gateway).await;
    std::fs::create_dir(cloud.folder.path().join("state")).unwrap();
    cloud.append("\n[http]\nlisten = \"127.0.0.1:0\"\n");
    cloud
}

async fn json(cloud: &Cloud) -> Run {
    let run = cloud.run(&["doctor", "--format", "json"]).await;
    assert_eq!(run.json()["version"], 1);
    for secret in [AZURE_IDENTITY.client_secret, CLOUDFLARE_TOKENS.good, CLOUDFLARE_TOKENS.expired, "eyJ"] {
        assert!(!run.out.contains(secret) && !run.err.contains(secret), "{}{}", run.out, run.err);
    }
    run
}

/// What came of the one check about `topic` whose subject contains `subject`.
#[derive(Debug)]
struct Found {
    health: String,
    detail: String,
    next: String,
}

#[track_caller]
fn the(run: &Run, topic: &str, subject: &str) -> Found {
    let json = run.json();
    let text = |check: &Value, member: &str| check[member].as_str().unwrap_or_default().to_owned();
    let about = |check: &&Value| check["topic"] == topic && text(check, "subject").contains(subject);
    let found: Vec<&Value> = json["checks"].as_array().unwrap().iter().filter(about).collect();
    assert_eq!(found.len(), 1, "{topic} {subject}:\n{}", run.out);
    let text = |member: &str| text(found[0], member);
    Found { health: text("health"), detail: text("detail"), next: text("next_step") }
}

/// Every topic and health, for the whole picture.
fn healths(run: &Run) -> Vec<(String, String)> {
    let json = run.json();
    let text = |check: &Value, member: &str| check[member].as_str().unwrap_or_default().to_owned();
    let all = json["checks"].as_array().unwrap();
    all.iter().map(|check| (text(check, "topic"), text(check, "health"))).collect()
}

#[tokio::test]
async fn all_is_well_and_nothing_is_written() {
    let cloud = healthy(true).await;
    let run = json(&cloud).await.exits(0);
    assert_eq!(run.json()["outcome"], "well");
    // A question to a workspace is a POST; nothing else is anything but a GET.
    let writes = cloud.writes();
    assert!(writes.iter().all(|request| request.service == Service::LogAnalytics), "{writes:?}");
    assert!(healths(&run).iter().all(|(_, health)| health == "ok"), "{}", run.out);
    let azure = the(&run, "credential", "azure");
    assert!(azure.detail.contains(AZURE_IDENTITY.client_id), "{azure:?}");
    assert!(azure.detail.contains(AZURE_IDENTITY.tenant), "{azure:?}");
    assert!(the(&run, "credential", "cf").detail.contains("a user's token"));
    assert_eq!(std::fs::read_dir(cloud.folder.path().join("state")).unwrap().count(), 0);
    // Once everything is made, its label is asked after as well.
    cloud.run(&["sync"]).await.exits(0);
    let run = json(&cloud).await.exits(0);
    let label = the(&run, "label", "jump");
    assert!(label.detail.contains("at all 1 servers"), "{label:?}");
}

#[tokio::test]
async fn it_reads_well() {
    let cloud = healthy(false).await;
    cloud.sandbox.control().delegate(Delegation::Azure);
    let steady = |run: &Run| {
        let mut text =
            run.out.replace(&cloud.folder.path().canonicalize().unwrap().display().to_string(), "FOLDER");
        let addresses = cloud.sandbox.addresses();
        for server in addresses.recursive_dns.iter().chain(&addresses.label_dns) {
            text = text.replace(&server.to_string(), "SERVER");
        }
        for url in [
            &addresses.resource_manager,
            &addresses.authority,
            &addresses.cloudflare,
            &addresses.log_analytics,
        ] {
            let host = url.trim_start_matches("https://").split('/').next().unwrap();
            text = text.replace(host, "HOST");
        }
        let changing = |line: &str| {
            let line = match line.split_once(" answers in ") {
                Some((head, tail)) => format!("{head} answers in N {}", tail.split_once(' ').unwrap().1),
                None => line.to_owned(),
            };
            match line.split_once("a user's token ") {
                Some((head, _)) => format!("{head}a user's token ID"),
                None => line,
            }
        };
        // Columns are as wide as the widest address, which is never the same.
        let narrow = |line: &str| {
            let words: Vec<&str> = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
            format!("{}\n", words.join("  "))
        };
        text.lines().map(changing).map(|line| narrow(&line)).collect::<String>()
    };
    let run = cloud.run(&["doctor"]).await.exits(0);
    golden::same("cli/doctor", &steady(&run));
    let fewer: Vec<String> =
        role().into_iter().filter(|action| !action.ends_with("publicIPAddresses/write")).collect();
    let fewer: Vec<&str> = fewer.iter().map(String::as_str).collect();
    let control = cloud.sandbox.control();
    control.grant(AZURE_IDENTITY.client_id, &fewer, "/").unwrap();
    control.delegate(Delegation::Cloudflare);
    control.clear_cache();
    cloud.replace("accounts = [\"azure\", \"cf\"]", "accounts = [\"azure\"]");
    let run = cloud.run(&["doctor"]).await.exits(1);
    golden::same("cli/doctor-failed", &steady(&run));
}

#[tokio::test]
async fn a_missing_permission_is_named_with_its_scope() {
    let cloud = healthy(true).await;
    let control = cloud.sandbox.control();
    let all = role();
    let without = |missing: &str| {
        let fewer: Vec<&str> =
            all.iter().map(String::as_str).filter(|action| !action.ends_with(missing)).collect();
        assert_eq!(fewer.len(), all.len() - 1, "{missing}");
        control.grant(AZURE_IDENTITY.client_id, &fewer, "/").unwrap();
    };
    for (missing, subject, scope) in [
        ("publicIPAddresses/write", "rg-mgmt", "/resourceGroups/rg-mgmt"),
        ("loadBalancers/inboundNatRules/join/action", "rg-mgmt", "/resourceGroups/rg-mgmt"),
        ("virtualNetworks/subnets/join/action", "rg-mgmt", "/resourceGroups/rg-mgmt"),
        (
            "dnszones/CNAME/delete",
            "example.com of rg-dns",
            "/resourceGroups/rg-dns/providers/Microsoft.Network/dnszones/example.com",
        ),
        (
            "checkDnsNameAvailability/read",
            "subscription",
            "/subscriptions/5ab5c200-0000-4000-8000-00000000c0de",
        ),
    ] {
        without(missing);
        let run = json(&cloud).await.exits(1);
        let json = run.json();
        let failed: Vec<&Value> =
            json["checks"].as_array().unwrap().iter().filter(|check| check["health"] == "failed").collect();
        assert_eq!(failed.len(), 1, "{missing}: {failed:#?}");
        assert!(failed[0]["subject"].as_str().unwrap().contains(subject), "{failed:#?}");
        let detail = failed[0]["detail"].as_str().unwrap();
        assert!(
            detail.contains(missing) && detail.to_lowercase().ends_with(&scope.to_lowercase()),
            "{detail}"
        );
        assert!(failed[0]["next_step"].as_str().unwrap().contains("config/azure-role.json"));
    }
    // Who may not read what is granted does not know what is.
    without("Microsoft.Authorization/permissions/read");
    let run = json(&cloud).await.exits(6);
    assert_eq!(run.json()["outcome"], "partial");
    let group = the(&run, "permissions", "rg-mgmt");
    assert_eq!(group.health, "not-asked");
    assert!(group.detail.contains("Microsoft.Authorization/permissions/read"), "{group:?}");
}

#[tokio::test]
async fn a_role_elsewhere_is_none_here() {
    let cloud = healthy(false).await;
    let scope = format!("/subscriptions/{}/resourceGroups/rg-dns", AZURE_IDENTITY.subscription);
    cloud.sandbox.control().grant(AZURE_IDENTITY.client_id, &["*"], &scope).unwrap();
    let run = json(&cloud).await.exits(1);
    assert_eq!(the(&run, "permissions", "example.com of rg-dns").health, "ok");
    assert_eq!(the(&run, "permissions", "rg-mgmt").health, "not-asked");
}

#[tokio::test]
async fn a_reader_lacks_what_writes() {
    let cloud = healthy(false).await;
    cloud.replace(AZURE_IDENTITY.client_id, AZURE_IDENTITY.reader_client_id);
    std::fs::write(cloud.folder.path().join("azure-client-secret"), AZURE_IDENTITY.reader_client_secret)
        .unwrap();
    std::fs::write(cloud.folder.path().join("cloudflare-token"), CLOUDFLARE_TOKENS.read_only).unwrap();
    let run = json(&cloud).await.exits(1);
    let azure = the(&run, "permissions", "rg-mgmt");
    assert!(
        azure.detail.contains("publicIPAddresses/write, ")
            || azure.detail.contains("publicIPAddresses/delete, ")
    );
    assert!(!azure.detail.contains("publicIPAddresses/read"), "{azure:?}");
    let cloudflare = the(&run, "permissions", "example.com in cf");
    assert!(cloudflare.detail.contains("Zone > DNS > Edit"), "{cloudflare:?}");
    assert_eq!(the(&run, "zone", "example.com in cf").health, "ok");
}

#[tokio::test]
async fn tokens_that_are_not_taken_are_told_once() {
    let cloud = healthy(false).await;
    let token = cloud.folder.path().join("cloudflare-token");
    for (text, says) in [
        ("too-short", "Invalid format"),
        (CLOUDFLARE_TOKENS.expired, "expired since 2024-12-31"),
        (CLOUDFLARE_TOKENS.disabled, "disabled"),
        ("sandbox-nobody-knows-this-one-00000000000009", "Invalid"),
    ] {
        std::fs::write(&token, text).unwrap();
        let run = json(&cloud).await.exits(1);
        let found = the(&run, "credential", "cf");
        assert!(found.health == "failed" && found.detail.contains(says), "{found:?}");
        // None of them lacks a permission.
        assert!(!found.next.contains("Zone > DNS"), "{found:?}");
        let zone = the(&run, "zone", "cf");
        assert_eq!(zone.health, "not-asked");
        assert_eq!(zone.detail, "the credential to ask with was not accepted");
        assert_eq!(the(&run, "credential", "azure").health, "ok");
    }
    std::fs::write(&token, CLOUDFLARE_TOKENS.account_owned).unwrap();
    let run = json(&cloud).await.exits(0);
    assert!(the(&run, "credential", "cf").detail.contains("an account's token"));
    // It may edit records, and nobody tells so.
    std::fs::write(&token, CLOUDFLARE_TOKENS.dns_edit_only).unwrap();
    cloud.replace(
        "provider = \"cloudflare\"",
        "provider = \"cloudflare\"\nzones = { \"example.com\" = \"023e105f4ecef8ad9ca31a8372d0c353\" }",
    );
    let run = json(&cloud).await.exits(6);
    assert_eq!(the(&run, "permissions", "example.com in cf").health, "not-asked");
    assert_eq!(the(&run, "zone", "example.com in cf").health, "ok");
    std::fs::remove_file(&token).unwrap();
    let run = json(&cloud).await.exits(1);
    assert!(the(&run, "credential", "cf").detail.contains("cloudflare-token"));
    assert_eq!(the(&run, "zone", "cf").detail, "there is no credential to ask with");
}

#[tokio::test]
async fn a_wrong_azure_secret_and_an_expired_token_are_named() {
    let cloud = healthy(false).await;
    std::fs::write(cloud.folder.path().join("azure-client-secret"), "wrong~secret").unwrap();
    let run = json(&cloud).await.exits(1);
    let found = the(&run, "credential", "azure");
    assert!(found.detail.contains("AADSTS7000215") && found.next.contains("not its id"), "{found:?}");
    for (topic, subject) in [("permissions", "azure"), ("zone", "azure"), ("label", "jump")] {
        assert_eq!(the(&run, topic, subject).health, "not-asked", "{topic}");
    }
    assert_eq!(the(&run, "zone", "example.com in cf").health, "ok");
    // A bearer token obtained elsewhere, whose time was over in 2001.
    let header = "eyJhbGciOiJub25lIn0";
    let expired = format!("{header}.eyJleHAiOjEwMDAwMDAwMDAsInRpZCI6InRlbmFudC0xIn0.c2ln");
    std::fs::write(cloud.folder.path().join("bearer"), expired).unwrap();
    cloud.configure(|text| {
        let drop =
            |line: &&str| !["client_id", "client_secret", "tenant"].iter().any(|key| line.starts_with(key));
        let kept: Vec<&str> = text.lines().filter(drop).collect();
        kept.join("\n").replace(
            "credential = \"client-secret\"",
            "credential = \"token\"\ntoken = { file = \"bearer\" }",
        )
    });
    let run = json(&cloud).await.exits(1);
    let found = the(&run, "credential", "azure");
    assert!(found.detail.contains("expired at 2001-09-09") && found.detail.contains("tenant-1"), "{found:?}");
}

#[tokio::test]
async fn a_zone_that_the_world_is_not_led_to_is_named_with_both_lists() {
    let cloud = healthy(false).await;
    let control = cloud.sandbox.control();
    control.delegate(Delegation::Cloudflare);
    // One of the accounts is enough, as long as the name is in both.
    let run = json(&cloud).await.exits(0);
    let found = the(&run, "delegation", "example.com");
    assert!(found.detail.contains("the servers of azure are not among them"), "{found:?}");
    cloud.replace("accounts = [\"azure\", \"cf\"]", "accounts = [\"azure\"]");
    let run = json(&cloud).await.exits(1);
    let found = the(&run, "delegation", "example.com");
    assert!(found.health == "failed" && found.detail.starts_with("not delegated here"), "{found:?}");
    assert!(found.detail.contains("ns.cloudflare.com") && found.detail.contains("azure-dns"), "{found:?}");
    assert!(found.next.contains("azure-dns"), "{found:?}");
}

#[tokio::test]
async fn a_name_without_a_zone_is_named() {
    let cloud = healthy(false).await;
    cloud.replace("jumpstation.example.com", "jump.example.org");
    let run = json(&cloud).await.exits(1);
    let found = the(&run, "zone", "jump.example.org in cf");
    assert!(found.detail.contains("no zone of the account holds it; it sees example.com"), "{found:?}");
}

#[tokio::test]
async fn silent_servers_are_named() {
    let cloud = healthy(false).await;
    cloud.run(&["sync"]).await.exits(0);
    cloud.replace("[verify]", "[verify]\ntimeout = \"1s\"");
    let control = cloud.sandbox.control();
    control.dns_fault(NameServer::Recursive, Some(DnsFault::Silent));
    control.dns_fault(NameServer::Label, Some(DnsFault::Refused));
    let run = json(&cloud).await.exits(1);
    let resolver = the(&run, "resolver", "127.0.0.1");
    assert!(resolver.health == "failed" && resolver.next.contains("verify.resolvers"), "{resolver:?}");
    let label = the(&run, "label", "jump");
    assert!(label.health == "failed" && label.detail.contains("REFUSED"), "{label:?}");
    assert_eq!(the(&run, "delegation", "example.com").health, "not-asked");
}

#[tokio::test]
async fn a_label_of_a_stranger_is_named() {
    let cloud = healthy(false).await;
    cloud.sandbox.control().stranger_takes_label("contoso-jump").unwrap();
    let run = json(&cloud).await.exits(1);
    let label = the(&run, "label", "contoso-jump");
    assert!(label.health == "failed" && label.detail.contains("somebody else"), "{label:?}");
}

#[tokio::test]
async fn a_clock_that_is_off_is_told_by_what_it_breaks() {
    let cloud = healthy(false).await;
    let control = cloud.sandbox.control();
    let off = |service, ahead| control.fault(Fault::on(service, Action::Date { ahead }).always());
    off(Service::Arm, 120);
    off(Service::Cloudflare, -900);
    let run = json(&cloud).await.exits(1);
    let host = |url: &str| url.trim_start_matches("https://").split('/').next().unwrap().to_owned();
    let addresses = cloud.sandbox.addresses();
    let azure = the(&run, "clock", &host(&addresses.resource_manager));
    assert!(azure.health == "warning" && azure.detail.contains("behind"), "{azure:?}");
    let cloudflare = the(&run, "clock", &host(&addresses.cloudflare));
    assert!(cloudflare.health == "failed" && cloudflare.detail.contains("ahead"), "{cloudflare:?}");
    assert!(cloudflare.next.contains("timedatectl"), "{cloudflare:?}");
    assert_eq!(the(&run, "clock", &host(&addresses.authority)).health, "ok");
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_and_a_port_that_is_held_are_named() {
    let cloud = healthy(false).await;
    let held = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    cloud.replace("127.0.0.1:0\"", &format!("{}\"", held.local_addr().unwrap()));
    std::fs::remove_dir(cloud.folder.path().join("state")).unwrap();
    // Not even root makes a directory of a file.
    std::fs::write(cloud.folder.path().join("state"), "").unwrap();
    let run = json(&cloud).await.exits(1);
    assert_eq!(the(&run, "state", "state").detail, "is no directory");
    let listen = the(&run, "listen", "127.0.0.1");
    assert!(listen.health == "failed" && listen.next.contains("http.listen"), "{listen:?}");
}

/// It is well only where the commands and the service, which all need the journal, find it so too.
#[tokio::test]
async fn a_journal_that_others_cannot_use_is_not_well() {
    let cloud = healthy(false).await;
    cloud.run(&["sync", "--quiet"]).await.exits(0);
    json(&cloud).await.exits(0);
    let journal = cloud.folder.path().join("state/journal.sqlite3");
    let version = |version: u32| {
        let file = rusqlite::Connection::open(&journal).unwrap();
        file.pragma_update(None, "user_version", version).unwrap();
    };
    version(99);
    cloud.run(&["run"]).await.exits(1);
    let run = json(&cloud).await.exits(1);
    let state = the(&run, "state", "state");
    assert!(state.health == "failed" && state.detail.contains("version 99"), "{state:?}");

    std::fs::write(&journal, "damaged").unwrap();
    cloud.run(&["history"]).await.exits(1);
    let run = json(&cloud).await.exits(1);
    let state = the(&run, "state", "state");
    assert!(state.health == "failed" && state.next.contains("sync"), "{state:?}");
    // As it says.
    cloud.sandbox.control().delete_record_azure("jumpstation.example.com", "CNAME").unwrap();
    cloud.run(&["sync", "--quiet"]).await.exits(0);
    json(&cloud).await.exits(0);
}

#[tokio::test]
async fn a_workspace_that_cannot_be_asked_is_named() {
    let cloud = healthy(false).await;
    let run = json(&cloud).await.exits(0);
    assert_eq!(the(&run, "logons", "SecurityEvent").detail, "can be asked");
    assert_eq!(the(&run, "logons", "Syslog").detail, "nothing is collected there");
    let fewer: Vec<String> =
        role().into_iter().filter(|action| !action.contains("OperationalInsights")).collect();
    let fewer: Vec<&str> = fewer.iter().map(String::as_str).collect();
    cloud.sandbox.control().grant(AZURE_IDENTITY.client_id, &fewer, "/").unwrap();
    let run = json(&cloud).await.exits(1);
    assert_eq!(the(&run, "logons", "SecurityEvent").health, "failed");
}

#[tokio::test]
async fn a_cloud_that_is_down_ends_in_time() {
    let cloud = healthy(false).await;
    cloud.replace("[verify]", "[limits]\nrequest_timeout = \"1s\"\n\n[verify]");
    let control = cloud.sandbox.control();
    control.fault(Fault::on(Service::Arm, Action::Hang).always());
    control.fault(Fault::on(Service::Cloudflare, Action::Reset).always());
    let run = json(&cloud).await.exits(1);
    assert_eq!(the(&run, "permissions", "rg-mgmt").health, "failed");
    assert_eq!(the(&run, "credential", "cf").health, "failed");
    assert_eq!(the(&run, "resolver", "127.0.0.1").health, "ok");
}
