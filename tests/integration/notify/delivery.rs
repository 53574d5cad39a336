//! Over real sockets: what is sent, what counts as arrival, and what is said when it did not arrive.

use std::sync::Arc;
use std::time::Duration;

use cnamed::notify::address::Address;
use cnamed::notify::heartbeat::Heartbeat;
use cnamed::notify::slack::Slack;
use cnamed::notify::teams::Teams;
use cnamed::notify::webhook::Webhook;
use cnamed::notify::{Fate, Notifier, Pulse, Topic, Undelivered};
use cnamed::provider::http::{Http, Settings};
use secrecy::SecretString;
use serde_json::Value;

use super::{CANARY, everything, notice, rich};
use crate::support::golden;
use crate::transport::script::{Script, Step};

const LIMIT: Duration = Duration::from_millis(300);

fn http() -> Arc<Http> {
    let settings = Settings { attempt: Duration::from_millis(300), ..Settings::default() };
    Http::new(&settings).unwrap()
}

fn address(script: &Script) -> Address {
    Address::parse(script.at(&format!("services/T0/{CANARY}")).as_str()).unwrap()
}

fn webhook(script: &Script, secret: Option<&str>) -> Webhook {
    let secret = secret.map(SecretString::from);
    Webhook::new(everything("ops"), http(), address(script), LIMIT, secret.as_ref())
}

fn header<'r>(request: &'r str, name: &str) -> Option<&'r str> {
    let lines = request.split("\r\n\r\n").next().unwrap().lines();
    lines
        .filter_map(|line| line.split_once(": "))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, v)| v)
}

fn body(request: &str) -> &str {
    request.split_once("\r\n\r\n").unwrap().1
}

#[tokio::test]
async fn a_webhook_gets_the_notice_as_json_once() {
    let script = Script::play([Step::status(204)]).await;
    webhook(&script, None).tell(&rich()).await.unwrap();
    let seen = script.seen();
    assert_eq!(seen.len(), 1);
    assert!(seen[0].starts_with(&format!("POST /services/T0/{CANARY} HTTP/1.1")), "{}", seen[0]);
    assert_eq!(header(&seen[0], "content-type"), Some("application/json"));
    assert_eq!(header(&seen[0], "x-cnamed-signature"), None);
    let json: Value = serde_json::from_str(body(&seen[0])).unwrap();
    golden::same("notify/webhook", &format!("{json:#}\n"));
}

/// The signature as `openssl dgst -sha256 -hmac` computes it, of the very bytes that arrived.
#[tokio::test]
async fn a_webhook_with_a_secret_is_signed() {
    let script = Script::play([Step::status(200), Step::status(200), Step::status(200)]).await;
    let signed = webhook(&script, Some("Jefe"));
    let plain = notice(Topic::Test, "", "this is a test");
    signed.tell(&plain).await.unwrap();
    signed.tell(&plain).await.unwrap();
    signed.tell(&rich()).await.unwrap();
    let seen = script.seen();
    assert_eq!(
        body(&seen[0]),
        r#"{"version":1,"at":"2026-11-22T12:31:00.000Z","topic":"test","owner":"ops-westeurope","subject":"","title":"this is a test","before":null,"after":null,"details":[],"next_step":null,"repeats":0}"#
    );
    assert_eq!(
        header(&seen[0], "x-cnamed-signature"),
        Some("sha256=b5dcf3a083297d9e5f6ee8e64261a58a6d0416d9203bb9aa5f80222a80ee1fde")
    );
    let delivery = |at: usize| header(&seen[at], "x-cnamed-delivery").unwrap();
    assert_eq!(delivery(0), delivery(1), "the same notice, sent again, is known for the same");
    assert_ne!(delivery(0), delivery(2));
    assert_eq!(delivery(0).len(), 32);
}

async fn outcome(step: Step) -> (Undelivered, usize) {
    let script = Script::play([step, Step::status(200)]).await;
    let undelivered = webhook(&script, None).tell(&rich()).await.unwrap_err();
    assert!(!format!("{undelivered} {undelivered:?}").contains(CANARY), "{undelivered}");
    (undelivered, script.seen().len())
}

#[tokio::test]
async fn what_is_not_arrival_says_what_it_is_and_what_to_do() {
    let cases = [
        (Step::status(404), Fate::Refused, "it answered 404; the webhook was removed, or the URL is wrong"),
        (Step::status(410), Fate::Refused, "the webhook was removed"),
        (Step::status(403), Fate::Refused, "the webhook was removed"),
        (Step::status(400), Fate::Refused, "it answered 400; check that `kind` is what the URL is for"),
        (
            Step::status(302).with("location", "http://127.0.0.1:1/"),
            Fate::Refused,
            "302, a redirect, which is never",
        ),
        (
            Step::status(429).with("retry-after", "7"),
            Fate::Later(Some(Duration::from_secs(7))),
            "it answered 429",
        ),
        (Step::status(500), Fate::Later(None), "it answered 500"),
        (Step::status(503), Fate::Later(None), "it answered 503"),
        (Step::Hang, Fate::Lost, "could not confirm that it arrived: no whole answer within 600ms"),
        (Step::Drop, Fate::Lost, "could not confirm that it arrived: the connection broke"),
        (Step::Truncated, Fate::Lost, "could not confirm that it arrived: the answer 200 broke off"),
    ];
    for (step, fate, sentence) in cases {
        let (undelivered, requests) = outcome(step.clone()).await;
        assert_eq!((undelivered.fate, requests), (fate, 1), "{step:?}: {undelivered}");
        assert!(undelivered.to_string().contains(sentence), "{step:?}: {undelivered}");
    }
}

