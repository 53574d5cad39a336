//! A sandbox whose time runs faster than its clients': what ends sooner, what is told in the client's seconds, and what
//! stays as it was written.

use std::time::Duration;

use cnamed::sandbox::{Action, DnsFault, Fault, NameServer, Options, RecordAtAzure, Sandbox, Service};
use hickory_net::proto::rr::RecordType;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::{Instant, sleep};

use crate::sandbox_azure::client::{Azure, public_ip, standard};
use crate::sandbox_dns::question::{ask, values};
use crate::support::Cloud;

const MINUTES: u64 = 60;
const ZONE: &str = "/resourceGroups/rg-dns/providers/Microsoft.Network/dnsZones/example.com";

fn fast(speed: u32) -> Options {
    Options { speed, ..Options::default() }
}

#[tokio::test]
async fn an_operation_ends_so_many_times_sooner_and_its_stamps_are_as_far_apart_as_it_was_long() {
    let options = Options { operation_delay: Duration::from_secs(10 * MINUTES), ..fast(600) };
    let azure = Azure::with(options).await;
    let began = Instant::now();
    let accepted = azure.put(&public_ip("pip-jump"), &standard(None)).await.ok(201);
    assert_eq!(accepted.header("retry-after"), Some("1"), "ten minutes there are a second here");
    // Which waits for ten seconds at most.
    let ended = azure.settled(&accepted).await;
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    let stamp = |key: &str| OffsetDateTime::parse(ended[key].as_str().unwrap(), &Rfc3339).unwrap();
    assert!(stamp("endTime") - stamp("startTime") >= time::Duration::minutes(9), "{ended:#}");
}

#[tokio::test]
async fn a_ttl_counts_down_so_many_times_faster_in_the_cache_and_stands_as_written_at_the_authority() {
    let sandbox = Sandbox::start(fast(300)).await.unwrap();
    let control = sandbox.control();
    let record =
        |address: &str| RecordAtAzure { ttl: 1200, ..RecordAtAzure::new("jump.example.com", "A", address) };
    control.set_record_azure(&record("192.0.2.1")).unwrap();
    let authority = ask("jump.example.com", RecordType::A).at(sandbox.addresses().azure_dns[0]).await;
    assert_eq!(authority.answers[0].ttl, 1200, "data is as it was written");
    let recursive = sandbox.addresses().recursive_dns.unwrap();
    let resolve = async || ask("jump.example.com", RecordType::A).recursively().at(recursive).await;
    let began = Instant::now();
    let first = resolve().await;
    assert_eq!(first.answers[0].ttl, 4, "twenty minutes there are four seconds here");
    control.set_record_azure(&record("192.0.2.2")).unwrap();
    // Nobody but the cache could still say so.
    let still = resolve().await;
    if began.elapsed() < Duration::from_secs(3) {
        assert_eq!(values(&still, RecordType::A), ["192.0.2.1"]);
    }
    loop {
        let now = resolve().await;
        if values(&now, RecordType::A) == ["192.0.2.2"] {
            break;
        }
        assert!((1..=4).contains(&now.answers[0].ttl), "what is kept may be kept: {now}");
        assert!(began.elapsed() < Duration::from_secs(60), "it counts everybody's seconds");
        sleep(Duration::from_millis(50)).await;
    }
    assert!(began.elapsed() >= Duration::from_millis(3_900), "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_a_client_is_told_to_wait_for_is_in_its_own_seconds() {
    let azure = Azure::with(fast(60)).await;
    let control = azure.sandbox.control();
    let wait = vec![("Retry-After".to_owned(), "601".to_owned()), ("x-kept".to_owned(), "601".to_owned())];
    control.fault(Fault::on(Service::Arm, Action::Status { status: 429, headers: wait, body: Value::Null }));
    let refused = azure.get(ZONE).await.ok(429);
    assert_eq!((refused.header("retry-after"), refused.header("x-kept")), (Some("11"), Some("601")));

    // Stretched, so that the minute does not pass while it is used up.
    control.throttle_scale(100.0);
    for _ in 0..60 {
        azure.get(&format!("{ZONE}/CNAME")).await.ok(200);
    }
    let refused = azure.get(&format!("{ZONE}/CNAME")).await;
    refused.refused(429, "TooManyRequests");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((30..=100).contains(&wait), "a hundred minutes there are a hundred seconds here: {wait}");
}

#[tokio::test]
async fn a_token_lives_by_its_client_s_clock_at_any_speed() {
    let mut azure = Azure::with(Options { token_lifetime: Duration::from_secs(3), ..fast(3600) }).await;
    let identity = cnamed::sandbox::AZURE_IDENTITY;
    let began = Instant::now();
    let given = azure.sign_in(identity.client_id, identity.client_secret).await.ok(200);
    assert_eq!(given.body["expires_in"], 3);
    given.body["access_token"].as_str().unwrap().clone_into(&mut azure.token);
    // Hours pass there.
    sleep(Duration::from_millis(500)).await;
    let answer = azure.get(ZONE).await;
    if began.elapsed() < Duration::from_millis(2_900) {
        answer.ok(200);
    }
    while azure.get(ZONE).await.status == 200 {
        assert!(began.elapsed() < Duration::from_secs(60), "it never ends");
        sleep(Duration::from_millis(100)).await;
    }
    assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn its_calendar_begins_where_it_is_told_to_and_keeps_its_pace() {
    let dawn = OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000);
    let sandbox = Sandbox::start(Options { dawn: Some(dawn), ..fast(3600) }).await.unwrap();
    let (clock, began) = (sandbox.clock(), Instant::now());
    assert_eq!(clock.speed(), 3600);
    clock.wait_until(dawn + time::Duration::hours(2)).await;
    assert!(began.elapsed() <= Duration::from_secs(30), "{:?}", began.elapsed());
    assert!(clock.calendar() - dawn >= time::Duration::hours(2));
    sandbox.control().reset();
    assert!(sandbox.clock().calendar() - dawn >= time::Duration::hours(2), "time goes on");
}

#[tokio::test]
async fn the_configuration_that_it_writes_looks_as_often_as_it_may_and_is_accepted() {
    for (speed, interval, label) in [(1, "60s", "10s"), (6, "10s", "1s 666ms"), (3600, "1s 500ms", "100ms")] {
        let cloud = Cloud::with(|options| options.speed = speed).await;
        let shown = cloud.run(&["config", "show"]).await.exits(0).out;
        for line in [format!("interval = \"{interval}\""), format!("label_interval = \"{label}\"")] {
            assert!(shown.contains(&line), "{speed}: no {line}\n{shown}");
        }
    }
}

#[tokio::test]
async fn the_whole_story_holds_at_any_speed() {
    let cloud = Cloud::with(|options| {
        (options.speed, options.operation_delay) = (600, Duration::from_secs(30));
    })
    .await;
    cloud.run(&["sync"]).await.exits(0);
    cloud.sandbox.forget_requests();
    cloud.run(&["sync"]).await.exits(0);
    assert!(cloud.writes().is_empty(), "{:?}", cloud.writes());
    cloud.sandbox.control().dns_fault(NameServer::Azure1, Some(DnsFault::Silent));
    cloud.run(&["status"]).await.exits(5);
}
