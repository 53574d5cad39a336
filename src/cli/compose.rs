//! The composition root: from a configuration to what a round runs on. A new DNS provider is one line here.

mod examination;
mod telling;

pub(crate) use examination::Examination;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::args::Global;
use super::exit::Exit;
use super::output::{Output, Tone};
use crate::config::{
    AccountConfig, AccountKind, AzureConfig, Config, CredentialConfig, Environment, SecretRef, Setting,
    SocksProxy, ThreatsConfig,
};
use crate::model::endpoint::Handle;
use crate::model::name::ZoneName;
use crate::model::state::{Consents, Desired};
use crate::probe::tcp::{self, TcpProber};
use crate::provider::azure::{self, Arm, AzureDns, AzureNetwork, LogAnalytics, Workspace};
use crate::provider::cloudflare::{self, Cloudflare};
use crate::provider::http::{self, Http};
use crate::provider::shut::{ShutDns, ShutNetwork};
use crate::provider::{DnsProvider, NetworkProvider};
use crate::reconcile::{Reconciler, Verification};
use crate::resolver::hickory::{self, Hickory};

pub(crate) use telling::subscribers;

/// After how long a request is not tried again.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// A configuration and everything built from it.
#[derive(Debug)]
pub(crate) struct Composition {
    pub(crate) config: Config,
    pub(crate) reconciler: Reconciler,
    pub(crate) http: Arc<Http>,
    pub(crate) doors: Doors,
    /// Why what was built before serves on, where it does.
    pub(crate) unread: BTreeSet<String>,
}

/// What accounts are reached through, each built of secrets that could be read.
#[derive(Debug, Default)]
pub(crate) struct Doors {
    accounts: BTreeMap<Handle, Arc<dyn DnsProvider>>,
    network: Option<Arc<dyn NetworkProvider>>,
}

impl Composition {
    /// Reads the configuration and builds what it describes; tells what is wrong with either.
    pub(crate) fn load(global: &Global, output: &Output) -> Result<Self, Exit> {
        let config = load_config(global, output)?;
        Self::build(config, &Environment::process()).map_err(|text| output.failure(&text, Exit::Usage))
    }

    /// Builds what `config` describes.
    pub(crate) fn build(config: Config, environment: &Environment) -> Result<Self, String> {
        let http = http(&config, DEADLINE)?;
        Self::upon(http, config, environment, Unreadable::IsAnError)
    }

    /// As [`Composition::build`], for a process that works on: services that asked it to wait, in what was at work
    /// `before`, are not asked sooner for a new configuration.
    pub(crate) fn for_service(
        before: Option<&Arc<Http>>,
        config: Config,
        environment: &Environment,
        unreadable: Unreadable<'_>,
    ) -> Result<Self, String> {
        let http = match before {
            Some(before) => before.then(&settings(&config, DEADLINE)?).map_err(told)?,
            None => http(&config, DEADLINE)?,
        };
        Self::upon(http, config, environment, unreadable)
    }

    fn upon(
        http: Arc<Http>,
        config: Config,
        environment: &Environment,
        unreadable: Unreadable<'_>,
    ) -> Result<Self, String> {
        let azure = &config.azure;
        let builder = Builder { environment, azure };
        let arm =
            builder.settings().and_then(|settings| Arm::new(&http, &settings).map_err(told)).map(Arc::new);
        let (mut doors, mut unread) = (Doors::default(), BTreeSet::new());
        doors.network = match &arm {
            Ok(arm) => Some(Arc::new(AzureNetwork::new(Arc::clone(arm)))),
            Err(reason) => unreadable.before(reason, &mut unread, |doors| doors.network.as_ref())?,
        };
        let shut = || Arc::new(ShutNetwork::new(arm.as_ref().err().cloned().unwrap_or_default()));
        let network = doors.network.clone().unwrap_or_else(|| shut());
        let mut accounts = BTreeMap::new();
        for account in &config.accounts {
            let name = &account.name;
            let door = match builder.account(account, &arm, &http) {
                Ok(provider) => Ok(provider),
                Err(reason) => {
                    let before = unreadable.before(&reason, &mut unread, |doors| doors.accounts.get(name))?;
                    before.ok_or(reason)
                }
            };
            let provider = match door {
                Ok(provider) => {
                    doors.accounts.insert(name.clone(), Arc::clone(&provider));
                    provider
                }
                Err(reason) => Arc::new(ShutDns::new(name.clone(), reason)),
            };
            accounts.insert(name.clone(), provider);
        }
        let verify = &config.verify;
        let resolver = resolver(&config);
        let usual = tcp::Settings::default();
        let prober = TcpProber::new(&tcp::Settings {
            // Nor is a silent service.
            limit: usual.limit.min(verify.timeout),
            proxy: verify.proxy.as_ref().map(SocksProxy::authority),
        });
        let reconciler = Reconciler {
            accounts,
            network,
            resolver: Arc::new(resolver.map_err(told)?),
            prober: Arc::new(prober.map_err(told)?),
            verification: Verification {
                authoritative: verify.authoritative,
                recursive: true,
                label_servers: verify.label_servers.iter().map(ToString::to_string).collect(),
                patience: verify.timeout,
                agreement: verify.timeout,
                way_in: false,
            },
            newest: Arc::default(),
        };
        Ok(Self { config, reconciler, http, doors, unread })
    }

