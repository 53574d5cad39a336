//! The verbs with which a test or a rehearsal plays the outside world, in process and over plain HTTP.

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use super::fault::{DnsFault, Fault, NameServer};
use super::world::Cloud;
use super::{Delegation, cloudflare, dns};

/// A handle on the outside world.
#[derive(Clone, Debug)]
pub struct Control {
    cloud: Cloud,
}

/// Why a verb could not be carried out, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ControlError(pub String);

/// A Basic public IP as they were made before 31 March 2025.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LegacyPublicIp {}

/// A record set that a person writes in the Azure portal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RecordAtAzure {}

impl Control {
    pub(crate) fn new(cloud: Cloud) -> Self {
        Self { cloud }
    }

    /// Arms a fault.
    pub fn fault(&self, fault: Fault) {
        self.cloud.with(|world| world.faults.add(fault));
    }

    /// Disarms every fault, on DNS servers too, and releases what is held.
    pub fn clear_faults(&self) {
        self.cloud.with(|world| world.faults.clear());
        self.cloud.announce();
    }

    /// Makes a DNS server misbehave, or behave again.
    pub fn dns_fault(&self, server: NameServer, fault: Option<DnsFault>) {
        self.cloud.with(|world| dns::misbehave(world, server, fault));
    }

    /// Empties the recursive resolver's cache.
    pub fn clear_cache(&self) {
        self.cloud.with(dns::clear_cache);
    }

    /// Whom the parent delegates the zone to.
    pub fn delegate(&self, to: Delegation) {
        self.cloud.with(|world| dns::delegate(world, to));
    }

    /// Turns Cloudflare's proxy on or off for a name.
    ///
    /// # Errors
    /// When there is no such record.
    pub fn proxy(&self, name: &str, proxied: bool) -> Result<(), ControlError> {
        self.cloud.with(|world| cloudflare::proxy_by_hand(world, name, proxied)).map_err(ControlError)
    }
}

/// Serves the control interface until dropped.
pub(crate) async fn serve(_listener: TcpListener, _cloud: Cloud) {
    std::future::pending::<()>().await;
}
