//! A sandbox cloud and a client of its Resource Manager, as the Azure tests share them.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test speaks by panicking, in its helping functions too"
)]
#![allow(
    clippy::field_reassign_with_default,
    reason = "`Options` may grow, so it has no literal outside its crate"
)]

use std::sync::Arc;
use std::time::Duration;

use cnamed::model::endpoint::{Allocation, Endpoint, Handle, Intent, LabelScope, PublicIp, PublicIpSpec};
use cnamed::model::name::DnsLabel;
use cnamed::model::plan::NetworkChange;
use cnamed::model::record::Owner;
use cnamed::provider::azure::{Arm, ClientSecret, Cloud, CredentialSettings, Settings};
use cnamed::provider::http::{self, Http};
use cnamed::sandbox::{AZURE_IDENTITY, LoggedRequest, Options, Sandbox, Service};

/// A sandbox, and what a person would configure to work in it.
pub(crate) struct Rehearsal {
    pub(crate) sandbox: Sandbox,
    pub(crate) http: Arc<Http>,
}

impl Rehearsal {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(adjust: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::default();
        options.operation_delay = Duration::from_millis(150);
        adjust(&mut options);
        let sandbox = Sandbox::start(options).await.expect("the sandbox starts");
        let settings = http::Settings {
            extra_ca: Some(sandbox.ca_pem().as_bytes().to_vec()),
            attempt: Duration::from_secs(3),
            deadline: Duration::from_secs(10),
        };
        let http = Http::new(&settings).expect("the certificate is one");
        Self { sandbox, http }
    }

    pub(crate) fn cloud(&self) -> Cloud {
        let addresses = self.sandbox.addresses();
        let url = |text: &str| text.parse().expect("an address");
        Cloud::custom(
            url(&addresses.resource_manager),
            url(&addresses.authority),
            addresses.resource_manager.clone(),
            "cloudapp.azure.com".into(),
        )
    }

    pub(crate) fn arm(&self) -> Arc<Arm> {
        self.arm_as(secret(AZURE_IDENTITY.client_id, AZURE_IDENTITY.client_secret))
    }

    pub(crate) fn arm_as(&self, credential: CredentialSettings) -> Arc<Arm> {
        let subscription = AZURE_IDENTITY.subscription.into();
        let settings = Settings { subscription, cloud: self.cloud(), credential };
        let arm = Arm::new(&self.http, &settings).expect("a usable credential");
        Arc::new(arm.with_operation_deadline(Duration::from_secs(5)))
    }

    /// What Resource Manager was asked since the last time, as `METHOD last/parts`.
    pub(crate) fn asked(&self) -> Vec<LoggedRequest> {
        let asked = self.sandbox.requests();
        self.sandbox.forget_requests();
        asked.into_iter().filter(|request| request.service == Service::Arm).collect()
    }

    /// As [`Self::asked`], the methods alone.
    pub(crate) fn methods(&self) -> Vec<String> {
        self.asked().into_iter().map(|request| request.method).collect()
    }
}

pub(crate) fn secret(client_id: &str, secret: &str) -> CredentialSettings {
    CredentialSettings::ClientSecret(ClientSecret {
        tenant: AZURE_IDENTITY.tenant.into(),
        client_id: client_id.into(),
        secret: secret.to_owned().into(),
    })
}

pub(crate) fn owner() -> Owner {
    Owner::parse("demo").expect("an owner")
}

pub(crate) fn handle(text: &str) -> Handle {
    Handle::parse(text).expect("a handle")
}

pub(crate) fn endpoint(label: &str) -> Endpoint {
    Endpoint {
        name: handle("jump"),
        public_ip: PublicIpSpec {
            resource_group: "rg-mgmt".into(),
            name: "pip-jump".into(),
            location: "westeurope".into(),
            label: DnsLabel::parse(label).expect("a label"),
            label_scope: None,
            allocation: Allocation::Static,
            zones: Vec::new(),
        },
        gateway: None,
        intent: Intent::Hold,
    }
}

pub(crate) fn scoped(mut endpoint: Endpoint, scope: LabelScope) -> Endpoint {
    endpoint.public_ip.label_scope = Some(scope);
    endpoint
}

pub(crate) fn change(endpoint: &Endpoint, held: Option<PublicIp>) -> NetworkChange {
    NetworkChange { endpoint: endpoint.name.clone(), spec: endpoint.public_ip.clone(), held, delete: false }
}

pub(crate) fn deletion(endpoint: &Endpoint, held: PublicIp) -> NetworkChange {
    NetworkChange { delete: true, ..change(endpoint, Some(held)) }
}
