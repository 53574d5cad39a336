//! Tiny name servers on loopback, over UDP and TCP, that say what a test wants and note what they were asked.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hickory_net::proto::op::{Header, HeaderCounts, Metadata, ResponseCode};
use hickory_net::proto::rr::rdata::{A, AAAA, CNAME, NS, SOA, TXT};
use hickory_net::proto::rr::{Name, RData, Record, RecordType};
use hickory_net::runtime::Time;
use hickory_net::xfer::Protocol;
use hickory_server::Server;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::net::{TcpListener, UdpSocket};

/// A question as it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Lower case, without the trailing dot.
    pub(crate) name: String,
    pub(crate) rtype: RecordType,
    pub(crate) recursion_desired: bool,
    pub(crate) tcp: bool,
    pub(crate) edns: bool,
}

/// What a server says to a question.
#[derive(Clone, Debug)]
pub(crate) struct Say {
    pub(crate) code: ResponseCode,
    pub(crate) authoritative: bool,
    pub(crate) truncated: bool,
    pub(crate) answers: Vec<Record>,
    pub(crate) authorities: Vec<Record>,
}

impl Say {
    /// An authoritative answer of these records, one a line: `NAME TTL TYPE DATA`.
    pub(crate) fn records(text: &str) -> Self {
        Self {
            code: ResponseCode::NoError,
            authoritative: true,
            truncated: false,
            answers: records(text),
            authorities: Vec::new(),
        }
    }

    pub(crate) fn code(code: ResponseCode) -> Self {
        Self { code, ..Self::records("") }
    }

    /// The same without the AA bit.
    pub(crate) fn unauthoritative(self) -> Self {
        Self { authoritative: false, ..self }
    }

    pub(crate) fn authority(self, text: &str) -> Self {
        Self { authorities: records(text), ..self }
    }
}

type Serve = dyn Fn(&Asked) -> Option<Say> + Send + Sync;

/// A running server; it stops when it is dropped.
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    _server: Server<Handler>,
}

impl NameServer {
    /// A server on a free port of 127.0.0.1. `serve` answers, or says `None` and stays silent.
    pub(crate) async fn start(serve: impl Fn(&Asked) -> Option<Say> + Send + Sync + 'static) -> Self {
        let serve: Arc<Serve> = Arc::new(serve);
        for _ in 0..100 {
            if let Some(server) = Self::bind((Ipv4Addr::LOCALHOST, 0).into(), &serve).await {
                return server;
            }
        }
        panic!("no port of loopback is free for both UDP and TCP");
    }

    /// Servers on 127.0.0.1, 127.0.0.2 and so on, all at one port, as name servers are found.
    pub(crate) async fn start_on_one_port(serves: Vec<Arc<Serve>>) -> Vec<Self> {
        'ports: for _ in 0..100 {
            let mut servers: Vec<Self> = Vec::new();
            for (serve, host) in serves.iter().zip(1..) {
                let port = servers.first().map_or(0, |first| first.address.port());
                match Self::bind((Ipv4Addr::new(127, 0, 0, host), port).into(), serve).await {
                    Some(server) => servers.push(server),
                    None => continue 'ports,
                }
            }
            return servers;
        }
        panic!("no port of loopback is free on all addresses");
    }

    /// An authoritative server of one zone.
    pub(crate) async fn of_zone(text: &str) -> Self {
        let serve = zone(text);
        Self::start(move |asked| serve(asked)).await
    }

    pub(crate) fn text(&self) -> String {
        self.address.to_string()
    }

    /// Every question so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    async fn bind(address: SocketAddr, serve: &Arc<Serve>) -> Option<Self> {
        let udp = UdpSocket::bind(address).await.ok()?;
        let address = udp.local_addr().ok()?;
        let tcp = TcpListener::bind(address).await.ok()?;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut server = Server::new(Handler { serve: serve.clone(), asked: asked.clone() });
        server.register_socket(udp);
        server.register_listener(tcp, Duration::from_secs(5), 16);
        Some(Self { address, asked, _server: server })
    }
}

/// The behaviour of an authoritative server of the zone whose SOA record is among these records: referrals below a
/// cut, chains within the zone, NXDOMAIN and NODATA with the SOA, REFUSED outside.
pub(crate) fn zone(text: &str) -> Arc<Serve> {
    zones(&[text])
}

