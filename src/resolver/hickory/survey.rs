//! Who serves a zone, by the word of each resolver and of the zone above.

use std::net::SocketAddr;

use async_trait::async_trait;
use futures::future::join_all;
use hickory_net::proto::op::{Message, ResponseCode};
use hickory_net::proto::rr::{Name, RData, Record, RecordType};
use tokio::time::Instant;

use super::Hickory;
use super::servers::Target;
use super::wire::{self, Patience, Query};
use crate::model::name::Fqdn;
use crate::resolver::{Heard, Survey};

#[async_trait]
impl Survey for Hickory {
    async fn name_servers(&self, zone: &Fqdn) -> Vec<Heard> {
        let patience = self.patience();
        let name = wire::wire_name(zone);
        let asked = self.resolvers().into_iter().map(|target| {
            let (name, patience) = (name.clone(), &patience);
            async move {
                let began = Instant::now();
                let (server, said) = match (target, name) {
                    (Target::Unknown { server, why }, _) => (server, Err(why)),
                    (Target::Server(server), Err(why)) => (server.to_string(), Err(why)),
                    (Target::Server(server), Ok(name)) => {
                        let query = Query::of(&name, RecordType::NS, true);
                        let answer = query.exchange(server.address, patience).await;
                        let said = answer
                            .map_err(|failure| failure.to_string())
                            .and_then(|message| named(&message, &name));
                        (server.to_string(), said)
                    }
                };
                Heard { server, said, took: began.elapsed() }
            }
        });
        join_all(asked).await
    }

    async fn delegated_to(&self, zone: &Fqdn) -> Option<Vec<String>> {
        let patience = self.patience();
        let name = wire::wire_name(zone).ok()?;
        let servers = self.servers_above(&name, &patience).await?;
        // One after the other, and only until one refers: registries have many, and all say the same.
        for address in servers.into_iter().take(SERVERS) {
            let query = Query::of(&name, RecordType::NS, false);
            let Ok(message) = query.exchange(address, &patience).await else { continue };
            let named = servers_of(message.authorities.iter().chain(&message.answers), &name);
            if message.metadata.response_code == ResponseCode::NXDomain
                || (named.is_empty() && message.metadata.authoritative)
            {
                return Some(Vec::new());
            }
            if !named.is_empty() {
                return Some(named);
            }
        }
        None
    }
}

impl Hickory {
    /// The addresses of the servers of the nearest zone above `zone`.
    async fn servers_above(&self, zone: &Name, patience: &Patience) -> Option<Vec<SocketAddr>> {
        let mut above = zone.base_name();
        while !above.is_root() {
            // A zone that exists is asked about, so no absence is planted anywhere.
            if let Ok(message) = self.ask_resolvers(&above, RecordType::NS, patience).await {
                let servers = servers_of(message.answers.iter(), &above);
                if !servers.is_empty() {
                    let targets = self.addresses_of(&servers, patience).await;
                    let addresses = targets.into_iter().filter_map(|target| match target {
                        Target::Server(server) => Some(server.address),
                        Target::Unknown { .. } => None,
                    });
                    return Some(addresses.collect());
                }
            }
            above = above.base_name();
        }
        None
    }
}

/// The servers that an answer names for `zone`, or why it is none.
fn named(message: &Message, zone: &Name) -> Result<Vec<String>, String> {
    match message.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => Ok(servers_of(message.answers.iter(), zone)),
        code => Err(wire::in_words(code)),
    }
}

fn servers_of<'r>(records: impl Iterator<Item = &'r Record>, zone: &Name) -> Vec<String> {
    let mut servers: Vec<String> = records
        .filter(|record| &record.name == zone)
        .filter_map(|record| match &record.data {
            RData::NS(ns) => Some(wire::bare(&ns.0).to_ascii_lowercase()),
            _ => None,
        })
        .collect();
    servers.sort();
    servers.dedup();
    servers
}

/// Servers of the zone above that are asked at most.
const SERVERS: usize = 3;
