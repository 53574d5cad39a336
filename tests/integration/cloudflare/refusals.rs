//! What is refused, by Cloudflare or before it: the kind, the next step, and nothing held back that is innocent.

use cnamed::model::plan::RecordChange;
use cnamed::model::record::{Content, Data, RecordType, Ttl};
use cnamed::provider::{DnsProvider, Kind, Look};
use cnamed::sandbox::{Action, CLOUDFLARE_TOKENS, CloudflarePlan, Fault, Service};
use serde_json::json;

use super::{Cloud, LABEL, account, cname, fqdn, key, ops, scripted};
use crate::transport::script::{Script, Step};

#[tokio::test]
async fn one_bad_record_does_not_hold_back_the_others() {
    let cloud = Cloud::start(CloudflarePlan::Free).await;
    let change = |n: usize| {
        let name = format!("n{n}.example.com");
        // The service refuses a CNAME to itself, and with it the whole transaction.
        let target = if n == 5 { name.clone() } else { LABEL.to_owned() };
        RecordChange { key: key(&name), before: Vec::new(), after: Some(cname(&target)) }
    };
    let outcomes = cloud.apply(&(0..16).map(change).collect::<Vec<_>>()).await;
    for (n, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.is_ok(), n != 5, "{n}");
    }
    let error = outcomes[5].as_ref().unwrap_err();
    let said = error.chain();
    let (cause, next) = said.rsplit_once("; a CNAME").unwrap();
    let (cause, ray) = cause.split_once(", cf-ray ").unwrap();
    assert_eq!(
        cause,
        "could not create n5.example.com in cf: Cloudflare answered 400, CNAME content cannot reference itself (9039)"
    );
    assert!(
        !ray.is_empty()
            && next == " cannot point at itself; check the endpoint's label and the record's name",
        "{said}"
    );
    assert_eq!(error.kind(), Kind::Rejected);
    // 16 refused, 8 + 8, 4 + 4, 2 + 2, 1 + 1: logarithmic, after one read.
    assert_eq!(cloud.asked().len(), 1 + 1 + 2 * 4, "{:?}", cloud.asked());
}

#[tokio::test]
async fn when_nearly_all_are_bad_the_search_ends() {
    let cloud = Cloud::start(CloudflarePlan::Free).await;
    let itself = |n: usize| {
        let name = format!("n{n}.example.com");
        RecordChange { key: key(&name), before: Vec::new(), after: Some(cname(&name)) }
    };
    let outcomes = cloud.apply(&(0..150).map(itself).collect::<Vec<_>>()).await;
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().is_err_and(|e| e.kind() == Kind::Rejected)));
    let asked = cloud.asked().len();
    assert!(asked <= 1 + 50 + 51, "{asked} requests");
}

#[tokio::test]
async fn a_full_zone_is_told_at_once() {
    let cloud = Cloud::start(CloudflarePlan::Free).await;
    let change = |n: usize| RecordChange {
        key: key(&format!("n{n}.example.com")),
        before: Vec::new(),
        after: Some(cname(LABEL)),
    };
    // The plan has room for 200 records, and eight stand there.
    let outcomes = cloud.apply(&(0..196).map(change).collect::<Vec<_>>()).await;
    let error = outcomes[0].as_ref().unwrap_err();
    assert_eq!((error.kind(), cloud.asked().len()), (Kind::Rejected, 2));
    assert!(error.next_step().unwrap().contains("raise the zone's plan"), "{}", error.chain());
}

#[tokio::test]
async fn a_comment_without_room_for_the_mark_is_refused_before_anything_is_sent() {
    let cloud = Cloud::start(CloudflarePlan::Free).await;
    let long = "x".repeat(73);
    cloud.by_hand(json!({"type": "CNAME", "name": "jump.example.com", "content": LABEL, "comment": long}));
    let error = cloud.put("jump.example.com", Some(cname(LABEL))).await.unwrap_err();
    assert_eq!((error.kind(), cloud.asked().len()), (Kind::Rejected, 1));
    assert!(error.next_step().unwrap().ends_with("shorten it to 72"), "{}", error.chain());
    cloud.by_hand(
        json!({"type": "CNAME", "name": "jump.example.com", "content": LABEL, "comment": &long[1..]}),
    );
    assert!(cloud.put("jump.example.com", Some(cname(LABEL))).await.is_ok());
}

#[tokio::test]
async fn what_cloudflare_has_not_is_refused_before_anything_is_sent() {
    let cloud = Cloud::start(CloudflarePlan::Free).await;
    let alias = Data::Alias { rtype: RecordType::A, target: "/subscriptions/x".into() };
    let wanted = Content { data: alias, ttl: Ttl::DEFAULT, proxied: false };
    let error = cloud.put("jump.example.com", Some(wanted)).await.unwrap_err();
    assert_eq!((error.kind(), cloud.asked().len()), (Kind::Rejected, 1));
}

