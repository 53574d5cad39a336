//! The gateway in front of an endpoint, as wanted: one load balancer, the ports that lead through it, who may use them.
//!
//! What Azure gives no place for tags carries its mark in its name: `cnamed_OWNER_NAME`. An owner has no underscore,
//! so no two instances can mean the same one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::record::Owner;
use super::resource_id::ResourceId;

pub mod admission;
pub mod fit;
mod held;

pub use held::{
    Balancing, Frontend, GatewayState, HeldNatRule, HeldPool, IpConfiguration, LoadBalancer,
    NetworkInterface, Ports, SecurityGroup, SecurityRule, Subnet,
};

/// A load balancer and its inbound NAT rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateway {
    /// The public IP in front of it.
    pub public_ip: ResourceId,
    /// The load balancer.
    pub load_balancer: ResourceId,
    /// The ports that lead through it.
    pub nat_rules: Vec<NatRule>,
}

/// One port of the address that leads to one machine (Azure's inbound NAT rule, version 2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatRule {
    /// The operator's name for it.
    pub name: String,
    /// The protocol.
    pub protocol: Protocol,
    /// The port that clients use, 1 to 65534.
    pub frontend_port: u16,
    /// The port on the machine, 1 to 65535.
    pub backend_port: u16,
    /// The machine's network interface.
    pub network_interface: ResourceId,
    /// The security rule that lets clients in; `None` leaves that to somebody else.
    pub access: Option<Access>,
    /// Minutes until an idle TCP connection is forgotten, 4 to 30.
    pub idle_timeout_minutes: u8,
}

impl NatRule {
    /// What the backend port is for, where Cloudflare's proxy cannot carry it.
    #[must_use]
    pub fn remote_access(&self) -> Option<&'static str> {
        match self.backend_port {
            22 => Some("SSH"),
            3389 => Some("RDP"),
            _ => None,
        }
    }
}

/// A transport protocol (`protocol` of an inbound NAT rule).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// A rule of a network security group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The group.
    pub network_security_group: ResourceId,
    /// Who may connect.
    pub from: AllowFrom,
    /// The rule's priority, 100 to 4096; `None` takes the first free one.
    pub priority: Option<u16>,
}

/// Who may connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AllowFrom {
    /// Everybody, which must be spelled out.
    Internet,
    /// These, at least one; networks all of one family.
    Sources(Vec<Source>),
}

impl AllowFrom {
    /// The sources, as Azure writes them.
    #[must_use]
    pub fn sources(&self) -> Vec<Source> {
        match self {
            Self::Internet => vec![Source::Tag(INTERNET_TAG.to_owned())],
            Self::Sources(sources) => sources.clone(),
        }
    }
}

/// Where traffic comes from: networks, or one of the names that Azure keeps lists for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub enum Source {
    /// A network.
    Network(Network),
    /// A service tag, such as `AzureCloud.WestEurope`, or `*`.
    Tag(String),
}

impl From<String> for Source {
    /// Azure takes bits beyond the prefix, and takes no notice of them.
    fn from(text: String) -> Self {
        match text.parse() {
            Ok(network) | Err(NetworkError::HostBits { network, .. }) => Self::Network(network),
            Err(NetworkError::Form(text)) => Self::Tag(text),
        }
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        source.to_string()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Tag(tag) => f.pad(tag),
        }
    }
}

/// A network in CIDR form (RFC 4632, 3.1; RFC 4291, 2.3), without host bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// The network's first address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The length of its prefix.
    #[must_use]
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether every address of its family is within it.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.prefix == 0
    }

    /// Whether all of `other` is within it.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        self.prefix <= other.prefix && Self::around(other.address, self.prefix) == *self
    }

    /// Whether they have an address in common.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other) || other.contains(self)
    }

    /// Its two halves; `None` for a single address.
    fn halves(&self) -> Option<[Self; 2]> {
        let prefix = self.prefix + 1;
        let upper = match self.address {
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(
                v4.to_bits() | 1_u32.checked_shl(32_u32.checked_sub(prefix.into())?)?,
            )),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(
                v6.to_bits() | 1_u128.checked_shl(128_u32.checked_sub(prefix.into())?)?,
            )),
        };
        Some([Self { address: self.address, prefix }, Self { address: upper, prefix }])
    }

    /// The network of `prefix` bits that `address` stands in.
    fn around(address: IpAddr, prefix: u8) -> Self {
        let address = match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into())).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128_u32.saturating_sub(prefix.into())).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
            }
        };
        Self { address, prefix }
    }
}

/// Why a text is not a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Not an address with a prefix length.
    #[error("\"{0}\" is not a network in CIDR form")]
    Form(String),
    /// An address within a network, not the network's own.
    #[error("\"{written}\" has bits set beyond its prefix; the network is \"{network}\"")]
    HostBits {
        /// The text as written.
        written: String,
        /// The network that it stands in.
        network: Network,
    },
}

impl FromStr for Network {
    type Err = NetworkError;

    /// An address alone is a network of one.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || NetworkError::Form(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| form())?;
        let greatest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().map_err(|_| form())?
            }
            Some(_) => return Err(form()),
            None => greatest,
        };
        if prefix > greatest {
            return Err(form());
        }
        let network = Self::around(address, prefix);
        if network.address == address {
            Ok(network)
        } else {
            Err(NetworkError::HostBits { written: text.to_owned(), network })
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// What begins the name of everything that `owner` makes inside a resource.
#[must_use]
pub fn prefix(owner: &Owner) -> String {
    format!("{MARK}{owner}_")
}

/// The name in Azure of what `owner` makes for `name`: a frontend for an endpoint; a pool, a NAT rule and a security
/// rule for a NAT rule.
#[must_use]
pub fn marked(owner: &Owner, name: &str) -> String {
    format!("{}{name}", prefix(owner))
}

/// Whether `name` is that of something that `owner` makes. Azure compares names without case.
#[must_use]
pub fn is_marked(owner: &Owner, name: &str) -> bool {
    let prefix = prefix(owner);
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(&prefix))
}

/// Whether `name` is that of something that an instance of this program makes, whichever.
#[must_use]
pub fn carries_mark(name: &str) -> bool {
    name.get(..MARK.len()).is_some_and(|start| start.eq_ignore_ascii_case(MARK))
}

/// Whether Azure takes both for the name of one thing.
#[must_use]
pub fn same_name(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// The service tag of everything outside (`sourceAddressPrefix` of a security rule).
pub const INTERNET_TAG: &str = "Internet";
const MARK: &str = "cnamed_";
/// The longest name that Azure takes for a part of a load balancer or a security group.
pub const LONGEST_NAME: usize = 80;
