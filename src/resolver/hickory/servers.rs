//! Whom to ask: addresses of servers known by name, and the servers of the zone that holds a name.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::join;
use futures::stream::{self, StreamExt};
use hickory_net::proto::op::{Message, ResponseCode};
use hickory_net::proto::rr::{Name, RData, RecordType};
use tokio::time::Instant;

use super::wire::{self, Patience, Query};
use super::{CONCURRENCY, Hickory};
use crate::model::name::Fqdn;

/// A server at one of its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    name: Option<String>,
    pub(super) address: SocketAddr,
}

impl Server {
    /// A server known by its address alone.
    pub(super) fn at(address: SocketAddr) -> Self {
        Self { name: None, address }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} ({})", self.address),
            None => write!(f, "{}", self.address),
        }
    }
}

/// A server that is to be asked, also when it is not known where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Server(Server),
    Unknown { server: String, why: String },
}

/// Who serves the zone of a name, as long as its NS records allow.
///
/// Only this is ever remembered, never an answer: a label is looked up every few seconds, and the servers above its
/// zone should not be bothered each time.
#[derive(Debug, Default)]
pub(super) struct Delegations(Mutex<HashMap<Fqdn, (Instant, Vec<Target>)>>);

impl Delegations {
    fn recall(&self, name: &Fqdn) -> Option<Vec<Target>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(name).filter(|(until, _)| Instant::now() < *until).map(|(_, targets)| targets.clone())
    }

    fn remember(&self, name: &Fqdn, targets: &[Target], ttl: u32) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if known.len() >= DELEGATIONS_LIMIT {
            known.retain(|_, (until, _)| now < *until);
        }
        if known.len() < DELEGATIONS_LIMIT {
            let ttl = Duration::from_secs(ttl.min(DELEGATION_TTL_LIMIT).into());
            known.insert(name.clone(), (now + ttl, targets.to_vec()));
        }
    }

    /// Forgets who serves `name`, since nobody there answers any more.
    pub(super) fn forget(&self, name: &Fqdn) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

/// The servers of a zone, as its NS records name them.
#[derive(Clone)]
struct Zone {
    apex: Name,
    servers: Vec<String>,
    ttl: u32,
}

impl Zone {
    fn of(apex: &Name, records: &[hickory_net::proto::rr::Record]) -> Option<Self> {
        let ours = records.iter().filter(|r| &r.name == apex);
        let named = ours.filter_map(|r| match &r.data {
            RData::NS(ns) => Some((wire::bare(&ns.0).to_ascii_lowercase(), r.ttl)),
            _ => None,
        });
        let (mut servers, ttls): (Vec<_>, Vec<_>) = named.unzip();
        servers.sort();
        servers.dedup();
        Some(Self { apex: apex.clone(), servers, ttl: ttls.into_iter().min()? })
    }
}

impl Hickory {
    /// Every address of every server, in the order given: `name`, `name:port`, `ip` or `ip:port`.
    pub(super) async fn addresses_of(&self, servers: &[String], patience: &Patience) -> Vec<Target> {
        let found: Vec<_> = servers.iter().map(|text| self.addresses_of_one(text, patience)).collect();
        let found: Vec<Vec<Target>> = stream::iter(found).buffered(CONCURRENCY).collect().await;
        let mut targets: Vec<Target> = Vec::new();
        for target in found.into_iter().flatten() {
            let again = |known: &Target| match (known, &target) {
                (Target::Server(known), Target::Server(server)) => known.address == server.address,
                (known, target) => known == target,
            };
            if !targets.iter().any(again) {
                targets.push(target);
            }
        }
        targets
    }

