//! Credentials that are wrong, over, too weak or for something else; and secrets, which nobody ever reads.

use cnamed::sandbox::{AZURE_IDENTITY, Action, CLOUDFLARE_TOKENS, Fault, Service};
use serde_json::json;

use super::{said_once, status};
use crate::foreign::{NAME, at_cloudflare, settled};
use crate::support::{Cloud, Run};

fn secret(cloud: &Cloud, file: &str, text: &str) {
    std::fs::write(cloud.folder.path().join(file), text).unwrap();
}

#[tokio::test]
async fn a_cloudflare_token_that_does_not_work_is_told_and_azure_goes_on() {
    let cases = [
        (CLOUDFLARE_TOKENS.expired, "Invalid access token (9109)", "make a new one"),
        (CLOUDFLARE_TOKENS.disabled, "Invalid access token (9109)", "make a new one"),
        ("CANARY-wrong-00000000000000000000000000002", "Invalid access token (9109)", "make a new one"),
        ("CANARY broken", "Invalid format for Authorization header (6111)", "look for a stray newline"),
    ];
    for (token, said, remedy) in cases {
        let cloud = Cloud::start().await;
        secret(&cloud, "cloudflare-token", token);
        let run = cloud.run(&["-vv", "sync"]).await.exits(6).says("could not read: zones of cf").says(remedy);
        let run = said_once(run, said);
        assert!(!run.err.contains(token) && !run.out.contains(token), "{run:?}");
        assert!(cloud.writes().iter().all(|write| write.service == Service::Arm));
        assert!(cloud.sandbox.control().record_azure(NAME, "CNAME").is_some());
        secret(&cloud, "cloudflare-token", CLOUDFLARE_TOKENS.good);
        cloud.run(&["sync"]).await.exits(0);
    }
}

#[tokio::test]
async fn a_token_for_another_zone_is_refused_before_the_first_write() {
    let cloud = Cloud::start().await;
    secret(&cloud, "cloudflare-token", CLOUDFLARE_TOKENS.other_zone);
    let run = cloud.run(&["sync"]).await.exits(4).says("cf holds no zone for jumpstation.example.com");
    run.says("check what the table of cf limits it to");
    assert!(cloud.writes().is_empty());
}

#[tokio::test]
async fn a_token_that_may_only_read_is_told_with_the_permission_that_it_lacks() {
    let cloud = Cloud::start().await;
    secret(&cloud, "cloudflare-token", CLOUDFLARE_TOKENS.read_only);
    let run = cloud.run(&["sync"]).await.exits(6).says("failed: jumpstation.example.com in cf");
    run.says("Authentication error (10000)").says("Zone > DNS > Edit");
    assert_eq!(at_cloudflare(&cloud, NAME), None);
}

#[tokio::test]
async fn a_wrong_client_secret_stops_azure_once_and_for_all() {
    let cloud = Cloud::start().await;
    secret(&cloud, "azure-client-secret", "CANARY-wrong");
    let run = cloud.run(&["-vv", "sync"]).await.exits(1).says("AADSTS7000215");
    let run = run.says("the client secret is wrong: use the secret's value, not its id");
    assert!(!run.err.contains("CANARY") && !run.out.contains("CANARY"), "{run:?}");
    assert!(cloud.writes().is_empty());
    let asked = cloud.sandbox.requests();
    let tokens = asked.iter().filter(|request| request.path.contains("/oauth2/")).count();
    assert_eq!(tokens, 1, "a refused secret is not tried for each resource");
}

#[tokio::test]
async fn an_unknown_tenant_is_told_as_such() {
    let cloud = Cloud::start().await;
    cloud.replace(AZURE_IDENTITY.tenant, "7e9a4700-0000-4000-8000-00000000dead");
    cloud.run(&["sync"]).await.exits(1).says("AADSTS90002").says("tenant");
    assert!(cloud.writes().is_empty());
}

