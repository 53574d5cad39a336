//! Writes whose answer was lost, contradicted or unreadable: settled by reading, and claimed only then.

use cnamed::provider::Kind;
use cnamed::sandbox::{Action, CloudflarePlan, Fault, HoldPoint, Service};
use serde_json::json;

use super::{Cloud, LABEL, MARK, OTHER_LABEL, cname, key};
use cnamed::model::plan::RecordChange;

fn on_write(action: Action) -> Fault {
    Fault::on(Service::Cloudflare, action).method("POST")
}

#[tokio::test]
async fn a_write_that_happened_is_a_success_however_its_answer_was_lost() {
    for action in [Action::LostAnswer, Action::Truncated] {
        let cloud = Cloud::start(CloudflarePlan::Free).await;
        cloud.sandbox.control().fault(on_write(action.clone()));
        let written = cloud.put("jump.example.com", Some(cname(LABEL))).await.unwrap();
        assert_eq!(written, cloud.sets("jump.example.com").await, "{action:?}");
        let posts = cloud.asked().iter().filter(|line| line.starts_with("POST")).count();
        assert_eq!(posts, 1, "{action:?}");
    }
}

/// Only Cloudflare itself can say that it is over: whoever heard nothing, or somebody in between, does not know what is
/// yet to come.
#[tokio::test]
async fn a_write_that_nothing_came_of_so_far_is_no_success_and_did_not_fail_unless_cloudflare_says_so() {
    let html = |status| Action::Html { status, headers: Vec::new() };
    let error = |status, errors| Action::Status {
        status,
        headers: Vec::new(),
        body: json!({"success": false, "errors": errors}),
    };
    let own = || json!([{"code": 10013, "message": "Internal error"}]);
    for (action, kind) in [
        (Action::Reset, Kind::Unconfirmed),
        (html(502), Kind::Unconfirmed),
        (html(200), Kind::Unconfirmed),
        (error(504, own()), Kind::Unconfirmed),
        (error(524, own()), Kind::Unconfirmed),
        (error(500, json!([])), Kind::Unconfirmed),
        (error(500, own()), Kind::Unreachable),
    ] {
        let cloud = Cloud::start(CloudflarePlan::Free).await;
        cloud.sandbox.control().fault(on_write(action.clone()));
        let error = cloud.put("jump.example.com", Some(cname(LABEL))).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{action:?}: {}", error.chain());
        let told = error.chain().contains("nothing has come of it so far: ");
        assert_eq!(told, kind == Kind::Unconfirmed, "{}", error.chain());
        assert_eq!(
            cloud.asked(),
            ["GET zones/*/dns_records", "POST zones/*/dns_records", "GET zones/*/dns_records"]
        );
    }
}

#[tokio::test]
async fn a_write_that_reading_cannot_settle_is_unconfirmed() {
    let cloud = Cloud::start(CloudflarePlan::Free).await;
    let change = cloud.change("jump.example.com", Some(cname(LABEL))).await;
    cloud.sandbox.control().fault(on_write(Action::LostAnswer));
    let reading =
        Fault::on(Service::Cloudflare, Action::Html { status: 503, headers: Vec::new() }).method("GET");
    cloud.sandbox.control().fault(reading.nth(2).always());
    let error = cloud.apply(&[change]).await.remove(0).unwrap_err();
    assert_eq!(error.kind(), Kind::Unconfirmed, "{}", error.chain());
    assert!(error.to_string().starts_with("could not confirm"), "{error}");
    cloud.sandbox.control().clear_faults();
    assert_eq!(cloud.sets("jump.example.com").await.len(), 1, "it had happened");
}

#[tokio::test]
async fn a_lost_transaction_is_settled_for_each_of_its_names() {
    let changes = || -> Vec<RecordChange> {
        let change = |n| RecordChange {
            key: key(&format!("n{n}.example.com")),
            before: Vec::new(),
            after: Some(cname(LABEL)),
        };
        (0..6).map(change).collect()
    };
    let cloud = Cloud::start(CloudflarePlan::Free).await;
    cloud.sandbox.control().fault(on_write(Action::LostAnswer));
    assert!(cloud.apply(&changes()).await.iter().all(Result::is_ok));
    assert_eq!(cloud.asked().len(), 3, "read, write, read");

    let cloud = Cloud::start(CloudflarePlan::Free).await;
    cloud.sandbox.control().fault(on_write(Action::Reset));
    let outcomes = cloud.apply(&changes()).await;
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().is_err_and(|e| e.kind() == Kind::Unconfirmed)));
}

#[tokio::test]
async fn what_somebody_else_made_meanwhile_is_told_apart() {
    // The same record with our mark: ours after all. Without it, or another one: plan again.
    for (content, comment, expected) in
        [(LABEL, MARK, None), (LABEL, "by hand", Some(Kind::Stale)), (OTHER_LABEL, MARK, Some(Kind::Stale))]
    {
        let cloud = Cloud::start(CloudflarePlan::Free).await;
        let change = cloud.change("jump.example.com", Some(cname(LABEL))).await;
        let control = cloud.sandbox.control();
        control.hold_at(1, true, HoldPoint::Before);
        let (outcome, ()) = tokio::join!(async { cloud.apply(&[change]).await.remove(0) }, async {
            control.wait_until_held().await;
            cloud
                .by_hand(json!({"type": "CNAME", "name": "jump.example.com", "content": content, "ttl": 300,
                "comment": comment}));
            control.release();
        });
        assert_eq!(outcome.err().map(|error| error.kind()), expected, "{content} {comment}");
        assert_eq!(cloud.asked().len(), 3);
    }
}

#[tokio::test]
async fn a_record_that_went_meanwhile_is_withdrawn_and_cannot_be_changed() {
    for (after, expected) in [(None, None), (Some(cname(OTHER_LABEL)), Some(Kind::Stale))] {
        let cloud = Cloud::start(CloudflarePlan::Free).await;
        cloud.put("jump.example.com", Some(cname(LABEL))).await.unwrap();
        let change = cloud.change("jump.example.com", after).await;
        let control = cloud.sandbox.control();
        control.hold_at(1, true, HoldPoint::Before);
        let (outcome, ()) = tokio::join!(async { cloud.apply(&[change]).await.remove(0) }, async {
            control.wait_until_held().await;
            control.delete_record_cloudflare("jump.example.com", "CNAME").unwrap();
            control.release();
        });
        assert_eq!(outcome.err().map(|error| error.kind()), expected);
    }
}
