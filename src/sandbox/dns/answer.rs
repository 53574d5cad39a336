//! How an authoritative server finds its answer (RFC 1034, 4.3.2; RFC 2308 for what is absent).

use hickory_net::proto::op::ResponseCode;
use hickory_net::proto::rr::{Name, RData, Record, RecordType};

use super::zone::{self, Data, Publisher, absolute};
use crate::sandbox::clock::Clock;
use crate::sandbox::world::World;

/// An answer before it is a message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) code: ResponseCode,
    pub(crate) authoritative: bool,
    pub(crate) answers: Vec<Record>,
    pub(crate) authorities: Vec<Record>,
    /// The addresses of another name are to be put here, under `owner`.
    pub(crate) flatten: Option<Flatten>,
}

/// Addresses that must be looked up before the answer is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flatten {
    pub(crate) owner: Name,
    pub(crate) target: Name,
    /// Seconds, at most.
    pub(crate) ttl: u32,
}

impl Answer {
    pub(crate) fn only(code: ResponseCode) -> Self {
        Self { code, authoritative: false, answers: Vec::new(), authorities: Vec::new(), flatten: None }
    }

    /// The answer of a cache, which tells in its client's seconds for how much longer it may be kept.
    pub(crate) fn counted_by(mut self, clock: Clock) -> Self {
        for record in self.answers.iter_mut().chain(&mut self.authorities) {
            record.ttl = clock.outside_seconds(record.ttl);
        }
        self
    }
}

/// What the servers of `publisher` answer at present. CNAMEs are followed inside their own zones alone.
pub(crate) fn answer(world: &World, publisher: Publisher, question: &Name, kind: RecordType) -> Answer {
    let mut name = text(question);
    let mut answer = Answer { authoritative: true, ..Answer::only(ResponseCode::NoError) };
    for hop in 0..=MAX_CHAIN {
        let Some(apex) = zone::zone_of(world, publisher, &name) else {
            return if hop == 0 { Answer::only(ResponseCode::Refused) } else { answer };
        };
        // The name as it was asked, whatever its case (RFC 4343, 4.1), for the owner of the first record.
        let owner = if hop == 0 { question.clone() } else { absolute(&name) };
        if let Some((cut, servers)) = delegation(world, publisher, &apex, &name) {
            if hop == 0 {
                answer.authoritative = false;
                answer.authorities = records(&absolute(&cut), &servers, RecordType::NS);
            }
            return answer;
        }
        let node =
            zone::node(world, publisher, &apex, &name).or_else(|| wildcard(world, publisher, &apex, &name));
        let Some(node) = node else {
            answer.code = ResponseCode::NXDomain;
            answer.authorities = start_of_authority(world, publisher, &apex);
            return answer;
        };
        let found = records(&owner, &node, kind);
        if !found.is_empty() {
            answer.answers.extend(found);
            return answer;
        }
        let addresses = matches!(kind, RecordType::A | RecordType::AAAA);
        if let (true, Some(flatten)) = (addresses, flattened(&owner, &node)) {
            answer.flatten = Some(flatten);
            return answer;
        }
        let alias = records(&owner, &node, RecordType::CNAME);
        let Some(RData::CNAME(target)) = alias.first().map(|record| &record.data) else {
            answer.authorities = start_of_authority(world, publisher, &apex);
            return answer;
        };
        name = text(&target.0);
        answer.answers.extend(alias);
    }
    answer
}

/// The SOA of a zone, with the TTL under which an absence is cached (RFC 2308, section 3).
pub(crate) fn start_of_authority(world: &World, publisher: Publisher, apex: &str) -> Vec<Record> {
    let node = zone::node(world, publisher, apex, apex).unwrap_or_default();
    let mut soa = records(&absolute(apex), &node, RecordType::SOA);
    for record in &mut soa {
        if let RData::SOA(data) = &record.data {
            record.ttl = record.ttl.min(data.minimum);
        }
    }
    soa
}

/// A name as text: lower case, no trailing dot.
pub(crate) fn text(name: &Name) -> String {
    let text = name.to_ascii().to_ascii_lowercase();
    text.strip_suffix('.').map_or(text.clone(), str::to_owned)
}

fn records(owner: &Name, node: &[Data], kind: RecordType) -> Vec<Record> {
    let wanted = |data: &&Data| kind == RecordType::ANY || data.kind() == Some(kind);
    node.iter()
        .filter(wanted)
        .filter_map(|data| match data {
            Data::Plain { ttl, rdata } => Some(Record::from_rdata(owner.clone(), *ttl, rdata.clone())),
            Data::Flattened { .. } => None,
        })
        .collect()
}

fn flattened(owner: &Name, node: &[Data]) -> Option<Flatten> {
    node.iter().find_map(|data| match data {
        Data::Flattened { ttl, target } => {
            Some(Flatten { owner: owner.clone(), target: target.clone(), ttl: *ttl })
        }
        Data::Plain { .. } => None,
    })
}

// The highest NS set between the apex and the name: from there on the zone is another's.
fn delegation(world: &World, publisher: Publisher, apex: &str, name: &str) -> Option<(String, Vec<Data>)> {
    let mut cuts: Vec<&str> = ancestors(name).take_while(|ancestor| *ancestor != apex).collect();
    cuts.reverse();
    cuts.into_iter().find_map(|cut| {
        let node = zone::node(world, publisher, apex, cut)?;
        node.iter().any(|data| data.kind() == Some(RecordType::NS)).then(|| (cut.to_owned(), node))
    })
}

// RFC 4592: the wildcard below the closest ancestor that exists.
fn wildcard(world: &World, publisher: Publisher, apex: &str, name: &str) -> Option<Vec<Data>> {
    let closest = ancestors(name)
        .skip(1)
        .find(|ancestor| *ancestor == apex || zone::node(world, publisher, apex, ancestor).is_some())?;
    zone::node(world, publisher, apex, &format!("*.{closest}"))
}

fn ancestors(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| name.split_once('.').map(|(_, rest)| rest))
}

const MAX_CHAIN: usize = 8;
