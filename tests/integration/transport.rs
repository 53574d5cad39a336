//! The transport policy, over real sockets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

pub(crate) mod script;

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cnamed::provider::http::{Budget, Failure, Http, Request, Response, Settings, Window, allows_plain_http};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, Url};
use tokio::time::Instant;

use self::script::{Script, Step, http};

fn budget() -> Arc<Budget> {
    Budget::new("test", &[])
}

async fn get(script: &Script) -> Result<Response, Failure> {
    http().send(&budget(), Request::get(script.at("/thing?token=secret-query"))).await
}

async fn put(script: &Script) -> Result<Response, Failure> {
    http().send(&budget(), Request::write(Method::PUT, script.at("/thing"), "{\"a\":1}")).await
}

#[tokio::test]
async fn a_read_is_sent_again_after_whatever_may_pass() {
    for trouble in [
        Step::Drop,
        Step::Truncated,
        Step::Hang,
        Step::status(408),
        Step::status(429),
        Step::status(500),
        Step::status(502),
        Step::status(503),
        Step::status(504),
    ] {
        let script = Script::play([trouble.clone(), Step::status(200)]).await;
        let response = get(&script).await.unwrap();
        assert_eq!((response.status.as_u16(), script.seen().len()), (200, 2), "{trouble:?}");
    }
}

#[tokio::test]
async fn a_read_that_keeps_failing_is_given_up() {
    let script = Script::play(vec![Step::status(503); 20]).await;
    let response = get(&script).await.unwrap();
    assert_eq!((response.status.as_u16(), script.seen().len()), (503, 4));
    let script = Script::play(vec![Step::Truncated; 20]).await;
    let failure = get(&script).await.unwrap_err();
    assert_eq!(failure.to_string(), "the answer 200 broke off after 6 bytes (request id ray-7), 4 times");
}