    async fn addresses_of_one(&self, text: &str, patience: &Patience) -> Vec<Target> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return vec![Target::Server(Server::at(address))];
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return vec![Target::Server(Server::at((ip, self.port).into()))];
        }
        let unknown = |why| vec![Target::Unknown { server: text.to_owned(), why }];
        let (host, port) = match text.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
            Some((host, Ok(port))) => (host, port),
            _ => (text, self.port),
        };
        let name = match Fqdn::parse(host) {
            Ok(name) => name,
            Err(error) => return unknown(format!("names no server: {error}")),
        };
        match self.addresses_of_host(&name, patience).await {
            Ok(ips) => {
                let server = |ip| Server { name: Some(name.to_string()), address: SocketAddr::new(ip, port) };
                ips.into_iter().map(|ip| Target::Server(server(ip))).collect()
            }
            Err(why) => unknown(why),
        }
    }

    /// The addresses of both families that the configured resolvers know.
    ///
    /// Addresses of a family that this host has no route to are left out while there are others: a host without
    /// IPv6 can say nothing of a server's IPv6 address, and would otherwise never see a zone agree.
    async fn addresses_of_host(&self, name: &Fqdn, patience: &Patience) -> Result<Vec<IpAddr>, String> {
        let wire_name = wire::wire_name(name)?;
        let (v4, v6) = join(
            self.ask_resolvers(&wire_name, RecordType::A, patience),
            self.ask_resolvers(&wire_name, RecordType::AAAA, patience),
        )
        .await;
        let mut ips = Vec::new();
        for message in [&v4, &v6].into_iter().flatten() {
            ips.extend(addresses_at_end(message, &wire_name));
        }
        if ips.is_empty() {
            return Err(match v4.and(v6) {
                Ok(_) => format!("{name} has no address"),
                Err(why) => format!("its address cannot be found: {why}"),
            });
        }
        if ips.iter().any(|ip| is_routable(*ip)) {
            ips.retain(|ip| is_routable(*ip));
        }
        Ok(ips)
    }

    /// What the first of the configured resolvers says that has an answer.
    pub(super) async fn ask_resolvers(
        &self,
        name: &Name,
        rtype: RecordType,
        patience: &Patience,
    ) -> Result<Message, String> {
        let query = Query::of(name, rtype, true);
        let mut why = "no resolver is known".to_owned();
        for target in self.resolvers() {
            let server = match target {
                Target::Server(server) => server,
                Target::Unknown { server, why: reason } => {
                    why = format!("{server}: {reason}");
                    continue;
                }
            };
            match query.exchange(server.address, patience).await {
                Ok(message) if is_answer(&message) && wire::referral(&message).is_none() => {
                    return Ok(message);
                }
                Ok(message) => why = format!("{server}: {}", message.metadata.response_code),
                Err(failure) => why = format!("{server}: {failure}"),
            }
        }
        Err(why)
    }

    /// The servers of the zone that holds `name`.
    ///
    /// Found from above, by referrals (RFC 1034, 5.3.3), and never by asking a resolver for `name` or for anything
    /// between it and its registered domain: a resolver would remember for the negative TTL that the name does not
    /// exist, and so delay the very record whose appearance is awaited (RFC 2308, 5; RFC 8020).
    pub(super) async fn authority(&self, name: &Fqdn, patience: &Patience) -> Result<Vec<Target>, String> {
        if let Some(targets) = self.delegations.recall(name) {
            return Ok(targets);
        }
        let wire_name = wire::wire_name(name)?;
        let mut zone = self.zone_above(&wire_name, patience).await?;
        for _ in 0..DELEGATION_DEPTH {
            let targets = self.addresses_of(&zone.servers, patience).await;
            match self.descend(&zone, &wire_name, &targets, patience).await {
                Step::Below(next) => zone = next,
                Step::Here(own) => {
                    let targets = self.addresses_of(&own.servers, patience).await;
                    self.delegations.remember(name, &targets, own.ttl);
                    return Ok(targets);
                }
                Step::Nobody => return Ok(targets),
            }
        }
        Err(format!("more than {DELEGATION_DEPTH} delegations stand above it"))
    }

    /// The zone to begin at: the registered domain if it is one, else the top-level domain.
    async fn zone_above(&self, name: &Name, patience: &Patience) -> Result<Zone, String> {
        let mut why = String::new();
        for labels in [2, 1] {
            let apex = name.trim_to(labels);
            match self.ask_resolvers(&apex, RecordType::NS, patience).await {
                Ok(message) => match Zone::of(&apex, &message.answers) {
                    Some(zone) => return Ok(zone),
                    None => why = format!("{} has no NS records", wire::bare(&apex)),
                },
                Err(reason) => why = reason,
            }
        }
        Err(format!("its authoritative servers cannot be found: {why}"))
    }

    /// Asks one server of `zone` after another where `name` belongs, until one knows.
    async fn descend(&self, zone: &Zone, name: &Name, targets: &[Target], patience: &Patience) -> Step {
        let servers = targets.iter().filter_map(|target| match target {
            Target::Server(server) => Some(server),
            Target::Unknown { .. } => None,
        });
        for server in servers {
            let Ok(message) =
                Query::of(name, RecordType::SOA, false).exchange(server.address, patience).await
            else {
                continue;
            };
            if let Some(below) = wire::referral(&message) {
                let deeper = below != &zone.apex && zone.apex.zone_of(below) && below.zone_of(name);
                if let Some(next) = Zone::of(below, &message.authorities).filter(|_| deeper) {
                    return Step::Below(next);
                }
                continue;
            }
            if !is_answer(&message) || !message.metadata.authoritative {
                continue;
            }
            // One server may hold the zone above and the zone below, and then never refers.
            let apex = self.apex_at(server, zone, name, message, patience).await;
            let query = Query::of(&apex, RecordType::NS, false);
            let own = query.exchange(server.address, patience).await.ok();
            return match own.and_then(|message| Zone::of(&apex, &message.answers)) {
                Some(own) => Step::Here(own),
                None => Step::Here(zone.clone()),
            };
        }
        Step::Nobody
    }

    /// The apex of the zone at `server` that holds `name`: the owner of the SOA record that comes with an answer to
    /// a question for one. An alias has none, so the question moves up.
    async fn apex_at(
        &self,
        server: &Server,
        zone: &Zone,
        name: &Name,
        first: Message,
        patience: &Patience,
    ) -> Name {
        let mut asked = name.clone();
        let mut message = Some(first);
        while zone.apex.zone_of(&asked) {
            let records = message.iter().flat_map(|m| m.answers.iter().chain(&m.authorities));
            let soa = records.filter(|r| r.record_type() == RecordType::SOA).find(|r| r.name.zone_of(&asked));
            if let Some(soa) = soa.filter(|r| zone.apex.zone_of(&r.name)) {
                return soa.name.clone();
            }
            asked = asked.base_name();
            message = Query::of(&asked, RecordType::SOA, false).exchange(server.address, patience).await.ok();
        }
        zone.apex.clone()
    }
}

