//! What commands tell of what they did: the outcome as it is, and a next step that can be typed as it stands.

use std::process::{Command, Stdio};

use cnamed::config::Config;
use cnamed::model::name::Fqdn;
use cnamed::model::state::{Consents, Desired};
use cnamed::sandbox::{Action, CLOUDFLARE_TOKENS, DnsFault, Fault, NameServer, RecordAtAzure, Service};

use crate::foreign::{LABEL, NAME, at_cloudflare, cname, nothing_written};
use crate::support::Cloud;

#[tokio::test]
async fn a_label_that_could_not_be_asked_for_is_named_and_nothing_is_called_in_sync() {
    let cloud = Cloud::start().await;
    cloud.run(&["sync"]).await.exits(0);
    cloud.sandbox.control().dns_fault(NameServer::Label, Some(DnsFault::Refused));
    let run = cloud.run(&["status"]).await.exits(5);
    let headline = run.out.lines().next().unwrap();
    assert!(headline.starts_with("Not verified: the label in DNS of jumpstation.example.com"), "{headline}");
    assert!(headline.contains("REFUSED"), "{headline}");
    // A resolver is no authority, and decides nothing.
    cloud.sandbox.control().clear_faults();
    cloud.sandbox.control().dns_fault(NameServer::Recursive, Some(DnsFault::Refused));
    cloud.run(&["status"]).await.exits(0).says("REFUSED");
}

#[tokio::test]
async fn a_plan_claims_nothing_of_name_servers_that_it_does_not_ask() {
    let cloud = Cloud::start().await;
    cloud.run(&["sync"]).await.exits(0);
    let run =
        cloud.run(&["plan"]).await.exits(0).says("Unchanged: nothing to do; name servers were not asked.");
    assert!(!run.out.contains("In sync"), "{}", run.out);
}

#[tokio::test]
async fn a_refusal_beside_what_was_done_does_not_hide_it() {
    let cloud = Cloud::start().await;
    cloud.run(&["sync"]).await.exits(0);
    let control = cloud.sandbox.control();
    control.set_record_azure(&cname("old.example.com", LABEL, 1, Some("demo"))).unwrap();
    control.delete_record_azure(NAME, "CNAME").unwrap();
    control.set_record_azure(&cname(NAME, LABEL, 30, None)).unwrap();
    let run = cloud.run(&["sync"]).await.exits(4).says("done  delete  old.example.com in azure");
    let headline = run.out.lines().next().unwrap();
    assert!(headline.starts_with("Refused: 1 change made"), "{headline}");
}

