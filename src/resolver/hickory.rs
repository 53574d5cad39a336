//! The resolver over hickory: single questions to single servers, since only then is it known who said what.
//!
//! Hickory's own resolver picks a server, caches, and turns answers into errors; here every server is asked,
//! nothing is cached but who serves a zone, and the message itself is read. A question costs one UDP socket for
//! as long as it is open; between questions this holds no socket, no task and no timer.

mod servers;
mod survey;
mod wire;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, StreamExt};
use hickory_resolver::system_conf::read_system_conf;

use self::servers::{Delegations, Server, Target};
use self::wire::{Patience, Query};
use super::{Question, Resolver, Via};
use crate::model::verify::{Answer, Said};

/// How to reach name servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The recursive resolvers: `system` for those that this host is set up with, an address, or `ip:port`.
    ///
    /// They also find the addresses of name servers that are known by name.
    pub resolvers: Vec<String>,
    /// How long one attempt waits for its answer; at most a minute.
    pub timeout: Duration,
    /// How often a question is sent over UDP before its server counts as silent; at least once.
    pub attempts: u8,
    /// The port of servers that are known without one: 53 (RFC 1035, 4.2), save for a rehearsal on loopback.
    pub port: u16,
}

impl Default for Settings {
    /// The host's resolvers, and at most twice two seconds for a server.
    fn default() -> Self {
        Self {
            resolvers: vec![SYSTEM.to_owned()],
            timeout: Duration::from_secs(2),
            attempts: 2,
            port: DNS_PORT,
        }
    }
}

/// Why [`Settings`] cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The text names no resolver.
    #[error(
        "\"{0}\" is not a resolver: write \"system\", an address such as 192.0.2.53, or an address and port such as 192.0.2.53:53 or [2001:db8::53]:53"
    )]
    Resolver(String),
    /// Nobody would ever be asked.
    #[error("no resolver is named; write \"system\" for those of this host")]
    NoResolver,
    /// Every server would be silent, or a silent one would hold up everything.
    #[error("a time-out of {} is outside 1ms to 1m", humantime::format_duration(*.0))]
    Timeout(Duration),
}

/// A resolver as configured: read at each use, since a host's own may change under a running service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Configured {
    System,
    Address(SocketAddr),
}

/// Asks name servers over UDP, and over TCP what does not fit.
///
/// A lookup ends within eight times `timeout × attempts`, whoever is silent; one server takes at most that product,
/// and one `timeout` more if it truncates.
pub struct Hickory {
    resolvers: Vec<Configured>,
    timeout: Duration,
    attempts: u8,
    port: u16,
    delegations: Delegations,
}

impl Hickory {
    /// A resolver with these settings. Opens nothing.
    ///
    /// # Errors
    /// Says which setting cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        if settings.resolvers.is_empty() {
            return Err(SettingsError::NoResolver);
        }
        if !(Duration::from_millis(1)..=Duration::from_secs(60)).contains(&settings.timeout) {
            return Err(SettingsError::Timeout(settings.timeout));
        }
        let resolvers = settings.resolvers.iter().map(|text| configured(text, settings.port));
        Ok(Self {
            resolvers: resolvers.collect::<Result<_, _>>()?,
            timeout: settings.timeout,
            attempts: settings.attempts.max(1),
            port: settings.port,
            delegations: Delegations::default(),
        })
    }

    fn patience(&self) -> Patience {
        Patience::new(self.timeout, self.attempts)
    }

    /// The configured resolvers' addresses, each once; what stands for those of a host that names none is an error.
    fn resolvers(&self) -> Vec<Target> {
        let mut targets: Vec<Target> = Vec::new();
        let mut add = |target| {
            if !targets.contains(&target) {
                targets.push(target);
            }
        };
        for resolver in &self.resolvers {
            match resolver {
                Configured::Address(address) => add(Target::Server(Server::at(*address))),
                Configured::System => match read_system_conf() {
                    Ok((config, _)) => {
                        for server in config.name_servers() {
                            let port = server.connections.first().map_or(DNS_PORT, |c| c.port);
                            add(Target::Server(Server::at(SocketAddr::new(server.ip, port))));
                        }
                    }
                    Err(error) => add(Target::Unknown {
                        server: SYSTEM.to_owned(),
                        why: format!("this host's resolvers cannot be read: {error}"),
                    }),
                },
            }
        }
        targets
    }

    /// Puts one question to every target, in their order.
    async fn ask(
        &self,
        question: &Question,
        targets: Vec<Target>,
        recursive: bool,
        patience: &Patience,
    ) -> Vec<Answer> {
        let query = Query::new(question, recursive);
        let asked = targets.into_iter().map(|target| {
            let query = &query;
            async move {
                match (target, query) {
                    (Target::Unknown { server, why }, _) => Answer { server, said: Said::Failed(why) },
                    (Target::Server(server), Err(why)) => {
                        Answer { server: server.to_string(), said: Said::Failed(why.clone()) }
                    }
                    (Target::Server(server), Ok(query)) => {
                        let said = query.put_to(server.address, patience).await;
                        Answer { server: server.to_string(), said }
                    }
                }
            }
        });
        let asked: Vec<_> = asked.collect();
        stream::iter(asked).buffered(CONCURRENCY).collect().await
    }
}

#[async_trait]
impl Resolver for Hickory {
    async fn lookup(&self, question: &Question, via: &Via) -> Vec<Answer> {
        let patience = self.patience();
        match via {
            Via::Recursive => self.ask(question, self.resolvers(), true, &patience).await,
            Via::Servers(servers) => {
                let targets = self.addresses_of(servers, &patience).await;
                self.ask(question, targets, false, &patience).await
            }
            Via::Authority => {
                let targets = match self.authority(&question.name, &patience).await {
                    Ok(targets) => targets,
                    Err(why) => {
                        vec![Target::Unknown { server: format!("authority of {}", question.name), why }]
                    }
                };
                let answers = self.ask(question, targets, false, &patience).await;
                if answers.iter().all(|answer| matches!(answer.said, Said::Failed(_))) {
                    self.delegations.forget(&question.name);
                }
                answers
            }
        }
    }
}

impl fmt::Debug for Hickory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hickory").field("resolvers", &self.resolvers).finish_non_exhaustive()
    }
}

fn configured(text: &str, port: u16) -> Result<Configured, SettingsError> {
    if text == SYSTEM {
        return Ok(Configured::System);
    }
    let address = text.parse::<SocketAddr>().or_else(|_| text.parse::<IpAddr>().map(|ip| (ip, port).into()));
    address.map(Configured::Address).map_err(|_| SettingsError::Resolver(text.to_owned()))
}

/// The word for the host's own resolvers.
const SYSTEM: &str = "system";

/// RFC 1035, 4.2.
const DNS_PORT: u16 = 53;

/// Questions of one lookup that are open at a time: more than any zone has servers, fewer than hurt.
const CONCURRENCY: usize = 16;
