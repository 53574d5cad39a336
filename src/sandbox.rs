//! A whole cloud on loopback: Entra's token endpoint, Resource Manager, Azure DNS, Cloudflare, and the DNS servers
//! that publish what they hold.
//!
//! It is strict and faithful to the services' own documentation, so that what works here is worth something:
//! it refuses what they refuse, in their words, and forgets what they forget. Everything listens on free
//! loopback ports; HTTPS with an authority made at start. Dropping a [`Sandbox`] stops every server of it.

mod azure;
mod clock;
mod cloudflare;
mod config;
mod control;
pub mod day;
mod dns;
mod exchange;
mod fault;
mod internet;
mod log;
mod record;
mod server;
mod throttle;
mod tls;
mod world;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::task::JoinHandle;

pub use self::azure::compute::Speaks;
pub use self::azure::log_analytics::seed::{Attack, LogTable};
pub use self::azure::seed::{AZURE_IDENTITY, AzureIdentity};
pub use self::clock::Clock;
pub use self::cloudflare::{CLOUDFLARE_TOKENS, CloudflareTokens};
pub use self::control::{Control, ControlError, LegacyPublicIp, RecordAtAzure};
pub use self::exchange::Service;
pub use self::fault::{Action, DnsFault, Fault, HoldPoint, NameServer};
pub use self::log::LoggedRequest;
use self::world::{Cloud, World};

/// How a sandbox behaves from its start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to write each exchange with Resource Manager and Cloudflare for contract judges, one file each; what
    /// the variable `CNAMED_SANDBOX_RECORD` says unless it is set here.
    pub record: Option<PathBuf>,
    /// How many times as fast as its clients' the sandbox's own time runs, from 1 on. Every other time span here is in
    /// the sandbox's seconds, unless it says so.
    pub speed: u32,
    /// When its calendar begins; `None` for now.
    pub dawn: Option<OffsetDateTime>,
    /// How long a long-running operation runs.
    pub operation_delay: Duration,
    /// What operations say in `Retry-After`, in the client's seconds; `None` for the delay, rounded down.
    pub retry_after: Option<u32>,
    /// How long a label stays reserved after its public IP was deleted. The service's own figure is not
    /// published; nothing by default.
    pub label_reservation: Duration,
    /// How many public IPs the subscription may have in a region.
    pub public_ip_quota: usize,
    /// The plan of the Cloudflare zone, which sets its limits.
    pub plan: CloudflarePlan,
    /// Multiplies every throttling period; 1 is the services' own pace. Beside `speed`, since it moves quotas against
    /// everything else: stretched, so that one can be used up, or taken away.
    pub throttle_scale: f64,
    /// How long an access token lives, in the client's seconds: clients renew it minutes before its end, at any speed.
    pub token_lifetime: Duration,
    /// Whether a Linux machine reports to the workspace too. The seeded machine is a Windows one.
    pub syslog: bool,
    /// Whether the written configuration has the gateway: a load balancer with NAT rules for RDP and SSH, and the way
    /// through the sandbox's internet to prove them.
    pub gateway: bool,
    /// From where on the internet the connections of [`Addresses::internet`] come.
    pub client_address: IpAddr,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            record: std::env::var_os("CNAMED_SANDBOX_RECORD").map(PathBuf::from),
            speed: 1,
            dawn: None,
            operation_delay: Duration::from_millis(300),
            retry_after: None,
            label_reservation: Duration::ZERO,
            public_ip_quota: 1000,
            plan: CloudflarePlan::Enterprise,
            throttle_scale: 1.0,
            token_lifetime: Duration::from_secs(3599),
            syslog: false,
            gateway: false,
            client_address: Ipv4Addr::new(203, 0, 113, 200).into(),
        }
    }
}

/// A Cloudflare plan, as far as DNS limits go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CloudflarePlan {
    /// 200 records, batches of 200, comments of 100 characters, no tags, TTL from 60.
    Free,
    /// 3,500 records and operations a batch, comments of 500 characters, tags, TTL from 30.
    Enterprise,
}

/// Which provider's servers the zone's parent names, when both hold the zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delegation {
    /// Both, as for a co-hosted zone; Azure DNS is asked first.
    #[default]
    Both,
    /// Azure DNS alone.
    Azure,
    /// Cloudflare alone.
    Cloudflare,
}

