//! The DNS servers: two for each provider, one for the label zones, and a recursive resolver with a cache.

use std::io;
use std::net::SocketAddr;

use tokio::task::JoinHandle;

use super::world::{Cloud, World};

/// Which provider a zone is delegated to, and the recursive resolver's cache.
#[derive(Debug, Default)]
pub(crate) struct State {}

/// Where the servers listen, on UDP and TCP alike.
#[derive(Debug)]
pub(crate) struct Servers {
    pub(crate) azure: [SocketAddr; 2],
    pub(crate) cloudflare: [SocketAddr; 2],
    pub(crate) label: SocketAddr,
    pub(crate) recursive: SocketAddr,
    /// Aborted when the sandbox is dropped.
    pub(crate) tasks: Vec<JoinHandle<()>>,
}

/// Starts every server.
pub(crate) async fn start(_cloud: &Cloud) -> io::Result<Servers> {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    Ok(Servers {
        azure: [nowhere; 2],
        cloudflare: [nowhere; 2],
        label: nowhere,
        recursive: nowhere,
        tasks: Vec::new(),
    })
}

/// Empties the recursive resolver's cache.
pub(crate) fn clear_cache(_world: &mut World) {}

/// Whom the parent of the zone delegates it to, as the recursive resolver sees it.
pub(crate) fn delegate(_world: &mut World, _to: super::Delegation) {}
