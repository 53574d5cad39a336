//! The file as written becomes the configuration as used, or a list of everything that is wrong with it.
//!
//! Each part is built as far as it goes: `None` means that a mistake has been reported, and what depends on the part
//! is then left alone, so that one mistake is told once.

mod account;
mod azure;
mod endpoint;
mod gateway;
mod notify;
mod record;
mod threats;
mod value;

pub(super) use gateway::INTERNET;

use std::path::Path;

use serde::Deserialize;
use toml::de::DeTable;

use super::diagnostic::{Mistakes, Report, Source};
use super::file::{ConfigFile, HttpFile, LimitsFile, StateFile, TlsFile, VerifyFile, WatchFile};
use super::schema::schema;
use super::{
    Config, HttpConfig, LimitsConfig, ResolverConfig, StateConfig, TlsConfig, VerifyConfig, WatchConfig,
};
use super::{address, defaults, shape};
use crate::model::record::Owner;

/// Reads `text`; relative paths in it are relative to `base`.
pub(super) fn parse(text: &str, file: &str, base: Option<&Path>) -> Result<Config, Mistakes> {
    let source = Source { file, text };
    if text.trim_start_matches('\u{feff}').trim().is_empty() {
        return Err(Source::whole(file, "the file is empty", "write one with `cnamed init`"));
    }
    let mut report = Report::default();
    let (mut table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            if let Some(blot) = withheld(text, span.start) {
                report.blot(&blot);
            }
            report.mistake(
                &span,
                format!("not TOML: {}", error.message()),
                "see https://toml.io for the rules",
            );
        }
        return Err(Mistakes::of(report.finish(&source).0));
    }
    shape::check(&mut table, &schema(), &mut report);
    let config = match ConfigFile::deserialize(toml::Deserializer::from(table)) {
        Ok(file) => Build { source, report: &mut report, base }.config(file),
        Err(error) => {
            // The shape has been checked, so this is a disagreement between the schema and the types. What the
            // error says may quote a value, and is kept to ourselves.
            let span = error.span().unwrap_or(0..0);
            report.blot(&span);
            report.mistake(&span, "this cannot be read", "write it as `cnamed config schema` describes");
            None
        }
    };
    match (config, report.finish(&source)) {
        (Some(config), (mistakes, warnings)) if mistakes.is_empty() => Ok(Config { warnings, ..config }),
        (_, (mistakes, _)) => Err(Mistakes::of(mistakes)),
    }
}

/// What to say of a file that is not UTF-8: where it stops being text.
pub(super) fn not_text(file: &str, error: &std::string::FromUtf8Error) -> Mistakes {
    let valid = error.utf8_error().valid_up_to();
    let text = String::from_utf8_lossy(error.as_bytes());
    // The lossy text is the same up to the first byte that is wrong.
    let mut report = Report::default();
    if let Some(blot) = withheld(&text, valid) {
        report.blot(&blot);
    }
    report.mistake(&(valid..valid + 1), "the file is not UTF-8 from here on", "save it as UTF-8");
    Mistakes::of(report.finish(&Source { file, text: &text }).0)
}

/// What of a line that could not be parsed may be a secret: everything after a key that is not known to be harmless.
fn withheld(text: &str, at: usize) -> Option<std::ops::Range<usize>> {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
    let line = &text[start..end];
    let words =
        || line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    let schema = schema();
    let harmless = match line.split_once('=') {
        Some((key, _)) => shape::is_known(key.trim(), &schema),
        None => line.trim_start().starts_with('['),
    };
    if harmless && !words().any(|word| shape::is_secret(word, &schema)) {
        return None;
    }
    let from = line.find('=').map_or(start, |equals| start + equals + 1);
    Some(from..end)
}

/// What every part of the building needs.
struct Build<'b> {
    source: Source<'b>,
    report: &'b mut Report,
    base: Option<&'b Path>,
}

