//! The configuration: the file as written, and the configuration as the program uses it.
//!
//! A file is read in three steps. TOML's own rules first. Then the *shape*: every key and type is held against the
//! JSON Schema that `cnamed config schema` prints, so that what is documented and what is accepted cannot differ.
//! Then the *meaning*: text becomes names, references are followed, and what contradicts itself is found. Each step
//! reports everything that it finds, with the place and the remedy; a file with broken syntax stops at the first
//! step, because what follows would be guesswork.
//!
//! Nothing here asks the environment or reads a secret: a [`Config`] holds references, and whoever needs a secret
//! fetches it with [`SecretRef::read`]. [`Config::load`] alone touches files.

mod address;
mod at;
mod build;
pub mod defaults;
mod diagnostic;
mod file;
mod notify;
mod schema;
mod secret;
mod shape;
mod show;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

pub use address::{NameServer, NameServerHost, ResolverConfig, SocksProxy};
pub use diagnostic::{Diagnostic, Mistakes, Place, WIDTH};
pub use notify::{Channel, NotifierKind, NotifyConfig};
pub use schema::schema;
pub use secret::{Environment, SecretError, SecretRef, Setting};

use crate::model::endpoint::{Endpoint, Handle};
use crate::model::name::{Fqdn, ZoneName};
use crate::model::record::{Mode, Owner, Policy, Ttl};
use crate::model::state::{Consents, Desired, RecordKey, Wanted};

/// A configuration that has passed every check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The instance id in our marks.
    pub owner: Owner,
    /// Whether marked records that are not named here are withdrawn.
    pub prune: bool,
    /// Where Azure is, and who we are there.
    pub azure: AzureConfig,
    /// The endpoints, in the order of the file.
    pub endpoints: Vec<Endpoint>,
    /// The accounts, in the order of the file.
    pub accounts: Vec<AccountConfig>,
    /// The records, in the order of the file.
    pub records: Vec<RecordConfig>,
    /// When the service looks.
    pub watch: WatchConfig,
    /// How what was written is checked in DNS.
    pub verify: VerifyConfig,
    /// What one round may do at most.
    pub limits: LimitsConfig,
    /// Where the service keeps its journal.
    pub state: StateConfig,
    /// The status page, the metrics and the probes.
    pub http: HttpConfig,
    /// Whom to trust.
    pub tls: TlsConfig,
    /// Where failed logons are collected; `None` where nobody asks for them.
    pub threats: Option<ThreatsConfig>,
    /// Who wants to be told, in the order of the file.
    pub notifiers: Vec<NotifyConfig>,
    /// What is legal and probably not meant.
    pub warnings: Vec<Diagnostic>,
}

