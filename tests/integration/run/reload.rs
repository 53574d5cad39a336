//! A new configuration that takes something away, and the one after it that puts it back.

use serde_json::Value;

use super::Run;
use super::ear::Ear;
use crate::killed::{BOTH, label, on_the_label};
use crate::support::Cloud;

fn named(numbers: std::ops::Range<u32>) -> String {
    let record = |number| {
        format!(
            "\n[[record]]\nname = \"n{number}.example.com\"\nendpoint = \"jump\"\naccounts = [\"azure\"]\nttl = 30\n"
        )
    };
    numbers.map(record).collect()
}

/// How many of the five names there are.
fn there(cloud: &Cloud) -> usize {
    let control = cloud.sandbox.control();
    (0..5).filter(|n| control.record_azure(&format!("n{n}.example.com"), "CNAME").is_some()).count()
}

impl Run {
    /// Gives the service another configuration, and waits for the round that it begins.
    async fn takes(&self, cloud: &Cloud, text: &str) -> Value {
        let before = self.get("/status.json").await.expect("it answers").1;
        let before: Value = serde_json::from_str(&before).unwrap();
        std::fs::write(&cloud.config, text).unwrap();
        self.signal("-HUP").await;
        let is_new = |shown: &Value| {
            shown["last"]["trigger"] == "reload" && shown["last"]["at"] != before["last"]["at"]
        };
        self.shows("a round of the new configuration", is_new).await
    }
}

#[tokio::test]
async fn names_that_a_new_configuration_drops_are_withdrawn_within_limits_and_the_label_stays() {
    let cloud = Cloud::start().await;
    let ear = Ear::of(&cloud);
    let run = Run::every(&cloud, "1h").await;
    run.in_sync().await;
    let bare = std::fs::read_to_string(&cloud.config).unwrap();
    let all = bare.clone() + &named(0..5);
    run.takes(&cloud, &all).await;
    assert_eq!(there(&cloud), 5);
    let held = label(&cloud);

    // One may go; what it stood on is not given up for it.
    cloud.sandbox.forget_requests();
    run.takes(&cloud, &(bare.clone() + &named(1..5))).await;
    assert_eq!(there(&cloud), 4);
    let writes = cloud.writes();
    let deleted =
        |write: &cnamed::sandbox::LoggedRequest| write.method == "DELETE" && write.path.contains("/n0");
    assert!(writes.len() == 1 && writes.iter().all(deleted), "{writes:#?}");
    assert_eq!(label(&cloud), held);
    assert!(ear.heard("refusal").is_empty(), "{:#?}", ear.heard("refusal"));

    // Four at once are more than the limit allows, so that none goes.
    cloud.sandbox.forget_requests();
    let shown = run.takes(&cloud, &bare).await;
    assert_eq!(shown["last"]["outcome"], "refused", "{:#}", shown["last"]);
    let refused = &shown["last"]["refused"][0];
    assert_eq!(refused["rule"], "too-many-deletes", "{refused:#}");
    assert!(refused["reason"].as_str().unwrap().contains("limits.deletes_per_round is 3"), "{refused:#}");
    ear.hears("refusal", "too-many-deletes").await;
    let heard = ear.heard("refusal");
    assert!(heard[0]["next_step"].as_str().unwrap().contains("--allow deletes"), "{heard:#?}");
    // A round later it still holds.
    run.signal("-USR1").await;
    run.shows("a round by signal", |shown| shown["last"]["trigger"] == "signal").await;
    assert!(cloud.writes().is_empty() && there(&cloud) == 4, "{:#?}", cloud.writes());
    on_the_label(&cloud, &BOTH, "what is still named is kept right");
    assert_eq!(ear.heard("refusal").len(), 1, "told once");

    // Put back, they were never gone.
    run.takes(&cloud, &(bare.clone() + &named(1..5))).await;
    run.in_sync().await;
    assert!(cloud.writes().is_empty() && there(&cloud) == 4, "{:#?}", cloud.writes());
    ear.hears("recovery", "too-many-deletes").await;
    run.takes(&cloud, &all).await;
    run.in_sync().await;
    assert_eq!(there(&cloud), 5, "the one that was gone is back");
    run.end().await;
}

#[tokio::test]
async fn a_new_label_in_a_new_configuration_is_refused_with_what_allows_it_and_frees_nothing() {
    let cloud = Cloud::start().await;
    let ear = Ear::of(&cloud);
    let run = Run::every(&cloud, "1h").await;
    run.in_sync().await;
    let good = std::fs::read_to_string(&cloud.config).unwrap();
    let held = label(&cloud);
    cloud.sandbox.forget_requests();
    let shown = run.takes(&cloud, &good.replace("contoso-jump", "contoso-bastion")).await;
    assert_eq!(shown["last"]["refused"][0]["rule"], "relabel", "{:#}", shown["last"]);
    ear.hears("refusal", "relabel").await;
    assert!(ear.heard("refusal")[0]["next_step"].as_str().unwrap().contains("cnamed sync --allow relabel"));
    assert_eq!(label(&cloud), held);
    on_the_label(&cloud, &BOTH, "refused");
    run.takes(&cloud, &good).await;
    run.in_sync().await;
    assert!(cloud.writes().is_empty(), "{:#?}", cloud.writes());
    run.end().await;
}

#[tokio::test]
async fn a_new_configuration_that_names_nothing_withdraws_nothing() {
    let cloud = Cloud::start().await;
    let run = Run::every(&cloud, "1h").await;
    run.in_sync().await;
    let good = std::fs::read_to_string(&cloud.config).unwrap();
    let (head, tail) = good.split_once("[[record]]").unwrap();
    let rest = tail.split_once("\n\n").unwrap().1;
    let nameless = head.to_owned() + rest;
    cloud.sandbox.forget_requests();
    let shown = run.takes(&cloud, &nameless).await;
    assert_eq!(shown["last"]["refused"][0]["rule"], "wanted-empty", "{:#}", shown["last"]);
    assert!(cloud.writes().is_empty(), "{:#?}", cloud.writes());
    on_the_label(&cloud, &BOTH, "a configuration that names nothing is more likely a mistake");
    run.takes(&cloud, &good).await;
    run.in_sync().await;
    assert!(cloud.writes().is_empty(), "{:#?}", cloud.writes());
    run.end().await;
}

#[tokio::test]
async fn what_a_service_holds_to_its_end_is_said_to_wait_for_the_next_start() {
    let cloud = Cloud::start().await;
    let mut run = Run::every(&cloud, "1h").await;
    run.in_sync().await;
    let good = std::fs::read_to_string(&cloud.config).unwrap();
    let elsewhere = cloud.folder.path().join("elsewhere");
    let moved = good
        .replace("listen = \"127.0.0.1:0\"", "listen = \"127.0.0.1:9\"\nnames = [\"watch.example.com\"]")
        .replace("[state]\ndirectory", &format!("[state]\ndirectory = \"{}\"\n#", elsewhere.display()));
    run.takes(&cloud, &moved).await;
    for setting in ["http.listen", "http.names", "state.directory"] {
        run.logs(setting, |line| line["setting"] == setting && line["level"] == "WARN").await;
    }
    assert!(!elsewhere.exists());
    run.takes(&cloud, &good).await;
    let (_, _, told) = run.end().await;
    let said = told.iter().filter(|line| line["message"] == "takes effect at the next start only").count();
    assert_eq!(said, 3, "what is as it was at the start waits for nothing: {told:#?}");
}
