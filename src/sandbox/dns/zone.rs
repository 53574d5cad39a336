//! What each set of servers publishes, read from the services' state at the moment of a question.
//!
//! Names are text here: lower case, without the trailing dot.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_net::proto::rr::rdata::{A, AAAA, CNAME, MX, NS, PTR, SOA, TXT};
use hickory_net::proto::rr::{Name, RData, RecordType};

use crate::sandbox::azure;
use crate::sandbox::cloudflare::{self, Record};
use crate::sandbox::world::World;

/// Servers that publish the same zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Publisher {
    /// Azure DNS.
    Azure,
    /// Cloudflare.
    Cloudflare,
    /// The label zones of Azure's public IPs.
    Label,
}

/// One record at a name, without the name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Data {
    /// Answered as it stands.
    Plain {
        /// Seconds.
        ttl: u32,
        /// Type and value.
        rdata: RData,
    },
    /// Answered with the addresses of `target` (Cloudflare docs, "CNAME flattening").
    Flattened {
        /// Seconds, at most.
        ttl: u32,
        /// Where the addresses come from.
        target: Name,
    },
}

impl Data {
    pub(crate) fn new(ttl: u32, rdata: RData) -> Self {
        Self::Plain { ttl, rdata }
    }

    /// The type under which it is found; a flattened CNAME has none.
    pub(crate) fn kind(&self) -> Option<RecordType> {
        match self {
            Self::Plain { rdata, .. } => Some(rdata.record_type()),
            Self::Flattened { .. } => None,
        }
    }
}

/// The apex names that `publisher` answers for.
pub(crate) fn zones(world: &World, publisher: Publisher) -> Vec<String> {
    match publisher {
        Publisher::Azure => {
            let mut zones = azure::zones(world);
            zones.extend(AZURE_HOSTS.map(str::to_owned));
            zones
        }
        Publisher::Cloudflare => {
            let zones = world.cloudflare.zones.iter().filter(|zone| zone.active);
            zones
                .map(|zone| zone.name.apex().as_str().to_owned())
                .chain([CLOUDFLARE_HOSTS.to_owned()])
                .collect()
        }
        // One zone a region, for any region.
        Publisher::Label => Vec::new(),
    }
}

/// The apex of the deepest zone of `publisher` that holds `name`.
pub(crate) fn zone_of(world: &World, publisher: Publisher, name: &str) -> Option<String> {
    if publisher == Publisher::Label {
        return label_zone(name);
    }
    let zones = zones(world, publisher);
    zones.into_iter().filter(|apex| is_within(name, apex)).max_by_key(String::len)
}

/// Everything at `name` in the zone `apex`; `None` when neither the name nor anything below it exists.
pub(crate) fn node(world: &World, publisher: Publisher, apex: &str, name: &str) -> Option<Vec<Data>> {
    match publisher {
        Publisher::Azure if AZURE_HOSTS.contains(&apex) => hosts(apex, name, "ns1-01.azure-dns.com."),
        Publisher::Azure => {
            let served = azure::served(world, apex, name)?;
            let parsed = served.iter().flat_map(|set| {
                let kind = set.kind.parse::<RecordType>().ok();
                let values =
                    set.values.iter().filter_map(move |value| RData::try_from_str(kind?, value).ok());
                values.map(|rdata| Data::new(set.ttl, rdata))
            });
            Some(parsed.collect())
        }
        Publisher::Cloudflare if apex == CLOUDFLARE_HOSTS => hosts(apex, name, "cora.ns.cloudflare.com."),
        Publisher::Cloudflare => cloudflare_node(world, apex, name),
        Publisher::Label => label_node(world, apex, name),
    }
}