#[track_caller]
fn in_order(text: &str, parts: &[&str]) {
    let places: Vec<Option<usize>> = parts.iter().map(|part| text.find(part)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{parts:?} at {places:?} in {text}");
}

#[tokio::test]
async fn what_went_wrong_is_told_before_what_is_merely_to_be_known_and_the_next_step_last() {
    let cloud = Cloud::with(|options| options.gateway = true).await;
    cloud.append("[[record]]\nname = \"www.example.com\"\nendpoint = \"jump\"\naccounts = [\"azure\"]\n");
    let control = cloud.sandbox.control();
    control.set_record_azure(&RecordAtAzure::new("www.example.com", "A", "192.0.2.80")).unwrap();
    control.fault(Fault::on(Service::Cloudflare, Action::Reset).always());
    let note = "has no way out to the internet";
    let run = cloud.run(&["plan"]).await;
    in_order(&run.out, &["could not read:", "blocked  ", "refused  ", "note     ", note]);
    let run = cloud.run(&["sync"]).await;
    in_order(&run.out, &["Waiting", "could not read:", "refused (foreign)", "next: ", "Notes", note]);
}

fn namesakes() -> Desired {
    let endpoint = |name: &str, label: &str| {
        format!(
            "[[endpoint]]\nname = \"{name}\"\nresource_group = \"rg\"\nlocation = \"westeurope\"\n\
             public_ip = \"pip-{label}\"\nlabel = \"{label}\"\n"
        )
    };
    let record = |name: &str, endpoint: &str| {
        format!("[[record]]\nname = \"{name}\"\nendpoint = \"{endpoint}\"\naccounts = [\"azure\"]\n")
    };
    let text = [
        "owner = \"ops\"\n[azure]\nsubscription = \"00000000-0000-0000-0000-000000000000\"\n".to_owned(),
        endpoint("jump.example.com", "label-one"),
        endpoint("other", "label-two"),
        "[[account]]\nname = \"azure\"\nprovider = \"azure-dns\"\nresource_group = \"rg-dns\"\n".to_owned(),
        record("jump.example.com", "other"),
        record("www.example.com", "jump.example.com"),
        record("third.example.com", "other"),
    ];
    Config::parse(&text.concat(), "cnamed.toml").unwrap().desired(Consents::default())
}

fn reached(desired: &Desired) -> (Vec<&str>, Vec<&str>) {
    let endpoints = desired.endpoints.keys().map(|name| name.as_str());
    (endpoints.collect(), desired.records.keys().map(|key| key.name.as_str()).collect())
}

#[test]
fn a_name_reaches_no_endpoint_but_the_one_that_is_called_so() {
    let narrowed = namesakes().only("jump.example.com").unwrap();
    assert_eq!(reached(&narrowed), (vec!["jump.example.com"], vec!["www.example.com"]));
    let narrowed = namesakes().only("third.example.com").unwrap();
    assert_eq!(reached(&narrowed), (vec!["other"], vec!["third.example.com"]));
    assert_eq!(namesakes().only("nobody"), None);
}

#[test]
fn a_command_for_records_and_one_for_endpoints_take_a_name_each_in_its_own_sense() {
    let narrowed = namesakes().only_record(&Fqdn::parse("jump.example.com").unwrap()).unwrap();
    assert_eq!(reached(&narrowed), (vec!["other"], vec!["jump.example.com"]));
    assert_eq!(namesakes().only_record(&Fqdn::parse("other.example.com").unwrap()), None);
    let narrowed = namesakes().only_endpoint("jump.example.com").unwrap();
    assert_eq!(reached(&narrowed), (vec!["jump.example.com"], vec!["www.example.com"]));
    assert_eq!(namesakes().only_endpoint("www.example.com"), None);
}

#[tokio::test]
async fn one_account_that_is_down_keeps_no_reviewed_change_from_the_other() {
    let cloud = Cloud::start().await;
    cloud.run(&["sync"]).await.exits(0);
    let file = cloud.folder.path().join("cloudflare-token");
    std::fs::write(&file, CLOUDFLARE_TOKENS.expired).unwrap();
    // Every answer of the provider carries a request id of its own, and so does every reading of it.
    let run = cloud.run(&["remove", NAME, "--yes"]).await.exits(6);
    run.says("done  delete  jumpstation.example.com in azure").says("could not read: zones of cf");
    let control = cloud.sandbox.control();
    assert_eq!(control.record_azure(NAME, "CNAME"), None);
    assert!(at_cloudflare(&cloud, NAME).is_some());

    std::fs::write(&file, CLOUDFLARE_TOKENS.good).unwrap();
    cloud.run(&["sync"]).await.exits(0);
    std::fs::write(&file, CLOUDFLARE_TOKENS.expired).unwrap();
    let plan = cloud.folder.path().join("plan.json");
    let plan = plan.to_str().unwrap();
    cloud.replace("ttl = 30", "ttl = 60");
    cloud.run(&["plan", "--out", plan]).await.exits(6);
    cloud.run(&["sync", "--plan", plan]).await.exits(6).says("TTL 30s becomes 60s");
}

#[tokio::test]
async fn a_name_that_no_account_has_a_zone_for_cannot_be_removed() {
    let cloud = Cloud::start().await;
    let run = cloud.run(&["remove", "jump.example.org", "--yes"]).await.exits(2);
    run.says("no account holds a zone for jump.example.org");
    nothing_written(&cloud);
}

#[tokio::test]
async fn what_somebody_else_made_is_refused_and_not_called_removed() {
    let cloud = Cloud::start().await;
    cloud.run(&["sync"]).await.exits(0);
    let control = cloud.sandbox.control();
    control.set_record_azure(&cname("theirs.example.com", LABEL, 30, None)).unwrap();
    control.set_record_azure(&cname("others.example.com", LABEL, 30, Some("elsewhere"))).unwrap();
    cloud.sandbox.forget_requests();
    for (name, said) in
        [("theirs.example.com", "without our mark"), ("others.example.com", "with the mark of elsewhere")]
    {
        let run = cloud.run(&["remove", name, "--yes"]).await.exits(4);
        let run = run.says(&format!("refused (foreign): {name} in azure")).says(said);
        assert!(!run.out.contains("Notes"), "it is told once:\n{}", run.out);
        let told = cloud.run(&["--format", "json", "remove", name, "--yes"]).await.exits(4).json();
        assert_eq!(
            (&told["refused"][0]["rule"], &told["notes"]),
            (&"foreign".into(), &serde_json::json!([]))
        );
    }
    nothing_written(&cloud);

    // Where one of ours stands too, that is withdrawn; what is not ours is told, and stays.
    control.delete_record_azure(NAME, "CNAME").unwrap();
    control.set_record_azure(&RecordAtAzure::new(NAME, "A", "192.0.2.9")).unwrap();
    cloud.run(&["remove", NAME, "--yes"]).await.exits(0).says("does not carry our mark, and stays");
    assert_eq!(at_cloudflare(&cloud, NAME), None);
    assert!(control.record_azure(NAME, "A").is_some());
}

#[tokio::test]
async fn a_name_that_stands_nowhere_is_told_as_such() {
    let cloud = Cloud::start().await;
    let run = cloud.run(&["remove", "nothing.example.com", "--yes"]).await.exits(0);
    let run = run.says("Unchanged: nothing of ours stands at nothing.example.com.");
    assert!(!run.out.contains("In sync"), "{}", run.out);
    let told =
        cloud.run(&["--format", "json", "remove", "nothing.example.com", "--yes"]).await.exits(0).json();
    assert_eq!(told["outcome"], "in-sync");
}

#[tokio::test]
async fn whoever_wants_no_asides_sees_what_is_asked_about() {
    let cloud = Cloud::start().await;
    cloud.run(&["sync"]).await.exits(0);
    let run = cloud.run(&["-q", "remove", NAME]).await.exits(2).says("Read the plan above");
    assert!(run.err.contains("delete  jumpstation.example.com in azure"), "{}", run.err);
}

#[tokio::test]
async fn what_is_said_to_be_typed_next_does_what_was_shown() {
    let cloud = Cloud::start().await;
    cloud.run(&["plan", "--only", NAME]).await.exits(3).says(&format!("with: cnamed sync --only {NAME}\n"));
    cloud.run(&["status", "jump"]).await.says("make it so with: cnamed sync --only jump\n");
    cloud.run(&["sync"]).await.exits(0);
    cloud.replace("contoso-jump", "contoso-leap");
    let run = cloud.run(&["plan", "--allow", "relabel"]).await.exits(3);
    run.says("Make it so with: cnamed sync --allow relabel\n");
    let plan = cloud.folder.path().join("my plan.json");
    let plan = plan.to_str().unwrap();
    let run = cloud.run(&["plan", "--allow", "relabel", "--out", plan]).await.exits(3);
    run.says(&format!("run it with: cnamed sync --plan '{plan}'"));
    // What is refused is not made so by any sync.
    cloud.sandbox.control().set_record_azure(&cname("old.example.com", LABEL, 1, Some("demo"))).unwrap();
    let run = cloud.run(&["plan"]).await.exits(4).says("delete  old.example.com in azure");
    assert!(!run.out.contains("Make it so"), "{}", run.out);
}

#[tokio::test]
async fn a_result_that_could_not_be_written_is_no_success_and_a_closed_pipe_is_no_failure() {
    let cloud = Cloud::start().await;
    let run = |arguments: &'static [&str], into: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cnamed"));
        command.arg("--config").arg(&cloud.config).args(arguments).stdin(Stdio::null()).stdout(into);
        command.stderr(Stdio::piped()).spawn().unwrap()
    };
    for arguments in [&["config", "show"][..], &["config", "check"], &["--format", "json", "config", "check"]]
    {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let ended = run(arguments, full.into()).wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}: {told}");
        assert!(told.contains("could not write the result: No space left on device"), "{told}");
        let mut child = run(arguments, Stdio::piped());
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{arguments:?}");
    }
}

#[tokio::test]
async fn a_sound_configuration_is_told_in_json_with_its_warnings() {
    let cloud = Cloud::start().await;
    cloud.replace("label = \"contoso-jump\"", "label = \"contoso-login\"");
    let told = cloud.run(&["--format", "json", "config", "check"]).await.exits(0).json();
    assert!(told.get("outcome").is_none(), "no outcome of a round: {told:#}");
    let warning = &told["warnings"][0];
    assert!(warning["problem"].as_str().unwrap().contains("DomainNameLabelReserved"), "{told:#}");
    assert!(warning["line"].is_u64() && warning["remedy"].is_string(), "{told:#}");
    let counts = ["endpoints", "accounts", "records"].map(|kind| told[kind].as_u64().unwrap());
    assert_eq!((&told["version"], &told["sound"], counts), (&1.into(), &true.into(), [1, 2, 1]));
}
