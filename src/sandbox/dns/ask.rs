//! One question to one server: over UDP, and again over TCP when the answer was cut (RFC 7766, section 5).

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use hickory_net::proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_net::proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// Asks `server` without recursion.
///
/// # Errors
/// When the server does not answer within `patience`, or not in DNS.
pub(crate) async fn ask(
    server: SocketAddr,
    name: &Name,
    kind: RecordType,
    patience: Duration,
) -> io::Result<Message> {
    let mut query = Message::new(rand::random(), MessageType::Query, OpCode::Query);
    query.add_query(Query::query(name.clone(), kind));
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_PAYLOAD);
    query.set_edns(edns);
    let octets = query.to_vec().map_err(io::Error::other)?;
    let answer = timeout(patience, over_udp(server, &octets, query.metadata.id)).await??;
    if answer.metadata.truncation {
        return timeout(patience, over_tcp(server, &octets)).await?;
    }
    Ok(answer)
}

async fn over_udp(server: SocketAddr, query: &[u8], id: u16) -> io::Result<Message> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut buffer = vec![0; usize::from(UDP_PAYLOAD)];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let answer = Message::from_vec(&buffer[..length]).map_err(io::Error::other)?;
        if answer.metadata.id == id {
            return Ok(answer);
        }
    }
}

async fn over_tcp(server: SocketAddr, query: &[u8]) -> io::Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), query].concat()).await?;
    let length = stream.read_u16().await?;
    let mut octets = vec![0; usize::from(length)];
    stream.read_exact(&mut octets).await?;
    Message::from_vec(&octets).map_err(io::Error::other)
}

/// The EDNS buffer size of DNS flag day 2020.
pub(crate) const UDP_PAYLOAD: u16 = 1_232;