/// Whether `name` is `ancestor` or stands below it.
pub(crate) fn is_within(name: &str, ancestor: &str) -> bool {
    name.strip_suffix(ancestor).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn cloudflare_node(world: &World, apex: &str, name: &str) -> Option<Vec<Data>> {
    let zone = world.cloudflare.zones.iter().find(|zone| zone.active && zone.name.apex().as_str() == apex)?;
    let at_apex = name == apex;
    let mut data = Vec::new();
    if at_apex {
        let serial = zone.serial;
        let mname = absolute(cloudflare::NAME_SERVERS[0]);
        let soa = SOA::new(
            mname,
            absolute("dns.cloudflare.com"),
            serial,
            10_000,
            2_400,
            604_800,
            zone.negative_ttl,
        );
        data.push(Data::new(cloudflare::SOA_TTL, RData::SOA(soa)));
        data.extend(
            cloudflare::NAME_SERVERS.map(|host| Data::new(cloudflare::NS_TTL, RData::NS(NS(absolute(host))))),
        );
    }
    for record in zone.records.iter().filter(|record| record.name == name) {
        let ttl = record.served_ttl();
        if record.proxied {
            data.extend(ANYCAST_V4.map(|address| Data::new(ttl, RData::A(A(address)))));
            data.extend(ANYCAST_V6.map(|address| Data::new(ttl, RData::AAAA(AAAA(address)))));
        } else if record.kind == "CNAME" && (at_apex || zone.flatten_all || record.is_flattened()) {
            data.push(Data::Flattened { ttl, target: absolute(&record.content) });
        } else if record.kind == "NS" && at_apex && !zone.multi_provider {
            // Another provider's name servers at the apex are published in multi-provider zones alone.
        } else if let Some(rdata) = rdata(record) {
            data.push(Data::new(ttl, rdata));
        }
    }
    // Several proxied records of one name are one pair of addresses.
    let mut unique: Vec<Data> = Vec::new();
    for one in data {
        if !unique.contains(&one) {
            unique.push(one);
        }
    }
    let exists = !unique.is_empty() || zone.records.iter().any(|record| is_within(&record.name, name));
    exists.then_some(unique)
}

fn rdata(record: &Record) -> Option<RData> {
    let content = record.content.as_str();
    Some(match record.kind.as_str() {
        "A" => RData::A(A(content.parse().ok()?)),
        "AAAA" => RData::AAAA(AAAA(content.parse().ok()?)),
        "CNAME" => RData::CNAME(CNAME(absolute(content))),
        "NS" => RData::NS(NS(absolute(content))),
        "PTR" => RData::PTR(PTR(absolute(content))),
        "MX" => RData::MX(MX::new(record.priority?, absolute(content))),
        // Text without quotation marks is one text, cut where a character-string must end (RFC 1035, 3.3.14).
        "TXT" if !content.starts_with('"') => {
            let parts = content.as_bytes().chunks(255).collect::<Vec<_>>();
            RData::TXT(TXT::from_bytes(parts))
        }
        "SRV" => RData::try_from_str(RecordType::SRV, &format!("{} {content}.", record.priority?)).ok()?,
        kind => RData::try_from_str(kind.parse().ok()?, content).ok()?,
    })
}

fn label_zone(name: &str) -> Option<String> {
    let suffix = azure::LABEL_SUFFIX;
    let labels = name.strip_suffix(suffix)?.strip_suffix('.')?;
    let region = labels.rsplit('.').next().filter(|region| !region.is_empty())?;
    Some(format!("{region}.{suffix}"))
}

fn label_node(world: &World, apex: &str, name: &str) -> Option<Vec<Data>> {
    if name == apex {
        let soa = SOA::new(
            absolute("ns1-201.azure-dns.com"),
            absolute("azuredns-hostmaster.microsoft.com"),
            1,
            3_600,
            300,
            2_419_200,
            LABEL_NEGATIVE_TTL,
        );
        let servers = ["ns1-201.azure-dns.com", "ns2-201.azure-dns.net"];
        let mut data = vec![Data::new(LABEL_NEGATIVE_TTL, RData::SOA(soa))];
        data.extend(servers.map(|host| Data::new(172_800, RData::NS(NS(absolute(host))))));
        return Some(data);
    }
    let address = azure::label_address(world, name)?;
    let rdata = address.map(|address| match address {
        IpAddr::V4(v4) => RData::A(A(v4)),
        IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
    });
    Some(rdata.map(|rdata| Data::new(LABEL_TTL, rdata)).into_iter().collect())
}

// The zones of the providers' own name servers: every host of the form `ns…` or `….ns` is this machine.
fn hosts(apex: &str, name: &str, mname: &str) -> Option<Vec<Data>> {
    let server = absolute(mname.trim_end_matches('.'));
    if name == apex {
        let soa =
            SOA::new(server.clone(), absolute(&format!("hostmaster.{apex}")), 1, 3_600, 300, 2_419_200, 300);
        return Some(vec![Data::new(3_600, RData::SOA(soa)), Data::new(172_800, RData::NS(NS(server)))]);
    }
    let host = name.strip_suffix(apex)?.strip_suffix('.')?;
    let known = if apex == CLOUDFLARE_HOSTS {
        cloudflare::NAME_SERVERS.contains(&name)
    } else {
        host.starts_with("ns") && host.contains('-') && !host.contains('.')
    };
    known.then(|| vec![Data::new(3_600, RData::A(A(Ipv4Addr::LOCALHOST)))])
}

/// A name from text that a service has checked; the root stands for what cannot be written on the wire.
pub(crate) fn absolute(name: &str) -> Name {
    let mut parsed = Name::from_ascii(name).unwrap_or_else(|_| Name::root());
    parsed.set_fqdn(true);
    parsed
}

/// Seconds; what four independent transcripts show for a label's address.
pub(crate) const LABEL_TTL: u32 = 10;
// The service's own figure is not published; short, as its positive TTL is.
const LABEL_NEGATIVE_TTL: u32 = 10;
const AZURE_HOSTS: [&str; 4] = ["azure-dns.com", "azure-dns.net", "azure-dns.org", "azure-dns.info"];
const CLOUDFLARE_HOSTS: &str = "ns.cloudflare.com";
/// Two of Cloudflare's published anycast ranges, 104.16.0.0/13 and 172.64.0.0/13.
pub(crate) const ANYCAST_V4: [Ipv4Addr; 2] =
    [Ipv4Addr::new(104, 21, 48, 10), Ipv4Addr::new(172, 67, 160, 20)];
/// Of 2606:4700::/32.
pub(crate) const ANYCAST_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0x2606, 0x4700, 0x3030, 0, 0, 0, 0x6815, 0x300a),
    Ipv6Addr::new(0x2606, 0x4700, 0x3036, 0, 0, 0, 0xac43, 0xa014),
];
