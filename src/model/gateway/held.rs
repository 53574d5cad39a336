//! The gateway as Azure holds it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Protocol, Source};
use crate::model::endpoint::Provisioning;
use crate::model::record::{Owner, Version};
use crate::model::resource_id::ResourceId;
use crate::model::state::Seen;

/// What was seen of everything behind an endpoint's public IP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayState {
    /// The load balancer.
    pub load_balancer: Seen<LoadBalancer>,
    /// The wanted network interfaces, and those in pools that carry a mark.
    pub interfaces: BTreeMap<ResourceId, Seen<NetworkInterface>>,
    /// The subnets that they are in.
    pub subnets: BTreeMap<ResourceId, Seen<Subnet>>,
    /// The wanted security groups, and those of the interfaces and subnets.
    pub groups: BTreeMap<ResourceId, Seen<SecurityGroup>>,
    /// The other load balancers whose pools the interfaces are in.
    pub others: BTreeMap<ResourceId, Seen<LoadBalancer>>,
}

impl GatewayState {
    /// The first resource that could not be read, and why.
    #[must_use]
    pub fn unread(&self) -> Option<(String, &str)> {
        fn first<'s, T>(what: &str, seen: &'s BTreeMap<ResourceId, Seen<T>>) -> Option<(String, &'s str)> {
            seen.iter().find_map(|(id, seen)| Some((format!("{what} {}", id.name()), seen.unknown()?)))
        }
        let balancer = self.load_balancer.unknown().map(|reason| ("load balancer".to_owned(), reason));
        balancer
            .or_else(|| first("network interface", &self.interfaces))
            .or_else(|| first("subnet", &self.subnets))
            .or_else(|| first("network security group", &self.groups))
            .or_else(|| first("load balancer", &self.others))
    }

    /// A resource that another operation is under way on.
    #[must_use]
    pub fn busy(&self) -> Option<String> {
        let busy = |provisioning: Provisioning| provisioning == Provisioning::Busy;
        let under_way = |lb: &LoadBalancer| {
            busy(lb.provisioning) || lb.nat_rules.iter().any(|rule| busy(rule.provisioning))
        };
        if self.load_balancer.present().is_some_and(under_way) {
            return Some("the load balancer".into());
        }
        let interfaces =
            self.interfaces.iter().filter_map(|(id, seen)| Some((id, seen.present()?.provisioning)));
        let groups = self.groups.iter().filter_map(|(id, seen)| Some((id, seen.present()?.provisioning)));
        interfaces.chain(groups).find(|(_, state)| busy(*state)).map(|(id, _)| id.name().to_owned())
    }
}

/// A load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadBalancer {
    /// Its resource id.
    pub id: ResourceId,
    /// Its region.
    pub location: String,
    /// `sku.name`; absent means Basic.
    pub sku: String,
    /// Its frontends.
    pub frontends: Vec<Frontend>,
    /// Its backend address pools.
    pub pools: Vec<HeldPool>,
    /// Its inbound NAT rules, of both versions.
    pub nat_rules: Vec<HeldNatRule>,
    /// The frontend ports of its load-balancing rules and inbound NAT pools, and their names.
    pub other_ports: Vec<(String, Protocol, ResourceId, Ports)>,
    /// The pools that its load-balancing rules and outbound rules lead to, and the first of those by name.
    pub pool_users: BTreeMap<ResourceId, String>,
    /// The frontends that its load-balancing rules, outbound rules and inbound NAT pools stand on, as above.
    pub frontend_users: BTreeMap<ResourceId, String>,
    /// Its load-balancing rules that take a port of their machines for themselves.
    pub balancing: Vec<Balancing>,
    /// Its inbound NAT pools, which stand beside no inbound NAT rule.
    pub nat_pools: BTreeSet<String>,
    /// The pools to which an outbound rule, or a load-balancing rule that may be used so, gives a way out.
    pub outbound: BTreeSet<ResourceId>,
    /// Whether its last operation succeeded.
    pub provisioning: Provisioning,
    /// Whose it is: set when we created it, `None` when we found it.
    pub mark: Option<Owner>,
    /// Its etag.
    pub version: Version,
}

/// A frontend IP configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frontend {
    /// Its name.
    pub name: String,
    /// The public IP in front of it; `None` for an internal one.
    pub public_ip: Option<ResourceId>,
}

/// A backend address pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldPool {
    /// Its name.
    pub name: String,
    /// The IP configurations of network interfaces in it.
    pub members: BTreeSet<ResourceId>,
    /// Whether addresses are in it that belong to no network interface.
    pub addresses: bool,
}

