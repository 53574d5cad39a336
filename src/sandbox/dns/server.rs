//! The servers themselves: a question comes in by UDP or TCP, faults are played, an answer goes out.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use async_trait::async_trait;
use hickory_net::proto::op::{Edns, Header, HeaderCounts, Metadata, OpCode, ResponseCode};
use hickory_net::proto::rr::{Name, RData, Record, RecordType};
use hickory_net::runtime::Time;
use hickory_server::Server;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;

use super::answer::{self, Answer};
use super::ask::UDP_PAYLOAD;
use super::recursive::Recursor;
use super::zone::Publisher;
use crate::sandbox::clock::Clock;
use crate::sandbox::fault::{DnsFault, NameServer};
use crate::sandbox::world::Cloud;

/// Starts one server on a free loopback port, the same for UDP and TCP.
pub(crate) async fn start(cloud: &Cloud, server: NameServer) -> io::Result<(SocketAddr, JoinHandle<()>)> {
    let (udp, tcp) = bind().await?;
    let address = tcp.local_addr()?;
    let handler = Handler { cloud: cloud.clone(), server };
    let mut serving = Server::new(handler);
    serving.register_socket(udp);
    serving.register_listener(tcp, TCP_IDLE, TCP_BUFFERED);
    let task = tokio::spawn(async move {
        // Ends when the task is aborted, which drops the server and all that it spawned.
        let _ = serving.block_until_done().await;
    });
    Ok((address, task))
}

async fn bind() -> io::Result<(UdpSocket, TcpListener)> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..BIND_ATTEMPTS {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        match UdpSocket::bind(tcp.local_addr()?).await {
            Ok(udp) => return Ok((udp, tcp)),
            // Somebody has the UDP port of that number.
            Err(error) => last = error,
        }
    }
    Err(last)
}

struct Handler {
    cloud: Cloud,
    server: NameServer,
}

impl Handler {
    async fn answer(&self, question: &Name, kind: RecordType, recurse: bool) -> Answer {
        let recursor = Recursor::new(self.cloud.clone());
        let publisher = match self.server {
            NameServer::Azure1 | NameServer::Azure2 => Publisher::Azure,
            NameServer::Cloudflare1 | NameServer::Cloudflare2 => Publisher::Cloudflare,
            NameServer::Label => Publisher::Label,
            NameServer::Recursive if recurse => {
                return recursor.resolve(question, kind).await.counted_by(self.clock());
            }
            NameServer::Recursive => return recursor.remembered(question, kind).counted_by(self.clock()),
        };
        let mut answer = self.cloud.with(|world| {
            super::seen_by(world, self.server, |world| answer::answer(world, publisher, question, kind))
        });
        if let Some(flatten) = answer.flatten.take() {
            let resolved = self.addresses(publisher, flatten.target, kind).await;
            if resolved.code == ResponseCode::ServFail {
                return Answer::only(ResponseCode::ServFail);
            }
            let addresses = resolved.answers.into_iter().filter(|record| record.record_type() == kind);
            answer.answers.extend(addresses.map(|mut record| {
                record.name = flatten.owner.clone();
                record.ttl = record.ttl.min(flatten.ttl);
                record
            }));
            if answer.answers.is_empty() {
                answer.authorities = self.cloud.with(|world| {
                    let apex = super::zone::zone_of(world, publisher, &answer::text(&flatten.owner));
                    apex.map(|apex| answer::start_of_authority(world, publisher, &apex)).unwrap_or_default()
                });
            }
        }
        answer
    }

    fn clock(&self) -> Clock {
        self.cloud.with(|world| world.clock)
    }

    /// The addresses of `target` as the provider finds them: in its own zones first, then by asking around.
    async fn addresses(&self, publisher: Publisher, mut target: Name, kind: RecordType) -> Answer {
        let own = self.cloud.with(|world| {
            super::seen_by(world, self.server, |world| answer::answer(world, publisher, &target, kind))
        });
        match own.answers.last().map(|record| &record.data) {
            Some(RData::CNAME(next)) => target = next.0.clone(),
            None if own.flatten.is_none() && own.code == ResponseCode::Refused => {}
            _ if own.flatten.is_none() => return own,
            _ => {}
        }
        Recursor::new(self.cloud.clone()).look_up(&target, kind).await
    }
}

#[async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response: R,
    ) -> ResponseInfo {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.recursion_available = self.server == NameServer::Recursive;
        metadata.checking_disabled = false;
        let fault = self.cloud.with(|world| world.faults.dns(self.server));
        let answer = match (fault, request.request_info()) {
            (Some(DnsFault::Silent), _) => return unsent(metadata),
            (Some(DnsFault::ServFail), _) => Answer::only(ResponseCode::ServFail),
            (Some(DnsFault::Refused), _) => Answer::only(ResponseCode::Refused),
            (_, Err(_)) => Answer::only(ResponseCode::FormErr),
            (_, Ok(_)) if request.metadata.op_code != OpCode::Query => Answer::only(ResponseCode::NotImp),
            (_, Ok(info)) => {
                // The name as it was written, not as it is compared.
                let question = info.query.original().name().clone();
                self.answer(&question, info.query.query_type(), metadata.recursion_desired).await
            }
        };
        metadata.authoritative = answer.authoritative;
        metadata.response_code = answer.code;
        let edns = request.edns.as_ref().map(|asked| {
            let mut edns = Edns::new();
            edns.set_max_payload(asked.max_payload().clamp(512, UDP_PAYLOAD));
            edns
        });
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if let Some(edns) = &edns {
            builder.edns(edns);
        }
        let none: [Record; 0] = [];
        let message = builder.build(
            metadata,
            answer.answers.iter(),
            answer.authorities.iter(),
            none.iter(),
            none.iter(),
        );
        // A client that is gone needs no answer.
        response.send_response(message).await.unwrap_or_else(|_| unsent(metadata))
    }
}

fn unsent(metadata: Metadata) -> ResponseInfo {
    ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() })
}

const TCP_IDLE: Duration = Duration::from_secs(10);
const TCP_BUFFERED: usize = 16;
const BIND_ATTEMPTS: usize = 50;
