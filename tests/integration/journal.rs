//! What was changed is written down and read again: by whole commands, through kills and where there is no room.

mod undo;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use cnamed::journal::{Change, Filter, Journal, What};
use cnamed::model::plan::Verb;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::foreign::{LABEL, NAME, at_cloudflare};
use crate::support::{Cloud, Run, golden};

/// One record in one account, that caches forget at once.
pub(crate) async fn brief(account: &str) -> Cloud {
    let cloud = Cloud::start().await;
    let narrow = format!("accounts = [\"{account}\"]\nttl = 1");
    cloud.replace("accounts = [\"azure\", \"cf\"]\nttl = 30", &narrow);
    cloud
}

pub(crate) fn state(cloud: &Cloud) -> PathBuf {
    cloud.folder.path().join("state")
}

pub(crate) async fn entries(cloud: &Cloud, more: &[&str]) -> Vec<Value> {
    let arguments = [&["--format", "json", "history"], more].concat();
    let history = cloud.run(&arguments).await.exits(0).json();
    assert_eq!(history["version"], 1);
    history["entries"].as_array().unwrap().clone()
}

/// The output with what differs from run to run made the same.
fn steady(text: &str) -> String {
    let line = |line: &str| {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        for at in 0..words.len() {
            let word = &words[at];
            if word.len() == 10 && word.starts_with("20") && word.matches('-').count() == 2 {
                (words[at], words[at + 1]) = ("YYYY-MM-DD".into(), "HH:MM:SSZ".into());
            } else if at > 0 && words[at - 1] == "request" {
                words[at] = "ID".into();
            } else if at > 0 && words[at - 1] == "after" {
                let end: String = word.chars().filter(|c| ",;".contains(*c)).collect();
                words[at] = format!("SPAN{end}");
            }
        }
        words.join(" ") + "\n"
    };
    text.lines().map(line).collect()
}

#[tokio::test]
async fn a_drift_and_its_mending_are_told_with_what_when_why_and_by_which_request() {
    let cloud = brief("cf").await;
    cloud.run(&["sync"]).await.exits(0);
    let control = cloud.sandbox.control();
    let mut drifted = at_cloudflare(&cloud, NAME).unwrap();
    drifted["content"] = json!("elsewhere.example.net");
    control.delete_record_cloudflare(NAME, "CNAME").unwrap();
    control.set_record_cloudflare(&drifted).unwrap();
    cloud.sandbox.forget_requests();
    cloud.run(&["sync"]).await.exits(0);
    cloud.run(&["sync"]).await.exits(0).says("In sync");

    let run = cloud.run(&["history"]).await.exits(0);
    golden::same("cli/history", &steady(&run.out));
    let told = entries(&cloud, &["--name", NAME]).await;
    let [made, mended] = told.as_slice() else { panic!("{told:#?}") };
    assert_eq!((&made["before"], &made["verb"]), (&Value::Null, &json!("create")));
    let keys: Vec<&str> = mended.as_object().unwrap().keys().map(String::as_str).collect();
    let contract = [
        "id", "at", "entry", "kind", "name", "account", "verb", "outcome", "before", "after", "reason",
        "error", "requests", "agreed",
    ];
    assert_eq!(keys, contract);
    let at = mended["at"].as_str().unwrap();
    OffsetDateTime::parse(at, &time::format_description::well_known::Rfc3339).unwrap();
    assert_eq!(mended["entry"], "change");
    assert_eq!(mended["kind"], "record");
    assert_eq!(mended["account"], "cf");
    assert_eq!(mended["verb"], "update");
    assert_eq!(mended["outcome"], "applied");
    assert_eq!(mended["before"], "CNAME elsewhere.example.net  ttl 1s");
    assert_eq!(mended["after"], format!("CNAME {LABEL}  ttl 1s"));
    assert_eq!(mended["reason"], "jump is elsewhere");
    assert_eq!(mended["requests"].as_array().unwrap().len(), 1, "{mended:#}");
    assert_eq!(mended["agreed"][0]["who"], "cf");
    assert!(mended["agreed"][0]["after_ms"].as_u64().unwrap() < 60_000);
}

