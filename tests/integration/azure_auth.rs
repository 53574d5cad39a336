//! Credentials against a token service, and what is said when they are wrong.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test speaks by panicking, in its helping functions too"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cnamed::model::state::Seen;
use cnamed::provider::azure::{
    Arm, AzureDns, AzureNetwork, ClientCertificate, ClientSecret, CredentialSettings, Settings,
};
use cnamed::provider::{DnsProvider, Kind, NetworkProvider};
use cnamed::sandbox::{AZURE_IDENTITY, Action, Fault, Service};

use crate::azure_cloud::{Rehearsal, endpoint, handle, secret};

async fn reason(rehearsal: &Rehearsal, credential: CredentialSettings) -> String {
    let network = AzureNetwork::new(rehearsal.arm_as(credential));
    match network.observe(&endpoint("contoso-jump")).await.public_ip {
        Seen::Unknown(reason) => reason,
        seen => panic!("{seen:?} with a credential that should not do"),
    }
}

#[tokio::test]
async fn one_token_serves_many_requests_and_is_renewed_in_time() {
    let rehearsal = Rehearsal::start().await;
    let network = Arc::new(AzureNetwork::new(rehearsal.arm()));
    let endpoint = endpoint("contoso-jump");
    futures::future::join_all((0..5).map(|_| network.observe(&endpoint))).await;
    let tokens =
        || rehearsal.sandbox.requests().iter().filter(|request| request.path.ends_with("/token")).count();
    assert_eq!(tokens(), 1, "five requests started together");

    // Resource Manager is asked twice each time: for the address, and for its label.
    for (seconds, expected, why) in [
        (200, 1, "a token that could be renewed is good for a while"),
        (20, 4, "a token that may expire on its way is not"),
    ] {
        let short = Rehearsal::with(|options| options.token_lifetime = Duration::from_secs(seconds)).await;
        let network = AzureNetwork::new(short.arm());
        network.observe(&endpoint).await;
        network.observe(&endpoint).await;
        let asked =
            short.sandbox.requests().iter().filter(|request| request.path.ends_with("/token")).count();
        assert_eq!(asked, expected, "{why}");
    }
}

#[tokio::test]
async fn a_wrong_secret_is_told_with_the_next_step_and_not_tried_at_once_again() {
    let rehearsal = Rehearsal::start().await;
    let network = AzureNetwork::new(rehearsal.arm_as(secret(AZURE_IDENTITY.client_id, "guessed")));
    for _ in 0..3 {
        let Seen::Unknown(reason) = network.observe(&endpoint("contoso-jump")).await.public_ip else {
            panic!("a wrong secret works");
        };
        assert!(reason.contains("AADSTS7000215") && reason.contains("not its id"), "{reason}");
        assert!(!reason.contains("guessed"), "{reason}");
    }
    let tokens = rehearsal.sandbox.requests().len();
    assert_eq!(tokens, 1, "and nothing was sent to Resource Manager");
}

#[tokio::test]
async fn an_unknown_tenant_is_told_from_a_wrong_secret() {
    let rehearsal = Rehearsal::start().await;
    let reason = reason(
        &rehearsal,
        CredentialSettings::ClientSecret(ClientSecret {
            tenant: "00000000-0000-4000-8000-00000000dead".into(),
            client_id: AZURE_IDENTITY.client_id.into(),
            secret: AZURE_IDENTITY.client_secret.to_owned().into(),
        }),
    )
    .await;
    assert!(reason.contains("AADSTS90002") && reason.contains("check tenant"), "{reason}");
}

#[tokio::test]
async fn an_expired_token_obtained_elsewhere_is_called_expired_or_invalid() {
    let rehearsal = Rehearsal::start().await;
    let reason = reason(&rehearsal, CredentialSettings::Token("nonsense".to_owned().into())).await;
    assert!(reason.contains("InvalidAuthenticationToken"), "{reason}");
    assert!(reason.contains("audience"), "{reason}");
    assert!(!reason.contains("nonsense"), "{reason}");
}

