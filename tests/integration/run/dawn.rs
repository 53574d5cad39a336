//! Everything is down when the service begins.

use std::time::Duration;

use cnamed::sandbox::{Action, Fault, Service};
use tokio::net::UnixDatagram;

use super::{Run, hear, watched};
use crate::killed::{BOTH, on_the_label};
use crate::support::Cloud;

#[tokio::test]
async fn with_everything_down_it_begins_says_why_it_is_not_ready_and_converges_by_itself() {
    let cloud = Cloud::start().await;
    let control = cloud.sandbox.control();
    for service in [Service::Authority, Service::Arm, Service::Cloudflare] {
        control.fault(Fault::on(service, Action::Reset).always());
    }
    let path = cloud.folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut heard = String::new();
    watched(&cloud, "1s");
    let run = Run::again(&cloud, &[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    // It works, though nothing else does: a manager that started it must not end it.
    hear(&socket, &mut heard, "READY=1").await;
    run.shows("what is down", |shown| shown["resting"].as_array().is_some_and(|all| all.len() == 3)).await;
    let (status, why) = run.readiness().await;
    assert_eq!(status, 503);
    assert!(why.starts_with("not in sync since the service began: could not read "), "{why}");
    assert_eq!(run.get("/healthz").await.unwrap().0, 200, "a loop that turns is alive");
    assert!(control.public_ip("pip-jump").is_none());
    control.clear_faults();
    run.in_sync().await;
    assert_eq!(run.readiness().await.0, 200);
    on_the_label(&cloud, &BOTH, "everybody is back");
    hear(&socket, &mut heard, "STATUS=In sync").await;
    run.end().await;
}

/// A manager waits for the word that the service works, and the service for a provider that never answers.
#[tokio::test]
async fn a_provider_that_hangs_keeps_no_manager_waiting_and_an_interrupt_ends_it() {
    let cloud = Cloud::start().await;
    cloud.sandbox.control().fault(Fault::on(Service::Arm, Action::Hang).method("PUT").always());
    let path = cloud.folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut heard = String::new();
    watched(&cloud, "1s");
    let run = Run::again(&cloud, &[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    hear(&socket, &mut heard, "READY=1\nSTATUS=the first round is under way").await;
    let (code, took, told) = run.end_by("-INT").await;
    assert_eq!(code, 0, "{told:#?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
}
