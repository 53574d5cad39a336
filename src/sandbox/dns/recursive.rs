//! The recursive resolver: it asks the sandbox's own authoritative servers over real sockets and remembers.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_net::proto::op::{Message, ResponseCode};
use hickory_net::proto::rr::rdata::SOA;
use hickory_net::proto::rr::{Name, RData, Record, RecordType};

use super::answer::{Answer, text};
use super::ask;
use super::cache::Known;
use super::zone::{self, Publisher, absolute, is_within};
use crate::sandbox::Delegation;
use crate::sandbox::azure;
use crate::sandbox::fault::{DnsFault, NameServer};
use crate::sandbox::world::{Cloud, World};

/// Resolves names as a recursive resolver does (RFC 1034, 5.3.3).
#[derive(Clone, Debug)]
pub(crate) struct Recursor {
    cloud: Cloud,
}

impl Recursor {
    pub(crate) fn new(cloud: Cloud) -> Self {
        Self { cloud }
    }

    /// The answer to a client that wants recursion, from memory where that has it.
    pub(crate) async fn resolve(&self, question: &Name, kind: RecordType) -> Answer {
        self.chase(question, kind, true).await
    }

    /// As [`Recursor::resolve`], past the memory: what a provider's own resolver does for flattening.
    pub(crate) async fn look_up(&self, question: &Name, kind: RecordType) -> Answer {
        self.chase(question, kind, false).await
    }

    /// The answer to a client that wants no recursion: what is in memory, and REFUSED for the rest.
    pub(crate) fn remembered(&self, question: &Name, kind: RecordType) -> Answer {
        let mut answer = Answer::only(ResponseCode::NoError);
        let mut owner = question.clone();
        for _ in 0..=MAX_CHAIN {
            match self.known(&text(&owner), kind) {
                Some(known) => {
                    if let Some(target) = take(&mut answer, &owner, kind, known) {
                        owner = target;
                    } else {
                        return answer;
                    }
                }
                None if answer.answers.is_empty() => return Answer::only(ResponseCode::Refused),
                None => return answer,
            }
        }
        Answer::only(ResponseCode::ServFail)
    }

    async fn chase(&self, question: &Name, kind: RecordType, remember: bool) -> Answer {
        let mut answer = Answer::only(ResponseCode::NoError);
        let mut owner = question.clone();
        for _ in 0..=MAX_CHAIN {
            let name = text(&owner);
            let known = match remember.then(|| self.known(&name, kind)).flatten() {
                Some(known) => known,
                None => {
                    let Some((found, known)) = self.learn(&name, kind).await else {
                        return Answer::only(ResponseCode::ServFail);
                    };
                    if remember {
                        self.cloud.with(|world| {
                            let now = world.now();
                            world.dns.cache.put(&name, found, &known, now);
                        });
                    }
                    known
                }
            };
            match take(&mut answer, &owner, kind, known) {
                Some(target) => owner = target,
                None => return answer,
            }
        }
        Answer::only(ResponseCode::ServFail)
    }

    fn known(&self, name: &str, kind: RecordType) -> Option<Known> {
        self.cloud.with(|world| {
            let stale = world.faults.dns(NameServer::Recursive) == Some(DnsFault::Stale);
            let now = world.now();
            let cache = &world.dns.cache;
            // That there is no alias says nothing of what there is.
            let alias = || cache.get(name, RecordType::CNAME, now, stale);
            let alias = || alias().filter(|known| matches!(known, Known::Records(_)));
            cache.get(name, kind, now, stale).or_else(alias)
        })
    }

    /// Asks the servers of the zone, following delegations; the type under which the answer is to be kept, and the
    /// answer. `None` when no server gives a usable one.
    async fn learn(&self, name: &str, kind: RecordType) -> Option<(RecordType, Known)> {
        let mut servers = match self.cloud.with(|world| delegated(world, name)) {
            Start::Servers(servers) => servers,
            Start::Nowhere(code) => return Some((kind, Known::Absent(code, root_soa()))),
        };
        for _ in 0..=MAX_REFERRALS {
            let message = self.first_answer(&servers, name, kind).await?;
            let owned = |record: &&Record| text(&record.name) == name;
            let of = |kind: RecordType| -> Vec<Record> {
                let wanted = |record: &&Record| kind == RecordType::ANY || record.record_type() == kind;
                message.answers.iter().filter(owned).filter(wanted).cloned().collect()
            };
            let (exact, alias) = (of(kind), of(RecordType::CNAME));
            if !exact.is_empty() {
                return Some((kind, Known::Records(exact)));
            }
            if !alias.is_empty() {
                return Some((RecordType::CNAME, Known::Records(alias)));
            }
            let soa = |record: &&Record| record.record_type() == RecordType::SOA;
            let soa: Vec<Record> = message.authorities.iter().filter(soa).cloned().collect();
            if message.metadata.authoritative {
                return Some((kind, Known::Absent(message.metadata.response_code, soa)));
            }
            servers = self.cloud.with(|world| referred(world, &message))?;
        }
        None
    }

