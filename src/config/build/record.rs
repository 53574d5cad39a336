//! `[[record]]`: friendly names, and what they may not be.

use std::collections::BTreeMap;

use super::Build;
use super::endpoint::Built;
use super::value::instead;
use crate::config::at::At;
use crate::config::file::RecordFile;
use crate::config::shape::ANY;
use crate::config::{AccountConfig, AccountKind, AzureConfig, RecordConfig, defaults};
use crate::model::endpoint::{Endpoint, Handle};
use crate::model::name::{Fqdn, LABEL_SUFFIXES, ZoneName};
use crate::model::record::{Mode, Ttl};

impl Build<'_> {
    /// The records that could be built; the others have been reported.
    pub(super) fn records(
        &mut self,
        files: &[At<RecordFile>],
        azure: Option<&AzureConfig>,
        endpoints: &Built<Endpoint>,
        accounts: &Built<AccountConfig>,
    ) -> Vec<RecordConfig> {
        let mut holders: BTreeMap<(Fqdn, String), usize> = BTreeMap::new();
        let mut records = Vec::new();
        for file in files.iter().map(|file| &file.value) {
            let name = file.name.as_ref().and_then(|name| self.name(name, azure));
            let endpoint = file.endpoint.as_ref().and_then(|at| self.reference(at, endpoints, "endpoint"));
            let held_by = file.accounts.as_ref().and_then(|list| self.held_by(list, accounts));
            if let (Some(at), Some(name)) = (&file.name, &name) {
                self.once(at, name, file, &mut holders);
            }
            let chosen: Vec<(&At<String>, &AccountConfig)> = (file.accounts.iter())
                .flat_map(|list| &list.value)
                .filter_map(|at| Some((at, accounts.built.iter().find(|a| a.name.as_str() == at.value)?)))
                .collect();
            self.ttl(file, &chosen);
            self.mode(file, name.as_ref(), &chosen);
            self.zone(file, name.as_ref(), &chosen);
            self.proxied(file, endpoint.as_ref(), endpoints, &chosen);
            let ttl = file.ttl.as_ref().map_or(Some(defaults::TTL), |ttl| Ttl::new(ttl.value));
            if let (Some(name), Some(endpoint), Some(accounts), Some(ttl)) = (name, endpoint, held_by, ttl) {
                records.push(RecordConfig {
                    name,
                    endpoint,
                    accounts,
                    ttl,
                    mode: mode(file),
                    policy: file.policy.as_ref().map(|at| at.value).unwrap_or_default(),
                    proxied: proxied(file),
                });
            }
        }
        records
    }

    fn name(&mut self, at: &At<String>, azure: Option<&AzureConfig>) -> Option<Fqdn> {
        let name = self.parsed(at, Fqdn::parse, "write it as in name = \"jumpstation.example.com\"")?;
        let custom = azure.map(|azure| azure.cloud.label_suffix.as_str());
        let suffix = LABEL_SUFFIXES.into_iter().chain(custom).find(|suffix| {
            name.as_str().strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        });
        if let Some(suffix) = suffix {
            let problem = format!("\"{name}\" is under {suffix}, where labels are; it would lead to itself");
            self.report.mistake(&at.span, problem, "write a name in a zone of your own");
            return None;
        }
        Some(name)
    }

    /// A handle that must be in `tables`.
    fn reference<T>(&mut self, at: &At<String>, tables: &Built<T>, what: &str) -> Option<Handle> {
        if !tables.has(&at.value) {
            let known = tables.names.iter().map(|name| name.value.as_str());
            let remedy = instead(&at.value, known, &format!("an [[{what}]]"));
            self.report.mistake(&at.span, format!("there is no {what} \"{}\"", at.value), remedy);
            return None;
        }
        // A handle that breaks the rules is reported where it is given.
        Handle::parse(&at.value).ok()
    }

    fn held_by(
        &mut self,
        list: &At<Vec<At<String>>>,
        accounts: &Built<AccountConfig>,
    ) -> Option<Vec<Handle>> {
        if list.value.is_empty() {
            if self.report.dropped(&list.span, ANY) {
                return None;
            }
            self.report.mistake(
                &list.span,
                "`accounts` is empty, so no account holds this name",
                "name at least one",
            );
            return None;
        }
        let mut handles = Vec::new();
        for (at, text) in list.value.iter().enumerate() {
            if list.value[..at].iter().any(|earlier| earlier.value == text.value) {
                let problem = format!("the account \"{}\" is named twice", text.value);
                self.report.mistake(&text.span, problem, "name it once");
            }
            handles.extend(self.reference(text, accounts, "account"));
        }
        (handles.len() == list.value.len()).then_some(handles)
    }

    /// One name is wanted once in one account.
    fn once(
        &mut self,
        at: &At<String>,
        name: &Fqdn,
        file: &RecordFile,
        holders: &mut BTreeMap<(Fqdn, String), usize>,
    ) {
        let mut accounts: Vec<&String> =
            file.accounts.iter().flat_map(|list| &list.value).map(|at| &at.value).collect();
        accounts.sort_unstable();
        accounts.dedup();
        for account in accounts {
            if let Some(first) = holders.insert((name.clone(), account.clone()), at.span.start) {
                let line = self.source.line(first);
                let problem = format!("\"{name}\" in account \"{account}\" is there already, on line {line}");
                self.report.mistake(&at.span, problem, "take one of them out");
            }
        }
    }

    /// Cloudflare's limits are narrower than those of DNS, which the schema has.
    fn ttl(&mut self, file: &RecordFile, chosen: &[(&At<String>, &AccountConfig)]) {
        let Some(ttl) = &file.ttl else { return };
        let Some((at, _)) = chosen.iter().find(|(_, account)| is_cloudflare(account)) else { return };
        match ttl.value {
            // Below 60 the zone's plan decides; the guard knows it before anything is written.
            1 | 30..=86_400 => {}
            seconds => {
                let problem = format!(
                    "a TTL of {seconds} is outside what Cloudflare takes, in account \"{}\"",
                    at.value
                );
                self.report.mistake(&ttl.span, problem, "write 30 to 86400, or 1 for automatic");
            }
        }
    }

    fn mode(&mut self, file: &RecordFile, name: Option<&Fqdn>, chosen: &[(&At<String>, &AccountConfig)]) {
        for (at, account) in chosen {
            match &account.kind {
                AccountKind::Cloudflare { .. } if mode(file) == Mode::Alias => {
                    let span = file.mode.as_ref().map_or(&at.span, |mode| &mode.span);
                    let problem =
                        format!("account \"{}\" is Cloudflare, which has no alias record sets", at.value);
                    self.report.mistake(span, problem, "write mode = \"auto\", or a record for each account");
                }
                AccountKind::AzureDns { zones, .. } if mode(file) == Mode::Cname => {
                    let Some((name, written)) = name.zip(file.name.as_ref()) else { continue };
                    if zones.iter().any(|zone| zone.apex() == name) {
                        let problem = format!("\"{name}\" is a zone's apex, where Azure DNS takes no CNAME");
                        self.report.mistake(&written.span, problem, "write mode = \"auto\" or \"alias\"");
                    }
                }
                AccountKind::Cloudflare { .. } | AccountKind::AzureDns { .. } => {}
            }
        }
    }

    /// Where an account lists its zones, one of them holds the name.
    fn zone(&mut self, file: &RecordFile, name: Option<&Fqdn>, chosen: &[(&At<String>, &AccountConfig)]) {
        let Some((name, written)) = name.zip(file.name.as_ref()) else { return };
        for (at, account) in chosen {
            let zones: Vec<&ZoneName> = match &account.kind {
                AccountKind::AzureDns { zones, .. } => zones.iter().collect(),
                AccountKind::Cloudflare { zones, .. } => zones.keys().collect(),
            };
            if !zones.is_empty() && !zones.iter().any(|zone| zone.holds(name)) {
                let problem = format!("none of the `zones` of account \"{}\" holds \"{name}\"", at.value);
                self.report.mistake(
                    &written.span,
                    problem,
                    "add the zone there, or take the account out here",
                );
            }
        }
    }

    fn proxied(
        &mut self,
        file: &RecordFile,
        endpoint: Option<&Handle>,
        endpoints: &Built<Endpoint>,
        chosen: &[(&At<String>, &AccountConfig)],
    ) {
        let Some(proxied) = file.proxied.as_ref().filter(|proxied| proxied.value) else { return };
        for (at, _) in chosen.iter().filter(|(_, account)| !is_cloudflare(account)) {
            let problem = format!("account \"{}\" is not Cloudflare, and only Cloudflare proxies", at.value);
            self.report.mistake(
                &proxied.span,
                problem,
                "write a record for each account, and `proxied` in one",
            );
        }
        let rules = (endpoints.built.iter())
            .filter(|one| Some(&one.name) == endpoint)
            .filter_map(|one| one.gateway.as_ref())
            .flat_map(|gateway| &gateway.nat_rules);
        if let Some((rule, what)) = rules.filter_map(|rule| Some((rule, rule.remote_access()?))).next() {
            let problem =
                format!("a proxied name cannot carry {what}, and the NAT rule \"{}\" is for it", rule.name);
            self.report.mistake(&proxied.span, problem, "write proxied = false");
        }
        if let Some(ttl) = file.ttl.as_ref().filter(|ttl| ttl.value != Ttl::AUTOMATIC.seconds()) {
            let problem = "`ttl` has no effect: Cloudflare keeps proxied records on automatic";
            self.report.warning(&ttl.span, problem, "take it out");
        }
    }
}

fn mode(file: &RecordFile) -> Mode {
    file.mode.as_ref().map(|at| at.value).unwrap_or_default()
}

fn proxied(file: &RecordFile) -> bool {
    file.proxied.as_ref().map_or(defaults::PROXIED, |at| at.value)
}

fn is_cloudflare(account: &AccountConfig) -> bool {
    matches!(account.kind, AccountKind::Cloudflare { .. })
}
