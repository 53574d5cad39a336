//! A credential is revoked while the service works, and given back.

use cnamed::sandbox::{AZURE_IDENTITY, Action, Fault, Service};
use serde_json::{Value, json};

use super::ear::Ear;
use super::{NAME, Run, impatient};
use crate::foreign::at_cloudflare;
use crate::killed::{BOTH, on_the_label};
use crate::support::Cloud;

fn refusing(service: Service, status: u16, body: Value) -> Fault {
    Fault::on(service, Action::Status { status, headers: Vec::new(), body }).always()
}

/// Waits until `account` is left alone, and until that makes the service unready for this reason.
async fn is_missed(run: &Run, account: &str, why: &str) {
    let rests = |shown: &Value| {
        let resting = shown["resting"].as_array().into_iter().flatten();
        resting.into_iter().any(|resting| resting["account"] == account)
    };
    run.shows(&format!("{account} at rest"), rests).await;
    let says = |shown: &Value| shown["reason"].as_str().is_some_and(|reason| reason.contains(why));
    run.shows(&format!("that it is not ready for {why}"), |shown| shown["ready"] == false && says(shown))
        .await;
}

/// What was told of `whose` from the beginning of the trouble to its end: one notice of each.
async fn was_told_once(ear: &Ear, whose: &str) {
    let words = format!("{whose} cannot be read");
    ear.hears("recovery", &words).await;
    assert_eq!(ear.times("failure", &words), 1, "{:#?}", ear.heard("failure"));
    let over = ear.heard("recovery");
    let is_it = |notice: &&Value| notice["title"].as_str().unwrap().contains(&words);
    let title = over.iter().find(is_it).unwrap()["title"].as_str().unwrap();
    assert!(title.starts_with("recovered after "), "{title}");
    assert_eq!(ear.times("recovery", &words), 1, "{over:#?}");
}

async fn settled() -> (Cloud, Ear, Run) {
    let cloud = Cloud::start().await;
    impatient(&cloud);
    let ear = Ear::of(&cloud);
    let run = Run::begin(&cloud).await;
    run.in_sync().await;
    (cloud, ear, run)
}

#[tokio::test]
async fn a_cloudflare_token_that_is_revoked_holds_nobody_and_is_taken_up_again() {
    let (cloud, ear, run) = settled().await;
    let control = cloud.sandbox.control();
    let errors = json!([{"code": 9109, "message": "Invalid access token"}]);
    let body = json!({"success": false, "errors": errors, "messages": [], "result": null});
    control.fault(refusing(Service::Cloudflare, 403, body));
    is_missed(&run, "cf", "9109").await;
    control.delete_record_azure(NAME, "CNAME").unwrap();
    run.shows("the healing", |_| control.record_azure(NAME, "CNAME").is_some()).await;
    control.clear_faults();
    run.in_sync().await;
    on_the_label(&cloud, &BOTH, "the token is back");
    was_told_once(&ear, "cf").await;
    run.end().await;
}

#[tokio::test]
async fn a_role_in_azure_dns_that_is_revoked_holds_nobody_and_is_taken_up_again() {
    let (cloud, ear, run) = settled().await;
    let control = cloud.sandbox.control();
    let network = ["Microsoft.Network/publicIPAddresses/*", "Microsoft.Network/locations/*"];
    control.grant(AZURE_IDENTITY.client_id, &network, "/").unwrap();
    is_missed(&run, "azure", "AuthorizationFailed").await;
    control.delete_record_cloudflare(NAME, "CNAME").unwrap();
    run.shows("the healing", |_| at_cloudflare(&cloud, NAME).is_some()).await;
    control.grant(AZURE_IDENTITY.client_id, &["*"], "/").unwrap();
    run.in_sync().await;
    on_the_label(&cloud, &BOTH, "the role is back");
    was_told_once(&ear, "azure").await;
    run.end().await;
}

#[tokio::test]
async fn a_client_secret_that_is_revoked_freezes_what_depends_on_it_and_is_taken_up_again() {
    let (cloud, ear, run) = settled().await;
    let control = cloud.sandbox.control();
    let before = control.records_without("");
    let description = "AADSTS7000222: The provided client secret keys for app are expired.";
    let body = json!({"error": "invalid_client", "error_description": description, "error_codes": [7000222]});
    control.fault(refusing(Service::Authority, 401, body));
    control.expire_tokens();
    cloud.sandbox.forget_requests();
    is_missed(&run, "endpoints", "AADSTS7000222").await;
    // Where the label leads is not known, so that nothing that follows it may be touched, wherever it stands.
    assert!(cloud.writes().is_empty(), "{:#?}", cloud.writes());
    assert_eq!(control.records_without(""), before);
    let tokens = cloud.sandbox.requests().into_iter().filter(|one| one.service == Service::Authority).count();
    assert!(tokens <= 12, "{tokens} attempts with a secret that was refused");
    control.clear_faults();
    run.in_sync().await;
    on_the_label(&cloud, &BOTH, "the secret is good again");
    was_told_once(&ear, "jump").await;
    assert!(cloud.writes().is_empty(), "{:#?}", cloud.writes());
    run.end().await;
}

