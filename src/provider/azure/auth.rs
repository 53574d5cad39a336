//! Credentials: which, how a token is had, kept and renewed, and what to do when there is none.
//!
//! Tokens come from azure_identity 1.x. It re-reads a workload identity's federated token file when it renews a
//! token, supports user-assigned managed identities on machines and App Service, and does not support Azure Arc.

mod certificate;
mod claims;
mod explain;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use azure_core::cloud::CustomConfiguration;
use azure_core::credentials::{AccessToken, Secret, TokenCredential};
use azure_core::http::{ClientOptions, RetryOptions, Transport};
use azure_core::time::OffsetDateTime;
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, ClientAssertionCredential,
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions,
    ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential,
    WorkloadIdentityCredentialOptions,
};
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::cloud::Cloud;
use super::transport::IdentityTransport;
use crate::provider::http::Http;
use crate::provider::{Holder, Kind};

use self::certificate::Certificate;
use self::claims::Claims;
pub(super) use self::explain::TokenError;

/// Which credential to use.
#[derive(Clone, Debug)]
pub enum CredentialSettings {
    /// The first of these that gives a token: the environment's client secret, a workload identity, a managed
    /// identity, the Azure CLI.
    Default {
        /// What `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and `AZURE_CLIENT_SECRET` say, if they are set.
        environment: Option<ClientSecret>,
        /// The user-assigned managed identity, if that is meant.
        client_id: Option<String>,
    },
    /// The managed identity of the machine or App Service that this runs on.
    ManagedIdentity {
        /// The user-assigned one; `None` is the system-assigned one.
        client_id: Option<String>,
    },
    /// A Kubernetes service account. `None` is what the workload identity webhook sets: `AZURE_TENANT_ID`,
    /// `AZURE_CLIENT_ID`, `AZURE_FEDERATED_TOKEN_FILE`.
    WorkloadIdentity {
        /// The tenant.
        tenant: Option<String>,
        /// The application or user-assigned identity.
        client_id: Option<String>,
        /// The file with the account's token, which somebody renews.
        token_file: Option<PathBuf>,
    },
    /// A client secret of an application.
    ClientSecret(ClientSecret),
    /// A client certificate of an application.
    ClientCertificate(ClientCertificate),
    /// Whoever is signed in to the Azure CLI: for people, not for services.
    AzureCli {
        /// The tenant; `None` is the one that was signed in to.
        tenant: Option<String>,
    },
    /// A bearer token obtained elsewhere, which nobody renews.
    Token(SecretString),
}

/// A client secret of an application.
#[derive(Clone, Debug)]
pub struct ClientSecret {
    /// The tenant: a UUID or a domain.
    pub tenant: String,
    /// The application's client id.
    pub client_id: String,
    /// The secret.
    pub secret: SecretString,
}

/// A client certificate of an application.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// The tenant: a UUID or a domain.
    pub tenant: String,
    /// The application's client id.
    pub client_id: String,
    /// The certificate and its RSA key, not encrypted, both in PEM form.
    pub pem: SecretString,
}

impl CredentialSettings {
    /// What tells one credential from another in one process, for sharing a budget. Never shown.
    pub(super) fn fingerprint(&self) -> String {
        match self {
            Self::Default { environment: Some(secret), .. } | Self::ClientSecret(secret) => {
                format!("{}/{}", secret.tenant, secret.client_id)
            }
            Self::Default { environment: None, client_id } => format!("default {client_id:?}"),
            Self::ManagedIdentity { client_id } => format!("managed {client_id:?}"),
            Self::WorkloadIdentity { tenant, client_id, token_file } => {
                format!("workload {tenant:?} {client_id:?} {token_file:?}")
            }
            Self::ClientCertificate(certificate) => {
                format!("{}/{}", certificate.tenant, certificate.client_id)
            }
            Self::AzureCli { tenant } => format!("cli {tenant:?}"),
            Self::Token(token) => token.expose_secret().to_owned(),
        }
    }
}

/// A source of bearer tokens that keeps the one it has until shortly before it expires.
pub(super) struct Credential {
    links: Vec<Link>,
    scope: String,
    held: Mutex<Held>,
}

/// One way to a token.
struct Link {
    way: Way,
    /// Or why it cannot be tried.
    source: Result<Source, String>,
}

enum Source {
    Fixed(SecretString),
    Library(Arc<dyn TokenCredential>),
}

/// By which way a token is sought, as the configuration spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    ClientSecret,
    ClientCertificate,
    ManagedIdentity,
    WorkloadIdentity,
    AzureCli,
    Token,
}

#[derive(Default)]
struct Held {
    token: Option<AccessToken>,
    /// The link that gave it.
    link: Option<usize>,
    /// When it was given.
    asked: Option<Instant>,
    /// A refusal is not asked for again at once: many requests start together, and accounts get locked.
    refused: Option<(Instant, TokenError)>,
}