impl Config {
    /// Reads and checks a file, and looks at the permissions of the secret files that it names.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(path: &Path) -> Result<Self, Mistakes> {
        let file = path.display().to_string();
        let whole = |problem: &str, remedy: &str| diagnostic::Source::whole(&file, problem, remedy);
        let bytes = std::fs::read(path).map_err(|error| {
            let remedy = match error.kind() {
                std::io::ErrorKind::NotFound => "give another path with --config, or make one: cnamed init",
                std::io::ErrorKind::PermissionDenied => "let the user that runs cnamed read it",
                _ => "give the path of a file with --config",
            };
            whole(&format!("cannot be read: {error}"), remedy)
        })?;
        let text = String::from_utf8(bytes).map_err(|error| build::not_text(&file, &error))?;
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut config = build::parse(&text, &file, absolute.parent())?;
        let exposed = config.secrets().filter_map(SecretRef::exposure).map(|problem| Diagnostic {
            file: file.clone(),
            place: None,
            problem,
            remedy: "close it with `chmod 600`, and replace the secret if others use this system".into(),
        });
        let exposed: Vec<_> = exposed.collect();
        config.warnings.extend(exposed);
        Ok(config)
    }

    /// Checks the text of a file; `file` is its name in messages. Relative paths in it stay relative.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str, file: &str) -> Result<Self, Mistakes> {
        build::parse(text, file, None)
    }

    /// The same configuration as a file with every key written out; secrets are references, as ever.
    #[must_use]
    pub fn to_toml(&self) -> String {
        show::toml(self)
    }

    /// What is wanted, for the planner.
    #[must_use]
    pub fn desired(&self, consents: Consents) -> Desired {
        let endpoints = self.endpoints.iter().map(|one| (one.name.clone(), one.clone()));
        let records = self.records.iter().flat_map(|record| {
            record.accounts.iter().map(|account| {
                let key = RecordKey { name: record.name.clone(), account: account.clone() };
                let wanted = Wanted {
                    endpoint: record.endpoint.clone(),
                    mode: record.mode,
                    ttl: record.ttl,
                    proxied: record.proxied,
                    policy: record.policy,
                    withdraw: false,
                };
                (key, wanted)
            })
        });
        Desired {
            owner: self.owner.clone(),
            endpoints: endpoints.collect(),
            records: records.collect(),
            prune: self.prune,
            deletes_per_round: self.limits.deletes_per_round,
            consents,
        }
    }

    /// Every secret that is referred to.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretRef> {
        let azure = match &self.azure.credential {
            CredentialConfig::ClientSecret { secret, .. }
            | CredentialConfig::Token { token: secret }
            | CredentialConfig::ClientCertificate { certificate: secret, .. } => Some(secret),
            CredentialConfig::Default { .. }
            | CredentialConfig::ManagedIdentity { .. }
            | CredentialConfig::WorkloadIdentity { .. }
            | CredentialConfig::AzureCli { .. } => None,
        };
        let accounts = self.accounts.iter().filter_map(|account| match &account.kind {
            AccountKind::Cloudflare { token, .. } => Some(token),
            AccountKind::AzureDns { .. } => None,
        });
        let channels = self.notifiers.iter().map(|notifier| &notifier.channel);
        let told = channels.flat_map(|channel| channel.url().into_iter().chain(channel.secret()));
        azure.into_iter().chain(accounts).chain(told)
    }
}

/// Where Azure is, and who we are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureConfig {
    /// The subscription of the endpoints: a GUID, lower case.
    pub subscription: String,
    /// The cloud.
    pub cloud: CloudConfig,
    /// How to obtain tokens.
    pub credential: CredentialConfig,
}

/// A cloud's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudConfig {
    /// Which one it is.
    pub kind: Cloud,
    /// Azure Resource Manager's base URL.
    pub resource_manager: Url,
    /// The token service's base URL.
    pub authority: Url,
    /// What tokens are issued for; the scope is this and `/.default`.
    pub audience: String,
    /// What labels end in, after the region. For recognising labels; the true name is the one that Azure reports.
    pub label_suffix: Fqdn,
}

/// An Azure cloud (kubernetes-sigs/cloud-provider-azure, pkg/azclient/cloud.go).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Cloud {
    /// Azure.
    #[default]
    Public,
    /// Azure for the government of the United States.
    UsGov,
    /// Azure in China, operated by 21Vianet.
    China,
    /// Any other, with every address given.
    Custom,
}

/// How to obtain Azure tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum CredentialKind {
    /// Environment, workload identity, managed identity and the Azure CLI, whichever is there first.
    #[default]
    Default,
    /// The identity of the machine; `client_id` picks a user-assigned one.
    ManagedIdentity,
    /// A federated token, as in Kubernetes.
    WorkloadIdentity,
    /// An application with a secret.
    ClientSecret,
    /// An application with a certificate.
    ClientCertificate,
    /// Whoever is logged in with `az login`; for people, not for services.
    AzureCli,
    /// A bearer token obtained elsewhere.
    Token,
}

