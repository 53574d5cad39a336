//! What the log says: why a round ended as it did, who is left alone and who is back, and that it was the end.

use std::process::Stdio;

use cnamed::sandbox::{Action, Fault, Service};
use serde_json::{Value, json};
use tokio::process::Command;

use super::{Run, impatient, parsed};
use crate::support::Cloud;

/// The lines with this message.
fn lines<'l>(told: &'l [Value], message: &str) -> Vec<&'l Value> {
    told.iter().filter(|line| line["message"] == message).collect()
}

#[tokio::test]
async fn the_log_says_why_who_is_left_alone_and_who_is_back() {
    let cloud = Cloud::start().await;
    impatient(&cloud);
    let mut run = Run::begin(&cloud).await;
    run.round("in-sync").await;
    let down = Action::Status { status: 503, headers: Vec::new(), body: json!({}) };
    cloud.sandbox.control().fault(Fault::on(Service::Cloudflare, down).always());
    run.round("partial").await;
    cloud.sandbox.control().clear_faults();
    run.logs("that it is back", |line| line["message"] == "answers again").await;
    let (code, _, told) = run.end().await;
    assert_eq!(code, 0);

    let rounds = lines(&told, "round");
    let well = rounds.iter().find(|line| line["outcome"] == "in-sync").unwrap();
    assert_eq!((&well["level"], &well["why"]), (&json!("INFO"), &Value::Null));
    assert!(well["took_s"].as_f64().is_some_and(|took| took > 0.0), "{well}");
    let ill = rounds.iter().find(|line| line["outcome"] == "partial").unwrap();
    assert_eq!((&ill["level"], &ill["trigger"]), (&json!("WARN"), &json!("timer")));
    assert!(ill["why"].as_str().is_some_and(|why| why.contains(" in cf: ") && why.contains("503")), "{ill}");
    // Once, however many rounds it lasts.
    let [left] = lines(&told, "left alone for a while")[..] else { panic!("{told:#?}") };
    assert_eq!(left["account"], "cf");
    assert!(left["reason"].as_str().is_some_and(|reason| reason.contains("503")), "{left}");
    assert!(left["until"].as_str().is_some_and(|until| until.contains(':')), "{left}");
    let [back] = lines(&told, "answers again")[..] else { panic!("{told:#?}") };
    assert_eq!(back["account"], "cf");
    let changes = lines(&told, "change");
    assert!(!changes.is_empty() && changes.iter().all(|line| line["outcome"] == "applied"), "{changes:#?}");
    let agreed = lines(&told, "agreed");
    assert!(!agreed.is_empty() && agreed.iter().all(|line| line["about"].is_string()), "{agreed:#?}");
    let [stopped] = lines(&told, "stopped")[..] else { panic!("{told:#?}") };
    assert_eq!((stopped, stopped["in_flight"].as_u64()), (told.last().unwrap(), Some(0)));
}

#[tokio::test]
async fn every_line_of_a_mistake_has_its_priority_in_the_journal() {
    let cloud = Cloud::start().await;
    cloud.append("\n[watch]\ninterval = \"never\"\nlabel_interval = 7\n");
    let run = Command::new(env!("CARGO_BIN_EXE_cnamed"))
        .arg("--config")
        .arg(&cloud.config)
        .arg("run")
        .env_clear()
        .env("JOURNAL_STREAM", "8:1")
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(2), "{said}");
    assert!(said.lines().count() > 2 && said.lines().all(|line| line.starts_with("<3>")), "{said}");
}

#[tokio::test]
async fn why_a_service_does_not_begin_is_json_wherever_its_log_is() {
    let cloud = Cloud::start().await;
    let log = cloud.run(&["--format", "json", "--log", "nonsense", "run"]).await.exits(2);
    std::fs::write(cloud.folder.path().join("state"), "no directory").unwrap();
    let state = cloud.run(&["--format", "json", "run"]).await.exits(1);
    cloud.append("surprise = true\n");
    let file = cloud.run(&["--format", "json", "run"]).await.exits(2);
    for (run, why) in [(log, "nonsense"), (state, "state"), (file, "surprise")] {
        let told: Vec<Value> = run.err.lines().map(parsed).collect();
        let [told] = told.as_slice() else { panic!("{told:#?}") };
        assert_eq!((&told["level"], &told["message"]), (&json!("ERROR"), &json!("not begun")));
        assert!(told["error"].to_string().contains(why), "{told:#}");
        assert!(run.json()["error"].to_string().contains(why), "{}", run.out);
    }
}

#[tokio::test]
async fn the_help_says_where_the_log_is_and_in_what_form() {
    let help = async |arguments: &[&str]| {
        let told = Command::new(env!("CARGO_BIN_EXE_cnamed")).args(arguments).output().await.unwrap();
        String::from_utf8(told.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let of_run = help(&["run", "--help"]).await;
    assert!(
        of_run.contains("Its log goes to stderr, with a line for every change and every round"),
        "{of_run}"
    );
    assert!(of_run.contains("lines of JSON with `--format json`"), "{of_run}");
    let page = help(&["man"]).await;
    assert!(page.contains("one JSON value, with a `version` field; of `run`, its log"), "{page}");
}