#[tokio::test]
async fn an_expired_access_token_is_told_as_such() {
    let cloud = Cloud::start().await;
    secret(&cloud, "bearer", "CANARY-bearer");
    cloud.configure(|text| {
        let gone = ["tenant = ", "client_id = ", "client_secret = "];
        let kept = text.lines().filter(|line| !gone.iter().any(|key| line.starts_with(key)));
        kept.fold(String::new(), |text, line| text + line + "\n")
    });
    let bearer = cloud.folder.path().join("bearer");
    let token = format!("credential = \"token\"\ntoken = {{ file = \"{}\" }}", bearer.display());
    cloud.replace("credential = \"client-secret\"", &token);
    let body = json!({"error": {"code": "ExpiredAuthenticationToken", "message": "The access token expiry UTC time is earlier than current UTC time."}});
    let headers = [("www-authenticate", "Bearer error=\"invalid_token\"")];
    cloud.sandbox.control().fault(Fault::on(Service::Arm, status(401, &headers, body)).always());
    let run =
        cloud.run(&["-vv", "sync"]).await.exits(1).says("ExpiredAuthenticationToken").says("get a new token");
    assert!(!run.err.contains("CANARY") && !run.out.contains("CANARY"), "{run:?}");
}

#[tokio::test]
async fn a_missing_role_is_told_with_the_action_and_the_scope() {
    let cloud = Cloud::start().await;
    cloud.replace(AZURE_IDENTITY.client_id, AZURE_IDENTITY.reader_client_id);
    secret(&cloud, "azure-client-secret", AZURE_IDENTITY.reader_client_secret);
    let run =
        cloud.run(&["sync"]).await.exits(1).says("failed: public IP of jump").says("AuthorizationFailed");
    run.says("grant \"Microsoft.Network/publicIPAddresses/write\" on /subscriptions/")
        .says("to this identity");
    assert_eq!(cloud.sandbox.control().public_ip("pip-jump"), None);

    let cloud = Cloud::start().await;
    let control = cloud.sandbox.control();
    let network = ["Microsoft.Network/publicIPAddresses/*", "Microsoft.Network/locations/*"];
    control.grant(AZURE_IDENTITY.client_id, &network, "/").unwrap();
    let run = cloud.run(&["sync"]).await.exits(6).says("could not read: zones of azure");
    run.says("grant \"Microsoft.Network/dnszones/read\" on /subscriptions/");
    assert!(at_cloudflare(&cloud, NAME).is_some(), "Cloudflare does not wait for Azure DNS");
    control.grant(AZURE_IDENTITY.client_id, &["*"], "/").unwrap();
    cloud.run(&["sync"]).await.exits(0);
    settled(&cloud).await;
}

#[track_caller]
fn keeps_secrets(run: &Run) {
    let said = format!("{}\n{}", run.out, run.err);
    let secrets = [
        AZURE_IDENTITY.client_secret,
        CLOUDFLARE_TOKENS.good,
        "sandbox~writer",
        "eyJ",
        "Bearer ",
        "client_secret=",
    ];
    for secret in secrets {
        assert!(!said.contains(secret), "{secret:?} was told:\n{said}");
    }
}

#[tokio::test]
async fn no_secret_is_ever_told_however_loud_and_however_bad() {
    let cloud = Cloud::start().await;
    let plan = cloud.folder.path().join("plan.json");
    let plan = plan.to_str().unwrap();
    let control = cloud.sandbox.control();
    for arguments in [
        &["-vv", "plan", "--out", plan][..],
        &["--log", "trace", "sync"],
        &["--log", "trace", "--format", "json", "status"],
        &["-vv", "config", "show"],
        &["-vv", "remove", NAME, "--yes"],
    ] {
        keeps_secrets(&cloud.run(arguments).await);
    }
    let kept = std::fs::read_to_string(plan).unwrap();
    assert!(!kept.contains("sandbox~") && !kept.contains("sandbox-good"), "{kept}");
    for action in [Action::Html { status: 200, headers: vec![] }, Action::Reset, Action::Truncated] {
        control.fault(Fault::on(Service::Authority, action).times(4));
        keeps_secrets(&cloud.run(&["--log", "trace", "sync"]).await);
        control.clear_faults();
    }
}
