//! The internet between the operator and Azure: a SOCKS5 proxy (RFC 1928) whose connections meet what the cloud has in
//! force at that moment.
//!
//! A packet that Azure would drop gets no answer here either: the proxy stays silent until the client gives up. A closed
//! port is refused, and an open one is what listens on the machine.

mod service;
mod socks;

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use self::socks::{Reply, Target};
use super::azure::network::way::{Arrival, arrive};
use super::dns::addresses;
use super::world::Cloud;

/// Serves until dropped; every connection ends with it.
pub(crate) async fn serve(listener: TcpListener, cloud: Cloud) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let cloud = cloud.clone();
                connections.spawn(async move {
                    // A client that breaks off, or that speaks something else, has ended its connection.
                    let _ = connect(stream, &cloud).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connect(mut stream: TcpStream, cloud: &Cloud) -> std::io::Result<()> {
    // Greetings are small, and each is waited for.
    stream.set_nodelay(true)?;
    let Some((target, port)) = socks::request(&mut stream).await? else { return Ok(()) };
    let address = match target {
        Target::Address(address) => Some(address),
        Target::Name(name) => addresses(cloud, &name).await.into_iter().next(),
    };
    let Some(address) = address else { return socks::answer(&mut stream, Reply::HostUnreachable).await };
    let arrival = cloud.with(|world| arrive(world, world.options.client_address, address, port));
    match arrival {
        Arrival::Silence(_) => silence(&mut stream).await,
        Arrival::Refused => socks::answer(&mut stream, Reply::ConnectionRefused).await,
        Arrival::Service(speaks) => {
            socks::answer(&mut stream, Reply::Succeeded).await?;
            service::speak(&mut stream, speaks).await
        }
    }
}

/// Takes whatever comes and says nothing, until the client goes.
async fn silence(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut heard = [0; 512];
    while stream.read(&mut heard).await? > 0 {}
    Ok(())
}
