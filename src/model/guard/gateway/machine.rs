//! The machines that ports lead to: what else Azure has them behind.

use std::collections::BTreeSet;

use super::{Court, STANDARD};
use crate::model::gateway::{LoadBalancer, NatRule, NetworkInterface};
use crate::model::guard::Rule;
use crate::model::plan::Piece;
use crate::model::resource_id::ResourceId;
use crate::model::state::Seen;

impl Court<'_> {
    pub(super) fn machine(&mut self, rule: &NatRule) {
        let id = &rule.network_interface;
        let piece = || Piece::Interface(id.name().to_owned());
        if !self.within(piece(), "network interface", id) {
            return;
        }
        let Some(interface) = self.state.interface(id) else {
            let reason = format!("The network interface {} does not exist.", id.name());
            let allow = format!("make the machine first, or correct network_interface of {}", rule.name);
            return self.refuse(piece(), Rule::Missing, reason, allow);
        };
        self.region(piece(), "network interface", id, &interface.location);
        let Some(primary) = interface.primary() else {
            let reason = format!("The network interface {} has no IP configuration.", id.name());
            return self.refuse(piece(), Rule::Missing, reason, format!("give {} one", id.name()));
        };
        let ip = self.ip.and_then(|ip| ip.address);
        if let Some((ip, address)) =
            ip.zip(primary.address).filter(|(ip, address)| ip.is_ipv6() != address.is_ipv6())
        {
            let family = |ipv6: bool| if ipv6 { "IPv6" } else { "IPv4" };
            let (front, behind) = (family(ip.is_ipv6()), family(address.is_ipv6()));
            let name = &self.endpoint.public_ip.name;
            let reason = format!(
                "{name} is {front}, and {} has {behind} in its primary IP configuration, {}; Azure does not translate between them.",
                id.name(),
                primary.name
            );
            let allow = format!("name another public_ip for {}, of {behind}", self.endpoint.name);
            self.refuse(piece(), Rule::Family, reason, allow);
        }
        // Its SKU is not known, and the machine would be open past the gateway whatever it is.
        if let Some(own) = interface.own_address() {
            let reason = format!(
                "The network interface {} has the public IP {} of its own, so every port that its security group opens is open past the gateway.",
                id.name(),
                own.name()
            );
            self.refuse(piece(), Rule::OwnAddress, reason, format!("take {} off {}", own.name(), id.name()));
        }
        self.elsewhere(interface);
    }

    /// Other load balancers that the machine is behind, by whichever IP configuration.
    fn elsewhere(&mut self, interface: &NetworkInterface) {
        let name = interface.id.name();
        let piece = || Piece::Interface(name.to_owned());
        let referred = interface.configurations.iter().flat_map(|one| one.pools.iter().chain(&one.nat_rules));
        let others: BTreeSet<ResourceId> =
            referred.map(ResourceId::whole).filter(|other| *other != self.gateway.load_balancer).collect();
        let held: Vec<&LoadBalancer> =
            others.iter().filter_map(|other| self.state.others.get(other).and_then(Seen::present)).collect();
        let public = held.iter().find(|other| other.is_public());
        if let Some(other) = public {
            let reason = format!(
                "The network interface {name} is behind the load balancer {} already, and a machine has one public load balancer.",
                self.typed(&other.id),
            );
            let take = format!("take {name} out of its pool");
            // A load balancer is named in the endpoint's own resource group alone.
            let allow = if other.id.is_beside(&self.gateway.load_balancer) && other.sku == STANDARD {
                format!("name {} as the load balancer of {}, or {take}", other.id.name(), self.endpoint.name)
            } else {
                take
            };
            self.refuse(piece(), Rule::Membership, reason, allow);
        }
        if let Some(other) = held.iter().find(|other| !other.is_public() && other.sku != STANDARD) {
            let reason = format!(
                "The network interface {name} is behind the load balancer {}, which is {}, and Azure puts a machine behind load balancers of one kind only.",
                other.id.name(),
                other.sku
            );
            let allow = format!(
                "take {name} out of {}, or put a Standard load balancer in its place",
                self.typed(&other.id)
            );
            self.refuse(piece(), Rule::Sku, reason, allow);
        }
    }
}

impl LoadBalancer {
    /// Whether a public IP stands in front of it.
    fn is_public(&self) -> bool {
        self.frontends.iter().any(|frontend| frontend.public_ip.is_some())
    }
}
