//! From the configuration to those who are told. A new way of telling is one line here.

use std::ffi::OsString;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::told;
use crate::config::{Channel, Config, Environment, NotifyConfig, SecretRef};
use crate::notify::address::Address;
use crate::notify::command::Hooked;
use crate::notify::desk::Subscriber;
use crate::notify::heartbeat::Heartbeat;
use crate::notify::mute::Mute;
use crate::notify::slack::Slack;
use crate::notify::teams::Teams;
use crate::notify::webhook::Webhook;
use crate::notify::{Notifier, Subscription};
use crate::provider::http::Http;

/// Everybody who is told, in the order of the file. Whose secrets cannot be read is mute, and says why: a webhook is no
/// reason for names not to be kept.
pub(crate) fn subscribers(config: &Config, environment: &Environment, http: &Arc<Http>) -> Vec<Subscriber> {
    let subscriber =
        |one: &NotifyConfig| Subscriber { notifier: notifier(one, environment, http), repeat: one.repeat };
    config.notifiers.iter().map(subscriber).collect()
}

fn notifier(config: &NotifyConfig, environment: &Environment, http: &Arc<Http>) -> Arc<dyn Notifier> {
    let subscription = Subscription { name: config.name.clone(), topics: config.events.clone() };
    let built = || -> Result<Arc<dyn Notifier>, String> {
        let (who, http, limit) = (subscription.clone(), Arc::clone(http), config.timeout);
        Ok(match &config.channel {
            Channel::Webhook { url, secret } => {
                let secret = secret.as_ref().map(|secret| read("secret", secret, environment)).transpose()?;
                Arc::new(Webhook::new(who, http, address(url, environment)?, limit, secret.as_ref()))
            }
            Channel::Slack { url } => Arc::new(Slack::new(who, http, address(url, environment)?, limit)),
            Channel::Teams { url } => Arc::new(Teams::new(who, http, address(url, environment)?, limit)),
            Channel::Heartbeat { url } => {
                Arc::new(Heartbeat::new(who.name, http, address(url, environment)?, limit))
            }
            Channel::Command { command } => {
                Arc::new(Hooked::new(who, command.clone(), inherited(environment), limit))
            }
        })
    };
    built().unwrap_or_else(|reason| {
        let heartbeat = matches!(config.channel, Channel::Heartbeat { .. });
        Arc::new(Mute::new(subscription.clone(), heartbeat, reason))
    })
}

fn address(url: &SecretRef, environment: &Environment) -> Result<Address, String> {
    let text = read("url", url, environment)?;
    Address::parse(text.expose_secret()).map_err(|error| format!("its url, {url}, is of no use: {error}"))
}

fn read(key: &str, reference: &SecretRef, environment: &Environment) -> Result<SecretString, String> {
    reference.read(environment).map_err(|error| format!("its {key} is missing: {}", told(error)))
}

/// What a command keeps of the environment: enough to find programs and a home, and no secret.
fn inherited(environment: &Environment) -> Vec<(String, OsString)> {
    let kept = ["PATH", "HOME", "LANG"];
    kept.iter().filter_map(|name| Some(((*name).to_owned(), environment.get(name)?.into()))).collect()
}