    /// What the configuration wants, with what the operator agreed to beyond it.
    pub(crate) fn desired(&self, consents: Consents) -> Desired {
        self.config.desired(consents)
    }
}

/// What a secret that cannot be read is.
#[derive(Clone, Copy)]
pub(crate) enum Unreadable<'b> {
    /// A mistake, with which nothing begins.
    IsAnError,
    /// No reason not to keep the names of others, nor to give up what works: what was built before serves on. Where
    /// there is nothing from before, the account is shut, and says why.
    LeavesWhatWas(&'b Doors),
}

impl Unreadable<'_> {
    /// What serves in place of something that `reason` kept from being built, which is noted then.
    fn before<T: Clone>(
        self,
        reason: &str,
        unread: &mut BTreeSet<String>,
        of: impl FnOnce(&Doors) -> Option<&T>,
    ) -> Result<Option<T>, String> {
        let Self::LeavesWhatWas(doors) = self else { return Err(reason.to_owned()) };
        let before = of(doors).cloned();
        if before.is_some() {
            unread.insert(reason.to_owned());
        }
        Ok(before)
    }
}

/// What `cnamed threats` runs on.
#[derive(Debug)]
pub(crate) struct Watchtower {
    pub(crate) arm: Arm,
    pub(crate) logons: LogAnalytics,
}

impl Watchtower {
    /// Builds what the configuration describes of it.
    pub(crate) fn build(
        config: &Config,
        threats: &ThreatsConfig,
        environment: &Environment,
    ) -> Result<Self, String> {
        let http = http(config, DEADLINE)?;
        let settings = Builder { environment, azure: &config.azure }.settings()?;
        let logons = LogAnalytics::new(&http, &settings.cloud, &settings.credential, workspace(threats));
        Ok(Self { arm: Arm::new(&http, &settings).map_err(told)?, logons: logons.map_err(told)? })
    }
}

fn workspace(threats: &ThreatsConfig) -> Workspace {
    Workspace { id: threats.workspace.clone(), api: threats.api.clone(), audience: threats.audience.clone() }
}

/// DNS, through the configured resolvers.
fn resolver(config: &Config) -> Result<Hickory, hickory::SettingsError> {
    let verify = &config.verify;
    let usual = hickory::Settings::default();
    Hickory::new(&hickory::Settings {
        resolvers: verify.resolvers.iter().map(ToString::to_string).collect(),
        // A silent server is not waited for longer than agreement is.
        timeout: usual.timeout.min(verify.timeout / u32::from(usual.attempts)),
        ..usual
    })
}

/// The one client of the process.
pub(crate) fn http(config: &Config, deadline: Duration) -> Result<Arc<Http>, String> {
    Http::new(&settings(config, deadline)?).map_err(told)
}

fn settings(config: &Config, deadline: Duration) -> Result<http::Settings, String> {
    let extra_ca = match &config.tls.extra_ca {
        Some(file) => {
            let read = std::fs::read(file);
            Some(read.map_err(|error| format!("tls.extra_ca: could not read {}: {error}", file.display()))?)
        }
        None => None,
    };
    Ok(http::Settings { extra_ca, attempt: config.limits.request_timeout, deadline })
}

/// Reads the configuration; warnings go to stderr, mistakes end it.
pub(crate) fn load_config(global: &Global, output: &Output) -> Result<Config, Exit> {
    match Config::load(&global.config) {
        Ok(config) => {
            for warning in &config.warnings {
                output.aside(&format!("{} {warning}\n", Tone::Warn.paint("warning:")));
            }
            Ok(config)
        }
        Err(mistakes) => Err(output.failure(&mistakes.to_string(), Exit::Usage)),
    }
}

struct Builder<'b> {
    environment: &'b Environment,
    azure: &'b AzureConfig,
}

