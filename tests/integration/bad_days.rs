//! Bad days: what fails is told with its resource and its remedy, holds back nothing else, and changes nothing.

mod credentials;
mod servers;
mod transport;

use cnamed::sandbox::{AZURE_IDENTITY, Action, Fault, Service};
use serde_json::{Value, json};

use crate::foreign::{NAME, at_cloudflare, settled};
use crate::support::{Cloud, Run};

/// What is said of it must not be said over and over.
#[track_caller]
fn said_once(run: Run, text: &str) -> Run {
    assert_eq!(run.out.matches(text).count(), 1, "{text:?}\n{}", run.out);
    run
}

/// Everything that both providers hold, the given name left out.
fn others(cloud: &Cloud) -> Vec<Value> {
    cloud.sandbox.control().records_without(NAME)
}

fn status(status: u16, headers: &[(&str, &str)], body: Value) -> Action {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Action::Status { status, headers, body }
}

#[tokio::test]
async fn one_provider_that_is_down_does_not_hold_the_other() {
    for (down, path, up) in [(Service::Cloudflare, "/client/v4", "azure"), (Service::Arm, "dnszones", "cf")] {
        let cloud = Cloud::start().await;
        let control = cloud.sandbox.control();
        let before = others(&cloud);
        control.fault(Fault::on(down, Action::Reset).path(path).always());
        let round = cloud.run(&["--format", "json", "sync"]).await.exits(6).json();
        assert_eq!(round["outcome"], "partial");
        let records = round["records"].as_array().unwrap();
        assert_eq!(records.len(), 1, "{round:#}");
        assert_eq!((&records[0]["account"], &records[0]["verdict"]), (&json!(up), &json!("agreed")));
        assert!(
            round["unknown"][0]["reason"].as_str().unwrap().contains("the connection broke"),
            "{round:#}"
        );
        control.clear_faults();
        cloud.run(&["sync"]).await.exits(0);
        assert_eq!(others(&cloud), before);
        settled(&cloud).await;
    }
}