#[tokio::test]
async fn a_missing_role_is_named_with_its_scope() {
    let rehearsal = Rehearsal::start().await;
    rehearsal
        .sandbox
        .control()
        .grant(AZURE_IDENTITY.reader_client_id, &["Microsoft.Network/dnszones/read"], "/")
        .expect("there is a reader");
    let reader = secret(AZURE_IDENTITY.reader_client_id, AZURE_IDENTITY.reader_client_secret);
    let reason = reason(&rehearsal, reader).await;
    assert!(
        reason.contains("grant \"Microsoft.Network/publicIPAddresses/read\" on /subscriptions/"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_login_service_that_fails_is_not_a_wrong_credential() {
    let rehearsal = Rehearsal::start().await;
    rehearsal.sandbox.control().fault(Fault::on(Service::Authority, Action::Reset).always());
    let dns = AzureDns::new(handle("azure"), rehearsal.arm(), "rg-dns".into(), None, None, None);
    let error = dns.zones().await.expect_err("no token can be had");
    assert_eq!(error.kind(), Kind::Unreachable, "{}", error.chain());
    assert!(error.chain().contains("tls.extra_ca"), "{}", error.chain());
    rehearsal.sandbox.control().clear_faults();
    dns.zones().await.expect("the next round asks again");
}

#[tokio::test]
async fn the_default_chain_takes_what_the_environment_offers() {
    let rehearsal = Rehearsal::start().await;
    let CredentialSettings::ClientSecret(from_environment) =
        secret(AZURE_IDENTITY.client_id, AZURE_IDENTITY.client_secret)
    else {
        panic!("not a secret")
    };
    let credential = CredentialSettings::Default { environment: Some(from_environment), client_id: None };
    let network = AzureNetwork::new(rehearsal.arm_as(credential));
    assert_eq!(network.observe(&endpoint("contoso-jump")).await.public_ip, Seen::Absent);
}

#[tokio::test]
async fn a_chain_that_leads_nowhere_tells_every_link() {
    // Wherever this runs, nobody but the rehearsal's own principals has a token for it.
    let rehearsal = Rehearsal::start().await;
    let credential = CredentialSettings::Default { environment: None, client_id: None };
    let reason = reason(&rehearsal, credential).await;
    assert!(reason.contains("no credential gave a token"), "{reason}");
    for link in [
        "client-secret: AZURE_CLIENT_SECRET is not set",
        "workload-identity: ",
        "managed-identity: ",
        "azure-cli: ",
    ] {
        assert!(reason.contains(link), "{link} is missing from {reason}");
    }
    assert!(!reason.contains("non-transport"), "{reason}");
}

#[tokio::test]
async fn what_cannot_be_used_is_said_before_anything_is_sent() {
    let rehearsal = Rehearsal::start().await;
    let refused = |credential| {
        let subscription = AZURE_IDENTITY.subscription.into();
        let settings = Settings { subscription, cloud: rehearsal.cloud(), credential };
        Arm::new(&rehearsal.http, &settings).expect_err("cannot be used").chain()
    };
    let certificate = refused(CredentialSettings::ClientCertificate(ClientCertificate {
        tenant: AZURE_IDENTITY.tenant.into(),
        client_id: AZURE_IDENTITY.client_id.into(),
        pem: "nothing of the kind".to_owned().into(),
    }));
    assert!(certificate.contains("no certificate in PEM form"), "{certificate}");
    let empty = refused(secret(AZURE_IDENTITY.client_id, ""));
    assert!(empty.contains("the client secret is empty"), "{empty}");
    let workload =
        refused(CredentialSettings::WorkloadIdentity { tenant: None, client_id: None, token_file: None });
    assert!(workload.contains("AZURE_FEDERATED_TOKEN_FILE"), "{workload}");
    assert_eq!(rehearsal.sandbox.requests().len(), 0);
}

#[tokio::test]
async fn a_certificate_signs_for_its_application() {
    let rehearsal = Rehearsal::start().await;
    let reason = reason(
        &rehearsal,
        CredentialSettings::ClientCertificate(ClientCertificate {
            tenant: AZURE_IDENTITY.tenant.into(),
            client_id: AZURE_IDENTITY.client_id.into(),
            pem: include_str!("../data/application.pem").to_owned().into(),
        }),
    )
    .await;
    // The rehearsal knows secrets alone: what counts here is that it was asked, and that it is told who said no.
    assert!(reason.contains("client-certificate: AADSTS"), "{reason}");
}

/// Everything that any crate logs, as text.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Journal {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_secret_reaches_a_log_at_any_level() {
    // While there is but one subscriber, what another thread logs first is held to interest nobody: tests run side by side.
    let _another = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let journal = Journal::default();
    let written = journal.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || written.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        tracing::callsite::rebuild_interest_cache();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let rehearsal = Rehearsal::start().await;
            AzureNetwork::new(rehearsal.arm()).observe(&endpoint("contoso-jump")).await;
            let token = CredentialSettings::Token("a-token-obtained-elsewhere".to_owned().into());
            AzureNetwork::new(rehearsal.arm_as(token)).observe(&endpoint("contoso-jump")).await;
        });
    });
    let text = String::from_utf8_lossy(&journal.0.lock().expect("not poisoned")).into_owned();
    // The generated pipeline shows `Authorization` in clear: what it shows must be the stand-in.
    assert!(text.contains("put-in-place-by-the-transport"), "the generated pipeline logs no more: {text}");
    for secret in
        [AZURE_IDENTITY.client_secret, "sandbox%7Ewriter%7Esecret", "a-token-obtained-elsewhere", "Bearer ey"]
    {
        assert!(!text.contains(secret), "{secret} was logged");
    }
}
