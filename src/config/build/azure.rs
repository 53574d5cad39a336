//! `[azure]`: the cloud, and the credential with what it needs.

use std::ops::Range;

use url::Url;

use super::Build;
use super::value::guid;
use crate::config::address::service_url;
use crate::config::at::At;
use crate::config::diagnostic::listed;
use crate::config::file::{AzureFile, SecretFile};
use crate::config::{AzureConfig, Cloud, CloudConfig, CredentialConfig, CredentialKind, SecretRef, Setting};
use crate::model::name::Fqdn;

impl Build<'_> {
    pub(super) fn azure(&mut self, file: &At<AzureFile>) -> Option<AzureConfig> {
        let (table, file) = (&file.span, &file.value);
        let subscription = file.subscription.as_ref().and_then(|id| {
            self.parsed(id, guid, "write it as in subscription = \"00000000-0000-0000-0000-000000000000\"")
        });
        let cloud = self.cloud(table, file);
        let credential = self.credential(table, file);
        Some(AzureConfig { subscription: subscription?, cloud: cloud?, credential: credential? })
    }

    fn cloud(&mut self, table: &Range<usize>, file: &AzureFile) -> Option<CloudConfig> {
        let kind = file.cloud.clone().unwrap_or_default();
        let keys = [
            ("resource_manager", &file.resource_manager),
            ("authority", &file.authority),
            ("audience", &file.audience),
            ("label_suffix", &file.label_suffix),
        ];
        if kind.value != Cloud::Custom {
            for (key, given) in keys {
                let given = given.as_ref().map(|at| &at.span);
                self.idle(key, given, "only `cloud = \"custom\"` reads it");
            }
            return known_cloud(kind.value);
        }
        let absent =
            |(key, given): &(&str, &Option<At<String>>)| given.is_none() && !self.report.dropped(table, key);
        let missing: Vec<&str> = keys.iter().filter(|key| absent(key)).map(|(key, _)| *key).collect();
        if !missing.is_empty() {
            let problem = format!("a custom cloud needs {} too", listed(missing, "and"));
            self.report.mistake(&kind.span, problem, "add them to [azure]");
        }
        let resource_manager = file.resource_manager.as_ref().and_then(|url| self.service(url));
        let authority = file.authority.as_ref().and_then(|url| self.service(url));
        let audience = file.audience.as_ref().and_then(|text| {
            self.parsed(text, audience, "write it as in audience = \"https://management.example.com\"")
        });
        let label_suffix = file.label_suffix.as_ref().and_then(|suffix| {
            self.parsed(suffix, Fqdn::parse, "write it as in label_suffix = \"cloudapp.azure.com\"")
        });
        Some(CloudConfig {
            kind: Cloud::Custom,
            resource_manager: resource_manager?,
            authority: authority?,
            audience: audience?,
            label_suffix: label_suffix?,
        })
    }

    fn credential(&mut self, table: &Range<usize>, file: &AzureFile) -> Option<CredentialConfig> {
        use CredentialKind as Kind;

        let kind =
            file.credential.clone().unwrap_or_else(|| At { value: Kind::default(), span: table.clone() });
        let reads: &[&str] = match kind.value {
            Kind::Default => &["tenant", "client_id"],
            Kind::ManagedIdentity => &["client_id"],
            Kind::WorkloadIdentity => &["tenant", "client_id", "token_file"],
            Kind::ClientSecret => &["tenant", "client_id", "client_secret"],
            Kind::ClientCertificate => &["tenant", "client_id", "client_certificate"],
            Kind::AzureCli => &["tenant"],
            Kind::Token => &["token"],
        };
        let given = [
            ("tenant", file.tenant.as_ref().map(|at| &at.span)),
            ("client_id", file.client_id.as_ref().map(|at| &at.span)),
            ("client_secret", file.client_secret.as_ref().map(|at| &at.span)),
            ("client_certificate", file.client_certificate.as_ref().map(|at| &at.span)),
            ("token_file", file.token_file.as_ref().map(|at| &at.span)),
            ("token", file.token.as_ref().map(|at| &at.span)),
        ];
        for (key, span) in given.into_iter().filter(|(key, _)| !reads.contains(key)) {
            self.idle(key, span, "the chosen `credential` does not read it");
        }

        let tenant = self.identifier("tenant", file.tenant.as_ref());
        let client_id = self.identifier("client_id", file.client_id.as_ref());
        let client_secret = self.secret_if("client_secret", file.client_secret.as_ref());
        let certificate = self.secret_if("client_certificate", file.client_certificate.as_ref());
        let token = self.secret_if("token", file.token.as_ref());
        let token_file = file.token_file.clone().and_then(|path| self.path("token_file", path));
        match kind.value {
            Kind::ClientCertificate if certificate == Some(None) => {
                self.needed((table, &kind), "client_certificate", "{ file = \"/path\" }");
            }
            Kind::Token if token == Some(None) => {
                self.needed((table, &kind), "token", "{ env = \"AZURE_ACCESS_TOKEN\" }");
            }
            _ => {}
        }
        // Only once all of it was looked at.
        let (tenant, client_id) = (tenant?, client_id?);
        let (client_secret, certificate, token) = (client_secret?, certificate?, token?);
        let or = |value: Option<String>, name| value.map_or(Setting::Env(name), Setting::Given);
        Some(match kind.value {
            Kind::Default => {
                CredentialConfig::Default { tenant: or(tenant, TENANT), client_id: or(client_id, CLIENT_ID) }
            }
            Kind::ManagedIdentity => CredentialConfig::ManagedIdentity { client_id },
            Kind::WorkloadIdentity => CredentialConfig::WorkloadIdentity {
                tenant: or(tenant, TENANT),
                client_id: or(client_id, CLIENT_ID),
                token_file: or(token_file.map(|path| path.display().to_string()), FEDERATED_TOKEN_FILE),
            },
            Kind::ClientSecret => CredentialConfig::ClientSecret {
                tenant: or(tenant, TENANT),
                client_id: or(client_id, CLIENT_ID),
                secret: client_secret.unwrap_or_else(|| SecretRef::Env(CLIENT_SECRET.into())),
            },
            Kind::ClientCertificate => CredentialConfig::ClientCertificate {
                tenant: or(tenant, TENANT),
                client_id: or(client_id, CLIENT_ID),
                certificate: certificate?,
            },
            Kind::AzureCli => CredentialConfig::AzureCli { tenant },
            Kind::Token => CredentialConfig::Token { token: token? },
        })
    }

    /// Reports what the credential cannot do without and does not have.
    fn needed(&mut self, (table, kind): (&Range<usize>, &At<CredentialKind>), key: &str, sample: &str) {
        if !self.report.dropped(table, key) {
            let problem = format!("this credential needs `{key}`");
            self.report.mistake(&kind.span, problem, format!("add {key} = {sample}"));
        }
    }

    /// A secret reference that may be absent; the outer `None` means that it is wrong.
    fn secret_if(&mut self, key: &str, secret: Option<&At<SecretFile>>) -> Option<Option<SecretRef>> {
        match secret {
            Some(secret) => self.secret(key, secret).map(Some),
            None => Some(None),
        }
    }

    /// An id or a domain that may be absent; the outer `None` means that it is wrong.
    fn identifier(&mut self, key: &str, text: Option<&At<String>>) -> Option<Option<String>> {
        let Some(text) = text else { return Some(None) };
        let rule = |text: &str| {
            let fits =
                !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
            fits.then(|| text.to_owned()).ok_or_else(|| format!("`{key}` is not an id"))
        };
        self.parsed(text, rule, "write the id that Microsoft Entra shows").map(Some)
    }

    pub(super) fn service(&mut self, url: &At<String>) -> Option<Url> {
        if url.value.contains(['@', '?', '#']) {
            self.report.blot(&url.span);
        }
        self.parsed(url, service_url, "write an https URL; plain http is for loopback addresses only")
    }

    /// Warns of a key that changes nothing.
    fn idle(&mut self, key: &str, given: Option<&Range<usize>>, why: &str) {
        if let Some(span) = given {
            self.report.warning(span, format!("`{key}` has no effect: {why}"), "take it out");
        }
    }
}

