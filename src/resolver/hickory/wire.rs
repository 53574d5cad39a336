//! One question to one server, and what its answer says.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use hickory_net::NetError;
use hickory_net::proto::op::{self, DnsRequest, DnsRequestOptions, Message, ResponseCode};
use hickory_net::proto::rr::{Name, RData, Record, RecordType};
use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::tcp::TcpClientStream;
use hickory_net::udp::UdpClientStream;
use hickory_net::xfer::{DnsHandle, DnsRequestSender, FirstAnswer};
use tokio::time::{Instant, timeout_at};

use crate::model::name::Fqdn;
use crate::model::verify::{Reply, Said};
use crate::resolver::Question;

/// How long to wait: for an attempt, for a server, for a whole lookup.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    timeout: Duration,
    attempts: u8,
    deadline: Instant,
}

impl Patience {
    /// Patience for a lookup that begins now.
    pub(super) fn new(timeout: Duration, attempts: u8) -> Self {
        let deadline = Instant::now() + timeout * u32::from(attempts) * SERVERS_IN_A_ROW;
        Self { timeout, attempts, deadline }
    }

    fn until(&self, wait: Duration) -> Instant {
        (Instant::now() + wait).min(self.deadline)
    }
}

/// A question in the form that goes over the wire.
#[derive(Clone, Debug)]
pub(super) struct Query {
    name: Name,
    rtype: RecordType,
    recursive: bool,
}

impl Query {
    /// The wire form of `question`, or why it has none.
    pub(super) fn new(question: &Question, recursive: bool) -> Result<Self, String> {
        let name = wire_name(&question.name)?;
        let rtype = RecordType::from_str(question.rtype.as_str())
            .map_err(|_| format!("{} is not a type that can be asked for", question.rtype))?;
        Ok(Self { name, rtype, recursive })
    }

    /// A question that this layer asks for itself.
    pub(super) fn of(name: &Name, rtype: RecordType, recursive: bool) -> Self {
        Self { name: name.clone(), rtype, recursive }
    }

    /// Asks `server` and reads its answer.
    pub(super) async fn put_to(&self, server: SocketAddr, patience: &Patience) -> Said {
        match self.exchange(server, patience).await {
            Ok(message) => self.read(&message),
            Err(failure) => Said::Failed(failure.to_string()),
        }
    }

    /// Asks `server`: over UDP with EDNS (RFC 6891), and again over TCP when the answer is cut off (RFC 7766, 5).
    pub(super) async fn exchange(&self, server: SocketAddr, patience: &Patience) -> Result<Message, Failure> {
        if Instant::now() >= patience.deadline {
            return Err(Failure::Unasked);
        }
        let message = self.over_udp(server, patience).await?;
        if message.metadata.truncation { self.over_tcp(server, patience).await } else { Ok(message) }
    }

    async fn over_udp(&self, server: SocketAddr, patience: &Patience) -> Result<Message, Failure> {
        let wait = patience.timeout * u32::from(patience.attempts);
        let mut socket = UdpClientStream::builder(server, TokioRuntimeProvider::new())
            .with_timeout(Some(wait))
            .with_max_retries(patience.attempts)
            .with_retry_interval_floor(1)
            .with_os_port_selection(true)
            .build();
        let answer = socket.send_message(self.request(patience)).first_answer();
        let answer = timeout_at(patience.until(wait), answer).await.map_err(|_| Failure::Silent { wait })?;
        self.checked(answer.map_err(|error| Failure::of(error, wait))?.into_message())
    }

    async fn over_tcp(&self, server: SocketAddr, patience: &Patience) -> Result<Message, Failure> {
        let wait = patience.timeout;
        let whole = async {
            // The connection's task lives as long as the provider that spawned it, and not a moment longer.
            let provider = TokioRuntimeProvider::new();
            let connection = TcpClientStream::exchange(server, None, wait, None, provider.clone()).await?;
            connection.send(self.request(patience)).first_answer().await
        };
        let answer = timeout_at(patience.until(wait), whole).await;
        let answer =
            answer.map_err(|_| Failure::Silent { wait }).and_then(|a| a.map_err(|e| Failure::of(e, wait)));
        self.checked(answer.map_err(|failure| Failure::Tcp(Box::new(failure)))?.into_message())
    }

    fn request(&self, patience: &Patience) -> DnsRequest {
        let mut options = DnsRequestOptions::default();
        options.recursion_desired = self.recursive;
        options.retry_interval = patience.timeout;
        DnsRequest::from_query(op::Query::query(self.name.clone(), self.rtype), options)
    }

    /// Over UDP the transport has compared the questions already; over TCP nobody has.
    fn checked(&self, message: Message) -> Result<Message, Failure> {
        let ours = |q: &op::Query| q.name() == &self.name && q.query_type() == self.rtype;
        if message.queries.iter().all(ours) { Ok(message) } else { Err(Failure::Astray) }
    }