impl Credential {
    /// Prepares `settings` for tokens of `scope`, an audience's `.default`; asks for none yet.
    ///
    /// # Errors
    /// When the credential cannot be used in this process at all.
    pub(super) fn new(
        http: &Arc<Http>,
        cloud: &Cloud,
        settings: &CredentialSettings,
        scope: String,
    ) -> Result<Self, TokenError> {
        let build = Build { http, cloud };
        let links = match settings {
            CredentialSettings::Default { environment, client_id } => {
                let secret = match environment {
                    Some(secret) => build.client_secret(secret),
                    None => Err("AZURE_CLIENT_SECRET is not set".to_owned()),
                };
                vec![
                    Link { way: Way::ClientSecret, source: secret },
                    Link { way: Way::WorkloadIdentity, source: build.workload_identity(None, None, None) },
                    Link {
                        way: Way::ManagedIdentity,
                        source: build.managed_identity(client_id.as_deref(), true),
                    },
                    Link { way: Way::AzureCli, source: build.azure_cli(None) },
                ]
            }
            CredentialSettings::ManagedIdentity { client_id } => {
                let source = build.managed_identity(client_id.as_deref(), false);
                vec![Link { way: Way::ManagedIdentity, source }]
            }
            CredentialSettings::WorkloadIdentity { tenant, client_id, token_file } => {
                let source = build.workload_identity(tenant.clone(), client_id.clone(), token_file.clone());
                vec![Link { way: Way::WorkloadIdentity, source }]
            }
            CredentialSettings::ClientSecret(secret) => {
                vec![Link { way: Way::ClientSecret, source: build.client_secret(secret) }]
            }
            CredentialSettings::ClientCertificate(certificate) => {
                vec![Link { way: Way::ClientCertificate, source: build.client_certificate(certificate) }]
            }
            CredentialSettings::AzureCli { tenant } => {
                vec![Link { way: Way::AzureCli, source: build.azure_cli(tenant.clone()) }]
            }
            CredentialSettings::Token(token) => {
                vec![Link { way: Way::Token, source: Ok(Source::Fixed(token.clone())) }]
            }
        };
        if let [Link { way, source: Err(why) }] = links.as_slice() {
            return Err(TokenError::unusable(*way, why));
        }
        Ok(Self { links, scope, held: Mutex::default() })
    }

    /// The value of `Authorization`, marked sensitive.
    ///
    /// # Errors
    /// When there is no token, with what to do about it.
    pub(super) async fn bearer(&self) -> Result<HeaderValue, TokenError> {
        let mut held = self.held.lock().await;
        // The metadata service gives the same token until shortly before it expires: asking for every request
        // would not make it a newer one.
        let least = if held.asked.is_some_and(|asked| asked.elapsed() < AGAIN) { SKEW } else { RENEW };
        if let Some(token) = held.token.as_ref().filter(|token| lasts(token, least)) {
            return header(token.token.secret());
        }
        let recently = held.refused.as_ref().filter(|(when, _)| when.elapsed() < REFUSED);
        let recently = recently.map(|(_, error)| error.clone());
        let asked = recently.is_none();
        let error = match recently {
            Some(error) => error,
            None => match self.ask(held.link).await {
                Ok((link, token)) => {
                    let value = header(token.token.secret());
                    let asked = Some(Instant::now());
                    *held = Held { token: Some(token), link: Some(link), asked, refused: None };
                    return value;
                }
                Err(error) => error,
            },
        };
        if asked && error.kind() == Kind::Denied {
            held.refused = Some((Instant::now(), error.clone()));
        }
        // A token that is still good outlives a login service that is not.
        match held.token.as_ref().filter(|token| lasts(token, SKEW)) {
            Some(token) => header(token.token.secret()),
            None => Err(error),
        }
    }

    /// Whose the token is, by its own words; obtains one where there is none.
    ///
    /// # Errors
    /// When there is no token, with what to do about it.
    pub(super) async fn holder(&self) -> Result<Holder, TokenError> {
        self.bearer().await?;
        let held = self.held.lock().await;
        let way = held.link.and_then(|link| self.links.get(link)).map(|link| link.way);
        let claims = held.token.as_ref().map(|token| Claims::of(token.token.secret())).unwrap_or_default();
        // A token obtained elsewhere has no other date than its own.
        let renewed = way.is_some_and(|way| way != Way::Token);
        let known = held.token.as_ref().map(|token| token.expires_on).filter(|_| renewed);
        let mut who = way.map(|way| way.to_string()).unwrap_or_default();
        let whose = claims.who();
        if !whose.is_empty() {
            who.push_str(&format!(", {whose}"));
        }
        Ok(Holder { who, expires: known.or(claims.expires), renewed })
    }