impl Build<'_> {
    fn config(&mut self, file: ConfigFile) -> Option<Config> {
        let owner = file.owner.and_then(|owner| {
            let fitting: String = (owner.value.to_lowercase().chars().take(39))
                .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
                .collect();
            let fitting = fitting.trim_start_matches('-');
            let sample = if fitting.is_empty() { "ops-westeurope" } else { fitting };
            self.parsed(&owner, Owner::parse, &format!("write it as in owner = \"{sample}\""))
        });
        let azure = file.azure.as_ref().and_then(|azure| self.azure(azure));
        let endpoints = self.endpoints(&file.endpoint, azure.as_ref(), owner.as_ref());
        let accounts = self.accounts(&file.account, azure.as_ref());
        let records = self.records(&file.record, azure.as_ref(), &endpoints, &accounts);
        let watch = self.watch(&file.watch.unwrap_or_default());
        let verify = self.verify(&file.verify.unwrap_or_default());
        let limits = self.limits(&file.limits.unwrap_or_default());
        let http = self.http(&file.http.unwrap_or_default());
        let state = self.state(file.state.unwrap_or_default());
        let tls = self.tls(file.tls.unwrap_or_default());
        let threats = match &file.threats {
            Some(threats) => self.threats(threats, azure.as_ref()).map(Some),
            None => Some(None),
        };
        let notifiers = self.notifiers(&file.notify);
        if file.endpoint.is_empty() {
            self.report.warning(&(0..0), "there is no [[endpoint]], so there is nothing to do", "add one");
        }
        Some(Config {
            owner: owner?,
            prune: file.prune.map_or(defaults::PRUNE, |prune| prune.value),
            azure: azure?,
            endpoints: endpoints.built,
            accounts: accounts.built,
            records,
            watch: watch?,
            verify: verify?,
            limits: limits?,
            state,
            http: http?,
            tls,
            threats: threats?,
            notifiers: notifiers?,
            warnings: Vec::new(),
        })
    }

    fn watch(&mut self, file: &WatchFile) -> Option<WatchConfig> {
        let interval = self.duration("interval", file.interval.as_ref(), defaults::INTERVAL);
        let label_interval =
            self.duration("label_interval", file.label_interval.as_ref(), defaults::LABEL_INTERVAL);
        Some(WatchConfig { interval: interval?, label_interval: label_interval? })
    }

    fn verify(&mut self, file: &VerifyFile) -> Option<VerifyConfig> {
        let resolvers = match &file.resolvers {
            Some(list) => {
                self.list("resolvers", list, str::parse, "write \"system\", an address, or address:port")
            }
            None => Some(vec![ResolverConfig::System]),
        };
        let label_servers = self.servers("label_servers", file.label_servers.as_ref());
        let timeout = self.duration("timeout", file.timeout.as_ref(), defaults::TIMEOUT);
        let proxy = file.proxy.as_ref().map(|proxy| {
            let remedy = "write it as in proxy = \"socks5://bastion.example.net:1080\", without a user name";
            self.blotted(proxy, str::parse, remedy)
        });
        Some(VerifyConfig {
            authoritative: file.authoritative.as_ref().map_or(defaults::AUTHORITATIVE, |at| at.value),
            resolvers: resolvers?,
            label_servers: label_servers?,
            timeout: timeout?,
            proxy: proxy.map_or(Some(None), |proxy| proxy.map(Some))?,
        })
    }

    fn limits(&mut self, file: &LimitsFile) -> Option<LimitsConfig> {
        let deletes = file.deletes_per_round.as_ref().map_or(defaults::DELETES_PER_ROUND, |at| at.value);
        let timeout =
            self.duration("request_timeout", file.request_timeout.as_ref(), defaults::REQUEST_TIMEOUT);
        Some(LimitsConfig {
            deletes_per_round: usize::try_from(deletes).unwrap_or(usize::MAX),
            request_timeout: timeout?,
        })
    }

    fn http(&mut self, file: &HttpFile) -> Option<HttpConfig> {
        let listen = match &file.listen {
            Some(listen) => {
                let parse = |text: &str| {
                    text.parse().map_err(|_| format!("\"{text}\" is not an address with a port"))
                };
                self.parsed(listen, parse, "write it as in listen = \"127.0.0.1:9953\"")
            }
            None => Some(defaults::LISTEN),
        };
        let remedy = "write a host name alone; addresses and localhost are always taken";
        let names = match &file.names {
            Some(names) => self.list("names", names, address::host_name, remedy),
            None => Some(Vec::new()),
        };
        Some(HttpConfig { listen: listen?, names: names? })
    }

    fn state(&mut self, file: StateFile) -> StateConfig {
        let directory = file.directory.and_then(|directory| self.path("directory", directory));
        StateConfig { directory: directory.unwrap_or_else(|| defaults::STATE_DIRECTORY.into()) }
    }

    fn tls(&mut self, file: TlsFile) -> TlsConfig {
        TlsConfig { extra_ca: file.extra_ca.and_then(|path| self.path("extra_ca", path)) }
    }
}
