//! Commands of the operator's own: what they are given, and that none outlives its time.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cnamed::notify::command::Hooked;
use cnamed::notify::{Fate, Notice, Notifier};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::{everything, rich};

struct Stage {
    folder: TempDir,
}

impl Stage {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command that runs this script of `sh`, with the folder as its first argument.
    fn hook(&self, script: &str, limit: Duration) -> Hooked {
        let file = self.path("hook");
        std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        let words = ["/bin/sh", file.to_str().unwrap(), self.folder.path().to_str().unwrap()];
        hooked(&words, limit)
    }
}

fn hooked(words: &[&str], limit: Duration) -> Hooked {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    let inherited: Vec<(String, OsString)> = vec![("PATH".into(), path), ("LANG".into(), "C.UTF-8".into())];
    let words = words.iter().map(|word| (*word).to_owned()).collect();
    Hooked::new(everything("hook"), words, inherited, limit)
}

const LONG: Duration = Duration::from_secs(20);

async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} does not come to pass");
        sleep(Duration::from_millis(20)).await;
    }
}

fn is_alive(pid: &str) -> bool {
    // One that has ended and was not waited for by its new parent yet is dead too.
    std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[tokio::test]
async fn a_command_is_told_by_its_environment_and_its_input_and_by_nothing_else() {
    let stage = Stage::new();
    stage.hook("env > \"$1/env\"; cat > \"$1/body\"", LONG).tell(&rich()).await.unwrap();
    let env = read(&stage.path("env"));
    let mut names: Vec<&str> =
        env.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    // What the shell sets by itself.
    names.retain(|name| !["PWD", "_", "SHLVL", "OLDPWD"].contains(name));
    names.sort_unstable();
    let told =
        ["AFTER", "AT", "BEFORE", "DETAILS", "NEXT_STEP", "OWNER", "REPEATS", "SUBJECT", "TITLE", "TOPIC"];
    let expected: Vec<String> =
        told.iter().map(|name| format!("CNAMED_{name}")).chain(["LANG".into(), "PATH".into()]).collect();
    assert_eq!(names, expected);
    for line in [
        "CNAMED_TOPIC=unverified",
        "CNAMED_SUBJECT=jumpstation.example.com",
        "CNAMED_AFTER=198.51.100.7",
        "CNAMED_AT=2026-11-22T12:31:00.000Z",
        "CNAMED_REPEATS=3",
        "CNAMED_OWNER=ops-westeurope",
        "CNAMED_NEXT_STEP=cnamed status jumpstation.example.com",
    ] {
        assert!(env.lines().any(|told| told == line), "{line} is missing:\n{env}");
    }
    // A line each.
    let details =
        "\nCNAMED_DETAILS=ns1.example.org says <nothing> & more\nthe rule cnamed_ops_rdp *stands*\n";
    assert!(format!("\n{env}").contains(details), "{env}");
    let body: Value = serde_json::from_str(&read(&stage.path("body"))).unwrap();
    assert_eq!((&body["version"], &body["topic"]), (&1.into(), &"unverified".into()));
}

#[tokio::test]
async fn no_shell_reads_what_a_notice_says() {
    let stage = Stage::new();
    let hostile = Notice {
        title: format!("$(touch {0}/x) `touch {0}/x`\0\n; touch {0}/x", stage.folder.path().display()),
        ..rich()
    };
    stage.hook("printf '%s' \"$CNAMED_TITLE\" > \"$1/title\"", LONG).tell(&hostile).await.unwrap();
    assert!(read(&stage.path("title")).starts_with("$(touch "));
    assert!(!stage.path("x").exists());
}

#[tokio::test]
async fn a_command_that_ends_badly_says_why_in_its_last_line() {
    let stage = Stage::new();
    let failed = stage.hook("echo first >&2; echo 'no route to pager' >&2; echo >&2; exit 3", LONG);
    let undelivered = failed.tell(&rich()).await.unwrap_err();
    assert_eq!(
        (undelivered.fate, undelivered.reason.as_str()),
        (Fate::Refused, "it ended with exit code 3: no route to pager")
    );
    let undelivered = stage.hook("echo busy >&2; exit 75", LONG).tell(&rich()).await.unwrap_err();
    assert_eq!(
        (undelivered.fate, undelivered.reason.as_str()),
        (Fate::Later(None), "it asked to be run again later: busy")
    );
    let undelivered = stage.hook("kill -9 $$", LONG).tell(&rich()).await.unwrap_err();
    assert!(undelivered.reason.starts_with("it was ended from outside (signal: 9"), "{undelivered}");
    // What is written is not kept whole.
    let loud =
        stage.hook("head -c 5000000 /dev/zero | tr '\\0' x >&2; echo >&2; echo done >&2; exit 1", LONG);
    assert_eq!(loud.tell(&rich()).await.unwrap_err().reason, "it ended with exit code 1: done");
}

#[tokio::test]
async fn a_command_that_is_not_there_says_what_to_correct() {
    let undelivered = hooked(&["/nowhere/hook"], LONG).tell(&rich()).await.unwrap_err();
    assert_eq!(undelivered.to_string(), "there is no /nowhere/hook; correct `command`");
    let stage = Stage::new();
    std::fs::write(stage.path("plain"), "").unwrap();
    let plain = stage.path("plain");
    let undelivered = hooked(&[plain.to_str().unwrap()], LONG).tell(&rich()).await.unwrap_err();
    assert!(undelivered.to_string().contains("cannot be run: Permission denied"), "{undelivered}");
    assert_eq!(undelivered.fate, Fate::Refused);
}

#[tokio::test]
async fn a_command_that_hangs_is_killed_with_what_it_began() {
    let stage = Stage::new();
    let hangs = "echo waiting >&2; sleep 600 & echo $! > \"$1/child\"; echo $$ > \"$1/self\"; wait";
    let hook = stage.hook(hangs, Duration::from_millis(700));
    let undelivered = hook.tell(&rich()).await.unwrap_err();
    assert_eq!(undelivered.fate, Fate::Lost);
    assert!(
        undelivered
            .reason
            .contains("killed, with everything that it had begun, since it took longer than 700ms: waiting"),
        "{undelivered}"
    );
    let (own, child) = (read(&stage.path("self")), read(&stage.path("child")));
    assert!(!own.is_empty() && !child.is_empty());
    until("the end of both", || !is_alive(&own) && !is_alive(&child)).await;
}

#[tokio::test]
async fn a_command_dies_with_whoever_gives_up_waiting_for_it() {
    let stage = Stage::new();
    let hook = stage.hook("sleep 600 & echo $! > \"$1/child\"; echo $$ > \"$1/self\"; wait", LONG);
    let told = tokio::spawn(async move { hook.tell(&rich()).await });
    let began = || !read(&stage.path("self")).trim().is_empty();
    until("its beginning", began).await;
    let (own, child) = (read(&stage.path("self")), read(&stage.path("child")));
    assert!(is_alive(&own) && is_alive(&child));
    told.abort();
    until("the end of both", || !is_alive(&own) && !is_alive(&child)).await;
}

#[tokio::test]
async fn a_command_that_leaves_something_running_has_ended() {
    let stage = Stage::new();
    let began = Instant::now();
    let hook = stage.hook("sleep 600 & echo $! > \"$1/child\"; exit 0", LONG);
    hook.tell(&rich()).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "it waited for what the command left behind");
    let child = read(&stage.path("child"));
    assert!(is_alive(&child), "what it leaves running is its own business");
    let killed = std::process::Command::new("kill").arg(child.trim()).status().unwrap();
    assert!(killed.success());
}