/// What a load-balancing rule without floating IP leads to: with floating IP the machine sees the frontend's address and
/// port, and the port behind it is free.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balancing {
    /// The rule's name.
    pub name: String,
    /// Its protocol; `None` for all of them.
    pub protocol: Option<Protocol>,
    /// The ports on the machines.
    pub ports: Ports,
    /// The pools that it leads to.
    pub pools: BTreeSet<ResourceId>,
}

/// A span of ports, both ends in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ports {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

impl Ports {
    /// One port alone.
    #[must_use]
    pub fn one(port: u16) -> Self {
        Self { first: port, last: port }
    }

    /// Whether `port` is one of them.
    #[must_use]
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    /// Whether they have one in common.
    #[must_use]
    pub fn overlap(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// An inbound NAT rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldNatRule {
    /// Its name.
    pub name: String,
    /// Its protocol; `None` for all of them.
    pub protocol: Option<Protocol>,
    /// The frontend that it listens on.
    pub frontend: ResourceId,
    /// The ports that clients use.
    pub ports: Ports,
    /// The first port on the machines.
    pub backend_port: u16,
    /// The pool that it leads to (version 2).
    pub pool: Option<ResourceId>,
    /// The IP configuration that refers to it (version 1).
    pub target: Option<ResourceId>,
    /// Minutes until an idle TCP connection is forgotten.
    pub idle_timeout_minutes: u8,
    /// Whether the machine sees the frontend's address instead of its own, which few are set up to answer for.
    pub floating: bool,
    /// Whether its last operation succeeded.
    pub provisioning: Provisioning,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkInterface {
    /// Its resource id.
    pub id: ResourceId,
    /// Its region.
    pub location: String,
    /// Its IP configurations.
    pub configurations: Vec<IpConfiguration>,
    /// Its own security group.
    pub group: Option<ResourceId>,
    /// Whether its last operation succeeded.
    pub provisioning: Provisioning,
    /// Its etag.
    pub version: Version,
}

impl NetworkInterface {
    /// The configuration that traffic is sent to: the primary one.
    #[must_use]
    pub fn primary(&self) -> Option<&IpConfiguration> {
        self.configurations.iter().find(|one| one.primary).or_else(|| self.configurations.first())
    }

    /// The first public IP that is its own, past every load balancer.
    #[must_use]
    pub fn own_address(&self) -> Option<&ResourceId> {
        self.configurations.iter().find_map(|one| one.public_ip.as_ref())
    }

    /// The id of its primary configuration.
    #[must_use]
    pub fn primary_id(&self) -> Option<ResourceId> {
        Some(self.id.part("ipConfigurations", &self.primary()?.name))
    }
}

/// One IP configuration of a network interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpConfiguration {
    /// Its name.
    pub name: String,
    /// Whether it is the primary one.
    pub primary: bool,
    /// Its private address, where Azure tells it.
    pub address: Option<std::net::IpAddr>,
    /// The public IP that is its own.
    pub public_ip: Option<ResourceId>,
    /// The subnet.
    pub subnet: Option<ResourceId>,
    /// The load balancers' pools that it is in.
    pub pools: BTreeSet<ResourceId>,
    /// The NAT rules, version 1, that lead to it.
    pub nat_rules: BTreeSet<ResourceId>,
}

/// A subnet, as far as it decides who gets in and out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// Its security group.
    pub group: Option<ResourceId>,
    /// Whether a NAT gateway gives it a way out.
    pub nat_gateway: bool,
}

/// A network security group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroup {
    /// Its resource id.
    pub id: ResourceId,
    /// Its region.
    pub location: String,
    /// Its rules, those that Azure adds at the end left out.
    pub rules: Vec<SecurityRule>,
    /// The network interfaces and subnets that use it.
    pub users: BTreeSet<ResourceId>,
    /// Whether its last operation succeeded.
    pub provisioning: Provisioning,
    /// Whose it is: set when we created it, `None` when we found it.
    pub mark: Option<Owner>,
    /// Its etag.
    pub version: Version,
}

/// A rule of a network security group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityRule {
    /// Its name.
    pub name: String,
    /// Its place: the least is asked first, and the first that fits decides.
    pub priority: u16,
    /// Whether it is about what comes in.
    pub inbound: bool,
    /// Whether it lets through.
    pub allow: bool,
    /// The protocol; `None` for all of them.
    pub protocol: Option<Protocol>,
    /// Where the traffic comes from; empty where it is told by application security groups.
    pub sources: Vec<Source>,
    /// Whether every source port is meant.
    pub any_source_port: bool,
    /// Where the traffic goes; empty where it is told by application security groups.
    pub destinations: Vec<Source>,
    /// The ports on the machine.
    pub ports: Vec<Ports>,
}