#[tokio::test]
async fn other_answers_are_answers() {
    for status in [301, 302, 400, 401, 403, 404, 409, 412, 501] {
        let script = Script::play([Step::status(status).with("location", "http://127.0.0.1:1/")]).await;
        assert_eq!(get(&script).await.unwrap().status.as_u16(), status);
        assert_eq!(script.seen().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_write_is_never_sent_twice_once_it_may_have_arrived() {
    for trouble in [Step::Drop, Step::Truncated, Step::Hang] {
        let script = Script::play([trouble.clone(), Step::status(200)]).await;
        let failure = put(&script).await.unwrap_err();
        assert!(matches!(failure, Failure::Lost { .. }), "{trouble:?}: {failure:?}");
        assert_eq!(script.seen().len(), 1, "{trouble:?}");
    }
    for status in [408, 500, 502, 503, 504] {
        let script = Script::play([Step::status(status), Step::status(200)]).await;
        assert_eq!(put(&script).await.unwrap().status.as_u16(), status);
        assert_eq!(script.seen().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_throttled_write_waits_as_long_as_it_is_asked_to() {
    let script = Script::play([Step::status(429).with("retry-after", "1"), Step::status(201)]).await;
    let started = Instant::now();
    assert_eq!(put(&script).await.unwrap().status.as_u16(), 201);
    let waited = started.elapsed();
    assert!(waited >= Duration::from_secs(1) && waited < Duration::from_secs(3), "{waited:?}");

    let script =
        Script::play([Step::status(429).with("x-ms-retry-after-ms", "300"), Step::status(201)]).await;
    let started = Instant::now();
    put(&script).await.unwrap();
    let waited = started.elapsed();
    assert!(waited >= Duration::from_millis(300) && waited < Duration::from_secs(2), "{waited:?}");
}

#[tokio::test]
async fn a_wait_beyond_the_deadline_is_told_and_nothing_more_is_sent() {
    let body = "{\"errors\":[]}".to_owned();
    let throttled = Step::Answer(429, vec![("retry-after", "307".into())], body);
    let script = Script::play([throttled, Step::status(200)]).await;
    let (http, budget) = (http(), budget());
    let started = Instant::now();
    let failure = http.send(&budget, Request::get(script.at("/a"))).await.unwrap_err();
    let Failure::Throttled { delay, named, answer } = failure else { panic!("{failure:?}") };
    assert_eq!((delay, named), (Duration::from_secs(307), true));
    assert_eq!(&answer.unwrap().body[..], b"{\"errors\":[]}");
    // The budget is the credential's: what it sends next would only make matters worse.
    let failure = http.send(&budget, Request::get(script.at("/b"))).await.unwrap_err();
    assert_eq!(failure.to_string(), "the service asks to wait 307s");
    assert_eq!(script.seen().len(), 1);
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_service_that_does_not_say_how_long_to_wait_is_asked_a_few_times() {
    let script = Script::play(vec![Step::status(429); 20]).await;
    let failure = get(&script).await.unwrap_err();
    assert!(matches!(failure, Failure::Throttled { named: false, .. }), "{failure:?}");
    assert_eq!(failure.to_string(), "the service refuses any more for now, and does not say for how long");
    assert_eq!(script.seen().len(), 4);
}

#[tokio::test]
async fn a_credential_has_one_budget_which_answers_feed() {
    let spent = Step::status(200).with("ratelimit", "\"default\";r=0;t=1");
    let script = Script::play([spent, Step::status(200), Step::status(200)]).await;
    let http = http();
    let budget = http.budget("service", "token", &[]);
    assert!(Arc::ptr_eq(&budget, &http.budget("service", "token", &[])), "two accounts share a token");
    http.send(&budget, Request::get(script.at("/"))).await.unwrap();
    let started = Instant::now();
    http.send(&http.budget("service", "another", &[]), Request::get(script.at("/"))).await.unwrap();
    assert!(started.elapsed() < Duration::from_millis(700), "another credential has a budget of its own");
    http.send(&budget, Request::get(script.at("/"))).await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(900), "{:?}", started.elapsed());
}

#[tokio::test]
async fn every_attempt_is_metered_under_the_name_of_its_budget() {
    let left = Step::status(200).with("ratelimit", "\"default\";r=41;t=60");
    let reads = [Step::status(503), Step::Drop, Step::status(404), Step::status(429), left];
    let script = Script::play(reads).await;
    let http = http();
    let budget = http.budget("service", "token", &[]);
    let part = budget.within("zone", &[]);
    http.send(&budget, Request::get(script.at("/"))).await.unwrap();
    http.send(&part, Request::get(script.at("/"))).await.unwrap();
    let other = http.budget("service", "another", &[]);
    let other_script = Script::play([Step::status(204)]).await;
    http.send(&other, Request::get(other_script.at("/"))).await.unwrap();
    let _ = http.budget("idle", "token", &[]);
    let metered = http.metered();
    let names: Vec<&str> = metered.iter().map(|it| it.budget.as_str()).collect();
    assert_eq!(names, ["idle", "service"]);
    // In the order of `Ended::ALL`: ok, refused, throttled, failed, broken, abandoned; parts and credentials of one name together.
    assert_eq!((metered[1].attempts, metered[1].left), ([2, 1, 1, 1, 1, 0], Some(41)));
    assert_eq!((metered[0].attempts, metered[0].left), ([0; 6], None));
}

#[tokio::test]
async fn no_more_is_sent_than_a_window_allows_and_the_queue_is_not_the_deadline() {
    let script = Script::play(vec![Step::status(200); 12]).await;
    let settings = Settings {
        extra_ca: None,
        attempt: Duration::from_millis(700),
        deadline: Duration::from_millis(700),
    };
    let http = Http::new(&settings).unwrap();
    let window = Window { requests: 3, per: Duration::from_millis(300) };
    let budget = Budget::new("test", &[]).within("zone", &[window]);
    let started = Instant::now();
    let send = || http.send(&budget, Request::write(Method::PUT, script.at("/"), ""));
    let answers = futures::future::join_all((0..12).map(|_| send())).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert!(started.elapsed() >= Duration::from_millis(900), "four windows: {:?}", started.elapsed());
}

#[tokio::test]
async fn what_cannot_connect_was_not_done() {
    let script = Script::play([]).await;
    let url = script.at("/thing");
    drop(script);
    tokio::task::yield_now().await;
    let failure = http().send(&budget(), Request::write(Method::PUT, url, "")).await.unwrap_err();
    assert!(
        matches!(&failure, Failure::NotDone { what, .. } if what == "could not connect, 4 times"),
        "{failure:?}"
    );
}

#[tokio::test]
async fn a_hung_service_is_not_asked_again_after_the_deadline() {
    let settings = Settings {
        extra_ca: None,
        attempt: Duration::from_millis(300),
        deadline: Duration::from_millis(500),
    };
    let script = Script::play(vec![Step::Hang; 9]).await;
    let http = Http::new(&settings).unwrap();
    let failure = http.send(&budget(), Request::get(script.at("/"))).await.unwrap_err();
    assert!(matches!(failure, Failure::Lost { .. }), "{failure:?}");
    assert!(failure.to_string().starts_with("no whole answer within 300ms"), "{failure}");
    // None begins after the deadline, where four of them would have been made; each has its whole time.
    assert!(script.seen().len() <= 2, "{}", script.seen().len());
}

#[tokio::test]
async fn plain_http_is_for_loopback_and_the_metadata_service() {
    for (url, allowed) in [
        ("http://127.0.0.1:80/", true),
        ("http://127.9.9.9/", true),
        ("http://[::1]/", true),
        ("http://localhost:1/", true),
        ("http://169.254.169.254/metadata", true),
        ("http://169.254.169.253/", false),
        ("http://localhost.example.com/", false),
        ("http://192.0.2.1/", false),
        ("http://api.cloudflare.com/", false),
    ] {
        assert_eq!(allows_plain_http(&Url::parse(url).unwrap()), allowed, "{url}");
    }
    let url = Url::parse("http://192.0.2.1/").unwrap();
    let failure = http().send(&budget(), Request::get(url)).await.unwrap_err();
    assert!(matches!(&failure, Failure::NotDone { what, .. } if what.contains("plain http")), "{failure:?}");
}

#[tokio::test]
async fn a_request_says_who_sends_it_and_which_it_is() {
    let script = Script::play([Step::status(503), Step::status(200), Step::status(200)]).await;
    let budget = budget();
    let http = http();
    http.send(&budget, Request::get(script.at("/"))).await.unwrap();
    let mut request = Request::get(script.at("/"));
    request.headers.insert("x-ms-client-request-id", HeaderValue::from_static("chosen"));
    http.send(&budget, request).await.unwrap();
    let seen = script.seen();
    let id = |text: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("x-ms-client-request-id: "));
        line.unwrap().to_owned()
    };
    assert!(seen[0].contains(concat!("user-agent: cnamed/", env!("CARGO_PKG_VERSION"))), "{}", seen[0]);
    assert_eq!((id(&seen[0]).len(), id(&seen[0])), (36, id(&seen[1])), "one id for all attempts");
    assert_eq!(id(&seen[2]), "chosen");
}

#[tokio::test]
async fn one_log_line_an_attempt_and_no_secret_in_it() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_writer({
            let log = log.clone();
            move || log.clone()
        })
        .finish();
    let script =
        Script::play([Step::status(503).with("x-ms-request-id", "their-id"), Step::status(200)]).await;
    let mut request = Request::write(Method::GET, script.at("/thing?sig=secret-query"), "secret-body");
    request.effect = cnamed::provider::http::Effect::Read;
    request.headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer secret-token"));
    let shown = format!("{request:?}");
    {
        let _guard = tracing::subscriber::set_default(subscriber);
        http().send(&budget(), request).await.unwrap();
    }
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("cnamed::provider::http")).collect();
    assert_eq!(lines.len(), 2, "{text}");
    for part in ["method=GET", "host=\"127.0.0.1\"", "path=\"/thing\"", "status=503", "their-id", "ms="] {
        assert!(lines[0].contains(part), "{part} is missing in {}", lines[0]);
    }
    for secret in ["secret-token", "secret-query", "secret-body"] {
        assert!(!lines.concat().contains(secret) && !shown.contains(secret), "{secret}: {shown} {lines:?}");
    }
}

#[tokio::test]
async fn loopback_is_never_reached_through_a_proxy() {
    // The environment belongs to the process, so another one plays the part.
    let script = Script::play([Step::status(200)]).await;
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "transport::play_the_part_behind_a_proxy", "--ignored", "--nocapture"])
        .env("HTTP_PROXY", "http://127.0.0.1:9")
        .env("http_proxy", "http://127.0.0.1:9")
        .env("CNAMED_TEST_URL", script.url.as_str())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let output = tokio::task::spawn_blocking(|| child.wait_with_output()).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    assert_eq!(script.seen().len(), 1);
}