    // The servers in their order; one that is silent, fails or refuses is passed over.
    async fn first_answer(&self, servers: &[SocketAddr], name: &str, kind: RecordType) -> Option<Message> {
        let name = absolute(name);
        for server in servers {
            let Ok(message) = ask::ask(*server, &name, kind, PATIENCE).await else { continue };
            if matches!(message.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain) {
                return Some(message);
            }
        }
        None
    }
}

/// Adds what is known to the answer; the name to go on with, if there is one.
fn take(answer: &mut Answer, owner: &Name, kind: RecordType, known: Known) -> Option<Name> {
    match known {
        Known::Records(records) => {
            let alias = records.iter().find_map(|record| match &record.data {
                RData::CNAME(target) if kind != RecordType::CNAME && kind != RecordType::ANY => {
                    Some(target.0.clone())
                }
                _ => None,
            });
            // The owner as the client wrote it.
            answer.answers.extend(records.into_iter().map(|mut record| {
                record.name = owner.clone();
                record
            }));
            alias
        }
        Known::Absent(code, soa) => {
            answer.code = code;
            answer.authorities = soa;
            None
        }
    }
}

enum Start {
    Servers(Vec<SocketAddr>),
    /// No zone of the sandbox holds the name.
    Nowhere(ResponseCode),
}

/// Where resolution begins: at the servers of the highest zone that holds the name, as a registry would delegate it.
fn delegated(world: &World, name: &str) -> Start {
    if let Some(_apex) = zone::zone_of(world, Publisher::Label, name) {
        return Start::Servers(addresses(world, Publisher::Label));
    }
    let highest = |publisher| {
        let zones = zone::zones(world, publisher).into_iter().filter(|apex| is_within(name, apex));
        zones.min_by_key(String::len)
    };
    let (azure, cloudflare) = (highest(Publisher::Azure), highest(Publisher::Cloudflare));
    let publishers: &[Publisher] = match (&azure, &cloudflare) {
        (None, None) => {
            let label = is_within(azure::LABEL_SUFFIX, name);
            let all =
                [Publisher::Azure, Publisher::Cloudflare].map(|publisher| zone::zones(world, publisher));
            let above = label || all.iter().flatten().any(|apex| is_within(apex, name));
            return Start::Nowhere(if above { ResponseCode::NoError } else { ResponseCode::NXDomain });
        }
        (Some(_), None) => &[Publisher::Azure],
        (None, Some(_)) => &[Publisher::Cloudflare],
        (Some(azure), Some(cloudflare)) if azure.len() < cloudflare.len() => &[Publisher::Azure],
        (Some(azure), Some(cloudflare)) if azure.len() > cloudflare.len() => &[Publisher::Cloudflare],
        (Some(_), Some(_)) => match world.dns.delegation {
            Delegation::Both => &[Publisher::Azure, Publisher::Cloudflare],
            Delegation::Azure => &[Publisher::Azure],
            Delegation::Cloudflare => &[Publisher::Cloudflare],
        },
    };
    Start::Servers(publishers.iter().flat_map(|publisher| addresses(world, *publisher)).collect())
}

/// The servers that a referral names, as far as they are of the sandbox.
fn referred(world: &World, message: &Message) -> Option<Vec<SocketAddr>> {
    let mut servers = Vec::new();
    for record in &message.authorities {
        let RData::NS(host) = &record.data else { continue };
        let host = text(&host.0);
        let publisher = [Publisher::Azure, Publisher::Cloudflare]
            .into_iter()
            .find(|publisher| zone::zone_of(world, *publisher, &host).is_some())?;
        for address in addresses(world, publisher) {
            if !servers.contains(&address) {
                servers.push(address);
            }
        }
    }
    (!servers.is_empty()).then_some(servers)
}

fn addresses(world: &World, publisher: Publisher) -> Vec<SocketAddr> {
    match publisher {
        Publisher::Azure => world.addresses.azure_dns.clone(),
        Publisher::Cloudflare => world.addresses.cloudflare_dns.clone(),
        Publisher::Label => world.addresses.label_dns.into_iter().collect(),
    }
}

fn root_soa() -> Vec<Record> {
    let (mname, rname) = (absolute("a.root-servers.net"), absolute("nstld.verisign-grs.com"));
    let soa = SOA::new(mname, rname, 2_026_112_200, 1_800, 900, 604_800, 86_400);
    vec![Record::from_rdata(Name::root(), 86_400, RData::SOA(soa))]
}

// RFC 1034 names no number; this is what hickory-resolver follows.
const MAX_CHAIN: usize = 8;
const MAX_REFERRALS: usize = 4;
// Four silent servers are found out before a client's usual five seconds are over.
const PATIENCE: Duration = Duration::from_millis(800);