/// A credential with what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialConfig {
    /// Whichever is there first.
    Default {
        /// The tenant, for the parts of the chain that need one.
        tenant: Setting,
        /// A user-assigned identity or an application.
        client_id: Setting,
    },
    /// The identity of the machine.
    ManagedIdentity {
        /// A user-assigned identity; `None` is the machine's own.
        client_id: Option<String>,
    },
    /// A federated token.
    WorkloadIdentity {
        /// The tenant.
        tenant: Setting,
        /// The application.
        client_id: Setting,
        /// The path of the token's file, which rotates.
        token_file: Setting,
    },
    /// An application with a secret.
    ClientSecret {
        /// The tenant.
        tenant: Setting,
        /// The application.
        client_id: Setting,
        /// Its secret.
        secret: SecretRef,
    },
    /// An application with a certificate.
    ClientCertificate {
        /// The tenant.
        tenant: Setting,
        /// The application.
        client_id: Setting,
        /// The certificate and its key.
        certificate: SecretRef,
    },
    /// The Azure CLI.
    AzureCli {
        /// The tenant; `None` is the one logged in to.
        tenant: Option<String>,
    },
    /// A bearer token obtained elsewhere.
    Token {
        /// The token.
        token: SecretRef,
    },
}

/// An account at a DNS provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountConfig {
    /// The operator's name for it.
    pub name: Handle,
    /// What it is.
    pub kind: AccountKind,
    /// The servers to check, instead of those that the provider lists; empty leaves it to the provider.
    pub name_servers: Vec<NameServer>,
}

/// What a provider is called in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum ProviderKind {
    /// Azure DNS, public zones.
    AzureDns,
    /// Cloudflare.
    Cloudflare,
}

/// An account's provider, and what it needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountKind {
    /// Azure DNS.
    AzureDns {
        /// The resource group of the zones.
        resource_group: String,
        /// Their subscription: a GUID, lower case.
        subscription: String,
        /// The zones to use, and no others; empty means all of the group.
        zones: Vec<ZoneName>,
    },
    /// Cloudflare.
    Cloudflare {
        /// The API token.
        token: SecretRef,
        /// The API's base URL; ends in a slash.
        api: Url,
        /// The zones to use, and no others, with their ids, which saves the look-up; empty means all that the
        /// token reaches.
        zones: BTreeMap<ZoneName, String>,
    },
}

/// A friendly name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordConfig {
    /// The name.
    pub name: Fqdn,
    /// The endpoint that it follows.
    pub endpoint: Handle,
    /// The accounts that hold it.
    pub accounts: Vec<Handle>,
    /// How long an answer may be kept.
    pub ttl: Ttl,
    /// How it follows.
    pub mode: Mode,
    /// What may be done to it.
    pub policy: Policy,
    /// Whether Cloudflare answers in its place.
    pub proxied: bool,
}

/// When the service looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchConfig {
    /// Between full rounds, before jitter.
    pub interval: Duration,
    /// Between look-ups of the label.
    pub label_interval: Duration,
}

/// How what was written is checked in DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyConfig {
    /// Whether authoritative servers are asked.
    pub authoritative: bool,
    /// The recursive resolvers, at least one.
    pub resolvers: Vec<ResolverConfig>,
    /// The servers to ask for labels; empty means the label zone's own.
    pub label_servers: Vec<NameServer>,
    /// How long `sync` waits for the servers to agree.
    pub timeout: Duration,
    /// What the connections that prove the way in go through; `None` is directly.
    pub proxy: Option<SocksProxy>,
}

/// What one round may do at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitsConfig {
    /// Withdrawals, from each account, of records that the file no longer names.
    pub deletes_per_round: usize,
    /// One attempt at a request, from connecting to the last byte.
    pub request_timeout: Duration,
}

/// Where the service keeps its journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateConfig {
    /// The directory.
    pub directory: PathBuf,
}

/// The status page, the metrics and the probes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// The address and port to listen on.
    pub listen: SocketAddr,
    /// The names that this host is asked by, besides addresses and `localhost`; canonical.
    pub names: Vec<String>,
}

/// Whom to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// Certificates in PEM form, besides the public roots.
    pub extra_ca: Option<PathBuf>,
}

/// Where failed logons are collected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreatsConfig {
    /// The Log Analytics workspace's customer id: a GUID, lower case.
    pub workspace: String,
    /// The query API's base URL.
    pub api: Url,
    /// What tokens for it are issued for; the scope is this and `/.default`.
    pub audience: String,
}
