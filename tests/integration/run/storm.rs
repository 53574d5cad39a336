//! Both providers ration requests, and say for how long.

use std::time::Duration;

use cnamed::sandbox::{Action, Fault, LoggedRequest, Service};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::sleep;

use super::{NAME, Run};
use crate::foreign::at_cloudflare;
use crate::killed::{BOTH, on_the_label};
use crate::support::Cloud;

/// What a refused request is told to wait, in seconds.
const WAIT: f64 = 3.0;
/// Longer than a service is denied before its secrets are read anew.
const LONG: f64 = 12.0;
/// How long a storm lasts.
const STORM: Duration = Duration::from_secs(8);
/// What is under way side by side when the first of them is refused.
const TOGETHER: f64 = 0.5;

fn rationed(service: Service, wait: f64) -> Fault {
    let wait = wait.to_string();
    let (headers, body): (&[(&str, &str)], Value) = match service {
        Service::Cloudflare => (
            &[
                ("retry-after", &wait),
                ("ratelimit", "\"default\";r=0;t=3"),
                ("ratelimit-policy", "\"default\";q=1200;w=300"),
            ],
            json!({"success": false, "errors": [{"code": 971, "message": "Please wait and consider throttling your request speed"}], "messages": [], "result": null}),
        ),
        _ => (
            &[("retry-after", &wait), ("x-ms-ratelimit-remaining-subscription-reads", "0")],
            json!({"error": {"code": "TooManyRequests", "message": "The request is being throttled."}}),
        ),
    };
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Fault::on(service, Action::Status { status: 429, headers, body }).always()
}

/// Nobody who was told to wait has asked again before; and there were storms enough to tell.
fn is_obeyed(log: &[LoggedRequest], service: Service, part: &str, wait: f64) {
    let of = |request: &&LoggedRequest| {
        request.service == service && request.path.to_ascii_lowercase().contains(part)
    };
    let asked: Vec<&LoggedRequest> = log.iter().filter(of).collect();
    let refused: Vec<f64> = asked.iter().filter(|one| one.status == Some(429)).map(|one| one.at).collect();
    assert!(!refused.is_empty(), "{service:?} refused nothing");
    for at in &refused {
        let early = asked.iter().filter(|one| one.at > at + TOGETHER && one.at < at + wait - 0.05);
        assert_eq!(early.count(), 0, "asked {service:?} before its time: {asked:#?}");
    }
    // Two places of one provider at most are read side by side: an endpoint, and a zone or their list.
    let waits = STORM.as_secs_f64() / wait + 2.0;
    assert!((refused.len() as f64) <= 2.0 * waits, "{} refusals of {service:?}", refused.len());
}

#[tokio::test]
async fn whoever_asks_to_wait_is_waited_for_and_holds_up_nobody_else() {
    let cloud = Cloud::start().await;
    let run = Run::begin(&cloud).await;
    run.in_sync().await;
    let control = cloud.sandbox.control();
    for (service, part) in [(Service::Cloudflare, ""), (Service::Arm, "dnszones")] {
        cloud.sandbox.forget_requests();
        control.fault(rationed(service, WAIT).path(part));
        // What the other one holds is healed meanwhile.
        if service == Service::Cloudflare {
            control.delete_record_azure(NAME, "CNAME").unwrap();
            run.shows("Azure's healing", |_| control.record_azure(NAME, "CNAME").is_some()).await;
        } else {
            control.delete_record_cloudflare(NAME, "CNAME").unwrap();
            run.shows("Cloudflare's healing", |_| at_cloudflare(&cloud, NAME).is_some()).await;
        }
        sleep(STORM).await;
        is_obeyed(&cloud.requests(), service, part, WAIT);
        control.clear_faults();
        run.in_sync().await;
    }
    on_the_label(&cloud, &BOTH, "after the storms");
    run.end().await;
}

#[tokio::test]
async fn a_storm_on_all_sides_is_sat_out() {
    let cloud = Cloud::start().await;
    let run = Run::begin(&cloud).await;
    run.in_sync().await;
    let control = cloud.sandbox.control();
    cloud.sandbox.forget_requests();
    control.fault(rationed(Service::Cloudflare, WAIT));
    control.fault(rationed(Service::Arm, WAIT));
    sleep(STORM).await;
    for service in BOTH {
        is_obeyed(&cloud.requests(), service, "", WAIT);
    }
    assert!(cloud.writes().is_empty());
    control.delete_record_azure(NAME, "CNAME").unwrap();
    control.clear_faults();
    run.shows("the healing", |_| control.record_azure(NAME, "CNAME").is_some()).await;
    run.in_sync().await;
    on_the_label(&cloud, &BOTH, "after the storm");
    run.end().await;
}

#[tokio::test]
async fn neither_secrets_nor_a_configuration_that_are_read_anew_shorten_a_wait() {
    let cloud = Cloud::start().await;
    let mut run = Run::begin(&cloud).await;
    run.in_sync().await;
    let control = cloud.sandbox.control();
    cloud.sandbox.forget_requests();
    let errors = json!([{"code": 9109, "message": "Invalid access token"}]);
    let body = json!({"success": false, "errors": errors, "messages": [], "result": null});
    let denied = Action::Status { status: 403, headers: Vec::new(), body };
    control.fault(Fault::on(Service::Cloudflare, denied).always());
    control.fault(rationed(Service::Arm, LONG).path("publicipaddresses"));
    let rests = |shown: &Value| shown["resting"].to_string().contains("\"cf\"");
    run.shows("that a credential is denied", rests).await;
    sleep(STORM).await;
    run.signal("-HUP").await;
    run.logs("a reload", |line| line["message"] == "the configuration was read anew").await;
    let refused = |one: &&LoggedRequest| one.service == Service::Arm && one.status == Some(429);
    run.shows("the end of the wait", |_| cloud.requests().iter().filter(refused).count() > 1).await;
    is_obeyed(&cloud.requests(), Service::Arm, "", LONG);
    control.clear_faults();
    run.end().await;
}

#[tokio::test]
async fn who_asks_to_wait_is_shown_as_such_with_until_when() {
    let cloud = Cloud::start().await;
    let run = Run::begin(&cloud).await;
    run.in_sync().await;
    let control = cloud.sandbox.control();
    for (service, account) in [(Service::Cloudflare, "cf"), (Service::Arm, "endpoints")] {
        control.fault(rationed(service, LONG));
        // Asked again when that is over, it asks for as long again.
        for failures in 1..=2 {
            let since = OffsetDateTime::now_utc();
            let resting = |shown: &Value| {
                let mut resting = shown["resting"].as_array().into_iter().flatten();
                resting.find(|one| one["account"] == account && one["failures"] == failures).cloned()
            };
            let shown = run.shows("who asked to wait", |shown| resting(shown).is_some()).await;
            let resting = resting(&shown).unwrap();
            let reason = resting["reason"].as_str().unwrap();
            assert!(reason.contains("throttled for 12s"), "{reason}");
            let until = OffsetDateTime::parse(resting["until"].as_str().unwrap(), &Rfc3339).unwrap();
            let now = OffsetDateTime::now_utc();
            let wait = time::Duration::seconds_f64(LONG);
            assert!(
                until > now && until > since + wait / 2,
                "{until} is no wait of {wait} from {since} to {now}"
            );
            let told = |shown: &Value| shown.to_string().contains("no answer within");
            assert!(!told(&shown), "it has answered: {shown:#}");
        }
    }
    control.clear_faults();
    run.end().await;
}
