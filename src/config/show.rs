//! The configuration as used, written as a file again.

use super::at::At;
use super::build::INTERNET;
use super::defaults;
use super::file::{
    AccountFile, AzureFile, ConfigFile, EndpointFile, HttpFile, LimitsFile, LoadBalancerFile, NatRuleFile,
    NotifyFile, RecordFile, SecretFile, StateFile, ThreatsFile, TlsFile, VerifyFile, WatchFile, ZonesFile,
};
use super::{
    AccountConfig, AccountKind, AzureConfig, Channel, Cloud, Config, CredentialConfig, CredentialKind,
    NotifyConfig, ProviderKind, RecordConfig, SecretRef,
};
use crate::model::endpoint::{Endpoint, Intent};
use crate::model::gateway::{AllowFrom, Gateway, NatRule};

/// Every key with its effective value, in the order of the documentation.
pub(super) fn toml(config: &Config) -> String {
    // Only a map with keys that are not strings, or a value that TOML lacks, could fail; the types have neither.
    toml::to_string(&file(config)).unwrap_or_default()
}

fn file(config: &Config) -> ConfigFile {
    let deletes = u32::try_from(config.limits.deletes_per_round).unwrap_or(u32::MAX);
    ConfigFile {
        owner: some(config.owner.to_string()),
        prune: some(config.prune),
        azure: some(azure(&config.azure)),
        endpoint: config.endpoints.iter().map(|one| endpoint(one).into()).collect(),
        account: config.accounts.iter().map(|one| account(one).into()).collect(),
        record: config.records.iter().map(|one| record(one).into()).collect(),
        watch: Some(WatchFile {
            interval: some(defaults::text(config.watch.interval)),
            label_interval: some(defaults::text(config.watch.label_interval)),
        }),
        verify: Some(VerifyFile {
            authoritative: some(config.verify.authoritative),
            resolvers: list(&config.verify.resolvers),
            label_servers: list(&config.verify.label_servers),
            timeout: some(defaults::text(config.verify.timeout)),
            proxy: config.verify.proxy.as_ref().map(|proxy| proxy.to_string().into()),
        }),
        limits: Some(LimitsFile {
            deletes_per_round: some(deletes),
            request_timeout: some(defaults::text(config.limits.request_timeout)),
        }),
        state: Some(StateFile { directory: some(config.state.directory.clone()) }),
        http: Some(HttpFile {
            listen: some(config.http.listen.to_string()),
            names: list(&config.http.names),
        }),
        tls: Some(TlsFile { extra_ca: config.tls.extra_ca.clone().map(At::from) }),
        threats: config.threats.as_ref().map(|threats| {
            let file = ThreatsFile {
                workspace: some(threats.workspace.clone()),
                api: some(threats.api.to_string()),
                audience: some(threats.audience.clone()),
            };
            file.into()
        }),
        notify: config.notifiers.iter().map(|one| notifier(one).into()).collect(),
    }
}

fn azure(azure: &AzureConfig) -> AzureFile {
    let mut file = AzureFile {
        subscription: some(azure.subscription.clone()),
        cloud: some(azure.cloud.kind),
        ..AzureFile::default()
    };
    if azure.cloud.kind == Cloud::Custom {
        file.resource_manager = some(azure.cloud.resource_manager.to_string());
        file.authority = some(azure.cloud.authority.to_string());
        file.audience = some(azure.cloud.audience.clone());
        file.label_suffix = some(azure.cloud.label_suffix.to_string());
    }
    let mut application = |tenant: &super::Setting, client_id: &super::Setting| {
        file.tenant = tenant.given().map(|text| text.to_owned().into());
        file.client_id = client_id.given().map(|text| text.to_owned().into());
    };
    let kind = match &azure.credential {
        CredentialConfig::Default { tenant, client_id } => {
            application(tenant, client_id);
            CredentialKind::Default
        }
        CredentialConfig::ManagedIdentity { client_id } => {
            file.client_id = client_id.clone().map(At::from);
            CredentialKind::ManagedIdentity
        }
        CredentialConfig::WorkloadIdentity { tenant, client_id, token_file } => {
            application(tenant, client_id);
            file.token_file = token_file.given().map(|path| std::path::PathBuf::from(path).into());
            CredentialKind::WorkloadIdentity
        }
        CredentialConfig::ClientSecret { tenant, client_id, secret: reference } => {
            application(tenant, client_id);
            file.client_secret = some(secret(reference));
            CredentialKind::ClientSecret
        }
        CredentialConfig::ClientCertificate { tenant, client_id, certificate } => {
            application(tenant, client_id);
            file.client_certificate = some(secret(certificate));
            CredentialKind::ClientCertificate
        }
        CredentialConfig::AzureCli { tenant } => {
            file.tenant = tenant.clone().map(At::from);
            CredentialKind::AzureCli
        }
        CredentialConfig::Token { token } => {
            file.token = some(secret(token));
            CredentialKind::Token
        }
    };
    file.credential = some(kind);
    file
}