impl Builder<'_> {
    fn settings(&self) -> Result<azure::Settings, String> {
        let cloud = &self.azure.cloud;
        Ok(azure::Settings {
            subscription: self.azure.subscription.clone(),
            cloud: azure::Cloud {
                resource_manager: cloud.resource_manager.clone(),
                authority: cloud.authority.clone(),
                audience: cloud.audience.clone(),
                label_suffix: cloud.label_suffix.to_string(),
            },
            credential: self.credential()?,
        })
    }

    fn credential(&self) -> Result<azure::CredentialSettings, String> {
        use azure::CredentialSettings;
        Ok(match &self.azure.credential {
            CredentialConfig::Default { tenant, client_id } => {
                let client_id = client_id.read(self.environment);
                let secret = Setting::Env("AZURE_CLIENT_SECRET").read(self.environment);
                let environment = match (tenant.read(self.environment), &client_id, secret) {
                    (Some(tenant), Some(client_id), Some(secret)) => Some(azure::ClientSecret {
                        tenant,
                        client_id: client_id.clone(),
                        secret: secret.into(),
                    }),
                    _ => None,
                };
                CredentialSettings::Default { environment, client_id }
            }
            CredentialConfig::ManagedIdentity { client_id } => {
                CredentialSettings::ManagedIdentity { client_id: client_id.clone() }
            }
            CredentialConfig::WorkloadIdentity { tenant, client_id, token_file } => {
                CredentialSettings::WorkloadIdentity {
                    tenant: tenant.read(self.environment),
                    client_id: client_id.read(self.environment),
                    token_file: token_file.read(self.environment).map(PathBuf::from),
                }
            }
            CredentialConfig::ClientSecret { tenant, client_id, secret } => {
                CredentialSettings::ClientSecret(azure::ClientSecret {
                    tenant: self.setting("azure.tenant", tenant)?,
                    client_id: self.setting("azure.client_id", client_id)?,
                    secret: self.secret("azure.client_secret", secret)?,
                })
            }
            CredentialConfig::ClientCertificate { tenant, client_id, certificate } => {
                CredentialSettings::ClientCertificate(azure::ClientCertificate {
                    tenant: self.setting("azure.tenant", tenant)?,
                    client_id: self.setting("azure.client_id", client_id)?,
                    pem: self.secret("azure.client_certificate", certificate)?,
                })
            }
            CredentialConfig::AzureCli { tenant } => CredentialSettings::AzureCli { tenant: tenant.clone() },
            CredentialConfig::Token { token } => {
                CredentialSettings::Token(self.secret("azure.token", token)?)
            }
        })
    }

    fn account(
        &self,
        account: &AccountConfig,
        arm: &Result<Arc<Arm>, String>,
        http: &Arc<Http>,
    ) -> Result<Arc<dyn DnsProvider>, String> {
        Ok(match &account.kind {
            AccountKind::AzureDns { resource_group, subscription, zones } => {
                let arm = arm.as_ref().map_err(Clone::clone)?;
                Arc::new(azure_dns(account, (resource_group, subscription, zones), arm))
            }
            AccountKind::Cloudflare { token, api, zones } => {
                Arc::new(self.cloudflare(account, (token, api, zones), http)?)
            }
        })
    }

    fn cloudflare(
        &self,
        account: &AccountConfig,
        (token, api, zones): (&SecretRef, &Url, &BTreeMap<ZoneName, String>),
        http: &Arc<Http>,
    ) -> Result<Cloudflare, String> {
        let settings = cloudflare::Settings {
            account: account.name.clone(),
            api: api.clone(),
            token: self.secret(&format!("the token of account {}", account.name), token)?,
            zones: zones.clone(),
            name_servers: name_servers(account),
        };
        Ok(Cloudflare::new(settings, http.clone()))
    }

    fn secret(&self, what: &str, reference: &SecretRef) -> Result<secrecy::SecretString, String> {
        reference.read(self.environment).map_err(|error| format!("{what}: {}", told(error)))
    }

    fn setting(&self, what: &str, setting: &Setting) -> Result<String, String> {
        let unset = match setting {
            Setting::Given(_) => "is empty".to_owned(),
            Setting::Env(name) => format!("is not given, and the variable {name} is not set"),
        };
        setting.read(self.environment).ok_or_else(|| format!("{what} {unset}"))
    }
}

fn azure_dns(
    account: &AccountConfig,
    (group, subscription, zones): (&str, &str, &[ZoneName]),
    arm: &Arc<Arm>,
) -> AzureDns {
    let zones = (!zones.is_empty()).then(|| zones.to_vec());
    let (name, subscription) = (account.name.clone(), Some(subscription.to_owned()));
    AzureDns::new(name, arm.clone(), group.to_owned(), subscription, zones, name_servers(account))
}

/// The servers that the operator wrote in place of the provider's own.
fn name_servers(account: &AccountConfig) -> Option<Vec<String>> {
    let servers: Vec<String> = account.name_servers.iter().map(ToString::to_string).collect();
    (!servers.is_empty()).then_some(servers)
}

/// The whole chain on one line.
pub(crate) fn told(error: impl Error) -> String {
    let mut text = error.to_string();
    let mut link = error.source();
    while let Some(cause) = link {
        text.push_str(&format!(": {cause}"));
        link = cause.source();
    }
    text
}
