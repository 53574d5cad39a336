//! `cnamed notify test`, as it is typed.

use serde_json::Value;

use super::CANARY;
use crate::support::{Cloud, Run, golden};
use crate::transport::script::{Script, Step};

/// A cloud whose configuration has these notifiers; `URL` stands for the script's.
async fn cloud(script: &Script, notifiers: &str) -> Cloud {
    let cloud = Cloud::start().await;
    let url = cloud.folder.path().join("url");
    std::fs::write(&url, format!("{}\n", script.at(&format!("services/{CANARY}")))).unwrap();
    cloud.append(&notifiers.replace("URL", &format!("{{ file = \"{}\" }}", url.display())));
    cloud
}

/// The output with what differs from run to run made the same.
fn steady(run: &Run) -> String {
    let line = |line: &str| match line.rsplit_once("  ") {
        Some((rest, ms)) if ms.ends_with(" ms") => format!("{}  N ms\n", rest.trim_end()),
        _ => format!("{line}\n"),
    };
    run.out.lines().map(line).collect()
}

const THREE: &str = r#"
[[notify]]
name = "ops"
kind = "slack"
url = URL

[[notify]]
name = "mute"
kind = "webhook"
url = { env = "CNAMED_TEST_NOT_SET" }

[[notify]]
name = "pager"
kind = "command"
command = ["/bin/sh", "-c", "exit 0"]
events = ["failure"]
"#;

#[tokio::test]
async fn a_test_reads_well_and_exits_by_how_many_it_reached() {
    let script = Script::play([Step::status(200), Step::status(200), Step::status(200)]).await;
    let cloud = cloud(&script, THREE).await;
    let run = cloud.run(&["notify", "test"]).await.exits(6);
    golden::same("notify/test", &steady(&run));
    cloud.run(&["notify", "test", "ops"]).await.exits(0).says("Arrived: the test arrived at 1 notifier.");
    cloud.run(&["notify", "test", "mute"]).await.exits(1).says("CNAMED_TEST_NOT_SET is not set");
    cloud.run(&["notify", "test", "nobody"]).await.exits(2).says("there is ops, mute, pager");
    let json: Value = cloud.run(&["--format", "json", "notify", "test"]).await.exits(6).json();
    assert_eq!((&json["version"], &json["outcome"]), (&1.into(), &"partial".into()));
    let notifiers = json["notifiers"].as_array().unwrap();
    assert_eq!(notifiers.len(), 3);
    assert_eq!((&notifiers[0]["kind"], &notifiers[0]["arrived"]), (&"slack".into(), &true.into()));
    assert!(notifiers[0]["ms"].is_u64() && notifiers[1]["error"].is_string(), "{json:#}");
    assert_eq!(script.seen().len(), 3);
}

#[tokio::test]
async fn a_test_needs_somebody_to_tell() {
    let cloud = Cloud::start().await;
    cloud.run(&["notify", "test"]).await.exits(2).says("[[notify]]").says("kind = \"slack\"");
}

#[tokio::test]
async fn a_configuration_is_checked_without_a_word_to_anybody() {
    let script = Script::play([]).await;
    let cloud = cloud(&script, THREE).await;
    cloud.run(&["config", "check"]).await.exits(0);
    let shown = cloud.run(&["config", "show"]).await.exits(0).says("kind = \"slack\"");
    assert!(!shown.out.contains(CANARY), "{}", shown.out);
    assert_eq!(script.seen(), Vec::<String>::new());
}

/// Whatever becomes of it, and however loud the log is.
#[tokio::test]
async fn the_url_is_told_nowhere() {
    let echo = || {
        Step::Answer(404, vec![("location", format!("/{CANARY}"))], format!("Cannot POST /services/{CANARY}"))
    };
    for step in [Step::status(200), echo(), Step::status(302), Step::status(503), Step::Drop, Step::Truncated]
    {
        let script = Script::play([step.clone()]).await;
        let cloud = cloud(&script, "\n[[notify]]\nname = \"ops\"\nkind = \"webhook\"\nurl = URL\n").await;
        for format in ["text", "json"] {
            let run = cloud.run(&["--log", "trace", "--format", format, "notify", "test"]).await;
            let told = format!("{}{}", run.out, run.err);
            assert!(!told.contains(CANARY), "{step:?}:\n{told}");
            assert!(
                format != "text" || told.contains("/…"),
                "the request is logged without its path:\n{told}"
            );
        }
    }
}

#[tokio::test]
async fn a_url_that_is_none_is_not_told_either() {
    let script = Script::play([]).await;
    let cloud = cloud(&script, "\n[[notify]]\nname = \"ops\"\nkind = \"slack\"\nurl = URL\n").await;
    for text in [CANARY.to_owned(), format!("http://hooks.example.com/{CANARY}"), format!("ftp://{CANARY}")] {
        std::fs::write(cloud.folder.path().join("url"), text).unwrap();
        let run =
            cloud.run(&["--log", "trace", "notify", "test"]).await.exits(1).says("is of no use: it is not");
        assert!(!format!("{}{}", run.out, run.err).contains(CANARY), "{}{}", run.out, run.err);
    }
}