fn endpoint(config: &Endpoint) -> EndpointFile {
    let ip = &config.public_ip;
    EndpointFile {
        name: some(config.name.to_string()),
        resource_group: some(ip.resource_group.clone()),
        location: some(ip.location.clone()),
        public_ip: some(ip.name.clone()),
        label: some(ip.label.to_string()),
        label_scope: ip.label_scope.map(At::from),
        allocation: some(ip.allocation),
        zones: list(&ip.zones),
        manage: some(config.intent != Intent::Watch),
        load_balancer: config.gateway.as_ref().map(|gateway| load_balancer(gateway).into()),
        nat_rule: (config.gateway.iter())
            .flat_map(|gateway| &gateway.nat_rules)
            .map(|rule| nat_rule(rule).into())
            .collect(),
    }
}

fn load_balancer(gateway: &Gateway) -> LoadBalancerFile {
    LoadBalancerFile { name: some(gateway.load_balancer.name().to_owned()) }
}

fn nat_rule(rule: &NatRule) -> NatRuleFile {
    NatRuleFile {
        name: some(rule.name.clone()),
        protocol: some(rule.protocol),
        frontend_port: some(rule.frontend_port),
        backend_port: some(rule.backend_port),
        network_interface: some(rule.network_interface.to_string()),
        allow_from: rule.access.as_ref().and_then(|access| match &access.from {
            AllowFrom::Internet => list(&[INTERNET]),
            AllowFrom::Sources(sources) => list(sources),
        }),
        network_security_group: (rule.access.as_ref())
            .map(|access| access.network_security_group.to_string().into()),
        priority: rule.access.as_ref().and_then(|access| access.priority).map(At::from),
        idle_timeout_minutes: some(rule.idle_timeout_minutes),
    }
}

fn account(account: &AccountConfig) -> AccountFile {
    let file = AccountFile {
        name: some(account.name.to_string()),
        name_servers: list(&account.name_servers),
        ..AccountFile::default()
    };
    match &account.kind {
        AccountKind::AzureDns { resource_group, subscription, zones } => AccountFile {
            provider: some(ProviderKind::AzureDns),
            resource_group: some(resource_group.clone()),
            subscription: some(subscription.clone()),
            zones: list(zones).map(|names| names.with(ZonesFile::Names(names.value.clone()))),
            ..file
        },
        AccountKind::Cloudflare { token, api, zones } => {
            let ids = zones.iter().map(|(name, id)| (name.to_string().into(), id.clone().into()));
            AccountFile {
                provider: some(ProviderKind::Cloudflare),
                token: some(secret(token)),
                api: some(api.to_string()),
                zones: (!zones.is_empty()).then(|| ZonesFile::Ids(ids.collect()).into()),
                ..file
            }
        }
    }
}

fn record(record: &RecordConfig) -> RecordFile {
    RecordFile {
        name: some(record.name.to_string()),
        endpoint: some(record.endpoint.to_string()),
        accounts: list(&record.accounts),
        ttl: some(record.ttl.seconds()),
        mode: some(record.mode),
        policy: some(record.policy),
        proxied: some(record.proxied),
    }
}

fn notifier(config: &NotifyConfig) -> NotifyFile {
    let channel = &config.channel;
    let events: Vec<_> = config.events.iter().copied().map(At::from).collect();
    NotifyFile {
        name: some(config.name.to_string()),
        kind: some(channel.kind()),
        url: channel.url().map(|url| secret(url).into()),
        command: match channel {
            Channel::Command { command } => list(command),
            _ => None,
        },
        secret: channel.secret().map(|reference| secret(reference).into()),
        events: (!events.is_empty()).then(|| events.into()),
        repeat: some(defaults::text(config.repeat)),
        timeout: some(defaults::text(config.timeout)),
    }
}

fn secret(reference: &SecretRef) -> SecretFile {
    match reference.clone() {
        SecretRef::Env(name) => SecretFile { env: some(name), ..SecretFile::default() },
        SecretRef::File(path) => SecretFile { file: some(path), ..SecretFile::default() },
        SecretRef::Credential(name) => SecretFile { credential: some(name), ..SecretFile::default() },
    }
}

fn some<T>(value: T) -> Option<At<T>> {
    Some(At::from(value))
}

/// A list that is left out when there is nothing in it.
fn list<T: ToString>(items: &[T]) -> Option<At<Vec<At<String>>>> {
    let items: Vec<_> = items.iter().map(|item| At::from(item.to_string())).collect();
    (!items.is_empty()).then(|| items.into())
}
