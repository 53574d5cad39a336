//! The recursive resolver's memory: positive answers by their TTL, absences by the SOA's (RFC 2308, section 5).

use std::collections::HashMap;
use std::time::Duration;

use hickory_net::proto::op::ResponseCode;
use hickory_net::proto::rr::{RData, Record, RecordType};
use tokio::time::Instant;

/// What is remembered.
#[derive(Debug, Default)]
pub(crate) struct Cache(HashMap<(String, RecordType), Entry>);

#[derive(Clone, Debug)]
struct Entry {
    known: Known,
    stored: Instant,
    /// Seconds.
    ttl: u32,
}

/// What a server said about a name and type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Known {
    /// The records.
    Records(Vec<Record>),
    /// NXDOMAIN or NODATA, with the SOA that says for how long.
    Absent(ResponseCode, Vec<Record>),
}

impl Cache {
    /// What is known, with the TTL that is left. With `stale`, entries do not expire and are given with 30 s, the
    /// figure of RFC 8767, section 4.
    pub(crate) fn get(&self, name: &str, kind: RecordType, now: Instant, stale: bool) -> Option<Known> {
        let exact = self.0.get(&(name.to_owned(), kind));
        // An absent name is absent for every type (RFC 2308, section 5).
        let nowhere = || self.0.get(&(name.to_owned(), NOWHERE));
        let entry = exact.or_else(nowhere)?;
        let age = u32::try_from(now.duration_since(entry.stored).as_secs()).unwrap_or(u32::MAX);
        let lived = now.duration_since(entry.stored) >= Duration::from_secs(u64::from(entry.ttl));
        if lived && !stale {
            return None;
        }
        let left = if lived { STALE_TTL } else { entry.ttl - age };
        Some(match &entry.known {
            Known::Records(records) => Known::Records(aged(records, left)),
            Known::Absent(code, soa) => Known::Absent(*code, aged(soa, left)),
        })
    }

    /// Remembers what a server said; nothing without a TTL.
    pub(crate) fn put(&mut self, name: &str, kind: RecordType, known: &Known, now: Instant) {
        let (kind, ttl) = match known {
            Known::Records(records) => (kind, records.iter().map(|record| record.ttl).min()),
            Known::Absent(ResponseCode::NXDomain, soa) => (NOWHERE, negative_ttl(soa)),
            Known::Absent(_, soa) => (kind, negative_ttl(soa)),
        };
        if let Some(ttl) = ttl.filter(|ttl| *ttl > 0) {
            self.0.insert((name.to_owned(), kind), Entry { known: known.clone(), stored: now, ttl });
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Seconds: the smaller of the SOA's own TTL and its MINIMUM.
fn negative_ttl(soa: &[Record]) -> Option<u32> {
    soa.iter().find_map(|record| match &record.data {
        RData::SOA(data) => Some(record.ttl.min(data.minimum)),
        _ => None,
    })
}

fn aged(records: &[Record], ttl: u32) -> Vec<Record> {
    let mut records = records.to_vec();
    for record in &mut records {
        record.ttl = ttl;
    }
    records
}

// The key under which NXDOMAIN is kept; no question has this type.
const NOWHERE: RecordType = RecordType::ZERO;
const STALE_TTL: u32 = 30;