#[tokio::test]
async fn what_a_service_says_in_a_word_is_told_and_an_error_page_is_not() {
    let answer = |body: String| Step::Answer(404, Vec::new(), body);
    let (told, _) = outcome(answer("no_service".into())).await;
    assert!(told.to_string().starts_with("it answered 404 (no_service); "), "{told}");
    for page in [format!("Cannot POST /services/T0/{CANARY}"), CANARY.to_owned(), "<html>gone</html>".into()]
    {
        let (told, _) = outcome(answer(page)).await;
        assert!(told.to_string().starts_with("it answered 404; "), "{told}");
    }
    // One word that is a piece of the path is no word of the service's.
    let (told, _) = outcome(answer("services".into())).await;
    assert!(told.to_string().starts_with("it answered 404; "), "{told}");
}

#[tokio::test]
async fn a_service_that_cannot_be_reached_surely_got_nothing() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::parse(&format!("http://{}/{CANARY}", closed.local_addr().unwrap())).unwrap();
    drop(closed);
    let slack = Slack::new(everything("ops"), http(), address, LIMIT);
    let undelivered = slack.tell(&rich()).await.unwrap_err();
    assert_eq!(undelivered.fate, Fate::Later(None));
    let told = format!("{undelivered} {undelivered:?} {slack:?}");
    assert!(told.contains("could not connect") && !told.contains(CANARY), "{told}");
}

#[tokio::test]
async fn slack_and_teams_get_their_shapes() {
    let script = Script::play([Step::status(200), Step::status(202)]).await;
    let slack = Slack::new(everything("ops"), http(), address(&script), LIMIT);
    let teams = Teams::new(everything("ops"), http(), address(&script), LIMIT);
    slack.tell(&rich()).await.unwrap();
    teams.tell(&rich()).await.unwrap();
    let json = |at: usize| serde_json::from_str::<Value>(body(&script.seen()[at])).unwrap();
    assert_eq!(json(0)["blocks"][0]["type"], "header");
    assert_eq!(json(1)["attachments"][0]["content"]["type"], "AdaptiveCard");
}

#[tokio::test]
async fn a_heartbeat_says_start_success_and_fail() {
    let script = Script::play(vec![Step::Answer(200, Vec::new(), "OK".into()); 4]).await;
    let address = Address::parse(script.at(&format!("ping/{CANARY}?create=1")).as_str()).unwrap();
    let heartbeat = Heartbeat::new(everything("hc").name, http(), address, LIMIT);
    assert!(
        heartbeat.listens_for_a_pulse() && heartbeat.wants(Topic::Test) && !heartbeat.wants(Topic::Failure)
    );
    heartbeat.pulse(&Pulse::Begun).await.unwrap();
    heartbeat.pulse(&Pulse::Well).await.unwrap();
    heartbeat.pulse(&Pulse::Ill("cf cannot be read".into())).await.unwrap();
    heartbeat.tell(&rich()).await.unwrap();
    let seen = script.seen();
    let lines: Vec<(&str, &str)> =
        seen.iter().map(|request| (request.lines().next().unwrap(), body(request))).collect();
    let line = |step: &str| format!("POST /ping/{CANARY}{step}?create=1 HTTP/1.1");
    assert_eq!(
        lines,
        [
            (line("/start").as_str(), ""),
            (line("").as_str(), ""),
            (line("/fail").as_str(), "cf cannot be read"),
            (line("").as_str(), "")
        ]
    );
}

#[tokio::test]
async fn a_heartbeat_that_nobody_counts_has_not_arrived() {
    let answer = |body: &str| Step::Answer(200, Vec::new(), body.into());
    for (step, fate, sentence) in [
        (answer("OK (not found)"), Fate::Refused, "it knows no such check"),
        (answer("OK (rate limited)"), Fate::Later(None), "asked too often"),
        (Step::status(404), Fate::Refused, "the webhook was removed, or the URL is wrong"),
        (Step::Hang, Fate::Later(None), "could not confirm"),
    ] {
        let script = Script::play([step]).await;
        let heartbeat = Heartbeat::new(everything("hc").name, http(), address(&script), LIMIT);
        let undelivered = heartbeat.pulse(&Pulse::Well).await.unwrap_err();
        assert_eq!(undelivered.fate, fate, "{undelivered}");
        assert!(undelivered.to_string().contains(sentence), "{undelivered}");
    }
}
