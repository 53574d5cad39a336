//! A gateway's parts as an operator reads them.

use std::fmt;

use crate::model::gateway::{HeldNatRule, LoadBalancer, Ports, SecurityRule, Source};
use crate::model::plan::{
    GatewayChange, GroupChange, InterfaceChange, LoadBalancerChange, NatRuleChange, Part, Piece,
    SecurityGroupChange, SecurityRuleChange,
};

impl GatewayChange {
    /// What stands there before, on one line; `None` for nothing.
    #[must_use]
    pub fn before(&self) -> Option<String> {
        match &self.part {
            Part::LoadBalancer(change) => change.held.as_ref().map(ToString::to_string),
            Part::NatRule(change) => change.held.as_ref().map(ToString::to_string),
            Part::SecurityGroup(change) => change.held.as_ref().map(|held| rules(held.rules.len())),
            Part::SecurityRule(change) => change.held.as_ref().map(ToString::to_string),
            Part::Interface(_) => None,
        }
    }

    /// What stands there afterwards, on one line; `None` for nothing.
    #[must_use]
    pub fn after(&self) -> Option<String> {
        match &self.part {
            Part::LoadBalancer(change) => (!change.delete).then(|| change.to_string()),
            Part::NatRule(NatRuleChange { wanted, .. }) => wanted.as_ref().map(ToString::to_string),
            Part::SecurityGroup(SecurityGroupChange { held, location, .. }) => {
                held.is_none().then(|| format!("a group in {location}, closed but for its rules"))
            }
            Part::SecurityRule(SecurityRuleChange { wanted, .. }) => wanted.as_ref().map(ToString::to_string),
            Part::Interface(change) => Some(change.to_string()),
        }
    }
}

impl fmt::Display for LoadBalancer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fronts: Vec<&str> =
            self.frontends.iter().filter_map(|one| one.public_ip.as_ref()).map(|ip| ip.name()).collect();
        let front = if fronts.is_empty() { "no public IP".to_owned() } else { fronts.join(" and ") };
        write!(f, "{} load balancer on {front}", self.sku)
    }
}

impl fmt::Display for LoadBalancerChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for frontend in &self.frontends {
            let on = frontend.public_ip.as_ref().map_or("nothing", |ip| ip.name());
            parts.push(format!("with the frontend {} on {on}", frontend.name));
        }
        parts.extend(self.pools.iter().map(|pool| format!("with the pool {pool}")));
        parts.extend(self.without_frontends.iter().map(|name| format!("without the frontend {name}")));
        parts.extend(self.without_pools.iter().map(|name| format!("without the pool {name}")));
        if self.held.is_none() {
            write!(f, "Standard load balancer in {}, ", self.location)?;
        }
        match parts.as_slice() {
            [] => f.write_str("the same, written again"),
            parts => f.write_str(&parts.join(", ")),
        }
    }
}

impl fmt::Display for HeldNatRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol {
            Some(protocol) => write!(f, "{protocol} ")?,
            None => f.write_str("every protocol, ")?,
        }
        write!(f, "{} on the frontend {} leads to {}", self.ports, self.frontend.name(), self.backend_port)?;
        match (&self.pool, &self.target) {
            (Some(pool), _) => write!(f, " in the pool {}", pool.name()),
            (None, Some(target)) => write!(f, " of {}", target.whole().name()),
            (None, None) => f.write_str(" of nothing"),
        }
    }
}

impl fmt::Display for SecurityRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.allow { "allow" } else { "deny" };
        let protocol = self.protocol.map_or_else(|| "everything".to_owned(), |protocol| protocol.to_string());
        let ports: Vec<String> = self.ports.iter().map(ToString::to_string).collect();
        let sources: Vec<String> = self.sources.iter().map(Source::to_string).collect();
        let from =
            if sources.is_empty() { "application security groups".to_owned() } else { sources.join(", ") };
        write!(f, "{verb} {protocol} {} from {from}, priority {}", ports.join(", "), self.priority)
    }
}

impl fmt::Display for InterfaceChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> =
            self.join.iter().map(|pool| format!("joins the pool {}", pool.name())).collect();
        parts.extend(self.leave.iter().map(|pool| format!("leaves the pool {}", pool.name())));
        match &self.group {
            GroupChange::Kept => {}
            GroupChange::Set(group) => parts.push(format!("gets the security group {}", group.name())),
            GroupChange::Cleared => parts.push("loses its security group".into()),
        }
        match parts.as_slice() {
            [] => f.write_str("the same, written again"),
            parts => f.write_str(&parts.join(", ")),
        }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoadBalancer(name) => write!(f, "load balancer {name}"),
            Self::NatRule(name) => write!(f, "NAT rule {name}"),
            Self::SecurityGroup(name) => write!(f, "security group {name}"),
            Self::SecurityRule(name) => write!(f, "security rule {name}"),
            Self::Interface(name) => write!(f, "network interface {name}"),
        }
    }
}

fn rules(count: usize) -> String {
    match count {
        0 => "a group without rules".to_owned(),
        1 => "a group of 1 rule".to_owned(),
        count => format!("a group of {count} rules"),
    }
}