#[tokio::test]
async fn every_way_in_which_a_token_is_wrong_has_its_next_step() {
    let cloud = Cloud::start(CloudflarePlan::Free).await;
    let change = RecordChange { key: key("jump.example.com"), before: Vec::new(), after: Some(cname(LABEL)) };
    for (token, next) in [
        (CLOUDFLARE_TOKENS.expired, "make a new one"),
        (CLOUDFLARE_TOKENS.disabled, "make a new one"),
        ("no-such-token-000000000000000000000000000", "make a new one"),
        (CLOUDFLARE_TOKENS.read_only, "Zone > DNS > Edit"),
        (CLOUDFLARE_TOKENS.other_zone, "Zone > DNS > Edit"),
        ("short", "stray newline"),
        ("two\nlines", "newline in the middle"),
    ] {
        let cf = account(&cloud.sandbox, token, [(super::zone_name(), cloud.zone.id.clone())].into());
        let error = cf.apply(&cloud.zone, &ops(), std::slice::from_ref(&change)).await.remove(0).unwrap_err();
        assert_eq!(error.kind(), Kind::Denied, "{token}: {}", error.chain());
        assert!(error.next_step().unwrap().contains(next), "{token}: {}", error.chain());
        assert!(!format!("{} {error:?} {cf:?}", error.chain()).contains(token), "the token is shown");
    }
    assert!(cloud.sets("jump.example.com").await.is_empty());
}

#[tokio::test]
async fn a_refused_token_is_not_tried_on_the_rest() {
    let cloud = Cloud::start(CloudflarePlan::Enterprise).await;
    let cf = account(&cloud.sandbox, CLOUDFLARE_TOKENS.read_only, [].into());
    let change = |n| RecordChange {
        key: key(&format!("n{n}.example.com")),
        before: Vec::new(),
        after: Some(cname(LABEL)),
    };
    cloud.sandbox.forget_requests();
    let outcomes = cf.apply(&cloud.zone, &ops(), &(0..450).map(change).collect::<Vec<_>>()).await;
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().is_err_and(|e| e.kind() == Kind::Denied)));
    assert_eq!(cloud.asked().len(), 2, "one read, one refused transaction of three");
}

#[tokio::test]
async fn throttling_is_passed_on_with_its_delay() {
    let cloud = Cloud::start(CloudflarePlan::Free).await;
    let body = json!({"success": false, "errors": [{"code": 971, "message": "Please wait"}]});
    let throttled = Action::Status { status: 429, headers: vec![("retry-after".into(), "300".into())], body };
    cloud.sandbox.control().fault(Fault::on(Service::Cloudflare, throttled).method("POST"));
    let change = cloud.change("jump.example.com", Some(cname(LABEL))).await;
    let error = cloud.apply(std::slice::from_ref(&change)).await.remove(0).unwrap_err();
    assert_eq!(error.kind(), Kind::Throttled(std::time::Duration::from_secs(300)));
    assert_eq!(error.to_string(), "could not create jump.example.com in cf: throttled for 300s");
    // Nothing more is sent with this token.
    let error = cloud.apply(&[change]).await.remove(0).unwrap_err();
    assert!(matches!(error.kind(), Kind::Throttled(_)) && cloud.asked().is_empty());
}

#[tokio::test]
async fn what_is_not_an_answer_of_the_api_is_named() {
    let html = |status| {
        Step::Answer(status, vec![("content-type", "text/html".into())], "<html>hello</html>".into())
    };
    let text = |body: &str| Step::Answer(200, vec![("cf-ray", "ray-2".into())], body.into());
    let short = json!({"success": true, "result": [{"id": "1", "name": "n"}]}).to_string();
    let look = Look { names: [fqdn("jump.example.com")].into(), marked: Some(ops()) };
    for (step, kind, said) in [
        (html(200), Kind::Unreachable, "answered 200 with an HTML page instead of JSON"),
        (html(403), Kind::Denied, "answered 403 with an HTML page instead of JSON"),
        (html(404), Kind::Missing, "answered 404 with an HTML page"),
        (text(""), Kind::Unreachable, "with an empty body, cf-ray ray-2"),
        (text("{\"success\": true, \"res"), Kind::Unreachable, "with JSON that ends early, after 22 bytes"),
        (text("OK"), Kind::Unreachable, "with something other than JSON"),
        (text("{\"success\": true}"), Kind::Unreachable, "with JSON without a result"),
        (text(&short), Kind::Unreachable, "with JSON of another shape than promised (missing field `type`"),
        (
            text(
                "{\"success\": false, \"errors\": [{\"code\": 81053, \"message\": \"No.\"}], \"result\": {\"odd\": 1}}",
            ),
            Kind::Rejected,
            "Cloudflare answered 200, No (81053), cf-ray ray-2",
        ),
        (text("{\"success\": false}"), Kind::Rejected, "Cloudflare answered 200 without an error"),
    ] {
        let script = Script::play([step]).await;
        let (cf, zone) = scripted(&script);
        let error = cf.observe(&zone, &look).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{}", error.chain());
        assert!(error.chain().contains(said), "{}", error.chain());
    }
}
