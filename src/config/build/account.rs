//! `[[account]]`: DNS providers.

use std::collections::BTreeMap;

use url::Url;

use super::Build;
use super::endpoint::Built;
use super::value::{guid, resource_group};
use crate::config::at::At;
use crate::config::file::{AccountFile, ZonesFile};
use crate::config::{AccountConfig, AccountKind, AzureConfig, ProviderKind, defaults};
use crate::model::name::ZoneName;

impl Build<'_> {
    pub(super) fn accounts(
        &mut self,
        files: &[At<AccountFile>],
        azure: Option<&AzureConfig>,
    ) -> Built<AccountConfig> {
        let names = files.iter().map(|file| file.value.name.as_ref());
        let names = self.names(names, "the account", str::eq);
        Built {
            built: files.iter().filter_map(|file| self.account(file, azure)).collect(),
            complete: names.len() == files.len(),
            names,
        }
    }

    fn account(&mut self, file: &At<AccountFile>, azure: Option<&AzureConfig>) -> Option<AccountConfig> {
        let name = file.value.name.as_ref().and_then(|name| self.handle(name));
        let name_servers = self.servers("name_servers", file.value.name_servers.as_ref());
        let kind = match file.value.provider.as_ref()?.value {
            ProviderKind::AzureDns => self.azure_dns(file, azure),
            ProviderKind::Cloudflare => self.cloudflare(file),
        };
        Some(AccountConfig { name: name?, kind: kind?, name_servers: name_servers? })
    }

    fn azure_dns(&mut self, file: &At<AccountFile>, azure: Option<&AzureConfig>) -> Option<AccountKind> {
        let (table, file) = (&file.span, &file.value);
        self.misplaced("token", file.token.as_ref().map(|at| &at.span), "Cloudflare");
        self.misplaced("api", file.api.as_ref().map(|at| &at.span), "Cloudflare");
        if file.resource_group.is_none() && !self.report.dropped(table, "resource_group") {
            let problem = "an Azure DNS account needs the resource group of its zones";
            self.report.mistake(table, problem, "add resource_group = \"rg-dns\"");
        }
        let group = file.resource_group.as_ref().and_then(|group| {
            self.parsed(
                group,
                resource_group,
                "up to 90 letters, digits and `_ ( ) - .`, no period at the end",
            )
        });
        let subscription = match &file.subscription {
            Some(id) => self.parsed(id, guid, "write the id that `az account list` shows"),
            None => azure.map(|azure| azure.subscription.clone()),
        };
        let zones = match &file.zones {
            Some(At { value: ZonesFile::Names(names), span }) => {
                let list = At { value: names.clone(), span: span.clone() };
                self.list("zones", &list, ZoneName::parse, "write it as in zones = [\"example.com\"]")
            }
            Some(At { value: ZonesFile::Ids(_), span }) => {
                let problem = "an Azure DNS zone has no id of its own";
                self.report.mistake(span, problem, "write a list, as in zones = [\"example.com\"]");
                None
            }
            None => Some(Vec::new()),
        };
        Some(AccountKind::AzureDns { resource_group: group?, subscription: subscription?, zones: zones? })
    }

    fn cloudflare(&mut self, file: &At<AccountFile>) -> Option<AccountKind> {
        let (table, file) = (&file.span, &file.value);
        self.misplaced("resource_group", file.resource_group.as_ref().map(|at| &at.span), "Azure DNS");
        self.misplaced("subscription", file.subscription.as_ref().map(|at| &at.span), "Azure DNS");
        if file.token.is_none() && !self.report.dropped(table, "token") {
            let problem = "a Cloudflare account needs a token";
            self.report.mistake(table, problem, "add token = { env = \"CLOUDFLARE_API_TOKEN\" }");
        }
        let token = file.token.as_ref().and_then(|token| self.secret("token", token));
        let api = match &file.api {
            Some(api) => self.service(api),
            None => Url::parse(defaults::CLOUDFLARE_API).ok(),
        };
        let zones = match &file.zones {
            Some(At { value: ZonesFile::Ids(ids), span }) => {
                if ids.is_empty() {
                    self.report.mistake(span, "`zones` is empty", "name at least one, or leave the key out");
                }
                let zones: Vec<_> = ids.iter().map(|(name, id)| self.zone_id(name, id)).collect();
                zones.into_iter().collect::<Option<BTreeMap<_, _>>>()
            }
            Some(At { value: ZonesFile::Names(_), span }) => {
                let problem = "a Cloudflare zone is picked by its id";
                self.report.mistake(span, problem, "write zones = { \"example.com\" = \"the zone's id\" }");
                None
            }
            None => Some(BTreeMap::new()),
        };
        let by_id = file.zones.as_ref().filter(|zones| matches!(zones.value, ZonesFile::Ids(_)));
        if let (Some(zones), None) = (by_id, &file.name_servers) {
            let problem = "zones that are not looked up do not tell their name servers, which are asked after every change";
            let remedy = "add name_servers = [\"…\"] with the two that the zone's overview page shows";
            self.report.mistake(&zones.span, problem, remedy);
        }
        Some(AccountKind::Cloudflare { token: token?, api: api?, zones: zones? })
    }

    fn zone_id(&mut self, name: &At<String>, id: &At<String>) -> Option<(ZoneName, String)> {
        let name = self.parsed(name, ZoneName::parse, "write the zone's name in full and in quotes");
        let rule = |text: &str| {
            let fits = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
            fits.then(|| text.to_owned()).ok_or_else(|| format!("\"{text}\" is not a zone's id"))
        };
        let id = self.parsed(id, rule, "copy the zone ID from the zone's overview page");
        Some((name?, id?))
    }

    fn misplaced(&mut self, key: &str, given: Option<&std::ops::Range<usize>>, provider: &str) {
        if let Some(span) = given {
            let problem = format!("`{key}` is for {provider} accounts");
            self.report.mistake(span, problem, "take it out, or change `provider`");
        }
    }
}