#[tokio::test]
#[ignore = "played by loopback_is_never_reached_through_a_proxy"]
async fn play_the_part_behind_a_proxy() {
    let Ok(url) = std::env::var("CNAMED_TEST_URL") else { return };
    let response = http().send(&budget(), Request::get(Url::parse(&url).unwrap())).await.unwrap();
    assert_eq!(response.status.as_u16(), 200);
}

#[tokio::test]
async fn a_certificate_of_nobody_known_is_refused_at_once_and_a_given_one_is_trusted() {
    // It asks without a credential, which is nothing for those who judge what we send.
    let options = cnamed::sandbox::Options { record: None, ..Default::default() };
    let sandbox = cnamed::sandbox::Sandbox::start(options).await.unwrap();
    let url = Url::parse(&format!("{}/zones", sandbox.addresses().cloudflare)).unwrap();
    let failure = http().send(&budget(), Request::get(url.clone())).await.unwrap_err();
    assert!(matches!(&failure, Failure::NotDone { what, .. } if what == "could not connect"), "{failure:?}");
    let trusting = |pem: &[u8]| Http::new(&Settings { extra_ca: Some(pem.to_vec()), ..Settings::default() });
    let http = trusting(sandbox.ca_pem().as_bytes()).unwrap();
    assert_eq!(http.send(&budget(), Request::get(url)).await.unwrap().status.as_u16(), 400);
    for nonsense in ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert!(trusting(nonsense.as_bytes()).is_err(), "{nonsense}");
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
