//! The DNS servers: two for each provider, one for the label zones, and a recursive resolver with a cache.
//!
//! The authoritative servers read the services' state at the moment of each question, so a change is published at
//! once; the resolver asks them over real sockets, and what it remembers is what makes a change late.

mod answer;
mod ask;
mod cache;
mod recursive;
mod server;
mod zone;

use std::collections::HashMap;
use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};

use hickory_net::proto::rr::{Name, RecordType};
use tokio::task::JoinHandle;

use self::cache::Cache;
use self::recursive::Recursor;
use super::fault::{DnsFault, NameServer};
use super::world::{Cloud, World};
use super::{Delegation, azure, cloudflare};

/// Which provider a zone is delegated to, the recursive resolver's cache, and what stale servers still serve.
#[derive(Debug, Default)]
pub(crate) struct State {
    delegation: Delegation,
    cache: Cache,
    frozen: HashMap<NameServer, Frozen>,
}

#[derive(Clone, Debug)]
struct Frozen {
    azure: azure::State,
    cloudflare: cloudflare::State,
}

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
pub(crate) async fn start(cloud: &Cloud) -> io::Result<Servers> {
    let mut tasks = Vec::new();
    let mut start = async |server| {
        let (address, task) = server::start(cloud, server).await?;
        tasks.push(task);
        io::Result::Ok(address)
    };
    let azure = [start(NameServer::Azure1).await?, start(NameServer::Azure2).await?];
    let cloudflare = [start(NameServer::Cloudflare1).await?, start(NameServer::Cloudflare2).await?];
    let label = start(NameServer::Label).await?;
    let recursive = start(NameServer::Recursive).await?;
    Ok(Servers { azure, cloudflare, label, recursive, tasks })
}

/// What a client of the recursive resolver learns of a name: its addresses, of the fourth version first.
pub(crate) async fn addresses(cloud: &Cloud, name: &str) -> Vec<IpAddr> {
    let Ok(mut name) = Name::from_utf8(name) else { return Vec::new() };
    name.set_fqdn(true);
    let resolver = Recursor::new(cloud.clone());
    let mut found = Vec::new();
    for kind in [RecordType::A, RecordType::AAAA] {
        let answer = resolver.resolve(&name, kind).await;
        found.extend(answer.answers.iter().filter_map(|record| record.data.ip_addr()));
    }
    found
}

/// Empties the recursive resolver's cache.
pub(crate) fn clear_cache(world: &mut World) {
    world.dns.cache.clear();
}

/// Whom the parent of the zone delegates it to, as the recursive resolver sees it.
pub(crate) fn delegate(world: &mut World, to: Delegation) {
    world.dns.delegation = to;
}

/// Makes a server misbehave, or behave again. A stale one goes on with what it serves at this moment.
pub(crate) fn misbehave(world: &mut World, server: NameServer, fault: Option<DnsFault>) {
    if fault == Some(DnsFault::Stale) {
        let frozen = Frozen { azure: world.azure.clone(), cloudflare: world.cloudflare.clone() };
        world.dns.frozen.insert(server, frozen);
    } else {
        world.dns.frozen.remove(&server);
    }
    world.faults.set_dns(server, fault);
}

/// Looks at the world as `server` sees it: as it is, or as it was when the server went stale.
fn seen_by<T>(world: &mut World, server: NameServer, look: impl FnOnce(&World) -> T) -> T {
    let stale = world.faults.dns(server) == Some(DnsFault::Stale);
    let Some(mut frozen) = stale.then(|| world.dns.frozen.remove(&server)).flatten() else {
        return look(world);
    };
    let mut swap = |world: &mut World| {
        mem::swap(&mut world.azure, &mut frozen.azure);
        mem::swap(&mut world.cloudflare, &mut frozen.cloudflare);
    };
    swap(world);
    let seen = look(world);
    swap(world);
    world.dns.frozen.insert(server, frozen);
    seen
}
