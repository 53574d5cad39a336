//! One question over a real socket, and the answer as it came.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use hickory_net::proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_net::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// A question about to be asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    message: Message,
    patience: Duration,
}

/// `name` and `kind`, without recursion and with EDNS.
pub(crate) fn ask(name: &str, kind: RecordType) -> Question {
    let mut message = Message::new(rand::random(), MessageType::Query, OpCode::Query);
    let mut name = Name::from_ascii(name).expect("a name");
    name.set_fqdn(true);
    message.add_query(Query::query(name, kind));
    let mut edns = Edns::new();
    edns.set_max_payload(1_232);
    message.set_edns(edns);
    Question { message, patience: Duration::from_secs(5) }
}

impl Question {
    pub(crate) fn recursively(mut self) -> Self {
        self.message.metadata.recursion_desired = true;
        self
    }

    pub(crate) fn without_edns(mut self) -> Self {
        self.message.edns = None;
        self
    }

    pub(crate) fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The answer over UDP, cut or not.
    pub(crate) async fn at(&self, server: SocketAddr) -> Message {
        self.tried(server).await.expect("an answer")
    }

    /// As [`Question::at`], for servers that may not answer.
    pub(crate) async fn tried(&self, server: SocketAddr) -> io::Result<Message> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        socket.connect(server).await?;
        socket.send(&self.message.to_vec().expect("a question")).await?;
        let mut buffer = [0; 4_096];
        let length = timeout(self.patience, socket.recv(&mut buffer)).await??;
        Ok(self.checked(&buffer[..length]))
    }

    /// The answer over TCP.
    pub(crate) async fn over_tcp(&self, server: SocketAddr) -> Message {
        let octets = self.message.to_vec().expect("a question");
        let mut stream = TcpStream::connect(server).await.expect("the server listens");
        let length = u16::try_from(octets.len()).expect("short").to_be_bytes();
        stream.write_all(&[&length[..], &octets].concat()).await.expect("sent");
        let length = timeout(self.patience, stream.read_u16()).await.expect("in time").expect("a length");
        let mut octets = vec![0; usize::from(length)];
        stream.read_exact(&mut octets).await.expect("a message");
        self.checked(&octets)
    }

    fn checked(&self, octets: &[u8]) -> Message {
        let answer = Message::from_vec(octets).expect("a message");
        assert_eq!(answer.metadata.id, self.message.metadata.id);
        assert_eq!(answer.metadata.message_type, MessageType::Response);
        assert_eq!(answer.queries, self.message.queries, "the question comes back");
        answer
    }
}

/// The answer section in short: owner, TTL, type and value.
pub(crate) fn shown(message: &Message) -> Vec<String> {
    lines(&message.answers)
}

/// Records in short.
pub(crate) fn lines(records: &[Record]) -> Vec<String> {
    records
        .iter()
        .map(|record| format!("{} {} {} {}", record.name, record.ttl, record.record_type(), record.data))
        .collect()
}

/// The values of one type in the answer section.
pub(crate) fn values(message: &Message, kind: RecordType) -> Vec<String> {
    let mut values: Vec<String> = message
        .answers
        .iter()
        .filter(|record| record.record_type() == kind)
        .map(|record| record.data.to_string())
        .collect();
    values.sort();
    values
}

/// Asserts an authoritative absence: the code, nothing in the answer, the zone's SOA in the authority section.
#[track_caller]
pub(crate) fn assert_absent(message: &Message, code: ResponseCode, zone: &str) {
    assert_eq!(message.metadata.response_code, code, "{message}");
    assert!(message.metadata.authoritative, "{message}");
    assert_eq!(shown(message), Vec::<String>::new());
    assert_eq!(message.authorities.len(), 1, "{message}");
    let soa = &message.authorities[0];
    assert_eq!(soa.name.to_ascii(), format!("{zone}."));
    let RData::SOA(data) = &soa.data else { panic!("{message}") };
    assert!(soa.ttl <= data.minimum, "RFC 2308, section 3");
}
