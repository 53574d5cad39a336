//! `cnamed demo --day`: the real service through a whole day.

use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::support::Cloud;

/// Longer than a day takes on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(300);
const CLAIMS: [&str; 10] = [
    "everything that happened was noticed",
    "every name was right again before the next thing happened",
    "no name pointed at a label that anybody could take",
    "every foreign record is as it was, byte for byte",
    "nothing was written while nothing was wrong",
    "not ready while a provider was down, and ready again after",
    "each trouble was told, and that it was over",
    "Azure asked to wait, and nobody came before",
    "the page was there all day, with its strict headers",
    "/metrics counts what Azure and Cloudflare counted",
];

#[tokio::test]
async fn a_day_of_outages_and_helpful_hands_proves_what_it_tells() {
    let cloud = Cloud::start().await;
    let ended = end(cloud.spawn(&["demo", "--day"])).await;
    let said = String::from_utf8(ended.stdout).unwrap();
    assert_eq!(ended.status.code(), Some(0), "{said}\n{}", String::from_utf8_lossy(&ended.stderr));
    assert!(said.starts_with("The status page:  http://127.0.0.1:"), "{said}");
    for claim in CLAIMS {
        assert!(said.contains(&format!("holds  {claim}")), "nothing proves {claim:?}\n{said}");
    }
    assert!(said.contains("10 of 10 claims held"), "{said}");
    // What it tells of is what the service has written down, not what was planned.
    for told in [
        "was released",
        "by looking its label up",
        "the proxy is not wanted",
        "old is elsewhere",
        "the public IP was created anew",
        "the label moved",
        "every name leads where it should",
    ] {
        assert!(said.contains(told), "nothing tells {told:?}\n{said}");
    }
    assert!(folder(&cloud).is_none(), "the day left its folder behind");
}

#[tokio::test]
async fn a_claim_that_does_not_hold_fails_the_day() {
    let cloud = Cloud::start().await;
    let day = cloud.spawn(&["--format", "json", "demo", "--day", "--speed", "3600"]);
    // The day's cloud has a control interface as any other: somebody deletes what is not ours, once the service has begun
    // and what there is was taken note of.
    let tampering = async {
        let deadline = Instant::now() + PATIENCE;
        let mut control: Option<String> = None;
        let begun = loop {
            if let Some(control) = &control {
                let requests = ask(control, "GET", "/requests", "").await;
                if requests.contains("\"service\":\"arm\"") {
                    break control.clone();
                }
            } else {
                control = control_of(&cloud);
            }
            assert!(Instant::now() < deadline, "the day does not begin");
            sleep(Duration::from_millis(50)).await;
        };
        let body = json!({"name": "www.example.com", "type": "A"}).to_string();
        let answer = ask(&begun, "POST", "/control/delete-record-azure", &body).await;
        assert!(answer.contains(" 200 "), "{answer}");
    };
    let (ended, ()) = futures::join!(end(day), tampering);
    let told: Value = serde_json::from_slice(&ended.stdout).expect("the proofs and nothing else");
    assert_eq!((ended.status.code(), &told["outcome"]), (Some(1), &json!("failed")), "{told:#}");
    let failed: Vec<&Value> =
        told["proofs"].as_array().unwrap().iter().filter(|proof| proof["holds"] == false).collect();
    assert!(failed.iter().any(|proof| proof["claim"] == CLAIMS[3]), "{told:#}");
}

async fn end(child: tokio::process::Child) -> Output {
    timeout(PATIENCE, child.wait_with_output()).await.expect("the day ends").unwrap()
}

/// The address of the day's control interface, once there is one.
fn control_of(cloud: &Cloud) -> Option<String> {
    let facts = std::fs::read(folder(cloud)?.join("sandbox.json")).ok()?;
    let facts: Value = serde_json::from_slice(&facts).unwrap();
    Some(facts["control"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned())
}

async fn ask(authority: &str, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(authority).await.unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all((head + body).as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Where the day keeps its files.
fn folder(cloud: &Cloud) -> Option<PathBuf> {
    let entries = std::fs::read_dir(cloud.folder.path()).unwrap().flatten();
    let mut folders = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("cnamed-demo-"));
    folders.next().map(|entry| entry.path())
}