/// What tokens are issued for.
pub(super) fn audience(text: &str) -> Result<String, &'static str> {
    let fits = Url::parse(text).is_ok() && !text.contains('@');
    fits.then(|| text.trim_end_matches('/').to_owned()).ok_or("this is not a URL that tokens are issued for")
}

/// The clouds that Microsoft and 21Vianet run.
fn known_cloud(kind: Cloud) -> Option<CloudConfig> {
    let (resource_manager, authority, label_suffix) = match kind {
        Cloud::Public => {
            ("https://management.azure.com", "https://login.microsoftonline.com", "cloudapp.azure.com")
        }
        Cloud::UsGov => (
            "https://management.usgovcloudapi.net",
            "https://login.microsoftonline.us",
            "cloudapp.usgovcloudapi.net",
        ),
        Cloud::China => (
            "https://management.chinacloudapi.cn",
            "https://login.chinacloudapi.cn",
            "cloudapp.chinacloudapi.cn",
        ),
        Cloud::Custom => return None,
    };
    Some(CloudConfig {
        kind,
        resource_manager: Url::parse(resource_manager).ok()?,
        authority: Url::parse(authority).ok()?,
        audience: resource_manager.into(),
        label_suffix: Fqdn::parse(label_suffix).ok()?,
    })
}

const TENANT: &str = "AZURE_TENANT_ID";
const CLIENT_ID: &str = "AZURE_CLIENT_ID";
const CLIENT_SECRET: &str = "AZURE_CLIENT_SECRET";
const FEDERATED_TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";