/// The same for several zones on one server, of which the nearest answers.
pub(crate) fn zones(texts: &[&str]) -> Arc<Serve> {
    let zones: Vec<Vec<Record>> = texts.iter().map(|text| records(text)).collect();
    Arc::new(move |asked| {
        let name = name(&asked.name);
        let apex = |zone: &Vec<Record>| {
            zone.iter().find(|r| r.record_type() == RecordType::SOA).map(|r| r.name.clone()).unwrap()
        };
        let holding = zones.iter().filter(|zone| apex(zone).zone_of(&name));
        let Some(zone) = holding.max_by_key(|zone| apex(zone).num_labels()) else {
            return Some(Say::code(ResponseCode::Refused).unauthoritative());
        };
        Some(serve_zone(zone, &apex(zone), &name, asked.rtype))
    })
}

fn serve_zone(zone: &[Record], apex: &Name, name: &Name, rtype: RecordType) -> Say {
    let of = |owner: &Name, rtype| {
        let owner = owner.clone();
        zone.iter().filter(move |r| r.name == owner && r.record_type() == rtype).cloned()
    };
    let cut = |r: &&Record| r.record_type() == RecordType::NS && &r.name != apex && r.name.zone_of(name);
    if let Some(cut) = zone.iter().find(cut) {
        let authorities = of(&cut.name, RecordType::NS).collect();
        return Say { authorities, ..Say::records("").unauthoritative() };
    }
    let mut say = Say::records("");
    let mut owner = name.clone();
    while let Some(Record { data: RData::CNAME(target), .. }) = of(&owner, RecordType::CNAME).next() {
        say.answers.extend(of(&owner, RecordType::CNAME));
        owner = target.0.clone();
        if rtype == RecordType::CNAME || !apex.zone_of(&owner) {
            return say;
        }
    }
    say.answers.extend(of(&owner, rtype));
    if say.answers.is_empty() {
        let exists = zone.iter().any(|r| owner.zone_of(&r.name));
        say.code = if exists { ResponseCode::NoError } else { ResponseCode::NXDomain };
        say.authorities = of(apex, RecordType::SOA).collect();
    }
    say
}

/// The records of a text, one a line: `NAME TTL TYPE DATA`; an SOA's data is its last field alone.
pub(crate) fn records(text: &str) -> Vec<Record> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(record).collect()
}

fn record(line: &str) -> Record {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [owner, ttl, rtype, data] = fields[..] else { panic!("not a record: {line}") };
    let data = match rtype {
        "A" => RData::A(A(data.parse().unwrap())),
        "AAAA" => RData::AAAA(AAAA(data.parse().unwrap())),
        "CNAME" => RData::CNAME(CNAME(name(data))),
        "NS" => RData::NS(NS(name(data))),
        "TXT" => RData::TXT(TXT::new(vec![data.to_owned()])),
        "SOA" => {
            let minimum = data.parse().unwrap();
            RData::SOA(SOA::new(name("ns.invalid"), name("host.invalid"), 1, 3600, 300, 86400, minimum))
        }
        other => panic!("no such type here: {other}"),
    };
    Record::from_rdata(name(owner), ttl.parse().unwrap(), data)
}

fn name(text: &str) -> Name {
    Name::from_ascii(format!("{}.", text.trim_end_matches('.'))).unwrap()
}

struct Handler {
    serve: Arc<Serve>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

#[async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut handle: R,
    ) -> ResponseInfo {
        let info = request.request_info().unwrap();
        let asked = Asked {
            name: info.query.name().to_string().trim_end_matches('.').to_owned(),
            rtype: info.query.query_type(),
            recursion_desired: request.metadata.recursion_desired,
            tcp: info.protocol == Protocol::Tcp,
            edns: request.edns.is_some(),
        };
        self.asked.lock().unwrap().push(asked.clone());
        let mut metadata = Metadata::response_from_request(&request.metadata);
        let Some(say) = (self.serve)(&asked) else {
            return Header { metadata, counts: HeaderCounts::default() }.into();
        };
        metadata.response_code = say.code;
        metadata.authoritative = say.authoritative;
        metadata.truncation = say.truncated;
        let response = MessageResponseBuilder::from_message_request(request).build(
            metadata,
            &say.answers,
            &say.authorities,
            [],
            [],
        );
        handle.send_response(response).await.unwrap()
    }
}

/// An address that nothing answers at: a socket that is held and never read.
pub(crate) async fn deaf() -> (SocketAddr, UdpSocket) {
    let socket = UdpSocket::bind((IpAddr::from(Ipv4Addr::LOCALHOST), 0)).await.unwrap();
    (socket.local_addr().unwrap(), socket)
}
