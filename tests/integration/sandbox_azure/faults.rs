//! What goes wrong on request, and what stands still.

use std::time::Duration;

use cnamed::sandbox::{Action, Fault, HoldPoint, Options, Service};
use serde_json::json;
use tokio::time::Instant;

use super::client::{Azure, public_ip, standard};

#[tokio::test]
async fn a_fault_strikes_the_requests_that_it_names_and_no_other() {
    let azure = Azure::start().await;
    let control = azure.sandbox.control();
    let refusal = Action::Status {
        status: 503,
        headers: vec![("retry-after".into(), "7".into())],
        body: json!({"error": {"code": "ServerUnavailable", "message": "later"}}),
    };
    control.fault(Fault::on(Service::Arm, refusal).method("GET").path("/PublicIPAddresses/").nth(2).times(2));
    let mut statuses = Vec::new();
    for _ in 0..5 {
        azure.get("/resourceGroups").await.ok(200);
        statuses.push(azure.get(&public_ip("pip-jump")).await.status);
    }
    assert_eq!(statuses, [404, 503, 503, 404, 404]);
    let struck: Vec<_> = azure.sandbox.requests().into_iter().filter(|request| request.faulted).collect();
    assert_eq!(struck.len(), 2);

    control.fault(Fault::on(Service::Arm, Action::Html { status: 502, headers: Vec::new() }).always());
    let page = azure.get("/resourceGroups").await.ok(502);
    assert!(page.text.starts_with("<html>"));
    control.clear_faults();
    azure.get("/resourceGroups").await.ok(200);
}

#[tokio::test]
async fn a_lost_answer_was_processed_and_a_reset_was_not() {
    let azure = Azure::start().await;
    let control = azure.sandbox.control();
    let path = public_ip("pip-jump");
    control.fault(Fault::on(Service::Arm, Action::Reset).method("PUT"));
    assert!(azure.try_send(azure.ask("PUT", &path).json(&standard(None))).await.is_err());
    azure.get(&path).await.refused(404, "ResourceNotFound");
    control.fault(Fault::on(Service::Arm, Action::LostAnswer).method("PUT"));
    assert!(azure.try_send(azure.ask("PUT", &path).json(&standard(None))).await.is_err());
    azure.get(&path).await.ok(200);
    control.fault(Fault::on(Service::Arm, Action::Truncated).method("GET"));
    assert!(azure.try_send(azure.ask("GET", &path)).await.is_err());
    azure.get(&path).await.ok(200);
}

#[tokio::test]
async fn an_accepted_write_can_still_fail() {
    let azure = Azure::start().await;
    let control = azure.sandbox.control();
    let action = Action::OperationFails {
        code: "InternalServerError".into(),
        message: "An error occurred.".into(),
        details: vec![("DnsRecordCreateConflict".into(), "DNS record is busy.".into())],
    };
    control.fault(Fault::on(Service::Arm, action).method("PUT").path("publicIPAddresses"));
    let accepted = azure.put(&public_ip("pip-jump"), &standard(Some("contoso-jump"))).await.ok(201);
    let status = azure.settled(&accepted).await;
    assert_eq!(status["status"], "Failed");
    assert_eq!(status["error"]["code"], "InternalServerError");
    assert_eq!(status["error"]["details"][0]["code"], "DnsRecordCreateConflict");
    let held = azure.get(&public_ip("pip-jump")).await.ok(200).body;
    assert_eq!(held["properties"]["provisioningState"], "Failed");
    assert!(held["properties"]["ipAddress"].is_null());
    // A PUT of the failed resource repairs it.
    let repaired = azure.made(&public_ip("pip-jump"), &standard(Some("contoso-jump"))).await;
    assert!(repaired["properties"]["ipAddress"].is_string());
}

#[tokio::test]
async fn latency_delays_and_a_hang_never_ends() {
    let azure = Azure::start().await;
    let control = azure.sandbox.control();
    control.fault(Fault::on(Service::Arm, Action::Latency { milliseconds: 150 }));
    let began = Instant::now();
    azure.get("/resourceGroups").await.ok(200);
    assert!(began.elapsed() >= Duration::from_millis(150));
    control.fault(Fault::on(Service::Arm, Action::Hang));
    let hung = tokio::time::timeout(Duration::from_millis(300), azure.get("/resourceGroups")).await;
    assert!(hung.is_err());
}

/// The number of the request that stands still, which must not take long.
async fn held(azure: &Azure) -> usize {
    let control = azure.sandbox.control();
    tokio::time::timeout(Duration::from_secs(10), control.wait_until_held())
        .await
        .expect("a request stands still")
}

#[tokio::test]
async fn a_request_stands_still_before_or_after_it_is_processed() {
    let azure = Azure::start().await;
    let control = azure.sandbox.control();
    let path = public_ip("pip-jump");
    for (point, processed) in [(HoldPoint::Before, false), (HoldPoint::After, true)] {
        azure.sandbox.forget_requests();
        control.hold_at(2, true, point);
        azure.get("/resourceGroups").await.ok(200);
        azure.put("/resourceGroups/more", &json!({"location": "westeurope"})).await;
        let body = standard(None);
        let (answer, ()) = tokio::join!(azure.put(&path, &body), async {
            let number = held(&azure).await;
            let log = azure.sandbox.requests();
            let request = log.iter().find(|request| request.number == number).unwrap();
            assert_eq!((request.method.as_str(), request.status), ("PUT", None));
            assert_eq!(control.public_ip("pip-jump").is_some(), processed);
            control.release();
        });
        answer.ok(201);
        azure.settled(&azure.delete(&path).await).await;
    }
}

#[tokio::test]
async fn a_client_that_dies_while_it_is_held_leaves_the_service_alive() {
    let azure = Azure::start().await;
    let control = azure.sandbox.control();
    control.hold_at(1, false, HoldPoint::After);
    let (path, body) = (public_ip("pip-jump"), standard(None));
    tokio::select! {
        _ = azure.put(&path, &body) => panic!("the request was not held"),
        _ = held(&azure) => {}
    }
    control.release();
    azure.get(&public_ip("pip-jump")).await.ok(200);
}

#[tokio::test]
async fn what_was_asked_is_logged_and_recorded_without_secrets() {
    let directory = tempfile::tempdir().unwrap();
    let record = directory.path().join("exchanges");
    let azure = Azure::with(Options { record: Some(record.clone()), ..Options::default() }).await;
    let ask = azure.ask("PUT", &public_ip("pip-jump")).json(&standard(None)).header("if-none-match", "*");
    azure.send(ask).await.ok(201);
    let log = azure.sandbox.requests();
    assert_eq!(
        log.iter().map(|request| request.service).collect::<Vec<_>>(),
        [Service::Authority, Service::Arm]
    );
    assert_eq!(log[0].body, serde_json::Value::Null, "a secret was sent there");
    assert_eq!((log[1].status, log[1].header("if-none-match")), (Some(201), Some("*")));
    assert_eq!(log[1].body["location"], "westeurope");
    assert!(log[1].header("authorization").is_none());
    azure.sandbox.forget_requests();
    assert!(azure.sandbox.requests().is_empty());

    let files: Vec<_> = std::fs::read_dir(&record).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let text = std::fs::read_to_string(&files[0]).unwrap();
    assert!(!text.contains(&azure.token));
    let exchange: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(exchange["liveResponse"]["statusCode"], "201");
    assert_eq!(exchange["liveRequest"]["headers"]["authorization"], "redacted");
    assert!(
        exchange["liveRequest"]["url"]
            .as_str()
            .unwrap()
            .starts_with("https://management.azure.com/subscriptions/")
    );
}