/// Where the services listen.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Addresses {
    /// Entra's base URL, without a trailing slash.
    pub authority: String,
    /// Resource Manager's base URL, without a trailing slash.
    pub resource_manager: String,
    /// The base URL of Azure Monitor Logs' query API, without a trailing slash.
    pub log_analytics: String,
    /// Cloudflare's base URL, with `/client/v4`.
    pub cloudflare: String,
    /// The control interface's base URL, plain HTTP.
    pub control: String,
    /// The two servers of Azure DNS.
    pub azure_dns: Vec<SocketAddr>,
    /// The two servers of Cloudflare.
    pub cloudflare_dns: Vec<SocketAddr>,
    /// The server of the label zones.
    pub label_dns: Option<SocketAddr>,
    /// The recursive resolver.
    pub recursive_dns: Option<SocketAddr>,
    /// The internet between the operator and the cloud's public addresses: a SOCKS5 proxy (RFC 1928).
    pub internet: SocketAddr,
}

impl Default for Addresses {
    fn default() -> Self {
        Self {
            authority: String::new(),
            resource_manager: String::new(),
            cloudflare: String::new(),
            control: String::new(),
            log_analytics: String::new(),
            azure_dns: Vec::new(),
            cloudflare_dns: Vec::new(),
            label_dns: None,
            recursive_dns: None,
            internet: SocketAddr::from(([127, 0, 0, 1], 0)),
        }
    }
}

/// A running cloud.
#[derive(Debug)]
pub struct Sandbox {
    cloud: Cloud,
    addresses: Addresses,
    ca_pem: String,
    servers: Vec<JoinHandle<()>>,
}

impl Sandbox {
    /// Starts every service on a free port.
    ///
    /// # Errors
    /// When a port cannot be had or a key cannot be made.
    pub async fn start(options: Options) -> io::Result<Self> {
        let identity = tls::Identity::generate()?;
        let cloud = Cloud::new(World::new(options));
        let mut addresses = Addresses::default();
        let mut servers = Vec::new();
        let services: [(Service, server::Handler); 4] = [
            (Service::Authority, azure::authority::handle),
            (Service::Arm, azure::handle),
            (Service::LogAnalytics, azure::log_analytics::handle),
            (Service::Cloudflare, cloudflare::handle),
        ];
        for (service, handler) in services {
            let listener = server::listen().await?;
            let base = format!("https://127.0.0.1:{}", listener.local_addr()?.port());
            match service {
                Service::Authority => addresses.authority = base,
                Service::Arm => addresses.resource_manager = base,
                Service::LogAnalytics => addresses.log_analytics = base,
                Service::Cloudflare => addresses.cloudflare = format!("{base}/client/v4"),
            }
            let (tls, cloud) = (identity.acceptor.clone(), cloud.clone());
            servers.push(tokio::spawn(server::serve(service, listener, tls, cloud, handler)));
        }

        let listener = server::listen().await?;
        addresses.control = format!("http://127.0.0.1:{}", listener.local_addr()?.port());
        servers.push(tokio::spawn(control::serve(listener, cloud.clone())));

        let listener = server::listen().await?;
        addresses.internet = listener.local_addr()?;
        servers.push(tokio::spawn(internet::serve(listener, cloud.clone())));

        let dns = dns::start(&cloud).await?;
        addresses.azure_dns = dns.azure.to_vec();
        addresses.cloudflare_dns = dns.cloudflare.to_vec();
        addresses.label_dns = Some(dns.label);
        addresses.recursive_dns = Some(dns.recursive);
        servers.extend(dns.tasks);

        cloud.with(|world| world.addresses = addresses.clone());
        Ok(Self { cloud, addresses, ca_pem: identity.ca_pem, servers })
    }

    /// Where the services listen.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The authority that signed the services' certificate, PEM (RFC 7468).
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// A configuration that the other commands accept as it is, for files kept in `directory`.
    #[must_use]
    pub fn config(&self, directory: &Path) -> String {
        config::text(&self.addresses, self.setup(), directory)
    }

    /// Writes that configuration, the authority's certificate and the secrets into `directory`, and gives the
    /// configuration's path. Secret files are readable by their owner alone.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write_config(&self, directory: &Path) -> io::Result<PathBuf> {
        config::write(&self.addresses, self.setup(), &self.ca_pem, directory)
    }

    /// The time in there.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.cloud.with(|world| world.clock)
    }

    fn setup(&self) -> config::Setup {
        self.cloud.with(|world| config::Setup { gateway: world.options.gateway, clock: world.clock })
    }

    /// The verbs with which a test or a rehearsal plays the outside world.
    #[must_use]
    pub fn control(&self) -> Control {
        Control::new(self.cloud.clone())
    }

    /// Everything that was asked of the HTTP services since the start or the last
    /// [`forget_requests`](Self::forget_requests).
    #[must_use]
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.cloud.with(|world| world.log.entries().to_vec())
    }

    /// Empties the request log; numbers go on.
    pub fn forget_requests(&self) {
        self.cloud.with(|world| world.log.forget());
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        for server in &self.servers {
            server.abort();
        }
    }
}