/// Where a server says that a name belongs.
enum Step {
    /// To a zone below, whose servers know more.
    Below(Zone),
    /// To this zone of its own, with the servers that the zone itself names: they, and not the parent's copy, are
    /// authoritative (RFC 2181, 5.4.1).
    Here(Zone),
    /// No server said.
    Nobody,
}

fn is_answer(message: &Message) -> bool {
    matches!(message.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain)
}

/// The addresses at the end of the chain that begins at `name`: a server's name ought not to be an alias
/// (RFC 2181, 10.3), and where it is one it still has addresses.
fn addresses_at_end(message: &Message, name: &Name) -> Vec<IpAddr> {
    let mut owner = name;
    for _ in 0..message.answers.len() {
        let target = message.answers.iter().filter(|r| &r.name == owner).find_map(|r| match &r.data {
            RData::CNAME(target) => Some(&target.0),
            _ => None,
        });
        match target {
            Some(target) => owner = target,
            None => break,
        }
    }
    wire::addresses(message, owner)
}

/// Whether this host has a route to `ip`: connecting a UDP socket looks one up and sends nothing.
fn is_routable(ip: IpAddr) -> bool {
    let any: IpAddr = match ip {
        IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind((any, 0)).and_then(|socket| socket.connect((ip, DISCARD_PORT))).is_ok()
}

/// RFC 863; any would do, since nothing is sent.
const DISCARD_PORT: u16 = 9;

/// Deeper than any delegation chain in use.
const DELEGATION_DEPTH: usize = 10;

/// Seconds: delegations change rarely, and an hour of asking a retired server is enough.
const DELEGATION_TTL_LIMIT: u32 = 3600;

/// Names whose servers are remembered: far more than one host has labels.
const DELEGATIONS_LIMIT: usize = 1024;