#[tokio::test]
async fn when_everything_is_down_it_says_so_and_exits_1() {
    let cloud = Cloud::start().await;
    let control = cloud.sandbox.control();
    control.fault(Fault::on(Service::Arm, Action::Reset).always());
    control.fault(Fault::on(Service::Cloudflare, Action::Reset).always());
    let run = cloud.run(&["sync"]).await.exits(1).says("could not read: public IP of jump");
    let run = run.says("could not read: zones of azure").says("could not read: zones of cf");
    run.says("run again; if it stays so, check the network");
    assert!(cloud.writes().is_empty());
    assert_eq!(control.public_ip("pip-jump"), None);
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_read_freezes_its_names() {
    let cloud = Cloud::start().await;
    cloud.run(&["sync"]).await.exits(0);
    let control = cloud.sandbox.control();
    let before = (control.record_azure(NAME, "CNAME"), at_cloudflare(&cloud, NAME));
    control.fault(Fault::on(Service::Arm, Action::Reset).path("publicIPAddresses").always());
    cloud.sandbox.forget_requests();
    let run = cloud.run(&["sync"]).await;
    assert!(matches!(run.code, 1 | 6), "{run:?}");
    said_once(run.says("could not read: public IP of jump"), "the connection broke");
    assert!(cloud.writes().is_empty());
    assert_eq!((control.record_azure(NAME, "CNAME"), at_cloudflare(&cloud, NAME)), before);
}

#[tokio::test]
async fn an_operation_that_fails_after_202_keeps_all_that_arm_says() {
    let cloud = Cloud::start().await;
    let control = cloud.sandbox.control();
    let details =
        vec![("PublicIPCountLimitReached".into(), "Cannot create more than 10 public IP addresses.".into())];
    let (code, message) = ("OperationNotAllowed".into(), "Operation could not be completed.".into());
    let fails = Action::OperationFails { code, message, details };
    control.fault(Fault::on(Service::Arm, fails).method("PUT").path("publicIPAddresses"));
    let run = cloud.run(&["sync"]).await.exits(1).says("failed: public IP of jump");
    let run = run.says("OperationNotAllowed: Operation could not be completed");
    let run = run.says("PublicIPCountLimitReached: Cannot create more than 10 public IP addresses");
    let run = run.says("delete an address that is not needed, or ask Azure for a higher quota");
    assert_eq!(cloud.writes().len(), 1, "no name is written for a label that is not held");
    assert!(!run.out.contains("jump  absent"), "it was made and failed, which is not absence:\n{}", run.out);
    cloud.run(&["sync"]).await.exits(0);
    settled(&cloud).await;
}

#[tokio::test]
async fn a_refusal_of_arm_is_told_in_its_words_with_what_to_do() {
    let label = "DNS record contoso-jump.westeurope.cloudapp.azure.com is reserved.";
    let cases = [
        (400, "DnsRecordIsReserved", label, "the label is kept for a while after its last use"),
        (400, "DnsRecordInUse", "DNS record is already used by another public IP.", "choose another"),
        (409, "ScopeLocked", "The scope is locked: 'rg-mgmt'.", "remove the lock that the message names"),
        (403, "RequestDisallowedByPolicy", "Resource was disallowed by policy.", "ask for an exemption"),
        (
            404,
            "ResourceGroupNotFound",
            "Resource group 'rg-mgmt' could not be found.",
            "create the resource group",
        ),
    ];
    let cloud = Cloud::start().await;
    let control = cloud.sandbox.control();
    for (code, name, message, remedy) in cases {
        let body = json!({"error": {"code": name, "message": message}});
        control
            .fault(Fault::on(Service::Arm, status(code, &[], body)).method("PUT").path("publicIPAddresses"));
        let run = cloud.run(&["sync"]).await.exits(1).says("failed: public IP of jump").says(name);
        run.says(message.trim_end_matches('.')).says(remedy);
        control.clear_faults();
    }
    assert_eq!(control.public_ip("pip-jump"), None);
    assert_eq!(control.record_azure(NAME, "CNAME"), None);
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_settled_by_reading() {
    let writes = [
        (Service::Arm, "PUT", "publicIPAddresses"),
        (Service::Arm, "PUT", "dnszones"),
        (Service::Cloudflare, "POST", "dns_records"),
    ];
    for (service, method, path) in writes {
        let cloud = Cloud::start().await;
        let control = cloud.sandbox.control();
        control.fault(Fault::on(service, Action::LostAnswer).method(method).path(path));
        cloud.run(&["sync"]).await.exits(0).says("Done: 3 changes made");
        let sent =
            cloud.writes().into_iter().filter(|write| write.method == method && write.path.contains(path));
        assert_eq!(sent.count(), 1, "{path}: a write that may have happened is not sent again");
        settled(&cloud).await;
    }
}

#[tokio::test]
async fn a_write_that_was_never_answered_is_not_told_as_failed_and_is_made_by_the_next_round() {
    // What waits for a public IP has the same round look again, and make what has not come.
    let cloud = Cloud::start().await;
    let control = cloud.sandbox.control();
    control.fault(Fault::on(Service::Arm, Action::Reset).method("PUT").path("publicIPAddresses"));
    cloud.run(&["sync"]).await.exits(0).says("Done: 3 changes made");
    settled(&cloud).await;
    for (service, path) in [(Service::Arm, "dnszones"), (Service::Cloudflare, "dns_records")] {
        let cloud = Cloud::start().await;
        let control = cloud.sandbox.control();
        for method in ["PUT", "POST"] {
            control.fault(Fault::on(service, Action::Reset).method(method).path(path));
        }
        let run = cloud.run(&["sync"]).await.exits(6).says("could not confirm:").says("connection broke");
        let run = run.says("Not confirmed: 2 changes made, and 1 may have been");
        let run = run.says("run again: it looks at what stands there first");
        assert!(!run.out.contains("failed"), "{}", run.out);
        control.clear_faults();
        cloud.run(&["sync"]).await.exits(0);
        settled(&cloud).await;
    }
}

#[tokio::test]
async fn a_zone_that_no_account_holds_is_refused_before_anything_is_made() {
    let cloud = Cloud::start().await;
    cloud.replace(NAME, "jumpstation.example.org");
    let run = cloud.run(&["sync"]).await.exits(4).says("refused (zone): jumpstation.example.org in azure");
    let run = run.says("cf holds no zone for jumpstation.example.org");
    run.says("check what the table of azure limits it to");
    assert!(cloud.writes().is_empty());
}

#[tokio::test]
async fn a_zone_that_an_account_holds_twice_is_refused_until_one_is_named() {
    let cloud = Cloud::start().await;
    let twin = cloud.sandbox.control().add_zone_cloudflare("example.com").unwrap();
    let run = cloud.run(&["sync"]).await.exits(4).says("refused (zone): jumpstation.example.com in cf");
    let run = run.says("cf holds 2 zones named example.com, with the ids ").says(&twin);
    run.says(
        "set `zones` of the account cf so that it names one of them, and `name_servers` to those of that one",
    );
    assert!(cloud.writes().is_empty());

    let named =
        "provider = \"cloudflare\"\nzones = { \"example.com\" = \"023e105f4ecef8ad9ca31a8372d0c353\" }";
    cloud.replace("provider = \"cloudflare\"", named);
    cloud.sandbox.forget_requests();
    cloud.run(&["sync"]).await.exits(0);
    settled(&cloud).await;
    let asked = cloud.asked(Service::Cloudflare);
    assert!(!asked.is_empty() && !asked.iter().any(|asked| asked.contains(&twin)), "{asked:#?}");
}

#[tokio::test]
async fn a_zone_of_a_single_label_is_passed_over_and_hides_no_other() {
    let cloud = Cloud::start().await;
    let group = format!("/subscriptions/{}/resourceGroups/rg-dns", AZURE_IDENTITY.subscription);
    let zone = |name: &str| {
        let id = format!("{group}/providers/Microsoft.Network/dnszones/{name}");
        json!({"id": id, "name": name, "properties": {"nameServers": ["ns1.example.net."]}})
    };
    let zones = ["com", "example.com", "localhost"].map(zone);
    let listing = status(200, &[], json!({"value": zones}));
    for said in ["Done: 3 changes made", "In sync"] {
        // Of all that has zones in its path, their list is asked for first.
        let list = Fault::on(Service::Arm, listing.clone()).method("GET").path("dnszones");
        cloud.sandbox.control().fault(list);
        cloud.sandbox.forget_requests();
        cloud.run(&["sync"]).await.exits(0).says(said);
        let asked = cloud.asked(Service::Arm);
        assert!(
            !asked.iter().any(|asked| asked.contains("/com/") || asked.contains("localhost")),
            "{asked:#?}"
        );
    }
    settled(&cloud).await;
}