    /// Asks the link that gave the last token, or each in turn.
    async fn ask(&self, last: Option<usize>) -> Result<(usize, AccessToken), TokenError> {
        let mut errors = Vec::new();
        for (index, link) in self.links.iter().enumerate() {
            if last.is_some_and(|last| last != index) {
                continue;
            }
            let asked = match &link.source {
                Ok(Source::Fixed(token)) => Ok(AccessToken::new(
                    Secret::new(token.expose_secret().to_owned()),
                    OffsetDateTime::now_utc() + FOREVER,
                )),
                Ok(Source::Library(source)) => source.get_token(&[&self.scope], None).await,
                Err(why) => {
                    errors.push(TokenError::unusable(link.way, why));
                    continue;
                }
            };
            match asked {
                Ok(token) => return Ok((index, token)),
                Err(error) => errors.push(TokenError::of(link.way, &error)),
            }
        }
        Err(TokenError::of_all(errors))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.links.iter().map(|link| link.way)).finish()
    }
}

struct Build<'b> {
    http: &'b Arc<Http>,
    cloud: &'b Cloud,
}

impl Build<'_> {
    fn options(&self, patience: Duration, probing: bool) -> ClientOptions {
        let budget = self.http.budget("entra", self.cloud.authority.as_str(), &[]);
        let transport = IdentityTransport::new(Arc::clone(self.http), budget, patience, probing);
        let mut cloud = CustomConfiguration::default();
        cloud.authority_host = self.cloud.authority.to_string();
        ClientOptions {
            retry: RetryOptions::none(),
            transport: Some(Transport::new(transport)),
            cloud: Some(Arc::new(cloud.into())),
            ..ClientOptions::default()
        }
    }

    fn client_secret(&self, settings: &ClientSecret) -> Result<Source, String> {
        let options = ClientSecretCredentialOptions { client_options: self.options(PATIENCE, false) };
        let secret = Secret::new(settings.secret.expose_secret().to_owned());
        ClientSecretCredential::new(&settings.tenant, settings.client_id.clone(), secret, Some(options))
            .map(|credential| Source::Library(credential))
            .map_err(|error| error.to_string())
    }

    fn client_certificate(&self, settings: &ClientCertificate) -> Result<Source, String> {
        let ClientCertificate { tenant, client_id, pem } = settings;
        let certificate = Certificate::new(pem.expose_secret(), &self.cloud.authority, tenant, client_id)?;
        let options = ClientAssertionCredentialOptions { client_options: self.options(PATIENCE, false) };
        ClientAssertionCredential::new(tenant.clone(), client_id.clone(), certificate, Some(options))
            .map(|credential| Source::Library(credential))
            .map_err(|error| error.to_string())
    }

    fn workload_identity(
        &self,
        tenant_id: Option<String>,
        client_id: Option<String>,
        token_file_path: Option<PathBuf>,
    ) -> Result<Source, String> {
        let credential_options =
            ClientAssertionCredentialOptions { client_options: self.options(PATIENCE, false) };
        let options =
            WorkloadIdentityCredentialOptions { credential_options, client_id, tenant_id, token_file_path };
        WorkloadIdentityCredential::new(Some(options))
            .map(|credential| Source::Library(credential))
            .map_err(|error| error.to_string())
    }

    fn managed_identity(&self, client_id: Option<&str>, probing: bool) -> Result<Source, String> {
        let patience = if probing { PROBE } else { PATIENCE };
        let options = ManagedIdentityCredentialOptions {
            user_assigned_id: client_id.map(|id| UserAssignedId::ClientId(id.to_owned())),
            client_options: self.options(patience, probing),
        };
        ManagedIdentityCredential::new(Some(options))
            .map(|credential| Source::Library(credential))
            .map_err(|error| error.to_string())
    }

    fn azure_cli(&self, tenant_id: Option<String>) -> Result<Source, String> {
        AzureCliCredential::new(Some(AzureCliCredentialOptions { tenant_id, ..Default::default() }))
            .map(|credential| Source::Library(credential))
            .map_err(|error| error.to_string())
    }
}

fn header(token: &str) -> Result<HeaderValue, TokenError> {
    let mut value =
        HeaderValue::from_str(&format!("Bearer {}", token.trim())).map_err(|_| TokenError::unprintable())?;
    value.set_sensitive(true);
    Ok(value)
}

fn lasts(token: &AccessToken, least: Duration) -> bool {
    token.expires_on > OffsetDateTime::now_utc() + least
}

/// A token is renewed this long before it expires, as the identity library does.
const RENEW: Duration = Duration::from_secs(300);
/// A token that could be renewed is asked for once in this long.
const AGAIN: Duration = Duration::from_secs(30);
/// A token that expires sooner may be expired by the time it is read.
const SKEW: Duration = Duration::from_secs(30);
/// Nobody renews a token obtained elsewhere; Azure says when it has expired.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// How long a refused credential stays refused without asking again.
const REFUSED: Duration = Duration::from_secs(5);
/// How long the metadata service may take where it is the only way to a token.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long it may take where there are others.
const PROBE: Duration = Duration::from_secs(1);