#[tokio::test]
async fn each_change_has_the_ids_of_its_own_requests() {
    let cloud = Cloud::start().await;
    cloud.append("[[record]]\nname = \"two.example.com\"\nendpoint = \"jump\"\naccounts = [\"azure\"]\n");
    let round = cloud.run(&["--format", "json", "sync"]).await.exits(0).json();
    let told = entries(&cloud, &[]).await;
    let ids = |changes: &[Value]| -> Vec<(String, Vec<String>)> {
        let mut ids: Vec<_> = (changes.iter())
            .map(|change| {
                let requests = change["requests"].as_array().unwrap();
                let requests: Vec<String> = requests.iter().map(|id| id.as_str().unwrap().into()).collect();
                (format!("{} {}", change["name"], change["account"]), requests)
            })
            .collect();
        ids.sort();
        ids
    };
    let all = ids(&told);
    assert_eq!(all.len(), 4, "a public IP and three records: {told:#?}");
    assert_eq!(ids(round["changes"].as_array().unwrap()), all, "the round tells the same");
    let mut seen: Vec<&String> = all.iter().flat_map(|(_, ids)| ids).collect();
    assert!(all.iter().all(|(_, ids)| ids.len() == 1), "{all:#?}");
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 4, "no two are the same: {all:#?}");
}

#[tokio::test]
async fn history_is_narrowed_by_name_time_and_number() {
    let cloud = Cloud::start().await;
    cloud.run(&["sync"]).await.exits(0);
    let names = |entries: Vec<Value>| -> Vec<String> {
        entries.iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(entries(&cloud, &[]).await), ["jump", NAME, NAME]);
    assert_eq!(names(entries(&cloud, &["--name", "JumpStation.Example.com."]).await), [NAME, NAME]);
    assert_eq!(names(entries(&cloud, &["--name", "jump"]).await), ["jump"]);
    assert_eq!(names(entries(&cloud, &["--limit", "1"]).await), [NAME]);
    assert_eq!(names(entries(&cloud, &["--since", "1h"]).await).len(), 3);
    assert_eq!(names(entries(&cloud, &["--since", "2999-01-01T00:00:00Z"]).await).len(), 0);
    assert_eq!(names(entries(&cloud, &["--since", "2999-01-01"]).await).len(), 0);
    assert_eq!(names(entries(&cloud, &["--since", "2020-01-01"]).await).len(), 3);
    assert_eq!(names(entries(&cloud, &["--name", "nsg_of(old)"]).await).len(), 0);
    cloud.run(&["history", "--limit", "2"]).await.exits(0).says("older ones that --limit leaves out");
    let run = cloud.run(&["history", "--since", "2999-01-01T00:00:00Z"]).await.exits(0);
    run.says("Nothing that matches").says(": 3, the oldest of 20");
    for wrong in [
        ["--since", "soon"],
        ["--since", "2026-02-30"],
        ["--limit", "0"],
        ["--limit", "-1"],
        ["--name", "not a name!"],
        ["--name", ""],
    ] {
        cloud.run(&[&["history"][..], &wrong].concat()).await.exits(2);
    }
}

#[tokio::test]
async fn nothing_yet_is_said_and_a_round_that_changes_nothing_makes_no_journal() {
    let cloud = Cloud::start().await;
    cloud.run(&["plan"]).await.exits(3);
    let run = cloud.run(&["history"]).await.exits(0).says("Nothing yet: the journal in ");
    run.says(&state(&cloud).canonicalize().unwrap_or(state(&cloud)).display().to_string());
    assert_eq!(entries(&cloud, &[]).await, Vec::<Value>::new());
    assert!(!state(&cloud).exists(), "looking makes nothing");
    assert!(cloud.sandbox.requests().is_empty() || cloud.writes().is_empty());
}

#[tokio::test]
async fn a_journal_that_cannot_be_written_is_told_once_and_stops_nothing() {
    let cloud = Cloud::start().await;
    fs::write(state(&cloud), "not a directory").unwrap();
    let run = cloud.run(&["sync"]).await.exits(0).says("Done: 3 changes made");
    assert_eq!(run.err.matches("warning:").count(), 1, "{}", run.err);
    assert!(
        run.err.contains("warning: what was changed is not in the journal: could not make "),
        "{}",
        run.err
    );
    let run = cloud.run(&["history"]).await.exits(1);
    run.says("could not open the journal").says("check the disk and the directory that [state] names");
}

#[tokio::test]
async fn a_damaged_journal_is_moved_aside_by_whoever_writes_and_told_to_whoever_reads() {
    let cloud = Cloud::start().await;
    fs::create_dir(state(&cloud)).unwrap();
    fs::write(state(&cloud).join("journal.sqlite3"), "these are not the bytes of a database".repeat(50))
        .unwrap();
    let run = cloud.run(&["history"]).await.exits(1).says("file is not a database");
    let run = run.says("it is moved aside and a new one begun");
    assert!(run.out.is_empty(), "{}", run.out);
    cloud.run(&["undo", "--yes"]).await.exits(1).says("file is not a database");
    cloud
        .run(&["sync"])
        .await
        .exits(0)
        .says("the journal was damaged (file is not a database) and is kept as ");
    assert_eq!(entries(&cloud, &[]).await.len(), 3);
    let kept = fs::read_dir(state(&cloud)).unwrap().flatten();
    let kept = kept.filter(|entry| entry.file_name().to_string_lossy().contains(".corrupt-20"));
    assert_eq!(kept.count(), 1);
}

