//! Answers that are not what was promised, come in pieces, come late, or ask to wait.

use std::time::Duration;

use cnamed::sandbox::{Action, Fault, RecordAtAzure, Service};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{others, said_once, status};
use crate::foreign::{LABEL, NAME, at_cloudflare, cname, settled};
use crate::support::Cloud;

#[tokio::test]
async fn a_page_of_html_is_told_as_that_and_nothing_is_concluded_from_it() {
    for (service, said, remedy, code) in [
        (Service::Cloudflare, "an HTML page instead of JSON", "check the account's api address", 6),
        (Service::Arm, "an HTML page instead of JSON", "any proxy between here and Azure", 1),
    ] {
        let cloud = Cloud::start().await;
        let control = cloud.sandbox.control();
        let before = others(&cloud);
        let page = Action::Html { status: 200, headers: vec![] };
        control.fault(Fault::on(service, page).method("GET").always());
        let run = cloud.run(&["sync"]).await.exits(code).says(said).says(remedy).says("could not read: ");
        assert!(cloud.writes().iter().all(|write| write.service != service), "{run:?}");
        assert_eq!(others(&cloud), before);
        control.clear_faults();
        cloud.run(&["sync"]).await.exits(0);
        settled(&cloud).await;
    }
}

#[tokio::test]
async fn what_breaks_off_once_is_asked_again_and_what_always_does_is_told_once() {
    let cloud = Cloud::start().await;
    let control = cloud.sandbox.control();
    // A first round looks twice, and its second look would hide what its first one made of half an answer.
    cloud.run(&["sync"]).await.exits(0);
    for (service, path) in [(Service::Cloudflare, "dns_records"), (Service::Arm, "publicIPAddresses")] {
        control.fault(Fault::on(service, Action::Truncated).method("GET").path(path));
        settled(&cloud).await;
    }

    let before = at_cloudflare(&cloud, NAME);
    let zone = "023e105f4ecef8ad9ca31a8372d0c353/dns_records";
    control.fault(Fault::on(Service::Cloudflare, Action::Truncated).method("GET").path(zone).always());
    let run = cloud.run(&["sync"]).await.exits(6).says("jumpstation.example.com in cf");
    let run = run.says("could not read: example.com, jumpstation.example.com in cf");
    said_once(run.says("the answer 200 broke off after"), "4 times");
    assert_eq!(at_cloudflare(&cloud, NAME), before);
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_after_the_configured_time() {
    let cloud = Cloud::start().await;
    let control = cloud.sandbox.control();
    cloud.append("\n[limits]\nrequest_timeout = \"700ms\"\n");
    cloud.run(&["sync"]).await.exits(0);
    control.fault(Fault::on(Service::Cloudflare, Action::Hang).method("GET").path("dns_records"));
    settled(&cloud).await;

    control.fault(Fault::on(Service::Cloudflare, Action::Hang).always());
    let began = Instant::now();
    let run = cloud.run(&["sync"]).await.exits(6).says("no whole answer within 700ms, 4 times");
    run.says("check the network");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_token_service_that_hangs_is_given_up_too() {
    let cloud = Cloud::start().await;
    cloud.append("\n[limits]\nrequest_timeout = \"200ms\"\n");
    cloud.sandbox.control().fault(Fault::on(Service::Authority, Action::Hang).always());
    cloud.run(&["sync"]).await.exits(1).says("could not read: public IP of jump");
    assert!(cloud.writes().is_empty());
}

#[tokio::test]
async fn being_asked_to_wait_in_the_middle_of_paging_loses_no_page() {
    let cloud = Cloud::start().await;
    let control = cloud.sandbox.control();
    // A first round looks twice, and its second look would hide what its first one did not wait for.
    cloud.run(&["sync"]).await.exits(0);
    for number in 0..1001 {
        let name = format!("a{number:04}.example.com");
        control.set_record_azure(&RecordAtAzure::new(&name, "TXT", "theirs")).unwrap();
    }
    // Only the second page has it.
    control.set_record_azure(&cname("zz-old.example.com", LABEL, 1, Some("demo"))).unwrap();
    let before = others(&cloud).len();
    let body = json!({"code": "TooManyRequests", "message": "The request was throttled."});
    let wait = status(429, &[("retry-after", "1")], body.clone());
    control.fault(Fault::on(Service::Arm, wait).method("GET").path("dnszones/example.com/").nth(2));
    cloud.sandbox.forget_requests();
    cloud.run(&["sync"]).await.exits(0).says("zz-old.example.com");
    let pages = cloud.requests();
    let struck = pages.iter().filter(|page| page.status == Some(429)).count();
    assert_eq!(struck, 1, "the wait was asked for between two pages");
    assert_eq!(control.record_azure("zz-old.example.com", "CNAME"), None);
    assert_eq!(others(&cloud).len(), before - 1);
    settled(&cloud).await;

    // A wait that is longer than anybody's patience freezes the zone, and nothing is taken for gone.
    cloud.replace("ttl = 30", "ttl = 60");
    let wait = status(429, &[("retry-after", "600")], body);
    control.fault(Fault::on(Service::Arm, wait).method("GET").path("dnszones/example.com/").nth(2).always());
    cloud.sandbox.forget_requests();
    let run =
        cloud.run(&["sync"]).await.exits(6).says("throttled for").says("jumpstation.example.com in azure");
    run.says("TooManyRequests");
    assert!(cloud.writes().iter().all(|write| write.service == Service::Cloudflare), "{:#?}", cloud.writes());
}

#[tokio::test]
async fn cloudflare_asking_to_wait_is_obeyed_or_told() {
    let cloud = Cloud::start().await;
    // Nothing is read then but the zone of the name: each zone that cannot be read is told.
    cloud.replace("owner = \"demo\"", "owner = \"demo\"\nprune = false");
    let control = cloud.sandbox.control();
    let wait = status(429, &[("retry-after", "1")], Value::Null);
    control.fault(Fault::on(Service::Cloudflare, wait).path("dns_records"));
    let began = Instant::now();
    cloud.run(&["sync"]).await.exits(0);
    assert!(began.elapsed() >= Duration::from_secs(1), "obeyed to the second");
    settled(&cloud).await;

    let wait = status(429, &[("retry-after", "500")], Value::Null);
    control.fault(Fault::on(Service::Cloudflare, wait).path("dns_records").always());
    let run = cloud.run(&["sync"]).await.exits(6).says("throttled for 500s").says("run again in 500s");
    said_once(run, "run again in 500s");
}

#[tokio::test]
async fn success_that_says_false_is_a_failure() {
    let cloud = Cloud::start().await;
    let body = json!({"success": false, "errors": [{"code": 81053, "message": "An A, AAAA, or CNAME record with that host already exists."}], "messages": [], "result": null});
    let fault = Fault::on(Service::Cloudflare, status(200, &[], body)).method("POST").always();
    cloud.sandbox.control().fault(fault);
    let run = cloud.run(&["sync"]).await.exits(6).says("failed: jumpstation.example.com in cf").says("81053");
    run.says("adopt it by name");
    assert_eq!(at_cloudflare(&cloud, NAME), None);
}
