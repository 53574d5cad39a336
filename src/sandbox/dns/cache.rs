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
    /// Seconds of the world.
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
        // What was said before and cannot be true beside this is forgotten, or it would outlive its correction.
        self.0.retain(|(held, of), _| held != name || !contradicts(kind, *of));
        if let Some(ttl) = ttl.filter(|ttl| *ttl > 0) {
            self.0.insert((name.to_owned(), kind), Entry { known: known.clone(), stored: now, ttl });
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Whether records of one type at a name leave no room for those of another: an alias stands alone, and an absent
/// name has nothing.
fn contradicts(kind: RecordType, other: RecordType) -> bool {
    let alone = |kind| matches!(kind, NOWHERE | RecordType::CNAME);
    kind == other || alone(kind) || alone(other)
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use hickory_net::proto::rr::Name;
    use hickory_net::proto::rr::rdata::{A, SOA};

    use super::*;

    const NAME: &str = "jump.example.com";

    fn address(ttl: u32) -> Known {
        let rdata = RData::A(A(Ipv4Addr::LOCALHOST));
        Known::Records(vec![Record::from_rdata(Name::root(), ttl, rdata)])
    }

    fn absence(code: ResponseCode, ttl: u32, minimum: u32) -> Known {
        let soa = SOA::new(Name::root(), Name::root(), 1, 1, 1, 1, minimum);
        Known::Absent(code, vec![Record::from_rdata(Name::root(), ttl, RData::SOA(soa))])
    }

    fn ttl(known: Option<Known>) -> Option<u32> {
        known.map(|known| match known {
            Known::Records(records) | Known::Absent(_, records) => records[0].ttl,
        })
    }

    #[test]
    fn an_answer_counts_down_to_its_end() {
        let (mut cache, start) = (Cache::default(), Instant::now());
        cache.put(NAME, RecordType::A, &address(30), start);
        let at = |milliseconds| {
            ttl(cache.get(NAME, RecordType::A, start + Duration::from_millis(milliseconds), false))
        };
        assert_eq!(
            [at(0), at(999), at(1_000), at(29_999), at(30_000)],
            [Some(30), Some(30), Some(29), Some(1), None]
        );
        assert_eq!(ttl(cache.get(NAME, RecordType::AAAA, start, false)), None);
    }

    #[test]
    fn an_absence_lasts_as_long_as_the_smaller_figure_of_its_soa() {
        for (soa_ttl, minimum, lasts) in [(3_600, 300, 300), (60, 300, 60)] {
            let (mut cache, start) = (Cache::default(), Instant::now());
            cache.put(NAME, RecordType::A, &absence(ResponseCode::NoError, soa_ttl, minimum), start);
            let at =
                |seconds| ttl(cache.get(NAME, RecordType::A, start + Duration::from_secs(seconds), false));
            assert_eq!([at(0), at(lasts - 1), at(lasts)], [u32::try_from(lasts).ok(), Some(1), None]);
        }
    }

    #[test]
    fn an_absent_name_is_absent_for_every_type_and_an_absent_type_for_itself() {
        let (mut cache, start) = (Cache::default(), Instant::now());
        cache.put(NAME, RecordType::A, &absence(ResponseCode::NoError, 60, 60), start);
        assert_eq!(cache.get(NAME, RecordType::TXT, start, false), None);
        cache.put(NAME, RecordType::A, &absence(ResponseCode::NXDomain, 60, 60), start);
        assert!(cache.get(NAME, RecordType::TXT, start, false).is_some());
    }

    #[test]
    fn an_absence_is_kept_also_where_an_answer_has_run_out() {
        let (mut cache, start) = (Cache::default(), Instant::now());
        cache.put(NAME, RecordType::A, &address(30), start);
        let later = start + Duration::from_secs(60);
        assert_eq!(cache.get(NAME, RecordType::A, later, false), None);
        cache.put(NAME, RecordType::A, &absence(ResponseCode::NXDomain, 60, 60), later);
        assert!(matches!(cache.get(NAME, RecordType::A, later, false), Some(Known::Absent(..))));
        // And the other way round, once the name is there again.
        cache.put(NAME, RecordType::CNAME, &address(30), later);
        assert_eq!(cache.get(NAME, RecordType::TXT, later, false), None);
    }

    #[test]
    fn nothing_is_kept_without_a_ttl_and_stale_data_is_given_with_thirty_seconds() {
        let (mut cache, start) = (Cache::default(), Instant::now());
        cache.put(NAME, RecordType::A, &address(0), start);
        assert_eq!(cache.get(NAME, RecordType::A, start, true), None);
        cache.put(NAME, RecordType::A, &address(30), start);
        let later = start + Duration::from_secs(31);
        assert_eq!(cache.get(NAME, RecordType::A, later, false), None);
        assert_eq!(ttl(cache.get(NAME, RecordType::A, later, true)), Some(30));
    }
}