#[tokio::test]
async fn the_journal_is_for_its_owner_alone_and_holds_no_secret() {
    let cloud = Cloud::start().await;
    cloud.run(&["sync"]).await.exits(0);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&state(&cloud)), 0o700);
    assert_eq!(mode(&state(&cloud).join("journal.sqlite3")), 0o600);
    let bytes = fs::read(state(&cloud).join("journal.sqlite3")).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains(NAME), "this is what is looked through");
    for file in ["azure-client-secret", "cloudflare-token"] {
        let secret = fs::read_to_string(cloud.folder.path().join(file)).unwrap();
        assert!(!text.contains(secret.trim()), "the journal has the {file}");
    }
}

/// The shell gives the command no room for files beyond `kib`: what a full disk is to a process, with its own errno.
async fn cramped(cloud: &Cloud, kib: u32, arguments: &str) -> Run {
    let script = format!("trap '' XFSZ; ulimit -f {kib}; exec \"$0\" --config \"$1\" {arguments}");
    let mut command = Command::new("bash");
    command.arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_cnamed")).arg(&cloud.config).env_clear();
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(PATIENCE, output).await.unwrap().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

#[tokio::test]
async fn where_there_is_no_room_the_work_goes_on_and_nothing_written_is_lost() {
    let cloud = brief("azure").await;
    cloud.run(&["sync"]).await.exits(0);
    let before = entries(&cloud, &[]).await;
    let journal = state(&cloud).join("journal.sqlite3");
    let room = fs::metadata(&journal).unwrap().len() / 1024;
    let control = cloud.sandbox.control();
    control.delete_record_azure(NAME, "CNAME").unwrap();
    // The log beside the file has to hold a few pages.
    let run = cramped(&cloud, 4, "sync").await.exits(0).says("done  create  jumpstation.example.com");
    assert!(room > 4 && run.err.contains("warning: what was changed is not in the journal"), "{}", run.err);
    assert!(run.err.contains("journal.sqlite3: "), "{}", run.err);
    assert_eq!(entries(&cloud, &[]).await, before);
    control.delete_record_azure(NAME, "CNAME").unwrap();
    cloud.run(&["sync"]).await.exits(0);
    assert_eq!(entries(&cloud, &[]).await.len(), before.len() + 1, "there is room again");
}

/// What [`every_acknowledged_entry_survives_a_kill`] runs and kills.
#[test]
#[ignore = "never ends by itself"]
fn writes_until_it_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let (journal, mended) = Journal::open(Path::new(&directory)).unwrap();
    assert_eq!(mended, None);
    loop {
        let id = journal.record(OffsetDateTime::now_utc(), &anything()).unwrap();
        println!("\nacknowledged {id}");
    }
}

fn anything() -> What {
    What::Change(Change {
        kind: "record".into(),
        name: NAME.into(),
        account: None,
        endpoint: None,
        verb: Verb::Update,
        outcome: "applied".into(),
        before: None,
        after: Some("x".repeat(500)),
        reason: "to be killed".into(),
        error: None,
        requests: Vec::new(),
        record: None,
    })
}

#[tokio::test]
async fn every_acknowledged_entry_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut last = 0;
    for kill in 1..=8 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "journal::writes_until_it_is_killed", "--ignored", "--nocapture"])
            .env(DIRECTORY, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged = 0;
        // Later each time, and in the middle of whatever comes next.
        while acknowledged < kill * 5 {
            let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
            let line = line.expect("it wrote until it was killed");
            if let Some(id) = line.strip_prefix("acknowledged ") {
                last = id.parse::<i64>().unwrap();
                acknowledged += 1;
            }
        }
        child.kill().await.unwrap();
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some(id) = line.strip_prefix("acknowledged ").and_then(|id| id.parse().ok()) {
                last = id;
            }
        }
        let (journal, mended) = Journal::open(folder.path()).unwrap();
        assert_eq!(mended, None, "a kill is no damage");
        let ids: Vec<i64> =
            journal.entries(&Filter::default()).unwrap().iter().map(|entry| entry.id).collect();
        let written = *ids.last().unwrap();
        assert!(written >= last, "{last} was acknowledged, and {written} is the last");
        assert_eq!(ids, (1..=written).collect::<Vec<i64>>(), "none in between is missing");
        assert_eq!(Arc::new(journal).extent().unwrap().0, ids.len());
    }
}

const DIRECTORY: &str = "CNAMED_TEST_JOURNAL";
const PATIENCE: Duration = Duration::from_secs(60);