    /// What `message` says to this question.
    fn read(&self, message: &Message) -> Said {
        match message.metadata.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => {}
            code => return Said::Failed(in_words(code)),
        }
        if let Some(zone) = referral(message) {
            let text = if self.recursive { "does not recurse" } else { "is not authoritative" };
            return Said::Failed(format!("{text}: it refers to the servers of {}", bare(zone)));
        }
        if !self.recursive && !message.metadata.authoritative {
            return Said::Failed("is not authoritative: its answer lacks the AA bit".to_owned());
        }
        match self.reply(message) {
            Ok(Some(reply)) => Said::Records(reply),
            Ok(None) => Said::Nothing { negative_ttl: negative_ttl(message) },
            Err(why) => Said::Failed(why),
        }
    }

    /// Follows the answer from the asked name; what does not hang on that chain is ignored (RFC 2181, 5.4.1).
    fn reply(&self, message: &Message) -> Result<Option<Reply>, String> {
        let at = |owner: &Name, rtype: RecordType| {
            let owner = owner.clone();
            message.answers.iter().filter(move |r| r.name == owner && r.record_type() == rtype)
        };
        let first = at(&self.name, self.rtype).chain(at(&self.name, RecordType::CNAME));
        let Some(ttl) = first.map(|record| record.ttl).min() else { return Ok(None) };
        let mut reply = Reply { ttl, ..Reply::default() };
        let mut owner = self.name.clone();
        while let Some((target, ttl)) = at(&owner, RecordType::CNAME).find_map(alias) {
            if reply.chain.len() == CHAIN_LIMIT {
                return Err(format!("answers with a chain of more than {CHAIN_LIMIT} aliases"));
            }
            reply.chain.push((plain_name(target)?, ttl));
            owner = target.clone();
        }
        reply.addresses = addresses(message, &owner);
        Ok(Some(reply))
    }
}

/// Why there is no answer to read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("not asked: the time for the whole look-up was up")]
    Unasked,
    #[error("no answer within {}", humantime::format_duration(*wait))]
    Silent { wait: Duration },
    #[error("cannot be reached: {0}")]
    Unreachable(io::ErrorKind),
    #[error("its answer cannot be read: {0}")]
    Garbled(NetError),
    #[error("its answer is to another question")]
    Astray,
    #[error("its answer over UDP is cut off, and over TCP: {0}")]
    Tcp(Box<Failure>),
}

impl Failure {
    fn of(error: NetError, wait: Duration) -> Self {
        match error {
            NetError::Timeout => Self::Silent { wait },
            NetError::Io(error) if error.kind() == io::ErrorKind::TimedOut => Self::Silent { wait },
            NetError::Io(error) => Self::Unreachable(error.kind()),
            other => Self::Garbled(other),
        }
    }
}

/// The zone whose servers `message` refers to, if it is a referral rather than an answer (RFC 2308, 2.2).
pub(super) fn referral(message: &Message) -> Option<&Name> {
    let soa = message.authorities.iter().any(|r| r.record_type() == RecordType::SOA);
    if message.metadata.authoritative || soa || !message.answers.is_empty() {
        return None;
    }
    message.authorities.iter().find(|r| r.record_type() == RecordType::NS).map(|r| &r.name)
}

/// The addresses that `message` gives for `owner`.
pub(super) fn addresses(message: &Message, owner: &Name) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for record in message.answers.iter().filter(|r| &r.name == owner) {
        match &record.data {
            RData::A(a) => found.push(IpAddr::V4(a.0)),
            RData::AAAA(aaaa) => found.push(IpAddr::V6(aaaa.0)),
            _ => {}
        }
    }
    found
}

/// The name in the form that the wire has.
pub(super) fn wire_name(name: &Fqdn) -> Result<Name, String> {
    Name::from_ascii(name.absolute()).map_err(|error| format!("{name} has no wire form: {error}"))
}

/// A name without the trailing dot, for a person.
pub(super) fn bare(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_owned()
}

fn plain_name(name: &Name) -> Result<Fqdn, String> {
    Fqdn::parse(&name.to_ascii()).map_err(|error| format!("answers with a CNAME that leads nowhere: {error}"))
}

fn alias(record: &Record) -> Option<(&Name, u32)> {
    match &record.data {
        RData::CNAME(target) => Some((&target.0, record.ttl)),
        _ => None,
    }
}

/// RFC 2308, 5: the lesser of the SOA's own TTL and its last field; a cache counts the former down.
fn negative_ttl(message: &Message) -> Option<u32> {
    message.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
        _ => None,
    })
}

pub(super) fn in_words(code: ResponseCode) -> String {
    match code {
        ResponseCode::Refused => "REFUSED: it does not serve this name, or not to us".to_owned(),
        ResponseCode::ServFail => {
            "SERVFAIL: it has a fault of its own, or its zone could not be loaded".to_owned()
        }
        ResponseCode::FormErr => "FORMERR: it does not understand the question".to_owned(),
        ResponseCode::NotImp => "NOTIMP: it does not answer such questions".to_owned(),
        other => format!("answers with response code {} ({other})", u16::from(other)),
    }
}

/// A whole lookup may wait for this many silent servers one after the other.
const SERVERS_IN_A_ROW: u32 = 8;

/// Longer than any resolver follows, and short enough to end a loop.
const CHAIN_LIMIT: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_there_was_no_time_left_to_ask_was_not_silent() {
        let over = Patience::new(Duration::ZERO, 1);
        let query = Query::of(&Name::root(), RecordType::NS, false);
        let Said::Failed(why) = query.put_to(([127, 0, 0, 1], 9).into(), &over).await else {
            panic!("nobody was there")
        };
        assert_eq!(why, "not asked: the time for the whole look-up was up");
    }
}