const DNS_TOKEN: &str = "cloudflare-token";
const CLIENT_SECRET: &str = "azure-client-secret";

/// Takes a secret away, as a mount that is late or a rotation that stopped half-way does; gives what it was.
fn emptied(cloud: &Cloud, secret: &str) -> String {
    let path = cloud.folder.path().join(secret);
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, "").unwrap();
    good
}

fn put_back(cloud: &Cloud, secret: &str, good: &str) {
    std::fs::write(cloud.folder.path().join(secret), good).unwrap();
}

#[tokio::test]
async fn a_token_that_cannot_be_read_at_the_start_holds_nobody_and_is_taken_once_it_can_be() {
    let cloud = Cloud::start().await;
    impatient(&cloud);
    let ear = Ear::of(&cloud);
    let token = emptied(&cloud, DNS_TOKEN);
    cloud.run(&["sync"]).await.exits(2).says("the token of account cf");
    let run = Run::begin(&cloud).await;
    is_missed(&run, "cf", "cloudflare-token is empty").await;
    let control = cloud.sandbox.control();
    run.shows("the name at the other account", |_| control.record_azure(NAME, "CNAME").is_some()).await;
    put_back(&cloud, DNS_TOKEN, &token);
    run.in_sync().await;
    on_the_label(&cloud, &BOTH, "the token is there");
    was_told_once(&ear, "cf").await;

    // What works is not given up for what does not.
    emptied(&cloud, DNS_TOKEN);
    run.signal("-HUP").await;
    run.shows("that it is not taken", |shown| shown["troubles"].to_string().contains("was not taken")).await;
    control.delete_record_cloudflare(NAME, "CNAME").unwrap();
    run.signal("-USR1").await;
    run.shows("the healing", |_| at_cloudflare(&cloud, NAME).is_some()).await;
    run.end().await;
}

#[tokio::test]
async fn a_client_secret_that_cannot_be_read_at_the_start_is_taken_while_another_cannot_be() {
    let cloud = Cloud::start().await;
    impatient(&cloud);
    let ear = Ear::of(&cloud);
    let token = emptied(&cloud, DNS_TOKEN);
    let secret = emptied(&cloud, CLIENT_SECRET);
    let run = Run::begin(&cloud).await;
    is_missed(&run, "endpoints", "azure-client-secret is empty").await;
    let control = cloud.sandbox.control();
    put_back(&cloud, CLIENT_SECRET, &secret);
    run.shows("the name at the other account", |_| control.record_azure(NAME, "CNAME").is_some()).await;
    put_back(&cloud, DNS_TOKEN, &token);
    run.in_sync().await;
    on_the_label(&cloud, &BOTH, "both are there");
    was_told_once(&ear, "jump").await;
    run.end().await;
}

#[tokio::test]
async fn a_token_that_cannot_be_read_anew_works_on_as_it_was_and_is_read_again_by_itself() {
    let (cloud, ear, run) = settled().await;
    let control = cloud.sandbox.control();
    let token = emptied(&cloud, DNS_TOKEN);
    // Another's credential is denied, for which all of them are read anew.
    let network = ["Microsoft.Network/publicIPAddresses/*", "Microsoft.Network/locations/*"];
    control.grant(AZURE_IDENTITY.client_id, &network, "/").unwrap();
    let unread = "could not be read anew; the one from before is used: the token of account cf";
    let shown =
        run.shows("that it is not read", |shown| shown["troubles"].to_string().contains(unread)).await;
    let resting = shown["resting"].as_array().unwrap();
    assert!(resting.iter().all(|resting| resting["account"] == "azure"), "{resting:#?}");
    control.delete_record_cloudflare(NAME, "CNAME").unwrap();
    run.shows("the healing", |_| at_cloudflare(&cloud, NAME).is_some()).await;

    control.grant(AZURE_IDENTITY.client_id, &["*"], "/").unwrap();
    run.in_sync().await;
    let shown = run.shows("nobody at rest", |shown| shown["resting"] == json!([])).await;
    assert!(shown["troubles"].to_string().contains(unread), "{:#}", shown["troubles"]);
    put_back(&cloud, DNS_TOKEN, &token);
    run.shows("that it is read", |shown| shown["troubles"] == json!([])).await;
    ear.hears("service", "recovered after").await;
    assert_eq!(ear.times("service", "could not be read anew"), 2, "{:#?}", ear.heard("service"));
    assert_eq!(ear.times("failure", "cf cannot be read"), 0, "{:#?}", ear.heard("failure"));
    run.end().await;
}
