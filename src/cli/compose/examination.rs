//! What `cnamed doctor` runs on: the same parts as a round's, each built as far as it goes, since what cannot be built
//! is what it is asked about.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Builder, azure_dns, http, load_config, resolver, told, workspace};
use crate::cli::args::Global;
use crate::cli::exit::Exit;
use crate::cli::output::Output;
use crate::config::{AccountKind, Config, Environment};
use crate::doctor::{Account, Azure, Doctor};
use crate::model::state::Consents;
use crate::provider::LogonProvider;
use crate::provider::azure::{Arm, AzureNetwork, LogAnalytics};
use crate::provider::cloudflare::Cloudflare;
use crate::provider::http::Http;

/// A configuration, and whoever examines what it leads to.
#[derive(Debug)]
pub(crate) struct Examination {
    pub(crate) config: Config,
    pub(crate) doctor: Doctor,
    pub(crate) http: Arc<Http>,
}

impl Examination {
    /// Reads the configuration and builds what can be built; tells what is wrong with the former.
    pub(crate) fn load(global: &Global, output: &Output) -> Result<Self, Exit> {
        let config = load_config(global, output)?;
        Self::build(config, &Environment::process()).map_err(|text| output.failure(&text, Exit::Usage))
    }

    fn build(config: Config, environment: &Environment) -> Result<Self, String> {
        let http = http(&config, DEADLINE)?;
        let builder = Builder { environment, azure: &config.azure };
        let arm = builder.settings().and_then(|settings| Arm::new(&http, &settings).map_err(told));
        let arm = arm.map(Arc::new);
        let mut accounts = BTreeMap::new();
        for account in &config.accounts {
            let built = match &account.kind {
                AccountKind::AzureDns { resource_group, subscription, zones } => match &arm {
                    Ok(arm) => {
                        let provider = azure_dns(account, (resource_group, subscription, zones), arm);
                        Ok(Account { provider: Arc::new(provider), rights: None })
                    }
                    Err(_) => Err(None),
                },
                AccountKind::Cloudflare { token, api, zones } => {
                    let provider = builder.cloudflare(account, (token, api, zones), &http).map(Arc::new);
                    let own = |provider: Arc<Cloudflare>| Account {
                        provider: provider.clone(),
                        rights: Some(provider),
                    };
                    provider.map(own).map_err(Some)
                }
            };
            accounts.insert(account.name.clone(), built);
        }
        let logons = config.threats.as_ref().map(|threats| {
            let settings = builder.settings()?;
            let logons = LogAnalytics::new(&http, &settings.cloud, &settings.credential, workspace(threats));
            Ok(Arc::new(logons.map_err(told)?) as Arc<dyn LogonProvider>)
        });
        let resolver = Arc::new(resolver(&config).map_err(told)?);
        let doctor = Doctor {
            desired: config.desired(Consents::default()),
            subscription: config.azure.subscription.clone(),
            azure: arm.map(|arm| Azure { rights: arm.clone(), network: Arc::new(AzureNetwork::new(arm)) }),
            accounts,
            logons,
            resolver: resolver.clone(),
            survey: resolver,
            label_servers: config.verify.label_servers.iter().map(ToString::to_string).collect(),
            label_suffix: config.azure.cloud.label_suffix.clone(),
        };
        Ok(Self { config, doctor, http })
    }
}

/// After how long a question is not asked again: whoever waits for a diagnosis wants it soon.
const DEADLINE: Duration = Duration::from_secs(25);
